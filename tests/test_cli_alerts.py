"""``dq alerts``: the installed command as somebody on call uses it, on a real project with real loopback receivers."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dq import api
from dq.alerting.matcher import Matcher
from dq.alerting.routing import Route, choose
from dq.app.proving import _samples
from dq.app.routes import walk
from dq.model.errors import UsageError
from tests.receivers import MAIL, ONCALL, TEAM, Receivers

DQ = Path(sys.executable).with_name("dq")
PAGER_KEY = "c4nary00c4nary00c4nary00c4nary00"
BAD, WORSE, GOOD = "2026-11-17", "2026-11-18", "2026-11-20"

TOML = """
environment = "test"
[store]
url = "sqlite:///var/dq.sqlite"
[datasources.shop]
url = "sqlite:///var/shop.sqlite"
"""

SUITES = """
from dq import Check, Rows, RowCount, Suite, Table, at_least

orders = Suite(
    "orders",
    Table("shop", "orders", partition="created_at", key="order_id"),
    owner="sales",
    tags=["shop"],
    checks=[
        Check("amount is positive", Rows("amount > 0"), warning=0, critical=1),
        Check("enough rows", RowCount(), error=at_least(4)),
    ],
)
"""

ROUTES = f"""
{TEAM}{ONCALL}{MAIL}
[route]
channels = ["team"]
[[route.routes]]
matchers = ['severity="critical"']
channels = ["team", "oncall"]
"""

Dq = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    """A Slack, a PagerDuty and a mail server."""
    with Receivers() as listening:
        yield listening


@pytest.fixture
def project(make_project: Callable[..., Path]) -> Path:
    """A suite whose checks fail on some days: ``BAD`` is a warning, ``WORSE`` critical; and nobody to tell it to."""
    root = make_project(TOML, {"checks/shop.py": SUITES})
    (root / "var").mkdir()
    with sqlite3.connect(root / "var/shop.sqlite") as shop:
        shop.execute("CREATE TABLE orders (order_id INTEGER, created_at TEXT, amount INTEGER)")
        for day, amounts in {BAD: [-1, 1, 1, 1], WORSE: [-1, -1, 1], GOOD: [1, 1, 1, 1]}.items():
            shop.executemany("INSERT INTO orders VALUES (1, ?, ?)", [(f"{day} 12:00:00", amount) for amount in amounts])
    shop.close()
    return root


@pytest.fixture
def routes(project: Path) -> Path:
    """The file that says who is told."""
    path = project / "alerting/routes.toml"
    path.parent.mkdir()
    path.write_text(ROUTES)
    return path


@pytest.fixture
def dq(project: Path, receivers: Receivers) -> Dq:
    """Run the installed command in the project: ``dq("alerts", "ack", 1)``."""

    def run(*args: object, stdin: int = subprocess.DEVNULL, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [DQ, *map(str, args)],
            cwd=project,
            env=environment(receivers) | extra,
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def environment(receivers: Receivers) -> dict[str, str]:
    return {
        **os.environ,
        "USER": "ada",
        "LOGNAME": "ada",
        **receivers.environment(PAGER_KEY),
    }


def fail(dq: Dq, day: str) -> None:
    done = dq("run", "orders", "--date", day)
    assert done.returncode in (0, 1, 4), done.stderr


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode, done.stderr
    return found


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert re.fullmatch(r"dq: [^\n]+\n", done.stderr), done.stderr
    assert done.stdout == ""
    return done.stderr


def lines(text: str) -> list[list[str]]:
    """The cells of a printed table."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


def events(project: Path, name: str) -> list[dict[str, Any]]:
    with sqlite3.connect(project / "var/dq.sqlite") as store:
        rows = store.execute("SELECT subject, body FROM dq_event WHERE name = ? ORDER BY id", (name,)).fetchall()
    store.close()
    return [{"subject": subject, **json.loads(body)} for subject, body in rows]


# --- looking -----------------------------------------------------------------------------------------------------


def test_nothing_is_open(dq: Dq) -> None:
    for words, said in ((("alerts",), "nothing is open in environment 'test'"), (("alerts", "outbox"), "delivered")):
        done = dq(*words)
        assert (done.returncode, done.stdout) == (0, "")
        assert said in done.stderr
    assert document(dq("alerts", "--json")) == {"exit_code": 0, "environment": "test", "alerts": [], "undelivered": []}
    done = dq("alerts", "--suite", "order")
    assert done.returncode == 2
    assert "did you mean 'orders'" in one_line(done)


