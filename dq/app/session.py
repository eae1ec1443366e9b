"""Where everything begins: the project, the clock, the store's transactions, the datasources."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from dq.context import Context
from dq.datasource import Datasource, SqlDatasource, completed
from dq.datasource.address import parse
from dq.model.check import Suite
from dq.model.dataset import Dataset
from dq.model.errors import ConfigError, StoreError, UsageError
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation
from dq.model.result import Run, RunKind
from dq.plugins import load_plugin, plugin_names
from dq.project import Project, load_project
from dq.store import ensure, history, open_store
from dq.store import upgrade as upgrade_store

Declared = Suite | Reconciliation
Promising = Declared | Dataset
P = ParamSpec("P")
T = TypeVar("T")

_ROLLED_BACK = ("40001", "40P01", 1213)
"""Serialization failure and deadlock of PostgreSQL (SQLSTATE), deadlock of MariaDB and MySQL (ER_LOCK_DEADLOCK)."""


class RolledBackError(StoreError):
    """The database ended the transaction so that another one could go on; nothing is wrong with either."""


def open_project(path: Path | None = None) -> Project:
    """Return the project that ``path`` (a file or folder; None: ``DQ_HOME`` or the working directory) lies in.

    Raises:
        ConfigError: when there is none, or its ``dq.toml`` is refused.
    """
    return load_project(path)


def judgement_time() -> datetime:
    """Return the time at which things are judged: now, or ``DQ_NOW`` (an ISO time with a zone) to replay history.

    Delivery never reads it: leases and retries live in real time.

    Raises:
        UsageError: when ``DQ_NOW`` is no such time.
    """
    text = os.environ.get("DQ_NOW")
    if not text:
        return datetime.now(UTC)
    try:
        now = datetime.fromisoformat(text)
        if now.tzinfo is not None:
            return now.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise UsageError(f"DQ_NOW={text!r} is not an ISO time with a zone, e.g. 2026-11-20T06:00:00+00:00")


def all_declared(project: Project) -> tuple[Declared, ...]:
    """Return every suite and reconciliation of the project."""
    return (*project.suites.values(), *project.reconciliations.values())


def all_promised(project: Project) -> tuple[Promising, ...]:
    """Return everything of the project that can have an SLA."""
    return (*all_declared(project), *project.datasets.values())


def find_reconciliation(project: Project, declared: str | Reconciliation) -> Reconciliation:
    """Return the reconciliation that ``declared`` is or names.

    Raises:
        UsageError: when there is none of that name.
    """
    found = project.find(declared) if isinstance(declared, str) else declared
    if not isinstance(found, Reconciliation):
        raise UsageError(f"{found.name!r} is a suite, not a reconciliation; use `dq run {found.name}`")
    return found


def kind_of(declared: Declared) -> RunKind:
    """Return the kind of run that a declaration makes."""
    return "suite" if isinstance(declared, Suite) else "reconciliation"


def context_of(project: Project, interval: Interval, now: datetime, *, by_day: bool = False) -> Context:
    """Return what the SQL of a run may depend on."""
    dialect = cache(partial(dialect_of, project))  # it reads secrets and entry points, which every check would pay for
    return Context(interval, now, dict(project.params), project.refuse_functions, by_day, dialect, project.masking)


@contextmanager
def datasources(project: Project) -> Iterator[Callable[[str], Datasource]]:
    """Give a function that opens datasources by name, once each; all are closed in the end."""
    opened: dict[str, Datasource] = {}
    opening = threading.Lock()  # the stages of a reconciliation are counted side by side

    def connect(name: str) -> Datasource:
        with opening:
            if name not in opened:
                opened[name] = open_datasource(project, name)
            return opened[name]

    try:
        yield connect
    finally:
        for datasource in opened.values():
            datasource.close()


def open_datasource(project: Project, name: str) -> Datasource:
    """Return the datasource ``name``; nothing is connected yet.

    Raises:
        ConfigError: when there is none, a secret is missing, or its driver is not installed.
    """
    settings = project.datasource_settings(name)
    url = settings.url.reveal_url()
    password = settings.password.reveal() if settings.password is not None else None
    scheme = url.partition(":")[0]
    if scheme in plugin_names("dq.datasources"):
        return completed(load_plugin("dq.datasources", scheme)(name, url, password))
    return SqlDatasource.of(
        name,
        url,
        password=password,
        engine=settings.url.reveal_engine() if password is None else None,
        timeout=settings.timeout,
        read_only=settings.read_only,
        parallel=settings.parallel,
        max_connections=settings.max_connections,
        write=settings.write,
        root=project.root,
    )


def dialect_of(project: Project, datasource: str) -> str:
    """Return SQLAlchemy's name of a datasource's dialect, without connecting to it.

    Raises:
        ConfigError: when there is no such datasource, or its address cannot be found out or read.
    """
    url = project.datasource_settings(datasource).url.reveal_url()
    scheme = url.partition(":")[0]
    if scheme in plugin_names("dq.datasources"):
        return open_datasource(project, datasource).dialect
    parsed = parse(url)
    if parsed is None:
        raise ConfigError(f"datasource {datasource!r}: its url is not of the form dialect://host/database")
    return parsed.dialect


@contextmanager
def transaction(project: Project) -> Iterator[Connection]:
    """Give a connection to the store inside a transaction.

    Raises:
        StoreError: when the store cannot be used.
    """
    try:
        with store_engine(project).begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        original = getattr(error, "orig", None)
        said = str(original or error).strip().splitlines()
        codes = (getattr(original, "sqlstate", None), getattr(original, "pgcode", None), *getattr(original, "args", ()))
        kind = RolledBackError if any(code in _ROLLED_BACK for code in codes) else StoreError
        raise kind(f"the store cannot be used: {said[0] if said else type(error).__name__}") from None


def in_transaction(
    project: Project, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return what ``work`` returns; it is done in one transaction, and once more where the database rolled it back.

    Raises:
        StoreError: when the store cannot be used.
    """
    try:
        with transaction(project) as connection:
            return work(connection, *args, **kwargs)
    except RolledBackError:
        with transaction(project) as connection:
            return work(connection, *args, **kwargs)


