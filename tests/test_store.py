"""The store: made and migrated alike on every database, and runs that survive repetition."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.engine import Engine

from dq.model.errors import ConfigError, StoreError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.result import Result, RunKind
from dq.model.severity import Outcome, Severity
from dq.store import HEAD, ensure, history, open_store, upgrade
from dq.store.engine import VERSION_TABLE, current, migrate
from tests.drift import drift

pytest_plugins = ["tests.stores"]

NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
DAY = Interval.of_day("2024-06-26")


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, on each kind in turn."""
    return (
        f"sqlite:///{tmp_path}/s.db" if request.param == "sqlite" else request.getfixturevalue(f"{request.param}_url")
    )


@pytest.mark.parametrize("way", [migrate, None])
def test_migrations_and_a_new_store_come_to_the_same_tables(url: str, way: object) -> None:
    engine = open_store(url)
    if way is migrate:
        with engine.begin() as connection:
            migrate(connection)
    else:
        assert "was made" in upgrade(engine)
    with engine.begin() as connection:
        assert current(connection) == HEAD
        assert drift(connection) == []
    assert "already" in upgrade(engine)
    ensure(engine)
    engine.dispose()


def test_an_older_store_keeps_what_it_has(url: str) -> None:
    engine = open_store(url)
    with engine.begin() as connection:
        migrate(connection, "0001")
        assert current(connection) == "0001"
        start, end = "'2024-06-26 00:00:00.000000'", "'2024-06-27 00:00:00.000000'"
        values = f"'r', 'test', 's', 'suite', {start}, {end}, 'cli', {end}, NULL, 1, NULL, NULL"
        connection.execute(text(f"INSERT INTO dq_run VALUES ({values})"))
        columns = "id, run_id, scan, check_name, org, outcome, sentence, at"
        values = f"1, 'r', 'scan', 'c', '', 'pass', 'holds', {end}"
        connection.execute(text(f"INSERT INTO dq_result ({columns}) VALUES ({values})"))
    assert upgrade(engine) == f"the store was upgraded from migration 0001 to {HEAD}"
    with engine.begin() as connection:
        found = history.latest_run(connection, "test", "s")
    assert found is not None
    assert [(r.check, r.outcome, r.detail) for r in found.results] == [("c", Outcome.PASS, None)]
    engine.dispose()


def test_a_server_is_not_changed_unasked(postgres_url: str) -> None:
    engine = open_store(postgres_url)
    with pytest.raises(StoreError, match="has no tables yet; run `dq db upgrade`"):
        ensure(engine)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0000'"))
    with pytest.raises(StoreError, match="is at migration 0000, not"):
        ensure(engine)
    engine.dispose()


def test_a_store_of_a_newer_dq_is_left_alone(url: str) -> None:
    engine = open_store(url)
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="is at migration 9999, which this dq does not know; install a newer dq"):
        upgrade(engine)
    with engine.begin() as connection:
        assert current(connection) == "9999"
    engine.dispose()


def test_a_store_that_cannot_be_reached_says_so_without_its_password() -> None:
    engine = open_store("postgresql://me:hunter2@127.0.0.1:1/x")
    with pytest.raises(StoreError, match="cannot be reached") as failed:
        ensure(engine)
    assert "hunter2" not in str(failed.value)
    for wrong in ("nonsense", "nothing://x/y"):
        with pytest.raises(ConfigError, match="dialect"):
            open_store(wrong)


@pytest.mark.slow
def test_many_processes_may_open_a_new_embedded_store_at_once(tmp_path: Path) -> None:
    code = f"from dq.store import ensure, open_store; ensure(open_store('sqlite:///{tmp_path}/deep/s.db'))"
    started = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(6)]
    assert [(child.wait(60), child.communicate()[1]) for child in started] == [(0, b"")] * 6


def test_a_run_has_one_identity_and_a_scan_replaces_its_results(empty_store: Engine) -> None:
    with empty_store.begin() as connection:
        run = history.start_run(connection, "prod", "orders", "suite", DAY, "cli", NOW)
        history.record_scan(
            connection, run, "scan", [Result(check="a", outcome=Outcome.FAIL, severity=Severity.ERROR)], NOW
        )
        history.record_scan(connection, run, "other", [Result(check="b", outcome=Outcome.PASS)], NOW)
    with empty_store.begin() as connection:
        again = history.start_run(connection, "prod", "orders", "suite", DAY, "cli", NOW + timedelta(days=1))
        history.record_scan(connection, again, "scan", [Result(check="a", outcome=Outcome.PASS)], NOW)
        assert (again.id, again.started_at, again.version) == (run.id, NOW, 2)
        locked = history.lock_run(connection, again)
        assert (locked.version, [(r.check, r.outcome) for r in locked.results]) == (
            3,
            [("b", Outcome.PASS), ("a", Outcome.PASS)],
        )
        assert history.recorded(connection, run)[0] == {"scan", "other"}
        others = [
            ("stage", "orders", DAY, "cli"),
            ("prod", "x", DAY, "cli"),
            ("prod", "Orders", DAY, "cli"),
            ("prod", "orders ", DAY, "cli"),
            ("prod", "orders", Interval.of_day("2024-06-25"), "cli"),
            ("prod", "orders", DAY, "airflow:d:r"),
        ]
        assert (
            len({history.start_run(connection, e, s, "suite", i, o, NOW).id for e, s, i, o in others} | {run.id}) == 7
        )


