"""One DAG for every way in which a gate can end, with an asset behind it."""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator

from dq.airflow import DqCheckOperator, branch, reconciliation_group, suite_group

START = datetime(2026, 11, 1, tzinfo=UTC)
EVENTS = Asset("lake_checked")


def work():
    pass


def fail():
    raise FileNotFoundError("the delivery is not there")


def skip():
    raise AirflowSkipException("nothing was delivered")


def pipeline(dag_id, suite, *, extract=work, group=suite_group, **arguments):
    with DAG(f"asset_{dag_id}", schedule=None, start_date=START):
        checks = group(suite, group_id="dq", outlets=EVENTS, **arguments)
        PythonOperator(task_id="extract", python_callable=extract) >> checks
        checks >> [EmptyOperator(task_id="publish"), EmptyOperator(task_id="repair")]


pipeline("good", "good")
pipeline("two", "good", tasks="suite")
pipeline("below", "bad", stop_at="critical")
pipeline("bad", "bad")
pipeline("fails", "bad", on_block="fail")
pipeline("continues", "bad", on_block="continue")
pipeline("branch_good", "good", on_block=branch("repair"))
pipeline("branch_bad", "bad", on_block=branch("repair"))
pipeline("not_due", "good", should_run=lambda context: False)
pipeline("unmeasured", "blind")
pipeline("extract_failed", "good", extract=fail)
pipeline("extract_skipped", "good", extract=skip)
pipeline("reconciled", "copied", group=reconciliation_group, stop_at="critical")


def told(context):
    """Write down what a listener would see of a task, whatever became of it."""
    verdicts = context["task"].check_results
    print("check_results", [(v.name, v.check_type, v.success, v.severity, v.table, v.actual) for v in verdicts])


ONE = {"on_success_callback": told, "on_failure_callback": told, "on_skipped_callback": told}


def operator(dag_id, suite, **arguments):
    with DAG(f"op_{dag_id}", schedule=None, start_date=START):
        one = DqCheckOperator(task_id="dq", suite=suite, outlets=EVENTS, **ONE, **arguments)
        one >> EmptyOperator(task_id="publish")


operator("good", "good")
operator("bad", "bad")
operator("bad_skips", "bad", on_block="skip")
operator("bad_continues", "bad", on_block="continue")
operator("below", "mixed", stop_at="critical")
operator("unmeasured", "mixed", on_block="continue", retries=2)
operator("rare", "rare")
operator("looks_back", "restated", date="{{ dag_run.conf.get('date', '') }}")
operator("reconciled", "copied", stop_at="critical")
operator("unknown", "godd", retries=2)

with DAG("op_mapped", schedule=None, start_date=START):
    several = DqCheckOperator.partial(
        task_id="dq", on_block="skip", outlets=[EVENTS], map_index_template="{{ task.suite }}"
    )
    several.expand(suite=["good", "bad"])
