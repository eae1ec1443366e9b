"""DuckDB: one connection per process and file, and a cursor of it per session."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

from dq.datasource.address import Address
from dq.datasource.columns import Column, columns_sql, no_table
from dq.datasource.session import Settings, batches, opening

STREAM_MEMORY = "100MB"
"""What DuckDB may hold of a stream, which is for results that may be larger than memory; the rest is on disk meanwhile.

Measured: grouping and sorting 10 million texts takes a fifth longer, and 0.2 GB in all instead of 1.1 GB.
"""


def open_driver(_place: str, address: Address, _url: str, _password: str | None, settings: Settings) -> DuckDB:
    """Return the driver; the file is not opened yet."""
    return DuckDB(address.database or ":memory:", settings)


class DuckDB:
    """One file, or the memory of this process."""

    dialect = "duckdb"
    parallel = 1

    def __init__(self, file: str, settings: Settings) -> None:
        self._file, self._settings = file, settings
        self.alone = file != ":memory:"
        self._root: duckdb.DuckDBPyConnection | None = None
        self._opening = threading.RLock()  # what is collected may end a stream at any time
        self._streams = self._large = 0

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session. DuckDB opens a file for all sessions alike, so one that writes has to be alone."""
        read_only = self._settings.read_only and not write and self._file != ":memory:"
        with self._opening:
            if self._root is None:
                self._root = duckdb.connect(self._file, read_only=read_only)
                with suppress(duckdb.Error):  # somebody else in this process has the file open, and has it set
                    # By default it is beside the file, where one that only reads may not be allowed to write.
                    folder = tempfile.gettempdir().replace("'", "''")
                    self._root.execute(f"SET temp_directory = '{folder}/dq-duckdb'")
            cursor = self._root.cursor()
        for statement in opening(self.dialect, self._settings, write=write):
            cursor.execute(statement)
        return Session(cursor, self)

    @contextmanager
    def holding(self, *, all_it_needs: bool) -> Iterator[None]:
        """Let DuckDB hold less than it would, or not; the limit is one of the whole file, so those that need it win."""
        streams, large = int(not all_it_needs), int(all_it_needs)
        with self._opening:
            root = self._root
            self._count(streams, large)
        try:
            yield
        finally:
            with self._opening:
                if root is self._root:
                    self._count(-streams, -large)

    def _count(self, streams: int, large: int) -> None:
        before = self.is_short
        self._streams, self._large = self._streams + streams, self._large + large
        if self._root is not None and self.is_short is not before:
            self._root.execute(f"SET memory_limit = '{STREAM_MEMORY}'" if self.is_short else "RESET memory_limit")

    @property
    def is_short(self) -> bool:
        """Whether DuckDB may hold no more than of a stream."""
        return self._streams > 0 and not self._large

    def is_lost(self, _error: Exception) -> bool:
        """A file is not lost."""
        return False

    def inspect(self, datasource: str, session: Session, table: Sequence[str]) -> list[Column]:
        """Return the columns of a table or file.

        Raises:
            MeasureError: when there is no such table.
        """
        try:
            rows = session.run(columns_sql(self.dialect, table))
        except duckdb.CatalogException:
            raise no_table(datasource, table) from None
        except duckdb.IOException as error:
            if "No files found" in str(error):
                raise no_table(datasource, table) from None
            raise
        return [Column(str(name), str(kind), null == "YES") for name, kind, null, *_ in rows]

    def close(self) -> None:
        """Close the file."""
        with self._opening:
            if self._root is not None:
                self._root.close()
            self._root, self._streams, self._large = None, 0, 0


class Session:
    """A cursor, which is a connection of its own to the same database."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, driver: DuckDB) -> None:
        self._cursor, self._driver = cursor, driver

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        try:
            return list(self._cursor.execute(sql).fetchall())
        except duckdb.OutOfMemoryException:
            if not self._driver.is_short:
                raise
            with self._driver.holding(all_it_needs=True):
                return list(self._cursor.execute(sql).fetchall())

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists; DuckDB computes them as they are asked for."""
        begun = False
        try:
            with self._driver.holding(all_it_needs=False):
                for rows in batches(self._cursor.execute(sql).fetchmany, size):
                    begun = True
                    yield rows
                return
        except duckdb.OutOfMemoryException:
            if begun:
                raise
        with self._driver.holding(all_it_needs=True):  # not all that a statement holds can lie on disk
            yield from batches(self._cursor.execute(sql).fetchmany, size)

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements in one transaction."""
        self._cursor.begin()
        for statement in statements:
            self._cursor.execute(statement)
        self._cursor.commit()

    def cancel(self) -> None:
        """Interrupt the statement of this cursor only."""
        self._cursor.interrupt()

    def close(self) -> None:
        """Close the cursor."""
        self._cursor.close()
