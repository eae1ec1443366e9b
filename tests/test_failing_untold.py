"""What a run shows of rows goes to whoever runs it and into the store; no channel gets any of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dq import app
from dq.model.interval import Interval
from dq.model.severity import Outcome
from tests.receivers import Receivers
from tests.test_kill import ROUTES

DAY = "2024-06-24"
TOML = """
environment = "prod"
[datasources.live]
url = "sqlite:///live.sqlite"
write = true
"""
CHECKS = """
from dq import *
table = Table("live", "orders", partition="day", key=("ref", "email"), tags={"note": "personal"})
show = ShowRows(["note", "amount"], most=50, always=True)
orders = Suite("orders", table, show=show, checks=[
    Check("positive", Rows("amount > 0"), critical=0, quarantine="bad"),
    Check("by org", Rows("amount > 0"), critical=0, by=By("org", expected=["a", "absent"])),
    Check("within", Rows("amount > 0"), critical=50),
    Check("known", Values("email", ["nobody"], all=False), critical=0),
    Check("usual", MostCommon("note", ["nothing"]), critical=0),
    Check("once", Unique("org"), critical=0),
    Check("there", Reference("ref", Table("live", "refs")), critical=0),
    Check("greatest", Max("email"), critical=at_most(1)),
    Check("fresh", Freshness("note"), critical=at_most("3h")),
    Check("broken", Rows("amount > 0"), critical=0, show=ShowRows("typo")),
])
"""
ROWS = [(DAY, "a", f"REF-{n}-SEEN", f"mail-{n}-SEEN@x.org", f"note-{n}-SEEN", -987_654.25 - n) for n in range(3)]


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    with Receivers(tmp_path / "payloads") as made:
        yield made


def test_no_channel_gets_a_row(
    receivers: Receivers, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "SLACK_WEBHOOK": receivers.slack.webhook,
        "PD_KEY": "k" * 32,
        "PD_URL": receivers.pagerduty.url,
        "VO_URL": receivers.victorops.url,
        "SMTP_HOST": receivers.smtp.host,
        "SMTP_PORT": str(receivers.smtp.port),
    }.items():
        monkeypatch.setenv(name, value)
    root = make_project(TOML, {"checks/orders.py": CHECKS, "alerting/routes.toml": ROUTES})
    with sqlite3.connect(root / "live.sqlite") as live:
        live.execute("CREATE TABLE orders (day TEXT, org TEXT, ref TEXT, email TEXT, note TEXT, amount REAL)")
        live.execute("CREATE TABLE refs (ref TEXT)")
        live.execute("CREATE TABLE bad (dq_suite TEXT, dq_check TEXT, dq_from TEXT, dq_to TEXT, dq_at TEXT, day, org,"
                     " ref, email UNIQUE ON CONFLICT ABORT, note, amount)")  # fmt: skip
        live.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", [*ROWS, ROWS[0]])
    live.close()

    run = app.run(app.open_project(root), "orders", Interval.of_day(DAY))

    shown = json.dumps([result.to_json() for result in run.results])
    assert {r.outcome for r in run.summaries} == {*Outcome} - {Outcome.SKIP, Outcome.NO_DATA}
    assert all(word in shown for word in ("REF-1-SEEN", "mail-1-SEEN", "987655.25", "not copied to bad"))
    assert "note-" not in shown, "it is tagged"
    payloads = {path.name: path.read_bytes() for path in (tmp_path / "payloads").iterdir() if path.name != "state.json"}
    for channel in ("slack", "pagerduty", "victorops", "smtp"):
        sent = [content.decode() for name, content in payloads.items() if channel in name]
        assert any("positive" in text for text in sent), (channel, list(payloads))
        for text in sent:
            assert "SEEN" not in text and "98765" not in text, (channel, text)
