"""What is new, still open and fixed since the last report, and the last two weeks: decided, then on real stores."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path

import pytest
from attrs import evolve
from sqlalchemy.engine import Engine

from dq import app, events
from dq.app.session import transaction
from dq.app.trending import before_of, news_of
from dq.model.group import Group
from dq.model.incident import ACCEPTED, Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.result import Result, Run, RunKind
from dq.model.severity import Outcome, Severity
from dq.project import Project
from dq.reports import Rendered
from dq.reports.news import NAMED, Closed, Item, News, Reopened, State, reopened, sentences, states
from dq.reports.trend import DAYS, Day, Seen, Strip, days_until, strips, trend
from dq.store import history
from tests.receivers import MAIL, TEAM, Receivers

pytest_plugins = ["tests.stores"]

THEN = datetime(2026, 11, 19, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def incident(opened: float, ended: float | None = None, *, how: str = "recovered", **more: object) -> Incident:
    """Return an incident that was opened and ended so many hours after people were told."""
    made = Incident(
        id=1,
        key=IncidentKey("prod", "reconciliation", "pipe", "db", '["7"]'),
        severity=Severity.ERROR,
        outcome=Outcome.FAIL,
        sentence="",
        observed="",
        threshold="",
        labels={},
        links={},
        interval=Interval.of_day("2026-11-18"),
        opened_at=THEN + opened * HOUR,
        changed_at=THEN,
        ended_at=None if ended is None else THEN + ended * HOUR,
        ended=None if ended is None else how,  # type: ignore[arg-type]  # a literal in a table
    )
    return evolve(made, **more)


# ------------------------------------------------------------------------------------------------------------- decided


@pytest.mark.parametrize(
    ("incidents", "state", "at", "before"),
    [
        ([incident(-50)], State.OPEN, -50, None),
        ([incident(0)], State.OPEN, 0, None),
        ([incident(1)], State.NEW, 1, None),
        ([incident(-90, -80), incident(2)], State.BACK, 2, -80),
        ([incident(-90, -80), incident(-5, 1), incident(2)], State.BACK, 2, 1),
        ([incident(-90, -80), incident(-3)], State.OPEN, -3, None),
        ([incident(-50), incident(3)], State.OPEN, -50, None),
        ([incident(1, 5), incident(2)], State.NEW, 2, None),
        ([incident(-50, 2)], State.FIXED, 2, None),
        ([incident(1, 2)], State.FIXED, 2, None),
        ([incident(-50, 2, how="vanished")], State.DROPPED, 2, None),
        ([incident(-50, 2, how="vanished"), incident(-50, 3)], State.FIXED, 3, None),
        ([incident(-50, 2, labels={ACCEPTED: "until then"})], State.ACCEPTED, 2, None),
        ([incident(-50, labels={ACCEPTED: "until then"})], State.OPEN, -50, None),
        ([incident(-50, 0)], None, None, None),
        ([incident(-50, -1)], None, None, None),
        ([incident(1, pending="1")], None, None, None),
        ([incident(-9, 2, pending="10")], None, None, None),
    ],
)
def test_how_a_thing_stands(incidents, state, at, before) -> None:
    found = states(incidents, THEN, key=lambda i: i.key.org, name=lambda i: i.key.part)
    if state is None:
        assert found == {}
        return
    assert found == {
        '["7"]': Item(
            name="db",
            state=state,
            severity=Severity.ERROR,
            at=THEN + at * HOUR,
            before=None if before is None else THEN + before * HOUR,
        )
    }


def test_where_nobody_was_told_all_that_is_open_is_new_and_nothing_is_fixed() -> None:
    def of(*incidents: Incident) -> list[State]:
        found = states(incidents, None, key=lambda i: i.key.org, name=lambda i: i.key.part)
        return [item.state for item in found.values()]

    assert of(incident(-50)) == of(incident(-90, -80), incident(2)) == [State.NEW]
    assert of(incident(-50, 2)) == []


def test_the_worst_of_a_thing_is_told_and_a_fixed_one_was_as_bad() -> None:
    worst = incident(-3, severity=Severity.CRITICAL)
    for one in (worst, evolve(worst, ended_at=THEN + HOUR, ended="recovered")):
        other = evolve(incident(-40), ended_at=one.ended_at, ended=one.ended)
        (item,) = states([other, one], THEN, key=lambda i: i.key.org, name=lambda i: str(i.severity)).values()
        assert (item.severity, item.name) == (Severity.CRITICAL, "critical")


def closes(*told: tuple[str, float, bool]) -> list[Closed]:
    return [Closed(partition=day, at=THEN + hours * HOUR, well=well) for day, hours, well in told]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("18", -1, True), ("18", 4, False)], [("18", -1, 4)]),
        ([("18", 1, True), ("18", 4, False)], [("18", 1, 4)]),
        ([("18", -1, True), ("18", 4, False), ("18", 5, False)], [("18", -1, 4)]),
        ([("18", -1, True), ("18", 4, False), ("18", 5, True)], []),
        ([("18", -1, True), ("18", 4, False), ("18", 5, True), ("18", 6, False)], [("18", 5, 6)]),
        ([("18", -9, True), ("18", -4, False)], []),
        ([("18", -1, False), ("18", 4, False)], []),
        ([("18", -1, False), ("18", 4, True)], []),
        ([("17", -1, True), ("18", 4, False)], []),
        ([("17", -2, True), ("18", -1, True), ("18", 4, False), ("17", 5, False)], [("17", -2, 5), ("18", -1, 4)]),
    ],
)
def test_which_partitions_were_reopened(told, expected) -> None:
    assert reopened(closes(*told), THEN) == tuple(
        Reopened(partition=day, well_at=THEN + well * HOUR, bad_at=THEN + bad * HOUR) for day, well, bad in expected
    )
    if expected == [("18", 1, 4)]:
        assert reopened(closes(*told), None), "on the first day, too"


def test_the_news_in_words() -> None:
    def item(name: str, state: State, before: datetime | None = None) -> Item:
        return Item(name=name, state=state, severity=Severity.ERROR, at=THEN, before=before, key=name)

    items = [item(f"n{n}", State.NEW) for n in range(NAMED + 2)]
    items += [item("b", State.BACK, THEN - DAY), item("o", State.OPEN), item("f", State.FIXED)]
    again = Reopened(partition="2026-11-18", well_at=THEN, bad_at=THEN + HOUR)
    news = News(since=THEN, items=tuple(items), reopened=(again,), unlisted=3)
    assert news.short == "10 new, 1 back again, 1 fixed, 1 partition reopened"
    assert sentences(news) == [
        ("new", "10 orgs: " + ", ".join(f"n{n} (error)" for n in range(NAMED)) + " and 2 more"),
        ("back again", "1 org: b (error, was well from 18 Nov 05:00)"),
        ("still open", "1 org: o (error, since 19 Nov 05:00)"),
        ("fixed", "1 org: f (was error)"),
        ("further", "3 orgs open or fixed that this report does not list"),
        ("reopened", "2026-11-18 was well on 19 Nov 05:00 and is bad since 19 Nov 06:00"),
    ]
    assert sentences(News(since=THEN)) == [("nothing", "nothing is new, nothing is open and nothing was fixed")]
    first = News(since=None, items=(item("n", State.NEW),))
    assert (first.short, sentences(first)) == (
        "",
        [("first", "nothing was told before, so nobody knows what is new; 1 org is not well")],
    )


SEVEN, EIGHT = (Group(("org",), (value,)) for value in ("7", "8"))
DAYS_SHOWN = days_until(date(2026, 11, 20))


def run(day: str, *results: Result, hours: int = 24) -> Run:
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    return Run(
        id=day, environment="prod", suite="pipe", kind="reconciliation", interval=Interval(start, start + hours * HOUR),
        origin="", started_at=start, results=results,
    )  # fmt: skip


def whole(outcome: Outcome = Outcome.PASS, severity: Severity | None = None, check: str = "db", **more: int) -> Result:
    return Result(check=check, outcome=outcome, severity=severity, **more)


def found(severity: Severity | None, observed: object, rows: int = 200, **more: object) -> Result:
    given = {"check": "db", "outcome": Outcome.FAIL, "group": SEVEN, "rows": rows, **more}
    return Result(severity=severity, observed=observed, **given)  # type: ignore[arg-type]  # a table of what may be


E = Severity.ERROR
BAD = Day(seen=Seen.BAD, severity=E, share=Fraction(1, 4))


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([whole(orgs=9, orgs_bad=0)], Day(seen=Seen.WELL)),
        ([whole(orgs=9, orgs_bad=1), found(E, 50)], BAD),
        ([whole(orgs=9), found(E, 50), found(Severity.CRITICAL, 2, check="nrt")], Day(
            seen=Seen.BAD, severity=Severity.CRITICAL, share=Fraction(1, 100))),
        ([whole(orgs=9), found(E, 10), found(E, -50, check="nrt")], evolve(BAD, share=Fraction(-1, 4))),
        ([whole(orgs=9), found(E, 50, rows=0)], evolve(BAD, share=None)),
        ([whole(orgs=9), found(E, None, outcome=Outcome.NO_DATA)], evolve(BAD, share=None)),
        ([whole(orgs=9), found(None, 50, outcome=Outcome.SKIP)], Day(seen=Seen.NOT_JUDGED)),
        ([whole(orgs=9), found(None, 0, outcome=Outcome.PASS)], Day(seen=Seen.WELL)),
        ([whole(Outcome.UNMEASURED, E)], Day(seen=Seen.UNKNOWN)),
        ([whole(Outcome.NO_DATA, None, orgs=0)], Day(seen=Seen.UNKNOWN)),
        ([whole(orgs=9), whole(Outcome.UNMEASURED, E, "nrt")], Day(seen=Seen.UNKNOWN)),
        ([whole(Outcome.UNMEASURED, E, "nrt"), found(E, 50)], BAD),
        ([whole(orgs=9, orgs_bad=10_001)], Day(seen=Seen.UNKNOWN)),
        ([], Day(seen=Seen.UNKNOWN)),
    ],
)  # fmt: skip
def test_what_is_shown_of_a_day(results, expected) -> None:
    shown = trend([run("2026-11-20", *results)], DAYS_SHOWN, [SEVEN], stored_orgs=10_000)
    *before, last = shown.rows[SEVEN]
    assert last == expected
    assert before == [Day(seen=Seen.NO_RUN)] * (DAYS - 1), "a day without a run is no zero"


def test_of_several_partitions_of_a_day_the_worst_is_shown_and_each_org_has_its_own() -> None:
    good = whole(orgs=9, orgs_bad=0)
    runs = [
        run("2026-11-20T01:00", good, hours=1), run("2026-11-20T02:00", good, found(E, 50), hours=1),
        run("2026-11-20T03:00", whole(Outcome.UNMEASURED, E), hours=1), run("2026-11-19T23:00", good, hours=1),
        run("2026-11-05", good, found(E, 50)),
    ]  # fmt: skip
    shown = trend(runs, DAYS_SHOWN, [SEVEN, EIGHT])
    assert [day.seen for day in shown.rows[SEVEN][-3:]] == [Seen.NO_RUN, Seen.WELL, Seen.BAD]
    assert [day.seen for day in shown.rows[EIGHT][-3:]] == [Seen.NO_RUN, Seen.WELL, Seen.UNKNOWN]


def test_the_whole_is_shown_by_the_share_of_its_orgs() -> None:
    bad = whole(Outcome.FAIL, E, orgs=8, orgs_bad=2)
    (*_, last) = trend([run("2026-11-20", bad)], DAYS_SHOWN, [None]).rows[None]
    assert (last, last.text) == (BAD, "25")


@pytest.mark.parametrize(
    ("share", "text", "high"),
    [(Fraction(1), "100", 8), (Fraction(-1, 2), "-50", 5), (Fraction(1, 500), "<1", 1), (Fraction(-1, 500), "-<1", 1),
     (Fraction(0), "<1", 1), (Fraction(55), "999", 8), (None, "!", 8)],
)  # fmt: skip
def test_a_bad_day_is_a_number_and_a_bar(share, text, high) -> None:
    day = Day(seen=Seen.BAD, severity=E, share=share)
    assert (day.text, day.high) == (text, high)
    assert all(Day(seen=seen).high == 0 for seen in Seen if seen is not Seen.BAD)


def test_the_legend_tells_what_there_is() -> None:
    row = Strip(name="7", words="", days=(BAD, Day(seen=Seen.NO_RUN)))
    shown = strips(DAYS_SHOWN[:2], [row], "percent of it")
    assert shown.legend() == "Numbers and bars: percent of it; the colour is the severity; \N{EN DASH} no run."
    assert shown.text("Org", 20)[-1].split() == ["7", "25", "-"]
    assert shown.legend(plain=True).isascii()


# ------------------------------------------------------------------------------------------------------- on real stores

TOML = """
environment = "prod"
[store]
url = "{store}"
[datasources.live]
url = "sqlite:///live.sqlite"
"""
PIPE = """
from dq import By, Reconciliation, Stage, Table
pipe = Reconciliation("pipe", by=By("org"), to="mail", error=1, critical=50, stages=[
    Stage("in", Table("live", "sent", partition="day")), Stage("out", Table("live", "stored", partition="day"))])
