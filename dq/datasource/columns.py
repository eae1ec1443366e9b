"""The columns of a table: their names, their types as the database calls them, and whether they may be NULL.

They are asked with SQL and not by SQLAlchemy's inspection, which fails on DuckDB 2.0: it asks for
``pg_catalog.pg_collation``, which that has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from attrs import frozen

from dq.model.errors import MeasureError
from dq.sql.engine import Engine


@frozen
class Column:
    """A column of a table.

    Attributes:
        name: as the database has it.
        type: as the database calls it, e.g. ``character varying(20)``.
        nullable: whether it may hold NULL; None where the database does not say.
    """

    name: str
    type: str
    nullable: bool | None


class Asked(Protocol):
    """What can be asked for rows."""

    @property
    def name(self) -> str:
        """As in ``dq.toml``."""

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the dialect."""

    def fetch(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""


def read_columns(source: Asked, table: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns of ``table`` by a statement in the dialect of ``source``.

    Raises:
        MeasureError: when there is no such table, or it could not be asked.
    """
    rows = source.fetch(columns_sql(source.dialect, table))
    if not rows:
        raise no_table(source.name, table)
    return tuple(Column(str(row[0]), str(row[1]), _nullable(row[2])) for row in rows)


def no_table(datasource: str, table: Sequence[str]) -> MeasureError:
    """Return the error that tells of a table that is not there."""
    return MeasureError(f"datasource {datasource!r}: there is no table {'.'.join(table)}")


def columns_sql(dialect: str, table: Sequence[str]) -> str:
    """Return the statement that lists name, type and whether NULL is allowed (``YES`` or 1), in the order of position.

    Args:
        dialect: SQLAlchemy's name; of one that is not known here, the standard's ``information_schema`` is asked.
        table: the parts of its name.
    """
    engine = Engine(dialect)
    named, literal = ".".join(map(engine.identifier, table)), engine.literal
    if dialect in ("duckdb", "spark"):
        return f"DESCRIBE {named}"
    if dialect == "postgresql":
        # to_regclass follows the search path, and knows materialized views and partitioned tables.
        return (
            "SELECT attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END"
            f" FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass({literal(named)}) AND attnum > 0"
            " AND NOT attisdropped ORDER BY attnum"
        )

    if dialect == "sqlite":
        arguments = ", ".join(map(literal, reversed(table[-2:])))
        # Of keys only the alias of the row number is never NULL (sqlite.org/lang_createtable.html, "The PRIMARY KEY").
        return (
            "SELECT name, type, \"notnull\" = 0 AND NOT (pk = 1 AND upper(type) = 'INTEGER' AND max(pk) OVER () = 1)"
            f" FROM pragma_table_xinfo({arguments}) WHERE hidden <> 1 ORDER BY cid"
        )

    of_mysql = dialect in ("mysql", "mariadb")
    spelled = "column_type" if of_mysql else "data_type"
    schema = literal(table[-2]) if len(table) > 1 else "database()" if of_mysql else None
    return (
        f"SELECT column_name, {spelled}, is_nullable FROM information_schema.columns"
        f" WHERE table_name = {literal(table[-1])}"
        + (f" AND table_schema = {schema}" if schema else "")
        + " ORDER BY ordinal_position"
    )


def _nullable(said: object) -> bool | None:
    return said == "YES" if isinstance(said, str) and said in ("YES", "NO") else bool(said) if said in (0, 1) else None
