"""SLA: the promise that a partition is there in time, and right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import cached_property
from math import isfinite
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import evolve, field, frozen

from dq.model.calendar import Calendar
from dq.model.duration import format_duration, parse_duration
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.severity import Severity

Of = Literal["partitions", "rows", "orgs"]
"""What a promise of correctness counts."""

WINDOW = timedelta(days=28)
"""Over how long budgets are counted: four whole weeks, so that every weekday weighs the same."""


def _clock(value: str | time | None) -> time | None:
    if value is None:
        return None
    try:
        if isinstance(value, time):  # what "06:00" cannot say, tz= and the rule for a time that comes twice say
            if value.isoformat() == f"{value:%H:%M:00}" and not value.fold:
                return value
        elif len(value) == 5:
            return time.fromisoformat(value)
    except (ValueError, TypeError):
        pass
    raise DeclarationError(f'due={value!r} is not a time of day; write it like "06:00"')


def _duration(value: str | timedelta | None) -> timedelta | None:
    return None if value is None else _whole(value)


def _whole(value: str | timedelta) -> timedelta:
    duration = parse_duration(value)
    if duration.microseconds:
        raise DeclarationError(f"the duration {value!r} is not in whole seconds")
    return duration


def _rung(value: str | int | timedelta | None) -> timedelta | None:
    """Return how late a rung of the ladder is; 0: as soon as it is late."""
    if value == 0 or value == timedelta(0):
        return timedelta(0)
    if value is None or not isinstance(value, int):
        return _duration(value)
    raise DeclarationError(f'{value!r} is not how late it is; write 0, or a duration such as "30m"')


def _grace(value: str | int | timedelta) -> timedelta:
    return _rung(value) or timedelta(0)


def _severity(value: str | Severity | None) -> Severity | None:
    return None if value is None else Severity.of(value)


def _zone(name: str | ZoneInfo) -> ZoneInfo:
    if isinstance(name, ZoneInfo):
        return name
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
        raise DeclarationError(f'tz={name!r} is not a time zone; write it like "Europe/Berlin"') from None


def _calendar(value: str | Calendar | None) -> Calendar | None:
    return None if value is None else Calendar.of(value)


def _goal(value: str | float | Fraction | None) -> Fraction | None:
    """Return a share that is promised, exactly."""
    share = value if isinstance(value, Fraction) else None
    if isinstance(value, str) and value.endswith("%"):
        try:
            share = Fraction(value[:-1].strip()) / 100
        except (ValueError, ZeroDivisionError):
            share = None
    elif isinstance(value, float) and isfinite(value):
        share = Fraction(str(value))
    if value is not None and (share is None or not 0 < share <= 1):
        raise DeclarationError(f'{value!r} is not a share that can be promised; write it like "99.9%"')
    return share


@frozen(kw_only=True)
class Sla:
    """A promise about each partition of a dataset: that it is there in time, and right.

    Give ``due`` or ``within``, or ``every`` alone: then each partition has as long again to come.

    Attributes:
        due: the time of day at which the partition must be there: the first such local time at or after its end.
        tz: the time zone of ``due`` and of the calendars, an IANA name; also what decides ``due`` across daylight
            saving changes.
        within: how long after the end of the partition it must be there, e.g. ``"1h"``.
        every: how long a partition is, e.g. ``"15m"``; None: as the suite says, else a day. Partitions begin at
            multiples of it, days at midnight UTC, weeks on Monday.
        calendar: the days whose partitions are promised, ``"weekdays"``, ``"DE-BY"``, or a ``Calendar``; None: all. A
            UTC day is that day whatever ``tz`` says; any other partition belongs to the local day in which it begins.
        due_on: the days on which it may fall due: ``due`` waits for the next of them. None: any day.
        grace: what comes so long after it was due still counts as in time, and nobody is told before.
        warn_before: so long before it is due people are warned that it has not come; that never pages.
        severity: how bad a miss is, ``critical`` by default.
        info, warning, error, critical: instead of ``severity``, how late it must be to be so bad: ``warning=0,
            error="30m", critical="2h"``.
        on_time: the share of partitions that must be in time over ``window``, e.g. ``"99%"``.
        correct: the share that must be right over ``window``, e.g. ``"99.9%"``.
        of: what ``correct`` counts: ``partitions`` in which no check failed at error or worse, or the ``rows`` or
            ``orgs`` of the check that is worst in each.
        window: over how long these shares are counted, e.g. ``"28d"``.
        dag, task: the DAG, and the task of it, that makes the data; ``dq watch`` looks there for why it is late.
        airflow: which of the ``[airflow.NAME]`` of ``dq.toml`` has that DAG; None: the only one.
        rows: how many rows of the partition must be there; ``dq watch`` counts them itself. None: a run of the suite
            says whether the data is there.
        where: which rows count, a SQL predicate, e.g. ``"loaded_at >= '{{ data_interval_end }}'"``.
        on_miss: called once per missed partition with Airflow 2's five ``sla_miss_callback`` arguments
            (dag, task_list, blocking_task_list, slas, blocking_tis); a function or ``"package.module:function"``.
    """

    due: time | None = field(default=None, converter=_clock)
    tz: ZoneInfo = field(factory=lambda: ZoneInfo("UTC"), converter=_zone)
    within: timedelta | None = field(default=None, converter=_duration)
    every: timedelta | None = field(default=None, converter=_duration)
    calendar: Calendar | None = field(default=None, converter=_calendar)
    due_on: Calendar | None = field(default=None, converter=_calendar)
    grace: timedelta = field(default=timedelta(0), converter=_grace)
    warn_before: timedelta | None = field(default=None, converter=_duration)
    severity: Severity | None = field(default=None, converter=_severity)
    info: timedelta | None = field(default=None, converter=_rung)
    warning: timedelta | None = field(default=None, converter=_rung)
    error: timedelta | None = field(default=None, converter=_rung)
    critical: timedelta | None = field(default=None, converter=_rung)
    on_time: Fraction | None = field(default=None, converter=_goal)
    correct: Fraction | None = field(default=None, converter=_goal)
    of: Of = "partitions"
    window: timedelta = field(default=WINDOW, converter=_whole)
    dag: str | None = None
    task: str | None = None
    airflow: str | None = None
    rows: int | None = None
    where: str | None = None
    on_miss: Callable[..., object] | str | None = None

    def __attrs_post_init__(self) -> None:
        for problem in self._problems():
            raise DeclarationError(problem)

    def _problems(self) -> Iterator[str]:
        if self.due is not None and self.within is not None:
            yield 'an Sla needs exactly one of due="06:00" and within="1h", not both'
        elif self.due is None and self.within is None and self.every is None:
            yield 'an Sla needs exactly one of due="06:00" and within="1h", or every="15m"'
        if self.due_on is not None and self.due is None:
            yield "due_on= moves due= to another day, and there is no due="
        rungs = [late for _, late in self._rungs]
        if rungs and self.severity is not None:
            yield "severity= says how bad any miss is; give it, or how late is how bad, not both"
        if rungs != sorted(rungs):
            yield "what is worse must be later: " + ", ".join(f"{s}={format_duration(late)}" for s, late in self._rungs)
        if self.dag is None and (self.task is not None or self.airflow is not None):
            yield "task= and airflow= belong to a DAG; give dag= too"
        if self.rows is not None and (isinstance(self.rows, bool) or not isinstance(self.rows, int) or self.rows < 1):
            yield f"rows={self.rows!r} is not a number of rows, at least 1"
        if self.where is not None and self.rows is None:
            yield "where= says which rows count; give rows= too"
        if self.of not in get_args(Of):
            yield f"of={self.of!r} is not one of {', '.join(get_args(Of))}"

    @property
    def _rungs(self) -> tuple[tuple[Severity, timedelta], ...]:
        named = zip(Severity, (self.info, self.warning, self.error, self.critical), strict=True)
        return tuple((severity, late) for severity, late in named if late is not None)

    @property
    def ladder(self) -> tuple[tuple[Severity, timedelta], ...]:
        """How late (after it was due) is how bad, from mild to severe; nothing is told before ``grace`` is over."""
        rungs = self._rungs or ((self.severity or Severity.CRITICAL, timedelta(0)),)
        return tuple((severity, max(late, self.grace)) for severity, late in rungs)

    def severity_of(self, late: timedelta) -> Severity | None:
        """Return how bad it is to be so late; None: nobody has to know yet."""
        return max((severity for severity, rung in self.ladder if late >= rung), default=None)

    def deadline(self, interval: Interval) -> datetime:
        """Return the instant (UTC) at which the partition ``interval`` must be there.

        A local time that a daylight saving change skips is read as if the clock had not changed; of a time that
        happens twice, the first counts.

        Raises:
            DeclarationError: when nothing is known of the holidays that ``due_on`` names.
        """
        if self.due is None:
            within = self.within or self.every
            assert within is not None  # noqa: S101  # one of the three is given, see above
            return interval.end + within
        local = interval.end.astimezone(self.tz)
        # From the day before: its time may lie in an hour that is skipped into this day. Where clocks go back from
        # 00:01 to 23:01 (Newfoundland until 2011), tomorrow's 00:00 may have been already.
        day = local.date() - timedelta(days=1)
        while True:
            day = day if self.due_on is None else self.due_on.next(day)
            at = datetime.combine(day, self.due, self.tz).astimezone(interval.end.tzinfo)
            if at >= interval.end:
                return at
            day += timedelta(days=1)

    def promises(self, interval: Interval) -> bool:
        """Return whether the partition is promised: its day is in ``calendar``.

        Raises:
            DeclarationError: when nothing is known of the holidays that ``calendar`` names.
        """
        return self.calendar is None or self.day_of(interval) in self.calendar

    def day_of(self, interval: Interval) -> date:
        """Return the day that the partition belongs to: a UTC day is that day, anything else its first local day."""
        return interval.start.date() if interval.is_day else interval.start.astimezone(self.tz).date()

    @property
    def consequences(self) -> str:
        """How bad it is to be late, and what else is promised, for people."""
        rungs = ", ".join(
            f"{severity} from {format_duration(late)} late" if late else str(severity) for severity, late in self.ladder
        )
        parts = [
            f"a warning {format_duration(self.warn_before)} before" if self.warn_before is not None else "",
            rungs,
            f"{_percent(self.on_time)} in time" if self.on_time is not None else "",
            f"{_percent(self.correct)} of {self.of} right" if self.correct is not None else "",
            f"over {format_duration(self.window)}" if self.on_time is not None or self.correct is not None else "",
        ]
        return ", ".join(part for part in parts if part)

    @cached_property
    def digest(self) -> str:
        """A hash of what is promised, whoever is called when it is missed; worked out once, for it is asked often."""
        said = evolve(self, on_miss=None).to_json()
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the promise as JSON can hold it.

        Raises:
            DeclarationError: when ``on_miss`` is a function, which only its own process has.
        """
        if self.on_miss is not None and not isinstance(self.on_miss, str):
            raise DeclarationError('on_miss must be a text here, "package.module:function"')
        durations = ("within", "every", "warn_before", "info", "warning", "error", "critical", "grace")
        more = {
            **{name: _seconds(value) for name in durations if (value := getattr(self, name))},
            **{name: 0 for name in ("info", "warning", "error", "critical") if getattr(self, name) == timedelta(0)},
            **{name: c.to_json() for name in ("calendar", "due_on") if (c := getattr(self, name)) is not None},
            **{name: f"{goal * 100}%" for name in ("on_time", "correct") if (goal := getattr(self, name)) is not None},
        }
        return {
            "due": None if self.due is None else f"{self.due:%H:%M}",
            "tz": self.tz.key,
            "within": None,
            "severity": None if self.severity is None else str(self.severity),
            "on_miss": self.on_miss,
            **{name: getattr(self, name) for name in ("dag", "task", "airflow", "rows", "where")},
            "of": self.of,
            "window": _seconds(self.window),
            **more,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Sla:
        """Return the promise that ``to_json`` wrote."""
        known = dict(document)
        for name in ("calendar", "due_on"):
            if known.get(name) is not None:
                known[name] = Calendar(**known[name])
        return cls(**known)

    def __str__(self) -> str:
        if self.due is not None:
            said = f"due {self.due:%H:%M} {self.tz.key}"
        elif self.within is not None:
            said = f"within {format_duration(self.within)} after the interval"
        else:
            said = ""
        parts = [
            said,
            f"every {format_duration(self.every)}" if self.every is not None else "",
            f"for {self.calendar}" if self.calendar is not None else "",
            f"on {self.due_on}" if self.due_on is not None else "",
            f"{format_duration(self.grace)} of grace" if self.grace else "",
        ]
        return ", ".join(part for part in parts if part)


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):.10g}%"


def _seconds(value: timedelta) -> str:
    return f"{round(value.total_seconds())}s"
