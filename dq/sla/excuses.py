"""Known outages: what falls due in them neither pages nor counts, and every report says so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from attrs import frozen
from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from dq.sla.evaluate import Expectation
from dq.store.schema import excuse as table
from dq.store.schema import subject as subject_table

ALL = "*"
"""Excuses every subject."""


@frozen(kw_only=True)
class Excuse:
    """A known outage.

    Attributes:
        id: unique in the store.
        subject: whom it excuses; ``ALL``: everybody.
        starts_at, ends_at: what falls due in between, the start included, is excused.
        reason: why, for people.
        author: who says so.
        created_at: when.
        ended_at: when it was taken back; None: it holds.
    """

    id: int
    subject: str
    starts_at: datetime
    ends_at: datetime
    reason: str
    author: str
    created_at: datetime
    ended_at: datetime | None = None


def add(
    connection: Connection,
    environment: str,
    subject: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    author: str,
    now: datetime,
) -> int:
    """Write an excuse down, let everybody whom it may concern be looked at again, and return its id."""
    values = {"starts_at": starts_at, "ends_at": ends_at, "reason": reason, "author": author, "created_at": now}
    made = connection.execute(table.insert().values(environment=environment, subject=subject, **values))
    _touch(connection, environment, subject)
    assert made.inserted_primary_key is not None  # noqa: S101  # every database gives it after an insert of one row
    return int(made.inserted_primary_key[0])


def end(connection: Connection, environment: str, number: int, now: datetime) -> bool:
    """Take an excuse back; return whether there was one that held."""
    c = table.c
    mine = (c.environment == environment, c.id == number, c.ended_at.is_(None))
    row = connection.execute(select(c.subject).where(*mine)).first()
    if row is None:
        return False
    connection.execute(update(table).where(*mine).values(ended_at=now))
    _touch(connection, environment, row.subject)
    return True


def _touch(connection: Connection, environment: str, subject: str) -> None:
    c = subject_table.c
    mine = [c.environment == environment] + ([c.subject == subject] if subject != ALL else [])
    connection.execute(update(subject_table).where(*mine).values(news=1))


def holding(connection: Connection, environment: str) -> tuple[Excuse, ...]:
    """Return the excuses that nobody took back, the newest last."""
    c = table.c
    rows = connection.execute(select(table).where(c.environment == environment, c.ended_at.is_(None)).order_by(c.id))
    return tuple(map(_excuse, rows))


def _excuse(row: Any) -> Excuse:
    return Excuse(
        id=row.id,
        subject=row.subject,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        reason=row.reason,
        author=row.author,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def reason(excuses: Sequence[Excuse], promised: Expectation) -> str:
    """Return why a promise does not count; empty: it does."""
    return reason_of(excuses, promised.subject, promised.due_at)


def reason_of(excuses: Sequence[Excuse], subject: str, due_at: datetime) -> str:
    """Return why what a subject promised for ``due_at`` does not count; empty: it does."""
    mine = (e.reason for e in excuses if e.subject in (ALL, subject) and e.starts_at <= due_at < e.ends_at)
    return next(mine, "")
