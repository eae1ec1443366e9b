"""Deadlines, the answers of ``evaluate``, which partitions are expected, what is told, and the user's function."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dq.model.errors import DeclarationError
from dq.model.incident import IncidentKey
from dq.model.interval import Interval
from dq.model.kept import Answer
from dq.model.observation import Observation
from dq.model.severity import Outcome, Severity
from dq.model.sla import Sla
from dq.sla.callback import call_on_miss
from dq.sla.evaluate import Expectation, evaluate
from dq.sla.expected import due_partitions, expected_partitions
from dq.sla.findings import findings, incident_key, sentence
from dq.sla.partitions import Judged, what_came

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ROME = Sla(due="06:00", tz="Europe/Rome", severity="critical")
STATES = ("arrived", "missing", "unmeasured", "started", "failed")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day(text: str) -> Interval:
    return Interval.of_day(text)


# ------------------------------------------------------------------------------------------------------------ deadline


@pytest.mark.parametrize(
    ("due", "zone", "end", "deadline"),
    [
        # plain days, in winter and in summer
        ("06:00", "UTC", "2024-06-28T00:00", "2024-06-28T06:00"),
        ("06:00", "Europe/Berlin", "2024-01-28T00:00", "2024-01-28T05:00"),
        ("06:00", "Europe/Berlin", "2024-06-28T00:00", "2024-06-28T04:00"),
        ("09:00", "America/New_York", "2024-06-28T00:00", "2024-06-28T13:00"),
        ("09:00", "Asia/Tokyo", "2024-06-28T00:00", "2024-06-28T00:00"),  # at the end is in time
        ("08:59", "Asia/Tokyo", "2024-06-28T00:00", "2024-06-28T23:59"),
        ("06:00", "Asia/Kathmandu", "2024-06-28T00:00", "2024-06-28T00:15"),  # UTC+05:45
        ("00:00", "UTC", "2024-06-28T00:00", "2024-06-28T00:00"),
        ("00:00", "Europe/Berlin", "2024-06-28T00:00", "2024-06-28T22:00"),
        ("23:59", "Pacific/Kiritimati", "2024-06-28T00:00", "2024-06-28T09:59"),  # UTC+14
        ("00:00", "Pacific/Pago_Pago", "2024-06-28T00:00", "2024-06-28T11:00"),  # UTC-11
        # month end, leap day, year end
        ("06:00", "Europe/Berlin", "2024-02-29T00:00", "2024-02-29T05:00"),
        ("06:00", "Europe/Berlin", "2024-03-01T00:00", "2024-03-01T05:00"),
        ("06:00", "Europe/Berlin", "2023-03-01T00:00", "2023-03-01T05:00"),
        ("00:30", "Europe/Berlin", "2024-02-29T00:00", "2024-02-29T23:30"),  # 1 March there
        ("00:30", "Europe/Berlin", "2023-02-28T00:00", "2023-02-28T23:30"),
        ("00:30", "Europe/Berlin", "2024-12-31T00:00", "2024-12-31T23:30"),  # the next year there
        ("22:00", "America/New_York", "2024-03-01T00:00", "2024-03-01T03:00"),  # still 29 February there
        # 02:00-03:00 is skipped in Berlin on 2024-03-31 and comes twice on 2024-10-27
        ("01:59", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T00:59"),
        ("02:00", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T01:00"),
        ("02:30", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T01:30"),
        ("03:00", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T01:00"),
        ("06:00", "Europe/Berlin", "2024-03-31T00:00", "2024-03-31T04:00"),
        ("06:00", "Europe/Berlin", "2024-03-30T00:00", "2024-03-30T05:00"),
        ("02:30", "Europe/Berlin", "2024-10-27T00:00", "2024-10-27T00:30"),
        ("02:30", "Europe/Berlin", "2024-10-27T00:31", "2024-10-28T01:30"),  # the second 02:30 does not count
        ("03:00", "Europe/Berlin", "2024-10-27T00:00", "2024-10-27T02:00"),
        ("06:00", "Europe/Berlin", "2024-10-27T00:00", "2024-10-27T05:00"),
        ("06:00", "Europe/Berlin", "2024-10-26T00:00", "2024-10-26T04:00"),
        # half an hour is skipped at Lord Howe
        ("02:15", "Australia/Lord_Howe", "2024-10-05T12:00", "2024-10-05T15:45"),
        # clocks that change at midnight: 00:00-01:00 was skipped in Sao Paulo and Havana
        ("00:30", "America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T03:30"),
        ("23:30", "America/Sao_Paulo", "2018-02-18T01:45", "2018-02-19T02:30"),  # ends in the second 23:45
        # 23:30-00:30 was skipped in Toronto: 23:45 of the day before falls into the day
        ("23:45", "America/Toronto", "1919-03-31T04:40", "1919-03-31T04:45"),
        # from 00:01 back to 23:01 in Newfoundland: midnight came twice, and the first had been already
        ("00:00", "America/St_Johns", "2010-11-07T03:00", "2010-11-08T03:30"),
        # Samoa had no 2011-12-30 at all
        ("06:00", "Pacific/Apia", "2011-12-30T10:00", "2011-12-30T16:00"),
    ],
)
def test_the_deadline_is_the_first_such_local_time_at_or_after_the_end(due, zone, end, deadline):
    interval = Interval(utc(end) - DAY, utc(end))
    found = Sla(due=due, tz=zone).deadline(interval)
    assert found == utc(deadline)
    assert found.utcoffset() == timedelta(0)


ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Rome",
        "America/New_York",
        "America/St_Johns",
        "America/Havana",
        "America/Asuncion",
        "Australia/Lord_Howe",
        "Asia/Tehran",
        "Asia/Beirut",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Pacific/Apia",
        "Antarctica/Troll",
    ]
)
MOMENTS = st.integers(0, 46 * 366 * 24 * 60).map(lambda minutes: utc("1990-01-01") + timedelta(minutes=minutes))
CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 30, 45, 59]))


@given(due=CLOCKS, zone=ZONES, end=MOMENTS)
@settings(max_examples=400)
def test_the_deadline_agrees_with_a_search_through_all_local_days(due, zone, end):
    """The definition, spelled out: read the clock on every day around, keep the first that is not before the end."""
    days = [end.date() + timedelta(days=n) for n in range(-4, 5)]
    instants = [datetime.combine(d, due, ZoneInfo(zone)).astimezone(UTC) for d in days]
    assert Sla(due=due, tz=zone).deadline(Interval(end - DAY, end)) == min(at for at in instants if at >= end)


@given(due=CLOCKS, zone=ZONES, start=MOMENTS, longer=st.integers(0, 5000))
def test_a_partition_that_ends_later_is_not_due_earlier(due, zone, start, longer):
    sla = Sla(due=due, tz=zone)
    ends = (start + HOUR, start + HOUR + timedelta(minutes=longer))
    assert sla.deadline(Interval(start, ends[0])) <= sla.deadline(Interval(start, ends[1]))


def test_within_is_counted_in_real_time_from_the_end():
    assert Sla(within="1h30m").deadline(day("2024-03-30")) == utc("2024-03-31T01:30")
    assert Sla(within="1h30m", tz="Europe/Berlin").deadline(day("2024-03-30")) == utc("2024-03-31T01:30")


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"due": "06:00", "within": "1h"},
        {"due": "6:00"},
        {"due": "25:00"},
        {"due": 6},
        {"due": "06:00", "tz": "Rome"},
        {"within": "0h"},
        {"within": "soon"},
        {"due": "06:00", "severity": "fatal"},
    ],
)
def test_a_promise_that_means_nothing_is_refused(arguments):
    with pytest.raises(DeclarationError):
        Sla(**arguments)


def test_a_promise_can_be_changed_into_another():
    assert attrs.evolve(ROME, due="07:00") == Sla(due="07:00", tz="Europe/Rome", severity="critical")


# ------------------------------------------------------------------------------------------------------------ evaluate

PARTITION = day("2024-06-27")
DUE = utc("2024-06-28T04:00")  # 06:00 in Rome
PROMISE = Expectation.of("suite", "orders", PARTITION, ROME)


def seen(
    state: str, at: datetime, interval: Interval = PARTITION, source: str = "close", detail: str = ""
) -> Observation:
    return Observation(
        kind="suite", subject="orders", interval=interval, state=state, at=at, source=source, detail=detail
    )


def judged(now: datetime, *observations: Observation):
    (verdict,) = evaluate([PROMISE], observations, now)
    return verdict


BEFORE, AT, AFTER = DUE - HOUR, DUE, DUE + HOUR
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("now", "sightings", "answer"),
    [
        (BEFORE, [], "pending"),
        (AT, [], "pending"),
        (AT + INSTANT, [], "never_started"),
        (BEFORE, [("started", BEFORE)], "pending"),
        (AT, [("missing", AT)], "pending"),
        (AT, [("failed", BEFORE)], "pending"),
        (AFTER, [("started", BEFORE)], "late_running"),
        (AFTER, [("started", AFTER)], "late_running"),
        (AFTER, [("missing", BEFORE)], "data_missing"),
        (AFTER, [("unmeasured", BEFORE)], "unmeasured"),
        (AFTER, [("failed", BEFORE)], "failed"),
        # the newest sighting speaks
        (AFTER, [("missing", BEFORE), ("started", AT)], "late_running"),
        (AFTER, [("started", BEFORE), ("missing", AT)], "data_missing"),
        (AFTER, [("started", BEFORE), ("failed", AT)], "failed"),
        (AFTER, [("failed", BEFORE), ("started", AT)], "late_running"),
        (AFTER, [("missing", BEFORE), ("unmeasured", AT)], "unmeasured"),
        # of one instant, the one that says more
        (AFTER, [("started", AT), ("missing", AT)], "data_missing"),
        (AFTER, [("started", AT), ("unmeasured", AT)], "unmeasured"),
        (AFTER, [("started", AT), ("failed", AT)], "failed"),
        # arrival
        (BEFORE, [("arrived", BEFORE)], "on_time"),
        (AT, [("arrived", AT)], "on_time"),
        (AFTER, [("arrived", AT)], "on_time"),
        (AFTER, [("arrived", AT + INSTANT)], "met_after_miss"),
        (AFTER, [("missing", BEFORE), ("arrived", AFTER)], "met_after_miss"),
        # the first arrival decides, and nothing takes it back
        (AFTER, [("arrived", BEFORE), ("arrived", AFTER)], "on_time"),
        (AFTER, [("arrived", BEFORE), ("missing", AT)], "on_time"),
        (AFTER, [("arrived", BEFORE), ("failed", AFTER), ("started", AFTER)], "on_time"),
        (AFTER + HOUR, [("arrived", AFTER), ("missing", AFTER + HOUR)], "met_after_miss"),
        # what is seen later is not known yet
        (BEFORE, [("arrived", AT)], "pending"),
        (AFTER, [("started", BEFORE), ("arrived", AFTER + HOUR)], "late_running"),
        (AFTER, [("arrived", AFTER + HOUR)], "never_started"),
    ],
)
def test_the_decision_table(now, sightings, answer):
    observations = [seen(state, at) for state, at in sightings]
    for order in itertools.permutations(observations):
        assert judged(now, *order).answer == answer


# What else there is to say than in the table above: grace, a ladder, early warnings, other sources, excuses.
LADDER = Sla(
    due="06:00", tz="Europe/Rome", grace="10m", warn_before="30m", warning="20m", error="1h", critical="3h"
)
MINUTE = timedelta(minutes=1)
ANSWERS_OF_TASKS = {
    "waiting": "never_started",
    "absent": "never_created",
    "paused": "paused",
    "started": "late_running",
    "failed": "failed",
}
ANSWERS_OF_OTHERS = {
    "missing": "data_missing",
    "done": "data_missing",
    "unmeasured": "unmeasured",
    "unreachable": "source_down",
}


def laddered(minute: float, *observations: Observation, sla: Sla = LADDER, **more):
    """Judge so many minutes after it was due."""
    promise = attrs.evolve(Expectation.of("suite", "orders", PARTITION, sla), **more)
    (verdict,) = evaluate([promise], observations, DUE + minute * MINUTE)
    return verdict


def after(minute: float, state: str, source: str = "close") -> Observation:
    return seen(state, DUE + minute * MINUTE, source=source)


TICK = INSTANT / MINUTE


@pytest.mark.parametrize(
    ("now", "sightings", "answer", "severity"),
    [
        # early: 30 minutes before, or when it is seen to fail or be paused
        (-30 - TICK, [], "pending", None),
        (-30, [], "at_risk", "warning"),
        (-90, ["-95 failed"], "at_risk", "warning"),
        (-90, ["-95 paused"], "at_risk", "warning"),
        (-90, ["-95 started"], "pending", None),
        (-90, ["-95 failed", "-92 started"], "pending", None),  # it was started again
        (-90, ["-95 missing"], "pending", None),
        (-90, ["-95 unreachable"], "pending", None),
        (-90, ["-95 skipped"], "excused", None),
        (-30, ["-95 started"], "at_risk", "warning"),
        # due, and within grace
        (0, [], "at_risk", "warning"),
        (10, ["5 missing"], "at_risk", "warning"),
        (10, ["10 arrived"], "on_time", None),
        (10, ["10 wrong"], "data_wrong", None),
        # late, and not bad enough
        (10 + TICK, [], "never_started", None),
        (20 - TICK, ["5 failed"], "failed", None),
        (15, [f"{10 + TICK} arrived"], "late_but_done", None),
        (15, [f"{10 + TICK} wrong"], "late_but_done", None),
        (400, [f"{20 - TICK} arrived"], "late_but_done", None),  # how late it was counts, not when anybody looked
        # rung by rung
        (20, [], "never_started", "warning"),
        (60 - TICK, ["5 paused"], "paused", "warning"),
        (60, ["5 absent"], "never_created", "error"),
        (180 - TICK, ["5 started"], "late_running", "error"),
        (180, ["5 started"], "late_running", "critical"),
        (400, ["20 arrived"], "met_after_miss", "warning"),
        (400, ["61 arrived"], "met_after_miss", "error"),
        (400, ["200 wrong"], "met_after_miss", "critical"),
        # of what is there the newest word says whether it is right; when it was there the first
        (400, ["-5 arrived", "30 wrong"], "data_wrong", None),
        (400, ["-5 wrong", "30 arrived"], "on_time", None),
        (400, ["-5 wrong", "30 missing"], "data_wrong", None),
        (400, ["30 wrong", "40 arrived"], "met_after_miss", "warning"),
        (25, ["-5 arrived", "30 wrong"], "on_time", None),  # that is not known yet
        # skipped, until it is seen otherwise
        (400, ["5 skipped"], "excused", None),
        (400, ["5 failed", "50 skipped"], "excused", None),
        (400, ["50 skipped", "60 started"], "late_running", "critical"),
        (400, ["50 skipped", "60 arrived"], "met_after_miss", "error"),
        (400, ["50 skipped", "60 missing close"], "excused", None),  # that there is no data is no surprise
    ],
)
def test_the_decision_table_of_a_ladder(now, sightings, answer, severity):
    observations = []
    for sighting in sightings:
        minute, state, *source = sighting.split()
        observations.append(after(float(minute), state, *(source or ["airflow"])))
    for order in itertools.permutations(observations):
        verdict = laddered(now, *order)
        assert (verdict.answer, str(verdict.severity or None)) == (answer, str(severity))


@pytest.mark.parametrize("state", [*ANSWERS_OF_TASKS, *ANSWERS_OF_OTHERS])
def test_every_sighting_has_its_answer(state):
    expected = {**ANSWERS_OF_TASKS, **ANSWERS_OF_OTHERS}[state]
    verdict = laddered(25, after(5, state))
    assert verdict.answer == expected
    assert verdict.bad and verdict.missed and not verdict.over


@pytest.mark.parametrize("task", ANSWERS_OF_TASKS)
@pytest.mark.parametrize("other", ANSWERS_OF_OTHERS)
@pytest.mark.parametrize("minute", [1, 9])
def test_what_a_task_does_says_more_than_that_the_data_is_not_there(task, other, minute):
    both = [after(5, task, "airflow"), after(minute, other)]
    assert laddered(25, *both).answer == ANSWERS_OF_TASKS[task]
    assert laddered(25, *both, after(20, "arrived", "rows")).answer == "met_after_miss", "data beats all"


def test_of_each_who_looks_the_newest_sighting_speaks():
    assert laddered(25, after(1, "failed", "airflow"), after(9, "unreachable", "airflow")).answer == "source_down"
    assert laddered(25, after(9, "failed", "airflow"), after(1, "unreachable", "airflow")).answer == "failed"
    assert laddered(25, after(1, "failed", "airflow"), after(9, "done", "airflow")).answer == "data_missing"
    # two who look at tasks: the newest; a third who sees no data says nothing
    two = [after(1, "failed", "airflow"), after(5, "started", "triggerer"), after(9, "missing", "rows")]
    for order in itertools.permutations(two):
        assert laddered(25, *order).answer == "late_running"
    three = [after(1, "missing", "rows"), after(5, "unmeasured", "close"), after(9, "unreachable", "airflow")]
    for order in itertools.permutations(three):
        assert laddered(25, *order).answer == "source_down"
        assert laddered(8, *order).newest.state == "unmeasured"


@pytest.mark.parametrize(
    ("now", "sightings", "answer"),
    [
        (-90, [], "excused"),
        (-5, [], "excused"),  # nobody is warned
        (25, [], "excused"),
        (400, [after(5, "failed")], "excused"),
        (400, [after(300, "arrived")], "excused"),
        (400, [after(15, "arrived")], "excused"),
        (400, [after(10, "arrived")], "on_time"),  # what came in time needs no excuse
        (400, [after(10, "wrong")], "data_wrong"),
    ],
)
def test_what_somebody_excused_does_not_count(now, sightings, answer):
    verdict = laddered(now, *sightings, excuse="the lake moves")
    assert verdict.answer == answer
    assert verdict.severity is None
    assert not verdict.missed
    assert verdict.over is (verdict.arrived_at is not None), "it may still be taken back"


@pytest.mark.parametrize(
    ("now", "sightings", "answer"),
    [
        (-51, [], "pending"),
        (-50, [], "at_risk"),
        (-50, [after(-55, "waiting", "airflow")], "at_risk"),
        (-50, [after(-55, "absent", "airflow")], "at_risk"),
        (-50, [after(-55, "paused", "airflow")], "at_risk"),
        (-50, [after(-55, "started", "airflow")], "pending"),
        (-50, [after(-55, "failed", "airflow")], "pending"),  # without warn_before nobody asked for that
        (-50, [after(-55, "arrived")], "on_time"),
        (0, [after(-55, "started", "airflow")], "pending"),
        (TICK, [after(-55, "started", "airflow")], "late_running"),
    ],
)
def test_what_has_not_begun_in_time_is_at_risk(now, sightings, answer):
    assert laddered(now, *sightings, sla=ROME, needs=50 * MINUTE).answer == answer


EVERY_STATE = st.sampled_from(
    ["arrived", "wrong", "missing", "unmeasured", "waiting", "started", "failed", "skipped", "absent", "paused", "done",
     "unreachable"]
)  # fmt: skip
MINUTES = st.integers(-200, 400)
SOURCES = st.sampled_from(["close", "airflow", "rows"])
ALL_SIGHTINGS = st.lists(st.builds(after, MINUTES, EVERY_STATE, SOURCES), max_size=6)
RUNGS = st.fixed_dictionaries(
    {
        "grace": st.integers(0, 40).map(lambda m: m * MINUTE),
        "warn_before": st.none() | st.integers(1, 200).map(lambda m: m * MINUTE),
    },
    optional={"warning": st.integers(0, 50).map(lambda m: m * MINUTE), "error": st.just(60 * MINUTE)},
).map(lambda given: Sla(due="06:00", tz="Europe/Rome", **given))
NEEDS = st.none() | st.integers(1, 200).map(lambda m: m * MINUTE)


@given(sla=RUNGS, needs=NEEDS, observations=ALL_SIGHTINGS, moments=st.lists(MINUTES, min_size=2, max_size=2))
def test_while_it_stays_late_it_does_not_become_less_bad(sla, needs, observations, moments):
    first, second = (laddered(m, *observations, sla=sla, needs=needs) for m in sorted(moments))
    if first.bad and second.bad:
        assert (second.severity or 0) >= (first.severity or 0)
    if first.missed and second.missed:
        assert second.late >= first.late or second.arrived_at is not None
    if first.over:
        assert (second.arrived_at, second.over) == (first.arrived_at, True) or first.arrived_at is None


@given(sla=RUNGS, needs=NEEDS, observations=ALL_SIGHTINGS, moments=st.lists(MINUTES, min_size=2, max_size=2))
def test_what_is_late_or_there_is_not_at_risk(sla, needs, observations, moments):
    grace = sla.grace / MINUTE
    first, second = sorted(moments)
    before, last, late = (laddered(m, *observations, sla=sla, needs=needs) for m in (first, second, second + TICK))
    if before.missed or before.arrived_at is not None:
        assert last.answer is not Answer.AT_RISK
    for minute, verdict in ((second, last), (second + TICK, late)):
        if verdict.answer is Answer.AT_RISK:
            assert minute <= grace and verdict.arrived_at is None
            assert (verdict.severity, verdict.missed, verdict.bad) == (Severity.WARNING, False, False)
    at, after_it = (laddered(m, sla=sla, needs=needs) for m in (grace, grace + TICK))
    assert (at.answer is Answer.AT_RISK) is (sla.warn_before is not None or needs is not None)
    assert after_it.answer is Answer.NEVER_STARTED


@given(sla=RUNGS, needs=NEEDS, observations=ALL_SIGHTINGS, moment=MINUTES)
def test_an_excuse_pages_nobody(sla, needs, observations, moment):
    plain = laddered(moment, *observations, sla=sla, needs=needs)
    verdict = laddered(moment, *observations, sla=sla, needs=needs, excuse="the lake moves")
    assert verdict.severity is None and not verdict.missed
    assert all(f.severity is None for was_told in (True, False) for f in told(verdict, was_told=was_told))
    assert verdict.answer == (plain.answer if plain.answer in ("on_time", "data_wrong") else "excused")
    assert verdict.arrived_at == plain.arrived_at


@given(sla=RUNGS, needs=NEEDS, observations=ALL_SIGHTINGS, excuse=st.sampled_from(["", "it is known"]), moment=MINUTES)
def test_only_at_its_turns_does_time_alone_change_what_is_said(sla, needs, observations, excuse, moment):
    def said(minute: float) -> tuple[object, ...]:
        verdict = laddered(minute, *known, sla=sla, needs=needs, excuse=excuse)
        return verdict.answer, verdict.severity

    known = [o for o in observations if o.at <= DUE + moment * MINUTE]
    turns = [(turn - DUE) / MINUTE for turn in laddered(moment, sla=sla, needs=needs).expectation.turns]
    between = sorted({moment, *(edge for turn in turns if turn >= moment for edge in (turn, turn + TICK)), 1_000.0})
    for first, last in itertools.pairwise(between):
        if first in turns:
            continue  # at a turn, or right after it, it may change
        for part in (0.5, 0.999):
            assert said(first) == said(first + (last - first) * part)
        assert said(first) == said(last - TICK) or last - TICK <= first


def test_other_partitions_subjects_and_kinds_say_nothing():
    others = [
        seen("arrived", BEFORE, day("2024-06-26")),
        seen("arrived", BEFORE, Interval(PARTITION.start, PARTITION.end + DAY)),
        attrs.evolve(seen("arrived", BEFORE), subject="users"),
        attrs.evolve(seen("arrived", BEFORE), kind="reconciliation"),
    ]
    assert judged(AFTER, *others).answer is Answer.NEVER_STARTED


def test_a_verdict_says_how_late():
    assert judged(BEFORE).late == timedelta(0)
    assert judged(AFTER).late == HOUR
    assert judged(AFTER + HOUR, seen("arrived", AFTER)).late == HOUR
    assert judged(AFTER, seen("arrived", BEFORE)).late == timedelta(0)


SIGHTINGS = st.lists(
    st.builds(seen, st.sampled_from(STATES), st.integers(-180, 180).map(lambda m: DUE + timedelta(minutes=m))),
    max_size=8,
)
NOWS = st.integers(-200, 200).map(lambda m: DUE + timedelta(minutes=m))
LATE = {Answer.NEVER_STARTED, Answer.LATE_RUNNING, Answer.DATA_MISSING, Answer.UNMEASURED, Answer.FAILED}


@given(observations=SIGHTINGS, now=NOWS, later=NOWS)
def test_in_time_an_answer_only_goes_forward(observations, now, later):
    now, later = sorted((now, later))
    first, second = judged(now, *observations), judged(later, *observations)
    if first.answer in (Answer.ON_TIME, Answer.MET_AFTER_MISS):
        assert (second.answer, second.arrived_at) == (first.answer, first.arrived_at)
    elif first.answer in LATE:
        assert second.answer in {*LATE, Answer.MET_AFTER_MISS}
        assert second.late >= first.late or not second.bad
    if first.missed:
        assert second.missed


@given(observations=SIGHTINGS, now=NOWS)
def test_what_arrived_before_it_was_due_is_never_missed(observations, now):
    arrived = [o.at for o in observations if o.state == "arrived" and o.at <= now]
    verdict = judged(now, *observations)
    assert (
        verdict.missed is (now > DUE and not any(at <= DUE for at in arrived))
        or verdict.answer is Answer.MET_AFTER_MISS
    )
    if any(at <= DUE for at in arrived):
        assert verdict.answer is Answer.ON_TIME
    if verdict.answer is Answer.MET_AFTER_MISS:
        assert verdict.late == min(arrived) - DUE > timedelta(0)
    assert verdict.bad is (now > DUE and not arrived)


@given(observations=SIGHTINGS, now=NOWS, random=st.randoms(use_true_random=False), more=st.integers(1, 3))
def test_neither_order_nor_repetition_nor_the_future_change_the_answer(observations, now, random, more):
    shuffled = [o for o in observations if o.at <= now] * more
    random.shuffle(shuffled)
    assert judged(now, *shuffled) == judged(now, *observations)


INTERVALS = st.tuples(MOMENTS, st.integers(0, 59), st.integers(1, 200_000)).map(
    lambda t: Interval(t[0] + timedelta(seconds=t[1]), t[0] + timedelta(seconds=t[1] + t[2]))
) | st.dates(date(2024, 1, 1), date(2024, 3, 1)).map(Interval.of_day)


@given(one=INTERVALS, other=INTERVALS, now=NOWS, later=NOWS)
def test_a_promise_and_partition_have_one_identity(one, other, now, later):
    def key(interval, now, *observations):
        (verdict,) = evaluate([Expectation.of("suite", "orders", interval, ROME)], observations, now)
        return incident_key(verdict, "prod")

    assert key(one, now) == key(one, later) == key(one, later, seen("arrived", DUE, one))
    assert (key(one, now) == key(other, now)) is (one == other)
    assert key(one, now) != key(Interval(one.start, one.end + timedelta(seconds=1)), now)
    assert key(one, now) != key(Interval(one.start, one.end + INSTANT), now)


def test_verdicts_come_in_the_order_of_the_promises():
    promises = [Expectation.of("suite", "orders", day(f"2024-06-{d}"), ROME) for d in (27, 25, 26)]
    assert [v.expectation for v in evaluate(promises, [], AFTER)] == promises


# ------------------------------------------------------------------------------------------------- expected partitions


def names(partitions) -> list[str]:
    return [str(p)[-2:] if p.is_day else str(p)[8:16] for p in partitions]


def arrivals(*days: int, hour: int = 3) -> list[Observation]:
    return [seen("arrived", utc(f"2024-06-{d + 1:02}T{hour:02}:00"), day(f"2024-06-{d:02}")) for d in days]


@pytest.mark.parametrize(
    ("now", "observations", "opened", "expected"),
    [
        # a fresh store does not page for the past
        ("2024-06-28T05:00", [], [], ["27"]),
        ("2024-06-28T04:00", [], [], ["26"]),  # the 27th is due now, and may come now
        ("2024-06-28T03:59", [], [], ["26"]),
        # at most a week, never older than the first sighting
        ("2024-06-28T05:00", arrivals(1), [], ["21", "22", "23", "24", "25", "26", "27"]),
        ("2024-06-28T05:00", arrivals(24), [], ["24", "25", "26", "27"]),
        ("2024-06-28T05:00", arrivals(24, hour=4), [], ["24", "25", "26", "27"]),  # seen at the deadline
        ("2024-06-28T05:00", arrivals(24, hour=5), [], ["25", "26", "27"]),  # first seen late: nobody had promised it
        # the first sighting of all was late: it counts for the newest due partition if that is what was seen
        ("2024-06-28T05:00", arrivals(27, hour=4), [], ["27"]),
        ("2024-06-28T06:00", arrivals(27, hour=5), [], ["27"]),
        ("2024-06-28T06:00", [seen("missing", utc("2024-06-28T05:30"))], [], ["27"]),
        ("2024-06-28T06:00", [seen("arrived", utc("2024-06-28T05:30"), day("2024-01-05"))], [], []),
        ("2024-06-28T06:00", [seen("arrived", utc("2024-06-28T05:30"), day("2024-06-25"))], [], []),
        ("2024-06-29T06:00", [seen("arrived", utc("2024-06-28T05:30"), day("2024-01-05"))], [], ["28"]),
        # what is open stays expected
        ("2024-06-28T05:00", arrivals(26), ["2024-06-02", "2024-06-27"], ["02", "26", "27"]),
        ("2024-06-28T03:00", arrivals(26), ["2024-06-27"], ["26", "27"]),  # even when the promise was moved since
        ("2024-06-28T05:00", [], ["2024-06-02"], ["02", "27"]),
        # a sighting in the future is not known yet
        ("2024-06-28T05:00", arrivals(28, 29), [], ["27"]),
    ],
)
def test_which_partitions_are_expected(now, observations, opened, expected):
    partitions = expected_partitions(ROME, observations, [day(o) for o in opened], utc(now))
    assert names(partitions) == expected


def hours(first: str, count: int) -> list[Observation]:
    starts = [utc(first) + n * HOUR for n in range(count)]
    return [seen("arrived", start + HOUR, Interval(start, start + HOUR)) for start in starts]


def test_a_subject_cut_into_hours_is_judged_by_the_hours_that_were_seen_and_by_silent_days():
    sla = Sla(within="20m")
    running = Interval(utc("2024-06-27T02:00"), utc("2024-06-27T03:00"))  # not due yet
    old = hours("2024-06-01T00:00", 1)  # the first sighting, longer ago than anybody asks
    observations = [*old, *hours("2024-06-26T20:00", 6), seen("started", utc("2024-06-27T02:10"), running)]
    seen_hours = ["26T20:00", "26T21:00", "26T22:00", "26T23:00", "27T00:00", "27T01:00"]
    silent_days = ["20", "21", "22", "23", "24", "25"]
    assert names(expected_partitions(sla, observations, [], utc("2024-06-27T02:30"))) == [*silent_days, *seen_hours]
    assert names(expected_partitions(sla, observations[1:], [], utc("2024-06-27T02:30"))) == seen_hours
    # then it dies: the next whole day without anything is told
    assert names(expected_partitions(sla, observations, [], utc("2024-06-29T01:00")))[-1] == "28"
    # one run over a whole day does not make it daily, and one over an hour does not silence a daily subject
    once = seen("arrived", utc("2024-06-27T02:00"), day("2024-06-26"))
    assert "25" not in names(expected_partitions(sla, [*observations[1:], once], [], utc("2024-06-27T02:30")))
    daily = arrivals(24, 25, 26)
    assert names(expected_partitions(ROME, [*daily, *hours("2024-06-27T10:00", 1)], [], utc("2024-06-28T05:00"))) == [
        "24",
        "25",
        "26",
        "27",
    ]


def test_a_report_over_a_week_silences_no_day_of_it():
    weeks = [
        seen("arrived", utc("2024-06-28T03:00"), Interval(utc(f"2024-06-{first}T00:00"), utc("2024-06-28T00:00")))
        for first in (20, 21)
    ]
    assert names(expected_partitions(ROME, [*arrivals(25), *weeks], [], utc("2024-06-28T05:00"))) == ["25", "26", "27"]


@pytest.mark.parametrize("first", ["2024-03-27", "2024-06-27", "2024-10-24"])  # with a day of 23, 24 and 25 hours
def test_days_of_another_time_zone_are_not_paged_for_as_days_of_utc(first):
    """Airflow cuts Rome's days at 22:00 UTC in summer and at 23:00 UTC in winter."""
    days = [datetime.fromisoformat(first).replace(tzinfo=ZoneInfo("Europe/Rome")) + n * DAY for n in range(6)]
    cut = tuple(Interval(a.astimezone(UTC), b.astimezone(UTC)) for a, b in itertools.pairwise(days))
    observations = [seen("arrived", p.end + HOUR, p) for p in cut]
    now = days[-1].astimezone(UTC) + 7 * HOUR
    assert expected_partitions(ROME, observations, [], now) == cut
    verdicts = evaluate([Expectation.of("suite", "orders", p, ROME) for p in cut], observations, now)
    assert {v.answer for v in verdicts} == {Answer.ON_TIME}


