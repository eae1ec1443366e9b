"""Commands for routes: which of them take an incident, and whether each of them fires."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import EXIT_CODES, STORE_CODES, json_option, open_project, project_option, teach
from dq.cli.show import MUTED, json_out, out, say, table, title, warn

if TYPE_CHECKING:
    from dq.alerting.routing import Chosen, Place
    from dq.app import Explained, Proof


@click.command(
    "test-route",
    short_help="Explain which routes take an incident, and why.",
    epilog=teach(
        """
dq alerts test-route suite=orders severity=critical
dq alerts test-route suite=orders "check=amount is positive" org=14
dq alerts test-route kind=sla suite=orders --json
""",
        {0: "somebody would be told", **STORE_CODES, 4: "nobody would be told, or not now"},
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
        out(f"muted now: {MUTED[mute.why]}{mute.by}")
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


@click.command(
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
