"""Checks of the regional counts of a public health authority: one row per region and day, cumulative.

Every row of ``region_daily`` is what one region reported by that day. Change the table and the predicates to yours.
"""

from pathlib import Path

from dq import (
    Between,
    By,
    Check,
    Freshness,
    NotNull,
    OneOf,
    RowCount,
    Rows,
    Sla,
    Suite,
    Table,
    Unique,
    at_least,
    at_most,
    between,
)

NOTES = Path(__file__).parent.parent / "var" / "sla_misses.log"
CODES = [f"{code:02}" for code in range(1, 23)]


def note_miss(dag, task_list, blocking_task_list, slas, blocking_tis):
    """Keep a note of each missed SLA; the five arguments are those of Airflow 2's ``sla_miss_callback``."""
    NOTES.parent.mkdir(parents=True, exist_ok=True)
    with NOTES.open("a", encoding="utf-8") as notes:
        notes.writelines(f"{dag.dag_id}: {miss.description}\n" for miss in slas)


regions = Table("warehouse", "region_daily", partition="report_date", key=("report_date", "region_name"))

covid_regions = Suite(
    "covid_regions",
    regions,
    owner="epidemiology-data",
    runbook="https://wiki.example.org/runbooks/covid-regions",
    sla=Sla(due="07:00", tz="Europe/Rome", on_miss=note_miss),
    checks=[
        Check("one row per region", Unique("report_date", "region_name"), critical=0),
        Check("all regions reported", RowCount(), warning=between(21, 21), critical=at_least(19)),
        Check("region is known", OneOf("region_code", CODES), error=0),
        Check("cases are counted", NotNull("totale_casi"), critical=0),
        Check("cases add up", Rows("totale_casi = totale_positivi + dimessi_guariti + deceduti"), warning=0, error=2),
        Check("new cases are plausible", Between("nuovi_positivi", 0, 100_000), tolerance="5%", severity="warning"),
        Check("hospital beds are part of the active cases", Rows("totale_ospedalizzati <= totale_positivi"), error=1),
        Check("fresh", Freshness("report_date"), warning=at_most("36h"), critical=at_most("3d")),
        Check(
            "every region reports",
            RowCount(),
            by=By("region_name", expected="seen:28d"),
            error=at_least(1),
            description="A region that reported in the last 28 days is missed when it is silent.",
        ),
    ],
)
