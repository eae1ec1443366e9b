"""Masking: what is shown of the values of a column that is tagged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from attrs import evolve, frozen

from dq.model.check import Check
from dq.model.failing import Masking
from dq.model.result import Result
from dq.secret import without_addresses

HIDDEN = "•••"
"""What stands for a value that is not shown."""

LONGEST_SHOWN = 500
"""Characters that are shown of a text."""

LONGEST_ERROR = 300
"""Characters that are told of the words of an exception."""

_SECRET = re.compile(
    r"""\b([\w-]*(?:password|passwd|pwd|secret|token|credential|api[_-]?key|access[_-]?key|authorization))"""
    r"""(["']?\s*(?:=>|[=:])\s*)(?:(?:bearer|basic)\s+)?("[^"]*"|'[^']*'|[^\s,;&)}\]]+)""",
    re.IGNORECASE,
)

_LISTS_OF_VALUES = ("values", "edges")


@frozen
class Masks:
    """How the columns of a table are shown.

    Attributes:
        hidden: what is done with the values of a column, by its name in small letters: most engines take names as the
            same whatever their case, and a value too many that is hidden harms nobody.
    """

    hidden: Mapping[str, Masking]

    @classmethod
    def of(cls, tags: Mapping[str, str], masking: Mapping[str, Masking]) -> Masks:
        """Return the masks of a table; a tag that ``masking`` does not have is redacted."""
        return cls({column.casefold(): masking.get(tag, "redact") for column, tag in tags.items()})

    def how(self, column: str) -> Masking:
        """Return what is done with the values of a column."""
        return self.hidden.get(column.casefold(), "keep")

    def detail(self, result: Result, check: Check) -> Result:
        """Return the result with the values masked that its detail lists of the column of the check."""
        column = getattr(check.kind, "column", None)
        how = self.how(column) if isinstance(column, str) else "keep"
        if result.detail is None or how == "keep":
            return result
        return evolve(result, detail=_masked_lists(result.detail, how))


def masked(value: Any, how: Masking) -> Any:
    """Return a value as it is shown: whole, as a hash that is equal for equal values, or not at all; NULL is NULL."""
    if value is None:
        return None
    if how == "redact":
        return HIDDEN
    if how == "hash":
        return sha256(str(value).encode()).hexdigest()[:12]
    return f"{value[:LONGEST_SHOWN]}…" if isinstance(value, str) and len(value) > LONGEST_SHOWN else value


def told_error(error: object) -> str:
    """Return what may be told of an exception: its type and the first line of its words, cut, without secrets.

    Addresses go whole, because they may hold a password, and so does what is called a password, token, key or the like.
    Further lines go, because databases put values of rows there.
    """
    words = " ".join(str(error).strip().partition("\n")[0].split())
    words = _SECRET.sub(rf"\1\2{HIDDEN}", without_addresses(words))
    if len(words) > LONGEST_ERROR:
        words = f"{words[: LONGEST_ERROR - 1]}…"
    if not isinstance(error, BaseException):
        return words
    name = type(error).__name__
    return f"{name}: {words}" if words else name


def _masked_lists(detail: Mapping[str, Any], how: Masking) -> dict[str, Any]:
    return {
        name: [masked(value, how) for value in found]
        if name in _LISTS_OF_VALUES and isinstance(found, list)
        else _masked_lists(found, how)
        if isinstance(found, Mapping)
        else found
        for name, found in detail.items()
    }
