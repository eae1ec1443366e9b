"""``alerting/routes.toml``: what it means, and that everything else is refused with its place."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from dq.alerting.config import AlertConfig, load_alerting, parse_alerting
from dq.alerting.outbox import BrokenChannel, open_channels
from dq.alerting.routing import Matcher, Route
from dq.checks import Rows
from dq.model.check import Check, Suite
from dq.model.errors import ConfigError
from dq.model.table import Table

GOOD = """
fallback = "team"

[channels.team]
type = "slack"
webhook = "env:SLACK_WEBHOOK"

[channels.oncall]
type = "pagerduty"
routing_key = "env:PD_KEY"

[route]
channels = ["team"]

[[route.routes]]
matchers = ['severity="critical"', 'environment!~"dev.*"']
channels = ["oncall"]
continue = true

[[route.routes.routes]]
matchers = ["owner=sales"]
group_by = ["environment", "subject", "check"]
"""


def parse(text: str) -> AlertConfig:
    return parse_alerting(tomllib.loads(text))


def test_what_it_means() -> None:
    config = parse(GOOD)
    assert config.fallback == "team"
    assert {c.name: (c.type, c.pages) for c in config.channels.values()} == {
        "team": ("slack", False),
        "oncall": ("pagerduty", True),
    }
    assert config.channels["oncall"].settings["routing_key"] == "env:PD_KEY"
    deep = Route(matchers=(Matcher.parse("owner=sales"),), group_by=("environment", "subject", "check"))
    critical = (Matcher("severity", "=", "critical"), Matcher("environment", "!~", "dev.*"))
    assert config.route == Route(
        channels=("team",), routes=(Route(matchers=critical, channels=("oncall",), continue_=True, routes=(deep,)),)
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("routing_key", "routing_kye", "channels.oncall.routing_kye"),
        ('fallback = "team"', 'fallbak = "team"', "fallbak: unknown key"),
        ('fallback = "team"', 'fallback = "teem"', "fallback: there is no channel 'teem'; did you mean 'team'?"),
        ('fallback = "team"', 'fallback = "oncall"', "fallback: 'oncall' is a pager"),
        ('type = "slack"', 'type = "slak"', "channels.team.type: "),
        ('["oncall"]', '["oncal"]', "route.routes[0].channels: there is no channel 'oncal'; did you mean 'oncall'?"),
        ('channels = ["team"]', "", "route.channels: it is missing"),
        (
            '[route]\nchannels = ["team"]',
            '[route]\nchannels = ["team"]\nmatchers = ["a=b"]',
            "the top route takes everything",
        ),
        ("continue = true", 'continue = "yes"', "route.routes[0].continue: it must be true or false"),
        ("continue = true", "continu = true", "route.routes[0].continu: unknown key; did you mean 'continue'?"),
        ('"owner=sales"', '"owner"', "route.routes[0].routes[0].matchers: 'owner' is not a matcher"),
        ('"owner=sales"', '"owenr=sales"', "matchers: there is no label 'owenr'; did you mean 'owner'?"),
        ('severity="critical"', 'severity="crit"', "route.routes[0].matchers: unknown severity 'crit'"),
        ('"subject", "check"', '"subject", "chek"', "group_by: there is no label 'chek'; did you mean 'check'?"),
        ('"owner=sales"', "'owner=~\"(\"'", 'the matcher owner=~"(" is not a regular expression'),
        (
            '"environment", "subject", "check"',
            '"check"',
            "route.routes[0].routes[0].group_by: it must name environment and subject",
        ),
        ('matchers = ["owner=sales"]', "matchers = [1]", "matchers: it must be a list of texts"),
        ("[[route.routes.routes]]", "[route.routes.routes]", "route.routes[0].routes: it must be a list of tables"),
        ("[channels.team]", "[channels.'te am']", "channels.te am: a name is made of"),
    ],
)
def test_what_is_refused_names_its_place(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        parse(GOOD.replace(old, new, 1))
    assert str(caught.value).startswith("alerting/routes.toml")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("secret", ["https://hooks.slack.test/services/CANARY", "CANARY"])
def test_a_secret_in_the_clear_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError, match=r"alerting/routes.toml: channels\.team\.webhook: it is a secret") as caught:
        parse(GOOD.replace("env:SLACK_WEBHOOK", secret))
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("line", ['headers = { X = "CANARY" }', 'headers = "CANARY"', 'headers = { X = ["CANARY"] }'])
def test_a_header_in_the_clear_is_refused_and_not_repeated(line: str) -> None:
    hook = f'\n[channels.hook]\ntype = "webhook"\nurl = "env:A"\nsecret = "env:B"\n{line}\n'
    with pytest.raises(ConfigError, match=r"alerting/routes.toml: channels\.hook\.headers") as caught:
        parse(GOOD + hook)
    assert "CANARY" not in str(caught.value)


def test_a_file_that_is_not_there_routes_nothing_and_one_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    assert load_alerting(tmp_path / "routes.toml") == AlertConfig.empty()
    (tmp_path / "routes.toml").write_text("[route\n")
    with pytest.raises(ConfigError, match=r"alerting/routes\.toml: it is not TOML"):
        load_alerting(tmp_path / "routes.toml")
    (tmp_path / "routes.toml").write_text(GOOD)
    assert load_alerting(tmp_path / "routes.toml") == parse(GOOD)


@pytest.mark.parametrize(
    ("old", "new"),
    [("continue = true", ""), ("sales", "sale"), ("env:PD_KEY", "env:PD_KEY_2"), ('fallback = "team"', "")],
)
def test_the_fingerprint_changes_with_what_it_says(old: str, new: str) -> None:
    assert parse(GOOD).fingerprint == parse(GOOD + "\n# a comment").fingerprint
    assert parse(GOOD).fingerprint != parse(GOOD.replace(old, new)).fingerprint


def test_notify_must_name_channels_that_are_there() -> None:
    suite = Suite(
        "orders",
        Table("w", "t"),
        notify={"critical": ["pagerduty:oncall", "slack:oncall"]},
        checks=[Check("amount", Rows("a > 0"), notify={"warning": "teem"})],
    )
    assert list(parse(GOOD).notify_problems(suite)) == [
        "orders: notify names the channel 'slack:oncall', but 'oncall' is of type 'pagerduty'",
        "orders, check 'amount': notify names the channel 'teem', which alerting/routes.toml does not have",
    ]


def test_a_channel_without_its_secret_fails_and_the_others_open() -> None:
    def resolve(reference: str) -> str:
        if reference == "env:PD_KEY":
            raise ConfigError("the environment variable PD_KEY is not set")
        return "https://hooks.slack.test/CANARY"

    channels = open_channels(parse(GOOD), resolve)
    broken = channels["oncall"]
    assert isinstance(broken, BrokenChannel)
    assert broken.pages
    assert "PD_KEY is not set" in broken.error
    assert not isinstance(channels["team"], BrokenChannel)
    assert "CANARY" not in repr(channels)
