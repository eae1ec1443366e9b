"""Acknowledging: somebody is on it. It holds as long as the incident is no worse than it was then."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from dq.alerting.incidents import from_row, group_key, in_chunks, read_open
from dq.alerting.silences import a_name, touch
from dq.model.errors import UsageError
from dq.model.incident import Incident
from dq.plugins import suggest
from dq.store.schema import alert_group
from dq.store.schema import incident as table
from dq.store.schema import told as told_table


def acknowledge(connection: Connection, environment: str, which: str, who: str, now: datetime) -> tuple[Incident, ...]:
    """Note that ``who`` is on some open incidents, as bad as they are now; return them.

    Who acknowledges what is acknowledged already takes it over.

    Args:
        connection: in a transaction that the caller commits.
        environment: whose incidents.
        which: the id of an incident; or, for all that is open there, a subject (the name of a suite, reconciliation or
            SLA) or the key of a message (``prod/suite/orders``).
        who: the name of a person.
        now: the real time.

    Raises:
        UsageError: when nothing open is meant, or ``who`` names nobody.
    """
    by = a_name(who)
    found = find_open(connection, environment, which)
    touch(connection, environment, {group_key(incident.key) for incident in found})
    # As bad as it is in the row, not as it was read: a close may have made it worse before its group was locked.
    return _write(connection, found, {"acked_at": now, "acked_by": by, "acked_severity": table.c.severity})


def unacknowledge(connection: Connection, environment: str, which: str) -> tuple[Incident, ...]:
    """Take acknowledgements back, also those that hold no longer; return the incidents that had one.

    Args:
        connection, environment, which: as for ``acknowledge``.

    Raises:
        UsageError: when nothing open is meant, or none of it is acknowledged.
    """
    found = [incident for incident in find_open(connection, environment, which) if incident.acked_at is not None]
    if not found:
        raise UsageError(f"nothing that is open of {which!r} is acknowledged")
    touch(connection, environment, {group_key(incident.key) for incident in found})
    return _write(connection, found, {"acked_at": None, "acked_by": None, "acked_severity": None})


def find_open(connection: Connection, environment: str, which: str) -> tuple[Incident, ...]:
    """Return the open incidents that ``which`` means, see ``acknowledge``; at least one.

    Raises:
        UsageError: when nothing open is meant; the sentence says what is.
    """
    c = table.c
    if which.isascii() and which.isdigit() and len(which) < 19:
        row = connection.execute(select(table).where(c.id == int(which), c.environment == environment)).first()
        if row is not None:
            incident = from_row(row)
            if incident.ended_at is not None:
                raise UsageError(
                    f"incident {which} ({incident.key.subject}) is over since {incident.ended_at:%Y-%m-%d %H:%M}Z"
                )
            return (incident,)
    everything = read_open(connection, c.environment == environment)
    told = _told_under(connection, environment, which)
    found = tuple(i for i in everything if which in (i.key.subject, i.key.group, group_key(i.key)) or i.id in told)
    if not found:
        known = tuple(sorted({incident.key.subject for incident in everything}))
        if not known:
            raise UsageError(f"nothing is open in environment {environment!r}, so there is no {which!r}")
        raise UsageError(
            f"{which!r} is no open incident, subject or key in environment {environment!r}; {suggest(which, known)}"
        )
    return found


def _told_under(connection: Connection, environment: str, key: str) -> frozenset[int]:
    """Return the ids of the incidents that were told, or tried, under the key of a message."""
    t = told_table.c
    groups = told_table.join(alert_group, alert_group.c.group_key == t.group_key)
    query = select(t.told, t.trying).select_from(groups)
    ids: set[int] = set()
    for row in connection.execute(query.where(t.message_key == key, alert_group.c.environment == environment)):
        ids |= {int(id_) for id_ in json.loads(row.told or "{}")}
        ids |= {int(id_) for id_ in (json.loads(row.trying)["state"] if row.trying else {})}
    return frozenset(ids)


def _write(connection: Connection, found: Iterable[Incident], values: dict[str, object]) -> tuple[Incident, ...]:
    ids = sorted(incident.id for incident in found)
    written: list[Incident] = []
    for some in in_chunks(ids):
        mine: ColumnElement[bool] = table.c.id.in_(some)
        connection.execute(table.update().where(mine, table.c.ended_at.is_(None)).values(values))
        rows = connection.execute(select(table).where(mine, table.c.ended_at.is_(None)).order_by(table.c.id))
        written += [from_row(row) for row in rows]
    return tuple(written)
