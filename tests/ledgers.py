"""Ledgers made by hand, for tests of what shows them."""

import csv
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Column, Ledger, LedgerRow
from dq.model.reconciliation import Allowance
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.reports.discrepancy import MAX_ROWS, all_rows
from dq.reports.news import Item, News, Reopened, State
from dq.reports.trend import Day, Seen, Trend, days_until

DATA = Path(__file__).parent / "data"
DAY = Interval.of_day("2024-06-26")
NOW = datetime(2024, 6, 27, 5, 0, tzinfo=UTC)


def row(org, counts, *, explained=None, severity=None, notes=(), interval=DAY, columns=("region",)):
    """Return a row; the first count is the baseline, every other one is compared."""
    values = org if isinstance(org, tuple) else (org,)
    explained = explained or {}
    baseline, *stages = counts
    missing = {s: (counts[baseline] or 0) - (counts[s] or 0) - sum(explained.values()) for s in stages}
    whole = counts[baseline]
    share = {s: Fraction(m, whole) if whole else None if m else Fraction(0) for s, m in missing.items()}
    return LedgerRow(
        interval=interval, org=Group(columns, values), counts=counts, explained=explained, discrepancy=missing,
        share=share, severity=severity, notes=notes,
    )  # fmt: skip


def columns(*stages):
    """Return the columns of a baseline and the stages that are held against it."""
    shown = [Column(kind="count", name=stages[0], heading=stages[0])]
    for stage in stages[1:]:
        shown += [
            Column(kind="count", name=stage, heading=stage),
            Column(kind="discrepancy", name=stage, heading="Discrepancy"),
            Column(kind="share", name=stage, heading="Discr %"),
        ]
    return tuple(shown)


def ledger(rows, *, results=None, severity=..., interval=DAY, shown=None, totals=(), **more):
    """Return a ledger of ``rows``, by default with one passing or failing summary."""
    worst = max((r.severity for r in rows if r.severity is not None), default=None)
    if results is None:
        outcome = Outcome.FAIL if worst else Outcome.PASS
        results = (Result(check="Provinces", outcome=outcome, severity=worst, sentence="as told", orgs=len(rows)),)
    return Ledger(**{
        "reconciliation": "covid", "pipeline": "covid regions", "environment": "EP_PROD", "interval": interval,
        "columns": shown or columns("Regions", "Provinces"), "rows": tuple(rows), "totals": tuple(totals),
        "results": tuple(results), "severity": worst if severity is ... else severity, **more,
    })  # fmt: skip


def agari():
    """Return the day that was published: two stages against the collector, skipped = collector - aggregate."""
    day = Interval.of_day("2016-04-28")
    allowed = [(s, Allowance.of(n)) for s, n in zip(list(Severity)[1:], (100, 10_000, 50_000), strict=True)]
    rows = []
    with (DATA / "agari_2016-04-28.csv").open(encoding="utf-8", newline="") as file:
        for read in csv.DictReader(file):
            number = {name: int(value) for name, value in read.items() if name != "org_id"}
            collector, skipped = number["collector_msgs"], number["collector_msgs"] - number["agg_msgs"]
            missing = {stage: collector - number[f"{stage}_msgs"] - skipped for stage in ("db", "nrt_db")}
            broken = [s for s, a in allowed if any(a.exceeded(m, collector) for m in missing.values())]
            rows.append(LedgerRow(
                interval=day,
                org=Group(("org_id",), (read["org_id"],)),
                counts={stage: number[f"{stage}_msgs"] for stage in ("collector", "agg", "db", "nrt_db")},
                explained={"Skipped": skipped},
                discrepancy=missing,
                share={stage: Fraction(m, collector) for stage, m in missing.items()},
                severity=max(broken, default=None),
                notes=("64.8 % of its messages were skipped",) if read["org_id"] == "12" else (),
            ))  # fmt: skip
    rows.sort(key=lambda r: (-(r.severity or 0), -max(map(abs, r.discrepancy.values())), r.org.sort_key))
    return Ledger(
        reconciliation="agari",
        pipeline="collector to database",
        environment="EP_PROD",
        interval=day,
        columns=(
            Column(kind="count", name="collector", heading="Collector Msgs"),
            Column(kind="count", name="agg", heading="Agg Msgs"),
            Column(kind="count", name="db", heading="DB Msgs"),
            Column(kind="discrepancy", name="db", heading="Discrepancy"),
            Column(kind="share", name="db", heading="Discr %"),
            Column(kind="count", name="nrt_db", heading="NRT DB Msgs"),
            Column(kind="discrepancy", name="nrt_db", heading="NRT Discrepancy"),
            Column(kind="share", name="nrt_db", heading="NRT Discr %"),
            Column(kind="explained", name="Skipped", heading="Skipped", derived=True),
        ),
        rows=tuple(rows),
        totals=(("RDAs", 22058, ""), ("messages", sum(r.counts["db"] for r in rows), "")),
        results=(
            Result(check="nrt_db", outcome=Outcome.FAIL, severity=Severity.CRITICAL, orgs=10, orgs_bad=8,
                   sentence="8 of 10 orgs differ: 56 (108080), 5 (42757), 16 (34010) and 5 more"),
            Result(check="db", outcome=Outcome.PASS, orgs=10, orgs_bad=0, sentence="all 10 orgs agree at DB Msgs"),
        ),
        severity=Severity.CRITICAL,
        still_bad=((Interval.of_day("2016-04-26"), "1 org differs at NRT DB Msgs (error)"),),
    )  # fmt: skip


def beside(found):
    """Return news and days of a ledger in which every state and every mark occurs, or nearly."""
    bad = [row for row in all_rows(found) if row.severity is not None]
    items = tuple(
        Item(
            name=row.org.label, key=row.org.key, severity=row.severity, at=NOW - timedelta(days=n % 9),
            state=list(State)[n % len(State)], before=NOW - timedelta(days=12) if n % len(State) == 1 else None,
        )
        for n, row in enumerate(bad)
    )  # fmt: skip
    again = (Reopened(partition="2024-06-20", well_at=NOW, bad_at=NOW),) * 20
    days = days_until(found.interval.start.date())
    shown = {
        row.org: tuple(
            Day(seen=Seen.BAD, severity=Severity(n % 4 + 1), share=Fraction(-1 - (n * 37 + m * 11) % 99, 99))
            if m % 3
            else Day(seen=Seen((n + m) % 5), severity=Severity.ERROR)
            for m in range(14)
        )
        for n, row in enumerate(bad[:MAX_ROWS])
    }
    return {"news": News(since=NOW, items=items, reopened=again, unlisted=3), "trend": Trend(days=days, rows=shown)}
