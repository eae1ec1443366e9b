"""The SQL of the user: guarded, and written as its engine understands it.

Nothing else in a statement is parsed; a suite without SQL of its own needs no parser. Compiled text is kept in memory,
because it is asked for when a declaration is checked, and again when it runs.
"""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp

from dq.sql import dialects
from dq.sql.guard import guard_aggregate, guard_predicate, guard_query, guard_value
from dq.sql.negation import not_true

__all__ = ["aggregate", "dialects", "predicate", "query", "value", "violated"]


@lru_cache(maxsize=4096)
def predicate(text: str, glot: str, refused: frozenset[str]) -> str:
    """Return a predicate.

    Raises:
        GuardError: when it is refused.
    """
    return _emit(_guarded(text, glot, refused), glot)


@lru_cache(maxsize=4096)
def violated(text: str, glot: str, refused: frozenset[str]) -> str:
    """Return what is TRUE for exactly the rows that a predicate is not TRUE for.

    Raises:
        GuardError: when it is refused.
    """
    tree = _guarded(text, glot, refused)
    if glot != "duckdb":
        return f"(CASE WHEN {_emit(tree, glot)} THEN 1 ELSE 0 END = 0)"
    turned = not_true(tree)
    return f"({_emit(tree, glot)}) IS NOT TRUE" if turned is None else f"({_emit(turned, glot)})"


@lru_cache(maxsize=1024)
def value(text: str, glot: str, refused: frozenset[str]) -> str:
    """Return an expression that is a value of one row.

    Raises:
        GuardError: when it is refused.
    """
    return _emit(guard_value(text, glot, refused), glot)


@lru_cache(maxsize=1024)
def query(text: str, glot: str, refused: frozenset[str]) -> str:
    """Return a query.

    Raises:
        GuardError: when it is refused.
    """
    return _emit(guard_query(text, glot, refused), glot)


@lru_cache(maxsize=1024)
def aggregate(text: str, glot: str, refused: frozenset[str]) -> tuple[str, bool]:
    """Return an aggregate, and whether sharing a statement would make that one slow.

    Raises:
        GuardError: when it is refused.
    """
    tree = guard_aggregate(text, glot, refused)
    return _emit(tree, glot), any(tree.find_all(exp.Distinct, exp.PercentileCont, exp.Quantile, exp.Median))


@lru_cache(maxsize=4096)
def _guarded(text: str, glot: str, refused: frozenset[str]) -> exp.Expression:
    return guard_predicate(text, glot, refused)  # to read it costs far more than to write it


def _emit(tree: exp.Expression, glot: str) -> str:
    return tree.sql(dialect=glot, comments=False)
