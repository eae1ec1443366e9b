"""Change: a measured number against what the same check measured for older partitions.

Which older partition is in the history, by what its newest run found:

    what its newest run found                              its number   in the history
    -----------------------------------------------------  -----------  ----------------------------------------
    pass, or a failure at info or warning                  kept         yes
    a failure at error or critical                         kept         no; with ``failed="include"`` yes
    a number, but too little history to judge it (skip)    kept         yes
    a number, but nothing it could be divided by           kept         yes
    no number: no data, a statement that broke             none         no, and it is no part of the minimum either
    the partition was run again                            the newest   as that run found it

    and where it lies
    -----------------------------------------------------  ----------------------------------------
    it ends after the partition that is judged begins      no: a back-fill never sees its future
    it is more than a fifth longer or shorter              no: an hour is no measure for a day
    it began before ``since=``                             no

A failed partition is left out because tomorrow would be held against what is known to be wrong. So a new level that is
right goes on failing until somebody says so: with ``since=``, or with ``failed="include"``.

What is measured, ``x`` being the number, ``b`` the base (the one partition, or the median of the history):

    unit          value                      where it cannot be said
    ------------  -------------------------  ---------------------------------------------------------------
    ``absolute``  x - b
    ``%``         100 (x - b) / abs(b)       b = 0: x = 0 is 0%, any other x is unmeasured
    ``ratio``     x / b                      b = 0: x = 0 is 1, any other x is unmeasured
    ``zscore``    (x - b) / (1.4826 MAD)     MAD = 0: (x - b) / (1.2533 times the mean distance from b);
                                             that is 0 too (all alike): x = b is 0, any other x is unmeasured

MAD is the median distance from the median. 1.4826 makes it the standard deviation of a normal distribution (Rousseeuw
and Croux, Alternatives to the Median Absolute Deviation, JASA 88, 1993; it is 1 / 0.6745 of the modified z-score of
Iglewicz and Hoaglin, NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17, who call outliers what is beyond 3.5).
1.2533, the square root of pi / 2, does the same for the mean distance. Where half of the history and more is one
number the MAD is 0, as for a table that hardly ever changes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from statistics import median
from typing import Any, ClassVar, Literal, Self

from attrs import field, frozen

from dq.model.check import Kind
from dq.model.errors import MeasureError, NotJudgedError
from dq.model.interval import Interval
from dq.model.measure import Measure
from dq.model.predicate import Predicate
from dq.model.reading import Counted, Moment, Numbers, Past, Valued, Wanted
from dq.model.thresholds import Value, as_time, format_value

MAD_IS_DEVIATION = Fraction("1.4826")
MEAN_DISTANCE_IS_DEVIATION = Fraction("1.2533")

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
SUMMER_TIME = timedelta(hours=1)
"""How far a daily partition of a local time zone is off the same weekday in UTC when the clocks have changed."""

Against = Literal["previous", "same weekday", "median", "season"]
_LAST = {"previous": 1, "same weekday": 1, "median": 28, "season": 8}
_LEAST = {"previous": 1, "same weekday": 1, "median": 7, "season": 3}
_NAMED = {
    "previous": "the partition before",
    "same weekday": "the same weekday and hour before",
    "median": "the median of the last {} partitions",
    "season": "the median of the last {} of the same weekday and hour",
}
_UNITS = {"%": "% of change", "ratio": "ratio", "absolute": "change", "zscore": "robust z-score"}


@frozen
class Change:
    """How far a measured number is from what it was: ``Change(RowCount(), "median", unit="zscore")``, within bounds.

    Attributes:
        of: the kind whose number it is: one that measures a value, or one that counts violations.
        against: ``"previous"``: the newest older partition; ``"same weekday"``: the newest that began a whole number
            of weeks earlier; ``"median"``: the median of the last ``over``; ``"season"``: the median of the last
            ``over`` that began a whole number of weeks earlier. Weeks are of UTC; of partitions of a day or more, one
            that is off by an hour is the same, because clocks change.
        unit: what the bounds are in: ``"%"``, ``"ratio"`` (1: no change), ``"absolute"`` (durations in seconds), or
            ``"zscore"``, which needs a median.
        over: how many partitions the history has at most: 28 for the median, 8 for the season.
        least: with fewer the check is not judged: 7 for the median, 3 for the season, 1 for the others.
        failed: whether partitions where it failed at error or above are in the history: ``"exclude"``, ``"include"``.
        since: only partitions from that date or time on are in the history.
    """

    judged: ClassVar[Literal["violations", "value"]] = "value"
    nulls: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    noun: ClassVar[str] = "row"
    of_table: ClassVar[bool] = False
    late: ClassVar[tuple[str, ...]] = ()
    of: Kind
    against: Against = "previous"
    unit: Literal["%", "ratio", "absolute", "zscore"] = field(default="%", kw_only=True)
    over: int | None = field(default=None, kw_only=True)
    least: int | None = field(default=None, kw_only=True)
    failed: Literal["exclude", "include"] = field(default="exclude", kw_only=True)
    since: date | None = field(default=None, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if isinstance(self.of, type) or not hasattr(self.of, "measures"):
            yield f"{self.of!r} is not a kind of check; write e.g. Change(RowCount())"
            return
        yield from self.of.problems()
        if self.of.remembers or self.of.of_table:
            yield f"the change of {self.of} cannot be measured"
        words: dict[str, tuple[object, Collection[str]]] = {
            "against": (self.against, _LAST),
            "unit": (self.unit, _UNITS),
            "failed": (self.failed, ("exclude", "include")),
        }
        for what, (word, allowed) in words.items():
            if word not in allowed:
                yield f"{what}={word!r} is not one of {', '.join(map(repr, allowed))}"
        if self.against in _LAST:
            yield from self._bad_numbers()
        since: object = self.since
        if since is not None and not isinstance(since, date):
            yield f"since={since!r} is not a date"

    def _bad_numbers(self) -> Iterator[str]:
        numbers: dict[str, object] = {"over": self.last, "least": self.at_least}
        for what, number in numbers.items():
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MOST:
                yield f"{what}={number!r} is not a number of partitions from 1 to {MOST}"
                return
        if self.at_least > self.last:
            yield f"least={self.at_least} is more than the {self.last} partitions of its history"
        if _LAST[self.against] == 1 and self.last != 1:
            yield f"over={self.over} says nothing about one partition; use against='median' or 'season'"
        if _LAST[self.against] == 1 and self.unit == "zscore":
            yield "a z-score needs more than one partition; use against='median' or 'season'"

    @property
    def last(self) -> int:
        """How many partitions the history has at most."""
        return _LAST[self.against] if self.over is None else self.over

    @property
    def at_least(self) -> int:
        """How many it must have."""
        return min(_LEAST[self.against], self.last) if self.least is None else self.least

    @property
    def needs_rows(self) -> bool:
        """As the kind whose number it is."""
        return self.of.needs_rows

    @property
    def remembers(self) -> Wanted:
        """The older partitions that it is held against."""
        step = WEEK if self.against in ("same weekday", "season") else None
        since = None if self.since is None else as_time(self.since)
        return Wanted(self.last, step, self.failed == "include", since)

    def recalled(self, recorded: object) -> Self:  # noqa: ARG002  # as every kind
        """Return it as it is."""
        return self

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return what the kind measures that its number is made of."""
        return {role: m for role, m in self.of.measures(where).items() if role not in self.of.late}

    def needs_late(self, numbers: Numbers) -> bool:  # noqa: ARG002  # as every kind
        """Nothing is."""
        return False

    def count(self, numbers: Numbers, moment: Moment) -> Counted:
        """It counts no violations."""
        raise NotImplementedError

    def value(self, numbers: Numbers, moment: Moment) -> Valued:
        """Return the change.

        Raises:
            MeasureError: when the number cannot be read, or there is nothing to divide by.
            NotJudgedError: when there is too little history.
        """
        if self.of.judged == "violations":
            return self.compared(Fraction(self.of.count(numbers, moment).violations), moment)
        found = self.of.value(numbers, moment)
        number = found.measured if found.measured is not None else found.value
        return Valued(None) if number is None else self.compared(_number(number), moment)

    def compared(self, number: Fraction, moment: Moment) -> Valued:
        """Return the change of a number that was measured.

        Raises:
            MeasureError: when there is nothing to divide by.
            NotJudgedError: when there is too little history.
        """
        past = in_history(moment.past, moment.interval, self.remembers)
        if len(past) < self.at_least:
            raise NotJudgedError(self._too_little(past, moment), number)
        history = [_number(one.measured) for one in past]
        base = Fraction(median(history))
        off, spread = number - base, Fraction(1)
        if self.unit in ("%", "ratio"):
            spread = abs(base) / 100 if self.unit == "%" else base
        elif self.unit == "zscore":
            spread = deviation(history, base)
        same = Fraction(1 if self.unit == "ratio" else 0)
        if spread == 0 and off != 0:
            raise MeasureError(self._no_measure(number, base, len(past)), number)
        value = same + (off / spread if spread else 0)
        which = f"{past[0].interval}: " if self.last == 1 else f"{len(past)} partitions, median "
        said = f"{self._shown(number)}; {which}{self._shown(base)}"
        detail: dict[str, Any] = {"measured": _json(number), "base": _json(base), "history": len(past)}
        if self.unit == "zscore":
            detail["deviation"] = _json(spread)
        return Valued(value, measured=number, detail=detail, said=said, back=lambda end: base + (end - same) * spread)

    def failing(self) -> Predicate | Measure | None:
        """A change has no failing rows."""
        return None

    @property
    def units(self) -> tuple[str, ...]:
        """A change is a number."""
        return ("number",)

    def _too_little(self, past: Sequence[Past], moment: Moment) -> str:
        every = Wanted(self.last, self.remembers.step, failed=True, since=self.remembers.since)
        left_out = sum(one.failed for one in in_history(moment.past, moment.interval, every)) - sum(
            one.failed for one in past
        )
        more = f"; {left_out} that failed are left out" if left_out else ""
        return f"{len(past)} of {self.at_least} partitions of history{more}"

    def _no_measure(self, number: Fraction, base: Fraction, count: int) -> str:
        if self.unit == "zscore":
            same = f"all {count} partitions were {self._shown(base)}"
            return f"{same}, so {self._shown(number)} has no z-score; use unit='%' or 'absolute'"
        return f"{self._shown(number)} cannot be said in {self.unit} of 0; use unit='absolute'"

    def _shown(self, number: Fraction) -> str:
        is_duration = getattr(self.of, "units", ()) == ("duration",)
        return format_value(timedelta(seconds=float(number)) if is_duration else number)

    def __str__(self) -> str:
        number = f"violations of {self.of}" if self.of.judged == "violations" else str(self.of)
        return f"{_UNITS[self.unit]} of {number} against {_NAMED[self.against].format(self.last)}"


