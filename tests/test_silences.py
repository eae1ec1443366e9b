"""Silences and acknowledgements: what is refused, what holds when, and the same on every store."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.engine import Connection, Engine

from dq.alerting import silences
from dq.alerting.acks import acknowledge, find_open, unacknowledge
from dq.alerting.fold import News, apply_findings
from dq.alerting.incidents import from_row
from dq.alerting.matcher import Matcher
from dq.alerting.silences import Silence
from dq.model.errors import UsageError
from dq.model.incident import Finding, Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity
from dq.store.engine import open_store
from dq.store.schema import alert_group, metadata, told
from dq.store.schema import incident as incident_table

pytest_plugins = ["tests.stores"]

NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)
DAY = Interval.of_day("2026-11-20")
HOUR = timedelta(hours=1)


def matchers(*texts: str) -> tuple[Matcher, ...]:
    return tuple(Matcher.parse(text) for text in texts)


def close(engine: Engine, severity: int, *parts: str, subject: str = "orders", environment: str = "prod") -> None:
    """A run in which ``parts`` are that bad; ``amount/14`` is org 14."""
    with engine.begin() as connection:
        fold(connection, severity, parts, subject, environment)


def fold(connection: Connection, severity: int, parts: Iterable[str], subject: str, environment: str) -> None:
    findings = []
    for name in parts:
        part, _, org = name.partition("/")
        key = IncidentKey(environment, "suite", subject, part, json.dumps([org]) if org else "")
        said = f"{name} is {severity}"
        findings.append(
            Finding(key=key, interval=DAY, severity=Severity(severity), outcome=Outcome.FAIL, sentence=said)
        )
    news = News(environment=environment, kind="suite", subject=subject, findings=tuple(findings))
    apply_findings(connection, [news], NOW)


def incidents(engine: Engine) -> list[Incident]:
    with engine.connect() as connection:
        return [from_row(row) for row in connection.execute(select(incident_table).order_by(incident_table.c.id))]


def dirty(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return dict(connection.execute(select(alert_group.c.group_key, alert_group.c.dirty)).all())


def silence(engine: Engine, *texts: str, environment: str = "prod", **given: object) -> Silence:
    wanted = {"author": "ada", "comment": "known", "ends_at": NOW + HOUR, "now": NOW} | given
    with engine.begin() as connection:
        return silences.add(connection, environment, matchers(*texts), **wanted)


# --- silences ----------------------------------------------------------------------------------------------------

REFUSED = {
    "no matcher": ((), {}, "needs a matcher"),
    "an empty pattern of everything": (('suite=~".*"',), {}, "matches everything"),
    "an optional label that may be empty": (('org=""',), {}, "matches everything"),
    "anything in a label that is always there": (('severity=~".+"',), {}, "matches everything"),
    "not empty where it never is": (('subject!=""',), {}, "matches everything"),
    "two that say nothing": (('suite=~".*"', 'environment="prod"'), {}, "matches everything"),
    "its own environment": (('environment="prod"',), {}, "matches everything"),
    "another environment": (('environment="stage"', 'suite="orders"'), {}, "holds nowhere in environment 'prod'"),
    "a label that is not there": (('siute="orders"',), {}, "did you mean 'suite'"),
    "no comment": (('suite="orders"',), {"comment": "  "}, "comment"),
    "nobody": (('suite="orders"',), {"author": " "}, "who you are"),
    "a name like a novel": (('suite="orders"',), {"author": "a" * 121}, "longer than 120"),
    "over already": (('suite="orders"',), {"ends_at": NOW}, "over already: it ends 2026-11-21 05:00Z"),
    "its end first": (
        ('suite="orders"',),
        {"starts_at": NOW + 2 * HOUR, "ends_at": NOW + HOUR},
        "ends 2026-11-21 06:00Z, before it starts",
    ),
}


@pytest.fixture
def store(tmp_path: object) -> Iterable[Engine]:
    """One embedded store, for what is decided before the store is asked."""
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.mark.parametrize(("texts", "given", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_silence(store: Engine, texts: tuple[str, ...], given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=r"\A[^\n]+\Z") as refused:
        silence(store, *texts, **given)
    assert words in str(refused.value)
    with store.connect() as connection:
        assert silences.listed(connection, "prod", NOW, all=True) == ()


@pytest.mark.parametrize("text", ['severity!="critical"', 'org!="14"', 'org!=""', 'tags=~"night|web"', 'org=~".+"'])
def test_what_leaves_something_out_is_a_silence(store: Engine, text: str) -> None:
    assert silence(store, text).id == 1


def test_a_silence_holds_from_its_start_up_to_its_end(store: Engine) -> None:
    made = silence(store, 'suite="orders"', 'org=~"1|2"', starts_at=NOW + HOUR, ends_at=NOW + 2 * HOUR)
    moments = [NOW, NOW + HOUR, NOW + 2 * HOUR - timedelta(microseconds=1), NOW + 2 * HOUR]
    assert [made.state(at) for at in moments] == ["pending", "active", "active", "expired"]
    assert [made.active(at) for at in moments] == [False, True, True, False]
    assert made.matches({"suite": "orders", "org": "2", "check": "x"})
    assert not made.matches({"suite": "orders", "org": "12"})
    assert not made.matches({"suite": "orders"})
    assert silence(store, 'suite="orders"', starts_at=NOW - HOUR).starts_at == NOW, "nothing is silenced afterwards"


def test_silences_in_the_store(empty_store: Engine) -> None:
    first = silence(empty_store, 'suite="orders"', r'check=~"a\\d \"x\""', comment="Größe: it's known")
    second = silence(empty_store, 'owner="web"', author="bob", starts_at=NOW + HOUR, ends_at=NOW + 3 * HOUR)
    other = silence(empty_store, 'suite="orders"', environment="stage")
    with empty_store.connect() as connection:
        assert silences.listed(connection, "prod", NOW) == (first, second)
        assert silences.listed(connection, "stage", NOW) == (other,)
        assert silences.listed(connection, "prod", NOW + HOUR) == (second,)
        assert silences.listed(connection, "prod", NOW + HOUR, all=True) == (first, second)
    with empty_store.begin() as connection:
        ended = silences.expire(connection, "prod", second.id, NOW + timedelta(minutes=1))
        assert ended.starts_at == ended.ends_at == NOW + timedelta(minutes=1)
    with empty_store.begin() as connection:
        assert silences.listed(connection, "prod", NOW, all=True) == (first, ended)
        refused = {second.id: "is over since 2026-11-21 05:01Z", other.id: "no silence 3 in", 99: "no silence 99 in"}
        for id_, words in refused.items():
            with pytest.raises(UsageError, match=words):
                silences.expire(connection, "prod", id_, NOW + 2 * timedelta(minutes=1))


def test_a_silence_makes_the_pump_look_at_what_is_open_there(empty_store: Engine) -> None:
    close(empty_store, 3, "amount")
    close(empty_store, 3, "amount", subject="users")
    close(empty_store, 3, "amount", environment="stage")
    close(empty_store, 3, "amount", subject="well")
    with empty_store.begin() as connection:
        connection.execute(
            incident_table.update()
            .where(incident_table.c.subject == "well")
            .values(ended_at=NOW, ended="recovered", open_key=None)
        )
    before = {"prod/suite/orders": 1, "prod/suite/users": 1, "prod/suite/well": 1, "stage/suite/orders": 1}
    assert dirty(empty_store) == before
    made = silence(empty_store, 'suite="orders"')
    after = before | {"prod/suite/orders": 2, "prod/suite/users": 2}
    assert dirty(empty_store) == after
    with empty_store.begin() as connection:
        silences.expire(connection, "prod", made.id, NOW)
    assert dirty(empty_store) == after | {"prod/suite/orders": 3, "prod/suite/users": 3}


def test_silences_and_closes_do_not_stand_in_each_others_way(empty_server: Engine) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        close(empty_server, 3, "amount", subject=name)
    errors: list[BaseException] = []

    def work(turn: int) -> None:
        try:
            for number in range(8):
                if turn % 2:
                    silence(empty_server, f'suite="{turn}"')
                else:
                    # As an Airflow worker closes several: each subject after the other, in one transaction.
                    with empty_server.begin() as connection:
                        for name in names:
                            fold(connection, 2 + number % 2, ["amount"], name, "prod")
        except BaseException as error:  # noqa: BLE001  # a thread's error is shown by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    with empty_server.connect() as connection:
        assert len(silences.listed(connection, "prod", NOW)) == 16


# --- acknowledging -----------------------------------------------------------------------------------------------


def acked(engine: Engine) -> dict[str, tuple[str | None, int | None, bool]]:
    return {
        f"{i.key.subject}/{i.key.part}": (i.acked_by, i.acked_severity, i.acked)
        for i in incidents(engine)
        if i.ended_at is None
    }


def test_an_acknowledgement_holds_until_it_is_worse(empty_store: Engine) -> None:
    close(empty_store, 3, "amount", "rows")
    close(empty_store, 2, "amount", subject="users")
    with empty_store.begin() as connection:
        (one,) = acknowledge(connection, "prod", "1", " ada ", NOW + HOUR)
    assert (one.id, one.acked_at, one.acked_by, one.acked_severity) == (1, NOW + HOUR, "ada", Severity.ERROR)
    nobody = (None, None, False)
    assert acked(empty_store) == {"orders/amount": ("ada", 3, True), "orders/rows": nobody, "users/amount": nobody}
    assert dirty(empty_store) == {"prod/suite/orders": 2, "prod/suite/users": 1}, "only its own group is looked at"
    close(empty_store, 4, "amount")
    assert acked(empty_store)["orders/amount"] == ("ada", 3, False)
    with empty_store.begin() as connection:
        assert len(acknowledge(connection, "prod", "orders", "bob", NOW + HOUR)) == 2
    close(empty_store, 2, "amount")
    expected = {"orders/amount": ("bob", 4, True), "orders/rows": ("bob", 3, True), "users/amount": nobody}
    assert acked(empty_store) == expected
    with empty_store.begin() as connection:
        assert [i.acked for i in unacknowledge(connection, "prod", "orders")] == [False, False]
        with pytest.raises(UsageError, match="nothing that is open of 'orders' is acknowledged"):
            unacknowledge(connection, "prod", "orders")
    assert acked(empty_store) == dict.fromkeys(expected, nobody)


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ("2", [2]),
        ("orders", [1, 2, 3]),
        ("prod/suite/orders", [1, 2, 3]),
        ("prod/suite/orders/check=rows", [2]),
        ("prod/~/owner=web", [3, 4]),
        ("2026", [6]),
    ],
)
def test_what_can_be_meant(empty_store: Engine, which: str, found: list[int]) -> None:
    close(empty_store, 3, "amount", "rows", "size")
    close(empty_store, 3, "amount", subject="users")
    close(empty_store, 3, "amount", environment="stage")
    close(empty_store, 3, "amount", subject="2026")
    under = [("prod/suite/orders/check=rows", {"2": 3}, None), ("prod/~/owner=web", {"3": 3}, {"state": {"4": 3}})]
    with empty_store.begin() as connection:
        for key, known, trying in under:
            connection.execute(
                told.insert().values(
                    group_key="prod/suite/orders",
                    channel="team",
                    message_key=key,
                    told=json.dumps(known),
                    trying=trying and json.dumps(trying),
                )
            )
        assert [i.id for i in find_open(connection, "prod", which)] == found


def test_what_cannot_be_meant(empty_store: Engine) -> None:
    with empty_store.connect() as connection, pytest.raises(UsageError, match="nothing is open in environment 'prod'"):
        find_open(connection, "prod", "orders")
    close(empty_store, 3, "amount")
    close(empty_store, 3, "amount", environment="stage")
    with empty_store.begin() as connection:
        for which in ("2", "order", "prod/suite/order", "9" * 30, "²", ""):
            with pytest.raises(UsageError, match=r"no open incident, subject or key .* known are orders"):
                find_open(connection, "prod", which)
        connection.execute(
            incident_table.update()
            .where(incident_table.c.id == 1)
            .values(ended_at=NOW, ended="recovered", open_key=None)
        )
        with pytest.raises(UsageError, match=r"incident 1 \(orders\) is over since 2026-11-21 05:00Z"):
            acknowledge(connection, "prod", "1", "ada", NOW)
        with pytest.raises(UsageError, match="who you are"):
            acknowledge(connection, "prod", "1", "", NOW)


def test_a_close_that_makes_it_worse_meanwhile_is_what_is_acknowledged(empty_server: Engine) -> None:
    """The close holds the group; the acknowledgement waits for it, and notes how bad it is then."""
    close(empty_server, 3, "amount")
    with empty_server.begin() as closing:
        fold(closing, 4, ["amount"], "orders", "prod")
        done = threading.Event()

        def ack() -> None:
            with empty_server.begin() as connection:
                acknowledge(connection, "prod", "1", "ada", NOW)
            done.set()

        thread = threading.Thread(target=ack)
        thread.start()
        assert not done.wait(0.5)
    thread.join(30)
    assert acked(empty_server) == {"orders/amount": ("ada", 4, True)}