def test_a_cadence_of_an_hour_and_of_a_week():
    hourly = due_partitions(Sla(within="20m"), utc("2024-06-28T05:10"), HOUR, 3 * HOUR)
    assert names(hourly) == ["28T01:00", "28T02:00", "28T03:00"]
    weekly = due_partitions(Sla(within="1d"), utc("2024-06-28T05:10"), 7 * DAY, 14 * DAY)
    assert [str(p) for p in weekly] == ["2024-06-10..2024-06-16", "2024-06-17..2024-06-23"]


def test_a_promise_of_many_days_looks_back_from_its_own_newest_partition():
    assert names(due_partitions(Sla(within="10d"), utc("2024-06-28T05:00"), lookback=3 * DAY)) == ["15", "16", "17"]


@given(now=MOMENTS, sla=st.builds(lambda d, z: Sla(due=d, tz=z), CLOCKS, ZONES) | st.just(Sla(within="30h")))
def test_due_partitions_are_the_newest_seven_in_a_row_and_all_of_them_are_due(now, sla):
    partitions = due_partitions(sla, now)
    assert len(partitions) == 7
    assert all(a.end == b.start for a, b in itertools.pairwise(partitions))
    assert all(sla.deadline(p) < now for p in partitions)
    assert sla.deadline(Interval(partitions[-1].end, partitions[-1].end + DAY)) >= now


