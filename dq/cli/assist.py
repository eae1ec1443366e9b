"""Commands that help to begin: suggest, and selfcheck for an engine."""

from __future__ import annotations

import signal
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.options import day_option, json_option, open_project, project_option, teach
from dq.cli.show import counted, fail, json_out, out, say, table

if TYPE_CHECKING:
    from fractions import Fraction


def _share(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    """Return ``10%`` or ``0.1`` as an exact share."""
    from fractions import Fraction

    if value is None:
        return None
    try:
        share = Fraction(value[:-1]) / 100 if value.endswith("%") else Fraction(value)
    except (ValueError, ZeroDivisionError):
        share = Fraction(0)
    if not 0 < share < 1:
        raise click.BadParameter(f"{value!r} is not a share between 0 and 1; write e.g. 10%")
    return share


@click.command(
    short_help="Write checks for a table, from its data.",
    epilog=teach(
        """
dq suggest sales.orders --output checks/orders.py
dq suggest sales.orders --partition created_at    for one day
dq suggest orders --datasource shop --where "state <> 'test'"
dq suggest events --sample 1%                     of a large table
""",
        {
            0: "written",
            2: "wrong use: no such datasource, or the file is there already",
            3: "the table is not there, cannot be read, or has no rows",
        },
    ),
)
@click.argument("table_name", metavar="TABLE")
@click.option("--datasource", metavar="NAME", help="Where TABLE lies. Default: the only one in dq.toml.")
@click.option("--where", metavar="SQL", help="Only the rows for which this is true belong to the table.")
@click.option("--partition", metavar="COLUMN", help="The column by which runs pick their day; one day is looked at.")
@day_option
@click.option("--sample", callback=_share, metavar="SHARE", help="Learn from a share of the rows, e.g. 5%.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write there instead of stdout."
)
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@project_option
def suggest(
    *,
    table_name: str,
    datasource: str | None,
    where: str | None,
    partition: str | None,
    day: date | None,
    sample: Fraction | None,
    output: Path | None,
    force: bool,
    project_path: Path | None,
) -> int:
    """Look at TABLE once and write a file of checks whose thresholds come from its data, to be read and changed.

    The file loads, dq lint passes it, and it holds on the rows it was made from. Of columns that look as if they held
    personal data no value is written. With --sample, columns are learned from some of the rows, and what is suggested
    is measured on all of them. --date chooses the day of --partition; by default the newest that is over.
    """
    from dq import app

    if day is not None and partition is None:
        raise click.UsageError("--date needs --partition, the column by which a day is picked.")
    if output is not None and output.exists() and not force:
        fail(f"{output} is there already; give --force to overwrite it", 2)
    project = open_project(project_path, quiet=True)
    own = None
    if output is not None and output.absolute().is_relative_to(project.root):
        own = output.absolute().relative_to(project.root).as_posix()
    made = app.suggest(
        project, table_name, datasource, where=where, partition=partition, day=day, sample=sample, output=own
    )
    looked = counted(made.rows, "row") + ("" if made.interval is None else f" of {made.interval}")
    said = f"{counted(made.checks, 'check')} from {looked}"
    if output is None:
        out(made.text.rstrip("\n"))
        say(said)
        return 0
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(made.text)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}", 2)
    say(f"{output}: suite {made.suite} with {said}; read it, then dq lint, dq run {made.suite}")
    return 0


@click.command(
    short_help="Try every kind of check on an engine.",
    epilog=teach(
        """
dq selfcheck warehouse --schema scratch
dq selfcheck lake --schema main --json
""",
        {
            0: "everything holds, or dq says that the engine cannot do it",
            1: "something was found that is not there, or not found",
            2: "wrong use: no such datasource, or it is not marked write = true",
            3: "the engine broke a statement, or the tables cannot be made",
        },
    ),
)
@click.argument("datasource", metavar="DATASOURCE")
@click.option("--schema", required=True, metavar="NAME", help="Where its tables are made; SQLite and DuckDB: main.")
@json_option
@project_option
def selfcheck(*, datasource: str, schema: str, as_json: bool, project_path: Path | None) -> int:
    """Make two small tables in a schema, ask every kind of check about them, and show where an answer is wrong.

    The tables are called dq_selfcheck_things and dq_selfcheck_others. They are dropped in the end, also after Ctrl-C;
    what a killed run left is dropped by the next one. DATASOURCE needs write = true in dq.toml.
    """
    from dq import app

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the tables are taken away
    project = open_project(project_path, quiet=True)
    kinds = app.selfcheck(project, datasource, schema)
    states = {kind.state for kind in kinds}
    code = 3 if "broken" in states else 1 if "differs" in states else 0
    if as_json:
        rows = [{"kind": k.kind, "state": k.state, "cases": k.cases, "sentence": k.said} for k in kinds]
        json_out({"exit_code": code, "datasource": datasource, "schema": schema, "kinds": rows})
        return code
    table(("kind", "state", "cases", "found"), [(k.kind, k.state, k.cases, k.said or None) for k in kinds], right=(2,))
    good = sum(k.state == "holds" for k in kinds)
    say(f"{datasource}: {good} of {counted(len(kinds), 'kind')} hold in {sum(k.cases for k in kinds)} cases")
    return code
