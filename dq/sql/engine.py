"""Engine: how each database spells what dq itself asks for, apart from the user's own SQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import cache, lru_cache
from types import ModuleType

from attrs import frozen

from dq.model.errors import GuardError
from dq.model.predicate import Scalar
from dq.plugins import suggest
from dq.sql.names import is_file, table_parts

_SQLGLOT = {
    "postgresql": "postgres",
    "mssql": "tsql",
    "mariadb": "mysql",
    "awsathena": "athena",
    "sqlite": "strictsqlite",
}
_WRITTEN_HERE = ("athena", "bigquery", "databricks", "duckdb", "mysql", "oracle", "postgres", "presto", "redshift",
                 "snowflake", "spark", "strictsqlite", "trino", "tsql")  # fmt: skip
"""The dialects, as sqlglot calls them, whose names and literals are written without it."""

_BACKTICKS = ("bigquery", "databricks", "mysql", "spark", "strictsqlite")
_BACKSLASH_ESCAPES = ("bigquery", "databricks", "mysql", "redshift", "snowflake", "spark")
_FOLDS_UPPER = ("snowflake", "oracle")
_TESTED = ("duckdb", "mariadb", "mysql", "postgresql", "spark", "sqlite")
_NO_BOOLEAN_VALUES = ("tsql", "oracle")

_DOUBLE = {
    "mysql": "({0} + 0E0)",
    "tsql": "CAST({0} AS FLOAT)",
    "bigquery": "CAST({0} AS FLOAT64)",
    "postgres": "CAST({0} AS DOUBLE PRECISION)",
    "redshift": "CAST({0} AS DOUBLE PRECISION)",
    "oracle": "CAST({0} AS BINARY_DOUBLE)",
    "strictsqlite": "({0} * 1.0)",
}
_LENGTH = {"mysql": "CHAR_LENGTH({0})", "tsql": "(LEN({0} + 'x') - 1)"}
_REGEX = {
    "duckdb": "REGEXP_MATCHES({0}, {1})",
    "postgres": "{0} ~ {1}",
    "redshift": "{0} ~ {1}",
    "mysql": "{0} RLIKE {1}",
    "strictsqlite": "{0} REGEXP {1}",
    "spark": "{0} RLIKE {1}",
    "databricks": "{0} RLIKE {1}",
    "bigquery": "REGEXP_CONTAINS({0}, {1})",
    # Its RLIKE wants the pattern to match all of the text; "s": a point is a line break, too.
    "snowflake": "(REGEXP_INSTR({0}, {1}, 1, 1, 0, 's') > 0)",
    "trino": "REGEXP_LIKE({0}, {1})",
    "presto": "REGEXP_LIKE({0}, {1})",
    "athena": "REGEXP_LIKE({0}, {1})",
    "oracle": "REGEXP_LIKE({0}, {1})",
}
_FLAGS = {
    **dict.fromkeys(("duckdb", "strictsqlite", "spark", "databricks", "bigquery", "trino", "presto", "athena"), "(?s)"),
    "mysql": "(?s-i)",  # MySQL and MariaDB would take the case from the collation
}
_NO_CASE_FLAG = ("snowflake", "oracle", "redshift")  # POSIX syntax, without flags in the pattern
_VERY_END = {
    "strictsqlite": r"\Z",
    **dict.fromkeys(("mysql", "spark", "databricks", "trino", "presto", "athena"), r"\z"),
}
_POSIX = ("redshift", "snowflake")  # these have plain groups only
_TOKEN = re.compile(r"\\.|\(\?:|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
_JSON = {
    "duckdb": "JSON_VALID({0})",
    "strictsqlite": "(JSON_VALID({0}) = 1)",
    "mysql": "(JSON_VALID({0}) = 1)",
    "postgres": "({0} IS JSON)",  # from PostgreSQL 16
    "oracle": "({0} IS JSON)",
    "snowflake": "(TRY_PARSE_JSON({0}) IS NOT NULL)",
    "databricks": "(TRY_PARSE_JSON({0}) IS NOT NULL)",
    "bigquery": "(SAFE.PARSE_JSON({0}) IS NOT NULL)",
    "redshift": "(CAN_JSON_PARSE({0}))",
    "trino": "(TRY(JSON_PARSE({0})) IS NOT NULL)",
    "presto": "(TRY(JSON_PARSE({0})) IS NOT NULL)",
    "athena": "(TRY(JSON_PARSE({0})) IS NOT NULL)",
    "tsql": "(ISJSON({0}) = 1)",
}
_EPOCH = {
    "duckdb": "EPOCH({0})",
    "postgres": "EXTRACT(EPOCH FROM {0})",
    "redshift": "EXTRACT(EPOCH FROM {0})",
    "mysql": "TIMESTAMPDIFF(SECOND, '1970-01-01', {0})",
    "strictsqlite": "CAST(STRFTIME('%s', {0}) AS INTEGER)",
    "spark": "UNIX_TIMESTAMP({0})",
    "databricks": "UNIX_TIMESTAMP({0})",
    "bigquery": "UNIX_SECONDS(CAST({0} AS TIMESTAMP))",
    "snowflake": "DATE_PART(EPOCH_SECOND, {0})",
    "trino": "TO_UNIXTIME(CAST({0} AS TIMESTAMP WITH TIME ZONE))",
    "presto": "TO_UNIXTIME(CAST({0} AS TIMESTAMP WITH TIME ZONE))",
    "athena": "TO_UNIXTIME(CAST({0} AS TIMESTAMP WITH TIME ZONE))",
    "tsql": "DATEDIFF_BIG(SECOND, '1970-01-01', {0})",
}
_QUANTILE = {
    "duckdb": "QUANTILE_CONT(CAST({0} AS DOUBLE), {1})",  # of a decimal it would be rounded to one
    "postgres": "PERCENTILE_CONT({1}) WITHIN GROUP (ORDER BY {0})",
    "redshift": "PERCENTILE_CONT({1}) WITHIN GROUP (ORDER BY CAST({0} AS DOUBLE PRECISION))",  # else it is a decimal
    "snowflake": "PERCENTILE_CONT({1}) WITHIN GROUP (ORDER BY {0})",
    "oracle": "PERCENTILE_CONT({1}) WITHIN GROUP (ORDER BY {0})",
    "spark": "PERCENTILE({0}, {1})",
    "databricks": "PERCENTILE({0}, {1})",
}
_DEVIATION = {
    "tsql": {"stddev_sample": "STDEV({0})", "stddev_population": "STDEVP({0})"},
    None: {"stddev_sample": "STDDEV_SAMP({0})", "stddev_population": "STDDEV_POP({0})"},
}
_CHOSEN = {
    "strictsqlite": "ABS(RANDOM() % 1000000) < {0}",
    "mysql": "RAND() < {0} / 1000000.0",
    "spark": "RAND() < {0} / 1000000.0",
    "databricks": "RAND() < {0} / 1000000.0",
    "bigquery": "RAND() < {0} / 1000000.0",
    "snowflake": "UNIFORM(0, 999999, RANDOM()) < {0}",
    "tsql": "ABS(CAST(CHECKSUM(NEWID()) AS BIGINT)) % 1000000 < {0}",  # its RAND() is one number for all rows
    "oracle": "DBMS_RANDOM.VALUE < {0} / 1000000",
}
# The usual collations of these take "a" and "A" for the same text, and "a" and "a " even where they know case.
_BYTES = {"mysql": "CAST({0} AS BINARY)", "tsql": "CAST({0} AS VARBINARY(8000))"}
_EXACT = {
    "mysql": "CAST(CONVERT({0} USING utf8mb4) AS BINARY)",
    "tsql": "CAST(CAST({0} AS NVARCHAR(4000)) AS VARBINARY(8000))",
}
_WITH_CASE = {
    "mysql": "CONVERT({0} USING utf8mb4) COLLATE utf8mb4_bin",
    "tsql": "{0} COLLATE Latin1_General_100_BIN2",
}


@frozen
class Engine:
    """One engine's way of writing things down. All methods return SQL text.

    Attributes:
        name: the dialect as SQLAlchemy calls it, e.g. ``postgresql``; ``spark`` for PySpark.
    """

    name: str

    @property
    def glot(self) -> str:
        """The dialect as sqlglot calls it.

        Raises:
            GuardError: when it has none of that name, e.g. because the address of the datasource is mistyped.
        """
        return _glot(self.name)

    @property
    def counts_apart(self) -> bool:
        """Whether counts in WHERE form beat counts in one pass: its statistics answer many without reading a row.

        Measured, see docs/performance.md.
        """
        return self.name == "duckdb"

    @property
    def filters(self) -> bool:
        """Whether ``COUNT(*) FILTER`` is the cheapest count in a pass, as it is on PostgreSQL, by a tenth of SUM(CASE).

        DuckDB takes longer for it, most others have none.
        """
        return self.glot == "postgres"

    @property
    def has_boolean_values(self) -> bool:
        """Whether a predicate is a value, so that it can be asked whether it is NULL."""
        return self.glot not in _NO_BOOLEAN_VALUES

    @property
    def has_anti_join(self) -> bool:
        """Whether rows without a partner are a join of its own, which takes half the time of NOT EXISTS there."""
        return self.glot == "duckdb"

    @property
    def sorts_to_count(self) -> bool:
        """Whether it sorts texts, by the rules of a language, to count different ones."""
        return self.glot == "postgres"

    @property
    def has_quantiles_of_one_column(self) -> bool:
        """Whether all quantiles of a statement must be of the same column."""
        return self.glot == "redshift"

    @property
    def text_type(self) -> str:
        """A type for short texts."""
        return {"bigquery": "STRING", "mysql": "CHAR(250)", "spark": "STRING", "databricks": "STRING"}.get(
            self.glot, "VARCHAR(250)"
        )

    @property
    def time_type(self) -> str:
        """A type for times without a zone."""
        own = {"bigquery": "TIMESTAMP", "mysql": "DATETIME(6)", "tsql": "DATETIME2", "strictsqlite": "TEXT"}
        return own.get(self.glot, "TIMESTAMP")

    def identifier(self, name: str) -> str:
        """Return a name in the quotes of the engine; plain where quoting would change its case."""
        return _identifier(self.name, name)

    def table(self, name: str) -> str:
        """Return the name of a table, each part of it quoted; a file as the engine reads one."""
        if is_file(name) and self.glot == "databricks":  # dq gives PySpark the files as views
            return f"{name.rpartition('.')[2].lower()}.{self.identifier(name)}"
        return ".".join(self.identifier(part) for part in table_parts(name))

    def literal(self, value: Scalar) -> str:
        """Return a value as a literal."""
        return _literal(self.name, value, type(value).__name__)

    def instant(self, value: datetime) -> str:
        """Return an interval bound as a literal: a date where it is midnight, so that date and text columns compare."""
        return self.literal(value.date() if value.time() == time() else value)

    def day(self, column: str) -> str:
        """Return the day of a time."""
        return f"DATE({column})" if self.name == "sqlite" else f"CAST({column} AS DATE)"

    def epoch(self, column: str) -> str:
        """Return the seconds since 1970 of a time in UTC."""
        return self._form(_EPOCH, "EXTRACT(EPOCH FROM {0})", column)

    def double(self, number: str) -> str:
        """Return a number as a floating-point number, so that nothing is rounded to whole numbers on the way."""
        return self._form(_DOUBLE, "CAST({0} AS DOUBLE)", number)

    def to_average(self, number: str) -> str:
        """Return a number so that its mean is not rounded; where the engine's own mean is not, as it is."""
        return number if self.glot in {"duckdb", "postgres"} else self.double(number)

    def length(self, text: str) -> str:
        """Return the number of characters of a text."""
        return self._form(_LENGTH, "LENGTH({0})", text)

    def exact(self, text: str) -> str:
        """Return a text so that it equals no other one, whatever the collation of its column."""
        return self._form(_EXACT, "{0}", text)

    @property
    def folds(self) -> bool:
        """Whether its usual collations take different texts for the same."""
        return self.glot in _BYTES

    def told_apart(self, keys: Sequence[str]) -> list[str]:
        """Return what rows are grouped by, so that each group has one name.

        Where "a" and "A" are the same text, a group of both would be called by either, from statement to statement.
        """
        form = _BYTES.get(self.glot)
        return [*keys, *(form.format(key) for key in keys)] if form else list(keys)

    def like(self, text: str, pattern: str) -> str:
        """Return whether a text is like a pattern, upper and lower case told apart."""
        if self.name == "sqlite":
            return f"{text} GLOB {self.literal(_glob(pattern))}"  # its LIKE takes a and A for the same
        if self.glot == "tsql":
            pattern = pattern.replace("[", r"\[")
        escape = f" ESCAPE {self.literal(chr(92))}" if "\\" in pattern and self.glot != "bigquery" else ""
        return f"{self._form(_WITH_CASE, '{0}', text)} LIKE {self.literal(pattern)}{escape}"

    def regex(self, text: str, pattern: str, *, ignore_case: bool = False) -> str:
        """Return whether a regular expression matches somewhere in a text.

        Raises:
            GuardError: when the engine has none.
        """
        if self.glot not in _REGEX:
            raise GuardError(f"{self.name} has no regular expressions; use Like, or Rows with a function of its own")
        if ignore_case and self.glot in _NO_CASE_FLAG:
            raise GuardError(f"{self.name} has no flags in a pattern; write [Aa], or use Rows with its own function")
        pattern = _same_everywhere(pattern, self.glot, ignore_case=ignore_case)
        return _REGEX[self.glot].format(text, self.literal(pattern))

    def json(self, text: str) -> str:
        """Return whether a text is a JSON document.

        Raises:
            GuardError: when the engine has no such function.
        """
        if self.glot not in _JSON:
            raise GuardError(f"{self.name} has no function that tells JSON; use Rows with one of your own")
        return _JSON[self.glot].format(text)

    def quantile(self, column: str, at: float | Decimal) -> str | None:
        """Return the interpolated quantile of a column; None where the engine has no such aggregate."""
        form = _QUANTILE.get(self.glot)
        return form.format(column, self.literal(at)) if form else None

    def deviation(self, function: str, column: str) -> str | None:
        """Return a standard deviation; None where the engine has none."""
        if self.name == "sqlite":
            return None
        return _DEVIATION.get(self.glot, _DEVIATION[None])[function].format(column)

    def limited(self, columns: Sequence[str], rest: str, limit: int) -> str:
        """Return ``SELECT columns rest`` with at most ``limit`` rows."""
        listed = ", ".join(columns)
        if self.glot == "tsql":
            return f"SELECT TOP {limit} {listed} {rest}"
        if self.glot == "oracle":
            return f"SELECT {listed} {rest} FETCH FIRST {limit} ROWS ONLY"
        return f"SELECT {listed} {rest} LIMIT {limit}"

    def chosen(self, share: Fraction) -> str:
        """Return what is TRUE for that share of the rows, each chosen at random for itself."""
        millionths = round(share * 1_000_000)
        return self._form(_CHOSEN, f"RANDOM() < {self.literal(Decimal(millionths) / 1_000_000)}", str(millionths))

    @property
    def minus(self) -> str:
        """The set operator that leaves the rows of the first that the second has not."""
        return {"bigquery": "EXCEPT DISTINCT", "oracle": "MINUS"}.get(self.glot, "EXCEPT")

    def _form(self, forms: dict[str, str], default: str, text: str) -> str:
        return forms.get(self.glot, default).format(text)


