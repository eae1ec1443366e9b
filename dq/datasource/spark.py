"""Spark by PySpark: the tables of its catalogue, and Parquet, CSV, JSON and ORC files.

``spark://local[2]`` is a Spark in this process, ``spark://host:7077`` a standalone cluster, and ``spark://`` whatever
``spark-defaults.conf`` says, or the Spark that already runs in this process. A path behind it is the database in which
names without one are looked up; options behind a question mark are Spark's (``?spark.driver.memory=2g``).
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC
from itertools import count, islice
from pathlib import PurePath
from typing import Any

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import TimestampType

from dq.datasource.address import Address
from dq.datasource.columns import Column, no_table
from dq.datasource.session import Settings
from dq.model.errors import MeasureError

_PLAN = "org.apache.spark.sql.catalyst.plans.logical."
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".orc": "orc"}
# As DuckDB reads them: a header, quotes doubled within quotes, lines within quotes; a broken row is an error, no NULL.
_OPTIONS = {
    "csv": {"header": "true", "inferSchema": "true", "multiLine": "true", "escape": '"', "mode": "FAILFAST"},
    "json": {"mode": "FAILFAST"},
}
_CONFIG = {
    "spark.app.name": "dq",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}
# Nothing comes in from outside; and the 200 parts of Spark's default are for a cluster: here each costs a task.
_LOCAL = {
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "4",
}
_ABSENT = ("TABLE_OR_VIEW_NOT_FOUND", "PATH_NOT_FOUND")
_FAILURES = (PySparkException, Py4JJavaError)
_starting = threading.Lock()


def open_driver(place: str, address: Address, _url: str, _password: str | None, settings: Settings) -> Spark:
    """Return the driver; Spark is not started yet."""
    host = address.host or ""
    if re.fullmatch(r"local(\[.*\])?", host):
        host, config = host if "[" in host else "local[*]", {**_CONFIG, **_LOCAL}
    else:
        host, config = f"spark://{host}:{address.port or 7077}" if host else "", dict(_CONFIG)
    return Spark(place, host, address.database, {**config, **address.query}, settings)


class SparkError(Exception):
    """What Spark says, without the values of rows that its texts quote.

    Attributes:
        name: Spark's name of the condition, e.g. ``TABLE_OR_VIEW_NOT_FOUND``; empty where it has none.
        relation: the table that is not there, as Spark spells it; empty for every other condition.
    """

    def __init__(self, error: PySparkException | Py4JJavaError) -> None:
        self.name, state, said, self.relation = _condition(error)
        # Class 42 is "syntax error or access rule violation": names, but no data.
        lines = re.sub(r"^\[[^\]]*\]\s*", "", said.strip()).splitlines() if state.startswith("42") else []
        words = self.name.replace("_", " ").replace(".", ": ").lower()
        super().__init__(lines[0] if lines else words or "the job failed")


def _condition(error: PySparkException | Py4JJavaError) -> tuple[str, str, str, str]:
    """Return Spark's name of what happened, its SQLSTATE, its text, and the relation it speaks of."""
    if isinstance(error, PySparkException):
        relation = (error.getMessageParameters() or {}).get("relationName", "")
        return error.getCondition() or "", error.getSqlState() or "", str(error), str(relation)
    # What an executor met lies below "job aborted due to stage failure".
    found, cause = ("", "", "", ""), error.java_exception
    while cause is not None:
        if is_instance_of(SparkContext._gateway, cause, "org.apache.spark.SparkThrowable"):  # noqa: SLF001  # no other way
            name = cause.getCondition()
            found = (name, cause.getSqlState() or "", cause.getMessage() or "", "") if name else found
        cause = cause.getCause()
    return found


