"""Sessions: what a driver has to offer, and what a new session is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, Protocol

from attrs import frozen

CONNECT_SECONDS = 10
"""How long a server may take to answer a new connection."""

_AFTER = timedelta(seconds=2)


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
    """

    timeout: timedelta
    read_only: bool


def opening(dialect: str, settings: Settings, *, write: bool) -> tuple[str, ...]:
    """Return what a new session is told.

    The server's own limit is for a client that has died: one that lives ends what takes too long a little earlier.

    Args:
        dialect: SQLAlchemy's name; a URL of MySQL may lead to MariaDB, so it is what answered.
        settings: how long a statement may take, and whether it may write.
        write: whether this session shall write.
    """
    milliseconds = max(1, int((settings.timeout + _AFTER).total_seconds() * 1000))
    read_only = settings.read_only and not write
    if dialect == "postgresql":
        read = ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",) if read_only else ()
        return (*read, f"SET statement_timeout = {milliseconds}", "SET TIME ZONE 'UTC'")
    if dialect == "sqlite":
        return ("PRAGMA query_only = ON",) if read_only else ()
    if dialect == "duckdb":
        return ("SET TimeZone = 'UTC'",)
    read = ("SET SESSION TRANSACTION READ ONLY",) if read_only else ()
    if dialect == "mariadb":
        return (*read, f"SET SESSION max_statement_time = {milliseconds / 1000}", "SET time_zone = '+00:00'")
    if dialect == "mysql":
        return (*read, f"SET SESSION max_execution_time = {milliseconds}", "SET time_zone = '+00:00'")
    return ()


def batches(fetchmany: Callable[[int], Sequence[Sequence[Any]]], size: int) -> Iterator[list[Sequence[Any]]]:
    """Yield what a cursor gives in lists of at most ``size`` rows."""
    while rows := fetchmany(size):
        yield list(rows)
