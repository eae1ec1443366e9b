"""Reconciliations: the published report to the digit, every difference of the real data, and what is odd."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq import By, Explained, Level, Reconciliation, Stage, Table, Total
from dq.context import Context
from dq.datasource import Datasource, Row, SqlDatasource
from dq.ledger import reconcile
from dq.loader import load_declarations
from dq.model.errors import DeclarationError, MeasureError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.severity import Outcome, Severity
from dq.store.artefact import ledger_from_json, ledger_to_json
from tests.demo import warehouse

ROOT = Path(__file__).parent.parent
NOW = datetime(2025, 1, 9, tzinfo=UTC)
DAY = Interval.of_day("2024-06-26")


@pytest.fixture(scope="module")
def connect(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Datasource]:
    """The datasources of this repository's own project, with the whole of the real data."""
    folder = tmp_path_factory.mktemp("warehouse")
    warehouse.build(folder, date(2025, 1, 8))
    urls = {"warehouse": f"duckdb:///{folder}/warehouse.duckdb", "archive": f"sqlite:///{folder}/archive.sqlite"}
    made = {name: SqlDatasource.of(name, url, timeout=timedelta(minutes=1)) for name, url in urls.items()}
    return made.__getitem__


@pytest.fixture(scope="module")
def declared() -> dict[str, Reconciliation]:
    return {name: value for name, value in load_declarations(ROOT).values.items() if isinstance(value, Reconciliation)}


def test_the_published_report_to_the_digit(
    connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]
) -> None:
    ledger = reconcile(
        declared["message_pipeline"], connect, Context(Interval.of_day(warehouse.AGARI_DAY), NOW), "prod"
    )
    assert [column.heading for column in ledger.columns] == [
        "Collector Msgs", "Agg Msgs", "DB Msgs", "Discrepancy", "Discr %",
        "NRT DB Msgs", "NRT Discrepancy", "NRT Discr %", "Skipped",
    ]  # fmt: skip
    printed = {
        row.org.label: (
            row.counts["collector"], row.counts["aggregate"],
            row.counts["database"], row.discrepancy["database"], percent(row.share["database"]),
            row.counts["nrt"], row.discrepancy["nrt"], percent(row.share["nrt"]),
            row.explained["Skipped"],
        )
        for row in ledger.rows
    }  # fmt: skip
    assert printed == {
        "1": (340, 266, 266, 0, 0.0, 340, -74, -21.8, 74),
        "5": (43115, 43115, 43115, 0, 0.0, 358, 42757, 99.2, 0),
        "6": (156, 153, 153, 0, 0.0, 0, 153, 98.1, 3),
        "7": (73, 68, 68, 0, 0.0, 0, 68, 93.2, 5),
        "12": (315, 111, 111, 0, 0.0, 0, 111, 35.2, 204),
        "14": (35648, 28731, 28731, 0, 0.0, 0, 28731, 80.6, 6917),
        "16": (35383, 34010, 34010, 0, 0.0, 0, 34010, 96.1, 1373),
        "25": (20530, 20530, 20530, 0, 0.0, 0, 20530, 100.0, 0),
        "54": (30003, 26190, 26190, 0, 0.0, 0, 26190, 87.3, 3813),
        "56": (108084, 108080, 108080, 0, 0.0, 0, 108080, 100.0, 4),
    }
    assert ledger.totals == (("RDAs", 22058, ""), ("messages", 261254, ""))
    assert [column.derived for column in ledger.columns if column.kind == "explained"] == [True]


def percent(share: Fraction | None) -> float:
    assert share is not None
    return float(round(share * 100, 1))


def whole_period(connect: Callable[[str], Datasource], declared: Reconciliation) -> Ledger:
    return reconcile(
        declared, connect, Context(Interval(datetime(2020, 2, 24, tzinfo=UTC), NOW), NOW, by_day=True), "prod"
    )


@pytest.mark.slow
def test_every_difference_of_the_real_data_is_found_and_no_other(
    connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]
) -> None:
    ledger = whole_period(connect, declared["covid_ledger"])
    assert len(ledger.rows) == 37_401
    found = {
        (str(row.interval), row.org.label): row.discrepancy["provinces"]
        for row in ledger.rows
        if row.discrepancy["provinces"]
    }
    with (ROOT / "tests/data/truth_region_vs_province.csv").open(encoding="utf-8") as file:
        # The truth file says B - A; dq says baseline - stage.
        truth = {(row["report_date"], row["region_name"]): -int(row["diff"]) for row in csv.DictReader(file)}
    assert len(truth) == 60
    assert found == truth
    assert ledger_from_json(ledger_to_json(ledger)) == ledger


