"""ZScore: no value lies too many standard deviations from the mean."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from attrs import field, frozen

from dq.checks.kind import ColumnKind
from dq.model.predicate import Near


@frozen
class ZScore(ColumnKind):
    """Every value lies no more than ``most`` sample standard deviations from the mean of the partition (or org).

    Attributes:
        column: a number.
        most: how many standard deviations.
        both: values far below the mean are violations as well as those far above.
    """

    most: int | float | Decimal
    both: bool = field(default=True, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if isinstance(self.most, bool) or not isinstance(self.most, int | float | Decimal) or not self.most > 0:
            yield f"{self.most!r} is not a number of standard deviations above zero"

    @property
    def predicate_form(self) -> Near:
        """TRUE near the mean."""
        return Near(self.column, self.most, self.both)

    def __str__(self) -> str:
        side = "from" if self.both else "above"
        return f"{self.column} lies within {self.most} standard deviations {side} the mean"
