"""What differs between the tables of a store and those that dq declares."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.engine import Connection

from dq.store.engine import VERSION_TABLE
from dq.store.schema import metadata


def drift(connection: Connection) -> list[Any]:
    """Return how the tables of a store differ from those that dq declares."""

    def differ(_context: Any, _column: Any, _declared: Any, found: Any, declared: Any) -> bool | None:
        # MariaDB and MySQL widen a TEXT when it is converted, so that it has room for as many characters as it had.
        return False if isinstance(found, MEDIUMTEXT) and declared.compile(connection.dialect) == "TEXT" else None

    options = {"version_table": VERSION_TABLE, "compare_type": differ}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))
