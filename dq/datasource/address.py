"""The address of a datasource: a URL as SQLAlchemy reads it, read without SQLAlchemy.

The grammar is that of ``sqlalchemy.engine.make_url``; a test holds both against each other.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from urllib.parse import parse_qsl, unquote

from attrs import field, frozen

_URL = re.compile(
    r"""
    (?P<name>[\w+]+)://
    (?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?
    (?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<ipv4>[^:/?]+))?(?::(?P<port>[^/?]*))?)?
    (?:/(?P<database>[^?]*))?
    (?:\?(?P<query>.*))?
    """,
    re.VERBOSE,
)
# What dq speaks to without SQLAlchemy: the name in the URL, the module here, the package that must be installed, and
# the options that it passes on as they are (None: any). Another option or an explicit other driver is SQLAlchemy's.
_NATIVE: dict[str, tuple[str, str, frozenset[str] | None]] = {
    **dict.fromkeys(("duckdb",), ("duckdb", "duckdb", frozenset[str]())),
    **dict.fromkeys(("sqlite", "sqlite+pysqlite"), ("sqlite", "sqlite3", frozenset[str]())),
    **dict.fromkeys(
        ("postgresql", "postgres", "postgresql+psycopg"),
        (
            "postgres",
            "psycopg",
            frozenset({"application_name", "options", "sslcert", "sslkey", "sslmode", "sslrootcert"}),
        ),
    ),
    **dict.fromkeys(
        ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"),
        ("mysql", "pymysql", frozenset({"charset", "unix_socket"})),
    ),
    "spark": ("spark", "pyspark", None),
}


@frozen
class Address:
    """The parts of a URL.

    Attributes:
        name: the dialect, and behind a plus sign the driver where one is named.
        user, password, host, port: None where they are not given.
        database: as it is written; whether ``%20`` in it is a blank depends on the version of SQLAlchemy.
        query: the options behind the question mark; the last one of a name counts.
        repeated: whether an option is given more than once.
    """

    name: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int | None = None
    database: str | None = None
    query: dict[str, str] = field(factory=dict, repr=False)
    repeated: bool = False

    @property
    def dialect(self) -> str:
        """The name without the driver, as SQLAlchemy spells it."""
        name = self.name.partition("+")[0]
        return "postgresql" if name == "postgres" else name


def parse(url: str) -> Address | None:
    """Return the parts of ``url``; None where it is not of the form ``dialect://host/database``."""
    found = _URL.match(url)
    if found is None:
        return None
    try:
        port = int(found["port"]) if found["port"] else None
    except ValueError:
        return None
    options = parse_qsl(found["query"] or "")
    return Address(
        name=found["name"],
        user=None if found["user"] is None else unquote(found["user"]),
        password=None if found["password"] is None else unquote(found["password"]),
        host=found["ipv4"] or found["ipv6"],
        port=port,
        database=found["database"],
        query=dict(options),
        repeated=len(options) > len(dict(options)),
    )


def native(address: Address) -> str | None:
    """Return the name of the module here that speaks to ``address``; None where SQLAlchemy has to."""
    if address.name not in _NATIVE:
        return None
    module, package, options = _NATIVE[address.name]
    database = address.database or ""
    unknown = options is not None and not options.issuperset(address.query)
    if address.repeated or unknown or "%" in database:
        return None
    # A file: name has options of its own, md: is no file, and a file has no host.
    no_file = database.startswith(("file:", "md:")) or bool(address.host or address.user or address.port)
    if (module in ("duckdb", "sqlite") and no_file) or find_spec(package) is None:
        return None
    return module
