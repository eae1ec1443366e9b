"""Empty stores for tests, on every database that a store can live in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects.mysql import MEDIUMTEXT
from sqlalchemy.engine import Connection, Engine

from dq.store.engine import VERSION_TABLE, open_store
from dq.store.schema import metadata


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty store with all its tables, on each database in turn."""
    sqlite = f"sqlite:///{tmp_path}/store.db"
    yield from _empty(sqlite if request.param == "sqlite" else request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["postgres", "mariadb"])
def empty_server(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty store on a database server, for what needs several writers at once."""
    yield from _empty(request.getfixturevalue(f"{request.param}_url"))


def _empty(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    metadata.create_all(engine)
    yield engine
    engine.dispose()


def drift(connection: Connection) -> list[Any]:
    """Return how the tables of a store differ from those that dq declares."""

    def differ(_context: Any, _column: Any, _declared: Any, found: Any, declared: Any) -> bool | None:
        # MariaDB and MySQL widen a TEXT when it is converted, so that it has room for as many characters as it had.
        return False if isinstance(found, MEDIUMTEXT) and declared.compile(connection.dialect) == "TEXT" else None

    options = {"version_table": VERSION_TABLE, "compare_type": differ}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))
