"""The guard: what of the user's SQL is let through.

A text is parsed, written again from the tree, and read a second time; the tree of the second reading is what is sent.
So the words that reach the database are words that the guard has read: a comment, a quote or a clause that the parser
kept as raw text either stands in the tree, or the two readings differ and the text is refused. What a tree may hold is
a list of what reads, not of what does harm; only the names of functions are a list of what is refused, because nobody
knows the functions of a user's own database.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Collection
from functools import lru_cache

import sqlglot
from sqlglot import Token, TokenType, exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel, SqlglotError

from dq.model.errors import GuardError
from dq.sql.refused import REFUSED_FUNCTIONS, is_refused_table, why_refused

__all__ = ["REFUSED_FUNCTIONS", "guard_aggregate", "guard_predicate", "guard_query", "guard_value"]

# sqlglot warns on its own logger about syntax it keeps as a Command; the guard refuses that in its own words.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

MAX_DEPTH = 64
"""Levels of a tree. What is sent is written by recursion, below callers whose depth nobody knows."""

_KEPT = 2_048  # trees; a run asks for each text several times, and parsing is what it spends its time on

_NOT_BOOLEAN = (exp.Literal, exp.Null, exp.Star, exp.Tuple, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe,
                exp.Neg, exp.Concat, exp.Alias, exp.Array, exp.Interval)  # fmt: skip

# What an expression or a SELECT is made of, beside functions and operators. By name, because releases differ.
_PARTS = frozenset(
    """
    Alias Aliases AtIndex AtTimeZone CharacterSet Cluster ColumnDef Comprehension Connect CTE Cube DataType
    DataTypeParam Distinct Distribute Fetch Filter Final FormatJson From FromTimeZone Group GroupingSets Having
    HavingMax HistoricalData Identifier IgnoreNulls Interval IntervalSpan Introducer JSON JSONColumnDef
    JSONExtractQuote JSONKeyValue JSONPath JSONSchema JSONValue Join Lambda Lateral Limit LimitOptions MatchRecognize
    MatchRecognizeMeasure National ObjectIdentifier Offset OnCondition OpenJSONColumnDef Order Ordered
    OverflowTruncateBehavior Partition Pivot PivotAlias PivotAny PositionalColumn PreWhere Prior PseudoType Qualify
    RecursiveWithSearch RespectNulls Rollup Slice Sort Star Table TableAlias TableColumn TableFromRows TableSample
    TranslateCharacters Tuple UnpivotColumns Values Var Variadic Version Where WindowSpec With WithFill WithOperator
    WithTableHint WithinGroup XMLKeyValueOption XMLNamespace
    """.split()  # noqa: SIM905  # a block of words is easier to read than a list
)
_READS = (exp.Func, exp.Condition, exp.Binary, exp.Unary, exp.Predicate, exp.Query, exp.JSONPathPart)
_OF_THE_CALLER = (exp.Placeholder, exp.Parameter, exp.SessionParameter)

_QUOTED = frozenset(
    getattr(TokenType, name)
    for name in (
        "STRING", "IDENTIFIER", "BIT_STRING", "HEX_STRING", "BYTE_STRING", "NATIONAL_STRING", "NATIONAL_RAW_STRING",
        "RAW_STRING", "HEREDOC_STRING", "UNICODE_STRING",
    )
    if hasattr(TokenType, name)
)  # fmt: skip
_FILE_ENDINGS = (
    "arrow", "avro", "bz2", "csv", "db", "duckdb", "gz", "json", "jsonl", "ndjson", "orc", "parquet", "shp", "tsv",
    "txt", "vortex", "xlsx", "zip", "zst",
)  # fmt: skip


def guard_predicate(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed predicate ``text``.

    Args:
        text: one boolean SQL expression over one row, with Jinja already rendered.
        dialect: sqlglot's name of the engine's dialect.
        refused: names of further functions that are not let through.

    Raises:
        GuardError: when it is anything else: several statements, a clause, a sub-query, an aggregate, a placeholder,
            a function on the list, or a text that is not read as it was written.
    """
    return _let_through(_predicate, text, dialect, frozenset(refused)).copy()


