"""Pointblank: a NULL fails, unless it is told to pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dq import Between, Check, Compare, IsNull, Matches, NoneOf, NotBetween, OneOf
from tests.conformance.asked import Asked, Kind, Source, check, nothing

pointblank = Source()
_ENDS: dict[tuple[bool, bool], Any] = {(True, True): "both", (True, False): "low", (False, True): "high"}
_OPERATORS: dict[str, Any] = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "=", "ne": "<>"}


def _rows(asked: Asked, kind: Kind) -> list[Check]:
    return [check(kind, nulls="pass" if asked.get("nulls_pass") else "fail", where=asked.where)]


@pointblank.of("gt", "ge", "lt", "le", "eq", "ne")
def _compared(asked: Asked) -> list[Check]:
    column, value = asked.params["column"], asked.params["value"]
    if isinstance(value, Mapping):
        return _rows(asked, Compare(column, _OPERATORS[asked.kind], value["column"]))
    value = asked.typed(column, value)
    kinds: dict[str, Kind] = {
        "gt": Between(column, value, None, ends="neither"),
        "ge": Between(column, value, None),
        "lt": Between(column, None, value, ends="neither"),
        "le": Between(column, None, value),
        "eq": OneOf(column, [value]),
        "ne": NoneOf(column, [value]),
    }
    return _rows(asked, kinds[asked.kind])


@pointblank.of("between", "outside")
def _range(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    low, high = (asked.typed(column, asked.params[end]) for end in ("left", "right"))
    ends = _ENDS.get(tuple(map(bool, asked.get("inclusive", (True, True)))), "neither")
    return _rows(asked, (Between if asked.kind == "between" else NotBetween)(column, low, high, ends=ends))


@pointblank.of("in_set", "not_in_set")
def _set(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    values = asked.some(column, asked.params["set"])
    if asked.kind == "not_in_set":
        return _rows(asked, NoneOf(column, values)) if values else [nothing()]
    return _rows(asked, OneOf(column, values)) if values else [check(IsNull(column), where=asked.where)]


@pointblank.of("regex_match")
def _regex(asked: Asked) -> list[Check]:
    return _rows(asked, Matches(asked.params["column"], asked.params["pattern"]))
