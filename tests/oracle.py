"""The oracle: what each kind must count, in plain Python over the rows, without SQL and without dq's own predicates.

Rows are dictionaries by the role of a column (see ``tests.test_sharing``). Where engines rightly differ, the rule of
the engine has a name in ``Traits``; nothing else may differ.
"""

from __future__ import annotations

import json
import math
import operator
import re
import statistics
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from attrs import frozen

Row = dict[str, Any]
Verdict = bool | None
UNSURE = object()
"""What the oracle does not foretell: a number that may leave the range of a type, or hangs on the last bit of one."""


@frozen
class Traits:
    """How engines rightly differ.

    Attributes:
        name: as in ``tests.engines``.
    """

    name: str

    @property
    def has_nan(self) -> bool:
        """SQLite keeps NaN as NULL, MariaDB refuses it; elsewhere it equals itself and is above every number."""
        return self.name in ("duckdb", "postgres")

    @property
    def has_booleans(self) -> bool:
        """SQLite and MariaDB keep truth as 1 and 0."""
        return self.name in ("duckdb", "postgres")

    def fold(self, value: str) -> str:
        """Return what is equal for texts that the column's collation takes for the same.

        utf8mb4_general_ci of MariaDB knows neither case nor accents nor blanks at the end, and takes all characters
        beyond the first plane for the same.
        """
        if self.name != "mariadb":
            return value
        plain = "".join("\ufffd" if ord(c) > 0xFFFF else unicodedata.normalize("NFD", c)[0] for c in value)
        return plain.rstrip(" ").upper()

    def lower(self, value: str) -> str:
        """Return a text in lower case: SQLite knows that of ASCII only."""
        return "".join(c.lower() if c.isascii() else c for c in value) if self.name == "sqlite" else value.lower()

    def key(self, value: Any) -> Hashable:
        """Return what is equal for values that the engine takes for equal, and in its order for numbers and times."""
        if isinstance(value, str):
            return self.fold(value)
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, datetime):
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        if isinstance(value, float):
            return math.inf if math.isnan(value) else Fraction(value)
        return Fraction(value) if isinstance(value, int | Decimal) else value

    def literal(self, value: Any, beside: Any) -> Hashable:
        """Return the key of a literal beside a value: a decimal, which only a floating-point number makes one, too."""
        if isinstance(beside, float):
            return Fraction(float(value))
        return Fraction(str(value)) if isinstance(value, float) else self.key(value)

    def is_json(self, text: str) -> bool:
        """Return whether a text is JSON as RFC 8259 has it; DuckDB takes NaN, and a comma before the end."""
        loose = self.name == "duckdb"
        with suppress(ValueError):
            json.loads(re.sub(r",\s*(?=[]}])", "", text) if loose else text, parse_constant=None if loose else _refused)
            return True
        return False

    def equal(self, value: Any, literal: Any) -> bool:
        """Return whether a value equals a literal."""
        return self.key(value) == self.literal(literal, value)


def in_all(verdicts: Iterable[Verdict]) -> Verdict:
    """AND of three-valued logic."""
    found = list(verdicts)
    return False if False in found else None if None in found else True


def in_any(verdicts: Iterable[Verdict]) -> Verdict:
    """OR of three-valued logic."""
    found = list(verdicts)
    return True if True in found else None if None in found else False


def negated(verdict: Verdict) -> Verdict:
    """NOT of three-valued logic."""
    return None if verdict is None else not verdict


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


# ---- predicates of one row: TRUE, FALSE, or None where a NULL makes them unknown


def known(row: Row, roles: Sequence[str], holds: Callable[[], bool]) -> Verdict:
    """Return whether it holds; None where one of the roles is NULL."""
    return None if any(row[role] is None for role in roles) else holds()


def between(traits: Traits, value: Any, low: Any, high: Any, ends: str) -> bool:
    """Return whether a value lies within."""
    key: Any = traits.key(value)
    least, most = (None if end is None else traits.literal(end, value) for end in (low, high))
    above = least is None or key > least or (key == least and ends in ("both", "low"))
    below = most is None or key < most or (key == most and ends in ("both", "high"))
    return above and below


