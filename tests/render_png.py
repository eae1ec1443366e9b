"""Write the pictures of e-mails in ``docs``, as a phone and a desk show them.

    .venv/bin/python -m tests.render_png

``email`` is the published report of 2016-04-28, ``email-covid`` the regions of 2024-06-26: the discrepancy e-mails of
this repository's own project, computed anew; ``email-sla``: with the promises of a made-up team below, and
``sla-report`` is the SLA report of that team. ``alert`` is the mail of an alert, ``digest`` that of a morning.
"""

import datetime
import itertools
import tempfile
from pathlib import Path

import attrs

import dq
from dq.alerting.channels.email import body_html
from dq.alerting.digest import digest
from dq.alerting.mute import Mute
from dq.model.incident import Incident, IncidentKey, SubjectKind
from dq.model.interval import Interval
from dq.model.message import CHANGED, Message
from dq.model.severity import Outcome, Severity
from dq.reports.attainment import report
from dq.reports.attainment_html import page
from dq.reports.discrepancy import render
from tests import promised
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


def _incident(
    severity: str, kind: SubjectKind, subject: str, part: str, hours: int, sentence: str, org: str = "", by: str = ""
) -> Incident:
    at = _AT - datetime.timedelta(hours=hours)
    return Incident(
        id=hours,
        key=IncidentKey("prod", kind, subject, part, org),
        severity=Severity.of(severity),
        outcome=Outcome.FAIL,
        sentence=sentence,
        observed="",
        threshold="",
        labels={},
        links={},
        interval=Interval.of_day("2026-11-19"),
        opened_at=at,
        changed_at=at,
        acked_at=at if by else None,
        acked_by=by or None,
        acked_severity=Severity.of(severity) if by else None,
    )


_LATE = "run scheduled__2026-11-20 was due 2026-11-20 05:30 UTC and has not finished; 1h late; it was running"
_OVER = datetime.timedelta(hours=5)
DIGEST = digest(
    "prod",
    [
        (_incident("critical", "suite", "orders", "customer is known", 4, ALERT.rows[0][3], "14"), ()),
        (_incident("critical", "suite", "orders", "customer is known", 3, ALERT.rows[1][3], "7"), ()),
        (_incident("critical", "sla", "task:mailing.send", "scheduled__2026-11-20", 1, _LATE, by="ada"), ()),
        (_incident("error", "reconciliation", "billing", "invoices", 50, "2 of 3 orgs differ", by="grace"), ()),
        (
            _incident("warning", "suite", "clicks", "enough rows", 30, "8,112 rows; fewer than the 10,000 of warning"),
            (Mute("silence", "silence 3 (linus, until 18:00Z: reload of November)"),),
        ),
    ],
    [
        attrs.evolve(_incident("error", "suite", subject, part, 20, ""), ended_at=_AT - _OVER)
        for subject, part in (("returns", "amount is positive"), ("stock", "2026-11-19"))
    ],
    _AT,
    period=datetime.timedelta(days=1),
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
            kinds = {name: None, **({"email-sla": report(promised.team(), promised.NOW)} if name == "email" else {})}
            for (kind, promises), width in itertools.product(kinds.items(), WIDTHS):
                browser.show(render(ledger, now=made, promises=promises).html, width=width)
                written[kind, width] = folder / f"{kind}-{width}.png"
                browser.png(written[kind, width])
        for width in WIDTHS:
            sla_report = page(report(promised.team(), promised.NOW), "PROD · SLA report")
            mails = {"alert": body_html(ALERT), "digest": body_html(DIGEST), "sla-report": sla_report}
            for name, html in mails.items():
                browser.show(html, width=width)
                written[name, width] = folder / f"{name}-{width}.png"
                browser.png(written[name, width])
    return written


if __name__ == "__main__":
    for path in write(ROOT / "docs").values():
        print(path.name)
