"""Assets that only good data update, on a real Airflow: one DAG for every way in which a gate can end."""

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
