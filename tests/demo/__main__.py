"""``make demo``: the three things dq is for, on real data, through a real Airflow, told to receivers on loopback.

usage: python -m tests.demo [--break WHAT] [--into FOLDER]

It ends with 0 when every promise was kept, with 1 and the names of the broken ones when not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tests.demo import promises, show
from tests.demo.play import BREAKS, NOTHING, ROOT, Act, Airflow, Break, PlayError, play, shown

FOLDER = ROOT / "var" / "demo"


def demo(folder: Path, broken: Break, console: Console, shared: Airflow | None = None) -> dict[str, tuple[str, ...]]:
    """Play the demo in a new folder, show it, and return what is wrong, by the name of the promise.

    Args:
        folder: where everything goes; must be empty or absent.
        broken: what goes wrong on purpose.
        console: where it is shown.
        shared: an Airflow that runs already.

    Raises:
        PlayError: when a part did not start, or ended by itself.
    """
    numbers = count(1)

    def after(project: Path, act: Act) -> None:
        show.scene(console, next(numbers), project, act)

    folder.mkdir(parents=True, exist_ok=True)
    with console.status("Airflow, a warehouse and four receivers are at work ..."):
        seen = play(folder, broken, after, shared)
    wrong = promises.broken(seen)
    show.promises(console, wrong)
    show.where(console, folder)
    return wrong


def main(arguments: list[str], shared: Airflow | None = None) -> int:
    """Run the demo and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--break", dest="broken", choices=BREAKS, help="break a promise, to see that it is noticed")
    parser.add_argument("--into", type=Path, default=FOLDER, help="where the output goes; must not be there yet")
    given = parser.parse_args(arguments)
    folder: Path = given.into.absolute()
    if folder == FOLDER:
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        parser.error(f"{folder} is there already")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    began = time.monotonic()
    console.print(Text(f"dq demo: real data, real Airflow, receivers on loopback; output in {shown(folder)}/", "bold"))
    try:
        wrong = demo(folder, BREAKS.get(given.broken, NOTHING), console, shared)
    except PlayError as error:
        console.print(Text(f"\nThe demo could not go on: {error}", "red"), soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; nothing is left running.")
        return 130
    took = f"{time.monotonic() - began:.0f} s"
    if wrong:
        console.print(Text(f"\nBroken promises: {', '.join(wrong)} ({took})", "bold red"))
        return 1
    console.print(Text(f"\nEverything that was promised happened ({took}).", "bold green"))
    return 0


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("DQ_")]:
        del os.environ[name]  # what the shell says about other projects
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
