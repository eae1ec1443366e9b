"""One statement for all stages of an engine: its ledger is the one of stages that are counted each for itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from attrs import evolve

from dq import By, Explained, Reconciliation, Stage, Table
from dq.context import Context
from dq.counting import MOST_APART
from dq.datasource import Datasource, SqlDatasource, completed
from dq.ledger import one_statement, reconcile
from dq.model.acceptance import Acceptance, Most
from dq.model.errors import MeasureError
from dq.model.ledger import Ledger
from dq.model.reconciliation import Level
from dq.model.severity import Outcome
from dq.packing import unpacked
from tests.test_runs import DAY, DAYS, NAMES, NOW, ODD_NAMES, WEEK, Dictionary, by_row
from tests.test_spark import Open, java, spark

__all__ = ["java", "spark"]

STAGES = ("one", "two", "three")
Tables = dict[str, str]
Rows = list[tuple[Any, ...]]


class Asked(SqlDatasource):
    """A datasource that notes what counts."""

    statements: list[str] = []  # noqa: RUF012  # of the class: the instances have slots

    def stream(self, sql: str, size: int = 10_000) -> Iterator[list[Sequence[Any]]]:
        self.statements.append(sql)
        return super().stream(sql, size)

    def fetch(self, sql: str) -> list[Sequence[Any]]:
        if "WHERE 1 = 0" not in sql:  # which asks for a type
            self.statements.append(sql)
        return super().fetch(sql)


class Apart(SqlDatasource):
    """A datasource in which stages cannot be counted together."""

    def stream(self, sql: str, size: int = 10_000) -> Iterator[list[Sequence[Any]]]:
        if "dq_same" in sql:
            raise MeasureError("it is refused")
        return super().stream(sql, size)


@pytest.fixture(autouse=True)
def nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asked, "statements", [])
    monkeypatch.setattr("dq.sql.together.ASKED", ("spark", "duckdb"))  # Spark takes seconds for each of many answers


def test_a_duckdb_of_which_nobody_says_otherwise_is_asked_for_lines(
    lake: SqlDatasource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    declared = of_lake()
    assert one_statement(declared, CONTEXT, lambda _: "duckdb") is None
    assert one_statement(declared, CONTEXT, lambda _: "spark") is not None
    ledger_of(lake, declared)
    assert len(Asked.statements) == 4
    assert not [sql for sql in Asked.statements if "dq_same" in sql]


def test_where_a_mail_has_all_rows_they_all_come_back(lake: SqlDatasource, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = ledger_of(lake, of_lake(to=["mail"])).rest
    assert rest is not None
    assert rest.packed is not None
    assert sum(lines.count(b"\n") for lines in unpacked(rest.packed)) == rest.rows == 996
    assert (few := ledger_of(lake, of_lake()).rest) is not None
    assert (few.packed, few.rows, few.counts) == (None, rest.rows, rest.counts)
    monkeypatch.setattr("dq.ledger.MOST_PACKED", 500)
    assert ledger_of(lake, of_lake(to=["mail"])).rest == few
    assert len(Asked.statements) == 3


def filled(rng: random.Random, columns: tuple[str, ...], folder: Path) -> Tables:
    """Write nearly the same rows for each stage, as Parquet files; return their names."""
    folder.mkdir()
    as_number = rng.random() < 0.3
    names: list[Any] = [*range(-3, 40)] if as_number else [*NAMES, *ODD_NAMES[: 5 * (rng.random() < 0.2)]]
    names = [*rng.sample(names, rng.choice([4, len(names)])), None]
    big = rng.choice([[], [10**17 + 3, -(10**18) + 1]])  # the second has 18 digits
    rows: Rows = []
    for _ in range(rng.choice([40, 300])):
        org = [rng.choice(names) for _ in columns]
        amount = Decimal(rng.randrange(-300, 900)).scaleb(-rng.choice([0, 2]))
        rows.append((rng.choice(DAYS), *org, rng.choice([None, 0, 1, 2, 3, -1, *big]), amount))
    database = duckdb.connect()
    org_type = "BIGINT" if as_number else "VARCHAR"
    for table in (*STAGES, "lost"):
        share, many = rng.choice([0, 0, 0.02]), rng.random() > 0.04
        own = [row for row in rows if rng.random() >= share] if many else []
        own = [row for row in rows if rng.random() < 0.05] if table == "lost" else own
        spelled = ", ".join(f"{name} {org_type}" for name in columns)
        database.execute(f"CREATE TABLE {table} (day DATE, {spelled}, n BIGINT, amount DECIMAL(12, 2))")
        if own:
            marks = ", ".join([f"({', '.join('?' * len(own[0]))})"] * len(own))
            database.execute(f"INSERT INTO {table} VALUES {marks}", [value for row in own for value in row])
        database.execute(f"COPY {table} TO '{folder}/{table}.parquet'")
    return {table: f"{folder.name}/{table}.parquet" for table in (*STAGES, "lost")}


def declaration(rng: random.Random, columns: tuple[str, ...], tables: Tables) -> Reconciliation:
    measure = rng.choice(["count(*)", "sum(n)", "sum(n)", "sum(amount)", "max(n)", "count(distinct n)", "avg(n)"])
    at = {name: Table("lake", file, partition="day") for name, file in tables.items()}
    lost = Explained("lost", counted=Stage("lost", at["lost"], measure=measure))
    skipped = Explained("skipped", derived=("one", "two"), stages=("three",))
    some = tuple([rng.choice(NAMES)] * len(columns))
    return Reconciliation(
        "random",
        by=By(
            columns,
            rng.choice([None, [tuple([name] * len(columns)) for name in ("a", "1", "who", "\ud800")]]),
            min_rows=rng.choice([0, 0, 3]),
            owners={some: "ann"} if rng.random() < 0.3 else {},
        ),
        stages=[Stage(name, at[name], measure=measure, where=rng.choice([None, "n >= 0"])) for name in STAGES],
        explained=[one for one in (lost, skipped) if rng.random() < 0.4],
        notes={rng.choice(NAMES): "a word on it", "(empty)": "no name", f"(no {columns[0]})": "no org"},
        orgs={some: {"error": 5}} if rng.random() < 0.3 else {},
        **rng.choice([{}, {"warning": "10%", "error": "50%"}, {"error": ("20%", 3)}, {"warning": 2}]),
    )


def accepted(declared: Reconciliation, rng: random.Random) -> Acceptance:
    org = declared.by.group([rng.choice(NAMES)] * len(declared.by.columns))
    return Acceptance(
        id=1, reconciliation="random", org=org, stage="two", most=Most(Fraction(2)), reason="known", author="ann",
        created_at=NOW - timedelta(days=1), ends_at=NOW + timedelta(days=1), newest=DAY.start,
    )  # fmt: skip


def assert_equal(found: Ledger, oracle: Ledger) -> None:
    assert by_row(found) == by_row(oracle)
    assert found.results == oracle.results
    assert without_file(found) == without_file(oracle)


def without_file(ledger: Ledger) -> Ledger:
    """Return a ledger without what only comes back where a mail has it attached."""
    return ledger if ledger.rest is None else evolve(ledger, rest=evolve(ledger.rest, packed=None))


def compare(
    rng: random.Random, folder: Path, open_as: Callable[[type[SqlDatasource]], SqlDatasource]
) -> tuple[Ledger, int]:
    """Hold both ways against each other; return a ledger of all, and whether one statement gave it."""
    columns = rng.choice([("org",), ("org",), ("org", "part")])
    declared = declaration(rng, columns, filled(rng, columns, folder))
    interval = rng.choice([DAY, WEEK])
    context = Context(interval, NOW, by_day=interval is WEEK)
    keep = {declared.by.group([name] * len(columns)) for name in ("a", "10", None)}
    acceptances = [accepted(declared, rng)] if rng.random() < 0.3 else []
    one, apart = open_as(Asked), open_as(Apart)
    plain: Datasource = completed(Dictionary("lake", apart))
    made: list[Ledger] = []
    for most_rows in (50_000, rng.choice([0, 1, 5])):
        Asked.statements.clear()
        ledgers = [
            reconcile(declared, lambda _, source=source: source, context, "test", keep=keep, acceptances=acceptances,
                      most_rows=most_rows)
            for source in (one, apart, plain)
        ]  # fmt: skip
        assert_equal(ledgers[0], ledgers[1])
        assert_equal(ledgers[0], ledgers[2])
        made.append(ledgers[0])
    return made[0], len(Asked.statements) == 1


def to_open(folder: Path, opened: list[SqlDatasource]) -> Callable[[type[SqlDatasource]], SqlDatasource]:
    def open_as(kind: type[SqlDatasource]) -> SqlDatasource:
        opened.append(kind.of("lake", "duckdb://", timeout=timedelta(minutes=1), root=folder))
        return opened[-1]

    return open_as


def of_kind(kind: type[SqlDatasource], of: SqlDatasource) -> SqlDatasource:
    """Return the same Spark as a datasource of another class."""
    return kind(of.name, of.timeout, of.parallel, of._driver, of._secrets, of._may_write, of._pool)


@pytest.mark.soak
def test_what_is_compared_by_the_engine_is_what_is_compared_here(
    tmp_path: Path, histories: Callable[[int, int], Iterator[random.Random]]
) -> None:
    opened: list[SqlDatasource] = []
    ways = []
    for number, rng in enumerate(histories(25, 3_000)):
        ways.append(compare(rng, tmp_path / str(number), to_open(tmp_path, opened))[1])
        while opened:
            opened.pop().close()
    assert 0.5 < sum(ways) / len(ways) < 1


@pytest.mark.slow
@pytest.mark.soak
def test_spark_compares_as_duckdb_does(
    spark: Open, tmp_path: Path, histories: Callable[[int, int], Iterator[random.Random]]
) -> None:
    opened: list[SqlDatasource] = []
    ways = []
    for number, rng in enumerate(histories(3, 200)):
        state = rng.getstate()
        source = spark()

        def open_as(kind: type[SqlDatasource], of: SqlDatasource = source) -> SqlDatasource:
            return of_kind(kind, of)

        in_spark, is_one = compare(rng, tmp_path / f"spark{number}", open_as)
        rng.setstate(state)
        in_duckdb, _ = compare(rng, tmp_path / f"duckdb{number}", to_open(tmp_path, opened))
        assert_equal(in_spark, in_duckdb)
        ways.append(is_one)
        while opened:
            opened.pop().close()
    assert sum(ways) > len(ways) / 2


CONTEXT = Context(DAY, NOW)


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SqlDatasource]:
    """A DuckDB with three tables of 1,000 orgs, of which 6 and 7 differ, 8 has a loss, and 9 is at one stage only."""
    url = f"duckdb:///{tmp_path}/lake.duckdb"
    with duckdb.connect(f"{tmp_path}/lake.duckdb") as database:
        for table in STAGES:
            database.execute(
                f"CREATE TABLE {table} AS SELECT i AS org, i % 3 AS n, i / 2 AS f FROM range(1, 1001) t(i)"
            )
        database.execute("UPDATE two SET n = n + 1 WHERE org IN (6, 7)")
        database.execute("DELETE FROM three WHERE org = 9")
        database.execute("CREATE TABLE lost AS SELECT 8 AS org, 1 AS n, 1.0 AS f")
    made = Asked.of("lake", url, timeout=timedelta(minutes=1))
    yield made
    made.close()


def of_lake(**more: Any) -> Reconciliation:
    measure = more.pop("measure", "sum(n)")
    stages = [Stage(name, Table("lake", name), measure=measure, **more.pop(name, {})) for name in STAGES]
    lost = Explained(
        "lost", counted=Stage("lost", Table("lake", "lost"), measure="sum(n)"), sample=more.pop("sample", None)
    )
    return Reconciliation("lake", by=more.pop("by", "org"), stages=stages, explained=[lost], **more)


def ledger_of(source: SqlDatasource, declared: Reconciliation, most_rows: int | None = 10) -> Ledger:
    return reconcile(declared, lambda _: source, CONTEXT, "test", most_rows=most_rows)


def test_one_statement_is_sent_and_it_is_the_one_that_is_explained(lake: SqlDatasource) -> None:
    declared = of_lake(notes={"12": "a word"})
    ledger = ledger_of(lake, declared, 50_000)
    assert Asked.statements == [one_statement(declared, CONTEXT, lambda _: "duckdb")]
    assert (len(ledger.rows), ledger.rest) == (1_000, None)


def test_the_database_keeps_what_is_equal(lake: SqlDatasource) -> None:
    declared = of_lake(notes={"12": "a word"}, by=By("org", ["13", "5000"]))
    ledger = ledger_of(lake, declared)
    assert len(Asked.statements) == 1
    assert {row.org.values[0] for row in ledger.rows} == {"6", "7", "8", "9", "12"}
    assert ledger.rest is not None
    assert ledger.rest.rows == 995
    others = sum(n % 3 for n in range(1, 1_001) if n not in {6, 7, 8, 9, 12})
    assert ledger.rest.counts == dict.fromkeys(STAGES, others)
    named = {r.group.values[0]: r.sentence for r in ledger.results if r.group is not None and r.check == "two"}
    assert set(named) == {"6", "7", "8", "5000"}
    assert [r.orgs for r in ledger.results if r.group is None] == [1_001, 1_001]


def test_nothing_comes_back_where_all_are_equal(lake: SqlDatasource) -> None:
    declared = Reconciliation("lake", by="org", stages=[Stage(s, Table("lake", s), where="org > 9") for s in STAGES])
    ledger = ledger_of(lake, declared)
    assert len(Asked.statements) == 1
    assert [result.outcome for result in ledger.results] == [Outcome.PASS] * 2, "a stage is not empty because of that"
    assert (ledger.rows, ledger.rest and ledger.rest.rows) == ((), 991)


@pytest.mark.parametrize(
    ("more", "most_rows"),
    [
        ({"one": {"normalise": "strip"}}, 10),
        ({"two": {"mapping": {1: 2}}}, 10),
        ({"three": {"org": "6"}}, 10),
        ({"sample": "n"}, 10),
        ({"measure": "sum(f)"}, 10),
        ({"by": By("f")}, 10),
        ({"by": By("org", list(range(MOST_APART + 1)))}, 10),
        ({"by": By(("org", "n")), "levels": [Level("org")]}, 10),
        ({}, None),
    ],
)
def test_what_is_counted_each_for_itself(lake: SqlDatasource, more: dict[str, Any], most_rows: int | None) -> None:
    ledger_of(lake, of_lake(**more), most_rows)
    assert Asked.statements
    assert not [sql for sql in Asked.statements if "dq_same" in sql]


def test_stages_of_two_databases_are_counted_each_for_itself(lake: SqlDatasource) -> None:
    stages = [Stage("one", Table("lake", "one")), Stage("two", Table("sea", "two"))]
    ledger_of(lake, Reconciliation("lake", by="org", stages=stages))
    assert len([sql for sql in Asked.statements if "dq_line" in sql and "dq_same" not in sql]) == 2


def test_a_broken_stage_is_named_and_the_others_are_counted(lake: SqlDatasource) -> None:
    stages = [Stage(name, Table("lake", name)) for name in ("one", "two", "gone")]
    ledger = ledger_of(lake, Reconciliation("lake", by="org", stages=stages), 50_000)
    two, gone = ledger.results
    assert (two.outcome, two.orgs) == (Outcome.PASS, 1_000)
    assert gone.outcome == Outcome.UNMEASURED
    assert gone.sentence.startswith("could not be measured: gone could not be counted: datasource 'lake': ")
    assert {len(row.counts) for row in ledger.rows} == {3}


def test_numbers_that_cannot_be_added_up_there_are_added_up_here(tmp_path: Path) -> None:
    with duckdb.connect(f"{tmp_path}/big.duckdb") as database:
        for table in ("one", "two"):
            database.execute(
                f"CREATE TABLE {table} AS SELECT i AS org, (5{'0' * 37})::HUGEINT AS n FROM range(20) t(i)"
            )
    source = Asked.of("lake", f"duckdb:///{tmp_path}/big.duckdb", timeout=timedelta(minutes=1))
    stages = [Stage(name, Table("lake", name), measure="CAST(max(n) AS HUGEINT)") for name in ("one", "two")]
    ledger = ledger_of(source, Reconciliation("lake", by="org", stages=stages))
    source.close()
    assert len(Asked.statements) == 1
    assert ledger.rest is not None
    assert ledger.rest.counts == {"one": 10**39, "two": 10**39}


@pytest.mark.slow
def test_spark_reads_each_table_once(spark: Open, tmp_path: Path) -> None:
    for name in ("one", "two"):
        duckdb.sql(f"COPY (SELECT i AS org, i % 7 AS n FROM range(500) t(i)) TO '{tmp_path}/{name}.parquet'")
    source = of_kind(Asked, spark())
    at = {name: Table("lake", f"{name}.parquet") for name in ("one", "two")}
    stages = [Stage(name, table, measure="sum(n)") for name, table in at.items()]
    declared = Reconciliation("lake", by="org", stages=stages, notes={"12": "a word"})
    ledger = ledger_of(source, declared)
    (sql,) = Asked.statements
    assert [row.org.values for row in ledger.rows] == [("12",)]
    assert ledger.rest is not None
    assert ledger.rest.rows == 499
    frame = source._driver._session.sql(sql)  # type: ignore[attr-defined]  # of Spark
    frame.collect()
    plan = frame._jdf.queryExecution().executedPlan().toString().partition("Initial Plan")[0]
    assert (plan.count("FileScan"), plan.count("ReusedExchange")) == (2, 2)


@pytest.mark.slow
def test_a_broken_stage_in_spark_is_named(spark: Open, tmp_path: Path) -> None:
    duckdb.sql(f"COPY (SELECT i AS org FROM range(50) t(i)) TO '{tmp_path}/one.parquet'")
    tables = {"one": "one.parquet", "two": "one.parquet", "gone": "gone.parquet"}
    stages = [Stage(name, Table("lake", table)) for name, table in tables.items()]
    two, gone = ledger_of(spark(), Reconciliation("lake", by="org", stages=stages)).results
    assert (two.outcome, two.orgs) == (Outcome.PASS, 50)
    assert gone.sentence.startswith("could not be measured: gone could not be counted: datasource 'lake': ")
