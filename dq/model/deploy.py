"""Deploy markers: when something was changed that may matter to the data."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from attrs import field, frozen

DeployKind = Literal["", "dag", "subject"]
DeploySource = Literal["cli", "git", "announce"]


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


@frozen(kw_only=True)
class Deploy:
    """One change.

    Attributes:
        at: when it came into force, UTC.
        text: what changed, one line.
        version: its name, e.g. ``2.4.1``; empty: it has none.
        kind: whether ``subject`` is the id of a DAG, or a suite, reconciliation or dataset; empty: it is about all.
        subject: what it is about; empty: everything.
        source: where it is known from: ``dq deploys add``, a tag of git, or ``dq announce``.
        author: who said so; empty: nobody is known.
        id: unique in the store; 0: it is not stored.
    """

    at: datetime = field(converter=_utc)
    text: str
    version: str = ""
    kind: DeployKind = ""
    subject: str = ""
    source: DeploySource = "cli"
    author: str = ""
    id: int = 0

    def __str__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        of = f" (DAG {self.subject})" if self.kind == "dag" else f" ({self.subject})" if self.subject else ""
        return f"deploy {self.version or text}{of} of {self.at:%Y-%m-%d %H:%M}"
