"""The digest: which lines it has, and that it leaves once, to those it is for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from attrs import evolve
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dq import app
from dq.alerting.digest import NAMED, ROWS, digest
from dq.alerting.mute import Mute
from dq.app.digesting import digest_of
from dq.cli import main
from dq.cli.show import MUTED
from dq.model.incident import Incident, IncidentKey
from dq.model.interval import Interval
from dq.model.message import Message
from dq.model.severity import Outcome, Severity
from dq.reports.attainment import report
from dq.reports.digest import Digest, Open, Reconciled, Unknown, render, verdict
from dq.reports.discrepancy import MAX_BYTES
from dq.reports.news import Item, News, State
from dq.reports.trend import Day, Seen, days_until
from tests import chromium, promised, render_png
from tests.receivers import MAIL, ONCALL, TEAM, Receivers
from tests.screens import CONTRAST, TOO_WIDE
from tests.servers import require_program

NOW = datetime(2026, 11, 21, 7, tzinfo=UTC)
DAY = Interval.of_day("2026-11-20")
HOUR = timedelta(hours=1)


def incident(
    suite: str = "orders", part: str = "amount", org: str = "", severity: int = 3, hours: int = 30
) -> Incident:
    return Incident(
        id=1,
        key=IncidentKey("prod", "suite", suite, part, org and f'["{org}"]'),
        severity=Severity(severity),
        outcome=Outcome.FAIL,
        sentence=f"{severity} rows of {suite}",
        observed="",
        threshold="",
        labels={},
        links={},
        interval=DAY,
        opened_at=NOW - hours * HOUR,
        changed_at=NOW - hours * HOUR,
    )


def over(hours: int, **more: object) -> Incident:
    return evolve(incident(**more), ended_at=NOW - hours * HOUR, ended="recovered")  # type: ignore[arg-type]  # as above


def told(*still_open: Incident | tuple[Incident, Mute], ended: tuple[Incident, ...] = (), **more: object) -> Message:
    pairs = [one if isinstance(one, tuple) else (one, None) for one in still_open]
    given = [(one, () if mute is None else (mute,)) for one, mute in pairs]
    return digest("prod", given, ended, NOW, **{"period": timedelta(days=1), **more})  # type: ignore[arg-type]  # as above


def test_what_is_open_is_one_line_each_worst_first_and_those_of_orgs_one_together() -> None:
    taken = evolve(incident(part="users", severity=2), acked_at=NOW, acked_by="ada", acked_severity=Severity(2))
    message = told(
        incident(severity=4, hours=2),
        incident(part="rows", org="7", hours=3),
        incident(part="rows", org="8", hours=40, severity=2),
        taken,
        (incident("web", severity=1), Mute("silence", "silence 3 (bob, until 08:00Z: reload)")),
        (incident("net", severity=1), Mute("blocked", "orders is late (incident 2)")),
    )
    assert message.columns == ("What", "Who, since", "Finding")
    assert message.rows == (
        ("orders: amount (critical)", "nobody; 21 Nov 05:00Z", "4 rows of orders"),
        ("orders: rows (error, 2 orgs)", "nobody; 19 Nov 15:00Z", "3 rows of orders"),
        ("orders: users (warning)", "ada; 20 Nov 01:00Z", "2 rows of orders"),
        ("web: amount (info)", "silence 3 (bob, until 08:00Z: reload); 20 Nov 01:00Z", "1 rows of web"),
        ("net: amount (info)", "blocked: orders is late (incident 2); 20 Nov 01:00Z", "1 rows of net"),
    )
    assert (message.title, message.severity) == (
        "PROD - digest: 5 open, nothing over in the last 1d",
        Severity.CRITICAL,
    )
    assert message.summary == "The worst is orders: amount: 4 rows of orders."
    assert dict(message.facts) == {
        "Open": "5: 1 critical, 1 error, 1 warning, 2 info",
        "New": "2 in the last 1d",
        "Nobody is on": "2",
        "Over": "nothing in the last 1d",
    }


def test_who_is_on_it_no_longer_is_when_it_is_worse() -> None:
    worse = evolve(incident(severity=3), acked_at=NOW, acked_by="ada", acked_severity=Severity(2))
    assert told(worse).rows[0][1].startswith("nobody; ")


def test_what_is_over_is_told_of_once_each_and_within_the_period() -> None:
    ended = (over(1), over(2, org="7"), over(3, suite="users"), over(24, suite="at its edge"), over(40, suite="old"))
    message = told(ended=ended)
    assert message.title == "PROD - digest: nothing is open, 2 over in the last 1d"
    assert message.summary == "Nothing is open."
    assert dict(message.facts) == {"Open": "nothing", "Over": "orders: amount, users: amount"}
    assert (message.severity, message.rows, message.columns) == (Severity.INFO, (), ())
    assert "at its edge: amount" in dict(told(ended=ended, period=timedelta(days=2)).facts)["Over"]
    assert dict(told(ended=tuple(over(1, part=f"{n}") for n in range(NAMED + 2))).facts)["Over"].endswith(" and 2 more")


def test_what_waits_for_further_bad_runs_is_left_out_as_nobody_is_told_of_it() -> None:
    message = told(evolve(incident(), pending="01"), ended=(evolve(over(1), pending="010"),))
    assert message.title == "PROD - digest: nothing is open, nothing over in the last 1d"


def test_a_long_table_ends_and_the_others_are_counted() -> None:
    message = told(*(incident(part=f"check {n}") for n in range(ROWS + 5)))
    assert (len(message.rows), message.omitted) == (ROWS, 5)


def test_what_dq_does_not_know_is_not_told_as_health() -> None:
    message = told(troubles=["did not load: 1 of the declarations, see dq lint"])
    assert (message.severity, message.summary) == (
        Severity.WARNING,
        "Nothing is open. dq does not know all, see Trouble.",
    )
    assert ("Trouble", "did not load: 1 of the declarations, see dq lint") in message.facts


def test_every_reason_to_mute_has_words_for_the_terminal() -> None:
    assert set(get_args(get_type_hints(Mute)["why"])) == set(MUTED)


# ------------------------------------------------------------------------------------------------------- it leaves once

TOML = """
environment = "prod"
[store]
url = "sqlite:///store.sqlite"
[datasources.shop]
url = "sqlite:///shop.sqlite"
"""
SUITES = """
from dq import Check, Rows, Suite, Table