# ------------------------------------------------------------------------------------------------------------ findings


def test_the_sentences():
    now = DUE + timedelta(hours=2, minutes=40)
    assert sentence(judged(now)) == (
        "partition 2024-06-27 was due 2024-06-28 06:00 Europe/Rome (04:00 UTC) and has not arrived; 2h40m late; "
        "nothing has been seen of it"
    )
    assert sentence(judged(now, seen("unmeasured", DUE, detail="extract failed"))).endswith(
        "; 2h40m late; it could not be measured 2024-06-28 04:00 UTC (says close: extract failed)"
    )
    assert sentence(judged(now, seen("missing", AFTER))).endswith(
        "; it was seen without rows 2024-06-28 05:00 UTC (says close)"
    )
    assert sentence(judged(now, seen("started", AFTER))).endswith("; its run started 2024-06-28 05:00 UTC (says close)")
    assert sentence(judged(now, seen("failed", AFTER, source="airflow"))).endswith(
        "; its run failed 2024-06-28 05:00 UTC (says airflow)"
    )
    assert sentence(judged(now, seen("arrived", AFTER))) == (
        "partition 2024-06-27 arrived 2024-06-28 05:00 UTC, 1h late; it was due "
        "2024-06-28 06:00 Europe/Rome (04:00 UTC)"
    )
    assert sentence(judged(now, seen("arrived", BEFORE))) == (
        "partition 2024-06-27 arrived 2024-06-28 03:00 UTC, in time; it was due "
        "2024-06-28 06:00 Europe/Rome (04:00 UTC)"
    )
    assert sentence(judged(BEFORE)) == (
        "partition 2024-06-27 is due 2024-06-28 06:00 Europe/Rome (04:00 UTC), in 1h; nothing has been seen of it"
    )


