"""Every minute: deliver what waits (second tries, reminders, escalations), and close runs that nobody closed.

It judges no SLA: `dq_sla_watch` does, beside it, and neither does the work of the other.

A scheduler that is dead pumps nothing. For pages that must come, run `dq alerts pump --watch` and `dq sla check`
on another host, with a store that both reach.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

with DAG(
    "dq_pump",
    schedule="* * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dq"],
):

    @task(execution_timeout=timedelta(minutes=5))
    def pump(here: str) -> str:
        from dq import app  # noqa: PLC0415  # parsing a DAG file stays cheap

        # It stays for what comes due before the next one: turns of a channel, second tries.
        report = app.pump(app.open_project(Path(here)), timedelta(seconds=45))
        return f"{report.sent} sent, {report.waiting} waiting"

    pump(str(Path(__file__).parent))
