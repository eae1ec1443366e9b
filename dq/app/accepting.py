"""Accepting: what somebody knows to be missing or too much, and is content with for a while."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from fractions import Fraction

from attrs import evolve, frozen
from sqlalchemy.engine import Connection

from dq import events
from dq.acceptance import TOLD_OF, shrunk, within
from dq.alerting.incidents import of_subject, read_open
from dq.alerting.silences import a_name
from dq.app.reading import ledger
from dq.app.session import find_reconciliation, in_transaction, judgement_time, transaction
from dq.model.acceptance import Acceptance, AcceptanceEnd, Most
from dq.model.errors import UsageError
from dq.model.interval import Interval
from dq.model.ledger import Count, LedgerRow
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result, Run
from dq.model.severity import Outcome
from dq.orgs import org_called
from dq.plugins import suggest
from dq.project import Project
from dq.store import acceptances

NAMED = 20
"""So many orgs are named to somebody who names one that is not there."""


@frozen(kw_only=True)
class Made:
    """An acceptance that was made, and what it means.

    Attributes:
        acceptance: as it is stored.
        replaces: what it takes the place of; None: nothing.
        found: the discrepancy in the latest stored run; None: there is none, or it was not measured there.
        partition: of that run.
        baseline: the count of the baseline there.
        fits: whether what was found is within what is accepted.
        is_open: whether an incident of it is open.
    """

    acceptance: Acceptance
    replaces: Acceptance | None
    found: Count | None
    partition: Interval | None
    baseline: Count
    fits: bool
    is_open: bool


def accept(
    project: Project,
    name: str,
    org: str,
    *,
    reason: str,
    until: date,
    who: str,
    stage: str | None = None,
    interval: Interval | None = None,
    at_most: str | None = None,
    now: datetime | None = None,
) -> tuple[Made, ...]:
    """Accept the discrepancy of an org at stages of a reconciliation, until a day is over.

    Args:
        project: whose environment.
        name: of the reconciliation.
        org: as the ledger shows it.
        reason: why, for people; the report says it.
        until: the last day (UTC) on which it holds.
        who: the name of a person.
        stage: the name of a stage; None: each that differs in that run; where none does, and ``at_most`` is given,
            each that is compared.
        interval: the only partition that it is about; None: all.
        at_most: as :meth:`Most.of` reads it; without a sign it goes the way in which the latest run differs. None: what
            the latest stored run (of that partition) has as its discrepancy.
        now: when that is said.

    Returns:
        One per stage.

    Raises:
        UsageError: when there is no such reconciliation, stage or org, nothing is known or missing that could be
            accepted, the day is over, or the reason is missing.
        DeclarationError: when ``at_most`` is no amount.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    declared = find_reconciliation(project, name)
    place, here, wanted = _wanted(declared, stage)
    if not reason.strip():
        raise UsageError("an acceptance needs a reason: people will read it in every report")
    ends_at = Interval.of_day(until).end
    if ends_at <= now:
        raise UsageError(f"it would be over already: {until} has ended")
    most = None if at_most is None else Most.of(at_most)
    row = _row(project, declared, place, org, interval, needed=most is None)
    group = row.org if row is not None else org_called(here, org)
    made = Acceptance(
        id=0,
        reconciliation=declared.name,
        org=group,
        stage="",
        most=most or Most(Fraction(1)),
        partition=interval,
        reason=reason.strip(),
        author=a_name(who),
        created_at=now,
        ends_at=ends_at,
        newest=row.interval.start if row is not None else None,
    )
    differs = {check: one for check, one in wanted.items() if row is not None and row.discrepancy.get(one)}
    if most is not None and differs:
        wanted = differs
    todo = {evolve(made, stage=check, most=_most(declared, one, most, row, org)): one for check, one in wanted.items()}
    todo = {one: column for one, column in todo.items() if one.most.limit}
    if not todo:
        at = f" at {stage}" if stage is not None else ""
        when = row.interval if row is not None else ""
        raise UsageError(f"org {org!r} does not differ{at} in the run of {when}: there is nothing to accept")

    def work(connection: Connection) -> tuple[Made, ...]:
        earlier = acceptances.of(connection, project.environment, declared.name, now, lock=True)
        incidents = read_open(connection, of_subject(project.environment, "reconciliation", declared.name))
        bad = frozenset(one.key.part for one in incidents if one.key.org == group.key)
        return tuple(
            _add(connection, project, declared, one, column, row, earlier, bad, now) for one, column in todo.items()
        )

    return in_transaction(project, work)


def _wanted(declared: Reconciliation, stage: str | None) -> tuple[int | None, Reconciliation, dict[str, str]]:
    """Return the place of the level that ``stage`` is of (None: none), what is judged there, and stages by check.

    Raises:
        UsageError: when there is no such stage.
    """
    own = {one.name: one.name for one in declared.compared}
    if stage is None:
        return None, declared, own
    if stage in own:
        return None, declared, {stage: stage}
    checks = [*own]
    for place, level in enumerate(declared.levels):
        here = declared.at(level)
        there = {level.check(one): one.name for one in here.compared}
        if stage in there:
            return place, here, {stage: there[stage]}
        checks += there
    raise UsageError(
        f"reconciliation {declared.name!r}: no stage {stage!r} is held against {declared.baseline.name};"
        f" {suggest(stage, tuple(checks))}"
    )


