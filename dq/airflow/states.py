"""What became of the tasks of a DAG run, on each line of Airflow in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
