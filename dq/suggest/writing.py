"""The file of suggested checks: Python as a person would have written it, with what was seen beside it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

import attrs

from dq.checks import OneOf, Unique
from dq.model.check import Kind
from dq.model.table import Table
from dq.sql.names import is_file, table_parts
from dq.suggest.formats import JSON
from dq.suggest.profile import ColumnProfile, Profile
from dq.suggest.proposals import Suggested

_WIDTH = 120


def write(found: Profile, suggested: tuple[Suggested, ...], suite: str, today: date) -> str:
    """Return the text of a file in ``checks/`` that declares a suite.

    Args:
        found: the profile.
        suggested: the checks.
        suite: its name.
        today: the day in its head.
    """
    body = [*_suite(found, suggested, suite)]
    names = sorted({*_words(suggested), "Check", "Suite", "Table"}, key=lambda name: (name.islower(), name.lower()))
    sample = (
        []
        if found.sample is None
        else [f"Columns were learned from a sample of {float(100 * found.sample):.3g}% of them.", ""]
    )
    head = [
        f'"""Checks of {_plain(found.table.name)}, suggested by `dq suggest` on {today} from {found.rows:,} rows.',
        "",
        *sample,
        "Every threshold comes from the data as it was, and holds on it. Read each one, change what you know better,",
        "take out what says nothing, and give the suite an owner and a runbook.",
        '"""',
        "",
        *_wrapped("from dq import ", names),
        "",
    ]
    return "\n".join([*head, *body]) + "\n"


def _words(suggested: tuple[Suggested, ...]) -> set[str]:
    used = {type(one.kind).__name__ for one in suggested if not one.off}
    text = " ".join(threshold for one in suggested if not one.off for _, threshold in one.thresholds)
    return used | set(re.findall(r"\b(?:at_least|at_most|between)\b", text))


def _wrapped(start: str, names: list[str]) -> list[str]:
    line = start + ", ".join(names)
    if len(line) <= _WIDTH:
        return [line]
    return [start + "(", *(f"    {name}," for name in names), ")"]


def _suite(found: Profile, suggested: tuple[Suggested, ...], suite: str) -> Iterator[str]:
    yield f"{_variable(suite)} = Suite("
    yield f"    {suite!r},".replace("'", '"')
    personal = [column.name for column in found.columns if column.personal]
    if personal:
        yield "    Table("
        yield f"        {', '.join(_parts(found.table, _key(suggested)))},"
        yield "        # What is tagged is not shown where failing rows are listed."
        yield "        tags={"
        yield from (f'            {_text(name)}: "personal",' for name in personal)
        yield "        },"
        yield "    ),"
    else:
        yield f"    Table({', '.join(_parts(found.table, _key(suggested)))}),"
    if found.table.partition is None and (times := [c.name for c in found.columns if c.is_time]):
        day = _text(times[0])
        yield f"    # With partition={day} a run looks at one day; dq suggest --partition writes checks for that."
    yield '    # owner="your-team", runbook="https://wiki.example.org/...",'
    yield "    checks=["
    for one in suggested:
        if not one.columns:
            yield from _check(one)
    for column in found.columns:
        yield f"        # {_seen(column)}"
        for one in suggested:
            if one.columns and one.columns[-1] == column.name:
                yield from _check(one)
    yield "    ],"
    yield ")"


def _key(suggested: tuple[Suggested, ...]) -> tuple[str, ...]:
    return next((one.columns for one in suggested if isinstance(one.kind, Unique)), ())


def _check(one: Suggested) -> Iterator[str]:
    parts = [_text(one.name), _call(one.kind), *(f"{severity}={threshold}" for severity, threshold in one.thresholds)]
    if one.nulls != "fail":
        parts.append(f"nulls={_text(one.nulls)}")
    indent = "        "
    if one.off:
        yield f"{indent}# {one.off}:"
        yield f"{indent}# Check({', '.join(parts)}),"
        return
    line = f"{indent}Check({', '.join(parts)}),"
    if len(line) <= _WIDTH:
        yield line
        return
    yield f"{indent}Check("
    for part in parts:
        if isinstance(one.kind, OneOf) and len(part) > _WIDTH - 13:
            yield f"{indent}    OneOf("
            yield f"{indent}        {_text(one.kind.column)},"
            yield f"{indent}        ["
            yield from (f"{indent}            {line}" for line in _packed(map(_literal, one.kind.values), _WIDTH - 20))
            yield f"{indent}        ],"
            yield f"{indent}    ),"
        else:
            yield f"{indent}    {part},"
    yield f"{indent}),"


