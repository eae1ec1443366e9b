"""Messages in the user's own words: what a template may say, and that a broken one costs nothing but the words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve

from dq import app
from dq.alerting.channels import slack
from dq.alerting.config import AlertConfig, load_alerting
from dq.alerting.outbox import Wire, open_channels
from dq.alerting.templates import Templates, worded
from dq.model.message import Message
from dq.model.severity import Severity
from tests.receivers import Receivers

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
MESSAGE = Message(
    key="prod/suite/orders",
    status="firing",
    severity=Severity.ERROR,
    environment="prod",
    subject="orders",
    title="PROD - orders: amount fails",
    summary="amount: 12 of 900 rows violate. <b>",
    facts=(("Orgs", "14"), ("Owner", "data")),
    links=(("Runbook", "https://wiki.example.org/orders"),),
    columns=("Check",),
    rows=(("amount",),),
    since=AT,
    at=AT,
)
ROUTES = """
[channels.team]
type = "slack"
webhook = "env:HOOK"
allow_http = true

[channels.mail]
type = "email"
host = "127.0.0.1"
port = {port}
from = "dq@example.org"
to = "team@example.org"

[route]
channels = ["team", "mail"]
"""


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


def configured(folder: Path, receivers: Receivers, **templates: str) -> AlertConfig:
    """The configuration of a project whose template ``team_text`` is the file ``team.text.jinja``."""
    (folder / "templates").mkdir()
    (folder / "routes.toml").write_text(ROUTES.format(port=receivers.smtp.port))
    for name, text in templates.items():
        (folder / "templates" / f"{name.replace('_', '.')}.jinja").write_text(text, encoding="utf-8")
    return load_alerting(folder / "routes.toml")


def tell(config: AlertConfig, receivers: Receivers, message: Message = MESSAGE) -> Wire:
    """Send as the pump does, to both channels."""
    channels = open_channels(config, lambda reference: receivers.slack.webhook)
    wire = Wire(None, config, channels, "prod", lambda: AT, "me")  # type: ignore[arg-type]  # nothing here asks the store
    for channel in channels.values():
        assert wire.send(channel, message).delivered
    return wire


def texts(receivers: Receivers) -> tuple[str, str, str]:
    """What Slack's blocks, and the text and HTML of the mail say."""
    (post,), (mail,) = receivers.slack.posts, receivers.smtp.messages
    return (
        json.dumps(post["blocks"], ensure_ascii=False),
        mail.get_body(("plain",)).get_content(),
        mail.get_body(("html",)).get_content(),
    )


def test_a_channel_speaks_in_the_words_of_its_own_template_or_else_of_its_type(tmp_path, receivers):
    config = configured(
        tmp_path,
        receivers,
        slack_text="by type",
        team_text="*{{ subject }}* since {{ since.strftime('%H:%M') }}, {{ facts.get('Owner', 'nobody') }} & co",
        slack_title="{{ environment }}: {{ severity }} in {{ subject }}",
        email_html='<p>{{ summary }}</p>{% for label, url in links.items() %}<a href="{{ url }}">{{ label }}</a>'
        "{% endfor %}",
    )
    wire = tell(config, receivers)
    chat, text, html = texts(receivers)
    assert "*orders* since 06:30, data &amp; co" in chat
    assert "🟠 prod: error in orders" in chat
    assert "12 of 900" not in chat and "by type" not in chat
    assert "https://wiki.example.org/orders" in chat  # the buttons stay
    assert html.strip() == (
        '<p>amount: 12 of 900 rows violate. &lt;b&gt;</p><a href="https://wiki.example.org/orders">Runbook</a>'
    )
    assert text.splitlines()[:3] == ["PROD - orders: amount fails", "", MESSAGE.summary]
    assert wire.problems == []


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ nonsense }}", "'nonsense' is undefined"),
        ("{% if %}", "is not valid Jinja (line 1)"),
        ("{{ facts.Owner.nope }}", "has no attribute 'nope'"),
        ("{{ 1 / 0 }}", "raises ZeroDivisionError"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "more than 100,000 steps"),
        ("{{ ''.__class__.__mro__ }}", "not allowed"),
        ("{# nothing #}\n", "the template says nothing"),
        ("x" * 300_000, "longer than 200,000 characters"),
        (b"\xff\xfe".decode("latin-1"), "cannot be read as UTF-8"),
    ],
)
@pytest.mark.parametrize("what", ["title", "text", "html"])
def test_a_broken_template_costs_the_words_and_not_the_delivery(tmp_path, receivers, template, why, what):
    config = configured(tmp_path, receivers, **{f"slack_{what}": template, f"email_{what}": template})
    if "UTF-8" in why:
        for file in (tmp_path / "templates").iterdir():
            file.write_bytes(b"\xff\xfe")
        config = load_alerting(tmp_path / "routes.toml")
    wire = tell(config, receivers)
    chat, *mail = texts(receivers)
    for said in (chat, *mail):
        assert "PROD - orders: amount fails" in said
        assert "12 of 900 rows violate" in said
        assert (f"{what}.jinja" in said) is (what != "html" or said is not chat)
    types = ["email"] if what == "html" else ["email", "slack"]
    named = [type_ for type_ in types for p in wire.problems if f"{type_}.{what}.jinja" in p and why in p]
    assert named == types
    assert len(wire.problems) == len(types)
    found = list(config.templates.problems(config.types))
    assert [problem for problem in found if problem.startswith(f"alerting/templates/email.{what}.jinja: ")]


