"""Every channel ends in the true state, whatever channels, pumps and clocks do; on the stores that people use."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import ClassVar

import pytest
from attrs import define, evolve, field
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dq.alerting import messages
from dq.alerting.config import AlertConfig, ChannelConfig
from dq.alerting.flow import LONGEST_ASKED
from dq.alerting.fold import Measured, News, apply_findings
from dq.alerting.incidents import from_row
from dq.alerting.outbox import FIRST_WAIT, LEASE, LONGEST_WAIT, TRIES_BEFORE_FALLBACK, backoff
from dq.alerting.pump import PumpReport, enqueue_event, pump, utc_now
from dq.alerting.routing import Matcher, Route
from dq.model.incident import Finding, Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.message import Message, Receipt
from dq.model.severity import Outcome, Severity
from dq.store.engine import open_store
from dq.store.schema import alert_group, metadata, outbox, told
from dq.store.schema import incident as incident_table

pytest_plugins = ["tests.stores"]

START = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY = Interval.of_day("2026-11-19")
GROUP = "prod/suite/orders"


class KilledError(BaseException):
    """The process dies here."""


@define
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def go(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@define
class Recorder:
    """A channel with a vendor behind it: it keeps what arrived, key by key, as a pager does.

    ``trouble`` says what happens to the next messages: a receipt, an exception, or a call, before or after the wire.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    name: str
    pages: bool = False
    got: list[Message] = field(factory=list)
    open: dict[str, Severity] = field(factory=dict)
    opens: int = 0
    resolves: int = 0
    trouble: Callable[[Message], str | Receipt | BaseException | Callable[[], None] | None] = lambda message: None

    def send(self, message: Message) -> Receipt:
        if self.pages and message.status == "event":
            raise ValueError("an event is not for a pager")
        what = self.trouble(message)
        if isinstance(what, Receipt):
            return what
        if isinstance(what, BaseException):
            raise what
        if callable(what):
            what()
        self.got.append(message)
        if message.status == "firing":
            self.opens += message.key not in self.open
            self.open[message.key] = message.severity
        elif message.status == "resolved":
            self.resolves += self.open.pop(message.key, None) is not None
        if what == "die after":
            raise KilledError
        if what == "raise after":
            raise TimeoutError("https://vendor.test/CANARY")
        return Receipt(delivered=True, reference={"id": str(len(self.got))})

    def last(self) -> Message:
        return self.got[-1]

    def told(self) -> list[tuple[str, str]]:
        return [(m.status, m.title) for m in self.got]


CRITICAL = Route(matchers=(Matcher.parse("severity=critical"),), channels=("oncall",), continue_=True)
EVERYTHING = Route(matchers=(), channels=("team",))
ROUTE = Route(channels=("team",), routes=(CRITICAL, EVERYTHING))


def config(route: Route = ROUTE, fallback: str | None = "mail", **pagers: bool) -> AlertConfig:
    names = {"team": False, "oncall": True, "mail": False} | pagers
    channels = {
        name: ChannelConfig(name, "pagerduty" if pages else "slack", {}, pages) for name, pages in names.items()
    }
    return AlertConfig(channels, route, fallback)


