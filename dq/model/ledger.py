"""The ledger of a reconciliation: one row per partition and org, across all stages."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from attrs import field, frozen

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.result import Result
from dq.model.severity import Severity

Count = int | Decimal
"""A count, or a sum: whole numbers are int."""


@frozen(kw_only=True)
class LedgerRow:
    """One org of one partition.

    Attributes:
        interval: the partition.
        org: the org.
        counts: stage name to count; None: the stage does not have the org.
        explained: name of an explained loss to its count.
        discrepancy: compared stage to baseline - stage - explained.
        share: compared stage to its share of the baseline; None: the baseline is zero and the discrepancy is not.
        severity: the worst rung broken; None: well.
        notes: remarks: what is odd about it, what is accepted, and the declared ones.
        accepted: it would be not well somewhere, or worse, but for what is accepted.
    """

    interval: Interval
    org: Group
    counts: dict[str, Count | None]
    explained: dict[str, Count]
    discrepancy: dict[str, Count]
    share: dict[str, Fraction | None]
    severity: Severity | None
    notes: tuple[str, ...] = ()
    accepted: bool = False


@frozen(kw_only=True)
class Column:
    """A column of the ledger, in the order reports show them.

    Attributes:
        kind: ``count``, ``discrepancy``, ``share`` or ``explained``.
        name: the stage or the explained loss.
        heading: for people.
        derived: an explained loss that is derived from the same stages and so explains nothing by itself.
        measure: of a count, what is counted, e.g. ``"count(*)"``; empty: not known.
    """

    kind: str
    name: str
    heading: str
    derived: bool = False
    measure: str = ""


@frozen(kw_only=True)
class Rest:
    """The rows that a ledger of very many orgs does not hold: each is well, and nothing is to be said of it.

    Attributes:
        rows: how many there are.
        differing: how many of them differ, by no more than is allowed.
        by_day: whether they are of several partitions.
        counts: stage to the sum of its counts; None: it has none of these orgs.
        explained: name of an explained loss to the sum of its counts.
        discrepancy: compared stage to the sum of the discrepancies.
        orgs: the names of the org columns.
        packed: the rows themselves as lines of ``dq.packing``, for a file; None: they are too many, or not at hand.
    """

    rows: int
    differing: int
    by_day: bool
    counts: dict[str, Count | None]
    explained: dict[str, Count]
    discrepancy: dict[str, Count]
    orgs: tuple[str, ...] = ("org",)
    packed: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class KnownLoss:
    """What was lost in a known way, in all orgs together.

    Attributes:
        name: how it is called.
        count: records.
        sample: what one of them says, for people; empty: nothing is known.
    """

    name: str
    count: Count
    sample: str = ""


@frozen(kw_only=True)
class Ledger:
    """All that the discrepancy report shows.

    Attributes:
        reconciliation: its name.
        pipeline: the name in titles.
        environment: e.g. ``prod``.
        interval: all partitions together.
        columns: what is shown per org, in order.
        rows: one per partition and org, worst first; where there are very many, those of which something is to be said.
        totals: named numbers above the table; None: could not be measured, the text says why.
        results: the judgement, one summary per compared stage and one per org that is not well.
        severity: the worst of them; None: all is well.
        still_bad: older partitions with what is still wrong there, newest first.
        losses: what was counted of known losses, where there is any.
        levels: what the same counts come to at coarser levels, each with its own results, which are among ``results``.
        rest: the other rows, where there are very many; None: all are in ``rows``.
    """

    reconciliation: str
    pipeline: str
    environment: str
    interval: Interval
    columns: tuple[Column, ...]
    rows: tuple[LedgerRow, ...]
    totals: tuple[tuple[str, Count | None, str], ...]
    results: tuple[Result, ...]
    severity: Severity | None
    still_bad: tuple[tuple[Interval, str], ...] = ()
    losses: tuple[KnownLoss, ...] = ()
    levels: tuple[Ledger, ...] = ()
    rest: Rest | None = None

    @property
    def own(self) -> tuple[Result, ...]:
        """The results of its own rows, without those of the coarser levels."""
        of_levels = {result.check for level in self.levels for result in level.results}
        return tuple(result for result in self.results if result.check not in of_levels)

    @property
    def size(self) -> int:
        """How many rows there are, those of the rest included."""
        return len(self.rows) + (0 if self.rest is None else self.rest.rows)
