"""The table of orders in DuckDB and in PostgreSQL, and what their servers cost and receive."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import duckdb
import psycopg
from _orders import COLUMNS, MAKE_CUSTOMERS, MAKE_ORDERS
from _report import server_cpu
from attrs import frozen

from tests.servers import postgres

# A server of a small machine: parallel scans on both processors, and memory for keys.
SETTINGS = {
    "shared_buffers": "2GB",
    "work_mem": "64MB",
    "effective_cache_size": "8GB",
    "max_wal_size": "4GB",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "2",
    "random_page_cost": "1.1",
}
_SENT = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*(?:\n\t.*)*)")
_SCAN = re.compile(r'(?i)(?:from|join)\s+(?:[\w".]+\.)?"?orders"?(?![\w.])')
_ASIDE = ("BEGIN", "COMMIT", "ROLLBACK", "START", "SET", "SHOW", "CALL", "DEALLOCATE", "DISCARD", "CLOSE")

_numbers = count()


@frozen
class Database:
    """A database with the two tables.

    Attributes:
        engine: ``duckdb`` or ``postgres``.
        target: its file, or its address for a driver.
        rows: how many orders.
        spent: the processor time of its server so far, in seconds.
    """

    engine: str
    target: str
    rows: int
    spent: Callable[[], float]


def in_duckdb(rows: int, folder: Path) -> Database:
    """Make a DuckDB file."""
    file = folder / f"orders_{next(_numbers)}_{rows}.duckdb"
    with duckdb.connect(str(file)) as lake:
        customers = max(rows // 20, 1_000)
        lake.execute(f"CREATE TABLE orders AS {MAKE_ORDERS.format(rows=rows, customers=customers)}")
        lake.execute(f"CREATE TABLE customers AS {MAKE_CUSTOMERS.format(customers=customers)}")
    return Database("duckdb", str(file), rows, lambda: 0.0)


def in_postgres(rows: int, folder: Path) -> Database:
    """Make a database of the tests' server, with the same rows."""
    server = _server()
    target = server.new_database().replace("+psycopg", "")
    source = in_duckdb(rows, folder)
    file = folder / "rows.csv"
    with psycopg.connect(target, autocommit=True) as connection, duckdb.connect(source.target) as lake:
        connection.execute(f"CREATE TABLE orders ({COLUMNS})".encode())
        connection.execute("CREATE TABLE customers (customer_id BIGINT, name TEXT)")
        for table in ("orders", "customers"):
            lake.execute(f"COPY {table} TO '{file}' (HEADER FALSE)")
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY {table} FROM STDIN (FORMAT csv)".encode()) as copy,
                file.open("rb") as data,
            ):
                while part := data.read(1 << 20):
                    copy.write(part)
        connection.execute("VACUUM (ANALYZE, FREEZE)")
    file.unlink()
    Path(source.target).unlink()
    return Database("postgres", target, rows, server_cpu(target))


_settled: list[bool] = []


def _server():  # noqa: ANN202  # the tests' own type
    server = postgres()
    if not _settled:
        for name, value in SETTINGS.items():
            server.run(f"ALTER SYSTEM SET {name} = '{value}'")
        server.restart(lambda: None)
        _settled.append(True)
    return server


def end_sessions(database: Database) -> None:
    """End what a contender that was given up left running in the server: it would slow the others down."""
    if database.engine == "postgres":
        with psycopg.connect(database.target, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def sent_to(database: Database, work: Callable[[], object]) -> list[str]:
    """Return what PostgreSQL received while ``work`` was done."""
    name = database.target.rsplit("/", 1)[1]
    with psycopg.connect(database.target, autocommit=True) as connection:
        directory = connection.execute("SHOW data_directory").fetchone()
        connection.execute(f"ALTER DATABASE {name} SET log_statement = 'all'".encode())
    assert directory is not None  # SHOW always answers
    log = Path(directory[0]).parent / "log"
    before = log.stat().st_size
    try:
        work()
    finally:
        time.sleep(0.2)
        with log.open("rb") as lines:
            lines.seek(before)
            text = lines.read().decode(errors="replace")
        postgres().run(f"ALTER DATABASE {name} RESET log_statement")
    return _SENT.findall(text)


def counted(statements: Iterable[str]) -> tuple[int, int]:
    """Return how many statements ask something, and how often they read the table of orders."""
    asking = [sql for sql in statements if not sql.lstrip().upper().startswith(_ASIDE)]
    return len(asking), sum(len(_SCAN.findall(sql)) for sql in asking)
