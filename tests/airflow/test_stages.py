"""A stage, its checks and the next stage on a real Airflow: every DAG here runs, on real databases."""

import json
import shutil
from datetime import datetime, timedelta

import pytest

from tests.airflow.conftest import ROOT, make_project

pytestmark = pytest.mark.airflow

RUNS = [
    *("all_pass", "not_due", "not_asked_for", "fails", "fails_and_fails", "fails_and_continues", "fails_below_stop"),
    *(
        "asking_failed",
        "unmeasured",
        "unmeasured_below_stop",
        "extract_failed",
        "extract_skipped",
        "reconciled",
        "trailing",
        "looks_back",
    ),
]


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    return new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"))


MEASURE_RARE = """
from dq import app
from dq.model.interval import Interval
app.run(app.open_project(), "rare", Interval.of_day("2026-11-01"))
"""


INTERVALS = [  # all of them mean 2026-11-01, but for the last
    {"dag": "data_interval", "logical_date": "2026-11-02T00:00:00+00:00"},
    {"dag": "cron_trigger", "logical_date": "2026-11-02T00:00:00+00:00"},
    {"dag": "all_pass", "logical_date": "2026-11-02T23:59:59+00:00"},
    {"dag": "all_pass", "logical_date": "2026-11-03T00:30:00+01:00"},
    {"dag": "dated", "conf": {"date": "2026-11-01"}},
    {"dag": "dated", "logical_date": "2026-11-02T07:00:00+00:00"},
    {"dag": "hourly", "logical_date": "2026-11-01T09:00:00+00:00"},
]


@pytest.fixture(scope="module")
def done(airflow):
    """All DAG runs of this module in one process; `rare` was measured just before, so that it is not due."""
    airflow.python("-c", MEASURE_RARE, cwd=airflow.project)
    done = airflow.drive(
        *({"dag": dag, "logical_date": "2026-11-02T00:00:00+00:00"} for dag in RUNS),
        *INTERVALS,
        {"dag": "all_pass"},
        {"dag": "dated", "conf": {"date": "yesterday"}},
    )
    assert done["import_errors"] == {}
    return done["runs"]


@pytest.fixture(scope="module")
def runs(done):
    return {run["dag"]: run for run in done[: len(RUNS)]}


@pytest.fixture(scope="module")
def intervals(done):
    return done[len(RUNS) : -2]


@pytest.fixture(scope="module")
def dateless(done):
    return done[-2]


@pytest.fixture(scope="module")
def misdated(done):
    return done[-1]


@pytest.mark.parametrize(
    ("dag", "scans", "close", "gate", "publish", "run"),
    [
        # the table of the architecture
        ("all_pass", "success", "success", "success", "success", "success"),
        ("not_due", "skipped", "success", "success", "success", "success"),
        ("fails", "success", "success", "success", "skipped", "success"),
        ("unmeasured", "failed", "success", "upstream_failed", "upstream_failed", "failed"),
        ("extract_failed", "upstream_failed", "success", "upstream_failed", "upstream_failed", "failed"),
        # and what follows from it
        ("not_asked_for", "skipped", "success", "success", "success", "success"),
        ("fails_and_fails", "success", "success", "failed", "upstream_failed", "failed"),
        ("fails_and_continues", "success", "success", "success", "success", "success"),
        ("fails_below_stop", "success", "success", "success", "success", "success"),
        ("unmeasured_below_stop", "success", "success", "success", "success", "success"),
        ("extract_skipped", "skipped", "success", "skipped", "skipped", "success"),
        ("asking_failed", "upstream_failed", "success", "upstream_failed", "upstream_failed", "failed"),
        ("reconciled", "success", "success", "success", "skipped", "success"),
        ("looks_back", "success", "success", "success", "success", "success"),
    ],
)
def test_what_becomes_of_the_tasks(runs, dag, scans, close, gate, publish, run):
    tasks = runs[dag]["tasks"]
    ours = {"dq.should_run", "dq.close", "dq.gate", "extract", "publish"}
    assert {tasks[task] for task in tasks.keys() - ours} == {scans}
    assert (tasks["dq.close"], tasks["dq.gate"], tasks["publish"], runs[dag]["state"]) == (close, gate, publish, run)


def origin(run, dag):
    return f"airflow:{dag}:{run['run_id']}"


def results(airflow, runs, dag):
    query = "SELECT check_name, outcome, sentence FROM dq_result JOIN dq_run ON dq_run.id = run_id WHERE origin = ?"
    return airflow.store(query, origin(runs[dag], dag))


def outcomes(airflow, runs, dag):
    return {(check, outcome) for check, outcome, _ in results(airflow, runs, dag)}


