"""Distribution: textbook values of the three methods, independent counts, and histograms of every live engine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq import Check, Distribution, Suite, Table, at_least, at_most
from dq.checks.distribution import Histogram
from dq.checks.plan import plan
from dq.checks.two_samples import Distance, chi2, kolmogorov, ks, psi, upper_gamma
from dq.context import Context
from dq.datasource import Datasource
from dq.execute import Memory, answers, execute
from dq.model.errors import DeclarationError, MeasureError
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Outcome
from tests.engines import Live, live

__all__ = ["live"]

DAY = Interval.of_day("2024-06-26")
BEFORE = Interval.of_day("2024-06-25")
NOW = datetime(2024, 6, 27, 6, tzinfo=UTC)
HISTOGRAMS = st.integers(1, 6).flatmap(
    lambda k: st.tuples(*[st.lists(st.integers(0, 400), min_size=k, max_size=k).filter(sum)] * 2)
)


# ------------------------------------------------------------------------------------------------------------- the math


@pytest.mark.parametrize(
    ("degrees", "critical"),
    # The 5% points of chi-square in every table of statistics.
    [(1, 3.841), (2, 5.991), (3, 7.815), (4, 9.488), (5, 11.070), (10, 18.307), (20, 31.410), (30, 43.773)],
)
def test_the_tails_of_chi_square_are_those_of_the_tables(degrees: int, critical: float) -> None:
    assert upper_gamma(degrees / 2, critical / 2) == pytest.approx(0.05, abs=5e-5)


@given(st.integers(1, 40), st.floats(0.01, 80))
def test_the_tails_of_even_degrees_have_a_closed_form(half: int, x: float) -> None:
    # Q(n, x) is the probability of less than n events of a Poisson distribution.
    poisson = sum(math.exp(-x + k * math.log(x) - math.lgamma(k + 1)) for k in range(half))
    assert upper_gamma(half, x) == pytest.approx(poisson, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(
    ("distance", "p"),
    # Kolmogorov's limit distribution in the tables: its 10, 5, 2, 1 and 0.1% points; the median lies at 0.8276.
    [(0.8276, 0.5), (1.2238, 0.1), (1.3581, 0.05), (1.5174, 0.02), (1.6276, 0.01), (1.9495, 0.001)],
)
def test_the_tail_of_kolmogorov_is_that_of_the_tables(distance: float, p: float) -> None:
    assert kolmogorov(distance) == pytest.approx(p, rel=2e-3)


def test_both_forms_of_kolmogorovs_series_meet() -> None:
    assert kolmogorov(1.18 - 1e-9) == pytest.approx(kolmogorov(1.18 + 1e-9), abs=1e-8)
    assert (kolmogorov(0), kolmogorov(0.05)) == (1, pytest.approx(1))


def test_chi_square_of_a_textbook_table() -> None:
    # The table of the manual of scipy.stats.chi2_contingency: 2.7778, p = 0.24935; of 2 degrees p is exp(-x / 2).
    found = chi2([10, 10, 20], [20, 20, 20])
    assert found.statistic == pytest.approx(25 / 9)
    assert found.p == pytest.approx(math.exp(-25 / 18))
    assert not found.rough
    assert chi2([1, 2, 300], [2, 3, 300]).rough
    # A class that is empty in both says nothing; one class alone can hold no difference.
    assert chi2([10, 0, 10, 20], [20, 0, 20, 20]) == found
    assert chi2([5, 0], [7, 0]) == Distance(0, 1.0)


def test_psi_by_hand() -> None:
    found = psi([50, 30, 20], [40, 30, 30])
    assert found.statistic == pytest.approx(-0.1 * math.log(0.8) + 0.1 * math.log(1.5))
    assert found.p is None
    empty = psi([50, 50], [100, 0])
    assert empty.statistic == pytest.approx(0.5 * math.log(2) + (1e-4 - 0.5) * math.log(1e-4 / 0.5))


def test_ks_by_hand() -> None:
    found = ks([10, 20, 30, 40], [40, 30, 20, 10])
    assert found.statistic == pytest.approx(0.4)
    root = math.sqrt(50)
    tail = 2 * sum((-1) ** (j - 1) * math.exp(-2 * (j * (root + 0.12 + 0.11 / root) * 0.4) ** 2) for j in range(1, 9))
    assert found.p == pytest.approx(tail)


@given(HISTOGRAMS)
def test_distances_behave(both: tuple[list[int], list[int]]) -> None:
    reference, found = both
    for method in (psi, ks, chi2):
        same, there, back = method(reference, reference), method(reference, found), method(found, reference)
        assert same.statistic == pytest.approx(0, abs=1e-12)
        assert there.statistic == pytest.approx(back.statistic)
        assert there.statistic >= 0
        if there.p is not None and same.p is not None and back.p is not None:
            assert same.p == pytest.approx(1)
            assert there.p == pytest.approx(back.p, abs=1e-12)
            assert -1e-12 <= there.p <= 1 + 1e-12
    assert ks(reference, found).statistic <= 1


@given(st.lists(st.integers(0, 60), min_size=2, max_size=60), st.lists(st.integers(0, 60), min_size=2, max_size=60))
def test_classes_never_tell_more_than_the_values(a: list[int], b: list[int]) -> None:
    def at_most_share(values: Sequence[int], end: float) -> float:
        return sum(value < end for value in values) / len(values)

    exact = max(abs(at_most_share(a, v + 0.5) - at_most_share(b, v + 0.5)) for v in {*a, *b})
    every, few = sorted({*a, *b}), sorted(set(a))[:: max(1, len(set(a)) // 4)]
    assert ks(classed(a, every), classed(b, every)).statistic == pytest.approx(exact)
    assert ks(classed(a, few), classed(b, few)).statistic <= exact + 1e-12


def classed(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    """Count by another method than the SQL: how many values lie in each class."""
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value >= edge for edge in edges)] += 1
    return counts


# --------------------------------------------------------------------------------------------------------- the engines

COLUMNS = {"amount": "double", "word": "text", "at": "timestamp"}


def load(live: Live, days: Mapping[Interval, Sequence[tuple[float | None, str | None]]]) -> None:
    def noon(day: Interval) -> object:
        at = (day.start + timedelta(hours=12)).replace(tzinfo=None)
        return at.isoformat(" ") if live.name == "sqlite" else at

    live.load("t", COLUMNS, [(amount, word, noon(day)) for day, rows in days.items() for amount, word in rows])


def recorded(source: Datasource, kind: Distribution, where: str | None = None, day: Interval = BEFORE) -> Any:
    steps = kind.recording(where)
    asked = next(steps)
    while True:
        found = answers(asked, Table("live", "t", partition="at"), lambda _: source, Context(day, NOW))
        try:
            asked = steps.send(found)
        except StopIteration as end:
            return end.value


def run(source: Datasource, reference: Mapping[str, Any], *checks: Check, now: Interval = DAY) -> list[Result]:
    suite = Suite("s", Table("live", "t", partition="at"), checks=checks)
    (scan,) = plan(suite)
    memory, context = Memory(recorded=reference), Context(now, NOW)
    return list(execute(scan, suite.table, suite.by_of, lambda _: source, context, memory=memory))


def drawn(seed: int, count: int, shift: float = 0) -> list[tuple[float | None, str | None]]:
    rng = Random(seed)
    words = rng.choices(["a", "b", "c", "it's", "rare"], [50, 25, 15, 9, 1], k=count)
    rows: list[tuple[float | None, str | None]] = [(round(rng.gauss(shift, 1), 6), word) for word in words]
    return [*rows, (None, None), (0.0, "a")]


def test_numbers_against_their_own_quantiles(live: Live) -> None:
    before, same, moved = drawn(1, 400), drawn(2, 400), drawn(3, 400, shift=1.0)
    other = Interval.of_day("2024-06-27")
    load(live, {BEFORE: before, DAY: same, other: moved})
    source = live.datasource()
    checks = [
        Check("psi", Distribution("amount"), warning=at_most(0.1), critical=at_most(0.25)),
        Check("ks", Distribution("amount", "ks", bins=20), critical=at_least(0.001)),
        Check("D", Distribution("amount", "ks", bins=20, bounds_on="statistic"), critical=at_most(0.2)),
        Check("chi2", Distribution("amount", "chi2"), critical=at_least(0.001)),
    ]
    references = {check.name: recorded(source, check.kind) for check in checks}  # type: ignore[arg-type]  # all of it
    numbers = [amount for amount, _ in before if amount is not None]
    for name, classes in (("psi", 10), ("ks", 20), ("chi2", 10)):
        reference = references[name]
        assert reference["column"] == "amount"
        assert len(reference["edges"]) == classes - 1
        assert reference["counts"] == classed(numbers, reference["edges"])
        assert max(reference["counts"]) - min(reference["counts"]) <= 2
        # Quantiles by another method: the interpolated value at each share of the sorted numbers.
        place = sorted(numbers)
        at = [(len(place) - 1) * step / classes for step in range(1, classes)]
        wanted = [place[int(p)] + (p - int(p)) * (place[int(p) + 1] - place[int(p)]) for p in at]
        assert reference["edges"] == pytest.approx(wanted)
    well = run(source, references, *checks)
    assert [r.outcome for r in well] == [Outcome.PASS] * 4
    bad = run(source, references, *checks, now=other)
    assert [r.outcome for r in bad] == [Outcome.FAIL] * 4
    found = classed([amount for amount, _ in moved if amount is not None], references["psi"]["edges"])
    assert float(bad[0].observed or 0) == pytest.approx(psi(references["psi"]["counts"], found).statistic)
    assert bad[0].detail is not None
    assert bad[0].detail["found"]["counts"] == found
    assert "401 values against 401 of the reference" in bad[0].sentence
    source.close()


def test_categories_against_the_most_common_ones(live: Live) -> None:
    before, same = drawn(1, 400), drawn(2, 400)
    moved: list[tuple[float | None, str | None]] = [(1.0, "c")] * 100 + [(1.0, "new")] * 100 + [(1.0, None)] * 50
    other = Interval.of_day("2024-06-27")
    load(live, {BEFORE: before, DAY: same, other: moved})
    source = live.datasource()
    checks = [
        Check("psi", Distribution("word", of="categories", bins=4), critical=at_most(0.1)),
        Check("chi2", Distribution("word", "chi2", of="categories"), critical=at_least(0.001)),
        Check("where", Distribution("word", of="categories"), critical=at_most(0.1), where="word <> 'b'"),
    ]
    references = {check.name: recorded(source, check.kind, check.where) for check in checks}  # type: ignore[arg-type]  # all
    words = [word for _, word in before]
    assert references["psi"]["values"] == ["a", "b", "c", "it's"]
    assert references["psi"]["counts"] == [*(words.count(w) for w in ["a", "b", "c", "it's"]), words.count("rare")]
    assert (references["chi2"]["values"][-1], references["chi2"]["counts"][-1]) == ("rare", 0)
    assert "b" not in references["where"]["values"]
    assert [r.outcome for r in run(source, references, *checks)] == [Outcome.PASS] * 3
    bad = run(source, references, *checks, now=other)
    assert [r.outcome for r in bad] == [Outcome.FAIL] * 3
    assert bad[0].detail is not None
    assert bad[0].detail["found"]["counts"] == [0, 0, 100, 0, 100]
    source.close()


def test_one_value_no_value_and_no_reference(live: Live) -> None:
    load(live, {BEFORE: [(5.0, "a")] * 10, DAY: [(None, "x")] * 3})
    source = live.datasource()
    constant = recorded(source, Distribution("amount"))
    assert constant == {"column": "amount", "edges": [5], "counts": [0, 10]}
    psi_of = Distribution("amount")
    checks = [
        Check("c", psi_of, critical=at_most(0.1)),
        Check("none", Distribution("amount", "ks"), critical=at_least(0.1)),
        Check("other", Distribution("amount", of="categories"), critical=at_most(0.1)),
    ]
    found = run(source, {"c": constant, "other": constant}, *checks)
    assert [r.outcome for r in found] == [Outcome.NO_DATA, Outcome.SKIP, Outcome.SKIP]
    assert "no reference of categories is recorded for amount" in found[2].sentence
    assert run(source, {"c": constant}, checks[0], now=BEFORE)[0].observed == 0
    with pytest.raises(MeasureError, match="amount has no values"):
        recorded(source, Distribution("amount"), day=DAY)
    source.close()


def test_a_declared_reference_needs_no_store(live: Live) -> None:
    load(live, {DAY: [(float(n), "a") for n in range(10)]})
    source = live.datasource()
    declared = Distribution("amount", reference={"edges": [2, 5], "counts": [20, 30, 50]})
    suite = Suite("s", Table("live", "t"), checks=[Check("c", declared, critical=at_most(0.01))])
    (scan,) = plan(suite)
    (found,) = execute(scan, suite.table, suite.by_of, lambda _: source, Context(DAY, NOW))
    assert (found.outcome, found.observed) == (Outcome.PASS, 0)
    source.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Distribution("a", "t"), 'method=\'t\' is not one of "psi", "ks", "chi2"'),  # type: ignore[arg-type]
        (lambda: Distribution("a", "ks", of="categories"), "categories have no order"),
        (lambda: Distribution("a", bounds_on="p"), "has no p"),
        (lambda: Distribution("a", bins=1), "bins=1 is not a number of classes from 2 to 150"),
        (lambda: Distribution(""), "is not the name of a column"),
        (lambda: Distribution("a", reference={"values": ["a"], "counts": [1, 1]}), "is not one of numbers"),
        (lambda: Distribution("a", reference={"edges": [1]}), "the reference is no histogram"),
        (lambda: Distribution("a", reference={"edges": [2, 1], "counts": [1, 1, 1]}), "no histogram"),
        (lambda: Distribution("a", reference={"edges": [1], "counts": [0, 0]}), "no histogram"),
        (lambda: Distribution("a", reference=5), "no histogram"),  # type: ignore[arg-type]  # the mistake
    ],
)
def test_what_cannot_mean_anything_is_refused(make: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Suite("s", Table("w", "t"), checks=[Check("c", make(), critical=at_most(5))])


def test_a_histogram_is_json_and_back() -> None:
    for made in (Histogram((1, 2), edges=(0.5,)), Histogram((1, 2), values=("x",))):
        assert Histogram.of(made.to_json()) == made
