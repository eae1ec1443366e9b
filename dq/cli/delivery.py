"""Commands for what leaves: pump, outbox, retry, drop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import (
    EXIT_CODES,
    STORE_CODES,
    by_option,
    duration_option,
    json_option,
    open_project,
    project_option,
    teach,
    who,
)
from dq.cli.show import clock, json_out, out, say, table, warn

if TYPE_CHECKING:
    from dq.alerting.undelivered import Undelivered
    from dq.project import Project


@click.command(
    short_help="Send what channels should know and do not.",
    epilog=teach(
        """
dq alerts pump                     once, e.g. from cron
dq alerts pump --watch             until it is stopped, e.g. by systemd
dq alerts pump --watch --every 15s
""",
        {
            0: "everything that is due was delivered",
            2: EXIT_CODES[2],
            3: EXIT_CODES[3],
            4: EXIT_CODES[4],
        },
    ),
)
@click.option("--watch", is_flag=True, help="Go on until SIGTERM (exit as after one pump) or Ctrl-C.")
@duration_option("--every", "60s", "With --watch: how often.")
@project_option
def pump(*, watch: bool, every: timedelta, project_path: Path | None) -> int:
    """Send what channels should know and do not: alerts, recoveries and reports whose time has come."""
    from dq.model.errors import DqError

    project = open_project(project_path)
    if not watch:
        return _pump_once(project)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while True:
        try:
            code = _pump_once(project)
        except DqError as error:
            if error.exit_code != 3:
                raise
            # A store that restarts must not end the one process that pages.
            say(f"dq: {error}")
            code = 3
        if stop.wait(every.total_seconds()):
            return code


def _pump_once(project: Project) -> int:
    from dq import app

    report = app.pump(project)
    for problem in (*report.problems, *report.reasons):
        warn(problem)
    out(f"sent {report.sent}, failed {report.failed}, dead {report.dead}, waiting {report.waiting}")
    return 4 if report.undelivered else 0


OUTBOX = ("id", "channel", "key", "since", "tries", "next", "state", "message")


@click.command(
    short_help="Show what is not delivered.",
    epilog=teach(
        """
dq alerts outbox
dq alerts outbox --json
""",
        {0: "nothing has failed", **STORE_CODES, 4: EXIT_CODES[4]},
    ),
)
@json_option
@project_option
def outbox(*, as_json: bool, project_path: Path | None) -> int:
    """Show everything that was decided and has not arrived, and why."""
    from dq import app

    project = open_project(project_path)
    found = app.waiting(project)
    code = 4 if any(one.failed for one in found) else 0
    if as_json:
        json_out(
            {
                "exit_code": code,
                "environment": project.environment,
                "undelivered": [undelivered_json(one) for one in found],
            }
        )
    elif found:
        table(OUTBOX, [undelivered_line(one) for one in found])
    else:
        say(f"everything in environment {project.environment!r} is delivered")
    return code


def undelivered_line(one: Undelivered) -> tuple[object, ...]:
    """Return the cells of one line below ``OUTBOX``."""
    following = None if one.dead else clock(one.next_at) or "the next pump"
    return (
        one.id or None,
        one.channel or None,
        one.key,
        clock(one.since),
        one.attempts,
        following,
        f"{_undelivered_state(one)}{': ' if one.error else ''}{one.error}",
        one.title or None,
    )


def _undelivered_state(one: Undelivered) -> str:
    if one.dead:
        return "dead"
    if one.held:
        return "on the wire"
    return "waits" if one.id else "not looked at yet"


def undelivered_json(one: Undelivered) -> dict[str, Any]:
    """Return one of ``undelivered[]``."""
    return {
        "id": one.id or None,
        "kind": one.kind,
        "channel": one.channel or None,
        "key": one.key,
        "title": one.title or None,
        "since": None if one.since is None else one.since.isoformat(),
        "attempts": one.attempts,
        "next_at": None if one.next_at is None else one.next_at.isoformat(),
        "error": one.error or None,
        "dead": one.dead,
    }


@click.command(
    short_help="Make what waits, or was refused, due now.",
    epilog=teach(
        """
dq alerts retry s1f09c2ab          one, by its id in dq alerts outbox
dq alerts retry --channel oncall   after its key was replaced
dq alerts retry --all
""",
        {0: "due now", **STORE_CODES},
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--channel", metavar="NAME", help="All that is for this channel.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@by_option
@project_option
def retry(
    *, ids: Sequence[str], channel: str | None, everything: bool, by: str | None, project_path: Path | None
) -> int:
    """Make what waits, or was refused for good, due now; the next pump sends it."""
    from dq import app

    if sum((bool(ids), channel is not None, everything)) != 1:
        raise click.UsageError("Say what: ids, --channel NAME, or --all.")
    done = app.retry_now(open_project(project_path), who(by), ids, channel=channel)
    for one in done:
        say(f"due now: {one.id} {one.channel}: {one.title}")
    say("dq alerts pump sends it" if done else "nothing waits")
    return 0


@click.command(
    short_help="Give up what is not delivered.",
    epilog=teach(
        """
dq alerts drop e12                 asks
dq alerts drop e12 s1f09c2ab --yes
""",
        {0: "given up", **STORE_CODES, 130: "you said no"},
    ),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@by_option
@project_option
def drop(*, ids: Sequence[str], yes: bool, by: str | None, project_path: Path | None) -> int:
    """Give up what is not delivered: nobody will be told it. Who did is kept in the event log.

    News of the same incidents is told all the same.
    """
    from dq import app

    project = open_project(project_path)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody is there to be asked; say --yes.")
        click.confirm(f"Give up {', '.join(ids)}, so that nobody is told?", abort=True, err=True)
    for one in app.give_up(project, who(by), ids):
        say(f"given up: {one.id} {one.channel}: {one.title}")
    return 0
