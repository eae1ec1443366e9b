"""The composition root: the only module that knows measuring, alerting, reports and SLAs together.

It sets the bounds of transactions. A scan commits its results; a close folds them into incidents, judges the SLA and
decides on the report in one transaction; the pump speaks to the world outside of any.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal

from attrs import evolve, frozen
from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from dq import events
from dq.alerting.channels import build as build_channel
from dq.alerting.config import AlertConfig, load_alerting
from dq.alerting.fold import News, apply_findings, declared_labels, declared_links, news_of
from dq.alerting.pump import PumpReport, enqueue_event, open_channels
from dq.alerting.pump import pump as pump_alerts
from dq.checks.judge import unmeasured
from dq.checks.plan import STAGES, plan, scan_ids
from dq.datasource import Datasource, SqlDatasource
from dq.context import Context, expected_sql
from dq.execute import execute
from dq.ledger import reconcile as reconcile_stages
from dq.model.check import Suite
from dq.model.errors import ConfigError, DeclarationError, DqError, GuardError, StoreError, UsageError
from dq.model.incident import IncidentKey
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.measure import PARTITION_ROWS
from dq.model.message import Message
from dq.model.observation import Observation
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result, Run, RunKind
from dq.model.severity import Outcome, Severity
from dq.plugins import load_plugin, plugin_names
from dq.project import Project, load_project
from dq.reports import Rendered
from dq.reports.discrepancy import render
from dq.sla import observations
from dq.sla.callback import call_on_miss
from dq.sla.evaluate import SlaVerdict
from dq.sla.findings import findings, new_misses
from dq.sla.sighting import sighting
from dq.sql.guard import guard_predicate
from dq.sql.statements import Compiler
from dq.store import ensure, history, open_store, upgrade as upgrade_store
from dq.store import schema as t
from dq.store.artefact import ledger_from_json, ledger_to_json

Declared = Suite | Reconciliation
Progress = Callable[[str], None]

ABANDONED = timedelta(hours=2)
"""A run that recorded nothing for that long and was not closed is closed by the pump."""

SLACK_OF_EVERY = timedelta(minutes=1)
"""A suite is due that much early, so that a scheduler's jitter does not skip a whole round."""

ROUTES = Path("alerting") / "routes.toml"


def open_project(path: Path | None = None) -> Project:
    """Return the project that ``path`` (a file or folder; None: ``DQ_HOME`` or the working directory) lies in.

    Raises:
        ConfigError: when there is none, or its ``dq.toml`` is refused.
    """
    return load_project(path)


def judgement_time() -> datetime:
    """Return the time at which things are judged: now, or ``DQ_NOW`` (an ISO time with a zone) to replay history.

    Delivery never reads it: leases and retries live in real time.

    Raises:
        UsageError: when ``DQ_NOW`` is no such time.
    """
    text = os.environ.get("DQ_NOW")
    if not text:
        return datetime.now(UTC)
    try:
        now = datetime.fromisoformat(text)
    except ValueError:
        now = datetime.min
    if now.tzinfo is None:
        raise UsageError(f"DQ_NOW={text!r} is not an ISO time with a zone, e.g. 2026-11-20T06:00:00+00:00")
    return now.astimezone(UTC)


# --- measuring ---------------------------------------------------------------------------------------------------


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
            id="", environment=project.environment, suite=declared.name, kind=_kind(declared), interval=interval, origin=origin,
            started_at=now, results=tuple(sorted(results, key=lambda r: r.group is not None)),
        )  # fmt: skip
    for scan_id in scan_ids(declared):
        tell(f"{declared.name} {interval}: {scan_id}")
        scan(project, declared, interval, origin, scan_id, now)
    tell(f"{declared.name} {interval}: close")
    return close(project, declared, interval, origin, now=now, alert=alert, pump=alert)


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
    with _transaction(project) as connection:
        run = _start(connection, project, declared, interval, origin, now)
    measured = _measure(project, declared, interval, scan_id, now, run)
    with _transaction(project) as connection:
        history.record_scan(connection, run, scan_id, measured.results, now)
        if measured.ledger is not None:
            history.put_artefact(connection, run, ledger_to_json(measured.ledger))
    return measured.results


@frozen
class _Measured:
    results: tuple[Result, ...]
    ledger: Ledger | None = None


