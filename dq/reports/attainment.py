"""The SLA report: how many promises were kept, which were not and why, what was excused, and what budget is left.

A promise is *kept* when its partition was in time and nobody found it wrong. Counted is what fell due in the last 7, 28
and 90 days. What waits is not counted yet; what is excused is counted by itself, and its share is of no one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

from attrs import frozen

from dq.model.budget import Budget, State, percent
from dq.model.duration import format_duration
from dq.model.kept import Answer, Kept
from dq.reports.heat import DAYS, Heat, Mark, heat, mark_of
from dq.reports.text import clean, table, wrap

SPANS = (7, 28, 90)
"""Over how many days is counted."""

NOBODY = "nobody"
"""Whom what has no owner belongs to."""

_MISSED = (Mark.LATE, Mark.WRONG, Mark.MISSING)
_NAME, _CAUSE = 80, 200  # characters of a name and of a cause or reason
_TEXT_NAME = 28  # columns that a name may take in a terminal
_MANY = 20  # misses and outages of a text


@frozen(kw_only=True)
class Attained:
    """One subject: what was promised, and what came of it.

    Attributes:
        subject: its name.
        owner: who answers for it; empty: nobody is named.
        promise: the promise for people, e.g. ``"due 06:00 Europe/Berlin, 99% in time over 28d"``.
        kept: what came of it in the last 90 days, in any order.
        budgets: its error budgets.
    """

    subject: str
    owner: str
    promise: str
    kept: tuple[Kept, ...]
    budgets: tuple[Budget, ...] = ()


@frozen(kw_only=True)
class Span:
    """What came of the promises of some days.

    Attributes:
        days: that many, back from now.
        promised: how many fell due; ``in_time``, ``late`` and ``excused`` add up to it.
        in_time: were there in time, right or wrong.
        late: were not, or are still missing.
        missing: those of ``late`` that are not there yet.
        wrong: a check failed in them at error or worse, in time or late.
        excused: do not count, with a reason.
        kept: were in time, and nobody found them wrong.
    """

    days: int
    promised: int = 0
    in_time: int = 0
    late: int = 0
    missing: int = 0
    wrong: int = 0
    excused: int = 0
    kept: int = 0

    @property
    def attained(self) -> Fraction | None:
        """The share that was kept of what counts; None: nothing does."""
        counted = self.promised - self.excused
        return Fraction(self.kept, counted) if counted else None


@frozen(kw_only=True)
class Line:
    """One dataset, or all datasets of an owner.

    Attributes:
        name: of the dataset; of an owner ``""``.
        owner: who answers.
        promise: for people; of an owner how many datasets.
        spans: one for each of ``SPANS``.
        left: the share of the error budget that is left, of several the least; None: there is none.
        state: how it stands with it, of several the worst; None: there is no budget.
        budgets: the budgets themselves; of an owner none.
    """

    name: str
    owner: str
    promise: str
    spans: tuple[Span, ...]
    left: Fraction | None
    state: State | None
    budgets: tuple[Budget, ...] = ()

    def over(self, days: int) -> Span:
        """Return what came of the promises of so many days, one of ``SPANS``."""
        return next(span for span in self.spans if span.days == days)


@frozen(kw_only=True)
class Miss:
    """A promise that was not kept, or several of one dataset that fell due on one day and went the same way.

    Attributes:
        subject, owner: whose it was.
        part: the first of them.
        due_at: when the first fell due, UTC.
        count: how many they are.
        what: ``late``, ``missing``, ``wrong`` or ``late and wrong``.
        late: how late, at most.
        cause: why; empty: nothing is known.
    """

    subject: str
    owner: str
    part: str
    due_at: datetime
    count: int
    what: str
    late: timedelta
    cause: str


@frozen(kw_only=True)
class Outage:
    """What is excused for one reason.

    Attributes:
        reason: why it does not count.
        subjects: whom it concerned, in order.
        first, last: when the first and the last of it fell due, UTC.
        count: how many partitions.
    """

    reason: str
    subjects: tuple[str, ...]
    first: datetime
    last: datetime
    count: int


@frozen(kw_only=True)
class Report:
    """The SLA report as values.

    Attributes:
        made_at: the instant up to which it counts, UTC.
        total: everything.
        lines: one per dataset, worst first.
        owners: one per owner, worst first.
        misses: those of the last 28 days, newest first.
        outages: what was excused in the last 28 days, newest first.
        heat: the heat map of the last 28 days, in the order of ``lines``.
    """

    made_at: datetime
    total: Line
    lines: tuple[Line, ...]
    owners: tuple[Line, ...]
    misses: tuple[Miss, ...]
    outages: tuple[Outage, ...]
    heat: Heat


def report(attained: Iterable[Attained], now: datetime) -> Report:
    """Return the report on ``attained``, one per subject.

    Worst first: by the state of the budget, then by the share of it that is left (where there is none, by the share
    that was kept), then by the share that was kept in 28 days.

    Args:
        attained: what was promised and what came of it.
        now: an aware time; what falls due later is only in the heat map of today.
    """
    mine = tuple(attained)
    pairs = sorted(((_line(one, now), one) for one in mine), key=lambda pair: _rank(pair[0]))
    by_owner = defaultdict[str, list[Line]](list)
    for line, _ in pairs:
        by_owner[line.owner].append(line)
    recent = [(one, k) for one in mine for k in one.kept if now - timedelta(days=DAYS) < k.due_at <= now]
    return Report(
        made_at=now.astimezone(UTC),
        total=_together([line for line, _ in pairs], ""),
        lines=tuple(line for line, _ in pairs),
        owners=tuple(sorted((_together(lines, owner) for owner, lines in by_owner.items()), key=_rank)),
        misses=_misses(recent),
        outages=_outages(recent),
        heat=heat(((one.subject, one.kept) for _, one in pairs), now),
    )


def datasets(count: int) -> str:
    """Return ``"1 dataset"``, ``"2 datasets"``."""
    return f"{count} dataset{'' if count == 1 else 's'}"


def _line(one: Attained, now: datetime) -> Line:
    counted = [(now - k.due_at, _count(k)) for k in one.kept if k.due_at <= now and not k.answer.waits]
    return Line(
        name=one.subject,
        owner=one.owner,
        promise=one.promise,
        spans=tuple(_span(days, (what for age, what in counted if age < timedelta(days=days))) for days in SPANS),
        left=min((b.left for b in one.budgets if b.left is not None), default=None),
        state=max((b.state for b in one.budgets), key=lambda state: state.rank, default=None),
        budgets=one.budgets,
    )


def _together(lines: Sequence[Line], owner: str) -> Line:
    return Line(
        name="",
        owner=owner,
        promise=datasets(len(lines)),
        spans=tuple(_span(days, (_counts(line.over(days)) for line in lines)) for days in SPANS),
        left=min((line.left for line in lines if line.left is not None), default=None),
        state=max((line.state for line in lines if line.state is not None), key=lambda s: s.rank, default=None),
    )


_COUNTS = ("promised", "in_time", "late", "missing", "wrong", "excused", "kept")


def _span(days: int, counts: Iterable[tuple[int, ...]]) -> Span:
    return Span(days=days, **dict(zip(_COUNTS, map(sum, zip(*counts, strict=True)), strict=False)))


def _counts(span: Span) -> tuple[int, ...]:
    return tuple(getattr(span, name) for name in _COUNTS)


def _count(kept: Kept) -> tuple[int, ...]:
    """Return what one promise adds to each of ``_COUNTS``."""
    mark = mark_of(kept)
    if mark is Mark.EXCUSED:
        return (1, 0, 0, 0, 0, 1, 0)
    late, wrong = kept.answer.missed, _wrong(kept)
    return (1, not late, late, mark is Mark.MISSING, wrong, 0, not late and not wrong)


def _wrong(kept: Kept) -> bool:
    return bool(kept.wrong) or kept.answer is Answer.DATA_WRONG


def _rank(line: Line) -> tuple[int, Fraction, Fraction, str, str]:
    share = line.over(DAYS).attained
    kept = Fraction(2) if share is None else share
    rank = line.state.rank if line.state is not None else 0
    return -rank, kept if line.left is None else line.left, kept, line.name, line.owner


def _misses(recent: Iterable[tuple[Attained, Kept]]) -> tuple[Miss, ...]:
    found: dict[tuple[object, ...], list[tuple[Attained, Kept]]] = defaultdict(list)
    for one, k in recent:
        if what := _what(k):
            found[one.subject, one.owner, k.due_at.astimezone(UTC).date(), what, k.cause].append((one, k))
    made = [_miss(group) for group in found.values()]
    return tuple(sorted(made, key=lambda miss: (-miss.due_at.timestamp(), miss.subject, miss.part, miss.what)))


def _what(kept: Kept) -> str:
    """Return what went wrong; empty: nothing did, or it does not count."""
    mark = mark_of(kept)
    if mark is Mark.WRONG and kept.answer.missed:
        return "late and wrong"
    return str(mark) if mark in _MISSED else ""


def _miss(group: Sequence[tuple[Attained, Kept]]) -> Miss:
    one, first = min(group, key=lambda pair: (pair[1].due_at, pair[1].part))
    return Miss(
        subject=one.subject,
        owner=one.owner,
        part=first.part,
        due_at=first.due_at.astimezone(UTC),
        count=len(group),
        what=_what(first),
        late=max(k.late for _, k in group),
        cause=first.cause,
    )


def _outages(recent: Iterable[tuple[Attained, Kept]]) -> tuple[Outage, ...]:
    found = defaultdict[str, list[tuple[str, datetime]]](list)
    for one, k in recent:
        if mark_of(k) is Mark.EXCUSED:
            found[k.excuse].append((one.subject, k.due_at.astimezone(UTC)))
    made = (
        Outage(
            reason=reason,
            subjects=tuple(sorted({subject for subject, _ in group})),
            first=min(due for _, due in group),
            last=max(due for _, due in group),
            count=len(group),
        )
        for reason, group in found.items()
    )
    return tuple(sorted(made, key=lambda outage: (-outage.last.timestamp(), outage.reason)))


# ---------------------------------------------------------------------------------------------------------------- JSON


def to_json(made: Report) -> dict[str, Any]:
    """Return the report as JSON can hold it.

    The keys, all of them always there; times are ISO 8601 in UTC, shares numbers from 0 to 1 (``left`` may be
    negative), null where there is none:

    - ``made_at``
    - ``total``, and in ``datasets`` and ``owners`` one each, worst first: ``name``, ``owner``, ``promise``, ``state``
      (``no_data``, ``fine``, ``slow_burn``, ``fast_burn``, ``spent``), ``left``, ``budgets``, and ``days``: by ``"7"``,
      ``"28"`` and ``"90"`` the counts ``promised``, ``in_time``, ``late``, ``missing`` (of the late), ``wrong``,
      ``excused``, ``kept`` and the share ``attained``
    - of each of ``budgets``: ``what``, ``of``, ``goal``, ``window_seconds``, ``sli``, ``good``, ``valid``, ``allowed``,
      ``left``, ``burn_long``, ``burn_short``, ``state``, ``severity``, ``sentence``
    - ``misses``: ``subject``, ``owner``, ``part``, ``due_at``, ``count``, ``what``, ``late_seconds``, ``cause``
    - ``excused``: ``reason``, ``subjects``, ``first``, ``last``, ``count``
    - ``heat``: ``days`` (dates) and ``rows``, of each ``subject`` and its ``marks`` (``met``, ``late``, ``wrong``,
      ``missing``, ``excused``, ``waits``, ``nothing``)
    """
    return {
        "made_at": made.made_at.isoformat(),
        "total": _line_json(made.total),
        "datasets": [_line_json(line) for line in made.lines],
        "owners": [_line_json(line) for line in made.owners],
        "misses": [
            {
                "subject": miss.subject, "owner": miss.owner, "part": miss.part, "due_at": miss.due_at.isoformat(),
                "count": miss.count, "what": miss.what, "late_seconds": round(miss.late.total_seconds()),
                "cause": miss.cause,
            }
            for miss in made.misses
        ],
        "excused": [
            {
                "reason": outage.reason, "subjects": list(outage.subjects), "first": outage.first.isoformat(),
                "last": outage.last.isoformat(), "count": outage.count,
            }
            for outage in made.outages
        ],
        "heat": {
            "days": [day.isoformat() for day in made.heat.days],
            "rows": [{"subject": row.subject, "marks": [str(mark) for mark in row.marks]} for row in made.heat.rows],
        },
    }  # fmt: skip


def _line_json(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "owner": line.owner,
        "promise": line.promise,
        "state": None if line.state is None else str(line.state),
        "left": _float(line.left),
        "budgets": [_budget_json(budget) for budget in line.budgets],
        "days": {str(span.days): _span_json(span) for span in line.spans},
    }


def _span_json(span: Span) -> dict[str, Any]:
    return {**{name: getattr(span, name) for name in _COUNTS}, "attained": _float(span.attained)}


def _budget_json(budget: Budget) -> dict[str, Any]:
    shares = ("goal", "sli", "allowed", "left", "burn_long", "burn_short")
    return {
        "what": budget.what,
        "of": budget.of,
        "window_seconds": round(budget.window.total_seconds()),
        "good": budget.good,
        "valid": budget.valid,
        "state": str(budget.state),
        "severity": None if budget.severity is None else str(budget.severity),
        "sentence": budget.sentence,
        **{name: _float(getattr(budget, name)) for name in shares},
    }


def _float(share: Fraction | None) -> float | None:
    return None if share is None else float(share)


# ------------------------------------------------------------------------------------------------------------ terminal

HEADINGS = ("Dataset", "Owner", "Promised", "In time", "Late", "Wrong", "Excused", "7d", "28d", "90d", "Budget left")
"""The headings of ``rows``; counts are of 28 days, ``7d``, ``28d`` and ``90d`` the shares that were kept."""


def rows(lines: Iterable[Line]) -> list[tuple[str, ...]]:
    """Return the cells of a table with ``HEADINGS``, one row per line of a report."""
    return [
        (
            clean(line.name or line.promise, _TEXT_NAME),
            clean(line.owner or NOBODY, _TEXT_NAME),
            *(f"{count:,}" for count in counts(line.over(DAYS))),
            *(share_text(span.attained) for span in line.spans),
            left_text(line),
        )
        for line in lines
    ]


def counts(span: Span) -> tuple[int, int, int, int, int]:
    """Return promised, in time, late, wrong, excused."""
    return span.promised, span.in_time, span.late, span.wrong, span.excused


def share_text(share: Fraction | None) -> str:
    """Return a share in percent, rounded down; a dash where nothing was promised."""
    return "-" if share is None else percent(share)


def left_text(line: Line) -> str:
    """Return how much of the error budget is left, in whole percent, rounded down; below zero more than all is spent.

    Where nothing may be missed, ``none``, or ``broken`` where something was; a dash where no share is promised.
    """
    if line.left is not None:
        return f"{line.left * 100 // 1}%"
    words = {None: "-", State.NO_DATA: "-", State.SPENT: "broken"}
    return words.get(line.state, "none")


def miss_text(miss: Miss) -> str:
    """Return what went wrong in a few words: how many, what, how late."""
    said = f"{miss.count} x {miss.what}" if miss.count > 1 else miss.what
    return f"{said}, {late_text(miss)}" if miss.late else said


def late_text(miss: Miss) -> str:
    """Return how late, e.g. ``"up to 2h20m"``; empty: it is not."""
    return f"{'up to ' if miss.count > 1 else ''}{format_duration(miss.late)}" if miss.late else ""


def cause_text(miss: Miss) -> str:
    """Return why; of wrong data that came in time, that a check failed."""
    return clean(miss.cause, _CAUSE) or ("a check failed" if miss.what == "wrong" else "cause not known")


def outage_text(outage: Outage) -> str:
    """Return what was excused and when, for people."""
    first, last = f"{outage.first:%Y-%m-%d %H:%M}", f"{outage.last:%Y-%m-%d %H:%M}"
    subjects = clean(", ".join(outage.subjects[:5]), _CAUSE)
    others = f" and {len(outage.subjects) - 5} more" if len(outage.subjects) > 5 else ""
    when = f"due {first}" if first == last else f"due {first} to {last}"
    return f"{outage.count} partition{'' if outage.count == 1 else 's'} of {subjects}{others}, {when} UTC"


def text(made: Report, *, max_rows: int | None = None) -> str:
    """Return the report as plain text of at most 100 columns: datasets, owners, budgets, misses, outages.

    Args:
        made: the report.
        max_rows: that many of the worst datasets and owners are listed, the others counted; None: all.
    """
    blocks = [
        wrap(headline(made)),
        table(HEADINGS, rows(made.lines[:max_rows]), left=2) if made.lines else [],
        [more] if (more := more_text(made.lines, max_rows)) else [],
        table(("Datasets", *HEADINGS[1:]), rows(made.owners[:max_rows]), left=2) if len(made.owners) > 1 else [],
        _listed(
            "Error budgets",
            [
                f"{clean(line.name, _NAME)}: {budget.severity}: {budget.sentence}"
                for line in made.lines
                for budget in line.budgets
                if budget.severity is not None
            ],
        ),
        _listed(
            f"Missed in {DAYS} days",
            [
                f"{miss.due_at:%Y-%m-%d %H:%M} {clean(miss.subject, _NAME)}: {miss_text(miss)}; {cause_text(miss)}"
                for miss in made.misses
            ],
        ),
        _listed(
            f"Excused in {DAYS} days",
            [f"{clean(outage.reason, _CAUSE) or 'no reason'}: {outage_text(outage)}" for outage in made.outages],
        ),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def more_text(lines: Sequence[Line], limit: int | None) -> str:
    """Return a sentence on the lines beyond ``limit``; empty: there are none."""
    rest = [] if limit is None else [line.over(DAYS) for line in lines[limit:]]
    counted = sum(span.promised - span.excused for span in rest)
    kept = sum(span.kept for span in rest)
    return f"and {datasets(len(rest))} more, which kept {kept:,} of {counted:,} promises" if rest else ""


def headline(made: Report) -> str:
    """Return the report in one sentence."""
    span = made.total.over(DAYS)
    if not span.promised:
        return f"Nothing that was promised fell due in the last {DAYS} days."
    spent = sum(line.state is State.SPENT for line in made.lines)
    share = span.attained
    if share is None:
        return f"Everything that fell due in the last {DAYS} days is excused."
    said = f"{span.kept:,} of {span.promised - span.excused:,} promises kept in {DAYS} days ({percent(share)})"
    budgets = f"; {spent} of {datasets(len(made.lines))} spent the error budget" if spent else ""
    return f"{said}{budgets}."


def _listed(title: str, entries: Sequence[str]) -> list[str]:
    lines = [line for entry in entries[:_MANY] for line in wrap(f"- {entry}", "  ")]
    more = [f"and {len(entries) - _MANY} more"] if len(entries) > _MANY else []
    return [f"{title}:", *lines, *more] if lines else []
