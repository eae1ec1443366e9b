"""How bad it is, and what came of a check."""

from __future__ import annotations

import enum

from dq.model.errors import DeclarationError


class Severity(enum.IntEnum):
    """How bad a broken promise is; ordered, so that the worst can be found with ``max``."""

    INFO = 1
    WARNING = 2
    ERROR = 3
    CRITICAL = 4

    def __str__(self) -> str:
        return self.name.lower()

    @classmethod
    def of(cls, word: str | Severity) -> Severity:
        """Return the severity that ``word`` names.

        Raises:
            DeclarationError: when the word is not info, warning, error or critical.
        """
        if isinstance(word, cls):
            return word
        for severity in cls:
            if str(severity) == word:
                return severity
        raise DeclarationError(f"unknown severity {word!r}; use one of {', '.join(map(str, cls))}")


class Outcome(enum.StrEnum):
    """What came of a check. Only PASS is good; the others say why there is no good news."""

    PASS = "pass"  # noqa: S105  # a word for what came of it, no password
    FAIL = "fail"
    UNMEASURED = "unmeasured"
    NO_DATA = "no_data"
    SKIP = "skip"
