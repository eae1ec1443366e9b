"""Schema: the columns that a table has. ColumnCount: how many.

A column of the table, or one that is declared, is a violation once, whatever is wrong with it:

    what was found                                        violation
    ----------------------------------------------------  --------------------------------------------
    declared, and not there                               yes
    there, and not declared                               with ``extra="forbidden"``
    there, and named in ``forbid=``                       yes
    of another type than declared                         yes
    may be NULL, or may not, other than declared          yes
    not at the position of ``at=``                        yes
    not in the declared order                             with ``ordered=True``: as few as explain the order

With nothing declared the table is held against its columns as they were recorded, by the same rules: types and NULL as
the database writes them. The first run records them. ``dq reference record`` takes them anew, after a wanted change.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Generator, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import Any, ClassVar, Literal

from attrs import field, frozen

from dq.checks.column_type import holds
from dq.checks.kind import RowKind, ValueKind, as_columns, bad_column
from dq.checks.other_table import bad_table
from dq.model.errors import MeasureError
from dq.model.measure import Elsewhere, Measure
from dq.model.names import first_of
from dq.model.reading import Counted, Moment, Numbers, Valued
from dq.model.table import Table

_SHOWN = 8
"""How many columns a sentence names."""


def _declared(value: Mapping[str, str | None] | Iterable[str] | None) -> tuple[tuple[str, str | None], ...] | None:
    if value is None:
        return None
    if isinstance(value, Mapping):
        return tuple(value.items())
    return tuple((name, None) for name in as_columns(value))


def _pairs(value: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(value.items())


@frozen
class Schema(RowKind):
    """The columns of the table are those declared: ``Schema({"id": "integer", "name": "varchar"})``.

    A violation is a column, so a tolerance counts columns. It looks at the table as such: no rows are read, and neither
    ``where=`` nor ``by=`` says anything about it. With nothing declared, ``Schema()`` holds the table against its
    columns at the first run: what was added, removed or retyped since.

    Attributes:
        columns: names with their types, or only names. A type is a family (``"integer"``, ``"decimal(10,2)"``,
            ``"text"``, see ``dq.checks.column_type``), which is the same on every database, or the database's own
            (``"character varying(20)"``); None: any.
        ordered: the columns stand in this order; others, where they are allowed, may stand between them.
        extra: whether columns that are not declared are ``"forbidden"`` or ``"allowed"``.
        forbid: names that no column may have; ``*`` stands for any characters.
        nullable: whether a column may hold NULL, by name.
        at: the position of a column by name, the first is 1 (as ``ordinal_position`` of ``information_schema``).
        any_case: names that differ in upper and lower case only are the same.
    """

    shares: ClassVar[bool] = False
    noun: ClassVar[str] = "column"
    needs_rows: ClassVar[bool] = False
    of_table: ClassVar[bool] = True
    columns: tuple[tuple[str, str | None], ...] | None = field(default=None, converter=_declared)
    ordered: bool = field(default=False, kw_only=True)
    extra: Literal["forbidden", "allowed"] = field(default="forbidden", kw_only=True)
    forbid: tuple[str, ...] = field(default=(), converter=as_columns, kw_only=True)
    nullable: tuple[tuple[str, bool], ...] = field(factory=dict, converter=_pairs, kw_only=True)
    at: tuple[tuple[str, int], ...] = field(factory=dict, converter=_pairs, kw_only=True)
    any_case: bool = field(default=False, kw_only=True)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        names = [name for name, _ in self.columns or ()]
        for name in (*names, *self.forbid, *(n for n, _ in self.nullable), *(n for n, _ in self.at)):
            yield from bad_column(name)
        yield from (f"the column {name!r} is declared twice" for name in dict.fromkeys(names) if names.count(name) > 1)
        for name, type_ in self.columns or ():
            if type_ is not None and (not isinstance(type_, str) or not type_.strip()):
                yield f"the type {type_!r} of {name} is not a text"
        if self.extra not in ("forbidden", "allowed"):
            yield f'extra={self.extra!r} is not "forbidden" or "allowed"'
        yield from (
            f"nullable={{{n!r}: {v!r}}} is not True or False" for n, v in self.nullable if v not in (True, False)
        )
        for name, place in self.at:
            if isinstance(place, bool) or not isinstance(place, int) or place < 1:
                yield f"at={{{name!r}: {place!r}}} is not a position; the first is 1"

    @property
    def remembers(self) -> Literal["recorded"] | None:
        """With nothing declared it is held against what was recorded."""
        return None if self.columns is not None or self.forbid or self.nullable or self.at else "recorded"

    def measures(self, where: str | None) -> Mapping[str, Measure]:  # noqa: ARG002  # it is of the table as such
        """Return the columns."""
        return {"columns": Measure("columns")}

    def recording(self, where: str | None) -> Generator[Mapping[str, Measure], Numbers, Any]:
        """Ask for the columns and return them as they are recorded."""
        numbers = yield self.measures(where)
        return _recorded(_found(numbers))

    def count(self, numbers: Numbers, moment: Moment) -> Counted:
        """Return the columns that are not as declared, by name.

        Raises:
            MeasureError: when the database does not say whether a column may be NULL, and that was declared.
        """
        found = _found(numbers)
        if self.remembers is None:
            return self._held(found, self.columns, dict(self.nullable))
        if moment.recorded is None:
            said = f"nothing was recorded yet; its {len(found)} columns are now"
            return Counted(0, rows=len(found), record=_recorded(found), said=said)
        before = [(str(name), str(type_), nullable) for name, type_, nullable in moment.recorded]
        nullable = {name: allowed for name, _, allowed in before if allowed is not None}
        return self._held(found, [(name, type_) for name, type_, _ in before], nullable)

    def _held(
        self, found: Sequence[_Column], columns: Sequence[tuple[str, str | None]] | None, nullable: Mapping[str, bool]
    ) -> Counted:
        closed = columns is not None and self.extra == "forbidden"
        columns = columns or ()
        there = {self._same(column.name): column for column in found}
        asked = dict.fromkeys([*(name for name, _ in columns), *nullable, *(name for name, _ in self.at)])
        moved = _moved([self._same(n) for n, _ in columns if self._same(n) in there], list(there))
        wrong: dict[str, dict[str, str]] = {}
        for what, name, why in (
            *self._strangers(found, {self._same(name) for name in asked} if closed else None),
            *((self._word("missing"), name, name) for name in asked if self._same(name) not in there),
            *self._unlike(there, columns),
            *self._null(there, nullable),
            *self._misplaced(there),
            *(("moved", name, there[name].name) for name in moved if self.ordered),
        ):
            wrong.setdefault(what, {})[self._same(name)] = why
        said = [f"{what}: {_shortened(list(whys.values()))}" for what, whys in wrong.items()]
        if moved and self.remembers and not self.ordered:
            said.append(f"moved, which is allowed: {_shortened([there[name].name for name in moved])}")
        detail = {what: list(whys.values()) for what, whys in wrong.items()} | {"columns": _recorded(found)}
        bad = {name for whys in wrong.values() for name in whys}
        return Counted(len(bad), rows=len(found), detail=detail, said="; ".join(said) or None)

    def _same(self, name: str) -> str:
        return name.lower() if self.any_case else name

    def _word(self, what: str) -> str:
        """Return how it is called that something is not as declared, or as recorded."""
        since = {"missing": "removed", "not declared": "added", "type": "retyped"}
        return since[what] if self.remembers else what

    def _strangers(self, found: Sequence[_Column], declared: Container[str] | None) -> Iterator[tuple[str, str, str]]:
        for name in (column.name for column in found):
            if declared is not None and self._same(name) not in declared:
                yield self._word("not declared"), name, name
            if any(fnmatchcase(self._same(name), self._same(pattern)) for pattern in self.forbid):
                yield "forbidden", name, name

    def _unlike(
        self, there: Mapping[str, _Column], columns: Iterable[tuple[str, str | None]]
    ) -> Iterator[tuple[str, str, str]]:
        for name, type_ in columns:
            real = there.get(self._same(name))
            if real is not None and type_ is not None:
                alike = real.type.lower() == type_.lower() if self.remembers else holds(type_, real.type)
                if not alike:
                    yield self._word("type"), name, f"{name} is {real.type or 'untyped'}, not {type_}"

    def _null(self, there: Mapping[str, _Column], nullable: Mapping[str, bool]) -> Iterator[tuple[str, str, str]]:
        for name, allowed in nullable.items():
            real = there.get(self._same(name))
            if real is None or real.nullable is allowed:
                continue
            if real.nullable is not None:
                yield "NULL", name, f"{name} {'must' if allowed else 'must not'} allow it"
            elif not self.remembers:
                raise MeasureError(f"the database does not say whether {name} may be NULL")

    def _misplaced(self, there: Mapping[str, _Column]) -> Iterator[tuple[str, str, str]]:
        places = {name: place for place, name in enumerate(there, 1)}
        for name, wanted in self.at:
            place = places.get(self._same(name), wanted)
            if place != wanted:
                yield "position", name, f"{name} is column {place}, not {wanted}"

    def __str__(self) -> str:
        parts = []
        if self.remembers is not None:
            parts.append("the columns are those that were recorded")
        if self.columns is not None:
            listed = (
                _shortened([name if type_ is None else f"{name} {type_}" for name, type_ in self.columns]) or "none"
            )
            verb = "are" if self.extra == "forbidden" else "hold"
            parts.append(f"the columns {verb} {listed}{' in this order' if self.ordered else ''}")
        if self.forbid:
            parts.append(f"no column is {_shortened(self.forbid)}")
        parts += [f"{name} {'may' if allowed else 'may not'} be NULL" for name, allowed in self.nullable]
        parts += [f"{name} is column {place}" for name, place in self.at]
        return ", ".join(parts)


@frozen
class _Column:
    name: str
    type: str
    nullable: bool | None


def _found(numbers: Numbers) -> list[_Column]:
    return [_Column(str(name), str(type_), nullable) for name, type_, nullable in numbers.get("columns") or ()]


def _recorded(found: Iterable[_Column]) -> list[list[Any]]:
    return [[column.name, column.type, column.nullable] for column in found]


def _moved(declared: Sequence[str], there: Sequence[str]) -> list[str]:
    """Return the fewest columns whose removal leaves the others in the declared order."""
    places = {name: place for place, name in enumerate(there)}
    ends: list[int] = []  # the least last place of an ordered row of each length: patience sorting
    lengths: list[int] = []
    for name in declared:
        length = bisect_left(ends, places[name])
        ends[length : length + 1] = [places[name]]
        lengths.append(length)
    kept: set[str] = set()
    wanted, last = len(ends) - 1, len(there)
    for name, length in zip(reversed(declared), reversed(lengths), strict=True):
        if length == wanted and places[name] < last:
            kept.add(name)
            wanted, last = wanted - 1, places[name]
    return [name for name in declared if name not in kept]


def _shortened(names: Sequence[str]) -> str:
    return first_of(names, _SHOWN)


@frozen
class ColumnCount(ValueKind):
    """The number of columns of the table is within bounds.

    Attributes:
        other: another table, also in another datasource: then the value is the number here minus the number there.
    """

    needs_rows: ClassVar[bool] = False
    of_table: ClassVar[bool] = True
    other: Table | None = None

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from bad_table(self.other) if self.other is not None else ()

    def measures(self, where: str | None) -> Mapping[str, Measure]:  # noqa: ARG002  # it is of the table as such
        """Return the columns, here and there."""
        here = {"columns": Measure("columns")}
        if self.other is None:
            return here
        return here | {"other": Measure("elsewhere", Elsewhere(self.other, Measure("columns")))}

    def value(self, numbers: Numbers, moment: Moment) -> Valued:  # noqa: ARG002  # as every kind
        """Return the number, or the difference."""
        here = len(numbers.get("columns") or ())
        if self.other is None:
            return Valued(Fraction(here))
        there = len(numbers.get("other") or ())
        return Valued(Fraction(here - there), said=f"{here} here, {there} in {self.other.name}")

    def __str__(self) -> str:
        return "number of columns" + ("" if self.other is None else f" beside {self.other.name}")
