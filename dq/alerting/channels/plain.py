"""What all media share: the headline and the plain-text form of a message."""

from __future__ import annotations

import re
from datetime import datetime

from dq.alerting.channels.truncate import characters, clean, line, most
from dq.model.message import Message


def headline(message: Message, limit: int) -> str:
    """Return the title on one line of at most ``limit`` characters, never empty; a resolved message says so."""
    title = line(message.title) or line(f"{message.environment} - {message.subject}")
    said = re.search(r"\bresolved\b", title[: limit - 1], re.IGNORECASE)
    end = " - resolved" if message.status == "resolved" and not said else ""
    return characters(title, limit - len(end)) + end


def state(message: Message) -> str:
    """Return status, severity and beginning in a few words, e.g. ``critical since 2026-11-20 06:00 UTC``."""
    since = "" if message.since is None else f" since {_clock(message.since)}"
    match message.status:
        case "resolved":
            return f"resolved (was {message.severity}{since})"
        case "firing":
            return f"{message.severity}{since}"
        case _:
            return str(message.severity)


def left_out(rows: int) -> str:
    """Return the sentence that says how many table rows are not shown; empty for none."""
    return "" if rows <= 0 else f"{rows:,} further {'row' if rows == 1 else 'rows'} left out"


def text(message: Message, limit: int | None = None) -> str:
    """Return the whole message as plain text: headline, summary, state, facts, table, links.

    Args:
        limit: at most that many characters: table rows are dropped first, then the rest is cut; what was left out
            is said. None: everything.
    """
    if limit is None:
        return _text(message, len(message.rows))
    rows = most(len(message.rows), lambda n: len(_text(message, n)) <= limit)
    return characters(_text(message, rows), limit)


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} {at.tzname() or ''}".rstrip()


def _text(message: Message, rows: int) -> str:
    table = [" | ".join(line(cell) for cell in cells) for cells in message.rows[:rows]]
    if table and message.columns:
        table.insert(0, " | ".join(line(column) for column in message.columns))
    table.append(left_out(message.omitted + len(message.rows) - rows))
    parts = [
        headline(message, 1_000),
        clean(message.summary).strip(),
        "\n".join([f"State: {state(message)}", *(f"{line(label)}: {line(value)}" for label, value in message.facts)]),
        "\n".join(row for row in table if row),
        "\n".join(f"{line(label)}: {line(address)}" for label, address in message.links),
    ]
    return "\n\n".join(part for part in parts if part)
