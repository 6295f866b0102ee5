"""Taking what probes send: only what is theirs, stored once, acknowledged never too early."""

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewatch_core.ids import ProbeId
from linewatch_core.records import BootStarted, Stream
from linewatch_core.segment.header import header_sha256
from linewatch_core.segment.keychain import encode_certificates
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync import topics
from linewatch_core.sync.ingestor import ACK_DELAY_S, Decision, SayAck
from linewatch_core.sync.messages import Status, StreamAck, encode_status
from linewatch_server.archive.reader import ArchiveFullError
from linewatch_server.archive.writer import ArchiveWriter
from linewatch_server.index.opening import Opener
from linewatch_server.index.writer import Index
from linewatch_server.ingest import Ingest, Message, NoRoomError, Refusal
from linewatch_server.model.entries import EntryKind
from tests.support.probes import ProbeWriter, boot_id, sample
from tests.support.segments import recipient_secret

BOOT = boot_id("first")
NOW_S = 1_000.0


@dataclass
class Server:
    """An ingest on a real archive and index, that can be closed and opened again."""

    folder: Path
    live: dict[ProbeId, bytes] = field(default_factory=dict)
    archive: ArchiveWriter = field(init=False)
    index: Index = field(init=False)
    ingest: Ingest = field(init=False)
    arrival_ms: int = 1

    def open(self) -> None:
        """Open all, as a start does."""
        self.archive = ArchiveWriter(self.folder)
        self.index = Index(self.folder, self.archive, Opener([recipient_secret("fleet")]))
        self.index.catch_up()
        self.ingest = Ingest(self.archive, self.index, root_key=self.live.get)

    def close(self) -> None:
        """Close all, as a stop or a crash after the last sync does."""
        self.index.close()
        self.archive.close()

    def enrol(self, writer: ProbeWriter) -> ProbeWriter:
        """Let a probe be one of the fleet."""
        self.live[writer.probe] = writer.key.public
        return writer

    def take(self, *messages: Message, now_s: float = NOW_S) -> list[tuple[ProbeId, SayAck]]:
        """Take a batch and return the acks that are due a second later."""
        said = self.ingest.take(messages, now_s)
        return [*said, *self.ingest.tick(now_s + ACK_DELAY_S)]

    def kinds(self) -> list[EntryKind]:
        """Return the kinds of all entries of the archive."""
        return [entry.kind for _, entry in self.archive.entries()]

    def segments(self) -> list[bytes]:
        """Return the segments of the archive, in order."""
        return [e.payload for _, e in self.archive.entries() if e.kind is EntryKind.SEGMENT]

    def rows(self, table: str) -> int:
        """Return how many rows a table of the index has."""
        with sqlite3.connect(self.folder / "index.sqlite") as db:
            count: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        db.close()
        return count


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An empty server."""
    made = Server(tmp_path)
    made.open()
    yield made
    made.close()


@pytest.fixture
def probe(server: Server) -> ProbeWriter:
    """A probe of the fleet."""
    return server.enrol(ProbeWriter())


def raw(writer: ProbeWriter, first_ms: int = 60_000, count: int = 10) -> bytes:
    """Return the writer's next raw segment."""
    return writer.close(BOOT, [sample(first_ms + n) for n in range(count)])


def up(writer: ProbeWriter, data: bytes, stream: Stream = Stream.RAW) -> Message:
    """Return a segment on its probe's topic."""
    return Message(topics.segments(writer.probe, stream), data, 1)


def birth(writer: ProbeWriter, conn: int = 1, state: str = "online") -> Message:
    """Return a status on its probe's topic."""
    said = Status(state=state, conn=conn, epoch=writer.epoch)  # type: ignore[arg-type]
    return Message(topics.status(writer.probe), encode_status(said), 1)


def acked(said: list[tuple[ProbeId, SayAck]]) -> dict[Stream, StreamAck]:
    """Return what the last ack said."""
    return said[-1][1].streams