def test_the_sentence_shows_the_clock_as_it_was():
    def due(sla, partition):
        (verdict,) = evaluate([Expectation.of("suite", "orders", day(partition), sla)], [], utc("2025-01-01T00:00"))
        return sentence(verdict).split(" was due ")[1].split(" and has")[0]

    assert due(Sla(due="02:30", tz="Europe/Rome"), "2024-03-30") == "2024-03-31 03:30 Europe/Rome (01:30 UTC)"
    assert due(Sla(due="08:00", tz="Asia/Tokyo"), "2024-06-27") == "2024-06-29 08:00 Asia/Tokyo (2024-06-28 23:00 UTC)"
    assert due(Sla(within="1h"), "2024-06-27") == "2024-06-28 01:00 UTC"


KEY = IncidentKey("prod", "sla", "orders", "2024-06-27")


def told(verdict, *, known=False, was_told=False):
    """What is said of ``verdict``; known: a miss is on record already."""
    is_new = verdict.missed and verdict.severity is not None and not known
    labels, links = {"owner": "sales-data", "tag": "gold"}, {"runbook": "read me"}
    return findings(verdict, "prod", labels, links, is_new=is_new, was_told=was_told)


def test_pending_says_nothing():
    assert told(judged(BEFORE, seen("started", BEFORE))) == ()


