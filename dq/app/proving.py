"""The selftest of alerting: for each route a failing row on the real path, to see whether it fires.

A query of one row, from nowhere but a CTE, is measured and judged in memory; what it found gets labels that lead into
the route; it is folded into a scratch store; the pump tells it to channels that only write down what would leave, or,
when asked to, send it, marked as a test and under a key of its own. Then the row is mended and the recovery leaves.
"""

from __future__ import annotations

import itertools
import json
import re
import tempfile
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

from attrs import define, evolve, frozen
from sqlalchemy.engine import Engine

from dq.alerting.channels import Channel, pagerduty, plain, slack, victorops, webhook
from dq.alerting.config import AlertConfig
from dq.alerting.fold import Measured, News, apply_findings, news_of
from dq.alerting.messages import dump_message
from dq.alerting.outbox import BrokenChannel
from dq.alerting.pump import open_channels
from dq.alerting.pump import pump as pump_alerts
from dq.alerting.routing import Place, Route, labels_of, places
from dq.alerting.times import muted_by_time, next_change
from dq.app.measuring import run
from dq.app.routes import KINDS, At, incident_with, walk
from dq.app.session import all_declared
from dq.app.telling import alerting_of, secrets_of
from dq.checks import Query
from dq.model.check import Check, Suite
from dq.model.errors import DqError, UsageError
from dq.model.incident import Finding, Incident
from dq.model.interval import Interval
from dq.model.message import Message, Receipt
from dq.model.names import short_key
from dq.model.severity import Severity
from dq.model.table import Table
from dq.plugins import suggest
from dq.project import DatasourceSettings, Project, StoreSettings
from dq.secret import Secret
from dq.store import open_store
from dq.store.schema import metadata

MARK = "TEST - "
TRIES = 3
"""How often a channel is asked, where it says that it may take it later."""
LONGEST_PAUSE = 5.0
"""Seconds between two tries."""

_FAILING = "WITH failing AS (SELECT 1 AS id) SELECT id FROM failing"
_MENDED = f"{_FAILING} WHERE 1 = 0"
_MOST = 50_000
"""So many combinations of labels are looked at for one route."""
_WEEKS = 60
"""How far ahead a moment is looked for at which the route may tell."""
_LOOKS = 100
"""So often the pump looks for a recovery that may leave; each look goes on to the next moment at which it may."""
_TIED = {"subject": "suite", "part": "check"}
"""Labels that name the same thing, where nothing else is said."""


@frozen
class Sent:
    """One message that left, or would have.

    Attributes:
        channel: the name of the channel.
        message: as it was given to the channel.
        receipt: what came of it; None: it was only written down.
    """

    channel: str
    message: Message
    receipt: Receipt | None = None

    def payload(self, type_: str) -> Any:
        """Return what the vendor would get, without secrets; of a plug-in's channel the neutral message.

        Args:
            type_: the type of the channel.
        """
        return _payload(type_, self.message)


@frozen
class Proof:
    """What became of one route.

    Attributes:
        at: its place in the tree.
        route: as declared.
        path: the matchers on the way down.
        channels: whom it tells, in the end.
        answer: ``fires``; ``tells nobody`` (it has no channel); ``passes on`` (a route below it takes whatever comes);
            ``never reached``; ``elsewhere`` (it is for other environments); ``silent`` (it is reached, and somebody is
            not told); ``refused`` (a channel did not take what was really sent).
        sentence: what was found, for people.
        labels: of the incident that was made; empty where none reaches it.
        sent: what left, in order.
    """

    at: At
    route: Route
    path: tuple[str, ...]
    channels: tuple[str, ...]
    answer: Literal["fires", "tells nobody", "passes on", "never reached", "elsewhere", "silent", "refused"]
    sentence: str
    labels: Mapping[str, str] = {}
    sent: tuple[Sent, ...] = ()

    @property
    def good(self) -> bool:
        """Whether there is nothing to mend."""
        return self.answer in ("fires", "tells nobody", "passes on", "elsewhere")


@define
class _Sink:
    """A channel that writes down what it is told, and sends it on where it is given a real one."""

    secrets: ClassVar[tuple[str, ...]] = ()
    name: str
    pages: bool
    token: str
    sent: list[Sent]
    real: Channel | BrokenChannel | None = None
    rate: tuple[int, float] = (0, 0.0)

    def send(self, message: Message) -> Receipt:
        """Write down, mark and send."""
        told = evolve(
            message,
            key=short_key(f"{message.key}/{self.token}"),
            title=MARK + message.title,
            summary=f"This is a test of dq's routes, and is resolved by itself. {message.summary}",
        )
        receipt = None if self.real is None else self._really(self.real, told)
        self.sent.append(Sent(self.name, told, receipt))
        # To the pump all is well: what a channel refuses is told by the selftest, and not repeated.
        return Receipt(delivered=True, reference={} if receipt is None else receipt.reference)

    def _really(self, real: Channel | BrokenChannel, message: Message) -> Receipt:
        for attempt in range(1, TRIES + 1):
            try:
                receipt = real.send(message)
            except Exception as error:  # noqa: BLE001  # a plug-in's trouble is a finding; its text may hold a secret
                return Receipt(delivered=False, error=type(error).__name__)
            if receipt.delivered or not receipt.retry or isinstance(real, BrokenChannel) or attempt == TRIES:
                break
            time.sleep(min(receipt.after or 1.0, LONGEST_PAUSE))
        return receipt


