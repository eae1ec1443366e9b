"""What a reconciliation costs: dq against fetching the counts alone, and against subtracting them by hand."""

from __future__ import annotations

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import _shop
import duckdb
import psycopg
from _report import MEASURED, in_turn, publish, rows, server_cpu, table

import dq
from dq import Reconciliation, Stage, Table
from dq.model.ledger import Ledger
from dq.project import load_project
from tests.demo.warehouse import build
from tests.servers import postgres

ROOT = Path(__file__).parents[1]
ORGS = (1_000, 100_000)
ROUNDS = {1_000: 9, 100_000: 3}
DAY = "2026-11-20"
STAGES = ("collected", "stored", "billed")
# Three rows per org; the second stage loses some, the third has some twice and does not know every org.
COLLECTED = """
    SELECT DATE '2026-11-20' AS day, 1 + i % {orgs} AS org_id, 10 + i % 90 AS msgs FROM range(3 * {orgs}) AS numbers(i)
"""
STORED = "SELECT day::TEXT, org_id, CASE WHEN org_id % 997 = 7 THEN msgs - 5 ELSE msgs END FROM collected"
BILLED = """
    SELECT day, org_id, CASE WHEN org_id % 499 = 3 THEN 2 * msgs ELSE msgs END FROM collected WHERE org_id % 401 <> 1
"""
COUNTS = "SELECT org_id, sum(msgs) FROM {stage} WHERE day >= '2026-11-20' AND day < '2026-11-21' GROUP BY org_id"

FIRST, LAST = "2020-02-24", "2025-01-08"
REGIONS = "SELECT region_name, report_date, sum(totale_casi) FROM {stage} GROUP BY 1, 2"

LINES, DIFFERENT = 37_401, 60

Fetched = dict[str, list[tuple[Any, ...]]]
Counts = dict[str, dict[tuple[str, ...], int]]
Answer = dict[tuple[str, ...], dict[str, int]]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        parts = [*(_orgs(orgs, Path(name)) for orgs in ORGS), _regions(Path(name))]
    publish("reconcile", "\n\n".join(parts), ("duckdb", "psycopg", "SQLAlchemy", "sqlglot"))


def _orgs(orgs: int, folder: Path) -> str:
    urls = {
        "collected": f"duckdb:///{folder}/collected_{orgs}.duckdb",
        "stored": f"sqlite:///{folder}/stored_{orgs}.sqlite",
        "billed": postgres().new_database(),
    }
    _make(orgs, urls)
    declared = Reconciliation(
        "messages",
        by="org_id",
        stages=[Stage(stage, Table(stage, stage, partition="day"), measure="sum(msgs)") for stage in STAGES],
        warning=("0.1%", 1),
        error=("10%", 20),
    )
    counted = _compare(
        partial(_fetch, {stage: (urls[stage], COUNTS.format(stage=stage)) for stage in STAGES}),
        partial(dq.reconcile, declared, DAY, project=_shop.PROJECT, datasources=urls),
        ROUNDS[orgs],
        server_cpu(_shop.native(urls["billed"])),
    )
    return f"{orgs:,} orgs, 3 stages in DuckDB, SQLite and PostgreSQL, {ROUNDS[orgs]} rounds:\n\n{counted}"


def _make(orgs: int, urls: Mapping[str, str]) -> None:
    with duckdb.connect(urls["collected"].removeprefix("duckdb:///")) as lake:
        lake.execute(f"CREATE TABLE collected AS {COLLECTED.format(orgs=orgs)}")
        stored, billed = (lake.execute(sql).fetchall() for sql in (STORED, BILLED))
    with sqlite3.connect(urls["stored"].removeprefix("sqlite:///")) as archive:
        archive.execute("CREATE TABLE stored (day TEXT, org_id INTEGER, msgs INTEGER)")
        archive.executemany("INSERT INTO stored VALUES (?, ?, ?)", stored)
    archive.close()
    with psycopg.connect(_shop.native(urls["billed"])) as server, server.cursor() as cursor:
        cursor.execute("CREATE TABLE billed (day DATE, org_id INTEGER, msgs BIGINT)")
        with cursor.copy("COPY billed FROM STDIN") as copy:
            for row in billed:
                copy.write_row(row)


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
