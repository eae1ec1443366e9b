"""A part of a ledger: the rows of some orgs, and nothing that the other orgs are in.

    of the whole ledger              of a part
    -------------------------------  --------------------------------------------------------------------
    rows                             those of its orgs
    the rest of very many rows       is of the orgs that nobody else owns
    results of orgs                  those of its orgs
    a stage that has no rows at all  that it has none, not how many there are elsewhere
    a stage that was not counted     that it was not; why may hold anything that a database says
    any other result of a stage      made anew from the rows
    totals                           ``sum_of=`` added up anew; what a query says of all orgs is left out
    known losses                     added up anew; the sample of one may be of another org, so it is left out
    coarser levels                   left out: their sums are of other orgs, too
    older partitions                 what is still wrong of its orgs there

``render`` makes subject, waterfall, notes and sums from these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count, KnownLoss, Ledger, LedgerRow, Rest
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result
from dq.model.severity import Outcome, Severity

_NAMED = 3  # orgs that the line on an older partition names


Part = str | Group
"""Whose part it is: an owner's, by name, or that of one org."""

StillBad = tuple[Interval, Group, str]
"""An older partition, an org of which something is still wrong there, and what, in words on that org alone."""


def divided(
    ledger: Ledger,
    declared: Reconciliation,
    names: Mapping[Part, str],
    parts_of: Callable[[Group], Iterable[Part]],
    older: Sequence[StillBad] = (),
    rest_of: Part | None = None,
) -> dict[Part, Ledger]:
    """Return parts of ``ledger``; the severity of one is None where all of it is well.

    Args:
        ledger: the whole.
        declared: what it is the ledger of.
        names: the parts that are wanted, with what each is called in titles, e.g. ``org 14``.
        parts_of: which of these an org is in.
        older: what is still wrong in older partitions, newest first.
        rest_of: the part in which the orgs are that have no row of their own in ``ledger``.
    """
    rows: dict[Part, list[LedgerRow]] = {part: [] for part in names}
    results: dict[Part, list[Result]] = {part: [] for part in names}
    still_bad: dict[Part, list[StillBad]] = {part: [] for part in names}
    for row in ledger.rows:
        for part in parts_of(row.org):
            rows[part].append(row)
    for result in ledger.own:
        for part in () if result.group is None else parts_of(result.group):
            results[part].append(result)
    for one in older:
        for part in parts_of(one[1]):
            still_bad[part].append(one)
    return {
        part: _part(
            ledger, declared, name, rows[part], results[part], still_bad[part], ledger.rest if part == rest_of else None
        )
        for part, name in names.items()
    }


def _part(
    ledger: Ledger,
    declared: Reconciliation,
    name: str,
    rows: Sequence[LedgerRow],
    own: Sequence[Result],
    older: Sequence[StillBad],
    rest: Rest | None,
) -> Ledger:
    judged = {stage.name for stage in declared.compared}
    every: list[LedgerRow | Rest] = [*rows, *([] if rest is None else [rest])]
    size = len(rows) + (0 if rest is None else rest.rows)
    stages = [_of_stage(r, size, own) for r in ledger.own if r.group is None and r.check in judged]
    results = (*stages, *own)
    # Named one by one: a new attribute of Ledger must not come along unseen.
    return Ledger(
        reconciliation=ledger.reconciliation,
        pipeline=f"{ledger.pipeline} ({name})",
        environment=ledger.environment,
        interval=ledger.interval,
        columns=ledger.columns,
        rows=tuple(rows),
        totals=tuple(_totals(ledger, declared, every)),
        results=results,
        severity=max((r.severity for r in results if r.severity is not None), default=None),
        still_bad=tuple(_older(older)),
        losses=tuple(_losses(ledger, every)),
        rest=rest,
    )


def _of_stage(summary: Result, size: int, own: Sequence[Result]) -> Result:
    """Return what is to be said of a stage as a whole; ``own``: what was found of the orgs of the part."""
    if summary.outcome is Outcome.UNMEASURED:
        return _said(summary, "could not be measured; the report of all orgs says why")
    if summary.outcome is Outcome.NO_DATA and not summary.orgs:
        return _said(summary, "there are no rows of any org at this stage or at the first")
    found = [result for result in own if result.check == summary.check]
    bad = [result for result in found if result.severity is not None]
    count = size + sum(result.outcome is Outcome.NO_DATA for result in found)
    worst = max(bad, key=_severity, default=None)
    differ = f"{len(bad)} of {count} {'differs' if len(bad) == 1 else 'differ'} by more than is allowed"
    well = f"all {count} agree, or differ by no more than is allowed"
    return Result(
        check=summary.check,
        outcome=Outcome.PASS if worst is None else worst.outcome,
        severity=None if worst is None else worst.severity,
        sentence=differ if bad else well if count else "there is nothing to compare",
        orgs=count,
        orgs_bad=len(bad),
    )


def _said(summary: Result, sentence: str) -> Result:
    return Result(
        check=summary.check, outcome=summary.outcome, severity=summary.severity, sentence=sentence, orgs=summary.orgs
    )


def _severity(result: Result) -> Severity:
    return result.severity or Severity.INFO


def _totals(
    ledger: Ledger, declared: Reconciliation, rows: Sequence[LedgerRow | Rest]
) -> Iterator[tuple[str, Count | None, str]]:
    summed = {total.name: total.sum_of for total in declared.totals}
    for name, value, _ in ledger.totals:
        stage = summed.get(name)
        if stage is not None:
            counts = [count for row in rows if (count := row.counts.get(stage)) is not None]
            yield name, None if value is None else sum(counts), ""


def _losses(ledger: Ledger, rows: Sequence[LedgerRow | Rest]) -> Iterator[KnownLoss]:
    for known in ledger.losses:
        count = sum(row.explained.get(known.name, 0) for row in rows)
        if count:
            yield KnownLoss(name=known.name, count=count)


def _older(older: Sequence[StillBad]) -> Iterator[tuple[Interval, str]]:
    found: dict[Interval, dict[Group, str]] = {}
    for interval, org, sentence in older:
        found.setdefault(interval, {}).setdefault(org, sentence)
    for interval, said in found.items():
        named = [f"org {org.label}, {sentence}" for org, sentence in list(said.items())[:_NAMED]]
        more = [f"and {len(said) - _NAMED} more"] if len(said) > _NAMED else []
        yield interval, "; ".join((*named, *more))
