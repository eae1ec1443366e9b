"""Suggest: the file loads, passes lint, holds on the data it was made from, breaks on worse data, holds no secret."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from dq import app
from dq.checks import Compare, Freshness, Matches, OneOf, Reference, Unique
from dq.cli.entry import cli
from dq.model.check import Suite
from dq.model.errors import DqError
from dq.model.interval import Interval
from dq.model.result import Run
from dq.model.severity import Outcome
from dq.suggest.catalogue import family_of
from dq.suggest.personal import is_personal
from tests.engines import Live, live

__all__ = ["live"]

DATA = Path(__file__).parent / "data"
NOW = "2026-11-21T06:00+00:00"
PEOPLE = ("ada", "grace", "edsger", "barbara", "alan")
ORDERS = {
    "order_id": "integer", "customer_id": "integer", "email": "text", "name": "text", "birth_date": "date",
    "state": "text", "amount": "double", "score": "integer", "reference": "text", "document": "text",
    "created_at": "timestamp", "paid_at": "timestamp", 'odd "name': "integer", "nothing": "integer",
}  # fmt: skip


@pytest.fixture
def root(make_project: Callable[..., Path], live: Live, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose only datasource is the engine."""
    monkeypatch.setenv("SHOP_URL", live.url)
    monkeypatch.setenv("DQ_NOW", NOW)
    return make_project('[datasources.shop]\nurl = "env:SHOP_URL"\n')


def orders(count: int = 400) -> list[tuple[object, ...]]:
    random_ = random.Random(7)
    rows: list[tuple[object, ...]] = []
    for i in range(count):
        at = datetime(2026, 11, 21) - timedelta(minutes=13 * i + 5)  # noqa: DTZ001  # columns without a zone, in UTC
        who = PEOPLE[i % len(PEOPLE)]
        rows.append((
            i + 1, i % 5 + 1, f"{who}{i}@example.org", who, f"19{50 + i % 49}-04-0{1 + i % 9}",
            ("open", "paid", "sent")[i % 3], None if i % 40 == 0 else round(random_.uniform(1, 99), 2), i % 97,
            str(uuid.UUID(int=i * 7919 + 1)), '{"a": [1]}', at,
            None if i % 4 == 0 else at + timedelta(hours=i % 5), i, None,
        ))  # fmt: skip
    return rows


def load(live: Live, rows: list[tuple[object, ...]]) -> None:
    def plain(value: object) -> object:
        return value.isoformat(" ") if isinstance(value, datetime) else value

    live.load("customers", {"id": "integer"}, [(i,) for i in range(1, 6)])
    live.load("orders", ORDERS, [tuple(map(plain, row)) for row in rows])


def suggested(root: Path, table: str = "orders", **options: object) -> tuple[Suite, str]:
    """Write a file of checks, load it as any other, and return its suite and text."""
    made = app.suggest(app.open_project(root), table, **options)  # type: ignore[arg-type]  # as the command gives them
    path = root / "checks" / f"{made.suite}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(made.text, encoding="utf-8")
    project = app.open_project(root)
    assert project.failures == ()
    assert [p.sentence for p in app.lint(project) if "has no partition=" not in p.sentence] == []
    assert max(map(len, made.text.splitlines())) <= 120
    suite = project.find(made.suite)
    assert isinstance(suite, Suite) and len(suite.checks) == made.checks
    return suite, made.text


def run(root: Path, name: str, day: str = "2026-11-20") -> Run:
    return app.run(app.open_project(root), name, Interval.of_day(day), store=False, alert=False)


def holds(root: Path, name: str, day: str = "2026-11-20") -> None:
    bad = [r for r in run(root, name, day).results if r.outcome is not Outcome.PASS]
    assert bad == []


def test_what_is_suggested_holds_and_says_something(root: Path, live: Live) -> None:
    load(live, orders())
    suite, text = suggested(root)
    holds(root, "orders")
    kinds = {check.name: check.kind for check in suite.checks}
    assert Unique("order_id") in kinds.values()
    assert OneOf("state", ("open", "paid", "sent")) in kinds.values()
    assert Compare("created_at", "<=", "paid_at") in kinds.values()
    assert Compare("paid_at", "<=", "created_at") not in kinds.values()
    assert Freshness("created_at") in kinds.values()
    assert isinstance(kinds["email is an e-mail address"], Matches)
    assert isinstance(kinds["reference is a UUID"], Matches)
    assert {"document is JSON", "score is plausible", "amount is there"} <= set(kinds)
    assert 'Check("amount is there", NotNull("amount"), warning="5%")' in text, "2.5% of them are NULL"
    assert "# nothing: " in text and "always NULL" in text
    assert "nothing is there" not in kinds


