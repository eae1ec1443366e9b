"""Promise that a task, or every run of a DAG, is done in time; this runs whenever Airflow parses the DAG file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import airflow
from airflow.providers.common.compat.sdk import DAG
from packaging.version import Version

from dq.airflow.seen import AIRFLOW_2, Says
from dq.model.calendar import Calendar, public_holidays
from dq.model.duration import format_duration
from dq.model.errors import UsageError
from dq.model.severity import Severity
from dq.model.sla import Sla

T = TypeVar("T")

_KEEPS_DEADLINES = Version("3.3.2")
"""Before it, a change of the DAG file loses them (apache/airflow issue 68732)."""
_MADE = "dq: a run is made"
_LOOK = "dq: due within "


def sla(
    target: T,
    *,
    within: str | timedelta | None = None,
    due: str | None = None,
    tz: str = "UTC",
    calendar: str | Calendar | None = None,
    due_on: str | Calendar | None = None,
    grace: str | int | timedelta = 0,
    warn_before: str | timedelta | None = None,
    severity: str | Severity | None = None,
    info: str | int | timedelta | None = None,
    warning: str | int | timedelta | None = None,
    error: str | int | timedelta | None = None,
    critical: str | int | timedelta | None = None,
    on_miss: Callable[..., object] | str | None = None,
    project: str | Path | None = None,
) -> T:
    """Promise that a task, or every run of a DAG, is done in time, and return it.

    A run that is made by the schedule or by hand is promised; a back-fill is not, and neither is what a new DAG catches
    up with. What is late is an incident, ``critical`` unless said otherwise, and it ends when the task is done. That
    somebody looks at the clock is the work of ``dags/dq_sla_watch.py``.

    Args:
        target: a task, what a function with ``@task`` returned, or a DAG.
        within: how long after the time at which the run is due to start, e.g. ``"1h"``; on Airflow 2 as ``sla=``.
        due: in the place of ``within``: the first such time of day at or after it.
        tz: the time zone of ``due`` and of the calendars.
        calendar: the days whose runs are promised, ``"weekdays"``, ``"DE-BY"``, or a ``dq.Calendar``. A run belongs to
            the day on which its data interval begins; without one, to the day on which it is due to start.
        due_on: the days on which it may fall due: ``due`` waits for the next of them.
        grace: what is done so long after it was due still counts as in time, and nobody is told before.
        warn_before: so long before it is due people are warned that it is not done, and at once when it failed; that
            never pages.
        severity: how bad a miss is.
        info, warning, error, critical: instead of ``severity``, how late it must be to be so bad: ``warning=0,
            error="30m", critical="2h"``.
        on_miss: called once per miss with Airflow 2's five ``sla_miss_callback`` arguments, by whoever judges the
            promise: a function of a module that can be imported there, or ``"package.module:function"``.
        project: as for :func:`dq.airflow.suite_group`.

    Raises:
        DqError: at parse, when an argument cannot mean anything, or Airflow is too old to keep deadlines.
    """
    promise = Sla(
        due=due,
        tz=tz,
        within=within,
        calendar=calendar,
        due_on=due_on,
        grace=grace,
        warn_before=warn_before,
        severity=severity,
        info=info,
        warning=warning,
        error=error,
        critical=critical,
        on_miss=_by_name(on_miss),
    )
    for place in {place for days in (promise.calendar, promise.due_on) if days for place in days.holidays}:
        public_holidays(place, datetime.now(UTC).year)  # refused here, where somebody reads it
    where = None if project is None else str(project)
    task: Any = getattr(target, "operator", target)  # of what a function with @task returned
    dag: Any
    labels: dict[str, str] = {}
    one: dict[str, Any]
    if isinstance(task, DAG):
        dag, name, one = task, f"DAG {task.dag_id}", {"task": "", "mapped": False}
        dag.on_success_callback = [*_listed(dag.on_success_callback), Says("arrived", where, whole_run=True)]
        dag.on_failure_callback = [*_listed(dag.on_failure_callback), Says("failed", where, whole_run=True)]
        dag.has_on_success_callback = dag.has_on_failure_callback = True
    elif hasattr(task, "task_id"):
        dag, name = task.get_dag(), f"task {task.task_id}"
        if dag is None:
            raise UsageError(f"{name} is in no DAG yet; promise it inside of `with DAG(...)`")
        if task.owner:
            labels["owner"] = task.owner
        one = {"task": task.task_id, "mapped": _is_mapped(task)}
        if not one["mapped"]:  # an instance is not the whole
            task.on_success_callback = [*_listed(task.on_success_callback), Says("arrived", where)]
            task.on_failure_callback = [*_listed(task.on_failure_callback), Says("failed", where)]
    else:
        raise UsageError(f"sla() promises a task or a DAG, not {target!r}")
    if dag.tags:
        labels["tags"] = ",".join(sorted(dag.tags))
    one |= {"sla": promise.to_json(), "labels": labels}
    if AIRFLOW_2:
        if one["mapped"] or not one["task"]:
            raise UsageError(f"{name} cannot be promised on Airflow 2; promise the last task that is not mapped")
        from dq.airflow import airflow2

        airflow2.set_on(task, one, promise)
    elif Version(airflow.__version__) < _KEEPS_DEADLINES:
        raise UsageError(f"sla() needs Airflow {_KEEPS_DEADLINES}, or 2.11; {airflow.__version__} loses deadlines")
    else:
        _set_deadlines(dag, one, name, promise, where)
    return target


def sla_miss_callback(
    dag: Any,
    task_list: str,  # noqa: ARG001  # Airflow's signature
    blocking_task_list: str,  # noqa: ARG001  # as above
    slas: Iterable[Any],
    blocking_tis: Iterable[Any],  # noqa: ARG001  # as above
) -> None:
    """Tell dq of late tasks: for ``DAG(sla_miss_callback=...)`` of Airflow 2, also of those with its own ``sla=``.

    Nothing is judged or sent here; ``sla_check`` does that. Airflow 3 calls no such function: there, and on both, write
    :func:`sla`.

    Args:
        dag: the DAG; its file says which project.
        task_list, blocking_task_list, blocking_tis: not needed.
        slas: the misses, ``airflow.models.slamiss.SlaMiss``.
    """
    from dq.airflow import airflow2

    airflow2.missed(dag, slas)


def _by_name(on_miss: Callable[..., object] | str | None) -> str | None:
    """Return how another process finds a function.

    Raises:
        UsageError: when it cannot.
    """
    if on_miss is None or isinstance(on_miss, str):
        return on_miss
    module, name = getattr(on_miss, "__module__", None), getattr(on_miss, "__qualname__", "")
    if not module or module == "__main__" or module.startswith("unusual_prefix_") or "<" in name or not name:
        raise UsageError(
            f"on_miss={name or on_miss!r} stands in the DAG file, where nobody else can import it; put it into a "
            f'module beside it, e.g. alerts.py, and write on_miss="alerts:{name.rpartition(".")[2] or "tell"}"'
        )
    return f"{module}:{name}"


def _listed(callbacks: Any) -> list[Any]:
    if not callbacks:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def _is_mapped(task: Any) -> bool:
    """Return whether a task has an instance for each of several things, by itself or with the group it is in."""
    return hasattr(task, "partial_kwargs") or next(iter(task.iter_mapped_task_groups()), None) is not None


def _set_deadlines(dag: Any, one: dict[str, Any], name: str, promise: Sla, project: str | None) -> None:
    """Add a promise to the deadlines of a DAG: one for each distinct interval, and one that says when a run is made."""
    from airflow.sdk.definitions.callback import AsyncCallback
    from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

    kept = {alert.name: alert for alert in dag.deadline or [] if (alert.name or "").startswith("dq: ")}
    others = [alert for alert in dag.deadline or [] if alert.name not in kept]

    def add(title: str, reference: Any, interval: timedelta, call: str) -> None:
        before = kept[title].callback.kwargs["promised"] if title in kept else []
        kwargs = {"promised": [*before, one], "file": dag.fileloc, "project": project}
        if any(other["task"] == one["task"] for other in before):
            raise UsageError(f"{name} is promised twice")
        kept[title] = DeadlineAlert(
            reference, interval, AsyncCallback(f"dq.airflow.deadlines.{call}", kwargs=kwargs), name=title
        )

    # A deadline that is over when the run is made is called at once. Never DAGRUN_QUEUED_AT: with it, clearing a task
    # is answered with an error (apache/airflow issue 70368).
    add(_MADE, DeadlineReference.FIXED_DATETIME(datetime(2000, 1, 1, tzinfo=UTC)), timedelta(0), "run_made")
    if promise.within is not None:
        over = promise.within + promise.grace
        add(_LOOK + format_duration(over), DeadlineReference.DAGRUN_LOGICAL_DATE, over, "look")
    dag.deadline = [*others, *kept.values()]
