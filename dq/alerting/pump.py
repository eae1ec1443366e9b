"""The pump: what every channel should know now, derived under a lease, sent, and settled.

    claim    one transaction: take the group's lease; read its incidents and what its channels were told; derive what
             each should know, by ``look``; write *trying*
    send     outside of any transaction; pagers first
    settle   one transaction per channel: *told*, or when to try again
    release  one transaction: when to look at it again

A group is what is leased: the incidents of one subject. What a coarser ``group_by`` brings together from several
subjects is one more group of its environment, looked at after them.

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
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import evolve, field, frozen
from sqlalchemy import and_, func, not_, or_, select, true
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.expression import ColumnElement

from dq.alerting import messages, silences
from dq.alerting.channels import Channel
from dq.alerting.config import AlertConfig
from dq.alerting.fold import UPSTREAM
from dq.alerting.incidents import from_row, in_chunks, of_subject, open_groups, read_by_id, read_open
from dq.alerting.look import Decision, Group, Hours, Known, untold
from dq.alerting.mute import Mute, muter, upstream_of
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
from dq.alerting.reason import Reason
from dq.alerting.routing import Place, Target, is_shared, places, shares
from dq.model.incident import Incident
from dq.model.message import Message, Receipt
from dq.model.severity import Outcome, Severity
from dq.store.schema import alert_group, outbox
from dq.store.schema import incident as incident_table
from dq.store.schema import told as told_table
from dq.store.upsert import insert_or_lock

__all__ = ["PumpReport", "enqueue_event", "open_channels", "pump"]

SHARED = "~"
"""The kind of the group with what a coarser ``group_by`` brings together; no subject has it."""

LONGEST_STAY = timedelta(seconds=60)
"""However patient a pump is, and however much there is to send one by one, it leaves the rest to the next one."""

_ROUNDS = 4
"""How often one pass looks for what its own look at one group means for others."""

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
        next_at: when there is something to do again, should nothing happen; None: nothing.
    """

    sent: int = 0
    failed: int = 0
    dead: int = 0
    waiting: int = 0
    problems: tuple[str, ...] = ()
    reasons: tuple[str, ...] = field(default=(), eq=False)  # words for people, no part of what was done
    next_at: datetime | None = field(default=None, eq=False)

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
    patience: timedelta = timedelta(0),
) -> PumpReport:
    """Tell every channel what it should know and does not; several pumps at once are safe.

    Args:
        engine: the store.
        config: routes and fallback.
        channels: by name, as ``open_channels`` gives them.
        environment: only its groups and events are touched, so that stage never sends for prod.
        clock: the real time; only tests give another.
        patience: how long to stay for what comes due next, the turn of a channel, a tick, another try; up to
            ``LONGEST_STAY`` as long as each pass delivers something. Zero: one pass.

    Raises:
        SQLAlchemyError: when the store fails. What was sent by then and not settled is told again.
    """
    owner = f"{socket.gethostname()[:60]}:{os.getpid()}:{uuid.uuid4().hex[:12]}"
    wire = Wire(engine, config, channels, environment, clock, owner)
    began, before = clock(), 0
    while True:
        _pass(wire)
        now, next_at = clock(), _next_at(wire)
        stay = LONGEST_STAY if wire.counts["sent"] > before else patience
        before = wire.counts["sent"]
        if not patience or next_at is None or next_at > min(now + patience, began + stay):
            break
        time.sleep(max((next_at - now).total_seconds(), 0.05))
    waiting = _waiting(wire)
    reasons = dict.fromkeys(f"the channel {channel} waits to be told: {error}" for channel, error in waiting)
    problems = dict.fromkeys(wire.problems)
    return PumpReport(
        **wire.counts, waiting=len(waiting), problems=tuple(problems), reasons=tuple(reasons), next_at=next_at
    )


