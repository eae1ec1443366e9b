"""Overdue: promises are judged, new misses are told, and whoever asked for it is called."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.fold import News, declared_labels, declared_links
from dq.alerting.incidents import open_among
from dq.app.folding import fold_news
from dq.app.session import Declared, Promising, all_promised, in_transaction, judgement_time, kind_of, transaction
from dq.app.telling import deliver_quietly
from dq.checks.volume import RowCount
from dq.model.budget import What
from dq.model.check import Check, Suite
from dq.model.dataset import Dataset
from dq.model.errors import DeclarationError
from dq.model.incident import BUDGET, Finding, IncidentKey
from dq.model.interval import Interval
from dq.model.kept import Kept
from dq.model.names import dag_of
from dq.model.observation import Observation
from dq.model.promise import Promise
from dq.model.severity import Outcome, Severity
from dq.model.sla import Sla
from dq.model.table import Table
from dq.model.thresholds import at_least
from dq.project import Project
from dq.sla import observations, partitions, promises
from dq.sla.budget import budgets
from dq.sla.callback import call_on_miss
from dq.sla.evaluate import SlaVerdict
from dq.sla.expected import partition_at
from dq.sla.findings import budget_part, finding_of_budget, findings, incident_key
from dq.sla.partitions import Judged
from dq.sla.promises import Open
from dq.sla.subject import Key, Subject

_log = logging.getLogger(__name__)

AT_ONCE = 200
"""So many subjects are judged in one transaction."""


def sla_check(
    project: Project, now: datetime | None = None, *, pump: bool = True, news_only: bool = False
) -> tuple[SlaVerdict, ...]:
    """Judge every promise now, of the project's declarations and of DAG runs, page for new misses; return the verdicts.

    What was settled before is not judged again.

    Args:
        project: whose declarations and environment.
        now: the time of the judgement; None: now, or ``DQ_NOW``.
        pump: whether to deliver at once.
        news_only: judge only subjects of which something was seen since the last time, or whose time has come: of the
            others nothing else can be said, so nobody has to be told anything.

    Raises:
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    promised, problems = promised_by(project, now)
    for problem in () if news_only else problems.values():  # a watcher has told it already
        _log.warning("%s", problem)
    with transaction(project) as connection:
        subjects = [subject for subject, _ in promised.values()]
        due, gone = partitions.due_for_a_look(connection, project.environment, subjects, now)
    due = due if news_only else subjects
    told: list[SlaVerdict] = []
    for place in range(0, len(due), AT_ONCE):
        judged = in_transaction(project, _judge, project, due[place : place + AT_ONCE], promised, now)
        call_back(project, (one.verdict for one in judged if one.is_new), "sla check", now)
        told += [one.verdict for one in judged]
    if gone and not project.failures and not problems:
        in_transaction(project, _let_go, project.environment, gone, now)
    of_runs, new = in_transaction(project, _check_runs, project, now)
    for promise, verdict in new:
        _call(project, verdict, now, promise.dag_id, promise.task_id or None, promise.logical_date or promise.run_after)
    if pump:
        deliver_quietly(project)
    return (*told, *of_runs)


def promised_by(project: Project, now: datetime) -> tuple[dict[Key, tuple[Subject, Promising]], dict[str, str]]:
    """Return everything that is promised in the project, with its declaration, and by name why it cannot be judged."""
    found: dict[Key, tuple[Subject, Promising]] = {}
    problems: dict[str, str] = {}
    for declared in all_promised(project):
        subject = subject_of(declared)
        if subject is None:
            continue
        try:
            if subject.sla.calendar is not None or subject.sla.due_on is not None:  # nothing else can fail
                partition = partition_at(now, subject.cadence)
                _ = subject.sla.promises(partition), subject.sla.deadline(partition)
            found[subject.key] = subject, declared
        except DeclarationError as error:
            place = project.source_of(declared.name)
            problems[subject.name] = f"{place}: {subject.kind} {subject.name!r}: its SLA cannot be judged: {error}"
    return found, problems


def kind_of_promise(declared: Promising) -> str:
    """Return ``suite``, ``reconciliation`` or ``dataset``."""
    return "dataset" if isinstance(declared, Dataset) else kind_of(declared)


def subject_of(declared: Promising) -> Subject | None:
    """Return what ``declared`` promises; None: nothing.

    A suite or reconciliation that says only how often it is due promises to run.
    """
    kind, owner = kind_of_promise(declared), declared.owner or ""
    if declared.sla is not None:
        return Subject(kind=kind, name=declared.name, sla=declared.sla, owner=owner)
    if isinstance(declared, Dataset) or declared.every is None:
        return None
    to_run = Sla(every=declared.every, severity=Severity.ERROR)
    return Subject(kind=kind, name=declared.name, sla=to_run, owner=owner, runs=True)


def counting(name: str, table: Table, sla: Sla) -> Suite:
    """Return the check that counts the rows that ``sla`` promises of ``table``; it promises some."""
    assert sla.rows is not None  # noqa: S101  # see above
    return Suite(name, table, checks=[Check("rows", RowCount(), where=sla.where, error=at_least(sla.rows))])


def _judge(
    connection: Connection,
    project: Project,
    due: Sequence[Subject],
    promised: Mapping[Key, tuple[Subject, Promising]],
    now: datetime,
    only: Interval | None = None,
) -> tuple[Judged, ...]:
    judged = partitions.judge(connection, project.environment, due, now, only=only)
    news: list[News] = []
    for one in judged:
        expectation = one.verdict.expectation
        declared = promised[expectation.kind, expectation.subject][1]
        news += _news(connection, project.environment, one, _labels(project, declared), declared_links(declared), now)
    if only is None:
        news += _news_of_budgets(connection, project, due, promised, now)
    fold_news(connection, news, now)
    return judged


