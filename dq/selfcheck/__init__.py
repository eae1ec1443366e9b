"""Selfcheck: every kind of check on small tables whose answers are known, on the engine of a user.

cases    the tables, the checks, and what each must find
running  makes the tables, asks, compares, and takes away what it made
"""

from dq.selfcheck.cases import Case, cases
from dq.selfcheck.running import PREFIX, Found, OfKind, by_kind, selfcheck

__all__ = ["PREFIX", "Case", "Found", "OfKind", "by_kind", "cases", "selfcheck"]
