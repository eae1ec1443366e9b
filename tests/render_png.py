"""Write ``docs/email-360.png`` and ``docs/email-900.png``: the discrepancy e-mail on a phone and on a desk.

.venv/bin/python -m tests.render_png
"""

from datetime import UTC, datetime
from pathlib import Path

from dq.reports.discrepancy import render
from tests.chromium import Browser
from tests.ledgers import agari

NOW = datetime(2016, 4, 29, 5, 0, tzinfo=UTC)
DOCS = Path(__file__).parent.parent / "docs"


def write(folder: Path) -> dict[int, Path]:
    """Write the pictures into ``folder``; return width in px to file."""
    written = {}
    with Browser() as browser:
        for width in (360, 900):
            browser.show(render(agari(), now=NOW).html, width=width)
            written[width] = folder / f"email-{width}.png"
            browser.png(written[width])
    return written


if __name__ == "__main__":
    for path in write(DOCS).values():
        print(path)
