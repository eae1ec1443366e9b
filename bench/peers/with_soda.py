"""Soda Core 4: a data source file and a contract; row predicates share its one aggregation query."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _orders import BAD_SHARE, Check, bad, good

COLUMNS = (
    "order_id", "order_no", "org_id", "customer_id", "status", "currency", "channel", "country", "quantity", "amount",
    "tax", "discount", "email", "sku", "created_at", "shipped_at",
)  # fmt: skip
AGGREGATES = ("sum", "avg", "min", "max")


def write(engine: str, target: str, checks: Sequence[Check], folder: Path) -> None:
    """Write ``shop.yml`` and ``orders.yml``."""
    from ruamel.yaml import YAML

    if engine == "duckdb":
        connection: dict[str, Any] = {"database": target, "schema": "main", "read_only": True}
        prefix = "shop/main"
    else:
        url = urlsplit(target)
        connection = {"host": url.hostname, "port": url.port, "user": url.username, "password": "none"}
        connection["database"] = url.path[1:]
        prefix = f"shop/{url.path[1:]}/public"
    columns: dict[str, list[dict[str, Any]]] = {column: [] for column in COLUMNS}
    table: list[dict[str, Any]] = []
    for check in checks:
        on_column, body = _one(check, engine, prefix)
        (columns[on_column] if on_column else table).append(body)
    contract = {
        "dataset": f"{prefix}/orders",
        "columns": [{"name": name, "checks": own} if own else {"name": name} for name, own in columns.items()],
        "checks": table,
    }
    yaml = YAML()
    yaml.dump({"type": engine, "name": "shop", "connection": connection}, folder / "shop.yml")
    yaml.dump(contract, folder / "orders.yml")


def _one(check: Check, engine: str, prefix: str) -> tuple[str | None, dict[str, Any]]:
    column, values = check.column, check.values
    named: dict[str, Any] = {"name": check.name, "qualifier": check.name}
    bounds: dict[str, Any] = {}
    if check.family == "aggregate":
        ends = dict(zip(("greater_than_or_equal", "less_than_or_equal"), values, strict=True))
        bounds = {"must_be": values[0]} if values[0] == values[1] else {"must_be_between": ends}
    threshold = {"threshold": bounds}
    if check.family == "not_null":
        return column, {"missing": named}
    if check.family == "between" and not isinstance(values[0], str):
        return column, {"invalid": named | {"valid_min": values[0], "valid_max": values[1]}}
    if check.family == "one_of":
        return column, {"invalid": named | {"valid_values": list(values)}}
    if check.family == "regex":
        return column, {"invalid": named | {"valid_format": {"regex": values[0], "name": check.name}}}
    if check.family == "reference":
        there = {"dataset": f"{prefix}/{values[0]}", "column": values[1]}
        return column, {"invalid": named | {"valid_reference_data": there}}
    if check.family == "unique":
        return column, {"duplicate": named}
    if check.family == "per_org":
        query = (
            f"SELECT org_id FROM orders GROUP BY org_id HAVING {BAD_SHARE} *"
            f" sum(CASE WHEN NOT ({good(check, engine)}) THEN 1 ELSE 0 END) > count(*)"
        )
        return None, {"failed_rows": named | {"query": query}}
    if check.family == "aggregate":
        function, _, inner = column.removesuffix(")").partition("(")
        if column == "count(*)":
            return None, {"row_count": named | threshold}
        if function in AGGREGATES:
            return inner, {"aggregate": named | {"function": function} | threshold}
        # In an expression it would share the aggregation query, which PostgreSQL then does not read in parallel.
        return None, {"metric": named | {"query": f"SELECT {column} FROM orders"} | threshold}
    return None, {"failed_rows": named | {"expression": bad(check, engine)}}


def prepare(engine: str, target: str, checks: Sequence[Check], folder: Path) -> Callable[[], dict[str, Any]]:
    """Return the verification of the contract."""
    from soda_core.contracts import verify_contract_locally

    write(engine, target, checks, folder)
    logging.disable(logging.CRITICAL)

    def run() -> dict[str, Any]:
        session = verify_contract_locally(
            data_source_file_path=str(folder / "shop.yml"), contract_file_path=str(folder / "orders.yml")
        )
        results = session.contract_verification_results[0].check_results
        return {r.check.name: _found(r) for r in results}

    return run


def _found(result: Any) -> Any:
    if result.threshold_value is None:
        raise SystemExit(f"{result.check.name}: {result.outcome}")
    return result.threshold_value


def command(scripts: Path, folder: Path) -> list[str]:
    """Return the whole process."""
    return [
        str(scripts / "soda"), "contract", "verify", "-ds", str(folder / "shop.yml"), "-c", str(folder / "orders.yml"),
    ]  # fmt: skip
