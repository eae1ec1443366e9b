"""The pump: what every channel should know now, derived under a lease, sent, and settled.

    claim    one transaction: take the group's lease; read its incidents and what its channels were told; derive what
             each should know; write *trying*
    send     outside of any transaction; pagers first
    settle   one transaction per channel: *told*, or when to try again

A pump that dies anywhere leaves a lease that runs out and a *trying* that the next pump tells again. A pump that was
held up for so long that it lost its lease leaves its late message as *trying* too, because nobody knows whether it came
before or after that of the other pump. Delivery is at least once.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen
from sqlalchemy import and_, func, or_, select
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.expression import ColumnElement

from dq.alerting import messages
from dq.alerting.channels import Channel
from dq.alerting.config import AlertConfig
from dq.alerting.incidents import from_row, of_subject, read_open
from dq.alerting.outbox import (
    LEASE,
    TRIES_BEFORE_FALLBACK,
    BrokenChannel,
    Wire,
    backoff,
    due_events,
    enqueue_event,
    lease_is_free,
    open_channels,
    tell_event,
)
from dq.alerting.reason import Reason, State, reason
from dq.alerting.routing import Target, targets
from dq.alerting.upsert import insert_or_lock
from dq.model.incident import Incident
from dq.model.message import Message, Receipt
from dq.model.severity import Severity
from dq.store.schema import alert_group, outbox
from dq.store.schema import incident as incident_table
from dq.store.schema import told as told_table

__all__ = ["PumpReport", "enqueue_event", "open_channels", "pump"]

_CHUNK = 500
_log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the real time, which the wire (leases, retries) goes by."""
    return datetime.now(UTC)


@frozen(kw_only=True)
class PumpReport:
    """What one pump did.

    Attributes:
        sent: messages that a channel took.
        failed: tries that failed and will be repeated.
        dead: messages that were given up.
        waiting: what a channel still does not know after a failed try, now or earlier.
        problems: what a person must mend, a sentence each.
        reasons: why something is waiting, a sentence per channel and reason.
    """

    sent: int = 0
    failed: int = 0
    dead: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()
    reasons: tuple[str, ...] = field(default=(), eq=False)  # words for people, no part of what was done

    @property
    def undelivered(self) -> bool:
        """Whether anything that was decided is not where it belongs."""
        return bool(self.failed or self.dead or self.waiting or self.problems)


def pump(
    engine: Engine,
    config: AlertConfig,
    channels: Mapping[str, Channel | BrokenChannel],
    *,
    environment: str,
    clock: Callable[[], datetime] = utc_now,
) -> PumpReport:
    """Tell every channel what it should know and does not; several pumps at once are safe.

    Args:
        engine: the store.
        config: routes and fallback.
        channels: by name, as ``open_channels`` gives them.
        environment: only its groups and events are touched, so that stage never sends for prod.
        clock: the real time; only tests give another.

    Raises:
        SQLAlchemyError: when the store fails. What was sent by then and not settled is told again.
    """
    owner = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    wire = Wire(engine, config, channels, environment, clock, owner)
    for group in _due_groups(wire):
        try:
            _tell_group(wire, group)
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001  # one group that cannot be told must not silence the others
            _log.info("the group %s cannot be told", group, exc_info=True)
            wire.problems.append(f"the group {group} cannot be told: {type(error).__name__}")
    for event in due_events(wire):
        tell_event(wire, event)
    waiting = _waiting(wire)
    reasons = dict.fromkeys(f"the channel {channel} waits to be told: {error}" for channel, error in waiting)
    problems = dict.fromkeys(wire.problems)
    return PumpReport(**wire.counts, waiting=len(waiting), problems=tuple(problems), reasons=tuple(reasons))


@frozen
class _Send:
    """One message to be sent, with the state that it tells.

    ``unsure`` says that the channel knows of something, or may: an earlier try was never settled.
    """

    target: Target
    state: State
    message: Message
    trying: str
    attempts: int
    unsure: bool


@frozen
class _Claim:
    """A group that this pump holds the lease of."""

    group: str
    dirty: int
    sends: tuple[_Send, ...]


