"""Functions as checks: one DAG for every answer."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException
from airflow.providers.standard.operators.empty import EmptyOperator

from dq import at_most
from dq.airflow import check

START = datetime(2026, 11, 1, tzinfo=UTC)


@check
def is_complete(answer):
    """Return what the DAG says."""
    return answer


@check(warning=at_most(60), error=at_most(180), owner="lake", runbook="https://runbooks.test/behind")
def minutes_behind(answer):
    return answer


@check(name="time behind", error=at_most("3h"), on_block="continue")
def behind():
    return timedelta(hours=4)


@check(error=at_most(10), by="org_id", orgs={14: {"error": at_most(100)}}, on_block="fail")
def open_tickets(answer):
    return answer


@check(severity="critical", retries=1, retry_delay=timedelta(0))
def breaks(error):
    raise error


@check(suite="good")
def taken():
    return True


@check
def of_the_run(ds, dag_run):
    assert dag_run.run_id
    return ds == "2026-11-02"


@check
def mapped_one(answer):
    return answer


def pipeline(dag_id, made, *arguments):
    with DAG(f"check_{dag_id}", schedule=None, start_date=START):
        made(*arguments) >> EmptyOperator(task_id="publish")


pipeline("true", is_complete, True)
pipeline("false", is_complete, False)
pipeline("count", is_complete, 3)
pipeline("none", is_complete, None)
pipeline("text", is_complete, "password=s3cret")
pipeline("in_time", minutes_behind, 12)
pipeline("late", minutes_behind, 90.5)
pipeline("too_late", minutes_behind, 200)
pipeline("not_a_number", minutes_behind, True)
pipeline("duration", behind)
pipeline("orgs", open_tickets, {14: 50, 15: 20, 16: 3})
pipeline("no_orgs", open_tickets, 3)
pipeline("breaks", breaks, ValueError("password=s3cret"))
pipeline("skips", breaks, AirflowSkipException("nothing to look at"))
pipeline("taken", taken)
pipeline("context", of_the_run)

with DAG("check_mapped", schedule=None, start_date=START):
    mapped_one.expand(answer=[True, False])