def test_what_is_open_is_shown_worst_first_with_who_knows(dq: Dq, routes: Path) -> None:
    fail(dq, WORSE)
    done = dq("alerts")
    assert done.returncode == 1, done.stderr
    head, *rows = lines(done.stdout)
    assert head == ["id", "severity", "subject", "check", "org", "since", "told", "state", "found"]
    assert [row[:5] for row in rows] == [
        ["1", "critical", "orders", "amount is positive", "-"],
        ["2", "error", "orders", "enough rows", "-"],
    ]
    assert [re.sub(r" \d{4}-.*", "", row[6]) for row in rows] == ["oncall, team", "team"]
    assert [row[7] for row in rows] == ["open", "open"]
    first, second = document(dq("alerts", "--json", "--suite", "orders"))["alerts"]
    assert {k: first[k] for k in ("id", "kind", "subject", "check", "org", "severity", "outcome", "ended_at")} == {
        "id": 1, "kind": "suite", "subject": "orders", "check": "amount is positive", "org": None,
        "severity": "critical", "outcome": "fail", "ended_at": None,
    }  # fmt: skip
    assert [(t["channel"], t["key"], t["severity"]) for t in first["told"]] == [
        ("oncall", "test/suite/orders", "critical"), ("team", "test/suite/orders", "critical"),
    ]  # fmt: skip
    assert (first["acknowledged"], first["muted"], first["worse_than"]) == (None, [], None)
    assert first["labels"]["owner"] == "sales" and second["id"] == 2


@pytest.mark.slow
def test_what_is_over_is_shown_when_asked_for(dq: Dq, routes: Path) -> None:
    fail(dq, BAD)
    fail(dq, GOOD)
    assert dq("alerts").returncode == 0
    done = dq("alerts", "--all")
    assert done.returncode == 0
    assert re.search(
        r"^1 +warning +orders .* over 20\d\d-\d\d-\d\d \d\d:\d\dZ \(recovered\) ", done.stdout, re.MULTILINE
    )
    assert [alert["ended"] for alert in document(dq("alerts", "--all", "--json"))["alerts"]] == ["recovered"]
    with sqlite3.connect(dq_store(routes)) as store:
        store.execute("UPDATE dq_incident SET ended_at = '2026-01-01 00:00:00.000000'")
    store.close()
    assert document(dq("alerts", "--all", "--json"))["alerts"] == []


def dq_store(routes: Path) -> Path:
    return routes.parents[1] / "var/dq.sqlite"


@pytest.mark.parametrize(
    "command",
    [
        ["alerts"],
        ["alerts", "outbox"],
        ["alerts", "ack", "1"],
        ["alerts", "silence", "list"],
        ["alerts", "silence", "add", "suite=orders", "--for", "1h", "--comment", "x"],
        ["alerts", "retry", "--all"],
        ["alerts", "test-route", "suite=orders"],
    ],
    ids=" ".join,
)
def test_a_store_that_is_away(dq: Dq, project: Path, command: list[str]) -> None:
    toml = TOML.replace("sqlite:///var/dq.sqlite", 'postgresql://dq@127.0.0.1:1/dq"\npassword = "env:STORE')
    (project / "dq.toml").write_text(toml)
    done = dq(*command, STORE="canary")
    assert done.returncode == 3
    assert "canary" not in one_line(done)


def test_options_stand_behind_the_command(dq: Dq) -> None:
    done = dq("alerts", "--json", "outbox")
    assert done.returncode == 2
    assert "dq alerts outbox" in one_line(done)