def test_a_segment_is_archived_indexed_and_then_acknowledged(
    server: Server, probe: ProbeWriter
) -> None:
    """On the connection that the birth named; the birth itself is answered at once."""
    first = raw(probe)
    said = server.take(birth(probe, conn=7), up(probe, first))
    assert [(to, ack.conn, ack.birth) for to, ack in said] == [(probe.probe, 7, True)]
    assert acked(said)[Stream.RAW] == StreamAck(10)
    assert server.segments() == [first]
    second = raw(probe)
    assert server.ingest.take([up(probe, second)], NOW_S + 5) == []
    assert server.ingest.wakeup_at() == NOW_S + 5 + ACK_DELAY_S
    said = server.ingest.tick(NOW_S + 6)
    assert [(ack.birth, ack.streams) for _, ack in said] == [
        (False, {Stream.RAW: StreamAck(20)}),
    ]
    assert server.rows("segments") == 2


def test_the_enrolled_key_is_archived_once_and_first(server: Server, probe: ProbeWriter) -> None:
    """So that the archive alone can vouch for all that follows; a restart adds no second."""
    server.take(birth(probe))
    server.take(birth(probe), up(probe, raw(probe)))
    server.close()
    server.open()
    server.take(birth(probe), up(probe, raw(probe)))
    assert server.kinds() == [EntryKind.ENROLMENT, EntryKind.SEGMENT, EntryKind.SEGMENT]
    assert server.ingest.newest_key(probe.probe) is not None


@pytest.mark.parametrize("when", ["in one batch", "in two", "after a restart"])
def test_a_duplicate_is_stored_once_and_acknowledged_again(
    server: Server, probe: ProbeWriter, when: str
) -> None:
    """Its ack was lost, or it would not have been sent again."""
    data = raw(probe)
    first = server.take(birth(probe), *[up(probe, data)] * (3 if when == "in one batch" else 1))
    assert acked(first)[Stream.RAW] == StreamAck(10)
    if when == "after a restart":
        server.close()
        server.open()
        server.take(birth(probe, conn=2))
    again = server.take(up(probe, data), now_s=NOW_S + 100)
    assert acked(again) == {Stream.RAW: StreamAck(10)}
    assert server.segments() == [data]
    assert server.ingest.counts.decided[Decision.DUPLICATE] == (3 if when == "in one batch" else 1)


def test_a_second_story_is_kept_apart_and_acknowledged(server: Server, probe: ProbeWriter) -> None:
    """Signed by the probe, about numbers that are stored: evidence of something, not a sample."""
    honest, other = raw(probe), raw(server.enrol(ProbeWriter()), first_ms=90_000)
    said = server.take(birth(probe), up(probe, honest), up(probe, other))
    assert acked(said)[Stream.RAW] == StreamAck(10)
    assert server.kinds() == [EntryKind.ENROLMENT, EntryKind.SEGMENT, EntryKind.QUARANTINE]
    assert server.segments() == [honest]
    assert server.rows("segments") == 1


def test_what_is_told_late_is_believed(server: Server, probe: ProbeWriter) -> None:
    """A change is dated to when it happened: a segment may lie before the one that it follows."""
    told = [raw(probe, first_ms=90_000), raw(probe, first_ms=1_000)]
    server.take(birth(probe), *(up(probe, data) for data in told))
    assert server.segments() == told


def test_a_break_in_the_chain_is_quarantined(server: Server, probe: ProbeWriter) -> None:
    """A segment that names another predecessor, in another batch or in the same."""
    fork = server.enrol(ProbeWriter())
    first, _ = raw(probe), raw(fork, first_ms=90_000)
    server.take(birth(probe), up(probe, first))
    server.take(up(probe, raw(fork)))
    assert server.kinds()[-1] is EntryKind.QUARANTINE
    assert server.ingest.counts.decided == {Decision.STORE: 1, Decision.QUARANTINE: 1}


