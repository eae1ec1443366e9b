"""Deequ: metrics and shares of rows with a condition; what is unknown does not hold."""

from __future__ import annotations

from collections.abc import Callable

from dq import (
    Aggregate,
    Check,
    DistinctCount,
    DistinctShare,
    Matches,
    Max,
    Mean,
    Median,
    Min,
    QueryValue,
    RowCount,
    Rows,
    Share,
    StdDev,
    Sum,
    TextLength,
    UniqueShare,
)
from tests.conformance.asked import Asked, Kind, NotTranslated, Source, both, holds, number

deequ = Source()


def _all(asked: Asked, word: str) -> Kind:
    return Share(Rows(f" {word} ".join(f"{asked.q(c)} IS NOT NULL" for c in _columns(asked))))


def _columns(asked: Asked) -> list[str]:
    return list(asked.get("columns") or [asked.params["column"]])


_METRICS: dict[str, Callable[[Asked], Kind]] = {
    "row_count": lambda _: RowCount(),
    "non_null_ratio_all": lambda asked: _all(asked, "AND"),
    "non_null_ratio_any": lambda asked: _all(asked, "OR"),
    "uniqueness": lambda asked: UniqueShare(_columns(asked)),
    "distinctness": lambda asked: DistinctShare(_columns(asked)),
    "unique_value_ratio": lambda asked: UniqueShare(_columns(asked), of="values"),
    "count_distinct": lambda asked: DistinctCount(_columns(asked)),
    "min": lambda asked: Min(*_columns(asked)),
    "max": lambda asked: Max(*_columns(asked)),
    "mean": lambda asked: Mean(*_columns(asked)),
    "median": lambda asked: Median(*_columns(asked)),
    "sum": lambda asked: Sum(*_columns(asked)),
    "stdev_population": lambda asked: StdDev(*_columns(asked), of="population"),
    "stdev_sample": lambda asked: StdDev(*_columns(asked), of="sample"),
    "min_length": lambda asked: TextLength(*_columns(asked), which="min"),
    "max_length": lambda asked: TextLength(*_columns(asked), which="max"),
}


def _correlation(asked: Asked) -> list[Check]:
    """Return the check of Pearson's correlation, from sums: few engines have the aggregate."""
    x, y = (f"(1e0 * {asked.q(c)})" for c in _columns(asked))
    spread = [f"(COUNT(*) * SUM({c} * {c}) - SUM({c}) * SUM({c}))" for c in (x, y)]
    sql = f"(COUNT(*) * SUM({x} * {y}) - SUM({x}) * SUM({y})) / NULLIF(SQRT({spread[0]} * {spread[1]}), 0)"
    there = " AND ".join(f"{asked.q(c)} IS NOT NULL" for c in _columns(asked))
    return [number(Aggregate(sql), holds(asked.params["condition"]), where=both(asked.where, there))]


def _entropy(asked: Asked) -> list[Check]:
    name, table = asked.q(_columns(asked)[0]), asked.table_of(None).name
    there = both(asked.where, f"{name} IS NOT NULL")
    shares = f"SELECT 1e0 * COUNT(*) / SUM(COUNT(*)) OVER () AS p FROM {table} WHERE {there} GROUP BY {name}"
    return [number(QueryValue(f"SELECT -SUM(p * LN(p)) FROM ({shares}) shares"), holds(asked.params["condition"]))]


@deequ.of("metric")
def _metric(asked: Asked) -> list[Check]:
    metric = asked.params["fn"]
    if metric in {"correlation", "entropy"}:
        return _correlation(asked) if metric == "correlation" else _entropy(asked)
    if metric not in _METRICS:
        raise NotTranslated(f"the metric {metric}")
    counts = metric in {"row_count", "count_distinct"}
    return [number(_METRICS[metric](asked), holds(asked.params["condition"]), counts=counts, where=asked.where)]


@deequ.of("predicate_ratio")
def _predicate(asked: Asked) -> list[Check]:
    kind = Share(Rows(asked.sql(asked.params["predicate"])))
    return [number(kind, holds(asked.params["condition"]), where=asked.where)]


@deequ.of("pattern_ratio")
def _pattern(asked: Asked) -> list[Check]:
    kind = Share(Matches(asked.params["column"], asked.params["pattern"]))
    return [number(kind, holds(asked.params["condition"]), where=asked.where)]
