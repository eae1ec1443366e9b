"""`dq watch` outside of a real Airflow: a scheduler that is dead pages within a minute, and it all resolves."""

import math
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from dq import app
from dq.model.kept import Answer
from tests.airflow.components import WEB
from tests.conftest import SOAK, measured
from tests.receivers import ONCALL, TEAM, Receivers
from tests.servers import turned_away

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.components, pytest.mark.soak]

EVERY = timedelta(minutes=2)
PROMISED = 60.0
"""Seconds after which a page must have come, at the 95th percentile."""
MANY = 20 if SOAK else 4

DAGS = """
import os
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, task


@task
def collect():
    pass


with DAG(
    "collect",
    schedule="*/2 * * * *",
    start_date=datetime.fromisoformat(os.environ["SINCE"]),
    catchup=True,
    max_active_runs=2,
    # What is killed with the scheduler is tried again: else its data never comes, and nothing resolves.
    default_args={"retries": 5, "retry_delay": timedelta(seconds=5)},
):
    collect()
"""
ROUTES = (
    TEAM
    + ONCALL
    + """
[route]
channels = ["team"]
[[route.routes]]
matchers = ['kind="sla"']
channels = ["oncall"]
"""
)


class Watchers:
    """Watchers as processes of their own, each on a host of its own as far as they know."""

    def __init__(self, root, log):
        self.root, self.log, self.running = root, log, []

    def start(self):
        with self.log.open("a") as log:
            command = [sys.executable, "-m", "dq.cli", "watch", "--every", "5s", "--project", str(self.root)]
            self.running.append(subprocess.Popen(command, stdout=log, stderr=log, env=os.environ.copy()))

    def kill(self):
        process = self.running.pop()
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self):
        for process in self.running:
            process.terminate()
        codes = [process.wait(60) for process in self.running]
        self.running.clear()
        return codes


@pytest.fixture
def world(line, new_components, postgres_url, tmp_path, monkeypatch):
    root = tmp_path / "watched"
    for folder in ("dags", "checks", "alerting"):
        (root / folder).mkdir(parents=True)
    (root / "dags" / "collect.py").write_text(DAGS)
    promise = 'p{n} = Dataset("set{n:02}", sla=Sla(every="2m", within="{late}s", dag="collect"))'
    promises = [promise.format(n=n, late=70 + n) for n in range(MANY)]
    (root / "checks" / "promises.py").write_text("\n".join(["from dq import Dataset, Sla", *promises]) + "\n")
    (root / "alerting" / "routes.toml").write_text(ROUTES)
    now = datetime.now(UTC)
    # The newest partition that is due when somebody looks first has a run, too.
    since = now - (now - datetime(2026, 1, 1, tzinfo=UTC)) % EVERY - 2 * EVERY
    components = new_components(root, SINCE=since.isoformat())
    (root / "dq.toml").write_text(
        f'environment = "prod"\n[store]\nurl = "{postgres_url}"\n'
        f'[airflow.real]\nurl = "http://127.0.0.1:{components.port}"\ntimeout = "5s"\n'
        + ('user = "dq"\npassword = "env:AIRFLOW_PASSWORD"\n' if line == "2.11" else "")
    )
    monkeypatch.setenv("AIRFLOW_PASSWORD", "hunter2")
    with Receivers() as receivers:
        for name, value in receivers.environment("k" * 32).items():
            monkeypatch.setenv(name, value)
        app.upgrade(app.open_project(root))
        if line == "2.11":
            components.start(WEB[line])
            user = ["--username", "dq", "--password", "hunter2", "--email", "dq@example.org"]
            components._command("users", "create", "--role", "Viewer", "--firstname", "d", "--lastname", "q", *user)
        components.start()
        watchers = Watchers(root, tmp_path / "watch.log")
        yield components, receivers, watchers, root, postgres_url
        watchers.stop()
        components.stop()


def kept(root, name):
    since = datetime.now(UTC) - timedelta(hours=1)
    return [one for one in app.kept(app.open_project(root), since, [name]) if one.part]


# On 2.11 only in `make soak`: what the watcher asks of each line is tried in test_rest.py.
@pytest.mark.parametrize(
    "line", ["3.3", *([pytest.param("2.11", marks=pytest.mark.airflow2)] if SOAK else [])], indirect=True
)
def test_a_dead_scheduler_pages_within_a_minute_of_what_was_promised_and_it_resolves(world, request) -> None:
    """One of two watchers is killed with it and started again, and the store takes nobody for a while."""
    components, receivers, watchers, root, store = world
    names = [f"set{n:02}" for n in range(MANY)]
    components.wait_for_dags("collect")
    components.wait_for(lambda: "success" in components.runs("collect").values(), 240, "a first run")
    for _ in range(2):
        watchers.start()

    def calm():  # the very first run waits for an Airflow that begins, and may be late
        once = all(any(one.answer is Answer.ON_TIME for one in kept(root, name)) for name in names)
        return once and not receivers.pagerduty.open_keys

    def pages():
        return {key: (alert.opens, alert.resolves) for (_, key), alert in receivers.pagerduty.alerts.items()}

    components.wait_for(calm, 400, "every promise was kept once")
    before = pages()
    opened: dict[str, datetime] = {}
    over = threading.Event()

    def look():
        while not over.wait(0.1):
            for key in receivers.pagerduty.open_keys:
                opened.setdefault(key, datetime.now(UTC))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        components.wait_for(lambda: set(components.runs("collect").values()) == {"success"}, 60, "no run is under way")
        killed = datetime.now(UTC)
        components.kill("scheduler")
        watchers.kill()
        with turned_away(store):
            time.sleep(15)
        watchers.start()
        components.wait_for(lambda: len(opened) == MANY, 120 + 70 + MANY + 120, "everything is paged")
        late = []
        for name in names:
            first = next(one for one in kept(root, name) if one.answer.overdue and one.due_at > killed)
            assert first.answer in (Answer.NEVER_CREATED, Answer.NEVER_STARTED, Answer.LATE_RUNNING), first
            late.append((opened[f"prod/sla/{name}"] - first.due_at).total_seconds())
        components.start("scheduler")
        components.wait_for(lambda: not receivers.pagerduty.open_keys, 600, "everything is resolved")
    finally:
        over.set()
        looking.join()
    p95 = sorted(late)[math.ceil(0.95 * len(late)) - 1]
    middle = statistics.median(late)
    measured(request.node, MANY, f"deadlines; paged after {middle:.1f} s (median), {p95:.1f} s (95th percentile)")
    assert min(late) > 0
    assert p95 <= PROMISED
    was = {key: before.get(key, (0, 0)) for key in (f"prod/sla/{name}" for name in names)}
    assert pages() == {key: (opens + 1, resolves + 1) for key, (opens, resolves) in was.items()}
    told = " ".join(post["text"] for post in receivers.slack.posts)
    assert "the scheduler of Airflow real is not healthy" in told
    assert watchers.stop() == [0, 0], watchers.log.read_text()[-2000:]
