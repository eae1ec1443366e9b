"""What was seen of a partition is written down once, read back exactly, and judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from sqlalchemy import func, select

from dq.model.interval import Interval
from dq.model.kept import Answer
from dq.model.observation import Observation
from dq.model.sla import Sla
from dq.sla import excuses, partitions
from dq.sla.findings import findings
from dq.sla.observations import first_seen, load_many, record
from dq.sla.subject import Subject
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
        return tuple(load_many(connection, environment, [(kind, subject)], since).get((kind, subject), ()))


def judge(empty_store, now: str, sla=DUE_6, **more):
    with empty_store.begin() as connection:
        subject = Subject(kind="suite", name="orders", sla=sla, owner="sales")
        return partitions.judge(connection, "prod", [subject], at(now), **more)


def verdicts(empty_store, now: str, **more):
    return {str(one.verdict.expectation.interval): one.verdict.answer for one in judge(empty_store, now, **more)}


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


def test_since_leaves_out_old_partitions_but_those_that_are_asked_for(empty_store):
    days = [seen(f"2026-11-{day}", "arrived", f"2026-11-{day + 1}T05:00") for day in range(10, 15)]
    write(empty_store, *days)
    assert read(empty_store, at("2026-11-13")) == tuple(days[2:])  # the 12th was seen on the 13th
    key = ("suite", "orders")
    with empty_store.connect() as connection:
        older = load_many(connection, "prod", [key], at("2026-11-13"), [(key, days[1].interval)])
        assert older == {key: days[1:]}
        assert first_seen(connection, "prod", [key, ("suite", "others")]) == {key: at("2026-11-11T05:00")}


@pytest.mark.parametrize(
    ("sightings", "kept"),
    [
        (["missing 05:00", "missing 05:01", "missing 05:02"], 1),
        (["arrived 05:00", "arrived 05:00"], 1),
        (["missing 05:00", "arrived 06:00", "arrived 07:00"], 2),
        (["missing 05:00", "started 05:30 airflow", "missing 06:00"], 2),  # two who look again and again add no rows
        (["started 05:00 airflow", "started 05:00 airflow"], 1),
        (["started 05:00 airflow", "started 06:00 airflow"], 2),  # it was started again
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
    first = {"2026-11-18": Answer.ON_TIME, "2026-11-19": Answer.PENDING}
    assert verdicts(empty_store, "2026-11-20T06:00") == first  # the 19th may still come
    assert verdicts(empty_store, "2026-11-20T06:01") == {"2026-11-19": Answer.NEVER_STARTED}  # the 18th is settled
    write(empty_store, seen("2026-11-19", "missing", "2026-11-20T06:30"))
    assert verdicts(empty_store, "2026-11-20T06:31") == {"2026-11-19": Answer.DATA_MISSING}
    write(empty_store, seen("2026-11-19", "arrived", "2026-11-20T08:40"))
    assert verdicts(empty_store, "2026-11-20T08:41") == {"2026-11-19": Answer.MET_AFTER_MISS}
    assert verdicts(empty_store, "2026-11-20T08:42") == {}
    with empty_store.connect() as connection:
        before, after = partitions.kept(connection, "prod", at("2026-11-01"))
    assert (before.answer, before.late, before.severity) == (Answer.ON_TIME, timedelta(0), None)
    assert (after.answer, after.late) == (Answer.MET_AFTER_MISS, timedelta(hours=2, minutes=40))
    assert after.cause == "it was seen without rows 2026-11-20 06:30 UTC (says close)"


def test_a_close_judges_its_own_partition_only(empty_store):
    write(
        empty_store,
        seen("2026-11-15", "arrived", "2026-11-16T05:00"),
        seen("2026-11-18", "arrived", "2026-11-19T07:00"),
    )
    own = Interval.of_day("2026-11-18")
    assert verdicts(empty_store, "2026-11-19T07:00", only=own) == {"2026-11-18": Answer.MET_AFTER_MISS}
    assert set(verdicts(empty_store, "2026-11-19T07:00")) == {f"2026-11-{day}" for day in (15, 16, 17)}


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
    assert verdicts(empty_store, "2026-06-02T07:00")["2026-06-01"] is Answer.FAILED
    assert verdicts(empty_store, "2026-11-19T07:00")["2026-06-01"] is Answer.FAILED
    write(empty_store, seen("2026-06-01", "arrived", "2026-11-19T06:59"))
    assert verdicts(empty_store, "2026-11-19T07:00", only=old) == {"2026-06-01": Answer.MET_AFTER_MISS}
    assert "2026-06-01" not in verdicts(empty_store, "2026-11-19T07:01")


def test_a_fresh_store_asks_for_the_newest_partition_only(empty_store):
    assert verdicts(empty_store, "2026-11-19T07:00") == {"2026-11-18": Answer.NEVER_STARTED}


def test_a_round_looks_only_where_something_is_new_or_it_is_time(empty_store):
    subjects = [Subject(kind="suite", name=name, sla=DUE_6) for name in ("orders", "users")]

    def due(now: str, *, of=subjects):
        with empty_store.begin() as connection:
            found, gone = partitions.due_for_a_look(connection, "prod", of, at(now))
            partitions.judge(connection, "prod", found, at(now))
        return [subject.name for subject in found], [name for _, name in gone]

    assert due("2026-11-19T05:00") == (["orders", "users"], [])
    assert due("2026-11-19T05:01") == ([], [])
    write(empty_store, seen("2026-11-18", "arrived", "2026-11-19T05:02"))
    assert due("2026-11-19T05:03") == (["orders"], [])
    assert due("2026-11-19T05:59") == ([], [])
    assert due("2026-11-19T06:00") == (["users"], [])  # due, and not late before the next instant
    assert due("2026-11-19T06:00:01") == (["users"], [])
    assert due("2026-11-19T06:01") == ([], [])
    assert due("2026-11-20T00:00") == (["orders", "users"], [])  # a partition ends
    later = [evolve(subjects[0], sla=Sla(due="07:00")), subjects[1]]
    assert due("2026-11-20T00:01", of=later) == (["orders"], [])
    assert due("2026-11-20T00:02", of=later[:1]) == ([], ["users"])


def test_a_promise_that_is_moved_moves_no_past(empty_store):
    write(
        empty_store,
        seen("2026-11-17", "arrived", "2026-11-18T05:00"),
        seen("2026-11-18", "arrived", "2026-11-19T05:30"),
    )
    assert set(verdicts(empty_store, "2026-11-19T07:00").values()) == {Answer.ON_TIME}
    moved = judge(empty_store, "2026-11-19T07:01", sla=Sla(due="04:00"))
    assert moved == ()
    assert verdicts(empty_store, "2026-11-20T04:01", sla=Sla(due="04:00")) == {"2026-11-19": Answer.NEVER_STARTED}


def test_what_a_calendar_leaves_out_is_promised_to_nobody(empty_store):
    sla = Sla(due="06:00", calendar="weekdays")
    write(empty_store, seen("2026-11-19", "arrived", "2026-11-20T05:00"))
    assert verdicts(empty_store, "2026-11-24T07:00", sla=sla) == {
        "2026-11-19": Answer.ON_TIME,
        "2026-11-20": Answer.NEVER_STARTED,  # a Friday
        "2026-11-23": Answer.NEVER_STARTED,
    }
    write(empty_store, seen("2026-11-20", "arrived", "2026-11-24T08:00"))
    thursdays = Sla(due="06:00", calendar="thursday")
    taken_back = {"2026-11-20": Answer.EXCUSED, "2026-11-23": Answer.EXCUSED}  # both were told, so both must end
    assert verdicts(empty_store, "2026-11-24T09:00", sla=thursdays) == taken_back
    assert verdicts(empty_store, "2026-11-24T09:01", sla=thursdays) == {}


def test_an_excuse_holds_for_what_falls_due_in_it(empty_store):
    write(empty_store, seen("2026-11-17", "arrived", "2026-11-18T05:00"))
    assert verdicts(empty_store, "2026-11-20T07:00")["2026-11-19"] is Answer.NEVER_STARTED
    with empty_store.begin() as connection:
        number = excuses.add(
            connection, "prod", "orders", at("2026-11-20T00:00"), at("2026-11-20T09:00"), "the lake moves", "ann",
            at("2026-11-20T07:10"),
        )  # fmt: skip
    assert verdicts(empty_store, "2026-11-20T07:11") == {
        "2026-11-18": Answer.NEVER_STARTED,
        "2026-11-19": Answer.EXCUSED,
    }
    with empty_store.begin() as connection:
        assert excuses.end(connection, "prod", number, at("2026-11-20T07:20"))
        assert not excuses.end(connection, "prod", number, at("2026-11-20T07:20"))
    assert verdicts(empty_store, "2026-11-20T07:21")["2026-11-19"] is Answer.NEVER_STARTED


def test_who_has_not_begun_is_at_risk_where_earlier_runs_took_long(empty_store):
    for day in range(1, 12):
        write(
            empty_store,
            seen(f"2026-11-{day:02}", "started", f"2026-11-{day + 1:02}T04:00", "airflow"),
            seen(f"2026-11-{day:02}", "arrived", f"2026-11-{day + 1:02}T04:{40 + day}"),
        )
        verdicts(empty_store, f"2026-11-{day + 1:02}T07:00")
    assert verdicts(empty_store, "2026-11-13T05:00") == {"2026-11-12": Answer.PENDING}
    assert verdicts(empty_store, "2026-11-13T05:10") == {"2026-11-12": Answer.AT_RISK}  # 50 minutes before
    write(empty_store, seen("2026-11-12", "started", "2026-11-13T05:11", "airflow"))
    assert verdicts(empty_store, "2026-11-13T05:12") == {"2026-11-12": Answer.PENDING}


def test_an_early_warning_ends_though_the_miss_was_never_bad_enough(empty_store):
    sla = Sla(due="06:00", warn_before="30m", error="1h")
    write(empty_store, seen("2026-11-17", "arrived", "2026-11-18T05:00"))

    def look(now: str) -> list[tuple[str, bool]]:
        (one,) = (j for j in judge(empty_store, now, sla=sla) if str(j.verdict.expectation.interval) == "2026-11-18")
        told = findings(one.verdict, "prod", {}, is_new=one.is_new, was_told=one.was_told)
        return [(str(one.verdict.answer), finding.severity is not None) for finding in told]

    assert look("2026-11-19T05:30") == [("at_risk", True)]
    assert look("2026-11-19T06:10") == []  # late; the warning stands
    write(empty_store, seen("2026-11-18", "arrived", "2026-11-19T06:20"))
    assert look("2026-11-19T06:30") == [("late_but_done", False)]


def test_a_suite_that_must_run_is_told_when_it_does_not(empty_store):
    subject = Subject(kind="suite", name="orders", sla=Sla(every="2h", severity="error"), runs=True)

    def look(now: str):
        with empty_store.begin() as connection:
            judged = partitions.judge(connection, "prod", [subject], at(now))
        return {f"{j.verdict.expectation.interval.start:%H}": j.verdict.answer for j in judged}

    write(empty_store, seen("2026-10-05", "missing", "2026-11-19T05:59"))  # it looked at something old
    assert look("2026-11-19T06:00") == {"04": Answer.ON_TIME}  # before it was first seen nobody expected it
    write(empty_store, seen("2026-11-18", "unmeasured", "2026-11-19T08:01"))  # a little late, in the next span
    assert look("2026-11-19T08:02") == {"06": Answer.ON_TIME}
    assert look("2026-11-19T12:00") == {"08": Answer.ON_TIME, "10": Answer.PENDING}
    assert look("2026-11-19T14:00:01") == {"10": Answer.NEVER_STARTED, "12": Answer.PENDING}
    write(empty_store, seen("2026-11-18", "wrong", "2026-11-19T14:30"))
    assert look("2026-11-19T14:31") == {"10": Answer.MET_AFTER_MISS, "12": Answer.ON_TIME}


def test_a_suite_that_never_ran_is_expected_to_from_when_it_is_known(empty_store):
    subject = Subject(kind="suite", name="orders", sla=Sla(every="2h", severity="error"), runs=True)

    def look(now: str):
        with empty_store.begin() as connection:
            judged = partitions.judge(connection, "prod", [subject], at(now))
        return {f"{j.verdict.expectation.interval.start:%H}": j.verdict.answer for j in judged}

    assert look("2026-11-19T11:00") == {}
    assert look("2026-11-19T13:00") == {"10": Answer.PENDING}
    assert look("2026-11-19T14:00:01") == {"10": Answer.NEVER_STARTED, "12": Answer.PENDING}
    write(empty_store, seen("2026-11-18", "arrived", "2026-11-19T14:30"))
    assert look("2026-11-19T14:31") == {"10": Answer.MET_AFTER_MISS, "12": Answer.ON_TIME}
