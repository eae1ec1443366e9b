"""Commands for who is on call: what is open, acknowledging, silencing, the outbox, routes and whether they fire."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import (
    EXIT_CODES,
    Command,
    duration_option,
    json_option,
    open_project,
    project_option,
    teach,
    time_option,
)
from dq.cli.show import ORGS_SHOWN, counted, json_out, out, say, table, title, warn

if TYPE_CHECKING:
    from dq.alerting.routing import Chosen, Place
    from dq.alerting.silences import Silence
    from dq.alerting.undelivered import Undelivered
    from dq.app import Alert, Explained, Proof
    from dq.model.incident import Incident
    from dq.project import Project

_CODES = {2: EXIT_CODES[2], 3: "the store could not be used"}


class _Looking(click.Group):
    """A group that does something by itself, and lists its commands in the order in which people need them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names as they were added."""
        return list(self.commands)


def _by_option(command: Command) -> Command:
    """Add ``--by``."""
    return click.option("--by", metavar="NAME", help="Who you are. Default: the user of this shell.")(command)


def _who(by: str | None) -> str:
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
            **_CODES,
            4: "nothing is open, but alerts could not be delivered",
        },
    ),
)
@click.option("--suite", metavar="NAME", help="Only this suite, reconciliation or SLA.")
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
                "undelivered": [_undelivered_json(one) for one in late],
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
        table(_OUTBOX, [_undelivered_line(one) for one in late])
    return code


def _clock(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%d %H:%M}Z"


def _org(incident: Incident) -> str | None:
    return incident.labels.get("org") or incident.key.org or None


def _alert_line(alert: Alert) -> tuple[object, ...]:
    incident = alert.incident
    key = incident.key
    names = ", ".join(dict.fromkeys(one.channel for one in alert.told))
    last = max((one.at for one in alert.told if one.at is not None), default=None)
    told = f"{names} {_clock(last)}" if names else None
    since = _clock(incident.opened_at)
    return (
        incident.id,
        incident.severity,
        key.subject,
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
        return f"over {_clock(incident.ended_at)} ({incident.ended})"
    words = [] if alert.worse_than is None else [f"WORSE than {alert.worse_than}"]
    words += [f"{_MUTED[mute.why]}{mute.by}" for mute in alert.muted]
    if incident.acked_at is not None:
        until = "" if incident.acked else f" at {incident.acked_severity}"
        words.append(f"acknowledged by {incident.acked_by}{until}")
    if not alert.told:
        words.append("nobody was told" if alert.muted else "not told yet")
    return "; ".join(words) or "open"


_MUTED = {"silence": "", "inhibited": "muted by ", "time": "muted by the hour: ", "pending": "waits: "}


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
        {0: "acknowledged", **_CODES},
    ),
)
@click.argument("which", nargs=-1, required=True, metavar="ID|KEY...")
@_by_option
@click.option("--comment", default="", metavar="TEXT", help="What you know; it is kept in the event log.")
@project_option
def ack(*, which: Sequence[str], by: str | None, comment: str, project_path: Path | None) -> int:
    """Say that you are on incidents: they are neither repeated nor escalated, and pagers show it.

    It holds as long as they are no worse than now. Somebody else who acknowledges takes over.
    """
    from dq import app

    project = open_project(project_path)
    found = app.acknowledge(project, which, _who(by), comment)
    _say_each(f"acknowledged by {i.acked_by} at {i.severity}: {_named(i)}" for i in found)
    return 0


@alerts.command(
    short_help="Take an acknowledgement back.",
    epilog=teach(
        """
