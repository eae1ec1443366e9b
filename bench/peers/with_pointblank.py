"""Pointblank on Ibis: a step per check, without extracts of failing rows."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _orders import BAD_SHARE, Check


def prepare(engine: str, target: str, checks: Sequence[Check], folder: Path) -> Callable[[], dict[str, Any]]:
    """Return the connecting, the steps and their interrogation."""
    import ibis
    import pointblank as pb

    def run() -> dict[str, Any]:
        connection = ibis.duckdb.connect(target, read_only=True) if engine == "duckdb" else ibis.connect(target)
        try:
            orders = connection.table("orders")
            validation = pb.Validate(orders)
            for check in checks:
                validation = _step(validation, check, orders, connection)
            validation = validation.interrogate(collect_extracts=False, collect_tbl_checked=False)
            failed = validation.n_failed()
            errors = [step.assertion_type for step in validation.validation_info if step.eval_error]
            if errors:
                raise SystemExit(f"{errors} could not be measured")
        finally:
            connection.disconnect()
        return {check.name: _found(check, failed[i]) for i, check in enumerate(checks, start=1)}

    return run


def _step(validation: Any, check: Check, orders: Any, connection: Any) -> Any:
    column, values = check.column, check.values
    if check.family == "not_null":
        return validation.col_vals_not_null(column)
    if check.family == "between":
        low, high = (datetime.datetime.fromisoformat(v) if isinstance(v, str) else v for v in values)
        return validation.col_vals_between(column, low, high, na_pass=True)
    if check.family == "one_of":
        return validation.col_vals_in_set(column, list(values))
    if check.family == "regex":
        return validation.col_vals_regex(column, values[0], na_pass=True)
    if check.family == "like":
        return validation.col_vals_expr(orders[column].like(values[0]).fill_null(True))
    if check.family == "rows":
        return validation.col_vals_expr(_expression(column, orders).fill_null(True))
    if check.family == "unique":
        return validation.rows_distinct(columns_subset=column)
    if check.family == "reference":
        return validation.col_vals_in_table(column, connection.table(values[0]), values[1], na_pass=True)
    if check.family == "per_org":

        def few_bad(table: Any) -> bool:
            bad = (~(table.amount > 0)).fill_null(False).sum()
            orgs = table.group_by("org_id").aggregate(bad=bad, rows=table.count())
            return bool(orgs.filter(BAD_SHARE * orgs.bad > orgs.rows).count().execute() == 0)

        return validation.specially(few_bad)
    function, _, inner = column.removesuffix(")").partition("(")

    def within(table: Any) -> bool:
        if function == "count":
            number = table.count() if inner == "*" else table[inner.removeprefix("DISTINCT ")].nunique()
        else:
            number = getattr(table[inner], {"avg": "mean"}.get(function, function))()
        return bool(values[0] <= float(number.execute()) <= values[1])

    return validation.specially(within)


def _expression(text: str, t: Any) -> Any:
    """Return the expression of a predicate over a row."""
    other = re.fullmatch(r"\((.*)\) OR quantity = (\d+)", text)
    if other:
        return _expression(other[1], t) | (t.quantity == int(other[2]))
    return {
        "tax <= amount": lambda: t.tax <= t.amount,
        "discount <= amount + 1000": lambda: t.discount <= t.amount + 1000,
        "shipped_at >= created_at": lambda: t.shipped_at >= t.created_at,
        "status <> 'shipped' OR shipped_at IS NOT NULL": lambda: (t.status != "shipped") | t.shipped_at.notnull(),
        "amount >= 0.01 * quantity OR amount = 0": lambda: (t.amount >= 0.01 * t.quantity) | (t.amount == 0),
    }[text]()


def _found(check: Check, failed: int) -> Any:
    if check.family in ("aggregate", "per_org"):
        return failed == 0
    # It counts the rows; each key that is there twice has two.
    return failed / 2 if check.family == "unique" else failed
