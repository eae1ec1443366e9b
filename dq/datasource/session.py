"""Sessions: what a driver has to offer, and what a new session is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from attrs import frozen

CONNECT_SECONDS = 10
"""How long a server may take to answer a new connection."""

_AFTER = timedelta(seconds=2)

# Modes of MariaDB and MySQL in which quotes, backslashes, an empty text, || or NOT are read in another way than the one
# in which dq writes them, and the names that bring several of them along (each server's manual, "sql_mode").
_OTHER_SPELLING = frozenset(
    {
        *("ANSI", "DB2", "MAXDB", "MSSQL", "MYSQL323", "MYSQL40", "ORACLE", "POSTGRESQL"),
        *("ANSI_QUOTES", "EMPTY_STRING_IS_NULL", "HIGH_NOT_PRECEDENCE", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT"),
    }
)


class Session(Protocol):
    """One session of a database. It is used by one thread at a time, :meth:`cancel` excepted."""

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement. The text is sent as it is, so ``%`` and ``:`` are safe."""

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows of one statement in lists of at most ``size``; the database holds the others back."""

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements in one transaction. What a broken one leaves is undone by :meth:`close`."""

    def cancel(self) -> None:
        """Stop the statement that runs in this session, in the database too; called from another thread."""

    def close(self) -> None:
        """End the session, whatever state it is in."""


class Driver(Protocol):
    """One kind of database and how its sessions are opened.

    Attributes:
        dialect: SQLAlchemy's name of the dialect.
        parallel: how many statements side by side are fastest, where ``dq.toml`` says nothing.
        alone: whether a session that writes and one that reads cannot be open side by side.
    """

    dialect: str
    parallel: int
    alone: bool

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session: UTC, bounded in time, and read-only unless it shall write."""

    def is_lost(self, error: Exception) -> bool:
        """Whether the error says that a connection was not to be had or has ended, so that another may do."""

    def close(self) -> None:
        """Give back what the sessions share."""


@frozen
class Settings:
    """How sessions of a datasource are opened.

    Attributes:
        timeout: how long one statement may take.
        read_only: whether the sessions that read are opened so where the database can.
        root: the folder to which the paths of files that are tables refer; None: the working directory.
    """

    timeout: timedelta
    read_only: bool
    root: Path | None = None


def opening(dialect: str, settings: Settings, *, write: bool) -> tuple[str, ...]:
    """Return what a new session is told: UTC, read-only, texts read as dq writes them, and how long one may take.

    DuckDB is told to download no extension because a statement would need one.

    The server's own limit is for a client that has died: one that lives ends what takes too long a little earlier.
    What is said to MariaDB, MySQL, PostgreSQL, DuckDB and SQLite is tested; the others stand in the vendors' references
    of ``ALTER SESSION`` and ``SET``.

    Args:
        dialect: SQLAlchemy's name; a URL of MySQL may lead to MariaDB, so it is what answered.
        settings: how long a statement may take, and whether it may write.
        write: whether this session shall write.
    """
    read_only = settings.read_only and not write
    milliseconds = max(1, int((settings.timeout + _AFTER).total_seconds() * 1000))
    seconds = -(-milliseconds // 1000)
    folder = str(settings.root or "").replace("'", "''")
    search = (f"SET file_search_path = '{folder}'",) if folder and "," not in folder else ()  # a comma ends a folder
    reading = {
        "mariadb": "SET SESSION TRANSACTION READ ONLY",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
        "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "sqlite": "PRAGMA query_only = ON",
    }
    always = {
        "databricks": (f"SET STATEMENT_TIMEOUT = {seconds}", "SET TIME ZONE 'UTC'"),
        "duckdb": ("SET TimeZone = 'UTC'", "SET autoinstall_known_extensions = false", *search),
        "mariadb": (f"SET SESSION max_statement_time = {milliseconds / 1000}", "SET time_zone = '+00:00'"),
        "mysql": (f"SET SESSION max_execution_time = {milliseconds}", "SET time_zone = '+00:00'"),
        "oracle": ("ALTER SESSION SET TIME_ZONE = 'UTC'",),
        "postgresql": (
            f"SET statement_timeout = {milliseconds}",
            "SET TIME ZONE 'UTC'",
            "SET standard_conforming_strings = on",
        ),
        "redshift": (f"SET statement_timeout = {milliseconds}", "SET timezone TO 'UTC'"),
        "snowflake": (
            f"ALTER SESSION SET STATEMENT_TIMEOUT_IN_SECONDS = {seconds}",
            "ALTER SESSION SET TIMEZONE = 'UTC'",
        ),
        "trino": ("SET TIME ZONE 'UTC'",),
    }
    return (*((reading[dialect],) if read_only and dialect in reading else ()), *always.get(dialect, ()))


def plain_modes(modes: str) -> str:
    """Return the statement that leaves a MariaDB or MySQL session no mode in which texts mean something else.

    Args:
        modes: ``@@sql_mode`` as the server has set it; what else is in it stays, as the users of the server are used
            to it.
    """
    kept = ",".join(mode for mode in modes.split(",") if mode not in _OTHER_SPELLING)
    return f"SET SESSION sql_mode = '{kept}'"


def batches(fetchmany: Callable[[int], Sequence[Sequence[Any]]], size: int) -> Iterator[list[Sequence[Any]]]:
    """Yield what a cursor gives in lists of at most ``size`` rows."""
    while rows := fetchmany(size):
        yield list(rows)
