"""Predicates: what a good row makes TRUE, apart from any engine's SQL.

A form names the columns whose NULL makes it unknown (``unknown_if_null``): a row with a NULL in one of them is never
TRUE, so it is a violation that ``nulls=`` can take out again. ``Sql`` alone has to be asked.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal

from attrs import frozen

Scalar = bool | int | float | Decimal | str | date | datetime
"""A value that can be written into a statement as a literal."""

Operator = Literal["=", "<>", "<", "<=", ">", ">="]


@frozen
class Sql:
    """A predicate in the words of the user: a boolean SQL expression over one row, possibly with Jinja."""

    text: str


@frozen
class Present:
    """True where none of the columns is NULL; never unknown."""

    columns: tuple[str, ...]


@frozen
class Absent:
    """True where every one of the columns is NULL; never unknown."""

    columns: tuple[str, ...]


@frozen
class In:
    """True where the column has one of the values (``negated``: none of them)."""

    column: str
    values: tuple[Scalar, ...]
    negated: bool = False

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Range:
    """True where the column lies from low to high; an end that is None is open, an end that is open leaves itself out.

    ``negated``: true where it lies outside.
    """

    column: str
    low: Scalar | None
    high: Scalar | None
    low_open: bool = False
    high_open: bool = False
    negated: bool = False

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Length:
    """True where the number of characters of the column lies from low to high, both included."""

    column: str
    low: int | None
    high: int | None

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Pattern:
    r"""True where the text matches one of the patterns (``every``: all of them; ``negated``: the opposite).

    Attributes:
        syntax: ``like``: SQL's LIKE, case-sensitive, ``\`` escapes; ``regex``: a regular expression that may match
            anywhere in the text.
        ignore_case: of a regular expression: upper and lower case are the same.
    """

    column: str
    syntax: Literal["like", "regex"]
    patterns: tuple[str, ...]
    every: bool = False
    negated: bool = False
    ignore_case: bool = False

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Json:
    """True where the text of the column is a JSON document."""

    column: str

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Compared:
    """True where ``left operator right`` holds between two columns of a row."""

    left: str
    operator: Operator
    right: str

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.left, self.right)


@frozen
class TupleIn:
    """True where the columns together have one of the tuples of values."""

    columns: tuple[str, ...]
    values: tuple[tuple[Scalar, ...], ...]

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return self.columns


@frozen
class SumIs:
    """True where the columns of a row add up to ``total``, a number or another column, give or take ``within``.

    ``null_is_zero``: a NULL among the columns adds nothing.
    """

    columns: tuple[str, ...]
    total: int | float | Decimal | str
    within: int | float | Decimal = 0
    null_is_zero: bool = False

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        added = () if self.null_is_zero else self.columns
        return (*added, self.total) if isinstance(self.total, str) else added


@frozen
class AllDiffer:
    """True where no two of the columns of a row have the same value.

    A NULL differs from everything, with ``nulls_equal`` from everything but another NULL.
    """

    columns: tuple[str, ...]
    nulls_equal: bool = False


@frozen
class Ordered:
    """True where the column is in order with the row before it; the first row is.

    Attributes:
        column: what is held against the row before; rows with a NULL in it are unknown, and are passed over.
        by: the columns that say which row is before; those with a NULL in it come last.
        within: the order starts anew for each value of these columns.
        descending: it falls; else it rises.
        strict: it may not stay the same.
        step: it rises or falls by exactly that much.
    """

    column: str
    by: tuple[str, ...]
    within: tuple[str, ...] = ()
    descending: bool = False
    strict: bool = False
    step: int | float | Decimal | timedelta | None = None

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Apart:
    """True where the range ``[low, high)`` of a row begins no earlier than every range before it ended.

    Attributes:
        low, high: the columns of the ends.
        within: ranges are held against each other only where these columns agree.
        gaps: whether a range may (``allowed``), may not (``forbidden``) or must (``required``) begin later.
        empty: whether low may equal high.
    """

    low: str
    high: str
    within: tuple[str, ...] = ()
    gaps: Literal["allowed", "forbidden", "required"] = "allowed"
    empty: bool = False

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.low, self.high)


@frozen
class SameCasing:
    """True where every row whose text differs from this one's only by upper and lower case is the same."""

    column: str

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


@frozen
class Near:
    """True where the column lies no more than ``deviations`` sample standard deviations from the mean of all rows.

    Attributes:
        both: below the mean as well as above; else only above.
    """

    column: str
    deviations: int | float | Decimal
    both: bool = True

    @property
    def unknown_if_null(self) -> tuple[str, ...]:
        """The columns whose NULL makes it unknown."""
        return (self.column,)


OverRows = Ordered | Apart | SameCasing | Near
"""Predicates that need other rows too: they are asked of a derived relation."""

Predicate = (
    Sql | Present | Absent | In | Range | Length | Pattern | Json | Compared | TupleIn | SumIs | AllDiffer | OverRows
)
