"""Which partitions are promised, and whether each promise is kept. Pure: the time is an argument.

The decision table of ``evaluate``; only what was seen at or before ``now`` counts, in whatever order it is given:

    first "arrived"       now                 newest sighting   answer
    at or before due      any                 any               on_time
    after due             any                 any               met_after_miss
    none                  any                 skipped           excused
    none                  at or before due    any other         pending
    none                  after due           none, waiting     never_started
    none                  after due           started           late_running
    none                  after due           missing           data_missing
    none                  after due           unmeasured        unmeasured
    none                  after due           failed            failed

The first arrival decides, and nothing that is seen later takes it back: the promise says when the data was there. Rows
that vanish afterwards are found by the checks of the suite, whose incident is another one; were they to undo the
arrival, one breach would page, resolve and page again. That something is skipped holds until it is seen otherwise: a
task that somebody cleared after all is promised again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from attrs import frozen

from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.severity import Severity
from dq.model.sla import Sla

DAY = timedelta(days=1)
LOOKBACK = timedelta(days=7)

_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)  # so that days begin at midnight and weeks on Monday
# Of two sightings at one instant, the later word counts.
_ANSWER_RANK = ("waiting", "started", "unmeasured", "failed", "missing", "skipped")


class Answer(enum.StrEnum):
    """What is to be said of one promise; the table above says when."""

    PENDING = "pending"
    ON_TIME = "on_time"
    MET_AFTER_MISS = "met_after_miss"
    NEVER_STARTED = "never_started"
    LATE_RUNNING = "late_running"
    DATA_MISSING = "data_missing"
    UNMEASURED = "unmeasured"
    FAILED = "failed"
    EXCUSED = "excused"


_WELL = (Answer.PENDING, Answer.ON_TIME, Answer.MET_AFTER_MISS, Answer.EXCUSED)
_OVERDUE = {
    "waiting": Answer.NEVER_STARTED,
    "started": Answer.LATE_RUNNING,
    "missing": Answer.DATA_MISSING,
    "unmeasured": Answer.UNMEASURED,
    "failed": Answer.FAILED,
}


@frozen(kw_only=True)
class Expectation:
    """One partition that is promised, or one DAG run.

    Attributes:
        kind: ``suite``, ``reconciliation``, ``dag`` or ``task``.
        subject: its name.
        interval: the partition; of a DAG run what it is about.
        due_at: the instant (UTC) at which it must be there; being there at that instant is in time.
        severity: how bad it is when it is not.
        sla: the promise, for the words that people read and for ``on_miss``.
        run: the DAG run, of a DAG or task; else ``""``.
    """

    kind: str
    subject: str
    interval: Interval
    due_at: datetime
    severity: Severity
    sla: Sla
    run: str = ""

    @classmethod
    def of(cls, kind: str, subject: str, interval: Interval, sla: Sla) -> Expectation:
        """Return what ``sla`` promises about the partition ``interval`` of the subject."""
        return cls(
            kind=kind, subject=subject, interval=interval, due_at=sla.deadline(interval), severity=sla.severity, sla=sla
        )


@frozen(kw_only=True)
class SlaVerdict:
    """What came of one promise.

    Attributes:
        expectation: the promise.
        answer: what came of it.
        now: the instant at which it was judged.
        arrived_at: when the partition was first seen to be there.
        newest: the newest sighting of the partition that is no arrival.
    """

    expectation: Expectation
    answer: Answer
    now: datetime
    arrived_at: datetime | None = None
    newest: Observation | None = None

    @property
    def bad(self) -> bool:
        """Whether it is overdue and has not arrived."""
        return self.answer not in _WELL

    @property
    def missed(self) -> bool:
        """Whether the deadline was missed, however it went on."""
        return self.bad or self.answer is Answer.MET_AFTER_MISS

    @property
    def late(self) -> timedelta:
        """How late it is or was; zero when it is not."""
        return max((self.arrived_at or self.now) - self.expectation.due_at, timedelta(0))


def evaluate(
    expectations: Iterable[Expectation], observations: Iterable[Observation], now: datetime
) -> tuple[SlaVerdict, ...]:
    """Judge every promise by what was seen until ``now``; see the decision table above.

    Args:
        expectations: the promises.
        observations: what was seen, in any order, of these and of other partitions.
        now: an aware time; what was seen later is not known yet.

    Returns:
        One verdict per promise, in their order.
    """
    seen: dict[tuple[str, str, Interval | str], list[Observation]] = {}
    for observation in observations:
        if observation.at <= now:
            seen.setdefault(_what(observation), []).append(observation)
    return tuple(_judge(e, seen.get(_what(e), ()), now) for e in expectations)


def _what(one: Expectation | Observation) -> tuple[str, str, Interval | str]:
    return one.kind, one.subject, one.run or one.interval


def _judge(expectation: Expectation, seen: Sequence[Observation], now: datetime) -> SlaVerdict:
    arrived_at = min((o.at for o in seen if o.state == "arrived"), default=None)
    others = (o for o in seen if o.state != "arrived")
    newest = max(others, key=lambda o: (o.at, _ANSWER_RANK.index(o.state), o.source, o.detail), default=None)
    if arrived_at is not None:
        answer = Answer.ON_TIME if arrived_at <= expectation.due_at else Answer.MET_AFTER_MISS
    elif newest is not None and newest.state == "skipped":
        answer = Answer.EXCUSED
    elif now <= expectation.due_at:
        answer = Answer.PENDING
    else:
        answer = Answer.NEVER_STARTED if newest is None else _OVERDUE[newest.state]
    return SlaVerdict(expectation=expectation, answer=answer, now=now, arrived_at=arrived_at, newest=newest)


def due_partitions(
    sla: Sla, now: datetime, cadence: timedelta = DAY, lookback: timedelta = LOOKBACK
) -> tuple[Interval, ...]:
    """Return the newest partitions whose deadline has passed, oldest first.

    Args:
        sla: the promise.
        now: an aware time.
        cadence: the length of a partition; partitions begin at multiples of it (UTC days, hours, weeks from Monday).
        lookback: how much of the past, counted back from the end of the newest due partition.
    """
    due: list[Interval] = []
    for partition in _backwards(now, cadence):
        if due and partition.start < due[0].end - lookback:
            break
        if due or sla.deadline(partition) < now:
            due.append(partition)
    return tuple(reversed(due))


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
) -> tuple[Interval, ...]:
    """Return the partitions of one subject to judge now, oldest first.

    These are all with an open incident, and of the newest whose deadline has passed (``due_partitions``):

    - those due since the subject was first seen, so that a fresh store tells nothing about the past;
    - of those due before, only the newest, and only when it was seen itself or when nothing was seen at all.

    A subject whose partitions are mostly cut otherwise (hours, or days of another time zone) is judged by those that
    were seen; a partition of ``cadence`` is then expected only where nothing was seen, so that its death is noticed.

    Args:
        sla: the promise.
        seen: the observations of the subject, its earliest among them (``observations.load`` sees to it).
        open_partitions: the partitions that have an open SLA incident.
        now: an aware time.
        cadence: the length of a partition.
        lookback: how much of the past.
    """
    seen = [o for o in seen if o.at <= now]
    due = due_partitions(sla, now, cadence, lookback)
    # A clock change makes a day an hour longer; what is longer still is a report over many partitions.
    shapes = {o.interval for o in seen if o.interval.end - o.interval.start <= cadence + timedelta(hours=1)}
    odd = {p for p in shapes if p.end - p.start != cadence or (p.start - _MONDAY) % cadence}
    if 2 * len(odd) > len(shapes):
        untouched = [p for p in due if not any(o.start < p.end and p.start < o.end for o in odd)]
        cut = [p for p in odd if p.start >= due[0].start and sla.deadline(p) < now]
        due = tuple(sorted({*untouched, *cut}))
    first = min((o.at for o in seen), default=None)
    if first is None:
        due = due[-1:]
    else:
        newest = due[-1:] if due and due[-1] in shapes else ()
        due = (*(p for p in due if sla.deadline(p) >= first), *newest)
    return tuple(sorted({*due, *open_partitions}))
