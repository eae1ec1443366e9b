"""The servers that other tests stand on: they run, databases are empty and apart, and all ends with the process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import text

from tests import servers


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_each_database_is_empty_and_apart(kind: str, request: pytest.FixtureRequest) -> None:
    server: servers.Server = request.getfixturevalue(f"{kind}_server")
    urls = [server.new_database(), server.new_database()]
    for url in urls:
        engine = servers.open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE t (a INTEGER)"))
            connection.execute(text("INSERT INTO t VALUES (1)"))
            assert connection.execute(text("SELECT count(*) FROM t")).scalar() == 1
        engine.dispose()
        server.drop_database(url)


@pytest.mark.slow
def test_a_killed_test_process_leaves_no_server() -> None:
    code = "from tests import servers; print(servers.postgres().address, flush=True); import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    address = child.stdout.readline().strip()
    port = int(address.rsplit(":", 1)[1])
    assert servers_on(port)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    end = time.monotonic() + 20
    while servers_on(port):
        assert time.monotonic() < end, "the server outlived the process that started it"
        time.sleep(0.1)
    # One whose process was killed while it was made has no such file.
    for options in Path(tempfile.gettempdir()).glob("dq-pg-*/data/postmaster.opts"):
        directory = options.parents[1]
        if f"port={port}" in options.read_text(encoding="utf-8"):
            shutil.rmtree(directory)


def servers_on(port: int) -> bool:
    """Whether something listens on a loopback port."""
    wanted = f":{port:04X}"
    rows = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(row.split()[1].endswith(wanted) and row.split()[3] == "0A" for row in rows)


def test_a_missing_part_is_skipped_and_required_when_all_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DQ_REQUIRE_ALL", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program is not tested"):
        servers.require_program("no-such-program")
    monkeypatch.setenv("DQ_REQUIRE_ALL", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-program is missing"):
        servers.require_program("no-such-program")


def test_histories_are_the_same_each_time(histories: Callable[[int, int], Iterator[Random]]) -> None:
    once = [rng.random() for rng in histories(3, 3)]
    assert once == [rng.random() for rng in histories(3, 3)]
    assert len(set(once)) == 3


def test_the_environment_of_the_shell_does_not_reach_tests() -> None:
    assert not {"DQ_HOME", "DQ_ENVIRONMENT", "DQ_NOW"} & set(os.environ)
