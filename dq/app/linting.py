"""Lint: what is wrong or surprising in a project, without connecting to anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cache, partial
from typing import Literal

from attrs import frozen

from dq.alerting.config import AlertConfig
from dq.app.session import Declared, all_declared, context_of, dialect_of, judgement_time, kind_of
from dq.app.telling import ROUTES, alerting_of
from dq.checks.plan import plan
from dq.model.check import Suite
from dq.model.errors import DeclarationError, DqError
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation
from dq.project import Project
from dq.sql.guard import guard_predicate
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
    silent = [
        check.name for check in declared.checks if (by := declared.by_of(check)) is not None and not by.expected
    ]
    if silent:
        more = f" and {len(silent) - 1} more" if silent[1:] else ""
        yield f", check {silent[0]!r}{more}: By has no expected=, so absent orgs are invisible"
    if declared.table.partition is None:
        yield f": table {declared.table.name} has no partition=, so every run looks at the whole table"


def sql_problems(project: Project, declared: Declared, interval: Interval) -> Iterator[str]:
    """Yield a sentence, with file, suite and check, for every piece of SQL in ``declared`` that would be refused."""
    source = project.sources.get(declared.name)
    kind = kind_of(declared)
    place = f"{source}: {kind} {declared.name!r}" if source else f"{kind} {declared.name!r}"
    context = context_of(project, interval, judgement_time())
    dialect = cache(partial(dialect_of, project))  # it reads secrets and entry points, which every check would pay for

    def compiler(datasource: str, table: object, columns: tuple[str, ...]) -> Compiler:
        return context.compiler(dialect(datasource), table, columns)  # type: ignore[arg-type]  # the caller's table

    if isinstance(declared, Suite):
        try:
            _ = compiler(declared.table.datasource, declared.table, ()).dialect_of_sqlglot
        except DqError as error:
            yield f"{place}: {error}"  # once, and not for every check
            return
        for wanted in plan(declared):
            for check in wanted.checks:
                try:
                    made = compiler(declared.table.datasource, declared.table, wanted.columns)
                    if check.where is not None:
                        guard_predicate(context.render(check.where), made.dialect_of_sqlglot, project.refuse_functions)
                    for measure in check.kind.measures(check.where).values():
                        made.statements([measure])
                    by = declared.by_of(check)
                    if by is not None and isinstance(by.expected, str) and not by.expected.startswith("seen:"):
                        made.expected(None, by.expected)
                except DqError as error:
                    yield f"{place}, check {check.name!r}: {error}"
        return
    for stage in (*declared.stages, *(known.counted for known in declared.explained if known.counted is not None)):
        try:
            made = compiler(
                stage.table.datasource, stage.table, declared.by_of(stage).columns if stage.org is None else ()
            )
            made.count_by(stage.measure, stage.where, by_day=interval.is_longer_than_day)
        except DqError as error:
            yield f"{place}, stage {stage.name!r}: {error}"
    for total in declared.totals:
        if total.query is not None and total.datasource is not None:
            try:
                compiler(total.datasource, declared.baseline.table, ()).total(total.query)
            except DqError as error:
                yield f"{place}, total {total.name!r}: {error}"


def refuse_bad_sql(project: Project, declared: Declared, interval: Interval) -> None:
    """Refuse a declaration whose SQL the guard does not let through.

    Raises:
        DeclarationError: with the first problem; it names file, suite and check.
    """
    for problem in sql_problems(project, declared, interval):
        raise DeclarationError(problem)
