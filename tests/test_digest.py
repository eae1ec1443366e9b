"""The digest: which lines it has, and that it leaves once, to those it is for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from attrs import evolve

from dq import app
from dq.alerting.digest import NAMED, ROWS, digest
from dq.alerting.mute import Mute
from dq.cli import main
from dq.cli.show import MUTED
from dq.model.incident import Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.message import Message
from dq.model.severity import Outcome, Severity
from tests.receivers import MAIL, ONCALL, TEAM, Receivers

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
DAY = Interval.of_day("2026-11-20")
HOUR = timedelta(hours=1)


def incident(
    suite: str = "orders", part: str = "amount", org: str = "", severity: int = 3, hours: int = 30
) -> Incident:
    return Incident(
        id=1,
        key=IncidentKey("prod", "suite", suite, part, org and f'["{org}"]'),
        severity=Severity(severity),
        outcome=Outcome.FAIL,
        sentence=f"{severity} rows of {suite}",
        observed="",
        threshold="",
        labels={},
        links={},
        interval=DAY,
        opened_at=NOW - hours * HOUR,
        changed_at=NOW - hours * HOUR,
    )


def over(hours: int, **more: object) -> Incident:
    return evolve(incident(**more), ended_at=NOW - hours * HOUR, ended="recovered")  # type: ignore[arg-type]  # as above


def told(*still_open: Incident | tuple[Incident, Mute], ended: tuple[Incident, ...] = (), **more: object) -> Message:
    pairs = [one if isinstance(one, tuple) else (one, None) for one in still_open]
    given = [(one, () if mute is None else (mute,)) for one, mute in pairs]
    return digest("prod", given, ended, NOW, **{"period": timedelta(days=1), **more})  # type: ignore[arg-type]  # as above


def test_what_is_open_is_one_line_each_worst_first_and_those_of_orgs_one_together() -> None:
    taken = evolve(incident(part="users", severity=2), acked_at=NOW, acked_by="ada", acked_severity=Severity(2))
    message = told(
        incident(severity=4, hours=2),
        incident(part="rows", org="7", hours=3),
        incident(part="rows", org="8", hours=40, severity=2),
        taken,
        (incident("web", severity=1), Mute("silence", "silence 3 (bob, until 08:00Z: reload)")),
        (incident("net", severity=1), Mute("blocked", "orders is late (incident 2)")),
    )
    assert message.columns == ("What", "Who, since", "Finding")
    assert message.rows == (
        ("orders: amount (critical)", "nobody; 21 Nov 05:00Z", "4 rows of orders"),
        ("orders: rows (error, 2 orgs)", "nobody; 19 Nov 15:00Z", "3 rows of orders"),
        ("orders: users (warning)", "ada; 20 Nov 01:00Z", "2 rows of orders"),
        ("web: amount (info)", "silence 3 (bob, until 08:00Z: reload); 20 Nov 01:00Z", "1 rows of web"),
        ("net: amount (info)", "blocked: orders is late (incident 2); 20 Nov 01:00Z", "1 rows of net"),
    )
    assert (message.title, message.severity) == (
        "PROD - digest: 5 open, nothing over in the last 1d",
        Severity.CRITICAL,
    )
    assert message.summary == "The worst is orders: amount: 4 rows of orders."
    assert dict(message.facts) == {
        "Open": "5: 1 critical, 1 error, 1 warning, 2 info",
        "New": "2 in the last 1d",
        "Nobody is on": "2",
        "Over": "nothing in the last 1d",
    }


def test_who_is_on_it_no_longer_is_when_it_is_worse() -> None:
    worse = evolve(incident(severity=3), acked_at=NOW, acked_by="ada", acked_severity=Severity(2))
    assert told(worse).rows[0][1].startswith("nobody; ")


def test_what_is_over_is_told_of_once_each_and_within_the_period() -> None:
    ended = (over(1), over(2, org="7"), over(3, suite="users"), over(24, suite="at its edge"), over(40, suite="old"))
    message = told(ended=ended)
    assert message.title == "PROD - digest: nothing is open, 2 over in the last 1d"
    assert message.summary == "Nothing is open."
    assert dict(message.facts) == {"Open": "nothing", "Over": "orders: amount, users: amount"}
    assert (message.severity, message.rows, message.columns) == (Severity.INFO, (), ())
    assert "at its edge: amount" in dict(told(ended=ended, period=timedelta(days=2)).facts)["Over"]
    assert dict(told(ended=tuple(over(1, part=f"{n}") for n in range(NAMED + 2))).facts)["Over"].endswith(" and 2 more")


def test_what_waits_for_further_bad_runs_is_left_out_as_nobody_is_told_of_it() -> None:
    message = told(evolve(incident(), pending="01"), ended=(evolve(over(1), pending="010"),))
    assert message.title == "PROD - digest: nothing is open, nothing over in the last 1d"


def test_a_long_table_ends_and_the_others_are_counted() -> None:
    message = told(*(incident(part=f"check {n}") for n in range(ROWS + 5)))
    assert (len(message.rows), message.omitted) == (ROWS, 5)


def test_what_dq_does_not_know_is_not_told_as_health() -> None:
    message = told(troubles=["did not load: 1 of the declarations, see dq lint"])
    assert (message.severity, message.summary) == (
        Severity.WARNING,
        "Nothing is open. dq does not know all, see Trouble.",
    )
    assert ("Trouble", "did not load: 1 of the declarations, see dq lint") in message.facts


def test_every_reason_to_mute_has_words_for_the_terminal() -> None:
    assert set(get_args(get_type_hints(Mute)["why"])) == set(MUTED)


# ------------------------------------------------------------------------------------------------------- it leaves once

TOML = """
environment = "prod"
[store]
url = "sqlite:///store.sqlite"
[datasources.shop]
url = "sqlite:///shop.sqlite"
"""
SUITES = """
from dq import Check, Rows, Suite, Table

