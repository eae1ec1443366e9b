"""Commands for declaring: init, lint, explain."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dq.cli.options import day_option, json_option, open_project, project_option, teach, wanted_days
from dq.cli.show import clean, counted, fail, json_out, out, say, title

if TYPE_CHECKING:
    from dq.model.check import Check, Suite
    from dq.model.group import By
    from dq.model.reconciliation import Reconciliation
    from dq.model.severity import Severity


@click.command(
    short_help="Make a dq project.",
    epilog=teach(
        """
dq init                            in this folder
dq init shop                       in a new folder
""",
        {0: "the project is there", 2: "the folder is a dq project already, or cannot be written"},
    ),
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".", metavar="[DIR]")
def init(*, directory: Path) -> int:
    """Make a dq project in DIR: dq.toml, checks/, reports/, alerting/ and dags/.

    Its declarations are examples that pass dq lint. What is there already is kept.
    """
    from dq.scaffold import scaffold_files

    if (directory / "dq.toml").exists():
        fail(f"{directory} is a dq project already (it has a dq.toml)", 2)
    for name, content in sorted(scaffold_files().items()):
        path = directory / name
        if path.exists():
            say(f"kept     {path}")
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}", 2)
        out(f"created  {path}")
    where = "" if directory == Path() else f" in {directory}"
    say(f"Next{where}: say in dq.toml where your data lies; then dq doctor, dq lint, dq run --all")
    return 0


@click.command(
    short_help="Tell what is wrong with the declarations.",
    epilog=teach(
        """
dq lint
dq lint --project shop             a project elsewhere
dq lint --json                     for a pull request
dq lint --airflow dags             what Airflow 3 ignores in DAG files
""",
        {
            0: "all declarations are sound (there may be warnings)",
            2: "something is wrong with them, or in the DAG files; or wrong use",
        },
    ),
)
@click.option(
    "--airflow",
    "dags",
    type=click.Path(path_type=Path),
    metavar="DAGS_FOLDER",
    help="Tell also of every sla=, sla_miss_callback= and SubDagOperator in these DAG files.",
)
@json_option
@project_option
def lint(*, dags: Path | None, as_json: bool, project_path: Path | None) -> int:
    """Load every declaration offline and tell what is wrong with it, a sentence each: file, suite, check.

    A warning is a declaration that may not mean what its author thinks; it says what to write instead. No database is
    touched, but the dialect of each datasource must be known, so a url that is a reference needs a value.

    Airflow 3 still takes sla= and sla_miss_callback=, and does nothing with them: nobody is told when data is late.
    --airflow lists them, with file, line, DAG and task, and what to write in dq instead. The DAG files are read and not
    run; Airflow need not be installed. Where there is no dq project, only they are looked at.
    """
    from dq import app

    read = None if dags is None else app.lint_airflow(dags)
    project = (
        None if read is not None and project_path is None and _no_project() else open_project(project_path, quiet=True)
    )
    problems = (*(() if project is None else app.lint(project)), *(() if read is None else read.problems))
    wrong = sum(problem.level != "warning" for problem in problems)
    code = 2 if wrong else 0
    suites, reconciliations = (0, 0) if project is None else (len(project.suites), len(project.reconciliations))
    datasets = 0 if project is None else len(project.datasets)
    if as_json:
        sizes = {"suites": suites, "reconciliations": reconciliations, "datasets": datasets}
        if read is not None:
            sizes["dag_files"] = read.count
        json_out({"exit_code": code, **sizes, "problems": [problem.to_json() for problem in problems]})
        return code
    for problem in problems:
        out(clean(f"{problem.level}: {problem.sentence}"))
    loaded = f"{counted(suites, 'suite')} and {counted(reconciliations, 'reconciliation')} loaded"
    loaded = f"{counted(datasets, 'dataset')}, {loaded}" if datasets else loaded
    done = [] if project is None else [loaded]
    done += [] if read is None else [f"{counted(read.count, 'DAG file')} read"]
    say(f"{', '.join(done)}: {counted(wrong, 'problem')}, {counted(len(problems) - wrong, 'warning')}")
    return code


def _no_project() -> bool:
    """Return whether there is no project to be found from here, and none was asked for."""
    from dq.model.errors import ConfigError
    from dq.project import find_root

    try:
        find_root()
    except ConfigError:
        return not os.environ.get("DQ_HOME")
    return False


@click.command(
    short_help="Show what a suite would send, and the thresholds in force.",
    epilog=teach(
        """
