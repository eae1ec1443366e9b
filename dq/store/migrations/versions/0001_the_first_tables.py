"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dq.store.schema import Utc

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "dq_alert_group",
        sa.Column("group_key", sa.String(length=255), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=190), nullable=False),
        sa.Column(
            "dirty",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="raised by every close that touched it",
        ),
        sa.Column(
            "seen",
            sa.Integer(),
            server_default=sa.text("0"),
            nullable=False,
            comment="the value of dirty that the pump last looked at",
        ),
        sa.Column(
            "routes",
            sa.String(length=64),
            nullable=True,
            comment="fingerprint of the routes that the pump last looked at it with",
        ),
        sa.Column("due_at", Utc(), nullable=True, comment="look again at that time, dirty or not"),
        sa.Column("lease_until", Utc(), nullable=True),
        sa.Column("lease_owner", sa.String(length=120), nullable=True),
        sa.PrimaryKeyConstraint("group_key"),
    )
    op.create_table(
        "dq_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column(
            "number", sa.BigInteger(), nullable=True, comment="dense order of becoming visible; NULL until it is given"
        ),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=190), nullable=False),
        sa.Column("body", sa.Text(), nullable=False, comment="JSON"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    with op.batch_alter_table("dq_event", schema=None) as batch_op:
        batch_op.create_index("dq_event_unnumbered", ["number", "id"], unique=False)

    op.create_table(
        "dq_incident",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=190), nullable=False),
        sa.Column("part", sa.String(length=250), nullable=False),
        sa.Column("org", sa.Text(), nullable=False),
        sa.Column(
            "open_key", sa.String(length=64), nullable=True, comment="hash of the identity while it is open, then NULL"
        ),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("observed", sa.String(length=80), nullable=False),
        sa.Column("threshold", sa.String(length=200), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("links", sa.Text(), nullable=False),
        sa.Column("interval_start", Utc(), nullable=False),
        sa.Column("interval_end", Utc(), nullable=False),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("changed_at", Utc(), nullable=False),
        sa.Column("ended_at", Utc(), nullable=True),
        sa.Column("ended", sa.String(length=20), nullable=True),
        sa.Column(
            "told_at",
            Utc(),
            nullable=True,
            comment="when a channel was first told, or tried; NULL: nobody knows of it yet",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("open_key"),
    )
    with op.batch_alter_table("dq_incident", schema=None) as batch_op:
        batch_op.create_index("dq_incident_subject", ["environment", "kind", "subject"], unique=False)

    op.create_table(
        "dq_observation",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=190), nullable=False),
        sa.Column("interval_start", Utc(), nullable=False),
        sa.Column("interval_end", Utc(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("source", sa.String(length=120), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dq_observation", schema=None) as batch_op:
        batch_op.create_index(
            "dq_observation_subject", ["environment", "kind", "subject", "interval_start"], unique=False
        )

    op.create_table(
        "dq_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("idempotency", sa.String(length=64), nullable=False, comment="hash of what makes the event unique"),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=120), nullable=False),
        sa.Column(
            "message",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
            comment="JSON: the neutral message",
        ),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("lease_until", Utc(), nullable=True),
        sa.Column("lease_owner", sa.String(length=120), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", Utc(), nullable=True),
        sa.Column("sent_at", Utc(), nullable=True),
        sa.Column("dead_at", Utc(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency"),
    )
    with op.batch_alter_table("dq_outbox", schema=None) as batch_op:
        batch_op.create_index("dq_outbox_open", ["sent_at", "dead_at"], unique=False)

    op.create_table(
        "dq_run",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("environment", sa.String(length=64), nullable=False),
        sa.Column("suite", sa.String(length=190), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("interval_start", Utc(), nullable=False),
        sa.Column("interval_end", Utc(), nullable=False),
        sa.Column("origin", sa.String(length=250), nullable=False),
        sa.Column("started_at", Utc(), nullable=False),
        sa.Column("due", sa.Integer(), nullable=True, comment="1 due, 0 not due, NULL nobody said"),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_version", sa.Integer(), nullable=True),
        sa.Column("closed_at", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("environment", "suite", "interval_start", "interval_end", "origin", name="dq_run_identity"),
    )
    with op.batch_alter_table("dq_run", schema=None) as batch_op:
        batch_op.create_index("dq_run_suite", ["environment", "suite", "interval_start"], unique=False)

    op.create_table(
        "dq_told",
        sa.Column("group_key", sa.String(length=255), nullable=False),
        sa.Column("channel", sa.String(length=120), nullable=False),
        sa.Column(
            "message_key",
            sa.String(length=255),
            nullable=False,
            comment="the key on the wire; one per group, more with a finer group_by",
        ),
        sa.Column(
            "trying",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=True,
            comment="JSON: what is on the wire and not settled",
        ),
        sa.Column(
            "told",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=True,
            comment="JSON: what the channel was last told: incident ids and severities",
        ),
        sa.Column("told_at", Utc(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True, comment="JSON: what the vendor calls it"),
        sa.Column(
            "message",
            sa.Text().with_variant(mysql.LONGTEXT(), "mariadb").with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=True,
            comment="JSON: the neutral message that was last told or tried",
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_at", Utc(), nullable=True),
        sa.Column("dead_at", Utc(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("group_key", "channel", "message_key"),
    )
    op.create_table(
        "dq_ledger",
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column(
            "body",
            sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mariadb").with_variant(mysql.LONGBLOB(), "mysql"),
            nullable=False,
            comment="gzipped JSON",
        ),
        sa.ForeignKeyConstraint(["run_id"], ["dq_run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_table(
        "dq_result",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("scan", sa.String(length=190), nullable=False),
        sa.Column("check_name", sa.String(length=250), nullable=False),
        sa.Column("org", sa.Text(), nullable=False, comment="JSON: columns and values; empty for the summary"),
        sa.Column("partition_start", Utc(), nullable=True),
        sa.Column("partition_end", Utc(), nullable=True),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=True),
        sa.Column("row_count", sa.BigInteger(), nullable=True),
        sa.Column("violations", sa.BigInteger(), nullable=True),
        sa.Column("unknown", sa.BigInteger(), nullable=True),
        sa.Column("observed", sa.String(length=80), nullable=True),
        sa.Column("threshold", sa.String(length=200), nullable=True),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("orgs", sa.BigInteger(), nullable=True),
        sa.Column("orgs_bad", sa.BigInteger(), nullable=True),
        sa.Column("at", Utc(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["dq_run.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("dq_result", schema=None) as batch_op:
        batch_op.create_index("dq_result_run", ["run_id", "scan"], unique=False)
