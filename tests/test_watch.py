"""The watcher, from outside of Airflow: an Airflow on loopback, real data, a real store, real receivers."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dq import app
from dq.app.session import store_engine
from dq.model.interval import Interval
from dq.model.kept import Answer
from tests.airflows import ModelAirflow
from tests.receivers import ONCALL, TEAM, Receivers
from tests.servers import turned_away

DAY = Interval.of_day("2024-06-24")
MINUTE = timedelta(minutes=1)
TOML = """
environment = "prod"
[store]
url = "sqlite:///var/store.sqlite"
[datasources.live]
url = "sqlite:///live.sqlite"
[airflow.main]
url = "env:AIRFLOW_URL"
timeout = "2s"
[watch]
ping = "env:PING_URL"
"""
ROUTES = (
    TEAM
    + ONCALL
    + """
[route]
channels = ["team"]
[[route.routes]]
matchers = ['severity="critical"']
channels = ["team", "oncall"]
"""
)
CHECKS = """
from dq import Check, Dataset, RowCount, Sla, Suite, Table, at_least

table = Table("live", "orders", partition="day")
raw = Dataset("raw", table=table, sla=Sla(within="1h", rows=2, warn_before="30m", dag="collect"), owner="ann")
load = Dataset("load", sla=Sla(within="2h", dag="collect", task="load"))
orders = Suite(
    "orders",
    table,
    checks=[Check("rows", RowCount(), error=at_least(2))],
    sla=Sla(due="06:00", dag="collect", warning=0, critical="1h"),
    upstream=["raw"],
)
"""


def at(clock: str, day: int = 25) -> datetime:
    return datetime.fromisoformat(f"2024-06-{day:02}T{clock}").replace(tzinfo=UTC)


class Ping:
    """A dead-man's switch that counts how often it is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        ping = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                ping.calls.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/secret-check-id"


class World:
    def __init__(self, root, receivers, airflow, ping) -> None:
        self.root, self.receivers, self.airflow, self.ping = root, receivers, airflow, ping
        with sqlite3.connect(root / "live.sqlite") as live:
            live.execute("CREATE TABLE orders (day TEXT)")
        live.close()
        self.watcher = self.another()

    def another(self):
        return app.Watcher(app.open_project(self.root), "a watcher")

    def round(self, clock: str, day: int = 25):
        return self.watcher.round(at(clock, day))

    def rows(self, number: int, day: str = "2024-06-24") -> None:
        with sqlite3.connect(self.root / "live.sqlite") as live:
            live.executemany("INSERT INTO orders VALUES (?)", [(day,)] * number)
        live.close()

    def kept(self, name: str):
        return {one.part: one for one in app.kept(app.open_project(self.root), at("00:00", 1), [name])}

    def open(self) -> dict[str, str]:
        alerts = app.alerts(app.open_project(self.root))
        return {f"{a.incident.key.subject}/{a.incident.key.part}": str(a.incident.severity) for a in alerts}

    @property
    def paged(self) -> set[str]:
        return self.receivers.pagerduty.open_keys


@pytest.fixture
def world(make_project, monkeypatch):
    root = make_project(TOML, {"checks/all.py": CHECKS, "alerting/routes.toml": ROUTES})
    ping = Ping()
    with Receivers() as receivers, ModelAirflow() as airflow:
        for name, value in receivers.environment("k" * 32).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AIRFLOW_URL", airflow.url)
        monkeypatch.setenv("PING_URL", ping.url)
        airflow.dag("collect", next_run_after=at("00:00", 26))
        made = World(root, receivers, airflow, ping)
        # The day before went well, so that everything was seen already.
        made.rows(2, "2024-06-23")
        ran(made, "success", day=24)
        app.run(app.open_project(root), "orders", Interval.of_day("2024-06-23"), now=at("05:00", 24))
        made.round("05:30", 24)
        assert not made.open()
        yield made
    ping.server.shutdown()
    ping.server.server_close()


