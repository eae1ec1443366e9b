"""How many values of a column are different, or occur once; which are the most common, and which there are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from dq.checks.kind import RowKind, ValueKind, alike, as_columns, as_values, bad_column, bad_literals, whole
from dq.checks.values import shown_values
from dq.model.group import group_value
from dq.model.measure import Frequencies, Function, Measure, Stat
from dq.model.predicate import Present, Scalar
from dq.model.reading import Counted, Moment, Numbers, Valued

_LISTED = 100
"""How many values are listed beside those asked for."""


@frozen
class _OfValues(ValueKind):
    """What the kinds share that count values."""

    function: ClassVar[Function]
    columns: tuple[str, ...] = field(converter=as_columns)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        if not self.columns:
            yield f"{type(self).__name__} needs at least one column"
        for column in self.columns:
            yield from bad_column(column)

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows and the number of values."""
        return {
            "rows": Measure("rows", where=where),
            "value": Measure("stat", Stat(self.function, self.columns), where),
        }


@frozen
class _ShareOfRows(_OfValues):
    """A number of values, as a share of the rows that have one."""

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, those without a value, and the number of values."""
        missing = {"missing": Measure("violations", Present(self.columns), where)}
        return {**super().measures(where), **missing}

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the share; None where no row has a value."""
        rows = (whole(numbers.get("rows")) or 0) - (whole(numbers.get("missing")) or 0)
        return Valued(Fraction(whole(numbers.get("value")) or 0, rows) if rows else None)


@frozen
class DistinctCount(_OfValues):
    """The number of different values (of several columns: combinations) is within bounds; NULL is none.

    Attributes:
        columns: one name or several.
    """

    function: ClassVar[Function] = "distinct"

    def __str__(self) -> str:
        return f"the number of different {', '.join(self.columns)}"


@frozen
class DistinctShare(_ShareOfRows):
    """The number of different values, as a share of the rows that have one, is within bounds.

    Attributes:
        columns: one name or several.
    """

    function: ClassVar[Function] = "distinct"

    def __str__(self) -> str:
        return f"the share of different {', '.join(self.columns)}"


@frozen
class UniqueCount(_OfValues):
    """The number of values that occur exactly once is within bounds.

    Attributes:
        columns: one name or several.
    """

    function: ClassVar[Function] = "unique"

    def __str__(self) -> str:
        return f"the number of {', '.join(self.columns)} that occur once"


@frozen
class DuplicateCount(_OfValues):
    """The number of values that occur more than once is within bounds; each counts once, however often it occurs.

    Attributes:
        columns: one name or several.
    """

    function: ClassVar[Function] = "distinct"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, the different values, and those that occur once."""
        return {**super().measures(where), "once": Measure("stat", Stat("unique", self.columns), where)}

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the different values that do not occur once."""
        return Valued(Fraction((whole(numbers.get("value")) or 0) - (whole(numbers.get("once")) or 0)))

    def __str__(self) -> str:
        return f"the number of {', '.join(self.columns)} that occur more than once"


