"""What a damaged store still had is sent by itself: once, whole, and until the server has it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from linewatch_agent.store import old_stores
from linewatch_agent.store.database import STORE_FILE, StoreDamagedError
from linewatch_agent.store.old_stores import PATIENCE_S, TRIES, OldSegment, OldStores
from linewatch_agent.store.opening import damaged_stores
from linewatch_agent.store.values import StoreLimits
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.header import header_sha256
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.acks import stream_ack
from linewatch_core.sync.messages import Ack, StreamAck
from tests.support.probe import NEXT_BOOT, Probe, boot_started, bulky, samples
from tests.support.segments import PROBE

LIMITS = StoreLimits(block_records=20, free_bytes_min=0)


class Server:
    """Takes segments of any epoch, and says cumulative acks of each."""

    def __init__(self) -> None:
        self.has: dict[tuple[str, Stream], SeqSet] = {}
        self.taken: list[bytes] = []

    def take(self, one: OldSegment) -> Ack:
        """Store a segment and return the ack."""
        self.taken.append(one.data)
        seqs = self.has.setdefault((one.epoch, one.stream), SeqSet())
        seqs.add(one.first, one.last)
        return self.ack(one.epoch, {one.stream: stream_ack(seqs)})

    @staticmethod
    def ack(epoch: str, streams: dict[Stream, StreamAck]) -> Ack:
        """Return an ack of an epoch."""
        return Ack(PROBE, epoch, 1, False, streams, server_ms=0, server_error_ms=0)


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return the state folder of a probe whose store of 400 samples lost its schema."""
    probe = Probe(tmp_path / "s", limits=LIMITS)
    probe.commit(boot_started())
    for first in range(1, 401, 20):
        probe.commit(*bulky(first, first + 19))
        probe.store.seal_due(now_ms=probe.now_ms, live=False)
    probe.store.stop(now_ms=probe.now_ms)
    probe.store.close()
    path = tmp_path / "s" / STORE_FILE
    path.write_bytes(bytes(1024) + path.read_bytes()[1024:])
    return tmp_path / "s"


def after(folder: Path) -> tuple[Probe, OldStores]:
    """Start on a state folder again."""
    probe = Probe(folder, boot=NEXT_BOOT, epoch_label="new epoch", limits=LIMITS)
    return probe, OldStores(folder, probe=PROBE, keys=probe.keys)


def sends(old: OldStores, now_s: float = 0.0) -> Iterator[OldSegment]:
    """Yield what is sent; whoever takes it acknowledges it before the next."""
    while not old.is_done():
        one = old.take(now_s)
        if one is not None:
            yield one


def test_all_that_is_whole_is_sent_and_then_nothing(damaged: Path) -> None:
    """Each record of the old epoch once; the next start has nothing to do, the file stays."""
    probe, old = after(damaged)
    server = Server()
    for one in sends(old):
        old.acked(server.take(one))
    ((epoch, _), *_) = server.has
    assert server.has[epoch, Stream.RAW] == SeqSet([(1, 400)])
    assert server.has[epoch, Stream.EV] == SeqSet([(1, 1)])
    assert len(server.taken) == len(set(server.taken))
    assert OldStores(damaged, probe=PROBE, keys=probe.keys).is_done()
    assert len(damaged_stores(damaged)) == 1


def test_what_the_server_has_is_not_sent_again(damaged: Path) -> None:
    """Its first ack of a stream says what it has of it: the rest of that is passed over."""
    _, old = after(damaged)
    sent = 0
    for one in sends(old):
        sent += 1
        old.acked(Server.ack(one.epoch, {one.stream: StreamAck(1 if one.stream == "ev" else 400)}))
    assert sent == 2


def test_only_an_ack_of_it_takes_a_segment_off_the_list(damaged: Path) -> None:
    """Neither time, nor an ack of another epoch or of less, nor a new connection."""
    probe, old = after(damaged)
    first = next(sends(old))
    assert old.take(1.0) is None
    old.acked(Server.ack(probe.store.epoch, {first.stream: StreamAck(999)}))
    old.acked(Server.ack(first.epoch, {first.stream: StreamAck(0)}))
    assert old.take(2.0) is None
    old.begin()
    assert old.take(3.0) == first
    old.acked(Server.ack(first.epoch, {first.stream: StreamAck(first.last)}))
    assert next(sends(old, 4.0)) != first


