"""What happens in the demo: three scenes, played on a real Airflow, and everything that was received meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from email import message_from_bytes, policy
from email.message import EmailMessage
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import frozen

from dq.scaffold import scaffold_files
from tests.demo.warehouse import AGARI_DAY

ROOT = Path(__file__).parents[2]
CACHE = ROOT / "var" / "cache"
RECEIVERS = ("smtp", "slack", "pagerduty", "victorops")
LAST_WORDS = 12
"""Lines of a log that are shown when its process failed."""


class PlayError(Exception):
    """The demo could not go on; the text says why."""


@frozen
class Scene:
    """One morning.

    Attributes:
        name: how the promises call it.
        title, story: for the reader.
        partition: the day that the DAG runs are about.
        arrived: the newest day in the warehouse.
        now: when it is judged; an ISO time with its zone.
        date: the logical date of the DAG runs, whose data interval is ``partition``.
    """

    name: str
    title: str
    story: str
    partition: str
    arrived: date
    now: str
    date: str


WRONG = Scene(
    "wrong",
    "Wrong data",
    "The counts of 2024-06-26 are in, but the provinces of P.A. Trento report no case at all.",
    "2024-06-26",
    date(2024, 6, 26),
    "2024-06-27T06:15:00+02:00",
    "2024-06-27T00:00:00+00:00",
)
LATE = Scene(
    "late",
    "Late data",
    "The next day, an hour after it was due, nothing of 2024-06-27 has arrived.",
    "2024-06-27",
    date(2024, 6, 26),
    "2024-06-28T08:00:00+02:00",
    "2024-06-28T00:00:00+00:00",
)
MENDED = Scene(
    "mended",
    "Both mended",
    "2024-06-27 has arrived, P.A. Trento included; the DAG runs of that day are cleared and run again.",
    "2024-06-27",
    date(2024, 6, 27),
    "2024-06-28T09:40:00+02:00",
    "2024-06-28T00:00:00+00:00",
)
DAGS = ("daily_checks", "daily_discrepancy")


@frozen
class Payload:
    """One thing that a receiver accepted.

    Attributes:
        channel: which receiver.
        file: where it lies.
        content: the mail, or the JSON document.
    """

    channel: str
    file: Path
    content: Any


@frozen
class Act:
    """A scene that was played.

    Attributes:
        runs: per DAG, what its run came to: ``state``, ``tasks`` and ``seconds``.
        received: what the receivers accepted meanwhile, in the order of arrival.
    """

    scene: Scene
    runs: Mapping[str, Mapping[str, Any]]
    received: tuple[Payload, ...]

    def of(self, channel: str) -> tuple[Payload, ...]:
        """Return what one receiver accepted."""
        return tuple(one for one in self.received if one.channel == channel)


@frozen
class Evidence:
    """All there is to judge the promises by; nothing of it is from dq's own store.

    Attributes:
        acts: by name of the scene.
        alerts: per pager, per key: what the vendor would know: ``open``, ``opens``, ``resolves``, ``orphans``.
        misses: the lines that the project's own SLA callback wrote.
        report: the page that ``dq reconcile --html`` wrote, and the exit code.
    """

    acts: Mapping[str, Act]
    alerts: Mapping[str, Mapping[str, Mapping[str, Any]]]
    misses: tuple[str, ...]
    report: tuple[str, int]


@frozen
class Break:
    """A way to break a promise.

    Attributes:
        listening: the receivers that listen.
        edit: what is changed in the project: a file, a text in it, and what stands there instead; None: nothing does,
            and the rest of the file is gone too.
        order: of the scenes.
    """

    listening: tuple[str, ...] = RECEIVERS
    edit: tuple[str, str, str | None] | None = None
    order: tuple[Scene, ...] = (WRONG, LATE, MENDED)


NOTHING = Break()
BREAKS: dict[str, Break] = {
    **{name: Break(listening=tuple(one for one in RECEIVERS if one != name)) for name in RECEIVERS},
    "route": Break(edit=("alerting/routes.toml", "[[route.routes]]", None)),
    "callback": Break(edit=("checks/covid_regions.py", ", on_miss=note_miss", "")),
    "gate": Break(edit=("dags/daily_checks.py", '("covid_regions")', '("covid_regions", on_block="continue")')),
    "report": Break(edit=("reports/message_pipeline.py", "sum(msgs)", "count(*)")),
    "days": Break(order=(MENDED, WRONG, LATE)),
}


# --- processes that do not outlive the demo ------------------------------------------------------------------------


@contextmanager
def process(arguments: list[str], log: Path, env: Mapping[str, str], **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Run ``python ARGUMENTS`` in a process group of its own, and end the whole group however the demo ends.

    One that reads from us ends when we stop writing; it is given half a second for that.
    """
    with log.open("w", encoding="utf-8") as out:
        given = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": out, **more}
        running = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=env, text=True, start_new_session=True, **given
        )
    try:
        yield running
    finally:
        for pipe in filter(None, (running.stdin, running.stdout)):
            with suppress(BrokenPipeError):
                pipe.close()
        for number, patience in ((0, 0.5 if running.stdin else 0), (signal.SIGTERM, 2), (signal.SIGKILL, 10)):
            with suppress(ProcessLookupError):
                os.killpg(running.pid, number)
            with suppress(subprocess.TimeoutExpired):
                running.wait(patience)


