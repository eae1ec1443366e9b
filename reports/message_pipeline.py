"""Messages per org at the stages of a pipeline: collector -> aggregates -> database, and a near-real-time branch."""

from dq import By, Explained, Reconciliation, Stage, Table, Total

collector = Table("warehouse", "collector_counts", partition="day")
aggregates = Table("archive", "aggregate_counts", partition="day")
database = Table("archive", "database_counts", partition="day")
near_real_time = Table("warehouse", "nrt_database_counts", partition="day")

message_pipeline = Reconciliation(
    "message_pipeline",
    pipeline="message pipeline",
    by=By("org_id"),
    stages=[
        Stage("collector", collector, measure="sum(msgs)", title="Collector Msgs"),
        Stage("aggregate", aggregates, measure="sum(msgs)", title="Agg Msgs", compare=False),
        Stage("database", database, measure="sum(msgs)", title="DB Msgs"),
        Stage("nrt", near_real_time, measure="sum(msgs)", title="NRT DB Msgs", short="NRT", after="collector"),
    ],
    explained=[Explained("Skipped", derived=("collector", "aggregate"))],
    totals=[
        Total("RDAs", datasource="archive", query="SELECT sum(rdas) FROM rda_counts WHERE day = '{{ ds }}'"),
        Total("messages", sum_of="database"),
    ],
    warning="1%",
    error="25%",
    to="mail",
    owner="mail-data",
)
