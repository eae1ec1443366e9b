"""The relation that is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from dq.model.errors import DeclarationError


def is_text(value: object) -> bool:
    """Return whether ``value`` is a text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def words(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return one text or several as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


@frozen
class Table:
    """A table, view or file of a datasource.

    Attributes:
        datasource: the name of a datasource in ``dq.toml``.
        name: the table as the database knows it, e.g. ``"sales.orders"``; each part is quoted by dq. A part that
            itself has a dot is written in double quotes. A name with a slash is the path of a file (DuckDB, Spark).
        partition: the column by which runs pick their half-open interval; None: every run looks at the whole table.
        key: the column or columns that name a row.
        where: only rows for which this predicate is TRUE belong to the table.
        tags: what a column holds, by its name, e.g. ``{"email": "personal"}``; ``[masking]`` in ``dq.toml`` says how
            its values are shown, and what it does not name is not shown.
    """

    datasource: str
    name: str
    partition: str | None = field(default=None, kw_only=True)
    key: tuple[str, ...] = field(default=(), converter=words, kw_only=True)
    where: str | None = field(default=None, kw_only=True)
    tags: Mapping[str, str] = field(factory=dict, kw_only=True, hash=False)

    def __attrs_post_init__(self) -> None:
        given = {"datasource": self.datasource, "name": self.name}
        optional = {"partition": self.partition, "where": self.where}
        given |= {what: value for what, value in optional.items() if value is not None}
        tags = (("tag", word) for tagged in self.tags.items() for word in tagged)
        for what, value in (*given.items(), *(("key", column) for column in self.key), *tags):
            if not is_text(value):
                raise DeclarationError(f"table {self.name!r}: its {what} is {value!r}, not a text")
