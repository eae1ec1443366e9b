"""Reconcile: counts per org at stages in different databases become one ledger, and the ledger is judged.

Per org and compared stage: discrepancy = baseline - stage - explained, and its share of the baseline.

    org at the baseline   org at the stage   discrepancy              share              note
    --------------------  -----------------  -----------------------  -----------------  ---------------------
    n > 0                 m                  n - m - explained        of n
    n > 0                 absent             n - explained            of n               absent at the stage
    0 or absent           m > 0              -m - explained           none ("n/a")       baseline is zero
    0 or absent           0 or absent        0 - explained            0 if that is 0

Sums of floating-point numbers that agree to eleven digits are equal, see :func:`dq.hops.settled`.

Any discrepancy exceeds a share of a baseline of zero. A stage is judged as a whole first: could not be counted ->
unmeasured; no rows at all -> no_data; the baseline could not be counted -> every stage is unmeasured.

What is allowed of an org at a stage is what ``orgs=`` says of the org, else what the stage says, else what the
reconciliation says. Of a discrepancy that is not 0:

    records at baseline and stage   confidence=   broken where
    ------------------------------  ------------  ------------------------------------------------------------------
    both fewer than By(min_rows=)   -             never: it is not judged, and what is open of it stays open
    else, missing and counted       given         each part is exceeded, a share by Wilson's lower bound of the share
                                                  of records that are missing
    else                            -             each part is exceeded: what is too many is no share of the baseline
                                                  that was drawn, and a sum has no number of records

What is broken so and accepted by somebody is judged as well: ``dq.acceptance``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from fractions import Fraction

from attrs import evolve, field, frozen

from dq.acceptance import Accepted, words
from dq.checks.confidence import lower_bound
from dq.checks.judge import name_worst
from dq.context import Context, expected_groups
from dq.datasource import Datasource
from dq.hops import Loss, gaps, settled
from dq.masking import Masks, masked, told_error
from dq.model.acceptance import Acceptance
from dq.model.errors import DqError, MeasureError
from dq.model.group import By, Group
from dq.model.interval import Interval
from dq.model.ledger import Column, Count, KnownLoss, Ledger, LedgerRow
from dq.model.reconciliation import ALL, Allowance, Explained, Ladder, Reconciliation, Stage, Total
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.model.table import Table
from dq.orgs import names_of_orgs
from dq.sql.names import date_of

STAGES_AT_ONCE = 8
"""How many stages are counted side by side; each lies in a database of its own as a rule."""

_COUNTS = re.compile(r"\s*count\s*\(", re.IGNORECASE)
"""What counts records, of which a share can be drawn."""

_Org = tuple[str | None, ...]
_Key = tuple[Interval, _Org]
_Connect = Callable[[str], Datasource]


@frozen
class _Counted:
    counts: dict[_Key, Count] = field(factory=dict)
    null_sums: frozenset[_Key] = frozenset()
    sample: str = ""
    error: str | None = None
    inexact: bool = False


def reconcile(
    declared: Reconciliation,
    connect: _Connect,
    context: Context,
    environment: str,
    still_bad: tuple[tuple[Interval, str], ...] = (),
    keep: Collection[Group] = (),
    acceptances: Collection[Acceptance] = (),
) -> Ledger:
    """Return the judged ledger of ``declared`` for the interval of ``context``.

    An interval of several days is compared day by day, with one grouped statement per stage.

    Args:
        declared: the reconciliation.
        connect: gives the datasource of a name.
        context: the interval, the time and the values for Jinja.
        environment: e.g. ``prod``.
        still_bad: older partitions that are known to be wrong still, for the report.
        keep: orgs of which something is open: they have a Result also where they are too small to be judged.
        acceptances: what is accepted of this reconciliation; the orgs of those that hold have a Result where they are
            well, too.
    """
    accepted = Accepted.of(acceptances, context.now)
    by_day = context.by_day
    with ThreadPoolExecutor(STAGES_AT_ONCE) as pool:
        counting = [
            pool.submit(_count, declared, stage, sample, connect, context) for stage, sample in declared.counted
        ]
        at_levels = {
            stage.name: pool.submit(_count, here, stage, None, connect, context)
            for here, stage in declared.counted_at_levels
        }
        totalling = [
            pool.submit(_total, total, connect, context) for total in declared.totals if total.query is not None
        ]
        counted = [future.result() for future in counting]
        queried = iter([future.result() for future in totalling])
        of_levels = {name: future.result() for name, future in at_levels.items()}
    stages = dict(zip((s.name for s in declared.stages), counted, strict=False))
    losses = dict(zip((k.name for k in declared.explained if k.counted), counted[len(declared.stages) :], strict=True))
    rows = tuple(_rows(declared, stages, losses, accepted))
    lost = {name: KnownLoss(name=name, count=_sum_of(c)[0] or 0, sample=c.sample) for name, c in losses.items()}
    expected = _expected(declared, connect, context)
    results = (
        *_judge(declared, stages, losses, rows, expected, None if by_day else context.interval, keep, accepted),
        *_judge_losses(declared, stages, losses, lost),
    )
    levels = tuple(_levels(declared, stages | of_levels, losses, expected, context, environment, accepted))
    results = (*results, *(result for level in levels for result in level.results))
    totals = tuple(
        (total.name, *(_sum_of(stages[total.sum_of]) if total.sum_of is not None else next(queried)))
        for total in declared.totals
    )
    return Ledger(
        reconciliation=declared.name,
        pipeline=declared.title,
        environment=environment,
        interval=context.interval,
        columns=tuple(_columns(declared)),
        rows=tuple(sorted(rows, key=_worst_first)),
        totals=totals,
        results=results,
        severity=max((r.severity for r in results if r.severity is not None), default=None),
        still_bad=still_bad,
        losses=tuple(known for known in lost.values() if known.count),
        levels=levels,
    )


def _levels(
    declared: Reconciliation,
    stages: Mapping[str, _Counted],
    losses: Mapping[str, _Counted],
    expected: tuple[Group, ...] | str,
    context: Context,
    environment: str,
    accepted: Accepted,
) -> Iterator[Ledger]:
    """Yield what the counts come to at each coarser level."""
    columns = dict.fromkeys(stages, declared.by.columns)
    columns |= {stage.name: level.by for level in declared.levels for stage in level.stages}
    for level in declared.levels:
        here = declared.at(level)
        added = {s.name: _added_up(stages[s.name], columns[s.name], level.by) for s in here.stages}
        lost = {name: _added_up(counted, declared.by.columns, level.by) for name, counted in losses.items()}
        wanted = expected
        if not isinstance(expected, str):
            parts = dict.fromkeys(_part(org.values, org.columns, level.by) for org in expected)
            wanted = tuple(here.by.group(org) for org in parts)
        names = {stage.name: level.check(stage) for stage in here.stages}
        known = accepted.at(names)
        rows = tuple(_rows(here, added, lost, known))
        single = None if context.by_day else context.interval
        judged = _judge(here, added, lost, rows, wanted, single, (), known)
        results = [evolve(result, check=names[result.check]) for result in judged]
        yield Ledger(
            reconciliation=declared.name,
            pipeline=f"{declared.title} {level.title}",
            environment=environment,
            interval=context.interval,
            columns=tuple(_columns(here)),
            rows=tuple(sorted(rows, key=_worst_first)),
            totals=(),
            results=tuple(results),
            severity=max((r.severity for r in results if r.severity is not None), default=None),
        )


def _part(org: _Org, columns: Sequence[str], wanted: Sequence[str]) -> _Org:
    """Return the values that an org has of some of its columns; of none: that all are meant."""
    return tuple(org[columns.index(name)] for name in wanted) or (ALL,)


def _added_up(counted: _Counted, columns: Sequence[str], wanted: Sequence[str]) -> _Counted:
    """Return the counts of the orgs that have the same values in the wanted columns."""
    if tuple(columns) == tuple(wanted):
        return counted
    counts: dict[_Key, Count] = {}
    for (interval, org), count in counted.counts.items():
        key = (interval, _part(org, columns, wanted))
        counts[key] = counts.get(key, 0) + count
    return _Counted(counts, error=counted.error, inexact=counted.inexact)


def _count(declared: Reconciliation, stage: Stage, sample: str | None, connect: _Connect, context: Context) -> _Counted:
    by, by_day = declared.by_of(stage), context.by_day
    columns = by.columns if stage.org is None else ()
    samples: list[tuple[Count, str]] = []
    try:
        datasource = connect(stage.table.datasource)
        compiler = context.compiler(datasource.dialect, stage.table, columns)
        rows = datasource.fetch(compiler.count_by(stage.measure, stage.where, by_day=by_day, sample=sample))
        counts: dict[_Key, Count] = {}
        null_sums: set[_Key] = set()
        called = names_of_orgs(declared, stage, datasource, compiler)
        for row in rows:
            org = called(row[: len(columns)] if stage.org is None else (stage.org,))
            day = Interval.of_day(date_of(row[len(columns)])) if by_day else context.interval
            key = (day, org)
            if key in counts and not stage.adds_up:
                name = Group(by.columns, org).label
                raise MeasureError(f"several orgs are called {name}, and their {stage.measure} cannot be added up")
            if row[-1] is None:
                # A total over no rows gives one row with NULL; NULL for an org that has rows is worth a note.
                if columns or by_day:
                    null_sums.add(key)
                    counts.setdefault(key, 0)
                continue
            if not columns and not by_day and _number(row[-1]) == 0:
                continue
            counts[key] = counts.get(key, 0) + _number(row[-1])
            if sample is not None and row[-2] is not None:
                how = Masks.of(stage.table.tags, context.masking).how(sample)
                samples.append((counts[key], told_error(str(masked(row[-2], how)))))
    except DqError as error:
        return _Counted(error=str(error))
    except ValueError as error:
        return _Counted(error=f"stage {stage.name!r}: {error}")
    inexact = any(isinstance(row[-1], float) for row in rows)
    return _Counted(counts, frozenset(null_sums), max(samples, default=(0, ""))[1], inexact=inexact)


def _number(value: object) -> Count:
    try:
        exact = Decimal(str(value))
    except ArithmeticError:
        raise MeasureError(f"the count is {value!r}, which is not a number") from None
    if not exact.is_finite():
        raise MeasureError(f"the count is {value}, which is not a finite number")
    return int(exact) if exact == exact.to_integral_value() else exact


def _total(total: Total, connect: _Connect, context: Context) -> tuple[Count | None, str]:
    assert total.query is not None  # noqa: S101  # checked when it was declared
    assert total.datasource is not None  # noqa: S101  # as above
    if context.by_day and re.search(r"\{\{[^}]*\b(ds|ts)", total.query):
        return None, "it is a number of one day"
    try:
        datasource = connect(total.datasource)
        rows = datasource.fetch(
            context.compiler(datasource.dialect, Table(total.datasource, "none")).total(total.query)
        )
        if len(rows) != 1 or len(rows[0]) != 1:
            return None, f"its query returns {len(rows)} rows instead of one number"
        return (None, "there is no value") if rows[0][0] is None else (_number(rows[0][0]), "")
    except DqError as error:
        return None, str(error)


def _sum_of(counted: _Counted) -> tuple[Count | None, str]:
    return (None, counted.error) if counted.error is not None else (sum(counted.counts.values()), "")


def _expected(declared: Reconciliation, connect: _Connect, context: Context) -> tuple[Group, ...] | str:
    by = declared.by_of(declared.baseline)
    expected = declared.by.expected if declared.by.expected is not None else by.expected
    if expected is None:
        return ()
    try:
        wanted = By(by.columns, expected)
        groups = expected_groups(wanted, declared.baseline.table, connect(declared.baseline.table.datasource), context)
        return tuple(declared.by.group(group.values) for group in groups)
    except DqError as error:
        return str(error)


def _rows(
    declared: Reconciliation, stages: Mapping[str, _Counted], losses: Mapping[str, _Counted], accepted: Accepted
) -> Iterator[LedgerRow]:
    allows, measured = _Allows.of(declared), tuple(_measured(declared, stages, losses))
    ways = {
        stage.name: [s for s in declared.way_to(stage) if stages[s.name].error is None] for stage in declared.compared
    }
    counted_losses = [k for k in declared.explained if all(c.error is None for _, c in _stands_on(k, stages, losses))]
    inexact = {name for name, counted in stages.items() if counted.inexact}
    for key in dict.fromkeys(key for counted in (*stages.values(), *losses.values()) for key in counted.counts):
        interval, values = key
        org = Group(declared.by.columns, values)
        counts = settled({name: counted.counts.get(key) for name, counted in stages.items()}, inexact)
        explained: dict[str, Count] = {}
        for known in counted_losses:
            if known.derived is not None:
                explained[known.name] = (counts[known.derived[0]] or 0) - (counts[known.derived[1]] or 0)
            else:
                explained[known.name] = losses[known.name].counts.get(key, 0)
        baseline = counts[declared.baseline.name] or 0
        discrepancy: dict[str, Count] = {}
        share: dict[str, Fraction | None] = {}
        severity: Severity | None = None
        spared: list[str] = []
        where: list[str] = []
        is_accepted = False
        for stage in measured:
            missing = (
                baseline
                - (counts[stage.name] or 0)
                - sum(explained[k.name] for k in declared.explained if _explains(k, stage))
            )
            discrepancy[stage.name] = missing
            share[stage.name] = (
                Fraction(missing) / Fraction(baseline) if baseline else Fraction(0) if not missing else None
            )
            there = counts[stage.name] or 0
            broken = allows.broken(stage, org, missing, baseline, there)
            if not stages[stage.name].counts:
                broken = None  # there is nothing to compare, which is told of the whole
            elif broken is not None and accepted.admits(stage.name, org, interval, missing, baseline) is not None:
                broken, is_accepted = None, True
            if broken is not None:
                severity = max(severity or broken[0], broken[0])
                where += _where(declared, stage, ways[stage.name], counts, explained)
            spared += allows.spares(stage, org, missing, baseline, there)
            if accepted.by_place and stages[stage.name].counts:
                spared += accepted.notes(stage.name, org, interval, missing, baseline, _at(declared, stage))
        notes = [
            f"absent at {stage.heading}"
            for stage in declared.stages
            if counts[stage.name] is None and not stages[stage.name].error
        ]
        notes += [f"sum is NULL at {stage.heading}" for stage in declared.stages if key in stages[stage.name].null_sums]
        if not baseline and any(discrepancy.values()):
            notes.append(f"{declared.baseline.heading} is zero")
        notes += dict.fromkeys((*where, *spared))
        notes += [note for name, note in declared.notes.items() if name == org.label]
        yield LedgerRow(
            interval=interval,
            org=org,
            counts=counts,
            explained=explained,
            discrepancy=discrepancy,
            share=share,
            severity=severity,
            notes=tuple(notes),
            accepted=is_accepted,
        )


def _at(declared: Reconciliation, stage: Stage) -> str:
    """Return the heading of a stage where there are several that are compared."""
    return stage.heading if len(declared.compared) > 1 else ""


def _where(
    declared: Reconciliation,
    stage: Stage,
    way: Sequence[Stage],
    counts: Mapping[str, Count | None],
    explained: Mapping[str, Count],
) -> Iterator[str]:
    """Yield at which hops of its way records are lost, where there are several."""
    if len(way) < 3:
        return
    headings = {one.name: one.heading for one in way}
    losses = [Loss(explained[k.name], k.derived) for k in declared.explained if _explains(k, stage)]
    for gap in gaps([(one.name, counts[one.name] or 0) for one in way], losses):
        what = "missing" if gap.missing > 0 else "too many"
        yield f"{_size(gap.missing)} {what} between {headings[gap.start]} and {headings[gap.stage]}"


def _explains(known: Explained, stage: Stage) -> bool:
    return not known.stages or stage.name in known.stages


def _stands_on(
    known: Explained, stages: Mapping[str, _Counted], losses: Mapping[str, _Counted]
) -> list[tuple[str, _Counted]]:
    """Return the counts, by name, that an explained loss is made of."""
    if known.derived is not None:
        return [(name, stages[name]) for name in known.derived]
    return [(known.name, losses[known.name])]


def _measured(
    declared: Reconciliation, stages: Mapping[str, _Counted], losses: Mapping[str, _Counted]
) -> Iterator[Stage]:
    """Yield the compared stages all of whose numbers are there."""
    for stage in declared.compared:
        if _why_unmeasured(declared, stage, stages, losses) is None:
            yield stage


def _why_unmeasured(
    declared: Reconciliation, stage: Stage, stages: Mapping[str, _Counted], losses: Mapping[str, _Counted]
) -> str | None:
    needed = [(declared.baseline.name, stages[declared.baseline.name]), (stage.name, stages[stage.name])]
    for known in declared.explained:
        if _explains(known, stage):
            needed += _stands_on(known, stages, losses)
    return next(
        (f"{name} could not be counted: {counted.error}" for name, counted in needed if counted.error is not None), None
    )


@frozen
class _Allows:
    """What is allowed of which org at which stage, worked out once, however many orgs there are.

    Attributes:
        declared: the reconciliation.
        stages: by the name of a stage.
        orgs: of orgs that have their own.
    """

    declared: Reconciliation
    stages: Mapping[str, Ladder]
    orgs: Mapping[Group, Ladder]

    @classmethod
    def of(cls, declared: Reconciliation) -> _Allows:
        stages = {stage.name: declared.ladder_of(stage) for stage in declared.compared}
        return cls(declared, stages, declared.ladders_of_orgs)

    def broken(
        self, stage: Stage, org: Group, missing: Count, baseline: Count, there: Count
    ) -> tuple[Severity, Allowance] | None:
        """Return the worst rung that is broken, as the table above says."""
        if not missing or self.is_small(baseline, there):
            return None
        sure = _surely(missing, baseline, self.declared.confidence, stage.measure)
        return self._worst(stage, org, missing, baseline, sure)

    def spares(self, stage: Stage, org: Group, missing: Count, baseline: Count, there: Count) -> Iterator[str]:
        """Yield why a discrepancy that is more than is allowed breaks nothing, or less."""
        counted = self._worst(stage, org, missing, baseline, None) if missing else None
        if counted is None:
            return
        if self.is_small(baseline, there):
            yield f"not judged: fewer than {self.declared.by.min_rows} records"
        elif counted != self.broken(stage, org, missing, baseline, there):
            yield f"more than {counted[1]} at {stage.heading} is not certain"

    def _worst(
        self, stage: Stage, org: Group, missing: Count, baseline: Count, sure: float | None
    ) -> tuple[Severity, Allowance] | None:
        ladder = self.orgs.get(org) or self.stages[stage.name]
        return next(((s, a) for s, a in reversed(ladder) if a.exceeded(missing, baseline, sure)), None)

    def is_small(self, baseline: Count, there: Count) -> bool:
        """Return whether an org has too few records to be judged."""
        return max(_size(baseline), _size(there)) < self.declared.by.min_rows


def _surely(missing: Count, baseline: Count, confidence: float | None, measure: str) -> float | None:
    """Return the share of the records that is surely missing; None: that cannot be said, or is not asked."""
    counted = isinstance(missing, int) and isinstance(baseline, int) and 0 < missing <= baseline
    if confidence is None or not counted or not _COUNTS.match(measure):
        return None
    return lower_bound(int(missing), int(baseline), confidence)


def _judge(
    declared: Reconciliation,
    stages: Mapping[str, _Counted],
    losses: Mapping[str, _Counted],
    rows: tuple[LedgerRow, ...],
    expected: tuple[Group, ...] | str,
    single: Interval | None,
    keep: Collection[Group],
    accepted: Accepted,
) -> Iterator[Result]:
    """Yield the summary of each compared stage, and a Result per org (and day) that is not well there."""
    for stage in declared.compared:
        why = _why_unmeasured(declared, stage, stages, losses)
        if why is None and isinstance(expected, str):
            why = f"who is expected could not be found out: {expected}"
        if why is not None or isinstance(expected, str):
            yield Result(
                check=stage.name,
                outcome=Outcome.UNMEASURED,
                severity=declared.error_severity,
                sentence=f"could not be measured: {why}",
            )
            continue
        for name in (declared.baseline.name, stage.name):
            if not stages[name].counts:
                heading = next(s.heading for s in declared.stages if s.name == name)
                total, _ = _sum_of(stages[declared.baseline.name])
                sentence = f"no rows at {heading}" + (
                    f", while {declared.baseline.heading} has {total}" if total else ""
                )
                yield Result(
                    check=stage.name,
                    outcome=Outcome.NO_DATA,
                    severity=declared.empty_severity,
                    rows=0,
                    sentence=sentence,
                    orgs=0,
                    orgs_bad=0,
                )
                break
        else:
            yield from _judge_stage(declared, stage, rows, expected, single, keep, accepted)


def _judge_losses(
    declared: Reconciliation,
    stages: Mapping[str, _Counted],
    losses: Mapping[str, _Counted],
    lost: Mapping[str, KnownLoss],
) -> Iterator[Result]:
    """Yield a Result of each known loss of which not any number of records may be lost, of all orgs together."""
    baseline, no_baseline = _sum_of(stages[declared.baseline.name])
    for known in declared.explained:
        if not known.is_judged:
            continue
        counted = _stands_on(known, stages, losses)
        of_share = any(allowed.share is not None for _, allowed in known.ladder)
        why = next((f"{name} could not be counted: {c.error}" for name, c in counted if c.error is not None), None)
        if why is None and of_share and baseline is None:
            why = f"{declared.baseline.name} could not be counted: {no_baseline}"
        if why is not None:
            outcome, severity = Outcome.UNMEASURED, known.ladder[-1][0]
            yield Result(check=known.name, outcome=outcome, severity=severity, sentence=f"could not be measured: {why}")
            continue
        first, *second = (_sum_of(c)[0] or 0 for _, c in counted)
        count = first - sum(second)
        whole = baseline or 0
        broken = next(((s, a) for s, a in reversed(known.ladder) if count and a.exceeded(count, whole)), None)
        sample = lost[known.name].sample if known.name in lost else ""
        more = f"; more than the {broken[1]} that {broken[0]} allows" if broken else ""
        example = f"; for example: {sample}" if count and sample else ""
        yield Result(
            check=known.name,
            outcome=Outcome.PASS if broken is None else Outcome.FAIL,
            severity=None if broken is None else broken[0],
            rows=int(whole),
            violations=int(_size(count)),
            observed=count,
            threshold=str((broken or known.ladder[0])[1]),
            sentence=f"{count} {'record is' if count == 1 else 'records are'} lost{more}{example}",
            detail={"sample": sample} if example else None,
        )


def _judge_stage(
    declared: Reconciliation,
    stage: Stage,
    rows: tuple[LedgerRow, ...],
    expected: tuple[Group, ...],
    single: Interval | None,
    keep: Collection[Group],
    accepted: Accepted,
) -> Iterator[Result]:
    bad: list[Result] = []
    small: list[Result] = []
    well: list[Result] = []
    few = 0
    allows = _Allows.of(declared)
    for row in rows:
        missing = row.discrepancy[stage.name]
        baseline, there = row.counts[declared.baseline.name] or 0, row.counts[stage.name] or 0
        broken = allows.broken(stage, row.org, missing, baseline, there)
        holds = accepted.by_place and accepted.holding(stage.name, row.org, row.interval)
        if holds and not allows.is_small(baseline, there):
            by = accepted.admits(stage.name, row.org, row.interval, missing, baseline)
            if broken is None or by is not None:
                well.append(_accepted(declared, stage, row, None if broken is None else by, single))
                continue
        if broken is None:
            few += bool(missing) and allows.is_small(baseline, there)
            if row.org in keep and allows.is_small(baseline, there):
                small.append(_too_small(declared, stage, row, max(_size(baseline), _size(there)), single))
            continue
        bad.append(
            Result(
                check=stage.name,
                group=row.org,
                outcome=Outcome.FAIL,
                severity=broken[0],
                rows=int(baseline),
                violations=int(_size(missing)),
                observed=missing,
                threshold=str(broken[1]),
                sentence=f"{_differs(declared, stage, row)}; more than the {broken[1]} that {broken[0]} allows",
                partition=None if single else row.interval,
            )
        )
    seen = {row.org.values for row in rows}
    bad += [
        Result(
            check=stage.name,
            group=org,
            outcome=Outcome.NO_DATA,
            severity=declared.empty_severity,
            rows=0,
            sentence="it is expected, but no stage has rows of it",
        )
        for org in expected
        if org.values not in seen and declared.empty_severity is not None
    ]
    bad.sort(key=lambda r: (-(r.severity or 0), -(r.violations or 0), r.group.sort_key if r.group else ()))
    lines = len(rows) + sum(org.values not in seen for org in expected)
    unit = "orgs" if single else "org-days"
    worst = bad[0] if bad else None
    known = sum(result.detail is not None and "accepted" in result.detail for result in well)
    yield Result(
        check=stage.name,
        outcome=worst.outcome if worst else Outcome.PASS,
        severity=worst.severity if worst else None,
        rows=int(sum(row.counts[declared.baseline.name] or 0 for row in rows)),
        violations=int(sum(_size(row.discrepancy[stage.name]) for row in rows)),
        observed=sum(row.discrepancy[stage.name] for row in rows),
        threshold=(worst.threshold if worst else None) or str(allows.stages[stage.name][0][1]),
        sentence=(
            f"{len(bad)} of {lines} {unit} {'differs' if len(bad) == 1 else 'differ'}: {name_worst(bad)}"
            if bad
            else f"all {lines - few - known} {unit} agree at {stage.heading}"
        )
        + (f"; {known} {'differs' if known == 1 else 'differ'} as is accepted" if known else "")
        + (
            f"; {few} with fewer than {declared.by.min_rows} records {'is' if few == 1 else 'are'} not judged"
            if few
            else ""
        ),
        orgs=lines,
        orgs_bad=len(bad),
    )
    yield from (*well, *bad, *small)  # a store does not take any number of them, and these are few


def _differs(declared: Reconciliation, stage: Stage, row: LedgerRow) -> str:
    """Return how many records of an org are missing at a stage, or too many."""
    missing, share = row.discrepancy[stage.name], row.share[stage.name]
    what = "missing" if missing > 0 else "too many"
    if share is None:
        return f"{abs(missing)} {what}, {declared.baseline.heading} is zero at {stage.heading}"
    baseline = row.counts[declared.baseline.name] or 0
    return f"{abs(missing)} of {baseline} {what} ({float(100 * abs(share)):.4g}%) at {stage.heading}"


def _accepted(
    declared: Reconciliation, stage: Stage, row: LedgerRow, by: Acceptance | None, single: Interval | None
) -> Result:
    """Return the Result of an org of which something is accepted; ``by``: without that it would be not well."""
    missing, share = row.discrepancy[stage.name], row.share[stage.name]
    detail = {"share": None if share is None else str(share)}  # exact, for what is accepted is a share, too
    sentence = f"agrees at {stage.heading}" if not missing else f"{_differs(declared, stage, row)}, which is allowed"
    if by is not None:
        detail["accepted"] = words(by)
        sentence = f"{_differs(declared, stage, row)}; {words(by)}"
    return Result(
        check=stage.name,
        group=row.org,
        outcome=Outcome.PASS,
        rows=int(row.counts[declared.baseline.name] or 0),
        violations=int(_size(missing)),
        observed=missing,
        sentence=sentence,
        partition=None if single else row.interval,
        detail=detail,
    )


def _too_small(
    declared: Reconciliation, stage: Stage, row: LedgerRow, records: Count, single: Interval | None
) -> Result:
    least = declared.by.min_rows
    return Result(
        check=stage.name,
        group=row.org,
        outcome=Outcome.SKIP,
        rows=int(records),
        sentence=f"not judged: {records} records are fewer than the {least} of By(min_rows=)",
        partition=None if single else row.interval,
    )


def _size(count: Count) -> Count:
    return -count if count < 0 else count


def _columns(declared: Reconciliation) -> Iterator[Column]:
    for stage in declared.stages:
        yield Column(kind="count", name=stage.name, heading=stage.heading, measure=stage.measure)
        if stage in declared.compared:
            yield Column(kind="discrepancy", name=stage.name, heading=f"{stage.short} Discrepancy".strip())
            yield Column(kind="share", name=stage.name, heading=f"{stage.short} Discr %".strip())
    for known in declared.explained:
        yield Column(kind="explained", name=known.name, heading=known.name, derived=known.derived is not None)


def _worst_first(row: LedgerRow) -> tuple[object, ...]:
    return (
        -(row.severity or 0),
        -max((_size(d) for d in row.discrepancy.values()), default=0),
        row.interval,
        row.org.sort_key,
    )
