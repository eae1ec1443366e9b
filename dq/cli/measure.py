"""Commands that measure, and that show what was measured: run, reconcile, report, history."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dq.cli.deploys import deploy_json
from dq.cli.options import (
    EXIT_CODES,
    date_option,
    days_options,
    files_options,
    json_option,
    open_project,
    project_option,
    severity,
    stop_option,
    teach,
    telling_options,
    wanted_days,
)
from dq.cli.show import counted, json_out, out, progress, run_table, say, table, title, verdict, warn

if TYPE_CHECKING:
    from dq.attribution import Attribution
    from dq.model.group import Group
    from dq.model.interval import Interval
    from dq.model.ledger import Ledger, LedgerRow, Rest
    from dq.model.result import Run
    from dq.model.severity import Severity
    from dq.project import Project
    from dq.reports import Rendered

_ORDER = (2, 3, 1, 4, 0)
_Todo = Sequence[tuple[str, "Interval"]]


def worst(codes: Iterable[int]) -> int:
    """Return the exit code of a command of which several hold: the first of 2, 3, 1, 4."""
    return min(codes, key=_ORDER.index, default=0)


@click.command(
    short_help="Measure and judge the checks of a suite.",
    epilog=teach(
        """
dq run orders                                 yesterday (UTC)
dq run orders payments --date 2026-11-20      two suites, one day
dq run --all --stop-at critical               everything
dq run orders --from 2026-11-01               a run per day
dq run orders --from 2026-11-01 --only-bad    after a mended load
dq run orders --json > orders.json            one JSON document
dq run orders --no-store                      a try that nobody hears of
""",
        EXIT_CODES,
    ),
)
@click.argument("names", nargs=-1, metavar="[SUITE]...")
@click.option("--all", "everything", is_flag=True, help="Run every suite and reconciliation of the project.")
@days_options
@click.option("--only-bad", is_flag=True, help="Of --from/--to: only days whose latest stored run was not good.")
@stop_option
@json_option
@telling_options
@project_option
def run(
    *,
    names: tuple[str, ...],
    everything: bool,
    day: date | None,
    first: date | None,
    last: date | None,
    only_bad: bool,
    stop_at: str,
    as_json: bool,
    no_store: bool,
    no_alert: bool,
    project_path: Path | None,
) -> int:
    """Measure and judge the checks of SUITE, for one day or for each of several, record it, and tell who must know.

    SUITE can be a reconciliation too.
    """
    from dq import app

    if everything is bool(names):
        raise click.UsageError("Give names or --all, not both." if names else "Name what to run, or give --all.")
    if only_bad and first is None:
        raise click.UsageError("--only-bad chooses among several days; give --from too.")
    interval = wanted_days(day, first, last, app.judgement_time().date())
    project = open_project(project_path, names)
    wanted = [*project.suites, *project.reconciliations] if everything else list(dict.fromkeys(names))
    todo: _Todo = [(name, one) for one in interval.days() for name in wanted]
    if first is None:
        todo = [(name, one) for name, day in todo for one in _with_lookback(project, name, day)]
    level = severity(stop_at)
    if only_bad:
        todo = list(_only_bad(project, todo, level))
    alert = not (no_store or no_alert)
    runs, codes = _measure(project, todo, level, store=not no_store, alert=alert)
    if everything and project.failures:
        codes.append(2)  # --all asked for what did not load too
    if alert:
        codes.append(pumped(project))
    code = worst(codes)
    if not as_json:
        for done in runs:
            run_table(done, level)
    elif first is not None or everything or len(todo) > 1:
        json_out({"exit_code": code, "runs": [done.to_json(level) for done in runs]})
    elif runs:
        json_out(runs[0].to_json(level) | {"exit_code": code})
    return code


def _with_lookback(project: Project, name: str, interval: Interval) -> tuple[Interval, ...]:
    from dq import app

    known = name in project.suites or name in project.reconciliations
    return app.partitions(project, name, interval) if known else (interval,)  # what is unknown is told when it is run


def _only_bad(project: Project, todo: _Todo, level: Severity) -> Iterator[tuple[str, Interval]]:
    """Yield what of ``todo`` was not good when it was last run; say how much was never run."""
    from dq import app

    unknown = bad = 0
    for name, interval in todo:
        latest = app.latest_run(project, name, interval)
        if latest is None:
            unknown += 1
        elif latest.exit_code(level) != 0:
            bad += 1
            yield name, interval
    if unknown:
        warn(f"{unknown} of {len(todo)} have no stored run and are left out; run them without --only-bad")
    if not bad:
        say(f"nothing to repeat: none of {len(todo) - unknown} stored runs was not good")


def _measure(
    project: Project, todo: _Todo, level: Severity, *, store: bool, alert: bool
) -> tuple[list[Run], list[int]]:
    """Run all of ``todo``; what cannot run is told and does not stop the others, unless the store is at fault."""
    from dq import app
    from dq.model.errors import DqError, StoreError

    runs: list[Run] = []
    codes: list[int] = []
    with progress(len(todo)) as steps:
        for name, interval in todo:
            began = time.monotonic()
            try:
                done = app.run(project, name, interval, store=store, alert=alert, progress=steps.doing)
            except StoreError:
                raise
            except DqError as error:
                codes.append(error.exit_code)
                steps.done(f"dq: {name} {interval}: {error}")
                continue
            runs.append(done)
            codes.append(int(done.exit_code(level)))
            steps.done(f"{name} {interval}: {verdict(done, level)} ({time.monotonic() - began:.1f}s)")
    return runs, codes


def pumped(project: Project) -> int:
    """Send what is due; return 4, and say why, when something could not be delivered."""
    from dq import app

    report = app.pump(project)
    for problem in (*report.problems, *report.reasons):
        warn(problem)
    if report.undelivered:
        say("dq: alerts could not be delivered; dq alerts pump tries again")
    return 4 if report.undelivered else 0


@click.command(
    short_help="Compare the stages of a pipeline, org by org.",
    epilog=teach(
        """
