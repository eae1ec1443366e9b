"""Databases opened as the hooks of their providers open them, and what dq asks of every session all the same."""

import json

import psycopg
import pytest

from tests import servers
from tests.airflow.conftest import ROOT, make_project

pytestmark = pytest.mark.airflow

PASSWORD = "p@ss/w:rd%41 +?#"
HOUSE_INFO = """
def info():
    hooks = {"house_token": "Token", "house_text": "Text", "house_broken": "Broken"}
    types = [{"connection-type": kind, "hook-class-name": f"house.{hook}"} for kind, hook in hooks.items()]
    return {"package-name": "house", "name": "House", "description": "x", "connection-types": types}
"""
HOUSE = '''
"""A provider of the house, whose hooks do what the hooks of others do."""
from airflow.providers.common.sql.hooks.sql import DbApiHook
from sqlalchemy import create_engine


class Text(DbApiHook):
    """Writes the fields into a text as they are, as Oracle's does."""

    conn_name_attr, conn_type, hook_name = "house_conn_id", "house_text", "House, text"

    def get_uri(self):
        c = self.get_connection(self.get_conn_id())
        return f"postgresql://{c.login}:{c.password}@{c.host}:{c.port}/{c.schema}?application_name=text"


class Token(DbApiHook):
    """Has what no URL can hold, as Snowflake's key and BigQuery's account."""

    conn_name_attr, conn_type, hook_name = "house_conn_id", "house_token", "House, token"

    def get_uri(self):
        c = self.connection
        return f"postgresql://{c.login}@{c.host}:{c.port}/{c.schema}"

    def get_sqlalchemy_engine(self, engine_kwargs=None):
        engine_kwargs = engine_kwargs or {}
        engine_kwargs.setdefault("connect_args", {})
        engine_kwargs["connect_args"] |= {"password": self.connection_extra["token"], "application_name": "token"}
        return create_engine(self.get_uri(), **engine_kwargs)


class Broken(DbApiHook):
    conn_name_attr, conn_type, hook_name = "house_conn_id", "house_broken", "House, broken"

    def get_uri(self):
        raise RuntimeError(f"no {self.connection.password}")
'''
LOOK = """
SELECT current_user, current_setting('application_name'), current_setting('transaction_read_only'),
       current_setting('statement_timeout'), current_setting('TimeZone')
"""
ASK = """
import json, sys
from dq.airflow.connections import connection_engine
from dq.app.session import open_datasource, open_project
from dq.model.errors import DqError

project, answers = open_project(), {}
for name in project.datasources:
    said = answers[name] = {"engine": connection_engine(name) is not None}
    try:
        source = open_datasource(project, name)
        said["dialect"] = source.dialect
        said["seen"] = [str(cell) for cell in source.fetch(LOOK if source.dialect == "postgresql" else "SELECT 1")[0]]
    except DqError as error:
        said["error"] = str(error)
        continue
    for what, sql in (("write", "CREATE TABLE mine (id INTEGER)"), ("sleep", "SELECT pg_sleep(20)")):
        try:
            source.fetch(sql)
        except DqError as error:
            said[what] = str(error)
    source.close()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def database():
    """Return the fields of a database whose user has to give a password that no URL can hold as it is."""
    server = servers.postgres()
    server.run('DROP ROLE IF EXISTS "shop reader"')
    server.run(f"CREATE ROLE \"shop reader\" LOGIN PASSWORD '{PASSWORD}'")
    where = psycopg.conninfo.conninfo_to_dict(server.new_database().replace("+psycopg", ""))
    with psycopg.connect(**where, autocommit=True) as connection:
        (file,) = connection.execute("SHOW hba_file").fetchone()
        lines = ['host all "shop reader" all scram-sha-256', "host all all 127.0.0.1/32 trust", "local all all trust"]
        connection.execute(f"COPY (VALUES {', '.join(f'($${line}$$)' for line in lines)}) TO '{file}'")
        connection.execute("SELECT pg_reload_conf()")
    return {"host": where["host"], "port": int(where["port"]), "schema": where["dbname"], "login": "shop reader"}


@pytest.fixture(scope="module")
def answers(new_airflow, database, tmp_path_factory):
    """What each connection answers, in a process of Airflow."""
    base = tmp_path_factory.mktemp("base")
    postgres = {"conn_type": "postgres", "password": PASSWORD, **database}
    file = make_project(base / "other") / "data" / "copy.sqlite"
    connections = {
        "plain": postgres,
        "named": postgres | {"extra": {"application_name": "of the extra", "cursor": "dictcursor"}},
        "query": postgres | {"extra": {"sqlalchemy_query": {"application_name": "of the query"}}},
        "alive": postgres | {"extra": {"keepalives_idle": "30", "application_name": "by SQLAlchemy"}},
        "late": postgres | {"extra": {"options": "-c statement_timeout=0 -c default_transaction_read_only=off"}},
        "tls": postgres | {"extra": {"sslmode": "require"}},
        "wrong": postgres | {"password": PASSWORD + "x"},
        "text": postgres | {"conn_type": "house_text"},
        "token": postgres | {"conn_type": "house_token", "password": "", "extra": {"token": PASSWORD}},
        "stale": postgres | {"conn_type": "house_token", "password": "", "extra": {"token": PASSWORD + "x"}},
        "broken": postgres | {"conn_type": "house_broken"},
        "file": {"conn_type": "sqlite", "host": str(file.rename(file.with_name("my copy%41.sqlite")))},
        "nofile": {"conn_type": "sqlite", "host": str(file.with_name("nowhere.sqlite"))},
    }
    packages = base / "packages"
    info = packages / "house-1.0.dist-info"
    info.mkdir(parents=True)
    (packages / "house.py").write_text(HOUSE)
    (packages / "house_info.py").write_text(HOUSE_INFO)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: house\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[apache_airflow_provider]\nprovider_info = house_info:info\n")
    project = base / "project"
    project.mkdir()
    (project / "dq.toml").write_text(
        "".join(f'[datasources.{name}]\nurl = "airflow:{name}"\ntimeout = "1s"\n' for name in connections)
    )
    given = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(body) for name, body in connections.items()}
    airflow = new_airflow(project, PYTHONPATH=f"{ROOT}:{packages}", DQ_HOME=str(project), **given)
    said = airflow.python("-c", f"LOOK = {LOOK!r}\n{ASK}")
    assert PASSWORD not in said
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "application"),
    [
        ("plain", ""),
        ("named", "of the extra"),
        ("query", "of the query"),
        ("alive", "by SQLAlchemy"),
        ("late", ""),
        ("text", "text"),
        ("token", "token"),
    ],
)
def test_a_database_is_opened_as_its_hook_does_and_sessions_are_as_dq_wants_them(answers, name, application):
    said = answers[name]
    assert "error" not in said, said
    user, told, *settings = said["seen"]
    assert (user, told) == ("shop reader", application)
    assert settings == ["on", "3s", "UTC"], "read-only, dq's time-out and two seconds, UTC"
    assert said["write"].endswith("cannot execute CREATE TABLE in a read-only transaction")
    assert said["sleep"] == f"datasource {name!r}: the statement took longer than 1s"
    assert said["engine"] is (name == "token"), "the engine of the hook is for what no URL can hold"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tls", "server does not support SSL"),
        ("wrong", "password authentication failed"),
        ("stale", "password authentication failed"),
        ("nofile", "unable to open database file"),
        ("broken", "the Airflow connection 'broken': its Broken gives no URL (RuntimeError)"),
    ],
)
def test_what_is_wrong_is_one_sentence_without_a_password(answers, name, why):
    error = answers[name]["error"]
    assert why in error and "\n" not in error
    assert "p@ss" not in error and "p%40ss" not in error


def test_a_file_of_a_connection_is_opened_for_reading(answers):
    said = answers["file"]
    assert (said["dialect"], said["seen"]) == ("sqlite", ["1"])
    assert "readonly database" in said["write"]
