"""Lay out the tasks of a suite or reconciliation; this runs whenever Airflow parses the DAG file."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from airflow.providers.common.compat.sdk import Asset, TaskGroup
from airflow.providers.standard.operators.python import BranchPythonOperator, PythonOperator, ShortCircuitOperator
from attrs import frozen

from dq.airflow import tasks as work
from dq.airflow.assets import outlets_of
from dq.airflow.when import NewData, When, checked
from dq.checks.plan import check_scans, scan_ids
from dq.loader import FOLDERS
from dq.model.check import Suite
from dq.model.errors import UsageError
from dq.model.reconciliation import Reconciliation
from dq.model.severity import Severity
from dq.project import Project, find_root, load_project


@frozen
class branch:  # noqa: N801  # it is read as a word: on_block=branch("repair")
    """What runs instead of the next stage.

    Attributes:
        task_id: of a task directly behind the group.
    """

    task_id: str


OnBlock = Literal["skip", "fail", "continue"]
Tasks = Literal["suite", "scan", "check"]
OURS = {"task_id", "python_callable", "op_args", "op_kwargs", "ignore_downstream_trigger_rules"}


def suite_group(
    suite: str | Suite | Reconciliation,
    *,
    group_id: str | None = None,
    stop_at: str | Severity = "error",
    on_block: OnBlock | branch = "skip",
    should_run: When | None = None,
    tasks: Tasks = "scan",
    of_task: Mapping[str, Mapping[str, Any]] | None = None,
    outlets: Asset | str | Iterable[Asset | str] = (),
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
        on_block: what happens then: ``skip`` it, ``fail`` the gate, ``continue`` with a warning in the log, or
            ``branch("task_id")``: that task runs instead, and is skipped when all is well.
        should_run: a function of the Airflow context, or ``Sql``, ``EveryNth`` or ``NewData`` of
            :mod:`dq.airflow.when`. When the answer is no, the suite is not due, whatever ``every=`` says.
        tasks: how many tasks measure: one for each ``scan`` (a table and group, read once), one for the whole
            ``suite``, or one for each ``check``, which reads its table by itself.
        of_task: what holds for single ones of them, by task id (``scan``, ``scan_by_org``; ``check_amount``) or name
            of a check, e.g. ``{"scan_by_org": {"pool": "heavy", "executor_config": ...}}``; goes before
            ``operator_kwargs``.
        outlets: assets that are updated only when the data are good, by the gate, with ``suite``, ``run``,
            ``partition``, ``score`` (the share of the judged checks that passed, from 0 to 1) and ``worst`` (severity)
            in the ``extra`` of the event. When the suite is not due, or only ``on_block="continue"`` lets the next
            stage start, they are not.
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
    if not isinstance(on_block, branch) and on_block not in get_args(OnBlock):
        raise UsageError(f"on_block={on_block!r} is not one of {', '.join(get_args(OnBlock))}, branch(...)")
    if tasks not in get_args(Tasks):
        raise UsageError(f"tasks={tasks!r} is not one of {', '.join(get_args(Tasks))}")
    asked = checked(should_run)
    if refused := sorted(OURS & operator_kwargs.keys()):
        raise UsageError(f"suite_group sets {', '.join(refused)} itself; the edges and trigger rules belong together")
    if "sla" in operator_kwargs:
        raise UsageError("suite_group does not take sla=, which Airflow 3 ignores; the suite itself does: sla=Sla(...)")
    name = suite if isinstance(suite, str) else suite.name
    updated = outlets_of(name, outlets)
    where = None if project is None else str(project)
    with TaskGroup(group_id or re.sub(r"\W", "_", name)) as group:
        refuse_mapped(group)
        if isinstance(suite, str):
            suite = parsed_project(work.start_of(group.dag.fileloc, where)).find(name)
        scans_of = _divided(suite, tasks)
        own = _of_task(suite, scans_of, of_task or {})
        names = {"suite": name, "date": date, "project": where}
        begin = f"{group.group_id}.should_run"

        def task(task_id: str, call: Callable[..., object], rule: str | None = None, **more: object) -> PythonOperator:
            arguments = operator_kwargs | own.get(task_id, {})
            arguments |= {"task_id": task_id, "python_callable": call, "op_kwargs": names | more}
            if rule:  # should_run keeps what the user gives: it stands behind tasks that are not ours
                arguments["trigger_rule"] = rule
            if task_id == "gate" and isinstance(on_block, branch):
                return BranchPythonOperator(**arguments)
            if task_id in {"should_run", "gate"}:  # else every later task would be skipped, `all_done` ones too
                return ShortCircuitOperator(ignore_downstream_trigger_rules=False, **arguments)
            return PythonOperator(**arguments)

        scans = [
            task(task_id, work.scan, rule="all_success", scans=ids, stop_at=stop) for task_id, ids in scans_of.items()
        ]
        measured_by = {scan: f"{group.group_id}.{task_id}" for task_id, ids in scans_of.items() for scan in ids}
        close = task("close", work.close, rule="all_done", begin=begin, scans=measured_by)
        how = {"rule": "none_failed", "begin": begin, "stop_at": stop}
        if isinstance(on_block, branch):
            gate = task("gate", partial(work.choose, updates=updated), instead=on_block.task_id, **how)
        else:
            gate = task("gate", partial(work.gate, updates=updated), on_block=on_block, **how)
        if updated is not None:
            gate.outlets.append(updated.alias)
        first = task("should_run", partial(work.should_run, asked=asked))
        if isinstance(asked, NewData):
            first.inlets.append(asked.asset)
        first >> scans >> close >> gate
        scans >> gate
    return group


def parsed_project(start: Path) -> Project:
    """Return the project; a DAG file with hundreds of groups loads its declarations once."""
    now, before = time.monotonic(), _LOADED.get(start)
    if before is not None and now - before.looked_at < _FRESH:
        return before.project
    root = find_root(start)
    files = _files(root)
    project = before.project if before is not None and before.files == files else load_project(root)
    _LOADED[start] = _Loaded(now, files, project)
    return project


def _files(root: Path) -> frozenset[tuple[str, int, int]]:
    """Return what tells whether the declarations are still those that were loaded."""
    found: set[tuple[str, int, int]] = set()
    for file in (root / "dq.toml", *(file for folder in FOLDERS for file in (root / folder).rglob("*.py"))):
        with suppress(OSError):  # it may be replaced at this moment, or be a link to nothing
            found.add((str(file), (stat := file.stat()).st_mtime_ns, stat.st_size))
    return frozenset(found)


@frozen
class _Loaded:
    looked_at: float
    files: frozenset[tuple[str, int, int]]
    project: Project


_FRESH = 0.2
"""Seconds for which files are not looked at again."""
_LOADED: dict[Path, _Loaded] = {}


def _divided(declared: Suite | Reconciliation, tasks: Tasks) -> dict[str, tuple[str, ...]]:
    """Return the tasks that measure, with the ids of the scans that each takes; a reconciliation has one scan."""
    if tasks == "check" and isinstance(declared, Suite):
        return {scan.id: (scan.id,) for scan in check_scans(declared)}
    ids = scan_ids(declared)
    return {"scans": ids} if tasks == "suite" else {scan: (scan,) for scan in ids}


def _of_task(
    declared: Suite | Reconciliation, scans_of: Mapping[str, object], given: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what the user gives for single tasks, by task id.

    Raises:
        UsageError: when there is no such task, or it is dq that sets what is given.
    """
    if not given:  # most groups of hundreds
        return {}
    by_check = {s.checks[0].name: s.id for s in check_scans(declared)} if isinstance(declared, Suite) else {}
    found: dict[str, dict[str, Any]] = {}
    for name, arguments in given.items():
        task_id = name if name in scans_of else by_check.get(name, "")
        if task_id not in scans_of:
            raise UsageError(f"of_task names {name!r}; the tasks that measure are {', '.join(scans_of)}")
        if refused := sorted((OURS | {"trigger_rule"}) & arguments.keys()):
            raise UsageError(f"of_task[{name!r}]: suite_group sets {', '.join(refused)} itself")
        found[task_id] = dict(arguments)
    return found


