"""DAGs whose tasks fail, come back, and end, with the callbacks that tell dq."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, TaskGroup
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow import DqNotifier, finished

COMMON = {"start_date": datetime(2026, 10, 1, tzinfo=UTC), "catchup": False, "tags": ["b", "a"]}
TASKS = {"on_failure_callback": DqNotifier(), "on_retry_callback": DqNotifier(), "on_success_callback": DqNotifier()}
BROKEN = Path(__file__).parent / "broken"


def load():
    """Fail as long as a file is there that says so."""
    if BROKEN.exists():
        raise ValueError(
            "no table at postgresql://dq:hunter2@db.test/shop, password=hunter2\nDETAIL: (ada@example.org)"
        )


def second_try(ti):
    if ti.try_number == 1:
        raise RuntimeError("the first try")


def one(number):
    if BROKEN.exists() and number != 2:
        raise ValueError(f"number {number}")


def skip():
    raise AirflowSkipException


with DAG(
    "shop",
    schedule=None,
    **COMMON,
    default_args={"owner": "sales", **TASKS},
    on_failure_callback=[
        DqNotifier(severity="critical", runbook="https://wiki.test/{{ dag.dag_id }}"),
        finished(["hook"]),
    ],
    on_success_callback=[DqNotifier(), finished("hook")],
):
    with TaskGroup("user_level") as user_level:
        PythonOperator(task_id="load", python_callable=load) >> EmptyOperator(task_id="sum")
    with TaskGroup("agg_level") as agg_level:
        PythonOperator(task_id="aggregate", python_callable=lambda: None)
    user_level >> agg_level >> PythonOperator(task_id="publish", python_callable=skip)

with DAG("retried", schedule=None, **COMMON, default_args=TASKS):
    PythonOperator(task_id="shaky", python_callable=second_try, retries=1, retry_delay=timedelta(0))

with DAG("loud", schedule=None, **COMMON):
    PythonOperator(
        task_id="shaky",
        python_callable=second_try,
        retries=1,
        retry_delay=timedelta(0),
        on_retry_callback=DqNotifier(severity="warning", retries=True),
        on_success_callback=DqNotifier(),
    )

with DAG("mapped", schedule=None, **COMMON, default_args=TASKS, on_success_callback=DqNotifier()):
    PythonOperator.partial(task_id="one", python_callable=one).expand(op_args=[[1], [2], [3]])

with DAG("last", schedule=None, **COMMON):
    work = PythonOperator(task_id="work", python_callable=load)
    work >> EmptyOperator(task_id="after") >> finished(["hook"], steps=["work", "after"]).as_task()

with DAG(
    "astray",
    schedule=None,
    **COMMON,
    on_success_callback=[DqNotifier(project="nowhere"), finished(["nobody"]), finished(["hook"], steps=["x"])],
):
    EmptyOperator(task_id="fine", on_success_callback=DqNotifier(project="/nowhere"))
    PythonOperator(task_id="runs", python_callable=lambda: None, on_success_callback=DqNotifier(project="/nowhere"))
