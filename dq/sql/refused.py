"""Functions and tables that no SQL of a user may name.

From the manuals of PostgreSQL 16, DuckDB 2.0, SQLite 3.40, MariaDB 10.11 / MySQL 8 and SQL Server. `tests/hostile`
compares them with what each live engine says it has: what is new there is refused or written down as harmless.
"""

from __future__ import annotations

from collections.abc import Collection

_POSTGRES = """
    currtid2 cursor_to_xml cursor_to_xmlschema
    database_to_xml database_to_xml_and_xmlschema database_to_xmlschema
    fmgr_c_validator fmgr_internal_validator fmgr_sql_validator gin_clean_pending_list
    lastval loread lowrite nextval pg_available_extension_versions pg_available_extensions pg_backup_start
    pg_backup_stop pg_cancel_backend pg_config pg_control_checkpoint pg_control_init pg_control_recovery
    pg_control_system pg_current_logfile pg_current_xact_id pg_export_snapshot pg_extension_config_dump
    pg_extension_update_paths pg_hba_file_rules pg_ident_file_mappings pg_import_system_collations pg_jit_available
    pg_log_backend_memory_contexts pg_log_standby_snapshot pg_logdir_ls pg_nextoid pg_notify pg_promote pg_reload_conf
    pg_replication_slot_advance
    pg_rotate_logfile pg_rotate_logfile_old pg_show_all_file_settings pg_stat_clear_snapshot pg_stat_file
    pg_stat_force_next_flush pg_stat_statements_reset pg_stop_making_pinned_objects pg_switch_wal
    pg_tablespace_databases pg_tablespace_location pg_terminate_backend pg_timezone_abbrevs pg_timezone_names
    plpgsql_call_handler plpgsql_inline_handler plpgsql_validator
    query_to_xml query_to_xml_and_xmlschema query_to_xmlschema
    schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema set_config setseed setval
    table_to_xml table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite ts_stat txid_current
"""
_DUCKDB = """
    arrow_scan arrow_scan_dumb checkpoint delta_scan deregister_external_resource destroy_external_resource
    disable_logging disable_profiling duckdb_extensions duckdb_external_file_cache duckdb_log_contexts duckdb_logs
    duckdb_logs_parsed duckdb_secrets duckdb_temporary_files enable_logging enable_profiling force_checkpoint getenv
    glob http_delete http_get http_head http_patch http_post http_put
    json_execute_serialized_sql json_serialize_plan load_aws_credentials pandas_scan parse_duckdb_log_message
    python_arrow_scan python_map_function query query_table seq_scan sleep_ms sniff_csv sniff_parquet st_drivers
    st_read st_read_meta st_readosm st_readshp truncate_duckdb_logs vortex_scan which_secret write_log
"""
_SQLITE = "edit fts3_tokenizer fts5 load_extension optimize randomblob readfile sqlite_log writefile zeroblob"
_MARIADB = """
    benchmark binlog_gtid_pos des_decrypt des_encrypt gtid_subtract is_free_lock is_used_lock last_insert_id load_file
    get_lock master_gtid_wait master_pos_wait ps_thread_stack ps_thread_trx_info release_all_locks release_lock sleep
    source_pos_wait sys_eval sys_exec sys_get sys_set wait_for_executed_gtid_set wait_until_sql_thread_after_gtids
    wsrep_sync_wait_upto_gtid
"""
_OTHERS = """
    dbms_lock dbms_pipe external_query openquery openrowset opendatasource utl_file utl_http utl_inaddr
    system$send_email system$wait xmltype
"""

REFUSED_FUNCTIONS = frozenset(f"{_POSTGRES} {_DUCKDB} {_SQLITE} {_MARIADB} {_OTHERS}".split())
"""Functions that read files or the network, run SQL from a text, sleep, take locks or change state."""

REFUSED_FAMILIES = (
    # PostgreSQL and the extensions that come with it
    "binary_upgrade_", "brin_desummarize_", "brin_summarize_", "dblink", "lo_", "pg_advisory_",
    "pg_copy_", "pg_create_", "pg_drop_", "pg_file_", "pg_logical_", "pg_ls_", "pg_read_", "pg_replication_origin_",
    "pg_sleep", "pg_stat_reset", "pg_try_advisory_", "pg_wal_replay_", "pgstat_", "postgres_fdw_",
    # DuckDB and the extensions that it loads by itself
    "__internal_", "add_parquet_", "create_external_", "iceberg_", "mysql_", "parquet_", "postgres_", "pragma_",
    "read_", "register_external_", "sqlite_attach", "sqlite_query", "sqlite_scan",
    # SQL Server
    "xp_",
)  # fmt: skip
"""How the names of such functions begin where an engine has many, and gets more with its releases."""

REFUSED_TABLES = frozenset(
    """
    completion csv duckdb_extensions duckdb_external_file_cache duckdb_logs duckdb_secrets fsdir global_priv pg_authid
    pg_available_extension_versions pg_available_extensions pg_config pg_file_settings pg_hba_file_rules
    pg_ident_file_mappings pg_shadow pg_timezone_abbrevs pg_timezone_names pg_user_mapping sqlite_dbpage zipfile
    """.split()  # noqa: SIM905  # a block of words is easier to read and to compare with a manual than a list
)
"""Views and virtual tables that read files of the server, and those that hold its passwords."""

_TABLE_FAMILIES = ("pragma_",)  # SQLite has a table for each pragma


def why_refused(name: str, more: Collection[str] = ()) -> str | None:
    """Return why the function ``name`` (in small letters) is not let through, None where it is.

    Args:
        name: without its schema.
        more: names that the project refuses, in any letters.
    """
    if name in REFUSED_FUNCTIONS or name.startswith(REFUSED_FAMILIES):
        return "reads files or the network, sleeps or changes state"
    if name in {word.lower() for word in more}:
        return "the project refuses"
    return None


def is_refused_table(name: str) -> bool:
    """Return whether ``name`` (in small letters, without its schema) is a table that reads what no check may read."""
    return name in REFUSED_TABLES or name.startswith(_TABLE_FAMILIES)