# --- acknowledging -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_acknowledgement_is_shown_until_it_is_worse(dq: Dq, project: Path, routes: Path) -> None:
    fail(dq, BAD)
    done = dq("alerts", "ack", "1", "--comment", "the load is being repeated")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "acknowledged by ada at warning: 1 orders: amount is positive\n"
    assert lines(dq("alerts").stdout)[1][7] == "acknowledged by ada"
    acked = document(dq("alerts", "--json"))["alerts"][0]["acknowledged"]
    assert (acked["by"], acked["severity"], acked["holds"]) == ("ada", "warning", True)

    fail(dq, WORSE)
    assert lines(dq("alerts").stdout)[1][7] == "WORSE than warning; acknowledged by ada at warning"
    worse = document(dq("alerts", "--json"))["alerts"][0]
    assert (worse["worse_than"], worse["acknowledged"]["holds"]) == ("warning", False)

    assert dq("alerts", "ack", "test/suite/orders", "--by", "bob").stderr.count("acknowledged by bob at ") == 2
    assert "WORSE" not in dq("alerts").stdout
    assert dq("alerts", "unack", "orders").stderr.count("no longer acknowledged: ") == 2
    assert "acknowledged" not in dq("alerts").stdout

    (first, *_) = events(project, "incident_acknowledged")
    assert {k: first[k] for k in ("subject", "incident", "by", "comment", "severity")} == {
        "subject": "orders", "incident": 1, "by": "ada", "comment": "the load is being repeated", "severity": "warning",
    }  # fmt: skip
    assert [event["by"] for event in events(project, "incident_unacknowledged")] == ["ada", "ada"]


@pytest.mark.slow
def test_what_cannot_be_acknowledged(dq: Dq) -> None:
    def refused(*words: str) -> str:
        done = dq("alerts", *words)
        assert done.returncode == 2
        return one_line(done)

    assert "nothing is open in environment 'test'" in refused("ack", "7")
    fail(dq, BAD)
    assert "'7' is no open incident, subject or key in environment 'test'; known are orders" in refused("ack", "7")
    assert "did you mean 'orders'" in refused("ack", "order")
    assert "Missing argument" in refused("ack")
    assert "say who you are" in refused("ack", "1", "--by", " ")
    assert "nothing that is open of 'orders' is acknowledged" in refused("unack", "orders")
    assert "no open incident" in refused("ack", "1", "7"), "all or none"
    assert document(dq("alerts", "--json"))["alerts"][0]["acknowledged"] is None


# --- silences ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_silence_swallows_nothing_that_is_new_or_worse(dq: Dq, project: Path) -> None:
    """Nobody is told anything here, so only the event log knows how bad it was when the silence began."""
    made = dq("alerts", "silence", "add", "suite=orders", "--for", "2h", "--comment", "reload of November")
    assert made.returncode == 0, made.stderr
    assert re.match(r'silence 1: \{suite="orders"\} until 20\d\d-\d\d-\d\d \d\d:\d\dZ\n', made.stderr)
    assert "nothing that is open satisfies it" in made.stderr
    fail(dq, BAD)
    done = dq("alerts")
    assert done.returncode == 1, "a silence does not mend anything"
    new = lines(done.stdout)[1]
    assert re.fullmatch(r"silence 1 \(ada, until [\d :-]+Z: reload of November\); nobody was told", new[7]), new
    fail(dq, WORSE)
    assert lines(dq("alerts").stdout)[1][7].startswith("WORSE than warning; silence 1 (ada")
    worse = document(dq("alerts", "--json"))["alerts"][0]
    assert (worse["worse_than"], [mute["why"] for mute in worse["muted"]]) == ("warning", ["silence"])

    again = dq("alerts", "silence", "add", "suite=orders", "--for", "2h", "--comment", "seen", "--by", "bob")
    assert again.stderr.count("is about ") == 2
    assert dq("alerts", "silence", "expire", "1").stderr == 'silence 1 is over: {suite="orders"}\n'
    assert "WORSE" not in dq("alerts").stdout, "the second silence began when it was as bad as now"
    assert [(e["subject"], e["author"]) for e in events(project, "silence_added")] == [("1", "ada"), ("2", "bob")]
    assert [(e["subject"], e["by"]) for e in events(project, "silence_ended")] == [("1", "ada")]


def test_what_was_told_before_the_silence_shows_when_it_is_worse(dq: Dq, routes: Path, receivers: Receivers) -> None:
    fail(dq, BAD)
    assert dq("alerts", "silence", "add", "check=~amount.*", "--for", "1h", "--comment", "known").returncode == 0
    receivers.slack.stop()
    receivers.pagerduty.stop()
    fail(dq, WORSE)
    first, second = document(dq("alerts", "--json"))["alerts"]
    assert (first["worse_than"], [t["severity"] for t in first["told"]]) == ("warning", ["warning"])
    assert (second["check"], second["muted"], second["worse_than"]) == ("enough rows", [], None)