def test_two_segments_for_one_place_in_the_chain_are_not_both_believed(
    server: Server, probe: ProbeWriter
) -> None:
    """Their numbers need not overlap: a probe with a doubled card can do that."""
    fork = server.enrol(ProbeWriter())
    first, other = raw(probe, count=5), raw(fork, first_ms=90_000, count=20)
    second, forked = raw(probe, count=2), raw(fork, count=3)
    server.take(birth(probe), up(probe, first), up(probe, second))
    server.take(up(probe, forked))
    assert server.segments() == [first, second]
    assert server.kinds()[-1] is EntryKind.QUARANTINE
    assert other != first


def refused(server: Server, message: Message) -> Refusal:
    """Return why a message is refused; nothing of it is stored or said."""
    before = server.kinds()
    said = server.take(message)
    assert said == []
    assert [k for k in server.kinds()[len(before) :] if k is not EntryKind.ENROLMENT] == []
    [reason] = server.ingest.counts.refused
    return reason


def test_a_segment_of_another_probe_is_refused(server: Server, probe: ProbeWriter) -> None:
    """Taken from the air and sent again on one's own topic; or on the wrong stream's."""
    other = server.enrol(ProbeWriter(label="two"))
    assert refused(server, up(probe, raw(other))) is Refusal.NOT_ITS_OWN
    assert refused(server, up(probe, raw(probe), Stream.EV)) is Refusal.NOT_ITS_OWN


def test_an_unknown_signer_is_refused_until_its_key_comes(
    server: Server, probe: ProbeWriter
) -> None:
    """The key's certificate and the segment may be in one batch."""
    server.take(birth(probe))
    keys = probe.rotate_key()
    data = raw(probe)
    assert refused(server, up(probe, data)) is Refusal.UNKNOWN_KEY
    said = server.take(Message(topics.keys(probe.probe), keys.message, 1), up(probe, data))
    assert acked(said) == {Stream.RAW: StreamAck(10)}
    assert server.kinds() == [EntryKind.ENROLMENT, EntryKind.KEYS, EntryKind.SEGMENT]


def test_a_key_that_nobody_vouches_for_signs_nothing(server: Server, probe: ProbeWriter) -> None:
    """A certificate by a stranger's key is kept and believed by no one."""
    stranger = ProbeWriter(label="one", store="stolen")
    keys = stranger.rotate_key()
    server.take(birth(probe), Message(topics.keys(probe.probe), keys.message, 1))
    assert refused(server, up(probe, raw(stranger))) is Refusal.UNKNOWN_KEY


def test_a_changed_byte_is_refused(server: Server, probe: ProbeWriter) -> None:
    """In the signature, which the parser can't tell from a good one."""
    data = bytearray(raw(probe))
    header_end = data.index(probe_signature(bytes(data)))
    data[header_end] ^= 1
    assert refused(server, up(probe, bytes(data))) is Refusal.BAD_SIGNATURE


def probe_signature(data: bytes) -> bytes:
    """Return the signature within a segment."""
    from linewatch_core.segment.segment import parse_segment

    return parse_segment(data).header.signature


@pytest.mark.parametrize("what", ["segment", "birth", "keys"])
def test_a_probe_that_is_not_or_no_longer_live_is_refused(
    server: Server, probe: ProbeWriter, what: str
) -> None:
    """Revoked while the server runs, or never enrolled: no ack, nothing stored."""
    server.take(birth(probe))
    del server.live[probe.probe]
    message = {
        "segment": up(probe, raw(probe)),
        "birth": birth(probe, conn=2),
        "keys": Message(topics.keys(probe.probe), probe.rotate_key().message, 1),
    }[what]
    assert refused(server, message) is Refusal.NOT_LIVE


