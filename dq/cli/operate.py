"""Commands for operating dq: db, doctor."""

from __future__ import annotations

from pathlib import Path

import click

from dq.cli.options import EXIT_CODES, json_option, open_project, project_option, teach
from dq.cli.show import json_out, keep_stdout, out, table


@click.group(no_args_is_help=False)
def db() -> None:
    """Look after dq's own store."""


@db.command(
    short_help="Create or migrate the tables of dq's store.",
    epilog=teach(
        """
dq db upgrade                      after an update of dq
""",
        {0: "the store is up to date", 2: EXIT_CODES[2], 3: "the store could not be used"},
    ),
)
@project_option
def upgrade(*, project_path: Path | None) -> int:
    """Create or migrate the tables of dq's store."""
    from dq import app

    out(app.upgrade(open_project(project_path, quiet=True)))
    return 0


@click.command(
    short_help="Look whether all that a run needs is there.",
    epilog=teach(
        """
dq doctor
dq doctor --project shop
dq doctor --airflow                when all components of Airflow run
dq doctor --airflow http://airflow:8080
dq doctor --airflow here           in each of them, before it starts
""",
        {0: "all is well (there may be warnings)", 2: "the configuration is wrong", 3: "something is broken"},
    ),
)
@click.option(
    "--airflow",
    is_flag=False,
    flag_value="",
    metavar="[URL|here]",
    help="Look at the Airflow around dq, too: its version, executor, scheduler, DAG processor and triggerer. "
    "URL: of its API server; default: as it is configured. here: only at this component; nothing is connected.",
)
@json_option
@project_option
def doctor(*, airflow: str | None, as_json: bool, project_path: Path | None) -> int:
    """Look whether everything that a run needs is there: config, store, datasources, secrets, channels.

    Secrets are resolved to see that they are there; they are never shown.
    """
    from dq import app
    from dq.model.errors import ConfigError

    alone = airflow == "here"
    findings: tuple[app.Finding, ...] = ()
    if airflow is not None:
        keep_stdout()
        project_path, findings = app.doctor_of("airflow", project_path, None if alone else airflow)
    if not alone:
        try:
            findings = (*app.doctor(open_project(project_path, quiet=True)), *findings)
        except ConfigError as error:
            if airflow is None and not as_json:
                raise
            findings = (app.Finding("broken", "project", str(error)), *findings)
    broken = {finding.what for finding in findings if finding.state == "broken"}
    code = 2 if broken & {"project", "declarations", "channels"} else 3 if broken else 0
    if as_json:
        told = [{"state": f.state, "what": f.what, "sentence": f.sentence} for f in findings]
        json_out({"exit_code": code, "findings": told})
    else:
        table(("state", "what", "found"), [(f.state, f.what, f.sentence) for f in findings])
    return code