def _pass(wire: Wire) -> None:
    """Look once at all that is due, and at what that makes due."""
    for _ in range(_ROUNDS):
        wire.again = False
        for shared in (False, True):
            for group in _due_groups(wire, shared=shared):
                try:
                    _tell_group(wire, group)
                except SQLAlchemyError:
                    raise
                except Exception as error:  # noqa: BLE001  # one group that cannot be told must not silence the others
                    _log.info("the group %s cannot be told", group, exc_info=True)
                    wire.problems.append(f"the group {group} cannot be told: {type(error).__name__}")
        if not wire.again:
            break
    for event in due_events(wire):
        tell_event(wire, event)


@frozen
class _Send:
    """One message to be sent, with what was decided.

    ``unsure`` says that the channel knows of something, or may: an earlier try was never settled.
    """

    decision: Decision
    message: Message
    trying: str
    attempts: int
    unsure: bool

    @property
    def channel(self) -> str:
        return self.decision.target.channel

    @property
    def unique(self) -> str:
        """What makes it unique, however often it is tried."""
        return f"{self.decision.target.message_key} {json.dumps(self.decision.desired)} {self.message.at}"


@frozen
class _Claim:
    """A group that this pump holds the lease of.

    Attributes:
        row: of the group, as it was.
        group: what was looked at, with the incidents as they are after it.
        sends: what is to be sent, pagers first.
        look_at: when what mutes may be something else.
        news: incidents or routes have changed since the last look, not only the time.
    """

    row: Any
    group: Group
    sends: tuple[_Send, ...]
    look_at: tuple[datetime, ...]
    news: bool


def _due(wire: Wire, now: datetime) -> ColumnElement[bool]:
    c = alert_group.c
    other_routes = or_(c.routes.is_(None), c.routes != wire.config.fingerprint)
    # What was let go in the future was so by a clock that was wrong, and so is the time at which it is due.
    news = or_(c.dirty > c.seen, c.due_at <= now, c.looked_at > now + LEASE, other_routes)
    return and_(c.environment == wire.environment, news, lease_is_free(c.lease_until, now))


def _due_groups(wire: Wire, *, shared: bool) -> list[str]:
    """Return the groups that nobody holds and that have news, are due, or have new routes."""
    c = alert_group.c
    kind = c.kind == SHARED if shared else c.kind != SHARED
    query = select(c.group_key).where(_due(wire, wire.clock()), kind).order_by(c.group_key)
    with wire.engine.connect() as connection:
        return list(connection.execute(query).scalars())


def _next_at(wire: Wire) -> datetime | None:
    """Return when something is due that is not yet, or what another pump has in its hands is free again if it dies."""
    now, found = wire.clock(), []
    unsent = and_(outbox.c.sent_at.is_(None), outbox.c.dead_at.is_(None))
    with wire.engine.connect() as connection:
        for table, due_at, waits in ((alert_group, alert_group.c.due_at, true()), (outbox, outbox.c.next_at, unsent)):
            ours, free = table.c.environment == wire.environment, lease_is_free(table.c.lease_until, now)
            found += [
                connection.execute(select(func.min(due_at)).where(ours, waits, free)).scalar(),
                connection.execute(select(func.min(table.c.lease_until)).where(ours, waits, not_(free))).scalar(),
            ]
    return min((at for at in found if at is not None), default=None)


def _tell_group(wire: Wire, group: str) -> None:
    """Claim ``group``, send what its channels must know, settle, and let go; nothing when another pump was faster."""
    with wire.engine.begin() as connection:
        claim = _claim(wire, connection, group)
    if claim is None:
        return
    if claim.news and claim.row.kind != SHARED:
        _touch_what_depends(wire, claim)
    for number, send in enumerate(claim.sends):
        if number and not _renew(wire, group):
            return
        receipt = wire.send(wire.channels[send.channel], send.message)
        with wire.engine.begin() as connection:
            _settle(wire, connection, group, send, receipt)
        wire.answered(send.channel, send.message, receipt, send.unique)
    with wire.engine.begin() as connection:
        _release(wire, connection, claim)


# ---------------------------------------------------------------------------------------------------------------- claim


