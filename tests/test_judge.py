"""Judge: the decision tables of its docstring, row by row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq import Aggregate, By, Check, Freshness, NotNull, Query, RowCount, Rows, Unique, at_least, at_most
from dq.checks.judge import Reading, judge
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.measure import PARTITION_ROWS
from dq.model.reading import Past
from dq.model.result import Exit, Result, exit_code
from dq.model.severity import Outcome, Severity

NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
DAY = Interval.of_day("2024-06-26")
ORG = By("org")
W, E, C, INFO = Severity.WARNING, Severity.ERROR, Severity.CRITICAL, Severity.INFO
PASS, FAIL, UNMEASURED, NO_DATA = Outcome.PASS, Outcome.FAIL, Outcome.UNMEASURED, Outcome.NO_DATA


def numbers(check: Check, partition: int, **roles: object) -> dict[Any, object]:
    measures = check.measures()
    if check.nulls == "pass":  # then only what is FALSE is counted
        roles["violations"] = roles["violations"] - (roles.pop("unknown", None) or 0)  # type: ignore[operator]  # numbers
    return {PARTITION_ROWS: partition} | {measures[role]: value for role, value in roles.items()}


def one(check: Check, partition: int, **roles: object) -> Result:
    (result,) = judge(check, Reading({None: numbers(check, partition, **roles)}), NOW, DAY)
    return result


@pytest.mark.parametrize(
    ("settings", "rows", "violations", "unknown", "outcome", "severity"),
    [
        ({"warning": "1%", "critical": "10%"}, 100, 0, 0, PASS, None),
        ({"warning": "1%", "critical": "10%"}, 100, 1, 0, PASS, None),
        ({"warning": "1%", "critical": "10%"}, 100, 2, 0, FAIL, W),
        ({"warning": "1%", "critical": "10%"}, 100, 10, 0, FAIL, W),
        ({"warning": "1%", "critical": "10%"}, 100, 11, 0, FAIL, C),
        ({"tolerance": 0, "severity": "info"}, 100, 1, 0, FAIL, INFO),
        ({}, 100, 1, 0, FAIL, E),
        # NULL: violations holds the unknown rows too.
        ({"critical": 0}, 100, 5, 5, FAIL, C),
        ({"critical": 0, "nulls": "pass"}, 100, 5, 5, PASS, None),
        ({"critical": 0, "nulls": "skip"}, 100, 5, 5, PASS, None),
        ({"critical": "10%", "nulls": "pass"}, 100, 60, 50, PASS, None),
        ({"critical": "10%", "nulls": "skip"}, 100, 60, 50, FAIL, C),
        ({"critical": "10%", "nulls": "skip"}, 10, 10, 10, PASS, None),
    ],
)
def test_rows_against_a_ladder(
    settings: dict[str, Any], rows: int, violations: int, unknown: int, outcome: Outcome, severity: Severity | None
) -> None:
    result = one(Check("c", Rows("a > 0"), **settings), rows, rows=rows, violations=violations, unknown=unknown)
    assert (result.outcome, result.severity) == (outcome, severity)


@pytest.mark.parametrize(
    ("settings", "partition", "rows", "outcome", "severity"),
    [
        ({"warning": 1, "critical": 5}, 0, 0, NO_DATA, C),
        ({"warning": 1, "critical": 5, "on_empty": "warning"}, 0, 0, NO_DATA, W),
        ({"warning": 1, "critical": 5, "on_empty": "ok"}, 0, 0, NO_DATA, None),
        ({"warning": 1, "critical": 5, "where": "b"}, 0, 0, NO_DATA, C),
        ({"warning": 1, "critical": 5, "where": "b"}, 9, 0, PASS, None),
        ({"warning": 1, "critical": 5, "where": "b", "on_empty_where": "error"}, 9, 0, NO_DATA, E),
    ],
)
def test_an_empty_partition_is_not_an_empty_filter(
    settings: dict[str, Any], partition: int, rows: int, outcome: Outcome, severity: Severity | None
) -> None:
    result = one(Check("c", Rows("a > 0"), **settings), partition, rows=rows, violations=None, unknown=None)
    assert (result.outcome, result.severity, result.rows) == (outcome, severity, 0)


def test_no_rows_are_a_number_where_rows_are_what_is_measured() -> None:
    check = Check("c", RowCount(), where="b", warning=at_least(5), critical=at_least(1))
    none = one(check, 9, rows=0)
    assert (none.outcome, none.severity, none.observed) == (FAIL, C, 0)
    lenient = evolve(check, on_empty_where="info")
    assert (one(lenient, 9, rows=0).outcome, one(lenient, 9, rows=0).severity) == (NO_DATA, INFO)


def test_unmeasured_has_the_top_severity_unless_on_error_says_otherwise() -> None:
    cases: list[tuple[dict[str, Any], Severity]] = [({}, C), ({"on_error": "info"}, INFO)]
    for settings, severity in cases:
        check = Check("c", Rows("a"), warning=1, critical=5, **settings)
        (result,) = judge(check, Reading({}, by=ORG, error="no such column: a"), NOW, DAY)
        assert (result.outcome, result.severity) == (UNMEASURED, severity)
        assert "no such column: a" in result.sentence


def test_null_keys_of_unique_are_counted_and_no_violation() -> None:
    result = one(Check("c", Unique("a"), critical=0), 10, rows=10, violations=0, unknown=4)
    assert (result.outcome, result.violations, result.unknown) == (PASS, 0, 4)


@pytest.mark.parametrize(
    ("kind", "settings", "value", "outcome", "severity", "observed"),
    [
        (RowCount(), {"warning": at_least(10), "critical": at_least(1)}, 10, PASS, None, 10),
        (RowCount(), {"warning": at_least(10), "critical": at_least(1)}, 9, FAIL, W, 9),
        (Aggregate("sum(x)"), {"critical": at_most(1.1)}, "1.1", PASS, None, None),
        (Aggregate("sum(x)"), {"critical": at_most(1.1)}, 1.1000001, FAIL, C, None),
        (Aggregate("sum(x)"), {"critical": at_most(1)}, None, NO_DATA, C, None),
        (Aggregate("sum(x)"), {"critical": at_most(1), "on_empty": "ok"}, None, NO_DATA, None, None),
        (Aggregate("sum(x)"), {"critical": at_most(1)}, float("nan"), UNMEASURED, C, None),
        (Aggregate("min(x)"), {"critical": at_most(1)}, "text", UNMEASURED, C, None),
        (
            Freshness("t"),
            {"warning": at_most("1h"), "critical": at_most("3h")},
            NOW - timedelta(hours=1),
            PASS,
            None,
            3600,
        ),
        (Freshness("t"), {"warning": at_most("1h"), "critical": at_most("3h")}, "2024-06-27 04:59:59", FAIL, W, 3601),
        (
            Freshness("t"),
            {"warning": at_most("1h"), "critical": at_most("3h")},
            (NOW - timedelta(hours=4)).replace(tzinfo=None),
            FAIL,
            C,
            14400,
        ),
        (Freshness("t"), {"critical": at_most("7h")}, NOW.date(), PASS, None, 21600),
        (Freshness("t"), {"critical": at_most("7h")}, "yesterday", UNMEASURED, C, None),
        (Freshness("t"), {"critical": at_most("7h")}, 17, UNMEASURED, C, None),
    ],
)
def test_values_against_bounds(
    kind: Any, settings: dict[str, Any], value: object, outcome: Outcome, severity: Severity | None, observed: object
) -> None:
    check = Check("c", kind, **settings)
    roles = {"rows": 10, "value": value} if "rows" in kind.measures(None) else {"value": value}
    if isinstance(kind, RowCount):
        roles = {"value": value}
    result = one(check, 10, **roles)
    assert (result.outcome, result.severity) == (outcome, severity)
    if observed is not None:
        assert result.observed == observed


def org(name: str | None) -> Group:
    return Group(("org",), (name,))


def test_a_grouped_check_knows_who_is_expected() -> None:
    check = Check("c", NotNull("a"), warning=0, critical=5, by=By("org"))
    reading = Reading(
        {
            org("1"): numbers(check, 9, rows=9, violations=0),
            org(None): numbers(check, 9, rows=9, violations=6),
        },
        by=ORG,
        expected=(org("1"), org("7")),
    )
    summary, *orgs = judge(check, reading, NOW, DAY)
    assert [(r.group and r.group.label, r.outcome, r.severity) for r in orgs] == [
        ("(no org)", FAIL, C),
        ("7", NO_DATA, C),
    ]
    assert (
        summary.group,
        summary.outcome,
        summary.severity,
        summary.rows,
        summary.violations,
        summary.orgs,
        summary.orgs_bad,
    ) == (None, FAIL, C, 18, 6, 3, 2)
    assert "7: it is expected, but has no rows" in summary.sentence


def test_the_well_are_counted_and_kept_only_when_asked() -> None:
    check = Check("c", NotNull("a"), critical=0)
    reading = Reading({org(str(i)): numbers(check, 1, rows=1, violations=0) for i in range(1000)}, by=ORG)
    summary, *orgs = judge(check, reading, NOW, DAY, keep={org("3")})
    assert (summary.outcome, summary.orgs, summary.orgs_bad) == (PASS, 1000, 0)
    assert [r.group for r in orgs] == [org("3")]


def test_no_org_at_all_is_no_data() -> None:
    check = Check("c", NotNull("a"), critical=0)
    (summary,) = judge(check, Reading({}, by=ORG), NOW, DAY)
    assert (summary.outcome, summary.severity, summary.orgs) == (NO_DATA, C, 0)


def test_many_bad_orgs_are_named_worst_first_and_the_others_counted() -> None:
    check = Check("c", NotNull("a"), critical=0)
    reading = Reading({org(str(i)): numbers(check, 99, rows=99, violations=i) for i in range(1, 40)}, by=ORG)
    summary, *orgs = judge(check, reading, NOW, DAY)
    assert [r.violations for r in orgs[:2]] == [39, 38]
    assert summary.sentence.startswith("39 of 39 orgs are not well: 39: ")
    assert summary.sentence.endswith("and 29 others")


def test_a_query_finds_bad_rows_although_its_org_has_none_in_the_partition() -> None:
    check = Check("c", Query("select * from t"), critical=0)
    reading = Reading({org("1"): {check.kind.measures(None)["violations"]: 2}}, by=ORG)
    summary, bad = judge(check, reading, NOW, DAY)
    assert (summary.outcome, bad.outcome, bad.violations, bad.rows) == (FAIL, FAIL, 2, None)


def judged_by_org(check: Check, by: By, rows: dict[str, tuple[int, int]], **more: Any) -> dict[str | None, Result]:
    """Return the results by org (None: the summary) of orgs with so many rows and violations."""
    numbers_of = {org(name): numbers(check, n, rows=n, violations=bad) for name, (n, bad) in rows.items()}
    keep = [org(name) for name in rows]
    found = judge(check, Reading(numbers_of, by=by, **more), NOW, DAY, keep=keep)
    return {r.group.label if r.group else None: r for r in found}


def test_a_small_org_is_not_judged() -> None:
    check = Check("c", NotNull("a"), critical="10%")
    found = judged_by_org(check, By("org", min_rows=50), {"big": (50, 6), "small": (49, 49), "well": (90, 0)})
    assert {name: (r.outcome, r.severity) for name, r in found.items()} == {
        None: (FAIL, C), "big": (FAIL, C), "small": (Outcome.SKIP, None), "well": (PASS, None)
    }  # fmt: skip
    assert found["small"].sentence == "not judged: its 49 rows are fewer than the 50 of By(min_rows=)"
    none = judged_by_org(check, By("org", min_rows=50), {"small": (3, 3)})
    assert (none[None].outcome, none[None].severity) == (Outcome.SKIP, None)
    assert none[None].sentence == "none of 1 orgs is judged: its 3 rows are fewer than the 50 of By(min_rows=)"
    some = judged_by_org(check, By("org", min_rows=50), {"small": (3, 3), "well": (90, 0)})
    assert (some[None].outcome, some[None].sentence) == (PASS, "1 of 2 orgs hold: a is not NULL; 1 not judged")


def test_an_expected_org_without_rows_is_no_small_org() -> None:
    check = Check("c", NotNull("a"), critical="10%")
    found = judged_by_org(check, By("org", min_rows=50), {"well": (90, 0)}, expected=(org("gone"),))
    assert (found["gone"].outcome, found["gone"].severity) == (NO_DATA, C)


def test_an_org_may_have_thresholds_of_its_own() -> None:
    check = Check("c", NotNull("a"), critical="10%", orgs={14: {"warning": "20%", "critical": "50%"}})
    found = judged_by_org(check, ORG, {"14": (100, 30), "15": (100, 30), "16": (100, 10)})
    assert {name: r.severity for name, r in found.items()} == {None: C, "14": W, "15": C, "16": None}
    assert found["14"].threshold == "20%"


@pytest.mark.parametrize(
    ("violations", "rows", "severity"),
    [(2, 10, None), (3, 10, C), (12, 100, None), (14, 100, None), (15, 100, C), (1, 1, C), (1, 10, None)],
)
def test_a_share_is_exceeded_when_that_is_certain(violations: int, rows: int, severity: Severity | None) -> None:
    # Wilson's lower bounds, one-sided: 2/10 0.069, 3/10 0.127, 14/100 0.092, 15/100 0.1005, 1/1 1 / (1 + 1.6449**2).
    check = Check("c", NotNull("a"), critical="10%", confidence=0.95)
    result = one(check, rows, rows=rows, violations=violations)
    assert result.severity is severity
    plainly = one(evolve(check, confidence=None), rows, rows=rows, violations=violations)
    assert ("not certain at a confidence of 0.95" in result.sentence) is (plainly.severity is not severity)


@pytest.mark.parametrize(
    ("violations", "past", "severity", "said"),
    [
        (120, [], None, "120 of them known"),
        (121, [], C, "120 of them known"),
        (100, [120, 110], None, "100 of them known"),
        (105, [120, 100, 110], C, "100 of them known"),
        (1, [0], C, "0 of them known"),
        (0, [], None, None),
    ],
)
def test_known_violations_only_become_fewer(
    violations: int, past: list[int], severity: Severity | None, said: str | None
) -> None:
    check = Check("c", NotNull("a"), critical=0, known=120)
    before = {None: tuple(Past(Interval.of_day("2024-06-25"), Fraction(n)) for n in past)}
    reading = Reading({None: numbers(check, 500, rows=500, violations=violations)}, past=before)
    (result,) = judge(check, reading, NOW, DAY)
    assert (result.severity, result.violations, result.measured) == (severity, violations, violations)
    assert said is None or said in result.sentence


@given(
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from(["fail", "pass", "skip"]),
    st.integers(0, 60),
)
def test_nulls_change_the_counts_and_nothing_else(good: int, bad: int, unknown: int, nulls: Any, allowed: int) -> None:
    rows = good + bad + unknown
    result = one(
        Check("c", Rows("a"), critical=allowed, nulls=nulls), rows, rows=rows, violations=bad + unknown, unknown=unknown
    )
    if rows == 0:
        assert result.outcome is NO_DATA
        return
    counted = bad + (unknown if nulls == "fail" else 0)
    assert result.violations == counted
    assert result.rows == rows - (unknown if nulls == "skip" else 0)
    assert (result.outcome is FAIL) is (counted > allowed)


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ([], Exit.GOOD),
        ([(PASS, None)], Exit.GOOD),
        ([(FAIL, W)], Exit.GOOD),
        ([(FAIL, E)], Exit.FAILED),
        ([(NO_DATA, C)], Exit.FAILED),
        ([(NO_DATA, None)], Exit.GOOD),
        ([(FAIL, C), (UNMEASURED, W)], Exit.UNMEASURED),
    ],
)
def test_the_exit_code(found: list[tuple[Outcome, Severity | None]], code: Exit) -> None:
    results = [Result(check=str(i), outcome=outcome, severity=severity) for i, (outcome, severity) in enumerate(found)]
    assert exit_code(results, Severity.ERROR) is code