@cache
def _glot(name: str) -> str:
    glot = _SQLGLOT.get(name, name)
    if glot not in _WRITTEN_HERE and not _dialects().is_known(glot):
        raise GuardError(f"there is no SQL dialect {name!r}; {suggest(name, _TESTED)}, and more")
    return glot


def _dialects() -> ModuleType:
    from dq.sql import dialects  # noqa: PLC0415  # sqlglot is for engines that are not known here

    return dialects


@lru_cache(maxsize=4096)
def _identifier(engine: str, name: str) -> str:
    _refuse_nul(name)
    glot = _glot(engine)
    if engine in _FOLDS_UPPER and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        return name
    if glot not in _WRITTEN_HERE:
        return str(_dialects().identifier(name, glot))
    if glot == "tsql":
        return f"[{name.replace(']', ']]')}]"
    if glot == "bigquery":
        return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
    mark = "`" if glot in _BACKTICKS else '"'
    return mark + name.replace(mark, mark * 2) + mark


@lru_cache(maxsize=4096)  # bounded: a scheduler sees new intervals every day
def _literal(engine: str, value: Scalar, kind: str) -> str:  # noqa: ARG001  # 1, 1.0 and True are one key without it
    glot = _glot(engine)
    if isinstance(value, bool):
        return str(int(value)) if glot in _NO_BOOLEAN_VALUES else str(value).upper()
    if isinstance(value, int | float | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else repr(value)
    if isinstance(value, str):
        return _text(glot, value)
    if isinstance(value, datetime):
        value = (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None)
        return _time(engine, glot, value)
    return _typed(engine, glot, value.isoformat(), "DATE")


def _refuse_nul(text: str) -> None:
    """Refuse what DuckDB would take for the end of the whole statement."""
    if "\x00" in text:
        raise GuardError("a name or a value holds a NUL character, which ends a statement")


def _text(glot: str, value: str) -> str:
    _refuse_nul(value)
    if glot not in _WRITTEN_HERE:
        return str(_dialects().text(value, glot))
    quote = "''"
    if glot in _BACKSLASH_ESCAPES:
        value = value.replace("\\", "\\\\")
        quote = "\\'" if glot in {"bigquery", "databricks", "spark"} else quote
    if glot == "bigquery":
        value = value.replace("\n", "\\n").replace("\r", "\\r")
    unicode = "N" if glot == "tsql" and not value.isascii() else ""
    return f"{unicode}'{value.replace(chr(39), quote)}'"


def _time(engine: str, glot: str, value: datetime) -> str:
    text = value.isoformat(" ")
    if glot not in _WRITTEN_HERE:
        return str(_dialects().as_time(text, glot))
    own = {"mysql": "DATETIME(6)" if value.microsecond else "DATETIME", "tsql": "DATETIME2"}
    if value.microsecond and glot == "trino":  # else it is one of milliseconds
        own = {"trino": "TIMESTAMP(6)"}
    return _typed(engine, glot, text, own.get(glot, "TIMESTAMP"))


def _typed(engine: str, glot: str, text: str, type_: str) -> str:
    # BigQuery compares neither dates nor times with a timestamp, but reads a bare text as what it is compared with.
    if engine == "sqlite" or glot == "bigquery":
        return f"'{text}'"
    # Oracle reads a text that is cast by the settings of the session.
    return f"{type_} '{text}'" if glot == "oracle" else f"CAST('{text}' AS {type_})"


def _same_everywhere(pattern: str, glot: str, *, ignore_case: bool) -> str:
    """Return a regular expression in which ``.`` is any character and ``$`` the very end, as PostgreSQL has them.

    By default ``.`` would be no line break elsewhere, and ``$`` would also match before one that ends the text.
    """
    own = {"$": _VERY_END.get(glot, "$"), "(?:": "(" if glot in _POSIX else "(?:"}
    pattern = _TOKEN.sub(lambda found: own.get(found.group(), found.group()), pattern)
    flags = _FLAGS.get(glot, "")
    return f"{flags.replace('-i', '')}(?i){pattern}" if ignore_case else flags + pattern


def _glob(pattern: str) -> str:
    """Return a pattern of LIKE as one of SQLite's GLOB."""
    parts: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character in "%_":
            parts.append("*" if character == "%" else "?")
            continue
        plain = next(characters, "\\") if character == "\\" else character
        parts.append(f"[{plain}]" if plain in "*?[" else plain)
    return "".join(parts)
