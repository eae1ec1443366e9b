"""Every day: load the regions, check them, and publish only what is good.

    load >> should_run >> scans >> close >> gate >> publish

``load`` and ``publish`` stand for your own stages. A check that fails at error or above skips ``publish``; one that
could not be measured, and a load that failed, fail the DAG run. Alerts leave from ``close``, whatever happened.
"""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.timetables.interval import CronDataIntervalTimetable

from dq.airflow import suite_group

with DAG(
    "daily_checks",
    # The run of a day starts when the day is over, and its data interval is that day. Plain "@daily" has no interval on
    # Airflow 3; there dq takes the last whole UTC day, which is the same one.
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2020, 2, 24, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dq"],
):
    EmptyOperator(task_id="load") >> suite_group("covid_regions") >> EmptyOperator(task_id="publish")