def last_words(log: Path) -> str:
    """Return the end of a log."""
    return "\n".join([f"the end of {shown(log)}:", *log.read_text(encoding="utf-8").splitlines()[-LAST_WORDS:]])


def shown(path: Path) -> str:
    """Return a path as the reader types it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process of the demo: the user's, without what it says about dq and Airflow."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "DQ_"))}
    direct = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # a proxy would not find the receivers
    return {**ours, **direct, "PYTHONPATH": str(ROOT), **more}


@contextmanager
def receivers(folder: Path, listening: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Start the receivers and yield the environment that the project's ``routes.toml`` refers to."""
    ports, log = folder / "receivers.json", folder / "receivers.log"
    given = ["--dir", str(folder / "received"), "--ports-file", str(ports), "--only", ",".join(listening)]
    with process(["-m", "tests.receivers", "--with-parent", *given], log, environment({})) as running:
        wait_for(ports.exists, running, log, seconds=60)
        at = json.loads(ports.read_text(encoding="utf-8"))
        yield {
            "SMTP_HOST": at["smtp"]["host"],
            "SMTP_PORT": str(at["smtp"]["port"]),
            "SLACK_WEBHOOK": at["slack"]["webhook"],
            "PAGERDUTY_EVENTS_URL": at["pagerduty"]["url"],
            "PAGERDUTY_ROUTING_KEY": "0" * 32,
            "VICTOROPS_URL": at["victorops"]["url"],
        }


def wait_for(happened: Callable[[], bool], running: subprocess.Popen[str], log: Path, seconds: float) -> None:
    """Wait until something happened.

    Raises:
        PlayError: when the process ended, or took too long.
    """
    until = time.monotonic() + seconds
    while not happened():
        if running.poll() is not None or time.monotonic() > until:
            raise PlayError(f"{' '.join(map(str, running.args[2:4]))} did not start\n{last_words(log)}")  # type: ignore[index]
        time.sleep(0.05)


@frozen
class Airflow:
    """A process that runs DAGs."""

    log: Path
    running: subprocess.Popen[str]

    def run(self, dag: str, project: Path, scene: Scene, env: Mapping[str, str]) -> dict[str, Any]:
        """Run one DAG and return ``state``, ``tasks`` and ``seconds``.

        Raises:
            PlayError: when Airflow could not.
        """
        given = {**env, "DQ_NOW": scene.now}
        request = {"dag": dag, "dags": str(project / "dags"), "logical_date": scene.date, "env": given}
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        with suppress(BrokenPipeError):
            print(json.dumps(request), file=self.running.stdin, flush=True)
        line = self.running.stdout.readline()
        if not line:
            raise PlayError(f"Airflow ended while it ran {dag}\n{last_words(self.log)}")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise PlayError(f"Airflow could not import the DAG files: {told['error']}")
        return told


