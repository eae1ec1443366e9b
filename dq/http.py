"""One HTTP request: TLS is verified, no redirect followed, nothing tried twice, and no error names an address."""

from __future__ import annotations

import ipaddress
import logging
import socket
import time
from collections.abc import Mapping
from contextvars import ContextVar
from urllib.parse import urlsplit

import requests
from attrs import field, frozen

from dq.address import is_loopback

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


@frozen
class Reply:
    """What a server answered.

    Attributes:
        status: the HTTP status.
        body: as many bytes of it as were asked for and came in time.
        whole: whether that is all of it.
        retry_after: the header of that name; empty: it is not there.
    """

    status: int
    body: bytes = field(repr=False)
    whole: bool
    retry_after: str


def request(
    method: str, url: str, *, timeout: float, body: bytes | None = None, headers: Mapping[str, str], longest: int
) -> Reply:
    """Send a request once and return the reply.

    Proxies are taken from the environment as ``requests`` does, never for a loopback address.

    Args:
        method: ``GET`` or ``POST``.
        url: an address that may be called, see :mod:`dq.address`.
        timeout: seconds for connecting and for each wait for data; the body is given up after as long again.
        body: what is sent.
        headers: beside the one that says who asks.
        longest: how many bytes of the reply are read.

    Raises:
        UnreachableError: when no answer came, or the host is that of a cloud metadata service.
    """
    host = urlsplit(url).hostname or ""
    if _is_metadata(host):
        raise UnreachableError("the address is that of a cloud metadata service, which is never called", retry=False)
    sending = _SENDING.set(True)
    try:
        with requests.request(
            method,
            url,
            data=body,
            headers={"User-Agent": "dq", **headers},
            timeout=timeout,
            allow_redirects=False,
            auth=lambda request: request,  # a .netrc would replace the token otherwise
            proxies={"http": "", "https": ""} if is_loopback(host) else None,
            verify=True,
            stream=True,
        ) as response:
            return Reply(
                response.status_code,
                *_read(response, longest, time.monotonic() + timeout),
                response.headers.get("Retry-After", ""),
            )
    except requests.Timeout:
        raise UnreachableError(f"no answer within {timeout:g} s", retry=True) from None
    except requests.exceptions.SSLError:
        raise UnreachableError("the TLS connection was refused or the certificate is not trusted", retry=True) from None
    except requests.ConnectionError:
        raise UnreachableError("no connection, or it broke before the answer", retry=True) from None
    except (requests.RequestException, UnicodeError) as error:
        # The remaining ones with a ValueError among their bases are wrong addresses and headers: no use in repeating.
        raise UnreachableError(
            f"the request failed ({type(error).__name__})", retry=not isinstance(error, ValueError)
        ) from None
    finally:
        _SENDING.reset(sending)


def _read(response: requests.Response, longest: int, deadline: float) -> tuple[bytes, bool]:
    raw = b""
    for chunk in response.iter_content(8192):
        raw += chunk
        if len(raw) >= longest or time.monotonic() > deadline:
            return raw[:longest], False
    return raw, True


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
