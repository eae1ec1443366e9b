"""Runs: what databases write and sort is what a dictionary of Python holds, and merging it forgets nothing."""

from __future__ import annotations

import csv
import random
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import given
from hypothesis import strategies as st

from dq import By, Explained, Reconciliation, Stage, Table
from dq.context import Context
from dq.counting import count_stage, read
from dq.datasource import Datasource, SqlDatasource, completed
from dq.ledger import reconcile
from dq.model.group import Group, group_value
from dq.model.interval import Interval
from dq.model.ledger import Ledger, LedgerRow
from dq.packing import Packing, unpacked
from dq.reports.attachment import csv_bytes
from dq.runs import Odd, Same, key_of, merge, run_of_counts, run_of_lines, values_of
from dq.store.artefact import ledger_from_json, ledger_to_json
from tests.engines import Live

NOW = datetime(2026, 11, 25, tzinfo=UTC)
DAYS = (date(2026, 11, 20), date(2026, 11, 21), date(2026, 11, 22))
DAY = Interval.of_day("2026-11-20")
WEEK = Interval(DAY.start, DAY.start + timedelta(days=3))

NAMES = ["", " ", "a", "A", "b", "B", "ä", "Ä", "z", "Z", "é", "e", "ss", "ß", "中", "🙂", "a b", "a-b", "a_b", "ab"]
NAMES += ["a'b", "1", "01", "2", "10", "-1", "1.0", "=", "~5", "null", "NULL", "x" * 59, "x" * 60, "x" * 61, "y" * 300]
ODD_NAMES = ["a\tb", "a\nb", "\x1b", "\x01", "a\rb"]
"""Names that no database writes as a line."""

Rows = list[tuple[Any, ...]]


@frozen
class Dictionary:
    """A datasource that only fetches: its rows are counted in a dictionary."""

    name: str
    source: SqlDatasource

    @property
    def dialect(self) -> str:
        return self.source.dialect

    def fetch(self, sql: str) -> list[Sequence[Any]]:
        assert "dq_line" not in sql
        return self.source.fetch(sql)

    def close(self) -> None: ...


class Listening(SqlDatasource):
    """A datasource that notes what is streamed."""

    streamed: list[str] = []  # noqa: RUF012  # of the class: the instances have slots

    def stream(self, sql: str, size: int = 10_000) -> Iterator[list[Sequence[Any]]]:
        self.streamed.append(sql)
        return super().stream(sql, size)


@pytest.fixture
def lives(tmp_path: Path, postgres_url: str) -> Iterator[dict[str, Live]]:
    """Four databases in three engines."""
    urls = {
        "one": ("duckdb", f"duckdb:///{tmp_path}/one.duckdb"),
        "two": ("sqlite", f"sqlite:///{tmp_path}/two.sqlite"),
        "three": ("duckdb", f"duckdb:///{tmp_path}/three.duckdb"),
        "four": ("postgres", postgres_url),
    }
    made = {name: Live(*pair) for name, pair in urls.items()}
    yield made
    for live in made.values():
        for source in live.opened:
            source.close()


STAGES = ("one", "two", "three", "four")


def declaration(rng: random.Random, columns: tuple[str, ...], expected: list[Any] | None) -> Reconciliation:
    measure = rng.choice(["count(*)", "sum(n)", "sum(amount)", "max(n)", "count(distinct n)"])
    table = {name: Table(name, "t", partition="day") for name in STAGES}
    lost = Explained("lost", counted=Stage("lost", Table("two", "lost", partition="day"), measure=measure))
    skipped = Explained("skipped", derived=("one", "two"), stages=("four",))
    rungs = rng.choice([{}, {"warning": "10%", "error": "50%"}, {"error": ("20%", 3)}, {"warning": 2}])
    return Reconciliation(
        "random",
        by=By(columns, expected, min_rows=rng.choice([0, 0, 3])),
        stages=[Stage(name, table[name], measure=measure, where=rng.choice([None, "n >= 0"])) for name in STAGES],
        explained=[one for one in (lost, skipped) if rng.random() < 0.4],
        confidence=0.9 if "warning" in rungs and rungs["warning"] == "10%" and rng.random() < 0.5 else None,
        notes={rng.choice(NAMES): "a word on it", "(empty)": "no name", f"(no {columns[0]})": "no org"},
        orgs={tuple([rng.choice(NAMES)] * len(columns)): {"error": 0}} if rng.random() < 0.3 else {},
        **rungs,
    )


