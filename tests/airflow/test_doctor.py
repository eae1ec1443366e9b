"""`dq doctor --airflow`: what is wrong with the Airflow around dq is told before it is needed."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.airflow.conftest import make_project
from tests.servers import free_port

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("base") / "project")


def doctor(airflow, *arguments, **more):
    """Return the exit code, the findings by what they are about, and what was written."""
    done = subprocess.run(
        [airflow.interpreter, "-m", "dq.cli", "doctor", "--airflow", *arguments, "--json"],
        cwd=airflow.home, env=airflow.with_more(more).env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["exit_code"] == done.returncode
    found = {finding["what"]: (finding["state"], finding["sentence"]) for finding in told["findings"]}
    return done.returncode, found, done.stdout + done.stderr


class Other(BaseHTTPRequestHandler):
    """A server that is no Airflow: at / it knows everything, elsewhere nothing."""

    def do_GET(self):
        known = not self.path.startswith("/elsewhere")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"<html>welcome</html>")

    def log_message(self, *_):
        pass


@pytest.fixture
def other():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_project_that_the_dags_folder_lies_in_is_looked_at(new_airflow, project, other):
    code, found, _ = doctor(new_airflow(project), other)
    assert code == 3
    assert found["datasource lake"] == ("ok", "duckdb, answers")
    assert found["airflow"][0] == found["airflow provider"][0] == "ok"
    assert found["airflow project"] == ("ok", "the DAGs folder lies in it")
    assert found["airflow server"][0] == "broken" and "does not answer as Airflow does" in found["airflow server"][1]


def test_a_store_on_one_host_is_none_for_tasks_on_many(new_airflow, project, other):
    code, found, _ = doctor(new_airflow(project), f"{other}/elsewhere", AIRFLOW__CORE__EXECUTOR="CeleryExecutor")
    assert code == 3
    state, sentence = found["airflow executor"]
    assert state == "broken" and sentence.startswith("CeleryExecutor runs tasks on several hosts, which do not share")
    assert "answers with 404" in found["airflow server"][1]


def test_a_project_that_nobody_finds_and_a_server_that_is_not_there(new_airflow, project, tmp_path):
    airflow = new_airflow(project, dags=tmp_path)
    address = f"http://127.0.0.1:{free_port()}"
    code, found, said = doctor(airflow, address)
    assert code == 2
    assert found["project"][0] == "broken"
    sentence = "there is no dq.toml in the DAGs folder or above it: set DQ_HOME in every component"
    assert found["airflow project"] == ("broken", sentence)
    assert found["airflow server"][1].startswith("does not answer; does it run")
    assert address not in said
    code, found, _ = doctor(airflow, address, DQ_HOME=str(project))
    assert code == 3
    assert (found["project"][0], found["airflow project"]) == ("ok", ("ok", "DQ_HOME leads to it"))
    assert doctor(airflow, address, DQ_HOME=str(tmp_path))[1]["airflow project"][0] == "broken"


ROUTES = """
[route]
channels = ["oncall", "night"]

[channels.oncall]
type = "pagerduty"
routing_key = "airflow:pager"

[channels.night]
type = "victorops"
url = "airflow:victorops"
routing_key = "airflow:victorops#login"
"""


def test_pagers_take_what_they_need_from_the_connections_of_dq(new_airflow, other, tmp_path):
    project = make_project(tmp_path / "project")
    (project / "alerting").mkdir(exist_ok=True)
    (project / "alerting" / "routes.toml").write_text(ROUTES)
    connections = {
        "AIRFLOW_CONN_PAGER": {"conn_type": "dq_pagerduty", "password": "k" * 32},
        "AIRFLOW_CONN_VICTOROPS": {"conn_type": "dq_victorops", "login": "warehouse", "password": "k3y"},
    }
    given = {name: json.dumps(fields) for name, fields in connections.items()}
    _, found, said = doctor(new_airflow(project, **given), other)
    assert (found["channel oncall"], found["channel night"]) == (("ok", "pagerduty"), ("ok", "victorops"))
    assert "kkkk" not in said and "k3y" not in said
    del given["AIRFLOW_CONN_VICTOROPS"]
    state, sentence = doctor(new_airflow(project, **given), other)[1]["channel night"]
    assert state == "broken" and "Airflow has no connection 'victorops'" in sentence


def test_a_component_that_starts_looks_at_itself_only(new_airflow, project, tmp_path):
    code, found, _ = doctor(new_airflow(project), "here")
    assert (code, {*found}) == (0, {"airflow", "airflow provider", "airflow executor", "airflow project"})
    code, found, _ = doctor(new_airflow(project, dags=tmp_path), "here")
    assert (code, found["airflow project"][0]) == (3, "broken")


def test_an_environment_without_airflow_is_one_sentence(new_airflow, project):
    code = """
import sys
sys.modules["airflow"] = None
from dq.cli import main
sys.argv[1:] = ["doctor", "--airflow"]
try:
    main()
except SystemExit as end:
    print("exit", end.code)
"""
    said = new_airflow(project, DQ_HOME=str(project)).python("-c", code)
    assert "is not installed beside dq" in said and "exit 3" in said and "Traceback" not in said


@pytest.mark.slow
@pytest.mark.components
@pytest.mark.parametrize("line", ["3.3"], indirect=True)
def test_each_component_is_missed_and_found(new_components, project):
    components = new_components(project)
    components.start("api-server")
    code, found, _ = doctor(components.airflow)
    assert code == 3
    assert found["airflow server"] == ("ok", "answers")
    assert found["airflow scheduler"] == found["airflow dag processor"] == ("broken", "has never run")
    state, sentence = found["airflow triggerer"]
    assert state == "broken" and sentence.startswith("has never run; without it no deadline is looked at")

    components.start("scheduler", "dag-processor", "triggerer")
    code, found, _ = doctor(components.airflow)
    assert code == 0, found
    for name in ("scheduler", "dag processor", "triggerer"):
        state, sentence = found[f"airflow {name}"]
        assert state == "ok" and sentence.startswith("alive, last heartbeat ")

    components.kill("triggerer")
    components.wait_for(
        lambda: "is not alive: its last heartbeat was" in doctor(components.airflow)[1]["airflow triggerer"][1],
        90, "the triggerer is missed",
    )  # fmt: skip
    assert doctor(components.airflow)[0] == 3
