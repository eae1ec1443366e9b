"""Every channel against a real server on loopback: what arrives, and what comes of every kind of trouble."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from attrs import evolve

from dq.alerting.channels import GROUP, Channel, build, http, webhook
from dq.alerting.channels.email import Email, compose
from dq.model.errors import ConfigError
from dq.model.message import CHANGED, Message
from dq.model.severity import Severity
from tests import samples
from tests.receivers import HOST, Receivers, certificate, valid
from tests.samples import AT
from tests.samples import KEY as ROUTING_KEY

PASSWORD = "hunter2 is not: this"
MESSAGE = evolve(samples.MESSAGE, summary="customer is known: 12 of 900 rows are NULL. <b>&")
RESOLVED = evolve(MESSAGE, status="resolved", title="prod - orders: well again")
ACKNOWLEDGED = evolve(MESSAGE, status="acknowledged")
TOKEN = "Bearer canary-of-a-header-0123456789"
VENDORS = ("slack", "slack-bot", "pagerduty", "pagerduty_change", "victorops", "webhook")
ALL = ("email", *VENDORS)


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


def secrets(receivers: Receivers) -> dict[str, str]:
    return {
        "webhook": receivers.slack.webhook,
        "bot": receivers.slack.token,
        "pagerduty": ROUTING_KEY,
        "victorops": receivers.victorops.url,
        "password": PASSWORD,
        "hook": receivers.webhook.url,
        "signing": receivers.webhook.secret,
        "header": TOKEN,
    }


def declared(receivers: Receivers, kind: str) -> dict[str, object]:
    web = {"allow_http": True, "timeout": 0.5}
    return {
        "email": {
            "host": receivers.smtp.host,
            "port": receivers.smtp.port,
            "from": "dq <dq@example.org>",
            "to": ["Team <team@example.org>", "boss@example.org"],
            "timeout": 0.5,
        },
        "slack": {"type": "slack", "webhook": "env:webhook", **web},
        "slack-bot": {
            "type": "slack",
            "token": "env:bot",
            "channel": "C1",
            "base_url": receivers.slack.base_url,
            **web,
        },
        "pagerduty": {"routing_key": "env:pagerduty", "url": receivers.pagerduty.url, **web},
        "pagerduty_change": {"routing_key": "env:pagerduty", "url": receivers.pagerduty.change_url, **web},
        "victorops": {"url": "env:victorops", "routing_key": "sales/team?", **web},
        "webhook": {"url": "env:hook", "secret": "env:signing", "headers": {"X-Team-Token": "env:header"}, **web},
    }[kind]


def channel(receivers: Receivers, kind: str, **changed: object) -> Channel:
    """Build the channel as dq does: by entry point, from settings as TOML has them."""
    known = secrets(receivers)

    def resolve(reference: str) -> str:
        prefix, _, name = reference.partition(":")
        known.update(short="x" * 15, lines="a\r\nX-Evil: 1")
        if prefix != "env" or name not in known:
            raise ConfigError(f"{reference} is not set")
        return known[name]

    settings = {"type": kind, **declared(receivers, kind), **changed}
    return build("team", {key: value for key, value in settings.items() if value is not None}, resolve)


def receiver(receivers: Receivers, kind: str):
    names = {"email": "smtp", "slack-bot": "slack", "pagerduty_change": "pagerduty"}
    return getattr(receivers, names.get(kind, kind))


def assert_tells_nothing(text: str, receivers: Receivers) -> None:
    """No address, port or secret stands in ``text``."""
    assert "://" not in text
    assert HOST not in text
    for secret in secrets(receivers).values():
        assert secret not in text
        for part in re.split(r"[/:]", secret):
            assert len(part) < 6 or part not in text or part.isdigit(), part


# ------------------------------------------------------------------------------------------------------------- building


def test_the_channels_of_dq_come_through_the_entry_points():
    known = {"email", "slack", "pagerduty", "pagerduty_change", "victorops", "webhook"}
    assert known <= {point.name for point in entry_points(group=GROUP)}


@pytest.mark.parametrize("kind", ALL)
def test_a_built_channel_is_one_and_shows_no_secret(receivers, kind):
    made = channel(receivers, kind)
    assert isinstance(made, Channel)
    assert made.name == "team"
    assert made.pages is (kind in {"pagerduty", "victorops"})
    assert made.rate == {"slack": (1, 1.0), "pagerduty": (120, 60.0)}.get(re.split("[-_]", kind)[0], (0, 0.0))
    shown = repr(made)
    assert TOKEN not in shown
    for name in made.secrets:
        value = getattr(made, name)
        assert not value or value not in shown


def test_the_kind_may_stand_in_the_name(receivers):
    made = build(
        "pagerduty:orders", {"routing_key": "env:x"}, lambda reference: ROUTING_KEY
    )
    assert (made.name, made.pages) == ("pagerduty:orders", True)


@pytest.mark.parametrize(
    ("kind", "changed", "sentence"),
    [
        ("email", {"host": None}, "channels.team.host: is missing"),
        ("email", {"hots": "x"}, "channels.team.hots: is not a setting"),
        ("email", {"port": 0}, "channels.team.port: must be a number from 1 to 65535"),
        ("email", {"port": True}, "channels.team.port: must be a number"),
        ("email", {"from": "nobody"}, "channels.team.from: 'nobody' is not an e-mail address"),
        ("email", {"from": "a@b.org\r\nBcc: x@y.org"}, "channels.team.from: .* is not an e-mail address"),
        ("email", {"to": []}, "channels.team.to: must be a text or a list"),
        ("email", {"to": None}, "channels.team.to: is missing"),
        ("email", {"to": ["a@b.org", "@"]}, "channels.team.to: '@' is not an e-mail address"),
        ("email", {"starttls": "maybe"}, "channels.team.starttls: must be"),
        ("email", {"user": "dq"}, "channels.team.password: is missing"),
        ("email", {"password": "env:password"}, "channels.team.user: is missing"),
        ("email", {"user": "dq", "password": PASSWORD}, "channels.team.password: is a secret and must be a reference"),
        ("email", {"user": "dq", "password": "env:nothing"}, "channels.team.password: env:nothing is not set"),
        (
            "email",
            {"host": "mail.example.org", "starttls": "off", "user": "dq", "password": "env:password"},
            "channels.team.starttls: a password is not sent in the clear",
        ),
        ("email", {"ca_file": "/no/such/file"}, "channels.team.ca_file: there is no such file"),
        ("email", {"timeout": 0}, "channels.team.timeout: must be a number from 0.1 to 120"),
        ("slack", {"webhook": None}, "channels.team.webhook: give either webhook, or token and channel"),
        ("slack", {"token": "env:bot"}, "channels.team.webhook: give either"),
        ("slack", {"channel": "C1"}, "channels.team.channel: goes with a token"),
        ("slack", {"webhook": "https://hooks.slack.com/x"}, "channels.team.webhook: is a secret and must be"),
        ("slack", {"allow_http": None}, "channels.team.webhook: is not https"),
        ("slack", {"allow_http": "yes"}, "channels.team.allow_http: must be true or false"),
        ("slack-bot", {"channel": None}, "channels.team.channel: is missing"),
        ("slack-bot", {"base_url": "http://slack.example.org/api/"}, "channels.team.base_url: is not https"),
        ("slack-bot", {"base_url": "slack"}, "channels.team.base_url: is not an address"),
        ("pagerduty", {"routing_key": "env:password"}, "channels.team.routing_key: an integration key has 32"),
        ("pagerduty", {"url": "ftp://127.0.0.1/"}, "channels.team.url: is not an address"),
        ("pagerduty", {"url": "https://u:p@127.0.0.1/"}, "channels.team.url: is not an address"),
        ("pagerduty", {"url": "https://127.0.0.1:bad/"}, "channels.team.url: is not an address"),
        ("pagerduty", {"url": "https://127.0.0.1/a b"}, "channels.team.url: has characters"),
        ("victorops", {"routing_key": ""}, "channels.team.routing_key: must be a text that is not empty"),
        ("victorops", {"url": "env:bot"}, "channels.team.url: is not an address"),
        ("webhook", {"secret": None}, "channels.team.secret: is missing"),
        ("webhook", {"secret": "hunter2"}, "channels.team.secret: is a secret and must be a reference"),
        ("webhook", {"secret": "env:short"}, "channels.team.secret: the secret has less than 16 characters"),
        ("webhook", {"url": "https://x.org/"}, "channels.team.url: is a secret and must be"),
        ("webhook", {"url": "env:signing"}, "channels.team.url: is not an address"),
        ("webhook", {"headers": "X: y"}, "channels.team.headers: must be a table"),
        ("webhook", {"headers": {"X-A": TOKEN}}, "channels.team.headers.X-A: is a secret and must be a reference"),
        ("webhook", {"headers": {"X-A": "env:nothing"}}, "channels.team.headers.X-A: env:nothing is not set"),
        ("webhook", {"headers": {"X-A": "env:lines"}}, "channels.team.headers.X-A: the secret has characters"),
        ("webhook", {"headers": {"dq-signature": "env:header"}}, "channels.team.headers.dq-signature: is not a header"),
        ("webhook", {"headers": {"X A": "env:header"}}, "channels.team.headers.X A: is not a header"),
        ("victorops", {"type": "pager"}, "channels.team.type: no installed package offers 'pager'"),
        ("victorops", {"type": 7}, "channels.team.type: must be a text"),
    ],
)
def test_wrong_settings_are_named_in_one_sentence(receivers, kind, changed, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        channel(receivers, kind, **changed)
    assert "\n" not in str(caught.value)
    assert_tells_nothing(str(caught.value), receivers)


@pytest.mark.parametrize("kind", ALL)
def test_no_secret_is_in_a_log_however_much_is_logged(receivers, kind, caplog):
    caplog.set_level(0)
    target = receiver(receivers, kind)
    made = channel(receivers, kind)
    for prepare in (lambda: None, lambda: target.fail_next(500 if kind != "email" else 451), target.stop):
        prepare()
        made.send(MESSAGE)
    logging.getLogger("urllib3.connectionpool").debug("requests of others are logged")
    told = "\n".join(logging.Formatter().format(record) + repr(vars(record)) for record in caplog.records)
    assert "requests of others are logged" in told
    for secret in secrets(receivers).values():
        assert secret not in told
        for part in re.split(r"[/:?=& ]", secret):
            assert len(part) < 10 or part not in told, part


def test_a_plug_in_that_does_not_load_is_an_error_that_names_its_package(tmp_path, monkeypatch):
    (tmp_path / "acme_chat.py").write_text("import no_such_module_at_all\n")
    info = tmp_path / "acme_chat-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-chat\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nchat = acme_chat:Chat\nodd = json:dumps\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"channels\.c\.type: .*acme-chat.*no_such_module_at_all"):
        build("c", {"type": "chat"}, str)
    with pytest.raises(ConfigError, match=r"channels\.c\.type: what 'odd' .* is not a channel class"):
        build("c", {"type": "odd"}, str)


def test_a_plug_in_of_another_package_is_a_channel(tmp_path, monkeypatch):
    (tmp_path / "acme_siren.py").write_text(
        "from dq.model.message import Receipt\n"
        "class Siren:\n"
        "    name, pages, rate, secrets = 'siren', True, (0, 0.0), ()\n"
        "    @classmethod\n"
        "    def of(cls, name, settings, resolve):\n"
        "        assert settings == {'volume': 11}\n"
        "        return cls()\n"
        "    def send(self, message):\n"
        "        return Receipt(delivered=True)\n"
    )
    info = tmp_path / "acme_siren-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-siren\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nsiren = acme_siren:Siren\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    made = build("siren", {"volume": 11}, str)
    assert isinstance(made, Channel)
    assert made.send(MESSAGE).delivered


# ------------------------------------------------------------------------------------------------------------- arriving


def test_slack_webhook_tells_and_recovers(receivers):
    team = channel(receivers, "slack")
    assert team.send(MESSAGE).delivered
    receipt = team.send(RESOLVED)
    assert (receipt.delivered, dict(receipt.reference), receipt.error) == (True, {}, "")
    first, second = receivers.slack.posts
    assert first["text"].startswith("🔴 prod - orders: 2 checks fail\ncustomer is known")
    assert "&lt;b&gt;&amp;" in json.dumps(first["blocks"])
    assert first["unfurl_links"] is False
    assert second["blocks"][0]["text"]["text"] == "✅ prod - orders: well again - resolved"
    assert "channel" not in first


def test_slack_bot_gives_the_timestamp_back(receivers):
    receipt = channel(receivers, "slack-bot").send(MESSAGE)
    assert receipt.delivered
    assert receipt.reference["channel"] == "C1"
    assert re.fullmatch(r"\d+\.\d{6}", receipt.reference["ts"])
    (post,) = receivers.slack.posts
    assert post["channel"] == "C1"
    ((_, headers),) = receivers.slack.requests
    assert headers["Authorization"] == f"Bearer {receivers.slack.token}"


def chat(receivers: Receivers):
    """A bot, and how a pump uses it: each message gets the reference of the last receipt."""
    team = channel(receivers, "slack-bot", channel="#team")
    reference: dict[str, str] = {}

    def tell(message: Message):
        nonlocal reference
        receipt = team.send(evolve(message, reference=reference))
        reference = dict(receipt.reference) if receipt.delivered else reference
        return receipt

    return tell


WORSE = evolve(MESSAGE, title="prod - orders: 3 checks fail", facts=((CHANGED, "1 new"),))


def test_a_bot_keeps_one_message_and_one_thread_for_a_group(receivers):
    tell, slack = chat(receivers), receivers.slack
    first = tell(MESSAGE)
    for message in (WORSE, ACKNOWLEDGED, RESOLVED):
        assert tell(message).delivered
    assert [post["channel"] for post in slack.posts] == ["#team"]
    ((where, shown),) = slack.shown.items()
    assert where == ("C0TEAM", first.reference["ts"])
    assert shown["blocks"][0]["text"]["text"] == "✅ prod - orders: well again - resolved"
    assert [reply["thread_ts"] for reply in slack.replies] == [where[1]] * 3
    said = [reply["text"] for reply in slack.replies]
    assert said[0].startswith("🔴 prod - orders: 3 checks fail\n1 new\n")
    assert said[1].startswith("👀 prod - orders: 2 checks fail - acknowledged")
    assert said[2].startswith("✅ prod - orders: well again - resolved")
    tell(MESSAGE)  # the next incident of the group
    assert len(slack.posts) == len(slack.shown) == 2
    assert len(slack.replies) == 3


def test_an_event_never_edits_a_message(receivers):
    tell = chat(receivers)
    tell(MESSAGE)
    tell(evolve(MESSAGE, status="event", title="prod - orders: a digest"))
    assert (len(receivers.slack.posts), receivers.slack.edits, receivers.slack.replies) == (2, [], [])


@pytest.mark.parametrize(
    "error", ["message_not_found", "edit_window_closed", "cant_update_message", "channel_not_found", "not_in_channel"]
)
def test_what_cannot_be_edited_is_posted_anew_and_is_the_thread_from_then_on(receivers, error):
    tell, slack = chat(receivers), receivers.slack
    first = tell(MESSAGE)
    slack.fail_next(200, {}, json.dumps({"ok": False, "error": error}))
    second = tell(WORSE)
    assert second.delivered
    assert second.reference["ts"] != first.reference["ts"]
    assert len(slack.posts) == 2
    assert tell(RESOLVED).delivered
    assert "resolved" in slack.shown["C0TEAM", second.reference["ts"]]["text"]
    assert [reply["thread_ts"] for reply in slack.replies] == [second.reference["ts"]]


def test_a_message_that_was_deleted_is_posted_anew(receivers):
    tell, slack = chat(receivers), receivers.slack
    tell(MESSAGE)
    slack.shown.clear()
    assert tell(WORSE).delivered
    (shown,) = slack.shown.values()
    assert "3 checks fail" in shown["text"]


def test_a_reply_that_is_refused_for_good_makes_a_new_message_so_that_somebody_is_notified(receivers):
    tell, slack = chat(receivers), receivers.slack
    tell(MESSAGE)
    fails = iter([None, json.dumps({"ok": False, "error": "restricted_action_thread_locked"})])
    take, slack.take = slack.take, lambda *args: (False, (200, said)) if (said := next(fails, None)) else take(*args)
    assert tell(WORSE).delivered
    assert (len(slack.edits), len(slack.replies), len(slack.posts)) == (1, 0, 2)


@pytest.mark.parametrize("step", [0, 1], ids=["the edit", "the reply"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(0, ""), (500, ""), (429, ""), (200, '{"ok": false, "error": "internal_error"}'), (200, "<html>")],
)
def test_an_edit_or_a_reply_that_may_pass_is_tried_again_and_nothing_is_posted_anew(receivers, step, status, body):
    tell, slack = chat(receivers), receivers.slack
    first = tell(MESSAGE)
    answers = iter([*[None] * step, (False, (status, body))])
    take, slack.take = slack.take, lambda *args: next(answers, None) or take(*args)
    receipt = tell(WORSE)
    assert (receipt.delivered, receipt.retry) == (False, True)
    assert tell(WORSE).reference["ts"] == first.reference["ts"]
    assert len(slack.posts) == len(slack.replies) == 1
    assert "3 checks fail" in slack.shown["C0TEAM", first.reference["ts"]]["text"]


def test_an_edit_that_http_refuses_is_not_posted_anew(receivers):
    tell, slack = chat(receivers), receivers.slack
    tell(MESSAGE)
    slack.fail_next(403)
    receipt = tell(WORSE)
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert len(slack.requests) == 2


def test_a_lost_answer_to_an_edit_or_a_reply_doubles_no_message(receivers):
    tell, slack = chat(receivers), receivers.slack
    tell(MESSAGE)
    take, lost = slack.take, [True, False, True]

    def forgets(*args):
        accepted, answer = take(*args)
        return accepted, (0, "") if lost and lost.pop(0) else answer

    slack.take = forgets
    receipts = [tell(WORSE) for _ in range(3)]
    assert [receipt.delivered for receipt in receipts] == [False, False, True]
    assert len(slack.posts) == len(slack.shown) == 1
    assert len(slack.replies) == 2  # the one whose answer was lost is said again


def test_slack_bot_with_a_wrong_token_is_refused_for_good(receivers):
    receivers.slack.token = "xoxb-another"
    made = channel(receivers, "slack-bot", token="env:pagerduty")
    receipt = made.send(MESSAGE)
    assert (receipt.delivered, receipt.retry, receipt.error) == (False, False, "HTTP 200: invalid_auth")


def test_pagerduty_opens_joins_and_resolves_under_one_key(receivers):
    oncall = channel(receivers, "pagerduty")
    receipts = [oncall.send(message) for message in (MESSAGE, MESSAGE, RESOLVED, RESOLVED, MESSAGE)]
    assert all(receipt.delivered for receipt in receipts)
    assert {receipt.reference["dedup_key"] for receipt in receipts} == {MESSAGE.key}
    alert = receivers.pagerduty.alerts[ROUTING_KEY, MESSAGE.key]
    assert (alert.opens, alert.repeats, alert.resolves, alert.orphans) == (2, 1, 1, 1)
    assert receivers.pagerduty.open_keys == {MESSAGE.key}


@pytest.mark.parametrize("kind", ["pagerduty", "victorops"])
def test_a_pager_is_told_that_somebody_is_on_it(receivers, kind):
    oncall, vendor = channel(receivers, kind), receiver(receivers, kind)
    for message in (MESSAGE, ACKNOWLEDGED, MESSAGE):
        assert oncall.send(message).delivered
    (alert,) = vendor.alerts.values()
    assert (alert.open, alert.acked, alert.opens, alert.acks, alert.orphans) == (True, True, 1, 1, 0)
    assert oncall.send(RESOLVED).delivered
    assert (alert.open, alert.acked, alert.resolves) == (False, False, 1)


def test_a_deploy_marker_opens_nothing(receivers):
    deploys = channel(receivers, "pagerduty_change")
    marker = evolve(MESSAGE, status="event", title="prod - orders 1.4.2 is deployed", severity=Severity.INFO)
    assert deploys.send(marker).delivered
    assert deploys.send(ACKNOWLEDGED).delivered  # no change: nothing is sent
    (change,) = receivers.pagerduty.changes
    assert change["payload"]["summary"] == "prod - orders 1.4.2 is deployed"
    assert change["links"][0]["href"] == "https://example.org/runbooks/orders"
    assert receivers.pagerduty.alerts == {}


def test_a_webhook_is_signed_and_known_when_it_comes_again(receivers):
    hook = channel(receivers, "webhook")
    receipts = [hook.send(message) for message in (MESSAGE, MESSAGE, ACKNOWLEDGED, RESOLVED)]
    assert all(receipt.delivered for receipt in receipts), receipts
    documents = receivers.webhook.documents
    assert [document["status"] for document in documents] == ["firing", "firing", "acknowledged", "resolved"]
    assert documents[0] == documents[1]
    assert len({document["id"] for document in documents}) == 3
    assert receivers.webhook.keys == set()
    _, headers = receivers.webhook.requests[0]
    assert headers["X-Team-Token"] == TOKEN
    assert headers["Content-Type"].startswith("application/json")


def test_a_webhook_with_another_secret_is_refused_for_good(receivers):
    receipt = evolve(channel(receivers, "webhook"), secret="another secret of ours").send(MESSAGE)
    assert (receipt.delivered, receipt.retry, receipt.error) == (False, False, "HTTP 401")


def test_the_verification_that_the_docs_show_takes_what_dq_signs_and_nothing_else():
    page = (Path(__file__).parents[1] / "docs" / "operate.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(import hashlib.*?)```", page, re.DOTALL)
    names: dict[str, Callable[..., bool]] = {}
    exec(shown, names)
    is_from_dq = names["is_from_dq"]
    body, secret = webhook.payload(MESSAGE), "a secret that both know"
    header = webhook.signature(secret, body, AT)
    now = AT.timestamp()
    assert is_from_dq(secret, header, body, now)
    assert is_from_dq(secret, header, body, now + 299)
    assert not is_from_dq(secret, header, body, now + 301)
    assert not is_from_dq(secret, header, body + b" ", now)
    assert not is_from_dq("another secret", header, body, now)
    assert not is_from_dq(secret, header.replace("t=1", "t=2"), body, now)
    for nonsense in ("", "t=,v1=", "v1", "t=x,v1=00", header.replace("v1", "v0")):
        assert not is_from_dq(secret, nonsense, body, now)


def test_victorops_opens_and_recovers_under_one_entity(receivers):
    oncall = channel(receivers, "victorops")
    assert oncall.send(MESSAGE).reference == {"entity_id": MESSAGE.key}
    assert receivers.victorops.open_keys == {MESSAGE.key}
    assert oncall.send(RESOLVED).delivered
    assert receivers.victorops.open_keys == set()
    assert [event["message_type"] for event in receivers.victorops.events] == ["CRITICAL", "RECOVERY"]
    assert receivers.victorops.routing_keys == ["sales%2Fteam%3F"] * 2


def test_victorops_takes_the_address_as_the_vendor_shows_it(receivers):
    shown = f"{receivers.victorops.url}/$routing_key"
    made = build("victorops", {"url": "env:x", "routing_key": "team", "allow_http": True}, lambda reference: shown)
    assert made.send(MESSAGE).delivered
    assert receivers.victorops.routing_keys == ["team"]


@pytest.mark.parametrize("kind", ["pagerduty", "victorops"])
def test_an_event_for_a_pager_is_a_mistake_of_the_caller(receivers, kind):
    with pytest.raises(ValueError, match="not for a pager"):
        channel(receivers, kind).send(evolve(MESSAGE, status="event"))
    assert receiver(receivers, kind).received == []


@pytest.mark.parametrize("kind", ["email", "slack", "slack-bot", "pagerduty_change", "webhook"])
def test_an_event_is_told(receivers, kind):
    assert channel(receivers, kind).send(evolve(MESSAGE, status="event", severity=Severity.INFO)).delivered


# --------------------------------------------------------------------------------------------------------------- e-mail


def parts(mail) -> tuple[str, str]:
    return mail.get_body(("plain",)).get_content(), mail.get_body(("html",)).get_content()


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in {"href", "src"}]


def test_a_mail_arrives_as_text_and_html_and_threads(receivers):
    team = channel(receivers, "email")
    receipts = [team.send(MESSAGE), team.send(RESOLVED)]
    first, second = receivers.smtp.messages
    assert [receipt.reference["message_id"] for receipt in receipts] == [first["Message-ID"], second["Message-ID"]]
    assert first["Message-ID"] != second["Message-ID"]
    assert first["References"] == second["References"] == second["In-Reply-To"]
    assert first["Subject"] == "prod - orders: 2 checks fail"
    assert second["Subject"] == "prod - orders: well again - resolved"
    assert first["From"].addresses[0] == Address("dq", "dq", "example.org")
    assert [address.addr_spec for address in first["To"].addresses] == ["team@example.org", "boss@example.org"]
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["List-Id"] == second["List-Id"] == "<orders.prod.dq.example.org>"
    assert abs(datetime.now(UTC) - first["Date"].datetime).total_seconds() < 60
    assert first.get_content_type() == "multipart/alternative"
    text, html = parts(first)
    assert "5 | 42757" in text
    assert "<b>&" in text
    assert "&lt;b&gt;&amp;" in html
    assert Tags(html).references == ["https://example.org/runbooks/orders"]
    assert "3 further rows left out" in html
    assert receivers.smtp.envelopes == [("dq@example.org", ("team@example.org", "boss@example.org"))] * 2


def test_a_finished_body_is_sent_as_it_is(receivers):
    html = '<!DOCTYPE html><p style="color:red">Größe — 74\u00a0missing</p>'
    assert channel(receivers, "email").send(evolve(MESSAGE, html=html, text="74 fehlen — Größe")).delivered
    text, received = parts(receivers.smtp.messages[0])
    assert received.strip() == html
    assert text.strip() == "74 fehlen — Größe"


@pytest.mark.parametrize(
    "title",
    [
        "prod\r\nBcc: victim@example.org\r\n\r\nspam",
        "prod\nX-Evil: 1",
        "prod\x00\x1b\u2028X: 1",
        "\ud800 lone",
        "x" * 50_000,
        "é" * 5_000,
        "❤️✅🚀" * 200,
        "",
    ],
)
def test_a_title_stays_in_the_subject(receivers, title):
    hostile = evolve(MESSAGE, title=title, summary=title, key=title or "k", facts=((title, title),), rows=((title,),))
    assert channel(receivers, "email").send(hostile).delivered
    (mail,) = receivers.smtp.messages
    raw = receivers.smtp.received[0]
    threading_names = {"Message-ID", "In-Reply-To", "References"}
    body_names = {"MIME-Version", "Content-Type"}
    known = {"Subject", "From", "To", "Date", "Auto-Submitted", "List-Id", *threading_names, *body_names}
    assert known == set(mail.keys())
    assert len(mail.keys()) == 11
    assert len(mail["Subject"]) <= 250
    assert max(map(len, raw.splitlines())) <= 998
    assert receivers.smtp.envelopes[0][1] == ("team@example.org", "boss@example.org")


@pytest.mark.parametrize("address", ["javascript:alert(1)", 'https://x.org/"><script>', "data:text/html,x", ""])
def test_links_in_a_mail_are_safe(receivers, address):
    hostile = evolve(MESSAGE, links=(("<script>Runbook", address),), facts=(("<img src=x>", "<script>"),))
    assert channel(receivers, "email").send(hostile).delivered
    seen = Tags(parts(receivers.smtp.messages[0])[1])
    assert not {"script", "img", "link", "iframe"} & set(seen.tags)
    assert all(reference.startswith("https://") for reference in seen.references)


def test_a_mail_that_is_sent_again_has_the_same_id():
    address = (Address("", "a", "b.org"),)
    made = [
        compose(message, channel=name, sender=address[0], recipients=address, at=datetime(2026, 1, day, tzinfo=UTC))
        for message, name, day in [(MESSAGE, "a", 1), (MESSAGE, "a", 2), (RESOLVED, "a", 1), (MESSAGE, "b", 1)]
    ]
    first, again, resolved, other = (mail["Message-ID"] for mail in made)
    assert first == again
    assert len({first, resolved, other}) == 3


def test_starttls_and_login():
    with Receivers(starttls=True, login=("dq", PASSWORD)) as running:
        login = {"starttls": "required", "user": "dq", "password": "env:password", "ca_file": running.smtp.ca_file}
        made = channel(running, "email", **login)
        receipt = made.send(MESSAGE)
        assert receipt.delivered, receipt
        assert len(running.smtp.messages) == 1

        refused = evolve(made, password="wrong password").send(MESSAGE)
        assert (refused.delivered, refused.retry) == (False, False)
        assert "535" in refused.error
        assert "wrong password" not in refused.error

        stranger = evolve(made, ca_file="").send(MESSAGE)
        assert (stranger.delivered, stranger.retry) == (False, True)
        assert "certificate" in stranger.error

        clear = channel(running, "email").send(MESSAGE)
        assert (clear.delivered, clear.retry) == (False, False)
        assert "530" in clear.error
        assert len(running.smtp.messages) == 1


def test_a_server_without_starttls_is_never_told_anything(receivers):
    made = channel(receivers, "email", starttls="required", user="dq", password="env:password")
    receipt = made.send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert "STARTTLS" in receipt.error
    assert receivers.smtp.received == []


def test_tls_is_demanded_by_default_except_on_loopback():
    settings = {"from": "a@b.org", "to": "c@d.org"}
    assert Email.of("m", {"host": "mail.example.org", **settings}, str).starttls
    assert not Email.of("m", {"host": "localhost", **settings}, str).starttls


@pytest.mark.parametrize(("code", "retry"), [(451, True), (421, True), (452, True), (550, False), (554, False)])
def test_a_mail_refused_after_data(receivers, code, retry):
    receivers.smtp.fail_next(code, body="see https://example.org/why?token=abc")
    receipt = channel(receivers, "email").send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, retry)
    assert str(code) in receipt.error
    assert "example.org" not in receipt.error


@pytest.mark.parametrize(
    ("codes", "delivered", "retry", "said"),
    [
        ({"boss@example.org": 550}, True, False, "1 of 2 recipients refused: boss@example.org (550)"),
        ({"boss@example.org": 450}, True, False, "1 of 2 recipients refused: boss@example.org (450)"),
        ({"boss@example.org": 550, "team@example.org": 550}, False, False, "no recipient was accepted"),
        ({"boss@example.org": 550, "team@example.org": 450}, False, True, "no recipient was accepted"),
    ],
)
def test_refused_recipients_are_reported(receivers, codes, delivered, retry, said):
    receivers.smtp.refused = codes
    receipt = channel(receivers, "email").send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (delivered, retry)
    assert said in receipt.error
    assert len(receivers.smtp.messages) == delivered


# -------------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize("kind", ALL)
def test_a_server_that_is_down(receivers, kind):
    made = channel(receivers, kind)
    receiver(receivers, kind).stop()
    receipt = made.send(MESSAGE)
    assert (receipt.delivered, receipt.retry, receipt.after) == (False, True, None)
    assert "no connection" in receipt.error
    assert_tells_nothing(receipt.error, receivers)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ALL)
def test_a_server_that_hangs_is_given_up_in_time(receivers, kind):
    receiver(receivers, kind).hang = True
    started = time.monotonic()
    receipt = channel(receivers, kind).send(MESSAGE)
    assert time.monotonic() - started < 3
    assert (receipt.delivered, receipt.retry) == (False, True)
    assert "within 0.5 s" in receipt.error


@pytest.mark.parametrize("kind", ALL)
def test_a_connection_that_breaks(receivers, kind):
    receiver(receivers, kind).fail_next(0)
    receipt = channel(receivers, kind).send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, True)
    assert receiver(receivers, kind).received


@pytest.mark.parametrize("kind", VENDORS)
@pytest.mark.parametrize(
    ("after", "seconds"), [("30", 30), ("0", 0), ("999999999", 86_400), ("-1", None), ("soon", None), ("", None)]
)
def test_too_many_requests_says_when_to_come_back(receivers, kind, after, seconds):
    receiver(receivers, kind).fail_next(429, {"Retry-After": after})
    receipt = channel(receivers, kind).send(MESSAGE)
    assert (receipt.delivered, receipt.retry, receipt.after) == (False, True, seconds)
    assert len(receiver(receivers, kind).received) == 1  # there is one layer of retry, and it is not this one


@pytest.mark.parametrize("kind", VENDORS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused(receivers, kind, status):
    with Receivers() as elsewhere:
        target = receiver(elsewhere, kind)
        receiver(receivers, kind).fail_next(status, {"Location": f"http://{HOST}:{target.port}/anything"})
        receipt = channel(receivers, kind).send(MESSAGE)
        assert target.requests == []  # nor was a token handed on
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert "redirect" in receipt.error
    assert_tells_nothing(receipt.error, receivers)


@pytest.mark.parametrize("kind", ["slack", "slack-bot", "victorops"])
@pytest.mark.parametrize(
    "body", ["<html>Please log in to the Wi-Fi</html>", "[1]", '"ok"', "{", "OK!", "[" * 50_000]
)
def test_an_answer_that_is_not_the_vendors_proves_nothing(receivers, kind, body):
    receiver(receivers, kind).fail_next(200, {"Content-Type": "text/html; charset=nonsense"}, body)
    receipt = channel(receivers, kind).send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, True)
    assert receiver(receivers, kind).received


@pytest.mark.parametrize(
    "raw",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 huh?\r\n\r\n",
        b"",
        b"\x00" * 100_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok",
        b"HTTP/1.1 202 Accepted\r\nContent-Encoding: gzip\r\n\r\nno gzip",
    ],
)
@pytest.mark.parametrize("kind", VENDORS)
def test_an_answer_that_is_not_http(receivers, kind, raw):
    with socket.create_server((HOST, 0)) as listening:
        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.settimeout(5)
                connection.recv(1_000_000)
                with suppress(OSError):  # the channel may hang up at the first byte
                    connection.sendall(raw)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65_536):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        receipt = elsewhere(receivers, kind, address).send(MESSAGE)
        thread.join(5)
    assert (receipt.delivered, receipt.retry) == (False, True), receipt


def elsewhere(receivers: Receivers, kind: str, address: str) -> Channel:
    key = {"slack": "webhook", "slack-bot": "base_url"}.get(kind, "url")
    return evolve(channel(receivers, kind), **{key: address})


def test_an_endless_answer_is_not_read_for_ever(receivers):
    with socket.create_server((HOST, 0)) as listening:
        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1_000_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
                with suppress(OSError):
                    while True:
                        connection.sendall(b"x" * 65_536)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        answer = http.post(f"http://{HOST}:{listening.getsockname()[1]}/", b"{}", timeout=5)
        thread.join(5)
    assert not thread.is_alive()
    assert len(answer.body) == 65_536


@pytest.mark.parametrize(
    ("kind", "status", "body", "said"),
    [
        ("slack", 404, "channel_not_found", "HTTP 404: channel_not_found"),
        ("slack", 200, "no_channel", "HTTP 200: no_channel"),
        ("pagerduty", 400, '{"message": "invalid", "errors": ["no summary"]}', "HTTP 400: invalid; no summary"),
        ("pagerduty", 400, '{"message": 7, "errors": 8}', "HTTP 400"),
        ("pagerduty", 400, "[]", "HTTP 400"),
        ("pagerduty_change", 400, '{"message": "no summary"}', "HTTP 400: no summary"),
        ("webhook", 410, "gone away", "HTTP 410"),
        ("victorops", 200, '{"result": "failure", "message": "no such route"}', "no such route"),
        ("victorops", 200, '{"result": "failure"}', "the result is not success"),
    ],
)
def test_what_the_vendor_says_is_told(receivers, kind, status, body, said):
    receiver(receivers, kind).fail_next(status, {}, body)
    receipt = channel(receivers, kind).send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert said in receipt.error


@pytest.mark.parametrize("kind", VENDORS)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_an_answer_that_repeats_the_secrets_is_struck_out(receivers, kind, status):
    said = " ".join([*secrets(receivers).values(), *re.findall(r"[\w-]{6,}", receivers.victorops.url)])
    body = {"ok": False, "error": said, "message": said, "result": said, "errors": [said]}
    receiver(receivers, kind).fail_next(status, {}, json.dumps(body))
    made = channel(receivers, kind)
    receipt = made.send(MESSAGE)
    if receipt.delivered:
        return
    for name in made.secrets:
        for part in re.split(r"[/:]", getattr(made, name)):
            assert len(part) < 6 or part not in receipt.error
    assert "://" not in receipt.error
    assert len(receipt.error) < 300


@pytest.mark.parametrize("kind", VENDORS)
@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "169.254.170.2",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "[fd00:ec2::254]",
        "[::ffff:169.254.169.254]",
        "[fe80::a9fe:a9fe]",
    ],
)
def test_cloud_metadata_is_never_called(receivers, kind, host):
    receipt = elsewhere(receivers, kind, f"http://{host}/latest/meta-data").send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert "metadata" in receipt.error
    assert "169" not in receipt.error


@pytest.mark.parametrize("kind", VENDORS)
def test_a_certificate_that_nobody_vouches_for_is_refused(receivers, kind, tmp_path, monkeypatch):
    arrived: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.append(self.path)
            content = b'{"ok": true, "result": "success"}'
            self.send_response(202 if kind.startswith("pagerduty") else 200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    class Server(HTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A handshake that was broken off is what this test is about."""

    cert, key = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Server((HOST, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        made = elsewhere(receivers, kind, f"https://{HOST}:{server.server_port}/")
        receipt = made.send(MESSAGE)
        assert (receipt.delivered, receipt.retry) == (False, True)
        assert "certificate" in receipt.error
        assert arrived == []
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(cert))
        assert made.send(MESSAGE).delivered
        assert len(arrived) == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@pytest.mark.parametrize("kind", VENDORS)
def test_a_proxy_of_the_environment_is_not_asked_for_loopback(receivers, kind, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert channel(receivers, kind).send(MESSAGE).delivered


def test_slack_sdk_logs_nothing(receivers, caplog):
    caplog.set_level(0)
    receivers.slack.fail_next(500)
    channel(receivers, "slack").send(MESSAGE)
    receivers.slack.fail_next(0)
    channel(receivers, "slack-bot").send(MESSAGE)
    assert not [record for record in caplog.records if "slack" in record.name.lower()]


# -------------------------------------------------------------------------------------------------------- the receivers


def test_the_receivers_refuse_what_the_vendors_refuse(receivers):
    import requests  # noqa: PLC0415  # only here the wire is spoken by hand

    def post(url: str, body: object, **headers: str) -> tuple[int, str]:
        answer = requests.post(url, json=body, headers=headers, timeout=5)
        return answer.status_code, answer.text

    assert post(receivers.pagerduty.url, {"routing_key": "short", "event_action": "trigger"})[0] == 400
    big = {"routing_key": ROUTING_KEY, "event_action": "resolve", "dedup_key": "k", "client": "x" * 512_000}
    assert post(receivers.pagerduty.url, big)[0] == 413
    assert post(f"{receivers.victorops.url}/team", {"message_type": "OK"})[0] == 400
    assert post(receivers.victorops.url.replace("loop", "other") + "/team", {"message_type": "INFO"})[0] == 404
    assert post(receivers.slack.webhook, {"blocks": [{"type": "section"}]}) == (400, "invalid_blocks")
    assert post(receivers.slack.webhook + "x", {"text": "t"})[0] == 404
    assert "invalid_auth" in post(f"{receivers.slack.base_url}chat.postMessage", {"channel": "C1", "text": "t"})[1]
    long = {"channel": "C1", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_000}}] * 4}
    token = f"Bearer {receivers.slack.token}"
    assert "too_long" in post(f"{receivers.slack.base_url}chat.postMessage", long, Authorization=token)[1]
    assert (receivers.pagerduty.events, receivers.victorops.events, receivers.slack.posts) == ([], [], [])
    assert len(receivers.pagerduty.received) == 2


