"""The guard: what of the user's SQL is let through.

A predicate is parsed as ``SELECT 1 WHERE <predicate>``, and exactly that must come out: one SELECT with nothing but a
WHERE. What is sent to the database is emitted from the tree that was inspected, so nothing else can travel with it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from dq.model.errors import GuardError

# sqlglot warns on its own logger about syntax it keeps as a Command; the guard refuses that in its own words.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

REFUSED_FUNCTIONS = frozenset(
    """
    pg_read_file pg_read_binary_file pg_ls_dir pg_ls_logdir pg_ls_waldir pg_ls_tmpdir pg_ls_archive_statusdir
    pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_read_file_old
    pg_stat_file pg_logdir_ls lo_import lo_export lo_create lo_unlink lo_put lo_from_bytea lowrite lo_creat
    lo_open lo_truncate lo_truncate64
    pg_sleep pg_sleep_for pg_sleep_until pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile
    pg_rotate_logfile_old pg_log_backend_memory_contexts pg_log_standby_snapshot pg_backup_start pg_backup_stop
    pg_wal_replay_pause pg_wal_replay_resume pg_switch_wal pg_create_restore_point pg_promote pg_notify nextval
    setval set_config
    pg_advisory_lock pg_advisory_xact_lock pg_advisory_lock_shared pg_advisory_xact_lock_shared
    pg_try_advisory_lock pg_try_advisory_xact_lock pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_try_advisory_lock_shared pg_try_advisory_xact_lock_shared
    pg_file_write pg_file_rename pg_file_unlink pg_file_sync pg_read_server_files
    pg_create_physical_replication_slot pg_create_logical_replication_slot pg_drop_replication_slot
    pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_replication_slot_advance
    pg_logical_slot_get_changes pg_logical_slot_get_binary_changes pg_logical_emit_message
    pg_replication_origin_create pg_replication_origin_drop pg_replication_origin_advance
    pg_stat_reset pg_stat_reset_shared pg_stat_reset_single_table_counters pg_stat_reset_single_function_counters
    pg_stat_reset_slru pg_stat_reset_replication_slot pg_stat_reset_subscription_stats pg_stat_statements_reset
    dblink dblink_exec dblink_connect dblink_connect_u dblink_open dblink_send_query
    query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml table_to_xml schema_to_xml database_to_xml
    database_to_xmlschema schema_to_xmlschema table_to_xmlschema cursor_to_xmlschema ts_stat ts_rewrite
    txid_current pg_current_xact_id pg_export_snapshot
    read_single_csv_file read_single_json_file read_single_parquet_file read_duckdb json_execute_serialized_sql
    parquet_full_metadata python_arrow_scan sleep_ms enable_profiling disable_profiling disable_logging
    truncate_duckdb_logs create_external_resource destroy_external_resource register_external_resource
    register_external_resource_type deregister_external_resource
    read_csv read_csv_auto sniff_csv read_parquet parquet_scan parquet_metadata parquet_schema parquet_file_metadata
    parquet_kv_metadata parquet_bloom_probe read_json read_json_auto read_json_objects read_json_objects_auto
    read_ndjson read_ndjson_auto read_ndjson_objects read_text read_blob read_xlsx glob getenv
    which_secret duckdb_secrets sqlite_scan sqlite_attach sqlite_query postgres_scan postgres_scan_pushdown
    postgres_attach postgres_query postgres_execute mysql_scan mysql_query mysql_execute iceberg_scan delta_scan st_read
    query query_table arrow_scan arrow_scan_dumb pandas_scan python_map_function seq_scan checkpoint force_checkpoint
    pragma_table_info enable_logging write_log
    load_extension readfile writefile edit fts3_tokenizer sqlite_compileoption_used zeroblob randomblob
    load_file sleep benchmark get_lock release_lock release_all_locks is_free_lock master_pos_wait source_pos_wait
    sys_exec sys_eval lastval last_insert_id
    xp_cmdshell xp_dirtree xp_fileexist openrowset openquery opendatasource
    external_query http_get http_post
    """.split()  # noqa: SIM905  # a block of words is easier to read and to compare with a manual than a list
)
"""Functions that read files or the network, sleep, take locks or change state, on the engines that dq knows.

