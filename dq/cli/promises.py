"""Commands about promises: sla check, status, excuse, excuses, unexcuse; status of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.measure import pumped, worst, write_file
from dq.cli.options import (
    EXIT_CODES,
    STORE_CODES,
    by_option,
    date_option,
    json_option,
    open_project,
    project_option,
    teach,
    time_option,
    who,
)
from dq.cli.show import clock, json_out, out, say, table, warn
from dq.model.duration import format_duration

if TYPE_CHECKING:
    from dq.app import DatasetStatus, Standing
    from dq.model.budget import Budget
    from dq.model.kept import Kept
    from dq.project import Project
    from dq.sla.evaluate import SlaVerdict


SILENT = timedelta(minutes=5)
"""Of a watcher that was not heard of for so long, nobody can say that it watches."""


@click.group(no_args_is_help=False)
def sla() -> None:
    """Judge the promises about when data is there; what is late; known outages."""


@sla.command(
    short_help="Judge every SLA now.",
    epilog=teach(
        """
dq sla check                       every minute or so, from cron or a DAG
dq sla check --json
""",
        {0: "nothing is overdue", 1: "a partition is overdue", 2: EXIT_CODES[2], 3: EXIT_CODES[3], 4: EXIT_CODES[4]},
    ),
)
@json_option
@project_option
def check(*, as_json: bool, project_path: Path | None) -> int:
    """Judge every SLA from what was observed, show the verdicts, and tell who must know."""
    from dq import app
    from dq.model.errors import ConfigError

    project = open_project(project_path)
    verdicts = app.sla_check(project, pump=False)
    codes = [1 if any(verdict.bad for verdict in verdicts) else 0]
    if not _all_known(project, warns=False):
        codes.append(2)
    try:
        codes.append(pumped(project))
    except ConfigError as error:  # who cannot be told must see the verdicts all the more
        say(f"dq: {error}")
        codes.append(error.exit_code)
    code = worst(codes)
    if as_json:
        json_out(
            {"exit_code": code, "environment": project.environment, "verdicts": [_verdict_json(v) for v in verdicts]}
        )
    elif verdicts:
        table(("of", "interval", "due", "verdict", "found"), [_verdict_line(v) for v in verdicts])
    else:
        say("no partition is promised yet: nothing that loads has an sla=, or nothing is due")
    return code


def _all_known(project: Project, *, warns: bool = True) -> bool:
    """Return whether all that is promised is known, and say what cannot be judged."""
    from dq import app

    unjudged = app.unjudged(project)
    for problem in unjudged if warns else ():
        warn(problem)
    return not (unjudged or project.failures)  # a promise may be in a file that did not load


def _verdict_line(verdict: SlaVerdict) -> tuple[object, ...]:
    from dq.sla.findings import sentence

    wanted = verdict.expectation
    due, of = f"{wanted.due_at:%Y-%m-%d %H:%M}Z", wanted.run or wanted.interval
    return wanted.subject, of, due, verdict.answer, sentence(verdict)


def _verdict_json(verdict: SlaVerdict) -> dict[str, Any]:
    from dq.sla.findings import sentence

    wanted = verdict.expectation
    return {
        "kind": wanted.kind,
        "suite": wanted.subject,
        "interval": wanted.interval.to_json(),
        "run": wanted.run or None,
        "due_at": wanted.due_at.isoformat(),
        "answer": str(verdict.answer),
        "overdue": verdict.bad,
        "arrived_at": None if verdict.arrived_at is None else verdict.arrived_at.isoformat(),
        "severity": None if verdict.severity is None else str(verdict.severity),
        "sentence": sentence(verdict),
    }


@sla.command(
    short_help="What is due, late, and due next.",
    epilog=teach(
        """