@pytest.mark.parametrize(
    ("state", "outcome"),
    [(None, "fail"), ("started", "fail"), ("missing", "fail"), ("failed", "fail"), ("unmeasured", "unmeasured")],
)
def test_what_is_late_is_bad(state, outcome):
    verdict = judged(AFTER, *([seen(state, BEFORE)] if state else []))
    (finding,) = told(verdict)
    assert finding.key == KEY
    assert finding.interval == PARTITION
    assert finding.severity is Severity.CRITICAL
    assert finding.outcome == outcome
    assert finding.sentence == sentence(verdict)
    assert (finding.observed, finding.threshold) == ("1h late", "due 06:00 Europe/Rome")
    assert finding.links == {"runbook": "read me"}
    assert finding.labels == {
        "owner": "sales-data",
        "tag": "gold",
        "environment": "prod",
        "kind": "sla",
        "suite": "orders",
        "sla": "orders",
        "severity": "critical",
        "answer": str(verdict.answer),
    }
    assert told(verdict, known=True, was_told=True) == (finding,)  # judged again it says the same of the same incident


def test_a_reconciliation_is_labelled_as_one():
    promise = attrs.evolve(PROMISE, kind="reconciliation", subject="ledger")
    (finding,) = findings(evaluate([promise], [], AFTER)[0], "prod", {}, is_new=True, was_told=False)
    assert finding.labels["reconciliation"] == finding.labels["sla"] == "ledger"
    assert "suite" not in finding.labels