dq alerts unack 12
dq alerts unack orders
""",
        {0: "taken back", **_CODES},
    ),
)
@click.argument("which", nargs=-1, required=True, metavar="ID|KEY...")
@_by_option
@project_option
def unack(*, which: Sequence[str], by: str | None, project_path: Path | None) -> int:
    """Take acknowledgements back: incidents are repeated and escalated again, as their routes say."""
    from dq import app

    _say_each(
        f"no longer acknowledged: {_named(i)}" for i in app.unacknowledge(open_project(project_path), which, _who(by))
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
        {0: "silenced", **_CODES},
    ),
)
@click.argument("matchers", nargs=-1, required=True, metavar="MATCHER...")
@duration_option("--for", None, "For how long, from its start, e.g. 2h or 3d.")
@time_option("--until", help_text="Up to when, with a zone, in place of --for.")
@time_option("--starts", help_text="From when on. Default: now.")
@click.option("--comment", required=True, metavar="TEXT", help="Why.")
@_by_option
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
        author=_who(by),
        comment=comment,
        until=ends,
        starts_at=starts,
    )
    say(f"silence {made.id}: {made} until {_clock(made.ends_at)}{_from_when(made)}")
    _say_each(f"  is about {_named(incident)} ({incident.severity})" for incident in found)
    if not found:
        say("  nothing that is open satisfies it")
    return 0


def _from_when(made: Silence) -> str:
    return f", from {_clock(made.starts_at)} on" if made.starts_at > made.created_at else ""


@silence.command(
    "list",
    short_help="List silences.",
    epilog=teach(
        """
dq alerts silence list
dq alerts silence list --all       also those that are over
""",
        {0: "shown", **_CODES},
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
                _clock(s.starts_at),
                _clock(s.ends_at),
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
    epilog=teach("dq alerts silence expire 3", {0: "ended", **_CODES}),
)
@click.argument("ids", nargs=-1, required=True, type=click.IntRange(min=1), metavar="ID...")
@_by_option
@project_option
def silence_expire(*, ids: Sequence[int], by: str | None, project_path: Path | None) -> int:
    """End silences now; what is open and was not told is told with the next pump."""
    from dq import app

    for ended in app.expire_silences(open_project(project_path), ids, _who(by)):
        say(f"silence {ended.id} is over: {ended}")
    return 0


# --------------------------------------------------------------------------------------------------------------- outbox


@alerts.command(
    short_help="Send what channels should know and do not.",
    epilog=teach(
        """
dq alerts pump                     once, e.g. from cron
dq alerts pump --watch             until it is stopped, e.g. by systemd
dq alerts pump --watch --every 15s
""",
        {0: "everything that is due was delivered", 2: EXIT_CODES[2], 3: EXIT_CODES[3], 4: EXIT_CODES[4]},
    ),
)
@click.option("--watch", is_flag=True, help="Go on until SIGTERM (exit as after one pump) or Ctrl-C.")
@duration_option("--every", "60s", "With --watch: how often.")
@project_option
def pump(*, watch: bool, every: timedelta, project_path: Path | None) -> int:
    """Send what channels should know and do not: alerts, recoveries and reports whose time has come."""
    from dq.model.errors import DqError

    project = open_project(project_path)
    if not watch:
        return _pump_once(project)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while True:
        try:
            code = _pump_once(project)
        except DqError as error:
            if error.exit_code != 3:
                raise
            # A store that restarts must not end the one process that pages.
            say(f"dq: {error}")
            code = 3
        if stop.wait(every.total_seconds()):
            return code


def _pump_once(project: Project) -> int:
    from dq import app

    report = app.pump(project)
    for problem in (*report.problems, *report.reasons):
        warn(problem)
    out(f"sent {report.sent}, failed {report.failed}, dead {report.dead}, waiting {report.waiting}")
    return 4 if report.undelivered else 0


_OUTBOX = ("id", "channel", "key", "since", "tries", "next", "state", "message")


@alerts.command(
    short_help="Show what is not delivered.",
    epilog=teach(
        """
dq alerts outbox
dq alerts outbox --json
""",
        {0: "nothing has failed", **_CODES, 4: EXIT_CODES[4]},
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
                "undelivered": [_undelivered_json(one) for one in found],
            }
        )
    elif found:
        table(_OUTBOX, [_undelivered_line(one) for one in found])
    else:
        say(f"everything in environment {project.environment!r} is delivered")
    return code


def _undelivered_line(one: Undelivered) -> tuple[object, ...]:
    following = None if one.dead else _clock(one.next_at) or "the next pump"
    return (
        one.id or None,
        one.channel or None,
        one.key,
        _clock(one.since),
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


def _undelivered_json(one: Undelivered) -> dict[str, Any]:
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


@alerts.command(
    short_help="Make what waits, or was refused, due now.",
    epilog=teach(
        """
