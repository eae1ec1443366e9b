"""What Airflow's connections hold: the secret store ``airflow:``, for datasources, the store and channels.

A database is opened as the hook of its provider would open it. The fields of a connection say too little: a hook knows
of tokens that it has to fetch, keys in files, drivers. Where the provider is not installed, the fields have to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook
from sqlalchemy.engine import URL, Engine, make_url

from dq.airflow.hooks import victorops_url
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
_PAGERS = {"dq_pagerduty": "password", "dq_victorops": "password"}

_LIBPQ = frozenset(
    {"application_name", "channel_binding", "gssencmode", "options", "target_session_attrs", "tcp_user_timeout"}
)
"""What libpq takes and the extra of a connection may say, beside ``ssl...`` and ``keepalives...`` (its manual,
"Parameter Key Words"). The hook gives all of them to a connection of its own, and leaves them out of its URL."""


def connection_secret(reference: str) -> str:
    """Return what an Airflow connection holds.

    Args:
        reference: ``CONN_ID``: the URL of its database, the integration key of ``dq_pagerduty``, the address of
            ``dq_victorops``; ``CONN_ID#password``: one of its fields (host, login, password, port, schema);
            ``CONN_ID#extra.routing_key``: a value of its extra.

    Raises:
        ConfigError: when there is no such connection, it does not hold that, or it is of no database.
    """
    conn_id, _, name = reference.partition("#")
    connection = _connection(conn_id)
    if not name and connection.conn_type not in _PAGERS:
        return _text(_url(connection, conn_id))
    field = name or _PAGERS[connection.conn_type]
    extra = field.removeprefix("extra.")
    if extra == field and field not in _FIELDS:
        raise ConfigError(f"a connection has no {field!r}; after # stands extra.NAME or one of {', '.join(_FIELDS)}")
    value = getattr(connection, field) if extra == field else connection.extra_dejson.get(extra)
    if value in (None, ""):
        raise ConfigError(f"the Airflow connection {conn_id!r} has no {field}")
    return victorops_url(connection) if not name and connection.conn_type == "dq_victorops" else str(value)


def connection_engine(reference: str) -> Callable[[dict[str, Any]], Engine] | None:
    """Return what makes the engine of a database for which its URL does not tell all, such as a key in a file.

    Returns:
        The function of the hook, which takes the keyword arguments of ``create_engine`` as one dict; None where the
        hook does no more than to open its URL.

    Raises:
        ConfigError: when there is no such connection.
    """
    conn_id, _, name = reference.partition("#")
    if name:
        return None
    connection = _connection(conn_id)
    hook = _hook(connection)
    # Redshift's hook makes an engine of PostgreSQL, whose SQL dq would write then.
    if hook is None or connection.conn_type == "redshift" or not _opens_itself(hook):
        return None
    make: Callable[[dict[str, Any]], Engine] = hook.get_sqlalchemy_engine
    return make


def _connection(conn_id: str) -> Any:
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigError(f"Airflow has no connection {conn_id!r}") from None


def _hook(connection: Any) -> Any:
    """Return the hook of a database; None where its provider is not installed, or it is of something else."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    try:
        hook = connection.get_hook()
    except (AirflowException, ImportError):
        return None
    return hook if isinstance(hook, DbApiHook) else None


def _opens_itself(hook: Any) -> bool:
    """Return whether the hook opens its database in a way of its own."""
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    return type(hook).get_sqlalchemy_engine is not DbApiHook.get_sqlalchemy_engine


def _url(connection: Any, conn_id: str) -> URL:
    kind, extra = connection.conn_type, connection.extra_dejson
    hook = _hook(connection)
    url = _of_fields(connection, conn_id) if hook is None else _of_hook(hook, connection, conn_id)
    if kind in _FILES and connection.host:
        return url.set(database=connection.host)  # SQLite's hook writes a path as it is, and a URL is read otherwise
    if kind == "redshift":
        return url.set(drivername="redshift")
    if url.get_backend_name() == "postgresql":
        return url.update_query_dict({**_libpq_options(extra), **url.query})
    if url.get_backend_name() == "mysql":
        return url.set(query=_mysql_options(extra, conn_id))
    return url


