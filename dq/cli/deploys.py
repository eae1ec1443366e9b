"""Commands about deploy markers: deploys add, list, import-tags."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import (
    STORE_CODES,
    Command,
    by_option,
    json_option,
    open_project,
    project_option,
    teach,
    time_option,
    who,
)
from dq.cli.show import clock, counted, json_out, say, table

if TYPE_CHECKING:
    from dq.model.deploy import Deploy


def _about_options(command: Command) -> Command:
    """Add ``--dag`` and ``--subject``."""
    command = click.option("--subject", metavar="NAME", help="The suite, reconciliation or dataset.")(
        command
    )
    return click.option("--dag", metavar="ID", help="The DAG that it is about. Default: all.")(command)


def _about(dag: str | None, subject: str | None) -> dict[str, Any]:
    if dag is not None and subject is not None:
        raise click.UsageError("A marker is about a DAG or about a subject; give one of --dag and --subject.")
    if "" in (dag, subject):
        raise click.UsageError("--dag and --subject name something; leave them out for what is about everything.")
    return {"kind": "dag" if dag else "subject" if subject else "", "subject": dag or subject or ""}


@click.group(no_args_is_help=False)
def deploys() -> None:
    """Mark what was changed and when: reports name what stands just before a loss.

    What `dq announce` tells a channel of type pagerduty_change is a marker, too.
    """


@deploys.command(
    "add",
    short_help="Mark a change.",
    epilog=teach(
        """
dq deploys add "loader with the new parser" --version 2.4.1
dq deploys add "retention: 30 days" --at 2026-11-19T14:02Z --subject orders
""",
        {0: "it is marked", **STORE_CODES},
    ),
)
@click.argument("text")
@time_option("--at", help_text="When it came into force, with a zone. Default: now.")
@click.option("--version", default="", metavar="TEXT", help="The name of the version.")
@_about_options
@by_option
@project_option
def add(
    *,
    text: str,
    at: datetime | None,
    version: str,
    dag: str | None,
    subject: str | None,
    by: str | None,
    project_path: Path | None,
) -> int:
    """Mark a change, TEXT says which; nobody is told, `dq announce` does that."""
    from dq import app
    from dq.model.deploy import Deploy

    about = _about(dag, subject)
    now = app.judgement_time()
    made = Deploy(at=at or now, text=text, version=version, **about)
    stored = app.mark(open_project(project_path), made, who(by), now)
    say(f"marked: {stored}" if stored is not None else f"it is marked already: {made}")
    return 0


@deploys.command(
    "list",
    short_help="List what is marked.",
    epilog=teach("\ndq deploys list\ndq deploys list --json\n", {0: "shown", **STORE_CODES}),
)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many, newest first.")
@json_option
@project_option
def list_(*, limit: int, as_json: bool, project_path: Path | None) -> int:
    """List the deploy markers, newest first."""
    from dq import app

    project = open_project(project_path)
    found = app.marked(project, limit)
    if as_json:
        json_out({"exit_code": 0, "environment": project.environment, "deploys": [deploy_json(one) for one in found]})
    elif found:
        heads = ("at", "version", "about", "from", "by", "what")
        table(heads, [(clock(d.at), d.version or None, _whom(d), d.source, d.author or None, d.text) for d in found])
    else:
        say(f"nothing is marked in environment {project.environment!r}")
    return 0


def _whom(one: Deploy) -> str:
    return f"DAG {one.subject}" if one.kind == "dag" else one.subject or "everything"


def deploy_json(one: Deploy) -> dict[str, Any]:
    """Return the documented JSON form of a marker."""
    return {
        "at": one.at.isoformat(),
        "version": one.version or None,
        "text": one.text,
        "dag": one.subject if one.kind == "dag" else None,
        "subject": one.subject if one.kind == "subject" else None,
        "source": one.source,
        "by": one.author or None,
    }


@deploys.command(
    "import-tags",
    short_help="Mark the tags of a git repository.",
    epilog=teach(
        """
dq deploys import-tags                   the repository that lies here
dq deploys import-tags ../loader --match 'v*' --dag load_orders
""",
        {0: "they are marked", **STORE_CODES},
    ),
)
@click.argument("repository", type=click.Path(path_type=Path), default=Path())
@click.option("--match", default="*", show_default=True, metavar="PATTERN", help="Only tags that look like this.")
@_about_options
@by_option
@project_option
def import_tags(
    *,
    repository: Path,
    match: str,
    dag: str | None,
    subject: str | None,
    by: str | None,
    project_path: Path | None,
) -> int:
    """Mark each tag of a git REPOSITORY with its date; what is marked already stays, so it can be repeated."""
    from dq import app
    from dq.model.deploy import Deploy

    like = Deploy(at=app.judgement_time(), text="", **_about(dag, subject))
    new, count = app.mark_tags(open_project(project_path), repository, who(by), like=like, match=match)
    for one in new[-3:]:
        say(f"marked: {one}")
    say(f"{counted(count, 'tag')}, {len(new)} of them new")
    return 0
