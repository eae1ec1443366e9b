"""Every minute: judge the SLAs, of the suites and of the tasks and DAGs that `sla(...)` promises, and tell who is late.

It asks Airflow what became of the runs that are due, because a task that never started says nothing by itself. What it
finds leaves at once; what cannot leave yet is left to `dq_pump`. A scheduler that is dead watches nothing: `dq sla
check` on another host still sees the suites.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

with DAG(
    "dq_sla_watch",
    schedule="* * * * *",  # a page comes within a minute of the time that was due, and what it takes to start a task
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dq"],
):

    @task(execution_timeout=timedelta(minutes=5))
    def watch(here: str) -> str:
        from dq import app  # noqa: PLC0415  # parsing a DAG file stays cheap
        from dq.airflow.seen import look  # noqa: PLC0415  # as above

        project = app.open_project(Path(here))
        looked = look(project)
        late = [verdict for verdict in app.sla_check(project) if verdict.bad]
        return f"{looked} runs looked at, {len(late)} late"

    watch(str(Path(__file__).parent))