@define
class World:
    """A store, its channels, and the hands to close runs and pump."""

    engine: Engine
    clock: Clock = field(factory=Clock)
    config: AlertConfig = field(factory=config)
    episodes: int = 0
    paged: set[str] = field(factory=set)
    channels: dict[str, Recorder] = field(
        factory=lambda: {"team": Recorder("team"), "oncall": Recorder("oncall", pages=True), "mail": Recorder("mail")}
    )

    def close(
        self, bad: Mapping[str, int], *, subject: str = "orders", day: Interval = DAY, environment: str = "prod"
    ) -> None:
        """A run of two checks: those in ``bad`` have that severity, all others are well. ``amount/14`` is org 14."""
        findings = []
        for name, severity in bad.items():
            part, _, org = name.partition("/")
            findings.append(
                Finding(
                    key=IncidentKey(environment, "suite", subject, part, json.dumps([org]) if org else ""),
                    interval=day,
                    severity=Severity(severity),
                    outcome=Outcome.FAIL,
                    sentence=f"{severity} of 9 rows violate",
                    observed=str(severity),
                    threshold="0",
                    labels={"owner": "sales", "check": part} | ({"org": org} if org else {}),
                    links={"Runbook": f"https://wiki/{part}"},
                )
            )
        news = News(
            environment=environment,
            kind="suite",
            subject=subject,
            findings=tuple(findings),
            measured=tuple(Measured(part, day, day.start) for part in ("amount", "fresh")),
        )
        with self.engine.begin() as connection:
            apply_findings(connection, [news], self.clock())
        self.episodes += len(paged(self).keys() - self.paged)
        self.paged = set(paged(self))

    def pump(self, **changes: object) -> PumpReport:
        return pump(
            self.engine, self.config, self.channels | changes.get("channels", {}), environment="prod", clock=self.clock
        )  # type: ignore[operator]  # a dict of channels

    def settle(self) -> None:
        """Pump until nothing is left to do, with time for every wait and lease."""
        for _ in range(12):
            self.clock.go(hours=2)
            report = self.pump()
        assert report == PumpReport()

    def incidents(self) -> list[Incident]:
        with self.engine.connect() as connection:
            return [from_row(row) for row in connection.execute(select(incident_table).order_by(incident_table.c.id))]


@pytest.fixture
def world(empty_store: Engine) -> World:
    return World(empty_store)


@pytest.fixture
def fast(tmp_path) -> Iterator[World]:
    engine = open_store(f"sqlite:///{tmp_path}/fast.db")
    metadata.create_all(engine)
    yield World(engine)
    engine.dispose()


def refuse(*, retry: bool, after: float | None = None) -> Callable[[Message], Receipt]:
    return lambda message: Receipt(delivered=False, retry=retry, after=after, error="HTTP 500")


def fine(message: Message) -> None:
    return None


# ----------------------------------------------------------------------------------------------------- the life of one


def test_from_the_first_bad_run_to_recovery(world: World) -> None:
    world.close({"amount": 4})
    assert world.pump() == PumpReport(sent=2)
    assert world.pump() == PumpReport(), "nothing new, so nothing is told"
    world.clock.go(minutes=200)
    world.close({"amount": 4}, day=Interval.of_day("2026-11-20"))
    assert world.pump() == PumpReport(), "still bad, so nothing is told"
    world.close({}, day=Interval.of_day("2026-11-18"))
    assert world.pump() == PumpReport(), "a back-fill closes nothing"
    world.clock.go(minutes=20)
    world.close({}, day=Interval.of_day("2026-11-20"))
    assert world.pump() == PumpReport(sent=2)
    for name in ("team", "oncall"):
        assert world.channels[name].told() == [
            ("firing", "PROD - orders: amount fails"),
            ("resolved", "PROD - orders: amount is well again after 3h40m"),
        ]
        assert {m.key for m in world.channels[name].got} == {GROUP}
    assert world.channels["oncall"].open == {}
    with world.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(outbox)).scalar_one() == 0
        assert {row.reference for row in connection.execute(select(told))} == {'{"id": "2"}'}


def test_severity_that_falls_out_of_the_pagers_route_resolves_there_while_chat_goes_on(world: World) -> None:
    world.close({"amount": 4})
    world.pump()
    world.close({"amount": 2})
    assert world.pump() == PumpReport(sent=2)
    assert world.channels["oncall"].told()[-1] == ("resolved", "PROD - orders: no longer told here, still warning")
    assert world.channels["oncall"].last().severity is Severity.CRITICAL
    assert world.channels["team"].last().status == "firing"
    assert dict(world.channels["team"].last().facts)["Changed"] == "1 milder: amount"
    world.close({"amount": 4})
    world.pump()
    assert (world.channels["oncall"].opens, world.channels["oncall"].resolves) == (2, 1)
    world.close({})
    world.pump()
    assert world.channels["oncall"].open == world.channels["team"].open == {}


