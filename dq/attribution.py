"""Attribution: what became of the records that an org misses at a hop, or has too many of, from counts alone.

The days around the partition are counted again, and what was counted of them before is at hand. Of a difference at a
hop (positive: missing, negative: too many), the first that fits:

    what else is seen                                                          kind
    -------------------------------------------------------------------------  ---------------------------------------
    nothing differed here when the day was last compared, and what the         restated: after the stage was fed
    baseline has more (or fewer) of the org since then is what differs at the
    fewest hops of the way, this one among them
    the same, where several sets of as few hops fit, and not all of them have  cannot tell
    this one; or the stage before or after the hop is the only one that
    changed since then
    all of the org is gone at the hop, or of it and of some others, and a new  re-keyed: as a whole; if all of several
    org has as many; or an old one has as many too many as several such have;  became one that is new, up to 1 % may be
    or the other way round                                                     missing besides
    the same org has as many too many (or missing) at the hop on the day       shifted to that day, or from it
    before or after, and no other org has on this day
    one other org has as many too many (or missing) at the hop on this day     re-keyed: moved to that org, or from it
    both of these; or several such orgs; or some org, or a day beside it, has  cannot tell
    a difference of the other sign at the hop that nothing else explains, and
    that is a tenth of this one or more; or the stage before has at least as
    many more (or fewer) as when nothing differed, and no hops fit that
    too many                                                                   duplicated
    missing, the newest day, and all that was missing on two or more of the    late: it has come by itself so far
    days before when they were compared has come since
    missing, else                                                              missing

Equal numbers are all the evidence there is, so it is little for a handful of records: a difference of fewer than
``FEW`` records is never said to be shifted or re-keyed when it fits, but *cannot tell*.

Where the keys of a hop were compared, they tell what counts cannot, each part of a difference for itself, and also
what cancels in counts:

    records of an org and day                                                  kind
    -------------------------------------------------------------------------  ---------------------------------------
    that have another org after the hop, or had one before it                  re-keyed: to that org, or from it
    that are on another day after the hop, or were before it                   shifted: to that day, or from it
    that have other values after the hop                                       restated
    more of a key than before the hop                                          duplicated
    gone, beyond the known loss of the hop                                     restated, late, cannot tell or missing,
                                                                               as counts say
    of a key that nobody knows before the hop                                  restated, as counts say; else cannot tell
    gone, and a tenth or more of these besides; or the other way round         cannot tell
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, combinations

from attrs import define, evolve, frozen

from dq.deploys import Near
from dq.hops import Loss, gaps
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count, LedgerRow
from dq.model.reconciliation import Reconciliation
from dq.moves import Moves, Spot

FEW = 10
"""Of fewer records, equal numbers are no evidence."""

MOST_TRIED = 10
"""Of so many hops, or orgs that are gone, all sets are tried; of more, only that of all of them."""

Hop = tuple[str, str]
"""Two stages, by their names."""

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
        others: the other org, of what is re-keyed, or several, the greatest first.
        day: the other day, of what is shifted; None: none.
        since: the first of the days without a gap that have a difference of the same sign there.
        or_longer: that is the first day that was counted, so nobody knows whether it began before.
        orgs: how many orgs have one on this day.
        of_orgs: how many there are at the stage before the hop.
        near: deploy markers near the first of the days, where it is known.
        records: how many records it is, by their keys; None: it is known from counts alone. Of several parts of a
            difference, ``missing`` is in records, and 0 where they only have other values.
        estimated: whether only some of the keys were read, and the number is what these make likely.
    """

    difference: Difference
    kind: Kind
    others: tuple[Group, ...] = ()
    day: Interval | None = None
    since: Interval
    or_longer: bool = False
    orgs: int
    of_orgs: int
    near: tuple[Near, ...] = ()
    records: int | None = None
    estimated: bool = False

    @property
    def org(self) -> Group | None:
        """The other org, of what is re-keyed: the greatest of several; None: none."""
        return self.others[0] if self.others else None