@define
class _Clock:
    now: datetime

    def __call__(self) -> datetime:
        return self.now


def selftest(project: Project, *, send: bool = False, channel: str | None = None) -> tuple[Proof, ...]:
    """Prove, for each route of the tree, that a failing row which belongs there is told.

    Nothing is read from or written to the project's store and datasources.

    Args:
        project: whose ``alerting/routes.toml``.
        send: really send, as a test that resolves itself; otherwise it is written down only.
        channel: only routes that tell this channel, and only it is told.

    Raises:
        UsageError: when there is no such channel, or nothing is configured.
        ConfigError: when ``alerting/routes.toml`` is refused.
    """
    config = alerting_of(project)
    if not config.channels:
        raise UsageError("alerting/routes.toml configures no channel, so nobody would be told anything")
    if channel is not None and channel not in config.channels:
        raise UsageError(f"there is no channel {channel!r}; {suggest(channel, tuple(sorted(config.channels)))}")
    opened = open_channels(config, secrets_of(project)) if send else {}
    tree = [(at, way, _channels(way)) for at, way in _tree(config.route)]
    return tuple(
        _prove(project, config, at, way, told, opened, channel)
        for at, way, told in tree
        if channel is None or channel in told
    )


def _channels(way: Sequence[Route]) -> tuple[str, ...]:
    """Return whom the last route of ``way`` tells, also when nobody acknowledges."""
    own: tuple[str, ...] = next((r.channels for r in reversed(way) if r.channels is not None), ())
    later = next((r.escalate for r in reversed(way) if r.escalate is not None), ())
    return tuple(dict.fromkeys([*own, *(name for step in later for name in step.channels)]))


def channel_types(project: Project) -> dict[str, str]:
    """Return the type of each channel in ``alerting/routes.toml``.

    Raises:
        ConfigError: when it is refused.
    """
    return alerting_of(project).types


def _tree(route: Route, at: At = (), above: tuple[Route, ...] = ()) -> Iterator[tuple[At, tuple[Route, ...]]]:
    """Yield the place of each route, and the routes on the way down, itself included."""
    yield at, (*above, route)
    for number, child in enumerate(route.routes):
        yield from _tree(child, (*at, number), (*above, route))


def _prove(
    project: Project,
    config: AlertConfig,
    at: At,
    way: Sequence[Route],
    channels: tuple[str, ...],
    opened: Mapping[str, Channel | BrokenChannel],
    only: str | None,
) -> Proof:
    path = tuple(str(matcher) for route in way for matcher in route.matchers)
    why = "no labels were found that lead here; an earlier route may take all"
    proof = Proof(at, way[-1], path, channels, "never reached", why)
    here = {"environment": project.environment}
    if any(m.label == "environment" and not m.matches(here) for route in way for m in route.matchers):
        return evolve(proof, answer="elsewhere", sentence=f"not in environment {project.environment!r}")
    now = datetime.now(UTC)
    entered, incident = _incident_for(project, config, at, way, now)
    if incident is None:
        why = "a route below it takes whatever comes here"
        return evolve(proof, answer="passes on", sentence=why) if entered else proof
    proof = evolve(proof, labels=labels_of(incident))
    everywhere, _ = places(config.route, config.types, incident, config.pagers)
    own = [place for place in everywhere if place.chosen.path == path and place.target.channel in channels]
    if not own:
        return evolve(proof, answer="tells nobody", sentence="it is reached, and has no channel")
    begin = _when(config, own, now)
    if begin is None:
        return evolve(proof, answer="silent", sentence="its time intervals never let it tell anything")
    wanted = {place.target.channel for place in own if only in (None, place.target.channel)}
    recoveries = wanted & {place.target.channel for place in own if place.chosen.send_resolved}
    proof = evolve(proof, sent=_told(project, config, incident, own, begin, opened, wanted))
    return _judged(proof, wanted, recoveries)