@pytest.mark.slow
def test_a_total_of_one_day_is_not_shown_for_many(
    connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]
) -> None:
    totals = whole_period(connect, declared["covid_ledger"]).totals
    assert totals[0] == ("cases in the nation", None, "it is a number of one day")
    assert totals[1][1] is not None


def test_nation_against_regions_shows_no_difference(
    connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]
) -> None:
    ledger = whole_period(connect, declared["covid_nation"])
    assert len(ledger.rows) == 1_781
    assert ledger.severity is None
    assert not any(row.discrepancy["regions"] for row in ledger.rows)


@pytest.mark.slow
def test_provinces_regions_and_the_nation_are_held_against_each_other(connect: Callable[[str], Datasource]) -> None:
    def table(datasource: str, name: str) -> Table:
        return Table(datasource, name, partition="report_date")

    cases = "sum(totale_casi)"
    italy = Reconciliation(
        "italy",
        by=By(("region_name", "province_name")),
        stages=[Stage("provinces", table("archive", "province_daily"), measure=cases)],
        levels=[
            Level("region_name", stages=[Stage("regions", table("warehouse", "region_daily"), measure=cases)]),
            Level(stages=[Stage("nation", table("warehouse", "nation_daily"), measure=cases)]),
        ],
        critical=0,
    )
    ledger = whole_period(connect, italy)
    regions, nation = ledger.levels
    found = {(str(row.interval), row.org.label): row.discrepancy["regions"] for row in regions.rows if row.severity}
    with (ROOT / "tests/data/truth_region_vs_province.csv").open(encoding="utf-8") as file:
        truth = {(row["report_date"], row["region_name"]): int(row["diff"]) for row in csv.DictReader(file)}
    assert found == truth
    assert len(nation.rows) == 1_781 and {row.org.label for row in nation.rows} == {"all"}
    by_day: dict[str, int] = {}
    for (day, _), count in truth.items():
        by_day[day] = by_day.get(day, 0) + count
    of_nation = {str(row.interval): row.discrepancy for row in nation.rows if row.severity}
    assert {day: {"regions": n, "nation": n} for day, n in by_day.items() if n} == of_nation
    assert {r.check for r in ledger.results} == set(italy.check_names)
    assert italy.check_names == ("regions by region_name", "regions of all", "nation of all")
    assert ledger.severity is Severity.CRITICAL
    assert ledger_from_json(ledger_to_json(ledger)) == ledger


def test_one_day_is_judged_per_org(connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]) -> None:
    ledger = reconcile(declared["covid_ledger"], connect, Context(DAY, NOW), "prod")
    summary, trento = ledger.results
    assert (summary.outcome, summary.severity, summary.orgs, summary.orgs_bad) == (
        Outcome.FAIL,
        Severity.CRITICAL,
        21,
        1,
    )
    assert trento.group is not None
    assert (trento.group.label, trento.violations, trento.observed) == ("P.A. Trento", 253_558, 253_558)
    assert ledger.rows[0].org == trento.group
    assert ledger.totals[0] == ("cases in the nation", 26_736_948, "")


Answer = Sequence[tuple[object, ...]] | None


class Rows:
    """A datasource of fixed answers: what is tested here is the arithmetic, not an engine."""

    dialect = "sqlite"

    def __init__(self, name: str, rows: Answer) -> None:
        self.name = name
        self.rows = rows

    def fetch(self, sql: str) -> list[Row]:
        if self.rows is None:
            raise MeasureError(f"datasource {self.name!r}: connection refused")
        return list(self.rows)

    def close(self) -> None: ...


def ledger_of(
    interval: Interval = DAY,
    by: By | None = None,
    explained: tuple[Explained, ...] = (),
    settings: dict[str, Any] | None = None,
    of_stages: dict[str, dict[str, Any]] | None = None,
    keep: Collection[Group] = (),
    **stages: Answer,
) -> Ledger:
    tables = {name: Table(name, "t", partition="day") for name in stages}
    own = of_stages or {}
    made = Reconciliation(
        "r",
        by=by or By("org"),
        stages=[Stage(name, tables[name], **own.get(name, {})) for name in stages if name != "dead"],
        explained=explained,
        **(settings or {"critical": 0}),
    )
    return reconcile(made, lambda name: Rows(name, stages[name]), Context(interval, NOW), "prod", keep=keep)


def bad(ledger: Ledger) -> dict[tuple[str, str], Severity | None]:
    return {(r.check, r.group.label): r.severity for r in ledger.results if r.group is not None}


def shown(ledger: Ledger) -> dict[str, tuple[object, ...]]:
    return {
        row.org.label: (row.counts["a"], row.counts["b"], row.discrepancy["b"], row.share["b"], row.notes)
        for row in ledger.rows
    }


