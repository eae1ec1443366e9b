"""Callbacks on a real Airflow: what a task, a run and a deadline tell dq, and what it keeps of it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.airflow.conftest import make_project

pytestmark = pytest.mark.airflow

ROUTES = """
[channels.hook]
type = "webhook"
url = "env:HOOK_URL"
secret = "env:HOOK_SECRET"
[route]
channels = ["hook"]
"""
DAYS = {day: f"2026-11-0{day}T00:00:00+00:00" for day in (1, 2, 3)}


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    """An Airflow whose DAG files tell dq."""
    project = make_project(tmp_path_factory.mktemp("notices") / "project")
    shutil.rmtree(project / "dags")
    (project / "dags").mkdir()
    shutil.copy(Path(__file__).parent / "notices" / "notices.py", project / "dags")
    (project / "alerting").mkdir()
    (project / "alerting" / "routes.toml").write_text(ROUTES)
    return new_airflow(
        project, AIRFLOW__API__BASE_URL="http://air.test/", AIRFLOW__WEBSERVER__BASE_URL="http://air.test"
    )


def incidents(airflow, dag):
    """What there is of a DAG, by part."""
    names = ("part", "severity", "sentence", "labels", "links", "ended")
    rows = airflow.store(f"SELECT {', '.join(names)} FROM dq_incident WHERE kind = 'dag' AND subject = ?", dag)
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


@pytest.fixture(scope="module")
def broken(airflow):
    """The runs in which tasks fail, and what dq knew after them."""
    (airflow.dags / "broken").touch()
    done = airflow.drive(
        {"dag": "shop", "logical_date": DAYS[2]}, "retried", "loud", "mapped", {"dag": "last", "logical_date": DAYS[2]}
    )
    (airflow.dags / "broken").unlink()
    assert done["import_errors"] == {}
    runs = {run["dag"]: run for run in done["runs"]}
    messages = [json.loads(text) for (text,) in airflow.store("SELECT message FROM dq_outbox")]
    return {"runs": runs, "messages": messages} | {dag: incidents(airflow, dag) for dag in runs}


@pytest.fixture(scope="module")
def mended(airflow, broken):
    """The same without what broke them: first a back-fill, then newer runs."""
    old = airflow.drive({"dag": "shop", "logical_date": DAYS[1]})
    before = incidents(airflow, "shop")
    new = airflow.drive(
        {"dag": "shop", "logical_date": DAYS[3]}, "mapped", {"dag": "last", "logical_date": DAYS[3]}, "astray"
    )
    runs = {run["dag"]: run for run in new["runs"]}
    return {"runs": runs, "old": old["runs"][0], "before": before}


def test_a_task_that_fails_is_an_incident(broken):
    run = broken["runs"]["shop"]
    assert run["state"] == "failed"
    failed = broken["shop"]["user_level.load"]
    assert failed["severity"] == 3 and failed["ended"] is None
    assert failed["sentence"] == "try 1 of 1 failed: ValueError: no table at (address) password=•••"
    assert json.loads(failed["labels"]) == {
        "_run": run["run_id"], "dag": "shop", "task": "user_level.load", "owner": "sales", "tags": "a,b",
    }  # fmt: skip
    links = json.loads(failed["links"])
    assert list(links) == ["DAG run", "Log", "Task"]
    assert all(link.startswith("http://air.test/dags/shop/") for link in links.values())
    assert "user_level.load" in links["Task"] and "user_level.load" in links["Log"]
    assert "hunter2" not in json.dumps(broken["shop"]) and "ada@" not in json.dumps(broken["shop"])


def test_what_stands_behind_it_is_none(broken):
    assert broken["shop"].keys() == {"user_level.load", "the run"}


def test_a_run_that_fails_is_an_incident_of_the_same_group(broken):
    failed = broken["shop"]["the run"]
    assert failed["severity"] == 4
    assert failed["sentence"].startswith("the run failed: a task failed")
    links = json.loads(failed["links"])
    assert links["Runbook"] == "https://wiki.test/shop"
    assert links["DAG run"].startswith("http://air.test/dags/shop/")


def test_a_retry_is_written_down_only(airflow, broken):
    assert broken["runs"]["retried"]["tasks"] == {"shaky": "success"}
    assert broken["retried"] == {}
    ((body,),) = airflow.store("SELECT body FROM dq_event WHERE subject = 'retried'")
    assert json.loads(body)["sentence"] == "try 1 of 2 failed, and it is tried again: RuntimeError: the first try"


def test_a_retry_may_be_an_incident(broken):
    (shaky,) = broken["loud"].values()
    assert (shaky["severity"], shaky["ended"]) == (2, "recovered")


def test_mapped_tasks_are_told_apart(broken, airflow, mended):
    assert {part: one["ended"] for part, one in broken["mapped"].items()} == {"one[0]": None, "one[2]": None}
    assert {one["ended"] for one in incidents(airflow, "mapped").values()} == {"recovered"}


def test_a_back_fill_closes_nothing_newer(mended):
    assert mended["old"]["state"] == "success"
    assert {one["ended"] for one in mended["before"].values()} == {None}


def test_a_newer_run_closes(airflow, mended):
    assert mended["runs"]["shop"]["state"] == "success"
    assert {part: one["ended"] for part, one in incidents(airflow, "shop").items()} == {
        "user_level.load": "recovered", "the run": "recovered",
    }  # fmt: skip


def test_a_last_task_tells_how_the_run_ended_and_turns_nothing_green(airflow, broken, mended):
    assert broken["runs"]["last"]["state"] == "failed"
    assert broken["runs"]["last"]["tasks"]["finished"] == "success"
    (message,) = [message for message in broken["messages"] if message["subject"] == "last"]
    assert message["title"] == "TEST - DAG last: pipeline failed at 1/2 work"
    assert message["summary"].startswith("1/2 work: failed")  # how long it took, dag.test() of Airflow 2 does not say
    assert message["summary"].endswith(", 2/2 after: did not run, pipeline failed")
    *_, (text,) = airflow.store("SELECT message FROM dq_outbox ORDER BY id")
    after = json.loads(text)
    assert mended["runs"]["last"]["state"] == "success"
    assert after["title"] == "TEST - DAG last: pipeline completed"


def test_what_cannot_be_recorded_is_said_and_breaks_nothing(mended):
    run = mended["runs"]["astray"]
    assert run["state"] == "success" and set(run["tasks"].values()) == {"success"}
    assert "dq: nothing was recorded of what happened: there is no dq.toml in /nowhere or above it" in run["log"]
    assert "dq: nothing was recorded of how the run ended: " in run["log"]


OF_A_DEAD_PROCESS = """
import sys, uuid
from datetime import UTC, datetime

