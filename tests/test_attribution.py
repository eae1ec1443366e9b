"""What became of records: the table of dq.attribution, and faults that are put into a made-up pipeline."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import timedelta
from itertools import pairwise
from random import Random
from time import perf_counter
from typing import Any

import pytest
from attrs import frozen

from dq import By, Explained, Reconciliation, Stage, Table
from dq.attribution import Attribution, Hop, Kind, attribute, differences
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count, LedgerRow
from dq.moves import Move, Moves, Spot
from tests.conftest import measured

DAY = Interval.of_day("2026-11-20")
DAYS = [Interval(DAY.start + n * timedelta(days=1), DAY.end + n * timedelta(days=1)) for n in range(-7, 2)]
BEFORE, AFTER = DAYS[-3], DAYS[-1]
STAGES = ("collector", "queue", "aggregate", "database", "mart")
PIPELINE = Reconciliation(
    "p",
    by=By("org"),
    stages=[Stage(name, Table("x", name, partition="day"), compare=name in ("database", "mart")) for name in STAGES],
)

Counts = dict[tuple[Group, str, Interval], Count]


def org(name: object) -> Group:
    return Group(("org",), (str(name),))


@frozen
class Fault:
    """What is done to the records of an org on a day: from the stage after ``hop`` on; restated: up to it."""

    kind: str
    hop: int
    size: int
    whom: int
    other: int = 0

    def apply(self, counts: Counts, day: Interval = DAY) -> None:
        for place, stage in enumerate(STAGES):
            if (place < self.hop) is not (self.kind == "restate"):
                continue
            sign = {"drop": -1, "duplicate": 1, "restate": 1}.get(self.kind, -1)
            counts[org(self.whom), stage, day] += sign * self.size
            if self.kind == "move":
                counts[org(self.other), stage, day] += self.size
            elif self.kind in ("delay", "hurry"):
                counts[org(self.whom), stage, AFTER if self.kind == "delay" else BEFORE] += self.size


def healthy(orgs: int, days: list[Interval] = DAYS, count: int = 10_000) -> Counts:
    return {(org(n), stage, day): count for n in range(orgs) for stage in STAGES for day in days}


def rows(counts: Counts) -> list[LedgerRow]:
    by_org: dict[tuple[Group, Interval], dict[str, Count | None]] = defaultdict(dict)
    for (group, stage, day), count in counts.items():
        by_org[group, day][stage] = count
    return [
        LedgerRow(
            interval=day,
            org=group,
            counts=found,
            explained={},
            discrepancy={
                stage.name: (found.get(STAGES[0]) or 0) - (found.get(stage.name) or 0) for stage in PIPELINE.compared
            },
            share={},
            severity=None,
        )
        for (group, day), found in by_org.items()
    ]


def became(now: Counts, then: Counts | None = None) -> dict[tuple[str, str], Attribution]:
    """Return what became of what differs on the day, by org and the stage after the hop."""
    return {(one.difference.org.label, one.difference.stage): one for one in attributions(now, then)}


def attributions(
    now: Counts, then: Counts | None = None, keys: Mapping[Hop, Moves] | None = None
) -> tuple[Attribution, ...]:
    before: dict[Interval, dict[tuple[Group, str], Count]] = defaultdict(dict)
    was: dict[Interval, list[Any]] = defaultdict(list)
    for (group, stage, day), count in (then or {}).items():
        before[day][group, stage] = count
    for one in differences(PIPELINE, rows(then or {})):
        was[one.interval].append(one)
    return attribute(PIPELINE, DAY, differences(PIPELINE, rows(now)), now, before, was, keys)


KINDS = {"drop": Kind.MISSING, "duplicate": Kind.DUPLICATED, "restate": Kind.RESTATED, "move": Kind.REKEYED}
KINDS |= {"delay": Kind.SHIFTED, "hurry": Kind.SHIFTED}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hop", [1, 3, 4])
def test_a_fault_is_named_with_its_hop(kind: str, hop: int) -> None:
    then, now = healthy(4), healthy(4)
    Fault(kind, hop, 120, 1, 2).apply(now)
    found = became(now, then)
    one = found["1", STAGES[hop]]
    assert (one.difference.start, one.kind, one.since) == (STAGES[hop - 1], KINDS[kind], DAY)
    assert (one.orgs, one.of_orgs) == (1, 4)
    assert one.org == (org(2) if kind == "move" else None)
    assert one.day == {"delay": AFTER, "hurry": BEFORE}.get(kind)
    assert found.keys() == {("1", STAGES[hop]), *([("2", STAGES[hop])] if kind == "move" else [])}
    if kind == "move":
        assert (found["2", STAGES[hop]].kind, found["2", STAGES[hop]].org) == (Kind.REKEYED, org(1))


@pytest.mark.parametrize(
    "faults",
    [
        [Fault("move", 2, 3, 1, 2)],  # three records: no evidence
        [Fault("drop", 2, 120, 1), Fault("duplicate", 2, 120, 2), Fault("duplicate", 2, 120, 3)],
        [Fault("move", 2, 120, 1, 2), Fault("delay", 2, 120, 1)],
        [Fault("move", 2, 120, 1, 2), Fault("drop", 2, 50, 1)],  # 170 are missing, of which 120 are elsewhere
        [Fault("delay", 2, 120, 1), Fault("drop", 2, 50, 1)],
        [Fault("drop", 2, 120, 1), Fault("duplicate", 2, 1_200, 2)],
    ],
)
def test_what_has_two_explanations_is_not_told(faults: list[Fault]) -> None:
    now = healthy(5)
    for fault in faults:
        fault.apply(now)
    assert {one.kind for one in became(now).values()} == {Kind.UNKNOWN}


def test_what_is_lost_at_one_hop_and_doubled_at_another_is_two_things() -> None:
    now = healthy(3)
    Fault("drop", 1, 120, 1).apply(now)
    Fault("duplicate", 4, 120, 1).apply(now)
    assert {place: one.kind for place, one in became(now).items()} == {
        ("1", "queue"): Kind.MISSING,
        ("1", "mart"): Kind.DUPLICATED,
    }


@pytest.mark.parametrize(
    ("faults", "kinds"),
    [
        # What the source has more is missing at this hop, whatever happens at others.
        ([("drop", 1, 30), ("restate", 3, 120)], {1: "missing", 3: "restated"}),
        ([("restate", 1, 30), ("restate", 3, 120)], {1: "restated", 3: "restated"}),
        ([("restate", 1, 120), ("duplicate", 3, 30)], {1: "restated", 3: "duplicated"}),
        ([("restate", 4, 120), ("drop", 1, 30)], {1: "missing", 4: "restated"}),  # beyond another compared stage
        ([("restate", 1, 30), ("drop", 2, 30)], {1: "cannot tell", 2: "cannot tell"}),  # each of them explains it
        ([("drop", 1, 30), ("duplicate", 3, 30)], {1: "missing", 3: "duplicated"}),
        # Both are the same numbers as if the queue alone had been filled again.
        ([("duplicate", 1, 30), ("drop", 2, 30)], {1: "cannot tell", 2: "cannot tell"}),
    ],
)
def test_two_faults_of_one_org_in_different_hops(faults: list[tuple[str, int, int]], kinds: dict[int, str]) -> None:
    then, now = healthy(3), healthy(3)
    for kind, hop, size in faults:
        Fault(kind, hop, size, 1).apply(now)
    assert {place: one.kind for place, one in became(now, then).items()} == {
        ("1", STAGES[hop]): kind for hop, kind in kinds.items()
    }


def test_nobody_knows_what_is_missing_of_a_day_that_grew() -> None:
    """A hundred more came since all was well, and ten are missing: of those, or of these."""
    then, now = healthy(3), healthy(3)
    for stage in STAGES:
        now[org(1), stage, DAY] += 100
    Fault("drop", 2, 10, 1).apply(now)
    assert became(now, then)["1", "aggregate"].kind is Kind.UNKNOWN
    assert (
        became(now, {key: 0 if key[2] == DAY else count for key, count in then.items()})["1", "aggregate"].kind
        is Kind.MISSING
    ), "it was compared before there was anything"


@pytest.mark.parametrize(
    ("more", "kinds"),
    [
        (0, {"1": ["9"], "2": ["9"], "9": ["2", "1"]}),
        (-50, {"1": ["9"], "2": ["9"], "9": ["2", "1"]}),  # of one percent it is no matter that they are missing
        (-2_000, {"1": [], "2": [], "9": []}),
        (30_000, {"1": [], "2": [], "9": []}),
    ],
)
@pytest.mark.parametrize("split", [False, True])
def test_orgs_that_became_one_as_a_whole_are_rekeyed(more: int, kinds: dict[str, list[str]], split: bool) -> None:
    now = healthy(4)
    for stage in STAGES:
        now[org(2), stage, DAY] = 20_000
        merged = STAGES.index(stage) >= 2
        if merged is not split:
            now[org(9), stage, DAY] = now.pop((org(1), stage, DAY)) + now.pop((org(2), stage, DAY)) + more
    found = became(now)
    told = {one.difference.org.label: one for one in found.values() if one.difference.stage == "aggregate"}
    for name, others in kinds.items():
        assert [group.label for group in told[name].others] == others
        assert told[name].kind is (Kind.REKEYED if others else Kind.UNKNOWN)
        assert told[name].org == (told[name].others[0] if told[name].others else None)


def test_orgs_that_are_called_otherwise_leave_no_doubt_of_another_one() -> None:
    now = healthy(6)
    for stage in STAGES[3:]:
        for old, new in ((1, 8), (2, 9)):
            now[org(old), stage, DAY] += old
            now[org(new), stage, DAY] = now.pop((org(old), stage, DAY))
    for stage in STAGES[:3]:
        for old in (1, 2):
            now[org(old), stage, DAY] += old
    Fault("drop", 3, 120, 3).apply(now)
    Fault("drop", 3, 10_001, 4).apply(now)  # gone, and not to the one that has as many
    now[org(4), "mart", DAY] = now[org(4), "database", DAY] = 0
    for stage in STAGES[:3]:
        now[org(4), stage, DAY] = 10_001
    told = {name: (str(one.kind), one.org and one.org.label) for (name, _), one in became(now).items()}
    assert told == {
        "1": ("cannot tell", None), "4": ("cannot tell", None), "8": ("cannot tell", None),
        "2": ("re-keyed", "9"), "9": ("re-keyed", "2"), "3": ("cannot tell", None),
    }  # fmt: skip
    for stage in STAGES[:3]:
        now[org(4), stage, DAY] = 0
    told = {name: (str(one.kind), one.org and one.org.label) for (name, _), one in became(now).items()}
    assert told == {
        "1": ("re-keyed", "8"), "8": ("re-keyed", "1"), "2": ("re-keyed", "9"), "9": ("re-keyed", "2"),
        "3": ("missing", None),
    }  # fmt: skip


def test_another_org_is_not_doubted_where_orgs_became_one() -> None:
    now = healthy(4)
    for stage in STAGES[2:]:
        now[org(9), stage, DAY] = now.pop((org(1), stage, DAY)) + now.pop((org(2), stage, DAY))
    Fault("drop", 2, 120, 3).apply(now)
    assert became(now)["3", "aggregate"].kind is Kind.MISSING


def test_the_hops_around_a_stage_that_was_not_counted_are_one() -> None:
    now = healthy(3)
    Fault("drop", 2, 120, 1).apply(now)
    for group, stage, day in [*now]:
        if stage == "queue":
            now[group, stage, day] = None  # type: ignore[assignment]  # as a stage is in which nobody could count
    (one,) = became(now).values()
    assert (one.difference.start, one.difference.stage, one.kind) == ("collector", "aggregate", Kind.MISSING)


Told = tuple[str, str, int, str, int | None, str | None, Interval | None]


def by_keys(now: Counts, moved: dict[tuple[int, Move], int], then: Counts | None = None) -> list[Told]:
    """Return what keys tell: org, stage, missing, kind, records, other org and day."""
    hops: dict[tuple[str, str], dict[Move, int]] = {pair: {} for pair in pairwise(STAGES)}
    for (hop, move), number in moved.items():
        hops[STAGES[hop - 1], STAGES[hop]][move] = number
    found = attributions(now, then, {hop: Moves(counts) for hop, counts in hops.items()})
    return [
        (
            one.difference.org.label, one.difference.stage, int(one.difference.missing), str(one.kind), one.records,
            one.org.label if one.org else None, one.day,
        )
        for one in found
    ]  # fmt: skip


def at(whom: int, day: Interval = DAY) -> Spot:
    return Spot(org(whom), day)


def test_keys_tell_each_part_of_a_difference_and_what_cancels() -> None:
    now = healthy(4)
    for fault in (Fault("move", 2, 3, 1, 2), Fault("delay", 2, 5, 1), Fault("drop", 2, 7, 1)):
        fault.apply(now)
    told = by_keys(
        now,
        {
            (2, Move(at(1), at(2))): 3,
            (2, Move(at(1), at(1, AFTER))): 5,
            (2, Move(at(1), None)): 7,
            (2, Move(at(1), at(1))): 9,
            (2, Move(None, at(3))): 4,
            (2, Move(at(3), None)): 4,
            (3, Move(at(1, BEFORE), at(2))): 2,
            (3, Move(at(1, AFTER), None)): 2,  # another day
        },
    )
    assert sorted(told) == [
        ("1", "aggregate", 0, "restated", 9, None, None),
        ("1", "aggregate", 3, "re-keyed", 3, "2", None),
        ("1", "aggregate", 5, "shifted", 5, None, AFTER),
        ("1", "aggregate", 7, "missing", 7, None, None),
        ("2", "aggregate", -3, "re-keyed", 3, "1", None),
        ("2", "database", -2, "re-keyed", 2, "1", BEFORE),
        ("3", "aggregate", -4, "duplicated", 4, None, None),
        ("3", "aggregate", 4, "missing", 4, None, None),
    ]


def test_one_part_has_the_number_that_was_counted() -> None:
    """It may be a sum: five records had another amount, which is 300 in all."""
    now = healthy(3)
    Fault("drop", 2, 300, 1).apply(now)
    assert by_keys(now, {(2, Move(at(1), at(1))): 5}) == [("1", "aggregate", 300, "restated", 5, None, None)]


@pytest.mark.parametrize(
    ("gone", "came", "fault", "kinds"),
    [
        (100, 0, "drop", ["missing"]),
        (100, 0, "restate", ["restated"]),
        (0, 100, "duplicate", ["cannot tell"]),  # with keys of its own, it may be anything
        (0, 100, "purge", ["restated"]),
        (100, 95, None, ["cannot tell", "cannot tell"]),  # or these are those
        (100, 5, None, ["missing", "cannot tell"]),
    ],
)
def test_of_what_is_gone_or_came_counts_say_why(gone: int, came: int, fault: str | None, kinds: list[str]) -> None:
    then, now = healthy(3), healthy(3)
    if fault == "purge":  # the source lost them after the stage was fed
        Fault("restate", 2, -100, 1).apply(now)
    else:
        Fault(fault or "drop", 2, 100 if fault else gone - came, 1).apply(now)
    told = by_keys(now, {(2, Move(at(1), None)): gone, (2, Move(None, at(1), known=False)): came}, then)
    assert [kind for _, stage, _, kind, *_ in told if stage == "aggregate"] == kinds


def test_keys_tell_a_doubled_record_from_a_stage_that_was_filled_again() -> None:
    then, now = healthy(3), healthy(3)
    Fault("duplicate", 1, 30, 1).apply(now)
    Fault("drop", 2, 30, 1).apply(now)
    told = by_keys(now, {(1, Move(None, at(1))): 30, (2, Move(at(1), None)): 30}, then)
    assert [kind for _, _, _, kind, *_ in told] == ["duplicated", "missing"]


@pytest.mark.parametrize(("lost", "told"), [(10, []), (4, [6])])
def test_what_is_known_to_be_lost_is_not_told_as_gone(lost: int, told: list[int]) -> None:
    stages = [Stage("a", Table("x", "a", partition="day")), Stage("b", Table("x", "b", partition="day"))]
    dead = Explained("dead", counted=Stage("dead", Table("x", "dead", partition="day")))
    made = Reconciliation("p", by="org", stages=stages, explained=[dead])
    row = LedgerRow(
        interval=DAY, org=org(1), counts={"a": 100, "b": 90}, explained={"dead": lost}, discrepancy={"b": 10 - lost},
        share={}, severity=None,
    )  # fmt: skip
    counts: Counts = {(org(1), "a", DAY): 100, (org(1), "b", DAY): 90}
    keys = {("a", "b"): Moves({Move(at(1), None): 10})}
    found = attribute(made, DAY, differences(made, [row]), counts, {}, {}, keys)
    assert [one.records for one in found] == told


def test_many_orgs_do_not_take_long() -> None:
    now = healthy(3_000)
    for whom in range(3_000):
        Fault("drop", 2, 100 + whom, whom).apply(now)
    began = perf_counter()
    assert len(became(now)) == 3_000
    assert perf_counter() - began < 10, "it looks at every pair of orgs"


def test_since_when_and_how_many() -> None:
    now = healthy(3)
    for day in DAYS[-5:-1]:
        for whom in (0, 1):
            Fault("drop", 2, 100 + whom, whom).apply(now, day)
    Fault("drop", 2, 500, 0).apply(now, DAYS[0])
    found = became(now)
    assert [one.difference.missing for one in found.values()] == [101, 100], "the greatest first"
    assert {(one.since, one.orgs, one.of_orgs) for one in found.values()} == {(DAYS[-5], 2, 3)}


def test_what_came_by_itself_so_far_is_late_and_not_missing() -> None:
    days = DAYS[:-1]
    then, now = healthy(3, days), healthy(3, days)
    for day in days[-4:-1]:
        Fault("drop", 4, 800, 1).apply(then, day)
    Fault("drop", 4, 800, 1).apply(now)
    Fault("drop", 4, 300, 2).apply(now)
    found = became(now, then)
    assert (found["1", "mart"].kind, found["2", "mart"].kind) == (Kind.LATE, Kind.MISSING)
    Fault("drop", 4, 5, 1).apply(now, days[-3])  # some of it never came
    assert became(now, then)["1", "mart"].kind is Kind.MISSING
    assert became(healthy(3) | now, then)["1", "mart"].kind is Kind.MISSING, "the day after has gone by"


def test_known_losses_are_no_difference() -> None:
    table = Table("x", "t", partition="day")
    skipped = Explained("skipped", derived=("a", "b"))
    stages = [Stage("a", table), Stage("b", table), Stage("c", table)]
    made = Reconciliation("p", by="org", stages=stages, explained=[skipped])
    counts: dict[str, Count | None] = {"a": 100, "b": 90, "c": 85}
    row = LedgerRow(
        interval=DAY, org=org(1), counts=counts, explained={"skipped": 10}, discrepancy={"b": 0, "c": 5},
        share={}, severity=None,
    )  # fmt: skip
    (one,) = differences(made, [row])
    assert (one.start, one.stage, one.missing) == ("b", "c", 5)


@pytest.mark.soak
def test_injected_faults_are_named_or_not_told_and_never_called_something_else(
    histories: Any, request: pytest.FixtureRequest
) -> None:
    confusion: Counter[tuple[str, str]] = Counter()
    hops = 0
    for rng in histories(60, 3_000):
        for expected, hop_found, kind in play(rng):
            confusion[expected, kind] += 1
            hops += hop_found
    faults = sum(confusion.values())
    right = sum(number for (expected, kind), number in confusion.items() if expected == kind)
    wrong = {pair: n for pair, n in confusion.items() if pair[0] != pair[1] and pair[1] != Kind.UNKNOWN}
    matrix = ", ".join(f"{a} called {b}: {n:,}" for (a, b), n in sorted(confusion.items()))
    measured(request.node, faults, f"faults of 100 records or more; hops found {hops / faults:.2%}, {matrix}")
    assert hops >= 0.99 * faults
    assert right >= 0.95 * faults
    assert not wrong


def play(rng: Random) -> list[tuple[str, bool, str]]:
    """Put a few faults into a pipeline; return of each what it is, whether its hop was found, and what it is called."""
    orgs = rng.choice((3, 20, 60))
    then = {
        (org(n), stage, day): count
        for n in range(orgs)
        for day in DAYS
        for count in [rng.randint(200_000, 10_000_000)]
        for stage in STAGES
    }
    now = dict(then)
    whom = rng.sample(range(orgs), min(orgs, 6))
    faults = []
    while len(whom) >= 2 and len(faults) < 2:
        size = rng.choice((100, 100_000)) + rng.randint(0, 99)
        faults.append(Fault(rng.choice(sorted(KINDS)), rng.randint(1, 4), size, whom.pop(), whom.pop()))
        faults[-1].apply(now)
    found = became(now, then)
    return [
        (
            str(KINDS[fault.kind]),
            (mine := found.get((str(fault.whom), STAGES[fault.hop]))) is not None
            and mine.difference.start == STAGES[fault.hop - 1],
            str(mine.kind) if mine is not None else "not found",
        )
        for fault in faults
    ]