def load(rng: random.Random, lives: dict[str, Live], columns: tuple[str, ...], kind: str) -> None:
    """Fill the tables: nearly the same rows at each stage."""
    names: list[Any] = [str(rng.randrange(300)) for _ in range(60)] if kind == "number" else [*NAMES]
    if kind == "odd":
        names += ODD_NAMES
    if kind == "number":
        names += ["-3", "-20"] * (rng.random() < 0.5)
    names = [*rng.sample(names, rng.choice([4, len(names)])), None]  # of few, there are many records of each
    rows: Rows = []
    for _ in range(rng.choice([0, 40, 400])):
        org = [rng.choice(names) for _ in columns]
        n = rng.choice([None, 0, 1, 2, 3, -1])
        rows.append((rng.choice(DAYS), *org, n, Decimal(rng.randrange(-300, 900)).scaleb(-2)))
    for name, live in lives.items():
        # Whole numbers lie as numbers in some engines and as texts in others.
        as_number = kind == "number" and name in rng.choice([("one", "two", "three", "four"), ("one", "four"), ()])
        own = [row for row in rows if rng.random() > rng.choice([0, 0.02])]
        own += [rng.choice(rows)] * (rng.random() < 0.3) if rows else []
        own *= rng.random() > 0.05
        _fill(live, "t", columns, own, as_number=as_number)
    _fill(lives["two"], "lost", columns, [row for row in rows if rng.random() < 0.05], as_number=False)


def _fill(live: Live, table: str, columns: tuple[str, ...], rows: Rows, *, as_number: bool) -> None:
    org = "bigint" if as_number else "text"
    amount = "double" if live.name == "sqlite" else "decimal(12,2)"
    kinds = {"day": "date", **dict.fromkeys(columns, org), "n": "bigint", "amount": amount}
    own = []
    for day, *values, n, money in rows:
        orgs = [int(v) if as_number and v is not None else v for v in values]
        typed = (str(day), float(money)) if live.name == "sqlite" else (day, money)
        own.append((typed[0], *orgs, n, typed[1]))
    live.load(table, kinds, own)


def ledgers(
    lives: dict[str, Live], declared: Reconciliation, interval: Interval, most_rows: int | None
) -> tuple[Ledger, Ledger]:
    """Return the ledger by lines, and the whole one by dictionaries."""
    sources = {name: live.datasource() for name, live in lives.items()}
    plain: dict[str, Datasource] = {name: completed(Dictionary(name, one)) for name, one in sources.items()}
    context = Context(interval, NOW, by_day=interval is WEEK)
    keep = {declared.by.group([rng_name] * len(declared.by.columns)) for rng_name in ("a", "10", None)}
    found = reconcile(declared, sources.__getitem__, context, "test", keep=keep, most_rows=most_rows)
    oracle = reconcile(declared, plain.__getitem__, context, "test", keep=keep, most_rows=None)
    for one in sources.values():
        one.close()
    return found, oracle


@pytest.mark.slow
@pytest.mark.soak
def test_databases_write_what_a_dictionary_holds(
    lives: dict[str, Live], histories: Callable[[int, int], Iterator[random.Random]]
) -> None:
    for rng in histories(40, 2_000):
        columns = rng.choice([("org",), ("org",), ("org", "part")])
        load(rng, lives, columns, rng.choice(["text", "number", "odd"]))
        expected = rng.choice([None, [tuple([name] * len(columns)) for name in ("a", "1", "who", "B")]])
        declared = declaration(rng, columns, expected)
        interval = rng.choice([DAY, WEEK])
        found, oracle = ledgers(lives, declared, interval, None)
        assert by_row(found) == by_row(oracle)
        assert found.results == oracle.results
        assert evolve(found, rows=(), results=()) == evolve(oracle, rows=(), results=())
        few, _ = ledgers(lives, declared, interval, rng.choice([0, 5]))
        assert few.results == oracle.results
        assert (few.totals, few.losses, few.severity, few.size) == (
            oracle.totals, oracle.losses, oracle.severity, oracle.size,
        )  # fmt: skip
        assert_rest(few, oracle)
        assert_file(few, oracle)
        assert ledger_from_json(ledger_to_json(few)) == few


def by_row(ledger: Ledger) -> dict[tuple[Interval, Group], LedgerRow]:
    rows = {(row.interval, row.org): row for row in ledger.rows}
    assert len(rows) == len(ledger.rows)
    return rows


