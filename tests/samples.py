"""What the tests of channels tell of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from dq.model.interval import Interval
from dq.model.kept import Answer, Kept
from dq.model.message import Message
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.reports.attainment import Attained
from dq.sla.budget import budgets

DAY = timedelta(days=1)

AT = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)
KEY = "0123456789abcdef0123456789abcdef"
"""What PagerDuty's integration keys look like."""

MESSAGE = Message(
    key="prod/suite/orders",
    status="firing",
    severity=Severity.CRITICAL,
    environment="prod",
    subject="orders",
    title="prod - orders: 2 checks fail",
    summary="customer is known: 12 of 900 rows are NULL.",
    facts=(("owner", "sales-data"),),
    columns=("org", "missing"),
    rows=(("1", "74"), ("5", "42757")),
    omitted=3,
    links=(("Runbook", "https://example.org/runbooks/orders"),),
    since=AT,
    at=AT,
)


SLA_REPORT_AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def sla_report() -> tuple[Attained, ...]:
    """Return what came of three promises in 90 days: one that is often late, one of every hour, one that is well."""
    made = []
    for name, owner, promise, goal, wait in (
        ("orders", "sales-data", "due 06:00 Europe/Berlin", "99%", DAY),
        ("raw.orders", "collectors", "within 1h after the interval", "99.5%", DAY / 24),
        ("invoices", "", "due 07:30 UTC, for weekdays", "95%", DAY),
    ):
        sla = Sla(within="1h", on_time=goal)
        kept = []
        for n in range(90 * round(DAY / wait)):
            due_at = SLA_REPORT_AT.replace(hour=6, minute=0) - n * wait
            interval = Interval(due_at - wait - DAY / 4, due_at - DAY / 4)
            if name == "invoices" and interval.start.isoweekday() > 5:
                continue
            answer, more = _sample_of(name, n)
            kept.append(
                Kept(kind="suite", subject=name, part=str(interval), interval=interval, due_at=due_at, answer=answer,
                     owner=owner, **more)
            )  # fmt: skip
        made.append(
            Attained(
                subject=name,
                owner=owner,
                promise=promise,
                kept=tuple(kept),
                budgets=budgets(kept, sla, SLA_REPORT_AT, wait),
            )
        )
    return tuple(made)


def _sample_of(name: str, number: int) -> tuple[Answer, dict[str, Any]]:
    cause = "it was seen without rows 06:00 UTC (says data)"
    late = {"late": timedelta(hours=2, minutes=number % 7 * 7), "cause": cause}
    if name == "orders":
        if number == 0:
            cause = "its run started 03:10 UTC (says airflow)"
            return Answer.LATE_RUNNING, {"late": timedelta(hours=6), "cause": cause}
        if number in (3, 4, 11, 40):
            return Answer.MET_AFTER_MISS, late
        return Answer.ON_TIME, {"wrong": number in (7, 8)}
    if name == "raw.orders":
        if 200 <= number < 207:
            return Answer.EXCUSED, {"excuse": "the lake moved"}
        return (Answer.MET_AFTER_MISS, late) if number in (400, 401, 520) else (Answer.ON_TIME, {"wrong": False})
    return Answer.ON_TIME, {"wrong": False}
