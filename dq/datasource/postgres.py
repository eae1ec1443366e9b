"""PostgreSQL by psycopg 3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg

from dq.datasource.address import Address
from dq.datasource.session import CONNECT_SECONDS, Settings, batches, opening


def open_driver(_place: str, address: Address, _url: str, password: str | None, settings: Settings) -> Postgres:
    """Return the driver; the server is not connected yet."""
    given = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": password if password is not None else address.password,
        "dbname": address.database,
        **address.query,
    }
    return Postgres({name: value for name, value in given.items() if value}, settings)


class Postgres:
    """One database of a server."""

    dialect = "postgresql"
    parallel = 2
    alone = False

    def __init__(self, given: dict[str, Any], settings: Settings) -> None:
        self._given, self._settings = given, settings

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session."""
        # A prepared statement is lost on a pooler that gives every transaction another server process.
        connection = psycopg.connect(
            **self._given, connect_timeout=CONNECT_SECONDS, autocommit=True, prepare_threshold=None
        )
        connection.execute("; ".join(opening(self.dialect, self._settings, write=write)).encode())
        return Session(connection)

    def is_lost(self, error: Exception) -> bool:
        """Whether the server has ended the connection, or ends: an administrator's command, a crash, a start."""
        codes = ("57P01", "57P02", "57P03", "08000", "08003", "08006", "25P03")
        unheard = isinstance(error, psycopg.OperationalError) and error.sqlstate is None
        return getattr(error, "sqlstate", None) in codes or (
            unheard and "connection" in str(error) and "lost" in str(error)
        )

    def close(self) -> None:
        """There is nothing that sessions share."""


class Session:
    """A connection that commits each statement by itself."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        cursor = self._connection.execute(sql.encode())
        return list(cursor.fetchall()) if cursor.description is not None else []

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists by a server-side cursor."""
        with self._connection.transaction(), self._connection.cursor(name="dq_stream") as cursor:
            cursor.execute(sql.encode())
            yield from batches(cursor.fetchmany, size)

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements in one transaction."""
        with self._connection.transaction():
            for statement in statements:
                self._connection.execute(statement.encode())

    def cancel(self) -> None:
        """Ask the server to stop the statement of this session."""
        self._connection.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