def assert_rest(few: Ledger, oracle: Ledger) -> None:
    """Assert that a ledger without most rows has those that matter, and the sums of the others."""
    every, kept = by_row(oracle), by_row(few)
    assert all(every[place] == row for place, row in kept.items())
    others = [row for place, row in every.items() if place not in kept]
    if few.rest is None:
        assert not others
        return
    stages = [column for column in oracle.columns if column.kind == "count"]
    empty = {f"absent at {c.heading}" for c in stages if all(row.counts[c.name] is None for row in oracle.rows)}
    assert not any(row.severity or set(row.notes) - empty for row in others)
    assert few.rest.rows == len(others)
    assert few.rest.differing == sum(any(row.discrepancy.values()) for row in others)
    for column in stages:
        counts = [n for row in others if (n := row.counts[column.name]) is not None]
        assert few.rest.counts[column.name] == (sum(counts) if counts else None)
    for what in ("explained", "discrepancy"):
        for name, total in getattr(few.rest, what).items():
            assert total == sum(getattr(row, what)[name] for row in others)


def assert_file(few: Ledger, oracle: Ledger) -> None:
    """Assert that the file of a ledger without most rows has all of them, where they are kept."""
    if few.rest is None or few.rest.packed is None:
        return
    written, whole = (
        list(csv.reader(csv_bytes(one, gzipped=False).decode().splitlines(keepends=True))) for one in (few, oracle)
    )
    assert written[0] == whole[0]
    kept = len(written) - few.rest.rows
    assert all(row in whole for row in written[1:kept])
    # Of the others nothing is to be said but that a stage has no org at all.
    assert sorted(row[:-1] for row in written) == sorted(row[:-1] for row in whole)
    assert not any(row[-1] for row in written[kept:])


