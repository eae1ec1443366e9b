"""Recording: what checks are held against, beside what they measured before: schemas and distributions."""

from __future__ import annotations

from datetime import datetime

from dq.app.session import context_of, datasources, judgement_time, transaction
from dq.execute import answers
from dq.model.check import Check, Suite
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.project import Project
from dq.store import measures
from dq.store.measures import Recorded


def record_reference(
    project: Project, name: str, check: str, interval: Interval, now: datetime | None = None
) -> Recorded:
    """Measure what a check is to be held against, of one partition, and record it in the place of what was before.

    Raises:
        UsageError: when there is no such check, or it is held against nothing recorded.
        MeasureError: when it cannot be measured.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    suite, declared = find_check(project, name, check)
    recording = getattr(declared.kind, "recording", None)
    if recording is None or declared.kind.remembers != "recorded":
        raise UsageError(f"suite {name!r}, check {check!r}: {declared.kind} is held against nothing that is recorded")
    steps = recording(declared.where)
    with datasources(project) as connect:
        context = context_of(project, interval, now)
        asked = next(steps)
        while True:
            try:
                asked = steps.send(answers(asked, suite.table, connect, context))
            except StopIteration as end:
                made = Recorded(check, end.value, interval, now)
                break
    with transaction(project) as connection:
        measures.put_reference(connection, project.environment, suite.name, made)
    return made


def references(project: Project, name: str) -> tuple[Recorded, ...]:
    """Return what is recorded for the checks of a suite.

    Raises:
        UsageError: when there is no such suite.
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return measures.references(connection, project.environment, find_suite(project, name).name)


def reference(project: Project, name: str, check: str) -> Recorded:
    """Return what is recorded for a check.

    Raises:
        UsageError: when nothing is.
        StoreError: when the store cannot be used.
    """
    found = next((one for one in references(project, name) if one.check == check), None)
    if found is None:
        raise UsageError(_nothing(project, name, check))
    return found


def remove_reference(project: Project, name: str, check: str) -> None:
    """Forget what is recorded for a check; it need not be declared any more.

    Raises:
        UsageError: when nothing is recorded for it.
        StoreError: when the store cannot be used.
    """
    suite = find_suite(project, name)
    with transaction(project) as connection:
        gone = measures.remove_reference(connection, project.environment, suite.name, check)
    if not gone:
        raise UsageError(_nothing(project, name, check))


def find_suite(project: Project, name: str) -> Suite:
    """Return a suite by name.

    Raises:
        UsageError: when there is none of that name.
    """
    found = project.find(name)
    if not isinstance(found, Suite):
        raise UsageError(f"{name!r} is a reconciliation, not a suite")
    return found


def find_check(project: Project, name: str, check: str) -> tuple[Suite, Check]:
    """Return a suite and a check of it by name.

    Raises:
        UsageError: when there is none of that name.
    """
    suite = find_suite(project, name)
    for declared in suite.checks:
        if declared.name == check:
            return suite, declared
    raise UsageError(f"suite {name!r} has no check {check!r}; it has {', '.join(repr(c.name) for c in suite.checks)}")


def _nothing(project: Project, name: str, check: str) -> str:
    return f"nothing is recorded for check {check!r} of suite {name!r} in environment {project.environment!r}"
