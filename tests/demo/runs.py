"""Runs DAGs on a real Airflow, all in one process, because importing Airflow takes seconds.

usage: python -m tests.demo.runs TEMPLATE

It reads requests from stdin, a JSON object per line, and answers each with a line on stdout::

    {"dag": "daily_checks", "dags": "FOLDER", "logical_date": "2024-06-27T00:00:00+00:00", "env": {"DQ_NOW": ...}}
    {"dag": "daily_checks", "run_id": "...", "state": "success", "tasks": {"load": "success", ...}, "seconds": 2.1}

What Airflow prints and logs goes to stderr, from its import on, which is therefore late. The process ends when stdin
does, so nothing is left when its parent is gone.
TEMPLATE is a migrated metadata database, which is copied into ``AIRFLOW_HOME``; when it is missing it is made first.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import IO, Any


def migrated(database: Path, template: Path) -> None:
    """Put a migrated metadata database at ``database``, and keep one at ``template`` for the next time."""
    if template.exists():
        shutil.copy(template, database)
        return
    import_module("airflow.utils.db").upgradedb()
    template.parent.mkdir(parents=True, exist_ok=True)
    part = template.with_name(f"{template.name}.{os.getpid()}")
    with closing(sqlite3.connect(database)) as made:  # a copy of the file would lack what is in its write-ahead log
        made.execute("VACUUM INTO ?", (str(part),))
    part.replace(template)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run one DAG and return what became of its tasks."""
    began = time.monotonic()
    os.environ.update(request["env"])
    bag = import_module("airflow.dag_processing.dagbag").DagBag(request["dags"])
    if bag.import_errors:
        return {"error": next(iter(bag.import_errors.values())).strip().splitlines()[-1]}
    date = datetime.fromisoformat(request["logical_date"])
    run = bag.dags[request["dag"]].test(logical_date=date, run_after=date)  # the same date is the same DAG run
    tasks = {instance.task_id: str(instance.state) for instance in run.get_task_instances()}
    seconds = time.monotonic() - began
    return {"dag": run.dag_id, "run_id": run.run_id, "state": str(run.state), "tasks": tasks, "seconds": seconds}


def main(template: Path, requests: IO[str], answers: IO[str]) -> None:
    """Answer requests until there are no more."""
    migrated(Path(os.environ["AIRFLOW_HOME"]) / "airflow.db", template)
    import_module("airflow.dag_processing.dagbag")  # while the parent does other things
    for line in requests:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    main(Path(sys.argv[1]), sys.stdin, channel)
    os._exit(0)  # nothing is left to do, and taking Airflow down in good order takes seconds
