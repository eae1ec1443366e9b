"""Asking an Airflow from outside, on both lines: what it says, and what comes of every kind of trouble."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dq.model.airflow import Component, Dag, DagRun, TaskState
from dq.model.errors import AirflowError
from dq.project import AirflowSettings
from dq.secret import Secret
from dq.sla.rest import Airflow
from tests.airflows import HOST, ModelAirflow
from tests.servers import free_port, missing

AT = datetime(2026, 11, 21, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
PASSWORD = "hunter2 ä:b"
LOGIN = ("dq", PASSWORD)


@pytest.fixture(params=["3.3", "2.11"])
def model(request: pytest.FixtureRequest) -> Iterator[ModelAirflow]:
    with ModelAirflow(line=request.param) as running:
        yield running


@pytest.fixture
def airflow3() -> Iterator[ModelAirflow]:
    with ModelAirflow() as running:
        yield running


def client(url: str, timeout: float = 5, **more: str) -> Airflow:
    """Return who asks; ``password`` and ``token`` are given as they are."""
    given = {key: Secret(value, f"dq.toml: airflow.eu.{key}", Path()) for key, value in more.items() if key != "user"}
    where = Secret(url, "dq.toml: airflow.eu.url", Path())
    return Airflow(AirflowSettings("eu", where, more.get("user"), timeout=timedelta(seconds=timeout), **given))


def paths(model: ModelAirflow) -> list[str]:
    return [path for _, path, _, _ in model.asked]


# ------------------------------------------------------------------------------------------------- what it says


def test_how_its_parts_are_doing(model: ModelAirflow) -> None:
    model.stamps = {
        "scheduler": ("healthy", AT),
        "triggerer": None,  # it has never run
        "dag_processor": ("unhealthy", AT - HOUR),
    }
    assert client(model.url).health() == (
        Component(name="metadatabase", state="healthy"),
        Component(name="scheduler", state="healthy", heartbeat=AT),
        Component(name="triggerer", state="unknown"),
        Component(name="dag_processor", state="unhealthy", heartbeat=AT - HOUR),
    )


def test_a_scheduler_that_never_ran_is_told_as_airflow_tells_it(model: ModelAirflow) -> None:
    model.stamps = {"scheduler": ("unhealthy", None)}
    assert client(model.url).health()[1] == Component(name="scheduler", state="unhealthy")


def test_without_its_database_nothing_is_known_of_what_beats_there(model: ModelAirflow) -> None:
    parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
    model.stamps = dict.fromkeys(parts, ("unhealthy", None))
    assert [part.state for part in client(model.url).health()] == ["unhealthy", "unknown", "unknown", "unknown"]


def test_what_is_not_there_at_all_is_unknown(airflow3: ModelAirflow) -> None:
    """Its own model may leave the DAG processor out."""
    said = {
        "metadatabase": {"status": "healthy"},
        "scheduler": {"status": "healthy", "latest_scheduler_heartbeat": None},
        "triggerer": {"status": None, "latest_triggerer_heartbeat": None},
    }
    asking = client(airflow3.url)
    asking.health()
    airflow3.trouble.append((200, said))
    assert [part.state for part in asking.health()] == ["healthy", "healthy", "unknown", "unknown"]


def test_its_dags(model: ModelAirflow) -> None:
    model.dag("orders", next_run_after=AT)
    model.dag("paused", paused=True)
    model.dag("gone", stale=True, has_import_errors=True)
    model.dag("not_asked_for")
    asking = client(model.url)
    plain = {"paused": False, "stale": False, "next_run_after": None, "has_import_errors": False}
    assert asking.dags(["paused", "gone", "orders", "never", "Paused"]) == {
        "orders": Dag(dag_id="orders", **plain | {"next_run_after": AT}),
        "paused": Dag(dag_id="paused", **plain | {"paused": True}),
        "gone": Dag(dag_id="gone", **plain | {"stale": True, "has_import_errors": True}),
    }
    before = len(model.asked)
    assert asking.dags([]) == {}
    assert len(model.asked) == before


@pytest.mark.parametrize(
    ("known", "wanted", "requests"),
    [
        (350, [f"dag_{n:04}" for n in range(350)], 4),
        (350, [f"dag_{n:04}" for n in range(20)], 1),  # the first page has them all
        (950, ["dag_0900", "dag_0001", "never"], 3),  # one by one
        (950, [f"dag_{n:04}" for n in range(500, 950)], 10),
    ],
)
def test_many_dags_take_few_requests(model: ModelAirflow, known: int, wanted: list[str], requests: int) -> None:
    for n in range(known):
        model.dag(f"dag_{n:04}")
    model.dag("dag_0900.and_more")  # not what is asked for, though Airflow finds it by that name
    asking = client(model.url)
    asking.health()
    asked = len([path for path in paths(model) if "/dags" in path])
    assert set(asking.dags(wanted)) == {name for name in wanted if name != "never"}
    assert len([path for path in paths(model) if "/dags" in path]) - asked == requests


def test_its_runs(model: ModelAirflow) -> None:
    v2 = model.line == "3.3"
    day = (AT - DAY, AT)
    times = {"queued_at": AT, "started_at": AT + MINUTE, "ended_at": AT + HOUR}
    model.run("orders", "scheduled__1", "success", logical_date=AT - DAY, data_interval=day, **times)
    model.run("orders", "manual__1", "running", run_type="manual", logical_date=AT + HOUR, run_after=AT + HOUR)
    model.run("users", "scheduled__1", "queued", logical_date=AT - DAY, data_interval=day)
    model.run("orders", "too_old", "failed", logical_date=AT - 3 * DAY, data_interval=(AT - 3 * DAY, AT - 2 * DAY))
    model.run("not_asked_for", "scheduled__1", "success", logical_date=AT - DAY, data_interval=day)
    first, second, third = client(model.url).runs(["users", "orders", "never"], AT - DAY)
    assert first == DagRun(
        dag_id="orders", run_id="scheduled__1", state="success", run_type="scheduled", logical_date=AT - DAY,
        data_interval=day, run_after=AT, queued_at=AT if v2 else None, started_at=AT + MINUTE, ended_at=AT + HOUR,
    )  # fmt: skip
    assert (second.run_id, second.run_type, second.data_interval, second.run_after) == (
        "manual__1", "manual", None, AT + HOUR,
    )  # fmt: skip
    assert (third.dag_id, third.state, third.started_at, third.ended_at) == ("users", "queued", None, None)


def test_a_run_without_a_logical_date(airflow3: ModelAirflow) -> None:
    airflow3.run("orders", "manual__1", "queued", run_after=AT)
    (run,) = client(airflow3.url).runs(["orders"], AT)
    assert (run.logical_date, run.data_interval, run.run_after) == (None, None, AT)


def test_a_day_of_25_hours_is_found(model: ModelAirflow) -> None:
    begin = AT - 25 * HOUR
    model.run("orders", "scheduled__1", "success", logical_date=begin, data_interval=(begin, AT))
    assert len(client(model.url).runs(["orders"], AT - DAY)) == 1


def test_runs_are_read_to_the_end_of_the_list(model: ModelAirflow) -> None:
    for n in range(450):
        at = AT + n * MINUTE
        model.run("orders", f"scheduled__{n}", "success", logical_date=at, data_interval=(at, at))
    asking = client(model.url)
    assert [run.run_id for run in asking.runs(["orders"], AT)] == [f"scheduled__{n}" for n in range(450)]
    assert len([path for path in paths(model) if path.endswith("/list")]) == 3
    assert asking.runs(["orders"], AT + DAY) == ()
    before = len(model.asked)
    assert asking.runs([], AT) == ()
    assert len(model.asked) == before


def test_a_list_that_grows_shorter_meanwhile_ends(model: ModelAirflow) -> None:
    asking = client(model.url)
    asking.dags(["orders"])
    before = len(model.asked)
    model.trouble.extend([(200, {"dag_runs": [], "total_entries": 5})] * 3)
    assert asking.runs(["orders"], AT) == ()
    assert len(model.asked) == before + 1


def test_its_tasks(model: ModelAirflow) -> None:
    run_id = "manual__2026-11-21T00:00:00+00:00"
    model.run("orders", run_id, "running", run_after=AT, logical_date=AT)
    model.task("orders", run_id, "load", "success", started_at=AT, ended_at=AT + HOUR)
    model.task("orders", run_id, "wait", None)
    for n in range(150):  # more than a page
        model.task("orders", run_id, "each", "success", map_index=n, started_at=AT + n * MINUTE, ended_at=AT + 3 * HOUR)
    for n, (state, ended) in enumerate([("success", AT + HOUR), ("running", None), ("skipped", AT), ("success", AT)]):
        model.task("orders", run_id, "runs", state, map_index=n, started_at=AT + n * MINUTE, ended_at=ended)
    for n, (state, ended) in enumerate([("success", AT + 2 * HOUR), ("failed", AT + HOUR), ("running", None)]):
        model.task("orders", run_id, "fails", state, map_index=n, started_at=AT, ended_at=ended)
    for n, ended in enumerate([AT + HOUR, None]):
        model.task("orders", run_id, "ends", "failed", map_index=n, started_at=AT, ended_at=ended)
    for n, ended in enumerate([AT + HOUR, AT + 2 * HOUR, AT]):
        model.task("orders", run_id, "done", "success" if n else "skipped", map_index=n, started_at=AT, ended_at=ended)
    model.task("orders", "another", "other", "failed")
    assert client(model.url).tasks("orders", run_id) == {
        "load": TaskState(state="success", started_at=AT, ended_at=AT + HOUR),
        "wait": TaskState(state=None, started_at=None, ended_at=None),
        "each": TaskState(state="success", started_at=AT, ended_at=AT + 3 * HOUR),
        "runs": TaskState(state="running", started_at=AT, ended_at=None),
        "fails": TaskState(state="failed", started_at=AT, ended_at=AT + HOUR),
        "ends": TaskState(state="failed", started_at=AT, ended_at=None),
        "done": TaskState(state="success", started_at=AT, ended_at=AT + 2 * HOUR),
    }


def test_a_run_that_is_gone_has_no_tasks(model: ModelAirflow) -> None:
    assert client(model.url).tasks("orders", "scheduled__1") == {}


# ------------------------------------------------------------------------------------------------------ who is asking


def test_the_version_is_asked_for_once(model: ModelAirflow) -> None:
    asking = client(model.url)
    asking.health(), asking.health(), asking.dags(["a"])
    expected = ["/api/v2/version"] if model.line == "3.3" else ["/api/v2/version", "/api/v1/version"]
    assert [path for path in paths(model) if path.endswith("version")] == expected


def test_an_airflow_that_is_replaced_by_one_of_the_other_line_is_found_again() -> None:
    with ModelAirflow(line="2.11") as model:
        model.dag("orders")
        asking = client(model.url)
        assert [*asking.dags(["orders"])] == ["orders"]
        model.line = "3.3"
        model.dag("orders")
        with pytest.raises(AirflowError):
            asking.dags(["orders"])
        assert [*asking.dags(["orders"])] == ["orders"]


def test_user_and_password_are_signed_in_once(airflow3: ModelAirflow) -> None:
    airflow3.login = LOGIN
    airflow3.dag("orders")
    asking = client(airflow3.url, user="dq", password=PASSWORD)
    for _ in range(3):
        assert [*asking.dags(["orders"])] == ["orders"]
    assert [(method, body) for method, path, body, _ in airflow3.asked if path == "/auth/token"] == [
        ("POST", {"username": "dq", "password": PASSWORD})
    ]
    assert PASSWORD not in repr(asking) and not any(token in repr(asking) for token in airflow3.tokens)


def test_user_and_password_are_sent_along_to_airflow_2() -> None:
    with ModelAirflow(line="2.11", login=LOGIN) as model:
        model.dag("orders")
        assert [*client(model.url, user="dq", password=PASSWORD).dags(["orders"])] == ["orders"]
        assert "/auth/token" not in paths(model)


@pytest.mark.parametrize("login", [None, LOGIN])
@pytest.mark.parametrize("refusal", [401, (403, {"detail": "Invalid JWT token"})])
def test_a_token_that_is_over_is_renewed(airflow3: ModelAirflow, login: Any, refusal: Any) -> None:
    airflow3.login = login
    airflow3.dag("orders")
    asking = client(airflow3.url, **({"user": "dq", "password": PASSWORD} if login else {}))
    asking.dags(["orders"])
    if refusal == 401:
        airflow3.tokens.clear()
    else:
        airflow3.trouble.append(refusal)
    assert [*asking.dags(["orders"])] == ["orders"]
    assert len([path for path in paths(airflow3) if path == "/auth/token"]) == 2


def test_a_token_is_renewed_once_and_no_more(airflow3: ModelAirflow) -> None:
    airflow3.login = LOGIN
    asking = client(airflow3.url, user="dq", password=PASSWORD)
    asking.dags(["orders"])
    airflow3.trouble.extend([401, None, 401])
    with pytest.raises(AirflowError, match=r"^Airflow eu answers with 401: look at user, password and token of "):
        asking.dags(["orders"])
    airflow3.trouble.append(403)  # the token is good, but not for this
    before = len(airflow3.asked)
    with pytest.raises(AirflowError, match=r"^Airflow eu answers with 403: who is named in \[airflow.eu\] of dq.toml"):
        asking.dags(["orders"])
    assert len(airflow3.asked) == before + 1


def test_a_token_of_ones_own_is_sent_as_it_is(airflow3: ModelAirflow) -> None:
    airflow3.login = LOGIN
    airflow3.tokens.add("my-own-token")
    airflow3.dag("orders")
    asking = client(airflow3.url, token="my-own-token")
    assert [*asking.dags(["orders"])] == ["orders"]
    airflow3.tokens.clear()
    with pytest.raises(AirflowError, match="401") as refused:
        asking.dags(["orders"])
    assert not refused.value.down
    assert "/auth/token" not in paths(airflow3)


@pytest.mark.parametrize("line", ["3.3", "2.11"])
@pytest.mark.parametrize("given", [{}, {"user": "dq", "password": "wrong"}, {"token": "wrong"}])
def test_who_may_not_come_in_is_told_what_to_look_at(line: str, given: dict[str, str]) -> None:
    with ModelAirflow(line=line, login=LOGIN) as model:
        asking = client(model.url, **given)
        assert len(asking.health()) == 4  # that is for everybody, and a token is only asked for where one is needed
        with pytest.raises(AirflowError) as refused:
            asking.dags(["orders"])
        assert len([path for path in paths(model) if "/dags" in path]) <= 1  # once is enough to know
    assert str(refused.value) == (
        "Airflow eu answers with 401: look at user, password and token of [airflow.eu] in dq.toml"
    )
    assert not refused.value.down


# ------------------------------------------------------------------------------------------------------------ trouble

NOT_AIRFLOW = "Airflow eu does not answer as Airflow does; is its url right?"


@pytest.mark.parametrize(
    ("trouble", "down", "sentence"),
    [
        (500, True, "Airflow eu answers with 500"),
        (503, True, "Airflow eu answers with 503"),
        (429, True, "Airflow eu answers with 429"),
        (302, False, "Airflow eu answers with 302: redirects are not followed; is its url right?"),
        (400, False, "Airflow eu answers with 400"),
        (403, False, "Airflow eu answers with 403: who is named in [airflow.eu] of dq.toml may not read this"),
        (404, False, "Airflow eu answers with 404: is its url right?"),
        ((200, "<html>Sign in</html>"), False, NOT_AIRFLOW),
        ((200, {}), False, NOT_AIRFLOW),
        ((200, []), False, NOT_AIRFLOW),
        ((200, None), False, NOT_AIRFLOW),
        ((200, {"dags": [{"dag_id": "orders"}], "total_entries": 1}), False, NOT_AIRFLOW),
        ((200, {"dag_runs": [{"dag_id": "orders"}], "total_entries": 1}), False, NOT_AIRFLOW),
        ((200, {"dag_runs": {}, "dags": None, "total_entries": "many"}), False, NOT_AIRFLOW),
    ],
)
def test_an_answer_that_is_none(model: ModelAirflow, trouble: Any, down: bool, sentence: str) -> None:
    asking = client(model.url)
    asking.dags(["orders"])
    for ask in (lambda: asking.dags(["orders"]), lambda: asking.runs(["orders"], AT)):
        model.trouble.append(trouble)
        with pytest.raises(AirflowError) as failed:
            ask()
        assert (str(failed.value), failed.value.down) == (sentence, down)
        assert failed.value.exit_code == 3
        assert ask() in ({}, ())  # and the next time it may be well again


@pytest.mark.parametrize("status", [429, 500])
def test_a_token_that_is_not_given_yet_is_no_refusal(airflow3: ModelAirflow, status: int) -> None:
    airflow3.trouble.extend([None, status])
    with pytest.raises(AirflowError) as failed:
        client(airflow3.url).dags(["orders"])
    assert (str(failed.value), failed.value.down) == (f"Airflow eu answers with {status}", True)


@pytest.mark.parametrize("trouble", [(200, {"metadatabase": {}}), (200, {"scheduler": 1}), (200, "x")])
def test_a_health_that_is_none(model: ModelAirflow, trouble: Any) -> None:
    asking = client(model.url)
    asking.health()
    model.trouble.append(trouble)
    with pytest.raises(AirflowError) as failed:
        asking.health()
    assert (str(failed.value), failed.value.down) == (NOT_AIRFLOW, False)


def test_a_server_that_hangs_is_given_up_in_time(model: ModelAirflow) -> None:
    asking = client(model.url, timeout=0.4)
    for _ in range(2):  # while it is asked for its version, and later
        model.trouble.append("hang")
        begun = datetime.now(UTC)
        with pytest.raises(AirflowError) as failed:
            asking.health()
        assert (str(failed.value), failed.value.down) == ("Airflow eu does not answer: no answer within 0.4 s", True)
        assert datetime.now(UTC) - begun < timedelta(seconds=3)
        asking.health()


def test_a_server_that_is_not_there() -> None:
    asking = client(f"http://{HOST}:{free_port()}")
    tasks = partial(asking.tasks, "orders", "scheduled__1")
    for ask in (asking.health, partial(asking.dags, ["orders"]), partial(asking.runs, ["orders"], AT), tasks):
        with pytest.raises(AirflowError) as failed:
            ask()
        assert failed.value.down
        assert str(failed.value) == "Airflow eu does not answer: no connection, or it broke before the answer"


def test_a_server_that_goes_away_and_comes_back(model: ModelAirflow) -> None:
    model.dag("orders")
    asking = client(model.url)
    asking.dags(["orders"])
    model.trouble.extend([502, 502])
    for _ in range(2):
        with pytest.raises(AirflowError, match="502"):
            asking.dags(["orders"])
    assert [*asking.dags(["orders"])] == ["orders"]


def test_an_answer_that_does_not_end_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                while True:
                    connection.sendall(b" " * 8192)
                    time.sleep(0.05)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with pytest.raises(AirflowError) as failed:
            client(f"http://{HOST}:{listening.getsockname()[1]}", timeout=0.3).health()
        thread.join(5)
    assert not thread.is_alive()
    assert str(failed.value).startswith("Airflow eu does not answer: the answer did not end in time")
    assert failed.value.down


@pytest.mark.parametrize(
    ("url", "more", "sentence"),
    [
        ("ftp://hunter2.example.org", {}, "cannot be asked: its url is not an address with http or https, a host, and"),
        ("http://dq:hunter2@example.org", {}, "cannot be asked: its url is not an address with http or https"),
        ("env:DQ_TEST_NOT_SET", {}, "cannot be asked: dq.toml: airflow.eu.url: the environment variable DQ_TEST_NOT_S"),
        ("", {"token": "env:DQ_TEST_NOT_SET"}, "cannot be asked: dq.toml: airflow.eu.token: the environment variable"),
        ("", {"token": "hunter2\nX: y"}, "does not answer: the request failed (InvalidHeader)"),
        ("", {"token": "hunter2 \u20ac"}, "does not answer: the request failed (UnicodeEncodeError)"),
        ("http://169.254.169.254", {}, "does not answer: the address is that of a cloud metadata service, which is "),
    ],
)
def test_what_cannot_be_asked_is_a_setting(
    airflow3: ModelAirflow, url: str, more: dict[str, str], sentence: str
) -> None:
    with pytest.raises(AirflowError) as failed:
        client(url or airflow3.url, **more).dags(["orders"])
    assert str(failed.value).startswith(f"Airflow eu {sentence}")
    assert not failed.value.down
    assert "hunter2" not in str(failed.value)


def test_a_server_that_is_no_airflow(model: ModelAirflow) -> None:
    asking = client(f"{model.url}/elsewhere")
    with pytest.raises(AirflowError) as failed:
        asking.health()
    assert str(failed.value) == "Airflow eu has no API of Airflow where its url leads"
    assert not failed.value.down


# --------------------------------------------------------------------------------- the model is like the real ones


def openapi(line: str) -> dict[str, Any]:
    """Return Airflow's own OpenAPI document; nothing of Airflow is imported."""
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with Airflow")
    if line == "3.3":
        spec = find_spec("airflow")
        folder = Path(((spec and spec.submodule_search_locations) or [""])[0])
        file = folder / "api_fastapi" / "core_api" / "openapi" / "v2-rest-api-generated.yaml"
    else:
        parts = "airflow/api_connexion/openapi/v1.yaml"
        found = (Path(__file__).parents[1] / "var" / "airflow2" / "lib").glob(f"python3*/site-packages/{parts}")
        file = next(iter(found), Path(parts))
    if not file.is_file():
        missing(f"Airflow {line}", "it is not installed, so that its OpenAPI document is not there")
    return yaml.load(file.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def as_json_schema(value: Any) -> Any:
    """Return a part of an OpenAPI 3.0 document as JSON Schema: there, ``nullable`` is a word of its own."""
    if isinstance(value, list):
        return [as_json_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: as_json_schema(one) for key, one in value.items()}
    if found.pop("nullable", False) is True:
        return {"anyOf": [{"type": "null"}, found]}
    return found


# Each line's document comes with its Airflow: that of 2.11 is in the environment that make test-airflow makes.
@pytest.mark.parametrize(
    "model",
    [pytest.param("3.3", marks=pytest.mark.airflow), pytest.param("2.11", marks=pytest.mark.airflow2)],
    indirect=True,
)
def test_the_model_answers_as_the_openapi_document_says(model: ModelAirflow) -> None:
    document = openapi(model.line)
    names = (
        ("HealthInfoResponse", "DAGCollectionResponse", "DAGRunCollectionResponse", "TaskInstanceCollectionResponse")
        if model.line == "3.3"
        else ("HealthInfo", "DAGCollection", "DAGRunCollection", "TaskInstanceCollection")
    )
    if model.line == "2.11":
        document = as_json_schema(document)
    model.stamps = {"scheduler": ("healthy", AT)}
    model.dag("orders", next_run_after=AT)
    model.run("orders", "scheduled__1", "success", logical_date=AT, data_interval=(AT, AT), started_at=AT, ended_at=AT)
    model.task("orders", "scheduled__1", "load", "success", started_at=AT, ended_at=AT)
    model.task("orders", "scheduled__1", "wait", None)
    model.login, headers = None, {"Authorization": f"Bearer {model._token('GET', None)[1]['access_token']}"}
    since = {"run_after_gte" if model.line == "3.3" else "execution_date_gte": AT.isoformat()}
    api = "/api/v2" if model.line == "3.3" else "/api/v1"
    part = "limit=10&offset=0"
    asked = (
        ("GET", f"{api}/monitor/health" if model.line == "3.3" else f"{api}/health", None),
        ("GET", f"{api}/dags?{part}", None),
        ("POST", f"{api}/dags/~/dagRuns/list", {"dag_ids": ["orders"], "page_limit": 1, "page_offset": 0, **since}),
        ("GET", f"{api}/dags/orders/dagRuns/scheduled__1/taskInstances?{part}", None),
    )
    for name, (method, path, body) in zip(names, asked, strict=True):
        status, said = model.answer(method, path, headers, body)
        assert status == 200, said
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(said)
        # Where the document demands no field, none may be of the model's own making.
        for key in ("dags", "dag_runs", "task_instances"):
            one = {"dags": "DAG", "dag_runs": "DAGRun", "task_instances": "TaskInstance"}[key]
            known = document["components"]["schemas"][one + ("Response" if model.line == "3.3" else "")]["properties"]
            assert all(item.keys() == known.keys() for item in said.get(key, ())), key
