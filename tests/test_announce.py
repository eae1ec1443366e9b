"""Announcements end to end, and with them that no secret of a channel is written anywhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from dq.cli import main
from tests.receivers import Receivers

KEY = "0123456789canary0123456789canary"
TOKEN = "Bearer header-canary-0123456789"
TOML = """
environment = "prod"

[store]
url = "sqlite:///store.sqlite"
"""
ROUTES = """
[channels.deploys]
type = "pagerduty_change"
routing_key = "env:PD_KEY"
url = "env:PD_CHANGES"
allow_http = true

[channels.bot]
type = "slack"
token = "env:SLACK_TOKEN"
channel = "#team"
base_url = "env:SLACK_API"
allow_http = true

[channels.tickets]
type = "webhook"
url = "env:HOOK"
secret = "env:HOOK_SECRET"
headers = { Authorization = "env:HOOK_TOKEN" }
allow_http = true

[channels.oncall]
type = "pagerduty"
routing_key = "env:PD_KEY"

[route]
channels = ["bot"]
"""


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


@pytest.fixture
def root(make_project, receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {
        "PD_KEY": KEY,
        "PD_CHANGES": receivers.pagerduty.change_url,
        "SLACK_TOKEN": receivers.slack.token,
        "SLACK_API": receivers.slack.base_url,
        "HOOK": receivers.webhook.url,
        "HOOK_SECRET": receivers.webhook.secret,
        "HOOK_TOKEN": TOKEN,
    }.items():
        monkeypatch.setenv(name, value)
    return make_project(TOML, {"alerting/routes.toml": ROUTES})


def dq(root: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--project", str(root)])
    return int(ended.value.code or 0)


def test_a_deployment_becomes_a_change_event_and_a_message(root, receivers, capsys):
    words = ("announce", "loader 1.4.2 is deployed", "--to", "deploys", "--to", "bot", "--to", "tickets")
    assert dq(root, *words, "--subject", "orders", "--link", "Diff=https://example.org/?a=1") == 0
    assert capsys.readouterr().out == "sent 3, waiting 0\n"
    (change,) = receivers.pagerduty.changes
    assert change["payload"]["summary"] == "PROD - orders: loader 1.4.2 is deployed"
    assert change["payload"]["source"] == "prod/orders"
    assert change["links"] == [{"href": "https://example.org/?a=1", "text": "Diff"}]
    assert [post["channel"] for post in receivers.slack.posts] == ["#team"]
    (document,) = receivers.webhook.documents
    assert (document["status"], document["title"]) == ("event", "PROD - orders: loader 1.4.2 is deployed")
    assert receivers.pagerduty.alerts == {}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x", "--to", "deplois"), "has no channel 'deplois'; did you mean 'deploys'?"),
        (("x", "--to", "oncall"), "'oncall' is a pager"),
        ((" ", "--to", "deploys"), "nothing is announced"),
        (("x", "--to", "deploys", "--link", "Diff"), "a link is written TEXT=https://ADDRESS"),
        (("x", "--to", "deploys", "--link", "Diff=javascript:x"), "a link is written TEXT=https://ADDRESS"),
    ],
)
def test_what_cannot_be_announced_is_said_in_one_sentence(root, receivers, capsys, words, said):
    assert dq(root, "announce", *words) == 2
    assert said in capsys.readouterr().err
    assert receivers.pagerduty.received == receivers.slack.received == []


def test_what_could_not_be_sent_waits_and_no_secret_is_written_anywhere(root, receivers, caplog, capsys):
    caplog.set_level(0)
    echo = f"{KEY} {TOKEN} {receivers.slack.token} {receivers.webhook.secret} {receivers.webhook.url}"
    for vendor, status in ((receivers.pagerduty, 500), (receivers.slack, 500), (receivers.webhook, 403)):
        vendor.fail_next(status, {}, echo)
    assert dq(root, "announce", "it begins", "--to", "deploys", "--to", "bot", "--to", "tickets") == 4
    receivers.pagerduty.fail_next(0)
    dq(root, "doctor")
    dq(root, "alerts", "pump")
    shown = capsys.readouterr()
    assert "the channel tickets could not be told" in shown.err
    written = [shown.out, shown.err, *(logging.Formatter().format(record) for record in caplog.records)]
    written += [repr(vars(record)) for record in caplog.records]
    written += [path.read_bytes().decode("latin-1") for path in root.rglob("*") if path.is_file()]
    canaries = [KEY, "canary", receivers.slack.token, receivers.webhook.secret, "loopback-path"]
    for text in written:
        assert not [canary for canary in canaries if canary in text], text[:500]
