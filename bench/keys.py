"""What it costs to find 100 keys that two copies of a table do not share, against fetching all keys of both.

``DQ_BENCH_ROWS=1000000,10000000`` chooses how many rows; with fewer than a million nothing is written to the document.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import _shop
import duckdb
import psycopg
from _report import MEASURED, in_turn, publish, rows, server_cpu, table

from dq import Reconciliation, Stage, Table
from dq.context import Context
from dq.datasource import SqlDatasource
from dq.keys import compare_stage
from dq.model.interval import Interval
from dq.model.keys import KeyComparison
from tests.servers import postgres

SIZES = tuple(map(int, os.environ.get("DQ_BENCH_ROWS", "1000000,10000000").split(",")))
ROUNDS = 3
LEAST = 1_000_000
CONTEXT = Context(Interval.of_day("2026-11-20"), datetime(2026, 11, 21, tzinfo=UTC))
ORDERS = """
    SELECT i AS order_id, DATE '2026-11-20' AS day, 1 + i % 1000 AS org_id, (10 + i % 9000)::DECIMAL(12, 2) AS amount
    FROM range({rows}) AS numbers(i)
"""
# The copy lacks 50 and has 30 of its own; 20 it has twice.
EDITS = (
    "DELETE FROM orders WHERE order_id % ({rows} / 50) = 7",
    "INSERT INTO orders SELECT -order_id, day, org_id, amount FROM orders WHERE order_id % ({rows} / 40) = 9 LIMIT 30",
    "INSERT INTO orders SELECT * FROM orders WHERE order_id > 0 AND order_id % ({rows} / 20) = 13 LIMIT 20",
)
DECLARED = Reconciliation(
    "orders",
    by="org_id",
    key="order_id",
    stages=[
        Stage("orders", Table("lake", "orders", partition="day")),
        Stage("copy", Table("shop", "orders", partition="day")),
    ],
)
KEYS = "SELECT order_id FROM orders WHERE day >= '2026-11-20' AND day < '2026-11-21'"

Answer = set[tuple[str, str]]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        parts = [_measured(size, Path(name)) for size in SIZES]
    if min(SIZES) < LEAST:
        print("\n\n".join(parts))
    else:
        publish("keys", "\n\n".join(parts), ("duckdb", "psycopg"))


def _measured(size: int, folder: Path) -> str:
    urls = {"lake": f"duckdb:///{folder}/orders_{size}.duckdb", "shop": postgres().new_database()}
    _make(urls, size, folder)
    fetch, compare = partial(_all_keys, urls), partial(_by_dq, urls)
    cpu = server_cpu(_shop.native(urls["shop"]))
    spent = in_turn({"all keys": fetch, "dq": compare}, ROUNDS, cpu, {"all keys": _differences, "dq": _found})
    found = compare()
    if sum(found.found.values()) != 100:
        sys.exit(f"found are {found.found}, and not 100 keys")
    travelled = f"{found.checksums:,} checksums and {found.read:,} rows travelled of {sum(found.rows):,}"
    what = f"{size:,} rows in DuckDB and in PostgreSQL, 100 keys that differ, {ROUNDS} rounds; {travelled}"
    return f"{what}:\n\n{table(MEASURED, rows(spent, 'all keys'))}"


def _make(urls: dict[str, str], size: int, folder: Path) -> None:
    file = folder / "orders.csv"
    with duckdb.connect(urls["lake"].removeprefix("duckdb:///")) as lake:
        lake.execute(f"CREATE TABLE orders AS {ORDERS.format(rows=size)}")
        lake.execute(f"COPY orders TO '{file}' (HEADER FALSE)")
    with psycopg.connect(_shop.native(urls["shop"]), autocommit=True) as shop:
        shop.execute("CREATE TABLE orders (order_id BIGINT, day DATE, org_id INTEGER, amount NUMERIC(12, 2))")
        with (
            shop.cursor() as cursor,
            cursor.copy("COPY orders FROM STDIN (FORMAT csv)") as copy,
            file.open("rb") as data,
        ):
            while part := data.read(1 << 20):
                copy.write(part)
        for edit in EDITS:
            shop.execute(edit.format(rows=size).encode())
        shop.execute("VACUUM (ANALYZE)")
    file.unlink()


def _all_keys(urls: dict[str, str]) -> tuple[list[int], list[int]]:
    """Return the keys of both, fetched and sorted as somebody without dq would do."""
    fetched: list[list[int]] = []
    for url in urls.values():
        ask, leave = _shop.asking(url)
        fetched.append(sorted(row[0] for row in ask(KEYS)))
        leave()
    return fetched[0], fetched[1]


def _differences(fetched: tuple[list[int], list[int]]) -> Answer:
    ours, theirs = map(set, fetched)
    again = {key for key, following in zip(fetched[1], fetched[1][1:], strict=False) if key == following}
    return {
        *(("missing", str(key)) for key in ours - theirs),
        *(("extra", str(key)) for key in theirs - ours),
        *(("duplicated", str(key)) for key in again),
    }


def _by_dq(urls: dict[str, str]) -> KeyComparison:
    sources = {name: SqlDatasource.of(name, url, timeout=timedelta(hours=1)) for name, url in urls.items()}
    try:
        return compare_stage(DECLARED, DECLARED.stages[1], sources.__getitem__, CONTEXT, "bench")
    finally:
        for source in sources.values():
            source.close()


def _found(found: KeyComparison) -> Answer:
    return {(one.kind, str(one.key[0])) for one in found.differences}


if __name__ == "__main__":
    main()
