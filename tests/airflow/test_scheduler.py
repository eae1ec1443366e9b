"""The same DAGs through a real scheduler: an API server, a DAG processor, a scheduler with LocalExecutor."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager

import pytest

from tests.airflow.conftest import make_project

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

ONCE = """
from datetime import UTC, datetime, timedelta
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from dq.airflow import suite_group

for suite in ("good", "bad"):
    # A task of a busy machine may be lost to Airflow's own SQLite; as anywhere, it is tried again.
    again = {"retries": 3, "retry_delay": timedelta(seconds=1)}
    with DAG(f"once_{suite}", schedule="@once", start_date=datetime(2026, 11, 2, tzinfo=UTC), default_args=again):
        EmptyOperator(task_id="extract") >> suite_group(suite, group_id="dq") >> EmptyOperator(task_id="publish")
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def component(airflow, name, *options):
    """Run a component in a process group of its own: its children outlive it otherwise."""
    log = airflow.home / f"{name}.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", name, *options],
            cwd=airflow.home, env=airflow.env, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
            except ProcessLookupError:
                break
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                continue
        process.wait(10)


def wait_for(what, seconds, processes, logs):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if what():
            return
        dead = [name for name, process in processes.items() if process.poll() is not None]
        assert not dead, f"{dead} ended\n{logs()}"
        time.sleep(1)
    pytest.fail(f"not within {seconds} s\n{logs()}")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("scheduled") / "project")
    shutil.rmtree(project / "dags")
    (project / "dags").mkdir()
    (project / "dags" / "once.py").write_text(ONCE)
    return project


def test_a_dag_goes_through_a_real_scheduler(new_airflow, project):
    port = free_port()
    airflow = new_airflow(
        project,
        AIRFLOW__API__HOST="127.0.0.1",
        AIRFLOW__API__PORT=str(port),
        AIRFLOW__API__WORKERS="1",
        AIRFLOW__API__BASE_URL=f"http://127.0.0.1:{port}",
        AIRFLOW__API_AUTH__JWT_SECRET="s" * 64,
        AIRFLOW__CORE__EXECUTOR="LocalExecutor",
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"http://127.0.0.1:{port}/execution/",
        AIRFLOW__CORE__PARALLELISM="2",
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
        AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK="False",
    )
    # the server of task logs would listen on all interfaces
    names = {"api-server": (), "dag-processor": (), "scheduler": ("--skip-serve-logs",)}

    def logs():
        return "\n".join(f"--- {n}\n{(airflow.home / f'{n}.log').read_text()[-3000:]}" for n in names)

    def task_logs():
        found = sorted((airflow.home / "logs").glob("dag_id=*/**/*.log"))
        return "\n".join(f"--- {path.relative_to(airflow.home)}\n{path.read_text()[-2000:]}" for path in found)

    def states(query):
        with sqlite3.connect(f"file:{airflow.home / 'airflow.db'}?mode=ro", uri=True) as metadata:
            return dict(metadata.execute(query).fetchall())

    def listens():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/version", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def finished():
        runs = states("SELECT dag_id, state FROM dag_run")
        return len(runs) == 2 and set(runs.values()) <= {"success", "failed"}

    with ExitStack() as running:
        processes = {name: running.enter_context(component(airflow, name, *options)) for name, options in names.items()}
        wait_for(listens, 120, processes, logs)
        wait_for(finished, 240, processes, logs)

    ran = states("SELECT dag_id, state FROM dag_run")
    assert ran == {"once_good": "success", "once_bad": "success"}, f"{logs()}\n{task_logs()}"
    assert states("SELECT task_id, state FROM task_instance WHERE dag_id = 'once_good'") == dict.fromkeys(
        ("extract", "dq.should_run", "dq.scan", "dq.scan_by_org", "dq.close", "dq.gate", "publish"), "success"
    )
    assert states("SELECT task_id, state FROM task_instance WHERE dag_id = 'once_bad'")["publish"] == "skipped"
    rows = airflow.store(
        "SELECT suite, origin, interval_start FROM dq_run WHERE closed_version = version ORDER BY suite"
    )
    assert [(suite, origin.split("__")[0]) for suite, origin, _ in rows] == [
        ("bad", "airflow:once_bad:scheduled"),
        ("good", "airflow:once_good:scheduled"),
    ]
