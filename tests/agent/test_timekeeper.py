"""What the probe takes for the time: the kernel's word, the server's, and their bounds."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent import clock
from linewatch_agent.timekeeper import Timekeeper
from linewatch_core.cones import DRIFT_PPM
from linewatch_core.records import Anchor, AnchorSource
from linewatch_core.sync.messages import Ack, Clock

UTC_MS = 1_790_000_000_000


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A boot clock that the test sets."""
    now = {"ms": 100_000}
    monkeypatch.setattr(clock, "mono_ms", lambda: now["ms"])
    return now


def ack(server_ms: int, error_ms: int = 10) -> Ack:
    """Return the first ack of a connection."""
    return Ack("a" * 16, "0" * 16, 1, True, {}, server_ms, error_ms)


def test_without_any_source_the_time_is_unknown() -> None:
    """No guess is made from the wall clock."""
    keeper = Timekeeper(lambda _: None)
    assert keeper.present() == Clock()
    assert keeper.utc_ms() is None


def test_the_servers_time_lies_in_the_round_trip(now: dict[str, int]) -> None:
    """Sent at 99 s, answered at 100 s: the middle, give or take half and the server's own error."""
    told: list[Anchor] = []
    keeper = Timekeeper(told.append)
    keeper.server_time(ack(UTC_MS), birth_sent_s=99.0)
    [anchor] = told
    assert anchor.source is AnchorSource.SERVER
    assert anchor.mono_ms - anchor.error_ms + 10 + 1 >= 99_000
    assert anchor.mono_ms + anchor.error_ms >= 100_000
    assert (anchor.utc_ms, anchor.error_ms) == (UTC_MS, 512)
    now["ms"] += 60_000
    assert keeper.utc_ms() == UTC_MS + 60_000 + 100_000 - anchor.mono_ms
    assert keeper.present() == Clock(anchor.error_ms + 31, AnchorSource.SERVER)


def test_an_anchor_that_tells_nothing_new_is_not_recorded(now: dict[str, int]) -> None:
    """A line that comes and goes makes a connection a minute, not an anchor a minute."""
    told: list[Anchor] = []
    keeper = Timekeeper(told.append)
    for minute in range(10):
        now["ms"] = 100_000 + minute * 60_000
        at_s = (now["ms"] - 1_000) / 1000
        keeper.server_time(ack(UTC_MS + minute * 60_000), birth_sent_s=at_s)
    assert len(told) == 1


def test_a_step_of_the_time_is_recorded_at_once(now: dict[str, int]) -> None:
    """Two sources that can't both be right: readers must know from when on."""
    told: list[Anchor] = []
    keeper = Timekeeper(told.append)
    keeper.server_time(ack(UTC_MS), birth_sent_s=99.9)
    now["ms"] += 60_000
    keeper.server_time(ack(UTC_MS + 60_000 + 5_000), birth_sent_s=159.9)
    assert len(told) == 2


async def test_the_kernels_clock_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, now: dict[str, int]
) -> None:
    """Unsynchronised first, then synchronised: one anchor, from then on."""
    monkeypatch.setattr("linewatch_agent.timekeeper.LOOK_EVERY_S", 0)
    looks = [None, Anchor(100_000, UTC_MS, 20, AnchorSource.NTP)]
    monkeypatch.setattr(clock, "ntp_anchor", lambda: looks[0] if len(looks) == 1 else looks.pop(0))
    told: list[Anchor] = []
    keeper = Timekeeper(told.append)
    running = asyncio.create_task(keeper.run())
    for _ in range(10):
        await asyncio.sleep(0)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert told == looks
    assert keeper.present().source is AnchorSource.NTP


def test_sources_that_contradict_each_other_make_the_time_wide(now: dict[str, int]) -> None:
    """An NTP server that lies by an hour: neither is believed alone, and it is told so."""
    keeper = Timekeeper(lambda _: None)
    keeper.server_time(ack(UTC_MS), birth_sent_s=99.9)
    assert not keeper.utc().disputed
    now["ms"] += 60_000
    keeper.server_time(ack(UTC_MS + 60_000 + 3_600_000), birth_sent_s=159.9)
    placed = keeper.utc()
    assert placed.disputed
    assert placed.lo_ms is not None
    assert placed.hi_ms is not None
    assert placed.lo_ms <= UTC_MS + 60_000
    assert placed.hi_ms >= UTC_MS + 60_000 + 3_600_000
    error_ms = keeper.present().error_ms
    assert error_ms is not None
    assert error_ms >= 1_800_000


def test_an_old_good_source_still_narrows_a_new_poor_one(now: dict[str, int]) -> None:
    """After an hour a poor anchor is worth a record, but it makes the time no vaguer."""
    keeper = Timekeeper(lambda _: None)
    keeper.server_time(ack(UTC_MS), birth_sent_s=99.99)
    now["ms"] += 3_600_000
    before = keeper.present().error_ms
    keeper.server_time(ack(UTC_MS + 3_600_000, 30_000), birth_sent_s=3_699.9)
    after = keeper.present().error_ms
    assert before is not None
    assert after is not None
    assert after <= before


STEP_MS = st.integers(1, 6 * 3_600_000)
SHARE = st.floats(-1, 1)


@given(st.lists(st.tuples(STEP_MS, SHARE, st.integers(0, 16_000), SHARE), min_size=1, max_size=30))
def test_what_status_says_always_holds_the_truth(
    course: list[tuple[int, float, int, float]],
) -> None:
    """Honest anchors now and then, a clock that drifts as it likes: never told too narrow."""
    mono_ms, true_ms = 100_000, UTC_MS
    keeper = Timekeeper(lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "mono_ms", lambda: mono_ms)
        for step_ms, drift, error_ms, wrong in course:
            mono_ms += step_ms
            true_ms += step_ms + int(step_ms * DRIFT_PPM // 1_000_000 * drift)
            assert _holds(keeper, true_ms)
            utc_ms = true_ms + int(error_ms * wrong)
            keeper._offer(Anchor(mono_ms, utc_ms, error_ms, AnchorSource.NTP))
            assert _holds(keeper, true_ms)
            assert not keeper.utc().disputed


def _holds(keeper: Timekeeper, true_ms: int) -> bool:
    utc_ms, error_ms = keeper.utc_ms(), keeper.present().error_ms
    if utc_ms is None or error_ms is None:
        return keeper.present() == Clock()
    return utc_ms - error_ms <= true_ms <= utc_ms + error_ms
