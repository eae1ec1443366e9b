"""Suggest: a file of checks for a table, from its data."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from attrs import frozen

from dq.app.session import context_of, datasources, judgement_time
from dq.datasource import Datasource
from dq.execute import measured
from dq.model.errors import MeasureError, UsageError
from dq.model.interval import Interval
from dq.model.measure import Measure
from dq.model.table import Table
from dq.model.thresholds import as_time
from dq.plugins import suggest as known
from dq.project import Project
from dq.sql.statements import Compiler
from dq.suggest import profile, propose, write
from dq.suggest.writing import suite_name


@frozen
class Suggestion:
    """A file of checks.

    Attributes:
        text: of the file.
        suite: the name that it declares.
        rows: how many rows it was made from.
        checks: how many it suggests.
        interval: the partition that was looked at; None: all rows.
    """

    text: str
    suite: str
    rows: int
    checks: int
    interval: Interval | None


def suggest(
    project: Project,
    name: str,
    datasource: str | None = None,
    *,
    where: str | None = None,
    partition: str | None = None,
    day: date | None = None,
    sample: Fraction | None = None,
    output: str | None = None,
) -> Suggestion:
    """Return a file of checks for a table: it loads, ``dq lint`` passes it, and it holds on the rows it was made from.

    Args:
        project: whose datasources are asked.
        name: of the table.
        datasource: where it lies; None: the only one of the project.
        where: only rows for which this predicate is TRUE belong to the table.
        partition: the column by which runs pick their day.
        day: the partition to look at; None: the newest one that is over.
        sample: the share of the rows, between 0 and 1, from which columns are learned; None: all.
        output: the file that it is for, relative to the project; its suite keeps its name.

    Raises:
        UsageError: when the datasource is not there, or the predicate is refused.
        MeasureError: when the table is not there, cannot be read, or has no rows.
    """
    source = datasource or _only(project)
    project.datasource_settings(source)
    table = Table(source, name, partition=partition, where=where)
    now = judgement_time()
    yesterday = Interval.of_day(now.date() - timedelta(days=1))
    with datasources(project) as connect:

        def compiler(for_table: Table, interval: Interval) -> Compiler:
            return context_of(project, interval, now).compiler(connect(source).dialect, for_table)

        compiler(table, yesterday).statements([Measure("rows")])  # a predicate that is refused is told now
        if partition is not None and day is None:
            interval = _newest(compiler(table, yesterday), connect, partition, now)
        else:
            interval = yesterday if day is None else Interval.of_day(day)

        def compile_for(one: Table) -> Compiler:
            return compiler(one, interval)

        found = profile(connect, compile_for, table, interval, sample)
        suggested = propose(found, connect, compile_for, now)
    suite = suite_name(name)
    if suite in project.sources and project.sources[suite] != output:
        suite = next(other for n in range(1, 1000) if (other := f"{suite}_{n}") not in project.sources)
    text = write(found, suggested, suite, now.date())
    looked = None if partition is None else interval
    return Suggestion(text, suite, found.rows, sum(not one.off for one in suggested), looked)


def _only(project: Project) -> str:
    names = tuple(project.datasources)
    if len(names) != 1:
        raise UsageError(f"which datasource? give --datasource; {known('', names)}")
    return names[0]


def _newest(compiler: Compiler, connect: Callable[[str], Datasource], column: str, now: datetime) -> Interval:
    """Return the newest day that has rows and is over.

    Raises:
        MeasureError: when there is none.
    """
    asked = Measure("newest", column, f"{compiler.engine.identifier(column)} < {compiler.engine.literal(now.date())}")
    numbers, errors = measured(compiler, connect, [asked])
    if asked in errors:
        raise MeasureError(errors[asked])
    newest = numbers.get(asked)
    try:
        newest = datetime.fromisoformat(newest) if isinstance(newest, str) else newest
    except ValueError:
        newest = None
    if not isinstance(newest, date):
        raise MeasureError(f"column {column} of {compiler.table.name} has no day that is over; give --date")
    return Interval.of_day(as_time(newest).astimezone(UTC).date())