def test_what_is_accepted_is_recorded_in_order(tmp_path):
    with Receivers(record_to=tmp_path / "seen") as running:
        for kind in ("email", "slack", "pagerduty", "victorops"):
            running.slack.fail_next(500) if kind == "slack" else None
            channel(running, kind).send(MESSAGE)
        channel(running, "slack").send(MESSAGE)
    names = sorted(path.name for path in (tmp_path / "seen").iterdir())
    assert names == ["001-smtp.eml", "002-pagerduty.json", "003-victorops.json", "004-slack.json", "state.json"]
    assert valid("pagerduty_events_v2_alert", json.loads((tmp_path / "seen/002-pagerduty.json").read_text()))
    state = json.loads((tmp_path / "seen/state.json").read_text())
    assert state["pagerduty"]["open"] == state["victorops"]["open"] == [MESSAGE.key]
    assert state["slack"] == {"received": 2, "posts": 1, "replies": 0, "edits": 0}


def start_receivers(tmp_path: Path, *more: str) -> tuple[subprocess.Popen[bytes], dict[str, Mapping[str, object]]]:
    ports = tmp_path / "ports.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.receivers", "--dir", tmp_path / "seen", "--ports-file", ports, *more],
        cwd=Path(__file__).parents[1],
    )
    wait_for(lambda: ports.exists() or process.poll() is not None)
    return process, json.loads(ports.read_text())


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_the_receivers_as_a_process(tmp_path):
    process, where = start_receivers(tmp_path, "--only", "smtp,pagerduty")
    try:
        pager = {"routing_key": "env:x", "url": where["pagerduty"]["url"], "allow_http": True}
        oncall = build("pagerduty", pager, lambda reference: ROUTING_KEY)
        assert oncall.send(MESSAGE).delivered
        mail = {**where["smtp"], "from": "a@b.org", "to": "c@d.org"}
        mail.pop("ca_file")
        assert build("email", mail, str).send(MESSAGE).delivered
        chat = build("slack", {"webhook": "env:x", "allow_http": True}, lambda reference: where["slack"]["webhook"])
        assert "no connection" in chat.send(MESSAGE).error
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert {path.name for path in (tmp_path / "seen").iterdir()} == {
            "001-pagerduty.json",
            "002-smtp.eml",
            "state.json",
        }
    finally:
        process.kill()
        process.wait()


