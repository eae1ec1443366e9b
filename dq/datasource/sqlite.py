"""SQLite by the module of the standard library."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from dq.datasource.address import Address
from dq.datasource.session import Settings, batches, opening


def open_driver(_place: str, address: Address, _url: str, _password: str | None, settings: Settings) -> SQLite:
    """Return the driver; the file is not opened yet."""
    return SQLite(address.database or ":memory:", settings)


class SQLite:
    """One file."""

    dialect = "sqlite"
    parallel = 1
    alone = False

    def __init__(self, file: str, settings: Settings) -> None:
        self._file, self._settings = file, settings

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session. For reading, a file that is not there is an error, no new database."""
        mode = "ro" if self._settings.read_only and not write else "rw"
        uri = self._file != ":memory:" and (self._settings.read_only or write)
        file = f"file:{quote(self._file)}?mode={mode}" if uri else self._file
        connection = sqlite3.connect(file, uri=uri, check_same_thread=False, isolation_level=None)
        # As SQLAlchemy has them, so that a check means the same whichever way it goes.
        connection.create_function("regexp", 2, _regexp, deterministic=True)
        connection.create_function("floor", 1, math.floor, deterministic=True)
        for statement in opening(self.dialect, self._settings, write=write):
            connection.execute(statement)
        return Session(connection)

    def is_lost(self, _error: Exception) -> bool:
        """A file is not lost."""
        return False

    def close(self) -> None:
        """There is nothing that sessions share."""


def _regexp(pattern: str, text: str | None) -> bool | None:
    return None if text is None else re.search(pattern, text) is not None


class Session:
    """A connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        return list(self._connection.execute(sql).fetchall())

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists; SQLite computes them as they are asked for."""
        return batches(self._connection.execute(sql).fetchmany, size)

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements in one transaction."""
        for statement in ("BEGIN IMMEDIATE", *statements, "COMMIT"):
            self._connection.execute(statement)

    def cancel(self) -> None:
        """Interrupt the statement of this connection."""
        self._connection.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
