"""The embedded warehouse of the demo and the tests: real counts in a DuckDB file and a SQLite file.

Run as a program, it brings the warehouse to what had arrived by a day: ``python -m tests.demo.warehouse DIR DAY``.
"""

from __future__ import annotations

import csv
import datetime
import sqlite3
import sys
from pathlib import Path

import duckdb

DATA = Path(__file__).parent.parent / "data"
AGARI_DAY = "2016-04-28"
PROVINCE = ("region_code", "region_name", "province_code", "province_name", "province_abbr", "totale_casi")
RDAS = 22058
"""RDAs of the published report; the counts of its ten orgs are in ``agari_2016-04-28.csv``."""


def agari() -> list[dict[str, str]]:
    """Return the counts of the published report, an org a row."""
    with (DATA / f"agari_{AGARI_DAY}.csv").open(encoding="utf-8") as rows:
        return list(csv.DictReader(rows))


def build(folder: Path, until: datetime.date) -> None:
    """Make ``warehouse.duckdb`` and ``archive.sqlite`` in ``folder``, with what had arrived by ``until`` (included)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("warehouse.duckdb", "warehouse.duckdb.wal", "archive.sqlite"):
        (folder / name).unlink(missing_ok=True)
    published = agari()
    with duckdb.connect(str(folder / "warehouse.duckdb")) as warehouse:
        for table, file in (("nation_daily", "stage_national"), ("region_daily", "stage_region")):
            warehouse.execute(
                f"CREATE TABLE {table} AS SELECT * FROM '{DATA / file}.parquet' WHERE report_date <= ?", [until]
            )
        for table, column in (("collector_counts", "collector_msgs"), ("nrt_database_counts", "nrt_db_msgs")):
            warehouse.execute(f"CREATE TABLE {table} (day DATE, org_id INTEGER, msgs BIGINT)")
            warehouse.executemany(
                f"INSERT INTO {table} VALUES (?, ?, ?)", [[AGARI_DAY, row["org_id"], row[column]] for row in published]
            )
        provinces = warehouse.execute(
            f"SELECT CAST(report_date AS TEXT), {', '.join(PROVINCE)} FROM '{DATA / 'stage_province.parquet'}'"
            " WHERE report_date <= ?",
            [until],
        ).fetchall()
    archive = sqlite3.connect(folder / "archive.sqlite")
    with archive:
        archive.execute(f"CREATE TABLE province_daily (report_date TEXT, {' TEXT, '.join(PROVINCE)} INTEGER)")
        archive.executemany("INSERT INTO province_daily VALUES (?, ?, ?, ?, ?, ?, ?)", provinces)
        archive.execute("CREATE INDEX province_daily_date ON province_daily (report_date)")
        for table, column in (("aggregate_counts", "agg_msgs"), ("database_counts", "db_msgs")):
            archive.execute(f"CREATE TABLE {table} (day TEXT, org_id TEXT, msgs INTEGER)")
            archive.executemany(
                f"INSERT INTO {table} VALUES (?, ?, ?)",
                [(AGARI_DAY, row["org_id"], int(row[column])) for row in published],
            )
        archive.execute("CREATE TABLE rda_counts (day TEXT, rdas INTEGER)")
        archive.execute("INSERT INTO rda_counts VALUES (?, ?)", (AGARI_DAY, RDAS))
    archive.close()


if __name__ == "__main__":
    build(Path(sys.argv[1]), datetime.date.fromisoformat(sys.argv[2]))
