"""Reason: why a channel must be told something now, and when it may be.

A channel was told a state: incident id to severity, only what is open and routed to it. *Trying* is a state that was
on the wire and never settled: nobody knows whether the channel has it. *Desired* is what it should know now.
The first line that fits:

    trying         told          desired                              reason
    -------------  ------------  -----------------------------------  -------------
    something      anything      anything                             unsettled
    -              nothing       nothing                              nothing
    -              nothing       something                            first
    -              something     nothing                              all_resolved
    -              something     with an incident that is not told    new
    -              something     with a severer incident              worse
    -              something     without one that was told            some_resolved *
    -              something     with a milder incident               eased *
    -              something     same; others came and went since     passed *
    -              something     same; somebody is on it now          acknowledged
    -              something     same; it is time to repeat it        repeat
    -              something     same                                 nothing

*) not where the route says ``send_resolved = false``; then as if it were the same. That all is resolved is always a
reason, so that the next incident is told as a first one.

*Unsettled* is told again even where told and desired agree, also "nothing": the lost try may have opened a pager. A
state that was refused for good (*dead*) is not tried again while it is still the desired one; any other desired state
is told as unsettled, because an earlier, uncertain try may have opened a pager.

When it may be told, with Alertmanager's words (``group_wait``, ``group_interval``, ``repeat_interval``):

    reason                 not before
    ---------------------  -------------------------------------------------------------------------------
    unsettled              now; the pause after a failed try is the outbox's affair
    first                  the first incident came, and the wait is over; if all was muted then, the next tick
    acknowledged           now
    repeat                 the first tick at which the repeat interval since the last message is over
    anything else          the next tick: one interval, two intervals ... after the wait was over
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import frozen

State = Mapping[int, int]
"""Incident id to severity."""


class Reason(enum.StrEnum):
    """Why a channel is told something; the table is above."""

    UNSETTLED = "unsettled"
    NOTHING = "nothing"
    FIRST = "first"
    ALL_RESOLVED = "all_resolved"
    NEW = "new"
    WORSE = "worse"
    SOME_RESOLVED = "some_resolved"
    EASED = "eased"
    PASSED = "passed"
    ACKNOWLEDGED = "acknowledged"
    REPEAT = "repeat"
    DEAD = "dead"


def reason(
    told: State,
    trying: State | None,
    desired: State,
    *,
    dead: bool = False,
    send_resolved: bool = True,
    passed: bool = False,
    acknowledged: bool = False,
    repeat: bool = False,
) -> Reason:
    """Return why the channel must be told ``desired`` now, or ``nothing`` or ``dead`` when it must not.

    Args:
        told: what the channel was last told for sure; empty: nothing is open there.
        trying: what was on the wire and is not settled; None: nothing.
        desired: what is open and routed there now.
        dead: the channel refused ``trying`` for good.
        send_resolved: whether it wants to hear of what is over while something else is not.
        passed: since it was last told, incidents came and went of which it knows nothing.
        acknowledged: somebody is on all that is desired, and the channel was not told so.
        repeat: the time to repeat what it was told has come.
    """
    rows = (
        (trying is not None and dead and trying == desired, Reason.DEAD),
        (trying is not None, Reason.UNSETTLED),
        (not told and not desired, Reason.NOTHING),
        (not told, Reason.FIRST),
        (not desired, Reason.ALL_RESOLVED),
        (bool(desired.keys() - told.keys()), Reason.NEW),
        (any(severity > told.get(id_, severity) for id_, severity in desired.items()), Reason.WORSE),
        (send_resolved and bool(told.keys() - desired.keys()), Reason.SOME_RESOLVED),
        (send_resolved and told != desired, Reason.EASED),
        (send_resolved and passed, Reason.PASSED),
        (acknowledged, Reason.ACKNOWLEDGED),
        (repeat, Reason.REPEAT),
    )
    return next((answer for holds, answer in rows if holds), Reason.NOTHING)


@frozen(kw_only=True)
class Pace:
    """When a group was told what, and how often it may be.

    Attributes:
        began_at: when the first of what is open came; None: nothing is.
        flushed_at: when the group could first be told since then; None: it could not yet, or there are no ticks.
        told_at: when it was last told; None: never.
        wait, interval: as the route says.
        repeat: how long after the last message it is repeated; None: never.
    """

    began_at: datetime | None = None
    flushed_at: datetime | None = None
    told_at: datetime | None = None
    wait: timedelta = timedelta(0)
    interval: timedelta = timedelta(0)
    repeat: timedelta | None = None

    def not_before(self, why: Reason, now: datetime) -> datetime:
        """Return the time before which ``why`` is not told; the second table above."""
        if why is Reason.FIRST and self.flushed_at is None:
            return self.wait_over(now)
        if why in (Reason.UNSETTLED, Reason.ACKNOWLEDGED, Reason.REPEAT):
            return now
        return self.tick(now)

    def wait_over(self, now: datetime) -> datetime:
        """Return when the wait of a new group is over: at once where it began by another clock, which is ahead."""
        return now if self.began_at is None or self.began_at > now else self.began_at + self.wait

    def repeat_at(self) -> datetime | None:
        """Return when what was told is repeated, should nothing change; None: never."""
        if self.repeat is None or self.told_at is None:
            return None
        return self.tick(self.told_at + self.repeat)

    def tick(self, at: datetime) -> datetime:
        """Return the first tick at ``at`` or after it."""
        if self.flushed_at is None or not self.interval:
            return at
        number = max(1, -((self.flushed_at - at) // self.interval))
        return self.flushed_at + number * self.interval
