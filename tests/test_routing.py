"""The route tree, with the semantics of Alertmanager, and what a channel must be told when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq.alerting.matcher import Matcher, parse_matchers, spelled
from dq.alerting.reason import Reason, reason
from dq.alerting.routing import (
    ALL,
    GROUP_BY,
    Chosen,
    Escalation,
    Place,
    Route,
    Target,
    choose,
    inherit,
    is_shared,
    labels_of,
    message_key,
    places,
)
from dq.model.errors import ConfigError
from dq.model.incident import Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity

LABELS = {"severity": "critical", "owner": "sales", "empty": ""}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('severity="critical"', True),
        ("severity=critical", True),
        (' severity = "critical" ', True),
        ('severity="crit"', False),
        ('severity!="critical"', False),
        ('severity!="warning"', True),
        ('severity=~"crit"', False),
        ('severity=~"crit.*"', True),
        ('severity=~"warning|critical"', True),
        ('severity=~"w|critical|x"', True),
        ('severity!~"crit"', True),
        ('severity!~"crit.*"', False),
        ('missing=""', True),
        ('missing!=""', False),
        ('missing=~".+"', False),
        ('missing=~".*"', True),
        ('missing!~".+"', True),
        ('empty=""', True),
        ('owner="sa\\"les"', False),
    ],
)
def test_a_matcher(text: str, *, holds: bool) -> None:
    assert Matcher.parse(text).matches(LABELS) is holds


def test_quotes_and_new_lines_in_a_matcher() -> None:
    assert Matcher.parse(r'a="x\"y\\z\n"').matches({"a": 'x"y\\z\n'})
    assert not Matcher.parse('a=~"x.y"').matches({"a": "x.yz"})


@pytest.mark.parametrize("text", ["", "severity", '="x"', 'a="x', 'a="x" b', "a b=c", 'a=~"("', 'a=x"y', 'a=x"'])
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Matcher.parse(text)


@pytest.mark.parametrize(
    ("text", "matchers"),
    [
        ("{}", []),
        (" { } ", []),
        ('{owner="a"}', [("owner", "=", "a")]),
        ('{a="b", c!="d"}', [("a", "=", "b"), ("c", "!=", "d")]),
        ("a=b,c!=d", [("a", "=", "b"), ("c", "!=", "d")]),
        ('{a = "b" , c !~ "d,e" , }', [("a", "=", "b"), ("c", "!~", "d,e")]),
        ('a="{,}"', [("a", "=", "{,}")]),
        ('a=~"[0-9]{2}"', [("a", "=~", "[0-9]{2}")]),
        ("{a=~[0-9]{2}}", [("a", "=~", "[0-9]{2}")]),
        ("{a=,b=}}", [("a", "=", ""), ("b", "=", "}")]),
        (r'{quote="She said: \"Hi, ladies!\""}', [("quote", "=", 'She said: "Hi, ladies!"')]),
        (r"a=x\"y\\z\n\t\ ", [("a", "=", 'x"y\\z\n\\t\\')]),
        (r"a=b\,c=d", [("a", "=", "b\\"), ("c", "=", "d")]),
        ("tricky=~~~", [("tricky", "=~", "~~")]),
        ("job=", [("job", "=", "")]),
    ],
)
def test_several_matchers_in_one_text(text: str, matchers: list) -> None:
    """Most of them are those of Alertmanager (``pkg/labels/parse_test.go``; Apache-2.0)."""
    assert [(m.label, m.operator, m.value) for m in parse_matchers(text)] == matchers


@pytest.mark.parametrize("text", ["", ",", "{,}", "a=b,,c=d", "{a=b", "a=b}", "{", "}", "a=~x{2}", '{a="b}', "{a-b=c}"])
def test_what_are_no_matchers_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="matcher"):
        parse_matchers(text)


MATCHERS = st.builds(Matcher, st.sampled_from("ab"), st.sampled_from(["=", "!="]), st.text('\\"\n,{}= ab'))


@given(st.lists(MATCHERS))
def test_what_is_spelled_is_read_as_it_was(matchers: list) -> None:
    text = spelled(matchers)
    assert sorted(map(str, parse_matchers(text))) == sorted(map(str, matchers))
    assert spelled(parse_matchers(text)) == text == spelled(reversed(matchers))


def when(
    *matchers: str,
    to: tuple[str, ...] | None = None,
    go_on: bool = False,
    by: tuple[str, ...] | None = None,
    routes: tuple[Route, ...] = (),
) -> Route:
    return Route(matchers=tuple(map(Matcher.parse, matchers)), channels=to, continue_=go_on, group_by=by, routes=routes)


BY_CHECK = ("environment", "subject", "check")
# After Alertmanager's own test (dispatch/route_test.go, TestRouteMatch; Apache-2.0), with dq's words.
TREE = when(
    to=("default",),
    routes=(
        when(
            'owner="a"',
            to=("a",),
            routes=(
                when('env="testing"', to=("a-testing",), by=BY_CHECK),
                when('env="production"', to=("a-production",), go_on=True),
                when('env=~"produ.*"', 'job=~".*"', to=("a-production-2",)),
            ),
        ),
        when('owner=~"b|c"', to=("bc",), by=BY_CHECK),
        when('kind="role"', by=BY_CHECK, routes=(when('env="testing"', routes=(when('wait="long"', to=()),)),)),
    ),
)


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [
        ({}, [("default", False)]),
        ({"owner": "x"}, [("default", False)]),
        ({"owner": "a"}, [("a", False)]),
        ({"owner": "a", "env": "unset"}, [("a", False)]),
        ({"owner": "a", "env": "testing"}, [("a-testing", True)]),
        ({"owner": "a", "env": "production"}, [("a-production", False), ("a-production-2", False)]),
        ({"owner": "a", "env": "produce"}, [("a-production-2", False)]),
        ({"owner": "b"}, [("bc", True)]),
        ({"owner": "c", "env": "testing"}, [("bc", True)]),
        ({"kind": "role"}, [("default", True)]),
        ({"kind": "role", "env": "testing"}, [("default", True)]),
        ({"owner": "a", "kind": "role"}, [("a", False)]),
    ],
)
def test_which_routes_are_chosen(labels: dict[str, str], chosen: list[tuple[str, bool]]) -> None:
    found = choose(TREE, labels)
    assert [(c.channels[0], c.group_by == BY_CHECK) for c in found] == chosen


def test_a_route_can_tell_nobody() -> None:
    assert choose(TREE, {"kind": "role", "env": "testing", "wait": "long"})[0].channels == ()


TREES = st.recursive(
    st.builds(
        lambda m, go_on, to: when(*m, go_on=go_on, to=to),
        st.lists(st.sampled_from(["a=1", "a!=1", "b=~1|2"]), max_size=2),
        st.booleans(),
        st.sampled_from([None, ("x",), ("y",)]),
    ),
    lambda children: st.builds(
        lambda route, kids: evolve(route, routes=tuple(kids)), children, st.lists(children, max_size=3)
    ),
    max_leaves=8,
)


@given(TREES, st.sampled_from(["", "1", "2"]), st.sampled_from(["", "1", "2"]))
def test_somebody_always_takes_it_and_only_with_reason(tree: Route, a: str, b: str) -> None:
    """Against a second, slower reading of the same rules: all paths, cut at the first sibling that took it."""
    labels = {"a": a, "b": b}
    top = evolve(tree, matchers=(), channels=("default",))
    found = choose(top, labels)
    assert found
    assert all(Matcher.parse(text).matches(labels) for c in found for text in c.path)

    def slow(route: Route, to: tuple[str, ...]) -> list[tuple[str, ...]]:
        to = route.channels if route.channels is not None else to
        results, stop = [], False
        for child in route.routes:
            takes = all(m.matches(labels) for m in child.matchers)
            if takes and not stop:
                results += slow(child, to)
                stop = not child.continue_
        return results or [to]

    assert [c.channels for c in found] == slow(top, ("default",))


# -------------------------------------------------------------------------------------------------------- inheritance

SETTINGS = {
    "channels": st.sampled_from([(), ("x",), ("y",)]),
    "group_by": st.sampled_from([(), ALL, ("org",)]),
    "group_wait": st.sampled_from([timedelta(0), timedelta(minutes=1)]),
    "group_interval": st.sampled_from([timedelta(0), timedelta(minutes=5)]),
    "repeat_interval": st.sampled_from([timedelta(0), timedelta(hours=4)]),
    "send_resolved": st.booleans(),
    "escalate": st.sampled_from([(), (Escalation(timedelta(minutes=15), ("x",)),)]),
    "mute_time_intervals": st.sampled_from([(), ("nights",)]),
    "active_time_intervals": st.sampled_from([(), ("office",)]),
}
ROUTES = st.builds(Route, **{name: st.none() | values for name, values in SETTINGS.items()})
TOP = {
    "channels": (), "group_by": GROUP_BY, "group_wait": timedelta(0), "group_interval": timedelta(0),
    "repeat_interval": None, "send_resolved": True, "escalate": (),
}  # fmt: skip


@given(st.lists(ROUTES, min_size=1, max_size=4))
def test_a_route_has_from_above_what_it_does_not_say(way: list) -> None:
    tree = way[-1]
    for route in reversed(way[:-1]):
        tree = evolve(route, routes=(tree,))
    (chosen,) = choose(tree, {})
    for name, top in TOP.items():
        said = [getattr(route, name) for route in way if getattr(route, name) is not None]
        expected = said[-1] if said else top
        assert getattr(chosen, name) == (expected or None if name == "repeat_interval" else expected), name
    assert chosen.mute_time_intervals == (way[-1].mute_time_intervals or ())
    assert chosen.active_time_intervals == (way[-1].active_time_intervals or ())
    assert chosen.key == "/".join("{}" for _ in way)


# ------------------------------------------------------------------------------------------------------- an incident

START = datetime(2026, 11, 20, tzinfo=UTC)
INCIDENT = Incident(
    id=1,
    key=IncidentKey("EP_STAGE", "suite", "covid", "amount", '["14"]'),
    severity=Severity.ERROR,
    outcome=Outcome.FAIL,
    sentence="",
    observed="",
    threshold="",
    links={},
    interval=Interval.of_day("2026-11-20"),
    opened_at=START,
    changed_at=START,
    labels={
        "check": "amount",
        "org": "14",
        "severity": "stale",
        "environment": "lie",
        "_notify": '{"critical": ["pagerduty:oncall"], "warning": ["team"]}',
    },
)
TYPES = {"team": "slack", "oncall": "pagerduty", "mail": "email"}


def test_labels_follow_the_key_and_the_severity_of_now() -> None:
    labels = labels_of(INCIDENT)
    assert (labels["environment"], labels["severity"], labels["kind"], labels["org"]) == (
        "EP_STAGE",
        "error",
        "suite",
        "14",
    )
    assert "_notify" not in labels


def targets(tree: Route, types: Mapping[str, str], incident: Incident) -> tuple[set[Target], tuple[str, ...]]:
    """Where an incident is told at once, and what leads nowhere."""
    found, problems = places(tree, types, incident)
    return {place.target for place in found if not place.after}, problems


@pytest.mark.parametrize(
    ("severity", "channels"),
    [(1, {"mail"}), (2, {"mail", "team"}), (3, {"mail", "team"}), (4, {"mail", "team", "oncall"})],
)
def test_notify_is_sugar_for_a_route_of_that_severity_or_worse(severity: int, channels: set[str]) -> None:
    found, problems = targets(when(to=("mail",)), TYPES, evolve(INCIDENT, severity=Severity(severity)))
    assert {t.channel for t in found} == channels
    assert {t.message_key for t in found} == {"EP_STAGE/suite/covid"}
    assert problems == ()


def test_a_notify_that_leads_nowhere_is_told_and_stops_nothing() -> None:
    critical = evolve(INCIDENT, severity=Severity.CRITICAL)
    found, problems = targets(when(to=("mail",)), {"mail": "email", "oncall": "victorops"}, critical)
    assert found == {Target("mail", "EP_STAGE/suite/covid")}
    assert "'oncall' is of type 'victorops'" in problems[0]
    assert "does not have" in problems[1]


def test_keys_of_a_finer_grouping() -> None:
    assert message_key(INCIDENT, ("environment", "subject")) == "EP_STAGE/suite/covid"
    assert (
        message_key(INCIDENT, ("check", "environment", "subject", "org")) == "EP_STAGE/suite/covid/check=amount/org=14"
    )
    long = evolve(INCIDENT, labels={"check": "x" * 300})
    other = evolve(INCIDENT, labels={"check": "x" * 299 + "y"})
    keys = {message_key(i, BY_CHECK) for i in (long, other)}
    assert {len(k) for k in keys} == {255}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("group_by", "key", "shared"),
    [
        (("environment", "subject"), "EP_STAGE/suite/covid", False),
        (("subject",), "EP_STAGE/suite/covid", False),
        (("subject", "check"), "EP_STAGE/suite/covid/check=amount", False),
        (ALL, 'EP_STAGE/suite/covid/part=amount/org=["14"]', False),
        (("environment", "org"), "EP_STAGE/~/org=14", True),
        (("org", "owner"), "EP_STAGE/~/org=14/owner=", True),
        (("environment",), "EP_STAGE/~", True),
        ((), "EP_STAGE/~", True),
    ],
)
def test_keys_by_grouping(group_by: tuple[str, ...], key: str, *, shared: bool) -> None:
    assert message_key(INCIDENT, group_by) == key
    assert is_shared(group_by) is shared


@pytest.mark.parametrize("group_by", [(), ("org",), ALL, GROUP_BY, ("check",), ("subject", "org")])
def test_no_key_is_shared_by_two_environments_or_changes_with_the_severity(group_by: tuple[str, ...]) -> None:
    prod = evolve(INCIDENT, key=evolve(INCIDENT.key, environment="prod"))
    worse = evolve(INCIDENT, severity=Severity.CRITICAL, labels={**INCIDENT.labels, "tags": "late"})
    assert message_key(prod, group_by) != message_key(INCIDENT, group_by) == message_key(worse, group_by)


def test_a_value_cannot_pretend_to_be_two_labels() -> None:
    by = ("environment", "check", "org")
    one = evolve(INCIDENT, labels={"check": "a/org=b", "org": "c"})
    other = evolve(INCIDENT, labels={"check": "a", "org": "b/org=c"})
    assert message_key(one, by) == "EP_STAGE/~/check=a%2Forg=b/org=c" != message_key(other, by)


def minutes(number: int) -> timedelta:
    return timedelta(minutes=number)


def test_places_are_those_of_each_route_and_of_its_escalation() -> None:
    steps = (Escalation(minutes(60), ("boss", "mail")), Escalation(minutes(15), ("lead", "boss")))
    tree = when(to=("mail",), routes=(when("org=14", to=("team", "lead"), go_on=True), when("check=amount")))
    tree = evolve(tree, escalate=steps, group_wait=minutes(1))
    found, problems = places(tree, TYPES, INCIDENT)
    told = [(p.target.channel, p.after, p.chosen.key) for p in found]
    by_org, by_check, sugar = '{}/{org="14"}', '{}/{check="amount"}', '{}/{notify="team"}'
    assert told == [
        ("team", minutes(0), by_org), ("lead", minutes(0), by_org), ("boss", minutes(15), by_org),
        ("mail", minutes(60), by_org),
        ("mail", minutes(0), by_check), ("lead", minutes(15), by_check), ("boss", minutes(15), by_check),
        ("team", minutes(0), sugar), ("lead", minutes(15), sugar), ("boss", minutes(15), sugar),
        ("mail", minutes(60), sugar),
    ]  # fmt: skip
    assert {p.target.message_key for p in found} == {"EP_STAGE/suite/covid"}
    assert {p.chosen.group_wait for p in found} == {minutes(1)} and problems == ()
    assert {t.channel for t in targets(tree, TYPES, INCIDENT)[0]} == {"team", "lead", "mail"}


def test_notify_has_the_settings_of_the_top_route_and_no_others() -> None:
    tree = evolve(when(routes=(when("org=14", to=("mail",)),)), group_by=("org",), send_resolved=False)
    (mail, team), _ = places(evolve(tree, routes=(evolve(tree.routes[0], send_resolved=True),)), TYPES, INCIDENT)
    assert mail == Place(Target("mail", "EP_STAGE/~/org=14"), mail.chosen) and mail.chosen.send_resolved
    settings = inherit(tree)
    assert team.chosen == evolve(settings, channels=("team",), path=('notify="team"',), key='{}/{notify="team"}')


def test_the_path_says_why() -> None:
    (chosen,) = choose(TREE, {"owner": "a", "env": "testing"})
    key = '{}/{owner="a"}/{env="testing"}'
    assert chosen == Chosen(("a-testing",), BY_CHECK, ('owner="a"', 'env="testing"'), key=key)


# ------------------------------------------------------------------------------------------------------------ reason


@pytest.mark.parametrize(
    ("told", "trying", "desired", "dead", "why"),
    [
        ({}, None, {}, False, "nothing"),
        ({1: 3}, None, {1: 3}, False, "nothing"),
        ({}, None, {1: 3}, False, "first"),
        ({1: 3}, None, {}, False, "all_resolved"),
        ({1: 3}, None, {1: 3, 2: 1}, False, "new"),
        ({1: 3}, None, {2: 3}, False, "new"),
        ({1: 3}, None, {1: 4}, False, "worse"),
        ({1: 3, 2: 3}, None, {1: 4}, False, "worse"),
        ({1: 3, 2: 3}, None, {1: 3}, False, "some_resolved"),
        ({1: 3, 2: 3}, None, {1: 2}, False, "some_resolved"),
        ({1: 3}, None, {1: 2}, False, "eased"),
        ({}, {}, {}, False, "unsettled"),
        ({}, {1: 3}, {}, False, "unsettled"),
        ({1: 3}, {}, {1: 3}, False, "unsettled"),
        ({}, {1: 3}, {1: 3}, False, "unsettled"),
        ({}, {1: 3}, {1: 4}, False, "unsettled"),
        ({}, {1: 3}, {1: 3}, True, "dead"),
        ({}, {1: 3}, {1: 4}, True, "unsettled"),
        ({1: 3}, {}, {1: 3}, True, "unsettled"),
        ({1: 3}, {}, {}, True, "dead"),
    ],
)
def test_why_a_channel_is_told(told: dict, trying: dict | None, desired: dict, *, dead: bool, why: str) -> None:
    assert reason(told, trying, desired, dead=dead) == why


STATES = st.dictionaries(st.integers(1, 4), st.integers(1, 4), max_size=4)


@given(STATES, st.none() | STATES, STATES)
def test_silence_means_that_the_channel_knows_for_sure(told: dict, trying: dict | None, desired: dict) -> None:
    why = reason(told, trying, desired)
    assert (why is Reason.NOTHING) is (trying is None and told == desired)
    assert why is not Reason.DEAD
