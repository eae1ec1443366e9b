"""Every morning: one message of how everything stands, and of what is new and fixed since the day before.

It goes to the channels of ``[digest]`` in ``alerting/routes.toml``, past the routes, so that a route may keep warnings
for it. A pager takes no digest.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task
from airflow.timetables.trigger import CronTriggerTimetable

with DAG(
    "dq_digest",
    schedule=CronTriggerTimetable("0 7 * * *", timezone="Europe/Berlin"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dq"],
):

    @task(execution_timeout=timedelta(minutes=5))
    def digest(here: str) -> str:
        from dq import app  # noqa: PLC0415  # parsing a DAG file stays cheap

        report = app.digest(app.open_project(Path(here)))
        return f"{report.sent} sent, {report.waiting} waiting"

    digest(str(Path(__file__).parent))
