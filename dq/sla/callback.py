"""Calling a user's ``sla_miss_callback`` as Airflow 2 does, on any Airflow and without one.

The five arguments and the attributes are those of Airflow 2.11 (``DagFileProcessor.manage_slas``,
``airflow.models.slamiss.SlaMiss``): a function that was written for it goes on working where it reads these.
"""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from attrs import frozen

from dq.model.kept import Answer
from dq.model.sla import Sla
from dq.sla.evaluate import SlaVerdict
from dq.sla.findings import sentence


@frozen
class Dag:
    """The first argument, ``dag``.

    Attributes:
        dag_id: the id of the DAG; outside Airflow the name of the suite or reconciliation.
    """

    dag_id: str

    def __str__(self) -> str:
        return f"<DAG: {self.dag_id}>"


@frozen(kw_only=True)
class SlaMiss:
    """An entry of the fourth argument, ``slas``.

    Attributes:
        dag_id, task_id: what missed it.
        execution_date: the start of the data interval, UTC.
        timestamp: when the miss was noticed, UTC.
        email_sent, notification_sent: always False, as in Airflow before the function has returned.
        description: what was promised and what was seen, in a sentence (Airflow leaves it empty).
    """

    dag_id: str
    task_id: str
    execution_date: datetime
    timestamp: datetime
    email_sent: bool = False
    notification_sent: bool = False
    description: str | None = None


@frozen(kw_only=True)
class TaskInstance:
    """An entry of the fifth argument, ``blocking_tis``: what it waits for.

    Attributes:
        task_id, dag_id: the task.
        execution_date: the start of the data interval, UTC.
        state: ``running``, ``failed``, or None: nothing has been seen of it.
    """

    task_id: str
    dag_id: str
    execution_date: datetime
    state: str | None


_BLOCKING: dict[Answer, str | None] = {
    Answer.NEVER_CREATED: None,
    Answer.NEVER_STARTED: None,
    Answer.PAUSED: None,
    Answer.LATE_RUNNING: "running",
    Answer.FAILED: "failed",
    Answer.UNMEASURED: "failed",
}


def call_on_miss(
    sla: Sla,
    verdict: SlaVerdict,
    *,
    dag_id: str | None = None,
    task_id: str | None = None,
    execution_date: datetime | None = None,
) -> str | None:
    """Call ``sla.on_miss``, when there is one, about one missed partition.

    Args:
        sla: the promise.
        verdict: what came of it.
        dag_id: what to call the DAG; the subject's name when it is not known.
        task_id: what to call the task; the subject's name when it is not known.
        execution_date: what to say for it; the start of the partition by default.

    Returns:
        None when all went well, else one sentence that says what is wrong with the function. Nothing is raised,
        whatever the function does, except what must stop the process (``KeyboardInterrupt``). The sentence has no text
        of the function's own exception, because that often quotes a URL which is a secret.
    """
    if sla.on_miss is None:
        return None
    name = sla.on_miss if isinstance(sla.on_miss, str) else getattr(sla.on_miss, "__qualname__", "the function")
    problem = _call(sla.on_miss, _arguments(verdict, dag_id, task_id, execution_date))
    return None if problem is None else f"on_miss of {verdict.expectation.subject}: {name} {problem}"


def _arguments(
    verdict: SlaVerdict, dag_id: str | None, task_id: str | None, execution_date: datetime | None
) -> tuple[Dag, str, str, list[SlaMiss], list[TaskInstance]]:
    dag = dag_id or verdict.expectation.subject
    task = task_id or verdict.expectation.subject
    start = execution_date or verdict.expectation.interval.start
    misses = [
        SlaMiss(dag_id=dag, task_id=task, execution_date=start, timestamp=verdict.now, description=sentence(verdict))
    ]
    blocking = [
        TaskInstance(task_id=task, dag_id=dag, execution_date=start, state=state)
        for answer, state in _BLOCKING.items()
        if answer is verdict.answer
    ]
    return Dag(dag), _lines(misses), _lines(blocking), misses, blocking


def _lines(tasks: Iterable[SlaMiss | TaskInstance]) -> str:
    return "\n".join(f"{task.task_id} on {task.execution_date.isoformat()}" for task in tasks)


def _call(function: object, arguments: tuple[object, ...]) -> str | None:
    try:
        if isinstance(function, str):
            module, colon, path = function.partition(":")
            if not (module and colon and path):
                return 'is not of the form "package.module:function"'
            function = _resolve(module, path)
        if not callable(function):
            return "is not a function"
        answer = function(*arguments)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # it is a user's function: anything can come
        return _problem(error)
    if inspect.iscoroutine(answer):
        answer.close()
        return "is an async function, which nobody awaits; write a plain one"
    return None


def _resolve(module: str, path: str) -> object:
    found: object = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _problem(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"could not be imported: there is no module {error.name!r}"
    ours = ("importlib", __file__)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not any(part in f.filename for part in ours)]
    if frames:
        return f"ended with {type(error).__name__} (line {frames[0].lineno} of {Path(frames[0].filename).name})"
    if isinstance(error, AttributeError):
        return f"could not be found: {error}"
    if isinstance(error, TypeError):
        return "does not take the five arguments dag, task_list, blocking_task_list, slas, blocking_tis"
    return f"ended with {type(error).__name__}"
