"""Execute: scans become Results. Nothing here knows where results go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime

from attrs import field, frozen

from dq.checks.judge import Reading, judge, unmeasured
from dq.checks.plan import Scan
from dq.datasource import Datasource
from dq.model.check import Check, Table
from dq.model.duration import parse_duration
from dq.model.errors import DqError, GuardError
from dq.model.group import By, Group
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS, Measure
from dq.model.result import Result
from dq.sql.statements import Compiler, Statement
from dq.template import render_sql


@frozen
class Context:
    """What the SQL of a run may depend on.

    Attributes:
        interval: the partition.
        now: the time of the judgement.
        params: the user's own values, ``{{ params.x }}``.
        refused: names of further functions that the guard refuses.
    """

    interval: Interval
    now: datetime
    params: dict[str, object] = field(factory=dict)
    refused: Collection[str] = ()

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
        return Compiler(dialect, table, self.interval, columns, self.render, self.refused)


def execute(
    scan: Scan,
    table: Table,
    by_of: Callable[[Check], By | None],
    datasource: Datasource,
    context: Context,
    keep: Collection[Group] = (),
) -> tuple[Result, ...]:
    """Return the Results of one scan: at least one for every check, whatever breaks.

    Args:
        scan: the checks.
        table: the relation.
        by_of: gives the group columns of a check, with who is expected.
        datasource: where the table lies.
        context: the partition, the time and the values for Jinja.
        keep: orgs that get a Result even when they are well.
    """
    wanted = [(check, tuple(check.kind.measures(check.where).values())) for check in scan.checks]
    readings = _measure({PARTITION_ROWS, *(m for _, measures in wanted for m in measures)}, scan, table, datasource, context)
    results: list[Result] = []
    for check, measures in wanted:
        broken = next((readings.errors[m] for m in (PARTITION_ROWS, *measures) if m in readings.errors), None)
        if broken is not None:
            results.append(unmeasured(check, broken))
            continue
        by = by_of(check)
        try:
            expected = expected_groups(by, table, datasource, context) if by else ()
        except DqError as error:
            results.append(unmeasured(check, f"who is expected could not be found out: {error}"))
            continue
        reading = Reading(readings.numbers, expected=expected)
        results += judge(check, reading, context.now, grouped=bool(scan.columns), keep=keep)
    return tuple(results)


@frozen
class _Readings:
    numbers: dict[Group | None, dict[Measure, object]]
    errors: dict[Measure, str]


def _measure(measures: Iterable[Measure], scan: Scan, table: Table, datasource: Datasource, context: Context) -> _Readings:
    readings = _Readings({}, {})
    compiler = context.compiler(datasource.dialect, table, scan.columns)
    by = By(scan.columns) if scan.columns else None
    good: list[Measure] = []
    for measure in sorted(set(measures), key=lambda m: m != PARTITION_ROWS):
        try:
            compiler.statements([measure])
            good.append(measure)
        except DqError as error:
            readings.errors[measure] = str(error)
    for statement in compiler.statements(good):
        _answer(statement, compiler, datasource, by, readings)
    return readings


def _answer(statement: Statement, compiler: Compiler, datasource: Datasource, by: By | None, readings: _Readings) -> None:
    """Run one statement; when it breaks, repeat it by halves, so that one bad predicate costs one check."""
    measures = statement.measures
    try:
        rows = datasource.fetch(statement.sql)
    except DqError as error:
        # Where even the plain row count breaks, the table or the connection is gone, and halving would only ask again.
        if len(measures) == 1 or _all_broken(measures, compiler, datasource, readings):
            readings.errors.update(dict.fromkeys(measures, str(error)))
            return
        half = len(measures) // 2
        for part in (measures[:half], measures[half:]):
            for repeated in compiler.statements(part):
                _answer(repeated, compiler, datasource, by, readings)
        return
    for row in rows:
        group = by.group(row[: len(statement.columns)]) if by else None
        readings.numbers.setdefault(group, {}).update(zip(measures, row[len(statement.columns) :], strict=True))


def _all_broken(measures: Sequence[Measure], compiler: Compiler, datasource: Datasource, readings: _Readings) -> bool:
    if PARTITION_ROWS not in measures:
        return PARTITION_ROWS in readings.errors
    try:
        for statement in compiler.statements([PARTITION_ROWS]):
            datasource.fetch(statement.sql)
    except DqError:
        return True
    return False


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
