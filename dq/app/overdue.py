"""Overdue: promises are judged, new misses are told, and whoever asked for it is called."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.fold import News, declared_labels, declared_links
from dq.app.folding import fold_news
from dq.app.session import Declared, all_declared, in_transaction, judgement_time, kind_of, transaction
from dq.app.telling import deliver_quietly
from dq.model.incident import IncidentKey
from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.promise import Promise
from dq.model.sla import Sla
from dq.project import Project
from dq.sla import observations, promises
from dq.sla.callback import call_on_miss
from dq.sla.evaluate import SlaVerdict
from dq.sla.findings import findings, incident_key, new_misses
from dq.sla.promises import Open
from dq.store import schema as t

_log = logging.getLogger(__name__)


def sla_check(project: Project, now: datetime | None = None, *, pump: bool = True) -> tuple[SlaVerdict, ...]:
    """Judge every promise now, of the project's declarations and of DAG runs, page for new misses; return the verdicts.

    Raises:
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    told: list[SlaVerdict] = []
    for declared in all_declared(project):
        if declared.sla is None:
            continue
        verdicts, missed = in_transaction(project, _check_sla, project, declared, declared.sla, now)
        call_back(project, missed, "sla check", now)
        told += verdicts
    of_runs, new = in_transaction(project, _check_runs, project, now)
    for promise, verdict in new:
        _call(project, verdict, now, promise.dag_id, promise.task_id or None, promise.logical_date or promise.run_after)
    if pump:
        deliver_quietly(project)
    return (*told, *of_runs)


def promise(
    project: Project,
    promised: Iterable[Promise],
    *,
    states: Mapping[Promise, str | None] | None = None,
    source: str,
    now: datetime | None = None,
) -> None:
    """Write down what DAG runs and tasks promise, and what Airflow says of them now.

    Nothing is judged; ``sla_check`` does that. Harmless when repeated.

    Args:
        project: whose environment.
        promised: what is promised.
        states: the state of the task or run, as Airflow has it, where somebody looked.
        source: who looked.
        now: when, by the real clock.

    Raises:
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()

    def work(connection: Connection) -> None:
        for one in promised:
            if promises.record(connection, project.environment, one, now) and states is not None and one in states:
                promises.look(connection, project.environment, one, states[one], now, source)

    in_transaction(project, work)


def open_promises(project: Project) -> tuple[Open, ...]:
    """Return the promises of DAG runs of which it is not known yet what came of them.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return promises.still_open(connection, project.environment)


def observe(project: Project, observation: Observation) -> None:
    """Write down what somebody saw.

    Raises:
        StoreError: when the store cannot be used.
    """
    in_transaction(project, observations.record, project.environment, observation)


def judge_sla(
    connection: Connection, project: Project, declared: Declared, now: datetime, only: Interval
) -> tuple[list[News], tuple[SlaVerdict, ...]]:
    """Return the news about one partition of ``declared``, and the verdict if it tells of a miss for the first time."""
    if declared.sla is None:
        return [], ()
    recorded, still_open = _incidents(connection, project.environment, declared.name)
    verdicts = observations.judge(
        connection, project.environment, kind_of(declared), declared.name, declared.sla, still_open, now, only=only
    )
    labels, links = declared_labels(declared), declared_links(declared)
    return _news(connection, project.environment, verdicts, labels, links, recorded, now)


def call_back(project: Project, missed: Iterable[SlaVerdict], origin: str, now: datetime) -> None:
    """Call the functions that want to know of a miss, in the name of the DAG that a run came from, if any."""
    dag_id = origin.split(":")[1] if origin.startswith("airflow:") else None
    for verdict in missed:
        _call(project, verdict, now, dag_id)


def _check_sla(
    connection: Connection, project: Project, declared: Declared, sla: Sla, now: datetime
) -> tuple[tuple[SlaVerdict, ...], tuple[SlaVerdict, ...]]:
    """Judge one promise; return all verdicts and the misses that are new."""
    environment, kind, name = project.environment, kind_of(declared), declared.name
    recorded, still_open = _incidents(connection, environment, name)
    verdicts = observations.judge(connection, environment, kind, name, sla, still_open, now)
    labels, links = declared_labels(declared), declared_links(declared)
    news, missed = _news(connection, environment, verdicts, labels, links, recorded, now)
    fold_news(connection, news, now)
    return verdicts, missed


def _check_runs(
    connection: Connection, project: Project, now: datetime
) -> tuple[tuple[SlaVerdict, ...], list[tuple[Promise, SlaVerdict]]]:
    """Judge what is promised of DAG runs; return all verdicts and the misses that are new."""
    environment = project.environment
    judged = promises.judge(connection, environment, now)
    subjects = {incident_key(verdict, environment).subject for _, verdict in judged}
    recorded = {subject: _incidents(connection, environment, subject)[0] for subject in sorted(subjects)}
    new = []
    for promised, verdict in judged:
        known = recorded[incident_key(verdict, environment).subject]
        labels = {**promised.labels, "dag": promised.dag_id, **({"task": promised.task_id} if promised.task_id else {})}
        news, missed = _news(connection, environment, [verdict], labels, {}, known, now)
        fold_news(connection, news, now)
        new += [(promised, one) for one in missed]
    return tuple(verdict for _, verdict in judged), new


def _news(
    connection: Connection,
    environment: str,
    verdicts: Iterable[SlaVerdict],
    labels: Mapping[str, str],
    links: Mapping[str, str],
    recorded: frozenset[IncidentKey],
    now: datetime,
) -> tuple[list[News], tuple[SlaVerdict, ...]]:
    """Return the news of verdicts about one subject, and those that tell of a miss for the first time."""
    verdicts = tuple(verdicts)
    missed = new_misses(verdicts, environment, recorded)
    for verdict in missed:
        wanted = verdict.expectation
        body = {"interval": str(wanted.interval), "answer": str(verdict.answer), "due": wanted.due_at.isoformat()}
        if wanted.run:
            body["run"] = wanted.run
        subject = incident_key(verdict, environment).subject
        events.append(connection, environment, events.EventName.SLA_MISSED, subject, body, now)
    # One piece of news per finding: a miss that is noticed only when it is over is folded as bad, then as well.
    return [
        News(environment=environment, kind="sla", subject=finding.key.subject, findings=(finding,))
        for finding in findings(verdicts, environment, labels, recorded, links)
    ], missed


def _incidents(
    connection: Connection, environment: str, subject: str
) -> tuple[frozenset[IncidentKey], tuple[Interval, ...]]:
    """Return the keys that have an incident, open or ended, and the partitions with an open one."""
    c = t.incident.c
    rows = connection.execute(
        select(c.part, c.interval_start, c.interval_end, c.ended_at).where(
            c.environment == environment, c.kind == "sla", c.subject == subject
        )
    ).all()
    recorded = frozenset(IncidentKey(environment, "sla", subject, row.part) for row in rows)
    return recorded, tuple(Interval(row.interval_start, row.interval_end) for row in rows if row.ended_at is None)


def _call(
    project: Project,
    verdict: SlaVerdict,
    now: datetime,
    dag_id: str | None = None,
    task_id: str | None = None,
    execution_date: datetime | None = None,
) -> None:
    sla = verdict.expectation.sla
    problem = call_on_miss(sla, verdict, dag_id=dag_id, task_id=task_id, execution_date=execution_date)
    if problem is None:
        return
    _log.warning("%s", problem)
    with transaction(project) as connection:
        subject, body = verdict.expectation.subject, {"problem": problem}
        events.append(connection, project.environment, events.EventName.CALLBACK_FAILED, subject, body, now)
