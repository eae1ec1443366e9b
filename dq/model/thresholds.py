"""What is still allowed: a tolerance for row kinds, bounds for value kinds, one rung per severity."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from attrs import frozen

from dq.model.duration import format_duration, parse_duration
from dq.model.errors import DeclarationError
from dq.model.severity import Severity

Number = int | float | Decimal


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
        return Fraction(violations) > (self.limit * Fraction(rows) if self.is_share else self.limit)

    def wider_than(self, other: Tolerance) -> bool:
        """Return whether it allows more than ``other``."""
        return self.limit > other.limit

    def __str__(self) -> str:
        if not self.is_share:
            return str(int(self.limit))
        return f"{float(self.limit * 100):.10g}%"


@frozen
class Bounds:
    """The closed range a value must lie in; an end that is None is open.

    Attributes:
        low: the least allowed value (a number, or a duration).
        high: the greatest allowed value.
    """

    low: Fraction | timedelta | None
    high: Fraction | timedelta | None

    def holds(self, value: Fraction | timedelta) -> bool:
        """Return whether ``value`` lies within.

        Raises:
            TypeError: when a number is held against durations or the other way round.
        """
        low_ok = self.low is None or self.low <= value  # type: ignore[operator]  # mixed kinds: see Raises
        high_ok = self.high is None or value <= self.high  # type: ignore[operator]  # as above
        return low_ok and high_ok

    @property
    def is_duration(self) -> bool:
        """Whether the ends are durations."""
        return isinstance(self.low if self.low is not None else self.high, timedelta)

    def wider_than(self, other: Bounds) -> bool:
        """Return whether it allows everything that ``other`` allows, and more."""

        def at_most(a: Fraction | timedelta | None, b: Fraction | timedelta | None) -> bool:
            return a is None or (b is not None and a <= b)  # type: ignore[operator]  # ladders of one kind only

        low_ok = at_most(self.low, other.low)
        high_ok = self.high is None or (other.high is not None and at_most(other.high, self.high))
        return low_ok and high_ok and self != other

    def __str__(self) -> str:
        if self.low == self.high:
            return f"exactly {_show(self.low)}"
        if self.low is None:
            return f"at most {_show(self.high)}"
        if self.high is None:
            return f"at least {_show(self.low)}"
        return f"between {_show(self.low)} and {_show(self.high)}"


def _show(value: Fraction | timedelta | None) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if value is None:
        return "anything"
    return str(value.numerator) if value.denominator == 1 else f"{float(value):.10g}"


def _end(value: Number | str | timedelta) -> Fraction | timedelta:
    if isinstance(value, str | timedelta):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or value != value:
        raise DeclarationError(f"{value!r} is not a number or a duration")
    if abs(value) == float("inf"):
        raise DeclarationError("an infinite bound says nothing; leave that end open with at_least or at_most")
    return Fraction(str(value))


def at_least(value: Number | str | timedelta) -> Bounds:
    """Return bounds that hold from ``value`` (a number, or a duration such as ``"1h"``) upwards."""
    return Bounds(_end(value), None)


def at_most(value: Number | str | timedelta) -> Bounds:
    """Return bounds that hold up to and including ``value`` (a number, or a duration)."""
    return Bounds(None, _end(value))


def between(low: Number | str | timedelta, high: Number | str | timedelta) -> Bounds:
    """Return bounds that hold from ``low`` to ``high``, both included.

    Raises:
        DeclarationError: when low is above high, or one is a duration and the other is not.
    """
    ends = _end(low), _end(high)
    if isinstance(ends[0], timedelta) is not isinstance(ends[1], timedelta):
        raise DeclarationError(f"between({low!r}, {high!r}) mixes a number and a duration")
    if ends[0] > ends[1]:  # type: ignore[operator]  # same kind, just checked
        raise DeclarationError(f"between({low!r}, {high!r}) is empty: the first is above the second")
    return Bounds(*ends)


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
            if a.is_duration is not b.is_duration:
                raise DeclarationError(f"the thresholds mix a number and a duration: {mild} {a}, {severe} {b}")
            ordered = b.wider_than(a)
        if not ordered:
            raise DeclarationError(f"the thresholds are out of order: {severe} ({b}) must allow more than {mild} ({a})")
    return parsed
