"""Reconciliations: counts per org at the stages of a pipeline, and how much may be missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from attrs import evolve, field, frozen

from dq.model.check import (
    LONGEST_PART,
    Judged,
    _by,
    _by_or_none,
    _every,
    _routes,
    _upstream,
    name_problems,
    upstream_problems,
)
from dq.model.damping import for_runs_problems
from dq.model.errors import DeclarationError
from dq.model.group import By, Group
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.model.table import Table, is_text, words
from dq.model.thresholds import Tolerance, ladder

_ADDS_UP = re.compile(r"\s*(count|sum)\s*\((?!\s*distinct\b)", re.IGNORECASE)

NORMALISED = ("strip", "upper", "lower", "no leading zeros")
"""What can be done with the values of org columns, see ``Stage.normalise``."""


@frozen
class Stage:
    """A named point of a pipeline at which records are counted per org.

    Attributes:
        name: unique in its reconciliation.
        table: where they are counted.
        measure: an aggregate expression, ``"count(*)"`` or e.g. ``"sum(msgs)"``.
        by: the org column here, when it has another name than in the reconciliation.
        org: all rows of this stage belong to this one org.
        normalise: what is done with the values of the org columns here so that they equal those of the others:
            ``"strip"`` (blanks around it), ``"upper"``, ``"lower"``, ``"no leading zeros"`` (``04`` is ``4``); one or
            several, in that order.
        mapping: what orgs are called elsewhere, by what they are called here (after ``normalise``): a mapping, with a
            tuple per org where there are several columns, or a SELECT on this datasource of the old, then the new
            values. An org that is not in it keeps its name. The numbers of orgs that become one are added up.
        title: the heading of its column in reports; the name by default.
        short: what stands before "Discrepancy" in the headings of its columns, e.g. ``"NRT"``.
        where: only rows for which this predicate is TRUE are counted.
        compare: whether it is held against the baseline; False: it is counted and shown only.
        after: the stage that feeds it, where a branch begins; None: the one before it in the list.
        info, warning, error, critical: what is allowed here, in the place of what the reconciliation allows.
        key: the columns that name a record here, or expressions; by default those of the reconciliation, or the key of
            the table.
        values: columns or expressions that are equal at all stages for records of one key; by default those of the
            reconciliation.
    """

    name: str
    table: Table
    measure: str = field(default="count(*)", kw_only=True)
    by: By | None = field(default=None, converter=_by_or_none, kw_only=True)
    org: str | None = field(default=None, kw_only=True)
    normalise: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    mapping: Mapping[object, object] | str = field(factory=dict, kw_only=True, hash=False)
    title: str = field(default="", kw_only=True)
    short: str = field(default="", kw_only=True)
    where: str | None = field(default=None, kw_only=True)
    compare: bool = field(default=True, kw_only=True)
    after: str | None = field(default=None, kw_only=True)
    info: object = field(default=None, kw_only=True)
    warning: object = field(default=None, kw_only=True)
    error: object = field(default=None, kw_only=True)
    critical: object = field(default=None, kw_only=True)
    key: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    values: tuple[str, ...] = field(default=(), converter=words, kw_only=True)

    @property
    def rungs(self) -> dict[Severity, object]:
        """What is declared to be allowed here, by severity; nothing: what the reconciliation allows."""
        return _declared(self.info, self.warning, self.error, self.critical)

    @property
    def adds_up(self) -> bool:
        """Whether what is counted of several orgs is that of all of them when it is added up."""
        return _ADDS_UP.match(self.measure) is not None

    @property
    def heading(self) -> str:
        """The heading of its column in reports."""
        return self.title or self.name


def _stages(value: Iterable[Stage]) -> tuple[Stage, ...]:
    return tuple(value)


@frozen
class Explained:
    """A loss that is known and counted: it is taken off the discrepancy.

    Attributes:
        name: how it is called in reports, e.g. ``"Skipped"``.
        counted: where it is counted per org, e.g. a dead-letter table.
        derived: two stages whose difference it is. Such a loss explains nothing by itself and is marked *derived*.
        stages: the stages it explains; all compared ones by default.
        sample: a column of the table of ``counted``, e.g. with the text of an exception: one value of it is told.
        info, warning, error, critical: how many records of all orgs together may be lost so, a count or a share of the
            baseline; it is a check of its own then. None of them: any number.
    """

    name: str
    counted: Stage | None = field(default=None, kw_only=True)
    derived: tuple[str, str] | None = field(default=None, kw_only=True)
    stages: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    sample: str | None = field(default=None, kw_only=True)
    info: object = field(default=None, kw_only=True)
    warning: object = field(default=None, kw_only=True)
    error: object = field(default=None, kw_only=True)
    critical: object = field(default=None, kw_only=True)

    @property
    def is_judged(self) -> bool:
        """Whether not any number of records may be lost so."""
        return bool(_declared(self.info, self.warning, self.error, self.critical))

    @property
    def ladder(self) -> Ladder:
        """What is allowed, from mild to severe; empty: anything.

        Raises:
            DeclarationError: when the rungs are out of order or not of one shape.
        """
        declared = _declared(self.info, self.warning, self.error, self.critical)
        return _ladder(declared) if declared else ()


@frozen
class Total:
    """A named number above the table of a report.

    Attributes:
        name: how it is called.
        datasource, query: a query of one number on that datasource; or
        sum_of: the stage whose counts are added up over all orgs.
    """

    name: str
    datasource: str | None = field(default=None, kw_only=True)
    query: str | None = field(default=None, kw_only=True)
    sum_of: str | None = field(default=None, kw_only=True)


@frozen
class Allowance:
    """How much of the baseline may be missing or too much: it is broken when *every* part given is exceeded.

    Attributes:
        share: of the baseline; any discrepancy exceeds a share of a baseline of zero.
        count: records.
    """

    share: Tolerance | None
    count: Tolerance | None

    @classmethod
    def of(cls, value: object) -> Allowance:
        """Return what ``value`` spells: a count, a share, or a pair of both such as ``("1%", 100)``.

        Raises:
            DeclarationError: when it is none of them.
        """
        parts = [Tolerance.of(part) for part in (value if isinstance(value, tuple | list) else (value,))]
        shares = [p for p in parts if p.is_share]
        counts = [p for p in parts if not p.is_share]
        if not parts or len(shares) > 1 or len(counts) > 1:
            raise DeclarationError(f"{value!r} is not a count, a share, or one of each")
        return cls(shares[0] if shares else None, counts[0] if counts else None)

    def exceeded(
        self, discrepancy: int | Decimal, baseline: int | Decimal, surely: Fraction | float | None = None
    ) -> bool:
        """Return whether a discrepancy of that many records (of either sign) is more than is allowed.

        Args:
            discrepancy: of either sign.
            baseline: what it is a share of.
            surely: the share that the true one exceeds, as far as is certain; None: what was counted is all there is.
        """
        size = abs(discrepancy) if isinstance(discrepancy, int) else abs(Fraction(discrepancy))
        whole = abs(baseline) if isinstance(baseline, int) else abs(Fraction(baseline))
        if self.share is not None and surely is not None and surely <= self.share.limit:
            return False
        parts = [part for part in (self.share, self.count) if part is not None]
        return all(part.exceeded(size, whole) for part in parts)

    def __str__(self) -> str:
        return " and ".join(
            str(part) if part.is_share else f"{part} records" for part in (self.share, self.count) if part
        )


Ladder = tuple[tuple[Severity, Allowance], ...]
"""What is allowed, from mild to severe."""


@frozen
class Level:
    """A coarser level at which the numbers are judged, too: those of the orgs that it takes together are added up.

    Attributes:
        by: org columns of the reconciliation, those that are left apart; none: all orgs together.
        stages: what is counted at this level only, with an org column per column of ``by``, and held against the sum of
            the baseline as well; so it is at every level that is coarser still.
        info, warning, error, critical: what is allowed here; by default what the reconciliation allows.
    """

    by: tuple[str, ...] = field(default=(), converter=words)
    stages: tuple[Stage, ...] = field(default=(), converter=_stages, kw_only=True)
    info: object = field(default=None, kw_only=True)
    warning: object = field(default=None, kw_only=True)
    error: object = field(default=None, kw_only=True)
    critical: object = field(default=None, kw_only=True)

    @property
    def title(self) -> str:
        """How it is called: ``"by region"``, ``"of all"``."""
        return f"by {', '.join(self.by)}" if self.by else f"of {ALL}"

    @property
    def rungs(self) -> dict[Severity, object]:
        """What is declared to be allowed here, by severity."""
        return _declared(self.info, self.warning, self.error, self.critical)

    def check(self, stage: Stage) -> str:
        """Return the name of the check that a stage is at this level."""
        return f"{stage.name} {self.title}"


ALL = "all"
"""What all orgs together are called, as an org."""

_NOTHING: dict[str, Any] = dict.fromkeys(map(str, Severity))
"""No thresholds."""


def _declared(*rungs: object) -> dict[Severity, object]:
    return {severity: value for severity, value in zip(Severity, rungs, strict=True) if value is not None}


def _ladder(declared: Mapping[Severity, object]) -> Ladder:
    """Return what is allowed.

    Raises:
        DeclarationError: when the rungs are out of order or not of one shape.
    """
    rungs = tuple((severity, Allowance.of(declared[severity])) for severity in sorted(declared))
    shapes = {(a.share is None, a.count is None) for _, a in rungs}
    if len(shapes) > 1:
        raise DeclarationError("the thresholds mix counts, shares and pairs; use one form in all of them")
    for part in ("share", "count"):
        if getattr(rungs[0][1], part) is not None and len(rungs) > 1:
            ladder({severity: getattr(a, part) for severity, a in rungs}, Tolerance.of)
    return rungs


def _losses(value: Iterable[Explained]) -> tuple[Explained, ...]:
    return tuple(value)


def _totals(value: Iterable[Total]) -> tuple[Total, ...]:
    return tuple(value)


def _levels(value: Iterable[Level]) -> tuple[Level, ...]:
    return tuple(value)


def _channels(value: Mapping[Any, str | Iterable[str]]) -> dict[Any, tuple[str, ...]]:
    return {whose: words(channels) for whose, channels in value.items()}


@frozen
class Reconciliation(Judged):
    """Counts per org at the stages of a pipeline; the first stage is the baseline.

    Per org and stage: discrepancy = baseline - stage - explained, and its share of the baseline. Positive means
    missing, negative duplicated. It is a suite with one check per compared stage.

    Attributes:
        name: unique among the project's suites and reconciliations.
        by: the org column and who is expected. An org that has fewer records than its ``min_rows`` at the baseline and
            at the stage is not judged there; what is found of one with an owner of its own belongs to that owner.
        stages: in order; the first is the baseline.
        key, values: of every stage that declares none of its own; see :class:`Stage`.
        levels: coarser levels that are judged, too, such as regions of provinces and the nation of regions, from fine
            to coarse. Each compared stage is a check of its own there.
        explained: known losses.
        totals: named numbers above the table.
        info, warning, error, critical: allowed per org: a count, a share of the baseline, or a pair (both must be
            exceeded, so that one record of a tiny org pages nobody). A stage may allow something else.
        orgs: what is allowed of single orgs, at any stage, by the org's value:
            ``orgs={14: {"warning": "5%", "critical": "10%"}}``.
        confidence: a share is exceeded only if the true share exceeds it with that one-sided confidence (Wilson's
            score interval), e.g. 0.95: so a few records of a small org are no false alarm.
        pipeline: how the pipeline is called in titles; the name by default.
        notes: remarks per org, shown in the report.
        to: the channels (of type email) that get the daily discrepancy e-mail.
        to_owners: the channels of single owners, by the names that ``owner=`` and ``By(owners=)`` give:
            ``to_owners={"ann": "mail-ann"}``. An owner's mail holds the rows of the owner's orgs and nothing of others;
            it is sent when one of them is not well.
        to_orgs: the channels of single orgs, by the org's value: ``to_orgs={14: "mail-14"}``; as for owners.
        send_well: owners and orgs get their mail also when all of it is well.
        on_empty, on_error: as for a check.
        sla, every, notify, for_runs, upstream, owner, runbook, description, tags: as for a suite.
    """

    name: str
    by: By = field(converter=_by, kw_only=True)
    stages: tuple[Stage, ...] = field(converter=_stages, kw_only=True)
    key: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    values: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    levels: tuple[Level, ...] = field(default=(), converter=_levels, kw_only=True)
    explained: tuple[Explained, ...] = field(default=(), converter=_losses, kw_only=True)
    totals: tuple[Total, ...] = field(default=(), converter=_totals, kw_only=True)
    info: object = field(default=None, kw_only=True)
    warning: object = field(default=None, kw_only=True)
    error: object = field(default=None, kw_only=True)
    critical: object = field(default=None, kw_only=True)
    orgs: Mapping[object, Mapping[str, object]] = field(factory=dict, kw_only=True)
    confidence: float | None = field(default=None, kw_only=True)
    pipeline: str = field(default="", kw_only=True)
    notes: Mapping[str, str] = field(factory=dict, kw_only=True)
    to: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    to_owners: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_channels, kw_only=True)
    to_orgs: Mapping[object, tuple[str, ...]] = field(factory=dict, converter=_channels, kw_only=True)
    send_well: bool = field(default=False, kw_only=True)
    on_empty: str | Severity | None = field(default=None, kw_only=True)
    on_error: str | Severity | None = field(default=None, kw_only=True)
    sla: Sla | None = field(default=None, kw_only=True)
    every: timedelta | None = field(default=None, converter=_every, kw_only=True)
    notify: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_routes, kw_only=True)
    for_runs: int | str | None = field(default=None, kw_only=True)
    upstream: tuple[str, ...] = field(default=(), converter=_upstream, kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    runbook: str | None = field(default=None, kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), converter=words, kw_only=True)

    def __attrs_post_init__(self) -> None:
        for problem in self._problems():
            raise DeclarationError(f"reconciliation {self.name!r}: {problem}")

    def _problems(self) -> Iterator[str]:
        yield from name_problems(self.name)
        sla: object = self.sla
        if sla is not None and not isinstance(sla, Sla):
            yield f'its sla is {self.sla!r}; write e.g. Sla(due="06:00")'
        yield from for_runs_problems(self.for_runs)
        yield from upstream_problems(self.name, self.upstream)
        if not self.compared and not self.levels:
            yield "it needs a baseline and at least one stage to hold against it"
        names = [stage.name for stage in self.stages]
        yield from self._problems_of_stages(names)
        for stage, _ in self.counted:
            width = len(self.by_of(stage).columns) if stage.org is None else 1
            if width != len(self.by.columns):
                yield f"stage {stage.name!r}: it has {width} org columns where the others have {len(self.by.columns)}"
        yield from self._problems_of_keys()
        yield from self._problems_of_losses(names)
        for total in self.totals:
            if (total.query is None) is (total.sum_of is None) or (total.query is None) is not (
                total.datasource is None
            ):
                yield f"total {total.name!r}: give either datasource= and query=, or sum_of="
            if total.sum_of is not None and total.sum_of not in names:
                yield f"total {total.name!r}: there is no stage {total.sum_of!r}"
        yield from self._problems_of_levels(names)
        yield from self._problems_of_thresholds()
        yield from self._problems_of_mails()
        try:
            on_empty = None if self.on_empty == "ok" else self.on_empty
            for severity in (*self.notify, on_empty, self.on_error):
                if severity is not None:
                    Severity.of(severity)
        except DeclarationError as error:
            yield str(error)

    def _problems_of_stages(self, names: Sequence[str]) -> Iterator[str]:
        for place, stage in enumerate(self.stages):
            name = stage.name
            if names.count(name) > 1:
                yield f"stage {name!r}: the name is declared twice"
            if not 0 < len(name) <= LONGEST_PART:
                yield f"stage {name!r}: its name has {len(name)} characters; give it 1 to {LONGEST_PART}"
            yield from (f"stage {name!r}: {problem}" for problem in self._problems_of_names(stage))
            if stage.after is not None and stage.after not in names[:place]:
                yield f"stage {name!r}: after={stage.after!r} is no stage before it"

    def _problems_of_names(self, stage: Stage) -> Iterator[str]:
        for how in stage.normalise:
            if how not in NORMALISED:
                yield f"normalise={how!r} is not one of {', '.join(map(repr, NORMALISED))}"
        if isinstance(stage.mapping, str):
            if not re.match(r"\s*(select|with)\b", stage.mapping, re.IGNORECASE):
                yield f"mapping={stage.mapping!r} is neither a mapping nor a SELECT"
            return
        for pair in stage.mapping.items():
            try:
                for org in pair:
                    self.by.key(org)
            except DeclarationError as error:
                yield f"mapping=: {error}"

    def _problems_of_thresholds(self) -> Iterator[str]:
        ladders: list[Ladder] = []
        for place, rungs in (
            ("", self._rungs),
            *((f"stage {stage.name!r}: ", stage.rungs) for stage in self.stages if stage.rungs),
        ):
            try:
                ladders.append(_ladder(rungs))
            except DeclarationError as error:
                yield f"{place}{error}"
        for org in self.orgs:
            try:
                self.by.key(org)
                ladders.append(self._ladder_of_org(org))
            except (DeclarationError, AttributeError) as error:
                yield f"orgs= for {org!r}: {error}"
        if self.confidence is None:
            return
        if isinstance(self.confidence, bool) or not isinstance(self.confidence, float):
            yield f"confidence={self.confidence!r} is not a number such as 0.95"
        elif not 0.5 < self.confidence < 1:
            yield f"confidence={self.confidence!r} is not between 0.5 and 1"
        elif all(allowed.share is None for rungs in ladders for _, allowed in rungs):
            yield "confidence= says how sure a share is, and there is none among its thresholds"

    def _problems_of_mails(self) -> Iterator[str]:
        owners = {self.owner, *self.by.owners.values()}
        for owner in self.to_owners:
            if not owner or owner not in owners:
                yield f"to_owners= names {owner!r}, whom neither owner= nor By(owners=) names"
        try:
            orgs = {self.by.key(org) for org in self.to_orgs}
        except DeclarationError as error:
            yield f"to_orgs=: {error}"
            return
        if len(orgs) < len(self.to_orgs):
            yield "to_orgs= names an org twice: a number and its text, such as 14 and '14', are one"
        if self.send_well and not (self.to_owners or self.to_orgs):
            yield "send_well= is for the mails of to_owners= and to_orgs=, and there are none"

    def _problems_of_keys(self) -> Iterator[str]:
        for what in ("key", "values"):
            declared = {stage.name: getattr(stage, what) or getattr(self, what) for stage in self.stages}
            for name, texts in declared.items():
                for one in texts:
                    if not is_text(one):
                        yield f"stage {name!r}: its {what} has {one!r}, which is neither a column nor an expression"
            widths = {name: len(texts) for name, texts in declared.items() if texts}
            for name, width in widths.items():
                first = next(iter(widths))
                if width != widths[first]:
                    yield f"stage {name!r}: its {what} has {width} parts, and that of {first!r} has {widths[first]}"

    def _problems_of_levels(self, names: Sequence[str]) -> Iterator[str]:
        names = [*names, *(stage.name for level in self.levels for stage in level.stages)]
        for place, level in enumerate(self.levels):
            if not set(level.by) < set(self.by.columns) or len(set(level.by)) < len(level.by):
                yield f"level {level.title}: by= names some, not all, of the org columns {', '.join(self.by.columns)}"
                return
            if any(set(level.by) == set(other.by) for other in self.levels[:place]):
                yield f"level {level.title}: it is declared twice"
            if place and not set(level.by) < set(self.levels[place - 1].by):
                yield f"level {level.title}: it is not coarser than the level before it, {self.levels[place - 1].title}"
            for stage in level.stages:
                if names.count(stage.name) > 1:
                    yield f"level {level.title}: stage {stage.name!r}: the name is declared twice"
                if stage.after is not None:
                    yield f"level {level.title}: stage {stage.name!r}: after= is for stages of the reconciliation"
        for stage in self.stages if self.levels else ():
            if not stage.adds_up:
                yield f"stage {stage.name!r}: {stage.measure} of several orgs cannot be added up, as levels= asks for"
        for level in self.levels:
            try:
                self.at(level)
            except DeclarationError as error:
                yield f"level {level.title}: {str(error).removeprefix(f'reconciliation {self.name!r}: ')}"

    def _problems_of_losses(self, stages: Collection[str]) -> Iterator[str]:
        for known in self.explained:
            if sum(known.name == other.name for other in self.explained) > 1:
                yield f"explained {known.name!r}: the name is declared twice"
            if (known.counted is None) is (known.derived is None):
                yield f"explained {known.name!r}: give exactly one of counted= and derived="
            for stage in (*(known.derived or ()), *known.stages):
                if stage not in stages:
                    yield f"explained {known.name!r}: there is no stage {stage!r}"
            if known.sample is not None and known.counted is None:
                yield f"explained {known.name!r}: sample= is a column of a table, and it has no counted="
            if known.is_judged and known.name in stages:
                yield f"explained {known.name!r}: a stage has that name, and so would its check"
            try:
                _ = known.ladder
            except DeclarationError as error:
                yield f"explained {known.name!r}: {error}"

    @property
    def _rungs(self) -> dict[Severity, object]:
        return _declared(self.info, self.warning, self.error, self.critical) or {Severity.ERROR: 0}

    @property
    def ladder(self) -> Ladder:
        """What is allowed, from mild to severe; an undeclared one tolerates nothing, at error.

        Raises:
            DeclarationError: when the rungs are out of order or not of one shape.
        """
        return _ladder(self._rungs)

    def ladder_of(self, stage: Stage) -> Ladder:
        """Return what is allowed at a stage, of orgs that have nothing of their own.

        Raises:
            DeclarationError: as :attr:`ladder`.
        """
        return _ladder(stage.rungs or self._rungs)

    @property
    def ladders_of_orgs(self) -> dict[Group, Ladder]:
        """What is allowed of the orgs that have something of their own.

        Raises:
            DeclarationError: as :attr:`ladder`.
        """
        return {self.by.key(org): self._ladder_of_org(org) for org in self.orgs}

    def _ladder_of_org(self, org: object) -> Ladder:
        declared = {Severity.of(severity): value for severity, value in self.orgs[org].items()}
        return _ladder(declared or {Severity.ERROR: 0})

    @property
    def baseline(self) -> Stage:
        """The first stage."""
        return self.stages[0]

    @property
    def compared(self) -> tuple[Stage, ...]:
        """The stages that are held against the baseline."""
        return tuple(stage for stage in self.stages[1:] if stage.compare)

    def way_to(self, stage: Stage) -> tuple[Stage, ...]:
        """Return the stages through which records come to ``stage``, from the baseline to itself."""
        way = [stage]
        while way[0] != self.baseline:
            here = self.stages.index(way[0])
            fed_by = way[0].after
            way.insert(0, next(s for s in reversed(self.stages[:here]) if fed_by in (None, s.name)))
        return tuple(way)

    @property
    def counted(self) -> tuple[tuple[Stage, str | None], ...]:
        """What is counted, each with the column of which one value is asked: the stages, then the known losses."""
        stages: list[tuple[Stage, str | None]] = [(stage, None) for stage in self.stages]
        stages += [(known.counted, known.sample) for known in self.explained if known.counted is not None]
        return tuple(stages)

    @property
    def counted_at_levels(self) -> tuple[tuple[Reconciliation, Stage], ...]:
        """What is counted at coarser levels only, each with what is judged there."""
        return tuple((self.at(level), self._at(level, stage)) for level in self.levels for stage in level.stages)

    @property
    def check_names(self) -> tuple[str, ...]:
        """What is judged, by name: compared stages, known losses of which not any number may be lost, levels."""
        losses = (known.name for known in self.explained if known.is_judged)
        levels = (level.check(stage) for level in self.levels for stage in self.at(level).compared)
        return (*(stage.name for stage in self.compared), *losses, *levels)

    def at(self, level: Level) -> Reconciliation:
        """Return what is judged at ``level``: the sums of the stages, and what is counted there or at a finer level.

        Raises:
            DeclarationError: when what is declared of the level is refused.
        """
        by = By(level.by or (ALL,))
        place = self.levels.index(level)
        stages = [*self.stages, *(stage for one in self.levels[: place + 1] for stage in one.stages)]
        allowed = level.rungs or self._rungs
        shares = any(one.share is not None for _, one in _ladder(allowed))
        return evolve(
            self,
            by=by,
            stages=[self._at(level, stage) for stage in stages],
            explained=[
                evolve(known, **_NOTHING, counted=known.counted and self._at(level, known.counted))
                for known in self.explained
            ],
            levels=(),
            totals=(),
            orgs={},
            notes={},
            to_owners={},
            to_orgs={},
            send_well=False,
            confidence=self.confidence if shares else None,
            **(_NOTHING | {str(severity): value for severity, value in allowed.items()}),
        )

    def _at(self, level: Level, stage: Stage) -> Stage:
        """Return a stage as it is at ``level``, with the thresholds of that, where that has any."""
        own = level.by and stage in level.stages
        as_is: dict[str, Any] = {"by": None, "mapping": {}, "normalise": (), "org": None if level.by else ALL}
        called = {} if own else as_is
        allowed = _NOTHING if level.rungs and stage not in level.stages else {}
        return evolve(stage, **called, **allowed)

    @property
    def mailed(self) -> tuple[str, ...]:
        """Every channel that gets a discrepancy e-mail, of all orgs, of an owner's or of one org."""
        own = (*self.to_owners.values(), *self.to_orgs.values())
        return tuple(dict.fromkeys((*self.to, *(channel for channels in own for channel in channels))))

    @property
    def title(self) -> str:
        """The name of the pipeline in titles."""
        return self.pipeline or self.name

    def by_of(self, stage: Stage) -> By:
        """Return the org column of ``stage``."""
        return stage.by or self.by

    def key_of(self, stage: Stage) -> tuple[str, ...]:
        """Return the columns or expressions that name a record at ``stage``; none: it has no key."""
        return stage.key or self.key or stage.table.key

    def values_of(self, stage: Stage) -> tuple[str, ...]:
        """Return what is equal at all stages for records of one key."""
        return stage.values or self.values
