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
def runs(airflow):
    airflow.python("-c", MEASURE_RARE, cwd=airflow.project)
    done = airflow.drive(*({"dag": dag, "logical_date": DAY} for dag in DAGS))
    assert done["import_errors"] == {}
    return {run["dag"]: run for run in done["runs"]}


def states(run, group, *names):
    """Return the states of the tasks of each map index, in the order of ``names``."""
    indices = sorted(int(task[:-1].rpartition("[")[2]) for task in run["tasks"] if task.startswith(f"{group}.{names[0]}["))
    return [tuple(run["tasks"][f"{group}.{name}[{index}]"] for name in names) for index in indices]


OURS = ("should_run", "measure", "close", "gate", "publish")


def test_each_suite_goes_its_own_way(runs):
    assert states(runs["mapped"], "suites", *OURS) == [
        ("success", "success", "success", "success", "success"),  # good
        ("success", "success", "success", "skipped", "skipped"),  # bad
        ("success", "failed", "success", "upstream_failed", "upstream_failed"),  # blind: could not be measured
        ("success", "skipped", "success", "success", "success"),  # rare: not due
        ("success", "success", "success", "success", "success"),  # restated, looked back
        ("success", "success", "success", "skipped", "skipped"),  # copied: a reconciliation
    ]
