"""The tables of the cases in a live engine: one database for all, equal tables once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from dq import Table
from tests.conformance.asked import ROW
from tests.engines import Live
from tests.servers import open_engine

ROWS_AT_ONCE = 200
LONGEST = 400
"""Characters of a text column on MariaDB."""


@frozen
class Tables:
    """The loaded tables of one engine.

    Attributes:
        live: the engine.
        names: the name of a loaded table, by what it holds.
    """

    live: Live
    names: dict[str, str] = field(factory=dict)

    def load(self, cases: Iterable[Mapping[str, Any]], columns_only: Any) -> None:
        """Load the tables of the cases; those whose columns are looked at have no column of dq's own."""
        wanted = {key: table for case in cases for key, table in _tables(case, numbered=not columns_only(case["kind"]))}
        engine = open_engine(self.live.url)
        for key, (columns, numbered) in wanted.items():
            name = f"t{len(self.names)}"
            try:
                with engine.begin() as connection:
                    self._fill(connection, name, columns, numbered=numbered)
            except SQLAlchemyError as error:  # a table that the engine does not take is a failure of its cases only
                name = f"not loaded: {error.__cause__}"
            self.names[key] = name
        engine.dispose()

    def of(self, case: Mapping[str, Any], name: str | None, *, numbered: bool) -> Table:
        """Return a table of a case; a name that is not there is the table of the case itself."""
        other = (case.get("other_tables") or {}).get(name)
        columns = (case["table"] if other is None else other)["columns"]
        return Table("live", self.names[_key(columns, numbered=numbered)], key=ROW if numbered else ())

    def _fill(self, connection: Connection, name: str, columns: Mapping[str, Any], *, numbered: bool) -> None:
        q = self.live.quote
        types = {column: self._type(found["type"], found["values"]) for column, found in columns.items()}
        values = [[self._value(v, found["type"]) for v in found["values"]] for found in columns.values()]
        if numbered:
            types[ROW] = "bigint"
            values.append(list(range(len(values[0]) if values else 0)))
        spelled = ", ".join(f"{q(column)} {kind}" for column, kind in types.items())
        connection.exec_driver_sql(f"CREATE TABLE {name} ({spelled})")
        rows = list(zip(*values, strict=True))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            marks = ", ".join(f"({', '.join(f':v{r}_{i}' for i in range(len(types)))})" for r in range(len(part)))
            given = {f"v{r}_{i}": value for r, row in enumerate(part) for i, value in enumerate(row)}
            connection.execute(text(f"INSERT INTO {name} VALUES {marks}"), given)

    def _type(self, kind: str, values: Sequence[Any]) -> str:
        longest = max((len(str(value)) for value in values), default=0)
        texts = "longtext" if longest > LONGEST else f"varchar({LONGEST})"
        own = {
            # The sources tell upper and lower case apart, and blanks at the end.
            "mariadb": {
                "string": f"{texts} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin",
                "datetime": "datetime(6)",
                "datetime_tz": "datetime(6)",
            },
            "sqlite": {"date": "text", "datetime": "text", "datetime_tz": "text", "number": "real"},
            "postgres": {"number": "double precision", "datetime_tz": "timestamptz"},
        }
        common = {
            "string": "text",
            "integer": "bigint",
            "number": "double",
            "boolean": "boolean",
            "date": "date",
            "datetime": "timestamp",
            "datetime_tz": "timestamp",
        }
        kind = "string" if kind == "mixed" else kind
        return own.get(self.live.name, {}).get(kind, common[kind])

    def _value(self, value: Any, kind: str) -> Any:
        if value is None:
            return None
        if kind in {"string", "mixed"}:
            return str(value)
        if not kind.startswith("date"):
            return value
        found = datetime.fromisoformat(value)
        if kind == "datetime_tz":
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
            found = found if self.live.name == "postgres" else found.replace(tzinfo=None)
        made: Any = found.date() if kind == "date" else found
        return made.isoformat(*([] if kind == "date" else [" "])) if self.live.name == "sqlite" else made


def _key(columns: Mapping[str, Any], *, numbered: bool) -> str:
    return json.dumps([columns, numbered], sort_keys=False)


def _tables(case: Mapping[str, Any], *, numbered: bool) -> Iterator[tuple[str, tuple[Mapping[str, Any], bool]]]:
    found: Sequence[Mapping[str, Any]] = [case["table"], *(case.get("other_tables") or {}).values()]
    for table in found:
        yield _key(table["columns"], numbered=numbered), (table["columns"], numbered)
