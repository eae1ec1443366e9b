"""The kinds of check, one small file each, and what happens around them: plan and judge."""

from dq.checks.aggregate import Aggregate
from dq.checks.aggregates import Max, Mean, Median, Min, Quantile, StdDev, Sum, TextLength
from dq.checks.columns import AddUp, Compare, TogetherOneOf
from dq.checks.distinct import (
    DistinctCount,
    DistinctShare,
    DuplicateCount,
    MostCommon,
    UniqueCount,
    UniqueShare,
    Values,
)
from dq.checks.distribution import Distribution
from dq.checks.freshness import Freshness
from dq.checks.gaps import Gaps
from dq.checks.history import Change
from dq.checks.holding import Count, Share
from dq.checks.order import Decreasing, Increasing, NoOverlap, Sequential
from dq.checks.other_table import NotIn, Ratio, Reference, SameAs
from dq.checks.outlier import ZScore
from dq.checks.query import Query, QueryValue
from dq.checks.rows import Rows
from dq.checks.schema import ColumnCount, Schema
from dq.checks.text import ConsistentCasing, HasLength, Like, Matches, NotLike, NotMatches, ValidJson
from dq.checks.unique import Unique, UniqueWithinRow
from dq.checks.values import Between, IsNull, NoneOf, NotBetween, NotNull, OneOf
from dq.checks.volume import RowCount

__all__ = [
    "AddUp",
    "Aggregate",
    "Between",
    "Change",
    "ColumnCount",
    "Compare",
    "ConsistentCasing",
    "Count",
    "Decreasing",
    "DistinctCount",
    "DistinctShare",
    "Distribution",
    "DuplicateCount",
    "Freshness",
    "Gaps",
    "HasLength",
    "Increasing",
    "IsNull",
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
    "Reference",
    "RowCount",
    "Rows",
    "SameAs",
    "Schema",
    "Sequential",
    "Share",
    "StdDev",
    "Sum",
    "TextLength",
    "TogetherOneOf",
    "Unique",
    "UniqueCount",
    "UniqueShare",
    "UniqueWithinRow",
    "ValidJson",
    "Values",
    "ZScore",
]