def _claim(wire: Wire, connection: Connection, key: str) -> _Claim | None:
    now = wire.clock()
    mine = alert_group.c.group_key == key
    lease = {"lease_until": now + LEASE, "lease_owner": wire.owner}
    if connection.execute(alert_group.update().where(mine, _due(wire, now)).values(**lease)).rowcount != 1:
        return None
    row = connection.execute(select(alert_group).where(mine)).one()
    shared = row.kind == SHARED
    same_routes = row.routes == wire.config.fingerprint
    news = row.dirty != row.seen or not same_routes
    subject = of_subject(row.environment, row.kind, row.subject)
    incidents = read_open(connection, incident_table.c.environment == row.environment if shared else subject)
    ended = () if shared else _ended_untold(connection, subject)
    known = _known(connection, key)
    listed = {incident.id for incident in (*incidents, *ended)}
    others = read_by_id(connection, {id_ for one in known.values() for id_ in (*one.maybe, *one.passed)} - listed)
    mutes, until = _mutes(wire, connection, incidents, now)
    routed = {incident.id: _places(wire, incident) for incident in (*incidents, *others, *ended)}
    here = {id_: [p for p in found if is_shared(p.chosen.group_by) is shared] for id_, found in routed.items()}
    group = Group(
        config=wire.config,
        incidents=[(i, here[i.id]) for i in incidents],
        others=[(i, here[i.id]) for i in (*others, *ended)],
        mutes=mutes,
        known=known,
        same_routes=same_routes,
    )
    if not shared and news and shares(wire.config.route):  # what was shared once is looked at for its other routes
        _look_at_shared(wire, connection)
    decisions = group.look(now)
    sends = [send for d in _pagers_first(wire, decisions) if (send := _act(wire, connection, key, d, now)) is not None]
    told_now = {i.id for send in sends for i in send.decision.shown if i.told_at is None}
    _mark_told(connection, told_now, now)
    if not shared:
        hours = Hours(wire.config, now)
        _note_mutes(connection, group, hours)
        quiet = {incident.id: _quiet(wire, key, routed[incident.id], hours) for incident in ended}
        _tell_untold(connection, ended, quiet, decisions, sends, now)
    # Those that are being told have been told when the next look is taken: escalations count from here.
    incidents_now = [(evolve(i, told_at=now) if i.id in told_now else i, p) for i, p in group.incidents]
    group = evolve(group, incidents=incidents_now, same_routes=True)
    return _Claim(row, group, tuple(sends), until, news)


def _places(wire: Wire, incident: Incident) -> tuple[Place, ...]:
    found, problems = places(wire.config.route, wire.config.types, incident, wire.config.pagers)
    wire.problems.extend(problems)
    return found


def _ended_untold(connection: Connection, subject: ColumnElement[bool]) -> tuple[Incident, ...]:
    c = incident_table.c
    query = select(incident_table).where(subject, c.told_at.is_(None), c.ended.in_(("recovered", "vanished")))
    return tuple(from_row(row) for row in connection.execute(query.order_by(c.id)))


def _known(connection: Connection, key: str) -> dict[Target, Known]:
    rows = connection.execute(select(told_table).where(told_table.c.group_key == key))
    return {Target(row.channel, row.message_key): _known_of(row) for row in rows}


def _known_of(row: Any) -> Known:
    tried: dict[str, Any] = json.loads(row.trying or "{}")
    unsent = bool(tried.get("unsent"))
    # What waits for its turn was never on the wire; given up by a person, it counts as refused.
    was_tried = bool(tried) and not (unsent and row.dead_at is None)
    return Known(
        told=_state(json.loads(row.told or "{}")),
        trying=_state(tried["state"]) if was_tried else None,
        passed=tuple(tried.get("passed", ())),
        unsent=unsent,
        unsure=bool(tried.get("unsure")),
        mixed=bool(tried.get("mixed")),
        dead=row.dead_at is not None,
        told_at=row.told_at,
        flushed_at=row.flushed_at,
        acked_at=row.acked_at,
        next_at=row.next_at,
        attempts=row.attempts,
        reference=json.loads(row.reference or "{}"),
        message=row.message,
    )


