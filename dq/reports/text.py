"""Plain text: cleaned, clipped, wrapped, and in aligned tables."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

WIDTH = 100
_GAP = "  "


def clean(text: str, limit: int) -> str:
    """Return ``text`` on one line, without control and direction characters, its middle left out beyond ``limit``.

    Both ends stay, because names that differ often differ at one of them.
    """
    seen = "".join("\N{REPLACEMENT CHARACTER}" if _hidden(c) else c for c in " ".join(text.split()))
    if len(seen) <= limit:
        return seen
    tail = limit // 3
    return f"{seen[: limit - tail - 3]}...{seen[-tail:]}"


def short_time(at: datetime) -> str:
    """Return a time as a mail tells it, in UTC, e.g. ``"18 Nov 05:02"``."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%b %H:%M}"


def wrap(text: str, indent: str = "") -> list[str]:
    """Return the lines of ``text`` at the width of a report; the second and later ones are indented."""
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> list[str]:
    """Return the lines of an aligned table.

    Headings wrap at words. A table that would be too wide is cut into several, each with the first columns again.

    Args:
        headings: one per column.
        rows: the cells; every row as long as ``headings``.
        left: how many first columns are names: aligned to the left and repeated; the others are numbers.
    """
    body = [tuple(row) for row in rows]
    widths = [
        max([*map(_width, heading.split()), *(_width(row[i]) for row in body)], default=0)
        for i, heading in enumerate(headings)
    ]
    lines: list[str] = []
    names = list(range(left))
    for numbers in _parts(widths, left):
        chosen = names + numbers
        wrapped = [textwrap.wrap(headings[i], widths[i], break_on_hyphens=False) for i in chosen]
        height = max(map(len, wrapped))
        head = [[""] * (height - len(words)) + words for words in wrapped]
        lines += [""] if lines else []
        rule = ["-" * widths[i] for i in chosen]
        for cells in (*zip(*head, strict=True), rule, *([row[i] for i in chosen] for row in body)):
            padded = (_pad(cell, widths[i], right=i >= left) for cell, i in zip(cells, chosen, strict=True))
            lines.append(_GAP.join(padded).rstrip())
    return lines


def _parts(widths: Sequence[int], left: int) -> list[list[int]]:
    room = WIDTH - sum(widths[:left]) - len(_GAP) * left
    parts: list[list[int]] = [[]]
    used = 0
    for i in range(left, len(widths)):
        if parts[-1] and used + widths[i] > room:
            parts.append([])
            used = 0
        parts[-1].append(i)
        used += widths[i] + len(_GAP)
    return parts


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn"}


def _width(text: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _pad(text: str, width: int, *, right: bool) -> str:
    blank = " " * (width - _width(text))
    return blank + text if right else text + blank
