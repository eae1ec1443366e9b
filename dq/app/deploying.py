"""Deploying: markers of what was changed and when, and which of them stand near the beginning of a loss."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from attrs import evolve
from sqlalchemy.engine import Connection

from dq import events
from dq.alerting.silences import a_name
from dq.app.session import in_transaction, judgement_time, transaction
from dq.deploys import JUST, Near, concerns, near
from dq.model.deploy import Deploy
from dq.model.errors import UsageError
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Ledger
from dq.model.reconciliation import Reconciliation
from dq.model.result import Result
from dq.model.severity import Outcome
from dq.project import Project
from dq.reports.discrepancy import count_text
from dq.reports.verdict import by_day
from dq.store import deploys, history

PARTITIONS_BEFORE = 14
"""So many partitions before the one that is bad are looked at for the first of them."""

STAGES_TOLD = 5
"""Of so many stages a report says since when they differ."""

_LONGEST = {"version": 120, "subject": 250}
_GIT_SECONDS = 60
_FORMAT = "%(refname:strip=2)%00%(creatordate:iso-strict)%00%(contents:subject)"


def mark(project: Project, made: Deploy, who: str, now: datetime | None = None) -> Deploy | None:
    """Write a deploy marker down; return it as it is stored, None: it was there already.

    Args:
        project: whose environment.
        made: what changed; its subject is one of the project, or a DAG.
        who: the name of a person.
        now: when that is said.

    Raises:
        UsageError: when nothing is told, it is still to come, a name is too long, or there is no such subject.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    return in_transaction(project, write, project.environment, _sound(project, made, who, now), now)


def _sound(project: Project, made: Deploy, who: str, now: datetime) -> Deploy:
    """Return a marker as it is stored.

    Raises:
        UsageError: as ``mark`` says.
    """
    if not made.text.strip():
        raise UsageError("nothing is marked: give a text")
    if made.at > now:
        raise UsageError(f"a deploy marker says what was changed, and {made.at:%Y-%m-%d %H:%M}Z is still to come")
    for what, most in _LONGEST.items():
        if len(getattr(made, what)) > most:
            raise UsageError(f"the {what} is longer than {most} characters")
    if made.kind == "subject" and made.subject not in project.datasets:
        project.find(made.subject)
    return evolve(made, text=" ".join(made.text.split()), author=a_name(who))


def write(connection: Connection, environment: str, made: Deploy, now: datetime) -> Deploy | None:
    """Write a marker and its event in the transaction of the caller; None: it was there already."""
    stored = deploys.add(connection, environment, made, now)
    if stored is not None:
        body = {
            "deploy": stored.id,
            "at": stored.at.isoformat(),
            "version": stored.version,
            "text": stored.text,
            "kind": stored.kind,
            "source": stored.source,
            "by": stored.author,
        }
        subject = stored.subject[:190] or "*"
        events.append(connection, environment, events.EventName.DEPLOYED, subject, body, now)
    return stored


def marked(project: Project, limit: int) -> tuple[Deploy, ...]:
    """Return the newest deploy markers, newest first.

    Raises:
        StoreError: when the store cannot be used.
    """
    with transaction(project) as connection:
        return deploys.newest(connection, project.environment, limit)


def mark_tags(
    project: Project, repository: Path, who: str, *, like: Deploy, match: str = "*", now: datetime | None = None
) -> tuple[tuple[Deploy, ...], int]:
    """Write a marker down for each tag of a git repository, with its date; return the new ones, and how many there are.

    The date is that of the tag, of one without a message that of its commit. What is there already stays.

    Args:
        project: whose environment.
        repository: a folder of it.
        who: the name of a person.
        like: what the markers are about.
        match: only tags that look like this, e.g. ``v*``.
        now: when that is said; tags with a later date are left out.

    Raises:
        UsageError: when git is not installed, does not know the repository, or there is no such subject.
        StoreError: when the store cannot be used.
    """
    now = now or judgement_time()
    tags = [evolve(like, version=v, at=at, text=text or v, source="git") for v, at, text in _tags(repository, match)]
    sound = [_sound(project, tag, who, now) for tag in tags if tag.at <= now]

    def work(connection: Connection) -> tuple[Deploy, ...]:
        stored = (write(connection, project.environment, tag, now) for tag in sound)
        return tuple(tag for tag in stored if tag is not None)

    return in_transaction(project, work), len(sound)


