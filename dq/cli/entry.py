"""The command ``dq``: its sub-commands, and how errors end."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

import click

from dq.cli.accept import accept
from dq.cli.alerts import alerts
from dq.cli.announcing import announce
from dq.cli.assist import selfcheck, suggest
from dq.cli.declare import explain, init, lint
from dq.cli.deploys import deploys
from dq.cli.measure import history, reconcile, report, run
from dq.cli.operate import db, doctor
from dq.cli.options import EXIT_CODES, teach
from dq.cli.past import backtest, reference
from dq.cli.promises import dataset, sla
from dq.cli.show import fail
from dq.cli.watch import watch

_EPILOG = (
    teach(
        """
dq init shop                       make a project
dq lint                            is every declaration sound?
dq run orders                      check yesterday
dq run --all --date 2026-11-20     check one day of everything
""",
        EXIT_CODES,
    )
    + "\n\nWhere several hold, the first of 2, 3, 1, 4 is the exit code."
)


class _InOrder(click.Group):
    """Lists the commands in the order in which people meet them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names as they were added."""
        return list(self.commands)


@click.group(
    cls=_InOrder,
    epilog=_EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="dq-sla", prog_name="dq")
@click.pass_context
def cli(context: click.Context) -> None:
    """Check data, reconcile pipelines and keep SLAs, as declared in a project's checks/ and reports/."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(2)


_PROJECT = (init, suggest, lint, explain)
_RUNS = (run, reconcile, accept, report, history, backtest, reference)
for _command in (*_PROJECT, *_RUNS, dataset, sla, watch, alerts, announce, deploys, db, doctor, selfcheck):
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code.

    Args:
        args: the words after ``dq``; None: those of this process.
    """
    from dq.model.errors import DqError

    if "_DQ_COMPLETE" in os.environ:
        cli.main(prog_name="dq")  # the shell asks how words go on
    code: int | None = None
    try:
        # Not cli.main(): it would end with 1 after a broken pipe, wherever that was, and 1 means that a check failed.
        with cli.make_context("dq", list(sys.argv[1:] if args is None else args)) as context:
            code = cli.invoke(context)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.ClickException as error:
        fail(_sentence(error), 2)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted", 130)
    except DqError as error:
        _trace()
        fail(str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001  # the last resort: one line instead of a traceback
        _trace()
        # The text of an error that nobody wrote for people may hold an address or a secret; its type and place do not.
        fail(f"unexpected {type(error).__name__} at {_place(error)}; DQ_DEBUG=1 shows the traceback", 3)
    raise SystemExit(int(code or 0))


def _sentence(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" See {context.command_path} --help." if context is not None else ""
    return " ".join(error.format_message().split()) + hint


def _trace() -> None:
    if os.environ.get("DQ_DEBUG"):
        traceback.print_exc()


def _place(error: BaseException) -> str:
    """Return the last place in dq that the error came through."""
    place, trace = "an unknown place", error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__", ""))
        if name == "dq" or name.startswith("dq."):
            place = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
