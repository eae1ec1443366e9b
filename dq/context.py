"""What the SQL of a run depends on: its partition, its time, the user's values; and who is expected in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from attrs import field, frozen

from dq.datasource import Datasource
from dq.model.duration import parse_duration
from dq.model.errors import GuardError
from dq.model.failing import Masking
from dq.model.group import By, Group
from dq.model.interval import Interval
from dq.model.table import Table
from dq.sql.statements import Compiler
from dq.template import render_sql


@frozen
class Context:
    """What the SQL of a run may depend on.

    Attributes:
        interval: the partition.
        now: the time of the judgement.
        params: the user's own values, ``{{ params.x }}``.
        refused: names of further functions that the guard refuses.
        by_day: whether a reconciliation compares the days of the interval, each for itself.
        dialect_of: gives the dialect of a datasource by name; None: all tables lie in the same one.
        masking: how the values of a tagged column are shown, by the tag.
    """

    interval: Interval
    now: datetime
    params: dict[str, object] = field(factory=dict)
    refused: Collection[str] = ()
    by_day: bool = False
    dialect_of: Callable[[str], str] | None = None
    masking: Mapping[str, Masking] = field(factory=dict)

    def render(self, text: str) -> str:
        """Return ``text`` with its Jinja rendered.

        Raises:
            UsageError: when the template is wrong or names what does not exist.
        """
        if "{" not in text:
            return text
        start = self.interval.start
        return render_sql(
            text,
            {
                "ds": start.date().isoformat(),
                "ds_nodash": start.strftime("%Y%m%d"),
                "ts": start.isoformat(),
                "data_interval_start": start,
                "data_interval_end": self.interval.end,
                "params": self.params,
            },
        )

    def compiler(self, dialect: str, table: Table, columns: tuple[str, ...] = ()) -> Compiler:
        """Return the compiler for statements of this run."""
        return Compiler(dialect, table, self.interval, columns, self.render, self.refused, self.dialect_of)


def expected_groups(by: By, table: Table, datasource: Datasource, context: Context) -> tuple[Group, ...]:
    """Return the groups that must have rows in the partition.

    Raises:
        DqError: when the query that lists them is refused or breaks, or ``seen:`` has no partition column to look at.
    """
    if by.expected is None:
        return ()
    if not isinstance(by.expected, str):
        return tuple(by.group(value if isinstance(value, tuple) else (value,)) for value in by.expected)
    sql = expected_sql(by.expected, by, table, datasource.dialect, context)
    rows = datasource.fetch(sql)
    if rows and len(rows[0]) != len(by.columns):
        raise GuardError(f"the query for who is expected returns {len(rows[0])} columns instead of {len(by.columns)}")
    return tuple(dict.fromkeys(by.group(row) for row in rows))


def expected_sql(expected: str, by: By, table: Table, dialect: str, context: Context) -> str:
    """Return the statement that lists who is expected.

    Args:
        expected: a query, or ``seen:`` with a duration.

    Raises:
        GuardError: when the query is refused, or ``seen:`` has no partition column to look at.
    """
    compiler = context.compiler(dialect, table, by.columns)
    if not expected.startswith("seen:"):
        return compiler.expected(None, expected)
    if table.partition is None:
        raise GuardError(f'By(expected="{expected}") needs a table with a partition column; {table.name} has none')
    start = context.interval.start
    return compiler.expected(Interval(start - parse_duration(expected[5:]), start), None)
