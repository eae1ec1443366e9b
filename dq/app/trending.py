"""Trending: what is new since people were last told of a reconciliation, and its last two weeks, from the store."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from attrs import evolve, frozen
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.incidents import of_subject, read_since
from dq.model.incident import Incident
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.severity import Outcome
from dq.reports.discrepancy import MAX_ROWS, all_rows
from dq.reports.news import Closed, News, Reopened, reopened, states, worst_first
from dq.reports.trend import DAYS, Trend, days_until, trend
from dq.reports.verdict import by_day
from dq.store import history

BACK = timedelta(days=DAYS)
"""What ended longer ago is not back again: it is new."""


@frozen(kw_only=True)
class Before:
    """What the store knows of a reconciliation since people were last told.

    Attributes:
        since: when they were; None: never before.
        newest: whether its partition is the newest: the incidents are those of today.
        incidents: those that are open, and those that ended lately.
        reopened: the partitions that were well and no longer are, the newest first.
        partition: that of the ledger, as people write it.
    """

    since: datetime | None
    newest: bool
    incidents: tuple[Incident, ...]
    reopened: tuple[Reopened, ...]
    partition: str


def before_of(connection: Connection, environment: str, found: Ledger, now: datetime) -> Before | None:
    """Return what is known since the last report of the day before; None: the ledger is of several partitions.

    Args:
        connection: in a transaction; the run of the ledger is folded into the incidents already.
        environment: e.g. ``prod``.
        found: the ledger of all orgs, or a part of it.
        now: the time of the judgement.
    """
    if by_day(found):
        return None
    name, partition = found.reconciliation, str(found.interval)
    closes = events.lately(connection, environment, events.EventName.RUN_CLOSED, name)
    # A report that is made again is that of its day.
    judged = max((at for at, body in closes if body["interval"] == partition), default=now)
    since = history.last_close(connection, environment, name, midnight(judged))
    told = (Closed(partition=body["interval"], at=at, well=not body["worst"]) for at, body in closes if body["alert"])
    newest = history.newest_partition(connection, environment, name)
    is_newest = newest is None or found.interval.start >= newest[0].start
    mine = of_subject(environment, "reconciliation", name)
    return Before(
        since=since,
        newest=is_newest,
        incidents=read_since(connection, mine, judged - BACK) if is_newest else (),
        reopened=reopened(told, since),
        partition=partition,
    )


def news_of(before: Before | None, found: Ledger) -> News | None:
    """Return what is new, still open and fixed since the last report of the day before.

    Of a partition that is not the newest it is told only that it was reopened.

    Args:
        before: what is known of the reconciliation.
        found: the ledger; only its orgs, and those of its levels, are named.

    Returns:
        None: there is nothing to say of this partition.
    """
    if before is None:
        return None
    if not before.newest:
        mine = tuple(one for one in before.reopened if one.partition == before.partition)
        return News(since=before.since, reopened=mine) if mine else None
    return _news(before, before.incidents, before.reopened, found)


def news_of_part(before: Before | None, own: Ledger, mine: Iterable[Incident]) -> News | None:
    """Return the news of a part of a ledger: of its orgs, and of stages that could not be counted for anybody.

    That a partition was reopened is told where one of its orgs is bad there, and not since when, because that may be
    the time at which another org was.

    Args:
        before: what is known of the reconciliation.
        own: the part.
        mine: the incidents of its orgs, and those that are of no org.

    Returns:
        None: there is nothing to say of this partition.
    """
    if before is None:
        return None
    bad = {str(interval) for interval, _ in own.still_bad} | ({before.partition} if own.severity is not None else set())
    again = tuple(evolve(one, bad_at=None) for one in before.reopened if one.partition in bad)
    if not before.newest:
        again = tuple(one for one in again if one.partition == before.partition)
        return News(since=before.since, reopened=again, whole=False) if again else None
    # Not of coarser levels and known losses, which are of others, too.
    stages = {result.check for result in own.results if result.group is None}
    incidents = [one for one in mine if one.key.part in stages and (one.key.org or _of_all(one))]
    return evolve(_news(before, incidents, again, own), whole=False)


def _of_all(incident: Incident) -> bool:
    """Return whether it says of a stage what is so for every org."""
    return incident.outcome in (Outcome.UNMEASURED, Outcome.NO_DATA)


def _news(before: Before, incidents: Iterable[Incident], again: tuple[Reopened, ...], found: Ledger) -> News:
    listed = {row.org.key: row.org.label for level in (found, *found.levels) for row in all_rows(level)}
    headings = {column.name: column.heading for column in found.columns if column.kind == "count"}

    def called(incident: Incident) -> str:
        part = incident.key.part
        return listed.get(incident.key.org, "") if incident.key.org else f"stage {headings.get(part, part)}"

    items = states(incidents, before.since, key=lambda i: (i.key.org, "" if i.key.org else i.key.part), name=called)
    named = [evolve(item, key=org) for (org, _), item in items.items() if not org or org in listed]
    return News(since=before.since, items=worst_first(named), reopened=again, unlisted=len(items) - len(named))


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