def _due(wire: Wire, now: datetime) -> ColumnElement[bool]:
    c = alert_group.c
    news = or_(c.dirty > c.seen, c.due_at <= now, c.routes.is_(None), c.routes != wire.config.fingerprint)
    return and_(c.environment == wire.environment, news, lease_is_free(c.lease_until, now))


def _due_groups(wire: Wire) -> list[str]:
    """Return the groups that nobody holds and that have news, a retry that is due, or new routes."""
    query = select(alert_group.c.group_key).where(_due(wire, wire.clock())).order_by(alert_group.c.group_key)
    with wire.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def _tell_group(wire: Wire, group: str) -> None:
    """Claim ``group``, send what its channels must know, settle, and let go; nothing when another pump was faster."""
    with wire.engine.begin() as connection:
        claim = _claim(wire, connection, group)
    if claim is None:
        return
    for number, send in enumerate(claim.sends):
        if number and not _renew(wire, group):
            return
        receipt = wire.send(wire.channels[send.target.channel], send.message)
        wire.count(receipt)
        with wire.engine.begin() as connection:
            _settle(wire, connection, claim, send, receipt)
    with wire.engine.begin() as connection:
        _release(wire, connection, claim)


def _claim(wire: Wire, connection: Connection, group: str) -> _Claim | None:
    now = wire.clock()
    mine = alert_group.c.group_key == group
    lease = {"lease_until": now + LEASE, "lease_owner": wire.owner}
    if connection.execute(alert_group.update().where(mine, _due(wire, now)).values(**lease)).rowcount != 1:
        return None
    row = connection.execute(select(alert_group).where(mine)).one()
    subject = of_subject(row.environment, row.kind, row.subject)
    wanted: dict[Target, list[Incident]] = {}
    for incident in read_open(connection, subject):
        for target in _targets(wire, incident):
            wanted.setdefault(target, []).append(incident)
    _tell_untold(wire, connection, group, subject, now)
    rows = {
        Target(told.channel, told.message_key): told
        for told in connection.execute(select(told_table).where(told_table.c.group_key == group))
    }
    look = _Look(wire, connection, group, now, same_routes=row.routes == wire.config.fingerprint)
    sends = [look.plan(target, wanted.get(target, []), rows.get(target)) for target in sorted({*wanted, *rows})]
    claimed = sorted(
        (send for send in sends if send is not None), key=lambda send: not wire.channels[send.target.channel].pages
    )
    _mark_told(connection, {id_ for send in claimed for id_ in send.state}, now)
    return _Claim(group, row.dirty, tuple(claimed))


def _targets(wire: Wire, incident: Incident) -> frozenset[Target]:
    found, problems = targets(wire.config.route, wire.config.types, incident)
    wire.problems.extend(problems)
    return found


