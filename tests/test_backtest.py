"""Backtest and reference: what is replayed is what was judged, and the commands on a real project."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dq import Change, Check, Freshness, Max, NotNull, RowCount, at_least, at_most, between
from dq.checks.backtest import backtest, with_thresholds
from dq.checks.judge import Reading, judge
from dq.model.errors import DeclarationError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS
from dq.model.reading import Kept
from dq.model.severity import Outcome, Severity

FIRST = Interval.of_day("2024-06-01")


def day(number: int) -> Interval:
    return Interval(FIRST.start + timedelta(days=number), FIRST.end + timedelta(days=number))


def kept(*numbers: int, rows: int | None = None, group: Group | None = None) -> list[Kept]:
    return [Kept("c", group, day(n), Fraction(number), rows) for n, number in enumerate(numbers)]


@settings(suppress_health_check=[HealthCheck.too_slow])  # it is many judgements, on a machine that may be shared
@given(
    st.lists(st.integers(1, 100), min_size=1, max_size=25),
    st.sampled_from([
        Change(RowCount()), Change(RowCount(), "median", least=3), Change(RowCount(), "season", least=1),
        Change(RowCount(), "median", unit="zscore", least=3), Change(RowCount(), failed="include"), RowCount(),
    ]),
)  # fmt: skip
def test_a_replay_with_the_thresholds_in_force_says_what_was_said_then(numbers: list[int], kind: Any) -> None:
    check = Check("c", kind, warning=between(-20, 40), critical=between(-60, 80))
    then: list[Kept] = []
    said: list[tuple[Outcome, Severity | None, object, str]] = []
    for n, number in enumerate(numbers):
        past = tuple(reversed([one.past for one in then]))
        reading = Reading({None: {PARTITION_ROWS: number}}, past={None: past})
        (found,) = judge(check, reading, day(n).end, day(n))
        assert found.measured == number
        then.append(Kept("c", None, day(n), Fraction(number), number, found.outcome, found.severity))
        said.append((found.outcome, found.severity, found.observed, found.sentence))
    replayed = backtest(check, then).replayed
    assert [(r.result.outcome, r.result.severity, r.result.observed, r.result.sentence) for r in replayed] == said


def test_another_threshold_has_another_history_of_failures() -> None:
    check = Check("c", Change(RowCount()), critical=between(-50, 50))
    numbers = kept(100, 10, 20, 100)
    strict = backtest(check, numbers)
    # 10 and 20 are held against 100, the last that was good.
    assert [one.kept.interval for one in strict.fired] == [day(1), day(2)]
    assert (strict.judged, strict.count(Severity.CRITICAL)) == (3, 2)
    loose = backtest(with_thresholds(check, ["critical=between(-95, 50)"]), numbers)
    assert [one.kept.interval for one in loose.fired] == [day(2), day(3)]
    late = backtest(check, numbers, day(2).start)
    assert ([one.kept.interval for one in late.replayed], len(late.fired)) == ([day(2), day(3)], 1)


def test_orgs_do_not_see_each_other() -> None:
    a, b = Group(("org",), ("a",)), Group(("org",), ("b",))
    check = Check("c", Change(RowCount()), critical=between(-50, 50), by="org")
    found = backtest(check, [*kept(10, 10, group=a), *kept(100, 10, group=b)])
    assert [(one.kept.group, one.kept.interval) for one in found.fired] == [(b, day(1))]


def test_each_unit_is_judged_as_it_was_measured() -> None:
    age = Check("c", Freshness("at"), critical=at_most("2h"))
    assert [one.kept.measured for one in backtest(age, kept(3600, 7200, 7201)).fired] == [7201]
    newest = Check("c", Max("at"), critical=at_least(date(2024, 6, 1)))
    second = int(FIRST.start.timestamp())
    assert [one.kept.measured for one in backtest(newest, kept(second, second - 1)).fired] == [second - 1]
    share = Check("c", NotNull("a"), critical="5%", nulls="fail")
    assert [one.kept.measured for one in backtest(share, kept(5, 6, rows=100)).fired] == [6]
    skipped = Check("c", RowCount(), warning=at_least(5), critical=at_least(2))
    assert [one.result.severity for one in backtest(skipped, kept(5, 4, 2, 1)).fired] == [
        Severity.WARNING, Severity.WARNING, Severity.CRITICAL,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "texts", "ladder"),
    [
        (Check("c", RowCount(), critical=at_least(1)), ["at_least(5)"], ["error at least 5"]),
        (Check("c", RowCount(), critical=at_least(1)), ["warning = between(-1, 2.5)"], ["warning between -1 and 2.5"]),
        (Check("c", Freshness("a"), error=at_most("1h")), ["info=below('90m')", "error=at_most('3h')"],
         ["info below 1h30m", "error at most 3h"]),
        (Check("c", NotNull("a"), tolerance=5, severity="info"), ["critical=1%"], ["critical 1%"]),
        (Check("c", NotNull("a")), ["0"], ["error 0"]),
        (Check("c", Max("a"), error=at_least(0)), ["outside('2024-06-01', '2024-07-01 12:00', low_open=True)"],
         ["error not above 2024-06-01 and at most 2024-07-01 12:00:00"]),
        (Check("c", NotNull("a"), warning=1), [], ["warning 1"]),
    ],
)  # fmt: skip
def test_thresholds_are_written_as_in_a_declaration(check: Check, texts: list[str], ladder: list[str]) -> None:
    assert [f"{severity} {bounds}" for severity, bounds in with_thresholds(check, texts).ladder] == ladder


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (RowCount(), "open('x')", "is not a threshold"),
        (RowCount(), "at_least(__import__('os'))", "is not a threshold"),
        (RowCount(), "at_least(", "is not a threshold"),
        (RowCount(), "at_least()", "is not a threshold"),
        (RowCount(), "at_least(1).low", "is not a threshold"),
        (RowCount(), "at_least('2024-13-01')", "is not a threshold"),
        (RowCount(), "5", "not a range for a measured value"),
        (RowCount(), "worst=at_least(5)", "worst"),
        (RowCount(), "at_least('1h')", "does not fit number of rows"),
        (NotNull("a"), "at_least(5)", "do not fit a kind that counts rows"),
        (NotNull("a"), "150%", "is not a share between 0 and 1"),
    ],
)
def test_what_is_no_threshold_is_one_sentence(kind: Any, text: str, words: str) -> None:
    check = Check("c", kind, critical=at_least(1)) if kind == RowCount() else Check("c", kind)
    with pytest.raises(DeclarationError, match=words):
        with_thresholds(check, [text])


# -------------------------------------------------------------------------------------------------------- the commands

TOML = """
environment = "test"
[store]
url = "sqlite:///var/dq.sqlite"
[datasources.shop]
url = "sqlite:///var/shop.sqlite"
"""
SUITE = """
from dq import *
orders = Suite("orders", Table("shop", "orders", partition="day"), checks=[
    Check("rows", RowCount(), warning=at_least(20), critical=at_least(5)),
    Check("per org", RowCount(), critical=at_least(5), by="org"),
    Check("amounts", Distribution("amount"), critical=at_most(0.25)),
    Check("columns", Schema()),
])
"""
ROWS = {20: 30, 21: 4, 22: 10, 23: 40}


@pytest.fixture
def cli(make_project: Callable[..., Path]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command in a project whose store knows four days."""
    root = make_project(TOML, {"checks/orders.py": SUITE})
    (root / "var").mkdir()
    with sqlite3.connect(root / "var" / "shop.sqlite") as shop:
        shop.execute("CREATE TABLE orders (day TEXT, org TEXT, amount REAL)")
        for number, count in ROWS.items():
            shop.executemany(
                "INSERT INTO orders VALUES (?, 'a', ?)", [(f"2024-06-{number}", float(n % 10)) for n in range(count)]
            )
    shop.close()
    environment = {**os.environ, "DQ_NOW": "2024-06-24T06:00:00+00:00", "PYTHONPATH": str(Path(__file__).parents[1])}

    def run(*args: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dq.cli", *args]
        done = subprocess.run(command, cwd=root, env=environment, check=False, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done

    run("run", "orders", "--from", "2024-06-20", "--no-alert", code=1)
    return run


@pytest.mark.slow
def test_backtest_tells_how_often_and_when(cli: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    said = cli("backtest", "orders")
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert "rows warning at least 20 1 4 judged, 0 not" in lines
    assert "rows critical at least 5 1 4 judged, 0 not" in lines
    assert "2024-06-21 - critical critical number of rows is 4, outside at least 5 (critical)" in lines
    assert "per org: no numbers are stored; those of orgs are only kept for checks that look back" in said.stderr
    tried = json.loads(cli("backtest", "orders", "rows", "--threshold", "critical=at_least(35)", "--json").stdout)
    (check,) = tried["checks"]
    assert (check["thresholds"], check["partitions"], check["fired"]) == (
        {"critical": "at least 35"},
        4,
        {"critical": 3},
    )
    assert [one["partition"]["start"][:10] for one in check["firings"]] == ["2024-06-20", "2024-06-21", "2024-06-22"]
    assert [one["then"]["severity"] for one in check["firings"]] == [None, "critical", "warning"]
    since = json.loads(cli("backtest", "orders", "rows", "--since", "2024-06-22", "--json").stdout)["checks"][0]
    assert (since["partitions"], since["fired"]) == (2, {"warning": 1, "critical": 0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("backtest", "orders", "--threshold", "5"), "name the check"),
        (("backtest", "orders", "nothing"), "has no check 'nothing'; it has 'rows', 'per org'"),
        (("backtest", "orders", "rows", "--threshold", "at least 5"), "'at least 5' is not a threshold"),
        (("reference", "record", "orders", "rows"), "is held against nothing that is recorded"),
        (("reference", "show", "orders", "amounts"), "nothing is recorded for check 'amounts'"),
        (("reference", "remove", "orders", "amounts"), "nothing is recorded for check 'amounts'"),
    ],
)
def test_wrong_use_is_one_sentence(
    cli: Callable[..., subprocess.CompletedProcess[str]], args: tuple[str, ...], words: str
) -> None:
    said = cli(*args, code=2)
    assert words in said.stderr
    assert said.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_reference_is_recorded_used_shown_and_removed(
    cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    def amounts(*, code: int) -> Any:
        results = json.loads(cli("run", "orders", "--no-alert", "--json", code=code).stdout)["results"]
        return next(r for r in results if r["check"] == "amounts")

    assert amounts(code=0)["outcome"] == "skip"
    said = cli("reference", "record", "orders", "amounts", "--date", "2024-06-20")
    assert "recorded for 'amounts' of orders: 30 values of amount in 10 classes, from 2024-06-20" in said.stderr
    found = amounts(code=0)
    assert (found["outcome"], found["observed"]) == ("pass", 0)
    cli("reference", "record", "orders", "amounts", "--date", "2024-06-21")
    found = amounts(code=1)
    assert (found["outcome"], found["detail"]["reference"]) == ("fail", [1, 0, 0, 1, 0, 0, 1, 0, 0, 1])
    listed = [" ".join(line.split()) for line in cli("reference", "list", "orders").stdout.splitlines()]
    assert "columns 3 columns 2024-06-20 2024-06-24 06:00" in listed
    shown = json.loads(cli("reference", "show", "orders", "amounts").stdout)
    assert (shown["partition"]["start"][:10], sum(shown["reference"]["counts"])) == ("2024-06-21", 4)
    cli("reference", "remove", "orders", "amounts")
    assert amounts(code=0)["outcome"] == "skip"
    as_json = json.loads(cli("reference", "list", "orders", "--json").stdout)
    assert [(one["check"], len(one["columns"])) for one in as_json["references"]] == [("columns", 3)]
