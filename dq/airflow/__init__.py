"""Checks as Airflow tasks: ``extract() >> suite_group("orders", stop_at="critical") >> publish()``.

Parsing a DAG file that uses this package opens no database and no connection: it reads the declarations of the project
and lays out tasks. What the tasks do happens in :mod:`dq.airflow.tasks`, on the worker.
"""

from typing import TYPE_CHECKING, Any

from dq.airflow.functions import check
from dq.airflow.groups import branch, reconciliation_group, require_quality, suite_group
from dq.airflow.mapped import mapped_suites
from dq.airflow.when import EveryNth, NewData, Sql

if TYPE_CHECKING:
    from dq.airflow.operators import DqCheckOperator

__all__ = [
    "DqCheckOperator",
    "EveryNth",
    "NewData",
    "Sql",
    "branch",
    "check",
    "mapped_suites",
    "reconciliation_group",
    "require_quality",
    "suite_group",
]


def __getattr__(name: str) -> Any:
    if name == "DqCheckOperator":  # the operators of common-sql take a while to import
        from dq.airflow.operators import DqCheckOperator

        return DqCheckOperator
    raise AttributeError(f"module 'dq.airflow' has no attribute {name!r}")
