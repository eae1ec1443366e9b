"""Writes ``docs/cli.md`` from the help texts: ``python -m dq.cli.reference > docs/cli.md``."""

from __future__ import annotations

from collections.abc import Iterator

import click

from dq.cli.entry import cli

_WIDTH = 100

_HEAD = """# The command line

Made by `python -m dq.cli.reference > docs/cli.md`; the same texts as `dq COMMAND --help`.

Results go to stdout; progress, warnings and errors go to stderr. An error is one sentence after `dq:`.
`DQ_DEBUG=1` shows the traceback of an unexpected error. `DQ_NOW=2026-11-21T06:30+00:00` replays history: it is the
time that judgements take for now.
"""

_JSON = """
## The JSON document

`dq run SUITE --json` for one suite and one day writes

| field | meaning |
|---|---|
| `run` | the id of the run |
| `environment` | the name in `dq.toml` |
| `suite` | the suite or reconciliation |
| `kind` | `suite` or `reconciliation` |
| `interval` | `start` (included) and `end` (excluded), ISO times in UTC |
| `exit_code` | the exit code of the command |
| `results[]` | a summary per check (`group` is null), then a result per org that is not well |

Each of `results[]`:

| field | meaning |
|---|---|
| `check` | the check, or the stage of a reconciliation |
| `group` | the org as column and value, null for the whole check |
| `outcome` | `pass`, `fail`, `unmeasured`, `no_data` or `skip` |
| `severity` | the worst rung broken: `info`, `warning`, `error`, `critical`; null: nothing is wrong |
| `rows` | rows that were looked at; of a reconciliation the baseline count |
| `violations` | rows that broke the predicate; of a reconciliation the discrepancy |
| `unknown` | rows for which the predicate was NULL |
| `observed` | the number that was judged; durations in seconds, shares as a fraction of 1 |
| `threshold` | the rung that was broken, else the mildest |
| `sentence` | what was found, for people |
| `failing` | only where rows broke it, of the orgs of a check the worst 10 |
| `failing.columns`, `.rows` | their key, and what else may be shown; masked by tag |
| `failing.query`, `.more` | what lists all of them; how many there are besides; null: not known |
| `failing.problem` | why none are listed |
| `detail` | only where the kind has more to tell, as JSON: a history and its band, gaps, columns |
| `orgs`, `orgs_bad` | only in the summary of a grouped check: orgs measured, and how many of them are not well |
| `partition` | only where one run compares several partitions: `start` and `end` |

With several suites, `--all` or `--from` it writes `{"exit_code": ..., "runs": [...]}`, each of `runs` such a document
with an exit code of its own; so does `dq history --json`.

`dq reconcile NAME --json` writes the document of one run, also for several days, with `ledger` added:

| field | meaning |
|---|---|
| `pipeline` | the name in titles |
| `columns[]` | what the report shows, in order: `kind`, `name`, `heading`, `derived` |
| `totals[]` | `name`, `count`; `problem` says why a count is null |
| `rows[]` | worst first: `partition`, `org`, `severity`, `notes`, `accepted`, and the numbers, below |
| `rows[].accepted` | it would be not well, or worse, but for what is accepted (`dq accept`) |
| `rows[].counts`, `.discrepancy`, `.share` | by stage |
| `rows[].explained` | by known loss |
| `rest` | of more than 50,000 rows those that are well: how many (`rows`, `differing`), and their sums, below |
| `levels[]` | coarser levels: `title`, and `columns`, `rows` and `rest` as above |
| `losses[]` | what was counted of known losses: `name`, `count`, and `sample`, a text of one of them |
| `still_bad[]` | older partitions whose latest run was not good: `partition`, `sentence` |

With `--why` the document has `why[]`, the greatest difference first: `org`, `from` and `to` (the hop, by stages),
`missing` (negative: too many), `kind` (`missing`, `late`, `duplicated`, `restated`, `shifted`, `re-keyed`,
`cannot tell`), `other_org` (the greatest of `other_orgs`, where several became one), `other_partition`, `since`,
`or_longer` (nobody looked at what was before), in how many `orgs` of `of_orgs` it differs there, and `deploys[]`: the
markers near that, as `dq deploys list --json` has them, and whether they fall `inside` of the partition `since`, or
stand before it. `records` is null where it is known from counts alone. With `--keys` it is how many records it is, as
their keys tell, or where `estimated` what those that were read make likely; a difference may then have several entries,
whose `missing` is in records, and 0 where they only have other values.

`kind` is `count`, `discrepancy`, `share` or `explained`; a loss that is `derived` is computed from the same stages, so
it explains nothing by itself. A count is null where the stage does not have the org; a share is null where the baseline
is zero and the discrepancy is not.

`dq reconcile NAME --keys --json` writes `exit_code`, `reconciliation`, `environment`, `interval` and `comparisons[]`,
one per stage:

| field | meaning |
|---|---|
| `stage`, `baseline` | the names of the two stages |
| `org` | the only org that was looked at; null: all |
| `key[]`, `values[]` | the columns or expressions, as the baseline has them |
| `rows` | at the `baseline`, at the `stage`, and `equal`: those of the baseline that the stage has, too |
| `found` | how many keys are `missing`, `extra`, `duplicated`, `changed` |
| `differences[]` | of each kind as many as `--limit` says: `kind`, `key[]`, and by stage `rows` and `values` |
| `unread` | rows that may differ and were not read, because there are too many; what is found is then a part |
| `travelled` | `checksums` and `rows` that were fetched, of both stages together |

Keys and values are texts, masked by tag; null is NULL. `values` is null where no values are compared.

`dq accept list --json` writes `exit_code`, `environment` and `acceptances[]`: `id`, `state` (`holds`, `expired`,
`ended`, `replaced`, `used up`), `reconciliation`, `org`, `stage`, `partition` (null: all), `at_most` and what it is
`of` (`records`, `share`), `too_many`, `reason`, `by`, `created_at`, `until`, `ended_at`.

`dq deploys list --json` writes `exit_code`, `environment` and `deploys[]`, newest first: `at`, `version`, `text`,
`dag`, `subject`, `source` (`cli`, `git`, `announce`), `by`.

`dq backtest SUITE --json` writes `exit_code`, `environment`, `suite` and `checks[]`: `check`, `thresholds` and `fired`
by severity, `partitions`, `judged`, and `firings[]`: `partition`, `group`, `outcome`, `severity`, `observed`,
`threshold`, `sentence`, and `then`, the `outcome` and `severity` of that day.

`dq reference list SUITE --json` writes `exit_code`, `suite` and `references[]`, each as `dq reference show` writes one:
`check`, `partition`, `at`, and `reference` (`column`, `edges` or `values`, `counts`) or `columns` (name, type, whether
NULL is allowed).

`dq lint --json` writes `exit_code`, `suites`, `reconciliations` and `datasets` (how many), with `--airflow` also
`dag_files` (how many), and `problems[]`:

| field | meaning |
|---|---|
| `level` | `error` or `warning` |
| `sentence` | what is wrong and what to write instead, with its place |
| `file`, `line` | where; `line` is null where the sentence is about the file as a whole |
| `kind` | `suite`, `reconciliation`; `dag` for a DAG file |
| `name`, `part` | the suite and its check, the reconciliation and its stage or total, the DAG and its task |
| `column` | the column that it is about |

`dq doctor --json` writes `exit_code` and `findings[]`: `state` (`ok`, `warn`, `broken`), `what`, `sentence`.

`dq sla check --json` writes `exit_code`, `environment` and `verdicts[]`: `kind` (`suite`, `reconciliation`, `dataset`,
`task`, `dag`), `suite` (its name), `interval`, `run` (of a task or DAG), `due_at`, `answer` (`pending`, `at_risk`,
`on_time`, `data_wrong`, `late_but_done`, `met_after_miss`, `never_created`, `never_started`, `paused`, `late_running`,
`data_missing`, `unmeasured`, `failed`, `source_down`, `excused`), `overdue`, `arrived_at`, `severity` (null: nobody has
to know), `sentence`.

`dq sla status --json` writes `exit_code`, `environment`, `watchers[]` (`name`, `started_at`, `seen_at`) and
`promises[]`: `kind`, `name`, `owner`, `promise` (in words), `next_due`, `budgets[]` (`what`, `goal`, `left` as a share,
`state`), `last` and `open[]`, each with `part`,
`interval`, `due_at`, `answer`, `arrived_at`, `late_seconds`, `wrong`, `excuse`, `cause`.

`dq sla report --json` writes `exit_code`, `environment`, `made_at`, `total`, `datasets[]`, `owners[]`, `misses[]`,
`excused[]` and `heat`. `total` and each of `datasets` and `owners`, worst first, have `name`, `owner`, `promise`,
`state` (`no_data`, `fine`, `slow_burn`, `fast_burn`, `spent`), `left`, `budgets[]` and `days`, by `"7"`, `"28"` and
`"90"`: `promised`, `in_time`, `late`, `missing` (of the late), `wrong`, `excused`, `kept`, `attained`. A budget has
`what`, `of`, `goal`, `window_seconds`, `sli`, `good`, `valid`, `allowed`, `left`, `burn_long`, `burn_short`, `state`,
`severity`, `sentence`; a miss `subject`, `owner`, `part`, `due_at`, `count`, `what`, `late_seconds`, `cause`;
`excused` `reason`, `subjects`, `first`, `last`, `count`; `heat` `days` and `rows[]` of `subject` and `marks`.

`dq sla excuses --json` writes `exit_code` and `excuses[]`: `id`, `name`, `from`, `to`, `reason`, `by`, `created_at`.

`dq status --json` writes `exit_code`, `name`, `interval`, `complete`, `wrong` (null: nobody has looked), `ready`
(there, and not known to be wrong), `answer`, `sentence`, `waits_for`, `cause`, `since`, `due_at`, `expected_at`,
`arrived_at`.

`dq alerts --json` writes `exit_code`, `environment`, `undelivered[]` (what failed, as `dq alerts outbox --json` has it)
and `alerts[]`, worst first:

| field | meaning |
|---|---|
| `id` | of the incident |
| `kind`, `subject`, `check`, `org` | what it is about; `check` is also the stage, task, or partition of an SLA |
| `severity`, `outcome`, `sentence`, `interval` | of the newest bad run |
| `opened_at`, `changed_at`, `ended_at`, `ended` | `ended` is `recovered`, `vanished` or `recovered_untold` |
| `labels`, `links` | what routes see of it |
| `told[]` | `channel`, `key`, `severity` and `at`: who knows of it, how bad it was told to be, and when |
| `acknowledged` | `by`, `at`, `severity`, and `holds`: it is no worse since; null: nobody is on it |
| `muted[]` | `why` (`silence`, `inhibited`, `time`, `pending`) and `by`, in words; empty: it is told |
| `worse_than` | how bad it was when it was acknowledged or muted, where it is worse now; else null |

`dq alerts silence list --json` writes `silences[]`: `id`, `state` (`pending`, `active`, `expired`), `matchers`,
`author`, `comment`, `created_at`, `starts_at`, `ends_at`. `dq alerts outbox --json` writes `undelivered[]`: `id`,
`kind` (`state`, `event`, `group`), `channel`, `key`, `title`, `since`, `attempts`, `next_at`, `error`, `dead`.

`dq alerts test-route --json` writes `labels`, `routes[]` (`depth`, `matchers`, `verdict`, `why`), `places[]`
(`channel`, `key`, `route`, `after_seconds`, `group_by`, `group_wait_seconds`, `group_interval_seconds`,
`repeat_interval_seconds`, `send_resolved`, `muted_by_time`), `muted[]` and `problems[]`.

`dq alerts selftest --json` writes `sent` and `routes[]`: `route` (the matchers on the way), `answer`, `good`,
`sentence`, `channels`, `labels`, and `messages[]` with `channel`, `status`, `title`, `key`, `payload`, `delivered`,
`error`.
"""


def commands(
    command: click.Command, parent: click.Context | None, name: str
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield the path, the command and its context: ``command`` and all below it."""
    context = command.context_class(
        command, parent=parent, info_name=name, terminal_width=_WIDTH, **command.context_settings
    )
    yield context.command_path, command, context
    if isinstance(command, click.Group):
        for below, child in command.commands.items():
            yield from commands(child, context, below)


def reference() -> str:
    """Return the text of ``docs/cli.md``."""
    parts = [_HEAD]
    for path, command, context in commands(cli, None, "dq"):
        parts.append(f"\n## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "".join(parts) + _JSON


if __name__ == "__main__":
    click.echo(reference(), nl=False)
