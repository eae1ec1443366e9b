"""Commands for what leaves: pump, outbox, retry, drop."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
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
from dq.cli.show import clock, json_out, out, say, table, warn, write_whole

if TYPE_CHECKING:
    from dq.alerting.undelivered import Undelivered
    from dq.project import Project


@click.command(
    short_help="Send what channels should know and do not.",
    epilog=teach(
        """
dq alerts pump                     once
dq alerts pump --stay 50s          for cron: sits out second tries
dq alerts pump --watch             until it is stopped, e.g. by systemd
dq alerts pump --watch --every 15s --health /run/dq/pump.json
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
@duration_option("--every", "60s", "With --watch: look at least that often; sooner when something is due.")
@duration_option("--stay", "2s", "Without --watch: how long to stay for the turn of a channel and for another try.")
@click.option(
    "--health",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --watch: after each look, write when and what came of it into this file (JSON). "
    "Older than twice --every: the pump hangs.",
)
@project_option
def pump(*, watch: bool, every: timedelta, stay: timedelta, health: Path | None, project_path: Path | None) -> int:
    """Send what channels should know and do not: alerts, recoveries and reports whose time has come."""
    project = open_project(project_path)
    if not watch:
        if health is not None:
            raise click.UsageError("--health is for --watch")
        return _pump_once(project, stay)[0]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while True:
        code, next_at, said = _look(project)
        if health is not None:
            _write_health(health, code, said, every)
        wait = every.total_seconds()
        if next_at is not None:
            wait = min(wait, max((next_at - datetime.now(UTC)).total_seconds(), _BREATH))
        if stop.wait(wait):
            return code


_BREATH = 0.2
"""Seconds between two looks of ``--watch``, whatever is due."""


def _look(project: Project) -> tuple[int, datetime | None, str]:
    """Pump once for --watch: a store that restarts must not end the one process that pages."""
    from dq.model.errors import DqError

    try:
        return _pump_once(project, timedelta(0))
    except DqError as error:
        if error.exit_code != 3:
            raise
        say(f"dq: {error}")
        return 3, None, str(error)


def _pump_once(project: Project, stay: timedelta) -> tuple[int, datetime | None, str]:
    from dq import app

    report = app.pump(project, stay)
    for problem in (*report.problems, *report.reasons):
        warn(problem)
    said = f"sent {report.sent}, failed {report.failed}, dead {report.dead}, waiting {report.waiting}"
    out(said)
    return 4 if report.undelivered else 0, report.next_at, said


def _write_health(path: Path, code: int, said: str, every: timedelta) -> None:
    """Write down what came of a look."""
    document = {
        "at": datetime.now(UTC).isoformat(),
        "pid": os.getpid(),
        "exit_code": code,
        "said": said,
        "every_seconds": every.total_seconds(),
    }
    write_whole(path, json.dumps(document) + "\n")


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
        say(f"everything that is due in environment {project.environment!r} was delivered")
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
