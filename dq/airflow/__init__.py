"""Checks as Airflow tasks: ``extract() >> suite_group("orders", stop_at="critical") >> publish()``.

Parsing a DAG file that uses this package opens no database and no connection: it reads the declarations of the project
and lays out tasks. What the tasks do happens in :mod:`dq.airflow.tasks`, on the worker.
"""

from dq.airflow.groups import branch, reconciliation_group, require_quality, suite_group
from dq.airflow.notify import DqNotifier, finished
from dq.airflow.promises import sla, sla_miss_callback
from dq.airflow.when import EveryNth, NewData, Sql

__all__ = [
    "DqNotifier",
    "EveryNth",
    "NewData",
    "Sql",
    "branch",
    "finished",
    "reconciliation_group",
    "require_quality",
    "sla",
    "sla_miss_callback",
    "suite_group",
]