def ran(world: World, state: str, *, task: str | None = None, ended: str | None = "00:40", day: int = 25) -> None:
    """Airflow has run the DAG for the day before."""
    world.airflow._runs.clear()
    world.airflow._tasks.clear()
    end = None if ended is None else at(ended, day)
    run = {"run_after": at("00:00", day), "logical_date": at("00:00", day), "started_at": at("00:01", day)}
    world.airflow.run("collect", f"run {day}", state, ended_at=end, **run)
    world.airflow.task("collect", f"run {day}", "load", task or state, started_at=at("00:02", day), ended_at=end)


def test_what_comes_in_time_pages_nobody(world: World) -> None:
    world.round("00:10")
    ran(world, "success")
    world.rows(2)
    world.round("00:50")
    app.run(app.open_project(world.root), "orders", DAY, now=at("05:00"))
    for clock in ("01:00", "02:30", "06:30", "08:00"):
        done = world.round(clock)
        assert done.judged and not done.problems
    assert [world.kept(name)["2024-06-24"].answer for name in ("raw", "load", "orders")] == [Answer.ON_TIME] * 3
    assert world.kept("load")["2024-06-24"].arrived_at == at("00:40")  # as Airflow says, not when it was seen
    assert not world.open() and not world.receivers.slack.posts and not world.paged


def test_a_run_that_was_never_made_is_told_with_its_cause_and_resolves(world: World) -> None:
    world.airflow.dag("collect", next_run_after=at("00:00"))  # its time was, and nobody made it
    world.round("00:35")
    assert world.open() == {"raw/2024-06-24": "warning"}
    assert not world.paged, "what may still come wakes nobody"
    world.round("01:01")
    world.round("02:01")
    assert world.kept("load")["2024-06-24"].answer is Answer.NEVER_CREATED
    assert world.paged == {"prod/sla/raw", "prod/sla/load"}
    assert "Airflow has not made its run, which was due 00:00 UTC" in world.kept("load")["2024-06-24"].cause
    world.rows(3)
    ran(world, "success", ended="02:50")
    world.round("03:00")
    assert not world.paged
    assert all((a.opens, a.resolves) == (1, 1) for a in world.receivers.pagerduty.alerts.values())
    assert world.kept("raw")["2024-06-24"].answer is Answer.MET_AFTER_MISS
    assert world.kept("load")["2024-06-24"].late == timedelta(minutes=50)


@pytest.mark.parametrize(
    ("state", "answer"),
    [("running", Answer.LATE_RUNNING), ("failed", Answer.FAILED), ("queued", Answer.NEVER_STARTED)],
)
def test_why_it_is_late(world: World, state: str, answer: Answer) -> None:
    ran(world, state, ended="00:30" if state == "failed" else None)
    world.round("00:10")
    world.round("02:01")
    assert world.kept("load")["2024-06-24"].answer is answer
    assert world.kept("raw")["2024-06-24"].answer is answer, "a task says more than rows that are not there"


def test_a_paused_dag_is_named(world: World) -> None:
    world.airflow.dag("collect", paused=True)
    world.round("00:10")
    assert world.open() == {"raw/2024-06-24": "warning"}, "paused is a reason to warn early"
    world.round("02:01")
    assert world.kept("load")["2024-06-24"].answer is Answer.PAUSED


def test_data_that_is_there_beats_a_task_that_says_so(world: World) -> None:
    ran(world, "success")
    world.round("00:10")
    world.round("01:01")
    assert world.kept("raw")["2024-06-24"].answer is Answer.DATA_MISSING  # its run has succeeded
    ran(world, "failed")
    world.rows(2)
    world.round("01:10")
    assert world.kept("raw")["2024-06-24"].answer is Answer.MET_AFTER_MISS  # its run has failed


def test_rows_that_came_between_two_looks_around_the_deadline_came_in_time(world: World) -> None:
    world.round("00:58")
    world.rows(2)
    world.round("01:00:30")
    assert world.kept("raw")["2024-06-24"].answer is Answer.ON_TIME
    world.round("00:30", 26)
    world.round("01:00:10", 26)
    world.rows(2, "2024-06-25")
    world.round("01:00:50", 26)
    assert world.kept("raw")["2024-06-25"].answer is Answer.MET_AFTER_MISS


