"""A decorated function as a check: what it returns is judged, recorded and told like what a statement measures."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    get_current_context,
    task,
)
from attrs import evolve, fields_dict

from dq.airflow import tasks as work
from dq.airflow.groups import OURS, OnBlock
from dq.checks.returned import Answered, Returned
from dq.model.check import Check, Suite
from dq.model.errors import MeasureError, UsageError
from dq.model.severity import Severity
from dq.model.table import Table
from dq.model.thresholds import Bounds

_log = logging.getLogger(__name__)

_RUNGS = ("info", "warning", "error", "critical")
_OF_CHECK = {
    *_RUNGS, "tolerance", "severity", "on_empty", "on_error", "by", "orgs", "notify", "for_runs", "owner", "runbook",
    "description", "tags",
}  # fmt: skip
_OF_ROWS = fields_dict(Check).keys() - _OF_CHECK - {"name", "kind"}


def check(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    suite: str | None = None,
    stop_at: str | Severity = "error",
    on_block: OnBlock = "skip",
    date: str | None = None,
    project: str | Path | None = None,
    **arguments: Any,
) -> Any:
    """Make a function a task that is a check: ``@check(warning=at_most(60), error=at_most(180))``.

    What it returns is judged by thresholds, one per severity as in :class:`dq.Check`:

    - with bounds (``at_most``, ``between``, ...) it returns a number, or a ``timedelta`` for bounds that are durations;
    - else it returns True when all is well, or how many violations there are, held against a tolerance (0 by default);
    - with ``by="org_id"`` it returns a mapping of each org to one of these.

    The result is recorded in a run of its own, which is closed at once: it opens and ends an incident, and is routed,
    like that of any check. What it raises, and None, make the check unmeasured, once no retry is left.

    Args:
        function: what is decorated.
        name: of the check; the name of the function by default.
        suite: under which name it is told and recorded; ``<dag id>.<task id>`` by default. It must be of this task
            alone, and no suite of the project.
        stop_at: the severity at which the next task does not start.
        on_block: what happens then: the task is skipped, and with it what follows (``skip``), it fails (``fail``), or
            it ends well with a warning in the log (``continue``).
        date: as for :func:`dq.airflow.suite_group`.
        project: as for :func:`dq.airflow.suite_group`.
        arguments: of the check: ``warning=``, ``error=``, ``by=``, ``orgs=``, ``notify=``, ``owner=``, ``runbook=`` and
            others of :class:`dq.Check`; all that it does not have goes to the task, e.g. ``retries=``, ``pool=``.

    Raises:
        DqError: at parse, when that cannot mean anything.
    """
    if function is None:
        return functools.partial(
            check, name=name, suite=suite, stop_at=stop_at, on_block=on_block, date=date, project=project, **arguments
        )
    if not callable(function):
        raise UsageError(f"@check decorates a function, not {function!r}")
    stop = Severity.of(stop_at)
    if on_block not in get_args(OnBlock):
        raise UsageError(f"on_block={on_block!r} is not one of {', '.join(get_args(OnBlock))}")
    said = getattr(function, "__name__", "check")
    if refused := sorted((OURS - {"task_id"} | {"multiple_outputs", "sla"}) & arguments.keys()):
        raise UsageError(f"@check of {said} does not take {', '.join(refused)}")
    if refused := sorted(_OF_ROWS & arguments.keys()):
        raise UsageError(f"@check of {said} does not take {', '.join(refused)}, which speaks of the rows of a table")
    declared = {key: value for key, value in arguments.items() if key in _OF_CHECK}
    made = _suite(name or said, suite or "of.the.task", declared)
    given = {"date": date, "project": None if project is None else str(project)}

    @functools.wraps(function)
    def measured(*args: Any, **kwargs: Any) -> dict[str, Any]:
        context = get_current_context()
        day = context["task"].render_template(date, context) if date else date
        own = {**context, **given, "date": day, "suite": suite or f"{context['dag'].dag_id}.{context['task'].task_id}"}
        return _judged(own, made, functools.partial(function, *args, **kwargs), stop, on_block)

    return task(**{key: value for key, value in arguments.items() if key not in _OF_CHECK})(measured)


def _suite(name: str, suite: str, declared: dict[str, Any]) -> Suite:
    """Return a suite of one check, which no table answers.

    Raises:
        DeclarationError: when the check cannot mean anything.
    """
    bounds = any(isinstance(declared.get(rung), Bounds) for rung in _RUNGS)
    kind = Returned(name) if bounds else Answered(name)
    made = Suite(suite, Table("airflow", "function"), checks=[Check(name, kind, **declared)])
    by = made.checks[0].by
    if by is not None and isinstance(by.expected, str):
        raise UsageError(f"@check of {name}: By(expected=) takes a list here, because there is no table to ask")
    return made


def _judged(
    context: dict[str, Any], made: Suite, function: Callable[[], object], stop_at: Severity, on_block: str
) -> dict[str, Any]:
    ti = context["ti"]
    if ti.map_index is not None and ti.map_index >= 0:
        raise AirflowFailException("a mapped @check would be one run of dq; say by= and return a number for each org")

    def ask() -> object:
        try:
            return function()
        except (AirflowSkipException, MeasureError):
            raise
        except Exception as error:
            if ti.try_number <= ti.max_tries and not isinstance(error, AirflowFailException):
                raise  # it may pass by itself
            _log.exception("the function raised")
            # What it says may hold a secret, and sentences go to chat.
            raise MeasureError(f"it raised {type(error).__name__}, see the log of its task") from error

    with work.one_sentence():
        from dq import app

        project, name, interval, origin = work.where(context)
        run = app.judge_answer(project, evolve(made, name=name), interval, origin, ask)
    _log.info("%s %s (run %s)\n%s", name, interval, run.id, work.table(run.results))
    work.refuse_unmeasured(f"{name} {interval}", run.results, stop_at)
    if any(result.at_or_above(stop_at) for result in run.results):
        worst = max(run.results, key=lambda result: result.severity or 0)
        blocked = f"{name} {interval} is not good: {worst.sentence}"
        if on_block == "fail":
            raise AirflowFailException(blocked)
        if on_block == "skip":
            raise AirflowSkipException(f"{blocked}; what follows is skipped")
        _log.warning("%s; what follows runs all the same", blocked)
    return {"run": run.id, "results": work.verdicts(run.results)}
