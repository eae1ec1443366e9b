"""The values of one column: NULL or not, one of a set or none of it, within a range or outside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Literal

from attrs import field, frozen

from dq.checks.kind import PredicateKind, bad_column, bad_literals
from dq.model.predicate import Absent, In, Present, Range, Scalar

Ends = Literal["both", "low", "high", "neither"]
_SHOWN = 8


@frozen
class NotNull(PredicateKind):
    """The column is not NULL.

    Attributes:
        column: its name, as the database knows it.
    """

    nulls: ClassVar[bool] = False
    column: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)

    @property
    def predicate_form(self) -> Present:
        """TRUE where the column is there."""
        return Present((self.column,))

    def __str__(self) -> str:
        return f"{self.column} is not NULL"


@frozen
class IsNull(PredicateKind):
    """The column is NULL.

    Attributes:
        column: its name, as the database knows it.
    """

    nulls: ClassVar[bool] = False
    column: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)

    @property
    def predicate_form(self) -> Absent:
        """TRUE where the column is NULL."""
        return Absent((self.column,))

    def __str__(self) -> str:
        return f"{self.column} is NULL"


def _values(value: Scalar | Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


def shown_values(values: Sequence[object]) -> str:
    """Return the first of the values as people read them, and a count of the others."""
    shown = ", ".join(repr(v) if isinstance(v, str) else str(v) for v in values[:_SHOWN])
    more = len(values) - _SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


@frozen
class OneOf(PredicateKind):
    """The column has one of the values. A NULL is a violation unless ``nulls=`` says otherwise.

    Attributes:
        column: its name.
        values: numbers, strings, booleans, dates.
    """

    column: str
    values: tuple[Scalar, ...] = field(converter=_values)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if not self.values:
            yield "OneOf has no values, so no row could be good"
        yield from bad_literals(self.values)

    @property
    def predicate_form(self) -> In:
        """TRUE where the value is in the set."""
        return In(self.column, self.values)

    def __str__(self) -> str:
        return f"{self.column} is one of {shown_values(self.values)}"


@frozen
class NoneOf(PredicateKind):
    """The column has none of the values. A NULL is a violation unless ``nulls=`` says otherwise.

    Attributes:
        column: its name.
        values: numbers, strings, booleans, dates.
    """

    column: str
    values: tuple[Scalar, ...] = field(converter=_values)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if not self.values:
            yield "NoneOf has no values, so every row would be good"
        yield from bad_literals(self.values)

    @property
    def predicate_form(self) -> In:
        """TRUE where the value is not in the set."""
        return In(self.column, self.values, negated=True)

    def __str__(self) -> str:
        return f"{self.column} is none of {shown_values(self.values)}"


@frozen
class Between(PredicateKind):
    """The column lies from ``low`` to ``high``; None leaves an end open.

    Attributes:
        column: its name.
        low: the least good value.
        high: the greatest good value.
        ends: which ends are good values themselves: ``"both"``, ``"low"``, ``"high"`` or ``"neither"``.
    """

    column: str
    low: Scalar | None
    high: Scalar | None
    ends: Ends = field(default="both", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from _bad_range("Between", self.column, self.low, self.high, self.ends)

    @property
    def predicate_form(self) -> Range:
        """TRUE within the range."""
        return Range(self.column, self.low, self.high, *_open(self.ends))

    def __str__(self) -> str:
        low_open, high_open = _open(self.ends)
        if self.low is None:
            return f"{self.column} {'<' if high_open else '<='} {self.high}"
        if self.high is None:
            return f"{self.column} {'>' if low_open else '>='} {self.low}"
        return f"{self.column} between {self.low} and {self.high}{_said(self.ends)}"


@frozen
class NotBetween(PredicateKind):
    """The column lies below ``low`` or above ``high``.

    Attributes:
        column: its name.
        low, high: the range that no value may lie in.
        ends: which ends belong to that range: ``"both"``, ``"low"``, ``"high"`` or ``"neither"``.
    """

    column: str
    low: Scalar
    high: Scalar
    ends: Ends = field(default="both", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from _bad_range("NotBetween", self.column, self.low, self.high, self.ends)

    @property
    def predicate_form(self) -> Range:
        """TRUE outside the range."""
        return Range(self.column, self.low, self.high, *_open(self.ends), negated=True)

    def __str__(self) -> str:
        return f"{self.column} not between {self.low} and {self.high}{_said(self.ends)}"


def _open(ends: Ends) -> tuple[bool, bool]:
    return ends not in ("both", "low"), ends not in ("both", "high")


def _said(ends: Ends) -> str:
    return {"both": "", "low": " (without the latter)", "high": " (without the former)", "neither": " (without both)"}[
        ends
    ]


def _bad_range(kind: str, column: str, low: Scalar | None, high: Scalar | None, ends: str) -> Iterator[str]:
    yield from bad_column(column)
    given = [end for end in (low, high) if end is not None]
    if not given:
        yield f"{kind} has neither a low nor a high end"
    yield from bad_literals(given)
    if ends not in ("both", "low", "high", "neither"):
        yield f'ends={ends!r} is not one of "both", "low", "high", "neither"'
    try:
        if len(given) == 2 and given[0] > given[1]:  # type: ignore[operator]  # a mixed pair raises TypeError
            yield f"{kind}({low!r}, {high!r}) is empty: the first is above the second"
    except TypeError:
        yield f"{kind}({low!r}, {high!r}) mixes two types"
