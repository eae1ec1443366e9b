"""The tables of dq's own store, in the subset that SQLAlchemy 1.4 and 2.x share.

Times are UTC; exact numbers are text; values that only dq reads are JSON text.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """An aware UTC time, stored without its zone so that every database keeps it alike."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Any) -> Any:
        """Keep microseconds on MySQL and MariaDB, which drop them by default."""
        return dialect.type_descriptor(mysql.DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime())

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002  # overrides
        """Refuse a time without a zone, which would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value.isoformat()} has no time zone")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:  # noqa: ARG002  # as above
        """Return the time with its zone."""
        return None if value is None else value.replace(tzinfo=UTC)


metadata = MetaData()
# TEXT holds 64 KB on MariaDB and MySQL: less than a report, or the state of ten thousand incidents.
_LONG = Text().with_variant(mysql.LONGTEXT(), "mysql").with_variant(mysql.LONGTEXT(), "mariadb")
_ID = BigInteger().with_variant(Integer(), "sqlite")
_BLOB = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql").with_variant(mysql.LONGBLOB(), "mariadb")

run = Table(
    "dq_run",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("environment", String(64), nullable=False),
    Column("suite", String(190), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("interval_start", Utc, nullable=False),
    Column("interval_end", Utc, nullable=False),
    Column("origin", String(250), nullable=False),
    Column("started_at", Utc, nullable=False),
    Column("due", Integer, comment="1 due, 0 not due, NULL nobody said"),
    Column("version", Integer, nullable=False, server_default=text("0")),
    Column("closed_version", Integer),
    Column("closed_at", Utc),
    UniqueConstraint("environment", "suite", "interval_start", "interval_end", "origin", name="dq_run_identity"),
    Index("dq_run_suite", "environment", "suite", "interval_start"),
)

result = Table(
    "dq_result",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("run_id", String(36), ForeignKey("dq_run.id", ondelete="CASCADE"), nullable=False),
    Column("scan", String(190), nullable=False),
    Column("check_name", String(250), nullable=False),
    Column("org", Text, nullable=False, comment="JSON: columns and values; empty for the summary"),
    Column("partition_start", Utc),
    Column("partition_end", Utc),
    Column("outcome", String(12), nullable=False),
    Column("severity", Integer),
    Column("row_count", BigInteger),
    Column("violations", BigInteger),
    Column("unknown", BigInteger),
    Column("observed", String(80)),
    Column("threshold", String(200)),
    Column("sentence", Text, nullable=False),
    Column("orgs", BigInteger),
    Column("orgs_bad", BigInteger),
    Column("detail", _LONG, comment="JSON: more of what was found"),
    Column("failing", _LONG, comment="JSON: some of the rows that broke it, masked"),
    Column("at", Utc, nullable=False),
    Index("dq_result_run", "run_id", "scan"),
)

measure = Table(
    "dq_measure",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("suite", String(190), nullable=False),
    Column("check_name", String(250), nullable=False),
    Column("org", Text, nullable=False, comment="JSON: columns and values; empty for the whole"),
    Column("org_key", String(64), nullable=False, comment="hash of the org; empty for the whole"),
    Column("interval_start", Utc, nullable=False),
    Column("interval_end", Utc, nullable=False),
    Column("seconds", BigInteger, nullable=False, comment="the length of the interval"),
    Column("measured", String(80), nullable=False),
    Column("row_count", BigInteger),
    Column("outcome", String(12), nullable=False),
    Column("severity", Integer),
    Column("at", Utc, nullable=False),
    Index("dq_measure_check", "environment", "suite", "check_name", "interval_start"),
)

reference = Table(
    "dq_reference",
    metadata,
    Column("environment", String(64), primary_key=True),
    Column("suite", String(190), primary_key=True),
    Column("check_name", String(250), primary_key=True),
    Column("body", _LONG, nullable=False, comment="JSON: what the check is held against"),
    Column("interval_start", Utc, nullable=False),
    Column("interval_end", Utc, nullable=False),
    Column("at", Utc, nullable=False),
)

ledger = Table(
    "dq_ledger",
    metadata,
    Column("run_id", String(36), ForeignKey("dq_run.id", ondelete="CASCADE"), primary_key=True),
    Column("body", _BLOB, nullable=False, comment="gzipped JSON"),
)

incident = Table(
    "dq_incident",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("subject", String(190), nullable=False),
    Column("part", String(250), nullable=False),
    Column("org", Text, nullable=False),
    Column("open_key", String(64), unique=True, comment="hash of the identity while it is open, then NULL"),
    Column("severity", Integer, nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("observed", String(80), nullable=False),
    Column("threshold", String(200), nullable=False),
    Column("labels", Text, nullable=False),
    Column("links", Text, nullable=False),
    Column("interval_start", Utc, nullable=False),
    Column("interval_end", Utc, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("changed_at", Utc, nullable=False),
    Column("ended_at", Utc),
    Column("ended", String(20)),
    Column("told_at", Utc, comment="when a channel was first told, or tried; NULL: nobody knows of it yet"),
    Column("query", Text, comment="lists what is wrong"),
    Column("muted", String(12), comment="what keeps it from being told, as the pump last saw it"),
    Column("pending", String(64), comment="the last runs, 1 bad and 0 well, of one that was bad too seldom to be told"),
    Column("acked_at", Utc, comment="when somebody said that they are on it"),
    Column("acked_by", String(120)),
    Column("acked_severity", Integer, comment="how bad it was then; a worse state needs a new acknowledgement"),
    Index("dq_incident_subject", "environment", "kind", "subject"),
)

alert_group = Table(
    "dq_alert_group",
    metadata,
    Column("group_key", String(255), primary_key=True),
    Column("environment", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("subject", String(190), nullable=False),
    Column("dirty", Integer, nullable=False, server_default=text("0"), comment="raised by every close that touched it"),
    Column(
        "seen",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="the value of dirty that the pump last looked at",
    ),
    Column("routes", String(64), comment="fingerprint of the routes that the pump last looked at it with"),
    Column("due_at", Utc, comment="look again at that time, dirty or not"),
    Column("looked_at", Utc, comment="when the pump last let it go; in the future: by a clock that was wrong"),
    Column("lease_until", Utc),
    Column("lease_owner", String(120)),
)

told = Table(
    "dq_told",
    metadata,
    Column("group_key", String(255), primary_key=True),
    Column("channel", String(120), primary_key=True),
    Column(
        "message_key",
        String(255),
        primary_key=True,
        comment="the key on the wire; one per group, more with a finer group_by",
    ),
    Column("trying", _LONG, comment="JSON: what is on the wire and not settled"),
    Column("told", _LONG, comment="JSON: what the channel was last told: incident ids and severities"),
    Column("told_at", Utc),
    Column("flushed_at", Utc, comment="when the group could first be told; group_interval counts from here"),
    Column("acked_at", Utc, comment="when the channel was told that somebody is on it"),
    Column("reference", Text, comment="JSON: what the vendor calls it"),
    Column("message", _LONG, comment="JSON: the neutral message that was last told or tried"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", Utc),
    Column("dead_at", Utc),
    Column("error", Text),
)

silence = Table(
    "dq_silence",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("matchers", Text, nullable=False, comment="JSON: a list of matchers that must all hold"),
    Column("author", String(120), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("starts_at", Utc, nullable=False),
    Column("ends_at", Utc, nullable=False, comment="moved to the present when somebody ends it early"),
    Index("dq_silence_open", "environment", "ends_at"),
)

channel = Table(
    "dq_channel",
    metadata,
    Column("environment", String(64), primary_key=True),
    Column("name", String(120), primary_key=True),
    Column("free_at", Utc, comment="the next send may leave then, by the vendor's rate"),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="tries in a row that got no answer"),
    Column("broken_until", Utc, comment="nothing is tried before: the endpoint is dead"),
    Column("error", Text),
)

outbox = Table(
    "dq_outbox",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("idempotency", String(64), nullable=False, unique=True, comment="hash of what makes the event unique"),
    Column("environment", String(64), nullable=False),
    Column("channel", String(120), nullable=False),
    Column("message", _LONG, nullable=False, comment="JSON: the neutral message"),
    Column("created_at", Utc, nullable=False),
    Column("lease_until", Utc),
    Column("lease_owner", String(120)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("next_at", Utc),
    Column("sent_at", Utc),
    Column("dead_at", Utc),
    Column("reference", Text),
    Column("error", Text),
    Index("dq_outbox_open", "sent_at", "dead_at"),
)

attachment = Table(
    "dq_attachment",
    metadata,
    Column("digest", String(64), primary_key=True, comment="SHA-256 of the content"),
    Column("content", _BLOB, nullable=False),
)

observation = Table(
    "dq_observation",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("subject", String(190), nullable=False),
    Column("interval_start", Utc, nullable=False),
    Column("interval_end", Utc, nullable=False),
    Column("state", String(12), nullable=False),
    Column("at", Utc, nullable=False),
    Column("source", String(120), nullable=False),
    Column("detail", Text, nullable=False),
    Column("run", String(250), nullable=False, server_default=text("''"), comment="the DAG run, of a DAG or task"),
    Index("dq_observation_subject", "environment", "kind", "subject", "interval_start"),
    Index("dq_observation_run", "environment", "run", "subject"),
)

promise = Table(
    "dq_promise",
    metadata,
    Column("environment", String(64), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("subject", String(190), primary_key=True),
    Column("run", String(250), primary_key=True),
    Column("due_at", Utc, nullable=False),
    Column("registered_at", Utc, nullable=False),
    Column("looked_at", Utc, comment="when somebody last looked at Airflow for it"),
    Column("settled_at", Utc, comment="when it was known what came of it"),
    Column("body", _LONG, nullable=False, comment="JSON: what is promised"),
    Column("interval_start", Utc),
    Column("interval_end", Utc),
    Column("answer", String(20), nullable=False, server_default=text("''"), comment="what came of it, as last judged"),
    Column("arrived_at", Utc),
    Column("took", BigInteger, comment="seconds from its beginning to its end, where both were seen"),
    Column("severity", Integer, comment="how bad it was at worst; NULL: it was not missed"),
    Column("told", Integer, nullable=False, server_default=text("0"), comment="whether an incident of it is open"),
    Column("wrong", Integer, comment="whether a check failed at error or worse in it"),
    Column("bad", BigInteger, comment="rows or orgs"),
    Column("total", BigInteger, comment="rows or orgs"),
    Column("cause", Text, comment="why it was late, for people"),
    Column("owner", String(190), nullable=False, server_default=text("''")),
    Index("dq_promise_open", "environment", "settled_at", "due_at"),
    Index("dq_promise_due", "environment", "due_at"),
)

subject = Table(
    "dq_sla",
    metadata,
    Column("environment", String(64), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("subject", String(190), primary_key=True),
    Column("promise", String(64), nullable=False, comment="hash of what was promised when it was last looked at"),
    Column("since", Utc, comment="when it was first seen"),
    Column("next_at", Utc, comment="look again at that time, news or not"),
    Column("news", Integer, nullable=False, server_default=text("1"), comment="whether something was seen since"),
)

excuse = Table(
    "dq_excuse",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("subject", String(190), nullable=False, comment="* for all"),
    Column("starts_at", Utc, nullable=False),
    Column("ends_at", Utc, nullable=False),
    Column("reason", Text, nullable=False),
    Column("author", String(120), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("ended_at", Utc, comment="when somebody took it back"),
    Index("dq_excuse_when", "environment", "ends_at"),
)

acceptance = Table(
    "dq_acceptance",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("reconciliation", String(190), nullable=False),
    Column("org", Text, nullable=False, comment="JSON: columns and values"),
    Column("stage", String(250), nullable=False),
    Column("at_most", Text, nullable=False, comment="a fraction: records, or a share of the baseline"),
    Column("is_share", Integer, nullable=False),
    Column("too_many", Integer, nullable=False, comment="1: records are too many; 0: they are missing"),
    Column("partition_start", Utc, comment="the only partition that it is about; NULL: all"),
    Column("partition_end", Utc),
    Column("reason", Text, nullable=False),
    Column("author", String(120), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("ends_at", Utc, nullable=False),
    Column("newest", Utc, comment="start of the newest partition that it was held against"),
    Column("ended_at", Utc),
    Column("ended", String(20)),
    Index("dq_acceptance_of", "environment", "reconciliation", "ends_at"),
)

deploy = Table(
    "dq_deploy",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("environment", String(64), nullable=False),
    Column("at", Utc, nullable=False),
    Column("version", String(120), nullable=False),
    Column("text", Text, nullable=False),
    Column("kind", String(20), nullable=False, comment="dag or subject; empty: it is about everything"),
    Column("subject", String(250), nullable=False, comment="id of the DAG, or name of a suite or reconciliation"),
    Column("source", String(20), nullable=False, comment="cli, git or announce"),
    Column("author", String(120), nullable=False),
    Column("created_at", Utc, nullable=False),
    Index("dq_deploy_when", "environment", "at"),
)

watcher = Table(
    "dq_watcher",
    metadata,
    Column("environment", String(64), primary_key=True),
    Column("name", String(120), primary_key=True),
    Column("started_at", Utc, nullable=False),
    Column("seen_at", Utc, nullable=False),
)

event = Table(
    "dq_event",
    metadata,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("number", BigInteger, unique=True, comment="dense order of becoming visible; NULL until it is given"),
    Column("environment", String(64), nullable=False),
    Column("at", Utc, nullable=False),
    Column("name", String(64), nullable=False),
    Column("subject", String(190), nullable=False),
    Column("body", Text, nullable=False, comment="JSON"),
    Index("dq_event_unnumbered", "number", "id"),
)

# MariaDB and MySQL would take the database's own character set, which may hold less than people write, and its
# collation, which may take two keys for one. Not utf8mb4_bin, which ignores spaces at the end: values of labels, which
# are part of keys, may have them. Each server reads the comment that is meant for it (mariadb.com/kb/en/comment-syntax,
# dev.mysql.com/doc/refman/8.4/en/comments.html): MariaDB from 10.2 on, MySQL from 8.0.17 on.
CHARSET = "utf8mb4"
COLLATION = "/*M!100200 utf8mb4_nopad_bin */ /*!80017 utf8mb4_0900_bin */"
for _table in metadata.tables.values():
    for _dialect in ("mariadb", "mysql"):
        _table.dialect_kwargs[f"{_dialect}_engine"] = "InnoDB"
        _table.dialect_kwargs[f"{_dialect}_charset"] = CHARSET
        _table.dialect_kwargs[f"{_dialect}_collate"] = COLLATION
