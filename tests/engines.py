"""The same data in every live engine: what the tests of statements, kinds and ledgers stand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from sqlalchemy import text

from dq.datasource import SqlDatasource
from tests.servers import open_engine

NAMES = ("duckdb", "sqlite", "postgres", "mariadb")


@frozen
class Live:
    """One engine with a database of its own.

    Attributes:
        name: one of ``NAMES``.
        url: its SQLAlchemy address.
        opened: datasources to close in the end.
    """

    name: str
    url: str
    opened: list[SqlDatasource] = field(factory=list)

    def quote(self, name: str) -> str:
        """Return an identifier in the quotes of the engine."""
        mark = "`" if self.name == "mariadb" else '"'
        return mark + name.replace(mark, mark * 2) + mark

    def load(self, table: str, columns: dict[str, str], rows: Iterable[Sequence[object]]) -> None:
        """Make ``table`` with ``columns`` (name to type) and ``rows``."""
        engine = open_engine(self.url)
        spelled = ", ".join(f"{self.quote(c)} {self._type(kind)}" for c, kind in columns.items())
        marks = ", ".join(f":c{i}" for i in range(len(columns)))
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE IF EXISTS {self.quote(table)}"))
            connection.execute(text(f"CREATE TABLE {self.quote(table)} ({spelled})".replace(":", "\\:")))
            data = [{f"c{i}": value for i, value in enumerate(row)} for row in rows]
            if data:
                connection.execute(text(f"INSERT INTO {self.quote(table)} VALUES ({marks})"), data)
        engine.dispose()

    def run(self, *statements: str) -> None:
        """Run statements, each committed."""
        engine = open_engine(self.url)
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def datasource(self, **settings: Any) -> SqlDatasource:
        """Return the read-only datasource that dq opens for it."""
        made = SqlDatasource.of("live", self.url, **{"timeout": timedelta(seconds=20), **settings})
        self.opened.append(made)
        return made

    def _type(self, kind: str) -> str:
        own = {
            ("sqlite", "timestamp"): "text",
            ("sqlite", "date"): "text",
            ("mariadb", "text"): "varchar(200)",
            ("mariadb", "timestamp"): "datetime",
            ("postgres", "double"): "double precision",
        }
        return own.get((self.name, kind), kind)


@pytest.fixture(params=NAMES)
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """Each live engine in turn, with a database of its own."""
    files = {"duckdb": f"duckdb:///{tmp_path}/live.duckdb", "sqlite": f"sqlite:///{tmp_path}/live.sqlite"}
    url = files.get(request.param) or request.getfixturevalue(f"{request.param}_url")
    made = Live(request.param, url)
    yield made
    for datasource in made.opened:
        datasource.close()