def _row(
    project: Project,
    declared: Reconciliation,
    place: int | None,
    org: str,
    interval: Interval | None,
    *,
    needed: bool,
) -> LedgerRow | None:
    """Return the newest row of an org in the latest stored run; None: there is none, and it is not ``needed``.

    Args:
        project, declared: whose run.
        place: of the level whose org it is; None: none.
        org: as the ledger shows it.
        interval: the partition; None: the latest.
        needed: a run without the org will not do.

    Raises:
        UsageError: when there is none, and it is needed.
    """
    try:
        _, found = ledger(project, declared.name, interval)
    except UsageError:
        if needed:
            raise
        return None
    every = found.rows if place is None else found.levels[place].rows if place < len(found.levels) else ()
    rows = [row for row in every if row.org.label == org]
    if not rows and (needed or every):
        names = sorted({row.org.label for row in every})
        near = suggest(org, tuple(names[:NAMED])) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
        raise UsageError(f"reconciliation {declared.name!r}: the run of {found.interval} has no org {org!r}; {near}")
    return max(rows, key=lambda row: row.interval, default=None)


def _most(declared: Reconciliation, stage: str, most: Most | None, row: LedgerRow | None, org: str) -> Most:
    """Return how much is accepted at a stage; a limit of zero: nothing has to be."""
    missing = None if row is None else row.discrepancy.get(stage)
    if most is not None:
        return most if most.too_many or not missing else evolve(most, too_many=missing < 0)
    if row is None or missing is None:
        raise UsageError(
            f"org {org!r} could not be measured at {stage} of {declared.name!r} in its latest run;"
            " say how much is accepted with --at-most"
        )
    return Most(abs(Fraction(missing)), too_many=missing < 0)


def _add(
    connection: Connection,
    project: Project,
    declared: Reconciliation,
    one: Acceptance,
    column: str,
    row: LedgerRow | None,
    earlier: Sequence[Acceptance],
    bad: frozenset[str],
    now: datetime,
) -> Made:
    """Store an acceptance in the place of the one that holds there; ``column``: the stage in the row of the org."""
    same = (one.stage, one.org.values, one.partition)
    replaced = next((e for e in earlier if e.ended is None and (e.stage, e.org.values, e.partition) == same), None)
    if replaced is not None:
        _end(connection, project.environment, replaced, "replaced", one.author, now)
    stored = acceptances.add(connection, project.environment, one)
    _note(connection, project.environment, events.EventName.ACCEPTANCE_ADDED, stored, one.author, now)
    found = None if row is None else row.discrepancy.get(column)
    baseline = 0 if row is None else row.counts.get(declared.baseline.name) or 0
    return Made(
        acceptance=stored,
        replaces=replaced,
        found=found,
        partition=None if row is None else row.interval,
        baseline=baseline,
        fits=found is not None and (not found or within(one.most, found, baseline)),
        is_open=one.stage in bad,
    )


def accepted(
    project: Project,
    *,
    all: bool = False,  # noqa: A002  # the word of the command's option
    now: datetime | None = None,
) -> tuple[Acceptance, ...]:
    """Return the acceptances that hold, oldest first; with ``all`` also those that are over.

    Raises:
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    with transaction(project) as connection:
        found = acceptances.listed(connection, project.environment)
    return tuple(one for one in found if all or (one.ended is None and now < one.ends_at))


def end_acceptance(project: Project, number: int, who: str, now: datetime | None = None) -> Acceptance:
    """End an acceptance: what differs is judged again with the next run; return it as it was.

    Raises:
        UsageError: when there is none of that number that holds.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    by = a_name(who)

    def work(connection: Connection) -> Acceptance:
        found = acceptances.get(connection, project.environment, number)
        if found is None or found.ended is not None:
            raise UsageError(f"there is no acceptance {number} that holds; `dq accept list` lists them")
        _end(connection, project.environment, found, "ended", by, now)
        return found

    return in_transaction(project, work)


def shrink(connection: Connection, run: Run, now: datetime) -> None:
    """Let what is accepted shrink to what a run found, and end what is used up or has expired; in a close."""
    for one in acceptances.of(connection, run.environment, run.suite, now - TOLD_OF, lock=True):
        if one.ended is not None:
            continue
        if one.ends_at <= now:
            _end(connection, run.environment, one, "expired", "", one.ends_at)
            continue
        if one.partition is not None and one.partition != run.interval:
            continue
        after = shrunk(one, _found(run.results, one), run.interval)
        if after is None:
            _end(connection, run.environment, one, "used up", "", now)
        elif after != one:
            acceptances.keep(connection, after)
            if after.most != one.most:
                _note(connection, run.environment, events.EventName.ACCEPTANCE_SHRUNK, after, "", now)


def _found(results: Sequence[Result], one: Acceptance) -> Fraction | None:
    """Return what a run found of an org at a stage, in the unit of what is accepted; None: it was not measured."""
    for result in results:
        if result.check != one.stage or result.group is None or result.group.values != one.org.values:
            continue
        if result.outcome is Outcome.FAIL:
            return one.most.limit  # more than is accepted, or the other way
        share = (result.detail or {}).get("share")
        found = share if one.most.is_share else result.observed
        if result.outcome is Outcome.PASS and found is not None and (result.rows or result.violations):
            return Fraction(str(found)) * (-1 if one.most.too_many else 1)
    return None


def _end(connection: Connection, environment: str, one: Acceptance, how: AcceptanceEnd, by: str, now: datetime) -> None:
    ended = acceptances.end(connection, one, how, now)
    _note(connection, environment, events.EventName.ACCEPTANCE_ENDED, ended, by, now)


def _note(
    connection: Connection, environment: str, name: events.EventName, one: Acceptance, by: str, now: datetime
) -> None:
    body = {
        "acceptance": one.id,
        "org": one.org.label,
        "stage": one.stage,
        "at_most": str(one.most),
        "partition": None if one.partition is None else str(one.partition),
        "until": str(one.last_day),
        "reason": one.reason,
        "author": one.author,
        "by": by,
        "ended": one.ended,
    }
    events.append(connection, environment, name, one.reconciliation, body, now)