class Busy(Rows):
    """A datasource that knows how many statements it was asked at once."""

    now = most = 0

    def __init__(self, dialect: str) -> None:
        super().__init__("a", [("x", 1)])
        self.dialect = dialect

    def fetch(self, sql: str) -> list[Row]:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.2)
        self.now -= 1
        return [(1,)] if sql.startswith("SELECT 1") else super().fetch(sql)


@pytest.mark.parametrize(("dialect", "at_once"), [("duckdb", 1), ("sqlite", 3)])
def test_a_duckdb_is_asked_one_thing_at_a_time(dialect: str, at_once: int) -> None:
    table, busy = Table("a", "t", partition="day"), Busy(dialect)
    made = Reconciliation(
        "r", by="org", stages=[Stage("a", table), Stage("b", table)],
        totals=[Total("one", datasource="a", query="SELECT 1")],
    )  # fmt: skip
    ledger = reconcile(made, lambda _: busy, Context(DAY, NOW), "prod")
    assert ledger.totals == (("one", 1, ""),)
    assert ledger.severity is None and busy.most == at_once


def test_what_is_odd_is_shown_as_what_it_is() -> None:
    ledger = ledger_of(
        a=[("1", 10), ("2", 0), ("3", 5), (None, 4), ("4", 0), ("5", None)],
        b=[(1, 10), (2, 7), (None, 1), ("9", 2), ("4", 0), ("5", 0)],
    )
    assert shown(ledger) == {
        "1": (10, 10, 0, Fraction(0), ()),
        "2": (0, 7, -7, None, ("a is zero",)),
        "3": (5, None, 5, Fraction(1), ("absent at b",)),
        "(no org)": (4, 1, 3, Fraction(3, 4), ()),
        "4": (0, 0, 0, Fraction(0), ()),
        "5": (0, 0, 0, Fraction(0), ("sum is NULL at a",)),
        "9": (None, 2, -2, None, ("absent at a", "a is zero")),
    }
    assert {r.group.label for r in ledger.results if r.group} == {"2", "3", "(no org)", "9"}


def test_an_expected_org_without_rows_is_a_result() -> None:
    ledger = ledger_of(by=By("org", expected=["1", "7"]), a=[("1", 10)], b=[("1", 10)])
    summary, missing = ledger.results
    assert missing.group is not None
    assert (missing.group.label, missing.outcome, missing.severity) == ("7", Outcome.NO_DATA, Severity.CRITICAL)
    assert (summary.outcome, summary.orgs, summary.orgs_bad) == (Outcome.NO_DATA, 2, 1)


@pytest.mark.parametrize(
    ("a", "b", "outcome", "words"),
    [
        ([], [], Outcome.NO_DATA, "no rows at a"),
        ([("1", 5)], [], Outcome.NO_DATA, "no rows at b, while a has 5"),
        ([], [("1", 5)], Outcome.NO_DATA, "no rows at a"),
        (None, [("1", 5)], Outcome.UNMEASURED, "a could not be counted: datasource 'a': connection refused"),
        ([("1", 5)], None, Outcome.UNMEASURED, "b could not be counted"),
    ],
)
def test_a_stage_that_is_empty_or_silent_is_not_a_pass(a: Answer, b: Answer, outcome: Outcome, words: str) -> None:
    (summary,) = ledger_of(a=a, b=b).results
    assert (summary.outcome, summary.severity) == (outcome, Severity.CRITICAL)
    assert words in summary.sentence


def test_a_broken_stage_takes_no_other_down() -> None:
    ledger = ledger_of(a=[("1", 5)], b=None, c=[("1", 5)])
    assert {r.check: r.outcome for r in ledger.results} == {"b": Outcome.UNMEASURED, "c": Outcome.PASS}


@pytest.mark.parametrize(
    ("a", "b", "missing"),
    [
        (89148.21000000005, 89148.21000000021, 0),  # the same amounts, added up in another order
        (Decimal("89148.21"), 89148.20999999996, 0),
        (89148.21, Decimal("89148.20"), Decimal("0.01")),
        (89148.21, 89148.20999, Decimal("0.00001")),
        (Decimal("999999999999.01"), Decimal("999999999999.00"), Decimal("0.01")),  # in decimals each digit counts
        (0.1, 0, Decimal("0.1")),
        (-5.000000000000001, -5.0, 0),
    ],
)
def test_a_sum_of_floats_is_the_same_in_another_order(a: Any, b: Any, missing: Any) -> None:
    ledger = ledger_of(a=[("1", a)], b=[("1", b)], c=[("1", b)])
    (row,) = ledger.rows
    assert row.discrepancy == {"b": missing, "c": missing}
    assert (ledger.severity is None) is not bool(missing)


