"""Every day: hold the stages of the pipeline against each other per org, and send the discrepancy e-mail.

The e-mail leaves from the ``close`` task, to the channels that ``to=`` of the reconciliation names. No stage follows:
a discrepancy is told and stops nothing.
"""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

from dq.airflow import reconciliation_group

with DAG(
    "daily_discrepancy",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=datetime(2020, 2, 24, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dq"],
):
    reconciliation_group("covid_ledger", on_block="continue")
