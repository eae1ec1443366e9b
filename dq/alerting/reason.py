"""Reason: why a channel must be told something now.

A channel was told a state: incident id to severity, only what is open and routed to it. *Trying* is a state that was
on the wire and never settled: nobody knows whether the channel has it. *Desired* is what it should know now.
The first line that fits:

    trying         told          desired                              reason
    -------------  ------------  -----------------------------------  -------------
    something      anything      anything                             unsettled
    -              same          same                                 nothing
    -              nothing       something                            first
    -              something     nothing                              all_resolved
    -              something     with an incident that is not told    new
    -              something     with a severer incident              worse
    -              something     without one that was told            some_resolved
    -              something     with a milder incident               eased

*Unsettled* is told again even where told and desired agree, also "nothing": the lost try may have opened a pager. A
state that was refused for good (*dead*) is not tried again while it is still the desired one; any other desired state
is told as unsettled, because an earlier, uncertain try may have opened a pager.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

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
    DEAD = "dead"


def reason(told: State, trying: State | None, desired: State, *, dead: bool = False) -> Reason:
    """Return why the channel must be told ``desired`` now, or ``nothing`` or ``dead`` when it must not.

    Args:
        told: what the channel was last told for sure; empty: nothing is open there.
        trying: what was on the wire and is not settled; None: nothing.
        desired: what is open and routed there now.
        dead: the channel refused ``trying`` for good.
    """
    if trying is not None:
        return Reason.DEAD if dead and trying == desired else Reason.UNSETTLED
    if told == desired:
        return Reason.NOTHING
    if not told:
        return Reason.FIRST
    if not desired:
        return Reason.ALL_RESOLVED
    if desired.keys() - told.keys():
        return Reason.NEW
    if any(severity > told[id_] for id_, severity in desired.items()):
        return Reason.WORSE
    return Reason.SOME_RESOLVED if told.keys() - desired.keys() else Reason.EASED
