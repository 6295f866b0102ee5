"""The server's half: what becomes of a segment, and when what is acknowledged."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_core.intervals import SeqSet
from linewatch_core.records import Stream
from linewatch_core.segment.header import Header, header_sha256
from linewatch_core.segment.segment import parse_segment
from linewatch_core.sync.acks import acked_set, stream_ack
from linewatch_core.sync.ingestor import (
    ACK_DELAY_S,
    AckBook,
    Born,
    Decision,
    Durable,
    SayAck,
    Tick,
    judge,
)
from linewatch_core.sync.messages import HOLES_MAX, Status, StreamAck
from tests.support.records import realistic_samples
from tests.support.segments import ChainBuilder

EPOCH = "00112233445566aa"
OTHER_EPOCH = "ffffffffffffffff"


@pytest.fixture(scope="module")
def chain() -> list[Header]:
    """Return the headers of four segments in a row, ten records each."""
    builder = ChainBuilder()
    records = realistic_samples(40, 1)
    return [parse_segment(builder.close(records[at : at + 10])).header for at in range(0, 40, 10)]


def test_a_segment_that_fits_is_stored(chain: list[Header]) -> None:
    """In order, with both neighbours, or with none yet."""
    held = SeqSet([(1, 10), (21, 30)])
    both = judge(chain[1], held=held, same=False, before=chain[0], after=chain[2])
    alone = judge(chain[3], held=SeqSet(), same=False, before=None, after=None)
    assert both.decision is alone.decision is Decision.STORE


def test_the_same_segment_again_is_a_duplicate(chain: list[Header]) -> None:
    """However often it was sent, it is stored once; it is no cause for suspicion."""
    judged = judge(chain[0], held=SeqSet([(1, 10)]), same=True, before=None, after=None)
    assert judged.decision is Decision.DUPLICATE


def test_a_second_story_about_the_same_records_is_quarantined(chain: list[Header]) -> None:
    """Overlapping numbers in another segment are kept, but not believed."""
    judged = judge(chain[1], held=SeqSet([(20, 25)]), same=False, before=None, after=None)
    assert judged.decision is Decision.QUARANTINE
    assert "overlap" in judged.reason


def test_a_second_segment_at_one_place_is_quarantined(chain: list[Header]) -> None:
    """Two signed segments can't both have one place in the chain."""
    judged = judge(chain[2], held=SeqSet(), same=False, before=None, after=None, at=chain[1])
    assert judged.decision is Decision.QUARANTINE
    assert "place" in judged.reason


def test_a_segment_that_contradicts_a_neighbour_is_quarantined(chain: list[Header]) -> None:
    """Either neighbour can tell."""
    forged = replace(chain[1], previous_sha256=bytes([7]) * 32)
    before = judge(forged, held=SeqSet(), same=False, before=chain[0], after=None)
    after = judge(forged, held=SeqSet(), same=False, before=None, after=chain[2])
    assert before.decision is after.decision is Decision.QUARANTINE
    assert "names another predecessor" in before.reason
    assert header_sha256(forged) != chain[2].previous_sha256


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 2)), max_size=120))
def test_an_ack_says_nothing_that_is_not_held(runs: list[tuple[int, int]]) -> None:
    """Whatever is held, in however many pieces: what is acked is held, holes are bounded."""
    held = SeqSet((first, first + more) for first, more in runs)
    ack = stream_ack(held)
    assert not acked_set(ack).difference(held)
    assert len(ack.holes) <= HOLES_MAX
    if len(held.missing(1, held.last() or 0)) <= HOLES_MAX:
        assert acked_set(ack) == held


def test_an_ack_with_over_64_holes_stops_before_the_next_one() -> None:
    """What lies behind the 65th hole is acknowledged later, when a hole is filled."""
    held = SeqSet((n, n) for n in range(2, 402, 2))
    ack = stream_ack(held)
    assert len(ack.holes) == HOLES_MAX
    assert ack.through == 2 * HOLES_MAX
    held.add(1, 1)
    assert stream_ack(held).through == 2 * HOLES_MAX + 2


def online(conn: int, epoch: str = EPOCH) -> Status:
    """Return a birth."""
    return Status(state="online", conn=conn, epoch=epoch)