@pytest.mark.slow
def test_silences_are_listed_and_ended(dq: Dq) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert "nothing is silenced" in dq("alerts", "silence", "list").stderr
    assert dq("alerts", "silence", "add", "suite=orders", "--for", "1h", "--comment", "now").returncode == 0
    later = dq(
        "alerts", "silence", "add", 'check=~"amount.*|x"', "severity!=critical", "--starts", tomorrow.isoformat(),
        "--until", (tomorrow + timedelta(hours=2)).isoformat(), "--comment", "later",
    )  # fmt: skip
    assert later.returncode == 0, later.stderr
    assert f", from {tomorrow:%Y-%m-%d %H:%M}Z on" in later.stderr
    head, *rows = lines(dq("alerts", "silence", "list").stdout)
    assert head == ["id", "state", "matchers", "from", "until", "by", "comment"]
    assert [(row[0], row[1], row[2], row[5], row[6]) for row in rows] == [
        ("1", "active", 'suite="orders"', "ada", "now"),
        ("2", "pending", 'check=~"amount.*|x" severity!="critical"', "ada", "later"),
    ]
    assert dq("alerts", "silence", "expire", "1", "2").returncode == 0
    assert "nothing is silenced" in dq("alerts", "silence", "list").stderr
    found = document(dq("alerts", "silence", "list", "--all", "--json"))["silences"]
    assert [(one["id"], one["state"], one["author"], one["comment"]) for one in found] == [
        (1, "expired", "ada", "now"), (2, "expired", "ada", "later"),
    ]  # fmt: skip
    for ids, words in (("1", "is over since"), ("9", "there is no silence 9"), ("first", "not a valid integer")):
        done = dq("alerts", "silence", "expire", ids)
        assert done.returncode == 2
        assert words in one_line(done)


WRONG = {
    "no matcher": ([], ["--for", "1h"], "Missing argument"),
    "a matcher that is none": (["orders"], ["--for", "1h"], "'orders' is not a matcher; write it like"),
    "a pattern that is none": (["suite=~("], ["--for", "1h"], "is not a regular expression"),
    "a label that is none": (["siute=orders"], ["--for", "1h"], "did you mean 'suite'"),
    "everything": (['suite=~".*"'], ["--for", "1h"], "matches everything"),
    "no time": (["suite=orders"], [], "--for 2h, or --until"),
    "two times": (["suite=orders"], ["--for", "1h", "--until", "2030-01-01T00:00Z"], "--for 2h, or --until"),
    "in the past": (["suite=orders"], ["--until", "2026-01-01T00:00Z"], "over already: it ends 2026-01-01 00:00Z"),
    "its end first": (
        ["suite=orders"],
        ["--starts", "2090-01-02T00:00Z", "--until", "2090-01-01T00:00Z"],
        "before it starts",
    ),
    "no zone": (["suite=orders"], ["--until", "2090-01-01T00:00"], "is not a time with a zone"),
    "no duration": (["suite=orders"], ["--for", "soon"], "not a duration"),
    "another environment": (["environment=prod"], ["--for", "1h"], "holds nowhere in environment 'test'"),
}


