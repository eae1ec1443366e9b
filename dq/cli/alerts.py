"""Commands for who is on call: what is open, acknowledging, silencing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.announcing import digest
from dq.cli.delivery import OUTBOX, drop, outbox, pump, retry, undelivered_json, undelivered_line
from dq.cli.options import (
    STORE_CODES,
    by_option,
    duration_option,
    json_option,
    open_project,
    project_option,
    teach,
    time_option,
    who,
)
from dq.cli.routes import selftest, test_route
from dq.cli.show import MUTED, ORGS_SHOWN, clock, counted, json_out, out, say, table, title, warn

if TYPE_CHECKING:
    from dq.alerting.silences import Silence
    from dq.app import Alert
    from dq.model.incident import Incident


class _Looking(click.Group):
    """A group that does something by itself, and lists its commands in the order in which people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names as they were added."""
        return list(self.commands)


@click.group(
    cls=_Looking,
    invoke_without_command=True,
    no_args_is_help=False,
    short_help="Show what is open; acknowledge, silence, deliver.",
    epilog=teach(
        """
dq alerts                          what is open, worst first
dq alerts --suite orders --json
dq alerts --all                    also what ended in the last 7 days
dq alerts ack 12 --by ada          I am on it
""",
        {
            0: "nothing is open, and nothing waits in vain",
            1: "something is open",
            **STORE_CODES,
            4: "nothing is open, but alerts could not be delivered",
        },
    ),
)
@click.option("--suite", metavar="NAME", help="Only this suite, reconciliation, SLA or DAG.")
@click.option("--all", "everything", is_flag=True, help="Also what ended in the last 7 days.")
@json_option
@project_option
@click.pass_context
def alerts(
    context: click.Context, *, suite: str | None, everything: bool, as_json: bool, project_path: Path | None
) -> int:
    """Show what is open, who was told, who is on it, and what is muted.

    WORSE marks what is worse than when it was muted or acknowledged: nobody is told that by a channel.
    """
    if context.invoked_subcommand is not None:
        if suite is not None or everything or as_json or project_path is not None:
            raise click.UsageError(f"Options stand behind the command: dq alerts {context.invoked_subcommand} ...")
        return 0
    from dq import app

    project = open_project(project_path)
    found = app.alerts(project, suite=suite, all=everything)
    late = [one for one in app.waiting(project) if one.failed]
    still_open = any(alert.incident.ended_at is None for alert in found)
    code = 1 if still_open else 4 if late else 0
    if as_json:
        json_out(
            {
                "exit_code": code,
                "environment": project.environment,
                "alerts": [_alert_json(alert) for alert in found],
                "undelivered": [undelivered_json(one) for one in late],
            }
        )
        return code
    if found:
        heads = ("id", "severity", "subject", "check", "org", "since", "told", "state", "found")
        table(heads, [_alert_line(alert) for alert in found])
    for problem in dict.fromkeys(problem for alert in found for problem in alert.problems):
        warn(problem)
    if suite is not None and not found:
        project.find(suite)
    if not still_open:
        say(f"nothing {'of ' + suite + ' ' if suite else ''}is open in environment {project.environment!r}")
    if late:
        out("")
        title(f"not delivered: {counted(len(late), 'message')}, see dq alerts outbox", good=False)
        table(OUTBOX, [undelivered_line(one) for one in late])
    return code


def _org(incident: Incident) -> str | None:
    return incident.labels.get("org") or incident.key.org or None


def _alert_line(alert: Alert) -> tuple[object, ...]:
    incident = alert.incident
    key = incident.key
    names = ", ".join(dict.fromkeys(one.channel for one in alert.told))
    last = max((one.at for one in alert.told if one.at is not None), default=None)
    told = f"{names} {clock(last)}" if names else None
    since = clock(incident.opened_at)
    return (
        incident.id,
        incident.severity,
        f"DAG {key.subject}" if key.kind == "dag" else key.subject,
        key.part,
        _org(incident),
        since,
        told,
        _state(alert),
        incident.sentence,
    )


def _state(alert: Alert) -> str:
    """Return in words what becomes of an incident, worst news first."""
    incident = alert.incident
    if incident.ended_at is not None:
        return f"over {clock(incident.ended_at)} ({incident.ended})"
    words = [] if alert.worse_than is None else [f"WORSE than {alert.worse_than}"]
    words += [f"{MUTED[mute.why]}{mute.by}" for mute in alert.muted]
    if incident.acked_at is not None:
        until = "" if incident.acked else f" at {incident.acked_severity}"
        words.append(f"acknowledged by {incident.acked_by}{until}")
    if not alert.told:
        words.append("nobody was told" if alert.muted else "not told yet")
    return "; ".join(words) or "open"


def _alert_json(alert: Alert) -> dict[str, Any]:
    incident = alert.incident
    key = incident.key
    acked = None
    if incident.acked_at is not None:
        acked = {
            "by": incident.acked_by,
            "at": incident.acked_at.isoformat(),
            "severity": str(incident.acked_severity),
            "holds": incident.acked,
        }
    return {
        "id": incident.id,
        "kind": key.kind,
        "subject": key.subject,
        "check": key.part,
        "org": _org(incident),
        "severity": str(incident.severity),
        "outcome": str(incident.outcome),
        "sentence": incident.sentence,
        "interval": incident.interval.to_json(),
        "opened_at": incident.opened_at.isoformat(),
        "changed_at": incident.changed_at.isoformat(),
        "ended_at": None if incident.ended_at is None else incident.ended_at.isoformat(),
        "ended": incident.ended,
        "labels": {name: value for name, value in incident.labels.items() if not name.startswith("_")},
        "links": dict(incident.links),
        "told": [
            {
                "channel": one.channel,
                "key": one.key,
                "severity": str(one.severity),
                "at": None if one.at is None else one.at.isoformat(),
            }
            for one in alert.told
        ],
        "acknowledged": acked,
        "muted": [{"why": mute.why, "by": mute.by} for mute in alert.muted],
        "worse_than": None if alert.worse_than is None else str(alert.worse_than),
    }


# -------------------------------------------------------------------------------------------------------- acknowledging


@alerts.command(
    short_help="Say that you are on it.",
    epilog=teach(
        """
