"""Inhibition: the table of ``dq.alerting.inhibit``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq.alerting.inhibit import InhibitRule, inhibitor
from dq.alerting.matcher import parse_matchers

RULE = InhibitRule(parse_matchers("s=1"), parse_matchers("t=1"), ("org",), "late")
SOURCE, BOTH = {"s": "1", "org": "14"}, {"s": "1", "t": "1", "org": "14"}


@pytest.mark.parametrize(
    ("labels", "source", "muted"),
    [
        ({"t": "2", "org": "14"}, SOURCE, False),
        ({"t": "1", "org": "14"}, SOURCE, True),
        ({"t": "1", "org": "14"}, BOTH, True),
        ({"t": "1", "org": "14"}, {"org": "14"}, False),
        (BOTH, SOURCE, True),
        (BOTH, {**BOTH, "other": "1"}, False),
        (BOTH, BOTH, False),
        ({"t": "1", "org": "15"}, SOURCE, False),
        ({"t": "1"}, SOURCE, False),
        ({"t": "1"}, {"s": "1", "org": ""}, True),
        ({"t": "1"}, {"s": "1"}, True),
    ],
)
def test_the_table(labels: dict[str, str], source: dict[str, str], *, muted: bool) -> None:
    assert (inhibitor([RULE], labels, [source]) is source) is muted


def test_each_source_and_each_rule_is_asked_and_the_very_source_is_returned() -> None:
    other = InhibitRule(parse_matchers("x=1"), parse_matchers("t=1"))
    sources = [{"s": "1", "org": "15"}, BOTH, SOURCE, {"x": "1"}]
    assert inhibitor([RULE, other], {"t": "1", "org": "14"}, iter(sources)) is BOTH
    assert inhibitor([RULE, other], BOTH, iter(sources)) is SOURCE
    assert inhibitor([RULE, other], {"t": "1", "org": "16"}, iter(sources)) is sources[3]
    assert inhibitor([RULE, other], {"t": "1", "org": "16"}, []) is None
    assert inhibitor([], {"t": "1", "org": "14"}, sources) is None


SIDES = st.lists(st.sampled_from(["a=1", "a!=1", "b=~1|2", "{}"]), max_size=2).map(
    lambda texts: tuple(m for text in texts for m in parse_matchers(text))
)
RULES = st.builds(InhibitRule, SIDES, SIDES, st.lists(st.sampled_from("abc"), max_size=2, unique=True).map(tuple))
LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["", "1", "2"]))


@given(st.lists(RULES, max_size=3), st.lists(LABELS, max_size=4))
def test_nothing_mutes_itself_and_among_what_is_open_something_is_told(rules: list, sources: list) -> None:
    for labels in sources:
        assert inhibitor(rules, labels, [labels]) is None
    # By one rule, two never mute each other.
    for rule in rules:
        for one in sources:
            for other in sources:
                assert not (rule.inhibitor(one, [other]) and rule.inhibitor(other, [one]))