dq alerts retry s1f09c2ab          one, by its id in dq alerts outbox
dq alerts retry --channel oncall   after its key was replaced
dq alerts retry --all
""",
        {0: "due now", **_CODES},
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID...]")
@click.option("--channel", metavar="NAME", help="All that is for this channel.")
@click.option("--all", "everything", is_flag=True, help="Everything.")
@_by_option
@project_option
def retry(
    *, ids: Sequence[str], channel: str | None, everything: bool, by: str | None, project_path: Path | None
) -> int:
    """Make what waits, or was refused for good, due now; the next pump sends it."""
    from dq import app

    if sum((bool(ids), channel is not None, everything)) != 1:
        raise click.UsageError("Say what: ids, --channel NAME, or --all.")
    done = app.retry_now(open_project(project_path), _who(by), ids, channel=channel)
    for one in done:
        say(f"due now: {one.id} {one.channel}: {one.title}")
    say("dq alerts pump sends it" if done else "nothing waits")
    return 0


@alerts.command(
    short_help="Give up what is not delivered.",
    epilog=teach(
        """
dq alerts drop e12                 asks
dq alerts drop e12 s1f09c2ab --yes
""",
        {0: "given up", **_CODES, 130: "you said no"},
    ),
)
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_by_option
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
    for one in app.give_up(project, _who(by), ids):
        say(f"given up: {one.id} {one.channel}: {one.title}")
    return 0


# --------------------------------------------------------------------------------------------------------------- routes


@alerts.command(
    "test-route",
    short_help="Explain which routes take an incident, and why.",
    epilog=teach(
        """
dq alerts test-route suite=orders severity=critical
dq alerts test-route suite=orders "check=amount is positive" org=14
dq alerts test-route kind=sla suite=orders --json
""",
        {0: "somebody would be told", **_CODES, 4: "nobody would be told, or not now"},
    ),
)
@click.argument("labels", nargs=-1, required=True, metavar="LABEL=VALUE...")
@json_option
@project_option
def test_route(*, labels: Sequence[str], as_json: bool, project_path: Path | None) -> int:
    """Explain where an incident with these labels would be told: routes, channels, key, waits, and what mutes it now.

    What is not given is filled in: owner, tags and notify= as declared, severity=error, outcome=fail.
    """
    from dq import app

    project = open_project(project_path)
    found = app.explain_routes(project, _labels(labels))
    now = [hours is None and not place.after for place, hours in zip(found.places, found.hours, strict=True)]
    code = 0 if any(now) and not found.muted else 4
    if as_json:
        json_out({"exit_code": code, **_explained_json(found)})
        return code
    given = " ".join(f"{name}={value}" for name, value in found.labels.items() if value)
    title(f"labels: {given}")
    rows = [(f"{'  ' * len(s.at)}{s.name}", s.verdict, s.why or None) for s in found.steps]
    table(("route", "verdict", "why"), rows)
    out("")
    if found.places:
        heads = ("channel", "when", "key", "group by", "repeated", "recovery", "now")
        table(heads, [_place_line(place, hours) for place, hours in zip(found.places, found.hours, strict=True)])
    else:
        say("nobody is told")
    for problem in found.problems:
        warn(problem)
    for mute in found.muted:
        out(f"muted now: {_MUTED[mute.why]}{mute.by}")
    return code


def _labels(texts: Iterable[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{text!r} is not LABEL=VALUE.")
        if name.strip() in labels:
            raise click.UsageError(f"The label {name.strip()!r} is given twice.")
        labels[name.strip()] = value.strip().strip('"')
    return labels


def _when(place: Place) -> str:
    from dq.model.duration import format_duration

    if place.after:
        return f"{format_duration(place.after)} later, if nobody acknowledges"
    wait = place.chosen.group_wait
    return f"after {format_duration(wait)}" if wait else "at once"


def _place_line(place: Place, hours: str | None) -> tuple[object, ...]:
    chosen = place.chosen
    every = _repeated(chosen)
    by = "everything together" if not chosen.group_by else " ".join(chosen.group_by)
    told = "told" if chosen.send_resolved else "not told"
    return (
        place.target.channel,
        _when(place),
        place.target.message_key,
        by,
        every,
        told,
        f"muted: {hours}" if hours else "open",
    )


def _repeated(chosen: Chosen) -> str:
    from dq.model.duration import format_duration

    return "never" if chosen.repeat_interval is None else f"every {format_duration(chosen.repeat_interval)}"


def _explained_json(found: Explained) -> dict[str, Any]:
    return {
        "labels": dict(found.labels),
        "routes": [
            {
                "depth": len(step.at),
                "matchers": [str(matcher) for matcher in step.route.matchers],
                "verdict": step.verdict,
                "why": step.why or None,
            }
            for step in found.steps
        ],
        "places": [
            {
                "channel": place.target.channel,
                "key": place.target.message_key,
                "route": list(place.chosen.path),
                "after_seconds": place.after.total_seconds(),
                "group_by": list(place.chosen.group_by),
                "group_wait_seconds": place.chosen.group_wait.total_seconds(),
                "group_interval_seconds": place.chosen.group_interval.total_seconds(),
                "repeat_interval_seconds": (
                    None if place.chosen.repeat_interval is None else place.chosen.repeat_interval.total_seconds()
                ),
                "send_resolved": place.chosen.send_resolved,
                "muted_by_time": hours,
            }
            for place, hours in zip(found.places, found.hours, strict=True)
        ],
        "muted": [{"why": mute.why, "by": mute.by} for mute in found.muted],
        "problems": list(found.problems),
    }


@alerts.command(
    short_help="Prove that each route would fire.",
    epilog=teach(
        """
