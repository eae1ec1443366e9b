"""Every database that SQLAlchemy has a dialect for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, NoSuchTableError
from sqlalchemy.pool import NullPool

from dq.datasource.address import Address
from dq.datasource.columns import Column, no_table
from dq.datasource.session import CONNECT_SECONDS, Settings, batches, opening, plain_modes
from dq.model.errors import ConfigError

EXTRAS = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mariadb": "mysql",
    **{
        name: name
        for name in (
            "bigquery", "databricks", "duckdb", "mssql", "mysql", "oracle", "redshift", "snowflake", "spark", "trino"
        )
    },
}  # fmt: skip
"""The extra of dq that installs the driver of a dialect."""


def open_driver(place: str, _address: Address, url: str, password: str | None, settings: Settings) -> Alchemy:
    """Return the driver; nothing is connected yet.

    Raises:
        ConfigError: when the address is malformed or its driver is not installed.
    """
    with _told(place, url):
        parsed = with_driver(make_url(url))
        if password is not None:
            parsed = parsed.set(password=password)
        return Alchemy(_engine(parsed, settings, write=False), _engine(parsed, settings, write=True), settings)


def take_engine(place: str, url: str, make: Callable[[dict[str, Any]], Engine], settings: Settings) -> Alchemy:
    """Return the driver of engines that somebody else makes; nothing is connected yet.

    Raises:
        ConfigError: when it cannot be made.
    """
    with _told(place, url):
        parsed = make_url(url)
        try:
            reading, writing = (make(_options(parsed, settings, write=write)) for write in (False, True))
        except (NoSuchModuleError, ImportError):
            raise
        except Exception as error:  # noqa: BLE001  # foreign code, whose text may hold a secret
            raise ConfigError(f"{place}: its engine cannot be made ({type(error).__name__})") from None
        return Alchemy(reading, writing, settings)


@contextmanager
def _told(place: str, url: str) -> Iterator[None]:
    """Tell what is wrong with an address or its driver in one sentence."""
    try:
        yield
    except NoSuchModuleError as error:
        raise ConfigError(f"{place}: no driver for {str(error).rsplit(':', 1)[-1]} is installed{_extra(url)}") from None
    except (ArgumentError, ValueError):
        raise ConfigError(f"{place}: its url is not of the form dialect://host/database") from None
    except ImportError as error:
        raise ConfigError(f"{place}: the Python package {error.name!r} is not installed{_extra(url)}") from None


def _extra(url: str) -> str:
    """Return how dq installs what the dialect of ``url`` needs, as the end of a sentence."""
    extra = EXTRAS.get(url.partition(":")[0].partition("+")[0])
    return f"; pip install 'dq-sla[{extra}]'" if extra else ""


def with_driver(url: URL) -> URL:
    """Return ``url`` with the driver that dq's extras install, where it names none.

    Airflow 2.11's SQLAlchemy 1.4 does not know psycopg 3: there an address that names it is opened by psycopg2, so that
    one ``dq.toml`` serves both lines of Airflow.
    """
    postgres = "postgresql+psycopg2" if sqlalchemy.__version__.startswith("1.") else "postgresql+psycopg"
    drivers = {
        "postgresql+psycopg": postgres,
        "mariadb": "mariadb+pymysql",
        "mssql": "mssql+pymssql",
        "mysql": "mysql+pymysql",
        "oracle": "oracle+oracledb",
        "postgres": postgres,
        "postgresql": postgres,
        "redshift": "redshift+redshift_connector",
    }
    return url.set(drivername=drivers.get(url.drivername, url.drivername))


def _engine(url: URL, settings: Settings, *, write: bool) -> Engine:
    options = _options(url, settings, write=write)
    if url.get_backend_name() == "sqlite" and settings.read_only and not write:
        url = _read_only_file(url)
    return create_engine(url, **options)


def _options(url: URL, settings: Settings, *, write: bool) -> dict[str, Any]:
    """Return the keyword arguments of ``create_engine``, whoever calls it."""
    backend = url.get_backend_name()
    arguments: dict[str, Any] = {}
    if backend == "sqlite":
        arguments = {"check_same_thread": False}
    elif backend == "duckdb":
        file = url.database not in (None, "", ":memory:")
        arguments = {"read_only": settings.read_only and not write and file}
    elif backend in ("postgresql", "mysql", "mariadb"):
        arguments = {"connect_timeout": CONNECT_SECONDS}
    return {"poolclass": NullPool, "future": True} | ({"connect_args": arguments} if arguments else {})


def _read_only_file(url: URL) -> URL:
    """Return the address that opens a SQLite file without making it: a mistyped path is an error, no new database."""
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        return url
    return url.set(database="file:" + quote(str(url.database))).update_query_dict({"mode": "ro", "uri": "true"})


class Alchemy:
    """One database by SQLAlchemy."""

    parallel = 2

    def __init__(self, engine: Engine, writing: Engine, settings: Settings) -> None:
        self._engines, self._settings = {False: engine, True: writing}, settings
        self.dialect = engine.dialect.name
        self.alone = self.dialect == "duckdb"

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session."""
        session = Session(self._engines[write])
        kind = self.dialect
        if kind in ("mysql", "mariadb"):
            version, modes = session.run("SELECT version(), @@sql_mode")[0]
            kind = "mariadb" if "mariadb" in str(version).lower() else "mysql"
            session.tell(plain_modes(str(modes)))
        if kind == "sqlite":
            session.add_functions()
        for statement in opening(kind, self._settings, write=write):
            session.tell(statement)
        return session

    def is_lost(self, error: Exception) -> bool:
        """Whether the dialect knows the error as the end of the connection."""
        return isinstance(error, DBAPIError) and bool(error.connection_invalidated)

    def inspect(self, datasource: str, session: Session, table: Sequence[str]) -> list[Column]:
        """Return the columns of a table, as SQLAlchemy's dialect finds them out.

        Raises:
            MeasureError: when there is no such table.
        """
        try:
            return session.columns(table)
        except NoSuchTableError:
            raise no_table(datasource, table) from None

    def close(self) -> None:
        """Give back what the engines hold."""
        for engine in self._engines.values():
            engine.dispose()


