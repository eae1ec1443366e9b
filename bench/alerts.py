"""What alerting costs: many incidents at once, a pump with nothing to do, and how soon a verdict is at the pager."""

from __future__ import annotations

import multiprocessing
import os
import socketserver
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from _report import peak_megabytes, publish, seconds, table
from attrs import evolve, frozen
from sqlalchemy.engine import Engine

from dq import By, Check, Rows, Suite, Table, app
from dq.alerting.config import AlertConfig, parse_alerting
from dq.alerting.fold import apply_findings, news_of
from dq.alerting.outbox import open_channels
from dq.alerting.pump import PumpReport, pump
from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.result import Result, Run
from dq.model.severity import Outcome, Severity
from dq.store.engine import open_store
from dq.store.schema import metadata
from tests.servers import postgres

CHECKS, ORGS = 20, 500
ROUNDS, IDLE, LATENCIES = 5, 50, 60
GROUPINGS = (
    ("suite", ("environment", "subject"), "pagerduty"),
    ("org", ("environment", "subject", "org"), "webhook"),  # a pager bears 120 messages a minute
)
DAY = Interval.of_day("2026-11-24")
SUITE = Suite(
    "orders",
    Table("live", "orders", partition="day"),
    checks=[Check(f"check {n}", Rows("amount > 0"), critical=0, by=By("org_id")) for n in range(CHECKS)],
)
ANSWER = b'HTTP/1.1 202 Accepted\r\nContent-Length: 22\r\nContent-Type: application/json\r\n\r\n{"status": "success"}\n'


class _Server(socketserver.ThreadingTCPServer):
    """Listens on loopback; ``told`` hears when each request came."""

    allow_reuse_address, daemon_threads, request_queue_size = True, True, 128

    def __init__(self, told: Connection) -> None:
        super().__init__(("127.0.0.1", 0), _Receiver)
        self.told, self.telling = told, threading.Lock()


class _Receiver(socketserver.StreamRequestHandler):
    """Takes whatever comes, and says when the first byte of each request came."""

    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline()
        came = time.time()
        length = 0
        while (header := self.rfile.readline()).strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        self.wfile.write(ANSWER)
        if line:
            with self.server.telling:
                self.server.told.send(came)


def _serve(told: Connection) -> None:
    with _Server(told) as server:
        told.send(server.server_address[1])
        server.serve_forever()