dq alerts selftest                 what would leave; nothing is sent
dq alerts selftest --json
dq alerts selftest --send          really sends, marked TEST, then resolves
dq alerts selftest --send --channel oncall
""",
        {
            0: "every route fires",
            2: EXIT_CODES[2],
            3: "the row could not be measured",
            4: "a route does not fire, or a channel did not take it",
        },
    ),
)
@click.option("--send", is_flag=True, help="Really send, marked as a test that resolves itself at once.")
@click.option("--channel", metavar="NAME", help="Only what goes to this channel.")
@json_option
@project_option
def selftest(*, send: bool, channel: str | None, as_json: bool, project_path: Path | None) -> int:
    """Let a failing row run through measuring, judging, routing and the pump, for each route, and show what leaves.

    The row is in no table, and the store is a scratch one: yours is not touched. Of each channel the first payload is
    shown, --json has them all.
    """
    from dq import app

    project = open_project(project_path)
    proofs = app.selftest(project, send=send, channel=channel)
    types = app.channel_types(project)
    code = 0 if all(proof.good for proof in proofs) else 4
    if as_json:
        json_out({"exit_code": code, "sent": send, "routes": [_proof_json(proof, types) for proof in proofs]})
        return code
    rows = [(_route(proof), proof.answer, proof.sentence, _reached(proof)) for proof in proofs]
    table(("route", "answer", "found", "with"), rows)
    shown: set[str] = set()
    for proof in proofs:
        for one in proof.sent:
            if send or one.channel in shown:
                continue
            shown.add(one.channel)
            out("")
            title(f"what would leave to {one.channel}, by {_route(proof)}")
            out(json.dumps(one.payload(types[one.channel]), ensure_ascii=False, indent=2))
    return code


def _route(proof: Proof) -> str:
    return " > ".join(proof.path) or ("everything" if proof.at else "[route]")


def _reached(proof: Proof) -> str | None:
    labels = proof.labels
    names = [name for name in labels if any(m.label == name for m in proof.route.matchers)]
    return " ".join(f"{name}={labels[name]}" for name in names) or None


def _proof_json(proof: Proof, types: dict[str, str]) -> dict[str, Any]:
    return {
        "route": list(proof.path),
        "answer": proof.answer,
        "good": proof.good,
        "sentence": proof.sentence,
        "channels": list(proof.channels),
        "labels": dict(proof.labels),
        "messages": [
            {
                "channel": one.channel,
                "status": one.message.status,
                "title": one.message.title,
                "key": one.message.key,
                "payload": one.payload(types[one.channel]),
                "delivered": None if one.receipt is None else one.receipt.delivered,
                "error": None if one.receipt is None else one.receipt.error or None,
            }
            for one in proof.sent
        ],
    }
