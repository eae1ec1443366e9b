"""Freshness: how old the newest row of the table is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar

from attrs import frozen

from dq.checks.kind import ValueKind, bad_column
from dq.model.errors import MeasureError
from dq.model.measure import Measure


@frozen
class Freshness(ValueKind):
    """The age of the newest value of a time column, at the time of the run, is within bounds.

    It looks at the whole table, not at the partition: a run for an old partition asks the same question as today's.
    A time without a zone is read as UTC, a date as its midnight.

    Attributes:
        column: the time column, e.g. ``"loaded_at"``.
    """

    measures_age: ClassVar[bool] = True
    column: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the newest value."""
        return {"value": Measure("newest", self.column, where)}

    def value(self, number: object, now: datetime) -> timedelta | None:
        """Return the age of the newest value ``number`` at ``now``.

        Raises:
            MeasureError: when it is no time.
        """
        if number is None:
            return None
        if isinstance(number, str):
            try:
                number = datetime.fromisoformat(number)
            except ValueError:
                raise MeasureError(f"the newest {self.column} is {number!r}, which is not an ISO time") from None
        if isinstance(number, date) and not isinstance(number, datetime):
            number = datetime.combine(number, time())
        if not isinstance(number, datetime):
            raise MeasureError(f"the newest {self.column} is {number!r}, which is not a time")
        return now - (number if number.tzinfo else number.replace(tzinfo=UTC))

    def __str__(self) -> str:
        return f"age of the newest {self.column}"
