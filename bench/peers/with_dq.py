"""dq: a project folder as a user writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from _orders import BAD_SHARE, Check

DAY = "2026-11-20"
AGGREGATES = {
    "count(*)": "RowCount()",
    "sum(amount)": 'Sum("amount")',
    "avg(amount)": 'Mean("amount")',
    "min(amount)": 'Min("amount")',
    "max(quantity)": 'Max("quantity")',
    "avg(quantity)": 'Mean("quantity")',
    "count(DISTINCT org_id)": 'DistinctCount("org_id")',
}


def write(engine: str, target: str, checks: Sequence[Check], folder: Path, key: str = "") -> None:
    """Write ``dq.toml`` and ``checks/orders.py``; ``key`` is what the table says of its key."""
    url = f"duckdb:///{target}" if engine == "duckdb" else target.replace("postgresql:", "postgresql+psycopg:")
    (folder / "dq.toml").write_text(f'[datasources.shop]\nurl = "{url}"\n', encoding="utf-8")
    (folder / "checks").mkdir(exist_ok=True)
    lines = "\n".join(f"        {line}," for line in _lines(checks))
    (folder / "checks" / "orders.py").write_text(
        f"""from dq import (
    Between, Check, DistinctCount, Like, Matches, Max, Mean, Min, NotNull, OneOf, Reference, RowCount, Rows, Suite, Sum,
    Table, Unique, between,
)

customers = Table("shop", "customers")
orders = Suite(
    "orders",
    Table("shop", "orders"{key}),
    checks=[
{lines}
    ],
)
""",
        encoding="utf-8",
    )


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    for check in checks:
        name, column, values = check.name, check.column, check.values
        if check.family == "aggregate":
            yield f"Check({name!r}, {AGGREGATES[column]}, critical=between{values!r})"
            continue
        kind, more = {
            "not_null": (f"NotNull({column!r})", ""),
            "between": (f"Between({column!r}, {', '.join(map(repr, values))})", ', nulls="pass"'),
            "one_of": (f"OneOf({column!r}, {list(values)!r})", ', nulls="pass"'),
            "like": (f"Like({column!r}, {values and values[0]!r})", ', nulls="pass"'),
            "regex": (f"Matches({column!r}, {values and values[0]!r})", ', nulls="pass"'),
            "rows": (f"Rows({column!r})", ', nulls="pass"'),
            "unique": (f"Unique({column!r})", ""),
            "reference": (f"Reference({column!r}, customers, {values and values[-1]!r})", ""),
            "per_org": (f"Rows({column!r})", ', nulls="pass", by="org_id"'),
        }[check.family]
        allowed = f'"{100 // BAD_SHARE}%"' if check.family == "per_org" else "0"
        yield f"Check({name!r}, {kind}{more}, critical={allowed})"


def found(results: Sequence[dict[str, Any]], checks: Sequence[Check]) -> dict[str, Any]:
    """Return what was found, from dq's JSON."""
    families = {check.name: check.family for check in checks}
    told: dict[str, Any] = {}
    for result in results:
        if result["group"] is not None:
            continue
        family = families[result["check"]]
        if family == "per_org":
            told[result["check"]] = result["orgs_bad"]
        elif family == "aggregate":
            told[result["check"]] = result["observed"]
        else:
            # dq counts the rows that share a key; here each key that does has two.
            told[result["check"]] = result["violations"] / 2 if family == "unique" else result["violations"]
    return told


def prepare(
    engine: str, target: str, checks: Sequence[Check], folder: Path, key: str = ""
) -> Callable[[], dict[str, Any]]:
    """Return the whole of ``dq.run``: load the project, plan, compile, measure, judge."""
    import dq

    write(engine, target, checks, folder, key)
    return lambda: found(dq.run("orders", DAY, project=folder).to_json()["results"], checks)


def command(scripts: Path, folder: Path) -> list[str]:
    """Return the whole process."""
    return [str(scripts / "dq"), "run", "orders", "--date", DAY, "--project", str(folder)]
