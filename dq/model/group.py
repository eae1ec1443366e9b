"""The org (or any column) of a grouped check, and one value of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal

from attrs import field, frozen

from dq.model.duration import parse_duration
from dq.model.errors import DeclarationError


def group_value(value: object) -> str | None:
    """Return a value of a group column as text that is equal across databases: ``14``, ``14.0`` and ``"14"`` agree."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal):
        return str(int(value)) if value == value and abs(value) != float("inf") and value == int(value) else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)


def _natural(value: str | None) -> tuple[object, ...]:
    if value is None:
        return (1,)
    parts = re.split(r"(\d+)", value)
    return (0, *((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p))


@frozen
class Group:
    """One value of the group columns, e.g. org 14.

    Attributes:
        columns: the names of the group columns.
        values: their values as text, None for NULL.
    """

    columns: tuple[str, ...]
    values: tuple[str | None, ...]

    @property
    def key(self) -> str:
        """The identity of the value, free of the column's name: a JSON list."""
        return json.dumps(self.values, ensure_ascii=False)

    @property
    def label(self) -> str:
        """The value as people read it; a NULL org is shown as what it is."""
        shown = (
            f"(no {c})" if v is None else "(empty)" if v == "" else v
            for c, v in zip(self.columns, self.values, strict=True)
        )
        return " / ".join(shown)

    @property
    def sort_key(self) -> tuple[object, ...]:
        """Natural order: 2 before 10, NULL last."""
        return tuple(_natural(v) for v in self.values)


def _columns(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@frozen
class By:
    """The group columns of a check and who is expected to be there.

    Attributes:
        columns: one column name or several.
        expected: the values that must have rows: a list, a query that returns them, or ``"seen:28d"`` for those
            that had rows in that time before the partition. None: an org that is absent stays invisible.
        min_rows: an org with fewer rows in the partition is not judged, because a share of few rows says little.
        owners: who owns what is found of an org, by its value; else the owner of the check.
    """

    columns: tuple[str, ...] = field(converter=_columns)
    expected: Sequence[object] | str | None = None
    min_rows: int = field(default=0, kw_only=True)
    owners: Mapping[object, str] = field(factory=dict, kw_only=True, hash=False)

    def __attrs_post_init__(self) -> None:
        if not self.columns or not all(isinstance(c, str) and c for c in self.columns):
            raise DeclarationError("By needs the name of at least one column")
        if isinstance(self.min_rows, bool) or not isinstance(self.min_rows, int) or self.min_rows < 0:
            raise DeclarationError(f"By(min_rows={self.min_rows!r}) is not a number of rows")
        for org, owner in self.owners.items():
            if not isinstance(owner, str) or not owner:
                raise DeclarationError(f"By(owners=...) gives {org!r} the owner {owner!r}, which is not a text")
            self.key(org)
        if isinstance(self.expected, str):
            if self.expected.startswith("seen:"):
                parse_duration(self.expected[5:])
            elif not re.match(r"\s*(select|with)\b", self.expected, re.IGNORECASE):
                raise DeclarationError(f'By(expected={self.expected!r}) is neither a list, a SELECT nor "seen:28d"')
        elif self.expected is not None:
            expected = tuple(tuple(value) if isinstance(value, list) else value for value in self.expected)
            for value in expected:
                self.key(value)
            object.__setattr__(self, "expected", expected)

    def key(self, org: object) -> Group:
        """Return the group that a declaration calls ``org``: one value, or a tuple of one per column.

        Raises:
            DeclarationError: when it does not have a value per column.
        """
        values = org if isinstance(org, tuple) else (org,)
        if len(values) != len(self.columns):
            raise DeclarationError(f"By names {org!r} for the columns {', '.join(self.columns)}")
        return self.group(values)

    def owner(self, group: Group) -> str | None:
        """Return who owns what is found of ``group``; None: nobody in particular."""
        return next((owner for org, owner in self.owners.items() if self.key(org) == group), None)

    def group(self, values: Iterable[object]) -> Group:
        """Return the group that has these column values."""
        return Group(self.columns, tuple(group_value(v) for v in values))
