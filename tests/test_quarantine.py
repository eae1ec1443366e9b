"""Quarantine: the rows that break a check, copied where that is allowed, and nowhere else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text

from dq import Check, NotNull, Suite, Table, app
from dq.datasource import SqlDatasource
from dq.model.errors import DeclarationError
from dq.model.interval import Interval
from dq.model.severity import Outcome
from tests.engines import Live, live
from tests.servers import open_engine

__all__ = ["live"]

DAYS = [Interval.of_day(f"2024-06-{day}") for day in (25, 26)]
COLUMNS = {"order id": "integer", "day": "date", "amount": "double"}
CHECKS = """
from dq import By, Check, NotNull, Rows, Suite, Table, Unique
orders = Suite("orders", Table("live", "the orders", partition="day", key="order id"), checks=[
    Check("positive", Rows("amount > 0"), nulls="pass", quarantine="bad orders"),
    Check("unique", Unique("order id"), quarantine="bad orders"),
    Check("not copied", NotNull("amount")),
])
"""
TOML = """
environment = "test"
[datasources.live]
url = "env:LIVE_URL"
write = {write}
"""


@pytest.fixture
def project(
    live: Live, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    monkeypatch.setenv("LIVE_URL", live.url)
    rows = [(1, -5.0), (2, None), (3, 7.0), (3, 8.0)]
    live.load("the orders", COLUMNS, [(key, str(day), amount) for day in DAYS for key, amount in rows])

    def make(write: str, checks: str = CHECKS) -> Path:
        return make_project(TOML.format(write=write), {"checks/orders.py": checks})

    return make


def rows(live: Live, sql: str) -> list[tuple[object, ...]]:
    engine = open_engine(live.url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql.replace('"', live.quote("x")[0])))]
    finally:
        engine.dispose()


COPIED = 'SELECT dq_check, "order id", amount FROM "bad orders" ORDER BY dq_from, dq_check, amount'


def test_failing_rows_are_copied_once_and_mended_ones_are_gone(live: Live, project: Callable[..., Path]) -> None:
    root = project("true")
    for _ in range(2):
        for day in DAYS:
            run = app.run(app.open_project(root), "orders", day)
            assert not any("not copied to" in result.sentence for result in run.results), run.results
    assert rows(live, COPIED) == [("positive", 1, -5.0), ("unique", 3, 7.0), ("unique", 3, 8.0)] * 2
    live.load("the orders", COLUMNS, [(9, str(day), 1.0) for day in DAYS])
    app.run(app.open_project(root), "orders", DAYS[1])
    assert len(rows(live, COPIED)) == 3, "the older day is not touched"
    (suite, start, end) = rows(live, 'SELECT DISTINCT dq_suite, dq_from, dq_to FROM "bad orders"')[0]
    assert (suite, str(start)[:10], str(end)[:10]) == ("orders", "2024-06-25", "2024-06-26")


def test_nothing_is_written_where_it_is_not_allowed(live: Live, project: Callable[..., Path]) -> None:
    run = app.run(app.open_project(project("false")), "orders", DAYS[1])
    said = {result.check: result.sentence for result in run.results}
    assert "not copied to bad orders" in said["positive"] and "write = true" in said["positive"]
    assert "not copied" not in said["not copied"].partition(":")[2]
    with pytest.raises(Exception, match=r"(?i)exist|no such table"):
        rows(live, COPIED)


def test_a_try_without_a_store_writes_nothing(live: Live, project: Callable[..., Path]) -> None:
    app.run(app.open_project(project("true")), "orders", DAYS[1], store=False)
    with pytest.raises(Exception, match=r"(?i)exist|no such table"):
        rows(live, COPIED)


def test_what_could_not_be_measured_leaves_what_is_there(live: Live, project: Callable[..., Path]) -> None:
    root = project("true")
    app.run(app.open_project(root), "orders", DAYS[1])
    before = [row for row in rows(live, COPIED) if row[0] == "positive"]
    live.load("the orders", {"order id": "integer", "day": "date"}, [(9, str(DAYS[1]))])
    run = app.run(app.open_project(root), "orders", DAYS[1])
    assert next(r for r in run.results if r.check == "positive").outcome is Outcome.UNMEASURED
    assert [row for row in rows(live, COPIED) if row[0] == "positive"] == before == [("positive", 1, -5.0)]


def test_where_nothing_fails_no_table_is_made(live: Live, project: Callable[..., Path]) -> None:
    live.load("the orders", COLUMNS, [(9, str(day), 1.0) for day in DAYS])
    app.run(app.open_project(project("true")), "orders", DAYS[1])
    assert "bad orders" not in tables(live)


def test_failing_orgs_are_copied_where_an_absent_one_is_worse(live: Live, project: Callable[..., Path]) -> None:
    by = 'warning=0, on_empty="critical", by=By("order id", expected=[1, 77]), quarantine'
    app.run(app.open_project(project("true", CHECKS.replace("quarantine", by, 1))), "orders", DAYS[1])
    assert ("positive", 1, -5.0) in rows(live, COPIED)


def test_of_a_whole_table_the_newest_run_is_kept(live: Live, project: Callable[..., Path]) -> None:
    root = project("true", CHECKS.replace('partition="day", ', ""))
    for day in DAYS:
        app.run(app.open_project(root), "orders", day)
    assert [row[:2] for row in rows(live, COPIED)].count(("positive", 1)) == 2, "a row per day, and not per run, too"


def test_nothing_else_is_written(live: Live, project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    live.load("bystander", {"dq_suite": "text", "dq_check": "text"}, [("orders", "positive")])
    written: list[str] = []
    write = SqlDatasource.write

    def recorded(self: SqlDatasource, *statements: str) -> None:
        written.extend(statements)
        write(self, *statements)

    monkeypatch.setattr(SqlDatasource, "write", recorded)
    before = tables(live)
    root = project("true")
    for day in (*DAYS, DAYS[1]):
        app.run(app.open_project(root), "orders", day)
    after = tables(live)
    assert len(after.pop("bad orders")) == 6
    assert after == before
    mine = re.compile(r"""(CREATE TABLE|DELETE FROM|INSERT INTO) ["`]bad orders["`] """)
    assert len(written) > 6 and all(mine.match(sql) for sql in written), written


def test_the_rows_do_not_pass_the_client(
    live: Live, project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    day = str(DAYS[1])
    live.load("the orders", COLUMNS, [(i, day, -1.0) for i in range(3000)])
    fetched: list[int] = []
    fetch = SqlDatasource.fetch

    def counted(self: SqlDatasource, sql: str) -> list[Any]:
        found = fetch(self, sql)
        fetched.append(len(found))
        return found

    def refused(*_: object) -> None:
        raise AssertionError("nothing is streamed")

    monkeypatch.setattr(SqlDatasource, "fetch", counted)
    monkeypatch.setattr(SqlDatasource, "stream", refused)
    app.run(app.open_project(project("true")), "orders", DAYS[1])
    assert rows(live, 'SELECT COUNT(*) FROM "bad orders"') == [(3000,)]
    assert sum(fetched) < 50, fetched


def test_where_the_user_may_not_write_it_is_told(
    live: Live, project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if live.name not in ("postgres", "mariadb"):
        pytest.skip("it has no users")
    database = live.url.rsplit("/", 1)[1]
    if live.name == "postgres":
        grant = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
        live.run("DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN", grant)
    else:
        server = request.getfixturevalue("mariadb_server")
        server.run("CREATE OR REPLACE USER reader@'%'")
        server.run(f"GRANT SELECT ON {database}.* TO reader@'%'")
    monkeypatch.setenv("LIVE_URL", re.sub(r"//[^@]+@", "//reader@", live.url))
    run = app.run(app.open_project(project("true")), "orders", DAYS[1])
    positive = next(result for result in run.results if result.check == "positive")
    assert (positive.outcome, positive.violations) == (Outcome.FAIL, 1)
    assert re.search(r"not copied to bad orders: datasource 'live': .*(denied|permission)", positive.sentence)
    assert "bad orders" not in tables(live)


def test_what_the_table_refuses_is_told_without_the_row(live: Live, project: Callable[..., Path]) -> None:
    root = project("true", CHECKS.replace('Unique("order id"), quarantine', "NotNull('order id'), quarantine"))
    app.run(app.open_project(root), "orders", DAYS[1])
    column = live.quote("order id")
    live.run(f"CREATE UNIQUE INDEX once ON {live.quote('bad orders')} ({column})")
    live.load("the orders", COLUMNS, [(431_976, str(DAYS[1]), -1.0)] * 2)
    run = app.run(app.open_project(root), "orders", DAYS[1])
    positive = next(result for result in run.results if result.check == "positive")
    assert positive.violations == 2
    assert "not copied to bad orders" in positive.sentence and "431976" not in positive.sentence
    assert rows(live, COPIED) == [("positive", 1, -5.0)], "what was there is there again"


def test_a_process_that_is_killed_leaves_what_was_there(live: Live, project: Callable[..., Path]) -> None:
    if live.name not in ("postgres", "mariadb"):
        pytest.skip("no statement of it can be held from outside")
    root, day, bad = project("true"), str(DAYS[1]), live.quote("bad orders")
    app.run(app.open_project(root), "orders", DAYS[1])
    before = rows(live, COPIED)
    live.load("the orders", COLUMNS, [(55, day, -9.0)])
    if live.name == "postgres":
        sleeper = "BEGIN PERFORM pg_sleep(60); RETURN NEW; END"
        live.run(
            f"CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ {sleeper} $$",
            f"CREATE TRIGGER slow BEFORE INSERT ON {bad} FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        running = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'INSERT INTO \"bad orders%'"
    else:
        live.run(f"CREATE TRIGGER slow BEFORE INSERT ON {bad} FOR EACH ROW DO SLEEP(60)")
        running = "SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"
    command = [sys.executable, "-m", "dq.cli", "run", "orders", "--date", day]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while not (found := rows(live, running)):
            assert process.poll() is None and time.monotonic() < end, "the copy has not begun"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    number = found[0][0]
    rows(live, f"SELECT pg_terminate_backend({number})") if live.name == "postgres" else live.run(f"KILL {number}")
    assert rows(live, COPIED) == before
    live.run(f"DROP TRIGGER slow{f' ON {bad}' if live.name == 'postgres' else ''}")
    app.run(app.open_project(root), "orders", DAYS[1])
    assert rows(live, COPIED) == [("positive", 55, -9.0)]


def test_the_checked_table_is_no_quarantine() -> None:
    with pytest.raises(DeclarationError, match="quarantine='Orders' is the checked table itself"):
        Suite("s", Table("live", "orders"), checks=[Check("c", NotNull("a"), quarantine="Orders")])


def tables(live: Live) -> dict[str, list[tuple[object, ...]]]:
    """Return what every table holds."""
    engine = open_engine(live.url)
    try:
        names = inspect(engine).get_table_names() if live.name != "duckdb" else None
    finally:
        engine.dispose()
    if names is None:
        names = [str(row[0]) for row in rows(live, "SELECT table_name FROM duckdb_tables()")]
    return {name: sorted(rows(live, f'SELECT * FROM "{name}"'), key=str) for name in names}
