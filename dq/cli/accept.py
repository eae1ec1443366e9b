"""Commands about accepted discrepancies: accept add, list, end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import (
    STORE_CODES,
    by_option,
    date_option,
    json_option,
    open_project,
    project_option,
    teach,
    who,
)
from dq.cli.show import json_out, say, table

if TYPE_CHECKING:
    from datetime import datetime

    from dq.app.accepting import Made
    from dq.model.acceptance import Acceptance


@click.group(no_args_is_help=False)
def accept() -> None:
    """Accept known discrepancies of reconciliations, with a reason and up to a day.

    While it holds, the org is judged as well there as long as it differs by no more, and the report says who accepts it
    and why. It never grows: after a run that finds less, only so much is accepted.
    """


@accept.command(
    "add",
    short_help="Accept what an org lacks, or has too many.",
    epilog=teach(
        """
dq accept add pipeline --org 14 --until 2026-12-31 \\
    --reason "collector restarts"
dq accept add pipeline --org 14 --stage invoiced --at-most 120 \\
    --until 2026-12-31 --reason "collector restarts" --by ann
dq accept add pipeline --org 14 --date 2026-11-20 \\
    --until 2026-12-31 --reason "the files of that day are lost"
""",
        {0: "accepted", **STORE_CODES},
    ),
)
@click.argument("reconciliation")
@click.option("--org", required=True, metavar="ORG", help="Whose, as the ledger shows it.")
@click.option("--stage", metavar="STAGE", help="At this stage only. Default: at each where it differs.")
@date_option("--date", "day", help_text="Of this partition only, a UTC day. Default: of all.")
@click.option(
    "--at-most",
    metavar="N|SHARE",
    help="How much: 120 records, or 1.5% of the baseline; with a minus, that are too many. Default: as much as the "
    "latest stored run found.",
)
@click.option("--reason", required=True, metavar="TEXT", help="Why; every report says it.")
@date_option("--until", help_text="The last UTC day on which it holds.")
@by_option
@project_option
def add(
    *,
    reconciliation: str,
    org: str,
    stage: str | None,
    day: date | None,
    at_most: str | None,
    reason: str,
    until: date | None,
    by: str | None,
    project_path: Path | None,
) -> int:
    """Accept the discrepancy of an org at the stages of RECONCILIATION; it says what that means."""
    from dq import app
    from dq.model.interval import Interval

    if until is None:
        raise click.UsageError("Say how long: --until DATE.")
    made = app.accept(
        open_project(project_path, [reconciliation]),
        reconciliation,
        org,
        stage=stage,
        interval=None if day is None else Interval.of_day(day),
        at_most=at_most,
        reason=reason,
        until=until,
        who=who(by),
    )
    for one in made:
        for line in _meaning(one):
            say(line)
    return 0


def _meaning(made: Made) -> Iterator[str]:
    """Yield what an acceptance means, a line each."""
    from dq.acceptance import words
    from dq.reports.discrepancy import count_text

    one = made.acceptance
    of = "" if one.partition is None else f" in {one.partition}"
    yield f"acceptance {one.id}: org {one.org.label} of {one.reconciliation}{of} is {words(one, one.stage)}"
    if made.replaces is not None:
        yield f"  it takes the place of acceptance {made.replaces.id} ({made.replaces.most})"
    if made.found is None:
        yield f"  no stored run has measured org {one.org.label} there, so nobody can tell whether there is one"
    elif not made.found:
        yield f"  nothing differs there in the run of {made.partition}; if the next run agrees, it is used up"
    else:
        size = count_text(made.found if made.found > 0 else -made.found)
        found = f"{size} of {count_text(made.baseline)} are {'missing' if made.found > 0 else 'too many'}"
        then = "judged as well from the next run on" if made.fits else "MORE than that, so it is judged as before"
        yield f"  in the run of {made.partition} {found}: {then}"
    if made.is_open and made.fits:
        yield "  the incident that is open ends when the next run is closed"
    yield "  more than that is judged as if nothing was accepted; after a run that finds less, only so much is accepted"


@accept.command(
    "list",
    short_help="List what is accepted.",
    epilog=teach(
        """
dq accept list
dq accept list --all               also what is over
""",
        {0: "shown", **STORE_CODES},
    ),
)
@click.option("--all", "everything", is_flag=True, help="Also what is over.")
@json_option
@project_option
def list_(*, everything: bool, as_json: bool, project_path: Path | None) -> int:
    """List the acceptances that hold, the newest last."""
    from dq import app

    project = open_project(project_path)
    now = app.judgement_time()
    found = app.accepted(project, all=everything, now=now)
    if as_json:
        listed = [_json(one, now) for one in found]
        json_out({"exit_code": 0, "environment": project.environment, "acceptances": listed})
    elif found:
        heads = ("id", "state", "of", "org", "stage", "partition", "accepted", "until", "by", "reason")
        table(heads, [_line(one, now) for one in found])
    else:
        say(f"nothing is accepted in environment {project.environment!r}")
    return 0


def _line(one: Acceptance, now: datetime) -> tuple[object, ...]:
    where = (one.reconciliation, one.org.label, one.stage, one.partition or "all")
    return one.id, _state(one, now), *where, one.most, one.last_day, one.author, one.reason


def _state(one: Acceptance, now: datetime) -> str:
    return one.ended or ("holds" if now < one.ends_at else "expired")


def _json(one: Acceptance, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": _state(one, now),
        "reconciliation": one.reconciliation,
        "org": dict(zip(one.org.columns, one.org.values, strict=True)),
        "stage": one.stage,
        "partition": None if one.partition is None else one.partition.to_json(),
        "at_most": float(one.most.limit),
        "of": "share" if one.most.is_share else "records",
        "too_many": one.most.too_many,
        "reason": one.reason,
        "by": one.author,
        "created_at": one.created_at.isoformat(),
        "until": one.last_day.isoformat(),
        "ended_at": None if one.ended_at is None else one.ended_at.isoformat(),
    }


@accept.command(
    "end",
    short_help="Accept no longer.",
    epilog=teach("\ndq accept end 3\n", {0: "it is judged again", **STORE_CODES}),
)
@click.argument("number", type=int, metavar="ID")
@by_option
@project_option
def end(*, number: int, by: str | None, project_path: Path | None) -> int:
    """Let what was accepted be judged again, from the next run on."""
    from dq import app

    one = app.end_acceptance(open_project(project_path), number, who(by))
    say(f"acceptance {number} holds no longer: org {one.org.label} of {one.reconciliation} at {one.stage}")
    return 0
