"""Plan: which checks share a scan. Pure, and no SQL yet."""

from __future__ import annotations

import re

from attrs import frozen

from dq.model.check import Check, Suite
from dq.model.reconciliation import Reconciliation

STAGES = "stages"
"""The id of the one scan of a reconciliation."""

_LONGEST = 100
"""Characters of the name of a check that go into an id."""


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


def check_scans(suite: Suite) -> tuple[Scan, ...]:
    """Return a scan of its own for each check of ``suite``: what one table answers is then read once per check."""
    scans: dict[str, Scan] = {}
    for check in suite.checks:
        by = suite.by_of(check)
        name = "check_" + re.sub(r"\W", "_", check.name, flags=re.ASCII)[:_LONGEST]
        name = name if name not in scans else f"{name}_{len(scans)}"
        scans[name] = Scan(name, by.columns if by else (), (check,))
    return tuple(scans.values())


def find_scan(suite: Suite, scan_id: str) -> Scan | None:
    """Return the scan that has this id, be it shared or of one check; None: there is none."""
    return next((scan for scan in (*plan(suite), *check_scans(suite)) if scan.id == scan_id), None)


def scan_ids(declared: Suite | Reconciliation) -> tuple[str, ...]:
    """Return the ids of the scans that answer ``declared``; a reconciliation has one, which counts all its stages."""
    if isinstance(declared, Reconciliation):
        return (STAGES,)
    return tuple(scan.id for scan in plan(declared))
