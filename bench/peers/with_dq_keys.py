"""dq with a key of the table: of what fails, it also keeps the keys of a few failing rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import with_dq
from _orders import Check

KEY = ', key="order_id"'
write = partial(with_dq.write, key=KEY)
command = with_dq.command


def prepare(engine: str, target: str, checks: Sequence[Check], folder: Path) -> Callable[[], dict[str, Any]]:
    """Return the same as :func:`with_dq.prepare`."""
    return with_dq.prepare(engine, target, checks, folder, KEY)
