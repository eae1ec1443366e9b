"""A whole suite as one operator, on a real Airflow, with what a listener sees of it."""

import json

import pytest

from tests.airflow.conftest import make_project
from tests.airflow.test_stages import MEASURE_RARE

pytestmark = pytest.mark.airflow

DAY = "2026-11-02T00:00:00+00:00"
DAGS = [
    "good", "bad", "bad_skips", "bad_continues", "below", "unmeasured", "rare", "looks_back", "reconciled", "unknown",
    "mapped",
]  # fmt: skip

LISTENER = """
import json
from pathlib import Path
from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

SEEN = Path({seen!r})


def saw(what, task_instance):
    task = task_instance.task
    if hasattr(task, "check_results"):
        verdicts = [vars(verdict) for verdict in task.check_results]
        with SEEN.open("a") as seen:
            seen.write(json.dumps([what, task_instance.dag_id, verdicts]) + "\\n")


class Listener:
    @hookimpl
    def on_task_instance_success(self, previous_state, task_instance):
        saw("success", task_instance)

    @hookimpl
    def on_task_instance_failed(self, previous_state, task_instance, error):
        saw("failed", task_instance)


class Plugin(AirflowPlugin):
    name = "sees_verdicts"
    listeners = [Listener()]
"""


@pytest.fixture(scope="module")
def seen_by(tmp_path_factory):
    return tmp_path_factory.mktemp("plugins")


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory, seen_by):
    (seen_by / "sees_verdicts.py").write_text(LISTENER.format(seen=str(seen_by / "seen.jsonl")))
    project = make_project(tmp_path_factory.mktemp("base") / "project")
    return new_airflow(project, AIRFLOW__CORE__PLUGINS_FOLDER=str(seen_by))


@pytest.fixture(scope="module")
def runs(airflow):
    airflow.python("-c", MEASURE_RARE, cwd=airflow.project)
    done = airflow.drive(*({"dag": f"op_{dag}", "logical_date": DAY} for dag in DAGS))
    assert done["import_errors"] == {}
    return {run["dag"].removeprefix("op_"): run for run in done["runs"]}


@pytest.mark.parametrize(
    ("dag", "task", "publish", "updated"),
    [
        ("good", "success", "success", True),
        ("bad", "failed", "upstream_failed", False),
        ("bad_skips", "skipped", "skipped", False),
        ("bad_continues", "success", "success", False),
        ("below", "success", "success", True),
        ("unmeasured", "failed", "upstream_failed", False),
        ("rare", "success", "success", False),
        ("looks_back", "success", "success", True),
        ("reconciled", "success", "success", True),
        ("unknown", "failed", "upstream_failed", False),
    ],
)
def test_one_task_measures_closes_and_stops_what_follows(runs, dag, task, publish, updated):
    done = runs[dag]
    assert (done["tasks"]["dq"], done["tasks"]["publish"], bool(done["events"])) == (task, publish, updated)
    assert done["tries"]["dq"] == 1, "what is not good is not tried again"


def test_every_run_is_closed_and_told(airflow, runs):
    query = "SELECT suite FROM dq_run WHERE version > coalesce(closed_version, 0)"
    assert airflow.store(query) == []
    found = {part for (part,) in airflow.store("SELECT part FROM dq_incident WHERE ended_at IS NULL")}
    assert {"amount is positive", "no such column", "amounts", "copy"} <= found
    query = "SELECT interval_start FROM dq_run WHERE suite = 'restated' ORDER BY interval_start"
    assert [start[:10] for (start,) in airflow.store(query)] == ["2026-10-31", "2026-11-01"]


def test_a_task_that_fails_says_why_in_one_sentence(runs):
    assert "AirflowFailException: bad 2026-11-01 is not good at error or above" in runs["bad"]["log"]
    assert "AirflowFailException: mixed 2026-11-01: could not be measured: no such column" in runs["unmeasured"]["log"]
    assert "AirflowFailException: there is no suite or reconciliation 'godd'; did you mean" in runs["unknown"]["log"]


def test_it_can_be_mapped(airflow, runs):
    assert runs["mapped"]["tasks"] == {"dq[0]": "success", "dq[1]": "skipped"}
    assert [event["extra"]["suite"] for event in runs["mapped"]["events"]] == ["good"]


def test_the_listeners_of_airflow_see_the_verdicts_before_it_raises(runs, seen_by):
    told = [json.loads(line) for line in (seen_by / "seen.jsonl").read_text().splitlines()]
    seen = {dag.removeprefix("op_"): (what, verdicts) for what, dag, verdicts in told}
    assert {dag: what for dag, (what, _) in seen.items()} == {
        "good": "success", "bad": "failed", "bad_continues": "success", "below": "success", "unmeasured": "failed",
        "rare": "success", "looks_back": "success", "reconciled": "success", "unknown": "failed", "mapped": "success",
    }  # fmt: skip
    (verdict,) = seen["bad"][1]
    params = verdict.pop("params")
    sentence = "1 of 4 rows (25.0%) violates: amount > 0; more than the 0 that error allows"
    assert verdict == {
        "name": "amount is positive", "check_type": "Rows", "success": False, "severity": "error", "column": None,
        "table": "events", "expected": "0", "actual": "1", "content": "amount > 0", "description": sentence,
    }  # fmt: skip
    assert (params["suite"], params["partition"], params["violations"], params["rows"]) == ("bad", "2026-11-01", 1, 4)
    assert [(v["name"], v["success"], v["severity"]) for v in seen["below"][1]] == [
        ("an id", True, "warn"), ("no such column", False, "warn"), ("amounts", False, "warn"),
        ("by org", True, "warn"),
    ]  # fmt: skip
    assert [v["severity"] for v in seen["bad_continues"][1]] == ["warn"], "it raises nothing"
    assert seen["rare"][1] == seen["unknown"][1] == []
    assert [(v["name"], v["check_type"]) for v in seen["reconciled"][1]] == [("copy", "Reconciliation")]


REFUSED = {
    "on_block='stop'": "on_block='stop' is not one of skip, fail, continue",
    "stop_at='fatal'": "unknown severity 'fatal'",
    "conn_id='lake'": "DqCheckOperator does not take conn_id; dq.toml names its datasources",
    "sla=1": "DqCheckOperator does not take sla",
    "outlets=[3]": "outlets= takes assets, not 3",
}


def test_what_cannot_mean_anything_is_said_at_parse(airflow):
    code = f"""
from dq.airflow import DqCheckOperator
from dq.model.errors import DqError
for arguments in {list(REFUSED)!r}:
    try:
        eval(f"DqCheckOperator(task_id='dq', suite='good', {{arguments}})")
    except DqError as error:
        print("said", error)
"""
    said = [line for line in airflow.python("-c", code).splitlines() if line.startswith("said")]
    assert len(said) == len(REFUSED)
    for line, sentence in zip(said, REFUSED.values(), strict=True):
        assert sentence in line


def test_a_dag_file_without_it_does_not_pay_for_it(airflow):
    code = "import sys, dq.airflow; print('airflow.providers.common.sql.operators.sql' in sys.modules)"
    assert airflow.python("-c", code).split()[-1] == "False"
