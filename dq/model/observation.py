"""What somebody saw of a partition; SLAs are judged from these alone."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from attrs import frozen

from dq.model.interval import Interval

ObservedState = Literal["arrived", "missing", "unmeasured", "started", "failed"]


@frozen(kw_only=True)
class Observation:
    """One sighting of one partition.

    Attributes:
        kind: ``suite`` or ``reconciliation`` (later also a table, DAG or task).
        subject: its name.
        interval: the partition.
        state: ``arrived`` (rows were there), ``missing``, ``unmeasured``, ``started`` or ``failed``.
        at: when it was seen, UTC.
        source: who saw it, e.g. ``close`` or ``airflow``.
        detail: a few words for people.
    """

    kind: str
    subject: str
    interval: Interval
    state: ObservedState
    at: datetime
    source: str
    detail: str = ""
