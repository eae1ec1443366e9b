"""What Airflow says of tasks and DAG runs, and what a task or DAG says of itself when it ends.

On Airflow 3 a task, and the triggerer, ask the task API; the names used here are those of the standard provider's own
triggers (``airflow.providers.standard.triggers.external_task``), and among the few that are answered in both places.
Airflow 2 is asked through its models.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import airflow
from attrs import frozen

from dq.airflow.tasks import plain, start_of
from dq.model.errors import DqError
from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.promise import GONE, ITSELF, Promise, subject_of, whole
from dq.model.sla import Sla
from dq.project import Project, load_project

_log = logging.getLogger(__name__)

AIRFLOW_2 = airflow.__version__.startswith("2.")


def promised_of(run: Mapping[str, Any], several: Iterable[Mapping[str, Any]]) -> list[Promise]:
    """Return what a run promises; what cannot be worked out is a sentence in the log, and keeps no other back.

        the day of the run, as ``Promise.is_wanted`` has it   promised
        ----------------------------------------------------  --------
        in ``calendar``, or there is none                     yes
        not in it                                             no
        nothing is known of the holidays it names             no, and logged

    Args:
        run: what ``Promise`` has to know of it.
        several: what :func:`dq.airflow.sla` laid out.
    """
    found = []
    for one in several:
        try:
            more = {"task_id": one["task"], "labels": one["labels"], "mapped": one["mapped"]}
            promise = Promise(**run, **more, sla=Sla.from_json(one["sla"]))
            if promise.is_wanted:
                found.append(promise)
        except DqError as error:
            what = subject_of(run["dag_id"], one["task"])
            _log.warning("run %s of %s is not promised: %s", run["run_id"], what, error)
    return found


def states(promised: Iterable[Promise]) -> dict[Promise, str | None]:
    """Return the state of each task or DAG run, as Airflow has it; ``GONE`` where it has none any more.

    It blocks. In the triggerer it must be called through ``asgiref.sync.sync_to_async``.
    """
    if AIRFLOW_2:
        from dq.airflow import airflow2

        return airflow2.states(promised)
    by_dag: dict[str, list[Promise]] = defaultdict(list)
    for promise in promised:
        by_dag[promise.dag_id].append(promise)
    found: dict[Promise, str | None] = {}
    for dag_id, of_dag in by_dag.items():
        tasks = [promise for promise in of_dag if promise.task_id]
        seen = _task_states(dag_id, tasks) if tasks else {}
        for promise in tasks:
            of_run = seen.get(promise.run_id)
            found[promise] = _of_task(promise, of_run) if of_run else _without_tasks(promise)
        for promise in of_dag:
            if not promise.task_id:
                found[promise] = _run_state(promise)
    return found


def look(project: Project, now: datetime | None = None) -> int:
    """Ask Airflow, from a task, what became of the promises that are due or at risk; return of how many it was asked.

    Args:
        project: whose environment.
        now: the real time.

    Raises:
        StoreError: when the store cannot be used.
    """
    from dq import app

    now = now or datetime.now(UTC)
    if AIRFLOW_2:
        from dq.airflow import airflow2

        airflow2.write_down(project, now)
    asked = [one.promise for one in app.open_promises(project) if one.promise.matters_at <= now]
    if asked:
        app.promise(project, asked, states=states(asked), source="watch")
    return len(asked)


def _of_task(promise: Promise, of_run: Mapping[str, str | None]) -> str | None:
    """Return the state of a task. Airflow names the instances of a mapped one with a number: ``load_0``, ``load_1``."""
    if promise.mapped:
        own = re.compile(re.escape(promise.task_id) + r"(_\d+)?")
        return whole(state for name, state in of_run.items() if own.fullmatch(name))
    return of_run.get(promise.task_id, "removed")


def _without_tasks(promise: Promise) -> str | None:
    """Return what is to be said of a task whose run has none of it."""
    return GONE if _run_state(promise) == GONE else "removed"


def _task_states(dag_id: str, promised: Iterable[Promise]) -> Mapping[str, Mapping[str, str | None]]:
    """Return the states of tasks by run and task."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    runs = sorted({promise.run_id for promise in promised})
    tasks = sorted({promise.task_id for promise in promised})
    return RuntimeTaskInstance.get_task_states(dag_id=dag_id, run_ids=runs, task_ids=tasks)


def _run_state(promise: Promise) -> str | None:
    """Return the state of a DAG run, or ``GONE``."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    if not RuntimeTaskInstance.get_dr_count(dag_id=promise.dag_id, run_ids=[promise.run_id]):
        return GONE
    return str(RuntimeTaskInstance.get_dagrun_state(dag_id=promise.dag_id, run_id=promise.run_id))


@frozen
class Says:
    """A callback of a task or DAG: it writes down that it ended, and when.

    Nothing is judged or sent here, and whatever goes wrong is a sentence in the log: a callback breaks no task.

    Attributes:
        state: how it ended.
        project: as ``dq.airflow.suite_group`` has it.
        whole_run: whether it is the callback of a DAG.
    """

    state: Literal["arrived", "failed"]
    project: str | None
    whole_run: bool = False

    def __call__(self, context: Mapping[str, Any]) -> None:
        """Write it down."""
        try:
            from dq import app

            dag = context["dag"]
            task_id = "" if self.whole_run else context["task"].task_id
            app.observe(project_of(dag.fileloc, self.project), self._observation(context, dag.dag_id, task_id))
        except DqError as error:
            _log.warning("dq did not write down that this ended, which its SLA needs: %s", error)
        except Exception:  # noqa: BLE001  # whatever it is, a callback breaks no task
            _log.exception("dq did not write down that this ended, which its SLA needs")

    def _observation(self, context: Mapping[str, Any], dag_id: str, task_id: str) -> Observation:
        now = datetime.now(UTC)
        run_after = getattr(context.get("dag_run"), "run_after", None)  # a DAG's callback may come without its run
        due = now if run_after is None else plain(run_after)
        return Observation(
            kind="task" if task_id else "dag",
            subject=subject_of(dag_id, task_id),
            interval=Interval(due - timedelta(days=1), due),
            state=self.state,
            at=now,
            source=ITSELF,
            run=str(context["run_id"]),
        )


def project_of(dag_file: str, project: str | None) -> Project:
    """Return the project that a DAG file belongs to, without its declarations: a callback needs none, however many.

    Raises:
        ConfigError: when there is none, and ``DQ_HOME`` names none.
    """
    return load_project(start_of(dag_file, project), declarations=False)
