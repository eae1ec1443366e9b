"""SQLite by the module of the standard library."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from dq.datasource.address import Address
from dq.datasource.columns import Column, columns_sql, no_table
from dq.datasource.session import Settings, batches, opening
from dq.sql.canonical import HASH_FUNCTION, TEXT_FUNCTION, hash_of, text_of


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
        regexp = _Regexp()
        connection.create_function("regexp", 2, regexp, deterministic=True)
        connection.create_function("floor", 1, _floor, deterministic=True)
        add_functions(connection)
        for statement in opening(self.dialect, self._settings, write=write):
            connection.execute(statement)
        return Session(connection, regexp)

    def is_lost(self, _error: Exception) -> bool:
        """A file is not lost."""
        return False

    def inspect(self, datasource: str, session: Session, table: Sequence[str]) -> list[Column]:
        """Return the columns of a table.

        Raises:
            MeasureError: when there is no such table.
        """
        try:
            rows = session.run(columns_sql(self.dialect, table))
        except sqlite3.OperationalError as error:
            if not str(error).startswith("unknown database"):
                raise
            rows = []
        if not rows:
            raise no_table(datasource, table)
        return [Column(name, kind, bool(nullable)) for name, kind, nullable in rows]

    def close(self) -> None:
        """There is nothing that sessions share."""


def add_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the functions by which keys are compared: SQLite has no MD5, and a type per value."""
    connection.create_function(TEXT_FUNCTION, 2, text_of, deterministic=True)
    connection.create_function(HASH_FUNCTION, -1, hash_of, deterministic=True)


def _floor(number: object) -> int | None:
    return math.floor(number) if isinstance(number, int | float) else None


class _Regexp:
    """``value REGEXP pattern``, which SQLite has the grammar of and leaves to the application: Python's ``re.search``.

    Attributes:
        broken: why the last pattern is none; SQLite itself says only that a function failed.
    """

    def __init__(self) -> None:
        self.broken = ""

    def __call__(self, pattern: object, value: object) -> bool | None:
        """Return whether ``pattern`` matches somewhere in ``value``; None where one of them is NULL."""
        if pattern is None or value is None:
            return None
        try:
            return _compiled(_text(pattern)).search(_text(value)) is not None
        except re.error as error:
            self.broken = f"{_text(pattern)!r} is not a regular expression: {error}"
            raise


_compiled = lru_cache(maxsize=256)(re.compile)


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class Session:
    """A connection."""

    def __init__(self, connection: sqlite3.Connection, regexp: _Regexp) -> None:
        self._connection, self._regexp = connection, regexp

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        with self._told():
            return list(self._connection.execute(sql).fetchall())

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists; SQLite computes them as they are asked for."""
        with self._told():
            yield from batches(self._connection.execute(sql).fetchmany, size)

    @contextmanager
    def _told(self) -> Iterator[None]:
        self._regexp.broken = ""
        try:
            yield
        except sqlite3.OperationalError:
            if self._regexp.broken:
                raise sqlite3.OperationalError(self._regexp.broken) from None
            raise

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
