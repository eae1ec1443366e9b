"""What a case asks, and the words that all translations share. Only dq's public API, and no verdict."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from attrs import field, frozen

from dq import Check, Rows, Table, above, at_least, at_most, below, between, exactly, outside

Kind = Any
"""A kind of check; dq's own name for it is no public word."""

ROW = "dq_row"
"""The column with the number of a row, from 0, that every loaded table has beside those of the case."""

EQUAL = Decimal("0.000000001")
"""So far apart may two numbers with a fraction be that a source calls equal: floating-point numbers are no sharper."""

ANY_COUNT = 10**18
"""A tolerance that no table exceeds."""

LOWEST = -(10**400)
"""A bound below every number that a database holds: dq wants a bound where a source only looks."""


class NotTranslated(Exception):  # noqa: N818  # it is a fact about the case, no error of the program
    """The case asks for what dq has no word for, or these translations have not."""


@frozen
class Asked:
    """One case.

    Attributes:
        case: as it stands in the file.
        table_of: the loaded table of a name; None: the table of the case.
        column_mark: what the engine puts around a name that it would not take as it is.
    """

    case: Mapping[str, Any]
    table_of: Callable[[str | None], Table]
    column_mark: str = '"'

    @property
    def kind(self) -> str:
        return str(self.case["kind"])

    @property
    def params(self) -> Mapping[str, Any]:
        return self.case["params"]

    @property
    def where(self) -> str | None:
        """The condition of the case itself, or of its parameters."""
        text = self.params.get("where") or self.params.get("row_condition") or self.case.get("where")
        return None if text is None else self.sql(text)

    def get(self, name: str, default: Any = None) -> Any:
        found = self.params.get(name)
        return default if found is None else found

    def type_of(self, column: str) -> str:
        found = self.case["table"]["columns"].get(column)
        return "unknown" if found is None else str(found["type"])

    def columns(self, table: str | None = None) -> list[str]:
        found = self.case["table"] if table is None else (self.case.get("other_tables") or {}).get(table)
        return list((found or self.case["table"])["columns"])

    def q(self, column: str) -> str:
        """Return a column in the engine's quotes; what is no column is an expression, and stays."""
        known = column in self.case["table"]["columns"]
        return f"{self.column_mark}{column}{self.column_mark}" if known else column

    def sql(self, text: str) -> str:
        """Return SQL of the case, with its columns in quotes where PostgreSQL needs them: it would write them small."""
        for column in self.case["table"]["columns"]:
            if column != column.lower():
                text = re.sub(rf"(?<![\w\"`']){re.escape(column)}(?![\w\"`'])", lambda _, c=column: self.q(c), text)
        return text

    def typed(self, column: str, value: Any) -> Any:
        """Return a value as the column holds it: JSON has no dates, and some sources write numbers as text."""
        kind = self.type_of(column)
        if value is None or isinstance(value, bool):
            return value
        if kind in {"string", "mixed"}:
            return str(value)
        if isinstance(value, str):
            if kind in {"integer", "number"}:
                try:
                    return int(value) if kind == "integer" else float(value)
                except ValueError:
                    return value
            if kind.startswith("date"):
                return _time(value, kind)
        return value

    def time(self, column: str, value: Any) -> Any:
        """Return the bound of a number as it stands, or of a time as a time: some tables hold times as text."""
        if not isinstance(value, str):
            return value
        kind = self.type_of(column)
        return _time(value, kind if kind.startswith("date") else "datetime")

    def some(self, column: str, values: Iterable[Any] | None) -> list[Any] | None:
        """Return the values that are not NULL; None where no set is given at all."""
        return None if values is None else [self.typed(column, v) for v in dict.fromkeys(values) if v is not None]


def _time(value: str, kind: str) -> Any:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return value
    whole_day = len(value) <= 10
    return date(found.year, found.month, found.day) if kind == "date" and whole_day else found


def check(kind: Kind, name: str = "it", *, nulls: Any = "fail", where: str | None = None, **more: Any) -> Check:
    """Return a check of which an empty table is no violation."""
    return Check(name, kind, nulls=nulls, where=where, on_empty=more.pop("on_empty", "ok"), **more)


def nothing() -> Check:
    """Return what a source demands with an empty demand: every row is good."""
    return check(Rows("1 = 1"))