def test_a_server_that_says_nothing_is_left_alone_until_the_next_start(damaged: Path) -> None:
    """A connection is given up for it three times at most."""
    probe, old = after(damaged)
    now_s = 0.0
    for _ in range(TRIES):
        old.begin()
        assert next(sends(old, now_s)) is not None
        assert not old.is_overdue(now_s + PATIENCE_S - 1)
        now_s += PATIENCE_S
        assert old.is_overdue(now_s)
    assert old.is_done()
    assert not OldStores(damaged, probe=PROBE, keys=probe.keys).is_done()


def test_a_look_into_a_large_file_is_short(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store's thread has commits to do: reading on ends now and then without a segment."""
    monkeypatch.setattr("linewatch_agent.store.pages.PAUSE_PAGES", 5)
    _, old = after(damaged)
    server, looks = Server(), 0
    while not old.is_done():
        one = old.take(0.0)
        looks += one is None
        if one is not None:
            old.acked(server.take(one))
    assert looks > 20


def story(probe: Probe, first: int, last: int, *, heads: dict[Stream, list[bytes]]) -> None:
    """Commit and seal samples; note the segments as a server would have them."""
    probe.commit(boot_started(first), *samples(first, last))
    for one in probe.store.seal_open():
        loaded = probe.store.load(one.stream, one.first)
        assert loaded is not None
        heads.setdefault(one.stream, []).append(loaded[1])


def told(segments: dict[Stream, list[bytes]]) -> dict[Stream, tuple[tuple[int, str], ...]]:
    """Return what a birth's ack says of the newest of them."""
    headers = {stream: parse_segment(some[-1]).header for stream, some in segments.items()}
    return {
        stream: ((header.last_seq, header_sha256(header).hex()),)
        for stream, header in headers.items()
    }


@pytest.mark.parametrize("second", [(31, 35), (31, 40), (31, 90)], ids=["less", "same", "more"])
def test_a_store_that_went_back_begins_a_new_epoch(tmp_path: Path, second: tuple[int, int]) -> None:
    """A card put back from an image: found by the server's word, however far it has gone since;
    what it recorded since then is sent, whatever the server has under these numbers."""
    server: dict[Stream, list[bytes]] = {}
    probe = Probe(tmp_path / "s", limits=LIMITS)
    story(probe, 1, 30, heads=server)
    image = probe.power_cut(tmp_path / "image")
    story(probe, 31, 40, heads=server)
    probe.store.check_heads(told(server))

    restored = Probe(image, limits=LIMITS, now_ms=70_000)
    again: dict[Stream, list[bytes]] = {}
    story(restored, *second, heads=again)
    with pytest.raises(StoreDamagedError, match="went back to an earlier state"):
        restored.store.check_heads(told(server))
    restored.store.close()

    fresh, old = after(image)
    assert fresh.store.epoch != restored.store.epoch
    gap = fresh.store.opening_gap(fresh.now_ms)
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.STORE_DAMAGED
    sent = []
    for one in sends(old):
        sent.append(one.data)
        old.acked(Server.ack(one.epoch, {one.stream: StreamAck(100)}))
    assert {data for some in again.values() for data in some} <= set(sent)
    fresh.store.close()
    assert after(image)[0].store.epoch == fresh.store.epoch


def test_what_was_freed_says_nothing_of_a_fork(tmp_path: Path) -> None:
    """The server names a segment that went long ago since it had it: that is no contradiction."""
    server: dict[Stream, list[bytes]] = {}
    probe = Probe(tmp_path / "s", limits=LIMITS)
    story(probe, 1, 30, heads=server)
    probe.store.save_ack(Stream.RAW, StreamAck(30), now_ms=probe.now_ms)
    before = told(server)
    story(probe, 31, 40, heads=server)
    assert probe.store.make_room(probe.now_ms) is not None
    assert probe.store.load(Stream.RAW, 1) is None
    probe.store.check_heads(before)


def test_an_unreadable_file_is_passed_over(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that fails on one file does not keep the agent from the others."""

    def refuse(*_: object, **__: object) -> Iterator[bytes | None]:
        raise OSError(5, "Input/output error")
        yield None

    monkeypatch.setattr(old_stores, "salvage_by_steps", refuse)
    _, old = after(damaged)
    assert old.take(0.0) is None
    assert old.is_done()