class Spark:
    """One database of a Spark. All datasources of a process share the Spark, but neither settings nor views."""

    dialect = "spark"
    parallel = 2
    alone = False

    def __init__(
        self, place: str, master: str, database: str | None, config: dict[str, str], settings: Settings
    ) -> None:
        self.place, self._master, self._database = place, master, database
        self._config, self.settings = config, settings
        self._session: SparkSession | None = None
        self._registering = threading.Lock()

    def connect(self, *, write: bool = False) -> Session:
        """Return a new session."""
        with _starting:
            if self._session is None:
                self._session = self._start()
        return Session(self, self._session, read_only=self.settings.read_only and not write)

    def is_lost(self, _error: Exception) -> bool:
        """A Spark that has ended takes its process along."""
        return False

    def inspect(self, datasource: str, session: Session, table: Sequence[str]) -> list[Column]:
        """Return the columns of a table or file.

        Raises:
            MeasureError: when there is no such table.
        """
        name = ".".join(f"`{part.replace('`', '``')}`" for part in table)
        try:
            fields = session.frame(f"TABLE {name}").schema.fields
        except SparkError as error:
            if error.name in _ABSENT:
                raise no_table(datasource, table) from None
            raise
        # Spark takes every column of a file as one that may be NULL; that one may not, it knows of tables only.
        return [Column(field.name, field.dataType.simpleString(), field.nullable) for field in fields]

    def register(self, session: SparkSession, relation: str) -> bool:
        """Make a view of a file that is named as a table; return whether ``relation`` names one.

        Raises:
            MeasureError: when its name does not say what is in it.
        """
        found = re.fullmatch(r"`((?:[^`]|``)+)`", relation)
        name = found[1].replace("``", "`") if found else ""
        kind = next((_SUFFIXES[s] for s in PurePath(name).suffixes[::-1] if s in _SUFFIXES), None)
        if not kind and "/" not in name:
            return False
        path = name if "://" in name or self.settings.root is None else str(self.settings.root / name)
        if kind is None and self.settings.root is not None and (self.settings.root / name).is_dir():
            kind = "delta" if (self.settings.root / name / "_delta_log").exists() else "parquet"
        if kind is None:
            raise MeasureError(f"{self.place}: {name!r} ends in none of {', '.join(_SUFFIXES)}, and is no folder here")
        with self._registering:
            try:
                session.read.format(kind).options(**_OPTIONS.get(kind, {})).load(path).createTempView(relation)
            except _FAILURES as error:
                if SparkError(error).name != "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS":
                    raise SparkError(error) from None
        return True

    def close(self) -> None:
        """Forget the views. Spark itself stays: it takes many seconds to start, and ends with the process."""
        self._session = None

    def _start(self) -> SparkSession:
        # It would log every statement that fails, with the values in it; dq tells of it itself.
        logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)
        running = SparkContext._active_spark_context  # noqa: SLF001  # PySpark offers no other way to ask for it
        if running is not None and self._master and running.master != self._master:
            raise MeasureError(f"{self.place}: a process has one Spark, and another one already runs in this")
        builder = SparkSession.builder.config(
            map={**self._config, **({"spark.master": self._master} if self._master else {})}
        )
        try:
            session = builder.getOrCreate().newSession()
            for name, value in self._config.items():
                if session.conf.isModifiable(name):
                    session.conf.set(name, value)
            if self._database:
                session.catalog.setCurrentDatabase(self._database)
        except _FAILURES as error:
            if isinstance(error, PySparkException) and "JAVA_GATEWAY" in str(error):
                raise MeasureError(f"{self.place}: Spark did not start; it needs Java (`java -version`)") from None
            raise SparkError(error) from None
        return session


class Session:
    """A job group in the session that all sessions of the datasource share."""

    _numbers = count(1)

    def __init__(self, driver: Spark, session: SparkSession, *, read_only: bool) -> None:
        self._driver, self._session, self._read_only = driver, session, read_only
        self._group = f"dq-{next(self._numbers)}"

    def frame(self, sql: str) -> DataFrame:
        """Return the rows of one statement, which are not computed yet.

        Raises:
            SparkError: when Spark refuses it.
            MeasureError: when it writes and may not.
        """
        # Groups are of a thread, and each statement has another one.
        self._session.sparkContext.setJobGroup(self._group, "dq", interruptOnCancel=True)
        try:
            if self._read_only:
                self._refuse_commands(sql)
            return self._session.sql(sql)
        except _FAILURES as caught:
            error = SparkError(caught)
        if error.name in _ABSENT and self._driver.register(self._session, error.relation):
            return self.frame(sql)
        raise error

    def run(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one statement."""
        frame = self.frame(sql)
        try:
            return list(_plain(frame, frame.collect()))
        except _FAILURES as error:
            raise SparkError(error) from None

    def stream(self, sql: str, size: int) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows in lists; Spark computes one part of the table after the other."""
        frame = self.frame(sql)
        try:
            rows = _plain(frame, frame.toLocalIterator())
            while batch := list(islice(rows, size)):
                yield batch
        except _FAILURES as error:
            raise SparkError(error) from None

    def write(self, statements: Sequence[str]) -> None:
        """Execute statements; Spark has no transactions."""
        for statement in statements:
            self.run(statement)

    def cancel(self) -> None:
        """Cancel the jobs of this session."""
        self._session.sparkContext.cancelJobGroup(self._group)

    def close(self) -> None:
        """There is nothing to give back."""

    def _refuse_commands(self, sql: str) -> None:
        """Refuse what is no query: Spark has no session that is read-only, and executes a command when it reads it."""
        kinds = ("Command", "InsertIntoDir", "ParsedStatement")
        plan = self._session._jsparkSession.sessionState().sqlParser().parsePlan(sql)  # noqa: SLF001  # no other way
        while plan.nodeName() == "UnresolvedWith":
            plan = plan.child()
        if any(is_instance_of(SparkContext._gateway, plan, _PLAN + kind) for kind in kinds):  # noqa: SLF001  # as above
            raise MeasureError(f"{self._driver.place}: it is read-only, and the statement is no query")


def _plain(frame: DataFrame, rows: Iterator[Any] | list[Any]) -> Iterator[Sequence[Any]]:
    """Yield the rows as tuples, times as times in UTC: PySpark gives them in the zone of the process, unmarked."""
    times = {i for i, field in enumerate(frame.schema.fields) if isinstance(field.dataType, TimestampType)}
    for row in rows:
        yield tuple(v.astimezone(UTC) if i in times and v is not None else v for i, v in enumerate(row))
