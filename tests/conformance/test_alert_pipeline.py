"""Every case of Alertmanager's own tests: routing, inhibition, silences, times, by dq's own code.

``DQ_ALERT_CASES`` names the file of cases; by default the one beside this. What the counts are is printed in the end.
To add an area, write a function that returns what dq answers, in the form of a case's ``expected``, and name it in
``AREAS``. Nothing here decides: the functions translate a case into dq's values and ask dq.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dq.alerting.inhibit import InhibitRule, inhibitor
from dq.alerting.matcher import Matcher, all_match, parse_matchers
from dq.alerting.routing import ABOVE, ALL, Chosen, Route, choose, inherit
from dq.alerting.times import TimeInterval, containing, muted_by_time, parse_time_interval
from dq.model.errors import DqError
from dq.toml import Section
from tests.conftest import conformance

HERE = Path(__file__).parent
CASES = Path(os.environ.get("DQ_ALERT_CASES") or HERE / "alert_pipeline.jsonl")
WORDING = {"why"}
"""What a source expects in its own words."""
TO_COME = {"dedup", "timeline"}
"""Areas that have no function in ``AREAS`` yet."""

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


AREAS: Mapping[str, Callable[[Case], Answer]] = {
    "routing": routing,
    "inhibition": inhibition,
    "silence": silence,
    "time_interval": time_intervals,
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
        conformance(request.config, "Alertmanager", area, "failed" if found else "passed", review=False)
        failed += [f"{case['id']}: {sentence}" for sentence in found]
    assert not failed, "\n".join(failed)


def test_no_area_is_left_out() -> None:
    for path in {CASES, HERE / "alert_pipeline.jsonl"}:
        assert {case["area"] for case in cases(path)} <= {*AREAS, *TO_COME}
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
