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

from attrs import define, evolve, field, frozen
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from tests.engines import Live
from tests.servers import Server, open_engine

# PostgreSQL and MariaDB run as another user: what they may write and read has to be open to all.
_SEQUENCES = {
    "duckdb": "SELECT last_value FROM duckdb_sequences()",
    "postgres": "SELECT last_value, is_called FROM canary_seq",
    "mariadb": "SELECT next_not_cached_value FROM canary_seq",
}
_EVERYTHING = {
    "duckdb": [
        "SELECT table_name FROM duckdb_tables() ORDER BY 1", "SELECT view_name FROM duckdb_views() WHERE NOT internal",
        "SELECT function_name FROM duckdb_functions() WHERE NOT internal",
        "SELECT database_name FROM duckdb_databases()",
        "SELECT extension_name, loaded FROM duckdb_extensions() WHERE loaded ORDER BY 1",
    ],
    "sqlite": ["SELECT name, sql FROM sqlite_master ORDER BY 1", "PRAGMA database_list", "PRAGMA user_version"],
    "postgres": [
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "SELECT rolname FROM pg_roles ORDER BY 1",
        "SELECT count(*) FROM pg_largeobject_metadata", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "SELECT datname FROM pg_database ORDER BY 1", "SELECT slot_name FROM pg_replication_slots",
        "SELECT extname FROM pg_extension ORDER BY 1", "SELECT setdatabase, setconfig FROM pg_db_role_setting",
        "SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()",
    ],
    "mariadb": [
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = database() ORDER BY 1",
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = database()",
        "SELECT user, host FROM mysql.user ORDER BY 1",
        "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
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
        owner: executes a statement as the owner of everything, who is not watched, and returns its rows.
        called: names of the functions and files that the engine says it used; only embedded engines tell.
        before: the canaries as they were.
    """

    live: Live
    folder: Path
    arrived: Callable[[], list[Arrived]]
    owner: Callable[[str], list[tuple[object, ...]]]
    called: set[str] = field(factory=set)
    before: dict[str, object] = field(factory=dict)

    def canaries(self) -> dict[str, object]:
        """Return what must be the same afterwards: tables and rows, sequences, functions, users, locks, files."""
        ask = [*_EVERYTHING[self.live.name], "SELECT * FROM canary", "SELECT count(*), sum(amount) FROM orders"]
        ask += [_SEQUENCES[self.live.name]] if self.live.name in _SEQUENCES else []
        state: dict[str, object] = {sql: self.owner(sql) for sql in ask}
        state["files"] = {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}
        return state

    def canary_file_was_read(self) -> bool:
        """Return whether somebody read the file in the folder since :meth:`seal`."""
        return (self.folder / "canary.csv").stat().st_atime > 1

    def seal(self) -> None:
        """Set the time of access back, so that the next reading shows even on file systems mounted ``relatime``."""
        os.utime(self.folder / "canary.csv", (1, time.time()))


def prepare(live: Live, folder: Path) -> None:
    """Make the tables, the sequence and the file that are watched."""
    folder.chmod(0o777)
    (folder / "canary.csv").write_text("id,secret\n1,canary\n", encoding="utf-8")
    (folder / "canary.csv").chmod(0o666)
    live.load("orders", {"id": "integer", "org": "text", "amount": "double", "note": "text", "at": "timestamp"},
              [(1, "a", 5.0, "x", "2024-06-26 12:00:00"), (2, "b", -1.0, "y", "2024-06-26 12:00:00")])  # fmt: skip
    live.load("canary", {"id": "integer", "secret": "text"}, [(1, "canary")])
    if live.name in _SEQUENCES:
        engine = open_engine(live.url)
        with engine.begin() as connection:
            connection.execute(text("CREATE SEQUENCE canary_seq"))
        engine.dispose()


@contextmanager
def watched(live: Live, folder: Path, server: Server | None) -> Iterator[Watch]:
    """Watch a database while the block runs."""
    prepare(live, folder)
    with _HOW[live.name](live, folder, server) as watch:
        watch.before = watch.canaries()
        watch.arrived()
        watch.seal()
        yield watch


def _owner(url: str) -> Callable[[str], list[tuple[object, ...]]]:
    engine = open_engine(url, poolclass=NullPool)

    def execute(sql: str) -> list[tuple[object, ...]]:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(sql)
            return [tuple(row) for row in result] if result.returns_rows else []

    return execute


@contextmanager
def _sqlite(live: Live, folder: Path, _server: None) -> Iterator[Watch]:
    """SQLite calls back with each statement that it runs, and asks an authorizer about each function and file."""
    told: list[tuple[str, float]] = []
    called: set[str] = set()

    def authorize(action: int, first: str | None, second: str | None, *_where: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION and second:
            called.add(second.lower())
        if action == sqlite3.SQLITE_ATTACH:
            called.add(f"ATTACH {first}")
        return sqlite3.SQLITE_OK

    def connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection = plain(*args, **kwargs)
        connection.set_trace_callback(lambda sql: told.append((sql, time.perf_counter())))
        connection.set_authorizer(authorize)
        return connection

    def arrived() -> list[Arrived]:
        ends = [*(began for _, began in told[1:]), time.perf_counter()]
        made = [Arrived(sql, end - began) for (sql, began), end in zip(told, ends, strict=False)]
        told.clear()
        return made

    plain = sqlite3.connect  # the owner's engine has its own name for it
    sqlite3.connect = connect
    try:
        yield Watch(live, folder, arrived, _owner(live.url), called)
    finally:
        sqlite3.connect = plain


@contextmanager
def _duckdb(live: Live, folder: Path, _server: None) -> Iterator[Watch]:
    """DuckDB logs the statements that it runs and the files that it opens; all connections of a process share it."""
    import duckdb  # noqa: PLC0415  # optional

    called: set[str] = set()
    mine = duckdb.connect(live.url.removeprefix("duckdb:///"))
    mine.execute("CALL enable_logging(level := 'trace', storage := 'memory')")
    # A statement is logged when it begins; the last entry of its context is the end of its transaction.
    log = """
        SELECT type, message, epoch(max(timestamp) OVER (PARTITION BY context_id) - timestamp)
        FROM duckdb_logs WHERE connection_id <> current_connection_id()
        QUALIFY type IN ('QueryLog', 'FileSystem', 'HTTP')
        ORDER BY timestamp"""

    def owner(sql: str) -> list[tuple[object, ...]]:
        return mine.execute(sql).fetchall()

    def arrived() -> list[Arrived]:
        entries = mine.execute(log).fetchall()
        mine.execute("CALL truncate_duckdb_logs()")
        called.update(f"{kind} {message}" for kind, message, _ in entries if kind != "QueryLog")
        return [Arrived(message, seconds) for kind, message, seconds in entries if kind == "QueryLog"]

    try:
        yield Watch(live, folder, arrived, owner, called)
    finally:
        mine.close()


_LOGGED = re.compile(r"dq\|([^|]*)\|LOG:  (?:(statement|execute [^:]*): |duration: ([\d.]+) ms)(.*)", re.DOTALL)


@contextmanager
def _postgres(live: Live, folder: Path, server: Server) -> Iterator[Watch]:
    """PostgreSQL writes each statement and its duration to its log, before it answers (log_statement)."""
    own = {"log_statement": "'all'", "log_min_duration_statement": "0", "log_line_prefix": "'dq|%d|'"}
    for name, value in own.items():
        server.run(f"ALTER SYSTEM SET {name} = {value}")
    server.run("SELECT pg_reload_conf()")
    database = live.url.rsplit("/", 1)[1]
    owner = _owner(live.url)
    log = Path(str(owner("SHOW data_directory")[0][0])).parent / "log"
    read = log.stat().st_size

    def arrived() -> list[Arrived]:
        nonlocal read
        with log.open("rb") as lines:
            lines.seek(read)
            new = lines.read()
        read += len(new)
        made: list[Arrived] = []
        for entry in re.split(r"^(?=dq\|)", new.decode("utf-8", "replace"), flags=re.MULTILINE):
            found = _LOGGED.match(entry)
            if found is None or found[1] != database:
                continue
            if found[2]:
                made.append(Arrived(found[4].replace("\n\t", "\n").rstrip("\n"), 0.0))
            elif made:
                made[-1] = evolve(made[-1], seconds=max(made[-1].seconds, float(found[3]) / 1000))
        return made

    try:
        yield Watch(live, folder, arrived, owner)
    finally:
        for name in own:
            server.run(f"ALTER SYSTEM RESET {name}")
        server.run("SELECT pg_reload_conf()")


@contextmanager
def _mariadb(live: Live, folder: Path, server: Server) -> Iterator[Watch]:
    """MariaDB keeps each statement in mysql.general_log, and with its duration in mysql.slow_log."""
    for setting in ("log_output = 'TABLE'", "long_query_time = 0", "general_log = 1", "slow_query_log = 1"):
        server.run(f"SET GLOBAL {setting}")
    reader = open_engine(f"{server.address}/mysql", isolation_level="AUTOCOMMIT")
    connection = reader.connect()
    mine = connection.exec_driver_sql("SELECT connection_id()").scalar_one()

    def arrived() -> list[Arrived]:
        slow = dict(
            connection.exec_driver_sql(
                f"SELECT sql_text, max(time_to_sec(query_time)) FROM slow_log WHERE thread_id <> {mine} GROUP BY 1"
            ).fetchall()
        )
        sent = connection.exec_driver_sql(
            f"SELECT argument FROM general_log WHERE thread_id <> {mine} "
            "AND command_type NOT IN ('Connect', 'Quit', 'Close stmt') ORDER BY event_time"
        ).scalars()
        made = [Arrived(_text(sql), float(slow.get(sql, 0))) for sql in sent]
        for table in ("general_log", "slow_log"):
            connection.exec_driver_sql(f"TRUNCATE {table}")
        return made

    try:
        yield Watch(live, folder, arrived, _owner(live.url))
    finally:
        connection.close()
        reader.dispose()
        for setting in ("general_log = 0", "slow_query_log = 0", "long_query_time = 10", "log_output = 'FILE'"):
            server.run(f"SET GLOBAL {setting}")


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


_HOW: dict[str, Any] = {"sqlite": _sqlite, "duckdb": _duckdb, "postgres": _postgres, "mariadb": _mariadb}
