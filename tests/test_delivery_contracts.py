"""The channels against the vendors' contracts in ``tests/contracts``: payloads, limits and what every answer means."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from dq.alerting.channels import pagerduty, plain, slack, truncate, victorops
from dq.alerting.channels.http import RETRY
from dq.model.message import Message, Status
from dq.model.severity import Severity
from tests.receivers import CONTRACTS, Receivers, _texts, valid

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"

MESSAGE = Message(
    key="prod/suite/orders",
    status="firing",
    severity=Severity.CRITICAL,
    environment="prod",
    subject="orders",
    title="prod - orders: 2 checks fail",
    summary="customer is known: 12 of 900 rows are NULL.",
    facts=(("owner", "sales-data"), ("interval", "2026-11-19")),
    columns=("org", "missing"),
    rows=(("1", "74"), ("5", "42757")),
    omitted=3,
    links=(("Runbook", "https://example.org/runbooks/orders"),),
    since=AT,
    at=AT,
)


def cases(name: str) -> list[dict]:
    return [json.loads(row) for row in (CONTRACTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def rules() -> dict:
    return json.loads((CONTRACTS / "delivery_rules.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


# ------------------------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize("case", cases("payload_examples"), ids=lambda case: f"{case['id']} {case['why']}")
def test_payload_examples_agree_with_the_schemas(case):
    assert valid(case["schema"], case["body"]) is case["valid"]


# -------------------------------------------------------------------------------------------------------------- answers


def senders(receivers: Receivers, service: str) -> list:
    """The real channels that speak to the receiver which models ``service``."""
    webhook = slack.Slack("chat", webhook=receivers.slack.webhook)
    bot = slack.Slack("chat", token=receivers.slack.token, channel="C1", base_url=receivers.slack.base_url)
    return {
        "pagerduty": [(receivers.pagerduty, pagerduty.PagerDuty("oncall", KEY, receivers.pagerduty.url))],
        "splunk_oncall": [(receivers.victorops, victorops.VictorOps("oncall", receivers.victorops.url, "team"))],
        "slack": [(receivers.slack, webhook), (receivers.slack, bot)],
        "slack_webhook": [(receivers.slack, webhook)],
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
    _, bot = senders(receivers, "slack")[1]
    receivers.slack.fail_next(200, {"Content-Type": "application/json"}, json.dumps({"ok": False, "error": error}))
    receipt = bot.send(MESSAGE)
    assert (receipt.delivered, receipt.retry) == (False, False)
    assert error in receipt.error


@pytest.mark.parametrize("error", rules()["slack_chat_post_message"]["transient_errors"])
def test_a_bot_repeats_what_slack_refuses_for_now(receivers, error):
    _, bot = senders(receivers, "slack")[1]
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


@given(st.text(), st.integers(0, 40))
def test_a_cut_text_fits_and_is_a_beginning(text, limit):
    for cut, size in ((truncate.characters, len), (truncate.utf8_bytes, lambda t: len(t.encode()))):
        out = cut(text, limit)
        assert size(out) <= limit
        assert text.startswith(out.removesuffix(truncate.ELLIPSIS)) or out == text
        assert (out == text) is (size(text) <= limit) or limit == 0 == size(out)


@given(st.text(), st.integers(1, 60))
def test_an_escaped_text_fits_and_never_opens_a_mention(text, limit):
    out = slack.escaped(text, limit)
    assert len(out) <= limit
    assert not {"<", ">"} & set(out)
    back = out.removesuffix(truncate.ELLIPSIS).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text.startswith(back) or out == slack.escaped(text, 10**6)


@pytest.mark.parametrize(("limit", "out"), [(12, "a&lt;b&amp;c"), (11, "a&lt;b…"), (8, "a&lt;b…"), (5, "a…")])
def test_an_escape_is_never_cut(limit, out):
    assert slack.escaped("a<b&c", limit) == out


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_an_identity_is_stable_printable_and_never_shared(a, b):
    one, other = truncate.identity(a), truncate.identity(b)
    assert one == truncate.identity(a)
    assert 1 <= len(one) <= 255
    one.encode()
    assert (one == other) is (a == b)


def test_long_keys_that_begin_alike_stay_apart():
    assert truncate.identity("k" * 255) == "k" * 255
    assert truncate.identity("k" * 300 + "a") != truncate.identity("k" * 300 + "b")
    assert len(truncate.identity("k" * 300)) == 255


@pytest.mark.parametrize("limit", range(12))
def test_most_finds_the_largest_that_fits(limit):
    assert truncate.most(10, lambda n: n <= limit) == min(limit, 10)


# ---------------------------------------------------------------------------------------------- messages of every shape

# Text as a hostile or broken source gives it: control characters, lone surrogates, emoji, markup, nothing at all.
_NASTY = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=80),
    st.sampled_from(["", " ", "\r\n\t", "\x00\x1b[31m", "\ud800", "<!channel> & <script>`*_~|", "❤️✅🚀🔥" * 40]),
    st.builds(lambda unit, n: unit * n, st.sampled_from(["x", "é", "🚀", "&", "<", "\n", "`"]), st.integers(0, 50_000)),
)
_ROW = st.lists(_NASTY, max_size=5).map(tuple)
_LINK = st.tuples(_NASTY, st.one_of(_NASTY, st.just("https://example.org/?a=1&b=2")))


@st.composite
def messages(draw: st.DrawFn, status: Status = "firing") -> Message:
    return Message(
        key=draw(_NASTY.filter(str.strip)),
        status=status,
        severity=draw(st.sampled_from(Severity)),
        environment=draw(_NASTY),
        subject=draw(_NASTY),
        title=draw(_NASTY),
        summary=draw(_NASTY),
        facts=tuple(draw(st.lists(st.tuples(_NASTY, _NASTY), max_size=14))),
        columns=tuple(draw(st.lists(_NASTY, max_size=4))),
        rows=tuple(draw(st.lists(_ROW, max_size=6))) * draw(st.sampled_from([1, 90])),
        omitted=draw(st.integers(0, 9)),
        links=tuple(draw(st.lists(_LINK, max_size=8))),
        since=draw(st.sampled_from([None, AT])),
        at=AT,
    )


HUGE = evolve(
    MESSAGE,
    title="T" * 50_000,
    summary="S" * 50_000,
    facts=tuple((f"fact {i:>055}", "f" * 5_000) for i in range(30)),
    columns=tuple(f"column {i}" for i in range(12)),
    rows=tuple(tuple(f"{row}-{column} 🚀" for column in range(12)) for row in range(500)),
    omitted=1_000_000,
    links=tuple((f"link {i:>055}", f"https://example.org/{i:>072}") for i in range(30)),
)
EMPTY = Message(
    key="k", status="firing", severity=Severity.INFO, environment="", subject="", title="", summary="", at=AT
)


def blocks_length(body: dict) -> int:
    return sum(map(len, _texts(body["blocks"])))


def check_slack(message: Message) -> dict:
    body = slack.payload(message)
    assert valid("slack_incoming_webhook", body)
    assert valid("slack_chat_post_message", {"channel": "C1", **body})
    assert blocks_length(body) + len(body["text"]) < 9_500
    assert body["text"]
    json.dumps(body, ensure_ascii=False).encode()
    spoken = "".join(chain(_texts(body["blocks"]), [body["text"]]))
    marked_up = "".join(chain(_texts(body["blocks"][1:]), [body["text"]]))  # the header is plain text
    assert not re.search("<(?!https?://|mailto:)", marked_up)
    assert not [c for c in spoken if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    return body


def check_pagerduty(message: Message) -> dict:
    raw = pagerduty.payload(message, KEY)
    body = json.loads(raw)
    assert len(raw) <= 512_000
    assert valid("pagerduty_events_v2_alert", body)
    return body


def check_victorops(message: Message) -> dict:
    body = victorops.payload(message)
    assert valid("splunk_oncall_rest", body)
    json.dumps(body, ensure_ascii=False).encode()
    return body


@given(messages() | messages("resolved") | messages("event"))
@settings(max_examples=60, deadline=None)
def test_slack_payloads_of_any_message_are_valid(message):
    check_slack(message)


@pytest.mark.slow
@given(messages() | messages("resolved"))
@settings(max_examples=60, deadline=None)
def test_pager_payloads_of_any_message_are_valid(message):
    fires = message.status == "firing"
    body = check_pagerduty(message)
    assert body["event_action"] == ("trigger" if fires else "resolve")
    assert body["dedup_key"] == check_victorops(message)["entity_id"]
    assert (check_victorops(message)["message_type"] == "RECOVERY") is not fires


@given(messages())
@settings(max_examples=40, deadline=None)
def test_a_resolve_has_the_key_of_its_trigger(message):
    resolved = evolve(message, status="resolved", title="well again", severity=Severity.INFO)
    assert check_pagerduty(message)["dedup_key"] == check_pagerduty(resolved)["dedup_key"]


@pytest.mark.parametrize("status", ["firing", "resolved"])
@pytest.mark.parametrize("message", [HUGE, EMPTY], ids=["huge", "empty"])
def test_the_largest_and_the_smallest_message(message, status):
    message = evolve(message, status=status)
    check_slack(message)
    check_pagerduty(message)
    check_victorops(message)


def test_slack_says_how_much_it_left_out():
    body = check_slack(HUGE)
    table = next(text for text in _texts(body["blocks"]) if text.startswith("```"))
    shown = table.count("\n") - 2
    context = body["blocks"][-1]["elements"][0]["text"]
    assert 0 < shown < 500
    assert f"{1_000_000 + 500 - shown:,} further rows left out" in context
    assert "20 further facts left out" in context
    assert "25 further links left out" in context


def test_a_table_in_slack_stays_in_its_box():
    body = check_slack(evolve(MESSAGE, columns=("a",), rows=(("``` <!channel> ``` *x*",),)))
    table = next(text for text in _texts(body["blocks"]) if text.startswith("```"))
    assert table.split("```") == ["", "\na\n''' &lt;!channel&gt; ''' *x*\n", ""]


def test_pagerduty_drops_rows_before_anything_else_and_says_so():
    wide = evolve(MESSAGE, columns=("a",), rows=tuple(("é" * 1_000,) for _ in range(500)))
    details = check_pagerduty(wide)["payload"]["custom_details"]
    shown = len(details["table"]) - 1
    assert 200 < shown < 256  # 2,000 bytes each in 512,000
    assert details["left out"] == f"{3 + 500 - shown} further rows left out"
    assert details["owner"] == "sales-data"
    gone = check_pagerduty(evolve(wide, facts={"f": "x" * 600_000}))["payload"]
    assert list(gone["custom_details"]) == ["left out"]
    assert gone["summary"] == MESSAGE.title


def test_victorops_drops_rows_before_anything_else_and_says_so():
    wide = evolve(MESSAGE, rows=tuple(("x" * 100, "1") for _ in range(500)))
    said = check_victorops(wide)["state_message"]
    shown = said.count("x" * 100)
    assert 100 < shown < 205
    assert f"{3 + 500 - shown} further rows left out" in said
    assert said.endswith("Runbook: https://example.org/runbooks/orders")
    assert "owner: sales-data" in said


def test_facts_with_one_label_are_all_told():
    details = check_pagerduty(evolve(MESSAGE, facts=(("check", "a fails"), ("check", "b fails"))))
    assert details["payload"]["custom_details"]["check"] == "a fails\nb fails"


@pytest.mark.parametrize(
    ("severity", "pager", "oncall"),
    [
        (Severity.INFO, "info", "INFO"),
        (Severity.WARNING, "warning", "WARNING"),
        (Severity.ERROR, "error", "CRITICAL"),
        (Severity.CRITICAL, "critical", "CRITICAL"),
    ],
)
def test_severities_in_the_words_of_the_vendors(severity, pager, oncall):
    message = evolve(MESSAGE, severity=severity)
    assert check_pagerduty(message)["payload"]["severity"] == pager
    assert check_victorops(message)["message_type"] == oncall


def test_the_payloads_word_for_word():
    assert check_pagerduty(MESSAGE) == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "prod/suite/orders",
        "client": "dq",
        "payload": {
            "summary": "prod - orders: 2 checks fail",
            "source": "prod/orders",
            "severity": "critical",
            "timestamp": "2026-11-20T06:30:00+00:00",
            "component": "orders",
            "group": "prod",
            "class": "data quality",
            "custom_details": {
                "summary": "customer is known: 12 of 900 rows are NULL.",
                "owner": "sales-data",
                "interval": "2026-11-19",
                "since": "2026-11-20T06:30:00+00:00",
                "table": [["org", "missing"], ["1", "74"], ["5", "42757"]],
                "left out": "3 further rows left out",
            },
        },
        "links": [{"href": "https://example.org/runbooks/orders", "text": "Runbook"}],
    }
    resolved = evolve(MESSAGE, status="resolved")
    assert check_pagerduty(resolved) == {
        "routing_key": KEY,
        "event_action": "resolve",
        "dedup_key": "prod/suite/orders",
    }
    recovery = check_victorops(resolved)
    assert recovery["message_type"] == "RECOVERY"
    assert recovery["entity_id"] == "prod/suite/orders"
    assert recovery["entity_display_name"] == "prod - orders: 2 checks fail - resolved"
    assert (recovery["timestamp"], recovery["monitoring_tool"]) == (int(AT.timestamp()), "dq")
    assert plain.text(MESSAGE) == (
        "prod - orders: 2 checks fail\n\n"
        "customer is known: 12 of 900 rows are NULL.\n\n"
        "State: critical since 2026-11-20 06:30 UTC\nowner: sales-data\ninterval: 2026-11-19\n\n"
        "org | missing\n1 | 74\n5 | 42757\n3 further rows left out\n\n"
        "Runbook: https://example.org/runbooks/orders"
    )
    posted = check_slack(resolved)
    assert posted["blocks"][0]["text"]["text"] == "✅ prod - orders: 2 checks fail - resolved"
    assert "*owner*\nsales-data" in set(_texts(posted["blocks"]))
    assert "```\norg  missing\n1    74\n5    42757\n```" in set(_texts(posted["blocks"]))
    assert "<https://example.org/runbooks/orders|Runbook>" in set(_texts(posted["blocks"]))


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("prod - orders: well again", "prod - orders: well again - resolved"),
        ("prod - orders: resolved", "prod - orders: resolved"),
        ("prod - unresolved_orders: well", "prod - unresolved_orders: well - resolved"),
    ],
)
def test_a_resolved_headline_says_so_once(title, said):
    assert plain.headline(evolve(MESSAGE, status="resolved", title=title), 150) == said


def test_a_long_resolved_headline_still_says_so():
    head = plain.headline(evolve(MESSAGE, status="resolved", title="x" * 500), 150)
    assert len(head) == 150
    assert head.endswith("… - resolved")


@pytest.mark.parametrize("build", [lambda m: pagerduty.payload(m, KEY), victorops.payload], ids=["PD", "VO"])
def test_a_pager_takes_no_event_and_no_message_without_a_key(build):
    with pytest.raises(ValueError, match="not for a pager"):
        build(evolve(MESSAGE, status="event"))
    with pytest.raises(ValueError, match="needs a key"):
        build(evolve(MESSAGE, key=" "))
