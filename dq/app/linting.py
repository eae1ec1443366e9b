"""Lint: what is wrong or surprising in a project, without connecting to anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any, Literal, cast

from attrs import asdict, evolve, fields, frozen, has

from dq.alerting.config import AlertConfig
from dq.alerting.routing import channel_named
from dq.app.overdue import counting, kind_of_promise, subject_of
from dq.app.session import (
    Declared,
    Promising,
    all_declared,
    all_promised,
    context_of,
    dialect_of,
    judgement_time,
    kind_of,
)
from dq.app.telling import ROUTES, alerting_of
from dq.checks.plan import plan
from dq.context import Context, expected_sql
from dq.model.check import Check, Suite
from dq.model.dataset import Dataset
from dq.model.errors import DeclarationError, DqError, GuardError
from dq.model.group import By
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation, Stage, Total
from dq.model.table import Table
from dq.plugins import suggest
from dq.project import FILE, Project
from dq.sla.expected import partition_at
from dq.sql.engine import Engine
from dq.sql.statements import Compiler


@frozen
class Problem:
    """Something that ``dq lint`` says.

    Attributes:
        level: ``error`` refuses the declaration, ``warning`` only says what may surprise.
        sentence: names the file, the suite and the check, and says what to write instead.
        file: where it is declared, relative to the project; None: the sentence says it.
        kind: ``suite``, ``reconciliation``, or ``dag`` for a DAG file.
        name: of the suite or reconciliation; the id of the DAG.
        part: the check, stage or total, the id of the task; None: the whole.
        column: the column that it is about; None: none in particular.
        line: of the file, from 1; None: the file as a whole.
    """

    level: Literal["error", "warning"]
    sentence: str
    file: str | None = None
    kind: str | None = None
    name: str | None = None
    part: str | None = None
    column: str | None = None
    line: int | None = None

    def to_json(self) -> dict[str, str | int | None]:
        """Return the documented JSON form."""
        return asdict(self)


def lint(project: Project) -> tuple[Problem, ...]:
    """Return what is wrong or surprising in the project, without connecting to anything."""
    told = [Problem("error", failure, file=failure.partition(":")[0]) for failure in project.failures]
    alerting: AlertConfig | None = None
    try:
        alerting = alerting_of(project)
    except DqError as error:
        told.append(Problem("error", str(error)))
    if alerting is not None:
        told += [
            Problem("error", sentence, file=sentence.partition(":")[0])
            for sentence in alerting.templates.problems(alerting.types)
        ]
    interval = Interval.of_day(judgement_time().date() - timedelta(days=1))
    for declared in all_declared(project):
        told += _of_declared(project, declared, interval, alerting)
    for one in all_promised(project):
        told += _of_promise(project, one, interval, alerting)
    told += _unused_params(project)
    return tuple(told)


def _of_declared(
    project: Project, declared: Declared, interval: Interval, alerting: AlertConfig | None
) -> Iterator[Problem]:
    file, kind, name = project.source_of(declared.name), str(kind_of(declared)), declared.name

    def made(
        level: Literal["error", "warning"],
        clause: str,
        what: str = "",
        part: str | None = None,
        column: str | None = None,
    ) -> Problem:
        where = f", {what} {part!r}" if part is not None else ""
        return Problem(level, f"{file}: {kind} {name!r}{where}: {clause}", file, kind, name, part, column)

    for what, part, clause in _sql_clauses(project, declared, interval, None, by_day=False):
        yield made("error", clause, what, part)
    told = () if alerting is None else alerting.notify_problems(declared)
    for clause in told:
        yield made("error", clause)
    if alerting is not None and isinstance(declared, Reconciliation):
        for channel in declared.mailed:
            if channel not in alerting.channels:
                key = "to=" if channel in declared.to else "to_owners= or to_orgs="
                yield made("error", f"{key} names the channel {channel!r}, which {ROUTES} does not have")
    if isinstance(declared, Reconciliation):
        for level, clause, what, part in _of_reconciliation(project, declared, interval):
            yield made(level, clause, what, part)
        return
    settings = project.datasources.get(declared.table.datasource)
    for check in declared.checks:
        if check.quarantine is not None and settings is not None and not settings.write:
            clause = f"quarantine= needs write = true in {FILE}: datasources.{settings.name}; else nothing is copied"
            yield made("error", clause, "check", check.name)
    context = context_of(project, interval, judgement_time())
    from dq.app.surprises import surprises  # noqa: PLC0415  # it reads SQL, and a run that only checks need not

    for found in surprises(declared, _engine(project, declared), context.render):
        yield made(found.level, found.clause, "check", found.check, found.column)


_Clause = tuple[Literal["error", "warning"], str, str, str | None]
"""How bad it is, why, and of what kind of part it is said, and of which; no kind: of the whole."""


def _of_reconciliation(project: Project, declared: Reconciliation, interval: Interval) -> Iterator[_Clause]:
    """Yield what is wrong or surprising in a reconciliation, beside its statements and channels."""
    for known in declared.explained:
        if known.derived is not None:
            yield (
                "warning",
                "it is derived from the same stages, so it explains nothing by itself",
                "explained",
                known.name,
            )
    yield from _key_clauses(project, declared, interval)
    if not declared.by.expected:
        yield "warning", "By has no expected=, so an org that is absent from every stage is invisible", "", None


def _key_clauses(project: Project, declared: Reconciliation, interval: Interval) -> Iterator[_Clause]:
    """Yield what is wrong with keys and values of stages.

    Only ``--keys`` asks for them, so a run is not refused for their sake. One word is a column, and only its database
    knows whether it is there; what has no bracket may be the name of one, too.
    """
    context, dialect = context_of(project, interval, judgement_time()), cache(partial(dialect_of, project))
    for stage in declared.stages:
        for what, texts in (("key", declared.key_of(stage)), ("values", declared.values_of(stage))):
            for text in texts:
                if re.fullmatch(r"\w+", text):
                    continue
                try:
                    context.compiler(dialect(stage.table.datasource), stage.table).user_value(text)
                except GuardError as error:
                    yield "error" if "(" in text else "warning", f"its {what} {text!r}: {error}", "stage", stage.name
                except DqError:  # that of the datasource is told of the stage itself
                    continue


def _of_promise(
    project: Project, declared: Promising, interval: Interval, alerting: AlertConfig | None
) -> Iterator[Problem]:
    """Yield what is wrong with what a declaration is made from, and with what it promises."""
    file, kind, name = project.source_of(declared.name), kind_of_promise(declared), declared.name
    clauses = [*_upstream_clauses(project, declared)]
    subject = subject_of(declared)
    if subject is not None:
        try:
            partition = partition_at(judgement_time(), subject.cadence)
            _ = subject.sla.promises(partition), subject.sla.deadline(partition)
            if subject.sla.dag is not None:
                project.airflow_settings(subject.sla.airflow)
        except DqError as error:
            clauses.append(f"its SLA cannot be judged: {error}")
        if subject.sla.rows is not None and isinstance(declared, Reconciliation):
            clauses.append("its SLA counts rows=, and a reconciliation has several tables; declare a Dataset for one")
        elif subject.sla.rows is not None and not isinstance(declared, Reconciliation) and declared.table is not None:
            count = counting(name, declared.table, subject.sla)
            for _, part, clause in _sql_clauses(project, count, interval, None, by_day=False):
                if part is not None:  # what is wrong with the datasource is told elsewhere
                    clauses.append(f"its SLA counts rows=: {clause}")
    if isinstance(declared, Dataset):
        for severity, channels in declared.notify.items():
            for channel in channels:
                try:
                    _ = None if alerting is None else channel_named(channel, alerting.types)
                except DqError as error:
                    clauses.append(f"notify={{{severity!r}: ...}}: {error}")
        if declared.table is not None and declared.table.datasource not in project.datasources:
            clauses.append(f"{FILE} has no [datasources.{declared.table.datasource}]")
    for clause in clauses:
        yield Problem("error", f"{file}: {kind} {name!r}: {clause}", file, kind, name)


def _upstream_clauses(project: Project, declared: Promising) -> Iterator[str]:
    above = {one.name: one.upstream for one in all_promised(project)}
    for name in declared.upstream:
        # What did not load may declare it, and is told anyway.
        if name not in above and not project.failures:
            known = suggest(name, tuple(sorted(above)))
            yield f"upstream= names {name!r}, which is no suite, reconciliation or dataset; {known}"
    circle = _circle(declared.name, above)
    if circle and declared.name == min(circle):  # once, and not for each of its members
        yield f"upstream= goes in a circle: {' -> '.join(circle)}; take one of them out"


def _circle(name: str, above: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the shortest way up from ``name`` to itself, with both ends; empty: there is none."""
    ways: list[tuple[str, ...]] = [(name,)]
    seen = {name}
    for way in ways:  # it grows while it is gone through
        for upper in above.get(way[-1], ()):
            if upper == name:
                return (*way, name)
            if upper not in seen:
                seen.add(upper)
                ways.append((*way, upper))
    return ()


