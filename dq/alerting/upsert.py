"""Insert unless it is there: each database spells it in its own way."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection


def insert_ignore(connection: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert one row unless a row with its key is there.

    A failed plain insert would end the whole transaction on PostgreSQL.

    Returns:
        Whether the row is new.
    """
    dialect = connection.dialect.name
    if dialect in ("mysql", "mariadb"):
        return connection.execute(mysql.insert(table).prefix_with("IGNORE").values(**values)).rowcount == 1
    if dialect == "postgresql":
        return connection.execute(postgresql.insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1
    return connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1
