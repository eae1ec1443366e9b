"""Times at which a route tells nothing: Alertmanager's time intervals, and days of their own for holidays.

A moment is inside a time interval when each field that is given holds it; without a field, everything does. What is
looked at is the clock and the calendar of ``location``.

    field          written as                                  holds
    -------------  ------------------------------------------  ------------------------------------------------------
    times          start_time "09:00", end_time "17:00"        from the first minute up to, not with, the last; the
                                                               end of the day is "24:00"; never over midnight
    weekdays       "monday:friday", "sunday"                   sunday is the first day: "saturday:sunday" is refused
    days_of_month  "1:5", "-3:-1", "20:-1"                     -1 is the last day of the month; days that a month does
                                                               not have are none: "30:31" holds nothing in February
    months         "january:march", "5", "11:12"
    years          "2026", "2026:2028"
    dates          "2026-12-25", "2026-12-24:2026-12-26"       dq's own
    location       "Europe/Berlin"                             not given: UTC

Where clocks go forward, what is left out is inside of nothing; where they go back, both hours are inside.
(Source: Alertmanager, ``timeinterval/timeinterval.go``, Apache-2.0. Stricter here: a month is 1 to 12; and an empty
list, which there holds nothing, is refused.)
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import field, frozen

from dq.alerting.routing import Chosen
from dq.model.errors import ConfigError
from dq.toml import Section

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_DAY = timedelta(days=1)
_SHORTEST_MONTH = 28
AHEAD = timedelta(days=7)
"""How far ahead ``next_change`` looks."""

Range = tuple[int, int]


@frozen(kw_only=True)
class TimeInterval:
    """A set of moments, by the table above. None: the field is not given.

    Attributes:
        times: minutes of the day, the second one not inside.
        weekdays: 0 is Sunday.
        days_of_month: 1 to 31, or -1 for the last to -31.
        months: 1 to 12.
        years: as they are counted.
        dates: days, first and last.
        location: whose clock and calendar.
    """

    times: tuple[Range, ...] | None = None
    weekdays: tuple[Range, ...] | None = None
    days_of_month: tuple[Range, ...] | None = None
    months: tuple[Range, ...] | None = None
    years: tuple[Range, ...] | None = None
    dates: tuple[tuple[date, date], ...] | None = None
    location: ZoneInfo = field(factory=lambda: ZoneInfo("UTC"))

    def contains(self, moment: datetime) -> bool:
        """Return whether ``moment``, with any zone, is inside."""
        local = moment.astimezone(self.location)
        minute = local.hour * 60 + local.minute
        return (
            (self.times is None or any(start <= minute < end for start, end in self.times))
            and _holds(self.weekdays, local.isoweekday() % 7)
            and (self.days_of_month is None or any(_in_month(local, *days) for days in self.days_of_month))
            and _holds(self.months, local.month)
            and _holds(self.years, local.year)
            and (self.dates is None or any(first <= local.date() <= last for first, last in self.dates))
        )

    def marks(self, since: datetime, until: datetime) -> Iterator[datetime]:
        """Yield, in no order, every moment from ``since`` to ``until`` at which ``contains`` may change, and others."""
        minutes = {0, *(minute % (24 * 60) for span in self.times or () for minute in span)}
        day = since.astimezone(self.location).date()
        while (midnight := self._at(day, 0)) <= until:
            after = self._at(day + _DAY, 0)
            yield from (self._at(day, minute, fold) for minute in minutes for fold in (0, 1))
            if after - midnight != _DAY:  # the clocks are changed on this day, at a quarter of an hour
                yield from (midnight + timedelta(minutes=15 * n) for n in range(4 * 26))
            day += _DAY

    def _at(self, day: date, minute: int, fold: int = 0) -> datetime:
        clock = time(minute // 60, minute % 60, tzinfo=self.location, fold=fold)
        return datetime.combine(day, clock).astimezone(UTC)


def _holds(ranges: Sequence[Range] | None, number: int) -> bool:
    return ranges is None or any(first <= number <= last for first, last in ranges)


def _in_month(local: datetime, first: int, last: int) -> bool:
    length = monthrange(local.year, local.month)[1]
    first, last = (day if day > 0 else length + day + 1 for day in (first, last))
    return first <= local.day <= last


# ---------------------------------------------------------------------------------------------------------- decisions


def containing(
    names: Sequence[str], intervals: Mapping[str, Sequence[TimeInterval]], moment: datetime
) -> tuple[str, ...]:
    """Return those of ``names`` that have an interval with ``moment`` inside."""
    return tuple(name for name in names if any(interval.contains(moment) for interval in intervals[name]))


def muted_by_time(chosen: Chosen, intervals: Mapping[str, Sequence[TimeInterval]], now: datetime) -> str | None:
    """Return what mutes the route now: names of its intervals, or ``outside of NAME``; None when nothing does.

    active_time_intervals   mute_time_intervals   answer
    ----------------------  --------------------  -------------------------------
    none, or one holds now  none holds now        None
    none, or one holds now  some hold now         their names, with commas
    some, none holds now    anything              "outside of " and their names
    """
    active = chosen.active_time_intervals
    if active and not containing(active, intervals, now):
        return f"outside of {', '.join(active)}"
    return ", ".join(containing(chosen.mute_time_intervals, intervals, now)) or None


def next_change(chosen: Chosen, intervals: Mapping[str, Sequence[TimeInterval]], now: datetime) -> datetime | None:
    """Return the next moment at which ``muted_by_time`` answers otherwise, at most ``AHEAD``; None: it never does.

    After ``AHEAD`` without a change it is time to ask again.
    """
    names = {*chosen.active_time_intervals, *chosen.mute_time_intervals}
    if not names:
        return None
    until, answer = now + AHEAD, muted_by_time(chosen, intervals, now)
    marks = {mark for name in names for interval in intervals[name] for mark in interval.marks(now, until)}
    ahead = sorted(mark for mark in marks if now < mark < until)
    return next((mark for mark in ahead if muted_by_time(chosen, intervals, mark) != answer), until)


# ------------------------------------------------------------------------------------------------------------ reading


def parse_time_interval(section: Section) -> TimeInterval:
    """Return the time interval that a table of TOML describes, by the table above.

    Raises:
        ConfigError: when it describes none, with the place.
    """
    interval = TimeInterval(
        times=_times(section),
        weekdays=_ranges(section, "weekdays", _weekday),
        days_of_month=_ranges(section, "days_of_month", _day_of_month),
        months=_ranges(section, "months", _month),
        years=_ranges(section, "years", _year),
        dates=_dates(section),
        location=_location(section),
    )
    section.refuse_unknown()
    return interval


def _listed(section: Section, key: str, what: str) -> list[Any] | None:
    values: list[Any] = section.get(key, list, f"a list of {what}", [])
    if key not in section.raw:
        return None
    if not values:
        raise ConfigError(f"{section.place(key)}: it is empty; leave it out where everything is meant")
    return values


def _times(section: Section) -> tuple[Range, ...] | None:
    spans = _listed(section, "times", 'tables, {start_time = "09:00", end_time = "17:00"}')
    return None if spans is None else tuple(_span(section, n, span) for n, span in enumerate(spans))


def _span(section: Section, number: int, raw: Any) -> Range:
    place = section.place("times")
    if not isinstance(raw, dict):
        raise ConfigError(f'{place}: it must be a list of tables, {{start_time = "09:00", end_time = "17:00"}}')
    table = Section(section.file, f"{section.path}.times[{number}]".lstrip("."), raw, section.root)
    start, end = (_minute(table, key) for key in ("start_time", "end_time"))
    table.refuse_unknown()
    if start >= end:
        raise ConfigError(f"{table.place('end_time')}: it must come after start_time; a night is two times")
    return start, end


def _minute(table: Section, key: str) -> int:
    text = table.text(key)
    if not _CLOCK.fullmatch(text):
        raise ConfigError(f'{table.place(key)}: {text!r} is no time of a day; write it like "09:00", up to "24:00"')
    return int(text[:2]) * 60 + int(text[3:])


def _ranges(section: Section, key: str, number: Callable[[str], int]) -> tuple[Range, ...] | None:
    values = _listed(section, key, "texts")
    if values is None:
        return None
    found = []
    for value in values:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise ConfigError(f"{section.place(key)}: it must be a list of texts")
        first, colon, last = str(value).lower().partition(":")
        try:
            span = number(first), number(last if colon else first)
            _refuse_backwards(*span)
        except ValueError as error:
            raise ConfigError(f"{section.place(key)}: {str(value)!r}: {error}") from None
        found.append(span)
    return tuple(found)


def _weekday(text: str) -> int:
    if text not in _WEEKDAYS:
        raise ValueError(f"{text!r} is not a weekday; the week is {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(text)


def _month(text: str) -> int:
    number = _MONTHS.index(text) + 1 if text in _MONTHS else int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= number <= len(_MONTHS):
        raise ValueError(f"{text!r} is not a month; write its English name or its number")
    return number


def _day_of_month(text: str) -> int:
    number = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= abs(number) <= 31:
        raise ValueError(f"{text!r} is not a day of a month; it is 1 to 31, or -1 (the last) to -31")
    return number


def _year(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is not a year")
    return int(text)


def _refuse_backwards(first: int, last: int) -> None:
    """Refuse a range that ends before it begins; of days of a month, one that does so in every month."""
    if first < 0 < last:
        raise ValueError("it begins counted from the end, so it must end so")
    begin, end = (number if number >= 0 else _SHORTEST_MONTH + number for number in (first, last))
    if begin > end:
        raise ValueError("it ends before it begins")


def _dates(section: Section) -> tuple[tuple[date, date], ...] | None:
    values = _listed(section, "dates", "days")
    if values is None:
        return None
    found = []
    for value in values:
        first, colon, last = str(value).partition(":")
        try:
            span = date.fromisoformat(first), date.fromisoformat(last if colon else first)
        except ValueError:
            span = None
        if span is None or span[0] > span[1]:
            raise ConfigError(
                f'{section.place("dates")}: {str(value)!r} is no day, like "2026-12-25", and no range of days, like '
                '"2026-12-24:2026-12-26"'
            )
        found.append(span)
    return tuple(found)


def _location(section: Section) -> ZoneInfo:
    name = section.text("location", "UTC")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(
            f'{section.place("location")}: there is no time zone {name!r}; write it like "Europe/Berlin"'
        ) from None
