"""Flow: how fast a channel may be told things, and that a dead endpoint is not hammered.

Both are kept in ``dq_channel``, so they hold for all pumps together.

    rate       at most n messages in s seconds, as ``Channel.rate`` says, by the generic cell rate algorithm (ITU-T
               I.371): ``free_at`` is when the queue would be empty; a message may leave when that is at most n - 1
               places ahead
    asked      a vendor that says ``Retry-After`` closes its channel until then
    circuit    after ``FAILURES`` tries in a row without an answer the channel is closed, each time for longer; when
               that is over, one message goes first, and the others wait for what becomes of it
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.engine import Connection

from dq.model.message import Receipt
from dq.store.schema import channel as table
from dq.store.upsert import insert_or_lock

FAILURES = 5
"""After so many tries in a row without an answer a channel is closed."""

CLOSED = timedelta(seconds=30)
LONGEST_CLOSED = timedelta(minutes=10)
LONGEST_ASKED = timedelta(hours=1)
"""No ``Retry-After`` silences a channel for longer."""

PROBE = timedelta(seconds=1)
"""How long the others wait for what becomes of the message that goes first; then the next one does."""

Rate = tuple[int, float]
"""So many messages in so many seconds; ``(0, 0.0)``: no limit."""


def asked(after: float | None) -> timedelta:
    """Return for how long a vendor that says ``after`` (seconds) wants to be left alone, up to ``LONGEST_ASKED``."""
    return timedelta(seconds=min(max(after or 0, 0), LONGEST_ASKED.total_seconds()))


def take_turn(
    connection: Connection, environment: str, name: str, rate: Rate, now: datetime
) -> tuple[datetime, str] | None:
    """Take the next turn of a channel, or return from when on there may be one, and why not now.

    Args:
        connection: in a transaction that the caller commits.
        environment: whose channel.
        name: of the channel.
        rate: what its vendor bears.
        now: the real time.
    """
    count, seconds = rate
    mine = (table.c.environment == environment, table.c.name == name)
    if not count:
        row = connection.execute(select(table).where(*mine)).first()
        if row is None or row.broken_until is None:
            return None
    insert_or_lock(connection, table, {"environment": environment, "name": name})
    row = connection.execute(select(table).where(*mine)).one()
    # What is further ahead than any of this makes it was written by a clock that was wrong.
    if row.broken_until is not None and now < row.broken_until <= now + LONGEST_ASKED:
        return row.broken_until, f"it is left alone for a while: {row.error}"
    place = timedelta(seconds=seconds / count) if count else timedelta(0)
    free_at = min(row.free_at or now, now + place * count)
    if free_at - place * max(count - 1, 0) > now:
        return free_at - place * max(count - 1, 0), "it is told no faster than its vendor bears"
    changes: dict[str, Any] = {"free_at": max(free_at, now) + place} if count else {}
    if row.broken_until is not None:
        changes["broken_until"] = now + PROBE
    if changes:
        connection.execute(table.update().where(*mine).values(**changes))
    return None


def note_answer(connection: Connection, environment: str, name: str, receipt: Receipt, now: datetime) -> bool:
    """Note what came of a try; return whether the channel was closed by it for the second time: it is no short trouble.

    Args:
        connection: in a transaction that the caller commits.
        environment: whose channel.
        name: of the channel.
        receipt: what came of it.
        now: the real time.
    """
    mine = (table.c.environment == environment, table.c.name == name)
    if receipt.delivered or not receipt.retry:
        was_bad = or_(table.c.failures > 0, table.c.broken_until.is_not(None))
        open_again: Mapping[str, Any] = {"failures": 0, "broken_until": None, "error": None}
        connection.execute(table.update().where(*mine, was_bad).values(**open_again))
        return False
    insert_or_lock(connection, table, {"environment": environment, "name": name})
    row = connection.execute(select(table).where(*mine)).one()
    alone = asked(receipt.after)
    failures = row.failures + (not alone)
    closed = bool(alone) or failures >= FAILURES
    wait = alone or min(CLOSED * 2 ** min(max(failures - FAILURES, 0), 20), LONGEST_CLOSED)
    changes = {"failures": failures, "error": receipt.error[:300], "broken_until": now + wait if closed else None}
    connection.execute(table.update().where(*mine).values(**changes))
    return failures == FAILURES + 1 and not alone