def _measure(
    project: Project, declared: Declared, interval: Interval, scan_id: str, now: datetime, run: Run | None = None
) -> _Measured:
    context = _context(project, interval, now)
    with _datasources(project) as connect:
        if isinstance(declared, Reconciliation):
            older: tuple[tuple[Interval, str], ...] = ()
            if run is not None:
                with _transaction(project) as connection:
                    older = history.still_bad(connection, project.environment, declared.name, interval.start)
            ledger = reconcile_stages(declared, connect, context, project.environment, older)
            return _Measured(ledger.results, ledger)
        wanted = next((s for s in plan(declared) if s.id == scan_id), None)
        if wanted is None:
            raise UsageError(f"suite {declared.name!r} has no scan {scan_id!r}; it has {', '.join(scan_ids(declared))}")
        try:
            source = connect(declared.table.datasource)
        except DqError as error:
            return _Measured(tuple(unmeasured(check, str(error)) for check in wanted.checks))
        keep: frozenset[object] = frozenset()
        if run is not None and wanted.columns:
            with _transaction(project) as connection:
                keep = history.open_orgs(connection, project.environment, "suite", declared.name, wanted.columns)
        return _Measured(execute(wanted, declared.table, declared.by_of, source, context, keep))  # type: ignore[arg-type]  # a set of groups


@contextmanager
def _datasources(project: Project) -> Iterator[Callable[[str], Datasource]]:
    opened: dict[str, Datasource] = {}
    opening = threading.Lock()  # the stages of a reconciliation are counted side by side

    def connect(name: str) -> Datasource:
        with opening:
            if name not in opened:
                opened[name] = _open_datasource(project, name)
            return opened[name]

    try:
        yield connect
    finally:
        for datasource in opened.values():
            datasource.close()


def _open_datasource(project: Project, name: str) -> Datasource:
    settings = project.datasource_settings(name)
    url = settings.url.reveal_url()
    password = settings.password.reveal() if settings.password is not None else None
    scheme = url.partition(":")[0]
    if scheme in plugin_names("dq.datasources"):
        made: Datasource = load_plugin("dq.datasources", scheme)(name, url, password)
        return made
    return SqlDatasource.of(
        name,
        url,
        password=password,
        timeout=settings.timeout,
        read_only=settings.read_only,
        max_connections=settings.max_connections,
    )


def _context(project: Project, interval: Interval, now: datetime) -> Context:
    return Context(interval, now, dict(project.params), project.refuse_functions)


# --- closing -----------------------------------------------------------------------------------------------------


scans = scan_ids
"""The ids of the scans of a declaration; also in ``dq.checks.plan``, which is light to import."""


