"""Digesting: how an environment stands, from declarations, incidents, runs and promises, told once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from attrs import evolve
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting import digest as digests
from dq.alerting.fold import declared_links
from dq.alerting.pump import PumpReport, enqueue_event
from dq.app.alerting import RECENT, Alert, alerts
from dq.app.announcing import takers
from dq.app.keeping import attained
from dq.app.outbox import waiting
from dq.app.session import Declared, judgement_time, transaction
from dq.app.telling import ROUTES, alerting_of, deliver
from dq.app.trending import midnight
from dq.model.duration import format_duration
from dq.model.errors import UsageError
from dq.model.incident import Incident
from dq.model.interval import Interval
from dq.model.message import Message
from dq.model.names import first_of
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.project import Project
from dq.reports import Rendered, attainment
from dq.reports.digest import Digest, Open, Reconciled, Unknown, not_known, render
from dq.reports.news import Item, News, states, worst_first
from dq.reports.trend import days_until, trend
from dq.store import history

DAY = timedelta(days=1)
_NAMED = 10  # suites and checks of one sentence
_OLDER = 5  # older partitions that are still bad
_Key = tuple[str, str, str]


def digest(
    project: Project, *, to: Iterable[str] = (), period: timedelta | None = None, now: datetime | None = None
) -> PumpReport:
    """Tell once how the environment stands: every reconciliation, what is open, what is over, what is not known.

    Args:
        project: whose environment.
        to: names of channels; none: those of ``[digest]`` in ``alerting/routes.toml``.
        period: what ended, or was opened, within it is told of; ``dq.app.alerting.RECENT`` at most. None: since the
            last digest of an earlier day, or a day where there was none.
        now: the real time, and that of the judgement.

    Raises:
        UsageError: when the period is too long, nobody is named, or a channel does not exist or is a pager.
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    channels = takers(project, tuple(to) or digest_takers(project))
    message = _digest(project, period, now)
    with transaction(project) as connection:
        events.append(connection, project.environment, events.EventName.DIGEST_TOLD, "digest", {}, message.at)
        for name in channels:
            enqueue_event(connection, name, message, f"digest/{message.at.isoformat()}")
    return deliver(project)


