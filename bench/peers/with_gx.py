"""Great Expectations: one suite on a table asset, without a data context on disk."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _orders import BAD_SHARE, Check, bad, good


class _DuckDB(str):
    """A dialect, as the members of its enumeration of dialects are."""

    __slots__ = ()
    value = "duckdb"


def prepare(engine: str, target: str, checks: Sequence[Check], folder: Path) -> Callable[[], dict[str, Any]]:
    """Return the making of the suite and its validation."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    logging.disable(logging.CRITICAL)
    if engine == "duckdb":
        # It closes the connection before it fetches, which loses the rows of DuckDB's driver; for SQLite it does not.
        from great_expectations.execution_engine import sqlalchemy_execution_engine as own

        own._PERSISTED_CONNECTION_DIALECTS = (*own._PERSISTED_CONNECTION_DIALECTS, _DuckDB("duckdb"))

    def run() -> dict[str, Any]:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        if engine == "duckdb":
            source = context.data_sources.add_sql("shop", connection_string=f"duckdb:///{target}")
        else:
            address = target.replace("postgresql:", "postgresql+psycopg2:")
            source = context.data_sources.add_postgres("shop", connection_string=address)
        batch = source.add_table_asset("orders", table_name="orders").add_batch_definition_whole_table("all")
        suite = gx.ExpectationSuite("orders", expectations=[_one(gx, check, engine) for check in checks])
        suite = context.suites.add(suite)
        result = gx.ValidationDefinition(name="orders", data=batch, suite=suite).run(
            result_format={"result_format": "BASIC", "partial_unexpected_count": 0}
        )
        families = {check.name: check.family for check in checks}
        return {
            r.expectation_config.meta["name"]: _found(families[r.expectation_config.meta["name"]], r)
            for r in result.results
        }

    return run


def _one(gx: Any, check: Check, engine: str) -> Any:
    e, column, values, named = gx.expectations, check.column, check.values, {"meta": {"name": check.name}}
    if check.family == "not_null":
        return e.ExpectColumnValuesToNotBeNull(column=column, **named)
    if check.family == "between" and not isinstance(values[0], str):
        return e.ExpectColumnValuesToBeBetween(column=column, min_value=values[0], max_value=values[1], **named)
    if check.family == "one_of":
        return e.ExpectColumnValuesToBeInSet(column=column, value_set=list(values), **named)
    if check.family == "like" and engine == "postgres":  # it has no patterns for DuckDB
        return e.ExpectColumnValuesToMatchLikePattern(column=column, like_pattern=values[0], **named)
    if check.family == "regex" and engine == "postgres":
        return e.ExpectColumnValuesToMatchRegex(column=column, regex=values[0], **named)
    if check.family == "unique":
        return e.ExpectColumnValuesToBeUnique(column=column, **named)
    if check.family == "aggregate":
        least, most = values
        function, _, inner = column.removesuffix(")").partition("(")
        if column == "count(*)":
            return e.ExpectTableRowCountToBeBetween(min_value=least, max_value=most, **named)
        kind = {
            "sum": e.ExpectColumnSumToBeBetween,
            "avg": e.ExpectColumnMeanToBeBetween,
            "min": e.ExpectColumnMinToBeBetween,
            "max": e.ExpectColumnMaxToBeBetween,
            "count": e.ExpectColumnUniqueValueCountToBeBetween,
        }[function]
        return kind(column=inner.removeprefix("DISTINCT "), min_value=least, max_value=most, **named)
    if check.family == "reference":
        table, key = values
        query = (
            f"SELECT o.{column} FROM {{batch}} AS o LEFT JOIN {table} AS t ON o.{column} = t.{key}"
            f" WHERE t.{key} IS NULL AND o.{column} IS NOT NULL"
        )
    elif check.family == "per_org":
        query = (
            f"SELECT org_id FROM {{batch}} GROUP BY org_id HAVING {BAD_SHARE} *"
            f" sum(CASE WHEN NOT ({good(check, engine)}) THEN 1 ELSE 0 END) > count(*)"
        )
    else:
        doubled = bad(check, engine).replace("{", "{{").replace("}", "}}")
        query = f"SELECT order_id FROM {{batch}} WHERE {doubled}"
    return e.UnexpectedRowsExpectation(unexpected_rows_query=query, **named)


def _found(family: str, result: Any) -> Any:
    if result.exception_info.get("raised_exception") or not result.result:
        raise SystemExit(f"{result.expectation_config.meta['name']}: {result.exception_info}")
    if family == "aggregate" or "observed_value" in result.result:
        return result.result["observed_value"]
    count = result.result["unexpected_count"]
    return count / 2 if family == "unique" else count  # it counts the rows; each key that is there twice has two