class Session:
    """A connection."""

    def __init__(self, engine: Engine) -> None:
        self._connection: Connection = engine.connect()
        self._cursor: Any = None
        event.listen(self._connection, "before_cursor_execute", self._remember)

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        result = self._execute(sql)
        rows: list[Sequence[Any]] = [tuple(row) for row in result] if result.returns_rows else []
        self._connection.rollback()
        return rows

    def tell(self, statement: str) -> None:
        """Execute a statement about the session itself."""
        self._execute(statement)
        self._connection.commit()

    def add_functions(self) -> None:
        """Give a connection of SQLite the functions of dq."""
        import_module("dq.datasource.sqlite").add_functions(self._connection.connection.driver_connection)

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists, by a server-side cursor where the dialect has one."""
        result = self._execute(sql, stream_results=True, max_row_buffer=size)
        for rows in batches(result.fetchmany, size):
            yield [tuple(row) for row in rows]
        self._connection.rollback()

    def dry_run(self, sql: str) -> int | None:
        """Return the bytes that BigQuery would read; None on other databases.

        Its DB-API takes the configuration of a job (cloud.google.com/python/docs/reference/bigquery/latest/dbapi).
        """
        if self._connection.dialect.name != "bigquery":
            return None
        config = import_module("google.cloud.bigquery").QueryJobConfig(dry_run=True, use_query_cache=False)
        cursor: Any = self._connection.connection.cursor()
        cursor.execute(sql, job_config=config)
        told = cursor.query_job.total_bytes_processed
        cursor.close()
        return None if told is None else int(told)

    def columns(self, table: Sequence[str]) -> list[Column]:
        """Return the columns of a table."""
        schema = ".".join(table[:-1]) or None
        inspector = sqlalchemy.inspect(self._connection)
        found = inspector.get_columns(table[-1], schema)
        if not found and not inspector.has_table(table[-1], schema):  # SQLAlchemy 1.4 does not say so by itself
            raise NoSuchTableError(table[-1])
        dialect = self._connection.dialect
        columns = [Column(str(c["name"]), c["type"].compile(dialect), c.get("nullable")) for c in found]
        self._connection.rollback()
        return columns

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements in one transaction."""
        for statement in statements:
            self._execute(statement)
        self._connection.commit()

    def cancel(self) -> None:
        """Stop the statement as the driver offers it; some offer nothing."""
        raw: Any = self._connection.connection.driver_connection
        if self._connection.dialect.name in ("mysql", "mariadb"):
            with self._connection.engine.connect() as other:
                other.exec_driver_sql(f"KILL QUERY {raw.thread_id()}")
            return
        for target, name in ((raw, "cancel"), (raw, "interrupt"), (self._cursor, "cancel")):
            stop = getattr(target, name, None)
            if stop is not None:
                stop()
                return

    def close(self) -> None:
        """Close the connection."""
        with suppress(Exception):
            self._connection.invalidate()
        self._connection.close()

    def _execute(self, sql: str, **options: Any) -> Any:
        return self._connection.execution_options(no_parameters=True, **options).exec_driver_sql(sql)

    def _remember(self, _connection: Any, cursor: Any, *_rest: Any) -> None:
        self._cursor = cursor
