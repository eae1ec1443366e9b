"""Muting: what is open and still not told, and by what.

    silence     a person said so; see ``silences``
    inhibited   a rule of alerting/routes.toml; see ``inhibit``
    blocked     what it is made from is not well, at least as badly as it itself:
                - a suite, reconciliation or SLA that it names as ``upstream`` has an incident of error or worse, or is
                  late;
                - its own subject is late, and it is about the partition that is late, or could not be measured or has
                  no data: that is told, not this.
    pending     it was bad in too few runs; see ``fold``

Something must be told: what is worse than what it is made from is not blocked, because nobody may have been woken for
that; and two that name each other as upstream, also by way of others, do not block each other. A DAG blocks nothing: an
upstream is the name of a declaration, and that a DAG is called the same is chance.
What is muted and was not told is not told. What was told before stays told as it was, and its end is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

from attrs import frozen

from dq.alerting.fold import UPSTREAM
from dq.alerting.inhibit import InhibitRule, inhibitor
from dq.alerting.matcher import all_match
from dq.alerting.routing import labels_of
from dq.alerting.silences import Silence
from dq.model.incident import BUDGET, EARLY, Incident
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity


@frozen
class Mute:
    """Why an incident is not told now.

    Attributes:
        why: see the table above; ``time`` is for the hours of a route, which only a place has.
        by: what mutes it, for people.
        since: from when on a silence holds.
    """

    why: Literal["silence", "inhibited", "blocked", "pending", "time"]
    by: str
    since: datetime | None = None


def muter(
    silences: Sequence[Silence], rules: Sequence[InhibitRule], sources: Sequence[Incident], now: datetime
) -> Callable[[Incident], tuple[Mute, ...]]:
    """Return the function that says why an incident is not told now; an empty answer: nothing mutes it.

    Args:
        silences: those that hold.
        rules: the inhibition rules.
        sources: all that is open in the environment, as far as something of it can mute.
        now: the moment.
    """
    known = [source for source in sources if source.pending is None]
    labelled = [(labels_of(source), source) for source in known] if rules else []
    inhibiting = [one for one in labelled if any(all_match(rule.source, one[0]) for rule in rules)]
    blocking = _blocking(known)

    def mutes(incident: Incident) -> tuple[Mute, ...]:
        because: list[Mute] = []
        if silences or inhibiting:
            labels = labels_of(incident)
            because += [Mute("silence", _who(s, now), s.starts_at) for s in silences if s.matches(labels)]
            source = inhibitor(rules, labels, (other for other, _ in inhibiting))
            because += [
                Mute("inhibited", f"incident {other.id} ({other.key.subject}: {other.key.part})")
                for theirs, other in inhibiting
                if theirs is source
            ]
        if (blocker := blocking(incident)) is not None:
            is_bad = "is late" if blocker.key.kind == "sla" else f"is not well, {blocker.severity}"
            because.append(Mute("blocked", f"{blocker.key.subject} {is_bad} (incident {blocker.id})"))
        if incident.pending is not None:
            runs = f"bad in {incident.pending.count('1')} of the last {len(incident.pending)} runs"
            because.append(Mute("pending", runs))
        return tuple(because)

    return mutes


def _who(silence: Silence, now: datetime) -> str:
    day = "" if silence.ends_at.date() == now.date() else "%Y-%m-%d "
    return f"silence {silence.id} ({silence.author}, until {silence.ends_at:{day}%H:%M}Z: {silence.comment})"


def _blocking(known: Iterable[Incident]) -> Callable[[Incident], Incident | None]:
    bad: dict[str, Incident] = {}
    late: dict[tuple[str, Interval | None], Incident] = {}
    upstream: dict[str, frozenset[str]] = {}
    for source in sorted(filter(_blocks, known), key=lambda i: (-i.severity, i.id)):
        name = source.key.subject
        if source.key.kind == "sla":
            late.setdefault((name, None), source)
            late.setdefault((name, source.interval), source)
        if source.key.kind == "sla" or source.severity >= Severity.ERROR:
            bad.setdefault(name, source)
        upstream[name] = upstream.get(name, frozenset()) | upstream_of(source)

    def above(name: str) -> set[str]:
        """Return ``name`` and all that it is made from, as far as open incidents say so."""
        seen: set[str] = set()
        ahead = {name}
        while ahead:
            seen |= ahead
            ahead = {one for below in ahead for one in upstream.get(below, ())} - seen
        return seen

    def blocker(incident: Incident) -> Incident | None:
        key = incident.key
        named = (bad.get(name) for name in sorted(upstream_of(incident)) if key.subject not in above(name))
        unknown = key.kind != "sla" and incident.outcome in (Outcome.NO_DATA, Outcome.UNMEASURED)
        own = None if key.kind == "sla" else late.get((key.subject, None if unknown else incident.interval))
        return next((i for i in (*named, own) if i is not None and i.severity >= incident.severity), None)

    return blocker


def _blocks(incident: Incident) -> bool:
    """Return whether others can wait for it: what may still come in time, and a budget, hold up nobody."""
    return incident.key.kind != "dag" and not {EARLY, BUDGET} & incident.labels.keys()


def upstream_of(incident: Incident) -> frozenset[str]:
    """Return the names of what the subject of ``incident`` is made from."""
    named = incident.labels.get(UPSTREAM)
    return frozenset(json.loads(named)) if named else frozenset()
