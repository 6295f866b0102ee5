"""Writes parcels to a folder, such as that of a USB stick that may be pulled out at any time.

A file is there whole or not at all: written beside, synced, renamed. Its name is
the hash of what is in it. What whole parcels of the folder hold already is not
written again, so a run after one that was cut short only adds what is missing.
"""

import hashlib
from collections import defaultdict
from pathlib import Path

from linewatch_agent.durable import write_whole
from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.ids import Epoch, ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.segment.parcel import encode_parcel, read_parcel
from linewatch_core.segment.segment import parse_segment

SUFFIX = ".parcel"
UNFINISHED = ".part"
SHARED = 0o644
"""Sealed and signed: whoever carries the stick may copy it."""
PARCEL_BYTES = 1024 * 1024
"""A parcel is closed at this size: so much at most is written again after a pull."""


class CarryError(LinewatchError):
    """The folder does not take parcels; the message says what to do."""


class ParcelFolder:
    """Parcels of one probe in one folder."""

    def __init__(self, folder: Path, probe: ProbeId) -> None:
        """Look at what is there.

        Raises:
            CarryError: the folder can't be read.
        """
        self._folder = folder
        self._probe = probe
        self._items: list[bytes] = []
        self._bytes = 0
        self._other: set[bytes] = set()
        self.have: dict[tuple[Epoch, Stream], SeqSet] = defaultdict(SeqSet)
        self.written = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in folder.glob(f"*{UNFINISHED}"):
                path.unlink()
            for path in sorted(folder.glob(f"*{SUFFIX}")):
                parcel = read_parcel(path.read_bytes())
                if parcel.damage is None:
                    for item in parcel.items:
                        self._note(item)
        except OSError as error:
            raise _carry_error(folder, error) from error

    def add(self, item: bytes) -> bool:
        """Take a segment or a message of key certificates, unless it is there; say which.

        Raises:
            CarryError: the folder can't be written.
        """
        if not self._note(item):
            return False
        self._items.append(item)
        self._bytes += len(item)
        if self._bytes >= PARCEL_BYTES:
            self.flush()
        return True

    def flush(self) -> None:
        """Write what was taken and is in no parcel yet.

        Raises:
            CarryError: the folder can't be written.
        """
        if not self._items:
            return
        data = encode_parcel(self._items)
        name = f"linewatch-{hashlib.sha256(data).hexdigest()[:16]}{SUFFIX}"
        try:
            write_whole(self._folder / name, data, suffix=UNFINISHED, mode=SHARED)
        except OSError as error:
            raise _carry_error(self._folder, error) from error
        self.written += 1
        self._items, self._bytes = [], 0

    def _note(self, item: bytes) -> bool:
        """Remember that an item is here; return whether it was not before."""
        try:
            header = parse_segment(item).header
        except MalformedError:
            is_new = item not in self._other
            self._other.add(item)
            return is_new
        if header.probe != self._probe:
            return False
        seqs = self.have[header.epoch, header.stream]
        is_new = not seqs.covers(header.first_seq, header.last_seq)
        seqs.add(header.first_seq, header.last_seq)
        return is_new


def _carry_error(folder: Path, error: OSError) -> CarryError:
    return CarryError(
        f"cannot export to {folder}: {error.strerror}; what was written before is whole, "
        "so run the same again once there is a folder with room"
    )