def test_one_group_one_key_and_what_changed(world: World) -> None:
    world.close({f"amount/{org}": 3 for org in range(14)})
    world.pump()
    message = world.channels["team"].last()
    assert message.title == "PROD - orders: amount fails for 14 orgs"
    assert dict(message.facts)["Orgs"] == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 4 others"
    assert (len(message.rows), message.omitted) == (10, 4)
    world.close({**{f"amount/{org}": 3 for org in range(1, 13)}, "amount/0": 4, "fresh": 2})
    world.pump()
    message = world.channels["team"].last()
    assert message.title == "PROD - orders: 2 checks fail"
    assert dict(message.facts)["Changed"] == (
        "1 new: fresh; 1 worse: amount (org 0); 1 recovered: amount (org 13)"
    )
    assert message.links == (("Runbook", "https://wiki/amount"), ("Runbook (fresh)", "https://wiki/fresh"))
    assert world.channels["oncall"].last().title == "PROD - orders: amount fails for org 0"


def test_an_episode_that_nobody_was_told_of_is_one_event_and_no_page(world: World) -> None:
    world.close({"amount/1": 4, "amount/2": 4})
    world.clock.go(minutes=30)
    world.close({})
    assert world.pump() == PumpReport(sent=1)
    assert world.pump() == PumpReport()
    assert world.channels["oncall"].got == []
    assert world.channels["team"].told() == [
        ("event", "PROD - orders: bad 2026-11-20 06:00 UTC to 2026-11-20 06:30 UTC, recovered")
    ]
    assert [i.ended for i in world.incidents()] == ["recovered_untold"] * 2


def test_an_untold_episode_that_only_a_pager_would_have_heard_of_goes_to_the_fallback(fast: World) -> None:
    fast.config = config(Route(channels=("oncall",)))
    fast.close({"amount": 4})
    fast.close({})
    assert fast.pump() == PumpReport(sent=1)
    assert [m.status for m in fast.channels["mail"].got] == ["event"]
    assert fast.channels["oncall"].got == []


def test_only_this_environment_is_told(world: World) -> None:
    world.close({"amount": 4}, environment="stage")
    with world.engine.begin() as connection:
        enqueue_event(connection, "team", evolve(event(), environment="stage"), "x")
    assert world.pump() == PumpReport()
    assert all(channel.got == [] for channel in world.channels.values())


def test_a_finer_group_by_tells_each_check_under_its_own_key(fast: World) -> None:
    fast.config = config(Route(channels=("oncall",), group_by=("environment", "subject", "check")))
    fast.close({"amount": 4, "fresh": 3})
    fast.pump()
    assert fast.channels["oncall"].open == {
        f"{GROUP}/check=amount": Severity.CRITICAL,
        f"{GROUP}/check=fresh": Severity.ERROR,
    }
    fast.close({"fresh": 3})
    fast.pump()
    assert set(fast.channels["oncall"].open) == {f"{GROUP}/check=fresh"}


# ------------------------------------------------------------------------------------------------ routes that change


def test_what_a_changed_route_had_opened_is_resolved_under_its_old_key(world: World) -> None:
    world.close({"amount": 4})
    world.pump()
    world.config = config(Route(channels=("team",)))
    assert world.pump() == PumpReport(sent=1)
    assert world.channels["oncall"].told()[-1] == ("resolved", "PROD - orders: no longer told here, still critical")
    assert world.channels["oncall"].open == {}
    world.config = config(Route(channels=("team",), group_by=("environment", "subject", "check")))
    assert world.pump() == PumpReport(sent=2)
    assert set(world.channels["team"].open) == {f"{GROUP}/check=amount"}


def test_a_removed_channel_that_shows_something_is_told_of_once(fast: World) -> None:
    fast.close({"amount": 4})
    fast.pump()
    oncall = fast.channels.pop("oncall")
    fast.config = AlertConfig(
        {n: c for n, c in fast.config.channels.items() if n != "oncall"}, Route(channels=("team",)), "mail"
    )
    report = fast.pump()
    assert (report.sent, report.dead, len(report.problems)) == (1, 1, 1)
    assert "no longer in alerting/routes.toml" in fast.channels["mail"].last().summary
    assert fast.pump() == PumpReport()
    fast.config, fast.channels["oncall"] = config(), oncall
    fast.close({"amount": 4, "fresh": 1})
    fast.pump()
    assert oncall.last().status == "firing", "it is told anew when it comes back"


