"""Doctor: how every part that a run needs is doing, and what it runs in."""

from __future__ import annotations

import os
from collections.abc import Sized
from pathlib import Path
from typing import Literal

from attrs import frozen

from dq.alerting.channels import build as build_channel
from dq.alerting.config import AlertConfig
from dq.app.session import open_datasource, store_engine, transaction
from dq.app.telling import ROUTES, alerting_of, secrets_of
from dq.model.errors import ConfigError, DqError
from dq.plugins import load_plugin
from dq.project import Project


@frozen
class Finding:
    """One line of ``dq doctor``.

    Attributes:
        state: ``ok``, ``warn`` or ``broken``.
        what: the part that was looked at.
        sentence: how it is.
    """

    state: Literal["ok", "warn", "broken"]
    what: str
    sentence: str


def doctor(project: Project) -> tuple[Finding, ...]:
    """Look at every part that a run needs, and tell how it is. Never shows a secret."""
    told = [
        Finding(
            "ok",
            "project",
            f"environment {project.environment}, {_count(project.suites, 'suite')},"
            f" {_count(project.reconciliations, 'reconciliation')}",
        )
    ]
    told += [Finding("broken", "declarations", failure) for failure in project.failures]
    if os.environ.get("DQ_NOW"):
        told.append(Finding("warn", "clock", f"DQ_NOW={os.environ['DQ_NOW']}: everything is judged as of that time"))
    try:
        with transaction(project):
            pass
        dialect = store_engine(project).dialect.name
        hint = "; use PostgreSQL or MariaDB where tasks run on several hosts" if dialect == "sqlite" else ""
        remote = dialect == "sqlite" and on_several_hosts(os.environ.get("AIRFLOW__CORE__EXECUTOR", ""))
        told.append(Finding("broken" if remote else "ok", "store", f"{dialect}, migrated{hint}"))
    except DqError as error:
        told.append(Finding("broken", "store", str(error)))
    for name in project.datasources:
        try:
            source = open_datasource(project, name)
            source.fetch("SELECT 1")
            source.close()
            told.append(Finding("ok", f"datasource {name}", f"{source.dialect}, answers"))
        except DqError as error:
            told.append(Finding("broken", f"datasource {name}", str(error)))
    try:
        alerting = alerting_of(project)
        for name, problem in _channel_problems(project, alerting).items():
            told.append(
                Finding("broken" if problem else "ok", f"channel {name}", problem or alerting.channels[name].type)
            )
        told += [Finding("warn", "templates", sentence) for sentence in alerting.templates.problems(alerting.types)]
        if not alerting.channels:
            told.append(Finding("warn", "channels", f"{ROUTES} has none: nobody will be told"))
    except DqError as error:
        told.append(Finding("broken", "channels", str(error)))
    return tuple(told)


def _count(things: Sized, word: str) -> str:
    return f"{len(things)} {word}{'' if len(things) == 1 else 's'}"


def _channel_problems(project: Project, alerting: AlertConfig) -> dict[str, str]:
    problems: dict[str, str] = {}
    for name, channel in alerting.channels.items():
        try:
            build_channel(name, channel.settings, secrets_of(project))
            problems[name] = ""
        except DqError as error:
            problems[name] = str(error)
    return problems


def doctor_of(name: str, path: Path | None, address: str | None) -> tuple[Path | None, tuple[Finding, ...]]:
    """Look at what dq runs in, by the doctor ``name`` of the entry point group ``dq.doctors``.

    Args:
        name: ``airflow``.
        path: where the user says that the project is.
        address: where it answers; empty: as it is configured; None: only what is installed here is looked at.

    Returns:
        Where the project is to be looked for, and what was found.
    """
    try:
        found: tuple[Path | None, tuple[Finding, ...]] = load_plugin("dq.doctors", name)(path, address)
    except ConfigError as error:
        package = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        sentence = f"the Python package {package!r} is not installed beside dq" if package else str(error)
        return path, (Finding("broken", name, sentence),)
    return found


def on_several_hosts(executor: str) -> bool:
    """Return whether an executor of Airflow, or one of several, runs tasks on other hosts than the scheduler's."""
    return any(word in executor for word in ("Celery", "Kubernetes", "Edge", "Ecs", "Batch", "Lambda"))
