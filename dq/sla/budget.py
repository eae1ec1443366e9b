"""Error budgets. Pure: the time is an argument.

What counts is what fell due in the window that ends now, and neither waits nor is excused. Of a promise to be right,
what nobody has judged is neither good nor bad. The share that was good is the *SLI*, the share that is promised the
goal (*SLO*); what may be bad of what counted, ``(1 - goal) x valid``, is the *budget*. The *burn rate* is how many
times as fast as it may a budget is used up: the share that was bad, divided by the share that may be.

The table of ``budgets``; the first line that holds decides:

    what counted                                                               state      severity
    -------------------------------------------------------------------------  ---------  --------
    nothing                                                                    no_data    -
    something bad, and at least as much as may be                              spent      error
    a fast rule burns, over its long window and over its short one             fast_burn  warning
    the slow rule does                                                         slow_burn  info
    anything else                                                              fine       -

The severities: no budget is critical, because each miss has already told those whom it wakes; a budget speaks of many
misses. *Spent* breaks a promise over weeks, now or with the next miss, and asks for a decision in working hours. *Fast
burn* will soon, and can still be stopped. *Slow burn* is the ticket of the workbook: to be planned, not to be hurried.

Source of the rules: The Site Reliability Workbook (Google, 2018), chapter 5, "Alerting on SLOs", section
"Multiwindow, Multi-Burn-Rate Alerts", https://sre.google/workbook/alerting-on-slos/. Of 30 days:

    share of the budget  long window     short window  burn rate  here
    -------------------  --------------  ------------  ---------  ----
    2%                   1 hour (1/720)  5 minutes     14.4       fast
    5%                   6 hours (1/120) 30 minutes    6          fast
    10%                  3 days (1/10)   6 hours       1          slow

The workbook counts thousands of requests in an hour; a daily dataset has one partition in 24 of them, and the chapter
itself says that such rates mean nothing at low traffic. So the windows are scaled, and it is said how:

- A window is as many partitions as fall due in that part of ``Sla.window`` at this cadence, the newest that count, but
  a long one at least ``FEWEST`` of a rule: 4 for fast, 12 for slow. A short one is a twelfth of it, at least the
  newest. Days on which nothing is promised therefore neither dilute nor end a burn.
- A long window that was widened so would speak only when more than the budget is gone. So a rule burns at its rate, or
  at the one that uses up ``HALF`` of the budget within its long window, whichever is less.
- One is no rate: fewer than ``TWO`` bad in the long window burn nothing. Where one miss alone spends a budget (99% of
  28 daily partitions allow 0.28) it is told as *spent*, never as a rate; where the next one would, the sentence says
  so.

For daily partitions over 28 days and 90% that makes: two of the last four late and the newest of them: fast burn; two
of the last twelve and the newest: slow burn; three of 28: spent. For partitions of 15 minutes the windows of the slow
rule are those of the workbook.

A promise that is younger than its window has the budget of what was promised so far: its first miss weighs more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from attrs import frozen

from dq.model.budget import Budget, State, What, percent
from dq.model.duration import format_duration
from dq.model.kept import Answer, Kept
from dq.model.severity import Severity
from dq.model.sla import Of, Sla

HALF = Fraction(1, 2)
TWO = 2

_SEVERITY = {State.SPENT: Severity.ERROR, State.FAST_BURN: Severity.WARNING, State.SLOW_BURN: Severity.INFO}


@frozen
class _Rule:
    """A state that holds where the budget burns at ``rate``; ``part``: of the window, its long one is."""

    state: State
    part: Fraction
    rate: Fraction
    fewest: int


FEWEST = {State.FAST_BURN: 4, State.SLOW_BURN: 12}
_RULES = (
    _Rule(State.FAST_BURN, Fraction(1, 720), Fraction(72, 5), FEWEST[State.FAST_BURN]),
    _Rule(State.FAST_BURN, Fraction(1, 120), Fraction(6), FEWEST[State.FAST_BURN]),
    _Rule(State.SLOW_BURN, Fraction(1, 10), Fraction(1), FEWEST[State.SLOW_BURN]),
)


@frozen
class _Counted:
    """What one promise adds to a budget."""

    bad: int
    valid: int


@frozen
class _Burn:
    """What a rule found: the rates over its windows, what its long window holds, and whether both burn."""

    rule: _Rule
    long: Fraction
    short: Fraction
    held: _Counted
    burns: bool


def budgets(kept: Iterable[Kept], sla: Sla, now: datetime, cadence: timedelta) -> tuple[Budget, ...]:
    """Return the error budgets of one subject, by the table above: ``on_time``, then ``correct``, where promised.

    Args:
        kept: what came of its promises, in any order; what is older than ``sla.window`` is left out.
        sla: the promise.
        now: the end of the window, an aware time.
        cadence: how long a partition is, longer than zero.
    """
    since = now - sla.window
    mine = sorted((k for k in kept if since < k.due_at <= now and _counts(k)), key=lambda k: (k.due_at, k.part))
    made = []
    if sla.on_time is not None:
        late = [_Counted(int(k.answer.missed), 1) for k in mine]
        made.append(_budget(late, "on_time", "partitions", sla.on_time, sla.window, cadence))
    if sla.correct is not None:
        wrong = [counted for k in mine if (counted := _judged(k, sla.of)) is not None]
        made.append(_budget(wrong, "correct", sla.of, sla.correct, sla.window, cadence))
    return tuple(made)


def _counts(kept: Kept) -> bool:
    return not (kept.excuse or kept.answer is Answer.EXCUSED or kept.answer.waits)


def _judged(kept: Kept, of: Of) -> _Counted | None:
    if of == "partitions":
        return None if kept.wrong is None else _Counted(int(kept.wrong), 1)
    return None if kept.bad is None or kept.total is None else _Counted(kept.bad, kept.total)


def _budget(
    counted: Sequence[_Counted], what: What, of: Of, goal: Fraction, window: timedelta, cadence: timedelta
) -> Budget:
    total = _sum(counted)
    allowed = (1 - goal) * total.valid
    burns = [_burn(rule, counted, goal, window, cadence) for rule in _RULES] if total.valid and goal < 1 else []
    burn = next((b for b in burns if b.burns), burns[-1] if burns else None)
    if not total.valid:
        state = State.NO_DATA
    elif total.bad and total.bad >= allowed:
        state = State.SPENT
    else:
        state = burn.rule.state if burn is not None and burn.burns else State.FINE
    return Budget(
        goal=goal,
        what=what,
        of=of,
        window=window,
        sli=Fraction(total.valid - total.bad, total.valid) if total.valid else None,
        good=total.valid - total.bad,
        valid=total.valid,
        allowed=allowed,
        left=1 - total.bad / allowed if allowed else None,
        burn_long=None if burn is None else burn.long,
        burn_short=None if burn is None else burn.short,
        state=state,
        severity=_SEVERITY.get(state),
        sentence=_sentence(state, what, of, goal, window, total, allowed, burn),
    )


def _sum(counted: Iterable[_Counted]) -> _Counted:
    bad = valid = 0
    for one in counted:
        bad, valid = bad + one.bad, valid + one.valid
    return _Counted(bad, valid)


def _burn(rule: _Rule, counted: Sequence[_Counted], goal: Fraction, window: timedelta, cadence: timedelta) -> _Burn:
    due = -(-window * rule.part.numerator // (cadence * rule.part.denominator))
    long = min(max(rule.fewest, due), len(counted))
    held, newest = _sum(counted[-long:]), _sum(counted[-max(1, long // 12) :])
    slow, quick = (Fraction(one.bad, one.valid) / (1 - goal) if one.valid else Fraction(0) for one in (held, newest))
    burning = min(rule.rate, HALF * len(counted) / long)
    return _Burn(rule, slow, quick, held, held.bad >= TWO and min(slow, quick) >= burning)


# ---------------------------------------------------------------------------------------------------- for people
_GOOD = {"on_time": "in time", "correct": "right"}
_BAD = {"on_time": "late", "correct": "wrong"}


def _sentence(
    state: State, what: What, of: Of, goal: Fraction, window: timedelta, total: _Counted, allowed: Fraction,
    burn: _Burn | None,
) -> str:  # fmt: skip
    over, promised = format_duration(window), f"{float(goal * 100):.10g}%"
    if state is State.NO_DATA:
        nothing = "nothing that counts fell due" if what == "on_time" else "nothing was judged"
        return f"{nothing} in {over}; promised are {promised} of {of} {_GOOD[what]}"
    sli = Fraction(total.valid - total.bad, total.valid)
    good = f"{total.valid - total.bad:,} of {total.valid:,} {of} {_GOOD[what]} in {over}"
    said = f"{good} ({percent(sli)}, promised {promised})"
    if not allowed:
        return f"{said}: {'all kept, and none may be missed' if not total.bad else 'the promise is broken'}"
    may = f"{total.bad:,} {_BAD[what]}, {_number(allowed)} allowed"
    if state is State.SPENT:
        broken = total.bad > allowed
        return f"{said}: {may}; {'the promise is broken' if broken else 'the budget is spent, one more breaks it'}"
    left = percent(1 - total.bad / allowed)
    if burn is not None and burn.burns:
        newest = f"{burn.held.bad:,} of the newest {burn.held.valid:,} were {_BAD[what]}"
        rate = f"{_number(burn.long)} times what the goal allows"
        return f"{said}: {newest}, {rate}; {left} of the budget is left"
    last = ", the next miss spends it" if of == "partitions" and total.bad + 1 >= allowed else ""
    return f"{said}: {may}; {left} of the budget is left{last}"


def _number(value: Fraction) -> str:
    """Return a number rounded down to two decimals, so that what is allowed is never said to be more."""
    return f"{float(value * 100 // 1 / 100):,.2f}".rstrip("0").rstrip(".")
