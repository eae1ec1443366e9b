"""What is open and who knows of it; silences and acknowledgements."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from attrs import frozen
from sqlalchemy import or_, select
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting import acks, silences
from dq.alerting.config import AlertConfig
from dq.alerting.incidents import from_row, worst_first
from dq.alerting.matcher import parse_matchers
from dq.alerting.mute import Mute, muter
from dq.alerting.routing import labels_of, places
from dq.alerting.silences import Silence
from dq.alerting.times import muted_by_time
from dq.app.session import in_transaction, transaction
from dq.app.telling import alerting_of
from dq.model.incident import Incident
from dq.model.severity import Severity
from dq.project import Project
from dq.store.schema import alert_group
from dq.store.schema import event as event_table
from dq.store.schema import incident as incident_table
from dq.store.schema import told as told_table

RECENT = timedelta(days=7)
"""What ended longer ago is not listed."""


@frozen
class Told:
    """What a channel knows of an incident.

    Attributes:
        channel: its name.
        key: of the message.
        severity: how bad it was told to be.
        at: when the channel was last told anything under that key.
    """

    channel: str
    key: str
    severity: Severity
    at: datetime | None


@frozen
class Alert:
    """One line of ``dq alerts``.

    Attributes:
        incident: what is not well.
        told: who knows of it.
        muted: why nobody is told now; empty: it is told.
        worse_than: how bad it was when it was acknowledged, muted or last told, where it is worse now and nobody knows.
        problems: what leads nowhere, a sentence each.
    """

    incident: Incident
    told: tuple[Told, ...] = ()
    muted: tuple[Mute, ...] = ()
    worse_than: Severity | None = None
    problems: tuple[str, ...] = ()


def alerts(
    project: Project,
    *,
    suite: str | None = None,
    all: bool = False,  # noqa: A002  # the word of the command's option
    now: datetime | None = None,
) -> tuple[Alert, ...]:
    """Return what is open, worst first.

    Args:
        project: whose environment.
        suite: only what is about this suite, reconciliation, SLA or DAG.
        all: also what ended within ``RECENT``, newest first, after what is open.
        now: the real time.

    Raises:
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    now = now or datetime.now(UTC)
    config = alerting_of(project)
    c = incident_table.c
    wanted = or_(c.ended_at.is_(None), c.ended_at >= now - RECENT) if all else c.ended_at.is_(None)
    query = select(incident_table).where(c.environment == project.environment, wanted).order_by(c.id)
    with transaction(project) as connection:
        everything = [from_row(row) for row in connection.execute(query)]
        known = _told(connection, project.environment)
        holding = [s for s in silences.listed(connection, project.environment, now) if s.active(now)]
        still_open = [i for i in everything if i.ended_at is None]
        found = {}
        for incident, muted in zip(still_open, mutes(config, holding, still_open, now), strict=True):
            found[incident.id] = muted
        before = _before_silence(connection, [i for i in still_open if i.id not in known], found)
    shown = worst_first(still_open)
    shown += tuple(sorted((i for i in everything if i.ended_at), key=lambda i: i.changed_at, reverse=True))
    return tuple(
        Alert(
            incident=i,
            told=tuple(known.get(i.id, ())),
            muted=found.get(i.id, ()),
            worse_than=_worse_than(i, known.get(i.id, ()), found.get(i.id, ()), before.get(i.id)),
            problems=places(config.route, config.types, i, config.pagers)[1],
        )
        for i in shown
        if suite in (None, i.key.subject)
    )


def mutes(
    config: AlertConfig, holding: Sequence[Silence], incidents: Sequence[Incident], now: datetime
) -> list[tuple[Mute, ...]]:
    """Return, for each of ``incidents``, why it is not told now.

    Args:
        config: routes, time intervals and inhibition rules.
        holding: the silences that hold.
        incidents: what is open in one environment.
        now: the real time.
    """
    because = muter(holding, config.inhibit_rules, incidents, now)
    found = []
    for incident in incidents:
        where, _ = places(config.route, config.types, incident, config.pagers)
        hours = [muted_by_time(p.chosen, config.time_intervals, now) for p in where]
        closed = Mute("time", ", ".join(dict.fromkeys(filter(None, hours)))) if hours and all(hours) else None
        found.append(because(incident) + ((closed,) if closed is not None else ()))
    return found


