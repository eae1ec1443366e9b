"""Slack: an incoming webhook, or a bot token with one thread for each group of incidents.

A webhook posts every message anew. A bot edits the first message that it posted under a key to the present state, and
says in its thread what changed. ``Message.reference`` is what Slack called that first message (``ts``, ``channel``):

    reference    1. chat.update             2. reply in the thread      then, and the receipt
    ---------    -----------------------    ------------------------    ---------------------------------------
    none         -                          -                           post anew: that receipt
    known        done                       done                        delivered, the same reference
    known        done                       may pass, or no answer      that receipt: both are tried again
    known        done                       refused for good            post anew: that receipt
    known        may pass, or no answer     -                           that receipt: it is tried again
    known        refused for good           -                           post anew: that receipt

Delivery is at least once. The edit comes first because it can be repeated without harm; what a lost answer can double
is a reply, or the first message. *Refused for good* is an answer of Slack itself, such as ``message_not_found``,
``edit_window_closed`` or ``cant_update_message``; an edit notifies nobody, so without a reply nobody would know. After
a resolved message there is no reference: what comes next under the key is posted anew. An event is always posted anew.

Limits: docs.slack.dev/reference/block-kit/blocks. The limit on all block text together is in no documentation: 9,597
characters were seen accepted and 11,341 rejected (slackapi/bolt-js issue 2867), so dq stays below 9,500.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.request import Request

from attrs import evolve, field, frozen
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse

from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import RETRY, Answer, post, safe, unreached
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import ELLIPSIS, characters, clean, line, most, shortened
from dq.http import UnreachableError
from dq.model.message import CHANGED, Message, Receipt
from dq.model.severity import Severity

BASE_URL = "https://slack.com/api/"
DELIVERED = frozenset({200})
# Errors of chat.postMessage (HTTP 200, ok=false) that may pass; any other stays until somebody changes something.
TRANSIENT = frozenset({"ratelimited", "rate_limited", "internal_error", "fatal_error"})

# Shares of the 9,500 characters; they add up to less, whatever the message holds.
_HEADER = 150
_SUMMARY = 2_000
_FACTS = 10
_FACT = 240
_BUTTONS = 10
_BUTTON = 40
_MAILS = 2
_MAIL = 160
_QUERY = 800
_TABLE = 2_000
_CELL = 60
_CONTEXT = 300
_NOTE = 200
_FALLBACK = 500
_REPLY = 1_000
_ADDRESS = 3_000

_MARKS = {Severity.INFO: "🔵", Severity.WARNING: "🟡", Severity.ERROR: "🟠", Severity.CRITICAL: "🔴"}
_STATES = {"acknowledged": "👀", "resolved": "✅"}
# What the receipt keeps beside Slack's own reference: the severity that was told.
_SEVERITY = "severity"


def payload(message: Message) -> dict[str, Any]:
    """Return ``text`` and ``blocks`` within Slack's limits, in the order of a message.

    Of the table as many rows are shown as fit, of facts and links ten; what is left out is counted.
    """
    whole = plain.worded(message)
    head = f"{_mark(whole)} {plain.headline(whole, _HEADER - 2)}"
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": head, "emoji": True}}]
    summary = _fitting(clean(whole.summary).strip(), _SUMMARY)
    if summary:
        blocks.append({"type": "section", "text": _mrkdwn(summary)})
    facts = whole.facts[:_FACTS]
    if facts:
        blocks.append({"type": "section", "fields": [_mrkdwn(_fact(label, value)) for label, value in facts]})
    buttons = [(pair, button) for pair in whole.links if (button := _button(*pair))][:_BUTTONS]
    if buttons:
        elements = [{**button, "action_id": f"link-{number}"} for number, (_, button) in enumerate(buttons)]
        blocks.append({"type": "actions", "elements": elements})
    mails = [(pair, mail) for pair in whole.links if (mail := _mail(*pair))][:_MAILS]
    if mails:
        blocks.append({"type": "section", "text": _mrkdwn(" · ".join(mail for _, mail in mails))})
    if query := _fitting(clean(whole.query).strip().replace("```", "'''"), _QUERY):
        blocks.append({"type": "section", "text": _mrkdwn(f"```\n{query}\n```")})
    rows = most(len(whole.rows), lambda n: len(_table(whole, n)) <= _TABLE)
    if rows:
        blocks.append({"type": "section", "text": _mrkdwn(_table(whole, rows))})
    shown = evolve(whole, facts=facts, rows=whole.rows[:rows], links=tuple(pair for pair, _ in (*buttons, *mails)))
    notes = [plain.state(whole), *plain.left_out(whole, shown), line(whole.subject)]
    context = [escaped(" · ".join(note for note in notes if note), _CONTEXT), escaped(line(whole.note), _NOTE)]
    blocks.append({"type": "context", "elements": [_mrkdwn(text) for text in context if text]})
    fallback = escaped("\n".join(part for part in (head, clean(whole.summary).strip()) if part), _FALLBACK)
    return {"text": fallback, "blocks": blocks}


def reply(message: Message) -> dict[str, Any]:
    """Return what is said in the thread when the first message has been edited: what changed.

    Only those who follow the thread see a reply. One that tells of something worse than before, or that repeats what
    still holds, stands in the channel too.
    """
    changed = [line(value) for label, value in message.facts if label == CHANGED]
    summary = clean(plain.worded(message).summary).strip()
    words = [f"{_mark(message)} {plain.headline(message, _HEADER - 2)}", *changed, summary]
    before = message.reference.get(_SEVERITY, "")
    worse = before.isdecimal() and int(message.severity) > int(before)
    loud = message.status == "firing" and (worse or not changed)
    return {"text": _fitting("\n".join(word for word in words if word), _REPLY), "reply_broadcast": loud}


def escaped(text: str, limit: int) -> str:
    """Return ``text`` with ``&``, ``<`` and ``>`` escaped, cut to ``limit`` characters but not within an escape.

    Unescaped they would make links and mentions: ``<!channel>`` calls everybody.
    """
    whole = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(whole) <= limit:
        return whole
    return re.sub(r"&[a-z]*\Z", "", whole[: limit - 1]) + ELLIPSIS


def classify(answer: Answer, secrets: tuple[str, ...] = ()) -> Receipt:
    """Return what Slack's answer to a webhook call or to ``chat.postMessage`` means.

    HTTP 200 is success with the body ``ok`` (webhook) or JSON with ``ok`` true. Another JSON answer or word names the
    error; what is neither is not Slack's, so it may pass.
    """
    body = answer.body.strip()
    document = answer.document
    word = body if re.fullmatch(r"[a-z_]{1,80}", body) else ""
    if answer.status not in DELIVERED:
        error = str((document or {}).get("error") or word)
        return answer.refused(safe(error, secrets), retry=answer.status in RETRY)
    if document is not None:
        if document.get("ok") is True:
            reference = {key: str(document[key]) for key in ("ts", "channel") if document.get(key)}
            return Receipt(delivered=True, reference=reference)
        error = str(document.get("error") or "ok is not true")
        return answer.refused(safe(error, secrets), retry=error in TRANSIENT)
    if body == "ok":
        return Receipt(delivered=True)
    return answer.refused(word or "the answer is not that of Slack", retry=not word)


@frozen
class Slack:
    """The channel ``slack``: a webhook, or a token and a channel.

    Attributes:
        name: the channel's name.
        webhook: the address of an incoming webhook, a secret.
        token: a bot token, a secret.
        channel: where the bot posts: an id such as ``C024BE91L``, or ``#name``.
        base_url: of the Web API.
        timeout: seconds for each network step.
    """

    name: str
    webhook: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    channel: str = ""
    base_url: str = BASE_URL
    timeout: float = 10.0
    pages: ClassVar[bool] = False
    # One message a second and channel (docs.slack.dev/apis/web-api/rate-limits). An edit counts apart from it.
    rate: ClassVar[tuple[int, float]] = (1, 1.0)
    secrets: ClassVar[tuple[str, ...]] = ("webhook", "token")

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        read = Settings(name, settings, resolve).only(
            "webhook", "token", "channel", "base_url", "allow_http", "timeout"
        )
        if read.has("webhook") is read.has("token"):
            raise read.error("webhook", "give either webhook, or token and channel")
        timeout, _ = read.timeout, read.flag("allow_http")
        if read.has("webhook"):
            for key in ("channel", "base_url"):
                if read.has(key):
                    raise read.error(key, "goes with a token; a webhook has its own channel and address")
            return cls(name, webhook=read.address("webhook", read.secret("webhook")), timeout=timeout)
        channel, base_url = read.text("channel"), read.address("base_url", read.text("base_url", BASE_URL))
        token = read.secret("token")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise read.error("token", "the secret that it refers to has characters that a token cannot have")
        return cls(name, token=token, channel=channel, base_url=base_url, timeout=timeout)

    def send(self, message: Message) -> Receipt:
        """Post ``message``, or edit the first one and reply; see ``Channel.send`` and the table above."""
        try:
            if self.webhook:
                return classify(_Webhook(self.webhook, self.timeout).post(payload(message)), (self.webhook,))
            return self._tell(message)
        except UnreachableError as error:
            return unreached(error)

    def _tell(self, message: Message) -> Receipt:
        body = payload(message)
        web = _Web(self.token, self.base_url, self.timeout)
        known = {_SEVERITY: str(int(message.severity))}
        first = {key: message.reference[key] for key in ("channel", "ts") if message.reference.get(key)}
        if len(first) == 2 and message.status != "event":
            answer = web.post("chat.update", {**first, **body})
            if _done(answer):
                answer = web.post("chat.postMessage", _in_thread(first, reply(message)))
            receipt = classify(answer, (self.token,))
            if receipt.delivered:
                return evolve(receipt, reference={} if message.status == "resolved" else {**first, **known})
            if receipt.retry or answer.status not in DELIVERED:
                return receipt
        receipt = classify(web.post("chat.postMessage", {"channel": self.channel, **body}), (self.token,))
        if not receipt.delivered or message.status == "resolved":
            return evolve(receipt, reference={})
        return evolve(receipt, reference={**receipt.reference, **known})


# The clients of slack-sdk build the requests. Their transport (urllib) follows redirects and hands the token on to the
# new host, ignores NO_PROXY and reads without bound, so dq's own takes its place. Their retries stay off.

for _client, _hook in (
    (WebhookClient, "_perform_http_request_internal"),
    (WebClient, "_perform_urllib_http_request_internal"),
):
    if not hasattr(_client, _hook):
        raise ImportError(f"this version of slack-sdk has no {_client.__name__}.{_hook}, which dq replaces")

# slack-sdk logs addresses and bodies; the receipt says what there is to say.
_QUIET = logging.getLogger("dq.alerting.channels.slack.sdk")
_QUIET.setLevel(logging.CRITICAL + 1)


class _Webhook(WebhookClient):
    def __init__(self, url: str, timeout: float) -> None:
        super().__init__(url, retry_handlers=[], logger=_QUIET)
        self._seconds = timeout
        self._answer = Answer(status=0)

    def post(self, body: dict[str, Any]) -> Answer:
        self.send_dict({**body, "unfurl_links": False, "unfurl_media": False})
        return self._answer

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        answer = self._answer = _transfer(url, req, self._seconds)
        return WebhookResponse(url=url, status_code=answer.status, body=answer.body, headers={})


class _Web(WebClient):
    def __init__(self, token: str, base_url: str, timeout: float) -> None:
        super().__init__(token, base_url=base_url, retry_handlers=[], logger=_QUIET)
        self._seconds = timeout
        self._answer = Answer(status=0)

    def post(self, method: str, body: dict[str, Any]) -> Answer:
        unfurl = {"unfurl_links": False, "unfurl_media": False} if method == "chat.postMessage" else {}
        self.api_call(method, json={**body, **unfurl})
        return self._answer

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        self._answer = _transfer(url, req, self._seconds)
        # Whatever the answer is, ``classify`` reads it; slack-sdk has only to be content.
        return {"status": 200, "headers": {}, "body": '{"ok": true}'}


def _transfer(url: str, request: Request, timeout: float) -> Answer:
    body = request.data
    assert isinstance(body, bytes)  # noqa: S101  # both clients send JSON
    return post(url, body, timeout=timeout, headers={key.title(): value for key, value in request.header_items()})


def _done(answer: Answer) -> bool:
    return classify(answer).delivered


def _in_thread(first: Mapping[str, str], said: Mapping[str, Any]) -> dict[str, Any]:
    return {"channel": first["channel"], "thread_ts": first["ts"], **said}


def _mark(message: Message) -> str:
    return _STATES.get(message.status) or _MARKS[message.severity]


def _fitting(text: str, limit: int) -> str:
    """Return ``text`` escaped, or its beginning and how much is left out, in at most ``limit`` characters."""
    if len(escaped(text, sys.maxsize)) <= limit:
        return escaped(text, sys.maxsize)
    room = most(limit, lambda n: len(escaped(shortened(text, n), sys.maxsize)) <= limit)
    return escaped(shortened(text, room), limit)


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _fact(label: str, value: str) -> str:
    return f"*{escaped(line(label), 60) or '-'}*\n{escaped(clean(value).strip(), _FACT - 64)}"


def _table(message: Message, rows: int) -> str:
    shown = [message.columns, *message.rows[:rows]] if message.columns else message.rows[:rows]
    cells = [[characters(line(cell).replace("`", "'"), _CELL) for cell in row] for row in shown]
    columns = max((len(row) for row in cells), default=0)
    widths = [max(len(row[i]) for row in cells if i < len(row)) for i in range(columns)]
    lines = ("  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in cells)
    return "```\n" + escaped("\n".join(lines), sys.maxsize) + "\n```"


def _button(text: str, address: str) -> dict[str, Any]:
    target = line(address)
    if not target.startswith(("https://", "http://")) or re.search(r"[<>|\s]", target) or len(target) > _ADDRESS:
        return {}
    label = characters(line(text), _BUTTON) or "link"
    return {"type": "button", "text": {"type": "plain_text", "text": label, "emoji": True}, "url": target}


def _mail(text: str, address: str) -> str:
    """Return the link to an address for mail, which a button cannot have."""
    target = line(address)
    if not target.startswith("mailto:") or re.search(r"[<>|\s]", target):
        return ""
    shown = escaped(line(text).replace("|", "/") or "link", 60)
    link = f"<{target.replace('&', '&amp;')}|{shown}>"
    return link if len(link) <= _MAIL else ""
