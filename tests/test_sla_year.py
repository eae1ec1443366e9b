"""A year of promises: whatever happens and whoever looks when, each breach is told once, and no other.

The history is drawn first: when each partition is there, what is seen before, who looks when. The real code lives
through it: observations, ``sla_check``, the closes of runs, the pump, two channels of which one is a pager. What it
should have said is worked out from the history by other means: local clocks are searched, calendars are lists of days.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from random import Random
from threading import Barrier
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from attrs import define, evolve, field, frozen
from sqlalchemy import event

from dq import Check, Rows, Sla, Suite, Table, app
from dq.alerting.routing import ALL, Route
from dq.app.overdue import call_back, judge_sla
from dq.app.session import store_engine
from dq.model.dataset import Dataset
from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.severity import Severity
from dq.project import Project
from dq.sla import excuses, observations, partitions
from tests.conftest import SOAK, measured
from tests.test_pump import Recorder, World, config

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
INSTANT = timedelta(microseconds=1)
YEAR = datetime(2026, 1, 1, tzinfo=UTC)
LONG_AGO = Interval.of_day("2025-03-03")

# ------------------------------------------------------------------------------------------- what is true: the oracle

HOLIDAYS = {
    "DE-BY": (
        "2025-11-01 2025-12-25 2025-12-26"
        " 2026-01-01 2026-01-06 2026-04-03 2026-04-06 2026-05-01 2026-05-14 2026-05-25 2026-06-04 2026-10-03 2026-11-01"
        " 2026-12-25 2026-12-26 2027-01-01 2027-01-06"
    ),
    "US": (
        "2025-11-11 2025-11-27 2025-12-25"
        " 2026-01-01 2026-01-19 2026-02-16 2026-05-25 2026-06-19 2026-07-03 2026-07-04 2026-09-07 2026-10-12 2026-11-11"
        " 2026-11-26 2026-12-25 2027-01-01 2027-01-18"
    ),
}
DAYS = [date(2025, 11, 1) + n * DAY for n in range(480)]


@cache
def listed(calendar: str | None) -> frozenset[date]:
    """Every day of the calendar, from two months before the year to two months after it."""
    working = [day for day in DAYS if day.weekday() < 5]
    if calendar is None:
        return frozenset(DAYS)
    if calendar == "weekdays":
        return frozenset(working)
    if calendar == "monday:saturday":
        return frozenset(day for day in DAYS if day.weekday() < 6)
    if calendar == "month end":
        return frozenset(day for day in DAYS if (day + DAY).day == 1)
    off = {date.fromisoformat(text) for text in HOLIDAYS[calendar].split()}
    return frozenset(day for day in working if day not in off)


@cache
def instant(day: date, clock: time, tz: str) -> datetime:
    """When it is ``clock`` there on ``day``: the first instant at which that is on the wall; else as if unchanged."""
    wall = datetime.combine(day, clock)
    offsets = [timedelta(minutes=15 * n) for n in range(14 * 4, -12 * 4 - 1, -1)]
    for offset in offsets:  # the first instant has the greatest offset
        at = (wall - offset).replace(tzinfo=UTC)
        if at.astimezone(ZoneInfo(tz)).replace(tzinfo=None) == wall:
            return at
    before = datetime.combine(day, time(), ZoneInfo(tz)).utcoffset()
    assert before is not None
    return (wall - before).replace(tzinfo=UTC)


@frozen(kw_only=True)
class Promised:
    """A promise, in plain values."""

    name: str
    suite: bool
    until: datetime
    every: timedelta = DAY
    due: time | None = None
    tz: str = "UTC"
    within: timedelta | None = None
    calendar: str | None = None
    due_on: str | None = None
    grace: timedelta = timedelta(0)
    warn: timedelta | None = None
    ladder: tuple[tuple[Severity, timedelta], ...] = ()
    paced: bool = False

    def due_at(self, end: datetime) -> datetime:
        if self.due is None:
            return end + (self.within or self.every)
        first = end.date() - DAY
        days = [day for day in DAYS[bisect_left(DAYS, first) :] if day in listed(self.due_on)]
        return next(at for day in days if (at := instant(day, self.due, self.tz)) >= end)

    def promises(self, start: datetime) -> bool:
        local = start if self.every == DAY else start.astimezone(ZoneInfo(self.tz))
        return local.date() in listed(self.calendar)

    def severity(self, late: timedelta) -> Severity | None:
        return max((s for s, rung in self.ladder if late >= rung and late >= self.grace), default=None)

    def declared(self, calls: list[tuple[str, datetime]]) -> Suite | Dataset:
        def on_miss(dag: Any, task_list: str, blocking: str, slas: Any, tis: Any) -> None:
            calls.append((self.name, slas[0].execution_date))

        sla = Sla(
            due=self.due, tz=self.tz, within=self.within, every=None if self.every == DAY else self.every,
            calendar=self.calendar, due_on=self.due_on, grace=self.grace, warn_before=self.warn, dag="makes_it",
            on_miss=on_miss, **{str(severity): rung for severity, rung in self.ladder},
        )  # fmt: skip
        if not self.suite:
            return Dataset(self.name, sla=sla)
        return Suite(self.name, Table("live", "t"), checks=[Check("positive", Rows("a > 0"), error=0)], sla=sla)


@frozen(kw_only=True)
class Sight:
    at: datetime
    state: str
    source: str = "airflow"


@define(kw_only=True)
class Life:
    """A promised partition and all that is ever seen of it, oldest first."""

    of: Promised
    interval: Interval
    due: datetime
    seen: list[Sight]
    closes: list[tuple[datetime, bool]] = field(factory=list)

    @property
    def key(self) -> str:
        part = str(self.interval).replace("/", "%2F")
        return f"prod/sla/{self.of.name}/part={part}/org="


@frozen(kw_only=True)
class Outage:
    subject: str
    starts: datetime
    ends: datetime
    known: datetime
    taken_back: datetime | None = None

    def covers(self, life: Life, at: datetime) -> bool:
        holds = self.known <= at and (self.taken_back is None or at < self.taken_back)
        return holds and self.subject in ("*", life.of.name) and self.starts <= life.due < self.ends


@frozen(kw_only=True)
class Look:
    """A moment at which somebody looks, pumps, or both; two watchers in turn or at once, one of them just restarted."""

    at: datetime
    judges: bool = True
    pumps: bool = True
    watchers: int = 1
    at_once: bool = False
    restarts: bool = False
    all: bool = False


OVERDUE = {
    "waiting": "never_started", "absent": "never_created", "paused": "paused", "started": "late_running",
    "missing": "data_missing", "unmeasured": "unmeasured", "failed": "failed", "unreachable": "source_down",
}  # fmt: skip
MISSED = ("met_after_miss", "late_but_done", *OVERDUE.values())


LONG_AFTER = timedelta(days=366)


def truth(life: Life, outages: Iterable[Outage], at: datetime) -> tuple[str, datetime | None]:
    """What is true of a partition at a moment, as far as it was seen: the answer, and when it was there."""
    p, seen = life.of, [s for s in life.seen if s.at <= at]
    there = [s for s in seen if s.state in ("arrived", "wrong")]
    excused = any(outage.covers(life, at) for outage in outages)
    if there:
        first = there[0].at
        if first - life.due <= p.grace:
            return ("data_wrong" if there[-1].state == "wrong" else "on_time"), first
        if excused:
            return "excused", first
        return ("late_but_done" if p.severity(first - life.due) is None else "met_after_miss"), first
    says = [s.state for s in seen if s.source == "airflow"][-1:]
    speaks = says[0] if says and says != ["unreachable"] else newest_word(seen)
    if excused or speaks == "skipped":
        return "excused", None
    if at - life.due <= p.grace:
        risk = p.warn is not None and (life.due - at <= p.warn or speaks in ("failed", "paused"))
        return ("at_risk" if risk else "pending"), None
    return OVERDUE[speaks], None


def newest_word(seen: Sequence[Sight]) -> str:
    """Return what was seen last; who only says the same again says nothing."""
    words: dict[str, str] = {}
    newest = "waiting"
    for sight in seen:
        if words.get(sight.source) != sight.state:
            words[sight.source] = newest = sight.state
    return newest


@define
class Expected:
    """What must have been told of a partition so far, and what must be written down."""

    life: Life
    team: Counter[str] = field(factory=Counter)
    pager: list[Severity | None] = field(factory=list)
    misses: int = 0
    warned: bool = False
    answer: str = ""
    arrived: datetime | None = None
    severity: Severity | None = None
    forgotten: bool = False
    over: bool = False
    is_open: bool = False
    is_early: bool = False
    is_told: bool = False
    is_heard_of: bool = False
    came_and_went: bool = False
    now: Severity | None = None

    def judge(self, at: datetime, outages: Sequence[Outage]) -> None:
        """Somebody looks at it, and it is not over."""
        self.answer, self.arrived = truth(self.life, outages, at)
        late = (self.arrived or at) - self.life.due
        self.now = self.life.of.severity(late) if self.answer in MISSED else None
        is_new = self.now is not None and self.severity is None
        self.misses += is_new
        excused = any(outage.covers(self.life, at) for outage in outages)
        self.over = self.arrived is not None or (self.answer == "excused" and not excused)
        if self.now is not None:
            self.severity = max(self.now, self.severity or Severity.INFO)
        bad, risk = self.now is not None and (is_new or not self.over), self.answer == "at_risk"
        self.warned |= risk
        self.is_early = risk or (self.is_early and not bad)
        # An early warning stands until it is there, or bad enough.
        waits = bad or risk or (self.is_open and self.answer in OVERDUE.values())
        if self.is_open or waits:
            self.is_heard_of &= self.is_open  # of what opens now nobody has heard, though the end of another is untold
            self.is_open = waits and not self.over
            self.came_and_went |= not self.is_open and not self.is_heard_of

    def take_back(self) -> None:
        """It is promised no more."""
        self.came_and_went |= self.is_open and not self.is_heard_of
        self.is_open, self.over, self.forgotten = False, True, self.severity is None

    def tell(self) -> None:
        """What was decided leaves: the team hears of everything, the pager of what is bad and still open."""
        if self.is_open != self.is_told:
            self.team["opens" if self.is_open else "resolves"] += 1
        if self.came_and_went and not self.is_open:
            self.team["events"] += 1
        self.came_and_went, self.is_told, self.is_heard_of = False, self.is_open, self.is_open
        shown = self.pager[-1] if self.pager else None
        wanted = self.now if self.is_open and not self.is_early else None
        if wanted is not shown:
            self.pager.append(wanted)

    @property
    def at_rest(self) -> bool:
        return self.over and not (self.is_open or self.is_told or self.came_and_went)


def live_through(life: Life, outages: Sequence[Outage], looks: Sequence[Look], moments: Sequence[datetime]) -> Expected:
    """Go from look to look and note what changes; a look at a partition begins with its end."""
    found = Expected(life)
    mine = looks[bisect_left(moments, life.interval.end) :]
    own = [Look(at=at, pumps=False) for at, _ in life.closes]
    for look in sorted([*own, *mine], key=lambda look: look.at) if own else mine:
        if look.judges and not found.over:
            if look.at < life.of.until:
                found.judge(look.at, outages)
            else:
                found.take_back()
        if look.pumps:
            found.tell()
        if found.at_rest:
            break
    asked = looks[-1].at + LONG_AFTER
    if found.answer in MISSED and any(outage.covers(life, asked) for outage in outages):
        found.answer = "excused"  # whoever asks later is told what is known then
    return found


# -------------------------------------------------------------------------------------------------- what happens: drawn

MONTH = ("due", "due", "due", "within", "1h")
CLOCK_CHANGES = {"Berlin": "Europe/Berlin", "New_York": "America/New_York", "Sydney": "Australia/Sydney"}
"""There, 02:30 is skipped on one day of the year, or comes twice."""
YEAR_OF_DAYS = (*CLOCK_CHANGES, "due")
YEAR_OF_FIFTY = (*CLOCK_CHANGES, *("due",) * 31, *("within",) * 13, *("1h",) * 2, "15m")
LADDERS: tuple[tuple[tuple[Severity, timedelta], ...], ...] = (
    ((Severity.CRITICAL, timedelta(0)),),
    ((Severity.WARNING, timedelta(0)),),
    ((Severity.WARNING, timedelta(0)), (Severity.ERROR, 30 * MINUTE), (Severity.CRITICAL, 2 * HOUR)),
    ((Severity.ERROR, 45 * MINUTE),),
    ((Severity.INFO, HOUR), (Severity.CRITICAL, 3 * HOUR)),
)
CLOSES = ("missing", "unmeasured")
CALENDARS = (None, None, "weekdays", "DE-BY", "US", "monday:saturday", "month end")


def draw_promise(rng: Random, name: str, sort: str, since: datetime, until: datetime) -> Promised:
    common: dict[str, Any] = {
        "name": name,
        "suite": rng.random() < 0.5,
        "until": until,
        "tz": rng.choice(("Europe/Berlin", "America/New_York", "Australia/Sydney", "UTC")),
        "ladder": rng.choice(LADDERS),
        "paced": rng.random() < 0.2,
    }
    if sort == "15m":
        return Promised(**{**common, "until": min(until, since + 10 * DAY)}, every=15 * MINUTE)
    common["calendar"] = rng.choice(CALENDARS)
    common["warn"] = rng.choice((None, 30 * MINUTE, 2 * HOUR))
    common["grace"] = rng.choice((timedelta(0), timedelta(0), 10 * MINUTE, 45 * MINUTE))
    if sort == "1h":
        return Promised(**common, every=HOUR, within=20 * MINUTE)
    if sort in CLOCK_CHANGES:
        return Promised(**{**common, "tz": CLOCK_CHANGES[sort], "calendar": None}, due=time(2, 30))
    if sort == "within":
        return Promised(**common, within=rng.choice((HOUR, 6 * HOUR, 30 * HOUR)))
    clock = rng.choice((time(0, 30), time(2, 30), time(6), time(9), time(23)))
    return Promised(**common, due=clock, due_on=rng.choice((None, None, None, "weekdays", "DE-BY", "month end")))


def between(rng: Random, first: datetime, last: datetime) -> datetime:
    return first + timedelta(microseconds=rng.randrange(max((last - first) // INSTANT, 0) + 1))


def draw_life(rng: Random, of: Promised, interval: Interval) -> Life:
    end, due = interval.end, of.due_at(interval.end)
    late_at = due + of.grace
    sort = rng.random()
    arrives: datetime | None = between(rng, end, due)
    if sort < 0.04:
        arrives = late_at + rng.choice((timedelta(0), INSTANT))
    elif sort < 0.22:
        scale = rng.choice((5 * MINUTE, 40 * MINUTE, 5 * HOUR, 2 * DAY))
        arrives = late_at + timedelta(seconds=rng.expovariate(1 / scale.total_seconds()))
    elif sort < 0.235:
        arrives = None
    busy = rng.random() < (0.9 if sort < 0.235 else 0.2)
    until = arrives or due + DAY
    words = ["waiting", "absent", "paused", "failed", "missing", "unmeasured", "unreachable"] + ["started"] * of.paced
    seen = [
        Sight(at=between(rng, end, until), state=word, source="close" if word in CLOSES else "airflow")
        for word in (rng.choices(words, k=rng.randrange(1, 4)) if busy else ())
    ]
    if of.paced and arrives is not None and rng.random() < 0.9:
        seen.append(Sight(at=between(rng, max(end, arrives - HOUR), arrives), state="started"))
    closes = []
    if arrives is not None:
        seen = [s for s in seen if s.at < arrives]
        state = "wrong" if rng.random() < 0.08 else "arrived"
        seen.append(Sight(at=arrives, state=state, source="close"))
        if rng.random() < (0.1 if of.every == DAY else 0.02):
            closes.append((arrives, rng.random() < 0.6))
        if rng.random() < 0.08:  # it is run again
            other = rng.choice(("wrong", "arrived", "failed"))
            seen.append(Sight(at=between(rng, arrives + INSTANT, arrives + DAY), state=other, source="close"))
    elif rng.random() < 0.4:
        seen.append(Sight(at=between(rng, until, until + DAY), state="skipped"))
    return Life(of=of, interval=interval, due=due, seen=sorted(seen, key=lambda s: s.at), closes=closes)


def draw_looks(
    rng: Random, lives: Sequence[Life], since: datetime, until: datetime, pauses: Sequence[int], dead: timedelta
) -> list[Look]:
    """Moments of all sorts: now and then, at the very instants at which something changes, and never while dead."""
    moments, at = [], since
    while at < until:
        moments.append(at)
        at += timedelta(minutes=rng.choice(pauses) * rng.uniform(0.2, 1.8))
    daily = [life for life in lives if life.of.every == DAY]
    for life in rng.sample(daily, min(len(daily), (until - since) // DAY * 2 // 3)):
        turns = [life.due + life.of.grace, life.interval.end, life.due - (life.of.warn or MINUTE)]
        turns += [life.due + rung for _, rung in life.of.ladder]
        moments += [turn + rng.choice((-INSTANT, timedelta(0), INSTANT)) for turn in rng.sample(turns, 3)]
    for n in range((until - since) // (20 * DAY)):  # not in a row: nobody looks back further than a week
        died = since + (20 * n + rng.uniform(0, 13)) * DAY
        alive = died + rng.uniform(0.05, 1) * dead
        moments = [*(at for at in moments if not died < at < alive), died, alive]
    looks = [
        Look(
            at=at,
            pumps=rng.random() < 0.9,
            watchers=rng.choice((1, 1, 2)),
            at_once=rng.random() < 0.1,
            restarts=rng.random() < 0.03,
            all=rng.random() < 0.03,
        )
        for at in sorted({at for at in moments if since < at < until})
    ]
    return [*looks, Look(at=until), Look(at=until + MINUTE)]


# -------------------------------------------------------------------------------------------------------- the real code


@define
class Year:
    """The world in which it happens."""

    project: Project
    world: World
    promises: Sequence[Promised]
    calls: list[tuple[str, datetime]] = field(factory=list)
    declared: dict[str, tuple[Suite | Dataset, datetime]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.declared = {p.name: (p.declared(self.calls), p.until) for p in self.promises}

    def restart(self) -> None:
        """What a new process has: new connections, the declarations read anew, nothing remembered."""
        self.world.engine.dispose()
        self.project = app.open_project(self.project.root)
        self.__attrs_post_init__()

    def at(self, now: datetime) -> Project:
        """The project with what is declared at that time."""
        here = {name: one for name, (one, until) in self.declared.items() if now < until}
        return evolve(
            self.project,
            suites={name: one for name, one in here.items() if isinstance(one, Suite)},
            datasets={name: one for name, one in here.items() if isinstance(one, Dataset)},
        )

    def record(self, seen: Iterable[tuple[Promised, Interval, Sight]]) -> None:
        with self.world.engine.begin() as connection:
            for of, interval, sight in seen:
                observations.record(
                    connection,
                    "prod",
                    Observation(
                        kind="suite" if of.suite else "dataset",
                        subject=of.name,
                        interval=interval,
                        state=sight.state,  # type: ignore[arg-type]  # one of them
                        at=sight.at,
                        source=sight.source,
                    ),
                )

    def close(self, life: Life, now: datetime) -> None:
        """A run closes: it judges its own partition."""
        project = self.at(now)
        declared: Any = self.declared[life.of.name][0]
        with self.world.engine.begin() as connection:
            new = judge_sla(connection, project, declared, now, life.interval)
        call_back(project, new, "test", now)

    def look(self, look: Look) -> None:
        if look.restarts:
            self.restart()
        project = self.at(look.at)
        if not look.at_once:
            for _ in range(look.watchers):
                app.sla_check(project, look.at, pump=False, news_only=not look.all)
            return
        self.world.clock.now = look.at
        begin = Barrier(2)

        def watch(_: int) -> None:
            begin.wait()
            app.sla_check(project, look.at, pump=False, news_only=not look.all)
            if look.pumps:
                self.world.pump()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(watch, range(2)))

    def pump(self, now: datetime) -> None:
        self.world.clock.now = now
        report = self.world.pump()
        assert not report.undelivered


def new_year(folder: Path, promises: Iterable[Promised]) -> Year:
    folder.mkdir()
    (folder / "dq.toml").write_text('environment = "prod"\n')
    project = app.open_project(folder)
    engine = store_engine(project)
    # Nobody pulls the plug here, and waiting for the disk is most of what a year costs.
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    engine.dispose()
    world = World(engine)
    world.channels = {"team": Recorder("team"), "oncall": Recorder("oncall", pages=True), "mail": Recorder("mail")}
    world.config = config(Route(channels=("team", "oncall"), group_by=ALL, group_interval=timedelta(0)))
    return Year(project, world, tuple(promises))


def partitions_of(p: Promised, since: datetime, until: datetime) -> Iterable[Interval]:
    start = since - 40 * DAY if p.due_on else since - 5 * p.every
    while start + p.every <= min(until, p.until):
        yield Interval(start, start + p.every)
        start += p.every


def a_year(folder: Path, rng: Random, sorts: Sequence[str], days: int, pauses: Sequence[int]) -> Counter[str]:
    """Draw a history, live through it, and compare; return what happened.

    ``pauses``: how many minutes about are between two looks, beside those at the turns of a few partitions.
    """
    since = YEAR + rng.randrange(365 - days + 1) * DAY
    until = since + days * DAY
    promises = [draw_promise(rng, f"{sort}-{n}", sort, since, until + DAY) for n, sort in enumerate(sorts)]
    lives, other = [], []
    for p in promises:
        # The first sighting of all: from now on somebody watches.
        other.append((p, LONG_AGO, Sight(at=since, state="missing", source="close")))
        for interval in partitions_of(p, since, until):
            if p.promises(interval.start) and p.due_at(interval.end) >= since:
                life = draw_life(rng, p, interval)
                life.seen = [s for s in life.seen if s.at >= since]
                life.closes = [one for one in life.closes if since <= one[0] < min(until, p.until)]
                lives.append(life)
            elif not p.promises(interval.start) and rng.random() < 0.5:  # nobody promised it, and it comes, or fails
                state = rng.choice(("arrived", "wrong", "failed", "missing"))
                other.append((p, interval, Sight(at=max(interval.end, since) + rng.random() * DAY, state=state)))
        for _ in range(days // 20):  # a back-fill
            old = Interval(since - 90 * DAY, since - 90 * DAY + p.every)
            old = Interval(old.start - p.every * rng.randrange(60), old.end - p.every * rng.randrange(1))
            if old.end - old.start == p.every:
                state = rng.choice(("arrived", "wrong", "failed", "missing"))
                other.append((p, old, Sight(at=between(rng, since, until), state=state)))
    looks = draw_looks(rng, lives, since, until, pauses, 40 * HOUR if "15m" in sorts else 156 * HOUR)
    outages = []
    for _ in range(days // 8 + 1):
        starts = between(rng, since, until)
        whom = "*" if rng.random() < 0.2 else rng.choice(promises).name
        known = starts + timedelta(hours=rng.uniform(-24, 48))
        back = max(known, since) + MINUTE if known < starts - HOUR and rng.random() < 0.2 else None
        ends = starts + timedelta(hours=rng.choice((3, 12, 40, 100)))
        outages.append(Outage(subject=whom, starts=starts, ends=ends, known=max(known, since), taken_back=back))
    year = new_year(folder, promises)
    happen(year, lives, other, outages, looks)
    return compare(year, lives, outages, looks)


def happen(
    year: Year,
    lives: Sequence[Life],
    other: Sequence[tuple[Promised, Interval, Sight]],
    outages: Sequence[Outage],
    looks: Sequence[Look],
) -> None:
    """Let everything happen in its order: what is seen before who looks at that instant."""
    seen = [*other, *((life.of, life.interval, sight) for life in lives for sight in life.seen)]
    seen.sort(key=lambda one: one[2].at)
    acts: list[tuple[datetime, int, Any]] = [(look.at, 3, look) for look in looks]
    acts += [(at, 2, (life, pumps)) for life in lives for at, pumps in life.closes]
    acts += [(outage.known, 0, outage) for outage in outages]
    acts += [(outage.taken_back, 1, outage) for outage in outages if outage.taken_back is not None]
    numbers: dict[Outage, int] = {}
    place = 0
    for at, sort, what in sorted(acts, key=lambda act: act[:2]):
        upto = bisect_right(seen, at, lo=place, key=lambda one: one[2].at)
        if upto > place:
            year.record(seen[place:upto])
            place = upto
        if sort == 0:
            with year.world.engine.begin() as connection:
                numbers[what] = excuses.add(
                    connection, "prod", what.subject, what.starts, what.ends, "the lake moves", "ann", at
                )
        elif sort == 1:
            with year.world.engine.begin() as connection:
                assert excuses.end(connection, "prod", numbers[what], at)
        elif sort == 2:
            year.close(what[0], at)
            if what[1]:
                year.pump(at)
        else:
            year.look(what)
            if what.pumps:
                year.pump(at)


def compare(year: Year, lives: Sequence[Life], outages: Sequence[Outage], looks: Sequence[Look]) -> Counter[str]:
    counts: Counter[str] = Counter()
    # A close judges its own partition, and what it pumps is what anybody left.
    pumps = [Look(at=at, judges=False) for life in lives for at, pumps in life.closes if pumps]
    looks = sorted([*pumps, *looks], key=lambda look: look.at)
    team, pager = told(year.world.channels["team"]), told(year.world.channels["oncall"])
    calls = Counter(year.calls)
    with year.world.engine.connect() as connection:
        kept = {(k.subject, k.interval): k for k in partitions.kept(connection, "prod", YEAR - 400 * DAY)}
    final = looks[-1].at
    moments = [look.at for look in looks]
    for life in lives:
        if life.interval.end > final:
            continue
        where = (life.of.name, life.interval, life.due, life.of, life.seen)
        expected = live_through(life, outages, looks, moments)
        row = kept.pop((life.of.name, life.interval), None)
        if expected.forgotten or not expected.answer:
            assert row is None, where
        else:
            assert row is not None, where
            assert (row.due_at, row.arrived_at) == (life.due, expected.arrived), where
            if not (life.of.paced and expected.answer == "pending"):
                assert str(row.answer) == expected.answer, where
            assert row.severity == expected.severity, where
        assert calls.pop((life.of.name, life.interval.start), 0) == expected.misses <= 1, where
        paged = [m.severity if m.status == "firing" else None for m in pager.get(life.key, ())]
        assert paged == expected.pager, (where, pager.get(life.key))
        pager.pop(life.key, None)
        assert expected.pager.count(None) <= 1, where
        mine = team.pop(life.key, [])
        shown = Counter(opens_and_ends(mine))
        if not life.of.paced:  # who has earlier runs to go by is warned by these, too
            assert shown == expected.team, (where, mine)
        for message in mine:
            if message.status == "resolved" and "no longer declared" not in message.title:
                is_there = expected.arrived is not None and expected.arrived <= message.at
                assert ("has arrived" in message.title) is is_there, (where, message)
        if expected.over:
            assert shown["opens"] == shown["resolves"], (where, mine)
        tally(counts, expected)
    assert not kept and not calls and not pager, (kept, calls, pager)
    assert all(not key.startswith("prod/sla") for key in team), team
    counts["looks"] = sum(look.judges for look in looks)
    counts["of two at once"] = sum(look.at_once for look in looks)
    counts["restarts"] = sum(look.restarts for look in looks)
    return counts


def told(channel: Recorder) -> dict[str, list[Any]]:
    by_key = defaultdict(list)
    for message in channel.got:
        by_key[message.key].append(message)
    return by_key


def opens_and_ends(messages: Iterable[Any]) -> Iterable[str]:
    is_open = False
    for message in messages:
        if message.status == "event":
            yield "events"
        elif (message.status == "firing") != is_open:
            is_open = not is_open
            yield "opens" if is_open else "resolves"


def tally(counts: Counter[str], expected: Expected) -> None:
    counts["promised"] += 1
    counts["in time"] += expected.answer in ("on_time", "data_wrong")
    counts["wrong"] += expected.answer == "data_wrong"
    counts["late"] += expected.misses
    counts["excused"] += expected.answer == "excused"
    counts["opened"] += bool(expected.pager)
    counts["resolved"] += expected.pager.count(None)
    counts["told as event"] += expected.team["events"]
    counts["early warnings"] += expected.warned


def shown(node: pytest.Item, counts: Counter[str]) -> None:
    more = ", ".join(f"{number:,} {what}" for what, number in counts.items() if what != "promised")
    measured(node, counts["promised"], f"promised: {more}")
    assert min(counts.values()) > 0


@pytest.mark.slow
@pytest.mark.soak
def test_in_a_month_with_somebody_always_looking_each_breach_is_told_once_and_no_other(
    tmp_path: Path, histories: Any, request: pytest.FixtureRequest
) -> None:
    counts: Counter[str] = Counter()
    for number, rng in enumerate(histories(1, 30)):
        counts += a_year(tmp_path / str(number), rng, MONTH, 25, (5, 60, 200, 400))
    shown(request.node, counts)


@pytest.mark.slow
@pytest.mark.soak
def test_in_a_year_each_breach_is_told_once_and_no_other(
    tmp_path: Path, histories: Any, request: pytest.FixtureRequest
) -> None:
    """A year of a few daily promises; in ``make soak`` years of fifty, some of them hourly and more often."""
    counts: Counter[str] = Counter()
    for number, rng in enumerate(histories(1, 3)):
        sorts = YEAR_OF_FIFTY if SOAK else YEAR_OF_DAYS
        counts += a_year(tmp_path / str(number), rng, sorts, 365, (400, 900, 1_500))
    shown(request.node, counts)
