"""Unique: no two rows share a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from attrs import frozen

from dq.checks.kind import RowKind, bad_column
from dq.model.measure import Measure, Present


@frozen(init=False)
class Unique(RowKind):
    """No two rows have the same values in the columns.

    A violation is every row that shares its key with another one. A key with a NULL in it is no violation; such
    rows are counted as unknown.

    Attributes:
        columns: one column name or several.
    """

    nulls: ClassVar[bool] = False
    columns: tuple[str, ...]

    def __init__(self, *columns: str) -> None:
        self.__attrs_init__(columns)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not self.columns:
            yield "Unique needs at least one column"
        for column in self.columns:
            yield from bad_column(column)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, those that share a key, and those whose key has a NULL."""
        return {
            "rows": Measure("rows", where=where),
            "violations": Measure("duplicates", self.columns, where),
            "unknown": Measure("violations", Present(self.columns), where),
        }

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} {'is' if len(self.columns) == 1 else 'are'} unique"
