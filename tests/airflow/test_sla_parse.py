"""What ``sla()`` lays out when a DAG file is parsed, and what a run promises by it, without a scheduler."""

import json

import pytest

from tests.airflow.conftest import make_project

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    return new_airflow(make_project(tmp_path_factory.mktemp("base") / "project"), DQ_NOW=None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("within='1h', due_on='weekdays'", "due_on= moves due= to another day, and there is no due="),
        ("within='1h', severity='error', critical='2h'", "severity= says how bad any miss is; give it, or how late"),
        ("within='1h', error='2h', critical='1h'", "what is worse must be later: error=2h, critical=1h"),
        ("within='1h', calendar='XX'", "holidays='XX': the package holidays knows no such place"),
        ("due='06:00', due_on=Calendar(holidays='DE-XX')", "holidays='DE-XX': the package holidays knows no such"),
    ],
)
def test_what_cannot_mean_anything_is_said_at_parse(airflow, arguments, said):
    code = f"""
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from dq import Calendar
from dq.airflow import sla
from dq.model.errors import DqError
try:
    with DAG("d", schedule=None):
        sla(EmptyOperator(task_id="load"), {arguments})
except DqError as error:
    print(error)
"""
    assert said in airflow.python("-c", code)


LAID_OUT = """
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import airflow
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from dq import Calendar, app
from dq.airflow import sla
from tests.airflow.inside import DagSerialization

HERE = Path({here!r})
NOW = datetime.now(UTC).replace(microsecond=0)
EARLY = dict(within="10h", warn_before="1h")
# A run of 3.3 that has no data interval is of today, one of 2.11 of the day that has just ended.
ITS_DAY = (NOW if airflow.__version__ > "3" else NOW - timedelta(days=1)).date()

with DAG("shop", schedule="0 0 * * *", start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
    dag.fileloc = str(next((HERE / "dags").glob("*.py")))
    for name, promise in {{
        "of_its_day": dict(EARLY, calendar=Calendar(dates=[ITS_DAY]), warning=0, error="1h"),
        "of_another_day": dict(EARLY, calendar=Calendar(without=[ITS_DAY])),
        "never_due": dict(due="23:59", warn_before="1h", due_on=Calendar(dates=["2026-01-01"])),
        "once_it_is_late": dict(within="10h", grace="30m"),
    }}.items():
        sla(EmptyOperator(task_id=name), **promise)


def tell(laid_out):
    project = app.open_project(HERE)
    written = [[one.promise.task_id, one.promise.sla.consequences] for one in app.open_promises(project)]
    print(json.dumps({{"laid out": laid_out, "written": written}}))
"""
OF_A_RUN = {
    "3.3": """
import asyncio

from dq.airflow import deadlines

alerts = {}
for one in DagSerialization.to_dict(dag)["dag"]["deadline"]:
    alerts[one["name"]] = one["callback"]["__data__"]["kwargs"]
now, grace = NOW.isoformat(), (NOW - timedelta(hours=10, minutes=15)).isoformat()
run = dict(run_type="scheduled", dag_id="shop", dag_run_id="1", logical_date=now, run_after=now, queued_at=now)
asyncio.run(deadlines.run_made(**alerts["dq: a run is made"], context={"dag_run": run}))
tell(sorted(alerts))
over = {"dag_run": run | {"logical_date": grace, "run_after": grace}}
try:
    asyncio.run(asyncio.wait_for(deadlines.look(**alerts["dq: due within 10h30m"], context=over), 1))
except TimeoutError:
    print("it waits until the grace is over")
""",
    "2.11": """
from airflow.models.serialized_dag import SerializedDagModel
from airflow.utils.types import DagRunType
from dq.airflow import airflow2

dag.sync_to_db()
SerializedDagModel.write_dag(dag)
day = (NOW - timedelta(days=1), NOW)
dag.create_dagrun(
    run_type=DagRunType.SCHEDULED, run_id="1", state="queued", execution_date=day[0], data_interval=day
)
airflow2.write_down(app.open_project(HERE), NOW)
tell(sorted({str(task.sla) for task in dag.tasks if task.sla}))
""",
}


def test_what_a_run_promises_is_written_down_early_where_it_warns(airflow, line):
    told = airflow.python("-c", LAID_OUT.format(here=str(airflow.project)) + OF_A_RUN[line])
    found = json.loads(next(text for text in told.splitlines() if text.startswith("{")))
    assert found["written"] == [["of_its_day", "a warning 1h before, warning, error from 1h late"]]
    if line == "2.11":
        assert found["laid out"] == ["10:00:00", "10:30:00"]
    else:
        assert found["laid out"] == ["dq: a run is made", "dq: due within 10h", "dq: due within 10h30m"]
        assert "run 1 of shop.never_due is not promised: the calendar (1 named day) has no day" in told
        assert told.endswith("it waits until the grace is over\n")
