"""Measuring: scans become recorded results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from attrs import evolve, frozen
from sqlalchemy.engine import Connection

from dq.acceptance import TOLD_OF
from dq.app.refusing import refuse_bad_sql
from dq.app.session import (
    Declared,
    context_of,
    datasources,
    find_reconciliation,
    judgement_time,
    kind_of,
    start_run,
    transaction,
)
from dq.checks.plan import STAGES, Scan, find_scan, scan_ids
from dq.context import Context
from dq.datasource import Datasource
from dq.execute import Memory, execute
from dq.ledger import MOST_ROWS
from dq.ledger import reconcile as reconcile_stages
from dq.model.acceptance import Acceptance
from dq.model.check import Suite
from dq.model.errors import DqError, UsageError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.reading import Wanted
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result, Run
from dq.project import Project
from dq.quarantine import quarantine
from dq.store import acceptances, history, measures
from dq.store.artefact import ledger_from_json, ledger_to_json, with_well_orgs

Progress = Callable[[str], None]


def run(
    project: Project,
    declared: str | Declared,
    interval: Interval,
    *,
    origin: str = "cli",
    store: bool = True,
    alert: bool = True,
    now: datetime | None = None,
    progress: Progress | None = None,
) -> Run:
    """Measure a suite or reconciliation for one interval, and close the run.

    Args:
        project: where its datasources are.
        declared: the name, or the declaration itself.
        interval: the partition.
        origin: who started it.
        store: whether the results are recorded; without it nobody is alerted either.
        alert: whether the results become incidents and messages.
        now: the time of the judgement.
        progress: is told in a few words what goes on.

    Raises:
        UsageError: when there is no such declaration, or its SQL is refused.
        StoreError: when the store cannot be used.
    """
    declared = project.find(declared) if isinstance(declared, str) else declared
    now = now or judgement_time()
    tell = progress or (lambda _: None)
    refuse_bad_sql(project, declared, interval)
    if not store:
        results: list[Result] = []
        for scan_id in scan_ids(declared):
            tell(f"{declared.name} {interval}: {scan_id}")
            results += _measure(project, declared, interval, scan_id, now).results
        return Run(
            id="",
            environment=project.environment,
            suite=declared.name,
            kind=kind_of(declared),
            interval=interval,
            origin=origin,
            started_at=now,
            results=tuple(sorted(results, key=lambda r: r.group is not None)),
        )
    for scan_id in scan_ids(declared):
        tell(f"{declared.name} {interval}: {scan_id}")
        scan(project, declared, interval, origin, scan_id, now)
    tell(f"{declared.name} {interval}: close")
    return _close(project, declared, interval, origin, now, alert=alert)


def partitions(project: Project, name: str, interval: Interval) -> tuple[Interval, ...]:
    """Return the partitions that a run for ``interval`` is about, oldest first: those of ``lookback=``, and itself.

    Raises:
        UsageError: when there is no such declaration.
    """
    declared = project.find(name)
    return interval.with_earlier(declared.lookback if isinstance(declared, Suite) else 0)


def scan(
    project: Project,
    declared: str | Declared,
    interval: Interval,
    origin: str,
    scan_id: str,
    now: datetime | None = None,
) -> tuple[Result, ...]:
    """Measure one scan and record its results; a repetition replaces them.

    Raises:
        UsageError: when there is no such declaration or scan.
        StoreError: when the store cannot be used.
    """
    declared = project.find(declared) if isinstance(declared, str) else declared
    now = now or judgement_time()
    with transaction(project) as connection:
        run = start_run(connection, project, declared, interval, origin, now)
        if isinstance(declared, Suite):
            renamed = {check.was: check.name for check in declared.checks if check.was is not None}
            measures.rename(connection, project.environment, declared.name, renamed)
    measured = _measure(project, declared, interval, scan_id, now, run)
    with transaction(project) as connection:
        _record(connection, run, scan_id, measured, now)
    return measured.results


@frozen
class _Measured:
    results: tuple[Result, ...]
    ledger: Ledger | None = None


def _record(connection: Connection, run: Run, scan_id: str, measured: _Measured, now: datetime) -> None:
    ledger, document = measured.ledger, None
    if ledger is not None:
        before = None
        if not run.interval.is_longer_than_day and any(any(row.discrepancy.values()) for row in ledger.rows):
            earlier = history.latest_run(connection, run.environment, run.suite, run.interval)
            before = None if earlier is None else history.get_artefact(connection, earlier)
        document = with_well_orgs(ledger_to_json(ledger), ledger, before)
    history.record_scan(connection, run, scan_id, measured.results, now)
    if document is not None:
        history.put_artefact(connection, run, document)


def _measure(
    project: Project,
    declared: Declared,
    interval: Interval,
    scan_id: str,
    now: datetime,
    run: Run | None = None,
    *,
    by_day: bool = False,
    most_rows: int | None = MOST_ROWS,
) -> _Measured:
    context = context_of(project, interval, now, by_day=by_day)
    keep: frozenset[Group] = frozenset()
    with datasources(project) as connect:
        if isinstance(declared, Reconciliation):
            older: tuple[tuple[Interval, str], ...] = ()
            accepted: tuple[Acceptance, ...] = ()
            if run is not None:
                name, columns = declared.name, declared.by.columns
                with transaction(project) as connection:
                    older = history.still_bad(connection, project.environment, name, interval.start)
                    keep = history.open_orgs(connection, project.environment, "reconciliation", name, columns)
                    accepted = acceptances.of(connection, project.environment, name, now - TOLD_OF)
            ledger = reconcile_stages(declared, connect, context, project.environment, older, keep, accepted, most_rows)
            return _Measured(ledger.results, ledger)
        wanted = find_scan(declared, scan_id)
        if wanted is None:
            raise UsageError(f"suite {declared.name!r} has no scan {scan_id!r}; it has {', '.join(scan_ids(declared))}")
        memory = None if run is None else Memory()
        if run is not None and (wanted.columns or any(check.remembers for check in wanted.checks)):
            with transaction(project) as connection:
                memory = _memory(connection, project, declared, wanted, interval)
                if wanted.columns:
                    keep = history.open_orgs(connection, project.environment, "suite", declared.name, wanted.columns)
        results = execute(wanted, declared.table, declared.by_of, connect, context, keep=keep, memory=memory)
        if run is not None and any(check.quarantine for check in wanted.checks):
            results = _quarantined(results, declared, wanted, connect, context)
        return _Measured(results)


def _quarantined(
    results: tuple[Result, ...], suite: Suite, scan: Scan, connect: Callable[[str], Datasource], context: Context
) -> tuple[Result, ...]:
    """Copy the rows that break a check where it asks for that; what prevents it is told with its summary."""
    prevented: dict[str, str] = {}
    for check in scan.checks:
        own = [result for result in results if result.check == check.name]
        if check.quarantine is None or not own:
            continue
        try:
            source = connect(suite.table.datasource)
            compiler = context.compiler(source.dialect, suite.table, scan.columns)
            quarantine(suite.name, check, own, compiler, source, context.now)
        except DqError as error:
            prevented[check.name] = f" (not copied to {check.quarantine}: {error})"
    return tuple(
        evolve(result, sentence=result.sentence + prevented[result.check])
        if result.group is None and result.check in prevented
        else result
        for result in results
    )


def _memory(connection: Connection, project: Project, suite: Suite, scan: Scan, interval: Interval) -> Memory:
    """Return what the checks of a scan are held against; nothing is read where none of them is."""
    remember = {check.name: check.remembers for check in scan.checks if check.remembers is not None}
    wanted = {name: want for name, want in remember.items() if isinstance(want, Wanted)}
    recorded = {}
    if len(wanted) < len(remember):
        found = measures.references(connection, project.environment, suite.name)
        recorded = {one.check: one.body for one in found}
    return Memory(measures.past(connection, project.environment, suite.name, interval, wanted), recorded)


def reconcile(
    project: Project,
    declared: str | Reconciliation,
    interval: Interval,
    *,
    origin: str = "cli",
    store: bool = True,
    alert: bool = True,
    now: datetime | None = None,
    most_rows: int | None = MOST_ROWS,
) -> tuple[Run, Ledger]:
    """Measure a reconciliation and return its run and its ledger.

    Several days are a look back: they are compared day by day, with one statement per stage, and nobody is told.

    Args:
        project: where its datasources are.
        declared: the name, or the declaration itself.
        interval: the partition, or several days.
        origin: who started it.
        store: whether the results are recorded; without it nobody is alerted either.
        alert: whether the results become incidents and messages.
        now: the time of the judgement.
        most_rows: with more rows, a ledger that is not stored holds those only of which something is to be said; None:
            always all.

    Raises:
        UsageError: when there is no such reconciliation, or its SQL is refused.
        StoreError: when the store cannot be used.
    """
    declared = find_reconciliation(project, declared)
    now = now or judgement_time()
    by_day = interval.is_longer_than_day
    refuse_bad_sql(project, declared, interval, by_day=by_day)
    if by_day and store:
        return _look_back(project, declared, interval, origin, now)
    if not store:
        ledger = _measure(project, declared, interval, STAGES, now, by_day=by_day, most_rows=most_rows).ledger
        assert ledger is not None  # noqa: S101  # a reconciliation always makes one
        run = Run(
            id="",
            environment=project.environment,
            suite=declared.name,
            kind="reconciliation",
            interval=interval,
            origin=origin,
            started_at=now,
            results=ledger.results,
        )
        return run, ledger
    scan(project, declared, interval, origin, STAGES, now)
    done = _close(project, declared, interval, origin, now, alert=alert)
    with transaction(project) as connection:
        document = history.get_artefact(connection, done)
    assert document is not None  # noqa: S101  # the scan has just put it there
    return done, ledger_from_json(document)


def _close(project: Project, declared: Declared, interval: Interval, origin: str, now: datetime, *, alert: bool) -> Run:
    from dq.app.closing import close  # noqa: PLC0415  # mails and alerts take longer to load than a small run takes

    return close(project, declared, interval, origin, now=now, alert=alert, pump=alert)


def _look_back(
    project: Project, declared: Reconciliation, interval: Interval, origin: str, now: datetime
) -> tuple[Run, Ledger]:
    with transaction(project) as connection:
        run = start_run(connection, project, declared, interval, origin, now, "look_back")
    measured = _measure(project, declared, interval, STAGES, now, run, by_day=True)
    assert measured.ledger is not None  # noqa: S101  # a reconciliation always makes one
    with transaction(project) as connection:
        _record(connection, run, STAGES, measured, now)
        run = history.lock_run(connection, run)
        history.mark_closed(connection, run, now)
    return run, measured.ledger
