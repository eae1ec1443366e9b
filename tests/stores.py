"""Empty stores for tests, on every database that a store can live in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from dq.store.engine import open_store
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
