"""Events: appended without waiting, numbered densely in the order in which they become visible."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError

from dq.events import EventName, append, number
from dq.store.schema import event

pytest_plugins = ["tests.stores"]

AT = datetime(2026, 11, 20, 6, tzinfo=UTC)


def add(connection, subject, **body):
    append(connection, "prod", EventName.RUN_CLOSED, subject, body, AT)


def numbered(engine: Engine) -> list[tuple[int, str]]:
    with engine.connect() as connection:
        rows = connection.execute(select(event).where(event.c.number.is_not(None)).order_by(event.c.number))
        return [(row.number, row.subject) for row in rows]


def number_all(engine: Engine) -> int:
    with engine.begin() as connection:
        return number(connection)


def test_an_event_is_kept_as_it_was_written(empty_store):
    with empty_store.begin() as connection:
        append(
            connection, "prod", EventName.SLA_MISSED, "orders", {"partition": "2026-11-19", "late_s": 60, "é": None}, AT
        )
    with empty_store.connect() as connection:
        row = connection.execute(select(event)).one()
    assert (row.environment, row.name, row.subject, row.at, row.number) == ("prod", "sla_missed", "orders", AT, None)
    assert json.loads(row.body) == {"partition": "2026-11-19", "late_s": 60, "é": None}


@pytest.mark.parametrize("value", [AT, {1, 2}, float("nan")])
def test_a_body_that_json_cannot_hold_is_refused_and_leaves_nothing(empty_store, value):
    with pytest.raises((TypeError, ValueError)), empty_store.begin() as connection:
        add(connection, "orders", value=value)
    assert number_all(empty_store) == 0


def test_numbers_are_dense_go_on_and_are_given_once(empty_store):
    assert number_all(empty_store) == 0
    with empty_store.begin() as connection:
        for subject in "abc":
            add(connection, subject)
    assert number_all(empty_store) == 3
    assert number_all(empty_store) == 0
    with empty_store.begin() as connection:
        add(connection, "d")
    assert number_all(empty_store) == 1
    assert numbered(empty_store) == [(1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_what_was_rolled_back_takes_no_number(empty_store):
    with empty_store.begin() as connection:
        add(connection, "a")
    with empty_store.connect() as connection:
        transaction = connection.begin()
        add(connection, "gone")
        transaction.rollback()
    with empty_store.begin() as connection:
        add(connection, "b")
    assert number_all(empty_store) == 2
    assert numbered(empty_store) == [(1, "a"), (2, "b")]


def test_the_order_is_that_of_becoming_visible(empty_server):
    """A reader that has seen up to number n never misses an event that was inserted early and committed late."""
    # SQLite has one writer at a time, so inserted early is committed early
    with empty_server.connect() as slow:
        transaction = slow.begin()
        add(slow, "early")
        with empty_server.begin() as fast:
            add(fast, "late")
        assert number_all(empty_server) == 1
        assert numbered(empty_server) == [(1, "late")]
        transaction.commit()
    assert number_all(empty_server) == 1
    assert numbered(empty_server) == [(1, "late"), (2, "early")]


def test_writers_at_once_lose_nothing(empty_store):
    def write(writer: int) -> None:
        for i in range(10):
            with empty_store.begin() as connection:
                add(connection, f"{writer}-{i}")

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    given = 0
    while any(writer.is_alive() for writer in writers):
        given += number_all(empty_store)
        writers[0].join(0.01)
    given += number_all(empty_store)
    found = numbered(empty_store)
    assert given == 40
    assert [n for n, _ in found] == list(range(1, 41))
    assert {subject for _, subject in found} == {f"{w}-{i}" for w in range(4) for i in range(10)}
    for writer in range(4):  # what one writer committed one after the other stays in that order
        assert [s for _, s in found if s.startswith(f"{writer}-")] == [f"{writer}-{i}" for i in range(10)]


def test_two_that_number_at_once_cannot_give_a_number_twice(empty_server):
    with empty_server.begin() as connection:
        add(connection, "a")
    with empty_server.connect() as first:
        transaction = first.begin()
        number(first)
        with empty_server.begin() as connection:
            add(connection, "b")
        outcome = []

        def second() -> None:
            # It waits for the row "a" that the first has changed, and then gives the same numbers again.
            try:
                outcome.append(number_all(empty_server))
            except IntegrityError as error:
                outcome.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        transaction.commit()
        thread.join(10)
    assert len(outcome) == 1
    number_all(empty_server)
    found = numbered(empty_server)
    assert [n for n, _ in found] == sorted({n for n, _ in found})
    assert {s for _, s in found} == {"a", "b"}
