"""Error budget: how much of what was promised may go wrong, and how much of that is left."""

from __future__ import annotations

import enum
from datetime import timedelta
from fractions import Fraction
from typing import Literal

from attrs import frozen

from dq.model.severity import Severity
from dq.model.sla import Of

What = Literal["on_time", "correct"]
"""What a budget is of: the promise to be there in time, or the promise to be right."""


class State(enum.StrEnum):
    """How it stands with a budget; the decision table is in ``dq.sla.budget``."""

    NO_DATA = "no_data"
    FINE = "fine"
    SLOW_BURN = "slow_burn"
    FAST_BURN = "fast_burn"
    SPENT = "spent"

    @property
    def rank(self) -> int:
        """How bad it is, 0 to 3; what nobody knows is not bad."""
        return max(0, list(State).index(self) - 1)


@frozen(kw_only=True)
class Budget:
    """One error budget at one instant.

    Attributes:
        goal: the share that is promised.
        what: ``on_time`` or ``correct``.
        of: what is counted: ``partitions``, ``rows`` or ``orgs``.
        window: over how long, back from that instant.
        sli: the share that was good; None: nothing was counted.
        good, valid: how many were good, and of how many.
        allowed: how many of ``valid`` may be bad.
        left: the share of ``allowed`` that is left, negative where more was bad; None: nothing was counted, or nothing
            may be bad.
        burn_long, burn_short: how many times as fast as it may the budget is used up, over a long and a short window;
            None: there is no rate, because nothing was counted or nothing may be bad.
        state: what is to be said of it.
        severity: how bad that is; None: it is not.
        sentence: the same for people, without the name of the subject.
    """

    goal: Fraction
    what: What
    of: Of
    window: timedelta
    sli: Fraction | None
    good: int
    valid: int
    allowed: Fraction
    left: Fraction | None
    burn_long: Fraction | None
    burn_short: Fraction | None
    state: State
    severity: Severity | None
    sentence: str


def percent(share: Fraction) -> str:
    """Return ``share`` in percent with up to two decimals, rounded down: what is not all never reads as 100%."""
    hundredths = share * 10_000 // 1
    whole, rest = divmod(abs(hundredths), 100)
    return f"{'-' if hundredths < 0 else ''}{whole}{f'.{rest:02}'.rstrip('0') if rest else ''}%"
