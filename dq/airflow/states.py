"""What became of the tasks of a DAG run, and when, on each line of Airflow in its own way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

Key = tuple[str, int]
"""The id of a task and the index of a mapped one, -1 of any other."""
_MOST_ASKED = 100


def states_of(context: Mapping[str, Any], *task_ids: str) -> dict[str, str]:
    """Return the states of tasks of this DAG run by task id; a task that has none yet is left out.

    Of a mapped task it is asked by one with the same map index, and is the state of that one. On Airflow 3 a task has
    no metadata database and asks the task API; on Airflow 2 it is the other way round.
    """
    run, ti = context["dag_run"], context["ti"]
    index = ti.map_index if ti.map_index is not None and ti.map_index >= 0 else None
    if hasattr(ti, "get_task_states"):
        asked = ti.get_task_states(
            dag_id=context["dag"].dag_id, run_ids=[run.run_id], task_ids=list(task_ids), map_index=index
        )
        end = "" if index is None else f"_{index}"  # how the task API names the one of a mapped task
        found = {task: asked.get(run.run_id, {}).get(task + end) for task in task_ids}
    else:
        same = (ti for ti in run.get_task_instances() if index is None or ti.map_index == index)
        found = {ti.task_id: ti.state for ti in same if ti.task_id in task_ids}
    return {task: str(state) for task, state in found.items() if state is not None}


def run_states(context: Mapping[str, Any]) -> dict[Key, str]:
    """Return the states of all tasks of this DAG run, those of mapped ones one by one; ``none`` where there is none.

    Works in a task and in a callback of a DAG. Empty where nobody can be asked: where Airflow gives the callback no
    task instance, and in the callbacks of ``dag.test()``.
    """
    ti, run = context.get("ti"), context.get("dag_run")
    if ti is None or run is None:
        return {}
    if not hasattr(ti, "get_task_states"):
        return {(one.task_id, one.map_index): str(one.state or "none") for one in run.get_task_instances()}
    from airflow.sdk.execution_time import task_runner

    if not hasattr(task_runner, "SUPERVISOR_COMMS"):
        return {}
    dag = context["dag"]
    asked = ti.get_task_states(dag_id=dag.dag_id, run_ids=[run.run_id]).get(run.run_id, {})
    return {_key(name, dag.task_ids): str(state or "none") for name, state in asked.items()}


def run_times(context: Mapping[str, Any], keys: Collection[Key]) -> dict[Key, tuple[datetime, datetime]]:
    """Return when tasks of this DAG run began and ended, as far as that can be asked.

    Airflow 3 has no question for it, but tells of "the task instance before a logical date" when it began and ended,
    and before the instant after this run's that is the one of this run. A run without a logical date has no times, and
    of more than a hundred tasks they are not asked, because each is a question of its own.
    """
    ti, run = context["ti"], context["dag_run"]
    if not hasattr(ti, "get_task_states"):
        found = {(one.task_id, one.map_index): (one.start_date, one.end_date) for one in run.get_task_instances()}
        return {key: times for key, times in found.items() if key in keys and None not in times}
    if run.logical_date is None or len(keys) > _MOST_ASKED:
        return {}
    # Not public, like what get_task_states itself is made of; a test on a real Airflow notices when it goes.
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import GetPreviousTI

    times: dict[Key, tuple[datetime, datetime]] = {}
    for task, index in keys:
        before = run.logical_date + timedelta(microseconds=1)
        question = GetPreviousTI(dag_id=context["dag"].dag_id, task_id=task, map_index=index, logical_date=before)
        one = getattr(task_runner.SUPERVISOR_COMMS.send(question), "task_instance", None)
        if one is not None and one.run_id == run.run_id and one.start_date and one.end_date:
            times[task, index] = one.start_date, one.end_date
    return times


def _key(name: str, task_ids: Collection[str]) -> Key:
    """Return task and index of what Airflow 3 calls ``load`` or, mapped, ``load_3``."""
    task, _, index = name.rpartition("_")
    return (task, int(index)) if name not in task_ids and task in task_ids and index.isdecimal() else (name, -1)
