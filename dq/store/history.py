"""Runs and their Results in the store."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from attrs import evolve
from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from dq.model.failing import FailingRows
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.names import dag_of
from dq.model.result import Result, Run, RunKind
from dq.model.severity import Outcome, Severity
from dq.store import measures
from dq.store import schema as t

_LATEST_FIRST = (
    t.run.c.interval_start.desc(),
    # A run that is repeated keeps its start, so its close says when it was last measured.
    func.coalesce(t.run.c.closed_at, t.run.c.started_at).desc(),
    t.run.c.started_at.desc(),
)

STORED_ORGS = 10_000
"""How many orgs of one check get a row of their own; the worst come first, the summary counts them all."""


def start_run(
    connection: Connection, environment: str, suite: str, kind: RunKind, interval: Interval, origin: str, now: datetime
) -> Run:
    """Return the run of that identity, which is made where it is not there yet; without its results."""
    where = and_(
        t.run.c.environment == environment,
        t.run.c.suite == suite,
        t.run.c.interval_start == interval.start,
        t.run.c.interval_end == interval.end,
        t.run.c.origin == origin,
    )
    found = connection.execute(select(t.run).where(where)).first()
    if found is None:
        values = {
            "id": str(uuid.uuid4()),
            "environment": environment,
            "suite": suite,
            "kind": kind,
            "interval_start": interval.start,
            "interval_end": interval.end,
            "origin": origin,
            "started_at": now,
            "version": 0,
        }
        try:
            with connection.begin_nested():
                connection.execute(insert(t.run).values(**values))
        except IntegrityError:
            pass  # another scan of the same run was first
        found = connection.execute(select(t.run).where(where)).one()
    return _run(found)


def record_due(connection: Connection, run: Run, due: bool) -> None:  # noqa: FBT001  # the answer itself, not a switch
    """Remember whether the run is due."""
    connection.execute(update(t.run).where(t.run.c.id == run.id).values(due=int(due)))


def was_due(connection: Connection, run: Run) -> bool | None:
    """Return what was remembered; None: nobody said."""
    value = connection.execute(select(t.run.c.due).where(t.run.c.id == run.id)).scalar_one()
    return None if value is None else bool(value)


def due_before(connection: Connection, run: Run, count: int, among: str) -> tuple[bool, ...]:
    """Return whether the ``count`` runs of the same name that were asked last before ``run`` were due, newest first.

    Args:
        connection: in a transaction.
        run: that is asked now.
        count: how many are looked at.
        among: how their origin begins.
    """
    c = t.run.c
    start = run.interval.start
    # In a replay all runs have one time.
    earlier = or_(c.interval_start < start, and_(c.interval_start == start, c.id < run.id))
    before = or_(c.started_at < run.started_at, and_(c.started_at == run.started_at, earlier))
    asked = (c.due.is_not(None), c.origin.startswith(among, autoescape=True))
    same = (c.environment == run.environment, c.suite == run.suite, *asked)
    newest_first = (c.started_at.desc(), c.interval_start.desc(), c.id.desc())
    query = select(c.due).where(*same, before).order_by(*newest_first).limit(count)
    return tuple(bool(due) for due in connection.execute(query).scalars())


def record_scan(connection: Connection, run: Run, scan: str, results: Iterable[Result], now: datetime) -> None:
    """Put the results of one scan in the place of its earlier ones, and raise the version of the run.

    What later runs are held against is kept in the same transaction.
    """
    results = tuple(results)
    connection.execute(update(t.run).where(t.run.c.id == run.id).values(version=t.run.c.version + 1))
    # A run that is repeated with its checks divided otherwise has each of them once, too.
    same = or_(t.result.c.scan == scan, t.result.c.check_name.in_({result.check for result in results}))
    connection.execute(delete(t.result).where(t.result.c.run_id == run.id, same))
    rows = [_row(run, scan, result, now) for result in _bounded(results)]
    if rows:
        connection.execute(insert(t.result), rows)
    if run.kind == "suite":
        measures.record(connection, run, results, now)
        measures.record_first(connection, run, results, now)


def _bounded(results: Iterable[Result]) -> Iterable[Result]:
    orgs: dict[str, int] = {}
    for result in results:
        if result.group is not None:
            orgs[result.check] = orgs.get(result.check, 0) + 1
        if result.group is None or orgs[result.check] <= STORED_ORGS:
            yield result


def recorded(connection: Connection, run: Run) -> tuple[frozenset[str], frozenset[str]]:
    """Return the scans, and the checks, that have results in the run."""
    found = select(t.result.c.scan, t.result.c.check_name).where(t.result.c.run_id == run.id).distinct()
    rows = connection.execute(found).all()
    return frozenset(row.scan for row in rows), frozenset(row.check_name for row in rows)


def lock_run(connection: Connection, run: Run) -> Run:
    """Return the run with its results, its row locked until the transaction ends."""
    found = connection.execute(select(t.run).where(t.run.c.id == run.id).with_for_update()).one()
    return with_results(connection, _run(found))


def mark_closed(connection: Connection, run: Run, now: datetime) -> None:
    """Remember that this version of the run was folded into incidents."""
    connection.execute(update(t.run).where(t.run.c.id == run.id).values(closed_version=run.version, closed_at=now))


def with_results(connection: Connection, run: Run) -> Run:
    """Return the run with its results: summaries first, in the order in which they were recorded."""
    rows = connection.execute(select(t.result).where(t.result.c.run_id == run.id).order_by(t.result.c.id)).all()
    results = [_result(row) for row in rows]
    return evolve(run, results=tuple(sorted(results, key=lambda r: r.group is not None)))


def latest_run(connection: Connection, environment: str, suite: str, interval: Interval | None = None) -> Run | None:
    """Return the latest run that recorded anything, of that interval or the newest one; None: there is none."""
    found = _latest(connection, environment, suite, interval)
    return None if found is None else with_results(connection, _run(found))


def _latest(connection: Connection, environment: str, suite: str, interval: Interval | None) -> Row[Any] | None:
    """Return the row of the run that ``latest_run`` returns."""
    query = select(t.run).where(t.run.c.environment == environment, t.run.c.suite == suite, t.run.c.version > 0)
    if interval is not None:
        query = query.where(t.run.c.interval_start == interval.start, t.run.c.interval_end == interval.end)
    return connection.execute(query.order_by(*_LATEST_FIRST).limit(1)).first()


def runs(connection: Connection, environment: str, suite: str | None = None, limit: int = 30) -> tuple[Run, ...]:
    """Return the newest runs that recorded anything, newest first, with their results."""
    query = select(t.run).where(t.run.c.environment == environment, t.run.c.version > 0)
    if suite is not None:
        query = query.where(t.run.c.suite == suite)
    rows = connection.execute(
        query.order_by(t.run.c.started_at.desc(), t.run.c.interval_start.desc(), t.run.c.id).limit(limit)
    ).all()
    return tuple(with_results(connection, _run(row)) for row in rows)


def unclosed(connection: Connection, environment: str, before: datetime) -> tuple[Run, ...]:
    """Return the runs with results that nobody closed, last touched before that time."""
    open_version = t.run.c.version > func.coalesce(t.run.c.closed_version, 0)
    query = select(t.run).where(t.run.c.environment == environment, open_version, t.run.c.started_at < before)
    touched = [
        (_run(row), connection.execute(select(func.max(t.result.c.at)).where(t.result.c.run_id == row.id)).scalar())
        for row in connection.execute(query).all()
    ]
    return tuple(run for run, at in touched if at is None or at < before)


def still_bad(
    connection: Connection, environment: str, suite: str, before: datetime, limit: int = 20
) -> tuple[tuple[Interval, str], ...]:
    """Return the older partitions whose latest run is not well, newest first, with the worst sentence of each."""
    bad: list[tuple[Interval, str]] = []
    for interval, row in _older(connection, environment, suite, before, limit).items():
        worst = connection.execute(
            select(t.result.c.check_name, t.result.c.sentence)
            .where(t.result.c.run_id == row.id, t.result.c.org == "", t.result.c.severity.is_not(None))
            .order_by(t.result.c.severity.desc(), t.result.c.id)
        ).first()
        if worst is not None:
            bad.append((interval, f"{worst.check_name}: {worst.sentence}"))
    return tuple(bad[:limit])


def still_bad_orgs(
    connection: Connection, environment: str, suite: str, before: datetime, limit: int = 20
) -> tuple[tuple[Interval, Group, str], ...]:
    """Return what is wrong of single orgs in older partitions, by their latest runs: newest first, the worst first."""
    bad: list[tuple[Interval, Group, str]] = []
    partitions = 0
    for interval, row in _older(connection, environment, suite, before, limit).items():
        found = connection.execute(
            select(t.result.c.check_name, t.result.c.org, t.result.c.sentence)
            .where(t.result.c.run_id == row.id, t.result.c.org != "", t.result.c.severity.is_not(None))
            .order_by(t.result.c.severity.desc(), t.result.c.id)
        ).all()
        for one in found:
            org = measures.org_of(one.org)
            if org is not None:
                bad.append((interval, org, f"{one.check_name}: {one.sentence}"))
        partitions += bool(found)
        if partitions == limit:
            break
    return tuple(bad)


def _older(
    connection: Connection, environment: str, suite: str, before: datetime, limit: int
) -> dict[Interval, Row[Any]]:
    """Return the latest run of each partition before that time, newest first; so many that ``limit`` may be bad."""
    latest: dict[Interval, Row[Any]] = {}
    query = (
        select(t.run)
        .where(
            t.run.c.environment == environment,
            t.run.c.suite == suite,
            t.run.c.version > 0,
            t.run.c.kind != "look_back",  # it is no partition, and is seldom repeated
            t.run.c.interval_start < before,
        )
        .order_by(*_LATEST_FIRST)
        .limit(20 * limit)
    )
    for row in connection.execute(query).all():
        latest.setdefault(Interval(row.interval_start, row.interval_end), row)
    return latest


Beginning = Literal["known", "unknown", "longer"]
"""Whether the partition before the first bad one was well, was not measured, or is beyond what was looked at."""


def first_bad(
    connection: Connection, environment: str, suite: str, interval: Interval, bad: Result, limit: int
) -> tuple[Interval, Beginning]:
    """Return the first of the partitions up to ``interval`` without a gap in which an org differs as it does there.

    Args:
        connection: in a transaction.
        environment, suite: whose runs.
        interval: the partition in which it differs.
        bad: how: the Result of the org.
        limit: how many partitions before are looked at.
    """
    length = interval.end - interval.start
    for number in range(1, limit + 1):
        before = Interval(interval.start - number * length, interval.end - number * length)
        run = _latest(connection, environment, suite, before)
        first = Interval(before.end, before.end + length)
        if run is None:
            return first, "unknown"
        found = connection.execute(
            select(t.result.c.org, t.result.c.outcome, t.result.c.observed).where(
                t.result.c.run_id == run.id,
                t.result.c.check_name == bad.check,
                t.result.c.org.in_(["", measures.org_text(bad.group)]),
            )
        ).all()
        numbers = [_exact(row.observed) for row in found if row.org and row.observed is not None]
        if any(isinstance(n, int | Decimal) and (n > 0) is _is_more(bad.observed) and n for n in numbers):
            continue
        measured = any(not row.org and row.outcome in (Outcome.PASS, Outcome.FAIL) for row in found)
        return first, "known" if measured else "unknown"
    return before, "longer"


def _is_more(observed: object) -> bool:
    return isinstance(observed, int | float | Decimal) and observed > 0


def of_origin(connection: Connection, environment: str, origin: str) -> tuple[Run, ...]:
    """Return what one DAG run, say, measured of reconciliations, with its results, in the order in which it began."""
    c = t.run.c
    mine = (c.environment == environment, c.origin == origin, c.kind == "reconciliation", c.version > 0)
    rows = connection.execute(select(t.run).where(*mine).order_by(c.started_at, c.id)).all()
    return tuple(with_results(connection, _run(row)) for row in rows)


def dags_of(connection: Connection, environment: str, suite: str, limit: int = 50) -> frozenset[str]:
    """Return the ids of the DAGs that made the newest runs of a suite or reconciliation."""
    c = t.run.c
    query = select(c.origin).where(c.environment == environment, c.suite == suite, c.origin.startswith("airflow:"))
    origins = connection.execute(query.order_by(c.interval_start.desc()).limit(limit)).scalars()
    return frozenset(dag for origin in origins if (dag := dag_of(origin)) is not None)


def partitions(
    connection: Connection,
    environment: str,
    suite: str,
    starts: tuple[datetime, datetime],
    orgs: Iterable[Group] = (),
) -> tuple[Run, ...]:
    """Return the latest run of each partition, oldest first, with its summaries and what it found of ``orgs``.

    Args:
        connection: in a transaction.
        environment: e.g. ``prod``.
        suite: the name of the suite or reconciliation.
        starts: partitions that begin from the first time on and before the second; a look back is no partition.
        orgs: whose results are wanted, beside the summaries.
    """
    r = t.run.c
    mine = (
        r.environment == environment, r.suite == suite, r.version > 0, r.kind != "look_back",
        r.interval_start >= starts[0], r.interval_start < starts[1],
    )  # fmt: skip
    latest: dict[Interval, Run] = {}
    for row in connection.execute(select(t.run).where(*mine).order_by(*_LATEST_FIRST)):
        found = _run(row)
        latest.setdefault(found.interval, found)
    wanted = ["", *dict.fromkeys(map(measures.org_text, orgs))]
    query = select(t.result).select_from(t.result.join(t.run, r.id == t.result.c.run_id)).where(*mine)
    results: dict[str, list[Result]] = {run.id: [] for run in latest.values()}
    for row in connection.execute(query.where(t.result.c.org.in_(wanted)).order_by(t.result.c.id)):
        if row.run_id in results:
            results[row.run_id].append(_result(row))
    return tuple(
        evolve(run, results=tuple(results[run.id])) for run in sorted(latest.values(), key=lambda r: r.interval)
    )


def newest_partition(connection: Connection, environment: str, suite: str) -> tuple[Interval, datetime] | None:
    """Return the newest partition that was measured, and when that was first begun; None: none was."""
    r = t.run.c
    mine = (r.environment == environment, r.suite == suite, r.version > 0, r.kind != "look_back")
    found = connection.execute(select(t.run).where(*mine).order_by(r.interval_start.desc()).limit(1)).first()
    if found is None:
        return None
    same = (r.interval_start == found.interval_start, r.interval_end == found.interval_end)
    begun = connection.execute(select(func.min(r.started_at)).where(*mine, *same)).scalar_one()
    return Interval(found.interval_start, found.interval_end), begun


def last_close(connection: Connection, environment: str, suite: str, before: datetime) -> datetime | None:
    """Return when a partition of the suite was last closed before that time; None: none was."""
    r = t.run.c
    mine = (r.environment == environment, r.suite == suite, r.kind != "look_back", r.closed_at < before)
    return connection.execute(select(func.max(r.closed_at)).where(*mine)).scalar()


def open_orgs(
    connection: Connection, environment: str, kind: str, subject: str, columns: Sequence[str]
) -> frozenset[Group]:
    """Return the orgs of the subject that have an open incident: their Results are kept even when they are well."""
    query = select(t.incident.c.org).where(
        t.incident.c.environment == environment, t.incident.c.kind == kind, t.incident.c.subject == subject,
        t.incident.c.ended_at.is_(None),
    )  # fmt: skip
    keys = [json.loads(key) for key in connection.execute(query).scalars() if key]
    return frozenset(Group(tuple(columns), tuple(values)) for values in keys if len(values) == len(columns))


def put_artefact(connection: Connection, run: Run, document: dict[str, Any]) -> None:
    """Keep the full ledger of a run, compressed."""
    body = gzip.compress(json.dumps(document, ensure_ascii=False).encode(), mtime=0)
    connection.execute(delete(t.ledger).where(t.ledger.c.run_id == run.id))
    connection.execute(insert(t.ledger).values(run_id=run.id, body=body))


def get_artefact(connection: Connection, run: Run) -> dict[str, Any] | None:
    """Return the full ledger of a run; None: it has none."""
    body = connection.execute(select(t.ledger.c.body).where(t.ledger.c.run_id == run.id)).scalar()
    if body is None:
        return None
    document: dict[str, Any] = json.loads(gzip.decompress(body))
    return document


def _run(row: Row[Any]) -> Run:
    return Run(
        id=row.id,
        environment=row.environment,
        suite=row.suite,
        kind=row.kind,
        interval=Interval(row.interval_start, row.interval_end),
        origin=row.origin,
        started_at=row.started_at,
        version=row.version,
        closed_version=row.closed_version,
    )


def _row(run: Run, scan: str, result: Result, now: datetime) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "scan": scan,
        "check_name": result.check,
        "org": measures.org_text(result.group),
        "partition_start": result.partition.start if result.partition else None,
        "partition_end": result.partition.end if result.partition else None,
        "outcome": str(result.outcome),
        "severity": None if result.severity is None else int(result.severity),
        "row_count": result.rows,
        "violations": result.violations,
        "unknown": result.unknown,
        "observed": None if result.observed is None else str(result.observed),
        "threshold": result.threshold,
        "sentence": result.sentence,
        "orgs": result.orgs,
        "orgs_bad": result.orgs_bad,
        "detail": None if result.detail is None else json.dumps(result.detail, ensure_ascii=False, default=str),
        "failing": None if result.failing is None else json.dumps(result.failing.to_json(), ensure_ascii=False),
        "at": now,
    }


def _result(row: Row[Any]) -> Result:
    return Result(
        check=row.check_name,
        outcome=Outcome(row.outcome),
        group=measures.org_of(row.org),
        severity=None if row.severity is None else Severity(row.severity),
        rows=row.row_count,
        violations=row.violations,
        unknown=row.unknown,
        observed=None if row.observed is None else _exact(row.observed),
        threshold=row.threshold,
        sentence=row.sentence,
        orgs=row.orgs,
        orgs_bad=row.orgs_bad,
        detail=None if row.detail is None else json.loads(row.detail),
        failing=None if row.failing is None else FailingRows.from_json(json.loads(row.failing)),
        partition=Interval(row.partition_start, row.partition_end) if row.partition_start else None,
        at=row.at,
    )


def _exact(text: str) -> int | Decimal | str:
    if text.count("-") > 1 and "E" not in text:  # the greatest of a column of dates or times
        return text
    return Decimal(text) if "." in text or "E" in text else int(text)