def suite(name):
    return Suite(name, Table("shop", name), checks=[Check("amount", Rows("amount > 0"), error=0)])

orders, users = suite("orders"), suite("users")
"""
ROUTES = TEAM + MAIL + ONCALL + '[route]\nchannels = ["team"]\n'


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


@pytest.fixture
def root(make_project, receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in receivers.environment("0123456789abcdef0123456789abcdef").items():
        monkeypatch.setenv(name, value)
    return make_project(TOML, {"checks/shop.py": SUITES, "alerting/routes.toml": ROUTES})


def put(root: Path, table: str, *amounts: int) -> None:
    with sqlite3.connect(root / "shop.sqlite") as shop:
        shop.execute(f"CREATE TABLE IF NOT EXISTS {table} (amount INTEGER)")
        shop.execute(f"DELETE FROM {table}")
        shop.executemany(f"INSERT INTO {table} VALUES (?)", [(amount,) for amount in amounts])
    shop.close()
    app.run(app.open_project(root), table, DAY)


def dq(root: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--project", str(root)])
    return int(ended.value.code or 0)


def test_it_leaves_once_to_those_it_is_for_and_again_when_it_is_asked_for_again(root, receivers, capsys) -> None:
    put(root, "orders", -1, 1)
    put(root, "users", -1, 1)
    put(root, "users", 1, 1)
    app.acknowledge(app.open_project(root), ["orders"], "ada")
    dq(root, "alerts", "pump")  # that somebody is on it
    before = len(receivers.slack.posts)
    capsys.readouterr()
    assert dq(root, "alerts", "digest", "--to", "mail", "--to", "mail") == 0
    assert capsys.readouterr().out == "sent 1, waiting 0\n"
    (mail,) = receivers.smtp.messages
    assert mail["Subject"] == "PROD - digest: 1 open, 1 over in the last 1d"
    text = mail.get_body(("plain",)).get_content()
    assert "users: amount" in text and "orders: amount" in text and "ada" in text
    assert "<td" in mail.get_body(("html",)).get_content()
    dq(root, "alerts", "pump")
    assert len(receivers.smtp.messages) == 1
    assert dq(root, "alerts", "digest", "--to", "mail", "--to", "team") == 0
    assert (len(receivers.smtp.messages), len(receivers.slack.posts)) == (2, before + 1)
    assert app.alerts(app.open_project(root))[0].told, "what the routes told stays as it was"


def test_what_did_not_load_and_what_is_not_delivered_is_in_it(root, receivers) -> None:
    (root / "checks" / "broken.py").write_text("nothing(")
    receivers.slack.fail_next(404)
    put(root, "orders", -1)
    dq(root, "alerts", "digest", "--to", "mail")
    text = receivers.smtp.messages[-1].get_body(("plain",)).get_content()
    assert "did not load: 1 of the declarations" in text and "not delivered: 1 message, see" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "mial"), "has no channel 'mial'; did you mean 'mail'?"),
        (("--to", "oncall"), "'oncall' is a pager"),
        (("--to", "mail", "--since", "8d"), "a digest looks back 7d at most"),
        ((), "--to"),
    ],
)
def test_what_cannot_be_told_is_said_in_one_sentence(root, receivers, capsys, words, said) -> None:
    assert dq(root, "alerts", "digest", *words) == 2
    assert said in capsys.readouterr().err
    assert receivers.smtp.messages == []
