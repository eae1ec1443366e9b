"""What was decided is delivered: real processes, ended by SIGKILL at every step, against receivers that keep count.

A process is held at a step from outside only: by a receiver that does not answer, or by a lock in its database. The
ends are judged by what the vendors know, not by what dq believes.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import define, field
from sqlalchemy import text
from sqlalchemy.engine import Engine

from dq import events
from dq.alerting.outbox import LEASE
from dq.store.engine import open_store, upgrade
from tests.receivers import Alert, Receivers
from tests.servers import Server

pytestmark = pytest.mark.slow

DAY = "2024-06-24"
TOML = """
environment = "prod"
[store]
url = "env:STORE"
[datasources.live]
url = "sqlite:///live.sqlite"
"""
CHECKS = """
from dq import *
table = Table("live", "orders", partition="day")
orders = Suite("orders", table, checks=[
    Check("positive", Rows("amount > 0"), critical=0),
    Check("by org", NotNull("amount"), critical=0, by=By("org")),
])
pipe = Reconciliation("pipe", by="org", to="mail", critical=0, stages=[
    Stage("in", table), Stage("out", Table("live", "shipped", partition="day"))])
"""
ROUTES = """
[channels.team]
type = "slack"
webhook = "env:SLACK_WEBHOOK"
allow_http = true
timeout = 30
[channels.oncall]
type = "pagerduty"
routing_key = "env:PD_KEY"
url = "env:PD_URL"
allow_http = true
timeout = 30
[channels.ops]
type = "victorops"
url = "env:VO_URL"
routing_key = "ops"
allow_http = true
timeout = 30
[channels.mail]
type = "email"
host = "env:SMTP_HOST"
port = "env:SMTP_PORT"
starttls = "off"
from = "dq@example.org"
to = ["team@example.org"]
timeout = 30
[route]
channels = ["team", "mail", "oncall", "ops"]
"""
GROUPS = {"orders": "prod/suite/orders", "pipe": "prod/reconciliation/pipe"}
CHANNELS = ("pagerduty", "victorops", "slack", "smtp")


def wait_until(happened: Callable[[], object], what: str, seconds: float = 60, pause: float = 0.005) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(pause)


@define
class World:
    """A project with its store, its data, its receivers and the processes that were started."""

    root: Path
    store: Engine
    receivers: Receivers
    environment: dict[str, str]
    names: tuple[str, ...] = ("orders", "pipe")
    processes: list[subprocess.Popen[str]] = field(factory=list)
    kills: int = 0

    # ------------------------------------------------------------------------------------------------------- the data

    def load(self, *, good: bool) -> None:
        """One bad row in the suite, and one org that is missing downstream; or neither."""
        with sqlite3.connect(self.root / "live.sqlite") as live:
            live.executescript(
                "DROP TABLE IF EXISTS orders; CREATE TABLE orders (day TEXT, org TEXT, amount REAL);"
                "DROP TABLE IF EXISTS shipped; CREATE TABLE shipped (day TEXT, org TEXT);"
            )
            live.executemany("INSERT INTO orders VALUES (?, ?, ?)", [(DAY, "a", 1), (DAY, "b", 1 if good else -1)])
            live.executemany("INSERT INTO shipped VALUES (?, ?)", [(DAY, "a"), *([(DAY, "b")] if good else [])])
        live.close()

    # -------------------------------------------------------------------------------------------------- the processes

    def start(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "dq.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.root,
            env=self.environment,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def run(self) -> subprocess.Popen[str]:
        return self.start("run", *self.names, "--date", DAY, "--json")

    def pump(self) -> subprocess.Popen[str]:
        return self.start("alerts", "pump")

    def end(self, process: subprocess.Popen[str], *codes: int) -> str:
        said, _ = process.communicate(timeout=120)
        assert process.returncode in codes, f"exit code {process.returncode}: {said}"
        assert "Traceback" not in said
        return said

    def kill(self, process: subprocess.Popen[str]) -> None:
        """End the process group at once, so that nothing in it can clean up."""
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            self.kills += 1
        process.communicate(timeout=60)

    # ------------------------------------------------------------------------------------------------------ the store

    def rows(self, sql: str) -> list[Any]:
        if self.store.dialect.name == "sqlite":  # a reader of its own, which waits for nobody
            with sqlite3.connect(self.path) as reader:
                found = reader.execute(sql).fetchall()
            reader.close()
            return found
        with self.store.connect() as connection:
            return list(connection.execute(text(sql)))

    @property
    def path(self) -> str:
        return str(self.store.url.database)

    @contextmanager
    def locked(self, *tables: str) -> Iterator[None]:
        """Nobody else writes: into ``tables`` on a server, into the whole store where it is embedded."""
        with self.store.connect() as connection:
            on_server = self.store.dialect.name == "postgresql"
            lock = f"LOCK TABLE {', '.join(tables)} IN EXCLUSIVE MODE" if on_server else "SELECT 1"
            connection.execute(text(lock))
            yield
            connection.rollback()

    def stands_at_the_lock(self, process: subprocess.Popen[str]) -> bool:
        """Whether the process waits for ``locked``, or has ended."""
        if process.poll() is not None:
            return True
        if self.store.dialect.name == "postgresql":
            return bool(
                self.rows(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
                )
            )
        if self.store.dialect.name != "sqlite":
            time.sleep(0.15)  # asked more often, InnoDB says what it said before
            return bool(self.rows("SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"))
        opened = set()
        for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
            with suppress(OSError):  # it may be closed between the list and the look
                opened.add(descriptor.resolve())
        if Path(self.path).resolve() not in opened:
            return False
        time.sleep(0.2)  # an embedded store does not say who waits; from opening to waiting it is not far
        return True

    def time_passes(self, seconds: float = 3_600) -> None:
        """Leases and waits lie that much further back, as if the clock had gone on."""
        columns = {
            "dq_alert_group": ("lease_until", "due_at"),
            "dq_told": ("next_at",),
            "dq_outbox": ("lease_until", "next_at"),
            "dq_channel": ("free_at", "broken_until"),
        }
        self._back(columns, seconds)

    def hours_pass(self) -> None:
        """The runs lie three hours further back."""
        self._back({"dq_run": ("started_at",), "dq_result": ("at",)}, 3 * 3_600)

    def _back(self, columns: dict[str, tuple[str, ...]], seconds: float) -> None:
        earlier = "{} - interval '{} seconds'"
        if self.store.dialect.name == "sqlite":
            earlier = "strftime('%Y-%m-%d %H:%M:%f000', {}, '-{} seconds')"
        with self.store.begin() as connection:
            for table, names in columns.items():
                values = ", ".join(f"{name} = {earlier.format(name, seconds)}" for name in names)
                connection.exec_driver_sql(f"UPDATE {table} SET {values}")

    # ---------------------------------------------------------------------------------------------------- the outcome

    @property
    def waits(self) -> int:
        """How much is decided and not settled."""
        return sum(
            self.rows(sql)[0][0]
            for sql in (
                "SELECT count(*) FROM dq_alert_group WHERE dirty > seen OR lease_owner IS NOT NULL",
                "SELECT count(*) FROM dq_told WHERE trying IS NOT NULL",
                "SELECT count(*) FROM dq_outbox WHERE sent_at IS NULL",
                "SELECT count(*) FROM dq_event WHERE number IS NULL",
            )
        )

    def settle(self) -> None:
        """Pump until nothing waits."""
        for _ in range(8):
            if not self.waits:
                return
            self.time_passes()
            self.end(self.pump(), 0, 4)
        assert not self.waits, self.rows("SELECT * FROM dq_told") + self.rows("SELECT * FROM dq_outbox")

    def alerts(self) -> list[Alert]:
        """What both pagers know of each group."""
        pagerduty = {key: alert for (_, key), alert in self.receivers.pagerduty.alerts.items()}
        victorops = self.receivers.victorops.alerts
        wanted = [GROUPS[name] for name in self.names]
        assert {*pagerduty, *victorops} <= {*wanted}
        return [pager.get(group, Alert()) for pager in (pagerduty, victorops) for group in wanted]

    def posts(self) -> list[str]:
        return [post["text"] for post in self.receivers.slack.posts]

    def mails(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.receivers.smtp.messages]

    @property
    def open_incidents(self) -> int:
        return int(self.rows("SELECT count(*) FROM dq_incident WHERE ended_at IS NULL")[0][0])

    def is_decided(self, *, good: bool) -> bool:
        """Whether every run was closed on the data that are there now."""
        return self.open_incidents == (0 if good else len(self.names))

    def check(self, episode: int, *, good: bool) -> None:
        """The vendors know the truth, and each was told of each episode once."""
        assert self.is_decided(good=good)
        for alert in self.alerts():
            assert (alert.open, alert.opens, alert.resolves) == (not good, episode, episode - (not good)), alert
        for name in self.names:
            last = [post for post in self.posts() if name in post.splitlines()[0]][-1]
            assert ("well again" in last) is good, last
        sent = {json.loads(row[0])["message_id"] for row in self.rows("SELECT reference FROM dq_outbox")}
        assert sent <= {*self.mails()}, "a report that was decided did not arrive"
        assert bool(sent) is ("pipe" in self.names)


# ------------------------------------------------------------------------------------------------------------ the steps

Start = Callable[[], subprocess.Popen[str]]
Step = Callable[[World, Random, Start], None]


def at_the_claim(world: World, rng: Random, start: Start) -> None:
    """Before the first thing that it writes (a run on a server: within its close, before the group is locked)."""
    with world.locked("dq_alert_group"):
        process = start()
        wait_until(lambda: world.stands_at_the_lock(process), "a lock")
        world.kill(process)


def within_the_close(world: World, rng: Random, start: Start) -> None:
    """When incidents are written and the closing transaction is not committed (a pump: when it numbers events)."""
    with world.locked("dq_event"):
        process = start()
        wait_until(lambda: world.stands_at_the_lock(process), "a lock")
        world.kill(process)


def before_the_vendor(world: World, rng: Random, start: Start) -> None:
    """The request is on its way and never arrives."""
    hold = getattr(world.receivers, rng.choice(CHANNELS)).hold_next(taken=False)
    process = start()
    wait_until(lambda: hold.reached.is_set() or process.poll() is not None, "a request")
    world.kill(process)
    hold.release(lost=hold.reached.is_set())


def before_the_answer(world: World, rng: Random, start: Start) -> None:
    """The vendor has done its work, and nobody hears of it."""
    hold = getattr(world.receivers, rng.choice(CHANNELS)).hold_next(taken=True)
    process = start()
    wait_until(lambda: hold.reached.is_set() or process.poll() is not None, "a request")
    world.kill(process)
    hold.release()


def before_the_settling(world: World, rng: Random, start: Start) -> None:
    """The answer has come and is not written down."""
    hold = getattr(world.receivers, rng.choice(CHANNELS)).hold_next(taken=True)
    process = start()
    wait_until(lambda: hold.reached.is_set() or process.poll() is not None, "a request")
    with world.locked("dq_alert_group", "dq_outbox"):
        hold.release()
        wait_until(lambda: world.stands_at_the_lock(process), "a lock")
        world.kill(process)


def after_a_scan(world: World, rng: Random, start: Start) -> None:
    """As soon as some results are there: between scans, between a scan and the close, or a little later."""
    recorded = "SELECT coalesce(sum(version), 0) FROM dq_run"
    before, wanted = world.rows(recorded)[0][0], rng.choice((1, 2, 3))
    process = start()
    wait_until(
        lambda: world.rows(recorded)[0][0] >= before + wanted or process.poll() is not None, "results", pause=0.001
    )
    world.kill(process)


def at_any_moment(world: World, rng: Random, start: Start) -> None:
    """After a while."""
    process = start()
    time.sleep(rng.uniform(0.2, 1.5))
    world.kill(process)


STEPS: tuple[Step, ...] = (
    before_the_answer, after_a_scan, before_the_settling, before_the_vendor, at_the_claim, within_the_close,
    at_any_moment,
)  # fmt: skip


def trouble(world: World, rng: Random) -> None:
    """Some of the next requests are refused for now, or not answered by the vendor at all."""
    channel = rng.choice(CHANNELS)
    if channel == "smtp":
        world.receivers.smtp.fail_next(rng.choice((451, 421)), body="later", times=rng.choice((1, 2)))
        return
    status, headers, body = rng.choice(
        ((500, {}, ""), (503, {}, "<html>"), (429, {"Retry-After": "1"}, ""), (0, {}, ""), (200, {}, "<html>hello"))
    )
    getattr(world.receivers, channel).fail_next(status, headers, body, times=rng.choice((1, 2)))


# ------------------------------------------------------------------------------------------------------------ the tests

MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(
    tmp_path: Path, request: pytest.FixtureRequest, make_project: Callable[..., Path]
) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(store: str = "sqlite", *, upgraded: bool = True) -> World:
        finish()
        root = make_project(TOML, {"checks/orders.py": CHECKS, "alerting/routes.toml": ROUTES})
        sqlite = f"sqlite:///{tmp_path}/store{time.monotonic_ns()}.sqlite"
        url = sqlite if store == "sqlite" else request.getfixturevalue(f"{store}_server").new_database()
        receivers = Receivers()
        environment = {
            **os.environ,
            "STORE": url,
            "DQ_HOME": str(root),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "SLACK_WEBHOOK": receivers.slack.webhook,
            "PD_KEY": "k" * 32,
            "PD_URL": receivers.pagerduty.url,
            "VO_URL": receivers.victorops.url,
            "SMTP_HOST": receivers.smtp.host,
            "SMTP_PORT": str(receivers.smtp.port),
        }
        world = World(root, open_store(url), receivers, environment)
        made.append(world)
        if upgraded:
            upgrade(world.store)
        world.load(good=True)
        return world

    def finish() -> None:
        while made:
            world = made.pop()
            for process in world.processes:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate(timeout=60)
            world.receivers.stop()
            world.store.dispose()

    yield make
    finish()


def decide_quietly(world: World, *, good: bool) -> None:
    """A run that closes while no vendor takes anything."""
    for channel in CHANNELS:
        getattr(world.receivers, channel).fail_next(451 if channel == "smtp" else 503, times=9)
    world.end(world.run(), 4 if good else 1)
    for channel in CHANNELS:
        getattr(world.receivers, channel).fail_no_more()


@pytest.mark.soak
def test_whatever_is_killed_the_vendors_end_in_the_true_state(
    make_world: MakeWorld, histories: Callable[[int, int], Iterator[Random]], capsys: pytest.CaptureFixture[str]
) -> None:
    seen: Counter[str] = Counter()
    for number, rng in enumerate(histories(5, 40)):
        world = make_world("postgres" if number % 3 == 2 else "sqlite")
        world.names = (("pipe",), ("orders",), ("orders", "pipe"))[number % 3]
        phases = rng.choice((2, 2, 4)) if number >= len(STEPS) else 2
        for phase in range(phases):
            good = bool(phase % 2)
            world.load(good=good)
            if rng.random() < 0.4:
                trouble(world, rng)
            step = STEPS[(2 * number + phase) % len(STEPS)] if number < len(STEPS) else rng.choice(STEPS)
            if rng.random() < 0.5:
                step(world, rng, world.run)
                seen[f"run killed {step.__name__}"] += 1
                if not world.is_decided(good=good):
                    world.end(world.run(), *((0, 4) if good else (1,)))
                    seen["run again"] += 1
            else:
                decide_quietly(world, good=good)
                world.time_passes()
                step = before_the_answer if step is after_a_scan else step  # a pump scans nothing
                step(world, rng, world.pump)
                seen[f"pump killed {step.__name__}"] += 1
            if world.waits and rng.random() < 0.4:
                world.time_passes()
                for process in (world.pump(), world.pump()):
                    world.end(process, 0, 4)
                seen["two pumps at once"] += 1
            world.settle()
            world.check(phase // 2 + 1, good=good)
        mails, posts = world.mails(), world.posts()
        doubles = {"mails": len(mails) - len({*mails}), "posts": len(posts) - phases * len(world.names)}
        for name, many in doubles.items():
            assert 0 <= many <= world.kills, (name, many, world.kills)
            seen[f"doubled {name}"] += many
        for alert in world.alerts():
            seen["repeated triggers"] += alert.repeats
            seen["repeated resolves"] += alert.orphans
        seen["kills"] += world.kills
    with capsys.disabled():
        print("\n" + "".join(f"{many:>9,}  {what}\n" for what, many in sorted(seen.items())))


def test_the_lease_runs_out_in_real_time(make_world: MakeWorld) -> None:
    world = make_world()
    world.load(good=False)
    before_the_answer(world, Random(0), world.run)
    world.end(world.run(), 1)
    assert world.waits, "the dead process still holds its lease"
    time.sleep(LEASE.total_seconds() + 1)
    world.end(world.pump(), 0)
    assert not world.waits
    world.check(1, good=False)


def test_doubles_come_from_kills_only(make_world: MakeWorld) -> None:
    world = make_world()
    world.load(good=False)
    hold = world.receivers.slack.hold_next(taken=True)
    process = world.run()
    wait_until(hold.reached.is_set, "a post")
    world.kill(process)
    hold.release()
    world.end(world.run(), 1)
    world.settle()
    world.check(1, good=False)
    assert [post.count("orders") > 0 for post in world.posts()] == [True, False, True], "one of them twice"
    assert {alert.repeats for alert in world.alerts()} == {0}, "the pagers had settled before"


def test_a_pump_that_was_overtaken_does_not_leave_its_old_news_behind(make_world: MakeWorld) -> None:
    world = make_world()
    world.names = ("orders",)
    world.load(good=False)
    hold = world.receivers.pagerduty.hold_next(taken=False)
    late = world.run()
    wait_until(hold.reached.is_set, "a request")
    world.load(good=True)
    world.end(world.run(), 0)
    world.time_passes()
    world.end(world.pump(), 0)
    assert world.receivers.pagerduty.open_keys == set()
    hold.release()
    world.end(late, 1)
    world.settle()
    pagerduty, victorops = world.alerts()
    assert not pagerduty.open and not victorops.open
    assert (pagerduty.opens, pagerduty.resolves, pagerduty.orphans) == (1, 1, 1)


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_runs_of_one_suite_at_once_on_a_new_store(store: str, make_world: MakeWorld) -> None:
    world = make_world(store, upgraded=store != "sqlite")
    world.names = ("orders",)
    world.load(good=False)
    for process in [world.run() for _ in range(4)]:
        world.end(process, 1)
    world.settle()
    world.check(1, good=False)
    assert len(world.posts()) == 1
    assert {alert.repeats for alert in world.alerts()} == {0}
    assert [(row[0], row[1]) for row in world.rows("SELECT count(*), min(version) FROM dq_run")] == [(1, 8)]
    assert world.rows("SELECT count(*) FROM dq_result WHERE org = ''")[0][0] == 2


def test_pumps_at_once_share_the_work(make_world: MakeWorld) -> None:
    world = make_world("postgres")
    world.load(good=False)
    decide_quietly(world, good=False)
    world.time_passes()
    for process in [world.pump() for _ in range(4)]:
        world.end(process, 0, 4)  # 4: it is the first to look round, and another one is at work
    world.end(world.pump(), 0)
    assert not world.waits
    world.check(1, good=False)
    assert len(world.posts()) == 2 and len(world.mails()) == len({*world.mails()}) == 3
    assert {alert.repeats for alert in world.alerts()} == {0}


def test_pumps_that_number_events_at_once_both_end_well(make_world: MakeWorld) -> None:
    world = make_world("postgres")
    add = text(
        "INSERT INTO dq_event (environment, at, name, subject, body) VALUES ('prod', now(), 'run_closed', 'orders', '')"
    )
    with world.store.connect() as slow, world.store.connect() as other:
        slow.execute(add)
        with world.store.begin() as quick:
            quick.execute(add)
        assert events.number(other) == 1, "what is not committed yet has no number"
        slow.commit()
        process = world.pump()
        wait_until(lambda: world.stands_at_the_lock(process), "a lock")
        other.commit()
        world.end(process, 0)
    world.end(world.pump(), 0)
    assert world.rows("SELECT id, number FROM dq_event ORDER BY number") == [(2, 1), (1, 2)]


def test_a_run_that_died_between_its_scans_is_closed_by_a_pump_and_mended_by_another_run(make_world: MakeWorld) -> None:
    world = make_world()
    world.names = ("orders",)
    recorded = "SELECT count(DISTINCT scan) FROM dq_result"
    for _ in range(20):
        process = world.run()
        wait_until(lambda: world.rows(recorded)[0][0], "the first scan", pause=0.0005)
        world.kill(process)
        if world.rows(recorded)[0][0] == 1:
            break
        for table in ("dq_result", "dq_run", "dq_event"):
            with world.store.begin() as connection:
                connection.execute(text(f"DELETE FROM {table}"))
    assert world.rows("SELECT version, closed_version FROM dq_run") == [(1, None)]
    world.end(world.pump(), 0)
    assert world.rows("SELECT closed_version FROM dq_run") == [(None,)], "it may still be at work"
    world.hours_pass()
    world.end(world.pump(), 0)
    assert world.rows("SELECT version = closed_version FROM dq_run") == [(1,)]
    assert world.rows("SELECT part, outcome FROM dq_incident") == [("by org", "unmeasured")]
    assert len(world.receivers.pagerduty.open_keys) == 1, "what was not measured is not well"
    world.end(world.run(), 0)
    world.settle()
    world.check(1, good=True)


def test_the_store_goes_away_in_the_middle_of_a_pump(make_world: MakeWorld, postgres_server: Server) -> None:
    world = make_world("postgres")
    world.names = ("orders",)
    world.load(good=False)
    hold = world.receivers.pagerduty.hold_next(taken=True)
    process = world.run()
    wait_until(hold.reached.is_set, "a request")

    def meanwhile() -> None:
        hold.release()
        said = [world.end(process, 3), world.end(world.run(), 3), world.end(world.pump(), 3)]
        assert all(one.splitlines()[-1].startswith("dq: the store cannot be") for one in said), said

    world.store.dispose()
    postgres_server.restart(meanwhile)
    world.settle()
    world.check(1, good=False)
    assert [alert.repeats for alert in world.alerts()] == [1, 0], "PagerDuty's answer was lost with the store"
    world.load(good=True)
    world.end(world.run(), 0)
    world.check(1, good=True)


def test_one_run_that_cannot_be_closed_silences_nobody(make_world: MakeWorld) -> None:
    world = make_world("postgres")
    world.names = ("pipe",)
    within_the_close(world, Random(0), world.run)
    assert world.rows("SELECT version, closed_version FROM dq_run") == [(1, None)]
    with world.store.begin() as connection:
        connection.execute(text("UPDATE dq_ledger SET body = 'nonsense'"))
    world.hours_pass()
    world.names = ("orders",)
    world.load(good=False)
    decide_quietly(world, good=False)
    world.time_passes()
    said = world.end(world.pump(), 4)
    assert "the run of pipe for 2024-06-24 cannot be closed: BadGzipFile" in said
    assert len(world.receivers.pagerduty.open_keys) == len(world.receivers.victorops.open_keys) == 1


@pytest.mark.parametrize("store", ["postgres", "mariadb"])
def test_a_close_that_loses_a_deadlock_is_done_again(store: str, make_world: MakeWorld) -> None:
    world = make_world(store)
    world.names = ("orders",)
    world.end(world.run(), 0)
    world.load(good=False)
    with world.store.connect() as other:
        if store == "postgres":
            other.execute(text("SET deadlock_timeout = '60s'"))  # so it is the close that notices
        else:  # the one that has written less is rolled back
            other.execute(text("CREATE TABLE written (n INTEGER)"))
            other.execute(text("INSERT INTO written SELECT seq FROM seq_1_to_10000"))
        other.execute(text("UPDATE dq_alert_group SET dirty = dirty"))
        process = world.run()
        wait_until(lambda: world.stands_at_the_lock(process), "a lock")
        other.execute(text("UPDATE dq_run SET due = due"))  # the close holds it and waits for the group
        other.rollback()
    world.end(process, 1)
    world.check(1, good=False)
    assert {alert.repeats for alert in world.alerts()} == {0}


def test_a_new_embedded_store_that_another_process_is_making(make_world: MakeWorld) -> None:
    world = make_world(upgraded=False)
    with sqlite3.connect(world.path) as other:
        other.execute("CREATE TABLE being_made (n INTEGER)")
        other.commit()
        other.execute("BEGIN")
        other.execute("SELECT * FROM being_made")
        other.execute("INSERT INTO being_made VALUES (1)")
        process = world.pump()
        wait_until(lambda: world.stands_at_the_lock(process), "a lock")
        other.commit()
    other.close()
    world.end(process, 0)