def test_only_the_broken_one_of_two_templates_is_left_out(tmp_path, receivers):
    config = configured(tmp_path, receivers, team_title="{{ environment }} mine", team_text="{{ oops }}")
    tell(config, receivers)
    chat, *_ = texts(receivers)
    assert "prod mine" in chat and "12 of 900" in chat


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("orders is bad", "STAGE - orders is bad"),
        ("[stage] orders", "[stage] orders"),
        ("a\nb  stage", "a b stage"),
    ],
)
def test_a_title_always_says_the_environment(tmp_path, receivers, title, said):
    config = configured(tmp_path, receivers, slack_title=title)
    message = evolve(MESSAGE, environment="stage")
    assert worded(message, config.templates.of("team", "slack"))[0].title == said


def test_a_finished_report_stays_as_it_is(tmp_path, receivers):
    config = configured(tmp_path, receivers, email_html="<p>mine</p>", email_text="mine")
    tell(config, receivers, evolve(MESSAGE, status="event", html="<p>the report</p>", text="the report"))
    _, text, html = texts(receivers)
    assert (text.strip(), html.strip()) == ("the report", "<p>the report</p>")


def test_what_a_template_says_opens_no_mention(tmp_path, receivers):
    config = configured(tmp_path, receivers, slack_text="<!channel> {{ summary }}")
    dressed, _ = worded(evolve(MESSAGE, summary="<!here>"), config.templates.of("team", "slack"))
    assert "<!" not in json.dumps(slack.payload(dressed))


def test_files_that_are_of_no_use_are_named(tmp_path, receivers):
    config = configured(
        tmp_path,
        receivers,
        slack_text="{{ facts.Owner }}",
        teem_title="x",
        slack_html="x",
        team_subject="x",
        mail_title="{{ title }} at {{ at.isoformat() }}",
    )
    (tmp_path / "templates" / "README").write_text("x")
    expected = [
        r"README: a template is named CHANNEL\.WHAT\.jinja, where WHAT is title, text, html",
        r"team\.subject\.jinja: a template is named",
        r"slack\.html\.jinja: only e-mail shows HTML",
        r"slack\.text\.jinja: the template uses what is not there: .*Owner.* \(in a message that has no facts",
        r"teem\.title\.jinja: alerting/routes\.toml has no channel and no type 'teem'",
    ]
    config = load_alerting(tmp_path / "routes.toml")
    found = list(config.templates.problems(config.types))
    assert len(found) == len(expected)
    for problem, pattern in zip(found, expected, strict=True):
        assert re.match(rf"alerting/templates/{pattern}", problem), problem


def test_a_folder_that_is_not_there_holds_no_templates(tmp_path):
    assert Templates.read(tmp_path / "templates") == Templates()


def test_the_template_that_the_docs_show_is_sound(tmp_path, receivers):
    page = (Path(__file__).parents[1] / "docs" / "operate.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(\{# alerting/templates/slack\.text\.jinja.*?)```", page, re.DOTALL)
    config = configured(tmp_path, receivers, slack_text=shown)
    assert list(config.templates.problems(config.types)) == []
    tell(config, receivers)
    chat, *_ = texts(receivers)
    assert "*orders* is error." in chat
    assert "• Orgs: 14" in chat and "data looks after it." in chat


def test_lint_and_doctor_name_a_broken_template(make_project):
    files = {"alerting/routes.toml": ROUTES.format(port=25), "alerting/templates/team.text.jinja": "{{ oops }}"}
    project = app.open_project(make_project('environment = "dev"\n', files))
    said = [problem.sentence for problem in app.lint(project)]
    assert [s for s in said if s.startswith("alerting/templates/team.text.jinja: the template uses what is not there")]
    found = {(finding.state, finding.what): finding.sentence for finding in app.doctor(project)}
    assert "team.text.jinja" in found["warn", "templates"]
