"""MariaDB and MySQL by PyMySQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pymysql
from pymysql.cursors import SSCursor

from dq.datasource.address import Address
from dq.datasource.session import CONNECT_SECONDS, Settings, batches, opening, plain_modes

_LOST = (1040, 1053, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013, 2055)
"""Codes that say that a connection was not to be had or has ended (the manual's lists of server and client errors)."""


def open_driver(_place: str, address: Address, _url: str, password: str | None, settings: Settings) -> MySQL:
    """Return the driver; the server is not connected yet."""
    given = {
        "host": address.host,
        "port": address.port,
        "user": address.user,
        "password": password if password is not None else address.password,
        "database": address.database,
        **address.query,
    }
    return MySQL(address.dialect, {name: value for name, value in given.items() if value}, settings)


class MySQL:
    """One server."""

    parallel = 2
    alone = False

    def __init__(self, dialect: str, given: dict[str, Any], settings: Settings) -> None:
        self.dialect, self._given, self._settings = dialect, given, settings

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session."""
        connection = self._open()
        kind = "mariadb" if "mariadb" in str(connection.get_server_info()).lower() else "mysql"
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@sql_mode")
            for statement in (plain_modes(str(cursor.fetchall()[0][0])), *opening(kind, self._settings, write=write)):
                cursor.execute(statement)
        return Session(connection, self._open)

    def is_lost(self, error: Exception) -> bool:
        """Whether the code of the error says that the connection has ended or was not to be had."""
        return isinstance(error, pymysql.Error) and bool(error.args) and error.args[0] in _LOST

    def close(self) -> None:
        """There is nothing that sessions share."""

    def _open(self) -> pymysql.Connection[Any]:
        return pymysql.connect(**self._given, connect_timeout=CONNECT_SECONDS, autocommit=True)


class Session:
    """A connection that commits each statement by itself."""

    def __init__(self, connection: pymysql.Connection[Any], another: Callable[[], pymysql.Connection[Any]]) -> None:
        self._connection, self._another = connection, another

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists by a cursor that does not store them."""
        cursor = self._connection.cursor(SSCursor)
        cursor.execute(sql)
        yield from batches(cursor.fetchmany, size)
        cursor.close()

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements in one transaction; on these servers a CREATE TABLE ends it."""
        for statement in ("BEGIN", *statements, "COMMIT"):
            self.run(statement)

    def cancel(self) -> None:
        """Stop the statement of this session, which needs a second connection."""
        with closing(self._another()) as other, other.cursor() as cursor:
            cursor.execute(f"KILL QUERY {self._connection.thread_id()}")

    def close(self) -> None:
        """Close the connection."""
        # close() of PyMySQL, and its results when they are forgotten, would read what is left, without end.
        result: Any = self._connection._result  # noqa: SLF001  # as above
        if result is not None:
            result.unbuffered_active = False
        self._connection._force_close()  # noqa: SLF001  # as above
