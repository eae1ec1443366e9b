"""What a run found: one Result per check, and one per org that is not well."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from attrs import field, frozen

from dq.model.failing import FailingRows
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity


class Exit(enum.IntEnum):
    """The exit codes of every ``dq`` command.

    Where several hold: USAGE, then UNMEASURED, then FAILED, then UNDELIVERED.
    """

    GOOD = 0
    FAILED = 1
    USAGE = 2
    UNMEASURED = 3
    UNDELIVERED = 4


@frozen(kw_only=True)
class Result:
    """What came of one check: its summary (``group`` None), or one org of it.

    Attributes:
        check: the name of the check, or of the stage of a reconciliation.
        group: the org; None for the summary.
        outcome: pass, fail, unmeasured, no_data or skip.
        severity: the worst rung broken; None where nothing is wrong.
        rows: rows that were looked at (a reconciliation: the baseline count).
        violations: rows that broke the predicate (a reconciliation: the discrepancy).
        unknown: rows for which the predicate was NULL.
        observed: what was judged: a number, a duration in seconds, a share as a fraction of 1, a time as ISO text.
        threshold: the rung that was broken, else the mildest, for people.
        sentence: what was found, for people. Never holds a secret or a row's data beyond counts.
        orgs: how many orgs were measured (summary of a grouped check).
        orgs_bad: how many of them are not well.
        partition: set where one run compares several partitions.
        measured: what later runs of the check are held against, as a number; times are seconds since 1970.
        detail: more of what was found, as JSON values; never a row's data.
        failing: some of the rows that broke it, masked; never told in a chat.
        record: what later runs are held against, where nothing was recorded for the check yet, as JSON values.
        every_org: the Results of all orgs, of a check whose later runs are held against them (summary only).
        at: when it was recorded, which tells one measurement of a run from a repeated one; None: it was not.
    """

    check: str
    outcome: Outcome
    group: Group | None = None
    severity: Severity | None = None
    rows: int | None = None
    violations: int | None = None
    unknown: int | None = None
    observed: int | float | Decimal | str | None = None
    threshold: str | None = None
    sentence: str = ""
    orgs: int | None = None
    orgs_bad: int | None = None
    partition: Interval | None = None
    measured: int | Decimal | None = None
    detail: Mapping[str, Any] | None = None
    failing: FailingRows | None = None
    record: Any = None
    every_org: tuple[Result, ...] = field(default=(), repr=False)
    at: datetime | None = field(default=None, eq=False)

    def at_or_above(self, severity: Severity) -> bool:
        """Return whether it is that bad or worse."""
        return self.severity is not None and self.severity >= severity

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON form of a result."""
        observed = self.observed
        if isinstance(observed, Decimal):
            observed = int(observed) if observed == observed.to_integral_value() else float(observed)
        document: dict[str, Any] = {
            "check": self.check,
            "group": None if self.group is None else dict(zip(self.group.columns, self.group.values, strict=True)),
            "outcome": str(self.outcome),
            "severity": None if self.severity is None else str(self.severity),
            "rows": self.rows,
            "violations": self.violations,
            "unknown": self.unknown,
            "observed": observed,
            "threshold": self.threshold,
            "sentence": self.sentence,
        }
        if self.orgs is not None:
            document |= {"orgs": self.orgs, "orgs_bad": self.orgs_bad}
        if self.detail is not None:
            document["detail"] = dict(self.detail)
        if self.failing is not None:
            document["failing"] = self.failing.to_json()
        if self.partition is not None:
            document["partition"] = self.partition.to_json()
        return document


def exit_code(results: Iterable[Result], stop_at: Severity) -> Exit:
    """Return the exit code that ``results`` deserve; a check that could not run outranks one that failed."""
    code = Exit.GOOD
    for result in results:
        if result.outcome is Outcome.UNMEASURED:
            return Exit.UNMEASURED
        if result.at_or_above(stop_at):
            code = Exit.FAILED
    return code


RunKind = Literal["suite", "reconciliation", "look_back"]
"""``look_back``: a reconciliation of many partitions at once, day by day; it is no partition, and nobody is told."""


@frozen(kw_only=True)
class Run:
    """One measurement of a suite or reconciliation for one interval.

    Attributes:
        id: unique in the store; the same for the same environment, name, interval and origin.
        environment: the name in ``dq.toml``, e.g. ``prod``.
        suite: the name of the suite or reconciliation.
        kind: what it measured.
        interval: the partition; half-open, UTC.
        origin: who started it, e.g. ``cli`` or an Airflow run; a repeated start with the same origin is the same run.
        version: raised by every scan that recorded results.
        closed_version: the version that was folded into incidents; None: never closed.
        started_at: when it was first seen.
        results: what was found, summaries first.
    """

    id: str
    environment: str
    suite: str
    kind: RunKind
    interval: Interval
    origin: str
    started_at: datetime
    version: int = 0
    closed_version: int | None = None
    results: tuple[Result, ...] = ()

    @property
    def summaries(self) -> tuple[Result, ...]:
        """The results that stand for whole checks."""
        return tuple(result for result in self.results if result.group is None)

    def exit_code(self, stop_at: Severity = Severity.ERROR) -> Exit:
        """Return the exit code that the results deserve."""
        return exit_code(self.results, stop_at)

    @property
    def ok(self) -> bool:
        """Whether every check was measured and none failed at error or above."""
        return self.exit_code() is Exit.GOOD

    @property
    def worst(self) -> Severity | None:
        """The worst severity among the results."""
        return max((r.severity for r in self.results if r.severity is not None), default=None)

    @property
    def score(self) -> Fraction | None:
        """The share of the checks that passed, exactly; None: none was judged.

        Not judged are those that were skipped, and those without data where that is fine (``on_empty="ok"``).
        """
        judged = [
            r for r in self.summaries
            if r.outcome is not Outcome.SKIP and not (r.outcome is Outcome.NO_DATA and r.severity is None)
        ]  # fmt: skip
        return Fraction(sum(r.outcome is Outcome.PASS for r in judged), len(judged)) if judged else None

    def to_json(self, stop_at: Severity = Severity.ERROR) -> dict[str, Any]:
        """Return the documented JSON form: run, environment, suite, interval, exit_code, results."""
        return {
            "run": self.id,
            "environment": self.environment,
            "suite": self.suite,
            "kind": self.kind,
            "interval": self.interval.to_json(),
            "exit_code": int(self.exit_code(stop_at)),
            "results": [result.to_json() for result in self.results],
        }

    def __str__(self) -> str:
        lines = [f"{self.suite} {self.interval}: " + ("good" if self.ok else f"not good ({self.worst})")]
        lines += [f"  {r.outcome:<10} {r.check}: {r.sentence}" for r in self.summaries if r.outcome is not Outcome.PASS]
        return "\n".join(lines)


def dumps(document: dict[str, Any]) -> str:
    """Return ``document`` as JSON text, keys in the documented order."""
    return json.dumps(document, ensure_ascii=False, indent=2)
