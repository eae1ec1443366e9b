"""Insert a row unless it is there, or else lock it; each database spells it in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from sqlalchemy import Table
from sqlalchemy.engine import Connection


def insert_or_lock(connection: Connection, table: Table, values: dict[str, Any], key: Sequence[str] = ()) -> None:
    """Insert one row, or lock the one with its key until the transaction ends, in one statement.

    A plain insert that fails would end the whole transaction on PostgreSQL. Two statements (insert unless it is there,
    then lock it) deadlock on MariaDB and MySQL, where the first takes a shared lock that two transactions cannot both
    raise; and their ``INSERT IGNORE`` would hide other errors, too.

    Args:
        connection: in a transaction.
        table: the table.
        values: the columns of the row.
        key: the columns that make it unique; the primary key by default.
    """
    names = list(key) or [column.name for column in table.primary_key]
    same = {name: table.c[name] for name in names}
    spelled = "mysql" if connection.dialect.name == "mariadb" else connection.dialect.name
    own = import_module(f"sqlalchemy.dialects.{spelled}")  # only this one: each takes as long as a small scan
    inserted = own.insert(table).values(**values)
    if spelled == "mysql":
        connection.execute(inserted.on_duplicate_key_update(**same))
    else:
        connection.execute(inserted.on_conflict_do_update(index_elements=names, set_=same))
