"""Write ``docs/email-*.png``: the discrepancy e-mails of this repository's own project, on a phone and on a desk.

    .venv/bin/python -m tests.render_png

``email`` is the published report of 2016-04-28, ``email-covid`` the regions of 2024-06-26; both are computed anew.
"""

import datetime
import tempfile
from pathlib import Path

import dq
from dq.reports.discrepancy import render
from tests.chromium import Browser
from tests.demo import warehouse

ROOT = Path(__file__).parent.parent
MAILS = {"email": ("message_pipeline", warehouse.AGARI_DAY), "email-covid": ("covid_ledger", "2024-06-26")}
WIDTHS = (360, 900)


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
    return written


if __name__ == "__main__":
    for path in write(ROOT / "docs").values():
        print(path.name)
