"""A small project with one reconciliation, its data and its receivers, for tests that run it by the command line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from dq.cli import main
from dq.model.interval import Interval
from tests.receivers import MAIL, ONCALL, TEAM, Receivers

D1, D2, D3 = (Interval.of_day(f"2024-06-{day}") for day in (24, 25, 26))
TOML = """
environment = "ep_test"
[store]
url = "sqlite:///var/store.sqlite"
[datasources.live]
url = "sqlite:///live.sqlite"
"""
PIPE = """
from dq import *
def table(name):
    return Table("live", name, partition="day")
pipe = Reconciliation("pipe", by="org", to="mail", error=0, stages=[
    Stage("collected", table("collected")), Stage("db", table("db"), title="Database"),
    Stage("nrt", table("nrt"), after="collected")])
"""
ROUTES = f"""{TEAM}{ONCALL}{MAIL}
[channels.second]
type = "victorops"
url = "env:VO_URL"
routing_key = "data"
allow_http = true
[channels.deploys]
type = "pagerduty_change"
routing_key = "env:PAGER_KEY"
url = "env:PD_CHANGES"
allow_http = true
[route]
channels = ["team"]
[[route.routes]]
matchers = ['severity="critical"']
channels = ["team", "oncall", "second", "mail"]
"""


class Pipeline:
    """A project, its data and its receivers."""

    def __init__(self, root: Path, receivers: Receivers, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.root, self.receivers, self._patch, self._capsys = root, receivers, monkeypatch, capsys

    def load(self, day: Interval, orgs: Mapping[str, tuple[int, int, int]]) -> None:
        """Put so many records of each org into the three stages, in the place of what is there."""
        with sqlite3.connect(self.root / "live.sqlite") as live:
            for place, name in enumerate(("collected", "db", "nrt")):
                live.execute(f"CREATE TABLE IF NOT EXISTS {name} (day TEXT, org TEXT)")
                live.execute(f"DELETE FROM {name} WHERE day = ?", (str(day),))
                rows = [(str(day), org) for org, counts in orgs.items() for _ in range(counts[place])]
                live.executemany(f"INSERT INTO {name} VALUES (?, ?)", rows)
        live.close()

    def dq(self, *words: str, at: Interval | None = None, hours: int = 5) -> tuple[int, str, str]:
        """Give a command, some hours after the end of a day; return its exit code and what it wrote."""
        if at is not None:
            self._patch.setenv("DQ_NOW", (at.end + timedelta(hours=hours)).isoformat())
        with pytest.raises(SystemExit) as ended:
            main([*words, "--project", str(self.root)])
        shown = self._capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    def reconcile(self, day: Interval, *words: str, at: Interval | None = None) -> dict[str, Any]:
        """Reconcile a day in its morning after, or that of another one, and return the document."""
        code, out, _ = self.dq("reconcile", "pipe", "--date", str(day), "--json", *words, at=at or day)
        document: dict[str, Any] = json.loads(out)
        assert document["exit_code"] == code
        return document

    def notes(self, day: Interval) -> dict[str, str]:
        """Reconcile a day, and return the remarks on each org."""
        rows = self.reconcile(day)["ledger"]["rows"]
        return {row["org"]["org"]: "; ".join(row["notes"]) for row in rows}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the store."""
        return rows_of(self.root, sql)

    @property
    def open(self) -> list[tuple[str, str]]:
        """Stage and org of the incidents that are open."""
        return self.rows("SELECT part, org FROM dq_incident WHERE ended_at IS NULL ORDER BY part, org")

    @property
    def told(self) -> list[str]:
        """The first lines that Slack was told."""
        return [post["text"].splitlines()[0] for post in self.receivers.slack.posts]


def rows_of(root: Path, sql: str) -> list[tuple[Any, ...]]:
    """Return what the store of a project says, where that is ``var/store.sqlite``."""
    engine = create_engine(f"sqlite:///{root}/var/store.sqlite")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(sql))]
    engine.dispose()
    return found


@contextmanager
def running(
    make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Pipeline]:
    """The project, with receivers that run."""
    root = make_project(TOML, {"reports/pipe.py": PIPE, "alerting/routes.toml": ROUTES})
    with Receivers() as receivers:
        more = {"PD_CHANGES": receivers.pagerduty.change_url, "VO_URL": receivers.victorops.url}
        for name, value in (receivers.environment("k" * 32) | more).items():
            monkeypatch.setenv(name, value)
        yield Pipeline(root, receivers, monkeypatch, capsys)
