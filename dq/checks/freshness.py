"""Freshness: how old the newest row of the table is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import ClassVar

from attrs import frozen

from dq.checks.kind import ValueKind, bad_column
from dq.model.errors import MeasureError
from dq.model.measure import Measure
from dq.model.reading import Moment, Numbers, Valued
from dq.model.thresholds import as_time


@frozen
class Freshness(ValueKind):
    """The age of the newest value of a time column, at the time of the run, is within bounds.

    It looks at the whole table, not at the partition: a run for an old partition asks the same question as today's.
    A time without a zone is read as UTC, a date as its midnight.

    Attributes:
        column: the time column, e.g. ``"loaded_at"``.
    """

    units: ClassVar[tuple[str, ...]] = ("duration",)
    column: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the newest value."""
        return {"value": Measure("newest", self.column, where)}

    def value(self, numbers: Numbers, moment: Moment) -> Valued:
        """Return the age of the newest value.

        Raises:
            MeasureError: when it is no time.
        """
        newest = numbers.get("value")
        if newest is None:
            return Valued(None)
        if isinstance(newest, str):
            try:
                newest = datetime.fromisoformat(newest)
            except ValueError:
                raise MeasureError(f"the newest {self.column} is a text that is not an ISO time") from None
        if not isinstance(newest, date):
            raise MeasureError(f"the newest {self.column} is not a time")
        return Valued(moment.now - as_time(newest))

    def __str__(self) -> str:
        return f"age of the newest {self.column}"
