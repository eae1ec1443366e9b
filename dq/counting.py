"""Counting: a stage of a reconciliation is counted in its database and becomes a sorted run.

The database writes and sorts the lines where it can (``dq.sql.lines``). Else its rows are put into a dictionary, which
is sorted in memory: where orgs are called otherwise than elsewhere, where all rows belong to one org, where a sample is
asked for, where the org columns are neither whole numbers nor texts, where floating-point numbers are added up, and on
engines for which dq writes no lines, or which a plug-in speaks to.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from itertools import chain, islice
from typing import Any

from attrs import field, frozen

from dq.context import Context
from dq.datasource import Datasource, SqlDatasource
from dq.masking import Masks, masked, told_error
from dq.model.errors import DqError, GuardError, MeasureError
from dq.model.group import Group
from dq.model.ledger import Count
from dq.model.reconciliation import Reconciliation, Stage
from dq.orgs import Org, names_of_orgs
from dq.runs import Run, UnfitError, run_of_counts, run_of_lines, runs_of_rows, values_of
from dq.sql.lines import can_write
from dq.sql.names import date_of, table_parts
from dq.sql.statements import Compiler
from dq.sql.together import Together, can_compare

BATCH = 10_000
"""Lines that are fetched at once."""

MOST_APART = 3_000
"""How many orgs a statement names at most."""

_COUNTS = re.compile(r"\s*count\s*\([^()]*\)\s*$", re.IGNORECASE)
"""What is a whole number whatever the types of the columns."""

_FLOAT = re.compile(r"double|float|real", re.IGNORECASE)

_alone = threading.Lock()


def turn_of(datasource: Datasource) -> AbstractContextManager[object]:
    """Return what a statement on a datasource has to wait for: a DuckDB asks one thing at a time.

    It takes all processors, and memory to sort: two of them side by side are no faster, and take twice as much. And
    what is asked beside a stream could hold no more than the stream may, and break for want of memory.
    """
    return _alone if datasource.dialect == "duckdb" else nullcontext()


@frozen
class Stayed:
    """Orgs (times days) of which only their number left the database: they are equal at all stages.

    Attributes:
        orgs: how many they are.
        total: their sum at each of the stages.
    """

    orgs: int = 0
    total: int = 0


@frozen
class Counted:
    """What was counted at a stage, or of a known loss.

    Attributes:
        run: the numbers; None: it could not be counted.
        sample: what one of the records says, where that was asked.
        error: why it could not be counted.
        inexact: whether a number is a floating-point one.
        stayed: what is not in the run, because the database compared it.
    """

    run: Run | None = field(default=None, repr=False)
    sample: str = ""
    error: str | None = None
    inexact: bool = False
    stayed: Stayed = Stayed()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was counted."""
        return self.run is None or not (self.run.lines or self.stayed.orgs)

    def close(self) -> None:
        """Forget the numbers."""
        if self.run is not None:
            self.run.close()


def count_stage(
    declared: Reconciliation, stage: Stage, sample: str | None, connect: Callable[[str], Datasource], context: Context
) -> Counted:
    """Return what is counted at a stage, which says why where that fails.

    Args:
        declared: the reconciliation.
        stage: the stage, or where a known loss is counted.
        sample: a column of which one value is asked.
        connect: gives the datasource of a name.
        context: the interval, and whether its days are counted each for itself.
    """
    columns = declared.by_of(stage).columns if stage.org is None else ()
    try:
        datasource = connect(stage.table.datasource)
        compiler = context.compiler(datasource.dialect, stage.table, columns)
        listed = None
        if has_lines(stage, sample):
            listed = _listed(stage, datasource, compiler, by_day=context.by_day)
        return listed or _added_up(declared, stage, sample, datasource, compiler, context)
    except DqError as error:
        return Counted(error=str(error))
    except ValueError as error:
        return Counted(error=f"stage {stage.name!r}: {error}")


def has_lines(stage: Stage, sample: str | None) -> bool:
    """Return whether a database may be asked for lines: orgs are called there as elsewhere, and numbers are enough."""
    return stage.org is None and sample is None and not stage.normalise and not stage.mapping


