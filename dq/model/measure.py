"""One number of one relation, apart from any judgement of it.

Equal measures are read once, however many checks and severities want them.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from attrs import frozen

from dq.model.predicate import Predicate, Scalar
from dq.model.table import Table

Function = Literal[
    "min", "max", "sum", "mean", "stddev_sample", "stddev_population", "quantile",
    "min_length", "max_length", "mean_length", "distinct", "repeats", "unique",
]  # fmt: skip


@frozen
class Stat:
    """An aggregate of dq's own, over the values that are not NULL.

    Attributes:
        function: ``distinct`` counts different values, ``unique`` those that occur once, ``repeats`` the rows beyond
            the first of each value; of several columns, rows with a NULL in one of them are left out.
        columns: of what; all but these three take one.
        at: the share below a ``quantile``, from 0 to 1; between two values it is interpolated.
    """

    function: Function
    columns: tuple[str, ...]
    at: int | float | Decimal | None = None


@frozen
class Frequencies:
    """The most common values of a column: a table of value, its rows, and how many different values there are.

    Attributes:
        column: whose values; NULL is none.
        first: values that are listed before all others, where they occur.
        limit: how many are listed; those that tie with the last are listed, too.
        spelled: how values are written in the answer where the column's collation takes several for the same.
    """

    column: str
    first: tuple[Scalar, ...] = ()
    limit: int = 100
    spelled: tuple[Scalar, ...] = ()


@frozen
class Buckets:
    """The rows per stretch of time of the partition: a table of the stretch's number, from 0, and its rows.

    Attributes:
        column: a time column.
        every: how long a stretch is; the first begins with the partition, or ``lookback`` before it.
        lookback: how far before the partition they begin.
    """

    column: str
    every: timedelta
    lookback: timedelta = timedelta(0)


@frozen
class Absentees:
    """The rows whose key is not in another table.

    Attributes:
        columns: the key.
        other: the other table; in another datasource, too.
        other_columns: the key there.
        negated: the rows whose key *is* in the other table.
        distinct: count different keys, not rows, and let NULL equal NULL; else a key with a NULL in it is none.
        counted: a key counts as the same only if it occurs equally often; implies ``distinct``.
        reverse: count what the other table has and this one has not; implies ``distinct``.
    """

    columns: tuple[str, ...]
    other: Table
    other_columns: tuple[str, ...]
    negated: bool = False
    distinct: bool = False
    counted: bool = False
    reverse: bool = False

    @property
    def of_values(self) -> bool:
        """Whether it counts different keys of the whole table, not rows."""
        return self.distinct or self.counted or self.reverse


@frozen
class Elsewhere:
    """A measure of another table, of the same interval where that table has a partition column.

    Attributes:
        table: the other table; in another datasource, too.
        of: what is measured there.
    """

    table: Table
    of: Measure


@frozen
class NullsEqual:
    """A key in which NULL equals NULL.

    Attributes:
        columns: the key.
    """

    columns: tuple[str, ...]


Form = Literal[
    "rows", "violations", "false", "unknown", "matches", "aggregate", "stat", "newest", "duplicates", "query", "number",
    "frequencies", "buckets", "absentees", "elsewhere", "columns",
]  # fmt: skip
Of = Predicate | Stat | Frequencies | Buckets | Absentees | Elsewhere | NullsEqual | str | tuple[str, ...]


@frozen
class Measure:
    """One number (or small table) of the scanned relation.

    Attributes:
        form: ``rows`` counts rows; ``violations`` rows where ``of`` is not TRUE, ``false`` where it is FALSE;
            ``unknown`` rows where ``of`` is NULL; ``matches`` rows where ``of`` is TRUE; ``aggregate`` is an aggregate
            expression of the user; ``stat`` one of dq's own; ``newest`` the maximum of a column over the whole table;
            ``duplicates`` the rows that share the key ``of`` (columns, none NULL unless NULL equals NULL) with another
            row; ``query`` the number of rows that the query ``of`` returns; ``number`` the one number that the query
            ``of`` returns; ``frequencies`` and ``buckets`` are tables; ``absentees`` counts rows without a partner in
            another table; ``elsewhere`` is a measure of another table; ``columns`` the table's columns (name, type,
            whether it may be NULL, None where that is not known), in order.
        of: what is counted; None for ``rows`` and ``columns``.
        where: only the rows for which this predicate is TRUE are looked at.
        sample: only that share of the rows, chosen at random, is looked at; None: all of them.
    """

    form: Form
    of: Of | None = None
    where: str | None = None
    sample: Fraction | None = None

    @property
    def is_columns(self) -> bool:
        """Whether it asks for the columns of a table, here or elsewhere, which no statement of the compiler does."""
        return self.form == "columns" or (isinstance(self.of, Elsewhere) and self.of.of.is_columns)


PARTITION_ROWS = Measure("rows")
"""All rows of the partition, before any ``where=``: none of them means no data."""

TABLES = ("frequencies", "buckets", "columns")
"""The forms whose answer is a tuple of rows, not a number."""

ROW_COUNTS = ("rows", "violations", "false", "unknown", "matches")
"""The forms that count rows by what they are themselves."""

VALUE_COUNTS = ("distinct", "repeats", "unique")
"""The functions that count values, or rows by their values."""

_COUNTS = (*ROW_COUNTS, "duplicates", "query", "absentees")


def absentees_of(measure: Measure) -> Absentees:
    """Return the absent keys that a measure counts.

    Raises:
        TypeError: when it counts something else.
    """
    if not isinstance(measure.of, Absentees):
        raise TypeError(f"a measure of {measure.form} counts no absent keys")
    return measure.of


def none_of(measure: Measure) -> object:
    """Return what a measure is where no row speaks of it: zero for a count, no rows for a table, else None."""
    if measure.form in TABLES:
        return ()
    if isinstance(measure.of, Elsewhere):
        return none_of(measure.of.of)
    of_values = isinstance(measure.of, Stat) and measure.of.function in VALUE_COUNTS
    return 0 if of_values or measure.form in _COUNTS else None
