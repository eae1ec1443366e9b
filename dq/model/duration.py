"""Durations as people write them: ``"2h30m"``, ``"15m"``, ``"28d"``."""

from __future__ import annotations

import re
from datetime import timedelta

from dq.model.errors import DeclarationError

LONGEST = timedelta(days=36_525)
"""A hundred years: with more, a time minus a duration may be none."""

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_WHOLE = re.compile(r"(?:\d+[wdhms])+")
_PART = re.compile(r"(\d+)([wdhms])")


def parse_duration(text: str | timedelta) -> timedelta:
    """Return the duration that ``text`` spells, e.g. ``"2h30m"`` (units w, d, h, m, s).

    Raises:
        DeclarationError: when it is not a positive duration of that form, or longer than ``LONGEST``.
    """
    if isinstance(text, timedelta):
        value = text
    elif isinstance(text, str) and _WHOLE.fullmatch(text):
        seconds = sum(int(n) * _UNITS[unit] for n, unit in _PART.findall(text))
        value = timedelta(seconds=min(seconds, 2 * LONGEST.days * _UNITS["d"]))
    else:
        raise DeclarationError(f'{text!r} is not a duration; write it like "15m", "2h30m" or "28d"')
    if value <= timedelta(0):
        raise DeclarationError(f"the duration {text!r} is not longer than zero")
    if value > LONGEST:
        raise DeclarationError(f"the duration {text!r} is longer than a hundred years")
    return value


def format_duration(value: timedelta) -> str:
    """Return ``value`` as people write it, its two largest units: ``"3h40m"``, ``"2d"``, ``"0s"``."""
    seconds = round(abs(value.total_seconds()))
    parts: list[str] = []
    for unit, size in _UNITS.items():
        if unit != "w" and seconds >= size:
            parts.append(f"{seconds // size}{unit}")
            seconds %= size
    sign = "-" if value < timedelta(0) and parts else ""
    return sign + ("".join(parts[:2]) or "0s")
