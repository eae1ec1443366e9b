"""From a declaration to an incident, on real files: what is stored, folded, judged and told, and how often."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dq
from dq import app
from dq.cli import main
from dq.model.errors import DeclarationError, DqError, StoreError, UsageError
from dq.model.interval import Interval
from dq.model.severity import Outcome, Severity
from dq.project import Project
from tests.pipelines import rows_of
from tests.receivers import MAIL, ONCALL, TEAM, Receivers

TOML = """
environment = "ep_test"
[store]
url = "sqlite:///var/store.sqlite"
[datasources.live]
url = "sqlite:///live.sqlite"
"""
CHECKS = """
from dq import *
calls = []
def missed(dag, task_list, blocking_task_list, slas, blocking_tis):
    with open({notes!r}, "a") as notes:
        notes.write(f"{{dag.dag_id}}|{{task_list}}|{{slas[0].task_id}}\\n")
sla = Sla(due="06:00", on_miss=missed)
orders = Suite("orders", Table("live", "orders", partition="day"), owner="sales", sla=sla, checks=[
    Check("positive", Rows("amount > 0"), warning="1%", critical="40%"),
    Check("by org", NotNull("amount"), error=0, by=By("org")),
])
pipe = Reconciliation("pipe", by="org", to="mail", error=0, stages=[
    Stage("in", Table("live", "orders", partition="day")), Stage("out", Table("live", "shipped", partition="day"))])
