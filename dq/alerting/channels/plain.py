"""What all media share: the order of a message, its headline, its plain-text form, and what is dropped first.

A message is told in the order in which a person on call asks:

    headline, summary    what is wrong
    state, facts         since when, how bad, for which orgs, what changed, who owns it
    links                what to do
    query                how to reproduce it
    table                every finding, worst first
    note                 what is wrong with the message itself

Where it does not fit, the end goes first: the last rows, then the query, then the last links, then the last facts. The
summary gets half of the room at most. What is left out is counted.
"""

from __future__ import annotations

import re

from attrs import evolve

from dq.alerting.channels.truncate import characters, clean, line, most, shortened
from dq.model.message import Message

_ENDS = {"resolved": "resolved", "acknowledged": "acknowledged"}


def headline(message: Message, limit: int) -> str:
    """Return the title on one line of at most ``limit`` characters, never empty.

    That of a resolved or acknowledged message says so.
    """
    title = line(message.title) or line(f"{message.environment} - {message.subject}")
    word = _ENDS.get(message.status, "")
    said = re.search(rf"\b{word}\b", title[: limit - 1], re.IGNORECASE)
    end = f" - {word}" if word and not said else ""
    return characters(title, limit - len(end)) + end


def state(message: Message) -> str:
    """Return status and severity in a few words, e.g. ``resolved (was critical)``; since when is a fact."""
    match message.status:
        case "resolved":
            return f"resolved (was {message.severity})"
        case "acknowledged":
            return f"acknowledged ({message.severity})"
        case _:
            return str(message.severity)


def worded(message: Message) -> Message:
    """Return ``message`` as a medium tells it: the words of a template in place of summary, facts, query and table."""
    if not message.body.strip():
        return message
    return evolve(message, summary=message.body, facts=(), query="", columns=(), rows=(), omitted=0)


def details(message: Message) -> int:
    """Return how many details could be dropped: facts, links, the query and rows."""
    return len(message.facts) + len(message.links) + bool(message.query.strip()) + len(message.rows)


def kept(message: Message, count: int) -> Message:
    """Return ``message`` with its first ``count`` details; they are counted in the order in which they are told."""
    links = max(0, count - len(message.facts))
    query = max(0, links - len(message.links))
    rows = max(0, query - bool(message.query.strip()))
    return evolve(
        message,
        facts=message.facts[: max(0, count)],
        links=message.links[:links],
        query=message.query if query else "",
        rows=message.rows[:rows],
    )


def left_out(whole: Message, shown: Message) -> tuple[str, ...]:
    """Return sentences that say what of ``whole`` is not in ``shown``; none when all of it is."""
    counts = (
        (whole.omitted + len(whole.rows) - len(shown.rows), "row"),
        (len(whole.facts) - len(shown.facts), "fact"),
        (len(whole.links) - len(shown.links), "link"),
    )
    said = [f"{count:,} further {what}{'' if count == 1 else 's'} left out" for count, what in counts if count > 0]
    if whole.query.strip() and not shown.query.strip():
        said.append("the query left out")
    return tuple(said)


def text(message: Message, limit: int | None = None) -> str:
    """Return the whole message as plain text.

    Args:
        limit: at most that many characters, a few thousand at least. None: everything.
    """
    message = worded(message)
    if limit is None:
        return _text(message, message)
    usable = evolve(message, summary=shortened(clean(message.summary).strip(), limit // 2))
    count = most(details(usable), lambda n: len(_text(message, kept(usable, n))) <= limit)
    return characters(_text(message, kept(usable, count)), limit)


def _text(whole: Message, shown: Message) -> str:
    table = [" | ".join(line(cell) for cell in cells) for cells in shown.rows]
    if table and shown.columns:
        table.insert(0, " | ".join(line(column) for column in shown.columns))
    query = clean(shown.query).strip()
    parts = [
        headline(shown, 1_000),
        clean(shown.summary).strip(),
        "\n".join([f"State: {state(shown)}", *(f"{line(label)}: {line(value)}" for label, value in shown.facts)]),
        "\n".join(f"{line(label)}: {line(address)}" for label, address in shown.links),
        f"Query:\n{query}" if query else "",
        "\n".join([*(row for row in table if row), *left_out(whole, shown)]),
        characters(line(shown.note), 500),
    ]
    return "\n\n".join(part for part in parts if part)
