"""What a datasource offers to the rest of dq."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

from attrs import frozen

from dq.datasource.columns import Column, read_columns
from dq.model.errors import ConfigError

Row = Sequence[Any]

BATCH = 10_000
"""Rows that a stream gives at once unless it is told otherwise."""


class Plain(Protocol):
    """What a plug-in of the entry point group ``dq.datasources`` has to offer; :func:`completed` adds the rest."""

    @property
    def name(self) -> str:
        """As in ``dq.toml``."""

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the dialect, e.g. ``postgresql``."""

    def fetch(self, sql: str) -> list[Row]:
        """Return all rows of one read-only statement.

        Raises:
            MeasureError: when it could not be executed; the text holds no secret.
        """

    def close(self) -> None:
        """Give all connections back."""


class Datasource(Plain, Protocol):
    """Where data lies. All methods may be called from several threads at once."""

    @property
    def parallel(self) -> int:
        """How many statements may run side by side; at least 1."""

    def stream(self, sql: str, size: int = BATCH) -> Iterator[list[Row]]:
        """Yield the rows of one read-only statement in lists of at most ``size``, without holding all of them.

        It keeps one connection until it is exhausted or closed.

        Raises:
            MeasureError: as :meth:`fetch`.
        """

    def columns(self, table: Sequence[str]) -> tuple[Column, ...]:
        """Return the columns of a table, view or file, in the order of their position.

        Args:
            table: the parts of its name, e.g. ``("sales", "orders")``; of a file its path.

        Raises:
            MeasureError: when there is no such table, or it could not be asked.
        """

    def write(self, *statements: str) -> None:
        """Execute statements that write, in one transaction, in a session of their own.

        Raises:
            ConfigError: when ``dq.toml`` does not mark the datasource ``write = true``.
            MeasureError: when one could not be executed; then nothing is written, where the database can undo it.
        """

    def cancel(self) -> None:
        """Stop what is running, in the database too, and refuse what comes after."""


def completed(source: Plain) -> Datasource:
    """Return ``source`` with what it lacks of :class:`Datasource`: one statement at a time, and nothing is written."""
    wanted = ("parallel", "stream", "columns", "write", "cancel")
    return cast("Datasource", source) if all(hasattr(source, one) for one in wanted) else _Completed(source)


@frozen
class _Completed:
    _source: Plain
    parallel: int = 1

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def dialect(self) -> str:
        return self._source.dialect

    def fetch(self, sql: str) -> list[Row]:
        return self._source.fetch(sql)

    def stream(self, sql: str, size: int = BATCH) -> Iterator[list[Row]]:
        rows = self.fetch(sql)
        for start in range(0, len(rows), size):
            yield rows[start : start + size]

    def columns(self, table: Sequence[str]) -> tuple[Column, ...]:
        return read_columns(self, table)

    def write(self, *_statements: str) -> None:
        raise ConfigError(f"datasource {self.name!r}: its plug-in cannot write")

    def cancel(self) -> None:
        """A plug-in has no way to be stopped; what runs ends by itself."""

    def close(self) -> None:
        self._source.close()