"""
ROUTES = f"""{TEAM}{ONCALL}{MAIL}
[route]
channels = ["team"]
[[route.routes]]
matchers = ['severity="critical"']
channels = ["team", "oncall"]
"""
D1, D2, D3 = (Interval.of_day(f"2024-06-{day}") for day in (24, 25, 26))


def morning(interval: Interval, hour: int = 5) -> datetime:
    return interval.end + timedelta(hours=hour)


class World:
    """A project, its data and its receivers."""

    def __init__(self, root: Path, receivers: Receivers, notes: Path) -> None:
        self.root = root
        self.receivers = receivers
        self.notes = notes

    @property
    def project(self) -> Project:
        return app.open_project(self.root)

    def load(
        self, interval: Interval, amounts: list[tuple[str | None, float | None]], shipped: int | None = None
    ) -> None:
        with sqlite3.connect(self.root / "live.sqlite") as live:
            live.execute("CREATE TABLE IF NOT EXISTS orders (day TEXT, org TEXT, amount REAL)")
            live.execute("CREATE TABLE IF NOT EXISTS shipped (day TEXT, org TEXT)")
            for table in ("orders", "shipped"):
                live.execute(f"DELETE FROM {table} WHERE day = ?", (str(interval),))
            live.executemany(
                "INSERT INTO orders VALUES (?, ?, ?)", [(str(interval), org, amount) for org, amount in amounts]
            )
            live.executemany(
                "INSERT INTO shipped VALUES (?, ?)",
                [(str(interval), org) for org, _ in amounts[: len(amounts) if shipped is None else shipped]],
            )
        live.close()

    def run(
        self, name: str, interval: Interval, hour: int = 5, origin: str = "cli", **settings: bool
    ) -> dq.model.result.Run:  # type: ignore[name-defined]
        return app.run(self.project, name, interval, origin=origin, now=morning(interval, hour), **settings)

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        return rows_of(self.root, sql)

    @property
    def open_incidents(self) -> list[tuple[object, ...]]:
        return self.rows(
            "SELECT kind, subject, part, org, severity FROM dq_incident WHERE ended_at IS NULL ORDER BY id"
        )

    @property
    def told(self) -> list[str]:
        return [post["text"].splitlines()[0] for post in self.receivers.slack.posts]


@pytest.fixture
def world(make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    notes = tmp_path / "notes"
    notes.touch()
    root = make_project(TOML, {"checks/orders.py": CHECKS.format(notes=str(notes)), "alerting/routes.toml": ROUTES})
    with Receivers() as receivers:
        environment = receivers.environment("k" * 32)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        made = World(root, receivers, notes)
        made.load(D1, [("a", 1.0), ("b", 2.0)])
        yield made  # type: ignore[misc]


def test_a_good_run_is_recorded_and_tells_nobody(world: World) -> None:
    run = world.run("orders", D1)
    assert (run.ok, run.exit_code(), run.worst, run.closed_version) == (True, 0, None, run.version)
    document = json.loads(json.dumps(run.to_json()))
    assert list(document) == ["run", "environment", "suite", "kind", "interval", "exit_code", "results"]
    assert document["environment"] == "ep_test"
    assert document["interval"] == {"start": "2024-06-24T00:00:00+00:00", "end": "2024-06-25T00:00:00+00:00"}
    assert list(document["results"][0])[:10] == [
        "check",
        "group",
        "outcome",
        "severity",
        "rows",
        "violations",
        "unknown",
        "observed",
        "threshold",
        "sentence",
    ]
    assert world.open_incidents == []
    assert world.told == []
    assert app.latest_run(world.project, "orders", D1) == run


def test_severity_rises_and_falls_and_everyone_is_told_once(world: World) -> None:
    world.load(D1, [("a", 1.0), ("a", 1.0), ("a", -1.0)])
    assert world.run("orders", D1).exit_code() == 0
    assert world.told == ["🟡 EP_TEST - orders: positive fails"]
    assert world.receivers.pagerduty.open_keys == set()
    world.load(D2, [("a", -1.0), ("a", None), ("b", 1.0)])
    assert world.run("orders", D2).exit_code() == 1
    assert world.open_incidents == [("suite", "orders", "positive", "", 4), ("suite", "orders", "by org", '["a"]', 3)]
    assert world.receivers.pagerduty.open_keys == {"ep_test/suite/orders"}
    told = len(world.told)
    # The same again, and a close for nothing: no news.
    app.close(world.project, "orders", D2, "cli", now=morning(D2))
    assert len(world.told) == told
    world.load(D3, [("a", 1.0)])
    assert world.run("orders", D3).ok
    assert world.open_incidents == []
    assert world.receivers.pagerduty.open_keys == set()
    (alert,) = world.receivers.pagerduty.alerts.values()
    assert (alert.opens, alert.resolves) == (1, 1)
    assert world.told[-1].startswith("✅ EP_TEST - orders")


def test_a_back_fill_closes_nothing_that_is_newer(world: World) -> None:
    world.load(D2, [("a", -1.0)])
    world.run("orders", D2)
    before = world.open_incidents
    assert world.run("orders", D1).ok
    assert world.open_incidents == before
    assert world.receivers.pagerduty.open_keys == {"ep_test/suite/orders"}
    world.load(D2, [("a", 1.0)])
    assert world.run("orders", D2, origin="repair").ok
    assert world.open_incidents == []


def test_a_repeated_scan_makes_the_run_closable_again(world: World) -> None:
    world.load(D1, [("a", -1.0)])
    first = world.run("orders", D1)
    world.load(D1, [("a", 1.0)])
    app.scan(world.project, "orders", D1, "cli", "scan", morning(D1))
    app.scan(world.project, "orders", D1, "cli", "scan_by_org", morning(D1))
    again = app.close(world.project, "orders", D1, "cli", now=morning(D1))
    assert (again.id, again.version) == (first.id, first.version + 2)
    assert world.open_incidents == []
    assert len(world.rows("SELECT * FROM dq_event WHERE name = 'run_closed'")) == 2


def test_a_check_that_flaps_is_pending_until_it_was_measured_bad_often_enough(world: World) -> None:
    path = world.root / "checks/orders.py"
    path.write_text(path.read_text().replace('owner="sales"', 'owner="sales", for_runs="2 of 3"'))

    def pending() -> list[tuple[object, ...]]:
        return world.rows("SELECT part, severity, pending, ended FROM dq_incident WHERE kind = 'suite' ORDER BY id")

    world.load(D1, [("a", -1.0)])
    world.run("orders", D1)
    assert pending() == [("positive", 4, "1", None)]
    app.close(world.project, "orders", D1, "cli", now=morning(D1, 6))
    assert pending() == [("positive", 4, "1", None)], "a close without news"
    app.scan(world.project, "orders", D1, "cli", "scan_by_org", morning(D1, 6))
    app.close(world.project, "orders", D1, "cli", now=morning(D1, 6))
    assert pending() == [("positive", 4, "1", None)], "only another check was measured again"
    world.load(D2, [("a", 1.0)])
    world.run("orders", D2)
    assert pending() == [("positive", 4, "10", None)]
    assert world.told == [] and world.receivers.pagerduty.open_keys == set()
    app.scan(world.project, "orders", D1, "cli", "scan", morning(D1, 7))
    app.close(world.project, "orders", D1, "cli", now=morning(D1, 7))
    assert pending() == [("positive", 4, None, None)], "it was measured again, and is bad again"
    ((since,),) = world.rows("SELECT opened_at FROM dq_incident WHERE part = 'positive'")
    assert str(since).startswith("2024-06-25 05:00")
    assert len(world.told) == 1 and world.receivers.pagerduty.open_keys == {"ep_test/suite/orders"}
    world.run("orders", D2, hour=8)
    assert pending() == [("positive", 4, None, "recovered")]
    assert len(world.told) == 2 and world.receivers.pagerduty.open_keys == set()
    world.load(D3, [("a", -1.0)])
    world.run("orders", D3)
    for hour in (6, 7, 8):
        world.load(D3, [("a", 1.0)])
        world.run("orders", D3, hour=hour)
    assert [row[:3] for row in pending()[1:]] == [("positive", 4, "000")] and world.open_incidents == []
    assert len(world.told) == 2, "nobody was told of it, and nobody is told of its end"


def test_what_stands_on_something_that_is_not_well_is_blocked(world: World) -> None:
    path = world.root / "checks/orders.py"
    daily = """