def _of_hook(hook: Any, connection: Any, conn_id: str) -> URL:
    """Return the URL that the hook would open.

    Raises:
        ConfigError: when it gives none; the sentence holds nothing that the hook said, which may be a secret.
    """
    try:
        try:
            url: URL = hook.sqlalchemy_url
        except NotImplementedError:
            url = make_url(hook.get_uri()) if _opens_itself(hook) else _spelled(hook, connection)
    except ImportError as error:
        raise ConfigError(
            f"the Airflow connection {conn_id!r}: the Python package {error.name!r} is not installed"
        ) from None
    except Exception as error:  # noqa: BLE001  # a hook is foreign code, which raises what it likes
        raise ConfigError(
            f"the Airflow connection {conn_id!r}: its {type(hook).__name__} gives no URL ({type(error).__name__})"
        ) from None
    return url


def _spelled(hook: Any, connection: Any) -> URL:
    """Return the URL of a hook that puts the fields of its connection into a text.

    Oracle's hook quotes nothing, MySQL's writes a blank as ``+``. So it is given words that need no quoting, and the
    real ones take their places in what it made of them.
    """
    words = {name: f"dq_{name}" for name in ("login", "password", "schema") if getattr(connection, name)}
    real = {word: getattr(connection, name) for name, word in words.items()}
    fields = {name: getattr(connection, name) for name in ("conn_id", "conn_type", "host", "port", "extra")}
    plain = type(connection)(**fields, **words)
    hook.get_connection = lambda _conn_id: plain
    url = make_url(hook.get_uri())

    def restored(part: Any) -> Any:
        return real.get(part, part)

    return url.set(
        username=restored(url.username),
        password=restored(url.password),
        database=url.database and url.database.replace("dq_schema", real.get("dq_schema", "")),
        query={name: restored(value) for name, value in url.query.items() if isinstance(value, str)},
    )


def _of_fields(connection: Any, conn_id: str) -> URL:
    """Return the URL that the fields tell.

    Raises:
        ConfigError: when they are of no database.
    """
    dialect = _DIALECTS.get(connection.conn_type)
    if dialect is None:
        raise ConfigError(
            f"the Airflow connection {conn_id!r} is of type {connection.conn_type!r}, which is no database that dq "
            f"knows; name one of its fields, e.g. airflow:{conn_id}#password"
        )
    if dialect in _FILES:
        if not connection.host:
            raise ConfigError(f"the Airflow connection {conn_id!r} has no host, which is the path of its file")
        return URL.create(dialect, database=connection.host)
    return URL.create(
        dialect,
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=connection.schema or None,
    )


def _libpq_options(extra: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: str(value)
        for name, value in extra.items()
        if (name in _LIBPQ or name.startswith(("keepalives", "ssl"))) and isinstance(value, str | int)
    }


def _mysql_options(extra: Mapping[str, Any], conn_id: str) -> dict[str, str]:
    """Return what PyMySQL takes of what the hook's own drivers take; the hook writes all of it into its URL.

    Raises:
        ConfigError: when the server is to be verified, and no certificate says by what.
    """
    options = {name: str(extra[name]) for name in ("charset", "unix_socket") if extra.get(name)}
    given = extra.get("ssl") or {}
    given = json.loads(given) if isinstance(given, str) else given
    if isinstance(given, Mapping):
        options |= {f"ssl_{name}": str(value) for name, value in given.items()}
    options |= {name: str(value) for name, value in extra.items() if name.startswith("ssl_") and name != "ssl_mode"}
    mode = str(extra.get("ssl_mode") or "").upper()
    if mode.startswith("VERIFY") and not options.keys() & {"ssl_ca", "ssl_capath"}:
        raise ConfigError(
            f"the Airflow connection {conn_id!r}: ssl_mode {mode} needs a certificate, ssl.ca in its extra"
        )
    if mode in {"REQUIRED", "VERIFY_CA"}:
        options["ssl_check_hostname"] = "false"
    return options


def _text(url: URL) -> str:
    """Return the URL with its password. SQLAlchemy 1.4 would leave a ``%`` in it as it is, and read it as a quote."""
    bare = URL.create(url.drivername, host=url.host, port=url.port, database=url.database, query=url.query)
    scheme, _, rest = bare.render_as_string().partition("://")
    rest = rest.replace("%3A", ":")  # SQLAlchemy 2.1 spells it so in :memory: and md:NAME, by which dq knows them
    user = quote(url.username or "", safe="")
    password = "" if url.password is None else ":" + quote(str(url.password), safe="")
    return f"{scheme}://{user}{password}@{rest}" if user or password else f"{scheme}://{rest}"
