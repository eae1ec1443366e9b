"""Decorated functions as checks, on a real Airflow."""

from datetime import timedelta
from decimal import Decimal

import pytest

from dq.checks.judge import judge
from dq.checks.returned import Answered, Returned, reading_of
from dq.model.check import Check
from dq.model.errors import MeasureError
from dq.model.group import By
from dq.model.interval import Interval
from dq.model.thresholds import at_least, at_most
from tests.airflow.conftest import make_project

DAY = "2026-11-02T00:00:00+00:00"
DAGS = [
    "true", "false", "count", "none", "text", "in_time", "late", "too_late", "not_a_number", "duration", "orgs",
    "no_orgs", "breaks", "skips", "taken", "context", "mapped",
]  # fmt: skip


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    return new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"))


@pytest.fixture(scope="module")
def runs(airflow):
    specs = [{"dag": f"check_{dag}", "logical_date": DAY} for dag in DAGS]
    done = airflow.drive(*specs, {"dag": "check_false", "logical_date": "2026-11-03T00:00:00+00:00"})
    assert done["import_errors"] == {}
    return {run["dag"].removeprefix("check_"): run for run in done["runs"]}


def result_of(airflow, run):
    query = """
    SELECT suite, check_name, outcome, severity, sentence FROM dq_result JOIN dq_run ON dq_run.id = run_id
    WHERE origin = ? AND dq_result.org = ''
    """
    rows = airflow.store(query, f"airflow:{run['dag']}:{run['run_id']}")
    return rows[0] if rows else None


@pytest.mark.airflow
@pytest.mark.parametrize(
    ("dag", "task", "outcome", "sentence"),
    [
        ("true", "success", "pass", "holds: is_complete"),
        ("false", "skipped", "fail", "1 finding violates: is_complete; more than the 0 that error allows"),
        ("count", "skipped", "fail", "3 findings violate: is_complete; more than the 0 that error allows"),
        ("none", "failed", "unmeasured", "it returned None, neither True, False nor a count of violations"),
        ("text", "failed", "unmeasured", "it returned a str, neither True, False nor a count of violations"),
        ("in_time", "success", "pass", "minutes_behind is 12, within at most 60"),
        ("late", "success", "fail", "minutes_behind is 90.5, outside at most 60 (warning)"),
        ("too_late", "skipped", "fail", "minutes_behind is 200, outside at most 180 (error)"),
        ("not_a_number", "failed", "unmeasured", "it returned True, not a number or a duration"),
        ("duration", "success", "fail", "time behind is 4h, outside at most 3h (error)"),
        ("orgs", "failed", "fail", "1 of 3 orgs are not well: 15: open_tickets is 20, outside at most 10 (error)"),
        ("no_orgs", "failed", "unmeasured", "it returned 3; with by= it returns a mapping of each org to its number"),
        ("breaks", "failed", "unmeasured", "it raised ValueError, see the log of its task"),
        ("context", "success", "pass", "holds: of_the_run"),
    ],
)
def test_what_a_function_returns_is_judged_and_recorded(airflow, runs, dag, task, outcome, sentence):
    run = runs[dag]
    (name,) = run["tasks"].keys() - {"publish"}
    assert run["tasks"][name] == task
    assert run["tasks"]["publish"] == {"success": "success", "skipped": "skipped", "failed": "upstream_failed"}[task]
    suite, check, found, _, said = result_of(airflow, run)
    assert (suite, found) == (f"check_{dag}.{name}", outcome)
    assert check == ("time behind" if dag == "duration" else name)
    assert sentence in said


@pytest.mark.airflow
def test_it_is_an_incident_like_any_other_with_its_labels(airflow, runs):
    query = "SELECT part, org, severity, labels FROM dq_incident WHERE subject = ? AND ended_at IS NULL"
    ((part, org, severity, labels),) = airflow.store(query, "check_too_late.minutes_behind")
    assert (part, org, severity) == ("minutes_behind", "", 3)
    assert '"owner": "lake"' in labels
    assert [org for _, org, *_ in airflow.store(query, "check_orgs.open_tickets")] == ['["15"]']
    assert len(airflow.store(query, "check_false.is_complete")) == 1, "the second bad day is the same incident"
    assert airflow.store("SELECT count(*) FROM dq_run WHERE version > coalesce(closed_version, 0)") == [(0,)]


