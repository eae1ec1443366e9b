"""What is known of each column: counts, ends, quantiles, lengths, values, formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from attrs import evolve, field, frozen

from dq.checks.kind import whole
from dq.datasource import Column, Datasource
from dq.execute import measured
from dq.model.errors import MeasureError
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS, Frequencies, Measure, Stat
from dq.model.predicate import Pattern, Present
from dq.model.table import Table
from dq.sql.engine import Engine
from dq.sql.names import table_parts
from dq.sql.statements import Compiler
from dq.suggest.catalogue import Family, Keys, family_of, keys_of
from dq.suggest.formats import FORMATS, ISO_DATE, ISO_TIME, JSON, Format
from dq.suggest.personal import is_personal

FEW_VALUES = 20
"""Up to how many different values are listed."""

_WITH_ENDS: tuple[Family, ...] = ("integer", "number", "time", "date")


@frozen
class ColumnProfile:
    """What is known of a column.

    Attributes:
        name: as the database has it.
        type: as the database calls it.
        family: what can be asked of it.
        rows: how many rows were looked at.
        nulls: how many of them have no value.
        distinct: how many different values there are; None: not known.
        low, high: the least and greatest value of a number, a date or a time.
        quantiles: the values below which 1% and 99% of the numbers lie.
        shortest, longest: characters of a text.
        values: the values and how many rows have them, where there are few.
        formats: the share of the values that have a format, by its name.
        personal: whether it looks as if it held personal data, so that no value of it is written anywhere.
    """

    name: str
    type: str
    family: Family
    rows: int = 0
    nulls: int = 0
    distinct: int | None = None
    low: Any = None
    high: Any = None
    quantiles: tuple[Any, Any] | None = None
    shortest: int | None = None
    longest: int | None = None
    values: tuple[tuple[Any, int], ...] = ()
    formats: Mapping[str, float] = field(factory=dict)
    personal: bool = False

    @property
    def filled(self) -> int:
        """How many rows have a value."""
        return self.rows - self.nulls

    @property
    def is_time(self) -> bool:
        """Whether it is a date or a time, also one that SQLite keeps as ISO text."""
        return self.family in ("time", "date")


@frozen
class Profile:
    """What is known of a table.

    Attributes:
        table: what was looked at.
        interval: which partition of it, where it has a partition column.
        rows: how many rows there are in all.
        columns: in the order of the table.
        keys: what its catalogue says of keys.
        sample: the share of the rows from which the columns were learned; None: all of them.
    """

    table: Table
    interval: Interval
    rows: int
    columns: tuple[ColumnProfile, ...]
    keys: Keys
    sample: Fraction | None = None

    def column(self, name: str) -> ColumnProfile:
        """Return the column ``name``."""
        return next(column for column in self.columns if column.name == name)


def profile(
    connect: Callable[[str], Datasource],
    compile_for: Callable[[Table], Compiler],
    table: Table,
    interval: Interval,
    sample: Fraction | None = None,
) -> Profile:
    """Return what is known of ``table``: one shared pass, then what is worth asking for of its columns.

    Args:
        connect: opens a datasource by name, once.
        compile_for: gives the compiler for a table, of ``interval``.
        table: what is looked at.
        interval: which partition, where the table has a partition column.
        sample: the share of the rows, between 0 and 1, from which columns are learned; None: all.

    Raises:
        MeasureError: when the table is not there, cannot be read, or has no rows.
    """
    source = connect(table.datasource)
    parts = table_parts(table.name)
    columns = [ColumnProfile(c.name, c.type, family_of(c.type)) for c in _columns(source, parts, table)]
    ask = _Asked(compile_for(_sampled(table, source.dialect, sample)), connect)
    ask(_first(columns))
    rows = ask.count(PARTITION_ROWS)
    if not rows:
        day = "" if table.partition is None else f" on {interval}"
        chosen = "" if table.where is None and sample is None else " that were chosen"
        raise MeasureError(f"table {table.name} has no rows{day}{chosen}, so nothing can be learned from it")
    columns = [_with_first(column, ask, rows) for column in columns]
    ask(measure for column in columns for measure in _second(column))
    columns = [_with_second(column, ask, source.dialect) for column in columns]
    everything = rows
    if sample is not None:
        numbers, _ = measured(compile_for(table), connect, [PARTITION_ROWS])
        everything = whole(numbers.get(PARTITION_ROWS)) or 0
    return Profile(table, interval, everything, tuple(columns), keys_of(source, parts), sample)


def _columns(source: Datasource, parts: tuple[str, ...], table: Table) -> Iterator[Column]:
    names = {table.partition}
    found = source.columns(parts)
    for name in names - {None} - {column.name for column in found}:
        raise MeasureError(f"table {table.name} has no column {name}; it has {', '.join(c.name for c in found)}")
    yield from found


def _sampled(table: Table, dialect: str, sample: Fraction | None) -> Table:
    if sample is None:
        return table
    only = Engine(dialect).chosen(sample)
    return evolve(table, where=only if table.where is None else f"({table.where}) AND {only}")


@frozen
class _Asked:
    compiler: Compiler
    connect: Callable[[str], Datasource]
    known: dict[Measure, Any] = field(factory=dict)

    def __call__(self, measures: Iterable[Measure]) -> None:
        numbers, errors = measured(self.compiler, self.connect, (m for m in measures if m not in self.known))
        if PARTITION_ROWS in errors:
            raise MeasureError(errors[PARTITION_ROWS])
        self.known.update(numbers)

    def count(self, measure: Measure) -> int:
        return whole(self.known.get(measure)) or 0

    def stat(self, function: Any, column: str, at: float | None = None) -> Any:
        return self.known.get(Measure("stat", Stat(function, (column,), at)))


def _first(columns: Iterable[ColumnProfile]) -> Iterator[Measure]:
    """Yield the counts and ends, which share a pass, and the different values of each column, which do not."""
    yield PARTITION_ROWS
    for column in columns:
        yield Measure("violations", Present((column.name,)))
        if column.family in _WITH_ENDS:
            yield from (Measure("stat", Stat(end, (column.name,))) for end in ("min", "max"))
        if column.family == "text":
            yield from (Measure("stat", Stat(end, (column.name,))) for end in ("min_length", "max_length"))
        if column.family != "other":
            yield Measure("stat", Stat("distinct", (column.name,)))


def _with_first(column: ColumnProfile, ask: _Asked, rows: int) -> ColumnProfile:
    name = column.name
    return evolve(
        column,
        rows=rows,
        nulls=ask.count(Measure("violations", Present((name,)))),
        distinct=whole(ask.stat("distinct", name)),
        low=ask.stat("min", name),
        high=ask.stat("max", name),
        shortest=whole(ask.stat("min_length", name)),
        longest=whole(ask.stat("max_length", name)),
    )


def _fitting(column: ColumnProfile) -> Iterator[Format]:
    if column.family == "text" and column.longest:
        for one in (*FORMATS, JSON):
            if column.longest >= one.shortest and (column.shortest or 0) <= one.longest:
                yield one


def _matched(column: ColumnProfile, one: Format) -> Measure:
    return Measure("matches", Pattern(column.name, "regex", (one.pattern,)))


def _listed(column: ColumnProfile) -> Measure:
    return Measure("frequencies", Frequencies(column.name, limit=FEW_VALUES))


def _second(column: ColumnProfile) -> Iterator[Measure]:
    """Yield what is worth asking for, now that it is known what the column is like."""
    if column.distinct is not None and column.distinct <= FEW_VALUES and column.family in ("text", "integer"):
        yield _listed(column)
    if column.family in ("integer", "number"):
        yield from (Measure("stat", Stat("quantile", (column.name,), at)) for at in (0.01, 0.99))
    yield from (_matched(column, one) for one in _fitting(column))


def _with_second(column: ColumnProfile, ask: _Asked, dialect: str) -> ColumnProfile:
    ends = ask.stat("quantile", column.name, 0.01), ask.stat("quantile", column.name, 0.99)
    filled = max(1, column.filled)
    formats = {one.name: ask.count(_matched(column, one)) / filled for one in _fitting(column)}
    made = evolve(
        column,
        quantiles=None if None in ends else ends,
        values=tuple((row[0], whole(row[1]) or 0) for row in ask.known.get(_listed(column)) or ()),
        formats=formats,
        personal=is_personal(column.name, formats),
    )
    if dialect == "sqlite" and column.family == "text" and column.filled:  # it keeps times as text
        if formats.get(ISO_DATE.name) == 1:
            return evolve(made, family="date")
        if formats.get(ISO_TIME.name) == 1:
            return evolve(made, family="time")
    return made
