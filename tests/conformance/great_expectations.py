"""Great Expectations: rows with NULL are left out, and a share of the others has to be good."""

from __future__ import annotations

from typing import Any

from dq import (
    AddUp,
    Between,
    Check,
    Compare,
    Decreasing,
    DistinctCount,
    DistinctShare,
    HasLength,
    Increasing,
    IsNull,
    Like,
    Matches,
    Max,
    Mean,
    Median,
    Min,
    MostCommon,
    NoneOf,
    NotLike,
    NotMatches,
    NotNull,
    OneOf,
    Quantile,
    Ratio,
    RowCount,
    Rows,
    StdDev,
    Sum,
    TextLength,
    TogetherOneOf,
    Unique,
    UniqueCount,
    UniqueWithinRow,
    ValidJson,
    Values,
    ZScore,
    exactly,
)
from tests.conformance import schema
from tests.conformance.asked import (
    EQUAL,
    ROW,
    Asked,
    Kind,
    NotTranslated,
    Source,
    both,
    check,
    equal,
    literal,
    nothing,
    number,
    share_of_good,
    unless_missing,
    within,
)

great_expectations = Source()


def _rows(asked: Asked, kind: Kind, *, nulls: Any = "skip", where: str | None = None) -> list[Check]:
    tolerance = share_of_good(asked.get("min_pass_ratio"))
    return [check(kind, nulls=nulls, where=both(asked.where, where), tolerance=tolerance)]


def _ends(low: Any, high: Any, *, low_open: bool, high_open: bool) -> Any:
    closed_low, closed_high = low is not None and not low_open, high is not None and not high_open
    return {(True, True): "both", (True, False): "low", (False, True): "high", (False, False): "neither"}[
        closed_low, closed_high
    ]


@great_expectations.of("between")
def _between(asked: Asked) -> list[Check]:
    column, low, high = asked.params["column"], asked.get("min"), asked.get("max")
    open_ends = {"low_open": bool(asked.get("strict_min")), "high_open": bool(asked.get("strict_max"))}
    ends = _ends(low, high, **open_ends)
    return _rows(asked, Between(column, asked.typed(column, low), asked.typed(column, high), ends=ends))


@great_expectations.of("in_set")
def _in_set(asked: Asked) -> list[Check]:
    column, values = asked.params["column"], asked.some(asked.params["column"], asked.params["set"])
    if values is None:
        return [nothing()]
    return _rows(asked, OneOf(column, values)) if values else _rows(asked, IsNull(column), nulls="fail")


@great_expectations.of("not_in_set")
def _not_in_set(asked: Asked) -> list[Check]:
    column, values = asked.params["column"], asked.some(asked.params["column"], asked.params["set"])
    return _rows(asked, NoneOf(column, values)) if values else [nothing()]


@great_expectations.of("distinct_in_set", "distinct_contains_set", "distinct_equals_set")
def _distinct(asked: Asked) -> list[Check]:
    column, values = asked.params["column"], asked.some(asked.params["column"], asked.params["set"])
    only, every = asked.kind != "distinct_contains_set", asked.kind != "distinct_in_set"
    if not values:
        return [check(IsNull(column))] if only and values is not None else [nothing()]
    return [check(Values(column, values, only=only, all=every), where=asked.where, on_empty=None if every else "ok")]