def _told(connection: Connection, environment: str) -> dict[int, list[Told]]:
    """Return, by incident, what channels were told for sure."""
    t = told_table.c
    rows = connection.execute(
        select(t.channel, t.message_key, t.told, t.told_at)
        .select_from(told_table.join(alert_group, alert_group.c.group_key == t.group_key))
        .where(alert_group.c.environment == environment, t.told.is_not(None))
        .order_by(t.channel, t.message_key)
    )
    found: dict[int, list[Told]] = defaultdict(list)
    for row in rows:
        for id_, severity in json.loads(row.told).items():
            found[int(id_)].append(Told(row.channel, row.message_key, Severity(severity), row.told_at))
    return found


def _before_silence(
    connection: Connection, untold: Iterable[Incident], muted: Mapping[int, Sequence[Mute]]
) -> dict[int, Severity]:
    """Return how bad untold incidents were when the silence that holds them began, or when they did.

    Nothing but the event log knows; it is read only where something that nobody was told is silenced.
    """
    since = {i.id: min(m.since for m in muted[i.id] if m.since) for i in untold if any(m.since for m in muted[i.id])}
    if not since:
        return {}
    by_place = {(i.key.kind, i.key.subject, i.key.part, i.key.org): i for i in untold if i.id in since}
    e = event_table.c
    names = (str(events.EventName.INCIDENT_OPENED), str(events.EventName.INCIDENT_CHANGED))
    subjects = {i.key.subject for i in by_place.values()}
    environment = next(iter(by_place.values())).key.environment
    rows = connection.execute(
        select(e.subject, e.name, e.at, e.body)
        .where(e.environment == environment, e.name.in_(names), e.subject.in_(subjects))
        .order_by(e.id)
    )
    found: dict[int, Severity] = {}
    for row in rows:
        body = json.loads(row.body)
        incident = by_place.get((body["kind"], row.subject, body["part"], body["org"]))
        if incident is None:
            continue
        if row.name == names[0] or incident.id not in found or row.at <= since[incident.id]:
            found[incident.id] = Severity.of(body["severity"])
    return found


def _worse_than(
    incident: Incident, told: Sequence[Told], muted: Sequence[Mute], before: Severity | None
) -> Severity | None:
    """Return how bad people think that it is, where somebody is on it or it is muted, and it is worse."""
    known = [incident.acked_severity] if incident.acked_severity is not None else []
    if muted:
        known += [max(one.severity for one in told)] if told else [before] if before is not None else []
    milder = [severity for severity in known if severity < incident.severity]
    return max(milder) if milder and incident.ended_at is None else None


# ------------------------------------------------------------------------------------------------------ what people say


def acknowledge(project: Project, which: Iterable[str], who: str, comment: str = "") -> tuple[Incident, ...]:
    """Note that ``who`` is on incidents, so that they are neither repeated nor escalated; return them.

    Args:
        project: whose environment.
        which: ids of incidents, subjects or keys of messages; all of them or none.
        who: the name of a person.
        comment: goes to the event log.

    Raises:
        UsageError: when one of ``which`` means nothing that is open.
        StoreError: when the store cannot be used.
    """
    now = datetime.now(UTC)

    def work(connection: Connection) -> tuple[Incident, ...]:
        found = {i.id: i for word in which for i in acks.acknowledge(connection, project.environment, word, who, now)}
        for incident in found.values():
            body = {**_about(incident), "by": incident.acked_by, "comment": comment.strip()}
            note(connection, project, events.EventName.INCIDENT_ACKNOWLEDGED, incident.key.subject, body, now)
        return tuple(found.values())

    return in_transaction(project, work)


