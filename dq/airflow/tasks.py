"""What the tasks of a suite do, on the worker. Each finds the project, asks :mod:`dq.app` and shows what came of it.

Each gets the Airflow context with ``suite`` (a name), ``date`` and ``project`` in it, as :func:`dq.airflow.suite_group`
was given them. XCom carries ids, outcomes and severities only. :mod:`dq.app` is imported when a task runs, so that
parsing a DAG file stays cheap.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from dq.airflow.assets import Outlets, publish
from dq.airflow.states import states_of
from dq.airflow.when import EveryNth, NewData, Sql, When
from dq.model.errors import DqError, StoreError
from dq.model.interval import Interval
from dq.model.names import origin_of_dag, origin_of_run
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity

if TYPE_CHECKING:
    from dq.project import Project

_log = logging.getLogger(__name__)
_SHOWN = 50  # lines of a table in a log; the store has them all


def should_run(*, asked: When | None, **context: Any) -> bool:
    """Return whether the suite is due, and record it for the close."""
    wanted = bool(asked(context)) if callable(asked) else True
    if isinstance(asked, NewData):
        wanted = _is_new(asked, context)
    with one_sentence():
        from dq import app

        project, name, interval, origin = where(context)
        if isinstance(asked, Sql):
            wanted = app.holds(project, asked.datasource, asked.sql, interval)
        nth = asked.runs if isinstance(asked, EveryNth) else 1
        due = app.due(project, name, interval, origin, wanted=wanted, every_nth=nth, among=_of_dag(context))
    _log.info("%s %s is %s", name, interval, "due" if due else "not due: it is not measured and the next stage runs")
    return due


def scan(*, scans: Iterable[str], stop_at: str, **context: Any) -> dict[str, dict[str, str | None]]:
    """Measure, judge and record scans, one after the other.

    Raises:
        AirflowFailException: when a check at ``stop_at`` or above could not be measured; it is not tried again.
    """
    results: list[Result] = []
    with one_sentence():
        from dq import app

        project, name, interval, origin = where(context)
        for scan in scans:
            for partition in app.partitions(project, name, interval):
                found = app.scan(project, name, partition, origin, scan)
                _log.info("%s %s, %s\n%s", name, partition, scan, table(found))
            results += found  # the partition of this run comes last, and decides
    refuse_unmeasured(f"{name} {interval}", results, Severity.of(stop_at))
    return verdicts(results)


def refuse_unmeasured(what: str, results: Iterable[Result], stop_at: Severity) -> None:
    """Fail the task, which is not tried again, when a check at ``stop_at`` or above could not be measured.

    Raises:
        AirflowFailException: with the checks and why.
    """
    if broken := [r for r in results if r.outcome is Outcome.UNMEASURED and r.at_or_above(stop_at)]:
        raise AirflowFailException(
            f"{what}: could not be measured: " + "; ".join(f"{r.check} ({r.sentence})" for r in broken)
        )


def close(*, begin: str, scans: Mapping[str, str], **context: Any) -> dict[str, Any]:
    """Fold the results into incidents, judge the SLA and send what is to be told; harmless when repeated."""
    states = states_of(context, begin, *scans.values())
    if states.get(begin) == "failed":  # dq could not even ask whether it is due; the stage before is not to blame
        states = dict.fromkeys(scans.values(), "failed")
    run = closed(context, {scan: states.get(task) or "failed" for scan, task in scans.items()})
    return {"run": run.id, "results": verdicts(run.results)}


def closed(context: Mapping[str, Any], told: Mapping[str, str]) -> Run:
    """Close the run, and those of the earlier partitions that were measured with it, and show what was found.

    Args:
        context: of the task.
        told: what became of each scan.
    """
    with one_sentence():
        from dq import app
        from dq.alerting.fold import declared_links

        project, name, interval, origin = where(context)
        earlier = app.partitions(project, name, interval)[:-1] if "success" in told.values() else ()
        for partition in earlier:
            app.close(project, name, partition, origin, states=dict.fromkeys(told, "skipped"), pump=False)
        run = app.close(project, name, interval, origin, states=told)
        declared = project.find(name)
    verdict = "nothing was measured" if not run.results else "good" if run.ok else f"not good ({run.worst})"
    _log.info("%s %s is closed: %s (run %s)\n%s", name, interval, verdict, run.id, table(run.results))
    checks = {check.name: check for check in getattr(declared, "checks", ())}
    for part in dict.fromkeys(r.check for r in run.results if r.severity is not None):
        for title, link in declared_links(declared, checks.get(part)).items():
            _log.info("%s of %s: %s", title, part, link)
    return run


def mapped_should_run(**context: Any) -> bool:
    """Return whether the suite of this map index is due: as :func:`should_run`."""
    return should_run(**dated(context))


def mapped_measure(*, begin: str, stop_at: str, **context: Any) -> dict[str, dict[str, str | None]]:
    """Measure all scans of the suite of this map index.

    Raises:
        AirflowSkipException: when it is not due, which a short circuit could not say in a mapped group.
        AirflowFailException: as :func:`scan`.
    """
    context = dated(context)
    if context["ti"].xcom_pull(task_ids=begin, map_indexes=context["ti"].map_index) is False:
        raise AirflowSkipException(f"{context['suite']} is not due")
    return scan(scans=_scans(context), stop_at=stop_at, **context)


def mapped_close(*, begin: str, measured_by: str, **context: Any) -> dict[str, Any]:
    """Close the run of the suite of this map index: as :func:`close`."""
    context = dated(context)
    return close(begin=begin, scans=dict.fromkeys(_scans(context), measured_by), **context)


def mapped_gate(**context: Any) -> None:
    """Let the next stage of this map index start.

    Raises:
        AirflowSkipException: when it may not start and ``on_block`` is ``skip``.
        AirflowFailException: as :func:`gate`.
    """
    if not gate(**dated(context)):
        raise AirflowSkipException(f"{context['suite']} is not good, so its next stage is skipped")


def dated(context: Mapping[str, Any]) -> dict[str, Any]:
    """Return the context with its date rendered: Airflow renders nothing of what it has mapped."""
    day = context["date"]
    return {**context, "date": context["task"].render_template(day, context) if day else day}


def _scans(context: Mapping[str, Any]) -> tuple[str, ...]:
    with one_sentence():
        from dq import app

        project, name, *_ = where(context)
        return app.scans(project.find(name))


def run_at_once(context: Mapping[str, Any]) -> Run:
    """Measure all scans of a suite, and close its run, whatever breaks; one that is not due has no results.

    Raises:
        AirflowException: when the store cannot be used; it may be tried again.
        AirflowFailException: when a scan broke as a whole.
    """
    broken: DqError | None = None
    with one_sentence():
        from dq import app

        project, name, interval, origin = where(context)
        declared = project.find(name)
        told = dict.fromkeys(app.scans(declared), "skipped")
        if app.due(project, name, interval, origin, among=_of_dag(context)):
            for scan in told:
                try:
                    for partition in app.partitions(project, name, interval):
                        app.scan(project, name, partition, origin, scan)
                    told[scan] = "success"
                except DqError as error:
                    told[scan], broken = "failed", broken or error
        run = closed(context, told)
        if broken is not None:
            raise broken
    return run


def choose(*, instead: str, **context: Any) -> list[str]:
    """Return which of the tasks behind the gate run: all but ``instead`` when it opens, else only that one.

    Raises:
        AirflowSkipException: as :func:`gate`.
        AirflowFailException: when ``instead`` does not stand directly behind the gate.
    """
    behind = set(context["task"].downstream_task_ids)
    if instead not in behind:
        raise AirflowFailException(
            f"on_block=branch({instead!r}) needs that task directly behind the group; there "
            + (f"stand {', '.join(sorted(behind))}" if behind else "is none")
        )
    return sorted(behind - {instead}) if gate(on_block=f"branch to {instead}", **context) else [instead]


def gate(*, begin: str, stop_at: str, on_block: str, updates: Outlets | None = None, **context: Any) -> bool:
    """Return whether the next stage may start; when the data are good, the assets of ``updates`` are updated.

    Raises:
        AirflowSkipException: when the stage before was skipped: dq in between changes nothing, the next is skipped too.
        AirflowFailException: when it may not start and ``on_block`` is ``fail``.
    """
    if states_of(context, begin).get(begin) == "skipped":
        raise AirflowSkipException("the stage before was skipped, so the next one is too")
    with one_sentence():
        from dq import app

        looked_at = where(context)
        if app.gate(*looked_at, Severity.of(stop_at)):
            if updates is not None:
                publish(context, updates, app.run_of(*looked_at))
            return True
    blocked = f"{context['suite']} is not good at {stop_at} or above (see the log of its close task)"
    if on_block == "fail":
        raise AirflowFailException(blocked)
    what = {"continue": "the next stage runs all the same", "skip": "the next stage is skipped"}
    _log.warning("%s: %s", blocked, what.get(on_block, on_block))
    return on_block == "continue"


def require(*, stop_at: str, on_block: str, **context: Any) -> bool:
    """Return whether the data of another DAG are good.

    Raises:
        AirflowException: when they are not and ``on_block`` is ``fail``; a retry asks again.
    """
    with one_sentence():
        from dq import app

        project, name, interval, _ = where(context)
        why = app.why_not_good(project, name, interval, Severity.of(stop_at))
    if why is None:
        return True
    if on_block == "fail":
        raise AirflowException(why)
    _log.warning("%s: what follows is skipped", why)
    return False


def interval_of(start: datetime | None, end: datetime | None, at: datetime) -> Interval:
    """Return the interval that a DAG run is about.

    Args:
        start, end: its data interval, where it has one.
        at: its logical date, or where it has none the time that it may start after.

    Returns:
        The data interval when it has length, else the last whole UTC day that ended at ``at`` or before.
    """
    if start is not None and end is not None and start < end:
        return Interval(plain(start), plain(end))
    return Interval.of_day(plain(at).date() - timedelta(days=1))


def table(results: Iterable[Result]) -> str:
    """Return the results as a table for a log, worst first, at most 50."""
    ordered = sorted(results, key=lambda r: (-(r.severity or 0), r.check, r.group is not None))
    rows = [
        (str(r.outcome), str(r.severity or "-"), r.check, r.group.label if r.group else "-", r.sentence)
        for r in ordered[:_SHOWN]
    ]
    head = ("outcome", "severity", "check", "org", "found")
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(4)]
    lines = ["  ".join([*(f"{c:<{w}}" for c, w in zip(row, widths, strict=False)), row[4]]) for row in (head, *rows)]
    more = len(ordered) - len(rows)
    return "\n".join([*lines, *([f"... and {more} more"] if more else [])]) if ordered else "no results"


def start_of(dag_file: str, project: str | None) -> Path:
    """Return where the search for ``dq.toml`` starts: ``project`` relative to the DAG file, else that file's folder."""
    return Path(dag_file).parent / (project or "")


