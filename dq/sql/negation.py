"""The rows that a predicate of the user is not TRUE for, said so that an engine's statistics can answer it.

``(p) IS NOT TRUE`` is exact, but DuckDB reads every row for it, while it answers ``amount <= 0 OR amount IS NULL`` from
the least and greatest value of each stretch of the column. So a condition that is NULL only where its column is NULL
is turned round, through AND, OR and NOT:

    not TRUE  of A AND B:  not TRUE of A, or of B          not FALSE of A AND B:  not FALSE of A, and of B
    not TRUE  of A OR B:   not TRUE of A, and of B         not FALSE of A OR B:   not FALSE of A, or of B
    not TRUE  of NOT A:    not FALSE of A                  not FALSE of NOT A:    not TRUE of A
    not TRUE  of a < 1:    a >= 1, or a is NULL            not FALSE of a < 1:    a < 1, or a is NULL

Where any part is something else (arithmetic, two columns, a function), it is left: measured, statistics answer none of
that, and a part that is asked twice costs up to 1.6 times as much.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp

_INVERSE: dict[type[exp.Expression], type[exp.Binary]] = {
    exp.EQ: exp.NEQ,
    exp.NEQ: exp.EQ,
    exp.LT: exp.GTE,
    exp.LTE: exp.GT,
    exp.GT: exp.LTE,
    exp.GTE: exp.LT,
}


def not_true(tree: exp.Expression) -> exp.Expression | None:
    """Return what is TRUE for exactly the rows that ``tree`` is not TRUE for; None where it cannot be turned round."""
    turned: exp.Expression | None = _turned(tree, wanted=True)
    return turned


# Any: how sqlglot types its nodes differs between the versions that dq allows.
def _turned(tree: Any, *, wanted: bool) -> Any:
    """Return what is TRUE for exactly the rows for which ``tree`` is not ``wanted``."""
    tree = tree.unnest()
    if isinstance(tree, exp.And | exp.Or):
        parts = [_turned(part, wanted=wanted) for part in tree.flatten()]
        # A row is not TRUE in an AND where one part is not, and not FALSE in an OR where one part is not.
        joined = exp.or_ if isinstance(tree, exp.And) is wanted else exp.and_
        known = [part for part in parts if part is not None]
        return joined(*known, copy=False) if len(known) == len(parts) else None
    if isinstance(tree, exp.Not):
        return _turned(tree.this, wanted=not wanted)
    if isinstance(tree, exp.Between) and not tree.args.get("symmetric"):
        ends = (exp.GTE, tree.args["low"]), (exp.LTE, tree.args["high"])
        return _turned(exp.and_(*(op(this=tree.this.copy(), expression=end.copy()) for op, end in ends)), wanted=wanted)
    column = tree.this
    if not isinstance(column, exp.Column) or not isinstance(column.this, exp.Identifier):
        return None
    missing = exp.Is(this=column.copy(), expression=exp.Null())
    if isinstance(tree, exp.Is):  # IS NULL is never NULL itself; IS TRUE and others are left
        return (exp.not_(tree) if wanted else tree.copy()) if isinstance(tree.expression, exp.Null) else None
    return exp.or_(_inverse(tree) if wanted else tree.copy(), missing, copy=False) if _is_strict(tree) else None


def _inverse(tree: Any) -> Any:
    inverse = _INVERSE.get(type(tree))
    return exp.not_(tree) if inverse is None else inverse(this=tree.this.copy(), expression=tree.expression.copy())


def _is_strict(tree: Any) -> bool:
    """Whether a condition on a column is NULL where that is NULL, and only there."""
    if isinstance(tree, exp.In):
        rest = [value for key, value in tree.args.items() if value and key not in {"this", "expressions"}]
        return not rest and all(_is_value(value) for value in tree.expressions)
    return (type(tree) in _INVERSE or type(tree) is exp.Like) and _is_value(tree.expression)


def _is_value(part: Any) -> bool:
    """Whether it is never NULL: a literal, a number below zero, or a text as a date or time."""
    if isinstance(part, exp.Neg) or (isinstance(part, exp.Cast) and not isinstance(part, exp.TryCast)):
        part = part.this
    return isinstance(part, exp.Literal | exp.Boolean)
