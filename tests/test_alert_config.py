"""``alerting/routes.toml``: what it means, and that everything else is refused with its place."""

from __future__ import annotations

import re
import tomllib
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dq.alerting.config import AlertConfig, load_alerting, parse_alerting
from dq.alerting.inhibit import InhibitRule, inhibitor
from dq.alerting.matcher import Matcher, parse_matchers
from dq.alerting.outbox import BrokenChannel, open_channels
from dq.alerting.routing import Escalation, Route, choose
from dq.alerting.times import TimeInterval, muted_by_time
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
        ('"subject", "check"', '"check", "check"', "route.routes[0].routes[0].group_by: it names 'check' twice"),
        ('"environment", "subject"', '"..."', 'route.routes[0].routes[0].group_by: "..." takes every label'),
        ('"owner=sales"', '"{owner=sales"', "has one brace without the other"),
        ('"owner=sales"', '"{owner=sales, owenr=x}"', "matchers: there is no label 'owenr'; did you mean 'owner'?"),
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


FULL = (
    GOOD
    + """
group_wait = "30s"
group_interval = "5m"
repeat_interval = "4h"
send_resolved = false
active_time_intervals = ["office"]
mute_time_intervals = ["holidays"]

[[route.routes.routes.escalate]]
after = "15m"
channels = ["oncall"]

[[route.routes.routes.escalate]]
after = "1h"
channels = ["oncall", "team"]

[[route.routes]]
group_by = []
group_wait = "0s"
repeat_interval = "never"
escalate = []

[time_intervals.office]
weekdays = ["monday:friday"]
location = "Europe/Berlin"

[[time_intervals.holidays]]
dates = ["2026-12-25"]

[[time_intervals.holidays]]
days_of_month = ["1"]
months = ["january"]

[[inhibit_rules]]
name = "late data"
source_matchers = ['{kind="sla", severity=~"error|critical"}']
target_matchers = ['kind="suite"', "severity!=critical"]
equal = ["org"]

[[inhibit_rules]]
source_matchers = ["kind=sla"]
target_matchers = ["kind=reconciliation"]
"""
)


