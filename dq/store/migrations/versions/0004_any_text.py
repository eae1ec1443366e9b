"""Any text, and keys told apart exactly, on MariaDB and MySQL; the other databases have both already."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dq.store.schema import CHARSET, COLLATION

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = (
    "dq_alert_group", "dq_channel", "dq_event", "dq_incident", "dq_ledger", "dq_measure", "dq_observation", "dq_outbox",
    "dq_reference", "dq_result", "dq_run", "dq_silence", "dq_told",
)  # fmt: skip
_OF_RUNS = ("dq_ledger", "dq_result")


def upgrade() -> None:
    """Convert the tables. Each statement is committed by itself, so all of it may be done again after a part of it."""
    bind = op.get_bind()
    if bind.dialect.name not in ("mariadb", "mysql"):
        return
    # MariaDB converts neither side of a foreign key, even with foreign_key_checks = 0 (MDEV-31086).
    for table in _OF_RUNS:
        for key in sa.inspect(bind).get_foreign_keys(table):
            op.drop_constraint(str(key["name"]), table, type_="foreignkey")
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ENGINE = InnoDB, CONVERT TO CHARACTER SET {CHARSET} COLLATE {COLLATION}")
    for table in _OF_RUNS:
        op.create_foreign_key(None, table, "dq_run", ["run_id"], ["id"], ondelete="CASCADE")
