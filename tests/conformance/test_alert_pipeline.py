"""Every case of Alertmanager's own tests by dq's own code, time lines by a real pump on a store.

``DQ_ALERT_CASES`` names the file of cases; by default the one beside this. What the counts are is printed in the end.
To add an area, write a function that returns what dq answers, in the form of a case's ``expected``, and name it in
``AREAS``. Nothing here decides: the functions translate a case into dq's values and ask dq.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import define, evolve, field
from sqlalchemy import create_engine, insert
from sqlalchemy.engine import Engine
from sqlalchemy.pool import StaticPool

from dq.alerting import silences
from dq.alerting.config import AlertConfig, ChannelConfig
from dq.alerting.fold import News, apply_findings
from dq.alerting.inhibit import InhibitRule, inhibitor
from dq.alerting.matcher import Matcher, all_match, parse_matchers
from dq.alerting.pump import pump
from dq.alerting.reason import Pace, Reason, reason
from dq.alerting.routing import ABOVE, ALL, Chosen, Route, choose, inherit
from dq.alerting.times import TimeInterval, containing, muted_by_time, parse_time_interval
from dq.model.errors import DqError
from dq.model.incident import Finding, IncidentKey
from dq.model.interval import Interval
from dq.model.message import Message, Receipt
from dq.model.severity import Outcome, Severity
from dq.store.schema import metadata
from dq.store.schema import silence as silence_table
from dq.toml import Section
from tests.conftest import conformance

HERE = Path(__file__).parent
CASES = Path(os.environ.get("DQ_ALERT_CASES") or HERE / "alert_pipeline.jsonl")
WORDING = {"why"}
"""What a source expects in its own words."""

Case = dict[str, Any]
Answer = dict[str, Any]


def cases(path: Path = CASES) -> list[Case]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


# -------------------------------------------------------------------------------- Alertmanager's configuration as dq's

UNITS = {"y": 31_536_000, "w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1, "ms": 0.001}


def duration(text: str) -> timedelta:
    """Return a duration of Alertmanager's, which has years and milliseconds beside dq's units."""
    return timedelta(seconds=sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|[ywdhms])", text)))


def matchers(config: Mapping[str, Any], side: str = "") -> tuple[Matcher, ...]:
    """Return the matchers of a route, or of a ``side`` of an inhibition rule: the old spellings, and the new one."""
    found = [Matcher(label, "=", value) for label, value in config.get(f"{side}match", {}).items()]
    # An old regular expression is anchored when it is read, and its route's key shows it so.
    found += [Matcher(label, "=~", f"^(?:{value})$") for label, value in config.get(f"{side}match_re", {}).items()]
    found += [matcher for text in config.get(f"{side}matchers", ()) for matcher in parse_matchers(text)]
    return tuple(found)


def route(config: Mapping[str, Any]) -> Route:
    def wait(key: str) -> timedelta | None:
        return duration(config[key]) if key in config else None

    def texts(key: str) -> tuple[str, ...] | None:
        return tuple(config[key]) if key in config else None

    return Route(
        matchers=matchers(config),
        channels=(config["receiver"],) if "receiver" in config else None,
        group_by=texts("group_by"),
        continue_=config.get("continue", False),
        group_wait=wait("group_wait"),
        group_interval=wait("group_interval"),
        repeat_interval=wait("repeat_interval"),
        mute_time_intervals=texts("mute_time_intervals"),
        active_time_intervals=texts("active_time_intervals"),
        routes=tuple(map(route, config.get("routes", ()))),
    )


def top_route(config: Mapping[str, Any]) -> Route:
    """Return the top of a tree, with Alertmanager's defaults: dq's own are others."""
    defaults = {"group_by": [], "group_wait": "30s", "group_interval": "5m", "repeat_interval": "4h"}
    return route({**defaults, **config})


def inhibit_rules(config: Mapping[str, Any]) -> tuple[InhibitRule, ...]:
    return tuple(
        InhibitRule(
            matchers(rule, "source_"), matchers(rule, "target_"), tuple(rule.get("equal", ())), rule.get("name", "")
        )
        for rule in config.get("inhibit_rules", ())
    )


def time_interval(raw: Mapping[str, Any]) -> TimeInterval:
    return parse_time_interval(Section("case", "", raw, HERE))


# ----------------------------------------------------------------------------------------------------------- time lines

ZERO = datetime(2026, 1, 1, tzinfo=UTC)
EVER = Interval(ZERO, ZERO + timedelta(days=1))
RESOLVE_TIMEOUT = "5m"
"""Alertmanager's: an alert that nobody sends again is over."""


