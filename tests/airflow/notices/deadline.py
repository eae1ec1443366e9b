"""A DAG that is late from its first moment; Airflow 3 only, because 2 has no deadlines."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG, AsyncCallback, DeadlineAlert, DeadlineReference

from dq.airflow import DqNotifier

PROJECT = str(Path(__file__).parents[1])  # the triggerer does not know this file

with DAG(
    "late",
    start_date=datetime(2026, 10, 1, tzinfo=UTC),
    schedule=None,
    on_success_callback=DqNotifier(),
    deadline=DeadlineAlert(
        DeadlineReference.DAGRUN_LOGICAL_DATE,
        timedelta(seconds=5),
        AsyncCallback(DqNotifier, kwargs={"severity": "warning", "project": PROJECT}),
    ),
):
    PythonOperator(task_id="slow", python_callable=lambda: time.sleep(40))