From the function lists in the manuals of PostgreSQL 16, DuckDB, SQLite, MariaDB / MySQL and SQL Server.
"""

_NOT_BOOLEAN = (exp.Literal, exp.Null, exp.Star, exp.Tuple, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe,
                exp.Neg, exp.Concat, exp.Alias, exp.Array, exp.Interval)  # fmt: skip
_STATE = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.Command, exp.Into,
          exp.Lock, exp.Copy, exp.Set, exp.Use, exp.Transaction, exp.Commit, exp.Rollback, exp.Pragma,
          exp.Attach, exp.Detach, exp.TruncateTable, exp.Kill, exp.Describe)  # fmt: skip


def guard_predicate(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed predicate ``text``.

    Args:
        text: one boolean SQL expression over one row, with Jinja already rendered.
        dialect: sqlglot's name of the engine's dialect.
        refused: names of further functions that are not let through.

    Raises:
        GuardError: when it is anything else: several statements, a clause, a sub-query, an aggregate, a placeholder,
            or a function on the list.
    """
    select = _parse_select(f"SELECT 1 WHERE {text}\n", text, dialect)
    where = select.args.get("where")
    if where is None or any(value for key, value in select.args.items() if key not in ("expressions", "where", "kind")):
        raise GuardError(f"{_quote(text)} is not one boolean expression: it holds a clause of its own")
    predicate: exp.Expression = where.this
    if isinstance(predicate.unnest(), _NOT_BOOLEAN):
        raise GuardError(f"{_quote(text)} is not a boolean expression")
    for node in predicate.find_all(exp.Query, exp.AggFunc, exp.Window):
        what = {exp.AggFunc: "an aggregate (use Aggregate)", exp.Window: "a window function (use Query)"}
        found = next((words for cls, words in what.items() if isinstance(node, cls)), "a sub-query (use Query)")
        raise GuardError(f"{_quote(text)} holds {found}, but a predicate speaks of one row")
    _refuse(predicate, text, refused)
    return predicate


def guard_aggregate(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed aggregate expression ``text``.

    Raises:
        GuardError: when it is not one expression with an aggregate in it, or holds what a predicate may not hold.
    """
    select = _parse_select(f"SELECT {text}\n", text, dialect)
    if (
        any(value for key, value in select.args.items() if key not in ("expressions", "kind"))
        or len(select.expressions) != 1
    ):
        raise GuardError(f"{_quote(text)} is not one aggregate expression")
    aggregate: exp.Expression = select.expressions[0]
    if isinstance(aggregate, exp.Alias) or not any(aggregate.find_all(exp.AggFunc, exp.Anonymous)):
        raise GuardError(f"{_quote(text)} is not an aggregate expression such as sum(amount)")
    if any(aggregate.find_all(exp.Query, exp.Window)):
        raise GuardError(f"{_quote(text)} holds a sub-query or a window function; use Query")
    _refuse(aggregate, text, refused)
    return aggregate


def guard_query(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed query ``text``.

    Raises:
        GuardError: when it is not exactly one SELECT (or a set of them) that only reads.
    """
    query = _parse_one(text, text, dialect)
    if not isinstance(query, exp.Query):
        raise GuardError(f"{_quote(text)} is not one SELECT")
    _refuse(query, text, refused)
    return query


def _parse_select(sql: str, text: str, dialect: str) -> exp.Select:
    select = _parse_one(sql, text, dialect)
    if not isinstance(select, exp.Select):
        raise GuardError(f"{_quote(text)} is not one expression")
    return select


def _parse_one(sql: str, text: str, dialect: str) -> exp.Expression:
    if not text.strip():
        raise GuardError("the SQL is empty")
    if "\x00" in text:
        raise GuardError("the SQL holds a NUL character")
    try:
        statements = sqlglot.parse(sql, dialect=dialect)
    except (SqlglotError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else _first_line(str(error))
        raise GuardError(f"{_quote(text)} cannot be read as SQL ({_shown(dialect)}): {reason}") from None
    if len(statements) != 1 or statements[0] is None:
        raise GuardError(f"{_quote(text)} holds more than one statement")
    statement = statements[0]
    if not isinstance(statement, exp.Expression):
        raise GuardError(f"{_quote(text)} cannot be read as SQL ({_shown(dialect)})")
    return statement


def _refuse(tree: exp.Expression, text: str, refused: Collection[str]) -> None:
    banned = REFUSED_FUNCTIONS | {name.lower() for name in refused}
    for node in tree.walk():
        if isinstance(node, _STATE):
            raise GuardError(f"{_quote(text)} holds {node.key.upper()}, which does more than read")
        if isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
            raise GuardError(
                f"{_quote(text)} holds the parameter {node.sql()}; write the value, or Jinja such as {{{{ params.x }}}}"
            )
        if isinstance(node, exp.Func):
            names = (
                {node.name.lower()} if isinstance(node, exp.Anonymous) else {name.lower() for name in node.sql_names()}
            )
            bad = names & banned
            if bad:
                raise GuardError(
                    f"{_quote(text)} calls {min(bad)}, which reads files or the network, sleeps or changes state"
                )
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Literal | exp.Identifier) and _is_file(node.name):
            raise GuardError(f"{_quote(text)} reads the file {node.name!r}; declare it as a Table")


def _is_file(name: str) -> bool:
    return "/" in name or "\\" in name or name.lower().endswith((".csv", ".parquet", ".json", ".xlsx", ".txt", ".gz"))


def _shown(dialect: str) -> str:
    return dialect.removeprefix("strict")  # as people call it, see statements.StrictSQLite


def _first_line(text: str) -> str:
    if "Required keyword:" in text:  # the parser's own words name its classes
        return "a part of it is missing"
    return (
        text.strip().splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "").rstrip(".")
        if text.strip()
        else "unknown"
    )


def _quote(text: str) -> str:
    flat = " ".join(text.split())
    return f"the SQL «{flat if len(flat) <= 160 else flat[:159] + '…'}»"
