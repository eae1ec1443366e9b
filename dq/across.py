"""Keys across two datasources: what one table has and another, in another database, has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from dq.checks.kind import alike, whole
from dq.datasource import Datasource
from dq.model.errors import GuardError
from dq.model.measure import Absentees, Measure
from dq.sql.statements import Compiler


def absent(
    measure: Measure, compiler: Compiler, here: Datasource, there: Datasource
) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Yield the values of the group columns and the number of absent keys, or of their rows.

    Both databases list each key once; those of the other table are held in memory, those of this one flow past.

    Raises:
        DqError: when the user's SQL is refused, or one of the databases cannot be asked.
    """
    of = measure.of
    assert isinstance(of, Absentees)  # noqa: S101  # by the caller
    whole_values = of.distinct or of.counted or of.reverse
    if whole_values and compiler.columns:
        raise GuardError("the values of two tables are compared as a whole, not by group; take by= away")
    known = _keys(there, compiler.at(of.other, ()).keys_of(measure, other=True))
    groups = len(compiler.columns)
    if whole_values:
        theirs = {(key, n) if of.counted else key for _, key, n in known}
        mine = {(key, n) if of.counted else key for _, key, n in _keys(here, compiler.keys_of(measure, other=False))}
        yield (), len(theirs - mine if of.reverse else mine - theirs)
        return
    listed = {key for _, key, _ in known}
    found: Counter[tuple[Any, ...]] = Counter()
    for group, key, n in _keys(here, compiler.keys_of(measure, other=False), groups):
        found[group] += n if (key in listed) is of.negated else 0
    yield from found.items() if groups else [((), found[()])]


def absent_keys(
    measure: Measure, compiler: Compiler, here: Datasource, there: Datasource
) -> Iterator[tuple[Any, ...]]:
    """Yield the keys that :func:`absent` counts the rows of, each after its group.

    Raises:
        DqError: as there.
    """
    of = measure.of
    assert isinstance(of, Absentees)  # noqa: S101  # by the caller
    listed = {key for _, key, _ in _keys(there, compiler.at(of.other, ()).keys_of(measure, other=True))}
    groups = len(compiler.columns)
    for rows in here.stream(compiler.keys_of(measure, other=False)):
        yield from (tuple(row[:-1]) for row in rows if (_key(row[groups:-1]) in listed) is of.negated)


def _keys(source: Datasource, sql: str, groups: int = 0) -> Iterator[tuple[tuple[Any, ...], Hashable, int]]:
    for rows in source.stream(sql):
        for row in rows:
            yield tuple(row[:groups]), _key(row[groups:-1]), whole(row[-1]) or 0


def _key(values: Sequence[Any]) -> Hashable:
    return tuple(alike(value) for value in values) if len(values) > 1 else alike(values[0])