def start_run(
    connection: Connection,
    project: Project,
    declared: Declared,
    interval: Interval,
    origin: str,
    now: datetime,
    kind: RunKind | None = None,
) -> Run:
    """Return the run of that identity, made where it is not there yet, by default of the declaration's kind."""
    kind = kind or kind_of(declared)
    return history.start_run(connection, project.environment, declared.name, kind, interval, origin, now)


def store_engine(project: Project) -> Engine:
    """Return the engine of the project's store, which is at the newest migration.

    Raises:
        StoreError: when it cannot be reached or is not migrated.
    """
    return _ready(*_store_address(project))


def _store_address(project: Project) -> tuple[str, str | None, int]:
    password = project.store.password
    return project.store.url.reveal_url(), None if password is None else password.reveal(), os.getpid()


@lru_cache(maxsize=8)
def _engine(url: str, password: str | None, _pid: int) -> Engine:
    """One engine per process: a connection must not cross a fork, and Airflow forks its workers."""
    try:
        address = make_url(url) if password is None else make_url(url).set(password=password)
    except SQLAlchemyError:
        raise ConfigError("store: its url is not of the form dialect://host/database") from None
    return open_store(address.render_as_string(hide_password=False))


@lru_cache(maxsize=8)
def _ready(url: str, password: str | None, pid: int) -> Engine:
    engine = _engine(url, password, pid)
    ensure(engine)
    return engine


def upgrade(project: Project) -> str:
    """Bring the store to the newest migration; return what was done.

    Raises:
        StoreError: when it cannot be reached or a migration breaks.
    """
    return upgrade_store(_engine(*_store_address(project)))