@pytest.mark.parametrize(("matchers", "options", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_silence(dq: Dq, matchers: list[str], options: list[str], words: str) -> None:
    done = dq("alerts", "silence", "add", *matchers, *options, "--comment", "x")
    assert done.returncode == 2
    assert words in one_line(done)


def test_a_silence_needs_a_reason(dq: Dq) -> None:
    assert "--comment" in one_line(dq("alerts", "silence", "add", "suite=orders", "--for", "1h"))
    assert "why" in one_line(dq("alerts", "silence", "add", "suite=orders", "--for", "1h", "--comment", " "))


def test_silencing_from_python(dq: Dq, project: Path) -> None:
    number = api.silence("suite=orders", "org=14", comment="load", author="ada", lasts="90m", project=project)
    (found,) = document(dq("alerts", "silence", "list", "--json"))["silences"]
    assert (found["id"], found["matchers"]) == (number, ['suite="orders"', 'org="14"'])
    begins, ends = (datetime.fromisoformat(found[name]) for name in ("starts_at", "ends_at"))
    assert ends - begins == timedelta(minutes=90)
    for given in ({}, {"lasts": "1h", "until": begins}, {"until": datetime(2090, 1, 1)}):  # noqa: DTZ001  # has no zone
        with pytest.raises(UsageError, match=r"until|time zone"):
            api.silence("suite=orders", comment="load", author="ada", project=project, **given)


# --- the outbox --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_not_delivered_is_shown_and_tried_again(
    dq: Dq, project: Path, routes: Path, receivers: Receivers
) -> None:
    receivers.pagerduty.fail_next(400, body='{"status":"invalid event"}')
    receivers.slack.fail_next(500, {"Retry-After": "600"})
    fail(dq, WORSE)
    done = dq("alerts", "outbox")
    assert done.returncode == 4
    head, *rows = lines(done.stdout)
    assert head == ["id", "channel", "key", "since", "tries", "next", "state", "message"]
    oncall, team = rows
    assert re.fullmatch(r"s[0-9a-f]{8}", team[0])
    assert oncall[1:3] == ["oncall", "test/suite/orders"] and oncall[6].startswith("dead: ")
    assert team[1:3] == ["team", "test/suite/orders"] and team[6].startswith("waits: ") and "500" in team[6]
    assert all(row[7].startswith("TEST - orders: ") for row in rows)
    late = document(dq("alerts", "--json"))["undelivered"]
    assert [(one["channel"], one["dead"], one["attempts"]) for one in late] == [("oncall", True, 0), ("team", False, 1)]
    assert "not delivered: 2 messages" in dq("alerts").stdout

    for words, said in (
        (["retry"], "Say what"),
        (["retry", "e99"], f"no 'e99' in the outbox; what waits is {oncall[0]}, {team[0]}"),
        (["retry", "--channel", "nobody"], "nothing waits for the channel 'nobody'"),
        (["retry", team[0], "--all"], "Say what"),
    ):
        refused = dq("alerts", *words)
        assert refused.returncode == 2
        assert said in one_line(refused)

    assert dq("alerts", "pump").returncode == 4, "neither is due yet"
    assert receivers.pagerduty.open_keys == set()
    again = dq("alerts", "retry", "--channel", "oncall", "--by", "bob")
    assert again.returncode == 0 and f"due now: {oncall[0]} oncall: TEST - orders: " in again.stderr
    assert dq("alerts", "retry", team[0]).returncode == 0
    pumped = dq("alerts", "pump")
    assert (pumped.returncode, pumped.stdout) == (0, "sent 2, failed 0, dead 0, waiting 0\n"), pumped.stderr
    assert len(receivers.slack.posts) == 1
    assert receivers.pagerduty.open_keys == {"test/suite/orders"}
    assert [(e["channel"], e["by"]) for e in events(project, "alert_retried")] == [("oncall", "bob"), ("team", "ada")]
    assert document(dq("alerts", "outbox", "--json"))["undelivered"] == []
    shown = f"{done.stdout}{again.stderr}{pumped.stderr}"
    assert PAGER_KEY not in shown and "127.0.0.1" not in shown


def test_what_no_pump_has_looked_at_is_shown(dq: Dq, routes: Path) -> None:
    fail(dq, BAD)
    with sqlite3.connect(dq_store(routes)) as store:
        store.execute("UPDATE dq_alert_group SET dirty = dirty + 1")
    store.close()
    done = dq("alerts", "outbox")
    assert done.returncode == 0, "nothing has failed"
    assert lines(done.stdout)[1][2] == "test/suite/orders" and "not looked at yet" in done.stdout


@pytest.mark.slow
def test_what_is_given_up_is_not_tried_or_counted_again(
    dq: Dq, project: Path, routes: Path, receivers: Receivers
) -> None:
    receivers.pagerduty.fail_next(400, times=1)
    routes.write_text('fallback = "mail"\n' + ROUTES)
    receivers.smtp.stop()
    fail(dq, WORSE)
    state, event = (one["id"] for one in document(dq("alerts", "outbox", "--json"))["undelivered"])
    assert (state[0], event[0]) == ("s", "e"), "the pager refused, and the fallback could not be told of it"
    asked = dq("alerts", "drop", state)
    assert asked.returncode == 2 and "say --yes" in one_line(asked)
    assert "no 'e99'" in one_line(dq("alerts", "drop", state, "e99", "--yes")), "all or none"
    assert len(document(dq("alerts", "outbox", "--json"))["undelivered"]) == 2
    dropped = dq("alerts", "drop", state, event, "--yes", "--by", "bob")
    assert (dropped.returncode, dropped.stderr.count("given up: ")) == (0, 2)
    pumped = dq("alerts", "pump")
    assert (pumped.returncode, pumped.stdout) == (0, "sent 0, failed 0, dead 0, waiting 0\n"), pumped.stderr
    assert document(dq("alerts", "outbox", "--json"))["undelivered"] == []
    noted = events(project, "alert_dropped")
    assert [(e["id"], e["channel"], e["by"]) for e in noted] == [(state, "oncall", "bob"), (event, "mail", "bob")]
    assert noted[0]["title"].startswith("TEST - orders: ") and noted[0]["error"]
    # Other news of the same incidents goes out.
    with sqlite3.connect(project / "var/shop.sqlite") as shop:
        shop.execute("UPDATE orders SET amount = 1")
        shop.executemany("INSERT INTO orders VALUES (1, ?, 1)", [(f"{WORSE} 13:00:00",)] * 2)
    shop.close()
    fail(dq, WORSE)
    assert receivers.pagerduty.received[-1]["event_action"] == "resolve"


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 130, 1), ("y\n", 0, 0)])
def test_giving_up_asks_on_a_terminal(
    dq: Dq, routes: Path, receivers: Receivers, answer: str, code: int, left: int
) -> None:
    receivers.slack.fail_next(500, times=9)
    fail(dq, BAD)
    (one,) = document(dq("alerts", "outbox", "--json"))["undelivered"]
    main, side = pty.openpty()
    os.write(main, answer.encode())
    done = dq("alerts", "drop", one["id"], stdin=side)
    os.close(side)
    os.close(main)
    assert done.returncode == code, done.stderr
    assert f"Give up {one['id']}" in done.stderr
    # On a slow machine the time of the next try has come, at which the next pump looks at the group.
    waiting = document(dq("alerts", "outbox", "--json"))["undelivered"]
    assert len([one for one in waiting if one["kind"] != "group"]) == left


