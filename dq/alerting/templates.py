"""The user's own words: ``alerting/templates/CHANNEL.WHAT.jinja`` in place of what dq says.

    CHANNEL    the name of a channel, or a type such as ``slack`` for all of it; the name is looked up first
    WHAT       title    the headline, in every medium
               text     what stands in place of summary, facts, query and table, in every medium
               html     the HTML of an e-mail

A template that cannot be rendered costs a message its beauty, not its delivery: what dq says goes out in its place, and
the end of the message and the receipt tell of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from attrs import evolve, field, frozen

from dq.alerting.channels import plain
from dq.alerting.channels.truncate import line
from dq.model.errors import DqError, UsageError
from dq.model.message import CHANGED, Message
from dq.model.severity import Severity
from dq.template import render_text

WHATS = ("title", "text", "html")
FOLDER = "alerting/templates"
END = ".jinja"

_AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
_BARE = Message(
    key="prod/suite/orders",
    status="firing",
    severity=Severity.ERROR,
    environment="prod",
    subject="orders",
    title="PROD - orders: amount fails",
    summary="amount: 12 of 900 rows violate.",
    at=_AT,
)
_FULL = evolve(
    _BARE,
    since=_AT,
    facts=(("Observed", "12 (threshold 1%)"), (CHANGED, "1 new"), ("Owner", "data")),
    columns=("Check", "Finding"),
    rows=(("amount", "12 of 900 rows violate"),),
    omitted=1,
    links=(("Runbook", "https://example.org/runbook"),),
    query="SELECT 1",
)
_SAMPLES = (_FULL, evolve(_FULL, status="acknowledged"), evolve(_FULL, status="resolved"), _BARE)


@frozen
class Source:
    """A template as it was read.

    Attributes:
        file: its name, for errors.
        text: the template; None when the file cannot be read.
    """

    file: str
    text: str | None = field(repr=False)

    def render(self, message: Message, *, html: bool) -> str:
        """Return ``message`` in the words of the template.

        Raises:
            UsageError: when the file cannot be read, or the template not rendered, or it says nothing.
        """
        if self.text is None:
            raise UsageError("the file cannot be read as UTF-8")
        said = render_text(self.text, context(message), html=html)
        if not said.strip():
            raise UsageError("the template says nothing")
        return said


@frozen
class Templates:
    """The templates of a project.

    Attributes:
        sources: by channel (a name or a type) and what.
        strange: names of files in the folder that are none.
    """

    sources: Mapping[tuple[str, str], Source] = field(factory=dict)
    strange: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return what the folder holds; one that is not there holds nothing. It never fails."""
        sources: dict[tuple[str, str], Source] = {}
        strange: list[str] = []
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            channel, _, what = file.name.removesuffix(END).rpartition(".")
            if not (file.name.endswith(END) and channel and what in WHATS):
                strange.append(file.name)
                continue
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                text = None
            sources[channel, what] = Source(f"{FOLDER}/{file.name}", text)
        return cls(sources, tuple(strange))

    def of(self, name: str, type_: str) -> dict[str, Source]:
        """Return the templates of the channel ``name`` of that type, by what."""
        shown = [what for what in WHATS if what != "html" or type_ == "email"]
        found = {what: self.sources.get((name, what)) or self.sources.get((type_, what)) for what in shown}
        return {what: source for what, source in found.items() if source is not None}

    def problems(self, types: Mapping[str, str]) -> Iterator[str]:
        """Yield a sentence for every file that is of no use, or cannot be rendered for a message as dq makes them.

        Args:
            types: channel names to their types.
        """
        for name in self.strange:
            yield f"{FOLDER}/{name}: a template is named CHANNEL.WHAT{END}, where WHAT is {', '.join(WHATS)}"
        for (channel, what), source in self.sources.items():
            if channel not in types and channel not in types.values():
                yield f"{source.file}: alerting/routes.toml has no channel and no type {channel!r}"
            elif what == "html" and types.get(channel, channel) != "email":
                yield f"{source.file}: only e-mail shows HTML; {channel!r} takes title and text"
            else:
                yield from _problem(source, what)


def worded(message: Message, sources: Mapping[str, Source]) -> tuple[Message, tuple[str, ...]]:
    """Return ``message`` in the words of ``sources``, and a sentence for each that is of no use.

    A title without the environment gets it in front: an alert of stage must never be taken for one of prod. A finished
    body (a report) stays as it is.
    """
    said: dict[str, str] = {}
    problems: list[str] = []
    for what, source in sources.items():
        try:
            said[what] = source.render(message, html=what == "html")
        except DqError as error:
            problems.append(f"{source.file}: {error}")
    changes: dict[str, Any] = {}
    if title := line(said.get("title", "")):
        known = message.environment.lower() in title.lower()
        changes["title"] = title if known else f"{message.environment.upper()} - {title}"
    if text := said.get("text"):
        changes["body"] = text
    if (page := said.get("html")) and not message.html:
        changes["html"] = page
    if problems:
        changes["note"] = "; ".join(filter(None, [message.note, *problems]))
    return evolve(message, **changes), tuple(problems)


def context(message: Message) -> dict[str, object]:
    """Return the names that a template may use."""
    facts: dict[str, str] = {}
    for label, value in message.facts:
        facts[label] = f"{facts[label]}\n{value}" if label in facts else value
    return {
        "environment": message.environment,
        "subject": message.subject,
        "key": message.key,
        "status": message.status,
        "severity": str(message.severity),
        "state": plain.state(message),
        "title": message.title,
        "summary": message.summary,
        "since": message.since,
        "at": message.at,
        "facts": facts,
        "links": dict(message.links),
        "query": message.query,
        "columns": message.columns,
        "rows": message.rows,
        "omitted": message.omitted,
    }


def _problem(source: Source, what: str) -> Iterator[str]:
    for sample in _SAMPLES:
        try:
            source.render(sample, html=what == "html")
        except DqError as error:
            rare = " (in a message that has no facts, links, query, table and since)" if sample is _BARE else ""
            yield f"{source.file}: {error}{rare}"
            return
