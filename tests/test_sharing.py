"""Fused equals unfused: all checks together give what each gives alone, and what plain Python counts in the rows.

On every live engine, over every kind that dq exports with random parameters, over random rows full of NULL, NaN, empty
text, the ends of the types, time zones, and under names that need their quotes.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import define, evolve, field, frozen

import dq
from dq import Check, Suite, Table, at_least, at_most
from dq.checks.plan import plan
from dq.context import Context
from dq.execute import Memory, execute
from dq.model.check import Kind
from dq.model.group import By, Group
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.sql import user
from tests import oracle
from tests.engines import Live, live
from tests.oracle import OPERATORS, UNSURE, Row, Traits, Verdict, in_all, in_any, negated

__all__ = ["live"]

DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOST, LEAST = 2**63 - 1, -(2**63)

NAMES = (
    "order id", "select", "Größe", 'a"b', "c`d", "1st", "group", "x.y", "percent%", "colon:x", "semi;", "it's",
    "CamelCase", "back\\slash", "[b]", "question?", "from", "naïve", "--", "/*", "名前", "plain", "_x", "a b c",
)  # fmt: skip
TYPES = {
    "id": "bigint", "n": "bigint", "m": "bigint", "q": "integer", "r": "integer", "x": "double", "y": "double",
    "price": "decimal(12,2)", "org": "text", "note": "text", "memo": "text", "flag": "boolean", "day": "date",
    "at": "timestamp", "low": "timestamp", "high": "timestamp", "zoned": "zoned",
}  # fmt: skip
OWN_TYPES = {
    # The Python client of DuckDB gives times with a zone only where pytz is installed.
    ("duckdb", "zoned"): "timestamptz" if find_spec("pytz") else "timestamp",
    ("postgres", "zoned"): "timestamptz", ("sqlite", "zoned"): "text",
    ("mariadb", "zoned"): "datetime", ("mariadb", "text"): "varchar(200) character set utf8mb4",
}  # fmt: skip
NOON = datetime(2024, 6, 26, 12)  # noqa: DTZ001  # columns without a zone are the common case
WHOLE = [-1, 0, 1, 2, 3, MOST, LEAST, 2**53 + 1]
SMALL = [-3, -1, 0, 1, 2, 3]
FLOATS = [0.0, -0.0, 0.1, 1.5, -1.5, 2.5, 1e15, 1e308, -1e308, 5e-324, math.nan]
PRICES = [Decimal(text) for text in ("0.00", "0.10", "1.50", "-1.50", "2.00", "9999999999.99")]
ORGS = ["a", "A", "b", "", "it's", "ü", "u", "a ", "😀", "🙃", "14"]
TEXTS = [
    "", " ", "x", "xx%", "a_b", "ab", "Ab", "aB", "'", '"', "\\", "%", "\n", "b\n", "line\nbreak", "Ü", "ü", "NaN",
    "null", "1", "01", "{}", '{"a": 1}', "[1,]", "{'a': 1}", "*?[x]", "2024-06-26", ":y", "{{ x }}", "😀",
]  # fmt: skip
LIKES = ["%", "_", "", "a%", "%x%", "_b", r"\%", r"%\%", r"a\_b", r"\\", "AB", "%'%", "*", "%[x]", "ü", "%\n%", "?%"]
REGEXES = [
    "a", "^a", "b$", "^$", "^.$", "[a-c]", r"\d", r"^\w+$", r"\s", "x{2}", "(?:a|x)b?$", "[^a]", r"\\", r"\.", "'", "%",
    "a+b*", r"[\]%]", "A", "$",
]  # fmt: skip
MOMENTS = [NOON + timedelta(seconds=s) for s in (0, 1, 60, 3600, -3600)]
ZONED = [at.replace(tzinfo=UTC) for at in MOMENTS]
DAYS = [date(2024, 6, 25), date(2024, 6, 26), date(1, 1, 1), date(9999, 12, 31)]
POOLS: dict[str, Sequence[Any]] = {
    "id": [*range(1, 40)], "n": WHOLE, "m": WHOLE, "q": SMALL, "r": SMALL, "x": FLOATS, "y": FLOATS, "price": PRICES,
    "org": ORGS, "note": TEXTS, "memo": TEXTS, "flag": [True, False], "day": DAYS, "low": MOMENTS, "high": MOMENTS,
    "zoned": ZONED,
}  # fmt: skip
ALIKE = (("n", "m"), ("q", "r"), ("x", "y"), ("note", "memo"), ("low", "high"))
NUMBERS = ("n", "q", "x", "price")
ORDERED = ("n", "q", "x", "price", "low", "day", "zoned")
ANY = tuple(POOLS)


# ---- a world: a table, another one, and how they are looked at


@define
class World:
    """What is checked, and how the engine sees it."""

    live: Live
    traits: Traits
    rng: Random
    names: dict[str, str] = field(factory=dict)
    tables: dict[str, str] = field(factory=dict)
    rows: dict[str, list[Row]] = field(factory=dict)

    def quoted(self, role: str) -> str:
        return self.live.quote(self.names[role])

    def table(self, which: str, **declared: Any) -> Table:
        return Table("live", '"' + self.tables[which].replace('"', '""') + '"', **declared)

    def load(self, which: str, count: int) -> None:
        rng = self.rng
        rows = []
        for number in range(count):
            row = {role: None if rng.random() < 0.2 else rng.choice(pool) for role, pool in POOLS.items()}
            row["at"] = NOON - timedelta(days=rng.choice([0, 0, 0, 1]), seconds=number)
            if rng.random() < 0.5:
                row["id"] = number
            if not self.traits.has_nan:
                row |= {role: None for role in ("x", "y") if row[role] is not None and math.isnan(row[role])}
            rows.append(row)
        columns = {self.names[role]: OWN_TYPES.get((self.live.name, kind), kind) for role, kind in TYPES.items()}
        self.live.load(self.tables[which], columns, [[self._stored(row[role]) for role in TYPES] for row in rows])
        self.rows[which] = rows

    def _stored(self, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo and OWN_TYPES[self.live.name, "zoned"] != "timestamptz":
            value = value.replace(tzinfo=None)
        if self.live.name == "sqlite":
            if isinstance(value, datetime):
                return value.isoformat(" ")
            return str(value) if isinstance(value, date | Decimal) else value
        return value


def a_world(live: Live, rng: Random) -> World:
    world = World(live, Traits(live.name), rng)
    world.names = dict(zip(TYPES, rng.sample(NAMES, len(TYPES)), strict=True))
    here, there = rng.sample(["orders", "the order.s", "Größe", 'q"t', "select"], 2)
    world.tables = {"here": here, "there": there}
    world.load("here", rng.choice([0, 1, 2, 5, 17]))
    world.load("there", rng.choice([0, 3, 9]))
    return world


# ---- a case: a check and what it must tell of the rows that are left to it

Told = tuple[str, Any] | tuple[str, Any, Any, Any] | object


@frozen
class Case:
    """A kind, and what it must tell of what it reaches: the rows left to it, the ``table``, or its ``columns``."""

    kind: Kind
    tell: Callable[[list[Row], list[Row]], Told]
    reach: str = "partition"


def by_row(kind: Kind, verdict: Callable[[Row], Verdict | object]) -> Case:
    return by_rows(kind, lambda rows: [verdict(row) for row in rows])


def by_rows(kind: Kind, verdicts: Callable[[list[Row]], Any]) -> Case:
    def tell(rows: list[Row], _there: list[Row]) -> Told:
        found = verdicts(rows)
        if found is UNSURE or UNSURE in found:
            return UNSURE
        return "count", len(rows), sum(v is not True for v in found), sum(v is None for v in found)

    return Case(kind, tell)


def by_value(kind: Kind, value: Callable[[list[Row]], Any]) -> Case:
    def tell(rows: list[Row], _there: list[Row]) -> Told:
        found = value(rows)
        return UNSURE if found is UNSURE else ("value", found)

    return Case(kind, tell)


# ---- the user's own SQL

Spoken = tuple[str, Callable[[Row], Verdict]]


def spell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return repr(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


def predicate(world: World, depth: int = 2) -> Spoken:
    """Return SQL over one row, and what it says in three-valued logic."""
    rng = world.rng
    if depth and rng.random() < 0.6:
        word = rng.choice(["AND", "OR", "NOT"])
        parts = [predicate(world, depth - 1) for _ in range(1 if word == "NOT" else rng.choice([2, 2, 3]))]
        if word == "NOT":
            return f"NOT ({parts[0][0]})", lambda row: negated(parts[0][1](row))
        joined = in_all if word == "AND" else in_any
        return f" {word} ".join(f"({sql})" for sql, _ in parts), lambda row: joined([says(row) for _, says in parts])
    return _atom(world)


def _atom(world: World) -> Spoken:  # noqa: PLR0911  # one return per form reads best
    rng, traits, name = world.rng, world.traits, world.quoted
    role = rng.choice(["n", "q", "x", "org", "note", "low"])
    column, pool = name(role), [v for v in POOLS[role] if v == v and "\\" not in str(v) and "{" not in str(v)]
    one, other = rng.choice(pool), rng.choice(pool)
    equal = traits.equal

    def of(says: Callable[[Any], bool]) -> Callable[[Row], Verdict]:
        return lambda row: None if row[role] is None else says(row[role])

    form = rng.randrange(14)
    if form == 0:
        return f"{column} IS NULL", lambda row: row[role] is None
    if form == 1:
        return f"{column} IS NOT NULL", lambda row: row[role] is not None
    if form == 2:
        return f"{column} IN ({spell(one)}, {spell(other)})", of(lambda v: equal(v, one) or equal(v, other))
    if form == 3:
        return f"{column} NOT IN ({spell(one)}, NULL)", lambda row: (
            None if row[role] is None or not equal(row[role], one) else False
        )
    if form == 4 and role in ("n", "q", "x", "low"):
        return f"{column} BETWEEN {spell(one)} AND {spell(other)}", of(
            lambda v: oracle.between(traits, v, one, other, "both")
        )
    if form == 5:
        sum_is, most = rng.choice(["<", "=", ">="]), rng.randint(-2, 4)
        return f"{name('q')} + {name('r')} * 2 {sum_is} {most}", lambda row: oracle.known(
            row, ["q", "r"], lambda: OPERATORS[sum_is](row["q"] + row["r"] * 2, most)
        )
    if form == 6:
        return name("flag"), lambda row: row["flag"]
    if form == 7:
        return f"COALESCE({name('q')}, 0) > 0", lambda row: (row["q"] or 0) > 0
    if form == 8:
        pattern = rng.choice(["%", "_", "x%", "%1%", "''"])
        return f"{name('note')} LIKE '{pattern}'", lambda row: oracle.known(
            row, ["note"], lambda: oracle.like(row["note"], pattern.replace("''", "'"))
        )
    if form == 9:
        low, high = name("r"), rng.choice(SMALL)
        return f"{name('q')} NOT BETWEEN {low} AND {high}", lambda row: negated(
            in_all([
                oracle.known(row, ["q", "r"], lambda: row["q"] >= row["r"]),
                oracle.known(row, ["q"], lambda: row["q"] <= high),
            ])
        )
    if role in ("org", "note"):
        return f"{column} <> {spell(one)}", of(lambda v: not equal(v, one))
    compare = rng.choice(list(OPERATORS))
    return f"{column} {compare} {spell(one)}", of(
        lambda v: OPERATORS[compare](traits.key(v), traits.literal(one, v))
    )


# ---- the kinds

DRAWN: dict[str, Callable[[World], Case]] = {}


def draws(*names: str) -> Callable[[Callable[..., Case]], Callable[..., Case]]:
    """Register what draws these kinds; one that draws several is told which."""

    def register(draw: Callable[..., Case]) -> Callable[..., Case]:
        kinds = {name: getattr(dq, name) for name in names}
        DRAWN.update({n: partial(draw, kind=k) if len(kinds) > 1 else draw for n, k in kinds.items()})
        return draw

    return register


def _some(rng: Random, pool: Sequence[Any], most: int = 3) -> list[Any]:
    return [rng.choice([v for v in pool if v == v]) for _ in range(rng.randint(1, most))]


@draws("Rows")
def rows(world: World) -> Case:
    sql, says = predicate(world)
    return by_row(dq.Rows(sql), says)


@draws("NotNull")
def not_null(world: World) -> Case:
    role = world.rng.choice(ANY)
    return by_row(dq.NotNull(world.names[role]), lambda row: row[role] is not None)


@draws("IsNull")
def is_null(world: World) -> Case:
    role = world.rng.choice(ANY)
    return by_row(dq.IsNull(world.names[role]), lambda row: row[role] is None)


@draws("OneOf", "NoneOf")
def one_of(world: World, kind: Any) -> Case:
    role = world.rng.choice(["n", "q", "x", "price", "org", "note", "flag", "day", "low", "zoned"])
    values = _some(world.rng, POOLS[role])
    if role == "price":
        values = [world.rng.choice([v, float(v)]) for v in values]
    among = kind is dq.OneOf
    return by_row(
        kind(world.names[role], values),
        lambda row: oracle.known(row, [role], lambda: any(world.traits.equal(row[role], v) for v in values) is among),
    )


@draws("Between", "NotBetween")
def between(world: World, kind: Any) -> Case:
    rng = world.rng
    role = rng.choice(ORDERED)
    low, high = sorted(_some(rng, POOLS[role], 1) + _some(rng, POOLS[role], 1))
    ends = rng.choice(["both", "low", "high", "neither"])
    within = kind is dq.Between
    if within and rng.random() < 0.3:
        low, high = rng.choice([(low, None), (None, high)])
    return by_row(
        kind(world.names[role], low, high, ends=ends),
        lambda row: oracle.known(
            row, [role], lambda: oracle.between(world.traits, row[role], low, high, ends) is within
        ),
    )


@draws("HasLength")
def has_length(world: World) -> Case:
    rng = world.rng
    role, low, high = rng.choice(["org", "note"]), rng.randint(0, 2), rng.randint(2, 9)
    low, high = rng.choice([(low, high), (low, None), (None, high), (low, low)])
    return by_row(
        dq.HasLength(world.names[role], low, high),
        lambda row: oracle.known(row, [role], lambda: (low or 0) <= len(row[role]) <= (99 if high is None else high)),
    )


def _patterns(world: World, kind: Any, pool: Sequence[str], found: Callable[[str, str], Any], *, within: bool) -> Case:
    role, every = world.rng.choice(["org", "note"]), world.rng.random() < 0.3
    patterns = _some(world.rng, pool)

    def says(row: Row) -> Verdict | object:
        if row[role] is None:
            return None
        each = [found(row[role], pattern) for pattern in patterns]
        return UNSURE if UNSURE in each else (all(each) if every else any(each)) is within

    return by_row(kind(world.names[role], patterns, every=every), says)


@draws("Like", "NotLike")
def likes(world: World, kind: Any) -> Case:
    return _patterns(world, kind, LIKES, oracle.like, within=kind is dq.Like)


@draws("Matches", "NotMatches")
def matches(world: World, kind: Any) -> Case:
    def found(text: str, pattern: str) -> Any:
        if "\\w" in pattern and not text.isascii():
            return UNSURE  # which letters there are beyond ASCII is the engine's own knowledge
        return re.search(re.sub(r"(?<!\\)\$", r"\\Z", pattern), text, re.DOTALL) is not None

    return _patterns(world, kind, REGEXES, found, within=kind is dq.Matches)


@draws("ValidJson")
def valid_json(world: World) -> Case:
    return by_row(
        dq.ValidJson(world.names["note"]),
        lambda row: oracle.known(row, ["note"], lambda: world.traits.is_json(row["note"])),
    )


@draws("ConsistentCasing")
def consistent_casing(world: World) -> Case:
    role = world.rng.choice(["org", "note"])
    return by_rows(
        dq.ConsistentCasing(world.names[role]), lambda rows: oracle.same_casing(world.traits, rows, role)
    )


@draws("Compare")
def compare(world: World) -> Case:
    left, right = world.rng.choice(ALIKE)
    operator = world.rng.choice(["=", "<>"] if left == "note" else list(OPERATORS))
    key = world.traits.key
    return by_row(
        dq.Compare(world.names[left], operator, world.names[right]),
        lambda row: oracle.known(row, [left, right], lambda: OPERATORS[operator](key(row[left]), key(row[right]))),
    )


@draws("TogetherOneOf")
def together_one_of(world: World) -> Case:
    roles = world.rng.sample(["q", "org", "day", "price", "low"], 2)
    values = [[world.rng.choice(POOLS[role]) for role in roles] for _ in range(world.rng.randint(1, 3))]
    return by_row(
        dq.TogetherOneOf([world.names[r] for r in roles], values),
        lambda row: oracle.known(
            row,
            roles,
            lambda: any(
                all(world.traits.equal(row[r], v) for r, v in zip(roles, value, strict=True)) for value in values
            ),
        ),
    )


@draws("AddUp")
def add_up(world: World) -> Case:
    rng = world.rng
    roles = rng.choice([["q", "r"], ["q"], ["n", "m"], ["q", "price"], ["n", "r"]])
    total = rng.choice([0, 1, 3, "r", "n", Decimal("1.5")])
    within = rng.choice([0, 0, 1, 0.5])
    return by_row(
        dq.AddUp([world.names[r] for r in roles], world.names.get(total, total), within=within),
        lambda row: oracle.add_up(row, roles, total, within),
    )


@draws("UniqueWithinRow")
def unique_within_row(world: World) -> Case:
    roles = world.rng.choice([*ALIKE, ("q", "r", "n"), ("note", "memo", "org")])
    key, nulls_equal = world.traits.key, world.rng.random() < 0.5

    def equal(a: Any, b: Any) -> bool:
        return (nulls_equal and a is b) if a is None or b is None else key(a) == key(b)

    return by_row(
        dq.UniqueWithinRow(*(world.names[r] for r in roles), nulls_equal=nulls_equal),
        lambda row: not any(equal(row[a], row[b]) for a, b in combinations(roles, 2)),
    )


@draws("Increasing", "Decreasing")
def in_order(world: World, kind: Any) -> Case:
    rng = world.rng
    role, by, within = rng.choice(ORDERED), rng.choice(["at", "at", "q"]), rng.choice([[], ["org"], ["q", "flag"]])
    strict, rises = rng.random() < 0.5, kind is dq.Increasing
    falls = {(True, True): "<=", (True, False): "<", (False, True): ">=", (False, False): ">"}[rises, strict]
    return by_rows(
        kind(world.names[role], by=world.names[by], within=[world.names[r] for r in within], strict=strict),
        lambda rows: oracle.in_order(
            world.traits, rows, role, by, within, lambda a, b: OPERATORS[falls](b, a), descending=not rises
        ),
    )


@draws("Sequential")
def sequential(world: World) -> Case:
    rng = world.rng
    role, step = rng.choice([("q", 1), ("q", -1), ("q", 2), ("id", 1), ("low", timedelta(hours=1))])
    within = rng.choice([[], ["org"], ["flag"]])
    down = step != abs(step)
    return by_rows(
        dq.Sequential(world.names[role], step, within=[world.names[r] for r in within]),
        lambda rows: oracle.in_order(
            world.traits, rows, role, role, within, lambda a, b: b - a != step, descending=down
        ),
    )


@draws("NoOverlap")
def no_overlap(world: World) -> Case:
    rng = world.rng
    low, high = rng.choice([("low", "high"), ("q", "r"), ("n", "m")])
    within, gaps = rng.choice([[], ["org"]]), rng.choice(["allowed", "forbidden", "required"])
    empty = rng.random() < 0.5
    return by_rows(
        dq.NoOverlap(
            world.names[low], world.names[high], within=[world.names[r] for r in within], gaps=gaps, empty=empty
        ),
        lambda rows: oracle.apart(world.traits, rows, low, high, within, gaps, empty=empty),
    )


@draws("ZScore")
def z_score(world: World) -> Case:
    role, most, both = world.rng.choice(NUMBERS), world.rng.choice([0.3, 0.77, 1.3]), world.rng.random() < 0.5
    return by_rows(
        dq.ZScore(world.names[role], most, both=both), lambda rows: oracle.near(rows, role, most, both=both)
    )


@draws("Unique")
def unique(world: World) -> Case:
    roles = world.rng.choice([[role] for role in ANY] + [["id", "org"], ["q", "x"], ["org", "note", "q"]])
    if world.rng.random() < 0.3:
        return Case(
            dq.Unique(*(world.names[r] for r in roles), nulls_equal=True),
            lambda rows, _there: ("count", len(rows), oracle.shared_keys(world.traits, rows, roles, nulls=True), 0),
        )

    def tell(rows: list[Row], _there: list[Row]) -> Told:
        missing = sum(any(row[r] is None for r in roles) for row in rows)
        return "count", len(rows), oracle.shared_keys(world.traits, rows, roles), missing

    return Case(dq.Unique(*(world.names[r] for r in roles)), tell)


@draws("RowCount")
def row_count(_world: World) -> Case:
    return by_value(dq.RowCount(), len)


@draws("Min", "Max")
def extreme(world: World, kind: Any) -> Case:
    role = world.rng.choice(ORDERED)
    function = "min" if kind is dq.Min else "max"
    return by_value(
        kind(world.names[role]), lambda rows: oracle.aggregate(function, oracle.numbers(rows, role))
    )


@draws("Sum", "Mean", "Median")
def of_column(world: World, kind: Any) -> Case:
    role = world.rng.choice(NUMBERS)
    function, at = {dq.Sum: ("sum", None), dq.Mean: ("mean", None), dq.Median: ("quantile", 0.5)}[kind]
    return by_value(
        kind(world.names[role]), lambda rows: oracle.aggregate(function, oracle.numbers(rows, role), at)
    )


@draws("Quantile")
def quantile(world: World) -> Case:
    role, at = world.rng.choice(NUMBERS), world.rng.choice([0, 0.25, 0.9, 1, Decimal("0.333")])
    return by_value(
        dq.Quantile(world.names[role], at), lambda rows: oracle.aggregate("quantile", oracle.numbers(rows, role), at)
    )


@draws("StdDev")
def std_dev(world: World) -> Case:
    role, of = world.rng.choice(NUMBERS), world.rng.choice(["sample", "population"])
    return by_value(
        dq.StdDev(world.names[role], of=of),
        lambda rows: oracle.aggregate(f"stddev_{of}", oracle.numbers(rows, role)),
    )


@draws("TextLength")
def text_length(world: World) -> Case:
    role, which = world.rng.choice(["org", "note"]), world.rng.choice(["min", "max", "mean"])
    return by_value(
        dq.TextLength(world.names[role], which),
        lambda rows: oracle.aggregate(which, [len(text) for text in oracle.numbers(rows, role)]),
    )


def _columns(world: World) -> list[str]:
    return world.rng.choice([[role] for role in ANY] + [["q", "org"], ["x", "note"], ["org", "q", "day"]])


@draws("DistinctCount", "DistinctShare", "UniqueCount", "UniqueShare", "DuplicateCount")
def distinct(world: World, kind: Any) -> Case:
    roles = _columns(world)
    of = world.rng.choice(["rows", "values"])

    def value(rows: list[Row]) -> Any:
        found = oracle.counted(world.traits, rows, roles)
        once = sum(n == 1 for n in found.values())
        counts = {dq.DistinctCount: len(found), dq.UniqueCount: once, dq.DuplicateCount: len(found) - once}
        if kind in counts:
            return counts[kind]
        whole = len(found) if kind is dq.UniqueShare and of == "values" else sum(found.values())
        return Fraction(len(found) if kind is dq.DistinctShare else once, whole) if whole else None

    more = {"of": of} if kind is dq.UniqueShare else {}
    return by_value(kind([world.names[r] for r in roles], **more), value)


@draws("Values")
def values(world: World) -> Case:
    rng = world.rng
    role = rng.choice(["q", "org", "note", "price", "flag", "day", "low", "zoned", "x"])
    # Of two that the collation takes for the same, only the first would be told.
    wanted = list({world.traits.key(v): v for v in _some(rng, POOLS[role], 4)}.values())
    if role == "price":
        wanted = [rng.choice([v, float(v)]) for v in wanted]
    only, every = rng.choice([(True, True), (True, False), (False, True)])

    def tell(rows: list[Row], _there: list[Row]) -> Told:
        traits = world.traits
        there = list({traits.key(v): v for v in oracle.numbers(rows, role)}.values())
        declared = list({traits.key(Decimal(str(v)) if isinstance(v, float) else v): v for v in wanted}.values())
        missing = sum(not any(traits.equal(v, w) for v in there) for w in declared)
        extra = sum(not any(traits.equal(v, w) for w in declared) for v in there)
        return "count", len(there), missing * every + extra * only, None

    return Case(dq.Values(world.names[role], wanted, only=only, all=every), tell)


@draws("MostCommon")
def most_common(world: World) -> Case:
    rng = world.rng
    role, ties = rng.choice(["q", "org", "price", "flag", "day", "low", "zoned"]), rng.choice(["all", "one", "none"])
    allowed = _some(rng, POOLS[role])

    def tell(rows: list[Row], _there: list[Row]) -> Told:
        traits = world.traits
        counts = oracle.counted(traits, rows, [role])
        most = max(counts.values(), default=0)
        there = {traits.key(v): v for v in oracle.numbers(rows, role)}
        tied = [value for key, value in there.items() if counts[key,] == most]
        bad = sum(not any(traits.equal(v, a) for a in allowed) for v in tied)
        if ties == "one" and bad < len(tied):
            bad = 0
        return "count", len(tied), max(bad, len(tied) - 1) if ties == "none" else bad, None

    return Case(dq.MostCommon(world.names[role], allowed, ties=ties), tell)


@draws("Freshness")
def freshness(world: World) -> Case:
    role = world.rng.choice(["at", "low", "zoned", "day"])

    def value(rows: list[Row]) -> Any:
        found = oracle.numbers(rows, role)
        return oracle.age(NOW, max(found)) if found else None

    return Case(dq.Freshness(world.names[role]), by_value(dq.RowCount(), value).tell, "table")


@draws("Query")
def query(world: World) -> Case:
    sql, says = predicate(world)
    text = f"SELECT * FROM {world.live.quote(world.tables['here'])} WHERE {sql}"
    return Case(
        dq.Query(text), lambda rows, _there: ("count", None, sum(says(row) is True for row in rows), None), "table"
    )


@draws("QueryValue")
def query_value(world: World) -> Case:
    sql, says = predicate(world)
    text = f"SELECT COUNT(*) FROM {world.live.quote(world.tables['here'])} WHERE {sql}"
    return Case(
        dq.QueryValue(text), lambda rows, _there: ("value", sum(says(row) is True for row in rows)), "everything"
    )


@draws("Count", "Share")
def holding(world: World, kind: Any) -> Case:
    of_rows = ["Rows", "NotNull", "OneOf", "Between", "Like", "Compare", "UniqueWithinRow"]
    inner = DRAWN[world.rng.choice(of_rows)](world)

    def tell(rows: list[Row], there: list[Row]) -> Told:
        _, n, violations, _ = inner.tell(rows, there)
        held = n - violations
        return "value", held if kind is dq.Count else Fraction(held, n) if n else None

    return Case(kind(inner.kind), tell)


@draws("Aggregate")
def aggregate(world: World) -> Case:
    role = world.rng.choice(["q", "note", "org", "n"])
    form = world.rng.choice(["count({})", "count(distinct {})", "count(*)", *(["max({})"] if role in "qn" else [])])

    def value(rows: list[Row]) -> Any:
        found = oracle.numbers(rows, role)
        different = {world.traits.key(v) for v in found}
        largest = oracle.aggregate("max", found) if form == "max({})" else None
        return {"count({})": len(found), "count(distinct {})": len(different), "count(*)": len(rows)}.get(form, largest)

    return by_value(dq.Aggregate(form.format(world.quoted(role))), value)


@draws("Reference", "NotIn")
def keys(world: World, kind: Any) -> Case:
    roles = world.rng.choice([["q"], ["org"], ["id"], ["price"], ["q", "org"], ["low", "flag"]])

    def tell(rows: list[Row], there: list[Row]) -> Told:
        known = oracle.counted(world.traits, there, roles)
        mine = oracle.counted(world.traits, rows, roles)
        bad = sum(n for key, n in mine.items() if (key in known) is (kind is dq.NotIn))
        return "count", len(rows), bad, len(rows) - sum(mine.values())

    names = [world.names[r] for r in roles]
    return Case(kind(names, world.table("there"), names), tell)


@draws("SameAs")
def same_as(world: World) -> Case:
    roles = world.rng.choice([["q"], ["org"], ["flag"], ["q", "org"]])
    counted = world.rng.random() < 0.5

    def tell(rows: list[Row], there: list[Row]) -> Told:
        mine, theirs = (oracle.counted(world.traits, some, roles, nulls=True) for some in (rows, there))
        if counted:
            return "count", None, len(set(mine.items()) ^ set(theirs.items())), None
        return "count", None, len(set(mine) ^ set(theirs)), None

    return Case(dq.SameAs([world.names[r] for r in roles], world.table("there"), counted=counted), tell, "whole")


@draws("Ratio")
def ratio(world: World) -> Case:
    as_ = world.rng.choice(["ratio", "difference"])
    role = world.rng.choice([None, "q"])

    def tell(rows: list[Row], there: list[Row]) -> Told:
        if role is None:
            here, other = len(rows), len(there)
        else:
            here, other = (len(oracle.numbers(some, role)) for some in (rows, there))
            if not there:
                return UNSURE  # of an org without rows there, an aggregate of the user's own may be NULL or none
        if as_ == "difference":
            return "value", here - other
        return ("unmeasured",) if other == 0 and here else ("value", Fraction(here, other) if other else 1)

    measure = "count(*)" if role is None else f"count({world.quoted(role)})"
    return Case(dq.Ratio(world.table("there"), measure=measure, as_=as_), tell)


@draws("Schema")
def schema(world: World) -> Case:
    declared = [world.names[role] for role in TYPES if world.rng.random() < 0.9]
    gone = [name for name in NAMES if name not in world.names.values() and world.rng.random() < 0.1]
    extra = world.rng.choice(["allowed", "forbidden"])
    wrong = len(gone) + (len(TYPES) - len(declared) if extra == "forbidden" else 0)
    kind = dq.Schema([*declared, *gone], extra=extra, ordered=True)
    return Case(kind, lambda _rows, _there: ("count", len(TYPES), wrong, None), "columns")


@draws("ColumnCount")
def column_count(world: World) -> Case:
    beside = world.rng.random() < 0.5
    kind = dq.ColumnCount(world.table("there") if beside else None)
    return Case(kind, lambda _rows, _there: ("value", 0 if beside else len(TYPES)), "columns")


@draws("Gaps")
def gaps(world: World) -> Case:
    every = timedelta(minutes=world.rng.choice([1, 7, 60, 90, 1000, 1440]))

    def tell(rows: list[Row], _there: list[Row]) -> Told:
        buckets = math.ceil(timedelta(days=1) / every)
        start = DAY.start.replace(tzinfo=None)
        there = {(row["at"] - start) // every for row in rows if row["at"].date() == start.date()}
        return "count", buckets, buckets - len(there), None

    return Case(dq.Gaps(world.names["at"], every), tell, "whole")


@draws("Change")
def change(world: World) -> Case:
    # There is no history, so it is not judged; the number that it keeps for later is.
    if world.rng.random() < 0.5:
        return Case(dq.Change(dq.RowCount()), lambda rows, _there: ("value", len(rows)), "whole")
    kind = dq.Change(dq.NotNull(world.names["q"]))
    return Case(kind, lambda rows, _there: ("value", sum(row["q"] is None for row in rows)))


@draws("Distribution")
def distribution(world: World) -> Case:
    reference = {"edges": [0, 2], "counts": [3, 5, 7]}

    def value(rows: list[Row]) -> Any:
        numbers = [row["q"] for row in rows if row["q"] is not None]
        counts = [sum(n < 0 for n in numbers), sum(0 <= n < 2 for n in numbers), sum(n >= 2 for n in numbers)]
        shares = [(max(c / len(numbers), 1e-4), r / 15) for c, r in zip(counts, [3, 5, 7], strict=True) if numbers]
        return Fraction(sum((c - r) * math.log(c / r) for c, r in shares)) if numbers else None

    return by_value(dq.Distribution(world.names["q"], reference=reference), value)


def test_every_kind_is_drawn() -> None:
    kinds = {name for name in dq.__all__ if hasattr(getattr(dq, name), "failing")}
    assert kinds == set(DRAWN)


# ---- together, alone, and what the oracle says


class Everybody:
    """All groups: each gets a Result of its own."""

    def __contains__(self, group: object) -> bool:
        return True


def run(world: World, suite: Suite) -> list[Result]:
    source = world.live.datasource()
    found = [
        result
        for scan in plan(suite)
        for result in execute(
            scan, suite.table, suite.by_of, lambda _: source, Context(DAY, NOW), keep=Everybody(), memory=Memory()
        )
    ]
    source.close()
    return found


def said(result: Result, kind: Kind) -> Told:
    """Return what a Result tells, in the words of the oracle."""
    if result.outcome is Outcome.UNMEASURED:
        return ("unmeasured",)
    if result.outcome is Outcome.NO_DATA:
        return ("no data",)
    if kind.judged == "value":
        return ("nothing",) if result.measured is None else ("value", result.measured)
    return "count", result.rows, result.violations, result.unknown


def told(  # noqa: PLR0911  # one return per row of the table in judge
    case: Case, check: Check, rows: dict[str, list[Row]], where: Callable[[Row], Verdict] | None
) -> Told:
    """Return what the oracle says of a check, for the whole or one org."""
    partition, table, there = rows["partition"], rows["table"], rows["there"]
    if case.reach == "columns":
        return case.tell([], there)
    if case.reach == "everything":
        return case.tell(rows["all"], there)
    if case.reach == "table" and isinstance(check.kind, dq.Query):
        found = case.tell(rows["all"], there)
        return found if partition or found[2] else ("no data",)
    if not partition:
        return ("no data",)
    if case.reach == "table":
        found = case.tell([row for row in table if where is None or where(row) is True], there)
        return ("no data",) if found == ("value", None) else found
    left = [row for row in partition if where is None or where(row) is True]
    if not left and case.reach != "whole" and not isinstance(check.kind, dq.RowCount | dq.Count):
        return ("nothing",) if check.kind.judged == "value" else ("count", 0, 0, None)
    found = case.tell(left, there)
    if found == ("value", None):
        return ("no data",)
    if isinstance(found, tuple) and found[0] == "count" and check.kind.nulls and check.nulls != "fail":
        _, n, violations, unknown = found
        if check.nulls == "skip":
            return "count", n - unknown, violations - unknown, unknown
        return "count", n, violations - unknown, None
    return found


def agree(found: Told, expected: Told) -> bool:
    """Return whether both say the same; floating point may be off in its last digits."""
    if expected is UNSURE or found == expected:
        return True
    if not (isinstance(found, tuple) and isinstance(expected, tuple) and found[0] == expected[0] == "value"):
        return False
    value = expected[1]
    if isinstance(value, date):
        value = oracle.age(EPOCH, value) * -1
    if isinstance(value, timedelta):
        value = Fraction(str(value.total_seconds()))
    return math.isclose(found[1], value, rel_tol=1e-9, abs_tol=1e-12)


def groups(world: World, some: list[Row], roles: Sequence[str]) -> dict[Group, list[Row]]:
    found: dict[Group, list[Row]] = defaultdict(list)
    by = By([world.names[role] for role in roles])
    for row in some:
        values = [row[role] for role in roles]
        if not world.traits.has_booleans:
            values = [int(value) if isinstance(value, bool) else value for value in values]
        found[by.group(values)].append(row)
    return found


@frozen
class Drawn:
    """A check, and what tells what it must find."""

    case: Case
    check: Check
    where: Callable[[Row], Verdict] | None


def a_check(world: World, name: str, number: int) -> Drawn:
    rng = world.rng
    case = DRAWN[name](world)
    where = predicate(world, 1) if rng.random() < 0.4 and "Query" not in name and case.reach != "columns" else None
    declared: dict[str, Any] = {"where": where[0] if where else None}
    if case.kind.nulls:
        declared["nulls"] = rng.choice(["fail", "pass", "skip"])
    threshold: Any = at_least(0) if case.kind.judged == "value" else 0
    if name == "Freshness":
        threshold = at_most("1h")
    times = {world.names[role] for role in ("low", "day", "zoned")}
    if name in ("Min", "Max") and case.kind.column in times:
        threshold = at_least(NOON)
    return Drawn(case, Check(f"{number} {name}", case.kind, critical=threshold, **declared), where and where[1])


def same(alone: Result | None, together: Result) -> bool:
    """Return whether both are the same; an engine may give groups in any order, and add floating point in any."""
    if alone is None or len(alone.every_org) != len(together.every_org):
        return False
    orgs = [sorted(result.every_org, key=lambda org: str(org.group)) for result in (alone, together)]
    if not all(map(same, *orgs)):
        return False
    numbers = [result.measured for result in (alone, together)]
    if None not in numbers and math.isclose(*numbers, rel_tol=1e-12, abs_tol=1e-15):  # type: ignore[arg-type]  # not None
        alone = evolve(alone, measured=together.measured, observed=together.observed)
    return evolve(alone, every_org=()) == evolve(together, every_org=())


def disagreements(world: World) -> Iterator[str]:
    """Yield where the checks of a random suite tell something else together, alone, or by hand."""
    rng, here, there = world.rng, world.rows["here"], world.rows["there"]
    of_table = predicate(world) if rng.random() < 0.3 else None
    at = world.names["at"] if rng.random() < 0.6 else None
    table = world.table("here", partition=at, where=of_table and of_table[0])
    roles = rng.choice([[], [], ["org"], ["q"], ["org", "flag"], ["day"]])
    by = By([world.names[r] for r in roles]) if roles else None
    wanted = [*DRAWN] if rng.random() < 0.3 else rng.choices([*DRAWN], k=rng.randint(2, 25))
    # Some look at tables as a whole, and say so.
    of_tables = ("SameAs", "Schema", "ColumnCount", "QueryValue") if by else ()
    drawn = [a_check(world, name, i) for i, name in enumerate(wanted) if name not in of_tables]
    checks = [one.check for one in drawn] or [Check("rows", dq.RowCount(), critical=at_least(0))]
    together = run(world, Suite("s", table, checks=checks, by=by))
    alone = [r for check in checks for r in run(world, Suite("s", table, checks=[check], by=by))]
    found = {(r.check, r.group): r for r in alone}
    for result in together:
        if not same(found.get((result.check, result.group)), result):
            yield f"{result.check}: together {result}\nalone {found.get((result.check, result.group))}"
    if len(together) != len(alone):
        yield f"{len(together)} results together, {len(alone)} alone"

    in_table = [row for row in here if of_table is None or of_table[1](row) is True]
    in_partition = [row for row in in_table if at is None or row["at"].date() == NOON.date()]
    whole = {"partition": in_partition, "table": in_table, "there": there, "all": here}
    scopes: dict[Group | None, dict[str, list[Row]]] = {None: whole}
    if by:
        split = {what: groups(world, some, roles) for what, some in whole.items()}
        orgs = {group for what, some in split.items() if what != "there" for group in some}
        scopes = {group: {what: split[what].get(group, []) for what in split} for group in orgs}
    for one in drawn:
        anywhere = {"there": there} if isinstance(one.check.kind, dq.Reference | dq.NotIn) else {}  # in any org
        must = {group: told(one.case, one.check, scope | anywhere, one.where) for group, scope in scopes.items()}
        summary = found[one.check.name, None]
        broken = summary.outcome is Outcome.UNMEASURED and summary.orgs is None
        if broken and UNSURE in must.values():
            continue  # what leaves the range of a type in one org ends the statement for all
        for group, scope in scopes.items():
            expected = must[group]
            result = summary if broken else found.get((one.check.name, group))
            seen = ("no data",) if result is None else said(result, one.check.kind)
            if not agree(seen, expected):
                why = "" if result is None else result.sentence
                yield (
                    f"{one.check.name}: said {seen}: {why}\nmust {expected}\n{one.check}\n{table}\n{group}\n"
                    f"names {world.names}\nrows {scope['partition']} there {scope['there']}"
                )


@pytest.mark.slow
@pytest.mark.soak
def test_together_alone_and_by_hand_are_the_same(live: Live, histories: Any) -> None:
    for rng in histories(8, 250):
        for wrong in disagreements(a_world(live, rng)):
            pytest.fail(f"{live.name}: {wrong}", pytrace=False)


@pytest.mark.soak
def test_a_predicate_that_is_turned_round_speaks_of_the_same_rows(tmp_path: Path, histories: Any) -> None:
    """What DuckDB is asked for the bad rows is exactly what is not TRUE for the predicate, row by row."""
    turned = 0
    for rng in histories(6, 300):
        world = a_world(Live("duckdb", f"duckdb:///{tmp_path}/live.duckdb"), rng)
        world.load("here", 40)
        source = world.live.datasource()
        asked = [predicate(world) for _ in range(60)]
        bad = [user.violated(sql, "duckdb", frozenset()) for sql, _ in asked]
        turned += sum("IS NOT TRUE" not in sql for sql in bad)
        counts = [f"SELECT COUNT(*) FROM {world.live.quote(world.tables['here'])} WHERE {sql}" for sql in bad]
        found = [row[0] for row in source.fetch(" UNION ALL ".join(counts))]
        source.close()
        for (sql, says), violated, count in zip(asked, bad, found, strict=True):
            assert count == sum(says(row) is not True for row in world.rows["here"]), f"{sql} became {violated}"
    assert turned > 50
