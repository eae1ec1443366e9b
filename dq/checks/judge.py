"""Judge: numbers in, Results out. Pure; time is an argument.

A check of a partition, or of one org in it:

    what was measured                                   outcome      severity
    --------------------------------------------------  -----------  ---------------------------------------
    a number is missing (the statement broke)           unmeasured   on_error, else the top rung
    nothing to hold it against yet                      skip         none
    no rows in the partition                            no_data      on_empty: top rung, a severity, or none
    rows, but none left by where=                       pass, rows=0
        with on_empty_where= a severity                 no_data      that severity
        and the rows are what is measured (RowCount)    none is a number like any other: it is judged
    rows, but the value is NULL (value kinds)           no_data      on_empty, as above
    more than the tolerance, or outside the bounds      fail         the worst rung broken
    anything else                                       pass         none

What a NULL (unknown) row is, for kinds with a predicate:

    nulls=   counts as a violation   stays in the number of rows
    fail     yes                     yes
    pass     no                      yes
    skip     no                      no

An org that is expected and has no rows is a no_data Result of its own. One with fewer rows than By(min_rows=) is not
judged (skip). Its thresholds are those of ``orgs=``, where it has any.

``known=N``: as many violations do not count as N, or as the fewest of the last year's partitions, whichever is less.
``confidence=``: a share is exceeded only where Wilson's lower bound of the share of violations exceeds it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from attrs import evolve, field, frozen

from dq.checks.confidence import lower_bound
from dq.checks.history import Change
from dq.checks.kind import whole
from dq.model.check import Check
from dq.model.errors import MeasureError, NotJudgedError
from dq.model.group import By, Group
from dq.model.interval import Interval
from dq.model.measure import Measure
from dq.model.reading import Counted, Kept, Moment, Past, Valued, Wanted
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.model.thresholds import Bounds, Ladder, Tolerance, Value, format_value

WORST_NAMED = 10
"""How many orgs a sentence names before it counts the others."""

Numbers = Mapping[Measure, object]


@frozen
class Reading:
    """What a scan measured for one check.

    Attributes:
        numbers: the measured numbers by org; the key is None in a scan that is not grouped.
        error: why it could not be measured; then ``numbers`` says nothing.
        by: the group columns, with what is demanded of a group; None: the numbers are of the whole.
        expected: the orgs that must have rows.
        past: what the check measured before, by org, the newest partition first; the key is None for the whole.
        recorded: what was recorded for the check to be held against.
    """

    numbers: Mapping[Group | None, Numbers]
    error: str | None = None
    by: By | None = None
    expected: tuple[Group, ...] = ()
    past: Mapping[Group | None, tuple[Past, ...]] = field(factory=dict)
    recorded: object = None


def judge(
    check: Check,
    reading: Reading,
    now: datetime,
    interval: Interval,
    *,
    keep: Container[Group] = (),
) -> tuple[Result, ...]:
    """Return the summary of ``check``, and a Result per org that is not well.

    Args:
        check: what is demanded.
        reading: what was measured.
        now: the time of the judgement (ages are taken at it).
        interval: the partition.
        keep: orgs that get a Result even when they are well, e.g. those with an open incident.
    """
    if reading.error is not None:
        return (unmeasured(check, reading.error),)

    # Worked out once, however many orgs there are.
    ladder_of, roles, in_partition = _ladders(check, reading.by), check.measures(), check.partition_rows

    def judged(group: Group | None, numbers: Numbers) -> Result:
        moment = Moment(now, interval, reading.past.get(group, ()), reading.recorded)
        case = _Case(check, group, reading.by, ladder_of(group), moment, roles)
        return _judge_one(case, numbers, whole(numbers.get(in_partition)) or 0)

    if reading.by is None:
        return (judged(None, reading.numbers.get(None, {})),)
    orgs = [judged(group, numbers) for group, numbers in reading.numbers.items() if group is not None]
    seen = {group.values for group in reading.numbers if group is not None}
    orgs += [
        _empty(check, group, "it is expected, but has no rows")
        for group in reading.expected
        if group.values not in seen
    ]
    bad = sorted((r for r in orgs if r.severity is not None), key=_worst_first)
    kept = [r for r in orgs if r.severity is None and r.group in keep]
    remembered = tuple(orgs) if isinstance(check.remembers, Wanted) else ()
    return (evolve(_summary(check, orgs, bad), every_org=remembered), *bad, *kept)


def _ladders(check: Check, by: By | None) -> Callable[[Group | None], Ladder]:
    """Return what gives the thresholds of the whole, or of an org."""
    own = check.ladder
    orgs = {} if by is None else {by.key(org): check.ladder_of(org) for org in check.orgs}
    return lambda group: own if group is None else orgs.get(group, own)


def unmeasured(check: Check, why: str) -> Result:
    """Return the Result of a check that could not run, with the reason for people."""
    return Result(
        check=check.name,
        outcome=Outcome.UNMEASURED,
        severity=check.error_severity,
        sentence=f"could not be measured: {why}",
    )


def not_judged(check: Check, why: str) -> Result:
    """Return the Result of a check that has nothing to be held against, with the reason for people."""
    return Result(check=check.name, outcome=Outcome.SKIP, sentence=f"not judged: {why}")


@frozen
class _Case:
    """What is judged: a check, of the whole or of one org, at a moment."""

    check: Check
    group: Group | None
    by: By | None
    ladder: Ladder
    moment: Moment
    roles: Mapping[str, Measure]

    def known(self) -> int:
        """Return how many violations do not count."""
        if self.check.known is None:
            return 0
        seen = (int(past.measured) for past in self.moment.past if isinstance(past.measured, Fraction))
        return min([self.check.known, *seen])


def _judge_one(case: _Case, numbers: Numbers, in_partition: int) -> Result:
    check, group, kind, roles = case.check, case.group, case.check.kind, case.roles
    found = {role: numbers[measure] for role, measure in roles.items() if measure in numbers}
    if kind.needs_rows:
        if in_partition == 0 and not found.get("violations"):
            return _empty(check, group, f"no rows in the {_sampled(check)}partition")
        if case.by is not None and 0 < in_partition < case.by.min_rows:
            few = f"not judged: its {_many(in_partition, 'row')} are fewer than the {case.by.min_rows} of By(min_rows=)"
            return Result(check=check.name, group=group, outcome=Outcome.SKIP, rows=in_partition, sentence=few)
        # A measure of the rows themselves (RowCount) has a number to judge, though it is none.
        if "rows" in roles and not found.get("rows"):
            if check.on_empty_where is not None:
                sentence = f"{in_partition} rows in the partition, but none left by where {check.where}"
                return evolve(_empty(check, group, sentence), severity=Severity.of(check.on_empty_where))
            if check.where is not None and roles.get("value") != roles["rows"]:
                return Result(
                    check=check.name,
                    group=group,
                    outcome=Outcome.PASS,
                    rows=0,
                    violations=0 if kind.judged == "violations" else None,
                    threshold=str(case.ladder[0][1]),
                    sentence=f"no rows left by where {check.where}, so nothing to hold against it",
                )
    try:
        if kind.judged == "violations":
            return _judge_count(case, kind.count(found, case.moment))
        rows = whole(found.get("rows")) or 0 if "rows" in roles else None
        return _judge_value(case, rows, kind.value(found, case.moment))
    except NotJudgedError as error:
        return evolve(not_judged(check, str(error)), group=group, measured=_measured(error))
    except MeasureError as error:
        return evolve(unmeasured(check, str(error)), group=group, measured=_measured(error))


def rejudge(check: Check, kept: Kept, past: tuple[Past, ...], by: By | None = None) -> Result:
    """Return the Result of a number that was measured before, as the thresholds of ``check`` judge it.

    Args:
        check: what is demanded; its name does not matter.
        kept: the number.
        past: what the same check measured for older partitions.
        by: the group columns.
    """
    moment = Moment(kept.interval.end, kept.interval, past)
    # nulls= was heeded when it was measured.
    heeded = evolve(check, nulls="fail")
    case = _Case(heeded, kept.group, by, _ladders(check, by)(kept.group), moment, heeded.measures())
    kind, number = check.kind, kept.measured
    if kind.judged == "violations":
        return _judge_count(case, Counted(int(number), kept.rows))
    try:
        valued = kind.compared(number, moment) if isinstance(kind, Change) else None
        return _judge_value(case, kept.rows, valued or Valued(_in_unit(number, case.ladder[0][1])))
    except NotJudgedError as error:
        return evolve(not_judged(check, str(error)), group=kept.group, measured=_measured(error))
    except MeasureError as error:
        return evolve(unmeasured(check, str(error)), group=kept.group, measured=_measured(error))


def _in_unit(number: Fraction, bounds: Tolerance | Bounds) -> Value:
    """Return a number as it was before it was kept: an age and a time are kept in seconds."""
    unit = bounds.unit if isinstance(bounds, Bounds) else "number"
    if unit == "number":
        return number
    seconds = timedelta(microseconds=round(number * 1_000_000))
    return seconds if unit == "duration" else _EPOCH + seconds


def _measured(error: NotJudgedError | MeasureError) -> int | Decimal | None:
    return _plain(error.measured) if isinstance(error.measured, Fraction | timedelta | datetime) else None


def _judge_count(case: _Case, counted: Counted) -> Result:
    check = case.check
    violations, rows, unknown = counted.violations, counted.rows, counted.unknown
    if check.kind.nulls and check.nulls != "fail":
        # Where they are good rows they are not counted at all, see Check.measures; a kind of a plug-in may have.
        counted_apart = unknown or 0
        violations -= counted_apart
        if check.nulls == "skip" and rows is not None:
            rows -= counted_apart
        elif case.roles["violations"].form == "false":
            unknown = None
    known = min(case.known(), violations)
    ladder = case.ladder
    broken: tuple[Severity | None, Tolerance | Bounds] = (None, ladder[0][1])
    for severity, tolerance in ladder:
        if isinstance(tolerance, Tolerance) and _exceeded(check, tolerance, violations - known, rows or 0):
            broken = severity, tolerance
    said = [counted.said] if counted.said else []
    if check.sample is not None:
        said.append(f"in a {_sampled(check)}rows")
    if check.known is not None and violations:
        said.append(f"{known} of them known")
    if broken[0] is None and isinstance(broken[1], Tolerance) and broken[1].exceeded(violations - known, rows or 0):
        said.append(f"more is not certain at a confidence of {check.certainty}")
    return Result(
        check=check.name,
        group=case.group,
        outcome=Outcome.PASS if broken[0] is None else Outcome.FAIL,
        severity=broken[0],
        rows=rows,
        violations=violations,
        unknown=unknown,
        observed=violations,
        threshold=str(broken[1]),
        sentence=_count_sentence(check, rows, violations, broken) + (f" ({'; '.join(said)})" if said else ""),
        measured=violations,
        detail=counted.detail,
        record=counted.record,
    )


def _sampled(check: Check) -> str:
    return "" if check.sampled is None else f"sample of {Tolerance(check.sampled, is_share=True)} of the "


def _exceeded(check: Check, tolerance: Tolerance, violations: int, rows: int) -> bool:
    """Return whether a tolerance is exceeded; a share with ``confidence=`` only where that is certain enough."""
    if not tolerance.exceeded(violations, rows):
        return False
    if check.certainty is None or not tolerance.is_share or rows == 0:
        return True
    return lower_bound(violations, rows, check.certainty) > tolerance.limit


def _count_sentence(
    check: Check, rows: int | None, violations: int, broken: tuple[Severity | None, Tolerance | Bounds]
) -> str:
    demand, noun = str(check.kind), check.kind.noun
    if violations == 0:
        if rows is None or noun != "row":
            return f"holds: {demand}"
        return f"the row holds: {demand}" if rows == 1 else f"all {rows} rows hold: {demand}"
    verb = "violates" if violations == 1 else "violate"
    of_rows = _many(violations, noun)
    if rows and noun == "row":
        of_rows = f"{violations} of {_many(rows, noun)} ({_percent(violations, rows)})"
    allowed = f"{broken[1]} allowed" if broken[0] is None else f"more than the {broken[1]} that {broken[0]} allows"
    return f"{of_rows} {verb}: {demand}; {allowed}"


def _many(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def _judge_value(case: _Case, rows: int | None, valued: Valued) -> Result:
    check, group, value = case.check, case.group, valued.value
    if value is None:
        return _empty(check, group, f"{check.kind} has no value: every one is NULL", rows=rows)
    ladder = case.ladder
    broken: tuple[Severity | None, Tolerance | Bounds] = (None, ladder[0][1])
    for severity, bounds in ladder:
        if isinstance(bounds, Bounds):
            try:
                holds = bounds.holds(value)
            except TypeError:
                why = f"it measured {format_value(value)}, which is no {bounds.unit}"
                return evolve(unmeasured(check, why), group=group)
            if not holds:
                broken = severity, bounds
    wanted = f"within {broken[1]}" if broken[0] is None else f"outside {broken[1]} ({broken[0]})"
    said = f" ({valued.said})" if valued.said else ""
    detail = valued.detail
    if valued.back is not None:
        wanted += f", which is {_band_text(band(broken[1], valued.back))}"
        bands = {str(severity): [_json(end) for end in band(b, valued.back)] for severity, b in check.ladder}
        detail = {**(detail or {}), "band": bands}
    return Result(
        check=check.name,
        group=group,
        outcome=Outcome.PASS if broken[0] is None else Outcome.FAIL,
        severity=broken[0],
        rows=rows,
        observed=format_value(value) if isinstance(value, datetime) else _plain(value),
        threshold=str(broken[1]),
        sentence=f"{check.kind} is {format_value(value)}{said}, {wanted}",
        measured=_plain(valued.measured if valued.measured is not None else value),
        detail=detail,
    )


def band(bounds: Tolerance | Bounds, back: Callable[[Fraction], Fraction]) -> tuple[Fraction | None, Fraction | None]:
    """Return the measured numbers between which the value would be within the ends of ``bounds``; None: open."""
    ends = (bounds.low, bounds.high) if isinstance(bounds, Bounds) else (None, None)
    low, high = (back(end) if isinstance(end, Fraction) else None for end in ends)
    if low is not None and high is not None:
        return min(low, high), max(low, high)
    return (low, high) if back(Fraction(0)) <= back(Fraction(1)) else (high, low)


def _band_text(ends: tuple[Fraction | None, Fraction | None]) -> str:
    low, high = (None if end is None else format_value(end) for end in ends)
    return f"{low} to {high}" if low and high else f"{low} or more" if low else f"{high} or less"


def _json(number: Fraction | None) -> int | float | None:
    return None if number is None else number.numerator if number.denominator == 1 else float(number)


def _empty(check: Check, group: Group | None, sentence: str, rows: int | None = 0) -> Result:
    return Result(
        check=check.name,
        group=group,
        outcome=Outcome.NO_DATA,
        severity=check.empty_severity,
        rows=rows,
        sentence=sentence,
    )


def _summary(check: Check, orgs: list[Result], bad: list[Result]) -> Result:
    if not orgs:
        return evolve(_empty(check, None, "no rows in the partition"), orgs=0, orgs_bad=0)
    counts = check.kind.judged == "violations"
    rows = [r.rows for r in orgs if r.rows is not None]
    violations = sum(r.violations or 0 for r in orgs) if counts else None
    unknown = [r.unknown for r in orgs if r.unknown is not None]
    if not bad:
        outcome, sentence = _all_well(check, orgs)
    else:
        outcome = bad[0].outcome
        sentence = f"{len(bad)} of {len(orgs)} orgs are not well: " + name_worst(bad)
    worst = bad[0] if bad else None
    return Result(
        check=check.name,
        outcome=outcome,
        severity=worst.severity if worst else None,
        rows=sum(rows) if rows else None,
        violations=violations,
        unknown=sum(unknown) if unknown else None,
        observed=violations,
        threshold=(worst.threshold if worst else None) or str(check.ladder[0][1]),
        sentence=sentence,
        orgs=len(orgs),
        orgs_bad=len(bad),
    )


def _all_well(check: Check, orgs: list[Result]) -> tuple[Outcome, str]:
    """Return the outcome and the sentence of a check none of whose orgs is not well."""
    quiet = [r for r in orgs if r.outcome is Outcome.NO_DATA]
    early = [r for r in orgs if r.outcome is Outcome.SKIP]
    hold = len(orgs) - len(quiet) - len(early)
    if early and not hold:
        return Outcome.SKIP, f"none of {len(orgs)} orgs is judged: {early[0].sentence.partition(': ')[2]}"
    if not quiet and not early:
        return Outcome.PASS, f"all {hold} orgs hold: {check.kind}"
    others = [f"{len(early)} not judged"] if early else []
    others += [f"{len(quiet)} without rows"] if quiet else []
    sentence = f"{hold} of {len(orgs)} orgs hold: {check.kind}; {', '.join(others)}"
    return Outcome.PASS if hold else Outcome.NO_DATA, sentence


def name_worst(bad: Iterable[Result]) -> str:
    """Return the worst orgs by name with what is wrong, those of one reason together, and a count of the others."""
    results = list(bad)
    reasons: dict[str, list[str]] = {}
    for result in results[:WORST_NAMED]:
        reasons.setdefault(result.sentence, []).append(result.group.label if result.group else "?")
    named = "; ".join(f"{', '.join(orgs)}: {reason}" for reason, orgs in reasons.items())
    return named + (f"; and {len(results) - WORST_NAMED} others" if len(results) > WORST_NAMED else "")


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDER = {Outcome.FAIL: 0, Outcome.NO_DATA: 1, Outcome.UNMEASURED: 2}


def _worst_first(result: Result) -> tuple[object, ...]:
    return (
        -(result.severity or 0),
        _ORDER.get(result.outcome, 3),
        -(result.violations or 0),
        result.group.sort_key if result.group else (),
    )


def _plain(value: Value) -> int | Decimal:
    if isinstance(value, datetime):
        value = value - _EPOCH
    exact = Fraction(str(value.total_seconds())) if isinstance(value, timedelta) else value
    return exact.numerator if exact.denominator == 1 else Decimal(exact.numerator) / Decimal(exact.denominator)


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.2g}%" if share < 1 else f"{share:.1f}%"
