"""Accepted discrepancies: what somebody knows to be missing or too much, and is content with for a while."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Literal

from attrs import frozen

from dq.model.errors import DeclarationError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Count

AcceptanceEnd = Literal["ended", "expired", "replaced", "used up"]
"""How an acceptance ends: by a person, by its date, by a newer one, or because nothing is missing any more."""


@frozen
class Most:
    """How much is accepted.

    Attributes:
        limit: more than 0; so many records, or that share of the baseline.
        is_share: whether it is a share.
        too_many: records are too many; False: they are missing.
    """

    limit: Fraction
    is_share: bool = False
    too_many: bool = False

    @classmethod
    def of(cls, text: str) -> Most:
        """Return what ``text`` spells: ``120`` records, ``1.5%`` of the baseline; with a minus, that are too many.

        Raises:
            DeclarationError: when it is neither, or nothing.
        """
        found = re.fullmatch(r"(-?)([0-9]+(?:\.[0-9]+)?)(\s*%)?", text.strip())
        if found is None:
            raise DeclarationError(f"{text!r} is no number of records and no share; write it like 120, 1.5% or -120")
        sign, digits, percent = found.groups()
        limit = Fraction(digits) / (100 if percent else 1)
        if not limit:
            raise DeclarationError(f"{text!r} accepts nothing")
        return cls(limit, is_share=bool(percent), too_many=bool(sign))

    def part(self, missing: Count, baseline: Count) -> Fraction | None:
        """Return how much of what is accepted a discrepancy is, in its unit and direction.

        Negative: it goes the other way. None: there is no share of a baseline of zero.
        """
        size = Fraction(-missing if self.too_many else missing)
        if not self.is_share or not size:
            return size
        return size / abs(Fraction(baseline)) if baseline else None

    def __str__(self) -> str:
        if self.is_share:
            what = f"{float(self.limit * 100):.4g} % of the baseline"
        else:
            number = str(self.limit) if self.limit.denominator == 1 else f"{float(self.limit):.10g}"
            what = f"{number} record{'' if self.limit == 1 else 's'}"
        return f"at most {what}{' too many' if self.too_many else ''}"


@frozen(kw_only=True)
class Acceptance:
    """A discrepancy of an org at a stage that is accepted.

    Attributes:
        id: unique in the store.
        reconciliation: its name.
        org: of whom.
        stage: the name of the stage.
        most: how much; it never grows, and shrinks with what is found.
        partition: the only partition that it is about; None: all.
        reason: why, for people.
        author: who accepts it.
        created_at: since when.
        ends_at: up to when, without that moment; the end of a UTC day.
        newest: the start of the newest partition that it was held against; None: of none yet.
        ended_at, ended: when and how it ended; None: it has not.
    """

    id: int
    reconciliation: str
    org: Group
    stage: str
    most: Most
    partition: Interval | None = None
    reason: str
    author: str
    created_at: datetime
    ends_at: datetime
    newest: datetime | None = None
    ended_at: datetime | None = None
    ended: AcceptanceEnd | None = None

    @property
    def last_day(self) -> date:
        """The last day on which it holds."""
        return (self.ends_at - timedelta(microseconds=1)).date()
