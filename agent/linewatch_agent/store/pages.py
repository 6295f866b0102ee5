"""Reads rows out of a damaged SQLite file, page by page, past whatever is broken.

SQLite refuses a file whose root pages or schema are damaged, and then all of it.
Here each leaf page is read for itself: a damaged page costs its own rows, and
rows that overflow into it. Nothing is believed: who uses a row must be able to
verify it. Source: sqlite.org/fileformat2.html, 1.5, 1.6, 2.1 and 4.1.
"""

import os
import struct
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = int | bytes | str | None
"""What our tables hold; SQLite's floats are none of ours, and make a row unreadable."""
Row: TypeAlias = tuple[Value, ...]

PAUSE_PAGES = 256
"""After so many a reader may let others go on: some milliseconds."""
_TABLE_LEAF, _INDEX_LEAF = 0x0D, 0x0A
_FILE_HEADER_BYTES = 100
_WAL_HEADER_BYTES = 32
_WAL_FRAME_BYTES = 24
_PAYLOAD_MAX = 256 * 1024
_INT_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}


class _NoRowError(Exception):
    """The bytes here are no row."""


class Pages:
    """The pages of a database file, with or without what its WAL changes."""

    def __init__(self, path: Path, *, page_bytes: int, with_wal: bool) -> None:
        """Open the file read-only; it is read page by page, since it may be large.

        Raises:
            OSError: it can't be read.
        """
        self.page_bytes = page_bytes
        self._file = path.open("rb", buffering=0)
        self._count = os.fstat(self._file.fileno()).st_size // page_bytes
        self._newer: dict[int, bytes] = {}
        self.at = 0
        self.doubtful: set[int] = set()
        wal = path.with_name(path.name + "-wal")
        if with_wal and wal.exists():
            self._newer = _wal_pages(wal.read_bytes(), page_bytes)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def newer(self) -> set[int]:
        """Return the pages that the WAL changes."""
        return set(self._newer)

    def rows(self, *, of_tables: bool, only: set[int] | None = None) -> Iterator[Row | None]:
        """Yield every row that can be read, in page order: of tables, or of WITHOUT ROWID ones.

        Between them None comes now and then, after so many pages. The page of a row is `at`;
        pages with a row that can't be read are `doubtful`.

        Args:
            only: look at these pages alone.
        """
        kind = _TABLE_LEAF if of_tables else _INDEX_LEAF
        beyond = sorted(number for number in self._newer if number > self._count)
        numbers = chain(range(1, self._count + 1), beyond) if only is None else sorted(only)
        for number in numbers:
            if number % PAUSE_PAGES == 0:
                yield None
            self.at = number
            page = self._page(number)
            at = _FILE_HEADER_BYTES if number == 1 else 0
            if len(page) < self.page_bytes or page[at] != kind:
                continue
            cells = int.from_bytes(page[at + 3 : at + 5])
            for place in range(at + 8, min(at + 8 + 2 * cells, self.page_bytes - 1), 2):
                try:
                    cell = int.from_bytes(page[place : place + 2])
                    yield _record(self._payload(page, cell, kind))
                except (_NoRowError, IndexError, UnicodeDecodeError):
                    self.doubtful.add(number)

    def _page(self, number: int) -> bytes:
        newer = self._newer.get(number)
        if newer is not None:
            return newer
        return os.pread(self._file.fileno(), self.page_bytes, (number - 1) * self.page_bytes)

    def _payload(self, page: bytes, at: int, kind: int) -> bytes:
        size, at = _varint(page, at)
        if kind == _TABLE_LEAF:
            _, at = _varint(page, at)
        if not 0 < size <= _PAYLOAD_MAX:
            raise _NoRowError
        usable = self.page_bytes
        most = usable - 35 if kind == _TABLE_LEAF else (usable - 12) * 64 // 255 - 23
        if size <= most:
            return page[at : at + size]
        least = (usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (usable - 4)
        here = here if here <= most else least
        parts, left = [page[at : at + here]], size - here
        following = int.from_bytes(page[at + here : at + here + 4])
        while left > 0:
            more = self._page(following) if following else b""
            if len(more) < usable:
                raise _NoRowError
            parts.append(more[4 : 4 + min(left, usable - 4)])
            left -= len(parts[-1])
            following = int.from_bytes(more[:4])
        return b"".join(parts)


def _wal_pages(data: bytes, page_bytes: int) -> dict[int, bytes]:
    """Return the newest version of each page that a committed transaction of the WAL wrote."""
    salts = data[16:24]
    pages: dict[int, bytes] = {}
    pending: dict[int, bytes] = {}
    step = _WAL_FRAME_BYTES + page_bytes
    for at in range(_WAL_HEADER_BYTES, len(data) - step + 1, step):
        number, commit_size = struct.unpack(">II", data[at : at + 8])
        if data[at + 8 : at + 16] != salts:
            break
        pending[number] = data[at + _WAL_FRAME_BYTES : at + step]
        if commit_size:
            pages |= pending
            pending = {}
    return pages


def _record(payload: bytes) -> Row:
    header_bytes, at = _varint(payload, 0)
    kinds = []
    while at < header_bytes:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        size = _INT_BYTES.get(kind, (kind - 12) // 2 if kind >= 12 else 0)
        part = payload[at : at + size]
        at += size
        if len(part) < size or kind in (7, 10, 11):
            raise _NoRowError
        if kind >= 12:
            values.append(part.decode() if kind % 2 else bytes(part))
        elif kind == 0:
            values.append(None)
        else:
            values.append(kind - 8 if kind >= 8 else int.from_bytes(part, signed=True))
    return tuple(values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return SQLite's big-endian varint at `at`, and where it ends."""
    number = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at
    return number << 8 | data[at], at + 1