def together(
    declared: Reconciliation,
    dialect_of: Callable[[str], str],
    context: Context,
    apart: Iterable[bytes],
    most_same: int,
) -> str | None:
    """Return the statement that counts and compares all stages, where a single engine that can do so has all of them.

    It is for org columns of whole numbers and texts, and for numbers that are no floating-point ones.

    Args:
        declared: the reconciliation.
        dialect_of: gives the dialect of a datasource by name.
        context: the interval, and whether its days are counted each for itself.
        apart: the keys of orgs that are not only to be added up.
        most_same: so many orgs come back even where nothing is to be said of them; if there are more, none of them.

    Raises:
        DqError: when the SQL of a stage is refused.
    """
    sources = {stage.table.datasource for stage, _ in declared.counted}
    lines = all(has_lines(stage, sample) for stage, sample in declared.counted)
    if len(sources) > 1 or declared.levels or not lines or not can_compare(dialect := dialect_of(*sources)):
        return None
    named = set(islice(apart, MOST_APART + 1))
    if len(named) > MOST_APART:
        return None
    counted = [
        context.compiler(dialect, stage.table, declared.by_of(stage).columns).keyed_by(
            stage.measure, stage.where, by_day=context.by_day
        )
        for stage, _ in declared.counted
    ]
    asked = Together(
        counted=counted,
        stages=len(declared.stages),
        width=len(declared.by.columns) + context.by_day,
        # Of a name with a control character, or one that is no UTF-8, the engine finds itself that it is no line.
        apart=sorted(key.decode(errors="ignore") for key in named),
        most_same=most_same,
    )
    return asked.sql(dialect)


def count_together(
    declared: Reconciliation,
    connect: Callable[[str], Datasource],
    context: Context,
    apart: Iterable[bytes],
    most_same: int,
) -> tuple[Counted, ...] | None:
    """Return what is counted at all stages, then of the known losses, by one statement; None: count each for itself.

    That is so where there is no such statement, and where it fails for whatever reason: each for itself, the others
    are counted, and the error says where it is.

    Args:
        declared, context, apart, most_same: as of :func:`together`.
        connect: gives the datasource of a name.
    """
    try:
        sql = together(declared, lambda name: connect(name).dialect, context, apart, most_same)
        datasource = connect(declared.baseline.table.datasource)
        if sql is None or not isinstance(datasource, SqlDatasource):
            return None
        for stage, _ in declared.counted:
            compiler = context.compiler(datasource.dialect, stage.table, declared.by_of(stage).columns)
            types = types_of(datasource, compiler)
            if types is None or not can_write(datasource.dialect, types):
                return None
            if not _is_exact(stage, datasource, compiler):
                return None
        with turn_of(datasource):
            return _compared(declared, context, datasource.stream(sql, BATCH), most_same)
    except (DqError, UnfitError, ValueError):
        return None


def _compared(
    declared: Reconciliation, context: Context, batches: Iterator[Sequence[Sequence[Any]]], most_same: int
) -> tuple[Counted, ...]:
    """Return the runs of what came back, and what stayed in the database."""
    first, *begun = next(batches)
    orgs, total = int(first[1]), int(first[2] or 0)
    # With more of them than that, nobody wants them one by one.
    stayed = Stayed(orgs, total) if orgs > most_same else Stayed()
    rows = (
        [(key, *numbers) for key, same, *numbers in batch if not (same and stayed.orgs)]
        for batch in chain([begun], batches)
    )
    counted, stages = len(declared.counted), len(declared.stages)
    runs = runs_of_rows(rows, len(declared.by.columns) + context.by_day, counted)
    return tuple(Counted(run, stayed=stayed if n < stages else Stayed()) for n, run in enumerate(runs))


