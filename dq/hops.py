"""Hops: between which two stages of a pipeline the records of an org are lost, or become too many.

On the way from the baseline to a stage, each stage that was counted is held against the one before it; where a stage
was not counted, the hops around it are one. A known loss is taken off where it happened:

    known loss                                      taken off
    ----------------------------------------------  ------------------------------------------------------------------
    derived of two stages of the way                what is missing between these two
    counted, or derived of other stages             where something is missing; if that is at several hops, and it is
                                                    less than all of it, nobody can tell where: they become one

What is left has the sum of the discrepancy of the stage, and names no hop at which nothing differs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, pairwise

from attrs import evolve, frozen

from dq.model.ledger import Count

DIGITS = 11
"""Floating-point sums of ten million numbers agree to so many digits, or differ by more than rounding."""


@frozen
class Gap:
    """What is missing between two stages.

    Attributes:
        start, stage: their names; nothing can be said of what lies between them.
        missing: records; negative: too many.
    """

    start: str
    stage: str
    missing: Count


@frozen
class Loss:
    """A known loss of records.

    Attributes:
        count: records.
        between: the two stages that it is the difference of; None: nobody knows where it happens.
    """

    count: Count
    between: tuple[str, str] | None = None


def settled(counts: Mapping[str, Count | None], inexact: Collection[str]) -> dict[str, Count | None]:
    """Return counts among which those that differ by the rounding of floating-point numbers alone are equal.

    A sum of these depends on the order in which they are added, which is another one in each database, and each time. A
    count that agrees with that of a stage before it to ``DIGITS`` becomes that one.

    Args:
        counts: of one org, by stage, in their order.
        inexact: the stages whose numbers are floating-point; of others each digit counts.
    """
    found = dict(counts)
    if inexact:
        for (one, first), (other, second) in combinations(counts.items(), 2):
            if first and second and (one in inexact or other in inexact):
                near = abs(Fraction(first) - Fraction(second)) * 10**DIGITS <= abs(Fraction(first))
                found[other] = found[one] if near else found[other]
    return found


def gaps(way: Sequence[tuple[str, Count]], losses: Iterable[Loss] = ()) -> tuple[Gap, ...]:
    """Return where records of an org are missing or too many, in the order of the way.

    Args:
        way: the stages that were counted, from the baseline on, each with its count.
        losses: what is known to be lost on the way.
    """
    names = [name for name, _ in way]
    found = [Gap(a, b, n - m) for (a, n), (b, m) in pairwise(way)]
    unplaced: Count = 0
    taken: set[int] = set()  # a difference is taken off once
    for loss in losses:
        first, last = (names.index(n) if n in names else -1 for n in loss.between or ("", ""))
        if 0 <= first < last and not taken & {*range(first, last)}:
            found[first:last] = [evolve(gap, missing=0) for gap in found[first:last]]
            taken |= {*range(first, last)}
        else:
            unplaced += loss.count
    return tuple(gap for gap in _placed(found, unplaced) if gap.missing)


def _placed(found: list[Gap], loss: Count) -> list[Gap]:
    """Take a loss off of which nobody knows where it happened."""
    places = [n for n, gap in enumerate(found) if (gap.missing > 0 if loss > 0 else gap.missing < 0)]
    if not loss or not found:
        return found
    if not places:
        places = [len(found) - 1]  # it is told, and yet nothing differs that way: too many came by the end
    first, last = places[0], places[-1]
    of_them = [found[n].missing for n in places]
    if len(places) == 1 or sum(of_them) != loss:
        within = found[first : last + 1]
        one = Gap(within[0].start, within[-1].stage, sum(gap.missing for gap in within) - loss)
        return [*found[:first], one, *found[last + 1 :]]
    return [evolve(gap, missing=0) if n in places else gap for n, gap in enumerate(found)]
