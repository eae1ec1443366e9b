"""What somebody saw of a partition; SLAs are judged from these alone."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

from dq.model.interval import Interval

ObservedState = Literal["arrived", "missing", "unmeasured", "waiting", "started", "failed", "skipped"]


@frozen(kw_only=True)
class Observation:
    """One sighting of one partition.

    Attributes:
        kind: ``suite``, ``reconciliation``, ``dag`` or ``task``.
        subject: its name; of a task the DAG and the task, ``orders.load``.
        interval: the partition.
        state: ``arrived`` (rows were there, a task or DAG run succeeded), ``missing``, ``unmeasured``, ``waiting`` (it
            has not begun), ``started``, ``failed``, or ``skipped`` (nothing has to come any more).
        at: when it was seen, UTC.
        source: who saw it, e.g. ``close`` or ``airflow``.
        detail: a few words for people.
        run: the DAG run, of a DAG or task; else ``""``.
    """

    kind: str
    subject: str
    interval: Interval
    state: ObservedState
    at: datetime
    source: str
    detail: str = ""
    run: str = ""
