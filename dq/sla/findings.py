"""What verdicts say to people and to the incidents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from dq.model.duration import format_duration
from dq.model.incident import Finding, IncidentKey
from dq.model.severity import Outcome
from dq.sla.evaluate import Answer, SlaVerdict


def incident_key(verdict: SlaVerdict, environment: str) -> IncidentKey:
    """Return the one identity of the promise about one partition or run: whoever judges it, whenever, comes to it."""
    expectation = verdict.expectation
    if expectation.run:  # no suite has a colon in its name
        return IncidentKey(environment, "sla", f"{expectation.kind}:{expectation.subject}", expectation.run)
    return IncidentKey(environment, "sla", expectation.subject, str(expectation.interval))


def new_misses(
    verdicts: Iterable[SlaVerdict], environment: str, recorded: Collection[IncidentKey]
) -> tuple[SlaVerdict, ...]:
    """Return the verdicts that tell of a miss for the first time: for these ``on_miss`` is called.

    Args:
        verdicts: the verdicts of any subjects.
        environment: e.g. ``prod``.
        recorded: the keys that already have an incident, open or ended.
    """
    return tuple(v for v in verdicts if v.missed and incident_key(v, environment) not in recorded)


def findings(
    verdicts: Iterable[SlaVerdict],
    environment: str,
    labels: Mapping[str, str],
    recorded: Collection[IncidentKey] = (),
    links: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Return what the verdicts of one subject say about its SLA incidents, in the order in which to fold it.

    A partition that is not due yet says nothing. One that arrived late without anybody having noticed says two things,
    that it was bad and that it is well, so that the miss is told once.

    Args:
        verdicts: the verdicts of one suite, reconciliation, DAG or task.
        environment: e.g. ``prod``.
        labels: what routes match on beside what is added here: owner, tags.
        recorded: the keys that already have an incident, open or ended.
        links: runbook and the like, by text.
    """
    return tuple(_findings(verdicts, environment, labels, recorded, links or {}))


def _findings(
    verdicts: Iterable[SlaVerdict],
    environment: str,
    labels: Mapping[str, str],
    recorded: Collection[IncidentKey],
    links: Mapping[str, str],
) -> Iterator[Finding]:
    for verdict in verdicts:
        if verdict.answer is Answer.PENDING:
            continue
        expectation = verdict.expectation
        key = incident_key(verdict, environment)
        own = {
            **labels,
            "environment": environment,
            "kind": key.kind,
            "sla": key.subject,
            **({} if expectation.run else {expectation.kind: expectation.subject}),
        }
        text = sentence(verdict)
        if verdict.bad or (verdict.missed and key not in recorded):
            yield Finding(
                key=key,
                interval=expectation.interval,
                severity=expectation.severity,
                outcome=Outcome.UNMEASURED if verdict.answer is Answer.UNMEASURED else Outcome.FAIL,
                sentence=text,
                observed=f"{format_duration(verdict.late)} late",
                threshold=str(expectation.sla),
                labels={**own, "severity": str(expectation.severity)},
                links=links,
            )
        if not verdict.bad:
            yield Finding(
                key=key,
                interval=expectation.interval,
                severity=None,
                outcome=Outcome.PASS,
                sentence=text,
                observed=f"{format_duration(verdict.late)} late" if verdict.missed else "in time",
                threshold=str(expectation.sla),
                labels=own,
                links=links,
            )


def sentence(verdict: SlaVerdict) -> str:
    """Return one sentence for people: what was promised and what was seen."""
    due_at = verdict.expectation.due_at
    run = verdict.expectation.run
    partition = f"run {run}" if run else f"partition {verdict.expectation.interval}"
    due = _when(due_at, verdict.expectation.sla.tz)
    if verdict.answer is Answer.EXCUSED:
        return f"{partition} was due {due} and is excused; {_seen(verdict)}"
    if verdict.arrived_at is not None:
        arrived = f"{partition} {'finished' if run else 'arrived'} {_when(verdict.arrived_at)}"
        if verdict.missed:
            return f"{arrived}, {format_duration(verdict.late)} late; it was due {due}"
        return f"{arrived}, in time; it was due {due}"
    if verdict.answer is Answer.PENDING:
        return f"{partition} is due {due}, in {format_duration(due_at - verdict.now)}; {_seen(verdict)}"
    missing = "has not finished" if run else "has not arrived"
    return f"{partition} was due {due} and {missing}; {format_duration(verdict.late)} late; {_seen(verdict)}"


_SEEN = {
    "waiting": "it had not begun",
    "started": "its run started",
    "missing": "it was seen without rows",
    "unmeasured": "it could not be measured",
    "failed": "its run failed",
    "skipped": "it was skipped",
}
_SEEN_OF_RUN = {"started": "it was running", "failed": "it failed"}


def _seen(verdict: SlaVerdict) -> str:
    newest = verdict.newest
    if newest is None:
        return "nothing has been seen of it"
    detail = f": {newest.detail}" if newest.detail else ""
    seen = (_SEEN_OF_RUN if newest.run else _SEEN).get(newest.state, _SEEN[newest.state])
    return f"{seen} {_when(newest.at)} (says {newest.source}{detail})"


def _when(at: datetime, zone: tzinfo = UTC) -> str:
    utc = at.astimezone(UTC)
    name = zone.key if isinstance(zone, ZoneInfo) else "UTC"
    if name == "UTC":
        return f"{utc:%Y-%m-%d %H:%M} UTC"
    local = at.astimezone(zone)
    same_day = local.date() == utc.date()
    return f"{local:%Y-%m-%d %H:%M} {name} ({utc:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}} UTC)"
