"""Unique: no two rows share a key; and no two columns of a row share a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from attrs import frozen

from dq.checks.kind import PredicateKind, RowKind, bad_column, whole
from dq.model.measure import Measure, NullsEqual, Stat
from dq.model.predicate import AllDiffer, Predicate, Present
from dq.model.reading import Counted, Moment, Numbers


@frozen(init=False)
class Unique(RowKind):
    """No two rows have the same values in the columns.

    A violation is every row that shares its key with another one. A key with a NULL in it is no violation; such
    rows are counted as unknown.

    Attributes:
        columns: one column name or several.
        nulls_equal: NULL equals NULL, so that two keys with a NULL in the same place can be the same.
    """

    late: ClassVar[tuple[str, ...]] = ("violations",)
    columns: tuple[str, ...]
    nulls_equal: bool

    def __init__(self, *columns: str, nulls_equal: bool = False) -> None:
        self.__attrs_init__(columns, nulls_equal)

    @property
    def _key(self) -> tuple[str, ...] | NullsEqual:
        return NullsEqual(self.columns) if self.nulls_equal else self.columns

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not self.columns:
            yield "Unique needs at least one column"
        for column in self.columns:
            yield from bad_column(column)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, those whose key has a NULL, those that repeat a key, and late those that share one.

        No row that repeats a key proves that it is unique, and costs far less than to count the rows that share one.
        Where NULL equals NULL, no count of different keys tells that.
        """
        if self.nulls_equal:
            return {
                "rows": Measure("rows", where=where),
                "violations": Measure("duplicates", self._key, where),
            }
        return {
            "rows": Measure("rows", where=where),
            "unknown": Measure("violations", Present(self.columns), where),
            "repeats": Measure("stat", Stat("repeats", self.columns), where),
            "violations": Measure("duplicates", self._key, where),
        }

    def needs_late(self, numbers: Numbers) -> bool:
        """Return whether a row repeats a key."""
        return bool(whole(numbers.get("rows" if self.nulls_equal else "repeats")))

    def count(self, numbers: Numbers, moment: Moment) -> Counted:  # noqa: ARG002  # as every kind
        """Return the rows that share a key; a key with a NULL is counted beside them."""
        rows = whole(numbers.get("rows")) or 0
        return Counted(whole(numbers.get("violations")) or 0, rows, whole(numbers.get("unknown")) or 0)

    def failing(self) -> Predicate | Measure | None:
        """Return the measure of the rows that share a key."""
        return Measure("duplicates", self._key)

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} {'is' if len(self.columns) == 1 else 'are'} unique"


@frozen(init=False)
class UniqueWithinRow(PredicateKind):
    """No two of the columns of a row have the same value; a NULL differs from everything.

    Attributes:
        columns: two column names or more.
        nulls_equal: NULL equals NULL, so two of them in a row are a violation.
    """

    nulls: ClassVar[bool] = False
    columns: tuple[str, ...]
    nulls_equal: bool

    def __init__(self, *columns: str, nulls_equal: bool = False) -> None:
        self.__attrs_init__(columns, nulls_equal)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if len(self.columns) < 2:
            yield "UniqueWithinRow needs at least two columns"
        for column in self.columns:
            yield from bad_column(column)

    @property
    def predicate_form(self) -> AllDiffer:
        """TRUE where all of them differ."""
        return AllDiffer(self.columns, self.nulls_equal)

    def __str__(self) -> str:
        return f"{', '.join(self.columns)} differ from each other in every row"
