"""Lint: what is wrong or surprising in a project, without connecting to anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache, partial
from typing import Literal

from attrs import evolve, frozen

from dq.alerting.config import AlertConfig
from dq.app.session import Declared, all_declared, context_of, dialect_of, judgement_time, kind_of
from dq.app.telling import ROUTES, alerting_of
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


@frozen
class Problem:
    """Something that ``dq lint`` says.

    Attributes:
        level: ``error`` refuses the declaration, ``warning`` only says what may surprise.
        sentence: names the file, the suite and the check.
    """

    level: Literal["error", "warning"]
    sentence: str


def lint(project: Project) -> tuple[Problem, ...]:
    """Return what is wrong or surprising in the project, without connecting to anything."""
    told = [Problem("error", failure) for failure in project.failures]
    alerting: AlertConfig | None = None
    try:
        alerting = alerting_of(project)
    except DqError as error:
        told.append(Problem("error", str(error)))
    interval = Interval.of_day(judgement_time().date() - timedelta(days=1))
    for declared in all_declared(project):
        place = f"{project.source_of(declared.name)}: {kind_of(declared)} {declared.name!r}"
        told += [Problem("error", problem) for problem in sql_problems(project, declared, interval)]
        if alerting is not None:
            told += [Problem("error", f"{place}: {problem}") for problem in alerting.notify_problems(declared)]
            told += [
                Problem("error", f"{place}: to= names the channel {channel!r}, which {ROUTES} does not have")
                for channel in getattr(declared, "to", ())
                if channel not in alerting.channels
            ]
        told += [Problem("warning", f"{place}{warning}") for warning in _surprises(declared)]
    return tuple(told)


def _surprises(declared: Declared) -> Iterator[str]:
    if isinstance(declared, Reconciliation):
        for known in declared.explained:
            if known.derived is not None:
                what = f", explained {known.name!r}"
                yield f"{what}: it is derived from the same stages, so it explains nothing by itself"
        if not declared.by.expected:
            yield ": By has no expected=, so an org that is absent from every stage is invisible"
        return
    silent = [check.name for check in declared.checks if (by := declared.by_of(check)) is not None and not by.expected]
    if silent:
        more = f" and {len(silent) - 1} more" if silent[1:] else ""
        yield f", check {silent[0]!r}{more}: By has no expected=, so absent orgs are invisible"
    if declared.table.partition is None:
        yield f": table {declared.table.name} has no partition=, so every run looks at the whole table"


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
    kind = kind_of(declared)
    place = f"{source}: {kind} {declared.name!r}" if source else f"{kind} {declared.name!r}"
    context = context_of(project, interval, judgement_time(), by_day=by_day)
    # It reads secrets and entry points, which every check would pay for.
    dialect = dialect or cache(partial(dialect_of, project))
    context = evolve(context, dialect_of=dialect)
    if isinstance(declared, Suite):
        try:
            _ = context.compiler(dialect(declared.table.datasource), declared.table).engine.glot
        except DqError as error:
            yield f"{place}: {error}"  # once, and not for every check
            return
    compilers = _Compilers(context, dialect)
    for where, compile_it in compilers.of(declared):
        try:
            compile_it()
        except DqError as error:
            yield f"{place}{where}: {error}"


@frozen
class _Compilers:
    """Each part of a declaration with what compiles all of its SQL.

    Attributes:
        context: of a run.
        dialect: gives SQLAlchemy's name of the dialect of a datasource.
    """

    context: Context
    dialect: Callable[[str], str]

    def of(self, declared: Declared) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the parts of ``declared``, as a sentence names them."""
        if isinstance(declared, Suite):
            for scan in plan(declared):
                for check in scan.checks:
                    yield f", check {check.name!r}", partial(self._check, declared, check, scan.columns)
            return
        counted = (known.counted for known in declared.explained if known.counted is not None)
        for stage in (*declared.stages, *counted):
            yield f", stage {stage.name!r}", partial(self._stage, declared, stage)
        yield "", partial(self._expected, declared.by, declared.baseline.table)
        for total in declared.totals:
            yield f", total {total.name!r}", partial(self._total, declared, total)

    def _check(self, declared: Suite, check: Check, columns: tuple[str, ...]) -> None:
        made = self._compiler(declared.table, columns)
        if check.where is not None:
            made.user_predicate(check.where)
        for measure in check.measures().values():
            made.statements([measure])
        by = declared.by_of(check)
        if by is not None:
            self._expected(by, declared.table)

    def _stage(self, declared: Reconciliation, stage: Stage) -> None:
        columns = declared.by_of(stage).columns if stage.org is None else ()
        self._compiler(stage.table, columns).count_by(stage.measure, stage.where, by_day=self.context.by_day)

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
