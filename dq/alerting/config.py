"""``alerting/routes.toml`` as frozen values; anything it does not know is refused with its place.

fallback = "team"                      # where dead letters are told, once

[channels.team]
type = "slack"
webhook = "env:SLACK_WEBHOOK"          # secrets only as references

[channels.oncall]
type = "pagerduty"
routing_key = "env:PAGERDUTY_KEY"

[route]
channels = ["team"]

[[route.routes]]
matchers = ['severity="critical"']
channels = ["oncall"]
continue = true
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from dq.alerting.channels import GROUP, build
from dq.alerting.routing import GROUP_BY, LABELS, Matcher, Route, channel_named
from dq.alerting.templates import Templates
from dq.model.check import Suite
from dq.model.errors import ConfigError, DeclarationError
from dq.model.reconciliation import Reconciliation
from dq.model.severity import Severity
from dq.plugins import load_plugin, suggest
from dq.toml import Section

_REFERENCE = re.compile(r"[a-z][a-z0-9_]*:(?!//).+", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,119}")


@frozen
class ChannelConfig:
    """A channel as it was declared; secrets are still references.

    Attributes:
        name: how routes call it.
        type: which class sends for it, e.g. ``slack``.
        settings: its table, with its type.
        pages: whether it wakes somebody up.
    """

    name: str
    type: str
    settings: Mapping[str, Any]
    pages: bool


@frozen
class AlertConfig:
    """All of ``alerting/routes.toml``.

    Attributes:
        channels: by name.
        route: the top of the tree.
        fallback: the channel that is told what another one could not be told.
        templates: the user's own words, ``alerting/templates``.
        fingerprint: changes when the routes do; then the pump looks at every group again.
    """

    channels: Mapping[str, ChannelConfig]
    route: Route
    fallback: str | None = None
    templates: Templates = field(kw_only=True, factory=Templates)
    fingerprint: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        declared = [
            (c.name, c.type, sorted((k, repr(v)) for k, v in c.settings.items())) for c in self.channels.values()
        ]
        text = repr((sorted(declared), self.route, self.fallback))
        object.__setattr__(self, "fingerprint", hashlib.sha256(text.encode()).hexdigest())

    @classmethod
    def empty(cls) -> AlertConfig:
        """Return the configuration of a project without ``alerting/routes.toml``: nobody is told anything."""
        return cls({}, Route(channels=()))

    @property
    def types(self) -> dict[str, str]:
        """The type of each channel."""
        return {channel.name: channel.type for channel in self.channels.values()}

    def notify_problems(self, declared: Suite | Reconciliation) -> Iterator[str]:
        """Yield a sentence for every ``notify=`` of ``declared`` that names a channel which is not there."""
        wishes = [("", declared.notify)]
        if isinstance(declared, Suite):
            wishes += [(f", check {check.name!r}", check.notify) for check in declared.checks]
        for where, notify in wishes:
            for word in dict.fromkeys(word for words in notify.values() for word in words):
                try:
                    channel_named(word, self.types)
                except DeclarationError as error:
                    yield f"{declared.name}{where}: {error}"


def load_alerting(path: Path, where: str = "alerting/routes.toml") -> AlertConfig:
    """Return what the file ``path`` configures; a file that is not there configures nothing.

    Args:
        path: the file.
        where: how errors name it.

    Raises:
        ConfigError: when it cannot be read or means nothing, with the place.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return AlertConfig.empty()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: it cannot be read: {type(error).__name__}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: it is not TOML: {error}") from None
    return evolve(parse_alerting(document, where, path.parent), templates=Templates.read(path.parent / "templates"))


def parse_alerting(
    document: Mapping[str, Any],
    where: str = "alerting/routes.toml",
    root: Path = Path(),
) -> AlertConfig:
    """Return what ``document`` configures.

    Args:
        document: the parsed TOML.
        where: how errors name the file.
        root: the folder to which relative paths refer.

    Raises:
        ConfigError: when it means nothing, with the place.
    """
    top = Section(where, "", document, root)
    declared = top.section("channels")
    channels = {name: _channel(declared.section(name), name) for name in declared.raw}
    known = tuple(sorted(channels))
    route = _route(top.section("route"), known, is_top=True)
    fallback = top.text("fallback") if "fallback" in document else None
    top.get("fallback", str, "the name of a channel", "")
    if fallback is not None and fallback not in channels:
        raise ConfigError(f"{where}: fallback: there is no channel {fallback!r}; {suggest(fallback, known)}")
    if fallback is not None and channels[fallback].pages:
        raise ConfigError(
            f"{where}: fallback: {fallback!r} is a pager, which takes no news that is told once; name another channel"
        )
    top.refuse_unknown()
    return AlertConfig(channels, route, fallback)


