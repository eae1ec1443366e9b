"""Calendars, and what a promise makes of them: which days are promised, and on which day it falls due."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq.model.calendar import Calendar
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.severity import Severity
from dq.model.sla import Sla

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def days(first: str, last: str) -> list[date]:
    begin = date.fromisoformat(first)
    return [begin + n * DAY for n in range((date.fromisoformat(last) - begin).days + 1)]


def of(calendar: Calendar, first: str, last: str) -> str:
    """Which days of a span are in it, as `MM-DD`."""
    return " ".join(f"{day:%m-%d}" for day in days(first, last) if day in calendar)


# ------------------------------------------------------------------------------------------------------ which days


@pytest.mark.parametrize(
    ("calendar", "first", "last", "held"),
    [
        ("weekdays", "2026-11-19", "2026-11-24", "11-19 11-20 11-23 11-24"),
        ("monday:saturday", "2026-11-20", "2026-11-23", "11-20 11-21 11-23"),
        ("sat,sun", "2026-11-19", "2026-11-24", "11-21 11-22"),
        ("Tue", "2026-11-16", "2026-11-29", "11-17 11-24"),
        # month ends, a leap day, a year end; 1900 and 2100 were and will be no leap years, 2000 was one
        ("month end", "2024-01-30", "2024-03-01", "01-31 02-29"),
        ("month end", "2028-01-30", "2028-03-01", "01-31 02-29"),
        ("month end", "2023-02-01", "2023-03-01", "02-28"),
        ("month end", "2000-02-27", "2000-03-01", "02-29"),
        ("month end", "2100-02-27", "2100-03-01", "02-28"),
        ("month end", "2026-12-30", "2027-01-02", "12-31"),
        # holidays: Corpus Christi, Epiphany and All Saints are none in all of Germany, but in Bavaria
        ("DE", "2026-06-03", "2026-06-05", "06-03 06-04 06-05"),
        ("DE-BY", "2026-06-03", "2026-06-05", "06-03 06-05"),
        ("DE-BY", "2026-01-05", "2026-01-07", "01-05 01-07"),
        ("DE", "2026-12-24", "2027-01-04", "12-24 12-28 12-29 12-30 12-31 01-04"),
        # Good Friday is none in the United States, and the stock exchange is closed; 4 July 2026 is a Saturday
        ("US", "2026-04-02", "2026-04-06", "04-02 04-03 04-06"),
        ("NYSE", "2026-04-02", "2026-04-06", "04-02 04-06"),
        ("US", "2026-07-02", "2026-07-06", "07-02 07-06"),
        ("US", "2026-11-25", "2026-11-27", "11-25 11-27"),
        # who works on Saturdays has holidays there, too
        (Calendar(weekdays="monday:saturday", holidays="DE"), "2026-10-02", "2026-10-05", "10-02 10-05"),
        (Calendar(holidays="DE"), "2026-10-02", "2026-10-05", "10-02 10-04 10-05"),
        (Calendar(holidays=("DE", "US"), weekdays="mon:fri"), "2026-11-25", "2026-11-27", "11-25 11-27"),
        # days of its own
        (Calendar(dates=["2026-12-24", "2026-12-31:2027-01-01"]), "2026-12-23", "2027-01-04", "12-24 12-31 01-01"),
        (Calendar(without="2026-12-24:2026-12-26"), "2026-12-23", "2026-12-27", "12-23 12-27"),
        (Calendar(weekdays="mon:fri", dates="2026-11-21"), "2026-11-20", "2026-11-23", "11-20 11-21 11-23"),
        (Calendar(weekdays="mon:fri", without="2026-11-20"), "2026-11-19", "2026-11-23", "11-19 11-23"),
        (Calendar(holidays="DE", dates="2026-10-03"), "2026-10-02", "2026-10-04", "10-02 10-03 10-04"),
        (Calendar(without="2026-11-20", dates="2026-11-20", weekdays="fri"), "2026-11-19", "2026-11-20", "11-20"),
        # the last working day of a month: 31 May 2026 is a Sunday, 25 to 31 December 2027 ends on a Friday
        (Calendar(weekdays="mon:fri", month_end=True), "2026-05-01", "2026-06-30", "05-29 06-30"),
        (Calendar(weekdays="mon:fri", holidays="DE", month_end=True), "2027-03-01", "2027-04-30", "03-31 04-30"),
        (Calendar(weekdays="mon:fri", holidays="US", month_end=True), "2027-05-01", "2027-05-31", "05-28"),
        (
            Calendar(weekdays="mon:fri", month_end=True, without="2026-12-24:2026-12-31"),
            "2026-12-01", "2026-12-31", "12-23",
        ),
        (Calendar(weekdays="mon:fri", month_end=True), "2028-02-01", "2028-02-29", "02-29"),
        # the last day that is left, on whatever day of the week: 31 October is Reformation Day in Brandenburg
        (Calendar(holidays="DE-BB", month_end=True), "2026-10-01", "2026-10-31", "10-30"),
        (Calendar(month_end=True, without="2028-02-29"), "2028-02-01", "2028-03-01", "02-28"),
        (Calendar(month_end=True, dates="2026-11-15"), "2026-11-01", "2026-11-30", "11-15 11-30"),
        (Calendar(weekdays="friday", month_end=True), "2026-10-01", "2026-11-30", "10-30 11-27"),
    ],
)  # fmt: skip
def test_which_days_are_in_it(calendar: str | Calendar, first: str, last: str, held: str) -> None:
    assert of(Calendar.of(calendar), first, last) == held


SOME_DAYS = st.dates(date(2023, 12, 1), date(2028, 3, 1))
WEEKDAYS = st.none() | st.frozensets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1)
GIVEN = st.fixed_dictionaries(
    {
        "weekdays": WEEKDAYS,
        "holidays": st.sampled_from([(), ("DE",), ("DE-BY", "US"), ("NYSE",)]),
        "dates": st.frozensets(SOME_DAYS, max_size=3),
        "without": st.frozensets(SOME_DAYS, max_size=3),
        "month_end": st.booleans(),
    }
).filter(lambda given: any(given.values()))


@given(what=GIVEN, day=SOME_DAYS)
def test_a_day_is_in_it_by_its_table(what: dict[str, Any], day: date) -> None:
    """The table, read aloud, a month at a time."""
    def closed(place: str, on: date) -> bool:
        if place == "NYSE":
            return on in holidays.financial_holidays("NYSE", years=on.year)
        country, _, part = place.partition("-")
        return on in holidays.country_holidays(country, subdiv=part or None, years=on.year)

    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    month = [day.replace(day=1) + n * DAY for n in range(31) if (day.replace(day=1) + n * DAY).month == day.month]
    held = [d for d in month if what["weekdays"] is None or names[d.weekday()] in what["weekdays"]]
    held = [d for d in held if not any(closed(place, d) for place in what["holidays"]) and d not in what["without"]]
    if what["month_end"]:
        held = held[-1:]
    if what["dates"] and what["weekdays"] is None and not what["holidays"] and not what["month_end"]:
        held = []
    assert (day in Calendar(**what)) is (day in held or day in what["dates"])


@given(what=GIVEN, day=SOME_DAYS)
def test_the_next_day_is_the_first_that_a_search_finds(what: dict[str, Any], day: date) -> None:
    calendar = Calendar(**what)
    found = next((day + n * DAY for n in range(367) if day + n * DAY in calendar), None)
    if found is None:
        with pytest.raises(DeclarationError, match="has no day in the year after"):
            calendar.next(day)
    else:
        assert calendar.next(day) == found


@given(what=GIVEN)
def test_a_calendar_survives_json(what: dict[str, Any]) -> None:
    calendar = Calendar(**what)
    assert Calendar(**calendar.to_json()) == calendar  # type: ignore[arg-type]  # what JSON holds


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Calendar.of("workdays"), "'workdays' is no calendar; write \"weekdays\""),
        (lambda: Calendar.of(7), "7 is not a Calendar"),  # type: ignore[arg-type]  # that is the point
        (lambda: Calendar.of("friday:monday"), "'friday:monday' is no calendar"),
        (Calendar, "a Calendar that names nothing holds every day"),
        (lambda: Calendar(weekdays="friday:monday"), "ends before it begins; the week begins on Monday"),
        (lambda: Calendar(weekdays="fr"), "'fr' is not a day of the week"),
        (lambda: Calendar(weekdays=""), "'' is not a day of the week"),
        (lambda: Calendar(holidays="Germany"), "'Germany' is not a country, such as"),
        (lambda: Calendar(holidays=["DE", 7]), "7 is not a country"),  # type: ignore[list-item]
        (lambda: Calendar(weekdays=5), "5 is neither a text nor a list of texts"),  # type: ignore[arg-type]
        (lambda: Calendar(holidays=5), "5 is neither a text nor a list of texts"),  # type: ignore[arg-type]
        (lambda: Calendar(dates=5), "5 is neither a text nor a list of texts"),  # type: ignore[arg-type]
        (lambda: Calendar(without=None), "None is neither a text nor a list of texts"),  # type: ignore[arg-type]
        (lambda: Calendar(weekdays=[]), "weekdays=[] names no day"),
        (lambda: Calendar(weekdays="mon", month_end="no"), "month_end='no' is neither True nor False"),  # type: ignore[arg-type]
        (lambda: Calendar(dates=[datetime(2026, 12, 24, tzinfo=UTC)]), "is no day, like"),  # an instant, in which zone?
        (lambda: Calendar(dates="24.12.2026"), "'24.12.2026' is no day, like"),
        (lambda: Calendar(dates="2026-02-29"), "'2026-02-29' is no day"),
        (lambda: Calendar(dates="2026-12-26:2026-12-24"), "is no day, like"),
        (lambda: Calendar(without="2026-01-01:2028-01-01"), "no days of at most a year"),
        (lambda: date(2026, 11, 20) in Calendar(holidays="ZZ"), "knows no such place"),
        (lambda: date(2026, 11, 20) in Calendar(holidays="DE-ZZ"), "knows no such place"),
        (lambda: date(2026, 11, 20) in Calendar.of("NYSE-BY"), "knows no such place"),
        (lambda: Calendar(dates="2020-02-29").next(date(2026, 1, 1)), "has no day in the year after 2026-01-01"),
    ],
)
def test_what_is_no_calendar_is_a_sentence(make: Any, said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        make()
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------- what promises make of it


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("due", "zone", "due_on", "end", "deadline"),
    [
        # over a weekend, a holiday, a year end
        ("09:00", "UTC", "weekdays", "2026-11-20T00:00", "2026-11-20T09:00"),
        ("09:00", "UTC", "weekdays", "2026-11-21T00:00", "2026-11-23T09:00"),
        ("09:00", "UTC", "weekdays", "2026-11-20T09:00", "2026-11-20T09:00"),  # at the end is in time
        ("09:00", "UTC", "weekdays", "2026-11-20T09:01", "2026-11-23T09:00"),
        ("09:00", "Europe/Berlin", "DE", "2026-12-25T00:00", "2026-12-28T08:00"),
        ("09:00", "Europe/Berlin", "DE-BY", "2026-12-31T09:00", "2027-01-04T08:00"),
        ("09:00", "America/New_York", "NYSE", "2026-04-03T00:00", "2026-04-06T13:00"),
        # Friday evening there is Saturday by UTC, and Monday morning there is Sunday
        ("20:00", "America/New_York", "weekdays", "2026-11-21T00:00", "2026-11-21T01:00"),
        ("20:00", "America/New_York", "weekdays", "2026-11-21T01:01", "2026-11-24T01:00"),
        ("08:00", "Australia/Sydney", "weekdays", "2026-11-21T00:00", "2026-11-22T21:00"),
        # the end of the month, of February, of a leap year's, the last working day
        ("18:00", "UTC", "month end", "2026-11-02T00:00", "2026-11-30T18:00"),
        ("18:00", "UTC", "month end", "2026-11-30T18:01", "2026-12-31T18:00"),
        ("18:00", "UTC", "month end", "2024-02-02T00:00", "2024-02-29T18:00"),
        ("18:00", "UTC", "month end", "2028-02-02T00:00", "2028-02-29T18:00"),
        ("00:30", "Europe/Berlin", "month end", "2028-02-29T00:00", "2028-03-30T22:30"),  # 00:30 there has been
        ("00:30", "Europe/Berlin", "month end", "2028-02-28T23:30", "2028-02-28T23:30"),
        ("18:00", "UTC", Calendar(weekdays="mon:fri", month_end=True), "2026-05-02T00:00", "2026-05-29T18:00"),
        ("18:00", "UTC", Calendar(weekdays="mon:fri", month_end=True), "2026-05-30T00:00", "2026-06-30T18:00"),
        # Sundays on which clocks change: 02:00-03:00 is skipped in Berlin on 2026-03-29 and comes twice on 2026-10-25
        ("02:30", "Europe/Berlin", "sunday", "2026-03-27T00:00", "2026-03-29T01:30"),  # as if unchanged
        ("02:30", "Europe/Berlin", "sunday", "2026-03-29T01:31", "2026-04-05T00:30"),
        ("02:30", "Europe/Berlin", "sunday", "2026-10-23T00:00", "2026-10-25T00:30"),  # the first
        ("02:30", "Europe/Berlin", "sunday", "2026-10-25T00:31", "2026-11-01T01:30"),  # the second does not count
        ("02:30", "America/New_York", "sunday", "2026-03-06T00:00", "2026-03-08T07:30"),
        ("01:30", "America/New_York", "sunday", "2026-10-30T00:00", "2026-11-01T05:30"),
        ("01:30", "America/New_York", "sunday", "2026-11-01T05:31", "2026-11-08T06:30"),
        # half an hour at Lord Howe: 02:00-02:30 is skipped on 2026-10-04, 01:30-02:00 comes twice on 2026-04-05
        ("02:15", "Australia/Lord_Howe", "sunday", "2026-10-01T00:00", "2026-10-03T15:45"),
        ("01:45", "Australia/Lord_Howe", "sunday", "2026-04-01T00:00", "2026-04-04T14:45"),
        ("01:45", "Australia/Lord_Howe", "sunday", "2026-04-04T14:46", "2026-04-11T15:15"),
    ],
)  # fmt: skip
def test_due_waits_for_the_next_day_on_which_it_may_fall(
    due: str, zone: str, due_on: str | Calendar, end: str, deadline: str
) -> None:
    assert Sla(due=due, tz=zone, due_on=due_on).deadline(Interval(utc(end) - DAY, utc(end))) == utc(deadline)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Kiritimati"])
CLOCKS = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45]))
MOMENTS = st.integers(0, 3 * 365 * 24 * 4).map(lambda n: utc("2024-01-01T00:00") + n * timedelta(minutes=15))
CALENDARS = st.sampled_from(["weekdays", "sunday", "month end", "DE-BY", Calendar(weekdays="mon:fri", month_end=True)])


@given(due=CLOCKS, zone=ZONES, due_on=CALENDARS, end=MOMENTS)
def test_the_deadline_agrees_with_a_search_through_all_days(
    due: time, zone: str, due_on: str | Calendar, end: datetime
) -> None:
    held = [end.date() + n * DAY for n in range(-3, 70) if end.date() + n * DAY in Calendar.of(due_on)]
    instants = [datetime.combine(day, due, ZoneInfo(zone)).astimezone(UTC) for day in held]
    sla = Sla(due=due, tz=zone, due_on=due_on)
    assert sla.deadline(Interval(end - DAY, end)) == min(at for at in instants if at >= end)


@given(due=CLOCKS, zone=ZONES, due_on=CALENDARS, end=MOMENTS, longer=st.integers(0, 100_000))
def test_what_ends_later_is_not_due_earlier(
    due: time, zone: str, due_on: str | Calendar, end: datetime, longer: int
) -> None:
    sla, later = Sla(due=due, tz=zone, due_on=due_on), end + timedelta(minutes=longer)
    first = sla.deadline(Interval(end - HOUR, end))
    assert first <= sla.deadline(Interval(end - HOUR, later))
    assert first >= Sla(due=due, tz=zone).deadline(Interval(end - HOUR, end))
    assert sla.deadline(Interval(end - HOUR, first)) == first, "due where it ends"


@pytest.mark.parametrize(
    ("calendar", "zone", "start", "length", "promised"),
    [
        ("weekdays", "UTC", "2026-11-20T00:00", DAY, True),
        ("weekdays", "UTC", "2026-11-21T00:00", DAY, False),
        ("weekdays", "Pacific/Kiritimati", "2026-11-20T00:00", DAY, True),  # a UTC day is that day
        ("weekdays", "America/New_York", "2026-11-23T00:00", DAY, True),
        ("weekdays", "Europe/Berlin", "2026-11-22T23:00", DAY, True),  # a day of Berlin, which is a Monday
        ("weekdays", "UTC", "2026-11-22T23:00", DAY, False),
        ("weekdays", "America/New_York", "2026-11-21T04:00", HOUR, True),  # 23:00 on Friday
        ("weekdays", "America/New_York", "2026-11-21T05:00", HOUR, False),
        ("month end", "Australia/Sydney", "2026-11-29T13:00", HOUR, True),
        ("month end", "UTC", "2024-02-29T00:00", DAY, True),
        ("month end", "UTC", "2028-02-28T00:00", DAY, False),
        ("month end", "UTC", "2028-02-29T00:00", DAY, True),
        ("month end", "Europe/Berlin", "2028-02-29T22:00", HOUR, True),
        ("month end", "Europe/Berlin", "2028-02-29T23:00", HOUR, False),  # 1 March there
        ("monday", "UTC", "2026-11-23T00:00", 7 * DAY, True),  # by the day on which it begins
    ],
)
def test_which_partitions_are_promised(
    calendar: str, zone: str, start: str, length: timedelta, promised: bool
) -> None:
    sla = Sla(due="06:00", tz=zone, calendar=calendar)
    assert sla.promises(Interval(utc(start), utc(start) + length)) is promised
    assert Sla(due="06:00", tz=zone).promises(Interval(utc(start), utc(start) + length))


@given(calendar=CALENDARS, day=SOME_DAYS)
def test_a_utc_day_is_promised_when_it_is_in_the_calendar(calendar: str | Calendar, day: date) -> None:
    sla = Sla(within="1h", tz="Australia/Sydney", calendar=calendar)
    assert sla.promises(Interval.of_day(day)) is (day in Calendar.of(calendar))


# ----------------------------------------------------------------------------------------- grace, warning, the ladder


def ladder(**given: Any) -> Iterable[tuple[str, int]]:
    return [(str(severity), int(late / timedelta(minutes=1))) for severity, late in Sla(within="1h", **given).ladder]


def test_the_ladder() -> None:
    assert ladder() == [("critical", 0)]
    assert ladder(severity="warning") == [("warning", 0)]
    assert ladder(grace="10m") == [("critical", 10)]
    assert ladder(warning=0, error="30m", critical="2h") == [("warning", 0), ("error", 30), ("critical", 120)]
    assert ladder(warning=0, error="30m", grace="40m") == [("warning", 40), ("error", 40)], "grace comes first"
    assert ladder(error="20m") == [("error", 20)]


@given(
    rungs=st.lists(st.none() | st.integers(0, 300), min_size=4, max_size=4),
    grace=st.integers(0, 100),
    late=st.lists(st.integers(0, 400), min_size=2, max_size=2),
)
def test_who_is_later_is_not_less_bad(rungs: list[int | None], grace: int, late: list[int]) -> None:
    ordered = iter(sorted(rung for rung in rungs if rung is not None))
    names = ("info", "warning", "error", "critical")
    given_ = {n: timedelta(minutes=next(ordered)) for n, rung in zip(names, rungs, strict=True) if rung is not None}
    sla = Sla(within="1h", grace=timedelta(minutes=grace), **given_)
    first, second = (sla.severity_of(timedelta(minutes=m)) for m in sorted(late))
    assert (first or 0) <= (second or 0)
    for minutes in late:
        expected = [
            Severity[name.upper()]
            for name, rung in (given_ or {"critical": timedelta(0)}).items()
            if rung <= timedelta(minutes=minutes) and grace <= minutes
        ]
        assert sla.severity_of(timedelta(minutes=minutes)) == max(expected, default=None)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"due": "06:00", "within": "1h"}, "not both"),
        ({}, 'an Sla needs exactly one of due="06:00" and within="1h", or every="15m"'),
        ({"due": "6 am"}, "due='6 am' is not a time of day"),
        ({"due": "06:00", "tz": "Europe/Munich"}, "tz='Europe/Munich' is not a time zone"),
        ({"due": time(6, 0, 30)}, "due=datetime.time(6, 0, 30) is not a time of day"),
        ({"due": time(2, 30, fold=1)}, "is not a time of day"),  # of a time that comes twice, the first counts
        ({"due": time(6, tzinfo=UTC)}, "is not a time of day"),  # tz= says where
        ({"due": "06:00", "tz": None}, "tz=None is not a time zone"),
        ({"due": "06:00", "tz": 1}, "tz=1 is not a time zone"),
        ({"within": timedelta(milliseconds=500)}, "is not in whole seconds"),
        ({"within": "1h", "grace": timedelta(seconds=1.5)}, "is not in whole seconds"),
        ({"within": "1h", "window": timedelta(days=1, microseconds=1)}, "is not in whole seconds"),
        ({"within": "1h", "due_on": "weekdays"}, "due_on= moves due= to another day, and there is no due="),
        ({"within": "1h", "calendar": "workdays"}, "'workdays' is no calendar"),
        ({"within": "1h", "calendar": 5}, "5 is not a Calendar"),
        ({"within": "1h", "severity": "error", "warning": 0}, "give it, or how late is how bad, not both"),
        ({"within": "1h", "warning": "2h", "error": "1h"}, "what is worse must be later: warning=2h, error=1h"),
        ({"within": "1h", "warning": 5}, "5 is not how late it is"),
        ({"within": "1h", "grace": 5}, "5 is not how late it is"),
        ({"within": "1h", "grace": "soon"}, "soon"),
        ({"within": "1h", "warn_before": "0h"}, "0h"),
        ({"within": "1h", "severity": "fatal"}, "unknown severity 'fatal'"),
        ({"within": "1h", "on_time": "101%"}, "'101%' is not a share that can be promised"),
        ({"within": "1h", "on_time": "0%"}, "'0%' is not a share"),
        ({"within": "1h", "on_time": float("inf")}, "inf is not a share"),
        ({"within": "1h", "on_time": float("nan")}, "nan is not a share"),
        ({"within": "1h", "correct": "1/0%"}, "'1/0%' is not a share"),
        ({"within": "1h", "correct": "many"}, "'many' is not a share"),
        ({"within": "1h", "correct": "99%", "of": "days"}, "of='days' is not one of partitions, rows, orgs"),
        ({"within": "1h", "task": "load"}, "task= and airflow= belong to a DAG"),
        ({"within": "1h", "rows": 0}, "rows=0 is not a number of rows"),
        ({"within": "1h", "rows": True}, "rows=True is not a number of rows"),
        ({"within": "1h", "where": "x > 1"}, "where= says which rows count; give rows= too"),
    ],
)
def test_what_is_no_promise_is_a_sentence(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        Sla(**given_)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


EVERYTHING = Sla(
    due="06:30", tz="Australia/Lord_Howe", every="1d", calendar=Calendar(weekdays="mon:sat", holidays=("DE-BY", "US")),
    due_on=Calendar(weekdays="mon:fri", month_end=True, dates="2026-12-24", without="2026-12-31"), grace="10m",
    warn_before="45m", info=0, warning="5m", error="30m", critical="2h", on_time="99.5%", correct="99.9%", of="rows",
    window="7d", dag="load", task="orders", airflow="main", rows=10, where="loaded_at IS NOT NULL",
    on_miss="hooks:tell",
)  # fmt: skip


@pytest.mark.parametrize(
    "sla",
    [
        EVERYTHING,
        Sla(due="00:00"),
        Sla(within="90s", severity="warning"),
        Sla(every="15m", calendar="weekdays"),
        Sla(within="1h", error="20m", grace="5m"),
        Sla(within="1h", warning=0),
    ],
)
def test_a_promise_survives_json(sla: Sla) -> None:
    again = Sla.from_json(json.loads(json.dumps(sla.to_json())))
    assert again == sla
    assert again.digest == sla.digest


def test_a_function_is_no_json_and_no_part_of_what_is_promised() -> None:
    own = evolve(EVERYTHING, on_miss=print)
    with pytest.raises(DeclarationError, match="on_miss must be a text here"):
        own.to_json()
    assert own.digest == EVERYTHING.digest


OTHER: dict[str, Any] = {
    "due": "06:31", "tz": "UTC", "every": "2d", "calendar": "weekdays", "due_on": "weekdays", "grace": "9m",
    "warn_before": "44m", "info": "1m", "warning": "6m", "error": "31m", "critical": "3h", "on_time": "99%",
    "correct": "99%", "of": "orgs", "window": "8d", "dag": "other", "task": None, "airflow": None, "rows": 11,
    "where": None,
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER)
def test_whatever_is_promised_otherwise_is_another_promise(name: str) -> None:
    assert evolve(EVERYTHING, **{name: OTHER[name]}).digest != EVERYTHING.digest


@pytest.mark.parametrize(
    ("sla", "said", "consequences"),
    [
        (Sla(due="06:00"), "due 06:00 UTC", "critical"),
        (
            Sla(due="06:00", tz="Europe/Berlin", calendar="DE-BY", due_on="weekdays", grace="10m"),
            "due 06:00 Europe/Berlin, for weekdays, no holidays of DE-BY, on weekdays, 10m of grace",
            "critical from 10m late",
        ),
        (Sla(every="15m", severity="error"), "every 15m", "error"),
        (
            Sla(within="1h", calendar="month end", warning=0, critical="2h", warn_before="30m", on_time="99%"),
            "within 1h after the interval, for month end",
            "a warning 30m before, warning, critical from 2h late, 99% in time, over 28d",
        ),
    ],
)
def test_what_it_says_of_itself(sla: Sla, said: str, consequences: str) -> None:
    assert (str(sla), sla.consequences) == (said, consequences)
