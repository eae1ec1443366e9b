"""The README and the pages: every file in them is used, every command typed, every name looked up."""

from __future__ import annotations

import ast
import configparser
import json
import re
import shutil
import sqlite3
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import dq
from dq.alerting.channels import build
from dq.alerting.config import parse_alerting
from dq.api import compare_keys
from dq.cli.entry import cli
from dq.model.check import Check, Suite
from dq.model.errors import ConfigError, DqError
from dq.model.interval import Interval
from dq.model.result import Result, Run
from dq.model.severity import Outcome
from dq.plugins import plugin_names
from dq.project import read_settings
from dq.sql.guard import guard_aggregate, guard_predicate
from tests.receivers import Receivers
from tests.servers import open_engine
from tests.walk import ROOT, Reader, blocks, checkout

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "adr").glob("*.md"))]
EVERYTHING = "\n".join(page.read_text() for page in PAGES)
DAY = Interval.of_day("2026-11-20")


def ids(page: object) -> str:
    return page.relative_to(ROOT).as_posix() if isinstance(page, Path) else str(page)


def load(url: str) -> None:
    """Fill an empty database with the shop of the README."""
    statements = [part for part in (ROOT / "docs" / "shop.sql").read_text().split(";") if part.strip()]
    engine = open_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


@pytest.fixture(params=["sqlite", "duckdb", "postgresql", "mysql"])
def shop_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a filled shop, on each engine."""
    name = request.param
    if name in {"postgresql", "mysql"}:
        url = str(request.getfixturevalue("postgres_url" if name == "postgresql" else "mariadb_url"))
        load(url)
        # As people write it: the driver is dq's affair.
        return name + url[url.index(":") :]
    url = f"{name}:///{tmp_path / 'own.db'}"
    load(url)
    return url


# ----------------------------------------------------------------------------------------------------------- the walks


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "extend.md"], ids=ids)
def test_what_is_typed_answers_what_is_written(page: Path, tmp_path: Path) -> None:
    written = page.read_text()
    assert Reader(checkout(tmp_path), {}).walk(written) == written, "python -m tests.walk writes it anew"


@pytest.mark.slow
def test_the_readme_holds_on_every_engine(shop_url: str, tmp_path: Path) -> None:
    written = (ROOT / "README.md").read_text().replace("SHOP_URL=sqlite:///shop.sqlite", f"SHOP_URL={shop_url}")
    written = written.replace("shop  sqlite, answers", f"shop  {shop_url.partition(':')[0]}, answers")
    assert Reader(checkout(tmp_path), {}).walk(written) == written


@pytest.mark.slow
def test_a_database_that_is_away_is_not_measured_and_ends_with_3(tmp_path: Path) -> None:
    reader = Reader(tmp_path, {"SHOP_URL": "postgresql://reader:s3cret@127.0.0.1:1/shop"})
    files(reader, "README.md", {"dq.toml", "checks/orders.py"})
    said = reader.type('dq run orders --date 2026-11-20 --no-store; echo "exit $?"')
    assert said.count("could not be measured") == 7 and said.endswith("exit 3\n")
    assert "refused" in said and "s3cret" not in said


def test_an_alert_that_cannot_leave_says_why_also_between_two_tries(tmp_path: Path) -> None:
    load(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    reader = Reader(tmp_path, {"SHOP_URL": "sqlite:///shop.sqlite", "DQ_NOW": "2026-11-21T05:30+00:00"})
    files(reader, "README.md", {"dq.toml", "checks/orders.py", "alerting/routes.toml"})
    for command in ("dq run orders", "dq alerts pump"):
        said = reader.type(f'{command}; echo "exit $?"')
        assert "the channel team waits to be told: " in said
        assert "the environment variable SLACK_WEBHOOK is not set" in said


def files(reader: Reader, page: str, names: set[str]) -> None:
    """Write some of the files of a page."""
    for block in blocks((ROOT / page).read_text()):
        if block.file in names:
            reader.write(block.file, block.text)
            names = names - {block.file}
    assert not names


@pytest.mark.slow
def test_the_channels_of_the_readme_are_sound_and_the_mail_leaves(tmp_path: Path) -> None:
    load(f"sqlite:///{tmp_path / 'shop.sqlite'}")
    with Receivers() as receivers:
        secrets = {
            "SHOP_URL": "sqlite:///shop.sqlite",
            "SLACK_WEBHOOK": "https://hooks.slack.com/services/T0/B0/x",
            "PAGERDUTY_ROUTING_KEY": "0" * 32,
            "VICTOROPS_URL": "https://alert.victorops.com/integrations/generic/20131114/alert/0",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(receivers.smtp.port),
            "SMTP_USER": "nobody",
            "SMTP_PASSWORD": "unused",
        }
        reader = Reader(tmp_path, secrets)
        files(reader, "README.md", {"dq.toml", "alerting/routes.toml", "reports/billing.py"})
        assert "broken" not in (said := reader.type("dq doctor")), said
        # The receiver of the tests knows no login; that channel was just seen to be sound.
        routes = tmp_path / "alerting" / "routes.toml"
        routes.write_text(
            "".join(
                f"{line}\n"
                for line in routes.read_text().splitlines()
                if "env:SMTP_USER" not in line and "env:SMTP_PASS" not in line
            )
        )
        # No alert is opened, so nothing is for the other channels.
        said = reader.type(
            "dq reconcile billing --date 2026-11-20 --no-alert > /dev/null; dq report billing --send; echo $?"
        )
        assert said.endswith("0\n"), said
        (mail,) = receivers.smtp.messages
        assert mail["Subject"] == "dev - orders to invoices - 2026-11-20: 2 of 3 orgs differ (critical)"


# --------------------------------------------------------------------------------------------------------- declare.md


def declared() -> dict[str, Any]:
    """Return the names that the examples of docs/declare.md define."""
    names: dict[str, Any] = {}
    for block in blocks((ROOT / "docs" / "declare.md").read_text()):
        assert block.language == "python"
        exec(compile(block.text, "declare.md", "exec"), names)
    return names


def every_check(names: dict[str, Any]) -> Iterator[Check]:
    for value in names.values():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Check):
                yield one


def test_the_examples_of_declare_run_on_every_engine(shop_url: str, make_project: Callable[..., Path]) -> None:
    names = declared()
    root = make_project("[params]\nfloor = 10")
    where = {"project": root, "datasources": {"shop": shop_url}}
    checks = Suite("every_check", names["orders"], checks=list(every_check(names)))
    shown = {type(check.kind).__name__ for check in (*checks.checks, *names["prices"].checks)}
    assert shown == set(dq.checks.__all__), "every kind has an example"
    for suite in (checks, names["grouped"], names["full"], names["prices"]):
        run = dq.run(suite, "2026-11-20", **where)
        assert not [r for r in run.results if r.outcome is Outcome.UNMEASURED], run
    by = Suite(
        "who",
        names["orders"],
        checks=[Check("a", dq.RowCount(), by=names[n], error=dq.at_least(1)) for n in ("listed",)],
    )
    assert "1 of 3 orgs" in dq.run(by, "2026-11-20", **where).summaries[0].sentence
    asked = Suite("asked", names["orders"], checks=[Check("a", dq.RowCount(), by=names["asked"], error=dq.at_least(1))])
    assert "1 of 3 orgs" in dq.run(asked, "2026-11-20", **where).summaries[0].sentence
    ledger = dq.reconcile(names["pipeline"], "2026-11-20", **where)
    assert [(name, problem) for name, _, problem in ledger.totals] == [("orders", ""), ("turnover", "")]
    by_org = {row.org.values[0]: row for row in ledger.rows}
    assert by_org["2"].explained == {"Rejected": 1} and by_org["2"].discrepancy == {"invoiced": 1, "fast": 2}
    assert by_org["1"].discrepancy["invoiced"] == 0 and by_org["3" if "3" in by_org else "1"].severity is None
    by_org_id, whole = dq.reconcile(names["added_up"], "2026-11-20", **where).levels
    assert {row.org.label: row.discrepancy["invoiced"] for row in by_org_id.rows}["2"] == 2
    (row,) = whole.rows
    assert row.discrepancy["invoiced"] == row.discrepancy["booked"] > 0
    assert {r.check for r in whole.results} == {"invoiced of all", "booked of all"}
    (keys,) = compare_keys(names["records"], "2026-11-20", org="2", **where)
    assert [(one.kind, one.key) for one in keys.differences] == [("missing", ("206",)), ("missing", ("208",))]


def test_what_declare_says_of_the_guard_is_so() -> None:
    for predicate in (
        "amount > 0; DROP TABLE orders", "1 = 1 LIMIT 5", "x UNION SELECT 1", "'yes'", "amount + 1", "a IN (SELECT 1)",
        "sum(amount) > 5", "pg_sleep(1) IS NULL", "a = :name", "a = @x",
    ):  # fmt: skip
        with pytest.raises(DqError):
            guard_predicate(predicate, "postgres")
    with pytest.raises(DqError):
        guard_aggregate("amount", "postgres")


# ------------------------------------------------------------------------------------------------------------- Airflow


LOOK = """
from airflow.dag_processing.dagbag import DagBag

