"""One way to reconcile counts of four stages, as a process of its own: ``ledgers.py WAY FILE`` prints what it found.

FILE is JSON: per stage its engine and how its driver reaches it. What is printed: how many orgs there are, and per
later stage how many of them differ from the first one and by how many records in all.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Stages = dict[str, tuple[str, str]]
SQL = "SELECT org_id, sum(msgs) AS n FROM stage WHERE day >= '2026-11-20' AND day < '2026-11-21' GROUP BY org_id"


def main() -> None:
    _, way, file = sys.argv
    stages = {name: (engine, target) for name, (engine, target) in json.loads(Path(file).read_text("utf-8")).items()}
    print(json.dumps(WAYS[way](stages)))


def fetch(stage: tuple[str, str]) -> list[tuple[Any, ...]]:
    """Return the counts of a stage as its driver gives them."""
    engine, target = stage
    if engine == "duckdb":
        import duckdb

        return duckdb.connect(target, read_only=True).execute(SQL).fetchall()
    if engine == "sqlite":
        import sqlite3

        return sqlite3.connect(target).execute(SQL).fetchall()
    import psycopg

    return psycopg.connect(target).execute(SQL).fetchall()


def one_after_the_other(stages: Stages) -> None:
    _ = [fetch(stage) for stage in stages.values()]


def side_by_side(stages: Stages) -> None:
    with ThreadPoolExecutor() as pool:
        _ = list(pool.map(fetch, stages.values()))


def dictionaries(stages: Stages) -> object:
    with ThreadPoolExecutor() as pool:
        counts = [dict(rows) for rows in pool.map(fetch, stages.values())]
    orgs = {org for one in counts for org in one}
    first, *later = counts
    missing = [[m for org in orgs if (m := first.get(org, 0) - one.get(org, 0))] for one in later]
    return len(orgs), [len(one) for one in missing], [int(sum(map(abs, one))) for one in missing]


def polars(stages: Stages) -> object:
    import duckdb
    import polars as pl

    def frame(stage: tuple[str, str]) -> Any:
        engine, target = stage
        if engine == "duckdb":
            found = pl.from_arrow(duckdb.connect(target, read_only=True).execute(SQL).to_arrow_table())
        else:
            found = pl.read_database_uri(SQL, f"sqlite://{target}" if engine == "sqlite" else target)
        return found.select(pl.col("org_id").cast(pl.Int64), pl.col("n").cast(pl.Int64))

    with ThreadPoolExecutor() as pool:
        first, *later = pool.map(frame, stages.values())
    for n, one in enumerate(later):
        first = first.join(one.rename({"n": f"n{n}"}), on="org_id", how="full", coalesce=True)
    first = first.fill_null(0)
    missing = [first["n"] - first[f"n{n}"] for n in range(len(later))]
    return len(first), [int((m != 0).sum()) for m in missing], [int(m.abs().sum()) for m in missing]


def pandas(stages: Stages) -> object:
    import pandas as pd

    with ThreadPoolExecutor() as pool:
        rows = pool.map(fetch, stages.values())
        first, *later = (pd.DataFrame(found, columns=["org_id", "n"]).astype("int64") for found in rows)
    for n, one in enumerate(later):
        first = first.merge(one.rename(columns={"n": f"n{n}"}), on="org_id", how="outer")
    first = first.fillna(0)
    missing = [first["n"] - first[f"n{n}"] for n in range(len(later))]
    return len(first), [int((m != 0).sum()) for m in missing], [int(m.abs().sum()) for m in missing]


def attach(stages: Stages) -> object:
    """Ask one DuckDB that has all databases attached; its extensions come as packages, nothing is downloaded."""
    import duckdb

    lake = duckdb.connect()
    for name in ("sqlite_scanner", "postgres_scanner"):
        package = importlib.import_module(f"duckdb_extension_{name}")
        (extension,) = Path(str(package.__file__)).parent.glob(f"extensions/*/{name}.duckdb_extension")
        lake.execute(f"LOAD '{extension}'")
    counted = []
    for name, (engine, target) in stages.items():
        kind = "" if engine == "duckdb" else f"TYPE {engine}, "
        lake.execute(f"ATTACH '{target}' AS {name} ({kind}READ_ONLY)")
        schema = "public." if engine == "postgres" else ""
        counted.append(f"SELECT org_id, '{name}' AS stage, sum(msgs) AS n {SQL[SQL.index('FROM') :]}".replace(
            "FROM stage", f"FROM {name}.{schema}stage"
        ))  # fmt: skip
    first, *later = stages
    columns = ", ".join(f"coalesce(sum(n) FILTER (stage = '{name}'), 0) AS {name}_n" for name in stages)
    told = ", ".join(
        f"count(*) FILTER ({first}_n <> {one}_n), coalesce(sum(abs({first}_n - {one}_n)), 0)" for one in later
    )
    every = f"SELECT org_id, {columns} FROM ({' UNION ALL '.join(counted)}) GROUP BY org_id"
    found = lake.execute(f"SELECT count(*), {told} FROM ({every})").fetchall()[0]
    return found[0], list(found[1::2]), [int(number) for number in found[2::2]]


def reladiff(stages: Stages) -> object:
    """Compare the first stage with the last one; it knows of no more than two, and compares tables, not counts."""
    from reladiff import connect_to_table, diff_tables

    (_, first), *_, (_, last) = stages.values()
    there = connect_to_table(last, "stage", "org_id", extra_columns=("msgs",))
    here = connect_to_table(f"duckdb://{first}", "stage", "org_id", extra_columns=("msgs",))
    found: dict[str, dict[str, int]] = {}
    for sign, (org, number) in diff_tables(here, there):
        found.setdefault(org, {})[sign] = int(number)
    missing = [one.get("-", 0) - one.get("+", 0) for one in found.values()]
    return None, [sum(m != 0 for m in missing)], [sum(map(abs, missing))]


def dq(stages: Stages) -> object:
    from dq import Reconciliation, Stage, Table, reconcile
    from dq.project import Project, StoreSettings
    from dq.secret import Secret

    project = Project(root=Path(), environment="bench", store=StoreSettings(Secret("sqlite://", "bench", Path())))
    url = {"duckdb": "duckdb:///{}", "sqlite": "sqlite:///{}", "postgres": "{}"}
    declared = Reconciliation(
        "messages",
        by="org_id",
        stages=[Stage(name, Table(name, "stage", partition="day"), measure="sum(msgs)") for name in stages],
        error=0,
    )
    urls = {name: url[engine].format(target) for name, (engine, target) in stages.items()}
    ledger = reconcile(declared, "2026-11-20", project=project, datasources=urls)
    summaries = [result for result in ledger.results if result.group is None]
    return ledger.size, [r.orgs_bad for r in summaries], [r.violations for r in summaries]


WAYS: dict[str, Callable[[Stages], object]] = {
    "alone": one_after_the_other,
    "side by side": side_by_side,
    "dictionaries": dictionaries,
    "polars": polars,
    "pandas": pandas,
    "attach": attach,
    "reladiff": reladiff,
    "dq": dq,
}

if __name__ == "__main__":
    main()
