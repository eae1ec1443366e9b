"""The 40 checks by hand: each way to write them that was the best somewhere, with a driver and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from _orders import BAD_SHARE, ROW_FAMILIES, Check, bad

Rows = list[tuple[Any, ...]]
Ask = Callable[[str], Rows]


class Part(NamedTuple):
    """A statement.

    Attributes:
        names: the checks that it answers.
        sql: its text.
        terms: it returns a row per check, which begins with the check's number; else one row, a column per check.
    """

    names: Sequence[str]
    sql: str
    terms: bool = False


Asked = list[Part]

FEW_VALUES = ("sku", "currency")
DISTINCT_ORGS = "SELECT count(*) FROM (SELECT DISTINCT org_id FROM orders WHERE org_id IS NOT NULL) AS d"


def connect(engine: str, target: str) -> tuple[Ask, Callable[[], None]]:
    """Return how to ask and how to go away."""
    connection: Any
    if engine == "duckdb":
        import duckdb

        connection = duckdb.connect(target, read_only=True)
    else:
        import psycopg

        connection = psycopg.connect(target, autocommit=True)
    return (lambda sql: list(connection.execute(sql).fetchall())), connection.close


def _plain(check: Check) -> bool:
    return check.family == "aggregate" and "DISTINCT" not in check.column


def _apart(check: Check, engine: str) -> str:
    """Return the statement of a check that shares none, in the form that was the fastest on this engine."""
    column = check.column
    if check.family == "aggregate":
        return DISTINCT_ORGS if "DISTINCT" in column else f"SELECT {column} FROM orders"
    if check.family == "unique":
        if engine == "postgres" and column == "order_no":  # sorting text for count(DISTINCT) costs more than hashing it
            return (
                f"SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM orders WHERE {column} IS NOT NULL"
                f" GROUP BY {column} HAVING count(*) > 1) AS d"
            )
        return f"SELECT count({column}) - count(DISTINCT {column}) FROM orders"
    if check.family == "reference":
        table, key = check.values
        return (
            f"SELECT count(*) FROM orders AS o LEFT JOIN {table} AS t ON o.{column} = t.{key}"
            f" WHERE t.{key} IS NULL AND o.{column} IS NOT NULL"
        )
    if check.family == "per_org":
        return (
            "SELECT count(*) FROM (SELECT org_id FROM orders GROUP BY org_id HAVING"
            f" {BAD_SHARE} * sum(CASE WHEN NOT ({column}) THEN 1 ELSE 0 END) > count(*)) AS d"
        )
    return f"SELECT count(*) FROM orders WHERE {bad(check, engine)}"


def _parts(checks: Iterable[Check]) -> tuple[list[Check], list[Check], list[Check]]:
    """Return the row predicates, the plain aggregates, and the others."""
    checks = list(checks)
    predicates = [check for check in checks if check.family in ROW_FAMILIES]
    plain = [check for check in checks if _plain(check)]
    return predicates, plain, [check for check in checks if check not in predicates and check not in plain]


def _scan(predicates: Iterable[Check], plain: Iterable[Check], engine: str) -> Part:
    counted = {check.name: f"sum(CASE WHEN {bad(check, engine)} THEN 1 ELSE 0 END)" for check in predicates}
    asked = counted | {check.name: check.column for check in plain}
    return Part(list(asked), f"SELECT {', '.join(asked.values())} FROM orders")


def _rest(checks: Iterable[Check], engine: str) -> Asked:
    return [Part([check.name], _apart(check, engine)) for check in checks]


def fused(checks: Iterable[Check], engine: str) -> Asked:
    """One statement for all predicates and plain aggregates, one for each other check."""
    predicates, plain, others = _parts(checks)
    return [_scan(predicates, plain, engine), *_rest(others, engine)]


def union(checks: Iterable[Check], engine: str) -> Asked:
    """The predicates as counts in WHERE form under UNION ALL, at most 200 in one; the aggregates in one statement."""
    predicates, plain, others = _parts(checks)
    asked: Asked = []
    for i in range(0, len(predicates), 200):
        part = predicates[i : i + 200]
        terms = (f"SELECT {n}, count(*) FROM orders WHERE {bad(check, engine)}" for n, check in enumerate(part))
        asked.append(Part([check.name for check in part], " UNION ALL ".join(terms), terms=True))
    return [*asked, *([_scan([], plain, engine)] if plain else []), *_rest(others, engine)]


def each(checks: Iterable[Check], engine: str) -> Asked:
    """One statement for each check."""
    return _rest(checks, engine)


def one(checks: Iterable[Check], engine: str) -> Asked:
    """One statement in all: those of the fused form (on DuckDB of WHERE counts) side by side in its FROM."""
    if engine == "duckdb":
        predicates, plain, others = _parts(checks)
        parts = [*_rest(predicates, engine), *([_scan([], plain, engine)] if plain else []), *_rest(others, engine)]
    else:
        parts = fused(checks, engine)
    names = [name for part in parts for name in part.names]
    return [Part(names, f"SELECT * FROM {', '.join(f'({part.sql}) AS p{i}' for i, part in enumerate(parts))}")]


def hashed(checks: Iterable[Check], engine: str) -> Asked:
    """The best of the above, and keys of text by their 64-bit hashes; the exact count only where those fall short."""
    made = union(checks, engine) if engine == "duckdb" else fused(checks, engine)
    function = "hashtextextended({0}, 0)" if engine == "postgres" else "hash({0})"
    by_hash = f"SELECT count(order_no) - count(DISTINCT {function.format('order_no')}) FROM orders"
    return [part._replace(sql=by_hash) if part.names == ["one_row_per_number"] else part for part in made]


def few(checks: Iterable[Check], engine: str) -> Asked:
    """As ``hashed``; and on DuckDB, patterns of columns with few values are matched against each value once."""
    asked = list(checks)
    if engine != "duckdb":  # PostgreSQL takes as long to group the rows as to match them
        return hashed(asked, engine)
    once = [check for check in asked if check.family == "regex" and check.column in FEW_VALUES]
    by_value = [
        Part(
            [check.name],
            f"SELECT coalesce(sum(n), 0) FROM (SELECT {check.column}, count(*) AS n FROM orders"
            f" GROUP BY {check.column}) AS d WHERE {bad(check, engine)}",
        )
        for check in once
    ]
    return [*hashed((check for check in asked if check not in once), engine), *by_value]


WAYS: Mapping[str, Callable[[Iterable[Check], str], Asked]] = {
    "fused": fused,
    "union": union,
    "each": each,
    "one": one,
    "hashed": hashed,
    "few": few,
}


def answer(asked: Asked, ask: Ask) -> dict[str, Any]:
    """Ask one after the other and return what was found, by check."""
    found: dict[str, Any] = {}
    for part in asked:
        _take(found, part, ask(part.sql))
    return found


def side_by_side(asked: Asked, engine: str, target: str, connections: int = 2) -> dict[str, Any]:
    """Ask over several connections at once: the dearest statements, keys, are begun first."""
    waiting: SimpleQueue[Part] = SimpleQueue()
    for part in sorted(asked, key=lambda part: not part.names[0].startswith("one_row_per")):
        waiting.put(part)
    found: dict[str, Any] = {}

    def work(_number: int) -> None:
        ask, leave = connect(engine, target)
        try:
            while True:
                part = waiting.get_nowait()
                _take(found, part, ask(part.sql))
        except Empty:
            leave()

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))
    return found


def _take(found: dict[str, Any], part: Part, rows: Rows) -> None:
    if part.terms:
        found.update((part.names[number], value) for number, value in rows)
    else:
        found.update(zip(part.names, rows[0], strict=True))


def prepare(way: str, engine: str, target: str, checks: Sequence[Check]) -> Callable[[], dict[str, Any]]:
    """Return what connects, asks and leaves; ``way`` may end in ``-2`` for two connections."""
    asked = WAYS[way.removesuffix("-2")](checks, engine)

    def run() -> dict[str, Any]:
        if way.endswith("-2"):
            return side_by_side(asked, engine, target)
        ask, leave = connect(engine, target)
        try:
            return answer(asked, ask)
        finally:
            leave()

    return run


if __name__ == "__main__":
    sys.exit("started by bench/checks.py")
