"""What was seen of a partition is written down once, read back exactly, and judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.model.sla import Sla
from dq.sla.evaluate import Answer
from dq.sla.observations import judge, load, record
from dq.store.schema import observation as table

pytest_plugins = ["tests.stores"]

EARLY = datetime(2000, 1, 1, tzinfo=UTC)
DUE_6 = Sla(due="06:00")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def seen(day: str, state: str, when: str, source: str = "close", detail: str = "", subject: str = "orders"):
    return Observation(
        kind="suite",
        subject=subject,
        interval=Interval.of_day(day),
        state=state,
        at=at(when),
        source=source,
        detail=detail,
    )


def write(empty_store, *observations, environment="prod"):
    for observation in observations:
        with empty_store.begin() as connection:
            record(connection, environment, observation)


def rows(empty_store) -> int:
    with empty_store.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar()


def read(empty_store, since=EARLY, environment="prod", kind="suite", subject="orders"):
    with empty_store.connect() as connection:
        return load(connection, environment, kind, subject, since)


def verdicts(empty_store, now: str, open_partitions=(), **more):
    with empty_store.connect() as connection:
        judged = judge(connection, "prod", "suite", "orders", DUE_6, open_partitions, at(now), **more)
    return {str(v.expectation.interval): v.answer for v in judged}


def test_what_is_read_is_what_was_written(empty_store):
    odd = Observation(
        kind="suite",
        subject="orders",
        interval=Interval(at("2026-11-19T23:00:00.000001"), at("2026-11-20T23:00")),
        state="unmeasured",
        at=at("2026-11-21T04:05:06.789012"),
        source="airflow",
        detail="extract failed: 50 % of 'é'",
    )
    day = seen("2026-11-19", "arrived", "2026-11-20T05:00")
    write(empty_store, odd, day)
    assert read(empty_store) == (day, odd)


def test_others_are_not_read(empty_store):
    write(empty_store, seen("2026-11-19", "arrived", "2026-11-20T05:00"))
    assert read(empty_store, environment="stage") == ()
    assert read(empty_store, kind="reconciliation") == ()
    assert read(empty_store, subject="order") == ()


def test_since_leaves_out_old_partitions_but_not_the_first_sighting(empty_store):
    days = [seen(f"2026-11-{day}", "arrived", f"2026-11-{day + 1}T05:00") for day in range(10, 15)]
    write(empty_store, *days)
    assert read(empty_store, at("2026-11-13")) == (days[0], *days[3:])  # the 12th ends where the 13th begins
    write(empty_store, late := seen("2026-11-11", "missing", "2026-11-20T05:00"))
    assert late not in read(empty_store, at("2026-11-13"))
    assert late in read(empty_store, at("2026-11-12") - timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("sightings", "kept"),
    [
        (["missing 05:00", "missing 05:01", "missing 05:02"], 1),
        (["arrived 05:00", "arrived 05:00"], 1),
        (["missing 05:00", "arrived 06:00", "arrived 07:00"], 2),
        (["missing 05:00", "started 05:30 airflow", "missing 06:00"], 3),  # without the third it would seem to run
        (["arrived 05:00", "arrived 05:00 airflow"], 2),
        (["arrived 09:00", "arrived 05:00"], 2),  # somebody knows better when it arrived
    ],
)
def test_the_same_seen_again_adds_no_row(empty_store, sightings, kept):
    for sighting in sightings:
        state, time, *source = sighting.split()
        write(empty_store, seen("2026-11-19", state, f"2026-11-20T{time}", *source))
    assert rows(empty_store) == kept


def test_the_same_of_another_partition_or_environment_is_news(empty_store):
    write(
        empty_store,
        seen("2026-11-19", "missing", "2026-11-20T05:00"),
        seen("2026-11-18", "missing", "2026-11-20T05:00"),
    )
    write(empty_store, seen("2026-11-19", "missing", "2026-11-20T05:00"), environment="stage")
    write(empty_store, seen("2026-11-19", "missing", "2026-11-20T05:00", subject="users"))
    assert rows(empty_store) == 4


def test_a_record_that_is_rolled_back_was_never_seen(empty_store):
    with empty_store.connect() as connection:
        transaction = connection.begin()
        record(connection, "prod", seen("2026-11-19", "arrived", "2026-11-20T05:00"))
        transaction.rollback()
    assert read(empty_store) == ()


def test_a_day_in_the_life_of_a_promise(empty_store):
    write(empty_store, seen("2026-11-18", "arrived", "2026-11-19T05:00"))
    assert verdicts(empty_store, "2026-11-20T06:00") == {"2026-11-18": Answer.ON_TIME}  # the 19th may still come
    late = {"2026-11-18": Answer.ON_TIME, "2026-11-19": Answer.NEVER_STARTED}
    assert verdicts(empty_store, "2026-11-20T06:01") == late
    write(empty_store, seen("2026-11-19", "missing", "2026-11-20T06:30"))
    assert verdicts(empty_store, "2026-11-20T06:31") == {**late, "2026-11-19": Answer.DATA_MISSING}
    write(empty_store, seen("2026-11-19", "arrived", "2026-11-20T08:40"))
    assert verdicts(empty_store, "2026-11-20T08:41") == {**late, "2026-11-19": Answer.MET_AFTER_MISS}


def test_a_close_judges_its_own_partition_only(empty_store):
    write(
        empty_store,
        seen("2026-11-15", "arrived", "2026-11-16T05:00"),
        seen("2026-11-18", "arrived", "2026-11-19T07:00"),
    )
    own = Interval.of_day("2026-11-18")
    assert verdicts(empty_store, "2026-11-19T07:00", only=own) == {"2026-11-18": Answer.MET_AFTER_MISS}
    assert set(verdicts(empty_store, "2026-11-19T07:00")) == {f"2026-11-{day}" for day in (15, 16, 17, 18)}


def test_a_back_fill_of_what_nobody_expects_any_more_says_nothing(empty_store):
    write(
        empty_store,
        seen("2026-11-15", "arrived", "2026-11-16T05:00"),
        seen("2026-01-05", "arrived", "2026-11-19T07:00"),
    )
    assert verdicts(empty_store, "2026-11-19T07:00", only=Interval.of_day("2026-01-05")) == {}


def test_an_open_partition_is_judged_however_old_it_is(empty_store):
    old = Interval.of_day("2026-06-01")
    write(
        empty_store, seen("2026-05-31", "arrived", "2026-06-01T05:00"), seen("2026-06-01", "failed", "2026-06-02T05:00")
    )
    assert verdicts(empty_store, "2026-11-19T07:00", [old])["2026-06-01"] is Answer.FAILED
    assert "2026-06-01" not in verdicts(empty_store, "2026-11-19T07:00")
    write(empty_store, seen("2026-06-01", "arrived", "2026-11-19T06:59"))
    assert verdicts(empty_store, "2026-11-19T07:00", [old], only=old) == {"2026-06-01": Answer.MET_AFTER_MISS}


def test_a_fresh_store_asks_for_the_newest_partition_only(empty_store):
    assert verdicts(empty_store, "2026-11-19T07:00") == {"2026-11-18": Answer.NEVER_STARTED}
