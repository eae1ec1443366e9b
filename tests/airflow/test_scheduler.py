"""Stages and their checks through a real scheduler with LocalExecutor; its metadata and dq's store on PostgreSQL."""

import shutil

import psutil
import psycopg
import pytest

from tests.airflow.components import COMPONENTS, sessions
from tests.airflow.conftest import make_project

pytestmark = [pytest.mark.airflow, pytest.mark.components, pytest.mark.slow]

DAGS = """
from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator

from dq.airflow import suite_group

START = datetime(2026, 11, 2, tzinfo=UTC)


def work():
    pass


def fail():
    raise FileNotFoundError("the delivery is not there")


def skip():
    raise AirflowSkipException("nothing was delivered")


for name, suite, extract, more in (
    ("all_pass", "good", work, {}),
    ("not_due", "good", work, {"should_run": lambda context: False}),
    ("fails", "bad", work, {}),
    ("unmeasured", "blind", work, {}),
    ("extract_failed", "good", fail, {}),
    ("extract_skipped", "good", skip, {}),
):
    with DAG(name, schedule="@once", start_date=START, catchup=True):
        (
            PythonOperator(task_id="extract", python_callable=extract)
            >> suite_group(suite, group_id="dq", **more)
            >> EmptyOperator(task_id="publish")
            >> EmptyOperator(task_id="tell", trigger_rule="none_failed")
        )

with DAG("branched", schedule="@once", start_date=START, catchup=True):
    way = BranchPythonOperator(task_id="way", python_callable=lambda: "around")
    publish = EmptyOperator(task_id="publish")
    way >> suite_group("good", group_id="dq") >> publish >> EmptyOperator(task_id="tell", trigger_rule="none_failed")
    way >> EmptyOperator(task_id="around")

with DAG("crowd", schedule=None, start_date=START, max_active_runs=4):
    for suite in ("good", "bad"):
        suite_group(suite)
"""
CASES = ["all_pass", "not_due", "fails", "unmeasured", "extract_failed", "extract_skipped", "branched"]
CROWD = [f"2026-11-02T00:0{minute}:00+00:00" for minute in range(4)]  # all of them look at 2026-11-01


@pytest.fixture(scope="module")
def project(line, tmp_path_factory, postgres_server):
    project = make_project(tmp_path_factory.mktemp("scheduled") / "project")
    shutil.rmtree(project / "dags")
    (project / "dags").mkdir()
    (project / "dags" / "staged.py").write_text(DAGS)
    with (project / "dq.toml").open("a") as settings:
        settings.write(f'\n[store]\nurl = "{postgres_server.new_database()}"\n')
    return project


@pytest.fixture(scope="module")
def components(new_components, project):
    components = new_components(project)
    components.airflow.python("-m", "dq.cli", "db", "upgrade", cwd=project)
    components.start()
    yield components
    components.kill()


@pytest.fixture(scope="module")
def cases(components):
    return {dag: (components.wait_for_run(dag), components.tasks(dag)) for dag in CASES}


@pytest.fixture
def store(project):
    url = (project / "dq.toml").read_text().rsplit('"', 2)[1].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        yield lambda query, *values: connection.execute(query, values).fetchall()


@pytest.mark.parametrize(
    ("dag", "scans", "close", "gate", "publish", "tell", "run"),
    [
        ("all_pass", "success", "success", "success", "success", "success", "success"),
        ("not_due", "skipped", "success", "success", "success", "success", "success"),
        # A task two steps behind a blocked gate runs when its rule is none_failed: a skipped task is no failed one.
        ("fails", "success", "success", "success", "skipped", "success", "success"),
        ("unmeasured", "failed", "success", *["upstream_failed"] * 3, "failed"),
        ("extract_failed", "upstream_failed", "success", *["upstream_failed"] * 3, "failed"),
        ("extract_skipped", "skipped", "success", "skipped", "skipped", "success", "success"),
        ("branched", "skipped", "success", "skipped", "skipped", "success", "success"),
    ],
)
def test_a_stage_its_checks_and_the_next_stage(components, cases, dag, scans, close, gate, publish, tell, run):
    state, tasks = cases[dag]
    others = {"dq.should_run", "dq.close", "dq.gate", "extract", "publish", "tell", "way", "around"}
    found = {tasks[task] for task in tasks.keys() - others}
    told = (found, tasks["dq.close"], tasks["dq.gate"], tasks["publish"], tasks["tell"], state)
    assert told == ({scans}, close, gate, publish, tell, run), components.logs()


def test_each_suite_that_was_due_has_one_run_and_that_is_closed(components, cases, store):
    found = store("SELECT origin, interval_start::text, closed_version = version FROM dq_run WHERE origin !~ 'crowd'")
    closed = sorted((origin.split("__")[0], start) for origin, start, closed in found if closed)
    assert closed == [
        (f"airflow:{dag}:scheduled", "2026-11-01 00:00:00")
        for dag in ("all_pass", "extract_failed", "fails", "unmeasured")
    ]


def test_nothing_listens_beyond_loopback(components, cases):
    pids = [pid for name in COMPONENTS[components.airflow.line] for pid in components.processes(name)]
    listening = [c.laddr for pid in pids for c in psutil.Process(pid).net_connections("inet") if c.status == "LISTEN"]
    assert [address for address in listening if address.ip != "127.0.0.1"] == []
    assert (components.port in {address.port for address in listening}) == (components.airflow.line == "3.3")


def test_workers_at_once_open_one_incident(components, cases, store):
    ids = [components.trigger("crowd", logical_date=at) for at in CROWD]
    assert [components.wait_for_run("crowd", run) for run in ids] == ["success"] * len(ids)
    worked = components.rows(
        "SELECT pid, start_date, end_date FROM task_instance WHERE dag_id = 'crowd' AND task_id LIKE '%%scan%%'"
    )
    assert len({pid for pid, _, _ in worked}) == len(worked) == 3 * len(CROWD)
    assert max(sum(b < at < e for _, b, e in worked) for _, at, _ in worked) >= 1, "no two were at work at once"
    closed = store("SELECT closed_version = version FROM dq_run WHERE origin ~ 'crowd'")
    assert closed == [(True,)] * 2 * len(CROWD)
    assert store("SELECT part, count(*) FROM dq_incident WHERE subject = 'bad' GROUP BY part") == [
        ("amount is positive", 1)
    ]


def test_a_task_that_is_cleared_measures_again(components, cases, store):
    (run,) = components.runs("fails")
    scanned = "SELECT try_number FROM task_instance WHERE dag_id = 'fails' AND task_id = 'dq.close'"
    ((before,),) = components.rows(scanned)
    components.clear("fails", run, "dq.scan")
    components.wait_for(lambda: components.rows(scanned) == [(before + 1,)], 120, "the close is tried again")
    assert components.wait_for_run("fails", run) == "success"
    assert components.tasks("fails", run)["publish"] == "skipped"
    assert store("SELECT count(*) FROM dq_incident WHERE subject = 'bad'") == [(1,)]


def test_a_scheduler_that_was_killed_leaves_nothing_and_goes_on_when_it_is_there_again(components, cases):
    there = components.processes("scheduler")
    assert len(there) > 1
    components.kill("scheduler")
    assert not {*there} & sessions().keys()
    components.pause("crowd")
    run = components.trigger("crowd", logical_date="2026-11-02T01:00:00+00:00")
    assert components.runs("crowd")[run] == "queued"
    components.start("scheduler")
    components.pause("crowd", paused=False)
    assert components.wait_for_run("crowd", run) == "success"
