"""What the kinds share: one base for those that count violating rows, one for those that measure a value."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from types import NoneType
from typing import ClassVar, Literal, Self

from attrs import frozen

from dq.model.errors import MeasureError
from dq.model.measure import Measure
from dq.model.predicate import Absent, AllDiffer, Predicate, Present, Scalar, Sql
from dq.model.reading import Counted, Moment, Numbers, Valued, Wanted


class _Kind:
    """What all kinds share, unless they say otherwise; see :class:`dq.model.check.Kind`."""

    nulls: ClassVar[bool] = False
    noun: ClassVar[str] = "row"
    needs_rows: ClassVar[bool] = True
    of_table: ClassVar[bool] = False
    late: ClassVar[tuple[str, ...]] = ()

    @property
    def remembers(self) -> Wanted | Literal["recorded"] | None:
        """It is judged by itself."""
        return None

    def recalled(self, recorded: object) -> Self:  # noqa: ARG002  # few kinds measure by what was recorded
        """Return it as it is."""
        return self

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from ()

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the measures by role."""
        raise NotImplementedError

    def failing(self) -> Predicate | Measure | None:
        """Return what tells the failing rows: the predicate they do not make TRUE, or the measure that counts them.

        None: it has no failing rows to show.
        """
        return None


class RowKind(_Kind):
    """A kind that counts the rows that violate it."""

    judged: ClassVar[Literal["violations", "value"]] = "violations"
    shares: ClassVar[bool] = True

    def needs_late(self, numbers: Numbers) -> bool:
        """Return whether the measures in ``late`` are needed, now that the others are known."""
        return bool(numbers.get("violations"))

    def count(self, numbers: Numbers, moment: Moment) -> Counted:  # noqa: ARG002  # some kinds ask for the moment
        """Return what was counted.

        Raises:
            MeasureError: when the numbers are not what they should be.
        """
        violations = whole(numbers.get("violations")) or 0
        rows = whole(numbers.get("rows")) or 0 if "rows" in numbers else None
        unknown = whole(numbers.get("unknown")) or 0 if rows is not None else None
        return Counted(violations, rows, min(unknown, violations) if unknown is not None else None)

    def value(self, numbers: Numbers, moment: Moment) -> Valued:
        """Row kinds measure no value."""
        raise NotImplementedError


class PredicateKind(RowKind):
    """A row kind that is one predicate."""

    nulls: ClassVar[bool] = True
    late: ClassVar[tuple[str, ...]] = ("unknown",)

    @property
    def predicate_form(self) -> Predicate:
        """The predicate that a good row makes TRUE."""
        raise NotImplementedError

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows looked at, those that are not TRUE, and those of them that are NULL, where that can be."""
        form = self.predicate_form
        measures = {"rows": Measure("rows", where=where), "violations": Measure("violations", form, where)}
        if isinstance(form, Present | Absent | AllDiffer):
            return measures
        if isinstance(form, Sql):
            return measures | {"unknown": Measure("unknown", form, where)}
        if not form.unknown_if_null:
            return measures
        return measures | {"unknown": Measure("violations", Present(form.unknown_if_null), where)}

    def failing(self) -> Predicate | Measure | None:
        """Return the predicate."""
        return self.predicate_form


@frozen
class ColumnKind(PredicateKind):
    """A row kind that is one predicate about one column.

    Attributes:
        column: its name.
    """

    column: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)


class ValueKind(_Kind):
    """A kind that measures one value."""

    judged: ClassVar[Literal["violations", "value"]] = "value"
    shares: ClassVar[bool] = False
    units: ClassVar[tuple[str, ...]] = ("number",)

    def needs_late(self, numbers: Numbers) -> bool:  # noqa: ARG002  # some kinds look at them
        """Return whether the measures in ``late`` are needed, now that the others are known."""
        return False

    def count(self, numbers: Numbers, moment: Moment) -> Counted:
        """Value kinds count no violations."""
        raise NotImplementedError

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # some kinds ask for the moment
        """Return what was measured.

        Raises:
            MeasureError: when it is no finite number.
            NotJudgedError: when it cannot be judged yet.
        """
        return Valued(number(numbers.get("value")))


def number(value: object) -> Fraction | None:
    """Return a number that a database gave, exactly; None where SQL gave NULL.

    Raises:
        MeasureError: when it is no finite number.
    """
    if value is None:
        return None
    try:
        return Fraction(value) if isinstance(value, bool | int) else Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        # Sentences go to chat, and a text may be a row's own: the greatest of a column, say.
        found = repr(value) if isinstance(value, float | Decimal) else "something"
        raise MeasureError(f"it measured {found}, which is not a finite number") from None


def whole(value: object) -> int | None:
    """Return a count that a database gave; some give it as an exact decimal or as text."""
    return None if value is None else int(value) if isinstance(value, int | float | Decimal) else int(str(value))


def alike(value: object) -> Hashable:
    """Return what is equal for equal values, whatever type a database gives them."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return Decimal(repr(value))  # the decimal that names it, as in a statement: 0.1 is what a decimal column holds
    if isinstance(value, int | float | Decimal):
        return value if value == value else "NaN"  # Python compares and hashes them by their exact value
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return value.isoformat(" ").removesuffix(" 00:00:00")
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, str | bytes | NoneType) else str(value)


def bad_column(column: object) -> Iterator[str]:
    """Yield what is wrong with the name of a column."""
    if not isinstance(column, str) or not column:
        yield f"{column!r} is not the name of a column"


def bad_literals(values: Iterable[object]) -> Iterator[str]:
    """Yield what is wrong with values that are written into a statement."""
    for value in values:
        if value is None:
            yield 'None is no value to compare with; say nulls="pass" if a NULL is good'
        elif not isinstance(value, bool | int | float | Decimal | str | date):
            yield f"{value!r} is not a number, string, boolean or date"
        elif isinstance(value, float | Decimal) and (value != value or abs(value) == float("inf")):
            yield f"{value!r} is not a finite number"


def as_columns(columns: str | Iterable[str]) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    return (columns,) if isinstance(columns, str) else tuple(columns)


def as_values(values: Scalar | Iterable[Scalar]) -> tuple[Scalar, ...]:
    """Return one value or several as a tuple."""
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else (values,)