dq reconcile pipeline                         yesterday (UTC)
dq reconcile pipeline --from 2026-11-01       many days at once
dq reconcile pipeline --why                   where they are lost, and how
dq reconcile pipeline --why --keys            and what counts cannot tell
dq reconcile pipeline --html report.html      and the discrepancy e-mail
dq reconcile pipeline --json > ledger.json    one JSON document, every org
dq reconcile pipeline --keys --org 14         which records are missing
""",
        EXIT_CODES,
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@days_options
@stop_option
@json_option
@files_options
@click.option("--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Rows to print; 0: all.")
@click.option(
    "--why",
    "wants_why",
    is_flag=True,
    help="Count the days around again, and say at which hop records are lost, what became of them, and since when.",
)
@click.option(
    "--keys",
    is_flag=True,
    help="List the keys that stages do not share; nothing is recorded. With --why: they tell what counts cannot.",
)
@click.option("--org", help="With --keys: only this org, as the ledger shows it.")
@click.option("--stage", "stages", multiple=True, metavar="STAGE", help="With --keys: this stage. Default: each.")
@click.option("--distinct", is_flag=True, help="With --keys: equal rows of one stage count once.")
@telling_options
@project_option
def reconcile(
    *,
    names: tuple[str, ...],
    day: date | None,
    first: date | None,
    last: date | None,
    stop_at: str,
    as_json: bool,
    html: Path | None,
    eml: Path | None,
    limit: int,
    wants_why: bool,
    keys: bool,
    org: str | None,
    stages: tuple[str, ...],
    distinct: bool,
    no_store: bool,
    no_alert: bool,
    project_path: Path | None,
) -> int:
    """Count records per org at every stage of NAME, judge what is missing or too much, print the ledger, worst first.

    Several days are one comparison, day by day; it looks back, so it pages nobody.

    With --keys: list the keys that only the baseline or only a stage has, those that one of them has more often, and
    those with other values; exit with 1 when there are any.
    """
    from dq import app

    wanted = list(dict.fromkeys(names))
    lists_keys = keys and not wants_why
    if not lists_keys and (org is not None or stages or distinct):
        instead = "--why --keys looks at all of them" if keys else "give --keys too"
        raise click.UsageError(f"--org, --stage and --distinct say which keys are compared; {instead}.")
    if lists_keys and (len(wanted) > 1 or html or eml):
        raise click.UsageError("--keys lists the keys of one reconciliation, without a ledger or a report.")
    if len(wanted) > 1 and (html or eml):
        raise click.UsageError("--html and --eml write one report; name one reconciliation.")
    interval = wanted_days(day, first, last, app.judgement_time().date())
    project = open_project(project_path, wanted)
    if lists_keys:
        from dq.cli.keys import compare_keys

        name = wanted[0]
        return compare_keys(
            project, name, interval, org=org, stages=stages, distinct=distinct, limit=limit, as_json=as_json
        )
    level = severity(stop_at)
    alert = not (no_store or no_alert)
    found: list[tuple[Run, Ledger]] = []
    reasons: dict[str, tuple[Attribution, ...]] = {}
    with progress(len(wanted)) as steps:
        for name in wanted:
            steps.doing(f"{name} {interval}")
            if wants_why:
                reasons[name] = app.why(project, name, interval, keys=keys)
            found.append(app.reconcile(project, name, interval, store=not no_store, alert=alert))
            steps.done(f"{name} {interval}: {verdict(found[-1][0], level)}")
    if html or eml:
        _write(app.render_ledger(found[0][1], None if no_store else project), html, eml)
    codes = [int(done.exit_code(level)) for done, _ in found]
    code = worst([*codes, pumped(project) if alert else 0])
    documents = [
        done.to_json(level)
        | {"ledger": ledger_json(ledger)}
        | ({"why": [_reason_json(one) for one in reasons[done.suite]]} if wants_why else {})
        for done, ledger in found
    ]
    if not as_json:
        for done, ledger in found:
            _ledger_table(ledger, done, level, limit)
            if wants_why:
                _reasons(reasons[done.suite], limit)
                if not keys and any(one.kind == "cannot tell" for one in reasons[done.suite]):
                    out("--why --keys looks at the keys, too, where the stages have some")
    elif len(found) > 1:
        json_out({"exit_code": code, "runs": documents})
    else:
        json_out(documents[0] | {"exit_code": code})
    return code


def _ledger_table(ledger: Ledger, done: Run, level: Severity, limit: int) -> None:
    from dq.reports.discrepancy import all_rows, loss_text

    said = verdict(done, level)
    title(f"{ledger.pipeline} {ledger.interval} ({ledger.environment}): {said}", good=said == "good")
    for name, total, why in ledger.totals:
        out(f"{name}: {total if total is not None else f'could not be measured: {why}'}")
    for summary in done.summaries:
        out(f"{summary.check}: {summary.outcome}: {summary.sentence}")
    for known in ledger.losses:
        out(loss_text(known))
    by_day = len({row.interval for row in ledger.rows}) > 1 or (ledger.rest is not None and ledger.rest.by_day)
    headings = ["day", "org"] if by_day else ["org"]
    names = len(headings)
    headings += [f"{column.heading} (derived)" if column.derived else column.heading for column in ledger.columns]
    every = all_rows(ledger)
    shown = every[:limit] if limit else every
    rows = [(*([row.interval] if by_day else []), row.org.label, *_cells(ledger, row)) for row in shown]
    table([*headings, "severity", "notes"], rows, right=range(names, len(headings)))
    if len(shown) < len(every):
        out(f"and {len(every) - len(shown)} rows that are no worse; --limit 0 shows all")
    if ledger.rest is not None:
        some = f"; {ledger.rest.differing} of them differ by no more than is allowed" if ledger.rest.differing else ""
        out(f"and {ledger.rest.rows} others that are well{some}")
    for coarser in ledger.levels:
        _level_table(coarser, limit)
    for interval, sentence in ledger.still_bad:
        out(f"still not good: {interval}: {sentence}")
    out("")


def _level_table(ledger: Ledger, limit: int) -> None:
    """Show what is not well at a coarser level."""
    from dq.reports.discrepancy import all_rows

    every = [row for row in all_rows(ledger) if row.severity is not None]
    shown = every[:limit] if limit else every
    if not every:
        return
    out("")
    out(f"{ledger.pipeline}:")
    headings = ["day", "org", *(column.heading for column in ledger.columns), "severity", "notes"]
    rows = [(row.interval, row.org.label, *_cells(ledger, row)) for row in shown]
    table(headings, rows, right=range(2, len(headings) - 2))
    if len(shown) < len(every):
        out(f"and {len(every) - len(shown)} more that are not well; --limit 0 shows all")


def _reasons(reasons: Sequence[Attribution], limit: int) -> None:
    shown = reasons[:limit] if limit else reasons
    hops = [(r.difference.org.label, f"{r.difference.start} to {r.difference.stage}") for r in shown]
    rows = [(*hop, *_became(r), _since(r), _scope(r), _near(r)) for hop, r in zip(hops, shown, strict=True)]
    if not rows:
        out("no org differs at any hop")
        return
    heads = ("org", "hop", "records", "became", "since", "orgs", "changed")
    marked = any(r.near for r in shown)
    table(heads if marked else heads[:-1], rows if marked else [row[:-1] for row in rows])
    if len(shown) < len(reasons):
        out(f"and {len(reasons) - len(shown)} smaller ones; --limit 0 shows all")
    out("")


def _became(reason: Attribution) -> tuple[str, str]:
    from dq.model.names import first_of
    from dq.reports.discrepancy import count_text

    missing = reason.difference.missing
    about = "about " if reason.estimated else ""
    lost = missing > 0
    number = f"{about}{count_text(missing if lost else -missing)} {'missing' if lost else 'too many'}"
    if reason.records is not None and not missing:
        number = f"{about}{count_text(reason.records)} with other values"
    elif reason.records is not None and reason.records != abs(missing):
        number += f" in {counted(reason.records, 'record')}"
    where = ""
    if reason.others:
        where = f" {'to' if lost else 'from'} {first_of([org.label for org in reason.others], 3)}"
    if reason.day is not None:
        where += f" {'to' if lost else 'from'} {reason.day}"
    return number, f"{reason.kind}{where}"


def _since(reason: Attribution) -> str:
    return f"{reason.since}{' or longer' if reason.or_longer else ''}"


def _near(reason: Attribution) -> str:
    return "; ".join(map(str, reason.near))


def _scope(reason: Attribution) -> str:
    if 1 < reason.of_orgs <= reason.orgs:
        return f"all {reason.of_orgs}"
    return f"{'only this one' if reason.orgs == 1 else reason.orgs} of {reason.of_orgs}"


def _reason_json(reason: Attribution) -> dict[str, Any]:
    one = reason.difference
    return {
        "org": _org_json(one.org),
        "from": one.start,
        "to": one.stage,
        "missing": _number(one.missing),
        "kind": str(reason.kind),
        "other_org": None if reason.org is None else _org_json(reason.org),
        "other_orgs": [_org_json(org) for org in reason.others],
        "other_partition": None if reason.day is None else reason.day.to_json(),
        "since": reason.since.to_json(),
        "or_longer": reason.or_longer,
        "orgs": reason.orgs,
        "of_orgs": reason.of_orgs,
        "deploys": [{**deploy_json(one.deploy), "inside": one.inside} for one in reason.near],
        "records": reason.records,
        "estimated": reason.estimated,
    }


def _org_json(org: Group) -> dict[str, str | None]:
    return dict(zip(org.columns, org.values, strict=True))


def _cells(ledger: Ledger, row: LedgerRow) -> Iterator[str | None]:
    from dq.reports.discrepancy import count_text, share_text

    numbers: dict[str, Mapping[str, Any]] = {"count": row.counts, "explained": row.explained}
    numbers["discrepancy"] = row.discrepancy
    for column in ledger.columns:
        # A number is not there where its stage was not counted, or no stage has the org.
        if column.kind == "share":
            yield share_text(row.share[column.name]) if column.name in row.share else None
        else:
            yield count_text(numbers[column.kind][column.name]) if column.name in numbers[column.kind] else None
    yield None if row.severity is None else str(row.severity)
    yield "; ".join(row.notes)


def ledger_json(ledger: Ledger) -> dict[str, Any]:
    """Return the documented JSON form of a ledger."""
    return {
        "pipeline": ledger.pipeline,
        **_rows_json(ledger),
        "totals": [
            {"name": name, "count": _number(count), "problem": why or None} for name, count, why in ledger.totals
        ],
        "levels": [{"title": level.pipeline, **_rows_json(level)} for level in ledger.levels],
        "losses": [{"name": k.name, "count": _number(k.count), "sample": k.sample or None} for k in ledger.losses],
        "still_bad": [{"partition": interval.to_json(), "sentence": text} for interval, text in ledger.still_bad],
    }


def _rows_json(ledger: Ledger) -> dict[str, Any]:
    from dq.reports.discrepancy import all_rows

    return {
        "columns": [
            {"kind": c.kind, "name": c.name, "heading": c.heading, "derived": c.derived} for c in ledger.columns
        ],
        "rows": [
            {
                "partition": row.interval.to_json(),
                "org": _org_json(row.org),
                "counts": {name: _number(count) for name, count in row.counts.items()},
                "explained": {name: _number(count) for name, count in row.explained.items()},
                "discrepancy": {name: _number(count) for name, count in row.discrepancy.items()},
                "share": {name: None if share is None else float(share) for name, share in row.share.items()},
                "severity": None if row.severity is None else str(row.severity),
                "accepted": row.accepted,
                "notes": list(row.notes),
            }
            for row in all_rows(ledger)
        ],
        "rest": None if ledger.rest is None else _rest_json(ledger.rest),
    }


def _rest_json(rest: Rest) -> dict[str, Any]:
    return {
        "rows": rest.rows,
        "differing": rest.differing,
        "counts": {name: _number(count) for name, count in rest.counts.items()},
        "explained": {name: _number(count) for name, count in rest.explained.items()},
        "discrepancy": {name: _number(count) for name, count in rest.discrepancy.items()},
    }


def _number(count: Any) -> int | float | None:
    return count if count is None or isinstance(count, int) else float(count)


@click.command(
    short_help="Write the discrepancy e-mail of a reconciliation, or the digest of all.",
    epilog=teach(
        """
