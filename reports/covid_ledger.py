"""The daily reconciliation: each region's own total against the sum of its provinces, from another database."""

from dq import By, Reconciliation, Sla, Stage, Table, Total

regions = Table("warehouse", "region_daily", partition="report_date")
provinces = Table("archive", "province_daily", partition="report_date")
nation = Table("warehouse", "nation_daily", partition="report_date")

covid_ledger = Reconciliation(
    "covid_ledger",
    pipeline="covid regions",
    by=By("region_name", expected="seen:28d"),
    stages=[
        Stage("region", regions, measure="sum(totale_casi)", title="Region total"),
        Stage("provinces", provinces, measure="sum(totale_casi)", title="Sum of provinces"),
    ],
    totals=[
        Total(
            "cases in the nation",
            datasource="warehouse",
            query="SELECT totale_casi FROM nation_daily WHERE report_date = '{{ ds }}'",
        ),
        Total("cases in the provinces", sum_of="provinces"),
    ],
    warning=("0.001%", 1),
    error=("0.1%", 10),
    critical=("5%", 100),
    sla=Sla(due="07:30", tz="Europe/Rome"),
    to="mail",
    owner="epidemiology-data",
    runbook="https://wiki.example.org/runbooks/covid-ledger",
)

covid_nation = Reconciliation(
    "covid_nation",
    pipeline="covid nation",
    by="nation_name",
    stages=[
        Stage("nation", nation, measure="sum(totale_casi)", org="Italia", title="National total"),
        Stage("regions", regions, measure="sum(totale_casi)", org="Italia", title="Sum of regions"),
    ],
    critical=0,
)
