"""What an Airflow says of itself, its DAGs, their runs and tasks. All times are UTC."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

ComponentName = Literal["metadatabase", "scheduler", "triggerer", "dag_processor"]


@frozen(kw_only=True)
class Component:
    """A part of an Airflow.

    Attributes:
        name: which one.
        state: ``healthy``, ``unhealthy``, or ``unknown``: Airflow has never seen one, or cannot look.
        heartbeat: its last sign of life; None: there is none, and never of the metadata database.
    """

    name: ComponentName
    state: Literal["healthy", "unhealthy", "unknown"]
    heartbeat: datetime | None = None


@frozen(kw_only=True)
class Dag:
    """A DAG.

    Attributes:
        dag_id: its id.
        paused: no runs of it are made, and those that wait do not start.
        stale: Airflow no longer finds it in any file.
        next_run_after: when its next run is to be made; None: none is planned, because it has no schedule, because its
            time is over, or on Airflow 2 because as many runs are active as may be.
        has_import_errors: its file does not load.
    """

    dag_id: str
    paused: bool
    stale: bool
    next_run_after: datetime | None
    has_import_errors: bool


@frozen(kw_only=True)
class DagRun:
    """A run of a DAG.

    Attributes:
        dag_id: of the DAG.
        run_id: its id.
        state: ``queued``, ``running``, ``success`` or ``failed``.
        run_type: who made it, e.g. ``scheduled``, ``manual`` or ``backfill``.
        logical_date: None where it has none.
        data_interval: what it is about, start and end, which may be one instant; None where it has none.
        run_after: when it was due to start. Airflow 2 does not tell: the end of what it is about.
        queued_at: when it was made or cleared; None: Airflow 2 does not tell.
        started_at: when its first task began; None: none has.
        ended_at: when it ended; None: it has not.
    """

    dag_id: str
    run_id: str
    state: str
    run_type: str
    logical_date: datetime | None
    data_interval: tuple[datetime, datetime] | None
    run_after: datetime
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@frozen(kw_only=True)
class TaskState:
    """A task of a run; of a mapped one, all instances together.

    Attributes:
        state: as Airflow names it, e.g. ``running`` or ``upstream_failed``; None: it is not scheduled yet.
        started_at: when it, or the first instance, began; None: none has.
        ended_at: when it, or the last instance that decides, ended; None: it has not.
    """

    state: str | None
    started_at: datetime | None
    ended_at: datetime | None
