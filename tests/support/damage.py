"""Ways in which a store's SQLite files are found damaged: by rot, by a torn write, by hand.

Each takes the path of a store's main file that nobody has open. They are told apart by
what they hit, since SQLite and we notice each of them at another place, or never.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from linewatch_agent.store.database import PAGE_BYTES, STORE_FILE

DAMAGES: dict[str, Callable[[Path], None]] = {}
"""By name; the name says what happened."""

_Damage = Callable[[Path], None]


def _damage(function: _Damage) -> _Damage:
    DAMAGES[function.__name__] = function
    return function


def _write(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _pages(path: Path) -> int:
    return path.stat().st_size // PAGE_BYTES


def _wal(path: Path) -> Path:
    return path.with_name(f"{STORE_FILE}-wal")


def _noise(count: int) -> bytes:
    return random.Random(count).randbytes(count)


@contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@_damage
def file_truncated_in_a_page(path: Path) -> None:
    """Lose the second half, and a part of a page."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


@_damage
def file_truncated_between_pages(path: Path) -> None:
    """Lose the last third, in whole pages."""
    with path.open("r+b") as file:
        file.truncate(_pages(path) * 2 // 3 * PAGE_BYTES)


@_damage
def file_emptied(path: Path) -> None:
    """Leave no bytes."""
    path.write_bytes(b"")


@_damage
def file_is_something_else(path: Path) -> None:
    """Put a web page in its place."""
    path.write_bytes(b"<html>captive portal</html>\n" * 500)


@_damage
def file_has_a_tail(path: Path) -> None:
    """Append noise to it."""
    with path.open("ab") as file:
        file.write(_noise(5 * PAGE_BYTES + 7))


@_damage
def header_zeroed(path: Path) -> None:
    """Zero the first 100 bytes."""
    _write(path, 0, bytes(100))


@_damage
def header_s_magic_has_a_flipped_bit(path: Path) -> None:
    """Make it "SQLitd format 3"."""
    _write(path, 5, b"d")


@_damage
def header_s_page_size_wrong(path: Path) -> None:
    """Say that pages have 4096 bytes."""
    _write(path, 16, (4096).to_bytes(2, "big"))


@_damage
def header_s_text_encoding_wrong(path: Path) -> None:
    """Say that text is UTF-16."""
    _write(path, 56, (2).to_bytes(4, "big"))


@_damage
def header_s_schema_number_lost(path: Path) -> None:
    """Set user_version to zero."""
    _write(path, 60, bytes(4))


@_damage
def header_s_free_list_wrong(path: Path) -> None:
    """Point the list of free pages at a page in use."""
    _write(path, 32, (2).to_bytes(4, "big") + (7).to_bytes(4, "big"))


@_damage
def schema_page_zeroed(path: Path) -> None:
    """Zero the first page but its header."""
    _write(path, 100, bytes(PAGE_BYTES - 100))


@_damage
def schema_is_another_one(path: Path) -> None:
    """Put a valid database with another table in its place."""
    path.unlink()
    with _database(path) as db:
        db.execute("CREATE TABLE other (x)")
        db.execute("PRAGMA user_version = 1")


@_damage
def all_but_the_header_noise(path: Path) -> None:
    """Overwrite everything behind the first 100 bytes."""
    _write(path, 100, _noise(path.stat().st_size - 100))


@_damage
def every_third_page_zeroed(path: Path) -> None:
    """Zero pages all over the file, as a dying card does."""
    for page in range(2, _pages(path), 3):
        _write(path, page * PAGE_BYTES, bytes(PAGE_BYTES))


@_damage
def one_bit_in_a_hundred_pages(path: Path) -> None:
    """Flip a bit here and there."""
    draw = random.Random(1)
    data = bytearray(path.read_bytes())
    for _ in range(100):
        data[draw.randrange(PAGE_BYTES, len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(bytes(data))


@_damage
def table_of_segments_dropped(path: Path) -> None:
    """Lose a table."""
    with _database(path) as db:
        db.execute("DROP TABLE segment")


@_damage
def rows_of_streams_lost(path: Path) -> None:
    """Lose where the chains end, while segments are there."""
    with _database(path) as db:
        db.execute("DELETE FROM state WHERE key LIKE 'chain.%'")


@_damage
def epoch_unreadable(path: Path) -> None:
    """Turn the store's id into what is none."""
    with _database(path) as db:
        db.execute("UPDATE meta SET value = 'zz' WHERE key = 'epoch'")


@_damage
def last_word_unreadable(path: Path) -> None:
    """Turn what the last commit said into noise."""
    with _database(path) as db:
        db.execute("UPDATE state SET value = ? WHERE key = 'last'", (_noise(40),))


@_damage
def numbers_of_a_stream_absurd(path: Path) -> None:
    """Make a stream go on at a negative number."""
    with _database(path) as db:
        negative = msgspec.msgpack.encode((-5, 1, bytes(32), 0, ()))
        db.execute("UPDATE state SET value = ? WHERE key LIKE 'chain.%'", (negative,))


@_damage
def headers_of_segments_noise(path: Path) -> None:
    """Overwrite every segment's header."""
    with _database(path) as db:
        db.execute("UPDATE segment SET header = ?", (_noise(200),))


@_damage
def bodies_of_segments_noise(path: Path) -> None:
    """Overwrite every segment's body."""
    with _database(path) as db:
        db.execute("UPDATE segment SET body = ? WHERE body IS NOT NULL", (_noise(500),))


@_damage
def wal_is_noise(path: Path) -> None:
    """Put noise in the place of the WAL."""
    _wal(path).write_bytes(_noise(20_000))


@_damage
def wal_cut_in_a_frame(path: Path) -> None:
    """Lose the second half of the WAL."""
    wal = _wal(path)
    if wal.exists():
        wal.write_bytes(wal.read_bytes()[: wal.stat().st_size // 2 + 11])


@_damage
def wal_of_another_database(path: Path) -> None:
    """Put a WAL there that belongs to something else."""
    other = path.with_name("other.sqlite")
    with _database(other) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE meta (x)")
        db.execute("INSERT INTO meta VALUES (zeroblob(5000))")
        _wal(path).write_bytes(other.with_name("other.sqlite-wal").read_bytes())
    other.unlink()


@_damage
def rollback_journal_found(path: Path) -> None:
    """Leave a journal of another mode beside it, as a tool that was killed does."""
    path.with_name(f"{STORE_FILE}-journal").write_bytes(_noise(3000))
