"""Kinds on every live engine: shares of other kinds, keys with NULL, ties, patterns, sums, numbers of queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from dq import (
    AddUp,
    Check,
    Count,
    Decreasing,
    DuplicateCount,
    Increasing,
    IsNull,
    Matches,
    MostCommon,
    NotMatches,
    NotNull,
    Query,
    QueryValue,
    Rows,
    Share,
    Suite,
    Table,
    Unique,
    UniqueWithinRow,
    at_least,
    between,
    exactly,
)
from dq.checks.plan import plan
from dq.context import Context
from dq.execute import execute
from dq.model.check import Kind
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Outcome
from tests.engines import Live, live

__all__ = ["live"]

NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
COLUMNS = {"a": "integer", "b": "text", "c": "integer"}
ROWS = [(1, "x", 3), (1, "x", None), (2, None, 1), (2, None, 0), (3, "Y", 5), (None, None, 2)]


@pytest.fixture
def table(live: Live) -> Live:
    live.load("t", COLUMNS, ROWS)
    return live


def run(live: Live, *checks: Check) -> dict[str, Result]:
    suite = Suite("s", Table("live", "t"), checks=checks)
    source = live.datasource()
    context = Context(Interval.of_day("2024-06-26"), NOW)
    found = [r for scan in plan(suite) for r in execute(scan, suite.table, suite.by_of, lambda _: source, context)]
    source.close()
    return {r.check: r for r in found}


def test_the_share_and_the_number_of_rows_that_hold(table: Live) -> None:
    found = run(
        table,
        Check("share", Share(Rows("c > 0")), critical=between(0.6, 0.7)),
        Check("too high", Share(NotNull("b")), critical=between(0.1, 0.4)),
        Check("share where", Share(NotNull("c")), critical=exactly(0.5), where="a = 1"),
        Check("nobody", Share(NotNull("c")), critical=exactly(0.5), where="a = 9"),
        Check("count", Count(IsNull("b")), critical=exactly(3)),
        Check("none is a number", Count(IsNull("b")), critical=at_least(1), where="a = 9"),
    )
    assert {name: (r.outcome, r.observed and float(r.observed)) for name, r in found.items()} == {
        "share": (Outcome.PASS, pytest.approx(4 / 6)),
        "too high": (Outcome.FAIL, 0.5),
        "share where": (Outcome.PASS, 0.5),
        "nobody": (Outcome.PASS, None),
        "count": (Outcome.PASS, 3),
        "none is a number": (Outcome.FAIL, 0),
    }


@pytest.mark.parametrize("kind", [Share, Count])
def test_only_a_predicate_has_a_share(kind: type) -> None:
    with pytest.raises(DeclarationError, match="takes a kind that is one predicate"):
        Suite("s", Table("live", "t"), checks=[Check("c", kind(Unique("a")), error=at_least(1))])


def test_null_equals_null_where_a_key_says_so(table: Live) -> None:
    found = run(
        table,
        Check("null differs", Unique("a", "b")),
        Check("null equals", Unique("a", "b", nulls_equal=True)),
        Check("where", Unique("a", "b", nulls_equal=True), where="a = 2"),
        Check("unique", Unique("a", "c", nulls_equal=True)),
    )
    assert {name: (r.violations, r.rows) for name, r in found.items()} == {
        "null differs": (2, 6),
        "null equals": (4, 6),
        "where": (2, 2),
        "unique": (0, 6),
    }


def test_two_nulls_in_a_row_are_equal_where_that_is_said(live: Live) -> None:
    live.load("t", dict.fromkeys("abc", "integer"), [(1, 2, 3), (None, None, 1), (None, 2, 2), (None, 1, 2)])
    found = run(
        live,
        Check("differ", UniqueWithinRow("a", "b", "c")),
        Check("equal", UniqueWithinRow("a", "b", "c", nulls_equal=True)),
    )
    assert {name: r.violations for name, r in found.items()} == {"differ": 1, "equal": 2}


@pytest.mark.parametrize(
    ("values", "ties", "violations"),
    [([1], "all", 1), ([1, 2], "all", 0), ([1], "one", 0), ([3], "one", 2), ([1, 2], "none", 1), ([3], "none", 2)],
)
def test_values_that_are_equally_common(table: Live, values: Sequence[int], ties: Any, violations: int) -> None:
    assert run(table, Check("c", MostCommon("a", values, ties=ties)))["c"].violations == violations


def test_values_that_occur_more_than_once_count_once(table: Live) -> None:
    assert run(table, Check("c", DuplicateCount("a"), error=exactly(2)))["c"].observed == 2


def test_a_pattern_may_ignore_the_case(table: Live) -> None:
    found = run(
        table,
        Check("case", Matches("b", "^[xy]$"), nulls="skip"),
        Check("no case", Matches("b", "^[xy]$", ignore_case=True), nulls="skip"),
        Check("not", NotMatches("b", ["y", "z"], ignore_case=True), nulls="skip"),
    )
    assert {name: r.violations for name, r in found.items()} == {"case": 1, "no case": 0, "not": 1}


def test_a_null_may_add_nothing(table: Live) -> None:
    found = run(
        table,
        Check("unknown", AddUp(["a", "c"], 3)),
        Check("zero", AddUp(["a", "c"], 3, null_is_zero=True)),
        Check("column", AddUp(["c"], "a", null_is_zero=True)),
    )
    assert {name: (r.violations, r.unknown) for name, r in found.items()} == {
        "unknown": (5, 2),
        "zero": (5, 0),
        "column": (6, 1),
    }


def test_null_comes_last_where_rows_are_ordered(live: Live) -> None:
    live.load("t", {"n": "integer", "at": "integer"}, [(3, None), (1, 1), (2, 2)])
    found = run(live, Check("rises", Increasing("n", by="at")), Check("falls", Decreasing("n", by="at")))
    assert {name: r.violations for name, r in found.items()} == {"rises": 0, "falls": 2}


def test_the_number_that_a_query_returns(table: Live) -> None:
    found = run(
        table,
        Check("number", QueryValue("SELECT AVG(c * 1.0) FROM t"), error=between(2.1, 2.3)),
        Check("null", QueryValue("SELECT MAX(c) FROM t WHERE c > 99"), error=at_least(0)),
        Check("wide", QueryValue("SELECT 1, 2"), error=at_least(0)),
        Check("long", QueryValue("SELECT c FROM t"), error=at_least(0)),
        Check("bad rows", Query("SELECT c FROM t WHERE c = 5")),
    )
    assert found["number"].outcome is Outcome.PASS
    assert Decimal(str(found["number"].observed)).quantize(Decimal("0.01")) == Decimal("2.20")
    assert found["null"].outcome is Outcome.NO_DATA
    assert found["wide"].sentence == "could not be measured: the query returns 2 columns, not 1"
    assert found["long"].sentence == "could not be measured: the query returns 6 rows, not one"
    assert found["bad rows"].violations == 1


def test_what_says_nothing_is_refused() -> None:
    some: Any = "some"
    bad: list[tuple[Kind, str]] = [
        (MostCommon("a", [1], ties=some), "ties='some'"),
        (QueryValue(" "), "needs one SELECT"),
    ]
    for kind, words in bad:
        threshold: dict[str, Any] = {} if kind.judged == "violations" else {"error": at_least(1)}
        with pytest.raises(DeclarationError, match=words):
            Suite("s", Table("live", "t"), checks=[Check("c", kind, **threshold)])