@frozen
class _Look:
    """One look at a group, in the transaction of the claim."""

    wire: Wire
    connection: Connection
    group: str
    now: datetime
    same_routes: bool = field(kw_only=True)

    def plan(self, target: Target, incidents: Sequence[Incident], row: Any) -> _Send | None:
        """Return what ``target`` must be told and note that it is being tried; None when it must not be told now."""
        told, trying = ({}, None) if row is None else (_state(row.told), _tried(row.trying))
        desired = {incident.id: int(incident.severity) for incident in incidents}
        dead = row is not None and row.dead_at is not None
        if reason(told, trying, desired, dead=dead and self.same_routes) in (Reason.NOTHING, Reason.DEAD):
            return None
        if row is not None and not dead and row.next_at is not None and row.next_at > self.now:
            return None
        if incidents:
            message = messages.firing(target.message_key, incidents, told, max(i.changed_at for i in incidents))
        else:
            message = self._resolved(row, {**told, **(trying or {})})
        if target.channel not in self.wire.channels:
            self._forget(target, message)
            return None
        # What was refused for good did not arrive; of any other try that was not settled nobody knows.
        unsure = bool(told) or (bool(trying) and not dead) or (row is not None and _unsure(row.trying))
        send = _Send(
            target=target,
            state=desired,
            message=message,
            trying=json.dumps({"by": self.wire.owner, "state": desired, "unsure": unsure}),
            attempts=0 if row is None or dead else row.attempts,
            unsure=unsure,
        )
        names = {"group_key": self.group, "channel": target.channel, "message_key": target.message_key}
        insert_or_lock(self.connection, told_table, names)
        values = {"trying": send.trying, "attempts": send.attempts, "next_at": None, "dead_at": None}
        if incidents:  # a message that takes it back is made anew from this one, should it have to be repeated
            values["message"] = messages.dump_message(message)
        self.connection.execute(_told_row(self.group, target).values(**values))
        return send

    def _resolved(self, row: Any, before: State) -> Message:
        known = _read(self.connection, before)
        at = max((i.changed_at for i in known), default=self.now)
        worst = Severity(max(before.values(), default=Severity.INFO))
        return messages.resolved(messages.load_message(row.message), known, worst, at)

    def _forget(self, target: Target, message: Message) -> None:
        """Nobody can tell a channel that is not configured any more: say so once, elsewhere."""
        error = "it is no longer in alerting/routes.toml; what it shows must be closed by hand"
        self.wire.counts["dead"] += 1
        self.wire.dead_letter(
            self.connection, target.channel, message, error, f"{target.message_key} gone {message.at}"
        )
        gone = {"told": "{}", "trying": None, "attempts": 0, "next_at": None, "dead_at": None, "error": error}
        self.connection.execute(_told_row(self.group, target).values(**gone))


def _tell_untold(wire: Wire, connection: Connection, group: str, subject: ColumnElement[bool], now: datetime) -> None:
    """Tell of incidents that ended before any channel was told, once and without paging."""
    c = incident_table.c
    query = (
        select(incident_table)
        .where(subject, c.told_at.is_(None), c.ended.in_(("recovered", "vanished")))
        .order_by(c.id)
    )
    untold = [from_row(row) for row in connection.execute(query)]
    if not untold:
        return
    by_target: dict[Target, list[Incident]] = {}
    for incident in untold:
        routed = _targets(wire, incident)
        quiet = [t for t in routed if t.channel in wire.channels and not wire.channels[t.channel].pages]
        if routed and not quiet and wire.config.fallback is not None:
            quiet = [Target(wire.config.fallback, group)]
        for target in quiet:
            by_target.setdefault(target, []).append(incident)
    for target, incidents in sorted(by_target.items(), key=lambda item: item[0]):
        message = messages.episode(target.message_key, incidents, max(i.changed_at for i in incidents))
        enqueue_event(connection, target.channel, message, "untold " + ",".join(str(i.id) for i in incidents))
    ids = [i.id for i in untold]
    for some in _chunks(ids):
        here = incident_table.update().where(c.id.in_(some))
        connection.execute(here.where(c.ended == "recovered").values(ended="recovered_untold", told_at=now))
        connection.execute(here.where(c.ended == "vanished").values(told_at=now))


