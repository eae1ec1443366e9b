"""One contender in a process of its own, in its own environment: prints as JSON what it found and what that cost.

``python bench/_contender.py CONTENDER ENGINE TARGET CHECKS FOLDER [--warm TARGET] [--count]``
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]

from _orders import Check, some  # noqa: E402  # the path is only known now

Run = Callable[[], dict[str, Any]]
Prepare = Callable[[str, str, Sequence[Check], Path], Run]


def main() -> None:
    parser = argparse.ArgumentParser()
    for word in ("contender", "engine", "target"):
        parser.add_argument(word)
    parser.add_argument("checks", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--warm", help="a small database with the same tables: what is loaded late, is loaded there")
    parser.add_argument("--count", action="store_true", help="count the statements (DuckDB)")
    asked = parser.parse_args()
    checks = some(asked.checks)
    prepare = _of(asked.contender)
    with contextlib.redirect_stdout(io.StringIO()):  # tools talk
        if asked.warm:
            prepare(asked.engine, asked.warm, checks, _made(asked.folder / "small"))()
        run = prepare(asked.engine, asked.target, checks, _made(asked.folder / "large"))
        counted = _Counting() if asked.count else None
        cpu, began = time.process_time(), time.perf_counter()
        found = run()
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    spent: dict[str, Any] = {"wall": wall, "cpu": cpu, "found": found}
    if counted:
        spent |= counted.all()
    print(json.dumps(spent, default=str))


def _of(contender: str) -> Prepare:
    if contender.startswith("by hand:"):
        import _floors

        way = contender.removeprefix("by hand:")
        return lambda engine, target, checks, _folder: _floors.prepare(way, engine, target, checks)
    module = importlib.import_module(f"with_{contender}")
    return module.prepare  # type: ignore[no-any-return]  # found by name


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class _Counting:
    """Counts the statements that DuckDB receives from anything in this process."""

    def __init__(self) -> None:
        import duckdb

        connect = duckdb.connect
        self.opened: list[Any] = []

        def counted(*args: Any, **named: Any) -> Any:
            connection = connect(*args, **named)
            connection.execute("CALL enable_logging('QueryLog')")
            self.opened.append(connect(*args, **named))  # keeps the database, and with it the log, alive
            return connection

        duckdb.connect = counted

    def all(self) -> dict[str, Any]:
        """Return the statements."""
        asked = "SELECT message FROM duckdb_logs WHERE type = 'QueryLog' AND message NOT LIKE '%enable_logging(%'"
        logs = ([row[0] for row in one.execute(asked).fetchall()] for one in self.opened)
        sent = max(logs, key=len)  # a tool may try its connection on a database in memory first
        return {"statements": [sql for sql in sent if "duckdb_logs" not in sql]}


if __name__ == "__main__":
    main()