def due(
    project: Project, name: str, interval: Interval, origin: str, now: datetime | None = None, *, wanted: bool = True
) -> bool:
    """Return whether the run is due, and remember it for the close.

    Args:
        wanted: what the caller's own condition says; a run that is not wanted is not due.

    Raises:
        UsageError: when there is no such declaration.
        StoreError: when the store cannot be used.
    """
    declared = project.find(name)
    now = now or judgement_time()
    with _transaction(project) as connection:
        run = _start(connection, project, declared, interval, origin, now)
        is_due = wanted
        if wanted and declared.every is not None:
            others = [r for r in history.runs(connection, project.environment, name, 2) if r.id != run.id]
            is_due = not others or now - others[0].started_at >= declared.every - SLACK_OF_EVERY
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
        states: what became of the scans' tasks (``success``, ``failed``, ``upstream_failed``, ``skipped``); a scan that
            recorded nothing is unmeasured, unless it was skipped.
        now: the time of the judgement.
        alert: whether the results become incidents and messages; if not, the run counts as closed all the same.
        pump: whether to deliver at once; what fails there is delivered by the next pump.

    Raises:
        UsageError: when there is no such declaration.
        StoreError: when the store cannot be used.
    """
    declared = project.find(declared) if isinstance(declared, str) else declared
    now = now or judgement_time()
    missed: tuple[SlaVerdict, ...] = ()
    with _transaction(project) as connection:
        run = _start(connection, project, declared, interval, origin, now)
        run = history.lock_run(connection, run)
        upstream_failed = _record_missing(connection, run, declared, states or {}, now)
        run = history.lock_run(connection, run)
        if run.version > (run.closed_version or 0):
            state = sighting(run, upstream_failed=upstream_failed)
            seen = Observation(kind=run.kind, subject=run.suite, interval=interval, state=state, at=now, source="close")
            observations.record(connection, run.environment, seen)
            if alert:
                news = [] if _is_range(run) else [news_of(run, declared)]
                sla_news, missed = _judge_sla(connection, project, declared, now, only=interval)
                _fold(connection, [*news, *sla_news], now)
                _decide_report(connection, run, declared, now)
            body = {"run": run.id, "interval": str(interval), "worst": str(run.worst or ""), "alert": alert}
            events.append(connection, run.environment, events.EventName.RUN_CLOSED, run.suite, body, now)
            history.mark_closed(connection, run, now)
            run = evolve(run, closed_version=run.version)
    _call_back(project, missed, origin, now)
    if pump and alert:
        _pump_quietly(project)
    return run


def _record_missing(
    connection: Connection, run: Run, declared: Declared, states: Mapping[str, str], now: datetime
) -> bool:
    """Record scans that left no results as unmeasured; return whether a task before them failed."""
    was_due = history.was_due(connection, run)
    if was_due is False:
        return False
    recorded = history.scans_recorded(connection, run)
    upstream = False
    for scan_id in scan_ids(declared):
        state = states.get(scan_id)
        if scan_id in recorded and state != "upstream_failed":
            continue
        if state in ("upstream_failed", "failed"):
            why = (
                "a task before the checks failed, so there was nothing to check"
                if state == "upstream_failed"
                else "its task failed before it recorded anything"
            )
            upstream = upstream or state == "upstream_failed"
            history.record_scan(connection, run, scan_id, _unmeasured(declared, scan_id, why), now)
    return upstream


def _unmeasured(declared: Declared, scan_id: str, why: str) -> list[Result]:
    if isinstance(declared, Reconciliation):
        return [
            Result(
                check=stage.name,
                outcome=Outcome.UNMEASURED,
                severity=declared.error_severity,
                sentence=f"could not be measured: {why}",
            )
            for stage in declared.compared
        ]
    return [unmeasured(check, why) for scan in plan(declared) if scan.id == scan_id for check in scan.checks]


def _judge_sla(
    connection: Connection, project: Project, declared: Declared, now: datetime, only: Interval | None = None
) -> tuple[list[News], tuple[SlaVerdict, ...]]:
    """Return the news about the SLA of ``declared``, and the verdicts that tell of a miss for the first time."""
    if declared.sla is None:
        return [], ()
    recorded, still_open = _sla_incidents(connection, project.environment, declared.name)
    verdicts = observations.judge(
        connection, project.environment, _kind(declared), declared.name, declared.sla, still_open, now, only=only
    )
    return _sla_news(connection, project, declared, verdicts, recorded, now)


def _sla_news(
    connection: Connection,
    project: Project,
    declared: Declared,
    verdicts: tuple[SlaVerdict, ...],
    recorded: frozenset[IncidentKey],
    now: datetime,
) -> tuple[list[News], tuple[SlaVerdict, ...]]:
    environment = project.environment
    found = findings(verdicts, environment, declared_labels(declared), recorded, declared_links(declared))
    missed = new_misses(verdicts, environment, recorded)
    for verdict in missed:
        body = {
            "interval": str(verdict.expectation.interval),
            "answer": str(verdict.answer),
            "due": verdict.expectation.due_at.isoformat(),
        }
        events.append(connection, environment, events.EventName.SLA_MISSED, declared.name, body, now)
    # One piece of news per finding: a miss that is noticed only when it is over is folded as bad, then as well.
    return [
        News(environment=environment, kind="sla", subject=declared.name, findings=(finding,)) for finding in found
    ], missed


def _sla_incidents(
    connection: Connection, environment: str, subject: str
) -> tuple[frozenset[IncidentKey], tuple[Interval, ...]]:
    rows = connection.execute(
        select(t.incident.c.part, t.incident.c.interval_start, t.incident.c.interval_end, t.incident.c.ended_at).where(
            t.incident.c.environment == environment, t.incident.c.kind == "sla", t.incident.c.subject == subject
        )
    ).all()
    recorded = frozenset(IncidentKey(environment, "sla", subject, row.part) for row in rows)
    return recorded, tuple(Interval(row.interval_start, row.interval_end) for row in rows if row.ended_at is None)


def _fold(connection: Connection, news: list[News], now: datetime) -> None:
    for change in apply_findings(connection, news, now).changes:
        incident = change.after
        if incident is None:
            continue
        ended = incident.ended_at is not None
        name = (
            events.EventName.INCIDENT_ENDED
            if ended
            else events.EventName.INCIDENT_CHANGED
            if change.before
            else events.EventName.INCIDENT_OPENED
        )
        key = incident.key
        body = {"answer": str(change.answer), "kind": key.kind, "part": key.part, "org": key.org, "severity": str(incident.severity),
                "interval": str(incident.interval), "sentence": incident.sentence}  # fmt: skip
        events.append(connection, key.environment, name, key.subject, body, now)


def _decide_report(connection: Connection, run: Run, declared: Declared, now: datetime) -> None:
    """Put the discrepancy e-mail into the outbox, once per version of the run."""
    if not isinstance(declared, Reconciliation) or not declared.to:
        return
    document = history.get_artefact(connection, run)
    if document is None:
        return
    rendered = render(ledger_from_json(document), now=now)
    message = _report_message(run, rendered, now)
    for channel in declared.to:
        enqueue_event(connection, channel, message, f"report/{channel}/{run.id}/{run.version}")


def _report_message(run: Run, rendered: Rendered, now: datetime) -> Message:
    return Message(
        key=f"{run.environment}/report/{run.suite}", status="event", severity=run.worst or Severity.INFO, environment=run.environment,
        subject=run.suite, title=rendered.subject, summary=rendered.subject, at=now, html=rendered.html, text=rendered.text,
    )  # fmt: skip


def _call_back(project: Project, missed: tuple[SlaVerdict, ...], origin: str, now: datetime) -> None:
    dag_id = origin.split(":")[1] if origin.startswith("airflow:") else None
    for verdict in missed:
        problem = call_on_miss(verdict.expectation.sla, verdict, dag_id=dag_id)
        if problem is not None:
            with _transaction(project) as connection:
                events.append(
                    connection,
                    project.environment,
                    events.EventName.CALLBACK_FAILED,
                    verdict.expectation.subject,
                    {"problem": problem},
                    now,
                )


def gate(project: Project, name: str, interval: Interval, origin: str, stop_at: Severity) -> bool:
    """Return whether the next stage may start: nothing in the run is at or above ``stop_at``.

    Raises:
        StoreError: when the run was due and yet recorded nothing, which is no good news.
    """
    declared = project.find(name)
    with _transaction(project) as connection:
        run = _start(connection, project, declared, interval, origin, judgement_time())
        run = history.with_results(connection, run)
        if not run.results and history.was_due(connection, run) is not False:
            raise StoreError(f"the run of {name} for {interval} recorded no results, so nothing can be said of it")
    return not any(result.at_or_above(stop_at) for result in run.results)


# --- SLAs --------------------------------------------------------------------------------------------------------


def sla_check(project: Project, now: datetime | None = None, *, pump: bool = True) -> tuple[SlaVerdict, ...]:
    """Judge every promise of the project now, page for new misses, and return the verdicts.

    Raises:
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    told: list[SlaVerdict] = []
    for declared in _all(project):
        if declared.sla is None:
            continue
        with _transaction(project) as connection:
            recorded, still_open = _sla_incidents(connection, project.environment, declared.name)
            verdicts = observations.judge(
                connection, project.environment, _kind(declared), declared.name, declared.sla, still_open, now
            )
            news, missed = _sla_news(connection, project, declared, verdicts, recorded, now)
            _fold(connection, news, now)
        _call_back(project, missed, "sla check", now)
        told += verdicts
    if pump:
        _pump_quietly(project)
    return tuple(told)


