"""The one HTTP request that a channel makes, and what its answer means."""

from __future__ import annotations

import ipaddress
import json
import logging
import re
import socket
import time
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

import requests
from attrs import frozen

from dq.alerting.channels.truncate import characters, line
from dq.model.message import Receipt

# What may succeed later. PagerDuty: "429 and any 5xx" (developer-docs, events-API-v2/01-Overview); Slack: 429 and
# server errors (docs.slack.dev/apis/web-api/rate-limits); Splunk On-Call names nothing, Alertmanager retries all 5xx.
RETRY = frozenset({429, *range(500, 600)})

_BODY_BYTES = 64 * 1024
_LONGEST_WAIT = 86_400.0
# The EC2 metadata service over IPv6; all others live in the link-local ranges, which are refused as a whole.
_METADATA_V6 = ipaddress.ip_network("fd00:ec2::/32")

# urllib3 logs the path of every request at DEBUG, and the path of a webhook is its secret. A filter does not hold for
# the loggers below one, so each has its own.
_SENDING: ContextVar[bool] = ContextVar("sending", default=False)
for _name in ("connection", "connectionpool", "poolmanager", "response", "util.retry"):
    logging.getLogger(f"urllib3.{_name}").addFilter(lambda _record: not _SENDING.get())



class UnreachableError(Exception):
    """No answer came. Its text names no address.

    Attributes:
        retry: a later try may succeed.
    """

    def __init__(self, text: str, *, retry: bool) -> None:
        super().__init__(text)
        self.retry = retry

    @property
    def receipt(self) -> Receipt:
        """What the outbox is told."""
        return Receipt(delivered=False, retry=self.retry, error=str(self))


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


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this machine by its very name or number."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_problem(url: str, *, allow_http: bool) -> str:
    """Return why ``url`` may not be called, without naming it; empty when it may.

    Args:
        allow_http: plain http is allowed if the host is a loopback address.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is not an address"
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.fragment:
        return "is not an address with https, a host, and no user name in it"
    if not url.isascii() or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "has characters that an address cannot have"
    if parts.scheme == "http" and not (allow_http and is_loopback(host)):
        return "is not https; plain http is for loopback addresses only, with allow_http = true"
    return ""


def post(url: str, body: bytes, *, timeout: float, headers: Mapping[str, str] | None = None) -> Answer:
    """Send ``body`` once and return the answer: TLS is verified, no redirect followed, nothing tried twice.

    Proxies are taken from the environment as ``requests`` does, never for a loopback address.

    Args:
        body: JSON in UTF-8.
        timeout: seconds for connecting and for each wait for data; the body is given up after as long again.
        headers: in addition to the content type.

    Raises:
        UnreachableError: when no answer came, or the host is that of a cloud metadata service.
    """
    host = urlsplit(url).hostname or ""
    if _is_metadata(host):
        raise UnreachableError("the address is that of a cloud metadata service, which is never called", retry=False)
    sending = _SENDING.set(True)
    try:
        with requests.post(
            url,
            data=body,
            headers={"User-Agent": "dq", "Content-Type": "application/json; charset=utf-8", **(headers or {})},
            timeout=timeout,
            allow_redirects=False,
            auth=lambda request: request,  # a .netrc would replace the token otherwise
            proxies={"http": "", "https": ""} if is_loopback(host) else None,
            verify=True,
            stream=True,
        ) as response:
            return Answer(
                status=response.status_code,
                body=_body(response, time.monotonic() + timeout),
                after=_wait(response.headers.get("Retry-After", "")),
            )
    except requests.Timeout:
        raise UnreachableError(f"no answer within {timeout:g} s", retry=True) from None
    except requests.exceptions.SSLError:
        raise UnreachableError("the TLS connection was refused or the certificate is not trusted", retry=True) from None
    except requests.ConnectionError:
        raise UnreachableError("no connection, or it broke before the answer", retry=True) from None
    except requests.RequestException as error:
        # The remaining ones with a ValueError among their bases are wrong addresses and headers: no use in repeating.
        raise UnreachableError(
            f"the request failed ({type(error).__name__})", retry=not isinstance(error, ValueError)
        ) from None
    finally:
        _SENDING.reset(sending)


def safe(text: str, secrets: Iterable[str] = ()) -> str:
    """Return what a vendor said, fit for an error: one short line without addresses and without ``secrets``.

    Args:
        secrets: each is struck out whole, and by every part of its path that is long enough to matter.
    """
    for secret in secrets:
        for part in (secret, *(piece for piece in re.split(r"[/?#&=]", secret) if len(piece) >= 6)):
            text = text.replace(part, "***")
    return characters(re.sub(r"\S+://\S*", "***", line(text)), 200)


def _is_metadata(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return False  # not resolved here: a proxy may know it, otherwise connecting says so
    for number in found:
        address = ipaddress.ip_address(str(number).partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if address.is_link_local or address in _METADATA_V6:
            return True
    return False


def _body(response: requests.Response, deadline: float) -> str:
    raw = b""
    for chunk in response.iter_content(8192):
        raw += chunk
        if len(raw) >= _BODY_BYTES or time.monotonic() > deadline:
            break
    return raw[:_BODY_BYTES].decode(errors="replace")


def _wait(value: str) -> float | None:
    return min(float(value), _LONGEST_WAIT) if re.fullmatch(r"[0-9]{1,9}", value.strip()) else None
