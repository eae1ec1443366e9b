"""Write the pictures of e-mails in ``docs``, as a phone and a desk show them.

    .venv/bin/python -m tests.render_png

``email`` is the published report of 2016-04-28, ``email-covid`` the regions of 2024-06-26 after two weeks: the
discrepancy e-mails of this repository's own project, computed anew; ``email-levels``: the provinces of that day, added
up to regions and to the nation; ``email-chart``: ten orgs that are not well; ``email-sla``: with the promises of a
made-up team below, and ``sla-report`` is the SLA report of that team. ``alert`` is the mail of an alert, ``digest``
that of a morning, also on a dark screen.
"""

import datetime
import itertools
import tempfile
from fractions import Fraction
from pathlib import Path

import pytest

import dq
from dq import app
from dq.alerting.channels.email import body_html
from dq.model.interval import Interval
from dq.model.message import CHANGED, Message
from dq.model.result import Result
from dq.model.severity import Outcome, Severity
from dq.reports.attainment import report
from dq.reports.attainment_html import page
from dq.reports.chart import chart
from dq.reports.digest import Digest, Open, Reconciled, Unknown
from dq.reports.digest import render as render_digest
from dq.reports.discrepancy import render
from dq.reports.news import Item, News, State
from dq.reports.trend import Day, Seen, Trend, days_until
from dq.scaffold import scaffold_files
from tests import promised
from tests.chromium import Browser
from tests.demo import warehouse
from tests.ledgers import columns, ledger, row

ROOT = Path(__file__).parent.parent
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


def days(text: str, severity: Severity) -> tuple[Day, ...]:
    """Return a day for each letter: ``.`` no run, ``o`` well, ``?`` not known, a digit: so many tenths are bad."""
    seen = {".": Seen.NO_RUN, "o": Seen.WELL, "?": Seen.UNKNOWN}
    return tuple(
        Day(seen=seen[letter])
        if letter in seen
        else Day(seen=Seen.BAD, severity=severity, share=Fraction(int(letter), 10) + Fraction(1, 80))
        for letter in text
    )


def _item(name: str, state: State, severity: Severity, hours: int) -> Item:
    return Item(name=name, state=state, severity=severity, at=_AT - datetime.timedelta(hours=hours))


_WIKI = "https://wiki.example.org/runbooks"
SAYS = Digest(
    environment="prod",
    made_at=_AT,
    suites=14,
    news=News(
        since=_AT - datetime.timedelta(days=1),
        items=(
            _item("billing", State.NEW, Severity.CRITICAL, 2),
            _item("orders: customer is known", State.NEW, Severity.CRITICAL, 4),
            _item("task:mailing.send: scheduled__2026-11-20", State.NEW, Severity.CRITICAL, 1),
            _item("clicks to sessions", State.OPEN, Severity.ERROR, 98),
            _item("clicks: enough rows", State.OPEN, Severity.WARNING, 30),
            _item("returns: amount is positive", State.FIXED, Severity.ERROR, 5),
            _item("stock: 2026-11-19", State.FIXED, Severity.ERROR, 5),
        ),
    ),
    reconciliations=(
        Reconciled(
            name="billing", word="critical", severity=Severity.CRITICAL, partition="2026-11-19", stands="new",
            sentence="invoices: 3 of 412 orgs differ: 14: 8120 of 9001 missing (90.2%) at Invoices, 7 (392), 22 (74)",
            link=f"{_WIKI}/billing", days=days("ooooooooooooo1", Severity.CRITICAL),
        ),
        Reconciled(
            name="clicks to sessions", word="error", severity=Severity.ERROR, partition="2026-11-19",
            stands="still open since 16 Nov 04:30",
            sentence="sessions: 120 of 380 orgs differ: 301: 5110 of 20419 missing (25%) at Sessions, 17 (4411) and 118"
            " more; still wrong in 2026-11-18, 2026-11-17, 2026-11-16",
            link=f"{_WIKI}/clicks", days=days("oooo.oooo?2433", Severity.ERROR),
        ),
        Reconciled(
            name="shipments", word="did not run", partition="2026-11-17",
            sentence="no run for 2d1h, the last one was of 2026-11-17; it said: all 96 orgs agree at Delivered",
            silent="no run for 2d1h, the last one was of 2026-11-17", days=days("oooooooooooo..", Severity.ERROR),
        ),
        Reconciled(
            name="orders to invoices", word="ok", partition="2026-11-19",
            sentence="invoiced: all 412 orgs agree at Invoices", days=days("oo1ooooooooooo", Severity.WARNING),
        ),
    ),
    opened=(
        Open(
            what="orders: customer is known (2 orgs)", severity=Severity.CRITICAL, stands="new", who="nobody",
            finding=ALERT.rows[0][3], link=f"{_WIKI}/orders",
        ),
        Open(
            what="task:mailing.send: scheduled__2026-11-20", severity=Severity.CRITICAL, stands="new", who="ada",
            finding="run scheduled__2026-11-20 was due 2026-11-20 05:30 UTC and has not finished; it was running",
        ),
        Open(
            what="clicks: enough rows", severity=Severity.WARNING, stands="still open since 19 Nov 00:30",
            who="silence 3 (linus, until 18:00Z: reload of November)",
            finding="8,112 rows; fewer than the 10,000 of warning",
        ),
    ),
    unknown=(
        Unknown("never ran", "returns to refunds", "it has no run in prod"),
        Unknown("did not run", "shipments", "no run for 2d1h, the last one was of 2026-11-17"),
        Unknown("no data", "newsletter", "2026-11-19: opened after it was sent: no rows"),
        Unknown("trouble", "", "not delivered: 1 message, see dq alerts outbox"),
    ),
    days=days_until(datetime.date(2026, 11, 19)),
    promises=report(promised.team(), promised.NOW),
)  # fmt: skip