def test_an_airflow_that_is_down_is_told_and_what_it_makes_too(world: World) -> None:
    world.round("00:10")
    world.airflow.stop()
    done = world.round("00:20")
    assert done.judged and list(done.looked.down) == ["main"]
    assert "main/API" in world.open()
    assert not any("main" in post["text"] for post in world.receivers.slack.posts), "once may be chance"
    world.round("00:21")
    assert any("Airflow main does not answer" in json.dumps(post) for post in world.receivers.slack.posts)
    world.round("02:01")
    assert world.kept("load")["2024-06-24"].answer is Answer.SOURCE_DOWN
    assert world.ping.calls, "the watcher itself lives"


def test_a_scheduler_that_is_not_healthy_is_told_and_its_recovery(world: World) -> None:
    world.round("00:10")
    world.airflow.stamps["scheduler"] = ("unhealthy", at("00:09"))
    world.round("00:11")
    world.round("00:12")
    assert world.open()["main/scheduler"] == "error"
    world.airflow.stamps["scheduler"] = ("healthy", at("00:13"))
    world.round("00:13")
    assert "main/scheduler" not in world.open()
    told = [json.dumps(post) for post in world.receivers.slack.posts]
    assert any("the scheduler of Airflow main is not healthy" in post for post in told), told
    assert any("is well again" in post for post in told), told


def test_messages_that_do_not_leave_are_told_by_another_way_until_they_do(world: World, monkeypatch) -> None:
    """Each round is one of a watcher that was just started, as from cron."""
    routes = world.root / "alerting" / "routes.toml"
    by_pager = "matchers = ['kind=\"watch\"']\nchannels = [\"oncall\"]\n[[route.routes]]\n"
    routes.write_text(routes.read_text().replace("matchers", by_pager + "matchers", 1))
    stuck = "prod/watch/outbox"
    world.receivers.slack.fail_next(503, times=1_000)
    for clock in ("01:31", "01:32", "01:33"):  # raw is late: critical, so that the team and the pager are told
        world.another().round(at(clock))
    assert "outbox/team" not in world.open()
    monkeypatch.setattr("dq.app.watching.STUCK", timedelta(0))
    for clock in ("01:34", "01:35"):
        assert stuck not in world.paged, "once may be chance"
        world.another().round(at(clock))
    assert world.open()["outbox/team"] == "error"
    assert world.paged == {"prod/sla/raw", stuck}
    world.receivers.slack.fail_no_more()
    app.retry_now(app.open_project(world.root), "ann")
    world.another().round(at("01:36"))
    world.another().round(at("01:37"))
    assert world.paged == {"prod/sla/raw"}
    assert {(alert.opens, alert.resolves) for alert in world.receivers.pagerduty.alerts.values()} == {(1, 0), (1, 1)}


def test_when_nobody_hears_that_messages_are_stuck_the_switch_is_not_called(world: World, monkeypatch) -> None:
    world.receivers.slack.fail_next(503, times=1_000)
    world.receivers.pagerduty.fail_next(503, times=1_000)
    monkeypatch.setattr("dq.app.watching.STUCK", timedelta(0))
    monkeypatch.setattr("dq.app.watching.PING_EVERY", 0.0)
    for clock in ("01:31", "01:32", "01:33"):  # raw is late; that the team has not heard of it is decided in the last
        world.another().round(at(clock))
    assert world.open()["outbox/team"] == "error"
    world.ping.calls.clear()
    done = world.another().round(at("01:34"))
    assert done.judged and done.told and not world.ping.calls
    world.receivers.slack.fail_no_more()
    world.receivers.pagerduty.fail_no_more()
    app.retry_now(app.open_project(world.root), "ann")
    world.another().round(at("01:35"))
    world.another().round(at("01:36"))
    assert world.ping.calls


