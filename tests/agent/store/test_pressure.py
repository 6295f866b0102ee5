"""Any pattern of measuring, acks and want of room: events and the chain stay, the rest is told."""

import itertools
from pathlib import Path
from unittest.mock import patch

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linewatch_agent.store.values import StoreLimits
from linewatch_core.intervals import SeqSet
from linewatch_core.records import Gap, GapReason, Stream
from linewatch_core.segment.chain import check_follows
from linewatch_core.segment.header import parse_header
from linewatch_core.sync.acks import acked_set
from linewatch_core.sync.messages import StreamAck
from tests.support.probe import Probe, boot_started, bulky, close_all, records_of
from tests.support.records import realistic_rolls

LIMITS = StoreLimits(block_records=10, bytes_max=2**20, free_bytes_min=0)
ROLLS = [record.body for record in realistic_rolls(40, 1)]
STEP_BYTES = 24 * 1024
"""How much is given up at once: some segments of many."""

steps = st.one_of(
    st.tuples(st.just("samples"), st.integers(1, 60)),
    st.tuples(st.just("rolls"), st.integers(1, 40)),
    st.tuples(st.just("event"), st.just(1)),
    st.tuples(st.just("ack raw"), st.integers(0, 100)),
    st.tuples(st.just("ack roll"), st.integers(0, 100)),
    st.tuples(st.just("no room"), st.just(1)),
    st.tuples(st.just("days pass"), st.integers(1, 3)),
)


def take(probe: Probe, what: str, count: int) -> None:
    """Do one step; `count` of an ack is the share in percent of what is committed."""
    committed = probe.store.counts().committed
    match what:
        case "samples":
            first = committed[Stream.RAW] + 1
            probe.commit(*bulky(first, first + count - 1, answers=4))
        case "rolls":
            probe.commit(*ROLLS[:count])
        case "event":
            probe.commit(boot_started(probe.now_ms))
        case "ack raw" | "ack roll":
            stream = Stream(what.removeprefix("ack "))
            through = max(committed[stream] * count // 100, probe.store.acks()[stream].through)
            probe.store.save_ack(stream, StreamAck(through), now_ms=probe.now_ms)
        case "no room":
            probe.store.make_room(probe.now_ms)
        case "days pass":
            probe.now_ms += count * 24 * 3600 * 1000
    probe.store.seal_due(now_ms=probe.now_ms, live=False)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, min_size=5, max_size=40))
def test_under_any_pressure(tmp_path: Path, plan: list[tuple[str, int]]) -> None:
    """Every number is held, acked or named by exactly one gap; events and headers are all there."""
    folder = tmp_path / f"s{len(list(tmp_path.iterdir()))}"
    probe = Probe(folder, limits=LIMITS)
    with patch("linewatch_agent.store.room._SPARE_BYTES", STEP_BYTES):
        for what, count in plan:
            take(probe, what, count)
        probe.store.stop(now_ms=probe.now_ms)
    events = [record.body for record in records_of(probe.store, probe.keys, Stream.EV)]
    assert len(events) == probe.store.counts().committed[Stream.EV]
    gaps = [body for body in events if isinstance(body, Gap)]
    assert {gap.reason for gap in gaps} <= {GapReason.STORE_FULL}
    for stream in (Stream.RAW, Stream.ROLL):
        check_numbers(probe, stream, [gap for gap in gaps if gap.stream is stream])
        check_headers(probe, stream)
    close_all()


def check_numbers(probe: Probe, stream: Stream, gaps: list[Gap]) -> None:
    """Check that nothing is held and lost, lost twice, or neither held, lost nor acked."""
    lost = SeqSet()
    for gap in gaps:
        assert gap.first_seq is not None
        assert gap.last_seq is not None
        assert not lost.overlaps(gap.first_seq, gap.last_seq)
        lost.add(gap.first_seq, gap.last_seq)
    held = SeqSet((one.first, one.last) for one in probe.store.held() if one.stream is stream)
    assert not any(held.overlaps(first, last) for first, last in lost)
    known = SeqSet([*held, *lost, *acked_set(probe.store.acks()[stream])])
    assert known.missing(1, probe.store.counts().committed[stream]) == []


def check_headers(probe: Probe, stream: Stream) -> None:
    """Check that headers follow each other, and that only what was acked has none."""
    rows = probe.store._db.execute(
        "SELECT header FROM segment WHERE stream = ? ORDER BY first_seq", (stream,)
    ).fetchall()
    headers = [parse_header(row[0]) for row in rows]
    for before, after in itertools.pairwise(headers):
        if after.position == before.position + 1:
            check_follows(before, after)
    there = SeqSet((one.first_seq, one.last_seq) for one in headers)
    acked = acked_set(probe.store.acks()[stream])
    for first, last in there.missing(1, probe.store.counts().committed[stream]):
        assert acked.covers(first, last)
