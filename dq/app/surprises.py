"""Surprises: declarations that are sound, and may not mean what their author thinks. Pure: nothing is asked.

Each is a clause that says what happens, and what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal

from attrs import frozen

from dq.checks import (
    AddUp,
    Aggregate,
    Count,
    DistinctCount,
    DistinctShare,
    DuplicateCount,
    Freshness,
    Like,
    Matches,
    Mean,
    Median,
    NoneOf,
    NotBetween,
    NotIn,
    NotLike,
    NotMatches,
    NotNull,
    Quantile,
    Query,
    QueryValue,
    Reference,
    RowCount,
    Rows,
    Share,
    StdDev,
    TextLength,
    UniqueCount,
    UniqueShare,
)
from dq.model.check import Check, Suite
from dq.model.errors import DqError
from dq.model.severity import Severity
from dq.model.thresholds import Bounds, Tolerance
from dq.sql.engine import Engine
from dq.sql.reading import always_returns_a_row, compares_products, refuses_null

_HALF = Fraction(1, 2)
_SMALL = Fraction(1, 100)
_SHARES = (DistinctShare, Share, UniqueShare)
_COUNTS = (RowCount, Count, DistinctCount, DuplicateCount, UniqueCount, TextLength, StdDev)
_COMPUTED = (Mean, Median, Quantile, StdDev, Aggregate)
_LATER = re.compile(r"due|plan|schedul|expir|valid_(to|until)|deliver|until|deadline|_end\b|^end", re.IGNORECASE)


@frozen
class Surprise:
    """Something that may surprise.

    Attributes:
        level: ``error`` where it could never work, else ``warning``.
        clause: what happens, and what to write instead.
        check: the name of the check; None: it is about the suite.
        column: the column that it is about; None: none in particular.
    """

    level: Literal["error", "warning"]
    clause: str
    check: str | None = None
    column: str | None = None


def surprises(suite: Suite, engine: Engine | None, render: Callable[[str], str]) -> Iterator[Surprise]:
    """Yield what may surprise in a suite.

    Args:
        suite: the suite.
        engine: of its datasource; None: it is not known, so its SQL is not read.
        render: renders Jinja.
    """
    yield from _of_suite(suite)
    for check in suite.checks:
        for level, clause, column in (*_thresholds(check, suite), *_kinds(check, suite), *_nulls(check, suite)):
            yield Surprise(level, clause, check.name, column)
        if engine is not None:
            for clause, column in _sql(check, suite, engine, render):
                yield Surprise("warning", clause, check.name, column)
    if engine is not None and suite.table.where is not None:
        for column in refuses_null(_rendered(suite.table.where, render), engine):
            yield Surprise("warning", _left_out(f"where={suite.table.where!r} of the table", column), None, column)


def _of_suite(suite: Suite) -> Iterator[Surprise]:
    silent = [check.name for check in suite.checks if (by := suite.by_of(check)) is not None and not by.expected]
    if silent:
        more = f"; so in {len(silent) - 1} more" if silent[1:] else ""
        clause = f'By has no expected=, so absent orgs are invisible; write e.g. expected="seen:28d"{more}'
        yield Surprise("warning", clause, silent[0], None)
    if suite.table.partition is None:
        clause = f"table {suite.table.name} has no partition=, so every run looks at the whole table"
        yield Surprise("warning", f"{clause}; write the column by which a run picks its day")
    for label in ("owner", "runbook"):
        with_it = [check.name for check in suite.checks if getattr(check, label)]
        without = [check.name for check in suite.checks if not getattr(check, label)]
        if with_it and without and not getattr(suite, label):
            yield Surprise(
                "warning",
                f"it has no {label}=, and check {with_it[0]!r} has; write one for the suite",
                without[0],
            )
    if all(check.on_empty == "ok" for check in suite.checks):
        clause = 'every check has on_empty="ok", so nobody is told that a partition is empty; add a RowCount without it'
        yield Surprise("warning", clause)
    seen: dict[object, Check] = {}
    for check in suite.checks:
        try:
            other = seen.setdefault((check.kind, check.where, suite.by_of(check), check.nulls, check.sample), check)
        except TypeError:  # a kind of the user's own that cannot be hashed
            continue
        if other is not check:
            clause = f"it asks the same as check {other.name!r}; write one check with a threshold per severity"
            yield Surprise("warning", clause, check.name)


_Clause = tuple[Literal["error", "warning"], str, str | None]


def _thresholds(check: Check, suite: Suite) -> Iterator[_Clause]:
    mildest, widest = check.ladder[0][1], check.ladder[-1][1]
    column = _column(check)
    if isinstance(mildest, Tolerance) and mildest.is_share:
        if mildest.limit >= _HALF:
            yield "warning", f'{mildest} of the rows may be bad before anybody is told; write e.g. warning="1%"', column
        by = suite.by_of(check)
        if by is not None and mildest.limit < _SMALL and by.min_rows < 1 / mildest.limit:
            least = -(-1 // mildest.limit)
            clause = (
                f"in an org with fewer than {least} rows a single bad one is more than {mildest}; write"
                f" By(..., min_rows={least}), or a count"
            )
            yield "warning", clause, column
    if isinstance(mildest, Bounds) and isinstance(widest, Bounds):
        yield from _bounds(check, mildest, widest)
    top = check.top
    for severity in check.notify:
        if Severity.of(severity) > max(top, check.error_severity, check.empty_severity or top):
            clause = (
                f"notify= from {severity} never tells anybody, because nothing of it is worse than {top}; write"
                f" notify={{{str(top)!r}: ...}}"
            )
            yield "warning", clause, column


def _bounds(check: Check, mildest: Bounds, widest: Bounds) -> Iterator[_Clause]:
    kind, column = check.kind, _column(check)
    most = Fraction(1) if isinstance(kind, _SHARES) else None
    if isinstance(kind, (*_SHARES, *_COUNTS)) and not mildest.outside:
        low, high = mildest.low, mildest.high
        if isinstance(low, Fraction) and most is not None and low > most:
            clause = f"{mildest} never holds, because {kind} is at most 1; write e.g. at_least(0.95) for 95%"
            yield "error", clause, column
        elif isinstance(high, Fraction) and high < 0:
            yield "error", f"{mildest} never holds, because {kind} is at least 0", column
        elif (not isinstance(low, Fraction) or low <= 0) and (
            high is None or (most is not None and isinstance(high, Fraction) and high >= most)
        ):
            yield (
                "warning",
                f"{mildest} always holds, because {kind} is at least 0{' and at most 1' if most else ''}",
                column,
            )
    if isinstance(kind, Freshness) and mildest.high is None and not mildest.outside:
        yield "warning", f'{mildest} never tells that the data is old; write e.g. at_most("3h")', column
    if isinstance(kind, _COMPUTED) and widest.low == widest.high and isinstance(widest.low, Fraction):
        near = float(widest.low)
        yield (
            "warning",
            f"{kind} is computed, and hardly ever {widest}; write e.g. between({near - 0.01:.10g}, {near + 0.01:.10g})",
            column,
        )


def _kinds(check: Check, suite: Suite) -> Iterator[_Clause]:
    kind = check.kind
    if isinstance(kind, Matches) and not kind.every:
        for pattern in kind.patterns:
            if not re.search(r"^\(*\^|\$\)*$", pattern):
                shown = f"^({pattern})$" if "|" in pattern else f"^{pattern}$"
                clause = f"{pattern!r} matches anywhere in the text; write {shown!r} if it is all of it"
                yield "warning", clause, kind.column
    if isinstance(kind, Like | NotLike):
        for pattern in kind.patterns:
            if not re.search(r"[%_]", pattern):
                clause = f"{pattern!r} has no % or _, so it is like nothing but itself; write OneOf, or '%{pattern}%'"
                yield "warning", clause, kind.column
    if isinstance(kind, AddUp) and not kind.within and isinstance(kind.total, float) and kind.total % 1:
        yield "warning", "sums of broken numbers are hardly ever exact; write e.g. within=0.005", kind.columns[0]
    if isinstance(kind, Reference | NotIn) and kind.other.partition is not None:
        clause = (
            f"table {kind.other.name} has partition=, so only its rows of the same interval are looked at; write"
            " a Table without it if all of them count"
        )
        yield "warning", clause, kind.columns[0]
    if isinstance(kind, Freshness) and check.where is None and suite.table.where is None and _LATER.search(kind.column):
        clause = (
            f"one row whose {kind.column} lies in the future makes all of it fresh; write"
            f" where=\"{kind.column} <= '{{{{ data_interval_end }}}}'\", or a column of when rows are loaded"
        )
        yield "warning", clause, kind.column
    if isinstance(kind, Query | QueryValue) and suite.table.partition is not None and "{" not in kind.sql:
        clause = (
            f"the query looks at all rows, and not at the partition; write e.g. {suite.table.partition} >="
            " '{{ data_interval_start }}' into it"
        )
        yield "warning", clause, None


def _nulls(check: Check, suite: Suite) -> Iterator[_Clause]:
    kind = check.kind
    if not isinstance(kind, NoneOf | NotLike | NotMatches | NotBetween) or check.nulls != "fail":
        return
    if not _known_to_be_there(kind.column, suite):
        clause = f'a row without {kind.column} is a violation; write nulls="pass" if it is good, or add a NotNull'
        yield "warning", clause, kind.column


def _known_to_be_there(column: str, suite: Suite) -> bool:
    return any(isinstance(check.kind, NotNull) and check.kind.column == column for check in suite.checks)


def _sql(check: Check, suite: Suite, engine: Engine, render: Callable[[str], str]) -> Iterator[tuple[str, str | None]]:
    kind = check.kind
    if isinstance(kind, Rows):
        text = _rendered(kind.predicate, render)
        if check.nulls == "fail":
            for column in refuses_null(text, engine):
                if not _known_to_be_there(column, suite):
                    clause = (
                        f'{kind} is NULL for a row without {column}, and that is a violation; write nulls="pass" if'
                        f" it is good, or say `{column} IS NOT NULL AND ...`"
                    )
                    yield clause, column
        exact = all(isinstance(t, Tolerance) and not t.is_share and t.limit == 0 for _, t in check.ladder[-1:])
        if exact and check.top >= Severity.ERROR and compares_products(text, engine):
            clause = (
                f"{kind} asks floating-point numbers to be equal to the last digit; write abs(a - b) <= 0.005, or"
                " round() both"
            )
            yield clause, None
    if isinstance(kind, Query) and always_returns_a_row(_rendered(kind.sql, render), engine):
        yield (
            "the query returns a row whatever it counts, so it always fails; select the bad rows, or use Aggregate",
            None,
        )
    if check.where is not None:
        for column in refuses_null(_rendered(check.where, render), engine):
            yield _left_out(f"where={check.where!r}", column), column


def _left_out(where: str, column: str) -> str:
    return f"{where} leaves out rows without {column}; write (... OR {column} IS NULL) if they belong to it"


def _rendered(text: str, render: Callable[[str], str]) -> str:
    try:
        return render(text)
    except DqError:  # that is told as an error of its own
        return ""


def _column(check: Check) -> str | None:
    columns = getattr(check.kind, "columns", None)
    return getattr(check.kind, "column", None) or (columns[0] if columns else None)
