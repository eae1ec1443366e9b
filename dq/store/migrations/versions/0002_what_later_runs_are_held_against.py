"""What later runs are held against: measured numbers, what was recorded for a check; and more of a result."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dq.store.schema import Utc

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "dq_measure",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=190), nullable=False),
        sa.Column("check_name", sa.String(length=250), nullable=False),
        sa.Column("org", sa.Text(), nullable=False, comment="JSON: columns and values; empty for the whole"),
        sa.Column("org_key", sa.String(length=64), nullable=False, comment="hash of the org; empty for the whole"),
        sa.Column("interval_start", Utc(), nullable=False),
        sa.Column("interval_end", Utc(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False, comment="the length of the interval"),
        sa.Column("measured", sa.String(length=80), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=True),
        sa.Column("at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dq_measure", schema=None) as batch_op:
        batch_op.create_index(
            "dq_measure_check", ["environment", "suite", "check_name", "interval_start"], unique=False
        )
    op.create_table(
        "dq_reference",
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=190), nullable=False),
        sa.Column("check_name", sa.String(length=250), nullable=False),
        sa.Column(
            "body",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
            comment="JSON: what the check is held against",
        ),
        sa.Column("interval_start", Utc(), nullable=False),
        sa.Column("interval_end", Utc(), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("environment", "suite", "check_name"),
    )
    long = sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql")
    with op.batch_alter_table("dq_result", schema=None) as batch_op:
        batch_op.add_column(sa.Column("detail", long, nullable=True, comment="JSON: more of what was found"))
        batch_op.add_column(
            sa.Column("failing", long, nullable=True, comment="JSON: some of the rows that broke it, masked")
        )
