"""One DAG for every way to divide a suite into tasks, to ask whether it is due, and to go on behind the gate."""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow import EveryNth, NewData, Sql, branch, require_quality, suite_group

START = datetime(2026, 11, 1, tzinfo=UTC)
THERE = "SELECT count(*) > 0 FROM events WHERE happened_at >= '{{ ds }}'"


def pipeline(dag_id, suite, *, behind=("publish",), **arguments):
    with DAG(dag_id, schedule=None, start_date=START):
        suite_group(suite, group_id="dq", **arguments) >> [EmptyOperator(task_id=name) for name in behind]


pipeline("branch_good", "good", on_block=branch("repair"), behind=("publish", "tell", "repair"))
pipeline("branch_bad", "bad", on_block=branch("repair"), behind=("publish", "tell", "repair"))
pipeline("branch_nowhere", "bad", on_block=branch("repear"), behind=("publish", "repair"))
pipeline("as_one", "good", tasks="suite")
pipeline("as_one_bad", "mixed", tasks="suite")
pipeline("each", "mixed", tasks="check", of_task={"an id": {"pool": "default_pool", "priority_weight": 7}})
pipeline("data_there", "good", should_run=Sql("lake", THERE))
pipeline("data_missing", "good", should_run=Sql("lake", THERE + " AND org = 'nobody'"))
pipeline("data_unknown", "good", should_run=Sql("lake", "SELECT count(*) > 0 FROM deliverys"))
pipeline("third", "good", should_run=EveryNth(3))
pipeline("updated", "good", should_run=NewData(Asset("lake_events")))

with DAG("deliver", schedule=None, start_date=START):
    PythonOperator(task_id="deliver", python_callable=lambda: None, outlets=[Asset("lake_events")])

for name, suite, arguments in (
    ("reads_good", "good", {}),
    ("reads_bad", "bad", {}),
    ("reads_bad_below", "bad", {"stop_at": "critical"}),
    ("reads_bad_fails", "bad", {"on_block": "fail"}),
    ("reads_unchecked", "restated", {}),
    ("reads_unknown", "godd", {}),
):
    with DAG(name, schedule=None, start_date=START):
        require_quality(suite, task_id="require", **arguments) >> EmptyOperator(task_id="publish")
