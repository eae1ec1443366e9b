"""Refusing: no SQL of the user reaches a database that the guard does not let through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial

from attrs import evolve, frozen

from dq.app.session import Declared, context_of, dialect_of, judgement_time, kind_of
from dq.checks.plan import plan
from dq.context import Context, expected_sql
from dq.model.check import Check, Suite
from dq.model.errors import DeclarationError, DqError
from dq.model.group import By
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation, Stage, Total
from dq.model.table import Table
from dq.project import Project
from dq.sql.statements import Compiler


def sql_problems(
    project: Project,
    declared: Declared,
    interval: Interval,
    *,
    by_day: bool = False,
    dialect: Callable[[str], str] | None = None,
) -> Iterator[str]:
    """Yield a sentence, with file, suite and check, for every piece of SQL in ``declared`` that would be refused.

    Args:
        project: where it is declared.
        declared: the suite or reconciliation.
        interval: of the run.
        by_day: whether the days of the interval are compared, each for itself.
        dialect: gives the dialect of a datasource by name; None: as ``dq.toml`` says.
    """
    source = project.sources.get(declared.name)
    place = f"{source}: {kind_of(declared)} {declared.name!r}" if source else f"{kind_of(declared)} {declared.name!r}"
    for what, part, clause in sql_clauses(project, declared, interval, dialect, by_day=by_day):
        yield f"{place}, {what} {part!r}: {clause}" if what else f"{place}: {clause}"


def sql_clauses(
    project: Project,
    declared: Declared,
    interval: Interval,
    dialect: Callable[[str], str] | None,
    *,
    by_day: bool,
) -> Iterator[tuple[str, str | None, str]]:
    """Yield what is refused: what kind of part it is in, its name, and why; see ``sql_problems``."""
    context = context_of(project, interval, judgement_time(), by_day=by_day)
    # It reads secrets and entry points, which every check would pay for.
    dialect = dialect or cache(partial(dialect_of, project))
    context = evolve(context, dialect_of=dialect)
    if isinstance(declared, Suite):
        try:
            _ = context.compiler(dialect(declared.table.datasource), declared.table).engine.glot
        except DqError as error:
            yield "", None, str(error)  # once, and not for every check
            return
    compilers = _Compilers(context, dialect)
    for what, part, compile_it in compilers.of(declared):
        try:
            compile_it()
        except DqError as error:
            yield what, part, str(error)


@frozen
class _Compilers:
    """Each part of a declaration with what compiles all of its SQL.

    Attributes:
        context: of a run.
        dialect: gives SQLAlchemy's name of the dialect of a datasource.
    """

    context: Context
    dialect: Callable[[str], str]

    def of(self, declared: Declared) -> Iterator[tuple[str, str | None, Callable[[], None]]]:
        """Yield the parts of ``declared``: what they are, their names, and what compiles them."""
        if isinstance(declared, Suite):
            for scan in plan(declared):
                for check in scan.checks:
                    yield "check", check.name, partial(self._check, declared, check, scan.columns)
            return
        counted = [*((declared, stage) for stage, _ in declared.counted), *declared.counted_at_levels]
        for of, stage in counted:
            yield "stage", stage.name, partial(self._stage, of, stage)
        yield "", None, partial(self._expected, declared.by, declared.baseline.table)
        for total in declared.totals:
            yield "total", total.name, partial(self._total, declared, total)

    def _check(self, declared: Suite, check: Check, columns: tuple[str, ...]) -> None:
        made = self._compiler(declared.table, columns)
        if check.where is not None:
            made.user_predicate(check.where)
        for measure in check.measures().values():
            made.statements([measure])
            if made.across(measure):
                made.keys_of(measure)
        by = declared.by_of(check)
        if by is not None:
            self._expected(by, declared.table)

    def _stage(self, declared: Reconciliation, stage: Stage) -> None:
        columns = declared.by_of(stage).columns if stage.org is None else ()
        made = self._compiler(stage.table, columns)
        made.count_by(stage.measure, stage.where, by_day=self.context.by_day)
        if isinstance(stage.mapping, str):
            made.total(stage.mapping)

    def _expected(self, by: By, table: Table) -> None:
        if isinstance(by.expected, str):
            expected_sql(by.expected, by, table, self.dialect(table.datasource), self.context)

    def _total(self, declared: Reconciliation, total: Total) -> None:
        if total.query is not None and total.datasource is not None:
            made = self.context.compiler(self.dialect(total.datasource), declared.baseline.table)
            made.total(total.query)

    def _compiler(self, table: Table, columns: tuple[str, ...]) -> Compiler:
        return self.context.compiler(self.dialect(table.datasource), table, columns)


def refuse_bad_sql(
    project: Project,
    declared: Declared,
    interval: Interval,
    *,
    by_day: bool = False,
    dialect: Callable[[str], str] | None = None,
) -> None:
    """Refuse a declaration whose SQL the guard does not let through; see ``sql_problems``.

    Raises:
        DeclarationError: with the first problem; it names file, suite and check.
    """
    for problem in sql_problems(project, declared, interval, by_day=by_day, dialect=dialect):
        raise DeclarationError(problem)
