"""Plan: which checks share a scan. Pure, and no SQL yet."""

from __future__ import annotations

import re

from attrs import frozen

from dq.model.check import Check, Suite
from dq.model.reconciliation import Reconciliation

STAGES = "stages"
"""The id of the one scan of a reconciliation."""


@frozen
class Scan:
    """The checks that one table, partition and group answer together: one Airflow task at most.

    Attributes:
        id: unique in the suite; made of letters, digits and ``_``.
        columns: the group columns; empty for the whole partition.
        checks: in the order of declaration.
    """

    id: str
    columns: tuple[str, ...]
    checks: tuple[Check, ...]


def plan(suite: Suite) -> tuple[Scan, ...]:
    """Return the scans of ``suite``: its checks by group columns, in the order of declaration."""
    shared: dict[tuple[str, ...], list[Check]] = {}
    for check in suite.checks:
        by = suite.by_of(check)
        shared.setdefault(by.columns if by else (), []).append(check)
    scans: list[Scan] = []
    for columns, checks in shared.items():
        name = "scan" if not columns else "scan_by_" + re.sub(r"\W", "_", "_".join(columns), flags=re.ASCII)
        taken = [scan.id for scan in scans]
        scans.append(Scan(name if name not in taken else f"{name}_{len(scans)}", columns, tuple(checks)))
    return tuple(scans)


def scan_ids(declared: Suite | Reconciliation) -> tuple[str, ...]:
    """Return the ids of the scans that answer ``declared``; a reconciliation has one, which counts all its stages."""
    if isinstance(declared, Reconciliation):
        return (STAGES,)
    return tuple(scan.id for scan in plan(declared))
