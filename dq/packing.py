"""Packing: the rows that a ledger of very many orgs does not hold, as compressed lines, for a file of all rows.

A line is a key of ``dq.runs``, each part followed by a tab; then the number that all stages have alike, or, divided by
tabs, the numbers of the columns of the ledger that are no shares: an empty one is none.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

MAX_BYTES = 5_000_000
"""More is not kept: a file of so many rows is too long for a mail."""

_PIECE = 64_000


class Packing:
    """Packs lines as long as they are not too many."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max, self._size = max_bytes, 0
        self._packer = zlib.compressobj(1)  # the fastest: lines that follow each other are alike
        self._pieces: list[bytes] | None = []

    def add(self, lines: bytes) -> None:
        """Add whole lines."""
        if self._pieces is None:
            return
        piece = self._packer.compress(lines)
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
        if self._size > self._max:
            self._pieces = None

    def add_row(self, key: bytes, numbers: Sequence[object]) -> None:
        """Add the line of an org, by the numbers of the columns; None: it has none there."""
        cells = ("" if number is None else str(number) for number in numbers)
        self.add(b"%b\t%b\n" % (key, "\t".join(cells).encode()))

    def packed(self) -> bytes | None:
        """Return all lines that were added; None: they are too many."""
        return None if self._pieces is None else b"".join((*self._pieces, self._packer.flush()))


def unpacked(packed: bytes) -> Iterator[bytes]:
    """Yield what was packed, some whole lines at once."""
    unpacker, rest = zlib.decompressobj(), b""
    while not unpacker.eof:
        piece = rest + unpacker.decompress(packed, _PIECE)
        packed = unpacker.unconsumed_tail
        end = piece.rfind(b"\n") + 1
        if end:
            yield piece[:end]
        rest = piece[end:]
