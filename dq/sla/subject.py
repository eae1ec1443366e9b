"""Who promises something, and what."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from attrs import frozen

from dq.model.sla import Sla
from dq.sla.expected import DAY

Key = tuple[str, str]
"""The kind and name of a subject."""


@frozen(kw_only=True)
class Subject:
    """A dataset with a promise.

    Attributes:
        kind: ``suite``, ``reconciliation`` or ``dataset``.
        name: its name.
        sla: the promise.
        owner: who answers for it.
        runs: it promises to run, whatever it finds of whatever partition: a partition is a span of time in which, or
            right after which, it must.
    """

    kind: str
    name: str
    sla: Sla
    owner: str = ""
    runs: bool = False

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.kind, self.name

    @property
    def cadence(self) -> timedelta:
        """How long a partition is."""
        return self.sla.every or DAY

    @property
    def promise(self) -> str:
        """What is promised, in short: it changes with it."""
        return hashlib.sha256(f"to run, {self.sla.digest}".encode()).hexdigest() if self.runs else self.sla.digest
