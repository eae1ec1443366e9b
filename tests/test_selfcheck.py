"""Selfcheck: the shared cases on every live engine; what differs, is refused or breaks; nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

import dq.checks
from dq.datasource import SqlDatasource
from dq.model.errors import ConfigError, DqError
from dq.model.table import Table
from dq.selfcheck import PREFIX, by_kind, cases, selfcheck
from tests.engines import Live, live

__all__ = ["live"]

DQ = Path(sys.executable).with_name("dq")


def schema_of(live: Live) -> str:
    return {"postgres": "public", "mariadb": live.url.rsplit("/", 1)[1]}.get(live.name, "main")


def opened(live: Live) -> SqlDatasource:
    return SqlDatasource.of("scratch", live.url, timeout=timedelta(seconds=20), write=True)


def left(live: Live, source: SqlDatasource | None = None) -> set[str]:
    """Return the tables that are there."""
    listed = {
        "sqlite": "SELECT name FROM sqlite_master",
        "mariadb": "SELECT table_name FROM information_schema.tables WHERE table_schema = database()",
    }.get(live.name, f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema_of(live)}'")
    return {str(row[0]) for row in (source or live.datasource()).fetch(listed)}


@pytest.fixture(autouse=True)
def _there(live: Live) -> None:
    live.load("mine", {"id": "integer"}, [(1,)])


def test_every_case_holds_on_every_engine(live: Live) -> None:
    found = selfcheck(lambda: opened(live), schema_of(live))
    assert [one for one in found if one.state != "holds"] == []
    assert left(live) == {"mine"}


def test_every_kind_has_a_case() -> None:
    table = Table("x", "y")
    assert {case.kind for case in cases(table, table, "y")} == set(dq.checks.__all__)


@frozen
class Odd:
    """A real datasource that answers some statements otherwise."""

    source: SqlDatasource
    lies: Callable[[str, list[Sequence[Any]]], list[Sequence[Any]]]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def fetch(self, sql: str) -> list[Sequence[Any]]:
        return self.lies(sql, self.source.fetch(sql))


def test_an_engine_that_answers_wrongly_is_found(live: Live) -> None:
    def lies(sql: str, rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
        return [(int(rows[0][0]) + 1,)] if "COUNT(DISTINCT" in sql and "code" in sql else rows

    kinds = {k.kind: k for k in by_kind(selfcheck(lambda: Odd(opened(live), lies), schema_of(live)))}  # type: ignore[arg-type, return-value]  # the rest is that of the real one
    assert kinds["DistinctCount"].state == "differs"
    assert kinds["DistinctCount"].said == "the number of different code: observed is 6, not 5"
    assert kinds["RowCount"].state == "holds"


def test_what_an_engine_does_not_do_is_told(live: Live) -> None:
    def lies(sql: str, rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
        if "JSON" in sql:
            raise DqError("datasource 'scratch': no such function")
        return rows

    kinds = {k.kind: k for k in by_kind(selfcheck(lambda: Odd(opened(live), lies), schema_of(live)))}  # type: ignore[arg-type, return-value]  # as above
    assert kinds["ValidJson"].state == "broken"
    assert "no such function" in kinds["ValidJson"].said
    assert {k.state for k in kinds.values() if k.kind != "ValidJson"} == {"holds"}, "one breaks, and no other"


def test_nothing_is_written_without_leave(live: Live) -> None:
    with pytest.raises(ConfigError, match="write = true"):
        selfcheck(live.datasource, schema_of(live))
    assert left(live) == {"mine"}


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_takes_its_tables_away(live: Live, error: type[BaseException]) -> None:
    def lies(sql: str, rows: list[Sequence[Any]]) -> list[Sequence[Any]]:
        raise error

    with pytest.raises(error):
        selfcheck(lambda: Odd(opened(live), lies), schema_of(live))  # type: ignore[arg-type, return-value]  # as above
    assert left(live) == {"mine"}


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def root(make_project: Callable[..., Path], live: Live) -> Path:
    """A project that may write to the engine."""
    return make_project(
        """
[datasources.scratch]
url = "env:SCRATCH_URL"
write = true
[datasources.safe]
url = "env:SCRATCH_URL"
"""
    )


def dq_(root: Path, live: Live, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DQ, *args], cwd=root, env=environment(live), capture_output=True, text=True, timeout=60, check=False
    )


def environment(live: Live) -> dict[str, str]:
    return {**os.environ, "SCRATCH_URL": live.url}


@pytest.mark.slow
def test_the_command(root: Path, live: Live) -> None:
    done = dq_(root, live, "selfcheck", "scratch", "--schema", schema_of(live))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^RowCount +holds +4  -$", done.stdout, re.MULTILINE)
    assert done.stderr.startswith(f"scratch: {len(dq.checks.__all__)} of {len(dq.checks.__all__)} kinds hold in ")
    document = json.loads(dq_(root, live, "selfcheck", "scratch", "--schema", schema_of(live), "--json").stdout)
    assert document["exit_code"] == 0 and len(document["kinds"]) == len(dq.checks.__all__)
    safe = dq_(root, live, "selfcheck", "safe", "--schema", schema_of(live))
    assert safe.returncode == 2 and "write = true in [datasources.safe]" in safe.stderr
    nowhere = dq_(root, live, "selfcheck", "scratch", "--schema", "nowhere")
    assert nowhere.returncode == 3
    assert nowhere.stderr.count("\n") == 1 and "nowhere" in nowhere.stderr
    assert dq_(root, live, "selfcheck", "scratch").returncode == 2
    assert left(live) == {"mine"}


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing_for_long(root: Path, live: Live, end: signal.Signals) -> None:
    if live.name == "duckdb":
        pytest.skip("a file that another process has open cannot be looked at")
    source = live.datasource()
    # On a busy machine a run may be over before it is seen.
    said = next(filter(None, (ended(root, live, source, end) for _ in range(20))), None)
    assert said is not None, "no run was caught in the act"
    if end is signal.SIGKILL:
        assert said == (-end, b"")
        assert dq_(root, live, "selfcheck", "scratch", "--schema", schema_of(live)).returncode == 0
    else:
        assert said == (130, b"dq: interrupted\n")
    assert left(live) == {"mine"}


def ended(root: Path, live: Live, source: SqlDatasource, end: signal.Signals) -> tuple[int, bytes] | None:
    """End a run while its tables are there; return how it ended and what it said. None: it was over before."""
    command = [DQ, "selfcheck", "scratch", "--schema", schema_of(live)]
    with subprocess.Popen(
        command, cwd=root, env=environment(live), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not any(name.startswith(PREFIX) for name in left(live, source)):
            if process.poll() is not None:
                process.communicate()
                return None
        process.send_signal(end)
        _, said = process.communicate(timeout=30)
    return None if process.returncode == 0 else (process.returncode, said)
