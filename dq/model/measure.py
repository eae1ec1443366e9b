"""One number of one relation, apart from any judgement of it.

Equal measures are read once, however many checks and severities want them.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from attrs import frozen

Literal_ = bool | int | float | Decimal | str | date | datetime


@frozen
class Sql:
    """A predicate in the words of the user: a boolean SQL expression over one row, possibly with Jinja."""

    text: str


@frozen
class Present:
    """True where none of the columns is NULL."""

    columns: tuple[str, ...]


@frozen
class In:
    """True where the column has one of the values."""

    column: str
    values: tuple[Literal_, ...]


@frozen
class Range:
    """True where the column lies from low to high, both included; an end that is None is open."""

    column: str
    low: Literal_ | None
    high: Literal_ | None


Predicate = Sql | Present | In | Range

Form = Literal["rows", "violations", "unknown", "aggregate", "newest", "duplicates", "query"]


@frozen
class Measure:
    """One number of the scanned relation.

    Attributes:
        form: ``rows`` counts rows; ``violations`` rows where ``of`` is not TRUE; ``unknown`` rows where ``of`` is
            NULL; ``aggregate`` is an aggregate expression; ``newest`` the maximum of a column over the whole table;
            ``duplicates`` the rows that share the key ``of`` (columns, none NULL) with another row; ``query`` the
            number of rows that the query ``of`` returns.
        of: what is counted; None for ``rows``.
        where: only the rows for which this predicate is TRUE are looked at.
    """

    form: Form
    of: Predicate | str | tuple[str, ...] | None = None
    where: str | None = None


PARTITION_ROWS = Measure("rows")
"""All rows of the partition, before any ``where=``: none of them means no data."""