table = Table("live", "orders", partition="day")
daily = Suite("daily", table, upstream="orders", by="org", checks=[Check("all", Rows("amount > 0"), error=0)])
"""
    path.write_text(path.read_text() + daily)
    world.load(D1, [("a", -1.0), ("b", -1.0), ("c", None)])
    world.run("orders", D1)
    told = list(world.told)
    assert len(told) == 1 and "orders" in told[0]
    world.run("daily", D1)
    assert world.told == told, "it is the consequence of what was told"
    labels = [json.loads(str(text)) for (text,) in world.rows("SELECT labels FROM dq_incident WHERE subject = 'daily'")]
    assert [(each["_upstream"], each["_orgs"]) for each in labels] == [('["orders"]', "3")] * 3
    path.write_text(path.read_text().replace('upstream="orders", ', ""))
    world.run("daily", D1, hour=6)
    assert world.told[-1].endswith("EP_TEST - daily: all fails for all 3 orgs")


def test_a_check_that_is_gone_ends_its_incident_once_its_file_loads_and_its_suite_ran_without_it(world: World) -> None:
    world.load(D1, [("a", 1.0), ("a", 1.0), ("a", -1.0), ("b", 1.0)])
    world.run("orders", D1)
    opened = world.open_incidents
    assert [part for _, _, part, _, _ in opened] == ["positive"]
    path = world.root / "checks/orders.py"
    without = "\n".join(line for line in path.read_text().splitlines() if 'Check("positive"' not in line)
    path.write_text(f"{without}\n1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        world.run("orders", D2)
    app.pump(world.project)
    assert world.open_incidents == opened, "a file that does not load says nothing"
    path.write_text(without)
    app.pump(world.project)
    assert world.open_incidents == opened, "nothing ran without it yet"
    world.load(D2, [("a", 1.0)])
    assert world.run("orders", D2).ok
    assert world.open_incidents == []
    assert world.rows("SELECT part, ended FROM dq_incident WHERE kind = 'suite'") == [("positive", "vanished")]


def test_nothing_is_stored_or_told_unless_asked(world: World) -> None:
    world.load(D1, [("a", -1.0)])
    run = dq.run("orders", "2024-06-24", project=world.root)
    assert not run.ok
    assert not (world.root / "var").exists()
    assert world.told == []
    stored = dq.run("orders", "2024-06-24", project=world.root, store=True)
    assert stored.id
    assert world.open_incidents == []
    app.pump(world.project)
    assert world.told == []


def test_a_declaration_runs_without_a_project(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = dq.Suite("s", dq.Table("x", "orders", partition="day"), checks=[dq.Check("c", dq.Rows("amount > 0"))])
    assert dq.run(suite, "2024-06-24", datasources={"x": f"sqlite:///{world.root}/live.sqlite"}).ok
    with pytest.raises(UsageError, match=r"there is no dq.toml"):
        dq.run(suite, "2024-06-24")
    pipe = dq.Reconciliation(
        "p",
        by="org",
        stages=[
            dq.Stage("in", dq.Table("x", "orders", partition="day")),
            dq.Stage("out", dq.Table("x", "shipped", partition="day")),
        ],
    )
    ledger = dq.reconcile(pipe, "2024-06-24", to="2024-06-25", datasources={"x": f"sqlite:///{world.root}/live.sqlite"})
    assert [str(row.interval) for row in ledger.rows] == ["2024-06-24", "2024-06-24"]


def test_a_partition_without_rows_is_no_pass_and_late(world: World) -> None:
    run = world.run("orders", D2, hour=5)
    assert {r.outcome for r in run.summaries} == {Outcome.NO_DATA}
    assert world.notes.read_text() == ""
    run = world.run("orders", D2, hour=7, origin="again")
    assert run.exit_code() == 1
    assert world.notes.read_text() == "orders|orders on 2024-06-25T00:00:00+00:00|orders\n"
    assert world.receivers.pagerduty.open_keys == {"ep_test/suite/orders", "ep_test/sla/orders"}
    world.load(D2, [("a", 1.0)])
    assert world.run("orders", D2, hour=9, origin="third").ok
    assert world.receivers.pagerduty.open_keys == set()
    assert all((a.opens, a.resolves) == (1, 1) for a in world.receivers.pagerduty.alerts.values())
    assert len(world.notes.read_text().splitlines()) == 1


def test_a_miss_is_found_without_a_run_and_resolved_by_one(world: World) -> None:
    (never,) = app.sla_check(world.project, morning(D1, 7))
    assert (never.answer, never.expectation.interval, never.late) == ("never_started", D1, timedelta(hours=1))
    assert world.receivers.pagerduty.open_keys == {"ep_test/sla/orders"}
    app.sla_check(world.project, morning(D1, 8))
    world.run("orders", D1, hour=9)
    assert world.receivers.pagerduty.open_keys == set()
    assert [v.answer for v in app.sla_check(world.project, morning(D2, 5))] == ["pending"]
    assert [v.answer for v in app.sla_check(world.project, morning(D2, 7))] == ["never_started"]
    assert world.receivers.pagerduty.open_keys == {"ep_test/sla/orders"}
    (alert,) = world.receivers.pagerduty.alerts.values()
    assert (alert.opens, alert.resolves) == (2, 1)
    assert len(world.notes.read_text().splitlines()) == 2


def test_a_miss_that_is_over_when_it_is_noticed_is_told_once_and_pages_nobody(world: World) -> None:
    world.run("orders", D1, hour=8)
    assert world.rows("SELECT ended FROM dq_incident WHERE kind = 'sla'") == [("recovered_untold",)]
    assert world.receivers.pagerduty.events == []
    assert len(world.told) == 1
    app.pump(world.project)
    assert len(world.told) == 1


def test_the_discrepancy_mail_is_sent_once_per_version_of_the_run(world: World) -> None:
    world.load(D1, [("a", 1.0), ("b", 2.0)], shipped=1)
    assert world.run("pipe", D1).exit_code() == 1
    app.close(world.project, "pipe", D1, "cli", now=morning(D1))
    (mail,) = world.receivers.smtp.messages
    assert mail["Subject"] == "ep_test - pipe - 2024-06-24: 1 of 2 orgs differs (error)"
    assert app.report(world.project, "pipe", D1).subject == mail["Subject"]
    run, ledger = app.reconcile(world.project, "pipe", Interval(D1.start, D2.end), now=morning(D2))
    assert len(ledger.rows) == 2
    assert run.exit_code() == 1
    assert [row[1] for row in world.open_incidents] == ["pipe"]
    assert run.kind == "look_back"
    assert len(world.receivers.smtp.messages) == 1
    assert len(world.rows("SELECT * FROM dq_observation")) == 1
    app.send_report(world.project, "pipe", D1)
    assert [m["Subject"] for m in world.receivers.smtp.messages].count(mail["Subject"]) == 2


@pytest.mark.parametrize(("owner", "others"), [("", True), ("billing", False)])
def test_the_discrepancy_mail_says_how_promises_were_kept_of_its_owner_or_of_all(
    world: World, owner: str, others: bool
) -> None:
    declared = f'sla=Sla(due="06:00", on_time="90%"), owner={owner!r}, by="org", to="mail"'
    checks = world.root / "checks" / "orders.py"
    checks.write_text(checks.read_text().replace('by="org", to="mail"', declared))
    world.load(D1, [("a", 1.0), ("b", 2.0)])
    world.run("orders", D1, hour=5)
    world.run("pipe", D1, hour=8)
    (mail,) = world.receivers.smtp.messages
    texts = [part for part in mail.walk() if part.get_content_maintype() == "text"]
    parts = {part.get_content_type(): part.get_content() for part in texts}
    kept = "1 of 2 promises kept in 28 days" if others else "0 of 1 promises kept in 28 days"
    for part in parts.values():
        assert "Promises kept" in part
        assert kept in part
        assert ("orders" in part.partition("Promises kept")[2]) is others
    assert app.report(world.project, "pipe", D1).text.count("Promises kept") == 1


def test_what_promises_nothing_is_mailed_without_promises(world: World) -> None:
    checks = world.root / "checks" / "orders.py"
    checks.write_text(checks.read_text().replace(" sla=sla,", ""))
    world.load(D1, [("a", 1.0)])
    world.run("pipe", D1)
    (mail,) = world.receivers.smtp.messages
    assert "Promises kept" not in str(mail)


def test_what_is_open_of_an_org_stays_open_while_it_is_too_small_and_belongs_to_its_owner(world: World) -> None:
    checks = world.root / "checks" / "orders.py"
    by = 'By("org", min_rows=3, owners={"a": "ann"})'
    checks.write_text(checks.read_text().replace('by="org", to="mail"', f"by={by}"))
    world.load(D1, [("b", 1.0)] * 3 + [("a", 1.0)] * 3, shipped=3)
    world.run("pipe", D1)
    is_open = "SELECT count(*) FROM dq_incident WHERE subject = 'pipe' AND org <> '' AND ended_at IS NULL"
    assert world.rows(is_open) == [(1,)]
    ((labels,),) = world.rows("SELECT labels FROM dq_incident WHERE subject = 'pipe' AND org <> ''")
    assert json.loads(str(labels))["owner"] == "ann"
    world.load(D2, [("b", 1.0)] * 3 + [("a", 1.0)] * 2, shipped=3)
    assert world.run("pipe", D2).ok
    assert world.rows(is_open) == [(1,)], "nothing was said of it"
    world.load(D3, [("b", 1.0)] * 3 + [("a", 1.0)] * 3)
    world.run("pipe", D3)
    assert world.rows(is_open) == [(0,)]


def test_what_is_in_a_dead_letter_table_is_told_with_a_sample_until_a_good_run(world: World) -> None:
    checks = world.root / "checks" / "orders.py"
    lost = """explained=[Explained("dead letters", sample="the error", error=0,
        counted=Stage("dead", Table("live", "dead letters", partition="day")))], by="org", to="mail\""""
    checks.write_text(checks.read_text().replace('by="org", to="mail"', lost))
    with sqlite3.connect(world.root / "live.sqlite") as live:
        live.execute('CREATE TABLE "dead letters" (day TEXT, org TEXT, "the error" TEXT)')
        live.execute("INSERT INTO \"dead letters\" VALUES ('2024-06-24', 'a', 'ValueError: <b>no</b> country')")
    live.close()
    world.load(D1, [("b", 1.0), ("a", 1.0)], shipped=1)
    world.run("pipe", D1)
    (post,) = world.receivers.slack.posts
    sentence = "1 record is lost; more than the 0 records that error allows; for example: ValueError: "
    assert sentence in json.dumps(post)
    sample = "ValueError: &lt;b&gt;no&lt;/b&gt; country"
    assert world.told == [f"\N{LARGE ORANGE CIRCLE} EP_TEST - pipe: completed with 1 dead letters: {sample}"]
    (mail,) = world.receivers.smtp.messages
    html, text = (mail.get_body((kind,)).get_content() for kind in ("html", "plain"))
    assert "dead letters: 1; for example: ValueError: &lt;b&gt;no&lt;/b&gt; country" in html
    assert "- dead letters: 1; for example: ValueError: <b>no</b> country" in text
    world.load(D2, [("b", 1.0)])
    world.run("pipe", D2)
    assert world.open_incidents == []


