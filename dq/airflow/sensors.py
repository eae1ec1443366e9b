"""Wait until a dataset is there, and right: the sensor of those who consume it, and what the triggerer does for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import AirflowFailException, BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from dq.airflow.tasks import one_sentence, plain, start_of, where
from dq.model.errors import StoreError
from dq.model.interval import Interval

_log = logging.getLogger(__name__)


class DatasetReadySensor(BaseSensorOperator):
    """Wait until the partition of this run is there, and no check failed at error or worse in it.

    It asks dq's store, not Airflow: the data may be made by another Airflow, or by none. The log says each time what
    the dataset waits for. While it waits it is deferred to the triggerer, and takes no worker.

    Args:
        dataset: the name of a suite, reconciliation or dataset; a template.
        date: the partition, a day such as ``{{ ds }}``; a template. None: the data interval of the run.
        accept_wrong: whether data that is there and wrong will do.
        deferrable: whether it waits in the triggerer; else in a worker, as ``mode=`` says.
        project: as for :func:`dq.airflow.suite_group`.
        kwargs: of every sensor, e.g. ``poke_interval=``, ``timeout=``.
    """

    template_fields: Sequence[str] = ("dataset", "date")
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        dataset: str,
        date: str | None = None,
        accept_wrong: bool = False,
        deferrable: bool = True,
        project: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.date = date
        self.accept_wrong = accept_wrong
        self.deferrable = deferrable
        self.project = None if project is None else str(project)

    def execute(self, context: Any) -> Any:
        """Wait in the triggerer, or as other sensors do."""
        if self.deferrable and not self.poke(context):
            self._defer(context)
        return None if self.deferrable else super().execute(context)

    def _defer(self, context: Any) -> None:
        _, _, interval, _ = self._where(context)
        self.defer(
            trigger=DatasetReadyTrigger(
                dataset=self.dataset,
                start=interval.start.isoformat(),
                end=interval.end.isoformat(),
                file=context["dag"].fileloc,
                project=self.project,
                accept_wrong=self.accept_wrong,
                pause=float(self.poke_interval),
            ),
            method_name="resume",
            timeout=timedelta(seconds=self.timeout),
        )

    def poke(self, context: Any) -> bool:
        """Return whether it is ready."""
        with one_sentence():
            project, name, interval, _ = self._where(context)
            return ready(str(project.root), name, interval, accept_wrong=self.accept_wrong)

    def resume(self, context: Any, event: Mapping[str, str]) -> None:  # noqa: ARG002  # Airflow's signature
        """End as the triggerer found it."""
        if error := event.get("error"):
            raise AirflowFailException(error)

    def _where(self, context: Any) -> Any:
        return where({**context, "suite": self.dataset, "date": self.date, "project": self.project})


class DatasetReadyTrigger(BaseTrigger):
    """Looks again and again whether a dataset is ready; its arguments are those of the sensor, as text."""

    def __init__(
        self, *, dataset: str, start: str, end: str, file: str, project: str | None, accept_wrong: bool, pause: float
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow gives it no types
        self._told: dict[str, Any] = {
            "dataset": dataset, "start": start, "end": end, "file": file, "project": project,
            "accept_wrong": accept_wrong, "pause": pause,
        }  # fmt: skip

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps of it."""
        return f"{__name__}.{type(self).__name__}", self._told

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is ready; what a look cannot mend ends it with a sentence."""
        told = self._told
        interval = Interval(plain(told["start"]), plain(told["end"]))
        folder = str(start_of(told["file"], told["project"]))
        while True:
            try:
                # In a thread of its own: the store may keep it waiting, and all triggers share one loop.
                found = await asyncio.to_thread(
                    ready, folder, told["dataset"], interval, accept_wrong=told["accept_wrong"]
                )
            except StoreError as error:
                _log.warning("%s", error)
                found = False
            except Exception as error:  # noqa: BLE001  # whatever it is, the task must hear of it
                yield _event(error=str(error) or type(error).__name__)
                return
            if found:
                yield _event()
                return
            await asyncio.sleep(told["pause"])


def _event(**payload: str) -> TriggerEvent:
    made: Any = TriggerEvent  # on Airflow 2 it has no types
    event: TriggerEvent = made(payload)
    return event


def ready(folder: str, dataset: str, interval: Interval, *, accept_wrong: bool, now: datetime | None = None) -> bool:
    """Return whether a partition is there, and write what it waits for into the log.

    Args:
        folder: in the project.
        dataset: its name.
        interval: the partition.
        accept_wrong: whether data that is there and wrong will do.
        now: the time of the question.

    Raises:
        UsageError: when nothing of that name is declared.
        StoreError: when the store cannot be used.
    """
    from dq import app

    status = app.dataset_status(app.open_project(Path(folder)), dataset, interval, now)
    if not status.complete:
        whom = "" if status.waits_for == dataset else f"{status.waits_for}: "
        _log.info("%s is not there: %s; %s%s", dataset, status.sentence, whom, status.cause)
        return False
    _log.info("%s is there%s: %s", dataset, ", but wrong" if status.wrong else "", status.sentence)
    return accept_wrong or not status.wrong
