"""The command ``dq watch``."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dq.cli.options import duration_option, open_project, project_option, teach
from dq.cli.show import counted, out, say, warn, write_whole
from dq.model.duration import format_duration

if TYPE_CHECKING:
    from dq.app import Round, Watcher
    from dq.project import Project


@click.command(
    short_help="Watch promises from outside of Airflow, and page.",
    epilog=teach(
        """
dq watch                           until it is stopped, e.g. by systemd
dq watch --once                    for cron: one round
dq watch --every 15s --health /run/dq/watch.json --metrics /run/dq/dq.prom
""",
        {
            0: "promises were judged, and all is told",
            2: "something that is declared could not be read, or judged; or wrong use",
            3: "promises could not be judged",
            4: "something could not be told",
        },
    ),
)
@click.option("--once", is_flag=True, help="One round, then end.")
@duration_option("--every", None, "How far apart rounds begin. Default: every of [watch] in dq.toml, 20s.")
@click.option(
    "--health",
    type=click.Path(dir_okay=False, path_type=Path),
    help="After each round, write when and what came of it into this file (JSON). Older than twice --every: it hangs.",
)
@click.option(
    "--metrics",
    type=click.Path(dir_okay=False, path_type=Path),
    help="After each round, write the state of promises into this file, as Prometheus's textfile collector reads it.",
)
@project_option
def watch(
    *, once: bool, every: timedelta | None, health: Path | None, metrics: Path | None, project_path: Path | None
) -> int:
    """Watch promises from outside of Airflow's scheduler: look, judge, tell; round after round.

    It asks each [airflow.NAME] of dq.toml for the DAGs that make what is promised, counts rows where a promise says
    so, finds what did not run at all, and pages through the channels of alerting/routes.toml. It needs no scheduler.
    Several watchers at once page once. Each good round calls the address of ping in [watch], so that people are told
    when the watcher itself falls silent.
    """
    from dq import app

    project = open_project(project_path)
    host = socket.gethostname()[:100]
    watcher = app.Watcher(project, host if once else f"{host}:{os.getpid()}")
    stop = threading.Event()

    def ends(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)  # the second one does not wait for the round
        stop.set()

    if not once:
        signal.signal(signal.SIGTERM, ends)
        signal.signal(signal.SIGINT, ends)
        say(_begins(project, every or project.watch.every))
    while True:
        began = time.monotonic()
        done = watcher.round()
        took = time.monotonic() - began
        pause = (every or watcher.project.watch.every).total_seconds()
        code = 3 if not done.judged else 4 if done.undelivered or not done.told else 0 if done.whole else 2
        said = _said(done)
        for problem in done.problems:
            warn(problem)
        if once or done.verdicts or done.sent:
            out(said)
        if health is not None:
            write_whole(health, _health(code, said, pause))
        if metrics is not None and done.judged:
            write_whole(metrics, _metrics(watcher, done, took))
        if once or stop.wait(max(pause - took, 0.2)):
            if not once:
                watcher.end()
            return code


def _begins(project: Project, every: timedelta) -> str:
    from dq import app

    asked = f"Airflow {', '.join(project.airflows)}" if project.airflows else "no Airflow"
    return (
        f"dq watch: environment {project.environment}, {counted(len(app.promised_names(project)), 'promise')}, "
        f"asks {asked}, every {format_duration(every)}"
    )


def _said(done: Round) -> str:
    late = sum(verdict.bad for verdict in done.verdicts)
    return (
        f"{done.at:%Y-%m-%d %H:%M:%S} UTC: awaited {len(done.looked.awaited)}, judged {len(done.verdicts)}, "
        f"overdue of these {late}, sent {done.sent}, waiting {done.undelivered}"
    )


def _health(code: int, said: str, pause: float) -> str:
    document = {
        "at": datetime.now(UTC).isoformat(),
        "pid": os.getpid(),
        "exit_code": code,
        "said": said,
        "every_seconds": pause,
    }
    return json.dumps(document) + "\n"


def _metrics(watcher: Watcher, done: Round, took: float) -> str:
    from dq import app
    from dq.reports.metrics import metrics

    project = watcher.project
    parts = [
        (name, part.name, part.state == "healthy")
        for name, found in done.looked.airflows.items()
        for part in found
        if part.state != "unknown"
    ] + [(name, "API", False) for name in done.looked.down]
    waits = [one for standing in app.standings(project) for one in standing.open]
    return metrics(project.environment, done.at, took, waits, parts, done.undelivered)