# --- routes ------------------------------------------------------------------------------------------------------

TREE = (
    ROUTES
    + """
continue = true
[[route.routes]]
matchers = ['owner="sales"', 'kind="suite"']
group_by = ["environment", "subject", "check"]
channels = ["mail"]
group_wait = "30s"
repeat_interval = "4h"
mute_time_intervals = ["never"]
[[route.routes]]
matchers = ['owner="sales"', 'kind="suite"', 'check="enough rows"']
channels = ["team"]
[time_intervals.never]
years = ["1999"]
"""
)


@pytest.mark.slow
def test_routes_are_explained(dq: Dq, routes: Path) -> None:
    routes.write_text(TREE)
    done = dq("alerts", "test-route", "suite=orders", "severity=critical", "check=amount is positive")
    assert done.returncode == 0, done.stderr
    assert "owner=sales" in done.stdout.splitlines()[0], "what the suite declares is filled in"
    assert [row[:3] for row in lines(done.stdout)[2:6]] == [
        ["[route]", "passed on", "-"],
        ['severity="critical"', "chosen", "-"],
        ['owner="sales" kind="suite"', "chosen", "-"],
        ['owner="sales" kind="suite" check="enough rows"', "not tried", "-"],
    ]
    head, *places = lines(done.stdout)[7:]
    assert head == ["channel", "when", "key", "group by", "repeated", "recovery", "now"]
    assert [place[:3] for place in places] == [
        ["team", "at once", "test/suite/orders"],
        ["oncall", "at once", "test/suite/orders"],
        ["mail", "after 30s", "test/suite/orders/check=amount is positive"],
    ]
    assert places[2][4] == "every 4h"
    other = document(dq("alerts", "test-route", "kind=sla", "suite=orders", "--json"))
    assert [(p["channel"], p["route"]) for p in other["places"]] == [("team", [])]
    assert [(r["verdict"], r["why"]) for r in other["routes"]] == [
        ("chosen", None), ("no match", "severity is 'error'"), ("no match", "kind is 'sla'"),
        ("no match", "kind is 'sla'"),
    ]  # fmt: skip
    assert dq("alerts", "silence", "add", "owner=sales", "--for", "1h", "--comment", "known").returncode == 0
    muted = dq("alerts", "test-route", "suite=orders")
    assert muted.returncode == 4
    assert re.search(r"^muted now: silence 1 \(ada, until .*: known\)$", muted.stdout, re.MULTILINE)
    routes.write_text(TREE.replace('years = ["1999"]', 'years = ["1999:2999"]'))
    hours = document(dq("alerts", "test-route", "suite=x", "owner=sales", "--json"))
    assert [place["muted_by_time"] for place in hours["places"]] == ["never"]
    assert hours["exit_code"] == 4 or hours["muted"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["orders"], "'orders' is not LABEL=VALUE"),
        (["siute=orders"], "did you mean 'suite'"),
        (["severity=fatal"], "unknown severity 'fatal'"),
        (["kind=table"], "there is no kind 'table'"),
        (["outcome=pass"], "no incident has the outcome 'pass'"),
        (["suite=a", "subject=b"], "no incident has both"),
        (["suite=a", "suite=b"], "given twice"),
        ([], "Missing argument"),
    ],
)
def test_labels_that_no_incident_has(dq: Dq, routes: Path, labels: list[str], words: str) -> None:
    done = dq("alerts", "test-route", *labels)
    assert done.returncode == 2
    assert words in one_line(done)


