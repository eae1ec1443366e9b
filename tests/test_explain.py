"""Explain: what it shows is what a run sends; engines that are not at hand; estimates of the live ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from click.testing import CliRunner

from dq import app
from dq.app.session import context_of, open_datasource
from dq.checks.plan import plan
from dq.cli.entry import cli
from dq.datasource import Datasource
from dq.datasource.columns import columns_sql
from dq.datasource.estimate import estimate
from dq.execute import Memory, execute
from dq.model.check import Suite
from dq.model.errors import DqError
from dq.model.interval import Interval
from dq.project import Project
from tests.engines import Live, live

__all__ = ["live"]

DAY = Interval.of_day("2026-11-20")
SUITE = """
from dq import *

customers, archive = Table("shop", "customers"), Table("other", "archive", where="id > 0")
orders = Suite(
    "orders",
    Table("shop", "orders", partition="created_at", key="id"),
    owner="sales", runbook="https://wiki.example.org/orders", tags=["money"], notify={"critical": ["pager"]},
    for_runs=2, upstream=["raw", "events"],
    checks=[
        Check("amount", Rows("amount > 0"), warning="1%", critical="50%", tags=["vat"]),
        Check("key", Unique("id"), where="amount > -5", for_runs="2 of 3"),
        Check("state", OneOf("state", ["open", "paid"]), nulls="skip", owner="ops"),
        Check("rows", RowCount(), critical=at_least(1)),
        Check("different", DistinctCount("state"), critical=at_least(1)),
        Check("middle", Median("amount"), critical=at_most(1000)),
        Check("fresh", Freshness("created_at"), critical=at_most("9999d")),
        Check("customer", Reference("customer_id", customers, "id")),
        Check("archived", NotIn("id", archive)),
        Check("as many", Ratio(customers), critical=at_most(99)),
        Check("query", Query("SELECT id FROM orders WHERE amount < 0")),
        Check("rising", Increasing("amount", by="id")),
        Check("sampled", OneOf("state", ["open"]), warning="80%", sample="50%", confidence=0.9, show=ShowRows(most=0)),
        Check("columns", Schema(["nope"], extra="allowed")),
        Check("column count", ColumnCount(customers), critical=at_least(0)),
        Check("gaps", Gaps("created_at", "6h")),
        Check("change", Change(RowCount()), critical=at_least(-50)),
        Check("shape", Distribution("amount", reference={"edges": [1], "counts": [1, 1]}), critical=at_most(99)),
        Check("recorded shape", Distribution("amount"), critical=at_most(99)),
        Check("per org", NotNull("state"), by=By("org", expected="seen:7d")),
    ],
)
"""
TOML = """
[datasources.shop]
url = "env:SHOP_URL"
[datasources.other]
url = "sqlite:///var/other.sqlite"
"""


@pytest.fixture
def project(make_project: Callable[..., Path], live: Live, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The suite on each engine, with an archive in a SQLite file."""
    monkeypatch.setenv("SHOP_URL", live.url)
    root = make_project(TOML, {"checks/orders.py": SUITE})
    (root / "var").mkdir()
    Live("sqlite", f"sqlite:///{root}/var/other.sqlite").load("archive", {"id": "integer"}, [(2,)])
    return app.open_project(root)


def fill(live: Live, rows: Sequence[tuple[Any, ...]]) -> None:
    columns = {"id": "integer", "created_at": "timestamp", "amount": "integer", "state": "text"}
    more = {"customer_id": "integer", "org": "integer"}
    live.load("orders", {**columns, **more}, [(i, "2026-11-20 12:00:00", a, s, c, 1) for i, a, s, c in rows])
    live.load("customers", {"id": "integer"}, [(1,)])


@frozen
class Recorded:
    """A real datasource, and what it is asked."""

    source: Datasource
    asked: list[str] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)

    def fetch(self, sql: str) -> list[Sequence[Any]]:
        self.asked.append(sql)
        return self.source.fetch(sql)

    def columns(self, table: Sequence[str]) -> Any:
        self.asked.append(columns_sql(self.source.dialect, table))
        return self.source.columns(table)

    def stream(self, sql: str) -> Any:
        self.asked.append(sql)
        return self.source.stream(sql)


def sent(project: Project) -> set[str]:
    """Return what a run of the suite sends."""
    opened = {name: Recorded(open_datasource(project, name)) for name in ("shop", "other")}
    suite = project.find("orders")
    assert isinstance(suite, Suite)
    for wanted in plan(suite):
        context = context_of(project, DAY, app.judgement_time())
        for result in execute(wanted, suite.table, suite.by_of, opened.__getitem__, context, memory=Memory()):  # type: ignore[arg-type]  # what it records is all it adds
            assert result.outcome != "unmeasured", result
    for one in opened.values():
        one.close()
    return {sql for one in opened.values() for sql in one.asked}


def explained(project: Project, *, late: bool) -> set[str]:
    return {s.sql for s in app.explain(project, "orders", DAY) if late or not s.only_if}


def test_what_is_explained_is_what_a_run_sends(project: Project, live: Live) -> None:
    fill(live, [(1, 5, "open", 1), (1, -1, None, 2), (2, 3, "odd", 1), (3, -2, "odd", 7)])
    of_orgs = re.compile(r" AND \(\(\S+ = [^()]*\)( OR \(\S+ = [^()]*\))*\)")  # who fails is known by a run only
    assert {of_orgs.sub("", sql) for sql in sent(project)} == explained(project, late=True)