def digest_report(project: Project, period: timedelta | None = None, now: datetime | None = None) -> Rendered:
    """Return the digest as ``digest`` would mail it; nothing is sent or written down.

    Raises:
        UsageError: when the period is too long.
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    message = _digest(project, period, now)
    return Rendered(subject=message.title, html=message.html, text=message.text)


def _in_short(unknown: Sequence[tuple[str, str]]) -> list[str]:
    """Return what is not known as a chat tells it."""
    said = [what if word == "trouble" else f"{word}: {what}" for word, what in unknown]
    return [*said[:_NAMED], *([f"and {len(said) - _NAMED} more, see dq report"] if len(said) > _NAMED else [])]


def digest_takers(project: Project) -> tuple[str, ...]:
    """Return the channels of ``[digest]``.

    Raises:
        UsageError: when there are none.
    """
    channels = alerting_of(project).digest
    if not channels:
        raise UsageError(f'nobody gets the digest: give --to, or in {ROUTES}: [digest] channels = ["..."]')
    return channels


def _digest(project: Project, period: timedelta | None, now: datetime | None) -> Message:
    if period is not None and period > RECENT:
        raise UsageError(f"a digest looks back {format_duration(RECENT)} at most")
    at, judged = now or datetime.now(UTC), now or judgement_time()
    found = alerts(project, all=True, now=at)
    late = sum(one.failed for one in waiting(project))
    troubles = [f"not delivered: {late} message{'s' * (late > 1)}, see dq alerts outbox"] if late else []
    if project.failures:
        troubles.append(f"did not load: {len(project.failures)} of the declarations, see dq lint")
    if period is None:
        with transaction(project) as connection:
            passed = at - since(connection, project.environment, at)
        period = -(-passed // timedelta(minutes=1)) * timedelta(minutes=1)  # up to a whole minute, as people read it
    says = digest_of(project, found, troubles, judged - period, judged)
    rendered = render(says)
    message = digests.digest(
        project.environment,
        [(one.incident, one.muted) for one in found if one.incident.ended_at is None],
        [one.incident for one in found if one.incident.ended_at is not None],
        judged,
        period=period,
        troubles=_in_short(not_known(says)),
    )
    return evolve(message, at=at, title=rendered.subject, html=rendered.html, text=rendered.text)


def since(connection: Connection, environment: str, now: datetime) -> datetime:
    """Return when the last digest of the day before was made; a day ago where there was none in the last seven days."""
    told = events.lately(connection, environment, events.EventName.DIGEST_TOLD, "digest")
    return max((at for at, _ in told if now - RECENT <= at < midnight(now)), default=now - DAY)


def digest_of(
    project: Project, found: Sequence[Alert], troubles: Sequence[str], told_at: datetime, now: datetime
) -> Digest:
    """Return what the digest of the project's environment says.

    Args:
        project: whose declarations and environment.
        found: what is open, and what ended lately.
        troubles: what keeps dq from knowing or telling, a sentence each.
        told_at: what happened after that is new.
        now: the time of the judgement.

    Raises:
        StoreError: when the store cannot be used.
    """
    incidents = [alert.incident for alert in found]
    items = states(incidents, told_at, key=lambda i: _key(project, i), name=lambda i: _name(project, i))
    promises = attained(project, now=now)
    days = days_until(now.astimezone(UTC).date() - DAY)  # yesterday's partition is the newest that can be whole
    environment = project.environment
    with transaction(project) as connection:
        reconciled = [
            _reconciled(connection, environment, declared, items.get(("reconciliation", name, "")), days, now)
            for name, declared in project.reconciliations.items()
        ]
        unknown = [Unknown(word, one.name, said) for one in reconciled for word, said in _not_known(one)]
        for name, suite in project.suites.items():
            unknown += [Unknown(word, name, said) for word, said in _seen(connection, environment, suite, now)]
    reconciled.sort(key=lambda one: (-(one.severity or 0), one.word == "ok", one.name))
    return Digest(
        environment=environment,
        made_at=now,
        suites=len(project.suites),
        news=News(since=told_at, items=worst_first(items.values())),
        reconciliations=tuple(reconciled),
        opened=tuple(_opened(project, found, items)),
        unknown=(*unknown, *(Unknown("trouble", "", trouble) for trouble in troubles)),
        days=days,
        promises=attainment.report(promises, now) if promises else None,
    )


def _key(project: Project, incident: Incident) -> _Key:
    """Return what an incident is about: a reconciliation as a whole, else the check, partition or task."""
    key = incident.key
    whole = key.kind == "reconciliation" and key.subject in project.reconciliations
    return key.kind, key.subject, "" if whole else key.part


def _name(project: Project, incident: Incident) -> str:
    _, subject, part = _key(project, incident)
    return f"{subject}: {part}" if part else subject


def _opened(project: Project, found: Sequence[Alert], items: dict[_Key, Item]) -> Iterator[Open]:
    pairs = [(alert.incident, alert.muted) for alert in found if alert.incident.ended_at is None]
    for line in digests.open_lines(pair for pair in pairs if pair[0].pending is None):
        incident = line.worst
        key = _key(project, incident)
        if key[2]:
            orgs = f" ({line.orgs} orgs)" if line.orgs > 1 else ""
            yield Open(
                what=f"{key[1]}: {key[2]}{orgs}",
                severity=incident.severity,
                stands=items[key].words,
                who=", ".join(line.who),
                finding=incident.sentence,
                link=next(iter(incident.links.values()), ""),
            )


def _reconciled(
    connection: Connection,
    environment: str,
    declared: Reconciliation,
    item: Item | None,
    days: Sequence[date],
    now: datetime,
) -> Reconciled:
    name = declared.name
    newest = history.newest_partition(connection, environment, name)
    link = next(iter(declared_links(declared).values()), "")
    opened = item if item is not None and item.state.is_open else None
    if newest is None:
        return Reconciled(name=name, word="never ran", sentence=f"it has no run in {environment}", link=link)
    interval, begun = newest
    first = min(Interval.of_day(days[0]).start, interval.start)
    runs = history.partitions(connection, environment, name, (first, interval.end))
    run = next(run for run in reversed(runs) if run.interval == interval)
    severity = max((s for s in (run.worst, opened.severity if opened else None) if s is not None), default=None)
    word, sentence = _verdict(run, severity)
    silent = _late(declared, interval, begun, now)
    if silent:
        word, sentence = (word if severity is not None else "did not run"), f"{silent}; it said: {sentence}"
    older = history.still_bad(connection, environment, name, interval.start, _OLDER)
    if older:
        sentence += f"; still wrong in {first_of([str(partition) for partition, _ in older], _OLDER)}"
    return Reconciled(
        name=name,
        word=word,
        severity=severity,
        partition=str(interval),
        sentence=sentence,
        stands=opened.words if opened else "",
        silent=silent,
        link=link,
        days=trend(runs, days, [None]).rows[None],
    )


def _verdict(run: Run, severity: Severity | None) -> tuple[str, str]:
    """Return the word and the sentence of the newest run: what is not well, worst first, else what is well."""
    found = (one for one in run.summaries if one.outcome not in (Outcome.PASS, Outcome.SKIP))
    not_well = sorted(found, key=lambda result: -(result.severity or 0))
    sentence = "; ".join(_said(result) for result in not_well or run.summaries)
    if severity is not None:
        return str(severity), sentence
    outcomes = {result.outcome for result in not_well}
    if Outcome.UNMEASURED in outcomes:
        return "unmeasured", sentence
    return ("no data" if outcomes else "ok"), sentence


def _not_known(one: Reconciled) -> Iterator[tuple[str, str]]:
    """Yield what nobody knows of a reconciliation, beside what is open of it."""
    if one.silent:
        yield "did not run", one.silent
    elif one.severity is None and one.word != "ok":
        yield one.word, one.sentence


def _said(result: Result) -> str:
    return f"{result.check}: {result.sentence}"


def _seen(
    connection: Connection, environment: str, declared: Declared, now: datetime
) -> list[tuple[str, str]]:
    """Return what is not known of a suite of which nothing is open: that it did not run, or had nothing to look at."""
    newest = history.newest_partition(connection, environment, declared.name)
    if newest is None:
        return [("never ran", f"it has no run in {environment}")]
    interval, begun = newest
    if late := _late(declared, interval, begun, now):
        return [("did not run", late)]
    runs = history.partitions(connection, environment, declared.name, (interval.start, interval.end))
    run = next(run for run in runs if run.interval == interval)
    words = {Outcome.UNMEASURED: "unmeasured", Outcome.NO_DATA: "no data"}
    found = []
    for outcome, word in words.items():
        # What has a severity has an incident, too.
        said = [_said(one) for one in run.summaries if one.outcome is outcome and one.severity is None]
        if said:
            found.append((word, f"{interval}: {first_of(said, _NAMED)}"))
    return found


def _late(declared: Declared, interval: Interval, begun: datetime, now: datetime) -> str:
    """Return that something did not run for longer than its partitions are long, and a day; empty: it did."""
    period = max(DAY, interval.end - interval.start, declared.every or DAY)
    passed = (now - begun) // timedelta(minutes=1) * timedelta(minutes=1)
    return "" if passed <= period else f"no run for {format_duration(passed)}, the last one was of {interval}"
