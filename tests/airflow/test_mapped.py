"""Many suites as a few mapped tasks, on a real Airflow: what becomes of one says nothing to the others."""

import json

import pytest

from tests.airflow.conftest import make_project
from tests.airflow.test_stages import MEASURE_RARE

pytestmark = pytest.mark.airflow

DAY = "2026-11-02T00:00:00+00:00"
DAGS = ["mapped", "mapped_blocks", "mapped_fails", "mapped_asked", "mapped_failed", "mapped_skipped"]


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    return new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"))


@pytest.fixture(scope="module")
def done(airflow):
    airflow.python("-c", MEASURE_RARE, cwd=airflow.project)
    specs = [{"dag": dag, "logical_date": DAY} for dag in DAGS]
    specs += [{"dag": "mapped_dated", "conf": {"date": "{{ 7 * 7 }}"}}, {"dag": "mapped_dated"}]
    done = airflow.drive(*specs)
    assert done["import_errors"] == {}
    return done["runs"]


@pytest.fixture(scope="module")
def runs(done):
    return {run["dag"]: run for run in done[: len(DAGS)]}


def states(run, group, *names):
    """Return the states of the tasks of each map index, in the order of ``names``."""
    first = f"{group}.{names[0]}["
    indices = sorted(int(task.removeprefix(first)[:-1]) for task in run["tasks"] if task.startswith(first))
    return [tuple(run["tasks"][f"{group}.{name}[{index}]"] for name in names) for index in indices]


OURS = ("should_run", "measure", "close", "gate", "publish")
WENT_WELL = ("success",) * 5
BLOCKED = ("success", "success", "success", "skipped", "skipped")


def test_each_suite_goes_its_own_way(runs):
    assert states(runs["mapped"], "suites", *OURS) == [
        WENT_WELL,  # good
        BLOCKED,  # bad
        ("success", "failed", "success", "upstream_failed", "upstream_failed"),  # blind: could not be measured
        ("success", "skipped", "success", "success", "success"),  # rare: not due
        WENT_WELL,  # restated, which looks back
        BLOCKED,  # copied, a reconciliation
    ]
    assert runs["mapped"]["state"] == "failed", "one could not be measured"


def test_what_stands_behind_all_of_them_waits_for_all(runs):
    tasks = runs["mapped"]["tasks"]
    assert (tasks["everything"], tasks["anything"]) == ("upstream_failed", "upstream_failed")
    assert runs["mapped_blocks"]["state"] == "success"


def test_the_ui_shows_the_name_of_the_suite(runs):
    labels = runs["mapped"]["labels"]
    names = ["good", "bad", "blind", "rare", "restated", "copied"]
    assert [labels[f"suites.close[{index}]"] for index in range(6)] == names
    assert (labels["suites.publish[0]"], labels["suites.publish[4]"]) == ("good", "restated")


def test_the_next_stage_is_told_its_suite(runs):
    said = [line for line in runs["mapped"]["log"].splitlines() if "published" in line]
    assert sorted(line.split("published ")[1].split(" in ")[0] for line in said) == ["good", "rare", "restated"]


def results(airflow, run):
    query = "SELECT suite, check_name, outcome FROM dq_result JOIN dq_run ON dq_run.id = run_id WHERE origin = ? "
    return sorted(airflow.store(f"{query} AND dq_result.org = ''", f"airflow:{run['dag']}:{run['run_id']}"))


def test_each_suite_is_a_run_of_its_own_that_is_closed(airflow, runs):
    assert results(airflow, runs["mapped"]) == [
        ("bad", "amount is positive", "fail"), ("blind", "an id", "pass"), ("blind", "no such column", "unmeasured"),
        ("copied", "copy", "fail"), ("good", "an id each", "pass"), ("good", "enough rows", "pass"),
        ("restated", "an id", "no_data"), ("restated", "an id", "pass"),
    ]  # fmt: skip
    subjects = {subject for (subject,) in airflow.store("SELECT subject FROM dq_incident")}
    assert {"bad", "blind", "copied"} <= subjects
    query = "SELECT count(*) FROM dq_run WHERE version > coalesce(closed_version, 0)"
    assert airflow.store(query) == [(0,)]


