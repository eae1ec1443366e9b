"""Error budgets: the decision table, the rules of the SRE workbook, and what holds whatever was kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.sla.budget import budgets, counts

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def kept(due_at: datetime, answer: Answer = Answer.ON_TIME, **more) -> Kept:
    return Kept(
        kind="suite", subject="orders", part=f"{due_at}", interval=Interval(due_at - HOUR, due_at), due_at=due_at,
        answer=answer, **more,
    )  # fmt: skip


def hours(number: int, bad=()) -> list[Kept]:
    """Return so many hours until now; ``bad``: which were late, counted back from now, 0 is the newest."""
    return [kept(NOW - n * HOUR, Answer.MET_AFTER_MISS if n in bad else Answer.ON_TIME) for n in range(number)]


def one(found: list[Kept], sla: Sla, cadence: timedelta = HOUR):
    (budget,) = budgets(found, sla, NOW, cadence)
    return budget


SLA = Sla(within="1h", on_time="99%")  # of 672 hours in 28 days 6.72 may be late


@pytest.mark.parametrize(
    ("found", "state", "severity"),
    [
        ([], "no_data", None),
        (hours(672), "fine", None),
        (hours(672, range(600, 606)), "fine", None),  # long ago
        (hours(672, range(7)), "spent", Severity.ERROR),
        (hours(672, range(0, 70, 10)), "spent", Severity.ERROR),
        # 2 % of the budget: 12 hours at least, 0.02 * 672 / 12 = 1.12 times too fast; one in twelve is 8.3 times
        (hours(672, [0]), "fast_burn", Severity.WARNING),
        # The newest hour was good: it has stopped to burn fast. 10 %: 2.8 days at a factor of 1, and 5.6 hours.
        (hours(672, [1]), "slow_burn", Severity.INFO),
        (hours(672, [7]), "fine", None),
        (hours(672, [0, 30, 60]), "fast_burn", Severity.WARNING),
    ],
)
def test_the_decision_table(found, state, severity) -> None:
    budget = one(found, SLA)
    assert (budget.state, budget.severity) == (state, severity)


def test_a_slow_burn_is_told_where_the_fast_ones_do_not_burn() -> None:
    quarters = timedelta(minutes=15)
    sla = Sla(every="15m", on_time="99%")
    # 2688 quarters, 26.88 may be late. Long: 2.8 d = 268.8 quarters at a factor of 1, short: 5.6 h = 22.4 quarters.
    late = {20, 60, 120, 180, 240}
    found = [kept(NOW - n * quarters, Answer.LATE_BUT_DONE if n in late else Answer.ON_TIME) for n in range(2688)]
    budget = one(found, sla, quarters)
    assert (budget.state, budget.severity) == ("slow_burn", Severity.INFO)
    assert budget.burn is not None and budget.burn > 1


def test_days_know_only_spent_or_not() -> None:
    days = [kept(NOW - n * DAY, Answer.MET_AFTER_MISS if n == 3 else Answer.ON_TIME) for n in range(28)]
    assert one(days, SLA, DAY).state == "spent"
    loose = Sla(within="1h", on_time="95%")  # 1.4 of 28 may be late
    budget = one(days, loose, DAY)
    assert (budget.state, budget.good, budget.valid, budget.burn) == ("fine", 27, 28, None)
    assert budget.left == 1 - Fraction(1) / (Fraction(5, 100) * 28)


def test_nothing_may_be_late_at_all() -> None:
    strict = Sla(within="1h", on_time="100%")
    assert one(hours(5), strict).state == "fine"
    budget = one(hours(5, [2]), strict)
    assert (budget.state, budget.left) == ("spent", None)
    assert str(budget) == "80% of 100% in time: 1 of 5 were not"


def test_what_is_correct_is_counted_as_it_is_promised() -> None:
    found = [
        kept(NOW - HOUR, wrong=True, bad=10, total=1000),
        kept(NOW - 2 * HOUR, wrong=False, bad=0, total=3000),
        kept(NOW - 3 * HOUR, wrong=None),  # nobody looked
        kept(NOW - 4 * HOUR, Answer.NEVER_STARTED),
    ]
    partitions = one(found, Sla(within="1h", correct="99%"))
    assert (partitions.good, partitions.valid, partitions.state) == (1, 2, "spent")
    rows = one(found, Sla(within="1h", correct="99.5%", of="rows"))
    assert (rows.good, rows.valid, rows.state) == (3990, 4000, "fine")
    both = budgets(found, Sla(within="1h", on_time="70%", correct="99%"), NOW, HOUR)
    assert [(b.what, b.good, b.valid) for b in both] == [("on_time", 3, 4), ("correct", 1, 2)]


ANSWERS = st.sampled_from(list(Answer))
SOME = st.lists(
    st.builds(
        lambda n, answer, excuse: kept(NOW - n * HOUR, answer, excuse=excuse),
        st.integers(0, 900),
        ANSWERS,
        st.sampled_from(["", "", "", "moved"]),
    ),
    max_size=60,
)


@given(found=SOME, random=st.randoms(use_true_random=False))
def test_it_is_what_one_would_count_by_hand_in_any_order(found, random) -> None:
    budget = one(found, SLA)
    mine = [k for k in found if k.due_at > NOW - 28 * DAY and not k.answer.waits and not k.excuse]
    mine = [k for k in mine if k.answer is not Answer.EXCUSED]
    assert (budget.valid, budget.valid - budget.good) == (len(mine), sum(k.answer.missed for k in mine))
    assert (budget.state == "spent") is (sum(k.answer.missed for k in mine) * 100 > len(mine))
    random.shuffle(found)
    assert one(found, SLA) == budget


@given(found=SOME, which=st.integers(0, 59))
def test_one_more_miss_makes_nothing_better_and_an_excuse_nothing_worse(found, which) -> None:
    before = one(found, SLA)
    if which >= len(found) or not counts(found[which]):
        return
    worse = [evolve(k, answer=Answer.NEVER_STARTED) if i == which else k for i, k in enumerate(found)]
    after = one(worse, SLA)
    assert after.good <= before.good and after.valid == before.valid
    excused = [evolve(k, excuse="the lake moved") if i == which else k for i, k in enumerate(worse)]
    assert one(excused, SLA).valid - one(excused, SLA).good <= after.valid - after.good
