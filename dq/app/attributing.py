"""Attributing: what became of the records that differ, by counting the days around again, and by keys."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from itertools import pairwise

from attrs import evolve

from dq.app.deploying import near_of
from dq.app.measuring import reconcile
from dq.app.session import context_of, datasources, find_reconciliation, judgement_time, transaction
from dq.attribution import Attribution, Difference, Hop, attribute, differences
from dq.keys import compare_hop
from dq.model.errors import UsageError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count, Ledger
from dq.model.reconciliation import Reconciliation
from dq.moves import Moves
from dq.project import Project
from dq.store import history
from dq.store.artefact import ledger_from_json, well_orgs

DAYS_BEFORE = 7
"""So many days before the partition are counted again, and the day after it once that is over."""

_DAY = timedelta(days=1)


def why(
    project: Project, name: str, interval: Interval, now: datetime | None = None, *, keys: bool = False
) -> tuple[Attribution, ...]:
    """Return what became of the records that differ on a day, the greatest difference first; nothing is stored.

    What was counted when these days were last compared is read in the store, so ask before the day is compared again.

    Args:
        project: where its datasources are.
        name: of a reconciliation.
        interval: the day.
        now: the time of the question; None: now, or ``DQ_NOW``.
        keys: whether the keys of each hop are compared, too, on this day and those beside it.

    Raises:
        UsageError: when there is no such reconciliation, its SQL is refused, the partition is no day, or no hop has
            keys that can be compared.
        MeasureError: when keys cannot be read.
        StoreError: when the store cannot be used.
    """
    declared, now = find_reconciliation(project, name), now or judgement_time()
    if not interval.is_day:
        raise UsageError(f"why orgs differ is found out by counting the days around; {interval} is no day")
    after = _DAY if interval.end + _DAY <= now else timedelta(0)
    window = Interval(interval.start - DAYS_BEFORE * _DAY, interval.end + after)
    before: dict[Interval, dict[tuple[Group, str], Count]] = {}
    was: dict[Interval, tuple[Difference, ...]] = {}
    with transaction(project) as connection:
        for day in interval.with_earlier(DAYS_BEFORE):
            run = history.latest_run(connection, project.environment, name, day)
            document = None if run is None else history.get_artefact(connection, run)
            if document is not None:
                known = ledger_from_json(document)
                if known.rest is not None:  # what the other orgs had then is not known
                    continue
                before[day] = {(org, stage): count for (org, stage, _), count in _counts(known).items()}
                well = {Group(declared.by.columns, org): counts for org, counts in well_orgs(document).items()}
                before[day] |= {
                    (org, stage): count
                    for org, counts in well.items()
                    for stage, count in counts.items()
                    if count is not None
                }
                was[day] = tuple(one for one in differences(declared, known.rows) if one.org not in well)
    _, ledger = reconcile(project, declared, window, store=False, alert=False, now=now, most_rows=None)
    counts, found = _counts(ledger), differences(declared, ledger.rows)
    moved = _moves(project, declared, interval, now, {stage for _, stage, _ in counts}) if keys else {}
    reasons = attribute(declared, interval, found, counts, before, was, moved)
    with transaction(project) as connection:
        markers = near_of(connection, project, declared, (one.since for one in reasons if not one.or_longer))
    return tuple(one if one.or_longer else evolve(one, near=markers[one.since]) for one in reasons)


def _moves(
    project: Project, declared: Reconciliation, interval: Interval, now: datetime, counted: Collection[str]
) -> dict[Hop, Moves]:
    """Return what each hop did to the records of a day and those beside it, as their keys tell."""
    ways = [[stage for stage in declared.way_to(one) if stage.name in counted] for one in declared.compared]
    hops = [
        hop
        for hop in dict.fromkeys(pair for way in ways for pair in pairwise(way))
        if all(declared.key_of(stage) and stage.table.partition for stage in hop)
    ]
    if not hops:
        raise UsageError(
            f"reconciliation {declared.name!r}: no stage and the one before it both have a key and a partition column;"
            ' write e.g. key="order_id"'
        )
    days = context_of(project, Interval(interval.start - _DAY, interval.end + _DAY), now, by_day=True)
    with datasources(project) as connect:
        return {(start.name, stage.name): compare_hop(declared, (start, stage), connect, days) for start, stage in hops}


def _counts(ledger: Ledger) -> dict[tuple[Group, str, Interval], Count]:
    return {
        (row.org, stage, row.interval): count
        for row in ledger.rows
        for stage, count in row.counts.items()
        if count is not None
    }