def test_the_explanation_is_what_routing_does(histories: Callable[[int, int], Iterator[random.Random]]) -> None:
    values = ["", "a", "b", "ab"]
    for rng in histories(300, 5_000):

        def route(depth: int, rng: random.Random = rng) -> Route:
            matchers = tuple(
                Matcher(
                    rng.choice(["x", "y"]), rng.choice(["=", "!=", "=~", "!~"]), rng.choice(["a", "b", "a|b", "a.*"])
                )
                for _ in range(rng.randrange(3) if depth else 0)
            )
            below = tuple(route(depth + 1) for _ in range(rng.randrange(4) if depth < 3 else 0))
            return Route(matchers=matchers, continue_=rng.random() < 0.4, routes=below)

        tree = route(0)
        labels = {name: rng.choice(values) for name in ("x", "y")}
        steps = walk(tree, labels)
        way = {step.at: step.route for step in steps}
        chosen = [
            tuple(str(m) for n in range(len(step.at) + 1) for m in way[step.at[:n]].matchers)
            for step in steps
            if step.verdict == "chosen"
        ]
        assert chosen == [taken.path for taken in choose(tree, labels)]


@pytest.mark.parametrize(
    "pattern", ["orders", "orders.*", "a|b", "(eu|us)-.+", r"org\d+", "[a-f]x", r"a\.b", "x{3}|y", "(?:web)?shop"]
)
def test_a_text_is_found_for_a_simple_pattern(pattern: str) -> None:
    assert any(re.fullmatch(pattern, text) for text in _samples(pattern))


# --- selftest ----------------------------------------------------------------------------------------------------


def test_every_route_is_proved_and_nothing_leaves(dq: Dq, project: Path, routes: Path, receivers: Receivers) -> None:
    routes.write_text(TREE)
    found = document(dq("alerts", "selftest", "--json", SLACK_WEBHOOK="", PAGER_KEY=""))
    assert found["sent"] is False
    answers = [(route["route"], route["answer"], route["channels"]) for route in found["routes"]]
    assert answers == [
        ([], "fires", ["team"]),
        (['severity="critical"'], "fires", ["team", "oncall"]),
        (['owner="sales"', 'kind="suite"'], "fires", ["mail"]),
        (['owner="sales"', 'kind="suite"', 'check="enough rows"'], "never reached", ["team"]),
    ]
    assert found["exit_code"] == 4, "a route that nothing reaches is a mistake"
    critical = found["routes"][1]
    assert critical["labels"]["severity"] == "critical"
    said = [(m["channel"], m["status"], m["delivered"]) for m in critical["messages"]]
    assert said == [("oncall", "firing", None), ("team", "firing", None), ("oncall", "resolved", None),
                    ("team", "resolved", None)]  # fmt: skip
    pager = critical["messages"][0]["payload"]
    assert (pager["event_action"], pager["routing_key"]) == ("trigger", "***")
    assert pager["payload"]["summary"].startswith("TEST - ")
    assert "1 row violates" in pager["payload"]["custom_details"]["summary"]
    assert receivers.slack.received == receivers.pagerduty.received == receivers.smtp.received == []
    assert not (project / "var/dq.sqlite").exists(), "the project's store is not touched"
    text = dq("alerts", "selftest", "--channel", "oncall")
    assert text.returncode == 0, text.stderr
    assert lines(text.stdout)[1][:3] == ['severity="critical"', "fires", "tells oncall"]
    assert '"event_action": "trigger"' in text.stdout