def test_keys_of_another_probe_are_refused(server: Server, probe: ProbeWriter) -> None:
    """Nobody vouches for a key in another's name."""
    other = ProbeWriter(label="two")
    message = Message(topics.keys(probe.probe), other.rotate_key().message, 1)
    assert refused(server, message) is Refusal.NOT_ITS_OWN


def test_a_birth_of_an_unknown_epoch_is_told_that_nothing_is_here(
    server: Server, probe: ProbeWriter
) -> None:
    """A new card: the old one's numbers say nothing of it."""
    server.take(birth(probe), up(probe, raw(probe)))
    new_card = ProbeWriter(label="one", store="new card")
    said = server.take(birth(new_card, conn=1))
    assert said[0][1].epoch == new_card.epoch
    assert acked(said) == dict.fromkeys(Stream, StreamAck(0))


def test_a_birth_is_told_what_stands_at_the_ends_of_what_is_here(
    server: Server, probe: ProbeWriter
) -> None:
    """By its hash: a store that went back to an earlier state has another segment there."""
    segments = [raw(probe) for _ in range(4)]
    headers = [parse_segment(data).header for data in segments]
    server.take(birth(probe), *(up(probe, segments[index]) for index in (0, 1, 3)))
    (_, said), *_ = server.take(birth(probe, conn=2))
    ends = [(one.last_seq, header_sha256(one).hex()) for one in (headers[1], headers[3])]
    assert said.heads == {Stream.RAW: tuple(ends), Stream.ROLL: (), Stream.EV: ()}


def test_what_comes_of_an_older_epoch_is_acknowledged_in_its_own_name(
    server: Server, probe: ProbeWriter
) -> None:
    """With all that is here of it: the probe need not send that again."""
    first, second = raw(probe), raw(probe)
    server.take(birth(probe), up(probe, first))
    server.take(birth(ProbeWriter(label="one", store="new card"), conn=2))
    [(_, ack)] = server.take(up(probe, second))
    last = parse_segment(second).header.last_seq
    assert (ack.epoch, ack.conn, ack.birth) == (probe.epoch, 2, False)
    assert ack.streams == {Stream.RAW: StreamAck(last)}


@pytest.mark.parametrize("state", ["lost", "stopped"])
def test_an_end_is_not_answered(server: Server, probe: ProbeWriter, state: str) -> None:
    """Nobody is there to hear it."""
    assert server.take(birth(probe, state=state)) == []


