"""Mapped suites: one map index each, with and without a next stage of their own."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset, task, task_group
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow import mapped_suites

START = datetime(2026, 11, 1, tzinfo=UTC)


def fail():
    raise FileNotFoundError("the delivery is not there")


def skip():
    raise AirflowSkipException("nothing was delivered")


def publish(suite, run_id):
    print(f"published {suite} in {run_id}")


@task
def tell(suite):
    print(f"told of {suite}")


@task_group
def two_steps(suite):
    tell(suite) >> EmptyOperator(task_id="done")


with DAG("mapped", schedule=None, start_date=START):
    extract = EmptyOperator(task_id="extract")
    group = mapped_suites("suites.yaml", then=publish, outlets=Asset("checked"), retries=1, retry_delay=timedelta(0))
    extract >> group >> EmptyOperator(task_id="everything")
    group >> EmptyOperator(task_id="anything", trigger_rule="none_failed_min_one_success")
    group >> EmptyOperator(task_id="at_last", trigger_rule="all_done")

with DAG("mapped_blocks", schedule=None, start_date=START):
    ways = [{"suite": "bad", "on_block": "continue"}, {"suite": "blind", "stop_at": "critical"}]
    mapped_suites([*ways, "good"], group_id="some", then=tell, outlets=Asset("checked"))

with DAG("mapped_fails", schedule=None, start_date=START):
    mapped_suites({"bad": {"on_block": "fail"}, "good": None}, then=two_steps)

with DAG("mapped_asked", schedule=None, start_date=START):
    mapped_suites(["good", "bad"], then=publish, should_run=lambda context: context["suite"] == "bad")

for name, call in (("failed", fail), ("skipped", skip)):
    with DAG(f"mapped_{name}", schedule=None, start_date=START):
        PythonOperator(task_id="extract", python_callable=call) >> mapped_suites(["good", "bad"], then=publish)

with DAG("mapped_dated", schedule=None, start_date=START):
    mapped_suites([{"suite": "good", "date": "{{ dag_run.conf.get('date', '2026-11-01') }}"}])
