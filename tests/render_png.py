"""Write the pictures of e-mails in ``docs``, as a phone and a desk show them.

    .venv/bin/python -m tests.render_png

``email`` is the published report of 2016-04-28, ``email-covid`` the regions of 2024-06-26: the discrepancy e-mails of
this repository's own project, computed anew. ``alert`` is the mail of an alert.
"""

import datetime
import tempfile
from pathlib import Path

import dq
from dq.alerting.channels.email import body_html
from dq.model.message import CHANGED, Message
from dq.model.severity import Severity
from dq.reports.discrepancy import render
from tests.chromium import Browser
from tests.demo import warehouse

ROOT = Path(__file__).parent.parent
MAILS = {"email": ("message_pipeline", warehouse.AGARI_DAY), "email-covid": ("covid_ledger", "2024-06-26")}
WIDTHS = (360, 900)
_AT = datetime.datetime(2026, 11, 20, 6, 30, tzinfo=datetime.UTC)
ALERT = Message(
    key="prod/suite/orders",
    status="firing",
    severity=Severity.CRITICAL,
    environment="prod",
    subject="orders",
    title="PROD - orders: 2 checks fail",
    summary="customer is known: 1,204 of 90,112 rows (1.3%) violate: customer_id is not NULL; more than the 0.5% that "
    "critical allows. amount is positive: 74 of 90,112 rows (0.1%) violate: amount > 0.",
    at=_AT,
    since=_AT - datetime.timedelta(hours=3, minutes=40),
    facts=(
        ("Since", "2026-11-20 02:50 UTC (3h40m)"),
        ("Partition", "2026-11-19"),
        ("Observed", "1,204 rows, 1.3% (threshold 0.5%)"),
        ("Orgs", "14, 7, 22 and 5 others"),
        (CHANGED, "1 new, 1 worse"),
        ("Owner", "sales-data"),
    ),
    links=(
        ("Runbook", "https://wiki.example.org/runbooks/orders"),
        ("DAG run", "https://airflow.example.org/dags/orders/grid"),
        ("Report", "https://dq.example.org/orders/2026-11-19"),
    ),
    query="SELECT order_id\nFROM sales.orders\nWHERE created_at >= '2026-11-19' AND created_at < '2026-11-20'\n"
    "  AND customer_id IS NULL",
    columns=("Check", "Org", "Severity", "Finding"),
    rows=(
        ("customer is known", "14", "critical", "812 of 9,001 rows (9.0%) violate: customer_id is not NULL"),
        ("customer is known", "7", "critical", "392 of 12,407 rows (3.2%) violate: customer_id is not NULL"),
        ("amount is positive", "22", "warning", "74 of 4,110 rows (1.8%) violate: amount > 0"),
    ),
    omitted=5,
)


def write(folder: Path) -> dict[tuple[str, int], Path]:
    """Write the pictures into ``folder``; return name and width in px to file."""
    written = {}
    with tempfile.TemporaryDirectory() as data, Browser() as browser:
        warehouse.build(Path(data), datetime.date(2024, 6, 26))
        sources = {
            "warehouse": f"duckdb:///{data}/warehouse.duckdb",
            "archive": f"sqlite:///{data}/archive.sqlite",
        }
        for name, (declared, day) in MAILS.items():
            ledger = dq.reconcile(declared, day, project=ROOT, datasources=sources)
            made = datetime.datetime.fromisoformat(f"{day}T05:00:00+00:00") + datetime.timedelta(days=1)
            for width in WIDTHS:
                browser.show(render(ledger, now=made).html, width=width)
                written[name, width] = folder / f"{name}-{width}.png"
                browser.png(written[name, width])
        for width in WIDTHS:
            browser.show(body_html(ALERT), width=width)
            written["alert", width] = folder / f"alert-{width}.png"
            browser.png(written["alert", width])
    return written


if __name__ == "__main__":
    for path in write(ROOT / "docs").values():
        print(path.name)
