"""Judge: numbers in, Results out. Pure; time is an argument.

A check of a partition, or of one org in it:

    what was measured                                   outcome      severity
    --------------------------------------------------  -----------  ---------------------------------------
    a number is missing (the statement broke)           unmeasured   on_error, else the top rung
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

An org that is expected and has no rows is a no_data Result of its own.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from attrs import evolve, frozen

from dq.model.check import Check
from dq.model.duration import format_duration
from dq.model.errors import MeasureError
from dq.model.group import Group
from dq.model.measure import PARTITION_ROWS, Measure
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.model.thresholds import Bounds, Tolerance

WORST_NAMED = 10
"""How many orgs a sentence names before it counts the others."""

Numbers = Mapping[Measure, object]


@frozen
class Reading:
    """What a scan measured for one check.

    Attributes:
        numbers: the measured numbers by org; the key is None in a scan that is not grouped.
        error: why it could not be measured; then ``numbers`` says nothing.
        expected: the orgs that must have rows.
    """

    numbers: Mapping[Group | None, Numbers]
    error: str | None = None
    expected: tuple[Group, ...] = ()


def judge(
    check: Check, reading: Reading, now: datetime, *, grouped: bool, keep: Container[Group] = ()
) -> tuple[Result, ...]:
    """Return the summary of ``check``, and a Result per org that is not well.

    Args:
        check: what is demanded.
        reading: what was measured.
        now: the time of the judgement (ages are taken at it).
        grouped: whether the numbers are per org.
        keep: orgs that get a Result even when they are well, e.g. those with an open incident.
    """
    if reading.error is not None:
        return (unmeasured(check, reading.error),)
    if not grouped:
        return (_judge_one(check, None, reading.numbers.get(None, {}), now),)
    orgs = [_judge_one(check, group, numbers, now) for group, numbers in reading.numbers.items() if group is not None]
    seen = {group.values for group in reading.numbers if group is not None}
    orgs += [
        _empty(check, group, "it is expected, but has no rows")
        for group in reading.expected
        if group.values not in seen
    ]
    bad = sorted((r for r in orgs if r.severity is not None), key=_worst_first)
    kept = [r for r in orgs if r.severity is None and r.group in keep]
    return (_summary(check, orgs, bad), *bad, *kept)


def unmeasured(check: Check, why: str) -> Result:
    """Return the Result of a check that could not run, with the reason for people."""
    return Result(
        check=check.name,
        outcome=Outcome.UNMEASURED,
        severity=check.error_severity,
        sentence=f"could not be measured: {why}",
    )


def _judge_one(check: Check, group: Group | None, numbers: Numbers, now: datetime) -> Result:
    roles = check.kind.measures(check.where)
    in_partition = _int(numbers.get(PARTITION_ROWS)) or 0
    rows = _int(numbers.get(roles["rows"])) or 0 if "rows" in roles else None
    raw = {role: numbers.get(measure) for role, measure in roles.items()}
    if in_partition == 0 and not _int_or_zero(raw, "violations"):
        return _empty(check, group, "no rows in the partition")
    if rows == 0 and (check.on_empty_where is not None or roles.get("value") != roles["rows"]):
        if check.on_empty_where is not None:
            return Result(
                check=check.name,
                group=group,
                outcome=Outcome.NO_DATA,
                severity=Severity.of(check.on_empty_where),
                rows=0,
                sentence=f"{in_partition} rows in the partition, but none left by where {check.where}",
            )
        return Result(
            check=check.name,
            group=group,
            outcome=Outcome.PASS,
            rows=0,
            violations=0 if check.kind.judged == "violations" else None,
            threshold=str(check.ladder[0][1]),
            sentence=f"no rows left by where {check.where}, so nothing to hold against it",
        )
    if check.kind.judged == "violations":
        # A kind that knows its rows and measures no unknown ones can have none; a query knows neither.
        unknown = _int_or_zero(raw, "unknown") if rows is not None else None
        return _judge_violations(check, group, rows, _int_or_zero(raw, "violations"), unknown)
    return _judge_value(check, group, rows, raw["value"], now)


def _judge_violations(
    check: Check, group: Group | None, rows: int | None, violations: int, unknown: int | None
) -> Result:
    if check.kind.nulls and check.nulls != "fail":
        violations -= unknown or 0
        if check.nulls == "skip" and rows is not None:
            rows -= unknown or 0
    broken: tuple[Severity | None, Tolerance | Bounds] = (None, check.ladder[0][1])
    for severity, tolerance in check.ladder:
        if isinstance(tolerance, Tolerance) and tolerance.exceeded(violations, rows or 0):
            broken = severity, tolerance
    return Result(
        check=check.name,
        group=group,
        outcome=Outcome.PASS if broken[0] is None else Outcome.FAIL,
        severity=broken[0],
        rows=rows,
        violations=violations,
        unknown=unknown,
        observed=violations,
        threshold=str(broken[1]),
        sentence=_violations_sentence(check, rows, violations, broken),
    )


def _violations_sentence(
    check: Check, rows: int | None, violations: int, broken: tuple[Severity | None, Tolerance | Bounds]
) -> str:
    demand = str(check.kind)
    if violations == 0:
        return (
            f"holds: {demand}"
            if rows is None
            else f"the row holds: {demand}"
            if rows == 1
            else f"all {rows} rows hold: {demand}"
        )
    verb = "violates" if violations == 1 else "violate"
    of_rows = f"{violations} of {_rows(rows)} ({_percent(violations, rows)})" if rows else _rows(violations)
    allowed = f"{broken[1]} allowed" if broken[0] is None else f"more than the {broken[1]} that {broken[0]} allows"
    return f"{of_rows} {verb}: {demand}; {allowed}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _judge_value(check: Check, group: Group | None, rows: int | None, number: object, now: datetime) -> Result:
    try:
        value = check.kind.value(number, now)
    except MeasureError as error:
        return evolve(unmeasured(check, str(error)), group=group)
    if value is None:
        return _empty(check, group, f"{check.kind} has no value: every one is NULL", rows=rows)
    broken: tuple[Severity | None, Tolerance | Bounds] = (None, check.ladder[0][1])
    for severity, bounds in check.ladder:
        if isinstance(bounds, Bounds) and not bounds.holds(value):
            broken = severity, bounds
    shown = (
        format_duration(value)
        if isinstance(value, timedelta)
        else f"{float(value):.10g}"
        if value.denominator != 1
        else str(value)
    )
    wanted = f"within {broken[1]}" if broken[0] is None else f"outside {broken[1]} ({broken[0]})"
    return Result(
        check=check.name,
        group=group,
        outcome=Outcome.PASS if broken[0] is None else Outcome.FAIL,
        severity=broken[0],
        rows=rows,
        observed=_plain(value),
        threshold=str(broken[1]),
        sentence=f"{check.kind} is {shown}, {wanted}",
    )


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
        quiet = [r for r in orgs if r.outcome is Outcome.NO_DATA]
        outcome = Outcome.NO_DATA if len(quiet) == len(orgs) else Outcome.PASS
        sentence = (
            f"all {len(orgs)} orgs hold: {check.kind}"
            if not quiet
            else f"{len(orgs) - len(quiet)} of {len(orgs)} orgs hold: {check.kind}; the others have no rows"
        )
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


def name_worst(bad: Iterable[Result]) -> str:
    """Return the worst orgs by name with what is wrong, those of one reason together, and a count of the others."""
    results = list(bad)
    reasons: dict[str, list[str]] = {}
    for result in results[:WORST_NAMED]:
        reasons.setdefault(result.sentence, []).append(result.group.label if result.group else "?")
    named = "; ".join(f"{', '.join(orgs)}: {reason}" for reason, orgs in reasons.items())
    return named + (f"; and {len(results) - WORST_NAMED} others" if len(results) > WORST_NAMED else "")


_ORDER = {Outcome.FAIL: 0, Outcome.NO_DATA: 1, Outcome.UNMEASURED: 2}


def _worst_first(result: Result) -> tuple[object, ...]:
    return (
        -(result.severity or 0),
        _ORDER.get(result.outcome, 3),
        -(result.violations or 0),
        result.group.sort_key if result.group else (),
    )


def _int(value: object) -> int | None:
    return None if value is None else int(str(value)) if not isinstance(value, int | float | Decimal) else int(value)


def _int_or_zero(raw: Mapping[str, object], role: str) -> int:
    return _int(raw.get(role)) or 0


def _plain(value: Fraction | timedelta) -> int | Decimal:
    exact = Fraction(str(value.total_seconds())) if isinstance(value, timedelta) else value
    return exact.numerator if exact.denominator == 1 else Decimal(exact.numerator) / Decimal(exact.denominator)


def _percent(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.2g}%" if share < 1 else f"{share:.1f}%"
