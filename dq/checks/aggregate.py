"""Aggregate: a number of the user's own making."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from attrs import frozen

from dq.checks.kind import ValueKind
from dq.model.measure import Measure


@frozen
class Aggregate(ValueKind):
    """An aggregate of the partition is within bounds; NULLs are left out as SQL does.

    Attributes:
        sql: one aggregate expression, e.g. ``"sum(amount)"`` or ``"avg(price) / max(price)"``; may hold Jinja.
    """

    sql: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not isinstance(self.sql, str) or not self.sql.strip():
            yield f"Aggregate({self.sql!r}) needs one aggregate expression such as sum(amount)"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows and the aggregate."""
        return {"rows": Measure("rows", where=where), "value": Measure("aggregate", self.sql, where)}

    def __str__(self) -> str:
        return " ".join(self.sql.split())
