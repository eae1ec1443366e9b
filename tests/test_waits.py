"""What is told when: waits, ticks, reminders, hours, silences, acknowledging, escalation, blocking, coarse groups."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from random import Random
from typing import Any

import pytest
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.engine import Engine

from dq.alerting import acks, messages, silences
from dq.alerting.flow import CLOSED, FAILURES, LONGEST_CLOSED
from dq.alerting.fold import UPSTREAM, News, apply_findings
from dq.alerting.inhibit import InhibitRule
from dq.alerting.matcher import Matcher
from dq.alerting.pump import PumpReport
from dq.alerting.reason import Pace, Reason, reason
from dq.alerting.routing import Escalation, Route
from dq.alerting.times import TimeInterval
from dq.model.errors import UsageError
from dq.model.incident import Finding, IncidentKey, SubjectKind
from dq.model.interval import Interval
from dq.model.message import Message, Receipt
from dq.model.severity import Outcome, Severity
from dq.store.engine import open_store
from dq.store.schema import metadata, outbox, told
from tests.test_pump import KilledError, Recorder, World, config, fine, random_trouble, refuse

pytest_plugins = ["tests.stores"]

START = datetime(2026, 11, 20, 6, tzinfo=UTC)  # a Friday
DAY = Interval.of_day("2026-11-19")


@define
class Timeline(World):
    """A world whose findings have any subject, label and outcome."""

    def at(self, minutes: float) -> None:
        self.clock.now = START + timedelta(minutes=minutes)

    def bad(
        self,
        part: str,
        severity: int = 3,
        subject: str = "orders",
        *,
        kind: SubjectKind = "suite",
        outcome: Outcome = Outcome.FAIL,
        environment: str = "prod",
        **labels: str,
    ) -> None:
        self.fold(part, severity, subject, kind, outcome, environment, labels)

    def well(self, part: str, subject: str = "orders", *, kind: SubjectKind = "suite") -> None:
        self.fold(part, None, subject, kind, Outcome.PASS, "prod", {})

    def fold(
        self,
        part: str,
        severity: int | None,
        subject: str,
        kind: SubjectKind,
        outcome: Outcome,
        environment: str,
        labels: Mapping[str, str],
    ) -> None:
        finding = Finding(
            key=IncidentKey(environment, kind, subject, part),
            interval=DAY,
            severity=None if severity is None else Severity(severity),
            outcome=outcome,
            sentence=f"{part} is {severity}",
            labels={"suite": subject, "check": part, **labels},
        )
        with self.engine.begin() as connection:
            news = News(environment=environment, kind=kind, subject=subject, findings=(finding,))
            apply_findings(connection, [news], self.clock())

    def route(self, **settings: Any) -> None:
        self.config = evolve(self.config, route=Route(**{"channels": ("team",), **settings}))

    def told(self, channel: str = "team") -> list[str]:
        """What a channel was told: the minute, the status, and the checks."""
        return [
            f"{(m.at - START).total_seconds() / 60:g} {m.status} {','.join(row[0] for row in m.rows)}".rstrip()
            for m in self.channels[channel].got
        ]

    def silence(self, *matchers: str, until: float, since: float | None = None) -> int:
        with self.engine.begin() as connection:
            made = silences.add(
                connection,
                "prod",
                [Matcher.parse(text) for text in matchers],
                author="ada",
                comment="known",
                starts_at=None if since is None else START + timedelta(minutes=since),
                ends_at=START + timedelta(minutes=until),
                now=self.clock(),
            )
        return made.id

    def ack(self, which: str = "orders") -> None:
        with self.engine.begin() as connection:
            acks.acknowledge(connection, "prod", which, "ada", self.clock())

    def unack(self, which: str = "orders") -> None:
        with self.engine.begin() as connection:
            acks.unacknowledge(connection, "prod", which)

    def run_until(self, minutes: float) -> None:
        """Pump whenever something is due, as a daemon would."""
        end = START + timedelta(minutes=minutes)
        for _ in range(1_000):
            report = self.pump()
            if report.next_at is None or report.next_at > end:
                break
            self.clock.now = max(self.clock.now, report.next_at)
        else:
            raise AssertionError("it never comes to rest")
        self.clock.now = end


@pytest.fixture
def line(tmp_path: Any) -> Iterator[Timeline]:
    engine = open_store(f"sqlite:///{tmp_path}/line.db")
    metadata.create_all(engine)
    yield Timeline(engine)
    engine.dispose()


@pytest.fixture
def world(empty_store: Engine) -> Timeline:
    return Timeline(empty_store)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


# ------------------------------------------------------------------------------------------------ waits and ticks


def test_a_new_group_waits_and_what_comes_meanwhile_is_in_its_first_message(world: Timeline) -> None:
    world.route(group_wait=minutes(2), group_interval=minutes(5))
    world.bad("a")
    world.run_until(1)
    world.bad("b")
    world.run_until(3)
    assert world.told() == ["2 firing a,b"]
    world.bad("c")
    world.run_until(4)
    world.well("a")
    world.run_until(60)
    assert world.told() == ["2 firing a,b", "7 firing b,c"]
    for part in "bc":
        world.well(part)
    world.run_until(61)
    assert len(world.told()) == 2, "the next tick is at 62"
    world.run_until(70)
    assert world.channels["team"].last().status == "resolved"
    world.bad("a")
    world.run_until(100)
    assert world.told()[-1] == "72 firing a", "a new group, which waits again"


def told_of_a_and_then_comes_b(line: Timeline) -> None:
    """The ticks are ten minutes apart; a was told at 0, and b comes at 1."""
    line.route(group_interval=minutes(10))
    line.bad("a")
    line.pump()
    line.at(1)
    line.bad("b")
    line.pump()


def test_however_late_the_pump_comes_what_was_put_off_is_told(line: Timeline) -> None:
    told_of_a_and_then_comes_b(line)
    for minute in (3, 9, 11):
        line.at(minute)
        line.pump()
    assert line.told() == ["0 firing a", "11 firing b,a"] or line.told() == ["0 firing a", "11 firing a,b"]


def test_what_comes_and_goes_between_two_ticks_is_part_of_the_next_message(line: Timeline) -> None:
    told_of_a_and_then_comes_b(line)
    line.at(2)
    line.well("b")
    line.run_until(30)
    assert line.told() == ["0 firing a", "10 firing a"]
    assert dict(line.channels["team"].last().facts)["Changed"] == "1 came and went: b"
    assert not events(line)


def test_a_reminder_comes_at_the_repeat_interval_until_it_is_over(world: Timeline) -> None:
    world.route(repeat_interval=minutes(60))
    world.bad("a")
    world.run_until(130)
    assert world.told() == ["0 firing a", "60 firing a", "120 firing a"]
    assert "Changed" not in dict(world.channels["team"].last().facts)
    world.well("a")
    world.run_until(300)
    assert len(world.told()) == 4


def test_new_routes_begin_the_ticks_anew(line: Timeline) -> None:
    line.route(group_interval=minutes(10))
    line.bad("a")
    line.run_until(3)
    line.route(group_interval=minutes(4))
    line.run_until(4)
    line.bad("b")
    line.run_until(20)
    assert line.told() == ["0 firing a", "7 firing a,b"]


def test_a_route_that_does_not_want_recoveries_gets_none_and_the_next_incident_is_a_first_one(world: Timeline) -> None:
    world.route(send_resolved=False)
    world.bad("a")
    world.bad("b")
    world.pump()
    world.well("a")
    world.pump()
    world.well("b")
    assert world.pump().sent == 0
    world.bad("a")
    world.pump()
    assert [status for status, _ in world.channels["team"].told()] == ["firing", "firing"]


@given(
    flushed=st.integers(0, 1_000),
    interval=st.integers(1, 100),
    at=st.integers(0, 5_000),
)
def test_a_tick_is_a_whole_number_of_intervals_after_the_first_and_the_next_one(
    flushed: int, interval: int, at: int
) -> None:
    began, step = START + timedelta(seconds=flushed), timedelta(seconds=interval)
    moment = START + timedelta(seconds=at)
    tick = Pace(flushed_at=began, interval=step).tick(moment)
    assert (tick - began) % step == timedelta(0)
    assert tick >= moment and tick > began
    assert tick - step < moment or tick - step == began


TOLD = {1: 3, 2: 3}


@pytest.mark.parametrize(
    ("told", "trying", "desired", "flags", "answer"),
    [
        ({}, None, {}, {}, "nothing"),
        ({}, None, {1: 3}, {}, "first"),
        (TOLD, None, {}, {}, "all_resolved"),
        (TOLD, None, {}, {"send_resolved": False}, "all_resolved"),
        (TOLD, None, {**TOLD, 3: 1}, {}, "new"),
        (TOLD, None, {1: 4, 2: 3}, {}, "worse"),
        (TOLD, None, {1: 4}, {"send_resolved": False}, "worse"),
        (TOLD, None, {1: 3}, {}, "some_resolved"),
        (TOLD, None, {1: 3}, {"send_resolved": False}, "nothing"),
        (TOLD, None, {1: 2, 2: 3}, {}, "eased"),
        (TOLD, None, {1: 2, 2: 3}, {"send_resolved": False}, "nothing"),
        (TOLD, None, TOLD, {"passed": True}, "passed"),
        (TOLD, None, TOLD, {"passed": True, "send_resolved": False}, "nothing"),
        (TOLD, None, TOLD, {"acknowledged": True}, "acknowledged"),
        (TOLD, None, TOLD, {"repeat": True}, "repeat"),
        (TOLD, None, TOLD, {"acknowledged": True, "repeat": True}, "acknowledged"),
        (TOLD, None, {1: 3}, {"send_resolved": False, "repeat": True}, "repeat"),
        (TOLD, None, TOLD, {}, "nothing"),
        (TOLD, TOLD, TOLD, {}, "unsettled"),
        ({}, {1: 3}, {}, {}, "unsettled"),
        (TOLD, {1: 3}, {1: 3}, {"dead": True}, "dead"),
        (TOLD, {1: 3}, TOLD, {"dead": True}, "unsettled"),
        (TOLD, {}, {}, {"dead": True}, "dead"),
    ],
)
def test_reasons(told: Any, trying: Any, desired: Any, flags: dict[str, bool], answer: str) -> None:
    assert reason(told, trying, desired, **flags) == answer


def test_every_difference_has_a_reason_and_no_difference_has_none() -> None:
    states = [dict(enumerate(s, 1)) for n in range(3) for s in product((1, 3), repeat=n)]
    for before, after in product(states, states):
        assert (reason(before, None, after) is Reason.NOTHING) is (before == after)


# ------------------------------------------------------------------------------------------------ hours and silences

OFFICE = TimeInterval(times=((9 * 60, 17 * 60),), weekdays=((1, 5),))


def test_outside_of_its_hours_a_route_tells_nothing_and_what_is_left_comes_in_the_morning(world: Timeline) -> None:
    critical = Route(matchers=(Matcher.parse("severity=critical"),), channels=("oncall",), continue_=True)
    office = Route(channels=("team",), active_time_intervals=("office",))
    world.config = evolve(
        config(Route(channels=("team",), routes=(critical, office))), time_intervals={"office": (OFFICE,)}
    )
    world.bad("a", 3)
    world.bad("b", 2)
    world.bad("gone", 3)
    world.run_until(30)
    assert world.told() == [] and not world.channels["oncall"].got
    world.well("gone")
    world.bad("night", 4)
    world.run_until(60)
    assert world.told("oncall") == ["30 firing night"]
    world.run_until(24 * 60)
    firing, passed = world.channels["team"].got
    assert (firing.status, [row[0] for row in firing.rows]) == ("firing", ["night", "a", "b"])
    assert dict(firing.facts)["Since"] == "2026-11-20 06:00 UTC (3h)"
    assert passed.status == "event" and "gone" in passed.summary


def test_what_is_silenced_is_not_told_and_told_when_the_silence_is_over(world: Timeline) -> None:
    world.silence("check=a", until=50)
    world.bad("a")
    world.bad("b")
    world.run_until(20)
    assert world.told() == ["0 firing b"]
    world.run_until(90)
    assert world.told() == ["0 firing b", "50 firing a,b"]


def test_what_was_told_before_it_was_silenced_stays_told_and_its_end_is_told(world: Timeline) -> None:
    world.bad("a")
    world.bad("b")
    world.run_until(5)
    world.silence("suite=orders", until=1_000)
    world.bad("a", 4)
    world.bad("c")
    world.run_until(10)
    assert world.told() == ["0 firing a,b"]
    for part in "abc":
        world.well(part)
    world.run_until(20)
    assert [m.status for m in world.channels["team"].got] == ["firing", "resolved"]
    assert not events(world), "nobody wants to hear that something silenced came and went"


def test_while_all_that_a_channel_knows_is_silenced_it_hears_nothing_and_then_what_changed(line: Timeline) -> None:
    line.bad("a")
    line.bad("b")
    line.run_until(5)
    line.silence("suite=orders", until=60)
    line.well("a")
    line.run_until(30)
    assert line.told() == ["0 firing a,b"]
    line.run_until(90)
    assert line.told() == ["0 firing a,b", "60 firing b"]
    assert dict(line.channels["team"].got[-1].facts)[messages.CHANGED] == "1 recovered: a"


def test_what_is_silenced_makes_a_message_about_the_others_no_milder_than_it_was_told(line: Timeline) -> None:
    team = line.channels["team"]
    line.bad("a", 3)
    line.bad("b", 1)
    line.run_until(5)
    line.silence("check=a", until=60)
    line.bad("a", 4)
    line.bad("b", 2)
    line.run_until(10)
    assert line.told() == ["0 firing a,b", "5 firing b"]
    assert (team.got[-1].severity, team.open) == (Severity.ERROR, {"prod/suite/orders": Severity.ERROR})
    line.bad("a", 3)
    line.run_until(90)
    assert team.open == {"prod/suite/orders": Severity.ERROR}


def test_a_silence_that_is_ended_early_or_begins_later(line: Timeline) -> None:
    line.silence("check=a", since=30, until=60)
    line.bad("a")
    line.run_until(10)
    assert line.told() == ["0 firing a"]
    number = line.silence("check=b", until=1_000)
    line.bad("b")
    line.run_until(20)
    assert len(line.told()) == 1
    with line.engine.begin() as connection:
        silences.expire(connection, "prod", number, line.clock())
    line.run_until(25)
    assert line.told()[-1] == "20 firing a,b"


def test_all_is_silenced_while_an_unsettled_try_is_told_again(line: Timeline) -> None:
    team = line.channels["team"]
    team.trouble = lambda _: "raise after"
    line.bad("a")
    line.pump()
    line.silence("check=a", until=1_000)
    team.trouble = fine
    line.run_until(10)
    assert [m.status for m in team.got] == ["firing", "firing"]
    line.well("a")
    line.run_until(11)
    assert team.open == {}


# ------------------------------------------------------------------------------------- acknowledging and escalation


def test_an_acknowledgement_is_told_once_and_stops_reminders(world: Timeline) -> None:
    world.route(repeat_interval=minutes(60))
    world.bad("a")
    world.run_until(10)
    world.ack()
    world.run_until(200)
    assert world.told() == ["0 firing a", "10 acknowledged a"]
    assert dict(world.channels["team"].last().facts)["Acknowledged by"] == "ada, 2026-11-20 06:10 UTC"
    world.bad("a", 4)
    world.run_until(210)
    assert world.told()[-1] == "200 firing a", "worse than what was acknowledged"
    world.run_until(270)
    assert world.told()[-1] == "260 firing a"
    world.ack()
    world.run_until(280)
    assert world.told()[-1] == "270 acknowledged a"
    world.unack()
    world.run_until(400)
    assert world.told()[-2:] == ["330 firing a", "390 firing a"]


@pytest.mark.parametrize("again", [False, True])
def test_an_acknowledgement_does_not_stand_for_a_state_that_may_have_been_overwritten(
    line: Timeline, again: bool
) -> None:
    team = line.channels["team"]
    line.bad("a", 3)
    line.pump()
    team.trouble = lambda _: "raise after"
    line.bad("a", 2)
    line.pump()
    assert team.open == {"prod/suite/orders": 2}, "it arrived, and nobody knows"
    line.bad("a", 3)
    if again:  # the right state was tried last, and did not arrive
        team.trouble = refuse(retry=True)
        line.run_until(10)
    team.trouble = fine
    line.ack()
    line.run_until(30)
    assert team.open == {"prod/suite/orders": 3}
    assert [m.status for m in team.got] == ["firing", "firing", "firing", "acknowledged"]


def test_part_of_it_acknowledged_is_none(line: Timeline) -> None:
    line.bad("a")
    line.bad("b")
    line.pump()
    with line.engine.begin() as connection:
        acks.acknowledge(connection, "prod", "1", "ada", line.clock())
    line.run_until(5)
    assert len(line.told()) == 1
    line.ack()
    line.run_until(6)
    assert line.told()[-1].endswith("acknowledged a,b")
    line.bad("c")
    line.run_until(7)
    assert line.told()[-1] == "6 firing a,b,c"


def escalating(line: Timeline) -> None:
    line.config = config(
        Route(channels=("team",), escalate=(Escalation(minutes(15), ("lead",)), Escalation(minutes(30), ("boss",)))),
        lead=False,
        boss=True,
    )
    line.channels |= {"lead": Recorder("lead"), "boss": Recorder("boss", pages=True)}


def test_what_nobody_acknowledges_goes_to_the_next_channel(world: Timeline) -> None:
    escalating(world)
    world.bad("a")
    world.run_until(100)
    assert (world.told(), world.told("lead"), world.told("boss")) == (["0 firing a"], ["15 firing a"], ["30 firing a"])
    assert dict(world.channels["lead"].last().facts)["Escalated"] == "nobody acknowledged within 15m"
    world.well("a")
    world.run_until(101)
    assert all(world.channels[name].open == {} for name in ("team", "lead", "boss"))


def test_an_acknowledgement_stops_the_escalation_and_a_worse_state_goes_on_with_it(line: Timeline) -> None:
    escalating(line)
    line.bad("a")
    line.run_until(20)
    line.ack()
    line.run_until(60)
    assert line.told("lead") == ["15 firing a", "20 acknowledged a"]
    assert line.told("boss") == []
    line.bad("a", 4)
    line.run_until(61)
    assert line.told("boss") == ["60 firing a"]


# ------------------------------------------------------------------------------------- inhibition and blocking


def test_what_a_rule_inhibits_is_told_when_its_source_is_over(world: Timeline) -> None:
    rule = InhibitRule((Matcher.parse("check=down"),), (Matcher.parse("check=slow"),), ("owner",))
    world.config = evolve(world.config, inhibit_rules=(rule,), route=Route(channels=("team",)))
    world.bad("down", subject="hosts", owner="ops")
    world.bad("slow", subject="orders", owner="ops")
    world.bad("slow", subject="people", owner="hr")
    world.run_until(5)
    assert {m.subject for m in world.channels["team"].got} == {"hosts", "people"}
    world.well("down", subject="hosts")
    world.run_until(10)
    assert world.channels["team"].last().subject == "orders"


@pytest.mark.parametrize(
    ("source", "blocked"),
    [
        ({"part": "load", "severity": 3, "subject": "raw"}, True),
        ({"part": "2026-11-19", "severity": 3, "subject": "raw", "kind": "sla"}, True),
        ({"part": "load", "severity": 2, "subject": "raw"}, False),
        ({"part": "load", "severity": 3, "subject": "other"}, False),
        ({"part": "load", "severity": 3, "subject": "raw", "environment": "stage"}, False),
    ],
)
def test_what_is_made_from_something_bad_is_blocked(line: Timeline, source: dict[str, Any], blocked: bool) -> None:
    line.route()
    line.bad(**source)
    line.bad("a", 3, **{UPSTREAM: json.dumps(["raw"])})
    line.run_until(5)
    assert ("orders" not in {m.subject for m in line.channels["team"].got}) is blocked
    line.fold(source["part"], None, source["subject"], source.get("kind", "suite"), Outcome.PASS, "prod", {})
    line.run_until(10)
    assert "orders" in {m.subject for m in line.channels["team"].got}


def test_what_is_worse_than_its_upstream_is_told(line: Timeline) -> None:
    line.bad("load", 3, "raw")
    line.bad("a", 4, **{UPSTREAM: '["raw"]'})
    line.run_until(5)
    assert "prod/suite/orders" in line.channels["oncall"].open


def test_blocked_and_well_again_with_its_upstream_is_no_news(line: Timeline) -> None:
    line.route()
    line.bad("load", 3, "raw")
    line.bad("a", 3, **{UPSTREAM: '["raw"]'})
    line.run_until(5)
    line.well("load", "raw")
    line.well("a")
    line.run_until(10)
    assert {m.subject for m in line.channels["team"].got} == {"raw"} and not events(line)


@pytest.mark.parametrize("names", [("x", "y"), ("x", "y", "z")])
def test_a_circle_of_upstreams_does_not_silence_itself(line: Timeline, names: tuple[str, ...]) -> None:
    line.route()
    for name, above in zip(names, (*names[1:], names[0]), strict=True):
        line.bad("a", 3, name, **{UPSTREAM: json.dumps([above])})
    line.run_until(5)
    assert {m.subject for m in line.channels["team"].got} == set(names)


def test_no_data_of_what_is_late_is_blocked_by_its_own_promise(line: Timeline) -> None:
    line.route()
    line.bad("2026-11-19", 3, kind="sla")
    line.bad("a", 3, outcome=Outcome.NO_DATA)
    line.bad("b", 3)  # of the partition that is late: one thing is wrong, not two
    line.bad("c", 4)
    line.run_until(5)
    assert sorted(line.told()) == ["0 firing 2026-11-19", "0 firing c"]


# ------------------------------------------------------------------------------------------------------ shared groups


def test_a_coarser_group_brings_subjects_together(world: Timeline) -> None:
    world.route(group_by=("owner",))
    world.bad("a", 3, "orders", owner="sales")
    world.bad("b", 2, "people", owner="sales")
    world.bad("c", 2, "money", owner="bank")
    world.bad("d", 4, "orders", environment="stage", owner="sales")
    world.pump()
    assert {m.key: sorted(row[0] for row in m.rows) for m in world.channels["team"].got} == {
        "prod/~/owner=sales": ["a", "b"],
        "prod/~/owner=bank": ["c"],
    }
    world.well("a", "orders")
    world.pump()
    assert [row[0] for row in world.channels["team"].last().rows] == ["b"]
    world.well("b", "people")
    world.well("c", "money")
    world.pump()
    assert world.channels["team"].open == {}
    assert world.pump() == PumpReport()


def test_what_was_shared_is_resolved_under_its_old_key_when_the_routes_change(line: Timeline) -> None:
    line.route(group_by=())
    line.bad("a", 3, "orders")
    line.bad("b", 3, "people")
    line.pump()
    assert list(line.channels["team"].open) == ["prod/~"]
    line.route()
    line.run_until(1)
    assert sorted(line.channels["team"].open) == ["prod/suite/orders", "prod/suite/people"]


# ---------------------------------------------------------------------------------------------------- rate and circuit


def test_a_channel_is_told_no_faster_than_its_vendor_bears(world: Timeline) -> None:
    world.channels["team"] = Slow("team")
    world.route()
    for number in range(5):
        world.bad("a", subject=f"s{number}")
    report = world.pump()
    assert (report.sent, report.waiting) == (1, 4)
    assert report.reasons == ("the channel team waits to be told: it is told no faster than its vendor bears",)
    world.run_until(1)
    times = [m.at for m in world.channels["team"].got]
    assert [(b - a).total_seconds() for a, b in pairwise(times)] == [1, 1, 1, 1]
    assert not world.pump().undelivered


def test_what_waits_for_its_turn_and_is_over_meanwhile_is_never_told_as_open(line: Timeline) -> None:
    line.channels["team"] = Slow("team")
    line.route()
    for number in range(3):
        line.bad("a", subject=f"s{number}")
    line.pump()
    for number in range(3):
        line.well("a", f"s{number}")
    line.run_until(1)
    assert [m.status for m in line.channels["team"].got] == ["firing", "resolved", "event", "event"] or sorted(
        m.status for m in line.channels["team"].got
    ) == ["event", "event", "firing", "resolved"]
    assert line.channels["team"].open == {}


class Slow(Recorder):
    rate = (1, 1.0)


def test_a_dead_endpoint_is_left_alone_and_tried_by_one_message_at_a_time(line: Timeline) -> None:
    tries: list[datetime] = []
    team = line.channels["team"]

    def down(message: Message) -> Receipt:
        tries.append(line.clock())
        return Receipt(delivered=False, retry=True, error="HTTP 503")

    team.trouble = down
    line.route()
    for number in range(20):
        line.bad("a", subject=f"s{number:02}")
    line.pump()
    assert len(tries) == FAILURES
    assert not events(line), "it may be short"
    line.pump()
    line.clock.go(seconds=CLOSED.total_seconds() - 1)
    line.pump()
    assert len(tries) == FAILURES
    line.clock.go(seconds=1)
    assert line.pump().waiting == 20
    assert len(tries) == FAILURES + 1, "one goes first"
    (letter,) = events(line)
    assert "6 tries in a row failed" in letter
    team.trouble = fine
    line.run_until(60)
    assert len(team.open) == 20
    assert not line.pump().undelivered


def test_of_the_messages_of_one_group_one_tries_a_dead_endpoint_too(line: Timeline) -> None:
    tries: list[str] = []

    def down(message: Message) -> Receipt:
        tries.append(message.key)
        return Receipt(delivered=False, retry=True, error="HTTP 503")

    line.channels["team"].trouble = down
    line.route(group_by=("environment", "subject", "check"))
    for number in range(8):
        line.bad(f"c{number}")
    line.pump()
    assert len({*tries}) == 8, "they were claimed together, before one of them failed"
    line.clock.go(seconds=LONGEST_CLOSED.total_seconds())
    line.pump()
    assert len(tries) == 9, "one goes first"
    line.channels["team"].trouble = fine
    line.run_until(60)
    assert len(line.channels["team"].open) == 8


def test_a_vendor_that_wants_to_be_left_alone_is(line: Timeline) -> None:
    line.channels["team"].trouble = refuse(retry=True, after=90)
    line.route()
    line.bad("a", subject="x")
    line.bad("a", subject="y")
    assert line.pump().failed == 1
    line.channels["team"].trouble = fine
    line.clock.go(seconds=89)
    assert line.pump().sent == 0
    line.clock.go(seconds=1)
    line.run_until(5)
    assert len(line.channels["team"].open) == 2


def events(line: World, of: Callable[[Any], str] = lambda row: row.message) -> list[str]:
    with line.engine.connect() as connection:
        return [of(row) for row in connection.execute(select(outbox).order_by(outbox.c.id))]


def test_a_clock_that_was_ahead_holds_nothing_up(world: Timeline) -> None:
    world.route(group_interval=minutes(10), repeat_interval=minutes(30))
    for name in ("team", "oncall"):
        world.channels[name].trouble = refuse(retry=True)
    world.at(60 * 24 * 30)  # a month ahead
    world.bad("a")
    world.pump()
    world.bad("b")
    world.pump()
    world.at(0)
    world.channels["team"].trouble = fine
    world.pump()
    assert world.told() == ["0 firing a,b"]
    world.bad("c")
    world.run_until(10)
    assert sorted(world.told()[-1].partition("firing ")[2].split(",")) == ["a", "b", "c"]
    assert world.told()[-1].startswith("10 firing")


def test_nothing_is_left_behind_when_all_is_over(line: Timeline) -> None:
    line.route(group_wait=minutes(1), group_interval=minutes(5), repeat_interval=minutes(30))
    line.bad("a")
    line.run_until(50)
    line.well("a")
    line.run_until(100)
    report = line.pump()
    assert (report, report.next_at) == (PumpReport(), None)
    with line.engine.connect() as connection:
        row = connection.execute(select(told)).one()
    assert (row.told, row.trying, row.flushed_at, row.next_at, row.acked_at) == ("{}", None, None, None, None)


# ---------------------------------------------------------------------------------------------------- random histories

SUBJECTS = ("orders", "people", "raw")
ROUTES: tuple[dict[str, Any], ...] = (
    {},
    {"group_wait": minutes(2), "group_interval": minutes(5)},
    {"group_interval": minutes(7), "repeat_interval": minutes(45)},
    {"group_by": ("owner",), "repeat_interval": minutes(60)},
    {"group_by": (), "group_interval": minutes(3)},
    {"group_by": ("...",)},
    {"active_time_intervals": ("office",), "group_wait": minutes(1)},
    {"escalate": (Escalation(minutes(15), ("lead",)), Escalation(minutes(40), ("boss",)))},
)


def random_step(line: Timeline, rng: Random, made: list[int]) -> None:
    subject = rng.choice(SUBJECTS)
    part = rng.choice("abc")
    dice = rng.random()
    if dice < 0.35:
        labels = {"owner": rng.choice(("sales", "bank"))}
        if subject == "orders" and rng.random() < 0.5:
            labels[UPSTREAM] = '["raw"]'
        line.bad(part, rng.randint(1, 4), subject, **labels)
    elif dice < 0.6:
        line.well(part, subject)
    elif dice < 0.68:
        now = (line.clock() - START) / minutes(1)
        made.append(line.silence(f"{rng.choice(('check=', 'suite='))}{rng.choice('abc')}", until=now + 30))
    elif dice < 0.72 and made:
        with line.engine.begin() as connection, suppress(UsageError):
            silences.expire(connection, "prod", made.pop(), line.clock())
    elif dice < 0.82:
        with suppress(UsageError):
            line.ack(subject)
    elif dice < 0.86:
        with suppress(UsageError):
            line.unack(subject)
    elif dice < 0.9:
        settings = rng.choice(ROUTES)
        line.route(**settings)


def random_world(engine: Engine, rng: Random) -> Timeline:
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    line = Timeline(engine)
    line.channels |= {"lead": Recorder("lead"), "boss": Recorder("boss", pages=True)}
    line.config = evolve(config(lead=False, boss=True), time_intervals={"office": (OFFICE,)})
    line.route(**rng.choice(ROUTES))
    return line


@pytest.mark.slow
@pytest.mark.soak
def test_whatever_is_muted_put_off_or_lost_every_channel_ends_in_the_true_state(
    line: Timeline, histories: Callable[[int, int], Iterator[Random]]
) -> None:
    for rng in histories(40, 1_000):
        line = random_world(line.engine, rng)
        made: list[int] = []
        for channel in line.channels.values():
            channel.trouble = random_trouble(rng, line, [9])  # 9: no pump is overtaken here
        for _ in range(rng.randrange(5, 40)):
            random_step(line, rng, made)
            if rng.random() < 0.5:
                with suppress(KilledError):
                    line.pump()
            line.clock.go(seconds=rng.choice([0, 1, 20, 70, 400, 1_500]))
            if rng.random() < 0.05:  # a clock that jumps
                line.clock.go(seconds=rng.choice([-100_000, -4_000, -30, 4_000, 100_000]))
        for channel in line.channels.values():
            channel.trouble = fine
        # What was refused for good is tried again with new routes; acknowledged is what nobody need escalate.
        line.route(repeat_interval=minutes(9), send_resolved=True)
        # A vendor may have asked for an hour, and after a clock that jumped back that hour begins now.
        line.run_until((line.clock() - START) / minutes(1) + 130)
        check_that_all_is_told(line)


def check_that_all_is_told(line: Timeline) -> None:
    alive = [i for i in line.incidents() if i.ended_at is None]
    worst: dict[str, Severity] = {}
    for incident in alive:
        key = f"prod/suite/{incident.key.subject}"
        worst[key] = max(incident.severity, worst.get(key, Severity.INFO))
    hidden = {f"prod/suite/{i.key.subject}" for i in alive if i.muted == "blocked"}
    shown = line.channels["team"].open
    assert {key: shown[key] for key in shown if key not in hidden} == {
        key: severity for key, severity in worst.items() if key not in hidden
    }
    assert shown.keys() <= worst.keys()
    for name in ("lead", "boss", "oncall"):
        assert line.channels[name].open == {}, "no route leads there any more"
    for incident in line.incidents():
        assert incident.told_at is not None or incident.muted == "blocked"
    report = line.pump()
    assert not report.undelivered, report


@pytest.mark.slow
@pytest.mark.soak
def test_nobody_is_told_the_same_twice(
    line: Timeline, histories: Callable[[int, int], Iterator[Random]]
) -> None:
    for rng in histories(40, 500):
        line = random_world(line.engine, rng)
        settings = rng.choice(ROUTES)
        line.route(**settings)
        made: list[int] = []
        for _ in range(rng.randrange(5, 40)):
            random_step(line, rng, made)
            line.route(**settings)
            line.run_until((line.clock() - START) / minutes(1) + rng.choice([0, 0.1, 1, 7, 25]))
        for channel in line.channels.values():
            last: dict[str, Message] = {}
            for message in channel.got:
                before = last.get(message.key)
                if message.status == "event":
                    continue
                if before is not None and before.status == message.status:
                    reminder = settings.get("repeat_interval") or timedelta.max
                    assert (
                        message.at - before.at >= reminder
                        or message.rows != before.rows
                        or "Changed" in dict(message.facts)
                        or (message.status == "firing" and before.status == "acknowledged")
                    ), (channel.name, before, message)
                assert before is not None or message.status != "resolved", "well again, of which nobody knew"
                assert not (before is not None and before.status == message.status == "resolved")
                last[message.key] = message