def test_a_notify_that_leads_nowhere_is_a_problem_and_the_route_is_told(fast: World) -> None:
    fast.close({"amount": 3})
    with fast.engine.begin() as connection:
        labels = json.dumps({"_notify": json.dumps({"warning": ["nobody"]})})
        connection.execute(incident_table.update().values(labels=labels))
    report = fast.pump()
    assert report.sent == 1
    assert report.undelivered
    assert "'nobody'" in report.problems[0]


# --------------------------------------------------------------------------------------------------------- trouble


def test_a_failed_try_waits_and_is_repeated_with_the_newest_state(world: World) -> None:
    oncall = world.channels["oncall"]
    oncall.trouble = refuse(retry=True)
    world.close({"amount": 4})
    report = world.pump()
    assert (report.sent, report.failed, report.waiting, report.undelivered) == (1, 1, 1, True)
    assert world.pump() == PumpReport(waiting=1), "not before its time"
    world.close({"amount": 4, "fresh": 4})
    oncall.trouble = fine
    assert world.pump() == PumpReport(sent=1, waiting=1), "chat hears at once, the pager still waits"
    world.clock.go(seconds=FIRST_WAIT.total_seconds())
    assert world.pump() == PumpReport(sent=1)
    assert [m.title for m in oncall.got] == ["PROD - orders: 2 checks fail"]


def test_retry_after_is_honoured(fast: World) -> None:
    fast.channels["team"].trouble = refuse(retry=True, after=300)
    fast.close({"amount": 2})
    fast.pump()
    fast.channels["team"].trouble = fine
    fast.clock.go(seconds=299)
    assert fast.pump() == PumpReport(waiting=1)
    fast.clock.go(seconds=1)
    assert fast.pump() == PumpReport(sent=1)


def test_a_channel_that_raises_stops_no_other_and_its_text_is_not_kept(world: World) -> None:
    world.channels["oncall"].trouble = lambda message: OSError("https://vendor.test/CANARY")
    world.close({"amount": 4})
    world.close({"amount": 4}, subject="people")
    report = world.pump()
    assert (report.sent, report.failed) == (2, 2)
    with world.engine.connect() as connection:
        assert {row.error for row in connection.execute(select(told))} == {"OSError", None}


def test_what_is_refused_for_good_is_told_once_to_the_fallback(world: World) -> None:
    world.channels["oncall"].trouble = refuse(retry=False)
    world.close({"amount": 4})
    report = world.pump()
    assert (report.sent, report.dead, report.waiting, report.undelivered) == (2, 1, 1, True)
    assert world.channels["mail"].told() == [("event", "PROD - oncall could not be told: orders: amount fails")]
    assert world.pump() == PumpReport(waiting=1), "no second try, no second letter, but it shows"
    world.channels["oncall"].trouble = fine
    world.close({"amount": 4, "fresh": 4})
    assert world.pump().waiting == 0
    assert world.channels["oncall"].last().title == "PROD - orders: 2 checks fail", "a new state is a new try"


def test_new_routes_are_a_new_chance_for_what_was_refused(fast: World) -> None:
    fast.channels["oncall"].trouble = refuse(retry=False)
    fast.close({"amount": 4})
    fast.pump()
    fast.channels["oncall"].trouble = fine
    fast.config = evolve(fast.config, fallback="team")
    assert fast.pump() == PumpReport(sent=1)
    assert fast.channels["oncall"].open == {GROUP: Severity.CRITICAL}


def test_well_again_ends_what_was_refused_for_good(fast: World) -> None:
    fast.channels["oncall"].trouble = refuse(retry=False)
    fast.close({"amount": 4})
    fast.pump()
    fast.close({})
    fast.pump()
    assert fast.pump() == PumpReport(), "nothing is open anywhere, so nothing waits"


