"""The columns of a table, in dq's words."""

from __future__ import annotations

from typing import Any

import dq
from dq import Check, Table
from tests.conformance.asked import NotTranslated


def columns(names: list[str], **more: Any) -> list[Check]:
    """Return the demand that the table has these columns."""
    return [Check("it", _kind("Schema")(list(dict.fromkeys(names)), **more))]


def forbidden(names: list[str], **more: Any) -> list[Check]:
    """Return the demand that the table has none of these columns."""
    return [Check("it", _kind("Schema")(forbid=names, extra="allowed", **more))]


def exists(name: str, place: int | None, **more: Any) -> list[Check]:
    """Return the demand that there is a column, at a place from 1 where one is given."""
    at = {} if place is None else {"at": {name: place}}
    return [Check("it", _kind("Schema")([name], extra="allowed", **at, **more))]


def count(bounds: Any, other: Table | None = None) -> list[Check]:
    """Return the demand that there are so many columns, or so many more than another table has."""
    kind = _kind("ColumnCount")
    return [Check("it", kind() if other is None else kind(other), error=bounds)]


def _kind(name: str) -> Any:
    found = getattr(dq, name, None)
    if found is None:
        raise NotTranslated(f"dq has no {name} yet")
    return found