def _mutes(
    wire: Wire, connection: Connection, incidents: Sequence[Incident], now: datetime
) -> tuple[dict[int, tuple[Mute, ...]], tuple[datetime, ...]]:
    """Return what mutes ``incidents``, by id, and when silences among that end.

    All is read after the lease was taken: whoever changes it makes the pump look again, see ``silences.touch``.
    """
    if not incidents:
        return {}, ()
    holding = [s for s in silences.listed(connection, wire.environment, now) if s.active(now)]
    of = muter(holding, wire.config.inhibit_rules, _sources(wire, connection, incidents), now)
    found = {incident.id: mutes for incident in incidents if (mutes := of(incident))}
    silenced = any(mute.why == "silence" for mutes in found.values() for mute in mutes)
    return found, tuple(s.ends_at for s in holding) if silenced else ()


def _sources(wire: Wire, connection: Connection, incidents: Sequence[Incident]) -> Sequence[Incident]:
    """Return what is open and may mute ``incidents``: all of it, with rules; else what they are made from."""
    c = incident_table.c
    if wire.config.inhibit_rules:
        return read_open(connection, c.environment == wire.environment)
    found: dict[str, tuple[Incident, ...]] = {}
    unknown = {i.key.subject for i in incidents if i.outcome in (Outcome.NO_DATA, Outcome.UNMEASURED)}
    ahead = unknown.union(*(upstream_of(incident) for incident in incidents))
    while ahead:
        read = read_open(connection, and_(c.environment == wire.environment, c.subject.in_(sorted(ahead))))
        found |= {name: tuple(i for i in read if i.key.subject == name) for name in ahead}
        ahead = {name for incident in read for name in upstream_of(incident)} - found.keys()
    return [incident for some in found.values() for incident in some]


def _note_mutes(connection: Connection, group: Group, hours: Hours) -> None:
    """Write down what keeps incidents from being told: when one has ended, that says whether anybody missed it."""
    changed: dict[str | None, list[int]] = {}
    for incident, found in group.incidents:
        mutes = group.mutes.get(incident.id, ())
        closed = bool(found) and not any(hours.open(place.chosen) for place in found)
        why: str | None = mutes[0].why if mutes else "time" if closed else None
        if why != incident.muted:
            changed.setdefault(why, []).append(incident.id)
    for why, ids in changed.items():
        for some in in_chunks(sorted(ids)):
            connection.execute(incident_table.update().where(incident_table.c.id.in_(some)).values(muted=why))


def _look_at_shared(wire: Wire, connection: Connection) -> None:
    """Make the pump look at what several subjects share, whichever of them it was."""
    key = f"{wire.environment}/{SHARED}"
    names = {"environment": wire.environment, "kind": SHARED, "subject": ""}
    insert_or_lock(connection, alert_group, {"group_key": key, **names})
    dirty = {"dirty": alert_group.c.dirty + 1}
    connection.execute(alert_group.update().where(alert_group.c.group_key == key).values(**dirty))


def _pagers_first(wire: Wire, decisions: Iterable[Decision]) -> list[Decision]:
    def calm(decision: Decision) -> bool:
        channel = wire.channels.get(decision.target.channel)
        return channel is None or not channel.pages

    return sorted(decisions, key=lambda d: (calm(d), d.target))


