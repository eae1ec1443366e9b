"""PagerDuty Events API v2: alerts that wake somebody, and change events that never do.

Fields, limits and answers: PagerDuty/developer-docs, docs/events-API-v2, pages 01 to 03.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from attrs import evolve, field, frozen

from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import RETRY, Answer, post, safe, unreached
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import characters, clean, identity, line, most, shortened
from dq.http import UnreachableError
from dq.model.message import Message, Receipt
from dq.model.severity import Severity

URL = "https://events.pagerduty.com/v2/enqueue"
CHANGE_URL = "https://events.pagerduty.com/v2/change/enqueue"
DELIVERED = frozenset({202})
# "About 120 calls a minute" for one integration key, looked at over the last 60 s (docs/events-API-v2, 05-Rate-Limits).
RATE = (120, 60.0)

# "512 KB"; Alertmanager counts it as 512,000 bytes, the smaller reading.
_BODY_BYTES = 512_000
_SUMMARY = 1_024
_WORDS = 20_000
_LINKS = 20
_LINK = 2_048
_CELL = 1_000
_ACTIONS = {"firing": "trigger", "acknowledged": "acknowledge", "resolved": "resolve"}
_SEVERITIES = {
    Severity.INFO: "info",
    Severity.WARNING: "warning",
    Severity.ERROR: "error",
    Severity.CRITICAL: "critical",
}


def payload(message: Message, routing_key: str) -> bytes:
    """Return the body of the request: trigger, acknowledge or resolve, as the status says.

    It has at most 512,000 bytes: details are dropped from the end, and ``custom_details`` says how many.

    Args:
        message: what to say.
        routing_key: the integration key, 32 characters.

    Raises:
        ValueError: when the message is an event, or has no key.
    """
    if message.status == "event":
        raise ValueError("an event is not for a pager")
    event = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[message.status],
        "dedup_key": identity(message.key, 255),
    }
    if message.status != "firing":
        return _encode(event)
    alert = {
        "summary": plain.headline(message, _SUMMARY),
        "source": _source(message),
        "severity": _SEVERITIES[message.severity],
        "timestamp": message.at.isoformat(timespec="seconds"),
        "component": characters(line(message.subject), 255),
        "group": characters(line(message.environment), 255),
        "class": "data quality",
    }
    return _fitted({**event, "client": "dq"}, alert, message)


def change(message: Message, routing_key: str) -> bytes:
    """Return the body of a change event; it has no severity and no key, and is dropped from as an alert is."""
    marker = {
        "summary": plain.headline(message, _SUMMARY),
        "source": _source(message),
        "timestamp": message.at.isoformat(timespec="seconds"),
    }
    return _fitted({"routing_key": routing_key}, marker, message)


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
    rate: ClassVar[tuple[int, float]] = RATE
    secrets: ClassVar[tuple[str, ...]] = ("routing_key",)

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        return cls(name, *_settings(name, settings, resolve, URL))

    def send(self, message: Message) -> Receipt:
        """Trigger, acknowledge or resolve; see ``Channel.send``."""
        body = payload(message, self.routing_key)
        try:
            answer = post(self.url, body, timeout=self.timeout)
        except UnreachableError as error:
            return unreached(error)
        return classify(answer, (self.routing_key, self.url), {"dedup_key": identity(message.key, 255)})


@frozen
class PagerDutyChange:
    """The channel ``pagerduty_change``: what it is told becomes a change event of a PagerDuty service.

    Such an event (a deploy marker, say) stands beside the incidents of the service for 90 days and notifies nobody.

    Attributes:
        name: the channel's name.
        routing_key: the integration key of a PagerDuty service.
        url: where change events go; the EU region has its own address.
        timeout: seconds for each network step.
    """

    name: str
    routing_key: str = field(repr=False)
    url: str = CHANGE_URL
    timeout: float = 10.0
    pages: ClassVar[bool] = False
    rate: ClassVar[tuple[int, float]] = RATE
    secrets: ClassVar[tuple[str, ...]] = ("routing_key",)

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        return cls(name, *_settings(name, settings, resolve, CHANGE_URL))

    def send(self, message: Message) -> Receipt:
        """Send a change event; see ``Channel.send``. An acknowledgement is no change: nothing is sent."""
        if message.status == "acknowledged":
            return Receipt(delivered=True)
        try:
            answer = post(self.url, change(message, self.routing_key), timeout=self.timeout)
        except UnreachableError as error:
            return unreached(error)
        return classify(answer, (self.routing_key, self.url))


def _settings(name: str, settings: Mapping[str, object], resolve: Resolve, url: str) -> tuple[str, str, float]:
    read = Settings(name, settings, resolve).only("routing_key", "url", "allow_http", "timeout")
    address, timeout = read.address("url", read.text("url", url)), read.timeout
    routing_key = read.secret("routing_key")
    if len(routing_key) != 32:
        raise read.error("routing_key", "an integration key has 32 characters, the secret has another length")
    return routing_key, address, timeout


def _source(message: Message) -> str:
    return characters(line(f"{message.environment}/{message.subject}"), 255)


def _fitted(event: Mapping[str, Any], payload: Mapping[str, Any], message: Message) -> bytes:
    """Return the body with as many details as fit, in the order of a message."""
    whole = plain.worded(message)
    callable_links = tuple((text, line(address)) for text, address in whole.links if 0 < len(line(address)) <= _LINK)
    usable = evolve(whole, links=callable_links[:_LINKS])

    def body(count: int) -> bytes:
        shown = plain.kept(usable, count)
        links = [{"href": address, "text": characters(line(text) or address, 255)} for text, address in shown.links]
        return _encode({**event, "payload": {**payload, "custom_details": _details(whole, shown)}, "links": links})

    return body(most(plain.details(usable), lambda count: len(body(count)) <= _BODY_BYTES))


def _details(whole: Message, shown: Message) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if shown.summary.strip():
        details["summary"] = shortened(clean(shown.summary), _WORDS)
    for label, value in shown.facts:
        known = details.get(line(label))
        details[line(label)] = clean(value) if known is None else f"{known}\n{clean(value)}"
    if shown.since is not None:
        details["since"] = shown.since.isoformat(timespec="seconds")
    if shown.query:
        details["query"] = clean(shown.query)
    if shown.rows:
        table = [shown.columns, *shown.rows] if shown.columns else shown.rows
        details["table"] = [[characters(line(cell), _CELL) for cell in cells] for cells in table]
    if missing := plain.left_out(whole, shown):
        details["left out"] = "; ".join(missing)
    if shown.note:
        details["note"] = characters(line(shown.note), 500)
    return details


def _encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
