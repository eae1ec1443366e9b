"""What later runs of a check are held against: its numbers, by partition and org, and what was recorded for it.

A partition has the numbers of its newest run: a repeated run replaces them, and one that has no number leaves none. Two
runs of one partition that record at the same moment may both leave rows; the newest row counts, and the next run of the
partition clears them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Any

from attrs import frozen
from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.reading import Kept, Past, Wanted
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.store import schema as t

LOOKED_BACK = timedelta(days=400)
"""How far back partitions are looked for; further where they are so long that too few lie in it."""

_SPARE = 4
"""How many times the wanted partitions are read: some of those a whole number of steps earlier have failed."""

_BATCH = 1_000


def record(connection: Connection, run: Run, results: Iterable[Result], now: datetime) -> None:
    """Keep the numbers of one scan in the place of those that an earlier run of the partition left."""
    summaries = [result for result in results if result.group is None]
    for some in _batches([result.check for result in summaries]):
        connection.execute(
            delete(t.measure).where(
                t.measure.c.environment == run.environment,
                t.measure.c.suite == run.suite,
                t.measure.c.check_name.in_(some),
                t.measure.c.interval_start == run.interval.start,
                t.measure.c.interval_end == run.interval.end,
            )
        )
    orgs = (org for summary in summaries for org in summary.every_org)
    for rows in _batches([_row(run, r, now) for r in (*summaries, *orgs) if r.measured is not None]):
        connection.execute(insert(t.measure), rows)


def rename(connection: Connection, environment: str, suite: str, names: Mapping[str, str]) -> None:
    """Give what was kept under former names of checks to their new names.

    Args:
        names: new names by former ones.
    """
    for was, name in names.items():
        for table in (t.measure, t.reference):
            here = and_(table.c.environment == environment, table.c.suite == suite)
            if table is t.reference and _reference(connection, environment, suite, name) is not None:
                continue
            connection.execute(update(table).where(here, table.c.check_name == was).values(check_name=name))


def past(
    connection: Connection, environment: str, suite: str, interval: Interval, wanted: Mapping[str, Wanted]
) -> dict[str, dict[Group | None, tuple[Past, ...]]]:
    """Return what checks measured for partitions older than ``interval``, by name and org, the newest first.

    Args:
        wanted: what each check wants to see; more may be returned.
    """
    found: dict[str, dict[Group | None, tuple[Past, ...]]] = {}
    for name, want in wanted.items():
        kept: dict[Group | None, dict[Interval, Past]] = {}
        for row in connection.execute(_past_query(environment, suite, name, interval, want)).all():
            one = _kept(row)
            by_partition = kept.setdefault(one.group, {})
            # Rows come newest first; a second one of a partition is what a run at the same moment left.
            by_partition.setdefault(one.interval, one.past)
        found[name] = {group: tuple(by_partition.values()) for group, by_partition in kept.items()}
    return found


def kept(connection: Connection, environment: str, suite: str, checks: Iterable[str]) -> tuple[Kept, ...]:
    """Return all numbers of some checks of a suite, the oldest partition first."""
    newest: dict[tuple[str, Group | None, Interval], Kept] = {}
    for name in checks:
        query = select(t.measure).where(
            t.measure.c.environment == environment, t.measure.c.suite == suite, t.measure.c.check_name == name
        )
        for row in connection.execute(query.order_by(t.measure.c.interval_start, t.measure.c.id)).all():
            one = _kept(row)
            newest[one.check, one.group, one.interval] = one
    return tuple(newest.values())


@frozen
class Recorded:
    """What was recorded for a check to be held against.

    Attributes:
        check: its name.
        body: JSON values; the kind knows what they mean.
        interval: the partition that it was taken from.
        at: when.
    """

    check: str
    body: Any
    interval: Interval
    at: datetime


def references(connection: Connection, environment: str, suite: str) -> tuple[Recorded, ...]:
    """Return what was recorded for the checks of a suite."""
    query = select(t.reference).where(t.reference.c.environment == environment, t.reference.c.suite == suite)
    return tuple(_recorded(row) for row in connection.execute(query.order_by(t.reference.c.check_name)).all())


def put_reference(connection: Connection, environment: str, suite: str, recorded: Recorded) -> None:
    """Record what a check is held against, in the place of what was recorded before."""
    remove_reference(connection, environment, suite, recorded.check)
    connection.execute(
        insert(t.reference).values(
            environment=environment,
            suite=suite,
            check_name=recorded.check,
            body=json.dumps(recorded.body, ensure_ascii=False),
            interval_start=recorded.interval.start,
            interval_end=recorded.interval.end,
            at=recorded.at,
        )
    )


def remove_reference(connection: Connection, environment: str, suite: str, check: str) -> bool:
    """Forget what was recorded for a check; return whether anything was."""
    gone = connection.execute(
        delete(t.reference).where(
            t.reference.c.environment == environment, t.reference.c.suite == suite, t.reference.c.check_name == check
        )
    )
    return bool(gone.rowcount)


def record_first(connection: Connection, run: Run, results: Iterable[Result], now: datetime) -> None:
    """Record what results say that later runs are held against, where nothing was recorded for the check yet."""
    for result in results:
        if result.record is not None and _reference(connection, run.environment, run.suite, result.check) is None:
            made = Recorded(result.check, result.record, run.interval, now)
            try:
                with connection.begin_nested():
                    put_reference(connection, run.environment, run.suite, made)
            except IntegrityError:
                pass  # another run was first


def _reference(connection: Connection, environment: str, suite: str, check: str) -> Recorded | None:
    return next((one for one in references(connection, environment, suite) if one.check == check), None)


def _past_query(environment: str, suite: str, name: str, interval: Interval, want: Wanted) -> Any:
    m = t.measure.c
    length = interval.end - interval.start
    seconds = int(length.total_seconds())
    conditions = [
        m.environment == environment,
        m.suite == suite,
        m.check_name == name,
        m.interval_end <= interval.start,
        m.seconds.between(seconds * 4 // 5, seconds * 6 // 5 + 1),
    ]
    if not want.failed:
        conditions.append(or_(m.outcome != str(Outcome.FAIL), m.severity < int(Severity.ERROR)))
    reach = max(LOOKED_BACK, _SPARE * want.last * length) if want.step is None else want.step * (want.last * _SPARE + 1)
    oldest = interval.start - reach
    conditions.append(m.interval_start >= max(oldest, want.since) if want.since else m.interval_start >= oldest)
    if want.step is not None:
        hour = timedelta(hours=1)  # the clocks have changed in between
        starts = [interval.start - want.step * n for n in range(1, want.last * _SPARE + 1)]
        conditions.append(m.interval_start.in_([s + off for s in starts for off in (-hour, timedelta(0), hour)]))
    newest = (m.interval_start.desc(), m.id.desc())
    number = func.row_number().over(partition_by=m.org_key, order_by=newest).label("number")
    inner = select(t.measure, number).where(*conditions).subquery()
    most = want.last * (3 * _SPARE if want.step is not None else 1) + _SPARE
    return select(inner).where(inner.c.number <= most).order_by(inner.c.interval_start.desc(), inner.c.id.desc())


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


def _row(run: Run, result: Result, now: datetime) -> dict[str, Any]:
    org = org_text(result.group)
    return {
        "environment": run.environment,
        "suite": run.suite,
        "check_name": result.check,
        "org": org,
        "org_key": hashlib.sha256(org.encode()).hexdigest() if org else "",
        "interval_start": run.interval.start,
        "interval_end": run.interval.end,
        "seconds": int((run.interval.end - run.interval.start).total_seconds()),
        "measured": str(result.measured),
        "row_count": result.rows,
        "outcome": str(result.outcome),
        "severity": None if result.severity is None else int(result.severity),
        "at": now,
    }


def org_text(group: Group | None) -> str:
    """Return an org as the store keeps it: JSON; empty for the whole."""
    return "" if group is None else json.dumps([group.columns, group.values], ensure_ascii=False)


@lru_cache(maxsize=100_000)  # each org comes once per partition
def org_of(org: str) -> Group | None:
    """Return the org that :func:`org_text` made ``org`` of; None for the whole."""
    columns, values = json.loads(org) if org else ((), ())
    return Group(tuple(columns), tuple(values)) if org else None


@lru_cache(maxsize=1_000)  # each partition comes once per org
def _interval(start: datetime, end: datetime) -> Interval:
    return Interval(start, end)


def _kept(row: Row[Any]) -> Kept:
    return Kept(
        check=row.check_name,
        group=org_of(row.org),
        interval=_interval(row.interval_start, row.interval_end),
        measured=Fraction(row.measured),
        rows=row.row_count,
        outcome=Outcome(row.outcome),
        severity=None if row.severity is None else Severity(row.severity),
    )


def _recorded(row: Row[Any]) -> Recorded:
    return Recorded(row.check_name, json.loads(row.body), Interval(row.interval_start, row.interval_end), row.at)
