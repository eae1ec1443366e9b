"""Plans: what engines that are no part of the tests would receive, and that any number of checks fits all others.

``tests/golden/ENGINE.sql`` holds the statements of one suite with every kind. After a change that is meant,
``DQ_GOLDEN=write .venv/bin/python -m pytest tests/test_plans.py`` writes them anew; read the difference.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlglot

import dq
from dq import Check, Suite, Table, at_least
from dq.checks.plan import plan
from dq.context import Context
from dq.execute import execute
from dq.model.check import Kind
from dq.model.errors import GuardError
from dq.model.interval import Interval
from dq.model.measure import Buckets, Measure
from dq.sql.statements import Compiler
from tests.engines import Live, live

__all__ = ["live"]

GOLDEN = Path(__file__).parent / "golden"
DAY = Interval.of_day("2024-06-26")
ENGINES = {
    "bigquery": "bigquery",
    "snowflake": "snowflake",
    "redshift": "redshift",
    "trino": "trino",
    "mssql": "tsql",
    "mysql": "mysql",
    "databricks": "databricks",
}
OTHER = Table("live", "sales.customers")
KINDS: list[Kind] = [
    dq.Rows("amount > 0 AND note <> ''"),
    dq.NotNull("order id"),
    dq.IsNull("deleted_at"),
    dq.OneOf("org", ["a", "it's", "back\\slash", "Größe"]),
    dq.OneOf("flag", [True]),
    dq.NoneOf("day", [date(2024, 6, 26)]),
    dq.Between("at", datetime(2024, 6, 26, 12, tzinfo=UTC), None),
    dq.NotBetween("amount", Decimal("-1.50"), 2, ends="low"),
    dq.HasLength("note", 1, 9),
    dq.Like("note", [r"50\%_x%", "it's"]),
    dq.NotLike("note", "%x%"),
    dq.Matches("note", [r"^\d+'$", r"(?:a|b)\.", "[$(?:]"]),
    dq.NotMatches("note", "^$"),
    dq.ValidJson("note"),
    dq.ConsistentCasing("org"),
    dq.Unique("order id"),
    dq.Unique("org", "order id"),
    dq.UniqueWithinRow("a", "b", "c"),
    dq.Increasing("amount", by="at", within="org", strict=True),
    dq.Decreasing("amount", by="at"),
    dq.Sequential("order id"),
    dq.Sequential("at", "1h", within="org"),
    dq.NoOverlap("valid_from", "valid_to", within="org"),
    dq.Compare("paid", "<=", "amount"),
    dq.TogetherOneOf(["org", "flag"], [("a", True), ("b", False)]),
    dq.AddUp(["a", "b"], "c", within=Decimal("0.005")),
    dq.ZScore("amount", 3),
    dq.Min("amount"),
    dq.Max("amount"),
    dq.Sum("amount"),
    dq.Mean("amount"),
    dq.Median("amount"),
    dq.Quantile("amount", 0.9),
    dq.StdDev("amount"),
    dq.StdDev("amount", of="population"),
    dq.TextLength("note", "mean"),
    dq.DistinctCount("org"),
    dq.DistinctShare(["org", "flag"]),
    dq.UniqueCount("org"),
    dq.UniqueShare("org", of="values"),
    dq.Values("org", ["a", "b"]),
    dq.MostCommon("org", ["a"]),
    dq.Reference("customer", OTHER, "id"),
    dq.NotIn("customer", OTHER, "id"),
    dq.SameAs("customer", OTHER, "id", counted=True),
    dq.Ratio(OTHER),
    dq.RowCount(),
    dq.Freshness("at"),
    dq.Query("SELECT * FROM orders WHERE amount < 0"),
    dq.Aggregate("sum(amount)"),
    dq.AddUp(["a", "b"], 1, null_is_zero=True),
    dq.Matches("note", "[a-z]", ignore_case=True),
    dq.Unique("org", nulls_equal=True),
    dq.Count(dq.NotNull("note")),
    dq.Share(dq.OneOf("org", ["a"])),
    dq.DuplicateCount("org"),
    dq.QueryValue("SELECT COUNT(*) FROM orders"),
    dq.Gaps("at", "1h"),
    dq.Change(dq.RowCount()),
    dq.Distribution("amount", reference={"edges": [0, 2], "counts": [3, 5, 7]}),
    dq.Schema(["order id"]),
    dq.ColumnCount(),
]


def test_the_suite_has_every_kind() -> None:
    assert {type(kind).__name__ for kind in KINDS} == {
        name for name in dq.__all__ if hasattr(getattr(dq, name), "failing")
    }


def lines(dialect: str) -> Iterator[str]:
    """Yield the statements of the suite, whole and by org, each after what it answers."""
    table = Table("live", "sales.orders", partition="at")
    for columns in ((), ("org",)):
        compiler = Compiler(dialect, table, DAY, columns)
        measures = [m for kind in KINDS for m in kind.measures("org <> ''" if kind.nulls else None).values()]
        measures.append(Measure("buckets", Buckets("at", timedelta(hours=1))))
        good = []
        for measure in dict.fromkeys(measures):
            try:
                compiler.statements([measure])
            except GuardError as error:
                yield f"-- {error}"
            else:
                good.append(measure)
        for statement in compiler.statements(good):
            yield f"{statement.sql};"
        if columns:
            continue
        for kind in (dq.Unique("order id"), dq.Increasing("amount", by="at"), dq.NotNull("org")):
            failing = kind.failing()
            assert failing is not None
            yield f"{compiler.failing(failing, ['order id'], None, 5)};"


@pytest.mark.parametrize("dialect", ENGINES)
def test_the_statements_are_the_recorded_ones(dialect: str) -> None:
    found = "\n".join(lines(dialect)) + "\n"
    path = GOLDEN / f"{dialect}.sql"
    if os.environ.get("DQ_GOLDEN") == "write":
        path.write_text(found, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == found


UNKNOWN = {
    "bigquery": r"::|\bFILTER\b|\bEXCEPT (?!DISTINCT)| ESCAPE |[^`\w]\"|PERCENTILE_CONT\([^)]*\) WITHIN",
    "snowflake": r"`|\bRLIKE\b| FILTER ",
    "redshift": r"`|\bFILTER\b|\(\?s\)|STDDEV\(",
    "trino": r"`|::|\bILIKE\b|PERCENTILE_CONT",
    "mssql": r"`|\bTRUE\b|\bFALSE\b|\bLIMIT\b|ROWVERSION|\bLENGTH\(|\bSTDDEV|\bIS NOT TRUE\b",
    "mysql": r"\"|::|\bFILTER\b|PERCENTILE_CONT",
    "databricks": r"::|PERCENTILE_CONT",
}
"""What an engine does not know, so that it may not be in its statements."""


@pytest.mark.parametrize("dialect", ENGINES)
def test_the_statements_can_be_read_and_hold_nothing_the_engine_does_not_know(dialect: str) -> None:
    for line in lines(dialect):
        if line.startswith("--"):
            continue
        assert len(sqlglot.parse(line, dialect=ENGINES[dialect])) == 1, line
        bare = re.sub(r"'(?:[^'\\]|\\.|'')*'", "''", line)
        assert re.search(UNKNOWN[dialect], bare) is None, (re.search(UNKNOWN[dialect], bare), line)


@pytest.mark.slow
def test_three_thousand_checks_fit(live: Live) -> None:
    columns = [f"c{i}" for i in range(60)]
    live.load("wide", dict.fromkeys(columns, "integer"), [[i + j for j in range(60)] for i in range(3)])
    checks = [Check(f"between {i}", dq.Between(columns[i % 60], 0, i), critical=0) for i in range(2_000)]
    checks += [Check(f"rows {i}", dq.Rows(f"c1 < {i}"), critical=0, where="c2 > 0") for i in range(900)]
    checks += [Check(f"sum {i}", dq.Mean(columns[i % 60]), critical=at_least(i)) for i in range(100)]
    suite = Suite("s", Table("live", "wide"), checks=checks)
    source = live.datasource()
    (scan,) = plan(suite)
    context = Context(DAY, datetime(2024, 6, 27, tzinfo=UTC))
    results: Any = execute(scan, suite.table, suite.by_of, lambda _: source, context)
    assert len(results) == 3_000
    for i, result in enumerate(results[:2_000]):
        assert (result.rows, result.violations) == (3, sum(n + i % 60 > i for n in range(3)))
    for i, result in enumerate(results[2_000:2_900]):
        assert (result.rows, result.violations) == (3, sum(n + 1 >= i for n in range(3)))
    assert [float(result.observed) for result in results[2_900:]] == [i % 60 + 1 for i in range(100)]
