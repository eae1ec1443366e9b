"""What a comparison of keys finds: which records are at one stage and not at the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from attrs import field, frozen

from dq.model.interval import Interval

Cells = tuple[str | None, ...]
"""Canonical texts of a key or of values; None for NULL."""

Kind = Literal["missing", "extra", "duplicated", "changed"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@frozen
class KeyDifference:
    """One key whose records differ.

    Attributes:
        kind: ``missing``: only at the baseline; ``extra``: only at the stage; ``duplicated``: at both, not as often;
            ``changed``: as often, with other values.
        key: its canonical texts.
        baseline, stage: the values of its records at each, and how many have them.
    """

    kind: Kind
    key: Cells
    baseline: Mapping[Cells, int]
    stage: Mapping[Cells, int]

    @property
    def counts(self) -> tuple[int, int]:
        """How many records the key has at the baseline, and at the stage."""
        return sum(self.baseline.values()), sum(self.stage.values())


@frozen(kw_only=True)
class KeyComparison:
    """The keys of one stage held against those of the baseline.

    Attributes:
        reconciliation, environment, interval: what was compared.
        baseline, stage: the names of the two stages.
        org: as the ledger shows it; None: all orgs together.
        key, values: the columns or expressions, as the baseline has them.
        rows: the number of records at the baseline, and at the stage.
        found: how many keys differ, by kind.
        differences: some of them, in the order of their keys.
        equal: the records of the baseline that the stage has, too.
        unread: records of segments that differ which were not read, at both stages together; what is found is then
            not all.
        read: the records that were read, at both stages together.
        checksums: the checksums of segments that were read.
    """

    reconciliation: str
    environment: str
    interval: Interval
    baseline: str
    stage: str
    org: str | None
    key: tuple[str, ...]
    values: tuple[str, ...]
    rows: tuple[int, int]
    found: Mapping[Kind, int] = field(factory=lambda: dict.fromkeys(KINDS, 0))
    differences: tuple[KeyDifference, ...] = ()
    equal: int = 0
    unread: int = 0
    read: int = 0
    checksums: int = 0

    @property
    def agree(self) -> bool:
        """Whether nothing differs."""
        return not any(self.found.values()) and not self.unread

    def in_all(self, kind: Kind) -> int:
        """Return how many keys differ so: exactly, or where some were not read as many as these make likely."""
        return round(self.found[kind] * (self.read + self.unread) / self.read) if self.unread else self.found[kind]

    def to_json(self) -> dict[str, Any]:
        """Return the documented JSON form."""
        return {
            "stage": self.stage,
            "baseline": self.baseline,
            "org": self.org,
            "key": list(self.key),
            "values": list(self.values),
            "rows": {"baseline": self.rows[0], "stage": self.rows[1], "equal": self.equal},
            "found": dict(self.found),
            "unread": self.unread,
            "travelled": {"rows": self.read, "checksums": self.checksums},
            "differences": [
                {
                    "kind": one.kind,
                    "key": list(one.key),
                    "rows": dict(zip(("baseline", "stage"), one.counts, strict=True)),
                    "values": {"baseline": _listed(one.baseline), "stage": _listed(one.stage)} if self.values else None,
                }
                for one in self.differences
            ],
        }


def _listed(values: Mapping[Cells, int]) -> list[dict[str, Any]]:
    return [{"values": list(cells), "rows": count} for cells, count in values.items()]
