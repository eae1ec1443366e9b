"""VictorOps / Splunk On-Call, the generic REST endpoint.

Fields: help.splunk.com, "REST Endpoint integration for Splunk On-Call" and "Incident fields glossary".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import ClassVar, Self
from urllib.parse import quote

from attrs import field, frozen

from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import RETRY, Answer, post, safe, unreached
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import characters, identity, line
from dq.http import UnreachableError
from dq.model.message import Message, Receipt
from dq.model.severity import Severity

DELIVERED = frozenset({200})

# The vendor names no lengths; 20,480 is where Alertmanager cuts the state message.
_STATE_MESSAGE = 20_480
_NAME = 255
# CRITICAL opens an incident; WARNING opens one or not, by account setting; INFO stands in the time line only. An error
# has to wake somebody whatever the account's setting is, therefore it is CRITICAL.
_ENDS = {"acknowledged": "ACKNOWLEDGEMENT", "resolved": "RECOVERY"}
_TYPES = {
    Severity.INFO: "INFO",
    Severity.WARNING: "WARNING",
    Severity.ERROR: "CRITICAL",
    Severity.CRITICAL: "CRITICAL",
}


def payload(message: Message) -> dict[str, str | int]:
    """Return the body of the request: RECOVERY, ACKNOWLEDGEMENT, or for a firing message a type by severity.

    Raises:
        ValueError: when the message is an event, or has no key.
    """
    if message.status == "event":
        raise ValueError("an event is not for a pager")
    since = message.since or message.at
    return {
        "message_type": _ENDS.get(message.status) or _TYPES[message.severity],
        "entity_id": identity(message.key),
        "entity_display_name": plain.headline(message, _NAME),
        "state_message": plain.text(message, _STATE_MESSAGE),
        "timestamp": int(message.at.timestamp()),
        "state_start_time": int(since.timestamp()),
        "monitoring_tool": "dq",
        "environment": characters(line(message.environment), _NAME),
        "subject": characters(line(message.subject), _NAME),
        "severity": str(message.severity),
    }


def classify(answer: Answer, secrets: tuple[str, ...] = (), reference: Mapping[str, str] | None = None) -> Receipt:
    """Return what the answer means: 200 with result ``success`` or no body is accepted, 429 and 5xx may succeed later.

    A 200 whose body is not the endpoint's own (a proxy's page, say) proves nothing, so it is tried again; the same
    ``entity_id`` makes that harmless.
    """
    said = answer.document or {}
    words = safe(str(said.get("message") or ""), secrets)
    if answer.status not in DELIVERED:
        return answer.refused(words, retry=answer.status in RETRY)
    if said.get("result") == "success" or not answer.body.strip():
        return Receipt(delivered=True, reference=reference or {})
    if "result" in said:
        return answer.refused(words or "the result is not success", retry=False)
    return answer.refused("the answer is not that of Splunk On-Call", retry=True)


@frozen
class VictorOps:
    """The channel ``victorops``.

    Attributes:
        name: the channel's name.
        url: the endpoint up to the API key, which makes it a secret; the ``$routing_key`` that the vendor shows at its
            end may be left there.
        routing_key: the last part of the path; says which team is called.
        timeout: seconds for each network step.
    """

    name: str
    url: str = field(repr=False)
    routing_key: str
    timeout: float = 10.0
    pages: ClassVar[bool] = True
    rate: ClassVar[tuple[int, float]] = (0, 0.0)  # the vendor names none
    secrets: ClassVar[tuple[str, ...]] = ("url",)

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        read = Settings(name, settings, resolve).only("url", "routing_key", "allow_http", "timeout")
        routing_key, timeout, _ = read.text("routing_key"), read.timeout, read.flag("allow_http")
        url = read.address("url", read.secret("url")).removesuffix("$routing_key").rstrip("/")
        return cls(name, url, routing_key, timeout)

    def send(self, message: Message) -> Receipt:
        """Open, update, acknowledge or recover; see ``Channel.send``."""
        document = payload(message)
        body = json.dumps(document, ensure_ascii=False).encode()
        try:
            answer = post(f"{self.url}/{quote(self.routing_key, safe='')}", body, timeout=self.timeout)
        except UnreachableError as error:
            return unreached(error)
        return classify(answer, (self.url,), {"entity_id": str(document["entity_id"])})
