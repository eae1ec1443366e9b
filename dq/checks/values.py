"""The values of one column: NULL or not, one of a set or none of it, within a range or outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from attrs import field, frozen

from dq.checks.kind import ColumnKind, as_values, bad_literals
from dq.model.predicate import Absent, In, Present, Range, Scalar

Ends = Literal["both", "low", "high", "neither"]
_SHOWN = 8


@frozen
class NotNull(ColumnKind):
    """The column is not NULL.

    Attributes:
        column: its name, as the database knows it.
    """

    nulls: ClassVar[bool] = False

    @property
    def predicate_form(self) -> Present:
        """TRUE where the column is there."""
        return Present((self.column,))

    def __str__(self) -> str:
        return f"{self.column} is not NULL"


@frozen
class IsNull(ColumnKind):
    """The column is NULL.

    Attributes:
        column: its name, as the database knows it.
    """

    nulls: ClassVar[bool] = False

    @property
    def predicate_form(self) -> Absent:
        """TRUE where the column is NULL."""
        return Absent((self.column,))

    def __str__(self) -> str:
        return f"{self.column} is NULL"


def shown_values(values: Sequence[object]) -> str:
    """Return the first of the values as people read them, and a count of the others."""
    shown = ", ".join(repr(v) if isinstance(v, str) else str(v) for v in values[:_SHOWN])
    more = len(values) - _SHOWN
    return shown + (f" and {more} more" if more > 0 else "")


@frozen
class _Set(ColumnKind):
    """What the kinds share that look for the value in a set."""

    negated: ClassVar[bool] = False
    in_vain: ClassVar[str]
    values: tuple[Scalar, ...] = field(converter=as_values)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if not self.values:
            yield f"{type(self).__name__} has no values, so {self.in_vain}"
        yield from bad_literals(self.values)

    @property
    def predicate_form(self) -> In:
        """TRUE where the value is in the set, or, for the kind that says so, is not."""
        return In(self.column, self.values, self.negated)

    def __str__(self) -> str:
        return f"{self.column} is {'none' if self.negated else 'one'} of {shown_values(self.values)}"


@frozen
class OneOf(_Set):
    """The column has one of the values. A NULL is a violation unless ``nulls=`` says otherwise.

    Attributes:
        column: its name.
        values: numbers, strings, booleans, dates.
    """

    in_vain: ClassVar[str] = "no row could be good"


@frozen
class NoneOf(_Set):
    """The column has none of the values. A NULL is a violation unless ``nulls=`` says otherwise.

    Attributes:
        column: its name.
        values: numbers, strings, booleans, dates.
    """

    negated: ClassVar[bool] = True
    in_vain: ClassVar[str] = "every row would be good"


@frozen
class Between(ColumnKind):
    """The column lies from ``low`` to ``high``; None leaves an end open.

    Attributes:
        column: its name.
        low: the least good value.
        high: the greatest good value.
        ends: which ends are good values themselves: ``"both"``, ``"low"``, ``"high"`` or ``"neither"``.
    """

    low: Scalar | None
    high: Scalar | None
    ends: Ends = field(default="both", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        yield from _bad_range("Between", self.low, self.high, self.ends)

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
class NotBetween(ColumnKind):
    """The column lies below ``low`` or above ``high``.

    Attributes:
        column: its name.
        low, high: the range that no value may lie in.
        ends: which ends belong to that range: ``"both"``, ``"low"``, ``"high"`` or ``"neither"``.
    """

    low: Scalar
    high: Scalar
    ends: Ends = field(default="both", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        yield from _bad_range("NotBetween", self.low, self.high, self.ends)

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


def _bad_range(kind: str, low: Scalar | None, high: Scalar | None, ends: str) -> Iterator[str]:
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