@define
class Webhook:
    """A channel that keeps what it was told, and fails as the notes of a case say.

    What Alertmanager lists as resolved is what the message before told of, is over, and is not told any more.
    """

    secrets: ClassVar[tuple[str, ...]] = ()
    pages: ClassVar[bool] = False
    rate: ClassVar[tuple[int, float]] = (0, 0.0)
    name: str
    world: AlertmanagerWorld
    timeout: float
    got: list[tuple[float, list[Any]]] = field(factory=list)
    listed: dict[str, dict[str, None]] = field(factory=dict)

    def send(self, message: Message) -> Receipt:
        if trouble := self.world.trouble(self):
            return Receipt(delivered=False, retry=True, error=trouble)
        names = dict.fromkeys(row[0] for row in message.rows) if message.status != "resolved" else {}
        over = [name for name in self.listed.get(message.key, {}) if name not in names and self.world.is_over(name)]
        self.listed[message.key] = names
        firing = [
            {"labels": self.world.alerts[row[0]], **({"annotations": notes} if (notes := json.loads(row[-1])) else {})}
            for row in message.rows
            if row[0] in names
        ]
        resolved = [{"labels": self.world.alerts[name], "ends_at": True} for name in over]
        self.got.append((self.world.now, [*firing, *resolved]))
        return Receipt(delivered=True)

    def as_expected(self, expected: list[Any], tolerance: float) -> list[Any]:
        """Return what came, in the words of the case where it agrees with it."""
        answer: list[Any] = []
        for number, (at, alerts) in enumerate(self.got):
            wanted = expected[number] if number < len(expected) else None
            if isinstance(wanted, dict):
                first, last = wanted["between"]
                same = sorted(map(spelled_alert, alerts)) == sorted(map(spelled_alert, wanted["alerts"]))
                if same and first - tolerance <= at <= last + tolerance:
                    answer.append(wanted)
                    continue
            answer.append({"at": at, "alerts": alerts})
        return answer


def spelled_alert(alert: Mapping[str, Any]) -> str:
    """Return what is compared: when an alert began is the sender's word, which an incident of dq does not have."""
    over = alert.get("ends_at") is not None
    notes = {} if over else alert.get("annotations") or {}
    return json.dumps([alert["labels"], notes, over], sort_keys=True)


