"""What somebody saw of a partition; SLAs are judged from these alone."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

from dq.model.interval import Interval

ObservedState = Literal[
    "arrived", "wrong", "missing", "unmeasured",
    "waiting", "started", "failed", "skipped", "absent", "paused", "done",
    "unreachable",
]  # fmt: skip


@frozen(kw_only=True)
class Observation:
    """One sighting of one partition.

    Attributes:
        kind: ``suite``, ``reconciliation``, ``dataset``, ``dag`` or ``task``.
        subject: its name; of a task the DAG and the task, ``orders.load``.
        interval: the partition.
        state: ``arrived`` (rows were there, a task or DAG run succeeded), ``wrong`` (rows were there, and a check
            failed at error or worse), ``missing``, ``unmeasured``, ``waiting`` (it has not begun), ``started``,
            ``failed``, ``skipped`` (nothing has to come any more), ``absent`` (no run was made for it), ``paused``
            (its DAG is), ``done`` (the task says so; the data is another matter), or ``unreachable`` (who should know
            does not answer).
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
