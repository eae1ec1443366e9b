"""How promises were kept: attainment per dataset, worst first; misses with causes; a calendar of days. Pure.

What a day of the calendar shows is the worst of the partitions that were due on it (UTC):

    mark  said          of a partition
    ----  ------------  -------------------------------------------------
    X     missing       it is overdue and has not come
    L     late          it came late
    W     wrong         it came in time, and a check failed at error or worse
    E     excused       a known outage
    .     in time       it came in time
          nothing       nothing was due
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import css_inline
from attrs import field, frozen

from dq.model.budget import Budget
from dq.model.duration import format_duration
from dq.model.kept import Answer, Kept
from dq.template import render_html

PERIODS = (7, 28, 90)
"""Days over which attainment is told."""
MISSES = 50
"""So many misses are listed; the others are counted."""
_MARKS = {"missing": "X", "late": "L", "wrong": "W", "excused": "E", "in time": ".", "": ""}
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, minify_css=True)
_WORST = ("missing", "late", "wrong", "excused", "in time")


@frozen(kw_only=True)
class Attained:
    """What came of the promises of one subject.

    Attributes:
        subject, owner: whose.
        promise: what is promised, for people.
        kept: what came of it, of the longest of ``PERIODS``.
        budgets: what is left of the shares that are promised.
    """

    subject: str
    owner: str
    promise: str
    kept: tuple[Kept, ...]
    budgets: tuple[Budget, ...] = ()


@frozen(kw_only=True)
class Line:
    """How often a promise was kept.

    Attributes:
        of: whose promise.
        counts: how many were ``in time``, ``late``, ``missing``, ``wrong`` and ``excused``.
    """

    of: Attained
    counts: Mapping[str, int] = field(factory=dict)

    @property
    def promised(self) -> int:
        """How many count: the excused do not."""
        return sum(number for word, number in self.counts.items() if word != "excused")

    @property
    def share(self) -> float | None:
        """The share that came in time, right or wrong; None: nothing was promised."""
        good = self.counts.get("in time", 0) + self.counts.get("wrong", 0)
        return good / self.promised if self.promised else None


def word_of(one: Kept) -> str:
    """Return what to say of a partition, by the table above; empty: it is not due yet."""
    if one.answer.waits:
        return ""
    if one.answer is Answer.EXCUSED:
        return "excused"
    if one.answer.overdue:
        return "missing"
    return "late" if one.answer.missed else "wrong" if one.wrong else "in time"


def lines(attained: Iterable[Attained], now: datetime, days: int) -> tuple[Line, ...]:
    """Return how often each promise was kept in the last days, the worst first.

    Args:
        attained: what came of promises.
        now: the end of the days.
        days: how many.
    """
    since = now - timedelta(days=days)
    found = []
    for one in attained:
        counts = Counter(word_of(kept) for kept in one.kept if since < kept.due_at <= now)
        del counts[""]
        found.append(Line(of=one, counts=counts))
    return tuple(sorted(found, key=lambda line: (1.0 if line.share is None else line.share, line.of.subject)))


def misses(attained: Iterable[Attained], now: datetime, days: int) -> tuple[Kept, ...]:
    """Return what came late or not at all in the last days, and what was excused, the newest first."""
    since = now - timedelta(days=days)
    found = [
        kept
        for one in attained
        for kept in one.kept
        if since < kept.due_at <= now and word_of(kept) in ("missing", "late", "excused")
    ]
    return tuple(sorted(found, key=lambda kept: (kept.due_at, kept.subject), reverse=True))


def calendar(attained: Attained, now: datetime, days: int) -> tuple[tuple[date, str], ...]:
    """Return each of the last days with what is to be said of it, by the table above, the oldest first."""
    last = now.astimezone(UTC).date()
    said: dict[date, str] = {last - timedelta(days=n): "" for n in reversed(range(days))}
    for one in attained.kept:
        day, word = one.due_at.astimezone(UTC).date(), word_of(one)
        if day in said and word and (not said[day] or _WORST.index(word) < _WORST.index(said[day])):
            said[day] = word
    return tuple(said.items())


def to_json(attained: Sequence[Attained], now: datetime, days: int) -> dict[str, Any]:
    """Return the documented JSON form: ``days``, ``promises[]`` and ``misses[]``."""
    return {
        "days": days,
        "promises": [
            {
                "name": line.of.subject,
                "owner": line.of.owner or None,
                "promise": line.of.promise,
                "promised": line.promised,
                **{word.replace(" ", "_"): line.counts.get(word, 0) for word in _WORST},
                "attainment": line.share,
                "budgets": [_budget_json(budget) for budget in line.of.budgets],
            }
            for line in lines(attained, now, days)
        ],
        "misses": [
            {
                "name": one.subject,
                "part": one.part,
                "due_at": one.due_at.isoformat(),
                "answer": str(one.answer),
                "late_seconds": one.late.total_seconds(),
                "cause": one.cause or None,
                "excuse": one.excuse or None,
            }
            for one in misses(attained, now, days)
        ],
    }


def _budget_json(budget: Budget) -> dict[str, Any]:
    return {
        "what": budget.what,
        "of": budget.of,
        "goal": float(budget.goal),
        "good": budget.good,
        "valid": budget.valid,
        "left": None if budget.left is None else float(budget.left),
        "burn": None if budget.burn is None else float(budget.burn),
        "state": budget.state,
    }


def percent(share: float | None) -> str:
    """Return a share for people; a dash where there is none. What is not whole is never rounded to 100 %."""
    if share is None:
        return "-"
    return "100%" if share == 1 else f"{min(share * 100, 99.99):.4g}%"


def why(one: Kept) -> str:
    """Return why a promise was missed, or is excused, for people."""
    return one.excuse or one.cause or "nothing is known"


def page(attained: Sequence[Attained], environment: str, now: datetime, days: int = 28) -> str:
    """Return the report as a page, which mail clients show too: nothing is loaded, and colours are not needed.

    Args:
        attained: what came of promises.
        environment: e.g. ``prod``.
        now: the end of the report.
        days: how many, of the calendar and the misses.
    """
    found = lines(attained, now, days)
    listed = misses(attained, now, days)
    periods = {period: {line.of.subject: line for line in lines(attained, now, period)} for period in PERIODS}
    rows = [
        {
            "subject": line.of.subject,
            "owner": line.of.owner,
            "promise": line.of.promise,
            "counts": line.counts,
            "promised": line.promised,
            "shares": [percent(periods[period][line.of.subject].share) for period in PERIODS],
            "bad": line.share is not None and line.share < 1,
            "budgets": [(str(budget), budget.state) for budget in line.of.budgets],
            "days": [(day, word, _MARKS[word]) for day, word in calendar(line.of, now, days)],
        }
        for line in found
    ]
    told = [
        (one.subject, one.part, one.due_at, format_duration(one.late) if one.late else "", word_of(one), why(one))
        for one in listed[:MISSES]
    ]
    html = render_html(
        "reports/attainment.html.j2",
        environment=environment,
        now=now.astimezone(UTC),
        days=days,
        periods=PERIODS,
        rows=rows,
        misses=told,
        more=max(len(listed) - MISSES, 0),
        marks=[(mark, word) for word, mark in _MARKS.items() if word],
    )
    return _INLINER.inline(html)
