"""The server's side: the real ingest, archive and index on a disk that may fail.

Every ack is checked against what would survive a power cut at that moment,
read from the packs by pack_reader.py.
"""

import contextlib
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from nacl.signing import SigningKey

from linewatch_core.errors import LinewatchError
from linewatch_core.ids import ProbeId
from linewatch_core.intervals import SeqSet
from linewatch_core.sync.ingestor import SayAck
from linewatch_core.sync.messages import Ack, sign_ack
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.writer import Index
from linewatch_server.ingest import Ingest, Message, NoRoomError
from linewatch_server.rebuild import open_index
from tests.chaos.broker import Broker
from tests.chaos.disk import CutError, Disk
from tests.chaos.ledger import Ledger
from tests.chaos.pack_reader import DurableView
from tests.support.segments import PROBE, derived_bytes, recipient_secret

ACK_KEY = SigningKey(derived_bytes("ack key"))
PACK_BYTES_MAX = 24 * 1024
BATCH_MAX = 8
INBOX_MAX = 64


@dataclass(slots=True)
class Server:
    """A collector: it may be down, full, killed, cut off, or restored to a backup."""

    disk: Disk
    broker: Broker
    ledger: Ledger
    rng: random.Random
    root_key: bytes
    backups: Path
    mute: bool = False
    running: bool = False
    inbox: list[Message] = field(default_factory=list)
    kept: int = 0
    durable: DurableView = field(init=False)
    _archive: ArchiveWriter = field(init=False)
    _index: Index = field(init=False)
    _ingest: Ingest = field(init=False)

    def __post_init__(self) -> None:
        self.durable = DurableView(self.disk)

    def start(self) -> bool:
        """Start on what is on the disk; return whether that worked."""
        assert not self.running
        self.inbox.clear()
        with contextlib.ExitStack() as failed:
            try:
                self._archive = ArchiveWriter(self.disk.root, pack_bytes_max=PACK_BYTES_MAX)
                failed.callback(_closed, self._archive)
                self._index, _ = open_index(
                    self.disk.root, self._archive, recipient_secrets=[recipient_secret("fleet")]
                )
            except (LinewatchError, OSError, CutError):
                return False
            failed.pop_all()
        self._ingest = Ingest(self._archive, self._index, root_key=self._root_key)
        self.running = True
        if self.broker.retained is not None:
            self.inbox.append(self.broker.retained)
        return True

    def end(self) -> None:
        """Close what is open, on a disk that may be dead."""
        if self.running:
            self.running = False
            _closed(self._archive)
            self._index.close()

    def step(self, now_s: float) -> None:
        """Store a batch of what came, and say the acks that are due."""
        self.broker.server_is_there = self.running
        arrived = self.broker.for_server(now_s)
        if not self.running:
            return
        self.inbox += arrived
        del self.inbox[INBOX_MAX:]
        batch = self.inbox[:BATCH_MAX]
        try:
            said = self._ingest.take(batch, now_s)
        except NoRoomError:
            return
        del self.inbox[: len(batch)]
        for _, ack in [*said, *self._ingest.tick(now_s)]:
            self._say(ack, now_s)

    def back_up(self) -> None:
        """Copy the archive as a backup does: what is durable, without the index."""
        self.kept += 1
        target = self.backups / str(self.kept) / "archive"
        target.mkdir(parents=True)
        for path in sorted((self.disk.root / "archive").iterdir()):
            if path.is_file():
                (target / path.name).write_bytes(self.disk.durable_bytes(path))

    def restore(self, number: int) -> None:
        """Put a backup in place; the server must be down."""
        assert not self.running
        self.disk.replace_by(self.backups / str(number))
        self.ledger.restores += 1

    def clear_backups(self) -> None:
        """Remove all backups."""
        shutil.rmtree(self.backups, ignore_errors=True)

    def _root_key(self, probe: ProbeId) -> bytes | None:
        return self.root_key if probe == PROBE else None

    def _say(self, said: SayAck, now_s: float) -> None:
        held = self.durable.held()
        for stream, part in said.streams.items():
            chain = (said.epoch, stream)
            numbers = SeqSet([(1, part.through)] if part.through else [])
            for first, last in part.holes:
                numbers.discard(first, last)
            self.ledger.was_said(chain, numbers, held.get(chain, SeqSet()))
        if self.mute:
            return
        message = Ack(
            probe=PROBE,
            epoch=said.epoch,
            conn=said.conn,
            birth=said.birth,
            streams=said.streams,
            server_ms=1_790_000_000_000 + round(now_s * 1000),
            server_error_ms=5,
            key=self._ingest.newest_key(PROBE),
            heads=said.heads,
        )
        self.broker.answer(said.conn, sign_ack(message, ACK_KEY), now_s)


def _closed(archive: ArchiveWriter) -> None:
    with contextlib.suppress(LinewatchError, OSError, CutError):
        archive.close()