def test_what_is_no_number_costs_one_stage() -> None:
    ledger = ledger_of(a=[("1", 5)], b=[("1", "five")], c=[("1", float("nan"))], d=[("1", 5)])
    assert {r.check: r.outcome for r in ledger.results} == {
        "b": Outcome.UNMEASURED,
        "c": Outcome.UNMEASURED,
        "d": Outcome.PASS,
    }
    assert "the count is 'five', which is not a number" in ledger.results[0].sentence


def test_a_loss_that_could_not_be_counted_is_no_number() -> None:
    derived = Explained("skipped", derived=("a", "b"), stages="b")
    dead = Explained("dead letters", counted=Stage("dead", Table("dead", "dead_letters", partition="day")), stages="b")
    ledger = ledger_of(explained=(derived, dead), a=[("1", 5)], b=None, c=[("1", 5)], dead=None)
    assert [(row.explained, row.discrepancy) for row in ledger.rows] == [({}, {"c": 0})]


def test_explained_losses_are_taken_off() -> None:
    dead = Explained("dead letters", counted=Stage("dead", Table("dead", "dead_letters", partition="day")), stages="b")
    ledger = ledger_of(
        explained=(dead,),
        a=[("1", 10), ("2", 10)],
        b=[("1", 7), ("2", 10)],
        c=[("1", 7), ("2", 10)],
        dead=[("1", 3), ("8", 1)],
    )
    found = {(row.org.label, stage): value for row in ledger.rows for stage, value in row.discrepancy.items()}
    assert found == {("1", "b"): 0, ("1", "c"): 3, ("2", "b"): 0, ("2", "c"): 0, ("8", "b"): -1, ("8", "c"): 0}
    silent = ledger_of(explained=(dead,), a=[("1", 10)], b=[("1", 7)], c=[("1", 10)], dead=None)
    assert {r.check: r.outcome for r in silent.results} == {"b": Outcome.UNMEASURED, "c": Outcome.PASS}


def test_a_bad_org_is_told_at_which_hop_its_records_are_lost() -> None:
    counted = {
        "a": [("1", 100), ("2", 100), ("3", 100), ("4", 100)],
        "b": [("1", 90), ("2", 100), ("3", 100)],
        "c": [("1", 90), ("2", 70), ("3", 99), ("4", 100)],
        "d": [("1", 90), ("2", 80), ("3", 99), ("4", 100)],
    }
    quiet = {"b": {"compare": False}, "c": {"compare": False}}
    ledger = ledger_of(settings={"error": 5}, of_stages=quiet, **counted)
    assert {row.org.label: row.notes for row in ledger.rows} == {
        "1": ("10 missing between a and b",),
        "2": ("30 missing between b and c", "10 too many between c and d"),
        "3": (),
        "4": ("absent at b",),
    }
    lost = ledger_of(settings={"error": 5}, of_stages=quiet, **(counted | {"b": None}))
    assert {row.org.label: row.notes for row in lost.rows if row.severity} == {
        "1": ("10 missing between a and c",),
        "2": ("30 missing between a and c", "10 too many between c and d"),
    }
    branch = {**quiet, "d": {"after": "a"}}
    assert not any(row.notes for row in ledger_of(settings={"error": 5}, of_stages=branch, **counted).rows[:3])


def test_orgs_that_are_called_otherwise_at_a_stage_are_the_same() -> None:
    counted: dict[str, Answer] = {
        "a": [("21", 5), ("22", 7), ("4", 1), ("x", 2)],
        "b": [("04", 3), (" old ", 2), ("22", 7), ("0004", 1), (None, 9)],
    }
    there = {"normalise": ["strip", "no leading zeros"], "mapping": {"old": 21}}
    assert shown(ledger_of(of_stages={"b": there}, **counted)) == {
        "21": (5, 2, 3, Fraction(3, 5), ()),
        "22": (7, 7, 0, Fraction(0), ()),
        "4": (1, 4, -3, Fraction(-3), ()),
        "x": (2, None, 2, Fraction(1), ("absent at b",)),
        "(no org)": (None, 9, -9, None, ("absent at a", "a is zero")),
    }
    distinct = {"b": there | {"measure": "count(DISTINCT id)"}}
    (summary,) = (r for r in ledger_of(of_stages=distinct, **counted).results if r.group is None)
    assert summary.outcome is Outcome.UNMEASURED
    assert "several orgs are called 4, and their count(DISTINCT id) cannot be added up" in summary.sentence


