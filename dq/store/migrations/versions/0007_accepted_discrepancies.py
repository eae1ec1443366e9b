"""Accepted discrepancies of reconciliations, and deploy markers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from dq.store.schema import CHARSET, COLLATION, Utc

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables. MariaDB and MySQL commit each statement, so what is there already is left."""
    own = {"engine": "InnoDB", "charset": CHARSET, "collate": COLLATION}
    options: dict[str, Any] = {f"{d}_{name}": value for d in ("mariadb", "mysql") for name, value in own.items()}
    there = sa.inspect(op.get_bind())
    if not there.has_table("dq_acceptance"):
        op.create_table(
            "dq_acceptance",
            sa.Column("id", _ID, primary_key=True, autoincrement=True),
            sa.Column("environment", sa.String(64), nullable=False),
            sa.Column("reconciliation", sa.String(190), nullable=False),
            sa.Column("org", sa.Text(), nullable=False, comment="JSON: columns and values"),
            sa.Column("stage", sa.String(250), nullable=False),
            sa.Column("at_most", sa.Text(), nullable=False, comment="a fraction: records, or a share of the baseline"),
            sa.Column("is_share", sa.Integer(), nullable=False),
            sa.Column("too_many", sa.Integer(), nullable=False, comment="1: records are too many; 0: they are missing"),
            sa.Column("partition_start", Utc(), comment="the only partition that it is about; NULL: all"),
            sa.Column("partition_end", Utc()),
            sa.Column("reason", sa.Text(), nullable=False),
            sa.Column("author", sa.String(120), nullable=False),
            sa.Column("created_at", Utc(), nullable=False),
            sa.Column("ends_at", Utc(), nullable=False),
            sa.Column("newest", Utc(), comment="start of the newest partition that it was held against"),
            sa.Column("ended_at", Utc()),
            sa.Column("ended", sa.String(20)),
            **options,
        )
    _index("dq_acceptance_of", "dq_acceptance", ["environment", "reconciliation", "ends_at"])
    if not there.has_table("dq_deploy"):
        op.create_table(
            "dq_deploy",
            sa.Column("id", _ID, primary_key=True, autoincrement=True),
            sa.Column("environment", sa.String(64), nullable=False),
            sa.Column("at", Utc(), nullable=False),
            sa.Column("version", sa.String(120), nullable=False),
            sa.Column("text", sa.Text(), nullable=False),
            sa.Column("kind", sa.String(20), nullable=False, comment="dag or subject; empty: it is about everything"),
            sa.Column(
                "subject",
                sa.String(250),
                nullable=False,
                comment="id of the DAG, or name of a suite or reconciliation",
            ),
            sa.Column("source", sa.String(20), nullable=False, comment="cli, git or announce"),
            sa.Column("author", sa.String(120), nullable=False),
            sa.Column("created_at", Utc(), nullable=False),
            **options,
        )
    _index("dq_deploy_when", "dq_deploy", ["environment", "at"])


def _index(name: str, table: str, columns: list[str]) -> None:
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)
