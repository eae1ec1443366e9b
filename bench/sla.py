"""What promises cost: a first look at many, a look in which little is new, and one in which nothing is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from _report import peak_megabytes, publish, seconds, table
from attrs import evolve

from dq import Sla, app
from dq.app.session import in_transaction
from dq.model.dataset import Dataset
from dq.model.interval import Interval
from dq.model.observation import Observation
from dq.project import Project
from dq.sla import observations
from tests.servers import postgres

GROWTH = (100, 1_000, 10_000)
ROUNDS = 9
NOW = datetime(2026, 11, 20, 5, 30, tzinfo=UTC)  # a Friday, before anything is due
DAY = Interval.of_day("2026-11-19")
PROMISES = (
    Sla(due="06:00", dag="d"),
    Sla(due="07:30", tz="Europe/Berlin", calendar="DE-BY", grace="10m", warn_before="30m", dag="d"),
    Sla(due="09:00", tz="America/New_York", calendar="weekdays", warning=0, error="30m", critical="2h", dag="d"),
    Sla(within="8h", severity="error", dag="d"),
    Sla(every="1h", within="40m", severity="warning", dag="d"),
)


def main() -> None:
    if len(sys.argv) > 1:  # one measurement in a process of its own: the peak of memory is its own
        print(*_measure(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])), sep="\n")
        return
    heads = ("store", "promises", "first look", "1 % are new", "nothing is new", "peak MB")
    lines = []
    for store in ("SQLite", "PostgreSQL"):
        for number in GROWTH:
            with tempfile.TemporaryDirectory() as folder:
                address = f"sqlite:///{folder}/dq.db" if store == "SQLite" else postgres().new_database()
                command = [sys.executable, __file__, address, str(number), folder]
                found = subprocess.run(command, capture_output=True, text=True, check=False)
                if found.returncode:
                    sys.exit(found.stderr)
                lines.append((store, f"{number:,}", *found.stdout.splitlines()))
    publish(
        "sla",
        "Promises of five sorts, one of them hourly, judged by `sla_check` without delivery; milliseconds, of looks"
        f" that are repeated the median of {ROUNDS} and the least and the greatest:\n\n{table(heads, lines)}",
        ("SQLAlchemy", "psycopg"),
    )


def _measure(address: str, number: int, folder: Path) -> tuple[str, ...]:
    (folder / "dq.toml").write_text(f'environment = "prod"\n[store]\nurl = "{address}"\n', encoding="utf-8")
    project = app.open_project(folder)
    app.upgrade(project)
    datasets = {f"d{n}": Dataset(f"d{n}", sla=evolve(PROMISES[n % len(PROMISES)])) for n in range(number)}
    project = evolve(project, datasets=datasets)
    first = _look(project, NOW, news_only=False)
    some = [name for n, name in enumerate(datasets) if n % 100 == 0]
    new, idle = [], []
    for n in range(ROUNDS):
        now = NOW + timedelta(seconds=2 * n + 1)
        in_transaction(project, _see, some, now)
        new.append(_look(project, now))
        idle += [_look(project, now + timedelta(seconds=1)) for _ in range(3)]
    return f"{first:.0f}", seconds(new), seconds(idle), f"{peak_megabytes():.0f}"


def _look(project: Project, now: datetime, *, news_only: bool = True) -> float:
    """Return how long a look takes, in milliseconds."""
    began = time.perf_counter()
    app.sla_check(project, now, pump=False, news_only=news_only)
    return 1_000 * (time.perf_counter() - began)


def _see(connection, names, now: datetime) -> None:  # noqa: ANN001  # what in_transaction gives
    for name in names:
        seen = Observation(kind="dataset", subject=name, interval=DAY, state="started", at=now, source="bench")
        observations.record(connection, "prod", seen)


if __name__ == "__main__":
    main()
