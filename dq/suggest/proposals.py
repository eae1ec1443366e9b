"""Checks that the numbers of a profile speak for.

What a profile gives rise to is measured again as the check itself, over all rows, and its threshold comes from that: a
suggestion holds on the data it was made from, also when the profile was learned from a sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal

from attrs import field, frozen

from dq.checks import (
    Between,
    Compare,
    Freshness,
    HasLength,
    Matches,
    NotNull,
    OneOf,
    Reference,
    RowCount,
    Unique,
    ValidJson,
)
from dq.datasource import Datasource
from dq.execute import measured
from dq.model.check import Kind, Nulls
from dq.model.duration import format_duration
from dq.model.errors import DqError
from dq.model.measure import PARTITION_ROWS, Measure, Stat
from dq.model.reading import Moment
from dq.model.table import Table
from dq.sql.statements import Compiler
from dq.suggest.formats import FORMATS, ISO_DATE, ISO_TIME, JSON
from dq.suggest.profile import FEW_VALUES, ColumnProfile, Profile

_SHARES = ("0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "15", "20", "30", "40", "50", "60")
_IS_KEY = re.compile(r"(^|_)(id|ids|key|uuid|guid|code|no|nr|number|num|ref|pk|sk|hash|isbn|sku|ean)$", re.IGNORECASE)
_IS_CATEGORY = re.compile(
    r"status|state|type|kind|code|class|categor|level|flag|stage|phase|priority|channel|currency|country|language|is_|has_",
    re.IGNORECASE,
)
_LOADED = re.compile(r"load|ingest|insert|import|updat|modif|sync|arriv|received|extract|created|event", re.IGNORECASE)
_NO_CATEGORY = (JSON.name, ISO_DATE.name, ISO_TIME.name)
_MOST_TIMES = 5
_MOST_PAIRS = 6
_LONGEST_VALUE = 60
_LONGEST_TEXT = 4000
_FRESH = timedelta(days=14)


@frozen
class Suggested:
    """A check that is suggested.

    Attributes:
        name: of the check.
        kind: what it measures.
        thresholds: severity and threshold, as Python is written.
        nulls: what a NULL is.
        columns: the columns it speaks of; empty: the table as a whole.
        off: why it stands in the file as a comment only; empty: it is in force.
    """

    name: str
    kind: Kind
    thresholds: tuple[tuple[str, str], ...]
    nulls: Nulls = "fail"
    columns: tuple[str, ...] = ()
    off: str = ""


@frozen
class _Candidate:
    """What may become a suggestion.

    Attributes:
        name, kind, nulls, columns: as in ``Suggested``.
        most: the share of violations above which it says nothing about the data.
        severity: of a check that no row violates.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    nulls: Nulls = "fail"
    most: Fraction = Fraction(0)
    severity: Literal["warning", "error"] = "error"
    measures: Mapping[str, Measure] = field(init=False)

    @measures.default
    def _of_kind(self) -> Mapping[str, Measure]:
        return self.kind.measures(None)


def propose(
    found: Profile, connect: Callable[[str], Datasource], compile_for: Callable[[Table], Compiler], now: datetime
) -> tuple[Suggested, ...]:
    """Return the checks that ``found`` speaks for, those of the whole table first.

    Args:
        found: the profile.
        connect: opens a datasource by name, once.
        compile_for: gives the compiler for a table.
        now: against which freshness is measured.
    """
    compiler = compile_for(found.table)
    candidates = [*_of_keys(found, compiler, connect), *_of_columns(found), *_of_pairs(found), *_of_references(found)]
    newest = [Freshness(column.name) for column in _times(found)]
    wanted = [m for c in candidates for m in c.measures.values()]
    wanted += [m for kind in newest for m in kind.measures(None).values()]
    numbers, errors = measured(compiler, connect, [PARTITION_ROWS, *wanted])
    moment = Moment(now, found.interval)
    made = [_rows(int(str(numbers.get(PARTITION_ROWS, found.rows))), partitioned=found.table.partition is not None)]
    made += _freshness(newest, numbers, moment)
    for candidate in candidates:
        if not any(measure in errors for measure in candidate.measures.values()):
            made += _settled(candidate, numbers, moment)
    return _without_doubles(made)


# --------------------------------------------------------------------------------------------------------- candidates


