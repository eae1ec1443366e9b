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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from fractions import Fraction
from functools import cache
from itertools import chain, combinations, pairwise, product

from attrs import evolve, frozen

from dq.acceptance import Accepted, words
from dq.checks.confidence import lower_bound
from dq.checks.judge import name_worst
from dq.context import Context, expected_groups
from dq.counting import (
    Counted,
    Stayed,
    count_stage,
    count_together,
    number,
    read,
    read_number,
    together,
    turn_of,
)
from dq.datasource import Datasource
from dq.hops import Loss, gaps, settled
from dq.model.acceptance import Acceptance
from dq.model.errors import DqError, MeasureError
from dq.model.group import By, Group
from dq.model.interval import Interval
from dq.model.ledger import Column, Count, KnownLoss, Ledger, LedgerRow, Rest
from dq.model.reconciliation import ALL, Allowance, Explained, Ladder, Reconciliation, Stage, Total
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.model.table import Table
from dq.packing import Packing
from dq.runs import Odd, Org, Same, key_of, merge, run_of_counts, values_of
from dq.sql.names import date_of

STAGES_AT_ONCE = 8
"""How many stages are counted side by side; each lies in a database of its own as a rule."""

_COUNTS = re.compile(r"\s*count\s*\(", re.IGNORECASE)
"""What counts records, of which a share can be drawn."""

_NOTHING = Fraction(0)
_WHOLE = re.compile(rb"\t(-?[0-9]+)\n")

MOST_ROWS = 50_000
"""With more orgs than that (times days), a ledger holds those only of which something is to be said."""

MOST_PACKED = 1_500_000
"""Of more orgs no file of all rows is kept: it would be too long for a mail."""

_Connect = Callable[[str], Datasource]


