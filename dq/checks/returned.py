"""Returned and Answered: what a function of the user returns, instead of what a statement measures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar

from attrs import frozen

from dq.checks.judge import Reading
from dq.checks.kind import RowKind, ValueKind
from dq.model.check import Check
from dq.model.errors import DeclarationError, MeasureError
from dq.model.group import By, Group
from dq.model.measure import Measure
from dq.model.reading import Moment, Numbers, Valued


@frozen
class Returned(ValueKind):
    """The number, or the duration, that a function returns is within bounds.

    Attributes:
        function: what people call it.
    """

    needs_rows: ClassVar[bool] = False
    units: ClassVar[tuple[str, ...]] = ("number", "duration")
    function: str

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the one number; no statement answers it."""
        return {"value": Measure("number", self.function, where)}

    def value(self, numbers: Numbers, moment: Moment) -> Valued:
        """Return what the function returned.

        Raises:
            MeasureError: when it is no finite number.
        """
        found: Any = numbers.get("value")
        return Valued(found) if isinstance(found, timedelta) else super().value(numbers, moment)

    def __str__(self) -> str:
        return self.function


@frozen
class Answered(RowKind):
    """A function returns True, or counts no more violations than are tolerated.

    Attributes:
        function: what people call it.
    """

    needs_rows: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    noun: ClassVar[str] = "finding"
    function: str

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the number of violations; no statement answers it."""
        return {"violations": Measure("query", self.function, where)}

    def __str__(self) -> str:
        return self.function


def reading_of(check: Check, by: By | None, returned: object) -> Reading:
    """Return what a function returned as what a scan would have measured.

    Args:
        check: of the kind ``Returned`` or ``Answered``.
        by: its group columns; then the function returns a mapping of orgs to what it would return for the whole.
        returned: by the function.

    Raises:
        MeasureError: when that is nothing to be judged.
    """
    ((_, measure),) = check.measures().items()
    if by is None:
        if isinstance(returned, Mapping):
            raise MeasureError("it returned a mapping; say by= for one number per org")
        return Reading({None: {measure: _number(check, returned)}})
    if not isinstance(returned, Mapping):
        raise MeasureError(f"it returned {_named(returned)}; with by= it returns a mapping of each org to its number")
    numbers: dict[Group | None, dict[Measure, object]] = {}
    for org, value in returned.items():
        try:
            numbers[by.key(org)] = {measure: _number(check, value), check.partition_rows: 1}
        except DeclarationError as error:
            raise MeasureError(str(error)) from None
    expected = () if by.expected is None else tuple(by.key(org) for org in by.expected)
    return Reading(numbers, by=by, expected=expected)


def _number(check: Check, value: object) -> object:
    if check.kind.judged == "value":
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction | timedelta):
            raise MeasureError(f"it returned {_named(value)}, not a number or a duration")
        return value
    if isinstance(value, bool):
        return 0 if value else 1
    if not isinstance(value, int) or value < 0:
        raise MeasureError(f"it returned {_named(value)}, neither True, False nor a count of violations")
    return value


def _named(value: object) -> str:
    """Return what a value is, without showing it: sentences go to chat."""
    if value is None or isinstance(value, bool | int | float | Decimal):
        return repr(value)
    return f"a {type(value).__name__}"
