"""The store on MariaDB in a database that holds less than people write: it takes any text and compares it exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import DateTime, Integer, MetaData, String, Table, event, func, inspect, select, text
from sqlalchemy.engine import Connection, Engine

from dq.store import HEAD, open_store, upgrade
from dq.store.engine import VERSION_TABLE, current, migrate
from tests.drift import drift
from tests.servers import Server

NOW = datetime(2024, 6, 27, 6, tzinfo=UTC).replace(tzinfo=None)
PEOPLE = "🚨東京 Київ Łódź; "
NEW_TABLES = ("dq_acceptance", "dq_attachment", "dq_deploy", "dq_excuse", "dq_promise", "dq_sla", "dq_watcher")
"""Tables that are newer than migration 0003."""
NEW_COLUMNS = {"dq_observation": {"run": ""}}
"""Columns that are newer, and what rows have there that were before."""
WESTERN = "Größe; "  # what latin1 holds


def repeated(said: str) -> Callable[[int], str]:
    """Return what fills a column of so many characters."""
    return lambda length: (said * length)[:length]


def tables(connection: Connection) -> list[Table]:
    """Return the tables of the store as the server has them, those that others refer to first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION_TABLE]


def row(table: Table, said: Callable[[int], str], number: int) -> dict[str, Any]:
    """Return a row that says it in every column that holds a text."""

    def value(type_: Any) -> object:
        if isinstance(type_, String):
            return said(type_.length or 1_000)
        if isinstance(type_, DateTime):
            return NOW
        return number if isinstance(type_, Integer) else b"x"

    return {column.name: value(column.type) for column in table.columns}


def say(connection: Connection, said: Callable[[int], str], number: int) -> None:
    """Put a row that says it into every table."""
    for table in tables(connection):
        connection.execute(table.insert().values(**row(table, said, number)))


def is_said(connection: Connection, *said: tuple[Callable[[int], str], int], before: int = 0) -> None:
    """Assert that these are the rows of every table; the first ``before`` of them were said at migration 0003."""
    for table in tables(connection):
        found = {tuple(one) for one in connection.execute(select(table))}
        then = said[:before] if table.name not in NEW_TABLES else ()
        rows = [row(table, *one) | NEW_COLUMNS.get(table.name, {}) for one in then]
        rows += [row(table, *one) for one in said[before:]]
        assert found == {tuple(one.values()) for one in rows}, table.name


@pytest.fixture
def latin1_url(mariadb_server: Server) -> str:
    """The address of an empty database whose tables hold western European text, and confuse ``a`` with ``A``."""
    url = mariadb_server.new_database()
    mariadb_server.run(f"ALTER DATABASE {url.rsplit('/', 1)[1]} CHARACTER SET latin1")
    return url


@pytest.fixture(params=["new InnoDB", "new MyISAM", "upgraded InnoDB", "upgraded MyISAM"])
def store(request: pytest.FixtureRequest, latin1_url: str) -> Iterator[Engine]:
    """A store with a row in each table, made at once or by migrations, on servers whose default engine differs."""
    way, default = request.param.split()
    engine = open_store(f"{latin1_url}?init_command=SET default_storage_engine = {default}")
    if way == "upgraded":
        with engine.begin() as connection:
            migrate(connection, "0003")
            say(connection, repeated(WESTERN), 1)
        upgrade(engine)
    else:
        upgrade(engine)
        with engine.begin() as connection:
            say(connection, repeated(WESTERN), 1)
    yield engine
    engine.dispose()


def is_whole(connection: Connection) -> None:
    """Assert that the tables are as dq declares them."""
    assert current(connection) == HEAD
    assert drift(connection) == []
    for name in ("dq_ledger", "dq_result"):
        (key,) = inspect(connection).get_foreign_keys(name)
        assert (key["referred_table"], key["options"]) == ("dq_run", {"ondelete": "CASCADE"})
    for table in tables(connection):
        made = connection.execute(text(f"SHOW CREATE TABLE {table.name}")).one()[1]
        assert "ENGINE=InnoDB" in made
        assert "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin" in made
        assert "CHARACTER SET" not in made  # of a column that differs from its table


def test_a_new_store_and_an_upgraded_one_are_alike(store: Engine) -> None:
    with store.connect() as connection:
        is_whole(connection)


def test_every_column_takes_any_text_up_to_its_length(store: Engine, request: pytest.FixtureRequest) -> None:
    before = int(request.node.callspec.params["store"].startswith("upgraded"))
    with store.begin() as connection:
        say(connection, repeated(PEOPLE), 2)
    with store.connect() as connection:
        is_said(connection, (repeated(WESTERN), 1), (repeated(PEOPLE), 2), before=before)


@pytest.mark.parametrize("other", ["KEY", "key "])
def test_keys_are_told_apart_exactly(store: Engine, other: str) -> None:
    with store.begin() as connection:
        say(connection, lambda _: "key", 2)
        say(connection, lambda _: other, 3)
    with store.connect() as connection:
        for table in tables(connection):
            for column in table.columns:
                if isinstance(column.type, String):
                    found = connection.execute(select(func.count()).where(column == "key")).scalar()
                    assert found == 1, column


# Foreign keys go, 13 tables are converted, foreign keys come back, the version.
# A table, a column and two indexes, each of which stays when it was made, and the version.
@pytest.mark.parametrize(("to", "ends"), [("0004", 2 + 13 + 2 + 1), ("0005", 2), ("0007", 3), ("0008", 2)])
def test_an_upgrade_that_ends_anywhere_is_finished_by_the_next(latin1_url: str, to: str, ends: int) -> None:
    engine = open_store(latin1_url)
    with engine.begin() as connection:
        migrate(connection, "0003")
        say(connection, repeated(WESTERN), 1)
        migrate(connection, f"{int(to) - 1:04}")
    done = allowed = 0

    @event.listens_for(engine, "before_cursor_execute")
    def _end(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal done
        done += statement.lstrip().startswith(("ALTER", "CREATE", "UPDATE"))
        if done > allowed:
            raise KeyboardInterrupt

    while True:
        done = 0
        try:
            with engine.begin() as connection:
                migrate(connection, to)
        except KeyboardInterrupt:
            allowed += 1
        else:
            break
    assert allowed >= ends
    done = -1_000
    upgrade(engine)
    with engine.connect() as connection:
        is_whole(connection)
        is_said(connection, (repeated(WESTERN), 1), before=1)
    engine.dispose()


def test_an_address_cannot_ask_for_less_than_any_text(latin1_url: str) -> None:
    engine = open_store(f"{latin1_url}?charset=latin1")
    upgrade(engine)
    with engine.begin() as connection:
        say(connection, repeated(PEOPLE), 1)
        is_said(connection, (repeated(PEOPLE), 1))
    engine.dispose()
