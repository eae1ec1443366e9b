"""What was decided and is not where it belongs: seen, tried again at once, or given up by a person.

    state     what a channel should know of a group; an id like ``s1f09c2ab``, of the channel and the key
    event     a message that is told once; an id like ``e12``
    group     incidents at which no pump has looked yet: nobody knows what becomes of them

A person gives up what a channel does not take: it is marked dead without an error, and no pump tries it or counts it. A
state that is given up stays so until there is other news of it, or other routes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from attrs import frozen
from sqlalchemy import and_, or_, select
from sqlalchemy.engine import Connection

from dq.alerting.messages import load_message
from dq.alerting.outbox import LEASE
from dq.store.schema import alert_group, channel, outbox
from dq.store.schema import told as told_table


@frozen(kw_only=True)
class Undelivered:
    """One thing that has not arrived.

    Attributes:
        id: how a person names it; empty for a group.
        kind: see above.
        channel: the name of the channel; empty for a group.
        key: the key of the message, or of the group.
        title: of the message; empty for a group.
        since: when it was decided; None for a group.
        attempts: how many tries have failed.
        next_at: not before that; None: with the next pump.
        error: why the last try failed; empty: none has yet.
        dead: it is not tried again by itself.
        held: a pump has it in its hands just now.
        row: as it is stored.
    """

    id: str
    kind: Literal["state", "event", "group"]
    channel: str
    key: str
    title: str = ""
    since: datetime | None = None
    attempts: int = 0
    next_at: datetime | None = None
    error: str = ""
    dead: bool = False
    held: bool = False
    row: Any = None

    @property
    def failed(self) -> bool:
        """Whether a try has failed, and not only not been made yet."""
        return self.dead or bool(self.error)


def undelivered(connection: Connection, environment: str, now: datetime) -> tuple[Undelivered, ...]:
    """Return what has not arrived, states first, without what a person gave up.

    Args:
        connection: to the store.
        environment: whose.
        now: the real time.
    """
    t, g, o = told_table.c, alert_group.c, outbox.c
    groups = told_table.join(alert_group, g.group_key == t.group_key)
    given_up = and_(t.dead_at.is_not(None), t.error.is_(None))
    states = connection.execute(
        select(told_table, g.lease_until)
        .select_from(groups)
        .where(g.environment == environment, t.trying.is_not(None), ~given_up)
        .order_by(t.channel, t.message_key)
    )
    found = [_state(row, now) for row in states]
    given_up = and_(o.dead_at.is_not(None), o.error.is_(None))
    events = select(outbox).where(o.environment == environment, o.sent_at.is_(None), ~given_up).order_by(o.id)
    found += [_event(row, now) for row in connection.execute(events)]
    listed = {one.row.group_key for one in found if one.kind == "state"}
    unseen = select(g.group_key, g.lease_until).where(
        g.environment == environment, or_(g.dirty > g.seen, g.due_at <= now)
    )
    found += [
        Undelivered(id="", kind="group", channel="", key=row.group_key, held=_held(row.lease_until, now))
        for row in connection.execute(unseen.order_by(g.group_key))
        if row.group_key not in listed
    ]
    return tuple(found)


def retry(connection: Connection, environment: str, wanted: Iterable[Undelivered]) -> None:
    """Make ``wanted`` due now, also what was refused for good, and forget what keeps its channels closed.

    Args:
        connection: in a transaction that the caller commits.
        environment: whose.
        wanted: as ``undelivered`` gave them; a group is due anyway.
    """
    again = {"attempts": 0, "next_at": None, "dead_at": None}
    for one in _in_lock_order(wanted):
        if one.kind == "state":
            group = alert_group.update().where(alert_group.c.group_key == one.row.group_key)
            connection.execute(group.values(dirty=alert_group.c.dirty + 1))
            connection.execute(_own(one).values(**again))
        elif one.kind == "event":
            connection.execute(_own(one).values(**again))
        if one.channel:
            closed = (channel.c.environment == environment, channel.c.name == one.channel)
            connection.execute(channel.update().where(*closed).values(failures=0, broken_until=None))


def drop(connection: Connection, wanted: Iterable[Undelivered], now: datetime) -> tuple[Undelivered, ...]:
    """Give ``wanted`` up, and return those that a pump tried or settled meanwhile, which are left alone.

    Args:
        connection: in a transaction that the caller commits.
        wanted: states and events as ``undelivered`` gave them.
        now: the real time.
    """
    left = []
    for one in _in_lock_order(wanted):
        if one.kind == "state":
            group = alert_group.c.group_key == one.row.group_key
            locked = connection.execute(select(alert_group.c.lease_until).where(group).with_for_update()).scalar()
            same = told_table.c.trying == one.row.trying
        else:
            mine = outbox.c.id == one.row.id
            locked = connection.execute(select(outbox.c.lease_until).where(mine).with_for_update()).scalar()
            same = outbox.c.sent_at.is_(None)
        up = {"dead_at": now, "next_at": None, "error": None}
        if _held(locked, now) or connection.execute(_own(one).where(same).values(**up)).rowcount != 1:
            left.append(one)
    return tuple(left)


def _in_lock_order(wanted: Iterable[Undelivered]) -> list[Undelivered]:
    """States by their group, then events by their number: as pumps lock them."""
    return sorted(wanted, key=lambda one: (one.kind != "state", one.row.group_key if one.kind == "state" else one.id))


def _own(one: Undelivered) -> Any:
    if one.kind == "event":
        return outbox.update().where(outbox.c.id == one.row.id)
    t = told_table.c
    return told_table.update().where(
        t.group_key == one.row.group_key, t.channel == one.row.channel, t.message_key == one.row.message_key
    )


def _state(row: Any, now: datetime) -> Undelivered:
    place = json.dumps([row.group_key, row.channel, row.message_key])
    message = None if row.message is None else load_message(row.message)
    return Undelivered(
        id=f"s{hashlib.sha256(place.encode()).hexdigest()[:8]}",
        kind="state",
        channel=row.channel,
        key=row.message_key,
        title="" if message is None else message.title,
        since=None if message is None else message.at,
        attempts=row.attempts,
        next_at=row.next_at,
        error=row.error or "",
        dead=row.dead_at is not None,
        held=_held(row.lease_until, now),
        row=row,
    )


def _event(row: Any, now: datetime) -> Undelivered:
    message = load_message(row.message)
    return Undelivered(
        id=f"e{row.id}",
        kind="event",
        channel=row.channel,
        key=message.key,
        title=message.title,
        since=row.created_at,
        attempts=row.attempts,
        next_at=row.next_at,
        error=row.error or "",
        dead=row.dead_at is not None,
        held=_held(row.lease_until, now),
        row=row,
    )


def _held(until: datetime | None, now: datetime) -> bool:
    """Return whether a pump holds the lease; as ``lease_is_free`` has it."""
    return until is not None and now < until <= now + 2 * LEASE
