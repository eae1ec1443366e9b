"""dq: data quality and SLA for Airflow teams.

``from dq import Suite, Table, Check, Rows`` gives the words for declaring. They are values: importing them, or
declaring with them, touches no database and loads neither SQLAlchemy nor sqlglot. :func:`run` and :func:`reconcile`
load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dq.checks import Aggregate, Between, Freshness, NotNull, OneOf, Query, RowCount, Rows, Unique
from dq.model.check import Check, Suite
from dq.model.table import Table
from dq.model.group import By
from dq.model.reconciliation import Explained, Reconciliation, Stage, Total
from dq.model.sla import Sla
from dq.model.thresholds import at_least, at_most, between

if TYPE_CHECKING:
    from dq.api import reconcile, run

__all__ = [
    "Aggregate",
    "Between",
    "By",
    "Check",
    "Explained",
    "Freshness",
    "NotNull",
    "OneOf",
    "Query",
    "Reconciliation",
    "RowCount",
    "Rows",
    "Sla",
    "Stage",
    "Suite",
    "Table",
    "Total",
    "Unique",
    "__version__",
    "at_least",
    "at_most",
    "between",
    "reconcile",
    "run",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in {"run", "reconcile"}:
        from dq import api

        return getattr(api, name)
    raise AttributeError(f"module 'dq' has no attribute {name!r}")