def _of_keys(found: Profile, compiler: Compiler, connect: Callable[[str], Datasource]) -> Iterator[_Candidate]:
    if found.keys.primary:
        yield _unique(found.keys.primary)
        return
    whole = [c for c in found.columns if not c.nulls and c.distinct is not None and c.rows > 1]
    # Each statement sees other rows of a sample; whether a key is one is measured on all rows later.
    least = 1 if found.sample is None else 0.7
    single = [c for c in whole if (c.distinct or 0) >= least * c.rows and c.family in ("integer", "text", "uuid")]
    keys = [c for c in single if _IS_KEY.search(c.name)] or [c for c in single if c is found.columns[0]]
    yield from (_unique((c.name,)) for c in keys)
    if keys or found.sample is not None:
        return
    # Two columns together, those first that have the fewest combinations to spare.
    parts = [c for c in whole if c.is_time or c.family in ("text", "uuid") or _is_number_of_key(c)]
    pairs = [(a, b) for a, b in combinations(parts, 2) if (a.distinct or 0) * (b.distinct or 0) >= found.rows]
    pairs.sort(key=lambda pair: (pair[0].distinct or 0) * (pair[1].distinct or 0))
    asked = {(a.name, b.name): Measure("stat", Stat("distinct", (a.name, b.name))) for a, b in pairs[:_MOST_PAIRS]}
    numbers, _ = measured(compiler, connect, asked.values())
    yield from (_unique(names) for names, measure in asked.items() if numbers.get(measure) == found.rows)


def _is_number_of_key(column: ColumnProfile) -> bool:
    return column.family == "integer" and _IS_KEY.search(column.name) is not None


def _unique(columns: tuple[str, ...]) -> _Candidate:
    verb = "is unique" if len(columns) == 1 else "are unique together"
    return _Candidate(f"{', '.join(columns)} {verb}", Unique(*columns), columns)


def _of_columns(found: Profile) -> Iterator[_Candidate]:
    for column in found.columns:
        if column.filled:
            yield _Candidate(f"{column.name} is there", NotNull(column.name), (column.name,), most=Fraction(1, 2))
            yield from _of_column(column)


def _of_column(column: ColumnProfile) -> Iterator[_Candidate]:
    name, nulls = column.name, _nulls(column)
    here = (name,)
    if _has_few_values(column):
        values = tuple(value for value, _ in sorted(column.values, key=lambda pair: str(pair[0])))
        yield _Candidate(f"{name} is known", OneOf(name, values), here, nulls, severity="warning")
        return
    if column.family in ("integer", "number") and not column.personal and not _IS_KEY.search(name):
        between = _plausible(column)
        if between is not None:
            yield _Candidate(f"{name} is plausible", between, here, nulls, Fraction(1, 50), "warning")
        return
    if column.family != "text":
        return
    share = column.formats.get(JSON.name, 0)
    if share == 1:
        yield _Candidate(f"{name} is JSON", ValidJson(name), here, nulls, Fraction(1, 100))
        return
    fitting = next((one for one in FORMATS if column.formats.get(one.name, 0) >= 0.98), None)
    if fitting is not None:
        kind = Matches(name, fitting.pattern)
        yield _Candidate(f"{name} is {fitting.name}", kind, here, nulls, Fraction(1, 50))
    if column.longest and column.longest <= _LONGEST_TEXT and (fitting is None or fitting.shortest != fitting.longest):
        if column.shortest == column.longest:
            yield _Candidate(f"{name} has its length", HasLength(name, column.longest), here, nulls)
        else:
            low = 1 if column.shortest else None
            kind_of_length = HasLength(name, low, _rounded_up(column.longest * 1.5))
            yield _Candidate(f"{name} has a plausible length", kind_of_length, here, nulls, severity="warning")


def _has_few_values(column: ColumnProfile) -> bool:
    """Whether the values are a list that a new row will hardly add to."""
    few = column.distinct is not None and 0 < column.distinct <= FEW_VALUES and column.filled >= 10 * column.distinct
    if not few or column.personal or len(column.values) != column.distinct:
        return False
    if any(column.formats.get(name, 0) > 0 for name in _NO_CATEGORY):
        return False
    if column.family == "integer":
        return bool(_IS_CATEGORY.search(column.name)) and not column.name.lower().endswith("id")
    return column.family == "text" and all(
        isinstance(v, str) and len(v) <= _LONGEST_VALUE and v.isprintable() for v, _ in column.values
    )


def _plausible(column: ColumnProfile) -> Between | None:
    """Return a range: beyond the 1% and 99% quantiles as far again as they lie from each other."""
    if column.quantiles is None:
        return None
    low, high = (float(str(end)) for end in column.quantiles)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    margin = (high - low) or abs(high) or 1
    whole = column.family == "integer"
    bottom = 0 if column.low is not None and float(str(column.low)) >= 0 else _rounded(low - margin, whole=whole)
    return Between(column.name, bottom, _rounded(high + margin, whole=whole))


