"""Closing: results become incidents, promises are judged, reports decided, all in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import evolve
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.fold import news_of
from dq.alerting.pump import PumpReport
from dq.app.accepting import shrink
from dq.app.folding import fold_news
from dq.app.mailing import decide_report, load_chart, promised_beside
from dq.app.overdue import call_back, judge_sla
from dq.app.session import Declared, in_transaction, judgement_time, start_run, transaction
from dq.app.telling import PATIENCE, deliver, deliver_quietly
from dq.checks.judge import unmeasured
from dq.checks.plan import find_scan, scan_ids
from dq.model.check import Suite
from dq.model.errors import StoreError, UsageError
from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.project import Project
from dq.reports.attainment import Attained
from dq.sla import observations, partitions
from dq.sla.evaluate import SlaVerdict
from dq.sla.sighting import sighting, wrong_of
from dq.store import history

_log = logging.getLogger(__name__)

ABANDONED = timedelta(hours=2)
"""A run that recorded nothing for that long and was not closed is closed by the pump."""

_WHY_NOTHING = {
    "upstream_failed": "a task before the checks failed, so there was nothing to check",
    "failed": "its task failed before it recorded anything",
    "abandoned": "its run fell silent before it was measured",
}
"""Why a scan recorded nothing, by what became of its task."""

SLACK_OF_EVERY = timedelta(minutes=1)
"""A suite is due that much early, so that a scheduler's jitter does not skip a whole round."""


def due(
    project: Project,
    name: str,
    interval: Interval,
    origin: str,
    now: datetime | None = None,
    *,
    wanted: bool = True,
    every_nth: int = 1,
    among: str = "",
) -> bool:
    """Return whether the run is due, and remember it for the close.

    Args:
        wanted: what the caller's own condition says; a run that is not wanted is not due.
        every_nth: of so many runs that were asked one is due, the first one to begin with. The same run gets the same
            answer when it is asked again.
        among: only runs whose origin begins like this are counted.

    Raises:
        UsageError: when there is no such declaration.
        StoreError: when the store cannot be used.
    """
    declared = project.find(name)
    now = now or judgement_time()
    with transaction(project) as connection:
        run = start_run(connection, project, declared, interval, origin, now)
        is_due = wanted
        if wanted and declared.every is not None:
            others = [r for r in history.runs(connection, project.environment, name, 2) if r.id != run.id]
            is_due = not others or now - others[0].started_at >= declared.every - SLACK_OF_EVERY
        if is_due and every_nth > 1:
            is_due = not any(history.due_before(connection, run, every_nth - 1, among))
        history.record_due(connection, run, is_due)
    return is_due


def close(
    project: Project,
    declared: str | Declared,
    interval: Interval,
    origin: str,
    *,
    states: Mapping[str, str] | None = None,
    now: datetime | None = None,
    alert: bool = True,
    pump: bool = True,
) -> Run:
    """Fold the results of a run into incidents, judge its SLA, decide on its report, and tell. Harmless when repeated.

    Args:
        states: what became of the scans' tasks (``success``, ``failed``, ``upstream_failed``, ``skipped``, or
            ``abandoned``); a scan that recorded nothing is unmeasured, unless it was skipped.
        now: the time of the judgement.
        alert: whether the results become incidents and messages; if not, the run counts as closed all the same.
        pump: whether to deliver at once; what fails there is delivered by the next pump.

    Raises:
        UsageError: when there is no such declaration.
        StoreError: when the store cannot be used.
    """
    declared = project.find(declared) if isinstance(declared, str) else declared
    now = now or judgement_time()
    beside: tuple[Attained, ...] = ()
    if alert and isinstance(declared, Reconciliation) and declared.to:  # parts of it tell of none
        beside = promised_beside(project, declared, now)
        load_chart(declared)
    run, missed = in_transaction(
        project, _close, project, declared, interval, origin, states or {}, beside, now, alert=alert
    )
    call_back(project, missed, origin, now)
    if pump and alert:
        deliver_quietly(project)
    return run


