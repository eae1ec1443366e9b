"""Error budgets: whether a promised share is kept over its window, and whether it is about to break. Pure.

    counted in the window        burning over both windows of a rule         state       severity
    ---------------------------  ------------------------------------------  ----------  --------
    nothing                      -                                           no_data     none
    more is bad than is allowed  -                                           spent       error: the promise is broken
    no more than is allowed      of the first or the second rule             fast_burn   warning
    no more than is allowed      of the third rule                           slow_burn   info
    no more than is allowed      of none                                     fine        none

Burning means: the share of what is bad, over what the goal allows, is the factor of the rule or more, over a long
window and over a short one, a twelfth of it, so that what has stopped burning is told no more. They are those of the
SRE workbook (chapter 5, "Alerting on SLOs", multiwindow, multi-burn-rate), as shares of the window instead of hours of
30 days: 2 % of the budget within 1/720 of it, 5 % within 1/120, 10 % within 1/10.

Few partitions make these windows hold nothing, which the workbook calls low traffic. So a long window holds at least
``FEWEST`` partitions, its short one then at least one; its factor is what spends the same share of the budget in it. A
rule whose factor would be less than 1 is left out, for such a burn breaks nothing; with daily partitions all are, and a
budget is fine until it is spent, which one miss may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from dq.model.budget import Budget, BudgetState
from dq.model.kept import Answer, Kept
from dq.model.severity import Severity
from dq.model.sla import Sla

FEWEST = 12
"""Partitions that a long window holds at least."""

RULES: tuple[tuple[Fraction, Fraction, BudgetState], ...] = (
    (Fraction(2, 100), Fraction(1, 720), "fast_burn"),
    (Fraction(5, 100), Fraction(1, 120), "fast_burn"),
    (Fraction(10, 100), Fraction(1, 10), "slow_burn"),
)
"""The share of the budget, the share of the window in which it is spent, and what that is."""

_SEVERITIES: dict[BudgetState, Severity | None] = {
    "no_data": None,
    "fine": None,
    "slow_burn": Severity.INFO,
    "fast_burn": Severity.WARNING,
    "spent": Severity.ERROR,
}
Counts = tuple[datetime, int, int]
"""When a partition was due, how many were bad, and of how many."""


def budgets(kept: Iterable[Kept], sla: Sla, now: datetime, cadence: timedelta) -> tuple[Budget, ...]:
    """Return what is left of each share that ``sla`` promises.

    Args:
        kept: what came of the promises of one subject, in any order; others than those of the window are left out.
        sla: what is promised.
        now: the end of the window.
        cadence: the length of a partition.
    """
    mine = [one for one in kept if now - sla.window < one.due_at <= now and counts(one)]
    found = []
    if sla.on_time is not None:
        found.append(_budget("on_time", "partitions", sla.on_time, _in_time(mine), sla.window, now, cadence))
    if sla.correct is not None:
        found.append(_budget("correct", sla.of, sla.correct, _right(mine, sla.of), sla.window, now, cadence))
    return tuple(found)


def counts(one: Kept) -> bool:
    """Return whether a promise counts: it is due, and nobody excused it."""
    return not one.answer.waits and one.answer is not Answer.EXCUSED and not one.excuse


def _in_time(kept: Iterable[Kept]) -> list[Counts]:
    return [(one.due_at, int(one.answer.missed), 1) for one in kept]


def _right(kept: Iterable[Kept], of: str) -> list[Counts]:
    """Return what was wrong of what was looked at: what never came was not, and is no less in time for it."""
    if of == "partitions":
        return [(one.due_at, int(one.wrong), 1) for one in kept if one.wrong is not None]
    return [(one.due_at, one.bad, one.total) for one in kept if one.bad is not None and one.total is not None]


def _budget(
    what: str, of: str, goal: Fraction, counted: Sequence[Counts], window: timedelta, now: datetime, cadence: timedelta
) -> Budget:
    bad, valid = sum(one[1] for one in counted), sum(one[2] for one in counted)
    allowed = (1 - goal) * valid
    state: BudgetState = "fine"
    burn: Fraction | None = None
    if not valid:
        state = "no_data"
    elif bad > allowed:
        state = "spent"
    elif bad:
        state, burn = _burning(goal, counted, window, now, cadence)
    return Budget(
        what="on_time" if what == "on_time" else "correct",
        of=of,
        goal=goal,
        good=valid - bad,
        valid=valid,
        allowed=allowed,
        burn=burn,
        state=state,
        severity=_SEVERITIES[state],
    )


def _burning(
    goal: Fraction, counted: Sequence[Counts], window: timedelta, now: datetime, cadence: timedelta
) -> tuple[BudgetState, Fraction | None]:
    for share, part, state in RULES:
        long = max(window * part.numerator / part.denominator, FEWEST * cadence)
        factor = share * Fraction(window // timedelta(seconds=1), long // timedelta(seconds=1))
        if factor < 1:
            continue
        rates = [_rate(goal, counted, now - span) for span in (long, long / 12)]
        if all(rate is not None and rate >= factor for rate in rates):
            return state, rates[0]
    return "fine", None


def _rate(goal: Fraction, counted: Iterable[Counts], since: datetime) -> Fraction | None:
    """Return how many times faster than allowed the budget was spent since then; None: nothing was counted."""
    lately = [one for one in counted if one[0] > since]
    valid = sum(one[2] for one in lately)
    return Fraction(sum(one[1] for one in lately), valid) / (1 - goal) if valid else None