def test_nothing_personal_is_written(root: Path, live: Live) -> None:
    load(live, orders())
    suite, text = suggested(root)
    assert suite.table.tags == dict.fromkeys(("email", "name", "birth_date"), "personal"), "failing rows hide them"
    for person in PEOPLE:
        assert person not in text
    assert "example.org" not in text.replace("https://wiki.example.org", "")
    assert "-04-0" not in text
    assert text.count("looks like personal data") == 3


@pytest.mark.slow
def test_what_is_suggested_finds_what_gets_worse(root: Path, live: Live) -> None:
    rows = orders()
    load(live, rows)
    suggested(root)
    first = rows[0]
    worse = [
        *rows,
        (*first[:5], "lost", 1e6, -5000, *first[8:]),  # the key of another row, an unknown state, odd numbers
        *[
            (*r[:2], "no address", *r[3:6], None, *r[7:10], r[10], r[10] - timedelta(days=9), *r[12:])
            for r in rows[:50]
        ],  # type: ignore[operator]  # a time
    ]
    load(live, worse)
    bad = {r.check for r in run(root, "orders").results if r.outcome is Outcome.FAIL}
    assert {
        "order_id is unique", "state is known", "amount is plausible", "score is plausible", "amount is there",
        "email is an e-mail address", "created_at is not after paid_at",
    } <= bad  # fmt: skip
    load(live, rows[:100])
    assert "enough rows" in {r.check for r in run(root, "orders").results if r.outcome is Outcome.FAIL}


def test_one_partition(root: Path, live: Live) -> None:
    load(live, orders())
    suite, text = suggested(root, partition="created_at")
    assert suite.table.partition == "created_at"
    assert "rows of" not in text
    holds(root, "orders", "2026-11-20")
    assert 100 < int(run(root, "orders").results[0].rows or 0) < 120, "one day: a row each 13 minutes"


@pytest.mark.slow
def test_a_sample_is_measured_on_all_rows(root: Path, live: Live) -> None:
    rows = orders(3000)
    # Only one row of all is wrong: a sample hardly sees it, and no suggestion may say that there is none.
    rows[17] = (*rows[17][:5], "odd", *rows[17][6:])
    load(live, rows)
    suite, text = suggested(root, sample=Fraction(1, 10))
    holds(root, "orders")
    assert "a sample of 10%" in text
    assert Unique("order_id") in [check.kind for check in suite.checks]


@pytest.mark.slow
def test_real_data(root: Path, live: Live) -> None:
    """The last days of the regional counts of a public health authority; see tests/data/README.md."""
    source = f"'{DATA}/stage_region.parquet' WHERE report_date >= DATE '2024-11-01'"
    relation = duckdb.sql(f"SELECT * REPLACE (CAST(report_date AS VARCHAR) AS report_date) FROM {source}")
    kinds = {
        name: {"VARCHAR": "text"}.get(str(kind), "integer")
        for name, kind in zip(relation.columns, relation.types, strict=True)
    }
    rows = relation.fetchall()
    assert len(rows) > 1000
    live.load("region_daily", kinds | {"report_date": "date"}, rows)
    suite, _ = suggested(root, "region_daily")
    holds(root, "region_daily")
    assert any(isinstance(c.kind, Unique) and len(c.kind.columns) == 2 for c in suite.checks), "a day and a region"
    assert len(suite.checks) > 20
    again, _ = suggested(root, "region_daily", partition="report_date", day=datetime(2024, 12, 24).date())  # noqa: DTZ001  # a day
    assert again.name == "region_daily_1", "its name is taken"
    holds(root, again.name, "2024-12-24")


def test_foreign_keys(root: Path, live: Live) -> None:
    live.load("extra", {"id": "integer"}, [])  # DuckDB and SQLite have a file only now
    live.run(
        "CREATE TABLE groups_ (id integer, part integer, PRIMARY KEY (id, part))",
        "CREATE TABLE items (item integer PRIMARY KEY, g integer, p integer,"
        " FOREIGN KEY (g, p) REFERENCES groups_ (id, part))",
        "INSERT INTO groups_ VALUES (1, 1), (1, 2)",
        "INSERT INTO items VALUES (1, 1, 1), (2, 1, 2), (3, 1, 2)",
    )
    suite, _ = suggested(root, "items")
    holds(root, "items")
    (reference,) = (c.kind for c in suite.checks if isinstance(c.kind, Reference))
    assert (reference.columns, reference.other.name, reference.other_columns) == (("g", "p"), "groups_", ("id", "part"))
    assert Unique("item") in [check.kind for check in suite.checks]
    both, _ = suggested(root, "groups_")
    assert Unique("id", "part") in [check.kind for check in both.checks]