def where(context: Mapping[str, Any]) -> tuple[Project, str, Interval, str]:
    """Return what every call of the app begins with: project, name, interval and origin.

    The DAG file is asked for its place here, on the worker, because a bundle lies elsewhere on every machine.
    """
    from dq import app

    run, dag, day = context["dag_run"], context["dag"], (context["date"] or "").strip()
    if day:
        interval = Interval.of_day(day)
    else:
        at = context.get("logical_date") or run.run_after
        interval = interval_of(context.get("data_interval_start"), context.get("data_interval_end"), at)
    origin = origin_of_run(dag.dag_id, run.run_id)
    return app.open_project(start_of(dag.fileloc, context["project"])), context["suite"], interval, origin


def _of_dag(context: Mapping[str, Any]) -> str:
    """Return how the origin of every run of this DAG begins."""
    return origin_of_dag(context["dag"].dag_id)


def _is_new(asked: NewData, context: Mapping[str, Any]) -> bool:
    """Return whether the asset was updated since the last successful run of the DAG began."""
    since = context.get("prev_start_date_success")
    try:  # the time comes when it is asked for, and may be none although the object that stands for it is something
        return not since or any(event.timestamp > since for event in context["inlet_events"][asked.asset])
    except AirflowException as error:
        raise AirflowException(f"whether {asked.asset.uri} has new data cannot be asked: {error}") from None


def verdicts(results: Iterable[Result]) -> dict[str, dict[str, str | None]]:
    """Return outcome and severity by check: what XCom may carry."""
    return {
        r.check: {"outcome": str(r.outcome), "severity": None if r.severity is None else str(r.severity)}
        for r in results
        if r.group is None
    }


def plain(value: datetime | str) -> datetime:
    """Return an instant as a plain UTC datetime; Airflow hands out a subclass of its own, and text in a triggerer."""
    return datetime.fromisoformat(value if isinstance(value, str) else value.isoformat()).astimezone(UTC)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Show an error of dq as its sentence. Only what may pass by itself, a store that is away, may be tried again."""
    try:
        yield
    except StoreError as error:
        raise AirflowException(str(error)) from None
    except DqError as error:
        raise AirflowFailException(str(error)) from None
