"""A table of orders in three engines, and what somebody without dq would write by hand to check it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from dq.project import Project, StoreSettings
from dq.secret import Secret

PROJECT = Project(root=Path(), environment="bench", store=StoreSettings(Secret("sqlite://", "bench", Path())))
"""A project without declarations: measurements hand them over, and store nothing."""

DAY = "2026-11-20"
MAKE = """
SELECT i AS order_id, 1 + CAST(floor(1000 * pow(hash(i, 1) % 100000 / 100000.0, 3)) AS INTEGER) AS org_id,
    CASE WHEN i % 5003 = 0 THEN NULL ELSE hash(i, 2) % 200000 END::BIGINT AS customer_id,
    CASE WHEN i % 4001 = 0 THEN 'lost' ELSE ['new', 'paid', 'shipped', 'returned'][1 + i % 4] END AS status,
    CASE WHEN i % 6007 = 0 THEN 'EURO'
        ELSE ['EUR', 'USD', 'GBP', 'CHF', 'PLN'][1 + (hash(i, 3) % 5)::INT] END AS currency,
    ['web', 'shop', 'phone'][1 + (hash(i, 4) % 3)::INT] AS channel,
    ['DE', 'FR', 'IT', 'PL', 'GB', 'US', 'CH'][1 + (hash(i, 5) % 7)::INT] AS country,
    CASE WHEN i % 2003 = 0 THEN 0 ELSE 1 + hash(i, 6) % 90000 END::BIGINT AS amount,
    CASE WHEN i % 2003 = 0 THEN 0 ELSE hash(i, 6) % 90000 // 5 END::BIGINT AS tax,
    CASE WHEN i % 3001 = 0 THEN 100000 ELSE 0 END::BIGINT AS discount,
    CASE WHEN i % 7001 = 0 THEN 0 ELSE 1 + hash(i, 7) % 9 END::INTEGER AS quantity,
    CASE WHEN i % 9001 = 0 THEN NULL WHEN i % 8009 = 0 THEN 'nobody' ELSE 'user' || i || '@example.org' END AS email,
    TIMESTAMP '2026-11-20 00:00:00' + to_seconds(i * 86400 // {rows}) AS created_at,
    CASE WHEN i % 10 = 0 THEN NULL
        ELSE TIMESTAMP '2026-11-20 00:00:00' + to_seconds(i * 86400 // {rows} + i % 9000 - 1) END AS shipped_at
FROM range({rows}) AS numbers(i)
"""
COLUMNS = """order_id BIGINT, org_id INTEGER, customer_id BIGINT, status TEXT, currency TEXT, channel TEXT,
    country TEXT, amount BIGINT, tax BIGINT, discount BIGINT, quantity INTEGER, email TEXT, created_at TIMESTAMP,
    shipped_at TIMESTAMP"""

# By hand: what a violating row is not. Written out again, so that equal answers say something.
GOOD = {
    "amount is positive": "amount > 0",
    "tax is a part": "tax >= 0 AND tax <= amount",
    "discount is a part": "discount <= amount",
    "mail has an at": "email IS NULL OR email LIKE '%@%'",
    "currency has three letters": "length(currency) = 3",
    "shipped after made": "shipped_at IS NULL OR created_at IS NULL OR shipped_at >= created_at",
    "order is known": "order_id IS NOT NULL",
    "org is known": "org_id IS NOT NULL",
    "customer is known": "customer_id IS NOT NULL",
    "time is known": "created_at IS NOT NULL",
    "status": "status IN ('new', 'paid', 'shipped', 'returned')",
    "currency": "currency IN ('EUR', 'USD', 'GBP', 'CHF', 'PLN')",
    "channel": "channel IN ('web', 'shop', 'phone')",
    "country": "country IN ('DE', 'FR', 'IT', 'PL', 'GB', 'US', 'CH')",
    "quantity": "quantity BETWEEN 1 AND 100",
    "amount": "amount BETWEEN 0 AND 1000000",
}
NUMBERS = {
    "enough rows": "count(*)",
    "turnover": "sum(amount)",
    "most pieces": "max(quantity)",
    "items per order": "avg(quantity)",
}
FROM = f"FROM orders WHERE created_at >= '{DAY}' AND created_at < '2026-11-21'"
UNIQUE = f"SELECT count(order_id) - count(DISTINCT order_id) {FROM}"
PER_ORG = f"SELECT org_id, count(*), sum(CASE WHEN amount > 0 THEN 0 ELSE 1 END) {FROM} GROUP BY org_id"
FUSED = (
    "SELECT "
    + ", ".join([f"sum(CASE WHEN {good} THEN 0 ELSE 1 END)" for good in GOOD.values()] + list(NUMBERS.values()))
    + f" {FROM}"
)

BY_HAND = (FUSED, UNIQUE, PER_ORG)

Rows = Sequence[Sequence[Any]]
Ask = Callable[[str], Rows]
Answer = dict[str, object]


def answer(fused_rows: Rows, unique_rows: Rows, org_rows: Rows) -> Answer:
    """Return the number of each check; per org, how many there are, how many are bad, and all violations."""
    bad = sum(100 * violations > rows for _, rows, violations in org_rows)
    return dict(zip((*GOOD, *NUMBERS), map(exact, fused_rows[0]), strict=True)) | {
        "one row per order": unique_rows[0][0],
        "amount per org": (len(org_rows), bad, sum(int(row[2]) for row in org_rows)),
    }


def answer_of(results: Iterable[Mapping[str, Any]]) -> Answer:
    """Return the same of what dq found, from its JSON."""
    return {
        r["check"]: (r["orgs"], r["orgs_bad"], r["violations"]) if "orgs" in r else exact(r["observed"])
        for r in results
        if r["group"] is None
    }


def exact(number: Any) -> object:
    """Return a number as int, or as a float of nine digits: engines give averages as double, numeric or decimal."""
    exact = Fraction(str(number))
    return int(exact) if exact.denominator == 1 else round(float(exact), 9)


def asking(url: str) -> tuple[Ask, Callable[[], None]]:
    """Return how a script asks the database at ``url`` with its driver alone, and how it goes away."""
    if url.startswith("duckdb"):
        lake = duckdb.connect(url.removeprefix("duckdb:///"), read_only=True)
        return (lambda sql: lake.execute(sql).fetchall()), lake.close
    connection = (
        sqlite3.connect(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else psycopg.connect(native(url))
    )
    return (lambda sql: connection.execute(sql).fetchall()), connection.close


def native(url: str) -> str:
    """Return the address of a PostgreSQL without SQLAlchemy's driver in it."""
    return url.replace("+psycopg", "")


def make_duckdb(path: Path, rows: int) -> str:
    """Make the table in a DuckDB file, and return its address."""
    with duckdb.connect(str(path)) as lake:
        lake.execute(f"CREATE TABLE orders AS {MAKE.format(rows=rows)}")
    return f"duckdb:///{path}"


def make_sqlite(path: Path, rows: int) -> str:
    """Make the same table in a SQLite file, and return its address."""
    as_text = "created_at::TEXT AS created_at, shipped_at::TEXT AS shipped_at"
    made = duckdb.execute(f"SELECT * REPLACE ({as_text}) FROM ({MAKE.format(rows=rows)})")
    with sqlite3.connect(path) as archive:
        archive.execute(f"CREATE TABLE orders ({COLUMNS})")
        archive.executemany(f"INSERT INTO orders VALUES ({', '.join('?' * 14)})", made.fetchall())
    archive.close()
    return f"sqlite:///{path}"
