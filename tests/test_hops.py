"""Between which stages records are lost: the table of dq.hops, and what must hold of any pipeline."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq import By, Reconciliation, Stage, Table
from dq.hops import Gap, Loss, gaps
from dq.model.errors import DeclarationError

WAY = (("a", 100), ("b", 90), ("c", 90), ("d", 70))


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([], [Gap("a", "b", 10), Gap("c", "d", 20)]),
        ([Loss(10, ("a", "b"))], [Gap("c", "d", 20)]),
        ([Loss(10, ("a", "c"))], [Gap("c", "d", 20)]),
        ([Loss(30, ("a", "d"))], []),
        ([Loss(30)], []),
        # 10 of the 30 are known: of which of the two hops, nobody can tell.
        ([Loss(10)], [Gap("a", "d", 20)]),
        ([Loss(40)], [Gap("a", "d", -10)]),
        ([Loss(10, ("a", "b")), Loss(5)], [Gap("c", "d", 15)]),
        ([Loss(10, ("a", "b")), Loss(20)], []),
        # What is derived of stages of another branch is a loss of which nobody knows the place.
        ([Loss(30, ("a", "x"))], []),
        # Taken off once, and once more where nobody knows.
        ([Loss(10, ("a", "b")), Loss(10, ("a", "b"))], [Gap("c", "d", 10)]),
        ([Loss(-5)], [Gap("a", "b", 10), Gap("c", "d", 25)]),
    ],
)
def test_a_loss_is_taken_off_where_it_happened(losses, expected) -> None:
    assert list(gaps(WAY, losses)) == expected


def test_what_is_lost_and_doubled_is_told_apart() -> None:
    assert gaps([("a", 100), ("b", 60), ("c", 100)]) == (Gap("a", "b", 40), Gap("b", "c", -40))


COUNTS = st.lists(st.integers(0, 300), min_size=2, max_size=6)


@given(COUNTS, st.lists(st.integers(-50, 300), max_size=2), st.data())
def test_what_is_found_adds_up_and_lies_on_the_way(counts, unplaced, data) -> None:
    names = "abcdef"[: len(counts)]
    ends = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda pair: pair[0] != pair[1])
    pairs = data.draw(st.lists(ends, max_size=3))
    known = dict(zip(names, counts, strict=True))
    losses = [Loss(known[a] - known[b], (a, b)) for a, b in pairs] + [Loss(n) for n in unplaced]
    found = gaps(list(known.items()), losses)
    assert sum(gap.missing for gap in found) == counts[0] - counts[-1] - sum(loss.count for loss in losses)
    at = 0
    for gap in found:
        assert at <= names.index(gap.start) < names.index(gap.stage)
        at = names.index(gap.stage)
        assert gap.missing


@given(COUNTS, st.data())
def test_a_single_fault_is_found_where_it_is(counts, data) -> None:
    """The same records pass all hops but one."""
    hop = data.draw(st.integers(1, len(counts) - 1))
    fault = data.draw(st.integers(-100, 100).filter(bool))
    names = "abcdef"[: len(counts)]
    way = [(name, 1_000 if n < hop else 1_000 - fault) for n, name in enumerate(names)]
    assert gaps(way) == (Gap(names[hop - 1], names[hop], fault),)


def test_a_stage_is_fed_by_the_one_before_it_or_by_the_one_it_names() -> None:
    table = Table("x", "t", partition="day")
    stages = [Stage("a", table), Stage("b", table), Stage("c", table), Stage("fast", table, after="a")]
    pipeline = Reconciliation("p", by=By("org"), stages=[*stages, Stage("faster", table)])
    ways = {stage.name: "".join(f"{s.name} " for s in pipeline.way_to(stage)) for stage in pipeline.stages}
    assert ways == {"a": "a ", "b": "a b ", "c": "a b c ", "fast": "a fast ", "faster": "a fast faster "}
    for wrong in ("c", "b", "x"):
        with pytest.raises(DeclarationError, match=rf"stage 'b': after='{wrong}' is no stage before it"):
            Reconciliation("p", by="org", stages=[stages[0], Stage("b", table, after=wrong), stages[2]])
