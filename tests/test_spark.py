"""Spark as a datasource: one real, local Spark for all tests."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import pytest

from dq.datasource import SqlDatasource, fetch_all
from dq.model.errors import ConfigError, MeasureError
from dq.selfcheck import selfcheck
from tests.servers import missing

pytestmark = pytest.mark.slow

Open = Callable[..., SqlDatasource]
URL = "spark://local[2]?spark.sql.shuffle.partitions=2&spark.driver.memory=1g"
LONG = "SELECT sum(a.id * b.id % 7) FROM range(0, 100000000, 1, 64) a CROSS JOIN range(100000) b"
ORDERS = """
    SELECT i AS id, CASE WHEN i <> 3 THEN cast(i * 1.5 AS decimal(10, 2)) END AS amount,
        'it''s "' || i || '",' || chr(10) || 'x' AS note, DATE '2026-11-20' + cast(i AS int) AS day,
        TIMESTAMP '2026-11-20 00:30:00' AS at
    FROM range(10) t(i)
"""


@pytest.fixture(scope="session")
def java() -> None:
    """Skip where Spark cannot run."""
    if find_spec("pyspark") is None:
        missing("Spark", "pyspark is not installed")
    found = shutil.which("java")
    if found is None or subprocess.run([found, "-version"], check=False, capture_output=True).returncode:
        missing("Spark", "there is no Java")


@pytest.fixture
def spark(java: None, tmp_path: Path) -> Iterator[Open]:
    """Open datasources of the Spark of this process, whose files lie in ``tmp_path``."""
    opened: list[SqlDatasource] = []

    def make(url: str = URL, **settings: Any) -> SqlDatasource:
        made = SqlDatasource.of("lake", url, **{"timeout": timedelta(seconds=120), "root": tmp_path, **settings})
        opened.append(made)
        return made

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """Ten rows as ``data/orders.parquet`` and ``.csv``, and twice as a folder of Parquet files."""
    (tmp_path / "data" / "parts").mkdir(parents=True)
    for name in ("orders.parquet", "orders.csv", "parts/one.parquet", "parts/two.parquet"):
        duckdb.sql(f"COPY ({ORDERS}) TO '{tmp_path}/data/{name}'")
    return tmp_path


def test_values_come_as_python_has_them(spark: Open) -> None:
    sql = r"""
        SELECT 1, cast('1.50' AS decimal(10, 2)), date '2026-11-20', timestamp '2026-03-29 02:30:00',
            timestamp_ntz '2026-03-29 02:30:00', 'a\\d %s :x \' ü', true, cast(null AS int), 0.5D
    """
    source = spark()
    at = datetime(2026, 3, 29, 2, 30, tzinfo=UTC)  # an hour that Berlin has not
    expected = (1, Decimal("1.50"), date(2026, 11, 20), at, at.replace(tzinfo=None), "a\\d %s :x ' ü", True, None, 0.5)
    assert source.fetch(sql) == [expected]
    assert list(source.stream(sql)) == [[expected]]
    assert source.dialect == "spark"


def test_times_do_not_depend_on_the_zone_of_the_process(
    spark: Open, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    source = spark()
    request.addfinalizer(time.tzset)  # after monkeypatch
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    assert source.fetch("SELECT timestamp '2026-11-20 00:30:00'")[0][0] == datetime(2026, 11, 20, 0, 30, tzinfo=UTC)
    monkeypatch.undo()


@pytest.mark.parametrize("text", ["a\\d", "it's", 'say "x"', "", "a\\", "%s :x %(y)s ?", "ü✓", "a\nb"])
def test_a_literal_that_dq_writes_is_what_spark_reads(spark: Open, text: str) -> None:
    from dq.sql.engine import Engine  # noqa: PLC0415  # of all tests here, only this one is about SQL that dq writes

    assert spark().fetch(f"SELECT {Engine('spark').literal(text)}") == [(text,)]


@pytest.mark.parametrize(
    ("name", "times"),
    [("data/orders.parquet", 1), ("data/orders.csv", 1), ("data/parts/*.parquet", 2), ("data/parts", 2)],
)
def test_files_are_tables(spark: Open, orders: Path, name: str, times: int) -> None:
    source = spark()
    sql = f"SELECT count(*), count(amount), sum(amount), count(DISTINCT note), min(note), max(day) FROM `{name}`"
    note = 'it\'s "0",\nx'
    row = source.fetch(sql)[0]
    assert (*row[:2], float(row[2]), *row[3:]) == (10 * times, 9 * times, 63.0 * times, 10, note, date(2026, 11, 29))
    kinds = {c.name: c.type for c in source.columns((name,))}
    assert list(kinds) == ["id", "amount", "note", "day", "at"]
    assert (kinds["note"], kinds["day"]) == ("string", "date")
    found = spark().fetch(f"SELECT at FROM `{name}` WHERE id = 4")[0][0]
    assert found.replace(tzinfo=UTC) == datetime(2026, 11, 20, 0, 30, tzinfo=UTC)


def test_a_table_as_dq_names_it(spark: Open, orders: Path) -> None:
    from dq.sql.engine import Engine  # noqa: PLC0415  # as above

    for name in ("data/orders.parquet", "data/orders.csv"):
        assert spark().fetch(f"SELECT count(*), max(id) FROM {Engine('spark').table(name)}") == [(10, 9)]


def test_a_broken_row_of_a_file_is_told_without_its_values(spark: Open, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,name\n1,Ann\n2,Jane Doe,extra\n3,Bob\n")
    with pytest.raises(MeasureError, match=r"^datasource 'lake': [^\n]*malformed[^\n]*$") as caught:
        spark().fetch("SELECT * FROM `people.csv`")
    assert "Jane" not in str(caught.value)


def test_what_is_missing_is_a_sentence(spark: Open, tmp_path: Path) -> None:
    source = spark()
    for table in (("nowhere",), ("default", "nowhere"), ("data/none.parquet",)):
        with pytest.raises(MeasureError, match=rf"^datasource 'lake': there is no table {'.'.join(table)}$"):
            source.columns(table)
    with pytest.raises(MeasureError, match=r"^datasource 'lake': The table or view `nowhere` cannot be found[^\n]*$"):
        source.fetch("SELECT * FROM nowhere")
    with pytest.raises(MeasureError, match=r"^datasource 'lake': [^\n]*data/none.parquet[^\n]*$"):
        source.fetch("SELECT * FROM `data/none.parquet`")
    with pytest.raises(MeasureError, match=r"^datasource 'lake': 'data/none' ends in none of .parquet, .csv"):
        source.fetch("SELECT * FROM `data/none`")
    with pytest.raises(MeasureError, match="`amuont`"):
        source.fetch("SELECT amuont FROM (SELECT 1 AS amount)")
    assert source.fetch("SELECT 1") == [(1,)]


def test_a_folder_of_delta_is_not_read_as_its_parquet_files(spark: Open, orders: Path) -> None:
    (orders / "data" / "parts" / "_delta_log").mkdir()
    with pytest.raises(MeasureError, match=r"^datasource 'lake': [^\n]*data source[^\n]*$"):
        spark().fetch("SELECT * FROM `data/parts`")


def test_a_value_that_cannot_be_converted_is_not_repeated(spark: Open) -> None:
    with pytest.raises(MeasureError, match=r"^datasource 'lake': cast invalid input$"):
        spark().fetch("SELECT cast(concat('Jane', ' Doe') AS int)")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE made AS SELECT 1 AS one",
        "CREATE TEMPORARY VIEW made AS SELECT 1 AS one",
        "INSERT INTO made SELECT 1",
        "WITH one AS (SELECT 1) INSERT INTO made SELECT * FROM one",
        "FROM made INSERT INTO other SELECT *",
        "INSERT OVERWRITE DIRECTORY 'FOLDER/out' USING csv SELECT 1",
        "DROP TABLE made",
        "SET spark.sql.session.timeZone = Asia/Tokyo",
    ],
)
def test_a_datasource_that_reads_refuses_to_write(spark: Open, tmp_path: Path, statement: str) -> None:
    source = spark()
    for ask in (source.fetch, lambda sql: list(source.stream(sql))):
        with pytest.raises(MeasureError, match=r"^datasource 'lake': it is read-only, and the statement is no query$"):
            ask(statement.replace("FOLDER", str(tmp_path)))
    assert not (tmp_path / "out").exists()
    with pytest.raises(MeasureError, match="no table made"):
        source.columns(("made",))


def test_write_where_it_is_allowed(spark: Open, tmp_path: Path) -> None:
    statement = f"INSERT OVERWRITE DIRECTORY '{tmp_path}/out' USING parquet SELECT 7 AS seven"
    with pytest.raises(ConfigError, match="set write = true"):
        spark().write(statement)
    source = spark(write=True)
    source.write(statement)
    assert source.fetch("SELECT seven FROM `out/`") == [(7,)]


def test_the_time_out_ends_the_jobs(spark: Open) -> None:
    source = spark(timeout=timedelta(seconds=3))
    source.fetch("SELECT 1")
    begun = time.monotonic()
    for ask in (source.fetch, lambda sql: list(source.stream(sql))):
        with pytest.raises(MeasureError, match=r"^datasource 'lake': the statement took longer than 3s$"):
            ask(LONG)
        assert until(lambda: jobs() == 0)
    assert time.monotonic() - begun < 20
    assert source.fetch("SELECT 1") == [(1,)]


def test_cancel_ends_the_jobs(spark: Open) -> None:
    source = spark(parallel=2)
    found: list[Any] = []
    asking = threading.Thread(target=lambda: found.extend(fetch_all(source, [LONG, LONG, LONG])), daemon=True)
    asking.start()
    assert until(lambda: jobs() == 2)  # side by side
    source.cancel()
    asking.join(15)
    assert [type(one) for one in found] == [MeasureError] * 3
    assert until(lambda: jobs() == 0)


def test_a_stream_that_is_left_early(spark: Open) -> None:
    source = spark()
    with contextlib.closing(source.stream("SELECT id FROM range(0, 1000000, 1, 100)", 10)) as stream:
        assert next(stream)[:3] == [(0,), (1,), (2,)]
        assert len(next(stream)) == 10
    assert source.fetch("SELECT 1") == [(1,)]


def test_another_spark_beside_it_is_refused(spark: Open) -> None:
    assert spark().fetch("SELECT 1") == [(1,)]
    assert spark("spark://").fetch("SELECT 2") == [(2,)]  # whichever runs
    for url in ("spark://elsewhere:7077", "spark://localhost", "spark://local[3]"):
        with pytest.raises(MeasureError, match=r"^datasource 'lake': a process has one Spark, and another one already"):
            spark(url).fetch("SELECT 1")


def test_a_database_that_is_not_there(spark: Open) -> None:
    assert spark("spark://local[2]/default").fetch("SELECT current_schema()") == [("default",)]
    with pytest.raises(MeasureError, match=r"^datasource 'lake': [^\n]*nowhere[^\n]*$"):
        spark("spark://local[2]/nowhere").fetch("SELECT 1")


def test_without_java_it_is_a_sentence(tmp_path: Path) -> None:
    if find_spec("pyspark") is None:
        missing("Spark", "pyspark is not installed")
    code = (
        "from datetime import timedelta; from dq.datasource import SqlDatasource;"
        "SqlDatasource.of('lake', 'spark://local', timeout=timedelta(seconds=60)).fetch('SELECT 1')"
    )
    (tmp_path / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    env = {"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path / "nothing")}
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=env, cwd=".")
    assert done.stderr.splitlines()[-1].endswith(
        "MeasureError: datasource 'lake': Spark did not start; it needs Java (`java -version`)"
    )


def jobs() -> int:
    """Return how many jobs Spark runs."""
    from pyspark import SparkContext  # noqa: PLC0415  # optional

    return len(SparkContext.getOrCreate().statusTracker().getActiveJobsIds())


def until(true: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_every_kind_of_check_on_spark(spark: Open, tmp_path: Path) -> None:
    def open_to_write() -> SqlDatasource:
        return spark(f"{URL}&spark.sql.warehouse.dir={tmp_path}/warehouse", write=True)

    found = selfcheck(open_to_write, "default")
    assert {one.kind for one in found} >= {"Rows", "Unique", "Reference", "Quantile", "ZScore", "Schema"}
    assert {one.kind for one in found if one.state == "refused"} == {"ValidJson"}, "Spark cannot tell JSON"
    assert [one for one in found if one.state not in {"holds", "refused"}] == []
