"""What a text of SQL says that its author may not mean; parsed, and not sent."""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

from dq.model.errors import GuardError
from dq.sql.engine import Engine
from dq.sql.guard import guard_predicate, guard_query

_COMPARED = (exp.EQ, exp.In, exp.Like, exp.ILike, exp.Between, exp.RegexpLike, exp.Glob)


def refuses_null(text: str, engine: Engine) -> tuple[str, ...]:
    """Return the columns of a predicate that are told apart by what they are *not*, and whose NULL is not spoken of.

    ``state <> 'lost'`` reads as if a row without a state were good, but it is NULL there. A predicate that cannot be
    read has none.

    Args:
        text: with its Jinja rendered.
        engine: in whose dialect it is written.
    """
    try:
        tree = guard_predicate(text, engine.glot)
    except GuardError:
        return ()
    spoken = {column.name for test in tree.find_all(exp.Is, exp.Coalesce) for column in test.find_all(exp.Column)}
    denied = (column.name for node in _denials(tree) for column in node.find_all(exp.Column))
    return tuple(name for name in dict.fromkeys(denied) if name not in spoken)


def _denials(tree: exp.Expression) -> Iterator[exp.Expression]:
    for node in tree.find_all(exp.NEQ, exp.Not):
        if isinstance(node, exp.NEQ) or isinstance(node.this.unnest(), _COMPARED):
            yield node


def compares_products(text: str, engine: Engine) -> bool:
    """Return whether a predicate asks for equality with a product, a quotient or a broken number.

    Of floating-point numbers such are hardly ever equal.
    """
    try:
        tree = guard_predicate(text, engine.glot)
    except GuardError:
        return False
    for node in tree.find_all(exp.EQ):
        for side in (node.this.unnest(), node.expression.unnest()):
            broken = isinstance(side, exp.Literal) and not side.is_string and "." in side.name
            rounded = isinstance(side, exp.Round | exp.Cast)
            if broken or (not rounded and any(side.find_all(exp.Mul, exp.Div))):
                return True
    return False


def always_returns_a_row(text: str, engine: Engine) -> bool:
    """Return whether a query counts or sums without GROUP BY or HAVING, so that it returns a row whatever there is."""
    try:
        tree = guard_query(text, engine.glot)
    except GuardError:
        return False
    if not isinstance(tree, exp.Select) or tree.args.get("group") or tree.args.get("having"):
        return False
    return any(
        isinstance(found, exp.AggFunc) and found.find_ancestor(exp.Window, exp.Subquery) is None
        for one in tree.expressions
        for found in one.find_all(exp.AggFunc)
    )
