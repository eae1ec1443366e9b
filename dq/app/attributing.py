"""Attributing: what became of the records that differ, by counting the days around again."""

from __future__ import annotations

from datetime import datetime, timedelta

from dq.app.measuring import reconcile
from dq.app.session import find_reconciliation, judgement_time, transaction
from dq.attribution import Attribution, Difference, attribute, differences
from dq.model.errors import UsageError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count, Ledger
from dq.project import Project
from dq.store import history
from dq.store.artefact import ledger_from_json

DAYS_BEFORE = 7
"""So many days before the partition are counted again, and the day after it once that is over."""

_DAY = timedelta(days=1)


def why(project: Project, name: str, interval: Interval, now: datetime | None = None) -> tuple[Attribution, ...]:
    """Return what became of the records that differ on a day, the greatest difference first; nothing is stored.

    What was counted when these days were last compared is read in the store, so ask before the day is compared again.

    Args:
        project: where its datasources are.
        name: of a reconciliation.
        interval: the day.
        now: the time of the question; None: now, or ``DQ_NOW``.

    Raises:
        UsageError: when there is no such reconciliation, its SQL is refused, or the partition is no day.
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
                before[day] = {(org, stage): count for (org, stage, _), count in _counts(known).items()}
                was[day] = differences(declared, known.rows)
    _, ledger = reconcile(project, declared, window, store=False, alert=False, now=now)
    return attribute(declared, interval, differences(declared, ledger.rows), _counts(ledger), before, was)


def _counts(ledger: Ledger) -> dict[tuple[Group, str, Interval], Count]:
    return {
        (row.org, stage, row.interval): count
        for row in ledger.rows
        for stage, count in row.counts.items()
        if count is not None
    }
