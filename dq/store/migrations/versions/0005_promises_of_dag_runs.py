"""Promises about DAG runs and their tasks, and what is seen of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dq.store.schema import CHARSET, COLLATION, Utc

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column. MariaDB and MySQL commit each statement, so what is there already is left."""
    there = sa.inspect(op.get_bind())
    long = sa.Text().with_variant(mysql.LONGTEXT(), "mysql").with_variant(mysql.LONGTEXT(), "mariadb")
    if not there.has_table("dq_promise"):
        own = {"engine": "InnoDB", "charset": CHARSET, "collate": COLLATION}
        options: dict[str, Any] = {f"{d}_{name}": value for d in ("mariadb", "mysql") for name, value in own.items()}
        op.create_table(
            "dq_promise",
            sa.Column("environment", sa.String(length=64), nullable=False),
            sa.Column("kind", sa.String(length=20), nullable=False),
            sa.Column("subject", sa.String(length=190), nullable=False),
            sa.Column("run", sa.String(length=250), nullable=False),
            sa.Column("due_at", Utc(), nullable=False),
            sa.Column("registered_at", Utc(), nullable=False),
            sa.Column("looked_at", Utc(), nullable=True, comment="when somebody last looked at Airflow for it"),
            sa.Column("settled_at", Utc(), nullable=True, comment="when it was known what came of it"),
            sa.Column("body", long, nullable=False, comment="JSON: what is promised"),
            sa.PrimaryKeyConstraint("environment", "kind", "subject", "run"),
            **options,
        )
    _index("dq_promise_open", "dq_promise", ["environment", "settled_at", "due_at"])
    run = sa.Column(
        "run",
        sa.String(length=250),
        server_default=sa.text("''"),
        nullable=False,
        comment="the DAG run, of a DAG or task",
    )
    if "run" not in {column["name"] for column in there.get_columns("dq_observation")}:
        op.add_column("dq_observation", run)
    _index("dq_observation_run", "dq_observation", ["environment", "run", "subject"])


def _index(name: str, table: str, columns: list[str]) -> None:
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)