def test_the_receivers_end_with_their_parent(tmp_path):
    ports = tmp_path / "ports.json"
    command = [sys.executable, "-m", "tests.receivers", "--dir", str(tmp_path), "--ports-file", str(ports)]
    command.append("--with-parent")
    starter = f"import subprocess, sys, time; print(subprocess.Popen({command!r}).pid, flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", starter], cwd=Path(__file__).parents[1], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_for(ports.exists)
        port = json.loads(ports.read_text())["slack"]["base_url"].split(":")[2].split("/")[0]
        parent.kill()

    def gone() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, int(port))) != 0

    try:
        wait_for(gone)
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        raise


# -------------------------------------------------------------------------------------------------------------- secrets


def kinds_of_trouble(receivers: Receivers, kind: str) -> Iterator[Callable[[], object]]:
    """Every way in which a request can go, one after the other."""
    target = receiver(receivers, kind)
    echo = " ".join(secrets(receivers).values())
    yield lambda: None
    if kind == "email":
        yield lambda: target.fail_next(550, body=echo)
        yield lambda: target.fail_next(451, body=echo)
    else:
        for status in (200, 302, 400, 403, 404, 429, 500):
            yield lambda status=status: target.fail_next(status, {"Location": "/services/elsewhere"}, echo)
        said = json.dumps({"ok": False, "error": echo, "message": echo, "result": "x"})
        yield lambda: target.fail_next(200, {}, said)
    yield lambda: target.fail_next(0)
    yield target.stop


@pytest.mark.parametrize("kind", ALL)
def test_no_secret_is_in_a_log_an_error_or_a_repr_whatever_happens(receivers, kind, caplog, capfd):
    caplog.set_level(0)
    made = channel(receivers, kind)
    said = [repr(made), str(made)]
    reference = {"ts": "1.000000", "channel": "C1"}
    for prepare in kinds_of_trouble(receivers, kind):
        prepare()
        receipt = made.send(evolve(MESSAGE, reference=reference))
        said += [repr(receipt), receipt.error]
    said += [logging.Formatter().format(record) for record in caplog.records]
    said += [repr(vars(record)) for record in caplog.records]
    said += capfd.readouterr()
    everything = "\n".join(said)
    planted = [getattr(made, name) for name in made.secrets if isinstance(getattr(made, name), str)]
    planted += [*getattr(made, "headers", {}).values()]
    assert planted or kind == "email"
    for secret in filter(None, planted):
        assert secret not in everything
        for part in re.split(r"[/:?=& ]", secret):
            assert len(part) < 10 or part not in everything, part
