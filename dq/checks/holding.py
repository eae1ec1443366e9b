"""How many rows hold the demand of another kind, as a share or a number that bounds are given for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import ClassVar

from attrs import frozen

from dq.checks.kind import PredicateKind, ValueKind, whole
from dq.model.measure import Measure
from dq.model.reading import Moment, Numbers, Valued


@frozen
class _Holding(ValueKind):
    """What the kinds share that count the rows that hold another one."""

    all_rows: ClassVar[str]
    kind: PredicateKind

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        given: object = self.kind
        if isinstance(given, PredicateKind):
            yield from given.problems()
        else:
            yield f"{type(self).__name__} takes a kind that is one predicate, e.g. NotNull('id'), not {given!r}"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, and those that do not hold: the measures of the kind itself, so both are read once."""
        return {
            self.all_rows: Measure("rows", where=where),
            "bad": Measure("violations", self.kind.predicate_form, where),
        }

    def _held(self, numbers: Numbers) -> tuple[int, int]:
        """Return how many rows hold it, and of how many."""
        rows = whole(numbers.get(self.all_rows)) or 0
        return rows - (whole(numbers.get("bad")) or 0), rows


@frozen
class Share(_Holding):
    r"""The share of the rows that hold the demand of another kind is within bounds: ``Share(NotNull("email"))``.

    A row for which the demand is unknown, because of a NULL, does not hold it. It says what a tolerance cannot: that a
    share may be too high, e.g. ``Share(Rows("refunded"))`` with ``between(0.01, 0.05)``.

    Attributes:
        kind: one predicate, e.g. ``Rows("amount > 0")``, ``Matches("ssn", r"^\d{9}$")``.
    """

    all_rows: ClassVar[str] = "rows"

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the share; None where there is no row."""
        held, rows = self._held(numbers)
        return Valued(Fraction(held, rows) if rows else None)

    def __str__(self) -> str:
        return f"the share of rows where {self.kind}"


@frozen
class Count(_Holding):
    """The number of rows that hold the demand of another kind is within bounds: ``Count(IsNull("paid_at"))``.

    A row for which the demand is unknown, because of a NULL, does not hold it.

    Attributes:
        kind: one predicate, e.g. ``Rows("amount > 0")``.
    """

    all_rows: ClassVar[str] = "all"  # not "rows": where where= leaves none, 0 is a number to judge

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the number."""
        return Valued(Fraction(self._held(numbers)[0]))

    def __str__(self) -> str:
        return f"the number of rows where {self.kind}"
