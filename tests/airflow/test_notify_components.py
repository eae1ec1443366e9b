"""Callbacks of DAGs run in the DAG processor, those of deadlines in the triggerer: both, and clearing, on real ones."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.airflow.conftest import make_project
from tests.airflow.test_notify import ROUTES, incidents

pytestmark = [pytest.mark.airflow, pytest.mark.components, pytest.mark.slow]


def test_runs_that_fail_are_late_and_are_mended_by_clearing(new_components, line, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("notices") / "project")
    shutil.rmtree(project / "dags")
    shutil.copytree(Path(__file__).parent / "notices", project / "dags")
    if line == "2.11":
        (project / "dags" / "deadline.py").unlink()
    (project / "alerting").mkdir()
    (project / "alerting" / "routes.toml").write_text(ROUTES)
    there = new_components(project, DQ_NOW=None)
    dags = ["shop", *(["late"] if line == "3.3" else [])]
    (project / "dags" / "broken").touch()
    there.start()
    there.wait_for_dags(*dags)
    now = datetime.now(UTC).isoformat()
    runs = {dag: there.trigger(dag, logical_date=now) for dag in dags}

    def ended(dag):
        return {part: one["ended"] for part, one in incidents(there.airflow, dag).items()}

    def messages():
        return [json.loads(text) for (text,) in there.airflow.store("SELECT message FROM dq_outbox ORDER BY id")]

    assert there.wait_for_run("shop", runs["shop"]) == "failed"
    there.wait_for(lambda: ended("shop") == {"user_level.load": None, "the run": None}, 120, "the run is told")
    assert incidents(there.airflow, "shop")["the run"]["sentence"] == "the run failed: a task failed (user_level.load)"
    there.wait_for(messages, 120, "how it ended is told")
    (first,) = messages()
    assert first["title"].startswith("TEST - DAG shop: pipeline failed at 1/3 user_level in ")
    assert first["summary"].startswith("1/3 user_level: failed (user_level.load) in ")
    assert first["summary"].endswith("s, 2/3 agg_level: did not run, 3/3 publish: did not run, pipeline failed")

    (project / "dags" / "broken").unlink()
    there.clear("shop", runs["shop"], "user_level.load")
    there.wait_for(lambda: set(ended("shop").values()) == {"recovered"}, 240, "what was cleared is well")
    there.wait_for(lambda: len(messages()) == 2, 120, "that it ended the other way is told")
    assert messages()[1]["title"].startswith("TEST - DAG shop: pipeline completed in ")
    assert ", 3/3 publish: skipped, pipeline completed" in messages()[1]["summary"]

    if "late" in dags:
        there.wait_for(lambda: ended("late") == {"the deadline": "recovered"}, 240, "the late run succeeded")
        (late,) = incidents(there.airflow, "late").values()
        assert late["severity"] == 2 and late["sentence"].endswith(" UTC passed and the run is running")
