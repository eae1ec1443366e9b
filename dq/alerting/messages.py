"""Messages: incidents as one neutral message, in the order in which a person on call asks.

What is wrong, since when, how bad (observed against threshold), for which orgs, what changed, who owns it and who is on
it, what to do, how to reproduce it.

The title of what is open of one reconciliation says how its run ended:

    of its parts                         the title says
    -----------------------------------  ---------------------------------------------------------------------------
    one as a whole could not be          what fails, as any other: nobody can say that it is completed
    measured or has no data
    a stage differs, error or worse      Completed with High Discrepancies: db differs for 8 orgs of 10
    a stage differs, milder              Completed with Discrepancies: db differs for 8 orgs of 10
    known losses only                    completed with 1 DLQs: what one of them says
    both                                 both: ... 8 orgs of 10; 1 DLQs: what one of them says
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrs import asdict, evolve

from dq.alerting.dags import THE_DEADLINE, THE_RUN
from dq.alerting.fold import ORGS, RUN
from dq.alerting.incidents import worst_first
from dq.alerting.reason import State
from dq.alerting.steps import loss
from dq.model.duration import format_duration
from dq.model.incident import ACCEPTED, BUDGET, EARLY, LOSS, NOT_THERE, SAMPLE, UNWATCHED, Incident
from dq.model.message import CHANGED, Attachment, Message
from dq.model.names import first_of
from dq.model.severity import Outcome, Severity

WORST_NAMED = 10
"""How many orgs and table rows a message names before it counts the others."""

ACTION = "Airflow requires an action: "
"""How a title begins that asks somebody to look at a DAG."""

CHANGED_NAMED = 5
"""How many incidents each clause of what changed names before it counts the others."""

_DECLARATIONS, _BUDGETS, _LOSSES = "declarations", "budgets", "losses"
"""What words are chosen by, beside the kinds of incidents."""

_NOUNS = {
    "suite": ("check", "checks"),
    "reconciliation": ("stage", "stages"),
    "sla": ("partition", "partitions"),
    "dag": ("task", "tasks"),
    "airflow": ("part", "parts"),
    "watch": ("channel", "channels"),
    _DECLARATIONS: ("declaration", "declarations"),
    _BUDGETS: ("error budget", "error budgets"),
    _LOSSES: ("known loss", "known losses"),
}
_IS_WELL = "is well again", "are well again"
_WELL = {
    "sla": ("has arrived", "have arrived"),
    "dag": ("succeeded", "succeeded"),
    "airflow": ("is well again", "are well again"),
    "watch": ("takes messages again", "take messages again"),
    _DECLARATIONS: ("can be watched again", "can be watched again"),
}
_NOT_THERE = {
    "excused": ("is excused", "are excused"),
    "pending": ("is no longer at risk", "are no longer at risk"),
}
_IS_ACCEPTED = "is accepted", "are accepted"
_FAILS = {
    "suite": ("fails", "fail"),
    "reconciliation": ("differs", "differ"),
    "sla": ("is late", "are late"),
    "dag": ("failed", "failed"),
    "airflow": ("is not well", "are not well"),
    "watch": ("takes no messages", "take no messages"),
    _DECLARATIONS: ("cannot be watched", "cannot be watched"),
    _LOSSES: ("has too many records", "have too many records"),
}
_OF_DAG = {THE_RUN: "run failed", THE_DEADLINE: "deadline missed"}


def firing(
    key: str,
    incidents: Iterable[Incident],
    told: State,
    at: datetime,
    *,
    gone: Sequence[Incident] = (),
    passed: Sequence[Incident] = (),
    acknowledged: bool = False,
    escalated: timedelta = timedelta(0),
) -> Message:
    """Return the message that says what is wrong now.

    Args:
        key: the stable key of the group.
        incidents: what is open; at least one.
        told: what the channel was last told; empty: nothing.
        at: when the message is decided.
        gone: what it was told of and is over, or no longer told there.
        passed: what came and went since, and nobody was told.
        acknowledged: all that is new is that somebody is on it.
        escalated: for how long nobody acknowledged, where that is why it is told there.
    """
    worst = worst_first(incidents)
    parts = _by_part(worst)
    first = worst[0]
    since = min(i.opened_at for i in worst)
    orgs = _orgs(worst)
    facts = [
        ("Since", f"{_clock(since)} ({_lasted(since, at)})"),
        _newest_run(worst) if _one_dag(worst) else ("Partition", _newest_partition(worst)),
    ]
    if len(parts) == 1 and first.observed:
        facts.append(
            ("Observed", f"{first.observed} (threshold {first.threshold})" if first.threshold else first.observed)
        )
    if orgs:
        facts.append(("Orgs", _named(orgs)))
    if told and (changed := _changed(told, worst, gone, passed)):
        facts.append((CHANGED, changed))
    if escalated:
        facts.append(("Escalated", f"nobody acknowledged within {format_duration(escalated)}"))
    if owner := _owner(worst):
        facts.append(("Owner", owner))
    if on_it := dict.fromkeys(f"{i.acked_by}, {_clock(i.acked_at)}" for i in worst if i.acked and i.acked_at):
        facts.append(("Acknowledged by", "; ".join(on_it)))
    columns, rows = _table(worst)
    return Message(
        key=key,
        status="acknowledged" if acknowledged else "firing",
        severity=first.severity,
        environment=first.key.environment,
        subject=first.key.subject,
        title=_title_of_dag(first, _what_of_dag(parts)) if _one_dag(worst) else _title(first, _what(parts, orgs)),
        summary=_summary(parts),
        at=at,
        since=since,
        facts=tuple(facts),
        columns=columns,
        rows=rows,
        omitted=max(len(worst) - WORST_NAMED, 0),
        links=_links(worst),
        query=next((i.query for i in worst if i.query), ""),
    )


def resolved(
    previous: Message,
    incidents: Iterable[Incident],
    severity: Severity,
    at: datetime,
    passed: Sequence[Incident] = (),
) -> Message:
    """Return the message that takes back what a channel was told.

    Args:
        previous: the message that the channel was last told; it has the key, and a title should all else be gone.
        incidents: what it was told of, as it is now: ended, or still open but no longer told here.
        severity: the worst that the channel was told.
        at: when the message is decided.
        passed: what came and went meanwhile, and nobody was told.
    """
    known = worst_first(incidents)
    still = [i for i in known if i.ended_at is None]
    gone = [i for i in known if i.ended_at is not None]
    since = min((i.opened_at for i in known), default=previous.since)
    until = max((i.ended_at for i in gone if i.ended_at is not None), default=at)
    head = _title(known[0], "") if known else f"{previous.environment.upper()} - {previous.subject}: "
    facts: list[tuple[str, str]] = []
    if still:
        worst = max(i.severity for i in still)
        what = f"no longer told here, still {worst}"
        summary = (
            f"Still open at {worst}, but no longer routed to this channel: "
            f"{_what_of_dag(_by_part(still)) if _one_dag(still) else _what(_by_part(still), _orgs(still))}."
        )
    else:
        removed = bool(gone) and all(i.ended == "vanished" for i in gone)
        what = "no longer declared" if removed else _well_again(gone) if gone else "well again"
        before = previous.title.removeprefix(head).removeprefix(f"{previous.environment.upper()} - ")
        summary = f"Before: {before}."
    if since is not None:
        facts.append(("Since", _clock(since)))
        if not still:
            facts += [("Until", _clock(until)), ("Lasted", _lasted(since, until))]
            what += "" if removed else f" after {_lasted(since, until)}"
    if passed:
        facts.append(("Came and went", _some(passed)))
    if vanished := sorted({i.key.part for i in gone if i.ended == "vanished"}):
        facts.append(("No longer declared", ", ".join(vanished)))
    if accepted := list(dict.fromkeys(_accepted(i) for i in gone if ACCEPTED in i.labels)):
        facts.append(("Not told any more", first_of(accepted, CHANGED_NAMED)))
    if owner := _owner(known):
        facts.append(("Owner", owner))
    return Message(
        key=previous.key,
        status="resolved",
        severity=severity,
        environment=previous.environment,
        subject=previous.subject,
        title=head + what,
        summary=summary,
        at=at,
        since=since,
        facts=tuple(facts),
        links=_links(known) or previous.links,
    )


def episode(key: str, incidents: Iterable[Incident], at: datetime) -> Message:
    """Return the one message about incidents that opened and ended before anybody was told."""
    worst = worst_first(incidents)
    first = worst[0]
    since = min(i.opened_at for i in worst)
    until = max((i.ended_at for i in worst if i.ended_at is not None), default=at)
    columns, rows = _table(worst)
    span = f"bad {_clock(since)} to {_clock(until)}, recovered"
    return Message(
        key=key,
        status="event",
        severity=first.severity,
        environment=first.key.environment,
        subject=first.key.subject,
        title=_title(first, span),
        summary=f"It began and ended before anybody was told. {_summary(_by_part(worst))}",
        at=at,
        since=since,
        facts=(("Worst severity", str(first.severity)), ("Lasted", _lasted(since, until))),
        columns=columns,
        rows=rows,
        omitted=max(len(worst) - WORST_NAMED, 0),
        links=_links(worst),
    )


def undelivered(message: Message, channel: str, error: str, *, dead: bool, at: datetime) -> Message:
    """Return what the fallback channel is told once about a message that another channel did not take.

    Args:
        message: the one that was not delivered.
        channel: the channel that did not take it.
        error: why not.
        dead: it is given up; False: it is still being tried.
        at: when this is decided.
    """
    state = "could not be told" if dead else "cannot be told yet"
    title = message.title.removeprefix(f"{message.environment.upper()} - ")
    return Message(
        key=message.key,
        status="event",
        severity=message.severity,
        environment=message.environment,
        subject=message.subject,
        title=f"{message.environment.upper()} - {channel} {state}: {title}",
        summary=f"{channel} {state} this {message.status} message ({error}). {message.summary}",
        at=at,
        since=message.since,
        facts=message.facts,
        columns=message.columns,
        rows=message.rows,
        omitted=message.omitted,
        links=message.links,
    )


def dump_message(message: Message) -> str:
    """Return ``message`` as the JSON text that the store keeps; of attachments it has the digest only."""
    document = asdict(evolve(message, attachments=()))
    document["attachments"] = [
        {"name": a.name, "type": a.type, "digest": a.digest, "cid": a.cid} for a in message.attachments
    ]
    document |= {"severity": int(message.severity), "at": message.at.isoformat()}
    document["since"] = None if message.since is None else message.since.isoformat()
    return json.dumps(document, ensure_ascii=False)


def load_message(text: str, contents: Mapping[str, bytes] | None = None) -> Message:
    """Return the message that ``dump_message`` wrote.

    Args:
        text: what it wrote.
        contents: of attachments, by digest; None: the message is wanted without them.

    Raises:
        KeyError: when an attachment is not among ``contents``.
    """
    document: dict[str, Any] = json.loads(text)
    attached = document.pop("attachments", ())  # what an older dq wrote has none
    if contents is not None:
        document["attachments"] = tuple(
            Attachment(name=a["name"], type=a["type"], content=contents[a["digest"]], cid=a.get("cid", ""))
            for a in attached
        )
    document |= {
        "severity": Severity(document["severity"]),
        "at": datetime.fromisoformat(document["at"]),
        "since": None if document["since"] is None else datetime.fromisoformat(document["since"]),
        "columns": tuple(document["columns"]),
        "rows": tuple(tuple(row) for row in document["rows"]),
    }
    return Message(**document)


def attached_digests(text: str) -> tuple[str, ...]:
    """Return the digests of the attachments of a message that ``dump_message`` wrote."""
    return tuple(one["digest"] for one in json.loads(text).get("attachments", ()))


def _title(incident: Incident, what: str) -> str:
    key = incident.key
    return f"{key.environment.upper()} - {'DAG ' if key.kind == 'dag' else ''}{key.subject}: {what}"


def _title_of_dag(incident: Incident, what: str) -> str:
    key = incident.key
    return f"{key.environment.upper()} - {ACTION}DAG {key.subject}, {what}"


def _one_dag(incidents: Sequence[Incident]) -> bool:
    """Return whether all is of one DAG: a route may bring several subjects together."""
    return {(i.key.kind, i.key.subject) for i in incidents} == {("dag", incidents[0].key.subject)}


def _what_of_dag(parts: Mapping[str, Sequence[Incident]]) -> str:
    """Return what is not well; that a run failed is not said beside the tasks that failed it."""
    tasks = [part for part in parts if part not in _OF_DAG]
    if tasks:
        return f"task {tasks[0]} failed" if len(tasks) == 1 else f"{len(tasks)} tasks failed"
    return _OF_DAG[next(part for part in _OF_DAG if part in parts)]


def _newest_run(worst: Sequence[Incident]) -> tuple[str, str]:
    newest = max(worst, key=lambda i: (i.interval, i.changed_at))
    count = len({i.labels.get(RUN) for i in worst})
    return "DAG run", newest.labels.get(RUN, "") + (f" (the newest of {count})" if count > 1 else "")


def _by_part(worst: Iterable[Incident]) -> dict[str, list[Incident]]:
    parts: dict[str, list[Incident]] = {}
    for incident in worst:
        parts.setdefault(incident.key.part, []).append(incident)
    return parts


def _words(incident: Incident) -> str:
    """Return what the words about an incident are chosen by."""
    return _BUDGETS if BUDGET in incident.labels else _LOSSES if LOSS in incident.labels else _kind(incident)


def _kind(incident: Incident) -> str:
    key = incident.key
    return _DECLARATIONS if (key.kind, key.subject) == ("watch", UNWATCHED) else key.kind


def _noun(incident: Incident, count: int) -> str:
    one, many = _NOUNS[_words(incident)]
    return one if count == 1 else many


def _verb(incident: Incident, count: int) -> str:
    if EARLY in incident.labels:
        return "may be late"
    if BUDGET in incident.labels:
        one, many = ("is spent", "are spent") if incident.observed == "spent" else ("burns too fast", "burn too fast")
    else:
        one, many = {
            Outcome.UNMEASURED: ("could not be measured", "could not be measured"),
            Outcome.NO_DATA: ("has no data", "have no data"),
        }.get(incident.outcome, _FAILS[_words(incident)])
    return one if count == 1 else many


def _what(parts: Mapping[str, Sequence[Incident]], orgs: Sequence[str]) -> str:
    every = [incident for incidents in parts.values() for incident in incidents]
    if {(i.key.kind, i.key.subject) for i in every} == {("reconciliation", every[0].key.subject)}:
        return _how_completed(parts, orgs)
    return _what_fails(parts, orgs)


def _how_completed(parts: Mapping[str, Sequence[Incident]], orgs: Sequence[str]) -> str:
    """Return how the run of a reconciliation ended; the table above."""
    every = [incident for incidents in parts.values() for incident in incidents]
    if any(incident.outcome is not Outcome.FAIL and not incident.key.org for incident in every):
        return _what_fails(parts, orgs)
    stages = {part: incidents for part, incidents in parts.items() if LOSS not in incidents[0].labels}
    losses = [incidents[0] for part, incidents in parts.items() if part not in stages]
    lost = "; ".join(loss(one.observed, one.key.part, one.labels.get(SAMPLE, "")) for one in losses)
    if not stages:
        return f"completed with {lost}"
    high = "High " if any(i.severity >= Severity.ERROR for some in stages.values() for i in some) else ""
    return f"Completed with {high}Discrepancies: {_what_fails(stages, orgs)}{f'; {lost}' if lost else ''}"


def _what_fails(parts: Mapping[str, Sequence[Incident]], orgs: Sequence[str]) -> str:
    first = next(iter(parts.values()))[0]
    if len(parts) == 1:
        words = f"{first.key.part} {_verb(first, 1)}"
        return f"{words} for {_counted(orgs, first)}" if orgs else words
    counts: dict[tuple[str, str], list[Incident]] = {}
    for incidents in parts.values():
        one = incidents[0]
        counts.setdefault((_noun(one, 2), _verb(one, 2)), []).append(one)
    clauses = [f"{len(s)} {_noun(s[0], len(s))} {_verb(s[0], len(s))}" for s in counts.values()]
    return ", ".join(clauses)


def _counted(orgs: Sequence[str], first: Incident) -> str:
    looked_at = first.labels.get(ORGS, "")
    if len(orgs) > 1 and looked_at == str(len(orgs)):
        return f"all {looked_at} orgs"
    if len(orgs) == 1:
        return f"org {orgs[0]}"
    return f"{len(orgs)} orgs of {looked_at}" if looked_at else f"{len(orgs)} orgs"


def _well_again(ended: Sequence[Incident]) -> str:
    parts = _by_part(ended)
    if _one_dag(ended):
        tasks = [part for part in parts if part not in _OF_DAG]
        what = f"task {tasks[0]}" if len(tasks) == 1 else f"{len(tasks)} tasks" if tasks else "run"
        return f"{what} succeeded"
    said = {_words_of_well(incident) for incident in ended}
    one, many = said.pop() if len(said) == 1 else _IS_WELL
    if len(parts) == 1:
        return f"{ended[0].key.part} {one}"
    nouns = {_noun(incident, 2) for incident in ended}  # both partitions and budgets of one promise: neither word
    noun = nouns.pop() if len(nouns) == 1 else "incidents"
    return f"{len(parts)} {noun} {many}"


def _words_of_well(incident: Incident) -> tuple[str, str]:
    if ACCEPTED in incident.labels:
        return _IS_ACCEPTED
    return _NOT_THERE.get(incident.labels.get(NOT_THERE, ""), _WELL.get(_words(incident), _IS_WELL))


def _summary(parts: Mapping[str, Sequence[Incident]]) -> str:
    sentences = []
    for part, incidents in list(parts.items())[:3]:
        org = incidents[0].labels.get("org", "")
        others = f" (and {len(incidents) - 1} more)" if len(incidents) > 1 else ""
        sentences.append(f"{part}{f', org {org}' if org else ''}: {incidents[0].sentence}{others}.")
    if len(parts) > 3:
        sentences.append(f"And {len(parts) - 3} more.")
    return " ".join(sentences)


def _orgs(worst: Iterable[Incident]) -> list[str]:
    return list(dict.fromkeys(i.labels.get("org", i.key.org) for i in worst if i.key.org))


def _named(orgs: Sequence[str]) -> str:
    named = ", ".join(orgs[:WORST_NAMED])
    return named + (f" and {len(orgs) - WORST_NAMED} others" if len(orgs) > WORST_NAMED else "")


def _newest_partition(worst: Iterable[Incident]) -> str:
    partitions = sorted({i.interval for i in worst})
    return str(partitions[-1]) + (f" (the newest of {len(partitions)})" if len(partitions) > 1 else "")


def _owner(incidents: Iterable[Incident]) -> str:
    return ", ".join(dict.fromkeys(i.labels["owner"] for i in incidents if i.labels.get("owner")))


def _links(incidents: Iterable[Incident]) -> tuple[tuple[str, str], ...]:
    by_address: dict[str, str] = {}
    names: set[str] = set()
    for incident in incidents:
        for name, address in incident.links.items():
            if address not in by_address:
                by_address[address] = name if name not in names else f"{name} ({incident.key.part})"
                names.add(name)
    return tuple((name, address) for address, name in list(by_address.items())[:WORST_NAMED])


def _table(worst: Sequence[Incident]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    shown = worst[:WORST_NAMED]
    with_orgs = any(i.key.org for i in shown)
    columns = (_NOUNS[_kind(worst[0])][0].capitalize(), *(("Org",) if with_orgs else ()), "Severity", "Finding")
    rows = tuple(
        (i.key.part, *((i.labels.get("org", i.key.org),) if with_orgs else ()), str(i.severity), i.sentence)
        for i in shown
    )
    return columns, rows


def _changed(told: State, shown: Sequence[Incident], gone: Sequence[Incident], passed: Sequence[Incident]) -> str:
    both = [i for i in shown if i.id in told]
    clauses = (
        ("new", [i for i in shown if i.id not in told]),
        ("worse", [i for i in both if i.severity > told[i.id]]),
        ("milder", [i for i in both if i.severity < told[i.id]]),
        ("recovered", [i for i in gone if i.ended == "recovered" and ACCEPTED not in i.labels]),
        ("accepted", [i for i in gone if i.ended == "recovered" and ACCEPTED in i.labels]),
        ("no longer declared", [i for i in gone if i.ended == "vanished"]),
        ("no longer told here", [i for i in gone if i.ended_at is None]),
        ("came and went", list(passed)),
    )
    return "; ".join(f"{len(some)} {word}: {_some(some)}" for word, some in clauses if some)


def _some(incidents: Sequence[Incident]) -> str:
    names = [f"{i.key.part} (org {i.labels.get('org', i.key.org)})" if i.key.org else i.key.part for i in incidents]
    others = len(names) - CHANGED_NAMED
    return ", ".join(names[:CHANGED_NAMED]) + (f" and {others} other{'s' * (others > 1)}" if others > 0 else "")


def _accepted(incident: Incident) -> str:
    org = f" (org {incident.labels.get('org', incident.key.org)})" if incident.key.org else ""
    return f"{incident.key.part}{org}: {incident.labels[ACCEPTED]}"


def _lasted(since: datetime, until: datetime) -> str:
    return format_duration(max(until - since, timedelta(0)))


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
