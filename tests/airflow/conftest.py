"""A real Airflow with a metadata database of its own, and a dq project whose answers are known."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from attrs import evolve, field, frozen

from tests.airflow.components import Components, database
from tests.servers import missing

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EVENTS = [  # id, org, amount, happened_at
    (1, "1", 10, "2026-11-01 08:00:00"),
    (2, "1", 20, "2026-11-01 09:00:00"),
    (3, "2", 30, "2026-11-01 10:00:00"),
    (4, "2", -1, "2026-11-01 11:00:00"),
]


@frozen
class Airflow:
    """An Airflow home whose only DAG folder is the ``dags/`` of a project.

    Attributes:
        line: ``3.3`` or ``2.11``.
        interpreter: the Python that has it.
        more: of the environment; None takes a name away.
    """

    line: str
    interpreter: str
    home: Path
    project: Path
    dags: Path
    more: dict[str, str | None] = field(factory=dict)

    @property
    def env(self):
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "DQ_", "PYTHON", "COVERAGE"))}
        found = clean | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(ROOT),
            "DQ_NOW": "2026-11-02T01:00:00+00:00",
            **self.more,
        }
        return {name: value for name, value in found.items() if value is not None}

    def with_more(self, more):
        return evolve(self, more=self.more | more)

    def python(self, *arguments, cwd=None, timeout=180):
        done = subprocess.run(
            [self.interpreter, *map(str, arguments)],
            cwd=cwd or self.home, env=self.env, capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
        return done.stdout

    def drive(self, *specs):
        """Run DAGs one after the other; a spec is the id of a DAG or a dict as drive.py reads it."""
        out = self.home / "drive.json"
        out.unlink(missing_ok=True)
        arguments = [json.dumps({"dag": spec} if isinstance(spec, str) else spec) for spec in specs]
        _, *logs = self.python(HERE / "drive.py", out, *arguments).split("=== the next run ===")
        done = json.loads(out.read_text())
        for run, log in zip(done["runs"], logs, strict=True):
            run["log"] = log
        return done

    def store(self, query, *values):
        """Return rows of dq's own store."""
        with sqlite3.connect(f"file:{self.project / 'var' / 'dq.sqlite'}?mode=ro", uri=True) as store:
            return store.execute(query, values).fetchall()


def make_project(folder):
    """Copy the project, and make its two databases."""
    shutil.copytree(HERE / "project", folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    with duckdb.connect(str(folder / "data" / "lake.duckdb")) as lake:
        lake.execute("CREATE TABLE events (id INTEGER, org VARCHAR, amount INTEGER, happened_at TIMESTAMP)")
        lake.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", EVENTS)
    with sqlite3.connect(folder / "data" / "copy.sqlite") as copy:
        copy.execute("CREATE TABLE events (id INTEGER, org TEXT, amount INTEGER, happened_at TEXT)")
        copy.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", EVENTS[:-1])
    copy.close()
    return folder


@pytest.fixture(scope="session", params=["3.3", pytest.param("2.11", marks=pytest.mark.airflow2)])
def line(request):
    """The line of Airflow; each has a Python of its own, and what uses this fixture is tested on both."""
    return request.param


@pytest.fixture(scope="session")
def interpreter(line):
    """The Python that has this line of Airflow."""
    if line == "3.3":
        return sys.executable
    python = ROOT / "var" / "airflow2" / "bin" / "python"
    if not python.exists():
        missing("Airflow 2.11", "its environment is not there; `make test-airflow` makes it")
    return str(python)


@pytest.fixture(scope="session")
def new_airflow(line, interpreter, tmp_path_factory):
    """Return a function that makes an Airflow home; its metadata database is migrated once and then copied."""
    migrated = tmp_path_factory.mktemp("airflow")
    first = Airflow(line, interpreter, migrated, migrated, migrated / "dags")
    first.python("-m", "airflow", "db", "migrate")

    def new(project, dags=None, **more):
        home = tmp_path_factory.mktemp("airflow")
        shutil.copy(migrated / "airflow.db", home / "airflow.db")
        return Airflow(line, interpreter, home, project, dags or project / "dags", more)

    return new


@pytest.fixture(scope="session")
def new_components(line, interpreter, postgres_server, tmp_path_factory):
    """Return a function that makes an Airflow whose metadata are on PostgreSQL, and its components, not started yet.

    Its database is migrated once and then copied. What still runs at the end is killed.
    """
    template, made, nowhere = postgres_server.new_database(), [], tmp_path_factory.mktemp("airflow")
    first = Airflow(line, interpreter, nowhere, nowhere, nowhere, database(line, template))
    first.python("-m", "airflow", "db", "migrate")

    def new(project, dags=None, **more):
        home = tmp_path_factory.mktemp("airflow")
        airflow = Airflow(line, interpreter, home, project, dags or project / "dags", more)
        made.append(Components.of(airflow, postgres_server.new_database(like=template)))
        return made[-1]

    yield new
    for components in made:
        components.kill()
