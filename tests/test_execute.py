"""Scans against live engines: what is measured, that sharing changes nothing, and what breaks alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from attrs import evolve

from dq import (
    Aggregate,
    Between,
    By,
    Check,
    Freshness,
    NotNull,
    OneOf,
    Query,
    RowCount,
    Rows,
    Suite,
    Table,
    Unique,
    at_least,
    at_most,
    between,
)
from dq.checks.plan import plan
from dq.context import Context
from dq.datasource import SqlDatasource
from dq.execute import execute
from dq.model.check import Kind
from dq.model.errors import MeasureError
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Outcome
from tests.engines import Live, live

__all__ = ["live"]

DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
COLUMNS = {"id": "integer", "org": "text", "amount": "double", "note": "text", "at": "timestamp"}
NOON = datetime(2024, 6, 26, 12)  # noqa: DTZ001  # columns without a zone are the common case
ORDERS: list[tuple[int | None, str | None, float | None, str | None, datetime]] = [
    (1, "a", 5.0, "x", NOON),
    (2, "a", -1.0, "50%", NOON),
    (2, "b", None, ":y", NOON),
    (None, "b", 0.0, None, NOON),
    (None, None, 7.5, "", NOON),
    (9, "a", -9.0, "other day", NOON + timedelta(days=1)),
    (9, "a", -9.0, "other day", NOON - timedelta(days=1)),
]


def run(
    live: Live, checks: Sequence[Check], table: Table | None = None, by: By | None = None, **context: Any
) -> list[Result]:
    suite = Suite("s", table or Table("live", "orders", partition="at"), checks=checks, by=by)
    source = live.datasource()
    made = Context(DAY, NOW, **context)
    results = [r for scan in plan(suite) for r in execute(scan, suite.table, suite.by_of, lambda _: source, made)]
    source.close()
    return results


@pytest.fixture
def orders(live: Live) -> Live:
    live.load("orders", COLUMNS, [(*row, at.isoformat(" ") if live.name == "sqlite" else at) for *row, at in ORDERS])
    return live


def test_each_kind_measures_what_it_says(orders: Live) -> None:
    day_before_noon = Between("at", DAY.start, DAY.start + timedelta(hours=12))
    negative = Query("SELECT * FROM orders WHERE amount < 0 AND at < '{{ data_interval_end.date() }}'")
    checks = [
        Check("rows", Rows("amount > 0"), critical=0),
        Check("percent", Rows("note <> '50%' AND note NOT LIKE ':%'"), critical=0),
        Check("jinja", Rows("'{{ ds }}' = '2024-06-26' AND amount < {{ params.most }}"), critical=0),
        Check("where", Rows("amount > 0"), critical=0, where="org = 'a'"),
        Check("not null", NotNull("amount"), critical=0),
        Check("one of", OneOf("org", ["a", "it's"]), critical=0, nulls="skip"),
        Check("between", Between("amount", -1, Decimal("5.0")), critical=0, nulls="pass"),
        Check("dates", day_before_noon, critical=0),
        Check("unique", Unique("id"), critical=0),
        Check("unique pair", Unique("id", "org"), critical=0),
        Check("unique where", Unique("id"), critical=0, where="org = 'a'"),
        Check("row count", RowCount(), critical=at_least(5)),
        Check("row count where", RowCount(), critical=at_least(5), where="org = 'a'"),
        Check("sum", Aggregate("sum(amount)"), critical=between(11, 12)),
        Check("sum where", Aggregate("sum(amount)"), critical=at_most(3), where="org = 'a'"),
        Check("distinct", Aggregate("count(distinct org)"), critical=at_least(2)),
        Check("fresh", Freshness("at"), critical=at_most("1h")),
        Check("query", negative, critical=1),
    ]
    results = run(orders, checks, params={"most": 6})
    good, bad = Outcome.PASS, Outcome.FAIL
    assert {r.check: (r.outcome, r.rows, r.violations, r.unknown, r.observed) for r in results} == {
        "rows": (bad, 5, 3, 1, 3),
        "percent": (bad, 5, 3, 1, 3),
        "jinja": (bad, 5, 2, 1, 2),
        "where": (bad, 2, 1, 0, 1),
        "not null": (bad, 5, 1, 0, 1),
        "one of": (bad, 4, 2, 1, 2),
        "between": (bad, 5, 1, None, 1),  # NULLs are good rows, which nobody counted
        "dates": (good, 5, 0, 0, 0),
        "unique": (bad, 5, 2, 2, 2),
        "unique pair": (good, 5, 0, 2, 0),
        "unique where": (good, 2, 0, 0, 0),
        "row count": (good, 5, None, None, 5),
        "row count where": (bad, 2, None, None, 2),
        "sum": (good, 5, None, None, Decimal("11.5")),
        "sum where": (bad, 2, None, None, 4),
        "distinct": (good, 5, None, None, 2),
        "fresh": (good, None, None, None, -6 * 3600),
        "query": (bad, None, 2, None, 2),
    }


def test_groups_with_null_orgs_and_orgs_that_are_missing(orders: Live) -> None:
    by = By("org", expected=["a", "b", "c"])
    results = run(
        orders, [Check("positive", Rows("amount > 0"), critical=0), Check("unique", Unique("id"), critical=0)], by=by
    )
    found = {(r.check, r.group.label if r.group else None): (r.outcome, r.rows, r.violations) for r in results}
    assert found == {
        ("positive", None): (Outcome.FAIL, 5, 3),
        ("positive", "a"): (Outcome.FAIL, 2, 1),
        ("positive", "b"): (Outcome.FAIL, 2, 2),
        ("positive", "c"): (Outcome.NO_DATA, 0, None),
        ("unique", None): (Outcome.NO_DATA, 5, 0),
        ("unique", "c"): (Outcome.NO_DATA, 0, None),
    }


@pytest.mark.parametrize("expected", ["SELECT 'a' UNION ALL SELECT 'z'", "seen:28d"])
def test_who_is_expected_can_be_asked(orders: Live, expected: str) -> None:
    orders_day = evolve(DAY, start=DAY.start + timedelta(days=1), end=DAY.end + timedelta(days=1))
    suite = Suite(
        "s",
        Table("live", "orders", partition="at"),
        checks=[Check("c", RowCount(), critical=at_least(1))],
        by=By("org", expected=expected),
    )
    source = orders.datasource()
    (scan,) = plan(suite)
    results = execute(scan, suite.table, suite.by_of, lambda _: source, Context(orders_day, NOW))
    missing = {r.group.label for r in results if r.group is not None and r.outcome is Outcome.NO_DATA}
    assert missing == ({"z"} if expected.startswith("SELECT") else {"b", "(no org)"})


def test_a_bad_predicate_costs_one_check(orders: Live) -> None:
    checks = [Check(f"good {i}", Rows(f"amount > {i}"), critical=0) for i in range(9)]
    bad = [
        Check("no column", Rows("nocolumn > 0"), critical=0),
        Check("no function", Aggregate("no_such_function(amount)"), critical=at_least(0)),
        Check("no table", Query("SELECT * FROM nothere"), critical=0),
        Check("refused", Rows("amount > 0; drop table orders"), critical=0),
        Check("undefined", Rows("amount > {{ nothing }}"), critical=0),
        Check("bad key", Unique("nokey"), critical=0),
    ]
    results = {r.check: r for r in run(orders, [*checks[:4], *bad, *checks[4:]])}
    assert {name for name, r in results.items() if r.outcome is Outcome.UNMEASURED} == {check.name for check in bad}
    assert all(results[check.name].rows == 5 for check in checks)
    assert "nocolumn" in results["no column"].sentence
    assert "more than one statement" in results["refused"].sentence


class Counting:
    """A datasource that notes what it is asked."""

    def __init__(self, live: Live) -> None:
        self.source = live.datasource()
        self.name, self.dialect = self.source.name, self.source.dialect
        self.asked: list[str] = []

    def fetch(self, sql: str) -> Any:
        self.asked.append(sql)
        return self.source.fetch(sql)

    def close(self) -> None:
        self.source.close()


def asked_for(live: Live, table: str, checks: Sequence[Check], by: By | None = None) -> tuple[list[str], list[Result]]:
    source = Counting(live)
    suite = Suite("s", Table("live", table, partition="at"), checks=checks, by=by)
    made = Context(DAY, NOW)
    results = [r for scan in plan(suite) for r in execute(scan, suite.table, suite.by_of, lambda _: source, made)]
    return source.asked, results


def test_a_missing_table_is_told_for_every_check_at_little_cost(orders: Live) -> None:
    asked, results = asked_for(orders, "nothere", [Check(f"c{i}", Rows(f"a > {i}"), critical=0) for i in range(50)])
    assert {r.outcome for r in results} == {Outcome.UNMEASURED}
    assert len(results) == 50
    assert len(asked) == 2


def test_checks_of_a_table_share_one_statement_and_ask_once_who_is_expected(orders: Live) -> None:
    checks = [Check(f"c{i}", Rows(f"amount > {-9 - i} or amount is null"), critical=0) for i in range(50)]
    assert len(asked_for(orders, "orders", checks)[0]) == 1
    assert len(asked_for(orders, "orders", checks, By("org", expected="seen:28d"))[0]) == 2
    # What only a failure makes interesting is asked for after it: the unknown rows, those that share a key.
    failing = [Check(f"f{i}", Rows(f"amount > {i}"), critical=0) for i in range(50)]
    assert len(asked_for(orders, "orders", checks + failing)[0]) == 2
    assert len(asked_for(orders, "orders", [*checks, Check("unique", Unique("at", "id", "note"), critical=0)])[0]) == 2
    # Where it costs little more, the rows that share a key are told at once with those that repeat one.
    shared = asked_for(orders, "orders", [*checks, Check("unique", Unique("org"), critical=0)])[0]
    assert len(shared) == (2 if orders.name in ("duckdb", "postgres") else 3)


def test_an_empty_table_is_no_data(live: Live) -> None:
    live.load("orders", COLUMNS, [])
    checks = [
        Check("rows", Rows("amount > 0"), critical=0),
        Check("count", RowCount(), critical=at_least(0)),
        Check("sum", Aggregate("sum(amount)"), critical=at_least(0)),
        Check("unique", Unique("id"), critical=0),
        Check("fresh", Freshness("at"), critical=at_most("1h")),
        Check("grouped", Rows("amount > 0"), critical=0, by=By("org")),
    ]
    assert {(r.check, r.outcome) for r in run(live, checks)} == {(check.name, Outcome.NO_DATA) for check in checks}


def test_names_that_need_quoting(live: Live) -> None:
    names = {"order id": "integer", "select": "text", "Größe": "double", 'a"b`c': "integer", "group": "text"}
    live.load("the order.s", names, [(1, "x", 1.0, 1, "g"), (1, "y", None, 2, "g")])
    table = Table("live", '"the order.s"')
    checks = [
        Check("unique", Unique("order id"), critical=0),
        Check("one of", OneOf("select", ["x"]), critical=0),
        Check("not null", NotNull("Größe"), critical=0),
        Check("quotes", Between('a"b`c', 1, 1), critical=0),
    ]
    results = run(live, checks, table, By("group"))
    assert {(r.check, r.violations) for r in results if r.group is None} == {
        ("unique", 2),
        ("one of", 1),
        ("not null", 1),
        ("quotes", 1),
    }


@pytest.mark.slow
def test_a_session_is_read_only_and_the_time_is_bounded(orders: Live) -> None:
    source = orders.datasource()
    for statement in ("DELETE FROM orders", "CREATE TABLE other (a integer)", "UPDATE orders SET amount = 1"):
        with pytest.raises(MeasureError):
            source.fetch(statement)
    assert source.fetch("SELECT count(*) FROM orders") == [(7,)]
    endless = {
        "duckdb": (
            "SELECT count(*) FROM range(100000000) a, range(100000000) b"
            " WHERE a.range * 7 = b.range + 1 AND random() < 2"
        ),
        "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
        "postgres": "SELECT pg_sleep(60)",
        "mariadb": "SELECT count(*) FROM " + ", ".join(f"information_schema.columns {name}" for name in "abcd"),
    }
    slow = orders.datasource(timeout=timedelta(seconds=1))
    begun = datetime.now(UTC)
    with pytest.raises(MeasureError):
        slow.fetch(endless[orders.name])
    assert datetime.now(UTC) - begun < timedelta(seconds=20)


def test_an_error_of_the_database_quotes_no_value_of_a_row(live: Live) -> None:
    live.load("orders", COLUMNS, [(1, "Secret-Name", 1.0, "x", str(NOON) if live.name == "sqlite" else NOON)])
    (result,) = run(live, [Check("c", Rows("CAST(org AS INTEGER) > 0"), critical=0)])
    assert "Secret-Name" not in result.sentence
    if live.name in ("duckdb", "postgres"):
        assert result.outcome is Outcome.UNMEASURED


def test_the_text_is_sent_as_it_is(orders: Live) -> None:
    source = orders.datasource()
    assert source.fetch("SELECT '100% :x %s %(a)s ?' AS a, 7 % 4 AS b") == [("100% :x %s %(a)s ?", 3)]


@pytest.mark.parametrize("expected", [None, ["came"]])
def test_an_org_of_another_day_is_missed_by_nobody(orders: Live, expected: list[str] | None) -> None:
    """The newest row is sought in the whole table and a query looks anywhere; the checks beside them do not."""
    day = Interval.of_day("2024-06-27")
    rows = [(7, "left", 1.0, "", NOON - timedelta(days=400)), (8, "came", 1.0, "", NOON + timedelta(days=1))]
    orders.load("orders", COLUMNS, [(*row, str(at) if orders.name == "sqlite" else at) for *row, at in rows])
    suite = Suite(
        "s",
        Table("live", "orders", partition="at"),
        checks=[
            Check("count", RowCount(), critical=at_least(1)),
            Check("fresh", Freshness("at"), critical=at_most("3d")),
            Check("seven", Query("SELECT org FROM orders WHERE id = 7"), critical=0),
        ],
        by=By("org", expected=expected),
    )
    source = orders.datasource()
    (scan,) = plan(suite)
    results = execute(scan, suite.table, suite.by_of, lambda _: source, Context(day, NOW + timedelta(days=1)))
    source.close()
    found = {(r.check, r.group.label if r.group else None): (r.outcome, r.orgs) for r in results}
    assert found == {
        ("count", None): (Outcome.PASS, 1),
        ("fresh", None): (Outcome.PASS, 1),
        ("seven", None): (Outcome.FAIL, 2),
        ("seven", "left"): (Outcome.FAIL, None),
    }


PREDICATES = [
    "amount > 0",
    "amount >= 0 AND note <> ''",
    "org = 'a' OR amount IS NULL",
    "note LIKE '%x%'",
    "NOT (amount < 1)",
    "id > 2",
    "org IS NULL",
    "amount * 2 > id",
    "coalesce(note, '') <> ''",
]
AGGREGATES = ["sum(amount)", "min(id)", "max(amount)", "count(note)", "count(distinct org)", "count(distinct note)"]


def random_check(rng: Random, number: int) -> Check:
    where = rng.choice([None, None, *PREDICATES])
    kind = rng.randrange(9)
    tolerance: dict[str, Any] = {"critical": rng.choice([0, 1, "10%", "50%"]), "where": where}
    if kind == 0:
        return Check(
            f"c{number}", Rows(rng.choice(PREDICATES)), nulls=rng.choice(["fail", "pass", "skip"]), **tolerance
        )
    counting: dict[int, Kind] = {
        1: NotNull(rng.choice(list(COLUMNS))),
        2: OneOf("org", rng.sample(["a", "b", "c", "", "it's"], 2)),
        3: Between("amount", rng.randint(-3, 0), rng.choice([None, 2.5])),
        4: Unique(*rng.sample(["id", "org", "note"], rng.randint(1, 2))),
    }
    if kind in counting:
        return Check(f"c{number}", counting[kind], **tolerance)
    if kind == 5:
        return Check(f"c{number}", Freshness("at"), critical=at_most(f"{rng.randint(1, 60)}h"), where=where)
    if kind == 6:
        return Check(
            f"c{number}", Query(f"SELECT * FROM orders WHERE {rng.choice(PREDICATES)}"), critical=rng.randint(0, 2)
        )
    if kind == 7:
        return Check(f"c{number}", RowCount(), critical=at_least(rng.randint(0, 5)), where=where)
    return Check(f"c{number}", Aggregate(rng.choice(AGGREGATES)), critical=at_least(rng.randint(-2, 5)), where=where)


@pytest.mark.slow
@pytest.mark.soak
def test_sharing_a_statement_changes_no_number(live: Live, histories: Any) -> None:
    """Fused equals unfused: on random rows full of NULLs, every check gives alone what it gives among the others."""
    for rng in histories(12, 80):
        rows = [
            (
                rng.choice([None, 1, 2, 3, 2**31 - 1]),
                rng.choice([None, "a", "b", "", "it's", "ü"]),
                rng.choice([None, 0.0, -1.5, 2.5, 1e15, -0.0]),
                rng.choice([None, "", "x", "xx%", "'"]),
                str(at) if live.name == "sqlite" else at,
            )
            for _ in range(rng.choice([0, 1, 3, 17]))
            for at in [NOON - timedelta(days=rng.choice([0, 0, 0, 1]))]
        ]
        live.load("orders", COLUMNS, rows)
        checks = [random_check(rng, number) for number in range(rng.randint(2, 25))]
        by = rng.choice([None, By("org"), By(("org", "note"))])
        together = run(live, checks, by=by)
        alone = [result for check in checks for result in run(live, [check], by=by)]
        assert together == alone
        assert not [r for r in together if r.outcome is Outcome.UNMEASURED]


def test_a_sample_is_judged_with_the_confidence_it_allows(live: Live) -> None:
    live.load("orders", {"id": "integer", "amount": "double"}, [(i, -1.0 if i % 10 == 0 else 1.0) for i in range(8000)])
    table = Table("live", "orders")
    loose = Check("loose", Rows("amount > 0"), critical="20%", sample="25%")
    strict = Check("strict", Rows("amount > 0"), critical="5%", sample="25%")
    whole = Check("whole", Rows("amount > 0"), critical="5%")
    results = {r.check: r for r in run(live, [loose, strict, whole], table)}
    assert {name: r.outcome for name, r in results.items()} == {
        "loose": Outcome.PASS, "strict": Outcome.FAIL, "whole": Outcome.FAIL
    }  # fmt: skip
    assert (results["whole"].rows, results["whole"].violations) == (8000, 800)
    # 25 % of 8,000: 2,000 with a standard deviation of 39; of them 10 %, give or take 13.
    for name in ("loose", "strict"):
        assert 1700 < (results[name].rows or 0) < 2300
        assert 100 < (results[name].violations or 0) < 320
        assert results[name].sentence.endswith("(in a sample of 25% of the rows)")
    counted = [(results[name].rows, results[name].violations) for name in ("loose", "strict")]
    assert counted[0] == counted[1], "both are of one sample"


def test_a_sample_by_org_and_of_nothing(live: Live) -> None:
    live.load("orders", {"org": "text", "amount": "double"}, [("ab"[i % 2], -1.0) for i in range(2000)])
    check = Check("c", Rows("amount > 0"), critical="20%", sample="50%", by=By("org"))
    results = run(live, [check], Table("live", "orders"))
    assert {(r.group.label if r.group else None, r.outcome) for r in results} == {
        (None, Outcome.FAIL), ("a", Outcome.FAIL), ("b", Outcome.FAIL)
    }  # fmt: skip
    live.load("orders", {"org": "text", "amount": "double"}, [])
    (nothing,) = run(live, [evolve(check, by=None)], Table("live", "orders"))
    assert (nothing.outcome, nothing.sentence) == (Outcome.NO_DATA, "no rows in the sample of 50% of the partition")


def test_a_late_value_that_cannot_be_cast_is_no_pass(tmp_path: Path) -> None:
    # DuckDB guesses the types of a CSV file from its first rows, and turns TRY_CAST over read_csv(all_varchar=true)
    # (2.0.0) into such a type when it makes a table of it: a late value is an error then. Counting runs into neither.
    good = "".join(f"{i},{i}.5\n" for i in range(60_000))
    (tmp_path / "late.csv").write_text(f"id,amount\n{good}60000,n/a\n")
    with duckdb.connect(tmp_path / "lake.duckdb") as lake:
        lake.execute(f"CREATE VIEW late AS SELECT * FROM read_csv('{tmp_path}/late.csv', all_varchar=true)")
        with pytest.raises(duckdb.ConversionException):
            lake.execute("CREATE TABLE copied AS SELECT TRY_CAST(amount AS DOUBLE) AS amount FROM late")
    source = SqlDatasource.of("lake", f"duckdb:///{tmp_path}/lake.duckdb", timeout=timedelta(seconds=60))
    checks = [
        Check("a number", Rows("TRY_CAST(amount AS DOUBLE) IS NOT NULL")),
        Check("rows", RowCount(), error=at_least(60_001)),
        Check("sum", Aggregate("sum(TRY_CAST(amount AS DOUBLE))"), error=at_least(1)),
    ]

    def found(table: Table) -> dict[str, Result]:
        suite = Suite("s", table, checks=checks)
        (scan,) = plan(suite)
        return {r.check: r for r in execute(scan, table, suite.by_of, lambda _: source, Context(DAY, NOW))}

    as_text = found(Table("lake", "late", key="id"))
    assert (as_text["a number"].violations, as_text["a number"].rows) == (1, 60_001)
    assert as_text["a number"].failing is not None and as_text["a number"].failing.rows == (("60000",),)
    assert as_text["sum"].outcome is Outcome.PASS
    guessed = found(Table("lake", f"{tmp_path}/late.csv"))
    source.close()
    assert guessed["a number"].outcome is Outcome.UNMEASURED and "60002" in guessed["a number"].sentence
    assert guessed["rows"].observed == 60_001, "one that cannot be counted takes no other down"
