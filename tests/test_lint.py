"""Lint: what is refused, what may surprise, and the sentence that says what to write instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dq import app
from dq.cli.entry import cli

TOML = '[datasources.shop]\nurl = "{0}:///x"\n[params]\nfloor = 1\n'
HEAD = "from datetime import date\nfrom dq import *\nday, customers = 'created_at', Table('shop', 'customers')\n"

Lint = Callable[..., list[str]]


@pytest.fixture
def lint(make_project: Callable[..., Path]) -> Lint:
    """Return what lint says of a check (or several), without its place."""

    def run(
        checks: str, *, suite: str = "owner='x'", table: str = "", dialect: str = "sqlite", level: str = "warning"
    ) -> list[str]:
        relation = f"Table('shop', 'orders', partition=day{table})"
        text = f"{HEAD}orders = Suite('orders', {relation}, {suite}, checks=[{checks}])\n"
        root = make_project(TOML.format(dialect), {"checks/orders.py": text, "checks/floor.py": FLOOR})
        project = app.open_project(root)
        assert project.failures == ()
        problems = [p for p in app.lint(project) if p.name == "orders"]
        for problem in problems:
            assert problem.sentence.startswith("checks/orders.py: suite 'orders'")
            assert problem.part is None or f", check {problem.part!r}: " in problem.sentence
            assert "\n" not in problem.sentence
        assert [p.level for p in problems] == [level] * len(problems)
        return [p.sentence.removeprefix("checks/orders.py: suite 'orders'") for p in problems]

    return run


FLOOR = HEAD + (
    "floor = Suite('floor', Table('shop', 'x', partition=day), checks=[Check('c', Rows('a > {{ params.floor }}'))])\n"
)


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("Check('c', NotNull('a'), warning='60%')", "60% of the rows may be bad before anybody is told; write"),
        ("Check('c', NotNull('a'), error='0.1%', by=By('org', expected='seen:7d'))", "min_rows=1000), or a count"),
        ("Check('c', NotNull('a'), by='org')", "absent orgs are invisible; write e.g. expected="),
        ("Check('c', RowCount(), info=at_least(0))", "at least 0 always holds, because number of rows is at least 0"),
        ("Check('c', DistinctShare('a'), info=between(0, 1))", "always holds"),
        ("Check('c', Freshness('loaded_at'), info=at_least('1h'))", "never tells that the data is old; write"),
        ("Check('c', Freshness('due_at'), info=at_most('1h'))", "one row whose due_at lies in the future makes"),
        ("Check('c', Mean('a'), critical=exactly(0.3))", "write e.g. between(0.29, 0.31)"),
        ("Check('c', AddUp(['a', 'b'], 0.3))", "write e.g. within=0.005"),
        ("Check('c', Rows('a = b * 1.19'), critical=0)", "write abs(a - b) <= 0.005"),
        ("Check('c', Matches('code', '[0-9]{5}'))", "matches anywhere in the text; write '^[0-9]{5}$' if"),
        ("Check('c', Matches('code', 'a|b'))", "write '^(a|b)$'"),
        ("Check('c', Like('code', 'A-1'))", "'A-1' has no % or _, so it is like nothing but itself; write OneOf"),
        ("Check('c', Reference('a', Table('shop', 'other', partition='day')))", "table other has partition=, so only"),
        ("Check('c', Query('SELECT id FROM orders'))", "the query looks at all rows, and not at the partition; write"),
        ("Check('c', Query(\"SELECT count(*) FROM orders WHERE d = '{{ ds }}'\"))", "returns a row whatever it counts"),
        ("Check('c', NoneOf('state', ['lost']))", 'a row without state is a violation; write nulls="pass" if'),
        ("Check('c', NotMatches('state', '^x'))", "a row without state is a violation"),
        ("Check('c', Rows(\"state <> 'lost'\"))", "state <> 'lost' is NULL for a row without state, and that"),
        ("Check('c', Rows(\"a > 0 AND NOT state IN ('x')\"))", "for a row without state"),
        ("Check('c', Rows('a > 0'), where=\"kind <> 'test'\")", "leaves out rows without kind; write (... OR kind IS"),
        ("Check('c', Rows('a > 0'), on_empty='ok')", "nobody is told that a partition is empty; add a RowCount"),
        ("Check('c', Rows('a > 0'), warning=0, notify={'critical': ['team']}, on_error='warning')", "never tells any"),
        ("Check('b', NotNull('a'), warning=0), Check('c', NotNull('a'), critical=9)", "it asks the same as check 'b'"),
        ("Check('b', NotNull('a'), runbook='https://x.org'), Check('c', Rows('a > 0'))", "it has no runbook=, and"),
    ],
)  # fmt: skip
def test_what_may_surprise(lint: Lint, check: str, words: str, tmp_path: Path) -> None:
    if "notify" in check:
        (tmp_path / "project/alerting").mkdir(parents=True)
        (tmp_path / "project/alerting/routes.toml").write_text(
            '[channels.team]\ntype = "slack"\nwebhook = "env:X"\n[route]\nchannels = ["team"]\n'
        )
    (sentence,) = lint(check)
    assert words in sentence
    assert (", check 'c': " in sentence) is not ("partition is empty" in sentence)


@pytest.mark.parametrize(
    "check",
    [
        "Check('c', NotNull('a'), warning='1%', critical='60%')",
        "Check('c', NotNull('a'), error='5%', by=By('org', expected='seen:7d'))",
        "Check('c', NotNull('a'), error='0.1%', by=By('org', expected='seen:7d', min_rows=1000))",
        "Check('c', RowCount(), critical=at_least(1))",
        "Check('c', RowCount(), critical=at_most(100))",
        "Check('c', DistinctShare('a'), info=at_least(0.9))",
        "Check('c', Freshness('loaded_at'), info=at_most('1h'))",
        "Check('c', Freshness('due_at'), info=at_most('1h'), where=\"due_at < '{{ ds }}'\")",
        "Check('c', Mean('a'), critical=between(0.2, 0.4))",
        "Check('c', AddUp(['a', 'b'], 3))",
        "Check('c', AddUp(['a', 'b'], 0.3, within=0.01))",
        "Check('c', Rows('a = b + 1'), critical=0)",
        "Check('c', Rows('a = round(b * 1.19, 2)'), critical=0)",
        "Check('c', Rows('a = b * 1.19'), warning=0)",
        "Check('c', Matches('code', '^[0-9]{5}'))",
        "Check('c', Like('code', 'A-%'))",
        "Check('c', Reference('a', customers))",
        "Check('c', Query(\"SELECT id FROM orders WHERE d = '{{ ds }}'\"))",
        "Check('c', Query(\"SELECT org, count(*) FROM orders WHERE d = '{{ ds }}' GROUP BY org HAVING count(*) > 1\"))",
        "Check('c', NoneOf('state', ['lost']), nulls='pass')",
        "Check('b', NotNull('state')), Check('c', NoneOf('state', ['lost']))",
        "Check('c', Rows(\"state <> 'lost'\"), nulls='skip')",
        "Check('c', Rows(\"state IS NOT NULL AND state <> 'lost'\"))",
        "Check('c', Rows(\"coalesce(state, '') <> 'lost'\"))",
        "Check('c', Rows('a > 0 AND b IS NOT NULL'))",
        "Check('c', Rows('a > 0'), where=\"kind = 'real'\")",
        "Check('b', NotNull('a')), Check('c', NotNull('a'), where='b > 0')",
        "Check('b', NotNull('a'), owner='x'), Check('c', Rows('a > 0'))",
    ],
)  # fmt: skip
def test_what_is_as_it_should_be_is_left_in_peace(lint: Lint, check: str) -> None:
    assert lint(check) == []


@pytest.mark.parametrize(
    ("check", "dialect", "words"),
    [
        ("Check('c', Matches('a', '^x$'))", "mssql", "mssql has no regular expressions; use Like"),
        ("Check('c', ValidJson('a'))", "hive", "has no function that tells JSON"),
        ("Check('c', SameAs('a', customers), by=By('org', expected='seen:7d'))", "sqlite", "take by= away"),
        (
            "Check('c', SameAs('a', Table('lake', 'x')), by=By('org', expected='seen:7d'))",
            "sqlite",
            "no [datasources.lake]",
        ),
        ("Check('c', Reference('a', Table('shop', 'x', where='1; 2')))", "sqlite", "more than one statement"),
        (
            "Check('c', DistinctShare('a'), error=at_least(95))",
            "sqlite",
            "never holds, because the share of different a",
        ),
        ("Check('c', RowCount(), error=at_most(-1))", "sqlite", "never holds, because number of rows is at least 0"),
        ("Check('c', Rows('a > {{ params.flor }}'))", "sqlite", "known names: data_interval_end"),
        ("Check('c', Rows('a > 0'), where='x y z')", "sqlite", "cannot be read as SQL"),
    ],
)
def test_what_cannot_work_is_refused(lint: Lint, check: str, dialect: str, words: str) -> None:
    (sentence,) = lint(check, dialect=dialect, level="error")
    assert words in sentence


def test_a_quarantine_needs_leave_to_write(lint: Lint) -> None:
    (told,) = lint("Check('c', NotNull('a'), quarantine='bad')", level="error")
    assert told == ", check 'c': quarantine= needs write = true in dq.toml: datasources.shop; else nothing is copied"


STANDS = """
def suite(name, upstream):
    return Suite(name, Table('shop', name, partition=day), upstream=upstream, checks=[Check('c', NotNull('a'))])