def test_an_airflow_that_is_watched_no_more_is_no_incident(world: World) -> None:
    world.airflow.stop()
    world.round("00:20")
    world.round("00:21")
    assert "main/API" in world.open()
    toml = world.root / "dq.toml"
    toml.write_text(toml.read_text().replace("[airflow.main]", "[airflow.other]"))
    world.round("00:22")
    assert "main/API" not in world.open()


def test_what_a_watcher_found_ends_though_another_one_watches_then(world: World) -> None:
    (world.root / "dq.toml").write_text(TOML + '[airflow.old]\nurl = "http://127.0.0.1:9"\ntimeout = "1s"\n')
    (world.root / "checks" / "more.py").write_text("this is not Python\n")
    for clock in ("00:10", "00:11"):
        assert not app.Watcher(app.open_project(world.root), "from cron").round(at(clock)).whole
    assert {"old/API", "declarations/checks/more.py"} <= world.open().keys()
    (world.root / "dq.toml").write_text(TOML)
    (world.root / "checks" / "more.py").unlink()
    assert app.Watcher(app.open_project(world.root), "from cron").round(at("00:12")).whole
    assert not world.open()


def test_what_cannot_be_read_or_judged_is_told_to_people(world: World) -> None:
    world.round("00:10")
    (world.root / "checks" / "all.py").write_text(CHECKS + '\nsecret = "hunter2"\nraise ValueError(secret)\n')
    unsound = 'from dq import Dataset, Sla\nodd = Dataset("odd", sla=Sla(within="1h", calendar="XX", dag="collect"))\n'
    (world.root / "checks" / "odd.py").write_text(unsound)
    (world.root / "dq.toml").write_text("no toml\n")
    done = world.round("00:11")
    assert done.judged and done.told and not done.whole
    told = [json.dumps(post) for post in world.receivers.slack.posts]
    assert not told, "a file that is written just now may be half there"
    (world.root / "dq.toml").write_text(TOML)
    world.round("00:12")
    world.round("00:13")
    assert {name: s for name, s in world.open().items() if name.startswith("declarations/")} == {
        "declarations/checks/all.py": "error",
        "declarations/odd": "error",
    }
    (post,) = [json.dumps(post) for post in world.receivers.slack.posts]
    assert "declarations: 2 declarations cannot be watched" in post
    assert "knows no such place" in post and "checks/all.py:16 does not load" in post and "hunter2" not in post
    (world.root / "checks" / "odd.py").unlink()
    (world.root / "checks" / "all.py").write_text(CHECKS)
    assert world.round("00:14").whole
    assert not world.open()


def test_who_can_tell_nobody_does_not_say_that_all_is_well(world: World) -> None:
    world.round("00:10")
    world.ping.calls.clear()
    (world.root / "alerting" / "routes.toml").write_text(ROUTES.replace("slack", "slak"))
    done = world.another().round(at("00:11"))
    assert done.judged and not done.told
    assert not world.ping.calls
    code, _, said = dq(world, "watch", "--once")
    assert code == 4 and "slak" in said
    code, said, _ = dq(world, "sla", "check")
    assert code == 2 and "2024-06-24" in said, "what is late is shown all the more"
    (world.root / "alerting" / "routes.toml").write_text(ROUTES)
    assert world.another().round(at("07:31")).told
    assert world.ping.calls


def test_what_waits_for_a_channel_is_counted(world: World) -> None:
    world.receivers.slack.fail_next(503, times=100)
    done = world.round("01:01")
    assert done.told and done.undelivered
    assert dq(world, "watch", "--once", now="2024-06-25T01:02:00+00:00")[0] == 4


