"""Trending: what is new since people were last told of a reconciliation, and its last two weeks, from the store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attrs import evolve
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.incidents import of_subject, read_since
from dq.model.incident import Incident
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.reports.discrepancy import MAX_ROWS, all_rows
from dq.reports.news import Closed, News, reopened, states, worst_first
from dq.reports.trend import DAYS, Trend, days_until, trend
from dq.reports.verdict import by_day
from dq.store import history

BACK = timedelta(days=DAYS)
"""What ended longer ago is not back again: it is new."""


def news_of(connection: Connection, environment: str, found: Ledger, now: datetime) -> News | None:
    """Return what is new, still open and fixed since the last report of the day before.

    Of a partition that is not the newest it is told only that it was reopened: the incidents are those of today.

    Args:
        connection: in a transaction; the run of the ledger is folded into the incidents already.
        environment: e.g. ``prod``.
        found: the ledger; only its orgs, and those of its levels, are named.
        now: the time of the judgement.

    Returns:
        None: there is nothing to say of this partition.
    """
    if by_day(found):
        return None
    name, partition = found.reconciliation, str(found.interval)
    closes = events.lately(connection, environment, events.EventName.RUN_CLOSED, name)
    # A report that is made again is that of its day.
    judged = max((at for at, body in closes if body["interval"] == partition), default=now)
    since = history.last_close(connection, environment, name, midnight(judged))
    told = (Closed(partition=body["interval"], at=at, well=not body["worst"]) for at, body in closes if body["alert"])
    again = reopened(told, since)
    newest = history.newest_partition(connection, environment, name)
    if newest is not None and found.interval.start < newest[0].start:
        mine = tuple(one for one in again if one.partition == partition)
        return News(since=since, reopened=mine) if mine else None
    incidents = read_since(connection, of_subject(environment, "reconciliation", name), judged - BACK)
    listed = {row.org.key: row.org.label for level in (found, *found.levels) for row in all_rows(level)}
    headings = {column.name: column.heading for column in found.columns if column.kind == "count"}

    def called(incident: Incident) -> str:
        part = incident.key.part
        return listed.get(incident.key.org, "") if incident.key.org else f"stage {headings.get(part, part)}"

    items = states(incidents, since, key=lambda i: (i.key.org, "" if i.key.org else i.key.part), name=called)
    named = [evolve(item, key=org) for (org, _), item in items.items() if not org or org in listed]
    return News(since=since, items=worst_first(named), reopened=again, unlisted=len(items) - len(named))


def trend_of(connection: Connection, environment: str, found: Ledger) -> Trend | None:
    """Return the last two weeks of the orgs of a ledger that are not well; None: there are none, or it is one itself.

    Args:
        connection: in a transaction.
        environment: e.g. ``prod``.
        found: the ledger; its partition is on the last day.
    """
    bad = [row.org for row in all_rows(found)[:MAX_ROWS] if row.severity is not None]
    if not bad or by_day(found):
        return None
    days = days_until(found.interval.start.astimezone(UTC).date())
    starts = (Interval.of_day(days[0]).start, found.interval.end)
    runs = history.partitions(connection, environment, found.reconciliation, starts, bad)
    return trend(runs, days, bad, stored_orgs=history.STORED_ORGS)


def midnight(now: datetime) -> datetime:
    """Return when the UTC day of ``now`` began."""
    return Interval.of_day(now.astimezone(UTC).date()).start
