"""Moves: where the records of a key are before a hop and after it.

A record lies at a spot, which is an org and a day, and has values. Records that are equal on both sides stay. Of what
is left of a key, each record before the hop goes with one after it, as long as there are any, the likest first:

    before and after the hop            what it did
    ----------------------------------  ----------------------------------------------
    the same spot, other values         it has changed
    the same day, another org           it moved to that org, whatever its values
    the same org, another day           it moved to that day, whatever its values
    another org and another day         it moved to both
    left over before the hop            it is gone
    left over after the hop             it came: one more of a key that is known before the hop, or out of nowhere
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from attrs import frozen

from dq.model.group import Group
from dq.model.interval import Interval

Values = tuple[str | None, ...]
"""Canonical texts of what else is compared of a record."""


@frozen
class Spot:
    """Where records lie: an org and a day."""

    org: Group
    day: Interval


@frozen
class Move:
    """What a hop did to records.

    Attributes:
        start: where they are before it; None: nowhere.
        stage: where they are after it; None: nowhere.
        known: whether their keys are known before it.
    """

    start: Spot | None
    stage: Spot | None
    known: bool = True


@frozen
class Moves:
    """What a hop did to all records whose keys differ.

    Attributes:
        counts: how many records; of those that stayed where they are, their values changed.
        whole: False: only some of what differs was read, and these numbers are what that makes likely.
    """

    counts: Mapping[Move, int]
    whole: bool = True


Records = Mapping[tuple[Spot, Values], int]
"""The records of one key, by where they lie and what values they have."""


def moves(before: Records, after: Records) -> Iterator[tuple[Move, int]]:
    """Yield what a hop did to the records of one key, and to how many.

    Args:
        before: at the stage before the hop.
        after: at the stage after it.
    """
    start, stage = Counter(before), Counter(after)
    equal = start & stage
    start, stage = start - equal, stage - equal
    for alike in _ALIKE:
        for here, there in [(here, there) for here in start for there in stage]:
            number = min(start[here], stage[there])
            if number and alike(here[0], there[0]):
                start[here] -= number
                stage[there] -= number
                yield Move(here[0], there[0]), number
    yield from ((Move(spot, None), number) for (spot, _), number in start.items() if number)
    yield from ((Move(None, spot, bool(before)), number) for (spot, _), number in stage.items() if number)


_ALIKE: tuple[Callable[[Spot, Spot], bool], ...] = (
    lambda one, other: one == other,
    lambda one, other: one.day == other.day,
    lambda one, other: one.org == other.org,
    lambda one, other: True,  # noqa: ARG005  # as the others
)
