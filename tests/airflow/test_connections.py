"""Databases and secrets that Airflow's connections hold."""

import json

import pytest

from tests.airflow.conftest import make_project

pytestmark = pytest.mark.airflow

CONNECTIONS = {
    "SHOP": {"conn_type": "postgres", "host": "db.test", "login": "d q", "password": "p@/:ss", "port": 5433,
             "schema": "shop"},
    "BARE": {"conn_type": "mysql", "host": "db.test"},
    "FILE": {"conn_type": "sqlite", "host": "/data/shop.sqlite"},
    "NOFILE": {"conn_type": "duckdb"},
    "PAGER": {"conn_type": "http", "password": "k3y", "extra": json.dumps({"webhook": "https://hooks.test/x"})},
    "PHONE": {"conn_type": "dq_pagerduty", "password": "k" * 32},
    "ONCALL": {"conn_type": "dq_victorops", "login": "warehouse", "password": "k3y"},
    "NEAR": {"conn_type": "dq_victorops", "host": "https://alert.test/a/", "login": "warehouse", "password": "k3y"},
    "NOKEY": {"conn_type": "dq_victorops", "login": "warehouse"},
    "TLS": {"conn_type": "mysql", "host": "db.test",
            "extra": json.dumps({"ssl": {"ca": "/ca.pem"}, "ssl_mode": "VERIFY_CA", "cursor": "dictcursor"})},
    "HALF_TLS": {"conn_type": "mysql", "host": "db.test", "extra": json.dumps({"ssl_mode": "verify_identity"})},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(line, tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("base") / "project")
    toml = project / "dq.toml"
    wanted = 'url = "airflow:lake_db"'
    text = toml.read_text()
    assert 'url = "duckdb:///data/lake.duckdb"' in text
    toml.write_text(text.replace('url = "duckdb:///data/lake.duckdb"', wanted))
    return project


@pytest.fixture(scope="module")
def revealed(new_airflow, project):
    """What each reference gives, or the sentence that says why not."""
    given = {f"AIRFLOW_CONN_{name}": json.dumps(body) for name, body in CONNECTIONS.items()}
    airflow = new_airflow(project, **given)
    references = [
        "shop", "bare", "file", "nofile", "pager", "pager#password", "pager#extra.webhook", "pager#extra.no",
        "pager#pass", "bare#password", "shop#port", "nobody", "phone", "oncall", "oncall#login", "near", "nokey", "tls",
        "half_tls",
    ]  # fmt: skip
    code = f"""
import json
from pathlib import Path
from dq.model.errors import ConfigError
from dq.secret import Secret
found = {{}}
for reference in {references!r}:
    try:
        found[reference] = Secret("airflow:" + reference, "dq.toml: x", Path(".")).reveal()
    except ConfigError as error:
        found[reference] = str(error)
print(json.dumps(found))
"""
    return json.loads(airflow.python("-c", code).splitlines()[-1])


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("shop", "postgresql://d%20q:p%40%2F%3Ass@db.test:5433/shop"),
        ("bare", "mysql://db.test"),
        ("file", "sqlite:////data/shop.sqlite"),
        ("shop#port", "5433"),
        ("pager#password", "k3y"),
        ("pager#extra.webhook", "https://hooks.test/x"),
        ("phone", "k" * 32),
        ("oncall", "https://alert.victorops.com/integrations/generic/20131114/alert/k3y"),
        ("oncall#login", "warehouse"),
        ("near", "https://alert.test/a/k3y"),
        ("tls", "mysql://db.test?ssl_ca=%2Fca.pem&ssl_check_hostname=false"),
    ],
)
def test_what_a_connection_holds(revealed, reference, value):
    # The driver is the one that the hook takes there.
    assert revealed[reference].replace("postgresql+psycopg:", "postgresql:") == value


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nofile", "the Airflow connection 'nofile' has no host, which is the path of its file"),
        ("pager", "the Airflow connection 'pager' is of type 'http', which is no database that dq knows"),
        ("pager#extra.no", "the Airflow connection 'pager' has no extra.no"),
        ("pager#pass", "a connection has no 'pass'; after # stands extra.NAME or one of host, login, password, port"),
        ("bare#password", "the Airflow connection 'bare' has no password"),
        ("nobody", "Airflow has no connection 'nobody'"),
        ("nokey", "the Airflow connection 'nokey' has no password"),
        ("half_tls", "the Airflow connection 'half_tls': ssl_mode VERIFY_IDENTITY needs a certificate, ssl.ca in its "),
    ],
)
def test_what_it_does_not_hold_is_one_sentence(revealed, reference, said):
    assert revealed[reference].startswith(f"dq.toml: x: {said}")


def test_a_suite_is_measured_on_the_database_of_a_connection(new_airflow, project):
    connection = {"conn_type": "duckdb", "host": str(project / "data/lake.duckdb")}
    there = new_airflow(project, AIRFLOW_CONN_LAKE_DB=json.dumps(connection))
    (good,) = there.drive({"dag": "all_pass", "logical_date": "2026-11-02T00:00:00+00:00"})["runs"]
    assert good["state"] == "success" and good["tasks"]["publish"] == "success"
    gone = new_airflow(project)
    (bad,) = gone.drive({"dag": "all_pass", "logical_date": "2026-11-03T00:00:00+00:00"})["runs"]
    assert bad["state"] == "failed"
    assert "Airflow has no connection 'lake_db'" in bad["log"]
