"""SLAs on Airflow 2, which has no deadlines: its own hook, and a look at its database for what that one misses.

Airflow 2 calls ``sla_miss_callback`` only for runs of the schedule, only after a first success of the task, and names
runs that were never made. So the watch DAG looks at every run itself. What a task promises travels in its ``params``,
because that is what Airflow keeps of a DAG file.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType
from sqlalchemy import or_

from dq.airflow.promises import sla_miss_callback
from dq.airflow.seen import project_of, promised_of
from dq.airflow.tasks import plain
from dq.model.errors import DqError
from dq.model.promise import GONE, ITSELF, Promise
from dq.model.sla import Sla
from dq.project import Project
from dq.sla.promises import observed

_log = logging.getLogger(__name__)

PARAM = "dq_sla"
"""The param of a task that says what it promises."""
RECENT = timedelta(hours=1)
"""Runs that ended longer ago are not looked for; those that are written down as open are."""


def set_on(task: Any, promised: Mapping[str, Any], sla: Sla) -> None:
    """Let a task carry its promise, and Airflow call dq's hook where it can."""
    task.params.update({PARAM: dict(promised)})
    if sla.within is None:
        return
    task.sla = sla.within + sla.grace
    known = task.dag.sla_miss_callback
    callbacks = known if isinstance(known, list) else [known] if known else []
    if sla_miss_callback not in callbacks:
        task.dag.sla_miss_callback = [*callbacks, sla_miss_callback]


def missed(dag: Any, slas: Iterable[Any]) -> None:
    """Write down what became of the runs of tasks that Airflow says are late.

    Which of them are, it often gets wrong: it names the run after the one that is late, which was not made yet.
    """
    try:
        promised = [_promised(dag.get_task(task_id)) for task_id in {miss.task_id for miss in slas}]
        with create_session() as session:
            runs = _runs(session, dag.dag_id, datetime.now(UTC))
            found = [one for run in runs for one in _of_run(run, promised)]
        _write(project_of(dag.fileloc, None), found, looks="sla_miss_callback")
    except DqError as error:
        _log.warning("dq did not write down who is late: %s", error)
    except Exception:  # noqa: BLE001  # whatever it is, Airflow would only drop it
        _log.exception("dq did not write down who is late")


def write_down(project: Project, now: datetime) -> None:
    """Write down what the runs promise whose tasks promise something, and when those ended that did."""
    found: list[tuple[Promise, Any]] = []
    with create_session() as session:
        for row in session.query(SerializedDagModel).join(DagModel, DagModel.dag_id == SerializedDagModel.dag_id):
            if f'"{PARAM}"' not in json.dumps(row.data):
                continue
            promised = [one for task in row.dag.tasks if (one := task.params.dump().get(PARAM))]
            for run in _runs(session, row.dag_id, now):
                found += _of_run(run, promised)
    _write(project, found)


def states(promised: Iterable[Promise]) -> dict[Promise, str | None]:
    """Return the state of each task; ``GONE`` where its run is no longer there."""
    found: dict[Promise, str | None] = {}
    with create_session() as session:
        for promise in promised:
            run = session.query(DagRun).filter_by(dag_id=promise.dag_id, run_id=promise.run_id).first()
            instance = None if run is None else run.get_task_instance(promise.task_id, session=session)
            found[promise] = GONE if run is None else "removed" if instance is None else instance.state
    return found


def _runs(session: Any, dag_id: str, now: datetime) -> list[Any]:
    """Return the runs that have not ended, or have lately."""
    ended = or_(DagRun.end_date.is_(None), DagRun.end_date >= now - RECENT)
    found: list[Any] = session.query(DagRun).filter(DagRun.dag_id == dag_id, ended).all()
    return found


def _promised(task: Any) -> Mapping[str, Any]:
    """Return what a task promises: as dq wrote it, or as Airflow's own ``sla=`` says."""
    known: Mapping[str, Any] | None = task.params.dump().get(PARAM)
    more = {"task": task.task_id, "labels": {"owner": task.owner}, "mapped": False}
    return known or {"sla": Sla(within=task.sla).to_json(), **more}


def _of_run(run: Any, promised: Iterable[Mapping[str, Any]]) -> list[tuple[Promise, Any]]:
    """Return what the tasks of a run promise, with the instance of each; a back-fill promises nothing."""
    if run.run_type == DagRunType.BACKFILL_JOB or run.queued_at is None:
        return []
    made = plain(run.queued_at)
    by_schedule = run.run_type == DagRunType.SCHEDULED and run.data_interval_end is not None
    known = {
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "logical_date": plain(run.execution_date),
        "run_after": plain(run.data_interval_end) if by_schedule else made,
        "created_at": made,
    }
    return [(promise, run.get_task_instance(promise.task_id)) for promise in promised_of(known, promised)]


def _write(project: Project, found: Iterable[tuple[Promise, Any]], looks: str = "") -> None:
    """Write down what is due of ``found``, or warns before; ``looks``: who does, and nobody looks at it after this."""
    from dq import app

    now = datetime.now(UTC)
    due = [(promise, instance) for promise, instance in found if promise.warns or promise.due_at <= now]
    for promise, instance in due:
        if instance is not None and instance.state == "success" and instance.end_date is not None:
            app.observe(project, observed(promise, "arrived", plain(instance.end_date), ITSELF))
    seen = {promise: None if instance is None else instance.state for promise, instance in due}
    app.promise(project, seen, states=seen if looks else None, source=looks, now=now)