def test_a_channel_that_fails_for_long_is_told_of_and_still_tried(fast: World) -> None:
    fast.channels["oncall"].trouble = refuse(retry=True)
    fast.close({"amount": 4})
    for _ in range(TRIES_BEFORE_FALLBACK + 3):
        fast.pump()
        fast.clock.go(minutes=11)
    assert [m.title for m in fast.channels["mail"].got] == ["PROD - oncall cannot be told yet: orders: amount fails"]
    fast.channels["oncall"].trouble = fine
    assert fast.pump() == PumpReport(sent=1)


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e18), st.floats(0, 1))
def test_waits_grow_within_bounds(attempts: int, after: float | None, jitter: float) -> None:
    wait = backoff(attempts, after, jitter)
    asked = timedelta(seconds=min(after or 0, LONGEST_ASKED.total_seconds()))
    assert FIRST_WAIT / 2 <= wait <= max(LONGEST_WAIT, asked)
    assert wait >= asked
    assert backoff(attempts + 1, None, jitter) >= backoff(attempts, None, jitter)


def test_one_group_that_cannot_be_told_does_not_silence_the_others(fast: World) -> None:
    fast.close({"amount": 4}, subject="broken")
    fast.close({"amount": 4})
    with fast.engine.begin() as connection:
        connection.execute(
            incident_table.update().where(incident_table.c.subject == "broken").values(labels="not JSON")
        )
    report = fast.pump()
    assert report.sent == 2
    assert report.problems == ("the group prod/suite/broken cannot be told: JSONDecodeError",)


# ------------------------------------------------------------------------------------------------------ sudden death


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("then", [{"amount": 4}, {}])
def test_a_pump_that_dies_at_the_wire_leaves_nothing_open_for_ever(
    world: World, where: str, then: dict[str, int]
) -> None:
    oncall = world.channels["oncall"]
    oncall.trouble = lambda message: KilledError() if where == "before" else "die after"
    world.close({"amount": 4})
    with pytest.raises(KilledError):
        world.pump()
    oncall.trouble = fine
    world.close(then)
    assert world.pump().sent == 0, "its lease still holds"
    world.clock.go(seconds=LEASE.total_seconds() + 1)
    world.pump()
    assert oncall.open == ({GROUP: Severity.CRITICAL} if then else {})
    assert oncall.opens == (1 if then or where == "after" else 0)
    assert world.pump() == PumpReport()


def test_a_pump_that_was_held_up_cannot_leave_an_old_state_behind(world: World) -> None:
    """Its trigger arrives after another pump has already told that all is well."""
    oncall = world.channels["oncall"]

    def meanwhile() -> None:
        oncall.trouble = fine
        world.clock.go(minutes=10)
        world.close({})
        world.pump()
        assert oncall.open == {}

    oncall.trouble = lambda message: meanwhile
    world.close({"amount": 4})
    world.pump()
    assert oncall.open == {GROUP: Severity.CRITICAL}, "the late trigger did arrive"
    assert world.pump().sent == 1
    assert oncall.open == {}
    assert world.pump() == PumpReport()


@define
class Held:
    """A way to a vendor on which a message is held up, before it arrives or before the answer comes back."""

    vendor: Recorder
    before: threading.Event
    after: threading.Event
    reached: threading.Event = field(factory=threading.Event)
    arrived: threading.Event = field(factory=threading.Event)
    name: str = "oncall"
    pages: bool = True
    secrets: ClassVar[tuple[str, ...]] = ()

    def send(self, message: Message) -> Receipt:
        self.reached.set()
        assert self.before.wait(30)
        receipt = self.vendor.send(message)
        self.arrived.set()
        assert self.after.wait(30)
        return receipt


def test_a_late_message_between_the_wire_and_the_settling_of_another_pump(world: World) -> None:
    """The resolve arrives, then the late trigger; the late pump settles first, the other must not settle over it."""
    world.config = config(Route(channels=("oncall",)))
    oncall, free, late, last = world.channels["oncall"], threading.Event(), threading.Event(), threading.Event()
    free.set()
    slow, quick = Held(oncall, late, free), Held(oncall, free, last)
    threads = [threading.Thread(target=world.pump, kwargs={"channels": {"oncall": way}}) for way in (slow, quick)]
    world.close({"amount": 4})
    threads[0].start()
    assert slow.reached.wait(30)
    world.clock.go(minutes=10)
    world.close({})
    threads[1].start()
    assert quick.arrived.wait(30)
    late.set()
    threads[0].join(30)
    last.set()
    threads[1].join(30)
    assert [m.status for m in oncall.got] == ["resolved", "firing"]
    world.pump()
    assert oncall.open == {}
    assert world.pump() == PumpReport()