@pytest.mark.parametrize(
    ("of_b", "words"),
    [
        ({"normalise": "uper"}, "normalise='uper' is not one of 'strip', 'upper', 'lower', 'no leading zeros'"),
        ({"mapping": "orgs"}, "mapping='orgs' is neither a mapping nor a SELECT"),
        ({"mapping": {"1": ("2", "3")}}, "mapping=: By names ('2', '3') for the columns org"),
    ],
)
def test_names_that_mean_nothing_are_refused(of_b: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        ledger_of(of_stages={"b": of_b}, a=[], b=[])
    assert f"stage 'b': {words}" in str(refused.value)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ("SELECT '04', 'Trento' UNION SELECT '4', 'Bolzano'", "its mapping calls 4 both "),
        ("SELECT 1, 2, 3", "its mapping returns 3 columns instead of 2"),
        ("SELECT no_such_column, 1 FROM province_daily", "no_such_column"),
    ],
)
def test_a_mapping_that_cannot_be_used_costs_its_stage(
    connect: Callable[[str], Datasource], pairs: str, words: str
) -> None:
    (summary, *_) = _by_code(connect, pairs).results
    assert summary.outcome is Outcome.UNMEASURED
    assert words in summary.sentence


def test_a_table_of_names_joins_what_is_called_by_code_and_by_name(
    connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]
) -> None:
    """In the file of the provinces, both autonomous provinces have the code 04: by code they are one region."""
    names = "SELECT DISTINCT region_code, replace(replace(region_name, 'P.A. Trento', '4'), 'P.A. Bolzano', '4') "
    by_name = reconcile(declared["covid_ledger"], connect, Context(DAY, NOW), "prod")
    by_code = _by_code(connect, names + "FROM province_daily WHERE report_date = '{{ ds }}'")
    expected: dict[str, list[object]] = {}
    for row in by_name.rows:
        sums = expected.setdefault("4" if row.org.label.startswith("P.A.") else row.org.label, [0, 0])
        for place, stage in enumerate(("region", "provinces")):
            sums[place] += row.counts[stage] or 0  # type: ignore[operator]
    assert {r.org.label: [r.counts["region"], r.counts["provinces"]] for r in by_code.rows} == expected
    assert len(expected) == 20


def _by_code(connect: Callable[[str], Datasource], mapping: str) -> Ledger:
    """The regions' own totals by name against the sums of their provinces by code, one table each."""
    regions = Table("warehouse", "region_daily", partition="report_date")
    provinces = Table("archive", "province_daily", partition="report_date")
    total = "sum(totale_casi)"
    by_code = {"by": "region_code", "normalise": "no leading zeros", "mapping": mapping}
    one = {"P.A. Trento": 4, "P.A. Bolzano": 4}
    baseline = Stage("region", regions, measure=total, mapping=one)
    stages = [baseline, Stage("provinces", provinces, measure=total, **by_code)]
    made = Reconciliation("r", by="region_name", stages=stages, critical=0)
    return reconcile(made, connect, Context(DAY, NOW), "prod")


def dead(**more: Any) -> Explained:
    counted = Stage("dead", Table("dead", "dead_letters", partition="day", tags=more.pop("tags", {})))
    return Explained("dead letters", counted=counted, stages="b", **more)


@pytest.mark.parametrize(
    ("rungs", "count", "severity", "words"),
    [
        ({"warning": 0}, 0, None, "0 records are lost"),
        ({"warning": 0}, 1, Severity.WARNING, "1 record is lost; more than the 0 records that warning allows"),
        ({"warning": "1%", "critical": "10%"}, 1, None, "1 record is lost"),
        ({"warning": "1%", "critical": "10%"}, 30, Severity.CRITICAL, "30 records are lost; more than the 10%"),
    ],
)
def test_a_known_loss_may_be_too_much(rungs: dict[str, Any], count: int, severity: Severity | None, words: str) -> None:
    lost = [("1", count)] if count else []
    ledger = ledger_of(
        explained=(dead(**rungs),), a=[("1", 100), ("2", 100)], b=[("1", 100 - count), ("2", 100)], dead=lost
    )
    summary = next(r for r in ledger.results if r.check == "dead letters")
    assert (summary.severity, summary.outcome) == (severity, Outcome.FAIL if severity else Outcome.PASS)
    assert summary.sentence.startswith(words)
    assert [(known.name, known.count) for known in ledger.losses] == ([("dead letters", count)] if count else [])
    assert ledger_from_json(ledger_to_json(ledger)) == ledger
    broken = ledger_of(explained=(dead(**rungs),), a=[("1", 100)], b=[("1", 100)], dead=None)
    assert next(r for r in broken.results if r.check == "dead letters").outcome is Outcome.UNMEASURED


