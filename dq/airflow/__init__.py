"""Checks as Airflow tasks: ``extract() >> suite_group("orders", stop_at="critical") >> publish()``.

Parsing a DAG file that uses this package opens no database and no connection: it reads the declarations of the project
and lays out tasks. What the tasks do happens in :mod:`dq.airflow.tasks`, on the worker.
"""

from dq.airflow.groups import reconciliation_group, suite_group

__all__ = ["reconciliation_group", "suite_group"]
