"""The archive on a real disk: order, rotation, power cuts, damage, a full disk, one writer."""

import contextlib
import errno
import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch_core.errors import MalformedError
from linewatch_core.ids import ProbeId
from linewatch_server.archive.reader import (
    Archive,
    ArchiveDamagedError,
    ArchiveError,
    ArchiveFullError,
    ArchiveLockedError,
)
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.model.entries import (
    HEADER_BYTES,
    PACK_MAGIC,
    ArchiveEntry,
    Enrolment,
    EntryKind,
    Keys,
    Location,
    Quarantined,
    encode_entry,
    parse_enrolment,
    parse_entry,
    parse_keys,
    parse_quarantined,
)

PROBE = ProbeId("abcdefghijklmnop")
SEGMENT = EntryKind.SEGMENT


def fill(writer: ArchiveWriter, count: int, *, size: int = 100) -> list[Location]:
    """Append `count` numbered entries and sync."""
    found = []
    for number in range(count):
        payload = number.to_bytes(4, "big") + bytes(size - 4)
        found.append(writer.append(SEGMENT, payload, 1000 + number))
    writer.sync()
    return found


def numbers(archive: Archive, after: Location | None = None) -> list[int]:
    """Return the numbers that `fill` put into the entries, as they are replayed."""
    return [int.from_bytes(e.payload[:4], "big") for _, e in archive.entries(after)]


def test_entries_come_back_in_order_and_by_location(tmp_path: Path) -> None:
    """What was appended is replayed, read singly, and continued after any location."""
    with ArchiveWriter(tmp_path) as writer:
        places = fill(writer, 5)
        entries = list(writer.entries())
    assert [place for place, _ in entries] == places == sorted(places)
    reader = Archive(tmp_path)
    assert reader.read(places[3]) == ArchiveEntry(SEGMENT, 1003, b"\0\0\0\3" + bytes(96))
    assert numbers(reader) == [0, 1, 2, 3, 4]
    assert numbers(reader, places[2]) == [3, 4]
    assert numbers(reader, places[4]) == []


def test_a_new_archive_is_empty_and_private(tmp_path: Path) -> None:
    """Before the first entry there is nothing to replay, and only the owner may look."""
    with ArchiveWriter(tmp_path) as writer:
        assert list(writer.entries()) == []
        fill(writer, 1)
    assert stat.S_IMODE((tmp_path / "archive").stat().st_mode) == 0o700
    assert stat.S_IMODE(writer.pack_path(1).stat().st_mode) == 0o600
    assert list(Archive(tmp_path / "nowhere").entries()) == []


def test_packs_rotate_and_closed_ones_are_frozen_with_a_checksum(tmp_path: Path) -> None:
    """A pack never grows past its bound; closed packs are read-only and checkable."""
    with ArchiveWriter(tmp_path, pack_bytes_max=1000) as writer:
        places = fill(writer, 20)
        assert len(writer.packs()) == 4
        assert writer.verify_closed_packs() == 3
    for pack in (1, 2, 3):
        path = writer.pack_path(pack)
        assert path.stat().st_size <= 1000
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
        digest, name = writer.checksum_path(pack).read_text().split()
        assert (digest, name) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.name)
    assert not writer.checksum_path(4).exists()
    assert numbers(Archive(tmp_path)) == list(range(20))
    assert numbers(Archive(tmp_path), places[7]) == list(range(8, 20))


def test_a_reopened_archive_continues_its_last_pack(tmp_path: Path) -> None:
    """Closing and opening loses nothing and keeps the running checksum right."""
    for _ in range(4):
        with ArchiveWriter(tmp_path, pack_bytes_max=1500) as writer:
            fill(writer, 5)
    assert numbers(Archive(tmp_path)) == [0, 1, 2, 3, 4] * 4
    assert Archive(tmp_path).verify_closed_packs() == len(writer.packs()) - 1 > 0


def test_a_crash_between_closing_and_the_next_pack_is_continued(tmp_path: Path) -> None:
    """A last pack that has its checksum is closed, whatever its mode; a new one follows it."""
    with ArchiveWriter(tmp_path, pack_bytes_max=1000) as writer:
        fill(writer, 8)
        writer.pack_path(2).unlink()
        writer.pack_path(1).chmod(0o600)
    with ArchiveWriter(tmp_path, pack_bytes_max=1000) as writer:
        assert fill(writer, 1)[0].pack == 2
    assert stat.S_IMODE(writer.pack_path(1).stat().st_mode) == 0o444


@pytest.mark.parametrize("lost", range(1, HEADER_BYTES + 100))
def test_a_torn_tail_is_moved_aside_wherever_it_tore(tmp_path: Path, lost: int) -> None:
    """After a power cut the whole entries stay, the rest is kept in a file of its own."""
    with ArchiveWriter(tmp_path) as writer:
        places = fill(writer, 3)
    path = writer.pack_path(1)
    data = path.read_bytes()
    path.write_bytes(data[:-lost])
    assert numbers(Archive(tmp_path)) == [0, 1]
    with ArchiveWriter(tmp_path) as writer:
        if lost < HEADER_BYTES + 100:
            assert [p.read_bytes() for p in writer.torn] == [data[places[2].offset : -lost]]
        assert fill(writer, 1) == [places[2]]
    assert numbers(Archive(tmp_path)) == [0, 1, 0]


