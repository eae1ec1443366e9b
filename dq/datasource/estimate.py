"""What a statement would read, as the database estimates it: it is planned, and not run.

One function per dialect. SQLite's plan holds no number (sqlite.org/eqp.html); of what is not listed nothing is known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from attrs import frozen

from dq.datasource.protocol import Datasource
from dq.model.errors import MeasureError


@frozen
class Estimate:
    """How much a statement would read.

    Attributes:
        amount: how many.
        unit: of what.
    """

    amount: int
    unit: Literal["rows", "bytes"]

    def __str__(self) -> str:
        return f"about {self.amount:,} {self.unit}"


def estimate(datasource: Datasource, sql: str) -> Estimate | None:
    """Return what ``sql`` would read; None where the database does not tell.

    Raises:
        MeasureError: when the database could not be asked, or refuses the statement.
    """
    ask = _BY_DIALECT.get(datasource.dialect)
    return None if ask is None else ask(datasource, sql)


def _postgresql(datasource: Datasource, sql: str) -> Estimate:
    """Sum the rows of what the plan reads (postgresql.org/docs/current/using-explain.html)."""
    plan = _document(datasource, f"EXPLAIN (FORMAT JSON) {sql}")[0]["Plan"]
    return Estimate(sum(int(leaf["Plan Rows"]) for leaf in _leaves(plan, "Plans")), "rows")


def _mysql(datasource: Datasource, sql: str) -> Estimate:
    """Sum the column ``rows``, what is examined of each table (mariadb.com/kb/en/explain).

    MySQL puts ``partitions`` before it (dev.mysql.com/doc/refman/8.4/en/explain-output.html).
    """
    rows = datasource.fetch(f"EXPLAIN {sql}")
    position = 8 if rows and len(rows[0]) == 10 else 9
    tables = [row for row in rows if not str(row[2] or "").startswith("<")]
    return Estimate(sum(int(row[position] or 0) for row in tables), "rows")


def _duckdb(datasource: Datasource, sql: str) -> Estimate:
    """Sum the estimated cardinality of what the plan reads (duckdb.org/docs/stable/guides/meta/explain)."""
    plans = _document(datasource, f"EXPLAIN (FORMAT json) {sql}")
    leaves = (leaf for plan in plans for leaf in _leaves(plan, "children"))
    return Estimate(sum(int(leaf["extra_info"].get("Estimated Cardinality", 0)) for leaf in leaves), "rows")


def _bigquery(datasource: Datasource, sql: str) -> Estimate | None:
    """Take the bytes that a dry run tells of, which costs nothing (cloud.google.com/bigquery/docs/running-queries)."""
    dry_run = getattr(datasource, "dry_run", None)
    told = None if dry_run is None else dry_run(sql)
    return None if told is None else Estimate(int(told), "bytes")


_BY_DIALECT: dict[str, Callable[[Datasource, str], Estimate | None]] = {
    "postgresql": _postgresql,
    "mariadb": _mysql,
    "mysql": _mysql,
    "duckdb": _duckdb,
    "bigquery": _bigquery,
}


def _document(datasource: Datasource, sql: str) -> Any:
    """Return the JSON document in the last column of the only row; some drivers have read it already."""
    rows = datasource.fetch(sql)
    try:
        told = rows[0][-1]
        return json.loads(told) if isinstance(told, str | bytes) else told
    except (IndexError, ValueError):
        raise MeasureError(f"datasource {datasource.name!r}: its plan of the statement cannot be read") from None


def _leaves(node: Mapping[str, Any], below: str) -> Iterator[Mapping[str, Any]]:
    children: Sequence[Mapping[str, Any]] = node.get(below) or ()
    if not children:
        yield node
    for child in children:
        yield from _leaves(child, below)
