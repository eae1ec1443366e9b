"""A whole suite as one operator, whose verdicts listeners and lineage see as those of Airflow's own SQL checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowOptionalProviderFeatureException,
    AirflowSkipException,
)
from airflow.providers.common.sql.operators.sql import BaseSQLOperator, SQLCheckResult

from dq.airflow import tasks as work
from dq.airflow.assets import outlets_of, publish
from dq.airflow.groups import OnBlock
from dq.model.check import Suite
from dq.model.errors import UsageError
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity

_NOT_TAKEN = ("conn_id", "database", "hook_params", "sla")


class DqCheckOperator(BaseSQLOperator):
    """Measure a suite, close its run, and stop what follows when it is not good: all in one task.

    It takes no connection of Airflow: the datasources are those of ``dq.toml``. ``check_results`` holds a
    ``SQLCheckResult`` of common-sql for each check that was judged, before anything is raised. Of a task that did not
    start because the stage before it failed, dq knows nothing; :func:`dq.airflow.suite_group` records that, too.

    Args:
        suite: the name of a suite or reconciliation; a template.
        stop_at: the severity at which the next stage does not start.
        on_block: what happens then: this task fails (``fail``), is skipped and with it the next stage (``skip``), or
            ends well with a warning in the log (``continue``). It fails whenever a check at ``stop_at`` or above could
            not be measured.
        outlets: as for :func:`dq.airflow.suite_group`; in ``partial()`` a list.
        date: as for :func:`dq.airflow.suite_group`.
        project: as for :func:`dq.airflow.suite_group`.
        kwargs: of every operator, e.g. ``task_id=``, ``retries=``, ``pool=``.

    Raises:
        UsageError: at parse, when an argument cannot mean anything.
    """

    template_fields: Sequence[str] = ("suite", "date")
    ui_color = "#e8f3ec"

    def __init__(
        self,
        *,
        suite: str,
        stop_at: str | Severity = "error",
        on_block: OnBlock = "fail",
        date: str | None = None,
        project: str | Path | None = None,
        **kwargs: Any,
    ) -> None:
        if on_block not in get_args(OnBlock):
            raise UsageError(f"on_block={on_block!r} is not one of {', '.join(get_args(OnBlock))}")
        # One that is mapped gets all of Airflow's arguments, most of them as None.
        if refused := sorted(name for name in _NOT_TAKEN if kwargs.get(name)):
            raise UsageError(f"DqCheckOperator does not take {', '.join(refused)}; dq.toml names its datasources")
        # Not a parameter with a default of ours: partial() would take that for a list of Airflow.
        self._updated = outlets_of(suite, kwargs.pop("outlets", ()))
        if self._updated is not None:
            kwargs["outlets"] = [self._updated.alias]
        super().__init__(**kwargs)
        self.suite = suite
        self.stop_at = str(Severity.of(stop_at))
        self.on_block = on_block
        self.date = date
        self.project = None if project is None else str(project)

    def execute(self, context: Any) -> dict[str, Any]:
        """Return the id of the run, and outcome and severity by check.

        Raises:
            AirflowFailException: when a check could not be measured, or ``on_block`` is ``fail`` and it is not good.
            AirflowSkipException: when it is not good and ``on_block`` is ``skip``.
        """
        own = {**context, "suite": self.suite, "date": self.date, "project": self.project}
        stop_at = Severity.of(self.stop_at)
        with work.one_sentence():
            declared = work.where(own)[0].find(self.suite)
        try:
            run = work.run_at_once(own)
        finally:
            self.check_results = []
        self.check_results = list(check_results(declared, run, stop_at, raises=self.on_block != "continue"))
        what = f"{self.suite} {run.interval}"
        work.refuse_unmeasured(what, run.results, stop_at)
        if not any(result.at_or_above(stop_at) for result in run.results):
            publish(context, self._updated, run)
        else:
            blocked = f"{what} is not good at {stop_at} or above"
            if self.on_block == "fail":
                raise AirflowFailException(blocked)
            if self.on_block == "skip":
                raise AirflowSkipException(f"{blocked}; the next stage is skipped")
            self.log.warning("%s; the next stage runs all the same", blocked)
        return {"run": run.id, "results": work.verdicts(run.results)}

    def get_openlineage_facets_on_start(self) -> None:
        """Return nothing: there is no connection of Airflow to ask."""

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  # as its base has it
        """Return the verdicts as OpenLineage's tests; None: it is not installed."""
        try:
            from airflow.providers.openlineage.extractors import OperatorLineage

            return self._attach_check_facets(OperatorLineage())
        except (ImportError, AirflowOptionalProviderFeatureException):
            return None


def check_results(
    declared: Suite | Reconciliation, run: Run, stop_at: Severity, *, raises: bool
) -> Iterator[SQLCheckResult]:
    """Yield the verdicts as common-sql has them, one for each check that was judged.

    Args:
        declared: what was checked.
        run: what was found.
        stop_at: what is found there or above is an ``error``; other severities but ``info`` are a ``warn``.
        raises: whether an error raises; if not, it is a ``warn`` as well.
    """
    checks = {check.name: check for check in getattr(declared, "checks", ())}
    for result in run.summaries:
        if result.outcome is Outcome.SKIP:
            continue
        check = checks.get(result.check)
        judged = check if check is not None else declared
        assert not isinstance(judged, Suite)  # noqa: S101  # a suite has checks
        kind = getattr(check, "kind", None)
        yield SQLCheckResult(
            name=result.check,
            check_type=type(kind).__name__ if kind is not None else "Reconciliation",
            success=result.severity is None,
            severity=_severity(result.severity or judged.top, stop_at, raises=raises),
            column=getattr(kind, "column", None),
            table=declared.table.name if isinstance(declared, Suite) else None,
            expected=result.threshold,
            actual=None if result.observed is None else str(result.observed),
            content=None if kind is None else str(kind),
            description=getattr(check, "description", None) or result.sentence,
            params=_params(result, run),
        )


def _severity(severity: Severity, stop_at: Severity, *, raises: bool) -> Literal["error", "warn", "info"]:
    if severity >= stop_at and raises:
        return "error"
    return "info" if severity is Severity.INFO else "warn"


def _params(result: Result, run: Run) -> dict[str, Any]:
    return {
        "suite": run.suite,
        "run": run.id,
        "partition": str(run.interval),
        "outcome": str(result.outcome),
        "severity": None if result.severity is None else str(result.severity),
        "rows": result.rows,
        "violations": result.violations,
        "sentence": result.sentence,
    }
