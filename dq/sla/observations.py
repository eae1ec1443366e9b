"""The table of observations: every source writes what it saw of a partition, and SLAs are judged from it alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.store.schema import observation as table
from dq.store.schema import subject as subject_table

_CHUNK = 500


def record(connection: Connection, environment: str, observation: Observation) -> None:
    """Write down what was seen, in the caller's transaction.

    Seeing the same again is no news and adds no row: a sighting that differs from the newest one of its run, or of its
    partition by the same source, in nothing but a later time says nothing more about any promise. That it started at a
    later time does: it was started again.
    """
    same_place = [
        table.c.environment == environment,
        table.c.kind == observation.kind,
        table.c.subject == observation.subject,
        table.c.interval_start == observation.interval.start,
        table.c.interval_end == observation.interval.end,
        table.c.run == observation.run,
    ]
    if not observation.run:
        same_place.append(table.c.source == observation.source)
    newest = connection.execute(
        select(table.c.state, table.c.source, table.c.detail, table.c.at)
        .where(*same_place)
        .order_by(table.c.at.desc(), table.c.id.desc())
        .limit(1)
    ).first()
    same = newest and tuple(newest)[:3] == (observation.state, observation.source, observation.detail)
    again = observation.state == "started" and not observation.run
    if newest and same and (newest.at == observation.at or (newest.at <= observation.at and not again)):
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
    if not observation.run:
        s = subject_table.c
        mine = (s.environment == environment, s.kind == observation.kind, s.subject == observation.subject)
        connection.execute(update(subject_table).where(*mine, s.news == 0).values(news=1))


def load_many(
    connection: Connection,
    environment: str,
    subjects: Collection[tuple[str, str]],
    since: datetime,
    older: Sequence[tuple[tuple[str, str], Interval]] = (),
) -> dict[tuple[str, str], list[Observation]]:
    """Return what was seen of the partitions of subjects, oldest sighting first.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        subjects: their kinds and names.
        since: an aware time; what was seen before it of partitions that end at or before it is left out.
        older: partitions that are not.
    """
    c = table.c
    query, exact = select(table).where(*_of(environment, subjects)), set(older)
    # What was seen since, too: a run of any partition shows that runs are made.
    new = connection.execute(query.where(or_(c.interval_end > since, c.at > since)))
    rows = {row.id: row for row in new}
    for place in range(0, len(older), _CHUNK):
        starts: dict[tuple[str, str], list[datetime]] = defaultdict(list)
        for key, partition in older[place : place + _CHUNK]:
            starts[key].append(partition.start)
        those = or_(*(and_(c.kind == k, c.subject == s, c.interval_start.in_(at)) for (k, s), at in starts.items()))
        for row in connection.execute(query.where(those)):
            if ((row.kind, row.subject), Interval(row.interval_start, row.interval_end)) in exact:
                rows[row.id] = row
    found: dict[tuple[str, str], list[Observation]] = defaultdict(list)
    for row in sorted(rows.values(), key=lambda row: (row.at, row.id)):
        found[row.kind, row.subject].append(_observation(row))
    return {key: found[key] for key in subjects if key in found}


def first_seen(
    connection: Connection, environment: str, subjects: Collection[tuple[str, str]]
) -> dict[tuple[str, str], datetime]:
    """Return since when anybody has been watching subjects; who was never seen is left out."""
    if not subjects:
        return {}
    c = table.c
    mine = _of(environment, subjects)
    rows = connection.execute(
        select(c.kind, c.subject, func.min(c.at).label("at")).where(*mine).group_by(c.kind, c.subject)
    )
    return {(row.kind, row.subject): row.at for row in rows if (row.kind, row.subject) in subjects}


def _of(environment: str, subjects: Collection[tuple[str, str]]) -> tuple[ColumnElement[bool], ...]:
    """Return what holds of their observations, and perhaps of others of like names: what an index finds."""
    c, kinds, names = table.c, {kind for kind, _ in subjects}, {name for _, name in subjects}
    return c.environment == environment, c.run == "", c.kind.in_(kinds), c.subject.in_(names)


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
