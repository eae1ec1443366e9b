"""Opening and migrating the store: SQLite embedded by default, PostgreSQL or MariaDB / MySQL by URL."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Column, MetaData, String, Table, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from dq.datasource.alchemy import with_driver
from dq.model.errors import ConfigError, StoreError
from dq.store.schema import CHARSET, metadata

HEAD = "0008"
"""The newest migration; a store that is not there yet is refused, or upgraded where it is embedded."""

VERSION_TABLE = "dq_alembic_version"
_VERSION = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))  # as Alembic has it

BUSY_SECONDS = 30
"""How long a writer of the embedded store waits for another one."""


def open_store(url: str) -> Engine:
    """Return the engine of the store at the SQLAlchemy address ``url``; a server is not connected yet.

    Raises:
        ConfigError: when the address is malformed or its driver is not installed.
        StoreError: when the folder of an embedded store cannot be made.
    """
    try:
        parsed = with_driver(make_url(url))
        options = {}
        if parsed.get_backend_name() in ("mysql", "mariadb"):
            # They read an old snapshot and lock gaps by default: closes of two suites would deadlock.
            options = {"isolation_level": "READ COMMITTED"}
            # Some drivers take less than any text by default, and an address may ask for less, e.g. charset=utf8.
            if parsed.get_driver_name() != "mariadbconnector":  # it takes any text, and no such word
                parsed = parsed.update_query_dict({"charset": CHARSET})
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite", **options)
    except (ArgumentError, NoSuchModuleError):
        raise ConfigError(
            "store: its url is not of the form dialect://host/database with a dialect that is installed"
        ) from None
    except ImportError as error:
        raise ConfigError(f"store: the Python package {error.name!r} is not installed") from None
    if engine.dialect.name == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            try:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"store: the folder {Path(parsed.database).parent} cannot be made: {error.strerror}"
                ) from None
        _embedded(engine)
    return engine


def _embedded(engine: Engine) -> None:
    """Make SQLite safe for several processes: WAL, a busy time-out, and writers that queue at BEGIN, not at COMMIT."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        _write_ahead(cursor)
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _write_ahead(cursor: sqlite3.Cursor) -> None:
    """Switch to WAL. SQLite does not wait for others with that, so two processes on a new store would collide."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def current(connection: Connection) -> str | None:
    """Return the migration that the store is at; None: it has no tables of dq yet."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    row = connection.execute(select(_VERSION.c.version_num)).first()
    return None if row is None else str(row[0])


def ensure(engine: Engine) -> None:
    """Make sure that the store is at the newest migration. An embedded store is made or upgraded on the way.

    Raises:
        StoreError: when it cannot be reached, or a server's store is not upgraded yet.
    """
    try:
        with engine.connect() as connection:
            found = current(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"the store cannot be reached: {_first_line(error)}") from None
    if found == HEAD:
        return
    if engine.dialect.name != "sqlite":
        state = "has no tables yet" if found is None else f"is at migration {found}, not {HEAD}"
        raise StoreError(f"the store {state}; run `dq db upgrade`")
    upgrade(engine)


def upgrade(engine: Engine) -> str:
    """Bring the store to the newest migration and return what was done, for people. Harmless when repeated.

    Raises:
        StoreError: when it cannot be reached or a migration breaks.
    """
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7241902)"))
            found = current(connection)
            if found == HEAD:
                return f"the store is at migration {HEAD} already"
            if found is None:
                # A new store is made from today's tables at once; a test holds them against the migrations.
                metadata.create_all(connection)
                _VERSION.create(connection)
                connection.execute(insert(_VERSION).values(version_num=HEAD))
                return f"the store was made, at migration {HEAD}"
            migrate(connection)
            return f"the store was upgraded from migration {found} to {HEAD}"
    except SQLAlchemyError as error:
        raise StoreError(f"the store cannot be upgraded: {_first_line(error)}") from None


def migrate(connection: Connection, to: str = "head") -> None:
    """Run the migrations that are missing, inside the caller's transaction.

    Args:
        connection: in a transaction.
        to: the last one to run; the newest by default.

    Raises:
        StoreError: when the store is at a migration that this dq does not know.
    """
    from alembic import command  # noqa: PLC0415  # loaded only by those who upgrade
    from alembic.config import Config  # noqa: PLC0415  # as above
    from alembic.util import CommandError  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, to)
    except CommandError:
        found = current(connection)
        raise StoreError(
            f"the store is at migration {found}, which this dq does not know; install a newer dq"
        ) from None


def _first_line(error: SQLAlchemyError) -> str:
    original = str(getattr(error, "orig", None) or error).strip()
    return original.splitlines()[0].rstrip(".") if original else type(error).__name__
