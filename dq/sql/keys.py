"""Statements that compare the keys of two tables in different engines.

Each record has two hashes: of its key, and of its key and values together. The first bits of the hash of the key say in
which segment it lies, whatever the type or the collation of the key; a segment is compared by the number of its records
and the sum of their hashes, which do not depend on an order.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dq.sql.canonical import HASH_BITS, hashed
from dq.sql.statements import Compiler

_HALF = 1 << (HASH_BITS // 2)

_FENCE = {"postgres": " LIMIT ALL", "strictsqlite": " LIMIT -1"}
"""What keeps an engine from putting the expressions of a sub-query in each place where they are named.

PostgreSQL takes OFFSET 0 for a limit that may be one, and then does not share the work among processes.
"""


@frozen
class Keyed:
    """Writes the statements for one side.

    Attributes:
        compiler: of the table and the partition.
        where: a predicate of the user, as the stage has it.
        also: a further condition; None: none.
        key: canonical texts of the key, as SQL.
        values: canonical texts of the values.
        distinct: whether records that are equal in key and values count once.
    """

    compiler: Compiler
    where: str | None
    also: str | None
    key: tuple[str, ...]
    values: tuple[str, ...]
    distinct: bool = False

    def counted(self) -> str:
        """Return the statement that counts the records."""
        return f"SELECT COUNT(*) FROM {self._source()}"

    def checksums(self, bits: int) -> str:
        """Return the statement that gives, per segment that has any: its number, its records, the sum of their hashes.

        The sum may stand in several columns, see :func:`checksum`.

        Args:
            bits: there are ``2**bits`` segments.
        """
        row = "dq_row" if self.values else "dq_key"
        hashes = f"({self._hashes(())}) dq_h"
        if self.distinct:
            listed = "dq_key, dq_row" if self.values else "dq_key"
            hashes = f"(SELECT {listed} FROM {hashes} GROUP BY {listed}) dq_d"
        sums = [f"SUM({row})"]
        if self.compiler.engine.glot == "strictsqlite":  # its sums end at 64 bits
            sums = [f"SUM({row} / {_HALF})", f"SUM({row} % {_HALF})"]
        segment = _segment(bits)
        return f"SELECT {segment}, COUNT(*), {', '.join(sums)} FROM {hashes} GROUP BY {segment}"

    def rows(self, bits: int = 0, segments: Sequence[int] = ()) -> str:
        """Return the statement that lists the records of some segments, in the order of the hashes of their keys.

        Its columns: the hash of the key, the texts of key and values, and how many records are equal in these, as far
        as these count.

        Args:
            bits: there are ``2**bits`` segments; 0: all records are listed.
            segments: the numbers of the wanted ones.
        """
        texts = self._names()
        row = "dq_key, dq_row" if self.values else "dq_key"
        where = f" WHERE {_segment(bits)} IN ({', '.join(map(str, segments))})" if bits else ""
        listed = ", ".join(["dq_key", *(f"MIN({text})" for text in texts), "1" if self.distinct else "COUNT(*)"])
        return f"SELECT {listed} FROM ({self._hashes(texts)}) dq_h{where} GROUP BY {row} ORDER BY dq_key"

    def _hashes(self, listed: Sequence[str]) -> str:
        engine = self.compiler.engine
        fence = _FENCE.get(engine.glot, "")
        names = self._names()
        texts = ", ".join(f"{text} AS {name}" for text, name in zip((*self.key, *self.values), names, strict=True))
        named = [f"{hashed(engine, names[: len(self.key)])} AS dq_key"]
        if self.values:
            named.append(f"{hashed(engine, names)} AS dq_row")
        return f"SELECT {', '.join([*named, *listed])} FROM (SELECT {texts} FROM {self._source()}{fence}) dq_t{fence}"

    def _names(self) -> tuple[str, ...]:
        return tuple(f"dq_{number}" for number in range(len(self.key) + len(self.values)))

    def _source(self) -> str:
        return f"{self.compiler._name()}{self.compiler._where(self.where, also=self.also)}"


def checksum(parts: Sequence[object]) -> int:
    """Return the sum of hashes that :meth:`Keyed.checksums` gives in one column or in two."""
    total = 0
    for part in parts:
        total = total * _HALF + int(str(part))
    return total


def _segment(bits: int) -> str:
    return f"(dq_key >> {HASH_BITS - bits})"
