"""Keeping: what is due, late and kept; known outages; whether a dataset is there, and what it waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from statistics import median

from attrs import frozen
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.silences import a_name
from dq.app.overdue import kind_of_promise, promised_by
from dq.app.session import Promising, all_promised, in_transaction, judgement_time, transaction
from dq.model.budget import Budget
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.sla import Sla
from dq.plugins import suggest
from dq.project import Project
from dq.reports.attainment import SPANS, Attained
from dq.sla import excuses, partitions, watchers
from dq.sla.budget import budgets
from dq.sla.evaluate import Expectation, SlaVerdict, evaluate
from dq.sla.excuses import ALL, Excuse
from dq.sla.expected import partition_at
from dq.sla.findings import cause, sentence
from dq.sla.observations import load_many
from dq.sla.subject import Key, Subject
from dq.sla.watchers import Sign

ENOUGH = 5
"""Of so many partitions it must be known when they came."""
PAST = timedelta(days=28)
"""From so much of the past it is known when a dataset usually comes."""


@frozen(kw_only=True)
class Standing:
    """How a promise stands.

    Attributes:
        kind, subject, owner: whose.
        promise: what is promised, for people.
        open: what is due or late and has not come, the one that was due first at the front.
        last: the newest of which it is known what came of it; None: none yet.
        next_due: when the next partition is due that has not ended yet, UTC; None: nobody can say.
        budgets: its error budgets.
    """

    kind: str
    subject: str
    owner: str
    promise: str
    open: tuple[Kept, ...]
    last: Kept | None
    next_due: datetime | None
    budgets: tuple[Budget, ...]


def standings(project: Project, names: Iterable[str] = (), now: datetime | None = None) -> tuple[Standing, ...]:
    """Return how every promise stands, what is late first, then what is due first.

    Args:
        project: whose declarations and environment.
        names: only of these; none: of all.
        now: the time of the question; None: now, or ``DQ_NOW``.

    Raises:
        UsageError: when one of the names promises nothing.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    promised = promised_of(project, names, now)
    longest = max([PAST, *(subject.sla.window for subject, _ in promised.values())])
    by_subject: dict[Key, list[Kept]] = {}
    for one in kept(project, now - longest, [name for _, name in promised] if names else ()):
        by_subject.setdefault((one.kind, one.subject), []).append(one)
    found = [_standing(subject, by_subject.get(key, ()), now) for key, (subject, _) in promised.items()]
    first = {s.subject: s.open[0].due_at if s.open else s.next_due or now for s in found}
    return tuple(sorted(found, key=lambda s: (not s.open, first[s.subject], s.subject)))


def _standing(subject: Subject, mine: Sequence[Kept], now: datetime) -> Standing:
    ended = [one for one in mine if not (one.answer.waits or one.answer.overdue)]
    ahead = partition_at(now, subject.cadence)
    for _ in range(400):  # the next day that a calendar promises is at most so far
        if subject.sla.promises(ahead):
            break
        ahead = Interval(ahead.end, ahead.end + subject.cadence)
    return Standing(
        kind=subject.kind,
        subject=subject.name,
        owner=subject.owner,
        promise=str(subject.sla),
        open=tuple(one for one in mine if one.answer.waits or one.answer.overdue),
        last=ended[-1] if ended else None,
        next_due=subject.sla.deadline(ahead) if subject.sla.promises(ahead) else None,
        budgets=budgets(mine, subject.sla, now, subject.cadence),
    )


def promised_names(project: Project) -> tuple[str, ...]:
    """Return the names of all that promise something, also of what cannot be judged."""
    promised, unsound = promised_by(project, judgement_time())
    return tuple(sorted({*(name for _, name in promised), *unsound}))


def unjudged(project: Project, now: datetime | None = None) -> tuple[str, ...]:
    """Return why promises of the project cannot be judged, a sentence each.

    Args:
        project: whose declarations.
        now: the time of the question; None: now, or ``DQ_NOW``.
    """
    return tuple(promised_by(project, now or judgement_time())[1].values())


def kept(project: Project, since: datetime, names: Iterable[str] = ()) -> tuple[Kept, ...]:
    """Return what came of promises that were due since then, the one that was due first at the front.

    Args:
        project: whose environment.
        since: an aware time.
        names: only of these subjects; none: of all.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return partitions.kept(connection, project.environment, since, names)


def attained(project: Project, names: Iterable[str] = (), now: datetime | None = None) -> tuple[Attained, ...]:
    """Return how the promises of the project were kept in the last 90 days, and what is left of their budgets.

    Args:
        project: whose declarations and environment.
        names: only of these; none: of all.
        now: the end of the report; None: now, or ``DQ_NOW``.

    Raises:
        UsageError: when one of the names promises nothing.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    subjects = [subject for subject, _ in promised_of(project, names, now).values()]
    with transaction(project) as connection:
        return attained_of(connection, project.environment, subjects, now)


