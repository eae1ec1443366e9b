"""The lake against its copy: one event of org 2 is missing there."""

from dq import Reconciliation, Stage, Table

copied = Reconciliation(
    "copied",
    by="org",
    stages=[
        Stage("lake", Table("lake", "events", partition="happened_at")),
        Stage("copy", Table("copy", "events", partition="happened_at")),
    ],
    error=0,
)
