"""What a scheduler says of a task or of a whole DAG run, as news for ``fold``.

The subject is the DAG, so a thousand failing tasks are one group; the part is the task (``load``; ``load[3]`` of a
mapped one), ``the run`` or ``the deadline``, which no task can be called.

    what happened            event          finding
    -----------------------  -------------  ---------------------------------------------------------------------
    a task failed            task_failed    bad: the task
    a task is tried again    task_retried   none; bad: the task, where that is asked for
    a task succeeded         none           well: the task
    a run failed             dag_failed     bad: the run; well: each open task that succeeded in this run
    a run succeeded          none           well: the run and the deadline; each open task that succeeded in this run
    a run missed a deadline  dag_late       bad: the deadline; none when the run has succeeded meanwhile

A run says well only of tasks that it saw succeed: one that it skipped, or that failed and turned nobody red, stays as
it is. Success of what was never bad is nothing, and costs one look at what is open of the DAG.

Which finding is older, ``fold`` tells by the start of the interval: the data interval of the run where it has length,
else the second of its logical date, else that of the time from which it may run. So:

    open incident of a task       finding of that task                          answer
    ----------------------------  --------------------------------------------  ---------------------------------
    none                          succeeded                                     nothing
    failed                        succeeded, a later run or the same (cleared)  recovered
    failed                        succeeded, an earlier run (back-fill)         stays: nothing newer is closed
    failed                        failed, an earlier run (back-fill)            stays, with its text
    failed                        failed, a later run or the same               stays, with the newer text
    failed at warning (a retry)   failed at error                               worsened

An open task that is gone ends as vanished, unless its incident is of a newer run:

    open incident of           gone when
    -------------------------  ---------------------------------------------------------------------------------
    a task                     the DAG has no task of that id any more
    a task, or a mapped one    a run ended in which the same task has others, e.g. ``load[0]``, and not this one
    the run, the deadline      never
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Mapping

from attrs import field, frozen

from dq.alerting.fold import RUN, News
from dq.model.incident import Finding, Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.message import is_web
from dq.model.names import short_key
from dq.model.severity import Outcome, Severity

THE_RUN = "the run"
THE_DEADLINE = "the deadline"
_SUBJECT = 190  # characters that the store keeps; both ids of Airflow may be 250 long
_PART = 250


class What(enum.StrEnum):
    """What happened; the first table above."""

    TASK_FAILED = "task_failed"
    TASK_RETRIED = "task_retried"
    TASK_SUCCEEDED = "task_succeeded"
    RUN_FAILED = "run_failed"
    RUN_SUCCEEDED = "run_succeeded"
    RUN_LATE = "run_late"

    @property
    def is_good(self) -> bool:
        """Whether it is nothing where nothing is open."""
        return self in (What.TASK_SUCCEEDED, What.RUN_SUCCEEDED)


@frozen(kw_only=True)
class Happened:
    """One thing that a scheduler says, in plain values.

    Attributes:
        what: happened.
        dag: its id.
        run: the id of the DAG run.
        interval: of the run; the module says which.
        task: its id; empty: it is about the whole run.
        index: of a mapped task; negative: it is not mapped.
        sentence: what was found, for people, without addresses and secrets.
        owner, tags, links: for people and routes.
        over: of a missed deadline: the run has succeeded meanwhile.
        tasks: the ids of all tasks that the DAG has; None: that is not known.
        states: what became of the tasks of a run that ended, by ``part_of``.
    """

    what: What
    dag: str
    run: str
    interval: Interval
    task: str = ""
    index: int = -1
    sentence: str = ""
    owner: str = ""
    tags: Collection[str] = ()
    links: Mapping[str, str] = field(factory=dict)
    over: bool = False
    tasks: Collection[str] | None = None
    states: Mapping[str, str] = field(factory=dict)

    @property
    def subject(self) -> str:
        """The DAG, as incidents and events call it."""
        return subject_of(self.dag)

    @property
    def part(self) -> str:
        """What of the DAG it is about."""
        if self.task:
            return part_of(self.task, self.index)
        return THE_DEADLINE if self.what is What.RUN_LATE else THE_RUN


def subject_of(dag: str) -> str:
    """Return what incidents and events call a DAG: its id, with a hash at the end where it is too long to store."""
    return short_key(dag, _SUBJECT)


def part_of(task: str, index: int = -1) -> str:
    """Return what incidents call a task: ``load``, or ``load[3]`` of a mapped one."""
    return short_key(task if index < 0 else f"{task}[{index}]", _PART)


def news_of_dag(
    happened: Happened,
    open_incidents: Iterable[Incident],
    environment: str,
    severity: Severity,
    *,
    retries: bool = False,
) -> News:
    """Return what ``happened`` says about the incidents of its DAG; the tables above.

    Args:
        happened: what a callback said.
        open_incidents: all of this DAG, or none when ``concerns`` says that they do not matter.
        environment: whose they are.
        severity: how bad it is when something is bad.
        retries: whether a task that is tried again is bad already.
    """
    incidents = tuple(open_incidents)
    stays = frozenset(incident.key.part for incident in incidents if not _is_gone(incident, happened))
    bad = {
        What.TASK_RETRIED: retries,
        What.TASK_SUCCEEDED: False,
        What.RUN_SUCCEEDED: False,
        What.RUN_LATE: not happened.over,
    }.get(happened.what, True)
    findings = [_bad(happened, environment, severity)] if bad else []
    if happened.what.is_good:
        findings.append(_well(happened, environment, happened.part))
    if happened.what is What.RUN_SUCCEEDED:
        findings.append(_well(happened, environment, THE_DEADLINE))
    findings += [
        _well(happened, environment, incident.key.part)
        for incident in incidents
        if happened.states.get(incident.key.part) == "success"
    ]
    return News(
        environment=environment,
        kind="dag",
        subject=happened.subject,
        findings=tuple(findings),
        parts=stays if len(stays) < len(incidents) else None,
    )


def concerns(happened: Happened, open_parts: Collection[str]) -> bool:
    """Return whether ``happened`` may be about more than its own part: then ``news_of_dag`` needs all that is open.

    Args:
        happened: what a callback said.
        open_parts: the parts of its DAG that have an open incident.
    """
    if not happened.task or happened.tasks is None:
        return not happened.task
    there = {part_of(task) for task in happened.tasks} | {THE_RUN, THE_DEADLINE}
    return any(part not in there and part.partition("[")[0] not in there for part in open_parts)


def _bad(happened: Happened, environment: str, severity: Severity) -> Finding:
    labels = {"dag": happened.dag, RUN: happened.run}
    if happened.task:
        labels["task"] = happened.task
    if happened.owner:
        labels["owner"] = happened.owner
    if happened.tags:
        labels["tags"] = ",".join(sorted(set(happened.tags)))
    return Finding(
        key=IncidentKey(environment, "dag", happened.subject, happened.part),
        interval=happened.interval,
        severity=severity,
        outcome=Outcome.FAIL,
        sentence=happened.sentence,
        labels=labels,
        links={title: link for title, link in happened.links.items() if is_web(link)},
    )


def _well(happened: Happened, environment: str, part: str) -> Finding:
    return Finding(
        key=IncidentKey(environment, "dag", happened.subject, part),
        interval=happened.interval,
        severity=None,
        outcome=Outcome.PASS,
        sentence="",
    )


def _is_gone(incident: Incident, happened: Happened) -> bool:
    """Return whether the task of an open incident is no longer there; the last table above."""
    task = incident.labels.get("task")
    if not task or incident.interval.start > happened.interval.start:
        return False
    if happened.tasks is not None and task not in happened.tasks:
        return True
    others = {part: state for part, state in happened.states.items() if part.partition("[")[0] == task}
    ran = any("[" in part or state == "success" for part, state in others.items())
    return ran and incident.key.part not in others
