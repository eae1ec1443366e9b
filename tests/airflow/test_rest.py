"""What real Airflows say through their REST API to somebody outside: what ran, waits, fails, is paused, and is dead."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dq.model.errors import AirflowError
from dq.model.interval import Interval
from dq.project import AirflowSettings
from dq.secret import Secret
from dq.sla.rest import Airflow
from dq.sla.sights import Watched, run_of, sight, unreachable
from tests.airflow.components import WEB

pytestmark = [pytest.mark.airflow, pytest.mark.slow, pytest.mark.components]

DAY = timedelta(days=1)
LOGIN = ("dq", "hunter2")
# Days in UTC, so that each line makes a run of yesterday: 3.3 one of a moment, 2.11 one of a day.
DAGS = """
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

TODAY = datetime.fromisoformat(os.environ["TODAY"])


@task
def load():
    pass


@task
def broken():
    raise RuntimeError("it does not work")


@task
def wait():
    while not Path(os.environ["GO"]).exists():
        time.sleep(0.5)


@task
def each(number):
    if number == 2:
        raise RuntimeError("it does not work")


daily = {"schedule": "0 0 * * *", "start_date": TODAY - timedelta(days=2), "catchup": True}
by_hand = {"schedule": None, "start_date": TODAY - timedelta(days=2)}

with DAG("ran", **daily):
    load()

with DAG("paused", is_paused_upon_creation=True, **daily):
    load()

with DAG("fails", **by_hand):
    broken() >> load()

with DAG("runs", **by_hand):
    wait() >> load()

with DAG("mapped", **by_hand):
    each.expand(number=[1, 2, 3])
