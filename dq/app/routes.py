"""Routes, explained: which of them take an incident with certain labels, why, and what would mute it now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, cast

from attrs import frozen
from sqlalchemy import select

from dq.alerting import silences
from dq.alerting.dags import THE_DEADLINE, THE_RUN
from dq.alerting.fold import declared_labels, declared_links
from dq.alerting.incidents import from_row
from dq.alerting.mute import Mute
from dq.alerting.routing import LABELS, Place, Route, labels_of, places
from dq.alerting.times import muted_by_time
from dq.app.alerting import mutes
from dq.app.session import transaction
from dq.app.telling import alerting_of
from dq.model.check import Suite
from dq.model.errors import UsageError
from dq.model.incident import Incident, IncidentKey, SubjectKind
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity
from dq.plugins import suggest
from dq.project import Project
from dq.store.schema import incident as incident_table

KINDS = ("suite", "reconciliation", "sla", "dag", "airflow", "watch")
At = tuple[int, ...]
"""The place of a route: which child, on the way down; empty at the top."""


@frozen
class Step:
    """One route of the tree, and what became of the incident there.

    Attributes:
        at: its place.
        route: as declared.
        verdict: ``chosen``, ``passed on`` (a route below it took the incident), ``no match``, or ``not tried`` (an
            earlier one took it and does not say ``continue``).
        why: for ``no match``: which matcher does not hold.
    """

    at: At
    route: Route
    verdict: Literal["chosen", "passed on", "no match", "not tried"]
    why: str = ""

    @property
    def name(self) -> str:
        """Its own matchers, for people."""
        return " ".join(map(str, self.route.matchers)) or ("[route]" if not self.at else "everything")


@frozen
class Explained:
    """What routes make of an incident.

    Attributes:
        incident: made from the labels that were given, and those that follow.
        labels: what matchers see of it.
        steps: the tree, from the top.
        places: where it is told, by which route and when.
        hours: for each of ``places``, the time intervals that mute it now; None: none does.
        muted: what else mutes it now.
        problems: what leads nowhere, a sentence each.
    """

    incident: Incident
    labels: Mapping[str, str]
    steps: tuple[Step, ...]
    places: tuple[Place, ...]
    hours: tuple[str | None, ...]
    muted: tuple[Mute, ...]
    problems: tuple[str, ...]


def explain_routes(project: Project, labels: Mapping[str, str]) -> Explained:
    """Explain where an incident with ``labels`` would be told now. Nothing is stored or sent.

    What the project declares of the suite and the check is filled in: owner, tags, ``notify=``.

    Args:
        project: its ``alerting/routes.toml``, and its store for silences and for what is open.
        labels: some of the labels of an incident, e.g. ``suite`` and ``severity``.

    Raises:
        UsageError: when there is no such label, or a value that no incident has.
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    config = alerting_of(project)
    now = datetime.now(UTC)
    incident = incident_with(project, labels, now)
    environment = incident.key.environment
    c = incident_table.c
    with transaction(project) as connection:
        holding = [s for s in silences.listed(connection, environment, now) if s.active(now)]
        query = select(incident_table).where(c.environment == environment, c.ended_at.is_(None)).order_by(c.id)
        others = [from_row(row) for row in connection.execute(query)] if config.inhibit_rules else []
    *_, muted = mutes(config, holding, [*others, incident], now)
    found, problems = places(config.route, config.types, incident, config.pagers)
    seen = labels_of(incident)
    return Explained(
        incident=incident,
        labels=dict(sorted(seen.items())),
        steps=walk(config.route, seen),
        places=found,
        hours=tuple(muted_by_time(place.chosen, config.time_intervals, now) for place in found),
        muted=tuple(one for one in muted if one.why != "time"),
        problems=problems,
    )


def walk(route: Route, labels: Mapping[str, str], at: At = ()) -> tuple[Step, ...]:
    """Return what becomes of ``labels`` at ``route`` and below it, as ``dq.alerting.routing.choose`` decides it."""
    wrong = next((matcher for matcher in route.matchers if not matcher.matches(labels)), None)
    if wrong is not None:
        has = labels.get(wrong.label, "")
        return (Step(at, route, "no match", f"{wrong.label} is {has!r}" if has else f"it has no {wrong.label}"),)
    below: list[Step] = []
    taken = over = False
    for number, child in enumerate(route.routes):
        if over:
            below.append(Step((*at, number), child, "not tried"))
            continue
        steps = walk(child, labels, (*at, number))
        below += steps
        if steps[0].verdict != "no match":
            taken, over = True, not child.continue_
    return (Step(at, route, "passed on" if taken else "chosen"), *below)


def incident_with(project: Project, labels: Mapping[str, str], now: datetime) -> Incident:
    """Return an incident with ``labels``, what the project declares of them, and an example of all else.

    Raises:
        UsageError: when there is no such label, or a value that no incident has.
    """
    for label in labels:
        if label not in LABELS:
            raise UsageError(f"there is no label {label!r}; {suggest(label, LABELS)}")
    given = {name: value for name, value in labels.items() if value}
    kind = given.get("kind") or next((k for k in KINDS if k in given), "dag" if "task" in given else "suite")
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}; {suggest(kind, KINDS)}")
    outcomes = tuple(str(o) for o in Outcome if o not in (Outcome.PASS, Outcome.SKIP))
    if given.get("outcome", "fail") not in outcomes:
        raise UsageError(f"no incident has the outcome {given['outcome']!r}; {suggest(given['outcome'], outcomes)}")
    subject = _one(given, ("subject", kind, *(k for k in KINDS if k != kind)), "example")
    part = _one(given, ("part", "check", "task"), "example")
    declared = None if kind == "dag" else project.suites.get(subject) or project.reconciliations.get(subject)
    check = None
    if isinstance(declared, Suite) and kind == "suite":
        check = next((check for check in declared.checks if check.name == part), None)
    own = {} if declared is None else declared_labels(declared, check)
    follows = {kind: subject}
    if kind == "suite":
        follows["check"] = part
    elif kind == "dag" and part not in (THE_RUN, THE_DEADLINE):
        follows["task"] = part
    org = f'["{given["org"]}"]' if "org" in given else ""
    return Incident(
        id=0,
        key=IncidentKey(given.get("environment", project.environment), cast("SubjectKind", kind), subject, part, org),
        severity=Severity.of(given.get("severity", "error")),
        outcome=Outcome(given.get("outcome", "fail")),
        sentence="an example",
        observed="",
        threshold="",
        labels={**follows, **own, **given},
        links={} if declared is None else declared_links(declared, check),
        interval=Interval.of_day(now.date()),
        opened_at=now,
        changed_at=now,
    )


def _one(given: Mapping[str, str], names: tuple[str, ...], default: str) -> str:
    """Return what the labels ``names`` agree on.

    Raises:
        UsageError: when they do not.
    """
    values = {given[name]: name for name in reversed(names) if name in given}
    if len(values) > 1:
        said = " and ".join(f"{name}={value}" for value, name in values.items())
        raise UsageError(f"{said}: no incident has both, they name the same thing")
    return next(iter(values), default)
