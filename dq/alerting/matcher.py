r"""Matchers: conditions on labels, in the spelling of Prometheus Alertmanager.

    severity="critical"                     one condition
    {severity="critical", org!="14"}        several, in braces or without them; all must hold

A value may stand in double quotes. In it, quoted or not, ``\"``, ``\\`` and ``\n`` are a quote, a backslash and a line
break, and any other backslash is itself, so that a regular expression needs none doubled. A comma separates matchers
unless it stands in quotes. Where braces do not come as a pair Alertmanager guesses; here that is refused.
(Source of the rules: Alertmanager, ``pkg/labels/parse.go``, Apache-2.0.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import field, frozen

from dq.model.errors import ConfigError

Operator = Literal["=", "!=", "=~", "!~"]
_MATCHER = re.compile(r"\s*([A-Za-z_:][A-Za-z0-9_:]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PLAIN = re.compile(r'((?:[^"\\]|\\.)*\\?)', re.DOTALL)
_ESCAPED = re.compile(r"\\([\"\\n])")
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|\\[^,]|.', re.DOTALL)


@frozen
class Matcher:
    """One condition on a label; a label that is not there counts as empty.

    Attributes:
        label: the name of the label.
        operator: ``=`` equal, ``!=`` not equal, ``=~`` the whole value matches, ``!~`` it does not.
        value: the text, or the regular expression.
    """

    label: str
    operator: Operator
    value: str
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        try:
            pattern = re.compile(self.value) if self.operator in ("=~", "!~") else None
        except re.error as error:
            raise ConfigError(f"the matcher {self} is not a regular expression: {error}") from None
        object.__setattr__(self, "_pattern", pattern)

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Return the matcher that ``text`` spells, e.g. ``severity="critical"`` or ``org=~"1|2"``.

        Raises:
            ConfigError: when it is none.
        """
        whole = _MATCHER.fullmatch(text)
        if whole is None:
            raise ConfigError(f"{text!r} is not a matcher; write it like 'severity=\"critical\"' (=, !=, =~ or !~)")
        label, operator, value = whole.groups()
        given = (_QUOTED if value.startswith('"') else _PLAIN).fullmatch(value)
        if given is None:
            raise ConfigError(f"the matcher {text!r} has quotes that do not close, or a quote inside without '\\'")
        value = _ESCAPED.sub(lambda m: "\n" if m[1] == "n" else m[1], given[1])
        return cls(label, operator, value)  # type: ignore[arg-type]  # the expression lets only the four operators through

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the condition holds for ``labels``."""
        value = labels.get(self.label, "")
        holds = value == self.value if self._pattern is None else self._pattern.fullmatch(value) is not None
        return holds is (self.operator in ("=", "=~"))

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value.translate(_ESCAPES)}"'


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """Return the matchers that ``text`` spells, e.g. ``{severity="critical", org!="14"}``; ``{}`` spells none.

    Raises:
        ConfigError: when one of them is none, or braces do not come as a pair.
    """
    inner = text.strip()
    if inner.startswith("{") or inner.endswith("}"):
        if not (len(inner) > 1 and inner.startswith("{") and inner.endswith("}")):
            raise ConfigError(
                f"the matcher {text!r} has one brace without the other; put a value with braces in quotes"
            )
        inner = inner[1:-1].strip()
        if not inner:
            return ()
    return tuple(Matcher.parse(part) for part in _parts(inner))


def _parts(text: str) -> list[str]:
    """Return what stands between the commas outside of quotes; one comma may end the text."""
    parts = [""]
    for piece in _PIECE.findall(text):
        if piece == ",":
            parts.append("")
        else:
            parts[-1] += piece
    return parts if len(parts) == 1 or parts[-1].strip() else parts[:-1]


def all_match(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Return whether every one of ``matchers`` holds for ``labels``; of none, every one does."""
    return all(matcher.matches(labels) for matcher in matchers)


def spelled(matchers: Iterable[Matcher]) -> str:
    """Return ``{label="value",...}``: sorted, so that the same matchers are spelled the same."""
    return "{" + ",".join(map(str, sorted(matchers, key=lambda m: (m.label, m.value, _ORDER[m.operator])))) + "}"


_ORDER = {"=": 0, "!=": 1, "=~": 2, "!~": 3}