def _close(
    connection: Connection,
    project: Project,
    declared: Declared,
    interval: Interval,
    origin: str,
    states: Mapping[str, str],
    beside: tuple[Attained, ...],
    now: datetime,
    *,
    alert: bool,
) -> tuple[Run, tuple[SlaVerdict, ...]]:
    """All that one close writes; return the run and the misses that are new."""
    run = start_run(connection, project, declared, interval, origin, now)
    run = history.lock_run(connection, run)
    upstream_failed = _record_missing(connection, run, declared, states, now)
    run = history.lock_run(connection, run)
    missed: tuple[SlaVerdict, ...] = ()
    if run.version <= (run.closed_version or 0):
        return run, missed
    body = {"run": run.id, "interval": str(interval), "worst": str(run.worst or ""), "alert": alert}
    events.append(connection, run.environment, events.EventName.RUN_CLOSED, run.suite, body, now)
    state = sighting(run, upstream_failed=upstream_failed)
    seen = Observation(kind=run.kind, subject=run.suite, interval=interval, state=state, at=now, source="close")
    observations.record(connection, run.environment, seen)
    if isinstance(declared, Reconciliation):
        shrink(connection, run, now)
    if alert:
        fold_news(connection, [news_of(run, declared)], now)
        missed = judge_sla(connection, project, declared, now, only=interval)
        if declared.sla is not None and (wrong := wrong_of(run, declared.sla.of)) is not None:
            partitions.count(connection, run.environment, run.kind, run.suite, interval, *wrong)
        decide_report(connection, project, run, declared, beside, now)
    history.mark_closed(connection, run, now)
    return evolve(run, closed_version=run.version), missed


def _record_missing(
    connection: Connection, run: Run, declared: Declared, states: Mapping[str, str], now: datetime
) -> bool:
    """Record scans that left no results as unmeasured; return whether a task before them failed."""
    was_due = history.was_due(connection, run)
    if was_due is False:
        return False
    scans, checks = history.recorded(connection, run)
    upstream = False
    for scan_id, state in states.items():
        if state not in _WHY_NOTHING or (scan_id in scans and state != "upstream_failed"):
            continue
        missing = _unmeasured(declared, scan_id, _WHY_NOTHING[state])
        if state == "upstream_failed":
            upstream = True
        elif isinstance(declared, Suite):  # what another division into scans has measured is not missing
            missing = [result for result in missing if result.check not in checks]
        if missing:
            history.record_scan(connection, run, scan_id, missing, now)
    return upstream


def _unmeasured(declared: Declared, scan_id: str, why: str) -> list[Result]:
    if isinstance(declared, Reconciliation):
        return [
            Result(
                check=name,
                outcome=Outcome.UNMEASURED,
                severity=declared.error_severity,
                sentence=f"could not be measured: {why}",
            )
            for name in declared.check_names
        ]
    scan = find_scan(declared, scan_id)
    return [] if scan is None else [unmeasured(check, why) for check in scan.checks]


def gate(project: Project, name: str, interval: Interval, origin: str, stop_at: Severity) -> bool:
    """Return whether the next stage may start: nothing in the run is at or above ``stop_at``.

    Raises:
        StoreError: when the run was due and yet recorded nothing, which is no good news.
    """
    declared = project.find(name)
    with transaction(project) as connection:
        run = start_run(connection, project, declared, interval, origin, judgement_time())
        run = history.with_results(connection, run)
        if not run.results and history.was_due(connection, run) is not False:
            raise StoreError(f"the run of {name} for {interval} recorded no results, so nothing can be said of it")
    return not any(result.at_or_above(stop_at) for result in run.results)


def pump(project: Project, patience: timedelta = PATIENCE) -> PumpReport:
    """Deliver what has been decided, close what nobody closed, number new events.

    Args:
        project: whose environment.
        patience: how long to stay for the turn of a channel and for another try; zero: not at all.

    Raises:
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    problems = _close_abandoned(project)
    report = deliver(project, patience)
    return evolve(report, problems=(*problems, *report.problems))


def _close_abandoned(project: Project) -> list[str]:
    """Close what nobody closed, and return what could not be.

    The times of runs are those of judgement, so they are held against that clock: a replay abandons nothing.
    """
    now = judgement_time()
    problems: list[str] = []
    with transaction(project) as connection:
        left = history.unclosed(connection, project.environment, now - ABANDONED)
    for run in left:
        try:
            declared = project.find(run.suite)
            states = dict.fromkeys(scan_ids(declared), "abandoned")
            close(project, declared, run.interval, run.origin, states=states, now=now, pump=False)
        except UsageError:
            continue  # its declaration is gone or does not load just now; it stays open, and is tried again
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001  # one run that cannot be closed must not silence all alerts
            _log.info("the run of %s for %s cannot be closed", run.suite, run.interval, exc_info=True)
            problems.append(f"the run of {run.suite} for {run.interval} cannot be closed: {type(error).__name__}")
    return problems