def test_a_known_loss_tells_what_one_of_the_most_says() -> None:
    rows = [
        ("1", "ValueError: no country 'XX'", 1),
        ("2", "Timeout: password=hunter2 at db\nline two", 3),
        ("3", None, 9),
    ]
    counted: dict[str, Answer] = {"a": [("1", 9), ("2", 9)], "b": [("1", 8), ("2", 6)], "dead": rows}
    ledger = ledger_of(explained=(dead(sample="exception", error=0),), **counted)
    (known,) = ledger.losses
    assert (known.count, known.sample) == (13, "Timeout: password=••• at db")
    assert next(r for r in ledger.results if r.check == "dead letters").sentence.endswith(known.sample)
    tagged = ledger_of(explained=(dead(sample="exception", tags={"exception": "pii"}),), **counted)
    assert tagged.losses[0].sample == "•••"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (Explained("x", derived=("a", "b"), sample="y"), "explained 'x': sample= is a column of a table"),
        (Explained("b", derived=("a", "b"), warning=0), "explained 'b': a stage has that name"),
        (Explained("x", derived=("a", "b"), warning="5%", error="1%"), "explained 'x': "),
    ],
)
def test_a_known_loss_that_means_nothing_is_refused(known: Explained, words: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        ledger_of(explained=(known,), a=[], b=[])
    assert words in str(refused.value)


def test_a_known_loss_may_be_called_as_a_stage_is() -> None:
    dead = (Explained("b", counted=Stage("b", Table("dead", "t", partition="day"))),)
    of_a, of_b = [("x", 10), ("y", 5)], [("x", 8), ("y", 5)]
    ledger = ledger_of(explained=dead, a=of_a, b=of_b, dead=[("x", 2)])
    rows = {row.org.label: (row.counts["b"], row.explained["b"], row.discrepancy["b"]) for row in ledger.rows}
    assert rows == {"x": (8, 2, 0), "y": (5, 0, 0)}
    (lost,) = ledger.losses
    assert (lost.name, lost.count) == ("b", 2)
    ledger = ledger_of(explained=dead, a=of_a, b=of_b, dead=None)
    assert [row.counts["b"] for row in ledger.rows] == [8, 5]
    (result,) = ledger.results
    assert result.sentence == "could not be measured: b could not be counted: datasource 'dead': connection refused"


def test_thresholds_on_share_and_count() -> None:
    ledger = ledger_of(
        settings={"warning": ("1%", 10), "critical": ("10%", 100)},
        a=[("tiny", 5), ("huge", 10**9), ("mid", 500), ("bad", 500)],
        b=[("tiny", 0), ("huge", 10**9 - 10**6), ("mid", 480), ("bad", 100)],
    )
    assert {r.group.label: r.severity for r in ledger.results if r.group} == {
        "mid": Severity.WARNING,
        "bad": Severity.CRITICAL,
    }


def test_a_stage_and_an_org_may_have_thresholds_of_their_own() -> None:
    ledger = ledger_of(
        settings={"error": "1%", "orgs": {"big": {"warning": 0}, 7: {"critical": "60%"}}},
        of_stages={"c": {"warning": "20%", "critical": "50%"}},
        a=[("x", 100), ("big", 100), ("7", 100), ("y", 100)],
        b=[("x", 90), ("big", 99), ("7", 50), ("y", 99)],
        c=[("x", 70), ("big", 99), ("7", 30), ("y", 90)],
    )
    assert bad(ledger) == {
        ("b", "x"): Severity.ERROR,
        ("b", "big"): Severity.WARNING,
        ("c", "x"): Severity.WARNING,
        ("c", "big"): Severity.WARNING,
        ("c", "7"): Severity.CRITICAL,
    }
    severities = {row.org.label: row.severity for row in ledger.rows}
    assert severities == {"x": Severity.ERROR, "big": Severity.WARNING, "7": Severity.CRITICAL, "y": None}


def test_an_org_with_few_records_is_not_judged_and_what_is_open_of_it_stays_open() -> None:
    by = By("org", min_rows=50)
    counts = {"a": [("tiny", 49), ("grew", 2), ("same", 3), ("big", 50)], "b": [("grew", 50), ("same", 3), ("big", 50)]}
    ledger = ledger_of(by=by, **counts)
    assert bad(ledger) == {("b", "grew"): Severity.CRITICAL}
    agree = ledger_of(by=by, a=[("tiny", 49), ("big", 50)], b=[("tiny", 1), ("big", 50)]).results[0]
    assert agree.outcome is Outcome.PASS
    assert agree.sentence == "all 1 orgs agree at b; 1 with fewer than 50 records is not judged"
    assert {row.org.label: row.notes for row in ledger.rows if row.notes} == {
        "tiny": ("absent at b", "not judged: fewer than 50 records")
    }
    tiny = Group(("org",), ("tiny",))
    (kept,) = [r for r in ledger_of(by=by, keep=[tiny, Group(("org",), ("big",))], **counts).results if r.group == tiny]
    assert (kept.outcome, kept.severity) == (Outcome.SKIP, None)
    assert kept.sentence == "not judged: 49 records are fewer than the 50 of By(min_rows=)"


@pytest.mark.parametrize(
    ("baseline", "stage", "severity"),
    [
        (40, 39, None),  # one of forty is 2.5 %, and may be chance
        (12, 0, Severity.ERROR),
        (1_000, 989, None),  # 1.1 %
        (10**6, 989_000, Severity.ERROR),  # 1.1 % too, and no chance
        (12, 13, Severity.ERROR),  # what is too many was not drawn from the twelve
        (0, 1, Severity.ERROR),
        (12, 12, None),
    ],
)
def test_with_confidence_a_share_of_few_records_is_no_alarm(
    baseline: int, stage: int, severity: Severity | None
) -> None:
    settings = {"error": "1%", "confidence": 0.95}
    ledger = ledger_of(settings=settings, a=[("1", baseline), ("2", 5)], b=[("1", stage), ("2", 5)])
    assert bad(ledger).get(("b", "1")) == severity
    (row,) = [row for row in ledger.rows if row.org.label == "1"]
    unsure = severity is None and baseline != stage
    assert row.notes == (("more than 1% at b is not certain",) if unsure else ("a is zero",) if not baseline else ())


def test_a_share_of_a_sum_has_no_confidence() -> None:
    settings = {"error": "1%", "confidence": 0.95}
    sums = {"b": {"measure": "sum(amount)"}}
    assert bad(ledger_of(settings=settings, of_stages=sums, a=[("1", 12)], b=[("1", 11)]))


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.6, 0.95, 0.999]))
def test_confidence_forgives_and_never_accuses(a: int, b: int, confidence: float) -> None:
    counts = {"a": [("1", a), ("2", 1)], "b": [("1", b), ("2", 1)]}
    strict = ledger_of(settings={"warning": "1%", "critical": "10%"}, **counts)
    sure = ledger_of(settings={"warning": "1%", "critical": "10%", "confidence": confidence}, **counts)
    assert (sure.severity or 0) <= (strict.severity or 0)
    assert (sure.severity == strict.severity) or a - b > 0


