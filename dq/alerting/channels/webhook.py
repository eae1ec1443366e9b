"""A webhook of your own: every message as a JSON document, signed.

The document is that of ``webhook.schema.json`` beside this file; fields may be added, and ``version`` rises when one
changes its meaning. The header ``Dq-Signature: t=SECONDS,v1=HEX`` holds the time of sending (seconds since 1970) and
the HMAC-SHA256 of ``SECONDS.BODY`` with the shared secret, as Stripe and Slack sign theirs: who receives it can tell
that it is dq's, whole, and not an old one sent again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from attrs import evolve, field, frozen

from dq.alerting.channels import Resolve, plain
from dq.alerting.channels.http import Answer, post, unreached
from dq.alerting.channels.settings import Settings
from dq.alerting.channels.truncate import characters, clean, identity, line, most, shortened
from dq.http import UnreachableError
from dq.model.message import Message, Receipt

VERSION = 1
HEADER = "Dq-Signature"
DELIVERED = frozenset(range(200, 300))

_BODY_BYTES = 256_000  # what the queues behind such endpoints take (SQS, SNS and EventBridge: 256 KiB)
_WORDS = 20_000
_LINE = 1_000
_SECRET = 16
_OWN = frozenset({"content-length", "content-type", "host", "transfer-encoding", "user-agent", HEADER.lower()})


def payload(message: Message) -> bytes:
    """Return the body of the request, at most 256,000 bytes: details are dropped from the end and counted.

    Raises:
        ValueError: when the message has no key.
    """
    whole = plain.worded(message)
    usable = evolve(whole, facts=tuple((label, shortened(clean(value), _WORDS)) for label, value in whole.facts))
    count = most(plain.details(usable), lambda n: len(_encode(_document(whole, plain.kept(usable, n)))) <= _BODY_BYTES)
    return _encode(_document(whole, plain.kept(usable, count)))


def signature(secret: str, body: bytes, at: datetime) -> str:
    """Return the value of the header ``Dq-Signature`` for ``body``, sent at ``at``."""
    seconds = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def classify(answer: Answer) -> Receipt:
    """Return what the answer means: any 2xx is accepted, 429 and 5xx may succeed later, the rest never."""
    return Receipt(delivered=True) if answer.status in DELIVERED else answer.refused("")


@frozen
class Webhook:
    """The channel ``webhook``.

    Attributes:
        name: the channel's name.
        url: where documents go; its path may be a secret, so it is one.
        secret: what both sides know and sign with; at least 16 characters.
        headers: further headers, e.g. ``Authorization``; secrets, too.
        timeout: seconds for each network step.
    """

    name: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    timeout: float = 10.0
    pages: ClassVar[bool] = False
    rate: ClassVar[tuple[int, float]] = (0, 0.0)
    secrets: ClassVar[tuple[str, ...]] = ("url", "secret")

    @classmethod
    def of(cls, name: str, settings: Mapping[str, object], resolve: Resolve) -> Self:
        """Return the channel that the settings describe; see ``Channel.of``."""
        read = Settings(name, settings, resolve).only("url", "secret", "headers", "allow_http", "timeout")
        timeout, _ = read.timeout, read.flag("allow_http")
        names = settings.get("headers", {})
        for header in names if isinstance(names, Mapping) else ():
            if not re.fullmatch(r"[A-Za-z0-9-]+", header) or header.lower() in _OWN:
                raise read.error(f"headers.{header}", "is not a header that can be given here")
        for key in ("url", "secret"):
            if not read.has(key):
                raise read.error(key, "is missing")
        headers = read.secrets("headers")
        for header, value in headers.items():
            if not re.fullmatch(r"[\x20-\x7e]+", value):
                raise read.error(f"headers.{header}", "the secret has characters that a header cannot have")
        secret = read.secret("secret")
        if len(secret) < _SECRET:
            raise read.error("secret", f"the secret has less than {_SECRET} characters")
        return cls(name, read.address("url", read.secret("url")), secret, headers, timeout)

    def send(self, message: Message) -> Receipt:
        """Post the document; see ``Channel.send``. One that is sent again has the same ``id``."""
        body = payload(message)
        headers = {**self.headers, HEADER: signature(self.secret, body, datetime.now(UTC))}
        try:
            return classify(post(self.url, body, timeout=self.timeout, headers=headers))
        except UnreachableError as error:
            return unreached(error)


def _document(whole: Message, shown: Message) -> dict[str, Any]:
    one = (whole.key, whole.status, int(whole.severity), whole.title, whole.summary, whole.at.isoformat())
    return {
        "version": VERSION,
        "id": hashlib.sha256(json.dumps(one).encode()).hexdigest()[:32],
        "key": identity(whole.key),
        "status": whole.status,
        "severity": str(whole.severity),
        "environment": characters(line(whole.environment), _LINE),
        "subject": characters(line(whole.subject), _LINE),
        "title": characters(line(whole.title), _LINE),
        "summary": shortened(clean(shown.summary), _WORDS),
        "since": None if whole.since is None else whole.since.isoformat(timespec="seconds"),
        "at": whole.at.isoformat(timespec="seconds"),
        "facts": [{"label": line(label), "value": clean(value)} for label, value in shown.facts],
        "links": [{"text": line(text), "url": line(address)} for text, address in shown.links],
        "query": clean(shown.query),
        "table": {
            "columns": [line(column) for column in shown.columns] if shown.rows else [],
            "rows": [[line(cell) for cell in cells] for cells in shown.rows],
            "omitted": whole.omitted + len(whole.rows) - len(shown.rows),
        },
        "left_out": list(plain.left_out(whole, shown)),
        "note": characters(line(whole.note), _LINE),
    }


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
