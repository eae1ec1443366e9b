"""Lint: what is wrong or surprising in a project, without connecting to anything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any, Literal, cast

from attrs import asdict, fields, frozen, has

from dq.alerting.config import AlertConfig
from dq.alerting.routing import channel_named
from dq.app.overdue import counting, kind_of_promise, subject_of
from dq.app.refusing import sql_clauses
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
from dq.model.check import Suite
from dq.model.dataset import Dataset
from dq.model.errors import DqError, GuardError
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation
from dq.plugins import suggest
from dq.project import FILE, Project
from dq.sla.expected import partition_at
from dq.sql.engine import Engine


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

    for what, part, clause in sql_clauses(project, declared, interval, None, by_day=False):
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
            for _, part, clause in sql_clauses(project, count, interval, None, by_day=False):
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
