"""What came of each promised partition, when to look at a subject again, and known outages."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from dq.store.schema import CHARSET, COLLATION, Utc

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NO: dict[str, Any] = {"nullable": False, "server_default": sa.text("0")}
_EMPTY: dict[str, Any] = {"nullable": False, "server_default": sa.text("''")}


def upgrade() -> None:
    """Make tables and columns. MariaDB and MySQL commit each statement, so what is there already is left."""
    there = sa.inspect(op.get_bind())
    known = {column["name"] for column in there.get_columns("dq_promise")}
    for column in (
        sa.Column("interval_start", Utc()),
        sa.Column("interval_end", Utc()),
        sa.Column("answer", sa.String(20), comment="what came of it, as last judged", **_EMPTY),
        sa.Column("arrived_at", Utc()),
        sa.Column("took", sa.BigInteger(), comment="seconds from its beginning to its end, where both were seen"),
        sa.Column("severity", sa.Integer(), comment="how bad it was at worst; NULL: it was not missed"),
        sa.Column("told", sa.Integer(), comment="whether an incident of it is open", **_NO),
        sa.Column("wrong", sa.Integer(), comment="whether a check failed at error or worse in it"),
        sa.Column("bad", sa.BigInteger(), comment="rows or orgs"),
        sa.Column("total", sa.BigInteger(), comment="rows or orgs"),
        sa.Column("cause", sa.Text(), comment="why it was late, for people"),
        sa.Column("owner", sa.String(190), **_EMPTY),
    ):
        if column.name not in known:
            op.add_column("dq_promise", column)
    if "dq_promise_due" not in {index["name"] for index in there.get_indexes("dq_promise")}:
        op.create_index("dq_promise_due", "dq_promise", ["environment", "due_at"])
    own = {"engine": "InnoDB", "charset": CHARSET, "collate": COLLATION}
    options: dict[str, Any] = {f"{d}_{name}": value for d in ("mariadb", "mysql") for name, value in own.items()}
    if not there.has_table("dq_sla"):
        op.create_table(
            "dq_sla",
            sa.Column("environment", sa.String(64), primary_key=True),
            sa.Column("kind", sa.String(20), primary_key=True),
            sa.Column("subject", sa.String(190), primary_key=True),
            sa.Column(
                "promise", sa.String(64), nullable=False, comment="hash of what was promised when it was last looked at"
            ),
            sa.Column("since", Utc(), comment="when it was first seen"),
            sa.Column("next_at", Utc(), comment="look again at that time, news or not"),
            sa.Column(
                "news",
                sa.Integer(),
                nullable=False,
                server_default=sa.text("1"),
                comment="whether something was seen since",
            ),
            **options,
        )
    if not there.has_table("dq_excuse"):
        op.create_table(
            "dq_excuse",
            sa.Column("id", _ID, primary_key=True, autoincrement=True),
            sa.Column("environment", sa.String(64), nullable=False),
            sa.Column("subject", sa.String(190), nullable=False, comment="* for all"),
            sa.Column("starts_at", Utc(), nullable=False),
            sa.Column("ends_at", Utc(), nullable=False),
            sa.Column("reason", sa.Text(), nullable=False),
            sa.Column("author", sa.String(120), nullable=False),
            sa.Column("created_at", Utc(), nullable=False),
            sa.Column("ended_at", Utc(), comment="when somebody took it back"),
            **options,
        )
        op.create_index("dq_excuse_when", "dq_excuse", ["environment", "ends_at"])
    if not there.has_table("dq_watcher"):
        op.create_table(
            "dq_watcher",
            sa.Column("environment", sa.String(64), primary_key=True),
            sa.Column("name", sa.String(120), primary_key=True),
            sa.Column("started_at", Utc(), nullable=False),
            sa.Column("seen_at", Utc(), nullable=False),
            **options,
        )
    _keep_what_was_told()


def _keep_what_was_told() -> None:
    """Write down the partitions that have an incident, so that none is told a second time."""
    bind = op.get_bind()
    meta = sa.MetaData()
    long = sa.Text().with_variant(mysql.LONGTEXT(), "mysql").with_variant(mysql.LONGTEXT(), "mariadb")
    incident = sa.Table(
        "dq_incident",
        meta,
        *(sa.Column(name, sa.String()) for name in ("environment", "kind", "subject", "part")),
        *(sa.Column(name, Utc()) for name in ("interval_start", "interval_end", "opened_at", "ended_at")),
        sa.Column("labels", sa.Text()),
        sa.Column("severity", sa.Integer()),
    )
    promise = sa.Table(
        "dq_promise",
        meta,
        *(sa.Column(name, sa.String()) for name in ("environment", "kind", "subject", "run", "answer")),
        *(
            sa.Column(name, Utc())
            for name in ("due_at", "registered_at", "settled_at", "interval_start", "interval_end", "arrived_at")
        ),
        sa.Column("body", long),
        *(sa.Column(name, sa.Integer()) for name in ("severity", "told")),
    )
    rows: dict[tuple[str, str, str, str], dict[str, Any]] = {}
    for row in bind.execute(sa.select(incident).where(incident.c.kind == "sla").order_by(incident.c.opened_at)):
        kind = next((k for k in ("suite", "reconciliation") if k in json.loads(row.labels)), None)
        if kind is None:  # of a run: it is written down already
            continue
        rows[row.environment, kind, row.subject, row.part] = {
            "environment": row.environment,
            "kind": kind,
            "subject": row.subject,
            "run": row.part,
            "body": "",
            # When it was due no incident says to the second; it was told right after.
            "due_at": row.opened_at,
            "registered_at": row.opened_at,
            "interval_start": row.interval_start,
            "interval_end": row.interval_end,
            "severity": row.severity,
            "told": 0 if row.ended_at else 1,
            "settled_at": row.ended_at,
            "arrived_at": row.ended_at,
            "answer": "met_after_miss" if row.ended_at else "never_started",
        }
    c = promise.c
    there = {tuple(r) for r in bind.execute(sa.select(c.environment, c.kind, c.subject, c.run))}
    new = [values for key, values in rows.items() if key not in there]
    if new:
        bind.execute(promise.insert(), new)
