"""The full ledger of a reconciliation as a JSON document, and back; numbers stay exact."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from cattrs import Converter

from dq.model.ledger import Count, Ledger


def _count(value: Any, _type: Any) -> Count | None:
    return value if value is None or isinstance(value, int) else Decimal(value)


_CONVERTER = Converter()
_CONVERTER.register_unstructure_hook(Fraction, str)
_CONVERTER.register_structure_hook(Fraction, lambda value, _: Fraction(value))
_CONVERTER.register_unstructure_hook(Decimal, str)
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_structure_hook(datetime, lambda value, _: datetime.fromisoformat(value))
for _union in (Count, Count | None, int | float | Decimal | None, int | float | Decimal | str | None):
    _CONVERTER.register_structure_hook(_union, _count)


def ledger_to_json(ledger: Ledger) -> dict[str, Any]:
    """Return ``ledger`` as a document of JSON types."""
    document: dict[str, Any] = _CONVERTER.unstructure(ledger)
    return document


def ledger_from_json(document: dict[str, Any]) -> Ledger:
    """Return the ledger that ``ledger_to_json`` made ``document`` of."""
    return _CONVERTER.structure(document, Ledger)