def guard_aggregate(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed aggregate expression ``text``.

    Raises:
        GuardError: when it is not one expression with an aggregate in it, or holds what a predicate may not hold.
    """
    return _let_through(_aggregate, text, dialect, frozenset(refused)).copy()


def guard_value(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed expression ``text``, which is a value of one row, e.g. ``lower(code)``.

    Raises:
        GuardError: when it is not one expression, or holds what a predicate may not hold.
    """
    return _let_through(_value, text, dialect, frozenset(refused)).copy()


def guard_query(text: str, dialect: str, refused: Collection[str] = ()) -> exp.Expression:
    """Return the parsed query ``text``.

    Raises:
        GuardError: when it is not exactly one SELECT (or a set of them) that only reads.
    """
    return _let_through(_query, text, dialect, frozenset(refused)).copy()


_Reader = Callable[[str, str, str], exp.Expression]
"""Reads SQL as one thing: the SQL, the user's text as errors show it, the dialect."""


@lru_cache(maxsize=_KEPT)
def _let_through(read: _Reader, text: str, dialect: str, refused: frozenset[str]) -> exp.Expression:
    if not text.strip():
        raise GuardError("the SQL is empty")
    if "\x00" in text:
        raise GuardError("the SQL holds a NUL character")
    try:
        written = _written(read(text, text, dialect), text, dialect)
        _refuse_words(written, text, dialect, refused)
        again = read(written, text, dialect)
        if _written(again, text, dialect) != written:
            raise _changed(text)
    except RecursionError:
        raise _too_deep(text) from None
    return again


def _predicate(sql: str, text: str, dialect: str) -> exp.Expression:
    select = _select(f"SELECT 1 WHERE {sql}\n", text, dialect)
    where = select.args.get("where")
    if where is None or _other_args(select, "expressions", "where"):
        raise GuardError(f"{_quote(text)} is not one boolean expression: it holds a clause of its own")
    predicate: exp.Expression = where.this
    if isinstance(predicate.unnest(), _NOT_BOOLEAN):
        raise GuardError(f"{_quote(text)} is not a boolean expression")
    for node in predicate.find_all(exp.Query, exp.AggFunc, exp.Window):
        what = {exp.AggFunc: "an aggregate (use Aggregate)", exp.Window: "a window function (use Query)"}
        found = next((words for cls, words in what.items() if isinstance(node, cls)), "a sub-query (use Query)")
        raise GuardError(f"{_quote(text)} holds {found}, but a predicate speaks of one row")
    _refuse_several(predicate, text)
    _refuse_nodes(predicate, text)
    return predicate


def _value(sql: str, text: str, dialect: str) -> exp.Expression:
    select = _select(f"SELECT {sql}\n", text, dialect)
    if _other_args(select, "expressions") or len(select.expressions) != 1:
        raise GuardError(f"{_quote(text)} is not one expression")
    value: exp.Expression = select.expressions[0]
    if isinstance(value, exp.Alias) or any(value.find_all(exp.Query, exp.AggFunc, exp.Window)):
        raise GuardError(f"{_quote(text)} is not a value of one row, such as lower(code)")
    _refuse_several(value, text)
    _refuse_nodes(value, text)
    return value


def _aggregate(sql: str, text: str, dialect: str) -> exp.Expression:
    select = _select(f"SELECT {sql}\n", text, dialect)
    if _other_args(select, "expressions") or len(select.expressions) != 1:
        raise GuardError(f"{_quote(text)} is not one aggregate expression")
    aggregate: exp.Expression = select.expressions[0]
    if isinstance(aggregate, exp.Alias) or not any(aggregate.find_all(exp.AggFunc, exp.Anonymous)):
        raise GuardError(f"{_quote(text)} is not an aggregate expression such as sum(amount)")
    if any(aggregate.find_all(exp.Query, exp.Window)):
        raise GuardError(f"{_quote(text)} holds a sub-query or a window function; use Query")
    _refuse_several(aggregate, text)
    _refuse_nodes(aggregate, text)
    return aggregate


def _query(sql: str, text: str, dialect: str) -> exp.Expression:
    query = _parse_one(sql, text, dialect)
    if not isinstance(query, exp.Query):
        raise GuardError(f"{_quote(text)} is not one SELECT")
    _refuse_nodes(query, text)
    return query


def _select(sql: str, text: str, dialect: str) -> exp.Select:
    select = _parse_one(sql, text, dialect)
    if not isinstance(select, exp.Select):
        raise GuardError(f"{_quote(text)} is not one expression")
    return select


def _other_args(select: exp.Select, *expected: str) -> bool:
    return any(value for key, value in select.args.items() if key not in expected)


def _parse_one(sql: str, text: str, dialect: str) -> exp.Expression:
    try:
        statements = sqlglot.parse(sql, dialect=dialect)
    except RecursionError:
        raise _too_deep(text) from None
    except SqlglotError as error:
        raise _unreadable(text, dialect, f": {_first_line(str(error))}") from None
    except Exception:  # noqa: BLE001  # on strange texts the parser raises whatever its functions run into
        raise _unreadable(text, dialect) from None
    if len(statements) != 1 or statements[0] is None:
        raise GuardError(f"{_quote(text)} holds more than one statement")
    statement = statements[0]
    if not isinstance(statement, exp.Expression):
        raise _unreadable(text, dialect)
    return statement


def _written(tree: exp.Expression, text: str, dialect: str) -> str:
    """Return ``tree`` as SQL, or refuse it where the dialect has no words for a part of it."""
    try:
        written: str = tree.sql(dialect=dialect, comments=False, unsupported_level=ErrorLevel.RAISE)
    except RecursionError:
        raise _too_deep(text) from None
    except Exception:  # noqa: BLE001  # as above
        raise _unreadable(text, dialect) from None
    return written


def _refuse_words(written: str, text: str, dialect: str, refused: frozenset[str]) -> None:
    """Refuse what stands in the words that would be sent, whatever the parser makes of them.

    The words must cover the text, with nothing but blanks between them: what a tokenizer leaves out, such as a comment,
    it did not read. Outside of quotes stand letters, digits and the signs of ASCII only: DuckDB takes further
    characters for blanks (U+200B, U+FEFF) that the parser takes for letters.
    """
    try:
        words: list[Token] = Dialect.get_or_raise(dialect).tokenize(written)
    except SqlglotError:
        raise _changed(text) from None
    end = 0
    for word, following in zip(words, [*words[1:], None], strict=True):
        if written[end : word.start].strip(" ") or word.token_type == TokenType.SEMICOLON:
            raise _changed(text)
        end = word.end + 1
        if word.token_type == TokenType.COLON_EQ:
            raise GuardError(f"{_quote(text)} holds :=, which may set a variable; an argument is named with =>")
        if word.token_type not in _QUOTED:
            strange = next((c for c in written[word.start : end] if not _is_plain(c)), None)
            if strange is not None:
                raise GuardError(f"{_quote(text)} holds the character U+{ord(strange):04X} outside of quotes")
        if following is not None and following.token_type == TokenType.L_PAREN:
            name = word.text.strip().lower()
            if why := why_refused(name, refused):
                raise GuardError(f"{_quote(text)} calls {name}, which {why}")
    if written[end:].strip(" "):
        raise _changed(text)


def _is_plain(character: str) -> bool:
    return " " <= character <= "~" or (character > "~" and unicodedata.category(character)[0] in "LMN")


def _refuse_nodes(tree: exp.Expression, text: str) -> None:
    level = 0
    nodes = [tree]
    while nodes:
        level += 1
        if level > MAX_DEPTH:
            raise _too_deep(text)
        below: list[exp.Expression] = []
        while nodes:
            node = nodes.pop()
            _refuse_node(node, text)
            # A chain of one operator (a OR b OR c) is one level, and is written without recursion.
            chained = type(node) if isinstance(node, exp.Binary | exp.Connector) else None
            for child in node.iter_expressions():
                (nodes if chained is type(child) else below).append(child)
        nodes = below


def _refuse_node(node: exp.Expression, text: str) -> None:
    if isinstance(node, _OF_THE_CALLER):
        raise GuardError(
            f"{_quote(text)} holds the parameter {node.sql()}; write the value, or Jinja such as {{{{ params.x }}}}"
        )
    reads = isinstance(node, _READS) or type(node).__name__ in _PARTS
    # DuckDB makes a type for the statement PIVOT; the clause of that name stands behind a table, and makes none.
    if not reads or (isinstance(node, exp.Pivot) and node.this is not None):
        raise GuardError(f"{_quote(text)} holds {node.key.upper()}, which is no part of a SELECT that only reads")
    is_sequence = isinstance(node, exp.Column) and node.name.lower() in ("nextval", "currval") and node.table
    if is_sequence or isinstance(node, exp.NextValueFor):
        raise GuardError(f"{_quote(text)} asks a sequence for its next value, which changes state")
    if isinstance(node, exp.Table) and (name := _file_of(node)):
        raise GuardError(f"{_quote(text)} reads the file {name!r}; declare it as a Table")
    if isinstance(node, exp.Table) and is_refused_table(node.name.lower()):
        raise GuardError(f"{_quote(text)} reads {node.name}, which shows files or passwords of the server")


def _file_of(table: exp.Table) -> str | None:
    """Return the name of a table that DuckDB or Spark may take for the name of a file."""
    parts = [part.name for part in table.parts] or [""]  # a function in the place of a table may have none
    ending = parts[-1].rpartition(".")[2].lower()
    if any(sign in part for part in parts for sign in "/\\*?:") or (
        ending in _FILE_ENDINGS and "." in ".".join(parts)
    ):
        return ".".join(parts)
    return None


def _refuse_several(tree: exp.Expression, text: str) -> None:
    """Refuse what the engine makes several columns of, where one value is asked for."""
    whole = tree.unnest()
    last = whole.expression if isinstance(whole, exp.Dot) else whole
    if last.is_star or any(tree.find_all(exp.Columns)):
        raise GuardError(f"{_quote(text)} stands for several columns; write one expression")


def _too_deep(text: str) -> GuardError:
    return GuardError(f"{_quote(text)} is nested too deeply")


def _changed(text: str) -> GuardError:
    return GuardError(f"{_quote(text)} is not read as it was written; say it in plainer SQL")


def _unreadable(text: str, dialect: str, why: str = "") -> GuardError:
    return GuardError(f"{_quote(text)} cannot be read as SQL ({_shown(dialect)}){why}")


def _shown(dialect: str) -> str:
    return dialect.removeprefix("strict")  # as people call it, see dialects.StrictSQLite


def _first_line(text: str) -> str:
    if "Required keyword:" in text:  # the parser's own words name its classes
        return "a part of it is missing"
    return (
        text.strip().splitlines()[0].replace("\x1b[4m", "").replace("\x1b[0m", "").rstrip(".")
        if text.strip()
        else "unknown"
    )


def _quote(text: str) -> str:
    flat = " ".join(text.split())
    return f"the SQL «{flat if len(flat) <= 160 else flat[:159] + '…'}»"
