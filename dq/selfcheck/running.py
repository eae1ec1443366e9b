"""Makes the tables, asks, compares, and takes away what it made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from attrs import evolve, frozen

from dq.checks.plan import Scan
from dq.context import Context
from dq.datasource import Datasource
from dq.execute import Memory, execute
from dq.model.errors import GuardError
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.model.table import Table
from dq.selfcheck.cases import OTHERS, OTHERS_ROWS, THINGS, THINGS_ROWS, Case, cases
from dq.sql.engine import Engine
from dq.sql.tables import created, dropped, filled

PREFIX = "dq_selfcheck_"
"""How the names of its tables begin. They are always the same, so that a run takes away what a killed one left."""

_DAY = Interval.of_day("2026-11-20")
_NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
_EXACT = 1e-9

State = Literal["holds", "differs", "refused", "broken"]


@frozen
class Found:
    """What came of a case.

    Attributes:
        kind: the name of its kind.
        case: what was asked.
        state: ``holds``: the answer is right; ``differs``: it is not; ``refused``: dq says that the engine cannot do
            it; ``broken``: the engine did not do it.
        said: what differs, or why there is no answer; empty where it holds.
    """

    kind: str
    case: str
    state: State
    said: str = ""


def selfcheck(open_datasource: Callable[[], Datasource], schema: str) -> tuple[Found, ...]:
    """Return what came of each case on an engine.

    Args:
        open_datasource: opens the datasource anew; each is closed again.
        schema: in which the tables are made, as dq writes names.

    Raises:
        ConfigError: when the datasource is not marked ``write = true``.
        MeasureError: when the tables cannot be made there.
    """
    datasource = open_datasource()  # nothing is connected yet
    engine, name = Engine(datasource.dialect), datasource.name
    things, others = (Table(name, f"{schema}.{PREFIX}{table}") for table in ("things", "others"))
    wanted = cases(things, others, engine.table(things.name))
    away = [dropped(engine, table.name) for table in (things, others)]
    _write(open_datasource, *away)
    try:
        _write(
            open_datasource,
            created(engine, things.name, THINGS),
            created(engine, others.name, OTHERS),
            filled(engine, things.name, THINGS_ROWS),
            filled(engine, others.name, OTHERS_ROWS),
        )
        return tuple(_run(wanted, datasource))
    finally:
        datasource.close()
        # Anew: one that was interrupted does nothing more.
        try:
            _write(open_datasource, *away)
        except KeyboardInterrupt:  # whoever is impatient still wants them gone
            _write(open_datasource, *away)
            raise


def _write(open_datasource: Callable[[], Datasource], *statements: str) -> None:
    datasource = open_datasource()
    try:
        datasource.write(*statements)
    finally:
        datasource.close()


def _run(wanted: tuple[Case, ...], datasource: Datasource) -> Iterator[Found]:
    context = Context(_DAY, _NOW, dialect_of=lambda _: datasource.dialect)
    scans: dict[tuple[Table, tuple[str, ...]], list[Case]] = {}
    for case in wanted:
        columns = case.check.by.columns if case.check.by else ()
        refused = _refused(case, context, datasource.dialect, columns)
        if refused is None:
            scans.setdefault((case.table, columns), []).append(case)
        else:
            yield Found(case.kind, case.check.name, "refused", refused)
    for (table, columns), shared in scans.items():
        checks = tuple(case.check for case in shared)
        memory = Memory(past={case.check.name: {None: case.past} for case in shared if case.past})
        scan = Scan("selfcheck", columns, checks)
        found = execute(scan, table, lambda c: c.by, lambda _: datasource, context, memory=memory)
        results = {result.check: result for result in found if result.group is None}
        yield from (_compared(case, results[case.check.name]) for case in shared)


def _refused(case: Case, context: Context, dialect: str, columns: tuple[str, ...]) -> str | None:
    """Return why dq does not ask this engine; None: it does."""
    try:
        context.compiler(dialect, case.table, columns).statements(case.check.kind.measures(case.check.where).values())
    except GuardError as error:
        return str(error)
    return None


def _compared(case: Case, result: Result) -> Found:
    found = Found(case.kind, case.check.name, "holds")
    if result.outcome is Outcome.UNMEASURED:
        return evolve(found, state="broken", said=result.sentence)
    wrong = dict(_differences(case.expected, result))
    if not wrong:
        return found
    said = "; ".join(f"{name} is {there}, not {case.expected[name]}" for name, there in wrong.items())
    return evolve(found, state="differs", said=said)


def _differences(expected: Mapping[str, Any], result: Result) -> Iterator[tuple[str, object]]:
    for name, wanted in expected.items():
        there = getattr(result, name)
        if isinstance(there, int | float | Decimal):
            if abs(float(there) - float(wanted)) > _EXACT * max(1.0, abs(float(wanted))):
                yield name, there
        elif there != wanted:
            yield name, there


@frozen
class OfKind:
    """What came of the cases of one kind.

    Attributes:
        kind: its name.
        state: the worst of its cases.
        said: what differs first, or why there is no answer; empty where all hold.
        cases: how many there were.
    """

    kind: str
    state: State
    said: str
    cases: int


def by_kind(found: Iterable[Found]) -> tuple[OfKind, ...]:
    """Return what came of each kind, by its name."""
    order: tuple[State, ...] = ("holds", "refused", "broken", "differs")
    kinds: dict[str, list[Found]] = {}
    for one in found:
        kinds.setdefault(one.kind, []).append(one)
    summed = []
    for kind, some in sorted(kinds.items()):
        bad = max(some, key=lambda one: order.index(one.state))
        said = "" if bad.state == "holds" else f"{bad.case.partition(': ')[2]}: {bad.said}"
        summed.append(OfKind(kind, bad.state, said, len(some)))
    return tuple(summed)