try:
    import structlog
    from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun, TaskInstance, TIRunContext
    from airflow.callbacks.callback_requests import TaskCallbackRequest
    from airflow.dag_processing.dagbag import DagBag
    from airflow.dag_processing.processor import _execute_callbacks
except ImportError:
    print("Airflow 2")
    sys.exit()
bag, at = DagBag(sys.argv[1]), datetime(2026, 11, 5, tzinfo=UTC)
run = DagRun(
    dag_id="retried", run_id="manual__5", logical_date=at, data_interval_start=None, data_interval_end=None,
    run_after=at, start_date=at, end_date=None, run_type="manual", state="running", consumed_asset_events=[],
    partition_key=None,
)
for number, state in ((1, "up_for_retry"), (2, "failed")):
    ti = TaskInstance(
        id=uuid.uuid4(), task_id="shaky", dag_id="retried", run_id="manual__5", try_number=number,
        dag_version_id=uuid.uuid4(),
    )
    request = TaskCallbackRequest(
        filepath="notices.py", bundle_name="dags-folder", bundle_version=None, ti=ti, task_callback_type=state,
        context_from_server=TIRunContext(dag_run=run, max_tries=1),
    )
    _execute_callbacks(bag, [request], structlog.get_logger())
"""


def test_of_a_process_that_died_the_dag_processor_tells(airflow, broken):
    """Its context has neither a state nor an exception."""
    before = airflow.store("SELECT max(id) FROM dq_event")[0][0]
    if "Airflow 2" in airflow.python("-c", OF_A_DEAD_PROCESS, airflow.dags).splitlines():
        pytest.skip("Airflow 2 gives both")
    told = airflow.store("SELECT name, body FROM dq_event WHERE id > ? AND name LIKE 'task%' ORDER BY id", before)
    assert [name for name, _ in told] == ["task_retried", "task_failed"]
    assert [json.loads(body)["sentence"] for _, body in told] == [
        "try 1 of 2 failed, and it is tried again: no exception is known, its process may have been killed",
        "try 2 of 2 failed: no exception is known, its process may have been killed",
    ]
    assert incidents(airflow, "retried")["shaky"]["ended"] is None


AS_IN_A_TRIGGERER = """
import asyncio, logging, sys
from dq.airflow import DqNotifier

logging.basicConfig(stream=sys.stdout, level=logging.INFO)
run = {"dag_id": "late", "dag_run_id": "manual__1", "logical_date": "2026-11-02T00:00:00Z", "state": sys.argv[2]}
deadline = {"id": "1", "deadline_time": "2026-11-02T06:00:00Z"}
context = {"dag_run": run, "deadline": deadline}
notifier = DqNotifier(severity="warning", project=sys.argv[1] or None, context=context)

async def call():
    await (notifier if hasattr(notifier, "__await__") else notifier.async_notify(context))

asyncio.run(call())
"""


def test_a_deadline_tells_as_a_triggerer_calls_it(airflow):
    airflow.python("-c", AS_IN_A_TRIGGERER, airflow.project, "success")
    assert incidents(airflow, "late") == {}
    airflow.python("-c", AS_IN_A_TRIGGERER, airflow.project, "running")
    (late,) = incidents(airflow, "late").values()
    assert (late["part"], late["severity"]) == ("the deadline", 2)
    assert late["sentence"] == "the deadline of 2026-11-02 06:00:00 UTC passed and the run is running"
    said = airflow.python("-c", AS_IN_A_TRIGGERER, "", "running")
    assert "nothing was recorded of what happened: there is no dq.toml" in said
