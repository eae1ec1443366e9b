"""Runs: the counts of a stage, one line per org in the order of the bytes of its name, on disk; and their merge.

A line is the day, where there are several, and the parts of the name, each followed by a tab; then the number. A part
begins with a letter for its length, so that whole numbers are sorted as texts as they are as numbers; of NULL nothing
is there. A number behind ``~`` is one of which a part was NULL. As a tab is less than all that a name has, lines are
sorted as names are.

The databases count, write the lines and sort them, so Python handles many lines at once: a block that is equal in all
runs is compared as one text. Of one that is not, texts are compared up to the first line that is not everywhere; that
org is read, and the texts are compared behind it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from tempfile import SpooledTemporaryFile
from typing import IO

from attrs import field, frozen

IN_MEMORY = 1_000_000
"""Bytes of a run that are held in memory; a longer one is a file without a name."""

BLOCK = 128_000
"""Bytes of each run that are compared at once."""

LONGEST = 60
"""Longer texts are sorted by their characters alone, so that the one for the length is a letter of ASCII."""

_CONTROL = bytes(range(32))
_ESCAPED = re.compile(r"[\x00-\x1f]")
_ESCAPE = re.compile(r"\x1b(..)")

Org = tuple[str | None, ...]


class UnfitError(Exception):
    """What a database listed is no run: it is in another order, or its names hold control characters."""


@frozen
class Run:
    """The sorted counts of one stage.

    Attributes:
        lines: how many there are.
    """

    lines: int
    _file: IO[bytes] = field(repr=False)

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines, many at once."""
        self._file.seek(0)
        while block := self._file.read(BLOCK):
            yield block + self._file.readline()

    def close(self) -> None:
        """Forget it."""
        self._file.close()


@frozen
class Same:
    """Lines that are equal in all runs that are compared, and the others have none of these orgs."""

    lines: bytes


@frozen
class Odd:
    """One org, and its number in each run as text; None: it is not there."""

    key: bytes
    numbers: tuple[bytes | None, ...]


def key_of(values: Iterable[str | None]) -> bytes:
    """Return what a line has in front of the number."""
    parts = ("" if value is None else _length(value) + _ESCAPED.sub(_escaped, value) for value in values)
    return "\t".join(parts).encode("utf-8", "surrogatepass")


def values_of(key: bytes) -> Org:
    """Return the values that :func:`key_of` made ``key`` of."""
    text = key.decode("utf-8", "surrogatepass")
    if "\x1b" not in text:
        return tuple(part[1:] if part else None for part in text.split("\t"))
    return tuple(_ESCAPE.sub(_unescaped, part[1:]) if part else None for part in text.split("\t"))


def _length(value: str) -> str:
    return chr(64 + min(len(value), LONGEST))


def _escaped(found: re.Match[str]) -> str:
    return f"\x1b{ord(found[0]):02x}"


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def run_of_lines(batches: Iterable[Sequence[Sequence[str]]], width: int) -> Run:
    """Return the run of lines that a database wrote and sorted.

    Args:
        batches: its rows, of one line each.
        width: how many parts a name has.

    Raises:
        UnfitError: when they are not sorted, or a name holds a control character.
    """
    written = _Written(width)
    try:
        for batch in batches:
            written.add(list(map(itemgetter(0), batch)))
    except BaseException:
        written.file.close()
        raise
    return written.run()


def runs_of_rows(batches: Iterable[Sequence[Sequence[str | None]]], width: int, runs: int) -> tuple[Run, ...]:
    """Return the runs of a table that a database merged and sorted by the names of its rows.

    Args:
        batches: its rows: what a line has in front of the number, then the number in each run; None: it is not there.
        width: how many parts a name has.
        runs: how many there are.

    Raises:
        UnfitError: as :func:`run_of_lines`.
    """
    written = [_Written(width) for _ in range(runs)]
    try:
        for batch in batches:
            for n, one in enumerate(written, start=1):
                one.add([f"{row[0]}\t{row[n]}" for row in batch if row[n] is not None])
    except BaseException:
        for one in written:
            one.file.close()
        raise
    return tuple(one.run() for one in written)


class _Written:
    """A run to which sorted lines are added."""

    def __init__(self, width: int) -> None:
        self.file, self._width, self._count, self._last = _new(), width, 0, ""

    def add(self, lines: list[str]) -> None:
        if lines:
            self.file.write(_checked(lines, self._last if self._count else None, self._width))
            self._count, self._last = self._count + len(lines), lines[-1]

    def run(self) -> Run:
        return Run(self._count, self.file)


def _checked(lines: list[str], last: str | None, width: int) -> bytes:
    try:
        text = ("\n".join(lines) + "\n").encode()
    except UnicodeError:
        raise UnfitError from None
    controls = len(text) - len(text.translate(None, _CONTROL))
    if (
        lines != sorted(lines)
        or (last is not None and lines[0] <= last)
        or controls != len(lines) * (1 + width)
        or text.count(b"\t") != len(lines) * width
        or text.count(b"\n") != len(lines)
    ):
        raise UnfitError
    return text