def _engine(project: Project, suite: Suite) -> Engine | None:
    """Return the engine of a suite; None where it cannot be found out, which is told as an error of its own."""
    try:
        engine = Engine(dialect_of(project, suite.table.datasource))
        _ = engine.glot
    except DqError:
        return None
    return engine


_PARAM = re.compile(r"""\bparams(?:\.(\w+)|\[["'](\w+)["']\])""")


def _unused_params(project: Project) -> Iterator[Problem]:
    if project.failures:
        return  # what did not load may use them
    used: set[str] = set()
    for text in _texts(all_promised(project)):
        if "params" in text:
            used.update(first or second for first, second in _PARAM.findall(text))
            if not _PARAM.search(text):
                return  # it reads them in a way of its own
    for name in project.params:
        if name not in used:
            clause = f"nothing that is declared uses it; write {{{{ params.{name} }}}}, or take it out"
            yield Problem("warning", f"{FILE}: params.{name}: {clause}", file=FILE)


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a declaration."""
    if isinstance(value, str):
        yield value
    elif has(type(value)):
        for one in fields(cast("Any", type(value))):
            yield from _texts(getattr(value, one.name))
    elif isinstance(value, Mapping):
        yield from _texts(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for one_of in value:
            yield from _texts(one_of)


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
    for what, part, clause in _sql_clauses(project, declared, interval, dialect, by_day=by_day):
        yield f"{place}, {what} {part!r}: {clause}" if what else f"{place}: {clause}"


def _sql_clauses(
    project: Project,
    declared: Declared,
    interval: Interval,
    dialect: Callable[[str], str] | None,
    *,
    by_day: bool,
) -> Iterator[tuple[str, str | None, str]]:
    """Yield what is refused: what kind of part it is in, its name, and why."""
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
