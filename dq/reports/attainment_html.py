"""The SLA report as HTML: a section for an e-mail, or a page of its own."""

from __future__ import annotations

import css_inline
from attrs import frozen
from markupsafe import Markup

from dq.model.budget import State
from dq.reports.attainment import (
    NOBODY,
    Line,
    Miss,
    Report,
    cause_text,
    counts,
    headline,
    late_text,
    left_text,
    more_text,
    outage_text,
    share_text,
)
from dq.reports.heat import DAYS, Heat
from dq.reports.text import clean, short_time
from dq.template import render_html

MAX_ROWS = 30
MAX_BYTES = 60_000
"""Bytes of a section: an e-mail has room for something beside it, because Gmail cuts what is longer than 102 kB."""

_NAME, _CAUSE = 80, 200
_HEADINGS = ("Promised", "In time", "Late", "Wrong", "Excused", "7 days", "28 days", "90 days", "Budget left")
_TONES = {State.SPENT: "spent", State.FAST_BURN: "fast", State.SLOW_BURN: "slow"}
_TAGS = {State.SPENT: "budget spent", State.FAST_BURN: "burns fast", State.SLOW_BURN: "burns"}
_COLOURS = {State.SPENT: "#b42318", State.FAST_BURN: "#a16207", State.SLOW_BURN: "#1d5fd1"}
_FINE = "#1f8a55"
_FOOT = (
    f"Counted is what fell due up to {{at}} UTC; counts are of {DAYS} days. Kept: in time, and not found wrong. "
    "Excused partitions count for nothing. Days are those on which partitions fell due, in UTC; of several in one day "
    "the worst is shown."
)
_MISSES = 12
INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, minify_css=True)
"""Puts the styles of a mail into its tags; asks nobody for any."""

PLACE = "<p>promises</p>"
"""Where a page has the section: its styles are inside already, those of the page are not for it."""


@frozen(kw_only=True)
class _Row:
    """A row of a table in words; ``bar``: how full the bar of the budget is in percent, None: there is none."""

    name: str
    small: str
    tone: str
    tag: str
    cells: tuple[tuple[str, bool], ...]
    left: str
    bar: int | None
    colour: str


@frozen(kw_only=True)
class _Budget:
    """A budget that is spent or burns, in words."""

    tone: str
    tag: str
    name: str
    sentence: str


@frozen(kw_only=True)
class _Missed:
    """A miss in words."""

    due: str
    name: str
    tone: str
    tag: str
    said: str
    cause: str


