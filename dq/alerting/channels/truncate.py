"""Making text fit: limits in characters and in UTF-8 bytes, whole characters only."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

ELLIPSIS = "…"

# C0 and C1 controls except tab and newline, the Unicode line separators, and lone surrogates (they have no UTF-8 form).
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def clean(text: str) -> str:
    """Return ``text`` with line feeds for newlines, and U+FFFD for what cannot be shown or encoded."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def line(text: str) -> str:
    """Return ``text`` cleaned, on one line, with single spaces."""
    return " ".join(clean(text).split())


def characters(text: str, limit: int) -> str:
    """Return ``text``, or its beginning and an ellipsis, in at most ``limit`` characters (code points)."""
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS if limit > 0 else ""


def shortened(text: str, limit: int) -> str:
    """Return ``text``, or its beginning and how much of it is left out, in at most ``limit`` characters."""
    if len(text) <= limit:
        return text
    room = limit - len(_cut(len(text)))
    return text[:room].rstrip() + _cut(len(text) - room) if room > 0 else characters(text, limit)


def _cut(count: int) -> str:
    return f"{ELLIPSIS} ({count:,} characters left out)"


def utf8_bytes(text: str, limit: int) -> str:
    """Return ``text``, or its beginning and an ellipsis, in at most ``limit`` bytes of UTF-8.

    An ellipsis takes three bytes; where there is no room for it, it is left out.
    """
    raw = text.encode()
    if len(raw) <= limit:
        return text
    mark = ELLIPSIS if limit >= len(ELLIPSIS.encode()) else ""
    return raw[: max(0, limit - len(mark.encode()))].decode(errors="ignore") + mark


def identity(key: str, limit: int = 255) -> str:
    """Return ``key`` as a vendor may store it: the same for the same key, at most ``limit`` characters.

    A key that is too long or not printable keeps its beginning and ends with its SHA-256, so that two keys never
    become one.

    Raises:
        ValueError: when the key is empty: such an alert could never be resolved.
    """
    if not key.strip():
        raise ValueError("a message needs a key, otherwise its alert could never be resolved")
    printable = line(key)
    if printable == key and len(key) <= limit:
        return key
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return f"{printable[: limit - len(digest) - 1]}-{digest}"


def most(count: int, fits: Callable[[int], bool]) -> int:
    """Return the largest ``n`` in 0..``count`` for which ``fits(n)`` holds; 0 when none does.

    Args:
        fits: holds for every smaller number when it holds for one.
    """
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
