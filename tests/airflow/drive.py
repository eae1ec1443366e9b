"""Runs DAGs in a process of its own, as Airflow's `dag.test` does, and writes what became of them as JSON.

usage: drive.py OUT RUN...    where RUN is JSON: {"dag": ..., "logical_date": ..., "conf": {...}}
"""

import json
import os
import sys
from datetime import datetime
from pathlib import Path

from airflow.utils.session import create_session

from tests.airflow.inside import DATE, DagBag, XComModel, events_of, make_known, returned


def named(ti):
    """Return the id of a task, with the map index of a mapped one."""
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"


def drive(dag, spec):
    logical = spec.get("logical_date")
    run = dag.test(**{DATE: datetime.fromisoformat(logical) if logical else None}, run_conf=spec.get("conf"))
    with create_session() as session:
        rows = session.query(XComModel).filter_by(dag_id=dag.dag_id, run_id=run.run_id)
        xcom = {row.task_id: returned(row) for row in rows if row.key == "return_value"}
        events = [{"asset": uri, "extra": extra} for uri, extra in events_of(session, dag.dag_id, run.run_id)]
    instances = run.get_task_instances()
    return {
        "dag": dag.dag_id,
        "state": str(run.state),
        "run_id": run.run_id,
        "tasks": {named(ti): str(ti.state) for ti in instances},
        "tries": {named(ti): ti.try_number for ti in instances},
        "labels": {named(ti): ti.rendered_map_index for ti in instances if ti.map_index >= 0},
        "xcom": xcom,
        "events": events,
    }


def main(out, *specs):
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    make_known(bag)
    done = {"import_errors": bag.import_errors, "dags": sorted(bag.dags), "runs": []}
    for spec in map(json.loads, specs):
        print("=== the next run ===", flush=True)
        done["runs"].append(drive(bag.dags[spec["dag"]], spec))
    Path(out).write_text(json.dumps(done))


main(*sys.argv[1:])