def test_why_orgs_differ_is_found_out_by_counting_the_days_around(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for interval in (D1, D2, D3):
        world.load(interval, [("a", 1.0)] * 40 + [("b", 1.0)] * 30 + [("c", 1.0)] * 20)
    world.run("pipe", D2)
    with sqlite3.connect(world.root / "live.sqlite") as live:
        moved = "SELECT rowid FROM shipped WHERE day = ? AND org = 'a' LIMIT 15"
        live.execute(f"UPDATE shipped SET org = 'b' WHERE rowid IN ({moved})", (str(D2),))
        live.executemany("INSERT INTO orders VALUES (?, 'c', 1.0)", [(str(D2),)] * 11)
    live.close()
    monkeypatch.setenv("DQ_NOW", morning(D3).isoformat())
    command = ["reconcile", "pipe", "--date", str(D2), "--why", "--no-alert", "--project", str(world.root)]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--no-store", "--json"])
    assert ended.value.code == 1
    document = json.loads(capsys.readouterr().out)
    why = {one["org"]["org"]: (one["missing"], one["kind"], one["other_org"]) for one in document["why"]}
    assert why == {
        "a": (15, "re-keyed", {"org": "b"}),
        "b": (-15, "re-keyed", {"org": "a"}),
        "c": (11, "restated", None),
    }
    assert {(one["from"], one["to"]) for one in document["why"]} == {("in", "out")}
    with pytest.raises(SystemExit):
        main(command)
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "a in to out 15 missing re-keyed to b 2024-06-25 2 of 3" in said
    assert "b in to out 15 too many re-keyed from a 2024-06-25 only this one of 3" in said
    for origin in ("cli", "airflow:again"):  # what is known of the time when all was well outlives other comparisons
        world.run("pipe", D2, origin=origin)
        found = {one.difference.org.label: str(one.kind) for one in app.why(world.project, "pipe", D2, morning(D3))}
        assert found == {"a": "re-keyed", "b": "re-keyed", "c": "restated"}
    with pytest.raises(UsageError, match="is no day"):
        app.why(world.project, "pipe", Interval(D1.start, D2.end))


def test_a_partition_may_be_longer_than_a_day(world: World) -> None:
    """What a weekly DAG reconciles is one partition, told like any other; only a look back is not."""
    world.load(D1, [("a", 1.0), ("b", 2.0)], shipped=1)
    week = Interval(D1.start, D1.start + timedelta(days=7))
    run = app.run(world.project, "pipe", week, origin="airflow:weekly:r", now=morning(week))
    assert (run.kind, run.exit_code()) == ("reconciliation", 1)
    assert [row[1] for row in world.open_incidents] == ["pipe"]
    (mail,) = world.receivers.smtp.messages
    assert "1 of 2 orgs differs" in mail["Subject"]


def test_what_could_not_be_measured_is_told_as_that(world: World) -> None:
    (world.root / "live.sqlite").rename(world.root / "gone.sqlite")
    run = world.run("orders", D1)
    assert run.exit_code() == 3
    assert {r.outcome for r in run.results} == {Outcome.UNMEASURED}
    assert world.receivers.pagerduty.open_keys == {"ep_test/suite/orders"}
    (world.root / "gone.sqlite").rename(world.root / "live.sqlite")
    assert world.run("orders", D1, origin="again").ok
    assert world.receivers.pagerduty.open_keys == set()


def airflow(
    world: World, states: dict[str, str], *, scans: tuple[str, ...] = (), due: bool | None = None
) -> dq.model.result.Run:  # type: ignore[name-defined]
    if due is not None:
        assert app.due(world.project, "orders", D1, "airflow:d:r", morning(D1), wanted=due) is due
    for scan in scans:
        app.scan(world.project, "orders", D1, "airflow:d:r", scan, morning(D1))
    return app.close(world.project, "orders", D1, "airflow:d:r", states=states, now=morning(D1))


def test_close_reads_the_states_of_scans_that_recorded_nothing(world: World) -> None:
    skipped = airflow(world, {"scan": "skipped", "scan_by_org": "skipped"}, due=False)
    assert (skipped.results, skipped.closed_version) == ((), None)
    assert app.gate(world.project, "orders", D1, "airflow:d:r", Severity.ERROR)
    upstream = airflow(world, {"scan": "upstream_failed", "scan_by_org": "upstream_failed"}, due=None)
    assert upstream.results == ()
    assert app.due(world.project, "orders", D1, "airflow:d:r", morning(D1))
    failed = airflow(world, {"scan": "failed", "scan_by_org": "upstream_failed"})
    assert {(r.check, r.outcome) for r in failed.results} == {
        ("positive", Outcome.UNMEASURED),
        ("by org", Outcome.UNMEASURED),
    }
    assert not app.gate(world.project, "orders", D1, "airflow:d:r", Severity.ERROR)
    mended = airflow(world, {"scan": "success", "scan_by_org": "success"}, scans=("scan", "scan_by_org"))
    assert mended.ok
    assert world.open_incidents == []


def test_checks_may_be_measured_one_by_one_and_are_recorded_once(world: World) -> None:
    def recorded() -> dict[str, Outcome]:
        run = app.latest_run(world.project, "orders", D1)
        assert run is not None
        names = [r.check for r in run.results if r.group is None]
        assert sorted(names) == ["by org", "positive"], "each of them once"
        return {r.check: r.outcome for r in run.results if r.group is None}

    airflow(world, {"check_positive": "success", "check_by_org": "failed"}, scans=("check_positive",))
    assert recorded() == {"positive": Outcome.PASS, "by org": Outcome.UNMEASURED}
    airflow(world, {"scan": "success", "scan_by_org": "success"}, scans=("scan", "scan_by_org"))
    assert recorded() == {"positive": Outcome.PASS, "by org": Outcome.PASS}
    airflow(world, {"check_positive": "upstream_failed", "check_by_org": "upstream_failed"})
    assert recorded() == {"positive": Outcome.UNMEASURED, "by org": Outcome.UNMEASURED}


def test_what_was_measured_before_a_run_fell_silent_is_kept_however_it_was_divided(world: World) -> None:
    app.scan(world.project, "orders", D1, "airflow:d:r", "check_positive", morning(D1))
    run = airflow(world, {"scan": "abandoned", "scan_by_org": "abandoned"})
    assert {r.check: r.outcome for r in run.results} == {"positive": Outcome.PASS, "by org": Outcome.UNMEASURED}


def test_one_of_so_many_runs_is_due_and_keeps_its_answer(world: World) -> None:
    def asked(number: int) -> bool:
        at = morning(D1) + timedelta(hours=number)
        app.due(world.project, "orders", D1, f"another_dag:{number}", at)
        return app.due(world.project, "orders", D1, f"a_dag:{number}", at, every_nth=3, among="a_dag:")

    assert [asked(number) for number in range(7)] == [True, False, False, True, False, False, True]
    assert [asked(number) for number in (3, 4, 0)] == [True, False, True], "asked again"


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT count(*) > 0 FROM orders WHERE day = '{{ ds }}'", True),
        ("SELECT count(*) FROM orders WHERE day = '2001-01-01'", False),
        ("SELECT 1 FROM orders WHERE day = '2001-01-01'", False),
        ("SELECT NULL", False),
        ("SELECT 'yes'", True),
    ],
)
def test_a_query_is_asked(world: World, sql: str, answer: bool) -> None:
    assert app.holds(world.project, "live", sql, D1) is answer


