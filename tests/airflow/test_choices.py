"""Tasks per suite, scan or check; when a suite is due; a branch behind the gate: all of it on a real Airflow."""

import json

import pytest

from tests.airflow.conftest import make_project

pytestmark = pytest.mark.airflow

DAY = "2026-11-02T00:00:00+00:00"
DAGS = ["branch_good", "branch_bad", "branch_nowhere", "as_one", "as_one_bad", "each", "data_there", "data_missing",
        "data_unknown", "reads_good", "reads_bad", "reads_bad_below", "reads_bad_fails", "reads_unchecked",
        "reads_unknown"]  # fmt: skip


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    return new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"))


@pytest.fixture(scope="module")
def done(airflow):
    specs = [{"dag": dag, "logical_date": DAY} for dag in DAGS]
    specs += [{"dag": "third", "logical_date": f"2026-11-0{day}T00:00:00+00:00"} for day in range(2, 7)]
    # A run that is tried out begins at its logical date, the asset is updated now: between the second and the third.
    turns = ("2026-11-03", "2026-11-04", "2126-11-05", "2126-11-06")
    specs += [{"dag": "deliver"}, *({"dag": "updated", "logical_date": f"{day}T00:00:00+00:00"} for day in turns)]
    done = airflow.drive(*specs)
    assert done["import_errors"] == {}
    return done["runs"]


@pytest.fixture(scope="module")
def tasks(done):
    return {run["dag"]: run["tasks"] for run in done[: len(DAGS)]}


def log(done, dag):
    return next(run["log"] for run in done if run["dag"] == dag)


def checks(airflow, run, dag):
    query = "SELECT scan, check_name, outcome FROM dq_result JOIN dq_run ON dq_run.id = run_id WHERE origin = ?"
    return sorted({*airflow.store(f"{query} AND dq_result.org = ''", f"airflow:{dag}:{run['run_id']}")})


@pytest.mark.parametrize(
    ("dag", "publish", "tell", "repair"),
    [("branch_good", "success", "success", "skipped"), ("branch_bad", "skipped", "skipped", "success")],
)
def test_a_branch_runs_one_or_the_other(tasks, dag, publish, tell, repair):
    assert (tasks[dag]["publish"], tasks[dag]["tell"], tasks[dag]["repair"]) == (publish, tell, repair)


def test_a_branch_that_leads_nowhere_is_one_sentence(tasks, done):
    assert (tasks["branch_nowhere"]["dq.gate"], tasks["branch_nowhere"]["publish"]) == ("failed", "upstream_failed")
    assert "branch('repear') needs that task directly behind the group; there stand publish, repair" in log(
        done, "branch_nowhere"
    )


def test_one_task_takes_all_scans_and_stops_at_none(airflow, tasks, done):
    assert {task for task in tasks["as_one"] if task.startswith("dq.")} == {
        "dq.should_run", "dq.scans", "dq.close", "dq.gate"
    }  # fmt: skip
    assert tasks["as_one"]["publish"] == "success"
    assert tasks["as_one_bad"]["dq.scans"] == "failed", "a check could not be measured"
    run = next(run for run in done if run["dag"] == "as_one_bad")
    assert [(scan, outcome) for scan, _, outcome in checks(airflow, run, "as_one_bad")] == [
        ("scan", "fail"), ("scan", "pass"), ("scan", "unmeasured"), ("scan_by_org", "pass"),
    ]  # fmt: skip


def test_each_check_is_a_task_of_its_own(airflow, tasks, done):
    states = {task.removeprefix("dq."): state for task, state in tasks["each"].items()}
    assert {name: state for name, state in states.items() if name.startswith("check_")} == {
        "check_an_id": "success", "check_no_such_column": "failed", "check_amounts": "success",
        "check_by_org": "success",
    }  # fmt: skip
    assert (states["close"], states["gate"], states["publish"]) == ("success", "upstream_failed", "upstream_failed")
    run = next(run for run in done if run["dag"] == "each")
    assert checks(airflow, run, "each") == [
        ("check_amounts", "amounts", "fail"), ("check_an_id", "an id", "pass"), ("check_by_org", "by org", "pass"),
        ("check_no_such_column", "no such column", "unmeasured"),
    ]  # fmt: skip


def test_a_query_says_whether_the_suite_is_due(tasks, done):
    assert {tasks["data_there"]["dq.scan"], tasks["data_there"]["publish"]} == {"success"}
    assert (tasks["data_missing"]["dq.scan"], tasks["data_missing"]["publish"]) == ("skipped", "success")
    assert tasks["data_unknown"]["dq.should_run"] == "failed"
    assert "deliverys" in log(done, "data_unknown")


