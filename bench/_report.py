"""What the measurements share: contenders in turn, ratios within one round, and the tables of docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
from attrs import frozen

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "performance.md"


@frozen
class Spent:
    """What one contender took, round by round, in seconds of the clock and of all processors."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]


def in_turn(
    contenders: Mapping[str, Callable[[], Any]],
    rounds: int,
    cpu: Callable[[], float] = time.process_time,
    read: Mapping[str, Callable[[Any], object]] | None = None,
) -> dict[str, Spent]:
    """Time the contenders one after the other, ``rounds`` times over, so that a busy minute meets all of them.

    The answers of a first round, which is not timed, must be equal.

    Args:
        contenders: what to call, by name.
        rounds: how often.
        cpu: gives the processor time that was spent so far, in seconds.
        read: makes an answer of what a contender returns, which is not timed either; None: it has none to compare.
    """
    reads = read or {}
    require_equal({name: reads.get(name, lambda answer: answer)(call()) for name, call in contenders.items()})
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            before, began = cpu(), time.perf_counter()
            call()
            took = time.perf_counter() - began
            spent[name].append((took, cpu() - before))
    return {name: Spent(*(tuple(column) for column in zip(*pairs, strict=True))) for name, pairs in spent.items()}


def require_equal(answers: Mapping[str, object]) -> None:
    """End with a sentence where the contenders do not give the same answer; those that give none are left out."""
    given = {name: answer for name, answer in answers.items() if answer is not None}
    first = next(iter(given), None)
    for name, answer in given.items():
        if answer != given[first]:
            sys.exit(f"{name} and {first} do not answer alike:\n{answer!r:.2000}\n{given[first]!r:.2000}")


def rows(spent: Mapping[str, Spent], floor: str) -> list[tuple[str, ...]]:
    """Return per contender: its name, seconds, CPU seconds, and both as a ratio to ``floor`` within the same round."""
    limit = spent[floor]
    return [
        (
            name,
            seconds(own.wall),
            seconds(own.cpu),
            "1" if name == floor else ratio(own.wall, limit.wall),
            "1" if name == floor else ratio(own.cpu, limit.cpu),
        )
        for name, own in spent.items()
    ]


MEASURED = ("contender", "wall s", "CPU s", "wall ratio", "CPU ratio")
"""The heads of what :func:`rows` returns."""


def seconds(values: Sequence[float]) -> str:
    """Return the median and, in brackets, the least and the greatest."""
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def ratio(ours: Sequence[float], limit: Sequence[float]) -> str:
    """Return the median of the ratios round by round and, in brackets, the least and the greatest."""
    return seconds([a / max(b, 1e-9) for a, b in zip(ours, limit, strict=True)])


def children_cpu() -> float:
    """Return the processor time of all ended children of this process, in seconds."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def server_cpu(url: str) -> Callable[[], float]:
    """Return what gives the processor time of this process and of a local PostgreSQL, in seconds.

    A session counts once it has ended, so contenders open and close their own.
    """
    with psycopg.connect(url) as server:
        directory = server.execute("SHOW data_directory").fetchone()
    assert directory is not None  # SHOW always answers
    stat = Path("/proc", (Path(directory[0]) / "postmaster.pid").read_text("ascii").split()[0], "stat")

    def spent() -> float:
        time.sleep(0.05)  # the sessions that were closed just now have to end
        ticks = stat.read_text("ascii").rpartition(")")[2].split()[11:15]  # utime to cstime, see proc_pid_stat(5)
        return time.process_time() + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    return spent


def peak_megabytes() -> float:
    """Return the most memory that this process ever had resident, in MB."""
    # Not ru_maxrss: a new process inherits that from the one that started it.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else float("nan")


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def publish(section: str, text: str, packages: Sequence[str] = ()) -> None:
    """Print ``text``, and put it between the marks of ``section`` in docs/performance.md, with where it was measured.

    Args:
        section: as in the document: ``<!-- section -->`` to ``<!-- /section -->``.
        text: Markdown.
        packages: those whose versions matter, besides Python's.
    """
    versions = ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    where = (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()}; {os.cpu_count()} cores, {memory:.0f} GB,"
        f" load {os.getloadavg()[0]:.1f}; {versions}."
    )
    body = f"{text}\n\n{where}"
    print(body)
    begin, end = f"<!-- {section} -->\n", f"<!-- /{section} -->"
    document = DOCUMENT.read_text(encoding="utf-8")
    if begin not in document or end not in document:
        sys.exit(f"{DOCUMENT.name} has no place for {section}")
    before, rest = document.split(begin)
    DOCUMENT.write_text(f"{before}{begin}\n{body}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = " with changes in dq/" if git("status", "--porcelain", "dq") else ""
    return (git("rev-parse", "--short", "HEAD") or "unknown") + changed
