"""Incidents as rows of the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import or_, select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from dq.model.incident import Ended, Incident, IncidentKey, SubjectKind
from dq.model.interval import Interval
from dq.model.names import short_key
from dq.model.severity import Outcome, Severity
from dq.store.schema import incident as table

_CHUNK = 500


def group_key(key: IncidentKey) -> str:
    """Return the key of the group that is leased and told together: all incidents of one subject."""
    return short_key(key.group)


def open_key(key: IncidentKey) -> str:
    """Return the hash that makes an open incident unique."""
    identity = [key.environment, key.kind, key.subject, key.part, key.org]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def to_row(incident: Incident) -> dict[str, Any]:
    """Return the columns of ``incident``, without its id."""
    key = incident.key
    return {
        "environment": key.environment,
        "kind": key.kind,
        "subject": key.subject,
        "part": key.part,
        "org": key.org,
        "open_key": None if incident.ended_at is not None else open_key(key),
        "severity": int(incident.severity),
        "outcome": str(incident.outcome),
        "sentence": incident.sentence,
        "observed": incident.observed[:80],
        "threshold": incident.threshold[:200],
        "labels": _dump(incident.labels),
        "links": _dump(incident.links),
        "query": incident.query or None,
        "interval_start": incident.interval.start,
        "interval_end": incident.interval.end,
        "opened_at": incident.opened_at,
        "changed_at": incident.changed_at,
        "ended_at": incident.ended_at,
        "ended": incident.ended,
        "pending": incident.pending,
        "acked_at": incident.acked_at,
        "acked_by": incident.acked_by,
        "acked_severity": None if incident.acked_severity is None else int(incident.acked_severity),
    }


def from_row(row: Any) -> Incident:
    """Return the incident that a row of ``dq_incident`` holds."""
    return Incident(
        id=row.id,
        key=IncidentKey(row.environment, cast("SubjectKind", row.kind), row.subject, row.part, row.org),
        severity=Severity(row.severity),
        outcome=Outcome(row.outcome),
        sentence=row.sentence,
        observed=row.observed,
        threshold=row.threshold,
        labels=json.loads(row.labels),
        links=json.loads(row.links),
        query=row.query or "",
        interval=Interval(row.interval_start, row.interval_end),
        opened_at=row.opened_at,
        changed_at=row.changed_at,
        ended_at=row.ended_at,
        ended=cast("Ended | None", row.ended),
        told_at=row.told_at,
        muted=row.muted,
        pending=row.pending,
        acked_at=row.acked_at,
        acked_by=row.acked_by,
        acked_severity=None if row.acked_severity is None else Severity(row.acked_severity),
    )


def of_subject(environment: str, kind: str, subject: str) -> ColumnElement[bool]:
    """Return the condition that an incident is about this subject."""
    return (table.c.environment == environment) & (table.c.kind == kind) & (table.c.subject == subject)


def read_open(connection: Connection, condition: ColumnElement[bool]) -> tuple[Incident, ...]:
    """Return the open incidents that satisfy ``condition`` (on ``dq_incident``), oldest first."""
    query = select(table).where(condition, table.c.ended_at.is_(None)).order_by(table.c.id)
    return tuple(from_row(row) for row in connection.execute(query))


def read_since(connection: Connection, condition: ColumnElement[bool], since: datetime) -> tuple[Incident, ...]:
    """Return the incidents that satisfy ``condition`` and are open, or ended since then; oldest first."""
    lately = or_(table.c.ended_at.is_(None), table.c.ended_at >= since)
    query = select(table).where(condition, lately).order_by(table.c.id)
    return tuple(from_row(row) for row in connection.execute(query))


def open_parts(connection: Connection, condition: ColumnElement[bool]) -> frozenset[str]:
    """Return the parts of the open incidents that satisfy ``condition`` (on ``dq_incident``)."""
    query = select(table.c.part).where(condition, table.c.ended_at.is_(None))
    return frozenset(connection.execute(query).scalars())


def open_keys(connection: Connection, environment: str, *kinds: SubjectKind) -> tuple[IncidentKey, ...]:
    """Return the keys of the open incidents of these kinds, oldest first."""
    return tuple(i.key for i in read_open(connection, (table.c.environment == environment) & table.c.kind.in_(kinds)))


def open_among(connection: Connection, keys: Iterable[IncidentKey]) -> tuple[IncidentKey, ...]:
    """Return which of these keys have an open incident."""
    by_hash = {open_key(key): key for key in keys}
    found: list[IncidentKey] = []
    hashes = list(by_hash)
    for place in range(0, len(hashes), _CHUNK):
        query = select(table.c.open_key).where(table.c.open_key.in_(hashes[place : place + _CHUNK]))
        found += [by_hash[one] for one in connection.execute(query).scalars()]
    return tuple(sorted(found))


def read_by_id(connection: Connection, ids: Iterable[int]) -> tuple[Incident, ...]:
    """Return the incidents with these ids, oldest first."""
    found: list[Incident] = []
    for some in in_chunks(sorted(ids)):
        query = select(table).where(table.c.id.in_(some)).order_by(table.c.id)
        found += [from_row(row) for row in connection.execute(query)]
    return tuple(found)


def in_chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield ``ids`` in pieces that fit into one statement of every store."""
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]


def open_groups(connection: Connection, environment: str, *conditions: ColumnElement[bool]) -> list[str]:
    """Return the keys of the groups that have an open incident which satisfies ``conditions`` (on ``dq_incident``).

    They come in the order in which closes lock them, so that who locks several of them waits for nobody in a circle.
    """
    query = select(table.c.kind, table.c.subject).where(
        table.c.environment == environment, table.c.ended_at.is_(None), *conditions
    )
    subjects = sorted((cast("SubjectKind", row.kind), row.subject) for row in connection.execute(query.distinct()))
    return [group_key(IncidentKey(environment, kind, subject, "")) for kind, subject in subjects]


def open_orgs(connection: Connection, environment: str, kind: str, subject: str) -> dict[str, frozenset[str]]:
    """Return, by part, the keys of the orgs (``Group.key``) that have an open incident."""
    found: dict[str, set[str]] = {}
    for incident in read_open(connection, of_subject(environment, kind, subject)):
        if incident.key.org:
            found.setdefault(incident.key.part, set()).add(incident.key.org)
    return {part: frozenset(orgs) for part, orgs in found.items()}


def recorded_keys(connection: Connection, environment: str, kind: str, subject: str) -> frozenset[IncidentKey]:
    """Return the keys that have or had an incident."""
    query = select(table.c.part, table.c.org).where(of_subject(environment, kind, subject)).distinct()
    return frozenset(
        IncidentKey(environment, cast("SubjectKind", kind), subject, part, org)
        for part, org in connection.execute(query)
    )


def worst_first(incidents: Iterable[Incident]) -> tuple[Incident, ...]:
    """Return the incidents, severest first, then those that opened first; a run opens its worst orgs first."""
    return tuple(sorted(incidents, key=lambda i: (-i.severity, i.opened_at, i.id, i.key)))


def _dump(mapping: Mapping[str, str]) -> str:
    return json.dumps(dict(sorted(mapping.items())), ensure_ascii=False)
