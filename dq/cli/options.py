"""Options that several commands share, and what they mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.show import keep_stdout, warn

if TYPE_CHECKING:
    from dq.model.interval import Interval
    from dq.model.severity import Severity
    from dq.project import Project

Command = Callable[..., Any]

EXIT_CODES = {
    0: "good",
    1: "a check failed at or above --stop-at, or an SLA was missed",
    2: "wrong use: arguments, declarations or configuration",
    3: "something could not be measured, or the store could not be used",
    4: "alerts could not be delivered",
}


STORE_CODES = {2: EXIT_CODES[2], 3: "the store could not be used"}
"""Of a command that measures nothing."""


def teach(examples: str, codes: dict[int, str]) -> str:
    """Return the end of a help text: examples, a line each, and the exit codes that the command can give."""
    lines = "\n".join(f"  {line}".rstrip() for line in examples.strip().splitlines())
    return f"\b\nExamples:\n{lines}\n\n\b\nExit codes:\n" + "\n".join(
        f"  {code}  {text}" for code, text in codes.items()
    )


def _parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """Return a callback that reads the text of an option, and refuses it as wrong use where ``parse`` refuses it."""

    def callback(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
        from dq.model.errors import DeclarationError

        try:
            return None if value is None else parse(value)
        except DeclarationError as error:
            raise click.BadParameter(str(error)) from None

    return callback


def _day(text: str) -> date:
    from dq.model.interval import Interval

    return Interval.of_day(text).start.date()


def _duration(text: str) -> timedelta:
    from dq.model.duration import parse_duration

    return parse_duration(text)


def _moment(text: str) -> datetime:
    from dq.model.errors import DeclarationError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise DeclarationError(
            f"{text!r} is not a time with a zone; write it like 2026-11-21T18:00+01:00, or ...Z for UTC"
        )
    return moment


def date_option(*names: str, help_text: str) -> Callable[[Command], Command]:
    """Return an option that is a day, as a date."""
    return click.option(*names, callback=_parsed(_day), metavar="DATE", help=help_text)


def time_option(*names: str, help_text: str) -> Callable[[Command], Command]:
    """Return an option that is a moment with a zone such as ``2026-11-21T18:00Z``, as a datetime."""
    return click.option(*names, callback=_parsed(_moment), metavar="TIME", help=help_text)


def duration_option(name: str, default: str | None, help_text: str) -> Callable[[Command], Command]:
    """Return an option that is a duration such as ``60s``, as a timedelta."""
    return click.option(
        name, callback=_parsed(_duration), default=default, show_default=True, metavar="TIME", help=help_text
    )


def severity(word: str) -> Severity:
    """Return the severity called ``word``."""
    from dq.model.severity import Severity

    return Severity.of(word)


def project_option(command: Command) -> Command:
    """Add ``--project``."""
    return click.option(
        "--project",
        "project_path",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="The project: the folder of dq.toml. Default: DQ_HOME, else found upwards from here.",
    )(command)


def json_option(command: Command) -> Command:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")(command)


def stop_option(command: Command) -> Command:
    """Add ``--stop-at``."""
    return click.option(
        "--stop-at",
        type=click.Choice(["info", "warning", "error", "critical"]),
        default="error",
        show_default=True,
        help="Exit with 1 when a check fails this badly or worse.",
    )(command)


def telling_options(command: Command) -> Command:
    """Add ``--no-store`` and ``--no-alert``."""
    command = click.option("--no-alert", is_flag=True, help="Record, but open no incident and tell nobody.")(command)
    return click.option("--no-store", is_flag=True, help="Record nothing; then nobody is told either.")(command)


def files_options(command: Command) -> Command:
    """Add ``--html`` and ``--eml``."""
    kind = click.Path(path_type=Path, dir_okay=False)
    command = click.option("--eml", type=kind, metavar="FILE", help="Write the report as the file of an e-mail.")(
        command
    )
    return click.option("--html", type=kind, metavar="FILE", help="Write the report as a page.")(command)


def day_option(command: Command) -> Command:
    """Add ``--date``."""
    return date_option("--date", "day", help_text="The UTC day to look at. Default: yesterday.")(command)


def days_options(command: Command) -> Command:
    """Add ``--date``, ``--from`` and ``--to``."""
    command = date_option("--to", "last", help_text="The last day, included. Default: yesterday.")(command)
    return day_option(date_option("--from", "first", help_text="The first day of several, included.")(command))


def wanted_days(day: date | None, first: date | None, last: date | None, today: date) -> Interval:
    """Return the days that ``--date``, ``--from`` and ``--to`` ask for, as one interval.

    Args:
        day, first, last: the options as given.
        today: the day of the judgement clock (UTC).

    Raises:
        click.UsageError: when the options contradict each other.
    """
    from dq.model.interval import Interval

    yesterday = today - timedelta(days=1)
    if day is not None and (first is not None or last is not None):
        raise click.UsageError("--date is one day and --from/--to are several; give one of them.")
    if first is None and last is not None:
        raise click.UsageError("--to needs --from.")
    if first is None:
        return Interval.of_day(day or yesterday)
    if first > (last or yesterday):
        raise click.UsageError(f"--from {first} is after {f'--to {last}' if last else f'yesterday, {yesterday}'}.")
    return Interval(Interval.of_day(first).start, Interval.of_day(last or yesterday).end)


def open_project(path: Path | None, names: Iterable[str] = (), *, quiet: bool = False) -> Project:
    """Return the project at ``path`` or the one found from here; files that did not load are told as warnings.

    Args:
        path: what ``--project`` says.
        names: suites and reconciliations that must be there.
        quiet: no warnings, because the command tells of these files itself or has no use for them.

    Raises:
        ConfigError: when there is no project or its ``dq.toml`` is refused.
        UsageError: when one of ``names`` is not there; the sentence says why.
    """
    from dq import app

    keep_stdout()
    if path is not None and not path.exists():
        raise click.UsageError(f"--project: there is no {path}.")
    project = app.open_project(path)
    for name in names:
        project.find(name)
    for failure in () if quiet else project.failures:
        warn(failure)
    return project


def by_option(command: Command) -> Command:
    """Add ``--by``."""
    return click.option("--by", metavar="NAME", help="Who you are. Default: the user of this shell.")(command)


def who(by: str | None) -> str:
    """Return who gives the command.

    Raises:
        UsageError: when nobody knows.
    """
    import getpass

    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without an entry for its user
        raise click.UsageError("Nobody knows who you are here; say it with --by.") from None
