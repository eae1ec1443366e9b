"""Backtesting: what thresholds would have said of the numbers that are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dq.app.recording import find_check, find_suite
from dq.app.session import transaction
from dq.checks.backtest import Backtest, backtest, with_thresholds
from dq.model.errors import UsageError
from dq.project import Project
from dq.store import measures


def backtests(
    project: Project,
    name: str,
    check: str | None = None,
    thresholds: Sequence[str] = (),
    since: datetime | None = None,
) -> tuple[Backtest, ...]:
    """Return what would have come of the stored numbers of a suite, or of one check of it.

    Args:
        thresholds: others than those declared, as they are written; see ``dq.checks.backtest.with_thresholds``.
        since: only partitions from that time on.

    Raises:
        UsageError: when there is no such suite or check, or a threshold is refused.
        StoreError: when the store cannot be used.
    """
    suite = find_suite(project, name)
    if thresholds and check is None:
        raise UsageError("a threshold is one check's; name the check")
    wanted = suite.checks if check is None else (find_check(project, name, check)[1],)
    tried = [with_thresholds(one, thresholds) for one in wanted]
    # Before the first run under a new name, the numbers still stand under the former one.
    names = {name: one.name for one in tried for name in (one.was, one.name) if name is not None}
    with transaction(project) as connection:
        kept = measures.kept(connection, project.environment, suite.name, names)
    own = {one.name: [k for k in kept if names[k.check] == one.name] for one in tried}
    return tuple(backtest(one, own[one.name], since, suite.by_of(one)) for one in tried)
