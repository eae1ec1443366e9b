"""SLAs of tasks and DAG runs on real Airflow components: who is late is paged and resolved once, and nobody else.

A watch DAG judges, inside Airflow; PagerDuty is a receiver on loopback that keeps the state which the vendor keeps; the
store is on PostgreSQL.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from dq.model.severity import Severity
from tests.airflow.conftest import make_project
from tests.receivers import ONCALL, TEAM, Receivers

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.components]

ROUTES = f"""{ONCALL}{TEAM}
[route]
channels = ["oncall"]
group_wait = "0s"
group_interval = "0s"

[[route.routes]]
matchers = ['dag=~"warned|climbs"']
channels = ["team", "oncall"]
"""

# A task waits for a file, as long as a test wants; what is late is due within a time that a busy machine keeps.
DAGS = """
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, task

from dq import Calendar
from dq.airflow import sla

DEADLINES = os.environ["LINE"] != "2.11"
SOON, LATER = os.environ["SOON"], os.environ["LATER"]
FILES = Path(os.environ["FILES"])


def until(name):
    while not (FILES / name).exists():
        time.sleep(0.5)


@task
def work(name=None, seconds=0):
    time.sleep(seconds)
    if name:
        until(name)


@task
def broken(name):
    if not (FILES / name).exists():
        raise RuntimeError("it does not work yet")


@task
def skipped():
    raise AirflowSkipException


@task
def each(number, name):
    if number == 2:
        until(name)


def dag(name):
    return DAG(name, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC), max_active_runs=4)


with dag("never_starts"):
    first, then = work("never_starts"), work.override(task_id="then")()
    first >> sla(then, within=SOON, on_miss="alerts:tell")

with dag("runs_over") as runs_over:
    sla(work("runs_over"), within=SOON)
    if DEADLINES:
        sla(runs_over, within=SOON)

with dag("fails_early"):
    sla(broken("fails_early"), within=SOON)

with dag("in_time") as in_time:
    sla(work(), within=LATER) >> sla(skipped(), within=LATER)
    if DEADLINES:
        sla(in_time, within=LATER)

with dag("skips"):
    sla(skipped(), within=SOON) >> work.override(task_id="after")("skips")

with dag("by_hand"):
    sla(work("by_hand"), within=SOON)

if DEADLINES:
    with dag("mapped"):
        sla(each.partial(name="mapped").expand(number=[1, 2, 3]), within=SOON)

with dag("killed"):
    sla(work("killed"), within=SOON)

with dag("stopped"):
    first, then = work("stopped"), work.override(task_id="then")()
    first >> sla(then, within=SOON)

with dag("marked"):
    sla(work("marked"), within=SOON)

with dag("deleted"):
    sla(broken("deleted"), within=SOON)

with dag("by_the_clock"):
    sla(work("by_the_clock"), due=os.environ["CLOCK"], tz="Europe/Berlin")

with DAG("filled", schedule="0 0 * * *", start_date=datetime.now(UTC) - timedelta(days=3), catchup=True):
    sla(work(), within=SOON)

with dag("warned"):
    sla(work("warned"), within=LATER, warn_before=os.environ["ALMOST_AT_ONCE"])

with dag("climbs"):
    sla(work("climbs"), within="20s", grace="10s", warning=0, critical="90s")