def test_who_is_told_when_nobody_acknowledges_is_proved_too(dq: Dq, routes: Path, receivers: Receivers) -> None:
    routes.write_text(
        ROUTES.replace('channels = ["team", "oncall"]', 'group_wait = "30s"\ngroup_interval = "5m"')
        + '[[route.routes.escalate]]\nafter = "15m"\nchannels = ["oncall"]\n'
    )
    found = document(dq("alerts", "selftest", "--json"))
    assert found["exit_code"] == 0
    critical = found["routes"][1]
    assert (critical["answer"], critical["channels"]) == ("fires", ["team", "oncall"])
    said = [(m["channel"], m["status"]) for m in critical["messages"]]
    assert said[:2] == [("team", "firing"), ("oncall", "firing")], "the pager is the last to hear of it"
    assert sorted(said[2:]) == [("oncall", "resolved"), ("team", "resolved")]
    pager = critical["messages"][1]["payload"]
    assert pager["payload"]["custom_details"]["Escalated"] == "nobody acknowledged within 15m"
    sent = document(dq("alerts", "selftest", "--send", "--channel", "oncall", "--json"))
    assert [(r["answer"], [m["delivered"] for m in r["messages"]]) for r in sent["routes"]] == [("fires", [True, True])]
    assert [(a.opens, a.resolves) for a in receivers.pagerduty.alerts.values()] == [(1, 1)]
    assert receivers.slack.posts == [], "only that channel"


def test_a_test_that_is_really_sent_is_marked_and_resolved(
    dq: Dq, project: Path, routes: Path, receivers: Receivers
) -> None:
    found = document(dq("alerts", "selftest", "--send", "--json"))
    assert found["exit_code"] == 0
    assert all(m["delivered"] for route in found["routes"] for m in route["messages"])
    (key,) = receivers.pagerduty.alerts
    alert = receivers.pagerduty.alerts[key]
    assert (alert.opens, alert.resolves, alert.open) == (1, 1, False)
    assert key[1].startswith("test/suite/") and "/selftest-" in key[1], "a real page has another key"
    posts = [post["text"] for post in receivers.slack.posts]
    assert len(posts) == 4 and all("TEST - " in post for post in posts)
    assert not (project / "var/dq.sqlite").exists()


def test_a_channel_that_does_not_take_the_test(dq: Dq, routes: Path, receivers: Receivers) -> None:
    receivers.pagerduty.fail_next(400, times=10)
    done = dq("alerts", "selftest", "--send", "--channel", "oncall")
    assert done.returncode == 4
    assert re.search(r'^severity="critical" +refused +oncall did not take it: .*400', done.stdout, re.MULTILINE)
    assert PAGER_KEY not in done.stdout + done.stderr and "127.0.0.1" not in done.stdout + done.stderr
    assert receivers.slack.received == [], "only that channel"


def test_a_page_that_stays_open_is_told(dq: Dq, routes: Path, receivers: Receivers) -> None:
    original = receivers.pagerduty.take

    def refuse_resolves(path: str, headers: Any, raw: bytes, document: Any) -> tuple[bool, tuple[int, str]]:
        if document["event_action"] == "resolve":
            return False, (400, "{}")
        return original(path, headers, raw, document)

    receivers.pagerduty.take = refuse_resolves  # type: ignore[method-assign]  # a vendor that resolves nothing
    done = dq("alerts", "selftest", "--send", "--channel", "oncall")
    assert done.returncode == 4
    assert re.search(r"oncall may still show test/suite/\S+/selftest-\w+: resolve it by hand", done.stdout)


def test_nothing_to_prove(dq: Dq, routes: Path) -> None:
    for words in (["alerts", "selftest", "--channel", "nobody"],):
        done = dq(*words)
        assert done.returncode == 2 and "there is no channel 'nobody'" in one_line(done)
    routes.unlink()
    done = dq("alerts", "selftest")
    assert done.returncode == 2 and "configures no channel" in one_line(done)
