"""Airflow's SQL check operators: columns, the table, and a check of their own for what neither can say."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from _orders import BAD_SHARE, Check, good

logging.disable(logging.CRITICAL)
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-"))


def prepare(engine: str, target: str, checks: Sequence[Check], folder: Path) -> Callable[[], dict[str, Any]]:
    """Return the making of the operators and their execution, one after the other."""
    from airflow.providers.common.compat.sdk import AirflowException
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.common.sql.operators import sql as operators

    class DuckDBHook(DbApiHook):  # Airflow has none of its own
        conn_name_attr = "shop"

        def get_conn(self) -> Any:
            import duckdb

            return duckdb.connect(target)

    os.environ["AIRFLOW_CONN_SHOP"] = target  # the database's own hook finds it there

    def done(operator: Any) -> Any:
        if engine == "duckdb":
            operator.get_db_hook = lambda: DuckDBHook(log_sql=False)
        try:
            operator.execute({})
        except AirflowException as failed:
            if "Test failed" not in str(failed):
                raise
        return operator

    def run() -> dict[str, Any]:
        found: dict[str, Any] = {}
        mapping: dict[str, dict[str, dict[str, Any]]] = {}
        for column, test, bounds in _on_columns(checks):
            mapping.setdefault(column, {})[test] = dict(bounds)
        on_table = {c.name: {"check_statement": _statement(c, engine)} for c in checks if _is_on_table(c)}
        if mapping:
            mapping = done(
                operators.SQLColumnCheckOperator(
                    task_id="columns", table="orders", conn_id="shop", column_mapping=mapping, retry_on_failure=False
                )
            ).column_mapping
        if on_table:
            told = done(
                operators.SQLTableCheckOperator(task_id="table", table="orders", conn_id="shop", checks=on_table)
            ).checks
            found |= {name: bool(one["success"]) for name, one in told.items()}
        for check, (column, test, _) in zip(_told(checks), _on_columns(checks), strict=True):
            found[check.name] = mapping[column][test]["result"]
        for check in checks:
            if check.family in ("reference", "per_org"):
                operator = operators.SQLCheckOperator(task_id=check.name, conn_id="shop", sql=_query(check, engine))
                found[check.name] = done(operator).check_results[0].success
        return found

    return run


def _on_columns(checks: Sequence[Check]) -> Iterable[tuple[str, str, dict[str, Any]]]:
    for check in checks:
        if check.family == "not_null":
            yield check.column, "null_check", {"equal_to": 0}
        elif check.family == "unique":
            yield check.column, "unique_check", {"equal_to": 0}
        elif "DISTINCT" in check.column:
            yield "org_id", "distinct_check", {"equal_to": check.values[0]}


def _told(checks: Sequence[Check]) -> Iterable[Check]:
    return (c for c in checks if c.family in ("not_null", "unique") or "DISTINCT" in c.column)


def _is_on_table(check: Check) -> bool:
    return check.family not in ("not_null", "unique", "reference", "per_org") and "DISTINCT" not in check.column


def _statement(check: Check, engine: str) -> str:
    if check.family == "aggregate":
        return f"{check.column} BETWEEN {check.values[0]} AND {check.values[1]}"
    return f"({good(check, engine)}) IS NOT FALSE"


def _query(check: Check, engine: str) -> str:
    if check.family == "reference":
        table, key = check.values
        return (
            f"SELECT count(*) = 0 FROM orders AS o LEFT JOIN {table} AS t ON o.{check.column} = t.{key}"
            f" WHERE t.{key} IS NULL AND o.{check.column} IS NOT NULL"
        )
    return (
        f"SELECT count(*) = 0 FROM (SELECT org_id FROM orders GROUP BY org_id HAVING {BAD_SHARE} *"
        f" sum(CASE WHEN NOT ({good(check, engine)}) THEN 1 ELSE 0 END) > count(*)) AS d"
    )