def _act(wire: Wire, connection: Connection, key: str, decision: Decision, now: datetime) -> _Send | None:
    """Note what was decided, and return what is to be sent now; None: nothing."""
    known, target = decision.known, decision.target
    if not decision.due(now):
        _keep(connection, key, decision)
        return None
    over = {"told": "{}", "trying": None, "attempts": 0, "next_at": None, "dead_at": None, "flushed_at": None}
    if decision.quiet and not decision.desired:
        connection.execute(_told_row(key, target).values(**over, acked_at=None, error=None))
        return None
    message = _message(decision, now)
    if target.channel not in wire.channels:
        # Nobody can tell a channel that is not configured any more: say so once, elsewhere.
        error = "it is no longer in alerting/routes.toml; what it shows must be closed by hand"
        wire.counts["dead"] += 1
        wire.dead_letter(connection, target.channel, message, error, f"{target.message_key} gone {message.at}")
        connection.execute(_told_row(key, target).values(**over, error=error))
        return None
    turn = wire.turn(connection, target.channel)
    names = {"group_key": key, "channel": target.channel, "message_key": target.message_key}
    insert_or_lock(connection, told_table, names)
    values: dict[str, Any] = {"flushed_at": decision.flushed_at}
    if decision.desired:  # a message that takes it back is made anew from this one, should it have to be repeated
        values["message"] = messages.dump_message(message)
    # What was refused for good did not arrive; of any other try that was not settled nobody knows.
    unsure = bool(known.told) or (bool(known.trying) and not known.dead) or known.unsure
    attempts = 0 if known.dead else known.attempts
    mixed = known.mixed or (known.trying is not None and not known.dead and known.trying != decision.desired)
    tried = {"by": wire.owner, "state": decision.desired, "unsure": unsure, "mixed": mixed}
    if turn is not None:
        # What was tried before and not settled stays so: that it waits for its turn does not settle it.
        values |= {"next_at": turn[0], "error": turn[1], "dead_at": None}
        if known.trying is None or known.dead:
            # What came and went with it is told as an event, now; only what was part of an earlier try stays so.
            unsent = {**tried, "unsent": True, "passed": known.passed}
            values |= {"trying": json.dumps(unsent), "attempts": attempts}
        connection.execute(_told_row(key, target).values(**values))
        return None
    trying = json.dumps({**tried, "passed": [i.id for i in decision.passed]})
    values |= {"trying": trying, "attempts": attempts, "next_at": None, "dead_at": None}
    connection.execute(_told_row(key, target).values(**values))
    return _Send(decision, message, trying, attempts, unsure)


def _keep(connection: Connection, key: str, decision: Decision) -> None:
    """Note until when a message is put off, and where the ticks of its group begin."""
    known, target = decision.known, decision.target
    values: dict[str, Any] = {}
    if known.trying is None and known.next_at != decision.when:
        values |= {"next_at": decision.when, "error": None, "trying": None}
    if known.flushed_at != decision.flushed_at:
        values["flushed_at"] = decision.flushed_at
    if known == Known() and decision.flushed_at is None:
        return  # nothing is known of it, and nothing need be: it is decided anew
    if values:
        names = {"group_key": key, "channel": target.channel, "message_key": target.message_key}
        insert_or_lock(connection, told_table, names)
        connection.execute(_told_row(key, target).values(**values))


def _message(decision: Decision, now: datetime) -> Message:
    known = decision.known
    before = None if known.message is None else messages.load_message(known.message)
    reference = known.reference if known.maybe else {}
    if not decision.desired and before is not None:
        known_of = decision.gone
        at = max((i.changed_at for i in known_of), default=now)
        worst = Severity(max(known.maybe.values(), default=Severity.INFO))
        return evolve(messages.resolved(before, known_of, worst, at, decision.passed), reference=reference)
    # What is tried again is the same message: whoever got it already can tell.
    again = before is not None and decision.reason is Reason.UNSETTLED and known.trying == decision.desired
    message = messages.firing(
        decision.target.message_key,
        decision.shown or decision.held,
        known.told,
        before.at if again and before is not None else now,
        gone=() if decision.quiet else decision.gone,
        passed=decision.passed,
        acknowledged=decision.acknowledges,
        escalated=decision.escalated,
    )
    # What is held is not told again, and still open there as it was told: what the others are does not make it milder.
    return evolve(message, reference=reference, severity=Severity(max(message.severity, *decision.desired.values())))


