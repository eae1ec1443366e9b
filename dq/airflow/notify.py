"""Callbacks of Airflow that tell dq, so that its router tells people.

``DqNotifier`` says that a task or a run failed or is well again; ``finished`` says once how a run ended, step by step.
Neither sends anything: what they say waits in dq's store for the next pump. Neither breaks what calls it: what cannot
be recorded is one sentence in the log.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowFailException, BaseNotifier, conf, redact
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow.seen import project_of
from dq.airflow.states import Key, run_states, run_times
from dq.airflow.tasks import plain
from dq.model.errors import DqError, UsageError
from dq.model.interval import Interval
from dq.model.names import first_of
from dq.model.severity import Severity
from dq.project import Project, load_project

if TYPE_CHECKING:
    from dq.alerting.dags import Happened
    from dq.alerting.steps import Step

_SECOND = timedelta(seconds=1)
_REASONS = {
    "task_failure": "a task failed",
    "all_tasks_deadlocked": "its tasks wait for each other",
    "timed_out": "it took longer than dagrun_timeout",
}


class _Notifier(BaseNotifier):
    """What both notifiers share: they never break what calls them, and they run in a triggerer, too."""

    what = ""

    def __init__(self, project: str | Path | None, context: Any) -> None:
        try:
            super().__init__(context=context)
        except TypeError:  # Airflow 2 takes none
            super().__init__()
        self.project = None if project is None else str(project)

    def notify(self, context: Any) -> None:
        """Record what ``context`` says. Whatever is in the way is said in the log, and nothing is raised."""
        try:
            self.log.info("dq: %s", self._record(context))
        except DqError as error:
            self.log.warning("dq: nothing was recorded of %s: %s", self.what, error)
        except Exception as error:  # a callback must not break what it is called for
            self.log.warning("dq: nothing was recorded of %s: %s", self.what, type(error).__name__)
            self.log.debug("why nothing was recorded", exc_info=True)

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Fill in the templates; what does not render is said in the log and left out."""
        if jinja_env is None and not hasattr(context.get("dag"), "get_template_env"):  # as in dag.test()
            jinja_env = self.get_template_env(dag=None)
        try:
            super().render_template_fields(context, jinja_env)
        except Exception as error:  # noqa: BLE001  # templates are the user's own; nothing is to be lost for one
            self.log.warning("dq: %s do not render: %s", ", ".join(self.template_fields), type(error).__name__)
            for name in self.template_fields:
                setattr(self, name, None)

    async def async_notify(self, context: Any) -> None:
        """Do the same where an event loop must not wait, as in the triggerer."""
        from asgiref.sync import sync_to_async

        # In a thread of its own: all other callbacks of a triggerer share the one that is sensitive.
        await sync_to_async(self.notify, thread_sensitive=False)(context)

    @abstractmethod
    def _record(self, context: Any) -> str:
        """Record what ``context`` says, and return it in words."""

    def _project(self, context: Mapping[str, Any]) -> Project:
        """Return the project, without its declarations: a callback needs none, and none is in its way."""
        dag = context.get("dag")
        if dag is not None:
            return project_of(dag.fileloc, self.project)
        return load_project(None if self.project is None else Path(self.project), declarations=False)


