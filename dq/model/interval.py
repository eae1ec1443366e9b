"""Half-open data intervals: the partition that a run looks at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from attrs import field, frozen

from dq.model.errors import DeclarationError


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise DeclarationError(f"the time {value.isoformat()} has no time zone; dq works in UTC")
    return value.astimezone(UTC)


@frozen(order=True)
class Interval:
    """A half-open data interval ``[start, end)`` in UTC.

    Attributes:
        start: the first instant that belongs to it.
        end: the first instant that no longer does.
    """

    start: datetime = field(converter=_utc)
    end: datetime = field(converter=_utc)

    def __attrs_post_init__(self) -> None:
        if self.end <= self.start:
            raise DeclarationError(f"the interval {self.start} to {self.end} is empty")

    @classmethod
    def of_day(cls, day: date | str) -> Interval:
        """Return the UTC day ``day`` (a date or ``"2026-11-20"``).

        Raises:
            DeclarationError: when it is no date.
        """
        if isinstance(day, str):
            try:
                day = date.fromisoformat(day)
            except ValueError:
                raise DeclarationError(f'{day!r} is not a date; write it like "2026-11-20"') from None
        if not isinstance(day, date):
            raise DeclarationError(f'{day!r} is not a date; write it like "2026-11-20"')
        start = datetime.combine(day, time(), UTC)
        return cls(start, start + timedelta(days=1))

    def days(self) -> Iterator[Interval]:
        """Yield the UTC days that the interval touches, oldest first."""
        day = self.start.date()
        while datetime.combine(day, time(), UTC) < self.end:
            yield Interval.of_day(day)
            day += timedelta(days=1)

    def with_earlier(self, count: int) -> tuple[Interval, ...]:
        """Return as many intervals of its length before it, and itself; oldest first."""
        length = self.end - self.start
        return tuple(Interval(self.start - n * length, self.end - n * length) for n in range(count, -1, -1))

    @property
    def is_longer_than_day(self) -> bool:
        """Whether it is a look back over several days, rather than one partition of a daily pipeline."""
        return self.end - self.start > timedelta(days=1)

    @property
    def is_day(self) -> bool:
        """Whether it is exactly one UTC day."""
        return self.end - self.start == timedelta(days=1) and self.start.time() == time()

    def to_json(self) -> dict[str, str]:
        """Return the documented JSON form."""
        return {"start": self.start.isoformat(), "end": self.end.isoformat()}

    def __str__(self) -> str:
        if self.is_day:
            return self.start.date().isoformat()
        if self.start.time() == self.end.time() == time():
            return f"{self.start.date()}..{self.end.date() - timedelta(days=1)}"
        return f"{_short(self.start)}/{_short(self.end)}"


def _short(at: datetime) -> str:
    # Never shorter than exact: the text of a partition is part of the identity of an SLA incident.
    return at.replace(tzinfo=None).isoformat().removesuffix(":00")