dq alerts ack 12                   one incident, by its id in dq alerts
dq alerts ack orders               all that is open of a suite
dq alerts ack prod/suite/orders    the same, by the key that the pager shows
dq alerts ack 12 --by ada --comment "the load is being repeated"
""",
        {0: "acknowledged", **STORE_CODES},
    ),
)
@click.argument("which", nargs=-1, required=True, metavar="ID|KEY...")
@by_option
@click.option("--comment", default="", metavar="TEXT", help="What you know; it is kept in the event log.")
@project_option
def ack(*, which: Sequence[str], by: str | None, comment: str, project_path: Path | None) -> int:
    """Say that you are on incidents: they are neither repeated nor escalated, and pagers show it.

    It holds as long as they are no worse than now. Somebody else who acknowledges takes over.
    """
    from dq import app

    project = open_project(project_path)
    found = app.acknowledge(project, which, who(by), comment)
    _say_each(f"acknowledged by {i.acked_by} at {i.severity}: {_named(i)}" for i in found)
    return 0


@alerts.command(
    short_help="Take an acknowledgement back.",
    epilog=teach(
        """
dq alerts unack 12
dq alerts unack orders
""",
        {0: "taken back", **STORE_CODES},
    ),
)
@click.argument("which", nargs=-1, required=True, metavar="ID|KEY...")
@by_option
@project_option
def unack(*, which: Sequence[str], by: str | None, project_path: Path | None) -> int:
    """Take acknowledgements back: incidents are repeated and escalated again, as their routes say."""
    from dq import app

    _say_each(
        f"no longer acknowledged: {_named(i)}" for i in app.unacknowledge(open_project(project_path), which, who(by))
    )
    return 0


def _say_each(told: Iterable[str]) -> None:
    """Tell the first lines, and how many there are besides."""
    every = list(told)
    for line in every[:ORGS_SHOWN]:
        say(line)
    if len(every) > ORGS_SHOWN:
        say(f"and {len(every) - ORGS_SHOWN} more")


def _named(incident: Incident) -> str:
    org = _org(incident)
    return f"{incident.id} {incident.key.subject}: {incident.key.part}{f' ({org})' if org else ''}"


# ------------------------------------------------------------------------------------------------------------- silences


@alerts.group(cls=_Looking, no_args_is_help=False, short_help="Keep quiet about what is known, for a while.")
def silence() -> None:
    """Keep quiet about what is known, for a while. dq alerts goes on showing it."""


@silence.command(
    "add",
    short_help="Silence what satisfies all matchers.",
    epilog=teach(
        """