def run_of_counts(counts: Mapping[Org, str]) -> Run:
    """Return the run of numbers, as text, by the values of their names; it sorts them in memory."""
    file = _new()
    for key, number in sorted((key_of(values), number) for values, number in counts.items()):
        file.write(b"%b\t%b\n" % (key, number.encode()))
    return Run(len(counts), file)


def _new() -> IO[bytes]:
    return SpooledTemporaryFile(IN_MEMORY)  # a run closes it


def merge(runs: Sequence[Run], alike: Sequence[int], apart: Iterable[bytes] = ()) -> Iterator[Same | Odd]:
    """Yield all orgs of all runs, in their order; memory does not grow with their number.

    Args:
        runs: what is merged.
        alike: the numbers of the runs that are compared; of the others any line is odd.
        apart: the keys of orgs that are odd even where nothing differs.
    """
    blocks = [run.blocks() for run in runs]
    texts = [b""] * len(runs)
    kept = sorted(apart)
    while True:
        texts = [text or next(more, b"") for text, more in zip(texts, blocks, strict=True)]
        lasts = [_last_key(text) for text in texts if text]
        if not lasts:
            return
        bound = min(lasts)
        ends = [_end(text, bound) for text in texts]
        pieces = [text[:end] for text, end in zip(texts, ends, strict=True)]
        here = kept[bisect_left(kept, _first_key(pieces)) : bisect_right(kept, bound)]
        yield from _compared(pieces, alike, here)
        texts = [text[end:] for text, end in zip(texts, ends, strict=True)]


def _compared(pieces: Sequence[bytes], alike: Sequence[int], apart: Sequence[bytes]) -> Iterator[Same | Odd]:
    places = [0] * len(pieces)
    others = (piece for n, piece in enumerate(pieces) if n not in alike)
    for key in (*sorted({*apart, *(key for piece in others for key in _keys(piece))}), None):
        while True:
            size = _common([(pieces[n], places[n]) for n in alike], key)
            if size:
                begin = places[alike[0]]
                yield Same(pieces[alike[0]][begin : begin + size])
                for n in alike:
                    places[n] += size
            first = min((found for n in alike if (found := _key_at(pieces[n], places[n])) is not None), default=None)
            if first is None or (key is not None and first >= key):
                break
            yield _odd(first, pieces, places)
        if key is not None and any(_key_at(piece, place) == key for piece, place in zip(pieces, places, strict=True)):
            yield _odd(key, pieces, places)


def _common(texts: Sequence[tuple[bytes, int]], before: bytes | None) -> int:
    """Return the size of the lines that all texts have from a place on, up to a key."""
    if not texts:
        return 0
    text, begin = texts[0]
    size = (len(text) if before is None else _end(text, before, begin, including=False)) - begin
    for other, start in texts[1:]:
        size = _alike(text, begin, other, start, size)
    return max(text.rfind(b"\n", begin, begin + size) + 1 - begin, 0)


def _alike(one: bytes, begin: int, other: bytes, start: int, most: int) -> int:
    """Return how many bytes of two texts are equal, at most ``most``: ever longer pieces are compared, then halves."""
    same, end, step = 0, min(64, most), 64
    while same < most and one[begin + same : begin + end] == other[start + same : start + end]:
        step *= 4
        same, end = end, min(end + step, most)
    while end - same > 1:
        middle = (same + end) // 2
        if one[begin + same : begin + middle] == other[start + same : start + middle]:
            same = middle
        else:
            end = middle
    return same


def _odd(key: bytes, pieces: Sequence[bytes], places: list[int]) -> Odd:
    """Return what all runs have of an org, and go on behind it."""
    numbers: list[bytes | None] = [None] * len(pieces)
    for n, piece in enumerate(pieces):
        if _key_at(piece, places[n]) == key:
            end = piece.index(b"\n", places[n])
            numbers[n] = piece[places[n] + len(key) + 1 : end]
            places[n] = end + 1
    return Odd(key, tuple(numbers))


def _key_at(piece: bytes, place: int) -> bytes | None:
    end = piece.find(b"\n", place)
    return None if end < 0 else piece[place : piece.rindex(b"\t", place, end)]


def _keys(piece: bytes) -> Iterator[bytes]:
    return (line.rpartition(b"\t")[0] for line in piece.split(b"\n")[:-1])


def _first_key(pieces: Iterable[bytes]) -> bytes:
    return min(piece[: piece.rindex(b"\t", 0, piece.index(b"\n"))] for piece in pieces if piece)


def _last_key(text: bytes) -> bytes:
    return text[text.rfind(b"\n", 0, -1) + 1 : text.rindex(b"\t")]


def _end(text: bytes, key: bytes, low: int = 0, *, including: bool = True) -> int:
    """Return where the lines end, from ``low`` on, whose name is before ``key`` or, with ``including``, is it."""
    high = len(text)
    while low < high:
        begin = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = text.index(b"\n", begin)
        found = text[begin : text.rindex(b"\t", begin, end)]
        if found < key or (including and found == key):
            low = end + 1
        else:
            high = begin
    return low
