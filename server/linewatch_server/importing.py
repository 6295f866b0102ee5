"""Takes parcels that a stick has brought: through the same ingest as what probes send.

So each segment is verified, stored once however it came, and acknowledged at the
probe's next connection. Key certificates of all files go first, as the segments of
one may be signed with a key that another introduces. Source: docs/wire-format.md.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from linewatch_core.errors import LinewatchError, MalformedError
from linewatch_core.ids import ProbeId
from linewatch_core.segment.keychain import KeyCertificate, parse_certificates
from linewatch_core.segment.parcel import PARCEL_BYTES_MAX, Parcel, read_parcel
from linewatch_core.segment.segment import parse_segment
from linewatch_core.segment.signing import key_id
from linewatch_core.sync import topics
from linewatch_core.sync.ingestor import Decision
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.clock import ServerClock
from linewatch_server.fleet.keys import recipient_secrets
from linewatch_server.fleet.registry import Registry
from linewatch_server.ingest import Ingest, Message, Refusal
from linewatch_server.rebuild import open_index
from linewatch_server.settings import Layout, load_settings

BATCH = 256
"""Segments that are made durable at once."""


class ImportFolderError(LinewatchError):
    """The folder has nothing to import; the message says what to do."""


@dataclass(slots=True)
class Imported:
    """What became of the files.

    Attributes:
        files: how many were read.
        damaged: those that are damaged, and how; what is whole in them was taken.
        unreadable: items that are neither segments nor key certificates.
    """

    files: int = 0
    damaged: list[str] = field(default_factory=list)
    unreadable: int = 0
    decided: Counter[Decision] = field(default_factory=Counter)
    refused: Counter[Refusal] = field(default_factory=Counter)


def import_parcels(directory: Path, folder: Path) -> Imported:
    """Store what the parcels of `folder` hold and the server on `directory` lacks.

    A run that is cut short leaves what it stored; the next one stores the rest.

    Raises:
        ImportFolderError: there is no parcel, or the folder can't be read.
        ArchiveLockedError: a server is running on `directory`.
        NoRoomError: the disk is full.
    """
    settings = load_settings(directory)
    layout = Layout(directory)
    clock = ServerClock(settings.clock.error_ms)
    done = Imported()
    paths = _paths(folder)
    registry = Registry(layout.registry)

    def root_key(probe: ProbeId) -> bytes | None:
        found = registry.probe(probe)
        return None if found is None or found.revoked_at is not None else found.signing_key

    with ArchiveWriter(directory) as archive:
        index, _ = open_index(directory, archive, recipient_secrets=recipient_secrets(layout))
        with closing(index):
            ingest = Ingest(archive, index, root_key=root_key)

            def is_new(one: KeyCertificate) -> bool:
                return index.signing_key(one.probe, key_id(one.new_public)) is None

            messages = _messages(paths, clock.utc_ms(), done, is_new)
            while batch := list(islice(messages, BATCH)):
                ingest.take(batch, 0.0)
            done.decided, done.refused = ingest.counts.decided, ingest.counts.refused
    return done


def _paths(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.parcel"))
    if not paths:
        raise ImportFolderError(
            f"cannot import from {folder}: no file *.parcel is there; "
            "name the folder that was given to `linewatch-agent export`"
        )
    return paths


def _messages(
    paths: list[Path], now_ms: int, done: Imported, is_new: Callable[[KeyCertificate], bool]
) -> Iterator[Message]:
    """Yield what the probes would have sent: the keys that are not known, then all segments."""
    for path in paths:
        parcel = _read(path)
        done.files += 1
        if parcel.damage is not None:
            done.damaged.append(f"{path.name}: {parcel.damage}")
        for item in parcel.items:
            certificates = _certificates(item)
            if any(map(is_new, certificates)):
                yield Message(topics.keys(certificates[0].probe), item, now_ms)
    for path in paths:
        for item in _read(path).items:
            message = _segment_message(item, now_ms)
            if message is not None:
                yield message
            elif not _certificates(item):
                done.unreadable += 1


def _segment_message(item: bytes, now_ms: int) -> Message | None:
    try:
        header = parse_segment(item).header
    except MalformedError:
        return None
    return Message(topics.segments(header.probe, header.stream), item, now_ms)


def _certificates(item: bytes) -> list[KeyCertificate]:
    try:
        return parse_certificates(item)
    except MalformedError:
        return []


def _read(path: Path) -> Parcel:
    try:
        with path.open("rb") as file:
            return read_parcel(file.read(PARCEL_BYTES_MAX + 1))
    except OSError as error:
        return Parcel((), error.strerror or "it can't be read")