def test_what_came_in_time_is_no_news_unless_it_was_warned_of():
    verdict = judged(AFTER, seen("arrived", BEFORE))
    assert told(verdict) == ()
    (finding,) = told(verdict, was_told=True)
    assert (finding.key, finding.severity, finding.outcome, finding.observed) == (KEY, None, Outcome.PASS, "in time")


def test_what_ends_and_has_not_arrived_says_so():
    for verdict, answer in ((laddered(25, excuse="the lake moves"), "excused"), (laddered(-90), "pending")):
        (finding,) = told(verdict, known=True, was_told=True)
        assert (finding.severity, finding.labels["_not_there"]) == (None, answer)
    for verdict in (laddered(400, after(300, "arrived"), excuse="it is known"), laddered(5, after(4, "arrived"))):
        (finding,) = told(verdict, known=True, was_told=True)
        assert (finding.severity, "_not_there" in finding.labels) == (None, False)
    (finding,) = told(laddered(25), known=True, was_told=True)
    assert "_not_there" not in finding.labels, "it is late"


def test_what_came_late_is_well_when_the_miss_is_on_record():
    (finding,) = told(judged(AFTER, seen("arrived", AFTER)), known=True, was_told=True)
    assert (finding.key, finding.severity, finding.observed) == (KEY, None, "1h late")