"""


@pytest.fixture
def upstream(make_project: Callable[..., Path]) -> Callable[..., list[str]]:
    """Return what lint refuses of suites that stand on each other: ``upstream(a="b", b=())``."""

    def run(broken: str = "", **above: object) -> list[str]:
        made = "\n".join(f"{name} = suite({name!r}, {upper!r})" for name, upper in above.items())
        files = {"checks/all.py": HEAD + STANDS + made, "checks/broken.py": broken}
        return [p.sentence for p in app.lint(app.open_project(make_project(TOML.format("sqlite"), files)))
                if p.level == "error"]  # fmt: skip

    return run


def test_an_upstream_must_be_declared(upstream: Callable[..., list[str]]) -> None:
    assert upstream(raw=(), daily="raw", weekly=("daily", "raw")) == []
    (told,) = upstream(raw_orders=(), daily=("raw_order", "raw_orders"))
    assert told == (
        "checks/all.py: suite 'daily': upstream= names 'raw_order', which is no suite, reconciliation or dataset; "
        "did you mean 'raw_orders'? known are daily, raw_orders"
    )
    (told,) = upstream("1 / 0", daily="raw")
    assert "ZeroDivisionError" in told, "what did not load may declare it"


def test_an_upstream_that_goes_in_a_circle_is_told_once(upstream: Callable[..., list[str]]) -> None:
    (told,) = upstream(c="a", b="c", a=("raw", "b"), raw=(), d="a")
    assert told == ("checks/all.py: suite 'a': upstream= goes in a circle: a -> b -> c -> a; take one of them out")
    two = upstream(a="b", b=("a", "c"), c=("d", "b"), d="c")
    assert [t.partition("circle: ")[2].partition(";")[0] for t in two] == ["a -> b -> a", "c -> d -> c"]


def test_a_reconciliation_stands_on_something_too(make_project: Callable[..., Path]) -> None:
    text = HEAD + (
        "t = Table('shop', 'x', partition=day)\n"
        "pipe = Reconciliation('pipe', by=By('o', expected=['1']), upstream='nope', "
        "stages=[Stage('a', t), Stage('b', t)])\n"
    )
    told = [p.sentence for p in app.lint(app.open_project(make_project(TOML.format("sqlite"), {"reports/p.py": text})))]
    assert any(t.startswith("reports/p.py: reconciliation 'pipe': upstream= names 'nope', which is no") for t in told)


KEYED = """
from dq import *
{names} = (Table("shop", name, partition="day") for name in ("sent", "stored"))
pipe = Reconciliation("pipe", by=By("org", expected=["1"]), {whole} stages=[
    Stage("first", sent, {stage}), Stage("second", {table}, {other})])
