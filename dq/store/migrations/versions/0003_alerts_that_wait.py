"""Alerts that wait: silences, acknowledgements, grouping in time, and what a channel can bear."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dq.store.schema import Utc

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables and columns."""
    op.create_table(
        "dq_silence",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("matchers", sa.Text(), nullable=False, comment="JSON: a list of matchers that must all hold"),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("starts_at", Utc(), nullable=False),
        sa.Column("ends_at", Utc(), nullable=False, comment="moved to the present when somebody ends it early"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dq_silence", schema=None) as batch_op:
        batch_op.create_index("dq_silence_open", ["environment", "ends_at"], unique=False)
    op.create_table(
        "dq_channel",
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=120), nullable=False),
        sa.Column("free_at", Utc(), nullable=True, comment="the next send may leave then, by the vendor's rate"),
        sa.Column(
            "failures",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="tries in a row that got no answer",
        ),
        sa.Column("broken_until", Utc(), nullable=True, comment="nothing is tried before: the endpoint is dead"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("environment", "name"),
    )
    added = {
        "dq_incident": (
            sa.Column("query", sa.Text(), nullable=True, comment="lists what is wrong"),
            sa.Column(
                "muted",
                sa.String(length=12),
                nullable=True,
                comment="what keeps it from being told, as the pump last saw it",
            ),
            sa.Column(
                "pending",
                sa.String(length=64),
                nullable=True,
                comment="the last runs, 1 bad and 0 well, of one that was bad too seldom to be told",
            ),
            sa.Column("acked_at", Utc(), nullable=True, comment="when somebody said that they are on it"),
            sa.Column("acked_by", sa.String(length=120), nullable=True),
            sa.Column(
                "acked_severity",
                sa.Integer(),
                nullable=True,
                comment="how bad it was then; a worse state needs a new acknowledgement",
            ),
        ),
        "dq_alert_group": (
            sa.Column(
                "looked_at",
                Utc(),
                nullable=True,
                comment="when the pump last let it go; in the future: by a clock that was wrong",
            ),
        ),
        "dq_told": (
            sa.Column(
                "flushed_at",
                Utc(),
                nullable=True,
                comment="when the group could first be told; group_interval counts from here",
            ),
            sa.Column("acked_at", Utc(), nullable=True, comment="when the channel was told that somebody is on it"),
        ),
    }
    for table, columns in added.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for column in columns:
                batch_op.add_column(column)
