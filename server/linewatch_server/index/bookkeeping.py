"""SQL of what the index knows of itself: how far it is, what waits, what it does not believe."""

import sqlite3

import msgspec

from linewatch_core.ids import ProbeId
from linewatch_core.segment.header import Header
from linewatch_core.segment.signing import KeyId
from linewatch_server.model.entries import ArchiveEntry, Location, Quarantined


def load_applied(db: sqlite3.Connection) -> tuple[Location, bytes] | None:
    """Return where the last entry applied lies and its digest, or None if there was none."""
    row = db.execute("SELECT value FROM meta WHERE name = 'applied_through'").fetchone()
    if row is None:
        return None
    pack, offset, digest = msgspec.json.decode(row[0], type=tuple[int, int, str])
    return Location(pack, offset), bytes.fromhex(digest)


def save_applied(db: sqlite3.Connection, location: Location, entry: ArchiveEntry) -> None:
    """Remember the last entry applied; in the transaction that applied it."""
    value = msgspec.json.encode((location.pack, location.offset, entry.digest.hex()))
    db.execute("INSERT OR REPLACE INTO meta VALUES ('applied_through', ?)", (value.decode(),))


def wait_for_key(db: sqlite3.Connection, location: Location, probe: ProbeId, signer: KeyId) -> None:
    """Remember a segment whose signing key is not known yet."""
    db.execute(
        "INSERT INTO unverified VALUES (?, ?, ?, ?)",
        (location.pack, location.offset, probe, signer),
    )


def unverified_of(db: sqlite3.Connection, probe: ProbeId) -> list[tuple[Location, KeyId]]:
    """Return the segments of a probe that wait for a key, in the order of the archive."""
    rows = db.execute(
        "SELECT pack, place, key_id FROM unverified WHERE probe = ? ORDER BY pack, place", (probe,)
    )
    return [(Location(pack, place), KeyId(signer)) for pack, place, signer in rows]


def stop_waiting(db: sqlite3.Connection, location: Location) -> None:
    """Forget that a segment waits."""
    db.execute(
        "DELETE FROM unverified WHERE pack = ? AND place = ?", (location.pack, location.offset)
    )


def insert_quarantine(
    db: sqlite3.Connection,
    location: Location,
    arrival_ms: int,
    refused: Quarantined,
    signed: Header | None,
) -> None:
    """List something that is kept but not believed.

    `signed` is its header if it is a segment that its probe signed: its numbers
    then need not be sent again.
    """
    numbers: tuple[object, ...] = (None, None, None, None)
    if signed is not None:
        numbers = (signed.epoch, signed.stream, signed.first_seq, signed.last_seq)
    place = (location.pack, location.offset, arrival_ms)
    db.execute(
        "INSERT INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*place, refused.probe, refused.reason, len(refused.data), *numbers),
    )
