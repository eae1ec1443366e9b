"""What the catalogue of a database says of a table: the families of its types, its primary and foreign keys."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from attrs import frozen

from dq.datasource import Datasource
from dq.model.errors import MeasureError
from dq.sql.engine import Engine

Family = Literal["integer", "number", "text", "time", "date", "boolean", "uuid", "other"]

_FAMILIES: tuple[tuple[Family, str], ...] = (
    ("other", r".*\[\]|array|list|struct|map|row\(|json|xml|interval|time($| |\()|blob|bytea|binary|varbinary|geo"),
    ("boolean", r"bool|tinyint\(1\)$|bit$|bit\(1\)$"),
    ("time", r"timestamp|datetime|smalldatetime"),
    ("date", r"date($|32)"),
    ("uuid", r"uuid|uniqueidentifier"),
    ("integer", r"u?(tiny|small|medium|big|huge)?int|int\d|integer|(big)?serial|long$"),
    ("integer", r"(numeric|decimal|number)\(\d+(, ?0)?\)$"),
    ("number", r"numeric|decimal|number|real|double|float|money|dec$"),
    ("text", r"n?(var)?char|character|text|string|clob|enum|tinytext|mediumtext|longtext|name$|citext"),
)


def family_of(spelled: str) -> Family:
    """Return the family of a type as the database spells it, e.g. ``character varying(20)``."""
    text = spelled.lower().strip()
    return next((family for family, pattern in _FAMILIES if re.match(pattern, text)), "other" if text else "text")


@frozen
class ForeignKey:
    """Columns that refer to another table.

    Attributes:
        columns: here.
        table: the other one, as dq writes names.
        other_columns: there.
    """

    columns: tuple[str, ...]
    table: str
    other_columns: tuple[str, ...]


@frozen
class Keys:
    """What is declared of the keys of a table.

    Attributes:
        primary: the columns of the primary key; empty: there is none, or it is not known.
        foreign: the foreign keys.
    """

    primary: tuple[str, ...] = ()
    foreign: tuple[ForeignKey, ...] = ()


def keys_of(datasource: Datasource, table: Sequence[str]) -> Keys:
    """Return the keys that the catalogue knows; none where it cannot be asked, because they are a help only.

    Args:
        datasource: where the table lies.
        table: the parts of its name.
    """
    sql = _keys_sql(datasource.dialect, table)
    if sql is None:
        return Keys()
    try:
        rows = datasource.fetch(sql)
    except MeasureError:
        return Keys()
    # Of one constraint each row names a column here, and for a foreign key the table and the column there.
    constraints: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        constraints.setdefault(str(row[0]), []).append(row)
    primary: tuple[str, ...] = ()
    foreign: list[ForeignKey] = []
    for found in constraints.values():
        columns = tuple(str(row[1]) for row in found)
        if found[0][3] is None:
            primary = columns
        elif None not in [row[4] for row in found]:
            name = _name((found[0][2], found[0][3]), table)
            foreign.append(ForeignKey(columns, name, tuple(str(row[4]) for row in found)))
    return Keys(primary, tuple(foreign))


def _name(other: tuple[Any, Any], table: Sequence[str]) -> str:
    """Return the name of the other table, with its schema where this one has it too."""
    parts = [str(part) for part in other if part is not None][-2 if len(table) > 1 else -1 :]
    return ".".join(part if re.fullmatch(r"\w+", part) else '"' + part.replace('"', '""') + '"' for part in parts)


def _keys_sql(dialect: str, table: Sequence[str]) -> str | None:
    """Return the statement that lists constraint, column, and for a foreign key schema, table and column there."""
    engine = Engine(dialect)
    name = engine.literal(table[-1])
    if dialect == "sqlite":
        return (
            f"SELECT 'pk', name, NULL, NULL, NULL FROM pragma_table_info({name}) WHERE pk > 0"
            f' UNION ALL SELECT id, "from", NULL, "table", "to" FROM pragma_foreign_key_list({name})'
        )
    if dialect == "postgresql":
        named = engine.literal(".".join(map(engine.identifier, table)))
        return (
            "SELECT c.conname, a.attname, n.nspname, f.relname, b.attname FROM pg_catalog.pg_constraint c"
            " CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY k(attnum, i)"
            " JOIN pg_catalog.pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum"
            " LEFT JOIN pg_catalog.pg_class f ON f.oid = c.confrelid"
            " LEFT JOIN pg_catalog.pg_namespace n ON n.oid = f.relnamespace"
            " LEFT JOIN pg_catalog.pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[k.i]"
            f" WHERE c.conrelid = to_regclass({named}) AND c.contype IN ('p', 'f') ORDER BY c.conname, k.i"
        )
    if dialect in ("mysql", "mariadb"):
        schema = engine.literal(table[-2]) if len(table) > 1 else "database()"
        return (
            "SELECT constraint_name, column_name, referenced_table_schema, referenced_table_name,"
            " referenced_column_name"
            f" FROM information_schema.key_column_usage WHERE table_name = {name} AND table_schema = {schema}"
            " AND (constraint_name = 'PRIMARY' OR referenced_table_name IS NOT NULL)"
            " ORDER BY constraint_name, ordinal_position"
        )
    if dialect == "duckdb":
        schema = engine.literal(table[-2]) if len(table) > 1 else "current_schema()"
        return (
            "SELECT constraint_index, UNNEST(constraint_column_names), NULL, referenced_table,"
            " UNNEST(CASE WHEN constraint_type = 'PRIMARY KEY' THEN constraint_column_names"
            " ELSE referenced_column_names END) FROM duckdb_constraints()"
            f" WHERE table_name = {name} AND schema_name = {schema}"
            " AND constraint_type IN ('PRIMARY KEY', 'FOREIGN KEY')"
        )
    return None
