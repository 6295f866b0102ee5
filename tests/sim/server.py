"""The server's side: the real ingest on a real archive and index, and what it has at the end."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linewatch_core.ids import Epoch, ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Gap, Stream
from linewatch_core.segment.segment import open_segment, parse_segment
from linewatch_core.sync.ingestor import SayAck
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.opening import Opener
from linewatch_server.index.writer import Index
from linewatch_server.ingest import Ingest, Message
from linewatch_server.model.entries import EntryKind
from tests.support.segments import recipient_secret


@dataclass(slots=True)
class Contents:
    """How often each record is stored, and which the probe says it gave up, per stream."""

    times: dict[Stream, Counter[int]] = field(
        default_factory=lambda: {s: Counter() for s in Stream}
    )
    gaps: dict[Stream, SeqSet] = field(default_factory=lambda: {s: SeqSet() for s in Stream})


@dataclass(slots=True)
class Server:
    """An ingest without a recipient's key: it stores and acknowledges, and opens nothing."""

    folder: Path
    live: dict[ProbeId, bytes] = field(default_factory=dict)
    archive: ArchiveWriter = field(init=False)
    index: Index = field(init=False)
    ingest: Ingest = field(init=False)

    def __post_init__(self) -> None:
        """Open archive and index."""
        self.folder.mkdir()
        self._open()

    def save(self) -> None:
        """Make the copy that `restore` goes back to."""
        self.close()
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.folder, self._copy)
        self._open()

    def restore(self) -> None:
        """Forget all that came since the copy was made."""
        self.close()
        shutil.rmtree(self.folder)
        shutil.copytree(self._copy, self.folder)
        self._open()

    @property
    def _copy(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}-copy")

    def _open(self) -> None:
        self.archive = ArchiveWriter(self.folder)
        self.index = Index(self.folder, self.archive, Opener())
        self.ingest = Ingest(self.archive, self.index, root_key=self.live.get)

    def take(self, messages: Sequence[Message], now_s: float) -> list[SayAck]:
        """Store a batch and return the acks that are due."""
        return [ack for _, ack in self.ingest.take(messages, now_s)]

    def tick(self, now_s: float) -> list[SayAck]:
        """Return the acks that are due by now."""
        return [ack for _, ack in self.ingest.tick(now_s)]

    def covered(self, probe: ProbeId, epoch: Epoch, stream: Stream) -> SeqSet:
        """Return the numbers of the records that are stored."""
        return self.index.coverage(probe, epoch, stream)

    def opened(self) -> Contents:
        """Return what is in the archive, by opening every segment of it."""
        found = Contents()
        for _, entry in self.archive.entries():
            if entry.kind is EntryKind.SEGMENT:
                segment = parse_segment(entry.payload)
                records = open_segment(segment, recipient_secret("fleet"))
                stream = segment.header.stream
                found.times[stream].update(record.seq for record in records)
                for record in records:
                    gap = record.body
                    if isinstance(gap, Gap) and gap.stream and gap.first_seq and gap.last_seq:
                        found.gaps[gap.stream].add(gap.first_seq, gap.last_seq)
        return found

    def close(self) -> None:
        """Close archive and index."""
        self.index.close()
        self.archive.close()