"""
START = date(2026, 11, 2)


class World:
    """A project with two tables of one row per record, a store, and mail that arrives."""

    def __init__(self, root: Path, receivers: Receivers) -> None:
        self.root, self.receivers = root, receivers

    @property
    def project(self) -> Project:
        return app.open_project(self.root)

    def put(self, day: int, **stored: int) -> None:
        """Put a hundred records of each org into the first table, and so many into the second."""
        at = str(START + (day - 1) * DAY)
        with sqlite3.connect(self.root / "live.sqlite") as live:
            for table in ("sent", "stored"):
                live.execute(f"CREATE TABLE IF NOT EXISTS {table} (day TEXT, org TEXT)")
                live.execute(f"DELETE FROM {table} WHERE day = ?", (at,))
            for org, count in stored.items():
                live.executemany("INSERT INTO sent VALUES (?, ?)", [(at, org)] * 100)
                live.executemany("INSERT INTO stored VALUES (?, ?)", [(at, org)] * count)
        live.close()

    def mail(self, day: int, *, hour: float = 29) -> Rendered:
        """Measure and close a day, by default at five the next morning; return the mail of it."""
        interval = Interval.of_day(START + (day - 1) * DAY)
        before = len(self.receivers.smtp.messages)
        app.reconcile(self.project, "pipe", interval, now=interval.start + hour * HOUR)
        (mail,) = self.receivers.smtp.messages[before:]
        text = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
        return Rendered(subject=mail["Subject"], html=mail.get_body(("html",)).get_content(), text=text)


@pytest.fixture
def world(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with Receivers() as receivers:
        for name, value in receivers.environment("0123456789abcdef0123456789abcdef").items():
            monkeypatch.setenv(name, value)
        routes = TEAM + MAIL + '[route]\nchannels = ["team"]\n[digest]\nchannels = ["mail"]\n'
        files = {"checks/pipe.py": PIPE, "alerting/routes.toml": routes}
        yield World(make_project(TOML.format(store="sqlite:///store.sqlite"), files), receivers)


def said(mail: Rendered) -> list[str]:
    """Return the lines of the news of a mail."""
    _, _, after = mail.text.partition("Since the last report")
    return [line.removeprefix("- ") for line in after.partition("\n\n")[0].splitlines()[1:]]


def strip(mail: Rendered, org: str) -> list[str]:
    """Return the days of an org of a mail."""
    _, _, after = mail.text.partition("What is not well,")
    return next(line.split()[1:] for line in after.splitlines() if line.split()[:1] == [org])


def test_two_weeks_of_mails(world: World) -> None:
    world.put(1, a=100, b=40, c=100)
    first = world.mail(1)
    assert first.subject == "prod - pipe - 2026-11-02: 1 of 3 orgs differs (critical)", "nobody was told before"
    assert "first: nothing was told before, so nobody knows what is new; 1 org is not well" in first.text
    world.put(2, a=100, b=40, c=90)
    mail = world.mail(2)
    assert mail.subject.endswith(": 2 of 3 orgs differ (critical); 1 new")
    assert said(mail) == ["new: 1 org: c (error)", "still open: 1 org: b (critical, since 3 Nov 05:00)"]
    world.put(3, a=120, b=100, c=90)
    mail = world.mail(3)
    assert mail.subject.endswith(": 2 of 3 orgs differ (error); 1 new, 1 fixed")
    assert said(mail) == [
        "new: 1 org: a (error)", "still open: 1 org: c (error, since 4 Nov 05:00)", "fixed: 1 org: b (was critical)",
    ]  # fmt: skip
    # The fourth day does not run, of the fifth a stage cannot be read, the sixth has no rows.
    (world.root / "live.sqlite").rename(world.root / "away")
    mail = world.mail(5)
    assert "could not be measured; 1 new" in mail.subject
    assert said(mail) == [
        "new: 1: stage out (critical)", "further: 2 orgs open or fixed that this report does not list",
    ]  # fmt: skip
    (world.root / "away").rename(world.root / "live.sqlite")
    assert said(world.mail(6))[0] == "still open: 1: stage out (critical, since 7 Nov 05:00)"
    world.put(7, a=100, b=40, c=100)
    mail = world.mail(7)
    assert "back again: 1 org: b (critical, was well from 5 Nov 05:00)" in mail.text
    assert strip(mail, "b") == ["-"] * 7 + ["60", "60", "ok", "-", "?", "?", "60"]
    assert "<td>\N{EN DASH}</td>" in mail.html and 'style="border-bottom:5px solid #d0382b">60</td>' in mail.html


def test_a_partition_that_is_measured_again_and_bad_was_reopened(world: World) -> None:
    world.put(1, a=100)
    world.mail(1)
    world.put(2, a=100)
    assert "reopened" not in world.mail(2).text
    world.put(2, a=80)
    mail = world.mail(2, hour=33)
    assert mail.subject.endswith("; 1 new, 1 partition reopened")
    assert said(mail) == [
        "new: 1 org: a (error)", "reopened: 2026-11-03 was well on 4 Nov 05:00 and is bad since 4 Nov 09:00",
    ]  # fmt: skip
    assert "Since the last report, 3 Nov 05:00 UTC" in mail.text, "not since that of the same day"
    # An older one has its own mail, which says that and no more; that of the next day says it, too.
    world.put(1, a=70)
    older = world.mail(1, hour=58)
    assert said(older) == ["reopened: 2026-11-02 was well on 3 Nov 05:00 and is bad since 4 Nov 10:00"]
    world.put(3, a=100)
    mail = world.mail(3)
    assert "reopened: 2026-11-02 was well" not in mail.text, "that was told on the day before"
    assert "Still wrong in older partitions" in mail.text and said(mail) == ["fixed: 1 org: a (was error)"]


def test_what_somebody_accepts_is_not_said_to_be_fixed(world: World) -> None:
    world.put(1, a=60, b=60)
    world.mail(1)
    app.accept(
        world.project, "pipe", "a", reason="known", until=date(2026, 12, 1), who="ann",
        now=datetime.combine(START + DAY, time(6), UTC),
    )  # fmt: skip
    world.put(2, a=60, b=100)
    mail = world.mail(2)
    assert said(mail) == ["fixed: 1 org: b (was error)", "accepted: 1 org: a (was error)"]
    assert mail.subject.endswith("; 1 fixed, 1 accepted")


def test_what_was_measured_quietly_was_told_to_nobody(world: World) -> None:
    world.put(1, a=100)
    world.mail(1)
    world.put(2, a=100)
    day = Interval.of_day(START + DAY)
    app.reconcile(world.project, "pipe", day, now=day.start + 28 * HOUR, alert=False)
    world.put(2, a=50)
    assert said(world.mail(2)) == ["new: 1 org: a (error)"]


def test_a_report_that_is_made_again_is_that_of_its_day(world: World) -> None:
    for day, stored in enumerate((100, 50, 50), 1):
        world.put(day, a=stored)
        mail = world.mail(day)
    again = app.report(world.project, "pipe")
    assert (again.subject, said(again)) == (mail.subject, said(mail))
    old = app.report(world.project, "pipe", Interval.of_day(START + DAY))
    assert "Since the last report" not in old.text, "the incidents are those of today"
    assert strip(old, "a")[-2:] == ["ok", "50"]


def test_only_orgs_of_the_ledger_are_named(world: World) -> None:
    world.put(1, a=40, b=40)
    world.mail(1)
    world.put(2, a=40, b=40, c=40)
    world.mail(2)
    whole_ledger = app.ledger(world.project, "pipe")[1]
    mine = evolve(whole_ledger, rows=tuple(row for row in whole_ledger.rows if row.org.values == ("b",)))
    with transaction(world.project) as connection:
        news = news_of(before_of(connection, "prod", mine, THEN), mine)
    assert news is not None
    assert ([item.name for item in news.items], news.unlisted) == (["b"], 2)


def test_random_histories_are_told_as_they_were(histories, make_project, monkeypatch) -> None:
    """Held against a plain list of what each org was on each day."""
    for number, rng in enumerate(histories(3, 60)):
        with Receivers() as receivers:
            for name, value in receivers.environment("0123456789abcdef0123456789abcdef").items():
                monkeypatch.setenv(name, value)
            root = make_project(
                TOML.format(store=f"sqlite:///store{number}.sqlite"),
                {"checks/pipe.py": PIPE, "alerting/routes.toml": TEAM + MAIL + '[route]\nchannels = ["team"]\n'},
            )
            (root / "live.sqlite").unlink(missing_ok=True)
            _one_history(World(root, receivers), rng)


def _one_history(world: World, rng: random.Random) -> None:
    orgs = "abcdef"
    was: dict[int, dict[str, int]] = {}
    for day in range(1, rng.randint(3, 9)):
        if was and rng.random() < 0.25:
            continue
        now = {org: rng.choice((100, 100, 100, 95, 30)) for org in orgs}
        world.put(day, **now)
        mail = world.mail(day)
        before = was[max(was)] if was else None
        was[day] = now
        bad = {org for org in orgs if now[org] < 100}
        if before is not None:
            old = {org for org in orgs if before[org] < 100}
            lines = {line.partition(":")[0]: line for line in _unwrapped(mail)}
            fresh = " ".join(lines.get(state, "") for state in ("new", "back again"))
            assert {org for org in orgs if f" {org} (" in fresh} == bad - old
            assert {org for org in orgs if f" {org} (" in lines.get("still open", "")} == bad & old
            assert {org for org in orgs if f" {org} (" in lines.get("fixed", "")} == old - bad
        for org in bad:
            days = ["-" if n not in was else "ok" if was[n][org] == 100 else f"{100 - was[n][org]}"
                    for n in range(day - DAYS + 1, day + 1)]  # fmt: skip
            assert strip(mail, org) == days


def _unwrapped(mail: Rendered) -> list[str]:
    _, _, after = mail.text.partition("Since the last report")
    block = after.partition("\n\n")[0].replace("\n  ", " ")
    return [line.removeprefix("- ") for line in block.splitlines()[1:]]


def test_every_store_is_asked_alike(empty_store: Engine) -> None:
    """What the news and the days are made of, on each database that a store can live in."""
    days = [Interval.of_day(date(2026, 11, n)) for n in range(1, 6)]

    def close(
        day: Interval, *results: Result, kind: RunKind = "reconciliation", origin: str = "cli", at: int = 29
    ) -> str:
        now = day.start + at * HOUR
        run = history.start_run(connection, "prod", "pipe", kind, day, origin, now)
        history.record_scan(connection, run, "stages", results, now)
        history.mark_closed(connection, evolve(run, version=run.version + 1), now)
        body = {"interval": str(day), "worst": "error", "alert": True}
        events.append(connection, "prod", events.EventName.RUN_CLOSED, "pipe", body, now)
        return run.id

    good, other = whole(orgs=2, orgs_bad=0), evolve(found(E, 2), group=EIGHT)
    with empty_store.begin() as connection:
        assert history.newest_partition(connection, "prod", "pipe") is None
        assert history.last_close(connection, "prod", "pipe", THEN) is None
        close(days[0], good)
        close(days[1], good)
        again = close(days[1], good, found(E, 50), other, origin="again", at=31)
        close(days[3], good, found(E, 50))
        close(Interval(days[4].start, days[4].end + DAY), good, found(E, 50), kind="look_back", at=200)
        history.start_run(connection, "prod", "pipe", "reconciliation", days[4], "cli", THEN)  # it recorded nothing
        starts = (days[1].start, days[4].end)
        runs = history.partitions(connection, "prod", "pipe", starts, [SEVEN])
        assert [run.interval for run in runs] == [days[1], days[3]]
        assert (runs[0].id, [result.group for result in runs[0].results]) == (again, [None, SEVEN])
        assert all(not run.results[1:] for run in history.partitions(connection, "prod", "pipe", starts))
        assert history.partitions(connection, "stage", "pipe", starts) == ()
        assert history.newest_partition(connection, "prod", "pipe") == (days[3], days[3].start + 29 * HOUR)
        assert history.last_close(connection, "prod", "pipe", days[3].start) == days[1].start + 31 * HOUR
        assert history.last_close(connection, "prod", "pipe", days[0].start) is None
        assert history.last_close(connection, "prod", "pipe", THEN + 90 * DAY) == days[3].start + 29 * HOUR
        closed = events.lately(connection, "prod", events.EventName.RUN_CLOSED, "pipe")
        assert [body["interval"] for _, body in closed][:2] == [str(days[0]), str(days[1])]
        assert closed[0][0] == days[0].start + 29 * HOUR
        assert events.lately(connection, "prod", events.EventName.RUN_CLOSED, "other") == ()