# --- telling -----------------------------------------------------------------------------------------------------


def pump(project: Project) -> PumpReport:
    """Deliver what has been decided, close what nobody closed, number new events.

    Raises:
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    _close_abandoned(project)
    engine = _store(project)
    alerting = _alerting(project)
    channels = open_channels(alerting, _secrets(project))
    try:
        report = pump_alerts(engine, alerting, channels, environment=project.environment)
        with engine.begin() as connection:
            events.number(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"the store cannot be used: {type(error).__name__}") from None
    return report


def _pump_quietly(project: Project) -> None:
    """Deliver now if it can be; whatever fails is in the outbox and goes out with the next pump."""
    try:
        pump(project)
    except DqError:
        return


def _close_abandoned(project: Project) -> None:
    now = datetime.now(UTC)
    with _transaction(project) as connection:
        left = history.unclosed(connection, project.environment, now - ABANDONED)
    for run in left:
        try:
            close(project, run.suite, run.interval, run.origin, pump=False)
        except UsageError:
            continue  # its declaration is gone or does not load just now; it stays open, and is tried again


def _secrets(project: Project) -> Callable[[str], str]:
    return lambda reference: project.secret(reference, str(ROUTES)).reveal()


def _alerting(project: Project) -> AlertConfig:
    return load_alerting(project.root / ROUTES)


# --- reading -----------------------------------------------------------------------------------------------------


def reconcile(
    project: Project,
    declared: str | Reconciliation,
    interval: Interval,
    *,
    origin: str = "cli",
    store: bool = True,
    alert: bool = True,
    now: datetime | None = None,
) -> tuple[Run, Ledger]:
    """Measure a reconciliation and return its run and its ledger. Several days are one comparison and page nobody.

    Raises:
        UsageError: when there is no such reconciliation, or its SQL is refused.
        StoreError: when the store cannot be used.
    """
    declared = _reconciliation(project, declared)
    now = now or judgement_time()
    refuse_bad_sql(project, declared, interval)
    if not store:
        ledger = _measure(project, declared, interval, STAGES, now).ledger
        assert ledger is not None  # noqa: S101  # a reconciliation always makes one
        run = Run(id="", environment=project.environment, suite=declared.name, kind="reconciliation", interval=interval,
                  origin=origin, started_at=now, results=ledger.results)  # fmt: skip
        return run, ledger
    scan(project, declared, interval, origin, STAGES, now)
    done = close(project, declared, interval, origin, now=now, alert=alert, pump=alert)
    with _transaction(project) as connection:
        document = history.get_artefact(connection, done)
    assert document is not None  # noqa: S101  # the scan has just put it there
    return done, ledger_from_json(document)


def ledger(project: Project, name: str, interval: Interval | None = None) -> tuple[Run, Ledger]:
    """Return the latest stored run and ledger of a reconciliation, of ``interval`` or the newest one.

    Raises:
        UsageError: when there is none.
    """
    declared = _reconciliation(project, name)
    with _transaction(project) as connection:
        found = history.latest_run(connection, project.environment, declared.name, interval)
        document = history.get_artefact(connection, found) if found is not None else None
    if found is None or document is None:
        when = f" for {interval}" if interval is not None else ""
        raise UsageError(
            f"there is no stored run of {name!r}{when} in environment {project.environment!r}; run `dq reconcile {name}` first"
        )
    return found, ledger_from_json(document)


def report(project: Project, name: str, interval: Interval | None = None) -> Rendered:
    """Return the discrepancy report of the latest stored run.

    Raises:
        UsageError: when there is none.
    """
    return render(ledger(project, name, interval)[1], now=judgement_time())


def render_ledger(ledger: Ledger) -> Rendered:
    """Return the discrepancy report of ``ledger``."""
    return render(ledger, now=judgement_time())


def send_report(project: Project, name: str, interval: Interval | None = None) -> PumpReport:
    """Send the discrepancy e-mail of the latest stored run again, to the channels of the reconciliation.

    Raises:
        UsageError: when there is no such run, or the reconciliation names no channel in ``to=``.
    """
    declared = _reconciliation(project, name)
    if not declared.to:
        raise UsageError(f"reconciliation {name!r} names no channel in to=, so there is nobody to send the report to")
    found, stored = ledger(project, name, interval)
    now = datetime.now(UTC)
    with _transaction(project) as connection:
        for channel in declared.to:
            enqueue_event(
                connection,
                channel,
                _report_message(found, render(stored, now=now), now),
                f"report/{channel}/{found.id}/{now.isoformat()}",
            )
    return pump(project)


def runs(project: Project, suite: str | None = None, limit: int = 30) -> tuple[Run, ...]:
    """Return the newest stored runs, newest first."""
    with _transaction(project) as connection:
        return history.runs(connection, project.environment, suite, limit)


def latest_run(project: Project, name: str, interval: Interval) -> Run | None:
    """Return the latest stored run of that interval; None: there is none."""
    with _transaction(project) as connection:
        return history.latest_run(connection, project.environment, name, interval)


@frozen
class Statement:
    """One statement that a run would send.

    Attributes:
        title: the datasource, its dialect, and what is asked.
        sql: the text.
        checks: who asks.
    """

    title: str
    sql: str
    checks: tuple[str, ...]


def explain(project: Project, name: str, interval: Interval) -> tuple[Statement, ...]:
    """Return the statements that a run would send, without sending any.

    Raises:
        UsageError: when there is no such declaration, or its SQL is refused.
    """
    declared = project.find(name)
    refuse_bad_sql(project, declared, interval)
    context = _context(project, interval, judgement_time())
    if isinstance(declared, Suite):
        return tuple(_suite_statements(project, declared, context))
    return tuple(_reconciliation_statements(project, declared, context))


def _suite_statements(project: Project, suite: Suite, context: Context) -> Iterator[Statement]:
    dialect = dialect_of(project, suite.table.datasource)
    for wanted in plan(suite):
        measures = {check.name: tuple(check.kind.measures(check.where).values()) for check in wanted.checks}
        asked = dict.fromkeys((PARTITION_ROWS, *(m for of_check in measures.values() for m in of_check)))
        for statement in context.compiler(dialect, suite.table, wanted.columns).statements(asked):
            # The rows of the partition are counted for every check; where nothing else is, all of them ask.
            alone = statement.measures == (PARTITION_ROWS,)
            names = tuple(name for name, own in measures.items() if alone or set(own) & set(statement.measures))
            yield Statement(f"{suite.table.datasource} ({dialect}), {wanted.id}", statement.sql, names)
        grouped = {
            check.name: by for check in wanted.checks if (by := suite.by_of(check)) and isinstance(by.expected, str)
        }
        for by in dict.fromkeys(grouped.values()):
            names = tuple(name for name, own_by in grouped.items() if own_by == by)
            sql = expected_sql(str(by.expected), by, suite.table, dialect, context)
            yield Statement(f"{suite.table.datasource} ({dialect}), who is expected", sql, names)


def _reconciliation_statements(project: Project, declared: Reconciliation, context: Context) -> Iterator[Statement]:
    for stage in (*declared.stages, *(known.counted for known in declared.explained if known.counted is not None)):
        dialect = dialect_of(project, stage.table.datasource)
        columns = declared.by_of(stage).columns if stage.org is None else ()
        compiler = context.compiler(dialect, stage.table, columns)
        sql = compiler.count_by(stage.measure, stage.where, by_day=context.interval.is_longer_than_day)
        yield Statement(f"{stage.table.datasource} ({dialect}), stage {stage.name}", sql, (stage.name,))
    for total in declared.totals:
        if total.query is not None and total.datasource is not None:
            dialect = dialect_of(project, total.datasource)
            sql = context.compiler(dialect, declared.baseline.table).total(total.query)
            yield Statement(f"{total.datasource} ({dialect}), total {total.name}", sql, (total.name,))


@frozen
class Problem:
    """Something that ``dq lint`` says.

    Attributes:
        level: ``error`` refuses the declaration, ``warning`` only says what may surprise.
        sentence: names the file, the suite and the check.
    """

    level: Literal["error", "warning"]
    sentence: str


def lint(project: Project) -> tuple[Problem, ...]:
    """Return what is wrong or surprising in the project, without connecting to anything."""
    told = [Problem("error", failure) for failure in project.failures]
    alerting: AlertConfig | None = None
    try:
        alerting = _alerting(project)
    except DqError as error:
        told.append(Problem("error", str(error)))
    interval = Interval.of_day(judgement_time().date() - timedelta(days=1))
    for declared in _all(project):
        place = f"{project.source_of(declared.name)}: {_kind(declared)} {declared.name!r}"
        told += [Problem("error", problem) for problem in sql_problems(project, declared, interval)]
        if alerting is not None:
            told += [Problem("error", f"{place}: {problem}") for problem in alerting.notify_problems(declared)]
            told += [
                Problem("error", f"{place}: to= names the channel {channel!r}, which alerting/routes.toml does not have")
                for channel in getattr(declared, "to", ()) if channel not in alerting.channels
            ]  # fmt: skip
        told += [Problem("warning", f"{place}{warning}") for warning in _surprises(declared)]
    return tuple(told)


def _surprises(declared: Declared) -> Iterator[str]:
    if isinstance(declared, Reconciliation):
        for known in declared.explained:
            if known.derived is not None:
                yield f", explained {known.name!r}: it is derived from the same stages, so it explains nothing by itself"
        if declared.by.expected is None:
            yield ": By has no expected=, so an org that is absent from every stage is invisible"
        return
    silent = [
        check.name for check in declared.checks if (by := declared.by_of(check)) is not None and by.expected is None
    ]
    if silent:
        yield f", check {silent[0]!r}{f' and {len(silent) - 1} more' if silent[1:] else ''}: By has no expected=, so absent orgs are invisible"
    if declared.table.partition is None:
        yield f": table {declared.table.name} has no partition=, so every run looks at the whole table"


def sql_problems(project: Project, declared: Declared, interval: Interval) -> Iterator[str]:
    """Yield a sentence, with file, suite and check, for every piece of SQL in ``declared`` that would be refused."""
    source = project.sources.get(declared.name)
    kind = _kind(declared)
    place = f"{source}: {kind} {declared.name!r}" if source else f"{kind} {declared.name!r}"
    context = _context(project, interval, judgement_time())

    def compiler(datasource: str, table: object, columns: tuple[str, ...]) -> Compiler:
        return context.compiler(dialect_of(project, datasource), table, columns)  # type: ignore[arg-type]  # the caller's table

    if isinstance(declared, Suite):
        for wanted in plan(declared):
            for check in wanted.checks:
                try:
                    made = compiler(declared.table.datasource, declared.table, wanted.columns)
                    if check.where is not None:
                        guard_predicate(context.render(check.where), made.dialect_of_sqlglot, project.refuse_functions)
                    for measure in check.kind.measures(check.where).values():
                        made.statements([measure])
                    by = declared.by_of(check)
                    if by is not None and isinstance(by.expected, str) and not by.expected.startswith("seen:"):
                        made.expected(None, by.expected)
                except DqError as error:
                    yield f"{place}, check {check.name!r}: {error}"
        return
    for stage in (*declared.stages, *(known.counted for known in declared.explained if known.counted is not None)):
        try:
            made = compiler(
                stage.table.datasource, stage.table, declared.by_of(stage).columns if stage.org is None else ()
            )
            made.count_by(stage.measure, stage.where, by_day=interval.is_longer_than_day)
        except DqError as error:
            yield f"{place}, stage {stage.name!r}: {error}"
    for total in declared.totals:
        if total.query is not None and total.datasource is not None:
            try:
                compiler(total.datasource, declared.baseline.table, ()).total(total.query)
            except DqError as error:
                yield f"{place}, total {total.name!r}: {error}"


def refuse_bad_sql(project: Project, declared: Declared, interval: Interval) -> None:
    """Refuse a declaration whose SQL the guard does not let through.

    Raises:
        DeclarationError: with the first problem; it names file, suite and check.
    """
    for problem in sql_problems(project, declared, interval):
        raise DeclarationError(problem)


def dialect_of(project: Project, datasource: str) -> str:
    """Return SQLAlchemy's name of a datasource's dialect, without connecting to it.

    Raises:
        ConfigError: when there is no such datasource, or its address cannot be found out or read.
    """
    url = project.datasource_settings(datasource).url.reveal_url()
    scheme = url.partition(":")[0]
    if scheme in plugin_names("dq.datasources"):
        return _open_datasource(project, datasource).dialect
    try:
        return make_url(url).get_backend_name()
    except SQLAlchemyError:
        raise ConfigError(f"datasource {datasource!r}: its url is not of the form dialect://host/database") from None


@frozen
class Finding:
    """One line of ``dq doctor``.

    Attributes:
        state: ``ok``, ``warn`` or ``broken``.
        what: the part that was looked at.
        sentence: how it is.
    """

    state: Literal["ok", "warn", "broken"]
    what: str
    sentence: str


def doctor(project: Project) -> tuple[Finding, ...]:
    """Look at every part that a run needs, and tell how it is. Never shows a secret."""
    told = [
        Finding(
            "ok",
            "project",
            f"environment {project.environment}, {len(project.suites)} suites, {len(project.reconciliations)} reconciliations",
        )
    ]
    told += [Finding("broken", "declarations", failure) for failure in project.failures]
    if os.environ.get("DQ_NOW"):
        told.append(Finding("warn", "clock", f"DQ_NOW={os.environ['DQ_NOW']}: everything is judged as of that time"))
    try:
        with _transaction(project):
            pass
        dialect = _store(project).dialect.name
        hint = "; use PostgreSQL or MariaDB where tasks run on several hosts" if dialect == "sqlite" else ""
        remote = dialect == "sqlite" and _remote_executor()
        told.append(Finding("broken" if remote else "ok", "store", f"{dialect}, migrated{hint}"))
    except DqError as error:
        told.append(Finding("broken", "store", str(error)))
    for name in project.datasources:
        try:
            source = _open_datasource(project, name)
            source.fetch("SELECT 1")
            source.close()
            told.append(Finding("ok", f"datasource {name}", f"{source.dialect}, answers"))
        except DqError as error:
            told.append(Finding("broken", f"datasource {name}", str(error)))
    try:
        alerting = _alerting(project)
        for name, problem in _channel_problems(project, alerting).items():
            told.append(
                Finding("broken" if problem else "ok", f"channel {name}", problem or alerting.channels[name].type)
            )
        if not alerting.channels:
            told.append(Finding("warn", "channels", f"{ROUTES} has none: nobody will be told"))
    except DqError as error:
        told.append(Finding("broken", "channels", str(error)))
    return tuple(told)


def _channel_problems(project: Project, alerting: AlertConfig) -> dict[str, str]:
    problems: dict[str, str] = {}
    for name, channel in alerting.channels.items():
        try:
            build_channel(name, channel.settings, _secrets(project))
            problems[name] = ""
        except DqError as error:
            problems[name] = str(error)
    return problems


def _remote_executor() -> bool:
    executor = os.environ.get("AIRFLOW__CORE__EXECUTOR", "")
    return any(word in executor for word in ("Celery", "Kubernetes", "Edge", "Ecs", "Batch"))


def upgrade(project: Project) -> str:
    """Bring the store to the newest migration; return what was done.

    Raises:
        StoreError: when it cannot be reached or a migration breaks.
    """
    return upgrade_store(_engine(*_store_address(project)))


def _all(project: Project) -> tuple[Declared, ...]:
    return (*project.suites.values(), *project.reconciliations.values())


def _reconciliation(project: Project, declared: str | Reconciliation) -> Reconciliation:
    found = project.find(declared) if isinstance(declared, str) else declared
    if not isinstance(found, Reconciliation):
        raise UsageError(f"{found.name!r} is a suite, not a reconciliation; use `dq run {found.name}`")
    return found


# --- the store ---------------------------------------------------------------------------------------------------


def _kind(declared: Declared) -> RunKind:
    return "suite" if isinstance(declared, Suite) else "reconciliation"


def _is_range(run: Run) -> bool:
    """Whether the run compared several days: a look back, from which nobody is paged."""
    return run.kind == "reconciliation" and run.interval.is_longer_than_day


def _start(
    connection: Connection, project: Project, declared: Declared, interval: Interval, origin: str, now: datetime
) -> Run:
    return history.start_run(connection, project.environment, declared.name, _kind(declared), interval, origin, now)


@contextmanager
def _transaction(project: Project) -> Iterator[Connection]:
    try:
        with _store(project).begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        original = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise StoreError(f"the store cannot be used: {original[0] if original else type(error).__name__}") from None


def _store_address(project: Project) -> tuple[str, str | None, int]:
    password = project.store.password
    return project.store.url.reveal_url(), None if password is None else password.reveal(), os.getpid()


def _store(project: Project) -> Engine:
    return _ready(*_store_address(project))


@lru_cache(maxsize=8)
def _engine(url: str, password: str | None, _pid: int) -> Engine:
    """One engine per process: a connection must not cross a fork, and Airflow forks its workers."""
    try:
        address = make_url(url) if password is None else make_url(url).set(password=password)
    except SQLAlchemyError:
        raise ConfigError("store: its url is not of the form dialect://host/database") from None
    return open_store(address.render_as_string(hide_password=False))


@lru_cache(maxsize=8)
def _ready(url: str, password: str | None, pid: int) -> Engine:
    engine = _engine(url, password, pid)
    ensure(engine)
    return engine
