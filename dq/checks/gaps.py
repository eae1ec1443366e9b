"""Gaps: stretches of time without a row.

The partition, and ``lookback=`` before it, is cut into buckets of ``every=``. What a bucket is:

    it has rows                                  good
    it has none, and is over                     a violation
    it has none, and is not over yet             not looked at: its rows may still come
    the last one, cut short by the partition     like any other, from its start to the end of the partition
    rows with a NULL in the column               in no bucket

No rows in the partition at all is no data, as for every check of rows, whatever the time before it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from typing import ClassVar

from attrs import field, frozen

from dq.checks.kind import RowKind, bad_column, whole
from dq.model.duration import format_duration, parse_duration
from dq.model.interval import Interval
from dq.model.measure import Buckets, Measure
from dq.model.reading import Counted, Moment, Numbers

MOST = 10_000
"""How many buckets a check has at most."""

NAMED = 5
"""How many gaps a sentence names."""


def _duration(value: str | timedelta | None) -> timedelta:
    return timedelta(0) if value is None else parse_duration(value)


@frozen
class Gaps(RowKind):
    """Every stretch of time has rows: ``Gaps("created_at", every="1h")``.

    A violation is a bucket without rows, and a share is one of the buckets that are over. Buckets begin with the
    partition; a time without a zone is read as UTC.

    Attributes:
        column: a time column; with ``every="1d"`` a date will do.
        every: how long a bucket is, a duration of whole seconds.
        lookback: how far before the partition buckets are looked at, too: a whole number of ``every``.
    """

    noun: ClassVar[str] = "bucket"
    column: str
    every: timedelta = field(converter=_duration)
    lookback: timedelta = field(default=None, converter=_duration, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if self.every % timedelta(seconds=1):
            yield f"every={str(self.every)!r} is not a number of whole seconds"
        elif self.lookback % self.every:
            yield f"lookback={format_duration(self.lookback)} is not a whole number of {format_duration(self.every)}"
        elif self.lookback // self.every > MOST:
            yield f"lookback={format_duration(self.lookback)} has more than {MOST} buckets"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows per bucket."""
        return {"buckets": Measure("buckets", Buckets(self.column, self.every, self.lookback), where)}

    def count(self, numbers: Numbers, moment: Moment) -> Counted:
        """Return the buckets without rows, the stretches that they make by name."""
        there = {whole(row[0]) for row in numbers.get("buckets") or () if whole(row[1])}
        looked_at = list(self.buckets(moment))
        empty = [bucket for number, bucket in enumerate(looked_at) if number not in there]
        gaps = list(_joined(empty))
        more = f" and {len(gaps) - NAMED} more" if len(gaps) > NAMED else ""
        said = f"none in {', '.join(map(_shown, gaps[:NAMED]))}{more}" if gaps else None
        listed = [gap.to_json() for gap in gaps]
        return Counted(len(empty), rows=len(looked_at), detail={"gaps": listed}, said=said)

    def buckets(self, moment: Moment) -> Iterator[Interval]:
        """Yield the buckets that are over, the oldest first."""
        start, end = moment.interval.start - self.lookback, min(moment.interval.end, moment.now)
        while start < end:
            until = min(start + self.every, moment.interval.end)
            if until <= moment.now:
                yield Interval(start, until)
            start += self.every

    def __str__(self) -> str:
        back = f" and {format_duration(self.lookback)} before" if self.lookback else ""
        return f"every {format_duration(self.every)} of {self.column}{back} has rows"


def _joined(buckets: list[Interval]) -> Iterator[Interval]:
    """Yield neighbours as one."""
    start: datetime | None = None
    for number, bucket in enumerate(buckets):
        start = start or bucket.start
        if number + 1 == len(buckets) or buckets[number + 1].start != bucket.end:
            yield Interval(start, bucket.end)
            start = None


def _shown(gap: Interval) -> str:
    if gap.start.time() == gap.end.time() == time():
        return str(gap).replace("..", " to ")
    end = f"{gap.end:%H:%M}" if gap.start.date() == gap.end.date() else f"{gap.end:%Y-%m-%d %H:%M}"
    return f"{gap.start:%Y-%m-%d %H:%M} to {end}"