bag = DagBag("dags")
for name, dag in bag.dags.items():
    print(f"{name}:", *sorted(dag.task_ids))
for file, error in bag.import_errors.items():
    print("import error:", file, error)
"""


@pytest.mark.airflow
def test_the_dag_files_of_the_documents_load(tmp_path: Path) -> None:
    reader = Reader(tmp_path, {"AIRFLOW_HOME": str(tmp_path / "home"), "SHOP_URL": "sqlite:///shop.sqlite"})
    files(reader, "README.md", {"dq.toml", "checks/orders.py", "reports/billing.py", "dags/orders.py"})
    files(reader, "docs/airflow.md", {"dags/shop.py"})
    for name in ("dq_pump.py", "dq_sla_watch.py", "dq_digest.py"):
        reader.write(f"dags/{name}", (ROOT / "dags" / name).read_text())
    reader.write("look.py", LOOK)
    said = reader.type("python look.py | grep ':'")
    assert "orders: extract orders.close orders.gate" in said
    assert "shop: billing.close billing.gate" in said and "dq_pump: pump\n" in said and "import error" not in said
    assert "dq_sla_watch: watch\n" in said and "dq_digest: digest\n" in said


LOOK_AT_SLA = """
from airflow.dag_processing.dagbag import DagBag

bag = DagBag("dags")
print(bag.import_errors)
for alert in bag.dags["orders"].deadline:
    for one in alert.callback.kwargs["promised"]:
        print(alert.name, alert.interval, one["task"], one["sla"]["on_miss"])