_LEVELS = """
from dq import By, Level, Reconciliation, Stage, Table

regions, nation = (Table("warehouse", f"{name}_daily", partition="report_date") for name in ("region", "nation"))
provinces = Table("archive", "province_daily", partition="report_date")

covid_levels = Reconciliation(
    "covid_levels",
    pipeline="covid provinces",
    owner="province-data",
    by=By(("region_name", "province_name")),
    stages=[Stage("provinces", provinces, measure="sum(totale_casi)", title="Sum of provinces")],
    levels=[
        Level(
            "region_name",
            stages=[Stage("regions", regions, measure="sum(totale_casi)", title="Region total", by="region_name")],
            warning=("0.001%", 1), error=("0.1%", 10), critical=("5%", 100),
        ),
        Level(
            stages=[Stage("nation", nation, measure="sum(totale_casi)", title="National total")],
            warning=("0.001%", 1), error=("0.1%", 10),
        ),
    ],
)
"""


def _two_weeks(folder: Path) -> dict[str, str]:
    """Return e-mails of 2024-06-26, of a project that ran on most of the days before.

    Of the 17th there is no run, and on the 20th the database of the provinces could not be opened.
    """
    root, names = folder / "project", {"email-covid": "covid_ledger", "email-levels": "covid_levels"}
    for name, content in scaffold_files().items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "reports" / "levels.py").write_text(_LEVELS)
    warehouse.build(root / "var" / "demo", datetime.date(2024, 6, 26))
    project, archive, away = app.open_project(root), root / "var" / "demo" / "archive.sqlite", folder / "away"
    for number in (12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26):
        day = Interval.of_day(f"2024-06-{number}")
        at = day.end + datetime.timedelta(hours=5)
        if number == 20:
            archive.rename(away)
        for name in names.values():
            for stages in app.scans(project.find(name)):
                app.scan(project, name, day, "", stages, at)
            app.close(project, name, day, "", now=at, pump=False)
        if number == 20:
            away.rename(archive)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DQ_NOW", at.isoformat())
        return {picture: app.report(project, name).page for picture, name in names.items()}


def _with_picture() -> str:
    """Return the e-mail of seven made-up orgs that are not well, with what matplotlib draws of them."""
    weeks = ("ooooooo1122334", "oooooooooooo98", "1111.1111?1111", "ooooooooooooo2", "oo3ooooo3oooo3", "5432211ooooo11",
             "1o1o1o1o1o1o11")  # fmt: skip
    rows = []
    for number, week in enumerate(weeks, 1):
        orders, severity = 1000 * number, Severity.CRITICAL if week[-1] > "3" else Severity.ERROR
        lacks = round(orders * (days(week, severity)[-1].share or 0))
        counts = {"Orders": orders, "Invoices": orders - lacks}
        rows.append((row(f"shop {number}", counts, severity=severity, columns=("shop",)), days(week, severity)))
    rows.sort(key=lambda one: (-(one[0].severity or 0), -one[0].discrepancy["Invoices"]))
    result = Result(
        check="Invoices", outcome=Outcome.FAIL, severity=Severity.CRITICAL, sentence="7 of 7 orgs differ", orgs=7
    )
    found = ledger(
        [one for one, _ in rows], shown=columns("Orders", "Invoices"), pipeline="orders to invoices", results=[result]
    )
    shown = Trend(days=days_until(found.interval.start.date()), rows={one.org: week for one, week in rows})
    return render(found, trend=shown, chart=chart(shown)).page


def write(folder: Path) -> dict[tuple[str, int], Path]:
    """Write the pictures into ``folder``; return name and width in px to file."""
    written = {}
    with tempfile.TemporaryDirectory() as data, Browser() as browser:
        warehouse.build(Path(data), datetime.date(2024, 6, 26))
        sources = {
            "warehouse": f"duckdb:///{data}/warehouse.duckdb",
            "archive": f"sqlite:///{data}/archive.sqlite",
        }
        ledger = dq.reconcile("message_pipeline", warehouse.AGARI_DAY, project=ROOT, datasources=sources)
        made = datetime.datetime.fromisoformat(f"{warehouse.AGARI_DAY}T05:00:00+00:00") + datetime.timedelta(days=1)
        promises = report(promised.team(), promised.NOW)
        digest = render_digest(SAYS).html
        pages = {
            "email": render(ledger, now=made).html,
            "email-sla": render(ledger, now=made, promises=promises).html,
            **_two_weeks(Path(data)),
            "email-chart": _with_picture(),
            "email-chart-dark": _with_picture(),
            "alert": body_html(ALERT),
            "digest": digest,
            "digest-dark": digest,
            "sla-report": page(promises, "PROD · SLA report"),
        }
        for (name, html), width in itertools.product(pages.items(), WIDTHS):
            browser.show(html, width=width, dark=name.endswith("-dark"))
            written[name, width] = folder / f"{name}-{width}.png"
            browser.png(written[name, width])
    return written


if __name__ == "__main__":
    for path in write(ROOT / "docs").values():
        print(path.name)
