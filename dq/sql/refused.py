"""Functions that no SQL of a user may call."""

from __future__ import annotations

from collections.abc import Collection

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

REFUSED_FAMILIES: tuple[str, ...] = ()


def why_refused(name: str, more: Collection[str] = ()) -> str | None:
    """Return why the function ``name`` (in small letters) is not let through, None where it is."""
    if name in REFUSED_FUNCTIONS or name.startswith(REFUSED_FAMILIES):
        return "reads files or the network, sleeps or changes state"
    if name in {word.lower() for word in more}:
        return "the project refuses"
    return None
