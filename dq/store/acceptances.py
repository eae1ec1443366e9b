"""Accepted discrepancies as rows of the store."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any

from attrs import evolve
from sqlalchemy import or_, select, update
from sqlalchemy.engine import Connection

from dq.model.acceptance import Acceptance, AcceptanceEnd, Most
from dq.model.interval import Interval
from dq.store.measures import org_of, org_text
from dq.store.schema import acceptance as table


def add(connection: Connection, environment: str, made: Acceptance) -> Acceptance:
    """Write an acceptance down; return it with its id."""
    partition = made.partition
    row = {
        "environment": environment,
        "reconciliation": made.reconciliation,
        "org": org_text(made.org),
        "stage": made.stage,
        "at_most": str(made.most.limit),
        "is_share": int(made.most.is_share),
        "too_many": int(made.most.too_many),
        "partition_start": None if partition is None else partition.start,
        "partition_end": None if partition is None else partition.end,
        "reason": made.reason,
        "author": made.author,
        "created_at": made.created_at,
        "ends_at": made.ends_at,
        "newest": made.newest,
    }
    key: Any = connection.execute(table.insert().values(**row)).inserted_primary_key
    return evolve(made, id=int(key[0]))


def of(
    connection: Connection, environment: str, reconciliation: str, since: datetime, *, lock: bool = False
) -> tuple[Acceptance, ...]:
    """Return the acceptances of a reconciliation that have not ended, or expired after ``since``, oldest first.

    Args:
        connection: in a transaction.
        environment, reconciliation: whose.
        since: those that expired before are left out.
        lock: their rows are locked until the transaction ends, so that nobody shrinks them beside.
    """
    c = table.c
    lately = or_(c.ended.is_(None), (c.ended == "expired") & (c.ends_at > since))
    query = select(table).where(c.environment == environment, c.reconciliation == reconciliation, lately)
    rows = connection.execute((query.with_for_update() if lock else query).order_by(c.id)).all()
    return tuple(map(_from_row, rows))


def listed(connection: Connection, environment: str) -> tuple[Acceptance, ...]:
    """Return all acceptances that there ever were, oldest first."""
    rows = connection.execute(select(table).where(table.c.environment == environment).order_by(table.c.id)).all()
    return tuple(map(_from_row, rows))


def get(connection: Connection, environment: str, id_: int) -> Acceptance | None:
    """Return one acceptance, its row locked until the transaction ends; None: there is none."""
    query = select(table).where(table.c.environment == environment, table.c.id == id_).with_for_update()
    row = connection.execute(query).first()
    return None if row is None else _from_row(row)


def end(connection: Connection, one: Acceptance, how: AcceptanceEnd, at: datetime) -> Acceptance:
    """End an acceptance; return it as it is then."""
    connection.execute(update(table).where(table.c.id == one.id).values(ended=how, ended_at=at))
    return evolve(one, ended=how, ended_at=at)


def keep(connection: Connection, one: Acceptance) -> None:
    """Write down how much is accepted from now on, and the partition that it was held against."""
    values = {"at_most": str(one.most.limit), "newest": one.newest}
    connection.execute(update(table).where(table.c.id == one.id).values(**values))


def _from_row(row: Any) -> Acceptance:
    org = org_of(row.org)
    assert org is not None  # noqa: S101  # the text of a group is never empty
    return Acceptance(
        id=row.id,
        reconciliation=row.reconciliation,
        org=org,
        stage=row.stage,
        most=Most(Fraction(row.at_most), is_share=bool(row.is_share), too_many=bool(row.too_many)),
        partition=None if row.partition_start is None else Interval(row.partition_start, row.partition_end),
        reason=row.reason,
        author=row.author,
        created_at=row.created_at,
        ends_at=row.ends_at,
        newest=row.newest,
        ended_at=row.ended_at,
        ended=row.ended,
    )