class _UnresolvedError(Exception):
    """A secret would be read now: what stands before it is in order."""


def _unresolved(reference: str) -> str:
    raise _UnresolvedError(reference)


def _channel(section: Section, name: str) -> ChannelConfig:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{section.file}: channels.{name}: a name is made of letters, digits and '_', '.', ':', '-'")
    type_ = section.text("type", name.partition(":")[0])
    try:
        class_ = load_plugin(GROUP, type_)
    except ConfigError as error:
        raise ConfigError(f"{section.place('type')}: {error}") from None
    settings = {**section.raw, "type": type_}
    for key in class_.secrets:
        value = settings.get(key)
        if value is not None and not (isinstance(value, str) and _REFERENCE.fullmatch(value)):
            # The value is not quoted: it may be the secret itself.
            raise ConfigError(f"{section.place(key)}: it is a secret; give a reference such as env:NAME or file:PATH")
    try:
        build(name, settings, _unresolved)
    except _UnresolvedError:
        pass
    except ConfigError as error:
        raise ConfigError(f"{section.file}: {error}") from None
    return ChannelConfig(name, type_, settings, bool(class_.pages))


def _route(section: Section, known: tuple[str, ...], *, is_top: bool = False) -> Route:
    matchers = section.texts("matchers")
    channels = section.texts("channels") if "channels" in section.raw else None
    group_by = section.texts("group_by") if "group_by" in section.raw else None
    continue_ = section.flag("continue", default=False)
    children = section.get("routes", list, "a list of tables, [[route.routes]]", [])
    for key in ("channels", "group_by"):
        section.get(key, list, "a list of texts", [])
    section.refuse_unknown()
    for channel in channels or ():
        if channel not in known:
            raise ConfigError(
                f"{section.place('channels')}: there is no channel {channel!r}; {suggest(channel, known)}"
            )
    if is_top and not channels:
        raise ConfigError(
            f"{section.place('channels')}: it is missing; give the channels of all that no other route takes"
        )
    if is_top and (matchers or continue_):
        raise ConfigError(
            f"{section.file}: {section.path}: the top route takes everything; it has no matchers and no continue"
        )
    if group_by is not None and not {*GROUP_BY} <= {*group_by}:
        raise ConfigError(f"{section.place('group_by')}: it must name {' and '.join(GROUP_BY)}, then others")
    for label in group_by or ():
        _refuse_unknown_label(section.place("group_by"), label)
    if not all(isinstance(child, dict) for child in children):
        raise ConfigError(f"{section.place('routes')}: it must be a list of tables, [[{section.path}.routes]]")
    parsed = tuple(_matcher(section.place("matchers"), matcher) for matcher in matchers)
    return Route(
        matchers=parsed,
        channels=channels,
        group_by=group_by,
        continue_=continue_,
        routes=tuple(
            _route(Section(section.file, f"{section.path}.routes[{n}]", child, section.root), known)
            for n, child in enumerate(children)
        ),
    )


def _matcher(place: str, text: str) -> Matcher:
    try:
        matcher = Matcher.parse(text)
        if matcher.label == "severity" and matcher.operator in ("=", "!="):
            Severity.of(matcher.value)
    except (ConfigError, DeclarationError) as error:
        raise ConfigError(f"{place}: {error}") from None
    _refuse_unknown_label(place, matcher.label)
    return matcher


def _refuse_unknown_label(place: str, label: str) -> None:
    """Refuse a label that no incident has: a mistyped matcher takes nothing, and nobody would be paged."""
    if label not in LABELS:
        raise ConfigError(f"{place}: there is no label {label!r}; {suggest(label, LABELS)}")
