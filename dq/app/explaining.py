"""Explain: the statements that a run would send, without sending any."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from dq.app.linting import refuse_bad_sql
from dq.app.session import context_of, dialect_of, judgement_time
from dq.checks.plan import plan
from dq.context import Context, expected_sql
from dq.model.check import Suite
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS
from dq.model.reconciliation import Reconciliation
from dq.project import Project


@frozen
class Statement:
    """One statement that a run would send.

    Attributes:
        title: the datasource, its dialect, and what is asked.
        sql: the text.
        checks: who asks.
    """

    title: str
    sql: str
    checks: tuple[str, ...]


def explain(project: Project, name: str, interval: Interval) -> tuple[Statement, ...]:
    """Return the statements that a run would send, without sending any.

    Raises:
        UsageError: when there is no such declaration, or its SQL is refused.
    """
    declared = project.find(name)
    by_day = isinstance(declared, Reconciliation) and interval.is_longer_than_day
    refuse_bad_sql(project, declared, interval, by_day=by_day)
    context = context_of(project, interval, judgement_time(), by_day=by_day)
    if isinstance(declared, Suite):
        return tuple(_suite_statements(project, declared, context))
    return tuple(_reconciliation_statements(project, declared, context))


def _suite_statements(project: Project, suite: Suite, context: Context) -> Iterator[Statement]:
    dialect = dialect_of(project, suite.table.datasource)
    for wanted in plan(suite):
        measures = {check.name: tuple(check.measures().values()) for check in wanted.checks}
        asked = dict.fromkeys((PARTITION_ROWS, *(m for of_check in measures.values() for m in of_check)))
        for statement in context.compiler(dialect, suite.table, wanted.columns).statements(asked):
            # The rows of the partition are counted for every check; where nothing else is, all of them ask.
            alone = statement.measures == (PARTITION_ROWS,)
            names = tuple(name for name, own in measures.items() if alone or set(own) & set(statement.measures))
            yield Statement(f"{suite.table.datasource} ({dialect}), {wanted.id}", statement.sql, names)
        grouped = {
            check.name: by for check in wanted.checks if (by := suite.by_of(check)) and isinstance(by.expected, str)
        }
        for by in dict.fromkeys(grouped.values()):
            names = tuple(name for name, own_by in grouped.items() if own_by == by)
            sql = expected_sql(str(by.expected), by, suite.table, dialect, context)
            yield Statement(f"{suite.table.datasource} ({dialect}), who is expected", sql, names)


def _reconciliation_statements(project: Project, declared: Reconciliation, context: Context) -> Iterator[Statement]:
    for stage in (*declared.stages, *(known.counted for known in declared.explained if known.counted is not None)):
        dialect = dialect_of(project, stage.table.datasource)
        columns = declared.by_of(stage).columns if stage.org is None else ()
        compiler = context.compiler(dialect, stage.table, columns)
        sql = compiler.count_by(stage.measure, stage.where, by_day=context.by_day)
        yield Statement(f"{stage.table.datasource} ({dialect}), stage {stage.name}", sql, (stage.name,))
    for total in declared.totals:
        if total.query is not None and total.datasource is not None:
            dialect = dialect_of(project, total.datasource)
            sql = context.compiler(dialect, declared.baseline.table).total(total.query)
            yield Statement(f"{total.datasource} ({dialect}), total {total.name}", sql, (total.name,))
