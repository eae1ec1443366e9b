"""Suites of which it is known what comes out: 2026-11-01 has four events of two orgs, one amount is negative."""

from dq import By, Check, RowCount, Rows, Suite, Table, at_least

events = Table("lake", "events", partition="happened_at")

good = Suite(
    "good",
    events,
    checks=[
        Check("enough rows", RowCount(), critical=at_least(4)),
        Check("an id each", Rows("id > 0"), by=By("org", expected=["1", "2"])),
    ],
)
bad = Suite(
    "bad",
    events,
    checks=[Check("amount is positive", Rows("amount > 0"), error=0, runbook="https://runbooks.test/amount")],
)
blind = Suite(
    "blind",
    events,
    checks=[Check("no such column", Rows("missing > 0"), severity="error"), Check("an id", Rows("id > 0"))],
)
rare = Suite("rare", events, every="365d", checks=[Check("an id", Rows("id > 0"))])
restated = Suite("restated", events, lookback=1, checks=[Check("an id", Rows("id > 0"))])
mixed = Suite(
    "mixed",
    events,
    checks=[
        Check("an id", Rows("id > 0")),
        Check("no such column", Rows("missing > 0"), severity="error"),
        Check("amounts", Rows("amount > 0"), warning=0),
        Check("by org", Rows("amount > -5"), by=By("org")),
    ],
)
