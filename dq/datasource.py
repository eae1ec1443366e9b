"""Datasources: where data lies. A dialect's name and a way to fetch rows is all that the rest of dq sees."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote

import sqlalchemy
from attrs import field, frozen
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from dq.model.duration import format_duration
from dq.model.errors import ConfigError, MeasureError

Row = Sequence[Any]

CONNECT_SECONDS = 10
"""How long a server may take to answer a new connection."""

# What a database says of a value that it cannot convert quotes the value; sentences go to chat, and hold no row's data.
_DATA_ERROR = re.compile(
    r"conver|invalid input|invalid value|incorrect|out of range|could not cast|truncated", re.IGNORECASE
)
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")

CONNECT_TRIES = 3
"""How often a connection is tried; only connection-class errors are tried again, a wrong column is told at once."""


class Datasource(Protocol):
    """What a plug-in of the entry point group ``dq.datasources`` has to offer."""

    @property
    def name(self) -> str:
        """As in ``dq.toml``."""

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the dialect, e.g. ``postgresql``."""

    def fetch(self, sql: str) -> list[Row]:
        """Return all rows of one read-only statement.

        Raises:
            MeasureError: when it could not be executed; the text holds no secret.
        """

    def close(self) -> None:
        """Give all connections back."""


@frozen
class SqlDatasource:
    """A datasource behind SQLAlchemy. Sessions are read-only where the database can, UTC, and bounded in time.

    Attributes:
        name: as in ``dq.toml``.
        dialect: SQLAlchemy's name of the dialect.
        timeout: how long one statement may take.
    """

    name: str
    dialect: str
    timeout: timedelta
    _engine: Engine = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        url: str,
        *,
        password: str | None = None,
        timeout: timedelta,
        read_only: bool = True,
        max_connections: int = 4,
    ) -> SqlDatasource:
        """Return the datasource ``name`` at the SQLAlchemy address ``url``; nothing is connected yet.

        Args:
            name: as in ``dq.toml``.
            url: with or without the password.
            password: of the user in ``url``.
            timeout: how long one statement may take.
            read_only: whether sessions are opened so where the database can.
            max_connections: how many a server is asked for at once; an embedded engine has a file, not connections.

        Raises:
            ConfigError: when the address is malformed or its driver is not installed.
        """
        place = f"datasource {name!r}"
        try:
            parsed = make_url(url)
            if password is not None:
                parsed = parsed.set(password=password)
            parsed = with_driver(parsed)
            if read_only and parsed.get_backend_name() == "sqlite":
                parsed = _read_only_file(parsed)
            backend = parsed.get_backend_name()
            pool = {} if backend in ("sqlite", "duckdb") else {"pool_size": max_connections, "max_overflow": 0}
            engine = create_engine(
                parsed, connect_args=_connect_args(backend, parsed.database, read_only=read_only), **pool
            )
        except ArgumentError:
            raise ConfigError(f"{place}: its url is not of the form dialect://host/database") from None
        except NoSuchModuleError as error:
            raise ConfigError(f"{place}: no driver for {str(error).rsplit(':', 1)[-1]} is installed") from None
        except ImportError as error:
            raise ConfigError(f"{place}: the Python package {error.name!r} is not installed") from None
        dialect = engine.dialect.name

        def prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            kind = dialect
            if dialect in ("mysql", "mariadb"):
                cursor.execute("SELECT version()")
                kind = "mariadb" if "mariadb" in cursor.fetchone()[0].lower() else "mysql"
            for statement in _session(kind, timeout, read_only=read_only):
                cursor.execute(statement)
            cursor.close()
            if dialect == "postgresql":
                connection.commit()

        event.listen(engine, "connect", prepare)
        return cls(name, dialect, timeout, engine, tuple(s for s in (parsed.password,) if s))

    def fetch(self, sql: str) -> list[Row]:
        """Return all rows of one read-only statement. The text is sent as it is, so ``%`` and ``:`` are safe.

        Raises:
            MeasureError: when it could not be executed; the text holds no secret.
        """
        for attempt in range(1, CONNECT_TRIES + 1):
            try:
                with self._engine.connect() as connection, self._bounded(connection):
                    result = connection.execution_options(no_parameters=True).exec_driver_sql(sql)
                    return [tuple(row) for row in result]
            except SQLAlchemyError as error:
                if not _is_connection_error(error) or attempt == CONNECT_TRIES:
                    raise MeasureError(self._sentence(error)) from None
                time.sleep(0.2 * attempt)
            except Exception as error:  # noqa: BLE001  # drivers raise types of their own, e.g. for a broken file
                raise MeasureError(self._sentence(error)) from None
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    @contextmanager
    def _bounded(self, connection: Connection) -> Iterator[None]:
        """Interrupt an embedded engine when the time is over; servers are told at the start of the session."""
        if self.dialect not in ("sqlite", "duckdb"):
            yield
            return
        raw: Any = connection.connection.driver_connection
        late = threading.Event()

        def stop() -> None:
            late.set()
            raw.interrupt()

        timer = threading.Timer(self.timeout.total_seconds(), stop)
        timer.daemon = True
        timer.start()
        try:
            yield
        except Exception:
            if late.is_set():
                raise MeasureError(
                    f"datasource {self.name!r}: the statement took longer than {format_duration(self.timeout)}"
                ) from None
            raise
        finally:
            timer.cancel()

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, MeasureError):
            return str(error)
        original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
        lines = [line.strip() for line in str(original).splitlines() if line.strip()]
        text = lines[0] if lines else type(original).__name__
        for secret in self._secrets:
            text = text.replace(secret, "***")
        text = re.sub(r"://[^@\s/]*@", "://***@", text)
        if _DATA_ERROR.search(text):
            text = _QUOTED.sub("…", text)
        if self.dialect == "duckdb" and "different configuration" in text:
            text = "the file is open for writing in this process; close that connection first, or set read_only = false"
        return f"datasource {self.name!r}: {text.rstrip('.')}"


