"""Explain: the statements that a run would send, without sending any."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial

from attrs import evolve, frozen

from dq.app.refusing import refuse_bad_sql
from dq.app.session import context_of, datasources, dialect_of, judgement_time
from dq.checks.plan import Scan, plan
from dq.context import Context, expected_sql
from dq.datasource.columns import columns_sql
from dq.datasource.estimate import Estimate, estimate
from dq.execute import at_once
from dq.failing import listing
from dq.ledger import one_statement
from dq.model.check import Check, Suite
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS, Absentees, Elsewhere, Measure
from dq.model.reconciliation import Reconciliation
from dq.model.table import Table
from dq.project import Project
from dq.sql.names import table_parts
from dq.sql.statements import Compiler

ONE = "only if orgs are whole numbers or texts, and what is counted is no floating-point number"
NOT_ONE = "only if that statement is not sent, or fails"


@frozen
class Statement:
    """One statement that a run would send.

    Attributes:
        datasource: the name of what receives it.
        title: the datasource, its dialect, and what is asked.
        sql: the text.
        checks: who asks.
        only_if: when it is sent; empty: always.
        estimate: what it would read; None where that is not known.
    """

    datasource: str
    title: str
    sql: str
    checks: tuple[str, ...]
    only_if: str = ""
    estimate: Estimate | None = None


def explain(
    project: Project, name: str, interval: Interval, *, dialect: str | None = None, estimated: bool = False
) -> tuple[Statement, ...]:
    """Return the statements that a run would send, without sending any.

    Args:
        project: where it is declared.
        name: of the suite or reconciliation.
        interval: the partition.
        dialect: write for an engine of this name instead of the ones in ``dq.toml``, which are not looked at then.
        estimated: let the databases tell what each statement would read, which connects to them.

    Raises:
        UsageError: when there is no such declaration, or its SQL is refused.
        MeasureError: when the databases were asked, and one of them cannot answer.
    """
    declared = project.find(name)
    by_day = isinstance(declared, Reconciliation) and interval.is_longer_than_day
    found: Callable[[str], str] | None = None if dialect is None else lambda _: dialect
    refuse_bad_sql(project, declared, interval, by_day=by_day, dialect=found)
    context = context_of(project, interval, judgement_time(), by_day=by_day)
    if found is not None:
        context = evolve(context, dialect_of=found)
    of = found or partial(dialect_of, project)
    if isinstance(declared, Suite):
        statements = tuple(_suite_statements(declared, context, of))
    else:
        statements = tuple(_reconciliation_statements(declared, context, of))
    if not estimated:
        return statements
    with datasources(project) as connect:
        return tuple(evolve(s, estimate=estimate(connect(s.datasource), s.sql)) for s in statements)


def _suite_statements(suite: Suite, context: Context, dialect_of: Callable[[str], str]) -> Iterator[Statement]:
    for wanted in plan(suite):
        compiler = context.compiler(dialect_of(suite.table.datasource), suite.table, wanted.columns)
        roles = {check.name: check.measures() for check in wanted.checks}
        first = dict.fromkeys(m for check in wanted.checks for m in at_once(check, roles[check.name], wanted))
        explained = _Explained(compiler, dialect_of)
        yield from explained.asked(first, {name: tuple(own.values()) for name, own in roles.items()}, wanted.id)
        known = {*first, *(m for statement in compiler.statements(first) for m in statement.measures)}
        late = {check.name: _late(check, roles[check.name], known) for check in wanted.checks}
        yield from explained.asked((m for own in late.values() for m in own), late, f"{wanted.id}, then", late=True)
        yield from _who(suite, wanted, compiler, context)
        yield from explained.failing(wanted.checks)


def _late(check: Check, roles: Mapping[str, Measure], known: Collection[Measure]) -> tuple[Measure, ...]:
    return tuple(roles[role] for role in check.kind.late if role in roles and roles[role] not in known)


def _who(suite: Suite, wanted: Scan, compiler: Compiler, context: Context) -> Iterator[Statement]:
    grouped = {check.name: by for check in wanted.checks if (by := suite.by_of(check)) and isinstance(by.expected, str)}
    source, dialect = suite.table.datasource, compiler.dialect
    for by in dict.fromkeys(grouped.values()):
        names = tuple(name for name, own_by in grouped.items() if own_by == by)
        sql = expected_sql(str(by.expected), by, suite.table, dialect, context)
        yield Statement(source, f"{source} ({dialect}), who is expected", sql, names)


@frozen
class _Explained:
    """What a scan asks, and of whom.

    Attributes:
        compiler: of the scan.
        dialect_of: gives the dialect of a datasource by name.
    """

    compiler: Compiler
    dialect_of: Callable[[str], str]

    def asked(
        self, measures: Iterable[Measure], of_check: Mapping[str, tuple[Measure, ...]], what: str, *, late: bool = False
    ) -> Iterator[Statement]:
        """Yield the statements that answer ``measures``, with the checks that want them."""
        wanted = tuple(dict.fromkeys(measures))
        for statement in self.compiler.statements(wanted):
            # The rows of the partition are counted for every check; where nothing else is, all of them ask.
            alone = all(evolve(measure, sample=None) == PARTITION_ROWS for measure in statement.measures)
            asking = tuple(n for n, own in of_check.items() if alone or set(own) & set(statement.measures))
            yield self._made(statement.table.datasource, what, statement.sql, asking, late=late)
        for measure in wanted:
            names = tuple(name for name, own in of_check.items() if measure in own)
            for datasource, told, sql in self._apart(measure):
                yield self._made(datasource, f"{what}, {told}", sql, names, late=late)

    def failing(self, checks: Iterable[Check]) -> Iterator[Statement]:
        """Yield the statements that list failing rows, as far as they may be shown."""
        for check in checks:
            listed = listing(check, self.compiler)
            if listed is not None and listed.statement is not None:
                source = self.compiler.table.datasource
                what = "failing rows" + (", only of the orgs that fail" if self.compiler.columns else "")
                made = self._made(source, what, listed.statement, (check.name,), late=True)
                yield evolve(made, only_if="only if it finds something" if check.shown.always else "only if it fails")

    def _apart(self, measure: Measure) -> Iterator[tuple[str, str, str]]:
        """Yield the datasource, what is asked, and the text of what no statement of the compiler answers."""
        table = self.compiler.table
        if measure.form == "columns":
            yield self._columns(table)
        elif isinstance(measure.of, Elsewhere) and measure.of.of.form == "columns":
            yield self._columns(measure.of.table)
        elif isinstance(measure.of, Absentees) and self.compiler.across(measure):
            for asked, sql in zip((table, measure.of.other), self.compiler.keys_of(measure), strict=True):
                yield asked.datasource, f"keys of {asked.name}", sql

    def _columns(self, table: Table) -> tuple[str, str, str]:
        asked = columns_sql(self.dialect_of(table.datasource), table_parts(table.name))
        return table.datasource, f"columns of {table.name}", asked

    def _made(self, datasource: str, what: str, sql: str, names: tuple[str, ...], *, late: bool) -> Statement:
        only_if = f"only if {'it' if len(names) == 1 else 'one of them'} finds something" if late else ""
        return Statement(datasource, f"{datasource} ({self.dialect_of(datasource)}), {what}", sql, names, only_if)


def _reconciliation_statements(
    declared: Reconciliation, context: Context, dialect_of: Callable[[str], str]
) -> Iterator[Statement]:
    counted = [(declared, stage, sample) for stage, sample in declared.counted]
    one = one_statement(declared, context, dialect_of)
    if one is not None:
        source, names = declared.baseline.table.datasource, tuple(stage.name for stage, _ in declared.counted)
        yield Statement(source, f"{source} ({dialect_of(source)}), all stages", one, names, ONE)
    only_if = "" if one is None else NOT_ONE
    for of, stage, sample in [*counted, *((here, stage, None) for here, stage in declared.counted_at_levels)]:
        source = stage.table.datasource
        dialect = dialect_of(source)
        columns = of.by_of(stage).columns if stage.org is None else ()
        compiler = context.compiler(dialect, stage.table, columns)
        sql = compiler.count_by(stage.measure, stage.where, by_day=context.by_day, sample=sample)
        yield Statement(source, f"{source} ({dialect}), stage {stage.name}", sql, (stage.name,), only_if)
        if isinstance(stage.mapping, str):
            title = f"{source} ({dialect}), the mapping of stage {stage.name}"
            yield Statement(source, title, compiler.total(stage.mapping), (stage.name,))
    for total in declared.totals:
        if total.query is not None and total.datasource is not None:
            dialect = dialect_of(total.datasource)
            sql = context.compiler(dialect, declared.baseline.table).total(total.query)
            title = f"{total.datasource} ({dialect}), total {total.name}"
            yield Statement(total.datasource, title, sql, (total.name,))
