"""What a closed run means for the open incidents: tables, properties, and the same on real stores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from dq.alerting.fold import Answer, Change, Measured, News, apply_findings, decide, declared_labels, fold, news_of
from dq.alerting.incidents import from_row, group_key, of_subject, open_orgs, read_open, recorded_keys, short_key
from dq.checks import Rows
from dq.model.check import Check, Suite
from dq.model.group import Group
from dq.model.incident import Finding, Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.reconciliation import Reconciliation, Stage
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.model.table import Table
from dq.store.schema import alert_group
from dq.store.schema import incident as incident_table

pytest_plugins = ["tests.stores"]

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAYS = [Interval(NOW.replace(hour=0, day=d), NOW.replace(hour=0, day=d + 1)) for d in range(1, 9)]
ENV = ("prod", "suite", "orders")


NEWS = News(environment="prod", kind="suite", subject="orders")


def key(part: str = "amount", org: str = "") -> IncidentKey:
    return IncidentKey(*ENV, part, org)


def finding(
    severity: int | None, day: int = 5, outcome: Outcome = Outcome.FAIL, at: IncidentKey | None = None
) -> Finding:
    grade = None if severity is None else Severity(severity)
    return Finding(
        key=at or key(), interval=DAYS[day], severity=grade, outcome=outcome, sentence=f"day {day}: {severity}"
    )


def incident(
    severity: int = 3, day: int = 5, outcome: Outcome = Outcome.FAIL, at: IncidentKey | None = None
) -> Incident:
    return Incident(
        id=7,
        key=at or key(),
        severity=Severity(severity),
        outcome=outcome,
        sentence="old",
        observed="",
        threshold="",
        labels={},
        links={},
        interval=DAYS[day],
        opened_at=NOW - timedelta(hours=2),
        changed_at=NOW - timedelta(hours=1),
    )


WELL, EMPTY, BAD = Outcome.PASS, Outcome.NO_DATA, Outcome.FAIL


@pytest.mark.parametrize(
    ("open_", "found", "answer"),
    [
        (None, finding(3), Answer.OPENED),
        (None, finding(3, day=0), Answer.OPENED),
        (None, finding(3, outcome=Outcome.UNMEASURED), Answer.OPENED),
        (None, finding(3, outcome=EMPTY), Answer.OPENED),
        (None, finding(None, outcome=WELL), Answer.WELL),
        (None, finding(None, outcome=EMPTY), Answer.WELL),
        (incident(), finding(4, day=4), Answer.IGNORED_OLDER),
        (incident(), finding(3, day=4), Answer.IGNORED_OLDER),
        (incident(), finding(3), Answer.STILL_BAD),
        (incident(), finding(3, day=6), Answer.STILL_BAD),
        (incident(), finding(3, outcome=Outcome.UNMEASURED), Answer.STILL_BAD),
        (incident(), finding(4), Answer.WORSENED),
        (incident(), finding(4, day=6), Answer.WORSENED),
        (incident(), finding(2), Answer.EASED),
        (incident(), finding(2, day=6), Answer.EASED),
        (incident(), finding(None, day=4, outcome=WELL), Answer.IGNORED_OLDER),
        (incident(), finding(None, outcome=WELL), Answer.RECOVERED),
        (incident(), finding(None, day=6, outcome=WELL), Answer.RECOVERED),
        (incident(), finding(None, outcome=EMPTY), Answer.UNTOUCHED),
        (incident(outcome=EMPTY), finding(None, outcome=EMPTY), Answer.RECOVERED),
        (incident(outcome=Outcome.UNMEASURED), finding(None, outcome=EMPTY), Answer.RECOVERED),
        (incident(outcome=EMPTY), finding(None, day=4, outcome=EMPTY), Answer.IGNORED_OLDER),
    ],
)
def test_one_finding_against_the_incident_of_its_key(open_: Incident | None, found: Finding, answer: Answer) -> None:
    assert decide(open_, found) is answer
    news = News(environment="prod", kind="suite", subject="orders", findings=(found,))
    (change,) = fold([] if open_ is None else [open_], news, NOW)
    assert change.answer is answer
    after = change.after
    if answer in {Answer.IGNORED_OLDER, Answer.UNTOUCHED, Answer.WELL}:
        assert not change.changes and after == open_
    elif answer is Answer.RECOVERED:
        assert open_ and after and (after.ended, after.ended_at, after.severity) == ("recovered", NOW, open_.severity)
    else:
        assert after and (after.severity, after.sentence, after.interval) == (
            found.severity,
            found.sentence,
            found.interval,
        )
        assert after.opened_at == (NOW if open_ is None else open_.opened_at)


def measured(day: int = 5, part: str = "amount") -> Measured:
    return Measured(part, DAYS[day], DAYS[day].start)


ORG1, ORG2 = key(org='["1"]'), key(org='["2"]')


@pytest.mark.parametrize(
    ("news", "answers"),
    [
        ({"measured": (measured(),)}, {ORG1: "recovered"}),
        ({"measured": (measured(6),)}, {ORG1: "recovered"}),
        ({"measured": (measured(4),)}, {ORG1: "ignored_older"}),
        ({"measured": (measured(part="other"),)}, {ORG1: "untouched"}),
        ({"measured": (measured(),), "findings": (finding(3, at=ORG1),)}, {ORG1: "still_bad"}),
        ({"measured": (measured(),), "findings": (finding(3, at=ORG2),)}, {ORG1: "recovered", ORG2: "opened"}),
        ({"measured": (measured(),), "findings": (finding(None, outcome=EMPTY, at=ORG1),)}, {ORG1: "untouched"}),
        ({"findings": (finding(3, outcome=Outcome.UNMEASURED),)}, {ORG1: "untouched", key(): "opened"}),
        ({}, {ORG1: "untouched"}),
        ({"parts": frozenset({"amount"})}, {ORG1: "untouched"}),
        ({"parts": frozenset({"other"})}, {ORG1: "vanished"}),
        ({"parts": frozenset()}, {ORG1: "vanished"}),
        (
            {"parts": frozenset({"new"}), "renames": {"amount": "new"}},
            {ORG1: "renamed", key("new", ORG1.org): "untouched"},
        ),
        (
            {"parts": frozenset({"new"}), "renames": {"amount": "new"}, "measured": (measured(part="new"),)},
            {ORG1: "renamed", key("new", ORG1.org): "recovered"},
        ),
    ],
)
def test_what_happens_to_incidents_without_a_finding(news: dict, answers: dict[IncidentKey, str]) -> None:
    changes = fold([incident(at=ORG1)], News(environment="prod", kind="suite", subject="orders", **news), NOW)
    keyed = [(((c.before or c.after).key), str(c.answer)) for c in changes]  # type: ignore[union-attr]  # one of them is there
    assert dict(keyed) == answers and len(keyed) == len(answers)


def test_of_a_run_over_several_partitions_the_bad_one_keeps_the_incident_open() -> None:
    """A range has one summary: an org that is bad anywhere in it is not closed by it, any other is."""
    whole = Interval(DAYS[2].start, DAYS[6].end)
    news = News(
        environment="prod",
        kind="suite",
        subject="orders",
        findings=(finding(3, day=3, at=ORG1),),
        measured=(Measured("amount", whole, DAYS[6].start),),
    )
    answers = {
        c.before.key: c.answer
        for c in fold([incident(day=2, at=ORG1), incident(day=6, at=ORG2)], news, NOW)
        if c.before
    }
    assert answers == {ORG1: Answer.STILL_BAD, ORG2: Answer.RECOVERED}


def test_news_of_another_subject_is_refused() -> None:
    with pytest.raises(ValueError, match="not about prod/suite/other"):
        News(environment="prod", kind="suite", subject="other", findings=(finding(3),))


# ------------------------------------------------------------------------------------------------ what a run says

SUITE = Suite(
    "orders",
    Table("warehouse", "orders"),
    owner="sales-data",
    runbook="https://wiki/orders",
    tags=("gold",),
    notify={"critical": "pagerduty:orders"},
    checks=[
        Check(
            "amount", Rows("amount > 0"), tags="money", notify={"critical": ["team"], "warning": "team"}, was="amounts"
        ),
        Check("other", Rows("x > 0"), owner="me", runbook="https://wiki/other"),
    ],
)
GROUP1, GROUP2 = Group(("org",), ("1",)), Group(("org",), ("2",))


def run(*results: Result, kind: str = "suite", interval: Interval = DAYS[5]) -> Run:
    return Run(
        id="r",
        environment="prod",
        suite="orders",
        kind=kind,
        interval=interval,
        origin="test",
        started_at=NOW,
        results=results,
    )


def result(
    outcome: Outcome,
    severity: int | None = None,
    group: Group | None = None,
    orgs: int | None = None,
    bad: int | None = None,
) -> Result:
    grade = None if severity is None else Severity(severity)
    return Result(check="amount", outcome=outcome, severity=grade, group=group, orgs=orgs, orgs_bad=bad, sentence="s")


UNMEASURED = Outcome.UNMEASURED


@pytest.mark.parametrize(
    ("results", "is_measured", "bad_orgs"),
    [
        ([result(WELL)], True, []),
        ([result(WELL, orgs=5, bad=0)], True, []),
        ([result(BAD, 3)], True, [""]),
        ([result(BAD, 3, orgs=5, bad=1), result(BAD, 3, GROUP1)], True, ['["1"]']),
        ([result(EMPTY, 3, orgs=5, bad=1), result(EMPTY, 3, GROUP1)], True, ['["1"]']),
        ([result(UNMEASURED, 3, orgs=2, bad=1), result(UNMEASURED, 3, GROUP1)], True, ['["1"]']),
        (
            [result(EMPTY, 3, orgs=2, bad=2), result(EMPTY, 3, GROUP1), result(EMPTY, 3, GROUP2)],
            False,
            ['["1"]', '["2"]'],
        ),
        ([result(UNMEASURED, 3)], False, [""]),
        ([result(EMPTY, 3)], False, [""]),
        ([result(EMPTY, 3, orgs=0, bad=0)], False, [""]),
        ([result(EMPTY)], False, []),
        ([result(Outcome.SKIP)], False, []),
    ],
)
def test_what_a_summary_says_about_the_whole_check(
    results: list[Result], is_measured: bool, bad_orgs: list[str]
) -> None:
    news = news_of(run(*results), SUITE)
    assert bool(news.measured) is is_measured
    assert [f.key.org for f in news.findings if f.severity is not None] == bad_orgs


def test_findings_carry_what_a_message_and_a_route_need() -> None:
    news = news_of(run(result(BAD, 4, orgs=2, bad=1), result(BAD, 4, GROUP1)), SUITE)
    (found,) = news.findings
    assert found.labels == {
        "suite": "orders",
        "check": "amount",
        "org": "1",
        "owner": "sales-data",
        "tags": "gold,money",
        "_notify": '{"critical": ["pagerduty:orders", "team"], "warning": ["team"]}',
    }
    assert found.links == {"Runbook": "https://wiki/orders"}
    assert news.renames == {"amounts": "amount"} and news.parts == {"amount", "other"}
    assert declared_labels(SUITE, SUITE.checks[1])["owner"] == "me"
    assert news_of(run(), SUITE, complete=False).parts is None


def test_a_reconciliation_over_several_days_reaches_its_last_day() -> None:
    day, table = timedelta(days=1), Table("w", "t")
    declared = Reconciliation("orders", by="org", stages=[Stage("a", table), Stage("amount", table)])
    whole = Interval(DAYS[2].start, DAYS[6].end)
    bad = evolve(result(BAD, 3, GROUP1), partition=DAYS[3])
    news = news_of(run(result(BAD, 3, orgs=9, bad=1), bad, kind="reconciliation", interval=whole), declared)
    assert news.measured == (Measured("amount", whole, whole.end - day),)
    assert [f.interval for f in news.findings] == [DAYS[3]]
    assert news.parts == {"amount"}


# -------------------------------------------------------------------------------------------------- random histories

KEYS = [key("amount", org) for org in ("", '["1"]', '["2"]')] + [key("other")]


@st.composite
def random_news(draw: st.DrawFn) -> News:
    day = draw(st.integers(0, 7))
    bad = draw(st.dictionaries(st.sampled_from(KEYS), st.integers(1, 4), max_size=3))
    outcome = draw(st.sampled_from([BAD, UNMEASURED, EMPTY]))
    whole = draw(st.sets(st.sampled_from(["amount", "other"])))
    return News(
        environment="prod",
        kind="suite",
        subject="orders",
        findings=tuple(finding(severity, day, outcome, at) for at, severity in bad.items()),
        measured=tuple(measured(day, part) for part in sorted(whole)),
        parts=draw(st.sampled_from([None, None, None, frozenset({"amount", "other"}), frozenset({"other"})])),
    )


def store_of(changes: tuple[Change, ...], incidents: dict[int, Incident]) -> None:
    """Write changes down as the store would."""
    for change in changes:
        if change.after is None:
            continue
        old = change.before
        id_ = max(incidents, default=0) + 1
        if old is not None:
            id_ = old.id or max(id_ for id_, i in incidents.items() if i.key == old.key and i.ended_at is None)
        incidents[id_] = evolve(change.after, id=id_)


@given(st.lists(random_news(), max_size=25))
def test_properties_of_random_histories(history: list[News]) -> None:
    incidents: dict[int, Incident] = {}
    newest_bad: dict[IncidentKey, tuple[datetime, Severity]] = {}
    for number, news in enumerate(history):
        now = NOW + timedelta(minutes=number)
        opened = [i for i in incidents.values() if i.ended_at is None]
        ended_before = [i for i in incidents.values() if i.ended_at is not None]
        changes = fold(opened, news, now)
        store_of(changes, incidents)
        still = [i for i in incidents.values() if i.ended_at is None]
        assert len({i.key for i in still}) == len(still), "two open incidents of one key"
        assert all(incidents[i.id] == i for i in ended_before), "an ended incident changed"
        for change in changes:
            if change.answer is Answer.RECOVERED:
                assert change.before and news.measured[0].interval.start >= change.before.interval.start, (
                    "a back-fill closed it"
                )
            if change.answer is Answer.VANISHED:
                assert change.before and news.parts is not None and change.before.key.part not in news.parts
        # An oracle of its own: the newest bad partition, the later close among equals, since the key was well.
        for found in news.findings:
            seen = newest_bad.get(found.key)
            if found.severity is not None and (seen is None or found.interval.start >= seen[0]):
                newest_bad[found.key] = found.interval.start, found.severity
        spoken = {f.key for f in news.findings}
        for at in list(newest_bad):
            well = any(m.part == at.part and m.newest >= newest_bad[at][0] for m in news.measured) and at not in spoken
            gone = news.parts is not None and at.part not in news.parts
            heard = at in spoken or at.part in {m.part for m in news.measured}
            if well or (gone and not heard):
                del newest_bad[at]
        assert {i.key: (i.interval.start, i.severity) for i in still} == newest_bad
        assert not any(c.changes for c in fold(still, news, now)), "the same news twice changed something"


# ------------------------------------------------------------------------------------------------------- real stores


def rows(engine: Engine) -> list[Incident]:
    with engine.connect() as connection:
        return [from_row(row) for row in connection.execute(select(incident_table).order_by(incident_table.c.id))]


def close(engine: Engine, news: News, now: datetime = NOW) -> frozenset[str]:
    with engine.begin() as connection:
        return apply_findings(connection, [news], now).groups


def dirty(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        return dict(connection.execute(select(alert_group.c.group_key, alert_group.c.dirty)).all())


def test_a_life_in_the_store(empty_store: Engine) -> None:
    say = {"environment": "prod", "kind": "suite", "subject": "orders"}
    assert close(empty_store, News(**say, findings=(finding(2, at=ORG1), finding(3, at=ORG2)))) == {"prod/suite/orders"}
    assert close(empty_store, News(**say, findings=(finding(2, at=ORG1), finding(3, at=ORG2)))) == frozenset()
    assert close(empty_store, News(**say, findings=(finding(4, 6, at=ORG1),), measured=(measured(6),))) == {
        "prod/suite/orders"
    }
    one, two = rows(empty_store)
    assert (one.severity, one.ended, one.sentence, one.interval) == (Severity.CRITICAL, None, "day 6: 4", DAYS[6])
    assert (two.severity, two.ended, two.ended_at) == (Severity.ERROR, "recovered", NOW)
    with empty_store.connect() as connection:
        assert open_orgs(connection, "prod", "suite", "orders") == {"amount": frozenset({'["1"]'})}
        assert recorded_keys(connection, "prod", "suite", "orders") == {ORG1, ORG2}
        assert read_open(connection, of_subject("stage", "suite", "orders")) == ()
    close(empty_store, News(**say, renames={"amount": "sum"}, parts=frozenset({"sum"})))
    assert [i.key.part for i in rows(empty_store) if i.ended is None] == ["sum"]
    close(empty_store, News(**say, measured=(measured(6, "sum"),), findings=(finding(3, 7, at=key("sum", ORG1.org)),)))
    close(empty_store, News(**say, measured=(measured(7, "sum"),)))
    ends = [(i.key.part, i.key.org, i.ended) for i in rows(empty_store)]
    assert ends == [("sum", ORG1.org, "recovered"), ("amount", ORG2.org, "recovered"), ("sum", ORG1.org, "recovered")]
    assert dirty(empty_store) == {"prod/suite/orders": 5}


def test_an_acknowledgement_outlives_news_and_holds_until_it_is_worse(empty_store: Engine) -> None:
    say = {"environment": "prod", "kind": "suite", "subject": "orders"}
    close(empty_store, News(**say, findings=(finding(3, at=ORG1),)))
    (before,) = rows(empty_store)
    assert (before.acked, before.acked_at, before.acked_by, before.acked_severity) == (False, None, None, None)
    acked = {"acked_at": NOW, "acked_by": "ada", "acked_severity": 3, "pending": "011"}
    with empty_store.begin() as connection:
        connection.execute(incident_table.update().values(acked))
    for day, severity, holds in ((5, 3, True), (6, 4, False), (7, 2, True)):
        close(empty_store, News(**say, findings=(finding(severity, day, at=ORG1),)))
        (now,) = rows(empty_store)
        assert (now.acked, now.acked_by, now.acked_severity, now.pending) == (holds, "ada", Severity.ERROR, "011")


def test_one_close_can_open_end_and_open_again(empty_store: Engine) -> None:
    """A first-noticed late partition that is there already is bad and well in one breath."""
    late = IncidentKey("prod", "sla", "orders", "2026-11-05")
    news = News(
        environment="prod",
        kind="sla",
        subject="orders",
        findings=(finding(4, at=late), finding(None, outcome=WELL, at=late)),
    )
    close(empty_store, news)
    close(
        empty_store,
        evolve(news, findings=(finding(4, at=late), finding(None, outcome=WELL, at=late), finding(3, 6, at=late))),
    )
    assert [i.ended for i in rows(empty_store)] == ["recovered", "recovered", None]


def test_what_is_rolled_back_marks_nothing(empty_store: Engine) -> None:
    with empty_store.connect() as connection, connection.begin() as transaction:
        apply_findings(connection, [evolve(NEWS, findings=(finding(3),))], NOW)
        transaction.rollback()
    assert rows(empty_store) == [] and dirty(empty_store) == {}


def test_two_closes_at_once_open_one_incident(empty_server: Engine) -> None:
    barrier, errors = threading.Barrier(4), []

    def one(day: int) -> None:
        barrier.wait()
        try:
            close(
                empty_server,
                News(
                    environment="prod", kind="suite", subject="orders", findings=(finding(1 + day % 4, day, at=ORG1),)
                ),
            )
        except SQLAlchemyError as error:
            errors.append(error)

    threads = [threading.Thread(target=one, args=(day,)) for day in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    (only,) = rows(empty_server)
    assert only.interval == DAYS[3] and only.severity == Severity.CRITICAL
    assert 1 <= dirty(empty_server)["prod/suite/orders"] <= 4


@pytest.mark.soak
def test_the_store_says_what_the_pure_function_says(
    empty_store: Engine, histories: Callable[[int, int], Iterator[Random]]
) -> None:
    for rng in histories(4, 100):
        subject, incidents = f"s{rng.getrandbits(60):x}", dict[int, Incident]()
        keys = [evolve(k, subject=subject) for k in KEYS]
        for number in range(12):
            day, now = rng.randrange(8), NOW + timedelta(minutes=number)
            bad = rng.sample(keys, rng.randrange(4))
            news = News(
                environment="prod",
                kind="suite",
                subject=subject,
                findings=tuple(finding(rng.randint(1, 4), rng.choice([day, day, 7 - day]), at=k) for k in bad),
                measured=tuple(measured(day, part) for part in ("amount", "other") if rng.random() < 0.5),
                parts=rng.choice([None, frozenset({"other"})]),
                renames=rng.choice([{}, {"other": "amount"}]),
            )
            store_of(fold([i for i in incidents.values() if i.ended_at is None], news, now), incidents)
            close(empty_store, news, now)
        stored = [evolve(i, id=0) for i in rows(empty_store) if i.key.subject == subject]
        assert stored == [evolve(i, id=0) for _, i in sorted(incidents.items())]


def test_long_keys_stay_different_and_within_the_limit() -> None:
    long = [IncidentKey("e" * 64, "reconciliation", "s" * 189 + last, "p") for last in "ab"]
    assert len({group_key(k) for k in long}) == 2 and all(len(group_key(k)) == 255 for k in long)
    assert short_key("x" * 255) == "x" * 255
