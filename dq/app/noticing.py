"""Noticing: what a scheduler says of its tasks and runs becomes incidents, and what has ended is told once.

Nothing is sent here: a callback is short, and what waits for it waits for a database only. The next pump sends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.dags import Happened, What, concerns, news_of_dag
from dq.alerting.fold import Change, lock_subject
from dq.alerting.incidents import of_subject, open_parts, read_open
from dq.alerting.pump import enqueue_event
from dq.alerting.steps import Ended, compared, ended_message, how_ended
from dq.app.announcing import takers
from dq.app.folding import fold_news
from dq.app.session import in_transaction, judgement_time
from dq.model.names import origin_of_run
from dq.model.severity import Severity
from dq.project import Project
from dq.store import history

_EVENTS = {
    What.TASK_FAILED: events.EventName.TASK_FAILED,
    What.TASK_RETRIED: events.EventName.TASK_RETRIED,
    What.RUN_FAILED: events.EventName.DAG_FAILED,
    What.RUN_LATE: events.EventName.DAG_LATE,
}


def notice(
    project: Project,
    happened: Happened,
    *,
    severity: str | Severity = Severity.ERROR,
    retries: bool = False,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Record what a scheduler says, in one short transaction; return what it changed, in words such as ``opened``.

    Args:
        project: whose store and environment.
        happened: what a callback said.
        severity: how bad it is when something is bad.
        retries: whether a task that is tried again is an incident; else it is an event only.
        now: when that is (aware).

    Raises:
        DeclarationError: when there is no such severity.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    bad = Severity.of(severity)
    changes = in_transaction(project, _notice, project.environment, happened, bad, now, retries=retries)
    return tuple(f"{change.answer}: {_part(change)}" for change in changes)


def _notice(
    connection: Connection, environment: str, happened: Happened, severity: Severity, now: datetime, *, retries: bool
) -> tuple[Change, ...]:
    if (name := _EVENTS.get(happened.what)) is not None:
        body = {
            "run": happened.run,
            "part": happened.part,
            "interval": str(happened.interval),
            "severity": str(severity),
            "sentence": happened.sentence,
        }
        events.append(connection, environment, name, happened.subject, body, now)
    mine = of_subject(environment, "dag", happened.subject)
    seen = open_parts(connection, mine)
    changes_nothing = happened.what.is_good or happened.over or (happened.what is What.TASK_RETRIED and not retries)
    if changes_nothing and happened.part not in seen and not (seen and concerns(happened, seen)):
        return ()  # most tasks succeed and nothing was wrong: nobody waits for a lock
    lock_subject(connection, environment, "dag", happened.subject)
    all_of_it = concerns(happened, open_parts(connection, mine))
    incidents = read_open(connection, mine) if all_of_it else ()
    news = news_of_dag(happened, incidents, environment, severity, retries=retries)
    return fold_news(connection, [news], now)


def _part(change: Change) -> str:
    of = change.after or change.before
    return "" if of is None else of.key.part


def tell_ended(project: Project, ended: Ended, *, to: Iterable[str], now: datetime | None = None) -> int:
    """Put the message about a DAG run that ended into the outbox, once per channel, run and verdict.

    The verdict is also what its reconciliations found, where they are closed.

    Args:
        project: whose channels and environment.
        ended: the run and its steps.
        to: names of channels.
        now: when it ended (aware).

    Returns:
        How many messages are new: none when it was told before.

    Raises:
        UsageError: when a channel does not exist or is a pager.
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    channels = takers(project, to)
    now = now or judgement_time()
    return in_transaction(project, _tell, project.environment, ended, channels, now)


def _tell(connection: Connection, environment: str, ended: Ended, channels: Iterable[str], now: datetime) -> int:
    runs = history.of_origin(connection, environment, origin_of_run(ended.dag, ended.run))
    found = [bad for run in runs if (bad := compared(run)) is not None]
    message = ended_message(ended, environment, now, found)
    verdict = "completed" if ended.good else "failed"
    how = how_ended(ended, found).removeprefix("pipeline ") if ended.good else verdict
    told = f"finished/{ended.dag}/{ended.run}/{how}"
    new = [name for name in channels if enqueue_event(connection, name, message, told)]
    if new:
        body = {"run": ended.run, "verdict": verdict, "told": new, "summary": message.summary}
        events.append(connection, message.environment, events.EventName.DAG_FINISHED, message.subject, body, now)
    return len(new)
