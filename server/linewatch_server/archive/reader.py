"""The archive: everything that arrived, exactly as it came, in append-only packs.

This half reads DIR/archive/; writer.py appends. Knows no index and
opens no segment. Invariant: what was appended and synced never changes; what
cannot be read is told with its pack and offset. Any number of readers may run
beside the one writer. Source: docs/decisions/0006-archive-packs.md.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_server.model.entries import (
    HEADER_BYTES,
    PACK_MAGIC,
    ArchiveEntry,
    Location,
    find_entry,
    parse_entry,
    parse_entry_header,
)


class ArchiveError(LinewatchError):
    """The archive cannot be used as it is."""


class ArchiveFullError(ArchiveError):
    """There is no room for what was to be appended; nothing of it was kept."""


class ArchiveDamagedError(ArchiveError):
    """Bytes that were stored are no longer what they were."""


class ArchiveLockedError(ArchiveError):
    """Another process is writing this archive."""


class Archive:
    """Reads an archive; any number may, beside the one writer."""

    def __init__(self, directory: Path) -> None:
        """Take the server's directory DIR; the packs are in DIR/archive."""
        self.directory = directory / "archive"

    def entries(self, after: Location | None = None) -> Iterator[tuple[Location, ArchiveEntry]]:
        """Yield all entries in the order they were appended, from the one after `after`.

        An entry that is being appended at this moment is not seen.

        Raises:
            ArchiveDamagedError: an entry does not read as it was written.
        """
        packs = self.packs()
        for pack in packs:
            if after is not None and pack < after.pack:
                continue
            start = len(PACK_MAGIC)
            if after is not None and pack == after.pack:
                start = after.offset + HEADER_BYTES + len(self.read(after).payload)
            yield from self.entries_of(pack, start, is_last=pack == packs[-1])

    def read(self, location: Location) -> ArchiveEntry:
        """Return the entry at a location.

        Raises:
            ArchiveDamagedError: no intact entry is there.
        """
        try:
            with self.pack_path(location.pack).open("rb") as file:
                file.seek(location.offset)
                head = file.read(HEADER_BYTES)
                return parse_entry(head + file.read(parse_entry_header(head).payload_bytes))
        except (MalformedError, FileNotFoundError) as error:
            raise self.damaged(location.pack, location.offset, error) from None

    def packs(self) -> list[int]:
        """Return the numbers of all packs, ascending.

        Raises:
            ArchiveDamagedError: a pack is missing between others.
        """
        found = sorted(int(path.stem.removeprefix("pack-")) for path in self._pack_files())
        for expected, number in enumerate(found, start=1):
            if number != expected:
                name = self.pack_path(expected).name
                raise ArchiveDamagedError(
                    f"cannot read the archive: {name} is missing; restore it from a backup"
                )
        return found

    def pack_path(self, pack: int) -> Path:
        """Return a pack's path."""
        return self.directory / f"pack-{pack:08d}.lwa"

    def checksum_path(self, pack: int) -> Path:
        """Return the path of a closed pack's checksum (the form of `sha256sum`)."""
        return self.directory / f"pack-{pack:08d}.lwa.sha256"

    def verify_closed_packs(self) -> int:
        """Compare every closed pack with its checksum; return how many there are.

        Raises:
            ArchiveDamagedError: one differs, or lacks its checksum.
        """
        closed = self.packs()[:-1]
        for pack in closed:
            with self.pack_path(pack).open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            checksum = self.checksum_path(pack)
            if not checksum.exists() or checksum.read_text().split()[:1] != [actual]:
                raise ArchiveDamagedError(
                    f"cannot trust {self.pack_path(pack).name}: it differs from its checksum; "
                    "restore it from a backup"
                )
        return len(closed)

    def _pack_files(self) -> Iterator[Path]:
        return self.directory.glob("pack-" + "[0-9]" * 8 + ".lwa")

    def entries_of(
        self, pack: int, start: int, *, is_last: bool
    ) -> Iterator[tuple[Location, ArchiveEntry]]:
        """Yield a pack's entries from an offset; a torn tail of the last pack ends them."""
        with self.pack_path(pack).open("rb") as file:
            if file.read(len(PACK_MAGIC)) != PACK_MAGIC:
                if is_last and not file.read(1):
                    return
                raise self.damaged(pack, 0, "this is no pack of Linewatch")
            file.seek(start)
            offset = start
            while head := file.read(HEADER_BYTES):
                try:
                    entry = parse_entry(head + file.read(parse_entry_header(head).payload_bytes))
                except MalformedError as error:
                    file.seek(offset)
                    if is_last and find_entry(file.read(), 1) is None:
                        return
                    raise self.damaged(pack, offset, error) from None
                yield Location(pack, offset), entry
                offset += HEADER_BYTES + len(entry.payload)

    def damaged(self, pack: int, offset: int, reason: object) -> ArchiveDamagedError:
        """Return the error that tells of damage at an offset of a pack."""
        return ArchiveDamagedError(
            f"cannot read {self.pack_path(pack).name} at offset {offset}: {reason}; "
            "restore this pack from a backup"
        )
