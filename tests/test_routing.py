"""The route tree, with the semantics of Alertmanager, and what a channel must be told when."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq.alerting.reason import Reason, reason
from dq.alerting.routing import Chosen, Matcher, Route, Target, choose, labels_of, message_key, targets
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


@pytest.mark.parametrize("text", ["", "severity", '="x"', 'a="x', 'a="x" b', "a b=c", 'a=~"("'])
def test_what_is_no_matcher_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Matcher.parse(text)


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
