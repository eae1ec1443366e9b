"""The command line: the installed ``dq`` on real SQLite and DuckDB files, and what its help texts teach."""

from __future__ import annotations

import itertools
import json
import os
import pty
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from email import message_from_bytes, policy
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner

from dq.cli.entry import cli
from dq.cli.measure import worst
from dq.cli.reference import commands, reference

DQ = Path(sys.executable).with_name("dq")
ROOT = Path(__file__).parents[1]

TOML = """
environment = "test"
[store]
url = "sqlite:///var/dq.sqlite"
[datasources.shop]
url = "sqlite:///var/shop.sqlite"
[datasources.lake]
url = "duckdb:///var/lake.duckdb"
"""

SUITES = """
from dq import Check, Rows, RowCount, Sla, Suite, Table, at_least

orders = Suite(
    "orders",
    Table("shop", "orders", partition="created_at", key="order_id"),
    sla=Sla(due="06:00"),
    checks=[
        Check("amount is positive", Rows("amount > 0"), warning=0, critical=1),
        Check("enough rows", RowCount(), critical=at_least(1)),
    ],
)
refunds = Suite(
    "refunds",
    Table("shop", "refunds", partition="created_at"),
    checks=[Check("amount is positive", Rows("amount > 0"))],
)
"""

PIPELINE = """
from dq import Explained, Reconciliation, Stage, Table

pipeline = Reconciliation(
    "pipeline",
    by="org_id",
    pipeline="Shop to lake",
    stages=[
        Stage("shop", Table("shop", "messages", partition="day"), measure="sum(msgs)"),
        Stage("lake", Table("lake", "messages", partition="day"), measure="sum(msgs)"),
    ],
    explained=[Explained("Skipped", derived=("shop", "lake"), stages=("shop",))],
    error="10%",
)
"""

# Per day: how many rows, and how many of them have a negative amount.
ORDERS = {"2026-11-17": (5, 2), "2026-11-18": (5, 0), "2026-11-19": (5, 1), "2026-11-20": (5, 0)}
MESSAGES = [
    ("2026-11-19", 1, 100, 100),
    ("2026-11-20", 1, 100, 100),
    ("2026-11-20", 2, 50, 20),
    ("2026-11-20", 14, 7, 7),
]

Dq = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project(make_project: Callable[..., Path]) -> Path:
    """A project with a SQLite and a DuckDB file."""
    root = make_project(TOML, {"checks/shop.py": SUITES, "reports/pipeline.py": PIPELINE})
    (root / "var").mkdir()
    with sqlite3.connect(root / "var/shop.sqlite") as shop:
        shop.execute("CREATE TABLE orders (order_id INTEGER, created_at TEXT, amount INTEGER)")
        shop.execute("CREATE TABLE messages (day TEXT, org_id INTEGER, msgs INTEGER)")
        for day, (rows, bad) in ORDERS.items():
            amounts = [-1] * bad + [10] * (rows - bad)
            shop.executemany("INSERT INTO orders VALUES (1, ?, ?)", [(f"{day} 12:00:00", amount) for amount in amounts])
        shop.executemany("INSERT INTO messages VALUES (?, ?, ?)", [(f"{d} 00:00:00", o, n) for d, o, n, _ in MESSAGES])
    shop.close()
    with duckdb.connect(root / "var/lake.duckdb") as lake:
        lake.execute("CREATE TABLE messages (day TIMESTAMP, org_id INTEGER, msgs INTEGER)")
        lake.executemany("INSERT INTO messages VALUES (?, ?, ?)", [(d, o, n) for d, o, _, n in MESSAGES])
    return root


