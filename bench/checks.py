"""What checking costs: dq against statements by hand, fused and one per check, on DuckDB and PostgreSQL."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import _shop
from _report import MEASURED, in_turn, peak_megabytes, publish, rows, server_cpu, table
from _shop_suite import orders
from sqlalchemy import event
from sqlalchemy.engine import Engine

import dq
from tests.servers import postgres

DUCKDB_ROWS, POSTGRES_ROWS = 2_000_000, 500_000
ROUNDS = 5
FLOOR = "three statements by hand"


def main() -> None:
    if sys.argv[1:2] == ["alone"]:
        _alone(*sys.argv[2:])
        return
    _shop.same_checks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = _shop.make_duckdb(folder / "shop.duckdb", DUCKDB_ROWS)
        parts = [_compare(f"DuckDB, {DUCKDB_ROWS:,} rows", url, time.process_time)]
        url = _shop.make_postgres(postgres().new_database(), POSTGRES_ROWS, folder)
        parts.append(_compare(f"PostgreSQL, {POSTGRES_ROWS:,} rows", url, server_cpu(_shop.native(url))))
    publish("checks", "\n\n".join(parts), ("duckdb", "psycopg", "SQLAlchemy", "sqlglot"))


def _contenders(url: str) -> dict[str, Callable[[], _shop.Answer]]:
    return {
        FLOOR: partial(_shop.by_hand, _shop.fused, url),
        "one statement per check": partial(_shop.by_hand, _shop.each, url),
        "dq": partial(_by_dq, url),
    }


def _by_dq(url: str) -> _shop.Answer:
    run = dq.run(orders, _shop.DAY, project=_shop.PROJECT, datasources={"shop": url})
    return _shop.answer_of(run.to_json()["results"])


def _compare(title: str, url: str, cpu: Callable[[], float]) -> str:
    contenders = _contenders(url)
    spent = in_turn(contenders, ROUNDS, cpu)
    with _counting() as sent:
        contenders["dq"]()
    statements = {FLOOR: len(_shop.BY_HAND), "one statement per check": len(orders.checks), "dq": len(sent)}
    lines = [(*line, str(statements[line[0]]), _peak(line[0], url)) for line in rows(spent, FLOOR)]
    return f"{title}, {ROUNDS} rounds:\n\n" + table((*MEASURED, "statements", "peak MB"), lines)


@contextmanager
def _counting() -> Iterator[list[str]]:
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_more: object) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def _peak(contender: str, url: str) -> str:
    """Return the most memory of a process of its own that does nothing else; that of a server is not in it."""
    command = [sys.executable, __file__, "alone", contender, url]
    peaks = [float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(3)]
    return f"{statistics.median(peaks):.0f}"


def _alone(contender: str, url: str) -> None:
    _contenders(url)[contender]()
    print(peak_megabytes())


if __name__ == "__main__":
    main()
