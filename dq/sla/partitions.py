"""What came of each promised partition, written down: whoever judges, and however often, a breach is told once.

There is a row for each subject that has an SLA; holding it is the right to judge the subject, so several watchers and
the closes of runs take turns. It says when the subject must be looked at again though nothing new is seen; whoever
writes down an observation marks it. So a round in which nothing happens reads one table.

There is a row for each promised partition, from its end until it is known what came of it, and then for good: a promise
that is changed later changes no past.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve, frozen
from sqlalchemy import and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.engine import Connection

from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.observation import Observation
from dq.model.severity import Severity
from dq.sla import excuses, pace
from dq.sla.evaluate import Expectation, SlaVerdict, evaluate
from dq.sla.excuses import Excuse
from dq.sla.expected import due_partitions, expected_partitions, partition_at, waiting_partitions
from dq.sla.findings import cause
from dq.sla.observations import first_seen, load_many
from dq.sla.subject import Key, Subject
from dq.store.schema import promise as kept_table
from dq.store.schema import subject as subject_table
from dq.store.upsert import insert_or_lock

_AT_ONCE = 200
"""So many subjects are looked up with one statement."""


@frozen
class Judged:
    """What came of one promised partition, and what was known of it before.

    Attributes:
        verdict: what came of it.
        is_new: whether it tells of a miss for the first time.
        was_told: whether an incident of it is open.
    """

    verdict: SlaVerdict
    is_new: bool
    was_told: bool

    @classmethod
    def of(cls, verdict: SlaVerdict, row: Any) -> Judged:
        """Return what came of a promise, of which ``row`` is written down, or None."""
        is_new = verdict.missed and verdict.severity is not None and (row is None or row.severity is None)
        return cls(verdict, is_new, row is not None and bool(row.told))


def what_came(judged: Judged, row: Any) -> dict[str, Any]:
    """Return what is to be written down of a promise, of which ``row`` is, or None."""
    verdict = judged.verdict
    # An early warning stands while it is late and not bad enough yet.
    told = verdict.severity is not None or (verdict.bad and judged.was_told)
    severities = (verdict.severity if verdict.missed else None, None if row is None else row.severity)
    return {
        "due_at": verdict.expectation.due_at,
        "answer": str(verdict.answer),
        "arrived_at": verdict.arrived_at,
        "severity": max((int(s) for s in severities if s is not None), default=None),
        "told": int(told and not verdict.over),
        "cause": cause(verdict) if verdict.missed else None,
    }


def due_for_a_look(
    connection: Connection, environment: str, subjects: Iterable[Subject], now: datetime
) -> tuple[list[Subject], list[Key]]:
    """Return the subjects that must be looked at now, and the keys of those that are no longer declared.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        subjects: all that have an SLA.
        now: an aware time.
    """
    c = subject_table.c
    rows = connection.execute(
        select(c.kind, c.subject, c.promise, c.next_at, c.news).where(c.environment == environment)
    ).all()
    known = {(row.kind, row.subject): row for row in rows}
    due = []
    for subject in subjects:
        row = known.pop(subject.key, None)
        if row is None or row.news or (row.next_at and row.next_at <= now) or row.promise != subject.promise:
            due.append(subject)
    return due, sorted(known)


def awaited(
    connection: Connection, environment: str, subjects: Sequence[Subject], now: datetime
) -> tuple[Expectation, ...]:
    """Return what is promised and has not come, of what has ended: what a watcher looks at. Nothing is written.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        subjects: whose promises.
        now: an aware time.

    Raises:
        DeclarationError: when nothing is known of the holidays that a promise names.
    """
    known = {subject.key: subject for subject in subjects}
    new, _ = due_for_a_look(connection, environment, subjects, now)
    c = kept_table.c
    rows = connection.execute(
        select(c.kind, c.subject, c.interval_start, c.interval_end).where(
            c.environment == environment, c.settled_at.is_(None), c.body == ""
        )
    )
    wanted = {((row.kind, row.subject), Interval(row.interval_start, row.interval_end)) for row in rows}
    for place in range(0, len(new), _AT_ONCE):
        some = new[place : place + _AT_ONCE]
        state = _state(connection, environment, some, now)
        since = {row.key: None for row in some} | first_seen(connection, environment, [s.key for s in some])
        for s in some:
            wanted |= {(s.key, e.interval) for e in _expectations(s, state, since[s.key], now)}
    return tuple(
        Expectation.of(*key, interval, known[key].sla)
        for key, interval in sorted(wanted)
        if key in known and not known[key].runs
    )


def judge(
    connection: Connection,
    environment: str,
    subjects: Sequence[Subject],
    now: datetime,
    *,
    only: Interval | None = None,
) -> tuple[Judged, ...]:
    """Judge the promises of subjects from what the store has seen, and write down what came of them.

    Args:
        connection: in a transaction; it holds the subjects until its end.
        environment: e.g. ``prod``.
        subjects: at most a few hundred, each once.
        now: an aware time.
        only: judge this partition alone: what the close of a run does, because a run should not tell of other days.

    Returns:
        What was judged now: what was known for good before is not in it.

    Raises:
        DeclarationError: when nothing is known of the holidays that a promise names.
    """
    subjects = sorted(subjects, key=lambda subject: subject.key)
    since = _hold(connection, environment, subjects, now)
    state = _state(connection, environment, subjects, now)
    holding = excuses.holding(connection, environment)
    paces = pace.needed(connection, environment, [s.key for s in subjects], now)
    judged: list[Judged] = []
    writes = _Writes(environment, now)
    for subject in subjects:
        mine, of_it = state.rows(subject), state.seen(subject)
        expectations = [
            evolve(e, needs=pace.of(paces, subject.key, e), excuse=e.excuse or excuses.reason(holding, e))
            for e in _expectations(subject, state, since[subject.key], now)
            if only in (None, e.interval)
        ]
        of_it = _as_runs(of_it, expectations) if subject.runs else of_it
        found = [Judged.of(v, mine.get(v.expectation.interval)) for v in evaluate(expectations, of_it, now)]
        writes.keep(subject, mine, found, of_it)
        if only is None:
            writes.rest(subject, mine, found, since[subject.key])
        judged += found
    writes.carry_out(connection)
    return tuple(judged)


@frozen
class _State:
    """What is due of subjects, what is written of them, and what was seen of them."""

    due: Mapping[Key, Sequence[Interval]]
    _rows: Mapping[Key, Mapping[Interval, Any]]
    _seen: Mapping[Key, Sequence[Observation]]

    def rows(self, subject: Subject) -> Mapping[Interval, Any]:
        return self._rows.get(subject.key, {})

    def seen(self, subject: Subject) -> Sequence[Observation]:
        return self._seen.get(subject.key, ())


def _state(connection: Connection, environment: str, subjects: Sequence[Subject], now: datetime) -> _State:
    due = {s.key: due_partitions(s.sla, now, s.cadence) for s in subjects}
    alike: dict[datetime, list[Subject]] = defaultdict(list)
    for s in subjects:  # what is due at the end of each month looks back further than what is due each hour
        alike[due[s.key][0].start if due[s.key] else now].append(s)
    rows: dict[Key, dict[Interval, Any]] = {}
    seen: dict[Key, Sequence[Observation]] = {}
    for oldest, some in alike.items():
        keys = [s.key for s in some]
        found = _rows(connection, environment, some, oldest)
        rows |= {key: found[key] for key in keys if key in found}
        older = [(key, i) for key in keys for i in found.get(key, ()) if i.end <= oldest]
        seen |= load_many(connection, environment, keys, oldest, older)
    return _State(due, rows, seen)


def _expectations(subject: Subject, state: _State, since: datetime | None, now: datetime) -> list[Expectation]:
    """Return what is promised and of which it is not known yet what came of it, oldest first."""
    sla, cadence = subject.sla, subject.cadence
    rows, seen = state.rows(subject), state.seen(subject)
    if subject.runs:
        seen = [evolve(o, interval=partition_at(o.at, cadence)) for o in seen]
    wanted = {
        *expected_partitions(sla, seen, (), now, cadence, first=since, due=state.due[subject.key]),
        *waiting_partitions(sla, seen, now, cadence),
    }
    if subject.runs and since is not None:
        wanted = {span for span in wanted if span.start >= partition_at(since, cadence).start}
    # What was promised and is late stays so; what was told, too, though it is not promised any more: it must end.
    still = {i: row for i, row in rows.items() if row.settled_at is None}
    left = {i for i, row in still.items() if row.told or (sla.promises(i) and sla.deadline(i) < now)}
    settled = rows.keys() - still.keys()
    return [
        evolve(
            Expectation.of(subject.kind, subject.name, interval, sla),
            runs=subject.runs,
            excuse="" if interval in wanted or sla.promises(interval) else "it is no longer promised",
        )
        for interval in sorted((wanted | left) - settled)
    ]


def _as_runs(seen: Iterable[Observation], expectations: Iterable[Expectation]) -> list[Observation]:
    """Return the runs that keep the promise to run: for each span of time those since its beginning."""
    seen = tuple(seen)
    return [
        evolve(o, interval=e.interval, state="arrived")
        for e in expectations
        for o in seen
        if o.source == "close" and o.at >= e.interval.start
    ]


def _hold(
    connection: Connection, environment: str, subjects: Sequence[Subject], now: datetime
) -> dict[Key, datetime | None]:
    """Take the subjects until the transaction ends; return since when each has been seen.

    Who promises to run, and never did, is expected to from now on: nobody knows since when it should have.
    """
    c = subject_table.c
    names = [s.name for s in subjects]
    mine = (c.environment == environment, c.kind.in_({s.kind for s in subjects}), c.subject.in_(names))
    held = select(c.kind, c.subject, c.since).where(*mine).order_by(c.kind, c.subject).with_for_update()
    known = {(row.kind, row.subject): row.since for row in connection.execute(held)}
    for subject in subjects:
        if subject.key not in known:
            key = {"environment": environment, "kind": subject.kind, "subject": subject.name}
            insert_or_lock(connection, subject_table, {**key, "promise": ""})
    unseen = [s.key for s in subjects if known.get(s.key) is None]
    first = {**dict.fromkeys(s.key for s in subjects), **known, **first_seen(connection, environment, unseen)}
    return first | {s.key: now for s in subjects if s.runs and first[s.key] is None}


def _rows(
    connection: Connection, environment: str, subjects: Sequence[Subject], oldest: datetime
) -> dict[Key, dict[Interval, Any]]:
    """Return what is written of the subjects' partitions that end later than ``oldest``, or are open."""
    c = kept_table.c
    rows: dict[Key, dict[Interval, Any]] = defaultdict(dict)
    for row in connection.execute(
        select(kept_table).where(
            c.environment == environment,
            c.kind.in_({s.kind for s in subjects}),
            c.subject.in_([s.name for s in subjects]),
            c.body == "",
            or_(c.settled_at.is_(None), c.interval_end > oldest),
        )
    ):
        rows[row.kind, row.subject][Interval(row.interval_start, row.interval_end)] = row
    return rows


