"""Probes for tests of the server: real segments of records that the test writes.

`ProbeWriter` numbers records per stream, closes them as signed and sealed
segments under chained headers, and rotates its signing key; nothing is random.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linewatch_core.ids import BootId, Epoch, ProbeId, probe_id_from_random
from linewatch_core.records import Body, Check, Record, Roll, Sample, Stream, stream_of
from linewatch_core.segment.chain import CHAIN_START, ChainHead, head_after
from linewatch_core.segment.codec import mono_range_ms
from linewatch_core.segment.keychain import certify_key, encode_certificates
from linewatch_core.segment.sealing import BlockSealer, FrameContext
from linewatch_core.segment.segment import build_segment, parse_segment
from linewatch_core.segment.signing import SigningKey
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.model.entries import ArchiveEntry, Enrolment, EntryKind, Keys, Location
from tests.support.segments import block_key, derived_bytes, signing_key

PERIOD_MS = 30_000


def boot_id(label: str) -> BootId:
    """Return the id of the boot of that label."""
    return BootId(derived_bytes(f"boot {label}", 16).hex())


@dataclass(slots=True)
class ProbeWriter:
    """One store of one probe; the same labels give the same bytes."""

    label: str = "one"
    store: str = "card"
    recipients: Sequence[str] = ("fleet",)
    key: SigningKey = field(init=False)
    _heads: dict[Stream, ChainHead] = field(default_factory=dict)
    _rotations: int = 0

    def __post_init__(self) -> None:
        self.key = signing_key(f"{self.label} {self.store} 0")

    @property
    def probe(self) -> ProbeId:
        """The probe's id."""
        return probe_id_from_random(derived_bytes(f"probe {self.label}", 10))

    @property
    def epoch(self) -> Epoch:
        """The store's id."""
        return Epoch(derived_bytes(f"epoch {self.label} {self.store}", 8).hex())

    def next_seq(self, stream: Stream) -> int:
        """Return the number that the stream's next record gets."""
        return self._heads.get(stream, CHAIN_START).next_seq

    def close(self, boot: BootId, bodies: Sequence[Body]) -> bytes:
        """Return the next segment: bodies of one stream, one boot, at least one."""
        stream = stream_of(bodies[0])
        head = self._heads.get(stream, CHAIN_START)
        records = [Record(head.next_seq + at, body) for at, body in enumerate(bodies)]
        own_key = block_key(f"{self.label} {self.store} {stream} {head}", self.recipients)
        sealer = BlockSealer(own_key, FrameContext(self.probe, self.epoch, stream, boot))
        first_ms, last_ms = mono_range_ms(records)
        raw = build_segment(
            FrameContext(self.probe, self.epoch, stream, boot),
            sealer.wraps,
            [sealer.seal(records)],
            head=head,
            mono_first_ms=first_ms,
            mono_last_ms=last_ms,
            key=self.key,
        )
        self._heads[stream] = head_after(parse_segment(raw).header)
        return raw

    def rotate_key(self) -> Keys:
        """Take a new signing key; return the message that certifies it."""
        self._rotations += 1
        new = signing_key(f"{self.label} {self.store} {self._rotations}")
        certificate = certify_key(self.probe, self.key, new.public, position=self._rotations)
        self.key = new
        return Keys(self.probe, encode_certificates([certificate]))

    def enrolment(self) -> Enrolment:
        """Return the enrolment of the key that it has now (call before any rotation)."""
        return Enrolment(self.probe, self.key.public)


Item = bytes | Keys | Enrolment


def store(
    archive: ArchiveWriter, *items: Item, at_ms: int = 1
) -> list[tuple[Location, ArchiveEntry]]:
    """Archive segments, keys and enrolments as they would arrive; return what to apply."""
    entries = []
    for item in items:
        match item:
            case bytes():
                entry = ArchiveEntry(EntryKind.SEGMENT, at_ms, item)
            case Keys():
                entry = ArchiveEntry(EntryKind.KEYS, at_ms, item.encode())
            case Enrolment():
                entry = ArchiveEntry(EntryKind.ENROLMENT, at_ms, item.encode())
        entries.append((archive.append(entry.kind, entry.payload, at_ms), entry))
    archive.sync()
    return entries


def archive_of(directory: Path, *items: Item) -> None:
    """Make an archive in a directory that holds the items, and close it."""
    with ArchiveWriter(directory) as archive:
        store(archive, *items)


def sample(mono_ms: int, **fields: object) -> Sample:
    """Return a sample of line `fixed-1`, target `bank`: answered in 10 ms unless told otherwise."""
    values: dict[str, object] = {
        "slot_ms": mono_ms - mono_ms % 10,
        "round_ms": mono_ms - mono_ms % PERIOD_MS,
        "line": "fixed-1",
        "target": "bank",
        "check": Check.TCP,
        "family": 4,
        "rtt_us": 10_000,
    } | fields
    if values.get("failure") is not None:
        values["rtt_us"] = None
    return Sample(mono_ms, **values)  # type: ignore[arg-type]


def roll(window: int, **fields: object) -> Roll:
    """Return a probe's own roll record of ten answered checks, unless told otherwise."""
    values: dict[str, object] = {
        "line": "fixed-1",
        "target": "bank",
        "check": Check.TCP,
        "sent": 10,
        "answered": 10,
        "failures": {},
        "rtt_min_us": 9_000,
        "rtt_median_us": 11_000,
        "rtt_p95_us": 30_000,
    } | fields
    return Roll((window + 1) * 300_000, window, **values)  # type: ignore[arg-type]