class DqNotifier(_Notifier):
    """Tells dq what became of a task, a DAG run or a deadline; incidents, routes and silences do the rest.

    Usable as ``on_failure_callback``, ``on_retry_callback`` and ``on_success_callback`` of tasks (in ``default_args``,
    too) and of DAGs, and in ``AsyncCallback(DqNotifier, kwargs={...})`` of a deadline. What happened is told from the
    context. All tasks of a DAG are one group: a thousand that fail are one message.

    Args:
        severity: how bad it is that the task or run failed, or is late.
        retries: whether a task that is tried again is an incident already; else it is only written down.
        owner: whose it is; by default the owner of the task, or those of the DAG.
        runbook: the address of what to do; a template.
        project: the folder of ``dq.toml``, relative to the DAG file or absolute. By default it is found by walking up
            from the DAG file, or by ``DQ_HOME``. A deadline has no DAG file: an absolute folder, or ``DQ_HOME``.
        context: what Airflow gives in a triggerer.

    Raises:
        DeclarationError: when there is no such severity.
    """

    template_fields = ("runbook",)
    what = "what happened"

    def __init__(
        self,
        *,
        severity: str | Severity = "error",
        retries: bool = False,
        owner: str | None = None,
        runbook: str | None = None,
        project: str | Path | None = None,
        context: Any = None,
    ) -> None:
        super().__init__(project, context)
        self.severity = str(Severity.of(severity))
        self.retries = retries
        self.owner = owner
        self.runbook = runbook

    def _record(self, context: Any) -> str:
        from dq import app

        happened = self._happened(context)
        if happened is None:
            return "the context says of nothing that failed or succeeded, so nothing is recorded"
        project = self._project(context)
        changed = app.notice(project, happened, severity=self.severity, retries=self.retries)
        words = f"{happened.dag}, {happened.part}: {happened.what}"
        return f"{words}; incidents: {', '.join(changed) or 'no change'}"

    def _happened(self, context: Mapping[str, Any]) -> Happened | None:
        if "deadline" in context:
            return self._late(context)
        if "reason" in context:
            return self._of_run(context)
        return self._of_task(context)

    def _of_task(self, context: Mapping[str, Any]) -> Happened | None:
        from dq.alerting.dags import Happened, What

        ti, task, dag = context["ti"], context["task"], context["dag"]
        state = _state(ti)
        what = {
            "failed": What.TASK_FAILED,
            "up_for_retry": What.TASK_RETRIED,
            "success": What.TASK_SUCCEEDED,
        }.get(state)
        interval = None if what is None else _when(context, good=what.is_good)
        if what is None or interval is None:
            return None
        return Happened(
            what=what,
            dag=dag.dag_id,
            run=ti.run_id,
            task=ti.task_id,
            index=_index(ti),
            interval=interval,
            sentence="" if what.is_good else _failed(context, again=what is What.TASK_RETRIED),
            owner=self.owner or _owner([task]),
            tags=frozenset(dag.tags or ()),
            links=self._links(context, log=True),
            tasks=frozenset(dag.task_ids),
        )

    def _of_run(self, context: Mapping[str, Any]) -> Happened | None:
        from dq.alerting.dags import Happened, What, part_of

        dag, good = context["dag"], context["reason"] == "success"
        interval = _when(context, good=good)
        if interval is None:
            return None
        states = run_states(context)
        failed = [part_of(*key) for key, state in sorted(states.items()) if state == "failed"]
        return Happened(
            what=What.RUN_SUCCEEDED if good else What.RUN_FAILED,
            dag=dag.dag_id,
            run=context["run_id"],
            interval=interval,
            sentence="" if good else _run_failed(context["reason"], failed),
            owner=self.owner or _owner(dag.tasks),
            tags=frozenset(dag.tags or ()),
            links=self._links(context),
            tasks=frozenset(dag.task_ids),
            states={part_of(*key): state for key, state in states.items()},
        )

    def _late(self, context: Mapping[str, Any]) -> Happened | None:
        from dq.alerting.dags import Happened, What

        run, deadline = context["dag_run"], context["deadline"]
        interval = _interval(context) or _second(datetime.now(UTC))
        state = str(_of(run, "state") or "unknown")
        due = _time(_of(deadline, "deadline_time"))
        when = "" if due is None else f" of {due:%Y-%m-%d %H:%M:%S} UTC"
        return Happened(
            what=What.RUN_LATE,
            dag=_of(run, "dag_id"),
            run=_run_id(run),
            interval=interval,
            sentence=f"the deadline{when} passed and the run is {state}",
            owner=self.owner or "",
            links=self._links(context),
            over=state == "success",
        )

    def _links(self, context: Mapping[str, Any], *, log: bool = False) -> dict[str, str]:
        found = {"Runbook": self.runbook} if self.runbook else {}
        found |= links_of(context, log=log)
        return found


def finished(
    to: Iterable[str], *, steps: Iterable[str] | None = None, project: str | Path | None = None
) -> FinishedNotifier:
    """Return what tells people once how a DAG run ended, with its numbered steps.

    As callback of a DAG (``on_success_callback=finished(to=["team"])``, and the same for failure), or at its end as
    ``finished(to=["team"]).as_task()``. A run that is cleared and ends the other way is told again.

    Args:
        to: names of channels in ``alerting/routes.toml``; no pagers.
        steps: ids of tasks and TaskGroups, in their order; by default those at the top level of the DAG.
        project: as for :class:`DqNotifier`.

    Raises:
        UsageError: when no channel is named, or steps are an empty list.
    """
    return FinishedNotifier(to=to, steps=steps, project=project)


