"""Routing: which channels an incident belongs to, with the semantics of Prometheus Alertmanager's route tree.

An incident enters at the top route, which matches everything, and goes down into the first child whose matchers all
hold; after a child with ``continue = true`` it tries the next one too. Where no child matches, the route itself is
chosen. A child inherits the channels and ``group_by`` that it does not name.
(Source of the semantics: Alertmanager, ``dispatch/route.go`` and the configuration documentation, Apache-2.0.)

``notify={"critical": ["pagerduty:orders"]}`` on a check or suite is sugar for a further route to these channels, for
that severity or worse; the incident carries it among its labels, so no suite is loaded here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import field, frozen

from dq.alerting.fold import NOTIFY
from dq.alerting.incidents import group_key, short_key
from dq.model.errors import ConfigError, DeclarationError
from dq.model.incident import Incident
from dq.model.severity import Severity

Operator = Literal["=", "!=", "=~", "!~"]
GROUP_BY = ("environment", "subject")
LABELS = (
    "check", "environment", "kind", "org", "outcome", "owner", "part", "reconciliation", "severity", "sla", "subject",
    "suite", "tags",
)  # fmt: skip
"""What an incident can be routed and grouped by: what ``labels_of`` gives, and what checks and SLAs put there."""
_MATCHER = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


@frozen
class Matcher:
    """One condition on a label; a label that is not there counts as empty.

    Attributes:
        label: the name of the label.
        operator: ``=`` equal, ``!=`` not equal, ``=~`` the whole value matches, ``!~`` it does not.
        value: the text, or the regular expression.
    """

    label: str
    operator: Operator
    value: str
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        try:
            pattern = re.compile(self.value) if self.operator in ("=~", "!~") else None
        except re.error as error:
            raise ConfigError(f"the matcher {self} is not a regular expression: {error}") from None
        object.__setattr__(self, "_pattern", pattern)

    @classmethod
    def parse(cls, text: str) -> Matcher:
        """Return the matcher that ``text`` spells, e.g. ``severity="critical"`` or ``org=~"1|2"``.

        Raises:
            ConfigError: when it is none.
        """
        whole = _MATCHER.fullmatch(text)
        if whole is None:
            raise ConfigError(f"{text!r} is not a matcher; write it like 'severity=\"critical\"' (=, !=, =~ or !~)")
        label, operator, value = whole.groups()
        if value.startswith('"'):
            quoted = _QUOTED.fullmatch(value)
            if quoted is None:
                raise ConfigError(f"the matcher {text!r} has quotes that do not close")
            value = re.sub(r"\\([\"\\n])", lambda m: "\n" if m[1] == "n" else m[1], quoted[1])
        return cls(label, operator, value)  # type: ignore[arg-type]  # the expression lets only the four operators through

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the condition holds for ``labels``."""
        value = labels.get(self.label, "")
        holds = value == self.value if self._pattern is None else self._pattern.fullmatch(value) is not None
        return holds is (self.operator in ("=", "=~"))

    def __str__(self) -> str:
        return f'{self.label}{self.operator}"{self.value}"'


@frozen(kw_only=True)
class Route:
    """A node of the tree.

    Attributes:
        matchers: all must hold; none: it matches everything.
        channels: names of channels; None: those of the parent.
        group_by: what is told together; None: as the parent.
        continue_: go on to the next sibling after a match.
        routes: its children, tried in order.
    """

    matchers: tuple[Matcher, ...] = ()
    channels: tuple[str, ...] | None = None
    group_by: tuple[str, ...] | None = None
    continue_: bool = False
    routes: tuple[Route, ...] = ()


@frozen
class Chosen:
    """A route that was chosen, with what it inherited.

    Attributes:
        channels: names of channels.
        group_by: the labels whose incidents are told together.
        path: the matchers on the way down, for people.
    """

    channels: tuple[str, ...]
    group_by: tuple[str, ...]
    path: tuple[str, ...] = ()


@frozen(order=True)
class Target:
    """Where an incident is told.

    Attributes:
        channel: the name of the channel.
        message_key: the key under which it is told there.
    """

    channel: str
    message_key: str


def choose(route: Route, labels: Mapping[str, str], parent: Chosen = Chosen((), GROUP_BY)) -> tuple[Chosen, ...]:
    """Return the routes below ``route`` that take ``labels``, depth first; empty when it does not match."""
    if not all(matcher.matches(labels) for matcher in route.matchers):
        return ()
    here = Chosen(
        parent.channels if route.channels is None else route.channels,
        parent.group_by if route.group_by is None else route.group_by,
        parent.path + tuple(str(matcher) for matcher in route.matchers),
    )
    found: list[Chosen] = []
    for child in route.routes:
        taken = choose(child, labels, here)
        found += taken
        if taken and not child.continue_:
            break
    return tuple(found) or (here,)


def labels_of(incident: Incident) -> dict[str, str]:
    """Return what matchers see of an incident: its labels, and those that follow from its key and severity."""
    shown = {name: value for name, value in incident.labels.items() if not name.startswith("_")}
    key = incident.key
    return {
        **shown,
        "environment": key.environment,
        "kind": key.kind,
        "subject": key.subject,
        "part": key.part,
        "severity": str(incident.severity),
        "outcome": str(incident.outcome),
    }


def notified(incident: Incident) -> tuple[str, ...]:
    """Return the words of ``notify=`` that hold at the severity that the incident has now."""
    wishes: dict[str, list[str]] = json.loads(incident.labels.get(NOTIFY, "{}"))
    words = (
        word for severity in sorted(wishes) if incident.severity >= Severity.of(severity) for word in wishes[severity]
    )
    return tuple(dict.fromkeys(words))


def channel_named(word: str, types: Mapping[str, str]) -> str:
    """Return the channel that ``word`` of a ``notify=`` names: ``"team"``, or ``"slack:team"`` with its type.

    Args:
        word: as declared.
        types: channel names to their types.

    Raises:
        DeclarationError: when there is no such channel, or it has another type.
    """
    if word in types:
        return word
    type_, _, name = word.partition(":")
    if name not in types:
        raise DeclarationError(f"notify names the channel {word!r}, which alerting/routes.toml does not have")
    if types[name] != type_:
        raise DeclarationError(f"notify names the channel {word!r}, but {name!r} is of type {types[name]!r}")
    return name


def targets(route: Route, types: Mapping[str, str], incident: Incident) -> tuple[frozenset[Target], tuple[str, ...]]:
    """Return where ``incident`` is told, and a sentence for every word of its ``notify=`` that leads nowhere.

    Args:
        route: the top of the tree.
        types: channel names to their types.
        incident: as it is now.
    """
    chosen = list(choose(route, labels_of(incident)))
    problems: list[str] = []
    for word in notified(incident):
        try:
            chosen.append(Chosen((channel_named(word, types),), route.group_by or GROUP_BY))
        except DeclarationError as error:
            problems.append(f"{incident.key.subject}: {error}")
    return frozenset(
        Target(channel, message_key(incident, taken.group_by)) for taken in chosen for channel in taken.channels
    ), tuple(problems)


def message_key(incident: Incident, group_by: Iterable[str]) -> str:
    """Return the stable key under which ``incident`` is told: ``environment/kind/subject``, longer if grouped finer."""
    labels = labels_of(incident)
    finer = [name for name in group_by if name not in GROUP_BY]
    if not finer:
        return group_key(incident.key)
    return short_key("/".join([incident.key.group, *(f"{name}={labels.get(name, '')}" for name in finer)]))