def reconciliation_group(reconciliation: str | Reconciliation, **arguments: Any) -> TaskGroup:
    """Return the tasks of a reconciliation: as :func:`suite_group`, with one scan, ``stages``.

    Args:
        reconciliation: its name, or the Reconciliation itself, which must be declared in the project.
        arguments: as for :func:`suite_group`.
    """
    return suite_group(reconciliation, **arguments)


def require_quality(
    suite: str,
    *,
    stop_at: str | Severity = "error",
    on_block: Literal["skip", "fail"] = "skip",
    task_id: str | None = None,
    date: str | None = None,
    project: str | Path | None = None,
    **operator_kwargs: Any,
) -> ShortCircuitOperator:
    """Return a task that lets a consumer start only when the data that it reads were checked and are good.

    It asks dq's store for the latest run of the same partition, whichever DAG or terminal it came from. What was not
    checked, and a run that is not closed, are not good.

    Args:
        suite: the name of a suite or reconciliation of the project; its file need not be there at parse.
        stop_at: what is found at this severity or above is not good.
        on_block: what happens then: ``skip`` what follows, or ``fail``; with ``retries=`` it is asked again.
        task_id: ``require_<suite>`` by default.
        date: as for :func:`suite_group`.
        project: as for :func:`suite_group`.
        operator_kwargs: for the task, e.g. ``retries=``, ``retry_delay=``, ``pool=``.

    Raises:
        UsageError: when an argument cannot mean anything.
    """
    if on_block not in ("skip", "fail"):
        raise UsageError(f"on_block={on_block!r} is neither skip nor fail")
    if refused := sorted(OURS & operator_kwargs.keys()):
        raise UsageError(f"require_quality sets {', '.join(refused)} itself")
    names = {"suite": suite, "date": date, "project": None if project is None else str(project)}
    return ShortCircuitOperator(
        task_id=task_id or "require_" + re.sub(r"\W", "_", suite),
        python_callable=work.require,
        op_kwargs=names | {"stop_at": str(Severity.of(stop_at)), "on_block": on_block},
        ignore_downstream_trigger_rules=False,
        **operator_kwargs,
    )


def refuse_mapped(group: TaskGroup) -> None:
    """Refuse a mapped group: there Airflow's ShortCircuit skips nothing, and all mapped runs would be one run of dq."""
    if next(group.iter_mapped_task_groups(), None) is not None:
        raise UsageError(f"{group.group_id} cannot run in a mapped TaskGroup; declare By(...) for one result per org")
