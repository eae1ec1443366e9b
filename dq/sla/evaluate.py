"""Whether each promise is kept. Pure: the time is an argument.

The decision table of ``evaluate``; only what was seen at or before ``now`` counts, in whatever order it is given.
*Late* is what comes after it was due and its grace; *bad enough* is the first rung of the ladder of severities.

    first seen to be there    excused  now                   what speaks          answer
    ------------------------  -------  --------------------  -------------------  --------------------------------
    in time                   -        any                   newest: right        on_time
    in time                   -        any                   newest: wrong        data_wrong
    late                      yes      any                   any                  excused
    late, not bad enough      no       any                   any                  late_but_done
    late, bad enough          no       any                   any                  met_after_miss
    never                     yes      any                   any                  excused
    never                     no       any                   skipped              excused
    never                     no       not late yet          any                  at_risk, by the table below; else
                                                                                  pending
    never                     no       late                  nothing, waiting     never_started
    never                     no       late                  absent               never_created
    never                     no       late                  paused               paused
    never                     no       late                  started              late_running
    never                     no       late                  failed               failed
    never                     no       late                  missing, done        data_missing
    never                     no       late                  unmeasured           unmeasured
    never                     no       late                  unreachable          source_down

The first arrival decides, and nothing that is seen later takes it back: the promise says when the data was there. Rows
that vanish afterwards are found by the checks of the suite, whose incident is another one; were they to undo the
arrival, one breach would page, resolve and page again. That something is skipped holds until it is seen otherwise: a
task that somebody cleared after all is promised again.

What speaks, where several look: of each who looks only the newest sighting counts. Of these, what a task or run does
(waiting, absent, paused, started, failed, skipped) says more than that the data is not there, which is why anybody
asks; within each kind the newest speaks. Data that is there beats a task that says so: of a dataset, a task that
succeeded is seen as *done*, which is no arrival.

    not late yet, and not there                                                      answer
    -------------------------------------------------------------------------------  -------
    ``warn_before`` before it is due has come                                        at_risk
    it has not begun, and what earlier runs needed would end after it is due          at_risk
    it was seen to fail, or its DAG is paused, and ``warn_before`` is given           at_risk
    anything else                                                                    pending
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from dq.model.interval import Interval
from dq.model.kept import Answer
from dq.model.observation import Observation
from dq.model.severity import Severity
from dq.model.sla import Sla

_OVERDUE = {
    "waiting": Answer.NEVER_STARTED,
    "absent": Answer.NEVER_CREATED,
    "paused": Answer.PAUSED,
    "started": Answer.LATE_RUNNING,
    "missing": Answer.DATA_MISSING,
    "done": Answer.DATA_MISSING,
    "unmeasured": Answer.UNMEASURED,
    "failed": Answer.FAILED,
    "unreachable": Answer.SOURCE_DOWN,
}
_THERE = ("arrived", "wrong")
_OF_TASKS = ("waiting", "absent", "paused", "started", "failed", "skipped")
_NOT_BEGUN = ("waiting", "absent", "paused")
# Of two sightings at one instant, the later word counts.
_RANK = (
    "arrived", "wrong", "unreachable", "waiting", "absent", "paused", "started", "done", "unmeasured", "failed",
    "missing", "skipped",
)  # fmt: skip


@frozen(kw_only=True)
class Expectation:
    """One partition that is promised, or one DAG run.

    Attributes:
        kind: ``suite``, ``reconciliation``, ``dataset``, ``dag`` or ``task``.
        subject: its name.
        interval: the partition; of a DAG run what it is about.
        due_at: the instant (UTC) at which it must be there; being there at that instant is in time.
        sla: the promise.
        run: the DAG run, of a DAG or task; else ``""``.
        needs: how long earlier runs took from their beginning; None: that is not known well enough.
        excuse: why it does not count; empty: it does.
        runs: what is promised is that a run is made, whatever it finds.
    """

    kind: str
    subject: str
    interval: Interval
    due_at: datetime
    sla: Sla
    run: str = ""
    needs: timedelta | None = None
    excuse: str = ""
    runs: bool = False

    @classmethod
    def of(cls, kind: str, subject: str, interval: Interval, sla: Sla) -> Expectation:
        """Return what ``sla`` promises about the partition ``interval`` of the subject."""
        return cls(kind=kind, subject=subject, interval=interval, due_at=sla.deadline(interval), sla=sla)

    @property
    def late_at(self) -> datetime:
        """What comes after this instant is late."""
        return self.due_at + self.sla.grace

    @property
    def turns(self) -> tuple[datetime, ...]:
        """The instants after which, by time alone, something else is to be said, in order."""
        early = [self.due_at - lead for lead in (self.sla.warn_before, self.needs) if lead is not None]
        return tuple(sorted({*early, self.late_at, *(self.due_at + rung for _, rung in self.sla.ladder)}))


@frozen(kw_only=True)
class SlaVerdict:
    """What came of one promise.

    Attributes:
        expectation: the promise.
        answer: what came of it.
        now: the instant at which it was judged.
        arrived_at: when the partition was first seen to be there.
        newest: the sighting that speaks of it, of those that are no arrival.
        wrong: whether what is there is known to be wrong; None: it is not there.
    """

    expectation: Expectation
    answer: Answer
    now: datetime
    arrived_at: datetime | None = None
    newest: Observation | None = None
    wrong: bool | None = None

    @property
    def bad(self) -> bool:
        """Whether it is overdue and has not arrived."""
        return self.answer.overdue

    @property
    def missed(self) -> bool:
        """Whether it was not there in time, however it went on."""
        return self.answer.missed

    @property
    def late(self) -> timedelta:
        """How late it is or was, after it was due; zero when it is not."""
        return max((self.arrived_at or self.now) - self.expectation.due_at, timedelta(0))

    @property
    def severity(self) -> Severity | None:
        """How bad it is or was, by how late; None: nobody has to know of it (yet)."""
        if self.answer is Answer.AT_RISK:
            return Severity.WARNING
        return self.expectation.sla.severity_of(self.late) if self.missed else None

    @property
    def over(self) -> bool:
        """Whether nothing that is seen later, nor time, can change what came of it."""
        return self.arrived_at is not None or (self.answer is Answer.EXCUSED and not self.expectation.excuse)


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
    there = sorted((o for o in seen if o.state in _THERE), key=_age)
    newest = _speaks(o for o in seen if o.state not in _THERE)
    if there:
        answer = _of_arrival(expectation, there[0].at, wrong=there[-1].state == "wrong")
    elif expectation.excuse or (newest is not None and newest.state == "skipped"):
        answer = Answer.EXCUSED
    elif now <= expectation.late_at:
        answer = Answer.AT_RISK if _at_risk(expectation, newest, now) else Answer.PENDING
    else:
        answer = Answer.NEVER_STARTED if newest is None else _OVERDUE[newest.state]
    return SlaVerdict(
        expectation=expectation,
        answer=answer,
        now=now,
        arrived_at=there[0].at if there else None,
        newest=newest,
        wrong=there[-1].state == "wrong" if there else None,
    )


def _age(observation: Observation) -> tuple[datetime, int, str, str]:
    return observation.at, _RANK.index(observation.state), observation.source, observation.detail


def _speaks(seen: Iterable[Observation]) -> Observation | None:
    newest = {observation.source: observation for observation in sorted(seen, key=_age)}.values()
    of_tasks = [observation for observation in newest if observation.state in _OF_TASKS]
    return max(of_tasks or newest, key=_age, default=None)


def _of_arrival(expectation: Expectation, at: datetime, *, wrong: bool) -> Answer:
    if at <= expectation.late_at:
        return Answer.DATA_WRONG if wrong else Answer.ON_TIME
    if expectation.excuse:
        return Answer.EXCUSED
    told = expectation.sla.severity_of(at - expectation.due_at) is not None
    return Answer.MET_AFTER_MISS if told else Answer.LATE_BUT_DONE


def _at_risk(expectation: Expectation, newest: Observation | None, now: datetime) -> bool:
    lead = expectation.sla.warn_before
    if lead is not None and (now >= expectation.due_at - lead or (newest and newest.state in ("failed", "paused"))):
        return True
    begun = newest is not None and newest.state not in _NOT_BEGUN
    return expectation.needs is not None and not begun and now >= expectation.due_at - expectation.needs
