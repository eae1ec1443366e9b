"""Soda: metrics with thresholds. NULL is missing, never invalid; a percentage is of all rows."""

from __future__ import annotations

import re
from typing import Any

from dq import (
    Aggregate,
    Check,
    DistinctCount,
    DuplicateCount,
    Max,
    Mean,
    Min,
    NotIn,
    QueryValue,
    Ratio,
    Reference,
    RowCount,
    Rows,
    StdDev,
    Sum,
    Table,
    TextLength,
    exactly,
)
from tests.conformance.asked import Asked, Kind, NotTranslated, Source, both, check, fails, holds, literal

soda = Source()

_NUMBERS: dict[str, Any] = {
    "min": Min,
    "max": Max,
    "avg": Mean,
    "sum": Sum,
    "stddev": StdDev,
    "stddev_samp": StdDev,
    "stddev_pop": lambda column: StdDev(column, of="population"),
    "min_length": lambda column: TextLength(column, "min"),
    "max_length": lambda column: TextLength(column, "max"),
    "avg_length": lambda column: TextLength(column, "mean"),
    "duplicate_count": DuplicateCount,
    "distinct_count": DistinctCount,
}


def _rungs(threshold: dict[str, Any]) -> dict[str, Any]:
    """Return the bounds by severity: what must hold, or what makes it warn and fail."""
    found = {}
    words = (("must", "error", holds), ("warn_when", "warning", fails), ("fail_when", "error", fails))
    for word, severity, make in words:
        if threshold.get(word) is not None:
            found[severity] = make(threshold[word])
    return found


def _measured(asked: Asked, kind: Kind, where: str | None = None) -> list[Check]:
    """Return a check for each rung: in dq a severer one must allow more, in Soda they may be any two ranges."""
    counts = isinstance(kind, RowCount | DistinctCount | DuplicateCount)
    found = []
    for severity, bounds in _rungs(asked.params["threshold"]).items():
        rung = {severity: bounds, "on_empty": "ok" if counts and bounds.holds(0) else None}
        found.append(Check(severity, kind, where=where, **rung))
    return found


def _missing(asked: Asked, column: str) -> str:
    if "missing_format" in asked.params or "missing_regex" in asked.params:
        raise NotTranslated("formats of Soda's own")
    values = asked.some(column, asked.get("missing_values"))
    listed = f" OR {asked.q(column)} IN ({', '.join(map(literal, values))})" if values else ""
    return f"({asked.q(column)} IS NULL{listed})"


def _valid(asked: Asked, column: str) -> str:
    """Return what is TRUE for a valid value that is not missing."""
    if "valid_format" in asked.params or "valid_regex" in asked.params:
        raise NotTranslated("formats of Soda's own")
    name, conditions = asked.q(column), []
    for what, form in (
        ("valid_min", f"{name} >= {{}}"),
        ("valid_max", f"{name} <= {{}}"),
        ("valid_length", f"LENGTH({name}) = {{}}"),
        ("valid_min_length", f"LENGTH({name}) >= {{}}"),
        ("valid_max_length", f"LENGTH({name}) <= {{}}"),
    ):
        if asked.get(what) is not None:
            conditions.append(form.format(asked.get(what)))
    for what, word in (("valid_values", "IN"), ("invalid_values", "NOT IN")):
        values = asked.some(column, asked.get(what))
        if values:
            conditions.append(f"{name} {word} ({', '.join(map(literal, values))})")
    return " AND ".join(f"({c})" for c in conditions) or "1 = 1"