"""


@pytest.mark.airflow
def test_the_dag_file_for_people_who_migrate_promises_what_the_page_says(tmp_path: Path) -> None:
    reader = Reader(tmp_path, {"AIRFLOW_HOME": str(tmp_path / "home"), "SHOP_URL": "sqlite:///shop.sqlite"})
    *_, after = (b for b in blocks((ROOT / "docs/from-sla.md").read_text()) if b.file == "dags/orders.py")
    reader.write(after.file or "", after.text)
    files(reader, "docs/from-sla.md", {"dags/alerts.py", "dq.toml", "checks/orders.py"})
    reader.write("look.py", LOOK_AT_SLA)
    said = reader.type("PYTHONPATH=$PYTHONPATH:dags python look.py | grep -E '^(\\{|dq: due)'")
    assert said == "{}\ndq: due within 1h30m 1:30:00 load alerts:tell_on_call\n"


@pytest.mark.airflow
@pytest.mark.slow
def test_five_minutes_in_an_existing_airflow(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "warehouse.sqlite") as warehouse:
        for table in ("orders", "new_orders"):
            warehouse.execute(f"CREATE TABLE {table} (id INTEGER, amount REAL, customer_id INTEGER, created_at TEXT)")
        rows = [(1, 10, 7, "2026-11-20 10:00:00"), (2, 20, None, "2026-11-20 11:00:00")]
        warehouse.executemany("INSERT INTO new_orders VALUES (?, ?, ?, ?)", rows)
    warehouse.close()
    with Receivers() as receivers:
        known = {
            "AIRFLOW_HOME": str(tmp_path / "home"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.sqlite")}),
            "AIRFLOW_CONN_DQ_SLACK": json.dumps({"conn_type": "generic", "password": receivers.slack.webhook}),
        }
        reader = Reader(tmp_path, known)
        page = "docs/airflow-in-five-minutes.md"
        files(reader, page, {"dq.toml", "checks/orders.py", "alerting/routes.toml", "dags/orders.py"})
        routes = tmp_path / "alerting" / "routes.toml"  # the Slack of the tests speaks no TLS
        routes.write_text(routes.read_text().replace("[route]", "allow_http = true\n[route]"))
        written = (ROOT / page).read_text()
        assert reader.type("dq lint 2> /dev/null; echo $?") == "0\n"
        assert reader.type("dq doctor") in written
        reader.type("airflow db migrate")
        said = reader.type("airflow dags test orders 2026-11-21; echo exit $?")
        assert said.endswith("exit 0\n"), said
        (told,) = (b.text.splitlines() for b in blocks(written) if b.text.startswith("orders 2026-11-20 is closed"))
        for line in told:
            if line != "..." and "is closed" not in line:
                assert line in said, line
        assert "Skipping downstream tasks" in said and "published" not in said
        assert [post["text"].splitlines()[0] for post in receivers.slack.received] == [
            "\N{LARGE ORANGE CIRCLE} PROD - orders: customer is known fails"
        ]
        reader.type("dq init example; cp example/dags/dq_sla_watch.py example/dags/dq_pump.py dags/")
        reader.write("look.py", LOOK)
        said = reader.type("python look.py | grep -E '^(dq_|orders|import)'")
        assert "dq_pump: pump" in said and "dq_sla_watch: watch" in said and "import error" not in said


# --------------------------------------------------------------------------------------------------- names and places


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_every_block_is_what_it_says(page: Path) -> None:
    for block in blocks(page.read_text()):
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "yaml":
            pytest.importorskip("yaml").safe_load(block.text)
        else:
            assert block.language in {"console", "sh", "text", "sql"}, block


def spoken(page: Path) -> Iterator[str]:
    """Yield every command line that begins with ``dq`` in a page."""
    text = page.read_text()
    for block in blocks(text):
        lines = (
            block.commands if block.language == "console" else block.text.splitlines() if block.language == "sh" else ()
        )
        for line in lines:
            yield from (part.strip() for part in re.split(r"[;|>]|&&", line) if part.strip().startswith("dq "))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (found for found in re.findall(r"`(?:\w+=\S+ )*(dq [^`]+)`", prose))


def test_every_command_that_is_named_is_there() -> None:
    lines = [(page, line) for page in PAGES for line in spoken(page)]
    assert len(lines) > 40
    for page, line in lines:
        words = line.split()[1:]
        command: click.Command = cli
        while words and isinstance(command, click.Group) and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        assert command is not cli or words[0] in {"COMMAND", "--version", "-h", "--help"}, f"{ids(page)}: {line}"
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h", "--version"}
        for word in words:
            if word.startswith("--"):
                assert word in known, f"{ids(page)}: {line}"


def test_every_make_target_that_is_named_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        name
        for line in re.findall(r"`(?:\w+=\S+ )*make ([^`]+)`", EVERYTHING)
        for name in line.split()
        if "=" not in name
    }
    assert {"demo", "test", "system-packages"} <= named <= targets


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    ):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.exists(), f"{ids(page)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", other.read_text(), re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, f"{ids(page)}: {target}"


def test_every_page_is_linked() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in ("concepts", "declare", "operate", "airflow", "extend", "cli"):
        assert f"({page}.md)" in index and f"(docs/{page}.md)" in (ROOT / "README.md").read_text()
    decisions = (ROOT / "docs" / "adr" / "README.md").read_text()
    for page in (ROOT / "docs" / "adr").glob("0*.md"):
        assert f"({page.name})" in decisions


def known_keys(problem: str) -> set[str]:
    """Return the keys that a complaint about the unknown key ``zzz`` says are known."""
    assert "zzz" in problem
    return set(re.sub(r".*(?:known are|it knows) ", "", problem).split(", "))


def test_every_key_of_dq_toml_is_told(tmp_path: Path) -> None:
    told = next(b.text for b in blocks((ROOT / "docs" / "operate.md").read_text()) if b.language == "toml")
    for section in ("", "[store]\n", "[datasources.a]\nurl='sqlite://'\n", "[guard]\n"):
        (tmp_path / "dq.toml").write_text(f"{section}zzz = 1\n")
        with pytest.raises(ConfigError) as refused:
            read_settings(tmp_path)
        for key in known_keys(str(refused.value)):
            assert re.search(rf"^(?:# )?{key} =|^\[{key}", told, re.MULTILINE), key
    (tmp_path / "dq.toml").write_text(told)
    read_settings(tmp_path)


def test_every_key_of_routes_toml_is_told() -> None:
    told = (ROOT / "docs" / "operate.md").read_text()
    top = {"channels": {"slack": {"webhook": "env:X"}}, "route": {"channels": ["slack"]}}
    for document in (
        {**top, "zzz": 1},
        {**top, "route": {"channels": ["slack"], "zzz": 1}},
        {**top, "route": {"channels": ["slack"], "escalate": [{"after": "15m", "channels": ["slack"], "zzz": 1}]}},
        {**top, "time_intervals": {"night": {"zzz": 1}}},
        {**top, "inhibit_rules": [{"zzz": 1}]},
    ):
        with pytest.raises(ConfigError) as refused:
            parse_alerting(document)
        for key in known_keys(str(refused.value)):
            assert f"`{key}`" in told or f"[{key}" in told, key
    for kind in plugin_names("dq.channels"):
        with pytest.raises(ConfigError) as refused:
            build(kind, {"zzz": 1}, str)
        row = re.search(rf"^\| `{kind}` \|.*$", told, re.MULTILINE)
        for key in known_keys(str(refused.value)) - {"allow_http"}:
            assert row and f"`{key}`" in row[0], (kind, key)
    assert "`allow_http = true`" in told


def test_every_variable_is_told_and_is_there() -> None:
    told = {
        name
        for row in re.findall(r"^\| (`DQ_[^|]+)\|", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)
        for name in re.findall(r"DQ_\w+", row)
    }
    sources = [*(ROOT / "dq").rglob("*.py"), *(ROOT / "tests").glob("*.py"), ROOT / ".ci" / "run"]
    text = "\n".join(path.read_text() for path in sources)
    read = set(re.findall(r"(?:environ(?:\.get\(|\[)|export |environ\.get\(\s*)\"?(DQ_[A-Z_]+)", text))
    assert read == told


def test_the_json_document_has_the_fields_that_are_told() -> None:
    told = (ROOT / "docs" / "operate.md").read_text()
    run = Run(
        id="1", environment="dev", suite="a", kind="suite", interval=DAY, origin="cli", started_at=DAY.end,
        results=(Result(check="c", outcome=Outcome.PASS, sentence="s"),),
    )  # fmt: skip
    document = run.to_json()
    for key in document:
        assert f"`{key}`" in told or f"`{key}[]`" in told, key
    for key in document["results"][0]:
        assert f".{key}`" in told or f"`{key}`" in (ROOT / "docs" / "cli.md").read_text(), key


def test_the_package_of_extend_names_its_files() -> None:
    toml = next(b.text for b in blocks((ROOT / "docs" / "extend.md").read_text()) if b.file == "plugins/pyproject.toml")
    points = tomllib.loads(toml)["project"]["entry-points"]
    modules = {
        Path(b.file).stem
        for b in blocks((ROOT / "docs" / "extend.md").read_text())
        if b.file and b.file.startswith("plugins/") and b.file.endswith(".py")
    }
    assert {value.partition(":")[0] for group in points.values() for value in group.values()} == modules
    assert set(tomllib.loads(toml)["tool"]["setuptools"]["py-modules"]) == modules


# ---------------------------------------------------------------------------------------------------------- dq watch


def test_the_units_of_the_watcher_start_a_command_that_there_is() -> None:
    unit = configparser.RawConfigParser(strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]  # the documented way to keep upper case
    unit.read_string((ROOT / "docs" / "dq-watch.service").read_text())
    assert {"Unit", "Service", "Install"} == set(unit.sections())
    manifest = yaml.safe_load((ROOT / "docs" / "dq-watch.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("apps/v1", "Deployment")
    template = manifest["spec"]["template"]
    assert manifest["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    for words in (unit["Service"]["ExecStart"].split(), container["command"]):
        assert Path(words[0]).name == "dq"
        parent = click.Context(cli, **cli.context_settings)  # click keeps what it makes of its help option
        with cli.commands["watch"].make_context("watch", words[2:], parent=parent):
            pass


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_reads_the_unit_of_the_watcher(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "dq-watch.service").read_text().replace("/srv/dq/.venv/bin/dq", "/bin/true")
    (tmp_path / "dq-watch.service").write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "dq-watch.service")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "dq-watch" not in done.stderr, done.stderr
