"""Lay out the tasks of a suite or reconciliation; this runs whenever Airflow parses the DAG file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from airflow.providers.common.compat.sdk import TaskGroup
from airflow.providers.standard.operators.python import PythonOperator, ShortCircuitOperator

from dq.airflow import tasks
from dq.checks.plan import scan_ids
from dq.model.check import Suite
from dq.model.errors import UsageError
from dq.model.reconciliation import Reconciliation
from dq.model.severity import Severity
from dq.project import load_project

OnBlock = Literal["skip", "fail", "continue"]
_OURS = {"task_id", "python_callable", "op_args", "op_kwargs", "ignore_downstream_trigger_rules"}


def suite_group(
    suite: str | Suite | Reconciliation,
    *,
    group_id: str | None = None,
    stop_at: str | Severity = "error",
    on_block: OnBlock = "skip",
    should_run: Callable[[Mapping[str, Any]], object] | None = None,
    date: str | None = None,
    project: str | Path | None = None,
    **operator_kwargs: Any,
) -> TaskGroup:
    """Return the tasks of a suite as one TaskGroup: ``should_run >> scans >> close >> gate``.

    The group stands between two stages of a DAG. When everything is well, or the suite is not due, the next stage
    runs. A check that fails at ``stop_at`` or above stops it as ``on_block`` says. A check at ``stop_at`` or above that
    could not be measured, and a failed stage before, fail the DAG run, and the next stage does not start. ``close``
    always runs: it folds the results into incidents and sends what is to be told.

    A blocked gate skips the tasks directly behind the group only: a task two steps on whose ``trigger_rule`` is
    ``none_failed`` runs, and a trailing ``all_done`` task of your own turns every DAG run green.

    Args:
        suite: its name, or the Suite or Reconciliation itself, which must be declared in the project.
        group_id: the id of the group; the name by default.
        stop_at: the severity at which the next stage does not start.
        on_block: what happens then: ``skip`` it, ``fail`` the gate, or ``continue`` with a warning in the log.
        should_run: called with the Airflow context; a false answer means that the suite is not due, whatever
            ``every=`` says.
        date: a template of the UTC day to look at, e.g. ``"{{ dag_run.conf.get('date', '') }}"``. Without it, or when
            it renders to nothing: the data interval of the DAG run when it has length, else the last whole UTC day
            that ended at or before the logical date (without one: the time the run may start after). So ``@daily``,
            whose runs have an interval without length on Airflow 3, looks at the day before.
        project: the folder of ``dq.toml``, relative to the DAG file or absolute. By default it is found by walking up
            from the DAG file, or by ``DQ_HOME``. The worker looks again: no path of the parsing machine reaches it.
        operator_kwargs: for every task, e.g. ``retries=``, ``pool=``, ``queue=``. Airflow retries only what may pass
            by itself; the wrong name of a column does not.

    Raises:
        DqError: at parse, when the declaration is not found or an argument cannot mean anything.
    """
    stop = str(Severity.of(stop_at))
    if on_block not in get_args(OnBlock):
        raise UsageError(f"on_block={on_block!r} is not one of {', '.join(get_args(OnBlock))}")
    if refused := sorted(_OURS & operator_kwargs.keys()):
        raise UsageError(f"suite_group sets {', '.join(refused)} itself; the edges and trigger rules belong together")
    name = suite if isinstance(suite, str) else suite.name
    where = None if project is None else str(project)
    with TaskGroup(group_id or re.sub(r"\W", "_", name)) as group:
        _refuse_mapped(group)
        if isinstance(suite, str):
            suite = load_project(tasks.start_of(group.dag.fileloc, where)).find(name)
        ids = scan_ids(suite)
        names = {"suite": name, "date": date, "project": where}
        begin = f"{group.group_id}.should_run"

        def task(task_id: str, call: Callable[..., object], rule: str | None = None, **more: object) -> PythonOperator:
            arguments = operator_kwargs | {"task_id": task_id, "python_callable": call, "op_kwargs": names | more}
            if rule:  # should_run keeps what the user gives: it stands behind tasks that are not ours
                arguments["trigger_rule"] = rule
            if task_id in {"should_run", "gate"}:  # else every later task would be skipped, `all_done` ones too
                return ShortCircuitOperator(ignore_downstream_trigger_rules=False, **arguments)
            return PythonOperator(**arguments)

        scans = [task(scan, tasks.scan, rule="all_success", scan=scan, stop_at=stop) for scan in ids]
        close = task(
            "close", tasks.close, rule="all_done", begin=begin, scans={scan: f"{group.group_id}.{scan}" for scan in ids}
        )
        gate = task("gate", tasks.gate, rule="none_failed", begin=begin, stop_at=stop, on_block=on_block)
        task("should_run", partial(tasks.should_run, asked=should_run)) >> scans >> close >> gate
        scans >> gate
    return group


def reconciliation_group(reconciliation: str | Reconciliation, **arguments: Any) -> TaskGroup:
    """Return the tasks of a reconciliation: as :func:`suite_group`, with one scan, ``stages``.

    Args:
        reconciliation: its name, or the Reconciliation itself, which must be declared in the project.
        arguments: as for :func:`suite_group`.
    """
    return suite_group(reconciliation, **arguments)


def _refuse_mapped(group: TaskGroup) -> None:
    """Refuse a mapped group: there Airflow's ShortCircuit skips nothing, and all mapped runs would be one run of dq."""
    if next(group.iter_mapped_task_groups(), None) is not None:
        raise UsageError(f"{group.group_id} cannot run in a mapped TaskGroup; declare By(...) for one result per org")
