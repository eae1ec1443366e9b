"""Keys across two datasources: what one table has and another, in another database, has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from dq.checks.kind import alike, whole
from dq.datasource import Datasource
from dq.model.measure import Measure, absentees_of
from dq.sql.statements import Compiler


def absent(
    measure: Measure, compiler: Compiler, here: Datasource, there: Datasource
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yield the values of the group columns and the number of absent keys, or of their rows.

    Both databases list each key once; those of the other table are held in memory, those of this one flow past.

    Raises:
        DqError: when the user's SQL is refused, or one of the databases cannot be asked.
    """
    of = absentees_of(measure)
    if of.of_values:
        theirs, mine = (
            {(key, n) if of.counted else key for key, n in _keys(source, sql)}
            for source, sql in zip((there, here), reversed(compiler.keys_of(measure)), strict=True)
        )
        yield (), len(theirs - mine if of.reverse else mine - theirs)
        return
    groups = len(compiler.columns)
    found: Counter[tuple[Any, ...]] = Counter() if groups else Counter({(): 0})
    for row in _absent_rows(measure, compiler, here, there):
        found[tuple(row[:groups])] += whole(row[-1]) or 0
    yield from found.items()


def absent_keys(
    measure: Measure, compiler: Compiler, here: Datasource, there: Datasource
) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that :func:`absent` counts the rows of, each after its group.

    Raises:
        DqError: as there.
    """
    return (tuple(row[:-1]) for row in _absent_rows(measure, compiler, here, there))


def _absent_rows(
    measure: Measure, compiler: Compiler, here: Datasource, there: Datasource
) -> Iterator[Sequence[Any]]:
    """Yield the group, the key and the number of its rows for each key that is a violation."""
    of, groups = absentees_of(measure), len(compiler.columns)
    mine, theirs = compiler.keys_of(measure)
    listed = {key for key, _ in _keys(there, theirs)}
    for rows in here.stream(mine):
        yield from (row for row in rows if (_key(row[groups:-1]) in listed) is of.negated)


def _keys(source: Datasource, sql: str) -> Iterator[tuple[Hashable, int]]:
    for rows in source.stream(sql):
        for row in rows:
            yield _key(row[:-1]), whole(row[-1]) or 0


def _key(values: Sequence[Any]) -> Hashable:
    return tuple(alike(value) for value in values) if len(values) > 1 else alike(values[0])
