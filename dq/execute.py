"""Execute: scans become Results. Nothing here knows where results go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import frozen

from dq.checks.judge import Reading, judge, unmeasured
from dq.checks.plan import Scan
from dq.context import Context, expected_groups
from dq.datasource import Datasource
from dq.model.check import Check
from dq.model.table import Table
from dq.model.errors import DqError
from dq.model.group import By, Group
from dq.model.measure import PARTITION_ROWS, Measure
from dq.model.result import Result
from dq.sql.statements import Compiler, Statement


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
    readings = _measure((m for _, measures in wanted for m in measures), scan, table, datasource, context)
    expected: dict[By | None, tuple[Group, ...] | str] = {}  # asked once, however many checks expect the same orgs
    results: list[Result] = []
    for check, measures in wanted:
        broken = next((readings.errors[m] for m in (PARTITION_ROWS, *measures) if m in readings.errors), None)
        if broken is not None:
            results.append(unmeasured(check, broken))
            continue
        by = by_of(check)
        if by not in expected:
            expected[by] = _expected(by, table, datasource, context)
        who = expected[by]
        if isinstance(who, str):
            results.append(unmeasured(check, f"who is expected could not be found out: {who}"))
            continue
        reading = Reading(_there(measures, readings.numbers), expected=who)
        results += judge(check, reading, context.now, grouped=bool(scan.columns), keep=keep)
    return tuple(results)


def _expected(by: By | None, table: Table, datasource: Datasource, context: Context) -> tuple[Group, ...] | str:
    """Return the groups that must have rows, or why they could not be found out."""
    try:
        return expected_groups(by, table, datasource, context) if by else ()
    except DqError as error:
        return str(error)


def _there(
    measures: Sequence[Measure], numbers: Mapping[Group | None, dict[Measure, object]]
) -> Mapping[Group | None, dict[Measure, object]]:
    """Return the numbers of the orgs that a check speaks of: those with rows in the partition, or in its own query.

    The newest value is asked of the whole table, and a query may look anywhere: an org that only they know of, for
    instance one that left long ago, is not missed by the checks that share the scan.
    """
    wanted = (PARTITION_ROWS, *(measure for measure in measures if measure.form == "query"))
    return {
        group: found for group, found in numbers.items() if group is None or any(found.get(asked) for asked in wanted)
    }


@frozen
class _Readings:
    numbers: dict[Group | None, dict[Measure, object]]
    errors: dict[Measure, str]


def _measure(
    measures: Iterable[Measure], scan: Scan, table: Table, datasource: Datasource, context: Context
) -> _Readings:
    readings = _Readings({}, {})
    compiler = context.compiler(datasource.dialect, table, scan.columns)
    by = By(scan.columns) if scan.columns else None
    wanted = tuple(dict.fromkeys((PARTITION_ROWS, *measures)))
    try:
        statements = compiler.statements(wanted)
    except DqError:  # one of them is refused; which one is only asked now, because parsing costs more than a scan may
        for measure in wanted:
            try:
                compiler.statements([measure])
            except DqError as error:
                readings.errors[measure] = str(error)
        statements = compiler.statements(measure for measure in wanted if measure not in readings.errors)
    for statement in statements:
        _answer(statement, compiler, datasource, by, readings)
    return readings


def _answer(
    statement: Statement, compiler: Compiler, datasource: Datasource, by: By | None, readings: _Readings
) -> None:
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
