"""Every minute: judge the SLAs, of the suites and of the tasks and DAGs that `sla(...)` promises, and tell who is late.

It asks Airflow what became of the runs that are due, because a task that never started says nothing by itself, and
makes a round of `dq watch`: that counts rows, and looks at each `[airflow.NAME]` of `dq.toml`. A scheduler that is dead
watches nothing: `dq watch` on another host does. Both at once page once.
"""

import logging
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
        done = app.Watcher(project, "dq_sla_watch").round()
        for problem in done.problems:
            logging.getLogger("dq").warning("%s", problem)
        if not done.judged:
            raise RuntimeError("no promise could be judged; the log above says why")
        late = sum(verdict.bad for verdict in done.verdicts)
        return f"{looked} runs looked at, {late} late ones judged anew, {done.sent} messages sent"

    watch(str(Path(__file__).parent))