@soda.of("metric_threshold")
def _metric(asked: Asked) -> list[Check]:
    metric, where = asked.params["metric"], asked.where
    if metric == "row_count":
        return _measured(asked, RowCount(), where)
    columns = asked.params["columns"]
    column = columns[0]
    there = f"NOT {_missing(asked, column)}"
    counted = {
        "missing": lambda: _missing(asked, column),
        "valid": lambda: f"{there} AND {_valid(asked, column)}",
        "invalid": lambda: f"{there} AND NOT ({_valid(asked, column)})",
    }
    what, _, form = metric.partition("_")
    if what in counted and form == "count":
        return _measured(asked, RowCount(), both(where, counted[what]()))
    if what in counted and form == "percent":
        share = f"SUM(CASE WHEN {counted[what]()} THEN 1 ELSE 0 END)"
        return _measured(asked, Aggregate(f"100.0 * {share} / COUNT(*)"), where)
    if metric == "duplicate_percent":
        return _measured(asked, QueryValue(_duplicate_percent(asked, columns)))
    if metric not in _NUMBERS:
        raise NotTranslated(f"the metric {metric}")
    counts = {"duplicate_count", "distinct_count"}
    kind = _NUMBERS[metric](columns if metric in counts else column)
    # The numeric metrics speak of the valid values.
    narrowed = any(key.startswith(("valid_", "invalid_", "missing_")) for key in asked.params)
    valid = f"{there} AND {_valid(asked, column)}" if narrowed else None
    return _measured(asked, kind, both(where, valid))


def _duplicate_percent(asked: Asked, columns: list[str]) -> str:
    table, names = asked.table_of(None).name, [asked.q(c) for c in columns]
    there = both(asked.where, *(f"{name} IS NOT NULL" for name in names))
    keys = ", ".join(names)
    repeated = f"SELECT {keys} FROM {table} WHERE {there} GROUP BY {keys} HAVING COUNT(*) > 1"
    rows = f"SELECT COUNT(*) FROM {table} WHERE {asked.where or '1 = 1'}"
    return f"SELECT 100.0 * (SELECT COUNT(*) FROM ({repeated}) repeated) / ({rows})"


@soda.of("user_metric")
def _user_metric(asked: Asked) -> list[Check]:
    metric = asked.params["metric"]
    expression, query = asked.get(f"{metric}_expression"), asked.get(f"{metric}_query")
    if expression is not None:
        return _measured(asked, Aggregate(asked.sql(expression)), asked.where)
    if query is None:
        raise NotTranslated(f"no expression and no query for {metric}")
    return _measured(asked, QueryValue(_named(asked, query)))


def _named(asked: Asked, query: str) -> str:
    """Return a query of the case with the names under which its tables are loaded."""
    names = [asked.case["table_name"], *(asked.case.get("other_tables") or {})]
    for name in names:
        query = re.sub(rf"\b{re.escape(name)}\b", asked.table_of(name).name, query)
    return asked.sql(query)


@soda.of("bad_rows_predicate")
def _bad_rows(asked: Asked) -> list[Check]:
    bad, threshold = asked.sql(asked.params["bad_when"]), asked.params["threshold_on_bad_rows"]
    rungs = {"warning": threshold.get("warn_when"), "error": threshold.get("fail_when")}
    given = {severity: condition for severity, condition in rungs.items() if condition is not None}
    found = []
    for severity, condition in given.items():
        if condition.get("op") in {">", ">="}:
            rung = {severity: int(condition["value"]) - (condition["op"] == ">=")}
            found.append(check(Rows(f"NOT ({bad})"), severity, nulls="pass", where=asked.where, **rung))
        else:
            rung = {severity: fails(condition)}
            found.append(Check(severity, RowCount(), where=both(asked.where, bad), on_empty="ok", **rung))
    return found


@soda.of("reference", "not_reference")
def _reference(asked: Asked) -> list[Check]:
    kind = Reference if asked.kind == "reference" else NotIn
    other = next(iter(asked.case["other_tables"]))
    keys = kind(asked.params["columns"], asked.table_of(other), asked.params["other_columns"])
    return [check(keys, where=asked.where)]


@soda.of("row_count_equal_other_table")
def _as_many(asked: Asked) -> list[Check]:
    other = asked.table_of(next(iter(asked.case["other_tables"])))
    narrowed = Table(other.datasource, other.name, where=asked.get("other_where"))
    return [Check("it", Ratio(narrowed, as_="difference"), error=exactly(0), where=asked.where)]
