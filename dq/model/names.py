"""Names that are too long, or too many, for where they are kept or shown."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

KEY_LIMIT = 255
"""Characters of a key: PagerDuty's limit for a dedup_key, and that of our own columns."""


def short_key(key: str, limit: int = KEY_LIMIT, mark: str = "~") -> str:
    """Return ``key``, its tail replaced by a hash, behind ``mark``, where it is longer than ``limit`` characters."""
    if len(key) <= limit:
        return key
    return f"{key[: limit - 41]}{mark}{hashlib.sha256(key.encode()).hexdigest()[:40]}"


ORIGIN_LIMIT = 250
"""Characters of an origin that the store keeps; both ids of Airflow may be that long by themselves."""


def origin_of_dag(dag: str) -> str:
    """Return how the origin of every run of a DAG begins."""
    return f"airflow:{dag}:"


def origin_of_run(dag: str, run: str) -> str:
    """Return the origin of what a DAG run measures."""
    return short_key(f"{origin_of_dag(dag)}{run}", ORIGIN_LIMIT, ":")


def dag_of(origin: str) -> str | None:
    """Return the id of the DAG that an origin is of; None: it is of none."""
    return origin.split(":")[1] if origin.startswith("airflow:") else None


def first_of(names: Sequence[str], most: int) -> str:
    """Return the first of ``names``, and how many more there are: ``a, b and 3 more``."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
