"""Telling: what has been decided leaves through the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dq import events
from dq.alerting.config import AlertConfig, load_alerting
from dq.alerting.pump import PumpReport, open_channels
from dq.alerting.pump import pump as pump_alerts
from dq.app.session import store_engine
from dq.model.errors import DqError, StoreError
from dq.project import Project

ROUTES = Path("alerting") / "routes.toml"

PATIENCE = timedelta(seconds=2)
"""How long whoever sends at once stays for the turn of a channel and for a second try; the next pump does the rest."""


def alerting_of(project: Project) -> AlertConfig:
    """Return what ``alerting/routes.toml`` says.

    Raises:
        ConfigError: when it is refused.
    """
    return load_alerting(project.root / ROUTES)


def secrets_of(project: Project) -> Callable[[str], str]:
    """Return the function that turns a reference such as ``env:NAME`` into the secret."""
    return lambda reference: project.secret(reference, str(ROUTES)).reveal()


def deliver(project: Project, patience: timedelta = PATIENCE) -> PumpReport:
    """Deliver what has been decided, and number new events.

    Args:
        project: whose environment.
        patience: as for ``dq.alerting.pump.pump``.

    Raises:
        ConfigError: when ``alerting/routes.toml`` is refused.
        StoreError: when the store cannot be used.
    """
    engine = store_engine(project)
    alerting = alerting_of(project)
    channels = open_channels(alerting, secrets_of(project))
    try:
        report = pump_alerts(engine, alerting, channels, environment=project.environment, patience=patience)
        with suppress(IntegrityError), engine.begin() as connection:  # then another pump numbers them just now
            events.number(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"the store cannot be used: {type(error).__name__}") from None
    return report


def deliver_quietly(project: Project) -> None:
    """Deliver now if it can be; whatever fails is in the outbox and goes out with the next pump."""
    try:
        deliver(project)
    except DqError as error:
        logging.getLogger(__name__).warning("alerts wait for the next pump: %s", error)