def share_of_good(ratio: Any) -> Any:
    """Return the tolerance of a share of the rows that has to be good."""
    off = 1 - Decimal(str(1 if ratio is None else ratio))
    return 0 if off <= 0 else ANY_COUNT if off >= 1 else off


def within(low: Any, high: Any, *, low_open: bool = False, high_open: bool = False) -> Any:
    """Return bounds from low to high; an end that is None is open."""
    if low is None and high is None:
        return at_least(LOWEST)
    if low is None:
        return below(high) if high_open else at_most(high)
    if high is None:
        return above(low) if low_open else at_least(low)
    return between(low, high, low_open=low_open, high_open=high_open)


def equal(value: Any, *, other: bool = False) -> Any:
    """Return the bounds of one number (``other``: of all but that one), give or take what a fraction is off."""
    value = _number(value)
    if isinstance(value, str):
        return exactly(value)  # which refuses what is no number
    return (outside if other else between)(Decimal(str(value)) - EQUAL, Decimal(str(value)) + EQUAL)


def _number(value: Any) -> Any:
    """Return the number of a text such as ``5 %``; anything else as it is."""
    try:
        return Decimal(value.rstrip("% ")) if isinstance(value, str) else value
    except InvalidOperation:
        return value


def holds(condition: Mapping[str, Any]) -> Any:
    """Return the bounds that hold where the condition does."""
    return _bounds(condition, negated=False)


def fails(condition: Mapping[str, Any]) -> Any:
    """Return the bounds that hold where the condition does not."""
    return _bounds(condition, negated=True)


_INVERSE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "=": "!=", "!=": "=="}
_ENDS: Mapping[str, Callable[[Any], Any]] = {"<": below, "<=": at_most, ">": above, ">=": at_least, "==": equal}


def _bounds(condition: Mapping[str, Any], *, negated: bool) -> Any:
    if "not" in condition:
        return _bounds(condition["not"], negated=not negated)
    if "between" in condition:
        low, high = map(_number, condition["between"])
        make = outside if negated else between
        return make(low, high, low_open=bool(condition.get("open_low")), high_open=bool(condition.get("open_high")))
    operator, value = str(condition["op"]), _number(condition["value"])
    operator = "!=" if operator == "<>" else operator
    operator = _INVERSE[operator] if negated else operator
    if operator == "!=":
        return equal(value, other=True)
    return _ENDS["==" if operator == "=" else operator](value)


def number(kind: Kind, bounds: Any, name: str = "it", *, counts: bool = False, **more: Any) -> Check:
    """Return a check of a number.

    Args:
        kind: what is measured.
        bounds: what it must satisfy.
        name: of the check.
        counts: no rows are the number 0; dq calls an empty table no data, and wants to be told where that is good.
        more: of the check.
    """
    good_empty = {"on_empty": "ok"} if counts and bounds.holds(0) else {}
    return Check(name, kind, error=bounds, **{**good_empty, **more})


def literal(value: Any) -> str:
    """Return a value as SQL."""
    if isinstance(value, bool) or not isinstance(value, str | date):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def both(*conditions: str | None) -> str | None:
    """Return what holds where all of the conditions do."""
    given = [c for c in conditions if c is not None]
    return None if not given else given[0] if len(given) == 1 else " AND ".join(f"({c})" for c in given)


def unless_missing(asked: Asked, columns: Iterable[str], policy: str | None) -> str | None:
    """Return the rows that a source looks at, by its rule for rows with NULL."""
    names = [asked.q(c) for c in columns]
    if policy in {"all_values_are_missing", "both_values_are_missing"}:
        return "NOT (" + " AND ".join(f"{c} IS NULL" for c in names) + ")"
    if policy in {"any_value_is_missing", "either_value_is_missing"}:
        return " AND ".join(f"{c} IS NOT NULL" for c in names)
    return None


@frozen
class Source:
    """The translations of one source, by kind."""

    kinds: dict[str, Callable[[Asked], list[Check]]] = field(factory=dict)

    def of(self, *kinds: str) -> Callable[[Callable[[Asked], list[Check]]], Callable[[Asked], list[Check]]]:
        def put(function: Callable[[Asked], list[Check]]) -> Callable[[Asked], list[Check]]:
            self.kinds.update(dict.fromkeys(kinds, function))
            return function

        return put
