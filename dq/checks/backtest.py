"""Backtest: how often a threshold would have fired, from the numbers that were measured. Pure.

Each partition is judged as it would have been on its day: it sees older partitions only, and which of those had failed
is what the thresholds that are tried say of them, not what was said then.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from attrs import evolve, frozen

from dq.checks.judge import rejudge
from dq.model.check import Check
from dq.model.errors import DeclarationError
from dq.model.group import By, Group
from dq.model.reading import Kept, Past
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.model.thresholds import Bounds, above, at_least, at_most, below, between, exactly, outside

_MADE = {f.__name__: f for f in (above, at_least, at_most, below, between, exactly, outside)}


@frozen
class Replayed:
    """What would have come of one partition.

    Attributes:
        kept: the number, and what came of it then.
        result: what would have come of it.
    """

    kept: Kept
    result: Result


@frozen
class Backtest:
    """What would have come of one check.

    Attributes:
        check: with the thresholds that were tried.
        replayed: a partition each, of each org, the oldest first.
        by: its group columns.
    """

    check: Check
    replayed: tuple[Replayed, ...]
    by: By | None = None

    @property
    def judged(self) -> int:
        """How many partitions there was something to hold against."""
        return sum(one.result.outcome is not Outcome.SKIP for one in self.replayed)

    @property
    def fired(self) -> tuple[Replayed, ...]:
        """The partitions that would have been not well."""
        return tuple(one for one in self.replayed if one.result.severity is not None)

    def count(self, severity: Severity) -> int:
        """Return how often it would have fired with that severity."""
        return sum(one.result.severity is severity for one in self.replayed)


def backtest(check: Check, kept: Iterable[Kept], since: datetime | None = None, by: By | None = None) -> Backtest:
    """Return what would have come of the partitions of a check.

    Args:
        check: with the thresholds to try.
        kept: its numbers.
        since: only partitions from that time on are told of; older ones are still the history of those.
        by: its group columns.
    """
    past: dict[Group | None, list[Past]] = {}
    replayed: list[Replayed] = []
    for one in sorted(kept, key=lambda k: k.interval.start):
        before = past.setdefault(one.group, [])
        result = rejudge(check, one, tuple(before), by)
        before.append(evolve(one, outcome=result.outcome, severity=result.severity).past)
        if since is None or one.interval.start >= since:
            replayed.append(Replayed(one, result))
    return Backtest(check, tuple(replayed), by)


def with_thresholds(check: Check, texts: Sequence[str]) -> Check:
    """Return ``check`` with other thresholds.

    Args:
        check: a check.
        texts: thresholds as they are declared: ``warning=at_least(10)``, ``critical=5%``, ``0``; error by default.

    Raises:
        DeclarationError: when one of them cannot be read, or they do not fit the check.
    """
    if not texts:
        return check
    rungs: dict[str, Any] = dict.fromkeys(map(str, Severity))
    for text in texts:
        named = re.fullmatch(r"\s*(\w+)\s*=(?!=)(.*)", text, re.DOTALL)
        severity, said = (named[1], named[2]) if named else ("error", text)
        rungs[str(Severity.of(severity))] = _threshold(said.strip())
    made = evolve(check, tolerance=None, severity=None, **rungs)
    for problem in made.problems():
        raise DeclarationError(f"check {check.name!r}: {problem}")
    return made


def _threshold(text: str) -> Bounds | int | str:
    if re.fullmatch(r"\d+", text):
        return int(text)
    if text.endswith("%"):
        return text
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            ends = [_end(ast.literal_eval(one)) for one in call.args]
            options = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
            return _MADE[call.func.id](*ends, **options)
    except (SyntaxError, ValueError, TypeError, KeyError):
        pass
    raise DeclarationError(f"{text!r} is not a threshold; write e.g. 5, 1%, at_least(10) or between(-20, 20)")


def _end(value: Any) -> Any:
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d", value):
        return datetime.fromisoformat(value) if len(value) > len("2024-06-26") else date.fromisoformat(value)
    return value