class _Writes:
    """What is to be written, so that each statement goes to the database once for all subjects."""

    def __init__(self, environment: str, now: datetime) -> None:
        self._environment, self._now = environment, now
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._gone: list[dict[str, Any]] = []
        self._looked: list[dict[str, Any]] = []

    def _key(self, subject: Subject, interval: Interval | None = None) -> dict[str, Any]:
        key = {"environment": self._environment, "kind": subject.kind, "subject": subject.name}
        return key if interval is None else {**key, "run": str(interval)}

    def keep(
        self, subject: Subject, rows: Mapping[Interval, Any], judged: Iterable[Judged], seen: Sequence[Observation]
    ) -> None:
        """Write down what came of partitions."""
        for one in judged:
            verdict, interval = one.verdict, one.verdict.expectation.interval
            row = rows.get(interval)
            values = {
                **what_came(one, row),
                "settled_at": self._now if verdict.over else None,
                "took": pace.took(verdict, seen),
                "wrong": None if verdict.wrong is None else int(verdict.wrong),
                "owner": subject.owner,
            }
            if row is None:
                more = {
                    "registered_at": self._now,
                    "body": "",
                    "interval_start": interval.start,
                    "interval_end": interval.end,
                }
                self._new.append({**self._key(subject, interval), **more, **values})
            elif any(getattr(row, name) != value for name, value in values.items()):
                self._changed.append(_named({**self._key(subject, interval), **values}))

    def rest(
        self, subject: Subject, rows: Mapping[Interval, Any], judged: Sequence[Judged], since: datetime | None
    ) -> None:
        """Take back what is no longer promised, and say when to look again."""
        kept = {one.verdict.expectation.interval for one in judged}
        for interval, row in rows.items():
            if interval not in kept and row.settled_at is None:
                self._gone.append(_named(self._key(subject, interval)))
        turns = [t for j in judged if not j.verdict.over for t in j.verdict.expectation.turns if t >= self._now]
        next_at = min([partition_at(self._now, subject.cadence).end, *turns])
        values = {"next_at": next_at, "news": 0, "promise": subject.promise, "since": since}
        self._looked.append(_named({**self._key(subject), **values}))

    def carry_out(self, connection: Connection) -> None:
        """Write it."""
        c = kept_table.c
        one = and_(*(c[name] == bindparam(f"_{name}") for name in ("environment", "kind", "subject", "run")))
        if self._new:
            connection.execute(insert(kept_table), self._new)
        if self._changed:
            names = self._changed[0].keys() - {"_environment", "_kind", "_subject", "_run"}
            connection.execute(
                update(kept_table).where(one).values({name.removeprefix("_"): bindparam(name) for name in names}),
                self._changed,
            )
        if self._gone:
            connection.execute(delete(kept_table).where(one), self._gone)
        if self._looked:
            s = subject_table.c
            connection.execute(
                update(subject_table)
                .where(*(s[name] == bindparam(f"_{name}") for name in ("environment", "kind", "subject")))
                .values({name: bindparam(f"_{name}") for name in ("next_at", "news", "promise", "since")}),
                self._looked,
            )


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters whose names no column has: SQLAlchemy keeps those for itself."""
    return {f"_{name}": value for name, value in values.items()}


def settle(connection: Connection, environment: str, gone: Iterable[Key], now: datetime) -> None:
    """Forget subjects that are no longer declared; what came of their partitions stays.

    Args:
        connection: in a transaction.
        environment: e.g. ``prod``.
        gone: their keys.
        now: an aware time.
    """
    c, s = kept_table.c, subject_table.c
    for kind, name in gone:
        mine = (c.environment == environment, c.kind == kind, c.subject == name, c.body == "")
        connection.execute(delete(kept_table).where(*mine, c.settled_at.is_(None), c.severity.is_(None)))
        connection.execute(
            update(kept_table).where(*mine, c.settled_at.is_(None)).values(settled_at=now, told=0)
        )
        connection.execute(
            delete(subject_table).where(s.environment == environment, s.kind == kind, s.subject == name)
        )


def count(
    connection: Connection, environment: str, kind: str, subject: str, interval: Interval, bad: int, total: int
) -> None:
    """Write down how many of the rows or orgs of a partition were wrong; harmless where it is not promised.

    Args:
        connection: in a transaction.
        environment: e.g. ``prod``.
        kind, subject: what was measured.
        interval: its partition.
        bad, total: how many were wrong, and of how many.
    """
    c = kept_table.c
    connection.execute(
        update(kept_table)
        .where(c.environment == environment, c.kind == kind, c.subject == subject, c.run == str(interval))
        .values(bad=bad, total=total)
    )


def kept(connection: Connection, environment: str, since: datetime, subjects: Iterable[str] = ()) -> tuple[Kept, ...]:
    """Return what came of promises, the one that was due first at the front.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        since: an aware time; what was due before is left out.
        subjects: only of these; none: of all.
    """
    c, names = kept_table.c, tuple(subjects)
    wanted = [c.environment == environment, c.due_at >= since, c.answer != ""]
    if names:
        wanted.append(c.subject.in_(names))
    holding = excuses.holding(connection, environment)
    rows = connection.execute(select(kept_table).where(*wanted).order_by(c.due_at, c.kind, c.subject, c.run))
    return tuple(_kept(row, holding) for row in rows)


def _kept(row: Any, holding: Sequence[Excuse]) -> Kept:
    answer = Answer(row.answer)
    excuse = excuses.reason_of(holding, row.subject, row.due_at) if answer.missed or answer is Answer.EXCUSED else ""
    if excuse:
        answer = Answer.EXCUSED
    elif answer is Answer.ON_TIME and row.wrong:
        answer = Answer.DATA_WRONG
    end = row.arrived_at or (row.settled_at if row.settled_at is not None else None)
    return Kept(
        kind=row.kind,
        subject=row.subject,
        part=row.run,
        interval=Interval(row.interval_start, row.interval_end),
        due_at=row.due_at,
        answer=answer,
        arrived_at=row.arrived_at,
        late=timedelta(0) if end is None else max(end - row.due_at, timedelta(0)),
        wrong=None if row.wrong is None else bool(row.wrong),
        bad=row.bad,
        total=row.total,
        excuse=excuse,
        cause=row.cause or "",
        owner=row.owner,
        severity=None if row.severity is None else Severity(row.severity),
    )