def _tags(repository: Path, match: str) -> list[tuple[str, datetime, str]]:
    """Return name, date and first line of each tag, oldest first."""
    git = shutil.which("git")
    if git is None:
        raise UsageError("git is not installed here, or not on the PATH; `dq deploys add` needs none")
    command = [git, "-C", str(repository), "for-each-ref", "--sort=creatordate", f"--format={_FORMAT}"]
    try:
        done = subprocess.run(  # noqa: S603  # the words are ours; the pattern begins with refs/tags/, so it is no option
            [*command, f"refs/tags/{match}"],
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
            env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be asked for the tags of {repository}: {type(error).__name__}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"it ended with {done.returncode}"]
        raise UsageError(f"git cannot list the tags of {repository}: {said[0]}")
    found = (line.split("\0") for line in done.stdout.decode(errors="replace").splitlines() if line)
    return [(name, datetime.fromisoformat(at).astimezone(UTC), text) for name, at, text in found if at]


# ------------------------------------------------------------------------------------------- the beginning of a loss


def near_of(
    connection: Connection, project: Project, declared: Reconciliation, firsts: Iterable[Interval]
) -> dict[Interval, tuple[Near, ...]]:
    """Return the markers near each of some partitions in which something is first seen."""
    wanted = set(firsts)
    if not wanted:
        return {}
    start, end = min(one.start for one in wanted) - JUST, max(one.end for one in wanted)
    found = deploys.between(connection, project.environment, start, end)
    dags = history.dags_of(connection, project.environment, declared.name) if found else frozenset()
    mine = [one for one in found if concerns(one, declared, dags)]
    return {first: near(mine, first) for first in wanted}


def since_when(connection: Connection, project: Project, declared: Reconciliation, ledger: Ledger) -> tuple[str, ...]:
    """Return since when each stage of a ledger differs that is not well, by its worst org, and what changed.

    The stored runs of the partitions before tell. A look back over many partitions has nothing to add to its rows.
    """
    if by_day(ledger):
        return ()
    worst: dict[str, Result] = {}
    for result in ledger.results:  # of each stage the worst org stands first
        if result.group is not None and result.outcome is Outcome.FAIL:
            worst.setdefault(result.check, result)
    told = list(worst.items())[:STAGES_TOLD]
    begun = {
        stage: history.first_bad(
            connection, project.environment, declared.name, ledger.interval, result, PARTITIONS_BEFORE
        )
        for stage, result in told
    }
    markers = near_of(connection, project, declared, (first for first, how in begun.values() if how != "longer"))
    orgs = {result.check: result for result in ledger.results if result.group is None}
    headings = {stage.name: stage.heading for stage in declared.stages}
    return tuple(
        _sentence(headings.get(stage, stage), result, orgs.get(stage), *begun[stage], markers.get(begun[stage][0], ()))
        for stage, result in told
    )


def _sentence(
    heading: str, worst: Result, whole: Result | None, first: Interval, how: history.Beginning, markers: Iterable[Near]
) -> str:
    org = worst.group.label if isinstance(worst.group, Group) else ""
    number = worst.observed
    what = "too many" if isinstance(number, int) and number < 0 else "missing"
    size = count_text(worst.violations)
    scope = ""
    if whole is not None and whole.orgs and whole.orgs_bad:
        every = 1 < whole.orgs == whole.orgs_bad
        scope = f", in all {whole.orgs} orgs" if every else f", in {whole.orgs_bad} of {whole.orgs} orgs"
    since = {
        "known": f"since {first}",
        "unknown": f"seen since {first}, the partition before was not measured",
        "longer": f"since {first} or longer",
    }[how]
    facts = "".join(f"; {one}" for one in markers)
    return f"{heading}: org {org} ({size} {what}) {since}{scope}{facts}"
