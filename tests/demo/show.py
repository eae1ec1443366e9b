"""How the demo looks in a terminal: what ran, what was checked, what was sent, what was promised, where to look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path
from textwrap import shorten

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from dq import app
from dq.model.interval import Interval
from dq.model.result import Run
from tests.demo.play import WRONG, Act, Payload, report_file, shown
from tests.demo.promises import PROMISES

CHECKED = ("covid_regions", "covid_ledger")
STATES = {"success": ("✓", "green"), "skipped": ("↷", "yellow")}
STYLES = {"pass": "green", "no_data": "magenta", "fail": "red", "unmeasured": "magenta", "skip": "dim"}


def scene(console: Console, number: int, project: Path, act: Act) -> None:
    """Show one scene."""
    told = act.scene
    judged = datetime.fromisoformat(told.now)
    console.print()
    console.print(Rule(Text(f" {number}  {told.title} ", "bold"), align="left", style="dim"))
    console.print(Text(told.story))
    console.print(Text(f"partition {told.partition}, judged as of {judged:%Y-%m-%d %H:%M} in Rome", "dim"))
    console.print(Text("\nran on Airflow", "dim"))
    ran = _grid()
    for dag, run in act.runs.items():
        ran.add_row(Text(dag, "bold"), _tasks(run["tasks"]), Text(f"{run['seconds']:.1f} s", "dim"))
    console.print(ran)
    console.print(Text("\nchecked", "dim"))
    opened = app.open_project(project)
    checked = _grid()
    for name in CHECKED:
        for line in _checked(name, app.latest_run(opened, name, Interval.of_day(told.partition))):
            checked.add_row(*line)
    console.print(checked)
    console.print(Text("\nreceived", "dim"))
    sent = _grid()
    for payload in act.received:
        sent.add_row(Text(payload.channel, "cyan"), _said(payload), Text(payload.file.name, "dim"))
    console.print(sent if act.received else Text("nothing", "red"))


def promises(console: Console, broken: Mapping[str, Sequence[str]]) -> None:
    """Show which promises were kept."""
    console.print()
    console.print(Rule(Text(" Promises ", "bold"), align="left", style="dim"))
    for promise in PROMISES:
        problems = broken.get(promise.name, ())
        mark = ("✗ ", "bold red") if problems else ("✓ ", "green")
        console.print(Text.assemble(mark, (promise.sentence, "bold red" if problems else "")), soft_wrap=True)
        for problem in problems:
            console.print(Text(f"    {promise.name}: {problem}", "red"), soft_wrap=True)


def where(console: Console, folder: Path) -> None:
    """Show where to look."""
    console.print()
    console.print(Rule(Text(" Where to look ", "bold"), align="left", style="dim"))
    listed = _grid()
    for path, what in _places(folder):
        listed.add_row(Text(shown(path), "bold"), Text(what))
    console.print(listed)
    console.print()
    project = f"--project {shown(folder / 'project')}"
    console.print(Text("Go on with:"))
    console.print(Text(f"  .venv/bin/dq history {project}"), soft_wrap=True)
    console.print(
        Text(f"  DQ_NOW={WRONG.now} .venv/bin/dq reconcile covid_ledger --date 2024-06-26 --no-alert {project}"),
        soft_wrap=True,
    )


def _places(folder: Path) -> Iterator[tuple[Path, str]]:
    for mail in sorted(folder.glob("[0-9]-*.html")):
        yield mail, f"the e-mail of scene {mail.stem.partition('-')[0]}, and .eml as it was sent"
    yield report_file(folder), "the published report, computed again, and .eml"
    yield folder / "received", "what each receiver got, in the order of arrival"
    yield folder / "project", "the project that ran, as dq init makes it"
    yield folder / "airflow.log", "what Airflow said"


def _grid() -> Table:
    table = Table.grid(padding=(0, 2), expand=False)
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_column(no_wrap=True)
    return table


def _tasks(states: Mapping[str, str]) -> Text:
    """Return the tasks in the order of the flow, scans together."""
    line = Text()
    names = sorted(states, key=_step)
    for position, (_, together) in enumerate(groupby(names, _step)):
        line.append(" → " if position else "", "dim")
        for number, name in enumerate(together):
            mark, style = STATES.get(states[name], ("✗", "red"))
            line.append(" + " if number else "", "dim")
            line.append(name.rpartition(".")[2])
            line.append(f" {mark}", style)
            if states[name] != "success":
                line.append(f" {states[name]}", style)
    return line


def _step(task: str) -> int:
    order = ("load", "should_run", "", "close", "gate", "publish")
    name = task.rpartition(".")[2]
    return order.index(name) if name in order else 2


def _checked(name: str, run: Run | None) -> Iterator[tuple[Text, Text, Text]]:
    if run is None:
        yield Text(name, "bold"), Text("nothing was recorded", "red"), Text("")
        return
    good = sum(result.outcome == "pass" for result in run.summaries)
    verdict = ("good", "green") if run.ok else (f"not good: {run.worst}", "bold red")
    of = f", {good} of {len(run.summaries)} {'checks' if run.kind == 'suite' else 'stages'} pass"
    yield Text(name, "bold"), Text.assemble(verdict, of), Text("")
    bad: dict[tuple[str, str], list[str]] = {}
    for result in run.summaries:
        if result.outcome != "pass":
            bad.setdefault((str(result.outcome), result.sentence), []).append(result.check)
    for (outcome, sentence), names in bad.items():
        what = names[0] if len(names) == 1 else f"{len(names)} checks"
        told = shorten(f"{what}: {sentence}", 160, placeholder=" …")
        yield Text(""), Text.assemble((f"{outcome}  ", STYLES.get(outcome, "")), told), Text("")


def _said(payload: Payload) -> Text:
    said = payload.content
    match payload.channel:
        case "smtp":
            return Text(str(said["Subject"]))
        case "slack":
            return Text(str(said["text"]).partition("\n")[0])
        case "pagerduty":
            action, key = said["event_action"], said["dedup_key"]
            return Text.assemble((f"{action}  ", "red" if action == "trigger" else "green"), key)
        case _:
            action, key = said["message_type"], said["entity_id"]
            return Text.assemble((f"{action}  ", "red" if action == "CRITICAL" else "green"), key)
