"""Predicates as SQL: which rows are good, which are bad, and what has to be derived from other rows to say so.

Each form is written twice. ``good`` is TRUE for good rows, and FALSE or NULL for others: it stands in a CASE.
``bad`` is TRUE for exactly the rows that ``good`` is not TRUE for: it stands in a WHERE, where an engine can answer
much of it from the statistics it keeps, which it cannot through a NOT or a CASE.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import combinations

from attrs import frozen

from dq.model.predicate import (
    Absent,
    AllDiffer,
    Apart,
    Compared,
    In,
    Json,
    Length,
    Near,
    Ordered,
    OverRows,
    Pattern,
    Predicate,
    Present,
    Range,
    SameCasing,
    Sql,
    SumIs,
    TupleIn,
)
from dq.sql.engine import Engine

_INVERSE = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}
BEFORE, LEAST, GREATEST, MEAN, VARIANCE = "dq_before", "dq_least", "dq_greatest", "dq_mean", "dq_variance"


@frozen
class Predicates:
    """Writes predicates for one engine.

    Attributes:
        engine: whose SQL.
        user: turns a predicate of the user into guarded SQL.
        violated: turns it into what is TRUE for exactly the rows that it is not TRUE for.
    """

    engine: Engine
    user: Callable[[str], str]
    violated: Callable[[str], str]

    def good(self, predicate: Predicate) -> str:
        """Return what is TRUE for good rows, and FALSE or NULL for others.

        Raises:
            GuardError: when the user's SQL is refused, or the engine cannot say it.
        """
        q, lit = self.engine.identifier, self.engine.literal
        match predicate:
            case Sql(text):
                return f"({self.user(text)})"
            case Present(columns):
                return _all(f"{q(c)} IS NOT NULL" for c in columns)
            case Absent(columns):
                return _all(f"{q(c)} IS NULL" for c in columns)
            case In(column, values, negated):
                return f"{q(column)} {'NOT IN' if negated else 'IN'} ({', '.join(map(lit, values))})"
            case Range(negated=True):
                return _any(self._outside(predicate))
            case Range():
                return _all(self._inside(predicate))
            case Length(column, low, high):
                length = self.engine.length(q(column))
                if low == high:
                    return f"{length} = {low}"
                ends = [f"{length} {op} {end}" for op, end in ((">=", low), ("<=", high)) if end is not None]
                return _all(ends)
            case Pattern(column, syntax, patterns, every, negated, ignore_case):
                spell = self.engine.like if syntax == "like" else partial(self.engine.regex, ignore_case=ignore_case)
                found = (_all if every else _any)(spell(q(column), pattern) for pattern in patterns)
                return f"(NOT ({found}))" if negated else found
            case Json(column):
                return self.engine.json(q(column))
            case Compared(left, operator, right):
                return f"{q(left)} {operator} {q(right)}"
            case TupleIn(columns, values):
                return _any(
                    _all(f"{q(c)} = {lit(v)}" for c, v in zip(columns, value, strict=True)) for value in values
                )
            case SumIs(columns, total, within, null_is_zero):
                added = " + ".join(f"COALESCE({q(c)}, 0)" if null_is_zero else q(c) for c in columns)
                wanted = q(total) if isinstance(total, str) else lit(total)
                return f"ABS({added} - {wanted}) <= {lit(within)}" if within else f"{added} = {wanted}"
            case _:  # those that a NULL does not make unknown
                return f"(CASE WHEN {self.bad(predicate)} THEN 1 ELSE 0 END = 0)"

    def bad(self, predicate: Predicate) -> str:
        """Return what is TRUE for exactly the rows that do not make ``predicate`` TRUE.

        Predicates over other rows speak of the columns that ``derived`` adds.

        Raises:
            GuardError: when the user's SQL is refused, or the engine cannot say it.
        """
        q, lit = self.engine.identifier, self.engine.literal
        match predicate:
            case Sql(text):
                return self.violated(text)
            case Present(columns):
                return self._null(columns)
            case Absent(columns):
                return _any(f"{q(c)} IS NOT NULL" for c in columns)
            case AllDiffer(columns, nulls_equal):
                pairs = [(q(a), q(b)) for a, b in combinations(columns, 2)]
                both_null = [f"({a} IS NULL AND {b} IS NULL)" for a, b in pairs if nulls_equal]
                return _any([*(f"{a} = {b}" for a, b in pairs), *both_null])
            case Ordered(column):
                return _any([f"{q(column)} IS NULL", self._out_of_order(predicate)])
            case Apart():
                return _any([self._null((predicate.low, predicate.high)), *self._not_apart(predicate)])
            case SameCasing(column):
                return f"({q(column)} IS NULL OR {LEAST} <> {GREATEST})"
            case Near(column, deviations, both):
                off = f"{self.engine.double(q(column))} - {MEAN}"
                far = f"({off}) * ({off}) > {lit(deviations)} * {lit(deviations)} * {VARIANCE}"
                far = far if both else _all([far, f"{off} > 0"])
                return _any([f"{q(column)} IS NULL", far])
            case _:
                unknown = predicate.unknown_if_null
                return _any([*self._not_good(predicate), *([self._null(unknown)] if unknown else [])])

    def false(self, predicate: Predicate) -> str:
        """Return what is TRUE for exactly the rows for which ``predicate`` is FALSE, so not for those where it is NULL.

        Raises:
            GuardError: as :meth:`bad`.
        """
        match predicate:
            case Sql(text):
                return f"NOT ({self.user(text)})"
            case Present() | Absent() | AllDiffer():
                return self.bad(predicate)
            case Json():  # SQLite calls NULL no document, as others do whose function only tries
                return _all([self.known(predicate), *self._not_good(predicate)])
            case TupleIn() | Ordered() | Apart() | SameCasing() | Near():  # unknown, though not always NULL
                return _all([self.known(predicate), self.bad(predicate)])
            case _:
                return _any(self._not_good(predicate))

    def known(self, predicate: Predicate) -> str:
        """Return what is TRUE for exactly the rows for which ``predicate`` is not NULL.

        Raises:
            GuardError: when the user's SQL is refused.
        """
        if isinstance(predicate, Sql):
            text = self.user(predicate.text)
            return f"(CASE WHEN {text} THEN 1 WHEN NOT ({text}) THEN 1 ELSE 0 END = 1)"
        columns = getattr(predicate, "unknown_if_null", ())
        return _all(f"{self.engine.identifier(c)} IS NOT NULL" for c in columns) if columns else "1 = 1"

    def derived(self, predicate: OverRows, within: Sequence[str]) -> tuple[Mapping[str, str], ...]:
        """Return the columns that ``bad`` needs, alias to expression, in as many steps as build on each other.

        Args:
            predicate: over other rows.
            within: the group columns: each group stands for itself.
        """
        q = self.engine.identifier
        keys = self.engine.told_apart([q(c) for c in within])
        match predicate:
            case Ordered(column, by, inner, descending):
                # Engines disagree where NULL stands. Rows in one place stand in the order of the column itself, so that
                # no chance decides.
                places = [part for c in by if by != (column,) for part in (self._passed_over((c,)), q(c))]
                order = [*places, f"{q(column)} DESC" if descending else q(column)]
                over = window([*keys, *map(q, inner), self._passed_over((column,))], order)
                return ({BEFORE: f"LAG({q(column)}) {over}"},)
            case Apart(low, high, inner):
                over = window([*keys, *map(q, inner), self._passed_over((low, high))], [q(low), q(high)])
                over = over.removesuffix(")") + " ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
                return ({BEFORE: f"MAX({q(high)}) {over}"},)
            case SameCasing(column):
                exact = self.engine.exact(q(column))
                over = window([*keys, self.engine.exact(f"LOWER({q(column)})")], [])
                return ({LEAST: f"MIN({exact}) {over}", GREATEST: f"MAX({exact}) {over}"},)
            case Near(column):
                number, over = self.engine.double(q(column)), window(keys, [])
                off = f"({number} - {MEAN})"
                variance = f"SUM({off} * {off}) {over} / NULLIF(COUNT({q(column)}) {over} - 1, 0)"
                return {MEAN: f"AVG({number}) {over}"}, {VARIANCE: variance}

    def _not_good(self, predicate: Predicate) -> list[str]:
        """Return conditions of which one is TRUE for rows that ``good`` is FALSE for; NULLs are for the caller."""
        match predicate:
            case In(column, values, negated):
                return [self.good(In(column, values, not negated))]
            case Range(negated=True):
                return [_all(self._inside(predicate))]
            case Range():
                return self._outside(predicate)
            case Compared(left, operator, right):
                return [f"{self.engine.identifier(left)} {_INVERSE[operator]} {self.engine.identifier(right)}"]
            case _:
                return [f"NOT ({self.good(predicate)})"]

    def _null(self, columns: Iterable[str]) -> str:
        return _any(f"{self.engine.identifier(c)} IS NULL" for c in columns)

    def _passed_over(self, columns: Sequence[str]) -> str:
        return f"CASE WHEN {self._null(columns)} THEN 1 ELSE 0 END"

    def _inside(self, p: Range) -> list[str]:
        ends = ((">" if p.low_open else ">=", p.low), ("<" if p.high_open else "<=", p.high))
        return [f"{self.engine.identifier(p.column)} {op} {self.engine.literal(v)}" for op, v in ends if v is not None]

    def _outside(self, p: Range) -> list[str]:
        ends = (("<=" if p.low_open else "<", p.low), (">=" if p.high_open else ">", p.high))
        return [f"{self.engine.identifier(p.column)} {op} {self.engine.literal(v)}" for op, v in ends if v is not None]

    def _out_of_order(self, p: Ordered) -> str:
        column = self.engine.identifier(p.column)
        if p.step is None:
            return f"{column} {'>' if p.descending else '<'}{'=' if p.strict else ''} {BEFORE}"
        later, earlier = (BEFORE, column) if p.descending else (column, BEFORE)
        if isinstance(p.step, timedelta):
            apart = f"{self.engine.epoch(later)} - {self.engine.epoch(earlier)}"
            return f"{apart} <> {self.engine.literal(p.step // timedelta(seconds=1))}"
        return f"{later} - {earlier} <> {self.engine.literal(p.step)}"

    def _not_apart(self, p: Apart) -> list[str]:
        low, high = self.engine.identifier(p.low), self.engine.identifier(p.high)
        between = {"allowed": "<", "forbidden": "<>", "required": "<="}[p.gaps]
        return [f"{low} {'>' if p.empty else '>='} {high}", f"{low} {between} {BEFORE}"]


def window(partition: Sequence[str], order: Sequence[str]) -> str:
    """Return the OVER of a window function."""
    parts = [f"PARTITION BY {', '.join(partition)}"] if partition else []
    parts += [f"ORDER BY {', '.join(order)}"] if order else []
    return f"OVER ({' '.join(parts)})"


def _all(conditions: Iterable[str]) -> str:
    return _joined(" AND ", conditions)


def _any(conditions: Iterable[str]) -> str:
    return _joined(" OR ", conditions)


def _joined(word: str, conditions: Iterable[str]) -> str:
    listed = list(conditions)
    return listed[0] if len(listed) == 1 else f"({word.join(listed)})"
