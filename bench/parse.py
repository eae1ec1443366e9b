"""What Airflow pays at every parse of a DAG file: 500 suite_group()s against the same tasks of bare operators."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from _report import MEASURED, children_cpu, in_turn, publish, rows, table

GROUPS, CHECKS, FILES = 500, 5, 100
ROUNDS = 5

SUITES = """
from dq import Check, NotNull, OneOf, RowCount, Rows, Suite, Table, Unique, at_least

{suites}
"""
SUITE = """
suite_{i} = Suite("suite_{i}", Table("shop", "table_{i}", partition="day"), checks=[
    Check("positive", Rows("amount > 0"), warning="0.1%", critical="1%"),
    Check("known", NotNull("customer_id"), tolerance="0.5%"),
    Check("one of", OneOf("status", ["new", "paid"])),
    Check("unique", Unique("id"), critical=0),
    Check("enough", RowCount(), critical=at_least(1)),
])
"""
DAG_OF_DQ = f"""
from airflow.sdk import DAG
from dq.airflow import suite_group

with DAG("measured", schedule=None) as dag:
    for i in range({GROUPS}):
        suite_group(f"suite_{{i}}")
"""
DAG_BARE = f"""
from airflow.providers.standard.operators.python import PythonOperator, ShortCircuitOperator
from airflow.sdk import DAG, TaskGroup

def nothing():
    pass

with DAG("measured", schedule=None) as dag:
    for i in range({GROUPS}):
        with TaskGroup(f"suite_{{i}}"):
            asked = ShortCircuitOperator(
                task_id="should_run", python_callable=nothing, ignore_downstream_trigger_rules=False)
            scan = PythonOperator(task_id="scan", python_callable=nothing)
            close = PythonOperator(task_id="close", python_callable=nothing, trigger_rule="all_done")
            gate = ShortCircuitOperator(
                task_id="gate", python_callable=nothing, ignore_downstream_trigger_rules=False,
                trigger_rule="none_failed")
            asked >> scan >> close >> gate
            scan >> gate
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        # Airflow reads its settings when it is imported.
        os.environ |= {
            "AIRFLOW_HOME": name,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        }
        files = _make(home)
        contenders: dict[str, Callable[[], object]] = {
            name: partial(_in_a_fork, partial(_parse, file)) for name, file in files.items()
        }
        _parsing()
        spent = in_turn(contenders, ROUNDS, children_cpu)
    title = f"{GROUPS} suites of {CHECKS} checks in {FILES} files; a DAG file of {4 * GROUPS} tasks; {ROUNDS} rounds"
    publish("parse", f"{title}:\n\n{table(MEASURED, rows(spent, 'bare operators'))}", ("apache-airflow", "attrs"))


def _make(home: Path) -> dict[str, Path]:
    (home / "checks").mkdir()
    (home / "dags").mkdir()
    (home / "dq.toml").write_text('[datasources.shop]\nurl = "sqlite:///shop.sqlite"\n', encoding="utf-8")
    for number in range(FILES):
        suites = "".join(SUITE.format(i=i) for i in range(number, GROUPS, FILES))
        (home / "checks" / f"part_{number}.py").write_text(SUITES.format(suites=suites), encoding="utf-8")
    files = {"bare operators": home / "dags" / "bare.py", "dq.airflow": home / "dags" / "by_dq.py"}
    for file, text in zip(files.values(), (DAG_BARE, DAG_OF_DQ), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def _parsing() -> None:
    """Import what the DAG processor has imported before it forks: Airflow, and dq as a provider of it."""
    import airflow.dag_processing.dagbag  # noqa: PLC0415  # it reads the settings of main()
    import airflow.providers.standard.operators.python  # noqa: PLC0415  # as above
    import airflow.sdk  # noqa: F401, PLC0415  # loaded here, so that no contender pays for it

    gc.freeze()  # as the DAG processor (airflow.dag_processing.manager), so that no fork collects what Airflow loaded

    for module in [name for name in sys.modules if name == "dq.airflow" or name.startswith("dq.airflow.")]:
        sys.exit(f"{module} is there before the first parse")


def _parse(file: Path) -> object:
    """Return the tasks with their edges and trigger rules, as the DAG processor finds them in ``file``."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  # as above

    bag = DagBag(str(file))
    if bag.import_errors:
        sys.exit(f"{bag.import_errors}")
    tasks = bag.dags["measured"].tasks
    return sorted([task.task_id, sorted(task.downstream_task_ids), str(task.trigger_rule)] for task in tasks)


def _in_a_fork(call: Callable[[], object]) -> object:
    """Return what ``call`` returns in a copy of this process, which ends then."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "w") as out:
                json.dump(call(), out)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as out:
        printed = out.read()
    os.waitpid(child, 0)
    return json.loads(printed)


if __name__ == "__main__":
    main()
