"""Faults that are put into the records of a pipeline in real databases: dq must name the hop and what was done, or
say that it cannot tell, and never call it something else."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from attrs import evolve, field, frozen

from dq.app import attributing
from dq.cli.entry import main
from dq.keys import Bounds, compare_hop
from tests.conftest import SEED, SOAK, confused
from tests.servers import open_engine

STAGES = ("collector", "queue", "aggregate", "database", "mart")
DAY = date(2026, 11, 20)
KINDS = {
    "drop": "missing", "duplicate": "duplicated", "delay": "shifted", "restate": "restated", "move": "re-keyed",
}  # fmt: skip
BY_KEYS = KINDS | {"change": "restated", "cancel": "duplicated and missing"}
"""What counts alone can tell, and what keys can tell besides."""

UNKNOWN = "cannot tell"
ENOUGH = 100
"""Of so many records and more, counts alone must nearly always name what was done."""


@frozen
class Scale:
    """How large the pipeline is.

    Attributes:
        records: at the first stage, all days together.
        before: days before the one that is asked about; there is one after it.
        orgs: how many; the n-th has an n-th of the records of the first.
        sizes: of faults, in records.
        in_servers: whether two of the stages lie in SQLite and PostgreSQL.
        pairs: rounds of two faults in the records of one org.
        every: so many rounds of single faults are one with keys, which take all records in hand.
    """

    records: int
    before: int
    orgs: int
    sizes: tuple[int, ...]
    in_servers: bool
    pairs: int
    every: int

    @property
    def days(self) -> list[date]:
        return [DAY + timedelta(days=n) for n in range(-self.before, 2)]


SCALE = (
    Scale(50_000_000, 7, 1_000, (1, 100, 100_000), in_servers=False, pairs=4, every=3)
    if SOAK
    else Scale(32_000, 2, 40, (1, 100, 300), in_servers=True, pairs=4, every=1)
)


@frozen
class Fault:
    """What is done to some records of an org of the day: at the stages from ``hop`` on; restated: at those before it.

    Attributes:
        kind: a key of ``KINDS``; or ``cancel``: some are dropped and as many others duplicated; or ``change``: other
            values.
        hop: the place of the stage after it.
        size: records.
        org, other: whose they are, and to whom they move.
        first: the number of the first record.
    """

    kind: str
    hop: int
    size: int
    org: int
    other: int
    first: int

    @property
    def place(self) -> tuple[str, str]:
        """Where it must be found: the org, and the stage after the hop."""
        return str(self.org), STAGES[self.hop]

    @property
    def last(self) -> int:
        return self.first + (2 if self.kind == "cancel" else 1) * self.size - 1

    @property
    def stages(self) -> tuple[str, ...]:
        return STAGES[: self.hop] if self.kind in ("restate", "change") else STAGES[self.hop :]


PROJECT = """
from dq import Reconciliation, Stage, Table

