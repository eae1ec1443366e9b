"""SLA: the promise that a partition is there in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import field, frozen

from dq.model.duration import format_duration, parse_duration
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.severity import Severity


def _clock(value: str | time | None) -> time | None:
    if value is None or isinstance(value, time):
        return value
    try:
        if len(value) == 5:
            return time.fromisoformat(value)
    except (ValueError, TypeError):
        pass
    raise DeclarationError(f'due={value!r} is not a time of day; write it like "06:00"')


def _duration(value: str | timedelta | None) -> timedelta | None:
    return None if value is None else parse_duration(value)


def _severity(value: str | Severity) -> Severity:
    return Severity.of(value)


def _zone(name: str | ZoneInfo) -> ZoneInfo:
    if isinstance(name, ZoneInfo):
        return name
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise DeclarationError(f'tz={name!r} is not a time zone; write it like "Europe/Berlin"') from None


@frozen(kw_only=True)
class Sla:
    """A timeliness promise about each partition of a suite or reconciliation.

    Give ``due`` or ``within``, not both.

    Attributes:
        due: the time of day at which the partition must be there: the first such local time at or after its end.
        tz: the time zone of ``due``, an IANA name; also what decides it across daylight saving changes.
        within: how long after the end of the partition it must be there, e.g. ``"1h"``.
        severity: how bad a miss is.
        on_miss: called once per missed partition with Airflow 2's five ``sla_miss_callback`` arguments
            (dag, task_list, blocking_task_list, slas, blocking_tis); a function or ``"package.module:function"``.
    """

    due: time | None = field(default=None, converter=_clock)
    tz: ZoneInfo = field(factory=lambda: ZoneInfo("UTC"), converter=_zone)
    within: timedelta | None = field(default=None, converter=_duration)
    severity: Severity = field(default=Severity.CRITICAL, converter=_severity)
    on_miss: Callable[..., object] | str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.due is None) is (self.within is None):
            raise DeclarationError('an Sla needs exactly one of due="06:00" and within="1h"')

    def deadline(self, interval: Interval) -> datetime:
        """Return the instant (UTC) at which the partition ``interval`` must be there.

        A local time that a daylight saving change skips is read as if the clock had not changed; of a time that
        happens twice, the first counts.
        """
        if self.within is not None:
            return interval.end + self.within
        assert self.due is not None  # noqa: S101  # one of the two is given, see above
        local = interval.end.astimezone(self.tz)
        # From the day before: its time may lie in an hour that is skipped into this day. To the day after tomorrow:
        # where clocks go back from 00:01 to 23:01 (Newfoundland until 2011), tomorrow's 00:00 may have been already.
        for days in (-1, 0, 1, 2):
            day = local.date() + timedelta(days=days)
            at = datetime.combine(day, self.due, self.tz).astimezone(interval.end.tzinfo)
            if at >= interval.end:
                return at
        raise AssertionError("a time of day comes within three days")

    def to_json(self) -> dict[str, str | None]:
        """Return the promise as JSON can hold it.

        Raises:
            DeclarationError: when ``on_miss`` is a function, which only its own process has.
        """
        if self.on_miss is not None and not isinstance(self.on_miss, str):
            raise DeclarationError('on_miss must be a text here, "package.module:function"')
        return {
            "due": None if self.due is None else f"{self.due:%H:%M}",
            "tz": self.tz.key,
            "within": None if self.within is None else f"{round(self.within.total_seconds())}s",
            "severity": str(self.severity),
            "on_miss": self.on_miss,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, str | None]) -> Sla:
        """Return the promise that ``to_json`` wrote."""
        return cls(**document)  # type: ignore[arg-type]  # the converters take texts

    def __str__(self) -> str:
        if self.within is not None:
            return f"within {format_duration(self.within)} after the interval"
        return f"due {self.due:%H:%M} {self.tz.key}"
