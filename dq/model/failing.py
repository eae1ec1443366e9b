"""Failing rows: which rows broke a check, as far as they may be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from attrs import field, frozen

from dq.model.table import words

MOST_SHOWN = 1_000
"""The greatest number of failing rows that may be asked for; a table of all of them is what ``quarantine`` is for."""

MOST_ORGS = 10
"""Of so many orgs of a check, the worst, rows are shown."""

Masking = Literal["redact", "hash", "keep"]
MASKINGS: tuple[str, ...] = get_args(Masking)


@frozen
class ShowRows:
    """What is shown of the rows that break a check, beside their key.

    Attributes:
        columns: further columns that may be shown; one whose tag says so is masked.
        most: how many rows are shown at most, of each org as many; 0: only the query that lists them.
        always: show them also where the tolerance is not exceeded.
    """

    columns: tuple[str, ...] = field(default=(), converter=words)
    most: int = 5
    always: bool = False

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with it, a clause each."""
        for column in self.columns:
            if not isinstance(column, str) or not column:
                yield f"ShowRows: {column!r} is not the name of a column"
        if isinstance(self.most, bool) or not isinstance(self.most, int) or not 0 <= self.most <= MOST_SHOWN:
            yield f"ShowRows(most={self.most!r}) is not a number of rows up to {MOST_SHOWN}"


@frozen
class FailingRows:
    """Some of the rows that break a check.

    Attributes:
        columns: the group columns, the key, and what else may be shown.
        rows: values as JSON has them, already masked.
        query: the statement that lists all of them; None where no single statement can.
        problem: why they could not be listed.
        more: how many more there are; None where that is not known.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    query: str | None = None
    problem: str | None = None
    more: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON form."""
        return {
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
            "query": self.query,
            "problem": self.problem,
            "more": self.more,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> FailingRows:
        """Return what ``to_json`` made ``document`` of."""
        rows = tuple(tuple(row) for row in document["rows"])
        more = document.get("more")  # what an older dq stored does not have it
        return cls(tuple(document["columns"]), rows, document["query"], document["problem"], more)
