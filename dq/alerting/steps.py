"""The steps of a pipeline and what became of them, told once when it ends.

A step is a task or a TaskGroup. The first line that fits holds for it:

    of its tasks                                   it is
    ---------------------------------------------  ---------------
    one failed                                     failed
    all wait, or were kept from running            did not run
    one waits, runs, or was kept from running      did not finish
    all were skipped                               skipped
    the others                                     finished

Kept from running (``upstream_failed``) is what stands behind a failure. Tasks that were removed count for nothing.

What the run's reconciliations found stands behind "pipeline completed" in the title, the worst of them, and as facts:

    of the reconciliations                 pipeline completed
    -------------------------------------  -------------------------------
    a stage differs, error or worse        with High Discrepancies
    a stage differs, milder                with Discrepancies
    known losses only, more than allowed   with 1 DLQs: what one of them says
    all is well, or was not measured       -
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from attrs import field, frozen

from dq.alerting.channels.truncate import characters, line
from dq.alerting.dags import subject_of
from dq.model.duration import format_duration
from dq.model.message import Message, is_web
from dq.model.names import first_of
from dq.model.result import Run
from dq.model.severity import Outcome, Severity

StepState = Literal["finished", "failed", "skipped", "did not run", "did not finish"]
NAMED = 5
"""How many failed tasks are named before the others are counted."""
SAMPLE_TOLD = 120
"""Characters of what one of the lost records says that a title has room for."""
_BAD: tuple[StepState, ...] = ("failed", "did not run", "did not finish")


@frozen(kw_only=True)
class Step:
    """One step of a pipeline.

    Attributes:
        name: the id of the task or TaskGroup.
        state: what became of it.
        took: how long it ran, waits between its tasks included; None: that is not known.
        failed: the ids of its tasks that failed.
    """

    name: str
    state: StepState
    took: timedelta | None = None
    failed: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """State and time, for people."""
        which = f" ({first_of(self.failed, NAMED)})" if self.failed and self.failed != (self.name,) else ""
        return self.state + which + (f" in {format_duration(self.took)}" if self.took is not None else "")


@frozen(kw_only=True)
class Compared:
    """What a reconciliation found in a run that ended, and is not well.

    Attributes:
        name: of the reconciliation.
        severity: how bad it is at worst.
        discrepancies: how bad that is which orgs lack, or have too many, at stages; None: no stage differs.
        lost: how many records are lost in known ways, with what one of them says; empty: none, or as many as may be.
        worst: the worst orgs by stage, and what could not be measured.
    """

    name: str
    severity: Severity
    discrepancies: Severity | None
    lost: tuple[str, ...]
    worst: tuple[str, ...]

    @property
    def words(self) -> str:
        """How the pipeline completed, e.g. ``with High Discrepancies``; empty: nothing can be said."""
        if self.discrepancies is not None:
            return f"with {'High ' if self.discrepancies >= Severity.ERROR else ''}Discrepancies"
        return f"with {'; '.join(self.lost)}" if self.lost else ""


def compared(run: Run) -> Compared | None:
    """Return what the run of a reconciliation found that is not well; None: nothing."""
    if run.worst is None:
        return None
    discrepancies: Severity | None = None
    lost: list[str] = []
    worst: list[str] = []
    for summary in run.summaries:
        if summary.severity is None:
            continue
        if summary.outcome is Outcome.FAIL and summary.orgs is None:
            lost.append(loss(str(summary.observed), summary.check, str((summary.detail or {}).get("sample", ""))))
        elif summary.outcome is Outcome.FAIL or summary.orgs_bad:
            discrepancies = max(discrepancies or summary.severity, summary.severity)
            bad = [r for r in run.results if r.check == summary.check and r.severity is not None]
            orgs = [f"org {r.group.label} ({r.violations or 0})" for r in bad if r.group is not None]
            others = max((summary.orgs_bad or 0) - NAMED, 0)
            worst.append(f"{summary.check}: {', '.join(orgs[:NAMED])}{f' and {others} more' if others else ''}")
        else:
            worst.append(f"{summary.check}: {summary.sentence}")
    return Compared(
        name=run.suite, severity=run.worst, discrepancies=discrepancies, lost=tuple(lost), worst=tuple(worst)
    )


def loss(count: str, name: str, sample: str) -> str:
    """Return how many records are lost in a known way, and what one of them says, e.g. ``1 DLQs: KeyError: 'zone'``."""
    said = characters(line(sample), SAMPLE_TOLD)
    return f"{count} {name}{f': {said}' if said else ''}"


@frozen(kw_only=True)
class Ended:
    """A DAG run that ended.

    Attributes:
        dag, run: their ids.
        good: it succeeded.
        steps: in their order.
        failed: the ids of tasks that failed and belong to no step.
        took: how long the run took; None: that is not known.
        links: where to look, text and address.
    """

    dag: str
    run: str
    good: bool
    steps: tuple[Step, ...]
    failed: tuple[str, ...] = ()
    took: timedelta | None = None
    links: Mapping[str, str] = field(factory=dict)


def state_of_step(states: Sequence[str | None]) -> StepState:
    """Return what became of a step; the table above.

    Args:
        states: of its tasks, as Airflow calls them; None: it has none yet.
    """
    here = [state or "none" for state in states if state != "removed"]
    if "failed" in here:
        return "failed"
    kept = [state for state in here if state not in ("success", "skipped")]
    if kept:
        waits = all(state in ("upstream_failed", "none", "scheduled", "queued", "skipped") for state in here)
        return "did not run" if waits else "did not finish"
    return "skipped" if here and all(state == "skipped" for state in here) else "finished"


def went_well(steps: Sequence[Step]) -> bool:
    """Return whether no step is bad; where nobody else says what became of the run."""
    return not any(step.state in _BAD for step in steps)


def how_ended(ended: Ended, found: Sequence[Compared] = ()) -> str:
    """Return what became of the pipeline: completed, and with what, or failed, and at which step."""
    if ended.good:
        told = [one for one in found if one.words]
        worst = max(told, key=lambda one: (one.discrepancies or 0, one.severity), default=None)
        return "pipeline completed" if worst is None else f"pipeline completed {worst.words}"
    count = len(ended.steps)
    steps = (f"{number}/{count} {step.name}" for number, step in enumerate(ended.steps, 1) if step.state in _BAD)
    where = next(steps, None) or first_of(ended.failed, NAMED)
    return "pipeline failed" + (f" at {where}" if where else "")


def ended_message(ended: Ended, environment: str, at: datetime, found: Sequence[Compared] = ()) -> Message:
    """Return the one message about a DAG run that ended, with its numbered steps.

    Args:
        ended: the run.
        environment: e.g. ``prod``.
        at: when the message is decided.
        found: what its reconciliations found that is not well.
    """
    count = len(ended.steps)
    numbered = [(f"{number}/{count} {step.name}", step) for number, step in enumerate(ended.steps, 1)]
    verdict = how_ended(ended, found)
    took = "" if ended.took is None else f" in {format_duration(ended.took)}"
    words = [f"{name}: {step.words}" for name, step in numbered]
    words.append("pipeline completed" if ended.good else "pipeline failed")
    facts = [("DAG run", ended.run)]
    if ended.failed:
        facts.append(("Failed", first_of(ended.failed, NAMED)))
    facts += [(one.name, "; ".join((*one.worst, *one.lost))) for one in found]
    severity = Severity.INFO if ended.good else Severity.ERROR
    subject = subject_of(ended.dag)
    return Message(
        key=f"{environment}/finished/{subject}",
        status="event",
        severity=max((severity, *(one.severity for one in found))),
        environment=environment,
        subject=subject,
        title=f"{environment.upper()} - DAG {subject}: {verdict}{took}",
        summary=", ".join(words),
        at=at,
        facts=tuple(facts),
        links=tuple((title, link) for title, link in ended.links.items() if is_web(link)),
    )