def differences(declared: Reconciliation, rows: Iterable[LedgerRow]) -> tuple[Difference, ...]:
    """Return what differs at each hop on the way to a compared stage, after what is known to be lost."""
    found: dict[tuple[Group, _Place], Difference] = {}
    rows = tuple(rows)
    # A stage of which no org has a count was not counted, as far as can be seen; the hops around it are one then.
    counted = {
        name for row in rows for name, count in row.counts.items() if count is not None or name in row.discrepancy
    }
    ways = {
        stage.name: [one.name for one in declared.way_to(stage) if one.name in counted] for stage in declared.compared
    }
    for row in rows:
        for name, way in ways.items():
            if name not in row.discrepancy:  # it could not be counted
                continue
            losses = [
                Loss(row.explained[known.name], known.derived)
                for known in declared.explained
                if known.name in row.explained and (not known.stages or name in known.stages)
            ]
            counts = [row.counts.get(one) or 0 for one in way]
            if not losses and counts.count(counts[0]) == len(counts):
                continue
            for gap in gaps(list(zip(way, counts, strict=True)), losses):
                one = Difference(
                    org=row.org, interval=row.interval, start=gap.start, stage=gap.stage, missing=gap.missing
                )
                found.setdefault((row.org, one.place), one)
    return tuple(found.values())


def attribute(
    declared: Reconciliation,
    wanted: Interval,
    now: Sequence[Difference],
    counts: Mapping[tuple[Group, str, Interval], Count],
    before: Mapping[Interval, Mapping[tuple[Group, str], Count]],
    was: Mapping[Interval, Sequence[Difference]],
    keys: Mapping[Hop, Moves] | None = None,
) -> tuple[Attribution, ...]:
    """Return what became of each difference of the day ``wanted``, the greatest first.

    Args:
        declared: the reconciliation.
        wanted: the day.
        now: what differs on this day and those around it.
        counts: what is counted now, by org, stage and day.
        before: what was counted when a day was last compared, by day, org and stage.
        was: what differed then.
        keys: what hops did to the records of this day and those beside it.
    """
    seen = _Seen(declared, now, counts, before, was)
    seen.tallies = {(*hop, wanted): _Tally.of(moves, wanted) for hop, moves in (keys or {}).items()}
    found = [one for place in seen.tallies for one in seen.by_keys(place)]
    known = {(one.difference.org, one.difference.place) for one in found}
    found += [seen.attributed(one) for one in now if one.interval == wanted and (one.org, one.place) not in known]
    found.sort(key=lambda one: (-_size(one.records or one.difference.missing), one.difference.org.sort_key))
    return tuple(found)


@frozen
class _Part:
    """A part of a difference, as keys tell it; see :class:`Attribution`."""

    kind: Kind
    missing: int
    records: int
    org: Group | None = None
    day: Interval | None = None

    @classmethod
    def moved(cls, here: Spot, there: Spot, missing: int) -> _Part:
        """Return what lies here at one of the two stages, and there at the other."""
        org = there.org if there.org != here.org else None
        day = there.day if there.day != here.day else None
        return cls(Kind.SHIFTED if org is None else Kind.REKEYED, missing, abs(missing), org, day)


@define
class _Tally:
    """What a hop did to the records of a day.

    Attributes:
        parts: what is certain, by org.
        gone: records without a counterpart after the hop.
        came: records of keys that are not known before it.
        estimated: whether only some of the keys were read.
    """

    parts: dict[Group, list[_Part]]
    gone: Counter[Group]
    came: Counter[Group]
    estimated: bool

    @classmethod
    def of(cls, found: Moves, day: Interval) -> _Tally:
        """Return what was done on one of the days."""
        made = cls(defaultdict(list), Counter(), Counter(), not found.whole)
        for move, number in found.counts.items():
            start, stage = move.start, move.stage
            if start is not None and start.day == day:
                if stage is None:
                    made.gone[start.org] += number
                elif stage == start:
                    made.parts[start.org].append(_Part(Kind.RESTATED, 0, number))
                else:
                    made.parts[start.org].append(_Part.moved(start, stage, number))
            if stage is not None and stage.day == day and stage != start:
                if start is not None:
                    made.parts[stage.org].append(_Part.moved(stage, start, -number))
                elif move.known:
                    made.parts[stage.org].append(_Part(Kind.DUPLICATED, -number, number))
                else:
                    made.came[stage.org] += number
        return made


