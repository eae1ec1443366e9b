"""What a closed run means for the open incidents: tables, properties, and the same on real stores."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dq.alerting.fold import (
    COUNTED,
    Answer,
    Change,
    Measured,
    News,
    apply_findings,
    decide,
    declared_labels,
    fold,
    news_of,
)
from dq.alerting.incidents import from_row, group_key, of_subject, open_orgs, read_open, recorded_keys
from dq.checks import Aggregate, Rows
from dq.checks.judge import Reading, judge
from dq.model.check import Check, Suite
from dq.model.group import By, Group
from dq.model.incident import Finding, Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS
from dq.model.names import short_key
from dq.model.reconciliation import Reconciliation, Stage
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.model.table import Table
from dq.model.thresholds import at_most
from dq.store.schema import alert_group
from dq.store.schema import incident as incident_table

pytest_plugins = ["tests.stores"]

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAYS = [Interval(NOW.replace(hour=0, day=d), NOW.replace(hour=0, day=d + 1)) for d in range(1, 9)]
ENV = ("prod", "suite", "orders")


NEWS = News(environment="prod", kind="suite", subject="orders")


def key(part: str = "amount", org: str = "") -> IncidentKey:
    return IncidentKey(*ENV, part, org)


def finding(
    severity: int | None,
    day: int = 5,
    outcome: Outcome = Outcome.FAIL,
    at: IncidentKey | None = None,
    for_runs: tuple[int, int] = (1, 1),
) -> Finding:
    grade = None if severity is None else Severity(severity)
    return Finding(
        key=at or key(),
        interval=DAYS[day],
        severity=grade,
        outcome=outcome,
        sentence=f"day {day}: {severity}",
        query=f"SELECT {day}",
        for_runs=for_runs,
    )


def incident(
    severity: int = 3,
    day: int = 5,
    outcome: Outcome = Outcome.FAIL,
    at: IncidentKey | None = None,
    pending: str | None = None,
) -> Incident:
    return Incident(
        id=7,
        key=at or key(),
        severity=Severity(severity),
        outcome=outcome,
        sentence="old",
        observed="",
        threshold="",
        labels={},
        links={},
        interval=DAYS[day],
        opened_at=NOW - timedelta(hours=2),
        changed_at=NOW - timedelta(hours=1),
        pending=pending,
    )


WELL, EMPTY, BAD = Outcome.PASS, Outcome.NO_DATA, Outcome.FAIL


@pytest.mark.parametrize(
    ("open_", "found", "answer"),
    [
        (None, finding(3), Answer.OPENED),
        (None, finding(3, day=0), Answer.OPENED),
        (None, finding(3, outcome=Outcome.UNMEASURED), Answer.OPENED),
        (None, finding(3, outcome=EMPTY), Answer.OPENED),
        (None, finding(None, outcome=WELL), Answer.WELL),
        (None, finding(None, outcome=EMPTY), Answer.WELL),
        (incident(), finding(4, day=4), Answer.IGNORED_OLDER),
        (incident(), finding(3, day=4), Answer.IGNORED_OLDER),
        (incident(), finding(3), Answer.STILL_BAD),
        (incident(), finding(3, day=6), Answer.STILL_BAD),
        (incident(), finding(3, outcome=Outcome.UNMEASURED), Answer.STILL_BAD),
        (incident(), finding(4), Answer.WORSENED),
        (incident(), finding(4, day=6), Answer.WORSENED),
        (incident(), finding(2), Answer.EASED),
        (incident(), finding(2, day=6), Answer.EASED),
        (incident(), finding(None, day=4, outcome=WELL), Answer.IGNORED_OLDER),
        (incident(), finding(None, outcome=WELL), Answer.RECOVERED),
        (incident(), finding(None, day=6, outcome=WELL), Answer.RECOVERED),
        (incident(), finding(None, outcome=EMPTY), Answer.UNTOUCHED),
        (incident(), finding(None, outcome=Outcome.SKIP), Answer.UNTOUCHED),
        (incident(outcome=EMPTY), finding(None, outcome=Outcome.SKIP), Answer.UNTOUCHED),
        (None, finding(None, outcome=Outcome.SKIP), Answer.WELL),
        (incident(outcome=EMPTY), finding(None, outcome=EMPTY), Answer.RECOVERED),
        (incident(outcome=Outcome.UNMEASURED), finding(None, outcome=EMPTY), Answer.RECOVERED),
        (incident(outcome=EMPTY), finding(None, day=4, outcome=EMPTY), Answer.IGNORED_OLDER),
    ],
)
def test_one_finding_against_the_incident_of_its_key(open_: Incident | None, found: Finding, answer: Answer) -> None:
    assert decide(open_, found) is answer
    news = News(environment="prod", kind="suite", subject="orders", findings=(found,))
    (change,) = fold([] if open_ is None else [open_], news, NOW)
    assert change.answer is answer
    after = change.after
    if answer in {Answer.IGNORED_OLDER, Answer.UNTOUCHED, Answer.WELL}:
        assert not change.changes and after == open_
    elif answer is Answer.RECOVERED:
        assert open_ and after and (after.ended, after.ended_at, after.severity) == ("recovered", NOW, open_.severity)
    else:
        assert after and (after.severity, after.sentence, after.query, after.interval) == (
            found.severity,
            found.sentence,
            found.query,
            found.interval,
        )
        assert after.opened_at == (NOW if open_ is None else open_.opened_at)


def measured(day: int = 5, part: str = "amount", for_runs: tuple[int, int] = (1, 1)) -> Measured:
    return Measured(part, DAYS[day], DAYS[day].start, for_runs)


ORG1, ORG2 = key(org='["1"]'), key(org='["2"]')


@pytest.mark.parametrize(
    ("news", "answers"),
    [
        ({"measured": (measured(),)}, {ORG1: "recovered"}),
        ({"measured": (measured(6),)}, {ORG1: "recovered"}),
        ({"measured": (measured(4),)}, {ORG1: "ignored_older"}),
        ({"measured": (measured(part="other"),)}, {ORG1: "untouched"}),
        ({"measured": (measured(),), "findings": (finding(3, at=ORG1),)}, {ORG1: "still_bad"}),
        ({"measured": (measured(),), "findings": (finding(3, at=ORG2),)}, {ORG1: "recovered", ORG2: "opened"}),
        ({"measured": (measured(),), "findings": (finding(None, outcome=EMPTY, at=ORG1),)}, {ORG1: "untouched"}),
        ({"findings": (finding(3, outcome=Outcome.UNMEASURED),)}, {ORG1: "untouched", key(): "opened"}),
        ({}, {ORG1: "untouched"}),
        ({"parts": frozenset({"amount"})}, {ORG1: "untouched"}),
        ({"parts": frozenset({"other"})}, {ORG1: "vanished"}),
        ({"parts": frozenset()}, {ORG1: "vanished"}),
        (
            {"parts": frozenset({"new"}), "renames": {"amount": "new"}},
            {ORG1: "renamed", key("new", ORG1.org): "untouched"},
        ),
        (
            {"parts": frozenset({"new"}), "renames": {"amount": "new"}, "measured": (measured(part="new"),)},
            {ORG1: "renamed", key("new", ORG1.org): "recovered"},
        ),
    ],
)
def test_what_happens_to_incidents_without_a_finding(news: dict, answers: dict[IncidentKey, str]) -> None:
    changes = fold([incident(at=ORG1)], News(environment="prod", kind="suite", subject="orders", **news), NOW)
    keyed = [(((c.before or c.after).key), str(c.answer)) for c in changes]  # type: ignore[union-attr]  # one of them is there
    assert dict(keyed) == answers and len(keyed) == len(answers)


def test_of_a_run_over_several_partitions_the_bad_one_keeps_the_incident_open() -> None:
    """A range has one summary: an org that is bad anywhere in it is not closed by it, any other is."""
    whole = Interval(DAYS[2].start, DAYS[6].end)
    news = News(
        environment="prod",
        kind="suite",
        subject="orders",
        findings=(finding(3, day=3, at=ORG1),),
        measured=(Measured("amount", whole, DAYS[6].start),),
    )
    answers = {
        c.before.key: c.answer
        for c in fold([incident(day=2, at=ORG1), incident(day=6, at=ORG2)], news, NOW)
        if c.before
    }
    assert answers == {ORG1: Answer.STILL_BAD, ORG2: Answer.RECOVERED}


def test_news_of_another_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="not about prod/suite/other"):
        News(environment="prod", kind="suite", subject="other", findings=(finding(3),))


# --------------------------------------------------------------------------------------------------------- damping


@pytest.mark.parametrize(
    ("for_runs", "before", "bad", "answer", "after"),
    [
        ((1, 1), None, True, "opened", None),
        ((1, 3), None, True, "opened", None),
        ((2, 2), None, True, "pending", "1"),
        ((2, 2), "1", True, "confirmed", None),
        ((2, 2), "1", False, "recovered", "10"),
        ((3, 3), "11", False, "recovered", "110"),
        ((2, 3), "1", False, "pending", "10"),
        ((2, 3), "10", True, "confirmed", None),
        ((2, 3), "10", False, "pending", "100"),
        ((2, 3), "100", True, "pending", "001"),
        ((2, 3), "100", False, "recovered", "000"),
        ((3, 5), "1010", True, "confirmed", None),
        ((3, 5), "01010", True, "confirmed", None),
        ((3, 5), "01000", True, "pending", "10001"),
        ((64, 64), "1" * 62, True, "pending", "1" * 63),
        ((64, 64), "1" * 63, True, "confirmed", None),
        # What is declared was changed in the meantime.
        ((1, 1), "11", True, "confirmed", None),
        ((1, 1), "11", False, "recovered", "0"),
        ((2, 3), "11", False, "pending", "110"),
        ((2, 2), "00100", True, "pending", "01"),
    ],
)
def test_damping(for_runs: tuple[int, int], before: str | None, bad: bool, answer: str, after: str | None) -> None:
    open_ = [] if before is None else [incident(pending=before)]
    said: list[News] = [
        evolve(NEWS, findings=(finding(4 if bad else None, 6, BAD if bad else WELL, for_runs=for_runs),))
    ]
    if not bad:
        said.append(evolve(NEWS, measured=(measured(6, for_runs=for_runs),)))
    for news in said:
        (change,) = fold(open_, news, NOW)
        now = change.after
        assert now is not None
        assert (str(change.answer), now.pending, now.ended) == (
            answer,
            after,
            "recovered" if answer == "recovered" else None,
        )
        assert now.opened_at == (open_[0].opened_at if open_ else NOW)
        assert (now.severity, now.interval) == ((4, DAYS[6]) if bad else (3, DAYS[5]))


def test_a_pending_incident_outlives_what_is_no_run_and_ends_untold() -> None:
    one = incident(pending="10", at=ORG1)
    for news in (
        evolve(NEWS, findings=(finding(4, 4, at=ORG1, for_runs=(2, 3)),)),
        evolve(NEWS, findings=(finding(None, 4, WELL, at=ORG1, for_runs=(2, 3)),)),
        evolve(NEWS, findings=(finding(None, 6, EMPTY, at=ORG1, for_runs=(2, 3)),)),
        evolve(NEWS, findings=(finding(3, 6, UNMEASURED, for_runs=(2, 3)),)),
        evolve(NEWS, measured=(measured(4, for_runs=(2, 3)),)),
        NEWS,
    ):
        assert [c for c in fold([one], news, NOW) if c.before is not None and c.changes] == [], news
    (gone,) = fold([one], evolve(NEWS, parts=frozenset()), NOW)
    assert gone.after and (gone.answer, gone.after.ended, gone.after.pending) == (Answer.VANISHED, "vanished", "10")
    renamed, again = fold(
        [one],
        evolve(NEWS, renames={"amount": "sum"}, findings=(finding(2, 6, at=key("sum", ORG1.org), for_runs=(2, 3)),)),
        NOW,
    )
    assert (renamed.answer, again.answer) == (Answer.RENAMED, Answer.CONFIRMED)
    assert again.after and (again.after.opened_at, again.after.pending) == (one.opened_at, None)


def test_a_measurement_counts_once_however_often_its_run_is_closed() -> None:
    incidents: dict[int, Incident] = {}

    def heard(mark: str, severity: int | None) -> tuple[str | None, str | None]:
        found = finding(severity, outcome=BAD if severity else WELL, for_runs=(3, 4))
        news = evolve(NEWS, findings=(found,), marks={"amount": mark})
        store_of(fold([i for i in incidents.values() if i.ended_at is None], news, NOW), incidents)
        return incidents[1].pending, incidents[1].labels.get(COUNTED)

    assert heard("a", 3) == ("1", '["a"]')
    assert heard("a", 3) == ("1", '["a"]')
    assert heard("b", None) == ("10", '["a", "b"]')
    assert heard("a", 3) == ("10", '["a", "b"]'), "closed again because another scan was repeated"
    assert heard("b", None) == ("10", '["a", "b"]')
    assert heard("c", 3) == ("101", '["a", "b", "c"]')
    assert heard("c", 3) == ("101", '["a", "b", "c"]')
    assert heard("d", 2) == (None, None), "what was told has nothing left to count"
    assert [i.severity for i in incidents.values()] == [2]


@given(
    st.sampled_from([(1, 1), (2, 2), (3, 3), (1, 4), (2, 3), (2, 4), (3, 5)]),
    st.lists(
        st.tuples(st.sampled_from(["bad", "well", "measured", "older", "again", "empty"]), st.integers(1, 4)),
        min_size=10,
        max_size=40,
    ),
)
def test_what_flaps_is_told_when_enough_of_its_last_runs_were_bad(
    for_runs: tuple[int, int], history: list[tuple[str, int]]
) -> None:
    """The oracle knows no pending incidents: it counts the runs since the last thing that was told had ended."""
    wanted, most = for_runs
    incidents: dict[int, Incident] = {}
    since: list[bool] = []
    told, news, first = False, NEWS, 0
    for number, (what, severity) in enumerate(history):
        open_ = [i for i in incidents.values() if i.ended_at is None]
        if what != "again":
            news = evolve(NEWS, marks={"amount": f"run {number}"})
        if what == "bad":
            outcome = (BAD, UNMEASURED, EMPTY)[severity % 3]
            news = evolve(news, findings=(finding(severity, 5, outcome, for_runs=for_runs),))
            since.append(True)
            told = told or sum(since[-most:]) >= wanted
        elif what in {"well", "measured"}:
            well = finding(None, 5, WELL, for_runs=for_runs)
            heard = {"findings": (well,)} if what == "well" else {"measured": (measured(for_runs=for_runs),)}
            news = evolve(news, **heard)  # type: ignore[arg-type]  # one of the two
            since = [] if told else [*since, False]
            told = False
        elif what == "older" and open_:
            news = evolve(news, findings=(finding(severity % 4 or None, 1, for_runs=for_runs),))
        elif what == "empty" and open_ and open_[0].outcome is BAD:
            news = evolve(news, findings=(finding(None, 5, EMPTY, for_runs=for_runs),))
        store_of(fold(open_, news, NOW + timedelta(minutes=number)), incidents)
        now = [i for i in incidents.values() if i.ended_at is None]
        assert [i.pending is None for i in now if i.pending is None] == [True] * told
        assert all(0 < len(i.pending) <= most and "1" in i.pending for i in now if i.pending is not None)
        first += bool(now) and now[0].pending is None and not any(i.pending is None for i in open_)
    assert sum(i.pending is None for i in incidents.values()) == first, "each that was told was so once, and to its end"


# ------------------------------------------------------------------------------------------------ what a run says

SUITE = Suite(
    "orders",
    Table("warehouse", "orders"),
    owner="sales-data",
    runbook="https://wiki/orders",
    tags=("gold",),
    notify={"critical": "pagerduty:orders"},
    for_runs=2,
    upstream=["raw", "events", "raw"],
    checks=[
        Check(
            "amount", Rows("amount > 0"), tags="money", notify={"critical": ["team"], "warning": "team"}, was="amounts"
        ),
        Check("other", Rows("x > 0"), owner="me", runbook="https://wiki/other", for_runs="2 of 3"),
    ],
)
GROUP1, GROUP2 = Group(("org",), ("1",)), Group(("org",), ("2",))


def run(*results: Result, kind: str = "suite", interval: Interval = DAYS[5]) -> Run:
    return Run(
        id="r",
        environment="prod",
        suite="orders",
        kind=kind,
        interval=interval,
        origin="test",
        started_at=NOW,
        results=results,
    )


def result(
    outcome: Outcome,
    severity: int | None = None,
    group: Group | None = None,
    orgs: int | None = None,
    bad: int | None = None,
) -> Result:
    grade = None if severity is None else Severity(severity)
    return Result(check="amount", outcome=outcome, severity=grade, group=group, orgs=orgs, orgs_bad=bad, sentence="s")


UNMEASURED = Outcome.UNMEASURED


@pytest.mark.parametrize(
    ("results", "is_measured", "bad_orgs"),
    [
        ([result(WELL)], True, []),
        ([result(WELL, orgs=5, bad=0)], True, []),
        ([result(BAD, 3)], True, [""]),
        ([result(BAD, 3, orgs=5, bad=1), result(BAD, 3, GROUP1)], True, ['["1"]']),
        ([result(BAD, 3, orgs=5, bad=2), result(BAD, 3, GROUP1)], False, ['["1"]']),
        ([result(EMPTY, 3, orgs=5, bad=1), result(EMPTY, 3, GROUP1)], True, ['["1"]']),
        ([result(UNMEASURED, 3, orgs=2, bad=1), result(UNMEASURED, 3, GROUP1)], True, ['["1"]']),
        (
            [result(EMPTY, 3, orgs=2, bad=2), result(EMPTY, 3, GROUP1), result(EMPTY, 3, GROUP2)],
            False,
            ['["1"]', '["2"]'],
        ),
        ([result(UNMEASURED, 3)], False, [""]),
        ([result(EMPTY, 3)], False, [""]),
        ([result(EMPTY, 3, orgs=0, bad=0)], False, [""]),
        ([result(EMPTY)], False, []),
        ([result(Outcome.SKIP)], False, []),
    ],
)
def test_what_a_summary_says_about_the_whole_check(
    results: list[Result], is_measured: bool, bad_orgs: list[str]
) -> None:
    news = news_of(run(*results), SUITE)
    assert bool(news.measured) is is_measured
    assert [f.key.org for f in news.findings if f.severity is not None] == bad_orgs


def test_findings_carry_what_a_message_and_a_route_need() -> None:
    news = news_of(run(result(BAD, 4, orgs=2, bad=1), result(BAD, 4, GROUP1)), SUITE)
    (found,) = news.findings
    assert found.labels == {
        "suite": "orders",
        "check": "amount",
        "org": "1",
        "owner": "sales-data",
        "tags": "gold,money",
        "_notify": '{"critical": ["pagerduty:orders", "team"], "warning": ["team"]}',
        "_upstream": '["events", "raw"]',
        "_orgs": "2",
    }
    assert found.for_runs == (2, 2) and [m.for_runs for m in news.measured] == [(2, 2)]
    assert found.links == {"Runbook": "https://wiki/orders"}
    assert news.renames == {"amounts": "amount"} and news.parts == {"amount", "other"}
    assert declared_labels(SUITE, SUITE.checks[1])["owner"] == "me"
    assert declared_labels(SUITE)["_upstream"] == '["events", "raw"]', "of its SLA too"
    other = news_of(run(evolve(result(BAD, 3), check="other")), SUITE).findings[0]
    assert other.for_runs == (2, 3) and "_orgs" not in other.labels
    undamped = evolve(SUITE, checks=[evolve(check, for_runs=1) for check in SUITE.checks])
    assert news_of(run(result(BAD, 3)), undamped).findings[0].for_runs == (1, 1), "the check's own wins"
    assert news_of(run(), SUITE, complete=False).parts is None


def test_a_measurement_is_told_from_its_repetition_by_when_it_was_recorded() -> None:
    first = news_of(run(evolve(result(WELL), at=NOW)), SUITE).marks
    assert first == news_of(run(evolve(result(WELL), at=NOW), result(BAD, 3, GROUP1)), SUITE).marks
    assert first != news_of(run(evolve(result(WELL), at=NOW + timedelta(microseconds=1))), SUITE).marks
    assert first != news_of(evolve(run(evolve(result(WELL), at=NOW)), id="other"), SUITE).marks
    assert news_of(run(result(WELL)), SUITE).marks == {}


def test_a_reconciliation_over_several_days_reaches_its_last_day() -> None:
    day, table = timedelta(days=1), Table("w", "t")
    declared = Reconciliation("orders", by="org", stages=[Stage("a", table), Stage("amount", table)])
    whole = Interval(DAYS[2].start, DAYS[6].end)
    bad = evolve(result(BAD, 3, GROUP1), partition=DAYS[3])
    news = news_of(run(result(BAD, 3, orgs=9, bad=1), bad, kind="reconciliation", interval=whole), declared)
    assert news.measured == (Measured("amount", whole, whole.end - day),)
    assert [f.interval for f in news.findings] == [DAYS[3]]
    assert news.parts == {"amount"}
    damped = evolve(declared, for_runs="3 of 4")
    news = news_of(run(result(BAD, 3, orgs=9, bad=1), result(BAD, 3, GROUP1), kind="reconciliation"), damped)
    assert [f.for_runs for f in (*news.findings, *news.measured)] == [(3, 4)] * 2
    assert [f.labels["_orgs"] for f in news.findings] == ["9"]


# -------------------------------------------------------------------------------------------------- random histories

KEYS = [key("amount", org) for org in ("", '["1"]', '["2"]')] + [key("other")]


@st.composite
def random_news(draw: st.DrawFn) -> News:
    day = draw(st.integers(0, 7))
    bad = draw(st.dictionaries(st.sampled_from(KEYS), st.integers(1, 4), max_size=3))
    outcome = draw(st.sampled_from([BAD, UNMEASURED, EMPTY]))
    whole = draw(st.sets(st.sampled_from(["amount", "other"])))
    return News(
        environment="prod",
        kind="suite",
        subject="orders",
        findings=tuple(finding(severity, day, outcome, at) for at, severity in bad.items()),
        measured=tuple(measured(day, part) for part in sorted(whole)),
        parts=draw(st.sampled_from([None, None, None, frozenset({"amount", "other"}), frozenset({"other"})])),
    )


def store_of(changes: tuple[Change, ...], incidents: dict[int, Incident]) -> None:
    """Write changes down as the store would."""
    for change in changes:
        if change.after is None:
            continue
        old = change.before
        id_ = max(incidents, default=0) + 1
        if old is not None:
            id_ = old.id or max(id_ for id_, i in incidents.items() if i.key == old.key and i.ended_at is None)
        incidents[id_] = evolve(change.after, id=id_)


@given(st.lists(random_news(), max_size=25))
def test_properties_of_random_histories(history: list[News]) -> None:
    incidents: dict[int, Incident] = {}
    newest_bad: dict[IncidentKey, tuple[datetime, Severity]] = {}
    for number, news in enumerate(history):
        now = NOW + timedelta(minutes=number)
        opened = [i for i in incidents.values() if i.ended_at is None]
        ended_before = [i for i in incidents.values() if i.ended_at is not None]
        changes = fold(opened, news, now)
        store_of(changes, incidents)
        still = [i for i in incidents.values() if i.ended_at is None]
        assert len({i.key for i in still}) == len(still), "two open incidents of one key"
        assert all(incidents[i.id] == i for i in ended_before), "an ended incident changed"
        for change in changes:
            if change.answer is Answer.RECOVERED:
                assert change.before and news.measured[0].interval.start >= change.before.interval.start, (
                    "a back-fill closed it"
                )
            if change.answer is Answer.VANISHED:
                assert change.before and news.parts is not None and change.before.key.part not in news.parts
        # An oracle of its own: the newest bad partition, the later close among equals, since the key was well.
        for found in news.findings:
            seen = newest_bad.get(found.key)
            if found.severity is not None and (seen is None or found.interval.start >= seen[0]):
                newest_bad[found.key] = found.interval.start, found.severity
        spoken = {f.key for f in news.findings}
        for at in list(newest_bad):
            well = any(m.part == at.part and m.newest >= newest_bad[at][0] for m in news.measured) and at not in spoken
            gone = news.parts is not None and at.part not in news.parts
            heard = at in spoken or at.part in {m.part for m in news.measured}
            if well or (gone and not heard):
                del newest_bad[at]
        assert {i.key: (i.interval.start, i.severity) for i in still} == newest_bad
        assert not any(c.changes for c in fold(still, news, now)), "the same news twice changed something"


OUTCOMES = st.sampled_from([BAD, UNMEASURED, EMPTY])


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), OUTCOMES), min_size=1, max_size=8))
def test_severity_rises_and_falls_inside_one_incident(history: list[tuple[int, bool, Outcome]]) -> None:
    incidents: dict[int, Incident] = {}
    day, last = 0, None
    for number, (severity, newer, outcome) in enumerate(history):
        day = min(day + newer, 7)
        news = evolve(NEWS, findings=(finding(severity, day, outcome),))
        changes = fold(list(incidents.values()), news, NOW + timedelta(hours=number))
        store_of(changes, incidents)
        (one,) = incidents.values()
        assert (one.severity, one.outcome, one.interval, one.opened_at) == (severity, outcome, DAYS[day], NOW)
        rose = None if last is None else (severity > last) - (severity < last)
        assert [c.answer for c in changes] == [
            {None: Answer.OPENED, 1: Answer.WORSENED, 0: Answer.STILL_BAD, -1: Answer.EASED}[rose]
        ]
        last = severity


@st.composite
def older_news(draw: st.DrawFn) -> News:
    days = st.integers(0, 4)
    for_runs = draw(st.sampled_from([(1, 1), (2, 2), (2, 3)]))
    found = draw(st.lists(st.tuples(st.sampled_from([None, 1, 2, 3, 4]), days, st.sampled_from([WELL, EMPTY, BAD]))))
    return evolve(
        NEWS,
        findings=tuple(finding(s, d, o, ORG1, for_runs) for s, d, o in found),
        measured=tuple(measured(d, for_runs=for_runs) for d in draw(st.lists(days))),
        parts=draw(st.sampled_from([None, frozenset({"amount"})])),
    )


@given(older_news(), st.integers(1, 4), OUTCOMES, st.sampled_from([None, "1", "10", "011"]))
def test_a_back_fill_never_closes_what_is_wrong_today(
    news: News, severity: int, outcome: Outcome, pending: str | None
) -> None:
    today = incident(severity, 5, outcome, ORG1, pending)
    changes = fold([today], news, NOW)
    assert changes and not any(change.changes for change in changes)


STATES = st.sampled_from(["good", "bad", "empty", "few", "lost"])


@given(
    st.sampled_from([None, "ok"]),
    st.lists(st.one_of(st.none(), st.tuples(STATES, STATES, STATES)), max_size=8),
)
def test_what_was_not_measured_or_had_no_data_is_no_pass(
    on_empty: str | None, history: list[tuple[str, str, str] | None]
) -> None:
    """Judged as in a run; None: the statement broke. Only an org that was really good recovers from what failed."""
    by = By("org", expected=["1", "2", "3"], min_rows=5)
    check = Check("amount", Aggregate("sum(a)"), error=at_most(1), on_empty=on_empty, by=by)
    suite = Suite("orders", Table("warehouse", "orders"), checks=[check])
    groups = [Group(("org",), (org,)) for org in "123"]
    incidents: dict[int, Incident] = {}
    for number, states in enumerate(history):
        open_ = {i.key.org: i for i in incidents.values() if i.ended_at is None}
        numbers = {}
        for group, state in zip(groups, states or (), strict=False):
            if state != "empty":
                value = {"good": 0, "bad": 3, "few": 0, "lost": float("nan")}[state]
                numbers[group] = {PARTITION_ROWS: 3 if state == "few" else 10, check.measures()["value"]: value}
        reading = Reading(numbers, "it broke" if states is None else None, by, tuple(groups))
        keep = {group for group in groups if group.key in open_}
        results = judge(check, reading, NOW, DAYS[5], keep=keep)
        changes = fold(list(open_.values()), news_of(run(*results), suite), NOW + timedelta(minutes=number))
        store_of(changes, incidents)
        ended = {c.before.key.org for c in changes if c.before and c.after and c.after.ended_at}
        state_of = dict(zip([group.key for group in groups], states or (), strict=False))
        for org, was in open_.items():
            if org:
                quiet = state_of.get(org) == "empty" and on_empty == "ok" and was.outcome is not BAD
                assert (org in ended) is (state_of.get(org) == "good" or quiet), (org, was.outcome, states)
            elif org in ended:
                assert states is not None and set(states) != {"lost"}
        now = {i.key.org for i in incidents.values() if i.ended_at is None}
        wrong = {"bad", "lost"} | ({"empty"} if on_empty is None else set())
        assert {org for org, state in state_of.items() if state in wrong} <= now
        if states is None:
            assert now == {*open_, ""}


@given(
    st.sets(st.sampled_from(["amount", "other", "gone", "was"]), min_size=1),
    st.sets(st.sampled_from(["amount", "other", "gone", "was"])),
    st.sets(st.sampled_from(["amount", "other", "gone", "was"]), min_size=1),
    st.booleans(),
    st.sampled_from([None, "1"]),
)
def test_a_check_vanishes_only_where_its_file_loaded_and_its_suite_closed_a_run_without_it(
    opened: set[str], in_run: set[str], declared: set[str], complete: bool, pending: str | None
) -> None:
    suite = Suite("orders", Table("w", "t"), checks=[Check(name, Rows("a > 0")) for name in sorted(declared)])
    open_ = [incident(at=key(part, org), pending=pending) for part in sorted(opened) for org in ("", '["1"]')]
    results = [evolve(result(UNMEASURED, 3), check=part) for part in sorted(in_run)]
    changes = fold(open_, news_of(run(*results), suite, complete=complete), NOW)
    ended = {c.before.key.part: c.after.ended for c in changes if c.before and c.after and c.after.ended_at}
    assert ended == dict.fromkeys(opened - declared - in_run if complete else (), "vanished")


# ------------------------------------------------------------------------------------------------------- real stores


def rows(engine: Engine) -> list[Incident]:
    with engine.connect() as connection:
        return [from_row(row) for row in connection.execute(select(incident_table).order_by(incident_table.c.id))]


def close(engine: Engine, news: News, now: datetime = NOW) -> frozenset[str]:
    with engine.begin() as connection:
        return apply_findings(connection, [news], now).groups


def dirty(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return dict(connection.execute(select(alert_group.c.group_key, alert_group.c.dirty)).all())


def test_a_life_in_the_store(empty_store: Engine) -> None:
    say = {"environment": "prod", "kind": "suite", "subject": "orders"}
    assert close(empty_store, News(**say, findings=(finding(2, at=ORG1), finding(3, at=ORG2)))) == {"prod/suite/orders"}
    assert close(empty_store, News(**say, findings=(finding(2, at=ORG1), finding(3, at=ORG2)))) == frozenset()
    assert close(empty_store, News(**say, findings=(finding(4, 6, at=ORG1),), measured=(measured(6),))) == {
        "prod/suite/orders"
    }
    one, two = rows(empty_store)
    assert (one.severity, one.ended, one.sentence, one.interval) == (Severity.CRITICAL, None, "day 6: 4", DAYS[6])
    assert (two.severity, two.ended, two.ended_at) == (Severity.ERROR, "recovered", NOW)
    with empty_store.connect() as connection:
        assert open_orgs(connection, "prod", "suite", "orders") == {"amount": frozenset({'["1"]'})}
        assert recorded_keys(connection, "prod", "suite", "orders") == {ORG1, ORG2}
        assert read_open(connection, of_subject("stage", "suite", "orders")) == ()
    close(empty_store, News(**say, renames={"amount": "sum"}, parts=frozenset({"sum"})))
    assert [i.key.part for i in rows(empty_store) if i.ended is None] == ["sum"]
    close(empty_store, News(**say, measured=(measured(6, "sum"),), findings=(finding(3, 7, at=key("sum", ORG1.org)),)))
    close(empty_store, News(**say, measured=(measured(7, "sum"),)))
    ends = [(i.key.part, i.key.org, i.ended) for i in rows(empty_store)]
    assert ends == [("sum", ORG1.org, "recovered"), ("amount", ORG2.org, "recovered"), ("sum", ORG1.org, "recovered")]
    assert dirty(empty_store) == {"prod/suite/orders": 5}


def test_an_acknowledgement_outlives_news_and_holds_until_it_is_worse(empty_store: Engine) -> None:
    say = {"environment": "prod", "kind": "suite", "subject": "orders"}
    close(empty_store, News(**say, findings=(finding(3, at=ORG1),)))
    (before,) = rows(empty_store)
    assert (before.acked, before.acked_at, before.acked_by, before.acked_severity) == (False, None, None, None)
    acked = {"acked_at": NOW, "acked_by": "ada", "acked_severity": 3}
    with empty_store.begin() as connection:
        connection.execute(incident_table.update().values(acked))
    for day, severity, holds in ((5, 3, True), (6, 4, False), (7, 2, True)):
        close(empty_store, News(**say, findings=(finding(severity, day, at=ORG1),)))
        (now,) = rows(empty_store)
        assert (now.acked, now.acked_by, now.acked_severity) == (holds, "ada", Severity.ERROR)


def test_a_pending_incident_is_kept_until_it_is_told_or_over(empty_store: Engine) -> None:
    for number, (severity, pending) in enumerate([(3, "1"), (None, "10"), (4, None), (None, None), (3, "1")]):
        outcome = BAD if severity else WELL
        found = (finding(severity, number, outcome, ORG1, (2, 3)), finding(severity, number, outcome, ORG2, (64, 64)))
        close(empty_store, evolve(NEWS, findings=found, marks={"amount": f"run {number}"}))
        newest = {i.key: i for i in rows(empty_store)}
        assert newest[ORG1].pending == pending
        assert newest[ORG2].pending == ("1" if severity else "10")
    ends = [(i.key.org, i.ended, i.pending) for i in rows(empty_store)]
    assert sorted(ends, key=str) == [
        (ORG1.org, "recovered", None), (ORG1.org, None, "1"),
        (ORG2.org, "recovered", "10"), (ORG2.org, "recovered", "10"), (ORG2.org, None, "1"),
    ]  # fmt: skip
    assert json.loads(rows(empty_store)[-1].labels[COUNTED]) == ["run 4"]


def test_another_number_of_orgs_is_stored_and_is_no_news(empty_store: Engine) -> None:
    def news(orgs: str, sentence: str = "3 rows") -> News:
        return evolve(NEWS, findings=(evolve(finding(3, at=ORG1), labels={"_orgs": orgs}, sentence=sentence),))

    later = NOW + timedelta(hours=1)
    assert close(empty_store, news("500"))
    assert close(empty_store, news("500"), later) == frozenset(), "nothing is written for nothing"
    close(empty_store, news("501"), later)
    (stored,) = rows(empty_store)
    assert (stored.labels["_orgs"], stored.changed_at) == ("501", NOW)
    close(empty_store, news("502", "4 rows"), later)
    (stored,) = rows(empty_store)
    assert (stored.labels["_orgs"], stored.changed_at) == ("502", later)


def test_one_close_can_open_end_and_open_again(empty_store: Engine) -> None:
    """A first-noticed late partition that is there already is bad and well in one breath."""
    late = IncidentKey("prod", "sla", "orders", "2026-11-05")
    news = News(
        environment="prod",
        kind="sla",
        subject="orders",
        findings=(finding(4, at=late), finding(None, outcome=WELL, at=late)),
    )
    close(empty_store, news)
    close(
        empty_store,
        evolve(news, findings=(finding(4, at=late), finding(None, outcome=WELL, at=late), finding(3, 6, at=late))),
    )
    assert [i.ended for i in rows(empty_store)] == ["recovered", "recovered", None]


def test_what_is_rolled_back_marks_nothing(empty_store: Engine) -> None:
    with empty_store.connect() as connection, connection.begin() as transaction:
        apply_findings(connection, [evolve(NEWS, findings=(finding(3),))], NOW)
        transaction.rollback()
    assert rows(empty_store) == [] and dirty(empty_store) == {}


def test_two_closes_at_once_open_one_incident(empty_server: Engine) -> None:
    barrier, errors = threading.Barrier(4), []

    def one(day: int) -> None:
        barrier.wait()
        try:
            close(
                empty_server,
                News(
                    environment="prod", kind="suite", subject="orders", findings=(finding(1 + day % 4, day, at=ORG1),)
                ),
            )
        except SQLAlchemyError as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(day,)) for day in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    (only,) = rows(empty_server)
    assert only.interval == DAYS[3] and only.severity == Severity.CRITICAL
    assert 1 <= dirty(empty_server)["prod/suite/orders"] <= 4


@pytest.mark.soak
def test_the_store_says_what_the_pure_function_says(
    empty_store: Engine, histories: Callable[[int, int], Iterator[Random]]
) -> None:
    for rng in histories(4, 100):
        subject, incidents = f"s{rng.getrandbits(60):x}", dict[int, Incident]()
        keys = [evolve(k, subject=subject) for k in KEYS]
        for number in range(12):
            day, now = rng.randrange(8), NOW + timedelta(minutes=number)
            bad, for_runs = rng.sample(keys, rng.randrange(4)), rng.choice([(1, 1), (2, 2), (2, 4)])
            news = News(
                environment="prod",
                kind="suite",
                subject=subject,
                findings=tuple(
                    finding(rng.randint(1, 4), rng.choice([day, day, 7 - day]), at=k, for_runs=for_runs) for k in bad
                ),
                measured=tuple(measured(day, part, for_runs) for part in ("amount", "other") if rng.random() < 0.5),
                marks=rng.choice([{}, {"amount": f"run {number // 2}"}]),
                parts=rng.choice([None, frozenset({"other"})]),
                renames=rng.choice([{}, {"other": "amount"}]),
            )
            store_of(fold([i for i in incidents.values() if i.ended_at is None], news, now), incidents)
            close(empty_store, news, now)
        stored = [evolve(i, id=0) for i in rows(empty_store) if i.key.subject == subject]
        assert stored == [evolve(i, id=0) for _, i in sorted(incidents.items())]


def test_long_keys_stay_different_and_within_the_limit() -> None:
    long = [IncidentKey("e" * 64, "reconciliation", "s" * 189 + last, "p") for last in "ab"]
    assert len({group_key(k) for k in long}) == 2 and all(len(group_key(k)) == 255 for k in long)
    assert short_key("x" * 255) == "x" * 255