@pytest.mark.parametrize(
    ("datasource", "sql", "said"),
    [
        ("live", "DELETE FROM orders", "SELECT"),
        ("live", "SELECT 1, 2", "2 columns instead of one value"),
        ("live", "SELECT day FROM orders", "several rows instead of one value"),
        ("live", "SELECT nothing FROM orders", "nothing"),
        ("lve", "SELECT 1", "lve"),
        ("live", "SELECT {{ no }}", "no"),
    ],
)
def test_what_cannot_be_asked(world: World, datasource: str, sql: str, said: str) -> None:
    with pytest.raises(DqError, match=re.escape(said)):
        app.holds(world.project, datasource, sql, D1)


def test_what_is_not_known_to_be_good(world: World) -> None:
    def why() -> str:
        return app.why_not_good(world.project, "orders", D1, Severity.ERROR) or ""

    assert why() == "orders 2024-06-24 was not checked"
    app.scan(world.project, "orders", D1, "airflow:d:r", "scan", morning(D1))
    assert why().startswith("orders 2024-06-24 is being checked, and its run is not closed")
    airflow(world, {"scan": "success", "scan_by_org": "success"}, scans=("scan_by_org",))
    assert why() == ""
    airflow(world, {"scan": "success", "scan_by_org": "upstream_failed"})
    assert why().startswith("orders 2024-06-24 is not good: by org: could not be measured")
    with pytest.raises(UsageError, match="oders"):
        app.why_not_good(world.project, "oders", D1, Severity.ERROR)