class _Seen:
    """All that is seen, by where it is looked for."""

    def __init__(
        self,
        declared: Reconciliation,
        now: Sequence[Difference],
        counts: Mapping[tuple[Group, str, Interval], Count],
        before: Mapping[Interval, Mapping[tuple[Group, str], Count]],
        was: Mapping[Interval, Sequence[Difference]],
    ) -> None:
        self.counts, self.before = counts, before
        counted = {stage for _, stage, _ in counts}
        ways = [[one.name for one in declared.way_to(stage) if one.name in counted] for stage in declared.compared]
        # What is restated at a later hop is missing at none of the way to an earlier stage.
        self.ways = [
            way for way in ways if not any(len(way) < len(other) and way == other[: len(way)] for other in ways)
        ]
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
        self.whole = {place: self._whole(place) for place in [*self.at]}
        self.alike = {place: self._alike(place) for place in [*self.at]}
        self.opposed = {place: self._greatest(place) for place in [*self.at]}
        self.signs = {place: Counter(n > 0 for n in here.values()) for place, here in self.at.items()}
        self.tallies: dict[_Place, _Tally] = {}

    def attributed(self, one: Difference) -> Attribution:
        kind, others, day = self._kind(one)
        since = self._since(one)
        return Attribution(
            difference=one,
            kind=kind,
            others=others,
            day=day,
            since=since,
            or_longer=self._or_longer(one, since),
            orgs=self.signs[one.place][one.missing > 0],
            of_orgs=self.orgs[one.start, one.interval],
        )

    def _or_longer(self, one: Difference, since: Interval) -> bool:
        """Return whether nobody knows if it began before."""
        return since != one.interval and since == self.days[0]

    def by_keys(self, place: _Place) -> Iterator[Attribution]:
        """Yield what a hop did to the records of a day, as their keys tell."""
        (start, stage, day), tally = place, self.tallies[place]
        found: dict[Group, list[_Part]] = {}
        for org in dict.fromkeys((*tally.parts, *tally.gone, *tally.came)):
            if not self._is_within(org, place):
                left = self._left(Difference(org=org, interval=day, start=start, stage=stage, missing=0))
                found[org] = [*tally.parts.get(org, ()), *left]
        signs = Counter((part.missing > 0, part.missing < 0) for parts in found.values() for part in parts)
        for org, parts in found.items():
            for part in parts:
                # One part is the whole difference, which may be a sum; of several parts, records are all that is known.
                missing = self.at.get(place, {}).get(org, 0) if len(parts) == 1 else 0
                one = Difference(org=org, interval=day, start=start, stage=stage, missing=missing or part.missing)
                since = self._since(one)
                yield Attribution(
                    difference=one,
                    kind=part.kind,
                    others=() if part.org is None else (part.org,),
                    day=part.day,
                    since=since,
                    or_longer=self._or_longer(one, since),
                    orgs=signs[part.missing > 0, part.missing < 0],
                    of_orgs=self.orgs[start, day],
                    records=part.records,
                    estimated=tally.estimated,
                )

    def _left(self, one: Difference) -> Iterator[_Part]:
        """Yield what is gone, and what came out of nowhere; keys do not tell why, so counts do."""
        tally, differs = self.tallies[one.place], self.at.get(one.place, {}).get(one.org, 0)
        gone, came = self._gone_and_came(tally, one)
        known = self._count(one, one.start) - self._count(one, one.stage) - differs  # it is lost in a known way
        if known > 0:
            gone = max(0, gone - int(known)) if differs else 0
        elif known < 0:
            came = max(0, came + int(known)) if differs else 0
        net = evolve(one, missing=gone - came)
        restated = self._is_restated(net) if net.missing == differs else False
        if gone and came and 10 * min(gone, came) >= max(gone, came):
            kinds = Kind.UNKNOWN, Kind.UNKNOWN
        elif restated:
            kinds = Kind.RESTATED, Kind.RESTATED
        elif restated is None or self._has_grown(net):
            kinds = Kind.UNKNOWN, Kind.UNKNOWN
        else:
            kinds = Kind.LATE if self._comes_late(net) else Kind.MISSING, Kind.UNKNOWN
        if gone:
            yield _Part(kinds[0], gone, gone)
        if came:
            yield _Part(kinds[1], -came, came)

    def _gone_and_came(self, tally: _Tally, one: Difference) -> tuple[int, int]:
        """Return what is gone, and what came; where that is estimated and the records were counted, counts are exact.

        They say how much more is gone than came where nothing else changed the number, if that is about what was
        estimated; else they count something else.
        """
        gone, came = tally.gone[one.org], tally.came[one.org]
        off = int(self._count(one, one.start) - self._count(one, one.stage)) - (gone - came)
        moved = any(part.missing for part in tally.parts.get(one.org, ()))
        if not tally.estimated or moved or 5 * abs(off) > max(gone, came):
            return gone, came
        return (gone + off, came) if gone >= came else (gone, came - off)

    def _is_within(self, org: Group, place: _Place) -> bool:
        """Return whether nobody can tell if it is at this hop, because of a known loss that may be here or beside."""
        start, stage, day = place
        return any(
            org in here and {start, stage} <= {*way[way.index(first) : way.index(last) + 1]}
            for (first, last, other), here in self.at.items()
            if other == day and (first, last) != (start, stage)
            for way in self.ways
            if first in way and last in way
        )

    def _count(self, one: Difference, stage: str) -> Count:
        return self.counts.get((one.org, stage, one.interval), 0)

    def _kind(self, one: Difference) -> tuple[Kind, tuple[Group, ...], Interval | None]:
        restated = self._is_restated(one)
        if restated is not False:
            return Kind.RESTATED if restated else Kind.UNKNOWN, (), None
        whole = self.whole[one.place]
        if one.org in whole:
            return Kind.REKEYED, whole[one.org], None
        days = [day for day in self._beside(one.interval) if self._missing(one, day) == -one.missing]
        orgs = self.alike[one.place][-one.missing]
        if len(days) + len(orgs) == 1 and _size(one.missing) >= FEW:
            if days:
                return Kind.SHIFTED, (), days[0]
            if len(self.alike[one.place][one.missing]) == 1:
                return Kind.REKEYED, (orgs[0],), None
        if days or orgs or self._opposed(one) or self._has_grown(one):
            return Kind.UNKNOWN, (), None
        if one.missing < 0:
            return Kind.DUPLICATED, (), None
        return (Kind.LATE if self._comes_late(one) else Kind.MISSING), (), None

    def _is_restated(self, one: Difference) -> bool | None:
        """Return whether the records were changed after the stage was fed; None: nobody can tell."""
        found: set[bool | None] = set()
        for way, hops, sets in self._restated(one):
            fits = {one.place[:2] in some for some in sets}
            if not fits:
                found.add(self._grown(one, one.start) == one.missing and not self._grown(one, one.stage))
            elif len(fits) > 1:
                return None
            else:
                beside = [
                    n
                    for (start, stage), n in hops.items()
                    if (stage == one.start or start == one.stage) and self._may_be_new(one, (start, stage))
                ]
                found.add(None if -one.missing in beside and not self._grown(one, way[0]) else fits.pop())
        return found.pop() if len(found) == 1 else None if found else False

    def _may_be_new(self, one: Difference, hop: Hop) -> bool:
        """Return whether a hop may have other records after it than before, rather than the same ones elsewhere."""
        tally = self.tallies.get((*hop, one.interval))
        return tally is None or bool(tally.gone[one.org] or tally.came[one.org])

    def _restated(self, one: Difference) -> Iterator[tuple[list[str], dict[Hop, Count], list[tuple[Hop, ...]]]]:
        """Yield the ways through the hop, what is new at the hops of each, and where the records may be restated.

        What the baseline has more is what is restated, so it is what differs at these hops together; the fewest hops
        of which that is so. Nothing where it is not known, or something differed here before.
        """
        if one.interval not in self.before or self.was[one.place].get(one.org):
            return
        for way in self.ways:
            if one.start not in way or one.stage not in way:
                continue
            new = {
                (start, stage): here[one.org] - self.was[start, stage, day].get(one.org, 0)
                for (start, stage, day), here in self.at.items()
                if day == one.interval and start in way and stage in way and one.org in here
            }
            hops = {hop: missing for hop, missing in new.items() if missing}
            grown, sets = self._grown(one, way[0]), list[tuple[Hop, ...]]()
            for number in range(len(hops) + 1 if len(hops) <= MOST_TRIED else 0):
                sets = [some for some in combinations(hops, number) if sum(hops[hop] for hop in some) == grown]
                if sets:
                    break
            yield way, hops, sets

    def _grown(self, one: Difference, stage: str) -> Count:
        """Return how many records more of its org and day a stage has than when the day was last compared."""
        then = self.before[one.interval].get((one.org, stage), 0)
        return self._count(one, stage) - then

    def _has_grown(self, one: Difference) -> bool:
        """Return whether the stage before has become more by what is missing, or more than that, since all was well.

        Nobody knows whether these are the records that are missing, or others that came through.
        """
        if not self.before.get(one.interval, {}).get((one.org, one.stage)):
            return False
        if not any(not sets for _, _, sets in self._restated(one)):
            return False
        grown = self._grown(one, one.start)
        return _same_sign(grown, one.missing) and _size(grown) >= _size(one.missing)

    def _whole(self, place: _Place) -> dict[Group, tuple[Group, ...]]:
        """Return the orgs that became others at a hop as a whole, and those others, each with what it was or is."""
        start, stage, day = place
        found: dict[Group, tuple[Group, ...]] = {}
        for sign, before, after in ((1, start, stage), (-1, stage, start)):
            here = {org: sign * missing for org, missing in self.at[place].items()}
            gone = {org: n for org, n in here.items() if n > 0 and not self.counts.get((org, after, day))}
            there = {org: -n for org, n in here.items() if n < 0}
            if not gone or len(there) > MOST_TRIED:
                continue
            tried = range(1, len(gone) + 1) if len(gone) <= MOST_TRIED else [len(gone)]
            pairs = [
                (one, some)
                for some in chain.from_iterable(combinations(gone, number) for number in tried)
                for one, number in there.items()
                if _became(
                    number, sum(gone[org] for org in some), len(some), new=not self.counts.get((one, before, day))
                )
            ]
            if len(there) == 1 and not pairs:
                (one, number), several = *there.items(), sum(gone.values())
                is_near = 100 * _size(number - several) <= max(number, several)
                if len(gone) > 1 and several >= FEW and is_near and not self.counts.get((one, before, day)):
                    pairs = [(one, tuple(gone))]
            times = Counter(org for one, some in pairs for org in (one, *some))
            for one, some in pairs:
                if all(times[org] == 1 for org in (one, *some)):
                    found[one] = tuple(sorted(some, key=lambda org: (-gone[org], org.sort_key)))
                    found |= dict.fromkeys(some, (one,))
        return found

    def _opposed(self, one: Difference) -> bool:
        """Return whether a difference of the other sign may hold a good part of this one, or the other way round."""
        others = [self._missing(one, day) for day in self._beside(one.interval)]
        others.append(self.opposed[one.place][one.missing < 0])
        return any(_same_sign(m, -one.missing) and 10 * _size(m) >= _size(one.missing) for m in others)

    def _greatest(self, place: _Place) -> dict[bool, Count]:
        """Return the most that is missing and that is too many of an org at a place, where nothing explains it."""
        start, stage, day = place
        beside = [self.at[start, stage, other] for other in self._beside(day) if (start, stage, other) in self.at]
        found: dict[bool, Count] = {True: 0, False: 0}
        for org, missing in self.at[place].items():
            explained = org in self.whole[place] or any(there.get(org) == -missing for there in beside)
            if not explained and _size(missing) > _size(found[missing > 0]):
                found[missing > 0] = missing
        return found

    def _alike(self, place: _Place) -> dict[Count, list[Group]]:
        """Return the orgs by what is missing of them, without those that became others as a whole."""
        found: dict[Count, list[Group]] = defaultdict(list)
        for org, missing in self.at[place].items():
            if org not in self.whole[place]:
                found[missing].append(org)
        return found

    def _missing(self, one: Difference, day: Interval) -> Count:
        """Return what is missing of its org at its hop on another day."""
        return self.at.get((one.start, one.stage, day), {}).get(one.org, 0)

    def _comes_late(self, one: Difference) -> bool:
        if one.interval != self.days[-1]:
            return False
        before = [day for day in self.days if day.start < one.interval.start]
        late = [day for day in before if self.was[one.start, one.stage, day].get(one.org, 0) > 0]
        return len(late) >= 2 and not any(self.at[one.start, one.stage, day].get(one.org) for day in late)

    def _beside(self, of: Interval) -> list[Interval]:
        return [day for day in self.days if day.end == of.start or day.start == of.end]

    def _since(self, one: Difference) -> Interval:
        first = one.interval
        for day in reversed(self.days):
            if day.start < first.start:
                if not _same_sign(self.at[one.start, one.stage, day].get(one.org, 0), one.missing):
                    break
                first = day
        return first


def _became(one: Count, several: Count, number: int, *, new: bool) -> bool:
    """Return whether an org has as many as some others that are gone; that of one is no evidence if it is not new."""
    return one == several and one >= FEW and (new or number > 1)


def _size(count: Count) -> Count:
    return -count if count < 0 else count


def _same_sign(one: Count, other: Count) -> bool:
    return (one > 0 and other > 0) or (one < 0 and other < 0)
