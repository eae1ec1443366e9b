"""What became of the tasks of a DAG run, on each line of Airflow in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def states_of(context: Mapping[str, Any], *task_ids: str) -> dict[str, str]:
    """Return the states of tasks of this DAG run by task id; a task that has none yet is left out.

    On Airflow 3 a task has no metadata database and asks the task API; on Airflow 2 it is the other way round.
    """
    run, ti = context["dag_run"], context["ti"]
    if hasattr(ti, "get_task_states"):
        asked = ti.get_task_states(dag_id=context["dag"].dag_id, run_ids=[run.run_id], task_ids=list(task_ids))
        found = asked.get(run.run_id, {})
    else:
        found = {ti.task_id: ti.state for ti in run.get_task_instances() if ti.task_id in task_ids}
    return {task: str(state) for task, state in found.items() if state is not None}
