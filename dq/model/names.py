"""Names that are too long for where they are kept."""

from __future__ import annotations

import hashlib

KEY_LIMIT = 255
"""Characters of a key: PagerDuty's limit for a dedup_key, and that of our own columns."""


def short_key(key: str, limit: int = KEY_LIMIT) -> str:
    """Return ``key``, its tail replaced by a hash where it is longer than ``limit`` characters."""
    if len(key) <= limit:
        return key
    return f"{key[: limit - 41]}~{hashlib.sha256(key.encode()).hexdigest()[:40]}"
