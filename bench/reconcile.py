"""What a reconciliation costs: dq against fetching the counts alone, and against other ways to compare them.

``DQ_BENCH_ORGS=1000,100000`` chooses how many orgs; with fewer than 100,000 nothing is written to the document.
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import _peers
import _shop
import duckdb
import psycopg
from _report import MEASURED, in_turn, publish, ratio, require_equal, rows, seconds, server_cpu, table

import dq
from dq.model.ledger import Ledger
from dq.project import load_project
from tests.demo.warehouse import build
from tests.servers import postgres

HERE = Path(__file__).parent
ROOT = HERE.parent
SIZES = tuple(map(int, os.environ.get("DQ_BENCH_ORGS", "1000,100000,2000000").split(",")))
LEAST = 100_000
ROUNDS = {1_000: 7, 100_000: 5, 2_000_000: 3}
# The second stage loses some records, the third is equal to it, the last has some twice and does not know every org.
COLLECTED = """
    SELECT DATE '2026-11-20' AS day, (1 + i)::BIGINT AS org_id, (10 + i % 90)::INTEGER AS msgs
    FROM range({orgs}) AS numbers(i) ORDER BY hash(i)
"""
LESS = "SELECT day, org_id, CASE WHEN org_id % 997 = 7 THEN msgs - 5 ELSE msgs END::INTEGER AS msgs FROM stage"
BILLED = """
    SELECT day, org_id, CASE WHEN org_id % 499 = 3 THEN 2 * msgs ELSE msgs END::INTEGER AS msgs FROM stage
    WHERE org_id % 2003 <> 1