def unacknowledge(project: Project, which: Iterable[str], who: str) -> tuple[Incident, ...]:
    """Take acknowledgements back; return the incidents that had one.

    Args:
        project, which, who: as for ``acknowledge``.

    Raises:
        UsageError: when one of ``which`` means nothing that is open and acknowledged.
        StoreError: when the store cannot be used.
    """
    now = datetime.now(UTC)
    by = silences.a_name(who)

    def work(connection: Connection) -> tuple[Incident, ...]:
        found = {i.id: i for word in which for i in acks.unacknowledge(connection, project.environment, word)}
        for incident in found.values():
            body = {**_about(incident), "by": by}
            note(connection, project, events.EventName.INCIDENT_UNACKNOWLEDGED, incident.key.subject, body, now)
        return tuple(found.values())

    return in_transaction(project, work)


def silence(
    project: Project,
    matchers: Iterable[str],
    *,
    author: str,
    comment: str,
    until: datetime | timedelta,
    starts_at: datetime | None = None,
) -> tuple[Silence, tuple[Incident, ...]]:
    """Silence what satisfies ``matchers``; return the silence, and what is open and satisfies them.

    Args:
        project: whose environment.
        matchers: e.g. ``suite="orders"``; all must hold.
        author: the name of a person.
        comment: why.
        until: up to when, or how long from its start.
        starts_at: from when on; None: from now.

    Raises:
        UsageError: when a matcher is none, or the silence is refused; see ``dq.alerting.silences.add``.
        StoreError: when the store cannot be used.
    """
    now = datetime.now(UTC)
    ends = until if isinstance(until, datetime) else max(starts_at or now, now) + until
    parsed = [matcher for text in matchers for matcher in parse_matchers(text)]

    def work(connection: Connection) -> tuple[Silence, tuple[Incident, ...]]:
        made = silences.add(
            connection,
            project.environment,
            parsed,
            author=author,
            comment=comment,
            ends_at=ends,
            starts_at=starts_at,
            now=now,
        )
        note(connection, project, events.EventName.SILENCE_ADDED, str(made.id), _of_silence(made), now)
        c = incident_table.c
        rows = connection.execute(
            select(incident_table).where(c.environment == project.environment, c.ended_at.is_(None))
        )
        return made, worst_first(i for i in map(from_row, rows) if made.matches(labels_of(i)))

    return in_transaction(project, work)


def silenced(project: Project, *, all: bool = False) -> tuple[Silence, ...]:  # noqa: A002  # as above
    """Return the silences that hold or will; with ``all`` also those that are over.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return silences.listed(connection, project.environment, datetime.now(UTC), all=all)


def expire_silences(project: Project, ids: Iterable[int], who: str) -> tuple[Silence, ...]:
    """End silences now, all of ``ids`` or none; return them.

    Raises:
        UsageError: when there is none of an id, or it is over.
        StoreError: when the store cannot be used.
    """
    now = datetime.now(UTC)
    by = silences.a_name(who)

    def work(connection: Connection) -> tuple[Silence, ...]:
        ended = tuple(silences.expire(connection, project.environment, id_, now) for id_ in dict.fromkeys(ids))
        for one in ended:
            body = {**_of_silence(one), "by": by}
            note(connection, project, events.EventName.SILENCE_ENDED, str(one.id), body, now)
        return ended

    return in_transaction(project, work)


def note(
    connection: Connection,
    project: Project,
    name: events.EventName,
    subject: str,
    body: Mapping[str, object],
    now: datetime,
) -> None:
    """Write down what a person decided."""
    events.append(connection, project.environment, name, subject, body, now)


def _about(incident: Incident) -> dict[str, object]:
    key = incident.key
    return {
        "incident": incident.id,
        "kind": key.kind,
        "part": key.part,
        "org": key.org,
        "severity": str(incident.severity),
    }


def _of_silence(silence: Silence) -> dict[str, object]:
    return {
        "matchers": [str(matcher) for matcher in silence.matchers],
        "author": silence.author,
        "comment": silence.comment,
        "starts_at": silence.starts_at.isoformat(),
        "ends_at": silence.ends_at.isoformat(),
    }