def reconcile(
    declared: Reconciliation,
    connect: _Connect,
    context: Context,
    environment: str,
    still_bad: tuple[tuple[Interval, str], ...] = (),
    keep: Collection[Group] = (),
    acceptances: Collection[Acceptance] = (),
    most_rows: int | None = MOST_ROWS,
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
        most_rows: with more rows, the ledger holds those only of which something is to be said; None: always all.
    """
    asked = _Asked(
        declared=declared,
        context=context,
        expected=_expected(declared, connect, context),
        keep=keep,
        accepted=Accepted.of(acceptances, context.now),
        most_rows=most_rows,
    )
    compared = None
    if most_rows is not None:
        compared = count_together(declared, connect, context, asked.named, _most_same(declared, most_rows))
    with ThreadPoolExecutor(STAGES_AT_ONCE) as pool:
        counting = [
            pool.submit(count_stage, declared, stage, sample, connect, context)
            for stage, sample in (declared.counted if compared is None else ())
        ]
        at_levels = {
            stage.name: pool.submit(count_stage, here, stage, None, connect, context)
            for here, stage in declared.counted_at_levels
        }
        totalling = [
            pool.submit(_total, total, connect, context) for total in declared.totals if total.query is not None
        ]
        counted = compared or tuple(future.result() for future in counting)
        queried = iter([future.result() for future in totalling])
        of_levels = {name: future.result() for name, future in at_levels.items()}
    stages = dict(zip((s.name for s in declared.stages), counted, strict=False))
    lost = (_Loss(known.name) for known in declared.explained if known.counted)
    losses = dict(zip(lost, counted[len(declared.stages) :], strict=True))
    try:
        found = _found(asked, stages, losses)
        levels = tuple(_levels(asked, environment, {**found.stages, **of_levels}, found.losses))
    finally:
        for one in (*counted, *of_levels.values()):
            one.close()
    of_all = (result for level in levels for result in level.results)
    results = (*_judge(asked, found), *_judge_losses(declared, found), *of_all)
    totals = tuple(
        (total.name, *(found.sum_of(total.sum_of) if total.sum_of is not None else next(queried)))
        for total in declared.totals
    )
    made = _ledger(asked, environment, declared.title, found, results)
    losses_found = tuple(known for known in found.lost.values() if known.count)
    return evolve(made, totals=totals, still_bad=still_bad, losses=losses_found, levels=levels)


def one_statement(declared: Reconciliation, context: Context, dialect_of: Callable[[str], str]) -> str | None:
    """Return the statement that counts and compares all stages, as it is known before a run; None: there is none.

    A run also names the orgs of which something is open or accepted, and those of a query for who is expected.

    Raises:
        DqError: when the SQL of a stage is refused.
    """
    by = declared.by_of(declared.baseline)
    expected = declared.by.expected if declared.by.expected is not None else by.expected
    listed = () if expected is None or isinstance(expected, str) else expected
    groups = tuple(map(declared.by.key, listed))
    asked = _Asked(
        declared=declared,
        context=context,
        expected=groups,
        keep=(),
        accepted=Accepted.of((), context.now),
        most_rows=MOST_ROWS,
    )
    return together(declared, dialect_of, context, asked.named, _most_same(declared, MOST_ROWS))


def _most_same(declared: Reconciliation, most_rows: int) -> int:
    """Return how many equal orgs are needed one by one: for the ledger, and for the file that goes with a mail."""
    return max(most_rows, MOST_PACKED) if declared.mailed else most_rows


@frozen(kw_only=True)
class _Asked:
    """What is compared, and what is known of its orgs beforehand.

    Attributes:
        declared: the reconciliation, or what it is at a coarser level.
        context: the interval and the time.
        expected: the orgs that must be there; a text: why they could not be found out.
        keep: orgs of which something is open.
        accepted: what is accepted.
        most_rows: with more rows, those only are kept of which something is to be said; None: always all.
    """

    declared: Reconciliation
    context: Context
    expected: tuple[Group, ...] | str
    keep: Collection[Group]
    accepted: Accepted
    most_rows: int | None

    @property
    def single(self) -> Interval | None:
        """The only partition; None: several are compared."""
        return None if self.context.by_day else self.context.interval

    @property
    def kept(self) -> frozenset[Group]:
        """The orgs whose rows are kept where they are well, too."""
        declared = self.declared
        mailed = (*declared.by.owners, *declared.to_orgs)  # they have mails of their own, with what is well, too
        accepted = (Group(declared.by.columns, values) for _, values in self.accepted.by_place)
        return frozenset((*self.keep, *accepted, *map(declared.by.key, mailed)))

    @property
    def apart(self) -> frozenset[bytes]:
        """The keys of orgs that are looked at even where their numbers are equal."""
        declared = self.declared
        noted = (org for name in declared.notes for org in _called(name, declared.by))
        known = {*self.kept, *declared.ladders_of_orgs, *noted}
        return frozenset(key for group in known for key in self._keys(group))

    @property
    def named(self) -> Iterator[bytes]:
        """The keys of orgs that must be known one by one: those that are looked at, and those that are expected."""
        yield from self.apart
        for group in () if isinstance(self.expected, str) else self.expected:
            yield from self._keys(group)

    def _keys(self, group: Group) -> Iterator[bytes]:
        """Yield the keys that an org has in the runs: where days are compared, one for each."""
        if not self.context.by_day:
            yield key_of(group.values)
            return
        day, end = self.context.interval.start.date(), self.context.interval.end
        while Interval.of_day(day).start < end:
            yield key_of((day.isoformat(), *group.values))
            day += timedelta(days=1)


@frozen
class _Loss:
    """The name of a known loss, which may be that of a stage, too."""

    name: str

    def __str__(self) -> str:
        return self.name


_Name = str | _Loss
"""The name of what is counted: of a stage, or of a loss."""


def _ledger(asked: _Asked, environment: str, pipeline: str, found: _Found, results: Sequence[Result]) -> Ledger:
    return Ledger(
        reconciliation=asked.declared.name,
        pipeline=pipeline,
        environment=environment,
        interval=asked.context.interval,
        columns=tuple(_columns(asked.declared)),
        rows=tuple(found.rows),
        totals=(),
        results=tuple(results),
        severity=max((r.severity for r in results if r.severity is not None), default=None),
        rest=found.rest,
    )


def _levels(
    asked: _Asked, environment: str, stages: Mapping[str, Counted], losses: Mapping[_Loss, Counted]
) -> Iterator[Ledger]:
    """Yield what the counts come to at each coarser level."""
    declared, context, expected = asked.declared, asked.context, asked.expected
    columns = dict.fromkeys(stages, declared.by.columns)
    columns |= {stage.name: level.by for level in declared.levels for stage in level.stages}
    for level in declared.levels:
        here = declared.at(level)
        added = {s.name: _added_up(stages[s.name], columns[s.name], level.by, context) for s in here.stages}
        lost = {name: _added_up(counted, declared.by.columns, level.by, context) for name, counted in losses.items()}
        wanted = expected
        if not isinstance(expected, str):
            parts = dict.fromkeys(_part(org.values, org.columns, level.by) for org in expected)
            wanted = tuple(here.by.group(org) for org in parts)
        names = {stage.name: level.check(stage) for stage in here.stages}
        asked_here = evolve(asked, declared=here, expected=wanted, keep=(), accepted=asked.accepted.at(names))
        found = _found(asked_here, added, lost)
        for one in (*added.values(), *lost.values()):
            if one not in (*stages.values(), *losses.values()):
                one.close()
        results = [evolve(result, check=names[result.check]) for result in _judge(asked_here, found)]
        yield _ledger(asked_here, environment, f"{declared.title} {level.title}", found, results)


def _part(org: Org, columns: Sequence[str], wanted: Sequence[str]) -> Org:
    """Return the values that an org has of some of its columns; of none: that all are meant."""
    return tuple(org[columns.index(name)] for name in wanted) or (ALL,)


def _added_up(counted: Counted, columns: Sequence[str], wanted: Sequence[str], context: Context) -> Counted:
    """Return the counts of the orgs that have the same values in the wanted columns."""
    if counted.run is None or tuple(columns) == tuple(wanted):
        return counted
    day = int(context.by_day)
    counts: dict[Org, Count] = {}
    try:
        for values, count in read(counted.run):
            key = (*values[:day], *_part(values[day:], columns, wanted))
            counts[key] = counts.get(key, 0) + count
    except MeasureError as error:
        return Counted(error=str(error))
    return Counted(run_of_counts({key: str(count) for key, count in counts.items()}), inexact=counted.inexact)


def _total(total: Total, connect: _Connect, context: Context) -> tuple[Count | None, str]:
    assert total.query is not None  # noqa: S101  # checked when it was declared
    assert total.datasource is not None  # noqa: S101  # as above
    if context.by_day and re.search(r"\{\{[^}]*\b(ds|ts)", total.query):
        return None, "it is a number of one day"
    try:
        datasource = connect(total.datasource)
        asked = context.compiler(datasource.dialect, Table(total.datasource, "none")).total(total.query)
        with turn_of(datasource):
            rows = datasource.fetch(asked)
        if len(rows) != 1 or len(rows[0]) != 1:
            return None, f"its query returns {len(rows)} rows instead of one number"
        return (None, "there is no value") if rows[0][0] is None else (number(rows[0][0]), "")
    except DqError as error:
        return None, str(error)


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


@frozen(kw_only=True)
class _Found:
    """What the merged counts hold.

    Attributes:
        stages, losses: what was counted, by name.
        sums: of all orgs together, by the name of a stage or loss that was counted.
        rows: those of which something is to be said, or all; the worst first, because sets have no order.
        rest: the others; None: there are no others.
        few: compared stage to how many of the others differ there and are too small to be judged.
        sizes: compared stage to the records that are missing or too many there, of the others.
        seen: the values of the expected orgs that some stage has.
    """

    stages: Mapping[str, Counted]
    losses: Mapping[_Loss, Counted]
    sums: Mapping[_Name, Count]
    rows: Sequence[LedgerRow]
    rest: Rest | None
    few: Mapping[str, int]
    sizes: Mapping[str, Count]
    seen: Collection[Org]

    def sum_of(self, name: _Name) -> tuple[Count | None, str]:
        """Return the sum of a stage or a loss over all orgs; None and why where it could not be counted."""
        counted = self.losses[name] if isinstance(name, _Loss) else self.stages[name]
        return (None, counted.error) if counted.error is not None else (self.sums[name], "")

    @property
    def lost(self) -> dict[str, KnownLoss]:
        """What is lost in a known way, by name."""
        return {
            loss.name: KnownLoss(name=loss.name, count=self.sum_of(loss)[0] or 0, sample=counted.sample)
            for loss, counted in self.losses.items()
        }

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.rows) + (0 if self.rest is None else self.rest.rows)


def _found(asked: _Asked, stages: Mapping[str, Counted], losses: Mapping[_Loss, Counted]) -> _Found:
    """Return what is found where all numbers are merged; where one is none at all, nothing was counted there."""
    while True:
        try:
            return _Merging(asked, stages, losses).found()
        except _UnreadError as error:
            broken = Counted(error=str(error))
            if isinstance(error.name, _Loss):
                losses = {**losses, error.name: broken}
            else:
                stages = {**stages, error.name: broken}


class _UnreadError(Exception):
    """What was counted somewhere is no number."""

    def __init__(self, name: _Name, error: MeasureError) -> None:
        super().__init__(str(error))
        self.name = name


class _Merging:
    """Merges the runs of all stages and losses: of what is well it keeps sums, of the rest rows.

    As long as there are few rows, what is well is kept too, as text; it becomes rows in the end if it still is.
    """

    def __init__(self, asked: _Asked, stages: Mapping[str, Counted], losses: Mapping[_Loss, Counted]) -> None:
        declared, expected = asked.declared, asked.expected
        self.stages, self.losses, self.context, self.most_rows = stages, losses, asked.context, asked.most_rows
        self.by_day = asked.context.by_day
        self.keep, self.apart = asked.kept, asked.apart
        self.making = _Rows(declared, stages, losses, asked.accepted)
        both: Iterable[tuple[_Name, Counted]] = chain(stages.items(), losses.items())
        self.runs = {name: one.run for name, one in both if one.run is not None}
        self.alike = [n for n, name in enumerate(self.runs) if isinstance(name, str) and not stages[name].is_empty]
        # a stage without orgs: nothing is equal to it
        self.is_whole = len(self.alike) == len(self.making.counted)
        self.plain = _Plain.of(declared, self.making, list(self.runs))
        self.days = cache(lambda day: Interval.of_day(date_of(day)))
        known_orgs = () if isinstance(expected, str) else expected
        self.wanted = {key_of(group.values): group.values for group in known_orgs}
        self.waiting = dict(self.wanted)
        self.sums: dict[_Name, Count] = dict.fromkeys(self.runs, 0)
        self.rows: list[LedgerRow] = []
        self.well: list[LedgerRow | Odd | Same] = []
        self.rest = _Sums(self.making)
        self.stayed = next((one.stayed for one in stages.values() if one.error is None), Stayed())
        lines = max((run.lines for run in self.runs.values()), default=0)
        is_packed = self.most_rows is not None and self.most_rows < lines <= MOST_PACKED and not self.stayed.orgs
        self.packing = Packing() if is_packed else None
        self.columns = [column for column in _columns(declared) if column.kind != "share"]
        self.size = 0

    def found(self) -> _Found:
        """Return what there is."""
        self._add_equal(self.stayed)
        for one in merge(tuple(self.runs.values()), self.alike, self.apart):
            if isinstance(one, Odd):
                self._add(one)
            elif not (self.is_whole and self._add_same(one)):
                for odd in self._single(one):
                    self._add(odd)
            if self.most_rows is not None and self.size > self.most_rows:
                self.well.clear()
        rest: Rest | None = None
        if self.most_rows is None or self.size <= self.most_rows:
            self.rows += self._listed()
            self.rest = _Sums(self.making)
        else:
            packed = None if self.packing is None else self.packing.packed()
            rest = evolve(self.rest.rest(by_day=self.by_day), packed=packed)
        return _Found(
            stages=self.stages, losses=self.losses, sums=self.sums, rest=rest, few=self.rest.few,
            rows=sorted(self.rows, key=_worst_first), sizes=self.rest.sizes,
            seen={values for key, values in self.wanted.items() if key not in self.waiting},
        )  # fmt: skip

    def _add(self, odd: Odd) -> None:
        self.size += 1
        self._see(odd.key)
        counts = self.plain.counts(odd) if odd.key not in self.apart else None
        if counts is not None:
            for name, count in zip(self.runs, counts, strict=True):
                self.sums[name] += count or 0
            self.rest.add(counts)
            self.well.append(odd)
            if self.packing is not None:
                self._pack(odd.key, self.making.plain_row(*self._place(odd.key), counts))
            return
        row, numbers = self._row(odd)
        for name, number_ in numbers.items():
            self.sums[name] += number_ or 0
        if row.severity is not None or row.org in self.keep or self.making.says_something(row):
            self.rows.append(row)
        else:
            self.rest.add_row(row)
            self.well.append(row)
            if self.packing is not None:
                self._pack(odd.key, row)

    def _pack(self, key: bytes, row: LedgerRow) -> None:
        of: dict[str, Mapping[str, Count | None]] = {
            "count": row.counts, "explained": row.explained, "discrepancy": row.discrepancy,
        }  # fmt: skip
        numbers = [of[column.kind].get(column.name) for column in self.columns]
        assert self.packing is not None  # noqa: S101  # asked before
        self.packing.add_row(key, numbers)

    def _add_same(self, same: Same) -> bool:
        """Add orgs whose numbers are equal everywhere; return whether their numbers could be read."""
        numbers = _WHOLE.findall(same.lines)
        if len(numbers) != same.lines.count(b"\n"):
            return False
        self._add_equal(Stayed(len(numbers), sum(map(int, numbers))))
        self.well.append(same)
        if self.packing is not None:
            self.packing.add(same.lines)
        if self.waiting:
            for odd in self._single(same):
                self._see(odd.key)
        return True

    def _add_equal(self, equal: Stayed) -> None:
        self.size += equal.orgs
        for n, name in enumerate(self.runs):
            if n in self.alike:
                self.sums[name] += equal.total
        self.rest.add_same(equal.orgs, equal.total)

    def _see(self, key: bytes) -> None:
        if self.waiting:
            self.waiting.pop(key.partition(b"\t")[2] if self.by_day else key, None)

    def _single(self, same: Same) -> Iterator[Odd]:
        for line in same.lines.split(b"\n")[:-1]:
            key, number_ = line.rsplit(b"\t", 1)
            yield Odd(key, tuple(number_ if n in self.alike else None for n in range(len(self.runs))))

    def _listed(self) -> Iterator[LedgerRow]:
        for one in self.well:
            if isinstance(one, LedgerRow):
                yield one
                continue
            for odd in self._single(one) if isinstance(one, Same) else (one,):
                counts = self.plain.counts(odd) if self.is_whole else None
                if counts is None:
                    yield self._row(odd)[0]
                else:
                    yield self.making.plain_row(*self._place(odd.key), counts)

    def _row(self, odd: Odd) -> tuple[LedgerRow, dict[_Name, Count | None]]:
        numbers: dict[_Name, Count | None] = {}
        null_sums: set[_Name] = set()
        for name, text in zip(self.runs, odd.numbers, strict=True):
            try:
                numbers[name], of_null = (None, False) if text is None else read_number(text)
            except MeasureError as error:
                raise _UnreadError(name, error) from None
            if of_null:
                null_sums.add(name)
        return self.making.row(*self._place(odd.key), numbers, null_sums), numbers

    def _place(self, key: bytes) -> tuple[Interval, Org]:
        values = values_of(key)
        return (self.days(str(values[0])), values[1:]) if self.by_day else (self.context.interval, values)


def _called(label: str, by: By) -> Iterator[Group]:
    """Yield the orgs that people read as ``label``."""
    words = label.split(" / ")
    for cuts in combinations(range(1, len(words)), len(by.columns) - 1):
        parts = [" / ".join(words[a:b]) for a, b in pairwise((0, *cuts, len(words)))]
        for values in product(*([part, None, ""] for part in parts)):
            group = by.group(values)
            if group.label == label:
                yield group


@frozen
class _Plain:
    """Tells which orgs are well and have nothing to be said, from whole numbers alone.

    Attributes:
        stages: how many of the runs are stages; the others are losses.
        absent: the numbers of the stages that have no org at all.
        limits: number of a measured stage, or None where it has no org, and what is allowed there.
        pairs: the numbers of the stages of each derived loss.
        baseline: its number; None: it was not counted.
        exact: whether numbers that are not equal differ.
    """

    stages: int
    absent: frozenset[int]
    limits: tuple[tuple[int, Callable[[int, int], bool] | None], ...]
    pairs: tuple[tuple[int, int], ...]
    baseline: int | None
    exact: bool

    @classmethod
    def of(cls, declared: Reconciliation, making: _Rows, runs: list[_Name]) -> _Plain:
        stages = making.stages
        limits: list[tuple[int, Callable[[int, int], bool] | None]] = []
        for stage in making.measured:
            allowed = making.allows.stages[stage.name][0][1]
            # Where nothing can be spared, an org is as well at a stage without orgs as one that has enough there.
            unjudged = stages[stage.name].is_empty and declared.confidence is None and not declared.by.min_rows
            limits.append((runs.index(stage.name), None if unjudged else _within(allowed)))
        pairs = [known.derived for known in making.explained if known.derived is not None]
        return cls(
            sum(isinstance(name, str) for name in runs),
            frozenset(n for n, name in enumerate(runs) if isinstance(name, str) and stages[name].is_empty),
            tuple(limits),
            tuple((runs.index(one), runs.index(other)) for one, other in pairs),
            runs.index(declared.baseline.name) if declared.baseline.name in runs else None,
            not making.inexact,
        )

    def counts(self, odd: Odd) -> list[int | None] | None:
        """Return the numbers of an org that is well; None: it has to be looked at."""
        if not self.exact:
            return None
        try:
            counts = [None if text is None else int(text) for text in odd.numbers]
        except ValueError:
            return None
        for n, count in enumerate(counts):
            if count if n >= self.stages else count is None and n not in self.absent:
                return None
        if self.baseline is None:
            return counts
        baseline = counts[self.baseline] or 0
        for n, is_within in self.limits:
            missing = baseline - (counts[n] or 0)
            if missing and (not baseline or (is_within is not None and not is_within(abs(missing), abs(baseline)))):
                return None
        return None if any((counts[one] or 0) != (counts[other] or 0) for one, other in self.pairs) else counts


def _within(allowed: Allowance) -> Callable[[int, int], bool]:
    """Return what tells of whole numbers whether an allowance is not exceeded, faster than with fractions."""
    count, share = allowed.count, allowed.share
    most = -1 if count is None else int(count.limit)
    above, below = (-1, 1) if share is None else share.limit.as_integer_ratio()
    return lambda size, whole: size <= most or size * below <= above * whole


class _Sums:
    """Sums of orgs that are well."""

    def __init__(self, making: _Rows) -> None:
        self.making = making
        self.same = self.total = self.rows = self.differing = 0
        self.counts: dict[str, Count | None] = dict.fromkeys(making.stages)
        self.explained: dict[str, Count] = {known.name: 0 for known in making.explained}
        self.discrepancy: dict[str, Count] = {stage.name: 0 for stage in making.measured}
        self.sizes: dict[str, Count] = dict(self.discrepancy)
        self.few: dict[str, int] = dict.fromkeys(self.discrepancy, 0)

    def add_same(self, orgs: int, total: int) -> None:
        """Add orgs that have the same numbers at all stages."""
        self.same += orgs
        self.total += total

    def add(self, counts: Sequence[int | None]) -> None:
        """Add an org of which nothing is explained, by the numbers of the runs."""
        there = dict(zip(self.making.counted, counts, strict=False))
        baseline = there.get(self.making.baseline) or 0
        self._add(there, {name: baseline - (there[name] or 0) for name in self.discrepancy})

    def add_row(self, row: LedgerRow) -> None:
        """Add an org."""
        for name, count in row.explained.items():
            self.explained[name] += count
        self._add(row.counts, row.discrepancy)

    def _add(self, counts: Mapping[str, Count | None], discrepancy: Mapping[str, Count]) -> None:
        self.rows += 1
        self.differing += any(discrepancy.values())
        for name, count in counts.items():
            if count is not None:
                self.counts[name] = (self.counts[name] or 0) + count
        baseline = counts.get(self.making.baseline) or 0
        for name, missing in discrepancy.items():
            if missing:
                self.discrepancy[name] += missing
                self.sizes[name] += _size(missing)
                self.few[name] += self.making.allows.is_small(baseline, counts[name] or 0)

    def rest(self, *, by_day: bool) -> Rest:
        """Return the sums."""
        counted = [name for name, one in self.making.stages.items() if self.same and one.error is None]
        sums = {name: (self.counts[name] or 0) + self.total for name in counted}
        return Rest(
            rows=self.rows + self.same, differing=self.differing, by_day=by_day, counts={**self.counts, **sums},
            explained=self.explained, discrepancy=self.discrepancy, orgs=self.making.declared.by.columns,
        )  # fmt: skip


class _Rows:
    """Makes rows of the ledger."""

    def __init__(
        self,
        declared: Reconciliation,
        stages: Mapping[str, Counted],
        losses: Mapping[_Loss, Counted],
        accepted: Accepted,
    ) -> None:
        self.accepted = accepted
        self.declared, self.stages, self.baseline = declared, stages, declared.baseline.name
        self.allows, self.measured = _Allows.of(declared), tuple(_measured(declared, stages, losses))
        self.counted = [name for name, one in stages.items() if one.error is None]
        self.nowhere: dict[str, Count | None] = dict.fromkeys(stages)
        self.inexact = {name for name, one in stages.items() if one.inexact}
        self.ways = {
            stage.name: [s for s in declared.way_to(stage) if stages[s.name].error is None]
            for stage in declared.compared
        }
        self.explained = [
            k for k in declared.explained if all(c.error is None for _, c in _stands_on(k, stages, losses))
        ]
        self.usual = {f"absent at {s.heading}" for s in declared.stages if stages[s.name].is_empty}

    def says_something(self, row: LedgerRow) -> bool:
        """Return whether a remark is on the org, and not on a stage that has no org at all."""
        return not self.usual.issuperset(row.notes)

    def plain_row(self, interval: Interval, values: Org, counts: Sequence[int | None]) -> LedgerRow:
        """Return what :meth:`row` does of an org that is well, and has all that is counted, where nothing is explained.

        Args:
            interval: the partition.
            values: of the org columns.
            counts: of the stages that were counted.
        """
        there = dict(zip(self.counted, counts, strict=False))
        baseline = there.get(self.baseline) or 0
        missing = {stage.name: baseline - (there[stage.name] or 0) for stage in self.measured}
        return LedgerRow(
            interval=interval,
            org=Group(self.declared.by.columns, values),
            counts={**self.nowhere, **there},
            explained={known.name: 0 for known in self.explained},
            discrepancy={**missing},
            share={name: Fraction(n, baseline) if n else _NOTHING for name, n in missing.items()},
            severity=None,
        )

    def row(
        self, interval: Interval, values: Org, numbers: Mapping[_Name, Count | None], null_sums: Collection[_Name]
    ) -> LedgerRow:
        """Return the row of an org.

        Args:
            interval: the partition.
            values: of the org columns.
            numbers: by the name of a stage or a counted loss.
            null_sums: where some of them are NULL.
        """
        declared, stages, accepted = self.declared, self.stages, self.accepted
        org = Group(declared.by.columns, values)
        counts = settled({name: numbers.get(name) for name in stages}, self.inexact)
        explained: dict[str, Count] = {}
        for known in self.explained:
            if known.derived is not None:
                explained[known.name] = (counts[known.derived[0]] or 0) - (counts[known.derived[1]] or 0)
            else:
                explained[known.name] = numbers.get(_Loss(known.name)) or 0
        baseline = counts[declared.baseline.name] or 0
        discrepancy: dict[str, Count] = {}
        share: dict[str, Fraction | None] = {}
        severity: Severity | None = None
        spared: list[str] = []
        where: list[str] = []
        is_accepted = False
        for stage in self.measured:
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
            broken = self.allows.broken(stage, org, missing, baseline, there)
            if stages[stage.name].is_empty:
                broken = None  # there is nothing to compare, which is told of the whole
            elif broken is not None and accepted.admits(stage.name, org, interval, missing, baseline) is not None:
                broken, is_accepted = None, True
            if broken is not None:
                severity = max(severity or broken[0], broken[0])
                where += _where(declared, stage, self.ways[stage.name], counts, explained)
            spared += self.allows.spares(stage, org, missing, baseline, there)
            if accepted.by_place and not stages[stage.name].is_empty:
                spared += accepted.notes(stage.name, org, interval, missing, baseline, _at(declared, stage))
        notes = [
            f"absent at {stage.heading}"
            for stage in declared.stages
            if counts[stage.name] is None and not stages[stage.name].error
        ]
        notes += [f"sum is NULL at {stage.heading}" for stage in declared.stages if stage.name in null_sums]
        if not baseline and any(discrepancy.values()):
            notes.append(f"{declared.baseline.heading} is zero")
        notes += dict.fromkeys((*where, *spared))
        notes += [note for name, note in declared.notes.items() if name == org.label]
        return LedgerRow(
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
    known: Explained, stages: Mapping[str, Counted], losses: Mapping[_Loss, Counted]
) -> list[tuple[_Name, Counted]]:
    """Return the counts, by name, that an explained loss is made of."""
    if known.derived is not None:
        return [(name, stages[name]) for name in known.derived]
    loss = _Loss(known.name)
    return [(loss, losses[loss])]


def _measured(
    declared: Reconciliation, stages: Mapping[str, Counted], losses: Mapping[_Loss, Counted]
) -> Iterator[Stage]:
    """Yield the compared stages all of whose numbers are there."""
    for stage in declared.compared:
        if _why_unmeasured(declared, stage, stages, losses) is None:
            yield stage


def _why_unmeasured(
    declared: Reconciliation, stage: Stage, stages: Mapping[str, Counted], losses: Mapping[_Loss, Counted]
) -> str | None:
    needed: list[tuple[_Name, Counted]] = [(name, stages[name]) for name in (declared.baseline.name, stage.name)]
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


def _judge(asked: _Asked, found: _Found) -> Iterator[Result]:
    """Yield the summary of each compared stage, and a Result per org (and day) that is not well there."""
    declared, expected = asked.declared, asked.expected
    for stage in declared.compared:
        why = _why_unmeasured(declared, stage, found.stages, found.losses)
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
            if found.stages[name].is_empty:
                heading = next(s.heading for s in declared.stages if s.name == name)
                total, _ = found.sum_of(declared.baseline.name)
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
            yield from _judge_stage(asked, stage, found, expected)


def _judge_losses(declared: Reconciliation, found: _Found) -> Iterator[Result]:
    """Yield a Result of each known loss of which not any number of records may be lost, of all orgs together."""
    baseline, no_baseline = found.sum_of(declared.baseline.name)
    lost = found.lost
    for known in declared.explained:
        if not known.is_judged:
            continue
        counted = _stands_on(known, found.stages, found.losses)
        of_share = any(allowed.share is not None for _, allowed in known.ladder)
        why = next((f"{name} could not be counted: {c.error}" for name, c in counted if c.error is not None), None)
        if why is None and of_share and baseline is None:
            why = f"{declared.baseline.name} could not be counted: {no_baseline}"
        if why is not None:
            outcome, severity = Outcome.UNMEASURED, known.ladder[-1][0]
            yield Result(check=known.name, outcome=outcome, severity=severity, sentence=f"could not be measured: {why}")
            continue
        first, *second = (found.sum_of(name)[0] or 0 for name, _ in counted)
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


def _judge_stage(asked: _Asked, stage: Stage, found: _Found, expected: tuple[Group, ...]) -> Iterator[Result]:
    declared, single, accepted = asked.declared, asked.single, asked.accepted
    bad: list[Result] = []
    small: list[Result] = []
    well: list[Result] = []
    rest = found.rest
    few = found.few[stage.name]
    allows = _Allows.of(declared)
    for row in found.rows:
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
            if row.org in asked.keep and allows.is_small(baseline, there):
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
        if org.values not in found.seen and declared.empty_severity is not None
    ]
    bad.sort(key=lambda r: (-(r.severity or 0), -(r.violations or 0), r.group.sort_key if r.group else ()))
    lines = found.size + sum(org.values not in found.seen for org in expected)
    records = [row.counts[declared.baseline.name] or 0 for row in found.rows]
    missing_of = [row.discrepancy[stage.name] for row in found.rows]
    if rest is not None:
        records.append(rest.counts[declared.baseline.name] or 0)
        missing_of.append(rest.discrepancy[stage.name])
    unit = "orgs" if single else "org-days"
    worst = bad[0] if bad else None
    known = sum(result.detail is not None and "accepted" in result.detail for result in well)
    yield Result(
        check=stage.name,
        outcome=worst.outcome if worst else Outcome.PASS,
        severity=worst.severity if worst else None,
        rows=int(sum(records)),
        violations=int(sum(_size(row.discrepancy[stage.name]) for row in found.rows) + found.sizes[stage.name]),
        observed=sum(missing_of),
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
        row.org.key,
    )