@great_expectations.of("most_common_in_set")
def _most_common(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    values = asked.some(column, asked.params["set"])
    if not values:
        return [nothing()] if values is None else [check(IsNull(column))]
    ties = "one" if asked.get("ties_okay") else "none"
    return [check(MostCommon(column, values, ties=ties), where=asked.where, on_empty=None)]


_NUMBERS: dict[str, tuple[Any, bool]] = {
    "min": (Min, False),
    "max": (Max, False),
    "mean": (Mean, False),
    "median": (Median, False),
    "sum": (Sum, False),
    "stdev_sample": (StdDev, False),
    "stdev": (StdDev, False),
    "stdev_population": (lambda column: StdDev(column, of="population"), False),
    "count_distinct": (DistinctCount, True),
    "distinct_ratio": (DistinctShare, False),
    "count_unique": (UniqueCount, True),
    "min_length": (lambda column: TextLength(column, "min"), False),
    "max_length": (lambda column: TextLength(column, "max"), False),
}


@great_expectations.of("agg_between")
def _aggregate(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    if asked.params["fn"] not in _NUMBERS:
        raise NotTranslated(f"the aggregate {asked.params['fn']}")
    kind, counts = _NUMBERS[asked.params["fn"]]
    timed = asked.params["fn"] in {"min", "max"} and asked.type_of(column).startswith("date")
    low, high = (asked.time(column, asked.get(e)) for e in ("min", "max"))
    open_ends = {"low_open": bool(asked.get("strict_min")), "high_open": bool(asked.get("strict_max"))}
    if low is None and high is None and timed:
        low = asked.typed(column, "0001-01-01")
    return [number(kind(column), within(low, high, **open_ends), counts=counts, where=asked.where)]


@great_expectations.of("quantiles_between")
def _quantiles(asked: Asked) -> list[Check]:
    ranges = asked.params["quantile_ranges"]
    return [
        number(Quantile(asked.params["column"], at), within(low, high), f"at {at}", where=asked.where)
        for at, (low, high) in zip(ranges["quantiles"], ranges["value_ranges"], strict=True)
    ]


@great_expectations.of("length_between", "length_equal")
def _length(asked: Asked) -> list[Check]:
    if asked.kind == "length_equal":
        return _rows(asked, HasLength(asked.params["column"], asked.params["value"]))
    return _rows(asked, HasLength(asked.params["column"], asked.get("min"), asked.get("max")))


@great_expectations.of("zscore_less_than")
def _zscore(asked: Asked) -> list[Check]:
    both_sides = bool(asked.get("double_sided", True))
    return _rows(asked, ZScore(asked.params["column"], asked.params["threshold"], both=both_sides))


@great_expectations.of("increasing", "decreasing")
def _order(asked: Asked) -> list[Check]:
    kind = Increasing if asked.kind == "increasing" else Decreasing
    return _rows(asked, kind(asked.params["column"], by=ROW, strict=bool(asked.get("strict"))))


@great_expectations.of("json_valid")
def _json(asked: Asked) -> list[Check]:
    return _rows(asked, ValidJson(asked.params["column"]))


@great_expectations.of("is_null", "not_null")
def _null(asked: Asked) -> list[Check]:
    return _rows(asked, (IsNull if asked.kind == "is_null" else NotNull)(asked.params["column"]), nulls="fail")


@great_expectations.of("like", "not_like", "regex_match", "regex_not_match")
@great_expectations.of("like_list", "not_like_list", "regex_match_list", "regex_not_match_list")
def _patterns(asked: Asked) -> list[Check]:
    kinds = {"like": Like, "not_like": NotLike, "regex_match": Matches, "regex_not_match": NotMatches}
    kind = kinds[asked.kind.removesuffix("_list")]
    patterns = asked.params["patterns"] if asked.kind.endswith("_list") else [asked.params["pattern"]]
    every = asked.get("match", "any") == "all" and "not" not in asked.kind
    return _rows(asked, kind(asked.params["column"], patterns, every=every))


@great_expectations.of("unique")
def _unique(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    return _rows(asked, Unique(column), nulls="fail", where=f"{asked.q(column)} IS NOT NULL")


@great_expectations.of("unique_compound")
def _compound(asked: Asked) -> list[Check]:
    columns = asked.params["columns"]
    looked_at = unless_missing(asked, columns, asked.get("skip_row_if"))
    return _rows(asked, Unique(*columns, nulls_equal=True), nulls="fail", where=looked_at)


@great_expectations.of("unique_within_record")
def _within_record(asked: Asked) -> list[Check]:
    columns = asked.params["columns"]
    looked_at = unless_missing(asked, columns, asked.get("skip_row_if"))
    return _rows(asked, UniqueWithinRow(*columns, nulls_equal=True), nulls="fail", where=looked_at)


@great_expectations.of("multicolumn_sum_equal")
def _sum(asked: Asked) -> list[Check]:
    columns = asked.params["columns"]
    looked_at = unless_missing(asked, columns, asked.get("skip_row_if"))
    exact = {asked.type_of(c) for c in columns} == {"integer"}
    kind = AddUp(columns, asked.params["total"], within=0 if exact else EQUAL, null_is_zero=True)
    return _rows(asked, kind, nulls="fail", where=looked_at)


@great_expectations.of("pair_equal", "pair_greater")
def _pair(asked: Asked) -> list[Check]:
    a, b = asked.params["a"], asked.params["b"]
    operator: Any = "=" if asked.kind == "pair_equal" else ">=" if asked.get("or_equal") else ">"
    looked_at = unless_missing(asked, (a, b), asked.get("skip_row_if"))
    return _rows(asked, Compare(a, operator, b), nulls="fail", where=looked_at)


@great_expectations.of("pair_in_set")
def _pair_in_set(asked: Asked) -> list[Check]:
    columns = (asked.params["a"], asked.params["b"])
    looked_at = unless_missing(asked, columns, asked.get("skip_row_if"))
    if asked.params["pairs"] is None:
        return [nothing()]
    pairs = [tuple(asked.typed(c, v) for c, v in zip(columns, pair, strict=True)) for pair in asked.params["pairs"]]
    if not any(None in pair for pair in pairs):
        return _rows(asked, TogetherOneOf(columns, pairs), nulls="fail", where=looked_at)
    names = [asked.q(c) for c in columns]
    listed = (
        [f"{n} IS NULL" if v is None else f"{n} = {literal(v)}" for n, v in zip(names, pair, strict=True)]
        for pair in pairs
    )
    return _rows(asked, Rows(" OR ".join(f"({' AND '.join(pair)})" for pair in listed)), nulls="fail", where=looked_at)


@great_expectations.of("row_count_between", "row_count_equal")
def _row_count(asked: Asked) -> list[Check]:
    exact = asked.kind == "row_count_equal"
    bounds = equal(asked.params["value"]) if exact else within(asked.get("min"), asked.get("max"))
    return [number(RowCount(), bounds, counts=True, where=asked.where)]


@great_expectations.of("row_count_equal_other_table")
def _as_many(asked: Asked) -> list[Check]:
    return [number(Ratio(asked.table_of(asked.params["other_table"]), as_="difference"), exactly(0), where=asked.where)]


@great_expectations.of("column_exists")
def _column_exists(asked: Asked) -> list[Check]:
    index = asked.get("column_index")
    return schema.exists(asked.params["column"], None if index is None else index + 1)


@great_expectations.of("columns_set")
def _columns_set(asked: Asked) -> list[Check]:
    extra = "allowed" if asked.params.get("exact_match") is False else "forbidden"
    return schema.columns(asked.get("column_set", []), extra=extra)


@great_expectations.of("columns_ordered")
def _columns_ordered(asked: Asked) -> list[Check]:
    return schema.columns(asked.params["columns"], ordered=True) if asked.get("columns") is not None else [nothing()]


@great_expectations.of("column_count_between", "column_count_equal")
def _column_count(asked: Asked) -> list[Check]:
    exact = asked.kind == "column_count_equal"
    return schema.count(equal(asked.params["value"]) if exact else within(asked.get("min"), asked.get("max")))
