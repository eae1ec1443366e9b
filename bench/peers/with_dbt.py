"""dbt: the table as a source with its tests; what none of dbt's own tests says is one generic test of the project."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from _orders import BAD_SHARE, Check, bad, good

THREADS = 2
IS_TRUE = """{% test is_true(model, bad) %}
SELECT * FROM {{ model }} WHERE {{ bad }}
{% endtest %}
"""
NO_ROWS = """{% test no_rows(model, query) %}
{{ query }}
{% endtest %}
"""


def write(engine: str, target: str, checks: Sequence[Check], folder: Path) -> None:
    """Write the project: its settings, the profile, the source with its tests, and two generic tests."""
    output: dict[str, Any] = {"type": engine, "threads": THREADS}
    if engine == "duckdb":
        output |= {"path": target, "schema": "main"}
        schema = "main"
    else:
        url = urlsplit(target)
        output |= {"host": url.hostname, "port": url.port, "user": url.username, "password": "none"}
        output |= {"dbname": url.path[1:], "schema": "public"}
        schema = "public"
    files: dict[str, Any] = {
        "dbt_project.yml": {
            "name": "shop", "version": "1.0", "profile": "shop", "config-version": 2, "model-paths": ["models"],
            "flags": {"send_anonymous_usage_stats": False},
        },
        "profiles.yml": {"shop": {"target": "here", "outputs": {"here": output}}},
        "models/orders.yml": {"version": 2, "sources": [{
            "name": "shop", "schema": schema,
            "tables": [{"name": "orders", **_tests(checks, engine)}, {"name": "customers"}],
        }]},
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content, indent=1), encoding="utf-8")  # JSON is YAML
    for name, text in {"is_true": IS_TRUE, "no_rows": NO_ROWS}.items():
        file = folder / "tests" / "generic" / f"{name}.sql"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _tests(checks: Sequence[Check], engine: str) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    table: list[Any] = []
    for check in checks:
        column, values, named = check.column, check.values, {"name": check.name}
        if check.family == "not_null":
            columns.setdefault(column, []).append({"not_null": named})
        elif check.family == "unique":
            columns.setdefault(column, []).append({"unique": named})
        elif check.family == "one_of":
            # It returns a row per bad value, with their number; NULL is none of them.
            counted = {"fail_calc": "coalesce(sum(n_records), 0)", "where": f"{column} IS NOT NULL"}
            body = named | {"arguments": {"values": list(values)}, "config": counted}
            columns.setdefault(column, []).append({"accepted_values": body})
        elif check.family == "reference":
            body = named | {"arguments": {"to": f"source('shop', '{values[0]}')", "field": values[1]}}
            columns.setdefault(column, []).append({"relationships": body})
        elif check.family in ("aggregate", "per_org"):
            table.append({"no_rows": named | {"arguments": {"query": _query(check, engine)}}})
        else:
            table.append({"is_true": named | {"arguments": {"bad": bad(check, engine)}}})
    listed = [{"name": column, "data_tests": tests} for column, tests in columns.items()]
    return {"columns": listed, "data_tests": table}


def _query(check: Check, engine: str) -> str:
    if check.family == "aggregate":
        least, most = check.values
        return f"SELECT {check.column} FROM orders HAVING {check.column} NOT BETWEEN {least} AND {most}"
    return (
        f"SELECT org_id FROM orders GROUP BY org_id HAVING {BAD_SHARE} *"
        f" sum(CASE WHEN NOT ({good(check, engine)}) THEN 1 ELSE 0 END) > count(*)"
    )


def prepare(engine: str, target: str, checks: Sequence[Check], folder: Path) -> Callable[[], dict[str, Any]]:
    """Return ``dbt test``, of a project that has been parsed already."""
    from dbt.cli.main import dbtRunner

    write(engine, target, checks, folder)
    where = ["--project-dir", str(folder), "--profiles-dir", str(folder), "--quiet"]
    families = {check.name: check.family for check in checks}
    with contextlib.redirect_stdout(io.StringIO()):
        parsed = dbtRunner().invoke(["parse", *where])
    if not parsed.success:
        raise SystemExit(f"dbt parse: {parsed.exception}")

    def run() -> dict[str, Any]:
        done = dbtRunner().invoke(["test", *where])
        found = {}
        for result in done.result.results:
            if result.status == "error":
                raise SystemExit(f"{result.node.name}: {result.message}")
            verdict = families[result.node.name] == "aggregate"
            found[result.node.name] = result.failures == 0 if verdict else result.failures
        return found

    return run


def command(scripts: Path, folder: Path) -> list[str]:
    """Return the whole process."""
    return [str(scripts / "dbt"), "test", "--project-dir", str(folder), "--profiles-dir", str(folder)]