def test_a_birth_is_answered_at_once_with_all_that_is_held() -> None:
    """born -> the whole of what is durable, all streams, on that connection."""
    book = AckBook()
    said = book.handle(Born(online(3), {Stream.RAW: SeqSet([(1, 5), (8, 9)])}), now=10.0)
    assert said == [
        SayAck(
            EPOCH,
            3,
            birth=True,
            streams={
                Stream.EV: StreamAck(0),
                Stream.ROLL: StreamAck(0),
                Stream.RAW: StreamAck(9, ((6, 7),)),
            },
        )
    ]
    assert book.wakeup_at() is None


def test_acks_wait_for_each_other() -> None:
    """durable, durable, a second later: one ack of what changed."""
    book = AckBook()
    book.handle(Born(online(3), {}), now=10.0)
    assert book.handle(Durable(EPOCH, Stream.EV, 1, 4), now=11.0) == []
    assert book.handle(Durable(EPOCH, Stream.EV, 5, 6), now=11.5) == []
    assert book.wakeup_at() == 11.0 + ACK_DELAY_S
    assert book.handle(Tick(), now=11.9) == []
    said = SayAck(EPOCH, 3, birth=False, streams={Stream.EV: StreamAck(6)})
    assert book.handle(Tick(), now=12.0) == [said]
    assert book.handle(Tick(), now=30.0) == []


def test_a_segment_sent_again_is_acknowledged_again() -> None:
    """Its ack was lost, or it would not have been sent."""
    book = AckBook()
    book.handle(Born(online(3), {Stream.EV: SeqSet([(1, 4)])}), now=10.0)
    book.handle(Durable(EPOCH, Stream.EV, 1, 4), now=20.0)
    said = SayAck(EPOCH, 3, birth=False, streams={Stream.EV: StreamAck(4)})
    assert book.handle(Tick(), now=21.0) == [said]


def test_another_epoch_is_acknowledged_by_itself() -> None:
    """Segments of a store that was set aside do not confuse the new one's numbers."""
    book = AckBook()
    book.handle(Born(online(3), {}), now=10.0)
    held = SeqSet([(1, 9), (20, 24)])
    book.handle(Durable(OTHER_EPOCH, Stream.EV, 20, 24, held), now=11.0)
    book.handle(Durable(EPOCH, Stream.EV, 1, 4), now=11.0)
    assert sorted(book.handle(Tick(), now=12.0), key=lambda ack: ack.epoch != EPOCH) == [
        SayAck(EPOCH, 3, birth=False, streams={Stream.EV: StreamAck(4)}),
        SayAck(OTHER_EPOCH, 3, birth=False, streams={Stream.EV: StreamAck(24, ((10, 19),))}),
    ]
    said = book.handle(Born(online(4, OTHER_EPOCH), {}), now=12.0)
    assert [ack.epoch for ack in said] == [OTHER_EPOCH]


def test_before_any_birth_nobody_is_told() -> None:
    """Segments of a probe that never said its connection are stored without a word."""
    book = AckBook()
    assert book.handle(Durable(EPOCH, Stream.EV, 1, 4), now=1.0) == []
    assert book.handle(Tick(), now=100.0) == []


@pytest.mark.parametrize("state", ["lost", "stopped"])
def test_an_end_is_not_answered(state: str) -> None:
    """The will and a clean stop ask for nothing, and forget nothing."""
    book = AckBook()
    book.handle(Born(online(3), {}), now=10.0)
    end = Status(state=state, conn=3, epoch=EPOCH)  # type: ignore[arg-type]
    assert book.handle(Born(end, {}), now=11.0) == []
    book.handle(Durable(EPOCH, Stream.EV, 1, 4), now=12.0)
    assert book.handle(Tick(), now=13.0)[0].conn == 3


def test_a_book_does_not_change_what_it_was_given() -> None:
    """The driver's own sets stay its own."""
    held = SeqSet([(1, 2)])
    book = AckBook()
    book.handle(Born(online(3), {Stream.EV: held}), now=0.0)
    book.handle(Durable(EPOCH, Stream.EV, 3, 9), now=0.0)
    assert list(held) == [(1, 2)]