@pytest.mark.parametrize("name", ["duckdb", "sqlite", "postgres"])
@pytest.mark.parametrize(
    ("kind", "orgs", "streamed"),
    [
        ("bigint", [10, 9, 200, None, 1], 1),
        ("bigint", [10, -9, 200, None, 1], 2),
        ("text", ["10", "ä", "Z", "a", "", None, "🙂"], 1),
        ("text", ["a\tb", "c"], 1),
        ("double", [1.0, 2.5, 14.0], 0),
        ("date", [date(2026, 11, 20)], 0),
    ],
)
def test_lines_are_written_where_their_texts_are_certain(
    name: str,
    kind: str,
    orgs: list[Any],
    streamed: int,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = {"duckdb": f"duckdb:///{tmp_path}/live.duckdb", "sqlite": f"sqlite:///{tmp_path}/live.sqlite"}
    live = Live(name, files.get(name) or request.getfixturevalue("postgres_url"))
    rows = [(str(org) if live.name == "sqlite" and kind == "date" else org, n) for n, org in enumerate(orgs)]
    live.load("t", {"org": kind, "n": "bigint"}, [*rows, *rows])
    monkeypatch.setattr(Listening, "streamed", [])
    source = Listening.of("live", live.url, timeout=timedelta(minutes=1))
    stage = Stage("a", Table("live", "t"), measure="sum(n)")
    declared = Reconciliation("r", by="org", stages=[stage, Stage("b", Table("live", "t"))])
    counted = count_stage(declared, stage, None, lambda _: source, Context(DAY, NOW))
    assert counted.run is not None
    assert dict(read(counted.run)) == {(group_value(org),): 2 * n for n, org in enumerate(orgs)}
    is_text = live.name == "sqlite" and kind == "date"  # it has no type for days
    assert len(source.streamed) == streamed + is_text
    counted.close()
    source.close()


def test_sqlite_may_hold_other_values_than_its_columns_say(tmp_path: Path) -> None:
    live = Live("sqlite", f"sqlite:///{tmp_path}/any.sqlite")
    live.run(
        "CREATE TABLE t (org INTEGER, n INTEGER)",
        "INSERT INTO t VALUES (1, 1), (14.5, 2), (x'3132', 3), ('b', 4), (12, 0.1)",
    )
    declared = Reconciliation("r", by="org", stages=[Stage(s, Table("live", "t"), measure="sum(n)") for s in "ab"])
    source = live.datasource()
    counted = count_stage(declared, declared.stages[0], None, lambda _: source, Context(DAY, NOW))
    assert counted.run is not None
    numbers = {("1",): 1, ("14.5",): 2, ("3132",): 3, ("b",): 4, ("12",): Decimal("0.1")}
    assert dict(read(counted.run)) == numbers
    counted.close()
    source.close()


Org = tuple[str | None, ...]
org = st.tuples(st.one_of(st.none(), st.text(max_size=4)), st.sampled_from([None, "", "a", "\t", "\x1b", "b" * 70]))
counts = st.dictionaries(org, st.sampled_from(["1", "2", "0.5", "~3"]), max_size=30)


@given(st.lists(st.one_of(st.none(), st.text()), min_size=1, max_size=3))
def test_a_key_is_read_as_it_was_written(values: list[str | None]) -> None:
    assert values_of(key_of(values)) == tuple(values)


@given(st.lists(counts, min_size=1, max_size=3), counts, st.sets(org, max_size=3), st.sampled_from([1, 40, 128_000]))
def test_merging_forgets_nothing(
    stages: list[dict[Org, str]], losses: dict[Org, str], apart: set[Org], block: int
) -> None:
    stages = [{**stages[0], **one} if n % 2 else one for n, one in enumerate(stages)]  # much of it is the same
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dq.runs.BLOCK", block)
        runs = [run_of_counts(one) for one in (*stages, losses)]
        alike = range(len(stages))
        found: dict[bytes, tuple[bytes | None, ...]] = {}
        for one in merge(runs, alike, map(key_of, apart)):
            if isinstance(one, Same):
                for line in one.lines.split(b"\n")[:-1]:
                    key, number = line.rsplit(b"\t", 1)
                    assert values_of(key) not in apart
                    assert key not in found
                    found[key] = (*[number] * len(stages), None)
            else:
                assert isinstance(one, Odd)
                assert one.key not in found
                found[one.key] = one.numbers
                same = len({*one.numbers[:-1]}) == 1 and one.numbers[-1] is None
                assert not same or values_of(one.key) in apart
    for run in runs:
        run.close()
    orgs = {org for one in (*stages, losses) for org in one}
    assert found == {
        key_of(org): tuple(None if org not in one else one[org].encode() for one in (*stages, losses)) for org in orgs
    }


def test_memory_does_not_grow_with_the_orgs(tmp_path: Path) -> None:
    peaks = []
    for orgs in (60_000, 240_000):
        live = Live("sqlite", f"sqlite:///{tmp_path}/many_{orgs}.sqlite")
        numbers = f"WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < {orgs})"
        live.run(
            "CREATE TABLE a (org INTEGER, n INTEGER)",
            f"INSERT INTO a {numbers} SELECT i, i % 90 FROM t",
            "CREATE TABLE b AS SELECT org, CASE WHEN org % 5000 = 7 THEN n + 1 ELSE n END AS n FROM a",
            "CREATE TABLE c (org TEXT, n INTEGER)",
            "INSERT INTO c SELECT * FROM b",
        )
        stages = [Stage(name, Table("live", name), measure="sum(n)") for name in "abc"]
        source = live.datasource()
        tracemalloc.start()
        declared = Reconciliation("r", by="org", stages=stages)
        ledger = reconcile(declared, lambda _, source=source: source, Context(DAY, NOW), "test")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        source.close()
        assert (ledger.size, len(ledger.rows)) == (orgs, orgs // 5_000)
        assert ledger.rest is not None
        assert ledger.rest.counts["a"] == sum(n % 90 for n in range(1, orgs + 1) if n % 5_000 != 7)
    assert peaks[1] < peaks[0] + 3_000_000, peaks  # the texts of the lines alone would be 6 MB more
    assert peaks[1] < 40_000_000


def test_what_is_long_lies_on_disk_and_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dq.runs.IN_MEMORY", 100)
    numbers = [str(n).rjust(5, "0") for n in range(5_000)]
    batches = [[(f"E{n}\t{n}",) for n in numbers[i : i + 700]] for i in range(0, 5_000, 700)]
    run = run_of_lines(batches, 1)
    assert run.lines == 5_000
    assert [values[0] for values, _ in read(run)] == numbers
    assert [values[0] for values, _ in read(run)] == numbers
    run.close()


def test_what_is_packed_is_unpacked_or_not_kept() -> None:
    rng = random.Random(5)
    lines = [b"G%07d\t%d\n" % (n, rng.randrange(10**9)) for n in range(40_000)]
    packing, short = Packing(), Packing(max_bytes=100_000)
    for n in range(0, len(lines), 1_000):
        for one in (packing, short):
            one.add(b"".join(lines[n : n + 1_000]))
    packing.add_row(b"Hlast", [7, None, Decimal("0.50")])
    packed = packing.packed()
    assert packed is not None
    pieces = list(unpacked(packed))
    assert b"".join(pieces) == b"".join(lines) + b"Hlast\t7\t\t0.50\n"
    assert len(pieces) > 5, "not all at once"
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert short.packed() is None
