"""What came of a promise: one partition of a dataset, or one run."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta

from attrs import frozen

from dq.model.interval import Interval
from dq.model.severity import Severity


class Answer(enum.StrEnum):
    """What is to be said of one promise; the decision table is in ``dq.sla.evaluate``."""

    PENDING = "pending"
    AT_RISK = "at_risk"
    ON_TIME = "on_time"
    DATA_WRONG = "data_wrong"
    LATE_BUT_DONE = "late_but_done"
    MET_AFTER_MISS = "met_after_miss"
    NEVER_CREATED = "never_created"
    NEVER_STARTED = "never_started"
    PAUSED = "paused"
    LATE_RUNNING = "late_running"
    DATA_MISSING = "data_missing"
    UNMEASURED = "unmeasured"
    FAILED = "failed"
    SOURCE_DOWN = "source_down"
    EXCUSED = "excused"

    @property
    def waits(self) -> bool:
        """Whether it has not come, and need not have yet."""
        return self in (Answer.PENDING, Answer.AT_RISK)

    @property
    def overdue(self) -> bool:
        """Whether it should be there and is not."""
        return not self.waits and self not in _ENDED

    @property
    def missed(self) -> bool:
        """Whether it was not there in time, however it went on."""
        return self.overdue or self in (Answer.LATE_BUT_DONE, Answer.MET_AFTER_MISS)


_ENDED = (Answer.ON_TIME, Answer.DATA_WRONG, Answer.LATE_BUT_DONE, Answer.MET_AFTER_MISS, Answer.EXCUSED)


@frozen(kw_only=True)
class Kept:
    """One promise and what came of it: what budgets, reports and the status are made of.

    Attributes:
        kind: ``suite``, ``reconciliation``, ``dataset``, ``dag`` or ``task``.
        subject: what is promised.
        part: the partition as text, or the id of the run.
        interval: the partition; of a run what it is about.
        due_at: when it had to be there, UTC.
        answer: what came of it.
        arrived_at: when it was there, UTC; None: it has not come.
        late: how late it is or was, after it was due; zero where it is not.
        wrong: whether a check failed at error or worse in it; None: nobody has looked.
        bad, total: how many of the rows or orgs that ``Sla.of`` counts were bad, and of how many; None: not counted.
        excuse: why it does not count; empty: it counts.
        cause: why it was late or is, in a few words for people; empty: nothing is known.
        owner: who answers for it; empty: nobody is named.
        severity: how bad it was at worst; None: it was not.
    """

    kind: str
    subject: str
    part: str
    interval: Interval
    due_at: datetime
    answer: Answer
    arrived_at: datetime | None = None
    late: timedelta = timedelta(0)
    wrong: bool | None = None
    bad: int | None = None
    total: int | None = None
    excuse: str = ""
    cause: str = ""
    owner: str = ""
    severity: Severity | None = None
