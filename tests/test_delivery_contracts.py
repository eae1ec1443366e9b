"""What a message becomes in each medium: valid by the contracts, in one order, and what is left out is counted."""

from __future__ import annotations

import json
import re
import unicodedata
from itertools import chain

import jsonschema
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from dq.alerting.channels import pagerduty, plain, slack, truncate, victorops, webhook
from dq.alerting.channels.email import body_html
from dq.model.message import CHANGED, Message, Status
from dq.model.severity import Severity
from tests import samples
from tests.receivers import DOCUMENT, _texts, valid
from tests.samples import AT, KEY

MESSAGE = evolve(
    samples.MESSAGE,
    facts=(("owner", "sales-data"), ("interval", "2026-11-19")),
    query="SELECT org, missing\nFROM orders",
)
ACKNOWLEDGED = evolve(MESSAGE, status="acknowledged")
RESOLVED = evolve(MESSAGE, status="resolved")


# ----------------------------------------------------------------------------------------------------------- truncation


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
        query=draw(_NASTY),
        body=draw(st.one_of(st.just(""), _NASTY)),
        note=draw(_NASTY),
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
    query="SELECT 1 -- " + "q" * 50_000,
    note="n" * 5_000,
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
    plain_text = ("header", "actions")
    marked_up = "".join(chain(_texts([b for b in body["blocks"] if b["type"] not in plain_text]), [body["text"]]))
    assert not re.search("<(?!https?://|mailto:)", marked_up)
    assert not [c for c in spoken if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    return body


def check_pagerduty(message: Message) -> dict:
    raw = pagerduty.payload(message, KEY)
    body = json.loads(raw)
    assert len(raw) <= 512_000
    assert valid("pagerduty_events_v2_alert", body)
    return body


def check_change(message: Message) -> dict:
    raw = pagerduty.change(message, KEY)
    assert len(raw) <= 512_000
    assert valid("pagerduty_events_v2_change", json.loads(raw))
    return json.loads(raw)


def check_webhook(message: Message) -> dict:
    raw = webhook.payload(message)
    body = json.loads(raw)
    assert len(raw) <= 256_000
    jsonschema.validate(body, json.loads(DOCUMENT.read_text()), jsonschema.Draft202012Validator)
    return body


def check_victorops(message: Message) -> dict:
    body = victorops.payload(message)
    assert valid("splunk_oncall_rest", body)
    json.dumps(body, ensure_ascii=False).encode()
    return body


@given(messages() | messages("resolved") | messages("event") | messages("acknowledged"))
@settings(max_examples=60, deadline=None)
def test_slack_payloads_of_any_message_are_valid(message):
    check_slack(message)
    assert 0 < len(slack.reply(message)["text"]) <= 1_000
    assert not re.search("<", slack.reply(message)["text"])


@given(messages() | messages("resolved") | messages("event") | messages("acknowledged"))
@settings(max_examples=40, deadline=None)
def test_documents_of_any_message_are_valid(message):
    check_webhook(message)
    check_change(message)


@pytest.mark.slow
@given(messages() | messages("resolved") | messages("acknowledged"))
@settings(max_examples=60, deadline=None)
def test_pager_payloads_of_any_message_are_valid(message):
    words = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
    body = check_pagerduty(message)
    assert body["event_action"] == words[message.status]
    assert body["dedup_key"] == check_victorops(message)["entity_id"]
    ends = {"acknowledged": "ACKNOWLEDGEMENT", "resolved": "RECOVERY"}
    assert (check_victorops(message)["message_type"] in ends.values()) is (message.status in ends)


@given(messages())
@settings(max_examples=40, deadline=None)
def test_a_resolve_has_the_key_of_its_trigger(message):
    resolved = evolve(message, status="resolved", title="well again", severity=Severity.INFO)
    assert check_pagerduty(message)["dedup_key"] == check_pagerduty(resolved)["dedup_key"]


@pytest.mark.parametrize("status", ["firing", "acknowledged", "resolved"])
@pytest.mark.parametrize("message", [HUGE, EMPTY], ids=["huge", "empty"])
def test_the_largest_and_the_smallest_message(message, status):
    message = evolve(message, status=status)
    check_slack(message)
    check_pagerduty(message)
    check_victorops(message)
    check_change(message)
    check_webhook(message)


def test_slack_says_how_much_it_left_out():
    body = check_slack(HUGE)
    _, table = (text for text in _texts(body["blocks"]) if text.startswith("```"))
    shown = table.count("\n") - 2
    context = body["blocks"][-1]["elements"][0]["text"]
    assert 0 < shown < 500
    assert f"{1_000_000 + 500 - shown:,} further rows left out" in context
    assert "20 further facts left out" in context
    assert "20 further links left out" in context
    summary, query = body["blocks"][1]["text"]["text"], body["blocks"][4]["text"]["text"]
    for said, total, known in ((summary, 50_000, "S"), (query, 50_012, "q")):
        left = int(re.search(r"\(([\d,]+) characters left out\)", said)[1].replace(",", ""))
        assert left == total - (said.count(known) + (12 if known == "q" else 0))


def test_a_table_in_slack_stays_in_its_box():
    hostile = "``` <!channel> ``` *x*"
    body = check_slack(evolve(MESSAGE, columns=("a",), rows=((hostile,),), query=f"SELECT `a` -- {hostile}"))
    query, table = (text for text in _texts(body["blocks"]) if text.startswith("```"))
    assert query.split("```") == ["", "\nSELECT `a` -- ''' &lt;!channel&gt; ''' *x*\n", ""]
    assert table.split("```") == ["", "\na\n''' &lt;!channel&gt; ''' *x*\n", ""]


def test_pagerduty_drops_rows_before_anything_else_and_says_so():
    wide = evolve(MESSAGE, columns=("a",), rows=tuple(("é" * 1_000,) for _ in range(500)))
    details = check_pagerduty(wide)["payload"]["custom_details"]
    shown = len(details["table"]) - 1
    assert 200 < shown < 256  # 2,000 bytes each in 512,000
    assert details["left out"] == f"{3 + 500 - shown} further rows left out"
    assert details["owner"] == "sales-data"
    gone = check_pagerduty(evolve(wide, facts={"f": "é" * 300_000}))
    assert list(gone["payload"]["custom_details"]) == ["summary", "since", "left out"]
    missing = "503 further rows left out; 1 further fact left out; 1 further link left out; the query left out"
    assert gone["payload"]["custom_details"]["left out"] == missing
    assert (gone["payload"]["summary"], gone["links"]) == (MESSAGE.title, [])


def test_the_end_of_a_message_goes_first_and_the_beginning_is_cut_last():
    big = evolve(
        MESSAGE,
        facts=tuple((f"fact {i}", "f" * 90) for i in range(9)),
        links=tuple((f"link {i}", "https://example.org/" + "l" * 70) for i in range(9)),
        query="Q" * 300,
        rows=tuple((f"row {i}", "r" * 90) for i in range(40)),
        omitted=0,
    )
    seen = set()
    for limit in range(len(plain.text(big)), 400, -41):
        said = plain.text(big, limit)
        assert len(said) <= limit
        counts = [len(re.findall(rf"^{what} \d", said, re.MULTILINE)) for what in ("fact", "link", "row")]
        facts, links, rows = counts
        query = "Q" * 300 in said
        assert facts == 9 or not links
        assert links == 9 or not query
        assert query or not rows
        for count, total, what in zip(counts, (9, 9, 40), ("fact", "link", "row"), strict=True):
            missing = total - count
            assert (f"{missing} further {what}{'s' if missing > 1 else ''} left out" in said) is (missing > 0)
        assert ("the query left out" in said) is not query
        seen.add((facts == 9, links == 9, query, rows == 40))
    assert len(seen) == 5  # everything, then without rows, query, links, facts
    long = plain.text(evolve(MESSAGE, summary="s" * 30_000), 20_480)
    assert len(long) <= 20_480
    assert re.search(r"s… \(19,7\d\d characters left out\)\n\nState", long)
    assert plain.text(MESSAGE).partition("State")[2] == long.partition("State")[2]


def positions(text: str) -> list[int]:
    what = ("2 checks fail", "customer is known", "sales-data", "runbooks/orders", "FROM orders", "42757", "further")
    found = [text.find(words) for words in what]
    assert -1 not in found, text
    return found


@pytest.mark.parametrize(
    "told",
    [
        plain.text,
        body_html,
        lambda m: json.dumps(slack.payload(m)["blocks"]),
        lambda m: victorops.payload(m)["state_message"],
        lambda m: webhook.payload(m).decode(),
    ],
    ids=["text", "html", "slack", "victorops", "webhook"],
)
def test_every_medium_tells_in_the_order_of_the_questions(told):
    found = positions(told(MESSAGE))
    assert found == sorted(found)
    assert told(evolve(MESSAGE, note="the template is broken")).rfind("the template is broken") > found[-1]


def test_the_words_of_a_template_stand_in_place_of_the_rest():
    message = evolve(MESSAGE, body="*Look* at <orders>")
    for said in (plain.text(message), json.dumps(check_slack(message)), body_html(message)):
        assert "Look" in said
        assert "runbooks/orders" in said
        for other in ("customer is known", "sales-data", "42757", "FROM orders", "left out"):
            assert other not in said
    assert "*Look* at &lt;orders&gt;" in set(_texts(check_slack(message)["blocks"]))
    assert check_pagerduty(message)["payload"]["custom_details"]["summary"] == "*Look* at <orders>"


def test_victorops_drops_rows_before_anything_else_and_says_so():
    wide = evolve(MESSAGE, rows=tuple(("x" * 100, "1") for _ in range(500)))
    said = check_victorops(wide)["state_message"]
    shown = said.count("x" * 100)
    assert 100 < shown < 205
    assert f"{3 + 500 - shown} further rows left out" in said
    assert "Runbook: https://example.org/runbooks/orders" in said
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
                "query": "SELECT org, missing\nFROM orders",
                "table": [["org", "missing"], ["1", "74"], ["5", "42757"]],
                "left out": "3 further rows left out",
            },
        },
        "links": [{"href": "https://example.org/runbooks/orders", "text": "Runbook"}],
    }
    for message, action in ((RESOLVED, "resolve"), (ACKNOWLEDGED, "acknowledge")):
        expected = {"routing_key": KEY, "event_action": action, "dedup_key": "prod/suite/orders"}
        assert check_pagerduty(message) == expected
    acknowledgement = check_victorops(ACKNOWLEDGED)
    assert acknowledgement["message_type"] == "ACKNOWLEDGEMENT"
    assert acknowledgement["entity_display_name"] == "prod - orders: 2 checks fail - acknowledged"
    recovery = check_victorops(RESOLVED)
    assert recovery["message_type"] == "RECOVERY"
    assert recovery["entity_id"] == "prod/suite/orders"
    assert recovery["entity_display_name"] == "prod - orders: 2 checks fail - resolved"
    assert (recovery["timestamp"], recovery["monitoring_tool"]) == (int(AT.timestamp()), "dq")
    assert plain.text(MESSAGE) == (
        "prod - orders: 2 checks fail\n\n"
        "customer is known: 12 of 900 rows are NULL.\n\n"
        "State: critical\nowner: sales-data\ninterval: 2026-11-19\n\n"
        "Runbook: https://example.org/runbooks/orders\n\n"
        "Query:\nSELECT org, missing\nFROM orders\n\n"
        "org | missing\n1 | 74\n5 | 42757\n3 further rows left out"
    )
    posted = check_slack(RESOLVED)
    assert posted["blocks"][0]["text"]["text"] == "✅ prod - orders: 2 checks fail - resolved"
    assert "*owner*\nsales-data" in set(_texts(posted["blocks"]))
    assert "```\norg  missing\n1    74\n5    42757\n```" in set(_texts(posted["blocks"]))
    (buttons,) = [block for block in posted["blocks"] if block["type"] == "actions"]
    assert buttons["elements"] == [
        {
            "type": "button",
            "text": {"type": "plain_text", "text": "Runbook", "emoji": True},
            "url": "https://example.org/runbooks/orders",
            "action_id": "link-0",
        }
    ]
    assert check_slack(ACKNOWLEDGED)["blocks"][0]["text"]["text"] == "👀 prod - orders: 2 checks fail - acknowledged"
    assert check_change(evolve(MESSAGE, status="event")) == {
        "routing_key": KEY,
        "payload": {
            "summary": "prod - orders: 2 checks fail",
            "source": "prod/orders",
            "timestamp": "2026-11-20T06:30:00+00:00",
            "custom_details": check_pagerduty(MESSAGE)["payload"]["custom_details"],
        },
        "links": [{"href": "https://example.org/runbooks/orders", "text": "Runbook"}],
    }
    assert check_webhook(MESSAGE) == {
        "version": 1,
        "id": check_webhook(MESSAGE)["id"],
        "key": "prod/suite/orders",
        "status": "firing",
        "severity": "critical",
        "environment": "prod",
        "subject": "orders",
        "title": "prod - orders: 2 checks fail",
        "summary": "customer is known: 12 of 900 rows are NULL.",
        "since": "2026-11-20T06:30:00+00:00",
        "at": "2026-11-20T06:30:00+00:00",
        "facts": [{"label": "owner", "value": "sales-data"}, {"label": "interval", "value": "2026-11-19"}],
        "links": [{"text": "Runbook", "url": "https://example.org/runbooks/orders"}],
        "query": "SELECT org, missing\nFROM orders",
        "table": {"columns": ["org", "missing"], "rows": [["1", "74"], ["5", "42757"]], "omitted": 3},
        "left_out": ["3 further rows left out"],
        "note": "",
    }
    assert len({check_webhook(message)["id"] for message in (MESSAGE, ACKNOWLEDGED, RESOLVED)}) == 3


