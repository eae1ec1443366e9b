"""Formats of text that are told by a regular expression which all engines understand alike."""

from __future__ import annotations

from attrs import frozen


@frozen
class Format:
    """A format.

    Attributes:
        name: with its article.
        pattern: a regular expression.
        shortest, longest: how many characters such a text has; a column outside is not looked at.
    """

    name: str
    pattern: str
    shortest: int
    longest: int


_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
ISO_TIME = Format("an ISO time", f"^{_DAY}[ T][0-9]{{2}}:[0-9]{{2}}", 16, 35)
ISO_DATE = Format("an ISO date", f"^{_DAY}$", 10, 10)

FORMATS = (
    Format("an e-mail address", r"^[^@ ]+@[^@ ]+[.][^@ ]+$", 5, 320),
    Format("a UUID", "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$", 36, 36),
    ISO_DATE,
    ISO_TIME,
    Format("an IP address", r"^[0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}[.][0-9]{1,3}$", 7, 15),
    Format("an IBAN", "^[A-Z]{2}[0-9]{2}[ ]?[0-9A-Z]{4}[ 0-9A-Z]{6,30}$", 15, 42),
    Format("an address of the web", "^https?://[^ ]+$", 9, 4000),
    Format("a number", "^-?[0-9]+([.][0-9]+)?$", 1, 60),
    Format(
        "a telephone number",
        r"^[+(][0-9][-0-9 ()/.]{4,}[0-9]$|^[0-9]{2,5}[-/ ][-0-9 ()/.]{3,}[0-9]$",
        7,
        24,
    ),
    Format("hexadecimal", "^[0-9a-fA-F]{16,}$", 16, 128),
    Format("an upper-case code", "^[A-Z][A-Z0-9_-]*$", 1, 32),
)
"""From the most to the least particular: the first that fits is suggested."""

JSON = Format("JSON", r"^[ ]*(\[|\{)", 2, 1_000_000)
