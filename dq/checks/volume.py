"""RowCount: how many rows there are."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from dq.checks.kind import ValueKind
from dq.model.measure import Measure


@frozen
class RowCount(ValueKind):
    """The number of rows of the partition (after ``where=``) is within bounds."""

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the number of rows."""
        return {"rows": Measure("rows", where=where), "value": Measure("rows", where=where)}

    def __str__(self) -> str:
        return "number of rows"
