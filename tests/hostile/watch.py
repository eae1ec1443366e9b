"""What a database received, told by the database; and canaries that die when more than reading reached it."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from tests.engines import Live
from tests.servers import Server

# PostgreSQL and MariaDB run as another user: what they may write and read has to be open to all.
_SEQUENCES = {
    "duckdb": "SELECT last_value FROM duckdb_sequences()",
    "postgres": "SELECT last_value, is_called FROM canary_seq",
    "mariadb": "SELECT next_not_cached_value FROM canary_seq",
}
_EVERYTHING = {
    "duckdb": [
        "SELECT table_name FROM duckdb_tables() ORDER BY 1", "SELECT view_name FROM duckdb_views() WHERE NOT internal",
        "SELECT function_name FROM duckdb_functions() WHERE NOT internal", "SELECT database_name FROM duckdb_databases()",
        "SELECT extension_name, loaded FROM duckdb_extensions() WHERE loaded ORDER BY 1",
    ],
    "sqlite": ["SELECT name, sql FROM sqlite_master ORDER BY 1", "PRAGMA database_list", "PRAGMA user_version"],
    "postgres": [
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace", "SELECT rolname FROM pg_roles ORDER BY 1",
        "SELECT count(*) FROM pg_largeobject_metadata", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT datname FROM pg_database ORDER BY 1", "SELECT slot_name FROM pg_replication_slots",
        "SELECT extname FROM pg_extension ORDER BY 1", "SELECT setdatabase, setconfig FROM pg_db_role_setting",
        "SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()",
    ],
    "mariadb": [
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database() ORDER BY 1",
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database()",
        "SELECT user, host FROM mysql.user ORDER BY 1", "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
        "SELECT @@global.local_infile, @@global.secure_file_priv", "SELECT count(*) FROM mysql.plugin",
    ],
}  # fmt: skip


@frozen
class Arrived:
    """One statement that reached the database.

    Attributes:
        sql: its text, as the database has it.
        seconds: how long it took, by the clock of the database where it has one.
    """

    sql: str
    seconds: float


@define
class Watch:
    """A database that tells what it received.

    Attributes:
        live: the database.
        folder: a folder that the database's server may read and write, with one file in it.
        arrived: gives what was received since it was called last.
        called: names of the functions and files that the engine says it used; only embedded engines tell.
    """

    live: Live
    folder: Path
    arrived: Callable[[], list[Arrived]]
    called: set[str] = field(factory=set)
    _owner: Engine = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._owner = create_engine(self.live.url)

    def canaries(self) -> dict[str, object]:
        """Return what must be the same afterwards: tables and rows, sequences, functions, users, locks, files."""
        with self._owner.connect() as connection:
            ask = [*_EVERYTHING[self.live.name], "SELECT * FROM canary", "SELECT count(*), sum(amount) FROM orders"]
            ask += [_SEQUENCES[self.live.name]] if self.live.name in _SEQUENCES else []
            state: dict[str, object] = {sql: [tuple(row) for row in connection.exec_driver_sql(sql)] for sql in ask}
        self._owner.dispose()
        state["files"] = {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}
        return state

    def canary_file_was_read(self) -> bool:
        """Return whether somebody read the file in the folder; its time of access is older than it can be."""
        return (self.folder / "canary.csv").stat().st_atime > 1

    def seal(self) -> None:
        """Set the time of access back, so that the next reading shows even on file systems mounted ``relatime``."""
        os.utime(self.folder / "canary.csv", (1, time.time()))


def prepare(live: Live, folder: Path) -> None:
    """Make the tables, the sequence and the file that are watched."""
    folder.mkdir()
    folder.chmod(0o777)
    for parent in folder.parents:  # pytest keeps its folders to itself
        if parent.stat().st_uid == os.geteuid() and parent.name.startswith(("pytest-", "test_")):
            parent.chmod(0o755)
    (folder / "canary.csv").write_text("id,secret\n1,canary\n", encoding="utf-8")
    (folder / "canary.csv").chmod(0o666)
    live.load("orders", {"id": "integer", "org": "text", "amount": "double", "note": "text", "at": "timestamp"},
              [(1, "a", 5.0, "x", "2024-06-26 12:00:00"), (2, "b", -1.0, "y", "2024-06-26 12:00:00")])  # fmt: skip
    live.load("canary", {"id": "integer", "secret": "text"}, [(1, "canary")])
    if live.name in _SEQUENCES:
        engine = create_engine(live.url)
        with engine.begin() as connection:
            connection.execute(text("CREATE SEQUENCE canary_seq"))
        engine.dispose()


@contextmanager
def watched(live: Live, folder: Path, server: Server | None) -> Iterator[Watch]:
    """Watch a database while the block runs."""
    prepare(live, folder)
    how: dict[str, Any] = {"sqlite": _sqlite, "duckdb": _duckdb, "postgres": _postgres, "mariadb": _mariadb}
    with how[live.name](live, folder, server) as watch:
        watch.seal()
        yield watch


@contextmanager
def _sqlite(live: Live, folder: Path, _server: None) -> Iterator[Watch]:
    """SQLite calls back with each statement it runs, and asks an authorizer about each function (sqlite3_trace)."""
    told: list[tuple[str, float]] = []
    called: set[str] = set()

    def authorize(action: int, first: str | None, second: str | None, *_where: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and second:
            called.add(second.lower())
        if action == sqlite3.SQLITE_ATTACH:
            called.add(f"ATTACH {first}")
        return sqlite3.SQLITE_OK

    def connected(connection: Any, _record: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(lambda sql: told.append((sql, time.perf_counter())))
            connection.set_authorizer(authorize)

    def arrived() -> list[Arrived]:
        now = time.perf_counter()
        ends = [began for _, began in told[1:]] + [now]
        made = [Arrived(sql, end - began) for (sql, began), end in zip(told, ends, strict=True)]
        told.clear()
        return made

    with _listening(connected):
        watch = Watch(live, folder, arrived, called)
        watch.canaries()
        yield watch


@contextmanager
def _duckdb(live: Live, folder: Path, _server: None) -> Iterator[Watch]:
    """DuckDB logs queries and the files it opens; its log lives as long as one connection to the file is open."""
    told: list[Arrived] = []
    called: set[str] = set()

    def connected(connection: Any, _record: object) -> None:
        if type(connection).__module__.startswith("duckdb"):
            cursor = connection.cursor()
            cursor.execute("CALL enable_logging(level := 'trace', storage := 'memory')")
            cursor.close()

    def closing(connection: Any, _record: object) -> None:
        if not type(connection).__module__.startswith("duckdb"):
            return
        log = "SELECT type, message FROM duckdb_logs WHERE type IN ('QueryLog', 'FileSystem', 'HTTP') ORDER BY timestamp"
        for kind, message in connection.cursor().execute(log).fetchall():
            if kind == "QueryLog":
                told.append(Arrived(message, 0.0))
            else:
                called.add(message)
        connection.cursor().execute("CALL truncate_duckdb_logs()")

    def arrived() -> list[Arrived]:
        made = [a for a in told if "duckdb_logs" not in a.sql and "enable_logging" not in a.sql]
        told.clear()
        return made

    event.listen(Engine, "close", closing) if False else None
    with _listening(connected, closing):
        yield Watch(live, folder, arrived, called)
