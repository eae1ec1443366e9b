"""Deploy markers as rows of the store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import evolve
from sqlalchemy import select
from sqlalchemy.engine import Connection

from dq.model.deploy import Deploy
from dq.store.schema import deploy as table


def add(connection: Connection, environment: str, made: Deploy, now: datetime) -> Deploy | None:
    """Write a marker down, and return it with its id; None: the same one is there."""
    c = table.c
    same = (c.at == made.at, c.version == made.version, c.text == made.text, c.subject == made.subject)
    query = select(c.id).where(c.environment == environment, *same, c.kind == made.kind)
    if connection.execute(query.limit(1)).first() is not None:
        return None
    row = {
        "environment": environment,
        "at": made.at,
        "version": made.version,
        "text": made.text,
        "kind": made.kind,
        "subject": made.subject,
        "source": made.source,
        "author": made.author,
        "created_at": now,
    }
    key: Any = connection.execute(table.insert().values(**row)).inserted_primary_key
    return evolve(made, id=int(key[0]))


def between(connection: Connection, environment: str, start: datetime, end: datetime) -> tuple[Deploy, ...]:
    """Return the markers from ``start`` on and before ``end``, oldest first."""
    c = table.c
    query = select(table).where(c.environment == environment, c.at >= start, c.at < end).order_by(c.at, c.id)
    return tuple(map(_from_row, connection.execute(query).all()))


def newest(connection: Connection, environment: str, limit: int) -> tuple[Deploy, ...]:
    """Return the newest markers, newest first."""
    query = select(table).where(table.c.environment == environment).order_by(table.c.at.desc(), table.c.id.desc())
    return tuple(map(_from_row, connection.execute(query.limit(limit)).all()))


def _from_row(row: Any) -> Deploy:
    return Deploy(
        id=row.id,
        at=row.at,
        text=row.text,
        version=row.version,
        kind=row.kind,
        subject=row.subject,
        source=row.source,
        author=row.author,
    )
