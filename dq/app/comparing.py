"""Comparing keys: which records a stage of a reconciliation lacks, on demand. Nothing is stored, nobody is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dq.app.refusing import refuse_bad_sql
from dq.app.session import context_of, datasources, find_reconciliation, judgement_time
from dq.keys import compare_stage
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.model.keys import KeyComparison
from dq.model.reconciliation import Reconciliation
from dq.plugins import suggest
from dq.project import Project


def compare_keys(
    project: Project,
    declared: str | Reconciliation,
    interval: Interval,
    *,
    org: str | None = None,
    stages: Sequence[str] = (),
    distinct: bool = False,
    limit: int | None = None,
    now: datetime | None = None,
) -> tuple[KeyComparison, ...]:
    """Return the keys of which stages of a reconciliation have other records than its baseline, stage by stage.

    Args:
        project: where its datasources are.
        declared: the name, or the declaration itself.
        interval: the partition; several days are compared as one.
        org: the only org that is looked at, as the ledger shows it; None: all.
        stages: the names of the stages; none: all that are held against the baseline and have a key.
        distinct: records that are equal in key and values count once.
        limit: how many keys are listed of each kind; None: all. They are counted anyway.
        now: the time of the judgement.

    Raises:
        UsageError: when there is no such reconciliation, stage or org, a stage has no key, a column does not exist, or
            its SQL is refused.
        MeasureError: when a database cannot be asked.
    """
    declared = find_reconciliation(project, declared)
    refuse_bad_sql(project, declared, interval)
    later = {stage.name: stage for stage in declared.stages[1:]}
    for name in stages:
        if name not in later:
            raise UsageError(
                f"reconciliation {declared.name!r}: no stage {name!r} is held against {declared.baseline.name};"
                f" {suggest(name, tuple(later))}"
            )
    with_key = [stage for stage in declared.compared if declared.key_of(stage)] or declared.compared[:1]
    wanted = [later[name] for name in dict.fromkeys(stages)] or with_key
    context = context_of(project, interval, now or judgement_time())
    with datasources(project) as connect:
        return tuple(
            compare_stage(
                declared, stage, connect, context, project.environment, org=org, distinct=distinct, limit=limit
            )
            for stage in wanted
        )
