"""Change and its memory: the tables of dq/checks/history.py, the stores that keep the numbers, and whole runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

import dq
from dq import By, Change, Check, Freshness, RowCount, Rows, Schema, Suite, Table, app, at_least, at_most, between
from dq.checks.history import deviation, in_history
from dq.checks.judge import Reading, judge
from dq.model.errors import DeclarationError, MeasureError, NotJudgedError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS, Measure
from dq.model.reading import Moment, Past, Wanted
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.store import history, measures

pytest_plugins = ["tests.stores"]

DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)


def ago(days: float, hours: float = 24) -> Interval:
    start = DAY.start - timedelta(days=days)
    return Interval(start, start + timedelta(hours=hours))


def pasts(*numbers: float, failed: tuple[int, ...] = ()) -> tuple[Past, ...]:
    """Return a number for each of the last days, yesterday's first; ``failed``: which of them failed."""
    return tuple(Past(ago(n), Fraction(str(number)), failed=n in failed) for n, number in enumerate(numbers, 1))


def value(kind: Change, number: float, past: tuple[Past, ...]) -> Fraction:
    found = kind.compared(Fraction(str(number)), Moment(NOW, DAY, past))
    assert isinstance(found.value, Fraction)
    return found.value


@pytest.mark.parametrize(
    ("past", "wanted", "counted"),
    [
        (Past(ago(1), Fraction(1)), {}, True),
        (Past(ago(1), Fraction(1), failed=True), {}, False),
        (Past(ago(1), Fraction(1), failed=True), {"failed": True}, True),
        # No future: the partition itself, one that overlaps it, a later one.
        (Past(DAY, Fraction(1)), {}, False),
        (Past(ago(0.5), Fraction(1)), {}, False),
        (Past(ago(-1), Fraction(1)), {}, False),
        # About the same length: an hour, a week; 31 days beside 28 are another matter, below.
        (Past(ago(1, hours=1), Fraction(1)), {}, False),
        (Past(ago(7, hours=168), Fraction(1)), {}, False),
        (Past(ago(1, hours=23), Fraction(1)), {}, True),
        (Past(ago(2), Fraction(1)), {"since": DAY.start - timedelta(days=2)}, True),
        (Past(ago(3), Fraction(1)), {"since": DAY.start - timedelta(days=2)}, False),
        (Past(ago(7), Fraction(1)), {"step": timedelta(days=7)}, True),
        (Past(ago(6), Fraction(1)), {"step": timedelta(days=7)}, False),
        (Past(ago(14), Fraction(1)), {"step": timedelta(days=7)}, True),
        # The clocks have changed in between.
        (Past(ago(7 + 1 / 24), Fraction(1)), {"step": timedelta(days=7)}, True),
        (Past(ago(7 - 1 / 24), Fraction(1)), {"step": timedelta(days=7)}, True),
        (Past(ago(7 + 2 / 24), Fraction(1)), {"step": timedelta(days=7)}, False),
    ],
)
def test_which_partition_is_in_the_history(past: Past, wanted: dict[str, Any], *, counted: bool) -> None:
    assert in_history([past], DAY, Wanted(9, **wanted)) == ((past,) if counted else ())


def test_months_are_of_one_length_and_hours_keep_their_hour() -> None:
    march = Interval(datetime(2024, 3, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC))
    february = Past(Interval(datetime(2024, 2, 1, tzinfo=UTC), march.start), Fraction(1))
    assert in_history([february], march, Wanted(1)) == (february,)
    hour = Interval(DAY.start, DAY.start + timedelta(hours=1))
    other = Past(ago(7 - 1 / 24, hours=1), Fraction(1))
    assert in_history([other], hour, Wanted(1, timedelta(days=7))) == ()


@given(
    st.lists(st.tuples(st.integers(-30, 60), st.integers(0, 100), st.booleans()), unique_by=lambda one: one[0]),
    st.integers(1, 9),
    st.booleans(),
    st.randoms(),
)
def test_a_back_fill_never_sees_its_future(
    drawn: list[tuple[int, int, bool]],
    last: int,
    failed: bool,
    rng: Any,  # drawn
) -> None:
    past = [Past(ago(days), Fraction(number), failed=bad) for days, number, bad in drawn]
    wanted = Wanted(last, failed=failed)
    found = in_history(past, DAY, wanted)
    older = [one for one in past if one.interval.end <= DAY.start]
    assert found == in_history(older, DAY, wanted)
    shuffled = list(past)
    rng.shuffle(shuffled)
    assert found == in_history(shuffled, DAY, wanted)
    good = [one for one in older if failed or not one.failed]
    assert len(found) == min(last, len(good))
    assert [one.interval.start for one in found] == sorted((g.interval.start for g in good), reverse=True)[:last]