def test_lookback_closes_the_earlier_partition_too_and_the_gate_looks_at_the_newest(airflow, runs):
    query = """
    SELECT interval_start, closed_version, (SELECT outcome FROM dq_result WHERE run_id = dq_run.id)
    FROM dq_run WHERE origin = ? ORDER BY interval_start
    """
    assert airflow.store(query, origin(runs["looks_back"], "looks_back")) == [
        ("2026-10-31 00:00:00.000000", 1, "no_data"),
        ("2026-11-01 00:00:00.000000", 1, "pass"),
    ]
    assert airflow.store("SELECT part, outcome FROM dq_incident WHERE subject = 'restated'") == [("an id", "no_data")]


def test_each_scan_is_a_task_of_its_own(runs):
    assert runs["all_pass"]["tasks"].keys() - {"extract", "publish"} == {
        "dq.should_run", "dq.scan", "dq.scan_by_org", "dq.close", "dq.gate",
    }  # fmt: skip
    assert "dq.stages" in runs["reconciled"]["tasks"]


def test_not_due_changes_nothing(airflow, runs):
    assert results(airflow, runs, "not_due") == results(airflow, runs, "not_asked_for") == []
    assert airflow.store("SELECT count(*) FROM dq_incident WHERE subject = 'rare'") == [(0,)]


def test_a_failed_extract_is_an_unmeasured_suite(airflow, runs):
    assert outcomes(airflow, runs, "extract_failed") == {("enough rows", "unmeasured"), ("an id each", "unmeasured")}
    assert all(
        "a task before the checks failed" in sentence for _, _, sentence in results(airflow, runs, "extract_failed")
    )


def test_a_failure_of_our_own_is_not_blamed_on_the_stage_before(airflow, runs):
    assert outcomes(airflow, runs, "asking_failed") == {("enough rows", "unmeasured"), ("an id each", "unmeasured")}
    assert all("its task failed" in sentence for _, _, sentence in results(airflow, runs, "asking_failed"))


def test_what_is_not_well_is_an_incident(airflow, runs):
    found = dict(airflow.store("SELECT part, outcome FROM dq_incident WHERE subject IN ('bad', 'blind')"))
    assert found == {"amount is positive": "fail", "no such column": "unmeasured"}


def test_a_wrong_column_is_told_at_once_and_not_tried_again(runs):
    assert runs["unmeasured"]["tries"]["dq.scan"] == 1  # the DAG allows two retries


def test_one_bad_check_costs_one_check(airflow, runs):
    assert outcomes(airflow, runs, "unmeasured") == {("no such column", "unmeasured"), ("an id", "pass")}


def test_xcom_carries_ids_outcomes_and_severities_only(runs):
    assert runs["fails"]["xcom"]["dq.scan"] == {"amount is positive": {"outcome": "fail", "severity": "error"}}
    close = runs["fails"]["xcom"]["dq.close"]
    assert close == {"run": close["run"], "results": {"amount is positive": {"outcome": "fail", "severity": "error"}}}
    assert len(close["run"]) == 36


def test_the_log_tells_what_was_found(runs):
    log = runs["fails"]["log"]
    assert "outcome  severity  check" in log
    assert "Runbook of amount is positive: https://runbooks.test/amount" in log
    assert "the next stage is skipped" in log


def test_a_failed_task_says_why_in_one_sentence(runs):
    assert "AirflowFailException: blind" in runs["unmeasured"]["log"]
    assert "no such column (" in runs["unmeasured"]["log"]


def test_a_blocked_gate_skips_its_direct_children_only(runs):
    tasks = runs["trailing"]["tasks"]
    assert (tasks["publish"], tasks["two_steps_on"]) == ("skipped", "success")


def interval(airflow, run):
    return airflow.store("SELECT interval_start, interval_end FROM dq_run WHERE origin = ?", origin(run, run["dag"]))


def test_the_interval_of_a_dag_run(airflow, intervals):
    *days, hour = [interval(airflow, run) for run in intervals]
    assert days == [[("2026-11-01 00:00:00.000000", "2026-11-02 00:00:00.000000")]] * (len(INTERVALS) - 1)
    assert hour == [("2026-11-01 08:00:00.000000", "2026-11-01 09:00:00.000000")]


def test_a_run_without_a_logical_date_looks_at_the_day_before_it_may_start(airflow, dateless):
    today = datetime.fromisoformat(dateless["run_id"].split("__")[1][:32]).date()
    ((start, _),) = interval(airflow, dateless)
    assert start == f"{today - timedelta(days=1)} 00:00:00.000000"


def test_a_date_that_is_none_fails_with_its_sentence(misdated):
    assert misdated["tasks"]["dq.should_run"] == "failed"
    assert "'yesterday' is not a date" in misdated["log"]


