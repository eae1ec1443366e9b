"""Functions: what a function of the user measured is judged, recorded and told like any other check."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from dq.app.closing import close
from dq.app.session import judgement_time, start_run, transaction
from dq.checks.judge import Reading, judge, unmeasured
from dq.checks.plan import plan
from dq.checks.returned import reading_of
from dq.model.check import Suite
from dq.model.errors import MeasureError, UsageError
from dq.model.interval import Interval
from dq.model.result import Run
from dq.project import Project
from dq.store import history


def judge_answer(
    project: Project,
    suite: Suite,
    interval: Interval,
    origin: str,
    ask: Callable[[], object],
    now: datetime | None = None,
) -> Run:
    """Return the run of a suite whose one check is a function; it is closed.

    Args:
        project: whose environment, store and routes.
        suite: of one check of the kind ``Returned`` or ``Answered``; it is not declared in the project.
        interval: the partition that the function looks at.
        origin: who started it.
        ask: returns what the function returns; when it raises a MeasureError the check is unmeasured.
        now: the time of the judgement.

    Raises:
        UsageError: when a suite or reconciliation of that name is declared.
        StoreError: when the store cannot be used.
    """
    if suite.name in project.sources:
        raise UsageError(
            f"{suite.name!r} is declared in {project.sources[suite.name]}; a function is a suite of its own, "
            "give it another name"
        )
    now = now or judgement_time()
    (scan,) = plan(suite)
    (check,) = scan.checks
    by = suite.by_of(check)
    reading: Reading | str
    try:
        reading = reading_of(check, by, ask())
    except MeasureError as error:
        reading = str(error)
    with transaction(project) as connection:
        run = start_run(connection, project, suite, interval, origin, now)
        keep = history.open_orgs(connection, project.environment, "suite", suite.name, scan.columns) if by else ()
        results = (
            (unmeasured(check, reading),)
            if isinstance(reading, str)
            else judge(check, reading, now, interval, keep=keep)
        )
        history.record_scan(connection, run, scan.id, results, now)
    return close(project, suite, interval, origin, now=now)
