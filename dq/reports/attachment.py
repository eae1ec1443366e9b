"""All rows of a ledger as a CSV file, plain or gzipped, that a spreadsheet may open without running anything.

A cell of text that a spreadsheet would take for a formula gets an apostrophe in front (OWASP, "CSV Injection"): one
that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end. All text stands in quotes, and the same holds after
each character at which a reader with other settings would begin a new cell. Numbers of dq's own stay numbers, negative
ones, too; so does an org whose name is one.
"""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

from dq.model.group import Group
from dq.model.interval import Interval
from dq.model.ledger import Column, Count, Ledger, LedgerRow, Rest
from dq.model.message import Attachment
from dq.packing import unpacked
from dq.reports.discrepancy import all_rows, count_text
from dq.runs import values_of

MAX_BYTES = 5_000_000
"""A gzipped file that is longer goes with no mail: many servers refuse mails above 10 MB, and base64 adds a third."""

_FORMULA = re.compile(r"""(^|[,;|"\t\r\n])(?=[\s\0]*[=+@\uff1d\uff0b\uff20\uff0d-]|[\t\r\n])""")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_KINDS = ("count", "explained", "discrepancy")
_AT_ONCE = 200_000  # characters between two looks at how long the file is


def file_name(ledger: Ledger, end: str = ".csv.gz") -> str:
    """Return how the file is called: by the reconciliation and its partition, in letters that any system takes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", f"{ledger.reconciliation}-{ledger.interval}").strip("-.") + end


def attachment(ledger: Ledger, max_bytes: int = MAX_BYTES) -> Attachment | None:
    """Return all rows of ``ledger`` as a gzipped file; None: it would be longer than ``max_bytes``.

    The same ledger gives the same bytes.
    """
    content = _gzipped(ledger, max_bytes)
    return None if content is None else Attachment(name=file_name(ledger), type="application/gzip", content=content)


def csv_bytes(ledger: Ledger, *, gzipped: bool) -> bytes:
    """Return all rows of ``ledger`` as a CSV file in UTF-8, however long it is."""
    return (_gzipped(ledger, None) or b"") if gzipped else "".join(csv_lines(ledger)).encode(errors="replace")


def csv_lines(ledger: Ledger) -> Iterator[str]:
    """Yield the file, some lines at once: headings, then a line per row of the ledger, worst first.

    Rows that the ledger does not hold follow by the names of their orgs; where they are not kept, their sum.
    """
    rows, rest = all_rows(ledger), ledger.rest
    orgs = rows[0].org.columns if rows else ("org",) if rest is None else rest.orgs
    names = [_heading(column) for column in ledger.columns]
    yield _line(map(_text, ("partition", *orgs, "verdict", *names, "notes")))
    day, interval = "", None
    for row in rows:
        if row.interval is not interval:
            interval, day = row.interval, _text(str(row.interval))
        yield _row(ledger, row, day)
    if rest is not None and rest.packed is not None:
        yield from _packed(ledger, rest, rest.packed)
    elif rest is not None:
        others = _text(f"{rest.rows} others"), *("" for _ in orgs[1:])
        numbers = (_number(column, rest) for column in ledger.columns)
        yield _line((_text(str(ledger.interval)), *others, _text("ok"), *numbers, ""))


def _row(ledger: Ledger, row: LedgerRow, day: str) -> str:
    return _line((
        day,
        *map(_text, row.org.values),
        _text("ok" if row.severity is None else str(row.severity)),
        *(_number(column, row) for column in ledger.columns),
        _text("; ".join(row.notes)) if row.notes else "",
    ))  # fmt: skip


def _packed(ledger: Ledger, rest: Rest, packed: bytes) -> Iterator[str]:
    """Yield the lines of packed rows; those of plain names and equal numbers, nearly all, are written many at once."""
    width = len(rest.orgs) + rest.by_day
    row = _well_row(ledger, ledger.interval, Group(rest.orgs, (None,) * len(rest.orgs)), _equal(ledger, rest, 1))
    cells = (
        rf"\{width + 1}" if column.kind == "count" and column.name in row.counts else _number(column, row)
        for column in ledger.columns
    )
    day = () if rest.by_day else (_text(str(ledger.interval)),)
    written = _line((*day, *(rf'"\{n + 1}"' for n in range(width)), _text("ok"), *cells, "")).encode()
    parts = [rb"[^\t\n]([0-9A-Za-z]+)\t"] * width
    if rest.by_day:
        parts[0] = rb"[^\t\n]([0-9-]+)\t"
    plain = re.compile(rb"(?m)^" + b"".join(parts) + rb"([1-9][0-9]*)\n")
    other = re.compile(rb"(?m)^.*\t.*\n")
    for lines in unpacked(packed):
        yield other.sub(lambda found: _other(ledger, rest, found[0]), plain.sub(written, lines)).decode()


def _other(ledger: Ledger, rest: Rest, line: bytes) -> bytes:
    """Return the line of the file of a line that was packed."""
    width = len(rest.orgs) + rest.by_day
    cells = line[:-1].split(b"\t")
    values = values_of(b"\t".join(cells[:width]))
    numbers = [None if not cell else Decimal(cell.decode()) for cell in cells[width:]]
    if len(numbers) == 1:
        of = _equal(ledger, rest, numbers[0] or 0)
    else:
        columns = [column for column in ledger.columns if column.kind != "share"]
        of = {(c.kind, c.name): number for c, number in zip(columns, numbers, strict=True) if number is not None}
    interval = Interval.of_day(str(values[0])) if rest.by_day else ledger.interval
    row = _well_row(ledger, interval, Group(rest.orgs, values[rest.by_day :]), of)
    return _row(ledger, row, _text(str(interval))).encode(errors="replace")


def _equal(ledger: Ledger, rest: Rest, count: Count) -> dict[tuple[str, str], Count]:
    """Return the numbers, by column, of an org that has ``count`` at all stages."""
    there: dict[str, Mapping[str, Count | None]] = {
        "count": rest.counts,
        "explained": rest.explained,
        "discrepancy": rest.discrepancy,
    }
    return {
        (column.kind, column.name): count if column.kind == "count" else 0
        for column in ledger.columns
        if column.kind in there and there[column.kind].get(column.name) is not None
    }


def _well_row(ledger: Ledger, interval: Interval, org: Group, numbers: Mapping[tuple[str, str], Count]) -> LedgerRow:
    counts, explained, discrepancy = (
        {name: count for (of, name), count in numbers.items() if of == kind} for kind in _KINDS
    )
    baseline = counts.get(ledger.columns[0].name, 0)
    share = {name: _share(missing, baseline) for name, missing in discrepancy.items()}
    return LedgerRow(
        interval=interval, org=org, counts={**counts}, explained=explained, discrepancy=discrepancy, share=share,
        severity=None,
    )  # fmt: skip


def _share(missing: Count, baseline: Count) -> Fraction | None:
    if baseline:
        return Fraction(missing) / Fraction(baseline)
    return None if missing else Fraction(0)


def _gzipped(ledger: Ledger, max_bytes: int | None) -> bytes | None:
    file = io.BytesIO()
    lines = csv_lines(ledger)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        for chunk in _chunks(lines):
            packed.write(chunk.encode(errors="replace"))
            if max_bytes is not None and file.tell() > max_bytes:
                return None
    return None if max_bytes is not None and file.tell() > max_bytes else file.getvalue()


def _chunks(lines: Iterable[str]) -> Iterator[str]:
    chunk: list[str] = []
    size = 0
    for line in lines:
        chunk.append(line)
        size += len(line)
        if size > _AT_ONCE:
            yield "".join(chunk)
            chunk, size = [], 0
    yield "".join(chunk)


def _line(cells: Iterable[str]) -> str:
    return ",".join(cells) + "\r\n"


def _heading(column: Column) -> str:
    more = {
        "discrepancy": " discrepancy",
        "share": " discrepancy %",
        "explained": " (derived)" if column.derived else "",
    }
    return column.name + more.get(column.kind, "")


def _number(column: Column, row: LedgerRow | Rest) -> str:
    if column.kind == "share":
        if isinstance(row, Rest):
            return ""
        return _percent(row.share.get(column.name))
    of: dict[str, Mapping[str, Count | None]] = {
        "count": row.counts,
        "explained": row.explained,
        "discrepancy": row.discrepancy,
    }
    count = of[column.kind].get(column.name)
    return "" if count is None else count_text(count)


def _percent(share: Fraction | None) -> str:
    """Return a share in percent, rounded half to even at four decimals; nothing for None."""
    if share is None:
        return ""
    parts = _rounded(share.numerator * 1_000_000, share.denominator)
    return f"{'-' if parts < 0 else ''}{abs(parts) // 10_000}.{abs(parts) % 10_000:04}"


def _rounded(number: int, by: int) -> int:
    """Return ``round(Fraction(number, by))`` without making one, which would take most of the time."""
    whole, rest = divmod(number, by)
    return whole + (2 * rest > by or (2 * rest == by and whole % 2))


def _text(value: str | None) -> str:
    """Return a cell of text in quotes; NULL is an empty cell without."""
    if value is None:
        return ""
    if value.isalnum():
        return f'"{value}"'
    safe = value if _NUMBER.fullmatch(value) else _FORMULA.sub(r"\1'", value)
    return '"' + safe.replace('"', '""') + '"'