"""


class World:
    """A real Airflow and who asks it; today, as its DAGs have it; the runs that were made by hand, by DAG."""

    def __init__(self, components, asking, today, by_hand):
        self.components, self.asking, self.today, self.by_hand = components, asking, today, by_hand

    @property
    def yesterday(self):
        return Interval(self.today - DAY, self.today)

    def sight(self, dag_id, task_id="", partition=None, *, itself=True):
        """Return what is seen of a partition (by default yesterday), as the watcher would ask for it."""
        partition = partition or self.yesterday
        watched = Watched(kind="dag", subject="it", cadence=DAY, dag_id=dag_id, task_id=task_id, itself=itself)
        runs = self.asking.runs([dag_id], partition.start)
        run = run_of(partition, DAY, runs)
        tasks = self.asking.tasks(dag_id, run.run_id) if run and task_id else {}
        return sight(watched, partition, datetime.now(UTC), self.asking.dags([dag_id]).get(dag_id), runs, tasks)


def client(components, **more):
    """Return who asks, by default as somebody who may read."""
    url = Secret(f"http://127.0.0.1:{components.port}", "url", Path())
    given = {"user": LOGIN[0], "password": Secret(LOGIN[1], "password", Path())} | more
    return Airflow(AirflowSettings("real", url, timeout=timedelta(seconds=30), **given))


@pytest.fixture(scope="module")
def world(line, new_components, tmp_path_factory):
    root = tmp_path_factory.mktemp("rest")
    (root / "dags").mkdir()
    (root / "dags" / "watched.py").write_text(DAGS)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    components = new_components(root, TODAY=today.isoformat(), GO=str(root / "go"))
    if line == "2.11":
        components.start(WEB[line])
        user = ["--username", LOGIN[0], "--password", LOGIN[1], "--email", "dq@example.org"]
        components._command("users", "create", "--role", "Viewer", "--firstname", "d", "--lastname", "q", *user)
    components.start()
    components.wait_for_dags("ran", "paused", "fails", "runs", "mapped")
    by_hand = {dag: components.trigger(dag) for dag in ("fails", "runs", "mapped")}
    yield World(components, client(components), today, by_hand)
    (root / "go").touch()
    components.stop()


def test_what_ran_is_there_since_it_ended(world, line) -> None:
    components, asking = world.components, world.asking
    components.wait_for(lambda: len(components.runs("ran")) == (3 if line == "3.3" else 2), 120, "the days are run")
    for run_id in components.runs("ran"):
        assert components.wait_for_run("ran", run_id) == "success"
    dag = asking.dags(["ran", "never"])
    assert [*dag] == ["ran"]
    assert (dag["ran"].paused, dag["ran"].stale, dag["ran"].has_import_errors) == (False, False, False)
    assert dag["ran"].next_run_after == world.today + DAY
    stored = "SELECT run_id, run_type, start_date, end_date FROM dag_run WHERE dag_id = 'ran' ORDER BY id"
    runs = asking.runs(["ran"], world.today - 3 * DAY)
    assert [(run.run_id, run.run_type, run.started_at, run.ended_at) for run in runs] == components.rows(stored)
    assert all(run.run_after <= run.started_at for run in runs)
    query = "SELECT end_date FROM dag_run WHERE dag_id = 'ran' AND data_interval_end = %s"
    ((ended,),) = components.rows(query, world.today)
    seen = world.sight("ran")
    assert (seen.state, seen.at) == ("arrived", ended)
    assert world.sight("ran", itself=False).state == "done"
    ((ended,),) = components.rows(
        "SELECT t.end_date FROM task_instance t JOIN dag_run r ON r.dag_id = t.dag_id AND r.run_id = t.run_id"
        " WHERE t.dag_id = 'ran' AND r.data_interval_end = %s", world.today,
    )  # fmt: skip
    seen = world.sight("ran", "load")
    assert (seen.state, seen.at) == ("arrived", ended)
    assert seen.detail.startswith("run scheduled__") and seen.detail.endswith(", task load: success")
    assert world.sight("ran", "lod").state == "absent"
    assert world.sight("ran", partition=Interval(world.today, world.today + DAY)).state == "waiting"
    long_ago = Interval(world.today - 9 * DAY, world.today - 8 * DAY)
    assert world.sight("ran", partition=long_ago).detail.startswith("Airflow has not made its run; the next one is")


def test_what_did_not_run(world) -> None:
    components = world.components
    assert world.sight("paused").state == "paused"
    assert world.sight("never").detail == "Airflow knows no DAG never, or does not show it"
    assert components.wait_for_run("fails", world.by_hand["fails"]) == "failed"
    ((ended,),) = components.rows("SELECT end_date FROM dag_run WHERE dag_id = 'fails'")
    for task, said in (("", "failed"), ("broken", "failed"), ("load", "upstream_failed")):
        seen = world.sight("fails", task)
        assert (seen.state, seen.detail.rpartition(" ")[2]) == ("failed", said)
        assert task or seen.at == ended


def test_what_still_runs(world) -> None:
    components, run_id = world.components, world.by_hand["runs"]
    components.wait_for(lambda: world.sight("runs", "wait").state == "started", 120, "it runs")
    seen = world.sight("runs", "wait")
    assert seen.detail == f"run {run_id}, task wait: running"
    query = "SELECT start_date FROM task_instance WHERE dag_id = 'runs' AND task_id = 'wait'"
    ((began,),) = components.rows(query)
    assert seen.at == began
    assert world.sight("runs").state == "started"
    assert world.sight("runs", "load").detail == f"run {run_id}, task load: not scheduled"
    assert world.sight("runs", "load").state == "waiting"


def test_a_mapped_task_is_done_when_all_of_it_is(world) -> None:
    components, run_id = world.components, world.by_hand["mapped"]
    assert components.wait_for_run("mapped", run_id) == "failed"
    query = "SELECT state, start_date, end_date FROM task_instance WHERE dag_id = 'mapped' ORDER BY map_index"
    instances = components.rows(query)
    assert [state for state, _, _ in instances] == ["success", "failed", "success"]
    task = world.asking.tasks("mapped", run_id)["each"]
    assert (task.state, task.ended_at) == ("failed", instances[1][2])
    assert task.started_at == min(began for _, began, _ in instances)


def test_how_it_is_doing_and_that_it_is_dead(world, line) -> None:
    components, asking = world.components, world.asking

    def states():
        return {part.name: part.state for part in asking.health()}

    well = {"metadatabase": "healthy", "scheduler": "healthy", "triggerer": "healthy"}
    well["dag_processor"] = "healthy" if line == "3.3" else "unknown"  # there the scheduler does it
    assert states() == well
    beats = {part.name: part.heartbeat for part in asking.health()}
    assert beats["metadatabase"] is None
    assert datetime.now(UTC) - beats["scheduler"] < timedelta(minutes=1)
    components.kill("scheduler")
    components.wait_for(lambda: states()["scheduler"] == "unhealthy", 90, "the scheduler is missed")
    assert states() == well | {"scheduler": "unhealthy"}


def test_who_may_ask(world, line) -> None:
    components = world.components
    if line == "3.3":  # until here everybody was an administrator
        assert client(components, user=None, password=None).dags(["ran"]).keys() == {"ran"}
        components.stop(WEB[line])
        passwords = components.airflow.home / "passwords.json"
        passwords.write_text('{"dq": "hunter2"}')
        components.airflow = components.airflow.with_more({
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "dq:viewer",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__API_AUTH__JWT_SECRET": "t" * 64,
        })  # fmt: skip
        components.start(WEB[line])
        assert world.asking.dags(["ran"]).keys() == {"ran"}  # the token that it has is not good any more
    assert client(components).dags(["ran"]).keys() == {"ran"}
    wrong = {"password": Secret("wrong", "password", Path())}
    nobody = {"user": None, "password": None}
    token = {"token": Secret("wrong", "token", Path())}
    for given in (wrong, nobody, nobody | token):
        with pytest.raises(AirflowError) as refused:
            client(components, **given).dags(["ran"])
        assert not refused.value.down, refused.value
        assert len(client(components, **given).health()) == 4


def test_an_airflow_that_is_gone(world, line) -> None:
    world.components.kill(WEB[line])
    for ask in (world.asking.health, lambda: world.asking.dags(["ran"]), lambda: world.sight("ran")):
        with pytest.raises(AirflowError) as failed:
            ask()
        assert failed.value.down
    watched = Watched(kind="dag", subject="ran", cadence=DAY, dag_id="ran", source="airflow:real")
    seen = unreachable(watched, world.yesterday, datetime.now(UTC), failed.value)
    assert (seen.state, seen.source) == ("unreachable", "airflow:real")
    assert seen.detail == "Airflow real does not answer: no connection, or it broke before the answer"
