"""One question: whether the data of a run are there, and whether those of another one are good."""

from __future__ import annotations

from dq.app.session import context_of, datasources, judgement_time, transaction
from dq.model.errors import GuardError
from dq.model.interval import Interval
from dq.model.severity import Severity
from dq.project import Project
from dq.sql.engine import Engine
from dq.sql.user import query
from dq.store import history


def holds(project: Project, datasource: str, sql: str, interval: Interval) -> bool:
    """Return whether the one value that a SELECT returns is true; no row and NULL are not.

    Args:
        project: whose datasource.
        datasource: its name in ``dq.toml``.
        sql: one SELECT of one column, with Jinja as in a check: ``{{ ds }}``, ``{{ data_interval_start }}``.
        interval: the partition that the Jinja speaks of.

    Raises:
        UsageError: when there is no such datasource, or the Jinja is wrong.
        GuardError: when the query is refused, or returns more than one value.
        DqError: when the database cannot answer.
    """
    context = context_of(project, interval, judgement_time())
    with datasources(project) as connect:
        source = connect(datasource)
        text = context.render(sql)
        asked = query(text, Engine(source.dialect).glot, frozenset(context.refused))
        rows = next(source.stream(asked, 2), [])  # of a query without an aggregate, not the whole table
    if len(rows) > 1 or (rows and len(rows[0]) != 1):
        many = "several rows" if len(rows) > 1 else f"{len(rows[0])} columns"
        raise GuardError(f"the query returns {many} instead of one value: {text}")
    return bool(rows and rows[0][0])


def why_not_good(project: Project, name: str, interval: Interval, stop_at: Severity) -> str | None:
    """Return why the data of ``interval`` are not known to be good, in words; None: they are.

    The latest run that was closed decides. Silence is no good news: what was not checked, or is being checked, is not
    known to be good.

    Args:
        project: where ``name`` is declared.
        name: of a suite or reconciliation.
        interval: the partition.
        stop_at: what is found at this severity or above is not good.

    Raises:
        UsageError: when there is no such declaration.
        StoreError: when the store cannot be used.
    """
    project.find(name)
    with transaction(project) as connection:
        run = history.latest_run(connection, project.environment, name, interval)
    if run is None:
        return f"{name} {interval} was not checked"
    if run.version > (run.closed_version or 0):
        return f"{name} {interval} is being checked, and its run is not closed (run {run.id})"
    bad = [result for result in run.results if result.at_or_above(stop_at)]
    bad.sort(key=lambda result: (-(result.severity or 0), result.group is not None))
    if not bad:
        return None
    others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{name} {interval} is not good: {bad[0].check}: {bad[0].sentence}{others} (run {run.id})"