def test_a_crash_between_archive_and_index_doubles_nothing(
    server: Server, probe: ProbeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Synced, not indexed, never acknowledged: the start catches up, the resent one is known."""
    data = raw(probe)

    def crash(_: object) -> None:
        raise KeyboardInterrupt

    server.take(birth(probe))
    monkeypatch.setattr(server.index, "apply", crash)
    with pytest.raises(KeyboardInterrupt):
        server.ingest.take([up(probe, data)], NOW_S)
    server.close()
    server.open()
    said = server.take(birth(probe, conn=2), up(probe, data))
    assert acked(said)[Stream.RAW] == StreamAck(10)
    assert server.segments() == [data]
    assert server.rows("segments") == 1


def test_a_full_archive_acknowledges_nothing_and_recovers(
    server: Server, probe: ProbeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fits two of four: those are indexed once, and the same batch later stores the rest."""
    batch = [birth(probe), *(up(probe, raw(probe)) for _ in range(4))]
    server.take(birth(probe))
    real, left = server.archive.append, [2]

    def append(kind: EntryKind, payload: bytes, arrival_ms: int) -> object:
        if not left[0]:
            raise ArchiveFullError("cannot store: no space left")
        left[0] -= 1
        return real(kind, payload, arrival_ms)

    monkeypatch.setattr(server.archive, "append", append)
    for _ in range(3):
        with pytest.raises(NoRoomError, match="no space left"):
            server.ingest.take(batch, NOW_S)
    assert server.ingest.tick(NOW_S + 100) == []
    assert server.rows("segments") == 2
    monkeypatch.setattr(server.archive, "append", real)
    said = server.take(*batch)
    assert acked(said)[Stream.RAW] == StreamAck(40)
    assert server.segments() == [message.payload for message in batch[1:]]
    assert server.rows("segments") == 4


def test_an_index_without_room_leaves_no_hole(
    server: Server, probe: ProbeWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the archive took is indexed before anything newer, though newer things came first."""
    first, second = raw(probe), raw(probe)
    server.take(birth(probe))
    limit = server.index._db.execute("PRAGMA page_count").fetchone()[0]
    server.index._db.execute(f"PRAGMA max_page_count = {limit}")
    big = probe.close(BOOT, [BootStarted(n, f"version {n} " + "x" * 40) for n in range(500)])
    with pytest.raises(NoRoomError, match="no space left on the disk of the index"):
        server.ingest.take([up(probe, big, Stream.EV), up(probe, first)], NOW_S)
    assert server.rows("segments") == 0
    with pytest.raises(NoRoomError):
        server.ingest.take([up(probe, second)], NOW_S)
    server.index._db.execute("PRAGMA max_page_count = 1000000")
    said = server.take(up(probe, second), now_s=NOW_S + 10)
    assert acked(said) == {Stream.RAW: StreamAck(20, ((1, 10),))}
    again = server.take(birth(probe, conn=2))
    assert acked(again)[Stream.RAW] == StreamAck(20)
    assert acked(again)[Stream.EV] == StreamAck(500)
    assert server.segments() == [big, first, second]
    assert server.rows("segments") == 3


def test_one_probe_is_not_acknowledged_for_another(server: Server, probe: ProbeWriter) -> None:
    """Two probes in one batch: each hears of its own."""
    other = server.enrol(ProbeWriter(label="two"))
    said = server.take(
        birth(probe), birth(other), up(probe, raw(probe)), up(other, raw(other, count=3))
    )
    assert {to: ack.streams[Stream.RAW] for to, ack in said} == {
        probe.probe: StreamAck(10),
        other.probe: StreamAck(3),
    }


LEAVES = st.sampled_from(
    ["status", "up/raw", "up/ev", "up/roll", "up/keys", "up/res/1", "up/", "", "down/ack", "x"]
)
PAYLOADS: tuple[Callable[[ProbeWriter], bytes], ...] = (
    lambda _: b"",
    lambda _: b"{}",
    lambda _: b'{"state":"online","conn":1,"epoch":"zz"}',
    lambda _: b"[" * 100_000,
    lambda _: encode_certificates([]),
    lambda w: birth(w).payload,
    raw,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_garbage_on_any_topic_raises_nothing_and_acknowledges_nothing_untrue(
    server: Server, data: st.DataObject
) -> None:
    """Cut, flipped or made up; on a topic of ours, of nobody, of a stranger."""
    writer = server.enrol(ProbeWriter(label="fuzzed"))
    clients = st.sampled_from([writer.probe, "a" * 16, "t-" + "a" * 16, "UPPER", "", "+", "ä"])
    topic = data.draw(
        st.text(max_size=40)
        | st.builds(lambda client, leaf: f"lw/1/{client}/{leaf}", clients, LEAVES)
    )
    payload = data.draw(
        st.binary(max_size=300) | st.sampled_from(PAYLOADS).map(lambda p: p(writer))
    )
    at = data.draw(st.integers(0, max(0, len(payload) - 1)))
    cut = data.draw(st.sampled_from(["whole", "cut", "flip"]))
    if cut == "cut":
        payload = payload[:at]
    elif cut == "flip" and payload:
        payload = payload[:at] + bytes([payload[at] ^ 0x10]) + payload[at + 1 :]
    for probe, ack in server.take(Message(topic, payload, 1)):
        assert probe == writer.probe
        for stream, said in ack.streams.items():
            kept = server.index.kept(probe, writer.epoch, stream)
            assert (kept.last() or 0) >= said.through or ack.epoch != writer.epoch
