"""What a user declares: tables, checks and suites."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from itertools import chain
from typing import ClassVar, Literal, Protocol

from attrs import evolve, field, frozen

from dq.model.damping import for_runs_problems
from dq.model.duration import parse_duration
from dq.model.errors import DeclarationError
from dq.model.failing import ShowRows
from dq.model.group import By
from dq.model.measure import PARTITION_ROWS, Measure
from dq.model.predicate import OverRows, Predicate
from dq.model.reading import Counted, Moment, Numbers, Valued, Wanted
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.model.table import Table, is_text, words
from dq.model.thresholds import Bounds, Ladder, Tolerance, ladder

Nulls = Literal["fail", "pass", "skip"]


def _routes(value: Mapping[str, str | Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {severity: words(channels) for severity, channels in value.items()}


def _by(value: By | str | Iterable[str]) -> By:
    return value if isinstance(value, By) else By(value)


def _by_or_none(value: By | str | Iterable[str] | None) -> By | None:
    return None if value is None else _by(value)


def _every(value: str | timedelta | None) -> timedelta | None:
    return None if value is None else parse_duration(value)


class Kind(Protocol):
    """What to measure and how the numbers are read. One frozen class per kind, in ``dq/checks/``.

    Attributes:
        judged: ``violations`` for a kind that counts violations, ``value`` for one that measures a value.
        nulls: whether ``nulls=`` says anything about it.
        shares: whether a share of the rows is a threshold it knows.
        noun: what a violation is: a row, a value, a column.
        of_table: whether it speaks of the table as such, so that ``where=`` and ``by=`` say nothing about it.
        late: the roles of measures that are read only where ``needs_late`` says so, once the others are known.
    """

    judged: ClassVar[Literal["violations", "value"]]
    nulls: ClassVar[bool]
    shares: ClassVar[bool]
    noun: ClassVar[str]
    of_table: ClassVar[bool]
    late: ClassVar[tuple[str, ...]]

    @property
    def needs_rows(self) -> bool:
        """Whether a partition without rows leaves nothing to judge."""

    @property
    def remembers(self) -> Wanted | Literal["recorded"] | None:
        """What it measured before that it is held against, or that it is held against what was recorded for it."""

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""

    def recalled(self, recorded: object) -> Kind:
        """Return the kind as it measures once it knows what was recorded for it; None: nothing was."""

    def measures(self, where: str | None) -> Mapping[str, Measure]:
        """Return the measures by role."""

    def needs_late(self, numbers: Numbers) -> bool:
        """Return whether the measures in ``late`` are needed, now that the others are known."""

    def count(self, numbers: Numbers, moment: Moment) -> Counted:
        """Return what was counted (kinds that count violations)."""

    def value(self, numbers: Numbers, moment: Moment) -> Valued:
        """Return what was measured (kinds that measure a value)."""

    def failing(self) -> Predicate | Measure | None:
        """Return what tells the failing rows: a predicate, or a measure that counts them; None: nothing does."""

    def __str__(self) -> str:
        """Return what it demands, for people: ``amount > 0``, ``customer_id is not NULL``."""


class Judged:
    """What checks and reconciliations share: how bad it is when there is no answer.

    Attributes:
        ladder: the thresholds from mild to severe.
        on_empty: the severity of "no rows": the top rung by default, a severity, or ``"ok"``.
        on_error: the severity of "could not be measured": the top rung by default.
    """

    __slots__ = ()
    on_empty: str | Severity | None
    on_error: str | Severity | None

    @property
    def ladder(self) -> Sequence[tuple[Severity, object]]:
        """The thresholds from mild to severe."""
        raise NotImplementedError

    @property
    def top(self) -> Severity:
        """The severity of the top rung."""
        return self.ladder[-1][0]

    @property
    def empty_severity(self) -> Severity | None:
        """How bad no rows in the partition are; None: that is fine."""
        return None if self.on_empty == "ok" else self.top if self.on_empty is None else Severity.of(self.on_empty)

    @property
    def error_severity(self) -> Severity:
        """How bad it is that the check could not be measured."""
        return self.top if self.on_error is None else Severity.of(self.on_error)


@frozen
class Check(Judged):
    """A named demand on the rows of a table, with thresholds per severity.

    A ladder gives one threshold per severity: for kinds that count rows a tolerance (int = count, ``"1%"`` or a
    float in (0, 1) = share), for kinds that measure a value bounds (``at_least``, ``at_most``, ``between``). The
    plain form is ``tolerance=`` with ``severity=``. Without any threshold a row kind tolerates nothing, at error.

    Attributes:
        name: unique in its suite; with the suite's name it is the identity.
        kind: what to measure, e.g. ``Rows("amount > 0")``.
        info, warning, error, critical: the rungs of the ladder.
        tolerance, severity: the plain form of a ladder of one rung.
        where: only rows for which this predicate is TRUE are looked at.
        nulls: for kinds with a predicate: what a NULL (unknown) row is: ``fail`` (a violation, the default),
            ``pass`` (a good row) or ``skip`` (not looked at).
        on_empty: the severity of "no rows in the partition": the top rung by default, a severity, or ``"ok"``.
        on_empty_where: the severity of "``where=`` left no row"; None: that is a pass with rows=0.
        on_error: the severity of "could not be measured": the top rung by default.
        by: the group columns; None: those of the suite.
        orgs: thresholds of single orgs in the place of the check's own, by the org's value:
            ``orgs={14: {"warning": "5%", "critical": "10%"}}``.
        confidence: a share is exceeded only if the true share exceeds it with that one-sided confidence (Wilson's
            score interval), e.g. 0.95: so few rows do not make a false alarm.
        known: violations that were there before and are being repaired: that many do not count. Where fewer are seen
            in one of the last 366 partitions, only those few remain known (a ratchet: it needs dq's store).
        sample: a share of the rows, e.g. ``"1%"``, chosen at random, is looked at instead of all of them. For kinds
            with a predicate and thresholds that are shares; they are judged with ``confidence=`` (0.95 by default).
        show: what is shown of the rows that break it; None: what the suite says.
        quarantine: a table of the same datasource, which must be marked ``write = true``: the rows that break the check
            are copied there, in the database, with suite, check and partition; a later run replaces them.
        notify: channels per severity (that or worse), sugar for a route.
        for_runs: in how many runs it must be bad before people are told: ``2`` one after the other, or ``"2 of 3"``;
            None: what the suite says.
        was: the name it had before, so that its history and open incident go on.
        owner, runbook, description, tags: labels that travel with alerts.
    """

    name: str
    kind: Kind
    info: object = field(default=None, kw_only=True)
    warning: object = field(default=None, kw_only=True)
    error: object = field(default=None, kw_only=True)
    critical: object = field(default=None, kw_only=True)
    tolerance: object = field(default=None, kw_only=True)
    severity: str | Severity | None = field(default=None, kw_only=True)
    where: str | None = field(default=None, kw_only=True)
    nulls: Nulls = field(default="fail", kw_only=True)
    on_empty: str | Severity | None = field(default=None, kw_only=True)
    on_empty_where: str | Severity | None = field(default=None, kw_only=True)
    on_error: str | Severity | None = field(default=None, kw_only=True)
    by: By | None = field(default=None, converter=_by_or_none, kw_only=True)
    orgs: Mapping[object, Mapping[str, object]] = field(factory=dict, kw_only=True)
    confidence: float | None = field(default=None, kw_only=True)
    known: int | None = field(default=None, kw_only=True)
    sample: object = field(default=None, kw_only=True)
    show: ShowRows | None = field(default=None, kw_only=True)
    quarantine: str | None = field(default=None, kw_only=True)
    notify: Mapping[str, tuple[str, ...]] = field(factory=dict, converter=_routes, kw_only=True)
    for_runs: int | str | None = field(default=None, kw_only=True)
    was: str | None = field(default=None, kw_only=True)
    owner: str | None = field(default=None, kw_only=True)
    runbook: str | None = field(default=None, kw_only=True)
    description: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), converter=words, kw_only=True)

    @property
    def ladder(self) -> Ladder:
        """The thresholds from mild to severe.

        Raises:
            DeclarationError: when they are missing, mixed, out of order or do not fit the kind.
        """
        rungs: dict[Severity, object] = {
            severity: declared
            for severity, declared in zip(Severity, (self.info, self.warning, self.error, self.critical), strict=True)
            if declared is not None
        }
        if self.tolerance is not None or self.severity is not None:
            if rungs:
                raise DeclarationError("it mixes the plain form (tolerance=, severity=) with a ladder; use one of them")
            severity = Severity.of(self.severity if self.severity is not None else "error")
            rungs = {severity: 0 if self.tolerance is None else self.tolerance}
        return self._ladder(rungs)

    def ladder_of(self, org: object) -> Ladder:
        """Return the thresholds of an org that has its own, by its value in ``orgs=``.

        Raises:
            DeclarationError: as :attr:`ladder`.
        """
        return self._ladder({Severity.of(severity): declared for severity, declared in self.orgs[org].items()})

    def _ladder(self, rungs: dict[Severity, object]) -> Ladder:
        if self.kind.judged == "value":
            if self.tolerance is not None or self.severity is not None:
                raise DeclarationError(
                    "a tolerance does not fit a kind that measures a value; give bounds such as at_least(1)"
                )
            if not rungs:
                raise DeclarationError("it has no bounds; give one per severity, e.g. critical=at_least(1)")
            return ladder(rungs, _bounds)
        parsed = ladder(rungs or {Severity.ERROR: 0}, Tolerance.of)
        if not self.kind.shares and any(isinstance(t, Tolerance) and t.is_share for _, t in parsed):
            raise DeclarationError("a share does not fit it, because the number of all rows is not known; give a count")
        return parsed

    @property
    def remembers(self) -> Wanted | Literal["recorded"] | None:
        """What of before it is judged by: what its kind says; for ``known=`` the violations of older partitions."""
        return self.kind.remembers or (None if self.known is None else Wanted(KNOWN_LOOKS_BACK, failed=True))

    @property
    def shown(self) -> ShowRows:
        """What is shown of the rows that break it."""
        return self.show or ShowRows()

    @property
    def sampled(self) -> Fraction | None:
        """The share of the rows that is looked at; None: all of them.

        Raises:
            DeclarationError: when ``sample=`` is not a share.
        """
        if self.sample is None:
            return None
        share = Tolerance.of(self.sample)
        if not share.is_share:
            raise DeclarationError(f'sample={self.sample!r} is not a share of the rows; write e.g. "1%"')
        return share.limit

    @property
    def certainty(self) -> float | None:
        """How certain it must be that a share is exceeded; None: what was counted is all there is."""
        return 0.95 if self.confidence is None and self.sample is not None else self.confidence

    def measures(self) -> Mapping[str, Measure]:
        """Return what is measured, by role, with the filter and the sample of the check."""
        roles = {role: evolve(m, sample=self.sampled) for role, m in self.kind.measures(self.where).items()}
        counted = roles.get("violations")
        if self.nulls == "pass" and self.kind.nulls and counted is not None and counted.form == "violations":
            # A NULL is a good row, so it need not be counted, which is cheaper.
            return {r: m for r, m in roles.items() if r != "unknown"} | {"violations": evolve(counted, form="false")}
        return roles

    @property
    def partition_rows(self) -> Measure:
        """What tells whether the partition has rows at all."""
        return evolve(PARTITION_ROWS, sample=self.sampled)

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration, a clause each; the suite refuses to be made with any."""
        if not is_text(self.name):
            yield "its name is empty or not a text"
        elif not self.name.isprintable():
            yield "its name has a line break or another character that cannot be shown"
        elif len(self.name) > LONGEST_PART:
            yield f"its name has {len(self.name)} characters; the store keeps {LONGEST_PART}"
        if isinstance(self.kind, type) or not hasattr(self.kind, "measures"):
            yield f"{self.kind!r} is not a kind of check; write e.g. Rows('amount > 0') or NotNull('id')"
            return
        yield from self.kind.problems()
        for what, text in (("where", self.where), ("was", self.was), ("quarantine", self.quarantine)):
            if text is not None and not is_text(text):
                yield f"{what}={text!r} is not a text"
        try:
            top = self.ladder[-1][1]
            units = getattr(self.kind, "units", ("number",))
            if isinstance(top, Bounds) and top.unit not in units:
                measured = {"number": "a number", "time": "a number or a time"}.get(units[-1])
                yield f"{top} does not fit {self.kind}: " + (
                    f"it measures {measured}" if measured else 'it measures an age; write e.g. at_most("3h")'
                )
        except DeclarationError as error:
            yield str(error)
        for severity in (
            self.on_empty if self.on_empty != "ok" else None,
            self.on_empty_where,
            self.on_error,
            *self.notify,
        ):
            if severity is not None:
                try:
                    Severity.of(severity)
                except DeclarationError as error:
                    yield str(error)
        yield from for_runs_problems(self.for_runs)
        yield from self._judgement_problems()
        yield from self._said_in_vain()

    def _said_in_vain(self) -> Iterator[str]:
        if self.nulls not in ("fail", "pass", "skip"):
            yield f'nulls={self.nulls!r} is not one of "fail", "pass", "skip"'
        elif self.nulls != "fail" and not self.kind.nulls:
            yield f"nulls= says nothing about {self.kind}"
        for what, said in (("where=", self.where), ("by=", self.by)):
            if said is not None and self.kind.of_table:
                yield f"{what} says nothing about {self.kind}, which looks at the table as such"

    def _judgement_problems(self) -> Iterator[str]:
        yield from self.shown.problems() if isinstance(self.shown, ShowRows) else ["show= is no ShowRows(...)"]
        if self.quarantine is not None and self.kind.failing() is None:
            yield f"quarantine= does not fit {self.kind}, which no single row breaks"
        for org in self.orgs:
            try:
                self.ladder_of(org)
            except (DeclarationError, AttributeError) as error:
                yield f"orgs= for {org!r}: {error}"
        if self.confidence is not None:
            if isinstance(self.confidence, bool) or not isinstance(self.confidence, float):
                yield f"confidence={self.confidence!r} is not a number such as 0.95"
            elif not 0.5 < self.confidence < 1:
                yield f"confidence={self.confidence!r} is not between 0.5 and 1"
            elif not any(isinstance(t, Tolerance) and t.is_share for _, t in self._ladder_or_none()):
                yield "confidence= says how sure a share is, and there is none among its thresholds"
        yield from self._sample_problems()
        if self.known is not None:
            if isinstance(self.known, bool) or not isinstance(self.known, int) or self.known < 0:
                yield f"known={self.known!r} is not a number of violations"
            elif self.kind.judged == "value":
                yield "known= counts violations, but it measures a value"

    def _sample_problems(self) -> Iterator[str]:
        if self.sample is None:
            return
        try:
            _ = self.sampled
        except DeclarationError as error:
            yield str(error)
            return
        counts = self.kind.judged == "violations" and all(
            m.form in ("rows", "violations", "unknown") and not isinstance(m.of, OverRows)
            for m in self.kind.measures(None).values()
        )
        if not counts:
            yield f"sample= does not fit {self.kind}: what it measures of a few rows says nothing of all of them"
        elif not all(isinstance(t, Tolerance) and t.is_share for _, t in self._ladder_or_none()):
            yield 'sample= needs thresholds that are shares, e.g. "1%": a count says nothing of the other rows'

    def _ladder_or_none(self) -> Ladder:
        try:
            return self.ladder
        except DeclarationError:
            return ()  # that is told apart


def _upstream(value: str | Iterable[str]) -> tuple[str, ...]:
    given: object = value
    if not isinstance(given, Iterable):
        raise DeclarationError(f"upstream= takes the names of suites and reconciliations, not a {type(given).__name__}")
    return words(value)


def upstream_problems(name: str, upstream: tuple[object, ...]) -> Iterator[str]:
    """Yield what is wrong with the ``upstream=`` of the suite or reconciliation ``name``, as far as it alone shows."""
    for above in upstream:
        if not is_text(above):
            what = repr(above) if isinstance(above, str) else f"a {type(above).__name__}"
            yield f"upstream= takes the names of suites and reconciliations, not {what}"
    if name in upstream:
        yield "upstream= names itself"


def _bounds(value: object) -> Bounds:
    if isinstance(value, Bounds):
        return value
    raise DeclarationError(f"{value!r} is not a range for a measured value; write e.g. at_least(1) or at_most(100)")


def _checks(value: Iterable[Check]) -> tuple[Check, ...]:
    return tuple(value)


KNOWN_LOOKS_BACK = 366
"""Of how many older partitions ``known=`` takes the fewest violations."""

LONGEST_NAME = 190
"""Characters of the name of a suite or reconciliation: as many as the store keeps and indexes on every database."""

LONGEST_PART = 250
"""Characters of the name of a check or stage."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def name_problems(name: object) -> Iterator[str]:
    """Yield what is wrong with the name of a suite or reconciliation."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield "a name is made of letters, digits, '_', '.' and '-'"
    elif len(name) > LONGEST_NAME:
        yield f"its name has {len(name)} characters; the store keeps {LONGEST_NAME}"


@frozen
class Suite:
    """The checks of one dataset: the unit that a DAG runs.

    Attributes:
        name: unique in the project; letters, digits, ``_``, ``.`` and ``-``.
        table: the dataset.
        checks: its checks.
        by: the group columns that hold for every check without its own.
        sla: when a partition must be there.
        show: what is shown of the rows that break a check without ``show=`` of its own.
        lookback: so many partitions before the one of a run are checked again with it, because rows come late or are
            restated; each is a run of its own.
        every: how often the suite is due, e.g. ``"2h30m"``; None: at every run.
        notify: channels per severity, for all its checks.
        for_runs: in how many runs a check must be bad before people are told: ``2`` one after the other, or
            ``"2 of 3"``; None: the first is told. It damps what flaps; an SLA is never damped.
        upstream: the names of suites and reconciliations that must be well for this one to mean anything: while one of
            them is not, what is wrong here is blocked, and not told, unless it is worse.
        owner, runbook, description, tags: labels that its checks inherit.
    """

    name: str
    table: Table
    checks: tuple[Check, ...] = field(converter=_checks, kw_only=True)
    by: By | None = field(default=None, converter=_by_or_none, kw_only=True)
    sla: Sla | None = field(default=None, kw_only=True)
    show: ShowRows | None = field(default=None, kw_only=True)
    lookback: int = field(default=0, kw_only=True)
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
            raise DeclarationError(f"suite {self.name!r}: {problem}")
        if self.show is not None:
            own = (evolve(c, show=c.show or self.show) if isinstance(c, Check) else c for c in self.checks)
            object.__setattr__(self, "checks", tuple(own))
        seen: set[str] = set()
        for check in self.checks:
            if not isinstance(check, Check):
                raise DeclarationError(f"suite {self.name!r}: {check!r} is not a Check")
            for problem in chain(check.problems(), self._in_suite_problems(check)):
                raise DeclarationError(f"suite {self.name!r}, check {check.name!r}: {problem}")
            if check.name in seen:
                raise DeclarationError(f"suite {self.name!r}, check {check.name!r}: the name is declared twice")
            seen.add(check.name)
        if not seen:
            raise DeclarationError(f"suite {self.name!r}: it has no checks, so it could never find anything")
        for check in self.checks:
            if check.was in seen:
                raise DeclarationError(
                    f"suite {self.name!r}, check {check.name!r}: was={check.was!r} is the name of a check, "
                    "or the former name of another one"
                )
            if check.was is not None:
                seen.add(check.was)
        for severity in self.notify:
            try:
                Severity.of(severity)
            except DeclarationError as error:
                raise DeclarationError(f"suite {self.name!r}, notify: {error}") from None

    def _problems(self) -> Iterator[str]:
        table: object = self.table
        sla: object = self.sla
        yield from name_problems(self.name)
        if not isinstance(table, Table):
            yield f"its table is {table!r}, not a Table"
        if isinstance(self.lookback, bool) or not isinstance(self.lookback, int) or not 0 <= self.lookback <= 366:
            yield f"lookback={self.lookback!r} is not a number of partitions"
        elif self.lookback and self.table.partition is None:
            yield "lookback= needs a table with a partition column"
        if sla is not None and not isinstance(sla, Sla):
            yield f'its sla is {sla!r}; write e.g. Sla(due="06:00")'
        yield from for_runs_problems(self.for_runs)
        yield from upstream_problems(self.name, self.upstream)

    def _in_suite_problems(self, check: Check) -> Iterator[str]:
        if is_text(check.quarantine) and str(check.quarantine).casefold() == self.table.name.casefold():
            yield f"quarantine={check.quarantine!r} is the checked table itself"
        by = self.by_of(check)
        if by is None:
            if check.orgs:
                yield "orgs= gives thresholds to single orgs, but it has no by="
            return
        for org in check.orgs:
            try:
                by.key(org)
            except DeclarationError as error:
                yield f"orgs=: {error}"

    def by_of(self, check: Check) -> By | None:
        """Return the group columns that hold for ``check``; None for one that speaks of the table as such."""
        if check.kind.of_table:
            return None
        return check.by if check.by is not None else self.by