def _labels(project: Project, declared: Promising) -> dict[str, str]:
    """Return the labels of a promise: those of its declaration, and the Airflow that has its DAG."""
    labels, sla = declared_labels(declared), declared.sla
    if sla is None or sla.dag is None:
        return labels
    airflow = sla.airflow or (next(iter(project.airflows)) if len(project.airflows) == 1 else None)
    return labels if airflow is None else {**labels, "airflow": airflow}


def _news_of_budgets(
    connection: Connection,
    project: Project,
    due: Sequence[Subject],
    promised: Mapping[Key, tuple[Subject, Promising]],
    now: datetime,
) -> list[News]:
    """Return what is to be said of the shares that subjects promise, or no longer do: burning, spent, or well again."""
    gone = _shares_no_longer_promised(connection, project.environment, due, now)
    with_goals = [s for s in due if s.sla.on_time is not None or s.sla.correct is not None]
    if not with_goals:
        return gone
    since = now - max(subject.sla.window for subject in with_goals)
    kept: dict[Key, list[Kept]] = {}
    for one in partitions.kept(connection, project.environment, since, [s.name for s in with_goals]):
        kept.setdefault((one.kind, one.subject), []).append(one)
    news = []
    for subject in with_goals:
        declared = promised[subject.key][1]
        for budget in budgets(kept.get(subject.key, ()), subject.sla, now, subject.cadence):
            found = finding_of_budget(
                budget, subject, project.environment, _labels(project, declared), declared_links(declared), now
            )
            news.append(News(environment=project.environment, kind="sla", subject=subject.name, findings=(found,)))
    return [*gone, *news]


def _shares_no_longer_promised(
    connection: Connection, environment: str, due: Sequence[Subject], now: datetime
) -> list[News]:
    gone: list[IncidentKey] = []
    for subject in due:
        shares: tuple[tuple[What, object], ...] = (("on_time", subject.sla.on_time), ("correct", subject.sla.correct))
        gone += [
            IncidentKey(environment, "sla", subject.name, budget_part(what)) for what, goal in shares if goal is None
        ]
    news = []
    for key in open_among(connection, gone):
        well = Finding(
            key=key,
            interval=Interval(now - timedelta(seconds=1), now),  # whatever window was declared before
            severity=None,
            outcome=Outcome.PASS,
            sentence="no such share is promised any more",
            labels={"environment": environment, "kind": "sla", "sla": key.subject, BUDGET: "1"},
        )
        news.append(News(environment=environment, kind="sla", subject=key.subject, findings=(well,)))
    return news


def _let_go(connection: Connection, environment: str, gone: Sequence[Key], now: datetime) -> None:
    """Close what is open of subjects that promise nothing any more."""
    partitions.settle(connection, environment, gone, now)
    news = [News(environment=environment, kind="sla", subject=name, parts=frozenset()) for _, name in gone]
    fold_news(connection, news, now)


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
) -> tuple[SlaVerdict, ...]:
    """Judge one partition of ``declared`` and fold what came of it; return the verdict if it tells of a new miss."""
    subject = subject_of(declared)
    if subject is None:
        return ()
    judged = _judge(connection, project, [subject], {subject.key: (subject, declared)}, now, only)
    return tuple(one.verdict for one in judged if one.is_new)


def call_back(project: Project, missed: Iterable[SlaVerdict], origin: str, now: datetime) -> None:
    """Call the functions that want to know of a miss, in the name of the DAG that a run came from, if any."""
    dag_id = dag_of(origin)
    for verdict in missed:
        _call(project, verdict, now, dag_id)


def _check_runs(
    connection: Connection, project: Project, now: datetime
) -> tuple[tuple[SlaVerdict, ...], list[tuple[Promise, SlaVerdict]]]:
    """Judge what is promised of DAG runs; return all verdicts and the misses that are new."""
    environment = project.environment
    judged = promises.judge(connection, environment, now)
    new, news = [], []
    for promised, one in judged:
        labels = {**promised.labels, "dag": promised.dag_id, **({"task": promised.task_id} if promised.task_id else {})}
        news += _news(connection, environment, one, labels, {}, now)
        if one.is_new:
            new.append((promised, one.verdict))
    fold_news(connection, news, now)
    return tuple(one.verdict for _, one in judged), new


def _news(
    connection: Connection,
    environment: str,
    judged: Judged,
    labels: Mapping[str, str],
    links: Mapping[str, str],
    now: datetime,
) -> list[News]:
    """Return the news of what was judged; a miss that is told for the first time is an event."""
    verdict = judged.verdict
    found = findings(verdict, environment, labels, links, is_new=judged.is_new, was_told=judged.was_told)
    if judged.is_new:
        wanted = verdict.expectation
        body = {"interval": str(wanted.interval), "answer": str(verdict.answer), "due": wanted.due_at.isoformat()}
        if wanted.run:
            body["run"] = wanted.run
        subject = incident_key(verdict, environment).subject
        events.append(connection, environment, events.EventName.SLA_MISSED, subject, body, now)
    # One piece of news per finding: a miss that is noticed only when it is over is folded as bad, then as well.
    return [
        News(environment=environment, kind="sla", subject=finding.key.subject, findings=(finding,)) for finding in found
    ]


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
