"""Where the records of a key are before a hop and after it: the table of dq.moves, and that nothing is lost in it."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq.model.group import Group
from dq.model.interval import Interval
from dq.moves import Move, Spot, moves

MONDAY, TUESDAY = Interval.of_day("2026-11-23"), Interval.of_day("2026-11-24")


def spot(org: str, day: Interval = MONDAY) -> Spot:
    return Spot(Group(("org",), (org,)), day)


A, B, A_LATER, B_LATER = spot("a"), spot("b"), spot("a", TUESDAY), spot("b", TUESDAY)


def done(before: dict[tuple[Spot, str], int], after: dict[tuple[Spot, str], int]) -> dict[Move, int]:
    made = moves(
        {(place, (value,)): number for (place, value), number in before.items()},
        {(place, (value,)): number for (place, value), number in after.items()},
    )
    found: Counter[Move] = Counter()
    for move, number in made:
        found[move] += number
    return dict(found)


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({(A, "1"): 2}, {(A, "1"): 2}, {}),
        ({(A, "1"): 2}, {(A, "2"): 2}, {Move(A, A): 2}),
        ({(A, "1"): 1}, {(B, "1"): 1}, {Move(A, B): 1}),
        ({(A, "1"): 1}, {(B, "2"): 1}, {Move(A, B): 1}),
        ({(A, "1"): 1}, {(A_LATER, "1"): 1}, {Move(A, A_LATER): 1}),
        ({(A, "1"): 1}, {(B_LATER, "1"): 1}, {Move(A, B_LATER): 1}),
        ({(A, "1"): 3}, {(A, "1"): 1}, {Move(A, None): 2}),
        ({(A, "1"): 1}, {(A, "1"): 3}, {Move(None, A): 2}),
        ({}, {(A, "1"): 3}, {Move(None, A, known=False): 3}),
        # The likest go together: the changed one stays, the other moves.
        ({(A, "1"): 1, (B, "1"): 1}, {(A, "2"): 1, (A_LATER, "1"): 1}, {Move(A, A): 1, Move(B, A_LATER): 1}),
        ({(A, "1"): 2}, {(B, "1"): 1, (A_LATER, "1"): 1}, {Move(A, B): 1, Move(A, A_LATER): 1}),
        ({(A, "1"): 1}, {(A, "1"): 1, (B, "1"): 1}, {Move(None, B): 1}),
    ],
)
def test_what_a_hop_did(
    before: dict[tuple[Spot, str], int], after: dict[tuple[Spot, str], int], wanted: dict[Move, int]
) -> None:
    assert done(before, after) == wanted


some = st.dictionaries(
    st.tuples(st.sampled_from([A, B, A_LATER, B_LATER]), st.sampled_from("123")), st.integers(1, 4), max_size=5
)


@given(some, some)
def test_every_record_is_accounted_for_once(
    before: dict[tuple[Spot, str], int], after: dict[tuple[Spot, str], int]
) -> None:
    found = done(before, after)
    for place in (A, B, A_LATER, B_LATER):
        had = sum(number for (where, _), number in before.items() if where == place)
        has = sum(number for (where, _), number in after.items() if where == place)
        left = sum(number for move, number in found.items() if move.start == place)
        came = sum(number for move, number in found.items() if move.stage == place)
        assert had - left + came == has
    one_way = {move.start is None for move in found if None in (move.start, move.stage)}
    assert len(one_way) < 2, "records that are gone, and others that came, are the same ones"
    assert not found or before != after