@contextmanager
def _receiving() -> Iterator[tuple[str, Connection]]:
    """A receiver in a process of its own: its address, and where it says when requests came."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}", ours
    finally:
        process.terminate()


@frozen
class Place:
    """A store, the routes, and the channels."""

    engine: Engine
    config: AlertConfig
    secrets: Mapping[str, str]

    def fold(self, *, bad: bool, number: int) -> float:
        """Close a run of all checks and orgs, and return the seconds that it took."""
        run, began = _run(bad=bad, number=number), time.perf_counter()
        with self.engine.begin() as connection:
            apply_findings(connection, [news_of(run, SUITE)], datetime.now(UTC))
        return time.perf_counter() - began

    def pump(self) -> tuple[float, PumpReport]:
        """Deliver, and return the seconds that it took, and what it did."""
        began = time.perf_counter()
        channels = open_channels(self.config, self.secrets.__getitem__)
        report = pump(self.engine, self.config, channels, environment="prod")
        return time.perf_counter() - began, report


def main() -> None:
    heads = ("store", "one message per", "close, all bad", "messages", "delivered in", "pump, nothing to do",
             "close, all well", "delivered in", "peak MB")  # fmt: skip
    lines, latencies = [], []
    with tempfile.TemporaryDirectory() as name, _receiving() as (url, came):
        for store, address in (("SQLite", f"sqlite:///{name}/dq.db"), ("PostgreSQL", postgres().new_database())):
            for what, group_by, channel in GROUPINGS:
                place = _place(address, url, group_by, channel)
                lines.append((store, what, *_mass(place)))
                if channel == "pagerduty":
                    latencies.append((store, *_latency(place, came)))
                place.engine.dispose()
        latencies.append(("SQLite, the whole `dq run` in a process that runs", _whole_run(Path(name), url, came)))
    publish(
        "alerts",
        f"{CHECKS * ORGS:,} incidents, {CHECKS} checks of {ORGS} orgs, opened by one run and ended by the next; told"
        f" to PagerDuty (a message per suite) or a webhook (per org) on loopback; seconds, the median of {ROUNDS} and"
        f" the least and the greatest:\n\n{table(heads, lines)}\n\n"
        f"From the verdict to the request at the pager, one incident, milliseconds, {LATENCIES} times:\n\n"
        + table(("store", "median (least to greatest)"), latencies),
        ("SQLAlchemy", "psycopg"),
    )


def _place(address: str, url: str, group_by: Sequence[str], channel: str) -> Place:
    engine = open_store(address)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    settings = {
        "pagerduty": {"routing_key": "env:KEY", "url": f"{url}/v2/enqueue", "allow_http": True},
        "webhook": {"secret": "env:KEY", "url": "env:URL", "allow_http": True},
    }
    routes = {
        "channels": {"told": {"type": channel, **settings[channel]}},
        "route": {"channels": ["told"], "group_by": list(group_by)},
    }
    return Place(engine, parse_alerting(routes, "routes.toml", Path()), {"env:KEY": "k" * 32, "env:URL": url})


def _mass(place: Place) -> Sequence[str]:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts from here
    spent: dict[str, list[float]] = {name: [] for name in ("bad", "told", "idle", "well", "over")}
    messages = set()
    for number in range(ROUNDS):
        spent["bad"].append(place.fold(bad=True, number=2 * number))
        took, report = place.pump()
        spent["told"].append(took)
        messages.add(report.sent)
        spent["idle"] += [place.pump()[0] for _ in range(IDLE // ROUNDS)]
        spent["well"].append(place.fold(bad=False, number=2 * number + 1))
        took, report = place.pump()
        spent["over"].append(took)
        messages.add(report.sent)
    count_, peak = " or ".join(map(str, sorted(messages))), f"{peak_megabytes():.0f}"
    return (
        seconds(spent["bad"]), count_, seconds(spent["told"]), seconds(spent["idle"]), seconds(spent["well"]),
        seconds(spent["over"]), peak,
    )  # fmt: skip


def _latency(place: Place, came: Connection) -> Sequence[str]:
    """One incident opens; from the moment at which its result is there to that at which the pager hears of it."""
    one = evolve(SUITE, name="one", checks=SUITE.checks[:1])
    took = []
    for number in range(LATENCIES):
        run = evolve(_run(bad=number % 2 == 0, number=number, orgs=1, checks=1), suite="one")
        began = time.time()
        with place.engine.begin() as connection:
            apply_findings(connection, [news_of(run, one)], datetime.now(UTC))
        place.pump()
        took.append(1_000 * (_came_after(came, began) - began))
    return (seconds(took),)


ROUTES = """
[channels.oncall]
type = "pagerduty"
routing_key = "env:BENCH_KEY"
url = "{url}/v2/enqueue"
allow_http = true
[route]
channels = ["oncall"]
"""
CHECKS_FILE = """
from dq import *
orders = Table("live", "orders", partition="day")
tiny = Suite("tiny", orders, checks=[Check("positive", Rows("amount > 0"), critical=0)])
"""


def _whole_run(folder: Path, url: str, came: Connection) -> str:
    """The same with all that a run does: from before it begins to the request."""
    root = folder / "project"
    for path, text in {
        "dq.toml": 'environment = "prod"\n[datasources.live]\nurl = "sqlite:///live.sqlite"\n',
        "checks/tiny.py": CHECKS_FILE,
        "alerting/routes.toml": ROUTES.format(url=url),
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    os.environ["BENCH_KEY"] = "k" * 32
    with sqlite3.connect(root / "live.sqlite") as live:
        live.execute("CREATE TABLE orders (day TEXT, amount REAL)")
    project = app.open_project(root)
    took = []
    for number in range(LATENCIES // 2):
        with sqlite3.connect(root / "live.sqlite") as live:
            live.execute("DELETE FROM orders")
            live.execute("INSERT INTO orders VALUES ('2026-11-24', ?)", (number % 2 or -1,))
        began = time.time()
        app.run(project, "tiny", DAY)
        took.append(1_000 * (_came_after(came, began) - began))
    return seconds(took)


def _came_after(came: Connection, began: float) -> float:
    """Return when the first request since ``began`` came; those of the masses before are passed over."""
    while (at := came.recv()) < began:
        pass
    return at


_numbers = count()


def _run(*, bad: bool, number: int, orgs: int = ORGS, checks: int = CHECKS) -> Run:
    outcome, severity = (Outcome.FAIL, Severity.CRITICAL) if bad else (Outcome.PASS, None)
    results = []
    for check in range(checks):
        common: dict[str, Any] = {"check": f"check {check}", "outcome": outcome, "severity": severity}
        found: dict[str, Any] = {"observed": 3.0, "threshold": "critical: 0", "sentence": "3 of 9 rows violate"}
        found = found if bad else {}
        results.append(Result(**common, **found, orgs=orgs, orgs_bad=orgs if bad else 0))
        if bad:
            results += [Result(**common, **found, group=Group(("org_id",), (str(org),))) for org in range(orgs)]
    return Run(
        id=str(next(_numbers)), suite="orders", kind="suite", environment="prod", interval=DAY, origin="bench",
        started_at=datetime.now(UTC), results=tuple(results), version=number,
    )  # fmt: skip


if __name__ == "__main__":
    main()