def test_what_is_late_is_not_sent_where_nothing_is_found(project: Project, live: Live) -> None:
    fill(live, [(1, 5, "open", 1), (3, 6, "paid", 1)])
    always, everything = explained(project, late=False), explained(project, late=True)
    assert sent(project) == always
    assert len(everything) > len(always)


def test_the_statements_of_failing_rows_list_their_keys(project: Project, live: Live) -> None:
    fill(live, [(1, 5, "open", 1), (1, -1, None, 2), (7, 3, "odd", 1)])
    listed = {s.checks[0]: s.sql for s in app.explain(project, "orders", DAY) if s.only_if == "only if it fails"}
    source = live.datasource()
    found = {name: sorted(row[-1] for row in source.fetch(sql)) for name, sql in listed.items()}
    assert found == {
        "amount": [1],
        "key": [1, 1],
        "state": [7],
        "customer": [1],
        "query": [1],
        "rising": sorted(found["rising"]),  # two rows are first: which, only the engine knows
        "per org": [1],
    }


def test_each_statement_is_estimated(project: Project, live: Live) -> None:
    fill(live, [(i, 5, "open", 1) for i in range(2000)])
    if live.name in {"postgres", "mariadb"}:
        live.run("ANALYZE orders" if live.name == "postgres" else "ANALYZE TABLE orders")
    statements = app.explain(project, "orders", DAY, estimated=True)
    amount = next(s for s in statements if "amount" in s.checks and not s.only_if)
    if live.name == "sqlite":
        assert amount.estimate is None
        return
    assert all(s.estimate for s in statements if s.datasource == "shop")
    assert amount.estimate is not None and amount.estimate.unit == "rows"
    if live.name == "duckdb":
        assert amount.estimate.amount < 2000, "counts that its statistics answer read nothing"
        amount = next(s for s in statements if "QUANTILE" in s.sql)
        assert amount.estimate is not None
    assert 400 <= amount.estimate.amount <= 4000, "the rows of the table, as far as statistics know"


def test_a_statement_that_cannot_be_planned_is_one_sentence(live: Live) -> None:
    if live.name == "sqlite":
        assert estimate(live.datasource(), "SELECT nope FROM nowhere") is None
        return
    live.load("somewhere", {"id": "integer"}, [])
    with pytest.raises(DqError, match="nowhere") as refused:
        estimate(live.datasource(), "SELECT nope FROM nowhere")
    assert "\n" not in str(refused.value)


# ------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def away(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite, whose datasource has a secret that is not there."""
    monkeypatch.delenv("SHOP_URL", raising=False)
    return make_project(TOML, {"checks/orders.py": SUITE})


def dq(*args: object) -> tuple[int, str, str]:
    try:
        done = CliRunner().invoke(cli, [str(a) for a in args], catch_exceptions=False)
    except DqError as error:  # dq.cli.main makes one line of it
        return error.exit_code, "", str(error)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("bigquery", "`orders`"),
        ("snowflake", "FROM orders"),
        ("mssql", "SELECT TOP 5 [id]"),
        ("oracle", "FETCH FIRST 5 ROWS ONLY"),
        ("redshift", '"orders"'),
        ("trino", '"orders"'),
        ("databricks", "`orders`"),
    ],
)
def test_an_engine_that_is_not_at_hand_needs_no_secret(away: Path, dialect: str, words: str) -> None:
    code, text, _ = dq("explain", "orders", "--project", away, "--dialect", dialect)
    assert code == 0, text
    assert words in text
    assert f"-- shop ({dialect}), scan; for: " in text
    assert "keys of archive; for: archived" in text.replace("; only if it finds something", "")
    without, _, said = dq("explain", "orders", "--project", away)
    assert without == 2
    assert "SHOP_URL" in said


def test_an_unknown_dialect_is_one_sentence(away: Path) -> None:
    code, _, said = dq("explain", "orders", "--project", away, "--dialect", "postgers")
    assert code == 2
    assert "there is no SQL dialect 'postgers'" in said and "postgresql" in said


def test_labels_and_defaults_in_force_say_whose_they_are(away: Path) -> None:
    _, text, _ = dq("explain", "orders", "--project", away, "--dialect", "duckdb")
    lines = {line.split(":")[0].removeprefix("--   "): line for line in text.splitlines() if line.startswith("--   ")}
    assert lines["every check that does not say otherwise"].endswith(
        ": owner sales; runbook https://wiki.example.org/orders; tags money; from critical tells pager; "
        "told once it was bad in 2 runs"
    )
    assert lines["upstream, which must be well"].endswith(": raw, events")
    assert lines["key"].endswith("; told once it was bad in 2 of 3 runs")
    assert lines["amount"].endswith(
        "warning 1%, critical 50%; no data: critical; not measured: critical; a NULL fails; tags vat"
    )
    assert lines["state"].endswith("; NULLs are not looked at; owner ops")
    assert "; by org (expected: seen:7d)" in lines["per org"]
    assert "; a sample of 50% of the rows; a share is exceeded when that is 90% certain" in lines["sampled"]
    assert "; where amount > -5; no row left: passes" in lines["key"]


def test_a_broken_connection_shows_no_secret(away: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_URL", "postgresql://reader:s3cret@127.0.0.1:1/shop")
    assert "s3cret" not in "".join(map(str, dq("explain", "orders", "--project", away)))
    code, text, said = dq("explain", "orders", "--project", away, "--estimate")
    assert code == 3
    assert re.search("refused|could not", said)
    assert "s3cret" not in text + said
    assert dq("explain", "orders", "--project", away, "--estimate", "--dialect", "duckdb")[0] == 2
