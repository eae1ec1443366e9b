"""The order of rows: a column that rises, falls or counts on; ranges that do not overlap."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from attrs import field, frozen

from dq.checks.kind import ColumnKind, PredicateKind, as_columns, bad_column, bad_literals
from dq.model.duration import format_duration, parse_duration
from dq.model.predicate import Apart, Ordered


@frozen
class _InOrder(ColumnKind):
    """What the kinds share that hold a row against the one before it."""

    by: tuple[str, ...] = field(converter=as_columns, kw_only=True)
    within: tuple[str, ...] = field(default=(), converter=as_columns, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        for column in (*self.by, *self.within):
            yield from bad_column(column)
        if not self.by:
            yield f"{type(self).__name__} needs by=, the column that says which row is before which"

    def _said(self) -> str:
        return f" by {', '.join(self.by)}" + (f" within {', '.join(self.within)}" if self.within else "")


@frozen
class Increasing(_InOrder):
    """The column rises from row to row, or stays the same.

    Rows with a NULL in it are passed over; ``nulls=`` says what they are themselves.

    Attributes:
        column: its name.
        by: the columns that order the rows; NULL comes last.
        within: the order starts anew for each value of these columns.
        strict: it may not stay the same.
    """

    strict: bool = field(default=False, kw_only=True)

    @property
    def predicate_form(self) -> Ordered:
        """TRUE where it is not below the row before."""
        return Ordered(self.column, self.by, self.within, strict=self.strict)

    def __str__(self) -> str:
        return f"{self.column} {'rises' if self.strict else 'never falls'}{self._said()}"


@frozen
class Decreasing(_InOrder):
    """The column falls from row to row, or stays the same; see ``Increasing``.

    Attributes:
        column: its name.
        by: the columns that order the rows.
        within: the order starts anew for each value of these columns.
        strict: it may not stay the same.
    """

    strict: bool = field(default=False, kw_only=True)

    @property
    def predicate_form(self) -> Ordered:
        """TRUE where it is not above the row before."""
        return Ordered(self.column, self.by, self.within, descending=True, strict=self.strict)

    def __str__(self) -> str:
        return f"{self.column} {'falls' if self.strict else 'never rises'}{self._said()}"


def _step(value: float | Decimal | str | timedelta) -> int | float | Decimal | timedelta:
    return parse_duration(value) if isinstance(value, str) else value


@frozen
class Sequential(_InOrder):
    """The column counts on by ``step`` from row to row, without a gap.

    Attributes:
        column: a number, or a date or time.
        step: by how much, a number or a duration such as ``"1d"``; a number below zero: down.
        by: the columns that order the rows; by default the column itself.
        within: the count starts anew for each value of these columns.
    """

    step: int | float | Decimal | timedelta = field(default=1, converter=_step)
    by: tuple[str, ...] = field(converter=as_columns, kw_only=True)

    @by.default
    def _itself(self) -> tuple[str, ...]:
        return (self.column,)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if isinstance(self.step, timedelta):
            if not self.step or self.step % timedelta(seconds=1):
                yield f"step={self.step!r} is not a whole number of seconds other than zero"
        elif isinstance(self.step, bool) or not isinstance(self.step, int | float | Decimal) or self.step == 0:
            yield f"step={self.step!r} is not a number or duration other than zero"
        else:
            yield from bad_literals([self.step])

    @property
    def predicate_form(self) -> Ordered:
        """TRUE where it is ``step`` further than the row before."""
        if isinstance(self.step, timedelta):
            return Ordered(self.column, self.by, self.within, step=self.step)
        down = self.step < 0
        return Ordered(self.column, self.by, self.within, descending=down, step=-self.step if down else self.step)

    def __str__(self) -> str:
        step = format_duration(self.step) if isinstance(self.step, timedelta) else self.step
        return f"{self.column} counts on by {step}{self._said()}"


@frozen
class NoOverlap(PredicateKind):
    """The ranges ``[low, high)`` of the rows do not overlap.

    Attributes:
        low, high: the columns of the ends.
        within: ranges are held against each other only where these columns agree.
        gaps: between one range and the next there may be a gap (``"allowed"``), there must be none
            (``"forbidden"``), or there must be one (``"required"``).
        empty: whether a range may have the same low and high end.
    """

    low: str
    high: str
    within: tuple[str, ...] = field(default=(), converter=as_columns, kw_only=True)
    gaps: Literal["allowed", "forbidden", "required"] = field(default="allowed", kw_only=True)
    empty: bool = field(default=False, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        for column in (self.low, self.high, *self.within):
            yield from bad_column(column)
        if self.gaps not in ("allowed", "forbidden", "required"):
            yield f'gaps={self.gaps!r} is not one of "allowed", "forbidden", "required"'

    @property
    def predicate_form(self) -> Apart:
        """TRUE where a range begins after all before it."""
        return Apart(self.low, self.high, self.within, self.gaps, self.empty)

    def __str__(self) -> str:
        gaps = {"allowed": "", "forbidden": " and leave no gap", "required": " and leave a gap"}[self.gaps]
        within = f" within {', '.join(self.within)}" if self.within else ""
        return f"the ranges from {self.low} to {self.high} do not overlap{gaps}{within}"
