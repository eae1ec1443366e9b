"""Promises of DAG runs and tasks: what a look at Airflow says, and what comes of it, whoever looks and whenever."""

from __future__ import annotations

import importlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from dq import app, events
from dq.app.session import transaction
from dq.model.kept import Answer
from dq.model.promise import GONE, ITSELF, LONGEST_SUBJECT, Promise, subject_of, whole
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


def test_its_own_word_is_more_exact_than_a_look(told) -> None:
    told.look(promised("seen first"), "success", DUE + 3 * SECOND)
    told.says(promised("seen first"), "arrived", DUE + 4 * SECOND)  # the task's word comes a little after its state
    told.says(promised("said first"), "arrived", DUE + 2 * SECOND)
    told.look(promised("said first"), "success", DUE + 3 * SECOND)
    told.says(promised("in time"), "arrived", DUE - SECOND)
    told.look(promised("in time"), "success", DUE + 3 * SECOND)
    late, well = Answer.MET_AFTER_MISS, Answer.ON_TIME
    assert told.judge(DUE + MINUTE) == {"seen first": late, "said first": late, "in time": well}


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


def live(project, rng) -> None:
    truth, seen = {}, {}
    lives = {}
    for n in range(8):
        run = f"run{n}"
        end = rng.choice([None, rng.uniform(-30, 40)])  # minutes after it was due
        how = rng.choice(["success", "success", "failed", "skipped"])
        start = rng.uniform(-59, 30)
        lives[run] = (start, None if end is None else max(end, start), how, rng.random() < 0.8)
    moments = sorted(rng.uniform(-20, 60) for _ in range(30))
    said = set()
    for moment in [*moments, 61.0, 62.0]:
        now = DUE + moment * MINUTE
        for run, (start, end, how, tells) in lives.items():
            one = promised(run)
            state = None if moment < start else "running" if end is None or moment < end else how
            if state in ("success", "failed") and tells and run not in said:
                said.add(run)
                word = "arrived" if state == "success" else "failed"
                app.observe(project, promises.observed(one, word, DUE + end * MINUTE, ITSELF))
            if moment >= 0 and (rng.random() < 0.7 or moment > 60):
                app.promise(project, [one], states={one: state}, source="watch", now=now)
                if state not in ("success", "skipped"):
                    seen[run] = True
        app.sla_check(project, now + SECOND, pump=False)
    app.sla_check(project, DUE + 70 * MINUTE, pump=False)
    for run, (_, end, how, tells) in lives.items():
        done_late = end is None or how == "failed" or end > 0
        truth[run] = done_late and (seen.get(run, False) or (how == "success" and tells and end is not None))
    found = {(part, ended is None) for _, part, _, ended in incidents(project)}
    still = {run for run, (_, end, how, _) in lives.items() if end is None or how == "failed"}
    assert found == {(run, run in still) for run, late in truth.items() if late}
    assert sorted(missed(project)) == sorted(run for run, late in truth.items() if late)


def missed(project):
    with transaction(project) as connection:
        bodies = connection.execute(select(t.event.c.body).where(t.event.c.name == str(events.EventName.SLA_MISSED)))
        return [json.loads(body)["run"] for body in bodies.scalars()]
