"""One neutral message for all media; every channel renders it in its own way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import field, frozen

from dq.model.severity import Severity

Status = Literal["firing", "acknowledged", "resolved", "event"]

CHANGED = "Changed"
"""The label of the fact that says what is new since the last message; a message that repeats the last one has none."""


def _pairs(value: Mapping[str, str] | tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((str(k), str(v)) for k, v in (value.items() if isinstance(value, Mapping) else value))


@frozen(kw_only=True)
class Attachment:
    """A file that goes with a message.

    Attributes:
        name: of the file, e.g. ``covid-2024-06-26.csv.gz``.
        type: its media type, e.g. ``application/gzip``.
        content: all of it.
        cid: of an image in the HTML the id by which that shows it (``src="cid:..."``); empty: it is a file.
    """

    name: str
    type: str
    content: bytes = field(repr=False)
    cid: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 of its content, in hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


@frozen(kw_only=True)
class Message:
    """What a channel is asked to say.

    Attributes:
        key: the stable group key; PagerDuty's dedup_key and VictorOps' entity_id.
        status: ``firing`` (something is wrong), ``acknowledged`` (it is, and somebody has said that they are on it),
            ``resolved`` (all of it is well again) or ``event`` (told once).
        severity: the worst severity now; of a resolved message: the worst that it had.
        environment: e.g. ``prod``.
        subject: the suite, reconciliation, SLA or DAG.
        title: one line; begins with the environment, e.g. ``EP_PROD - orders: 2 checks fail``.
        summary: a few sentences: what is wrong, since when, how bad.
        facts: short label and value pairs, most important first.
        columns, rows: a small table (worst first); empty where there is none.
        omitted: how many further rows were left out of the table.
        links: text and address pairs: what to do (runbook), where to look (DAG run, report).
        query: how to reproduce it: the statement that lists what is wrong; empty where there is none.
        since: when it began.
        at: when the message was decided.
        html, text: a finished body for e-mail (the discrepancy report); other media ignore it.
        body: the words of the user's own template; every medium tells them in place of summary, facts, query and table.
        note: told last: what is wrong with the message itself, e.g. a template that does not render.
        attachments: files that go with it by e-mail; other media leave them out.
        reference: what the vendor calls the message that it was last sent under this key, e.g. Slack's timestamp.
    """

    key: str
    status: Status
    severity: Severity
    environment: str
    subject: str
    title: str
    summary: str
    at: datetime
    since: datetime | None = None
    facts: tuple[tuple[str, str], ...] = field(default=(), converter=_pairs)
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    omitted: int = 0
    links: tuple[tuple[str, str], ...] = field(default=(), converter=_pairs)
    query: str = ""
    html: str = ""
    text: str = ""
    body: str = ""
    note: str = ""
    attachments: tuple[Attachment, ...] = ()
    reference: Mapping[str, str] = {}


@frozen(kw_only=True)
class Receipt:
    """What came of sending one message.

    Attributes:
        delivered: the vendor took it.
        retry: it did not, but a later try may succeed.
        after: do not try again before that many seconds (``Retry-After``); None: as the outbox likes.
        reference: what the vendor calls it (dedup key, entity id, Slack timestamp, Message-ID).
        error: why not, without any address or secret.
    """

    delivered: bool
    retry: bool = False
    after: float | None = None
    reference: Mapping[str, str] = {}
    error: str = ""


def is_web(address: str) -> bool:
    """Return whether an address is of a page of the web: of nothing else a link to click on is made."""
    return address.startswith(("https://", "http://"))
