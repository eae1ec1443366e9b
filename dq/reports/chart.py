"""The last two weeks of the worst orgs as a picture that goes with a mail.

The cells of the mail say the same, in every client; the picture shows at a glance whether it grows. It needs the extra
``plots``, and without that there is none.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from importlib import import_module
from types import ModuleType

from attrs import frozen

from dq.model.message import Attachment
from dq.model.names import first_of
from dq.reports.text import clean
from dq.reports.trend import Day, Seen, Trend

ORGS = 10
"""How many orgs are drawn, the worst ones."""
MAX_BYTES = 60_000
"""How long the picture may be; ten orgs take half of it."""

WIDTH = 360  # px; the picture has twice as many dots, for dense screens
_HIGH, _TOP, _BOTTOM = 46, 26, 40  # px of an org, above and below all of them
_LEFT, _RIGHT = 146, 354  # px between which the days are
_COLOURS = 64
_BAR = 26  # px of the highest bar
_INK, _GREY = "#1b2330", "#515b68"
_SYMBOLS = {Seen.WELL: "#067647", Seen.UNKNOWN: "#6d28d9", Seen.BAD: "#b42318"}  # the others are grey
_WORDS = {
    Seen.NO_RUN: "no run",
    Seen.WELL: "well",
    Seen.NOT_JUDGED: "too few",
    Seen.UNKNOWN: "not known",
    Seen.BAD: "bad, no share",
}
_NAMED = 3  # orgs of which the words in place of the picture speak


@frozen(kw_only=True)
class Chart:
    """A picture, and what is said in its place.

    Attributes:
        image: a PNG with an id, by which the HTML shows it.
        width: how wide it is shown, in px.
        alt: what it shows, for those who do not see it.
    """

    image: Attachment
    width: int
    alt: str


def load() -> Mapping[str, ModuleType] | None:
    """Return what draws; None: matplotlib is not installed. The first time it takes a second."""
    try:
        # What writes a PNG, too, which is loaded late else; matplotlib needs and brings PIL.
        names = ("matplotlib.figure", "matplotlib.patches", "matplotlib.backends.backend_agg", "PIL.Image")
        return {name.rpartition(".")[2]: import_module(name) for name in names}
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        return None


def chart(shown: Trend) -> Chart | None:
    """Return the picture of the worst orgs of a trend, each with bars on a scale of its own.

    Args:
        shown: the days; its rows worst first.

    Returns:
        None: matplotlib is not installed, no org was bad by a share, or the picture would be too long.
    """
    rows = [(org.label, days) for org, days in shown.rows.items() if org is not None][:ORGS]
    parts = load()
    if parts is None or not any(_worst(days) for _, days in rows):
        return None
    content = _png(parts, shown.days, rows)
    if len(content) > MAX_BYTES:
        return None
    image = Attachment(name="two-weeks.png", type="image/png", content=content)
    image = Attachment(name=image.name, type=image.type, content=content, cid=f"{image.digest[:32]}@dq")
    return Chart(image=image, width=WIDTH, alt=_alt(shown.days, rows))


def _worst(days: Sequence[Day]) -> int | None:
    """Return on which day most is missing, or too many, the latest of these; None: there is no share."""
    bad = [(abs(day.share), n) for n, day in enumerate(days) if day.share is not None]
    return max(bad)[1] if bad else None


def _said(days: Sequence[date], row: Sequence[Day]) -> str:
    worst = _worst(row)
    return "no share" if worst is None else f"worst {row[worst].text} % on {days[worst].day} {days[worst]:%b}"


def _alt(days: Sequence[date], rows: Sequence[tuple[str, Sequence[Day]]]) -> str:
    said = [
        f"{clean(name, 24)} (bad on {sum(day.seen is Seen.BAD for day in row)} of {len(days)} days, {_said(days, row)})"
        for name, row in rows
    ]
    first, last = days[0], days[-1]
    orgs = "org" if len(rows) == 1 else f"{len(rows)} orgs"
    return (
        f"Bars of the worst {orgs} for each day from {first.day} {first:%b} to {last.day} {last:%b}, as in the table"
        f" above: {first_of(said, _NAMED)}"
    )


def _png(parts: Mapping[str, ModuleType], days: Sequence[date], rows: Sequence[tuple[str, Sequence[Day]]]) -> bytes:
    high = _TOP + _HIGH * len(rows) + _BOTTOM
    figure = parts["figure"].Figure(figsize=(WIDTH / 72, high / 72), dpi=144, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(high, 0))  # so that a unit is a px
    axes.axis("off")
    wide = (_RIGHT - _LEFT) / len(days)
    places = [_LEFT + wide * (n + 0.5) for n in range(len(days))]

    def write(x: float, y: float, text: str, **more: object) -> None:
        # A name is a name: a dollar in it begins no formula.
        axes.text(x, y, text, parse_math=False, **{"va": "center", "fontsize": 11, "color": _GREY, **more})

    write(10, 14, "% of the baseline missing, below the line too many", fontsize=11, zorder=7)
    # What lies between the names and the days is white, so that no name reaches into these.
    rectangle = parts["patches"].Rectangle
    axes.add_patch(rectangle((_LEFT - 4, 0), WIDTH, high, color="white", zorder=4))
    for n, (name, row) in enumerate(rows):
        top = _TOP + _HIGH * n
        write(10, top + 15, clean(name, 26), fontsize=13, color=_INK, zorder=3)
        write(10, top + 31, _said(days, row), fontsize=11, zorder=3)
        shares = [float(day.share or 0) for day in row]
        above, below = max(0.0, *shares), max(0.0, *(-share for share in shares))
        scale = _BAR / (above + below or 1.0)
        zero = top + 8 + above * scale + (0 if above or below else _BAR)
        axes.plot((_LEFT, _RIGHT), (zero, zero), color="#c9ced6", linewidth=1, zorder=5)
        for x, day, share in zip(places, row, shares, strict=True):
            if day.share is None:
                write(x, zero - 8, day.seen.symbol, ha="center", color=_SYMBOLS.get(day.seen, _GREY), zorder=7)
            else:
                size = max(abs(share) * scale, 1.5)
                corner = (x - 0.35 * wide, zero)
                bar = rectangle(corner, 0.7 * wide, -size if share >= 0 else size, color=day.colour, lw=0, zorder=6)
                axes.add_patch(bar)
    foot = high - _BOTTOM + 10
    for x, at in zip(places, days, strict=True):
        write(x, foot, str(at.day), ha="center", fontsize=9.5, zorder=7)
    seen = {day.seen for _, row in rows for day in row if day.share is None}
    key = "    ".join(f"{one.symbol} {_WORDS[one]}" for one in sorted(seen))
    write(WIDTH - 8, foot + 17, key, ha="right", fontsize=10, zorder=7)
    drawn, made = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name in a script that the font does not have is shown as boxes
        figure.savefig(drawn, format="png", metadata={"Software": None})
    with parts["Image"].open(drawn) as picture:  # of few colours, which makes it four times shorter
        picture.convert("RGB").quantize(_COLOURS).save(made, format="png", optimize=True)
    return made.getvalue()
