"""How long a person waits: ``import dq``, ``dq --help``, and ``dq run`` from its start to its verdict."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

import _shop
from _report import MEASURED, children_cpu, in_turn, publish, rows, table

HERE = Path(__file__).parent
DQ = Path(sysconfig.get_path("scripts")) / "dq"
ROWS = 100_000
ROUNDS = 5
# What somebody writes who wants these numbers once.
BARE = """
import json, {driver}
connection = {connect}
print(json.dumps([connection.execute(sql).fetchall() for sql in {statements!r}], default=str))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        parts = [_imports(), *(_verdict(engine, Path(folder)) for engine in ("duckdb", "sqlite"))]
    publish("imports", "\n\n".join(parts), ("attrs", "click", "duckdb", "SQLAlchemy", "sqlglot"))


def _imports() -> str:
    spent = in_turn(
        {
            "python -c pass": _call(sys.executable, "-c", "pass"),
            "python -c 'import dq'": _call(sys.executable, "-c", "import dq"),
            "dq --help": _call(str(DQ), "--help"),
        },
        2 * ROUNDS,
        children_cpu,
        dict.fromkeys(("python -c pass", "python -c 'import dq'", "dq --help"), lambda _: None),
    )
    return f"Whole processes, {2 * ROUNDS} rounds:\n\n" + table(MEASURED, rows(spent, "python -c pass"))


def _verdict(engine: str, folder: Path) -> str:
    project = folder / engine
    (project / "checks").mkdir(parents=True)
    shutil.copy(HERE / "_shop_suite.py", project / "checks" / "shop.py")
    make, driver, connect = {
        "duckdb": (_shop.make_duckdb, "duckdb", "duckdb.connect({!r}, read_only=True)"),
        "sqlite": (_shop.make_sqlite, "sqlite3", "sqlite3.connect({!r})"),
    }[engine]
    file = project / "shop.db"
    (project / "dq.toml").write_text(f'[datasources.shop]\nurl = "{make(file, ROWS)}"\n', encoding="utf-8")
    bare = project / "bare.py"
    bare.write_text(
        BARE.format(driver=driver, statements=_shop.BY_HAND, connect=connect.format(str(file))), encoding="utf-8"
    )
    run = (str(DQ), "run", "orders", "--date", "2026-11-20", "--project", str(project), "--json")
    contenders = {
        "bare script": _call(sys.executable, str(bare)),
        "dq run --no-store": _call(*run, "--no-store"),
        "dq run": _call(*run),
    }
    read = {"bare script": _by_hand, "dq run --no-store": _by_dq, "dq run": _by_dq}
    spent = in_turn(contenders, ROUNDS, children_cpu, read)
    names = {"duckdb": "DuckDB", "sqlite": "SQLite"}
    title = f"{names[engine]}, 22 checks on {ROWS:,} rows, {ROUNDS} rounds"
    return f"{title}:\n\n{table(MEASURED, rows(spent, 'bare script'))}"


def _by_hand(printed: str) -> object:
    return _shop.answer(*json.loads(printed))


def _by_dq(printed: str) -> object:
    return _shop.answer_of(json.loads(printed)["results"])


def _call(*command: str) -> Callable[[], str]:
    def call() -> str:
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode not in (0, 1):  # 1: a check failed, as one does on purpose
            sys.exit(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout

    return call


if __name__ == "__main__":
    main()