def suite(name):
    return Suite(name, Table("shop", name), checks=[Check("amount", Rows("amount > 0"), error=0)])

orders, users = suite("orders"), suite("users")
"""
ROUTES = TEAM + MAIL + ONCALL + '[route]\nchannels = ["team"]\n'


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as running:
        yield running


@pytest.fixture
def root(make_project, receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in receivers.environment("0123456789abcdef0123456789abcdef").items():
        monkeypatch.setenv(name, value)
    return make_project(TOML, {"checks/shop.py": SUITES, "alerting/routes.toml": ROUTES})


def put(root: Path, table: str, *amounts: int) -> None:
    with sqlite3.connect(root / "shop.sqlite") as shop:
        shop.execute(f"CREATE TABLE IF NOT EXISTS {table} (amount INTEGER)")
        shop.execute(f"DELETE FROM {table}")
        shop.executemany(f"INSERT INTO {table} VALUES (?)", [(amount,) for amount in amounts])
    shop.close()
    app.run(app.open_project(root), table, DAY)


def dq(root: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--project", str(root)])
    return int(ended.value.code or 0)


def test_it_leaves_once_to_those_it_is_for_and_again_when_it_is_asked_for_again(root, receivers, capsys) -> None:
    put(root, "orders", -1, 1)
    put(root, "users", -1, 1)
    put(root, "users", 1, 1)
    app.acknowledge(app.open_project(root), ["orders"], "ada")
    dq(root, "alerts", "pump")  # that somebody is on it
    before = len(receivers.slack.posts)
    capsys.readouterr()
    assert dq(root, "alerts", "digest", "--to", "mail", "--to", "mail") == 0
    assert capsys.readouterr().out == "sent 1, waiting 0\n"
    (mail,) = receivers.smtp.messages
    today = datetime.now(UTC).date()
    assert mail["Subject"] == f"PROD - digest of {today}: 1 check not well (error); 1 new, 1 fixed"
    text = mail.get_body(("plain",)).get_content()
    assert "users: amount" in text and "orders: amount" in text and "ada" in text
    assert "<td" in mail.get_body(("html",)).get_content()
    dq(root, "alerts", "pump")
    assert len(receivers.smtp.messages) == 1
    assert dq(root, "alerts", "digest", "--to", "mail", "--to", "team") == 0
    assert (len(receivers.smtp.messages), len(receivers.slack.posts)) == (2, before + 1)
    assert app.alerts(app.open_project(root))[0].told, "what the routes told stays as it was"


def test_what_did_not_load_and_what_is_not_delivered_is_in_it(root, receivers) -> None:
    (root / "checks" / "broken.py").write_text("nothing(")
    receivers.slack.fail_next(404)
    put(root, "orders", -1)
    dq(root, "alerts", "digest", "--to", "mail")
    text = receivers.smtp.messages[-1].get_body(("plain",)).get_content()
    assert "did not load: 1 of the declarations" in text and "not delivered: 1 message, see" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "mial"), "has no channel 'mial'; did you mean 'mail'?"),
        (("--to", "oncall"), "'oncall' is a pager"),
        (("--to", "mail", "--since", "8d"), "a digest looks back 7d at most"),
        ((), "nobody gets the digest: give --to, or in alerting/routes.toml: [digest] channels"),
    ],
)
def test_what_cannot_be_told_is_said_in_one_sentence(root, receivers, capsys, words, said) -> None:
    assert dq(root, "alerts", "digest", *words) == 2
    assert said in capsys.readouterr().err
    assert receivers.smtp.messages == []


# ------------------------------------------------------------------------------------------------ how everything stands

PIPES = """
from dq import By, Reconciliation, Sla, Stage, Table