def attained_of(
    connection: Connection, environment: str, subjects: Collection[Subject], now: datetime
) -> tuple[Attained, ...]:
    """Return how the promises of ``subjects`` were kept in the last 90 days, and what is left of their budgets."""
    longest = max([timedelta(days=max(SPANS)), *(subject.sla.window for subject in subjects)])
    by_subject: dict[Key, list[Kept]] = {}
    for one in partitions.kept(connection, environment, now - longest, [subject.name for subject in subjects]):
        by_subject.setdefault((one.kind, one.subject), []).append(one)
    return tuple(
        Attained(
            subject=subject.name,
            owner=subject.owner,
            promise=f"{subject.sla}, {subject.sla.consequences}",
            kept=tuple(by_subject.get(subject.key, ())),
            budgets=budgets(by_subject.get(subject.key, ()), subject.sla, now, subject.cadence),
        )
        for subject in subjects
    )


def promised_of(project: Project, names: Iterable[str], now: datetime) -> dict[Key, tuple[Subject, Promising]]:
    """Return what is promised of each of ``names``, of all when there are none.

    Raises:
        UsageError: when one of the names promises nothing.
    """
    promised, unsound = promised_by(project, now)
    known = {name for _, name in promised}
    wanted = tuple(names)
    for name in wanted:
        if name in unsound:
            raise UsageError(unsound[name])
        if name not in known:
            raise UsageError(f"nothing is promised of {name!r}; {suggest(name, tuple(sorted(known)))}")
    return {key: found for key, found in promised.items() if not wanted or key[1] in wanted}