def test_what_is_still_wrong_is_the_latest_run_of_each_partition(empty_store: Engine) -> None:
    def record(day: str, origin: str, severity: Severity | None, at: datetime) -> None:
        run = history.start_run(connection, "prod", "r", "reconciliation", Interval.of_day(day), origin, at)
        outcome = Outcome.PASS if severity is None else Outcome.FAIL
        history.record_scan(
            connection,
            run,
            "stages",
            [Result(check="db", outcome=outcome, severity=severity, sentence=f"{day} {origin}")],
            at,
        )

    with empty_store.begin() as connection:
        record("2024-06-20", "first", Severity.ERROR, NOW)
        record("2024-06-20", "again", None, NOW + timedelta(hours=1))
        record("2024-06-21", "first", None, NOW)
        record("2024-06-21", "again", Severity.WARNING, NOW + timedelta(hours=1))
        record("2024-06-26", "first", Severity.ERROR, NOW)
        assert history.still_bad(connection, "prod", "r", DAY.start) == (
            (Interval.of_day("2024-06-21"), "db: 2024-06-21 again"),
        )
        latest = history.latest_run(connection, "prod", "r", Interval.of_day("2024-06-20"))
        assert latest is not None
        assert latest.origin == "again"


def test_a_repeated_run_is_the_latest_and_a_look_back_is_no_partition(empty_store: Engine) -> None:
    def record(
        interval: Interval, origin: str, severity: Severity | None, hours: int, kind: RunKind = "reconciliation"
    ) -> None:
        at = NOW + timedelta(hours=hours)
        run = history.start_run(connection, "prod", "r", kind, interval, origin, at)
        outcome = Outcome.PASS if severity is None else Outcome.FAIL
        result = Result(check="db", outcome=outcome, severity=severity, sentence="what was found")
        history.record_scan(connection, run, "stages", [result], at)
        history.mark_closed(connection, history.lock_run(connection, run), at)

    day = Interval.of_day("2024-06-20")
    with empty_store.begin() as connection:
        record(day, "cli", Severity.ERROR, 0)
        record(day, "airflow:d:r", Severity.ERROR, 1)
        record(day, "cli", None, 2)  # the same run again, after the load was mended
        record(Interval(day.start, day.end + timedelta(days=2)), "cli", Severity.ERROR, 3, "look_back")
        assert history.still_bad(connection, "prod", "r", DAY.start) == ()
        latest = history.latest_run(connection, "prod", "r", day)
        assert latest is not None
        assert latest.origin == "cli"


results = st.builds(
    Result,
    check=st.text(min_size=1, max_size=30).filter(lambda t: "\x00" not in t),
    outcome=st.sampled_from(Outcome),
    group=st.none()
    | st.builds(lambda a, b: Group(("org", "kind"), (a, b)), st.none() | st.text(max_size=8), st.none() | st.just("")),
    severity=st.none() | st.sampled_from(Severity),
    rows=st.none() | st.integers(0, 2**62),
    violations=st.none() | st.integers(0, 2**62),
    unknown=st.none() | st.integers(0, 2**62),
    observed=st.none()
    | st.integers(-(10**30), 10**30)
    | st.decimals("-1e9", "1e9", places=6).filter(lambda d: d != d.to_integral_value()),
    threshold=st.none() | st.just("1%"),
    sentence=st.text(max_size=50),
    orgs=st.none() | st.integers(0, 10),
    partition=st.none() | st.just(DAY),
    at=st.just(NOW),
)


@given(found=st.lists(results, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_results_come_back_as_they_went(found: list[Result], tmp_path: Path) -> None:
    engine = open_store(f"sqlite:///{tmp_path}/s.db")
    ensure(engine)
    with engine.begin() as connection:
        run = history.start_run(connection, "prod", "s", "suite", DAY, "cli", NOW)
        history.record_scan(connection, run, "scan", found, NOW)
        back = history.with_results(connection, run).results
    engine.dispose()
    assert sorted(map(repr, back)) == sorted(map(repr, found))


def test_a_decimal_stays_exact(empty_store: Engine) -> None:
    with empty_store.begin() as connection:
        run = history.start_run(connection, "prod", "s", "suite", DAY, "cli", NOW)
        history.record_scan(
            connection,
            run,
            "scan",
            [Result(check="a", outcome=Outcome.PASS, observed=Decimal("0.1000000000000000055"))],
            NOW,
        )
        (result,) = history.with_results(connection, run).results
    assert result.observed == Decimal("0.1000000000000000055")
