"""The sensor that waits for a dataset, on a real Airflow; and what the triggerer does for it."""

import asyncio
import threading
import time

import pytest

from dq import app
from dq.airflow.sensors import DatasetReadyTrigger
from dq.model.interval import Interval
from tests.airflow.conftest import make_project

pytestmark = pytest.mark.airflow

DAY = "2026-11-02T00:00:00+00:00"
DAGS = ["ready_now", "ready_never", "ready_wrong", "ready_unknown"]


@pytest.fixture(scope="module")
def runs(new_airflow, tmp_path_factory):
    airflow = new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"))
    done = airflow.drive(*({"dag": dag, "logical_date": DAY} for dag in DAGS))
    assert done["import_errors"] == {}
    return {run["dag"]: run for run in done["runs"]}


def test_what_is_there_lets_the_consumer_start(runs) -> None:
    assert (runs["ready_now"]["tasks"]["wait"], runs["ready_now"]["tasks"]["use"]) == ("success", "success")


def test_what_never_comes_ends_with_the_sensors_own_timeout_and_says_why(runs) -> None:
    run = runs["ready_never"]
    assert (run["tasks"]["wait"], run["tasks"]["use"]) == ("failed", "upstream_failed")
    assert "mixed is not there: partition 2026-11-01 is not there; nothing has been seen of it" in run["log"]


def test_what_is_wrong_is_not_ready_unless_that_will_do(runs) -> None:
    run = runs["ready_wrong"]
    assert (run["tasks"]["wait"], run["tasks"]["wait_for_any"]) == ("failed", "success")
    assert "bad is there, but wrong" in run["log"]


def test_a_name_that_is_wrong_is_one_sentence(runs) -> None:
    run = runs["ready_unknown"]
    assert run["tasks"]["wait"] == "failed"
    assert "there is nothing of the name 'gud'" in run["log"]


def test_the_trigger_waits_and_survives_being_written_down(tmp_path) -> None:
    root = make_project(tmp_path / "project")
    interval = Interval.of_day("2026-11-01")
    arguments = {"start": interval.start.isoformat(), "end": interval.end.isoformat(), "project": None,
                 "file": str(root / "dags" / "any.py"), "accept_wrong": False, "pause": 0.2}  # fmt: skip

    def first_event(name):
        path, told = DatasetReadyTrigger(dataset=name, **arguments).serialize()
        assert path == "dq.airflow.sensors.DatasetReadyTrigger"

        async def first():
            return (await anext(DatasetReadyTrigger(**told).run())).payload

        return asyncio.run(asyncio.wait_for(first(), 60))

    def make() -> None:
        time.sleep(1)
        app.run(app.open_project(root), "good", interval, alert=False)

    making = threading.Thread(target=make)
    began = time.monotonic()
    making.start()
    assert first_event("good") == {}
    making.join()
    assert time.monotonic() - began >= 1
    assert "there is nothing of the name 'gud'" in first_event("gud")["error"]
