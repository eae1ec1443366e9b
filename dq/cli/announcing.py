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

    return _told(app.announce(open_project(project_path), text, to=to, subject=subject, links=links))


@click.command(
    short_help="Tell channels once what is open and what is over.",
    epilog=teach(
        """
dq alerts digest --to mail             every morning, from cron or a DAG
dq alerts digest --to mail --since 3d  after the weekend
""",
        _CODES,
    ),
)
@click.option("--to", multiple=True, required=True, metavar="CHANNEL", help="Whom to tell; as often as you like.")
@duration_option("--since", "1d", "How far to look back for what is new and what is over, 7d at most.")
@project_option
def digest(*, to: tuple[str, ...], since: timedelta, project_path: Path | None) -> int:
    """Tell channels once what is open, worst first, who is on it, and what is over. Also when nothing is."""
    from dq import app

    return _told(app.digest(open_project(project_path), to=to, period=since))


def _told(report: PumpReport) -> int:
    for problem in (*report.problems, *report.reasons):
        warn(problem)
    out(f"sent {report.sent}, waiting {report.waiting}")
    return 4 if report.undelivered else 0
