"""Datasources on real engines: what they give, what they refuse, and how they end."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pymysql
import pytest
from sqlalchemy.engine import make_url

from dq.datasource import Column, SqlDatasource, fetch_all
from dq.datasource.address import native, parse
from dq.datasource.sql import CANCEL_SECONDS
from dq.model.errors import ConfigError, DqError, MeasureError
from tests.engines import Live
from tests.engines import live as live  # noqa: PLC0414  # a fixture
from tests.servers import Server

SERVERS = ("postgres", "mariadb")
ODD = 'or"der `x` %s é\\'
# Statements that take minutes, so that only a cancel ends them within the test. Each holds a mark to be found by.
LONG = {
    "duckdb": "SELECT sum(a.i * b.i % 7) /* mark */ FROM range(10000000) a(i), range(100000) b(i)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) /* mark */ FROM n",
    "postgres": "SELECT pg_sleep(300) /* mark */",
    "mariadb": "SELECT sleep(300) /* mark */",
}
only_servers = pytest.mark.parametrize("live", SERVERS, indirect=True)


class Watch:
    """Looks at a server from outside."""

    def __init__(self, live: Live) -> None:
        url = make_url(live.url)
        self.name, self._database = live.name, url.database
        if live.name == "postgres":
            self._connection = psycopg.connect(
                host=url.host, port=url.port, user=url.username, dbname=url.database, autocommit=True
            )
        else:
            self._connection = pymysql.connect(
                host=url.host, port=url.port, user=url.username, password=url.password, autocommit=True
            )

    def running(self, mark: str) -> int:
        """Return how many statements with ``mark`` run in the database of the test."""
        sql = {
            "postgres": "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND datname = current_database()"
            f" AND query LIKE '%{mark}%' AND pid <> pg_backend_pid()",
            "mariadb": "SELECT count(*) FROM information_schema.processlist WHERE command = 'Query'"
            f" AND db = '{self._database}' AND info LIKE '%{mark}%' AND id <> connection_id()",
        }[self.name]
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.fetchone()[0])

    def until(self, mark: str, count: int, seconds: float = 10) -> None:
        """Wait until exactly ``count`` run."""
        wait_until(lambda: self.running(mark) == count, seconds, lambda: f"{self.running(mark)} run, not {count}")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def watch(live: Live) -> Iterator[Watch]:
    made = Watch(live)
    yield made
    made.close()


def wait_until(true: Callable[[], bool], seconds: float = 10, why: Callable[[], str] = str) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, why()
        time.sleep(0.02)


class Background(threading.Thread):
    """Calls a function in a thread, and keeps what it gave or raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work, self.gave, self.raised = work, None, None
        self.start()

    def run(self) -> None:
        try:
            self.gave = self.work()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.raised = error

    def end(self, seconds: float = 15) -> object:
        self.join(seconds)
        assert not self.is_alive(), "it still runs"
        return self.raised if self.raised is not None else self.gave


# -------------------------------------------------------------------------------------------------------- what it gives


def test_values_come_as_python_has_them(live: Live) -> None:
    columns = {"id": "integer", "amount": "decimal(12,3)", "day": "date", "at": "timestamp", "note": "text"}
    at = datetime(2026, 3, 29, 2, 30, 1)  # noqa: DTZ001  # a column without a zone; an hour that Berlin has not
    rows = [(1, "1234567.891", "2026-11-20", "2026-03-29 02:30:01", "naïve 'quoted' \\ %s :x"), (2, *[None] * 4)]
    live.load("values", columns, rows)
    source = live.datasource()
    note = rows[0][4]
    expected = {
        "sqlite": (1, 1234567.891, "2026-11-20", "2026-03-29 02:30:01", note),
    }.get(live.name, (1, Decimal("1234567.891"), date(2026, 11, 20), at, note))
    sql = f"SELECT * FROM {live.quote('values')} ORDER BY {live.quote('id')}"
    found = source.fetch(sql)
    assert [tuple(row) for row in found] == [expected, (2, None, None, None, None)]
    assert [type(value) for value in found[0]] == [type(value) for value in expected]
    assert [tuple(row) for rows in source.stream(sql) for row in rows] == [tuple(row) for row in found]
    assert source.fetch("SELECT 1 WHERE 1 = 0") == []


