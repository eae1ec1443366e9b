"""Accepted discrepancies and deploy markers on every database that a store can live in, and several closes at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from attrs import evolve
from sqlalchemy import select
from sqlalchemy.engine import Engine

from dq.app.accepting import shrink
from dq.model.acceptance import Acceptance, Most
from dq.model.deploy import Deploy
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.store import acceptances, deploys, history
from dq.store import schema as t

pytest_plugins = ["tests.stores"]

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
DAY = Interval.of_day("2026-11-20")
ORG = Group(("zone", "org"), ("Łódź", None))
MADE = Acceptance(
    id=0,
    reconciliation="pipe",
    org=ORG,
    stage="db",
    most=Most(Fraction(1, 3), is_share=True, too_many=True),
    partition=DAY,
    reason="it's 5 o'clock 🚨",
    author="ann",
    created_at=NOW,
    ends_at=NOW + timedelta(days=1),
    newest=DAY.start,
)


def earlier(days: int) -> Interval:
    return Interval(DAY.start - timedelta(days=days), DAY.end - timedelta(days=days))


def test_an_acceptance_comes_back_as_it_was_written(empty_store: Engine) -> None:
    with empty_store.begin() as connection:
        stored = acceptances.add(connection, "prod", MADE)
        other = acceptances.add(connection, "prod", evolve(MADE, partition=None, newest=None, reconciliation="other"))
        assert acceptances.get(connection, "prod", stored.id) == stored == evolve(MADE, id=stored.id)
        assert acceptances.get(connection, "stage", stored.id) is None
        assert acceptances.of(connection, "prod", "pipe", NOW, lock=True) == (stored,)
        assert acceptances.of(connection, "stage", "pipe", NOW) == ()
        less = evolve(stored, most=evolve(stored.most, limit=Fraction(2, 7)), newest=DAY.end)
        acceptances.keep(connection, less)
        assert acceptances.of(connection, "prod", "pipe", NOW) == (less,)
        gone = acceptances.end(connection, less, "expired", less.ends_at)
        assert acceptances.of(connection, "prod", "pipe", NOW) == (gone,)
        assert acceptances.of(connection, "prod", "pipe", gone.ends_at) == ()
        acceptances.end(connection, gone, "ended", NOW)
        assert acceptances.of(connection, "prod", "pipe", NOW) == ()
        assert [one.id for one in acceptances.listed(connection, "prod")] == [stored.id, other.id]


def test_markers_come_back_once_each_in_their_order(empty_store: Engine) -> None:
    first = Deploy(at=NOW, text="the parser 🚨", version="1", kind="dag", subject="load", source="git", author="ann")
    with empty_store.begin() as connection:
        stored = deploys.add(connection, "prod", first, NOW)
        assert stored is not None
        assert deploys.add(connection, "prod", evolve(first, author="bob", source="cli"), NOW) is None
        other = deploys.add(connection, "prod", evolve(first, at=NOW - timedelta(hours=1), subject="x"), NOW)
        assert deploys.add(connection, "stage", first, NOW) is not None
        assert deploys.newest(connection, "prod", 5) == (stored, other)
        assert deploys.newest(connection, "prod", 1) == (stored,)
        assert deploys.between(connection, "prod", NOW - timedelta(hours=1), NOW) == (other,)
        assert deploys.between(connection, "prod", NOW, NOW + timedelta(seconds=1)) == (stored,)


def result(observed: int | Decimal | None, outcome: Outcome = Outcome.FAIL, org: Group | None = ORG) -> Result:
    severity = None if outcome is Outcome.PASS else Severity.ERROR
    return Result(check="db", outcome=outcome, severity=severity, group=org, observed=observed, rows=1_000)


def close(engine: Engine, day: Interval, *results: Result, origin: str = "cli", at: datetime = NOW) -> Run:
    with engine.begin() as connection:
        run = history.start_run(connection, "prod", "pipe", "reconciliation", day, origin, at)
        history.record_scan(connection, run, "stages", results, NOW)
        return history.with_results(connection, run)


def test_the_first_partition_is_found_by_the_runs_before(empty_store: Engine) -> None:
    bad, whole = result(Decimal("20.5")), result(20, Outcome.FAIL, None)

    def first(limit: int = 14) -> tuple[Interval, str]:
        with empty_store.begin() as connection:
            return history.first_bad(connection, "prod", "pipe", DAY, bad, limit)

    assert first() == (DAY, "unknown")
    close(empty_store, earlier(1), whole, bad)
    assert first() == (earlier(1), "unknown")
    close(empty_store, earlier(2), whole, result(3))
    assert first(2) == (earlier(2), "longer")
    close(empty_store, earlier(3), result(-3, Outcome.FAIL, None), result(-3))
    assert first() == (earlier(2), "known"), "too many is another thing than missing"
    close(empty_store, earlier(2), result(None, Outcome.UNMEASURED, None), origin="again", at=LATER)
    assert first() == (earlier(1), "unknown"), "the latest run of a partition counts"
    close(empty_store, earlier(1), result(0, Outcome.PASS, None), origin="airflow:load:r1", at=LATER)
    assert first() == (DAY, "known")
    with empty_store.begin() as connection:
        assert history.dags_of(connection, "prod", "pipe") == {"load"}


def test_closes_at_once_let_it_shrink_to_the_least_and_never_grow(empty_server: Engine) -> None:
    with empty_server.begin() as connection:
        acceptances.add(connection, "prod", evolve(MADE, most=Most(Fraction(1_000)), partition=None))
    found = [700 - (37 * n) % 600 for n in range(24)]
    runs = [
        close(empty_server, DAY, result(number, Outcome.PASS), origin=f"{place}") for place, number in enumerate(found)
    ]

    def work(run: Run) -> None:
        with empty_server.begin() as connection:
            shrink(connection, run, NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, runs))
    with empty_server.connect() as connection:
        assert connection.execute(select(t.acceptance.c.at_most)).scalar() == str(min(found))
        limits = connection.execute(select(t.event.c.body).where(t.event.c.name == "acceptance_shrunk")).scalars().all()
    told = [int(body.partition("at most ")[2].partition(" ")[0]) for body in limits]
    assert told == sorted(told, reverse=True)
