"""dq as a provider of Airflow: what its lists show, and the forms of dq's connections."""

import json

import pytest

pytestmark = pytest.mark.airflow

KEY = "0123456789abcdef0123456789ABCDEF"
CONNECTIONS = {
    "PAGER": {"conn_type": "dq_pagerduty", "password": KEY},
    "SHORT": {"conn_type": "dq_pagerduty", "password": KEY[:-1]},
    "ONCALL": {"conn_type": "dq_victorops", "login": "warehouse", "password": "k3y"},
    "EMPTY": {"conn_type": "dq_victorops"},
    "PLAIN": {"conn_type": "dq_victorops", "host": "http://alert.test/x", "login": "warehouse", "password": "k3y"},
}
LOOK = """
import json, os, socket
from airflow.models.connection import Connection
from airflow.providers_manager import ProvidersManager

def connect(*_):
    raise AssertionError("a test of a connection sends nothing")
socket.socket.connect = connect

types = ("dq_pagerduty", "dq_victorops")
manager = ProvidersManager()
forms = manager.field_behaviours
tested = {}
for name in CONNECTIONS:
    connection = Connection(conn_id=name.lower(), **json.loads(os.environ[f"AIRFLOW_CONN_{name}"]))
    tested[name] = connection.get_hook().test_connection()
print(json.dumps({"forms": {name: forms.get(name) for name in types}, "tested": tested,
                  "testable": [manager.hooks[name].connection_testable for name in types]}))
"""


@pytest.fixture(scope="module")
def airflow(new_airflow, tmp_path_factory):
    given = {f"AIRFLOW_CONN_{name}": json.dumps(body) for name, body in CONNECTIONS.items()}
    return new_airflow(tmp_path_factory.mktemp("base"), **given)


@pytest.fixture(scope="module")
def seen(airflow):
    return json.loads(airflow.python("-c", f"CONNECTIONS = {[*CONNECTIONS]!r}\n{LOOK}").splitlines()[-1])


def listed(airflow, what):
    shown = airflow.python("-m", "airflow", "providers", what, "--output", "json")
    return json.loads(shown[shown.index("[") :])


def test_airflow_lists_dq(airflow):
    (dq,) = (row for row in listed(airflow, "list") if row["package_name"] == "dq-sla")
    assert dq["description"].startswith("Data quality and SLA")


def test_airflow_lists_its_connection_types(airflow):
    rows = {row["connection_type"]: row for row in listed(airflow, "hooks") if row["package_name"] == "dq-sla"}
    assert {kind: (row["class"], row["conn_id_attribute_name"]) for kind, row in rows.items()} == {
        "dq_pagerduty": ("dq.airflow.hooks.PagerDutyHook", "dq_pagerduty_conn_id"),
        "dq_victorops": ("dq.airflow.hooks.VictorOpsHook", "dq_victorops_conn_id"),
    }


def test_airflow_lists_its_notifier(airflow):
    assert {"notification_class_name": "dq.airflow.notify.DqNotifier"} in listed(airflow, "notifications")


def test_a_form_has_the_fields_that_are_needed_under_their_names(seen):
    pager, victorops = seen["forms"]["dq_pagerduty"], seen["forms"]["dq_victorops"]
    fields = {"host", "schema", "login", "password", "port", "extra"}
    assert (fields - {*pager["hidden_fields"]}, pager["relabeling"]) == (
        {"password"},
        {"password": "Integration key"},
    )
    assert (fields - {*victorops["hidden_fields"]}, victorops["relabeling"]) == (
        {"host", "login", "password"},
        {"host": "REST endpoint", "login": "Routing key", "password": "API key"},
    )


def test_the_test_of_a_connection_looks_at_the_form_and_wakes_nobody(seen):
    assert seen["testable"] == [True, True]
    assert {name: good for name, (good, _) in seen["tested"].items()} == {
        "PAGER": True, "SHORT": False, "ONCALL": True, "EMPTY": False, "PLAIN": False,
    }  # fmt: skip
    said = {name: sentence for name, (_, sentence) in seen["tested"].items()}
    assert said["SHORT"] == "an integration key is 32 letters and digits; here stand 31 characters"
    assert said["EMPTY"] == "the API key and the routing key must not be empty"
    assert said["PLAIN"].startswith("the REST endpoint is not https")
    assert KEY not in str(said) and "k3y" not in str(said)


def test_airflow_starts_without_loading_more_of_dq_than_that(airflow):
    """Airflow asks every provider while it starts itself: what needs Airflow cannot be loaded then."""
    code = "import sys, dq.airflow_provider; print([m for m in sys.modules if m.split('.')[0] in HEAVY])"
    heavy = {"airflow", "sqlalchemy", "sqlglot", "requests"}
    assert airflow.python("-c", f"HEAVY = {heavy!r}; {code}").strip() == "[]"