@pytest.mark.parametrize(
    ("settings", "of_b", "words"),
    [
        ({"error": 5, "confidence": 0.95}, {}, "confidence= says how sure a share is, and there is none"),
        ({"error": "5%", "confidence": 95}, {}, "confidence=95 is not a number such as 0.95"),
        ({"error": "5%", "confidence": 0.3}, {}, "confidence=0.3 is not between 0.5 and 1"),
        ({"error": "5%", "orgs": {"1": {"eror": "1%"}}}, {}, "orgs= for '1': "),
        ({"error": "5%", "orgs": {("1", "2"): {"error": "1%"}}}, {}, "orgs= for ('1', '2'): By names"),
        ({"error": "5%", "orgs": {"1": "1%"}}, {}, "orgs= for '1': "),
        ({}, {"warning": "10%", "error": "1%"}, "stage 'b': "),
        ({}, {"warning": "many"}, "stage 'b': 'many' is not a tolerance"),
    ],
)
def test_thresholds_that_mean_nothing_are_refused(settings: dict[str, Any], of_b: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        ledger_of(settings=settings, of_stages={"b": of_b}, a=[], b=[])
    assert words in str(refused.value)


def test_a_total_that_cannot_be_measured_says_so(
    connect: Callable[[str], Datasource], declared: dict[str, Reconciliation]
) -> None:
    ledger = reconcile(declared["message_pipeline"], connect, Context(DAY, NOW), "prod")
    assert ledger.totals[0] == ("RDAs", None, "there is no value")


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000)),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 1000)),
)
def test_nothing_is_lost_in_the_ledger(a: dict[str, int], b: dict[str, int]) -> None:
    ledger = ledger_of(a=list(a.items()), b=list(b.items()))
    assert {row.org.label for row in ledger.rows} == a.keys() | b.keys()
    assert sum(row.discrepancy["b"] for row in ledger.rows) == sum(a.values()) - sum(b.values())
    if a and b:
        assert (ledger.severity is None) is (a == b or all(a.get(k, 0) == b.get(k, 0) for k in a.keys() | b.keys()))


TOWNS = By(("region", "town"))