def test_what_one_entry_says_holds_for_that_suite(runs):
    # One only continues; what could not be measured of the second is below its stop_at.
    assert states(runs["mapped_blocks"], "some", "gate", "tell") == [("success", "success")] * 3
    names = ("close", "gate", "two_steps.tell", "two_steps.done")
    assert states(runs["mapped_fails"], "suites", *names) == [
        ("success", "failed", "upstream_failed", "upstream_failed"), ("success",) * 4,
    ]  # fmt: skip


def test_should_run_is_asked_for_each_suite(runs):
    asked = states(runs["mapped_asked"], "suites", *OURS)
    assert asked == [("success", "skipped", "success", "success", "success"), BLOCKED]


def test_a_stage_before_that_failed_or_was_skipped(airflow, runs):
    failed = ("upstream_failed", "upstream_failed", "success", "upstream_failed", "upstream_failed")
    assert states(runs["mapped_failed"], "suites", *OURS) == [failed, failed]
    assert {outcome for _, _, outcome in results(airflow, runs["mapped_failed"])} == {"unmeasured"}
    skipped = ("skipped", "skipped", "success", "skipped", "skipped")
    assert states(runs["mapped_skipped"], "suites", *OURS) == [skipped, skipped]
    assert results(airflow, runs["mapped_skipped"]) == []


def test_an_asset_is_updated_for_each_suite_that_is_good(runs):
    assert sorted(event["extra"]["suite"] for event in runs["mapped"]["events"]) == ["good", "restated"]
    found = {event["extra"]["suite"]: event["extra"]["worst"] for event in runs["mapped_blocks"]["events"]}
    assert found == {"blind": "error", "good": None}, "bad only continues"


def test_a_date_is_rendered_once(done):
    conf, none = done[-2:]
    assert states(conf, "suites", "should_run", "close") == [("failed", "failed")]
    assert "'{{ 7 * 7 }}' is not a date" in conf["log"]
    assert states(none, "suites", "measure", "gate") == [("success", "success")]


def test_a_suite_that_does_not_load_takes_no_other_down(new_airflow, tmp_path):
    project = make_project(tmp_path / "project")
    (project / "checks" / "broken.py").write_text("raise RuntimeError('the file is broken')\n")
    for file in (project / "dags").iterdir():
        file.unlink()
    (project / "dags" / "suites.json").write_text('["good", "broken", "bad"]')
    (project / "dags" / "all.py").write_text(
        "from airflow.providers.common.compat.sdk import DAG\nfrom dq.airflow import mapped_suites\n"
        "def publish(suite):\n    pass\n"
        "with DAG('all', schedule=None):\n    mapped_suites('suites.json', then=publish)\n"
    )
    airflow = new_airflow(project)
    done = airflow.drive({"dag": "all", "logical_date": DAY})
    assert done["import_errors"] == {}
    (run,) = done["runs"]
    assert states(run, "suites", *OURS) == [
        WENT_WELL,
        ("failed", "upstream_failed", "failed", "upstream_failed", "upstream_failed"),
        BLOCKED,
    ]
    assert "RuntimeError: the file is broken" in run["log"]


