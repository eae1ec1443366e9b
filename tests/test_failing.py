"""Failing rows on live engines: which are shown, how many, and what is never shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from dq import (
    Between,
    Check,
    Compare,
    ConsistentCasing,
    Increasing,
    NotIn,
    NotNull,
    Query,
    Reference,
    RowCount,
    Rows,
    ShowRows,
    Suite,
    Table,
    Unique,
    ZScore,
    at_least,
)
from dq.checks.plan import plan
from dq.context import Context
from dq.execute import execute
from dq.failing import HIDDEN
from dq.model.check import Kind
from dq.model.failing import FailingRows
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Outcome
from tests.engines import Live, live

__all__ = ["live"]

DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
COLUMNS = {"order id": "integer", "org": "text", "email": "text", "amount": "double", "paid": "double"}
ROWS: list[tuple[int | None, str | None, str | None, float | None, float | None]] = [
    (1, "a", "a@x.org", 5.0, 5.0),
    (2, "a", "A@x.org", -1.0, 0.0),
    (3, "b", None, None, 1.0),
    (4, "b", "b@x.org", 900.0, 1.0),
    (4, "c", "c@x.org", -3.0, None),
    (None, "c", "d@x.org", -4.0, -4.0),
]
KEYED = Table("live", "the orders", key="order id", tags={"email": "personal"})


@pytest.fixture
def orders(live: Live) -> Live:
    live.load("the orders", COLUMNS, ROWS)
    live.load("orgs", {"org": "text"}, [("a",), ("c",)])
    return live


def run(live: Live, checks: Sequence[Check], table: Table = KEYED, **more: Any) -> dict[str, Result]:
    suite = Suite("s", table, checks=checks)
    source = live.datasource()
    context = Context(DAY, NOW, dialect_of=lambda _: source.dialect, **more)
    results = [r for scan in plan(suite) for r in execute(scan, table, suite.by_of, lambda _: source, context)]
    return {r.check if r.group is None else f"{r.check} {r.group.label}": r for r in results}


def failing(live: Live, kind: Kind, table: Table = KEYED, **settings: Any) -> FailingRows:
    found = run(live, [Check("c", kind, critical=0, **settings)], table)["c"].failing
    assert found is not None
    return found


def keys(found: FailingRows) -> list[Any]:
    return sorted((row[0] for row in found.rows), key=lambda key: (key is None, key))


OTHER, FAR = Table("live", "orgs"), Table("far", "orgs")


@pytest.mark.parametrize(
    ("kind", "settings", "wanted"),
    [
        (Rows("amount > 0"), {}, [2, 3, 4, None]),
        (Rows("amount > 0"), {"nulls": "pass"}, [2, 4, None]),
        (Rows("amount > 0"), {"nulls": "skip", "where": "org = 'c'"}, [4, None]),
        (Between("amount", 0, 100), {}, [2, 3, 4, 4, None]),
        (Between("amount", 0, 100), {"nulls": "pass"}, [2, 4, 4, None]),
        (NotNull("email"), {}, [3]),
        (Compare("amount", "=", "paid"), {"nulls": "skip"}, [2, 4]),
        (Unique("order id"), {}, [4, 4]),
        (Reference("org", OTHER), {}, [3, 4]),
        (NotIn("org", OTHER), {}, [1, 2, 4, None]),
        (Increasing("amount", by="order id"), {"nulls": "pass", "where": "org <> 'c'"}, [2]),
        (ConsistentCasing("email"), {"nulls": "pass"}, [1, 2]),
        (ZScore("amount", 1), {"nulls": "pass"}, [4]),
        (Query('SELECT "order id" FROM "the orders" WHERE amount > 100'), {}, [4]),
    ],
)
def test_the_keys_of_the_rows_that_break_it(
    orders: Live, kind: Kind, settings: dict[str, Any], wanted: list[Any]
) -> None:
    if orders.name == "mariadb" and isinstance(kind, Query):
        kind = Query(kind.sql.replace('"', "`"))
    found = failing(orders, kind, **settings)
    assert (found.columns[0], found.problem) == ("order id", None)
    assert keys(found) == wanted


def test_the_query_lists_all_of_them_for_people(orders: Live) -> None:
    found = failing(orders, Rows("amount > 0"), show=ShowRows(most=1))
    assert (len(found.rows), found.problem) == (1, None)
    assert found.query is not None and "LIMIT" not in found.query
    source = orders.datasource()
    assert len(source.fetch(found.query)) == 4


def test_keys_across_two_databases(orders: Live) -> None:
    found = failing(orders, Reference("org", FAR))
    assert (found.columns, sorted(found.rows), found.query) == (("org",), [("b",)], None)


def test_a_tagged_column_is_masked_and_one_that_is_not_allowed_is_not_there(orders: Live) -> None:
    check = Check("c", Between("amount", 0, 100), critical=0, show=ShowRows("email", most=1000))
    shown = {how: run(orders, [check], masking=masking)["c"].failing for how, masking in {
        "redacted": {}, "hashed": {"personal": "hash"}, "kept": {"personal": "keep"},
    }.items()}  # fmt: skip
    values = {how: {row[1] for row in found.rows if row[1] is not None} for how, found in shown.items() if found}
    assert values["redacted"] == {HIDDEN}
    assert len(values["hashed"]) == 4 and not any("@" in value or value == HIDDEN for value in values["hashed"])
    assert values["kept"] == {"A@x.org", "b@x.org", "c@x.org", "d@x.org"}
    assert all(found is not None and found.columns == ("order id", "email") for found in shown.values())


def test_a_key_that_is_tagged_is_masked_too(orders: Live) -> None:
    table = Table("live", "the orders", key="email", tags={"email": "personal"})
    assert {row[0] for row in failing(orders, Rows("amount > 0"), table).rows} <= {HIDDEN, None}


def test_within_the_tolerance_nothing_is_listed_unless_asked(orders: Live) -> None:
    quiet = Check("quiet", Rows("amount > 0"), critical=10)
    told = Check("told", Rows("amount > 0"), critical=10, show=ShowRows(always=True))
    results = run(orders, [quiet, told, Check("holds", NotNull("org"), show=ShowRows(always=True))])
    assert {name: r.outcome for name, r in results.items()} == dict.fromkeys(("quiet", "told", "holds"), Outcome.PASS)
    assert results["quiet"].failing is None and results["holds"].failing is None
    assert results["told"].failing is not None and keys(results["told"].failing) == [2, 3, 4, None]


def test_what_a_suite_shows_holds_for_its_checks(orders: Live) -> None:
    one, own = Check("one", Rows("amount > 0")), Check("own", Rows("amount > 0"), show=ShowRows(most=2))
    suite = Suite("s", KEYED, checks=[one, own], show=ShowRows("paid"))
    assert [check.shown for check in suite.checks] == [ShowRows("paid"), ShowRows(most=2)]


def test_of_an_org_its_own_rows(orders: Live) -> None:
    results = run(orders, [Check("c", Rows("amount > 0"), critical=0, by="org")])
    assert results["c"].failing is not None and len(results["c"].failing.rows) == 4
    found = {name: r.failing.rows for name, r in results.items() if r.failing is not None and r.group}
    assert found == {"c a": (("a", 2),), "c b": (("b", 3),), "c c": found["c c"]}
    assert set(found["c c"]) == {("c", 4), ("c", None)}


def test_without_a_key_the_query_is_all_there_is(orders: Live) -> None:
    found = failing(orders, Rows("amount > 0"), Table("live", "the orders"))
    assert found.rows == () and found.query is not None and found.query.startswith("SELECT * FROM")
    assert found.problem is not None and "names no key=" in found.problem
    assert len(orders.datasource().fetch(found.query)) == 4


def test_a_listing_that_breaks_changes_no_verdict(orders: Live) -> None:
    result = run(orders, [Check("c", Rows("amount > 0"), critical=0, show=ShowRows("typo"))])["c"]
    assert (result.outcome, result.violations) == (Outcome.FAIL, 4)
    assert result.failing is not None and result.failing.rows == ()
    assert "they could not be listed" in (result.failing.problem or "") and "typo" in (result.failing.problem or "")


def test_what_measures_a_value_has_no_rows(orders: Live) -> None:
    result = run(orders, [Check("c", RowCount(), critical=at_least(100))])["c"]
    assert (result.outcome, result.failing) == (Outcome.FAIL, None)


def test_of_a_million_rows_few_pass_the_client(live: Live) -> None:
    live.load("the orders", {"order id": "integer", "amount": "double"}, [(i, -1.0) for i in range(3000)])
    source = live.datasource()
    fetched: list[int] = []

    class Counting:
        name, dialect, parallel = source.name, source.dialect, 1

        def fetch(self, sql: str) -> Sequence[Sequence[Any]]:
            rows = source.fetch(sql)
            fetched.append(len(rows))
            return rows

    suite = Suite("s", KEYED, checks=[Check("c", Rows("amount > 0")), Check("u", NotNull("amount"))])
    for scan in plan(suite):
        execute(scan, KEYED, suite.by_of, lambda _: Counting(), Context(DAY, NOW))  # type: ignore[arg-type, return-value]  # all that is asked of it
    assert sum(fetched) < 20, fetched


def test_the_json_form_goes_both_ways(orders: Live) -> None:
    result = run(orders, [Check("c", Rows("amount > 0"), critical=0)])["c"]
    document = json.loads(json.dumps(result.to_json()))["failing"]
    assert list(document) == ["columns", "rows", "query", "problem"]
    assert FailingRows.from_json(document) == result.failing
