"""Error budget: how much of a promised share is left."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from attrs import frozen

from dq.model.severity import Severity

BudgetState = Literal["no_data", "fine", "slow_burn", "fast_burn", "spent"]


@frozen(kw_only=True)
class Budget:
    """What is left of what may go wrong, over the window of an SLA; the table is in ``dq.sla.budget``.

    Attributes:
        what: ``on_time`` or ``correct``.
        of: what is counted: ``partitions``, ``rows`` or ``orgs``.
        goal: the share that is promised (SLO).
        good, valid: how many were good, of how many that count.
        allowed: how many of these may be bad.
        burn: how many times faster than allowed it is spent, over the long window of the rule that decided; None: no
            rule did.
        state: what that means.
        severity: how bad it is; None: it is not.
    """

    what: Literal["on_time", "correct"]
    of: str
    goal: Fraction
    good: int
    valid: int
    allowed: Fraction
    burn: Fraction | None
    state: BudgetState
    severity: Severity | None

    @property
    def sli(self) -> Fraction | None:
        """The share that was good; None: nothing was counted."""
        return Fraction(self.good, self.valid) if self.valid else None

    @property
    def left(self) -> Fraction | None:
        """The share of the budget that is left, below zero where it is overspent; None: nothing may be bad at all."""
        return 1 - Fraction(self.valid - self.good) / self.allowed if self.allowed else None

    def __str__(self) -> str:
        name = "in time" if self.what == "on_time" else f"{self.of} right"
        if self.sli is None:
            return f"{_percent(self.goal)} {name} are promised; nothing was counted yet"
        bad = self.valid - self.good
        left = ""
        if self.left is not None and self.left < 0:
            left = f", {float(1 - self.left):.3g} times what may be"
        elif self.left is not None:
            left = f", {_percent(self.left)} of the budget is left"
        burn = "" if self.burn is None else f"; it burns {float(self.burn):.1f} times too fast"
        return f"{_percent(self.sli)} of {_percent(self.goal)} {name}: {bad} of {self.valid} were not{left}{burn}"


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):.4g}%"
