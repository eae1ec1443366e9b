"""Checks as Airflow tasks: ``extract() >> suite_group("orders", stop_at="critical") >> publish()``.

Parsing a DAG file that uses this package opens no database and no connection: it reads the declarations of the project
and lays out tasks. What the tasks do happens in :mod:`dq.airflow.tasks`, on the worker.
"""

from typing import TYPE_CHECKING

from dq.lazy import lazy

if TYPE_CHECKING:
    from dq.airflow.functions import check
    from dq.airflow.groups import branch, reconciliation_group, require_quality, suite_group
    from dq.airflow.mapped import mapped_suites
    from dq.airflow.notify import DqNotifier, finished
    from dq.airflow.operators import DqCheckOperator
    from dq.airflow.promises import sla, sla_miss_callback
    from dq.airflow.sensors import DatasetReadySensor
    from dq.airflow.when import EveryNth, NewData, Sql

__all__ = [
    "DatasetReadySensor",
    "DqCheckOperator",
    "DqNotifier",
    "EveryNth",
    "NewData",
    "Sql",
    "branch",
    "check",
    "finished",
    "mapped_suites",
    "reconciliation_group",
    "require_quality",
    "sla",
    "sla_miss_callback",
    "suite_group",
]

# A DAG file loads what it names: it is parsed every minute, in a new process.
__getattr__ = lazy(
    __name__,
    {
        "functions": ("check",),
        "groups": ("branch", "reconciliation_group", "require_quality", "suite_group"),
        "mapped": ("mapped_suites",),
        "notify": ("DqNotifier", "finished"),
        "operators": ("DqCheckOperator",),
        "promises": ("sla", "sla_miss_callback"),
        "sensors": ("DatasetReadySensor",),
        "when": ("EveryNth", "NewData", "Sql"),
    },
)