def watchers_of(project: Project) -> tuple[Sign, ...]:
    """Return the last sign of life of each watcher, the newest first.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return watchers.signs(connection, project.environment)


# ------------------------------------------------------------------------------------------------------ known outages


def excuse(
    project: Project,
    name: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    who: str,
    now: datetime | None = None,
) -> int:
    """Say that what falls due in a known outage neither pages nor counts; return the number of the excuse.

    Args:
        project: whose environment.
        name: of a suite, reconciliation or dataset, or ``*``: of all.
        starts_at, ends_at: aware times; what falls due in between, the start included, is excused.
        reason: why, for people; every report says it.
        who: the name of a person.
        now: when that is said.

    Raises:
        UsageError: when nothing is promised under that name, the time is none, or the reason is missing.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    promised, unsound = promised_by(project, now)
    known = {*(subject for _, subject in promised), *unsound}
    if name != ALL and name not in known:
        raise UsageError(f"nothing is promised of {name!r}; {suggest(name, tuple(sorted(known)))}, or '*' for all")
    if ends_at <= starts_at:
        raise UsageError(f"the outage ends ({ends_at:%Y-%m-%d %H:%M}) before it begins ({starts_at:%Y-%m-%d %H:%M})")
    if not reason.strip():
        raise UsageError("an excuse needs a reason: people will read it in every report")

    def work(connection: Connection) -> int:
        number = excuses.add(
            connection, project.environment, name, starts_at, ends_at, reason.strip(), a_name(who), now
        )
        body = {"excuse": number, "starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat(), "by": who}
        events.append(connection, project.environment, events.EventName.EXCUSE_ADDED, name, body, now)
        return number

    return in_transaction(project, work)


def take_back(project: Project, number: int, who: str, now: datetime | None = None) -> None:
    """Take an excuse back: what fell due in it counts again.

    Raises:
        UsageError: when there is none of that number that holds.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()

    def work(connection: Connection) -> None:
        if not excuses.end(connection, project.environment, number, now):
            raise UsageError(f"there is no excuse {number} that holds; `dq sla excuses` lists them")
        body = {"excuse": number, "by": a_name(who)}
        events.append(connection, project.environment, events.EventName.EXCUSE_ENDED, str(number), body, now)

    in_transaction(project, work)


def excused(project: Project) -> tuple[Excuse, ...]:
    """Return the excuses that hold, the newest last.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return excuses.holding(connection, project.environment)


# ---------------------------------------------------------------------------------------------------- is it there yet?


@frozen(kw_only=True)
class DatasetStatus:
    """Whether a partition of a dataset is there, and else what it waits for.

    Attributes:
        name: of the suite, reconciliation or dataset.
        interval: the partition.
        complete: it is there.
        wrong: a check failed at error or worse in it; None: nobody has looked.
        answer: what came of what is promised of it.
        sentence: that, for people.
        waits_for: whom it waits for: the dataset at the root of it, which may be itself; empty where it is complete.
        cause: what was seen of that one.
        since: since when that is so, UTC; None: nothing was seen.
        due_at: when it must be there, UTC; None: nothing is promised.
        expected_at: when it usually would be there, by the past four weeks, UTC; None: too little is known.
        arrived_at: when it was there, UTC.
    """

    name: str
    interval: Interval
    complete: bool
    wrong: bool | None
    answer: Answer
    sentence: str
    waits_for: str
    cause: str
    since: datetime | None
    due_at: datetime | None
    expected_at: datetime | None
    arrived_at: datetime | None

    @property
    def ready(self) -> bool:
        """Whether somebody may start who needs it: it is there, and not known to be wrong."""
        return self.complete and not self.wrong


def dataset_status(
    project: Project, name: str, interval: Interval | None = None, now: datetime | None = None
) -> DatasetStatus:
    """Return whether a partition is there, and else what it waits for, since when, and when it is to be expected.

    Args:
        project: whose declarations and environment.
        name: of a suite, reconciliation or dataset.
        interval: the partition; None: the newest that has ended and is promised.
        now: the time of the question; None: now, or ``DQ_NOW``.

    Raises:
        UsageError: when nothing of that name is declared.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    declared = {one.name: one for one in all_promised(project)}
    if name not in declared:
        raise UsageError(f"there is nothing of the name {name!r}; {suggest(name, tuple(sorted(declared)))}")
    promises, unsound = promised_by(project, now)
    subjects = {subject.name: subject for subject, _ in promises.values()}
    interval = interval or _newest(subjects.get(name), now)
    with transaction(project) as connection:
        own, seen_at = _verdict(connection, project, declared[name], subjects.get(name), interval, now)
        root, root_seen = own, seen_at
        passed = {name}
        while root.arrived_at is None:  # down to the first that is not there of those it is made from
            for above in getattr(declared[root.expectation.subject], "upstream", ()):
                if above in passed or above not in declared:
                    continue
                passed.add(above)
                theirs, at = _verdict(connection, project, declared[above], subjects.get(above), interval, now)
                if theirs.arrived_at is None:
                    root, root_seen = theirs, at
                    break
            else:
                break
    promised = name in subjects and not subjects[name].runs and subjects[name].sla.promises(interval)
    return DatasetStatus(
        name=name,
        interval=interval,
        complete=own.arrived_at is not None,
        wrong=own.wrong,
        answer=own.answer,
        sentence=sentence(own) if promised else _unpromised(own, known=name not in unsound),
        waits_for="" if own.arrived_at is not None else root.expectation.subject,
        cause="" if own.arrived_at is not None else cause(root),
        since=own.arrived_at or root_seen,
        due_at=own.expectation.due_at if promised else None,
        expected_at=None if own.arrived_at is not None else _usually(kept(project, now - PAST, [name]), interval),
        arrived_at=own.arrived_at,
    )


def _newest(subject: Subject | None, now: datetime) -> Interval:
    cadence = timedelta(days=1) if subject is None else subject.cadence
    ended = newest = partition_at(now - cadence, cadence)
    for _ in range(400):
        if subject is None or subject.sla.promises(newest):
            return newest
        newest = Interval(newest.start - cadence, newest.start)
    return ended  # nothing has been promised for very long


def _verdict(
    connection: Connection,
    project: Project,
    declared: Promising,
    subject: Subject | None,
    interval: Interval,
    now: datetime,
) -> tuple[SlaVerdict, datetime | None]:
    """Return what came of a partition, and since when what speaks of it is so."""
    kind = kind_of_promise(declared)
    sla = Sla(within="1d") if subject is None or subject.runs else subject.sla
    seen = load_many(connection, project.environment, [(kind, declared.name)], interval.end - timedelta(microseconds=1))
    expectation = Expectation.of(kind, declared.name, interval, sla)
    (verdict,) = evaluate([expectation], seen.get((kind, declared.name), ()), now)
    return verdict, None if verdict.newest is None else verdict.newest.at


def _unpromised(own: SlaVerdict, *, known: bool) -> str:
    interval = own.expectation.interval
    promise = "nothing is promised of it" if known else "what is promised of it cannot be judged, see `dq lint`"
    if own.arrived_at is not None:
        return f"partition {interval} is there, since {own.arrived_at:%Y-%m-%d %H:%M} UTC; {promise}"
    return f"partition {interval} is not there; {cause(own)}; {promise}"


def _usually(past: Iterable[Kept], interval: Interval) -> datetime | None:
    """Return when a partition usually is there: the median of at least five."""
    lags = [(one.arrived_at - one.interval.end).total_seconds() for one in past if one.arrived_at is not None]
    return interval.end + timedelta(seconds=median(lags)) if len(lags) >= ENOUGH else None
