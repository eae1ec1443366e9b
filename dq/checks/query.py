"""Query: bad rows found by a query of the user's own. QueryValue: a number that one returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from attrs import frozen

from dq.checks.kind import RowKind, ValueKind
from dq.model.measure import Measure
from dq.model.predicate import Predicate


@frozen
class Query(RowKind):
    """A SELECT that returns the bad rows; every row it returns is a violation.

    It runs on the datasource of the suite's table. Narrow it to the partition with Jinja: ``{{ ds }}``,
    ``{{ data_interval_start }}``, ``{{ data_interval_end }}``. In a grouped check it must return the group columns.

    Attributes:
        sql: one SELECT.
    """

    shares: ClassVar[bool] = False
    sql: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not isinstance(self.sql, str) or not self.sql.strip():
            yield f"Query({self.sql!r}) needs one SELECT that returns the bad rows"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the number of rows that the query returns."""
        return {"violations": Measure("query", self.sql, where)}

    def failing(self) -> Predicate | Measure | None:
        """Return the measure of the rows that the query returns."""
        return Measure("query", self.sql)

    def __str__(self) -> str:
        return "no rows from: " + _shortened(self.sql)


@frozen
class QueryValue(ValueKind):
    """The one number that a SELECT returns is within bounds.

    It runs on the datasource of the suite's table, and may look at any table of it. Narrow it to the partition with
    Jinja: ``{{ ds }}``, ``{{ data_interval_start }}``, ``{{ data_interval_end }}``. In a grouped check it must return
    the group columns before the number.

    Attributes:
        sql: one SELECT of one row.
    """

    needs_rows: ClassVar[bool] = False
    sql: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not isinstance(self.sql, str) or not self.sql.strip():
            yield f"QueryValue({self.sql!r}) needs one SELECT that returns a number"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the number."""
        return {"value": Measure("number", self.sql, where)}

    def __str__(self) -> str:
        return "the number from: " + _shortened(self.sql)


def _shortened(sql: str) -> str:
    text = " ".join(sql.split())
    return text if len(text) <= 120 else text[:119] + "…"