def test_a_miss_that_nobody_noticed_is_told_and_then_it_is_well():
    bad, well = told(judged(AFTER, seen("arrived", AFTER)))
    assert (bad.key, bad.severity, bad.observed) == (KEY, Severity.CRITICAL, "1h late")
    assert bad.labels["severity"] == "critical"
    assert (well.key, well.severity) == (KEY, None)


@given(observations=SIGHTINGS, ticks=st.lists(NOWS, min_size=1, max_size=12))
def test_however_often_it_is_judged_a_breach_opens_once_and_ends_once(observations, ticks):
    """Fold what is said at every tick as the incidents are folded: bad opens what is not open, well ends what is."""
    row, is_open, episodes, calls = None, False, Counter(), 0
    for now in sorted(ticks):
        verdict = judged(now, *observations)
        judgement = Judged.of(verdict, row)
        calls += judgement.is_new
        for finding in told(verdict, known=row is not None and row.severity is not None, was_told=judgement.was_told):
            if finding.severity is not None and not is_open:
                episodes["opened"] += 1
                is_open = True
            elif finding.severity is None and is_open:
                episodes["ended"] += 1
                is_open = False
        row = SimpleNamespace(**what_came(judgement, row))
        if verdict.over:
            break
    assert episodes["opened"] == calls == verdict.missed
    assert episodes["ended"] == (verdict.missed and not verdict.bad)
    assert is_open is verdict.bad


