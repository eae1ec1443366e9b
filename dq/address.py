"""What a web address is, and which of them may be called."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit


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
    parts = _split(url)
    if parts is None:
        return "is not an address with https, a host, and no user name in it"
    if problem := _characters_problem(url):
        return problem
    if parts.scheme == "http" and not (allow_http and is_loopback(parts.hostname or "")):
        return "is not https; plain http is for loopback addresses only, with allow_http = true"
    return ""


def server_problem(url: str) -> str:
    """Return why ``url`` is not where a server is, to which a path is added, without naming it; empty when it is."""
    parts = _split(url)
    if parts is None or parts.query:
        return "is not an address with http or https, a host, and neither a user name nor a query in it"
    return _characters_problem(url)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return None
    wrong = parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.fragment
    return None if wrong else parts


def _characters_problem(url: str) -> str:
    wrong = not url.isascii() or re.search(r"[\s\x00-\x1f\x7f]", url)
    return "has characters that an address cannot have" if wrong else ""
