"""What the tests of channels tell of."""

from __future__ import annotations

from datetime import UTC, datetime

from dq.model.message import Message
from dq.model.severity import Severity

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
