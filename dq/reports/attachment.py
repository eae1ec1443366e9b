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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice

from dq.model.ledger import Column, Count, Ledger, LedgerRow, Rest
from dq.model.message import Attachment
from dq.reports.discrepancy import all_rows, count_text

MAX_BYTES = 5_000_000
"""A gzipped file that is longer goes with no mail: many servers refuse mails above 10 MB, and base64 adds a third."""

_FORMULA = re.compile(r"""(^|[,;|"\t\r\n])(?=[\s\0]*[=+@\uff1d\uff0b\uff20\uff0d-]|[\t\r\n])""")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_AT_ONCE = 2_000  # lines between two looks at how long the file is


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
    """Yield the lines of the file: headings, then a line per row of the ledger, worst first."""
    rows = all_rows(ledger)
    orgs: Sequence[str] = rows[0].org.columns if rows else ("org",)
    names = [_heading(column) for column in ledger.columns]
    yield _line(map(_text, ("partition", *orgs, "verdict", *names, "notes")))
    day, interval = "", None
    for row in rows:
        if row.interval is not interval:
            interval, day = row.interval, _text(str(row.interval))
        yield _line((
            day,
            *map(_text, row.org.values),
            _text("ok" if row.severity is None else str(row.severity)),
            *(_number(column, row) for column in ledger.columns),
            _text("; ".join(row.notes)) if row.notes else "",
        ))  # fmt: skip
    if ledger.rest is not None:
        others = _text(f"{ledger.rest.rows} others"), *("" for _ in orgs[1:])
        numbers = (_number(column, ledger.rest) for column in ledger.columns)
        yield _line((_text(str(ledger.interval)), *others, _text("ok"), *numbers, ""))


def _gzipped(ledger: Ledger, max_bytes: int | None) -> bytes | None:
    file = io.BytesIO()
    lines = csv_lines(ledger)
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed:
        while chunk := "".join(islice(lines, _AT_ONCE)):
            packed.write(chunk.encode(errors="replace"))
            if max_bytes is not None and file.tell() > max_bytes:
                return None
    return None if max_bytes is not None and file.tell() > max_bytes else file.getvalue()


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
