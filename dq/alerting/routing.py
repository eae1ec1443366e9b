"""Routing: which channels an incident belongs to, with the semantics of Prometheus Alertmanager's route tree.

An incident enters at the top route, which matches everything, and goes down into the first child whose matchers all
hold; after a child with ``continue = true`` it tries the next one too. Where no child matches, the route itself is
chosen. What a child does not say it has from its parent:

    of a route                                     where it is not given
    ---------------------------------------------  --------------------------------------------------------
    channels, group_by, group_wait,                as the parent; the top route: ``GROUP_BY``, no wait,
    group_interval, repeat_interval,               never repeated, recovery told, no escalation
    send_resolved, escalate
    mute_time_intervals, active_time_intervals     none: only the route that names them is meant
    matchers, continue                             none, no

(Source of the semantics: Alertmanager, ``dispatch/route.go`` and the configuration documentation, Apache-2.0. Its top
route waits 30 s, then 5 min, and repeats after 4 h: there alerts come in one by one; here all incidents of a run come
in one commit, and the page should leave at once.)

``notify={"critical": ["pagerduty:orders"]}`` on a check or suite is sugar for a further route to these channels, for
that severity or worse; the incident carries it among its labels, so no suite is loaded here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import TypeVar

from attrs import evolve, frozen

from dq.alerting.fold import NOTIFY
from dq.alerting.incidents import group_key
from dq.alerting.matcher import Matcher, all_match, parse_matchers, spelled
from dq.model.errors import DeclarationError
from dq.model.incident import EARLY, Incident
from dq.model.names import short_key
from dq.model.severity import Severity

__all__ = [
    "ABOVE", "ALL", "GROUP_BY", "LABELS", "Chosen", "Escalation", "Matcher", "Place", "Route", "Target", "all_match",
    "channel_named", "choose", "inherit", "is_shared", "labels_of", "message_key", "notified", "parse_matchers",
    "places", "shares",
]  # fmt: skip

GROUP_BY = ("environment", "subject")
ALL = ("...",)
"""``group_by`` all labels: each incident is a message of its own."""
LABELS = (
    "answer", "check", "dag", "dataset", "environment", "kind", "org", "outcome", "owner", "part", "reconciliation",
    "severity", "sla", "subject", "suite", "tags", "task",
)  # fmt: skip
"""What an incident can be routed and grouped by: what ``labels_of`` gives, and what checks and SLAs put there."""
_T = TypeVar("_T")
_NOW = timedelta(0)
_ESCAPES = str.maketrans({"%": "%25", "/": "%2F"})


@frozen
class Escalation:
    """Whom to tell as well when nobody acknowledges.

    Attributes:
        after: how long after the incident was first told.
        channels: names of channels.
    """

    after: timedelta
    channels: tuple[str, ...]


@frozen(kw_only=True)
class Route:
    """A node of the tree. None says: as the parent; the table above says what that is at the top.

    Attributes:
        matchers: all must hold; none: it matches everything.
        channels: names of channels.
        group_by: the labels whose incidents are told together; ``ALL``: each alone; (): everything together.
        continue_: go on to the next sibling after a match.
        routes: its children, tried in order.
        group_wait: how long a new group waits for more before it is told.
        group_interval: how long a group that was told waits with news.
        repeat_interval: after what time it is told again though nothing changed; zero: never.
        send_resolved: whether the channels are told when it is over.
        mute_time_intervals: names of the times at which it tells nothing; not inherited.
        active_time_intervals: names of the times outside of which it tells nothing; not inherited.
        escalate: whom to tell when nobody acknowledges.
    """

    matchers: tuple[Matcher, ...] = ()
    channels: tuple[str, ...] | None = None
    group_by: tuple[str, ...] | None = None
    continue_: bool = False
    routes: tuple[Route, ...] = ()
    group_wait: timedelta | None = None
    group_interval: timedelta | None = None
    repeat_interval: timedelta | None = None
    send_resolved: bool | None = None
    mute_time_intervals: tuple[str, ...] | None = None
    active_time_intervals: tuple[str, ...] | None = None
    escalate: tuple[Escalation, ...] | None = None


@frozen
class Chosen:
    """A route that was chosen, with what it inherited; the attributes are those of ``Route``.

    Attributes:
        path: the matchers on the way down, for people.
        repeat_interval: None: never.
        key: the matchers of each route on the way down, ``{}/{severity="critical"}``; not unique.
    """

    channels: tuple[str, ...]
    group_by: tuple[str, ...]
    path: tuple[str, ...] = ()
    group_wait: timedelta = _NOW
    group_interval: timedelta = _NOW
    repeat_interval: timedelta | None = None
    send_resolved: bool = True
    mute_time_intervals: tuple[str, ...] = ()
    active_time_intervals: tuple[str, ...] = ()
    escalate: tuple[Escalation, ...] = ()
    key: str = ""


ABOVE = Chosen((), GROUP_BY)
"""What the top route inherits."""


@frozen(order=True)
class Target:
    """Where an incident is told.

    Attributes:
        channel: the name of the channel.
        message_key: the key under which it is told there.
    """

    channel: str
    message_key: str


@frozen
class Place:
    """Where an incident is told, by which route and when.

    Attributes:
        target: the channel and the key; two routes may lead to the same one.
        chosen: the route.
        after: zero: at once; longer: how long after it was first told, as long as nobody acknowledged.
    """

    target: Target
    chosen: Chosen
    after: timedelta = _NOW


def choose(route: Route, labels: Mapping[str, str], parent: Chosen = ABOVE) -> tuple[Chosen, ...]:
    """Return the routes below ``route`` that take ``labels``, depth first; empty when it does not match."""
    if not all_match(route.matchers, labels):
        return ()
    here = inherit(route, parent)
    found: list[Chosen] = []
    for child in route.routes:
        taken = choose(child, labels, here)
        found += taken
        if taken and not child.continue_:
            break
    return tuple(found) or (here,)


def inherit(route: Route, parent: Chosen = ABOVE) -> Chosen:
    """Return what holds at ``route`` below ``parent``, by the table above."""
    return Chosen(
        channels=_own(route.channels, parent.channels),
        group_by=_own(route.group_by, parent.group_by),
        path=parent.path + tuple(map(str, route.matchers)),
        group_wait=_own(route.group_wait, parent.group_wait),
        group_interval=_own(route.group_interval, parent.group_interval),
        repeat_interval=_own(route.repeat_interval, parent.repeat_interval) or None,
        send_resolved=_own(route.send_resolved, parent.send_resolved),
        mute_time_intervals=route.mute_time_intervals or (),
        active_time_intervals=route.active_time_intervals or (),
        escalate=_own(route.escalate, parent.escalate),
        key="/".join(filter(None, (parent.key, spelled(route.matchers)))),
    )


def _own(own: _T | None, inherited: _T) -> _T:
    return inherited if own is None else own


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


def places(
    route: Route, types: Mapping[str, str], incident: Incident, pagers: Collection[str] = ()
) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    """Return where ``incident`` is told, and a sentence for every word of its ``notify=`` that leads nowhere.

    A channel that a route names twice, itself or in its escalation, is told at the earlier time.

    Args:
        route: the top of the tree.
        types: channel names to their types.
        incident: as it is now.
        pagers: the channels that wake people: they are not told what may still come in time.
    """
    chosen = list(choose(route, labels_of(incident)))
    problems: list[str] = []
    for word in notified(incident):
        wish = Matcher("notify", "=", word)
        sugar = inherit(Route(matchers=(wish,)), inherit(route))
        try:
            chosen.append(evolve(sugar, channels=(channel_named(word, types),)))
        except DeclarationError as error:
            problems.append(f"{incident.key.subject}: {error}")
    spared = pagers if EARLY in incident.labels else ()
    found: list[Place] = []
    for taken in chosen:
        key = message_key(incident, taken.group_by)
        earliest = dict.fromkeys(taken.channels, _NOW)
        for step in sorted(taken.escalate, key=lambda s: s.after):
            for channel in step.channels:
                earliest.setdefault(channel, step.after)
        told = {channel: after for channel, after in earliest.items() if channel not in spared}
        found += (Place(Target(channel, key), taken, after) for channel, after in told.items())
    return tuple(dict.fromkeys(found)), tuple(problems)


def shares(route: Route) -> bool:
    """Return whether ``route``, or one below it, brings incidents of several subjects into one message."""
    own = route.group_by is not None and is_shared(route.group_by)
    return own or any(shares(child) for child in route.routes)


def is_shared(group_by: Collection[str]) -> bool:
    """Return whether incidents of several subjects come into one message."""
    return "subject" not in group_by and tuple(group_by) != ALL


def message_key(incident: Incident, group_by: Collection[str]) -> str:
    """Return the stable key under which ``incident`` is told. The environment is part of each.

        group_by                          key
        --------------------------------  ----------------------------------------
        ["environment", "subject"]        prod/suite/orders
        ["environment", "subject", "x"]   prod/suite/orders/x=value
        ["..."]                           prod/suite/orders/part=amount/org=["14"]
        ["x", "y"]                        prod/~/x=value/y=value
        []                                prod/~

    ``["..."]`` takes what makes the incident one, not the labels: those may change while it is open, and a pager that
    was opened must be closed under its own key. No kind of subject is called ``~``.
    """
    key = incident.key
    if tuple(group_by) == ALL:
        finer = {"part": key.part, "org": key.org}
    else:
        labels = labels_of(incident)
        finer = {name: labels.get(name, "") for name in group_by if name not in GROUP_BY}
    if not finer and not is_shared(group_by):
        return group_key(key)
    first = f"{key.environment}/~" if is_shared(group_by) else key.group
    return short_key("/".join([first, *(f"{name}={value.translate(_ESCAPES)}" for name, value in finer.items())]))
