"""What is still allowed: a tolerance for row kinds, bounds for value kinds, one rung per severity."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from attrs import evolve, frozen

from dq.model.duration import format_duration, parse_duration
from dq.model.errors import DeclarationError
from dq.model.severity import Severity

End = int | float | Decimal | str | timedelta | date
"""How the end of a range is written: a number, a duration (``"90m"``), a date or a time."""


@frozen
class Tolerance:
    """Violations allowed by a row kind. It is exact, and broken when *exceeded*.

    Attributes:
        limit: a whole number of rows, or an exact share of the rows in (0, 1).
        is_share: whether ``limit`` is a share.
    """

    limit: Fraction
    is_share: bool

    @classmethod
    def of(cls, value: object) -> Tolerance:
        """Return the tolerance that ``value`` spells: int = count; ``"1%"`` or a float in (0, 1) = share.

        Raises:
            DeclarationError: when it is neither.
        """
        if isinstance(value, Tolerance):
            return value
        if isinstance(value, Bounds):
            raise DeclarationError(
                f"bounds ({value}) do not fit a kind that counts rows; give a tolerance such as 0 or '1%'"
            )
        if isinstance(value, int) and not isinstance(value, bool):
            if value < 0:
                raise DeclarationError(f"the tolerance {value} is negative")
            return cls(Fraction(value), is_share=False)
        share = None
        if isinstance(value, str) and value.endswith("%"):
            try:
                share = Fraction(value[:-1].strip()) / 100
            except (ValueError, ZeroDivisionError):
                share = None
        elif isinstance(value, float | Decimal):
            share = Fraction(str(value)) if value == value and -1 < value < 1 else Fraction(1)
        if share is None:
            raise DeclarationError(f"{value!r} is not a tolerance; an int is a count of rows, '1%' or 0.01 is a share")
        if not 0 < share < 1:
            raise DeclarationError(
                f"the tolerance {value!r} is not a share between 0 and 1; write a count as an int (0 allows none)"
            )
        return cls(share, is_share=True)

    def exceeded(self, violations: int | Decimal | Fraction, rows: int | Decimal | Fraction) -> bool:
        """Return whether ``violations`` of ``rows`` rows are more than it allows.

        A share of no rows is exceeded by any violation at all.
        """
        above, below = self.limit.as_integer_ratio()  # whole numbers are much faster than fractions
        if isinstance(violations, Decimal) or isinstance(rows, Decimal):  # a product would be rounded
            violations, rows = Fraction(violations), Fraction(rows)
        return violations * below > (above * rows if self.is_share else above)

    def wider_than(self, other: Tolerance) -> bool:
        """Return whether it allows more than ``other``."""
        return self.limit > other.limit

    def __str__(self) -> str:
        if not self.is_share:
            return str(int(self.limit))
        return f"{float(self.limit * 100):.10g}%"


Value = Fraction | timedelta | datetime
"""What a value kind measures: a number, exactly; a duration; or a time, aware and in UTC."""


@frozen
class Bounds:
    """The range a value must lie in; an end that is None is open.

    Attributes:
        low: the least allowed value (a number, a duration or a time).
        high: the greatest allowed value.
        low_open, high_open: whether that end itself is not allowed.
        outside: the range is what is *not* allowed.
    """

    low: Value | None
    high: Value | None
    low_open: bool = False
    high_open: bool = False
    outside: bool = False

    def holds(self, value: Value) -> bool:
        """Return whether ``value`` is allowed.

        Raises:
            TypeError: when a number is held against durations or the other way round.
        """
        low_ok = self.low is None or self.low < value or (self.low == value and not self.low_open)  # type: ignore[operator]  # mixed kinds: see Raises
        high_ok = self.high is None or value < self.high or (self.high == value and not self.high_open)  # type: ignore[operator]  # as above
        return (low_ok and high_ok) is not self.outside

    @property
    def unit(self) -> Literal["number", "duration", "time"]:
        """What the ends are."""
        end = self.low if self.low is not None else self.high
        return "duration" if isinstance(end, timedelta) else "time" if isinstance(end, datetime) else "number"

    def wider_than(self, other: Bounds) -> bool:
        """Return whether it allows everything that ``other`` allows, and more."""
        if self.outside is not other.outside:
            return False
        wide, narrow = (other, self) if self.outside else (self, other)
        return wide != narrow and _holds_low(wide, narrow) and _holds_high(wide, narrow)

    def __str__(self) -> str:
        if self.outside:
            return f"not {evolve(self, outside=False)}"
        if self.low == self.high:
            return f"exactly {_show(self.low)}"
        if self.low is None:
            return f"{'below' if self.high_open else 'at most'} {_show(self.high)}"
        if self.high is None:
            return f"{'above' if self.low_open else 'at least'} {_show(self.low)}"
        if self.low_open or self.high_open:
            low, high = "above" if self.low_open else "at least", "below" if self.high_open else "at most"
            return f"{low} {_show(self.low)} and {high} {_show(self.high)}"
        return f"between {_show(self.low)} and {_show(self.high)}"


def _holds_low(wide: Bounds, narrow: Bounds) -> bool:
    if wide.low is None or narrow.low is None:
        return wide.low is None
    return wide.low < narrow.low or (wide.low == narrow.low and (narrow.low_open or not wide.low_open))  # type: ignore[operator]  # ladders of one unit only


def _holds_high(wide: Bounds, narrow: Bounds) -> bool:
    if wide.high is None or narrow.high is None:
        return wide.high is None
    return narrow.high < wide.high or (wide.high == narrow.high and (narrow.high_open or not wide.high_open))  # type: ignore[operator]  # as above


def _show(value: Value | None) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if value is None:
        return "anything"
    return format_value(value)


def format_value(value: Value) -> str:
    """Return ``value`` as people read it."""
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, datetime):
        shown = value.replace(tzinfo=None)
        return shown.date().isoformat() if shown.time() == time() else shown.isoformat(" ")
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.10g}"


def as_time(value: date) -> datetime:
    """Return a date, or a time, as an aware time in UTC: a date is its midnight, a time without a zone is in UTC."""
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _end(value: End) -> Value:
    if isinstance(value, str | timedelta):
        return parse_duration(value)
    if isinstance(value, date):
        return as_time(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:
        raise DeclarationError(f"{value!r} is not a number, a duration or a date")
    if abs(value) == float("inf"):
        raise DeclarationError("an infinite bound says nothing; leave that end open with at_least or at_most")
    return Fraction(str(value))


def at_least(value: End) -> Bounds:
    """Return bounds that hold from ``value`` (a number, a date or time, or a duration such as ``"1h"``) upwards."""
    return Bounds(_end(value), None)


def at_most(value: End) -> Bounds:
    """Return bounds that hold up to and including ``value`` (a number, a date or time, or a duration)."""
    return Bounds(None, _end(value))


def above(value: End) -> Bounds:
    """Return bounds that hold above ``value``, which is not allowed itself."""
    return Bounds(_end(value), None, low_open=True)


def below(value: End) -> Bounds:
    """Return bounds that hold below ``value``, which is not allowed itself."""
    return Bounds(None, _end(value), high_open=True)


def exactly(value: End) -> Bounds:
    """Return bounds that hold for ``value`` alone."""
    return between(value, value)


def between(low: End, high: End, *, low_open: bool = False, high_open: bool = False) -> Bounds:
    """Return bounds that hold from ``low`` to ``high``, both included unless an end is open.

    Raises:
        DeclarationError: when nothing lies between them, or they are of two kinds.
    """
    ends = _end(low), _end(high)
    if type(ends[0]) is not type(ends[1]):
        raise DeclarationError(f"between({low!r}, {high!r}) mixes two kinds of value")
    if ends[0] > ends[1]:  # type: ignore[operator]  # same kind, just checked
        raise DeclarationError(f"between({low!r}, {high!r}) is empty: the first is above the second")
    if ends[0] == ends[1] and (low_open or high_open):
        raise DeclarationError(f"between({low!r}, {high!r}) is empty: both ends are the same, and one is open")
    return Bounds(*ends, low_open=low_open, high_open=high_open)


def outside(low: End, high: End, *, low_open: bool = False, high_open: bool = False) -> Bounds:
    """Return bounds that hold everywhere but from ``low`` to ``high``; an end that is open is allowed.

    Raises:
        DeclarationError: as for ``between``.
    """
    return evolve(between(low, high, low_open=low_open, high_open=high_open), outside=True)


Rung = tuple[Severity, Tolerance | Bounds]
Ladder = tuple[Rung, ...]


def ladder(rungs: dict[Severity, object], parse: Callable[[object], Tolerance | Bounds]) -> Ladder:
    """Return the rungs from mild to severe, each wider than the one before.

    Args:
        rungs: the thresholds as declared, by severity.
        parse: turns one declared threshold into its value.

    Raises:
        DeclarationError: when counts and shares are mixed, or a severer rung allows no more than a milder one.
    """
    parsed = tuple((severity, parse(rungs[severity])) for severity in sorted(rungs))
    for (mild, a), (severe, b) in pairwise(parsed):
        if isinstance(a, Tolerance) and isinstance(b, Tolerance):
            if a.is_share is not b.is_share:
                raise DeclarationError(f"the thresholds mix a count and a share: {mild} {a}, {severe} {b}")
            ordered = b.wider_than(a)
        else:
            assert isinstance(a, Bounds)  # noqa: S101  # one parser makes one kind
            assert isinstance(b, Bounds)  # noqa: S101  # as above
            if a.unit != b.unit:
                raise DeclarationError(f"the thresholds mix a {a.unit} and a {b.unit}: {mild} {a}, {severe} {b}")
            ordered = b.wider_than(a)
        if not ordered:
            raise DeclarationError(f"the thresholds are out of order: {severe} ({b}) must allow more than {mild} ({a})")
    return parsed
