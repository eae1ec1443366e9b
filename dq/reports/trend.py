"""Two weeks of a reconciliation, day by day: what was found of each org, and where nothing was looked at.

What is shown of a day; of several partitions of it the worst, in this order:

    shown       when
    ----------  --------------------------------------------------------------------------------------
    bad         something was found of the org
    unknown     a stage could not be measured or had no rows, or more orgs were bad than are stored
    not judged  too few records
    well        the run looked at everything and found nothing of the org
    no run      no partition of that day was measured: that is no zero
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta
from fractions import Fraction

from attrs import frozen

from dq.model.group import Group
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.reports.text import clean, table

DAYS = 14
HIGHEST, LOWEST = 8, 1
"""Pixels of the bar of all records, and of the smallest; Outlook for Windows draws no border of more than 8."""


class Seen(enum.IntEnum):
    """What is known of a day, from nothing to the worst."""

    NO_RUN = 0
    WELL = 1
    NOT_JUDGED = 2
    UNKNOWN = 3
    BAD = 4

    @property
    def symbol(self) -> str:
        """Return what stands in the cell; of a bad day its share does, where there is one."""
        return _LOOKS[self][0]

    @property
    def plain(self) -> str:
        """Return the same in ASCII."""
        return _LOOKS[self][1]

    @property
    def words(self) -> str:
        """Return what it means, for the legend."""
        return _LOOKS[self][2]


_LOOKS = {
    Seen.NO_RUN: ("\N{EN DASH}", "-", "no run"),
    Seen.WELL: ("\N{CHECK MARK}", "ok", "well"),
    Seen.NOT_JUDGED: ("\N{MIDDLE DOT}", ".", "too few records to judge"),
    Seen.UNKNOWN: ("?", "?", "not known, as something could not be measured"),
    Seen.BAD: ("!", "!", "bad, and there is no share"),
}
_COLOURS = {
    Severity.INFO: "#1d5fd1",
    Severity.WARNING: "#d99a00",
    Severity.ERROR: "#e0661b",
    Severity.CRITICAL: "#d0382b",
}


@frozen(kw_only=True)
class Day:
    """One day of one org.

    Attributes:
        seen: what is known.
        severity: of a bad day, how bad.
        share: of a bad day, the share of the baseline that is missing, negative: too many; None: there is none.
    """

    seen: Seen
    severity: Severity | None = None
    share: Fraction | None = None

    @property
    def text(self) -> str:
        """Return what stands in the cell, at most four characters: percent of a bad day, else a symbol."""
        if self.share is None:
            return self.seen.symbol
        percent = round(abs(self.share) * 100)
        return ("-" if self.share < 0 else "") + ("<1" if percent < 1 else str(min(percent, 999)))

    @property
    def plain(self) -> str:
        """Return the same in ASCII."""
        return self.seen.plain if self.share is None else self.text

    @property
    def high(self) -> int:
        """Return how high its bar is, in pixels; zero: there is none."""
        if self.seen is not Seen.BAD:
            return 0
        share = Fraction(1) if self.share is None else min(abs(self.share), Fraction(1))
        return LOWEST + round((HIGHEST - LOWEST) * share)

    @property
    def colour(self) -> str:
        """Return the colour of its bar."""
        return _COLOURS[self.severity or Severity.INFO]

    @property
    def rank(self) -> tuple[int, int, Fraction]:
        """How bad it is."""
        return int(self.seen), int(self.severity or 0), abs(self.share or Fraction(0))


@frozen(kw_only=True)
class Trend:
    """The days of some orgs.

    Attributes:
        days: oldest first.
        rows: of each org one ``Day`` for each of ``days``.
    """

    days: tuple[date, ...]
    rows: Mapping[Group | None, tuple[Day, ...]]


@frozen(kw_only=True)
class Strip:
    """One row of the picture: a name, words on it and its days."""

    name: str
    words: str
    days: tuple[Day, ...]


@frozen(kw_only=True)
class Strips:
    """The picture of a trend, as the template and the text twin show it.

    Attributes:
        days: the days of the month, oldest first.
        title: from when to when.
        rows: the orgs.
        share: what a number is the percentage of.
    """

    days: tuple[str, ...]
    title: str
    rows: tuple[Strip, ...]
    share: str

    def legend(self, *, plain: bool = False) -> str:
        """Return what the cells mean that occur; ``plain``: those of the text twin."""
        seen = {day.seen for row in self.rows for day in row.days if day.share is None}
        said = [f"{one.plain if plain else one.symbol} {one.words}" for one in sorted(seen, reverse=True)]
        what = "Numbers" if plain else "Numbers and bars"
        colour = "" if plain else "; the colour is the severity"
        return "; ".join([f"{what}: {self.share}{colour}", *said]) + "."

    def text(self, name: str, width: int) -> list[str]:
        """Return the lines of a table; ``name``: the heading of the names, ``width``: how long these may be."""
        rows = [(clean(row.name, width), *(day.plain for day in row.days)) for row in self.rows]
        return table((name, *self.days), rows, left=1)


def strips(days: Sequence[date], rows: Iterable[Strip], share: str) -> Strips:
    """Return the picture of some days.

    Args:
        days: oldest first.
        rows: each with one ``Day`` for each of ``days``.
        share: what a number is the percentage of, e.g. ``"percent of the baseline that is missing"``.
    """
    first, last = days[0], days[-1]
    return Strips(
        days=tuple(str(day.day) for day in days),
        title=f"{first.day} {first:%b} to {last.day} {last:%b}",
        rows=tuple(rows),
        share=share,
    )


def days_until(last: date) -> tuple[date, ...]:
    """Return the days of a trend that ends with ``last``, oldest first."""
    return tuple(last - timedelta(days=n) for n in range(DAYS - 1, -1, -1))


def trend(
    runs: Iterable[Run], days: Sequence[date], orgs: Iterable[Group | None], *, stored_orgs: int | None = None
) -> Trend:
    """Return the days of ``orgs``.

    Args:
        runs: the latest of each partition, with its summaries and the results of these orgs.
        days: the UTC days to show, oldest first; a partition belongs to the day on which it begins.
        orgs: whose; None: the whole.
        stored_orgs: how many bad orgs of a stage are stored at most; None: all.
    """
    by_day: dict[date, list[Run]] = defaultdict(list)
    for run in runs:
        by_day[run.interval.start.astimezone(UTC).date()].append(run)
    return Trend(
        days=tuple(days),
        rows={
            org: tuple(
                max((_day(run, org, stored_orgs) for run in by_day.get(day, ())), key=lambda d: d.rank, default=_NO_RUN)
                for day in days
            )
            for org in orgs
        },
    )


_NO_RUN = Day(seen=Seen.NO_RUN)


def _day(run: Run, org: Group | None, stored_orgs: int | None) -> Day:
    mine = [result for result in run.results if result.group == org]
    bad = [_bad(result) for result in mine if result.severity is not None and result.outcome is not Outcome.UNMEASURED]
    if bad:
        return max(bad, key=lambda day: day.rank)
    if not run.summaries or any(_is_blind(result, org, stored_orgs) for result in run.summaries):
        return Day(seen=Seen.UNKNOWN)
    return Day(seen=Seen.NOT_JUDGED if any(result.outcome is Outcome.SKIP for result in mine) else Seen.WELL)


def _bad(result: Result) -> Day:
    share = None
    if result.group is None and result.orgs:
        share = Fraction(result.orgs_bad or 0, result.orgs)
    elif result.outcome is Outcome.FAIL and result.rows and not isinstance(result.observed, str | None):
        share = Fraction(result.observed) / result.rows
    return Day(seen=Seen.BAD, severity=result.severity, share=share)


def _is_blind(result: Result, org: Group | None, stored_orgs: int | None) -> bool:
    """Return whether a stage says nothing of an org of which nothing is stored."""
    if result.outcome in (Outcome.UNMEASURED, Outcome.NO_DATA) and not result.orgs:
        return True
    return org is not None and stored_orgs is not None and (result.orgs_bad or 0) > stored_orgs
