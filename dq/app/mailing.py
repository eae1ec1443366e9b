"""Mailing: the discrepancy e-mail of a reconciliation, with the promises of whoever owns it, and its parts.

A part is what one owner (``to_owners=``) or one org (``to_orgs=``) gets: a report of its own, made from its rows alone.
Each is an event of its own, so an address that refuses holds up no other.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import chain

from attrs import evolve
from sqlalchemy.engine import Connection

from dq.alerting.pump import PumpReport, enqueue_event
from dq.app.deploying import since_when
from dq.app.keeping import attained_of, promised_of
from dq.app.overdue import subject_of
from dq.app.reading import ledger
from dq.app.session import Declared, find_reconciliation, judgement_time, transaction
from dq.app.telling import deliver
from dq.app.trending import Before, before_of, news_of, news_of_part, trend_of
from dq.model.errors import UsageError
from dq.model.group import Group
from dq.model.incident import Incident
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.message import Attachment, Message
from dq.model.reconciliation import Reconciliation
from dq.model.result import Run
from dq.model.severity import Severity
from dq.project import Project
from dq.reports import Rendered, attainment, chart
from dq.reports.attachment import MAX_BYTES, attachment, csv_bytes, file_name
from dq.reports.attainment import Attained
from dq.reports.chart import Chart
from dq.reports.discrepancy import all_rows, render
from dq.reports.news import News
from dq.reports.part import Part, StillBad, divided
from dq.reports.trend import Trend
from dq.store import history
from dq.store.artefact import ledger_from_json

_log = logging.getLogger(__name__)


def report(
    project: Project,
    name: str,
    interval: Interval | None = None,
    *,
    owner: str | None = None,
    org: str | None = None,
) -> Rendered:
    """Return the discrepancy report of the latest stored run.

    Args:
        project: where it is declared.
        name: of the reconciliation.
        interval: the partition; None: the newest one.
        owner, org: only the part of that owner, or of that org as the ledger shows it.

    Raises:
        UsageError: when there is none.
        StoreError: when the store cannot be used.
    """
    declared, found = find_reconciliation(project, name), ledger(project, name, interval)[1]
    return _made(project, declared, found, _asked(declared, found, owner, org), judgement_time())[0]


def report_csv(
    project: Project,
    name: str,
    interval: Interval | None = None,
    *,
    owner: str | None = None,
    org: str | None = None,
    gzipped: bool = True,
) -> bytes:
    """Return all rows of the ledger of the latest stored run as a CSV file, however long it is; see :func:`report`."""
    declared, found = find_reconciliation(project, name), ledger(project, name, interval)[1]
    part = _asked(declared, found, owner, org)
    return csv_bytes(found if part is None else _parts(declared, found, [part])[part], gzipped=gzipped)


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
        all_in, files = _all_rows_of(found)
        return evolve(render(found, now=now, all_in=all_in), attachments=files)
    return _made(project, find_reconciliation(project, found.reconciliation), found, None, now)[0]


def send_report(
    project: Project,
    name: str,
    interval: Interval | None = None,
    *,
    owner: str | None = None,
    org: str | None = None,
) -> PumpReport:
    """Send the discrepancy e-mail of the latest stored run again, to the channels of ``to=``, or those of one part.

    Args:
        project: where it is declared.
        name: of the reconciliation.
        interval: the partition; None: the newest one.
        owner, org: the part of that owner or org, to its own channels.

    Raises:
        UsageError: when there is no such run, or the reconciliation names no channel for it.
        StoreError: when the store cannot be used.
    """
    declared = find_reconciliation(project, name)
    if not declared.to and owner is None and org is None:
        raise UsageError(f"reconciliation {name!r} names no channel in to=, so there is nobody to send the report to")
    run, found = ledger(project, name, interval)
    now = datetime.now(UTC)
    part = _asked(declared, found, owner, org)
    channels = declared.to if part is None else _mails(declared).get(part, ())
    if not channels:
        key = "to_owners=" if owner is not None else "to_orgs="
        raise UsageError(f"reconciliation {name!r} names no channel for {owner or org!r} in {key}")
    rendered, severity = _made(project, declared, found, part, now)
    message = _message(run, rendered, now, part, severity)
    with transaction(project) as connection:
        for channel in channels:
            enqueue_event(connection, channel, message, f"report/{channel}/{message.key}/{run.id}/{now.isoformat()}")
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
    """Put the discrepancy e-mails into the outbox, once per version of the run; ``beside``: by ``promised_beside``."""
    if not isinstance(declared, Reconciliation) or not declared.mailed:
        return
    document = history.get_artefact(connection, run)
    if document is None:
        return
    found = ledger_from_json(document)
    before = before_of(connection, project.environment, found, now)
    if declared.to:
        rendered = _render(connection, project, declared, found, before, beside, now)
        message = _message(run, rendered, now, None, run.worst)
        for channel in declared.to:
            enqueue_event(connection, channel, message, f"report/{channel}/{run.id}/{run.version}")
    mails = _mails(declared)
    if not mails:
        return
    older = history.still_bad_orgs(connection, project.environment, declared.name, run.interval.start)
    incidents = _incidents(declared, before, mails)
    for part, own in _parts(declared, found, mails, older).items():
        if own.severity is None and not declared.send_well:
            continue
        news = news_of_part(before, own, incidents[part])
        rendered = _render_part(connection, project.environment, own, part, news, now)
        message = _message(run, rendered, now, part, own.severity)
        for channel in mails[part]:
            enqueue_event(connection, channel, message, f"report/{channel}/{message.key}/{run.id}/{run.version}")


def _made(
    project: Project, declared: Reconciliation, found: Ledger, part: Part | None, now: datetime
) -> tuple[Rendered, Severity | None]:
    """Return the report of a ledger or of a part of it, and how bad it is."""
    if part is None:
        beside = promised_beside(project, declared, now)
        load_chart(declared)
        with transaction(project) as connection:
            before = before_of(connection, project.environment, found, now)
            return _render(connection, project, declared, found, before, beside, now), found.severity
    with transaction(project) as connection:
        older = history.still_bad_orgs(connection, project.environment, declared.name, found.interval.start)
        own = _parts(declared, found, [part], older)[part]
        before = before_of(connection, project.environment, found, now)
        news = news_of_part(before, own, _incidents(declared, before, [part])[part])
        return _render_part(connection, project.environment, own, part, news, now), own.severity


def _mails(declared: Reconciliation) -> dict[Part, tuple[str, ...]]:
    """Return the parts of which a mail is declared, with the channels that get it."""
    mails: dict[Part, tuple[str, ...]] = {declared.by.key(org): to for org, to in declared.to_orgs.items()}
    mails.update(declared.to_owners)
    return mails


def _parts(
    declared: Reconciliation, found: Ledger, wanted: Iterable[Part], older: Iterable[StillBad] = ()
) -> dict[Part, Ledger]:
    names = {part: f"owner {part}" if isinstance(part, str) else f"org {part.label}" for part in wanted}
    return divided(found, declared, names, _parts_of(declared, names), tuple(older), declared.owner)


def _parts_of(declared: Reconciliation, wanted: Collection[Part]) -> Callable[[Group], Iterator[Part]]:
    """Return a function that yields the wanted parts in which an org is."""
    owners = {declared.by.key(org): owner for org, owner in declared.by.owners.items()}

    def parts_of(org: Group) -> Iterator[Part]:
        if org.columns != declared.by.columns:  # of a coarser level, whose sums are of others, too
            return
        owner = owners.get(org, declared.owner)
        if owner is not None and owner in wanted:
            yield owner
        if org in wanted:
            yield org

    return parts_of


def _incidents(declared: Reconciliation, before: Before | None, wanted: Collection[Part]) -> dict[Part, list[Incident]]:
    """Return the incidents of the orgs of each wanted part, and to each those of no org."""
    parts_of = _parts_of(declared, wanted)
    found: dict[Part, list[Incident]] = {part: [] for part in wanted}
    for incident in () if before is None else before.incidents:
        values = json.loads(incident.key.org) if incident.key.org else ()
        if not values:
            among: Iterable[Part] = wanted
        elif len(values) == len(declared.by.columns):
            among = parts_of(Group(declared.by.columns, tuple(values)))
        else:  # of a coarser level
            continue
        for part in among:
            found[part].append(incident)
    return found


def _asked(declared: Reconciliation, found: Ledger, owner: str | None, org: str | None) -> Part | None:
    """Return the part that is asked for; None: the whole.

    Raises:
        UsageError: when there is no such owner or org.
    """
    if owner is not None:
        if owner not in {declared.owner, *declared.by.owners.values()}:
            raise UsageError(f"reconciliation {declared.name!r} has no owner {owner!r}; see owner= and By(owners=)")
        return owner
    if org is None:
        return None
    orgs = chain((row.org for row in all_rows(found)), _mails(declared))
    named = next((one for one in orgs if isinstance(one, Group) and one.label == org), None)
    if named is None:
        raise UsageError(f"the ledger of {declared.name!r} for {found.interval} has no org {org!r}")
    return named


def _all_rows_of(found: Ledger, option: str = "") -> tuple[str, tuple[Attachment, ...]]:
    """Return a sentence that says where all rows of a ledger are, and the file with them where a mail can carry it.

    Args:
        found: the ledger.
        option: what of the command line asks for this part of the ledger.
    """
    count = len(all_rows(found))
    if not count and found.rest is None:
        return "", ()
    rows = f"All {count} rows of the table are" if count > 1 else "The row of the table is"
    if found.rest is not None and found.rest.packed is not None:
        rows = f"All {found.rest.rows + count} rows of the table are"
    elif found.rest is not None:
        rows = f"The rows of {count} of {found.rest.rows + count} orgs, and the sum of the others, which are well, are"
    file = attachment(found)
    if file is not None:
        return f"{rows} in the attached {file.name}.", (file,)
    day = f" --date {found.interval}" if found.interval.is_day else ""
    command = f"dq report {shlex.quote(found.reconciliation)}{day}{option} --csv {file_name(found)}"
    return f"{rows} too long for a mail ({MAX_BYTES // 1_000_000} MB); this writes them: {command}", ()


def _render(
    connection: Connection,
    project: Project,
    declared: Reconciliation,
    found: Ledger,
    before: Before | None,
    beside: tuple[Attained, ...],
    now: datetime,
) -> Rendered:
    own = subject_of(declared)
    mine = () if own is None else attained_of(connection, project.environment, [own], now)
    promises = (*mine, *beside)
    all_in, files = _all_rows_of(found)
    trend = trend_of(connection, project.environment, found)
    picture, failed = _chart(trend)
    rendered = render(
        found,
        now=now,
        promises=attainment.report(promises, now) if promises else None,
        since=since_when(connection, project, declared, found),
        all_in=f"{all_in} {failed}".strip(),
        news=news_of(before, found),
        trend=trend,
        chart=picture,
    )
    return evolve(rendered, attachments=(*files, *rendered.attachments))


def load_chart(declared: Reconciliation) -> None:
    """Load what draws the picture of a mail, before the transaction in which the mail is decided: that takes a second.

    What is wrong with it is said in the mail.
    """
    if declared.to:
        with suppress(Exception):
            chart.load()


def _chart(trend: Trend | None) -> tuple[Chart | None, str]:
    """Return the picture of a trend, or why there is none: a mail goes without it."""
    try:
        return None if trend is None else chart.chart(trend), ""
    except Exception as error:  # noqa: BLE001  # a library draws, and a mail is worth more than its picture
        _log.warning("the picture of a discrepancy e-mail could not be drawn", exc_info=True)
        return None, f"The picture of the two weeks could not be drawn ({type(error).__name__})."


def _render_part(
    connection: Connection, environment: str, own: Ledger, part: Part, news: News | None, now: datetime
) -> Rendered:
    """Return the report of a part; promises are of the whole, so it tells of none.

    It has no picture: there may be hundreds of parts, and to draw one takes a third of a second.
    """
    option = f" --owner {shlex.quote(part)}" if isinstance(part, str) else f" --org {shlex.quote(part.label)}"
    all_in, files = _all_rows_of(own, option)
    rendered = render(own, now=now, all_in=all_in, news=news, trend=trend_of(connection, environment, own))
    return evolve(rendered, attachments=files)


def _message(run: Run, rendered: Rendered, now: datetime, part: Part | None, severity: Severity | None) -> Message:
    """Return the discrepancy e-mail of a run as an event; each part has a key, and so a thread, of its own."""
    whose = "" if part is None else f"/owner/{part}" if isinstance(part, str) else f"/org/{part.key}"
    return Message(
        key=f"{run.environment}/report/{run.suite}{whose}",
        status="event",
        severity=severity or Severity.INFO,
        environment=run.environment,
        subject=run.suite,
        title=rendered.subject,
        summary=rendered.subject,
        at=now,
        html=rendered.html,
        text=rendered.text,
        attachments=rendered.attachments,
    )