def test_a_close_during_the_sending_is_not_lost(world: World) -> None:
    world.channels["oncall"].trouble = lambda message: lambda: world.close({}) if message.status == "firing" else None
    world.close({"amount": 4})
    world.pump()
    assert world.channels["oncall"].open
    world.pump()
    assert world.channels["oncall"].open == world.channels["team"].open == {}


def test_a_lease_from_a_clock_that_was_wrong_does_not_hold_for_ever(fast: World) -> None:
    fast.close({"amount": 4})
    with fast.engine.begin() as connection:
        connection.execute(alert_group.update().values(lease_until=START + timedelta(days=400), lease_owner="nobody"))
    assert fast.pump() == PumpReport(sent=2)


# ------------------------------------------------------------------------------------------------------------- events


def event(**changes: object) -> Message:
    return evolve(
        Message(
            key="report/covid",
            status="event",
            severity=Severity.INFO,
            environment="prod",
            subject="covid",
            title="PROD - covid: 3 orgs differ",
            summary="s",
            at=START,
            since=None,
            facts={"a": "b"},
            columns=("x",),
            rows=(("1",), ("2",)),
            links={"t": "u"},
            html="<p>" * 40_000,
            text="t",
        ),
        **changes,
    )


def test_an_event_is_told_once_and_whole(world: World) -> None:
    for text, new in (("a", True), ("a", False), ("b", True)):
        with world.engine.begin() as connection:
            assert enqueue_event(connection, "team", event(), text) is new
    assert world.pump() == PumpReport(sent=2)
    assert world.pump() == PumpReport()
    assert world.channels["team"].got == [event(), event()]


def test_an_event_that_is_rolled_back_is_not_told(fast: World) -> None:
    with fast.engine.connect() as connection, connection.begin() as transaction:
        enqueue_event(connection, "team", event(), "a")
        transaction.rollback()
    assert fast.pump() == PumpReport()


@pytest.mark.parametrize(
    ("channel", "reason"), [("gone", "not in alerting/routes.toml"), ("oncall", "is a pager"), ("team", "HTTP 500")]
)
def test_an_event_that_nobody_takes_goes_once_to_the_fallback(fast: World, channel: str, reason: str) -> None:
    fast.channels["team"].trouble = refuse(retry=False)
    with fast.engine.begin() as connection:
        enqueue_event(connection, channel, event(), "a")
    report = fast.pump()
    assert report.dead == 1
    assert report.undelivered
    fast.pump()
    assert fast.pump() == PumpReport()
    (letter,) = fast.channels["mail"].got
    assert reason in letter.summary


def test_a_dead_letter_of_the_fallback_itself_goes_nowhere_else(fast: World) -> None:
    fast.channels["mail"].trouble = refuse(retry=False)
    with fast.engine.begin() as connection:
        enqueue_event(connection, "mail", event(), "a")
    assert fast.pump().dead == 1
    assert fast.pump() == PumpReport()


def test_an_event_is_tried_again_after_a_death_and_after_a_failure(world: World) -> None:
    team = world.channels["team"]
    team.trouble = lambda message: KilledError()
    with world.engine.begin() as connection:
        enqueue_event(connection, "team", event(), "a")
    with pytest.raises(KilledError):
        world.pump()
    team.trouble = refuse(retry=True, after=120)
    assert world.pump() == PumpReport()
    world.clock.go(seconds=LEASE.total_seconds() + 1)
    assert world.pump() == PumpReport(failed=1, waiting=1)
    team.trouble = fine
    world.clock.go(seconds=120)
    assert world.pump() == PumpReport(sent=1)


