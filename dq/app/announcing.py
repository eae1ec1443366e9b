"""Announcing: what a person or a deployment tells; once, to channels by name, past the routes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from attrs import evolve

from dq.alerting.pump import PumpReport, enqueue_event
from dq.app.deploying import write
from dq.app.session import transaction
from dq.app.telling import ROUTES, alerting_of, deliver
from dq.model.deploy import Deploy
from dq.model.errors import UsageError
from dq.model.message import Message
from dq.model.severity import Severity
from dq.plugins import suggest
from dq.project import Project

CHANGES = "pagerduty_change"
"""The type of channel whose messages are deploy markers."""

EVERYTHING = "dq"
"""The subject of what is about nothing in particular."""


def announce(
    project: Project, text: str, *, to: Iterable[str], subject: str = EVERYTHING, links: Iterable[tuple[str, str]] = ()
) -> PumpReport:
    """Tell ``text`` once, e.g. that a version was deployed; what cannot be sent now is sent by the next pump.

    What a channel of type ``pagerduty_change`` is told is a deploy marker in the store, too.

    Args:
        project: whose channels and environment.
        text: one line, e.g. ``"loader 1.4.2 is deployed"``.
        to: names of channels; for deploy markers one of type ``pagerduty_change``.
        subject: what it is about, e.g. a suite; with the environment it is the source of a change event.
        links: text and address pairs.

    Raises:
        UsageError: when there is nothing to tell, or a channel does not exist or is a pager.
    """
    if not text.strip():
        raise UsageError("nothing is announced: give a text")
    channels = takers(project, to)
    now = datetime.now(UTC)
    message = Message(
        key=f"{project.environment}/announced/{subject}",
        status="event",
        severity=Severity.INFO,
        environment=project.environment,
        subject=subject,
        title=f"{project.environment.upper()} - {subject}: {text}",
        summary="",
        at=now,
        links=tuple(links),
    )
    with transaction(project) as connection:
        for name in channels:
            enqueue_event(connection, name, message, f"announced/{subject}/{text}/{now.isoformat()}")
        if any(alerting_of(project).types[name] == CHANGES for name in channels):
            made = Deploy(at=now, text=" ".join(text.split()), source="announce")
            if subject != EVERYTHING:
                made = evolve(made, kind="subject", subject=subject)
            write(connection, project.environment, made, now)
    return deliver(project)


def takers(project: Project, to: Iterable[str]) -> tuple[str, ...]:
    """Return the channels, each once.

    Raises:
        UsageError: when there is none, or one does not exist or is a pager.
    """
    channels = tuple(dict.fromkeys(to))
    known = alerting_of(project).channels
    if not channels:
        raise UsageError("nothing is announced: give at least one channel")
    for name in channels:
        if name not in known:
            raise UsageError(f"{ROUTES} has no channel {name!r}; {suggest(name, tuple(sorted(known)))}")
        if known[name].pages:
            raise UsageError(f"the channel {name!r} is a pager, which takes no news that is told once")
    return channels
