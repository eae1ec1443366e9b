"""The ready DAG that judges, run by a real Airflow."""

import shutil

import pytest

from dq import app
from tests.airflow.conftest import ROOT, make_project

pytestmark = pytest.mark.airflow

PROMISED = """
from dq import Dataset, Sla, Table

events = Table("lake", "events", partition="happened_at")
late = Dataset("late", table=events, sla=Sla(within="1s", rows=99, severity="error"))
there = Dataset("there", table=events, sla=Sla(within="1s", rows=4, severity="error"))
"""


def test_the_watch_dag_makes_a_round_of_the_watcher(new_airflow, tmp_path) -> None:
    root = make_project(tmp_path / "project")
    for file in (root / "dags").glob("*.py"):
        file.unlink()
    shutil.copy(ROOT / "dags" / "dq_sla_watch.py", root / "dags")
    (root / "checks" / "promised.py").write_text(PROMISED)
    airflow = new_airflow(root)
    done = airflow.drive({"dag": "dq_sla_watch", "logical_date": "2026-11-02T00:00:00+00:00"})
    assert done["import_errors"] == {}
    (run,) = done["runs"]
    assert run["tasks"] == {"watch": "success"}, run["log"]
    project = app.open_project(root)
    assert [sign.name for sign in app.watchers_of(project)] == ["dq_sla_watch"]
    late = [alert.incident for alert in app.alerts(project) if alert.incident.key.kind == "sla"]
    assert [incident.key.subject for incident in late] == ["late"]
