"""Promises of DAG runs and tasks: what a look at Airflow says, and what comes of it, whoever looks and whenever."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import ANY

import pytest
from attrs import define, field
from sqlalchemy import func, select

from dq import app, events
from dq.app.session import transaction
from dq.model.calendar import Calendar
from dq.model.incident import EARLY
from dq.model.kept import Answer
from dq.model.promise import GONE, ITSELF, LONGEST_SUBJECT, Promise, subject_of, whole
from dq.model.severity import Severity
from dq.model.sla import Sla
from dq.sla import observations, promises
from dq.sla.promises import BLIND
from dq.store import schema as t

pytest_plugins = ["tests.stores"]

RUN_AFTER = datetime(2026, 11, 20, 4, tzinfo=UTC)
DUE = RUN_AFTER + timedelta(hours=1)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def promised(run_id="scheduled__1", **more):
    values = {
        "dag_id": "orders",
        "task_id": "load",
        "run_id": run_id,
        "logical_date": RUN_AFTER,
        "run_after": RUN_AFTER,
        "created_at": RUN_AFTER + SECOND,
        "sla": Sla(within="1h"),
    }
    return Promise(**values | more)


@pytest.fixture
def told(empty_store):
    """Functions that write down and judge, each in a transaction of its own."""

    class Store:
        def record(self, promise, now):
            with empty_store.begin() as connection:
                return promises.record(connection, "prod", promise, now)

        def look(self, promise, state, now):
            with empty_store.begin() as connection:
                if promises.record(connection, "prod", promise, now):
                    promises.look(connection, "prod", promise, state, now, "triggerer")

        def says(self, promise, state, now):
            with empty_store.begin() as connection:
                observations.record(connection, "prod", promises.observed(promise, state, now, ITSELF))

        def judge(self, now):
            with empty_store.begin() as connection:
                return {p.run_id: one.verdict.answer for p, one in promises.judge(connection, "prod", now)}

        def open(self):
            with empty_store.connect() as connection:
                return promises.still_open(connection, "prod")

        def count(self, table):
            with empty_store.connect() as connection:
                return connection.execute(select(func.count()).select_from(table)).scalar()

    return Store()


STATES = [
    ("success", Answer.ON_TIME),
    ("failed", Answer.FAILED),
    ("upstream_failed", Answer.FAILED),
    ("skipped", Answer.EXCUSED),
    ("removed", Answer.EXCUSED),
    (GONE, Answer.EXCUSED),
    (None, Answer.NEVER_STARTED),
    ("scheduled", Answer.NEVER_STARTED),
    ("queued", Answer.NEVER_STARTED),
    ("running", Answer.LATE_RUNNING),
    ("up_for_retry", Answer.LATE_RUNNING),
    ("up_for_reschedule", Answer.LATE_RUNNING),
    ("deferred", Answer.LATE_RUNNING),
    ("restarting", Answer.LATE_RUNNING),
    ("a state of tomorrow", Answer.LATE_RUNNING),
]


@pytest.mark.parametrize(("state", "answer"), STATES)
def test_what_a_look_at_the_time_that_is_due_says(told, state, answer) -> None:
    told.look(promised(), state, DUE + SECOND)
    assert told.judge(DUE + MINUTE) == {"scheduled__1": answer}


@pytest.mark.parametrize("grace", [timedelta(0), 10 * MINUTE])
def test_its_own_word_is_more_exact_than_a_look(told, grace) -> None:
    over, sla = DUE + grace, Sla(within="1h", grace=grace)
    told.look(promised("seen first", sla=sla), "success", over + 3 * SECOND)
    told.says(promised("seen first"), "arrived", over + 4 * SECOND)  # the task's word comes a little after its state
    told.says(promised("said first"), "arrived", over + 2 * SECOND)
    told.look(promised("said first", sla=sla), "success", over + 3 * SECOND)
    told.says(promised("in time"), "arrived", over - SECOND)
    told.look(promised("in time", sla=sla), "success", over + 3 * SECOND)
    late, well = Answer.MET_AFTER_MISS, Answer.ON_TIME
    assert told.judge(over + MINUTE) == {"seen first": late, "said first": late, "in time": well}


def test_a_success_of_which_it_said_nothing_yet_waits_for_its_word(told) -> None:
    told.look(promised(), "success", DUE + SECOND)
    assert told.judge(DUE + 2 * SECOND) == {}
    assert told.judge(DUE + MINUTE) == {"scheduled__1": Answer.ON_TIME}


def test_it_is_not_waited_for_with_every_look_anew(told) -> None:
    for second in range(1, 40, 10):
        told.look(promised(), "success", DUE + second * SECOND)
    assert told.judge(DUE + 40 * SECOND) == {"scheduled__1": Answer.ON_TIME}


def test_what_was_seen_not_done_after_the_time_is_late_whoever_marks_it(told) -> None:
    told.look(promised(), "running", DUE + SECOND)
    told.look(promised(), "success", DUE + 5 * MINUTE)
    assert told.judge(DUE + 6 * MINUTE) == {"scheduled__1": Answer.MET_AFTER_MISS}


def test_a_failed_task_that_is_cleared_and_succeeds_is_met_after_a_miss_or_in_time(told) -> None:
    for run, at in (("late", DUE + 9 * MINUTE), ("in time", DUE - 9 * MINUTE)):
        told.says(promised(run), "failed", DUE - 20 * MINUTE)
        told.says(promised(run), "arrived", at)
        told.look(promised(run), "success", DUE + 10 * MINUTE)
    assert told.judge(DUE + 11 * MINUTE) == {"late": Answer.MET_AFTER_MISS, "in time": Answer.ON_TIME}


def test_what_is_settled_is_judged_no_more(told) -> None:
    told.look(promised("well"), "success", DUE + SECOND)
    told.look(promised("gone"), "skipped", DUE + SECOND)
    told.look(promised("bad"), "failed", DUE + SECOND)
    assert set(told.judge(DUE + MINUTE)) == {"well", "gone", "bad"}
    assert [one.promise.run_id for one in told.open()] == ["bad"]
    assert told.judge(DUE + 2 * MINUTE) == {"bad": Answer.FAILED}


def test_nothing_is_said_before_the_time_that_is_due(told) -> None:
    told.look(promised(), None, DUE - 10 * MINUTE)
    assert told.judge(DUE - SECOND) == {}


def test_where_nobody_looked_it_is_told_as_unmeasured_after_a_while(told) -> None:
    told.look(promised(), "running", DUE - MINUTE)  # too early to say anything
    assert told.judge(DUE + MINUTE) == {}
    assert told.judge(DUE + BLIND) == {"scheduled__1": Answer.UNMEASURED}
    told.look(promised(), "success", DUE + BLIND + MINUTE)
    assert told.judge(DUE + BLIND + 3 * MINUTE) == {"scheduled__1": Answer.ON_TIME}


def test_its_own_word_needs_no_look(told) -> None:
    told.record(promised(), RUN_AFTER)
    told.says(promised(), "arrived", DUE - MINUTE)
    assert told.judge(DUE + SECOND) == {"scheduled__1": Answer.ON_TIME}


def test_its_own_word_is_known_by_the_run_whatever_it_says_of_the_interval(told) -> None:
    told.look(promised(), "running", DUE + SECOND)
    told.says(promised(logical_date=None, run_after=RUN_AFTER + SECOND), "arrived", DUE + MINUTE)
    assert told.judge(DUE + 2 * MINUTE) == {"scheduled__1": Answer.MET_AFTER_MISS}


def test_a_run_that_a_new_dag_catches_up_with_is_not_promised(told) -> None:
    past = promised("past", created_at=DUE + timedelta(days=3))
    assert told.record(past, DUE + timedelta(days=3)) is False
    assert told.record(promised("today", run_after=DUE + timedelta(days=3)), DUE + timedelta(days=3)) is True
    told.look(past, None, DUE + timedelta(days=3))
    assert [one.promise.run_id for one in told.open()] == ["today"]


def test_a_run_that_is_made_too_late_is_late_where_the_dag_was_known(told) -> None:
    before = RUN_AFTER - timedelta(days=1)
    told.record(promised("yesterday", run_after=before, created_at=before), before)
    told.look(promised("too late", created_at=DUE + MINUTE), None, DUE + 2 * MINUTE)
    assert told.judge(DUE + 3 * MINUTE)["too late"] is Answer.NEVER_STARTED


def test_writing_the_same_down_again_changes_nothing(told) -> None:
    for _ in range(3):
        told.look(promised(), "running", DUE + SECOND)
    assert (told.count(t.promise), told.count(t.observation)) == (1, 1)
    one = told.open()[0]
    assert one.promise == promised()
    assert one.looked_at == DUE + SECOND


def test_ids_as_long_as_airflow_allows_are_told_apart(told) -> None:
    long, run = "x" * 250, "manual__" + "y" * 242
    for task in ("a" * 249 + "1", "a" * 249 + "2"):
        told.look(promised(run, dag_id=long, task_id=task), "failed", DUE + SECOND)
    assert told.count(t.promise) == 2
    assert len(subject_of(long, "a" * 250)) == LONGEST_SUBJECT


@pytest.mark.parametrize(
    ("sla", "due"),
    [
        (Sla(within="90m"), RUN_AFTER + 90 * MINUTE),
        (Sla(due="06:00"), datetime(2026, 11, 20, 6, tzinfo=UTC)),
        (Sla(due="03:00"), datetime(2026, 11, 21, 3, tzinfo=UTC)),
        (Sla(due="06:00", tz="Europe/Berlin"), datetime(2026, 11, 20, 5, tzinfo=UTC)),
    ],
)
def test_when_a_run_is_due(sla, due) -> None:
    assert promised(sla=sla).due_at == due
    early = RUN_AFTER - timedelta(days=1)  # the logical date of a run with a data interval
    assert promised(sla=sla, logical_date=early).due_at == due
    assert promised(sla=sla, logical_date=None).due_at == due


def test_the_state_of_a_mapped_task_is_that_of_the_instance_that_is_not_done() -> None:
    assert whole(["success", "success"]) == "success"
    assert whole(["success", "skipped"]) == "success"
    assert whole(["skipped", "skipped"]) == "skipped"
    assert whole(["success", None]) is None
    assert whole(["success", "running", None]) == "running"
    assert whole(["failed", "running"]) == "failed"
    assert whole([]) is None


def test_what_is_done_within_its_grace_is_in_time_and_nothing_is_told_before(told) -> None:
    graceful = promised(sla=Sla(within="1h", grace="20m"))
    told.look(graceful, "running", DUE + MINUTE)
    assert told.judge(DUE + 15 * MINUTE) == {"scheduled__1": Answer.PENDING}
    told.look(graceful, "success", DUE + 16 * MINUTE)  # and it says nothing itself
    assert told.judge(DUE + 17 * MINUTE) == {"scheduled__1": Answer.ON_TIME}
    assert told.open() == ()


def test_what_nobody_saw_not_done_after_its_grace_was_in_time(told) -> None:
    graceful = promised(sla=Sla(within="1h", grace="20m"))
    told.look(graceful, "running", DUE + MINUTE)
    assert told.judge(DUE + 21 * MINUTE) == {}
    told.look(graceful, "success", DUE + 25 * MINUTE)
    assert told.judge(DUE + 26 * MINUTE) == {"scheduled__1": Answer.ON_TIME}


def test_a_rung_is_climbed_only_when_somebody_looked_since(told) -> None:
    ladder = promised(sla=Sla(within="1h", error="30m"))
    told.look(ladder, "running", DUE + SECOND)
    assert told.judge(DUE + 29 * MINUTE) == {"scheduled__1": Answer.LATE_RUNNING}  # which is not bad enough
    assert told.judge(DUE + 31 * MINUTE) == {}
    assert told.judge(DUE + 30 * MINUTE + BLIND) == {"scheduled__1": Answer.UNMEASURED}
    told.look(ladder, "running", DUE + 45 * MINUTE)
    assert told.judge(DUE + 46 * MINUTE) == {"scheduled__1": Answer.LATE_RUNNING}


def test_what_was_seen_done_before_a_rung_is_judged_though_nobody_looked_since(told) -> None:
    ladder = promised(sla=Sla(within="1h", error="30m"))
    told.look(ladder, "running", DUE + SECOND)
    told.look(ladder, "success", DUE + 29 * MINUTE)
    assert told.judge(DUE + 30 * MINUTE) == {"scheduled__1": Answer.LATE_BUT_DONE}


WARNED = Sla(within="1h", warn_before="30m")


def test_a_promise_that_was_written_down_early_is_judged_when_somebody_looked_since_it_is_due(told) -> None:
    told.record(promised(sla=WARNED), RUN_AFTER)
    assert told.judge(DUE - 31 * MINUTE) == {"scheduled__1": Answer.PENDING}
    assert told.judge(DUE - 30 * MINUTE) == {"scheduled__1": Answer.AT_RISK}
    told.look(promised(sla=WARNED), "running", DUE - SECOND)
    assert told.judge(DUE + MINUTE) == {}
    told.look(promised(sla=WARNED), "running", DUE + MINUTE)
    assert told.judge(DUE + 2 * MINUTE) == {"scheduled__1": Answer.LATE_RUNNING}


def test_what_is_marked_as_done_before_it_is_due_is_settled_at_once(told) -> None:
    told.look(promised(sla=WARNED), "success", DUE - 20 * MINUTE)
    assert told.judge(DUE - 19 * MINUTE) == {"scheduled__1": Answer.ON_TIME}
    assert told.open() == ()


def test_what_failed_is_at_risk_at_once(told) -> None:
    told.record(promised(sla=WARNED), RUN_AFTER)
    told.says(promised(), "failed", DUE - 50 * MINUTE)
    assert told.judge(DUE - 49 * MINUTE) == {"scheduled__1": Answer.AT_RISK}


def test_what_is_skipped_may_be_cleared_until_its_time_is_over(told) -> None:
    told.look(promised("cleared", sla=WARNED), "skipped", DUE - 20 * MINUTE)
    told.look(promised("skipped", sla=WARNED), "skipped", DUE - 20 * MINUTE)
    assert set(told.judge(DUE - 19 * MINUTE).values()) == {Answer.EXCUSED}
    told.look(promised("cleared", sla=WARNED), "running", DUE + SECOND)
    told.look(promised("skipped", sla=WARNED), "skipped", DUE + SECOND)
    assert told.judge(DUE + MINUTE) == {"cleared": Answer.LATE_RUNNING, "skipped": Answer.EXCUSED}
    assert [one.promise.run_id for one in told.open()] == ["cleared"]


def test_when_it_is_due_stays_as_it_was_written_down(told) -> None:
    holidays = Sla(due="06:00", due_on=Calendar(holidays="XX"))  # which another version knew
    told.look(promised("of then", sla=holidays, due_at=DUE), "running", DUE + SECOND)
    told.look(promised("other"), "running", DUE + SECOND)
    assert told.judge(DUE + MINUTE) == dict.fromkeys(("of then", "other"), Answer.LATE_RUNNING)


# ---------------------------------------------------------------------------------------------- through the whole of it


@pytest.fixture
def project(tmp_path: Path):
    (tmp_path / "dq.toml").write_text('environment = "prod"\n')
    (tmp_path / "alerts_of_a_team.py").write_text(
        "CALLS = []\n\n\ndef tell(dag, task_list, blocking_task_list, slas, blocking_tis):\n"
        "    CALLS.append((dag.dag_id, task_list, [s.execution_date for s in slas], [b.state for b in blocking_tis]))\n"
    )
    return app.open_project(tmp_path)


def incidents(project):
    return [
        (alert.incident.key.subject, alert.incident.key.part, str(alert.incident.severity), alert.incident.ended)
        for alert in app.alerts(project, all=True, now=DUE + timedelta(hours=2))
    ]


def test_a_late_task_is_one_incident_that_ends_when_it_is_done(project, monkeypatch, tmp_path) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    calls = importlib.import_module("alerts_of_a_team").CALLS
    one = promised(sla=Sla(within="1h", severity="error", on_miss="alerts_of_a_team:tell"), labels={"owner": "data"})
    app.promise(project, [one], states={one: "running"}, source="triggerer", now=DUE + SECOND)
    for minute in range(3):
        late = app.sla_check(project, DUE + (1 + minute) * MINUTE, pump=False)
        assert [verdict.answer for verdict in late] == [Answer.LATE_RUNNING]
    found = app.alerts(project, now=DUE + 5 * MINUTE)
    assert [str(alert.incident.severity) for alert in found] == ["error"]
    labels = found[0].incident.labels
    assert {name: labels[name] for name in ("dag", "task", "owner", "kind", "sla", "environment")} == {
        "dag": "orders", "task": "load", "owner": "data", "kind": "sla", "sla": "task:orders.load",
        "environment": "prod",
    }  # fmt: skip
    assert "suite" not in labels
    assert "run scheduled__1 was due 2026-11-20 05:00 UTC and has not finished" in found[0].incident.sentence
    app.observe(project, promises.observed(one, "arrived", DUE + 9 * MINUTE, ITSELF))
    app.sla_check(project, DUE + 10 * MINUTE, pump=False)
    assert incidents(project) == [("task:orders.load", "scheduled__1", "error", "recovered")]
    assert calls == [("orders", "load on 2026-11-20T04:00:00+00:00", [RUN_AFTER], ["running"])]


def test_what_is_warned_of_gets_worse_as_it_gets_later(project) -> None:
    one = promised(sla=Sla(within="1h", warn_before="30m", grace="5m", warning=0, error="20m", critical="40m"))
    app.promise(project, [one], source="triggerer", now=RUN_AFTER)
    seen = []
    for minute in range(-40, 60, 2):
        now = DUE + minute * MINUTE
        app.promise(project, [one], states={one: "running"}, source="watch", now=now)
        app.sla_check(project, now, pump=False)
        found = [(str(alert.incident.severity), EARLY in alert.incident.labels) for alert in app.alerts(project)]
        if found and found not in [known for _, known in seen]:
            seen.append((minute, found))
    assert seen == [
        (-30, [("warning", True)]),
        (6, [("warning", False)]),
        (20, [("error", False)]),
        (40, [("critical", False)]),
    ]
    assert missed(project) == ["scheduled__1"]


def test_runs_of_a_dag_and_its_tasks_are_promises_of_their_own(project) -> None:
    several = [promised(run, task_id=task) for run in ("a", "b") for task in ("", "load", "load2")]
    app.promise(project, several, states=dict.fromkeys(several, "failed"), source="triggerer", now=DUE + SECOND)
    app.sla_check(project, DUE + MINUTE, pump=False)
    assert sorted((subject, part) for subject, part, *_ in incidents(project)) == [
        (subject, run) for subject in ("dag:orders", "task:orders.load", "task:orders.load2") for run in ("a", "b")
    ]


@pytest.mark.soak
def test_however_it_is_looked_at_each_miss_is_told_once(tmp_path, histories) -> None:
    """Random lives of tasks, looked at and judged at random times; an oracle knows what truly happened."""
    for number, rng in enumerate(histories(10, 200)):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "dq.toml").write_text('environment = "prod"\n')
        live(app.open_project(tmp_path / str(number)), rng)


LADDERS = [{}, {}, {"warning": 0, "critical": 20}, {"error": 12}, {"info": 4, "warning": 9}]
"""How late (minutes) is how bad."""


@define
class Life:
    """A task: what is promised of it, what truly happens and what is seen; in minutes after it was due.

    ``told`` is what dq has to say of it, worked out from the table in ``dq.sla.promises``.
    """

    promise: Promise
    grace: float
    warn: float | None
    ladder: dict[str, float]
    start: float
    end: float | None
    how: str
    tells: bool
    said: bool = False
    looks: list[tuple[float, str | None]] = field(factory=list)
    told: set[str] = field(factory=set)
    warned: bool = False

    def state(self, moment):
        return None if moment < self.start else "running" if self.end is None or moment < self.end else self.how

    def severity(self, late):
        rungs = [name for name, rung in self.ladder.items() if late >= max(rung, self.grace)]
        return {rungs[-1]} if rungs else set()

    def done(self):
        """When it was done, as far as anybody can know; None: it is not."""
        if self.said and self.how == "success":
            return self.end
        for n, (at, state) in enumerate(self.looks):
            if state == "success":
                seen_late = any(before > self.grace for before, _ in self.looks[:n])
                return at if seen_late else min(at, self.grace)
        return None

    def judge(self, now):
        if not self.looks and self.warn is None:
            return
        done = self.done()
        if done is not None:
            if done > self.grace and not self.told:  # else it ends as bad as it was told
                self.told = self.severity(done)
        elif any(state == "skipped" for _, state in self.looks):
            pass
        elif now <= self.grace:
            failed = self.how == "failed" and (self.said or any(state == "failed" for _, state in self.looks))
            self.warned |= self.warn is not None and (now >= -self.warn or failed)
        else:
            turns = [self.grace, *(max(rung, self.grace) for rung in self.ladder.values())]
            turn = max(at for at in turns if at <= now)
            if self.looks and self.looks[-1][0] >= turn:
                self.told |= self.severity(now)


def lives_of(rng):
    for n in range(8):
        start, end = rng.uniform(-59, 30), rng.choice([None, rng.uniform(-50, 40)])
        grace, warn, ladder = rng.choice([0, 0, 8]), rng.choice([None, 25]), rng.choice(LADDERS)
        more = {"grace": grace * MINUTE, "warn_before": warn and warn * MINUTE}
        rungs = {name: rung * MINUTE for name, rung in ladder.items()}
        yield Life(
            promise=promised(f"run{n}", sla=Sla(within="1h", **more, **rungs)),
            grace=grace,
            warn=warn,
            ladder=ladder or {"critical": 0},
            start=start,
            end=None if end is None else max(end, start),
            how=rng.choice(["success", "success", "failed", "skipped"]),
            tells=rng.random() < 0.8,
        )


def live(project, rng) -> None:
    lives = list(lives_of(rng))
    early = [life.promise for life in lives if life.warn is not None]
    app.promise(project, early, source="triggerer", now=DUE - 59 * MINUTE)
    for moment in [*sorted(rng.uniform(-50, 60) for _ in range(40)), 61.0, 62.0, 70.0]:
        now = DUE + moment * MINUTE
        for life in lives:
            state = life.state(moment)
            if state in ("success", "failed") and life.tells and not life.said:
                life.said = True
                word = "arrived" if state == "success" else "failed"
                app.observe(project, promises.observed(life.promise, word, DUE + life.end * MINUTE, ITSELF))
            waited = moment - (life.looks[-1][0] if life.looks else -99) > 4  # never so long that nobody knows anything
            if moment >= -(life.warn or 0) and (waited or rng.random() < 0.7):
                app.promise(project, [life.promise], states={life.promise: state}, source="watch", now=now)
                life.looks.append((moment, state))
        app.sla_check(project, now + SECOND, pump=False)
        for life in lives:
            life.judge(moment + 1 / 60)
    app.sla_check(project, DUE + 71 * MINUTE, pump=False)
    assert sorted(incidents(project)) == sorted(
        (
            "task:orders.load",
            life.promise.run_id,
            max(life.told or {"warning"}, key=Severity.of),
            ANY if life.end is not None and life.how != "failed" else None,
        )
        for life in lives
        if life.told or life.warned
    )
    assert sorted(missed(project)) == sorted(life.promise.run_id for life in lives if life.told)


def missed(project):
    with transaction(project) as connection:
        bodies = connection.execute(select(t.event.c.body).where(t.event.c.name == str(events.EventName.SLA_MISSED)))
        return [json.loads(body)["run"] for body in bodies.scalars()]
