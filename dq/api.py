"""The command line from a notebook or a test: ``dq.run``, ``dq.reconcile``, and what this module has more."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import evolve

from dq import app
from dq.model.check import Suite
from dq.model.duration import parse_duration
from dq.model.errors import ConfigError, UsageError
from dq.model.interval import Interval
from dq.model.keys import KeyComparison
from dq.model.ledger import Ledger
from dq.model.reconciliation import Reconciliation
from dq.model.result import Run
from dq.project import DatasourceSettings, Project, StoreSettings
from dq.secret import Secret

Date = str | datetime.date
Datasources = Mapping[str, str]


def run(
    suite: str | Suite | Reconciliation,
    date: Date | None = None,
    *,
    interval: Interval | None = None,
    project: Project | str | Path | None = None,
    datasources: Datasources | None = None,
    store: bool = False,
    alert: bool = False,
) -> Run:
    """Measure a suite or reconciliation for one day, and return the run: ``assert dq.run(orders).ok``.

    Nothing is stored and nobody is told unless asked.

    Args:
        suite: the declaration, or the name of one in the project.
        date: the UTC day, a date or ``"2026-11-20"``; yesterday by default.
        interval: the partition, in the place of ``date``.
        project: a project or its folder; by default ``DQ_HOME``, or the folder upwards that has a ``dq.toml``.
        datasources: SQLAlchemy addresses by name, beside or instead of those of the project.
        store: record the results.
        alert: let the results become incidents and messages; implies ``store``.

    Raises:
        UsageError: when the declaration, the date or the configuration is refused.
        StoreError: when the store was asked for and cannot be used.
    """
    if not isinstance(suite, str | Suite | Reconciliation):
        raise UsageError(f"{suite!r} is no suite or reconciliation, and no name of one")
    found = _project(project, datasources)
    return app.run(found, suite, _interval(date, interval), origin="python", store=store or alert, alert=alert)


def reconcile(
    reconciliation: str | Reconciliation,
    date: Date | None = None,
    *,
    to: Date | None = None,
    project: Project | str | Path | None = None,
    datasources: Datasources | None = None,
    store: bool = False,
    alert: bool = False,
) -> Ledger:
    """Count a reconciliation for one day, or day by day from ``date`` to ``to`` (included), and return the ledger.

    Args:
        reconciliation: the declaration, or the name of one in the project.
        date: the first UTC day; yesterday by default.
        to: the last UTC day; ``date`` by default.
        project, datasources, store, alert: as for ``run``.

    Raises:
        UsageError: when the declaration, a date or the configuration is refused.
        StoreError: when the store was asked for and cannot be used.
    """
    first = _interval(date, None)
    interval = first if to is None else Interval(first.start, _interval(to, None).end)
    found = _project(project, datasources)
    return app.reconcile(found, reconciliation, interval, origin="python", store=store or alert, alert=alert)[1]


def compare_keys(
    reconciliation: str | Reconciliation,
    date: Date | None = None,
    *,
    to: Date | None = None,
    org: str | None = None,
    stages: Sequence[str] = (),
    distinct: bool = False,
    limit: int | None = 50,
    project: Project | str | Path | None = None,
    datasources: Datasources | None = None,
) -> tuple[KeyComparison, ...]:
    """Return which records stages of a reconciliation do not share with its baseline, stage by stage.

    Nothing is stored and nobody is told.

    Args:
        reconciliation: the declaration, or the name of one in the project.
        date: the first UTC day; yesterday by default.
        to: the last UTC day; ``date`` by default. Several days are compared as one.
        org: the only org that is looked at, as the ledger shows it; None: all.
        stages: the names of the stages; by default all that are held against the baseline and have a key.
        distinct: records that are equal in key and values count once.
        limit: how many keys are listed of each kind; None: all.
        project, datasources: as for ``run``.

    Raises:
        UsageError: when the declaration, a date, a stage, a key, an org or the configuration is refused.
        MeasureError: when a database cannot be asked.
    """
    first = _interval(date, None)
    interval = first if to is None else Interval(first.start, _interval(to, None).end)
    found = _project(project, datasources)
    return app.compare_keys(found, reconciliation, interval, org=org, stages=stages, distinct=distinct, limit=limit)


def silence(
    *matchers: str,
    comment: str,
    author: str,
    until: datetime.datetime | None = None,
    lasts: str | datetime.timedelta | None = None,
    starts: datetime.datetime | None = None,
    project: Project | str | Path | None = None,
) -> int:
    """Silence what satisfies all ``matchers``, and return the number by which it can be ended.

    ``dq.api.silence("suite=orders", lasts="2h", comment="reload of November", author="ada")`` before a load that is
    known to disturb. ``dq alerts`` goes on showing what is silenced; ``dq alerts silence expire`` ends it.

    Args:
        matchers: e.g. ``suite=orders``, ``severity!=critical``, ``check=~"amount.*"``.
        comment: why.
        author: who says so.
        until: up to when, an aware time.
        lasts: for how long, e.g. ``"2h"``, in place of ``until``.
        starts: from when on, an aware time; now by default.
        project: as for ``run``.

    Raises:
        UsageError: when a matcher is none, a time is refused, or the silence would match everything.
        StoreError: when the store cannot be used.
    """
    if (until is None) == (lasts is None):
        raise UsageError("give until= or lasts=, one of them")
    for name, moment in (("until", until), ("starts", starts)):
        if moment is not None and moment.tzinfo is None:
            raise UsageError(f"{name}={moment.isoformat()} has no time zone")
    ends = until if until is not None else parse_duration(lasts or "")
    found = _project(project, None)
    made, _ = app.silence(found, matchers, author=author, comment=comment, until=ends, starts_at=starts)
    return made.id


def _interval(date: Date | None, interval: Interval | None) -> Interval:
    if interval is not None:
        if date is not None:
            raise UsageError("give date= or interval=, not both")
        return interval
    return Interval.of_day(date if date is not None else app.judgement_time().date() - datetime.timedelta(days=1))


def _project(project: Project | str | Path | None, datasources: Datasources | None) -> Project:
    own = {
        name: DatasourceSettings(name, Secret(url, f"datasources[{name!r}]", Path.cwd()))
        for name, url in (datasources or {}).items()
    }
    if isinstance(project, Project):
        found = project
    elif project is not None and not Path(project).exists():
        raise ConfigError(f"project={str(project)!r}: there is no such folder")
    else:
        try:
            found = app.open_project(None if project is None else Path(project))
        except ConfigError:
            if project is not None or not own:
                raise
            address = Secret("sqlite:///var/dq.sqlite", "store.url", Path.cwd())
            found = Project(root=Path.cwd(), environment="dev", store=StoreSettings(address))
    return evolve(found, datasources={**found.datasources, **own})