@define
class AlertmanagerWorld:
    """A store, the channels of a case, and its clock: seconds since its start."""

    case: Case
    now: float = 0.0
    engine: Engine = field(init=False)
    config: AlertConfig = field(init=False)
    channels: dict[str, Webhook] = field(init=False)
    alerts: dict[str, dict[str, str]] = field(factory=dict)
    ends: dict[str, float] = field(factory=dict)
    open: set[str] = field(factory=set)
    silences: dict[Any, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        config = self.case["config"]
        self.engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        metadata.create_all(self.engine)
        hooks = {r["name"]: r.get("webhook_configs", []) for r in config["receivers"]}
        self.channels = {
            hook["url"]: Webhook(hook["url"], self, duration(hook.get("timeout", "10s")).total_seconds())
            for some in hooks.values()
            for hook in some
        }
        # There, each webhook says whether it wants to hear of what is resolved; here, each route does.
        flags = sorted({hook.get("send_resolved", True) for some in hooks.values() for hook in some})
        trees = [evolve(self.tree(top_route(config["route"]), hooks, flag), continue_=True) for flag in flags]
        self.config = AlertConfig(
            {name: ChannelConfig(name, "webhook", {}, False) for name in self.channels},
            trees[0] if len(trees) == 1 else Route(channels=(), routes=tuple(trees)),
            inhibit_rules=inhibit_rules(config),
            time_intervals={
                one["name"]: tuple(map(time_interval, one["time_intervals"]))
                for one in config.get("time_intervals", ())
            },
        )

    def tree(self, node: Route, hooks: Mapping[str, list[Any]], flag: bool) -> Route:
        channels = node.channels and tuple(
            hook["url"] for name in node.channels for hook in hooks[name] if hook.get("send_resolved", True) is flag
        )
        return evolve(
            node,
            channels=channels,
            send_resolved=flag,
            routes=tuple(self.tree(child, hooks, flag) for child in node.routes),
        )

    def clock(self) -> datetime:
        return ZERO + timedelta(seconds=self.now)

    def go_to(self, end: float) -> None:
        """Let the events happen, each alert end in its time, and a pump look whenever there may be something to do."""
        events = sorted(self.case["events"], key=lambda e: e["at"])
        due: float | None = None
        while True:
            ahead = [e["at"] for e in events[:1]] + sorted(self.ends.values())[:1] + ([] if due is None else [due])
            at = min(ahead, default=end + 1)
            if at > end:
                return
            self.now = max(self.now, at)
            while events and events[0]["at"] <= self.now:
                self.happen(events.pop(0))
            over = [name for name, when in self.ends.items() if when <= self.now]
            self.fold([], over)
            report = pump(self.engine, self.config, self.channels, environment="prod", clock=self.clock)
            assert not report.problems, report.problems
            due = None if report.next_at is None else max((report.next_at - ZERO).total_seconds(), self.now + 0.001)

    def happen(self, event: Mapping[str, Any]) -> None:
        what = event["do"]
        if what == "alerts":
            self.fold(event["alerts"], [])
        elif what == "reload":
            # To dq a configuration that is the same is none that was loaded again: so one that routes the same.
            unused = {**self.config.time_intervals, f"unused {self.now}": ()}
            self.config = evolve(self.config, time_intervals=unused)
        elif "silence" in what:
            self.silence(what, event)
        else:
            raise AssertionError(f"the event {what!r} is not known")

    def silence(self, what: str, event: Mapping[str, Any]) -> None:
        raw = event.get("silence") if isinstance(event.get("silence"), dict) else event
        matchers = tuple(self.matchers_of(raw))
        name = str(raw.get("id") or sorted(map(str, matchers)))
        with self.engine.begin() as connection:
            if what.startswith(("del", "expire", "end", "remove")):
                silences.expire(connection, "prod", self.silences[name], self.clock())
                return
            row = {
                "environment": "prod",
                "matchers": json.dumps([str(matcher) for matcher in matchers]),
                "author": "case",
                "comment": "case",
                "created_at": self.clock(),
                "starts_at": ZERO + timedelta(seconds=raw["starts_at"]),
                "ends_at": ZERO + timedelta(seconds=raw["ends_at"]),
            }
            # Not by silences.add(), which refuses labels that dq does not have, and silences of everything.
            self.silences[name] = connection.execute(insert(silence_table).values(**row)).inserted_primary_key[0]
            silences.touch(connection, "prod")

    @staticmethod
    def matchers_of(raw: Mapping[str, Any]) -> Iterator[Matcher]:
        yield from matchers(raw)
        for one in raw.get("matchers", ()):
            if isinstance(one, dict):
                yield Matcher(one.get("name") or one["label"], one.get("op") or one["operator"], one["value"])

    def fold(self, alerts: list[Mapping[str, Any]], over: list[str]) -> None:
        findings = []
        timeout = duration(self.case["config"].get("global", {}).get("resolve_timeout", RESOLVE_TIMEOUT))
        for alert in alerts:
            name = next((n for n, known in self.alerts.items() if known == alert["labels"]), f"a{len(self.alerts)}")
            self.alerts[name] = alert["labels"]
            ends_at = alert.get("ends_at")
            self.ends[name] = self.now + timeout.total_seconds() if ends_at is None else ends_at
            if self.ends[name] > self.now:
                self.open.add(name)
                findings.append(self.finding(name, Severity.ERROR, alert.get("annotations") or {}))
            else:
                over = [*over, name]
        for name in over:
            self.open.discard(name)
            self.ends.pop(name, None)
            findings.append(self.finding(name, None, {}))
        if findings:
            news = News(environment="prod", kind="suite", subject="case", findings=tuple(findings))
            with self.engine.begin() as connection:
                apply_findings(connection, [news], self.clock())

    def finding(self, name: str, severity: Severity | None, notes: Mapping[str, str]) -> Finding:
        return Finding(
            key=IncidentKey("prod", "suite", "case", name),
            interval=EVER,
            severity=severity,
            outcome=Outcome.PASS if severity is None else Outcome.FAIL,
            sentence=json.dumps(notes, sort_keys=True),
            labels=self.alerts[name],
        )

    def is_over(self, name: str) -> bool:
        return name not in self.open

    def trouble(self, hook: Webhook) -> str:
        """Return why the receiver takes no message now; the notes of a case say until when it fails, and how."""
        ways = r"\b(takes|answers|returns|fails|responds)\b"
        said = re.search(ways + r".*?\bbefore (\d+(?:\.\d+)?) ?s", self.case["notes"])
        if said is None or self.now >= float(said[2]):
            return ""
        named = re.search(r"webhook-\w+", self.case["notes"])
        if named is not None and named[0] != hook.name:
            return ""
        if said[1] == "takes":
            self.now += hook.timeout
            return "no answer in time"
        return "HTTP 500"


# ------------------------------------------------------------------------------------------------------------ answers


def routing(case: Case) -> Answer:
    tree = top_route(case["config"]["route"])
    if "alert" not in case:
        asked = case["expected"]["group_by_all"]
        return {"group_by_all": {path: settings_at(tree, path).group_by == ALL for path in asked}}
    chosen = choose(tree, case["alert"]["labels"])
    return {
        "routes": [
            {
                "group_by": sorted(set(one.group_by) - set(ALL)),
                "group_by_all": one.group_by == ALL,
                "group_wait": one.group_wait.total_seconds(),
                "group_interval": one.group_interval.total_seconds(),
                "repeat_interval": one.repeat_interval and one.repeat_interval.total_seconds(),
                "receiver": "".join(one.channels),
            }
            for one in chosen
        ],
        "route_keys": [one.key for one in chosen],
    }


def settings_at(tree: Route, path: str) -> Chosen:
    """Return what holds at a node such as ``routes[0].routes[1]``, which no alert may ever reach."""
    node, found = tree, inherit(tree, ABOVE)
    for number in re.findall(r"routes\[(\d+)\]", path):
        node = node.routes[int(number)]
        found = inherit(node, found)
    return found


def inhibition(case: Case) -> Answer:
    rules, side = inhibit_rules(case["config"]), dict[str, str]()
    if all(not rule.source and not rule.target for rule in rules):
        # A test of one rule: each source is on its source side, and the alert on its target side alone.
        side = {"side": "source"}
        rules = tuple(InhibitRule((Matcher("side", "=", "source"),), (), rule.equal) for rule in rules)
    # What has ended is no open incident, and only those are asked.
    open_ones = [s for s in case["active_sources"] if s.get("ends_at") is None or s["ends_at"] > 0]
    sources = [{**(s.get("labels") or {}), **side} for s in open_ones]
    return {"muted": inhibitor(rules, case["alert"]["labels"], sources) is not None}


def silence(case: Case) -> Answer:
    labels = case["alert"]["labels"]
    sets = [
        [Matcher(one["name"], one["op"], one["value"]) for one in several]
        for several in case["silence"]["matcher_sets_any_of"]
    ]
    # dq has one set of matchers to a silence; several sets are several silences.
    return {"matches": any(all_match(several, labels) for several in sets)}


def time_intervals(case: Case) -> Answer:
    config, expected = case["config"], case["expected"]
    if "named_time_intervals" in config:
        return muting(case)
    try:
        intervals = {"it": [time_interval(raw) for raw in config["time_intervals"]]}
    except DqError:
        return {"valid": False}

    def inside(text: str) -> bool:
        return bool(containing(["it"], intervals, datetime.fromisoformat(text)))

    return {
        "valid": True,
        "contains": [text for text in expected.get("contains", ()) if inside(text)],
        "excludes": [text for text in expected.get("excludes", ()) if not inside(text)],
    }


def muting(case: Case) -> Answer:
    config, now = case["config"], datetime.fromisoformat(case["now"])
    named = {name: [time_interval(raw) for raw in raws] for name, raws in config["named_time_intervals"].items()}
    mute, active = (tuple(config.get(f"{word}_time_intervals", ())) for word in ("mute", "active"))
    chosen = Chosen((), (), mute_time_intervals=mute, active_time_intervals=active)
    return {
        "muted": muted_by_time(chosen, named, now) is not None,
        "muted_by": list(containing(mute, named, now)),
    }


def dedup(case: Case) -> Answer:
    """One channel and a group: what it was last told of, and what is firing and resolved now."""
    last, at = case["last_notification"] or {}, datetime(2026, 1, 1, tzinfo=UTC)
    before, now = (set(case_ids) for case_ids in (last.get("firing") or (), case["now"]["firing"] or ()))
    over, over_before = (set(ids) for ids in (case["now"]["resolved"] or (), last.get("resolved") or ()))
    minutes = case["repeat_minutes"]
    pace = Pace(
        told_at=at - timedelta(minutes=last.get("age_minutes") or 0) if last else None,
        repeat=None if minutes is None else timedelta(minutes=minutes),
    )
    repeat_at = pace.repeat_at()
    why = reason(
        dict.fromkeys(before, 3),
        None,
        dict.fromkeys(now, 3),
        send_resolved=case["send_resolved"],
        passed=bool(over - over_before - before),
        repeat=repeat_at is not None and repeat_at < at,
    )
    return {"notify": why is not Reason.NOTHING}


def timeline(case: Case) -> Answer:
    """Alerts as findings, folded into a store and told by a real pump, in a time that the test lets pass."""
    end = max(one["between"][1] for told in case["expected"].values() for one in told if isinstance(one, dict))
    world = AlertmanagerWorld(case)
    try:
        world.go_to(end + case["tolerance"])
    finally:
        world.engine.dispose()
    return {
        channel: world.channels[channel].as_expected(told, case["tolerance"])
        for channel, told in case["expected"].items()
    }


AREAS: Mapping[str, Callable[[Case], Answer]] = {
    "routing": routing,
    "inhibition": inhibition,
    "silence": silence,
    "time_interval": time_intervals,
    "timeline": timeline,
    "dedup": dedup,
}


# --------------------------------------------------------------------------------------------------------- comparison


def comparable(value: Any) -> Any:
    """Return ``value`` with the labels of a group in one order: there they are a set."""
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if isinstance(value, dict):
        return {k: sorted(v or ()) if k == "group_by" else comparable(v) for k, v in value.items()}
    return value


def differences(case: Case) -> list[str]:
    answer, expected = comparable(AREAS[case["area"]](case)), comparable(case["expected"])
    told = {name: value for name, value in expected.items() if name not in WORDING}
    return [
        f"{name} is {answer.get(name, 'not answered')!r}, expected {value!r}"
        for name, value in told.items()
        if answer.get(name, "not answered") != ([] if value is None else value)
    ]


def of_area(area: str, path: Path = CASES) -> list[Case]:
    return [case for case in cases(path) if case["area"] == area]


@pytest.mark.parametrize("area", AREAS)
def test_each_case(area: str, request: pytest.FixtureRequest) -> None:
    failed = []
    for case in of_area(area):
        found = differences(case)
        conformance(request.node, "Alertmanager", area, "failed" if found else "passed", review=False)
        failed += [f"{case['id']}: {sentence}" for sentence in found]
    assert not failed, "\n".join(failed)


def test_no_area_is_left_out() -> None:
    for path in {CASES, HERE / "alert_pipeline.jsonl"}:
        assert {case["area"] for case in cases(path)} <= {*AREAS}
    assert all(of_area(area, HERE / "alert_pipeline.jsonl") for area in AREAS)


def _another(value: Any) -> Any:
    """Return a value that would be wrong."""
    if isinstance(value, dict):
        return {key: _another(one) for key, one in value.items()}
    if isinstance(value, bool):
        return not value
    return [*value, "never"] if isinstance(value, list) else value


@pytest.mark.parametrize("area", AREAS)
def test_another_expectation_is_a_difference(area: str) -> None:
    """A comparison that could not fail would prove nothing."""
    for case in of_area(area, HERE / "alert_pipeline.jsonl"):
        for name in case["expected"].keys() - WORDING - {"contains", "excludes"}:
            assert differences({**case, "expected": {**case["expected"], name: _another(case["expected"][name])}})
        told = case["expected"]
        if told.get("contains") or told.get("excludes"):
            swapped = {"contains": told["excludes"], "excludes": told["contains"]}
            assert differences({**case, "expected": {**told, **swapped}})
