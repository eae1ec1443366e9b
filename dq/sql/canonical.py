"""Canonical texts: how a value is written so that equal values are equal texts in every engine.

    type of the column              text
    ------------------------------  -------------------------------------------------------------------------------
    integer, boolean, MySQL's bit   digits: ``-7``; TRUE is ``1``, FALSE is ``0``
    decimal                         without zeros at the end: 1, 1.0 and 1.00 are ``1``
    floating-point                  the fewest digits that name it: ``0.1``, ``9`` (not 9.0), ``1.5e-5``, ``1e19``
    date                            ``2026-11-20``; where the other side has a time: ``2026-11-20 00:00:00``
    timestamp, datetime             ``2026-11-20 06:00:00.5``: in UTC, to the microsecond, without zeros at the end
    UUID, and text held against it  in small letters
    binary                          hexadecimal digits in small letters
    text and everything else        as the engine casts it to text, in UTF-8; upper and lower case differ

NULL has no text, and equals NULL. Types do not have to be the same: the number 14 equals the text ``14``. SQLite has no
type for times, so its texts are read as times where the other side has one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from hashlib import md5
from typing import Literal
from uuid import UUID

from dq.model.errors import GuardError
from dq.sql.engine import Engine

Type = Literal["integer", "bit", "boolean", "decimal", "float", "date", "time", "zoned", "uuid", "bytes", "text"]

HASH_BITS = 60
"""A hash is the first 15 hexadecimal digits of an MD5, as a number: it fits a signed BIGINT everywhere."""

TEXT_FUNCTION, HASH_FUNCTION = "dq_text", "dq_hash"
"""What dq adds to a session of SQLite: :func:`text_of` and :func:`hash_of`."""

_NO_SCALAR = re.compile(r"struct|map\b|union|interval")
_TYPES: tuple[tuple[Type, re.Pattern[str]], ...] = (
    ("integer", re.compile(r"(u?(tiny|small|medium|big|huge)?int(eger)?|int[248]|(big|small)?serial|year)\b")),
    ("bit", re.compile(r"bit\b")),
    ("boolean", re.compile(r"bool")),
    ("decimal", re.compile(r"(decimal|numeric|number|dec|fixed)\b")),
    ("float", re.compile(r"(double|float[48]?|real)\b")),
    ("zoned", re.compile(r"timestamptz|timestamp.* with time zone")),
    ("time", re.compile(r"timestamp|datetime")),
    ("date", re.compile(r"date\b")),
    ("uuid", re.compile(r"uuid\b")),
    ("bytes", re.compile(r"(tiny|medium|long)?blob\b|bytea\b|(var)?binary\b")),
)

_TEXT = {"duckdb": "CAST({0} AS VARCHAR)", "postgres": "({0})::text", "mysql": "CONVERT({0} USING utf8mb4)"}
_DIGITS = {**_TEXT, "mysql": "CAST({0} AS CHAR)"}
_CUT = {  # zeros behind the point
    "duckdb": "CASE WHEN CONTAINS({0}, '.') THEN RTRIM(RTRIM({0}, '0'), '.') ELSE {0} END",
    "mysql": "CASE WHEN {0} LIKE '%.%' THEN TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM {0})) ELSE {0} END",
}
# All write the fewest digits that name the number, but do not agree on when to write an exponent, and how.
_WHOLE = "{0} = FLOOR({0}) AND ABS({0}) < 9e18"
_SMALL = "TRIM(LEADING '0' FROM SUBSTRING(CAST(ABS({0}) AS CHAR), 3))"  # the digits of 0.000015, without an exponent
_OWN: dict[str, dict[Type, str]] = {
    "duckdb": {
        "boolean": "CAST(CAST({0} AS INTEGER) AS VARCHAR)",
        "decimal": _CUT["duckdb"].format(_TEXT["duckdb"]),
        "float": f"CASE WHEN {_WHOLE} THEN CAST(CAST({{0}} AS BIGINT) AS VARCHAR)"
        " ELSE REPLACE(REPLACE(CAST({0} AS VARCHAR), 'e+', 'e'), 'e-0', 'e-') END",
        "time": _CUT["duckdb"].format("CAST(CAST({0} AS TIMESTAMP) AS VARCHAR)"),
        "uuid": "LOWER(CAST({0} AS VARCHAR))",
        "bytes": "LOWER(HEX({0}))",
    },
    "postgres": {
        "boolean": "({0})::integer::text",
        "decimal": "TRIM_SCALE({0})::text",
        "float": f"CASE WHEN {_WHOLE} THEN ({{0}})::bigint::text ELSE"
        " REPLACE(REPLACE(REPLACE(LOWER(({0})::text), 'infinity', 'inf'), 'e+', 'e'), 'e-0', 'e-') END",
        "date": "TO_CHAR({0}, 'YYYY-MM-DD')",
        "time": "RTRIM(RTRIM(TO_CHAR({0}, 'YYYY-MM-DD HH24:MI:SS.US'), '0'), '.')",
        "zoned": "RTRIM(RTRIM(TO_CHAR({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '0'), '.')",
        "uuid": "LOWER(({0})::text)",
        "bytes": "ENCODE({0}, 'hex')",
    },
    "mysql": {
        "bit": "CAST({0} + 0 AS CHAR)",
        "decimal": _CUT["mysql"].format(_DIGITS["mysql"]),
        "float": f"CASE WHEN {_WHOLE} THEN CAST(CAST({{0}} AS SIGNED) AS CHAR) WHEN ABS({{0}}) < 1e-4"
        " AND CAST({0} AS CHAR) NOT LIKE '%e%' THEN CONCAT(CASE WHEN {0} < 0 THEN '-' ELSE '' END,"
        f" LEFT({_SMALL}, 1), CASE WHEN CHAR_LENGTH({_SMALL}) > 1 THEN '.' ELSE '' END, SUBSTRING({_SMALL}, 2), 'e-',"
        f" CHAR_LENGTH(CAST(ABS({{0}}) AS CHAR)) - 1 - CHAR_LENGTH({_SMALL})) ELSE CAST({{0}} AS CHAR) END",
        "date": "DATE_FORMAT({0}, '%Y-%m-%d')",
        "time": "TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM DATE_FORMAT({0}, '%Y-%m-%d %H:%i:%s.%f')))",
        "uuid": "LOWER(CONVERT({0} USING utf8mb4))",
        "bytes": "LOWER(HEX({0}))",
    },
}
_NUMBERS = ("integer", "bit", "boolean", "decimal", "float")
_TIMES = ("date", "time", "zoned")
_AS_TIME = {"duckdb": "CAST({0} AS TIMESTAMP)", "postgres": "({0})::timestamp", "mysql": "CAST({0} AS DATETIME)"}

_MARKED = {  # with its length in front: else ("a", "bc") would be ("ab", "c")
    "duckdb": "COALESCE(LENGTH({0}) || ':' || {0}, '-')",
    "postgres": "COALESCE(LENGTH({0}) || ':' || {0}, '-')",
    "mysql": "COALESCE(CONCAT(CHAR_LENGTH({0}), ':', {0}), '-')",
}
_HASH = {
    "duckdb": "CAST('0x' || LEFT(MD5({0}), 15) AS BIGINT)",
    "postgres": "('x' || LEFT(MD5({0}), 15))::bit(60)::bigint",
    "mysql": "CAST(CONV(LEFT(MD5({0}), 15), 16, 10) AS SIGNED)",
}


def type_of(name: str) -> Type:
    """Return the kind of type that an engine calls ``name``, e.g. ``character varying(20)``."""
    name = name.lower()
    if "[" in name or _NO_SCALAR.match(name):
        return "text"
    return next((kind for kind, pattern in _TYPES if pattern.match(name)), "text")


def type_of_value(value: object) -> Type:
    """Return the kind of type of a value that a driver gave."""
    if isinstance(value, datetime):
        return "time" if value.tzinfo is None else "zoned"
    kinds: dict[type, Type] = {
        bool: "boolean", int: "integer", float: "float", Decimal: "decimal", date: "date", UUID: "uuid", bytes: "bytes"
    }  # fmt: skip
    return kinds.get(type(value), "text")


def canonical(engine: Engine, sql: str, own: Type, other: Type) -> str:
    """Return the canonical text of an expression as SQL.

    Args:
        engine: which evaluates it.
        sql: the expression.
        own: its type.
        other: the type of what it is held against.

    Raises:
        GuardError: when dq cannot write canonical texts for the engine.
    """
    glot, target = engine.glot, _target(own, other)
    if glot == "strictsqlite":
        return f"{TEXT_FUNCTION}({sql}, '{target}')"
    if glot not in _HASH:
        raise GuardError(f"keys are compared on DuckDB, PostgreSQL, MariaDB, MySQL and SQLite, not on {engine.name}")
    sql = sql if re.fullmatch(r'[`"][^`"]+[`"]', sql) else f"({sql})"
    if own == "date" and target == "time":
        own, sql = "time", _AS_TIME[glot].format(sql)
    if own == "text" and target == "uuid":
        own = "uuid"
    forms = _OWN[glot]
    own = "time" if own == "zoned" and "zoned" not in forms else own
    return forms.get(own, (_DIGITS if own in (*_NUMBERS, "date") else _TEXT)[glot]).format(sql)


def hashed(engine: Engine, texts: tuple[str, ...]) -> str:
    """Return the hash of canonical texts together as SQL: a whole number from 0 to 2**60 - 1."""
    if engine.glot == "strictsqlite":
        return f"{HASH_FUNCTION}({', '.join(texts)})"
    marked = [_MARKED[engine.glot].format(text) for text in texts]
    return _HASH[engine.glot].format(f"CONCAT({', '.join(marked)})" if len(marked) > 1 else marked[0])


def text_of(value: object, target: str = "") -> str | None:
    """Return the canonical text of a value of Python, as the SQL of :func:`canonical` does.

    Args:
        value: a value as a driver gives it.
        target: ``date`` or ``time``: a text is read as that where it is one; ``uuid``: a text is in small letters.
    """
    if value is None:
        return None
    if isinstance(value, str):
        read = _AS.get(target)
        return value if read is None else read(value)
    if isinstance(value, datetime):
        return _time_text(value)
    if isinstance(value, date):
        return _time_text(datetime.combine(value, time())) if target == "time" else value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, Decimal) and value.is_finite():
        digits = f"{value:f}"
        digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
        return "0" if digits == "-0" else digits
    return str(int(value)) if isinstance(value, int) else str(value).lower()


def hash_of(*texts: str | None) -> int:
    """Return the hash of canonical texts together, as the SQL of :func:`hashed` does."""
    marked = "".join("-" if text is None else f"{len(text)}:{text}" for text in texts)
    digest = md5(marked.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    return int(digest[: HASH_BITS // 4], 16)


def label_text(label: str, own: Type) -> str:
    """Return the canonical text of a value that a ledger shows as ``label``."""
    if own == "boolean":
        return {"true": "1", "false": "0"}.get(label, label)
    if own in ("decimal", "float"):
        try:
            return str(text_of(Decimal(label) if own == "decimal" else float(label)))
        except ArithmeticError:
            return label
        except ValueError:
            return label
    if own in _TIMES:
        return _as_time(label) if own != "date" else label
    return label.lower() if own == "uuid" else label


def _target(own: Type, other: Type) -> str:
    """Return what both sides of a pair are written as, beyond their own types."""
    pair = (own, other)
    if any(one in _NUMBERS for one in pair):
        return ""
    if "time" in pair or "zoned" in pair:
        return "time"
    return "date" if "date" in pair else "uuid" if "uuid" in pair else ""


def _time_text(value: datetime) -> str:
    value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    text = value.isoformat(" ")
    return text.rstrip("0") if value.microsecond else text


def _as_time(text: str) -> str:
    try:
        return _time_text(datetime.fromisoformat(text))
    except ValueError:
        return text


def _as_date(text: str) -> str:
    return _as_time(text).removesuffix(" 00:00:00")


_AS: dict[str, Callable[[str], str]] = {"time": _as_time, "date": _as_date, "uuid": str.lower}


def _float_text(value: float) -> str:
    if math.isfinite(value) and value == math.floor(value) and abs(value) < 9e18:
        return str(int(value))
    return repr(value).replace("e+", "e").replace("e-0", "e-")