def with_driver(url: URL) -> URL:
    """Return ``url`` with the driver that dq's extras install, where it names none.

    Airflow 2.11's SQLAlchemy 1.4 does not know psycopg 3.
    """
    postgres = "postgresql+psycopg2" if sqlalchemy.__version__.startswith("1.") else "postgresql+psycopg"
    drivers = {"postgresql": postgres, "postgres": postgres, "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


def _connect_args(backend: str, database: str | None, *, read_only: bool) -> dict[str, Any]:
    if backend == "duckdb":
        return {"read_only": read_only and database not in (None, "", ":memory:")}
    if backend in ("postgresql", "mysql", "mariadb"):
        return {"connect_timeout": CONNECT_SECONDS}
    return {}


def _read_only_file(url: URL) -> URL:
    """Return the address that opens a SQLite file without making it: a mistyped path is an error, no new database."""
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        return url
    return url.set(database="file:" + quote(str(url.database))).update_query_dict({"mode": "ro", "uri": "true"})


def _session(dialect: str, timeout: timedelta, *, read_only: bool) -> tuple[str, ...]:
    """Return what a new session is told; a URL of MySQL may lead to MariaDB, so ``dialect`` is what answered."""
    milliseconds = max(1, int(timeout.total_seconds() * 1000))
    if dialect == "postgresql":
        read = ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",) if read_only else ()
        return (*read, f"SET statement_timeout = {milliseconds}", "SET TIME ZONE 'UTC'")
    if dialect == "sqlite":
        return ("PRAGMA query_only = ON",) if read_only else ()
    if dialect == "duckdb":
        return ("SET TimeZone = 'UTC'",)
    if dialect == "mariadb":
        read = ("SET SESSION TRANSACTION READ ONLY",) if read_only else ()
        return (*read, f"SET SESSION max_statement_time = {milliseconds / 1000}", "SET time_zone = '+00:00'")
    if dialect == "mysql":
        read = ("SET SESSION TRANSACTION READ ONLY",) if read_only else ()
        return (*read, f"SET SESSION max_execution_time = {milliseconds}", "SET time_zone = '+00:00'")
    return ()


def _is_connection_error(error: SQLAlchemyError) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    words = str(error.orig).lower()
    refused = (
        "connection refused",
        "connection timed out",
        "could not connect",
        "can't connect",
        "could not set lock on file",
        "server closed the connection",
        "the database system is starting up",
        "too many connections",
    )
    return any(word in words for word in refused)