def _mark_told(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    c = incident_table.c
    for some in _chunks(sorted(ids)):
        connection.execute(incident_table.update().where(c.id.in_(some), c.told_at.is_(None)).values(told_at=now))


def _read(connection: Connection, ids: Iterable[int]) -> list[Incident]:
    found: list[Incident] = []
    for some in _chunks(sorted(ids)):
        query = select(incident_table).where(incident_table.c.id.in_(some)).order_by(incident_table.c.id)
        found += [from_row(row) for row in connection.execute(query)]
    return found


def _renew(wire: Wire, group: str) -> bool:
    with wire.engine.begin() as connection:
        return _holds(wire, connection, group)


def _holds(wire: Wire, connection: Connection, group: str) -> bool:
    mine = and_(alert_group.c.group_key == group, alert_group.c.lease_owner == wire.owner)
    return connection.execute(alert_group.update().where(mine).values(lease_until=wire.clock() + LEASE)).rowcount == 1


def _settle(wire: Wire, connection: Connection, claim: _Claim, send: _Send, receipt: Receipt) -> None:
    now = wire.clock()
    row = _told_row(claim.group, send.target)
    if not _holds(wire, connection, claim.group):
        # Another pump took over: whether its message or this one came last, nobody knows. So it is told again.
        late = json.dumps({"by": f"late:{wire.owner}", "state": send.state, "unsure": True})
        connection.execute(row.values(trying=late, next_at=None, dead_at=None))
        group = alert_group.update().where(alert_group.c.group_key == claim.group)
        connection.execute(group.values(dirty=alert_group.c.dirty + 1))
        return
    settled: dict[str, Any] = {"attempts": 0, "next_at": None, "dead_at": None, "error": receipt.error or None}
    unique = f"{send.target.message_key} {json.dumps(send.state)} {send.message.at}"
    if receipt.delivered:
        reference = json.dumps(dict(receipt.reference))
        settled |= {"told": json.dumps(send.state), "trying": None, "told_at": now, "reference": reference}
    elif receipt.retry:
        attempts = send.attempts + 1
        wait = backoff(attempts, receipt.after, random.random())  # noqa: S311  # jitter is no secret
        settled |= {"attempts": attempts, "next_at": now + wait}
        if attempts == TRIES_BEFORE_FALLBACK:
            wire.dead_letter(connection, send.target.channel, send.message, receipt.error, unique, dead=False)
    else:
        # "Well again" for a channel that knows of nothing and takes nothing: there is nothing left to tell it.
        over = not send.state and not send.unsure
        settled |= {"trying": None} if over else {"dead_at": now}
        wire.dead_letter(connection, send.target.channel, send.message, receipt.error, unique)
    connection.execute(row.where(told_table.c.trying == send.trying).values(**settled))


def _release(wire: Wire, connection: Connection, claim: _Claim) -> None:
    unsettled = select(func.min(told_table.c.next_at)).where(
        told_table.c.group_key == claim.group, told_table.c.trying.is_not(None), told_table.c.dead_at.is_(None)
    )
    due_at = connection.execute(unsettled).scalar()
    connection.execute(
        alert_group.update()
        .where(alert_group.c.group_key == claim.group, alert_group.c.lease_owner == wire.owner)
        .values(seen=claim.dirty, routes=wire.config.fingerprint, due_at=due_at, lease_until=None, lease_owner=None)
    )


# ------------------------------------------------------------------------------------------------------------ events


def _waiting(wire: Wire) -> list[tuple[str, str]]:
    """Return channel and error of each state that is not known, and each event that waits, after a failed try."""
    t, o = told_table.c, outbox.c
    # What is dead without an error was given up by a person (`dq alerts drop`), who knows.
    dead = and_(t.dead_at.is_not(None), t.error.is_not(None))
    failing = and_(t.trying.is_not(None), or_(t.next_at.is_not(None), dead))
    groups = told_table.join(alert_group, alert_group.c.group_key == t.group_key)
    ours = alert_group.c.environment == wire.environment
    states = select(t.channel, t.error).select_from(groups).where(ours, failing).order_by(t.channel)
    unsent = and_(o.environment == wire.environment, o.sent_at.is_(None), o.dead_at.is_(None), o.next_at.is_not(None))
    events = select(o.channel, o.error).where(unsent).order_by(o.channel)
    with wire.engine.connect() as connection:
        rows = [*connection.execute(states), *connection.execute(events)]
    return [(row.channel, row.error or "it gave no reason") for row in rows]


def _told_row(group: str, target: Target) -> Any:
    c = told_table.c
    mine = (c.group_key == group, c.channel == target.channel, c.message_key == target.message_key)
    return told_table.update().where(*mine)


def _state(text: str | None) -> dict[int, int]:
    return {int(id_): severity for id_, severity in json.loads(text or "{}").items()}


def _tried(text: str | None) -> dict[int, int] | None:
    return None if text is None else {int(id_): severity for id_, severity in json.loads(text)["state"].items()}


def _unsure(text: str | None) -> bool:
    return text is not None and bool(json.loads(text).get("unsure"))


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