@pytest.mark.parametrize(
    ("dag", "require", "publish", "said"),
    [
        ("reads_good", "success", "success", ""),
        ("reads_bad", "success", "skipped", "bad 2026-11-01 is not good: amount is positive: 1 of 4 rows"),
        ("reads_bad_below", "success", "success", ""),
        ("reads_bad_fails", "failed", "upstream_failed", "bad 2026-11-01 is not good: amount is positive: 1 of 4 rows"),
        ("reads_unchecked", "success", "skipped", "restated 2026-11-01 was not checked"),
        ("reads_unknown", "failed", "upstream_failed", "godd"),
    ],
)
def test_a_consumer_starts_only_when_its_data_were_checked_and_are_good(tasks, done, dag, require, publish, said):
    assert (tasks[dag]["require"], tasks[dag]["publish"]) == (require, publish)
    assert said in log(done, dag)


def test_one_of_three_runs_is_due(done):
    third = [run["tasks"]["dq.scan"] for run in done if run["dag"] == "third"]
    assert third == ["success", "skipped", "skipped", "success", "skipped"]


def test_an_asset_that_was_updated_since_the_last_run_makes_the_suite_due(done):
    updated = [run["tasks"]["dq.scan"] for run in done if run["dag"] == "updated"]
    assert updated == ["success", "success", "success", "skipped"], "the first one; two after which it came; and none"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("on_block='stop'", "on_block='stop' is not one of skip, fail, continue, branch"),
        ("tasks='row'", "tasks='row' is not one of suite, scan, check"),
        ("should_run='daily'", "should_run='daily' is neither a function of the Airflow context nor one of"),
        ("of_task={'scn': {}}", "of_task names 'scn'; the tasks that measure are scan, scan_by_org"),
        ("of_task={'scan': {'task_id': 'x'}}", "of_task['scan']: suite_group sets task_id itself"),
        ("sla=1", "suite_group does not take sla=, which Airflow 3 ignores; the suite itself does: sla=Sla(...)"),
        ("tasks='check', of_task={'scan': {}}", "of_task names 'scan'; the tasks that measure are check_enough_rows"),
    ],
)
def test_what_cannot_mean_anything_is_said_at_parse(airflow, arguments, said):
    code = f"""
from airflow.providers.common.compat.sdk import DAG
from dq.airflow import suite_group
from dq.model.errors import DqError
try:
    with DAG("d", schedule=None):
        suite_group("good", project={str(airflow.project)!r}, {arguments})
except DqError as error:
    print(error)
"""
    assert said in airflow.python("-c", code)


def test_a_parse_loads_the_declarations_once_and_anew_when_they_change(new_airflow, tmp_path):
    project = make_project(tmp_path / "project")
    counted = project / "checks/counted.py"
    counted.write_text("with open('loads', 'a') as loads:\n    loads.write('x')\n")
    code = f"""
import time
from pathlib import Path
from airflow.providers.common.compat.sdk import DAG
from dq.airflow import suite_group
from dq.model.errors import DqError
with DAG("d", schedule=None):
    for number in range(20):
        suite_group("good", group_id=f"g{{number}}", project={str(project)!r})
    loads = len(Path("loads").read_text())
    events = Path({str(project)!r}, "checks/events.py")
    events.write_text(events.read_text().replace('"good"', '"better"'))
    time.sleep(0.3)
    suite_group("better", project={str(project)!r})
    print(loads, len(Path("loads").read_text()))
"""
    assert new_airflow(project).python("-c", code, cwd=tmp_path).split() == ["1", "2"]


def test_pools_and_pods_reach_the_serialized_task(airflow):
    code = f"""
import json
from airflow.providers.common.compat.sdk import DAG
from tests.airflow.inside import DagSerialization
from dq.airflow import suite_group
POD = {{"KubernetesExecutor": {{"image": "x"}}}}
heavy = {{"pool": "heavy", "queue": "big", "priority_weight": 9, "executor_config": POD}}
with DAG("d", schedule=None) as dag:
    suite_group("good", project={str(airflow.project)!r}, queue="q", retries=2, of_task={{"scan_by_org": heavy}})
print(json.dumps(DagSerialization.to_dict(dag)["dag"]["tasks"]))
"""
    written = json.loads(airflow.python("-c", code).splitlines()[-1])
    tasks = {task["__var"]["task_id"]: task["__var"] for task in written}
    heavy, other = tasks["good.scan_by_org"], tasks["good.scan"]
    assert (heavy["pool"], heavy["queue"], heavy["priority_weight"], heavy["retries"]) == ("heavy", "big", 9, 2)
    assert "KubernetesExecutor" in str(heavy["executor_config"])
    assert other["queue"] == "q" and other.get("pool", "default_pool") == "default_pool"
