"""The calendar heat map of promises: a row per dataset, a column per day; and the same as a picture."""

from __future__ import annotations

import enum
import io
import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib import import_module

from attrs import frozen

from dq.model.errors import UsageError
from dq.model.kept import Answer, Kept
from dq.reports.text import clean

DAYS = 28
MOST_ROWS = 100
"""A picture shows no more datasets: it would be too high to look at."""
_CELL = 0.29  # inches


class Mark(enum.StrEnum):
    """What is shown of one day, from good to bad; of several partitions the worst counts."""

    NOTHING = "nothing"
    WAITS = "waits"
    MET = "met"
    EXCUSED = "excused"
    LATE = "late"
    WRONG = "wrong"
    MISSING = "missing"

    @property
    def symbol(self) -> str:
        """Return one character, so that it reads without colour."""
        return _LOOKS[self][0]

    @property
    def words(self) -> str:
        """Return what it means, for the legend."""
        return _LOOKS[self][1]

    @property
    def ground(self) -> str:
        """Return the colour behind the symbol."""
        return _LOOKS[self][2]

    @property
    def ink(self) -> str:
        """Return the colour of the symbol."""
        return _LOOKS[self][3]

    @property
    def rank(self) -> int:
        """How bad it is, from 0."""
        return _RANKS[self]


_LOOKS = {
    Mark.NOTHING: ("\N{MIDDLE DOT}", "nothing promised", "#f3f4f6", "#5b6675"),
    Mark.WAITS: ("\N{HORIZONTAL ELLIPSIS}", "still to come", "#e0eafb", "#1d4ba8"),
    Mark.MET: ("\N{CHECK MARK}", "met", "#c7ebd5", "#0a5a36"),
    Mark.EXCUSED: ("E", "excused", "#cdd4dd", "#29323f"),
    Mark.LATE: ("L", "late", "#f7b84b", "#3d2600"),
    Mark.WRONG: ("W", "wrong", "#6d28d9", "#ffffff"),
    Mark.MISSING: ("M", "missing", "#b42318", "#ffffff"),
}
_RANKS = {mark: rank for rank, mark in enumerate(Mark)}


@frozen(kw_only=True)
class HeatRow:
    """One dataset.

    Attributes:
        subject: its name.
        marks: one for each day of the map.
    """

    subject: str
    marks: tuple[Mark, ...]


@frozen(kw_only=True)
class Heat:
    """A heat map.

    Attributes:
        days: the UTC days on which partitions fell due, oldest first; the last is today.
        rows: the datasets, in the order in which they are shown.
    """

    days: tuple[date, ...]
    rows: tuple[HeatRow, ...]

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The marks that occur, from good to bad, as the legend shows them."""
        seen = {mark for row in self.rows for mark in row.marks}
        return tuple(mark for mark in (*Mark, Mark.NOTHING)[1:] if mark in seen)


def mark_of(kept: Kept) -> Mark:
    """Return what is shown of one promise; wrong data that came late is wrong."""
    if kept.answer.waits:
        return Mark.WAITS
    if kept.excuse or kept.answer is Answer.EXCUSED:
        return Mark.EXCUSED
    if kept.answer.overdue:
        return Mark.MISSING
    if kept.wrong or kept.answer is Answer.DATA_WRONG:
        return Mark.WRONG
    return Mark.LATE if kept.answer.missed else Mark.MET


def heat(subjects: Iterable[tuple[str, Sequence[Kept]]], now: datetime, days: int = DAYS) -> Heat:
    """Return the heat map of the last days.

    Args:
        subjects: each name, and what came of its promises in any order.
        now: an aware time; its UTC day is the last column.
        days: how many columns.
    """
    today = now.astimezone(UTC).date()
    shown = tuple(today - timedelta(days=n) for n in range(days - 1, -1, -1))
    return Heat(days=shown, rows=tuple(HeatRow(subject=name, marks=_marks(kept, shown)) for name, kept in subjects))


def _marks(kept: Iterable[Kept], days: Sequence[date]) -> tuple[Mark, ...]:
    worst: dict[date, Mark] = {}
    for one in kept:
        day = one.due_at.astimezone(UTC).date()
        if day >= days[0]:
            worst[day] = max(worst.get(day, Mark.NOTHING), mark_of(one), key=_RANKS.__getitem__)
    return tuple(worst.get(day, Mark.NOTHING) for day in days)


def heat_png(shown: Heat, title: str = "") -> bytes:
    """Return the heat map as a PNG; of more than ``MOST_ROWS`` datasets the first ones.

    Args:
        shown: the heat map.
        title: what stands above it.

    Raises:
        UsageError: where matplotlib is not installed.
    """
    names = ("figure", "font_manager", "path", "textpath")
    try:
        figures, fonts, paths, texts = (import_module(f"matplotlib.{name}") for name in names)
    except ImportError:
        raise UsageError("a picture needs the Python package 'matplotlib'; pip install 'dq-sla[plots]'") from None
    rows, count = shown.rows[:MOST_ROWS], len(shown.days)
    high, left = max(len(rows), 1), 11  # in cells
    figure = figures.Figure(figsize=(_CELL * (left + count + 0.3), _CELL * (high + 5.2)), dpi=144, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-left, count + 0.3), ylim=(high + 2.2, -3))
    axes.axis("off")

    def write(x: float, y: float, text: str, **more: object) -> None:
        # A name is a name: a dollar in it begins no formula.
        axes.text(x, y, text, parse_math=False, **{"va": "center", "fontsize": 8, "color": "#1b2330", **more})

    def cells(mark: Mark, places: Sequence[tuple[float, float]]) -> None:
        # All of a mark at once, its symbol as a shape: thousands of texts would take seconds.
        across, down = [x + 0.5 for x, _ in places], [y + 0.5 for _, y in places]
        axes.scatter(across, down, s=(0.9 * _CELL * 72) ** 2, marker="s", color=mark.ground, linewidths=0)
        symbol = texts.TextPath((0, 0), mark.symbol, size=8, prop=fonts.FontProperties(weight="bold"))
        shape = paths.Path(symbol.vertices - symbol.get_extents().get_points().mean(axis=0), symbol.codes)
        size = (2 * abs(shape.vertices).max()) ** 2
        axes.scatter(across, down, s=size, marker=shape, color=mark.ink, linewidths=0, snap=False)

    more = f" (the first {MOST_ROWS} of {len(shown.rows)})" if len(shown.rows) > MOST_ROWS else ""
    write(0.4 - left, -2.3, clean(title, 80) + more, fontsize=11, fontweight="bold")
    for x, day in enumerate(shown.days):
        if x % 7 == 0:
            write(x + 0.1, -1.2, f"{day.day} {day:%b}", fontweight="bold")
        write(x + 0.5, -0.4, f"{day.day}", ha="center", color="#5b6675", fontsize=7)
    for y, row in enumerate(rows):
        write(-0.3, y + 0.5, clean(row.subject, 44), ha="right")
    if not rows:
        write(0, 0.5, "nothing is promised")
    for n, mark in enumerate(shown.marks):
        key = (n * 4.6 - left + 0.4, high + 0.7)
        write(key[0] + 1.3, key[1] + 0.5, mark.words)
        cells(mark, [key, *((x, y) for y, row in enumerate(rows) for x, m in enumerate(row.marks) if m is mark)])
    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in a script that the font does not have is shown as boxes
        figure.savefig(made, format="png", metadata={"Software": None})
    return made.getvalue()