def test_every_key_means_something() -> None:
    config = parse(FULL)
    deep, clear = config.route.routes[0].routes[0], config.route.routes[1]
    assert (deep.group_wait, deep.group_interval, deep.repeat_interval) == (
        timedelta(seconds=30),
        timedelta(minutes=5),
        timedelta(hours=4),
    )
    assert deep.send_resolved is False
    assert (deep.active_time_intervals, deep.mute_time_intervals) == (("office",), ("holidays",))
    assert deep.escalate == (
        Escalation(timedelta(minutes=15), ("oncall",)),
        Escalation(timedelta(hours=1), ("oncall", "team")),
    )
    nothing = timedelta(0)
    assert clear == Route(group_by=(), group_wait=nothing, repeat_interval=nothing, escalate=())
    assert config.time_intervals == {
        "office": (TimeInterval(weekdays=((1, 5),), location=ZoneInfo("Europe/Berlin")),),
        "holidays": (
            TimeInterval(dates=((date(2026, 12, 25), date(2026, 12, 25)),)),
            TimeInterval(days_of_month=((1, 1),), months=((1, 1),)),
        ),
    }
    late, unnamed = config.inhibit_rules
    source, target = (
        parse_matchers('kind="sla",severity=~"error|critical"'),
        parse_matchers("kind=suite,severity!=critical"),
    )
    assert late == InhibitRule(source, target, ("org",), "late data")
    assert (unnamed.equal, unnamed.name) == ((), "rule [1]")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"30s"', '"30"', "route.routes[0].routes[0].group_wait: '30' is not a duration"),
        ('"5m"', "5", "route.routes[0].routes[0].group_interval: it must be a text"),
        ('"4h"', '"0s"', "repeat_interval: the duration '0s' is not longer than zero"),
        ('"4h"', '""', "repeat_interval: it is empty"),
        ("send_resolved = false", 'send_resolved = "no"', "send_resolved: it must be true or false"),
        ('["office"]', '["ofice"]', "active_time_intervals: there is no time interval 'ofice'; did you mean 'office'?"),
        (
            '["holidays"]',
            '["x"]',
            "route.routes[0].routes[0].mute_time_intervals: there is no time interval 'x'; known",
        ),
        ('after = "15m"', "", "route.routes[0].routes[0].escalate[0].after: it is missing"),
        ('after = "15m"', 'after = "0s"', "escalate[0].after: the duration '0s' is not longer than zero"),
        ('after = "15m"', 'afer = "15m"', "escalate[0].afer: unknown key; did you mean 'after'?"),
        (
            '["oncall", "team"]',
            '["oncal"]',
            "escalate[1].channels: there is no channel 'oncal'; did you mean 'oncall'?",
        ),
        ('["oncall", "team"]', "[]", "route.routes[0].routes[0].escalate[1].channels: it is missing"),
        ("escalate = []", 'escalate = ["x"]', "route.routes[1].escalate: it must be a list of tables"),
        (
            '[route]\nchannels = ["team"]',
            '[route]\nchannels = ["team"]\nmute_time_intervals = ["office"]',
            "the top route",
        ),
        ('["monday:friday"]', '["mon:fri"]', "time_intervals.office.weekdays: 'mon:fri': 'mon' is not a weekday"),
        ("dates", "date", "time_intervals.holidays[0].date: unknown key; did you mean 'dates'?"),
        (
            "[time_intervals.office]",
            "[time_intervals]\noffice = 3\n[time_intervals.x]",
            "time_intervals.office: it must be",
        ),
        (
            "[time_intervals.office]",
            "[time_intervals]\noffice = []\n[time_intervals.x]",
            "time_intervals.office: it must be",
        ),
        (
            "'kind=\"suite\"'",
            '"knd=suite"',
            "inhibit_rules[0].target_matchers: there is no label 'knd'; did you mean 'kind'?",
        ),
        ('source_matchers = ["kind=sla"]', "", "inhibit_rules[1].source_matchers: without a matcher"),
        (
            'source_matchers = ["kind=sla"]',
            'source_matchers = ["{}"]',
            "inhibit_rules[1].source_matchers: without a matcher",
        ),
        ('equal = ["org"]', 'equal = ["ogr"]', "inhibit_rules[0].equal: there is no label 'ogr'; did you mean 'org'?"),
        ('equal = ["org"]', 'equl = ["org"]', "inhibit_rules[0].equl: unknown key; did you mean 'equal'?"),
        (
            "[[inhibit_rules]]\nname",
            "[[inhibit_rule]]\nname",
            "inhibit_rule: unknown key; did you mean 'inhibit_rules'?",
        ),
    ],
)
def test_what_is_refused_of_the_rest_names_its_place(old: str, new: str, sentence: str) -> None:
    assert old in FULL
    with pytest.raises(ConfigError) as caught:
        parse(FULL.replace(old, new, 1))
    assert str(caught.value).startswith("alerting/routes.toml: ")
    assert sentence in str(caught.value)


def test_the_example_of_the_documentation_means_what_it_says() -> None:
    page = (Path(__file__).parents[1] / "docs" / "operate.md").read_text()
    (text,) = (
        block for block in re.findall(r"^```toml\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "office" in block
    )
    config = parse(text)

    def told(at: str, **labels: str) -> list[tuple[str, str | None]]:
        now = datetime.fromisoformat(at)
        return [
            (" ".join(c.channels), muted_by_time(c, config.time_intervals, now)) for c in choose(config.route, labels)
        ]

    night, day, holiday = "2026-11-20T03:00+01:00", "2026-11-20T17:29+01:00", "2026-12-25T12:00+01:00"
    assert told(night, environment="prod", severity="critical") == [("oncall chat", None)]
    assert told(night, environment="prod", severity="error") == [("chat", "outside of office")]
    assert told(day, environment="prod", severity="error") == [("chat", None)]
    assert told(holiday, environment="prod", severity="error") == [("chat", "holidays")]
    assert told(night, environment="stage", severity="critical") == [("chat", None)]
    late, suite = {"kind": "sla", "org": "14"}, {"kind": "suite", "org": "14"}
    assert inhibitor(config.inhibit_rules, suite, [late]) is late
    assert inhibitor(config.inhibit_rules, {**suite, "org": "15"}, [late]) is None


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


@pytest.mark.parametrize(
    ("old", "new"),
    [("30s", "31s"), ('"15m"', '"16m"'), ("Europe/Berlin", "UTC"), ("2026-12-25", "2026-12-26"), ("org", "tags")],
)
def test_the_fingerprint_changes_with_the_rest(old: str, new: str) -> None:
    assert parse(FULL).fingerprint == parse(FULL).fingerprint != parse(FULL.replace(old, new, 1)).fingerprint


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
