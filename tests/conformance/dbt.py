"""dbt-utils and dbt-expectations: ``not (predicate)`` finds the rows where it is false, so what is unknown passes."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from dq import (
    Aggregate,
    Between,
    By,
    Check,
    ConsistentCasing,
    Count,
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
    NoOverlap,
    NotLike,
    NotMatches,
    NotNull,
    OneOf,
    Quantile,
    Query,
    Ratio,
    Reference,
    RowCount,
    Rows,
    SameAs,
    Sequential,
    Share,
    StdDev,
    Sum,
    Table,
    Unique,
    UniqueWithinRow,
    Values,
    at_least,
    below,
    between,
    exactly,
)
from tests.conformance import schema
from tests.conformance.asked import (
    EQUAL,
    Asked,
    Kind,
    NotTranslated,
    Source,
    both,
    check,
    equal,
    nothing,
    number,
    unless_missing,
    within,
)

dbt_utils = Source()
dbt_expectations = Source()


def _rows(asked: Asked, kind: Kind, *, nulls: Any = "pass", where: str | None = None) -> list[Check]:
    return [check(kind, nulls=nulls, where=both(asked.where, where))]


def _by(asked: Asked) -> By | None:
    columns = asked.get("group_by_columns") or asked.get("group_by")
    return By(tuple(columns)) if columns else None


def _number(asked: Asked, kind: Kind, bounds: Any, *, counts: bool = False) -> list[Check]:
    """Return a check of a number: what is NULL is not compared; a number of rows is 0 without any."""
    by = _by(asked)
    empty = {} if counts and by is None else {"on_empty": "ok"}
    return [number(kind, bounds, counts=counts, where=asked.where, by=by, **empty)]


# ---- dbt-utils


@dbt_utils.of("dbtutils_not_constant")
def _not_constant(asked: Asked) -> list[Check]:
    return _number(asked, DistinctCount(asked.params["column"]), equal(1, other=True), counts=True)


@dbt_utils.of("dbtutils_at_least_one")
def _at_least_one(asked: Asked) -> list[Check]:
    return _number(asked, Count(NotNull(asked.params["column"])), at_least(1), counts=True)


@dbt_utils.of("dbtutils_expression_is_true")
def _true(asked: Asked) -> list[Check]:
    column = asked.get("column")
    expression = asked.sql(asked.params["expression"])
    return _rows(asked, Rows(expression if column is None else f"{asked.q(column)} {expression}"))


@dbt_utils.of("dbtutils_not_accepted_values")
def _not_accepted(asked: Asked) -> list[Check]:
    return _rows(asked, NoneOf(asked.params["column"], asked.some(asked.params["column"], asked.params["values"])))


@dbt_utils.of("dbtutils_relationships_where")
def _relationship(asked: Asked) -> list[Check]:
    other = asked.table_of(asked.params["to"])
    narrowed = Table(other.datasource, other.name, where=asked.get("to_condition"))
    condition = asked.get("from_condition")
    kind = Reference(asked.params["column"], narrowed, asked.params["field"])
    return _rows(asked, kind, nulls="fail", where=None if condition is None else asked.sql(condition))


@dbt_utils.of("dbtutils_mutually_exclusive_ranges")
def _ranges(asked: Asked) -> list[Check]:
    gaps: dict[str, Any] = {"allowed": "allowed", "not_allowed": "forbidden", "required": "required"}
    kind = NoOverlap(
        asked.params["lower_bound_column"],
        asked.params["upper_bound_column"],
        within=asked.get("partition_by", ()),
        gaps=gaps[asked.get("gaps", "allowed")],
        empty=bool(asked.get("zero_length_range_allowed")),
    )
    return _rows(asked, kind, nulls="fail")


@dbt_utils.of("dbtutils_unique_combination_of_columns")
def _combination(asked: Asked) -> list[Check]:
    return _rows(asked, Unique(*asked.params["combination_of_columns"], nulls_equal=True), nulls="fail")


@dbt_utils.of("dbtutils_cardinality_equality")
def _cardinality(asked: Asked) -> list[Check]:
    other = asked.table_of(asked.params["to"])
    return _rows(asked, SameAs(asked.params["column"], other, asked.params["field"], counted=True), nulls="fail")


@dbt_utils.of("dbtutils_accepted_range")
def _range(asked: Asked) -> list[Check]:
    return _lies_between(asked, strictly=asked.params.get("inclusive") is False)


def _lies_between(asked: Asked, *, strictly: bool) -> list[Check]:
    column = asked.params["column"]
    ends = [asked.typed(column, asked.get(end)) for end in ("min_value", "max_value")]
    if any(isinstance(end, str) for end in ends) and asked.type_of(column) != "string":  # an expression
        marks = (">", "<") if strictly else (">=", "<=")
        conditions = (f"{asked.q(column)} {m} {end}" for m, end in zip(marks, ends, strict=True) if end is not None)
        return _rows(asked, Rows(" AND ".join(conditions)))
    return _rows(asked, Between(column, *ends, ends="neither" if strictly else "both"))


@dbt_utils.of("dbtutils_not_null_proportion")
def _proportion(asked: Asked) -> list[Check]:
    bounds = between(asked.get("at_least", 0), asked.get("at_most", 1))
    return _number(asked, Share(NotNull(asked.params["column"])), bounds)


@dbt_utils.of("dbtutils_equality")
def _equality(asked: Asked) -> list[Check]:
    name = asked.params["compare_model"]
    other = asked.table_of(name)
    left_out = {c.lower() for c in asked.get("exclude_columns", ())}
    columns = asked.get("compare_columns") or [c for c in asked.columns() if c.lower() not in left_out]
    digits = asked.get("precision")
    if digits is None:
        return _rows(asked, SameAs(columns, other), nulls="fail")
    listed = ", ".join(
        f"ROUND(CAST({asked.q(c)} AS DECIMAL(28, 12)), {digits})" if asked.type_of(c) == "number" else asked.q(c)
        for c in columns
    )
    here, there = (f"SELECT {listed} FROM {table.name}" for table in (asked.table_of(None), other))
    return [
        check(Query(f"{a} EXCEPT {b}"), name)
        for name, a, b in (("only here", here, there), ("only there", there, here))
    ]


@dbt_utils.of("dbtutils_equal_rowcount")
def _equal_rowcount(asked: Asked) -> list[Check]:
    return _number(asked, Ratio(asked.table_of(asked.params["compare_model"]), as_="difference"), exactly(0))


@dbt_utils.of("dbtutils_fewer_rows_than")
def _fewer_rows(asked: Asked) -> list[Check]:
    return _number(asked, Ratio(asked.table_of(asked.params["compare_model"]), as_="difference"), below(0))


_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


@dbt_utils.of("dbtutils_sequential_values")
def _sequential(asked: Asked) -> list[Check]:
    step, part = asked.get("interval", 1), asked.get("datepart")
    if part is not None:
        if part not in _SECONDS:
            raise NotTranslated(f"steps of a {part} have no length")
        step = timedelta(seconds=step * _SECONDS[part])
    return _rows(asked, Sequential(asked.params["column"], step, within=asked.get("group_by_columns", ())))


# ---- dbt-expectations: rows


@dbt_expectations.of("expression_is_true")
def _expression(asked: Asked) -> list[Check]:
    return _rows(asked, Rows(asked.sql(asked.params["expression"])))


@dbt_expectations.of("column_values_to_be_null", "column_values_to_not_be_null")
def _null(asked: Asked) -> list[Check]:
    kind = NotNull if "not" in asked.kind else IsNull
    return _rows(asked, kind(asked.params["column"]), nulls="fail")


@dbt_expectations.of("column_values_to_be_between")
def _values_between(asked: Asked) -> list[Check]:
    return _lies_between(asked, strictly=bool(asked.get("strictly")))


@dbt_expectations.of("column_values_to_be_in_set", "column_distinct_values_to_be_in_set")
def _in_set(asked: Asked) -> list[Check]:
    # It joins the rows with the set, and finds those without a partner: a NULL has none.
    column = asked.params["column"]
    return _rows(asked, OneOf(column, asked.some(column, asked.params["value_set"])), nulls="fail")


@dbt_expectations.of("column_values_to_not_be_in_set")
def _not_in_set(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    values = asked.some(column, asked.params["value_set"])
    return _rows(asked, NoneOf(column, values)) if values else [nothing()]


@dbt_expectations.of("column_distinct_values_to_contain_set", "column_distinct_values_to_equal_set")
def _distinct(asked: Asked) -> list[Check]:
    column, equals = asked.params["column"], "equal" in asked.kind
    kind = Values(column, asked.some(column, asked.params["value_set"]), only=equals)
    found = [check(kind, where=asked.where, on_empty=None)]
    # The full join of the values with the set finds a NULL without a partner, too.
    return [*found, check(NotNull(column), "no NULL", where=asked.where)] if equals else found


@dbt_expectations.of("column_value_lengths_to_equal", "column_value_lengths_to_be_between")
def _length(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    if "equal" in asked.kind:
        return _rows(asked, HasLength(column, asked.params["value"]))
    strictly = int(bool(asked.get("strictly")))
    low, high = asked.get("min_value"), asked.get("max_value")
    low, high = None if low is None else low + strictly, None if high is None else high - strictly
    return _rows(asked, HasLength(column, low, high))


def _patterns(asked: Asked, one: str, many: str) -> tuple[list[str], bool]:
    """Return the patterns, and whether all of them must match (or must not); by default it is enough that one does."""
    if one in asked.params:
        return [asked.params[one]], True
    return list(asked.params[many]), asked.get("match_on", "any") == "all"


@dbt_expectations.of("column_values_to_match_like_pattern", "column_values_to_match_like_pattern_list")
@dbt_expectations.of("column_values_to_not_match_like_pattern", "column_values_to_not_match_like_pattern_list")
def _like(asked: Asked) -> list[Check]:
    patterns, every = _patterns(asked, "like_pattern", "like_pattern_list")
    if "not_match" in asked.kind:
        return _rows(asked, NotLike(asked.params["column"], patterns, every=not every))
    return _rows(asked, Like(asked.params["column"], patterns, every=every))


@dbt_expectations.of("column_values_to_match_regex", "column_values_to_match_regex_list")
@dbt_expectations.of("column_values_to_not_match_regex", "column_values_to_not_match_regex_list")
def _regex(asked: Asked) -> list[Check]:
    patterns, every = _patterns(asked, "regex", "regex_list")
    no_case = "i" in asked.get("flags", "")
    if "not_match" in asked.kind:
        return _rows(asked, NotMatches(asked.params["column"], patterns, every=not every, ignore_case=no_case))
    return _rows(asked, Matches(asked.params["column"], patterns, every=every, ignore_case=no_case))


@dbt_expectations.of("column_values_to_have_consistent_casing")
def _casing(asked: Asked) -> list[Check]:
    return _rows(asked, ConsistentCasing(asked.params["column"]))


@dbt_expectations.of("column_values_to_be_increasing", "column_values_to_be_decreasing")
def _order(asked: Asked) -> list[Check]:
    column, step = asked.params["column"], asked.get("step")
    order = {"by": asked.get("sort_column", column), "within": asked.get("group_by", ())}
    rises = "increasing" in asked.kind
    if step:
        return _rows(asked, Sequential(column, step if rises else -step, **order))
    kind = Increasing if rises else Decreasing
    return _rows(asked, kind(column, strict=asked.params.get("strictly") is not False, **order))


# ---- dbt-expectations: several columns


@dbt_expectations.of("column_pair_values_to_be_equal", "column_pair_values_A_to_be_greater_than_B")
def _pair(asked: Asked) -> list[Check]:
    operator = "=" if "equal" in asked.kind else ">=" if asked.get("or_equal") else ">"
    return _rows(asked, Rows(f"{asked.q(asked.params['column_A'])} {operator} {asked.q(asked.params['column_B'])}"))


@dbt_expectations.of("column_pair_values_to_be_in_set")
def _pair_in_set(asked: Asked) -> list[Check]:
    a, b = (asked.q(asked.params[c]) for c in ("column_A", "column_B"))
    pairs = " OR ".join(f"({a} = {x} AND {b} = {y})" for x, y in asked.params["value_pairs_set"])
    return _rows(asked, Rows(pairs))


@dbt_expectations.of("column_values_to_be_unique", "compound_columns_to_be_unique")
def _unique(asked: Asked) -> list[Check]:
    columns = asked.get("column_list") or [asked.params["column"]]
    looked_at = unless_missing(asked, columns, asked.get("ignore_row_if", "all_values_are_missing"))
    return _rows(asked, Unique(*columns, nulls_equal=True), nulls="fail", where=looked_at)


@dbt_expectations.of("select_column_values_to_be_unique_within_record")
def _within_record(asked: Asked) -> list[Check]:
    columns = asked.params["column_list"]
    looked_at = both(asked.where, unless_missing(asked, columns, asked.get("ignore_row_if", "all_values_are_missing")))
    # It counts the different values of a row, and a NULL is none.
    there = [check(NotNull(c), f"{c} is there", where=looked_at) for c in columns]
    return [check(UniqueWithinRow(*columns), where=looked_at), *there]


@dbt_expectations.of("multicolumn_sum_to_equal")
def _sum(asked: Asked) -> list[Check]:
    added = " + ".join(f"SUM({asked.q(c)})" for c in asked.params["column_list"])
    total = asked.params["sum_total"]
    off = between(-EQUAL, EQUAL)
    if isinstance(total, str):
        return _number(asked, Aggregate(f"{added} - SUM({asked.q(total)})"), off)
    return _number(asked, Aggregate(f"{added} - {total}"), off)


# ---- dbt-expectations: numbers

_NUMBERS: dict[str, Any] = {
    "column_min_to_be_between": Min,
    "column_max_to_be_between": Max,
    "column_sum_to_be_between": Sum,
    "column_mean_to_be_between": Mean,
    "column_median_to_be_between": Median,
    "column_stdev_to_be_between": StdDev,
    "column_proportion_of_unique_values_to_be_between": DistinctShare,
}


@dbt_expectations.of(*_NUMBERS, "column_quantile_values_to_be_between", "column_unique_value_count_to_be_between")
def _number_between(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    kind: Kind
    if asked.kind == "column_unique_value_count_to_be_between":
        kind = DistinctCount(column)
    elif asked.kind == "column_quantile_values_to_be_between":
        kind = Quantile(column, asked.params["quantile"])
    else:
        kind = _NUMBERS[asked.kind](column)
    strictly = bool(asked.get("strictly"))
    low, high = (asked.time(column, asked.get(end)) for end in ("min_value", "max_value"))
    if isinstance(low, str) or isinstance(high, str):
        return _against_expressions(asked, low, high, "" if strictly else "=")
    bounds = within(low, high, low_open=strictly, high_open=strictly)
    return _number(asked, kind, bounds, counts="count" in asked.kind)


def _against_expressions(asked: Asked, low: Any, high: Any, or_equal: str) -> list[Check]:
    """Return the check of an aggregate whose bounds are SQL themselves."""
    function = {"min": "MIN", "max": "MAX", "sum": "SUM", "mean": "AVG"}[asked.kind.split("_")[1]]
    measured = f"{function}({asked.q(asked.params['column'])})"
    ends = [f"{measured} {mark}{or_equal} {end}" for mark, end in ((">", low), ("<", high)) if end is not None]
    return _number(asked, Aggregate(f"CASE WHEN NOT ({' AND '.join(ends)}) THEN 0 ELSE 1 END"), exactly(1))


@dbt_expectations.of("column_distinct_count_to_be_less_than")
@dbt_expectations.of("column_distinct_count_to_equal", "column_distinct_count_to_be_greater_than")
def _distinct_count(asked: Asked) -> list[Check]:
    value = asked.params["value"]
    bounds = (
        below(value)
        if "less" in asked.kind
        else within(value, None, low_open=True)
        if "greater" in asked.kind
        else equal(value)
    )
    return _number(asked, DistinctCount(asked.params["column"]), bounds, counts=True)


@dbt_expectations.of("column_most_common_value_to_be_in_set")
def _most_common(asked: Asked) -> list[Check]:
    column = asked.params["column"]
    if asked.get("top_n", 1) != 1:
        raise NotTranslated("the second most common value and those after it")
    return [check(MostCommon(column, asked.some(column, asked.params["value_set"])), where=asked.where)]


# ---- dbt-expectations: tables


@dbt_expectations.of("table_row_count_to_equal", "table_row_count_to_be_between")
def _row_count(asked: Asked) -> list[Check]:
    exact = asked.kind == "table_row_count_to_equal"
    bounds = equal(asked.params["value"]) if exact else within(asked.get("min_value"), asked.get("max_value"))
    return _number(asked, RowCount(), bounds, counts=True)


def _other(asked: Asked) -> Table:
    found = asked.table_of(asked.get("compare_model"))
    condition = asked.get("compare_row_condition") or asked.get("row_condition")
    return Table(found.datasource, found.name, where=None if condition is None else asked.sql(condition))


@dbt_expectations.of("table_row_count_to_equal_other_table", "table_row_count_to_equal_other_table_times_factor")
def _as_many(asked: Asked) -> list[Check]:
    return _difference(asked, "COUNT(*)", f"COUNT(*) * {asked.get('factor', 1)}", exactly(0))


def _difference(asked: Asked, here: str, there: str, bounds: Any) -> list[Check]:
    """Return the check of a difference, by group where one is given: then the groups are the same, too."""
    other, by = _other(asked), _by(asked)
    kind = Ratio(other, measure=here, other_measure=there, as_="difference")
    found = [number(kind, bounds, where=asked.where, by=by)]
    return [*found, check(SameAs(by.columns, other), "groups", where=asked.where)] if by else found


@dbt_expectations.of("equal_expression", "table_aggregation_to_equal_other_table")
def _equal_expression(asked: Asked) -> list[Check]:
    here = asked.sql(asked.params["expression"])
    there = asked.sql(asked.get("compare_expression", here))
    percent = asked.get("tolerance_percent")
    if not percent:
        off = max(Decimal(str(asked.get("tolerance", 0))), EQUAL)
        return _difference(asked, here, there, between(-off, off))
    # It takes the difference as a share of its own number: there / here lies within 1 - p and 1 + p.
    share = Decimal(str(percent))
    least, most = 1 / (1 + share), None if share >= 1 else 1 / (1 - share)
    kind = Ratio(_other(asked), measure=here, other_measure=there)
    return _number(asked, kind, at_least(least) if most is None else between(least, most))


@dbt_expectations.of("table_column_count_to_equal", "table_column_count_to_be_between")
def _column_count(asked: Asked) -> list[Check]:
    exact = asked.kind == "table_column_count_to_equal"
    return schema.count(
        equal(asked.params["value"]) if exact else within(asked.get("min_value"), asked.get("max_value"))
    )


@dbt_expectations.of("table_column_count_to_equal_other_table")
def _same_column_count(asked: Asked) -> list[Check]:
    return schema.count(exactly(0), _other(asked))


@dbt_expectations.of("column_to_exist")
def _column_exists(asked: Asked) -> list[Check]:
    return schema.exists(asked.params["column"], asked.get("column_index"), any_case=True)


@dbt_expectations.of("table_columns_to_contain_set", "table_columns_to_match_set")
@dbt_expectations.of("table_columns_to_match_ordered_list")
def _columns(asked: Asked) -> list[Check]:
    names = asked.params["column_list"]
    if "contain" in asked.kind:
        return schema.columns(names, extra="allowed", any_case=True)
    return schema.columns(names, ordered="ordered" in asked.kind, any_case=True)


@dbt_expectations.of("table_columns_to_not_contain_set")
def _no_columns(asked: Asked) -> list[Check]:
    return schema.forbidden(asked.params["column_list"], any_case=True)