def section(made: Report, *, dark: bool = True, max_rows: int = MAX_ROWS, max_bytes: int = MAX_BYTES) -> str:
    """Return the report as one HTML element with its styles inside, without script or remote content.

    Args:
        made: the report.
        dark: whether it may turn dark where the screen is; only where what is around it does so too.
        max_rows: that many of the worst datasets and owners are shown, and of the newest misses the first dozen; what
            is left out is counted. Fewer where the HTML would become too long.
        max_bytes: how long it may be, in bytes of UTF-8.
    """
    html = ""
    for limit in (max_rows, max_rows // 2, max_rows // 4, max_rows // 10, 0):
        html = _section(made, limit, dark=dark)
        if len(html.encode()) < max_bytes:
            break
    return html


def placed(html: str, made: Report | None, max_rows: int, max_bytes: int) -> str:
    """Return a page with the section in its ``PLACE``, for which it has what is left of ``max_bytes``.

    Args:
        html: the page, with its styles inside.
        made: the report; None: there is none.
        max_rows: as for ``section``.
        max_bytes: how long the page may be, in bytes of UTF-8.
    """
    if made is None:
        return html
    return html.replace(PLACE, section(made, max_rows=max_rows, max_bytes=max_bytes - len(html.encode())))


def page(made: Report, title: str, *, max_rows: int = 3 * MAX_ROWS) -> str:
    """Return the report as one HTML document that needs nothing else; under 102 kB, so that it can be mailed.

    Args:
        made: the report.
        title: what stands above it, e.g. ``"prod - SLA report"``.
        max_rows: as for ``section``.
    """
    return render_html(
        "reports/sla.html.j2",
        title=clean(title, _NAME),
        colour=_colour(made.total),
        section=Markup(section(made, max_rows=max_rows, max_bytes=95_000)),  # noqa: S704  # ours, its values are escaped
    )


def _section(made: Report, limit: int, *, dark: bool) -> str:
    fragment = render_html(
        "reports/sla_section.html.j2",
        dark=dark,
        lead=headline(made),
        stats=_stats(made),
        heat=[(clean(row.subject, _NAME), row.marks) for row in made.heat.rows[:limit]],
        weeks=_weeks(made.heat),
        days=[f"{day.day}" for day in made.heat.days],
        marks=made.heat.marks,
        budgets=_budgets(made, limit),
        headings=_HEADINGS,
        lines=[_row(line, clean(line.name, _NAME), _small(line)) for line in made.lines[:limit]],
        more=more_text(made.lines, limit),
        owners=_owners(made, limit),
        misses=[_missed(miss) for miss in made.misses[: min(limit, _MISSES)]],
        more_misses=_left_out(len(made.misses) - min(limit, _MISSES), "misses"),
        outages=[
            (clean(outage.reason, _CAUSE) or "No reason given", outage_text(outage)) for outage in made.outages[:limit]
        ],
        foot=_FOOT.format(at=f"{made.made_at:%Y-%m-%d %H:%M}"),
    )
    return INLINER.inline_fragment(fragment, css=render_html("reports/sla.css.j2"))


def _stats(made: Report) -> list[tuple[str, str, bool]]:
    """Return name, number and whether it is bad."""
    span = made.total.over(DAYS)
    if not span.promised:
        return []
    spent = sum(line.state is State.SPENT for line in made.lines)
    shares = [(f"Kept in {s.days} days", share_text(s.attained), False) for s in made.total.spans]
    numbers = (
        ("Late", span.late, False),
        ("Still missing", span.missing, True),
        ("Wrong", span.wrong, True),
        ("Excused", span.excused, False),
        ("Budgets spent", spent, True),
    )
    return [*shares, *((name, f"{number:,}", bad and number > 0) for name, number, bad in numbers)]


def _weeks(shown: Heat) -> list[tuple[str, int]]:
    """Return the first day of each seven, and how many days it heads."""
    return [
        (f"{day.day} {day:%b}", min(7, len(shown.days) - first)) for first, day in list(enumerate(shown.days))[::7]
    ]


def _row(line: Line, name: str, small: str) -> _Row:
    numbers = counts(line.over(DAYS))
    spans = [share_text(span.attained) for span in line.spans]
    state = line.state if line.state in _TONES else None
    return _Row(
        name=name,
        small=small,
        tone="" if state is None else _TONES[state],
        tag="" if state is None else _TAGS[state],
        cells=(
            *((f"{number:,}", number > 0 and 2 <= n <= 3) for n, number in enumerate(numbers)),
            *((text, n == 1) for n, text in enumerate(spans)),
        ),
        left=left_text(line),
        bar=None if line.left is None else max(0, min(100, round(line.left * 100))),
        colour=_colour(line),
    )


def _small(line: Line) -> str:
    """Return what stands below the name of a dataset: whose it is, and what is promised."""
    return " · ".join(filter(None, (clean(line.owner or NOBODY, _NAME), clean(line.promise, _CAUSE))))


def _budgets(made: Report, limit: int) -> list[_Budget]:
    return [
        _Budget(
            tone=_TONES.get(budget.state, ""),
            tag=_TAGS.get(budget.state, ""),
            name=clean(line.name, _NAME),
            sentence=budget.sentence,
        )
        for line in made.lines[:limit]
        for budget in line.budgets
        if budget.severity is not None
    ]


def _colour(line: Line) -> str:
    return _COLOURS.get(line.state, _FINE) if line.state is not None else _FINE


def _owners(made: Report, limit: int) -> list[_Row]:
    return [_row(line, clean(line.owner or NOBODY, _NAME), line.promise) for line in made.owners[:limit]]


def _left_out(count: int, what: str) -> str:
    return f"and {count:,} more {what}" if count > 0 else ""


def _missed(miss: Miss) -> _Missed:
    return _Missed(
        due=short_time(miss.due_at),
        name=clean(miss.subject, _NAME),
        tone=miss.what.split()[-1],
        tag=f"{miss.count} x {miss.what}" if miss.count > 1 else miss.what,
        said=late_text(miss),
        cause=cause_text(miss),
    )
