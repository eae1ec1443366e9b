"""A look at a group: what each channel must be told of it, and when. Nothing is read or written here.

For a channel and a key, each open incident that is routed there is one of these:

    muted or outside of the route's hours    was told there    it is
    ---------------------------------------  ----------------  --------------------------------------------------
    no                                       anything          shown (of an escalation: once nobody acknowledged)
    yes                                      no                hidden: not told
    yes                                      yes               held: it stays told as it was, and is not shown

What the channel should know is what is shown and what is held; why it must be told, and when, is ``reason``. Where
nothing is shown and something is held, nobody is told anything. What incidents that came and went untold have to do
with it: they are *passed* where something is open, and an event of their own elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from attrs import evolve, field, frozen

from dq.alerting.config import AlertConfig
from dq.alerting.flow import LONGEST_ASKED
from dq.alerting.mute import Mute
from dq.alerting.reason import Pace, Reason, State, reason
from dq.alerting.routing import Chosen, Place, Target
from dq.alerting.times import muted_by_time, next_change
from dq.model.incident import Incident

_EVER = datetime.min.replace(tzinfo=UTC)


@frozen(kw_only=True)
class Known:
    """What is known of a channel and a key: the row of ``dq_told``.

    Attributes:
        told: what the channel was last told for sure.
        trying: what was on the wire and is not settled; None: nothing.
        passed: ids of what came and went and was part of that try.
        unsent: it waits for the turn of the channel, and was not tried yet.
        unsure: the channel may know of something, because an earlier try was never settled.
        mixed: of the tries that were never settled, some had another state than ``trying``; which of them the channel
            has, nobody knows.
        dead: it refused ``trying`` for good.
        told_at: when it was last told.
        flushed_at: when the group could first be told since it is open; its ticks count from here.
        acked_at: when it was told that somebody is on it.
        next_at: it is not told before that.
        attempts: how many tries have failed.
        reference: what the vendor calls the last message.
        message: the last message that told of something open, as text.
    """

    told: State = field(factory=dict)
    trying: State | None = None
    passed: tuple[int, ...] = ()
    unsent: bool = False
    unsure: bool = False
    mixed: bool = False
    dead: bool = False
    told_at: datetime | None = None
    flushed_at: datetime | None = None
    acked_at: datetime | None = None
    next_at: datetime | None = None
    attempts: int = 0
    reference: Mapping[str, str] = field(factory=dict)
    message: str | None = None

    @property
    def maybe(self) -> State:
        """All that the channel knows, or may know."""
        return {**self.told, **(self.trying or {})}


@frozen(kw_only=True)
class Decision:
    """What one channel must be told under one key.

    Attributes:
        target: the channel and the key.
        known: what it knows.
        reason: why it must be told.
        when: not before; None: it must not be told.
        desired: what it should know.
        shown: what the message tells of; empty: that all is over.
        held: what is muted and stays told as it was.
        gone: what it was told of, or may have been, and no longer should know: ended, or no longer routed there.
        passed: what came and went untold while something was open there.
        acked: somebody is on all that is shown.
        escalated: how long nobody acknowledged what is shown, where it is told here because of that.
        quiet: that all is over is not told here.
        flushed_at: as ``Known`` should have it from now on.
        look_at: when this must be decided anew, should nothing happen.
    """

    target: Target
    known: Known
    reason: Reason
    when: datetime | None
    desired: State
    shown: tuple[Incident, ...] = ()
    held: tuple[Incident, ...] = ()
    gone: tuple[Incident, ...] = ()
    passed: tuple[Incident, ...] = ()
    acked: bool = False
    escalated: timedelta = timedelta(0)
    quiet: bool = False
    flushed_at: datetime | None = None
    look_at: tuple[datetime, ...] = ()

    def due(self, now: datetime) -> bool:
        """Return whether it must be told at ``now``."""
        return self.when is not None and self.when <= now

    @property
    def acknowledges(self) -> bool:
        """Whether the message says that somebody is on it, and nothing else that is new.

        A try that may have brought another state must be told over first.
        """
        known = self.known
        same = self.reason is Reason.UNSETTLED and known.told == known.trying == self.desired and not known.mixed
        return self.acked and (self.reason is Reason.ACKNOWLEDGED or (same and known.acked_at is None))


@frozen(kw_only=True)
class Group:
    """What is looked at.

    Attributes:
        config: routes and hours.
        incidents: what is open, each with the places at which it is told, as far as they belong to this group.
        others: what is not among them and some channel was told of, or came and went untold; with its places as well.
        mutes: why an incident is not told, by its id.
        known: what channels know.
        same_routes: no route has changed since the last look.
    """

    config: AlertConfig
    incidents: Sequence[tuple[Incident, Sequence[Place]]]
    others: Sequence[tuple[Incident, Sequence[Place]]]
    mutes: Mapping[int, Sequence[Mute]]
    known: Mapping[Target, Known]
    same_routes: bool = True

    def look(self, now: datetime) -> tuple[Decision, ...]:
        """Return what each channel must be told at ``now`` or later, by channel and key."""
        hours = Hours(self.config, now)
        here: dict[Target, list[tuple[Incident, list[Place]]]] = {}
        past: dict[Target, list[tuple[Incident, list[Place]]]] = {}
        for found, kept in ((self.incidents, here), (self.others, past)):
            for incident, places in found:
                for place in places:
                    of_target = kept.setdefault(place.target, [])
                    if of_target and of_target[-1][0] is incident:
                        of_target[-1][1].append(place)
                    else:
                        of_target.append((incident, [place]))
        by_id = {incident.id: incident for found in (self.incidents, self.others) for incident, _ in found}
        return tuple(
            self._decide(target, here.get(target, ()), past.get(target, ()), by_id, hours)
            for target in sorted({*here, *self.known})
        )

    def _decide(
        self,
        target: Target,
        here: Iterable[tuple[Incident, Sequence[Place]]],
        past: Iterable[tuple[Incident, Sequence[Place]]],
        by_id: Mapping[int, Incident],
        hours: Hours,
    ) -> Decision:
        stored, now = self.known.get(target, Known()), hours.now
        known = evolve(stored, flushed_at=_not_ahead(stored.flushed_at, now))
        if not self.same_routes:  # other routes have other waits and ticks
            put_off = known.next_at if known.trying is not None else None
            known = evolve(known, flushed_at=None if known.flushed_at is None else now, next_at=put_off)
        maybe = known.maybe
        shown: list[Incident] = []
        held: list[Incident] = []
        hidden: list[Incident] = []
        routes: list[Chosen] = []
        look_at: list[datetime] = []
        waits: list[timedelta] = []
        for incident, places in here:
            routes += (place.chosen for place in places)
            comes_at = _comes_at(incident, places, known)
            if comes_at is None or comes_at > now:
                look_at += [comes_at] if comes_at is not None else []
                continue
            open_now = [place for place in places if hours.open(place.chosen)]
            if open_now and not self.mutes.get(incident.id):
                shown.append(incident)
                waits.append(min(place.after for place in open_now))
                continue
            (held if incident.id in maybe else hidden).append(incident)
            if not open_now:
                look_at += (change for place in places if (change := hours.change(place.chosen)) is not None)
        desired = {**{i.id: maybe[i.id] for i in held}, **{i.id: int(i.severity) for i in shown}}
        gone = [by_id[id_] for id_ in sorted(maybe.keys() - desired.keys()) if id_ in by_id]
        routes = routes or [place.chosen for i, places in past if i.id in maybe for place in places]
        send_resolved = not routes or any(route.send_resolved for route in routes)
        passed = [by_id[id_] for id_ in known.passed if id_ in by_id]
        passed += self._passed(target, past) if known.told and shown else []
        acked = bool(shown) and all(i.acked for i in shown)
        pace = _pace(routes, known, min((i.opened_at for i in (*shown, *hidden)), default=None))
        repeat_at = pace.repeat_at() if shown and known.told and not acked else None
        because = reason(
            known.told,
            known.trying,
            desired,
            dead=known.dead and self.same_routes,
            send_resolved=send_resolved,
            passed=bool(passed),
            acknowledged=acked and known.acked_at is None,
            repeat=repeat_at is not None and repeat_at <= now,
        )
        if held and not shown and because is not Reason.UNSETTLED:
            because = Reason.NOTHING
        when: datetime | None = None
        if because not in (Reason.NOTHING, Reason.DEAD):
            when = _when(known, pace.not_before(because, now), now)
        elif repeat_at is not None:
            look_at.append(repeat_at)
        flushed_at = _flushed_at(known, pace, now)
        if hidden and flushed_at is None and pace.interval and pace.began_at is not None:
            look_at.append(pace.wait_over(now))
        return Decision(
            target=target,
            known=stored,
            reason=because,
            when=when,
            desired=desired,
            shown=tuple(shown),
            held=tuple(held),
            gone=tuple(gone),
            passed=tuple(passed),
            acked=acked,
            escalated=min(waits, default=timedelta(0)),
            quiet=not send_resolved,
            flushed_at=flushed_at,
            look_at=tuple(look_at),
        )

    def _passed(self, target: Target, past: Iterable[tuple[Incident, Sequence[Place]]]) -> list[Incident]:
        """Return what came and went untold, for those who want to hear of it: it is nothing to page for."""
        channel = self.config.channels.get(target.channel)
        if channel is None or channel.pages:
            return []
        return [incident for incident, _ in past if untold(incident)]


def untold(incident: Incident) -> bool:
    """Return whether ``incident`` came and went and somebody would want to hear of it: it was not muted."""
    unheard = incident.pending is not None or incident.muted in ("silence", "inhibited", "blocked")
    return incident.ended_at is not None and incident.told_at is None and not unheard


def _comes_at(incident: Incident, places: Sequence[Place], known: Known) -> datetime | None:
    """Return from when on ``incident`` is told there: ever, or when nobody acknowledged for long; None: not yet."""
    after = min(place.after for place in places)
    if not after or incident.id in known.maybe:
        return _EVER
    return None if incident.acked or incident.told_at is None else incident.told_at + after


def _when(known: Known, by_pace: datetime, now: datetime) -> datetime:
    """Return when what there is to tell is told: what was put off stays at that time, however late the pump comes.

    A time that cannot be is from a clock that was wrong, and does not hold.
    """
    if known.next_at is None:
        return by_pace
    if known.trying is not None or known.unsent:
        return known.next_at if known.next_at <= now + LONGEST_ASKED else now
    return min(known.next_at, by_pace)


def _not_ahead(at: datetime | None, now: datetime) -> datetime | None:
    return None if at is None else min(at, now)


def _flushed_at(known: Known, pace: Pace, now: datetime) -> datetime | None:
    """Return where the ticks begin: at the first look after the wait was over."""
    if known.flushed_at is not None and (known.told or known.trying or pace.began_at is not None):
        return known.flushed_at
    over = pace.began_at is not None and pace.wait_over(now) <= now
    return now if over and pace.interval and not known.told else None


def _pace(routes: Sequence[Chosen], known: Known, began: datetime | None) -> Pace:
    """Return the pace of a place to which several routes may lead: the soonest of each."""
    repeats = [route.repeat_interval for route in routes if route.repeat_interval is not None]
    zero = timedelta(0)
    return Pace(
        began_at=began,
        flushed_at=known.flushed_at,
        told_at=known.told_at,
        wait=min((route.group_wait for route in routes), default=zero),
        interval=min((route.group_interval for route in routes), default=zero),
        repeat=min(repeats, default=None),
    )


class Hours:
    """Which routes may tell something now; each combination of time intervals is looked up once."""

    def __init__(self, config: AlertConfig, now: datetime) -> None:
        self.now = now
        self._intervals = config.time_intervals
        self._open: dict[tuple[tuple[str, ...], tuple[str, ...]], bool] = {}
        self._change: dict[tuple[tuple[str, ...], tuple[str, ...]], datetime | None] = {}

    def open(self, chosen: Chosen) -> bool:
        """Return whether a route may tell something."""
        names = (chosen.mute_time_intervals, chosen.active_time_intervals)
        if names not in self._open:
            self._open[names] = muted_by_time(chosen, self._intervals, self.now) is None
        return self._open[names]

    def change(self, chosen: Chosen) -> datetime | None:
        """Return when that changes, as ``times.next_change`` has it."""
        names = (chosen.mute_time_intervals, chosen.active_time_intervals)
        if names not in self._change:
            self._change[names] = next_change(chosen, self._intervals, self.now)
        return self._change[names]
