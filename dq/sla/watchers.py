"""The signs of life of watchers: who watches, since when, and when each was last heard of."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen
from sqlalchemy import delete, select, update
from sqlalchemy.engine import Connection

from dq.store.schema import watcher as table
from dq.store.upsert import insert_or_lock

FORGET = timedelta(days=7)


@frozen(kw_only=True)
class Sign:
    """The last sign of life of a watcher.

    Attributes:
        name: which watcher.
        started_at: when it was started, UTC.
        seen_at: when it last finished a round, UTC.
    """

    name: str
    started_at: datetime
    seen_at: datetime


def lives(connection: Connection, environment: str, name: str, started_at: datetime, now: datetime) -> None:
    """Write down that a watcher has finished a round, and forget those of which nothing was heard for ``FORGET``."""
    key = {"environment": environment, "name": name}
    insert_or_lock(connection, table, {**key, "started_at": started_at, "seen_at": now})
    mine = (table.c.environment == environment, table.c.name == name)
    connection.execute(update(table).where(*mine).values(started_at=started_at, seen_at=now))
    connection.execute(delete(table).where(table.c.environment == environment, table.c.seen_at < now - FORGET))


def ends(connection: Connection, environment: str, name: str) -> None:
    """Forget a watcher that was told to stop."""
    connection.execute(delete(table).where(table.c.environment == environment, table.c.name == name))


def signs(connection: Connection, environment: str) -> tuple[Sign, ...]:
    """Return the last sign of life of each watcher, the newest first."""
    c = table.c
    rows = connection.execute(select(table).where(c.environment == environment).order_by(c.seen_at.desc(), c.name))
    return tuple(Sign(name=row.name, started_at=row.started_at, seen_at=row.seen_at) for row in rows)
