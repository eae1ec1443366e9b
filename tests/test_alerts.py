"""What is open, who knows, and what waits, on every database that a store can live in; with a real pump."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from dq import app
from dq.alerting import undelivered as outbox
from dq.alerting.config import parse_alerting
from dq.alerting.matcher import Matcher
from dq.alerting.silences import Silence
from dq.app.alerting import mutes
from dq.app.session import store_engine
from dq.model.errors import UsageError
from dq.model.incident import Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity
from dq.project import Project
from dq.store.schema import alert_group, metadata
from dq.store.schema import outbox as outbox_table
from tests.receivers import MAIL, ONCALL, TEAM, Receivers

KEY = "c4nary00c4nary00c4nary00c4nary00"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)  # a Saturday
DAY = Interval.of_day("2026-11-20")

SUITES = """
from dq import Check, Rows, Suite, Table

def suite(name):
    return Suite(name, Table("shop", name), checks=[Check("amount", Rows("amount > 0"), warning=0, critical=1)])

orders, users = suite("orders"), suite("users")
"""

ROUTES = f"""
fallback = "mail"
{TEAM}{ONCALL}{MAIL}
[route]
channels = ["team"]
[[route.routes]]
matchers = ['severity="critical"']
channels = ["team", "oncall"]
"""


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """A Slack, a PagerDuty and a mail server."""
    with Receivers() as listening:
        yield listening


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def project(
    request: pytest.FixtureRequest,
    make_project: Callable[..., Path],
    receivers: Receivers,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    """Two suites, receivers, and a store on each database in turn."""
    name = request.param
    url = "sqlite:///var/dq.sqlite" if name == "sqlite" else request.getfixturevalue(f"{name}_url")
    secrets = {"STORE": url, **receivers.environment(KEY)}
    for key, value in secrets.items():
        monkeypatch.setenv(key, value)
    toml = 'environment = "test"\n[store]\nurl = "env:STORE"\n[datasources.shop]\nurl = "sqlite:///var/shop.sqlite"\n'
    root = make_project(toml, {"checks/shop.py": SUITES, "alerting/routes.toml": ROUTES})
    (root / "var").mkdir()
    found = app.open_project(root)
    app.upgrade(found)
    yield found
    store_engine(found).dispose()


def bad(project: Project, suite: str, rows: int) -> None:
    """A run in which so many rows are wrong: one is a warning, two are critical."""
    with sqlite3.connect(project.root / "var/shop.sqlite") as shop:
        shop.execute(f"CREATE TABLE IF NOT EXISTS {suite} (amount INTEGER)")
        shop.execute(f"DELETE FROM {suite}")
        shop.executemany(f"INSERT INTO {suite} VALUES (?)", [(-1,)] * rows + [(1,)] * 3)
    shop.close()
    app.run(project, suite, DAY)


def shown(project: Project) -> list[tuple[str, str, list[str], list[str], str | None]]:
    return [
        (
            alert.incident.key.subject,
            str(alert.incident.severity),
            [one.channel for one in alert.told],
            [mute.why for mute in alert.muted],
            None if alert.worse_than is None else str(alert.worse_than),
        )
        for alert in app.alerts(project)
    ]


def waits(project: Project) -> list[tuple[str, str, str, bool]]:
    return [(one.kind, one.channel, one.key, one.dead) for one in app.waiting(project)]


def test_a_day_on_call(project: Project, receivers: Receivers) -> None:
    bad(project, "orders", 1)
    bad(project, "users", 2)
    assert shown(project) == [
        ("users", "critical", ["oncall", "team"], [], None),
        ("orders", "warning", ["team"], [], None),
    ]
    app.silence(project, ['suite="orders"'], author="ada", comment="reload", until=timedelta(hours=1))
    assert [a.acked_by for a in app.acknowledge(project, ["users"], "bob")] == ["bob"]
    receivers.slack.stop()
    receivers.pagerduty.stop()
    bad(project, "orders", 2)
    by_subject = {line[0]: line for line in shown(project)}
    assert by_subject["orders"][3:] == (["silence"], "warning")
    assert by_subject["users"][3:] == ([], None)
    (made,) = app.silenced(project)
    app.expire_silences(project, [made.id], "ada")
    assert app.silenced(project) == () and app.silenced(project, all=True)[0].author == "ada"
    assert {line[0]: line[3] for line in shown(project)} == {"orders": [], "users": []}


def test_what_waits_is_retried_and_given_up(project: Project, receivers: Receivers) -> None:
    receivers.pagerduty.fail_next(400)
    receivers.slack.fail_next(500, {"Retry-After": "600"})
    receivers.smtp.fail_next(451, times=5)
    bad(project, "users", 2)
    bad(project, "orders", 1)
    assert waits(project) == [
        ("state", "oncall", "test/suite/users", True),
        ("state", "team", "test/suite/orders", False),
        ("state", "team", "test/suite/users", False),
        ("event", "mail", "test/suite/users", False),
    ]
    oncall, orders, users, mail = app.waiting(project)
    with pytest.raises(UsageError, match="no 'e999' in the outbox"):
        app.give_up(project, "ada", [mail.id, "e999"])
    assert len(app.waiting(project)) == 4, "all or none"

    assert [one.id for one in app.give_up(project, "ada", [mail.id, orders.id])] == [mail.id, orders.id]
    assert [one.id for one in app.waiting(project)] == [oncall.id, users.id]
    assert [one.id for one in app.retry_now(project, "ada", channel="oncall")] == [oncall.id]
    report = app.pump(project)
    assert (report.sent, report.failed, report.waiting) == (1, 0, 1), "users waits for Slack's ten minutes"
    assert [one.id for one in app.retry_now(project, "ada", [users.id])] == [users.id]
    report = app.pump(project)
    assert (report.sent, report.undelivered) == (1, False)
    assert waits(project) == []
    assert receivers.pagerduty.open_keys and len(receivers.slack.posts) == 1 and receivers.smtp.messages == []


def test_what_a_pump_has_in_its_hands_is_not_given_up(project: Project, receivers: Receivers) -> None:
    receivers.slack.fail_next(500, {"Retry-After": "600"})
    receivers.pagerduty.fail_next(400)
    receivers.smtp.fail_next(451, times=9)
    bad(project, "users", 2)
    state, event = (one for one in app.waiting(project) if one.channel in ("team", "mail"))
    engine = store_engine(project)
    until = {"lease_until": datetime.now(UTC) + timedelta(seconds=30)}
    for table, one in ((alert_group, state), (outbox_table, event)):
        with engine.begin() as connection:
            connection.execute(table.update().values(until))
        assert next(w for w in app.waiting(project) if w.id == one.id).held
        with pytest.raises(UsageError, match=f"{one.id}: a pump has it in its hands"):
            app.give_up(project, "ada", [one.id])
        with engine.begin() as connection:
            connection.execute(table.update().values(lease_until=None))
    # What was tried anew since it was looked at is another try.
    app.retry_now(project, "ada", [state.id])
    receivers.slack.fail_next(500, {"Retry-After": "600"})
    app.pump(project)
    with engine.begin() as connection:
        assert outbox.drop(connection, [state], datetime.now(UTC)) == (state,)


def test_no_secret_is_in_the_store_a_log_or_a_report_whatever_a_vendor_answers(
    project: Project, receivers: Receivers, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    secrets = [KEY, receivers.slack.webhook, receivers.slack.webhook.rsplit("/", 1)[1]]
    store = store_engine(project)
    echo = f"{KEY} {receivers.slack.webhook}"
    said = []
    for status in (500, 429, 400, 0, 200):
        receivers.pagerduty.fail_next(status, {}, echo, times=2)
        receivers.slack.fail_next(status, {}, echo, times=2)
        receivers.smtp.fail_next(451, body=echo)
        bad(project, "users", 2 if status in (500, 400) else 1)
        app.retry_now(project, "ada")
        said += [repr(app.pump(project)), repr(app.waiting(project)), repr(app.alerts(project))]
    receivers.slack.stop()
    receivers.pagerduty.stop()
    bad(project, "orders", 2)
    app.give_up(project, "ada", [app.waiting(project)[0].id])
    app.silence(project, ['suite="users"'], author="ada", comment="reload", until=timedelta(hours=1))
    said += [repr(app.pump(project)), repr(app.waiting(project)), repr(app.alerts(project))]
    with store.connect() as connection:
        rows = {table.name: connection.execute(table.select()).all() for table in metadata.sorted_tables}
    assert rows["dq_told"] and rows["dq_outbox"] and rows["dq_incident"] and rows["dq_event"]
    assert any(row.error for row in rows["dq_told"]), "what a vendor answered is kept, without what is secret in it"
    said += [repr(rows), *capfd.readouterr()]
    ours = [record for record in caplog.records if record.name != "mail.log"]  # that is of the SMTP server
    said += [logging.Formatter().format(record) for record in ours]
    said += [repr(vars(record)) for record in ours]
    everything = "\n".join(said)
    assert [secret for secret in secrets if secret in everything] == []


# --- what mutes --------------------------------------------------------------------------------------------------


def incident(id_: int, **labels: str) -> Incident:
    kind = labels.get("kind", "suite")
    return Incident(
        id=id_,
        key=IncidentKey("test", kind, labels.get("suite", "orders"), "amount"),  # type: ignore[arg-type]  # a kind
        severity=Severity.of(labels.get("severity", "error")),
        outcome=Outcome.FAIL,
        sentence="bad",
        observed="",
        threshold="",
        labels=labels,
        links={},
        interval=DAY,
        opened_at=NOW,
        changed_at=NOW,
    )


def test_why_nobody_is_told() -> None:
    config = parse_alerting(
        {
            "channels": {"team": {"type": "slack", "webhook": "env:X"}, "desk": {"type": "slack", "webhook": "env:Y"}},
            "route": {
                "channels": ["team"],
                "routes": [
                    {"matchers": ['owner="desk"'], "channels": ["desk"], "active_time_intervals": ["office"],
                     "continue": True},
                    {"matchers": ['owner="desk"', 'severity="critical"'], "channels": ["team"]},
                ],
            },
            "time_intervals": {"office": {"weekdays": ["monday:friday"]}},
            "inhibit_rules": [
                {"source_matchers": ['kind="sla"'], "target_matchers": ['kind="suite"'], "equal": ["suite"]}
            ],
        }
    )  # fmt: skip
    silence = Silence(
        id=3,
        environment="test",
        matchers=(Matcher.parse("org=14"),),
        author="ada",
        comment="moves",
        created_at=NOW,
        starts_at=NOW,
        ends_at=NOW + timedelta(hours=2),
    )
    others = {
        "plain": incident(1, suite="orders"),
        "late": incident(2, suite="late", kind="sla"),
        "behind": incident(3, suite="late"),
        "silenced": incident(4, suite="orders", org="14"),
        "desk": incident(5, suite="web", owner="desk"),
        "desk, but told elsewhere": incident(6, suite="web", owner="desk", severity="critical"),
        "seldom": evolve(incident(7, suite="orders"), pending="0101"),
        "both": incident(8, suite="late", org="14"),
    }
    found = mutes(config, [silence], tuple(others.values()), NOW)
    said = {name: [(mute.why, mute.by) for mute in muted] for name, muted in zip(others, found, strict=True)}
    held = ("silence", "silence 3 (ada, until 14:00Z: moves)")
    behind = ("inhibited", "incident 2 (late: amount)")
    blocked = ("blocked", "late is late (incident 2)")
    assert said == {
        "plain": [],
        "late": [],
        "behind": [behind, blocked],
        "silenced": [held],
        "desk": [("time", "outside of office")],
        "desk, but told elsewhere": [],
        "seldom": [("pending", "bad in 2 of the last 4 runs")],
        "both": [held, behind, blocked],
    }
