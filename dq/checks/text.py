"""The text of one column: its length, its pattern, its casing, whether it is JSON."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from typing import ClassVar, Literal

from attrs import field, frozen

from dq.checks.kind import ColumnKind, as_columns
from dq.checks.values import shown_values
from dq.model.predicate import Json, Length, Pattern, SameCasing


@frozen
class HasLength(ColumnKind):
    """The text of the column has from ``low`` to ``high`` characters, both included; None leaves an end open.

    Attributes:
        column: its name.
        low: the least number of characters.
        high: the greatest; by default the same as ``low``.
    """

    low: int | None
    high: int | None = field()

    @high.default
    def _exactly(self) -> int | None:
        return self.low

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        ends = [end for end in (self.low, self.high) if end is not None]
        if not ends:
            yield "HasLength has neither a low nor a high end"
        for end in ends:
            if isinstance(end, bool) or not isinstance(end, int) or end < 0:
                yield f"{end!r} is not a number of characters"
                return
        if len(ends) == 2 and ends[0] > ends[1]:
            yield f"HasLength({self.low}, {self.high}) is empty: the first is above the second"

    @property
    def predicate_form(self) -> Length:
        """TRUE where the text has that length."""
        return Length(self.column, self.low, self.high)

    def __str__(self) -> str:
        if self.low == self.high:
            return f"{self.column} has {self.low} characters"
        if self.low is None:
            return f"{self.column} has at most {self.high} characters"
        if self.high is None:
            return f"{self.column} has at least {self.low} characters"
        return f"{self.column} has {self.low} to {self.high} characters"


@frozen
class _Patterns(ColumnKind):
    """What the kinds with patterns share."""

    syntax: ClassVar[Literal["like", "regex"]]
    negated: ClassVar[bool] = False
    patterns: tuple[str, ...] = field(converter=as_columns)
    every: bool = field(default=False, kw_only=True)

    @property
    def _ignores_case(self) -> bool:
        return False

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with the declaration itself, a clause each."""
        yield from super().problems()
        if not self.patterns:
            yield f"{type(self).__name__} has no pattern"
        for pattern in self.patterns:
            yield from _bad_pattern(pattern, self.syntax)

    @property
    def predicate_form(self) -> Pattern:
        """TRUE where the text matches, or, for the kinds that say so, does not."""
        return Pattern(self.column, self.syntax, self.patterns, self.every, self.negated, self._ignores_case)

    def __str__(self) -> str:
        verb = {"like": "is like", "regex": "matches"}[self.syntax]
        if self.negated:
            verb = {"like": "is not like", "regex": "does not match"}[self.syntax]
        many = "" if len(self.patterns) == 1 else "all of " if self.every else "any of "
        return f"{self.column} {verb} {many}{shown_values(self.patterns)}"


@frozen
class Like(_Patterns):
    r"""The text of the column is like a pattern: ``%`` stands for anything, ``_`` for one character, ``\`` escapes.

    Upper and lower case differ, whatever the database thinks of it.

    Attributes:
        column: its name.
        patterns: one pattern or several; one of them must match.
        every: all of them must match.
    """

    syntax: ClassVar[Literal["like", "regex"]] = "like"


@frozen
class NotLike(_Patterns):
    """The text of the column is not like any of the patterns; see ``Like``.

    Attributes:
        column: its name.
        patterns: one pattern or several; none of them may match.
        every: it is enough that not all of them match.
    """

    syntax: ClassVar[Literal["like", "regex"]] = "like"
    negated: ClassVar[bool] = True


@frozen
class Matches(_Patterns):
    r"""A regular expression matches somewhere in the text of the column; ``^`` and ``$`` tie it to the ends.

    What all engines understand alike is let through: characters, ``.``, classes such as ``[a-z]``, ``\d``, ``\w``,
    ``\s`` and their opposites, groups, ``|``, ``?``, ``*``, ``+``, ``{m,n}``, ``^``, ``$``. Looking around,
    back-references and flags within the pattern differ between engines or are missing, and are refused. On every engine
    ``.`` is any character, a line break too, and ``$`` the very end of the text.

    Attributes:
        column: its name.
        patterns: one pattern or several; one of them must match.
        every: all of them must match.
        ignore_case: upper and lower case are the same.
    """

    syntax: ClassVar[Literal["like", "regex"]] = "regex"
    ignore_case: bool = field(default=False, kw_only=True)

    @property
    def _ignores_case(self) -> bool:
        return self.ignore_case


@frozen
class NotMatches(_Patterns):
    """None of the regular expressions matches anywhere in the text of the column; see ``Matches``.

    Attributes:
        column: its name.
        patterns: one pattern or several; none of them may match.
        every: it is enough that not all of them match.
        ignore_case: upper and lower case are the same.
    """

    syntax: ClassVar[Literal["like", "regex"]] = "regex"
    negated: ClassVar[bool] = True
    ignore_case: bool = field(default=False, kw_only=True)

    @property
    def _ignores_case(self) -> bool:
        return self.ignore_case


_NOT_PORTABLE = re.compile(r"\\(?:[1-9]|[AzZbBGKQEpPhHRXuUkg])|\(\?(?!:)|[*+?}]\+|\[\^\[:|\[\^?[^\]]*&&")


def _bad_pattern(pattern: object, syntax: str) -> Iterator[str]:
    if not isinstance(pattern, str):
        yield f"{pattern!r} is not a pattern"
    elif syntax == "regex":
        yield from bad_regex(pattern)


def bad_regex(pattern: str) -> Iterator[str]:
    """Yield why a regular expression does not mean the same on every engine."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            re.compile(pattern)
    except re.error as error:
        yield f"{pattern!r} is not a regular expression: {error}"
        return
    except FutureWarning:  # of what other languages read as a set within a set
        found = ["a set within a set"]
    else:
        found = [repr(part.group()) for part in _NOT_PORTABLE.finditer(re.sub(r"\\\\", "", pattern))]
    if found:
        yield (
            f"{found[0]} in {pattern!r} is not understood alike by all engines; write it without, or use Rows "
            "with the engine's own function"
        )


@frozen
class ValidJson(ColumnKind):
    """The text of the column is a JSON document.

    Attributes:
        column: its name.
    """

    @property
    def predicate_form(self) -> Json:
        """TRUE where the text can be read as JSON."""
        return Json(self.column)

    def __str__(self) -> str:
        return f"{self.column} is JSON"


@frozen
class ConsistentCasing(ColumnKind):
    """No value of the column is also written with other upper and lower case: ``Paris`` beside ``paris``.

    A violation is every row whose value has such a twin.

    Attributes:
        column: its name.
    """

    @property
    def predicate_form(self) -> SameCasing:
        """TRUE where there is no twin."""
        return SameCasing(self.column)

    def __str__(self) -> str:
        return f"{self.column} is always written in the same case"
