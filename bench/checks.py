"""What checking costs: the same 40 checks by dq, by hand, and by the tools that people use in its place.

``python bench/checks.py`` measures all and writes docs/performance.md; ``--duckdb 100000 --postgres 100000
--rounds 3`` measures at other sizes and prints only.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import _peers
from _curves import curves
from _databases import Database, counted, end_sessions, in_duckdb, in_postgres, sent_to
from _orders import CHECKS, some, verdict
from _report import DOCUMENT, publish, table
from attrs import field, frozen

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "peers"))

SMALL = 5_000
OVERHEAD = 100_000
GROWTH = {"duckdb": 1_000_000, "postgres": 200_000}
COUNTS = (10, 40, 200)
ROUNDS, PEER_ROUNDS = 7, 3
SLOW = 30.0
"""Seconds of a process after which a contender is not asked again: what it took once says enough."""
DRAWING = "performance-checks.svg"
GIVE_UP, KILLED = 300.0, -9
# Tools that report home would wait for an answer that a machine without a way out never gets.
SILENT = {"SODA_CORE_TELEMETRY_ENABLED": "false", "GX_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
ENGINES = {"duckdb": "DuckDB", "postgres": "PostgreSQL"}


@frozen
class Contender:
    """One way to do the checks.

    Attributes:
        name: as in the tables.
        module: what bench/_contender.py is told.
        role: ``hand`` is in the race for the floor; ``below`` is by hand, too, but more than one would write; ``dq``;
            ``more`` is dq doing more than the others; ``rival`` is the peer to beat; ``peer``.
        peer: the environment.
    """

    name: str
    module: str
    role: str
    peer: str = "dq"

    def rounds(self, most: int) -> int:
        """Return how often it is asked."""
        return most if self.role not in ("more", "peer") else min(most, PEER_ROUNDS)


CONTENDERS = (
    Contender("by hand, one statement", "by hand:one", "hand"),
    Contender("by hand, SUM(CASE) fused", "by hand:fused", "hand"),
    Contender("by hand, UNION ALL of counts", "by hand:union", "hand"),
    Contender("by hand, one per check", "by hand:each", "hand"),
    Contender("dq", "dq", "dq"),
    Contender("dq, with keys of failing rows", "dq_keys", "more"),
    Contender(f"Soda Core {_peers.version('soda', 'soda-core')}", "soda", "rival", "soda"),
    Contender(f"Airflow's SQL check operators {_peers.version('airflow', 'apache-airflow-providers-common-sql')}",
              "airflow", "peer", "airflow"),
    Contender(f"dbt {_peers.version('dbt', 'dbt-core')} tests", "dbt", "peer", "dbt"),
    Contender(f"Great Expectations {_peers.version('gx', 'great_expectations')}", "gx", "peer", "gx"),
    Contender(f"Pointblank {_peers.version('pointblank', 'pointblank')}", "pointblank", "peer", "pointblank"),
    Contender("below: keys of text by their hash", "by hand:hashed", "below"),
    Contender("below: and patterns once per value", "by hand:few", "below"),
    Contender("below: and two connections", "by hand:few-2", "below"),
)  # fmt: skip


@frozen
class Run:
    """What one run took.

    Attributes:
        wall: seconds inside, or of the whole process.
        cpu: processor seconds of the client and the server.
        peak: the most memory of the process, in MB.
        found: what was found, by check; None: a command does not tell.
        sent: the statements, where they were counted.
    """

    wall: float
    cpu: float
    peak: float
    found: Mapping[str, Any] | None = None
    sent: tuple[str, ...] = ()


Series = dict[Contender, list[Run]]


@frozen
class Bench:
    """A database and the small one beside it, on which what is loaded late is loaded."""

    large: Database
    small: Database
    folder: Path
    checks: int = len(CHECKS)

    def inside(self, contender: Contender, *, count: bool = False) -> Run:
        """Run a contender in a process that is warm, and return what its work took.

        With ``count``, its statements on the small DuckDB are counted instead.
        """
        target = self.small if count else self.large
        command = [
            str(_peers.python(contender.peer)), str(HERE / "_contender.py"), contender.module, target.engine,
            target.target, str(self.checks), str(self._place(contender)),
            *(["--count"] if count else ["--warm", self.small.target]),
        ]  # fmt: skip
        before = target.spent()
        done, told = self._launch(contender, command)
        server = target.spent() - before
        if done["code"] == KILLED:
            return Run(done["wall"], done["cpu"] + server, done["peak"])
        own = json.loads(told.splitlines()[-1])
        return Run(own["wall"], own["cpu"] + server, done["peak"], own["found"], tuple(own.get("statements", ())))

    def process(self, contender: Contender) -> Run:
        """Run a contender as somebody starts it, and return what the whole process took."""
        place = self._place(contender) / "process"
        place.mkdir(parents=True, exist_ok=True)
        target = self.large
        module = None if contender.module.startswith("by hand") else importlib.import_module(f"with_{contender.module}")
        before = target.spent()
        if hasattr(module, "command"):
            if not any(place.iterdir()):
                self._write(contender, place)
            done, _ = self._launch(contender, module.command(_peers.scripts(contender.peer), place))
            return Run(done["wall"], done["cpu"] + target.spent() - before, done["peak"])
        command = [
            str(_peers.python(contender.peer)), str(HERE / "_contender.py"), contender.module, target.engine,
            target.target, str(self.checks), str(place),
        ]  # fmt: skip
        done, told = self._launch(contender, command)
        found = None if done["code"] == KILLED else json.loads(told.splitlines()[-1])["found"]
        return Run(done["wall"], done["cpu"] + target.spent() - before, done["peak"], found)

    def _place(self, contender: Contender) -> Path:
        name = contender.module.replace(":", "_")
        place = self.folder / f"{name}-{self.large.engine}-{self.large.rows}-{self.checks}"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _write(self, contender: Contender, place: Path) -> None:
        """Let the peer's own environment write its files, because it has the library for them."""
        script = (
            f"import sys; sys.path[:0] = {[str(HERE), str(HERE / 'peers')]!r}; import pathlib, _orders,"
            f" with_{contender.module} as peer; peer.write({self.large.engine!r}, {self.large.target!r},"
            f" _orders.some({self.checks}), pathlib.Path({str(place)!r}))"
        )
        subprocess.run([str(_peers.python(contender.peer)), "-c", script], check=True)

    def _launch(self, contender: Contender, command: Sequence[str]) -> tuple[dict[str, Any], str]:
        output, errors = self.folder / "output", self.folder / "errors"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | SILENT
        if contender.peer == "dq":
            environment["PYTHONPATH"] = str(HERE.parent)
        launched = subprocess.run(
            [sys.executable, "-I", "-S", str(HERE / "_launch.py"), str(output), str(errors), str(GIVE_UP), *command],
            check=True, capture_output=True, text=True, env=environment, cwd=self.folder,
        )  # fmt: skip
        done = json.loads(launched.stdout)
        if done["code"] == KILLED:
            end_sessions(self.large)
        if done["code"] not in (0, 1, KILLED) or (done["code"] == 1 and command[1].endswith("_contender.py")):
            # 1 is what commands end with when a check fails, as some do on purpose.
            sys.exit(f"{contender.name} on {self.large.engine} ended with {done['code']}: {errors.read_text()[-3000:]}")
        return done, output.read_text(encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--duckdb", type=int, default=10_000_000)
    parser.add_argument("--postgres", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--growth", type=int, help="rows for the growth with the number of checks")
    parser.add_argument("--only", help="contenders whose module has one of these words, with commas between")
    parser.add_argument("--skip", default="", help="of large, overhead, growth; with commas between")
    return parser


def main() -> None:
    asked = _parser().parse_args()
    words = (asked.only or "").split(",")
    who = [c for c in CONTENDERS if any(word in c.module for word in words)]
    # As an installation does; the peers' environments have it from pip.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(HERE.parent / "dq")], check=True)
    with tempfile.TemporaryDirectory(dir=_scratch()) as name:
        _all(asked, who, Path(name))


def _scratch() -> Path:
    folder = HERE.parent / "var" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _all(asked: argparse.Namespace, who: Sequence[Contender], folder: Path) -> None:
    make = {"duckdb": in_duckdb, "postgres": in_postgres}
    small = {engine: make[engine](SMALL, folder) for engine in make}
    everything = vars(asked) == vars(_parser().parse_args([]))
    parts: list[str] = []
    skipped = asked.skip.split(",")
    if "large" not in skipped:
        for engine, rows in (("duckdb", asked.duckdb), ("postgres", asked.postgres)):
            bench = Bench(make[engine](rows, folder), small[engine], folder)
            parts.append(_compared(bench, who, asked.rounds, counting=True))
    if "overhead" not in skipped:
        for engine, made in make.items():
            bench = Bench(made(OVERHEAD, folder), small[engine], folder)
            parts.append(_compared(bench, who, asked.rounds, counting=False))
    if "growth" not in skipped:
        growth: dict[str, dict[str, list[float]]] = {}
        for engine, rows in GROWTH.items():
            large = make[engine](asked.growth or rows, folder)
            told, lines = _grown(large, small[engine], who, folder, asked.rounds)
            growth[f"{ENGINES[engine]}, {large.rows:,} rows"] = lines
            parts.append(told)
        place = DOCUMENT.parent if everything else _scratch()
        (place / DRAWING).write_text(curves(growth, COUNTS), encoding="utf-8")
        parts.append(f"![Seconds inside by the number of checks]({DRAWING})")
    text = "\n\n".join(parts)
    if everything:
        publish("checks", text, ("duckdb", "psycopg", "SQLAlchemy", "sqlglot"))
    else:
        print(text)


def _in_turn(ask: Callable[[Contender], Run], who: Iterable[Contender], rounds: int, judge: _Judge) -> Series:
    """Ask the contenders one after the other, round by round; the first round only shows that they find the same."""
    series: Series = {}
    for contender in who:
        first = ask(contender)
        judge.require(contender, first)
        series[contender] = [first] if first.wall > SLOW else []
        print(f"  {contender.name}: {first.wall:.3g} s", file=sys.stderr, flush=True)
    for number in range(rounds):
        for contender, runs in series.items():
            slow = bool(runs) and runs[0].wall > SLOW
            if slow or number >= contender.rounds(rounds):
                continue
            run = ask(contender)
            judge.require(contender, run)
            runs.append(run)
    return series


@frozen
class _Judge:
    """Holds what the first contender found against what the others find."""

    checks: int
    found: dict[str, Any] = field(factory=dict)

    def require(self, contender: Contender, run: Run) -> None:
        """End with a sentence where a contender finds another number, or another verdict."""
        if run.found is None:
            return
        if not self.found:
            self.found.update(run.found)
        for check in some(self.checks):
            own, first = run.found.get(check.name), self.found[check.name]
            same = own is not None and verdict(check, own) == verdict(check, first)
            if same and not isinstance(own, bool):
                same = abs(float(own) - float(first)) <= 1e-6 * max(1.0, abs(float(first)))
            if not same:
                sys.exit(f"{contender.name} finds {own!r} for {check.name}, not {first!r}")


def _compared(bench: Bench, who: Sequence[Contender], rounds: int, *, counting: bool) -> str:
    title = f"{ENGINES[bench.large.engine]}, {bench.large.rows:,} rows, {bench.checks} checks"
    print(title, file=sys.stderr, flush=True)
    judge = _Judge(bench.checks)
    inside = _in_turn(bench.inside, who, rounds, judge)
    processes = _in_turn(bench.process, who, rounds, judge)
    told = f"### {title}\n\n{_table(inside, processes, bench, counting=counting)}\n\n{_pairs(inside, processes)}"
    print(told, file=sys.stderr, flush=True)  # what was measured is not lost when the rest is interrupted
    return told


def _table(inside: Series, processes: Series, bench: Bench, *, counting: bool) -> str:
    floor = _floor(inside)
    lines = []
    for contender, runs in inside.items():
        whole = processes[contender]
        line = [
            f"**{contender.name}**" if contender.role == "dq" else contender.name,
            _median([run.wall for run in runs]),
            _median([run.cpu for run in runs]),
            "1" if contender == floor else _interval(runs, inside[floor], "wall"),
            "1" if contender == floor else _interval(runs, inside[floor], "cpu"),
            _median([run.wall for run in whole]),
            f"{statistics.median(run.peak for run in whole):.0f}",
        ]
        if counting:
            line.append(" / ".join(map(str, _statements(bench, contender))))
        lines.append(line)
    head = ["contender", "inside s", "CPU s", "wall ratio", "CPU ratio", "process s", "peak MB"]
    return table([*head, "statements / scans"] if counting else head, lines)


def _floor(inside: Series) -> Contender:
    """Return the fastest of those by hand."""
    by_hand = [c for c in inside if c.role == "hand"] or list(inside)
    return min(by_hand, key=lambda c: statistics.median(run.wall for run in inside[c]))


def _statements(bench: Bench, contender: Contender) -> tuple[int, int]:
    if bench.small.engine == "duckdb":
        return counted(bench.inside(contender, count=True).sent)
    cold = Bench(bench.small, bench.small, bench.folder / "counted", bench.checks)
    cold.folder.mkdir(exist_ok=True)
    return counted(sent_to(bench.small, lambda: cold.process(contender)))


def _pairs(inside: Series, processes: Series) -> str:
    """Return dq against the floor and against its rival, pair by pair."""
    own = next((c for c in inside if c.role == "dq"), None)
    rival = next((c for c in inside if c.role == "rival"), None)
    if own is None:
        return ""
    floor = _floor(inside)
    fused = next((c for c in processes if c.module == "by hand:fused"), floor)
    told = [
        (
            f"dq against {floor.name}: inside {_interval(inside[own], inside[floor], 'wall')},"
            f" CPU {_interval(inside[own], inside[floor], 'cpu')};"
            f" peak memory {_interval(processes[own], processes[fused], 'peak')} of {fused.name}."
        )
    ]
    if rival is not None:
        told.append(
            f"dq against {rival.name}: inside {_interval(inside[own], inside[rival], 'wall')},"
            f" CPU {_interval(inside[own], inside[rival], 'cpu')},"
            f" whole process {_interval(processes[own], processes[rival], 'wall')}."
        )
    ahead = [c.name for c in inside if c.role in ("peer", "rival") and _wall(inside[c]) < _wall(inside[own])]
    whole = [c.name for c in inside if c.role in ("peer", "rival") and _wall(processes[c]) < _wall(processes[own])]
    inner, outer = (", ".join(names) or "no peer" for names in (ahead, whole))
    told.append(f"Faster than dq inside: {inner}; as a process: {outer}.")
    return " ".join(told)


def _wall(runs: Sequence[Run]) -> float:
    return statistics.median(run.wall for run in runs)


def _grown(
    large: Database, small: Database, who: Sequence[Contender], folder: Path, rounds: int
) -> tuple[str, dict[str, list[float]]]:
    """Return the time inside by the number of checks, as a table and as curves."""
    who = [contender for contender in who if contender.role not in ("below", "more")]
    series: list[Series] = []
    for count in COUNTS:
        bench = Bench(large, small, folder, count)
        print(f"{ENGINES[large.engine]}, {large.rows:,} rows, {count} checks", file=sys.stderr, flush=True)
        series.append(_in_turn(bench.inside, who, min(rounds, PEER_ROUNDS), _Judge(count)))
    own = next((c for c in who if c.role == "dq"), who[0])
    lines = [
        [c.name, *(f"{_wall(s[c]):.3g}" for s in series), *(_interval(s[c], s[own], "wall") for s in series)]
        for c in who
    ]
    head = ["contender", *(f"{n} checks, s" for n in COUNTS), *(f"{n}, ratio to dq" for n in COUNTS)]
    title = f"### Growth on {ENGINES[large.engine]}, {large.rows:,} rows\n\n"
    return title + table(head, lines), {c.name: [_wall(s[c]) for s in series] for c in who}


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3g}"


def _interval(own: Sequence[Run], other: Sequence[Run], what: str) -> str:
    """Return the median of the ratios of a round, and the 95 % interval of that median from 2,000 resamples."""
    pairs = [getattr(a, what) / max(getattr(b, what), 1e-9) for a, b in zip(own, other, strict=False)]
    middle = f"{statistics.median(pairs):.2f}"
    if len(pairs) < 3:
        return middle
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(pairs, k=len(pairs))) for _ in range(2_000))
    return f"{middle} ({medians[49]:.2f} to {medians[-50]:.2f})"


if __name__ == "__main__":
    main()
