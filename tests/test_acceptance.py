"""Accepted discrepancies: the two tables of dq.acceptance, line by line, and that nothing ever makes one grow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from dq.acceptance import TOLD_OF, Accepted, shrunk
from dq.model.acceptance import Acceptance, Most
from dq.model.errors import DeclarationError
from dq.model.group import Group
from dq.model.interval import Interval

DAY, OLDER, NEWER = (Interval.of_day(f"2026-11-{day}") for day in (20, 19, 21))
NOW = datetime(2026, 11, 21, 5, tzinfo=UTC)
ORG = Group(("org",), ("14",))
END = datetime(2027, 1, 1, tzinfo=UTC)
MADE = Acceptance(
    id=3,
    reconciliation="pipe",
    org=ORG,
    stage="db",
    most=Most(Fraction(120)),
    reason="collector restarts",
    author="ann",
    created_at=NOW - timedelta(days=1),
    ends_at=END,
    newest=DAY.start,
)
UNTIL = "accepted until 2026-12-31 by ann: collector restarts (at most 120 records)"
SINCE = "no longer accepted since 2027-01-01 (ann: collector restarts; at most 120 records)"
SHARE = evolve(MADE, most=Most(Fraction(1, 100), is_share=True))
TOO_MANY = evolve(MADE, most=Most(Fraction(120), too_many=True))


@pytest.mark.parametrize(
    ("one", "missing", "now", "well", "notes"),
    [
        (evolve(MADE, partition=OLDER), 120, NOW, False, ()),
        (evolve(MADE, ended="ended", ended_at=NOW), 120, NOW, False, ()),
        (evolve(MADE, ended="replaced", ended_at=NOW), 120, NOW, False, ()),
        (evolve(MADE, ended="used up", ended_at=NOW), 120, NOW, False, ()),
        (evolve(MADE, created_at=NOW + timedelta(seconds=1)), 120, NOW, False, ()),
        (MADE, 0, NOW, False, (UNTIL,)),
        (MADE, 1, NOW, True, (UNTIL,)),
        (MADE, 120, NOW, True, (UNTIL,)),
        (MADE, 121, NOW, False, (f"more than is {UNTIL}",)),
        (MADE, -1, NOW, False, (f"more than is {UNTIL}",)),
        (evolve(MADE, partition=DAY), 120, NOW, True, (UNTIL,)),
        (TOO_MANY, -120, NOW, True, (UNTIL.replace("records", "records too many"),)),
        (TOO_MANY, 1, NOW, False, ("more than is " + UNTIL.replace("records", "records too many"),)),
        (SHARE, 10, NOW, True, (UNTIL.replace("120 records", "1 % of the baseline"),)),
        (SHARE, 11, NOW, False, ("more than is " + UNTIL.replace("120 records", "1 % of the baseline"),)),
        (MADE, 120, END - timedelta(microseconds=1), True, (UNTIL,)),
        (MADE, 120, END, False, (SINCE,)),
        (MADE, 0, END, False, ()),
        (evolve(MADE, ended="expired", ended_at=END), 120, END + TOLD_OF - timedelta(seconds=1), False, (SINCE,)),
        (MADE, 120, END + TOLD_OF, False, ()),
    ],
)
def test_how_an_org_is_judged_of_which_something_is_accepted(
    one: Acceptance, missing: int, now: datetime, well: bool, notes: tuple[str, ...]
) -> None:
    accepted = Accepted.of([one], now)
    assert (accepted.admits("db", ORG, DAY, missing, 1_000) is not None) is well
    assert tuple(accepted.notes("db", ORG, DAY, missing, 1_000)) == notes
    for stage, org in (("other", ORG), ("db", Group(("org",), ("15",)))):
        assert accepted.admits(stage, org, DAY, missing, 1_000) is None
        assert not [*accepted.notes(stage, org, DAY, missing, 1_000)]


def test_no_share_of_a_baseline_of_zero_is_accepted_and_hours_lie_in_their_day() -> None:
    assert Accepted.of([evolve(SHARE, most=Most(Fraction(5), True, True))], NOW).admits("db", ORG, DAY, -3, 0) is None
    hour = Interval(DAY.start, DAY.start + timedelta(hours=1))
    of_day = Accepted.of([evolve(MADE, partition=DAY)], NOW)
    assert of_day.admits("db", ORG, hour, 5, 10) is not None
    assert of_day.admits("db", ORG, Interval(OLDER.start, DAY.end), 5, 10) is None


def test_of_several_one_that_fits_will_do_and_the_stage_is_named() -> None:
    few = evolve(MADE, id=4, most=Most(Fraction(2)))
    accepted = Accepted.of([few, MADE], NOW)
    assert accepted.admits("db", ORG, DAY, 100, 1_000) == MADE
    assert [note.partition(" until")[0] for note in accepted.notes("db", ORG, DAY, 100, 1_000, "Database")] == [
        "more than is accepted at Database",
        "accepted at Database",
    ]


@pytest.mark.parametrize(
    ("one", "part", "interval", "limit"),
    [
        (MADE, Fraction(5), OLDER, 120),
        (MADE, Fraction(0), OLDER, 120),
        (MADE, None, NEWER, 120),
        (MADE, Fraction(-5), NEWER, 120),
        (MADE, Fraction(120), NEWER, 120),
        (MADE, Fraction(121), NEWER, 120),
        (MADE, Fraction(119), DAY, 119),
        (MADE, Fraction(1), NEWER, 1),
        (MADE, Fraction(0), DAY, None),
        (evolve(MADE, newest=None), Fraction(7), OLDER, 7),
        (SHARE, Fraction(3, 1_000), NEWER, Fraction(3, 1_000)),
    ],
)
def test_how_it_shrinks(one: Acceptance, part: Fraction | None, interval: Interval, limit: object) -> None:
    after = shrunk(one, part, interval)
    assert (None if after is None else after.most.limit) == limit
    if after is not None:
        moved = part is not None and interval.start >= DAY.start
        assert after.newest == (interval.start if moved or one.newest is None else DAY.start)


@given(st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 40)), max_size=30), st.booleans(), st.booleans())
def test_it_never_grows_by_itself(runs: list[tuple[int, int]], is_share: bool, too_many: bool) -> None:
    one: Acceptance | None = evolve(MADE, most=Most(Fraction(1, 5) if is_share else Fraction(120), is_share, too_many))
    for missing, day in runs:
        assert one is not None
        interval = Interval(DAY.start + timedelta(days=day), DAY.end + timedelta(days=day))
        before = one.most
        one = shrunk(one, before.part(missing, 1_000), interval)
        if one is None:
            assert missing == 0
            break
        assert one.most.limit <= before.limit
        assert evolve(one.most, limit=before.limit) == before


@pytest.mark.parametrize(
    ("text", "most", "said"),
    [
        ("120", Most(Fraction(120)), "at most 120 records"),
        (" 1 ", Most(Fraction(1)), "at most 1 record"),
        ("12.50", Most(Fraction(25, 2)), "at most 12.5 records"),
        ("-120", Most(Fraction(120), too_many=True), "at most 120 records too many"),
        ("1.5%", Most(Fraction(3, 200), is_share=True), "at most 1.5 % of the baseline"),
        ("-200 %", Most(Fraction(2), is_share=True, too_many=True), "at most 200 % of the baseline too many"),
    ],
)
def test_how_much_is_written_and_told(text: str, most: Most, said: str) -> None:
    assert Most.of(text) == most
    assert str(most) == said


@pytest.mark.parametrize("text", ["", "0", "0%", "-0", "many", "1e3", "1,5", "nan", "%", "--1", "+3"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match=r"is no number of records and no share|accepts nothing"):
        Most.of(text)