@frozen
class UniqueShare(_ShareOfRows):
    """The number of values that occur exactly once is, as a share, within bounds.

    Attributes:
        columns: one name or several.
        of: ``"rows"``: of the rows that have a value; ``"values"``: of the different values.
    """

    function: ClassVar[Function] = "unique"
    of: Literal["rows", "values"] = field(default="rows", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if self.of not in ("rows", "values"):
            yield f'of={self.of!r} is not "rows" or "values"'

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, those without a value, the values that occur once, and the different ones."""
        found = dict(super().measures(where))
        if self.of == "values":
            found["values"] = Measure("stat", Stat("distinct", self.columns), where)
        return found

    def value(self, numbers: Numbers, moment: Moment) -> Valued:
        """Return the share; None where no row has a value."""
        if self.of == "rows":
            return super().value(numbers, moment)
        values = whole(numbers.get("values")) or 0
        return Valued(Fraction(whole(numbers.get("value")) or 0, values) if values else None)

    def __str__(self) -> str:
        return f"the share of {', '.join(self.columns)} that occur once"


def _different(values: Scalar | Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(dict.fromkeys(as_values(values)))


@frozen
class Values(RowKind):
    """The different values of the column are these, all of them and no other; NULL is none.

    A violation is a value that is missing or one too many, so a tolerance counts values.

    Attributes:
        column: its name.
        values: numbers, strings, booleans, dates.
        only: another value is a violation.
        all: a value that does not occur is a violation.
    """

    shares: ClassVar[bool] = False
    noun: ClassVar[str] = "value"
    column: str
    values: tuple[Scalar, ...] = field(converter=_different)
    only: bool = field(default=True, kw_only=True)
    all: bool = field(default=True, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if not self.values:
            yield "Values has no values"
        yield from bad_literals(self.values)
        if not self.only and not self.all:
            yield "only=False and all=False together demand nothing"

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, and the values that there are."""
        return {
            "rows": Measure("rows", where=where),
            "values": Measure(
                "frequencies", Frequencies(self.column, self.values, len(self.values) + _LISTED, self.values), where
            ),
        }

    def count(self, numbers: Numbers, moment: Moment) -> Counted:  # noqa: ARG002  # as every kind
        """Return the values that are missing or too many, by name."""
        found = numbers.get("values") or ()
        wanted = {alike(value): value for value in self.values}
        there = {alike(row[0]) for row in found}
        different = whole(found[0][2]) or 0 if found else 0
        missing = [value for alike, value in wanted.items() if alike not in there] if self.all else []
        matched = len(wanted) - len([1 for alike in wanted if alike not in there])
        extra = different - matched if self.only else 0
        said = [f"missing: {shown_values(missing)}"] if missing else []
        if extra:
            said.append(f"{extra} others")
        return Counted(
            len(missing) + extra,
            rows=different,
            detail={"values": [plain(row[0]) for row in found], "different": different},
            said="; ".join(said) or None,
        )

    def __str__(self) -> str:
        verb = "are" if self.only and self.all else "are among" if self.only else "hold"
        return f"the values of {self.column} {verb} {shown_values(self.values)}"


@frozen
class MostCommon(RowKind):
    """The most common value of the column is one of these; NULL is none.

    Attributes:
        column: its name.
        values: those that it may be.
        ties: where several are equally common, ``"all"`` of them must be allowed, or ``"one"``; ``"none"``: a tie is a
            violation itself.
    """

    shares: ClassVar[bool] = False
    noun: ClassVar[str] = "value"
    column: str
    values: tuple[Scalar, ...] = field(converter=_different)
    ties: Literal["all", "one", "none"] = field(default="all", kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_column(self.column)
        if not self.values:
            yield "MostCommon has no values"
        yield from bad_literals(self.values)
        if self.ties not in ("all", "one", "none"):
            yield f'ties={self.ties!r} is not one of "all", "one", "none"'

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the rows, and the most common values."""
        return {
            "rows": Measure("rows", where=where),
            "values": Measure("frequencies", Frequencies(self.column, limit=1, spelled=self.values), where),
        }

    def count(self, numbers: Numbers, moment: Moment) -> Counted:  # noqa: ARG002  # as every kind
        """Return how many of the most common values are not allowed."""
        found = numbers.get("values") or ()
        allowed = {alike(value) for value in self.values}
        bad = [row[0] for row in found if alike(row[0]) not in allowed]
        violations = 0 if self.ties == "one" and len(bad) < len(found) else len(bad)
        if self.ties == "none":
            violations = max(violations, len(found) - 1)
        return Counted(violations, rows=len(found), detail={"values": [plain(row[0]) for row in found]})

    def __str__(self) -> str:
        return f"the most common {self.column} is one of {shown_values(self.values)}"


def plain(value: object) -> Any:
    """Return a value of a database as JSON has it."""
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if value is None or isinstance(value, bool | int | float | str) else group_value(value)
