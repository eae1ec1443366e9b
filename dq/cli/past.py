"""Commands about what checks are held against: backtest, reference."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import (
    EXIT_CODES,
    date_option,
    day_option,
    json_option,
    open_project,
    project_option,
    teach,
    wanted_days,
)
from dq.cli.show import counted, json_out, out, say, table, title

if TYPE_CHECKING:
    from dq.checks.backtest import Backtest, Replayed
    from dq.store.measures import Recorded

_CODES = {2: EXIT_CODES[2], 3: EXIT_CODES[3]}


@click.command(
    short_help="Show how often a threshold would have fired.",
    epilog=teach(
        """
dq backtest orders                 the thresholds in force
dq backtest orders --since 2026-11-01 --json
dq backtest orders "enough rows" --threshold "critical=at_least(100)"
dq backtest orders volume --threshold "warning=between(-20, 20)"
""",
        {0: "shown", **_CODES},
    ),
)
@click.argument("name", metavar="SUITE")
@click.argument("check", metavar="[CHECK]", required=False)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="TEXT",
    help="Try this one: SEVERITY=THRESHOLD, written as in a declaration. Once per severity.",
)
@date_option("--since", "first", help_text="Only partitions from that UTC day on. Default: all that are stored.")
@json_option
@project_option
def backtest(
    *,
    name: str,
    check: str | None,
    thresholds: tuple[str, ...],
    first: date | None,
    as_json: bool,
    project_path: Path | None,
) -> int:
    """Judge the stored numbers of SUITE again, or those of one CHECK, with its thresholds or others.

    Nothing is measured, stored or told. A check that looks back sees, of each day, the days before it only.
    """
    from dq import app
    from dq.model.interval import Interval

    since = None if first is None else Interval.of_day(first).start
    project = open_project(project_path, [name])
    tests = app.backtests(project, name, check, thresholds, since)
    if as_json:
        json_out({"exit_code": 0, "environment": project.environment, "suite": name, "checks": [*map(_json, tests)]})
        return 0
    table(("check", "severity", "threshold", "fired", "of"), [line for test in tests for line in _lines(test)])
    for test in tests:
        if test.fired:
            out("")
            title(test.check.name)
            rows = [_fired_line(one) for one in test.fired]
            table(("partition", "org", "severity", "was then", "found"), rows)
        if not test.replayed:
            say(f"{test.check.name}: no numbers are stored" + (_WHY_NONE if test.by else ""))
    return 0


_WHY_NONE = "; those of orgs are only kept for checks that look back (Change, known=)"


def _lines(test: Backtest) -> list[tuple[object, ...]]:
    of = f"{test.judged} judged, {len(test.replayed) - test.judged} not"
    return [(test.check.name, severity, bounds, test.count(severity), of) for severity, bounds in test.check.ladder]


def _fired_line(one: Replayed) -> tuple[object, ...]:
    kept, result = one.kept, one.result
    then = str(kept.severity) if kept.severity is not None else str(kept.outcome)
    return kept.interval, kept.group.label if kept.group else None, result.severity, then, result.sentence


def _json(test: Backtest) -> dict[str, Any]:
    return {
        "check": test.check.name,
        "thresholds": {str(severity): str(bounds) for severity, bounds in test.check.ladder},
        "partitions": len(test.replayed),
        "judged": test.judged,
        "fired": {str(severity): test.count(severity) for severity, _ in test.check.ladder},
        "firings": [_firing(one) for one in test.fired],
    }


def _firing(one: Replayed) -> dict[str, Any]:
    kept, document = one.kept, one.result.to_json()
    return {
        "partition": kept.interval.to_json(),
        **{name: document[name] for name in ("group", "outcome", "severity", "observed", "threshold", "sentence")},
        "then": {"outcome": str(kept.outcome), "severity": None if kept.severity is None else str(kept.severity)},
    }


@click.group(no_args_is_help=False)
def reference() -> None:
    """Show and change what checks are held against: recorded distributions and schemas."""


@reference.command(
    "record",
    short_help="Measure one partition and record it.",
    epilog=teach(
        """
dq reference record orders columns    after a wanted change of the table
dq reference record orders "amounts are as ever" --date 2026-11-20
""",
        {0: "recorded", **_CODES},
    ),
)
@click.argument("name", metavar="SUITE")
@click.argument("check", metavar="CHECK")
@day_option
@project_option
def record(*, name: str, check: str, day: date | None, project_path: Path | None) -> int:
    """Measure one partition for CHECK, a Distribution or a Schema without columns, and hold it against that."""
    from dq import app

    interval = wanted_days(day, None, None, app.judgement_time().date())
    project = open_project(project_path, [name])
    made = app.record_reference(project, name, check, interval)
    say(f"recorded for {check!r} of {name}: {_summary(made)}, from {made.interval}")
    return 0


@reference.command(
    "list",
    short_help="List what is recorded.",
    epilog=teach("dq reference list orders", {0: "shown", **_CODES}),
)
@click.argument("name", metavar="SUITE")
@json_option
@project_option
def list_(*, name: str, as_json: bool, project_path: Path | None) -> int:
    """List what is recorded for the checks of SUITE."""
    from dq import app

    project = open_project(project_path, [name])
    found = app.references(project, name)
    if as_json:
        json_out({"exit_code": 0, "suite": name, "references": [_recorded(one) for one in found]})
    elif found:
        rows = [(one.check, _summary(one), one.interval, f"{one.at:%Y-%m-%d %H:%M}") for one in found]
        table(("check", "recorded", "from", "at"), rows)
    else:
        say(f"nothing is recorded for {name} in environment {project.environment!r}")
    return 0


@reference.command(
    "show",
    short_help="Show what is recorded for a check.",
    epilog=teach('dq reference show orders "amounts are as ever"', {0: "shown", **_CODES}),
)
@click.argument("name", metavar="SUITE")
@click.argument("check", metavar="CHECK")
@project_option
def show(*, name: str, check: str, project_path: Path | None) -> int:
    """Write what is recorded for CHECK as one JSON document; a Distribution takes its ``reference`` as it is."""
    from dq import app

    json_out(_recorded(app.reference(open_project(project_path, [name]), name, check)))
    return 0


@reference.command(
    "remove",
    short_help="Forget what is recorded for a check.",
    epilog=teach('dq reference remove orders "amounts are as ever"', {0: "removed", **_CODES}),
)
@click.argument("name", metavar="SUITE")
@click.argument("check", metavar="CHECK")
@project_option
def remove(*, name: str, check: str, project_path: Path | None) -> int:
    """Forget what is recorded for CHECK, which need not be declared any more."""
    from dq import app

    app.remove_reference(open_project(project_path, [name]), name, check)
    say(f"removed: what was recorded for {check!r} of {name}")
    return 0


def _summary(one: Recorded) -> str:
    if isinstance(one.body, list):
        return counted(len(one.body), "column")
    return f"{sum(one.body['counts'])} values of {one.body['column']} in {len(one.body['counts'])} classes"


def _recorded(one: Recorded) -> dict[str, Any]:
    body = {"columns": one.body} if isinstance(one.body, list) else {"reference": one.body}
    return {"check": one.check, **body, "partition": one.interval.to_json(), "at": one.at.isoformat()}
