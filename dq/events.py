"""The event vocabulary and the append-only event table.

Events are inserted without a number, so that writers never wait for each other. One lease holder numbers the
committed ones; a reader sees numbered events only, and so never skips one that was committed late. The order of the
numbers is the order of becoming visible, which is not the order of the times.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.engine import Connection

from dq.store.schema import event as table


class EventName(enum.StrEnum):
    """What can happen; ``subject`` and ``body`` say to what.

    Every event's body may grow keys, and none is taken away.
    """

    RUN_CLOSED = "run_closed"
    INCIDENT_OPENED = "incident_opened"
    INCIDENT_CHANGED = "incident_changed"
    INCIDENT_ENDED = "incident_ended"
    INCIDENT_ACKNOWLEDGED = "incident_acknowledged"
    INCIDENT_UNACKNOWLEDGED = "incident_unacknowledged"
    SILENCE_ADDED = "silence_added"
    SILENCE_ENDED = "silence_ended"
    SLA_MISSED = "sla_missed"
    EXCUSE_ADDED = "excuse_added"
    EXCUSE_ENDED = "excuse_ended"
    ACCEPTANCE_ADDED = "acceptance_added"
    ACCEPTANCE_SHRUNK = "acceptance_shrunk"
    ACCEPTANCE_ENDED = "acceptance_ended"
    DEPLOYED = "deployed"
    CALLBACK_FAILED = "callback_failed"
    TASK_FAILED = "task_failed"
    TASK_RETRIED = "task_retried"
    DAG_FAILED = "dag_failed"
    DAG_LATE = "dag_late"
    DAG_FINISHED = "dag_finished"
    ALERT_DEAD = "alert_dead"
    ALERT_RETRIED = "alert_retried"
    ALERT_DROPPED = "alert_dropped"
    DIGEST_TOLD = "digest_told"


def append(
    connection: Connection, environment: str, name: EventName, subject: str, body: Mapping[str, object], at: datetime
) -> None:
    """Write an event down, without a number, in the caller's transaction.

    Args:
        connection: a connection to the store.
        environment: e.g. ``prod``.
        name: what happened.
        subject: to what, e.g. the name of a suite.
        body: what JSON can hold; no secrets.
        at: when it happened, an aware time.

    Raises:
        TypeError: when the body holds something that JSON cannot.
    """
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, sort_keys=True)
    connection.execute(
        table.insert().values(environment=environment, at=at, name=str(name), subject=subject, body=text)
    )


LOOK_BACK = 100_000
"""Among so many of the newest events something is looked up that no index leads to."""


def lately(
    connection: Connection, environment: str, name: EventName, subject: str
) -> tuple[tuple[datetime, dict[str, Any]], ...]:
    """Return time and body of the events of a subject among the newest ``LOOK_BACK`` of the store, oldest first."""
    first = (connection.execute(select(func.max(table.c.id))).scalar() or 0) - LOOK_BACK
    mine = (table.c.environment == environment, table.c.name == str(name), table.c.subject == subject)
    query = select(table.c.at, table.c.body).where(table.c.id > first, *mine).order_by(table.c.id)
    return tuple((row.at, json.loads(row.body)) for row in connection.execute(query))


def number(connection: Connection) -> int:
    """Give the committed events without a number the next ones, densely; return how many there were.

    It is called by one lease holder in a transaction of its own. Should two ever race, the unique number refuses the
    second.
    """
    ids = connection.execute(select(table.c.id).where(table.c.number.is_(None)).order_by(table.c.id)).scalars().all()
    if not ids:
        return 0
    last = connection.execute(select(func.max(table.c.number))).scalar() or 0
    # By the primary key alone: InnoDB would otherwise lock the gap into which others insert.
    connection.execute(
        update(table).where(table.c.id == bindparam("row")).values(number=bindparam("next")),
        [{"row": row, "next": last + place} for place, row in enumerate(ids, 1)],
    )
    return len(ids)
