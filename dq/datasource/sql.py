"""The datasource of dq: sessions that are pooled, bounded in time, cancelled, and asked again when they were lost."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from attrs import field, frozen

from dq.datasource import address
from dq.datasource.address import Address
from dq.datasource.columns import Column, read_columns
from dq.datasource.session import Driver, Session, Settings
from dq.model.duration import format_duration
from dq.model.errors import ConfigError, MeasureError

T = TypeVar("T")

# What a database says of a value that it cannot convert or keep quotes it; sentences go to chat, and hold no row's.
_DATA_ERROR = re.compile(
    r"conver|invalid input|invalid value|incorrect|out of range|could not cast|could not decode|truncated|malformed"
    r"|duplicate (entry|key)",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")

_SECRET_OPTION = re.compile(r"pass|pwd|secret|token|credential|private|key|odbc_connect", re.IGNORECASE)

_LOST = (
    "connection refused",
    "connection timed out",
    "could not connect",
    "can't connect",
    "could not set lock on file",
    "server closed the connection",
    "the database system is starting up",
    "too many connections",
)

CONNECT_TRIES = 3
"""How often a connection is tried; only connection-class errors are tried again, a wrong column is told at once."""

CANCEL_SECONDS = 5
"""How long is waited for the end of a statement that was cancelled."""


@frozen
class SqlDatasource:
    """A datasource. Sessions are read-only where the database can, UTC, and bounded in time.

    Attributes:
        name: as in ``dq.toml``.
        timeout: how long one statement may take.
        parallel: how many statements may run side by side.
    """

    name: str
    timeout: timedelta
    parallel: int
    _driver: Driver = field(repr=False)
    _secrets: tuple[str, ...] = field(repr=False)
    _may_write: bool = field(repr=False)
    _pool: _Pool = field(repr=False)

    @classmethod
    def of(
        cls,
        name: str,
        url: str,
        *,
        password: str | None = None,
        engine: Callable[[dict[str, Any]], Any] | None = None,
        timeout: timedelta,
        read_only: bool = True,
        parallel: int | None = None,
        max_connections: int | None = None,
        write: bool = False,
        root: Path | None = None,
    ) -> SqlDatasource:
        """Return the datasource ``name`` at the SQLAlchemy address ``url``; nothing is connected yet.

        Args:
            name: as in ``dq.toml``.
            url: with or without the password.
            password: of the user in ``url``.
            engine: makes the SQLAlchemy engine of the keyword arguments of ``create_engine`` as one dict, where ``url``
                does not tell all that a connection needs.
            timeout: how long one statement may take.
            read_only: whether sessions are opened so where the database can.
            parallel: how many statements may run side by side; by default what is fastest on that database.
            max_connections: how many connections may be open at once; by default as many as run side by side, and at
                least two, because an open stream holds one.
            write: whether :meth:`write` is allowed.
            root: the folder to which the paths of files that are tables refer; None: the working directory.

        Raises:
            ConfigError: when the address is malformed or its driver is not installed.
        """
        place = f"datasource {name!r}"
        parsed = address.parse(url)
        if parsed is None:
            raise ConfigError(f"{place}: its url is not of the form dialect://host/database")
        settings = Settings(timeout, read_only, root)
        native = address.native(parsed) if engine is None else None
        module = import_module(f"dq.datasource.{native or 'alchemy'}")
        driver: Driver = (
            module.open_driver(place, parsed, url, password, settings)
            if engine is None
            else module.take_engine(place, url, engine, settings)
        )
        most = max_connections or max(parallel or driver.parallel, 2)
        parallel = min(parallel or max_connections or driver.parallel, most)
        secrets = secrets_of(parsed, password)
        return cls(name, timeout, parallel, driver, secrets, write, _Pool(place, most, timeout, driver))

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the dialect."""
        return self._driver.dialect

    def fetch(self, sql: str) -> list[Sequence[Any]]:
        """Return all rows of one read-only statement. The text is sent as it is, so ``%`` and ``:`` are safe.

        Raises:
            MeasureError: when it could not be executed; the text holds no secret.
        """
        session, rows = self._asked(lambda session: session.run(sql))
        self._pool.give_back(session)
        return rows

    def stream(self, sql: str, size: int = 10_000) -> Iterator[list[Sequence[Any]]]:
        """Yield the rows of one read-only statement in lists of at most ``size``; the time-out holds for each list.

        Raises:
            MeasureError: when it could not be executed; the text holds no secret.
        """

        def begin(session: Session) -> tuple[Iterator[list[Sequence[Any]]], list[Sequence[Any]]]:
            rest = session.stream(sql, size)
            return rest, next(rest, [])

        session, (rest, rows) = self._asked(begin)
        try:
            while rows:
                yield rows
                rows = self._bounded(lambda: next(rest, []), session)
        except MeasureError:
            self._pool.discard(session)
            raise
        except Exception as error:  # noqa: BLE001  # drivers raise types of their own, e.g. for a broken file
            self._pool.discard(session)
            raise MeasureError(self._sentence(error)) from None
        except BaseException:  # the reader has enough; what is left is not read to the end
            self._pool.discard(session)
            raise
        self._pool.give_back(session)

    def columns(self, table: Sequence[str]) -> tuple[Column, ...]:
        """Return the columns of a table, view or file, in the order of their position.

        Args:
            table: the parts of its name, e.g. ``("sales", "orders")``; of a file its path.

        Raises:
            MeasureError: when there is no such table, or it could not be asked.
        """
        inspect = getattr(self._driver, "inspect", None)
        if inspect is None:
            return read_columns(self, table)
        session, found = self._asked(lambda session: inspect(self.name, session, table))
        self._pool.give_back(session)
        return tuple(found)

    def dry_run(self, sql: str) -> int | None:
        """Return the bytes that a statement would read, where the database tells without running it (BigQuery).

        Raises:
            MeasureError: when it could not be asked, or refuses the statement.
        """
        session, told = self._asked(lambda session: getattr(session, "dry_run", lambda _: None)(sql))
        self._pool.give_back(session)
        return None if told is None else int(told)

    def write(self, *statements: str) -> None:
        """Execute statements that write, in one transaction, in a session of their own.

        Raises:
            ConfigError: when ``dq.toml`` does not mark the datasource ``write = true``.
            MeasureError: when one could not be executed; then nothing is written, where the database can undo it.
        """
        if not self._may_write:
            raise ConfigError(
                f"datasource {self.name!r} is not written to; set write = true in [datasources.{self.name}]"
            )
        with self._pool.apart(everything=self._driver.alone):
            session = None
            try:
                session = self._bounded(partial(self._driver.connect, write=True), None)
                self._bounded(partial(session.write, statements), session)
            except MeasureError:
                raise
            except Exception as error:  # noqa: BLE001  # drivers raise types of their own, e.g. for a broken file
                raise MeasureError(self._sentence(error)) from None
            finally:
                _close(session)
                if self._driver.alone:
                    self._driver.close()

    def cancel(self) -> None:
        """Stop what is running, in the database too, and refuse what comes after."""
        self._pool.cancel()

    def close(self) -> None:
        """Give all connections back."""
        self._pool.close()
        self._driver.close()

    def _asked(self, work: Callable[[Session], T]) -> tuple[Session, T]:
        """Return what ``work`` gives and the session in which it did; a lost connection is tried again."""
        for attempt in range(1, CONNECT_TRIES + 1):
            session = self._pool.take()
            try:
                if session is None:
                    session = self._pool.add(self._bounded(self._driver.connect, None))
                return session, self._bounded(partial(work, session), session)
            except MeasureError:
                self._pool.discard(session)
                raise
            except Exception as error:  # noqa: BLE001  # drivers raise types of their own, e.g. for a broken file
                self._pool.discard(session)
                if attempt == CONNECT_TRIES or not self._is_lost(error):
                    raise MeasureError(self._sentence(error)) from None
                time.sleep(0.2 * attempt)
            except BaseException:
                self._pool.discard(session)
                raise
        raise AssertionError("the loop returns or raises")

    def _bounded(self, work: Callable[[], T], session: Session | None) -> T:
        """Return what ``work`` gives; end the statement in ``session`` when its time is over or the user interrupts.

        It is done in a thread of its own, because a driver that waits in C hears neither.
        """
        done = threading.Event()
        outcome: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                outcome.append(work())
            except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that waits
                failed.append(error)
            finally:
                done.set()

        threading.Thread(target=run, daemon=True).start()
        try:
            in_time = done.wait(None if session is None else self.timeout.total_seconds())
        except BaseException:
            if session is not None:
                _stop(session, done.wait)
            raise
        if not in_time and session is not None:
            _stop(session, done.wait)
            raise MeasureError(
                f"datasource {self.name!r}: the statement took longer than {format_duration(self.timeout)}"
            )
        if failed:
            raise failed[0]
        return outcome[0]

    def _is_lost(self, error: Exception) -> bool:
        words = str(getattr(error, "orig", None) or error).lower()
        return self._driver.is_lost(error) or any(word in words for word in _LOST)

    def _sentence(self, error: Exception) -> str:
        original = getattr(error, "orig", None) or error
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


