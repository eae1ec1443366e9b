"""Empty stores for tests: embedded SQLite, and PostgreSQL from a server that the tests start themselves."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from dq.store.engine import open_store
from dq.store.schema import metadata


@cache
def postgres_url() -> str:
    """Return the address of a PostgreSQL that runs until the tests end; one per test process."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about directories of a login session, which a container does not have
            import pgserver  # noqa: PLC0415  # optional
    except ImportError:
        if os.environ.get("DQ_REQUIRE_ALL") == "1":
            raise
        pytest.skip("PostgreSQL is not tested: the package pgserver is not installed")
    # Not a fixture's directory: PostgreSQL wants a short path for its socket. pgserver removes it in the end.
    server = pgserver.get_server(Path(tempfile.mkdtemp(prefix="dq-pg-")), cleanup_mode="delete")
    return str(server.get_uri())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty store with all its tables, on each database in turn."""
    yield from _empty(f"sqlite:///{tmp_path}/store.db" if request.param == "sqlite" else postgres_url())


@pytest.fixture
def empty_postgres() -> Iterator[Engine]:
    """An empty store on PostgreSQL, for what needs several writers at once."""
    yield from _empty(postgres_url())


def _empty(url: str) -> Iterator[Engine]:
    engine = open_store(url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    yield engine
    engine.dispose()
