"""Selfcheck: whether every kind of check means on an engine what it should."""

from __future__ import annotations

from functools import partial

from dq.app.session import open_datasource
from dq.model.errors import ConfigError
from dq.project import Project
from dq.selfcheck import OfKind, by_kind
from dq.selfcheck import selfcheck as run_cases


def selfcheck(project: Project, datasource: str, schema: str) -> tuple[OfKind, ...]:
    """Return what came of each kind of check on small tables that are made in ``schema``, and taken away again.

    Raises:
        ConfigError: when there is no such datasource, or it is not marked ``write = true``.
        MeasureError: when the tables cannot be made.
    """
    if not project.datasource_settings(datasource).write:
        raise ConfigError(
            f"datasource {datasource!r} is not written to, and selfcheck makes tables; set write = true in "
            f"[datasources.{datasource}], and name a schema that is for such things"
        )
    return by_kind(run_cases(partial(open_datasource, project, datasource), schema))
