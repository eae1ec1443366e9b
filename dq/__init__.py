"""dq: data quality and SLA for Airflow teams.

``from dq import Suite, Table, Check, Rows`` gives the words for declaring. They are values: importing them, or
declaring with them, touches no database and loads neither SQLAlchemy nor sqlglot. :func:`run` and :func:`reconcile`
load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dq.checks import (
    AddUp,
    Aggregate,
    Between,
    Change,
    ColumnCount,
    Compare,
    ConsistentCasing,
    Count,
    Decreasing,
    DistinctCount,
    DistinctShare,
    Distribution,
    DuplicateCount,
    Freshness,
    Gaps,
    HasLength,
    Increasing,
    IsNull,
    Like,
    Matches,
    Max,
    Mean,
    Median,
    Min,
    MostCommon,
    NoneOf,
    NoOverlap,
    NotBetween,
    NotIn,
    NotLike,
    NotMatches,
    NotNull,
    OneOf,
    Quantile,
    Query,
    QueryValue,
    Ratio,
    Reference,
    RowCount,
    Rows,
    SameAs,
    Schema,
    Sequential,
    Share,
    StdDev,
    Sum,
    TextLength,
    TogetherOneOf,
    Unique,
    UniqueCount,
    UniqueShare,
    UniqueWithinRow,
    ValidJson,
    Values,
    ZScore,
)
from dq.model.calendar import Calendar
from dq.model.check import Check, Suite
from dq.model.dataset import Dataset
from dq.model.failing import ShowRows
from dq.model.group import By
from dq.model.reconciliation import Explained, Level, Reconciliation, Stage, Total
from dq.model.sla import Sla
from dq.model.table import Table
from dq.model.thresholds import above, at_least, at_most, below, between, exactly, outside

if TYPE_CHECKING:
    from dq.api import reconcile, run

__all__ = [
    "AddUp",
    "Aggregate",
    "Between",
    "By",
    "Calendar",
    "Change",
    "Check",
    "ColumnCount",
    "Compare",
    "ConsistentCasing",
    "Count",
    "Dataset",
    "Decreasing",
    "DistinctCount",
    "DistinctShare",
    "Distribution",
    "DuplicateCount",
    "Explained",
    "Freshness",
    "Gaps",
    "HasLength",
    "Increasing",
    "IsNull",
    "Level",
    "Like",
    "Matches",
    "Max",
    "Mean",
    "Median",
    "Min",
    "MostCommon",
    "NoOverlap",
    "NoneOf",
    "NotBetween",
    "NotIn",
    "NotLike",
    "NotMatches",
    "NotNull",
    "OneOf",
    "Quantile",
    "Query",
    "QueryValue",
    "Ratio",
    "Reconciliation",
    "Reference",
    "RowCount",
    "Rows",
    "SameAs",
    "Schema",
    "Sequential",
    "Share",
    "ShowRows",
    "Sla",
    "Stage",
    "StdDev",
    "Suite",
    "Sum",
    "Table",
    "TextLength",
    "TogetherOneOf",
    "Total",
    "Unique",
    "UniqueCount",
    "UniqueShare",
    "UniqueWithinRow",
    "ValidJson",
    "Values",
    "ZScore",
    "__version__",
    "above",
    "at_least",
    "at_most",
    "below",
    "between",
    "exactly",
    "outside",
    "reconcile",
    "run",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in {"run", "reconcile"}:
        from dq import api

        return getattr(api, name)
    raise AttributeError(f"module 'dq' has no attribute {name!r}")
