"""Statements: what an engine receives for a scan, chosen per engine from measurement (docs/performance.md).

On row stores, row counts, predicates and plain aggregates of one relation share one statement: one pass over the
table. On DuckDB, counts go in WHERE form under UNION ALL, because its statistics answer many of them without reading
a row. Distinct counts, quantiles, keys, what looks at other rows and the user's queries get statements of their own,
because sharing makes an engine scan serially or hold a whole column in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from types import ModuleType
from typing import Any, Literal

from attrs import evolve, field, frozen

from dq.model.errors import GuardError, MeasureError
from dq.model.failing import MOST_ORGS
from dq.model.interval import Interval
from dq.model.measure import (
    ROW_COUNTS,
    VALUE_COUNTS,
    Absentees,
    Buckets,
    Elsewhere,
    Frequencies,
    Measure,
    NullsEqual,
    Stat,
    absentees_of,
)
from dq.model.predicate import OverRows, Predicate, Present, Scalar, Sql
from dq.model.table import Table
from dq.sql import lines
from dq.sql.engine import Engine
from dq.sql.predicates import Predicates, window

MOST_MEASURES = 200
"""How many measures share a statement: SQLite allows 2,000 result columns and 500 terms, PostgreSQL 1,664 columns;
DuckDB plans 200 terms in no time, and 2,000 in seconds."""

MOST_OF_SAMPLE = 1_500
"""As many measures of one sample share a statement: in two statements they would be of two samples."""

_QUARANTINED = ("dq_suite", "dq_check", "dq_from", "dq_to", "dq_at")
"""The columns that a quarantine table begins with."""

MOST_TIED = 1_000
"""How many values are read that tie with the last of the most common ones."""

_FUNCTIONS = {"min": "MIN({0})", "max": "MAX({0})", "sum": "SUM({0})"}


@frozen
class Statement:
    """One statement and what it answers.

    Attributes:
        sql: the text for the engine.
        measures: what it answers.
        keys: how many group columns come first in a row (after the number of the measure, where rows have one).
        shape: ``columns``: a column per measure; ``terms``: rows that begin with the number of the measure they add to;
            ``table``: many rows for one measure.
        table: what it reads; of another datasource than the scan's for a measure of elsewhere.
    """

    sql: str
    measures: tuple[Measure, ...]
    keys: int
    shape: Literal["columns", "terms", "table"]
    table: Table

    def read(self, rows: Iterable[Sequence[Any]]) -> Iterator[tuple[tuple[Any, ...], Measure, Any]]:
        """Yield the values of the group columns, the measure and its value from what the engine answered."""
        if self.shape == "terms":
            counts: dict[tuple[tuple[Any, ...], int], int] = {}  # one may be counted by several terms
            for row in rows:
                place = tuple(row[1 : 1 + self.keys]), int(row[0])
                counts[place] = counts.get(place, 0) + int(row[1 + self.keys])
            for (group, number), count in counts.items():
                yield group, self.measures[number], count
        elif self.shape == "columns":
            rows = list(rows)
            wide = self.keys + len(self.measures)
            for row in rows:
                if len(row) != wide:  # only a query of the user can be of another shape
                    raise MeasureError(f"the query returns {len(row)} columns, not {wide}")
            if not self.keys and len(rows) > 1:
                raise MeasureError(f"the query returns {len(rows)} rows, not one")
            for row in rows:
                for measure, value in zip(self.measures, row[self.keys :], strict=True):
                    yield tuple(row[: self.keys]), measure, value
        else:
            tables: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {} if self.keys else {(): []}
            for row in rows:
                tables.setdefault(tuple(row[: self.keys]), []).append(tuple(row[self.keys :]))
            for group, cells in tables.items():
                yield group, self.measures[0], tuple(cells)


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
        dialect_of: gives the dialect of another datasource; None: all tables lie in the same one.
    """

    dialect: str
    table: Table
    interval: Interval
    columns: tuple[str, ...] = ()
    render: Callable[[str], str] = field(default=str)
    refused: Collection[str] = ()
    dialect_of: Callable[[str], str] | None = None

    @property
    def engine(self) -> Engine:
        """How the engine writes things down."""
        return Engine(self.dialect)

    @property
    def predicates(self) -> Predicates:
        """Writes predicates."""
        return Predicates(self.engine, self.user_predicate, self._violated)

    def statements(self, measures: Iterable[Measure]) -> tuple[Statement, ...]:
        """Return the statements that answer ``measures``, as few as is fast.

        A measure across two datasources has none; see ``across``.

        Raises:
            GuardError: when one of them is refused; ask for it alone to know which.
        """
        slots: dict[Hashable, list[Measure]] = {}
        for measure in dict.fromkeys(measures):
            if not measure.is_columns and not self.across(measure):
                slots.setdefault(self._slot(measure), []).append(measure)
        return tuple(
            self._statement(slot, batch[i : i + most])
            for slot, batch in slots.items()
            for most in [MOST_OF_SAMPLE if isinstance(slot, Fraction) else MOST_MEASURES]
            for i in range(0, len(batch), most)
        )

    def across(self, measure: Measure) -> bool:
        """Return whether the measure needs rows of two datasources at once, so that no single statement answers it."""
        return isinstance(measure.of, Absentees) and measure.of.other.datasource != self.table.datasource

    def keys_of(self, measure: Measure) -> tuple[str, str]:
        """Return the statements that list the keys of a measure across two datasources, each once.

        The first is for this table: the group columns, the key, and the number of its rows; the second for the other
        one: the key and the number of its rows.

        Raises:
            GuardError: when the user's SQL is refused, or values are to be compared by group.
        """
        of = absentees_of(measure)
        other = self.at(of.other, ())
        self._refuse_groups(of)
        return (
            self._keys_of(of.columns, measure.where, also=self._known(of, of.columns)),
            other._keys_of(of.other_columns, None, also=other._known(of, of.other_columns)),
        )

    def _keys_of(self, columns: tuple[str, ...], where: str | None, *, also: str | None) -> str:
        listed = [self.engine.identifier(c) for c in (*self.columns, *columns)]
        source, grouping = f"{self._name()}{self._where(where, also=also)}", ", ".join(self.engine.told_apart(listed))
        return f"SELECT {', '.join(listed)}, COUNT(*) FROM {source} GROUP BY {grouping}"

    def at(self, table: Table, columns: tuple[str, ...]) -> Compiler:
        """Return the compiler for another table of the same run."""
        dialect = self.dialect_of(table.datasource) if self.dialect_of else self.dialect
        return evolve(self, table=table, dialect=dialect, columns=columns)

    def failing(
        self,
        wanted: Predicate | Measure,
        columns: Sequence[str],
        where: str | None,
        limit: int | None,
        *,
        unknown: bool = True,
        orgs: Sequence[Sequence[Any]] = (),
    ) -> str:
        """Return the statement that lists failing rows.

        Args:
            wanted: the predicate that they do not make TRUE, or the measure that counts them.
            columns: what is listed; none: every column.
            where: of the check.
            limit: how many rows at most, of each org as many; None: all.
            unknown: also those for which the predicate is NULL.
            orgs: only theirs: the values of the group columns; none: those of all orgs.

        Raises:
            GuardError: when the user's SQL is refused.
        """
        measure = wanted if isinstance(wanted, Measure) else Measure("violations" if unknown else "false", wanted)
        measure = evolve(measure, where=where) if measure.form != "query" else measure
        listed = [self.engine.identifier(c) for c in columns]
        source, condition = self._rows(measure, tuple(columns))
        if orgs:
            condition += f"{' AND' if condition else ' WHERE'} ({' OR '.join(map(self._is_org, orgs))})"
        if limit is None:
            return f"SELECT {', '.join(listed) or '*'} FROM {source}{condition}"
        if self.columns and listed:
            # However many rows one org has, the others show theirs.
            keys = self._grouping()
            number = f"ROW_NUMBER() {window(keys, keys[:1])} AS dq_number"
            source = f"(SELECT {', '.join([*listed, number])} FROM {source}{condition}) dq_numbered"
            condition, limit = f" WHERE dq_number <= {limit}", limit * MOST_ORGS
        return self.engine.limited(listed or ["*"], f"FROM {source}{condition}", limit)

    def new_quarantine(self, table: str, columns: Sequence[str]) -> str:
        """Return the statement that makes an empty quarantine table with the columns of this one."""
        types = [self.engine.text_type] * 2 + [self.engine.time_type] * 3
        own = [f"CAST(NULL AS {type_}) AS {name}" for name, type_ in zip(_QUARANTINED, types, strict=True)]
        listed = ", ".join([*own, *map(self.engine.identifier, columns)])
        return f"CREATE TABLE {self.engine.table(table)} AS SELECT {listed} FROM {self._name()} WHERE 1 = 0"

    def forget(self, table: str, suite: str, check: str) -> str:
        """Return the statement that removes what a quarantine table holds of a check and this partition.

        Without a partition column every run looks at the whole table, so what older runs copied is removed, too.
        """
        lit = self.engine.literal
        named = f"dq_suite = {lit(suite)} AND dq_check = {lit(check)}"
        if self.table.partition is not None:
            named += f" AND dq_from = {lit(self.interval.start)}"
        return f"DELETE FROM {self.engine.table(table)} WHERE {named}"

    def copy(self, table: str, suite: str, check: str, rows: str, columns: Sequence[str], now: datetime) -> str:
        """Return the statement that copies ``rows``, made by :meth:`failing`, into a quarantine table."""
        lit, q = self.engine.literal, self.engine.identifier
        own = [lit(suite), lit(check), lit(self.interval.start), lit(self.interval.end), lit(now)]
        listed = ", ".join([*_QUARANTINED, *map(q, columns)])
        values = ", ".join([*own, *map(q, columns)])
        return f"INSERT INTO {self.engine.table(table)} ({listed}) SELECT {values} FROM ({rows}) dq_bad"

    def expected(self, before: Interval | None, query: str | None) -> str:
        """Return the statement that lists who is expected: those seen in ``before``, or what ``query`` returns.

        Raises:
            GuardError: when the query is refused.
        """
        if query is not None:
            return self.total(query)
        made = self if before is None else evolve(self, interval=before)
        return self._grouped(self._keys(), [], self._name(), made._where(None, partition=before is not None))

    def count_by(self, measure: str, where: str | None, *, by_day: bool, sample: str | None = None) -> str:
        """Return the statement that counts per group, and per day of the partition column where asked.

        Its columns: the group columns, the day where asked, one value of the column ``sample`` where asked, the number.

        Raises:
            GuardError: when the measure or the predicate is refused, or there is no partition column to take days of.
        """
        keys = self._keys()
        if by_day:
            keys.append(self._day())
        more = [] if sample is None else [f"min({self.engine.identifier(sample)})"]
        return self._grouped(keys, [*more, self._aggregate(measure)], self._name(), self._where(where))

    def lines_by(self, measure: str, where: str | None, types: Sequence[str], *, by_day: bool) -> tuple[str, ...]:
        """Return the statements that count as :meth:`count_by` does, and give each group as a line of ``dq.runs``.

        The lines are in the order of their bytes. Whole numbers are sorted as such first, which takes less; where there
        are negative ones, that is another order, and the second statement is to be asked.

        Args:
            measure: an aggregate.
            where: only rows for which it is TRUE are counted.
            types: of the group columns, as the database calls them.
            by_day: the first part of a name is the day.

        Returns:
            None of them where it is not certain that the engine writes a value as Python does.

        Raises:
            GuardError: as :meth:`count_by`.
        """
        if not lines.can_write(self.dialect, types):
            return ()
        keys, parts = self._line_keys(by_day=by_day)
        line = lines.joined(self.dialect, [*parts, lines.number(self.dialect, self._aggregate(measure))])
        counted = f"SELECT {line} AS dq_line FROM {self._name()}{self._where(where)} GROUP BY {', '.join(keys)}"
        ways = [keys, []] if lines.are_numbers(self.dialect, types) else [[]]
        return tuple(lines.in_order(self.dialect, counted, numbers) for numbers in ways)

    def keyed_by(self, measure: str, where: str | None, *, by_day: bool) -> str:
        """Return the statement that gives what stands in the lines of :meth:`lines_by`, in any order, in two columns.

        They are ``dq_key`` and ``dq_number``. The caller has asked whether the engine can write such lines.

        Raises:
            GuardError: as :meth:`count_by`.
        """
        keys, parts = self._line_keys(by_day=by_day)
        number = lines.number(self.dialect, self._aggregate(measure))
        listed = f"{lines.joined(self.dialect, parts)} AS dq_key, {number} AS dq_number"
        return f"SELECT {listed} FROM {self._name()}{self._where(where)} GROUP BY {', '.join(keys)}"

    def _line_keys(self, *, by_day: bool) -> tuple[list[str], list[str]]:
        """Return what lines are grouped by, and what their names are made of."""
        keys = self._keys()
        parts = [lines.part(self.dialect, key) for key in keys]
        if by_day:
            keys.insert(0, self._day())
            parts.insert(0, lines.day(self.dialect, keys[0]))
        return keys, parts

    def _day(self) -> str:
        if self.table.partition is None:
            raise GuardError(f"table {self.table.name} has no partition column, so it has no days to compare")
        return self.engine.day(self.engine.identifier(self.table.partition))

    def type_by(self, measure: str) -> str | None:
        """Return the statement that tells the type of what :meth:`lines_by` counts, of no row; None: values tell it.

        Raises:
            GuardError: when the measure is refused.
        """
        told = lines.type_of(self.dialect, self._aggregate(measure))
        return None if told is None else f"SELECT {told} FROM {self._name()} WHERE 1 = 0"

    def total(self, query: str) -> str:
        """Return the user's ``query`` of one number.

        Raises:
            GuardError: when it is refused.
        """
        return str(_user().query(self.render(query), self.engine.glot, frozenset(self.refused)))

    def user_predicate(self, text: str) -> str:
        """Return a predicate of the user, guarded.

        Raises:
            GuardError: when it is refused.
        """
        return str(_user().predicate(self.render(text), self.engine.glot, frozenset(self.refused)))

    def user_value(self, text: str) -> str:
        """Return an expression of the user that is a value of one row, guarded.

        Raises:
            GuardError: when it is refused.
        """
        return str(_user().value(self.render(text), self.engine.glot, frozenset(self.refused)))

    def _violated(self, text: str) -> str:
        return str(_user().violated(self.render(text), self.engine.glot, frozenset(self.refused)))

    def _aggregate(self, text: str) -> str:
        return self._user_aggregate(text)[0]

    def _user_aggregate(self, text: str) -> tuple[str, bool]:
        """Return an aggregate of the user, and whether sharing a statement would make that one slow."""
        sql, heavy = _user().aggregate(self.render(text), self.engine.glot, frozenset(self.refused))
        return str(sql), bool(heavy)

    def _slot(self, measure: Measure) -> Hashable:
        """Return what is equal for measures that share a statement."""
        if measure.sample is not None:
            return measure.sample
        if measure.form in ROW_COUNTS:
            if isinstance(measure.of, OverRows):
                return measure
            apart = self.engine.counts_apart and not self.table.name.lower().endswith((".csv", ".json"))
            return "counts" if apart else "scan"
        if measure.form == "newest":
            return "newest", measure.where
        if measure.form == "aggregate":
            assert isinstance(measure.of, str)  # noqa: S101  # by construction of the kinds
            _, heavy = self._user_aggregate(measure.of)
            return measure if heavy else "scan" if measure.where is None else ("where", measure.where)
        if isinstance(measure.of, Stat):
            function = measure.of.function
            if function == "quantile":
                if self.engine.has_quantiles_of_one_column:
                    return "quantile", measure.where, measure.of.columns
                return ("quantile", measure.where) if self.engine.quantile("", 0) else measure
            if function in VALUE_COUNTS or (function.startswith("stddev") and self.engine.name == "sqlite"):
                return measure
            return "scan"
        return measure

    def _statement(self, slot: Hashable, batch: Sequence[Measure]) -> Statement:
        first = batch[0]
        where = self._where(first.where)
        if isinstance(slot, Fraction):
            chosen = self._where(None, also=self.engine.chosen(slot))
            return self._shared([self._number(m) for m in batch], chosen, batch)
        if slot == "counts":
            return self._made(self._terms(batch), batch, "terms")
        if slot == "scan":
            return self._shared([self._number(m) for m in batch], self._where(None), batch)
        if isinstance(first.of, Elsewhere):
            return self._elsewhere(first)
        if isinstance(first.of, Frequencies):
            return self._made(self._frequencies(first.of, where), batch, "table")
        if isinstance(first.of, Buckets):
            return self._made(self._buckets(first.of, first.where), batch, "table")
        if isinstance(first.of, Stat) and first.of.function == "repeats":
            return self._repeats(first, first.of.columns)
        if isinstance(first.of, Stat) and first.of.function != "quantile":
            return self._made(self._alone(first.of, first.where), batch)
        if isinstance(first.of, Stat):
            asked = [self._quantile(m.of) for m in batch if isinstance(m.of, Stat)]
            if None not in asked:
                return self._shared([a for a in asked if a is not None], where, batch)
            return self._made(self._interpolated(first.of, first.where), batch)
        if first.form == "newest":
            newest = [f"MAX({self.engine.identifier(str(m.of))})" for m in batch]
            return self._shared(newest, self._where(first.where, partition=False), batch)
        if first.form == "aggregate":
            return self._shared([self._aggregate(str(m.of)) for m in batch], where, batch)
        return self._made(self._counted(first), batch)

    def _counted(self, measure: Measure) -> str:
        """Return the statement of a count that shares with no other, or of a number of the user's own."""
        of = measure.of
        if isinstance(of, Absentees) and of.of_values:
            return self._difference(measure)
        if measure.form == "duplicates":
            return self._duplicates(measure)
        if measure.form == "number":
            if measure.where is not None:
                raise GuardError("where= does not reach into a QueryValue; write the condition into it")
            return self.total(str(of))
        source, condition = self._rows(measure, ())
        return self._grouped(self._keys(), ["COUNT(*)"], source, condition)

    def _made(
        self, sql: str, batch: Sequence[Measure], shape: Literal["columns", "terms", "table"] = "columns"
    ) -> Statement:
        return Statement(sql, tuple(batch), len(self.columns), shape, self.table)

    def _shared(self, numbers: Sequence[str], where: str, batch: Sequence[Measure]) -> Statement:
        return self._made(self._grouped(self._keys(), numbers, self._name(), where), batch)

    # ---- one pass over the table

    def _number(self, measure: Measure) -> str:
        """Return a measure as one column of a pass over the table."""
        if measure.form == "aggregate":
            return self._aggregate(str(measure.of))
        only = self.user_predicate(measure.where) if measure.where is not None else None
        if isinstance(measure.of, Stat):
            column = self.engine.identifier(measure.of.columns[0])
            return self._plain(measure.of, f"CASE WHEN {only} THEN {column} END" if only else column)
        if self.engine.filters and (only or measure.form != "rows"):
            return f"COUNT(*) FILTER (WHERE {self._condition(measure, only)})"
        if measure.form == "rows":
            return f"SUM(CASE WHEN {only} THEN 1 ELSE 0 END)" if only else "COUNT(*)"
        of = _predicate_of(measure)
        if measure.form == "violations" and isinstance(of, Present) and len(of.columns) == 1 and only is None:
            return f"COUNT(*) - COUNT({self.engine.identifier(of.columns[0])})"
        if measure.form == "false":
            counted = f"CASE WHEN {self.predicates.false(of)} THEN 1 ELSE 0 END"
        elif measure.form == "unknown":
            counted = self._unknown(of, "CASE WHEN {0} THEN 1 ELSE 0 END", "CASE {0} THEN 0 ELSE 1 END")
        else:
            good = self.predicates.good(of)
            counted = f"CASE WHEN {good} THEN {'0 ELSE 1' if measure.form == 'violations' else '1 ELSE 0'} END"
        return f"SUM(CASE WHEN {only} THEN {counted} ELSE 0 END)" if only else f"SUM({counted})"

    def _condition(self, measure: Measure, only: str | None) -> str:
        """Return the condition of the rows that a measure counts."""
        if measure.form == "rows":
            return only or "TRUE"
        of = _predicate_of(measure)
        if measure.form == "false":
            condition = self.predicates.false(of)
        elif isinstance(of, Present) and measure.form == "violations":
            condition = self.predicates.bad(of)
        else:
            test = {"violations": " IS NOT TRUE", "unknown": " IS NULL", "matches": ""}[measure.form]
            condition = f"({self.predicates.good(of)}){test}"
        # Not with AND: the predicate is not to be asked, and may break, where where= is not TRUE.
        return condition if only is None else f"CASE WHEN {only} THEN {condition} END"

    def _plain(self, stat: Stat, column: str) -> str:
        """Return an aggregate that costs one pass and no memory."""
        function = stat.function
        if function in _FUNCTIONS:
            return _FUNCTIONS[function].format(column)
        if function == "mean":
            return f"AVG({self.engine.to_average(column)})"
        if function.endswith("_length"):
            length = self.engine.length(column)
            own = {"min_length": f"MIN({length})", "max_length": f"MAX({length})"}
            return own.get(function) or f"AVG({self.engine.double(length)})"
        deviation = self.engine.deviation(function, self.engine.double(column))
        assert deviation is not None  # noqa: S101  # else it has a statement of its own
        return deviation

    def _unknown(self, of: Predicate, is_null: str, cases: str) -> str:
        assert isinstance(of, Sql)  # noqa: S101  # only of the user's predicates is it asked whether they are NULL
        text = self.predicates.good(of)
        if self.engine.has_boolean_values:
            return is_null.format(f"{text} IS NULL")
        return cases.format(f"WHEN {text} THEN 0 WHEN NOT {text}")

    # ---- counts apart

    def _terms(self, batch: Sequence[Measure]) -> str:
        keys = self._keys()
        terms = []
        for number, measure in enumerate(batch):
            for condition in self._counted_by(measure):
                where = self._where(measure.where, also=condition)
                listed = ", ".join([str(number), *keys, "COUNT(*)"])
                grouping = f" GROUP BY {', '.join(self._grouping())}" if keys else ""
                terms.append(f"SELECT {listed} FROM {self._name()}{where}{grouping}")
        return " UNION ALL ".join(terms)

    def _counted_by(self, measure: Measure) -> tuple[str | None, ...]:
        """Return conditions of which no row meets two, and together all rows that a measure counts."""
        if measure.form == "rows":
            return (None,)
        of = _predicate_of(measure)
        if measure.form == "unknown":
            return (self._unknown(of, "{0}", "CASE {0} THEN 0 ELSE 1 END = 1"),)
        if measure.form == "matches":
            return (self.predicates.good(of),)
        if measure.form == "false":
            return (self.predicates.false(of),)
        unknown = () if isinstance(of, Sql | OverRows) else getattr(of, "unknown_if_null", ())
        if not unknown:
            return (self.predicates.bad(of),)
        # Apart, because the statistics of a column answer either, but not the two together with OR.
        return self.predicates.false(of), self.predicates.bad(Present(unknown))

    # ---- rows that are counted for themselves

    def _rows(self, measure: Measure, columns: tuple[str, ...]) -> tuple[str, str]:
        """Return the relation, with ``columns`` and the group columns, and the condition of the rows to be counted."""
        q = self.engine.identifier
        if measure.form == "query":
            if measure.where is not None:
                raise GuardError("where= does not reach into a Query; write the condition into it")
            return f"({self.total(str(measure.of))}) bad_rows", ""
        if isinstance(measure.of, Absentees):
            return self._absent(measure, columns)
        if measure.form == "duplicates":
            key, present = self._key(measure)
            named = _names(self.columns, key, columns)
            over = ", ".join(dict.fromkeys([*self._grouping(), *(q(c) for c in key)]))
            inner = f"SELECT {', '.join(map(q, named))}, COUNT(*) OVER (PARTITION BY {over}) AS dq_rows"
            return f"({inner} FROM {self._name()}{self._where(measure.where, also=present)}) dq_t", " WHERE dq_rows > 1"
        of = _predicate_of(measure)
        condition = self.predicates.false(of) if measure.form == "false" else self.predicates.bad(of)
        if not isinstance(of, OverRows):
            return self._name(), self._where(measure.where, also=condition)
        listed = [q(c) for c in _names(self.columns, of.unknown_if_null, columns)]
        source, where = self._name(), self._where(measure.where)
        for step, added in enumerate(self.predicates.derived(of, self.columns)):
            more = [f"{expression} AS {alias}" for alias, expression in added.items()]
            source, where = f"(SELECT {', '.join([*listed, *more])} FROM {source}{where}) dq_t{step}", ""
            listed += added
        return source, f" WHERE {condition}"

    def _duplicates(self, measure: Measure) -> str:
        shared = f"({self._by_key(measure)} HAVING COUNT(*) > 1) dq_t"
        return self._grouped(self._keys(), ["COALESCE(SUM(dq_rows), 0)"], shared, "")

    def _by_key(self, measure: Measure) -> str:
        """Return the statement that counts the rows of each key of a measure of duplicates."""
        key, present = self._key(measure)
        named = [self.engine.identifier(c) for c in _names(self.columns, key)]
        where = self._where(measure.where, also=present)
        return self._grouped(named, ["COUNT(*) AS dq_rows"], self._name(), where)

    def _key(self, measure: Measure) -> tuple[tuple[str, ...], str | None]:
        """Return the columns of a key, and the condition of the rows that have one."""
        if isinstance(measure.of, NullsEqual):  # GROUP BY and PARTITION BY put NULLs together
            return measure.of.columns, None
        assert isinstance(measure.of, tuple)  # noqa: S101  # by construction of the kind
        return measure.of, self.predicates.good(Present(measure.of))

    # ---- another table

    def _refuse_groups(self, of: Absentees) -> None:
        if of.of_values and self.columns:
            raise GuardError("the values of two tables are compared as a whole, not by group; take by= away")

    def _known(self, of: Absentees, columns: tuple[str, ...]) -> str | None:
        return None if of.of_values else self.predicates.good(Present(columns))

    def _absent(self, measure: Measure, columns: tuple[str, ...]) -> tuple[str, str]:
        of = absentees_of(measure)
        other = self.at(of.other, ())
        q = self.engine.identifier
        listed = [q(c) for c in _names(self.columns, columns)]
        here = [f"{q(c)} AS dq_{i}" for i, c in enumerate(of.columns)]
        there = [f"{q(c)} AS dq_{i}" for i, c in enumerate(of.other_columns)]
        where = self._where(measure.where, also=self._known(of, of.columns))
        # The condition of either table stands in a relation of its own, where its names can mean nothing else.
        mine = f"(SELECT {', '.join([*listed, *here])} FROM {self._name()}{where}) dq_t"
        theirs = f"(SELECT {', '.join(there)} FROM {other._name()}{other._where(None)}) dq_o"
        alike = " AND ".join(f"dq_o.dq_{i} = dq_t.dq_{i}" for i in range(len(there)))
        if self.engine.has_anti_join:
            return f"{mine} {'SEMI' if of.negated else 'ANTI'} JOIN {theirs} ON {alike}", ""
        return mine, f" WHERE {'' if of.negated else 'NOT '}EXISTS (SELECT 1 FROM {theirs} WHERE {alike})"

    def _difference(self, measure: Measure) -> str:
        of = absentees_of(measure)
        self._refuse_groups(of)
        mine = self._values(of, of.columns, measure.where)
        theirs = self.at(of.other, ())._values(of, of.other_columns, None)
        first, second = (theirs, mine) if of.reverse else (mine, theirs)
        return f"SELECT COUNT(*) FROM ({first} {self.engine.minus} {second}) dq_t"

    def _values(self, of: Absentees, columns: tuple[str, ...], where: str | None) -> str:
        named = [f"{self.engine.identifier(c)} AS dq_{i}" for i, c in enumerate(columns)]
        source = f"FROM {self._name()}{self._where(where)}"
        if not of.counted:
            return f"SELECT DISTINCT {', '.join(named)} {source}"
        keys = ", ".join(self.engine.identifier(c) for c in columns)
        return f"SELECT {', '.join(named)}, COUNT(*) AS dq_rows {source} GROUP BY {keys}"

    def _elsewhere(self, measure: Measure) -> Statement:
        of = measure.of
        assert isinstance(of, Elsewhere)  # noqa: S101  # by the caller
        (found,) = self.at(of.table, self.columns).statements([of.of])
        return evolve(found, measures=(measure,))

    # ---- values

    def _frequencies(self, of: Frequencies, where: str) -> str:
        q, lit = self.engine.identifier, self.engine.literal
        keys, column = self._keys(), q(of.column)
        present = f"{where} AND {column} IS NOT NULL" if where else f" WHERE {column} IS NOT NULL"
        counted = self._grouped([*keys, column], ["COUNT(*) AS dq_rows"], self._name(), present, alias="dq_value")
        first = f"CASE WHEN dq_value IN ({', '.join(map(lit, of.first))}) THEN 0 ELSE 1 END, "
        within = f"PARTITION BY {', '.join(self._grouping())} " if keys else ""
        order = f"OVER ({within}ORDER BY {first if of.first else ''}dq_rows DESC"
        listed = ", ".join([*keys, "dq_value", "dq_rows"])
        ranked = (
            f"SELECT {listed}, COUNT(*) OVER ({within.strip()}) AS dq_values, RANK() {order}) AS dq_rank, "
            f"ROW_NUMBER() {order}, dq_value) AS dq_row FROM ({counted}) dq_t"
        )
        texts = [lit(v) for v in of.spelled if isinstance(v, str)] if self.engine.folds else []
        if texts:
            spelled = f"CASE dq_value {' '.join(f'WHEN {text} THEN {text}' for text in texts)} ELSE dq_value END"
            listed = ", ".join([*keys, spelled, "dq_rows"])
        capped = f"dq_rank <= {of.limit} AND dq_row <= {of.limit + MOST_TIED}"
        return f"SELECT {listed}, dq_values FROM ({ranked}) dq_r WHERE {capped}"

    def _buckets(self, of: Buckets, where: str | None) -> str:
        column = self.engine.identifier(of.column)
        start, end = self.interval.start - of.lookback, self.interval.end
        bucket = f"FLOOR(({self.engine.epoch(column)} - {int(start.timestamp())}) / {int(of.every.total_seconds())}.0)"
        here = f"{column} >= {self.engine.instant(start)} AND {column} < {self.engine.instant(end)}"
        # The partition column may be of days, which begin before the time that is looked back to.
        day = start.replace(hour=0, minute=0, second=0, microsecond=0) if of.lookback else start
        where = evolve(self, interval=Interval(day, end))._where(where, also=here)
        return self._grouped([*self._keys(), bucket], ["COUNT(*)"], self._name(), where)

    def _repeats(self, measure: Measure, columns: tuple[str, ...]) -> Statement:
        """Return the statement that tells how many rows repeat a key.

        Where that costs little more, it also tells how many rows share one.
        """
        duplicates = Measure("duplicates", columns, measure.where)
        if len(columns) == 1 and not self.columns and self.engine.sorts_to_count:
            return self._made(self._shared_keys(columns[0], duplicates), [measure, duplicates])
        if len(columns) == 1 and not self.engine.counts_apart:
            column = self.engine.identifier(columns[0])
            return self._shared([f"COUNT({column}) - COUNT(DISTINCT {column})"], self._where(measure.where), [measure])
        numbers, told = ["COALESCE(SUM(dq_rows), 0) - COUNT(*)"], [measure]
        if self.engine.counts_apart:  # to group costs as much there as to count different keys
            numbers.append("COALESCE(SUM(CASE WHEN dq_rows > 1 THEN dq_rows END), 0)")
            told.append(duplicates)
        return self._made(self._grouped(self._keys(), numbers, f"({self._by_key(duplicates)}) dq_t", ""), told)

    def _shared_keys(self, column: str, duplicates: Measure) -> str:
        """Return the rows that repeat a key, and those that share one, on PostgreSQL.

        Texts are sorted by their 64-bit hashes, which takes half the time of grouping them, and a third of sorting them
        by the rules of a language; only those whose hash occurs again are compared. Other types are sorted as they are,
        once to tell whether a key is repeated, and only then again. Of the two halves only the one that fits the type
        is executed.
        """
        key = self.engine.identifier(column)
        present = self.predicates.good(Present((column,)))
        source = f"FROM {self._name()}"
        is_text = self._is_text(key)
        hashed = f"HASHTEXTEXTENDED({key}::text, 0)"
        sums = f"(SELECT {hashed} AS dq_hash {source}{self._where(duplicates.where, also=present)} ORDER BY 1 OFFSET 0)"
        again = f"SELECT dq_hash FROM {sums} dq_h GROUP BY dq_hash HAVING COUNT(*) > 1"
        where = self._where(duplicates.where, also=f"{is_text} AND {hashed} IN ({again})")
        texts = f"SELECT COUNT(*) AS dq_rows {source}{where} GROUP BY {key} HAVING COUNT(*) > 1"
        repeated = f"(SELECT COUNT({key}) > COUNT(DISTINCT {key}) {source}{self._where(duplicates.where)})"
        where = self._where(duplicates.where, also=f"{present} AND CASE WHEN {is_text} THEN FALSE ELSE {repeated} END")
        sorted_keys = f"(SELECT {key} AS dq_key {source}{where} ORDER BY 1 OFFSET 0)"
        others = f"SELECT COUNT(*) FROM {sorted_keys} dq_k GROUP BY dq_key HAVING COUNT(*) > 1"
        numbers = "COALESCE(SUM(dq_rows) - COUNT(*), 0), COALESCE(SUM(dq_rows), 0)"
        return f"SELECT {numbers} FROM ({texts} UNION ALL {others}) dq_t"

    def _is_text(self, column: str) -> str:
        """Return whether a column is a text, on PostgreSQL."""
        return f"PG_TYPEOF({self._sample(column)})::text IN ('text', 'character varying')"

    def _sample(self, column: str) -> str:
        """Return no value, which has the type and the collation of the column, and costs nothing."""
        return f"(SELECT {column} FROM {self._name()} LIMIT 0)"

    def _alone(self, stat: Stat, where: str | None) -> str:
        q = self.engine.identifier
        keys, columns = self._keys(), [q(c) for c in stat.columns]
        if stat.function == "distinct" and len(columns) == 1 and not keys and self.engine.sorts_to_count:
            return self._distinct_by_type(columns[0], self._where(where))
        if stat.function == "distinct" and len(columns) == 1:
            return self._grouped(keys, [f"COUNT(DISTINCT {columns[0]})"], self._name(), self._where(where))
        present = self._where(where, also=self.predicates.good(Present(stat.columns)))
        if stat.function in ("distinct", "unique"):
            named = [f"{c} AS dq_{i}" for i, c in enumerate(columns)]
            once = " HAVING COUNT(*) = 1" if stat.function == "unique" else ""
            grouping = f"GROUP BY {', '.join(dict.fromkeys([*self._grouping(), *columns]))}{once}"
            inner = f"SELECT {', '.join([*keys, *named])} FROM {self._name()}{present} {grouping}"
            return self._grouped(keys, ["COUNT(*)"], f"({inner}) dq_t", "")
        # A standard deviation where the engine has none: from the squares of the distances, in two passes.
        number, over = self.engine.double(columns[0]), window(self._grouping(), [])
        listed = ", ".join([*keys, f"{number} AS dq_value", f"AVG({number}) {over} AS dq_mean"])
        off = "(dq_value - dq_mean)"
        divisor = "NULLIF(COUNT(*) - 1, 0)" if stat.function == "stddev_sample" else "COUNT(*)"
        inner = f"(SELECT {listed} FROM {self._name()}{present}) dq_t"
        return self._grouped(keys, [f"SQRT(SUM({off} * {off}) / {divisor})"], inner, "")

    def _distinct_by_type(self, column: str, where: str) -> str:
        """Return the number of different values, on PostgreSQL by bytes where the column is a text.

        To sort texts by the rules of a language takes two to three times as long, and equal are only equal bytes, other
        collations than a database's own excepted. Of the two sub-queries only the one that is asked for is executed.
        """
        source = f"FROM {self._name()}{where}"
        default = f"PG_COLLATION_FOR({self._sample(column)}) = '\"default\"'"
        return (
            f"SELECT CASE WHEN NOT {self._is_text(column)} THEN (SELECT COUNT(DISTINCT {column}) {source}) "
            f'WHEN {default} THEN (SELECT COUNT(DISTINCT {column}::text COLLATE "C") {source}) '
            f"ELSE (SELECT COUNT(DISTINCT {column}) {source}) END"
        )

    def _quantile(self, stat: Stat) -> str | None:
        assert stat.at is not None  # noqa: S101  # by construction of the kind
        return self.engine.quantile(self.engine.identifier(stat.columns[0]), stat.at)

    def _interpolated(self, stat: Stat, where: str | None) -> str:
        """Return a quantile where the engine has no such aggregate: the two values around its place, by weight."""
        assert stat.at is not None  # noqa: S101  # by construction of the kind
        keys, column = self._keys(), self.engine.identifier(stat.columns[0])
        within = f"PARTITION BY {', '.join(self._grouping())}" if keys else ""
        listed = [
            *keys,
            f"{self.engine.double(column)} AS dq_value",
            f"ROW_NUMBER() OVER ({within}{' ' if within else ''}ORDER BY {column}) AS dq_row",
            f"COUNT(*) OVER ({within}) AS dq_rows",
        ]
        place = f"(1 + (dq_rows - 1) * {self.engine.double(self.engine.literal(stat.at))})"
        distance = f"ABS(dq_row - {place})"
        present = self._where(where, also=f"{column} IS NOT NULL")
        inner = f"(SELECT {', '.join(listed)} FROM {self._name()}{present}) dq_t"
        weighed = f"SUM(CASE WHEN {distance} < 1 THEN (1 - {distance}) * dq_value END)"
        return self._grouped(keys, [weighed], inner, "")

    # ---- parts of a statement

    def _grouping(self) -> list[str]:
        """Return what stands in GROUP BY or PARTITION BY for the group columns."""
        return self.engine.told_apart(self._keys())

    def _is_org(self, values: Sequence[Any]) -> str:
        """Return the condition of the rows that have these values in the group columns."""
        parts = (
            f"{key} IS NULL" if value is None else f"{key} = {self.engine.literal(_scalar(value))}"
            for key, value in zip(self._keys(), values, strict=True)
        )
        return f"({' AND '.join(parts)})"

    def _keys(self) -> list[str]:
        return [self.engine.identifier(c) for c in self.columns]

    def _name(self) -> str:
        return self.engine.table(self.table.name)

    def _where(self, where: str | None, *, partition: bool = True, also: str | None = None) -> str:
        conditions: list[str] = []
        if partition and self.table.partition is not None:
            column = self.engine.identifier(self.table.partition)
            conditions.append(f"{column} >= {self.engine.instant(self.interval.start)}")
            conditions.append(f"{column} < {self.engine.instant(self.interval.end)}")
        conditions += [f"({self.user_predicate(text)})" for text in (self.table.where, where) if text is not None]
        conditions += [] if also is None else [also]
        return f" WHERE {' AND '.join(conditions)}" if conditions else ""

    def _grouped(
        self, keys: Sequence[str], numbers: Sequence[str], source: str, where: str, alias: str | None = None
    ) -> str:
        """Return the numbers per key, the group columns first; ``alias`` names the last key."""
        listed = [*keys[:-1], f"{keys[-1]} AS {alias}"] if alias else list(keys)
        groups = len(self.columns)
        grouping = f" GROUP BY {', '.join([*self.engine.told_apart(keys[:groups]), *keys[groups:]])}" if keys else ""
        return f"SELECT {', '.join([*listed, *numbers])} FROM {source}{where}{grouping}"


def _scalar(value: object) -> Scalar:
    """Return a value of a database as one that can be written; of others, such as a UUID, engines take the text."""
    return value if isinstance(value, bool | int | float | Decimal | str | date) else str(value)


def _names(*columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in columns for name in some))


def _predicate_of(measure: Measure) -> Predicate:
    assert isinstance(measure.of, Predicate)  # noqa: S101  # by construction of the kinds
    return measure.of


def _user() -> ModuleType:
    from dq.sql import user  # noqa: PLC0415  # a suite without SQL of its own pays for no parser

    return user
