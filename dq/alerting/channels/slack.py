"""Slack: an incoming webhook, or ``chat.postMessage`` with a bot token.

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

from attrs import field, frozen
from slack_sdk import WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse

from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import RETRY, Answer, UnreachableError, post, safe
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import ELLIPSIS, characters, clean, line, most
from dq.model.message import Message, Receipt
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
_TABLE = 2_900
_CELL = 60
_LINKS = 5
_LINK = 160
_CONTEXT = 300
_FALLBACK = 500

_MARKS = {Severity.INFO: "🔵", Severity.WARNING: "🟡", Severity.ERROR: "🟠", Severity.CRITICAL: "🔴"}
_WELL = "✅"


def payload(message: Message) -> dict[str, Any]:
    """Return ``text`` and ``blocks`` within Slack's limits: headline, summary, facts, table, links, state.

    Of a table as many rows are shown as fit, of the facts ten; what is left out is counted.
    """
    mark = _WELL if message.status == "resolved" else _MARKS[message.severity]
    head = f"{mark} {plain.headline(message, _HEADER - len(mark) - 1)}"
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": head, "emoji": True}}]
    if summary := escaped(clean(message.summary).strip(), _SUMMARY):
        blocks.append({"type": "section", "text": _mrkdwn(summary)})
    if message.facts:
        fields = [_mrkdwn(_fact(label, value)) for label, value in message.facts[:_FACTS]]
        blocks.append({"type": "section", "fields": fields})
    rows = most(len(message.rows), lambda n: len(_table(message, n)) <= _TABLE)
    if rows:
        blocks.append({"type": "section", "text": _mrkdwn(_table(message, rows))})
    links = [link for link in (_link(*pair) for pair in message.links) if link]
    if links[:_LINKS]:
        blocks.append({"type": "section", "text": _mrkdwn(" · ".join(links[:_LINKS]))})
    notes = [
        plain.state(message),
        plain.left_out(message.omitted + len(message.rows) - rows),
        _more(len(message.facts) - _FACTS, "fact"),
        _more(len(message.links) - len(links[:_LINKS]), "link"),
        line(message.subject),
    ]
    blocks.append({"type": "context", "elements": [_mrkdwn(escaped(" · ".join(n for n in notes if n), _CONTEXT))]})
    fallback = escaped("\n".join(part for part in (head, clean(message.summary).strip()) if part), _FALLBACK)
    return {"text": fallback, "blocks": blocks}


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
        """Post ``message``; see ``Channel.send``. A second try after a lost answer posts it twice."""
        body = payload(message)
        try:
            if self.webhook:
                answer = _Webhook(self.webhook, self.timeout).post(body)
            else:
                answer = _Web(self.token, self.base_url, self.timeout).post({"channel": self.channel, **body})
        except UnreachableError as error:
            return error.receipt
        return classify(answer, tuple(filter(None, (self.webhook, self.token))))


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

    def post(self, body: dict[str, Any]) -> Answer:
        self.chat_postMessage(**body, unfurl_links=False, unfurl_media=False)
        return self._answer

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        self._answer = _transfer(url, req, self._seconds)
        # Whatever the answer is, ``classify`` reads it; slack-sdk has only to be content.
        return {"status": 200, "headers": {}, "body": '{"ok": true}'}


def _transfer(url: str, request: Request, timeout: float) -> Answer:
    body = request.data
    assert isinstance(body, bytes)  # noqa: S101  # both clients send JSON
    return post(url, body, timeout=timeout, headers={key.title(): value for key, value in request.header_items()})


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


def _link(text: str, address: str) -> str:
    target = line(address)
    if not target.startswith(("https://", "http://", "mailto:")) or re.search(r"[<>|\s]", target):
        return ""
    shown = escaped(line(text).replace("|", "/") or "link", 60)
    link = f"<{target.replace('&', '&amp;')}|{shown}>"
    return link if len(link) <= _LINK else ""


def _more(count: int, what: str) -> str:
    return "" if count <= 0 else f"{count:,} further {what}{'' if count == 1 else 's'} left out"