def test_an_event_that_failed_while_the_clock_was_ahead_does_not_wait_for_that_time(fast: World) -> None:
    fast.clock.go(seconds=100_000)
    fast.channels["team"].trouble = refuse(retry=True, after=3_600)
    with fast.engine.begin() as connection:
        enqueue_event(connection, "team", event(), "a")
    assert fast.pump() == PumpReport(failed=1, waiting=1)
    fast.channels["team"].trouble = fine
    assert fast.pump() == PumpReport(waiting=1)
    fast.clock.go(seconds=-100_000)
    assert fast.pump() == PumpReport(sent=1)


def test_a_message_survives_the_store() -> None:
    for message in (event(), event(since=START, status="firing")):
        assert messages.load_message(messages.dump_message(message)) == message


# --------------------------------------------------------------------------------------------------- several at once


@pytest.mark.slow
def test_pumps_and_closes_at_once(world: World) -> None:
    """Four pumps and two closers in real time: one open per group, and all of it true in the end."""
    subjects = [f"s{n}" for n in range(12)]
    lock, stop, errors = threading.Lock(), threading.Event(), []
    send = Recorder.send

    class Locked(Recorder):
        def send(self, message: Message) -> Receipt:
            with lock:
                return send(self, message)

    world.clock = utc_now  # type: ignore[assignment]  # real time: no two incidents begin at once
    world.channels = {name: Locked(name, pages=name == "oncall") for name in ("team", "oncall", "mail")}
    final: dict[str, int] = {}

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except (SQLAlchemyError, AssertionError) as error:
                errors.append(error)

        return run

    def closer(number: int) -> None:
        rng = Random(number)
        for subject in (s for _ in range(5) for s in subjects[number::2]):
            severity = rng.choice([0, 2, 4])
            world.close({"amount": severity} if severity else {}, subject=subject)
            final[subject] = severity

    def pumper() -> None:
        while not stop.is_set():
            pump(world.engine, world.config, world.channels, environment="prod")

    closers = [threading.Thread(target=guarded(lambda n=n: closer(n))) for n in range(2)]
    pumpers = [threading.Thread(target=guarded(pumper)) for _ in range(4)]
    for thread in (*closers, *pumpers):
        thread.start()
    for thread in closers:
        thread.join(120)
    stop.set()
    for thread in pumpers:
        thread.join(120)
    assert errors == []
    report = pump(world.engine, world.config, world.channels, environment="prod")
    assert not report.undelivered
    assert world.channels["oncall"].open == {
        f"prod/suite/{s}": Severity.CRITICAL for s, severity in final.items() if severity == 4
    }
    assert world.channels["team"].open == {
        f"prod/suite/{s}": Severity(severity) for s, severity in final.items() if severity
    }
    for channel in world.channels.values():
        for a, b in pairwise(sorted(channel.got, key=lambda m: m.key)):
            same = (a.key, a.status, a.severity, a.since) == (b.key, b.status, b.severity, b.since)
            assert a.status == "event" or not same, f"{channel.name} was told the same twice"


def test_a_refused_well_again_is_not_forgotten_when_an_earlier_try_may_have_arrived(fast: World) -> None:
    team = fast.channels["team"]
    fast.close({"fresh": 2})
    team.trouble = lambda _: "raise after"  # it arrives, and nobody knows
    fast.pump()
    assert team.open == {"prod/suite/orders": Severity.WARNING}
    fast.close({})
    for refusal in (OSError("down"), Receipt(delivered=False, retry=False, error="HTTP 400")):
        team.trouble = lambda _, refusal=refusal: refusal
        fast.clock.go(hours=2)
        fast.pump()
    assert fast.pump().waiting == 1
    team.trouble = fine
    fast.config = evolve(fast.config, route=evolve(ROUTE, routes=(*ROUTE.routes, EVERYTHING)))
    fast.settle()
    assert team.open == {}


# ---------------------------------------------------------------------------------------------------- random histories


def random_trouble(rng: Random, world: World, depth: list[int]) -> Callable[[Message], object]:
    def meanwhile() -> None:
        """This pump is held up for longer than its lease, while others go on."""
        depth[0] += 1
        world.clock.go(minutes=5)
        random_close(rng, world)
        with suppress(KilledError):
            world.pump()
        depth[0] -= 1

    def trouble(message: Message) -> object:
        dice = rng.random()
        if dice < 0.55:
            return None
        if dice < 0.62:
            return KilledError()
        if dice < 0.69:
            return "die after"
        if dice < 0.76:
            return "raise after"
        if dice < 0.83:
            return OSError("down")
        if dice < 0.9:
            return Receipt(delivered=False, retry=True, after=rng.choice([None, 30, 90]), error="HTTP 429")
        if dice < 0.92:
            return Receipt(delivered=False, retry=False, error="HTTP 400")
        return meanwhile if depth[0] < 2 else None

    return trouble


