"""Statements: what an engine receives for a scan, chosen per engine.

Row counts, predicates and plain aggregates of one relation share one statement (one pass over the table); distinct
counts, aggregates of a part, keys and the user's queries get statements of their own, because sharing makes an engine
scan serially or hold the whole column in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import ClassVar

from attrs import field, frozen
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.sqlite import SQLite

from dq.model.table import Table
from dq.model.errors import GuardError
from dq.model.interval import Interval
from dq.model.measure import In, Literal_, Measure, Predicate, Present, Range, Sql
from dq.plugins import suggest
from dq.sql.guard import guard_aggregate, guard_predicate, guard_query

MOST_MEASURES = 200
"""How many measures share a statement: SQLite allows 2,000 result columns, PostgreSQL 1,664; 200 are cheap to plan."""


class StrictSQLite(SQLite):
    """SQLite with its names in backticks: it takes a name in double quotes that it does not know for a text.

    So ``NotNull("typo")`` would hold for every row (sqlite.org/quirks.html, "Double-quoted string literals").
    """

    class Tokenizer(SQLite.Tokenizer):
        """The first pair of quotes is the one that is written."""

        IDENTIFIERS: ClassVar[list[str | tuple[str, str]]] = ["`", '"', ("[", "]")]


_SQLGLOT = {
    "postgresql": "postgres",
    "mssql": "tsql",
    "mariadb": "mysql",
    "awsathena": "athena",
    "sqlite": "strictsqlite",
}
_FOLDS_UPPER = ("snowflake", "oracle")
_TESTED = ("duckdb", "mariadb", "mysql", "postgresql", "sqlite")


@frozen
class Statement:
    """One statement and what its columns mean.

    Attributes:
        sql: the text for the engine.
        measures: one per column, after the group columns.
        columns: the group columns that come first.
    """

    sql: str
    measures: tuple[Measure, ...]
    columns: tuple[str, ...]


@frozen
class Compiler:
    """Turns measures of one relation into statements of one engine.

    Attributes:
        dialect: the name of SQLAlchemy's dialect.
        table: the relation.
        interval: the partition; ignored where the table has no partition column.
        columns: the group columns.
        render: renders Jinja in the user's SQL; comes before the guard.
        refused: further functions that the guard refuses.
    """

    dialect: str
    table: Table
    interval: Interval
    columns: tuple[str, ...] = ()
    render: Callable[[str], str] = field(default=str)
    refused: Collection[str] = ()

    @property
    def dialect_of_sqlglot(self) -> str:
        """The name of the dialect as sqlglot has it.

        Raises:
            GuardError: when it has none of that name, e.g. because the address of the datasource is mistyped.
        """
        name = _SQLGLOT.get(self.dialect, self.dialect)
        if Dialect.get(name) is None:
            raise GuardError(f"there is no SQL dialect {self.dialect!r}; {suggest(self.dialect, _TESTED)}, and more")
        return name

    def statements(self, measures: Iterable[Measure]) -> tuple[Statement, ...]:
        """Return the statements that answer ``measures``, as few as is fast.

        Raises:
            GuardError: when one of them is refused; ask for it alone to know which.
        """
        shared: list[Measure] = []
        alone: list[list[Measure]] = []
        newest: dict[str | None, list[Measure]] = {}
        for measure in dict.fromkeys(measures):
            if measure.form == "newest":
                newest.setdefault(measure.where, []).append(measure)
            elif measure.form in ("duplicates", "query") or (measure.form == "aggregate" and self._needs_own(measure)):
                alone.append([measure])
            else:
                shared.append(measure)
        batches = [shared[i : i + MOST_MEASURES] for i in range(0, len(shared), MOST_MEASURES)]
        return tuple(self._statement(batch) for batch in (*batches, *newest.values(), *alone))

    def expected(self, before: Interval | None, query: str | None) -> str:
        """Return the statement that lists who is expected: those seen in ``before``, or what ``query`` returns.

        Raises:
            GuardError: when the query is refused.
        """
        if query is not None:
            return self._sql(self._query(query))
        columns = [self._column(c) for c in self.columns]
        return self._sql(self._from(exp.select(*columns).distinct(), partition=before))

    def count_by(self, measure: str, where: str | None, *, by_day: bool) -> str:
        """Return the statement that counts per group, and per day of the partition column where asked.

        Its columns: the group columns, the day where asked, the number.

        Raises:
            GuardError: when the measure or the predicate is refused, or there is no partition column to take days of.
        """
        keys: list[exp.Expression] = [self._column(c) for c in self.columns]
        if by_day:
            if self.table.partition is None:
                raise GuardError(f"table {self.table.name} has no partition column, so it has no days to compare")
            keys.append(self._day(self._column(self.table.partition)))
        aggregate = guard_aggregate(self.render(measure), self.dialect_of_sqlglot, self.refused)
        select = self._from(exp.select(*keys, aggregate), partition=self.interval, where=where)
        return self._sql(_group_by(select, len(keys)))

    def total(self, query: str) -> str:
        """Return the user's ``query`` of one number.

        Raises:
            GuardError: when it is refused.
        """
        return self._sql(self._query(query))

    def _statement(self, batch: Sequence[Measure]) -> Statement:
        keys = [self._column(c) for c in self.columns]
        first = batch[0]
        if first.form == "query":
            assert isinstance(first.of, str)  # noqa: S101  # by construction of the kind
            if first.where is not None:
                raise GuardError("where= does not reach into a Query; write the condition into it")
            inner = self._query(first.of).subquery("bad_rows")
            select = exp.select(*keys, exp.Count(this=exp.Star())).from_(inner)
        elif first.form == "duplicates":
            select = self._duplicates(first)
        elif first.form == "newest":
            select = exp.select(*keys, *(self._newest(m) for m in batch))
            select = self._from(select, partition=None, where=first.where)
        elif first.form == "aggregate" and self._needs_own(first):
            select = self._from(exp.select(*keys, self._aggregate(first)), partition=self.interval, where=first.where)
        else:
            select = self._from(exp.select(*keys, *(self._number(m) for m in batch)), partition=self.interval)
        return Statement(self._sql(_group_by(select, len(keys))), tuple(batch), self.columns)

    def _newest(self, measure: Measure) -> exp.Expression:
        assert isinstance(measure.of, str)  # noqa: S101  # by construction of the kind
        return exp.Max(this=self._column(measure.of))

    def _duplicates(self, measure: Measure) -> exp.Select:
        assert isinstance(measure.of, tuple)  # noqa: S101  # by construction of the kind
        names = (*self.columns, *(c for c in measure.of if c not in self.columns))
        keys = [self._column(c) for c in names]
        present = _and([exp.Not(this=exp.Is(this=self._column(c), expression=exp.Null())) for c in measure.of])
        counted = exp.alias_(exp.Count(this=exp.Star()), "dq_rows", quoted=True)
        inner = self._from(exp.select(*keys, counted), partition=self.interval, where=measure.where, also=present)
        inner = _group_by(inner, len(keys)).having(
            exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
        )
        rows = exp.Coalesce(this=exp.Sum(this=self._column("dq_rows")), expressions=[exp.Literal.number(0)])
        return exp.select(*(self._column(c) for c in self.columns), rows).from_(inner.subquery("repeated"))

    def _number(self, measure: Measure) -> exp.Expression:
        if measure.form == "aggregate":
            return self._aggregate(measure)
        one, zero = exp.Literal.number(1), exp.Literal.number(0)
        if measure.form == "rows":
            counted: exp.Expression = one
        else:
            assert isinstance(measure.of, Sql | Present | In | Range)  # noqa: S101  # by construction of the kinds
            predicate = self._predicate(measure.of)
            if measure.form == "violations":
                counted = exp.Case(ifs=[exp.If(this=predicate, true=zero.copy())], default=one)
            else:
                # No literal is NULL, so In and Range are where their column is; on a row store that is cheaper to ask.
                column = self._column(measure.of.column) if isinstance(measure.of, In | Range) else None
                unknown = exp.Is(this=column or exp.Paren(this=predicate), expression=exp.Null())
                counted = exp.Case(ifs=[exp.If(this=unknown, true=one)], default=zero.copy())
        if measure.where is not None:
            counted = exp.Case(ifs=[exp.If(this=self._user_predicate(measure.where), true=counted)], default=zero)
        elif measure.form == "rows":
            return exp.Count(this=exp.Star())
        return exp.Sum(this=counted)

    def _aggregate(self, measure: Measure) -> exp.Expression:
        assert isinstance(measure.of, str)  # noqa: S101  # by construction of the kind
        return guard_aggregate(self.render(measure.of), self.dialect_of_sqlglot, self.refused)

    def _needs_own(self, measure: Measure) -> bool:
        return measure.where is not None or any(
            self._aggregate(measure).find_all(exp.Distinct, exp.PercentileCont, exp.Quantile, exp.Median)
        )

    def _predicate(self, predicate: Predicate) -> exp.Expression:
        if isinstance(predicate, Sql):
            return self._user_predicate(predicate.text)
        if isinstance(predicate, Present):
            return _and([exp.Not(this=exp.Is(this=self._column(c), expression=exp.Null())) for c in predicate.columns])
        column = self._column(predicate.column)
        if isinstance(predicate, In):
            return exp.In(this=column, expressions=[self._literal(v) for v in predicate.values])
        ends: list[exp.Expression] = []
        if predicate.low is not None:
            ends.append(exp.GTE(this=column, expression=self._literal(predicate.low)))
        if predicate.high is not None:
            ends.append(exp.LTE(this=column.copy(), expression=self._literal(predicate.high)))
        return _and(ends)

    def _user_predicate(self, text: str) -> exp.Expression:
        return exp.Paren(this=guard_predicate(self.render(text), self.dialect_of_sqlglot, self.refused))

    def _query(self, text: str) -> exp.Query:
        query = guard_query(self.render(text), self.dialect_of_sqlglot, self.refused)
        assert isinstance(query, exp.Query)  # noqa: S101  # the guard lets nothing else through
        return query

    def _from(
        self,
        select: exp.Select,
        *,
        partition: Interval | None,
        where: str | None = None,
        also: exp.Expression | None = None,
    ) -> exp.Select:
        conditions = [] if also is None else [also]
        if partition is not None and self.table.partition is not None:
            column = self._column(self.table.partition)
            conditions.append(exp.GTE(this=column, expression=self._instant(partition.start)))
            conditions.append(exp.LT(this=column.copy(), expression=self._instant(partition.end)))
        conditions += [self._user_predicate(text) for text in (self.table.where, where) if text is not None]
        select = select.from_(self._table())
        return select.where(*conditions) if conditions else select

    def _table(self) -> exp.Table:
        parts = [self._identifier(part) for part in table_parts(self.table.name)]
        names = dict(zip(("this", "db", "catalog"), reversed(parts), strict=False))
        return exp.Table(**names)

    def _identifier(self, name: str) -> exp.Identifier:
        simple = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
        return exp.to_identifier(name, quoted=not (simple and self.dialect in _FOLDS_UPPER))

    def _column(self, name: str) -> exp.Column:
        return exp.Column(this=self._identifier(name))

    def _day(self, column: exp.Expression) -> exp.Expression:
        if self.dialect == "sqlite":
            return exp.Anonymous(this="date", expressions=[column])
        return exp.Cast(this=column, to=exp.DataType.build("date"))

    def _instant(self, value: datetime) -> exp.Expression:
        """Return an interval bound as a literal: a date where it is midnight, so that date and text columns compare."""
        return self._literal(value.date() if value.time() == time() else value)

    def _literal(self, value: Literal_) -> exp.Expression:
        if isinstance(value, bool):
            return exp.Boolean(this=value)
        if isinstance(value, int | float | Decimal):
            number = exp.Literal.number(format(abs(value), "f") if isinstance(value, Decimal) else repr(abs(value)))
            return exp.Neg(this=number) if value < 0 else number
        if isinstance(value, str):
            return exp.Literal.string(value)
        if isinstance(value, datetime):
            text = (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat(" ")
        else:
            text = value.isoformat()
        if self.dialect == "sqlite":
            return exp.Literal.string(text)
        kind = (
            "date"
            if not isinstance(value, datetime)
            else "datetime"
            if self.dialect_of_sqlglot == "mysql"
            else "timestamp"
        )
        return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build(kind, dialect=self.dialect_of_sqlglot))

    def _sql(self, tree: exp.Expression | exp.Query) -> str:
        return tree.sql(dialect=self.dialect_of_sqlglot, comments=False)


def table_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a table name: dots separate, double quotes hold a part together, a path is one part.

    Raises:
        GuardError: when it has no part, more than three, or an open quote.
    """
    if "/" in name or name.lower().endswith((".parquet", ".csv", ".json")):
        return (name,)
    parts = tuple(
        a.replace('""', '"') if a else b for a, b in re.findall(r'(?:^|\.)(?:"((?:[^"]|"")+)"|([^".]+))(?=\.|$)', name)
    )
    spelled = ".".join(f'"{p}"' for p in parts)
    if not 1 <= len(parts) <= 3 or len(re.sub(r'"', "", spelled)) != len(re.sub(r'"', "", name)):
        raise GuardError(
            f'{name!r} is not the name of a table; write e.g. sales.orders, or "a.b" for a name with a dot'
        )
    return parts


def date_of(value: object) -> date:
    """Return the day that a database gave, as a date.

    Raises:
        ValueError: when it is no day.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(str(value)[:10])


def _group_by(select: exp.Select, keys: int) -> exp.Select:
    return select.group_by(*(key.copy() for key in select.expressions[:keys])) if keys else select


def _and(conditions: Sequence[exp.Expression]) -> exp.Expression:
    tree = exp.and_(*conditions) if len(conditions) > 1 else conditions[0]
    assert isinstance(tree, exp.Expression)  # noqa: S101  # what it returns is, though newer releases type it wider
    return tree
