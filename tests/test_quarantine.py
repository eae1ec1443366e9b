"""Quarantine: the rows that break a check, copied where that is allowed, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from dq import app
from dq.model.interval import Interval
from tests.engines import Live, live

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
) -> Callable[[str], Path]:
    monkeypatch.setenv("LIVE_URL", live.url)
    rows = [(1, -5.0), (2, None), (3, 7.0), (3, 8.0)]
    live.load("the orders", COLUMNS, [(key, str(day), amount) for day in DAYS for key, amount in rows])

    def make(write: str) -> Path:
        return make_project(TOML.format(write=write), {"checks/orders.py": CHECKS})

    return make


def rows(live: Live, sql: str) -> list[tuple[object, ...]]:
    engine = create_engine(live.url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(sql.replace('"', live.quote("x")[0])))]
    finally:
        engine.dispose()


COPIED = 'SELECT dq_check, "order id", amount FROM "bad orders" ORDER BY dq_from, dq_check, amount'


def test_failing_rows_are_copied_once_and_mended_ones_are_gone(live: Live, project: Callable[[str], Path]) -> None:
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


def test_nothing_is_written_where_it_is_not_allowed(live: Live, project: Callable[[str], Path]) -> None:
    run = app.run(app.open_project(project("false")), "orders", DAYS[1])
    said = {result.check: result.sentence for result in run.results}
    assert "not copied to bad orders" in said["positive"] and "write = true" in said["positive"]
    assert "not copied" not in said["not copied"].partition(":")[2]
    with pytest.raises(Exception, match=r"(?i)exist|no such table"):
        rows(live, COPIED)


def test_a_try_without_a_store_writes_nothing(live: Live, project: Callable[[str], Path]) -> None:
    app.run(app.open_project(project("true")), "orders", DAYS[1], store=False)
    with pytest.raises(Exception, match=r"(?i)exist|no such table"):
        rows(live, COPIED)
