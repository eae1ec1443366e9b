"""What verdicts say to people and to the incidents."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from attrs import evolve

from dq.model.budget import Budget, What
from dq.model.duration import format_duration
from dq.model.incident import BUDGET, EARLY, NOT_THERE, Finding, IncidentKey
from dq.model.interval import Interval
from dq.model.kept import Answer
from dq.model.severity import Outcome
from dq.sla.evaluate import SlaVerdict
from dq.sla.subject import Subject


def incident_key(verdict: SlaVerdict, environment: str) -> IncidentKey:
    """Return the one identity of the promise about one partition or run: whoever judges it, whenever, comes to it."""
    expectation = verdict.expectation
    if expectation.run:  # no suite has a colon in its name
        return IncidentKey(environment, "sla", f"{expectation.kind}:{expectation.subject}", expectation.run)
    return IncidentKey(environment, "sla", expectation.subject, str(expectation.interval))


def findings(
    verdict: SlaVerdict,
    environment: str,
    labels: Mapping[str, str],
    links: Mapping[str, str] | None = None,
    *,
    is_new: bool,
    was_told: bool,
) -> tuple[Finding, ...]:
    """Return what a verdict says about its SLA incident, in the order in which to fold it.

        verdict                          findings
        -------------------------------  -------------------------------------------------------------------
        bad enough, or at risk           bad
        missed, over, and told           well
        missed, over, and nobody knew    bad, then well, so that the miss is told once
        late, and not bad enough yet     none: of what was told of before, the warning stands
        anything else, and told          well
        anything else                    none

    Args:
        verdict: what came of a promise.
        environment: e.g. ``prod``.
        labels: what routes match on beside what is added here: owner, tags.
        links: runbook and the like, by text.
        is_new: whether it tells of a miss for the first time.
        was_told: whether an incident of it is open.
    """
    expectation, key = verdict.expectation, incident_key(verdict, environment)
    waits = verdict.bad or verdict.answer is Answer.AT_RISK
    well = Finding(
        key=key,
        interval=expectation.interval,
        severity=None,
        outcome=Outcome.PASS,
        sentence=sentence(verdict),
        observed=f"{format_duration(verdict.late)} late" if verdict.missed else "in time",
        threshold=str(expectation.sla),
        labels={
            **labels,
            "environment": environment,
            "kind": key.kind,
            "sla": key.subject,
            **({} if expectation.run else {expectation.kind: expectation.subject}),
        },
        links=links or {},
    )
    severity = verdict.severity
    if severity is None:
        if verdict.arrived_at is None:
            well = evolve(well, labels={**well.labels, NOT_THERE: str(verdict.answer)})
        return (well,) if was_told and not waits else ()
    bad = evolve(
        well,
        severity=severity,
        outcome=Outcome.UNMEASURED if verdict.answer is Answer.UNMEASURED else Outcome.FAIL,
        observed="not there yet" if verdict.answer is Answer.AT_RISK else f"{format_duration(verdict.late)} late",
        labels={
            **well.labels,
            "severity": str(severity),
            "answer": str(verdict.answer),
            **({EARLY: "1"} if verdict.answer is Answer.AT_RISK else {}),
        },
    )
    if waits:
        return (bad,)
    return (bad, well) if is_new else (well,) if was_told else ()


def budget_part(what: What) -> str:
    """Return the part of the incident that is about this error budget of a subject."""
    return f"budget: {'in time' if what == 'on_time' else 'correct'}"


def finding_of_budget(
    budget: Budget,
    subject: Subject,
    environment: str,
    labels: Mapping[str, str],
    links: Mapping[str, str],
    now: datetime,
) -> Finding:
    """Return what an error budget says about its incident: how fast it burns, that it is spent, or that it is well.

    Args:
        budget: what is left of a promised share.
        subject: who promised it.
        environment: e.g. ``prod``.
        labels, links: as for ``findings``.
        now: an aware time.
    """
    severity = budget.severity
    return Finding(
        key=IncidentKey(environment, "sla", subject.name, budget_part(budget.what)),
        interval=Interval(now - timedelta(days=1), now),  # never older than what is open, whatever window was declared
        severity=severity,
        outcome=Outcome.PASS if severity is None else Outcome.FAIL,
        sentence=budget.sentence,
        observed=budget.state.replace("_", " "),
        threshold=f"{float(budget.goal * 100):.10g}%",
        labels={
            **labels,
            "environment": environment,
            "kind": "sla",
            "sla": subject.name,
            subject.kind: subject.name,
            BUDGET: "1",
            **({} if severity is None else {"severity": str(severity)}),
        },
        links=links,
    )


def sentence(verdict: SlaVerdict) -> str:
    """Return one sentence for people: what was promised and what was seen."""
    wanted = verdict.expectation
    partition = f"run {wanted.run}" if wanted.run else f"partition {wanted.interval}"
    if wanted.runs:
        partition = f"a run ({wanted.sla})"
    due = _when(wanted.due_at, wanted.sla.tz)
    if verdict.answer is Answer.EXCUSED:
        why = f": {wanted.excuse}" if wanted.excuse else f"; {cause(verdict)}"
        return f"{partition} was due {due} and is excused{why}"
    if verdict.arrived_at is not None:
        came = "finished" if wanted.run else "was made" if wanted.runs else "arrived"
        arrived = f"{partition} {came} {_when(verdict.arrived_at)}"
        wrong = ", but what is there is wrong" if verdict.wrong else ""
        if verdict.missed:
            return f"{arrived}, {format_duration(verdict.late)} late{wrong}; it was due {due}"
        return f"{arrived}, in time{wrong}; it was due {due}"
    if verdict.now <= wanted.due_at:
        needs = ""
        if verdict.answer is Answer.AT_RISK and wanted.needs is not None:
            needs = f"; earlier runs needed {format_duration(wanted.needs)}"
        return f"{partition} is due {due}, in {format_duration(wanted.due_at - verdict.now)}; {cause(verdict)}{needs}"
    missing = "has not finished" if wanted.run else "did not happen" if wanted.runs else "has not arrived"
    grace = f", within its grace of {format_duration(wanted.sla.grace)}" if verdict.answer.waits else ""
    return f"{partition} was due {due} and {missing}; {format_duration(verdict.late)} late{grace}; {cause(verdict)}"


_SEEN = {
    "waiting": "it had not begun",
    "absent": "no run was made for it",
    "paused": "its DAG was paused",
    "started": "its run started",
    "done": "its run had succeeded, but the data was not there",
    "missing": "it was seen without rows",
    "unmeasured": "it could not be measured",
    "failed": "its run failed",
    "skipped": "it was skipped",
    "unreachable": "who should know did not answer",
}
_SEEN_OF_RUN = {"started": "it was running", "failed": "it failed"}


def cause(verdict: SlaVerdict) -> str:
    """Return what was seen of it beside its arrival, for people: why it is late, as far as that is known."""
    newest = verdict.newest
    if newest is None:
        return "it did not run" if verdict.expectation.runs else "nothing has been seen of it"
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