class FinishedNotifier(_Notifier):
    """Tells once how a DAG run ended; :func:`finished` makes it, and says what the arguments mean."""

    what = "how the run ended"

    def __init__(
        self,
        *,
        to: Iterable[str],
        steps: Iterable[str] | None = None,
        project: str | Path | None = None,
        context: Any = None,
    ) -> None:
        super().__init__(project, context)
        self.to = (to,) if isinstance(to, str) else tuple(to)
        self.steps = None if steps is None else tuple(steps)
        if not self.to or self.steps == ():
            raise UsageError("finished needs at least one channel in to=, and steps= is not empty when it is given")

    def as_task(self, task_id: str = "finished", **operator_kwargs: Any) -> PythonOperator:
        """Return a task that tells it; put it behind all others.

        It runs whatever was before it, and as a teardown it turns no red run green.

        Args:
            task_id: of the task.
            operator_kwargs: for the task, e.g. ``pool=``.
        """
        task = PythonOperator(task_id=task_id, python_callable=self._tell, trigger_rule="all_done", **operator_kwargs)
        task.as_teardown()
        return task

    def _tell(self, **context: Any) -> None:
        try:
            self.log.info("dq: %s", self._record(context))
        except DqError as error:
            raise AirflowFailException(str(error)) from None

    def _record(self, context: Any) -> str:
        from dq import app
        from dq.alerting.dags import part_of
        from dq.alerting.steps import Ended, went_well

        dag, own = context["dag"], "" if "reason" in context else context["task"].task_id
        states = {key: state for key, state in run_states(context).items() if key[0] != own}
        if not states:
            raise UsageError(f"what became of the tasks of {dag.dag_id} cannot be asked here, so no steps can be told")
        times = run_times(context, [key for key, state in states.items() if state in ("success", "failed")])
        steps, members = [], set()
        for name, tasks in self._members(dag, own):
            steps.append(_step(name, tasks, states, times))
            members |= tasks
        good = went_well(steps) if own else context["reason"] == "success"
        ended = Ended(
            dag=dag.dag_id,
            run=context["run_id"],
            good=good,
            steps=tuple(steps),
            failed=tuple(
                part_of(*key) for key, state in sorted(states.items()) if state == "failed" and key[0] not in members
            ),
            took=_took(context),
            links=links_of(context),
        )
        new = app.tell_ended(self._project(context), ended, to=self.to)
        return f"{ended.dag} {ended.run} is told to {', '.join(self.to)}" if new else "it was told before"

    def _members(self, dag: Any, own: str) -> list[tuple[str, set[str]]]:
        """Return the steps with the ids of their tasks.

        Raises:
            UsageError: when one is neither a task nor a group of the DAG.
        """
        groups = dag.task_group.get_task_group_dict()
        names = self.steps
        if names is None:
            top = dag.task_group.topological_sort()
            names = tuple(node.node_id for node in top if node.node_id != own)
        found = []
        for name in names:
            if name and name in groups:
                found.append((name, {task.task_id for task in groups[name].iter_tasks()}))
            elif dag.has_task(name):
                found.append((name, {name}))
            else:
                raise UsageError(f"steps= names {name!r}, which is neither a task nor a TaskGroup of {dag.dag_id}")
        return found


def _step(
    name: str,
    tasks: Collection[str],
    states: Mapping[Key, str],
    times: Mapping[Key, tuple[datetime, datetime]],
) -> Step:
    from dq.alerting.dags import part_of
    from dq.alerting.steps import Step, state_of_step

    mine = {key: state for key, state in states.items() if key[0] in tasks}
    seen = {task for task, _ in mine}
    spans = [times[key] for key in mine if key in times]
    ran = [key for key, state in mine.items() if state in ("success", "failed")]
    return Step(
        name=name,
        state=state_of_step([*mine.values(), *(None for task in tasks if task not in seen)]),
        # Of a group with a task whose times nobody knows, nobody knows how long it took.
        took=max(end for _, end in spans) - min(start for start, _ in spans)
        if spans and all(key in times for key in ran)
        else None,
        failed=tuple(part_of(*key) for key, state in sorted(mine.items()) if state == "failed"),
    )