def pipe(name, **more):
    tables = Table("shop", "sent", partition="day"), Table("shop", name, partition="day")
    stages = [Stage("in", tables[0]), Stage("out", tables[1])]
    runbook = f"https://wiki.example.org/{name}"
    return Reconciliation(name, by=By("org"), error=1, stages=stages, runbook=runbook, **more)

good, bad, idle, late = pipe("good"), pipe("bad", sla=Sla(due="06:00")), pipe("idle"), pipe("late")
"""
EMPTY = """
from dq import Check, Rows, Suite, Table
empty = Suite("empty", Table("shop", "no_rows", partition="day"), checks=[
    Check("no rows are fine", Rows("amount > 0"), error=0, on_empty="ok"),
    Check("rows are there", Rows("amount >= 0"), error=0)])
idle_suite = Suite("idle_suite", Table("shop", "orders"), checks=[Check("amount", Rows("amount > 0"), error=0)])
"""
MONDAY = date(2026, 11, 16)


def records(root: Path, table: str, day: date, **orgs: int) -> None:
    with sqlite3.connect(root / "shop.sqlite") as shop:
        shop.execute(f"CREATE TABLE IF NOT EXISTS {table} (day TEXT, org TEXT, amount INTEGER)")
        shop.execute(f"DELETE FROM {table} WHERE day = ?", (str(day),))
        for org, count in orgs.items():
            shop.executemany(f"INSERT INTO {table} VALUES (?, ?, 1)", [(str(day), org)] * count)
    shop.close()


def at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)


@pytest.fixture
def pipes(root: Path) -> Path:
    (root / "checks" / "pipes.py").write_text(PIPES)
    (root / "checks" / "empty.py").write_text(EMPTY)
    routes = root / "alerting" / "routes.toml"
    routes.write_text(routes.read_text() + '[digest]\nchannels = ["mail"]\n')
    records(root, "no_rows", MONDAY)
    put(root, "orders", 1)
    put(root, "users", 1)
    return root


def morning(root: Path, day: date, *names: str, **stored: dict[str, int]) -> Digest:
    """Measure what there is of a day at five the next morning, and return the digest of seven."""
    records(root, "sent", day, a=100, b=100)
    for name in ("good", "bad", "idle", "late"):
        records(root, name, day, **stored.get(name, {"a": 100, "b": 100}))
    project, interval = app.open_project(root), Interval.of_day(day)
    for name in names:
        done = app.reconcile if name in project.reconciliations else app.run
        done(project, name, interval, now=at(day + DAY_LONG, 5))
    return digested(root, at(day + DAY_LONG, 7))


DAY_LONG = timedelta(days=1)


def digested(root: Path, now: datetime) -> Digest:
    """Return what the digest says, made as ``app.digest`` makes it."""
    project = app.open_project(root)
    return digest_of(project, app.alerts(project, all=True, now=now), (), now - DAY_LONG, now)


def test_every_reconciliation_is_in_it_with_its_verdict_and_worst_orgs(pipes: Path) -> None:
    morning(pipes, MONDAY, "good", "bad", "late", "empty")
    says = morning(pipes, MONDAY + DAY_LONG, "good", "bad", "empty", bad={"a": 60, "b": 97})
    by_name = {one.name: one for one in says.reconciliations}
    assert list(by_name) == ["bad", "idle", "late", "good"], "worst first, then what nobody knows"
    bad = by_name["bad"]
    assert (bad.word, bad.severity, bad.partition, bad.stands) == ("error", Severity.ERROR, "2026-11-17", "new")
    assert bad.sentence.startswith("out: 2 of 2 orgs differ: a: 40 of 100 missing (40%) at out;")
    assert "b: 3 of 100 missing" in bad.sentence and bad.link == "https://wiki.example.org/bad"
    assert [day.text for day in bad.days[-3:]] == ["\N{EN DASH}", "\N{CHECK MARK}", "100"]
    assert (by_name["good"].word, by_name["good"].severity, by_name["good"].silent) == ("ok", None, "")
    assert (by_name["idle"].word, by_name["idle"].days) == ("never ran", ())
    assert by_name["late"].word == "did not run"
    assert by_name["late"].sentence.startswith("no run for 1d2h, the last one was of 2026-11-16; it said: out: all 2")
    assert [(one.word, one.name) for one in says.unknown] == [
        ("never ran", "idle"), ("did not run", "late"), ("no data", "empty"), ("never ran", "idle_suite"),
    ]  # fmt: skip
    said = str(says.unknown[2])
    assert said.startswith("empty: 2026-11-17: no rows are fine: ") and "rows are there" not in said, "that is open"
    (opened,) = says.opened
    assert (opened.what, opened.stands) == ("empty: rows are there", "still open since 17 Nov 05:00")
    both = "1 reconciliation and 1 check not well (error)"
    assert verdict(says) == ("error", f"{both}, 2 never ran, 1 did not run, 1 no data")
    assert says.promises is not None and [line.name for line in says.promises.lines] == ["bad"]
    assert says.news.short == "1 new"


def test_what_is_open_is_still_open_the_next_day_and_then_fixed(pipes: Path) -> None:
    half = {"a": 50, "b": 100}
    morning(pipes, MONDAY, "good", "bad", bad=half)
    says = morning(pipes, MONDAY + DAY_LONG, "good", "bad", bad=half)
    (bad,) = (one for one in says.reconciliations if one.name == "bad")
    assert bad.stands == "still open since 17 Nov 05:00" and says.news.short == ""
    assert bad.sentence.endswith("; still wrong in 2026-11-16")
    says = morning(pipes, MONDAY + 2 * DAY_LONG, "good", "bad")
    assert says.news.short == "1 fixed" and [item.name for item in says.news.items] == ["bad"]
    (bad,) = (one for one in says.reconciliations if one.name == "bad")
    assert (bad.word, bad.stands) == ("ok", "") and bad.sentence.endswith("; still wrong in 2026-11-17, 2026-11-16")


def test_a_bad_one_that_does_not_run_any_more_is_both(pipes: Path) -> None:
    morning(pipes, MONDAY, "bad", bad={"a": 1, "b": 100})
    says = digested(pipes, at(MONDAY + 3 * DAY_LONG, 7))
    (bad,) = (one for one in says.reconciliations if one.name == "bad")
    assert (bad.word, bad.severity) == ("error", Severity.ERROR)
    assert bad.silent == "no run for 2d2h, the last one was of 2026-11-16"
    assert ("did not run", "bad") in [(one.word, one.name) for one in says.unknown]


def test_what_cannot_be_measured_is_not_well(pipes: Path) -> None:
    records(pipes, "sent", MONDAY, a=1)
    says = morning(pipes, MONDAY, "good")
    with sqlite3.connect(pipes / "shop.sqlite") as shop:
        shop.execute("ALTER TABLE good RENAME TO gone")
    shop.close()
    app.reconcile(app.open_project(pipes), "good", Interval.of_day(MONDAY + DAY_LONG), now=at(MONDAY + 2 * DAY_LONG, 5))
    says = digested(pipes, at(MONDAY + 2 * DAY_LONG, 7))
    good = says.reconciliations[0]
    assert (good.name, good.severity) == ("good", Severity.ERROR) and "could not be measured" in good.sentence
    assert [day.seen for day in good.days[-2:]] == [Seen.WELL, Seen.UNKNOWN]


def test_it_looks_back_to_the_last_digest_of_an_earlier_day(pipes: Path, receivers) -> None:
    def told(now: datetime) -> str:
        app.digest(app.open_project(pipes), now=now)
        return str(receivers.smtp.messages[-1].get_body(("plain",)).get_content())

    noon = at(MONDAY, 12)
    assert "Since 15 Nov 12:00 UTC" in told(noon), "a day, as nothing was told before"
    assert "Since 15 Nov 13:00 UTC" in told(noon + HOUR), "not since that of the same day"
    assert "Since 16 Nov 13:00 UTC" in told(at(MONDAY + 3 * DAY_LONG, 7))
    assert "Since 26 Nov 07:00 UTC" in told(at(MONDAY + 11 * DAY_LONG, 7)), "what is older than a week is forgotten"


def test_a_project_that_never_ran_is_not_said_to_be_well(pipes: Path, capsys) -> None:
    assert dq(pipes, "report") == 0
    said = capsys.readouterr().out
    assert said.splitlines()[0].endswith(": 6 never ran")
    assert "UNMEASURED: 6 never ran" in said
    assert "no run in prod: good, bad, idle, late, empty, idle_suite" in said


def test_it_is_shown_written_and_sent_by_one_command(pipes: Path, receivers, capsys, tmp_path: Path) -> None:
    page = tmp_path / "digest.html"
    assert dq(pipes, "report", "--html", str(page), "--eml", str(tmp_path / "digest.eml")) == 0
    assert page.read_text().startswith("<!DOCTYPE html>") and receivers.smtp.messages == []
    assert dq(pipes, "report", "--send") == 0
    (mail,) = receivers.smtp.messages
    assert "digest of" in mail["Subject"] and "Reconciliations, worst first" in mail.get_body(("html",)).get_content()
    assert dq(pipes, "alerts", "digest") == 0
    assert len(receivers.smtp.messages) == 2
    assert dq(pipes, "report", "--date", "2026-11-16") == 2
    assert "--date goes with the name of a reconciliation" in capsys.readouterr().err


@settings(max_examples=12, deadline=None, phases=(Phase.generate,))
@given(st.sampled_from([0, 3, 2_000]), st.integers(0, 500), st.sampled_from(["x", "<", "&", '"', "南", "\0", " a"]))
def test_it_is_never_too_long_for_a_mail(count: int, long: int, character: str) -> None:
    text = character * long
    says = Digest(
        environment="prod",
        made_at=NOW,
        suites=count,
        news=News(since=NOW, items=tuple(
            Item(name=f"{n}{text}", state=list(State)[n % 5], severity=Severity.ERROR, at=NOW) for n in range(count))),
        reconciliations=tuple(
            Reconciled(name=f"{n}{text}", word="error", severity=Severity.ERROR, partition=text, sentence=text * 9,
                       stands="new", link=f"https://example.org/{text}",
                       days=(Day(seen=Seen.BAD, severity=Severity.ERROR, share=Fraction(1, 3)),) * 14)
            for n in range(count)),
        opened=tuple(
            Open(what=f"{n}{text}", severity=Severity.ERROR, stands="new", who=text, finding=text * 9)
            for n in range(count)),
        unknown=tuple(Unknown(("trouble", "never ran")[n % 2], f"{n}{text}", text) for n in range(count)),
        days=days_until(NOW.date()),
        promises=report(promised.team(), promised.NOW),
    )  # fmt: skip
    made = render(says)
    assert len(made.html.encode()) < MAX_BYTES
    assert len(made.subject) <= 250
    shown = made.html.partition("Promises kept")[0].count('<tr class="row ')
    assert shown == 2 * count or f"and {count - shown // 2} more, {count - shown // 2} of them not well" in made.html


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 900])
def test_it_fits_the_screen_and_can_be_read(width: int, dark: bool) -> None:
    require_program(*chromium.NAMES)
    with chromium.Browser() as browser:
        browser.show(render(render_png.SAYS).html, width=width, dark=dark)
        assert browser.evaluate("document.documentElement.scrollWidth") == width
        assert browser.evaluate(TOO_WIDE) == []
        assert browser.evaluate(CONTRAST) == []
