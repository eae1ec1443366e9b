"""Tables that dq makes for itself: the statements that create, fill and drop them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from dq.model.predicate import Scalar
from dq.sql.engine import Engine

Type = Literal["integer", "decimal", "double", "text", "date", "time"]

_TYPES: dict[Type, str] = {
    "integer": "BIGINT",
    "decimal": "DECIMAL(12, 2)",
    "double": "DOUBLE",
    "text": "VARCHAR(200)",
    "date": "DATE",
    "time": "TIMESTAMP",
}
_OWN: dict[str, dict[Type, str]] = {
    "postgres": {"double": "DOUBLE PRECISION"},
    "redshift": {"double": "DOUBLE PRECISION"},
    "mysql": {"time": "DATETIME"},
    "tsql": {"double": "FLOAT", "time": "DATETIME2"},
    "bigquery": {"integer": "INT64", "decimal": "NUMERIC", "double": "FLOAT64", "text": "STRING"},
    "spark": {"text": "STRING"},
    "databricks": {"text": "STRING"},
    "oracle": {"integer": "NUMBER(19)", "decimal": "NUMBER(12, 2)", "double": "BINARY_DOUBLE", "text": "VARCHAR2(200)"},
    "strictsqlite": {"date": "TEXT", "time": "TEXT"},  # it has no type for times, and compares ISO texts
}


def created(engine: Engine, table: str, columns: Mapping[str, Type]) -> str:
    """Return the statement that makes ``table``, as dq writes names, with ``columns``."""
    listed = ", ".join(f"{engine.identifier(name)} {_type(engine, kind)}" for name, kind in columns.items())
    return f"CREATE TABLE {engine.table(table)} ({listed})"


def filled(engine: Engine, table: str, rows: Iterable[Sequence[Scalar | None]]) -> str:
    """Return the statement that puts ``rows`` into ``table``."""
    listed = (", ".join("NULL" if v is None else engine.literal(v) for v in row) for row in rows)
    return f"INSERT INTO {engine.table(table)} VALUES ({'), ('.join(listed)})"


def dropped(engine: Engine, table: str) -> str:
    """Return the statement that drops ``table`` where it is there."""
    return f"DROP TABLE IF EXISTS {engine.table(table)}"


def _type(engine: Engine, kind: Type) -> str:
    return _OWN.get(engine.glot, {}).get(kind) or _TYPES[kind]