def _tell_untold(
    connection: Connection,
    ended: Sequence[Incident],
    quiet: Mapping[int, Mapping[Target, datetime | None]],
    decisions: Sequence[Decision],
    sends: Sequence[_Send],
    now: datetime,
) -> None:
    """Tell of incidents that ended before any channel was told, once and without paging.

    Where something is open they are part of its next message, and wait for it; elsewhere they are an event.

    Args:
        connection: in the transaction of the claim.
        ended: what ended untold.
        quiet: by its id, as ``_quiet`` has it.
        decisions: what was decided for the group.
        sends: which of these are being sent.
        now: the real time.
    """
    part = {(send.decision.target, i.id) for send in sends for i in send.decision.passed}
    waits = {i.id for d in decisions if d.when is not None and not d.due(now) for i in d.passed}
    waits -= {id_ for _, id_ in part}
    events: dict[tuple[Target, datetime | None], list[Incident]] = {}
    done: list[Incident] = []
    for incident in ended:
        if untold(incident) and incident.id in waits:
            continue
        done.append(incident)
        if not untold(incident):
            continue
        for target, not_before in quiet[incident.id].items():
            if (target, incident.id) not in part:
                events.setdefault((target, not_before), []).append(incident)
    for (target, not_before), incidents in sorted(events.items(), key=lambda item: item[0][0]):
        message = messages.episode(target.message_key, incidents, max(i.changed_at for i in incidents))
        unique = "untold " + ",".join(str(i.id) for i in incidents)
        enqueue_event(connection, target.channel, message, unique, not_before)
    c = incident_table.c
    for some in in_chunks([i.id for i in done]):
        here = incident_table.update().where(c.id.in_(some))
        connection.execute(here.where(c.ended == "recovered").values(ended="recovered_untold", told_at=now))
        connection.execute(here.where(c.ended == "vanished").values(told_at=now))


def _quiet(wire: Wire, key: str, routed: Iterable[Place], hours: Hours) -> dict[Target, datetime | None]:
    """Return which of ``routed`` hear of what came and went, and when, if not now: no pager; else the fallback."""
    found: dict[Target, datetime | None] = {}
    for place in routed:
        if place.after or not place.chosen.send_resolved:
            continue
        at = None if hours.open(place.chosen) else hours.change(place.chosen)
        earlier = found.get(place.target, at)
        found[place.target] = None if at is None or earlier is None else min(at, earlier)
    quiet = {t: at for t, at in found.items() if t.channel in wire.channels and not wire.channels[t.channel].pages}
    if found and not quiet and wire.config.fallback is not None:
        return {Target(wire.config.fallback, key): None}
    return quiet


def _mark_told(connection: Connection, ids: Iterable[int], now: datetime) -> None:
    c = incident_table.c
    for some in in_chunks(sorted(ids)):
        connection.execute(incident_table.update().where(c.id.in_(some), c.told_at.is_(None)).values(told_at=now))


# ---------------------------------------------------------------------------------------- what it means to others


def _touch_what_depends(wire: Wire, claim: _Claim) -> None:
    """Make the pump look at what the incidents of this group may mute, or have muted.

    Before the group is let go: a pump that dies in between finds it as it was, and does this again. Only news of
    incidents does this, and it makes others due, not dirty, so that two that mute each other come to rest.
    """
    row, c, g = claim.row, incident_table.c, alert_group.c
    # A rule may be about anything; without one, only an upstream mutes, and an SLA its own subject.
    named = c.labels.contains(UPSTREAM, autoescape=True)
    without_rules = or_(named, c.subject == row.subject) if row.kind == "sla" else named
    conditions = () if wire.config.inhibit_rules else (without_rules,)
    now = wire.clock()
    with wire.engine.begin() as connection:
        later = select(g.group_key).where(g.environment == wire.environment, or_(g.due_at.is_(None), g.due_at > now))
        not_due = {*connection.execute(later).scalars()} - {row.group_key}
        keys = [key for key in open_groups(connection, wire.environment, *conditions) if key in not_due]
        for key in keys:
            connection.execute(alert_group.update().where(g.group_key == key).values(due_at=now))
    wire.again = wire.again or bool(keys)


# --------------------------------------------------------------------------------------------------- settle and release


def _renew(wire: Wire, group: str) -> bool:
    with wire.engine.begin() as connection:
        return _holds(wire, connection, group)


def _holds(wire: Wire, connection: Connection, group: str) -> bool:
    mine = and_(alert_group.c.group_key == group, alert_group.c.lease_owner == wire.owner)
    return connection.execute(alert_group.update().where(mine).values(lease_until=wire.clock() + LEASE)).rowcount == 1


