"""Keys: what one stage has and another has not, equal to what a dictionary says, and little of it travels."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq import By, Reconciliation, Stage, Table
from dq.cli.entry import main
from dq.context import Context
from dq.datasource import SqlDatasource
from dq.keys import MOST_RENAMED, Bounds, chosen, compare_hop, compare_stage, differences, segment_bits
from dq.model.errors import DeclarationError, DqError, GuardError, MeasureError, UsageError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.keys import KeyComparison
from dq.moves import Spot
from dq.sql.canonical import canonical, hash_of, hashed, text_of, type_of
from dq.sql.engine import Engine
from dq.sql.guard import guard_value
from dq.sql.keys import checksum
from tests.conftest import measured
from tests.engines import Live, live
from tests.servers import open_engine

__all__ = ["live"]

DAY = Interval.of_day("2026-11-20")
CONTEXT = Context(DAY, datetime(2026, 11, 21, tzinfo=UTC))

# ------------------------------------------------------------------------------------------------------ canonical texts

MOMENTS = [datetime(2026, 11, 20), datetime(2026, 11, 20, 6, 0, 0, 500_000), datetime(1999, 1, 2, 3, 4, 10)]  # noqa: DTZ001  # a column without a zone
# By the name of a type: values, and what each is written as.
TEXTS: dict[str, dict[Any, str]] = {
    "bigint": {0: "0", -7: "-7", 100: "100", 2**62: str(2**62)},
    "decimal(20,4)": {Decimal("1.0000"): "1", Decimal("-0.5"): "-0.5", Decimal("1200.1000"): "1200.1", Decimal(0): "0"},
    "decimal(10,0)": {Decimal(100): "100", Decimal(-20): "-20"},
    "double": {
        9.0: "9", 0.1: "0.1", -2.5: "-2.5", 1e15: "1000000000000000", 1234567890123456.0: "1234567890123456",
        1e19: "1e19",
        1.5e-5: "1.5e-5", -1.5e-5: "-1.5e-5", 1e-7: "1e-7", 0.0001: "0.0001", 1e300: "1e300", 100.0: "100",
        12345678901234.566: "12345678901234.566", 3.3333333333333335e-5: "3.3333333333333335e-5",
    },
    "boolean": {True: "1", False: "0"},
    "date": {MOMENTS[0].date(): "2026-11-20"},
    "timestamp": dict(
        zip(MOMENTS, ("2026-11-20 00:00:00", "2026-11-20 06:00:00.5", "1999-01-02 03:04:10"), strict=True)
    ),
    "varchar(200)": {
        text: text for text in ("", "a", "A", "a ", "añ🎉", "e\u0301", "👩‍👩‍👧", "x'y\\z", "1.00", "7:x", "\n")
    },
    "uuid": {UUID("abcdef00-0000-0000-0000-0000000000ff"): "abcdef00-0000-0000-0000-0000000000ff"},
    "blob": {b"\x00\xffa": "00ff61"},
}  # fmt: skip
OWN = {
    ("sqlite", "date"): "text", ("sqlite", "timestamp"): "text", ("sqlite", "uuid"): "text",
    ("sqlite", "boolean"): "integer", ("sqlite", "decimal(20,4)"): "numeric", ("mariadb", "timestamp"): "datetime(6)",
    ("postgres", "blob"): "bytea",
    ("postgres", "double"): "double precision",
    ("mariadb", "varchar(200)"): "varchar(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
}  # fmt: skip


def bound(value: Any, engine: str) -> Any:
    if engine == "sqlite" and isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID) or (engine == "sqlite" and hasattr(value, "isoformat")):
        return str(value).upper() if isinstance(value, UUID) else str(value)
    return value


@pytest.mark.parametrize("name", TEXTS)
def test_a_value_is_the_same_text_in_every_engine(live: Live, name: str) -> None:
    wanted = [*TEXTS[name].values(), None]
    values = [*(bound(value, live.name) for value in TEXTS[name]), None]
    live.load("t", {"n": "bigint", "v": OWN.get((live.name, name), name)}, list(enumerate(values)))
    source = live.datasource()
    engine = Engine(source.dialect)
    own = type_of({column.name: column.type for column in source.columns(["t"])}["v"])
    text = canonical(engine, engine.identifier("v"), own, type_of(name))
    both = hashed(engine, ("w", "w"))
    rows = source.fetch(f"SELECT w, {hashed(engine, ('w',))}, {both} FROM (SELECT n, {text} AS w FROM t) d ORDER BY n")
    assert [row[0] for row in rows] == wanted
    assert [int(row[1]) for row in rows] == [hash_of(text) for text in wanted]
    assert [int(row[2]) for row in rows] == [hash_of(text, text) for text in wanted]
    target = {"date": "date", "timestamp": "time", "uuid": "uuid"}.get(name, "")
    assert [text_of(value, target) for value in TEXTS[name]] == wanted[:-1]


@pytest.mark.parametrize(
    ("own", "other", "value", "text"),
    [
        ("date", "timestamp", "2026-11-20", "2026-11-20 00:00:00"),
        ("varchar(200)", "uuid", "ABCDEF00-0000-0000-0000-0000000000FF", "abcdef00-0000-0000-0000-0000000000ff"),
        ("varchar(200)", "varchar(200)", "ABC", "ABC"),
        ("bigint", "varchar(200)", 14, "14"),
        ("varchar(200)", "bigint", "14", "14"),
    ],
)
def test_what_it_is_held_against_decides_how_it_is_written(
    live: Live, own: str, other: str, value: Any, text: str
) -> None:
    live.load("t", {"v": OWN.get((live.name, own), own)}, [(value,)])
    source = live.datasource()
    engine = Engine(source.dialect)
    sql = canonical(engine, engine.identifier("v"), type_of(own), type_of(other))
    assert source.fetch(f"SELECT {sql} FROM t") == [(text,)]


def test_random_values_are_the_same_text_in_every_engine(live: Live) -> None:
    rng = random.Random(7)
    floats = [
        rng.choice((1, -1)) * round(rng.uniform(1, 10), rng.randrange(17)) * 10.0 ** rng.randrange(-12, 23)
        for _ in range(400)
    ]
    decimals = [Decimal(rng.randrange(-(10**9), 10**9)).scaleb(-rng.randrange(5)) for _ in range(400)]
    moments = [datetime(1990, 1, 1) + timedelta(microseconds=rng.randrange(10**15)) for _ in range(400)]  # noqa: DTZ001  # as above
    rows = zip(range(400), floats, decimals, moments, strict=True)
    kinds = ("double", "decimal(20,4)", "timestamp")
    columns = {f"c{n}": OWN.get((live.name, kind), kind) for n, kind in enumerate(kinds)}
    live.load("t", {"n": "bigint", **columns}, [(n, *(bound(v, live.name) for v in values)) for n, *values in rows])
    source = live.datasource()
    engine = Engine(source.dialect)
    types = {column.name: type_of(column.type) for column in source.columns(["t"])}
    for name, kind, values in zip(columns, kinds, (floats, decimals, moments), strict=True):
        text = canonical(engine, engine.identifier(name), types[name], type_of(kind))
        assert [row[0] for row in source.fetch(f"SELECT {text} FROM t ORDER BY n")] == [*map(text_of, values)]


@pytest.mark.parametrize("live", ["duckdb", "postgres"], indirect=True)
def test_a_time_with_a_zone_is_in_utc(live: Live) -> None:
    live.run("CREATE TABLE t (v TIMESTAMP WITH TIME ZONE)", "INSERT INTO t VALUES ('2026-11-20 06:00:00.25+02:00')")
    source = live.datasource()
    own = type_of(source.columns(["t"])[0].type)
    assert own == "zoned"
    assert source.fetch(f"SELECT {canonical(Engine(source.dialect), 'v', own, 'time')} FROM t") == [
        ("2026-11-20 04:00:00.25",)
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("INTEGER", "integer"), ("bigint(20) unsigned", "integer"), ("tinyint(1)", "integer"), ("UHUGEINT", "integer"),
        ("interval", "text"), ("INTEGER[]", "text"), ("DECIMAL(18,3)", "decimal"), ("numeric", "decimal"),
        ("double precision", "float"), ("real", "float"), ("FLOAT", "float"), ("float4", "float"), ("bit(3)", "bit"),
        ("timestamp without time zone", "time"), ("timestamp(3) with time zone", "zoned"), ("datetime(6)", "time"),
        ("TIMESTAMP_NS", "time"), ("TIMESTAMP WITH TIME ZONE", "zoned"), ("date", "date"), ("time", "text"),
        ("character varying(20)", "text"), ("STRUCT(a INTEGER)", "text"), ("bytea", "bytes"), ("longblob", "bytes"),
        ("varbinary(10)", "bytes"), ("uuid", "uuid"), ("boolean", "boolean"), ("", "text"), ("json", "text"),
    ],
)  # fmt: skip
def test_types_by_the_names_that_engines_give_them(name: str, kind: str) -> None:
    assert type_of(name) == kind


def test_parts_are_told_apart() -> None:
    split = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc", ""),
        ("abc", None),
        (None, "abc"),
        ("", "abc"),
        ("-", "abc"),
        ("1:a", "bc"),
    ]
    assert len({hash_of(*parts) for parts in split}) == len(split)


def test_an_engine_without_canonical_texts_is_told() -> None:
    with pytest.raises(GuardError, match="not on snowflake"):
        canonical(Engine("snowflake"), "a", "text", "text")


@pytest.mark.parametrize(
    "text",
    [
        "a; DROP TABLE t", "a, b", "*", "max(a)", "(SELECT 1)", "a AS b", "a FROM t", "pg_sleep(1)",
        "row_number() OVER ()", "", "?", "read_csv('x')",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "mysql", "strictsqlite"])
def test_what_is_no_value_of_one_row_is_refused(text: str, dialect: str) -> None:
    with pytest.raises(GuardError):
        guard_value(text, dialect)


@pytest.mark.parametrize(
    "text", ["lower(code)", "a || '-' || b", "a + 1", "coalesce(a, 0)", "CASE WHEN a THEN 1 ELSE 2 END"]
)
def test_a_value_of_one_row_passes(text: str) -> None:
    assert guard_value(text, "duckdb").sql(dialect="duckdb")


# ------------------------------------------------------------------------------------------------------- what differs

# Few hashes, so that keys share them.
_RECORDS = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["x", "y", None]), st.integers(1, 3)), max_size=12
)


@given(_RECORDS, _RECORDS)
def test_differences_are_those_of_dictionaries(
    ours: list[tuple[str, str | None, int]], theirs: list[tuple[str, str | None, int]]
) -> None:
    def prepared(records: list[tuple[str, str | None, int]]) -> list[Any]:
        return sorted(
            (("abcdef".index(key) // 2, (key,), (value,), count) for key, value, count in records), key=lambda r: r[0]
        )

    def by_key(records: list[tuple[str, str | None, int]]) -> dict[str, Counter[Any]]:
        found: dict[str, Counter[Any]] = {}
        for key, value, count in records:
            found.setdefault(key, Counter())[(value,)] += count
        return found

    mine, other = by_key(ours), by_key(theirs)
    found = {one.key[0]: one for one in differences(prepared(ours), prepared(theirs))}
    assert found.keys() == {key for key in mine.keys() | other.keys() if mine.get(key) != other.get(key)}
    for key, one in found.items():
        a, b = mine.get(key, Counter()), other.get(key, Counter())
        assert (one.baseline, one.stage, one.counts) == (a, b, (a.total(), b.total()))
        kinds = {"missing": not b, "extra": not a, "changed": bool(a) and a.total() == b.total()}
        assert one.kind == next((kind for kind, holds in kinds.items() if holds), "duplicated")


def test_segments_are_read_up_to_the_bound() -> None:
    ours = {1: (10, 5), 2: (20, 6), 3: (30, 7), 4: (1, 1)}
    theirs = {1: (10, 5), 2: (20, 9), 3: (29, 7), 9: (4, 4)}
    every = chosen(ours, theirs, 4, 1_000)
    assert (every.segments, every.rows, every.unread) == ((2, 3, 4, 9), 104, (0, 0))
    some = chosen(ours, theirs, 4, 99)
    assert (some.segments, some.rows, some.unread) == ((2, 3), 99, (1, 4))
    assert chosen(ours, theirs, 4, 1).segments == (2,), "one at least"


@pytest.mark.parametrize(
    ("rows", "bits"), [(0, 1), (1_000, 8), (100_000, 11), (1_000_000, 13), (10_000_000, 15), (10**12, 18)]
)
def test_how_many_segments(rows: int, bits: int) -> None:
    assert segment_bits(rows) == bits


def test_a_sum_in_two_halves() -> None:
    hashes = [hash_of(str(n)) for n in range(100)]
    assert (
        checksum([sum(h >> 30 for h in hashes), sum(h % 2**30 for h in hashes)])
        == checksum([sum(hashes)])
        == sum(hashes)
    )


# ------------------------------------------------------------------------------------------------- tables that differ


class Pair:
    """A DuckDB file with the table ``a``, and by default a SQLite file with the table ``b``."""

    def __init__(self, folder: Path, other: Live | None = None) -> None:
        self.folder = folder
        ours = Live("duckdb", f"duckdb:///{folder}/a.duckdb")
        self.live = {"a": ours, "b": other or Live("sqlite", f"sqlite:///{folder}/b.sqlite")}

    def compare(self, declared: Reconciliation, stage: str = "b", **more: Any) -> KeyComparison:
        sources = {name: one.datasource() for name, one in self.live.items()}
        wanted = next(one for one in declared.stages if one.name == stage)
        context = more.pop("context", CONTEXT)
        try:
            return compare_stage(declared, wanted, sources.__getitem__, context, "test", **more)
        finally:
            for source in sources.values():
                source.close()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def declared(
    key: Any = "id", values: Any = (), *, a: dict[str, Any] | None = None, b: dict[str, Any] | None = None
) -> Reconciliation:
    stages = [Stage("a", Table("a", "a"), **(a or {})), Stage("b", Table("b", "b"), **(b or {}))]
    return Reconciliation("pipe", by="org", stages=stages, key=key, values=values)


Record = tuple[Any, ...]


def some_records(rng: random.Random) -> list[Record]:
    """Return records of a number, a text, and a value; some keys are NULL, and some occur again."""
    texts = [None, "", "a", "A", "a ", "b'c", "ä", "1", *(f"k{n}" for n in range(30))]
    numbers = [None, *range(-3, 40)]
    records = [
        (rng.choice(numbers), rng.choice(texts), rng.choice([None, 1.5, 2, -7.25]))
        for _ in range(rng.choice([0, 3, 150]))
    ]
    return records if rng.random() < 0.5 else list({record[:2]: record for record in records}.values())


def edited(rng: random.Random, records: list[Record]) -> list[Record]:
    made = list(records)
    for _ in range(rng.choice([0, 1, 4, 40])):
        place = rng.randrange(len(made)) if made else 0
        what = rng.choice(["drop", "repeat", "change", "rename", "add"])
        if what == "add" or not made:
            made.append((rng.randrange(1000), "new", 1.5))
        elif what == "drop":
            del made[place]
        elif what == "repeat":
            made.append(made[place])
        elif what == "change":
            made[place] = (*made[place][:2], rng.choice([None, 9.5, 1.5]))
        else:
            made[place] = (made[place][0], "renamed", made[place][2])
    rng.shuffle(made)
    return made


def as_text(value: Any) -> str | None:
    return None if value is None else str(int(value)) if value == int(value) else str(value)


def by_dictionary(ours: Sequence[Record], theirs: Sequence[Record], *, distinct: bool) -> dict[Any, Any]:
    """Return what is to be found, by the simplest means."""
    found: dict[Any, tuple[Counter[Any], Counter[Any]]] = {}
    for side, records in enumerate((ours, theirs)):
        for number, text, value in set(records) if distinct else records:
            key = (None if number is None else str(number), text)
            found.setdefault(key, (Counter(), Counter()))[side][(as_text(value),)] += 1
    return {key: (dict(a), dict(b)) for key, (a, b) in found.items() if a != b}


@pytest.mark.soak
def test_random_tables_with_random_edits(
    live: Live, tmp_path: Path, histories: Callable[[int, int], Iterator[random.Random]]
) -> None:
    for number, rng in enumerate(histories(20, 1_000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        pair = Pair(folder, live)
        ours = some_records(rng)
        theirs = edited(rng, ours)
        texts = OWN.get((live.name, "varchar(200)"), "text")
        types = [
            {"x": "bigint", "y": "text", "v": "decimal(9,3)"},
            {"x": "integer", "y": texts, "v": OWN.get((live.name, "double"), "double")},
        ]
        for (name, one), columns, records in zip(pair.live.items(), types, (ours, theirs), strict=True):
            one.load(name, columns, records)
        distinct = rng.random() < 0.3
        bounds = rng.choice([Bounds(), Bounds(whole=-1), Bounds(whole=-1, bits=3), Bounds(whole=-1, bits=1)])
        found = pair.compare(declared(("x", "y"), "v"), distinct=distinct, bounds=bounds)
        wanted = by_dictionary(ours, theirs, distinct=distinct)
        assert {one.key: (one.baseline, one.stage) for one in found.differences} == wanted
        assert found.rows == (len(ours), len(theirs))
        assert found.equal == len(set(ours) if distinct else ours) - sum(sum(a.values()) for a, _ in wanted.values())
        assert found.agree is (not wanted)
        assert sum(found.found.values()) == len(found.differences)


def big(pair: Pair, rows: int, edit: str, columns: str = "i AS id, (i % 7)::INTEGER AS org") -> None:
    """Make two equal tables, and change the one in SQLite."""
    with duckdb.connect(str(pair.folder / "a.duckdb")) as lake:
        lake.execute(f"CREATE TABLE a AS SELECT {columns} FROM range({rows}) AS numbers(i)")
        made = lake.execute("SELECT * FROM a").fetchall()
        names = [column[0] for column in lake.description or lake.execute("SELECT * FROM a").description]
    with sqlite3.connect(pair.folder / "b.sqlite") as shop:
        shop.execute(f"CREATE TABLE b ({', '.join(names)})")
        shop.executemany(f"INSERT INTO b VALUES ({', '.join('?' * len(names))})", made)
        shop.executescript(edit)
    shop.close()


def test_little_travels(pair: Pair, request: pytest.FixtureRequest) -> None:
    """Of twice 100,000 rows with 10 differences a few thousand checksums and rows are fetched."""
    fetched: list[int] = []
    big(pair, 100_000, "DELETE FROM b WHERE id % 20000 = 17; INSERT INTO b SELECT -1 - id, 1 FROM b WHERE id < 3; "
                       "INSERT INTO b SELECT id, 1 FROM b WHERE id IN (4, 5)")  # fmt: skip
    sources = {name: Counting(one.datasource(), fetched) for name, one in pair.live.items()}
    made = declared()
    found = compare_stage(made, made.stages[1], sources.__getitem__, CONTEXT, "test")
    assert found.found == {"missing": 5, "extra": 3, "duplicated": 2, "changed": 0}
    assert [one.key for one in found.differences if one.kind == "missing"] == [
        (str(n),) for n in (17, 20017, 40017, 60017, 80017)
    ]
    assert found.checksums + found.read <= sum(fetched) < 6_500
    assert found.equal == 100_000 - 7
    measured(request.node, sum(fetched), "rows fetched of 200,000 with 10 differences")


class Counting:
    """A datasource that counts the rows it gives."""

    def __init__(self, source: SqlDatasource, fetched: list[int]) -> None:
        self._source, self._fetched = source, fetched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def fetch(self, sql: str) -> Any:
        rows = self._source.fetch(sql)
        self._fetched.append(len(rows))
        return rows

    def stream(self, sql: str) -> Any:
        for rows in self._source.stream(sql):
            self._fetched.append(len(rows))
            yield rows


def test_much_is_streamed_and_not_held(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dq.keys.AT_ONCE", 5_000)
    big(pair, 20_000, "DELETE FROM b WHERE id % 3 = 0")
    fetched: list[int] = []
    sources = {name: Counting(one.datasource(), fetched) for name, one in pair.live.items()}
    made = declared()
    found = compare_stage(made, made.stages[1], sources.__getitem__, CONTEXT, "test", limit=3)
    assert found.found["missing"] == 6_667
    assert max(fetched) <= 10_000, "the lists of a stream"
    assert sum(fetched) > found.read > 30_000


def test_of_much_that_differs_some_is_read_and_the_rest_is_estimated(pair: Pair) -> None:
    big(pair, 20_000, "DELETE FROM b WHERE id % 2 = 0")
    found = pair.compare(declared(), limit=10, bounds=Bounds(most=3_000))
    assert 2_800 < found.read <= 3_000
    assert found.read + found.unread == 30_000
    assert found.found["missing"] < 2_000
    assert found.in_all("missing") == pytest.approx(10_000, rel=0.1)
    assert len(found.differences) == 10
    assert not found.agree
    every = pair.compare(declared(), limit=10)
    assert (every.found["missing"], every.in_all("missing"), len(every.differences), every.unread) == (
        10_000,
        10_000,
        10,
        0,
    )
    assert every.equal == 10_000


def test_what_cancels_in_the_counts_is_found(pair: Pair) -> None:
    """One record is missing and another is there twice, so the counts agree."""
    big(pair, 5_000, "UPDATE b SET id = 9 WHERE id = 4000")
    found = pair.compare(declared())
    assert found.rows == (5_000, 5_000)
    assert [(one.kind, one.key, one.counts) for one in found.differences] == [
        ("missing", ("4000",), (1, 0)), ("duplicated", ("9",), (1, 2)),
    ]  # fmt: skip


def test_values_that_changed_places_are_found(pair: Pair) -> None:
    """A sum over values alone would not see it."""
    big(pair, 5_000, "UPDATE b SET org = CASE id WHEN 1 THEN 2 ELSE 1 END WHERE id IN (1, 2)")
    found = pair.compare(declared(values="org"), bounds=Bounds(whole=-1, bits=1))
    assert [(one.kind, one.key, one.baseline, one.stage) for one in found.differences] == [
        ("changed", ("1",), {("1",): 1}, {("2",): 1}), ("changed", ("2",), {("2",): 1}, {("1",): 1}),
    ]  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- hops

NEXT = Interval.of_day("2026-11-21")
DAYS = Context(Interval(DAY.start, NEXT.end), CONTEXT.now, by_day=True)

Went = dict[tuple[str, str, bool], int]


def went(pair: Pair, made: Reconciliation, **more: Any) -> Went:
    """Return how many records went from where to where: ``org day``; "-" is nowhere."""
    sources = {name: one.datasource() for name, one in pair.live.items()}
    stages = made.stages[0], made.stages[1]
    found = compare_hop(made, stages, sources.__getitem__, DAYS, **more)
    for source in sources.values():
        source.close()

    def place(spot: Spot | None) -> str:
        return "-" if spot is None else f"{spot.org.label} {spot.day.start.day}"

    return {(place(move.start), place(move.stage), move.known): number for move, number in found.counts.items()}


@pytest.fixture
def piped(tmp_path: Path, live: Live) -> Pair:
    """Records of some orgs before and after a hop; a hop into each engine, and each of the things that it can do."""
    pair = Pair(tmp_path, live)
    columns = {"id": "bigint", "org": "integer", "day": "date", "v": "decimal(9,2)"}
    pair.live["a"].load("a", columns, [(n, n % 2, DAY.start.date(), n) for n in range(20)])
    times = [datetime.combine(DAY.start.date(), datetime.min.time()) + timedelta(hours=n) for n in range(20)]
    rows: list[Any] = [(n, str(n % 2), bound(times[n], live.name), float(n)) for n in range(20)]
    rows[4] = (4, "1", *rows[4][2:])  # moved to another org
    rows[6] = (*rows[6][:2], bound(times[6] + timedelta(days=1), live.name), 6.0)  # and to another day
    rows[8] = (8, "1", bound(times[8] + timedelta(days=1), live.name), 8.0)  # and to both
    rows[10] = (*rows[10][:3], 99.0)  # has another value
    rows += [rows[12], rows[12], (77, "0", *rows[12][2:])]  # doubled twice, and out of nowhere
    del rows[14]
    own = {"id": "bigint", "org": "varchar(200)", "at": "timestamp", "v": "double"}
    live.load("b", {name: OWN.get((live.name, kind), kind) for name, kind in own.items()}, rows)
    return pair


def by_day(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **more: Any) -> Reconciliation:
    stages = [
        Stage("a", Table("a", "a", partition="day"), **(a or {})),
        Stage("b", Table("b", "b", partition="at"), **(b or {})),
    ]
    return Reconciliation("pipe", **{"by": "org", "stages": stages, "key": "id", **more})


WENT: Went = {
    ("0 20", "1 20", True): 1, ("0 20", "0 21", True): 1, ("0 20", "1 21", True): 1, ("0 20", "-", True): 1,
    ("-", "0 20", True): 2, ("-", "0 20", False): 1,
}  # fmt: skip


def test_a_hop_tells_where_records_went(piped: Pair) -> None:
    assert went(piped, by_day()) == WENT
    assert went(piped, by_day(values="v")) == WENT | {("0 20", "0 20", True): 1}
    assert went(piped, by_day(b={"values": "v"})) == WENT, "only one of them has values"


@pytest.mark.parametrize("how", ["mapping", "query", "normalise"])
def test_a_hop_knows_what_orgs_are_called_at_a_stage(piped: Pair, how: str) -> None:
    quote = piped.live["b"].quote
    piped.live["b"].run(f"UPDATE b SET {quote('org')} = '00' WHERE {quote('org')} = '0'")
    there = {
        "mapping": {"mapping": {"00": 0}}, "query": {"mapping": "SELECT '00', 0"},
        "normalise": {"normalise": "no leading zeros"},
    }[how]  # fmt: skip
    assert went(piped, by_day(b=there)) == WENT
    renamed = {(one[0].replace("0 2", "zero 2"), one[1].replace("0 2", "zero 2"), one[2]): n for one, n in WENT.items()}
    both = by_day(a={"mapping": {0: "zero"}}, b={"mapping": {"00": "zero"}})
    assert went(piped, both) == renamed


def test_an_org_in_the_key_is_called_as_everywhere_else(piped: Pair) -> None:
    quote = piped.live["b"].quote
    piped.live["b"].run(f"UPDATE b SET {quote('org')} = '00' WHERE {quote('org')} = '0'")
    made = by_day(b={"mapping": {"00": 0}}, key=("ORG", "id"))
    assert went(piped, made) == {
        ("0 20", "0 21", True): 1, ("0 20", "-", True): 3, ("-", "0 20", True): 2, ("-", "0 20", False): 1,
        ("-", "1 20", False): 1, ("-", "1 21", False): 1,
    }  # fmt: skip
    found = piped.compare(made, context=DAYS)
    assert found.found == {"missing": 3, "extra": 3, "duplicated": 1, "changed": 0}


def test_a_hop_into_a_stage_that_is_one_org(piped: Pair) -> None:
    found = went(piped, by_day(a={"org": "1"}, b={"mapping": {"0": "1"}}))
    assert found == {
        ("1 20", "1 21", True): 2, ("1 20", "-", True): 1, ("-", "1 20", True): 2, ("-", "1 20", False): 1
    }  # fmt: skip


def test_a_hop_with_many_orgs_of_other_names_is_refused(pair: Pair) -> None:
    for name, zeros in (("a", ""), ("b", "0")):
        rows = [(n, f"{zeros}{n}", "2026-11-20") for n in range(1, MOST_RENAMED + 2)]
        pair.live[name].load(name, {"id": "bigint", "org": "text", "day": "date"}, rows)
    made = by_day(b={"normalise": "no leading zeros"})
    stage = evolve(made.stages[1], table=Table("b", "b", partition="day"))
    with pytest.raises(UsageError, match="1001 orgs are called otherwise here"):
        went(pair, evolve(made, stages=(made.stages[0], stage)))


def test_of_a_hop_that_did_much_some_is_read_and_the_rest_is_estimated(pair: Pair) -> None:
    columns = "i AS id, (i % 3)::INTEGER AS org, DATE '2026-11-20' AS day"
    big(pair, 60_000, "UPDATE b SET org = 2, day = '2026-11-20' WHERE org = 0;"
                      "UPDATE b SET day = '2026-11-20'", columns)  # fmt: skip
    stages = [Stage(name, Table(name, name, partition="day")) for name in "ab"]
    made = Reconciliation("pipe", by="org", stages=stages, key="id")
    sources = {name: one.datasource() for name, one in pair.live.items()}
    found = compare_hop(made, (stages[0], stages[1]), sources.__getitem__, DAYS, bounds=Bounds(most=20_000))
    ((move, number),) = found.counts.items()
    assert (move.start, move.stage) == (
        Spot(Group(("org",), ("0",)), DAY), Spot(Group(("org",), ("2",)), DAY),
    )  # fmt: skip
    assert not found.whole
    assert number == pytest.approx(20_000, rel=0.1)


# ------------------------------------------------------------------------------------------------------------- stages


@pytest.fixture
def shop(pair: Pair) -> Pair:
    """Orders of three orgs and two days; the stage calls things otherwise, and lacks some."""
    pair.live["a"].load(
        "a",
        {
            "id": "bigint", "org": "varchar(20)", "region": "integer", "day": "date", "amount": "decimal(9,2)",
            "email": "text",
        },
        [
            (1, "14", 1, "2026-11-20", 10, "x@a.org"), (2, "14", 2, "2026-11-20", 20, "y@a.org"),
            (3, "15", 1, "2026-11-20", 30, "z@a.org"), (4, None, 1, "2026-11-20", 40, None),
            (5, "14", 1, "2026-11-19", 50, "w@a.org"),
        ],
    )  # fmt: skip
    pair.live["b"].load(
        "b",
        {
            "code": "text", "customer": "integer", "region": "integer", "at": "timestamp", "amount": "double",
            "status": "text",
        },
        [
            ("ID-1", 14, 1, "2026-11-20 05:00:00", 10.0, "ok"), ("ID-3", 15, 1, "2026-11-20 05:00:00", 31.0, "ok"),
            ("ID-9", 14, 1, "2026-11-20 05:00:00", 90.0, "ok"), ("ID-4", None, 1, "2026-11-20 05:00:00", 40.0, "draft"),
            ("ID-5", 14, 1, "2026-11-19 05:00:00", 50.0, "ok"),
        ],
    )  # fmt: skip
    return pair


def orders(**more: Any) -> Reconciliation:
    stages = [
        Stage("a", Table("a", "a", partition="day", **more.pop("a", {})), key="id"),
        Stage(
            "b",
            Table("b", "b", partition="at"),
            by=more.pop("b_by", "customer"),
            key="substr(code, 4)",
            **more.pop("b", {}),
        ),
    ]
    return Reconciliation("orders", **{"by": "org", "stages": stages, **more})


def told(found: KeyComparison) -> list[tuple[str, str | None]]:
    return [(one.kind, one.key[0]) for one in found.differences]


def test_stages_with_other_names_an_expression_and_a_partition(shop: Pair) -> None:
    found = shop.compare(orders())
    assert told(found) == [("missing", "2"), ("extra", "9")]
    assert found.rows == (4, 4)
    assert told(shop.compare(orders(b={"where": "status = 'ok'"}))) == [
        ("missing", "2"),
        ("missing", "4"),
        ("extra", "9"),
    ]
    assert told(shop.compare(orders(values="amount"))) == [("missing", "2"), ("extra", "9"), ("changed", "3")]
    two_days = Context(Interval(Interval.of_day("2026-11-19").start, DAY.end), CONTEXT.now)
    assert shop.compare(orders(), context=two_days).rows == (5, 5)


@pytest.mark.parametrize(
    ("org", "wanted", "rows"),
    [
        ("14", [("missing", "2"), ("extra", "9")], (2, 2)),
        ("15", [], (1, 1)),
        ("(no org)", [], (1, 1)),
    ],
)
def test_one_org(shop: Pair, org: str, wanted: list[tuple[str, str]], rows: tuple[int, int]) -> None:
    found = shop.compare(orders(), org=org)
    assert (told(found), found.rows) == (wanted, rows)


def test_an_org_of_two_columns_as_the_ledger_shows_it(shop: Pair) -> None:
    made = orders(by=By(("org", "region")), b_by=By(("customer", "region")))
    assert told(shop.compare(made, org="14 / 1")) == [("extra", "9")]
    with pytest.raises(UsageError, match="org / region"):
        shop.compare(made, org="14")


def test_orgs_that_are_called_otherwise_at_a_stage(shop: Pair) -> None:
    shop.live["b"].run("UPDATE b SET customer = 1014 WHERE code = 'ID-9'")

    def mapped(mapping: Any, **more: Any) -> Reconciliation:
        made = orders(b=more)
        stage = evolve(made.stages[1], mapping=mapping)
        return evolve(made, stages=(made.stages[0], stage))

    assert told(shop.compare(orders(), org="14")) == [("missing", "2")]
    assert told(shop.compare(mapped({1014: 14}), org="14")) == [("missing", "2"), ("extra", "9")]
    assert told(shop.compare(mapped("SELECT 1014, 14"), org="14")) == [("missing", "2"), ("extra", "9")]
    assert shop.compare(mapped({14: "fourteen"}), org="fourteen").rows == (0, 1)
    assert shop.compare(mapped({15: "14"}, where="code <> 'ID-1'"), org="14").rows == (2, 1)
    with pytest.raises(MeasureError, match="stage 'b': its mapping returns 1 columns instead of 2"):
        shop.compare(mapped("SELECT 1014"), org="14")
    shop.live["a"].run("UPDATE a SET org = '014' WHERE org = '14'")
    made = orders()
    normal = evolve(made, stages=(evolve(made.stages[0], normalise=("no leading zeros",)), made.stages[1]))
    assert told(shop.compare(normal, org="14")) == [("missing", "2")]


def test_an_org_is_itself_whatever_the_collation(live: Live) -> None:
    live.load(
        "t", {"id": "bigint", "org": OWN.get((live.name, "varchar(200)"), "text")}, enumerate(("a", "A", "a ", "ä", ""))
    )
    sources = {"x": live.datasource()}
    made = Reconciliation("r", by="org", stages=[Stage(name, Table("x", "t")) for name in "ab"], key="id")
    for org in ("a", "A", "a ", "ä", "(empty)"):
        assert compare_stage(made, made.stages[1], sources.__getitem__, CONTEXT, "test", org=org).rows == (1, 1)


def test_a_stage_that_is_one_org(shop: Pair) -> None:
    made = orders(b={"org": "14"}, b_by=None)
    assert shop.compare(made, org="14").rows == (2, 4)
    assert shop.compare(made, org="15").rows == (1, 0)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (orders(), "reconciliation 'orders': a or b has no org '99' in 2026-11-20"),
        (declared("nope"), "reconciliation 'pipe', stage 'a': a has no column 'nope' for its key"),
        (declared("id", b={"key": "cod"}), "stage 'b': b has no column 'cod' for its key; did you mean 'code'?"),
        (declared("id", "amont", b={"key": "code"}), "a has no column 'amont' for its values; did you mean 'amount'?"),
        (declared(()), "reconciliation 'pipe', stage 'a': it has no key; write e.g. Stage(..., key="),
        (declared((), a={"key": "id"}), "reconciliation 'pipe', stage 'b': it has no key"),
        (declared("id", b={"key": "max(code)"}), "stage 'b': its key: the SQL «max(code)» is not a value of one row"),
        (declared("id", b={"key": "code", "by": "client"}), "stage 'b': b has no column 'client' for its org"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence(shop: Pair, made: Reconciliation, sentence: str) -> None:
    with pytest.raises(DqError) as error:
        shop.compare(made, org="99")
    assert sentence in str(error.value)
    assert error.value.exit_code == 2


def test_keys_of_another_width_are_refused() -> None:
    with pytest.raises(DeclarationError, match="stage 'b': its key has 2 parts, and that of 'a' has 1"):
        declared("id", b={"key": ("x", "y")})
    with pytest.raises(DeclarationError, match="neither a column nor an expression"):
        declared(("id", ""))


def test_the_key_of_the_table_is_the_last_that_holds(shop: Pair) -> None:
    stages = [Stage("a", Table("a", "a", key="id")), Stage("b", Table("b", "b", key=("code", "at")), key="customer")]
    made = Reconciliation("orders", by="org", stages=stages)
    assert [made.key_of(stage) for stage in stages] == [("id",), ("customer",)]
    common = Reconciliation("orders", by="org", stages=stages, key="at")
    assert [common.key_of(stage) for stage in stages] == [("at",), ("customer",)]
    stages = [Stage("a", Table("a", "a", key="id")), Stage("b", Table("b", "b", key=("code", "at")))]
    with pytest.raises(UsageError, match="its key has 2 parts, and that of a has 1"):
        shop.compare(Reconciliation("orders", by="org", stages=stages))


def test_values_of_tagged_columns_are_masked(shop: Pair) -> None:
    tagged = {"a": {"tags": {"email": "personal", "ID": "secret"}}}
    found = shop.compare(orders(**tagged))
    assert told(found) == [("missing", "•••"), ("extra", "•••")], "of either side"
    kept = Context(DAY, CONTEXT.now, masking={"secret": "hash"})
    hashes = [key for _, key in told(shop.compare(orders(**tagged), context=kept))]
    assert len(set(hashes)) == 2
    assert all(key is not None and len(key) == 12 for key in hashes)
    made = declared((), a={"key": "id", "values": "lower(email)"}, b={"key": "substr(code, 4)", "values": "status"})
    made = Reconciliation("pipe", by="org", stages=[
        Stage("a", Table("a", "a", tags={"Email": "personal"}), key="id", values="lower(email)"), made.stages[1],
    ])  # fmt: skip
    assert "@" not in json.dumps(shop.compare(made).to_json()), "an expression shows what it names"
    another = orders(a={"tags": {"i": "personal"}})
    assert told(shop.compare(another)) == [("missing", "2"), ("extra", "9")], "a part of a name is no name"


def test_a_database_that_breaks_is_one_sentence(pair: Pair) -> None:
    """The text of a row stands in no error."""
    pair.live["a"].load("a", {"id": "text"}, [("x",)])
    pair.live["b"].run("CREATE TABLE b (id TEXT)", "INSERT INTO b VALUES (CAST(x'61626366ff' AS TEXT))")
    for bounds in (Bounds(), Bounds(whole=-1)):
        with pytest.raises(MeasureError, match="datasource 'live': ") as error:
            pair.compare(declared(), bounds=bounds)
        assert "abcf" not in str(error.value)


def test_names_in_other_letters_are_those_of_the_database(shop: Pair) -> None:
    assert shop.compare(orders(by="ORG", b_by="Customer", values="AMOUNT"), org="15").found["changed"] == 1


def test_an_engine_that_is_not_known_is_told_with_its_stage(shop: Pair) -> None:
    class Other(Counting):
        dialect = "snowflake"

    sources = {"a": shop.live["a"].datasource(), "b": Other(shop.live["b"].datasource(), [])}
    made = declared(a={"key": "id"}, b={"key": "code"})
    with pytest.raises(UsageError, match=r"stage 'b': keys are compared on DuckDB, .* not on snowflake"):
        compare_stage(made, made.stages[1], sources.__getitem__, CONTEXT, "test")


@pytest.mark.parametrize("name", ["orders per day", "x`y", 'quo"te'])
def test_names_are_quoted(pair: Pair, name: str) -> None:
    for side, one in pair.live.items():
        one.load(side, {name: "bigint"}, [(1,), (2 if side == "a" else 3,)])
    assert told(pair.compare(declared(name))) == [("missing", "2"), ("extra", "3")]


def test_sqlite_by_sqlalchemy_has_the_functions_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite"
    Live("sqlite", url).load("t", {"id": "integer"}, [(7,)])
    source = SqlDatasource.of(
        "x", url, engine=lambda options: open_engine(url, **options), timeout=timedelta(seconds=20)
    )
    assert source.fetch("SELECT dq_text(id, ''), dq_hash('7') FROM t") == [("7", hash_of("7"))]
    source.close()


# ------------------------------------------------------------------------------------------------------- command line

PROJECT = """
from dq import Reconciliation, Stage, Table