def test_columns_are_listed_in_their_order_as_the_database_calls_them(live: Live) -> None:
    live.load(ODD, {"b": "integer", ODD: "decimal(12,3)", "a": "text", "at": "timestamp"}, [])
    types = {
        "duckdb": ("INTEGER", "DECIMAL(12,3)", "VARCHAR", "TIMESTAMP"),
        "sqlite": ("integer", "decimal(12,3)", "TEXT", "TEXT"),
        "postgres": ("integer", "numeric(12,3)", "text", "timestamp without time zone"),
        "mariadb": ("int(11)", "decimal(12,3)", "varchar(200)", "datetime"),
    }[live.name]
    found = live.datasource().columns((ODD,))
    expected = tuple(Column(n, t, nullable=True) for n, t in zip(("b", ODD, "a", "at"), types, strict=True))
    assert tuple(Column(c.name, c.type.upper(), c.nullable) for c in found) == tuple(
        Column(c.name, c.type.upper(), c.nullable) for c in expected
    )


def test_a_column_that_may_not_be_null_is_told(live: Live) -> None:
    live.load("strict", {"id": "integer not null", "note": "text"}, [])
    assert [c.nullable for c in live.datasource().columns(("strict",))] == [False, True]


def test_a_table_in_another_schema(live: Live) -> None:
    schema = {"sqlite": "main", "mariadb": f"apart_{make_url(live.url).database}"}
    live.load("kept", {"id": "integer"}, [])
    writer = live.datasource(write=True)
    name = schema.get(live.name, "apart")
    creating = () if live.name == "sqlite" else (f"CREATE SCHEMA {name}",)
    writer.write(*creating, f"CREATE TABLE {name}.there (one integer)")
    assert [c.name for c in writer.columns((name, "there"))] == ["one"]
    with pytest.raises(MeasureError, match=r"^datasource 'live': there is no table nowhere\.there$"):
        writer.columns(("nowhere", "there"))
    if live.name == "mariadb":
        writer.write(f"DROP SCHEMA {name}")


