"""What Airflow says of a partition: the table of dq/sla/sights.py, row by row, and which run is that of a partition."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from dq.model.airflow import Dag, DagRun, TaskState
from dq.model.errors import AirflowError
from dq.model.interval import Interval
from dq.sla.sights import Watched, run_of, sight, unreachable

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PARTITION = Interval.of_day("2026-11-20")
END = PARTITION.end
NOW = END + 6 * HOUR
BEGAN, ENDED = END + HOUR, END + 2 * HOUR

ITSELF = Watched(kind="dag", subject="orders", cadence=DAY, dag_id="orders")
TASK = Watched(kind="task", subject="orders.load", cadence=DAY, dag_id="orders", task_id="load", source="airflow:eu")
DATASET = evolve(TASK, kind="table", subject="sales.orders", itself=False)

DAG = Dag(dag_id="orders", paused=False, stale=False, next_run_after=END + DAY, has_import_errors=False)


def run(state, run_id="scheduled__1", *, interval=(PARTITION.start, END), logical=PARTITION.start, after=END, **more):
    times = {"queued_at": END, "started_at": BEGAN, "ended_at": ENDED} | more
    return DagRun(
        dag_id="orders", run_id=run_id, state=state, run_type="scheduled", logical_date=logical, data_interval=interval,
        run_after=after, **times,
    )  # fmt: skip


def task(state, began=BEGAN, ended=ENDED):
    return {"load": TaskState(state=state, started_at=began, ended_at=ended), "other": TaskState(
        state="success", started_at=None, ended_at=None)}  # fmt: skip


def seen(observation):
    return observation.state, observation.at, observation.detail


# ------------------------------------------------------------------------------------------- its run, or the task of it

RUNNING, FAILED, QUEUED = run("running", ended_at=None), run("failed"), run("queued", started_at=None, ended_at=None)


@pytest.mark.parametrize(
    ("watched", "of", "tasks", "state", "at", "said"),
    [
        (ITSELF, run("success"), {}, "arrived", ENDED, "success"),
        (evolve(ITSELF, itself=False), run("success"), {}, "done", ENDED, "success"),
        (ITSELF, FAILED, {}, "failed", ENDED, "failed"),
        (ITSELF, QUEUED, {}, "waiting", NOW, "queued"),
        (ITSELF, RUNNING, {}, "started", BEGAN, "running"),
        (ITSELF, evolve(RUNNING, started_at=None), {}, "started", NOW, "running"),
        (ITSELF, run("success", ended_at=NOW + HOUR), {}, "arrived", NOW, "success"),
        (ITSELF, evolve(RUNNING, started_at=NOW + HOUR), {}, "started", NOW, "running"),
        (ITSELF, run("failed", ended_at=None), {}, "failed", NOW, "failed"),
        # A whole run is looked at as a whole, whatever its tasks are doing.
        (ITSELF, run("success"), task("failed"), "arrived", ENDED, "success"),
        # A task is looked at by itself, whatever its run is doing.
        (TASK, RUNNING, task("success"), "arrived", ENDED, "success"),
        (TASK, FAILED, task("success", ended=ENDED - MINUTE), "arrived", ENDED - MINUTE, "success"),
        (DATASET, RUNNING, task("success"), "done", ENDED, "success"),
        (TASK, RUNNING, task("failed"), "failed", ENDED, "failed"),
        (DATASET, RUNNING, task("upstream_failed"), "failed", ENDED, "upstream_failed"),
        (TASK, RUNNING, task("skipped"), "skipped", ENDED, "skipped"),
        (DATASET, run("success"), task("skipped"), "skipped", ENDED, "skipped"),
        (TASK, RUNNING, task("removed", None, None), "skipped", NOW, "removed"),
        (TASK, FAILED, task("removed", None, None), "skipped", NOW, "removed"),
        (TASK, RUNNING, task(None, None, None), "waiting", NOW, "not scheduled"),
        (TASK, RUNNING, task("scheduled", None, None), "waiting", NOW, "scheduled"),
        # An earlier try began long ago; it waits all the same.
        (TASK, RUNNING, task("queued", BEGAN, ENDED), "waiting", NOW, "queued"),
        (TASK, RUNNING, task("running", BEGAN, None), "started", BEGAN, "running"),
        (TASK, RUNNING, task("deferred", BEGAN, None), "started", BEGAN, "deferred"),
        (TASK, RUNNING, task("up_for_retry", BEGAN, ENDED), "started", BEGAN, "up_for_retry"),
        # dagrun_timeout: what was not done is skipped, without an end or after that of the run.
        (TASK, FAILED, task("skipped", None, None), "failed", ENDED, "skipped because its run failed"),
        (TASK, FAILED, task("skipped", BEGAN, ENDED), "failed", ENDED, "skipped because its run failed"),
        (DATASET, FAILED, task("skipped", BEGAN, ENDED + MINUTE), "failed", ENDED, "skipped because its run failed"),
        # A branch that was not taken, in a run that failed somewhere else.
        (TASK, FAILED, task("skipped", BEGAN, ENDED - MINUTE), "skipped", ENDED - MINUTE, "skipped"),
    ],
)
def test_what_its_run_or_task_says(watched, of, tasks, state, at, said) -> None:
    for dag in (DAG, None, evolve(DAG, stale=True)):  # nobody asks for the DAG where there is a run
        observation = sight(watched, PARTITION, NOW, dag, [of], tasks)
        what = "run scheduled__1, task load" if watched.task_id else "run scheduled__1"
        assert seen(observation) == (state, at, f"{what}: {said}")
        assert (observation.kind, observation.subject) == (watched.kind, watched.subject)
        assert (observation.interval, observation.source, observation.run) == (PARTITION, watched.source, "")


def test_a_task_that_its_run_does_not_have() -> None:
    state, at, detail = seen(sight(evolve(TASK, task_id="lod"), PARTITION, NOW, DAG, [RUNNING], task("success")))
    assert (state, at, detail) == ("absent", NOW, "run scheduled__1 has no task lod")


@pytest.mark.parametrize(("of", "told"), [(QUEUED, True), (RUNNING, True), (FAILED, False), (run("success"), False)])
def test_that_the_dag_of_a_run_is_paused_is_told_where_it_matters(of, told) -> None:
    paused = sight(ITSELF, PARTITION, NOW, evolve(DAG, paused=True), [of])
    plain = sight(ITSELF, PARTITION, NOW, DAG, [of])
    assert paused == evolve(plain, detail=plain.detail + ("; DAG orders is paused" if told else ""))


# -------------------------------------------------------------------------------------------------------------- no run


@pytest.mark.parametrize(
    ("dag", "now", "state", "detail"),
    [
        (None, NOW, "absent", "Airflow knows no DAG orders, or does not show it"),
        ({"stale": True}, NOW, "absent", "Airflow finds DAG orders in no file any more"),
        ({"stale": True, "paused": True}, NOW, "absent", "Airflow finds DAG orders in no file any more"),
        ({"paused": True}, NOW, "paused", "DAG orders is paused"),
        ({"paused": True}, END - HOUR, "paused", "DAG orders is paused"),
        ({"next_run_after": END}, END - MINUTE, "waiting", "it is not over yet"),
        ({"next_run_after": None}, END - MINUTE, "waiting", "it is not over yet"),
        ({"next_run_after": None}, END, "absent", "Airflow has not made its run, and plans none"),
        ({"next_run_after": END}, END, "absent", "Airflow has not made its run, which was due 00:00 UTC"),
        ({"next_run_after": END + 5 * HOUR}, NOW, "absent", "Airflow has not made its run, which was due 05:00 UTC"),
        (
            {"next_run_after": END},
            END + 3 * DAY,
            "absent",
            "Airflow has not made its run, which was due 2026-11-21 00:00 UTC",
        ),
        ({"next_run_after": NOW + MINUTE}, NOW, "waiting", "its run is due 06:01 UTC"),
        ({"next_run_after": END + DAY - MINUTE}, NOW, "waiting", "its run is due 23:59 UTC"),
        (
            {"next_run_after": END - DAY},
            NOW,
            "absent",
            "Airflow has not made its run: it is behind, one was due 2026-11-20 00:00 UTC",
        ),
        (
            {"next_run_after": END + DAY},
            NOW,
            "absent",
            "Airflow has not made its run; the next one is that of 2026-11-22 00:00 UTC",
        ),
        (
            {"next_run_after": END + DAY},
            END + 3 * DAY,
            "absent",
            "Airflow has not made its run; the next one is that of 2026-11-22 00:00 UTC",
        ),
    ],
)
def test_what_is_said_where_there_is_no_run(dag, now, state, detail) -> None:
    dag = dag if dag is None else evolve(DAG, **dag)
    other = run("success", interval=None, logical=None, after=END + DAY)
    for watched in (ITSELF, TASK, DATASET):
        assert seen(sight(watched, PARTITION, now, dag, [other], task("success"))) == (state, now, detail)
    if dag is not None:
        broken = sight(ITSELF, PARTITION, now, evolve(dag, has_import_errors=True), [])
        assert seen(broken) == (state, now, f"{detail}; its file does not load")


def test_an_airflow_that_says_nothing() -> None:
    observation = unreachable(DATASET, PARTITION, NOW, AirflowError("Airflow eu does not answer: x", down=True))
    assert seen(observation) == ("unreachable", NOW, "Airflow eu does not answer: x")
    assert (observation.kind, observation.subject, observation.source) == ("table", "sales.orders", "airflow:eu")


# --------------------------------------------------------------------------------------------------- whose run it is

AT_ONCE = (END, END)


@pytest.mark.parametrize(
    ("of", "its"),
    [
        ({}, True),
        ({"after": END + 9 * DAY}, True),  # made by hand, days later, of this very interval
        # The timetables of Airflow 3 give runs of a moment.
        ({"interval": AT_ONCE, "logical": END}, True),
        ({"interval": (END + DAY, END + DAY), "logical": END + DAY, "after": END + DAY}, False),
        # Days of another place.
        ({"interval": (PARTITION.start + 5 * HOUR, END + 5 * HOUR)}, True),
        ({"interval": (PARTITION.start - HOUR, END - HOUR)}, False),
        ({"interval": (PARTITION.start - HOUR, END)}, True),
        ({"interval": (END, END + DAY - MINUTE)}, True),
        ({"interval": (END, END + DAY)}, False),
        # Without an interval the logical date counts, and without that when it was due.
        ({"interval": None, "logical": END + 7 * HOUR, "after": END + 9 * DAY}, True),
        ({"interval": None, "logical": PARTITION.start, "after": END}, False),
        ({"interval": None, "logical": END + DAY, "after": END}, False),
        ({"interval": None, "logical": None, "after": END}, True),
        ({"interval": None, "logical": None, "after": END + DAY - MINUTE}, True),
        ({"interval": None, "logical": None, "after": END - MINUTE}, False),
        ({"interval": None, "logical": None, "after": END + DAY}, False),
    ],
)
def test_which_run_is_that_of_the_partition(of, its) -> None:
    one = run("success", **of)
    assert (run_of(PARTITION, DAY, [one]) == one) is its


@pytest.mark.parametrize(
    ("runs", "best"),
    [
        ([FAILED, run("success", "manual__1", interval=None, logical=None)], "manual__1"),
        ([FAILED, run("queued", "backfill__1")], "backfill__1"),
        ([run("queued", "a"), run("running", "b")], "b"),
        ([run("running", "a"), run("success", "b")], "b"),
        ([run("success", "late", ended_at=NOW), run("success", "first", ended_at=ENDED)], "first"),
        ([run("of_a_later_airflow", "a"), run("failed", "b")], "a"),
        ([run("running", "b", ended_at=None), run("running", "a", ended_at=None)], "a"),
    ],
)
def test_of_several_runs_the_best_one_counts_in_whatever_order_they_come(runs, best) -> None:
    for _ in range(3):
        random.Random(best).shuffle(runs)
        found = run_of(PARTITION, DAY, runs)
        assert found is not None and found.run_id == best


@pytest.mark.parametrize("cadence", [MINUTE, HOUR, DAY, 7 * DAY])
def test_each_scheduled_run_is_that_of_one_partition(cadence) -> None:
    start = datetime(2026, 11, 16, tzinfo=UTC)
    partitions = [Interval(start + n * cadence, start + (n + 1) * cadence) for n in range(6)]
    for shift in (timedelta(0), cadence / 3):
        for of_a_moment in (False, True):
            runs = []
            for partition in partitions:
                end = partition.end + shift
                begin = end if of_a_moment else end - cadence
                runs.append(run("success", str(end), interval=(begin, end), logical=begin, after=end))
            assert [run_of(partition, cadence, runs) for partition in partitions] == runs
