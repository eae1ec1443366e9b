"""Assets that are updated only when the data are good.

Airflow updates the outlets of a task whenever it ends well, and so does a gate that skips the next stage. An alias
updates what the task names while it runs, and nothing else: https://airflow.apache.org/docs/apache-airflow/stable/
authoring-and-scheduling/assets.html#dynamic-data-events-emitting-and-asset-creation-through-assetalias
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias
from attrs import frozen

from dq.model.errors import UsageError
from dq.model.result import Run

_log = logging.getLogger(__name__)


@frozen
class Outlets:
    """What a task updates when the data are good.

    Attributes:
        alias: the outlet of the task, as Airflow knows it.
        assets: what is updated.
    """

    alias: AssetAlias
    assets: tuple[Asset, ...]


def outlets_of(name: str, given: Asset | str | Iterable[Asset | str]) -> Outlets | None:
    """Return what a task updates when the data are good; None: nothing.

    Args:
        name: of what is checked.
        given: an asset or several, or their names where name and URI are the same.

    Raises:
        UsageError: when one of them is neither.
    """
    several = tuple(given) if isinstance(given, Iterable) and not isinstance(given, Asset | str) else (given,)
    for one in several:
        if not isinstance(one, Asset | str):
            raise UsageError(f"outlets= takes assets, not {one!r}")
    assets = tuple(Asset(one) if isinstance(one, str) else one for one in several)
    return Outlets(AssetAlias(f"dq:{name}"), assets) if assets else None


def publish(context: Mapping[str, Any], outlets: Outlets | None, run: Run) -> None:
    """Update the assets of ``outlets``, with the verdict beside each.

    A run that was not due has no verdict, and updates nothing.

    Args:
        context: of the task whose outlet the alias is.
        outlets: what is updated; None: nothing.
        run: whose data are good.
    """
    if outlets is None:
        return
    if not run.results:
        _log.info("%s was not due, so no asset is updated", run.suite)
        return
    for asset in outlets.assets:
        context["outlet_events"][outlets.alias].add(asset, extra=verdict(run))


def verdict(run: Run) -> dict[str, Any]:
    """Return what the event of an asset carries: ``suite``, ``run``, ``partition``, ``score`` and ``worst``."""
    return {
        "suite": run.suite,
        "run": run.id,
        "partition": str(run.interval),
        "score": None if run.score is None else float(run.score),
        "worst": None if run.worst is None else str(run.worst),
    }