def test_a_tail_of_zeros_is_torn_too(tmp_path: Path) -> None:
    """File systems extend a file before its data arrives: zeros after the last entry."""
    with ArchiveWriter(tmp_path) as writer:
        fill(writer, 2)
    with writer.pack_path(1).open("ab") as file:
        file.write(bytes(5000))
    with ArchiveWriter(tmp_path) as writer:
        assert [p.stat().st_size for p in writer.torn] == [5000]
        assert numbers(writer) == [0, 1]


@pytest.mark.parametrize("size", range(len(PACK_MAGIC) + 1))
def test_a_pack_torn_at_its_birth_is_used_again(tmp_path: Path, size: int) -> None:
    """A first pack that holds less than its own magic is begun anew."""
    with ArchiveWriter(tmp_path) as writer:
        fill(writer, 1)
    os.truncate(writer.pack_path(1), size)
    with ArchiveWriter(tmp_path) as writer:
        assert fill(writer, 2) == [Location(1, 8), Location(1, 8 + HEADER_BYTES + 100)]
    assert numbers(Archive(tmp_path)) == [0, 1]


def test_damage_before_the_tail_is_told_and_nothing_is_cut(tmp_path: Path) -> None:
    """A flipped bit with intact entries after it is damage: pack and offset are named."""
    with ArchiveWriter(tmp_path) as writer:
        places = fill(writer, 3)
    path = writer.pack_path(1)
    data = bytearray(path.read_bytes())
    data[places[1].offset + HEADER_BYTES + 7] ^= 1
    path.write_bytes(data)
    told = rf"pack-00000001\.lwa at offset {places[1].offset}"
    with pytest.raises(ArchiveDamagedError, match=told):
        ArchiveWriter(tmp_path)
    with pytest.raises(ArchiveDamagedError, match=told):
        numbers(Archive(tmp_path))
    with pytest.raises(ArchiveDamagedError, match=told):
        Archive(tmp_path).read(places[1])
    assert path.read_bytes() == data


def test_damage_in_a_closed_pack_is_never_taken_for_a_torn_tail(tmp_path: Path) -> None:
    """A closed pack that ends early is damage; so is one that differs from its checksum."""
    with ArchiveWriter(tmp_path, pack_bytes_max=1000) as writer:
        fill(writer, 12)
    path = writer.pack_path(1)
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(ArchiveDamagedError, match="pack-00000001"):
        numbers(Archive(tmp_path))
    with pytest.raises(ArchiveDamagedError, match="differs from its checksum"):
        Archive(tmp_path).verify_closed_packs()


def test_a_missing_pack_or_checksum_is_told(tmp_path: Path) -> None:
    """A hole in the numbers of the packs stops the server rather than passing for less data."""
    with ArchiveWriter(tmp_path, pack_bytes_max=1000) as writer:
        fill(writer, 20)
    writer.checksum_path(2).unlink()
    with pytest.raises(ArchiveDamagedError, match="checksum"):
        ArchiveWriter(tmp_path)
    writer.pack_path(2).unlink()
    with pytest.raises(ArchiveDamagedError, match=r"pack-00000002\.lwa is missing"):
        ArchiveWriter(tmp_path)


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    """While one process writes, another gets one clear line; afterwards it may."""
    with ArchiveWriter(tmp_path), pytest.raises(ArchiveLockedError, match="stop linewatch-server"):
        ArchiveWriter(tmp_path)
    ArchiveWriter(tmp_path).close()


def test_a_closed_writer_stores_nothing(tmp_path: Path) -> None:
    """After close, an append is an error and not a lost entry."""
    writer = ArchiveWriter(tmp_path)
    writer.close()
    with pytest.raises(ArchiveError, match="closed"):
        writer.append(SEGMENT, b"x", 1)


def test_a_failed_fsync_poisons_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an I/O error nobody knows what is on the disk, so nothing more is accepted."""
    writer = ArchiveWriter(tmp_path)
    writer.append(SEGMENT, b"x", 1)

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(ArchiveError, match="check the disk"):
            writer.sync()
    with pytest.raises(ArchiveError):
        writer.sync()
    writer.close()


def test_no_room_found_at_the_sync_takes_the_batch_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that finds out late leaves the archive as it was at the last sync."""
    with ArchiveWriter(tmp_path) as writer:
        fill(writer, 2)
        writer.append(SEGMENT, b"too late", 1)

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(ArchiveFullError):
                writer.sync()
        assert numbers(writer) == [0, 1]
        fill(writer, 1)
    assert numbers(Archive(tmp_path)) == [0, 1, 0]


