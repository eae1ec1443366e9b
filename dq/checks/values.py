"""The values of one column: not NULL, one of a set, within a range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import ClassVar

from attrs import field, frozen

from dq.checks.kind import PredicateKind, bad_column
from dq.model.measure import In, Literal_, Present, Range


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


def _values(value: Literal_ | Iterable[Literal_]) -> tuple[Literal_, ...]:
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


@frozen
class OneOf(PredicateKind):
    """The column has one of the values. A NULL is a violation unless ``nulls=`` says otherwise.

    Attributes:
        column: its name.
        values: numbers, strings, booleans, dates.
    """

    column: str
    values: tuple[Literal_, ...] = field(converter=_values)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if not self.values:
            yield "OneOf has no values, so no row could be good"
        yield from _bad_literals(self.values)

    @property
    def predicate_form(self) -> In:
        """TRUE where the value is in the set."""
        return In(self.column, self.values)

    def __str__(self) -> str:
        shown = ", ".join(repr(v) if isinstance(v, str) else str(v) for v in self.values[:8])
        more = len(self.values) - 8
        return f"{self.column} is one of {shown}" + (f" and {more} more" if more > 0 else "")


@frozen
class Between(PredicateKind):
    """The column lies from ``low`` to ``high``, both included; None leaves an end open.

    Attributes:
        column: its name.
        low: the least good value.
        high: the greatest good value.
    """

    column: str
    low: Literal_ | None
    high: Literal_ | None

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        ends = [end for end in (self.low, self.high) if end is not None]
        if not ends:
            yield "Between has neither a low nor a high end"
        yield from _bad_literals(ends)
        try:
            if len(ends) == 2 and ends[0] > ends[1]:  # type: ignore[operator]  # a mixed pair raises TypeError
                yield f"Between({self.low!r}, {self.high!r}) is empty: the first is above the second"
        except TypeError:
            yield f"Between({self.low!r}, {self.high!r}) mixes two types"

    @property
    def predicate_form(self) -> Range:
        """TRUE within the range."""
        return Range(self.column, self.low, self.high)

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.column} <= {self.high}"
        if self.high is None:
            return f"{self.column} >= {self.low}"
        return f"{self.column} between {self.low} and {self.high}"


def _bad_literals(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        if value is None:
            yield 'None is no value to compare with; say nulls="pass" if a NULL is good'
        elif not isinstance(value, bool | int | float | Decimal | str | date):
            yield f"{value!r} is not a number, string, boolean or date"
        elif isinstance(value, float | Decimal) and (value != value or abs(value) == float("inf")):
            yield f"{value!r} is not a finite number"