def test_a_failed_extract_is_told_without_a_record_of_should_run(world: World) -> None:
    run = airflow(world, {"scan": "upstream_failed", "scan_by_org": "upstream_failed"})
    assert run.exit_code() == 3
    assert world.rows("SELECT state FROM dq_observation") == [("failed",)]


def test_the_gate_does_not_open_on_silence(world: World) -> None:
    with pytest.raises(StoreError, match="recorded no results"):
        app.gate(world.project, "orders", D1, "airflow:d:other", Severity.ERROR)
    world.load(D1, [("a", 1.0), ("a", 1.0), ("a", -1.0)])
    world.run("orders", D1)
    assert app.gate(world.project, "orders", D1, "cli", Severity.ERROR)
    assert not app.gate(world.project, "orders", D1, "cli", Severity.WARNING)


def test_every_says_when_a_suite_is_due(world: World) -> None:
    path = world.root / "checks/orders.py"
    path.write_text(path.read_text().replace('owner="sales"', 'owner="sales", every="2h"'))
    project = world.project
    begin = morning(D1)
    assert app.due(project, "orders", D1, "first", begin)
    app.run(project, "orders", D1, origin="first", now=begin)
    assert not app.due(project, "orders", D1, "second", begin + timedelta(minutes=90))
    assert app.due(project, "orders", D1, "first", begin + timedelta(minutes=90))
    assert app.due(project, "orders", D1, "third", begin + timedelta(hours=2) - timedelta(seconds=30))