REFUSED = {
    "mapped_suites([])": "mapped_suites: it names no suite",
    "mapped_suites(['good', 'god'])": "mapped_suites: entry 2 (god): there is no suite or reconciliation 'god'",
    "mapped_suites(['good', {'suite': 'good'}])": "entry 2 (good): it is there twice for the same date",
    "mapped_suites(['good', 3])": "entry 2: 3 is neither the name of a suite nor a mapping with one",
    "mapped_suites([{'date': '2026-11-01'}])": "entry 1: its suite is None, which is not the name of one",
    "mapped_suites([{'suite': 'good', 'stop': 'info'}])": "entry 1: 'stop' is no key of an entry; did you",
    "mapped_suites({'good': {'stop_at': 'fatal'}})": "entry 1 (good): unknown severity 'fatal'",
    "mapped_suites({'good': 'error'})": "entry 1: 'good' has 'error', which is no mapping of date, stop_at, on_block",
    "mapped_suites({'good': {'on_block': 'stop'}})": "entry 1 (good): on_block='stop' is not one of",
    "mapped_suites([{'suite': 'good', 'date': 7}])": "entry 1 (good): date=7 is not a text",
    "mapped_suites(3)": "mapped_suites: it is neither a list of suites nor a mapping of their names",
    "mapped_suites(['good'], on_block='stop')": "on_block='stop' is not one of skip, fail, continue",
    "mapped_suites(['good'], op_kwargs={})": "mapped_suites does not take op_kwargs",
    "mapped_suites(['good'], outlets=3)": "outlets= takes assets, not 3",
    "mapped_suites(['good'], then='publish')": "then='publish' is not a function, nor one made by @task",
    "mapped_suites('none.yaml')": "none.yaml: it cannot be read: No such file or directory",
    "mapped_suites('suites.txt')": "suites.txt: its name must end with .json, .yaml or .yml",
    "mapped_suites('bad.json')": "bad.json: it is not JSON: ",
    "mapped_suites('bad.yaml')": "bad.yaml: it is not YAML: ",
    "mapped_suites('twice.json')": "twice.json: 'good' is there twice",
    "mapped_suites('twice.yaml')": "twice.yaml: 'good' is there twice",
    "mapped_suites('empty.yaml')": "empty.yaml: it is neither a list of suites nor a mapping",
    "mapped_suites('typed.yaml')": "typed.yaml: entry 2: its suite is True, which is not the name of one",
}
FILES = {
    "suites.txt": "good", "bad.json": "[", "bad.yaml": "[", "empty.yaml": "", "typed.yaml": "good: {}\nyes: {}\n",
    "twice.json": '{"good": {}, "good": {}}', "twice.yaml": "good: {}\ngood: {}\n",
}  # fmt: skip


def test_what_cannot_work_is_refused_at_parse(airflow):
    folder = airflow.project / "refused_mapped"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for number, call in enumerate(REFUSED):
        (folder / f"refused_{number}.py").write_text(
            "from airflow.providers.common.compat.sdk import DAG\nfrom dq.airflow import mapped_suites\n"
            f"with DAG('refused_{number}', schedule=None):\n    {call}\n"
        )
    code = f"""
import json
from tests.airflow.inside import DagBag
print(json.dumps(DagBag({str(folder)!r}).import_errors))
"""
    told = json.loads(airflow.python("-c", code).splitlines()[-1])
    for number, (call, sentence) in enumerate(REFUSED.items()):
        assert sentence in told[str(folder / f"refused_{number}.py")], call


def test_a_new_entry_takes_effect_with_the_next_parse_and_500_are_four_tasks(new_airflow, tmp_path):
    project = make_project(tmp_path / "project")
    declare = "\nfor n in range(500):\n    vars()[f's{n}'] = Suite(f's{n}', events, checks=good.checks)\n"
    with (project / "checks" / "events.py").open("a") as events:
        events.write(declare)
    code = f"""
import json, os, time
from pathlib import Path
from airflow.providers.common.compat.sdk import DAG
from dq.airflow import mapped_suites
from tests.airflow.inside import DagSerialization
file = Path({str(project)!r}, "suites.json")
for count in (499, 500):
    file.write_text(json.dumps([f"s{{number}}" for number in range(count)]))
    begun = time.perf_counter()
    with DAG("d", schedule=None) as dag:
        group = mapped_suites(file, project={str(project)!r})
    took = time.perf_counter() - begun
    print(len(dag.tasks), len(group._expand_input.value), len(json.dumps(DagSerialization.to_dict(dag))), took)
"""
    first, second = (line.split() for line in new_airflow(project).python("-c", code).splitlines()[-2:])
    assert (first[:2], second[:2]) == (["4", "499"], ["4", "500"])
    assert int(second[2]) < 100_000
