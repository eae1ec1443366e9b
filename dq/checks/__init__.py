"""The kinds of check, one small file each, and what happens around them: plan and judge."""

from dq.checks.aggregate import Aggregate
from dq.checks.freshness import Freshness
from dq.checks.query import Query
from dq.checks.rows import Rows
from dq.checks.unique import Unique
from dq.checks.values import Between, NotNull, OneOf
from dq.checks.volume import RowCount

__all__ = ["Aggregate", "Between", "Freshness", "NotNull", "OneOf", "Query", "RowCount", "Rows", "Unique"]
