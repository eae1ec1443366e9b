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
escalate = [{after = "15m", channels = ["lead"]}]

[digest]
channels = ["team"]                    # who gets the digest

[time_intervals.office]                # or several, [[time_intervals.office]]
weekdays = ["monday:friday"]

[[inhibit_rules]]
source_matchers = ['kind="sla"']
target_matchers = ['kind="suite"']
equal = ["org"]
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from dq.alerting.channels import GROUP, build
from dq.alerting.inhibit import InhibitRule
from dq.alerting.matcher import Matcher, parse_matchers
from dq.alerting.routing import ALL, LABELS, Escalation, Route, channel_named
from dq.alerting.templates import Templates
from dq.alerting.times import TimeInterval, parse_time_interval
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
        time_intervals: by the name that routes call them; a moment is inside when one of them has it.
        inhibit_rules: what makes other incidents no news.
        templates: the user's own words, ``alerting/templates``.
        digest: the channels that get the digest.
        fingerprint: changes when the routes do; then the pump looks at every group again.
    """

    channels: Mapping[str, ChannelConfig]
    route: Route
    fallback: str | None = None
    time_intervals: Mapping[str, tuple[TimeInterval, ...]] = field(factory=dict)
    inhibit_rules: tuple[InhibitRule, ...] = ()
    templates: Templates = field(kw_only=True, factory=Templates)
    digest: tuple[str, ...] = field(kw_only=True, default=())
    fingerprint: str = field(init=False)

    def __attrs_post_init__(self) -> None:
        declared = [
            (c.name, c.type, sorted((k, repr(v)) for k, v in c.settings.items())) for c in self.channels.values()
        ]
        times = sorted(self.time_intervals.items())
        text = repr((sorted(declared), self.route, self.fallback, times, self.inhibit_rules))
        object.__setattr__(self, "fingerprint", hashlib.sha256(text.encode()).hexdigest())

    @classmethod
    def empty(cls) -> AlertConfig:
        """Return the configuration of a project without ``alerting/routes.toml``: nobody is told anything."""
        return cls({}, Route(channels=()))

    @property
    def types(self) -> dict[str, str]:
        """The type of each channel."""
        return {channel.name: channel.type for channel in self.channels.values()}

    @property
    def pagers(self) -> frozenset[str]:
        """The channels that wake people."""
        return frozenset(name for name, channel in self.channels.items() if channel.pages)

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
    intervals = _time_intervals(top.section("time_intervals"))
    rules = _inhibit_rules(top)
    route = _route(top.section("route"), _Known(known, tuple(sorted(intervals))), is_top=True)
    fallback = top.text("fallback") if "fallback" in document else None
    top.get("fallback", str, "the name of a channel", "")
    if fallback is not None and fallback not in channels:
        raise ConfigError(f"{where}: fallback: there is no channel {fallback!r}; {suggest(fallback, known)}")
    if fallback is not None and channels[fallback].pages:
        raise ConfigError(
            f"{where}: fallback: {fallback!r} is a pager, which takes no news that is told once; name another channel"
        )
    digest = _digest(top.section("digest"), channels)
    top.refuse_unknown()
    return AlertConfig(channels, route, fallback, intervals, rules, digest=digest)


def _digest(section: Section, channels: Mapping[str, ChannelConfig]) -> tuple[str, ...]:
    """Return who gets the digest."""
    names = section.texts("channels")
    section.refuse_unknown()
    if section.raw and not names:
        raise ConfigError(f"{section.place('channels')}: it is missing; give the channels that get the digest")
    _Known(tuple(sorted(channels)), ()).refuse_unknown(section.place("channels"), channels=names)
    for name in names:
        if channels[name].pages:
            place = section.place("channels")
            raise ConfigError(f"{place}: {name!r} is a pager, which takes no news that is told once")
    return names


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


def _time_intervals(section: Section) -> dict[str, tuple[TimeInterval, ...]]:
    found = {}
    for name, raw in section.raw.items():
        several = isinstance(raw, list)
        if not (raw and several and all(isinstance(one, dict) for one in raw)) and not isinstance(raw, dict):
            raise ConfigError(f"{section.place(name)}: it must be a table, [{section.path}.{name}], or several")
        tables = [(f"{name}[{n}]", one) for n, one in enumerate(raw)] if several else [(name, raw)]
        found[name] = tuple(
            parse_time_interval(Section(section.file, f"{section.path}.{path}", one, section.root))
            for path, one in tables
        )
    return found


def _inhibit_rules(top: Section) -> tuple[InhibitRule, ...]:
    return tuple(_inhibit_rule(section) for section in _tables(top, "inhibit_rules"))


def _inhibit_rule(section: Section) -> InhibitRule:
    source, target = _matchers(section, "source_matchers"), _matchers(section, "target_matchers")
    equal = section.texts("equal")
    name = section.text("name", f"rule {section.path.removeprefix('inhibit_rules')}")
    section.refuse_unknown()
    for key, side in (("source_matchers", source), ("target_matchers", target)):
        if not side:
            raise ConfigError(f"{section.place(key)}: without a matcher it takes everything; give some")
    for label in equal:
        _refuse_unknown_label(section.place("equal"), label)
    return InhibitRule(source, target, equal, name)


@frozen
class _Known:
    """The names that routes may use."""

    channels: tuple[str, ...]
    times: tuple[str, ...]

    def refuse_unknown(self, place: str, *, channels: tuple[str, ...] = (), times: tuple[str, ...] = ()) -> None:
        for what, given, known in (("channel", channels, self.channels), ("time interval", times, self.times)):
            for name in given:
                if name not in known:
                    raise ConfigError(f"{place}: there is no {what} {name!r}; {suggest(name, known)}")


def _route(section: Section, known: _Known, *, is_top: bool = False) -> Route:
    if is_top and (section.raw.get("matchers") or section.raw.get("continue")):
        raise ConfigError(
            f"{section.file}: {section.path}: the top route takes everything; it has no matchers and no continue"
        )
    route = Route(
        matchers=_matchers(section, "matchers"),
        channels=_texts(section, "channels"),
        group_by=_group_by(section),
        continue_=section.flag("continue", default=False),
        group_wait=_wait(section, "group_wait"),
        group_interval=_wait(section, "group_interval"),
        repeat_interval=_wait(section, "repeat_interval", nothing="never"),
        send_resolved=_flag(section, "send_resolved"),
        mute_time_intervals=_texts(section, "mute_time_intervals"),
        active_time_intervals=_texts(section, "active_time_intervals"),
        escalate=_escalate(section, known),
    )
    children = _tables(section, "routes")
    section.refuse_unknown()
    known.refuse_unknown(section.place("channels"), channels=route.channels or ())
    if is_top and not route.channels:
        raise ConfigError(
            f"{section.place('channels')}: it is missing; give the channels of all that no other route takes"
        )
    for key in ("mute_time_intervals", "active_time_intervals"):
        names: tuple[str, ...] = getattr(route, key) or ()
        if is_top and names:
            raise ConfigError(
                f"{section.place(key)}: the top route is always there; name the times on a route below it"
            )
        known.refuse_unknown(section.place(key), times=names)
    return evolve(route, routes=tuple(_route(child, known) for child in children))


def _tables(section: Section, key: str) -> list[Section]:
    """Return the tables of the list ``key``; an error names each with its number, from 0."""
    path = f"{section.path}.{key}".lstrip(".")
    tables = section.get(key, list, f"a list of tables, [[{path}]]", [])
    if not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{section.place(key)}: it must be a list of tables, [[{path}]]")
    return [Section(section.file, f"{path}[{n}]", table, section.root) for n, table in enumerate(tables)]


def _texts(section: Section, key: str) -> tuple[str, ...] | None:
    texts = section.texts(key)
    return texts if key in section.raw else None


def _flag(section: Section, key: str) -> bool | None:
    flag = section.flag(key, default=True)
    return flag if key in section.raw else None


def _wait(section: Section, key: str, nothing: str = "0s") -> timedelta | None:
    """Return the duration ``key``; ``nothing`` is how zero is written there."""
    text = section.text(key, nothing)
    if key not in section.raw:
        return None
    return timedelta(0) if text == nothing else section.duration(key, nothing)


def _group_by(section: Section) -> tuple[str, ...] | None:
    labels, place = _texts(section, "group_by"), section.place("group_by")
    if labels is None or labels == ALL:
        return labels
    if ALL[0] in labels:
        raise ConfigError(f'{place}: "..." takes every label; it stands alone')
    for n, label in enumerate(labels):
        _refuse_unknown_label(place, label)
        if label in labels[:n]:
            raise ConfigError(f"{place}: it names {label!r} twice")
    return labels


def _escalate(section: Section, known: _Known) -> tuple[Escalation, ...] | None:
    steps = []
    for step in _tables(section, "escalate"):
        step.get("after", str, 'a duration such as "15m"')
        after = step.duration("after", "")
        channels = step.texts("channels")
        step.refuse_unknown()
        if not channels:
            raise ConfigError(f"{step.place('channels')}: it is missing; give the channels that are told then")
        known.refuse_unknown(step.place("channels"), channels=channels)
        steps.append(Escalation(after, channels))
    return tuple(steps) if "escalate" in section.raw else None


def _matchers(section: Section, key: str) -> tuple[Matcher, ...]:
    return tuple(matcher for text in section.texts(key) for matcher in _parsed(section.place(key), text))


def _parsed(place: str, text: str) -> tuple[Matcher, ...]:
    try:
        matchers = parse_matchers(text)
        for matcher in matchers:
            if matcher.label == "severity" and matcher.operator in ("=", "!="):
                Severity.of(matcher.value)
    except (ConfigError, DeclarationError) as error:
        raise ConfigError(f"{place}: {error}") from None
    for matcher in matchers:
        _refuse_unknown_label(place, matcher.label)
    return matchers


def _refuse_unknown_label(place: str, label: str) -> None:
    """Refuse a label that no incident has: a mistyped matcher takes nothing, and nobody would be paged."""
    if label not in LABELS:
        raise ConfigError(f"{place}: there is no label {label!r}; {suggest(label, LABELS)}")