@pytest.mark.parametrize(
    ("kind", "number", "past", "expected"),
    [
        (Change(RowCount()), 80, pasts(100, 7), Fraction(-20)),
        (Change(RowCount()), 80, pasts(7, 100, failed=(1,)), Fraction(-20)),
        (Change(RowCount(), failed="include"), 80, pasts(100, 7, failed=(1,)), Fraction(-20)),
        (Change(RowCount(), unit="ratio"), 80, pasts(100), Fraction(4, 5)),
        (Change(RowCount(), unit="absolute"), 80, pasts(100), Fraction(-20)),
        (Change(RowCount()), -80, pasts(-100), Fraction(20)),
        (Change(RowCount()), 0, pasts(0), Fraction(0)),
        (Change(RowCount(), unit="ratio"), 0, pasts(0), Fraction(1)),
        (Change(RowCount(), "same weekday"), 80, pasts(1, 2, 3, 4, 5, 6, 40, 8), Fraction(100)),
        (Change(RowCount(), "median", over=3), 80, pasts(50, 10, 40, 1000), Fraction(100)),
        (Change(RowCount(), "median", over=4), 80, pasts(50, 10, 30, 1000), Fraction(100)),
        (Change(RowCount(), "season", over=3), 30, pasts(*([1] * 6 + [10]), *([1] * 6 + [20]), *([1] * 6 + [60])),
         Fraction(50)),
        # The example of the median absolute deviation in every textbook: 1, 1, 2, 2, 4, 6, 9 has median 2 and MAD 1.
        (Change(RowCount(), "median", unit="zscore"), 5, pasts(1, 1, 2, 2, 4, 6, 9), 3 / Fraction("1.4826")),
        # MAD 0: the mean distance from 10 is (1 + 6) / 7.
        (Change(RowCount(), "median", unit="zscore"), 13, pasts(10, 10, 10, 10, 10, 11, 16), 3 / Fraction("1.2533")),
        (Change(RowCount(), "median", unit="zscore"), 10, pasts(*[10] * 7), Fraction(0)),
    ],
)  # fmt: skip
def test_what_is_measured(kind: Change, number: float, past: tuple[Past, ...], expected: Fraction) -> None:
    assert value(kind, number, past) == expected


@pytest.mark.parametrize(
    ("kind", "number", "past", "words"),
    [
        (Change(RowCount()), 5, pasts(0), "5 cannot be said in % of 0"),
        (Change(RowCount(), unit="ratio"), 5, pasts(0), "5 cannot be said in ratio of 0"),
        (Change(RowCount(), "median", unit="zscore"), 11, pasts(*[10] * 7), "all 7 partitions were 10, so 11 has no"),
    ],
)
def test_what_cannot_be_divided_is_told_and_still_remembered(
    kind: Change, number: float, past: tuple[Past, ...], words: str
) -> None:
    with pytest.raises(MeasureError, match=words) as told:
        value(kind, number, past)
    assert told.value.measured == number


@pytest.mark.parametrize(
    ("kind", "past", "words"),
    [
        (Change(RowCount()), (), "0 of 1 partitions of history"),
        (Change(RowCount(), "median"), pasts(1, 2, 3), "3 of 7 partitions of history"),
        (
            Change(RowCount(), "median"),
            pasts(*range(8), failed=(1, 2)),
            "6 of 7 .* 2 that failed are left out",
        ),
        (Change(RowCount(), "median", least=9), pasts(*range(8)), "8 of 9 partitions"),
        (Change(RowCount(), "season"), pasts(*range(20)), "2 of 3 partitions"),
    ],
)
def test_too_little_history_is_not_judged_and_still_remembered(
    kind: Change, past: tuple[Past, ...], words: str
) -> None:
    with pytest.raises(NotJudgedError, match=words) as told:
        value(kind, 5, past)
    assert told.value.measured == 5


