"""Time intervals: the table of ``dq.alerting.times``, months that end, clocks that are changed."""

from __future__ import annotations

import tomllib
from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from attrs import evolve
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dq.alerting.routing import Chosen
from dq.alerting.times import AHEAD, TimeInterval, muted_by_time, next_change, parse_time_interval
from dq.model.errors import ConfigError
from dq.toml import Section

OFFICE = 'weekdays = ["monday:friday"]\ntimes = [{start_time = "09:00", end_time = "17:00"}]\n'
BERLIN = 'location = "Europe/Berlin"\n'


def interval(text: str) -> TimeInterval:
    return parse_time_interval(Section("routes.toml", "time_intervals.it", tomllib.loads(text), Path()))


@pytest.mark.parametrize(
    ("text", "moment", "inside"),
    [
        ("", "2026-11-20T12:00", True),
        (OFFICE, "2026-11-20T08:59:59", False),
        (OFFICE, "2026-11-20T09:00", True),
        (OFFICE, "2026-11-20T16:59:59.999", True),
        (OFFICE, "2026-11-20T17:00", False),
        (OFFICE, "2026-11-21T12:00", False),
        (OFFICE + BERLIN, "2026-11-20T08:00", True),
        (OFFICE + BERLIN, "2026-11-20T16:00", False),
        (OFFICE + BERLIN, "2026-07-20T07:00", True),
        (OFFICE + BERLIN, "2026-07-20T15:00", False),
        ('times = [{start_time = "17:00", end_time = "24:00"}]', "2026-11-20T23:59:59", True),
        ('times = [{start_time = "17:00", end_time = "24:00"}]', "2026-11-21T00:00", False),
        ('times = [{start_time = "00:00", end_time = "00:01"}]', "2026-11-21T00:00:59", True),
        ('weekdays = ["sunday:tuesday"]', "2026-11-22T00:00", True),
        ('weekdays = ["Sunday:tuesday"]', "2026-11-25T00:00", False),
        ('weekdays = ["saturday"]', "2026-11-21T23:59", True),
        ('days_of_month = ["-1"]', "2026-02-28T12:00", True),
        ('days_of_month = ["-1"]', "2024-02-28T12:00", False),
        ('days_of_month = ["-1"]', "2024-02-29T12:00", True),
        ('days_of_month = ["30:31"]', "2026-02-28T12:00", False),
        ('days_of_month = ["30:31"]', "2026-04-30T12:00", True),
        ('days_of_month = ["-3:-1"]', "2026-04-28T12:00", True),
        ('days_of_month = ["-3:-1"]', "2026-04-27T12:00", False),
        ('days_of_month = ["-31:-1"]', "2026-02-01T12:00", True),
        ('days_of_month = ["20:-1", 1]', "2026-02-20T12:00", True),
        ('days_of_month = ["20:-1", 1]', "2026-02-01T12:00", True),
        ('days_of_month = ["20:-1", 1]', "2026-02-02T12:00", False),
        ('months = ["november:december", "2"]', "2026-11-02T12:00", True),
        ('months = ["november:december", "2"]', "2026-02-02T12:00", True),
        ('months = ["november:december", "2"]', "2026-10-31T12:00", False),
        ('years = ["2026:2028"]', "2028-12-31T23:59", True),
        ("years = [2027]", "2026-12-31T23:59", False),
        (f'years = ["2027"]\n{BERLIN}', "2026-12-31T23:00", True),
        ('dates = ["2026-12-25", "2026-12-31:2027-01-01"]', "2026-12-25T23:59", True),
        ('dates = ["2026-12-25", "2026-12-31:2027-01-01"]', "2026-12-26T00:00", False),
        ('dates = ["2026-12-25", "2026-12-31:2027-01-01"]', "2027-01-01T10:00", True),
        ("dates = [2026-12-25]", "2026-12-25T10:00", True),
        (f"dates = [2026-12-25]\n{BERLIN}", "2026-12-24T23:00", True),
        (f"dates = [2026-12-25]\n{BERLIN}", "2026-12-25T23:00", False),
        # In Berlin the hour from 2 is left out on 2026-03-29 and comes twice on 2026-10-25.
        (f'times = [{{start_time = "02:00", end_time = "03:00"}}]\n{BERLIN}', "2026-03-29T00:59", False),
        (f'times = [{{start_time = "02:00", end_time = "03:00"}}]\n{BERLIN}', "2026-03-29T01:00", False),
        (f'times = [{{start_time = "02:00", end_time = "03:00"}}]\n{BERLIN}', "2026-10-25T00:00", True),
        (f'times = [{{start_time = "02:00", end_time = "03:00"}}]\n{BERLIN}', "2026-10-25T01:59", True),
        (f'times = [{{start_time = "02:00", end_time = "03:00"}}]\n{BERLIN}', "2026-10-25T02:00", False),
    ],
)
def test_the_table(text: str, moment: str, *, inside: bool) -> None:
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert interval(text).contains(at) is inside
    assert interval(text).contains(at.astimezone(ZoneInfo("Asia/Kathmandu"))) is inside


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('times = [{start_time = "01:99", end_time = "23:59"}]', "times[0].start_time: '01:99' is no time of a day"),
        ('times = [{start_time = "00:00", end_time = "24:01"}]', "times[0].end_time: '24:01' is no time of a day"),
        ('times = [{start_time = "9:00", end_time = "17:00"}]', "times[0].start_time: '9:00' is no time of a day"),
        ('times = [{start_time = "17:00", end_time = "17:00"}]', "times[0].end_time: it must come after start_time"),
        ('times = [{start_time = "22:00", end_time = "06:00"}]', "a night is two times"),
        ('times = [{start_time = "14:03"}]', "times[0].end_time: it is missing"),
        ('times = [{start_time = "14:03", end_tim = "15:00"}]', "times[0].end_tim: unknown key"),
        ('times = ["09:00-17:00"]', "times: it must be a list of tables"),
        ('times = "09:00"', "times: it must be a list of tables"),
        ('weekdays = ["friday:monday"]', "weekdays: 'friday:monday': it ends before it begins"),
        ('weekdays = ["blurgsday"]', "weekdays: 'blurgsday': 'blurgsday' is not a weekday"),
        ('weekdays = ["1:3"]', "'1' is not a weekday"),
        ('weekdays = ["-2:-1"]', "'-2' is not a weekday"),
        ("weekdays = []", "weekdays: it is empty"),
        ('days_of_month = ["0"]', "'0' is not a day of a month"),
        ('days_of_month = ["-50:-20"]', "'-50' is not a day of a month"),
        ('days_of_month = ["1:50"]', "'50' is not a day of a month"),
        ('days_of_month = ["-15:5"]', "'-15:5': it begins counted from the end, so it must end so"),
        ('days_of_month = ["10:-25"]', "'10:-25': it ends before it begins"),
        ('days_of_month = ["1:2:3"]', "'2:3' is not a day of a month"),
        ("days_of_month = [1.5]", "days_of_month: it must be a list of texts"),
        ("days_of_month = [true]", "days_of_month: it must be a list of texts"),
        ('months = ["martius:june"]', "'martius' is not a month"),
        ('months = ["march:junius"]', "'junius' is not a month"),
        ('months = ["december:january"]', "it ends before it begins"),
        ('months = ["13"]', "'13' is not a month"),
        ('years = ["2022:2020"]', "it ends before it begins"),
        ('years = ["MMXX"]', "'mmxx' is not a year"),
        ('dates = ["2026-02-29"]', "dates: '2026-02-29' is no day"),
        ('dates = ["2026-12-26:2026-12-25"]', "dates: '2026-12-26:2026-12-25' is no day"),
        ('location = "Mars/Phobos"', "location: there is no time zone 'Mars/Phobos'"),
        ('location = "../../etc/passwd"', "location: there is no time zone"),
        ('weekday = ["monday"]', "weekday: unknown key; did you mean 'weekdays'?"),
    ],
)
def test_what_is_refused_names_its_place(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        interval(text)
    assert str(caught.value).startswith("routes.toml: time_intervals.it.")
    assert sentence in str(caught.value)


DAYS = st.integers(-31, 31).filter(bool)


@given(DAYS, DAYS, st.dates(date(2023, 1, 1), date(2026, 12, 31)))
def test_days_of_a_month_against_a_list_of_them(first: int, last: int, day: date) -> None:
    try:
        it = interval(f'days_of_month = ["{first}:{last}"]')
    except ConfigError:
        assume(False)
    days = list(range(1, monthrange(day.year, day.month)[1] + 1))
    begin = first - 1 if first > 0 else max(0, len(days) + first)
    end = last if last > 0 else max(0, len(days) + last + 1)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert it.contains(at) is (day.day in days[begin:end])


# ------------------------------------------------------------------------------------------------------ what mutes now

TIMES = {
    "office": [interval(OFFICE + BERLIN)],
    "holidays": [interval(f'dates = ["2026-12-25"]\n{BERLIN}'), interval(f'dates = ["2027-01-01"]\n{BERLIN}')],
    "fridays": [interval('weekdays = ["friday"]')],
}


def route(mute: tuple[str, ...] = (), active: tuple[str, ...] = ()) -> Chosen:
    return Chosen((), (), mute_time_intervals=mute, active_time_intervals=active)


@pytest.mark.parametrize(
    ("chosen", "moment", "answer", "change"),
    [
        (route(), "2026-12-25T12:00", None, None),
        (route(active=("office",)), "2026-12-24T12:00", None, "2026-12-24T16:00"),
        (route(active=("office",)), "2026-12-24T16:00", "outside of office", "2026-12-25T08:00"),
        (route(active=("office", "fridays")), "2026-12-25T20:00", None, "2026-12-26T00:00"),
        (route(active=("office", "holidays")), "2026-12-26T20:00", "outside of office, holidays", "2026-12-28T08:00"),
        (route(("holidays",), ("office",)), "2026-12-24T12:00", None, "2026-12-24T16:00"),
        (route(("holidays",), ("office",)), "2026-12-25T07:00", "outside of office", "2026-12-25T08:00"),
        (route(("holidays",), ("office",)), "2026-12-25T12:00", "holidays", "2026-12-25T16:00"),
        (route(("holidays", "fridays")), "2027-01-01T12:00", "holidays, fridays", "2027-01-01T23:00"),
        (route(("holidays",)), "2026-12-01T12:00", None, "2026-12-08T12:00"),
    ],
)
def test_what_mutes_a_route_and_until_when(chosen: Chosen, moment: str, answer: str, change: str | None) -> None:
    now = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert muted_by_time(chosen, TIMES, now) == answer
    expected = None if change is None else datetime.fromisoformat(change).replace(tzinfo=UTC)
    assert next_change(chosen, TIMES, now) == expected


@pytest.mark.parametrize(
    ("start", "end", "moment", "changes"),
    [
        # 02:30 comes twice: the hour from 02:00 is told again at 01:00 UTC.
        ("01:00", "02:30", "2026-10-24T22:00", ["2026-10-24T23:00", "2026-10-25T00:30", "2026-10-25T01:00"]),
        # 02:30 is left out: it is 03:00 at 01:00 UTC.
        ("02:30", "04:00", "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-29T02:00", "2026-03-30T00:30"]),
    ],
)
def test_the_next_change_where_clocks_are_changed(start: str, end: str, moment: str, changes: list[str]) -> None:
    it = interval(f'times = [{{start_time = "{start}", end_time = "{end}"}}]\n{BERLIN}')
    now: datetime | None = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    for change in changes:
        assert now is not None
        now = next_change(route(("it",)), {"it": [it]}, now)
        assert now == datetime.fromisoformat(change).replace(tzinfo=UTC)