SUBJECTS = ("orders", "people")


def random_close(rng: Random, world: World) -> None:
    names = ["amount/1", "amount/2", "amount/3", "fresh"]
    bad = {name: rng.choice([1, 2, 3, 4, 4]) for name in rng.sample(names, rng.choice([0, 0, 1, 2, 3]))}
    day = (
        DAY
        if rng.random() < 0.7
        else Interval(DAY.start + timedelta(days=(shift := rng.choice([-1, 1]))), DAY.end + timedelta(days=shift))
    )
    world.close(bad, subject=rng.choice(SUBJECTS), day=day)


def paged(world: World) -> dict[str, Severity]:
    """What the pager should show: from the incidents, by the routes, in the plainest words."""
    shown: dict[str, Severity] = {}
    for i in world.incidents():
        if i.ended_at is None and i.severity is Severity.CRITICAL:
            shown[f"prod/suite/{i.key.subject}"] = Severity.CRITICAL
    return shown


@pytest.mark.slow
@pytest.mark.soak
def test_random_histories_end_in_the_true_state(fast: World, histories: Callable[[int, int], Iterator[Random]]) -> None:
    for rng in histories(60, 600):
        with fast.engine.begin() as connection:
            for table in (incident_table, alert_group, told, outbox):
                connection.execute(table.delete())
        world = World(fast.engine)
        depth = [0]
        for channel in world.channels.values():
            channel.trouble = random_trouble(rng, world, depth)
        for _ in range(rng.randrange(4, 25)):
            if rng.random() < 0.5:
                random_close(rng, world)
            else:
                with suppress(KilledError):
                    world.pump()
            world.clock.go(seconds=rng.choice([1, 10, 70, 700]))
        for channel in world.channels.values():
            channel.trouble = fine
        # What was refused for good is not tried again until something changes: new routes are such a change.
        world.config = evolve(world.config, route=evolve(ROUTE, routes=(*ROUTE.routes, EVERYTHING)))
        world.settle()
        check_the_end(world)


def passed(message: Message) -> int:
    """How many incidents the message says came and went."""
    facts = dict(message.facts)
    said = re.search(r"(\d+) came and went", facts.get("Changed", ""))
    alone = facts.get("Came and went", "")
    return int(said[1]) if said else alone.count(",") + 1 if alone else 0


def check_the_end(world: World) -> None:
    oncall, team = world.channels["oncall"], world.channels["team"]
    assert oncall.open == paged(world)
    alive = [i for i in world.incidents() if i.ended_at is None]
    assert team.open == {
        f"prod/suite/{s}": max(i.severity for i in alive if i.key.subject == s) for s in {i.key.subject for i in alive}
    }
    assert oncall.resolves == oncall.opens - len(oncall.open)
    with world.engine.connect() as connection:
        told_at = dict(connection.execute(select(incident_table.c.id, incident_table.c.told_at)).all())
        events = [
            messages.load_message(m)
            for m in connection.execute(select(outbox.c.message).where(outbox.c.channel == "team")).scalars()
        ]
        unsettled = connection.execute(
            select(func.count()).select_from(told).where(told.c.trying.is_not(None))
        ).scalar_one()
    assert unsettled == 0
    assert all(at is not None for at in told_at.values()), "an incident that nobody was told of"
    untold = [i for i in world.incidents() if i.ended == "recovered_untold"]
    alone = sum(len(m.rows) + m.omitted for m in events if "before anybody was told" in m.summary)
    assert alone + sum(map(passed, team.got)) >= len(untold)
    late = sum(1 for a, b in pairwise(oncall.got) if a.status == "resolved" and b.status == "firing")
    assert oncall.opens <= world.episodes + late