dq explain orders
dq explain orders --date 2026-11-20
dq explain orders --dialect snowflake     for an engine not at hand
dq explain orders --estimate              what each statement would read
""",
        {
            0: "shown",
            2: "wrong use: there is no such suite, or its SQL is refused",
            3: "with --estimate: a database could not be asked",
        },
    ),
)
@click.argument("name", metavar="SUITE")
@day_option
@click.option(
    "--dialect",
    metavar="NAME",
    help="Write for this engine, e.g. bigquery; the datasources and their secrets are not looked at.",
)
@click.option(
    "--estimate", "estimated", is_flag=True, help="Ask the databases what each statement would read; it is not run."
)
@project_option
def explain(*, name: str, day: date | None, dialect: str | None, estimated: bool, project_path: Path | None) -> int:
    """Show the thresholds and defaults in force in SUITE, and the statements it would send and which checks share them.

    What is sent only for what the first statements found says so. No database is touched, unless --estimate asks it.
    SUITE can be a reconciliation too.
    """
    from dq import app
    from dq.model.check import Suite

    if dialect is not None and estimated:
        raise click.UsageError("--estimate asks the databases of dq.toml, and --dialect leaves them out; give one.")
    interval = wanted_days(day, None, None, app.judgement_time().date())
    project = open_project(project_path, [name])
    statements = app.explain(project, name, interval, dialect=dialect, estimated=estimated)
    declared = project.find(name)
    title(f"-- {name} {interval}, declared in {project.source_of(name)}")
    for line in _suite_in_force(declared) if isinstance(declared, Suite) else _reconciliation_in_force(declared):
        out(clean(f"--   {line}"))
    for statement in statements:
        out("")
        parts = [statement.title, statement.only_if]
        if estimated:
            parts.append("the database does not tell how much" if (e := statement.estimate) is None else f"reads {e}")
        title(f"-- {'; '.join(filter(None, parts))}; for: {', '.join(statement.checks)}")
        out(statement.sql.rstrip().rstrip(";") + ";")
    return 0


def _suite_in_force(suite: Suite) -> Iterator[str]:
    if labels := tuple(_labels(suite)):
        yield "every check that does not say otherwise: " + "; ".join(labels)
    for check in suite.checks:
        parts = [f"{check.name}: {check.kind}", _rungs(check.ladder), _defaults(check)]
        if check.kind.nulls:
            parts.append(
                {"fail": "a NULL fails", "pass": "a NULL passes", "skip": "NULLs are not looked at"}[check.nulls]
            )
        if check.where is not None:
            parts.append(f"where {check.where}; no row left: {check.on_empty_where or 'passes'}")
        if check.sampled is not None:
            parts.append(f"a sample of {float(100 * check.sampled):.10g}% of the rows")
        if check.certainty is not None:
            parts.append(f"a share is exceeded when that is {float(100 * check.certainty):.10g}% certain")
        if check.known is not None:
            parts.append(f"up to {check.known} violations are known and not counted")
        by = suite.by_of(check)
        if by is not None:
            parts.append(_who(by) + (" of the suite" if check.by is None else ""))
            parts += [f"{org}: {_rungs(check.ladder_of(org))}" for org in check.orgs]
        yield "; ".join([*parts, *_labels(check)])
    yield from _stands_on(suite)
    if suite.sla is not None:
        yield f"SLA: {suite.sla}, {suite.sla.consequences}"


def _stands_on(declared: Suite | Reconciliation) -> Iterator[str]:
    if declared.upstream:
        yield f"upstream, which must be well: {', '.join(declared.upstream)}"


def _damped(declared: Suite | Check | Reconciliation) -> Iterator[str]:
    if declared.for_runs is not None:
        yield f"told once it was bad in {declared.for_runs} runs"


def _labels(declared: Suite | Check) -> Iterator[str]:
    """Yield owner, runbook, tags, who is told and when, as declared here."""
    for label in ("owner", "runbook"):
        if value := getattr(declared, label):
            yield f"{label} {value}"
    if declared.tags:
        yield f"tags {', '.join(sorted(declared.tags))}"
    for severity, channels in declared.notify.items():
        yield f"from {severity} tells {', '.join(channels)}"
    yield from _damped(declared)


def _reconciliation_in_force(declared: Reconciliation) -> Iterator[str]:
    compared = ", ".join(stage.name for stage in declared.compared)
    yield f"baseline: {declared.baseline.name}; compared: {compared or 'at coarser levels only'}"
    yield f"allowed per org: {_rungs(declared.ladder)}; {_defaults(declared)}; {_who(declared.by)}"
    for stage in declared.compared:
        if stage.rungs:
            yield f"allowed per org at {stage.name}: {_rungs(declared.ladder_of(stage))}"
    for org, rungs in declared.ladders_of_orgs.items():
        yield f"allowed of org {org.label}: {_rungs(rungs)}"
    for level in declared.levels:
        here = declared.at(level)
        compared = ", ".join(stage.name for stage in here.compared)
        yield f"level {level.title}: compared: {compared}; allowed: {_rungs(here.ladder)}"
    if declared.confidence is not None:
        yield f"a share is exceeded at a confidence of {declared.confidence}"
    for known in declared.explained:
        allowed = f"; allowed: {_rungs(known.ladder)}" if known.is_judged else ""
        derived = ", derived, so it explains nothing by itself" if known.derived else ""
        yield f"explained: {known.name}{derived}{allowed}"
    yield from (*_damped(declared), *_stands_on(declared))
    if declared.sla is not None:
        yield f"SLA: {declared.sla}, {declared.sla.consequences}"


def _rungs(ladder: Iterable[tuple[Severity, object]]) -> str:
    return ", ".join(f"{severity} {threshold}" for severity, threshold in ladder)


def _defaults(declared: Check | Reconciliation) -> str:
    return f"no data: {declared.empty_severity or 'ok'}; not measured: {declared.error_severity}"


def _who(by: By) -> str:
    if by.expected is None:
        expected = "nobody expected"
    else:
        expected = f"expected: {by.expected}" if isinstance(by.expected, str) else f"{len(by.expected)} expected"
    least = f"; not judged with fewer than {by.min_rows} rows" if by.min_rows else ""
    return f"by {', '.join(by.columns)} ({expected}{least})"
