"""Failing rows on live engines: which are shown, how many, and what is never shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from dq import (
    Between,
    By,
    Check,
    Compare,
    ConsistentCasing,
    Freshness,
    Increasing,
    Matches,
    Max,
    MostCommon,
    NoOverlap,
    NotIn,
    NotNull,
    Query,
    Reference,
    RowCount,
    Rows,
    Sequential,
    ShowRows,
    Suite,
    Table,
    Unique,
    UniqueWithinRow,
    Values,
    ZScore,
    at_least,
    at_most,
)
from dq.checks.plan import plan
from dq.context import Context
from dq.execute import execute
from dq.masking import HIDDEN, LONGEST_SHOWN
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


ROW_KINDS = [
    Rows("amount > 0"),
    Between("amount", 0, 100),
    Matches("email", "^z"),
    UniqueWithinRow("amount", "paid"),
    Unique("order id"),
    Unique("order id", "amount", nulls_equal=True),
    Reference("org", OTHER),
    NotIn("org", OTHER),
    Increasing("amount", by="order id"),
    Sequential("amount"),
    NoOverlap("amount", "paid"),
    ConsistentCasing("email"),
    ZScore("amount", 1),
]


@pytest.mark.parametrize("by", [None, "org"])
@pytest.mark.parametrize("kind", ROW_KINDS, ids=str)
def test_as_many_are_listed_as_were_counted(orders: Live, kind: Kind, by: str | None) -> None:
    everything, source = ShowRows(most=1000), orders.datasource()
    for nulls in ("fail", "pass", "skip") if kind.nulls else ("fail",):
        check = Check("c", kind, critical=0, nulls=nulls, by=by, show=everything)
        for table in (KEYED, Table("live", "the orders")):
            for name, result in run(orders, [check], table).items():
                if not result.violations:
                    assert result.failing is None
                    continue
                found = result.failing
                assert found is not None and found.query is not None, name
                assert len(source.fetch(found.query)) == result.violations, (name, nulls, found.query)
                assert len(found.rows) == (result.violations if table is KEYED else 0), (name, nulls)
                assert found.more == result.violations - len(found.rows)


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


@pytest.mark.parametrize("tagged", ["Email", "EMAIL"])
def test_a_tag_holds_whatever_the_case_of_the_name(orders: Live, tagged: str) -> None:
    table = Table("live", "the orders", key="order id", tags={tagged: "personal"})
    found = failing(orders, Rows("amount > 0"), table, show=ShowRows("email"))
    assert found.problem is None and {row[1] for row in found.rows} == {HIDDEN, None}


@pytest.mark.parametrize("kind", [Values("email", ["x"]), MostCommon("email", ["x"])], ids=str)
def test_values_in_the_detail_are_masked_too(orders: Live, kind: Kind) -> None:
    plain = run(orders, [Check("c", kind, critical=0)], Table("live", "the orders"))["c"]
    assert "@x.org" in str(plain.detail), "what is not tagged is named"
    shown = run(orders, [Check("c", kind, critical=0)])["c"]
    assert shown.outcome is Outcome.FAIL and HIDDEN in str(shown.detail)
    assert "@" not in json.dumps(shown.to_json())


def test_a_sentence_quotes_no_row(orders: Live) -> None:
    """Sentences go to chat."""
    most = Check("most", Max("email"), critical=at_most(1))
    checks = [most, Check("age", Freshness("email"), critical=at_most("3h"))]
    for result in run(orders, checks).values():
        assert result.outcome is Outcome.UNMEASURED and "@" not in result.sentence, result.sentence


def test_a_long_text_is_cut(live: Live) -> None:
    live.load("the orders", {"order id": "integer", "email": "text"}, [(1, "x" * 150)])
    live.run(f"INSERT INTO {live.quote('the orders')} SELECT 2, NULL")
    table = Table("live", "the orders", key="order id")
    long = Query(f"SELECT {live.quote('order id')}, REPEAT('x', 9000) AS body FROM {live.quote('the orders')}")
    if live.name == "sqlite":
        long = Query("SELECT `order id`, PRINTF('%.9000c', 'x') AS body FROM `the orders`")
    found = failing(live, long, table, show=ShowRows("body"))
    assert found.problem is None and {len(row[1]) for row in found.rows} == {LONGEST_SHOWN + 1}


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


def test_however_many_rows_one_org_has_the_others_show_theirs(live: Live) -> None:
    rows = [(i, 1, -1.0) for i in range(300)] + [(1000 + i, 2, -1.0) for i in range(3)] + [(2000, 3, 1.0)]
    live.load("the orders", {"order id": "integer", "org": "integer", "amount": "double"}, rows)
    results = run(live, [Check("c", Rows("amount > 0"), critical=0, by="org")])
    shown = {name: r.failing for name, r in results.items() if r.failing is not None}
    assert {name: (len(found.rows), found.more) for name, found in shown.items()} == {
        "c": (5, 298), "c 1": (5, 295), "c 2": (3, 0)
    }  # fmt: skip
    assert {row[0] for row in shown["c"].rows} == {1}, "the worst org comes first"
    assert [len(live.datasource().fetch(found.query or "")) for found in shown.values()] == [303, 300, 3]


def test_of_many_orgs_the_worst_are_listed_and_no_other(live: Live) -> None:
    rows = [(100 * org + i, org, -1.0) for org in range(1, 31) for i in range(org)]
    live.load("the orders", {"order id": "integer", "org": "integer", "amount": "double"}, rows)
    results = run(live, [Check("c", Rows("amount > 0"), critical=0, by="org")])
    assert {r.group.values[0] for r in results.values() if r.group and r.failing} == {str(i) for i in range(21, 31)}
    assert all(len(r.failing.rows) == 5 for r in results.values() if r.failing)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", [14, -3]),
        ("double", [1.5, 2.0]),
        ("date", ["2024-01-31", "2024-02-29"]),
        ("timestamp", ["2024-01-31 12:30:00", "2024-01-31 00:00:00"]),
        ("boolean", [True, False]),
        ("text", ["it's", "a\\b", "ä", ""]),
        ("uuid", ["6f9619ff-8b86-d011-b42d-00cf4fc964ff", "00000000-0000-0000-0000-000000000001"]),
    ],
)
def test_an_org_of_any_type_has_its_rows(live: Live, kind: str, values: list[Any]) -> None:
    if live.name == "sqlite" and kind == "uuid":
        kind = "text"
    live.load("the orders", {"order id": "integer", "org": kind}, [(i, v) for i, v in enumerate([*values, None])])
    results = run(live, [Check("c", Query(f"SELECT * FROM {live.quote('the orders')}"), critical=0, by="org")])
    assert len(results) == len(values) + 2
    for name, result in results.items():
        assert result.failing is not None and result.failing.problem is None, result
        assert len(result.failing.rows) == result.violations, name


def test_an_org_whose_column_is_tagged_has_its_rows(orders: Live) -> None:
    table = Table("live", "the orders", key="order id", tags={"org": "personal"})
    found = run(orders, [Check("c", Rows("amount > 0"), critical=0, by="org")], table)["c a"].failing
    assert found is not None and found.rows == ((HIDDEN, 2),)


def test_failing_orgs_are_listed_where_an_absent_one_is_worse(orders: Live) -> None:
    by = By("org", expected=["a", "b", "zz"])
    results = run(orders, [Check("c", Rows("amount > 0"), warning=0, on_empty="critical", by=by)])
    assert results["c"].outcome is Outcome.NO_DATA
    assert results["c zz"].failing is None
    assert results["c a"].failing is not None and results["c a"].failing.rows == (("a", 2),)
    assert results["c"].failing is not None and len(results["c"].failing.rows) == 4


def test_keys_across_two_databases_by_org(orders: Live) -> None:
    results = run(orders, [Check("c", Reference("email", FAR, "org"), critical=0, by="org")])
    found = {name: r.failing.rows for name, r in results.items() if r.failing is not None and r.group is not None}
    assert {name: len(rows) for name, rows in found.items()} == {"c a": 2, "c b": 1, "c c": 2}
    assert {row[1] for rows in found.values() for row in rows} == {HIDDEN}


def test_no_row_may_be_wanted_and_the_query_is_there(orders: Live) -> None:
    found = failing(orders, Rows("amount > 0"), show=ShowRows(most=0))
    assert (found.rows, found.problem, found.more) == ((), None, 4) and found.query is not None


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
    assert list(document) == ["columns", "rows", "query", "problem", "more"]
    assert FailingRows.from_json(document) == result.failing