"""
WAYS = {
    "counts alone": ("alone", ""),
    "counts alone, side by side": ("side by side", ""),
    "dq": ("dq", ""),
    "dictionaries": ("dictionaries", ""),
    "polars with connectorx": ("polars", "frames"),
    "pandas": ("pandas", "frames"),
    "DuckDB 1.5 with all attached": ("attach", "attach"),
    "reladiff, one pair": ("reladiff", "reladiff"),
}
"""How a way is called in ``peers/ledgers.py``, and the environment that it needs."""

FIRST, LAST = "2020-02-24", "2025-01-08"
REGIONS = "SELECT region_name, report_date, sum(totale_casi) FROM {stage} GROUP BY 1, 2"

LINES, DIFFERENT = 37_401, 60

Fetched = dict[str, list[tuple[Any, ...]]]
Counts = dict[str, dict[tuple[str, ...], int]]
Answer = dict[tuple[str, ...], dict[str, int]]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        parts = [_orgs(orgs, Path(name)) for orgs in SIZES]
        if max(SIZES) < LEAST:
            print("\n\n".join(parts))
            return
        parts.append(_regions(Path(name)))
    publish("reconcile", "\n\n".join(parts), ("duckdb", "psycopg", "SQLAlchemy", "sqlglot"))


def _orgs(orgs: int, folder: Path) -> str:
    stages = _make(orgs, folder)
    file = folder / "stages.json"
    file.write_text(json.dumps(stages), encoding="utf-8")
    cpu = server_cpu(stages["billed"][1])
    spent: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    rounds = ROUNDS.get(orgs, 3)
    for number in range(rounds):
        answers: dict[str, object] = {}
        for name, (way, peer) in WAYS.items():
            if way == "reladiff" and (number or orgs > LEAST):
                continue  # it takes minutes
            before = cpu()
            command = str(_peers.python(peer)), str(HERE / "peers" / "ledgers.py"), way, str(file)
            cost, answers[name] = _run(folder, *command)
            spent[name].append(cost | {"cpu": cost["cpu"] + cpu() - before})
        answers.pop("reladiff, one pair", None)
        require_equal(answers)
    floor = spent["counts alone"]
    lines = [
        (
            name,
            seconds([one["wall"] for one in own]),
            seconds([one["cpu"] for one in own]),
            f"{statistics.median(one['peak'] for one in own):.0f}",
            *(ratio([one[what] for one in own], [one[what] for one in floor[: len(own)]]) for what in ("wall", "cpu")),
        )
        for name, own in spent.items()
        if own
    ]
    head = ("contender", "wall s", "CPU s", "peak MB", "wall ratio", "CPU ratio")
    title = f"{orgs:,} orgs, 4 stages in 2 DuckDB, SQLite and PostgreSQL, whole processes, {rounds} rounds"
    return f"{title}:\n\n{table(head, lines)}"


def _run(folder: Path, *command: str) -> tuple[dict[str, float], object]:
    """Return what a process costs, and what it printed."""
    output, errors = folder / "output", folder / "errors"
    launch = [sys.executable, str(HERE / "_launch.py"), str(output), str(errors), "1800", *command]
    done = subprocess.run(launch, check=True, capture_output=True, text=True)
    cost: dict[str, float] = json.loads(done.stdout)
    if cost.pop("code"):
        sys.exit(f"{command} ended with an error:\n{errors.read_text('utf-8')[-2000:]}")
    return cost, json.loads(output.read_text("utf-8"))


def _make(orgs: int, folder: Path) -> dict[str, tuple[str, str]]:
    """Make the four databases; return the engine of each and how its driver reaches it."""
    target = _shop.native(postgres().new_database())
    files = {name: str(folder / f"{name}_{orgs}") for name in ("collected", "stored", "loaded")}
    csv = folder / "stage.csv"
    with duckdb.connect() as lake:
        for name, sql in (("collected", COLLECTED.format(orgs=orgs)), ("loaded", LESS)):
            # What a DuckDB of the last years can read.
            lake.execute(f"ATTACH '{files[name]}' AS {name} (STORAGE_VERSION 'v1.0.0')")
            lake.execute(f"CREATE TABLE {name}.stage AS {sql}")
            lake.execute(f"USE {name}")
        stored = lake.execute("SELECT day::TEXT, org_id, msgs FROM loaded.stage")
        with sqlite3.connect(files["stored"]) as archive:
            archive.execute("CREATE TABLE stage (day TEXT, org_id INTEGER, msgs INTEGER)")
            while some := stored.fetchmany(100_000):
                archive.executemany("INSERT INTO stage VALUES (?, ?, ?)", some)
        archive.close()
        lake.execute(f"COPY ({BILLED}) TO '{csv}' (HEADER FALSE)")
    with psycopg.connect(target, autocommit=True) as server, server.cursor() as cursor:
        cursor.execute("CREATE TABLE stage (day DATE, org_id BIGINT, msgs INTEGER)")
        with cursor.copy("COPY stage FROM STDIN (FORMAT csv)") as copy, csv.open("rb") as data:
            while part := data.read(1 << 20):
                copy.write(part)
        cursor.execute("VACUUM (ANALYZE)")
    csv.unlink()
    return {
        "collected": ("duckdb", files["collected"]), "stored": ("sqlite", files["stored"]),
        "loaded": ("duckdb", files["loaded"]), "billed": ("postgres", target),
    }  # fmt: skip


def _regions(folder: Path) -> str:
    build(folder, date.fromisoformat(LAST))
    urls = {"warehouse": f"duckdb:///{folder}/warehouse.duckdb", "archive": f"sqlite:///{folder}/archive.sqlite"}
    declared = load_project(ROOT).reconciliations["covid_ledger"]
    run = partial(dq.reconcile, declared, FIRST, to=LAST, project=_shop.PROJECT, datasources=urls)
    fetch = partial(
        _fetch,
        {
            "region": (urls["warehouse"], REGIONS.format(stage="region_daily")),
            "provinces": (urls["archive"], REGIONS.format(stage="province_daily")),
        },
    )
    ledger = run()
    if (len(ledger.rows), len(_by_dq(ledger))) != (LINES, DIFFERENT):
        sys.exit(f"{len(_by_dq(ledger))} of {len(ledger.rows)} region-days differ, not {DIFFERENT} of {LINES}")
    return (
        f"Real data, {LINES:,} region-days in DuckDB against the sums of provinces in SQLite, {FIRST} to {LAST}, of"
        f" which {DIFFERENT} differ, 3 rounds:\n\n{_compare(fetch, run, 3, time.process_time)}"
    )


def _compare(fetch: Callable[[], Fetched], run: Callable[[], Ledger], rounds: int, cpu: Callable[[], float]) -> str:
    contenders = {"counts alone": fetch, "by hand": lambda: _differences(fetch()), "dq": run}
    read = {"counts alone": _differences, "dq": _by_dq}
    return table(MEASURED, rows(in_turn(contenders, rounds, cpu, read), "counts alone"))


def _fetch(statements: Mapping[str, tuple[str, str]]) -> Fetched:
    """Return the rows of each stage, as its driver gives them over a connection of its own."""
    fetched: Fetched = {}
    for stage, (url, sql) in statements.items():
        ask, leave = _shop.asking(url)
        fetched[stage] = list(ask(sql))
        leave()
    return fetched


def _differences(fetched: Fetched) -> Answer:
    """Return what each key lacks at each later stage, where that is anything."""
    counts: Counts = {
        stage: {tuple(map(str, row[:-1])): int(row[-1]) for row in lines} for stage, lines in fetched.items()
    }
    baseline, *later = counts
    found: Answer = {}
    for key in dict.fromkeys(key for counted in counts.values() for key in counted):
        lacks = {stage: counts[baseline].get(key, 0) - counts[stage].get(key, 0) for stage in later}
        if any(lacks.values()):
            found[key] = lacks
    return found


def _by_dq(ledger: Ledger) -> Answer:
    """Return the same of what dq found."""
    days = {row.interval for row in ledger.rows}
    return {
        (*row.org.values, *([row.interval.start.date().isoformat()] if len(days) > 1 else [])): dict(row.discrepancy)
        for row in ledger.rows
        if any(row.discrepancy.values())
    }


if __name__ == "__main__":
    main()
