"""Declarations: what they mean, and the one sentence with which a wrong one is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dq
from dq import (
    Aggregate,
    Between,
    By,
    Check,
    Freshness,
    NotNull,
    OneOf,
    Query,
    RowCount,
    Rows,
    Sla,
    Suite,
    Table,
    Unique,
    at_least,
    at_most,
    between,
)
from dq.model.damping import read_for_runs
from dq.model.duration import format_duration, parse_duration
from dq.model.errors import DeclarationError
from dq.model.group import Group, group_value
from dq.model.interval import Interval
from dq.model.reconciliation import Allowance, Explained, Reconciliation, Stage, Total
from dq.model.severity import Severity
from dq.model.thresholds import Bounds, Tolerance

T = Table("warehouse", "orders")


def suite(*checks: Check) -> Suite:
    return Suite("orders", T, checks=checks)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Check("c", Rows("a > 0"), tolerance=0, severity="fatal"), "unknown severity 'fatal'"),
        (lambda: Check("c", Rows("a > 0"), tolerance=0, severity="Critical"), "unknown severity 'Critical'"),
        (
            lambda: Check("c", Rows("a > 0"), warning="2%", critical="1%"),
            "out of order: critical (1%) must allow more than warning (2%)",
        ),
        (lambda: Check("c", Rows("a > 0"), warning="1%", critical="1%"), "out of order"),
        (lambda: Check("c", Rows("a > 0"), warning=5, critical="1%"), "mix a count and a share"),
        (lambda: Check("c", Rows("a > 0"), warning=0, tolerance=1), "mixes the plain form"),
        (lambda: Check("c", Rows("a > 0"), critical=1.0), "not a share between 0 and 1"),
        (lambda: Check("c", Rows("a > 0"), critical=2.5), "not a share between 0 and 1"),
        (lambda: Check("c", Rows("a > 0"), critical=0.0), "not a share between 0 and 1"),
        (lambda: Check("c", Rows("a > 0"), critical="100%"), "not a share between 0 and 1"),
        (lambda: Check("c", Rows("a > 0"), critical=-1), "negative"),
        (lambda: Check("c", Rows("a > 0"), critical=True), "not a tolerance"),
        (lambda: Check("c", Rows("a > 0"), critical="many"), "not a tolerance"),
        (lambda: Check("c", Rows("a > 0"), critical=float("nan")), "not a share"),
        (lambda: Check("c", Rows("a > 0"), critical=at_least(1)), "do not fit a kind that counts rows"),
        (lambda: Check("c", Rows("  ")), "needs one boolean SQL expression"),
        (lambda: Check("c", RowCount()), "it has no bounds"),
        (lambda: Check("c", RowCount(), tolerance=0), "a tolerance does not fit a kind that measures a value"),
        (lambda: Check("c", RowCount(), critical=5), "is not a range"),
        (lambda: Check("c", RowCount(), warning=at_least(1), critical=at_least(10)), "out of order"),
        (lambda: Check("c", RowCount(), critical=at_most("3h")), "it measures a number"),
        (lambda: Check("c", Freshness("t"), critical=at_most(3)), "it measures an age"),
        (lambda: Check("c", Rows("a"), sample=100, critical="1%"), "sample=100 is not a share of the rows"),
        (lambda: Check("c", Rows("a"), sample="1%", critical=5), "needs thresholds that are shares"),
        (lambda: Check("c", Unique("a"), sample="1%", critical="1%"), "sample= does not fit a is unique"),
        (lambda: Check("c", RowCount(), sample="1%", critical=at_least(1)), "sample= does not fit number of rows"),
        (lambda: Check("c", Rows("a"), confidence=95, critical="1%"), "confidence=95 is not a number such as 0.95"),
        (lambda: Check("c", Rows("a"), confidence=0.2, critical="1%"), "is not between 0.5 and 1"),
        (lambda: Check("c", Rows("a"), confidence=0.95, critical=3), "there is none among its thresholds"),
        (lambda: Check("c", Rows("a"), known=-1, critical=3), "known=-1 is not a number of violations"),
        (lambda: Check("c", RowCount(), known=1, critical=at_least(1)), "known= counts violations"),
        (lambda: Check("c", Rows("a"), orgs={1: {"critical": 1}}, critical=3), "orgs= gives thresholds to single orgs"),
        (lambda: Check("c", Rows("a"), by="o", orgs={1: {"loud": 1}}, critical=3), "orgs= for 1: unknown severity"),
        (lambda: Check("c", Rows("a"), by="o", orgs={(1, 2): {"error": 1}}, critical=3), "orgs=: By names"),
        (lambda: Check("c", Freshness("t"), warning=at_most("1h"), critical=at_most(3)), "mix a duration and a number"),
        (lambda: Check("c", Query("select 1"), critical="1%"), "the number of all rows is not known"),
        (lambda: Check("c", NotNull("a"), nulls="skip"), "nulls= says nothing about"),
        (lambda: Check("c", Rows("a"), nulls="maybe"), "is not one of"),  # type: ignore[arg-type]  # the mistake
        (lambda: Check("c", Rows("a"), on_empty="never"), "unknown severity 'never'"),
        (lambda: Check("c", Rows("a"), notify={"urgent": ["x"]}), "unknown severity 'urgent'"),
        (lambda: Check("c", OneOf("a", [])), "OneOf has no values"),
        (lambda: Check("c", OneOf("a", [None])), "None is no value"),  # type: ignore[list-item]  # the mistake
        (lambda: Check("c", Between("a", 2, 1)), "is empty"),
        (lambda: Check("c", Between("a", None, None)), "neither a low nor a high"),
        (lambda: Check("c", Between("a", 1, "z")), "mixes two types"),
        (lambda: Check("c", Between("a", float("inf"), None)), "not a finite number"),
        (lambda: Check("c", Unique()), "at least one column"),
        (lambda: Check("c", "a > 0"), "is not a kind of check"),  # type: ignore[arg-type]  # the mistake
        (lambda: Check("c", RowCount), "is not a kind of check"),  # type: ignore[arg-type]  # the mistake
        (lambda: Check("", Rows("a")), "its name is empty"),
        (lambda: Check("one\nBcc: two", Rows("a")), "its name has a line break"),
        (lambda: Check("c", Rows("a"), where=5), "where=5 is not a text"),  # type: ignore[arg-type]  # the mistake
        (lambda: Check("c", Rows("a"), was=""), "was='' is not a text"),
        (lambda: Check("c", Rows("a"), was="c"), "was='c' is the name of a check"),
        (lambda: Check("c", Rows("a"), for_runs=0), "for_runs=0 is no number of runs from 1 to 64"),
        (lambda: Check("c", Rows("a"), for_runs=65), "for_runs=65 is no number of runs from 1 to 64"),
        (lambda: Check("c", Rows("a"), for_runs=True), "for_runs=True is no number of runs"),
        (lambda: Check("c", Rows("a"), for_runs="two"), "for_runs='two' is no number of runs"),
        (lambda: Check("c", Rows("a"), for_runs="2"), 'and no "2 of 3"'),
        (lambda: Check("c", Rows("a"), for_runs="0 of 3"), "for_runs='0 of 3' is no number of runs"),
        (lambda: Check("c", Rows("a"), for_runs="2 of 65"), "for_runs='2 of 65' is no number of runs"),
        (lambda: Check("c", Rows("a"), for_runs=f"1 of {'9' * 5000}"), "is no number of runs from 1 to 64"),
        (lambda: Check("c", Rows("a"), for_runs="4 of 3"), "for_runs='4 of 3' wants more bad runs than it looks at"),
    ],
)
def test_a_wrong_check_is_refused_in_one_sentence_that_names_suite_and_check(
    make: Callable[[], Check], words: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        suite(make())
    sentence = str(refused.value)
    assert words in sentence
    assert sentence.startswith("suite 'orders', check ")
    assert "\n" not in sentence


def test_a_name_is_declared_once() -> None:
    with pytest.raises(DeclarationError, match="check 'same': the name is declared twice"):
        suite(Check("same", Rows("a")), Check("same", Rows("b")))


def test_a_former_name_belongs_to_one_check() -> None:
    with pytest.raises(DeclarationError, match="check 'new': was='old' is the name of a check"):
        suite(Check("new", Rows("a"), was="old"), Check("old", Rows("b")))
    with pytest.raises(DeclarationError, match=r"check 'two': was='old' is .* the former name of another one"):
        suite(Check("one", Rows("a"), was="old"), Check("two", Rows("b"), was="old"))


@pytest.mark.parametrize("name", ["", "two words", "../x", "a/b", 7])
def test_the_name_of_a_suite_is_plain(name: str) -> None:
    with pytest.raises(DeclarationError, match="a name is made of letters"):
        Suite(name, T, checks=[])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Sla, "exactly one of"),
        (lambda: Sla(due="06:00", within="1h"), "exactly one of"),
        (lambda: Sla(due="6 o'clock"), "is not a time of day"),
        (lambda: Sla(due="06:00", tz="Europe/Atlantis"), "is not a time zone"),
        (lambda: Sla(within="soon"), "is not a duration"),
        (lambda: Sla(within="0s"), "not longer than zero"),
        (lambda: Sla(within="99999999999w"), "longer than a hundred years"),
        (lambda: Sla(due="06:00", severity="loud"), "unknown severity"),
        (lambda: at_least("soon"), "is not a duration"),
        (lambda: at_least(True), "is not a number, a duration or a date"),
        (lambda: at_most(float("inf")), "infinite bound"),
        (lambda: between(2, 1), "is empty"),
        (lambda: between(2, "1h"), "mixes two kinds of value"),
        (lambda: By(()), "at least one column"),
        (lambda: By("org", expected="everybody"), "neither a list, a SELECT nor"),
        (lambda: By("org", expected="seen:ever"), "is not a duration"),
        (lambda: By("org", expected="seen:999999d"), "longer than a hundred years"),
        (lambda: By(("org", "site"), expected=["a"]), "By names 'a' for the columns org, site"),
        (lambda: By("org", expected=[("a", "b")]), r"By names \('a', 'b'\) for the columns org"),
        (lambda: Suite("s", T, checks=[], every="often"), "is not a duration"),
        (lambda: Suite("s", T, checks=[]), "suite 's': it has no checks"),
        (lambda: Suite("s", T, checks=[], for_runs="3 of 2"), "suite 's': for_runs='3 of 2' wants more bad runs"),
        (lambda: Suite("s", T, checks=[], upstream=("a", "s")), "suite 's': upstream= names itself"),
        (lambda: Suite("s", T, checks=[], upstream=" "), "suite 's': upstream= takes the names of .*, not ' '"),
        (lambda: Suite("s", T, checks=[], upstream=[T]), "suite 's': upstream= takes the names of .*, not a Table"),  # type: ignore[list-item]  # the mistake
        (lambda: Suite("s", T, checks=[], upstream=T), "upstream= takes the names of .*, not a Table"),  # type: ignore[arg-type]  # the mistake
        (lambda: Table("w", ""), "table '': its name is '', not a text"),
        (lambda: Table("w", "t", partition=""), "table 't': its partition is '', not a text"),
        (lambda: Table("w", "t", where=1), "table 't': its where is 1, not a text"),  # type: ignore[arg-type]  # the mistake
        (lambda: Table("w", "t", key=("a", " ")), "table 't': its key is ' ', not a text"),
        (lambda: Table(T, "t"), "table 't': its datasource is Table"),  # type: ignore[arg-type]  # the mistake
        (lambda: Interval.of_day("2024-13-01"), "is not a date"),
    ],
)
def test_every_other_wrong_word_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        make()


A, B = Stage("a", T), Stage("b", T)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stages": [A]}, "it needs a baseline and at least one stage"),
        ({"stages": [A, A]}, "stage 'a': the name is declared twice"),
        ({"stages": [A, Stage("b", T, compare=False)]}, "at least one stage to hold against it"),
        ({"stages": [A, B], "explained": [Explained("x")]}, "exactly one of counted= and derived="),
        ({"stages": [A, B], "explained": [Explained("x", derived=("a", "c"))]}, "there is no stage 'c'"),
        ({"stages": [A, B], "explained": [Explained("x", derived=("a", "b"))] * 2}, "the name is declared twice"),
        ({"stages": [A, B], "totals": [Total("x")]}, "give either datasource= and query="),
        ({"stages": [A, B], "totals": [Total("x", sum_of="c")]}, "there is no stage 'c'"),
        ({"stages": [A, B], "warning": 1, "critical": "1%"}, "mix counts, shares and pairs"),
        ({"stages": [A, B], "warning": "2%", "critical": "1%"}, "out of order"),
        ({"stages": [A, B], "warning": ("1%", 5), "critical": ("2%", 5)}, "out of order"),
        ({"stages": [A, B], "critical": ("1%", "2%")}, "is not a count, a share, or one of each"),
        ({"stages": [A, B], "notify": {"urgent": ["x"]}}, "unknown severity 'urgent'"),
        ({"stages": [A, B], "on_error": "ok"}, "unknown severity 'ok'"),
        ({"stages": [A, B], "for_runs": "2/3"}, "for_runs='2/3' is no number of runs"),
        ({"stages": [A, B], "upstream": "pipe"}, "upstream= names itself"),
    ],
)
def test_a_wrong_reconciliation_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as refused:
        Reconciliation("pipe", by="org", **settings)
    assert str(refused.value).startswith("reconciliation 'pipe'")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Suite("s" * 191, T, checks=[]), "its name has 191 characters"),
        (lambda: suite(Check("c" * 251, Rows("a"))), "its name has 251 characters"),
        (lambda: Suite("s", T, checks=[], sla="06:00"), "its sla is '06:00'"),  # type: ignore[arg-type]  # the mistake
        (lambda: Reconciliation("r", by="org", stages=[A, B], sla="06"), "its sla is '06'"),  # type: ignore[arg-type]  # the mistake
        (lambda: Reconciliation("r", by="org", stages=[A, Stage("s" * 251, T)]), "its name has 251 characters"),
        (lambda: Reconciliation("r", by=["a", "b"], stages=[A, Stage("b", T, by="org")]), "it has 1 org columns where"),
        (lambda: Reconciliation("r", by=["a", "b"], stages=[A, Stage("b", T, org="x")]), "it has 1 org columns where"),
    ],
)
def test_what_the_store_or_the_ledger_could_not_hold_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        make()


def test_defaults() -> None:
    check = Check("c", Rows("a > 0"))
    assert check.ladder == ((Severity.ERROR, Tolerance(Fraction(0), is_share=False)),)
    assert check.empty_severity is Severity.ERROR
    assert check.error_severity is Severity.ERROR
    ladder = Check("c", Rows("a > 0"), warning="0.1%", critical="1%", on_empty="info", on_error="warning")
    assert (ladder.top, ladder.empty_severity, ladder.error_severity) == (
        Severity.CRITICAL,
        Severity.INFO,
        Severity.WARNING,
    )
    assert Check("c", Rows("a > 0"), on_empty="ok").empty_severity is None


@pytest.mark.parametrize(
    ("tolerance", "violations", "rows", "exceeded"),
    [
        (0, 0, 10, False), (0, 1, 10, True), (3, 3, 10, False), (3, 4, 10, True),
        ("1%", 1, 100, False), ("1%", 2, 100, True), ("1%", 1, 99, True), (0.01, 1, 100, False), (0.1, 1, 10, False),
        # Exact: as floats 0.1 + 0.2 > 0.3, and 1.1 * 1.1 is not 1.21.
        ("0.3%", 3, 1000, False), (0.3, 3, 10, False), ("33.3%", 333, 1000, False), ("33.3%", 334, 1000, True),
        (Decimal("0.07"), 7, 100, False), ("1%", 0, 0, False), ("1%", 1, 0, True),
        ("0.0001%", 10**12, 10**18, False), ("0.0001%", 10**12 + 1, 10**18, True),
    ],
)  # fmt: skip
def test_a_tolerance_is_exact_and_broken_when_exceeded(
    tolerance: object, violations: int, rows: int, exceeded: bool
) -> None:
    assert Tolerance.of(tolerance).exceeded(violations, rows) is exceeded


@given(st.integers(1, 10**6), st.integers(1, 99_999), st.data())
def test_a_share_means_the_share_whatever_its_spelling(rows: int, thousandths: int, data: st.DataObject) -> None:
    violations = data.draw(st.integers(0, rows))
    text, number = f"{thousandths / 1000:.3f}%", Decimal(thousandths) / 100_000
    expected = violations * 100_000 > thousandths * rows
    assert Tolerance.of(text).exceeded(violations, rows) is expected
    assert Tolerance.of(number).exceeded(violations, rows) is expected


@pytest.mark.parametrize(
    ("allowed", "discrepancy", "baseline", "exceeded"),
    [
        (0, 1, 10, True), (0, -1, 10, True), (5, -5, 10, False), ("1%", 1, 100, False), ("1%", -2, 100, True),
        (("1%", 100), 50, 100, False), (("1%", 100), 101, 1_000_000, False), (("1%", 100), 101, 200, True),
        ("1%", 1, 0, True), ("1%", 0, 0, False), (("1%", 100), 99, 0, False), (("1%", 100), -101, 0, True),
    ],
)  # fmt: skip
def test_an_allowance_breaks_when_every_part_is_exceeded(
    allowed: object, discrepancy: int, baseline: int, exceeded: bool
) -> None:
    assert Allowance.of(allowed).exceeded(discrepancy, baseline) is exceeded


@pytest.mark.parametrize(
    ("bounds", "good", "bad"),
    [
        (at_least(1), [1, 2, Fraction(11, 10)], [0, Fraction(99, 100)]),
        (at_most(100), [100, -5], [Fraction(100001, 1000)]),
        (between(0, 1), [0, 1, Fraction(1, 2)], [-1, 2]),
        (at_most("3h"), [timedelta(hours=3), timedelta(0), timedelta(hours=-1)], [timedelta(hours=3, microseconds=1)]),
        (between(0.1, 0.3), [Fraction(3, 10), Fraction(1, 10)], [Fraction(31, 100)]),
    ],
)
def test_bounds_are_closed_and_exact(bounds: Bounds, good: list[Any], bad: list[Any]) -> None:
    assert all(bounds.holds(Fraction(v) if isinstance(v, int) else v) for v in good)
    assert not any(bounds.holds(Fraction(v) if isinstance(v, int) else v) for v in bad)


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [(None, (1, 1)), (1, (1, 1)), (2, (2, 2)), ("2 of 3", (2, 3)), ("1 of 64", (1, 64)), (64, (64, 64))],
)
def test_for_runs_is_read_as_people_write_it(spelled: int | str | None, meant: tuple[int, int]) -> None:
    assert read_for_runs(spelled) == meant
    assert suite(Check("c", Rows("a"), for_runs=spelled)).checks[0].for_runs == spelled


@pytest.mark.parametrize(
    ("text", "seconds"), [("15m", 900), ("2h30m", 9000), ("28d", 2_419_200), ("1w", 604_800), ("90s", 90)]
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (90, "1m30s"), (13_200, "3h40m"), (172_800, "2d"), (-3600, "-1h"), (93_784, "1d2h")],
)
def test_durations_are_shown_as_people_write_them(seconds: int, text: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (14, "14"),
        (14.0, "14"),
        (Decimal("14.00"), "14"),
        ("14", "14"),
        (None, None),
        ("", ""),
        (1.5, "1.5"),
        (True, "true"),
        (b"\x0f", "0f"),
    ],
)
def test_an_org_is_the_same_in_every_database(value: object, text: str | None) -> None:
    assert group_value(value) == text


def test_a_null_org_is_shown_as_what_it_is_and_sorts_last() -> None:
    groups = [Group(("org",), (value,)) for value in (None, "10", "2", "", "b")]
    assert [group.label for group in sorted(groups, key=lambda g: g.sort_key)] == [
        "(empty)",
        "2",
        "10",
        "b",
        "(no org)",
    ]
    assert len({group.key for group in groups}) == len(groups)


def test_an_interval_is_half_open_and_utc() -> None:
    day = Interval.of_day("2024-06-26")
    assert str(day) == "2024-06-26"
    assert [str(d) for d in Interval(day.start, day.end + timedelta(days=1)).days()] == ["2024-06-26", "2024-06-27"]
    with pytest.raises(DeclarationError, match="empty"):
        Interval(day.start, day.start)
    with pytest.raises(DeclarationError, match="no time zone"):
        Interval(day.start.replace(tzinfo=None), day.end)


def test_the_name_of_a_column_will_do_for_by() -> None:
    made = Suite("s", T, checks=[Check("c", Rows("a"), by=("org", "site")), Check("d", Rows("a"))], by="org")
    assert [made.by_of(check) for check in made.checks] == [By(("org", "site")), By("org")]


def test_declarations_are_values() -> None:
    assert Check("c", Rows("a > 0"), critical=0) == Check("c", Rows("a > 0"), critical=0)
    assert Unique("a", "b").columns == ("a", "b")
    assert Rows("a > 0").measures(None) == Rows("a > 0").measures(None)
    assert dq.Aggregate is Aggregate