dq sla status
dq sla status orders users
dq sla status --json
""",
        {0: "nothing is overdue", 1: "something is overdue", **STORE_CODES},
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
@project_option
def status(*, names: Sequence[str], as_json: bool, project_path: Path | None) -> int:
    """Show how each promise stands, as it was last judged: late ones first, then what is due next. Nothing is judged.

    Of several error budgets of a promise the one of which least is left is shown.

    Below it: who watches, and when each watcher was last heard of. Without a watcher nothing is judged but what runs.
    """
    from dq import app

    project = open_project(project_path)
    found, watchers = app.standings(project, names), app.watchers_of(project)
    late = any(one.answer.overdue for standing in found for one in standing.open)
    code = (1 if late else 0) if _all_known(project) else 2
    if as_json:
        signs = [{"name": w.name, "started_at": _iso(w.started_at), "seen_at": _iso(w.seen_at)} for w in watchers]
        json_out(
            {
                "exit_code": code,
                "environment": project.environment,
                "promises": [_standing_json(one) for one in found],
                "watchers": signs,
            }
        )
        return code
    if found:
        heads = ("of", "promise", "now", "since or due", "budget left", "owner")
        table(heads, [_standing_line(one) for one in found])
    else:
        say("nothing is promised: nothing that loads has an sla=")
    for sign in watchers:
        age = format_duration(datetime.now(UTC) - sign.seen_at)
        out(f"watcher {sign.name}: heard of {age} ago, running since {clock(sign.started_at)}")
    newest = max((sign.seen_at for sign in watchers), default=None)
    if newest is None or datetime.now(UTC) - newest > max(SILENT, 3 * project.watch.every):
        warn("nobody watches now: run `dq watch`, or `dq sla check` every minute")
    return code


def _standing_line(one: Standing) -> tuple[object, ...]:
    now, at = _stands(one)
    return one.subject, one.promise, now, at, _left(one.budgets), one.owner


def _left(budgets: Sequence[Budget]) -> str:
    """Return how much of the budget of which least is left, in whole percent; ``none``: nothing may be missed."""
    left = [budget.left for budget in budgets if budget.left is not None]
    if left:
        return f"{min(left) * 100 // 1}%"
    if any(budget.valid for budget in budgets):
        return "broken" if any(budget.good < budget.valid for budget in budgets) else "none"
    return ""


def _stands(one: Standing) -> tuple[str, str]:
    """Return how it stands, and since when, or when it is due."""
    first = one.open[0] if one.open else None
    if first is not None and first.answer.overdue:
        others = sum(kept.answer.overdue for kept in one.open) - 1
        more = f", and {others} more" if others else ""
        return f"{first.answer}: {first.part}{more}", clock(first.due_at) or ""
    if first is not None:
        return f"{first.answer}: {first.part}", clock(first.due_at) or ""
    last = "nothing yet" if one.last is None else f"{one.last.answer}: {one.last.part}"
    return last, clock(one.next_due) or ""


def _standing_json(one: Standing) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.subject,
        "owner": one.owner or None,
        "promise": one.promise,
        "open": [_kept_json(kept) for kept in one.open],
        "last": None if one.last is None else _kept_json(one.last),
        "next_due": _iso(one.next_due),
        "budgets": [
            {
                "what": budget.what,
                "goal": float(budget.goal),
                "left": None if budget.left is None else float(budget.left),
                "state": str(budget.state),
            }
            for budget in one.budgets
        ],
    }


def _kept_json(one: Kept) -> dict[str, Any]:
    return {
        "part": one.part,
        "interval": one.interval.to_json(),
        "due_at": _iso(one.due_at),
        "answer": str(one.answer),
        "arrived_at": _iso(one.arrived_at),
        "late_seconds": one.late.total_seconds(),
        "wrong": one.wrong,
        "excuse": one.excuse or None,
        "cause": one.cause or None,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


@sla.command(
    short_help="How promises were kept, and what is left of their budgets.",
    epilog=teach(
        """
dq sla report
dq sla report orders users
dq sla report --html sla.html --png sla.png
""",
        {0: "no error budget is spent", 1: "one is spent", **STORE_CODES},
    ),
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page that can be mailed, too.")
@click.option("--png", type=click.Path(dir_okay=False, path_type=Path), help="Write the days as a picture (dq[plots]).")
@json_option
@project_option
def report(
    *, names: Sequence[str], html: Path | None, png: Path | None, as_json: bool, project_path: Path | None
) -> int:
    """Show how promises were kept in 7, 28 and 90 days, per dataset and owner, the worst first.

    Below it what is left of each error budget (on_time= and correct= of an SLA), what was missed and why, and which
    outages are excused.
    """
    from dq import app
    from dq.model.budget import State
    from dq.reports import attainment, attainment_html, heat

    project = open_project(project_path)
    made = attainment.report(app.attained(project, names), app.judgement_time())
    spent = any(line.state is State.SPENT for line in made.lines)
    code = (1 if spent else 0) if _all_known(project) else 2
    title = f"{project.environment} - SLA report"
    if html is not None:
        write_file(html, attainment_html.page(made, title).encode())
    if png is not None:
        write_file(png, heat.heat_png(made.heat, title))
    if as_json:
        json_out({"exit_code": code, "environment": project.environment, **attainment.to_json(made)})
    else:
        out(attainment.text(made).rstrip("\n"))
    return code


@sla.command(
    short_help="Mark a known outage: it neither pages nor counts.",
    epilog=teach(
        """
dq sla excuse orders --reason "the lake moved" \\
    --from 2026-11-20T02:00Z --to 2026-11-20T09:00Z
