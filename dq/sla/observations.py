"""The table of observations: every source writes what it saw of a partition, and SLAs are judged from it alone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.engine import Connection

from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.sla import Sla
from dq.sla.evaluate import DAY, LOOKBACK, Expectation, SlaVerdict, due_partitions, evaluate, expected_partitions
from dq.store.schema import observation as table

_CHUNK = 500


def record(connection: Connection, environment: str, observation: Observation) -> None:
    """Write down what was seen, in the caller's transaction.

    Seeing the same again is no news and adds no row: a sighting that differs from the newest one of its partition in
    nothing but a later time says nothing more about any promise.
    """
    newest = connection.execute(
        select(table.c.state, table.c.source, table.c.detail, table.c.at)
        .where(
            table.c.environment == environment,
            table.c.kind == observation.kind,
            table.c.subject == observation.subject,
            table.c.interval_start == observation.interval.start,
            table.c.interval_end == observation.interval.end,
            table.c.run == observation.run,
        )
        .order_by(table.c.at.desc(), table.c.id.desc())
        .limit(1)
    ).first()
    same = newest and tuple(newest)[:3] == (observation.state, observation.source, observation.detail)
    if newest and same and newest.at <= observation.at:
        return
    connection.execute(
        table.insert().values(
            environment=environment,
            kind=observation.kind,
            subject=observation.subject,
            interval_start=observation.interval.start,
            interval_end=observation.interval.end,
            state=observation.state,
            at=observation.at,
            source=observation.source,
            detail=observation.detail,
            run=observation.run,
        )
    )


def load(connection: Connection, environment: str, kind: str, subject: str, since: datetime) -> tuple[Observation, ...]:
    """Return what was seen of the subject's partitions, oldest sighting first.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        kind: ``suite`` or ``reconciliation``.
        subject: its name.
        since: an aware time; partitions that end at or before it are left out. The very first sighting of the subject
            is always returned, because it says since when anybody has been watching.
    """
    mine = (table.c.environment == environment, table.c.kind == kind, table.c.subject == subject)
    first = select(table.c.id).where(*mine).order_by(table.c.at, table.c.id).limit(1).scalar_subquery()
    rows = connection.execute(
        select(table)
        .where(*mine, or_(table.c.interval_end > since, table.c.id == first))
        .order_by(table.c.at, table.c.id)
    )
    return tuple(map(_observation, rows))


def load_runs(
    connection: Connection, environment: str, runs: Collection[str], subject: str | None = None
) -> tuple[Observation, ...]:
    """Return what was seen of DAG runs and their tasks, oldest sighting first.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        runs: their ids. All DAGs of one schedule have them in common.
        subject: only what was seen of this DAG or task.
    """
    found: list[Observation] = []
    ids = sorted(runs)
    for place in range(0, len(ids), _CHUNK):
        mine = [table.c.environment == environment, table.c.run.in_(ids[place : place + _CHUNK])]
        if subject is not None:
            mine.append(table.c.subject == subject)
        found += map(_observation, connection.execute(select(table).where(*mine).order_by(table.c.at, table.c.id)))
    return tuple(found)


def _observation(row: Any) -> Observation:
    return Observation(
        kind=row.kind,
        subject=row.subject,
        interval=Interval(row.interval_start, row.interval_end),
        state=row.state,
        at=row.at,
        source=row.source,
        detail=row.detail,
        run=row.run,
    )


def judge(
    connection: Connection,
    environment: str,
    kind: str,
    subject: str,
    sla: Sla,
    open_partitions: Collection[Interval],
    now: datetime,
    *,
    only: Interval | None = None,
    cadence: timedelta = DAY,
    lookback: timedelta = LOOKBACK,
) -> tuple[SlaVerdict, ...]:
    """Judge the promises of one subject from what the store has seen.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        kind: ``suite`` or ``reconciliation``.
        subject: its name.
        sla: its promise.
        open_partitions: the partitions that have an open SLA incident.
        now: an aware time.
        only: judge this partition alone: what the close of a run does, because a run should not tell of other days.
        cadence: the length of a partition.
        lookback: how much of the past.
    """
    oldest = min(p.start for p in (*due_partitions(sla, now, cadence, lookback), *open_partitions))
    seen = load(connection, environment, kind, subject, oldest)
    partitions = expected_partitions(sla, seen, open_partitions, now, cadence, lookback)
    return evaluate([Expectation.of(kind, subject, p, sla) for p in partitions if only is None or p == only], seen, now)
