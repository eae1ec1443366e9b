"""Mailing: the discrepancy e-mail of a reconciliation, with the promises of whoever owns it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from dq.alerting.pump import PumpReport, enqueue_event
from dq.app.keeping import attained_of, promised_of
from dq.app.overdue import subject_of
from dq.app.reading import ledger
from dq.app.session import Declared, find_reconciliation, judgement_time, transaction
from dq.app.telling import deliver
from dq.app.trending import news_of, trend_of
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.message import Message
from dq.model.reconciliation import Reconciliation
from dq.model.result import Run
from dq.model.severity import Severity
from dq.project import Project
from dq.reports import Rendered, attainment
from dq.reports.attainment import Attained
from dq.reports.discrepancy import render
from dq.store import history
from dq.store.artefact import ledger_from_json


def report(project: Project, name: str, interval: Interval | None = None) -> Rendered:
    """Return the discrepancy report of the latest stored run.

    Raises:
        UsageError: when there is none.
        StoreError: when the store cannot be used.
    """
    return render_ledger(ledger(project, name, interval)[1], project)


def render_ledger(found: Ledger, project: Project | None = None) -> Rendered:
    """Return the discrepancy report of a ledger.

    Args:
        found: what was counted and judged.
        project: whose promises are reported with it, as they are in its store; None: none are.

    Raises:
        StoreError: when the store cannot be used.
    """
    now = judgement_time()
    if project is None:
        return render(found, now=now)
    declared = find_reconciliation(project, found.reconciliation)
    beside = promised_beside(project, declared, now)
    with transaction(project) as connection:
        return _render(connection, project, declared, found, beside, now)


def send_report(project: Project, name: str, interval: Interval | None = None) -> PumpReport:
    """Send the discrepancy e-mail of the latest stored run again, to the channels of the reconciliation.

    Raises:
        UsageError: when there is no such run, or the reconciliation names no channel in ``to=``.
        StoreError: when the store cannot be used.
    """
    declared = find_reconciliation(project, name)
    if not declared.to:
        raise UsageError(f"reconciliation {name!r} names no channel in to=, so there is nobody to send the report to")
    run, found = ledger(project, name, interval)
    now = datetime.now(UTC)
    beside = promised_beside(project, declared, now)
    with transaction(project) as connection:
        message = _message(run, _render(connection, project, declared, found, beside, now), now)
        for channel in declared.to:
            enqueue_event(connection, channel, message, f"report/{channel}/{run.id}/{now.isoformat()}")
    return deliver(project)


def promised_beside(project: Project, declared: Reconciliation, now: datetime) -> tuple[Attained, ...]:
    """Return how promises beside its own were kept that its e-mail tells of: those of its owner; without one, all.

    It reads ninety days, so it is asked before the transaction of a close, which changes nothing of it.

    Raises:
        StoreError: when the store cannot be used.
    """
    beside = [
        subject
        for subject, _ in promised_of(project, (), now).values()
        if declared.name != subject.name and declared.owner in (None, "", subject.owner)
    ]
    if not beside:
        return ()
    with transaction(project) as connection:
        return attained_of(connection, project.environment, beside, now)


def decide_report(
    connection: Connection,
    project: Project,
    run: Run,
    declared: Declared,
    beside: tuple[Attained, ...],
    now: datetime,
) -> None:
    """Put the discrepancy e-mail into the outbox, once per version of the run; ``beside``: by ``promised_beside``."""
    if not isinstance(declared, Reconciliation) or not declared.to:
        return
    document = history.get_artefact(connection, run)
    if document is None:
        return
    rendered = _render(connection, project, declared, ledger_from_json(document), beside, now)
    message = _message(run, rendered, now)
    for channel in declared.to:
        enqueue_event(connection, channel, message, f"report/{channel}/{run.id}/{run.version}")


def _render(
    connection: Connection,
    project: Project,
    declared: Reconciliation,
    found: Ledger,
    beside: tuple[Attained, ...],
    now: datetime,
) -> Rendered:
    own = subject_of(declared)
    mine = () if own is None else attained_of(connection, project.environment, [own], now)
    promises = (*mine, *beside)
    return render(
        found,
        now=now,
        promises=attainment.report(promises, now) if promises else None,
        news=news_of(connection, project.environment, found, now),
        trend=trend_of(connection, project.environment, found),
    )


def _message(run: Run, rendered: Rendered, now: datetime) -> Message:
    """Return the discrepancy e-mail of a run as an event."""
    return Message(
        key=f"{run.environment}/report/{run.suite}",
        status="event",
        severity=run.worst or Severity.INFO,
        environment=run.environment,
        subject=run.suite,
        title=rendered.subject,
        summary=rendered.subject,
        at=now,
        html=rendered.html,
        text=rendered.text,
    )
