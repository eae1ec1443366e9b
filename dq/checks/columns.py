"""Several columns of one row: compared, taken together, added up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import get_args

from attrs import field, frozen

from dq.checks.kind import PredicateKind, as_columns, bad_column, bad_literals
from dq.checks.values import shown_values
from dq.model.predicate import Compared, Operator, Scalar, SumIs, TupleIn


@frozen
class Compare(PredicateKind):
    """``left operator right`` holds between two columns, e.g. ``Compare("paid", "<=", "amount")``.

    Attributes:
        left, right: the names of the columns.
        operator: ``=``, ``<>``, ``<``, ``<=``, ``>`` or ``>=``.
    """

    left: str
    operator: Operator
    right: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.left)
        yield from bad_column(self.right)
        if self.operator not in get_args(Operator):
            yield f"{self.operator!r} is not one of {', '.join(get_args(Operator))}"

    @property
    def predicate_form(self) -> Compared:
        """TRUE where it holds."""
        return Compared(self.left, self.operator, self.right)

    def __str__(self) -> str:
        return f"{self.left} {self.operator} {self.right}"


def _tuples(values: Iterable[Iterable[Scalar]]) -> tuple[tuple[Scalar, ...], ...]:
    return tuple(tuple(value) for value in values)


@frozen
class TogetherOneOf(PredicateKind):
    """The columns together have one of the combinations of values.

    Attributes:
        columns: two names or more.
        values: the combinations, a value per column each.
    """

    columns: tuple[str, ...] = field(converter=as_columns)
    values: tuple[tuple[Scalar, ...], ...] = field(converter=_tuples)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        for column in self.columns:
            yield from bad_column(column)
        if not self.values:
            yield "TogetherOneOf has no values, so no row could be good"
        for value in self.values:
            if len(value) != len(self.columns):
                yield f"{value!r} does not have a value for each of {', '.join(self.columns)}"
            yield from bad_literals(value)

    @property
    def predicate_form(self) -> TupleIn:
        """TRUE where the combination is there."""
        return TupleIn(self.columns, self.values)

    def __str__(self) -> str:
        return f"({', '.join(self.columns)}) is one of {shown_values(self.values)}"


@frozen
class AddUp(PredicateKind):
    """The columns of a row add up to a number, or to another column.

    Attributes:
        columns: what is added.
        total: a number, or the name of a column.
        within: how far the sum may be off, e.g. ``0.005`` for sums of floating-point numbers.
        null_is_zero: a NULL in a column that is added counts as zero.
    """

    columns: tuple[str, ...] = field(converter=as_columns)
    total: int | float | Decimal | str
    within: int | float | Decimal = field(default=0, kw_only=True)
    null_is_zero: bool = field(default=False, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not self.columns:
            yield "AddUp needs at least one column"
        for column in self.columns:
            yield from bad_column(column)
        if isinstance(self.total, str):
            yield from bad_column(self.total)
        elif isinstance(self.total, bool) or not isinstance(self.total, int | float | Decimal):
            yield f"{self.total!r} is neither a number nor the name of a column"
        if isinstance(self.within, bool) or not isinstance(self.within, int | float | Decimal) or self.within < 0:
            yield f"within={self.within!r} is not a number of at least zero"

    @property
    def predicate_form(self) -> SumIs:
        """TRUE where they add up."""
        return SumIs(self.columns, self.total, self.within, self.null_is_zero)

    def __str__(self) -> str:
        off = f" within {self.within}" if self.within else ""
        return f"{' + '.join(self.columns)} = {self.total}{off}"
