"""The digest: what is open and what is over, as one message that is told once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from attrs import frozen

from dq.alerting.mute import Mute
from dq.model.duration import format_duration
from dq.model.incident import Incident
from dq.model.message import Message
from dq.model.names import first_of
from dq.model.severity import Severity

ROWS = 30
"""How many lines the table has before it counts the others."""

NAMED = 10
"""How many of what is over are named before the others are counted."""

NOBODY = "nobody"


@frozen
class Line:
    """What is open of one check, stage, partition or run, in whichever orgs.

    Attributes:
        worst: its worst incident.
        orgs: in how many orgs it is open; 0: it is about the whole.
        since: when the first of them was opened.
        who: who is on it, or why nobody is told.
    """

    worst: Incident
    orgs: int
    since: datetime
    who: tuple[str, ...]

    def row(self) -> tuple[str, ...]:
        """Return it as a row of the table."""
        orgs = f", {self.orgs} orgs" if self.orgs > 1 else ""
        return (
            f"{_what(self.worst)} ({self.worst.severity}{orgs})",
            f"{', '.join(self.who)}; {self.since:%d %b %H:%M}Z",
            self.worst.sentence,
        )


def digest(
    environment: str,
    still_open: Sequence[tuple[Incident, Sequence[Mute]]],
    over: Sequence[Incident],
    at: datetime,
    *,
    period: timedelta,
    troubles: Iterable[str] = (),
) -> Message:
    """Return the message.

    What is open of one check in several orgs is one line. An incident that waits for further bad runs is left out, as
    nobody is told of it.

    Args:
        environment: e.g. ``prod``.
        still_open: what is open, worst first, each with why nobody is told of it now.
        over: what ended, newest first; what ended before the period is left out.
        at: when the message is decided.
        period: how far the message looks back.
        troubles: what keeps dq from knowing or telling, a sentence each.
    """
    lines = open_lines((incident, muted) for incident, muted in still_open if incident.pending is None)
    ended = [i for i in over if i.pending is None and i.ended_at is not None and i.ended_at > at - period]
    new = sum(line.worst.opened_at > at - period for line in lines)
    counts: dict[Severity, int] = defaultdict(int)
    for line in lines:
        counts[line.worst.severity] += 1
    by_severity = ", ".join(f"{counts[severity]} {severity}" for severity in sorted(counts, reverse=True))
    last = f"in the last {format_duration(period)}"
    names = list(dict.fromkeys(map(_what, ended)))
    troubles = tuple(troubles)
    facts = [("Open", f"{len(lines)}: {by_severity}" if lines else "nothing")]
    if lines:
        facts += [("New", f"{new} {last}"), ("Nobody is on", str(sum(NOBODY in line.who for line in lines)))]
    facts.append(("Over", first_of(names, NAMED) if names else f"nothing {last}"))
    facts += [("Trouble", trouble) for trouble in troubles]
    opened = f"{len(lines)} open" if lines else "nothing is open"
    worst = lines[0].worst.severity if lines else Severity.INFO
    return Message(
        key=f"{environment}/digest",
        status="event",
        severity=max(worst, Severity.WARNING) if troubles else worst,
        environment=environment,
        subject="digest",
        title=f"{environment.upper()} - digest: {opened}, {len(names) or 'nothing'} over {last}",
        summary=_summary(lines, len(troubles)),
        at=at,
        facts=tuple(facts),
        columns=("What", "Who, since", "Finding") if lines else (),
        rows=tuple(line.row() for line in lines[:ROWS]),
        omitted=max(len(lines) - ROWS, 0),
    )


def open_lines(still_open: Iterable[tuple[Incident, Sequence[Mute]]]) -> list[Line]:
    """Return one line for what is open of one thing, in the order in which the worst of each comes."""
    together: dict[tuple[str, str, str], list[tuple[Incident, Sequence[Mute]]]] = defaultdict(list)
    for incident, muted in still_open:
        together[incident.key.kind, incident.key.subject, incident.key.part].append((incident, muted))
    return [
        Line(
            worst=same[0][0],
            orgs=sum(bool(incident.key.org) for incident, _ in same),
            since=min(incident.opened_at for incident, _ in same),
            who=tuple(dict.fromkeys(_who(incident, muted) for incident, muted in same)),
        )
        for same in together.values()
    ]


def _who(incident: Incident, muted: Sequence[Mute]) -> str:
    if incident.acked and incident.acked_by:
        return incident.acked_by
    return next((mute.by if mute.why == "silence" else f"{mute.why}: {mute.by}" for mute in muted), NOBODY)


def _what(incident: Incident) -> str:
    return f"{incident.key.subject}: {incident.key.part}"


def _summary(lines: Sequence[Line], troubles: int) -> str:
    unknown = " dq does not know all, see Trouble." if troubles else ""
    if not lines:
        return f"Nothing is open.{unknown}"
    worst = lines[0].worst
    return f"The worst is {_what(worst)}: {worst.sentence}.{unknown}"
