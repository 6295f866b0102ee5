"""How an open block becomes segments: events in small ones, since they go first."""

import hashlib
import secrets
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linewatch_agent.store.blocks import EV_SEGMENT_BYTES, OpenBlock, segments_of_journal
from linewatch_core.judging import CachedTruth
from linewatch_core.records import (
    BootStarted,
    Check,
    ConfigApplied,
    EvBody,
    Record,
    Role,
    Stream,
    TargetNote,
    TruthApplied,
)
from linewatch_core.segment.chain import CHAIN_START, ChainHead
from linewatch_core.segment.sealing import RecipientKey
from linewatch_core.segment.segment import parse_segment
from tests.support.record_strategies import EVENTS
from tests.support.records import realistic_events, told_events
from tests.support.segments import context, recipient, signing_key

CONTEXT = context(Stream.EV)
RECIPIENTS = [1, 2, 16]
LARGE: list[EvBody] = [
    TruthApplied(
        2_000,
        CachedTruth(
            issuers={f"target-{n}": (hashlib.sha256(b"%d" % n).hexdigest(),) for n in range(80)}
        ),
    ),
    ConfigApplied(
        2_001,
        secrets.token_hex(32),
        30_000,
        tuple(TargetNote(secrets.token_hex(20), Role.NEUTRAL, (Check.ICMP,)) for _ in range(80)),
    ),
]
"""Events of a probe with many targets: each alone takes more than a small segment."""


def block(count: int) -> OpenBlock:
    """Return an open block of events for so many recipients."""
    recipients: list[RecipientKey] = [recipient(f"recipient {n}") for n in range(count)]
    return OpenBlock.begin(CONTEXT, recipients, now_ms=0)


def closed(
    records: Sequence[Record], recipients: int, *, head: ChainHead = CHAIN_START
) -> list[bytes]:
    """Return the segments of a block that was filled in one commit."""
    open_block = block(recipients)
    open_block.accept(records, open_block.seal_frames(records))
    return open_block.close(head, signing_key())


def left(records: Sequence[Record], recipients: int) -> list[bytes]:
    """Return the segments of the frames that a power cut left, three events to a commit."""
    open_block = block(recipients)
    frames = [
        frame
        for at in range(0, len(records), 3)
        for frame in open_block.seal_frames(records[at : at + 3])
    ]
    wraps = open_block.sealer.wraps
    return segments_of_journal(CONTEXT, wraps, frames, head=CHAIN_START, key=signing_key())


def assert_small(segments: Sequence[bytes], records: Sequence[Record]) -> None:
    """Fail unless every segment is small or one event's alone, and none is missing."""
    headers = [parse_segment(one).header for one in segments]
    spans = [(header.first_seq, header.last_seq) for header in headers]
    assert [seq for first, last in spans for seq in range(first, last + 1)] == [
        record.seq for record in records
    ]
    for header, one in zip(headers, segments, strict=True):
        assert len(one) <= EV_SEGMENT_BYTES or header.first_seq == header.last_seq


@pytest.mark.parametrize("recipients", RECIPIENTS)
@pytest.mark.parametrize("count", [1, 10, 60, 200, 1000])
def test_segments_of_realistic_events_are_small(count: int, recipients: int) -> None:
    """However many there were, closed or left by a power cut."""
    records = realistic_events(count, 3)
    assert_small(segments := closed(records, recipients), records)
    assert max(map(len, segments)) <= EV_SEGMENT_BYTES
    assert_small(left(records, recipients), records)


def test_few_events_are_one_segment() -> None:
    """Nothing is cut that need not be: what a start tells is one."""
    assert len(closed(told_events(), 2)) == 1


def test_an_event_that_is_large_alone_goes_alone() -> None:
    """Truth or settings of 80 targets; what happened around them does not wait for it."""
    bodies: list[EvBody] = [BootStarted(1_000, "0.2.0"), *LARGE, BootStarted(3_000, "0.2.0")]
    records = [Record(seq, body) for seq, body in enumerate(bodies, 1)]
    sizes = list(map(len, closed(records, 1)))
    assert_small(closed(records, 1), records)
    assert [size > EV_SEGMENT_BYTES for size in sizes] == [False, True, True, False]


@settings(max_examples=60)
@given(
    st.lists(EVENTS.filter(lambda one: one.mono_ms >= 0), min_size=1, max_size=40),
    st.sampled_from(RECIPIENTS),
)
def test_segments_of_any_events_are_small(bodies: list[EvBody], recipients: int) -> None:
    """Or they hold one event; also late in a long chain, where a header's numbers are large."""
    records = [Record(2**60 + place, body) for place, body in enumerate(bodies)]
    head = ChainHead(2**60, b"\1" * 32, 2**60)
    assert_small(closed(records, recipients, head=head), records)