def test_lookback_checks_earlier_partitions_again(world: World) -> None:
    path = world.root / "checks/orders.py"
    path.write_text(path.read_text().replace('owner="sales"', 'owner="sales", lookback=2'))
    assert app.partitions(world.project, "orders", D3) == (D1, D2, D3)


def test_a_run_that_nobody_closed_is_closed_by_the_pump(world: World) -> None:
    world.load(D1, [("a", -1.0)])
    app.scan(world.project, "orders", D1, "airflow:d:r", "scan", datetime.now(UTC) - timedelta(hours=1))
    app.pump(world.project)
    assert world.open_incidents == []
    app.scan(world.project, "orders", D1, "airflow:d:r2", "scan", datetime.now(UTC) - timedelta(hours=3))
    app.pump(world.project)
    found = "SELECT part, outcome FROM dq_incident WHERE kind = 'suite' ORDER BY id"
    assert world.rows(found) == [("positive", "fail"), ("by org", "unmeasured")], "what nobody measured is not well"


@pytest.mark.parametrize(
    "predicate", ["amount > 0; DROP TABLE orders", "amount + 1", "amount > (SELECT 1)", "amount > {{ nothing }}"]
)
def test_a_predicate_that_is_not_one_boolean_expression_is_refused_with_its_place(world: World, predicate: str) -> None:
    path = world.root / "checks/orders.py"
    path.write_text(path.read_text().replace("amount > 0", predicate))
    with pytest.raises(DeclarationError) as refused:
        app.run(world.project, "orders", D1)
    assert str(refused.value).startswith("checks/orders.py: suite 'orders', check 'positive': ")
    assert [p.sentence for p in app.lint(world.project) if p.level == "error"] == [str(refused.value)]