def _judged(proof: Proof, wanted: Collection[str], recoveries: Collection[str]) -> Proof:
    for status, whom, what in (("firing", wanted, "not told"), ("resolved", recoveries, "not told that it is over")):
        told = {sent.channel for sent in proof.sent if sent.message.status == status}
        if missing := sorted({*whom} - told):
            return evolve(proof, answer="silent", sentence=f"{what}: {', '.join(missing)}")
    refused = [s for s in proof.sent if s.receipt is not None and not s.receipt.delivered]
    if refused:
        first = refused[0]
        error = "" if first.receipt is None else first.receipt.error
        left = sorted({s.channel for s in refused if s.message.status == "resolved"} - _never(proof.sent))
        still = f"; {', '.join(left)} may still show {first.message.key}: resolve it by hand" if left else ""
        return evolve(proof, answer="refused", sentence=f"{first.channel} did not take it: {error}{still}")
    return evolve(proof, answer="fires", sentence=f"tells {', '.join(sorted(wanted))}")


def _never(sent: Iterable[Sent]) -> set[str]:
    """Return the channels that took no firing message, so that there is nothing to resolve."""
    took = {s.channel for s in sent if s.message.status == "firing" and s.receipt is not None and s.receipt.delivered}
    return {s.channel for s in sent} - took


def _when(config: AlertConfig, own: Sequence[Place], now: datetime) -> datetime | None:
    """Return the first moment, from now on, at which the hours let the route tell."""
    at = now
    for _ in range(_WEEKS * 7):
        if not any(muted_by_time(place.chosen, config.time_intervals, at) for place in own):
            return at
        ahead = [next_change(place.chosen, config.time_intervals, at) for place in own]
        at = min((moment for moment in ahead if moment is not None), default=at)
    return None


def _told(
    project: Project,
    config: AlertConfig,
    incident: Incident,
    own: Sequence[Place],
    begin: datetime,
    opened: Mapping[str, Channel | BrokenChannel],
    wanted: Collection[str],
) -> tuple[Sent, ...]:
    """Fail, wait as the route says, escalate, mend, and return what left on the way."""
    sent: list[Sent] = []
    token = f"selftest-{uuid.uuid4().hex[:8]}"
    sinks: dict[str, Any] = {name: _Sink(name, c.pages, token, sent) for name, c in config.channels.items()}
    # Only this route's channels: another route, which a `continue` reaches too, has a proof of its own.
    for name in {*wanted} & opened.keys():
        sinks[name].real = opened[name]
    quiet = evolve(config, inhibit_rules=())
    clock, key = _Clock(begin), incident.key
    with tempfile.TemporaryDirectory(prefix="dq-selftest-") as folder:
        engine = open_store(f"sqlite:///{folder}/scratch.sqlite")
        try:
            metadata.create_all(engine)
            waits = {p.chosen.group_wait + after for p in own for after in (timedelta(0), p.after)}
            _fold(engine, _news(project, incident, _FAILING, Path(folder), clock.now), clock.now)
            for wait in sorted({timedelta(0), *waits}):
                clock.now = begin + wait
                pump_alerts(engine, quiet, sinks, environment=key.environment, clock=clock)
            clock.now += max(p.chosen.group_interval for p in own) + timedelta(seconds=1)
            _fold(engine, _news(project, incident, _MENDED, Path(folder), clock.now), clock.now)
            for _ in range(_LOOKS):  # until its tick and its hours let the recovery leave: a real page is not left open
                next_at = pump_alerts(engine, quiet, sinks, environment=key.environment, clock=clock).next_at
                if next_at is None:
                    break
                clock.now = max(clock.now, next_at)
        finally:
            engine.dispose()
    return tuple(one for one in sent if one.channel in wanted)


def _fold(engine: Engine, news: News, now: datetime) -> None:
    with engine.begin() as connection:
        apply_findings(connection, [news], now)


def _news(project: Project, incident: Incident, sql: str, folder: Path, now: datetime) -> News:
    """Measure and judge ``sql`` in memory, and put the labels of ``incident`` on what was found."""
    key = incident.key
    check = Check("a failing row", Query(sql), tolerance=0, severity=str(incident.severity))
    # A table that every SQLite has and that has a row; nothing of it is looked at.
    suite = Suite("selftest", Table("selftest", "pragma_database_list"), checks=[check])
    scratch = Project(
        root=folder,
        environment=key.environment,
        store=StoreSettings(Secret("sqlite://", "selftest", folder)),
        datasources={"selftest": DatasourceSettings("selftest", Secret("sqlite://", "selftest", folder))},
        refuse_functions=project.refuse_functions,
    )
    interval = Interval.of_day(now.date() - timedelta(days=1))
    news = news_of(run(scratch, suite, interval, origin="selftest", store=False, alert=False, now=now), suite)

    def labelled(finding: Finding) -> Finding:
        outcome = incident.outcome if finding.severity is not None else finding.outcome
        return evolve(finding, key=key, labels=incident.labels, links=incident.links, outcome=outcome)

    return evolve(
        news,
        kind=key.kind,
        subject=key.subject,
        findings=tuple(map(labelled, news.findings)),
        measured=tuple(Measured(key.part, m.interval, m.newest) for m in news.measured),
        parts=frozenset({key.part}),
    )