def test_an_empty_or_missing_table_is_one_sentence(root: Path, live: Live) -> None:
    load(live, [])
    project = app.open_project(root)
    for table, options, words in (
        ("orders", {}, "table orders has no rows, so nothing can be learned"),
        ("orders", {"where": "order_id < 0"}, "has no rows that were chosen"),
        ("nowhere", {}, "nowhere"),
        ("orders", {"datasource": "shoop"}, "did you mean 'shop'?"),
        ("orders", {"where": "1 = 1; DROP TABLE orders"}, "more than one statement"),
        ("orders", {"partition": "created_at"}, "has no day that is over"),
    ):
        with pytest.raises(DqError, match=words.replace("?", r"\?")) as refused:
            app.suggest(project, table, **options)  # type: ignore[arg-type]  # as above
        assert "\n" not in str(refused.value)


# -------------------------------------------------------------------------------------------------------------- pure


@pytest.mark.parametrize(
    ("spelled", "family"),
    [
        ("INTEGER", "integer"), ("bigint(20) unsigned", "integer"), ("int8", "integer"), ("NUMBER(38,0)", "integer"),
        ("numeric(10,2)", "number"), ("DECIMAL(18, 3)", "number"), ("double precision", "number"), ("REAL", "number"),
        ("tinyint(1)", "boolean"), ("BOOLEAN", "boolean"), ("character varying(20)", "text"), ("NVARCHAR(20)", "text"),
        ("String", "text"), ("timestamp with time zone", "time"), ("datetime(6)", "time"), ("TIMESTAMP_NTZ(9)", "time"),
        ("date", "date"), ("time without time zone", "other"), ("INTEGER[]", "other"), ("jsonb", "other"),
        ("interval", "other"), ("uuid", "uuid"), ("", "text"), ("enum('a','b')", "text"),
    ],
)  # fmt: skip
def test_families_of_types(spelled: str, family: str) -> None:
    assert family_of(spelled) == family


@pytest.mark.parametrize(
    ("name", "personal"),
    [
        ("email", True), ("customerEmail", True), ("E_MAIL", True), ("first_name", True), ("name", True), ("dob", True),
        ("phone_number", True), ("ip", True), ("client_name", True), ("birthDate", True), ("iban", True), ("zip", True),
        ("region_name", False), ("product_name", False), ("amount", False), ("page", False), ("shipped_at", False),
        ("package", False), ("state", False), ("manager_id", False), ("storage", False), ("tel_ok", True),
    ],
)  # fmt: skip
def test_personal_names(name: str, personal: bool) -> None:
    assert is_personal(name, {}) is personal


def test_personal_values() -> None:
    assert is_personal("field_7", {"an e-mail address": 0.4})
    assert is_personal("field_7", {"a telephone number": 1.0})
    assert not is_personal("field_7", {"a telephone number": 1.0, "an ISO date": 1.0})
    assert not is_personal("field_7", {"a UUID": 1.0, "a number": 1.0})


# -------------------------------------------------------------------------------------------------------- the command


def test_the_command_never_overwrites(
    tmp_path: Path, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(f'[datasources.lake]\nurl = "duckdb:///{tmp_path}/lake.duckdb"\n')
    with duckdb.connect(str(tmp_path / "lake.duckdb")) as lake:
        lake.execute("CREATE TABLE visits AS SELECT range AS id, 'web' AS channel FROM range(100)")
    monkeypatch.chdir(root)
    done = CliRunner().invoke(cli, ["suggest", "visits", "--output", "checks/visits.py"], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    assert "checks/visits.py: suite visits with 5 checks from 100 rows" in done.stderr
    text = (root / "checks/visits.py").read_text()
    (root / "checks/visits.py").write_text("MINE = 1\n")
    kept = CliRunner().invoke(cli, ["suggest", "visits", "--output", "checks/visits.py"])
    assert kept.exit_code == 2 and "--force" in kept.stderr
    assert (root / "checks/visits.py").read_text() == "MINE = 1\n"
    for _ in range(2):  # the second time the suite is there, and keeps its name
        forced = CliRunner().invoke(cli, ["suggest", "visits", "--output", "checks/visits.py", "--force"])
        assert forced.exit_code == 0
        assert (root / "checks/visits.py").read_text() == text
    assert CliRunner().invoke(cli, ["suggest", "visits"]).stdout.replace("visits_1", "visits") == text
    for wrong in (["--date", "2026-11-20"], ["--sample", "2"], ["--sample", "x"]):
        assert CliRunner().invoke(cli, ["suggest", "visits", *wrong]).exit_code == 2