def test_two_watchers_and_restarts_page_once(world: World) -> None:
    others = [world.watcher, world.another()]
    world.airflow.dag("collect", next_run_after=at("00:00"))
    for minute in range(0, 200, 4):
        others[minute // 4 % 2].round(at("00:00") + minute * MINUTE)
        if minute % 40 == 0:
            others[0] = world.another()
    errors: list[BaseException] = []

    def both(watcher) -> None:
        try:
            watcher.round(at("06:05"))
            watcher.round(at("07:05"))
        except BaseException as error:  # noqa: BLE001  # told to the test
            errors.append(error)

    threads = [threading.Thread(target=both, args=[watcher]) for watcher in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert world.paged == {"prod/sla/raw", "prod/sla/load"}, "orders waits for raw, which is told"
    assert {a.opens for a in world.receivers.pagerduty.alerts.values()} == {1}


@pytest.mark.slow
def test_a_store_that_is_away_is_no_good_round_and_nothing_is_lost(world: World, postgres_url: str) -> None:
    toml = (world.root / "dq.toml").read_text().replace("sqlite:///var/store.sqlite", postgres_url)
    (world.root / "dq.toml").write_text(toml)
    app.upgrade(app.open_project(world.root))
    world.round("00:10")
    world.ping.calls.clear()
    away = world.another()
    with turned_away(postgres_url):
        done = away.round(at("01:01"))
    assert not done.judged and any("store" in problem for problem in done.problems)
    assert not world.ping.calls, "who cannot judge does not say that all is well"
    assert away.round(at("01:02")).judged
    store_engine(away.project).dispose()
    assert world.ping.calls
    assert "prod/sla/raw" in world.paged
    assert {alert.opens for alert in world.receivers.pagerduty.alerts.values()} == {1}


def test_what_is_declared_while_it_watches_is_watched(world: World) -> None:
    world.round("00:10")
    more = '\nfresh = Dataset("fresh", sla=Sla(within="3h", dag="collect"))\n'
    (world.root / "checks" / "all.py").write_text(CHECKS + more)
    world.round("03:01")
    assert "2024-06-24" in world.kept("fresh")
    (world.root / "checks" / "all.py").write_text(CHECKS + "\nthis is not Python\n")
    done = world.round("03:02")
    assert done.judged
    (world.root / "checks" / "all.py").write_text(CHECKS)
    world.round("03:03")
    assert "fresh/2024-06-24" not in world.open(), "what is promised no longer is not open"


def test_the_command_watches_until_it_is_told_to_stop(world: World, tmp_path) -> None:
    health, metrics = tmp_path / "watch.json", tmp_path / "dq.prom"
    command = [sys.executable, "-m", "dq.cli", "watch", "--every", "1s"]
    process = subprocess.Popen(
        [*command, "--health", str(health), "--metrics", str(metrics), "--project", str(world.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DQ_NOW": "2024-06-25T02:30:00+00:00"},
    )
    end = time.monotonic() + 60
    while not (metrics.exists() and "dq_sla_overdue_partitions{" in metrics.read_text()):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.1)
    signs = [sign for sign in app.watchers_of(app.open_project(world.root)) if sign.name != "a watcher"]
    assert len(signs) == 1 and datetime.now(UTC) - signs[0].seen_at < MINUTE
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert said == "dq watch: environment prod, 3 promises, asks Airflow main, every 1s\n"
    assert {sign.name for sign in app.watchers_of(app.open_project(world.root))} == {"a watcher"}
    assert json.loads(health.read_text())["exit_code"] == 0
    text = metrics.read_text()
    assert 'dq_sla_overdue_partitions{environment="prod",kind="dataset",name="load",owner=""} 1' in text
    assert 'dq_airflow_healthy{environment="prod",airflow="main",part="scheduler"} 1' in text
    assert world.ping.calls and "secret-check-id" not in said


def test_status_says_what_a_dataset_waits_for(world: World) -> None:
    world.airflow.dag("collect", next_run_after=at("00:00"))
    world.round("00:40")
    project = app.open_project(world.root)
    status = app.dataset_status(project, "orders", now=at("00:41"))
    assert (status.complete, status.ready, status.waits_for) == (False, False, "raw")
    assert "Airflow has not made its run" in status.cause
    assert (status.due_at, status.expected_at) == (at("06:00"), None)
    world.rows(1)
    ran(world, "success")
    world.round("00:50")
    world.rows(1)
    world.round("00:56")
    assert app.dataset_status(project, "orders", now=at("01:00")).waits_for == "orders", "raw is there now"
    app.run(project, "orders", DAY, now=at("05:00"))
    status = app.dataset_status(project, "orders", now=at("05:01"))
    assert (status.ready, status.wrong, status.arrived_at) == (True, False, at("05:00"))
    unready = app.dataset_status(project, "orders", Interval.of_day("2024-06-20"), now=at("05:01"))
    assert not unready.complete


def dq(world: World, *words: str, now: str = "2024-06-25T07:30:00+00:00") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "dq.cli", *words, "--project", str(world.root)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "DQ_NOW": now},
    )
    return done.returncode, done.stdout, done.stderr


def test_what_a_person_asks_and_says(world: World) -> None:
    world.airflow.dag("collect", paused=True)
    world.round("00:10")
    world.round("06:05")
    code, said, _ = dq(world, "sla", "status")
    assert code == 1
    assert [line.split()[0] for line in said.splitlines()[1:4]] == ["raw", "load", "orders"]
    assert "paused: 2024-06-24" in said and "watcher a watcher" in said
    code, said, _ = dq(world, "sla", "status", "raw", "--json")
    document = json.loads(said)
    (promise,) = document["promises"]
    assert (code, document["exit_code"], promise["name"], promise["owner"]) == (1, 1, "raw", "ann")
    assert promise["open"][0]["answer"] == "paused"
    assert promise["next_due"] == "2024-06-26T01:00:00+00:00"
    code, said, _ = dq(world, "status", "orders")
    assert code == 1 and "waits for raw: its DAG was paused" in said
    code, said, _ = dq(world, "status", "orders", "--date", "2024-06-23", "--json")
    assert (code, json.loads(said)["ready"]) == (0, True)
    days = ["--from", "2024-06-25T00:00Z", "--to", "2024-06-25T04:00Z"]
    code, _, said = dq(world, "sla", "excuse", "raw", *days, "--reason", "the lake moves", "--by", "ann")
    assert code == 0 and "excuse 1" in said
    world.round("07:31")
    assert world.kept("raw")["2024-06-24"].answer is Answer.EXCUSED
    assert world.kept("raw")["2024-06-24"].excuse == "the lake moves"
    assert "raw/2024-06-24" not in world.open() and "load/2024-06-24" in world.open()
    code, said, _ = dq(world, "sla", "excuses", "--json")
    assert json.loads(said)["excuses"][0]["reason"] == "the lake moves"
    assert dq(world, "sla", "unexcuse", "1")[0] == 0
    world.round("07:33")
    assert "raw/2024-06-24" in world.open()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sla", "status", "oders"], "did you mean 'orders'?"),
        (["status", "oders"], "did you mean 'orders'?"),
        (["sla", "excuse", "raw", "--reason", "x"], "--from TIME --to TIME"),
        (
            ["sla", "excuse", "raw", "--reason", "x", "--from", "2024-06-25T04:00Z", "--to", "2024-06-25T04:00Z"],
            "before it begins",
        ),
        (["sla", "excuse", "raw", "--reason", " ", "--from", "2024-06-25T04:00Z", "--to", "2024-06-26T04:00Z"],
         "needs a reason"),
        (["sla", "unexcuse", "7"], "there is no excuse 7"),
        (["run", "raw"], "is a dataset, which has no checks"),
        (["sla", "report", "--html", "/no/such/folder/sla.html"], "cannot be written: No such file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(world: World, words: list[str], sentence: str) -> None:
    code, _, said = dq(world, *words)
    assert code == 2
    assert sentence in said and said.count("\n") == 1


def test_lint_knows_what_a_promise_needs(world: World) -> None:
    bad = """
from dq import Calendar, Dataset, Sla
a = Dataset("a", sla=Sla(within="1h", dag="x", airflow="prd"), upstream=["nothing"])
b = Dataset("b", sla=Sla(due="06:00", dag="x", calendar=Calendar(holidays="XX")))
"""
    (world.root / "checks" / "bad.py").write_text(bad)
    problems = [p.sentence for p in app.lint(app.open_project(world.root)) if p.level == "error"]
    assert any("dataset 'a': upstream= names 'nothing'" in p for p in problems)
    assert any("dataset 'a': its SLA cannot be judged: dq.toml: there is no [airflow.prd]" in p for p in problems)
    assert any("dataset 'b'" in p and "knows no such place" in p for p in problems)
    done = world.round("00:10")
    assert done.judged and any("dataset 'b'" in p for p in done.problems), "the others are judged all the same"
    world.round("01:01")
    assert "raw/2024-06-24" in world.open()


def test_lint_reads_what_a_promise_counts(world: World) -> None:
    more = """
from dq import Dataset, Sla, Table
table = Table("live", "orders", partition="day")
good = Dataset("good", table=table, sla=Sla(within="1h", rows=1, where="day < '{{ params.end }}'"))
bad = Dataset("bad", table=table, sla=Sla(within="1h", rows=1, where="1; DROP TABLE orders"))
"""
    (world.root / "checks" / "more.py").write_text(more)
    (world.root / "dq.toml").write_text(TOML + "[params]\nend = '2030-01-01'\n")
    (problem,) = app.lint(app.open_project(world.root))
    assert "dataset 'bad': its SLA counts rows=" in problem.sentence and "more than one statement" in problem.sentence


def test_what_the_calendar_leaves_out_is_not_late(world: World) -> None:
    days = 'rows=2, calendar=Calendar(dates=["2024-06-20"]), grace=0'
    checks = CHECKS.replace("import Check", "import Calendar, Check").replace("rows=2", days)
    (world.root / "checks" / "all.py").write_text(checks)
    code, said, _ = dq(world, "status", "raw", "--date", "2024-06-24")
    assert code == 1 and "nothing is promised of it" in said and "late" not in said
    assert "partition 2024-06-20 was due" in dq(world, "status", "raw")[1]
    assert "for 1 named day" in dq(world, "sla", "status", "raw")[1]
    (world.root / "checks" / "all.py").write_text(checks.replace("2024-06-20", "2030-01-01"))
    assert "partition 2024-06-24 is not there" in dq(world, "status", "raw")[1]


def test_a_budget_that_is_spent_is_an_incident_and_the_report_says_so(world: World, tmp_path) -> None:
    checks = CHECKS.replace('rows=2, warn_before="30m", dag="collect"', 'rows=2, on_time="60%"')
    (world.root / "checks" / "all.py").write_text(checks)
    world.round("00:10")
    assert "raw/budget: in time" not in world.open()
    world.round("01:05")  # one of two is late, and one of five may be
    assert world.open()["raw/budget: in time"] == "error"
    told = " ".join(json.dumps(post) for post in world.receivers.slack.posts)
    assert "1 of 2 partitions in time in 28d (50%, promised 60%)" in told
    _, said, _ = dq(world, "sla", "status")
    assert ["raw", "-25%"] in [[line.split()[0], line.split()[-2]] for line in said.splitlines() if line.strip()]
    document = json.loads(dq(world, "sla", "status", "raw", "--json")[1])
    assert document["promises"][0]["budgets"] == [{"what": "on_time", "goal": 0.6, "left": -0.25, "state": "spent"}]
    code, said, _ = dq(world, "sla", "report", "--html", str(tmp_path / "sla.html"))
    assert code == 1
    assert "raw: error: 1 of 2 partitions in time in 28d (50%, promised 60%)" in said
    assert "2024-06-25 01:00 raw: missing" in said
    assert "SLA report" in (tmp_path / "sla.html").read_text()
    code, said, _ = dq(world, "sla", "report", "raw", "--json")
    (promise,) = json.loads(said)["datasets"]
    assert [promise["days"]["28"][word] for word in ("promised", "in_time", "missing")] == [2, 1, 1]
    world.rows(2)
    for day in (26, 27):
        world.rows(2, f"2024-06-{day - 1}")
        world.round("00:30", day)
        world.round("01:05", day)
    assert "raw/budget: in time" not in world.open()


def test_a_share_that_is_no_longer_promised_is_no_incident(world: World) -> None:
    shares = 'rows=2, on_time="60%", window="7d"'
    (world.root / "checks" / "all.py").write_text(CHECKS.replace("rows=2", shares))
    world.round("01:05")
    assert {"raw/budget: in time", "raw/2024-06-24"} <= world.open().keys()
    longer = CHECKS.replace("rows=2", 'rows=2, on_time="10%", window="60d"')
    (world.root / "checks" / "all.py").write_text(longer)
    world.round("01:06")
    assert "raw/budget: in time" not in world.open(), "half of it is in time, and that is enough now"
    (world.root / "checks" / "all.py").write_text(CHECKS.replace("rows=2", shares))
    world.round("01:07")
    assert "raw/budget: in time" in world.open()
    (world.root / "checks" / "all.py").write_text(CHECKS)
    world.round("01:08")
    assert "raw/budget: in time" not in world.open() and "raw/2024-06-24" in world.open()


def test_what_cannot_be_judged_is_named_and_no_success(world: World) -> None:
    odd = 'from dq import Dataset, Sla\nodd = Dataset("odd", sla=Sla(within="1h", calendar="XX", dag="collect"))\n'
    (world.root / "checks" / "odd.py").write_text(odd)
    early = "2024-06-24T05:40:00+00:00"
    for words in (["sla", "check"], ["sla", "status"], ["sla", "report"], ["watch", "--once"]):
        code, _, said = dq(world, *words, now=early)
        assert (code, said.count("knows no such place")) == (2, 1), words
    code, _, said = dq(world, "sla", "status", "odd", now=early)
    assert code == 2 and "knows no such place" in said
    code, said, _ = dq(world, "status", "odd", now=early)
    assert code == 1 and "what is promised of it cannot be judged" in said


def test_an_airflow_that_is_not_in_the_settings_is_the_cause(world: World) -> None:
    (world.root / "checks" / "all.py").write_text(CHECKS.replace('task="load"', 'task="load", airflow="prod"'))
    world.round("00:10")
    world.round("02:01")
    kept = world.kept("load")["2024-06-24"]
    assert kept.answer is Answer.SOURCE_DOWN and "there is no [airflow.prod]" in kept.cause


def test_every_incident_says_which_airflow_it_is_about(world: World) -> None:
    two = TOML + '[airflow.other]\nurl = "http://127.0.0.1:9"\ntimeout = "1s"\n'
    (world.root / "dq.toml").write_text(two)
    (world.root / "checks" / "all.py").write_text(CHECKS.replace('dag="collect"', 'dag="collect", airflow="main"'))
    world.round("02:01")
    alerts = app.alerts(app.open_project(world.root))
    said = {(a.incident.key.kind, a.incident.key.subject): a.incident.labels.get("airflow") for a in alerts}
    assert said == {("sla", "raw"): "main", ("sla", "load"): "main", ("airflow", "other"): "other"}
    (world.root / "dq.toml").write_text(TOML)
    (world.root / "checks" / "all.py").write_text(CHECKS)
    world.round("02:02")
    alerts = app.alerts(app.open_project(world.root))
    assert {a.incident.labels.get("airflow") for a in alerts} == {"main"}, "the only one need not be named"


def test_status_counts_what_is_late_and_misses_a_watcher_that_fell_silent(world: World) -> None:
    world.round("01:01")
    world.round("00:10", 26)
    code, said, warned = dq(world, "sla", "status", "raw", now="2024-06-26T00:10:00+00:00")
    assert code == 1 and "more" not in said and "nobody watches" not in warned
    with sqlite3.connect(world.root / "var" / "store.sqlite") as store:
        store.execute("UPDATE dq_watcher SET seen_at = '2024-06-25 01:01:00.000000'")
    store.close()
    assert "nobody watches now" in dq(world, "sla", "status")[2]