def like(text: str, pattern: str) -> bool:
    """Return whether a text is like a pattern, case-sensitive."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    spelled = {"%": ".*", "_": "."}
    regex = "".join(spelled.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(regex, text, re.DOTALL) is not None


def _refused(name: str) -> None:
    raise ValueError(name)


def add_up(row: Row, roles: Sequence[str], total: Any, within: Any) -> Verdict | object:
    """Return whether columns add up."""
    named = [*roles, *([total] if isinstance(total, str) else [])]
    if any(abs(row[role] or 0) > 2**60 for role in named):
        return UNSURE  # what overflows beside a NULL is an error, too
    if any(row[role] is None for role in named):
        return None
    wanted = row[total] if isinstance(total, str) else total
    off = abs(sum(Fraction(row[role]) for role in roles) - Fraction(str(wanted)))
    return off <= Fraction(str(within))


# ---- predicates over other rows: a verdict per row


def in_order(
    traits: Traits,
    rows: Sequence[Row],
    role: str,
    by: str,
    within: Sequence[str],
    bad: Callable[[Any, Any], bool],
    *,
    descending: bool,
) -> list[Verdict]:
    """Return the verdicts of rows that are held against the one before; those with a NULL are passed over.

    Rows that ``by`` puts in one place stand in the order of the column itself, so that no chance decides.
    """
    verdicts: list[Verdict] = [None if row[role] is None else True for row in rows]
    for places in _parted(traits, rows, within):
        there = [i for i in places if rows[i][role] is not None]
        there.sort(key=lambda i: traits.key(rows[i][role]), reverse=descending)
        there.sort(key=lambda i: _placed(traits, rows[i][by]), reverse=descending and by == role)
        for earlier, later in pairwise(there):
            verdicts[later] = not bad(traits.key(rows[earlier][role]), traits.key(rows[later][role]))
    return verdicts


def _placed(traits: Traits, value: Any) -> tuple[int, Any]:
    return (2, 0) if value is None else (1, traits.key(value))  # NULL comes last, on each engine


def _parted(traits: Traits, rows: Sequence[Row], within: Sequence[str]) -> Iterable[list[int]]:
    parts: dict[Hashable, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        parts[tuple(traits.key(row[role]) for role in within)].append(place)
    return parts.values()


def apart(
    traits: Traits, rows: Sequence[Row], low: str, high: str, within: Sequence[str], gaps: str, *, empty: bool
) -> list[Verdict]:
    """Return the verdicts of ranges: each against the latest end of all that begin before."""
    verdicts: list[Verdict] = [None if row[low] is None or row[high] is None else True for row in rows]
    for places in _parted(traits, rows, within):
        there = sorted((i for i in places if verdicts[i]), key=lambda i: (rows[i][low], rows[i][high]))
        before: Any = None
        for i in there:
            start, end = rows[i][low], rows[i][high]
            wrong = start > end if empty else start >= end
            if before is not None:
                wrong |= {"allowed": start < before, "forbidden": start != before, "required": start <= before}[gaps]
            verdicts[i] = not wrong
            before = end if before is None else max(before, end)
    return verdicts


def same_casing(traits: Traits, rows: Sequence[Row], role: str) -> list[Verdict]:
    """Return the verdicts of texts: no other one that differs by its case only."""
    written = defaultdict(set)
    for row in rows:
        if row[role] is not None:
            written[traits.lower(row[role])].add(row[role])
    return [None if row[role] is None else len(written[traits.lower(row[role])]) == 1 for row in rows]


def near(rows: Sequence[Row], role: str, most: float, *, both: bool) -> list[Verdict] | object:
    """Return the verdicts of values near the mean; UNSURE where the last bit decides."""
    there = [float(row[role]) for row in rows if row[role] is not None]
    if not _tame(there):
        return UNSURE
    if len(there) < 2:
        return [None if row[role] is None else True for row in rows]
    mean, deviation = statistics.fmean(there), statistics.stdev(there)
    verdicts: list[Verdict] = []
    for row in rows:
        if row[role] is None:
            verdicts.append(None)
            continue
        off = float(row[role]) - mean
        if math.isclose(abs(off), most * deviation, rel_tol=1e-9):
            return UNSURE
        verdicts.append((abs(off) if both else off) <= most * deviation)
    return verdicts


def _tame(values: Iterable[Any]) -> bool:
    return all(math.isfinite(v) and (v == 0 or 1e-50 < abs(v) < 1e15) for v in values)


# ---- numbers of a column


def numbers(rows: Sequence[Row], role: str) -> list[Any]:
    """Return the values that are there."""
    return [row[role] for row in rows if row[role] is not None]


def aggregate(function: str, values: Sequence[Any], at: Any = None) -> Any:
    """Return an aggregate of numbers; None of none; UNSURE where floating point leaves its range."""
    if not values:
        return None
    if function in ("min", "max"):
        ordered = sorted(values, key=lambda v: math.inf if v != v else v)
        found = ordered[0 if function == "min" else -1]
        return UNSURE if found != found else found
    if function == "sum" and all(isinstance(v, int) for v in values):
        return sum(values) if sum(abs(v) for v in values) < 2**63 else UNSURE
    return _moment(function, [Fraction(v) for v in values], at) if _tame(values) else UNSURE


def _moment(function: str, exact: Sequence[Fraction], at: Any) -> Any:
    if function == "sum":
        return sum(exact)
    if function == "mean":
        return sum(exact) / len(exact)
    if function == "stddev_population":
        return statistics.pstdev(exact)
    if function == "stddev_sample":
        return statistics.stdev(exact) if len(exact) > 1 else None
    place = Fraction(str(at)) * (len(exact) - 1)
    ordered = sorted(exact)
    low = ordered[math.floor(place)]
    return low + (ordered[math.ceil(place)] - low) * (place - math.floor(place))


def counted(traits: Traits, rows: Sequence[Row], roles: Sequence[str], *, nulls: bool = False) -> Counter[Hashable]:
    """Return how often each combination of values occurs; those with a NULL only where asked."""
    return Counter(
        tuple(None if row[r] is None else traits.key(row[r]) for r in roles)
        for row in rows
        if nulls or all(row[r] is not None for r in roles)
    )


def shared_keys(traits: Traits, rows: Sequence[Row], roles: Sequence[str], *, nulls: bool = False) -> int:
    """Return the rows that share a key; ``nulls``: NULL equals NULL."""
    return sum(n for n in counted(traits, rows, roles, nulls=nulls).values() if n > 1)


def age(now: datetime, newest: datetime | date) -> timedelta:
    """Return an age; a time without a zone is in UTC, a date is its midnight."""
    if not isinstance(newest, datetime):
        newest = datetime(newest.year, newest.month, newest.day, tzinfo=UTC)
    return now - (newest if newest.tzinfo else newest.replace(tzinfo=UTC))