@pytest.fixture
def dq(project: Path) -> Dq:
    """Run the installed command in the project: ``dq("run", "orders", DQ_NOW="...")``."""

    def run(*args: object, cwd: Path = project, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [DQ, *map(str, args)],
            cwd=cwd,
            env=env(environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def env(extra: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, "DQ_NOW": "2026-11-21T05:00:00+00:00", **extra}


def mend(project: Path) -> None:
    with sqlite3.connect(project / "var/shop.sqlite") as shop:
        shop.execute("UPDATE orders SET amount = 10")
    shop.close()


def one_line(text: str) -> str:
    assert text.startswith("dq: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text.removeprefix("dq: ").strip()


# --- what the help texts teach -----------------------------------------------------------------------------------

ALL = [(path, command) for path, command, _ in commands(cli, None, "dq")]


@pytest.mark.parametrize(("path", "command"), ALL, ids=[path for path, _ in ALL])
def test_every_command_teaches(path: str, command: object) -> None:
    result = CliRunner().invoke(cli, [*path.split()[1:], "--help"])
    assert result.exit_code == 0
    purpose = result.output.split("\n\n")[1].strip()
    assert purpose[0].isupper()
    assert purpose.rstrip(".") != purpose
    if hasattr(command, "commands") and path != "dq":
        assert "Commands:" in result.output
        return
    assert f"Examples:\n    {path} " in result.output or f"Examples:\n    {path}\n" in result.output
    assert "Exit codes:\n    0  " in result.output
    assert path in {"dq", "dq init"} or "--project PATH" in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines())


def test_the_commands_are_those_that_are_promised() -> None:
    assert {path for path, _ in ALL} == {
        "dq", "dq init", "dq lint", "dq explain", "dq run", "dq reconcile", "dq report", "dq history", "dq sla",
        "dq sla check", "dq sla status", "dq sla report", "dq sla excuse", "dq sla excuses", "dq sla unexcuse",
        "dq status", "dq watch",
        "dq alerts", "dq alerts ack", "dq alerts unack", "dq alerts silence", "dq alerts silence add",
        "dq alerts silence list", "dq alerts silence expire", "dq alerts outbox", "dq alerts retry", "dq alerts drop",
        "dq alerts test-route", "dq alerts selftest", "dq alerts pump", "dq alerts digest", "dq announce",
        "dq db", "dq db upgrade", "dq doctor", "dq suggest", "dq selfcheck",
        "dq backtest", "dq reference", "dq reference list", "dq reference show", "dq reference record",
        "dq reference remove", "dq accept", "dq accept add", "dq accept list", "dq accept end",
        "dq deploys", "dq deploys add", "dq deploys list", "dq deploys import-tags",
    }  # fmt: skip


def test_the_reference_is_up_to_date() -> None:
    assert (ROOT / "docs/cli.md").read_text(encoding="utf-8") == reference(), (
        "run: python -m dq.cli.reference > docs/cli.md"
    )


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom dq.cli import main\n"
        "try: main(['run', '--help'])\nexcept SystemExit as end: assert end.code == 0, end.code\n"
        "heavy = {'sqlalchemy', 'sqlglot', 'rich', 'jinja2', 'alembic', 'requests', 'cattrs'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(dq: Dq) -> None:
    assert re.fullmatch(r"dq, version \d+\.\d+\.\d+\S*\n", dq("--version").stdout)


# --- wrong use ---------------------------------------------------------------------------------------------------

WRONG = {
    "a command that is not there": (["rum"], "No such command 'rum'"),
    "an option that is not there": (["run", "orders", "--dat", "2026-11-20"], "--dat"),
    "nothing to run": (["run"], "Name what to run"),
    "names and --all": (["run", "orders", "--all"], "not both"),
    "no date": (["run", "orders", "--date", "20.11.2026"], "write it like"),
    "a day that is not there": (["run", "orders", "--date", "2026-02-30"], "write it like"),
    "--date with --from": (["run", "orders", "--date", "2026-11-20", "--from", "2026-11-01"], "give one of them"),
    "--to without --from": (["run", "orders", "--to", "2026-11-20"], "--to needs --from"),
    "--from after --to": (["run", "orders", "--from", "2026-11-20", "--to", "2026-11-19"], "is after"),
    "--from after yesterday": (["run", "orders", "--from", "2026-11-21"], "is after yesterday, 2026-11-20"),
    "--only-bad of one day": (["run", "orders", "--only-bad"], "--from"),
    "a severity that is not there": (["run", "orders", "--stop-at", "fatal"], "fatal"),
    "a suite that is not there": (["run", "order"], "did you mean 'orders'"),
    "one of two that is not there": (["run", "orders", "nope"], "'nope'"),
    "explain nothing": (["explain"], "Missing argument"),
    "explain what is not there": (["explain", "nope"], "'nope'"),
    "reconcile nothing": (["reconcile"], "Missing argument"),
    "reconcile a suite": (["reconcile", "orders"], "orders"),
    "report a suite": (["report", "orders"], "orders"),
    "report what was not run": (["report", "pipeline"], "no stored run"),
    "two in one file": (["reconcile", "pipeline", "x", "--eml", "x.eml"], "name one reconciliation"),
    "history of what is not there": (["history", "nope"], "'nope'"),
    "a limit of nothing": (["history", "--limit", "0"], "--limit"),
    "a pause that is no duration": (["alerts", "pump", "--watch", "--every", "often"], "not a duration"),
    "half a command": (["sla"], "Missing command"),
    "a project that is not there": (["lint", "--project", "nowhere"], "nowhere"),
    "init twice": (["init", "."], "is a dq project already"),
}


@pytest.mark.parametrize(("args", "words"), WRONG.values(), ids=WRONG)
def test_wrong_use_is_told_in_one_line(dq: Dq, args: list[str], words: str) -> None:
    done = dq(*args)
    assert words in one_line(done.stderr)
    assert (done.returncode, done.stdout) == (2, "")


def test_no_project(dq: Dq, tmp_path: Path) -> None:
    done = dq("run", "orders", cwd=tmp_path)
    assert done.returncode == 2
    assert "`dq init`" in one_line(done.stderr)


def test_a_clock_that_is_no_time(dq: Dq) -> None:
    done = dq("run", "orders", DQ_NOW="yesterday")
    assert done.returncode == 2
    assert "DQ_NOW" in one_line(done.stderr)


def test_bare_dq_shows_its_help(dq: Dq) -> None:
    done = dq()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Exit codes:" in done.stderr


# --- run ---------------------------------------------------------------------------------------------------------


def test_a_good_day_by_default_yesterday(dq: Dq) -> None:
    done = dq("run", "orders")
    assert done.returncode == 0, done.stderr
    assert "orders 2026-11-20 (test): good" in done.stdout
    assert re.search(r"^amount is positive +pass ", done.stdout, re.MULTILINE)
    assert done.stderr.startswith("orders 2026-11-20: good (")


@pytest.mark.parametrize(
    ("day", "stop_at", "code"),
    [
        ("2026-11-17", "error", 1),  # two negative amounts: critical
        ("2026-11-17", "critical", 1),
        ("2026-11-19", "error", 0),  # one: a warning
        ("2026-11-19", "warning", 1),
        ("2026-11-18", "info", 0),
        ("2026-11-16", "critical", 1),  # no rows at all
    ],
)
def test_stop_at_decides(dq: Dq, day: str, stop_at: str, code: int) -> None:
    done = dq("run", "orders", "--date", day, "--stop-at", stop_at, "--json")
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["exit_code"] == code


@pytest.mark.slow
def test_the_rows_that_broke_a_check_are_named_and_the_others_counted(dq: Dq, project: Path) -> None:
    said = dq("run", "orders", "--date", "2026-11-17").stdout
    assert "rows of 'amount is positive', by order_id: 1; 1\n" in said
    declared = project / "checks/shop.py"
    for most, told in ((1, "by order_id: 1; and 1 more\n"), (0, "")):
        shown = SUITES.replace("critical=1),", f"critical=1, show=ShowRows(most={most})),", 1)
        declared.write_text(shown.replace("import Check", "import ShowRows, Check"), encoding="utf-8")
        found = dq("run", "orders", "--date", "2026-11-17", "--json").stdout
        assert json.loads(found)["results"][0]["failing"]["query"].startswith("SELECT `order_id` FROM `orders`")
        said = dq("run", "orders", "--date", "2026-11-17").stdout
        assert told in said and ("rows of" in said) is bool(told)


def test_the_json_document_of_one_run(dq: Dq) -> None:
    document = json.loads(dq("run", "orders", "--date", "2026-11-17", "--json").stdout)
    assert list(document) == ["run", "environment", "suite", "kind", "interval", "exit_code", "results"]
    assert document["environment"] == "test"
    assert (document["suite"], document["kind"]) == ("orders", "suite")
    assert document["interval"] == {"start": "2026-11-17T00:00:00+00:00", "end": "2026-11-18T00:00:00+00:00"}
    bad, good = document["results"]
    fields = [
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
    assert list(bad) == [*fields, "failing"] and list(good) == fields
    assert bad["failing"]["columns"] == ["order_id"] and bad["failing"]["rows"] == [[1], [1]]
    assert {k: bad[k] for k in fields[:7]} == {
        "check": "amount is positive", "group": None, "outcome": "fail", "severity": "critical", "rows": 5,
        "violations": 2, "unknown": 0,
    }  # fmt: skip
    assert (good["outcome"], good["observed"]) == ("pass", 5)


def test_the_json_document_of_several_runs(dq: Dq) -> None:
    done = dq("run", "orders", "--from", "2026-11-17", "--to", "2026-11-19", "--json")
    document = json.loads(done.stdout)
    assert list(document) == ["exit_code", "runs"]
    assert document["exit_code"] == done.returncode == 1
    assert [(run["interval"]["start"][:10], run["exit_code"]) for run in document["runs"]] == [
        ("2026-11-17", 1), ("2026-11-18", 0), ("2026-11-19", 0),
    ]  # fmt: skip
    assert list(json.loads(dq("run", "orders", "--from", "2026-11-20", "--json").stdout)) == ["exit_code", "runs"]


def test_what_cannot_be_measured_outranks_what_fails(dq: Dq) -> None:
    done = dq("run", "orders", "refunds", "--date", "2026-11-17", "--json")
    assert done.returncode == 3
    orders, refunds = json.loads(done.stdout)["runs"]
    assert (orders["exit_code"], refunds["exit_code"]) == (1, 3)
    assert refunds["results"][0]["outcome"] == "unmeasured"


@pytest.mark.slow
def test_only_bad_repeats_what_was_not_good(dq: Dq, project: Path) -> None:
    days = ("--from", "2026-11-16", "--to", "2026-11-20", "--json")
    none = dq("run", "orders", *days, "--only-bad")
    assert (none.returncode, json.loads(none.stdout)) == (0, {"exit_code": 0, "runs": []})
    assert "5 of 5 have no stored run" in none.stderr

    assert dq("run", "orders", "--from", "2026-11-17", "--to", "2026-11-20").returncode == 1
    mend(project)
    mended = dq("run", "orders", *days, "--only-bad", "--stop-at", "warning")
    assert mended.returncode == 0
    assert [run["interval"]["start"][:10] for run in json.loads(mended.stdout)["runs"]] == ["2026-11-17", "2026-11-19"]

    again = dq("run", "orders", *days, "--only-bad")
    assert json.loads(again.stdout)["runs"] == []
    assert "nothing to repeat: none of 4 stored runs" in again.stderr


def test_no_store_leaves_nothing(dq: Dq, project: Path) -> None:
    done = dq("run", "orders", "--date", "2026-11-17", "--no-store", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["results"][0]["violations"] == 2
    assert not (project / "var/dq.sqlite").exists()


def test_no_alert_opens_no_incident(dq: Dq, project: Path) -> None:
    def incidents() -> int:
        with sqlite3.connect(project / "var/dq.sqlite") as store:
            (number,) = store.execute("SELECT count(*) FROM dq_incident").fetchone()
        store.close()
        return int(number)

    assert dq("run", "orders", "--date", "2026-11-17", "--no-alert").returncode == 1
    assert incidents() == 0
    assert dq("run", "orders", "--date", "2026-11-17").returncode == 1
    assert incidents() > 0


def test_a_broken_file_stops_no_good_suite(dq: Dq, project: Path) -> None:
    (project / "checks/zebra.py").write_text("from dq import Suite\nzebra = Suite('zebra', 1, checks=[])\n")
    good = dq("run", "orders")
    assert good.returncode == 0
    assert good.stderr.startswith("dq: warning: checks/zebra.py:2: ")
    asked = dq("run", "zebra")
    assert asked.returncode == 2
    assert "checks/zebra.py:2" in one_line(asked.stderr)
    everything = dq("run", "--all", "--json")
    assert everything.returncode == 2, "a suite that was asked for was not run"
    assert [run["suite"] for run in json.loads(everything.stdout)["runs"]] == ["orders", "refunds", "pipeline"]


def test_on_a_terminal_there_are_colours_and_no_stray_codes(project: Path) -> None:
    main, side = pty.openpty()
    size = {"COLUMNS": "100", "LINES": "40", "TERM": "xterm"}
    command = [DQ, "run", "orders", "--date", "2026-11-17"]
    with subprocess.Popen(command, cwd=project, env=env(size), stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        shown = b""
        while True:
            try:
                part = os.read(main, 65_536)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            shown += part
    os.close(main)
    assert process.returncode == 1
    text = shown.decode()
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert re.search(r"amount is positive +fail +critical", plain)


# --- alerts ------------------------------------------------------------------------------------------------------


@pytest.fixture
def deaf_channel(project: Path) -> Path:
    """Route all that is bad to an address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (project / "alerting").mkdir()
    routes = project / "alerting/routes.toml"
    routes.write_text(
        '[channels.pager]\ntype = "pagerduty"\nrouting_key = "env:PAGER_KEY"\nallow_http = true\n'
        f'url = "http://127.0.0.1:{port}/v2/enqueue"\ntimeout = 2\n'
        '[route]\nchannels = ["pager"]\n'
    )
    return routes


@pytest.mark.slow
def test_undelivered_alerts_end_with_4(dq: Dq, deaf_channel: Path) -> None:
    key = {"PAGER_KEY": "k" * 32}
    warned = dq("run", "orders", "--date", "2026-11-19", "--json", **key)
    assert warned.returncode == json.loads(warned.stdout)["exit_code"] == 4, warned.stderr
    assert "could not be delivered" in warned.stderr
    assert dq("run", "orders", "--date", "2026-11-17", **key).returncode == 1, "a failed check outranks it"
    pumped = dq("alerts", "pump", **key)
    assert pumped.returncode == 4
    assert "127.0.0.1" not in pumped.stderr + pumped.stdout
    assert key["PAGER_KEY"] not in pumped.stderr + pumped.stdout


def test_a_pump_with_nothing_to_do(dq: Dq) -> None:
    done = dq("alerts", "pump")
    assert (done.returncode, done.stdout) == (0, "sent 0, failed 0, dead 0, waiting 0\n")


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "code", "told"), [(signal.SIGTERM, 0, ""), (signal.SIGINT, 130, "dq: interrupted\n")])
def test_a_watching_pump_can_be_stopped(project: Path, sign: signal.Signals, code: int, told: str) -> None:
    command = [DQ, "alerts", "pump", "--watch", "--every", "1s"]
    with subprocess.Popen(
        command,
        cwd=project,
        env=env({"PYTHONUNBUFFERED": "1"}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == process.stdout.readline() == "sent 0, failed 0, dead 0, waiting 0\n"
        process.send_signal(sign)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    assert stderr == told


# --- reconcile, report -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_ledger_worst_first(dq: Dq, project: Path) -> None:
    done = dq("reconcile", "pipeline", "--html", "report.html", "--eml", "report.eml")
    assert done.returncode == 1, done.stderr
    assert "Shop to lake 2026-11-20 (test): not good" in done.stdout
    table = done.stdout[done.stdout.index("org ") :].splitlines()
    assert "Skipped (derived)" in table[0]
    assert [line.split()[0] for line in table[1:4]] == ["2", "1", "14"]
    assert table[1].split()[1:6] == ["50", "20", "30", "60.0", "30"]

    html = (project / "report.html").read_text()
    mail = message_from_bytes((project / "report.eml").read_bytes(), policy=policy.default)
    body = mail.get_body(("html",))
    assert body is not None
    assert "Shop to lake" in mail["Subject"]
    # A page holds its picture itself, a mail has it beside the text.
    (image,) = [part for part in mail.walk() if part.get_content_type() == "image/png"]
    held = f"data:image/png;base64,{b64encode(image.get_payload(decode=True)).decode()}"
    in_mail = f"cid:{image['Content-ID'].strip('<>')}"
    assert body.get_content().replace("\r\n", "\n").strip() == html.strip().replace(held, in_mail)
    assert held in html

    again = dq("report", "pipeline", "--date", "2026-11-20", "--html", "again.html")
    assert again.returncode == 0, again.stderr
    assert (project / "again.html").read_text() == html
    text = dq("report", "pipeline")
    assert text.returncode == 0
    assert text.stdout.startswith(f"{mail['Subject']}\n\n")


def test_a_stage_that_cannot_be_counted_leaves_a_gap(dq: Dq, project: Path) -> None:
    file = project / "reports/pipeline.py"
    file.write_text(file.read_text().replace('"lake", "messages"', '"lake", "nowhere"'))
    done = dq("reconcile", "pipeline")
    assert done.returncode == 3, done.stderr
    assert "dq:" not in done.stderr
    assert "lake: unmeasured: could not be measured: lake could not be counted" in done.stdout
    table = done.stdout[done.stdout.index("org ") :].splitlines()
    assert [line.split()[:2] for line in table[1:4]] == [["1", "100"], ["2", "50"], ["14", "7"]]


def test_the_json_document_of_a_reconciliation(dq: Dq) -> None:
    done = dq("reconcile", "pipeline", "--from", "2026-11-19", "--to", "2026-11-20", "--json")
    document = json.loads(done.stdout)
    assert document["exit_code"] == done.returncode == 1
    assert document["interval"] == {"start": "2026-11-19T00:00:00+00:00", "end": "2026-11-21T00:00:00+00:00"}
    ledger = document["ledger"]
    assert [(c["kind"], c["name"], c["derived"]) for c in ledger["columns"]] == [
        ("count", "shop", False), ("count", "lake", False), ("discrepancy", "lake", False), ("share", "lake", False),
        ("explained", "Skipped", True),
    ]  # fmt: skip
    worst_row, *others = ledger["rows"]
    assert worst_row == {
        "partition": {"start": "2026-11-20T00:00:00+00:00", "end": "2026-11-21T00:00:00+00:00"},
        "org": {"org_id": "2"}, "counts": {"shop": 50, "lake": 20}, "explained": {"Skipped": 30},
        "discrepancy": {"lake": 30}, "share": {"lake": 0.6}, "severity": "error", "accepted": False,
        "notes": worst_row["notes"],
    }  # fmt: skip
    assert len(others) == 3
    assert all(row["severity"] is None for row in others)


@pytest.mark.slow
def test_a_coarser_level_is_judged_shown_and_gone_when_it_is_declared_no_more(dq: Dq, project: Path) -> None:
    file = project / "reports/pipeline.py"
    bought = 'Stage("bought", Table("shop", "messages", partition="day"), measure="sum(msgs) + 7")'
    levels = f'    levels=[Level(stages=[{bought}], critical=5)],\n    error="70%"'
    was = file.read_text()
    file.write_text(was.replace('    error="10%"', levels).replace("Explained, ", "Explained, Level, "))
    assert dq("lint").returncode == 0
    asked = dq("explain", "pipeline").stdout
    assert "stage bought" in asked and "SUM(msgs) + 7" in asked
    done = dq("reconcile", "pipeline")
    assert done.returncode == 1, done.stderr
    assert "bought of all: fail: 1 of 1 orgs differs: all" in done.stdout
    assert "lake of all: fail: 1 of 1 orgs differs: all" in done.stdout
    said = done.stdout[done.stdout.index("Shop to lake of all:") :].splitlines()
    assert said[2].split()[:10] == ["2026-11-20", "all", "157", "127", "30", "19.1", "164", "-7", "-4.5", "30"]
    document = json.loads(dq("reconcile", "pipeline", "--json").stdout)
    (level,) = document["ledger"]["levels"]
    assert level["title"] == "Shop to lake of all"
    assert [row["discrepancy"] for row in level["rows"]] == [{"lake": 30, "bought": -7}]
    assert {r["check"]: r["outcome"] for r in document["results"]} == {
        "lake": "pass", "lake of all": "fail", "bought of all": "fail",
    }  # fmt: skip
    assert "of all" in dq("alerts").stdout
    file.write_text(was)
    dq("reconcile", "pipeline")
    assert "of all" not in dq("alerts").stdout


def test_run_takes_a_reconciliation_too(dq: Dq) -> None:
    document = json.loads(dq("run", "pipeline", "--date", "2026-11-19", "--json").stdout)
    assert (document["kind"], document["exit_code"]) == ("reconciliation", 0)


def test_a_report_that_nobody_gets_cannot_be_sent(dq: Dq) -> None:
    assert dq("reconcile", "pipeline").returncode == 1
    done = dq("report", "pipeline", "--send")
    assert done.returncode == 2
    assert "to=" in done.stderr


def test_a_file_that_cannot_be_written(dq: Dq) -> None:
    done = dq("reconcile", "pipeline", "--html", "no/such/folder/report.html")
    assert done.returncode == 2
    assert "no/such/folder/report.html cannot be written" in done.stderr


# --- history, sla ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_history(dq: Dq) -> None:
    empty = dq("history")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert "no stored runs" in empty.stderr
    dq("run", "orders", "--from", "2026-11-17", "--to", "2026-11-18")
    dq("reconcile", "pipeline")
    told = dq("history")
    assert told.returncode == 0
    assert len(told.stdout.splitlines()) == 1 + 3
    assert re.search(r"orders +2026-11-17 +not good +critical +cli +amount is positive: ", told.stdout)
    assert len(dq("history", "orders", "--limit", "1").stdout.splitlines()) == 1 + 1
    checked = dq("history", "orders", "--check", "enough rows").stdout
    assert len(checked.splitlines()) == 1 + 2
    assert "amount" not in checked
    runs = json.loads(dq("history", "orders", "--check", "enough rows", "--json").stdout)["runs"]
    assert [[r["check"] for r in run["results"]] for run in runs] == [["enough rows"], ["enough rows"]]


@pytest.mark.slow
def test_an_sla_is_overdue_until_the_data_is_there(dq: Dq) -> None:
    assert dq("run", "orders", "--date", "2026-11-20", DQ_NOW="2026-11-21T05:30:00+00:00").returncode == 0
    met = dq("sla", "check", "--json", DQ_NOW="2026-11-21T07:00:00+00:00")
    assert met.returncode == 0, met.stdout
    overdue = dq("sla", "check", "--json", DQ_NOW="2026-11-22T07:00:00+00:00")
    document = json.loads(overdue.stdout)
    assert document["exit_code"] == overdue.returncode == 1
    late = [v for v in document["verdicts"] if v["overdue"]]
    assert [(v["suite"], v["interval"]["start"][:10], v["answer"]) for v in late] == [
        ("orders", "2026-11-21", "never_started")
    ]
    assert late[0]["due_at"] == "2026-11-22T06:00:00+00:00"
    assert re.search(
        r"orders +2026-11-21 +2026-11-22 06:00Z +never_started", dq("sla", "check", DQ_NOW="2026-11-22T07:00Z").stdout
    )


# --- init, lint, explain -----------------------------------------------------------------------------------------


def test_a_new_project_is_sound_and_keeps_what_is_there(dq: Dq, tmp_path: Path) -> None:
    (tmp_path / "new/checks").mkdir(parents=True)
    (tmp_path / "new/checks/mine.py").write_text("MINE = 1\n")
    made = dq("init", "new", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert {"dq.toml", "checks", "reports", "alerting", "dags"} <= {path.name for path in (tmp_path / "new").iterdir()}
    assert (tmp_path / "new/checks/mine.py").read_text() == "MINE = 1\n"
    linted = dq("lint", "--project", "new", cwd=tmp_path)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_new_project_that_cannot_be_written(dq: Dq, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/checks").touch()
    done = dq("init", "other", cwd=tmp_path)
    assert done.returncode == 2
    assert one_line(done.stderr).startswith("other/checks/covid_regions.py cannot be written: ")


def test_lint_names_file_suite_and_check(dq: Dq, project: Path) -> None:
    sound = dq("lint")
    assert sound.returncode == 0, sound.stdout
    assert all(line.startswith("warning: reports/pipeline.py: ") for line in sound.stdout.splitlines())
    assert "explains nothing by itself" in sound.stdout
    assert "invisible" in sound.stdout
    assert sound.stderr == "2 suites and 1 reconciliation loaded: 0 problems, 2 warnings\n"
    (project / "checks/bad.py").write_text(
        "from dq import Check, Rows, Suite, Table\n"
        "bad = Suite('bad', Table('shop', 'orders', partition='created_at'),\n"
        "    checks=[Check('evil', Rows('amount > 0; DROP TABLE orders'))])\n"
    )
    wrong = dq("lint")
    assert wrong.returncode == 2
    assert re.search(r"^error: checks/bad.py.* suite 'bad', check 'evil': ", wrong.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("file", "declared", "words"),
    [
        (
            "checks/who.py",
            "who = Suite('who', Table('shop', 'orders'), by=By('id', expected='seen:28d'), checks=[CHECK])",
            "error: checks/who.py: suite 'who', check 'c': By(expected=\"seen:28d\") needs a table with a partition",
        ),
        (
            "reports/who.py",
            "who = Reconciliation('who', by=By('id', expected='SELECT 1; DROP TABLE t'), stages=[STAGE, OTHER])",
            "error: reports/who.py: reconciliation 'who': the SQL «SELECT 1; DROP TABLE t» holds more",
        ),
    ],
)
def test_lint_reads_who_is_expected(dq: Dq, project: Path, file: str, declared: str, words: str) -> None:
    (project / file).write_text(
        "from dq import By, Check, NotNull, Reconciliation, Stage, Suite, Table\n"
        "CHECK = Check('c', NotNull('amount'))\n"
        "STAGE, OTHER = (Stage(name, Table('shop', 'orders', partition='created_at')) for name in 'ab')\n"
        f"{declared}\n"
    )
    done = dq("lint")
    assert done.returncode == 2
    assert words in done.stdout


def test_explain_touches_no_database(dq: Dq, project: Path) -> None:
    for path in (project / "var").iterdir():
        path.unlink()
    done = dq("explain", "orders", "--date", "2026-11-20")
    assert done.returncode == 0, done.stderr
    assert "declared in checks/shop.py" in done.stdout
    assert (
        "amount is positive: amount > 0; warning 0, critical 1; no data: critical; not measured: critical; a NULL fails"
        in done.stdout
    )
    assert "; for: amount is positive, enough rows\n" in done.stdout
    assert done.stdout.count("\n-- shop (sqlite), scan; for: ") == 1, "both checks share one statement"
    assert done.stdout.count("; only if ") == 2, "what is NULL, and the failing rows"
    assert "2026-11-20" in done.stdout
    pipeline = dq("explain", "pipeline")
    assert pipeline.returncode == 0
    assert "allowed per org: error 10%" in pipeline.stdout
    assert pipeline.stdout.count("SELECT") == 2
    assert list((project / "var").iterdir()) == []


# --- db, doctor --------------------------------------------------------------------------------------------------


def test_the_store_is_upgraded_and_again(dq: Dq, project: Path) -> None:
    for _ in range(2):
        done = dq("db", "upgrade")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
    assert (project / "var/dq.sqlite").exists()


def doctor_line(text: str, what: str) -> str:
    (line,) = (line for line in text.splitlines() if line.split("  ", 1)[1].strip().startswith(what))
    return line


def test_doctor_when_all_is_well(dq: Dq) -> None:
    done = dq("doctor")
    assert done.returncode == 0, done.stdout
    assert doctor_line(done.stdout, "datasource lake").startswith("ok")
    assert doctor_line(done.stdout, "clock").startswith("warn"), "DQ_NOW is set"


def test_doctor_tells_what_is_broken_and_no_secret(dq: Dq, deaf_channel: Path, project: Path) -> None:
    (project / "var/lake.duckdb").write_text("no database")
    done = dq("doctor")
    assert done.returncode == 3
    assert doctor_line(done.stdout, "datasource lake").startswith("broken")
    assert doctor_line(done.stdout, "channel pager").startswith("broken"), "its secret is not there"
    secret = "s" * 32
    told = dq("doctor", PAGER_KEY=secret)
    assert doctor_line(told.stdout, "channel pager").startswith("ok")
    assert secret not in told.stdout + told.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [("dq.toml", "environmint = 'x'"), ("checks/bad.py", "import nowhere"), ("alerting/routes.toml", "[rout]")],
)
def test_doctor_when_the_configuration_is_wrong(dq: Dq, project: Path, name: str, text: str) -> None:
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text(text)
    done = dq("doctor")
    assert done.returncode == 2, done.stdout
    assert name in done.stdout + done.stderr


def test_stdout_is_for_results_whoever_else_writes_there(dq: Dq, project: Path) -> None:
    (project / "checks/noisy.py").write_text("print('noise')\n")
    done = dq("doctor", "--json")
    assert {f["what"]: f["state"] for f in json.loads(done.stdout)["findings"]}["datasource lake"] == "ok"
    assert "noise" in done.stderr


# --- how errors end ----------------------------------------------------------------------------------------------


def test_an_unexpected_error_is_one_line_without_its_text(dq: Dq, project: Path) -> None:
    (project / "checks/odd.py").write_text(
        "from attrs import frozen\nfrom dq import Check, Rows, Suite, Table\n"
        "@frozen\nclass Odd(Rows):\n    def measures(self, where):\n        raise RuntimeError('https://user:secret@host')\n"
        "odd = Suite('odd', Table('shop', 'orders', partition='created_at'), checks=[Check('c', Odd('amount > 0'))])\n"
    )
    done = dq("explain", "odd")
    assert done.returncode == 3
    line = one_line(done.stderr)
    assert line.startswith("unexpected RuntimeError at dq.")
    assert line.endswith("DQ_DEBUG=1 shows the traceback")
    assert "secret" not in line
    debugged = dq("explain", "odd", DQ_DEBUG="1")
    assert debugged.returncode == 3
    assert "Traceback" in debugged.stderr


@pytest.mark.slow
def test_a_store_that_cannot_be_used_ends_with_3(dq: Dq, project: Path) -> None:
    (project / "var/dq.sqlite").write_text("this is no database, and long enough to be seen as none" * 10)
    for args in (["run", "orders"], ["history"], ["alerts", "pump"], ["sla", "check"], ["db", "upgrade"]):
        done = dq(*args)
        assert (done.returncode, done.stdout) == (3, ""), args
        assert "store" in one_line(done.stderr)


def test_a_reader_that_goes_away_is_no_failed_check(dq: Dq, project: Path) -> None:
    dq("run", "orders")
    with subprocess.Popen(
        [DQ, "history"], cwd=project, env=env({}), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        stderr = process.stderr.read()
    assert process.returncode == 141
    assert stderr == b""


@pytest.mark.parametrize("codes", [c for n in range(6) for c in itertools.permutations(range(5), n)][::7])
def test_of_several_exit_codes_the_first_of_the_order_holds(codes: tuple[int, ...]) -> None:
    held = set(codes)
    expected = 2 if 2 in held else 3 if 3 in held else 1 if 1 in held else 4 if 4 in held else 0
    assert worst(codes) == expected


def test_lookback_runs_each_partition_for_itself(dq: Dq, project: Path) -> None:
    file = project / "checks/shop.py"
    file.write_text(file.read_text().replace('sla=Sla(due="06:00"),', 'sla=Sla(due="06:00"), lookback=2,'))
    document = json.loads(dq("run", "orders", "--date", "2026-11-20", "--json").stdout)
    days = [run["interval"]["start"][:10] for run in document["runs"]]
    assert days == ["2026-11-18", "2026-11-19", "2026-11-20"]
    one = dq("run", "orders", "--from", "2026-11-20", "--to", "2026-11-20", "--json")
    assert len(json.loads(one.stdout)["runs"]) == 1, "who names the days gets those"
