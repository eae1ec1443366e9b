"""PagerDuty Events API v2.

Fields, limits and answers: PagerDuty/developer-docs, docs/events-API-v2, pages 01 to 03.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from attrs import field, frozen

from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import RETRY, Answer, UnreachableError, post, safe
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import characters, clean, identity, line, most
from dq.model.message import Message, Receipt
from dq.model.severity import Severity

URL = "https://events.pagerduty.com/v2/enqueue"
DELIVERED = frozenset({202})

# "512 KB"; Alertmanager counts it as 512,000 bytes, the smaller reading.
_BODY_BYTES = 512_000
_SUMMARY = 1_024
_LINKS = 20
_LINK = 2_048
_CELL = 1_000
_SEVERITIES = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
    Severity.CRITICAL: "critical",
}


def payload(message: Message, routing_key: str) -> bytes:
    """Return the body of the request: a trigger for a firing message, a resolve for a resolved one.

    It has at most 512,000 bytes: table rows are dropped first, then all details, and ``custom_details`` says so.

    Args:
        message: what to say.
        routing_key: the integration key, 32 characters.

    Raises:
        ValueError: when the message is an event, or has no key.
    """
    if message.status == "event":
        raise ValueError("an event is not for a pager")
    key = identity(message.key, 255)
    if message.status == "resolved":
        return _encode({"routing_key": routing_key, "event_action": "resolve", "dedup_key": key})
    event = {
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key,
        "client": "dq",
        "payload": {
            "summary": plain.headline(message, _SUMMARY),
            "source": characters(line(f"{message.environment}/{message.subject}"), 255),
            "severity": _SEVERITIES[message.severity],
            "timestamp": message.at.isoformat(timespec="seconds"),
            "component": characters(line(message.subject), 255),
            "group": characters(line(message.environment), 255),
            "class": "data quality",
        },
        "links": [
            {"href": line(address), "text": characters(line(text) or line(address), 255)}
            for text, address in message.links
            if 0 < len(line(address)) <= _LINK
        ][:_LINKS],
    }
    rows = most(len(message.rows), lambda n: len(_with_details(event, _details(message, n))) <= _BODY_BYTES)
    body = _with_details(event, _details(message, rows))
    if len(body) > _BODY_BYTES:
        body = _with_details(event, {"left out": "all details: they are too long for PagerDuty"})
    return body


def classify(answer: Answer, secrets: tuple[str, ...] = (), reference: Mapping[str, str] | None = None) -> Receipt:
    """Return what PagerDuty's answer means: 202 is accepted, 429 and 5xx may succeed later, the rest never.

    Another 2xx is no answer of PagerDuty (a proxy's page, say) and proves nothing, so it is tried again; the same
    ``dedup_key`` makes that harmless.
    """
    if answer.status in DELIVERED:
        return Receipt(delivered=True, reference=reference or {})
    said = answer.document or {}
    errors = said.get("errors")
    words = [said.get("message"), *(errors if isinstance(errors, list) else [])]
    retry = answer.status in RETRY or 200 <= answer.status < 300
    return answer.refused(safe("; ".join(str(word) for word in words if word), secrets), retry=retry)


@frozen
class PagerDuty:
    """The channel ``pagerduty``.

    Attributes:
        name: the channel's name.
        routing_key: the integration key of a PagerDuty service.
        url: where events go; the EU region has its own address.
        timeout: seconds for each network step.
    """

    name: str
    routing_key: str = field(repr=False)
    url: str = URL
    timeout: float = 10.0
    pages: ClassVar[bool] = True
    secrets: ClassVar[tuple[str, ...]] = ("routing_key",)

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        read = Settings(name, settings, resolve).only("routing_key", "url", "allow_http", "timeout")
        url, timeout = read.address("url", read.text("url", URL)), read.timeout
        routing_key = read.secret("routing_key")
        if len(routing_key) != 32:
            raise read.error("routing_key", "an integration key has 32 characters, the secret has another length")
        return cls(name, routing_key, url, timeout)

    def send(self, message: Message) -> Receipt:
        """Trigger or resolve; see ``Channel.send``."""
        body = payload(message, self.routing_key)
        try:
            answer = post(self.url, body, timeout=self.timeout)
        except UnreachableError as error:
            return error.receipt
        return classify(answer, (self.routing_key, self.url), {"dedup_key": identity(message.key, 255)})


def _details(message: Message, rows: int) -> dict[str, Any]:
    details: dict[str, Any] = {"summary": clean(message.summary)} if message.summary.strip() else {}
    for label, value in message.facts:
        known = details.get(line(label))
        details[line(label)] = clean(value) if known is None else f"{known}\n{clean(value)}"
    if message.since is not None:
        details["since"] = message.since.isoformat(timespec="seconds")
    if rows:
        shown = [message.columns, *message.rows[:rows]] if message.columns else message.rows[:rows]
        details["table"] = [[characters(line(cell), _CELL) for cell in cells] for cells in shown]
    if missing := plain.left_out(message.omitted + len(message.rows) - rows):
        details["left out"] = missing
    return details


def _with_details(event: Mapping[str, Any], details: Mapping[str, Any]) -> bytes:
    return _encode({**event, "payload": {**event["payload"], "custom_details": details}})


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