def test_the_project_works_where_it_is_copied_to(airflow, new_airflow, tmp_path):
    project = shutil.copytree(airflow.project, tmp_path / "bundles" / "9f3c", ignore=shutil.ignore_patterns("var"))
    copied = new_airflow(project)
    (run,) = copied.drive("fails")["runs"]
    assert run["tasks"]["publish"] == "skipped"
    assert copied.store("SELECT count(*) FROM dq_run") == [(1,)]


def test_the_dags_alone_find_their_project_by_dq_home(airflow, new_airflow, tmp_path):
    shutil.copytree(airflow.project / "dags", tmp_path / "dags")
    before = airflow.store("SELECT count(*) FROM dq_run")[0][0]
    (run,) = new_airflow(airflow.project, tmp_path / "dags", DQ_HOME=str(airflow.project)).drive("fails")["runs"]
    assert run["tasks"]["publish"] == "skipped"
    assert airflow.store("SELECT count(*) FROM dq_run") == [(before + 1,)]


def test_a_store_that_is_away_is_tried_again(airflow, new_airflow, tmp_path):
    project = shutil.copytree(airflow.project, tmp_path / "project", ignore=shutil.ignore_patterns("var"))
    with (project / "dq.toml").open("a") as settings:
        settings.write('[store]\nurl = "postgresql://nobody@127.0.0.1:9/none"\n')
    (run,) = new_airflow(project).drive("retried")["runs"]
    assert run["tasks"]["dq.should_run"] == "failed"
    assert run["tries"]["dq.should_run"] == 3
    assert "AirflowException" in run["log"]


PARSE = """
import gc, json, sys
from airflow.providers.common.compat.sdk import DAG
import airflow.providers.standard.operators.python, airflow.providers.standard.operators.empty
touched = []
def watch(event, args):
    if event in ("sqlite3.connect", "socket.connect", "socket.getaddrinfo"):
        touched.append(event)
    elif event == "open" and isinstance(args[0], str) and "/data/" in args[0]:
        touched.append(args[0])
heavy = ("sqlglot", "duckdb", "alembic", "dq.app", "dq.sql", "dq.store", "dq.datasource", "dq.alerting", "dq.reports")
sys.addaudithook(watch)
import runpy
module = runpy.run_path(sys.argv[1])
dags = [o for o in gc.get_objects() if type(o) is DAG]
print(json.dumps({"dags": len(dags), "touched": touched, "loaded": [m for m in sys.modules if m in heavy]}))
"""


@pytest.mark.parametrize("file", ["stages.py", *sorted(path.name for path in (ROOT / "dags").glob("*.py"))])
def test_parsing_opens_no_database_and_no_connection(airflow, file):
    path = airflow.dags / file if file == "stages.py" else ROOT / "dags" / file
    told = json.loads(airflow.python("-c", PARSE, path).splitlines()[-1])
    assert told.pop("dags") >= 1
    assert told == {"touched": [], "loaded": []}


def test_nothing_of_the_parsing_machine_is_in_the_serialised_dag(airflow):
    code = f"""
import json
from tests.airflow.inside import DagBag, DagSerialization
data = DagSerialization.to_dict(DagBag({str(airflow.dags)!r}).dags["not_asked_for"])
print(json.dumps(data["dag"]["tasks"], default=str))
"""
    said = airflow.python("-c", code).splitlines()[-1]
    assert "dq.should_run" in said
    assert str(airflow.project) not in said
    assert " at 0x" not in said


REFUSED = {
    "suite_group('god')": "there is no suite or reconciliation 'god'",
    "suite_group('good', stop_at='fatal')": "unknown severity 'fatal'",
    "suite_group('good', on_block='stop')": "on_block='stop' is not one of skip, fail, continue",
    "suite_group('good', op_kwargs={})": "suite_group sets op_kwargs itself",
    "task_group(group_id='m')(lambda org: suite_group('good')).expand(org=[1, 2])": "cannot run in a mapped TaskGroup",
}


def test_what_cannot_work_is_refused_at_parse(airflow):
    folder = airflow.project / "refused"
    folder.mkdir()
    for number, call in enumerate(REFUSED):
        (folder / f"refused_{number}.py").write_text(
            "from airflow.providers.common.compat.sdk import DAG, task_group\nfrom dq.airflow import suite_group\n"
            f"with DAG('refused', schedule=None):\n    {call}\n"
        )
    code = f"""
import json
from tests.airflow.inside import DagBag
print(json.dumps(DagBag({str(folder)!r}).import_errors))
"""
    told = json.loads(airflow.python("-c", code).splitlines()[-1])
    assert len(told) == len(REFUSED)
    for number, sentence in enumerate(REFUSED.values()):
        assert sentence in told[str(folder / f"refused_{number}.py")]
