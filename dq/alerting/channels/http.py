"""The one HTTP request that a channel makes, and what its answer means."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from dq.alerting.channels.truncate import characters, line
from dq.http import UnreachableError, request
from dq.model.message import Receipt

# What may succeed later. PagerDuty: "429 and any 5xx" (developer-docs, events-API-v2/01-Overview); Slack: 429 and
# server errors (docs.slack.dev/apis/web-api/rate-limits); Splunk On-Call names nothing, Alertmanager retries all 5xx.
RETRY = frozenset({429, *range(500, 600)})

_BODY_BYTES = 64 * 1024
_LONGEST_WAIT = 86_400.0


@frozen
class Answer:
    """What a vendor answered.

    Attributes:
        status: the HTTP status.
        body: the beginning of the body.
        after: seconds to wait before the next try (``Retry-After``), at most a day; None: it did not say.
    """

    status: int
    body: str = ""
    after: float | None = None

    @property
    def document(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is not one."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def refused(self, said: str, *, retry: bool | None = None) -> Receipt:
        """Return the receipt of a message that was not taken.

        Args:
            said: why, already safe to show.
            retry: whether a later try may succeed; None: as the status says.
        """
        error = f"HTTP {self.status}" + (f": {said}" if said else "")
        if 300 <= self.status < 400:
            error = f"HTTP {self.status}: redirects are not followed"
        retry = self.status in RETRY if retry is None else retry
        return Receipt(delivered=False, retry=retry, after=self.after if retry else None, error=error)


def post(url: str, body: bytes, *, timeout: float, headers: Mapping[str, str] | None = None) -> Answer:
    """Send ``body`` and return the answer; see :func:`dq.http.request`.

    Args:
        body: JSON in UTF-8.
        timeout: seconds for connecting and for each wait for data; the body is given up after as long again.
        headers: in addition to the content type.

    Raises:
        UnreachableError: when no answer came, or the host is that of a cloud metadata service.
    """
    kind = {"Content-Type": "application/json; charset=utf-8"}
    reply = request("POST", url, body=body, timeout=timeout, headers=kind | dict(headers or {}), longest=_BODY_BYTES)
    return Answer(reply.status, reply.body.decode(errors="replace"), _wait(reply.retry_after))


def unreached(error: UnreachableError) -> Receipt:
    """Return the receipt of a message to which no answer came."""
    return Receipt(delivered=False, retry=error.retry, error=str(error))


def safe(text: str, secrets: Iterable[str] = ()) -> str:
    """Return what a vendor said, fit for an error: one short line without addresses and without ``secrets``.

    Args:
        secrets: each is struck out whole, and by every part of its path that is long enough to matter.
    """
    for secret in secrets:
        for part in (secret, *(piece for piece in re.split(r"[/?#&=]", secret) if len(piece) >= 6)):
            text = text.replace(part, "***")
    return characters(re.sub(r"\S+://\S*", "***", line(text)), 200)


def _wait(value: str) -> float | None:
    return min(float(value), _LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", value.strip()) else None
