"""Execute: scans become Results. Nothing here knows where results go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from dq.across import absent
from dq.checks.judge import Reading, judge, not_judged, unmeasured
from dq.checks.plan import Scan
from dq.context import Context, expected_groups
from dq.datasource import Datasource, fetch_all
from dq.failing import Listings
from dq.masking import Masks
from dq.model.check import Check
from dq.model.errors import DqError, MeasureError
from dq.model.group import By, Group
from dq.model.measure import PARTITION_ROWS, Absentees, Elsewhere, Measure, none_of
from dq.model.reading import Past
from dq.model.result import Result
from dq.model.table import Table
from dq.sql.names import table_parts
from dq.sql.statements import Compiler, Statement

Numbers = dict[Measure, object]

_NO_MEMORY = "it is held against what earlier runs stored, and this run uses no store"


@frozen
class Memory:
    """What is known from before.

    Attributes:
        past: what a check measured before, by its name and org, the newest partition first.
        recorded: what was recorded for a check to be held against, by its name.
    """

    past: Mapping[str, Mapping[Group | None, tuple[Past, ...]]] = field(factory=dict)
    recorded: Mapping[str, object] = field(factory=dict)


def execute(
    scan: Scan,
    table: Table,
    by_of: Callable[[Check], By | None],
    connect: Callable[[str], Datasource],
    context: Context,
    *,
    keep: Collection[Group] = (),
    memory: Memory | None = None,
) -> tuple[Result, ...]:
    """Return the Results of one scan: at least one for every check, whatever breaks.

    Args:
        scan: the checks.
        table: the relation.
        by_of: gives the group columns of a check, with who is expected.
        connect: opens a datasource by name, once.
        context: the partition, the time and the values for Jinja.
        keep: orgs that get a Result even when they are well.
        memory: what is known from before; None: nothing can be known, so what is held against it is not judged.
    """
    checks = [_recalled(check, memory) for check in scan.checks]
    try:
        datasource = connect(table.datasource)
    except DqError as error:
        return tuple(unmeasured(check, str(error)) for check in checks)
    judged = [check for check in checks if memory is not None or not check.kind.remembers]
    wanted = [(check, check.measures()) for check in judged]
    without = tuple(not_judged(c, _NO_MEMORY) for c in checks if memory is None and c.kind.remembers)
    memory = memory or Memory()
    scanned = _Scanned(context.compiler(datasource.dialect, table, scan.columns), connect)
    scanned.measure(measure for check, roles in wanted for measure in at_once(check, roles, scan))
    scanned.measure(measure for check, roles in wanted for measure in _late(check, roles, scanned))
    expected: dict[By | None, tuple[Group, ...] | str] = {}  # asked once, however many checks expect the same orgs
    results: list[Result] = []
    for check, roles in wanted:
        broken = next((scanned.errors[m] for m in (check.partition_rows, *roles.values()) if m in scanned.errors), None)
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
        reading = Reading(
            scanned.of((check.partition_rows, *roles.values())),
            by=by,
            expected=who,
            past=memory.past.get(check.name, {}),
            recorded=memory.recorded.get(check.name),
        )
        results += judge(check, reading, context.now, context.interval, keep=keep)
    masks = Masks.of(table.tags, context.masking)
    found = Listings(judged, scanned.compiler, connect, masks, scanned.orgs).attached(results)
    by_name = {check.name: check for check in judged}
    return (*(masks.detail(result, by_name[result.check]) for result in found), *without)


def answers(
    roles: Mapping[str, Measure], table: Table, connect: Callable[[str], Datasource], context: Context
) -> dict[str, object]:
    """Return measures of one relation as a whole, by role.

    Raises:
        DqError: when one of them cannot be had.
    """
    numbers, errors = measured(context.compiler(connect(table.datasource).dialect, table), connect, roles.values())
    for broken in errors.values():
        raise MeasureError(broken)
    return {role: numbers[measure] for role, measure in roles.items()}


def _recalled(check: Check, memory: Memory | None) -> Check:
    recorded = memory.recorded.get(check.name) if memory is not None else None
    return evolve(check, kind=check.kind.recalled(recorded)) if check.kind.remembers == "recorded" else check


def at_once(check: Check, roles: Mapping[str, Measure], scan: Scan) -> Iterator[Measure]:
    """Yield the measures of a check that are asked first; the late ones only follow where they are needed."""
    if check.kind.needs_rows or scan.columns:
        yield check.partition_rows
    # What is late of a sample would be of another sample.
    yield from (m for role, m in roles.items() if role not in check.kind.late or check.sample is not None)


def _late(check: Check, roles: Mapping[str, Measure], scanned: _Scanned) -> Iterator[Measure]:
    """Yield the measures that are only needed for what the first ones found."""
    if not check.kind.late or any(measure in scanned.errors for measure in roles.values()):
        return
    found = ({role: numbers[m] for role, m in roles.items() if m in numbers} for numbers in scanned.numbers.values())
    if any(check.kind.needs_late(numbers) for numbers in found):
        yield from (roles[role] for role in check.kind.late if role in roles)


def _expected(by: By | None, table: Table, datasource: Datasource, context: Context) -> tuple[Group, ...] | str:
    """Return the groups that must have rows, or why they could not be found out."""
    try:
        return expected_groups(by, table, datasource, context) if by else ()
    except DqError as error:
        return str(error)


@frozen
class _Scanned:
    """The numbers of one relation, as far as they are known.

    Attributes:
        compiler: writes the statements.
        connect: opens a datasource by name.
        numbers: what was measured, by org; the key is None in a scan that is not grouped.
        errors: why a measure could not be had.
        answered: the measures that have an answer.
        orgs: the values of the group columns of an org, as the database has them, where they are no texts.
        by: the group columns; None: the relation as a whole.
    """

    compiler: Compiler
    connect: Callable[[str], Datasource]
    numbers: dict[Group | None, Numbers] = field(factory=dict)
    errors: dict[Measure, str] = field(factory=dict)
    answered: set[Measure] = field(factory=set)
    orgs: dict[Group, tuple[Any, ...]] = field(factory=dict)
    by: By | None = field(init=False)

    @by.default
    def _by(self) -> By | None:
        return By(self.compiler.columns) if self.compiler.columns else None

    def measure(self, measures: Iterable[Measure]) -> None:
        """Ask for what is not known yet; independent statements of a datasource run side by side."""
        wanted = [m for m in dict.fromkeys(measures) if m not in self.answered and m not in self.errors]
        for measure in wanted:
            if measure.is_columns or self.compiler.across(measure):
                self._attempt((measure,), self._apart, measure)
        asked: dict[str, list[Statement]] = {}
        for statement in self._compiled(wanted):
            asked.setdefault(statement.table.datasource, []).append(statement)
        for name, statements in asked.items():
            try:
                datasource = self.connect(name)
            except DqError as error:
                self._fail([m for statement in statements for m in statement.measures], error)
                continue
            answers = fetch_all(datasource, [statement.sql for statement in statements])
            for statement, answer in zip(statements, answers, strict=True):
                if isinstance(answer, DqError):
                    self._by_halves(statement, answer, datasource)
                else:
                    self._attempt(statement.measures, self._take, statement, answer)

    def of(self, measures: Collection[Measure]) -> Mapping[Group | None, Numbers]:
        """Return the numbers of the orgs that a check speaks of: those with rows in the partition, or in its own query.

        The newest value is asked of the whole table, and a query may look anywhere: an org that only they know of, for
        instance one that left long ago, is not missed by the checks that share the scan.
        """
        known = [m for m in measures if m in self.answered]
        if not self.compiler.columns:
            return {None: {m: self.numbers.get(None, {}).get(m, none_of(m)) for m in known}}
        asked = [m for m in known if m.form == "query" or (m.form == "rows" and m.where is None)]
        return {
            group: {m: found.get(m, none_of(m)) for m in known}
            for group, found in self.numbers.items()
            if any(found.get(measure) for measure in asked)
        }

    def _compiled(self, wanted: Sequence[Measure]) -> tuple[Statement, ...]:
        try:
            return self.compiler.statements(wanted)
        except DqError:  # one is refused; which one is only asked now, because compiling costs more than a scan may
            for measure in wanted:
                try:
                    self.compiler.statements([measure])
                except DqError as error:
                    self._fail([measure], error)
            return self.compiler.statements(measure for measure in wanted if measure not in self.errors)

    def _by_halves(self, statement: Statement, error: DqError, datasource: Datasource) -> None:
        """Repeat a statement that broke by halves, so that one bad predicate costs one check."""
        measures = statement.measures
        # Where even the plain row count breaks, the table or the connection is gone, and halving would only ask again.
        if len(measures) == 1 or self._all_broken(measures, datasource):
            self._fail(measures, error)
            return
        half = len(measures) // 2
        for part in (measures[:half], measures[half:]):
            for repeated in self.compiler.statements(part):
                if repeated.sql == statement.sql:  # two numbers that are only had together
                    self._fail(measures, error)
                    continue
                try:
                    rows = datasource.fetch(repeated.sql)
                except DqError as again:
                    self._by_halves(repeated, again, datasource)
                else:
                    self._attempt(repeated.measures, self._take, repeated, rows)

    def _all_broken(self, measures: Sequence[Measure], datasource: Datasource) -> bool:
        if PARTITION_ROWS not in measures:
            return PARTITION_ROWS in self.errors
        try:
            for statement in self.compiler.statements([PARTITION_ROWS]):
                datasource.fetch(statement.sql)
        except DqError:
            return True
        return False

    def _take(self, statement: Statement, rows: Iterable[Sequence[Any]]) -> None:
        for values, measure, value in statement.read(rows):
            self._put(values, measure, value)
        self.answered.update(statement.measures)

    def _apart(self, measure: Measure) -> None:
        """Answer a measure that no single statement answers."""
        table = measure.of.table if isinstance(measure.of, Elsewhere) else self.compiler.table
        here = self.connect(table.datasource)
        if isinstance(measure.of, Absentees):
            for values, value in absent(measure, self.compiler, here, self.connect(measure.of.other.datasource)):
                self._put(values, measure, value)
        else:
            listed = here.columns(table_parts(table.name))
            self._put((), measure, tuple((column.name, column.type, column.nullable) for column in listed))
        self.answered.add(measure)

    def _put(self, values: tuple[Any, ...], measure: Measure, value: object) -> None:
        group = None if self.by is None else self.by.group(values)
        found = self.numbers.get(group)
        if found is None:
            found = self.numbers[group] = {}
            if group is not None and values != group.values:
                self.orgs[group] = values
        found[measure] = value

    def _attempt(self, measures: Sequence[Measure], work: Callable[..., None], *args: object) -> None:
        try:
            work(*args)
        except DqError as error:
            self._fail(measures, error)

    def _fail(self, measures: Iterable[Measure], error: DqError) -> None:
        self.errors.update(dict.fromkeys(measures, str(error)))


def measured(
    compiler: Compiler, connect: Callable[[str], Datasource], measures: Iterable[Measure]
) -> tuple[Mapping[Measure, object], Mapping[Measure, str]]:
    """Return the numbers of a relation as a whole, and why those that are missing could not be had.

    Statements are shared and repeated by halves as in a scan.

    Args:
        compiler: writes the statements; without group columns.
        connect: opens a datasource by name, once.
        measures: what is asked.
    """
    wanted = tuple(dict.fromkeys(measures))
    scanned = _Scanned(compiler, connect)
    scanned.measure(wanted)
    return scanned.of(wanted)[None], scanned.errors