with DAG("on_no_day", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    sla(work(seconds=60), within="20s", calendar=Calendar(dates=["2026-01-01"]))

with dag("finished_late"):
    sla(work("finished_late"), within=SOON)

if not DEADLINES:
    with DAG("by_schedule", schedule=timedelta(minutes=1), start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False,
             max_active_runs=2, is_paused_upon_creation=True):
        sla(work.override(task_id="slow")(seconds=30), within="10s")
"""

WATCH = """
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

with DAG("watch", schedule=timedelta(seconds=15), start_date=datetime(2026, 1, 1, tzinfo=UTC), catchup=False,
         max_active_runs=1):

    @task
    def watch(here):
        from dq import app
        from dq.airflow.seen import look

        project = app.open_project(Path(here))
        look(project)
        app.sla_check(project)

    watch(str(Path(__file__).parent))
"""

TELL = """
import json
import os
from pathlib import Path


def tell(dag, task_list, blocking_task_list, slas, blocking_tis):
    told = [dag.dag_id, task_list, blocking_task_list, [s.task_id for s in slas], [b.state for b in blocking_tis]]
    with (Path(os.environ["FILES"]) / "told.jsonl").open("a") as out:
        print(json.dumps(told), file=out)
"""

SOON, LATER = 60, 900
"""Seconds: what is late, and what is in time however busy the machine is."""


class World:
    """Airflow, dq and a pager, and what is known of them."""

    def __init__(self, components, receivers, store, files):
        self.airflow, self.receivers, self.store, self.files = components, receivers, store, files

    def let(self, name):
        """Let the task go on that waits for this."""
        (self.files / name).touch()

    def hold(self, name):
        """Let the task wait again."""
        (self.files / name).unlink(missing_ok=True)

    def pager(self):
        """Return how often each key was opened and resolved."""
        keys = self.receivers.pagerduty.alerts
        return {key.removeprefix("test/sla/"): (alert.opens, alert.resolves) for (_, key), alert in keys.items()}

    def wait_for_page(self, key, opens=1, resolves=0, seconds=150):
        def there():
            return self.pager().get(key) == (opens, resolves)

        self.airflow.wait_for(there, seconds, f"{key} is opened {opens} and resolved {resolves} times: {self.pager()}")

    def rows(self, query, *values):
        with psycopg.connect(self.store) as connection:
            return connection.execute(query, values).fetchall()

    def misses(self):
        """Return how often each subject was written down as missed."""
        return dict(self.rows("SELECT subject, count(*) FROM dq_event WHERE name = 'sla_missed' GROUP BY subject"))


def back_fill(dag):
    begin = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=9)
    return {"dag_id": dag, "from_date": begin.isoformat(), "to_date": (begin + timedelta(days=1)).isoformat()}


def berlin_minute(at):
    return f"{at.astimezone(ZoneInfo('Europe/Berlin')):%H:%M}"


@pytest.fixture(scope="module")
def world(line, new_components, postgres_server, tmp_path_factory):
    root = tmp_path_factory.mktemp("sla")
    project, files = make_project(root / "project"), root / "files"
    files.mkdir()
    store = postgres_server.new_database()
    for file, text in (("dags/late.py", DAGS), ("dags/watch.py", WATCH), ("dags/alerts.py", TELL)):
        (project / file).write_text(text)
    for file in (project / "dags").glob("*.py"):
        if file.name not in ("late.py", "watch.py", "alerts.py"):
            file.unlink()
    (project / "alerting").mkdir(exist_ok=True)
    (project / "alerting" / "routes.toml").write_text(ROUTES)
    with (project / "dq.toml").open("a") as toml:
        toml.write('\n[store]\nurl = "env:STORE"\n')
    with Receivers() as receivers:
        components = new_components(
            project,
            DQ_NOW=None,
            AIRFLOW__CORE__PARALLELISM="16",  # tasks that wait for a file must not keep the watch waiting
            STORE=store,
            **receivers.environment("k" * 32),
            LINE=line,
            FILES=str(files),
            SOON=f"{SOON}s",
            LATER=f"{LATER}s",
            ALMOST_AT_ONCE=f"{LATER - 10}s",
            CLOCK=berlin_minute(datetime.now(UTC) + timedelta(minutes=4)),
        )
        components.airflow.python("-m", "dq.cli", "db", "upgrade", cwd=project)
        components.start()
        components.wait_for_dags("never_starts", "watch", "by_the_clock")
        yield World(components, receivers, store.replace("+psycopg", ""), files)
        components.stop()


def now():
    return datetime.now(UTC).isoformat()


LATE = ("task:never_starts.then", "task:runs_over.work", "task:fails_early.broken", "task:by_hand.work",
        "task:by_the_clock.work")  # fmt: skip
LATE_WITH_DEADLINES = ("dag:runs_over", "task:mapped.each", "task:marked.work", "task:deleted.broken")


def test_who_is_late_is_paged_once_and_resolved_once(world, line) -> None:
    airflow, started, late = world.airflow, {}, LATE
    dags = ["never_starts", "runs_over", "fails_early", "in_time", "skips", "by_the_clock"]
    if line != "2.11":
        dags += ["mapped", "marked", "deleted"]
        late += LATE_WITH_DEADLINES
    for dag in dags:
        started[dag] = airflow.trigger(dag, logical_date=now())
    airflow.pause("never_starts")  # what is late is late, also while its DAG is paused
    if line != "2.11":
        airflow._ask("POST", "/api/v2/backfills", back_fill("filled"))
    airflow.trigger("by_hand")  # on 3.3 without a logical date, so that Airflow keeps no deadline for it
    for key in late:
        world.wait_for_page(key, seconds=300)
    airflow.pause("never_starts", paused=False)
    for name in ("never_starts", "runs_over", "fails_early", "mapped", "by_hand", "by_the_clock", "skips"):
        world.let(name)
    airflow.clear("fails_early", started["fails_early"], "broken")
    if line != "2.11":
        marked = f"/api/v2/dags/marked/dagRuns/{started['marked']}/taskInstances/work"
        airflow._ask("PATCH", marked, {"new_state": "success"})
        airflow._ask("DELETE", f"/api/v2/dags/deleted/dagRuns/{started['deleted']}")
    for key in late:
        world.wait_for_page(key, resolves=1, seconds=300)
    # Neither what a new DAG catches up with nor a back-fill is late, though their time is long over.
    filled = airflow.runs("filled")
    assert len(filled) == (3 + 2 if line != "2.11" else 2), filled  # of 2.11 a day has a run when it is over
    assert set(filled.values()) == {"success"}, filled
    assert world.pager() == dict.fromkeys(late, (1, 1))
    assert world.misses() == dict.fromkeys(late, 1)
    told = [json.loads(text) for text in (world.files / "told.jsonl").read_text().splitlines()]
    (at,) = {line[1].rpartition(" ")[2] for line in told}
    assert told == [["never_starts", f"then on {at}", f"then on {at}", ["then"], [None]]]


def test_a_warning_before_it_is_due_pages_nobody_and_what_is_late_gets_worse(world) -> None:
    airflow, before = world.airflow, world.pager()
    for dag in ("warned", "climbs", "on_no_day"):
        airflow.trigger(dag, logical_date=now())

    def severities(dag):
        query = "SELECT severity, ended_at IS NULL FROM dq_incident WHERE subject = %s"
        return world.rows(query, f"task:{dag}.work")

    def told(dag):
        return [post for post in world.receivers.slack.posts if f"{dag}.work" in json.dumps(post)]

    airflow.wait_for(lambda: severities("warned") == [(Severity.WARNING, True)], 150, "it is warned of")
    airflow.wait_for(lambda: told("warned"), 60, "the team is told")
    world.wait_for_page("task:climbs.work")
    assert severities("climbs") == [(Severity.WARNING, True)]
    world.let("warned")
    airflow.wait_for(lambda: severities("climbs") == [(Severity.CRITICAL, True)], 240, "it gets worse")
    world.let("climbs")
    world.wait_for_page("task:climbs.work", resolves=1)
    airflow.wait_for(lambda: severities("warned") == [(Severity.WARNING, False)], 60, "the warning is over")
    assert world.pager() == before | {"task:climbs.work": (1, 1)}
    assert world.rows("SELECT run FROM dq_promise WHERE subject = 'on_no_day.work'") == []


def test_a_triggerer_that_is_killed_in_the_callback(world, line) -> None:
    if line == "2.11":
        pytest.skip("Airflow 2.11 has no deadlines")
    airflow = world.airflow
    before = world.pager()
    at = datetime.now(UTC) - timedelta(minutes=2)  # the deadline is over at once; the callback waits until it is due
    airflow.trigger("killed", logical_date=at.isoformat())
    running = "SELECT 1 FROM callback WHERE state = 'running' AND data::text LIKE '%%deadlines.look%%killed%%'"
    airflow.wait_for(lambda: airflow.rows(running), 60, "the callback runs")
    airflow.kill("triggerer")
    airflow.start("triggerer")
    world.wait_for_page("task:killed.work", seconds=240)
    world.let("killed")
    world.wait_for_page("task:killed.work", resolves=1)
    assert world.pager() == before | {"task:killed.work": (1, 1)}


def test_a_task_that_finished_late_before_the_callback_ran(world, line) -> None:
    if line == "2.11":
        pytest.skip("Airflow 2.11 has no deadlines")
    airflow = world.airflow
    before = world.pager()
    airflow.stop("triggerer")
    run = airflow.trigger("finished_late", logical_date=now())
    time.sleep(SOON + 2)
    world.let("finished_late")
    airflow.wait_for_run("finished_late", run)
    airflow.start("triggerer")
    subject = "task:finished_late.work"
    airflow.wait_for(lambda: world.misses().get(subject) == 1, 150, "the miss is written down")
    ended = "SELECT ended FROM dq_incident WHERE subject = %s"
    airflow.wait_for(lambda: world.rows(ended, subject) == [("recovered_untold",)], 60, "and that it is over")
    assert world.pager() == before  # a pager that knows of nothing is told nothing


def test_a_scheduler_that_is_stopped_across_a_deadline(world) -> None:
    airflow = world.airflow
    before = world.pager()
    run = airflow.trigger("stopped", logical_date=now())
    airflow.wait_for(lambda: airflow.tasks("stopped", run).get("work") == "running", 120, "the first task runs")
    airflow.kill("scheduler")
    time.sleep(SOON)
    assert world.pager() == before
    airflow.start("scheduler")
    world.wait_for_page("task:stopped.then", seconds=240)
    world.let("stopped")
    world.wait_for_page("task:stopped.then", resolves=1, seconds=300)
    assert world.pager() == before | {"task:stopped.then": (1, 1)}


def test_what_is_in_time_pages_nobody(world) -> None:
    rows = world.rows("SELECT subject, run FROM dq_promise WHERE subject LIKE 'in_time%%' AND settled_at IS NULL")
    assert rows == []
    assert not [key for key in world.pager() if "in_time" in key or "skips" in key]


ROUNDS = {
    "never_starts": ("task:never_starts.then",),
    "runs_over": ("task:runs_over.work", "dag:runs_over"),
    "killed": ("task:killed.work",),
    "stopped": ("task:stopped.then",),
}
"""DAGs that are late when they are kept waiting, and what is paged then."""


@pytest.mark.soak
def test_round_after_round_who_is_late_is_paged_and_resolved_once(world, line, histories) -> None:
    """Some are late, some are not, and a component may be killed meanwhile."""
    airflow = world.airflow
    for rng in histories(1, 10):
        before = world.pager()
        late = rng.sample(sorted(ROUNDS), rng.randint(1, 3))
        for name in ROUNDS:
            (world.hold if name in late else world.let)(name)
        runs = {name: airflow.trigger(name, logical_date=now()) for name in ROUNDS}
        for name in ROUNDS.keys() - set(late):
            assert airflow.wait_for_run(name, runs[name]) == "success"
        if victim := rng.choice([None, "triggerer", "scheduler"]):
            airflow.kill(victim)
            airflow.start(victim)
        keys = [key for name in late for key in ROUNDS[name] if line != "2.11" or not key.startswith("dag:")]
        was = {key: before.get(key, (0, 0)) for key in keys}
        for key, (opens, resolves) in was.items():
            world.wait_for_page(key, opens + 1, resolves, seconds=300)
        for name in late:
            world.let(name)
        for key, (opens, resolves) in was.items():
            world.wait_for_page(key, opens + 1, resolves + 1, seconds=300)
        assert world.pager() == before | {key: (opens + 1, resolves + 1) for key, (opens, resolves) in was.items()}


def test_the_hook_of_airflow_2_is_called_by_it(world, line) -> None:
    """The last test: its DAG is late in every run, beside whatever else is watched."""
    if line != "2.11":
        pytest.skip("Airflow 3 calls no sla_miss_callback")
    world.airflow.pause("by_schedule", paused=False)
    query = "SELECT 1 FROM dq_observation WHERE subject = 'by_schedule.slow' AND source = 'sla_miss_callback'"
    world.airflow.wait_for(lambda: world.rows(query), 300, "the hook wrote down who is late")
    world.airflow.pause("by_schedule")