MINUTES = st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda span: span[0] < span[1])
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo")
INTERVALS = st.builds(
    TimeInterval,
    times=st.none() | st.lists(MINUTES, min_size=1, max_size=2).map(tuple),
    weekdays=st.sampled_from([None, ((1, 5),), ((0, 0), (6, 6))]),
    days_of_month=st.sampled_from([None, ((-1, -1),), ((25, 28),)]),
    location=st.sampled_from(ZONES).map(ZoneInfo),
)
# The clocks of these zones are changed in the weeks that follow.
STARTS = st.sampled_from(["2018-11-01", "2026-03-05", "2026-03-26", "2026-04-01", "2026-10-22", "2026-10-28"])


@settings(max_examples=60)
@given(INTERVALS, INTERVALS, STARTS, st.integers(0, 5 * 1440), st.booleans())
def test_nothing_changes_before_the_next_change(
    one: TimeInterval, other: TimeInterval, start: str, minutes: int, active: bool
) -> None:
    """Against the clock, minute by minute."""
    now = datetime.fromisoformat(start).replace(tzinfo=UTC) + timedelta(minutes=minutes, seconds=17)
    chosen = evolve(route(("one",)), active_time_intervals=("other",) if active else ())
    times = {"one": [one], "other": [other]}
    answer, found = muted_by_time(chosen, times, now), next_change(chosen, times, now)
    assert found is not None and now < found <= now + AHEAD
    minute = now.replace(second=0) + timedelta(minutes=1)
    while minute < found:
        assert muted_by_time(chosen, times, minute) == answer, minute
        minute += timedelta(minutes=1)
    if found < now + AHEAD:
        assert muted_by_time(chosen, times, found) != answer
