"""Which partitions of a dataset are promised. Pure: the time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.sla import Sla

DAY = timedelta(days=1)
LOOKBACK = timedelta(days=7)
"""How much of the past is looked at."""
MOST = 200
"""And how many partitions."""
REST = timedelta(days=100)
"""A calendar that promised nothing for so long is not asked for what was before."""

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # so that days begin at midnight and weeks on Monday


def due_partitions(
    sla: Sla, now: datetime, cadence: timedelta = DAY, lookback: timedelta = LOOKBACK
) -> tuple[Interval, ...]:
    """Return the newest promised partitions whose deadline has passed, oldest first; at most ``MOST``.

    Args:
        sla: the promise.
        now: an aware time.
        cadence: the length of a partition; partitions begin at multiples of it (UTC days, hours, weeks from Monday).
        lookback: how much of the past, counted back from the end of the newest due partition.

    Raises:
        DeclarationError: when nothing is known of the holidays that the promise names.
    """
    due: list[Interval] = []
    oldest: datetime | None = None
    for partition in _backwards(now, cadence):
        if oldest is None and sla.deadline(partition) < now:
            oldest = partition.start - REST
        if oldest is not None and sla.promises(partition):
            if not due:
                oldest = partition.end - lookback
            due.append(partition)
        if len(due) == MOST or (oldest is not None and partition.start - cadence < oldest):
            break
    return tuple(reversed(due))


def waiting_partitions(
    sla: Sla, seen: Sequence[Observation], now: datetime, cadence: timedelta
) -> tuple[Interval, ...]:
    """Return the promised partitions that have ended and are not due yet, oldest first.

    Args:
        sla: the promise.
        seen: the observations of the subject, as for ``expected_partitions``.
        now: an aware time.
        cadence: the length of a partition.
    """
    odd, mostly = _cut_otherwise([o for o in seen if o.at <= now], cadence)
    found = {p for p in odd if p.end <= now <= sla.deadline(p) and sla.promises(p)} if mostly else set()
    for partition in _backwards(now, cadence):
        if sla.deadline(partition) < now or len(found) >= MOST:
            break
        if not mostly and partition.end <= now and sla.promises(partition):
            found.add(partition)
    return tuple(sorted(found))


def partition_at(at: datetime, cadence: timedelta) -> Interval:
    """Return the partition of length ``cadence`` that ``at`` lies in."""
    return next(_backwards(at, cadence))


def _backwards(now: datetime, cadence: timedelta) -> Iterator[Interval]:
    start = _MONDAY + (now - _MONDAY) // cadence * cadence
    while True:
        yield Interval(start, start + cadence)
        start -= cadence


def expected_partitions(
    sla: Sla,
    seen: Sequence[Observation],
    open_partitions: Iterable[Interval],
    now: datetime,
    cadence: timedelta = DAY,
    lookback: timedelta = LOOKBACK,
    first: datetime | None = None,
    due: Sequence[Interval] | None = None,
) -> tuple[Interval, ...]:
    """Return the partitions of one subject to judge now, oldest first.

    These are all that are open, and of the newest whose deadline has passed (``due_partitions``):

    - those due since the subject was first seen, so that a fresh store tells nothing about the past;
    - of those due before, only the newest, and only when it was seen itself or when nothing was seen at all.

    A subject whose partitions are mostly cut otherwise (hours, or days of another time zone) is judged by those that
    were seen; a partition of ``cadence`` is then expected only where nothing was seen, so that its death is noticed.

    Args:
        sla: the promise.
        seen: the observations of the subject since ``lookback``.
        open_partitions: the partitions of which it is not known yet what came of them.
        now: an aware time.
        cadence: the length of a partition.
        lookback: how much of the past.
        first: when the subject was first seen; None: as ``seen`` says.
        due: what ``due_partitions`` returns for these, where that is known already.

    Raises:
        DeclarationError: when nothing is known of the holidays that the promise names.
    """
    seen = [o for o in seen if o.at <= now]
    due = due_partitions(sla, now, cadence, lookback) if due is None else due
    odd, mostly = _cut_otherwise(seen, cadence)
    if mostly and due:
        untouched = [p for p in due if not any(o.start < p.end and p.start < o.end for o in odd)]
        cut = [p for p in odd if p.start >= due[0].start and sla.deadline(p) < now and sla.promises(p)]
        due = tuple(sorted({*untouched, *cut}))
    first = min((o.at for o in seen), default=None) if first is None else first
    if first is None:
        due = due[-1:]
    else:
        newest = due[-1:] if due and any(o.interval == due[-1] for o in seen) else ()
        due = (*(p for p in due if sla.deadline(p) >= first), *newest)
    return tuple(sorted({*due, *open_partitions}))


def _cut_otherwise(seen: Sequence[Observation], cadence: timedelta) -> tuple[set[Interval], bool]:
    """Return the partitions that are cut otherwise than by ``cadence``, and whether most are."""
    # A clock change makes a day an hour longer; what is longer still is a report over many partitions.
    shapes = {o.interval for o in seen if o.interval.end - o.interval.start <= cadence + timedelta(hours=1)}
    odd = {p for p in shapes if p.end - p.start != cadence or (p.start - _MONDAY) % cadence}
    return odd, 2 * len(odd) > len(shapes)
