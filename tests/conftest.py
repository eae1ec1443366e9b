"""What all tests share: a clean environment, database servers, temporary projects, seeded random histories."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import hypothesis
import pytest

from tests import servers

SEED = os.environ.get("DQ_SEED", "20260101")
SOAK = os.environ.get("DQ_SOAK") == "1"
# A shell starts its background jobs deaf to Ctrl-C, and so would be every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

TABLE = "           | "
"""How a line of a table begins that belongs to the number above it."""

_HISTORY = "history"
_MEASURED = "measured"
_CASE = "case of another project"

# The machine may be shared and slow, and a failing example must be found again.
hypothesis.settings.register_profile("dq", deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=5_000)
hypothesis.settings.load_profile("soak" if SOAK else "dq")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave MariaDB, the slowest engine, to ``make test``; ``make test-fast`` has the other three."""
    for item in items:
        given = item.callspec.params.values() if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ()
        if "mariadb" in given or "mariadb_server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what the developer's shell says about projects."""
    for name in ("DQ_HOME", "DQ_ENVIRONMENT", "DQ_NOW"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def postgres_server() -> servers.Server:
    """The PostgreSQL of this test process."""
    return servers.postgres()


@pytest.fixture
def postgres_url(postgres_server: servers.Server) -> str:
    """The URL of a new, empty PostgreSQL database."""
    return postgres_server.new_database()


@pytest.fixture(scope="session")
def mariadb_server() -> servers.Server:
    """The MariaDB of this test process."""
    return servers.mariadb()


@pytest.fixture
def mariadb_url(mariadb_server: servers.Server) -> str:
    """The URL of a new, empty MariaDB database."""
    return mariadb_server.new_database()


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Make a project in a temporary folder: ``make_project("[store]\\n...", {"checks/orders.py": "..."})``."""

    def make(toml: str = "", files: Mapping[str, str] = {}) -> Path:
        root = tmp_path / "project"
        for name, text in {"dq.toml": toml, **files}.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    return make


@pytest.fixture
def histories(request: pytest.FixtureRequest) -> Callable[[int, int], Iterator[random.Random]]:
    """Seeded random sources, one per history: ``for rng in histories(200, 20_000)``.

    The first number holds in ``make test``, the second in ``make soak``. ``DQ_SEED`` chooses the seed; the counts are
    printed at the end of the run.
    """
    node = request.node

    def draw(short: int, full: int) -> Iterator[random.Random]:
        for number in range(full if SOAK else short):
            node.user_properties.append((_HISTORY, number))
            yield random.Random(f"{SEED}/{node.nodeid}/{number}")

    return draw


def conformance(node: pytest.Item, source: str, engine: str, word: str, *, review: bool) -> None:
    """Count what came of a case of another project; ``review``: it need not pass."""
    node.user_properties.append((_CASE, (source, engine, f"review {word}" if review else word)))


def measured(node: pytest.Item, number: int, words: str) -> None:
    """Have a number printed at the end of the run, with what it counts."""
    node.user_properties.append((_MEASURED, (number, words)))


def confused(node: pytest.Item, number: int, words: str, matrix: Sequence[Sequence[str]]) -> None:
    """Have a number printed at the end of the run, with what it counts, and a table below it."""
    widths = [max(map(len, column)) for column in zip(*matrix, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in matrix]
    measured(node, number, "\n".join((words, *(f"{TABLE}{line}" for line in lines))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many random histories ran, and from which seed; and how many cases of other projects passed."""
    # What a test notes of itself comes with its report, also from another process.
    reports = [r for found in terminalreporter.stats.values() for r in found if getattr(r, "when", "") == "call"]
    noted = [(report.nodeid, name, value) for report in reports for name, value in report.user_properties]
    cases = Counter(tuple(value) for _, name, value in noted if name == _CASE)
    if cases:
        terminalreporter.section("cases of other projects")
        words = ("passed", "failed", "refused", "review passed", "review failed", "review refused")
        terminalreporter.line(f"{'source':<20}{'engine':<10}" + "".join(f"{word:>16}" for word in words))
        for source, engine in sorted({(source, engine) for source, engine, _ in cases}):
            found = "".join(f"{cases[source, engine, word]:>16}" for word in words)
            terminalreporter.line(f"{source:<20}{engine:<10}{found}")
    for nodeid, name, value in noted:
        if name == _MEASURED:
            for line in f"{value[0]:>9,}  {nodeid}: {value[1]}".splitlines():
                terminalreporter.line(line)
    counts = Counter(nodeid for nodeid, name, _ in noted if name == _HISTORY)
    if counts:
        terminalreporter.section(f"seeded histories (DQ_SEED={SEED})")
        for nodeid, number in sorted(counts.items()):
            terminalreporter.line(f"{number:>9,}  {nodeid}")
