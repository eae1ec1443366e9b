"""Names of tables and days, as users write them and databases give them."""

from __future__ import annotations

import re
from datetime import date, datetime

from dq.model.errors import GuardError


def is_file(name: str) -> bool:
    """Return whether a table is a file: its name has a slash, or ends like one."""
    return "/" in name or name.lower().endswith((".parquet", ".csv", ".json"))


def table_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a table name: dots separate, double quotes hold a part together, a path is one part.

    Raises:
        GuardError: when it has no part, more than three, or an open quote.
    """
    if is_file(name):
        return (name,)
    parts = tuple(
        a.replace('""', '"') if a else b for a, b in re.findall(r'(?:^|\.)(?:"((?:[^"]|"")+)"|([^".]+))(?=\.|$)', name)
    )
    spelled = ".".join(f'"{p}"' for p in parts)
    if not 1 <= len(parts) <= 3 or len(re.sub(r'"', "", spelled)) != len(re.sub(r'"', "", name)):
        raise GuardError(
            f'{name!r} is not the name of a table; write e.g. sales.orders, or "a.b" for a name with a dot'
        )
    return parts


def date_of(value: object) -> date:
    """Return the day that a database gave, as a date.

    Raises:
        ValueError: when it is no day.
    """
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(str(value)[:10])
