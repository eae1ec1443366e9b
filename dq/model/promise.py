"""What an SLA promises about one DAG run, or one task of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from attrs import field, frozen

from dq.model.interval import Interval
from dq.model.names import short_key
from dq.model.observation import ObservedState
from dq.model.sla import Sla

LONGEST_SUBJECT = 180
"""Characters of a subject. The store keeps 190, with its kind before it; each id of Airflow may have 250."""

ITSELF = "itself"
"""The source of what a task or DAG says of its own end."""

GONE = "gone"
"""The state of a run that Airflow no longer has."""

_STATES: dict[str | None, ObservedState] = {
    "success": "arrived",
    "failed": "failed",
    "upstream_failed": "failed",
    "skipped": "skipped",
    "removed": "skipped",
    GONE: "skipped",
    None: "waiting",
    "scheduled": "waiting",
    "queued": "waiting",
}
_DONE_LAST: tuple[ObservedState, ...] = ("failed", "started", "waiting", "arrived", "skipped")


@frozen(kw_only=True)
class Promise:
    """One DAG run, or one task of it, that is promised.

    Attributes:
        dag_id: of the DAG.
        task_id: of the task; ``""``: the whole run.
        run_id: of the DAG run.
        logical_date: of the DAG run, UTC; None: it has none.
        run_after: when the run was due to start, UTC; ``within`` counts from here, and ``due`` is the first such time
            of day at or after it.
        created_at: when the run was made, UTC.
        sla: the promise; its ``on_miss`` is a text.
        labels: what routes match on, beside environment, kind and severity.
        mapped: the task is mapped: it is done when all of its instances are.
        due_at: when it must be done, UTC; from what is known of holidays when it is made, whatever is known later.

    Raises:
        DeclarationError: when nothing is known of the holidays that its ``due_on`` names.
    """

    dag_id: str
    task_id: str = ""
    run_id: str
    logical_date: datetime | None = None
    run_after: datetime
    created_at: datetime
    sla: Sla
    labels: Mapping[str, str] = field(factory=dict, hash=False)
    mapped: bool = False
    due_at: datetime = field()

    @due_at.default
    def _deadline(self) -> datetime:
        return self.sla.deadline(self.interval)

    @property
    def kind(self) -> Literal["dag", "task"]:
        """What is promised."""
        return "task" if self.task_id else "dag"

    @property
    def subject(self) -> str:
        """The name of what is promised: ``orders``, or ``orders.load``."""
        return subject_of(self.dag_id, self.task_id)

    @property
    def interval(self) -> Interval:
        """From the logical date to when the run was due; of a run without such a length the day before it was due."""
        start = self.logical_date
        if start is None or start >= self.run_after:
            start = self.run_after - timedelta(days=1)
        return Interval(start, self.run_after)

    @property
    def is_wanted(self) -> bool:
        """Whether its day is in the calendar: that of its data interval; without one, the day it was due to start.

        Raises:
            DeclarationError: when nothing is known of the holidays that the calendar names.
        """
        start = self.logical_date
        if start is None or start >= self.run_after:
            return self.sla.promises(Interval(self.run_after, self.run_after + timedelta(minutes=1)))
        return self.sla.promises(self.interval)

    @property
    def late_at(self) -> datetime:
        """What comes after this instant is late."""
        return self.due_at + self.sla.grace

    @property
    def warns(self) -> bool:
        """Whether there may be something to tell before it is due."""
        return self.sla.warn_before is not None

    @property
    def matters_at(self) -> datetime:
        """From when on somebody must know how it stands: as it is due, or people are warned."""
        return self.due_at - (self.sla.warn_before or timedelta(0))


def subject_of(dag_id: str, task_id: str = "") -> str:
    """Return the name of a DAG, or of a task of it, as the store keeps it."""
    return short_key(f"{dag_id}.{task_id}" if task_id else dag_id, LONGEST_SUBJECT)


def sighted(state: str | None) -> ObservedState:
    """Return what a state of Airflow's, of a task or a run, says; the table is in ``dq.sla.promises``."""
    return _STATES.get(state, "started")


def whole(states: Iterable[str | None]) -> str | None:
    """Return the state of a mapped task: that of the instance which keeps it most from being done."""
    return min(states, key=lambda state: _DONE_LAST.index(sighted(state)), default=None)
