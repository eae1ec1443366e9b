"""Error budgets: the decision table, line by line, and what must hold whatever came of the promises."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st

from dq.model.budget import State, percent
from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.sla.budget import budgets

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, QUARTER = timedelta(days=1), timedelta(minutes=15)
WORDS = {
    ".": Answer.ON_TIME, "L": Answer.LATE_BUT_DONE, "A": Answer.MET_AFTER_MISS, "M": Answer.DATA_MISSING,
    "W": Answer.DATA_WRONG, "E": Answer.EXCUSED, "p": Answer.PENDING, "r": Answer.AT_RISK,
}  # fmt: skip


def one(number, answer=Answer.ON_TIME, cadence=DAY, **more):
    """Return the partition that fell due ``number`` cadences before an hour ago."""
    due = NOW - timedelta(hours=1) - number * cadence
    interval = Interval(due - cadence, due)
    part = str(interval)
    return Kept(kind="suite", subject="orders", part=part, interval=interval, due_at=due, answer=answer, **more)


def history(word, cadence=DAY):
    """Return one partition for each letter, the newest last."""
    return [one(len(word) - 1 - n, WORDS[letter], cadence) for n, letter in enumerate(word)]


def promise(goal, **more):
    return Sla(due="06:00", on_time=goal, **more)


def on_time(word, goal, cadence=DAY, **more):
    (budget,) = budgets(history(word, cadence), promise(goal, **more), NOW, cadence)
    return budget


@pytest.mark.parametrize(
    ("word", "goal", "state", "severity"),
    [
        # nothing that counts
        ("", "99%", State.NO_DATA, None),
        ("EEpr", "99%", State.NO_DATA, None),
        # one miss of daily partitions is the whole budget of 99%: spent, however long ago and whatever came since
        ("L" + "." * 27, "99%", State.SPENT, Severity.ERROR),
        ("." * 27 + "M", "99%", State.SPENT, Severity.ERROR),
        ("." * 27 + "A", "100%", State.SPENT, Severity.ERROR),
        ("L.L.L" + "." * 23, "90%", State.SPENT, Severity.ERROR),
        # 18 of 20 is exactly 90%: the promise is kept, the budget is spent
        ("LL" + "." * 18, "90%", State.SPENT, Severity.ERROR),
        # two of the newest four, and the newest one: fast
        ("." * 26 + "LL", "90%", State.FAST_BURN, Severity.WARNING),
        ("." * 24 + "L..L", "90%", State.FAST_BURN, Severity.WARNING),
        # the newest came in time: it no longer burns
        ("." * 25 + "LL.", "90%", State.FINE, None),
        # days without a promise, and excused ones, do not end it
        ("." * 24 + "L.LEEp", "90%", State.FAST_BURN, Severity.WARNING),
        # two of the newest twelve: slow
        ("." * 23 + "L...L", "90%", State.SLOW_BURN, Severity.INFO),
        ("." * 16 + "L" + "." * 10 + "L", "90%", State.SLOW_BURN, Severity.INFO),
        ("." * 15 + "L" + "." * 11 + "L", "90%", State.FINE, None),
        # one is no rate
        ("." * 27 + "L", "90%", State.FINE, None),
        ("." * 28, "99%", State.FINE, None),
        ("." * 28, "100%", State.FINE, None),
        # wrong data that came in time came in time
        ("." * 27 + "W", "99%", State.FINE, None),
    ],
)
def test_the_decision_table_for_daily_partitions(word, goal, state, severity):
    budget = on_time(word, goal)
    assert (budget.state, budget.severity) == (state, severity), budget


@pytest.mark.parametrize(
    ("word", "state"),
    [
        # 99% of 2,688 quarters allow 26.88
        ("." * 2686 + "LL", State.FAST_BURN),
        ("." * 2666 + "LL" + "." * 19 + "L", State.FAST_BURN),  # 3 of the newest 23 are 13 times too many, > 6
        ("." * 2688, State.FINE),
        ("." * 2687 + "L", State.FINE),
        ("." * 2420 + "LLL" + "." * 264 + "L", State.SLOW_BURN),  # 4 of the newest 269 are 1.5 times too many
        ("." * 2420 + "L" + "." * 266 + "L", State.FINE),  # 2 of the newest 269 are fewer than may be
        ("." * 2420 + "LLL" + "." * 240 + "L" + "." * 24, State.FINE),  # the short window has 22
        ("." * 61 + "L" * 27 + "." * 2600, State.SPENT),
        ("." * 61 + "L" * 26 + "." * 2600, State.FINE),
    ],
)
def test_the_decision_table_for_quarters_of_an_hour(word, state):
    assert on_time(word, "99%", QUARTER).state is state


def test_what_a_budget_says():
    budget = on_time("." * 23 + "L...L", "90%")
    assert (budget.sli, budget.good, budget.valid) == (Fraction(26, 28), 26, 28)
    assert (budget.allowed, budget.left) == (Fraction("2.8"), 1 - 2 / Fraction("2.8"))
    assert (budget.burn_long, budget.burn_short) == (Fraction(2, 12) * 10, 10)
    assert budget.sentence == (
        "26 of 28 partitions in time in 28d (92.85%, promised 90%): 2 of the newest 12 were late, 1.66 times what the "
        "goal allows; 28.57% of the budget is left"
    )


@pytest.mark.parametrize(
    ("word", "goal", "ends"),
    [
        ("", "99%", "nothing that counts fell due in 28d; promised are 99% of partitions in time"),
        ("." * 28, "99%", "0 late, 0.28 allowed; 100% of the budget is left, the next miss spends it"),
        ("." * 28, "90%", "promised 90%): 0 late, 2.8 allowed; 100% of the budget is left"),
        ("." * 28, "100%", "(100%, promised 100%): all kept, and none may be missed"),
        ("." * 27 + "L", "100%", "(96.42%, promised 100%): the promise is broken"),
        ("." * 27 + "L", "99%", "1 late, 0.28 allowed; the promise is broken"),
        ("LL" + "." * 18, "90%", "2 late, 2 allowed; the budget is spent, one more breaks it"),
    ],
)  # fmt: skip
def test_sentences(word, goal, ends):
    assert on_time(word, goal).sentence.endswith(ends)


def test_what_is_right_is_counted_as_promised():
    kept = [
        one(3, wrong=False, bad=1, total=1_000),
        one(2, Answer.LATE_BUT_DONE, wrong=True, bad=30, total=500),
        one(1, wrong=None),
        one(0, Answer.EXCUSED, wrong=True, bad=500, total=500, excuse="the move"),
    ]
    sla = Sla(due="06:00", on_time="70%", correct="50%")
    late, wrong = budgets(kept, sla, NOW, DAY)
    assert (late.what, late.good, late.valid) == ("on_time", 2, 3)
    assert (wrong.what, wrong.of, wrong.good, wrong.valid) == ("correct", "partitions", 1, 2)
    for of in ("rows", "orgs"):
        (rows,) = budgets(kept, Sla(due="06:00", correct="98%", of=of), NOW, DAY)
        assert (rows.of, rows.good, rows.valid, rows.allowed) == (of, 1_469, 1_500, 30)
        assert rows.state is State.SPENT
    assert budgets(kept, Sla(due="06:00"), NOW, DAY) == ()


def test_nothing_judged_is_no_data_and_no_rows_are_none():
    for kept in ([one(0, wrong=None)], [one(0, wrong=False, bad=0, total=0)], []):
        (budget,) = budgets(kept, Sla(due="06:00", correct="99%", of="rows"), NOW, DAY)
        assert (budget.state, budget.sli, budget.left, budget.burn_long) == (State.NO_DATA, None, None, None)
        assert budget.sentence == "nothing was judged in 28d; promised are 99% of rows right"


def test_the_window_ends_now_and_leaves_out_its_beginning():
    kept = [evolve(one(0, Answer.DATA_MISSING), due_at=at) for at in (NOW - 7 * DAY, NOW, NOW + timedelta(seconds=1))]
    (budget,) = budgets(kept, promise("50%", window="7d"), NOW, DAY)
    assert (budget.good, budget.valid) == (0, 1)


@pytest.mark.parametrize(
    ("share", "said"),
    [(Fraction(99_999, 100_000), "99.99%"), (Fraction(1), "100%"), (Fraction(1, 2), "50%"), (Fraction(0), "0%"),
     (Fraction(995, 1000), "99.5%"), (Fraction(-5, 2), "-250%"), (Fraction(1, 1000), "0.1%")],
)  # fmt: skip
def test_what_is_not_all_never_reads_as_all(share, said):
    assert percent(share) == said


# --------------------------------------------------------------------------------------------------------- properties

ANSWERS = st.sampled_from(list(Answer))
GOALS = st.fractions(Fraction(1, 100), 1, max_denominator=200)
CADENCES = st.sampled_from([QUARTER, timedelta(hours=1), DAY, timedelta(weeks=1)])


@st.composite
def histories(draw, least=0):
    cadence = draw(CADENCES)
    drawn = draw(st.lists(st.tuples(ANSWERS, st.none() | st.booleans(), st.integers(0, 9), st.integers(0, 9)),
                          min_size=least, max_size=40))  # fmt: skip
    kept = [
        one(n, answer, cadence, wrong=wrong, bad=min(a, b), total=max(a, b))
        for n, (answer, wrong, a, b) in enumerate(drawn)
    ]
    return cadence, kept


SLAS = st.builds(
    lambda on_time, correct, of: Sla(due="06:00", on_time=on_time, correct=correct, of=of),
    GOALS, GOALS, st.sampled_from(["partitions", "rows", "orgs"]),
)  # fmt: skip


@given(histories(), SLAS)
def test_it_equals_a_naive_count(made, sla):
    cadence, kept = made
    there = [k for k in kept if NOW - timedelta(days=28) < k.due_at and k.answer != "excused" and not k.answer.waits]
    late, wrong = budgets(kept, sla, NOW, cadence)
    assert late.valid == len(there)
    assert late.good == sum(not k.answer.missed for k in there)
    if sla.of == "partitions":
        assert (wrong.valid, wrong.good) == (
            sum(k.wrong is not None for k in there),
            sum(k.wrong is False for k in there),
        )
    else:
        assert (wrong.valid, wrong.valid - wrong.good) == (sum(k.total for k in there), sum(k.bad for k in there))
    for budget in (late, wrong):
        assert budget.sli == (Fraction(budget.good, budget.valid) if budget.valid else None)
        assert (budget.state is State.NO_DATA) == (budget.valid == 0)
        bad = budget.valid - budget.good
        assert (budget.state is State.SPENT) == (bad > 0 and (budget.sli <= budget.goal))
        assert (budget.severity is None) == (budget.state in (State.NO_DATA, State.FINE))
        if budget.valid and budget.goal < 1:
            assert budget.left == 1 - bad / (budget.allowed)


@given(histories(least=1), SLAS, st.data())
def test_one_miss_more_is_never_better(made, sla, data):
    cadence, kept = made
    index = data.draw(st.integers(0, len(kept) - 1))
    before = budgets(kept, sla, NOW, cadence)
    chosen = kept[index]
    assume(not chosen.answer.waits and chosen.answer is not Answer.EXCUSED and chosen.wrong is not None)
    kept[index] = evolve(chosen, answer=Answer.DATA_MISSING, wrong=True, bad=chosen.total)
    for was, worse in zip(before, budgets(kept, sla, NOW, cadence), strict=True):
        assert worse.valid == was.valid
        assert worse.good <= was.good
        assert worse.left is None or worse.left <= was.left
        assert worse.state.rank >= was.state.rank
        assert (worse.severity or 0) >= (was.severity or 0)


@given(histories(), SLAS, st.lists(st.tuples(st.integers(0, 40), ANSWERS, st.booleans()), max_size=9))
def test_what_is_excused_or_waits_changes_nothing(made, sla, more):
    cadence, kept = made
    excused = [
        evolve(one(n + 0.5, answer, cadence), wrong=wrong, bad=5, total=5, excuse="the move")
        for n, answer, wrong in more
    ]
    waiting = [evolve(e, answer=Answer.PENDING, excuse="") for e in excused]
    assert budgets([*excused, *kept, *waiting], sla, NOW, cadence) == budgets(kept, sla, NOW, cadence)


@given(histories(), SLAS, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(made, sla, random):
    cadence, kept = made
    mixed = list(kept)
    random.shuffle(mixed)
    assert budgets(iter(mixed), sla, NOW, cadence) == budgets(kept, sla, NOW, cadence)


@given(histories(), CADENCES)
def test_a_goal_of_all_divides_nothing_by_zero(made, other):
    _, kept = made
    for sla in (Sla(due="06:00", on_time="100%", correct="100%"), Sla(due="06:00", correct="100%", of="rows")):
        for budget in budgets(kept, sla, NOW, other):
            assert (budget.left, budget.burn_long, budget.burn_short) == (None, None, None)
            assert budget.sentence
