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
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from attrs import field, frozen

from dq.alerting.dags import subject_of
from dq.model.duration import format_duration
from dq.model.message import Message, is_web
from dq.model.names import first_of
from dq.model.severity import Severity

StepState = Literal["finished", "failed", "skipped", "did not run", "did not finish"]
NAMED = 5
"""How many failed tasks are named before the others are counted."""
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


def ended_message(ended: Ended, environment: str, at: datetime) -> Message:
    """Return the one message about a DAG run that ended, with its numbered steps."""
    count = len(ended.steps)
    numbered = [(f"{number}/{count} {step.name}", step) for number, step in enumerate(ended.steps, 1)]
    verdict = "pipeline completed" if ended.good else "pipeline failed"
    if not ended.good:
        where = next((name for name, step in numbered if step.state in _BAD), None) or first_of(ended.failed, NAMED)
        verdict += f" at {where}" if where else ""
    took = "" if ended.took is None else f" in {format_duration(ended.took)}"
    words = [f"{name}: {step.words}" for name, step in numbered]
    words.append("pipeline completed" if ended.good else "pipeline failed")
    facts = [("DAG run", ended.run)]
    if ended.failed:
        facts.append(("Failed", first_of(ended.failed, NAMED)))
    subject = subject_of(ended.dag)
    return Message(
        key=f"{environment}/finished/{subject}",
        status="event",
        severity=Severity.INFO if ended.good else Severity.ERROR,
        environment=environment,
        subject=subject,
        title=f"{environment.upper()} - DAG {subject}: {verdict}{took}",
        summary=", ".join(words),
        at=at,
        facts=tuple(facts),
        links=tuple((title, link) for title, link in ended.links.items() if is_web(link)),
    )