@pytest.mark.airflow
def test_what_a_function_raises_is_tried_again_first_and_its_words_are_not_told(airflow, runs):
    assert runs["breaks"]["tries"]["breaks"] == 2
    assert airflow.store("SELECT count(*) FROM dq_result WHERE sentence LIKE '%s3cret%'") == [(0,)]
    assert (runs["skips"]["tasks"]["breaks"], result_of(airflow, runs["skips"])) == ("skipped", None)


@pytest.mark.airflow
def test_what_would_mix_runs_is_refused(airflow, runs):
    assert runs["taken"]["tasks"]["taken"] == "failed"
    assert "'good' is declared in checks/events.py; a function is a suite of its own" in runs["taken"]["log"]
    assert set(runs["mapped"]["tasks"].values()) == {"failed"}
    assert "a mapped @check would be one run of dq" in runs["mapped"]["log"]


REFUSED = {
    "where='id > 0'": "@check of f does not take where, which speaks of the rows of a table",
    "python_callable=f": "@check of f does not take python_callable",
    "sla=1": "@check of f does not take sla",
    "on_block='stop'": "on_block='stop' is not one of skip, fail, continue",
    "stop_at='fatal'": "unknown severity 'fatal'",
    "warning=at_most(9), error=at_most(3)": "the thresholds are out of order",
    "warning=0, error=at_most(3)": "0 is not a range for a measured value",
    "error=at_most(3), by=By('org', expected='seen:28d')": "By(expected=) takes a list here",
    "error='1%'": "a share does not fit it",
    "suite='no such'": "a name is made of letters, digits",
}


@pytest.mark.airflow
def test_what_cannot_mean_anything_is_said_at_parse(airflow):
    code = f"""
from dq import By, at_most
from dq.airflow import check
from dq.model.errors import DqError
def f():
    return True
for arguments in {list(REFUSED)!r}:
    try:
        eval(f"check({{arguments}})(f)")
        print("said nothing")
    except DqError as error:
        print("said", error)
"""
    said = [line for line in airflow.python("-c", code).splitlines() if line.startswith("said")]
    for line, (arguments, sentence) in zip(said, REFUSED.items(), strict=True):
        assert sentence in line, arguments


AT = Interval.of_day("2026-11-01")


def outcomes(check, by, returned):
    results = judge(check, reading_of(check, by, returned), AT.end, AT)
    return {(result.group.label if result.group else None): str(result.outcome) for result in results}


@pytest.mark.parametrize(
    ("returned", "outcome"),
    [(10, "pass"), (Decimal("10.5"), "fail"), (10.0, "pass"), (timedelta(1), "unmeasured"), (float("inf"), None)],
)
def test_a_returned_number_is_judged_by_bounds(returned, outcome):
    check = Check("c", Returned("c"), error=at_most(10))
    assert outcomes(check, None, returned) == {None: outcome or "unmeasured"}


def test_an_expected_org_that_is_not_returned_is_no_data():
    by = By("org", expected=[1, 2])
    check = Check("c", Returned("c"), error=at_least(1), by=by)
    assert outcomes(check, by, {1: 5, 3: 0}) == {None: "fail", "2": "no_data", "3": "fail"}
    answered = Check("c", Answered("c"), by=by)
    assert outcomes(answered, by, {1: True, 2: False}) == {None: "fail", "2": "fail"}


@pytest.mark.parametrize("returned", [None, "yes", -1, 1.5, {"a": True}])
def test_what_is_no_answer_is_not_taken_for_one(returned):
    with pytest.raises(MeasureError, match="it returned"):
        reading_of(Check("c", Answered("c")), None, returned)
