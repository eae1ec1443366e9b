"""Calendars: the days on which data is promised, or on which a promise may fall due.

A day is in a calendar when it is one of its ``dates``, or when everything else that is given holds:

    given         holds on
    ------------  ------------------------------------------------------------------------------------------------
    weekdays      these days of the week
    holidays      every day that is no public holiday there
    without       every day but these
    month_end     the last day of each month on which all of the above holds: with weekdays, the last working day

With ``dates`` alone, there are no other days.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from attrs import field, frozen

from dq.model.errors import DeclarationError

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_PLACE = re.compile(r"[A-Z]{2,5}(-[A-Za-z0-9 ]+)?")
_WORKING = frozenset(range(1, 6))
_LONGEST_REST = timedelta(days=366)
"""A calendar without a day for longer than this has none."""


def _each(value: object) -> tuple[Any, ...]:
    if isinstance(value, str | date):
        return (value,)
    if isinstance(value, Iterable):
        return tuple(value)
    raise DeclarationError(f"{value!r} is neither a text nor a list of texts")


def _weekdays(value: str | Iterable[str] | None) -> frozenset[int] | None:
    if value is None:
        return None
    found: set[int] = set()
    for text in value.split(",") if isinstance(value, str) else _each(value):
        first, colon, last = (part.strip().lower() for part in str(text).partition(":"))
        begin, end = _weekday(first, text), _weekday(last if colon else first, text)
        if begin > end:
            raise DeclarationError(f"weekdays={text!r} ends before it begins; the week begins on Monday")
        found.update(range(begin, end + 1))
    if not found:
        raise DeclarationError(f"weekdays={value!r} names no day")
    return frozenset(found)


def _weekday(text: str, whole: object) -> int:
    for number, name in enumerate(_DAYS, 1):
        if len(text) >= 3 and name.startswith(text):
            return number
    raise DeclarationError(f'weekdays={whole!r} is not a day of the week, nor days such as "monday:friday"')


def _places(value: str | Iterable[str]) -> tuple[str, ...]:
    places = _each(value)
    for place in places:
        if not isinstance(place, str) or not _PLACE.fullmatch(place):
            raise DeclarationError(f'holidays={place!r} is not a country, such as "DE", "DE-BY" or "US"')
    return places


def _dates(value: Iterable[str | date]) -> frozenset[date]:
    found: set[date] = set()
    for one in _each(value):
        is_day = isinstance(one, date) and not isinstance(one, datetime)  # which equals no date
        first, last = (one, one) if is_day else _span(str(one))
        found.update(first + timedelta(days=n) for n in range((last - first).days + 1))
    return frozenset(found)


def _span(text: str) -> tuple[date, date]:
    first, colon, last = text.partition(":")
    try:
        span = date.fromisoformat(first), date.fromisoformat(last if colon else first)
    except ValueError:
        span = None
    if span is None or not timedelta(0) <= span[1] - span[0] <= _LONGEST_REST:
        raise DeclarationError(
            f'{text!r} is no day, like "2026-12-25", and no days of at most a year, like "2026-12-24:2026-12-26"'
        )
    return span


@frozen(kw_only=True)
class Calendar:
    """A set of days; see the table above. A day is of the calendar of whoever asks: it has no time zone.

    Attributes:
        weekdays: ``"monday:friday"``, ``"sat,sun"``; None: every day of the week.
        holidays: no day that is a public holiday there: a country (``"DE"``), a part of one (``"DE-BY"``) or a market
            (``"NYSE"``, ``"ECB"``), as the package ``holidays`` names them; several may be given.
        dates: days that are in it whatever else is given, ``"2026-12-24"`` or ``"2026-12-24:2026-12-26"``.
        without: days that are not, written alike.
        month_end: of each month the last day only.
    """

    weekdays: frozenset[int] | None = field(default=None, converter=_weekdays)
    holidays: tuple[str, ...] = field(default=(), converter=_places)
    dates: frozenset[date] = field(default=frozenset(), converter=_dates)
    without: frozenset[date] = field(default=frozenset(), converter=_dates)
    month_end: bool = False

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.month_end, bool):
            raise DeclarationError(f"month_end={self.month_end!r} is neither True nor False")
        if self.weekdays is None and not (self.holidays or self.dates or self.without or self.month_end):
            raise DeclarationError("a Calendar that names nothing holds every day; leave it out")

    @classmethod
    def of(cls, value: str | Calendar) -> Calendar:
        """Return the calendar that ``value`` is or names.

        Args:
            value: ``"weekdays"`` (Monday to Friday), ``"month end"``, days of the week such as ``"monday:saturday"``,
                or a place such as ``"DE-BY"``: Monday to Friday without its holidays.

        Raises:
            DeclarationError: when it names none.
        """
        if isinstance(value, Calendar):
            return value
        if not isinstance(value, str):
            raise DeclarationError(f"{value!r} is not a Calendar")
        if value == "weekdays":
            return cls(weekdays="monday:friday")
        if value == "month end":
            return cls(month_end=True)
        if _PLACE.fullmatch(value):
            return cls(weekdays="monday:friday", holidays=value)
        try:
            return cls(weekdays=value)
        except DeclarationError:
            raise DeclarationError(
                f'{value!r} is no calendar; write "weekdays", "month end", "monday:saturday", "DE-BY", or Calendar(...)'
            ) from None

    def __contains__(self, day: date) -> bool:
        """Return whether ``day`` is in it.

        Raises:
            DeclarationError: when nothing is known of the holidays of a place.
        """
        if day in self.dates:
            return True
        if self.dates and self.weekdays is None and not (self.holidays or self.month_end):
            return False
        if not self._ordinary(day):
            return False
        if not self.month_end:
            return True
        last = day.replace(day=monthrange(day.year, day.month)[1])
        return not any(self._ordinary(day + timedelta(days=n)) for n in range(1, (last - day).days + 1))

    def _ordinary(self, day: date) -> bool:
        if day in self.without or (self.weekdays is not None and day.isoweekday() not in self.weekdays):
            return False
        return not any(day in public_holidays(place, day.year) for place in self.holidays)

    def next(self, day: date) -> date:
        """Return ``day``, or the first day after it that is in the calendar.

        Raises:
            DeclarationError: when none is within a year.
        """
        for n in range(_LONGEST_REST.days + 1):
            if day + timedelta(days=n) in self:
                return day + timedelta(days=n)
        raise DeclarationError(f"the calendar ({self}) has no day in the year after {day}")

    def to_json(self) -> dict[str, object]:
        """Return it as JSON can hold it."""
        return {
            "weekdays": None if self.weekdays is None else [_DAYS[number - 1] for number in sorted(self.weekdays)],
            "holidays": list(self.holidays),
            "dates": [day.isoformat() for day in sorted(self.dates)],
            "without": [day.isoformat() for day in sorted(self.without)],
            "month_end": self.month_end,
        }

    def __str__(self) -> str:
        said = []
        if self.weekdays is not None:
            names = ", ".join(_DAYS[number - 1].capitalize() for number in sorted(self.weekdays))
            said.append("weekdays" if self.weekdays == _WORKING else names)
        if self.month_end:
            said.append("month end")
        if self.holidays:
            said.append(f"no holidays of {', '.join(self.holidays)}")
        if self.without:
            said.append(f"without {_own_days(self.without)}")
        if self.dates:
            said.append(_own_days(self.dates))
        return ", ".join(said)


def _own_days(days: Collection[date]) -> str:
    return f"{len(days)} named {'day' if len(days) == 1 else 'days'}"


@lru_cache(maxsize=512)
def public_holidays(place: str, year: int) -> frozenset[date]:
    """Return the public holidays of a country, a part of one, or a market.

    Source: the package ``holidays``, which is imported here because few calendars name a place.

    Args:
        place: such as ``DE``, ``DE-BY``, ``NYSE``.
        year: of the Gregorian calendar.

    Raises:
        DeclarationError: when the package knows no such place.
    """
    import holidays  # noqa: PLC0415  # see above

    country, _, part = place.partition("-")
    try:
        return frozenset(holidays.country_holidays(country, subdiv=part or None, years=year))
    except NotImplementedError:
        pass
    try:
        if not part:
            return frozenset(holidays.financial_holidays(country, years=year))
    except NotImplementedError:
        pass
    raise DeclarationError(
        f'holidays={place!r}: the package holidays knows no such place; a country is written like "DE", a part of it '
        'like "DE-BY", a market like "NYSE"'
    )
