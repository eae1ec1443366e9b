"""Ask a datasource one question, e.g. whether the data of a run are there."""

from __future__ import annotations

from dq.app.session import context_of, datasources, judgement_time
from dq.model.errors import GuardError
from dq.model.interval import Interval
from dq.project import Project
from dq.sql.engine import Engine
from dq.sql.user import query


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