@contextmanager
def airflow(folder: Path, dags: Path) -> Iterator[Airflow]:
    """Start an Airflow with a metadata database of its own under ``folder``; it takes seconds until it answers."""
    home, log = folder / "airflow", folder / "airflow.log"
    home.mkdir()
    template = CACHE / f"airflow-{version('apache-airflow')}-{sys.version_info.major}.{sys.version_info.minor}.db"
    env = environment(
        {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        }
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with process(["-m", "tests.demo.runs", str(template)], log, env, **pipes) as running:
        yield Airflow(log, running)


# --- the play ------------------------------------------------------------------------------------------------------


def make_project(folder: Path, broken: Break) -> Path:
    """Make the project as ``dq init`` does, which is this repository's own; break what is to be broken."""
    project = folder / "project"
    for name, content in scaffold_files().items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    if broken.edit is not None:
        name, old, new = broken.edit
        before, found, after = (project / name).read_text(encoding="utf-8").partition(old)
        assert found, f"{name} has no {old!r}"
        (project / name).write_text(before + (new + after if new is not None else ""), encoding="utf-8")
    return project


def build(folder: Path, project: Path, until: date) -> None:
    """Make the warehouse of the project, with what had arrived by ``until``.

    Raises:
        PlayError: when it cannot be made.
    """
    # Not in this process: DuckDB turns an interrupt into an error of its own.
    log = folder / "warehouse.log"
    if finished(["-m", "tests.demo.warehouse", str(project / "var" / "demo"), str(until)], log) != 0:
        raise PlayError(f"the warehouse could not be made\n{last_words(log)}")


def reconcile(folder: Path, project: Path) -> tuple[str, int]:
    """Let ``dq reconcile`` write the published report; return the page and the exit code."""
    page = report_file(folder)
    what = ["reconcile", "message_pipeline", "--date", AGARI_DAY, "--no-alert", "--project", str(project)]
    files = ["--html", str(page), "--eml", str(page.with_suffix(".eml"))]
    code = finished(["-m", "dq.cli", *what, *files], folder / "reconcile.log")
    return page.read_text(encoding="utf-8") if page.exists() else "", code


def finished(arguments: list[str], log: Path, seconds: float = 60) -> int:
    """Run ``python ARGUMENTS`` to its end and return the exit code.

    Raises:
        PlayError: when it takes too long.
    """
    with process(arguments, log, environment({})) as running:
        try:
            return running.wait(seconds)
        except subprocess.TimeoutExpired:
            raise PlayError(f"{arguments[1]} did not end within {seconds:.0f} s\n{last_words(log)}") from None


def report_file(folder: Path) -> Path:
    """Return where the page of the published report is."""
    return folder / f"message_pipeline-{AGARI_DAY}.html"


def play(folder: Path, broken: Break, show: Callable[[Path, Act], None], shared: Airflow | None = None) -> Evidence:
    """Play all scenes in an empty ``folder`` and return what there is to see.

    Args:
        folder: gets the project, the warehouse, all logs and all that was received.
        broken: what goes wrong on purpose.
        show: is called after each scene, with the project.
        shared: an Airflow that runs already; by default one is started, and ended.

    Raises:
        PlayError: when a part did not start, or ended by itself.
    """
    project = make_project(folder, broken)
    acts: dict[str, Act] = {}
    with ExitStack() as started:
        runner = shared or started.enter_context(airflow(folder, project / "dags"))
        env = started.enter_context(receivers(folder, broken.listening))
        arrived = broken.order[0].arrived
        build(folder, project, arrived)
        report = reconcile(folder, project)
        for number, scene in enumerate(broken.order, start=1):
            if scene.arrived != arrived:
                arrived = scene.arrived
                build(folder, project, arrived)
            known = received(folder)
            runs = {dag: runner.run(dag, project, scene, env) for dag in DAGS}
            act = Act(scene, runs, received(folder)[len(known) :])
            acts[scene.name] = act
            keep_mail(folder, number, act)
            show(project, act)
    state = folder / "received" / "state.json"
    alerts = json.loads(state.read_text(encoding="utf-8")) if state.exists() else {}
    misses = project / "var" / "sla_misses.log"
    return Evidence(
        acts=acts,
        alerts={pager: alerts.get(pager, {}).get("alerts", {}) for pager in ("pagerduty", "victorops")},
        misses=tuple(misses.read_text(encoding="utf-8").splitlines()) if misses.exists() else (),
        report=report,
    )


def received(folder: Path) -> tuple[Payload, ...]:
    """Return what the receivers have accepted so far, in the order of arrival."""
    return tuple(map(payload, sorted((folder / "received").glob("[0-9]*-*.*"))))


def payload(file: Path) -> Payload:
    """Return what lies in one file of the receivers."""
    channel = file.stem.partition("-")[2]
    raw = file.read_bytes()
    content = message_from_bytes(raw, policy=policy.default) if file.suffix == ".eml" else json.loads(raw)
    return Payload(channel, file, content)


def keep_mail(folder: Path, number: int, act: Act) -> None:
    """Write the e-mails of a scene where the reader finds them: as ``.eml``, and their page as ``.html``."""
    for mail in act.of("smtp"):
        name = folder / f"{number}-{act.scene.name}"
        shutil.copy(mail.file, name.with_suffix(".eml"))
        name.with_suffix(".html").write_text(page(mail.content), encoding="utf-8")


def page(mail: EmailMessage) -> str:
    """Return the HTML of an e-mail; empty when it has none."""
    body = mail.get_body(("html",))
    return "" if body is None else str(body.get_content())
