"""What a scheduler says of tasks and runs: the tables of dq.alerting.dags and steps, on every store."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from sqlalchemy import select

from dq import app
from dq.alerting.dags import THE_DEADLINE, THE_RUN, Happened, What, part_of
from dq.alerting.mute import muter
from dq.alerting.steps import Ended, Step, ended_message, state_of_step, went_well
from dq.app.session import store_engine, transaction
from dq.masking import HIDDEN, told_error
from dq.model.errors import DeclarationError, UsageError
from dq.model.incident import Incident, IncidentKey
from dq.model.interval import Interval
from dq.project import Project
from dq.store.schema import event, outbox
from tests.receivers import ONCALL, TEAM, Receivers

KEY = "R0UT1NGKEY" * 3 + "xy"
TOML = 'environment = "test"\n[store]\nurl = "env:STORE"\n'
ROUTES = TEAM + ONCALL + '[route]\nchannels = ["team", "oncall"]\n'


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with Receivers() as listening:
        yield listening


def opened(
    url: str, make_project: Callable[..., Path], receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Project]:
    secrets = {"STORE": url, **receivers.environment(KEY)}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    root = make_project(TOML, {"alerting/routes.toml": ROUTES})
    (root / "var").mkdir()
    found = app.open_project(root)
    app.upgrade(found)
    yield found
    store_engine(found).dispose()


@pytest.fixture(params=["sqlite", "postgres", "mariadb"])
def project(request, make_project, receivers, monkeypatch) -> Iterator[Project]:
    """A project whose store is on each database in turn."""
    name = request.param
    url = "sqlite:///var/dq.sqlite" if name == "sqlite" else request.getfixturevalue(f"{name}_url")
    yield from opened(url, make_project, receivers, monkeypatch)


@pytest.fixture
def local(make_project, receivers, monkeypatch) -> Iterator[Project]:
    """The same on SQLite only."""
    yield from opened("sqlite:///var/dq.sqlite", make_project, receivers, monkeypatch)


def day(number: int) -> Interval:
    return Interval.of_day(f"2026-11-{number:02}")


def said(what: What, on: int = 2, **given: object) -> Happened:
    about: dict[str, object] = {"dag": "orders", "run": f"scheduled__{on}", "interval": day(on), "sentence": what.value}
    if what.value.startswith("task"):
        about["task"] = "load"
    return Happened(what=what, **about | given)  # type: ignore[arg-type]  # a table gives the rest


def shown(project: Project) -> dict[str, str]:
    """What is open, by part."""
    return {a.incident.key.part: str(a.incident.severity) for a in app.alerts(project) if a.incident.ended_at is None}


def only(project: Project) -> Incident:
    (alert,) = app.alerts(project)
    return alert.incident


def names(project: Project) -> list[str]:
    with transaction(project) as connection:
        return [row.name for row in connection.execute(select(event).order_by(event.c.id))]


# --- what happened, to what is open ------------------------------------------------------------------------------

FAILED, RETRIED, FINE = said(What.TASK_FAILED), said(What.TASK_RETRIED), said(What.TASK_SUCCEEDED)
RUN_FAILED, RUN_FINE, LATE = said(What.RUN_FAILED), said(What.RUN_SUCCEEDED), said(What.RUN_LATE)
OTHER = said(What.TASK_FAILED, task="other")


@pytest.mark.parametrize(
    ("history", "left"),
    [
        ([FINE, RUN_FINE], {}),
        ([RETRIED], {}),
        ([RETRIED, FINE], {}),
        ([FAILED], {"load": "error"}),
        ([FAILED, FAILED], {"load": "error"}),
        ([FAILED, FINE], {}),
        ([FAILED, said(What.TASK_SUCCEEDED, 3)], {}),
        ([FAILED, said(What.TASK_SUCCEEDED, 1)], {"load": "error"}),
        ([FAILED, OTHER, FINE], {"other": "error"}),
        ([FAILED, RUN_FAILED], {"load": "error", THE_RUN: "error"}),
        ([FAILED, RUN_FAILED, FINE, RUN_FINE], {}),
        ([RUN_FAILED, said(What.RUN_SUCCEEDED, 1)], {THE_RUN: "error"}),
        ([RUN_FAILED, said(What.RUN_SUCCEEDED, 3)], {}),
        # a run says well only of tasks that it saw succeed
        ([FAILED, RUN_FINE], {"load": "error"}),
        ([FAILED, said(What.RUN_SUCCEEDED, 3, states={"load": "success"})], {}),
        ([FAILED, said(What.RUN_SUCCEEDED, 1, states={"load": "success"})], {"load": "error"}),
        ([FAILED, said(What.RUN_SUCCEEDED, 3, states={"load": "skipped"})], {"load": "error"}),
        ([FAILED, OTHER, said(What.RUN_FAILED, 3, states={"load": "success", "other": "failed"})],
         {"other": "error", THE_RUN: "error"}),
        # deadlines
        ([LATE], {THE_DEADLINE: "error"}),
        ([said(What.RUN_LATE, over=True)], {}),
        ([LATE, FINE], {THE_DEADLINE: "error"}),
        ([LATE, RUN_FAILED], {THE_DEADLINE: "error", THE_RUN: "error"}),
        ([LATE, RUN_FINE], {}),
        # mapped tasks are tasks of their own
        ([said(What.TASK_FAILED, index=0), said(What.TASK_FAILED, index=1), said(What.TASK_SUCCEEDED, index=0)],
         {"load[1]": "error"}),
        ([said(What.TASK_FAILED, index=4), said(What.RUN_SUCCEEDED, 3, states={"load[0]": "success"})], {}),
        ([said(What.TASK_FAILED, index=4), said(What.RUN_SUCCEEDED, 3, states={"load": "skipped"})],
         {"load[4]": "error"}),
        ([said(What.TASK_FAILED, index=4), said(What.RUN_SUCCEEDED, 1, states={"load[0]": "success"})],
         {"load[4]": "error"}),
        ([FAILED, said(What.RUN_SUCCEEDED, 3, states={"load[0]": "success"})], {}),
        # tasks that are gone
        ([FAILED, said(What.TASK_FAILED, 3, task="other", tasks={"other"})], {"other": "error"}),
        ([FAILED, said(What.TASK_FAILED, 1, task="other", tasks={"other"})], {"load": "error", "other": "error"}),
        ([FAILED, said(What.TASK_FAILED, 3, task="other", tasks={"other", "load"})],
         {"load": "error", "other": "error"}),
        ([RUN_FAILED, said(What.TASK_FAILED, 3, tasks={"load"})], {"load": "error", THE_RUN: "error"}),
    ],
)  # fmt: skip
def test_what_is_open_after_what_happened(local: Project, history: list[Happened], left: dict[str, str]) -> None:
    for number, happened in enumerate(history):
        app.notice(local, happened, now=datetime(2026, 11, 21, 5, number, tzinfo=UTC))
    assert shown(local) == left


def test_the_same_on_every_store(project: Project) -> None:
    assert app.notice(project, FAILED, severity="warning") == ("opened: load",)
    assert app.notice(project, FAILED) == ("worsened: load",)
    assert app.notice(project, said(What.TASK_SUCCEEDED, 1)) == ()
    assert app.notice(project, RETRIED, retries=True, severity="warning") == ("eased: load",)
    gone = said(What.RUN_FAILED, 3, tasks={"other"}, states={"other": "failed"})
    assert app.notice(project, gone, severity="critical") == (f"opened: {THE_RUN}", "vanished: load")
    assert shown(project) == {THE_RUN: "critical"}
    assert names(project) == [
        "task_failed", "incident_opened", "task_failed", "incident_changed", "task_retried", "incident_changed",
        "dag_failed", "incident_opened", "incident_ended",
    ]  # fmt: skip


def test_a_success_writes_nothing_where_nothing_was_wrong(local: Project) -> None:
    assert app.notice(local, FINE) == app.notice(local, RUN_FINE) == ()
    assert names(local) == []


def test_what_is_stored_has_labels_links_and_the_run(local: Project) -> None:
    links = {"Log": "https://air.test/log", "Bad": "javascript:x"}
    app.notice(local, said(What.TASK_FAILED, owner="sales", tags={"b", "a"}, links=links, index=7))
    incident = only(local)
    assert (incident.key.kind, incident.key.group) == ("dag", "test/dag/orders")
    assert incident.labels == {
        "dag": "orders", "task": "load", "owner": "sales", "tags": "a,b", "_run": "scheduled__2",
    }  # fmt: skip
    assert incident.links == {"Log": "https://air.test/log"}
    assert incident.key.part == "load[7]"


def test_ids_as_long_as_airflow_takes_them_are_told_apart(project: Project) -> None:
    for dag in ("d" * 249 + "1", "d" * 249 + "2"):
        for task in ("t" * 249 + "1", "t" * 249 + "2"):
            app.notice(project, said(What.TASK_FAILED, dag=dag, task=task, index=12345))
    assert len({a.incident.key for a in app.alerts(project)}) == 4
    for dag in ("d" * 249 + "1", "d" * 249 + "2"):
        states = {part_of("t" * 249 + "1", 12345): "success", part_of("t" * 249 + "2", 12345): "success"}
        app.notice(project, said(What.RUN_SUCCEEDED, dag=dag, states=states))
    assert shown(project) == {}


def test_an_unknown_severity_is_refused(local: Project) -> None:
    with pytest.raises(DeclarationError, match="unknown severity 'loud'"):
        app.notice(local, FAILED, severity="loud")


def test_random_histories_end_as_the_newest_word_says(
    local: Project, histories: Callable[[int, int], Iterator[random.Random]]
) -> None:
    """Of each task: open if the newest run that said anything failed last, whatever came in between."""
    for number, rng in enumerate(histories(12, 400)):
        dag, newest = f"dag{number}", dict[str, tuple[int, bool]]()
        for _ in range(rng.randint(1, 25)):
            on, task, good = rng.randint(1, 9), rng.choice("abc"), rng.random() < 0.5
            app.notice(local, said(What.TASK_SUCCEEDED if good else What.TASK_FAILED, on, dag=dag, task=task))
            at, was_good = newest.get(task, (0, True))
            if (was_good and not good) or (not was_good and on >= at):
                newest[task] = (on, good)
        is_open = {a.incident.key.part for a in app.alerts(local) if a.incident.key.subject == dag}
        assert is_open == {task for task, (_, good) in newest.items() if not good}


# --- what people are told ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_thousand_failing_tasks_are_one_message(project: Project, receivers: Receivers) -> None:
    for number in range(1_000):
        link = {"Log": f"https://air.test/log/{number}"}
        app.notice(project, said(What.TASK_FAILED, index=number, links=link), severity="error")
    app.notice(project, said(What.TASK_FAILED, task="worst"), severity="critical")
    app.notice(project, RUN_FAILED)
    assert app.pump(project).sent == 2
    (post,) = receivers.slack.posts
    text = json.dumps(post)
    assert "TEST - Airflow requires an action: DAG orders, 1001 tasks failed" in text
    assert "worst" in text
    (trigger,) = receivers.pagerduty.received
    assert trigger["payload"]["severity"] == "critical"
    assert app.pump(project).sent == 0
    states = {part_of("load", number): "success" for number in range(1_000)} | {"worst": "success"}
    app.notice(project, said(What.RUN_SUCCEEDED, 3, states=states))
    assert app.pump(project).sent == 2
    assert "DAG orders: 1001 tasks succeeded after" in json.dumps(receivers.slack.posts[-1])
    assert shown(project) == {}


@pytest.mark.parametrize(
    ("history", "title", "after"),
    [
        ([FAILED], "Airflow requires an action: DAG orders, task load failed", "DAG orders: task load succeeded after"),
        ([FAILED, RUN_FAILED], "Airflow requires an action: DAG orders, task load failed",
         "DAG orders: task load succeeded after"),
        ([FAILED, OTHER], "Airflow requires an action: DAG orders, 2 tasks failed",
         "DAG orders: 2 tasks succeeded after"),
        ([RUN_FAILED], "Airflow requires an action: DAG orders, run failed", "DAG orders: run succeeded after"),
        ([LATE], "Airflow requires an action: DAG orders, deadline missed", "DAG orders: run succeeded after"),
    ],
)  # fmt: skip
def test_titles(local: Project, receivers: Receivers, history: list[Happened], title: str, after: str) -> None:
    for happened in history:
        app.notice(local, happened)
    app.pump(local)
    (post,) = receivers.slack.posts
    assert f"TEST - {title}" in json.dumps(post)
    assert "DAG run" in json.dumps(post) and "scheduled__2" in json.dumps(post)
    app.notice(local, said(What.RUN_SUCCEEDED, 3, states={"load": "success", "other": "success"}))
    app.pump(local)
    resolved = json.dumps(receivers.slack.posts[-1])
    assert f"TEST - {after}" in resolved and f"Before: {title}." in resolved
    assert [alert.open for alert in receivers.pagerduty.alerts.values()] == [False]


@pytest.mark.parametrize(("kind", "why"), [("dag", []), ("suite", ["blocked"])])
def test_a_dag_mutes_no_suite_that_names_its_namesake_as_upstream(local: Project, kind: str, why: list[str]) -> None:
    app.notice(local, FAILED, severity="critical")
    failed = only(local)
    source = evolve(failed, key=evolve(failed.key, kind=kind))
    labels = {"suite": "billing", "_upstream": '["orders"]'}
    below = evolve(failed, id=99, key=IncidentKey("test", "suite", "billing", "amount"), labels=labels)
    mutes = muter([], [], [source, below], datetime(2026, 11, 21, tzinfo=UTC))
    assert [mute.why for mute in mutes(below)] == why


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"dag": "orders"}, {"kind": "dag", "subject": "orders", "dag": "orders", "task": "example"}),
        ({"task": "load"}, {"kind": "dag", "part": "load", "task": "load"}),
        ({"kind": "dag", "part": THE_RUN}, {"kind": "dag", "part": THE_RUN}),
    ],
)
def test_routes_are_explained_for_dags(local: Project, given: dict[str, str], seen: dict[str, str]) -> None:
    labels = app.explain_routes(local, given).labels
    assert seen.items() <= labels.items()
    assert ("task" in labels) == ("task" in seen)
    assert "suite" not in labels and "check" not in labels


def test_two_workers_at_once(project: Project) -> None:
    """Both tables of incidents and the lock of the group: nothing is lost, and nothing deadlocks."""
    problems: list[BaseException] = []

    def work(task: str) -> None:
        try:
            for _ in range(5):
                app.notice(project, said(What.TASK_FAILED, task=task))
                app.notice(project, said(What.TASK_SUCCEEDED, task=task))
            app.notice(project, said(What.TASK_FAILED, task=task))
        except BaseException as error:  # noqa: BLE001  # a thread of its own has nobody to raise to
            problems.append(error)

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert shown(project) == dict.fromkeys(("t0", "t1", "t2", "t3"), "error")


# --- words of exceptions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("no rows"), "ValueError: no rows"),
        (ValueError(), "ValueError"),
        ("killed externally", "killed externally"),
        (OSError("cannot reach postgresql://dq:hunter2@db/shop?x=1 now"), "OSError: cannot reach (address) now"),
        (ValueError("password=hunter2, user=dq"), f"ValueError: password={HIDDEN}, user=dq"),
        (ValueError("{'api_key': 'k3y', 'n': 1}"), f"ValueError: {{'api_key': {HIDDEN}, 'n': 1}}"),
        (ValueError("Authorization: Bearer abc.def"), f"ValueError: Authorization: {HIDDEN}"),
        (ValueError('SNOWFLAKE_PASSWORD = "a b"'), f"ValueError: SNOWFLAKE_PASSWORD = {HIDDEN}"),
        (ValueError("duplicate key\nDETAIL: (mail)=(ada@example.org)"), "ValueError: duplicate key"),
        (ValueError("x" * 400), "ValueError: " + "x" * 299 + "…"),
    ],
)
def test_what_is_told_of_an_exception(error: object, told: str) -> None:
    assert told_error(error) == told


# --- how a run ended ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "state"),
    [
        (["success"], "finished"),
        (["success", "skipped"], "finished"),
        (["skipped", "skipped"], "skipped"),
        (["success", "failed", "upstream_failed"], "failed"),
        (["failed", None], "failed"),
        (["upstream_failed"], "did not run"),
        ([None, "skipped"], "did not run"),
        (["queued"], "did not run"),
        (["success", "upstream_failed"], "did not finish"),
        (["running"], "did not finish"),
        (["up_for_retry", "success"], "did not finish"),
        (["success", "removed"], "finished"),
        (["removed"], "finished"),
        ([], "finished"),
    ],
)
def test_what_became_of_a_step(states: list[str | None], state: str) -> None:
    assert state_of_step(states) == state


GOOD = Ended(
    dag="orders",
    run="r1",
    good=True,
    steps=(
        Step(name="user_level", state="finished", took=timedelta(minutes=12)),
        Step(name="agg_level", state="finished"),
    ),
    took=timedelta(minutes=15),
    links={"DAG run": "https://air.test/r1", "Bad": "file:///x"},
)
BAD = Ended(
    dag="orders",
    run="r1",
    good=False,
    steps=(
        Step(name="user_level", state="finished"),
        Step(name="agg_level", state="failed", failed=("agg_level.a", "agg_level.b")),
        Step(name="publish", state="did not run"),
    ),
    failed=("clean_up",),
)


def test_the_words_about_a_run_that_ended() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    good, bad = ended_message(GOOD, "prod", now), ended_message(BAD, "prod", now)
    assert good.title == "PROD - DAG orders: pipeline completed in 15m"
    assert good.summary == "1/2 user_level: finished in 12m, 2/2 agg_level: finished, pipeline completed"
    assert good.links == (("DAG run", "https://air.test/r1"),)
    assert bad.title == "PROD - DAG orders: pipeline failed at 2/3 agg_level"
    assert bad.summary == (
        "1/3 user_level: finished, 2/3 agg_level: failed (agg_level.a, agg_level.b), 3/3 publish: did not run, "
        "pipeline failed"
    )
    assert ("Failed", "clean_up") in bad.facts
    assert went_well(GOOD.steps) and not went_well(BAD.steps)


def test_a_run_that_ended_is_told_once_and_again_when_it_ends_the_other_way(
    project: Project, receivers: Receivers
) -> None:
    assert app.tell_ended(project, BAD, to=["team", "team"]) == 1
    assert app.tell_ended(project, BAD, to=["team"]) == 0
    assert app.tell_ended(project, GOOD, to=["team"]) == 1
    assert app.tell_ended(project, GOOD, to=["team"]) == 0
    assert app.pump(project).sent == 2
    assert len(receivers.slack.posts) == 2
    assert "1/2 user_level: finished in 12m" in json.dumps(receivers.slack.posts[1])
    assert receivers.pagerduty.received == []
    assert names(project) == ["dag_finished", "dag_finished"]


@pytest.mark.parametrize(
    ("channel", "why"), [("teem", "has no channel 'teem'; did you mean 'team'"), ("oncall", "'oncall' is a pager")]
)
def test_a_channel_that_cannot_tell_it_is_refused(local: Project, channel: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        app.tell_ended(local, GOOD, to=["team", channel])
    with transaction(local) as connection:
        assert connection.execute(select(outbox)).all() == []
