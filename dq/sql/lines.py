"""Lines: what a group and its number are written as by an engine, so that Python need not look at each of them.

The texts are those of ``dq.runs``. A value is only written by an engine where its text is certain to be the one that
``dq.model.group.group_value`` gives: whole numbers and texts, whose type says so. SQLite's types bind nobody, so it
looks at each value, and writes an escape character, which makes a line unfit, for one of another type. So does Spark
for a text that is no UTF-8, of which Python would see another one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBERS = {
    "duckdb": re.compile(r"u?(tiny|small|big|huge)?int(eger)?", re.IGNORECASE),
    "postgresql": re.compile(r"smallint|integer|bigint"),
    "spark": re.compile(r"tinyint|smallint|int|bigint"),
    "sqlite": re.compile(r".*int.*", re.IGNORECASE),  # sqlite.org/datatype3.html, "Determination Of Column Affinity"
}
_TEXTS = {
    "duckdb": re.compile(r"varchar", re.IGNORECASE),
    "postgresql": re.compile(r"text|character varying(\(\d+\))?"),
    "spark": re.compile(r"string"),  # one of another collation is called otherwise
    "sqlite": re.compile(r".*(char|clob|text).*", re.IGNORECASE),
}
_MARKED = {
    "duckdb": "COALESCE(CHR(CAST(64 + LEAST(LENGTH({0}), 60) AS INTEGER)) || {0}, '')",
    "postgresql": "COALESCE(CHR(64 + LEAST(LENGTH({0}), 60)) || {0}, '')",
    "spark": "CASE WHEN {0} IS NULL THEN '' WHEN IS_VALID_UTF8({0}) THEN CHR(64 + LEAST(LENGTH({0}), 60)) || {0}"
    " ELSE CHR(27) END",
    "sqlite": "CASE WHEN TYPEOF({0}) IN ('integer', 'text') THEN CHAR(64 + MIN(LENGTH({0}), 60)) || {0}"
    " WHEN {0} IS NULL THEN '' ELSE CHAR(27) END",
}
_CAST = {
    "duckdb": "CAST({0} AS VARCHAR)",
    "postgresql": "CAST({0} AS TEXT)",
    "spark": "CAST({0} AS STRING)",
    "sqlite": "{0}",
}
_DAY = {
    "duckdb": "CHR(74) || STRFTIME({0}, '%Y-%m-%d')",
    "postgresql": "CHR(74) || TO_CHAR({0}, 'YYYY-MM-DD')",
    "spark": "CHR(74) || DATE_FORMAT({0}, 'yyyy-MM-dd')",
    "sqlite": "COALESCE(CHAR(74) || {0}, CHAR(27))",
}
_NUMBER = {
    "duckdb": "COALESCE(CAST({0} AS VARCHAR), '~0')",
    "postgresql": "COALESCE(CAST({0} AS TEXT), '~0')",
    "spark": "COALESCE(CAST({0} AS STRING), '~0')",
    "sqlite": "CASE TYPEOF({0}) WHEN 'integer' THEN {0} WHEN 'null' THEN '~0' ELSE CHAR(27) END",
}


_TYPE = {"duckdb": "TYPEOF({0})", "postgresql": "CAST(PG_TYPEOF({0}) AS TEXT)", "spark": "TYPEOF({0})"}


def can_write(dialect: str, types: Sequence[str]) -> bool:
    """Return whether an engine writes values of these types as Python does."""
    return dialect in _NUMBERS and all(
        _NUMBERS[dialect].fullmatch(one) or _TEXTS[dialect].fullmatch(one) for one in types
    )


def type_of(dialect: str, value: str) -> str | None:
    """Return the name of the type of a value as SQL; None where a column binds nobody."""
    return _TYPE[dialect].format(value) if dialect in _TYPE else None


def are_numbers(dialect: str, types: Sequence[str]) -> bool:
    """Return whether all of these types are whole numbers, so that an engine need not sort lines by their texts.

    Spark sorts texts: where there are negative numbers, it would count all of a large table once more.
    """
    return dialect in _NUMBERS and dialect != "spark" and all(_NUMBERS[dialect].fullmatch(one) for one in types)


def part(dialect: str, value: str) -> str:
    """Return a part of a name as SQL."""
    return _MARKED[dialect].format(_CAST[dialect].format(value))


def day(dialect: str, value: str) -> str:
    """Return a day as SQL, as the first part of a name."""
    return _DAY[dialect].format(value)


def joined(dialect: str, parts: Sequence[str]) -> str:
    """Return a name, or a line, of its parts as SQL."""
    return f" || {'CHAR(9)' if dialect == 'sqlite' else 'CHR(9)'} || ".join(parts)


def number(dialect: str, value: str) -> str:
    """Return the number of a line as SQL."""
    return _NUMBER[dialect].format(value)


def in_order(dialect: str, lines: str, numbers: Sequence[str]) -> str:
    """Return the statement that sorts lines.

    Args:
        dialect: of the engine.
        lines: the statement of the lines, which are called ``dq_line``.
        numbers: the day and the whole numbers of a name, to sort by them; none: by the line, in the order of its bytes.
    """
    if numbers:
        first = "" if dialect == "sqlite" else " NULLS FIRST"  # which they are there anyway
        return f"{lines} ORDER BY {', '.join(f'{number}{first}' for number in numbers)}"
    bytewise = ' COLLATE "C"' if dialect == "postgresql" else ""
    return f"SELECT dq_line FROM ({lines}) dq_l ORDER BY dq_line{bytewise}"  # noqa: S608  # ours