MOST = 366
"""How many partitions a history has at most."""


def in_history(past: Sequence[Past], interval: Interval, wanted: Wanted) -> tuple[Past, ...]:
    """Return the older partitions that ``interval`` is held against, the newest first; the tables of this module."""
    length = interval.end - interval.start
    found = [
        one
        for one in sorted(past, key=lambda p: p.interval.start, reverse=True)
        if one.interval.end <= interval.start
        and 5 * abs(length - (one.interval.end - one.interval.start)) <= length
        and (wanted.failed or not one.failed)
        and (wanted.since is None or one.interval.start >= wanted.since)
        and (wanted.step is None or is_step(interval, one.interval.start, wanted.step))
    ]
    return tuple(found[: wanted.last])


def is_step(interval: Interval, start: datetime, step: timedelta) -> bool:
    """Return whether a partition that began at ``start`` did so a whole number of steps before ``interval``."""
    off = (interval.start - start) % step
    slack = SUMMER_TIME if interval.end - interval.start >= DAY - SUMMER_TIME else timedelta(0)
    return off <= slack or step - off <= slack


def deviation(history: Sequence[Fraction], base: Fraction) -> Fraction:
    """Return the robust standard deviation of ``history`` about its median ``base``; 0: all of it is alike."""
    distances = [abs(number - base) for number in history]
    mad = Fraction(median(distances))
    return MAD_IS_DEVIATION * mad if mad else MEAN_DISTANCE_IS_DEVIATION * sum(distances, Fraction(0)) / len(distances)


_EPOCH = as_time(date(1970, 1, 1))


def _number(value: Value) -> Fraction:
    if isinstance(value, datetime):
        value = value - _EPOCH
    return Fraction(str(value.total_seconds())) if isinstance(value, timedelta) else value


def _json(number: Fraction) -> int | float:
    return number.numerator if number.denominator == 1 else float(number)
