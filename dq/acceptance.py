"""What accepted discrepancies mean for an org at a stage, and how they shrink.

Judging. Of one acceptance, at the time of the judgement:

    the acceptance                        the discrepancy             it is judged        note
    ------------------------------------  --------------------------  ------------------  ---------------------------
    is of another partition; was ended,   any                         as if it were not   none
    replaced or used up; is made later                                there
    holds                                 none                        (well)              accepted until ...
    holds                                 within: that way, no more   as well             accepted until ...
    holds                                 more, or the other way      as if it were not   more than is accepted ...
                                                                      there
    expired less than ``TOLD_OF`` ago     any but none                as if it were not   no longer accepted ...
    expired before                        any                         there               none

Of several that hold, one that fits will do. What is accepted of an org is not accepted of what it is added up to at a
coarser level: that has acceptances of its own, by the name of its check. A stage that could not be counted or has no
data is judged without any of this, and so is an org that is expected and nowhere to be found.

Shrinking, with each run that is closed, once it is judged. The rung never goes up:

    the partition of the run         the discrepancy, in its unit          from then on
    -------------------------------  ------------------------------------  --------------------------------------
    older than the newest one that   any                                   as before: a back-fill says nothing of now
    it was held against
    the same or newer                not measured, no records at all, or   as before
                                     too few to be judged
    the same or newer                the other way, or as much, or more    as before
    the same or newer                less                                  only so much is accepted
    the same or newer                none                                  nothing: it is used up
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from fractions import Fraction

from attrs import evolve, frozen

from dq.model.acceptance import Acceptance, Most
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count

TOLD_OF = timedelta(days=7)
"""So long after it expired a note says so."""


@frozen
class Accepted:
    """What is accepted of a reconciliation at the time of a judgement.

    Attributes:
        now: that time.
        by_place: those that hold or have expired lately, by stage and the values of the org.
    """

    now: datetime
    by_place: Mapping[tuple[str, tuple[str | None, ...]], tuple[Acceptance, ...]]

    @classmethod
    def of(cls, acceptances: Iterable[Acceptance], now: datetime) -> Accepted:
        """Return what of ``acceptances``, of one reconciliation, matters at ``now``."""
        found: dict[tuple[str, tuple[str | None, ...]], list[Acceptance]] = defaultdict(list)
        for one in acceptances:
            if holds(one, now) or _expired_lately(one, now):
                found[one.stage, one.org.values].append(one)
        return cls(now, {place: tuple(some) for place, some in found.items()})

    def at(self, names: Mapping[str, str]) -> Accepted:
        """Return what is accepted at a coarser level, by the stages there; ``names``: how their checks are called."""
        stages = {name: stage for stage, name in names.items()}
        there = {(stages[name], org): some for (name, org), some in self.by_place.items() if name in stages}
        return Accepted(self.now, there)

    def holding(self, stage: str, org: Group, interval: Interval) -> tuple[Acceptance, ...]:
        """Return what holds of an org at a stage in a partition."""
        return tuple(one for one in self._here(stage, org, interval) if holds(one, self.now))

    def admits(self, stage: str, org: Group, interval: Interval, missing: Count, baseline: Count) -> Acceptance | None:
        """Return by which acceptance a discrepancy is judged as well; None: there is none."""
        return next((a for a in self.holding(stage, org, interval) if within(a.most, missing, baseline)), None)

    def notes(
        self, stage: str, org: Group, interval: Interval, missing: Count, baseline: Count, at: str = ""
    ) -> Iterator[str]:
        """Yield what is said of it in the row of the org; ``at``: the heading of the stage, where there are several."""
        for one in self._here(stage, org, interval):
            if holds(one, self.now):
                fits = not missing or within(one.most, missing, baseline)
                yield f"{'' if fits else 'more than is '}{words(one, at)}"
            elif missing:
                where = f" at {at}" if at else ""
                why = f"{one.author}: {one.reason}"
                yield f"no longer accepted{where} since {one.ends_at:%Y-%m-%d} ({why}; {one.most})"

    def _here(self, stage: str, org: Group, interval: Interval) -> Iterator[Acceptance]:
        for one in self.by_place.get((stage, org.values), ()):
            if one.partition is None or one.partition.start <= interval.start < interval.end <= one.partition.end:
                yield one


def words(one: Acceptance, at: str = "") -> str:
    """Return what is accepted, for people; ``at``: the heading of the stage, where there are several."""
    where = f" at {at}" if at else ""
    return f"accepted{where} until {one.last_day} by {one.author}: {one.reason} ({one.most})"


def holds(one: Acceptance, now: datetime) -> bool:
    """Return whether it holds at ``now``."""
    return one.ended is None and one.created_at <= now < one.ends_at


def within(most: Most, missing: Count, baseline: Count) -> bool:
    """Return whether a discrepancy goes the way that is accepted, and is no more than that."""
    part = most.part(missing, baseline)
    return part is not None and 0 < part <= most.limit


def shrunk(one: Acceptance, part: Fraction | None, interval: Interval) -> Acceptance | None:
    """Return the acceptance as it is after a run; None: it is used up. The second table above.

    Args:
        one: as it is stored.
        part: what was found, as :meth:`Most.part` has it; None: it was not measured.
        interval: the partition of the run.
    """
    if part is None or (one.newest is not None and interval.start < one.newest):
        return one
    if not part:
        return None
    limit = part if 0 < part < one.most.limit else one.most.limit
    return evolve(one, most=evolve(one.most, limit=limit), newest=interval.start)


def _expired_lately(one: Acceptance, now: datetime) -> bool:
    return one.ended in (None, "expired") and one.ends_at <= now < one.ends_at + TOLD_OF
