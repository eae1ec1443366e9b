"""Attribution: what became of the records that an org misses at a hop, or has too many of, from counts alone.

The days around the partition are counted again, and what was counted of them before is at hand. Of a difference at a
hop (positive: missing, negative: too many), the first that fits:

    what else is seen                                                          kind
    -------------------------------------------------------------------------  ---------------------------------------
    the stage before the hop now has as many records more (or fewer) of this   restated: after the stage was fed
    org and day than when it was last compared, and nothing differed then
    the same org has as many too many (or missing) at the hop on the day       shifted to that day, or from it
    before or after, and no other org has on this day
    one other org has as many too many (or missing) at the hop on this day     re-keyed: moved to that org, or from it
    both of these; or several such orgs; or some org, or a day beside it, has  cannot tell
    a difference of the other sign at the hop that nothing else explains, and
    that is a tenth of this one or more
    too many                                                                   duplicated
    missing, the newest day, and all that was missing on two or more of the    late: it has come by itself so far
    days before when they were compared has come since
    missing, else                                                              missing

Equal numbers are all the evidence there is, so it is little for a handful of records: a difference of fewer than
``FEW`` records is never said to be shifted or re-keyed when it fits, but *cannot tell*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from attrs import frozen

from dq.deploys import Near
from dq.hops import Loss, gaps
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count, LedgerRow
from dq.model.reconciliation import Reconciliation

FEW = 10
"""Of fewer records, equal numbers are no evidence."""

_Place = tuple[str, str, Interval]
"""A hop, by its two stages, and a day."""


class Kind(StrEnum):
    """What became of records."""

    MISSING = "missing"
    LATE = "late"
    DUPLICATED = "duplicated"
    RESTATED = "restated"
    SHIFTED = "shifted"
    REKEYED = "re-keyed"
    UNKNOWN = "cannot tell"


@frozen(kw_only=True)
class Difference:
    """What is missing of an org on a day between two stages.

    Attributes:
        org: of whom.
        interval: the day.
        start, stage: the names of the stages.
        missing: records; negative: too many.
    """

    org: Group
    interval: Interval
    start: str
    stage: str
    missing: Count

    @property
    def place(self) -> _Place:
        """The hop and the day."""
        return self.start, self.stage, self.interval


@frozen(kw_only=True)
class Attribution:
    """What is known about a difference.

    Attributes:
        difference: which.
        kind: what became of the records.
        org: the other org, of what is re-keyed; None: none.
        day: the other day, of what is shifted; None: none.
        since: the first of the days without a gap that have a difference of the same sign there.
        or_longer: that is the first day that was counted, so nobody knows whether it began before.
        orgs: how many orgs have one on this day.
        of_orgs: how many there are at the stage before the hop.
        near: deploy markers near the first of the days, where it is known.
    """

    difference: Difference
    kind: Kind
    org: Group | None = None
    day: Interval | None = None
    since: Interval
    or_longer: bool = False
    orgs: int
    of_orgs: int
    near: tuple[Near, ...] = ()


def differences(declared: Reconciliation, rows: Iterable[LedgerRow]) -> tuple[Difference, ...]:
    """Return what differs at each hop on the way to a compared stage, after what is known to be lost."""
    found: dict[tuple[Group, _Place], Difference] = {}
    for row in rows:
        for stage in declared.compared:
            if stage.name not in row.discrepancy:  # it could not be counted
                continue
            way = [(s.name, row.counts.get(s.name) or 0) for s in declared.way_to(stage)]
            losses = [
                Loss(row.explained[known.name], known.derived)
                for known in declared.explained
                if known.name in row.explained and (not known.stages or stage.name in known.stages)
            ]
            for gap in gaps(way, losses):
                one = Difference(
                    org=row.org, interval=row.interval, start=gap.start, stage=gap.stage, missing=gap.missing
                )
                found.setdefault((row.org, one.place), one)
    return tuple(found.values())


def attribute(
    wanted: Interval,
    now: Sequence[Difference],
    counts: Mapping[tuple[Group, str, Interval], Count],
    before: Mapping[Interval, Mapping[tuple[Group, str], Count]],
    was: Mapping[Interval, Sequence[Difference]],
) -> tuple[Attribution, ...]:
    """Return what became of each difference of the day ``wanted``, the greatest first.

    Args:
        wanted: the day.
        now: what differs on this day and those around it.
        counts: what is counted now, by org, stage and day.
        before: what was counted when a day was last compared, by day, org and stage.
        was: what differed then.
    """
    seen = _Seen(now, counts, before, was)
    mine = [one for one in now if one.interval == wanted]
    mine.sort(key=lambda one: (-_size(one.missing), one.org.sort_key))
    return tuple(seen.attributed(one) for one in mine)


class _Seen:
    """All that is seen, by where it is looked for."""

    def __init__(
        self,
        now: Sequence[Difference],
        counts: Mapping[tuple[Group, str, Interval], Count],
        before: Mapping[Interval, Mapping[tuple[Group, str], Count]],
        was: Mapping[Interval, Sequence[Difference]],
    ) -> None:
        self.counts, self.before = counts, before
        self.at: dict[_Place, dict[Group, Count]] = defaultdict(dict)
        for one in now:
            self.at[one.place][one.org] = one.missing
        self.was: dict[_Place, dict[Group, Count]] = defaultdict(dict)
        for differed in was.values():
            for one in differed:
                self.was[one.place][one.org] = one.missing
        self.days = sorted({interval for _, _, interval in counts}, key=lambda day: day.start)
        self.orgs: dict[tuple[str, Interval], int] = defaultdict(int)
        for _, stage, interval in counts:
            self.orgs[stage, interval] += 1

    def attributed(self, one: Difference) -> Attribution:
        kind, org, day = self._kind(one)
        since = self._since(one)
        return Attribution(
            difference=one,
            kind=kind,
            org=org,
            day=day,
            since=since,
            or_longer=since != one.interval and since == self.days[0],
            orgs=sum(_same_sign(missing, one.missing) for missing in self.at[one.place].values()),
            of_orgs=self.orgs[one.start, one.interval],
        )

    def _kind(self, one: Difference) -> tuple[Kind, Group | None, Interval | None]:
        if self._is_restated(one):
            return Kind.RESTATED, None, None
        days = [day for day in self._beside(one) if self.at[one.start, one.stage, day].get(one.org) == -one.missing]
        others = self.at[one.place]
        orgs = [org for org, missing in others.items() if missing == -one.missing]
        if len(days) + len(orgs) == 1 and _size(one.missing) >= FEW:
            if days:
                return Kind.SHIFTED, None, days[0]
            if sum(missing == one.missing for missing in others.values()) == 1:
                return Kind.REKEYED, orgs[0], None
        if days or orgs or self._opposed(one):
            return Kind.UNKNOWN, None, None
        if one.missing < 0:
            return Kind.DUPLICATED, None, None
        return (Kind.LATE if self._comes_late(one) else Kind.MISSING), None, None

    def _is_restated(self, one: Difference) -> bool:
        then = self.before.get(one.interval)
        if then is None or self.was[one.place].get(one.org):
            return False
        grown = self.counts.get((one.org, one.start, one.interval), 0) - then.get((one.org, one.start), 0)
        same = self.counts.get((one.org, one.stage, one.interval), 0) == then.get((one.org, one.stage), 0)
        return same and grown == one.missing

    def _opposed(self, one: Difference) -> bool:
        """Return whether a difference of the other sign may hold a good part of this one, or the other way round."""
        beside = [self.at[one.start, one.stage, day] for day in self._beside(one)]
        others = [
            missing
            for org, missing in self.at[one.place].items()
            if not any(found.get(org) == -missing for found in beside)  # else it is shifted
        ]
        others += [found.get(one.org, 0) for found in beside]
        return any(_same_sign(m, -one.missing) and 10 * _size(m) >= _size(one.missing) for m in others)

    def _comes_late(self, one: Difference) -> bool:
        if one.interval != self.days[-1]:
            return False
        before = [day for day in self.days if day.start < one.interval.start]
        late = [day for day in before if self.was[one.start, one.stage, day].get(one.org, 0) > 0]
        return len(late) >= 2 and not any(self.at[one.start, one.stage, day].get(one.org) for day in late)

    def _beside(self, one: Difference) -> list[Interval]:
        return [day for day in self.days if day.end == one.interval.start or day.start == one.interval.end]

    def _since(self, one: Difference) -> Interval:
        first = one.interval
        for day in reversed(self.days):
            if day.start < first.start:
                if not _same_sign(self.at[one.start, one.stage, day].get(one.org, 0), one.missing):
                    break
                first = day
        return first


def _size(count: Count) -> Count:
    return -count if count < 0 else count


def _same_sign(one: Count, other: Count) -> bool:
    return (one > 0 and other > 0) or (one < 0 and other < 0)
