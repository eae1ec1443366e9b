"""One DAG for every way in which a stage, its checks and the next stage can meet."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.timetables.interval import CronDataIntervalTimetable

from dq.airflow import reconciliation_group, suite_group


def work():
    pass


def fail():
    raise FileNotFoundError("the delivery is not there")


def skip():
    raise AirflowSkipException("nothing was delivered")


def pipeline(dag_id, suite, *, extract=work, schedule=None, group=suite_group, **arguments):
    with DAG(dag_id, schedule=schedule, start_date=datetime(2026, 11, 1, tzinfo=UTC), catchup=False):
        (
            PythonOperator(task_id="extract", python_callable=extract)
            >> group(suite, group_id="dq", **arguments)
            >> EmptyOperator(task_id="publish")
        )


daily = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
retry = {"retries": 2, "retry_delay": timedelta(0)}

pipeline("all_pass", "good")
pipeline("not_due", "rare")
pipeline("not_asked_for", "good", should_run=lambda context: context["run_id"] == "another one")
pipeline("asking_failed", "good", should_run=lambda context: context["no such thing"])
pipeline("fails", "bad")
pipeline("fails_and_fails", "bad", on_block="fail")
pipeline("fails_and_continues", "bad", on_block="continue")
pipeline("fails_below_stop", "bad", stop_at="critical")
pipeline("unmeasured", "blind", **retry)
pipeline("unmeasured_below_stop", "blind", stop_at="critical")
pipeline("extract_failed", "good", extract=fail)
pipeline("extract_skipped", "good", extract=skip)
pipeline("reconciled", "copied", group=reconciliation_group)
pipeline("cron_trigger", "good", schedule="@daily")
pipeline("data_interval", "good", schedule=daily)
pipeline("hourly", "good", schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"))
pipeline("dated", "good", date="{{ dag_run.conf.get('date', '') }}")
pipeline("looks_back", "restated")
pipeline("retried", "good", **retry)

with DAG("trailing", schedule=None, start_date=datetime(2026, 11, 1, tzinfo=UTC)):
    blocked = suite_group("bad", group_id="dq") >> EmptyOperator(task_id="publish")
    blocked >> EmptyOperator(task_id="two_steps_on", trigger_rule="none_failed")
