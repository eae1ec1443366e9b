"""Secrets out of Airflow's connections: the secret store ``airflow:``, for datasources, the store and channels."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook
from sqlalchemy.engine import URL

from dq.model.errors import ConfigError

_DIALECTS = {
    "duckdb": "duckdb",
    "mariadb": "mysql",
    "mssql": "mssql",
    "mysql": "mysql",
    "oracle": "oracle",
    "postgres": "postgresql",
    "redshift": "redshift",
    "snowflake": "snowflake",
    "sqlite": "sqlite",
    "trino": "trino",
}
"""The type of a connection, and what SQLAlchemy calls its database."""
_FILES = ("duckdb", "sqlite")
_FIELDS = ("host", "login", "password", "port", "schema")


def connection_secret(reference: str) -> str:
    """Return what an Airflow connection holds.

    Args:
        reference: ``CONN_ID``: the URL of its database; ``CONN_ID#password``: one of its fields (host, login,
            password, port, schema); ``CONN_ID#extra.routing_key``: a value of its extra.

    Raises:
        ConfigError: when there is no such connection, it does not hold that, or it is of no database.
    """
    conn_id, _, name = reference.partition("#")
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigError(f"Airflow has no connection {conn_id!r}") from None
    if not name:
        return _url(connection, conn_id)
    extra = name.removeprefix("extra.")
    if extra == name and name not in _FIELDS:
        raise ConfigError(f"a connection has no {name!r}; after # stands extra.NAME or one of {', '.join(_FIELDS)}")
    value = getattr(connection, name) if extra == name else connection.extra_dejson.get(extra)
    if value in (None, ""):
        raise ConfigError(f"the Airflow connection {conn_id!r} has no {name}")
    return str(value)


def _url(connection: Any, conn_id: str) -> str:
    dialect = _DIALECTS.get(connection.conn_type)
    if dialect is None:
        raise ConfigError(
            f"the Airflow connection {conn_id!r} is of type {connection.conn_type!r}, which is no database that dq "
            f"knows; name one of its fields, e.g. airflow:{conn_id}#password"
        )
    if dialect in _FILES:
        if not connection.host:
            raise ConfigError(f"the Airflow connection {conn_id!r} has no host, which is the path of its file")
        return f"{dialect}:///{connection.host}"
    return URL.create(
        dialect,
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=connection.schema or None,
    ).render_as_string(hide_password=False)
