"""Another table, also in another database: keys that must be there or must not, equal values, rows and numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import ClassVar, Literal

from attrs import field, frozen

from dq.checks.kind import RowKind, ValueKind, as_columns, bad_column, number, whole
from dq.model.errors import MeasureError
from dq.model.measure import Absentees, Elsewhere, Measure
from dq.model.predicate import Predicate, Present
from dq.model.reading import Counted, Moment, Numbers, Valued
from dq.model.table import Table


@frozen
class _Paired(RowKind):
    """What the kinds share that hold columns against those of another table."""

    columns: tuple[str, ...] = field(converter=as_columns)
    other: Table
    other_columns: tuple[str, ...] = field(converter=as_columns)

    @other_columns.default
    def _same(self) -> tuple[str, ...]:
        return self.columns

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_table(self.other)
        if not self.columns:
            yield "it needs at least one column"
        for column in (*self.columns, *self.other_columns):
            yield from bad_column(column)
        if len(self.columns) != len(self.other_columns):
            yield f"{len(self.columns)} columns here do not fit {len(self.other_columns)} there"


@frozen
class _Keys(_Paired):
    """What the kinds share that look for a key in another table."""

    negated: ClassVar[bool] = False

    @property
    def _absentees(self) -> Absentees:
        return Absentees(self.columns, self.other, self.other_columns, negated=self.negated)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, those whose key has a NULL, and those whose key is a violation."""
        return {
            "rows": Measure("rows", where=where),
            "unknown": Measure("violations", Present(self.columns), where),
            "violations": Measure("absentees", self._absentees, where),
        }

    def count(self, numbers: Numbers, moment: Moment) -> Counted:  # noqa: ARG002  # as every kind
        """Return the rows whose key is a violation; a key with a NULL is counted beside them."""
        violations, rows, unknown = (whole(numbers.get(role)) or 0 for role in ("violations", "rows", "unknown"))
        return Counted(violations, rows, unknown)

    def failing(self) -> Predicate | Measure | None:
        """Return the measure of the rows whose key is a violation."""
        return Measure("absentees", self._absentees)


def bad_table(other: object) -> Iterator[str]:
    """Yield what is wrong with another table."""
    if not isinstance(other, Table):
        yield f"{other!r} is not a Table"


@frozen
class Reference(_Keys):
    """Every key is in another table: ``Reference("customer_id", customers, "id")``.

    A key with a NULL in it is no violation; such rows are counted as unknown. Of the other table all rows count,
    unless it has a partition column: then those of the same interval.

    Attributes:
        columns: the key, one name or several.
        other: the other table; it may lie in another datasource.
        other_columns: the key there; by default of the same names.
    """

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} is in {self.other.name} ({', '.join(self.other_columns)})"


@frozen
class NotIn(_Keys):
    """No key is in another table: ``NotIn("email", blocked, "email")``; see ``Reference``.

    Attributes:
        columns: the key, one name or several.
        other: the other table; it may lie in another datasource.
        other_columns: the key there; by default of the same names.
    """

    negated: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} is not in {self.other.name} ({', '.join(self.other_columns)})"


@frozen
class SameAs(_Paired):
    """The different values (of several columns: rows) are those of another table; NULL equals NULL.

    A violation is a value that only one of the two has.

    Attributes:
        columns: what is compared, one name or several.
        other: the other table; it may lie in another datasource.
        other_columns: what is compared there; by default of the same names.
        counted: each value occurs equally often in both.
    """

    shares: ClassVar[bool] = False
    noun: ClassVar[str] = "value"
    counted: bool = field(default=False, kw_only=True)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return what only this table has, and what only the other has."""
        keys = self.columns, self.other, self.other_columns
        return {
            "extra": Measure("absentees", Absentees(*keys, distinct=True, counted=self.counted), where),
            "missing": Measure("absentees", Absentees(*keys, distinct=True, counted=self.counted, reverse=True), where),
        }

    def count(self, numbers: Numbers, moment: Moment) -> Counted:  # noqa: ARG002  # as every kind
        """Return what only one of the two has."""
        extra, missing = (whole(numbers.get(role)) or 0 for role in ("extra", "missing"))
        said = f"{extra} only here, {missing} only there" if extra or missing else None
        return Counted(extra + missing, detail={"extra": extra, "missing": missing}, said=said)

    def __str__(self) -> str:
        often = " equally often" if self.counted else ""
        return f"{', '.join(self.columns)} has the values of {self.other.name}{often}"


@frozen
class Ratio(ValueKind):
    """A number of the table, divided by the same number of another table, is within bounds.

    ``Ratio(raw)`` with ``exactly(1)``: as many rows as the other table. Both may be of the same partition: where the
    other table has a partition column, its rows of the same interval count. No rows there are a division by zero:
    unmeasured, unless there are none here either.

    Attributes:
        other: the other table; it may lie in another datasource.
        measure: an aggregate expression; by default the number of rows.
        other_measure: that of the other table; by default the same.
        as_: ``"ratio"`` divides; ``"difference"`` subtracts the other number.
    """

    other: Table
    measure: str = field(default="count(*)", kw_only=True)
    other_measure: str = field(kw_only=True)
    as_: Literal["ratio", "difference"] = field(default="ratio", kw_only=True)

    @other_measure.default
    def _same(self) -> str:
        return self.measure

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_table(self.other)
        for text in (self.measure, self.other_measure):
            if not isinstance(text, str) or not text.strip():
                yield f"{text!r} is not an aggregate expression such as sum(amount)"
        if self.as_ not in ("ratio", "difference"):
            yield f'as_={self.as_!r} is not "ratio" or "difference"'

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the number of both tables."""
        return {
            "rows": Measure("rows", where=where),
            "here": _asked(self.measure, where),
            "there": Measure("elsewhere", Elsewhere(self.other, _asked(self.other_measure, None))),
        }

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the ratio, or the difference.

        Raises:
            MeasureError: when it divides by zero.
        """
        here, there = number(numbers.get("here")), number(numbers.get("there"))
        if here is None or there is None:
            return Valued(None)
        detail = {"here": plain_number(here), "there": plain_number(there)}
        if self.as_ == "difference":
            return Valued(here - there, detail=detail, said=f"{detail['here']} against {detail['there']}")
        if there == 0:
            if here == 0:
                return Valued(Fraction(1), detail=detail, said="both are zero")
            raise MeasureError(f"{self.other_measure} of {self.other.name} is zero, so there is no ratio")
        return Valued(here / there, detail=detail, said=f"{detail['here']} against {detail['there']}")

    def __str__(self) -> str:
        verb = "divided by" if self.as_ == "ratio" else "minus"
        return f"{_flat(self.measure)} {verb} {_flat(self.other_measure)} of {self.other.name}"


def _asked(measure: str, where: str | None) -> Measure:
    return Measure("rows", where=where) if _flat(measure) == "count(*)" else Measure("aggregate", measure, where)


def _flat(text: str) -> str:
    return " ".join(text.split())


def plain_number(value: Fraction) -> int | float:
    """Return an exact number as JSON has it."""
    return value.numerator if value.denominator == 1 else float(value)
