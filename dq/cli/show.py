"""What goes to the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click
from attrs import frozen

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dq.model.failing import FailingRows
    from dq.model.result import Result, Run
    from dq.model.severity import Severity

ROWS_SHOWN = 5
"""How many of the rows that broke a check are shown below the table; ``--json`` has all that were read."""

ORGS_SHOWN = 20
"""How many orgs that are not well are listed below each check; ``--json`` has them all."""

MUTED = {
    "silence": "",
    "inhibited": "muted by ",
    "blocked": "muted because ",
    "time": "muted by the hour: ",
    "pending": "waits: ",
}
"""How a line begins that says why nobody is told, by the reason."""

_STYLES = {
    **dict.fromkeys(("pass", "good", "ok", "on_time", "met_after_miss"), "green"),
    **dict.fromkeys(("info", "pending"), "cyan"),
    **dict.fromkeys(("warning", "warn"), "yellow"),
    **dict.fromkeys(("no_data", "unmeasured"), "magenta"),
    **dict.fromkeys(("fail", "error", "not good"), "red"),
    **dict.fromkeys(("critical", "broken", "never_started", "late_running", "data_missing", "failed"), "bold red"),
}


def clean(text: object) -> str:
    """Return ``text`` on one line without control characters: what a database says must not steer the terminal."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def keep_stdout() -> None:
    """Keep stdout for results: what others write there from now on, such as Airflow's log, goes to stderr."""
    context = click.get_current_context(silent=True)
    if context is not None and _STDOUT not in context.meta:
        context.meta[_STDOUT] = sys.stdout
        context.with_resource(redirect_stdout(sys.stderr))


def _stdout() -> TextIO:
    context = click.get_current_context(silent=True)
    kept: TextIO | None = None if context is None else context.meta.get(_STDOUT)
    return kept or sys.stdout


_STDOUT = "dq.stdout"


def out(text: str) -> None:
    """Write ``text`` to stdout; end with 141, as SIGPIPE would, when its reader has gone away."""
    try:
        click.echo(text, file=_stdout())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), _stdout().fileno())
        raise SystemExit(141) from None


def json_out(document: dict[str, Any]) -> None:
    """Write one JSON document to stdout."""
    out(json.dumps(document, ensure_ascii=False, indent=2))


def say(text: str) -> None:
    """Write a line to stderr; that nobody reads it any more changes nothing."""
    with suppress(BrokenPipeError):
        click.echo(clean(text), err=True)


def warn(text: str) -> None:
    """Write a warning to stderr."""
    say(f"dq: warning: {text}")


def counted(number: int, word: str) -> str:
    """Return ``1 suite``, ``2 suites``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def clock(at: datetime | None) -> str | None:
    """Return ``2026-11-21 05:00Z``."""
    return None if at is None else f"{at:%Y-%m-%d %H:%M}Z"


def write_whole(path: Path, text: str) -> None:
    """Replace a file at once, so that nobody reads half of it; a disk that is full must not end whoever goes on."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        warn(f"the file {path} cannot be written: {error.strerror}")


def fail(text: str, code: int) -> NoReturn:
    """Write one sentence to stderr and end with ``code``."""
    say(f"dq: {text}")
    raise SystemExit(code)


def title(text: str, *, good: bool | None = None) -> None:
    """Write a line that stands above a table, in the colour of its verdict."""
    out(click.style(clean(text), bold=True, fg=None if good is None else "green" if good else "red"))


def table(headings: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()) -> None:
    """Write a table to stdout: wrapped and coloured on a terminal, else one line per row, columns padded.

    Args:
        headings: the columns.
        rows: their values; None is shown as ``-``.
        right: the positions of columns that are aligned right.
    """
    cells = [["-" if value is None else clean(value) for value in row] for row in rows]
    if _stdout().isatty():
        _rich_table(headings, cells, right)
        return
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    for line in (headings, *cells):
        padded = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        out("  ".join(padded).rstrip())


def _rich_table(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for position, heading in enumerate(headings):
        # Long sentences wrap rather than dates and names.
        least = 0 if heading == headings[-1] else min(24, max((len(row[position]) for row in rows), default=0))
        shown.add_column(
            Text(heading), justify="right" if position in right else "left", overflow="fold", min_width=least
        )
    for row in rows:
        shown.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))
    Console(file=_stdout()).print(shown)


def verdict(run: Run, stop_at: Severity) -> str:
    """Return ``good`` or ``not good``."""
    return "good" if run.exit_code(stop_at) == 0 else "not good"


def run_table(run: Run, stop_at: Severity) -> None:
    """Write what a run found: a line per check, below it the orgs that are not well."""
    said = verdict(run, stop_at)
    title(f"{run.suite} {run.interval} ({run.environment}): {said}", good=said == "good")
    rows: list[tuple[object, ...]] = []
    for summary in run.summaries:
        rows.append(_line(summary, summary.check))
        orgs = [r for r in run.results if r.group is not None and r.severity is not None and r.check == summary.check]
        orgs.sort(key=lambda r: -(r.severity or 0))
        rows += [_line(r, f"  {r.group.label}") for r in orgs[:ORGS_SHOWN] if r.group is not None]
        if len(orgs) > ORGS_SHOWN:
            rows.append((f"  and {len(orgs) - ORGS_SHOWN} more", "", "", "--json shows all"))
    if rows:
        table(("check", "outcome", "severity", "found"), rows)
    else:
        out("nothing was measured: the run was not due")
    for summary in run.summaries:
        if summary.failing is not None:
            _failing_rows(summary.check, summary.failing)
    out("")


def _failing_rows(check: str, failing: FailingRows) -> None:
    """Write which rows broke a check; the query that lists all of them is in ``--json``."""
    shown = failing.rows[:ROWS_SHOWN]
    if shown:
        of = " / ".join(failing.columns)
        values = "; ".join(" / ".join("NULL" if v is None else str(v) for v in row) for row in shown)
        kept = len(failing.rows) - len(shown)
        others = kept + (failing.more or 0)
        more = f"; and {others} more{', see --json' if kept else ''}" if others else ""
        out(clean(f"rows of {check!r}, by {of}: {values}{more}"))
    if failing.problem:
        out(clean(f"rows of {check!r}: {failing.problem}"))


def _line(result: Result, name: str) -> tuple[object, ...]:
    shown = name if result.partition is None else f"{name} {result.partition}"
    return shown, str(result.outcome), None if result.severity is None else str(result.severity), result.sentence


@frozen
class Steps:
    """How far a command is, told on stderr: a bar on a terminal, else a line for each run that ended."""

    _bar: Progress | None = None
    _task: TaskID | None = None

    def doing(self, text: str) -> None:
        """Tell what is being done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, description=clean(text))

    def done(self, text: str) -> None:
        """Tell that one run ended, and how."""
        if self._bar is not None and self._task is not None:
            self._bar.console.print(clean(text), markup=False, highlight=False)
            self._bar.advance(self._task)
        else:
            say(text)


@contextmanager
def progress(total: int) -> Iterator[Steps]:
    """Show how far ``total`` runs are."""
    if not sys.stderr.isatty():
        yield Steps()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield Steps(bar, bar.add_task("", total=total))