def _settle(wire: Wire, connection: Connection, group: str, send: _Send, receipt: Receipt) -> None:
    now = wire.clock()
    decision = send.decision
    row = _told_row(group, decision.target)
    if not _holds(wire, connection, group):
        # Another pump took over: whether its message or this one came last, nobody knows. So it is told again.
        passed = [i.id for i in decision.passed]
        tried = {"by": f"late:{wire.owner}", "state": decision.desired, "unsure": True, "mixed": True}
        late = json.dumps({**tried, "passed": passed})
        connection.execute(row.values(trying=late, next_at=None, dead_at=None))
        again = alert_group.update().where(alert_group.c.group_key == group)
        connection.execute(again.values(dirty=alert_group.c.dirty + 1))
        return
    settled: dict[str, Any] = {"attempts": 0, "next_at": None, "dead_at": None, "error": receipt.error or None}
    if receipt.delivered:
        reference = json.dumps(dict(receipt.reference))
        settled |= {"told": json.dumps(decision.desired), "trying": None, "told_at": now, "reference": reference}
        if not decision.desired:
            settled |= {"flushed_at": None}
        if decision.acknowledges or not decision.acked:
            settled |= {"acked_at": now if decision.acknowledges else None}
    elif receipt.retry:
        attempts = send.attempts + 1
        wait = backoff(attempts, receipt.after, random.random())  # noqa: S311  # jitter is no secret
        settled |= {"attempts": attempts, "next_at": now + wait}
        if attempts == TRIES_BEFORE_FALLBACK:
            wire.dead_letter(connection, send.channel, send.message, receipt.error, send.unique, dead=False)
    else:
        # "Well again" for a channel that knows of nothing and takes nothing: there is nothing left to tell it.
        over = not decision.desired and not send.unsure
        settled |= {"trying": None} if over else {"dead_at": now}
        wire.dead_letter(connection, send.channel, send.message, receipt.error, send.unique)
    connection.execute(row.where(told_table.c.trying == send.trying).values(**settled))


def _release(wire: Wire, connection: Connection, claim: _Claim) -> None:
    """Let the group go, until it has news or what is known by now makes it due."""
    key, now = claim.row.group_key, wire.clock()
    after = evolve(claim.group, known=_known(connection, key)).look(now)
    ahead = [at for decision in after for at in (decision.when, *decision.look_at) if at is not None]
    connection.execute(
        alert_group.update()
        .where(alert_group.c.group_key == key, alert_group.c.lease_owner == wire.owner)
        .values(
            seen=claim.row.dirty,
            routes=wire.config.fingerprint,
            due_at=min((*ahead, *claim.look_at), default=None),
            looked_at=now,
            lease_until=None,
            lease_owner=None,
        )
    )


# ----------------------------------------------------------------------------------------------------------- what waits


def _waiting(wire: Wire) -> list[tuple[str, str]]:
    """Return channel and error of each state that is not known, and each event that waits, after a failed try."""
    t, o = told_table.c, outbox.c
    # What is dead without an error was given up by a person (`dq alerts drop`), who knows.
    dead = and_(t.dead_at.is_not(None), t.error.is_not(None))
    failing = and_(t.trying.is_not(None), or_(t.next_at.is_not(None), dead))
    groups = told_table.join(alert_group, alert_group.c.group_key == t.group_key)
    ours = alert_group.c.environment == wire.environment
    states = select(t.channel, t.error).select_from(groups).where(ours, failing).order_by(t.channel)
    unsent = and_(o.environment == wire.environment, o.sent_at.is_(None), o.dead_at.is_(None), o.error.is_not(None))
    events = select(o.channel, o.error).where(unsent).order_by(o.channel)
    with wire.engine.connect() as connection:
        rows = [*connection.execute(states), *connection.execute(events)]
    return [(row.channel, row.error or "it gave no reason") for row in rows]


def _told_row(group: str, target: Target) -> Any:
    c = told_table.c
    mine = (c.group_key == group, c.channel == target.channel, c.message_key == target.message_key)
    return told_table.update().where(*mine)


def _state(document: Mapping[str, int]) -> dict[int, int]:
    return {int(id_): severity for id_, severity in document.items()}
