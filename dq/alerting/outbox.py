"""The outbox: what leaves once (events), and what every try on the wire has in common."""

from __future__ import annotations

import hashlib
import json
import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from attrs import define, evolve, field, frozen
from sqlalchemy import and_, or_, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.sql.expression import ColumnElement

from dq.alerting import messages
from dq.alerting.channels import Channel, build
from dq.alerting.config import AlertConfig
from dq.alerting.flow import FAILURES, LONGEST_ASKED, asked, note_answer, take_turn
from dq.alerting.templates import worded
from dq.model.errors import DqError
from dq.model.message import Message, Receipt
from dq.store.schema import attachment, outbox
from dq.store.upsert import insert_or_lock

LEASE = timedelta(seconds=60)
"""How long a claim holds; renewed before every send, and longer than one takes with the default time-outs."""

FIRST_WAIT = timedelta(seconds=1)
LONGEST_WAIT = timedelta(minutes=10)
_LATEST = timedelta(days=8)
"""No event is put off for longer; what is was so by a clock that was wrong. (``times.AHEAD`` is seven days.)"""

TRIES_BEFORE_FALLBACK = 8
"""After so many failed tries, about two minutes, the fallback channel is told; the tries go on."""

_log = logging.getLogger(__name__)


@frozen
class BrokenChannel:
    """A channel that could not be built, e.g. because its secret is missing: it fails, and the others go on.

    Attributes:
        name: the channel's name.
        pages: as the channel it stands for.
        error: why it could not be built.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    rate: ClassVar[tuple[int, float]] = (0, 0.0)
    name: str
    pages: bool
    error: str

    def send(self, message: Message) -> Receipt:  # noqa: ARG002  # the signature of a channel
        """Return that it was not delivered, and why."""
        return Receipt(delivered=False, retry=True, error=self.error)


def open_channels(config: AlertConfig, resolve_secret: Callable[[str], str]) -> dict[str, Channel | BrokenChannel]:
    """Return the channels of ``config``, ready to send; one that cannot be built becomes one that fails.

    Args:
        config: the configuration.
        resolve_secret: turns a reference such as ``env:NAME`` into the secret.
    """
    opened: dict[str, Channel | BrokenChannel] = {}
    for name, channel in config.channels.items():
        try:
            opened[name] = build(name, channel.settings, resolve_secret)
        except DqError as error:
            opened[name] = BrokenChannel(name, channel.pages, str(error))
    return opened


def backoff(attempts: int, after: float | None, jitter: float) -> timedelta:
    """Return how long to wait before the next try.

    Args:
        attempts: how many tries have failed, at least 1.
        after: the seconds that the vendor asked for (``Retry-After``); not waited less, up to ``LONGEST_ASKED``.
        jitter: from 0 to 1, so that many pumps do not come back at once.
    """
    longest: timedelta = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    return max(longest * (0.5 + jitter / 2), asked(after))


def lease_is_free(until: Any, now: datetime) -> ColumnElement[bool]:
    """Return the condition that nobody holds a lease; one from far ahead was taken by a clock that was wrong."""
    return or_(until.is_(None), until <= now, until > now + 2 * LEASE)


def enqueue_event(
    connection: Connection, channel: str, message: Message, idempotency: str, not_before: datetime | None = None
) -> bool:
    """Put a message that is told once into the outbox, in the transaction of the caller.

    Args:
        connection: to the store.
        channel: the name of the channel.
        message: with status ``event``.
        idempotency: what makes the event unique; a second one with the same channel and text is dropped.
        not_before: it is told then; None: at once.

    Returns:
        Whether it is new (or another transaction puts it there at this very moment).
    """
    unique = hashlib.sha256(json.dumps([message.environment, channel, idempotency]).encode()).hexdigest()
    if connection.execute(select(outbox.c.id).where(outbox.c.idempotency == unique)).first() is not None:
        return False
    # Before the row that speaks of them: whoever drops them looks for such rows once he has locked them.
    for one in sorted(message.attachments, key=lambda one: one.digest):
        insert_or_lock(connection, attachment, {"digest": one.digest, "content": one.content})
    row = {
        "idempotency": unique,
        "environment": message.environment,
        "channel": channel,
        "message": messages.dump_message(message),
        "created_at": message.at,
        "next_at": not_before,
    }
    insert_or_lock(connection, outbox, row, ("idempotency",))
    return True


@define
class Wire:
    """What all steps of one pump share, and what it has done so far.

    Attributes:
        engine: the store.
        config: routes and fallback.
        channels: by name.
        environment: whose groups and events are told.
        clock: the real time.
        owner: the name under which this pump holds leases.
        counts: tries by what came of them.
        problems: what a person must mend.
        again: what was told, or ended, changes what other groups are to be told: there is more to do at once.
    """

    engine: Engine
    config: AlertConfig
    channels: Mapping[str, Channel | BrokenChannel]
    environment: str
    clock: Callable[[], datetime]
    owner: str
    counts: dict[str, int] = field(factory=lambda: {"sent": 0, "failed": 0, "dead": 0})
    problems: list[str] = field(factory=list)
    again: bool = False

    def turn(self, connection: Connection, name: str) -> tuple[datetime, str] | None:
        """Take the next turn of the channel ``name``; see ``flow.take_turn``."""
        rate = getattr(self.channels[name], "rate", (0, 0.0))  # one of the user's own may have none
        return take_turn(connection, self.environment, name, rate, self.clock())

    def send(self, channel: Channel | BrokenChannel, message: Message) -> Receipt:
        """Send once, in the user's own words where there are any.

        Whatever the channel does short of ending the process becomes a receipt.
        """
        declared = self.config.channels.get(channel.name)
        sources = self.config.templates.of(channel.name, declared.type) if declared else {}
        dressed, useless = worded(message, sources)
        self.problems += useless
        try:
            receipt = channel.send(dressed)
        except ValueError as error:  # the message cannot be meant for this channel; see Channel.send
            _log.warning("the channel %s refuses a %s message: %s", channel.name, message.status, type(error).__name__)
            return Receipt(delivered=False, error=f"it refuses the message: {type(error).__name__}")
        except Exception as error:  # noqa: BLE001  # a plug-in's trouble must not stop the others
            # Its text may hold an address or a secret, so only its type is told.
            return Receipt(delivered=False, retry=True, error=type(error).__name__)
        if receipt.delivered and receipt.error:  # it arrived, but not at everybody
            self.problems.append(f"the channel {channel.name}: {receipt.error}")
        return receipt if receipt.delivered else evolve(receipt, error=receipt.error or "it gave no reason")

    def answered(self, channel: str, message: Message, receipt: Receipt, unique: str) -> None:
        """Count what came of one try, and close or open the channel accordingly; the fallback hears if it stays closed.

        In a transaction of its own: it holds for all groups, and nothing waits for it.

        Args:
            channel: which one.
            message: what it was told.
            receipt: what came of it.
            unique: what makes that try unique, as for ``dead_letter``: the fallback hears of it once.
        """
        self.counts["sent" if receipt.delivered else "failed" if receipt.retry else "dead"] += 1
        if channel not in self.channels or isinstance(self.channels[channel], BrokenChannel):
            return
        now = self.clock()
        with self.engine.begin() as connection:
            if note_answer(connection, self.environment, channel, receipt, now):
                error = f"{FAILURES + 1} tries in a row failed: {receipt.error}; all that it is to be told waits"
                self.dead_letter(connection, channel, message, error, unique, dead=False)

    def dead_letter(
        self, connection: Connection, channel: str, message: Message, error: str, unique: str, *, dead: bool = True
    ) -> None:
        """Tell the fallback channel, once, what ``channel`` does not take.

        Args:
            connection: in the transaction that settles it.
            channel: which channel.
            message: what it was to be told.
            error: why it does not take it.
            unique: what makes this news unique.
            dead: it is given up; False: it is still being tried.
        """
        fallback = self.config.fallback
        if dead:
            self.problems.append(f"the channel {channel} could not be told {message.title!r}: {error}")
        if fallback is not None and fallback != channel:
            letter = messages.undelivered(message, channel, error, dead=dead, at=self.clock())
            enqueue_event(connection, fallback, letter, f"undelivered {channel} {unique}")


def due_events(wire: Wire) -> list[int]:
    """Return the events that are to be sent now, oldest first."""
    query = select(outbox.c.id).where(_sendable(wire, wire.clock())).order_by(outbox.c.id)
    with wire.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def tell_event(wire: Wire, event: int) -> None:
    """Claim one event, send it, and settle; nothing when another pump was faster."""
    now = wire.clock()
    mine = outbox.c.id == event
    with wire.engine.begin() as connection:
        # Locked by its key first: MariaDB and MySQL deadlock when one pump begins at the index and another at the row.
        row = connection.execute(select(outbox).where(mine).with_for_update()).one()
        lease = {"lease_until": now + LEASE, "lease_owner": wire.owner}
        if connection.execute(outbox.update().where(mine, _sendable(wire, now)).values(**lease)).rowcount != 1:
            return
        turn = wire.turn(connection, row.channel) if row.channel in wire.channels else None
        if turn is not None:
            later = {"next_at": turn[0], "error": turn[1], "lease_until": None, "lease_owner": None}
            connection.execute(outbox.update().where(mine).values(**later))
            return
    channel = wire.channels.get(row.channel)
    message = _whole(wire, row.message)
    if message is None:
        if _is_sent(wire, mine):  # by a pump that was faster, because this one was held up
            return
        message = messages.load_message(row.message)
        receipt = Receipt(delivered=False, error="what was to be attached is no longer in the store")
    elif channel is None:
        receipt = Receipt(delivered=False, error="the channel is not in alerting/routes.toml")
    elif channel.pages:
        receipt = Receipt(delivered=False, error="the channel is a pager, which takes no news that is told once")
    else:
        receipt = wire.send(channel, message)
    with wire.engine.begin() as connection:
        _settle(wire, connection, row, message, receipt)
    wire.answered(row.channel, message, receipt, f"event {row.id}")


def _whole(wire: Wire, text: str) -> Message | None:
    """Return the message of a row with what is attached to it; None: that is not there."""
    digests = messages.attached_digests(text)
    if not digests:
        return messages.load_message(text)
    query = select(attachment.c.digest, attachment.c.content).where(attachment.c.digest.in_(digests))
    with wire.engine.connect() as connection:
        contents = {found.digest: found.content for found in connection.execute(query)}
    return messages.load_message(text, contents) if contents.keys() >= set(digests) else None


def _is_sent(wire: Wire, which: ColumnElement[bool]) -> bool:
    with wire.engine.connect() as connection:
        return connection.execute(select(outbox.c.sent_at).where(which)).scalar_one() is not None


def _drop_attachments(connection: Connection, text: str) -> None:
    """Forget what was attached to a message that has arrived, unless another one that has not has it, too."""
    for digest in sorted(messages.attached_digests(text)):
        mine = attachment.c.digest == digest
        connection.execute(select(attachment.c.digest).where(mine).with_for_update()).all()
        wanted = select(outbox.c.id).where(outbox.c.sent_at.is_(None), outbox.c.message.contains(digest))
        if connection.execute(wanted.limit(1)).first() is None:
            connection.execute(attachment.delete().where(mine))


def _sendable(wire: Wire, now: datetime) -> ColumnElement[bool]:
    c = outbox.c
    # No failed try puts one off for longer, so this clock was wrong, too.
    after_a_failure = and_(c.error.is_not(None), c.next_at > now + LONGEST_ASKED)
    return and_(
        c.environment == wire.environment,
        c.sent_at.is_(None),
        c.dead_at.is_(None),
        or_(c.next_at.is_(None), c.next_at <= now, c.next_at > now + _LATEST, after_a_failure),
        lease_is_free(c.lease_until, now),
    )


def _settle(wire: Wire, connection: Connection, row: Any, message: Message, receipt: Receipt) -> None:
    now = wire.clock()
    attempts = row.attempts + (not receipt.delivered)
    settled: dict[str, Any] = {
        "attempts": attempts,
        "error": receipt.error or None,
        "lease_until": None,
        "lease_owner": None,
    }
    if receipt.delivered:
        settled |= {"sent_at": now, "reference": json.dumps(dict(receipt.reference))}
    elif receipt.retry:
        settled["next_at"] = now + backoff(attempts, receipt.after, random.random())  # noqa: S311  # jitter is no secret
    else:
        settled["dead_at"] = now
    mine = outbox.c.id == row.id
    connection.execute(select(outbox.c.id).where(mine).with_for_update())
    connection.execute(outbox.update().where(mine, outbox.c.sent_at.is_(None)).values(**settled))
    if receipt.delivered:
        _drop_attachments(connection, row.message)
    if "dead_at" in settled or attempts == TRIES_BEFORE_FALLBACK:
        wire.dead_letter(connection, row.channel, message, receipt.error, f"event {row.id}", dead="dead_at" in settled)
