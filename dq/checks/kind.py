"""What the kinds share: one base for those that count violating rows, one for those that measure a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from typing import ClassVar, Literal

from dq.model.errors import MeasureError
from dq.model.measure import Measure, Predicate


class RowKind:
    """A kind that counts the rows that violate it."""

    judged: ClassVar[Literal["violations", "value"]] = "violations"
    nulls: ClassVar[bool] = True
    shares: ClassVar[bool] = True

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from ()

    def value(self, number: object, now: datetime) -> Fraction | timedelta | None:
        """Row kinds measure no value."""
        raise NotImplementedError


class PredicateKind(RowKind):
    """A row kind that is one predicate."""

    @property
    def predicate_form(self) -> Predicate:
        """The predicate that a good row makes TRUE."""
        raise NotImplementedError

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows looked at, those that are not TRUE, and those of them that are NULL, where that can be."""
        measures = {
            "rows": Measure("rows", where=where),
            "violations": Measure("violations", self.predicate_form, where),
        }
        return measures | ({"unknown": Measure("unknown", self.predicate_form, where)} if self.nulls else {})


class ValueKind:
    """A kind that measures one number."""

    judged: ClassVar[Literal["violations", "value"]] = "value"
    nulls: ClassVar[bool] = False
    shares: ClassVar[bool] = False

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from ()

    def value(self, number: object, now: datetime) -> Fraction | timedelta | None:  # noqa: ARG002  # ages need it
        """Return the number to judge, exactly; None where SQL gave NULL.

        Raises:
            MeasureError: when it is no finite number.
        """
        if number is None:
            return None
        try:
            return Fraction(str(number)) if not isinstance(number, bool) else Fraction(number)
        except (ValueError, ZeroDivisionError):
            raise MeasureError(f"it measured {number!r}, which is not a finite number") from None


def bad_column(column: object) -> Iterator[str]:
    """Yield what is wrong with the name of a column."""
    if not isinstance(column, str) or not column:
        yield f"{column!r} is not the name of a column"
