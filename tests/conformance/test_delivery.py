"""Every case of the delivery contracts, through dq's own channels and over real requests on loopback.

The folder is ``tests/contracts``, or the one that ``DQ_CONTRACTS`` names: ``delivery_cases.jsonl`` (what an answer
means), ``payload_examples.jsonl`` (what a vendor takes), ``truncation_cases.jsonl`` (how a text is cut) and
``delivery_rules.json`` (the answers as a table). Other cases of the same form can be run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dq.alerting.channels import pagerduty, slack, truncate, victorops
from dq.alerting.channels.http import RETRY, Answer, post
from dq.model.message import Message, Receipt
from dq.model.severity import Severity
from tests.receivers import CONTRACTS, Receivers, valid
from tests.samples import AT, KEY, MESSAGE


def cases(name: str) -> list[dict]:
    return [json.loads(row) for row in (CONTRACTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines() if row]


def rules() -> dict:
    return json.loads((CONTRACTS / "delivery_rules.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


def test_the_folder_has_cases():
    assert len(cases("delivery_cases")) >= 44
    assert len(cases("payload_examples")) >= 49
    assert len(cases("truncation_cases")) >= 18


# ------------------------------------------------------------------------------------------------------------- examples


def wires(receivers: Receivers) -> dict[str, tuple[str, dict[str, str], Callable[[Answer], Receipt]]]:
    """By schema: the address, the headers, and how dq reads the answer."""
    web, bearer = receivers.slack, {"Authorization": f"Bearer {receivers.slack.token}"}
    return {
        "pagerduty_events_v2_alert": (receivers.pagerduty.url, {}, pagerduty.classify),
        "pagerduty_events_v2_change": (receivers.pagerduty.change_url, {}, pagerduty.classify),
        "splunk_oncall_rest": (f"{receivers.victorops.url}/team", {}, victorops.classify),
        "slack_incoming_webhook": (web.webhook, {}, slack.classify),
        "slack_chat_post_message": (f"{web.base_url}chat.postMessage", bearer, slack.classify),
    }


@pytest.mark.parametrize("case", cases("payload_examples"), ids=lambda case: f"{case['id']} {case['why']}")
def test_a_vendor_takes_an_example_or_refuses_it_for_good(receivers, case):
    """The receiver says of each body what the vendor does, and dq understands it: no bad body is tried again."""
    assert valid(case["schema"], case["body"]) is case["valid"]
    url, headers, classify = wires(receivers)[case["schema"]]
    receipt = classify(post(url, json.dumps(case["body"]).encode(), timeout=5, headers=headers))
    assert (receipt.delivered, receipt.retry) == (case["valid"], False), receipt


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(one)


def as_message(body: dict) -> Message:
    """What an example says, as a message of dq: its longest text everywhere, all others as facts and rows."""
    said = sorted(texts(body), key=len, reverse=True)
    actions = {"resolve": "resolved", "acknowledge": "acknowledged"}
    return Message(
        key=str(body.get("dedup_key") or body.get("entity_id") or "prod/suite/orders"),
        status=actions.get(body.get("event_action", ""), "firing"),
        severity=Severity.CRITICAL,
        environment="prod",
        subject=said[0] if said else "",
        title=said[0] if said else "",
        summary="\n".join(said),
        facts=tuple((text, text) for text in said),
        rows=tuple((text,) * 12 for text in said) * 20,
        links=tuple((text, text) for text in said),
        query=said[0] if said else "",
        since=AT,
        at=AT,
    )


@pytest.mark.parametrize("case", cases("payload_examples"), ids=lambda case: f"{case['id']} {case['why']}")
def test_what_an_example_says_leaves_dq_as_a_body_that_the_vendor_takes(receivers, case):
    message, body = as_message(case["body"]), case["body"]
    web = receivers.slack
    channels = {
        "pagerduty_events_v2_alert": pagerduty.PagerDuty("c", KEY, receivers.pagerduty.url),
        "pagerduty_events_v2_change": pagerduty.PagerDutyChange("c", KEY, receivers.pagerduty.change_url),
        "splunk_oncall_rest": victorops.VictorOps("c", receivers.victorops.url, "team"),
        "slack_incoming_webhook": slack.Slack("c", webhook=web.webhook),
        "slack_chat_post_message": slack.Slack("c", token=web.token, channel="C1", base_url=web.base_url),
    }
    for channel in channels.values():
        receipt = channel.send(message)
        assert receipt.delivered, (type(channel).__name__, receipt)
    sent = receivers.pagerduty.events[-1]
    if case["valid"] and body.get("dedup_key"):
        assert sent["dedup_key"] == body["dedup_key"]
    if case["valid"] and body.get("event_action") and message.status == "firing":
        assert sent["payload"]["summary"] == message.title


# -------------------------------------------------------------------------------------------------------------- answers


def senders(receivers: Receivers, service: str) -> list:
    """The real channels that speak to the receiver which models ``service``."""
    web = receivers.slack
    hook = slack.Slack("chat", webhook=web.webhook)
    bot = slack.Slack("chat", token=web.token, channel="C1", base_url=web.base_url)
    pager = pagerduty.PagerDuty("oncall", KEY, receivers.pagerduty.url)
    marker = pagerduty.PagerDutyChange("deploys", KEY, receivers.pagerduty.change_url)
    return {
        "pagerduty": [(receivers.pagerduty, pager), (receivers.pagerduty, marker)],
        "splunk_oncall": [(receivers.victorops, victorops.VictorOps("oncall", receivers.victorops.url, "team"))],
        "slack": [(web, hook), (web, bot)],
        "slack_webhook": [(web, hook)],
        "slack_chat_post_message": [(web, bot)],
    }[service]


@pytest.mark.parametrize("case", cases("delivery_cases"), ids=lambda case: f"{case['id']} {case['service']}")
def test_every_answer_means_what_the_vendor_says(receivers, case):
    answer, expected = case["response"], case["expected"]
    headers = dict(answer.get("headers", {}))
    if "content_type" in answer:
        headers["Content-Type"] = answer["content_type"]
    for receiver, channel in senders(receivers, case["service"]):
        receiver.fail_next(0 if answer.get("network_error") else answer["status"], headers, answer.get("body", ""))
        receipt = channel.send(MESSAGE)
        assert (receipt.delivered, receipt.retry) == (expected["delivered"], expected["retry"]), receipt
        assert bool(receipt.error) is not receipt.delivered
        assert (receipt.after or 0) >= expected.get("wait_at_least_s", 0)


def test_the_rules_in_the_code_are_the_vendors_table():
    table = rules()
    delivered = {
        "pagerduty": pagerduty.DELIVERED,
        "slack_webhook": slack.DELIVERED,
        "splunk_oncall": victorops.DELIVERED,
    }
    for service, rule in table.items():
        assert set(rule["retry"]) <= RETRY, service
        assert not RETRY & set(rule.get("never_retry", ())), service
        if service in delivered:
            assert delivered[service] == set(rule["success"])
    # What dq adds to the tables are further server errors (such as a proxy's 520), nothing else.
    assert {status for status in RETRY if status < 500} == {429}
    bot = table["slack_chat_post_message"]
    assert set(bot["transient_errors"]) == slack.TRANSIENT
    assert not slack.TRANSIENT & set(bot["permanent_errors"])


@pytest.mark.parametrize("error", rules()["slack_chat_post_message"]["permanent_errors"])
def test_a_bot_does_not_repeat_what_slack_refuses_for_good(receivers, error):
    ((_, bot),) = senders(receivers, "slack_chat_post_message")
    receivers.slack.fail_next(200, {"Content-Type": "application/json"}, json.dumps({"ok": False, "error": error}))
    receipt = bot.send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert error in receipt.error


@pytest.mark.parametrize("error", rules()["slack_chat_post_message"]["transient_errors"])
def test_a_bot_repeats_what_slack_refuses_for_now(receivers, error):
    ((_, bot),) = senders(receivers, "slack_chat_post_message")
    receivers.slack.fail_next(200, {"Retry-After": "7"}, json.dumps({"ok": False, "error": error}))
    receipt = bot.send(MESSAGE)
    assert (receipt.delivered, receipt.retry, receipt.after) == (False, True, 7)


@pytest.mark.parametrize("service", ["pagerduty", "splunk_oncall"])
def test_a_page_that_a_proxy_answered_is_repeated(receivers, service):
    _, pager = senders(receivers, service)[0]
    receiver = receivers.pagerduty if service == "pagerduty" else receivers.victorops
    receiver.fail_next(200, body="<html>sign in</html>")
    receipt = pager.send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, True)


# ----------------------------------------------------------------------------------------------------------- truncation


@pytest.mark.parametrize("case", cases("truncation_cases"), ids=lambda case: case["id"])
def test_truncation_cases(case):
    cut = truncate.characters if case["unit"] == "characters" else truncate.utf8_bytes
    out = cut(case["input"], case["limit"])
    size = len(out) if case["unit"] == "characters" else len(out.encode())
    assert size <= case["limit"]
    assert (out != case["input"]) is case["truncated"]
    assert case["input"].startswith(out.removesuffix(truncate.ELLIPSIS))
    if case["limit"] > 3 or not case["truncated"]:
        assert out == case["alertmanager_output"]