dq report                                 the digest of the environment
dq report --html digest.html --send
dq report pipeline                        the latest discrepancy e-mail
dq report pipeline --date 2026-11-20 --html report.html
dq report pipeline --eml report.eml --send
dq report pipeline --csv rows.csv.gz          all rows, as in the mail
dq report pipeline --org 14                   what the mail to org 14 says
""",
        {
            0: "written",
            2: "wrong use, or nothing is stored for that day",
            3: "the store could not be used",
            4: EXIT_CODES[4],
        },
    ),
)
@click.argument("name", required=False)
@date_option("--date", "day", help_text="The UTC day of the run. Default: the latest stored one.")
@click.option("--owner", metavar="NAME", help="Only what the owner NAME is mailed.")
@click.option("--org", help="Only what this org is mailed, as the ledger shows it.")
@files_options
@click.option(
    "--csv",
    "rows",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write all rows as CSV; gzipped where FILE ends in .gz.",
)
@click.option("--send", is_flag=True, help="Send it, as to=, to_owners=, to_orgs= or [digest] say.")
@project_option
def report(
    *,
    name: str | None,
    day: date | None,
    owner: str | None,
    org: str | None,
    html: Path | None,
    eml: Path | None,
    rows: Path | None,
    send: bool,
    project_path: Path | None,
) -> int:
    """Write the discrepancy e-mail of NAME again, from the stored ledger; nothing is measured.

    Without NAME: the digest of the environment, as `dq alerts digest` sends it.
    """
    from dq import app
    from dq.model.errors import UsageError
    from dq.model.interval import Interval

    if name is None and day is not None:
        raise UsageError("the digest tells how things stand now; --date goes with the name of a reconciliation")
    interval = None if day is None else Interval.of_day(day)
    if owner is not None and org is not None:
        raise click.UsageError("--owner and --org are two parts; give one of them.")
    if name is None:
        for option, given in (("--owner", owner), ("--org", org), ("--csv", rows)):
            if given is not None:
                raise UsageError(f"{option} goes with the name of a reconciliation, and the digest is of all")
    project = open_project(project_path, [name] if name else [])
    part = {"owner": owner, "org": org}
    rendered = app.digest_report(project) if name is None else app.report(project, name, interval, **part)
    _write(rendered, html, eml)
    if rows is not None and name is not None:
        gzipped = rows.suffix == ".gz"
        write_file(rows, app.report_csv(project, name, interval, **part, gzipped=gzipped))
    if not (html or eml or rows or send):
        out(f"{rendered.subject}\n\n{rendered.text.rstrip()}")
    if not send:
        return 0
    sent = app.digest(project) if name is None else app.send_report(project, name, interval, **part)
    for problem in (*sent.problems, *sent.reasons):
        warn(problem)
    return 4 if sent.undelivered else 0


def write_file(path: Path, content: bytes) -> None:
    """Write a file that was asked for, and say so.

    Raises:
        UsageError: when it cannot be written.
    """
    from dq.model.errors import UsageError

    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    say(f"written: {path}")


def _write(rendered: Rendered, html: Path | None, eml: Path | None) -> None:
    """Write the report as a page and as the file of an e-mail.

    Raises:
        UsageError: when a file cannot be written.
    """
    from email.message import EmailMessage
    from email.policy import SMTP

    from dq.alerting.channels.email import fill

    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = rendered.subject
    fill(mail, rendered.text, rendered.html, rendered.attachments)
    for path, content in ((html, rendered.page.encode()), (eml, mail.as_bytes())):
        if path is not None:
            write_file(path, content)


@click.command(
    short_help="Show what earlier runs found.",
    epilog=teach(
        """