# ------------------------------------------------------------------------------------------------------- user function


def test_the_function_gets_what_airflow_2_gives():
    calls = []

    def mine(dag, task_list, blocking_task_list, slas, blocking_tis):
        calls.append((dag, task_list, blocking_task_list, slas, blocking_tis))
        assert isinstance(slas, list)
        assert isinstance(blocking_tis, list)

    verdict = judged(AFTER, seen("started", BEFORE))
    assert call_on_miss(Sla(due="06:00", on_miss=mine), verdict, dag_id="daily_orders", task_id="orders.close") is None
    ((dag, task_list, blocking_task_list, (miss,), (blocking,)),) = calls
    assert dag.dag_id == "daily_orders"
    assert str(dag) == "<DAG: daily_orders>"
    assert task_list == blocking_task_list == "orders.close on 2024-06-27T00:00:00+00:00"
    assert (miss.dag_id, miss.task_id) == ("daily_orders", "orders.close")
    assert (miss.execution_date, miss.timestamp) == (PARTITION.start, AFTER)
    assert (miss.email_sent, miss.notification_sent) == (False, False)
    assert miss.description == sentence(verdict)
    assert (blocking.task_id, blocking.dag_id) == ("orders.close", "daily_orders")
    assert (blocking.execution_date, blocking.state) == (PARTITION.start, "running")


@pytest.mark.parametrize(
    ("state", "blocking"),
    [(None, [None]), ("started", ["running"]), ("failed", ["failed"]), ("unmeasured", ["failed"]), ("missing", [])],
)
def test_what_it_waits_for(state, blocking):
    states, lines = [], []

    def mine(dag, task_list, blocking_task_list, slas, blocking_tis):
        states.extend(ti.state for ti in blocking_tis)
        lines.append((dag.dag_id, task_list, blocking_task_list))

    call_on_miss(Sla(due="06:00", on_miss=mine), judged(AFTER, *([seen(state, BEFORE)] if state else [])))
    assert states == blocking
    one = "orders on 2024-06-27T00:00:00+00:00"
    assert lines == [("orders", one, one if blocking else "")]


def test_what_has_arrived_waits_for_nothing():
    found = []
    sla = Sla(due="06:00", on_miss=lambda *arguments: found.extend(arguments))
    assert call_on_miss(sla, judged(AFTER, seen("arrived", AFTER))) is None
    assert found[2] == ""
    assert found[4] == []


def test_nothing_is_called_where_nothing_is_declared():
    assert call_on_miss(ROME, judged(AFTER)) is None


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A user's package, importable as ``sla_user.hooks``."""
    (tmp_path / "sla_user").mkdir()
    (tmp_path / "sla_user" / "__init__.py").write_text("")
    (tmp_path / "sla_user" / "hooks.py").write_text(
        textwrap.dedent("""\
            import sys

            NUMBER = 1
            CALLS = []

            def good(dag, task_list, blocking_task_list, slas, blocking_tis):
                CALLS.append(task_list)

            def leaves(dag, task_list, blocking_task_list, slas, blocking_tis):
                sys.exit("https://hooks.example/secret")

            def breaks(dag, task_list, blocking_task_list, slas, blocking_tis):
                raise ConnectionError("no answer from https://hooks.example/secret")

            def short(dag):
                pass

            async def waits(dag, task_list, blocking_task_list, slas, blocking_tis):
                pass

            class Holder:
                @staticmethod
                def good(*arguments):
                    CALLS.append("held")
            """)
    )
    (tmp_path / "sla_user" / "broken.py").write_text("import sys\nsys.exit('https://hooks.example/secret')\n")
    (tmp_path / "sla_user" / "needs.py").write_text("import no_such_library_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "sla_user.hooks"
    for name in [name for name in sys.modules if name.startswith("sla_user")]:
        del sys.modules[name]


def problem(function) -> str | None:
    return call_on_miss(Sla(due="06:00", on_miss=function), judged(AFTER))


def test_a_name_is_resolved_when_it_is_needed(module):
    sla = Sla(due="06:00", on_miss=f"{module}:good")
    assert "sla_user" not in sys.modules
    assert call_on_miss(sla, judged(AFTER)) is None
    assert problem(f"{module}:Holder.good") is None
    assert sys.modules[module].CALLS == ["orders on 2024-06-27T00:00:00+00:00", "held"]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("sla_user.hooks:leaves", "ended with SystemExit (line 10 of hooks.py)"),
        ("sla_user.hooks:breaks", "ended with ConnectionError (line 13 of hooks.py)"),
        (
            "sla_user.hooks:short",
            "does not take the five arguments dag, task_list, blocking_task_list, slas, blocking_tis",
        ),
        ("sla_user.hooks:waits", "is an async function, which nobody awaits; write a plain one"),
        ("sla_user.hooks:NUMBER", "is not a function"),
        ("sla_user.hooks:nope", "could not be found: module 'sla_user.hooks' has no attribute 'nope'"),
        ("sla_user.hooks", 'is not of the form "package.module:function"'),
        (":good", 'is not of the form "package.module:function"'),
        ("sla_user.nope:good", "could not be imported: there is no module 'sla_user.nope'"),
        ("sla_user.needs:good", "could not be imported: there is no module 'no_such_library_at_all'"),
        ("sla_user.broken:good", "ended with SystemExit (line 2 of broken.py)"),
    ],
)
@pytest.mark.usefixtures("module")
def test_a_function_that_is_wrong_is_a_sentence_and_no_error(function, expected):
    found = problem(function)
    assert found == f"on_miss of orders: {function} {expected}"
    assert "secret" not in found


def test_a_function_given_as_such_is_named():
    def raises(*_):
        raise ValueError("https://hooks.example/secret")

    found = problem(raises)
    assert found.startswith("on_miss of orders: ")
    assert "raises ended with ValueError (line " in found
    assert found.endswith(" of test_sla.py)")


def test_what_must_stop_the_process_stops_it():
    def stops(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        problem(stops)