SHORT_WRITE = """
import resource, signal, sys
from pathlib import Path
from linewatch_server.archive.reader import ArchiveFullError
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.model.entries import EntryKind

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = ArchiveWriter(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    while True:
        writer.append(EntryKind.SEGMENT, bytes(7001), 1)
except ArchiveFullError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
writer.append(EntryKind.SEGMENT, b"there is room again", 2)
writer.close()
"""


def test_a_file_that_may_not_grow_leaves_no_partial_entry(tmp_path: Path) -> None:
    """A real short write by the kernel is taken back, and the archive goes on afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", SHORT_WRITE, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("cannot store: no space left in ")
    entries = [entry.payload for _, entry in Archive(tmp_path).entries()]
    assert entries == [bytes(7001)] * 14 + [b"there is room again"]


FULL_DISK = """
import subprocess, sys
from pathlib import Path
from linewatch_server.archive.reader import Archive, ArchiveFullError
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.model.entries import EntryKind

where = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", where], check=True)
(where / "ballast").write_bytes(bytes(100_000))
stored = refused = 0
with ArchiveWriter(where) as writer:
    while refused < 3:
        try:
            writer.append(EntryKind.SEGMENT, stored.to_bytes(4, "big") + bytes(3000), 1)
            stored += 1
        except ArchiveFullError as error:
            refused += 1
            told = str(error)
    writer.sync()
    assert len(list(Archive(where).entries())) == stored, "a partial entry was left"
    (where / "ballast").unlink()
    writer.append(EntryKind.SEGMENT, stored.to_bytes(4, "big"), 1)
entries = [int.from_bytes(entry.payload[:4], "big") for _, entry in Archive(where).entries()]
assert entries == list(range(stored + 1)), entries
assert stored > 20, stored
print(told)
"""


def test_a_full_disk_is_told_and_the_archive_stays_whole(tmp_path: Path) -> None:
    """On a disk that is really full (its own mount namespace), appends fail until there is room."""
    as_user = [] if os.geteuid() == 0 else ["--map-root-user"]
    done = subprocess.run(
        ["unshare", "--mount", *as_user, sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("cannot store: no space left in ")
    assert done.stdout.strip().endswith("free some or move it")


ENDLESS = """
import sys
from pathlib import Path
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.model.entries import EntryKind

number = 0
with ArchiveWriter(Path(sys.argv[1]), pack_bytes_max=4000) as writer:
    while True:
        for _ in range(7):
            writer.append(EntryKind.SEGMENT, number.to_bytes(4, "big") + bytes(900), 1)
            number += 1
        writer.sync()
        print(number, flush=True)
"""


def test_what_was_synced_survives_kill_9(tmp_path: Path) -> None:
    """Killed at any moment, everything that was synced is replayed, and writing goes on."""
    kept = 0
    for lines in (1, 5, 12):
        child = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child, child.stdout:
            synced = [int(child.stdout.readline()) for _ in range(lines)][-1]
            child.kill()
        found = numbers(Archive(tmp_path))[kept:]
        assert found == list(range(len(found)))
        assert len(found) >= synced
        kept += len(found)
        Archive(tmp_path).verify_closed_packs()


def test_payloads_of_each_kind_round_trip() -> None:
    """Keys, enrolments and quarantined bytes come back as they went in."""
    keys = Keys(PROBE, b"\0certificates")
    assert parse_keys(keys.encode()) == keys
    enrolment = Enrolment(PROBE, bytes(range(32)))
    assert parse_enrolment(enrolment.encode()) == enrolment
    refused = Quarantined(PROBE, "cannot read a segment: no magic", b"\xff\0")
    assert parse_quarantined(refused.encode()) == refused


@given(st.binary(max_size=300))
def test_any_bytes_give_a_value_or_malformed(data: bytes) -> None:
    """Parsers of entries raise nothing but MalformedError."""
    for parse in (parse_entry, parse_keys, parse_enrolment, parse_quarantined):
        with contextlib.suppress(MalformedError):
            parse(data)


@given(st.data())
def test_any_flipped_bit_of_an_entry_is_told(data: st.DataObject) -> None:
    """Kind, arrival, length and payload are all under the entry's SHA-256."""
    raw = bytearray(encode_entry(ArchiveEntry(SEGMENT, 1_800_000_000_000, b"signed bytes")))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(MalformedError):
        parse_entry(bytes(raw))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=400), min_size=1, max_size=20), st.data())
def test_a_cut_at_any_byte_keeps_every_whole_entry(
    payloads: list[bytes], data: st.DataObject
) -> None:
    """Wherever power fails, what was complete is replayed, in order."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with ArchiveWriter(directory) as writer:
            places = [writer.append(SEGMENT, payload, 1) for payload in payloads]
        path = writer.pack_path(1)
        cut = data.draw(st.integers(0, path.stat().st_size))
        os.truncate(path, cut)
        whole = [
            payload
            for place, payload in zip(places, payloads, strict=True)
            if place.offset + HEADER_BYTES + len(payload) <= cut
        ]
        with ArchiveWriter(directory) as writer:
            assert [entry.payload for _, entry in writer.entries()] == whole