def _of_pairs(found: Profile) -> Iterator[_Candidate]:
    times = [c for c in found.columns if c.is_time and c.filled][:_MOST_TIMES]
    for a, b in combinations(times, 2):
        if a.family != b.family:
            continue
        for left, right in ((a, b), (b, a)):
            nulls: Nulls = "skip" if left.nulls or right.nulls else "fail"
            name, kind = f"{left.name} is not after {right.name}", Compare(left.name, "<=", right.name)
            yield _Candidate(name, kind, (left.name, right.name), nulls, Fraction(1, 100))


def _of_references(found: Profile) -> Iterator[_Candidate]:
    for key in found.keys.foreign:
        kind = Reference(key.columns, Table(found.table.datasource, key.table), key.other_columns)
        yield _Candidate(f"{', '.join(key.columns)} is in {key.table}", kind, key.columns)


def _nulls(column: ColumnProfile) -> Nulls:
    return "skip" if column.nulls else "fail"


# ------------------------------------------------------------------------------------------------------- thresholds


def _settled(candidate: _Candidate, numbers: Mapping[Measure, Any], moment: Moment) -> Iterator[Suggested]:
    """Yield the candidate with a threshold that its own numbers hold, unless they speak against it."""
    roles = {role: numbers[m] for role, m in candidate.measures.items() if m in numbers}
    try:
        counted = candidate.kind.count(roles, moment)
    except DqError:
        return
    rows, violations = counted.rows or 0, counted.violations
    if candidate.nulls == "skip":
        rows, violations = rows - (counted.unknown or 0), violations - (counted.unknown or 0)
    share = Fraction(violations, rows) if rows > 0 else Fraction(1)
    if share > candidate.most:
        return
    threshold = (candidate.severity, "0") if not violations else ("warning", f'"{_tolerated(share)}%"')
    yield Suggested(candidate.name, candidate.kind, (threshold,), candidate.nulls, candidate.columns)


def _tolerated(share: Fraction) -> str:
    """Return a share in percent with half as much again to spare."""
    wanted = share * 150
    return next(step for step in (*_SHARES, "80") if Fraction(step) >= wanted)


def _rows(rows: int, *, partitioned: bool) -> Suggested:
    less = _rounded_down(rows * 0.5)
    thresholds = [("critical", "at_least(1)")]
    if less > 1:
        low = f"{less:_}"
        thresholds.insert(
            0, ("warning", f"between({low}, {_rounded_up(rows * 2):_})" if partitioned else f"at_least({low})")
        )
    return Suggested("enough rows", RowCount(), tuple(thresholds))


def _times(found: Profile) -> list[ColumnProfile]:
    times = [c for c in found.columns if c.is_time and c.filled and not c.personal]
    return sorted(times, key=lambda c: _LOADED.search(c.name) is None)[:1]


def _freshness(kinds: Iterable[Freshness], numbers: Mapping[Measure, Any], moment: Moment) -> Iterator[Suggested]:
    for kind in kinds:
        roles = {role: numbers[m] for role, m in kind.measures(None).items() if m in numbers}
        try:
            age = kind.value(roles, moment).value
        except DqError:
            continue
        if isinstance(age, timedelta) and age >= timedelta(0):
            old = f"the newest {kind.column} is {age.days:,} days old; take it in when rows arrive"
            off, hours = (old, 12) if age > _FRESH else ("", math.ceil(age / timedelta(hours=1)) or 1)
            spare, long = (format_duration(timedelta(hours=hours * times)) for times in (2, 4))
            thresholds = (("warning", f'at_most("{spare}")'), ("error", f'at_most("{long}")'))
            yield Suggested(f"{kind.column} is fresh", kind, thresholds, columns=(kind.column,), off=off)


def _without_doubles(made: Iterable[Suggested]) -> tuple[Suggested, ...]:
    """Leave out the second of two directions that both hold, and give every check a name of its own."""
    names: set[str] = set()
    compared: set[frozenset[str]] = set()
    kept = []
    for one in made:
        if isinstance(one.kind, Compare):
            pair = frozenset(one.columns)
            if pair in compared:
                continue
            compared.add(pair)
        if one.name in names:
            continue
        names.add(one.name)
        kept.append(one)
    return tuple(kept)


def _rounded(value: float, *, whole: bool) -> int | float:
    """Return ``value`` outwards to two digits that count, a whole number where the column has only such."""
    if value == 0:
        return 0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    outward = math.ceil(abs(value) / step - 1e-9) * step
    made = math.copysign(outward, value)
    if whole or abs(made) >= 10:
        return math.ceil(made) if made > 0 else math.floor(made)
    return float(f"{made:.6g}")


def _rounded_up(value: float) -> int:
    return int(_rounded(math.ceil(value), whole=True))


def _rounded_down(value: float) -> int:
    if value < 10:
        return int(value)
    step = int(10 ** (len(str(int(value))) - 2))
    return int(value) // step * step