def test_a_missing_table_is_a_sentence(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource()
    with pytest.raises(MeasureError, match=r"^datasource 'live': there is no table missing$"):
        source.columns(("missing",))
    with pytest.raises(MeasureError, match=r"^datasource 'live': [^\n]*missing[^\n]*$"):
        source.fetch("SELECT 1 FROM missing")
    with pytest.raises(MeasureError, match=r"^datasource 'live': [^\n]*missing[^\n]*$"):
        list(source.stream("SELECT 1 FROM missing"))
    assert [tuple(row) for row in source.fetch("SELECT 1")] == [(1,)]  # nothing is left of what broke


def test_a_stream_holds_few_rows_at_once(live: Live) -> None:
    live.load("many", {"id": "integer"}, [(i,) for i in range(250)])
    source = live.datasource()
    batches = list(source.stream("SELECT id FROM many ORDER BY id", 100))
    assert [len(batch) for batch in batches] == [100, 100, 50]
    assert [row[0] for batch in batches for row in batch] == list(range(250))
    assert list(source.stream("SELECT id FROM many WHERE id < 0")) == []


@only_servers
def test_a_stream_leaves_the_rows_on_the_server(live: Live, watch: Watch) -> None:
    rows = "generate_series(1, 100000000)" if live.name == "postgres" else "seq FROM seq_1_to_100000000"
    with contextlib.closing(live.datasource().stream(f"SELECT 'mark', {rows}", 1000)) as stream:
        assert len(next(stream)) == len(next(stream)) == 1000  # 100 million rows would take minutes, and the memory
    watch.until("mark", 0)


def test_a_stream_that_is_left_early_gives_its_connection_back(live: Live) -> None:
    live.load("many", {"id": "integer"}, [(i,) for i in range(250)])
    source = live.datasource(max_connections=1, timeout=timedelta(seconds=2))
    for _ in range(3):
        with contextlib.closing(source.stream("SELECT id FROM many", 10)) as stream:
            next(stream)
    assert source.fetch("SELECT count(*) FROM many")[0][0] == 250


@pytest.mark.parametrize("live", ["sqlite", "postgres"], indirect=True)
def test_where_a_stream_holds_the_only_connection_a_statement_does_not_hang(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dq.datasource.sql.CANCEL_SECONDS", 0.5)
    live.load("many", {"id": "integer"}, [(i,) for i in range(250)])
    source = live.datasource(max_connections=1, timeout=timedelta(milliseconds=100))
    with contextlib.closing(source.stream("SELECT id FROM many", 10)) as stream:
        next(stream)
        with pytest.raises(MeasureError, match=r"no connection got free \(max_connections = 1\)"):
            source.fetch("SELECT 1")


def test_a_stream_and_a_statement_side_by_side_by_default(live: Live) -> None:
    live.load("many", {"id": "integer"}, [(i,) for i in range(250)])
    source = live.datasource()
    with contextlib.closing(source.stream("SELECT id FROM many", 10)) as stream:
        next(stream)
        assert source.fetch("SELECT count(*) FROM many")[0][0] == 250


# --------------------------------------------------------------------------------------------------- texts and sessions


@pytest.mark.parametrize("text", ["a\\d", "it's", 'say "x"', "", "a\\", "%s :x %(y)s ?", "ü✓"])
def test_a_literal_that_dq_writes_is_what_the_server_reads(live: Live, text: str) -> None:
    from dq.sql.engine import Engine  # noqa: PLC0415  # of all tests here, only this one is about SQL that dq writes

    live.load("kept", {"id": "integer"}, [])
    source = live.datasource()
    assert source.fetch(f"SELECT {Engine(source.dialect).literal(text)}")[0][0] == text


@pytest.mark.parametrize("modes", ["ANSI", "ORACLE", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT,ONLY_FULL_GROUP_BY"])
@pytest.mark.parametrize("driver", ["mysql+pymysql", "mysql+pymysql?read_timeout=60"])
def test_the_modes_of_a_mariadb_do_not_change_what_texts_mean(
    mariadb_server: Server, mariadb_url: str, modes: str, driver: str
) -> None:
    mariadb_server.run(f"SET GLOBAL sql_mode = '{modes}'")
    try:
        url = mariadb_url + "?" + driver.partition("?")[2]
        source = SqlDatasource.of("live", url, timeout=timedelta(seconds=20))
        assert native(parse(url)) == ("mysql" if url.endswith("?") else None)
        row = source.fetch("""SELECT '', 'a\\\\d', "x", 1 || 0, NOT 1 BETWEEN -5 AND 0, @@sql_mode""")[0]
        assert (*row[:4], row[4]) == ("", "a\\d", "x", 1, 1)
        assert ("ONLY_FULL_GROUP_BY" in row[5]) == ("ONLY_FULL_GROUP_BY" in modes)
        source.close()
    finally:
        mariadb_server.run("SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'")


@pytest.mark.parametrize("live", ["postgres"], indirect=True)
def test_a_postgres_that_reads_backslashes_its_own_way(live: Live) -> None:
    live.datasource(read_only=False, write=True).write(
        f"ALTER DATABASE {make_url(live.url).database} SET standard_conforming_strings = off"
    )
    assert live.datasource().fetch(r"SELECT 'a\d'") == [("a\\d",)]


@only_servers
def test_sessions_of_servers_live_in_utc(live: Live, watch: Watch) -> None:
    if live.name == "postgres":
        with watch._connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {make_url(live.url).database} SET timezone = 'Asia/Tokyo'")
        found = live.datasource().fetch("SELECT timestamptz '2026-11-20 06:00', cast(now() AS timestamp)")[0]
        assert found[0] == datetime(2026, 11, 20, 6, tzinfo=UTC)
        now = found[1]
    else:
        with watch._connection.cursor() as cursor:
            cursor.execute("SET GLOBAL time_zone = '+09:00'")
        try:
            now = live.datasource().fetch("SELECT now()")[0][0]
        finally:
            with watch._connection.cursor() as cursor:
                cursor.execute("SET GLOBAL time_zone = '+00:00'")
    assert abs(now.replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'ab1' REGEXP '[0-9]$'", 1),
        ("'ab' REGEXP '[0-9]'", 0),
        ("NULL REGEXP 'a'", None),
        ("'a' REGEXP NULL", None),
        ("17 REGEXP '^1'", 1),
        ("1.5 REGEXP '\\.5$'", 1),
        ("x'6162' REGEXP '^ab$'", 1),
        ("'' REGEXP '^$'", 1),
        ("floor(NULL)", None),
        ("floor(-1.5)", -2),
    ],
)
def test_regexp_in_sqlite(tmp_path: Path, expression: str, expected: object) -> None:
    source = SqlDatasource.of("live", f"sqlite:///{tmp_path}/x", timeout=timedelta(seconds=5), read_only=False)
    assert source.fetch(f"SELECT {expression}") == [(expected,)]
    source.close()


def test_a_pattern_that_is_none_is_a_sentence_in_sqlite(tmp_path: Path) -> None:
    source = SqlDatasource.of("live", f"sqlite:///{tmp_path}/x", timeout=timedelta(seconds=5), read_only=False)
    why = r"^datasource 'live': '\[a' is not a regular expression: unterminated character set at position 0$"
    with pytest.raises(MeasureError, match=why):
        source.fetch("SELECT 'a' REGEXP '[a'")
    with pytest.raises(MeasureError, match=why):
        list(source.stream("SELECT 'a' REGEXP '[a'"))
    with pytest.raises(MeasureError, match="no such table: nowhere"):  # a later error is told by its own words
        source.fetch("SELECT * FROM nowhere")
    source.close()


def test_duckdb_downloads_no_extension(tmp_path: Path) -> None:
    source = Live("duckdb", f"duckdb:///{tmp_path}/live.duckdb").datasource(read_only=False)
    assert [tuple(r) for r in source.fetch("SELECT current_setting('autoinstall_known_extensions')")] == [(False,)]
    source.close()


# ----------------------------------------------------------------------------------------------------- time and the end


@pytest.mark.slow
def test_the_time_out_ends_a_statement(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource(timeout=timedelta(milliseconds=500))
    begun = time.monotonic()
    with pytest.raises(MeasureError, match=r"^datasource 'live': the statement took longer than "):
        source.fetch(LONG[live.name])
    with pytest.raises(MeasureError, match=r"^datasource 'live': the statement took longer than "):
        list(source.stream(LONG[live.name]))
    assert time.monotonic() - begun < 2 * CANCEL_SECONDS  # they heard the cancel, nobody waited for them in vain
    assert [tuple(row) for row in source.fetch("SELECT 1")] == [(1,)]


@pytest.mark.slow
@only_servers
def test_the_time_out_ends_the_statement_on_the_server(live: Live, watch: Watch) -> None:
    source = live.datasource(timeout=timedelta(seconds=1))
    asked = Background(lambda: source.fetch(LONG[live.name]))
    watch.until("mark", 1)
    assert isinstance(asked.end(), MeasureError)
    watch.until("mark", 0, seconds=2)


@pytest.mark.slow
@only_servers
def test_the_server_ends_the_statement_of_a_client_that_hangs(live: Live, watch: Watch) -> None:
    code = (
        "import sys; from datetime import timedelta; from dq.datasource import SqlDatasource;"
        "SqlDatasource.of('live', sys.argv[1], timeout=timedelta(milliseconds=1500)).fetch(sys.argv[2])"
    )
    client = subprocess.Popen([sys.executable, "-c", code, live.url, LONG[live.name]], stderr=subprocess.DEVNULL)
    try:
        watch.until("mark", 1, seconds=20)
        client.send_signal(signal.SIGSTOP)  # its connection stays, so that only the server's own limit is left
        time.sleep(2)
        assert watch.running("mark") == 1  # the client, which would have ended it by now, is first
        watch.until("mark", 0, seconds=5)
    finally:
        client.kill()
        client.wait()


def test_cancel_ends_what_runs_and_refuses_what_comes(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource(parallel=2)
    asked = [Background(lambda: source.fetch(LONG[live.name])) for _ in range(2)]
    wait_until(lambda: len(source._pool._used) == 2)
    waiting = Background(lambda: source.fetch("SELECT 1"))
    source.cancel()
    for one in (*asked, waiting):
        assert isinstance(one.end(), MeasureError)
    with pytest.raises(MeasureError, match="it was interrupted"):
        source.fetch("SELECT 1")


def test_what_connects_while_it_is_cancelled_runs_nothing(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource()
    connect, reached, go = source._driver.connect, threading.Event(), threading.Event()

    def late(**how: bool) -> object:
        reached.set()
        assert go.wait(20)
        return connect(**how)

    source._driver.connect = late
    asked = Background(lambda: source.fetch(LONG[live.name]))
    assert reached.wait(20)
    source.cancel()
    go.set()
    assert str(asked.end(4)) == "datasource 'live': it was interrupted"
    assert (source._pool._used, source._pool._free) == ([], source._pool._most)


@only_servers
def test_cancel_from_another_thread_ends_it_on_the_server(live: Live, watch: Watch) -> None:
    source = live.datasource(parallel=2)
    asked = [Background(lambda: source.fetch(LONG[live.name])) for _ in range(2)]
    watch.until("mark", 2)
    source.cancel()
    watch.until("mark", 0, seconds=3)
    assert all(isinstance(one.end(), MeasureError) for one in asked)


@pytest.mark.slow
@only_servers
def test_statements_run_side_by_side_up_to_the_limit(live: Live, watch: Watch) -> None:
    source = live.datasource(parallel=3)
    sleep = "pg_sleep" if live.name == "postgres" else "sleep"
    asked = Background(lambda: fetch_all(source, [f"SELECT {i}, {sleep}(1.5) /* mark */" for i in range(5)]))
    watch.until("mark", 3)
    most = 0
    while asked.is_alive():
        most = max(most, watch.running("mark"))
        time.sleep(0.02)
    assert most == 3
    assert [rows[0][0] for rows in asked.end()] == list(range(5))


def test_what_breaks_takes_no_other_statement_down(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource(parallel=2)
    found = fetch_all(source, ["SELECT 1", "SELECT broken FROM missing", "SELECT 3"])
    assert [tuple(found[0][0]), tuple(found[2][0])] == [(1,), (3,)]
    assert isinstance(found[1], MeasureError)
    assert "missing" in str(found[1])


def test_ctrl_c_in_fetch_all(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource(parallel=2)

    def interrupt() -> None:
        wait_until(lambda: len(source._pool._used) == 2)
        time.sleep(0.2)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    Background(interrupt)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch_all(source, [LONG[live.name]] * 4)
    assert time.monotonic() - begun < 12
    assert source._pool._used == []  # nothing runs on, and the third was not begun


@only_servers
@pytest.mark.parametrize("parallel", [1, 2])
def test_ctrl_c_ends_it_on_the_server(live: Live, watch: Watch, parallel: int) -> None:
    source = live.datasource(parallel=parallel)

    def interrupt() -> None:
        watch.until("mark", parallel)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    waiting = Background(interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_all(source, [LONG[live.name]] * 4)
    waiting.end()
    watch.until("mark", 0, seconds=1)


# ------------------------------------------------------------------------------------------------------ what it refuses


def test_a_session_that_reads_refuses_to_write(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [(1,)])
    source = live.datasource(write=True)
    for statement in ("INSERT INTO kept VALUES (2)", "DROP TABLE kept", "CREATE TABLE other (id integer)"):
        with pytest.raises(MeasureError, match=r"(?i)read.?only"):
            source.fetch(statement)
    assert [tuple(row) for row in source.fetch("SELECT id FROM kept")] == [(1,)]
    with pytest.raises(MeasureError, match=r"^datasource 'live': there is no table other$"):
        source.columns(("other",))


def test_write_only_where_it_is_allowed(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [(1,)])
    source = live.datasource()
    with pytest.raises(ConfigError, match=r"set write = true in \[datasources.live\]"):
        source.write("INSERT INTO kept VALUES (2)")
    assert source.fetch("SELECT count(*) FROM kept")[0][0] == 1


def test_what_is_written_is_one_transaction(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [(1,)])
    source = live.datasource(write=True)
    assert source.fetch("SELECT count(*) FROM kept")[0][0] == 1
    with pytest.raises(MeasureError, match="missing"):
        source.write("INSERT INTO kept VALUES (2)", "INSERT INTO missing VALUES (3)")
    assert source.fetch("SELECT count(*) FROM kept")[0][0] == 1
    source.write("INSERT INTO kept VALUES (2)", "INSERT INTO kept VALUES (3)")
    assert source.fetch("SELECT count(*) FROM kept")[0][0] == 3
    with pytest.raises(MeasureError, match=r"(?i)read.?only"):  # the session that reads stays what it was
        source.fetch("INSERT INTO kept VALUES (4)")


def test_two_processes_read_at_once(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [(1,)])
    code = (
        "import sys; from datetime import timedelta; from dq.datasource import SqlDatasource;"
        "source = SqlDatasource.of('live', sys.argv[1], timeout=timedelta(seconds=20));"
        "print(source.fetch('SELECT id FROM kept')[0][0], flush=True); sys.stdin.readline();"
        "print(source.fetch('SELECT count(*) FROM kept')[0][0]); source.close()"
    )
    command = [sys.executable, "-c", code, live.url]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [one.stdout.readline() for one in both] == ["1\n", "1\n"]  # both hold the database open now
    assert [one.communicate("\n", timeout=20)[0] for one in both] == ["1\n", "1\n"]
    assert [one.returncode for one in both] == [0, 0]


def test_a_duckdb_file_that_another_process_writes_is_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "x.duckdb"
    code = "import sys, duckdb; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.readline()"
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == "open\n"
    source = SqlDatasource.of("live", f"duckdb:///{file}", timeout=timedelta(seconds=5))
    with pytest.raises(MeasureError, match=r"^datasource 'live': [^\n]*lock[^\n]*$"):
        source.fetch("SELECT 1")
    other.communicate("\n")
    assert source.fetch("SELECT 1") == [(1,)]
    source.close()


# -------------------------------------------------------------------------------------------------------------- secrets


PASSWORDS = ("hunter2-sesame", "p@ss/w:rd %41+ü")


@only_servers
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("way", ["native", "sqlalchemy"])
def test_a_wrong_password_is_a_sentence_without_it(
    live: Live,
    watch: Watch,
    password: str,
    way: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = make_url(live.url).set(username="nobody_here", password=password)
    if way == "sqlalchemy":
        url = url.update_query_dict({"keepalives": "1"} if live.name == "postgres" else {"read_timeout": "60"})
    text = url.render_as_string(hide_password=False)
    assert (native(parse(text)) is None) == (way == "sqlalchemy")
    for given, apart in ((text, None), (url.set(password=None).render_as_string(), password)):
        source = SqlDatasource.of("live", given, password=apart, timeout=timedelta(seconds=5))
        with pytest.raises(MeasureError, match=r"^datasource 'live': [^\n]+$") as caught:
            source.fetch("SELECT 1")
        shown = f"{caught.value} {caught.value!r} {source!r} {source._driver!r} {source._pool!r} {parse(given)!r}"
        assert caught.value.__suppress_context__
        for secret in (password, url.render_as_string(hide_password=False).partition("@")[0].rpartition(":")[2]):
            assert secret not in shown + caplog.text + "".join(capfd.readouterr())
        source.close()


def test_a_sentence_hides_the_secret_that_a_database_repeats(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [])
    source = live.datasource(password="sesame-street")
    if live.name in SERVERS:
        object.__setattr__(source, "_driver", live.datasource()._driver)
        object.__setattr__(source, "_pool", live.datasource()._pool)
    with pytest.raises(MeasureError) as caught:
        source.fetch('SELECT 1 FROM "sesame-street"' if live.name != "mariadb" else "SELECT 1 FROM `sesame-street`")
    assert "***" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("live", ["duckdb", "postgres"], indirect=True)  # the others convert everything
def test_a_value_that_cannot_be_converted_is_not_repeated(live: Live) -> None:
    live.load("texts", {"note": "text"}, [("Jane Doe",)])
    with pytest.raises(MeasureError, match="…") as caught:
        live.datasource().fetch("SELECT cast(note AS integer) FROM texts")
    assert "Jane" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[SqlDatasource]:
    """A DuckDB in memory whose files lie in a folder that is not the working directory."""
    (tmp_path / "data").mkdir()
    for name in ("orders.parquet", "orders.csv"):
        duckdb.sql(f"COPY (SELECT i AS id, i / 2 AS half FROM range(10) t(i)) TO '{tmp_path}/data/{name}'")
    source = SqlDatasource.of("lake", "duckdb:///:memory:", timeout=timedelta(seconds=20), root=tmp_path)
    yield source
    source.close()


@pytest.mark.parametrize("name", ["data/orders.parquet", "data/orders.csv", "data/*.parquet"])
def test_files_are_tables_in_duckdb(lake: SqlDatasource, name: str) -> None:
    assert lake.fetch(f'SELECT count(*), sum(half) FROM "{name}"') == [(10, 22.5)]
    assert [(c.name, c.type) for c in lake.columns((name,))] == [("id", "BIGINT"), ("half", "DOUBLE")]


def test_a_missing_file_is_a_sentence_in_duckdb(lake: SqlDatasource) -> None:
    with pytest.raises(MeasureError, match=r"^datasource 'lake': there is no table data/none\.parquet$"):
        lake.columns(("data/none.parquet",))
    with pytest.raises(MeasureError, match=r"^datasource 'lake': [^\n]*data/none\.parquet[^\n]*$"):
        lake.fetch('SELECT 1 FROM "data/none.parquet"')


# ---------------------------------------------------------------------------------------------------------- the drivers


def test_the_native_drivers_need_no_sqlalchemy(live: Live) -> None:
    live.load("kept", {"id": "integer"}, [(1,)])
    code = (
        "import sys; from datetime import timedelta; from dq.datasource import SqlDatasource;"
        "source = SqlDatasource.of('live', sys.argv[1], timeout=timedelta(seconds=20));"
        "source.fetch('SELECT id FROM kept'), source.columns(('kept',)), source.close();"
        "print('sqlalchemy' in sys.modules, 'sqlglot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, live.url], check=True, capture_output=True, text=True)
    assert done.stdout == "False False\n"


def test_another_driver_gives_the_same(live: Live) -> None:
    live.load("kept", {"id": "integer", "amount": "decimal(12,3)", "note": "text"}, [(1, "1.5", "x"), (2, None, None)])
    option = {"duckdb": "threads=1", "postgres": "keepalives=1", "mariadb": "read_timeout=60"}
    url = f"{live.url}?{option.get(live.name, 'timeout=3')}"
    assert native(parse(url)) is None
    mine = live.datasource()
    other = SqlDatasource.of("live", url, timeout=timedelta(seconds=20), write=True)
    sql = "SELECT * FROM kept ORDER BY id"
    if live.name == "duckdb":  # one process opens a file with one set of options
        expected = (mine.fetch(sql), mine.columns(("kept",)))
        mine.close()
    else:
        expected = (mine.fetch(sql), mine.columns(("kept",)))
    assert [tuple(row) for row in other.fetch(sql)] == [tuple(row) for row in expected[0]]
    assert [row for rows in other.stream(sql, 1) for row in rows] == [tuple(row) for row in expected[0]]
    if live.name != "duckdb":
        assert [c.name for c in other.columns(("kept",))] == [c.name for c in expected[1]]
        with pytest.raises(MeasureError, match=r"there is no table missing$"):
            other.columns(("missing",))
    with pytest.raises(MeasureError, match="took longer"):
        SqlDatasource.of("live", url, timeout=timedelta(milliseconds=500)).fetch(LONG[live.name])
    with pytest.raises(MeasureError, match="missing"):
        other.write("INSERT INTO kept VALUES (3, NULL, NULL)", "INSERT INTO missing VALUES (3)")
    other.write("INSERT INTO kept VALUES (4, NULL, NULL)")
    assert other.fetch("SELECT count(*) FROM kept")[0][0] == 3
    other.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nothing", "its url is not of the form dialect://host/database"),
        ("postgresql://h:x/db", "its url is not of the form dialect://host/database"),
        ("nosuch://h/db", "no driver for nosuch is installed"),
        ("snowflake://h/db", "no driver for snowflake is installed; pip install 'dq-sla[snowflake]'"),
    ],
)
def test_an_address_that_leads_nowhere_is_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SqlDatasource.of("w", url, timeout=timedelta(seconds=5))
    assert str(caught.value) == f"datasource 'w': {sentence}"


URLS = (
    "postgresql://u:p%40ss@db.example.org:5433/shop?sslmode=require",
    "postgresql+psycopg://u@/shop?host=/run/pg",
    "mysql://u:p:w@h/x",
    "mariadb+pymysql://u:@h:3306/x?charset=utf8mb4",
    "postgresql://[::1]:5432/x",
    "duckdb:////data/x.duckdb",
    "sqlite:///relative/x.sqlite",
    "sqlite://",
    "snowflake://u@account/db/schema?warehouse=w&role=r",
    "trino://u@h:8080/hive",
)


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_read_as_sqlalchemy_reads_it(url: str) -> None:
    mine, theirs = parse(url), make_url(url)
    assert (mine.name, mine.user, mine.password, mine.host, mine.port, mine.database, mine.query) == (
        theirs.drivername,
        theirs.username,
        theirs.password,
        theirs.host,
        theirs.port,
        theirs.database,
        dict(theirs.query),
    )


def test_a_server_that_was_restarted_is_asked_again(postgres_server: Server, postgres_url: str) -> None:
    source = SqlDatasource.of("live", postgres_url, timeout=timedelta(seconds=20))
    assert source.fetch("SELECT 1") == [(1,)]
    postgres_server.restart(lambda: None)
    assert source.fetch("SELECT 2") == [(2,)]
    source.close()


def test_a_plain_double_works_with_fetch_all() -> None:
    class Double:
        name, dialect = "double", "duckdb"

        def fetch(self, sql: str) -> list[tuple[str]]:
            if sql == "broken":
                raise MeasureError("no")
            return [(sql,)]

    found = fetch_all(Double(), ["a", "broken", "c"])
    assert found[0] == [("a",)]
    assert found[2] == [("c",)]
    assert isinstance(found[1], DqError)


def test_duckdb_holds_little_of_a_stream_and_is_as_before_afterwards(tmp_path: Path) -> None:
    url, minute = f"duckdb:///{tmp_path}/lake.duckdb", timedelta(minutes=1)
    source = SqlDatasource.of("lake", url, timeout=minute, read_only=False, parallel=3)
    asked = "SELECT current_setting('memory_limit'), current_setting('temp_directory')"
    before, folder = source.fetch(asked)[0]
    assert str(folder).startswith(tempfile.gettempdir())
    first, second = (source.stream("SELECT range FROM range(5)", 2) for _ in range(2))
    assert [next(first), next(second)] == [[(0,), (1,)]] * 2
    assert source.fetch(asked)[0][0] == "95.3 MiB"
    assert len(list(first)) == 2
    assert source.fetch(asked)[0][0] == "95.3 MiB"
    second.close()
    assert source.fetch(asked)[0][0] == before
    source.close()


def test_duckdb_holds_what_a_statement_needs_where_it_fails_with_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dq.datasource.duckdb.STREAM_MEMORY", "10MB")
    rows = "SELECT i % 1000 AS org, md5(i::TEXT) AS text FROM range(500000) numbers(i)"
    lists = f"SELECT org, string_agg(text), count(DISTINCT text) FROM ({rows}) GROUP BY org"  # lie on no disk
    source = SqlDatasource.of("lake", f"duckdb:///{tmp_path}/lake.duckdb", timeout=timedelta(minutes=1))
    duckdb.connect(f"{tmp_path}/lake.duckdb").close()
    with duckdb.connect() as small, pytest.raises(duckdb.OutOfMemoryException):
        small.execute("SET memory_limit = '10MB'").execute(lists).fetchall()
    whole = source.fetch("SELECT current_setting('memory_limit')")
    small_one = source.stream("SELECT range FROM range(5)", 2)
    assert next(small_one) == [(0,), (1,)]
    assert sum(map(len, source.stream(lists))) == 1_000
    assert len(source.fetch(lists)) == 1_000  # beside a stream
    assert source.fetch("SELECT current_setting('memory_limit')") == [("9.5 MiB",)]
    assert [row for rows in small_one for row in rows] == [(2,), (3,), (4,)]
    assert source.fetch("SELECT current_setting('memory_limit')") == whole
    source.close()
