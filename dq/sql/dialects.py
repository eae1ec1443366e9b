"""What sqlglot knows of dialects. It takes longer to import than many a scan, so it is imported where it is needed."""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.sqlite import SQLite


class StrictSQLite(SQLite):
    """SQLite with its names in backticks: it takes a name in double quotes that it does not know for a text.

    So ``NotNull("typo")`` would hold for every row (sqlite.org/quirks.html, "Double-quoted string literals").
    """

    class Tokenizer(SQLite.Tokenizer):
        """The first pair of quotes is the one that is written."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`", '"', ("[", "]")]


def is_known(glot: str) -> bool:
    """Return whether there is a dialect of that name."""
    return Dialect.get(glot) is not None


def identifier(name: str, glot: str) -> str:
    """Return a name in quotes."""
    return exp.to_identifier(name, quoted=True).sql(dialect=glot)


def text(value: str, glot: str) -> str:
    """Return a text as a literal."""
    return exp.Literal.string(value).sql(dialect=glot)


def as_time(value: str, glot: str) -> str:
    """Return the literal of a text as a time without a zone."""
    return exp.Cast(this=exp.Literal.string(value), to=exp.DataType.build("timestamp", dialect=glot)).sql(dialect=glot)
