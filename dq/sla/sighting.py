"""What a closed run saw of its partition: the observation that SLAs are judged from. Pure.

    results of the run (summaries)                                     state
    -----------------------------------------------------------------  ----------
    an upstream task failed before anything could be measured          failed
    some check found rows, and (reconciliation) no stage is empty      arrived; wrong: one failed at error or worse
    no check found rows, and that is declared fine (on_empty="ok")     arrived
    no check found rows                                                missing
    a stage of a reconciliation is empty                               missing
    nothing of the above, because nothing could be measured            unmeasured

Wrong data is there, so it has arrived: whom that wakes is the business of the checks. What is promised of it counts it.
"""

from __future__ import annotations

from fractions import Fraction

from dq.model.observation import ObservedState
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.model.sla import Of


def sighting(run: Run, *, upstream_failed: bool = False) -> ObservedState:
    """Return what ``run`` saw of its partition, by the table above.

    Args:
        run: the run with its results.
        upstream_failed: whether it could not start because a task before it failed.
    """
    summaries = run.summaries
    found = [result for result in summaries if _has_rows(result)]
    without = [result for result in summaries if result.outcome is Outcome.NO_DATA and not _has_rows(result)]
    empty = [result for result in without if result.severity is not None]
    if found and not (run.kind == "reconciliation" and empty):
        return "wrong" if any(_is_wrong(result) for result in found) else "arrived"
    if without and not empty and not upstream_failed:
        return "arrived"
    if upstream_failed:
        return "failed"
    return "missing" if empty else "unmeasured"


def wrong_of(run: Run, of: Of) -> tuple[int, int] | None:
    """Return how many of the rows or orgs of the run's worst check were wrong, and of how many; None: none counted.

    Args:
        run: the run with its results.
        of: ``rows`` or ``orgs``; partitions are not counted here.
    """
    names = {"rows": ("violations", "rows"), "orgs": ("orgs_bad", "orgs")}.get(of)
    if names is None:
        return None
    found = ((getattr(result, names[0]), getattr(result, names[1])) for result in run.summaries)
    counted = [(bad, total) for bad, total in found if bad is not None and total]
    return max(counted, key=lambda pair: Fraction(*pair), default=None)


def _is_wrong(result: Result) -> bool:
    return result.outcome is Outcome.FAIL and result.at_or_above(Severity.ERROR)


def _has_rows(result: Result) -> bool:
    if result.outcome in (Outcome.PASS, Outcome.FAIL):
        return True
    # A grouped check whose worst org has no rows still saw the rows of the others.
    return result.outcome is Outcome.NO_DATA and bool(result.rows)
