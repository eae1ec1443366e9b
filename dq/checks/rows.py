"""Rows: any boolean SQL over one row."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from dq.checks.kind import PredicateKind
from dq.model.predicate import Sql


@frozen
class Rows(PredicateKind):
    """Every row makes ``predicate`` TRUE.

    Attributes:
        predicate: one boolean SQL expression in the dialect of the datasource; may hold Jinja such as ``{{ ds }}``.
    """

    predicate: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not isinstance(self.predicate, str) or not self.predicate.strip():
            yield f"Rows({self.predicate!r}) needs one boolean SQL expression"

    @property
    def predicate_form(self) -> Sql:
        """The predicate in the words of the user."""
        return Sql(self.predicate)

    def __str__(self) -> str:
        return " ".join(self.predicate.split())
