"""Numbers of one column: least, greatest, sum, mean, median, quantile, standard deviation, lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal

from attrs import field, frozen

from dq.checks.kind import ValueKind, bad_column, number
from dq.model.measure import Function, Measure, Stat
from dq.model.reading import Moment, Numbers, Valued
from dq.model.thresholds import as_time


@frozen
class _OfColumn(ValueKind):
    """What the kinds share that are one aggregate of one column; NULLs are left out."""

    function: ClassVar[Function]
    words: ClassVar[str]
    column: str

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)

    @property
    def stat(self) -> Stat:
        """The aggregate."""
        return Stat(self.function, (self.column,))

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows and the aggregate."""
        return {"rows": Measure("rows", where=where), "value": Measure("stat", self.stat, where)}

    def __str__(self) -> str:
        return f"{self.words} {self.column}"


@frozen
class _Extreme(_OfColumn):
    """The least or greatest of numbers, dates or times."""

    units: ClassVar[tuple[str, ...]] = ("number", "time")

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the number, or the time in UTC.

        Raises:
            MeasureError: when it is neither.
        """
        found = numbers.get("value")
        if isinstance(found, str):  # SQLite keeps times as text
            try:
                return Valued(as_time(datetime.fromisoformat(found)))
            except ValueError:
                return Valued(number(found))
        return Valued(as_time(found) if isinstance(found, date) else number(found))


@frozen
class Min(_Extreme):
    """The least value of the column, a number or a time, is within bounds.

    Attributes:
        column: its name.
    """

    function: ClassVar[Function] = "min"
    words: ClassVar[str] = "the least"


@frozen
class Max(_Extreme):
    """The greatest value of the column, a number or a time, is within bounds.

    Attributes:
        column: its name.
    """

    function: ClassVar[Function] = "max"
    words: ClassVar[str] = "the greatest"


@frozen
class Sum(_OfColumn):
    """The sum of the column is within bounds.

    Attributes:
        column: its name.
    """

    function: ClassVar[Function] = "sum"
    words: ClassVar[str] = "the sum of"


@frozen
class Mean(_OfColumn):
    """The arithmetic mean of the column is within bounds.

    Attributes:
        column: its name.
    """

    function: ClassVar[Function] = "mean"
    words: ClassVar[str] = "the mean of"


@frozen
class Quantile(_OfColumn):
    """The value below which a share of the column lies is within bounds; between two values it is interpolated.

    Attributes:
        column: its name.
        at: the share, from 0 (the least value) to 1 (the greatest).
    """

    at: int | float | Decimal

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if isinstance(self.at, bool) or not isinstance(self.at, int | float | Decimal) or not 0 <= self.at <= 1:
            yield f"at={self.at!r} is not a share from 0 to 1"

    @property
    def stat(self) -> Stat:
        """The quantile."""
        return Stat("quantile", (self.column,), self.at)

    def __str__(self) -> str:
        return f"the {self.at} quantile of {self.column}"


@frozen
class Median(_OfColumn):
    """The median of the column is within bounds; of an even number of values it is the mean of the two in the middle.

    Attributes:
        column: its name.
    """

    words: ClassVar[str] = "the median of"

    @property
    def stat(self) -> Stat:
        """The quantile at one half."""
        return Stat("quantile", (self.column,), 0.5)

    def __str__(self) -> str:
        return f"the median of {self.column}"


@frozen
class StdDev(_OfColumn):
    """The standard deviation of the column is within bounds.

    Attributes:
        column: its name.
        of: ``"sample"`` divides by one less than the number of values, ``"population"`` by that number. A sample
            of one value has none.
    """

    of: Literal["sample", "population"] = field(default="sample", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if self.of not in ("sample", "population"):
            yield f'of={self.of!r} is not "sample" or "population"'

    @property
    def stat(self) -> Stat:
        """The standard deviation."""
        return Stat("stddev_sample" if self.of == "sample" else "stddev_population", (self.column,))

    def __str__(self) -> str:
        return f"the {self.of} standard deviation of {self.column}"


@frozen
class TextLength(_OfColumn):
    """The least, greatest or mean number of characters in the column is within bounds.

    Attributes:
        column: its name.
        which: ``"min"``, ``"max"`` or ``"mean"``.
    """

    which: Literal["min", "max", "mean"]

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if self.which not in ("min", "max", "mean"):
            yield f'{self.which!r} is not one of "min", "max", "mean"'

    @property
    def stat(self) -> Stat:
        """The length."""
        functions: dict[str, Function] = {"min": "min_length", "max": "max_length", "mean": "mean_length"}
        return Stat(functions[self.which], (self.column,))

    def __str__(self) -> str:
        return f"the { {'min': 'least', 'max': 'greatest', 'mean': 'mean'}[self.which] } length of {self.column}"
