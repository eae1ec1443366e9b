"""Real Airflow components on loopback, with a metadata database on PostgreSQL: started, stopped and killed one by one.

Each has a session of its own, because its children outlive a signal to it, and some of them have a process group of
their own. What Airflow is asked to do goes the way of its users: the REST API of 3.x, the command line of 2.11.
"""

import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from attrs import define, field

from tests.servers import ENDS_WITH_US, free_port

# The server of task logs would listen on all interfaces.
NO_LOG_SERVER = ("--skip-serve-logs",)
COMPONENTS = {
    "3.3": {"api-server": (), "dag-processor": (), "scheduler": NO_LOG_SERVER, "triggerer": NO_LOG_SERVER},
    "2.11": {"scheduler": NO_LOG_SERVER, "triggerer": NO_LOG_SERVER},
}
"""The components of each line, in the order in which they start, with their options."""
WEB = {"3.3": "api-server", "2.11": "webserver"}
"""What answers the REST API of each line; the web server of 2.11 starts only where it is named."""
VERSION = {"3.3": "/api/v2/version", "2.11": "/api/v1/version"}
JOBS = {"dag-processor": "DagProcessorJob", "scheduler": "SchedulerJob", "triggerer": "TriggererJob"}
STARTS_WITHIN = 180
"""Seconds; the components of three pytest workers may start at once on two cores."""


def database(line, url):
    """Return the environment of a metadata database; 2.11 knows no psycopg 3, and 3.x would take asyncpg beside it."""
    name = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    if line == "2.11":
        return {name: url.replace("+psycopg:", "+psycopg2:")}
    return {name: url, f"{name}_ASYNC": url}


def settings(line, metadata_url, port):
    """Return the environment of all components; what is killed is missed within seconds, not minutes."""
    common = database(line, metadata_url) | {
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
    }
    if line == "2.11":
        return common | {
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "AIRFLOW__WEBSERVER__SECRET_KEY": "s" * 64,
            "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
            "AIRFLOW__WEBSERVER__WORKERS": "1",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "30",
        }
    return common | {
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API_AUTH__JWT_SECRET": "s" * 64,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DAG_PROCESSOR__BUNDLE_REFRESH_CHECK_INTERVAL": "2",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    }