def _packed(texts: Iterable[str], width: int) -> Iterator[str]:
    """Yield lines of as many texts, each with its comma, as have room."""
    line = ""
    for text in texts:
        longer = f"{line} {text},".lstrip()
        if line and len(longer) > width:
            yield line
            longer = f"{text},"
        line = longer
    yield line


def _call(kind: Kind) -> str:
    """Return the call that makes ``kind``, without what is the default."""
    if isinstance(kind, Unique):  # it takes its columns one by one
        return f"Unique({', '.join(map(_literal, kind.columns))})"
    given: list[str] = []
    for one in attrs.fields(cast("Any", type(kind))):
        value = getattr(kind, one.name)
        if one.default is attrs.NOTHING or value != _default(kind, one):
            shown = value[0] if one.name in ("columns", "patterns", "other_columns") and len(value) == 1 else value
            given.append(f"{one.name}={_literal(shown)}" if one.kw_only else _literal(shown))
    return f"{type(kind).__name__}({', '.join(given)})"


def _default(kind: Kind, one: attrs.Attribute[Any]) -> Any:
    default = one.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        return default.factory(kind) if default.takes_self else default.factory()  # type: ignore[union-attr]  # as above
    return default


def _parts(table: Table, key: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield what stands between the brackets of ``Table(...)``."""
    yield _text(table.datasource)
    yield _text(table.name)
    if table.partition is not None:
        yield f"partition={_text(table.partition)}"
    if key:
        yield f"key={_literal(key[0] if len(key) == 1 else key)}"
    if table.where is not None:
        yield f"where={_text(table.where)}"


def _literal(value: object) -> str:
    if isinstance(value, Table):
        return f"Table({', '.join(_parts(value))})"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int | Decimal | Fraction) and value == int(value):
        return f"{int(value):_}"
    return repr(value)


def _text(value: str) -> str:
    shown = repr(value)
    return f'"{shown[1:-1]}"' if shown[0] == "'" and '"' not in shown else shown


def _seen(column: ColumnProfile) -> str:
    """Return what was seen of a column; no value of one that looks as if it held personal data."""
    said = [f"{_plain(column.name)}: {_plain(column.type) or 'no type'}"]
    if column.nulls == column.rows:
        return f"{said[0]}; always NULL"
    if column.nulls:
        said.append(f"{100 * column.nulls / column.rows:.3g}% NULL")
    if column.distinct is not None:
        said.append(f"{column.distinct:,} different")
    if column.personal:
        return "; ".join([*said, "looks like personal data, so no value of it is written here"])
    if column.low is not None and column.family in ("integer", "number"):
        said.append(f"{_short(column.low)} to {_short(column.high)}")
    if column.longest is not None:
        length = f"{column.shortest}" if column.shortest == column.longest else f"{column.shortest} to {column.longest}"
        said.append(f"{length} characters")
    if column.formats.get(JSON.name) == 1:
        said.append("JSON")
    return "; ".join(said)


def _short(value: object) -> str:
    return f"{float(str(value)):.10g}"


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else "?" for c in text)


def _variable(suite: str) -> str:
    name = re.sub(r"\W", "_", suite, flags=re.ASCII)
    return f"suite_{name}" if not name.isidentifier() or keyword.iskeyword(name) else name


def suite_name(table: str) -> str:
    """Return the name of a suite for a table: the last part of its name, or that of its file."""
    last = table_parts(table)[-1]
    if is_file(table):
        last = last.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", last).lstrip("_.-")
    return name or "suggested"
