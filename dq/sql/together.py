"""Together: the statement in which an engine counts all stages, merges them by org, and compares them.

Its rows are in the order of the bytes of their keys, what is no key first:

    dq_key            dq_same                        dq_n0, dq_n1, ...
    ----------------  -----------------------------  -----------------------------------------------------------
    NULL              how many orgs need no look     their sum, then NULL
    of an org         0                              its number at each stage, of each known loss; NULL: absent
    of an org         1: it is one of the first row  as above; no more of them than were asked for

An org needs no look where its number at all stages is the same whole number, where it has no known loss, and where
nobody named it. Keys and numbers are those of ``dq.sql.lines``; an escape character stands in what is no line.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dq.sql.engine import Engine

_TEXT = {"duckdb": "VARCHAR", "spark": "STRING"}
_MATCHES = {"duckdb": "REGEXP_MATCHES({0}, {1})", "spark": "{0} RLIKE {1}"}
_MATERIALIZED = {"duckdb": " MATERIALIZED", "spark": ""}

ASKED = ("spark",)
"""Who is asked. DuckDB could be, too, but with a million orgs it takes longer so, and more memory than its lines do."""

_WHOLE = "-?[0-9]{1,18}"
"""Numbers of 18 digits can be added up in any of the engines, for as many orgs as there may be."""


@frozen(kw_only=True)
class Together:
    """What is counted in one statement.

    Attributes:
        counted: the statements that give ``dq_key`` and ``dq_number``, of the stages first, then of the known losses.
        stages: how many of them are stages.
        width: how many parts a key has.
        apart: the keys of orgs that have to be looked at.
        most_same: how many of the orgs that need no look are returned at most.
    """

    counted: Sequence[str]
    stages: int
    width: int
    apart: Sequence[str]
    most_same: int

    def sql(self, dialect: str) -> str:
        """Return the statement."""
        text, materialized = _TEXT[dialect], _MATERIALIZED[dialect]
        numbers = [f"dq_n{n}" for n in range(len(self.counted))]
        others = numbers[self.stages :]
        parts = [self._part(dialect, n, counted) for n, counted in enumerate(self.counted)]
        if self.apart:
            # As if it were a loss of each: a condition on a key would be pushed down into one of the branches below,
            # and Spark would take those of which it is true for another table, and count once more.
            values = ", ".join(f"({Engine(dialect).literal(key)})" for key in self.apart)
            parts.append(f"SELECT {len(parts)}, dq_key, '' FROM (VALUES {values}) dq_a(dq_key)")
            others = [*others, f"dq_n{len(numbers)}"]
        merged = ", ".join(f"MAX(CASE WHEN dq_stage = {n} THEN dq_number END) AS dq_n{n}" for n in range(len(parts)))
        conditions = [_is(dialect, numbers[0], _WHOLE), *(f"{one} = dq_n0" for one in numbers[1 : self.stages])]
        conditions += [f"{one} IS NULL" for one in others]
        listed = ", ".join(numbers)
        nothing = ", ".join(f"CAST(NULL AS {text}) AS {one}" for one in numbers[1:])
        total = f"CAST(SUM(CAST(dq_n0 AS DECIMAL(38, 0))) AS {text})"
        return (
            f"WITH dq_lines AS ({' UNION ALL '.join(parts)}), "
            f"dq_orgs AS (SELECT dq_key, {merged} FROM dq_lines GROUP BY dq_key), "
            f"dq_judged AS{materialized} (SELECT dq_key, "
            f"CASE WHEN {' AND '.join(conditions)} THEN 1 ELSE 0 END AS dq_same, {listed} FROM dq_orgs) "
            f"SELECT dq_key, dq_same, {listed} FROM ("
            f"SELECT CAST(NULL AS {text}) AS dq_key, COUNT(*) AS dq_same, {total} AS dq_n0, {nothing} "
            f"FROM dq_judged WHERE dq_same = 1 "
            f"UNION ALL SELECT dq_key, dq_same, {listed} FROM dq_judged "
            f"WHERE dq_same = 0 AND COALESCE({listed}) IS NOT NULL "
            f"UNION ALL SELECT * FROM (SELECT dq_key, dq_same, {listed} FROM dq_judged WHERE dq_same = 1 "
            f"LIMIT {self.most_same}) dq_few) dq_rows "
            f"ORDER BY dq_key NULLS FIRST"
        )

    def _part(self, dialect: str, number: int, counted: str) -> str:
        plain = "[^\\x00-\\x1f]*"
        key = "\\t".join([plain] * self.width)
        is_fit = _is(dialect, "dq_key", key)
        return (
            f"SELECT {number} AS dq_stage, dq_key, CASE WHEN {is_fit} THEN dq_number ELSE CHR(27) END AS dq_number "
            f"FROM ({counted}) dq_{number}"
        )


def can_compare(dialect: str) -> bool:
    """Return whether an engine is asked to compare stages."""
    return dialect in ASKED


def _is(dialect: str, value: str, pattern: str) -> str:
    """Return whether all of a value matches a pattern."""
    return _MATCHES[dialect].format(value, Engine(dialect).literal(rf"^(?:{pattern})\z"))
