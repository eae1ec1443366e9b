"""What the triggerer does for the SLAs of a DAG: it writes down what a run promises, and what became of it in time.

Airflow 3.3.2 and later call these through Deadline Alerts, which :func:`dq.airflow.sla` lays out. They judge nothing
and send nothing; ``sla_check`` does, every minute, in the watch DAG or outside of Airflow. Airflow calls them once or,
after the triggerer was killed, again: writing the same down twice is harmless.

Only calls that the triggerer is known to answer are made, each with a time-out: one that is not answered would hold up
every later callback.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from dq.airflow.seen import project_of, promised_of, states
from dq.airflow.tasks import plain
from dq.model.errors import DqError
from dq.model.promise import Promise

T = TypeVar("T")

_log = logging.getLogger(__name__)
_SECONDS = 20.0
"""For one question to Airflow, or one transaction of the store."""
_PAUSES = (1, 5, 15, 60, 300, 600)
"""Seconds between tries while the store, or Airflow, is away; Airflow itself tries nothing again."""


async def run_made(
    promised: Sequence[Mapping[str, Any]], file: str, project: str | None, context: Mapping[str, Any]
) -> str:
    """Write down what a new run promises that no deadline of Airflow's can be set for, or that warns before one.

    Args:
        promised: what :func:`dq.airflow.sla` wrote into the DAG.
        file: the DAG file, from which the project is found.
        project: as ``dq.airflow.suite_group`` has it.
        context: what Airflow gives a deadline's callback.
    """
    found = [p for p in _promises(promised, context) if p.sla.within is None or p.logical_date is None or p.warns]
    return await _write(found, file, project, look=False)


async def look(
    promised: Sequence[Mapping[str, Any]], file: str, project: str | None, context: Mapping[str, Any]
) -> str:
    """Write down what a run promises, and what Airflow says of it when its time is over.

    A run with a data interval is due to start at its end, while Airflow counts from its logical date, the beginning: so
    it may call too early, and is kept waiting.

    Args:
        promised, file, project, context: as for ``run_made``.
    """
    found = _promises(promised, context)
    if found:
        early = max(promise.late_at for promise in found) - datetime.now(UTC)
        await asyncio.sleep(max(early.total_seconds(), 0))
    return await _write(found, file, project, look=True)


def _promises(promised: Sequence[Mapping[str, Any]], context: Mapping[str, Any]) -> list[Promise]:
    run = context["dag_run"]
    if run["run_type"] == "backfill":  # nobody waits for the past
        return []
    run_after, queued_at = plain(run["run_after"]), run["queued_at"]
    known = {
        "dag_id": run["dag_id"],
        "run_id": run["dag_run_id"],
        "logical_date": None if run["logical_date"] is None else plain(run["logical_date"]),
        "run_after": run_after,
        "created_at": run_after if queued_at is None else plain(queued_at),
    }
    return promised_of(known, promised)


async def _write(found: Sequence[Promise], file: str, project: str | None, *, look: bool) -> str:
    from asgiref.sync import sync_to_async

    if not found:
        return "nothing is promised"
    for pause in (*_PAUSES, None):
        try:
            seen = await _in_time(sync_to_async(states)(found)) if look else None
            # In a thread of its own: Airflow's calls share one, and the store may keep it waiting.
            await _in_time(sync_to_async(_record, thread_sensitive=False)(found, seen, file, project))
        except (DqError, TimeoutError) as error:
            why = str(error) or f"no answer within {_SECONDS:.0f} s"
            if pause is None:
                raise RuntimeError(f"what the run promises is not written down: {why}") from None
            _log.warning("what the run promises is not written down yet, another try in %d s: %s", pause, why)
            await asyncio.sleep(pause)
        else:
            break
    return f"{len(found)} promises are written down"


async def _in_time(awaited: Any) -> Any:
    return await asyncio.wait_for(awaited, _SECONDS)


def _record(
    found: Sequence[Promise], seen: Mapping[Promise, str | None] | None, file: str, project: str | None
) -> None:
    from dq import app

    app.promise(project_of(file, project), found, states=seen, source="triggerer")