def _stop(session: Session, ended: Callable[[float], bool]) -> None:
    """Cancel what runs in ``session`` until it has ended: what is only about to begin does not hear the first call."""
    end = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < end:
        with suppress(Exception):  # what cannot be cancelled ends at the server's own limit
            session.cancel()
        if ended(0.25):
            return


def secrets_of(parsed: Address, password: str | None) -> tuple[str, ...]:
    """Return what no sentence may hold, the longest first, plain and as it is spelled in a URL."""
    options = [value for name, value in parsed.query.items() if _SECRET_OPTION.search(name)]
    plain = {secret for secret in (password, parsed.password, *options) if secret}
    return tuple(sorted(plain | {quote(one) for one in plain} | {quote_plus(one) for one in plain}, key=len)[::-1])


class _Pool:
    """The sessions of a datasource, at most ``most``: the idle ones are used again, those in use can be stopped."""

    def __init__(self, place: str, most: int, timeout: timedelta, driver: Driver) -> None:
        self._place, self._timeout, self._driver = place, timeout, driver
        self._most = self._free = most
        self._idle: list[Session] = []
        self._used: list[Session] = []
        self._cancelled = False
        self._changed = threading.Condition()

    def take(self) -> Session | None:
        """Take the room for a session, and return an idle one; None where one is to be opened, and then added.

        Raises:
            MeasureError: when what runs was cancelled, or none gets free because streams hold all of them.
        """
        with self._changed:
            self._occupy(1)
            session = self._idle.pop() if self._idle else None
            if session is not None:
                self._used.append(session)
            return session

    def add(self, session: Session) -> Session:
        """Return ``session``, which was opened in the room that was taken.

        Raises:
            MeasureError: when what runs was cancelled meanwhile.
        """
        with self._changed:
            if not self._cancelled:
                self._used.append(session)
                return session
        _close(session)
        raise MeasureError(f"{self._place}: it was interrupted")

    def give_back(self, session: Session) -> None:
        """Keep ``session`` for the next statement."""
        with self._changed:
            self._used.remove(session)
            self._idle.append(session)
            self._vacate(1)

    def discard(self, session: Session | None) -> None:
        """End ``session``, whose state nobody knows; of None only the room is given back."""
        with self._changed:
            if session is not None:
                self._used.remove(session)
            self._vacate(1)
        _close(session)

    @contextmanager
    def apart(self, *, everything: bool) -> Iterator[None]:
        """Hold the room for one session more; with ``everything`` nothing else is open meanwhile."""
        count = self._most if everything else 1
        with self._changed:
            self._occupy(count)
        try:
            if everything:
                self.close()
                self._driver.close()
            yield
        finally:
            with self._changed:
                self._vacate(count)

    def cancel(self) -> None:
        """Stop what is running, and refuse what comes after."""
        with self._changed:
            self._cancelled = True
            running = list(self._used)
            self._changed.notify_all()
        for session in running:
            _stop(session, partial(self._ended, session))

    def close(self) -> None:
        """End the sessions that are idle."""
        with self._changed:
            idle, self._idle = self._idle, []
        for session in idle:
            _close(session)

    def _ended(self, session: Session, seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: session not in self._used, seconds)

    def _occupy(self, count: int) -> None:
        while self._free < count and not self._cancelled:
            # No statement takes longer than the time-out, so where nothing gets free only streams can be in the way.
            if not self._changed.wait(self._timeout.total_seconds() + CANCEL_SECONDS):
                raise MeasureError(
                    f"{self._place}: no connection got free (max_connections = {self._most}); the time-out was reached"
                )
        if self._cancelled:
            raise MeasureError(f"{self._place}: it was interrupted")
        self._free -= count

    def _vacate(self, count: int) -> None:
        self._free += count
        self._changed.notify_all()


def _close(session: Session | None) -> None:
    if session is not None:
        with suppress(Exception):  # it is given up, whatever it says
            session.close()