def test_lint_warns_of_what_may_surprise_and_knows_the_channels(world: World) -> None:
    sentences = [p.sentence for p in app.lint(world.project)]
    assert any("check 'by org': By has no expected=, so absent orgs are invisible" in s for s in sentences)
    path = world.root / "checks/orders.py"
    path.write_text(
        path.read_text()
        .replace('to="mail"', 'to="post"')
        .replace('owner="sales"', 'owner="sales", notify={"critical": ["pigeon"]}')
    )
    errors = [p.sentence for p in app.lint(world.project) if p.level == "error"]
    assert any("pigeon" in s for s in errors)
    assert any("to= names the channel 'post'" in s for s in errors)


def test_doctor_looks_at_every_part_and_shows_no_secret(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {f.state for f in app.doctor(world.project)} == {"ok"}
    monkeypatch.delenv("SLACK_WEBHOOK")
    monkeypatch.setenv("PAGER_KEY", "tooshort-secret")
    (world.root / "live.sqlite").unlink()
    monkeypatch.setenv("DQ_NOW", "2024-06-25T06:00:00+00:00")
    found = {f.what: (f.state, f.sentence) for f in app.doctor(world.project)}
    assert {what: state for what, (state, _) in found.items()} == {
        "project": "ok",
        "clock": "warn",
        "store": "ok",
        "datasource live": "broken",
        "channel team": "broken",
        "channel oncall": "broken",
        "channel mail": "ok",
    }
    assert "tooshort-secret" not in str(found)


def test_the_replay_clock_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DQ_NOW", "2024-06-25T06:00:00+02:00")
    assert app.judgement_time() == datetime(2024, 6, 25, 4, tzinfo=UTC)
    for wrong in ("yesterday", "2024-06-25T06:00:00", "0001-01-01T00:00:00+05:00"):
        monkeypatch.setenv("DQ_NOW", wrong)
        with pytest.raises(UsageError, match="is not an ISO time with a zone"):
            app.judgement_time()


def test_a_refused_routes_file_costs_no_result(world: World) -> None:
    (world.root / "alerting/routes.toml").write_text("[channels.team]\ntype = 'slack'\nwebhok = 'env:X'\n")
    world.load(D1, [("a", -1.0)])
    assert world.run("orders", D1).exit_code() == 1
    assert len(world.open_incidents) == 1
    (world.root / "alerting/routes.toml").write_text(ROUTES)
    app.pump(world.project)
    assert world.receivers.pagerduty.open_keys == {"ep_test/suite/orders"}


def test_known_violations_are_a_ratchet_in_the_store(world: World) -> None:
    path = world.root / "checks/known.py"
    path.write_text(
        "from dq import Check, Rows, ShowRows, Suite, Table\n"
        "known = Suite('known', Table('live', 'orders', partition='day', key='org'), checks=[\n"
        "    Check('positive', Rows('amount > 0'), known=2, show=ShowRows('amount')),\n"
        "])\n"
    )
    bad = [("a", -1.0), ("b", -2.0), ("c", -3.0)]
    outcomes = {}
    for day, sins in ((D1, 2), (D2, 1), (D3, 2)):
        world.load(day, [*bad[:sins], ("z", 1.0)])
        outcomes[day] = world.run("known", day).results[0]
    assert [r.outcome.value for r in outcomes.values()] == ["pass", "pass", "fail"], "what was mended stays mended"
    assert [r.violations for r in outcomes.values()] == [2, 1, 2]
    stored = app.latest_run(world.project, "known", D3)
    assert stored is not None and stored.results[0].failing is not None
    assert sorted(stored.results[0].failing.rows) == [("a", -1.0), ("b", -2.0)]
    assert not any("-2.0" in json.dumps(post) for post in world.receivers.slack.posts), "rows are never told in a chat"
