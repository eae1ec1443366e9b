"""The commands ``announce`` and ``alerts digest``: news that is told once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dq.cli.options import EXIT_CODES, duration_option, open_project, project_option, teach
from dq.cli.show import out, warn

if TYPE_CHECKING:
    from dq.alerting.pump import PumpReport

_CODES = {0: "it was sent", 2: EXIT_CODES[2], 3: "the store could not be used", 4: EXIT_CODES[4]}


def _link(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    from dq.model.message import is_web

    links = tuple((text.strip(), address.strip()) for text, _, address in (value.partition("=") for value in values))
    if not all(text and is_web(address) for text, address in links):
        raise click.BadParameter("a link is written TEXT=https://ADDRESS")
    return links


@click.command(
    short_help="Tell channels something once, e.g. a deployment.",
    epilog=teach(
        """
dq announce "loader 1.4.2 is deployed" --to deploys
dq announce "back-fill begins" --to team --link Ticket=https://example.org/7
""",
        _CODES,
    ),
)
@click.argument("text")
@click.option("--to", multiple=True, required=True, metavar="CHANNEL", help="Whom to tell; as often as you like.")
@click.option("--subject", default="dq", show_default=True, help="What it is about, e.g. a suite.")
@click.option("--link", "links", multiple=True, metavar="TEXT=ADDRESS", callback=_link, help="As often as you like.")
@project_option
def announce(
    *, text: str, to: tuple[str, ...], subject: str, links: tuple[tuple[str, str], ...], project_path: Path | None
) -> int:
    """Tell channels TEXT once. To a channel of type pagerduty_change it becomes a change event: a deploy marker."""
    from dq import app

    return told(app.announce(open_project(project_path), text, to=to, subject=subject, links=links))


@click.command(
    short_help="Tell channels once how everything stands.",
    epilog=teach(
        """
dq alerts digest                       every morning, to those of [digest]
dq alerts digest --to team --since 3d  to others, after the weekend
""",
        _CODES,
    ),
)
@click.option("--to", multiple=True, metavar="CHANNEL", help="Whom to tell, once or more. Default: [digest].")
@duration_option("--since", None, "How far to look back, 7d at most. Default: since the last digest of an earlier day.")
@project_option
def digest(*, to: tuple[str, ...], since: timedelta | None, project_path: Path | None) -> int:
    """Tell channels once how the environment stands, also when nothing is open.

    It has every reconciliation, what is open and who is on it, what is new and what was fixed, what is not known, and
    how SLAs were kept. `dq report` shows it and sends nothing.
    """
    from dq import app

    return told(app.digest(open_project(project_path), to=to, period=since))


def told(report: PumpReport) -> int:
    """Say what came of sending, and return the exit code."""
    for problem in (*report.problems, *report.reasons):
        warn(problem)
    out(f"sent {report.sent}, waiting {report.waiting}")
    return 4 if report.undelivered else 0
