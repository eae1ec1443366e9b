"""What Airflow says of one partition, seen from outside: an observation. Pure: the time is an argument.

The run of a partition ``[start, end)`` is one whose data interval is the partition, or else one whose data interval
ends (or where it has none: whose logical date is; where it has none either: that was due) at or after ``end``, and less
than a cadence after it. Who made it does not matter: a back-fill or a run by hand repairs what a schedule failed to do.
Of several, that in the best state counts (success, running, queued, failed), and of those the one that was first.

    its run, or the task of it             the DAG                            observation  at
    -------------------------------------  ---------------------------------  -----------  ----------------
    success; it is what is promised        any                                arrived      when it ended
    success; it makes what is promised     any                                done         when it ended
    failed, upstream_failed                any                                failed       when it ended
    skipped because its failed run ended   any                                failed       when it ended
    skipped, removed                       any                                skipped      when it ended
    queued, scheduled, no state            any                                waiting      now
    any other state                        any                                started      when it began
    there is no such task in the run       any                                absent       now
    no run                                 unknown, or in no file any more    absent       now
    no run                                 paused                             paused       now
    no run, and the partition is not over  any other                          waiting      now
    no run                                 has no next run                    absent       now
    no run                                 its next run is for a later one    absent       now
    no run                                 its next run was due               absent       now
    no run                                 its next run is to come            waiting      now
    Airflow does not say                                                      unreachable  now

Nothing is seen in the future, whatever the clock of Airflow says. A task that Airflow skips when it gives up a run
(``dagrun_timeout``) has no end, or one after that of its run; what a branch or a trigger rule skips has ended before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from attrs import frozen

from dq.model.airflow import Dag, DagRun, TaskState
from dq.model.errors import DqError
from dq.model.interval import Interval
from dq.model.observation import Observation, ObservedState
from dq.model.promise import sighted

_BEST = ("success", "running", "queued", "failed")


@frozen(kw_only=True)
class Watched:
    """What is promised of each partition, and what of Airflow has to do with it.

    Attributes:
        kind: of what is promised: ``dag``, ``task``, ``suite``, ``table``, ``reconciliation``.
        subject: its name.
        cadence: the length of its partitions.
        dag_id: the DAG that is looked at.
        task_id: the task of it; empty: the whole run.
        itself: whether the run or task is what is promised. Else it makes a dataset, and its success only says that the
            data ought to be there.
        source: who sees it: ``airflow``, or ``airflow:NAME``.
    """

    kind: str
    subject: str
    cadence: timedelta
    dag_id: str
    task_id: str = ""
    itself: bool = True
    source: str = "airflow"


def run_of(partition: Interval, cadence: timedelta, runs: Iterable[DagRun]) -> DagRun | None:
    """Return the run of a partition, by what is said above; None: there is none.

    Args:
        partition: which one.
        cadence: the length of a partition.
        runs: of one DAG, in any order.
    """

    def rank(run: DagRun) -> tuple[int, datetime, str]:
        best = _BEST.index(run.state) if run.state in _BEST else _BEST.index("running")
        return best, run.ended_at or run.started_at or run.run_after, run.run_id

    return min((run for run in runs if _is_of(run, partition, cadence)), key=rank, default=None)


def _is_of(run: DagRun, partition: Interval, cadence: timedelta) -> bool:
    if run.data_interval == (partition.start, partition.end):
        return True
    at = run.data_interval[1] if run.data_interval else run.logical_date or run.run_after
    return partition.end <= at < partition.end + cadence


def sight(
    watched: Watched,
    partition: Interval,
    now: datetime,
    dag: Dag | None,
    runs: Iterable[DagRun],
    tasks: Mapping[str, TaskState] = {},
) -> Observation:
    """Return what Airflow says of a partition, by the table above.

    Args:
        watched: what is promised.
        partition: of which it is promised.
        now: an aware time.
        dag: the DAG; None: Airflow does not know it.
        runs: of this DAG, as far as they may be of this partition.
        tasks: where a task is looked at, those of the run that :func:`run_of` finds, by id.
    """
    run = run_of(partition, watched.cadence, runs)
    if run is None:
        state, detail = _without_run(watched, partition, now, dag)
        broken = "; its file does not load" if dag is not None and dag.has_import_errors else ""
        return _seen(watched, partition, state, now, detail + broken)
    task, detail = tasks.get(watched.task_id), f"run {run.run_id}"
    if watched.task_id and task is None:
        return _seen(watched, partition, "absent", now, f"{detail} has no task {watched.task_id}")
    one: DagRun | TaskState = task or run
    state, at = sighted(one.state), one.started_at if sighted(one.state) == "started" else one.ended_at
    detail = f"{detail}{f', task {watched.task_id}' if task else ''}: {one.state or 'not scheduled'}"
    if one.state == "skipped" and run.state == "failed" and not _before(one.ended_at, run.ended_at):
        state, at, detail = "failed", run.ended_at, f"{detail} because its run failed"
    elif state == "arrived" and not watched.itself:
        state = "done"
    elif state in ("waiting", "started"):
        at = at if state == "started" else None
        detail += f"; DAG {watched.dag_id} is paused" if dag is not None and dag.paused else ""
    return _seen(watched, partition, state, min(at or now, now), detail)


def unreachable(watched: Watched, partition: Interval, now: datetime, error: DqError) -> Observation:
    """Return that Airflow says nothing of a partition, and why."""
    return _seen(watched, partition, "unreachable", now, str(error))


def _seen(watched: Watched, partition: Interval, state: ObservedState, at: datetime, detail: str) -> Observation:
    return Observation(
        kind=watched.kind,
        subject=watched.subject,
        interval=partition,
        state=state,
        at=at,
        source=watched.source,
        detail=detail,
    )


def _before(at: datetime | None, end: datetime | None) -> bool:
    return at is not None and end is not None and at < end


def _without_run(watched: Watched, partition: Interval, now: datetime, dag: Dag | None) -> tuple[ObservedState, str]:
    if dag is None:
        return "absent", f"Airflow knows no DAG {watched.dag_id}, or does not show it"
    if dag.stale:
        return "absent", f"Airflow finds DAG {watched.dag_id} in no file any more"
    if dag.paused:
        return "paused", f"DAG {watched.dag_id} is paused"
    if now < partition.end:
        return "waiting", "it is not over yet"
    due = dag.next_run_after
    if due is None:
        return "absent", "Airflow has not made its run, and plans none"
    when = f"{due:%H:%M} UTC" if due.date() == now.date() else f"{due:%Y-%m-%d %H:%M} UTC"
    if due >= partition.end + watched.cadence:
        return "absent", f"Airflow has not made its run; the next one is that of {when}"
    if due > now:
        return "waiting", f"its run is due {when}"
    which = ", which was" if due >= partition.end else ": it is behind, one was"
    return "absent", f"Airflow has not made its run{which} due {when}"