def test_what_is_a_little_everywhere_is_much_at_a_coarser_level() -> None:
    """Missing and too many cancel at a coarser level, too: each level says what is true there."""
    settings = {"critical": 5, "levels": [Level("region", warning=5, critical=8), Level(critical=8)]}
    ledger = ledger_of(
        by=TOWNS,
        settings=settings,
        a=[("n", "x", 10), ("n", "y", 10), ("n", "z", 10), ("s", "x", 10), ("s", "y", 10)],
        b=[("n", "x", 7), ("n", "y", 7), ("n", "z", 7), ("s", "x", 6), ("s", "y", 14)],
    )
    checks = {(r.check, r.group and r.group.label): (r.severity, r.observed) for r in ledger.results}
    assert checks == {
        ("b", None): (None, 9),
        ("b by region", None): (Severity.CRITICAL, 9),
        ("b by region", "n"): (Severity.CRITICAL, 9),
        ("b of all", None): (Severity.CRITICAL, 9),
        ("b of all", "all"): (Severity.CRITICAL, 9),
    }
    region, whole = ledger.levels
    assert shown(region) == {"n": (30, 21, 9, Fraction(9, 30), ()), "s": (20, 20, 0, 0, ())}
    assert shown(whole) == {"all": (50, 41, 9, Fraction(9, 50), ())}


def test_losses_expected_orgs_and_errors_at_a_coarser_level() -> None:
    by = By(("region", "town"), expected=[("n", "x"), ("w", "x")])
    dead = (Explained("dead", counted=Stage("dead", Table("dead", "t", partition="day"))),)
    settings = {"critical": 0, "levels": [Level("region")]}
    a = [("n", "x", 10), ("n", "y", 5)]
    lost = [("n", "x", 2), ("n", "y", 1)]
    ledger = ledger_of(by=by, settings=settings, explained=dead, a=a, b=[("n", "x", 8), ("n", "y", 4)], dead=lost)
    (region,) = ledger.levels
    (row,) = region.rows
    assert (row.counts, row.explained, row.severity) == ({"a": 15, "b": 12}, {"dead": 3}, None)
    assert [(r.outcome, r.group and r.group.label) for r in region.results] == [
        (Outcome.NO_DATA, None),
        (Outcome.NO_DATA, "w"),
    ]
    for b, outcome in ((None, Outcome.UNMEASURED), ([], Outcome.NO_DATA)):
        ledger = ledger_of(by=by, settings=settings, explained=dead, a=a, b=b, dead=lost)
        assert [(r.check, r.outcome) for r in ledger.results] == [("b", outcome), ("b by region", outcome)]


def test_what_is_no_number_at_a_level_costs_that_stage_there_and_at_coarser_levels() -> None:
    by = By(("region", "town", "street"))
    own = Stage("c", Table("c", "t", partition="day"))
    made = Reconciliation(
        "r", by=by, stages=[Stage(name, Table(name, "t", partition="day")) for name in "ab"],
        levels=[Level(("region", "town"), stages=[own]), Level("region")], critical=0,
    )  # fmt: skip
    rows: dict[str, Answer] = {"a": [("n", "x", "s", 1)], "b": [("n", "x", "s", 1)], "c": [("n", "x", "oops")]}
    ledger = reconcile(made, lambda name: Rows(name, rows[name]), Context(DAY, NOW), "prod")
    assert {r.check: r.outcome for r in ledger.results if r.group is None} == {
        "b": Outcome.PASS,
        "b by region, town": Outcome.PASS, "c by region, town": Outcome.UNMEASURED,
        "b by region": Outcome.PASS, "c by region": Outcome.UNMEASURED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("levels", "of_b", "words"),
    [
        ([Level(("town", "other"))], {}, "level by town, other: by= names some, not all, of the org columns"),
        ([Level(("region", "town"))], {}, "level by region, town: by= names some, not all"),
        ([Level(), Level("region")], {}, "level by region: it is not coarser than the level before it, of all"),
        ([Level("region"), Level("region")], {}, "level by region: it is declared twice"),
        ([Level("region", stages=[Stage("a", Table("a", "t"))])], {}, "region: stage 'a': the name is declared"),
        ([Level("region", stages=[Stage("c", Table("a", "t"), after="b")])], {}, "'c': after= is for stages of the"),
        ([Level("region", stages=[Stage("c", Table("a", "t"), by=TOWNS)])], {}, "'c': it has 2 org columns where the"),
        ([Level("region", warning="1%", error=3)], {}, "level by region: the thresholds mix counts"),
        ([Level("region")], {"measure": "count(DISTINCT x)"}, "stage 'b': count(DISTINCT x) of several orgs cannot be"),
    ],
)  # fmt: skip
def test_levels_that_mean_nothing_are_refused(levels: list[Level], of_b: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError) as refused:
        ledger_of(by=TOWNS, settings={"critical": 0, "levels": levels}, of_stages={"b": of_b}, a=[], b=[])
    assert words in str(refused.value)