def links_of(context: Mapping[str, Any], *, log: bool = False) -> dict[str, str]:
    """Return where to look in Airflow: the DAG run, and with ``log`` the log and the task.

    None where Airflow does not say under which address people reach it, ``[api] base_url`` (2: ``[webserver]``).
    """
    run = context.get("dag_run")
    dag_id = context["dag"].dag_id if "dag" in context else _of(run, "dag_id")
    run_id = context.get("run_id") or _run_id(run)
    found: dict[str, str] = {}
    if base := conf.get("api", "base_url", fallback=None):
        page = f"{base.rstrip('/')}/dags/{quote(dag_id)}/runs/{quote(run_id)}"
        task_page = f"{page}/tasks/{{task}}{{mapped}}"
    elif base := conf.get("webserver", "base_url", fallback=None):
        page = f"{base.rstrip('/')}/dags/{quote(dag_id)}/grid?dag_run_id={quote(run_id)}"
        task_page = page + "&task_id={task}{mapped}"
    else:
        return found
    if log:
        ti, index = context["ti"], _index(context["ti"])
        mapped = "" if index < 0 else f"&map_index={index}" if "?" in page else f"/mapped/{index}"
        found["Log"] = ti.log_url
        found["Task"] = task_page.format(task=quote(ti.task_id), mapped=mapped)
    return found | {"DAG run": page}


def _failed(context: Mapping[str, Any], *, again: bool) -> str:
    from dq.masking import told_error

    ti, error = context["ti"], context.get("exception")
    tries, number = _of(ti, "max_tries"), _of(ti, "try_number") or 1
    of = f" of {tries + 1}" if isinstance(tries, int) and tries + 1 >= number else ""
    words = told_error(error) if error else "no exception is known, its process may have been killed"
    next_one = ", and it is tried again" if again else ""
    return f"try {number}{of} failed{next_one}: {redact(words)}"


def _run_failed(reason: str, failed: list[str]) -> str:
    from dq.alerting.steps import NAMED

    words = _REASONS.get(reason, reason)
    if not failed:
        return f"the run failed: {words}"
    return f"the run failed: {words} ({first_of(failed, NAMED)})"


def _owner(tasks: Iterable[Any]) -> str:
    """Return whose the tasks are; the owner that Airflow gives to what has none is nobody's name."""
    nobody = conf.get("operators", "default_owner", fallback="airflow")
    return ", ".join(sorted({str(task.owner) for task in tasks if task.owner} - {nobody}))


def _state(ti: Any) -> str:
    """Return what became of a task.

    Where its process died, Airflow 3 gives no state to the callback, and calls that of a retry as long as there are
    tries left.
    """
    state = _of(ti, "state")
    if state is not None:
        return str(getattr(state, "value", state))
    return "up_for_retry" if ti.try_number <= (_of(ti, "max_tries") or 0) else "failed"


def _index(ti: Any) -> int:
    index = _of(ti, "map_index")
    return -1 if index is None else int(index)


def _interval(context: Mapping[str, Any]) -> Interval | None:
    """Return what tells the run from earlier and later ones; None: the context does not say."""
    run = context.get("dag_run")
    if run is None:
        return None
    start, end = _time(_of(run, "data_interval_start")), _time(_of(run, "data_interval_end"))
    if start is not None and end is not None and start < end:
        return Interval(start, end)
    at = _time(_of(run, "logical_date")) or _time(_of(run, "run_after"))
    return None if at is None else _second(at)


def _when(context: Mapping[str, Any], *, good: bool) -> Interval | None:
    """Return the interval of the run; of one that nobody knows: now, or none, because it must close nothing newer."""
    return _interval(context) or (None if good else _second(datetime.now(UTC)))


def _second(at: datetime) -> Interval:
    return Interval(at, at + _SECOND)


def _took(context: Mapping[str, Any]) -> timedelta | None:
    run = context.get("dag_run")
    start, end = _time(_of(run, "start_date")), _time(_of(run, "end_date"))
    return None if start is None or end is None or "reason" not in context else end - start


def _run_id(run: Any) -> str:
    return str(_of(run, "run_id") or _of(run, "dag_run_id"))


def _of(thing: Any, name: str) -> Any:
    """Return what a model or, in a triggerer, a dict says."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _time(value: Any) -> datetime | None:
    return None if value is None else plain(value)