dq alerts silence add suite=orders --for 2h --comment "reload of November"
dq alerts silence add org=14 'check=~"amount.*"' --comment "it migrates" \\
    --starts 2026-11-22T20:00Z --until 2026-11-24T08:00Z
dq alerts silence add owner=web --for 8h --comment known --by ada
""",
        {0: "silenced", **STORE_CODES},
    ),
)
@click.argument("matchers", nargs=-1, required=True, metavar="MATCHER...")
@duration_option("--for", None, "For how long, from its start, e.g. 2h or 3d.")
@time_option("--until", help_text="Up to when, with a zone, in place of --for.")
@time_option("--starts", help_text="From when on. Default: now.")
@click.option("--comment", required=True, metavar="TEXT", help="Why.")
@by_option
@project_option
def silence_add(
    *,
    matchers: Sequence[str],
    until: datetime | None,
    starts: datetime | None,
    comment: str,
    by: str | None,
    project_path: Path | None,
    **given: timedelta | None,
) -> int:
    """Silence what satisfies all MATCHERs, e.g. suite=orders, severity!=critical, 'check=~"amount.*"'.

    What was told stays as it is, and its recovery is told. A silence that matches everything is refused.
    """
    from dq import app

    ends = until or given["for"]
    if ends is None or None not in (until, given["for"]):
        raise click.UsageError("Say how long: --for 2h, or --until TIME.")
    made, found = app.silence(
        open_project(project_path),
        matchers,
        author=who(by),
        comment=comment,
        until=ends,
        starts_at=starts,
    )
    say(f"silence {made.id}: {made} until {clock(made.ends_at)}{_from_when(made)}")
    _say_each(f"  is about {_named(incident)} ({incident.severity})" for incident in found)
    if not found:
        say("  nothing that is open satisfies it")
    return 0


def _from_when(made: Silence) -> str:
    return f", from {clock(made.starts_at)} on" if made.starts_at > made.created_at else ""


@silence.command(
    "list",
    short_help="List silences.",
    epilog=teach(
        """
dq alerts silence list
dq alerts silence list --all       also those that are over
""",
        {0: "shown", **STORE_CODES},
    ),
)
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@json_option
@project_option
def silence_list(*, everything: bool, as_json: bool, project_path: Path | None) -> int:
    """List the silences that hold (active) or will (pending)."""
    from dq import app

    project = open_project(project_path)
    now = datetime.now(UTC)
    found = app.silenced(project, all=everything)
    if as_json:
        json_out(
            {
                "exit_code": 0,
                "environment": project.environment,
                "silences": [_silence_json(one, now) for one in found],
            }
        )
    elif found:
        heads = ("id", "state", "matchers", "from", "until", "by", "comment")
        rows = [
            (
                s.id,
                s.state(now),
                " ".join(map(str, s.matchers)),
                clock(s.starts_at),
                clock(s.ends_at),
                s.author,
                s.comment,
            )
            for s in found
        ]
        table(heads, rows)
    else:
        say(f"nothing is silenced in environment {project.environment!r}")
    return 0


def _silence_json(one: Silence, now: datetime) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.state(now),
        "matchers": [str(matcher) for matcher in one.matchers],
        "author": one.author,
        "comment": one.comment,
        "created_at": one.created_at.isoformat(),
        "starts_at": one.starts_at.isoformat(),
        "ends_at": one.ends_at.isoformat(),
    }


@silence.command(
    "expire",
    short_help="End silences now.",
    epilog=teach("dq alerts silence expire 3", {0: "ended", **STORE_CODES}),
)
@click.argument("ids", nargs=-1, required=True, type=click.IntRange(min=1), metavar="ID...")
@by_option
@project_option
def silence_expire(*, ids: Sequence[int], by: str | None, project_path: Path | None) -> int:
    """End silences now; what is open and was not told is told with the next pump."""
    from dq import app

    for ended in app.expire_silences(open_project(project_path), ids, who(by)):
        say(f"silence {ended.id} is over: {ended}")
    return 0


for _command in (outbox, retry, drop, digest, test_route, selftest, pump):
    alerts.add_command(_command)