@given(st.lists(st.integers(-1000, 1000), min_size=7, max_size=30), st.integers(-3000, 3000), st.integers(1, 9))
def test_the_band_is_where_the_value_would_reach_its_bounds(history_: list[int], number: int, end: int) -> None:
    for unit in ("absolute", "ratio", "%", "zscore"):
        kind = Change(RowCount(), "median", unit=unit)  # type: ignore[arg-type]  # each unit in turn
        try:
            found = kind.compared(Fraction(number), Moment(NOW, DAY, pasts(*history_)))
            assert found.back is not None
            reached = found.back(Fraction(end))
            assert value(kind, 0, pasts(*history_)) is not None
        except MeasureError:
            continue
        again = kind.compared(reached, Moment(NOW, DAY, pasts(*history_)))
        assert again.value == end or deviation_is_zero(kind, history_)


def deviation_is_zero(kind: Change, numbers: list[int]) -> bool:
    """Whether nothing can be divided by, so that the only value is "no change"."""
    base = Fraction(sorted(numbers)[len(numbers) // 2] + sorted(numbers)[(len(numbers) - 1) // 2], 2)
    return base == 0 if kind.unit in ("%", "ratio") else deviation([Fraction(n) for n in numbers], base) == 0


def judged(check: Check, number: int | None, past: tuple[Past, ...]) -> Result:
    numbers = {PARTITION_ROWS: number}
    (result,) = judge(check, Reading({None: numbers}, past={None: past}), NOW, DAY)
    return result


def test_the_sentence_shows_the_number_the_base_and_the_band() -> None:
    check = Check("c", Change(RowCount()), warning=between(-10, 10), critical=between(-50, 50))
    found = judged(check, 80, pasts(100))
    assert (found.outcome, found.severity, found.measured, found.observed) == (
        Outcome.FAIL, Severity.WARNING, 80, -20,
    )  # fmt: skip
    assert found.sentence == (
        "% of change of number of rows against the partition before is -20 (80; 2024-06-25: 100),"
        " outside between -10 and 10 (warning), which is 90 to 110"
    )
    assert found.detail == {
        "measured": 80, "base": 100, "history": 1, "band": {"warning": [90, 110], "critical": [50, 150]},
    }  # fmt: skip
    robust = Check("c", Change(RowCount(), "median", unit="zscore"), critical=at_most(3))
    found = judged(robust, 2, pasts(1, 1, 2, 2, 4, 6, 9))
    assert found.sentence == (
        "robust z-score of number of rows against the median of the last 28 partitions is 0"
        " (2; 7 partitions, median 2), within at most 3, which is 6.4478 or less"
    )
    assert judged(Check("c", Change(RowCount()), critical=at_least(-50)), 80, pasts(-100)).sentence.endswith(
        "which is -150 or more"
    )
    ratio = Check("c", Change(RowCount(), unit="ratio"), critical=at_least(2))
    assert judged(ratio, -300, pasts(-100)).sentence.endswith("within at least 2, which is -200 or less")


def test_skips_and_empty_partitions_keep_their_outcome() -> None:
    check = Check("c", Change(RowCount(), "median"), critical=between(-50, 50))
    early = judged(check, 80, pasts(1, 2))
    assert (early.outcome, early.severity, early.measured) == (Outcome.SKIP, None, 80)
    assert early.sentence == "not judged: 2 of 7 partitions of history"
    empty = judged(check, 0, pasts(*range(9)))
    assert (empty.outcome, empty.severity, empty.measured) == (Outcome.NO_DATA, Severity.CRITICAL, None)
    zero = judged(Check("c", Change(RowCount()), critical=at_most(5)), 5, pasts(0))
    assert (zero.outcome, zero.severity, zero.measured) == (Outcome.UNMEASURED, Severity.CRITICAL, 5)


def test_the_change_of_violations_and_of_an_age() -> None:
    rows = Check("c", Change(Rows("a > 0"), unit="absolute"), critical=at_most(5))
    bad = {PARTITION_ROWS: 9, rows.kind.measures(None)["violations"]: 7}
    (found,) = judge(rows, Reading({None: bad}, past={None: pasts(1)}), NOW, DAY)
    assert (found.outcome, found.observed, found.measured) == (Outcome.FAIL, 6, 7)
    assert "change of violations of a > 0 against the partition before is 6 (7; 2024-06-25: 1)" in found.sentence
    assert all(measure.form != "unknown" for measure in rows.kind.measures(None).values())
    age = Check("c", Change(Freshness("at"), unit="ratio"), critical=at_most(2))
    newest = {PARTITION_ROWS: 9, Measure("newest", "at"): NOW - timedelta(hours=3)}
    (found,) = judge(age, Reading({None: newest}, past={None: pasts(3600)}), NOW, DAY)
    assert (found.outcome, found.observed, found.measured) == (Outcome.FAIL, 3, 3 * 3600)
    assert "(3h; 2024-06-25: 1h)" in found.sentence


def test_orgs_are_held_against_their_own_past_and_all_are_remembered() -> None:
    check = Check("c", Change(RowCount()), critical=between(-50, 50), by="org")
    a, b, c = (Group(("org",), (name,)) for name in "abc")
    numbers = {a: {PARTITION_ROWS: 10}, b: {PARTITION_ROWS: 10}, c: {PARTITION_ROWS: 10}}
    past = {a: pasts(10), b: pasts(100)}
    results = judge(check, Reading(numbers, past=past, by=By("org")), NOW, DAY)
    assert [(r.group, r.outcome) for r in results] == [(None, Outcome.FAIL), (b, Outcome.FAIL)]
    assert {r.group: (r.outcome, r.measured) for r in results[0].every_org} == {
        a: (Outcome.PASS, 10), b: (Outcome.FAIL, 10), c: (Outcome.SKIP, 10),
    }  # fmt: skip
    (summary,) = judge(check, Reading({a: numbers[a], c: numbers[c]}, past=past, by=By("org")), NOW, DAY)
    assert (summary.outcome, summary.sentence[:18]) == (Outcome.PASS, "1 of 2 orgs hold: ")
    assert summary.sentence.endswith("; 1 not judged")
    (summary,) = judge(check, Reading({c: numbers[c]}, by=By("org")), NOW, DAY)
    assert (summary.outcome, summary.sentence) == (
        Outcome.SKIP, "none of 1 orgs is judged: 0 of 1 partitions of history",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Change(RowCount), "is not a kind of check"),
        (Change("rows"), "is not a kind of check"),  # type: ignore[arg-type]  # the mistake
        (Change(Schema("a")), "cannot be measured"),
        (Change(Change(RowCount())), "cannot be measured"),
        (Change(RowCount(), "yesterday"), "against='yesterday' is not one of"),  # type: ignore[arg-type]  # the mistake
        (Change(RowCount(), unit="percent"), "unit='percent' is not one of"),  # type: ignore[arg-type]  # the mistake
        (Change(RowCount(), unit="zscore"), "a z-score needs more than one partition"),
        (Change(RowCount(), over=5), "over=5 says nothing about one partition"),
        (Change(RowCount(), "median", over=0), "over=0 is not a number of partitions from 1 to 366"),
        (Change(RowCount(), "median", over=5, least=6), "least=6 is more than the 5"),
        (Change(RowCount(), since="2024-06-01"), "since='2024-06-01' is not a date"),  # type: ignore[arg-type]  # mistake
        (Change(Rows("")), "Rows"),
    ],
)
def test_what_cannot_mean_anything_is_refused(kind: Change, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Suite("s", Table("w", "t"), checks=[Check("c", kind, critical=at_most(5))])


# ---------------------------------------------------------------------------------------------------------- the stores


def stored(engine: Engine, interval: Interval, *results: Result, origin: str = "cli", now: datetime = NOW) -> None:
    with engine.begin() as connection:
        run = history.start_run(connection, "test", "s", "suite", interval, origin, now)
        history.record_scan(connection, run, "scan", results, now)


def seen(engine: Engine, interval: Interval = DAY, **wanted: Any) -> dict[Group | None, list[tuple[str, int]]]:
    with engine.begin() as connection:
        found = measures.past(connection, "test", "s", interval, {"c": Wanted(**{"last": 9, **wanted})})
    return {
        group: [(str(one.interval), int(one.measured)) for one in past]  # type: ignore[arg-type]  # numbers
        for group, past in found["c"].items()
    }


def result(number: int | None, outcome: Outcome = Outcome.PASS, **more: Any) -> Result:
    return Result(check="c", outcome=outcome, measured=number, **more)


def test_a_partition_has_the_number_of_its_newest_run(empty_store: Engine) -> None:
    stored(empty_store, ago(1), result(1))
    stored(empty_store, ago(2), result(2))
    stored(empty_store, ago(1), result(3), origin="airflow")
    assert seen(empty_store) == {None: [("2024-06-25", 3), ("2024-06-24", 2)]}
    stored(empty_store, ago(2), result(None, Outcome.UNMEASURED, severity=Severity.ERROR))
    assert seen(empty_store) == {None: [("2024-06-25", 3)]}
    stored(empty_store, DAY, result(9))
    stored(empty_store, ago(-1), result(10))
    assert seen(empty_store) == {None: [("2024-06-25", 3)]}
    assert seen(empty_store, ago(-2))[None][:2] == [("2024-06-27", 10), ("2024-06-26", 9)]


def test_failures_lengths_weeks_and_numbers_are_chosen_by_the_database(empty_store: Engine) -> None:
    for days in range(1, 30):
        bad = days in (1, 7)
        stored(
            empty_store,
            ago(days),
            result(days, Outcome.FAIL if bad else Outcome.PASS, severity=Severity.CRITICAL if bad else None),
        )
    stored(empty_store, ago(2), result(2, Outcome.FAIL, severity=Severity.WARNING))
    stored(empty_store, ago(1, hours=1), result(99))
    assert [n for _, n in seen(empty_store, last=3)[None]][:3] == [2, 3, 4]
    assert [n for _, n in seen(empty_store, last=3, failed=True)[None]][:3] == [1, 2, 3]
    assert [n for _, n in seen(empty_store, step=timedelta(days=7))[None]] == [14, 21, 28]
    assert [n for _, n in seen(empty_store, since=ago(4).start)[None]] == [2, 3, 4]


def test_orgs_have_a_past_of_their_own(empty_store: Engine) -> None:
    a, none = Group(("org",), ("a",)), Group(("org",), (None,))
    for days in (1, 2):
        orgs = (result(days, group=a), result(10 * days, group=none))
        stored(empty_store, ago(days), result(None, every_org=orgs), orgs[0])
    assert seen(empty_store) == {
        a: [("2024-06-25", 1), ("2024-06-24", 2)], none: [("2024-06-25", 10), ("2024-06-24", 20)],
    }  # fmt: skip


def test_a_new_name_carries_the_past_and_what_was_recorded(empty_store: Engine) -> None:
    stored(empty_store, ago(2), evolve(result(2), check="old", record=[["id", "int", True]]))
    stored(empty_store, ago(1), evolve(result(1), check="old", record="later"))
    for _ in range(2):
        with empty_store.begin() as connection:
            measures.rename(connection, "test", "s", {"old": "c"})
            (recorded,) = measures.references(connection, "test", "s")
    assert seen(empty_store) == {None: [("2024-06-25", 1), ("2024-06-24", 2)]}
    assert (recorded.check, recorded.body, recorded.interval) == ("c", [["id", "int", True]], ago(2))


def test_numbers_are_kept_exactly(empty_store: Engine) -> None:
    numbers = [Decimal("0.1"), 10**30 + 1, Decimal(1) / Decimal(3), -5]
    for days, number in enumerate(numbers, 1):
        stored(empty_store, ago(days), evolve(result(None), measured=number))
    with empty_store.begin() as connection:
        kept = measures.kept(connection, "test", "s", ["c"])
    assert [one.measured for one in reversed(kept)] == [Fraction(number) for number in numbers]


# ----------------------------------------------------------------------------------------------------------- whole runs

TOML = '[store]\nurl = "sqlite:///var/store.sqlite"\n[datasources.live]\nurl = "sqlite:///live.sqlite"\n'
CHECKS = """
from dq import *
orders = Suite("orders", Table("live", "orders", partition="day"), checks=[
    Check({name!r}, Change(RowCount(), "median", least=3), critical=between(-50, 50){more}),
    Check("per org", Change(RowCount()), critical=between(-50, 50), by="org"),
    Check("columns", Schema()),
])
"""


@pytest.fixture
def shop(make_project: Callable[..., Path]) -> Path:
    root = make_project(TOML, {"checks/orders.py": CHECKS.format(name="volume", more="")})
    with sqlite3.connect(root / "live.sqlite") as live:
        live.execute("CREATE TABLE orders (day TEXT, org TEXT)")
    live.close()
    return root


def load(root: Path, day: int, **orgs: int) -> None:
    with sqlite3.connect(root / "live.sqlite") as live:
        live.execute("DELETE FROM orders WHERE day = ?", (f"2024-06-{day:02}",))
        rows = [(f"2024-06-{day:02}", org) for org, count in orgs.items() for _ in range(count)]
        live.executemany("INSERT INTO orders VALUES (?, ?)", rows)
    live.close()


def run(root: Path, day: int, **settings: Any) -> dict[str, tuple[Outcome, str]]:
    done: Run = app.run(app.open_project(root), "orders", Interval.of_day(date(2024, 6, day)), **settings)
    return {r.check: (r.outcome, r.sentence) for r in done.summaries}


def test_runs_remember_repeat_and_carry_on_under_a_new_name(shop: Path) -> None:
    for day in range(1, 4):
        load(shop, day, a=10 * day, b=10)
        found = run(shop, day)
        assert found["volume"] == (Outcome.SKIP, f"not judged: {day - 1} of 3 partitions of history")
    # Of the org a the second day failed, so the third is held against the first.
    assert found["per org"][1].startswith("1 of 2 orgs are not well: a: ")
    assert "is 200 (30; 2024-06-01: 10)" in found["per org"][1]
    assert found["columns"][0] is Outcome.PASS
    load(shop, 4, a=2, b=2)
    found = run(shop, 4)
    assert found["volume"][0] is Outcome.FAIL
    assert (
        "(4; 3 partitions, median 30), outside between -50 and 50 (critical), which is 15 to 45" in found["volume"][1]
    )
    # The failed day is no measure for the next one, and a repeated run replaces what it left.
    load(shop, 5, a=20, b=20)
    assert "(40; 3 partitions, median 30)" in run(shop, 5)["volume"][1]
    load(shop, 4, a=25, b=25)
    assert run(shop, 4)["volume"][0] is Outcome.FAIL  # 50 is more than 45
    load(shop, 4, a=20, b=24)
    assert run(shop, 4)["volume"][0] is Outcome.PASS
    assert "(40; 4 partitions, median 35)" in run(shop, 5)["volume"][1]
    # A back-fill of an older day sees the days before it only.
    assert run(shop, 3)["volume"] == (Outcome.SKIP, "not judged: 2 of 3 partitions of history")
    renamed = CHECKS.format(name="number of rows", more=', was="volume"')
    (shop / "checks" / "orders.py").write_text(renamed)
    assert "(40; 4 partitions, median 35)" in run(shop, 5)["number of rows"][1]
    again = CHECKS.format(name="rows", more=', was="number of rows"')
    (shop / "checks" / "orders.py").write_text(again)
    assert "(40; 4 partitions, median 35)" in run(shop, 5)["rows"][1]


def test_drift_is_held_against_the_first_run(shop: Path) -> None:
    load(shop, 1, a=1)
    assert "nothing was recorded yet; its 2 columns are now" in run(shop, 1)["columns"][1]
    assert run(shop, 1)["columns"] == (Outcome.PASS, "holds: the columns are those that were recorded")
    with sqlite3.connect(shop / "live.sqlite") as live:
        live.execute("ALTER TABLE orders ADD COLUMN note TEXT")
    live.close()
    for _ in range(2):
        outcome, sentence = run(shop, 1)["columns"]
        assert (outcome, "added: note" in sentence) == (Outcome.FAIL, True)


def test_without_a_store_what_needs_one_is_not_judged(shop: Path) -> None:
    load(shop, 1, a=1)
    run(shop, 1)
    load(shop, 2, a=1)
    why = "not judged: it is held against what earlier runs stored, and this run uses no store"
    assert set(run(shop, 2, store=False).values()) == {(Outcome.SKIP, why)}
    suite = Suite(
        "s", Table("live", "orders"), checks=[Check("c", Change(RowCount()), critical=at_most(5)), Check("d", Schema())]
    )
    done = dq.run(suite, "2024-06-01", datasources={"live": f"sqlite:///{shop}/live.sqlite"})
    assert {r.sentence for r in done.results} == {why}
    assert done.ok