def test_a_mail_to_somebody_is_a_link_in_slack_because_a_button_cannot_be_one():
    links = (("Call", "mailto:oncall@example.org"), ("Run", "https://example.org/run"), ("Bad", "javascript:alert(1)"))
    body = check_slack(evolve(MESSAGE, links=links))
    (buttons,) = [block["elements"] for block in body["blocks"] if block["type"] == "actions"]
    assert [button["url"] for button in buttons] == ["https://example.org/run"]
    assert "<mailto:oncall@example.org|Call>" in set(_texts(body["blocks"]))
    assert "1 further link left out" in body["blocks"][-1]["elements"][0]["text"]


@pytest.mark.parametrize(
    ("message", "told", "loud"),
    [
        (evolve(MESSAGE, facts=((CHANGED, "1 new"),)), "4", False),
        (evolve(MESSAGE, facts=((CHANGED, "1 worse"),)), "3", True),
        (evolve(MESSAGE, facts=((CHANGED, "1 milder"),)), "", False),
        (MESSAGE, "4", True),  # nothing changed: it is told again so that somebody sees it
        (ACKNOWLEDGED, "2", False),
        (RESOLVED, "2", False),
    ],
)
def test_a_reply_stands_in_the_channel_when_it_is_worse_or_a_reminder(message, told, loud):
    said = slack.reply(evolve(message, reference={"severity": told}))
    assert said["reply_broadcast"] is loud
    assert len(said["text"]) <= 1_000


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