pipe = Reconciliation(
    "pipe",
    by="org",
    key="id",
    values="amount",
    stages=[
        Stage("collector", Table("lake", "collector", partition="day")),
        Stage("queue", Table("queues", "queue", partition="day"), compare=False),
        Stage("aggregate", Table("aggregates", "aggregate", partition="day")),
        Stage("database", Table("marts", "database", partition="day"), compare=False),
        Stage("mart", Table("marts", "mart", partition="day")),
    ],
)
"""


@frozen
class Pipeline:
    """The pipeline, with a copy of what its stages have when all is well.

    Attributes:
        urls: the database of each stage.
        ranges: the number of the first record of an org on the day, and how many it has.
        newest: the highest number.
    """

    root: Path
    urls: dict[str, str]
    ranges: dict[int, tuple[int, int]]
    newest: int

    def put_in(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            for stage in fault.stages:
                self._run(stage, *self._statements(fault, stage))

    def take_out(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            own = f"id BETWEEN {fault.first} AND {fault.last}"
            for stage in fault.stages:
                kept = f'INSERT INTO "{stage}" SELECT * FROM kept_{stage} WHERE {own}'
                self._run(stage, f'DELETE FROM "{stage}" WHERE {own} OR id > {self.newest}', kept)

    def fault(self, kind: str, size: int, hop: int, rng: Random, taken: set[int]) -> Fault:
        """Return a fault in the records of an org that has enough of them, and of a small one; both are taken then."""
        org = rng.choice([org for org, (_, n) in self.ranges.items() if n >= needed(kind, size) and org not in taken])
        other = rng.choice([one for one in self.ranges if one > SCALE.orgs // 4 and one not in {org, *taken}])
        taken |= {org, other}
        first, records = self.ranges[org]
        return Fault(kind, hop, size, org, other, first + rng.randint(0, records - needed(kind, size)))

    def why(self, *options: str) -> list[dict[str, Any]]:
        command = ["reconcile", "pipe", "--date", str(DAY), "--no-store", "--no-alert", "--why", *options]
        return list(self.dq(*command)["why"])

    def dq(self, *words: str) -> dict[str, Any]:
        return dict(json.loads(self.said(*words, "--json")))

    def said(self, *words: str) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
            main([*words, "--project", str(self.root)])
        assert ended.value.code in (0, 1), printed.getvalue()
        return printed.getvalue()

    def _run(self, stage: str, *statements: str) -> None:
        engine = open_engine(self.urls[stage])
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def _statements(self, fault: Fault, stage: str) -> list[str]:
        table, after = f'"{stage}"', fault.first + fault.size
        own, others = (f"id BETWEEN {n} AND {n + fault.size - 1}" for n in (fault.first, after))
        later = self.newest + 1 - fault.first  # no other record has such a number
        return {
            "drop": [f"DELETE FROM {table} WHERE {own}"],
            "duplicate": [f"INSERT INTO {table} SELECT * FROM {table} WHERE {own}"],
            "delay": [f"UPDATE {table} SET day = '{DAY + timedelta(days=1)}' WHERE {own}"],
            "restate": [f"INSERT INTO {table} SELECT id + {later}, org, day, amount FROM {table} WHERE {own}"],
            "move": [f"UPDATE {table} SET org = '{fault.other}' WHERE {own}"],
            "change": [f"UPDATE {table} SET amount = amount + 1 WHERE {own}"],
            "cancel": [
                f"DELETE FROM {table} WHERE {own}",
                f"INSERT INTO {table} SELECT * FROM {table} WHERE {others}",
            ],
        }[fault.kind]


# ------------------------------------------------------------------------------------------------------- the pipeline


@pytest.fixture(scope="module")
def pipeline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """The pipeline when all is well, compared on the day and on the one before."""
    root = tmp_path_factory.mktemp("pipeline")
    files = [f"duckdb:///{root}/{name}.duckdb" for name in ("lake", "middle", "marts")]
    urls = dict(zip(STAGES, (files[0], files[1], files[1], files[2], files[2]), strict=True))
    if SCALE.in_servers:
        urls["queue"] = f"sqlite:///{root}/queue.sqlite"
        urls["aggregate"] = request.getfixturevalue("postgres_server").new_database()
    cells = _cells(Random(f"{SEED}/pipeline"))
    _fill(urls, cells)
    ranges = {org: (first, records) for day, org, first, records in cells if day == DAY}
    sources = {"lake": "collector", "queues": "queue", "aggregates": "aggregate", "marts": "mart"}
    toml = ['[store]\nurl = "sqlite:///store.sqlite"']
    toml += [f'[datasources.{name}]\nurl = "{urls[stage]}"\ntimeout = "10m"' for name, stage in sources.items()]
    (root / "dq.toml").write_text("\n".join(toml), encoding="utf-8")
    (root / "reports").mkdir()
    (root / "reports" / "pipe.py").write_text(PROJECT, encoding="utf-8")
    made = Pipeline(root, urls, ranges, sum(records for _, _, _, records in cells))
    made.said("db", "upgrade")
    for day in (DAY - timedelta(days=1), DAY):
        assert made.dq("reconcile", "pipe", "--date", str(day), "--no-alert")["exit_code"] == 0
    return made


Cell = tuple[date, int, int, int]
"""A day, an org, the number of its first record, and how many it has."""


def _cells(rng: Random) -> list[Cell]:
    """Return who has how many records on each day; the sizes of orgs are those of words in a text."""
    share = SCALE.records / len(SCALE.days) / sum(1 / n for n in range(1, SCALE.orgs + 1))
    cells: list[Cell] = []
    first = 1
    for day in SCALE.days:
        for org in range(1, SCALE.orgs + 1):
            records = max(1, round(share / org * rng.uniform(0.9, 1.1)))
            cells.append((day, org, first, records))
            first += records
    return cells


_RECORDS = """CREATE TABLE kept AS SELECT first + n AS id, org, day, (first + n) % 97 AS amount
FROM (SELECT *, unnest(range(records)) AS n FROM cells)"""


def _fill(urls: dict[str, str], cells: Sequence[Cell]) -> None:
    """Put the records into each stage, and beside it a copy of them as they are when all is well."""
    lake = urls[STAGES[0]].removeprefix("duckdb:///")
    rows: list[tuple[int, int, date, int]] = []
    with duckdb.connect(lake) as connection:
        connection.execute("CREATE TEMP TABLE cells (day DATE, org BIGINT, first BIGINT, records BIGINT)")
        connection.executemany("INSERT INTO cells VALUES (?, ?, ?, ?)", cells)
        connection.execute(_RECORDS)
        if SCALE.in_servers:
            rows = connection.execute("SELECT * FROM kept ORDER BY id").fetchall()
    for stage, url in urls.items():
        if url.startswith("sqlite"):
            _fill_sqlite(url.removeprefix("sqlite:///"), stage, rows)
        elif url.startswith("postgres"):
            _fill_postgres(url, stage, rows)
        else:
            _fill_duckdb(url.removeprefix("duckdb:///"), stage, lake)


def _fill_duckdb(path: str, stage: str, lake: str) -> None:
    with duckdb.connect(path) as connection:
        if path != lake:
            connection.execute(f"ATTACH '{lake}' AS lake (READ_ONLY)")
        tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        if path != lake and "all_kept" not in tables:
            connection.execute("CREATE TABLE all_kept AS SELECT * FROM lake.kept")
        kept = "kept" if path == lake else "all_kept"
        connection.execute(f'CREATE TABLE "{stage}" AS SELECT * FROM {kept}')
        connection.execute(f"CREATE VIEW kept_{stage} AS SELECT * FROM {kept}")


def _fill_sqlite(path: str, stage: str, rows: Sequence[Any]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table in (stage, f"kept_{stage}"):
            connection.execute(f"CREATE TABLE {table} (id INTEGER, org TEXT, day TEXT, amount INTEGER)")
            marks = ((number, str(org), str(day), amount) for number, org, day, amount in rows)
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", marks)
            connection.execute(f"CREATE INDEX {table}_id ON {table} (id)")


def _fill_postgres(url: str, stage: str, rows: Sequence[Any]) -> None:
    engine = open_engine(url)
    connection = engine.raw_connection()
    with contextlib.closing(connection), connection.cursor() as cursor:
        for table in (stage, f"kept_{stage}"):
            cursor.execute(f'CREATE TABLE "{table}" (id bigint, org bigint, day timestamptz, amount numeric(12, 2))')
            with cursor.copy(f'COPY "{table}" FROM STDIN') as copy:
                for number, org, day, amount in rows:
                    copy.write_row((number, org, f"{day} 05:{number % 60:02}:00+00", amount))
            cursor.execute(f'CREATE INDEX "{table}_id" ON "{table}" (id)')
        connection.commit()
    engine.dispose()


# ---------------------------------------------------------------------------------------------------------- the faults


def needed(kind: str, size: int) -> int:
    """Return how many records an org must have for a fault, so that some are left."""
    return 2 * size if kind == "cancel" else size + size // 5


def single_faults(pipeline: Pipeline, kinds: Iterable[str], rng: Random) -> list[list[Fault]]:
    """Return rounds of faults, one in each hop and all of other orgs; each kind and size is in each hop once."""
    sorts = [(kind, size) for kind in kinds for size in SCALE.sizes]
    shifts = {hop: rng.randrange(len(sorts)) for hop in range(1, len(STAGES))}
    rounds = []
    for number in range(len(sorts)):
        taken: set[int] = set()
        wanted = [(hop, *sorts[(number + shift) % len(sorts)]) for hop, shift in shifts.items()]
        wanted.sort(key=lambda sort: -needed(*sort[1:]))  # few orgs have enough records for the largest
        rounds.append([pipeline.fault(kind, size, hop, rng, taken) for hop, kind, size in wanted])
    return rounds


def pairs(pipeline: Pipeline, kinds: Sequence[str], rng: Random) -> list[list[Fault]]:
    """Return rounds of two faults in different hops, of records of the same org."""
    made = []
    size = max(SCALE.sizes)
    smaller = max(ENOUGH, size // 4)
    for _ in range(SCALE.pairs):
        hops = rng.sample(range(1, len(STAGES)), 2)
        place = pipeline.fault("cancel", size + smaller, hops[0], rng, set())
        one = evolve(place, kind=rng.choice(kinds), size=size)
        made.append([one, evolve(one, kind=rng.choice(kinds), hop=hops[1], size=smaller, first=one.first + 2 * size)])
    return made


@frozen
class Answers:
    """How often faults of a kind and a size were called what, and of how many the hop was named."""

    called: Counter[tuple[str, int, str]] = field(factory=Counter)
    hops: Counter[int] = field(factory=Counter)

    def add(self, faults: Sequence[Fault], why: Sequence[dict[str, Any]]) -> None:
        """Count what is said of these faults; where nothing was done, nothing may be said."""
        answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for one in why:
            answers.setdefault((one["org"]["org"], one["to"]), []).append(one)
        for fault in faults:
            said = answers.pop(fault.place, [])
            self.hops[fault.size] += bool(said) and all(one["from"] == STAGES[fault.hop - 1] for one in said)
            called = " and ".join(sorted(one["kind"] for one in said)) or "nothing"
            self.called[fault.kind, fault.size, called] += 1
            assert all(one["records"] == fault.size for one in said if one["records"] and not one["estimated"])
            if fault.kind == "move":
                (there,) = answers.pop((str(fault.other), STAGES[fault.hop]), [])
                assert there["kind"] in (KINDS["move"], UNKNOWN)
            assert {one["other_org"]["org"] for one in said if one["other_org"]} <= {str(fault.other)}
            days = {one["other_partition"]["start"][:10] for one in said if one["other_partition"]}
            assert days <= {str(DAY + timedelta(days=1))}
        assert not answers

    def matrix(self) -> list[list[str]]:
        """Return the confusion matrix: what was done, and how often it was called what."""
        names = [*dict.fromkeys((*KINDS.values(), UNKNOWN, *(said for _, _, said in self.called)))]
        sorts = list(dict.fromkeys((kind, size) for kind, size, _ in self.called))
        sorts.sort(key=lambda sort: (list(BY_KEYS).index(sort[0]), sort[1]))
        lines = [[f"{kind} {size:,}", *(f"{self.called[kind, size, said]}" for said in names)] for kind, size in sorts]
        return [["", *names], *lines]


@pytest.mark.slow
@pytest.mark.soak
def test_counts_name_hop_and_kind_of_each_fault(pipeline: Pipeline, request: pytest.FixtureRequest) -> None:
    answers = Answers()
    rng = Random(f"{SEED}/counts")
    for faults in [*single_faults(pipeline, KINDS, rng), *pairs(pipeline, tuple(KINDS), rng)]:
        pipeline.put_in(faults)
        answers.add(faults, pipeline.why())
        pipeline.take_out(faults)
    judge(request.node, answers)
    assert not pipeline.why()


@pytest.mark.slow
@pytest.mark.soak
def test_keys_name_what_counts_cannot(pipeline: Pipeline, request: pytest.FixtureRequest) -> None:
    answers = Answers()
    rng = Random(f"{SEED}/keys")
    for faults in [*single_faults(pipeline, BY_KEYS, rng)[:: SCALE.every], *pairs(pipeline, tuple(BY_KEYS), rng)]:
        pipeline.put_in(faults)
        answers.add(faults, pipeline.why("--keys"))
        pipeline.take_out(faults)
    judge(request.node, answers)
    assert not pipeline.why("--keys")


@pytest.mark.slow
def test_what_keys_only_estimate_is_named_by_counts(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    # So few records are read that of most segments it is only counted what differs.
    monkeypatch.setattr(attributing, "compare_hop", partial(compare_hop, bounds=Bounds(most=1_500)))
    rng, size = Random(f"{SEED}/estimated"), max(SCALE.sizes)
    place = pipeline.fault("cancel", size + ENOUGH, 1, rng, set())
    faults = [evolve(place, kind="restate", size=size)]
    faults.append(evolve(place, kind="restate", hop=3, size=ENOUGH, first=place.first + 2 * size))
    pipeline.put_in(faults)
    said = pipeline.why("--keys")
    pipeline.take_out(faults)
    assert {(one["from"], one["to"], one["kind"], one["records"]) for one in said} == {
        ("collector", "queue", "restated", size), ("aggregate", "database", "restated", ENOUGH),
    }  # fmt: skip
    assert any(one["estimated"] for one in said)


@pytest.mark.slow
def test_what_is_told_is_printed(pipeline: Pipeline) -> None:
    rng = Random(f"{SEED}/printed")
    taken: set[int] = set()
    faults = [pipeline.fault(*sort, rng, taken) for sort in (("cancel", 100, 2), ("change", 7, 1), ("move", 1, 3))]
    pipeline.put_in(faults)
    command = ["reconcile", "pipe", "--date", str(DAY), "--no-store", "--no-alert", "--why"]
    by_counts, by_keys = (
        [" ".join(line.split()) for line in pipeline.said(*command, *more).splitlines()] for more in ([], ["--keys"])
    )
    pipeline.take_out(faults)
    cancel, change, move = faults
    day, of = str(DAY), f"only this one of {SCALE.orgs}"
    assert f"{move.org} aggregate to database 1 missing cannot tell {day} {of}" in by_counts
    assert "--why --keys looks at the keys, too, where the stages have some" in by_counts
    assert {
        f"{cancel.org} queue to aggregate 100 too many duplicated {day} {of}",
        f"{cancel.org} queue to aggregate 100 missing missing {day} {of}",
        f"{change.org} collector to queue 7 with other values restated {day} {of}",
        f"{move.org} aggregate to database 1 missing re-keyed to {move.other} {day} {of}",
        f"{move.other} aggregate to database 1 too many re-keyed from {move.org} {day} {of}",
    } <= set(by_keys)
    assert not [line for line in by_keys if "--why --keys" in line]


def judge(node: pytest.Item, answers: Answers) -> None:
    """Print what faults were called, and require what is promised."""
    large = sum(number for (_, size, _), number in answers.called.items() if size >= ENOUGH)
    hops = sum(number for size, number in answers.hops.items() if size >= ENOUGH)
    named = sum(n for (kind, size, said), n in answers.called.items() if size >= ENOUGH and said == BY_KEYS.get(kind))
    wrong = {one for one in answers.called if one[2] not in (BY_KEYS.get(one[0]), UNKNOWN)}
    words = (
        f"faults of {ENOUGH} records or more among {SCALE.records:,} at each of {len(STAGES)} stages:"
        f" hops named {hops / large:.1%}, kinds {named / large:.1%}, called wrongly: {len(wrong)}"
    )
    confused(node, large, words, answers.matrix())
    assert not wrong
    assert hops >= 0.99 * large
    assert named >= 0.95 * large
