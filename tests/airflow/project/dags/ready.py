"""Consumers that wait until a dataset is ready."""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

from dq.airflow import DatasetReadySensor, suite_group

START = datetime(2026, 11, 1, tzinfo=UTC)
SOON = {"poke_interval": 1, "timeout": 3}

with DAG("ready_now", schedule=None, start_date=START):
    suite_group("good") >> DatasetReadySensor(task_id="wait", dataset="good", **SOON) >> EmptyOperator(task_id="use")

with DAG("ready_never", schedule=None, start_date=START):
    wait = DatasetReadySensor(task_id="wait", dataset="mixed", deferrable=False, **SOON)
    wait >> EmptyOperator(task_id="use")

with DAG("ready_wrong", schedule=None, start_date=START):
    made = suite_group("bad", on_block="continue")
    made >> DatasetReadySensor(task_id="wait", dataset="bad", deferrable=False, **SOON)
    made >> DatasetReadySensor(task_id="wait_for_any", dataset="bad", accept_wrong=True, **SOON)

with DAG("ready_unknown", schedule=None, start_date=START):
    DatasetReadySensor(task_id="wait", dataset="gud", **SOON)