@define
class Components:
    """The components of one Airflow.

    Attributes:
        airflow: its home, project and environment (an ``Airflow`` of conftest.py); ``airflow.line`` is ``3.3`` or
            ``2.11``.
        metadata: the URL of the metadata database, as psycopg reads it.
        port: of the API server of 3.x, or of the web server of 2.11.
    """

    airflow: object
    metadata: str
    port: int
    _running: dict[str, subprocess.Popen] = field(factory=dict)

    @classmethod
    def of(cls, airflow, metadata_url):
        """Return the components of ``airflow``, not started yet; ``metadata_url`` is of a migrated database."""
        port = free_port()
        more = settings(airflow.line, metadata_url, port) | airflow.more
        return cls(airflow.with_more(more), re.sub(r"\+\w+", "", metadata_url), port)

    # ------------------------------------------------------------------------------------------- processes
    def start(self, *names):
        """Start components, by default all of them, and wait until each is at work."""
        options = {"webserver": ()} | COMPONENTS[self.airflow.line]
        since = {}
        for name in names or COMPONENTS[self.airflow.line]:
            assert name not in self._running, f"{name} runs already"
            with self.log_of(name).open("a") as log:
                since[name] = self.now()
                self._running[name] = subprocess.Popen(
                    ["setpriv", *ENDS_WITH_US, self.airflow.interpreter, "-m", "airflow", name, *options[name]],
                    cwd=self.airflow.home, env=self.airflow.env, stdout=log, stderr=log, start_new_session=True,
                )  # fmt: skip
            if name in WEB.values():  # the others ask the API server as soon as they start
                self.wait_for(self._answers, STARTS_WITHIN, f"the {name} answers")
        for name, at in since.items():
            if name in JOBS:
                self.wait_for(lambda name=name, at=at: self._at_work(name, at), STARTS_WITHIN, f"{name} is at work")

    def stop(self, *names, seconds=20):
        """Stop components (by default all, the last one first) as a service manager does: SIGTERM, then SIGKILL.

        What a LocalExecutor runs may end within ``seconds``; after that it is killed, too.
        """
        for name in names or reversed([*self._running]):
            self._running[name].terminate()
            with suppress(subprocess.TimeoutExpired):
                self._running[name].wait(seconds)
            self.kill(name)

    def kill(self, *names):
        """Kill components and all that they started, by default all, at once: SIGKILL."""
        for name in names or [*self._running]:
            while members := self.processes(name):
                for pid in members:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.05)
            self._running.pop(name).wait()

    def processes(self, name):
        """Return the process ids of a component and all that it started."""
        leader = self._running[name].pid
        return [pid for pid, session in sessions().items() if session == leader]

    def _answers(self):
        try:
            return self._ask("GET", VERSION[self.airflow.line]) is not None
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            return False

    def _at_work(self, name, since):
        query = "SELECT 1 FROM job WHERE job_type = %s AND state = 'running' AND start_date >= %s"
        return self.rows(query, JOBS[name], since)

    # ------------------------------------------------------------------------------------------- what one sees
    def wait_for(self, condition, seconds, what="it"):
        """Return what ``condition()`` returns as soon as that is true; fail with the logs when it never is.

        A component that ends by itself meanwhile is a failure, too.
        """
        end = time.monotonic() + seconds
        while True:
            if found := condition():
                return found
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            if dead:
                pytest.fail(f"{', '.join(dead)} ended by itself, waiting until {what}\n{self.logs()}", pytrace=False)
            if time.monotonic() > end:
                pytest.fail(f"not within {seconds} s: {what}\n{self.logs()}", pytrace=False)
            time.sleep(0.5)

    def rows(self, query, *values):
        """Return rows of the metadata database; parameters are written ``%s``."""
        with psycopg.connect(self.metadata) as connection:
            return connection.execute(query, values).fetchall()

    def now(self):
        """Return the time of the database server, with which what is written there can be compared."""
        return self.rows("SELECT clock_timestamp()")[0][0]

    def runs(self, dag_id):
        """Return the states of the runs of a DAG by run id, the oldest first."""
        return dict(self.rows("SELECT run_id, state FROM dag_run WHERE dag_id = %s ORDER BY id", dag_id))

    def tasks(self, dag_id, run_id=None):
        """Return the states of the tasks of a run by task id; without ``run_id``: of the newest run."""
        if run_id is None:
            run_id = [None, *self.runs(dag_id)][-1]
        query = "SELECT task_id, state FROM task_instance WHERE dag_id = %s AND run_id = %s AND map_index = -1"
        return dict(self.rows(query, dag_id, run_id))

    def wait_for_dags(self, *dag_ids, seconds=120):
        """Wait until the DAGs are parsed, so that they can be triggered."""
        query = "SELECT dag_id FROM serialized_dag"
        self.wait_for(
            lambda: {*dag_ids} <= {dag for (dag,) in self.rows(query)}, seconds, f"{', '.join(dag_ids)} parsed"
        )

    def wait_for_run(self, dag_id, run_id=None, *, seconds=240):
        """Wait until a run (by default the only one) has ended; return its state."""

        def ended():
            states = self.runs(dag_id)
            state = states.get(run_id) if run_id else next(iter(states.values()), None)
            return state if state in ("success", "failed") else None

        return self.wait_for(ended, seconds, f"{run_id or 'the run'} of {dag_id} has ended")

    def log_of(self, name):
        """Return the file that a component writes to."""
        return self.airflow.home / f"{name}.log"

    def logs(self):
        """Return the ends of the logs of the components and of the ten newest of the tasks."""
        found = sorted((self.airflow.home / "logs").glob("dag_id=*/**/*.log"), key=lambda file: file.stat().st_mtime)
        names = [*COMPONENTS[self.airflow.line], "webserver"]
        files = [(self.log_of(name), 3000) for name in names] + [(f, 2000) for f in found[-10:]]
        return "\n".join(
            f"--- {file.relative_to(self.airflow.home)}\n{file.read_text(errors='replace')[-length:]}"
            for file, length in files
            if file.exists()
        )

    # ------------------------------------------------------------------------------------------- what one asks
    def trigger(self, dag_id, *, logical_date=None, conf=None):
        """Trigger a run by hand and return its id.

        Args:
            logical_date: an aware ISO time; on 3.x None gives a run without one, on 2.11 now.
            conf: what the run gets with it.
        """
        if self.airflow.line == "2.11":
            known = self.runs(dag_id)
            more = ["--exec-date", logical_date] if logical_date else []
            self._command("dags", "trigger", dag_id, "--conf", json.dumps(conf or {}), *more)
            (run_id,) = self.runs(dag_id).keys() - known
            return run_id
        body = {"logical_date": logical_date, "conf": conf or {}}
        return self._ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", body)["dag_run_id"]

    def clear(self, dag_id, run_id, task_id, *, downstream=True):
        """Clear a task of a run, and by default what is behind it, so that it runs again."""
        if self.airflow.line == "2.11":
            ((at,),) = self.rows("SELECT execution_date FROM dag_run WHERE dag_id = %s AND run_id = %s", dag_id, run_id)
            when = at.isoformat()
            more = ["--downstream"] if downstream else []
            task = f"^{re.escape(task_id)}$"
            self._command("tasks", "clear", dag_id, "-t", task, "-s", when, "-e", when, "--yes", *more)
            return
        body = {
            "dry_run": False, "only_failed": False, "task_ids": [task_id], "dag_run_id": run_id,
            "include_downstream": downstream,
        }  # fmt: skip
        self._ask("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", body)

    def pause(self, dag_id, *, paused=True):
        """Pause a DAG, or let it run again."""
        if self.airflow.line == "2.11":
            self._command("dags", "pause" if paused else "unpause", dag_id, "--yes")
        else:
            self._ask("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": paused})

    def _command(self, *arguments):
        return self.airflow.python("-m", "airflow", *arguments)

    def _ask(self, method, path, body=None):
        """Return what the REST API of 3.x answers; everybody is an administrator there."""
        headers = {"Content-Type": "application/json"}
        if path not in (*VERSION.values(), "/auth/token"):
            headers["Authorization"] = f"Bearer {self._ask('GET', '/auth/token')['access_token']}"
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(), headers=headers, method=method,
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or "{}")
        except urllib.error.HTTPError as error:
            pytest.fail(f"{method} {path}: {error.code} {error.read().decode()[:500]}\n{self.logs()}", pytrace=False)


def sessions():
    """Return the session of each process that runs, by process id."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            if state != "Z":
                found[int(stat.parent.name)] = int(session)
    return found
