"""Types of columns, compared across databases.

    declared                                  holds for
    ----------------------------------------  ---------------------------------------------------------------------
    a family (``FAMILIES``): ``"integer"``    every type of the family, whatever it is called
    a family with a size: ``"decimal(10,2)"`` every type of the family of that size
    any other: ``"bigint"``, ``"varchar"``    the type of that name or of one that means the same, whatever its size
    any other with a size: ``"varchar(20)"``  the same, of that size
    as the database writes it                 that type

Upper and lower case are the same. Where a database has one type for several families, it holds for each: MySQL's and
MariaDB's ``tinyint(1)`` is their boolean; ``number`` of Oracle and Snowflake is also their only integer, unless it has
a scale.
"""

from __future__ import annotations

import re

from attrs import frozen

_MEMBERS = {
    "integer": "int bigint smallint tinyint mediumint hugeint int128 utinyint usmallint uinteger ubigint uhugeint"
    " serial bigserial byteint number",
    "decimal": "decimal number money smallmoney bignumeric",
    "float": "float real double binary_float binary_double",
    "text": "text varchar char string clob nvarchar nchar nclob ntext tinytext mediumtext longtext citext",
    "boolean": "boolean bit",
    "date": "date",
    "time": "time timetz",
    "timestamp": "timestamp datetime datetime2 smalldatetime timestamp_ntz timestamp_s timestamp_ms timestamp_ns",
    "timestamptz": "timestamptz timestamp_tz timestamp_ltz datetimeoffset",
    "binary": "binary varbinary blob bytea bytes tinyblob mediumblob longblob image raw",
    "json": "json jsonb variant",
    "uuid": "uuid uniqueidentifier",
}
FAMILIES = {family: frozenset(names.split()) for family, names in _MEMBERS.items()}
"""What belongs together: the words of each family, without sizes and under one name for those that mean the same."""

_SAME = {
    "integer": "int", "int4": "int", "int32": "int", "signed": "int", "int8": "bigint", "int64": "bigint",
    "long": "bigint", "int2": "smallint", "int16": "smallint", "short": "smallint", "int1": "tinyint",
    "numeric": "decimal", "dec": "decimal", "fixed": "decimal", "float8": "double", "float64": "double",
    "double precision": "double", "float4": "real", "float32": "real", "character varying": "varchar",
    "varchar2": "varchar", "nvarchar2": "nvarchar", "character": "char", "bpchar": "char", "bool": "boolean",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
    "time without time zone": "time", "time with time zone": "timetz", "binary varying": "varbinary",
}  # fmt: skip
_SIGNS = (" unsigned", " zerofill", " signed")


@frozen
class ColumnType:
    """A type in parts.

    Attributes:
        name: its words without the size, in lower case, one name for those that mean the same.
        size: what stands in its brackets, without spaces; empty where it has none.
    """

    name: str
    size: str

    @classmethod
    def of(cls, text: str) -> ColumnType:
        """Return the parts of a type as a database, or a user, writes it."""
        size = re.search(r"\(([^()]*)\)", text)
        words = " ".join(re.sub(r"\([^()]*\)", " ", text).lower().split())
        return cls(_SAME.get(words, words), re.sub(r"\s", "", size.group(1)) if size else "")

    @property
    def families(self) -> frozenset[str]:
        """The families that it belongs to; none where it stands for itself."""
        name = self.name
        for sign in _SIGNS:
            name = name.removesuffix(sign)
        name = _SAME.get(name, name)
        found = {family for family, names in FAMILIES.items() if name in names}
        if name == "tinyint" and self.size == "1":
            found.add("boolean")
        if name == "number":
            found = {"decimal"} if not self.size.endswith(",0") and "," in self.size else {"integer", "decimal"}
        return frozenset(found)


def holds(declared: str, found: str) -> bool:
    """Return whether a column of the type ``found`` is what was declared; see the table of this module."""
    if " ".join(declared.lower().split()) == " ".join(found.lower().split()):
        return True
    wanted, there = ColumnType.of(declared), ColumnType.of(found)
    if wanted.size and wanted.size != there.size:
        return False
    family = declared.lower().split("(")[0].strip()
    return family in there.families if family in FAMILIES else wanted.name == there.name
