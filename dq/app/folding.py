"""Folding: news become incidents, and what changed is written down as events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.fold import Change, News, apply_findings


def fold_news(connection: Connection, news: Iterable[News], now: datetime) -> tuple[Change, ...]:
    """Fold ``news`` into the incidents, in the transaction of the caller; return what changed."""
    changes = apply_findings(connection, news, now).changes
    for change in changes:
        incident = change.after
        if incident is None:
            continue
        if incident.ended_at is not None:
            name = events.EventName.INCIDENT_ENDED
        else:
            name = events.EventName.INCIDENT_CHANGED if change.before else events.EventName.INCIDENT_OPENED
        key = incident.key
        body = {
            "answer": str(change.answer),
            "kind": key.kind,
            "part": key.part,
            "org": key.org,
            "severity": str(incident.severity),
            "interval": str(incident.interval),
            "sentence": incident.sentence,
        }
        events.append(connection, key.environment, name, key.subject, body, now)
    return changes
