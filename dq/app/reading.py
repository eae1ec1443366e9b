"""Reading back what was stored."""

from __future__ import annotations

from dq.app.session import find_reconciliation, judgement_time, start_run, transaction
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.result import Run
from dq.model.severity import Severity
from dq.project import Project
from dq.store import history
from dq.store.artefact import ledger_from_json


def runs(project: Project, suite: str | None = None, limit: int = 30) -> tuple[Run, ...]:
    """Return the newest stored runs, newest first."""
    with transaction(project) as connection:
        return history.runs(connection, project.environment, suite, limit)


def latest_run(project: Project, name: str, interval: Interval) -> Run | None:
    """Return the latest stored run of that interval; None: there is none."""
    with transaction(project) as connection:
        return history.latest_run(connection, project.environment, name, interval)


def run_of(project: Project, name: str, interval: Interval, origin: str) -> Run:
    """Return the run of that identity with its results; one that recorded nothing has none.

    Raises:
        UsageError: when there is no such declaration.
        StoreError: when the store cannot be used.
    """
    declared = project.find(name)
    with transaction(project) as connection:
        return history.with_results(
            connection, start_run(connection, project, declared, interval, origin, judgement_time())
        )


def why_not_good(project: Project, name: str, interval: Interval, stop_at: Severity) -> str | None:
    """Return why the data of ``interval`` are not known to be good, in words; None: they are.

    The latest run decides. Silence is no good news: what was not checked, or is being checked, is not known to be good.

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
    run = latest_run(project, name, interval)
    if run is None:
        return f"{name} {interval} was not checked"
    if run.version > (run.closed_version or 0):
        return f"{name} {interval} is being checked, and its run is not closed (run {run.id})"
    bad = [result for result in run.results if result.at_or_above(stop_at)]
    if not bad:
        return None
    worst = max(bad, key=lambda result: (result.severity or 0, result.group is None))
    others = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return f"{name} {interval} is not good: {worst.check}: {worst.sentence}{others} (run {run.id})"


def ledger(project: Project, name: str, interval: Interval | None = None) -> tuple[Run, Ledger]:
    """Return the latest stored run and ledger of a reconciliation, of ``interval`` or the newest one.

    Raises:
        UsageError: when there is none.
    """
    declared = find_reconciliation(project, name)
    with transaction(project) as connection:
        found = history.latest_run(connection, project.environment, declared.name, interval)
        document = history.get_artefact(connection, found) if found is not None else None
    if found is None or document is None:
        when = f" for {interval}" if interval is not None else ""
        raise UsageError(
            f"there is no stored run of {name!r}{when} in environment {project.environment!r};"
            f" run `dq reconcile {name}` first"
        )
    return found, ledger_from_json(document)
