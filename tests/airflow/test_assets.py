"""Assets that only good data update, on a real Airflow: one DAG for every way in which a gate can end."""

import json
import shutil
from fractions import Fraction

import pytest

from dq.model.interval import Interval
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from tests.airflow.conftest import make_project

DAY = "2026-11-02T00:00:00+00:00"
DAGS = [
    "good", "two", "below", "bad", "fails", "continues", "branch_good", "branch_bad", "not_due", "unmeasured",
    "extract_failed", "extract_skipped", "reconciled",
]  # fmt: skip


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    return new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"))


@pytest.fixture(scope="module")
def runs(airflow):
    done = airflow.drive(*({"dag": f"asset_{dag}", "logical_date": DAY} for dag in DAGS))
    assert done["import_errors"] == {}
    return {run["dag"].removeprefix("asset_"): run for run in done["runs"]}


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("dag", "gate", "publish", "repair", "run", "updated"),
    [
        ("good", "success", "success", "success", "success", ("good", 1.0, None)),
        ("two", "success", "success", "success", "success", ("good", 1.0, None)),
        ("below", "success", "success", "success", "success", ("bad", 0.0, "error")),
        ("bad", "success", "skipped", "skipped", "success", None),
        ("fails", "failed", "upstream_failed", "upstream_failed", "failed", None),
        ("continues", "success", "success", "success", "success", None),
        ("branch_good", "success", "success", "skipped", "success", ("good", 1.0, None)),
        ("branch_bad", "success", "skipped", "success", "success", None),
        ("not_due", "success", "success", "success", "success", None),
        ("unmeasured", "upstream_failed", "upstream_failed", "upstream_failed", "failed", None),
        ("extract_failed", "upstream_failed", "upstream_failed", "upstream_failed", "failed", None),
        ("extract_skipped", "skipped", "skipped", "skipped", "success", None),
        ("reconciled", "success", "success", "success", "success", ("copied", 0.0, "error")),
    ],
)
def test_only_an_open_gate_updates_the_asset_and_the_graph_is_as_without(
    runs, dag, gate, publish, repair, run, updated
):
    done = runs[dag]
    assert [done["tasks"][task] for task in ("dq.gate", "publish", "repair")] == [gate, publish, repair]
    assert done["state"] == run
    assert not {task for task in done["tasks"] if not task.startswith("dq.")} - {"extract", "publish", "repair"}
    found = [(event["extra"]["suite"], event["extra"]["score"], event["extra"]["worst"]) for event in done["events"]]
    assert found == ([] if updated is None else [updated])


CONSUMED = """
import json
from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow import mapped_suites, suite_group

START = datetime(2026, 11, 2, tzinfo=UTC)


def consume(**context):
    if "triggering_asset_events" in context:
        found = context["triggering_asset_events"][Asset("lake_checked")]
    else:  # Airflow 2
        found = context["triggering_dataset_events"]["lake_checked"]
    said = [event.extra for event in found]
    with Path({told!r}).open("a") as told:
        told.write(json.dumps(said) + "\\n")


with DAG("consumer", schedule=[Asset("lake_checked")], start_date=START):
    PythonOperator(task_id="consume", python_callable=consume)

for suite in ("good", "bad"):
    with DAG(f"of_{{suite}}", schedule=None, start_date=START):
        suite_group(suite, group_id="dq", outlets=Asset("lake_checked")) >> EmptyOperator(task_id="publish")

with DAG("of_several", schedule=None, start_date=START):
    mapped_suites(["good", "bad", "blind"], then=lambda suite: None)
"""


@pytest.mark.airflow
@pytest.mark.components
@pytest.mark.slow
def test_a_consumer_is_started_by_good_data_only_and_reads_the_verdict(new_components, tmp_path):
    project = make_project(tmp_path / "project")
    shutil.rmtree(project / "dags")
    (project / "dags").mkdir()
    told = tmp_path / "told.jsonl"
    (project / "dags" / "consumed.py").write_text(CONSUMED.format(told=str(told)))
    components = new_components(project)
    components.start()
    components.wait_for_dags("consumer", "of_good", "of_bad", "of_several")
    for dag, ends in (("of_bad", "success"), ("of_good", "success"), ("of_several", "failed")):
        assert components.wait_for_run(dag, components.trigger(dag, logical_date=DAY)) == ends
    assert components.tasks("of_bad")["publish"] == "skipped"
    components.wait_for_run("consumer")
    ((verdict,),) = [json.loads(line) for line in told.read_text().splitlines()]
    assert (verdict["suite"], verdict["score"], verdict["worst"]) == ("good", 1.0, None)
    query = "SELECT task_id, map_index, state FROM task_instance WHERE dag_id = 'of_several' AND task_id IN (%s, %s)"
    assert sorted(components.rows(query, "suites.close", "suites.then")) == [
        ("suites.close", 0, "success"), ("suites.close", 1, "success"), ("suites.close", 2, "success"),
        ("suites.then", 0, "success"), ("suites.then", 1, "skipped"), ("suites.then", 2, "upstream_failed"),
    ]  # fmt: skip


@pytest.mark.airflow
def test_the_event_names_the_run_and_the_partition(airflow, runs):
    (event,) = runs["good"]["events"]
    assert event["asset"] == "lake_checked"
    assert event["extra"] == {
        "suite": "good", "run": runs["good"]["xcom"]["dq.close"]["run"], "partition": "2026-11-01", "score": 1.0,
        "worst": None,
    }  # fmt: skip
    assert airflow.store("SELECT suite FROM dq_run WHERE id = ?", event["extra"]["run"]) == [("good",)]


def result(check, outcome, severity=None):
    return Result(check=check, outcome=outcome, severity=severity)


@pytest.mark.parametrize(
    ("results", "score"),
    [
        ([], None),
        ([result("a", Outcome.SKIP)], None),
        ([result("a", Outcome.NO_DATA)], None),
        ([result("a", Outcome.PASS)], Fraction(1)),
        ([result("a", Outcome.PASS), result("b", Outcome.FAIL, Severity.INFO)], Fraction(1, 2)),
        ([result("a", Outcome.PASS), result("b", Outcome.PASS), result("c", Outcome.UNMEASURED, Severity.ERROR)],
         Fraction(2, 3)),
        ([result("a", Outcome.PASS), result("b", Outcome.NO_DATA, Severity.ERROR)], Fraction(1, 2)),
        ([result("a", Outcome.PASS), result("b", Outcome.SKIP), result("c", Outcome.NO_DATA)], Fraction(1)),
    ],
)  # fmt: skip
def test_the_score_is_the_share_of_the_judged_checks_that_passed(results, score):
    day = Interval.of_day("2026-11-01")
    run = Run(
        id="r", environment="test", suite="s", kind="suite", interval=day, origin="cli", started_at=day.end,
        results=tuple(results),
    )  # fmt: skip
    assert run.score == score
