"""The full ledger of a reconciliation as a JSON document, and back; numbers stay exact."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from cattrs import Converter

from dq.model.ledger import Count, Ledger


def _count_of(value: Any) -> Count | None:
    return value if value is None or isinstance(value, int) else Decimal(value)


def _count(value: Any, _type: Any) -> Count | None:
    return _count_of(value)


_CONVERTER = Converter()
_CONVERTER.register_unstructure_hook(Fraction, str)
_CONVERTER.register_structure_hook(Fraction, lambda value, _: Fraction(value))
_CONVERTER.register_unstructure_hook(Decimal, str)
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
_CONVERTER.register_unstructure_hook(bytes, lambda value: b64encode(value).decode())
_CONVERTER.register_structure_hook(bytes, lambda value, _: b64decode(value))
# What a reconciliation observes is a number, never a text.
for _union in (Count, Count | None, int | Decimal | None, int | float | Decimal | str | None):
    _CONVERTER.register_structure_hook(_union, _count)


def ledger_to_json(ledger: Ledger) -> dict[str, Any]:
    """Return ``ledger`` as a document of JSON types."""
    document: dict[str, Any] = _CONVERTER.unstructure(ledger)
    return document


def with_well_orgs(
    document: dict[str, Any], ledger: Ledger, earlier: dict[str, Any] | None
) -> dict[str, Any]:
    """Return the document of a ledger, with what its orgs that differ had when they last did not.

    Each comparison of a partition takes the place of the one before it; what was restated is seen against this.

    Args:
        document: of ``ledger``.
        ledger: what was compared now.
        earlier: the document of the comparison before; None: there is none.
    """
    differ = {row.org.values for row in ledger.rows if any(row.discrepancy.values())}
    kept: dict[tuple[str | None, ...], dict[str, Any]] = {}
    if earlier is not None and differ:
        kept = {org: counts for org, counts in _well_orgs(earlier) if org in differ}
        for row in earlier["rows"]:
            org = tuple(row["org"]["values"])
            if org in differ and not any(map(_count_of, row["discrepancy"].values())):
                kept[org] = row["counts"]
    return document | {"while_well": [(list(org), counts) for org, counts in kept.items()]}


def well_orgs(document: dict[str, Any]) -> dict[tuple[str | None, ...], dict[str, Count | None]]:
    """Return what ``with_well_orgs`` put into a document: the counts of orgs, by stage."""
    return {org: {stage: _count_of(n) for stage, n in counts.items()} for org, counts in _well_orgs(document)}


def _well_orgs(document: dict[str, Any]) -> Iterator[tuple[tuple[str | None, ...], dict[str, Any]]]:
    for org, counts in document.get("while_well", ()):  # what an older dq wrote has none
        yield tuple(org), counts


def ledger_from_json(document: dict[str, Any]) -> Ledger:
    """Return the ledger that ``ledger_to_json`` made ``document`` of."""
    return _CONVERTER.structure(document, Ledger)
