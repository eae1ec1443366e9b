"""The guard: what is let through, and what is refused on every dialect."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dq.checks.text import bad_regex
from dq.model.errors import GuardError
from dq.sql.dialects import StrictSQLite
from dq.sql.engine import Engine
from dq.sql.guard import REFUSED_FUNCTIONS, guard_aggregate, guard_predicate, guard_query
from dq.sql.names import table_parts

DIALECTS = ("duckdb", "sqlite", "postgres", "mysql", "snowflake", "bigquery", "tsql")

HOSTILE = [
    "x; DROP TABLE orders", ";", "a LIMIT 1", "a ORDER BY 1", "a GROUP BY a", "a HAVING a",
    "a UNION SELECT 1", "a UNION ALL SELECT secret FROM t", "a INTERSECT SELECT 1",
    "a > 0) OR (1=1", "a > 0); DELETE FROM t; --", "1=1 -- \n; drop table t",
    "x > (SELECT max(y) FROM t)", "a IN (SELECT 1)", "EXISTS (SELECT 1)",
    "sum(a) > 1", "count(*) > 0", "row_number() OVER () = 1",
    "a = ?", "a + 1", "1", "'text'", "NULL", "", "   ", "a, b", "*", "SELECT 1", "DROP TABLE t",
    "a FOR UPDATE", "a INTO OUTFILE 'x'", "a = 1 /*", "'", '"', "a = 'x", "a\x00", "a WINDOW w AS (ORDER BY a)",
    "pg_sleep(10) IS NULL", "PG_SLEEP(1) is null", "pg_read_file('/etc/passwd') = ''", "nextval('s') > 0",
    "set_config('a', 'b', false) = ''", "load_extension('x')", "pg_terminate_backend(1)", "dblink_exec('x', 'y') = ''",
    "getenv('HOME') = ''", "lo_import('/etc/passwd') > 0", "query_to_xml('select 1', true, true, '') is null",
    "sleep(1) = 0", "load_file('/etc/passwd') = ''", "benchmark(1000000, md5('x')) = 0",
    "CASE WHEN a THEN pg_sleep(1) IS NULL END", "coalesce(getenv('X'), '') = ''",
]  # fmt: skip

GOOD = [
    "amount > 0", "active", "not deleted", "a AND b OR c", "a IS NOT NULL", "a BETWEEN 1 AND 2", "a IN (1, 2, 3)",
    "note LIKE '%x%'", "lower(name) = 'x'", "CASE WHEN a > 0 THEN b > 0 ELSE c > 0 END", "(a > 0)",
    "a <> '?'", "a <> ':x'", "name <> '; DROP TABLE t'", "a > 0 -- fine",
    "a = '%s'", "coalesce(a, 0) >= 0", "abs(a - b) < 10", "length(name) > 0", "a > -1.5e3",
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_is_not_one_boolean_expression_is_refused(text: str, dialect: str) -> None:
    with pytest.raises(GuardError) as refused:
        guard_predicate(text, dialect)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", GOOD)
def test_predicates_pass_and_come_out_in_the_dialect_they_were_read_in(text: str, dialect: str) -> None:
    emitted = guard_predicate(text, dialect).sql(dialect=dialect, comments=False)
    assert guard_predicate(emitted, dialect).sql(dialect=dialect) == emitted


@pytest.mark.parametrize("name", sorted(REFUSED_FUNCTIONS))
def test_every_function_on_the_list_is_refused_wherever_it_stands(name: str) -> None:
    for text in (f"{name}(a) = 1", f"a = 1 OR coalesce({name}('x'), 1) = 1", f"{name.upper()}() IS NULL"):
        with pytest.raises(GuardError):
            guard_predicate(text, "postgres")
    with pytest.raises(GuardError):
        guard_aggregate(f"sum({name}(a))", "postgres")
    with pytest.raises(GuardError):
        guard_query(f"SELECT * FROM t WHERE {name}(a) = 1", "postgres")


@pytest.mark.parametrize(
    "name",
    ["pg_ls_new_dir", "pg_read_anything", "read_new_format", "lo_anything", "pg_stat_reset_all", "parquet_new"],
)
def test_what_a_release_adds_to_a_refused_family_is_refused(name: str) -> None:
    assert name not in REFUSED_FUNCTIONS
    with pytest.raises(GuardError, match=f"calls {name}, which reads files"):
        guard_query(f"SELECT * FROM {name}('x')", "duckdb")


@pytest.mark.parametrize(
    "text",
    ['"pg_sleep"(5) IS NULL', "pg_catalog.pg_sleep(5) IS NULL", "pg_sleep /* x */ (5) IS NULL",
     "pg_sleep\n(5) IS NULL", '"PG_SLEEP" (5) IS NULL'],
)  # fmt: skip
def test_a_function_is_refused_however_its_name_is_written(text: str) -> None:
    with pytest.raises(GuardError, match=r"(?i)calls pg_sleep"):
        guard_predicate(text, "postgres")


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("SELECT * FROM pg_hba_file_rules", "postgres"),
        ('SELECT * FROM pg_catalog."pg_file_settings"', "postgres"),
        ("SELECT a FROM t JOIN pg_shadow ON true", "postgres"),
        ("SELECT * FROM PRAGMA_DATABASE_LIST", "sqlite"),
        ("SELECT * FROM mysql.global_priv", "mysql"),
    ],
)
def test_a_table_that_shows_files_or_passwords_is_refused(text: str, dialect: str) -> None:
    with pytest.raises(GuardError, match="shows files or passwords of the server"):
        guard_query(text, dialect)


@pytest.mark.parametrize("text", ["SELECT sleep, query FROM sleep", "SELECT edit FROM checkpoint"])
def test_a_table_or_column_may_have_the_name_of_a_refused_function(text: str) -> None:
    guard_query(text, "postgres")


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("a > 0 /*! OR sleep(5) */", "mysql"),
        ("a > 0 /*!50000 ; DROP TABLE t */", "mysql"),
        ("a > 0 /*M! AND sleep(5) */", "mysql"),
        ("a > 0 -- ; DROP TABLE t", "postgres"),
    ],
)
def test_no_comment_is_sent(text: str, dialect: str) -> None:
    assert guard_predicate(text, dialect).sql(dialect=dialect) == "a > 0"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("blank", ["\u200b", "\ufeff", "\u00ad", "\uff1b", "\u202e"])
def test_a_character_that_engines_read_in_different_ways_is_refused_outside_of_quotes(blank: str, dialect: str) -> None:
    with pytest.raises(GuardError):
        guard_predicate(f"a {blank}> 0", dialect)
    guard_predicate(f"a = 'x{blank}y'", dialect)


def test_a_blank_that_engines_may_not_know_is_sent_as_a_space() -> None:
    for blank in "\u00a0\u2028\u3000\x0b\x0c\r\n\t":
        assert guard_predicate(f"a{blank}>{blank}0", "postgres").sql("postgres") == "a > 0"


def test_a_predicate_that_is_nested_too_deeply_is_a_sentence() -> None:
    for text in ("(" * 5_000 + "a" + ")" * 5_000, "NOT " * 100 + "a", "abs(" * 100 + "a" + ")" * 100 + " > 0"):
        with pytest.raises(GuardError, match="nested too deeply"):
            guard_predicate(text, "postgres")
    guard_predicate(" OR ".join(f"a = {i}" for i in range(2_000)), "postgres")


def test_a_function_in_the_place_of_a_table_is_no_traceback() -> None:
    text = "SELECT * FROM JSON_TABLE(a, '$[*]' COLUMNS (a int PATH '$')) AS j"
    for dialect in ("mysql", "duckdb", "postgres", "sqlite"):
        with contextlib.suppress(GuardError):
            guard_query(text, dialect)


def test_the_project_can_refuse_more() -> None:
    guard_predicate("my_function(a) = 1", "postgres")
    with pytest.raises(GuardError, match="calls my_function"):
        guard_predicate("My_Function(a) = 1", "postgres", ["MY_FUNCTION"])


@pytest.mark.parametrize(
    "text",
    [
        "sum(a)",
        "avg(price) / max(price)",
        "count(DISTINCT a)",
        "max(a) - min(a)",
        "sum(CASE WHEN a THEN 1 ELSE 0 END)",
        "approx_quantile(a, 0.5)",
    ],
)
def test_aggregates_pass(text: str) -> None:
    guard_aggregate(text, "duckdb")


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "sum(a), sum(b)",
        "sum(a) FROM t",
        "sum(a) AS x",
        "sum(a); DROP TABLE t",
        "sum((SELECT 1))",
        "sum(a) OVER ()",
        "1",
        "*",
        "sum(getenv('x'))",
        "",
    ],
)
def test_whatever_is_not_one_aggregate_is_refused(text: str) -> None:
    with pytest.raises(GuardError):
        guard_aggregate(text, "duckdb")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM t",
        "WITH x AS (SELECT 1 AS a) SELECT * FROM x",
        "SELECT 1 UNION ALL SELECT 2",
        "SELECT a FROM t JOIN u USING (id)",
    ],
)
def test_queries_pass(text: str) -> None:
    guard_query(text, "postgres")


@pytest.mark.parametrize(
    "text",
    ["DELETE FROM t", "SELECT 1; SELECT 2", "INSERT INTO t SELECT 1", "SELECT * INTO u FROM t",
     "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x", "SELECT * FROM t FOR UPDATE",
     "CREATE TABLE u AS SELECT 1", "COPY t TO '/tmp/x'", "ATTACH 'x.db' AS x", "PRAGMA table_info(t)", "VACUUM",
     "CALL f()", "SELECT * FROM read_csv('x.csv')", "SELECT * FROM 'secret.csv'", 'SELECT * FROM "/etc/passwd"',
     "EXPLAIN SELECT 1", "SET x = 1", "GRANT ALL ON t TO u", ""],
)  # fmt: skip
def test_whatever_does_more_than_read_is_refused(text: str) -> None:
    for dialect in ("duckdb", "postgres", "sqlite"):
        with pytest.raises(GuardError):
            guard_query(text, dialect)


@given(st.text(alphabet=st.sampled_from(list("ab01 ()'\";-/*=<>,.\n")), max_size=40))
def test_nothing_that_passes_ever_holds_a_second_statement_or_clause(text: str) -> None:
    try:
        tree = guard_predicate(text, "postgres")
    except GuardError:
        return
    emitted = tree.sql(dialect="postgres", comments=False)
    assert guard_predicate(f"({emitted})", "postgres").unnest().sql("postgres") == tree.unnest().sql(
        "postgres", comments=False
    )


@pytest.mark.parametrize(
    ("name", "parts"),
    [("orders", ("orders",)), ("sales.orders", ("sales", "orders")), ("a.b.c", ("a", "b", "c")),
     ('"my schema"."a.b"', ("my schema", "a.b")),
     ('x."a""b"', ("x", 'a"b')), ("my table", ("my table",)), ("lake/orders.parquet", ("lake/orders.parquet",))],
)  # fmt: skip
def test_a_table_name_has_parts(name: str, parts: tuple[str, ...]) -> None:
    assert table_parts(name) == parts


@pytest.mark.parametrize("name", ["", ".", "a..b", "a.b.c.d", '"a', 'a"b.c', "a."])
def test_a_broken_table_name_is_refused(name: str) -> None:
    with pytest.raises(GuardError, match="is not the name of a table"):
        table_parts(name)


def test_half_a_predicate_is_told_in_words_of_sql() -> None:
    with pytest.raises(GuardError, match=r"^the SQL «x >» cannot be read as SQL \(sqlite\): a part of it is missing$"):
        guard_predicate("x >", StrictSQLite.__name__.lower())


@pytest.mark.parametrize("write", [Engine("duckdb").identifier, Engine("duckdb").literal])
def test_a_nul_which_ends_a_statement_is_written_nowhere(write: Callable[[str], str]) -> None:
    with pytest.raises(GuardError, match="NUL character"):
        write('x\x00" OR 1=1')


def test_a_pattern_that_python_may_come_to_read_differently_is_refused_and_warns_nobody() -> None:
    for pattern in ("[a--z]", "[[:alpha:]]", "[^[:alpha:]]", "[a&&b]"):
        assert "is not understood alike by all engines" in next(bad_regex(pattern)), pattern


@pytest.mark.parametrize("predicate", ["(a := le(1, 2)) = 1", "abs(a := f(1) IS NULL) = 1"])
@pytest.mark.parametrize("dialect", ["duckdb", "mysql", "postgres", "spark", "sqlite"])
def test_a_variable_is_not_set(predicate: str, dialect: str) -> None:
    with pytest.raises(GuardError, match="may set a variable"):
        guard_predicate(predicate, dialect)