orders = Reconciliation(
    "orders",
    by="org",
    key="id",
    stages=[
        Stage("shop", Table("shop", "a")),
        Stage("lake", Table("lake", "b", tags=TAGS), values=()),
        Stage("fast", Table("lake", "b"), key="id + 0", compare=False),
    ],
)
"""


@pytest.fixture
def run(
    pair: Pair,
    make_project: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    big(pair, 2_000, "DELETE FROM b WHERE id IN (5, 1200); INSERT INTO b SELECT id, org FROM b WHERE id = 3")
    toml = (
        'environment = "test"\n[store]\nurl = "sqlite:///store.sqlite"\n'
        f'[datasources.shop]\nurl = "duckdb:///{pair.folder}/a.duckdb"\n'
        f'[datasources.lake]\nurl = "sqlite:///{pair.folder}/b.sqlite"\n'
    )
    root = make_project(toml, {"reports/orders.py": PROJECT.replace("TAGS", "{}")})
    monkeypatch.chdir(root)

    def dq(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["reconcile", "orders", "--date", "2026-11-20", *words])
        return (int(str(ended.value.code)), *capsys.readouterr())

    return dq


def test_the_keys_are_printed_and_nothing_is_stored(run: Callable[..., Any]) -> None:
    code, said, warned = run("--keys")
    assert (code, warned) == (1, "")
    lines = said.splitlines()
    assert lines[0] == "orders 2026-11-20 (test): lake against shop: keys differ"
    assert lines[1:4] == ["shop: 2000 rows, lake: 1999 rows", "missing: 2 keys", "duplicated: 1 key"]
    assert [line.split() for line in lines[5:8]] == [
        ["missing", "5", "1", "0"], ["missing", "1200", "1", "0"], ["duplicated", "3", "1", "2"],
    ]  # fmt: skip
    assert re.fullmatch(r"travelled: 512 checksums and \d\d rows of 3999", lines[8])
    assert not Path("store.sqlite").exists()


def test_a_list_that_is_cut_says_so(run: Callable[..., Any]) -> None:
    _, said, _ = run("--keys", "--limit", "1")
    assert "and 1 key more; --limit 0 shows all" in said
    assert said.count("missing  ") == 1
    assert "more" not in run("--keys", "--limit", "0")[1]


def test_the_document_of_keys(run: Callable[..., Any]) -> None:
    code, said, _ = run("--keys", "--org", "3", "--json")
    document = json.loads(said)
    assert (document["exit_code"], document["reconciliation"], document["environment"]) == (1, "orders", "test")
    assert code == 1
    (one,) = document["comparisons"]
    assert one == {
        "stage": "lake", "baseline": "shop", "org": "3", "key": ["id"], "values": [],
        "rows": {"baseline": 286, "stage": 286, "equal": 284},
        "found": {"missing": 1, "extra": 0, "duplicated": 1, "changed": 0}, "unread": 0,
        "travelled": {"rows": 571, "checksums": 0},
        "differences": [
            {"kind": "missing", "key": ["1200"], "rows": {"baseline": 1, "stage": 0}, "values": None},
            {"kind": "duplicated", "key": ["3"], "rows": {"baseline": 1, "stage": 2}, "values": None},
        ],
    }  # fmt: skip


def test_keys_that_agree_and_stages_by_name(run: Callable[..., Any]) -> None:
    code, said, _ = run("--keys", "--org", "6", "--stage", "fast", "--stage", "lake")
    assert code == 0
    assert [line for line in said.splitlines() if "against" in line] == [
        "orders 2026-11-20, org 6 (test): fast against shop: keys agree",
        "orders 2026-11-20, org 6 (test): lake against shop: keys agree",
    ]
    assert "duplicated" not in run("--keys", "--distinct")[1]


def test_values_are_printed_beside_each_other(run: Callable[..., Any]) -> None:
    file = Path("reports/orders.py")
    file.write_text(file.read_text().replace('key="id",', 'key="id", values="org",', 1))
    with closing(sqlite3.connect("../b.sqlite")) as lake:
        lake.executescript("UPDATE b SET org = NULL WHERE id = 8")
    _, said, _ = run("--keys")
    lines = [line.split("  ") for line in said.splitlines()]
    assert ["changed", "8", "1", "1", "1", "(NULL)"] in [[w.strip() for w in line if w.strip()] for line in lines]
    assert "3 (2 times)" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--org", "3"], "give --keys too"),
        (["--stage", "lake"], "give --keys too"),
        (["--distinct"], "give --keys too"),
        (["--keys", "--html", "x.html"], "without a ledger or a report"),
        (["--keys", "--why", "--org", "3"], "--why --keys looks at all of them"),
        (["--keys", "--why"], "table a has no partition column"),
        (["--keys", "--stage", "lak"], "did you mean 'lake'?"),
        (["--keys", "--stage", "shop"], "no stage 'shop' is held against shop"),
        (["--keys", "--org", "77"], "shop or lake has no org '77' in 2026-11-20"),
    ],
)
def test_wrong_use(run: Callable[..., Any], words: list[str], sentence: str) -> None:
    code, said, warned = run(*words)
    assert (code, said, warned.count("\n")) == (2, "", 1)
    assert sentence in warned
