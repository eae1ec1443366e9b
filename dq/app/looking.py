"""Looking: what Airflow and the data say of what is promised and has not come, seen from outside of Airflow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from attrs import define, field, frozen
from sqlalchemy.engine import Connection

from dq.app.measuring import run
from dq.app.overdue import counting, promised_by
from dq.app.session import Promising, in_transaction, transaction
from dq.model.airflow import Component, Dag, DagRun, TaskState
from dq.model.errors import AirflowError, ConfigError, DqError
from dq.model.interval import Interval
from dq.model.observation import Observation, ObservedState
from dq.model.reconciliation import Reconciliation
from dq.model.severity import Outcome
from dq.project import Project
from dq.sla import observations, partitions
from dq.sla.evaluate import Expectation
from dq.sla.rest import Airflow
from dq.sla.sights import Watched, run_of, sight, unreachable
from dq.sla.subject import Key

SOONEST, LATEST = timedelta(seconds=20), timedelta(minutes=15)
"""Rows are counted again after a tenth of the time to or since the moment that was due, within these bounds."""

DATA = "data"
"""The source of what was counted."""


@frozen(kw_only=True)
class Looked:
    """What one look found.

    Attributes:
        awaited: what is promised and has not come, as far as something can be looked at for it.
        seen: what was seen of it.
        airflows: the parts of each Airflow that answered, by its name.
        down: why an Airflow did not answer, by its name.
        unjudged: why what is promised cannot be judged, a sentence by the name of the subject.
        problems: what else went wrong, a sentence each.
    """

    awaited: Sequence[Expectation] = ()
    seen: Sequence[Observation] = ()
    airflows: Mapping[str, Sequence[Component]] = field(factory=dict)
    down: Mapping[str, str] = field(factory=dict)
    unjudged: Mapping[str, str] = field(factory=dict)
    problems: Sequence[str] = ()


@define
class Eyes:
    """What is remembered from look to look; to lose it costs a few questions more.

    Attributes:
        airflows: by name, with the tokens that they gave.
        counted: when the rows of a partition were last counted.
    """

    airflows: dict[str, Airflow] = field(factory=dict)
    counted: dict[tuple[Key, Interval], datetime] = field(factory=dict)


def look(project: Project, eyes: Eyes, now: datetime) -> Looked:
    """Look at what is promised and has not come, and write down what was seen.

    Args:
        project: whose declarations, Airflows and datasources.
        eyes: what earlier looks remember.
        now: the time of the look.

    Raises:
        StoreError: when the store cannot be used.
    """
    promised, unjudged = promised_by(project, now)
    with_eyes = [s for s, declared in promised.values() if s.sla.dag is not None or s.sla.rows is not None]
    with transaction(project) as connection:
        awaited = partitions.awaited(connection, project.environment, with_eyes, now)
    problems = list(unjudged.values())
    seen: list[Observation] = []
    airflows: dict[str, Sequence[Component]] = {}
    down: dict[str, str] = {}
    by_airflow: dict[str, list[Expectation]] = {name: [] for name in project.airflows}
    for one in awaited:
        if one.sla.dag is not None:
            try:
                by_airflow[project.airflow_settings(one.sla.airflow).name].append(one)
            except ConfigError as error:
                problems.append(f"{one.subject}: {error}")
                nobody = _watched(one, f"airflow:{one.sla.airflow}" if one.sla.airflow else "airflow")
                seen.append(unreachable(nobody, one.interval, now, error))
    for name, mine in by_airflow.items():
        airflow = eyes.airflows.setdefault(name, Airflow(project.airflows[name]))
        try:
            airflows[name] = airflow.health()
            seen += _ask(airflow, _source(project, name), mine, now)
        except AirflowError as error:
            down[name] = str(error)
            seen += [unreachable(_watched(one, _source(project, name)), one.interval, now, error) for one in mine]
    counted: dict[tuple[Key, Interval], datetime] = {}
    for one in awaited:
        what = ((one.kind, one.subject), one.interval)
        if one.sla.rows is None:
            continue
        last = counted[what] = eyes.counted.get(what, now - LATEST)
        if now - last >= min(max(abs(one.due_at - now) / 10, SOONEST), LATEST):
            declared = promised[one.kind, one.subject][1]
            seen.append(_count(project, declared, one, None if what not in eyes.counted else last, now))
            counted[what] = now
    eyes.counted = counted
    in_transaction(project, _record, project.environment, seen)
    return Looked(
        awaited=awaited,
        seen=seen,
        airflows=airflows,
        down=down,
        unjudged=unjudged,
        problems=tuple(dict.fromkeys(problems)),
    )


def _source(project: Project, name: str) -> str:
    return "airflow" if len(project.airflows) == 1 else f"airflow:{name}"


def _watched(one: Expectation, source: str) -> Watched:
    return Watched(
        kind=one.kind,
        subject=one.subject,
        cadence=one.interval.end - one.interval.start,
        dag_id=one.sla.dag or "",
        task_id=one.sla.task or "",
        itself=one.kind == "dataset" and one.sla.rows is None,
        source=source,
    )


def _ask(airflow: Airflow, source: str, awaited: Sequence[Expectation], now: datetime) -> list[Observation]:
    """Return what an Airflow says of what is awaited.

    Raises:
        AirflowError: when it does not say.
    """
    if not awaited:
        return []
    names = {one.sla.dag for one in awaited if one.sla.dag is not None}
    dags: Mapping[str, Dag] = airflow.dags(names)
    runs: dict[str, list[DagRun]] = defaultdict(list)
    for made in airflow.runs(names, min(one.interval.start for one in awaited)):
        runs[made.dag_id].append(made)
    tasks: dict[tuple[str, str], Mapping[str, TaskState]] = {}
    found = []
    for one in awaited:
        watched = _watched(one, source)
        mine = runs[watched.dag_id]
        made_for_it = run_of(one.interval, watched.cadence, mine) if watched.task_id else None
        its_tasks: Mapping[str, TaskState] = {}
        if made_for_it is not None:
            key = watched.dag_id, made_for_it.run_id
            its_tasks = tasks[key] = tasks[key] if key in tasks else airflow.tasks(*key)
        found.append(sight(watched, one.interval, now, dags.get(watched.dag_id), mine, its_tasks))
    return found


def _count(
    project: Project, declared: Promising, one: Expectation, before: datetime | None, now: datetime
) -> Observation:
    """Return whether the rows are there. They came in time, unless an earlier look, after it was due, saw them not."""
    assert one.sla.rows is not None  # noqa: S101  # nothing else is counted
    state: ObservedState = "unmeasured"
    detail = ""
    table = None if isinstance(declared, Reconciliation) else declared.table
    try:
        if table is None:
            raise ConfigError("rows= needs a table, and a reconciliation has several")
        looked = run(project, counting(one.subject, table, one.sla), one.interval, store=False, now=now)
        (result,) = looked.summaries
        if result.outcome is Outcome.PASS:
            state, detail = "arrived", ""
        elif result.outcome is Outcome.UNMEASURED:
            detail = result.sentence
        else:
            state, detail = "missing", f"{result.rows or 0} rows, and {one.sla.rows} are promised"
    except DqError as error:
        detail = str(error)
    at = min(now, one.late_at) if state == "arrived" and (before is None or before <= one.late_at) else now
    return Observation(
        kind=one.kind, subject=one.subject, interval=one.interval, state=state, at=at, source=DATA, detail=detail
    )


def _record(connection: Connection, environment: str, seen: Iterable[Observation]) -> None:
    for one in sorted(seen, key=lambda o: (o.kind, o.subject)):  # as subjects are taken, so that nobody waits in turn
        observations.record(connection, environment, one)