"""


@pytest.fixture
def keyed(make_project: Callable[..., Path]) -> Callable[..., list[tuple[str, str]]]:
    """Return what lint says of a reconciliation with keys: how bad it is, and the sentence from the stage on."""

    def run(whole: str = "", stage: str = "", table: str = "stored", other: str = "") -> list[tuple[str, str]]:
        text = KEYED.format(names="sent, stored", whole=whole, stage=stage, table=table, other=other)
        project = app.open_project(make_project(TOML.format("sqlite"), {"reports/pipe.py": text}))
        assert project.failures == ()
        problems = [one for one in app.lint(project) if one.name == "pipe"]
        place = "reports/pipe.py: reconciliation 'pipe', stage "
        assert all(one.sentence.startswith(f"{place}{one.part!r}: ") for one in problems)
        return [(one.level, one.sentence.removeprefix(place)) for one in problems]

    return run


@pytest.mark.parametrize(
    ("declared", "level", "words"),
    [
        ({"stage": "key='max(id)'", "other": "key='id'"}, "error", "'first': its key 'max(id)': "),
        (
            {"stage": "key='(SELECT id FROM x)'", "other": "key='id'"},
            "error",
            "'first': its key '(SELECT id FROM x)': ",
        ),
        ({"stage": "key='id'", "other": "key='lower(id'"}, "error", "'second': its key 'lower(id': "),
        ({"stage": "key='id'", "other": "key=['id +']"}, "warning", "'second': its key 'id +': "),
        ({"whole": "key='id', values='a, b',"}, "warning", "'first': its values 'a, b': "),
        ({"whole": "key='id', values='sum(amount)',"}, "error", "'second': its values 'sum(amount)': "),
        (
            {"stage": "key='id'", "table": "Table('shop', 'x', key='count(*)')"},
            "error",
            "'second': its key 'count(*)': ",
        ),
        ({"whole": "key='id; DROP TABLE x',"}, "warning", "'first': its key 'id; DROP TABLE x': "),
    ],
)
def test_a_key_that_is_no_value_of_a_row_is_told_with_its_stage(
    keyed: Callable[..., list[tuple[str, str]]], declared: dict[str, str], level: str, words: str
) -> None:
    told = keyed(**declared)
    assert [said for said in told if said[1].startswith(words)], told
    assert {one for one, _ in told} == {level}
    assert len(told) == (2 if "whole" in declared else 1)


def test_keys_that_are_values_of_a_row_are_left_in_peace(keyed: Callable[..., list[tuple[str, str]]]) -> None:
    assert keyed(whole="values=['lower(name)', 'amount * 100'],", stage="key='order_id'", other="key='id + 0'") == []
    assert keyed(stage="key=['a', 'b']", table="Table('shop', 'x', key=['c', 'coalesce(d, 0)'])") == []


def test_the_table(lint: Lint) -> None:
    (sentence,) = lint("Check('c', RowCount(), critical=at_least(1))", table=", where=\"state <> 'test'\"")
    assert sentence.startswith(": where=\"state <> 'test'\" of the table leaves out rows without state; write")


def test_params_that_nothing_uses(make_project: Callable[..., Path]) -> None:
    root = make_project(TOML.format("sqlite") + "flor = 2\n", {"checks/floor.py": FLOOR})
    (problem,) = app.lint(app.open_project(root))
    assert problem.sentence.startswith(
        "dq.toml: params.flor: nothing that is declared uses it; write {{ params.flor }}"
    )
    assert problem.file == "dq.toml" and problem.level == "warning"
    (root / "checks/broken.py").write_text("1 / 0\n")
    told = [p.sentence for p in app.lint(app.open_project(root))]
    assert len(told) == 1 and "ZeroDivisionError" in told[0], "what did not load may use it"


def test_json_and_exit_codes(make_project: Callable[..., Path]) -> None:
    text = HEAD + (
        "orders = Suite('orders', Table('shop', 'orders', partition=day), "
        "checks=[Check('c', NoneOf('state', ['lost'])), Check('d', Rows('a > {{ params.floor }}'))])\n"
    )
    root = make_project(TOML.format("sqlite"), {"checks/orders.py": text})
    done = CliRunner().invoke(cli, ["lint", "--json", "--project", str(root)], standalone_mode=False)
    assert done.return_value == 0, "warnings alone are no failure"
    document = json.loads(done.stdout)
    (problem,) = document.pop("problems")
    assert document == {"exit_code": 0, "suites": 1, "reconciliations": 0, "datasets": 0}
    sentence = problem.pop("sentence")
    assert sentence.startswith("checks/orders.py: suite 'orders', check 'c': ")
    assert problem == {
        "level": "warning", "file": "checks/orders.py", "kind": "suite", "name": "orders", "part": "c",
        "column": "state", "line": None,
    }  # fmt: skip
    (root / "checks/orders.py").write_text(text.replace("params.floor", "params.flor"))
    wrong = CliRunner().invoke(cli, ["lint", "--json", "--project", str(root)], standalone_mode=False)
    assert wrong.return_value == 2 and json.loads(wrong.stdout)["exit_code"] == 2
    assert {p["level"] for p in json.loads(wrong.stdout)["problems"]} == {"error", "warning"}


# What docs/declare.md says of each row of its table, as a check.
TOLD = {
    "Rows(\"status <> 'lost'\")": "Check('c', Rows(\"status <> 'lost'\"))",
    'NoneOf("status", ["lost"])': "Check('c', NoneOf('status', ['lost']))",
    "where=\"status <> 'test'\"": "Check('c', Rows('a > 0'), where=\"status <> 'test'\")",
    'Rows("amount = paid * 1.19")': "Check('c', Rows('amount = paid * 1.19'))",
    "exactly(0.3)": "Check('c', Mean('a'), error=exactly(0.3))",
    'tolerance="60%"': "Check('c', NotNull('a'), tolerance='60%')",
    '"0.1%"': "Check('c', NotNull('a'), tolerance='0.1%', by=By('org', expected='seen:7d'))",
    'By("org_id")': "Check('c', NotNull('a'), by=By('org_id'))",
    'Matches("status", "[a-z]+")': "Check('c', Matches('status', '[a-z]+'))",
    'Like("status", "paid")': "Check('c', Like('status', 'paid'))",
    'Freshness("due_at")': "Check('c', Freshness('due_at'), error=at_most('1h'))",
}


@pytest.mark.parametrize("told", TOLD)
def test_what_declare_says_of_warnings_is_so(lint: Lint, told: str) -> None:
    text = (Path(__file__).parents[1] / "docs/declare.md").read_text().partition("## What lint warns of")[2]
    assert f"`{told}`" in text.partition("## Reconciliation")[0]
    assert len(lint(TOLD[told])) == 1
