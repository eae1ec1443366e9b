"""What is in the answers of Airflow's REST API; :mod:`dq.sla.rest` asks for them.

Each function raises a ValueError, LookupError, TypeError or AttributeError for what Airflow would not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from dq.model.airflow import Component, ComponentName, Dag, DagRun, TaskState
from dq.model.promise import sighted, whole


def components(said: Mapping[str, Any]) -> tuple[Component, ...]:
    """Read the health of an Airflow. Where its database is away, it knows nothing of what has its heartbeat there."""
    blind = said["metadatabase"]["status"] != "healthy"
    found = []
    for name in get_args(ComponentName):
        part = said.get(name) or {}
        known = part.get("status") in ("healthy", "unhealthy") and (name == "metadatabase" or not blind)
        state: Any = part["status"] if known else "unknown"
        found.append(Component(name=name, state=state, heartbeat=_time(part.get(f"latest_{name}_heartbeat"))))
    return tuple(found)


def dag(said: Mapping[str, Any]) -> Dag:
    """Read one of the DAGs."""
    v2 = "is_stale" in said
    return Dag(
        dag_id=said["dag_id"],
        paused=bool(said["is_paused"]),
        stale=said["is_stale"] if v2 else not said["is_active"],
        next_run_after=_time(said["next_dagrun_run_after" if v2 else "next_dagrun_create_after"]),
        has_import_errors=bool(said["has_import_errors"]),
    )


def run(said: Mapping[str, Any]) -> DagRun:
    """Read one of the runs."""
    logical_date = _time(said["logical_date"])
    start, end = _time(said["data_interval_start"]), _time(said["data_interval_end"])
    run_after = _time(said.get("run_after")) or end or logical_date
    if run_after is None:
        raise ValueError
    return DagRun(
        dag_id=said["dag_id"],
        run_id=said["dag_run_id"],
        state=said["state"],
        run_type=said["run_type"],
        logical_date=logical_date,
        data_interval=(start, end) if start and end else None,
        run_after=run_after,
        queued_at=_time(said.get("queued_at")),
        started_at=_time(said["start_date"]),
        ended_at=_time(said["end_date"]),
    )


def instance(said: Mapping[str, Any]) -> tuple[str, TaskState]:
    """Read a task instance: of which task it is, and how it is doing."""
    started_at, ended_at = _time(said["start_date"]), _time(said["end_date"])
    return said["task_id"], TaskState(state=said["state"], started_at=started_at, ended_at=ended_at)


def together(mapped: Sequence[TaskState]) -> TaskState:
    """Return a mapped task as one: the instances which keep it most from being done decide."""
    state = whole(one.state for one in mapped)
    deciding = [one.ended_at for one in mapped if sighted(one.state) == sighted(state)]
    ended = [at for at in deciding if at is not None]
    return TaskState(
        state=state,
        started_at=min((one.started_at for one in mapped if one.started_at), default=None),
        ended_at=max(ended) if len(ended) == len(deciding) else None,
    )


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).astimezone(UTC)