# ---------------------------------------------------------------------------------------------- labels that lead there


def _incident_for(
    project: Project, config: AlertConfig, at: At, way: Sequence[Route], now: datetime
) -> tuple[bool, Incident | None]:
    """Return whether anything comes to the route at ``at``, and an incident that ends there; None: none was found."""
    known = _vocabulary(project)
    everything = [matcher for _, route_way in _tree(config.route) for matcher in route_way[-1].matchers]
    own = [matcher for route in way for matcher in route.matchers]
    choices: dict[str, list[str]] = {}
    for label in sorted({_TIED.get(m.label, m.label) for m in everything if m.label != "environment"}):
        about = [m for m in everything if _TIED.get(m.label, m.label) == label]
        samples = itertools.chain.from_iterable(_samples(m.value) if "~" in m.operator else (m.value,) for m in about)
        fixed = known.get(label, ())
        values = fixed if label in _CLOSED else dict.fromkeys(["", *samples, *fixed, "selftest"])
        mine = [m for m in own if _TIED.get(m.label, m.label) == label]
        choices[label] = [v for v in values if all(m.matches({m.label: _seen(m.label, v)}) for m in mine)]
    entered = False
    for values in itertools.islice(itertools.product(*choices.values()), _MOST):
        try:
            incident = incident_with(project, dict(zip(choices, values, strict=True)), now)
        except DqError:  # e.g. a kind and a name that do not go together
            continue
        verdicts = {step.at: step.verdict for step in walk(config.route, labels_of(incident))}
        if verdicts.get(at) == "chosen":
            return True, incident
        entered = entered or verdicts.get(at) == "passed on"
    return entered, None


_CLOSED = ("severity", "kind", "outcome")
"""Labels that have no other values than those that are known."""


def _seen(label: str, value: str) -> str:
    """Return what a matcher sees where nothing is given: some labels are never empty."""
    return value or ("example" if label in ("subject", "suite", "part", "check") else "")


def _vocabulary(project: Project) -> dict[str, tuple[str, ...]]:
    """Return values that labels can have, the likeliest first."""
    suites = tuple(project.suites.values())
    checks = tuple(check for suite in suites for check in suite.checks)
    declared = all_declared(project)
    return {
        "severity": tuple(map(str, reversed(Severity))),
        "kind": KINDS,
        "outcome": ("fail", "unmeasured", "no_data"),
        "suite": tuple(suite.name for suite in suites),
        "check": tuple(check.name for check in checks),
        "reconciliation": tuple(project.reconciliations),
        "owner": tuple(dict.fromkeys(o for o in (*(d.owner for d in declared), *(c.owner for c in checks)) if o)),
        "tags": tuple(dict.fromkeys(",".join(sorted(d.tags)) for d in (*declared, *checks) if d.tags)),
    }


_SIMPLE = (
    (re.compile(r"\(\?:|\(\?i\)|[\^$()]"), ""),
    (re.compile(r"\[\^[^\]]*\]"), "x"),
    (re.compile(r"\[\\?(.)[^\]]*\]"), r"\1"),
    (re.compile(r"\\d"), "1"),
    (re.compile(r"\\[wS]"), "x"),
    (re.compile(r"\\s"), " "),
    (re.compile(r"(?<!\\)\.[*?]"), ""),
    (re.compile(r"(?<!\\)\."), "x"),
    (re.compile(r"\{(\d+)[^}]*\}|(?<!\\)[*+?]"), ""),
    (re.compile(r"\\(.)"), r"\1"),
)


def _samples(pattern: str) -> Iterator[str]:
    """Yield texts that a simple regular expression may match; each is tried, so a wrong one does no harm."""
    for alternative in (pattern, *pattern.split("|"), *re.split(r"[|()]", pattern)):
        text = alternative
        for what, by in _SIMPLE:
            text = what.sub(by, text)
        yield text


# ------------------------------------------------------------------------------------------------------------ payloads


def _payload(type_: str, message: Message) -> Any:
    match type_:
        case "slack":
            return slack.payload(message)
        case "pagerduty":
            return json.loads(pagerduty.payload(message, "***"))
        case "victorops":
            return victorops.payload(message)
        case "webhook":
            return json.loads(webhook.payload(message))
        case "email":
            return {"subject": plain.headline(message, 250), "text": plain.text(message)}
        case _:
            return json.loads(dump_message(message))