dq sla excuse '*' --reason "no power" \\
    --from 2026-11-20T02:00Z --to 2026-11-20T09:00Z
""",
        {0: "it is excused", **STORE_CODES},
    ),
)
@click.argument("name")
@time_option("--from", help_text="What falls due at or after this time is excused; with a zone.")
@time_option("--to", help_text="And before this one.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; every report says it.")
@by_option
@project_option
def excuse(*, name: str, reason: str, by: str | None, project_path: Path | None, **given: datetime | None) -> int:
    """Say that what falls due in a known outage neither pages nor counts, of NAME or of all ('*').

    What is open of it ends as excused; when it arrives after all, the record says when. Reports name the outage.
    """
    from dq import app

    starts, ends = given["from"], given["to"]
    if starts is None or ends is None:
        raise click.UsageError("Say when: --from TIME --to TIME.")
    number = app.excuse(open_project(project_path), name, starts, ends, reason, who(by))
    say(f"excuse {number}: what falls due of {name} from {clock(starts)} to {clock(ends)} does not count: {reason}")
    return 0


@sla.command(
    short_help="List known outages.",
    epilog=teach("\ndq sla excuses\ndq sla excuses --json\n", {0: "always", **STORE_CODES}),
)
@json_option
@project_option
def excuses(*, as_json: bool, project_path: Path | None) -> int:
    """List the excuses that hold, the newest last."""
    from dq import app

    found = app.excused(open_project(project_path))
    if as_json:
        listed = [
            {
                "id": one.id,
                "name": one.subject,
                "from": _iso(one.starts_at),
                "to": _iso(one.ends_at),
                "reason": one.reason,
                "by": one.author,
                "created_at": _iso(one.created_at),
            }
            for one in found
        ]
        json_out({"exit_code": 0, "excuses": listed})
    elif found:
        lines = [(e.id, e.subject, clock(e.starts_at), clock(e.ends_at), e.reason, e.author) for e in found]
        table(("id", "of", "from", "to", "reason", "by"), lines)
    else:
        say("there are no excuses")
    return 0


@sla.command(
    short_help="Take an excuse back.",
    epilog=teach("\ndq sla unexcuse 3\n", {0: "it counts again", **STORE_CODES}),
)
@click.argument("number", type=int)
@by_option
@project_option
def unexcuse(*, number: int, by: str | None, project_path: Path | None) -> int:
    """Let what fell due in an outage count again; what is still missing pages with the next judgement."""
    from dq import app

    app.take_back(open_project(project_path), number, who(by))
    say(f"excuse {number} holds no longer")
    return 0


@click.command(
    name="status",
    short_help="Is a dataset there? What does it wait for?",
    epilog=teach(
        """
dq status orders                   the newest partition that is promised
dq status orders --date 2026-11-20
dq status orders && load_orders    when it is there, and not wrong
""",
        {0: "it is there, and not known to be wrong", 1: "it is not there, or wrong", **STORE_CODES},
    ),
)
@click.argument("dataset")
@date_option("--date", help_text="The partition, a UTC day. Default: the newest that has ended and is promised.")
@json_option
@project_option
def dataset(*, dataset: str, as_json: bool, project_path: Path | None, **given: date | None) -> int:
    """Tell whether a partition of a suite, reconciliation or dataset is there, and else what it waits for.

    It says since when, when it is due, and when it usually comes. What it is made from (upstream=) is followed to the
    first that is not there.
    """
    from dq import app
    from dq.model.interval import Interval

    day = given["date"]
    found = app.dataset_status(open_project(project_path), dataset, None if day is None else Interval.of_day(day))
    code = 0 if found.ready else 1
    if as_json:
        json_out({"exit_code": code, **_status_json(found)})
        return code
    out(f"{found.name}: {'there' if found.complete else 'not there'}{', but wrong' if found.wrong else ''}")
    out(f"  {found.sentence}")
    if not found.complete:
        since = "" if found.since is None else f", since {clock(found.since)}"
        whom = "" if found.waits_for == found.name else f"waits for {found.waits_for}: "
        out(f"  {whom}{found.cause}{since}")
        if found.expected_at is not None:
            out(f"  it usually comes by {clock(found.expected_at)}")
    return code


def _status_json(found: DatasetStatus) -> dict[str, Any]:
    return {
        "name": found.name,
        "interval": found.interval.to_json(),
        "complete": found.complete,
        "wrong": found.wrong,
        "ready": found.ready,
        "answer": str(found.answer),
        "sentence": found.sentence,
        "waits_for": found.waits_for or None,
        "cause": found.cause or None,
        "since": _iso(found.since),
        "due_at": _iso(found.due_at),
        "expected_at": _iso(found.expected_at),
        "arrived_at": _iso(found.arrived_at),
    }