dq history                                   the newest runs of everything
dq history orders --limit 5
dq history orders --check "one row per order"
""",
        {0: "shown", 2: "wrong use", 3: "the store could not be used"},
    ),
)
@click.argument("name", metavar="[SUITE]", required=False)
@click.option("--check", metavar="NAME", help="Only this check; of a reconciliation: this stage.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many runs, newest first.")
@json_option
@project_option
def history(*, name: str | None, check: str | None, limit: int, as_json: bool, project_path: Path | None) -> int:
    """Show what earlier runs found, newest first."""
    from dq import app

    project = open_project(project_path)
    runs = app.runs(project, name, limit)
    if name is not None and not runs:
        project.find(name)
    if as_json:
        documents = [done.to_json() for done in runs]
        for document in documents:
            document["results"] = [r for r in document["results"] if check in {None, r["check"]}]
        json_out({"exit_code": 0, "runs": documents})
    elif not runs:
        say(f"there are no stored runs in environment {project.environment!r}")
    elif check is None:
        table(("started", "suite", "interval", "verdict", "worst", "origin", "found"), [_history_line(r) for r in runs])
    else:
        rows = [
            (f"{r.started_at:%Y-%m-%d %H:%M}", r.suite, r.interval, s.outcome, s.severity, s.sentence)
            for r in runs
            for s in r.summaries
            if s.check == check
        ]
        table(("started", "suite", "interval", "outcome", "severity", "found"), rows)
    return 0


def _history_line(done: Run) -> tuple[object, ...]:
    bad = [result for result in done.summaries if result.severity is not None]
    count = len(done.summaries)
    unit = ("check" if done.kind == "suite" else "stage") + ("" if count == 1 else "s")
    found = f"{bad[0].check}: {bad[0].sentence}" if bad else f"{count} {unit} well"
    found += f" (and {len(bad) - 1} more)" if bad[1:] else ""
    said = "good" if done.ok else "not good"
    return f"{done.started_at:%Y-%m-%d %H:%M}", done.suite, done.interval, said, done.worst, done.origin, found
