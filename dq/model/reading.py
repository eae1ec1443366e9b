"""What a kind makes of the numbers that were measured for it, and what else it may know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from attrs import field, frozen

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity
from dq.model.thresholds import Value

Numbers = Mapping[str, Any]
"""Measured numbers by role; a role that was not needed is not there."""

Detail = Mapping[str, Any]
"""More of what was found, as JSON values, for a report; never a row's data."""


@frozen
class Wanted:
    """Which older partitions a kind wants to see; only those of about the length of its own count.

    Attributes:
        last: how many, the newest first.
        step: only those that began a whole number of such steps earlier; None: any.
        failed: whether those where the check failed at error or above are among them.
        since: only those that began then or later.
    """

    last: int
    step: timedelta | None = None
    failed: bool = False
    since: datetime | None = None


@frozen
class Past:
    """What the same check measured for an older partition.

    Attributes:
        interval: the partition.
        measured: the number, see ``Result.measured``.
        failed: whether the check failed there at error or above.
    """

    interval: Interval
    measured: Value
    failed: bool = False


@frozen
class Kept:
    """A measured number as the store keeps it.

    Attributes:
        check: the name of the check.
        group: the org; None for the whole.
        interval: the partition.
        measured: the number, see ``Result.measured``.
        rows: rows that were looked at.
        outcome, severity: what came of it.
    """

    check: str
    group: Group | None
    interval: Interval
    measured: Fraction
    rows: int | None = None
    outcome: Outcome = Outcome.PASS
    severity: Severity | None = None

    @property
    def past(self) -> Past:
        """What it is to a younger partition."""
        failed = self.outcome is Outcome.FAIL and self.severity is not None and self.severity >= Severity.ERROR
        return Past(self.interval, self.measured, failed)


@frozen
class Moment:
    """What a judgement may know besides the numbers.

    Attributes:
        now: the time of the judgement.
        interval: the partition.
        past: what the check, or this org of it, measured before; the newest partition first.
        recorded: what was recorded for the check to be held against (a schema, a distribution); None: nothing was.
    """

    now: datetime
    interval: Interval
    past: tuple[Past, ...] = ()
    recorded: Any = None


@frozen
class Counted:
    """What a row kind counted.

    Attributes:
        violations: how many break it; those that are unknown are among them.
        rows: of how many; None where that is not known.
        unknown: how many of the violations are so because of a NULL; None where that says nothing.
        detail: more, for a report.
        said: what people should know beside the count.
        record: what later runs of the check are held against, where nothing was recorded for it yet; JSON values.
    """

    violations: int
    rows: int | None = None
    unknown: int | None = None
    detail: Detail | None = None
    said: str | None = None
    record: Any = None


@frozen
class Valued:
    """What a value kind measured.

    Attributes:
        value: what is held against the bounds; None: there is nothing to judge, because every value is NULL.
        measured: what later judgements of the same check are held against; None: ``value`` itself.
        detail: more, for a report.
        said: what people should know beside the value.
        back: turns an end of bounds into the measured number that would just reach it, so that the band of what is
            allowed can be shown; None: the value is the measured number.
    """

    value: Value | None
    measured: Value | None = field(default=None, kw_only=True)
    detail: Detail | None = field(default=None, kw_only=True)
    said: str | None = field(default=None, kw_only=True)
    back: Callable[[Fraction], Fraction] | None = field(default=None, kw_only=True)