def _listed(stage: Stage, datasource: Datasource, compiler: Compiler, *, by_day: bool) -> Counted | None:
    """Return what the database lists as lines; None where it cannot be asked to, or its lines are unfit."""
    types = types_of(datasource, compiler) if isinstance(datasource, SqlDatasource) else None
    if types is None or not _is_exact(stage, datasource, compiler):
        return None
    for sql in compiler.lines_by(stage.measure, stage.where, types, by_day=by_day):
        try:
            with turn_of(datasource):
                return Counted(run_of_lines(datasource.stream(sql, BATCH), len(types) + by_day))
        except UnfitError:
            continue
    return None


def _is_exact(stage: Stage, datasource: Datasource, compiler: Compiler) -> bool:
    """Return whether what is counted is no floating-point number, which a line does not tell; SQLite looks itself."""
    asked = None if _COUNTS.match(stage.measure) else compiler.type_by(stage.measure)
    return asked is None or not _FLOAT.match(str(datasource.fetch(asked)[0][0]))


def types_of(datasource: Datasource, compiler: Compiler) -> tuple[str, ...] | None:
    """Return the types of the group columns; None where they cannot be found out."""
    try:
        found = {column.name.casefold(): column.type for column in datasource.columns(table_parts(compiler.table.name))}
    except (GuardError, MeasureError):
        return None  # what is wrong with the table is told by the statement that counts
    types = [found.get(name.casefold()) for name in compiler.columns]
    return None if None in types else tuple(str(one) for one in types)


def _added_up(
    declared: Reconciliation,
    stage: Stage,
    sample: str | None,
    datasource: Datasource,
    compiler: Compiler,
    context: Context,
) -> Counted:
    columns, by_day = compiler.columns, context.by_day
    with turn_of(datasource):
        rows = datasource.fetch(compiler.count_by(stage.measure, stage.where, by_day=by_day, sample=sample))
    counts: dict[Org, Count] = {}
    null_sums: set[Org] = set()
    samples: list[tuple[Count, str]] = []
    called = names_of_orgs(declared, stage, datasource, compiler)
    for row in rows:
        org = called(row[: len(columns)] if stage.org is None else (stage.org,))
        key = (date_of(row[len(columns)]).isoformat(), *org) if by_day else org
        if key in counts and not stage.adds_up:
            name = Group(declared.by_of(stage).columns, org).label
            raise MeasureError(f"several orgs are called {name}, and their {stage.measure} cannot be added up")
        if row[-1] is None:
            # A total over no rows gives one row with NULL; NULL for an org that has rows is worth a note.
            if columns or by_day:
                null_sums.add(key)
                counts.setdefault(key, 0)
            continue
        if not columns and not by_day and number(row[-1]) == 0:
            continue
        counts[key] = counts.get(key, 0) + number(row[-1])
        if sample is not None and row[-2] is not None:
            how = Masks.of(stage.table.tags, context.masking).how(sample)
            samples.append((counts[key], told_error(str(masked(row[-2], how)))))
    texts = {key: f"{'~' if key in null_sums else ''}{count}" for key, count in counts.items()}
    inexact = any(isinstance(row[-1], float) for row in rows)
    return Counted(run_of_counts(texts), max(samples, default=(0, ""))[1], inexact=inexact)


def number(value: object) -> Count:
    """Return a number as a database gave it.

    Raises:
        MeasureError: when it is none.
    """
    try:
        exact = Decimal(str(value))
    except ArithmeticError:
        raise MeasureError(f"the count is {value!r}, which is not a number") from None
    if not exact.is_finite():
        raise MeasureError(f"the count is {value}, which is not a finite number")
    return int(exact) if exact == exact.to_integral_value() else exact


def read_number(text: bytes) -> tuple[Count, bool]:
    """Return the number of a line, and whether a part of it was NULL.

    Raises:
        MeasureError: when it is none.
    """
    of_null = text.startswith(b"~")
    return number(text[of_null:].decode()), of_null


def read(run: Run) -> Iterator[tuple[Org, Count]]:
    """Yield the values of each name of a run, the day first where there are several, and its number.

    Raises:
        MeasureError: when one of them is none.
    """
    for block in run.blocks():
        for line in block.split(b"\n")[:-1]:
            key, text = line.rsplit(b"\t", 1)
            yield values_of(key), read_number(text)[0]
