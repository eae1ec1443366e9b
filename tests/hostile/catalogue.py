"""The functions of each live engine, as the engine lists them, and those that people looked at and found harmless."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from tests.engines import Live

FOLDER = Path(__file__).parent / "functions"

# Left out: operators; pragmas, which only the statement PRAGMA calls; what is called with or returns a value that SQL
# has no words for; and what PostgreSQL calls IMMUTABLE, because that "cannot modify the database and ... does not do
# database lookups or otherwise use information not directly present in its argument list" (CREATE FUNCTION).
_LISTED = {
    "duckdb": "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type <> 'pragma'",
    "sqlite": "SELECT DISTINCT name FROM pragma_function_list",
    "postgres": """
        SELECT DISTINCT proname FROM pg_catalog.pg_proc
        WHERE provolatile <> 'i' AND NOT proargtypes::oid[] @> ARRAY['internal'::regtype::oid]
          AND prorettype NOT IN ('internal'::regtype, 'trigger'::regtype, 'event_trigger'::regtype)""",
    "mariadb": """
        SELECT function FROM information_schema.sql_functions
        UNION SELECT routine_name FROM information_schema.routines
        WHERE routine_type = 'FUNCTION' AND routine_schema IN ('mysql', 'sys')""",
}
_TABLES = {
    "sqlite": "SELECT name FROM pragma_module_list",
    "duckdb": "SELECT view_name FROM duckdb_views() WHERE internal",
}


def functions(live: Live) -> set[str]:
    """Return the names of the functions that a SELECT can call on this engine, in small letters."""
    names = {str(row[0]).lower() for row in live.datasource(read_only=False).fetch(_LISTED[live.name])}
    return {name for name in names if re.fullmatch(r"\w+", name)}


def tables(live: Live) -> set[str]:
    """Return the names of the tables that the engine makes itself, where these can do more than show the catalogue."""
    if live.name not in _TABLES:
        return set()
    return {str(row[0]).lower() for row in live.datasource(read_only=False).fetch(_TABLES[live.name])}


def harmless(engine: str, what: str = "functions") -> list[str]:
    """Return what people looked at: names, or patterns such as ``collate_*``."""
    lines = (FOLDER / f"{engine}.txt").read_text(encoding="utf-8").splitlines()
    section, found = "functions", []
    for line in lines:
        if line.startswith("["):
            section = line.strip("[]")
        elif section == what and not line.startswith("#"):
            found += line.split()
    return found


def is_among(name: str, patterns: list[str]) -> bool:
    """Return whether ``name`` is one of the names or fits one of the patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)
