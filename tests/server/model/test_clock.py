"""A probe's clock: boots in the order of `ev`, one timeline per store."""

from linewatch_core.ids import BootId, Epoch
from linewatch_core.records import Anchor, AnchorSource
from linewatch_core.timebase import Interval
from linewatch_server.model.clock import BootSeen, MonoRange, ProbeClock

ONE, TWO = Epoch("11" * 8), Epoch("22" * 8)
A, B, C = (BootId(letter * 32) for letter in "abc")
UTC, HOUR = 1_800_000_000_000, 3_600_000


def anchored(boot: BootId, utc_ms: int) -> tuple[BootId, Anchor]:
    """Return an exact anchor at the start of a boot."""
    return boot, Anchor(0, utc_ms, 0, AnchorSource.NTP)


def test_boots_follow_the_numbers_of_ev_not_their_ids() -> None:
    """A boot without an anchor lies between those whose events stand around its own."""
    seen = [BootSeen(ONE, A, 30, 0, HOUR), BootSeen(ONE, C, 1, 0, HOUR), BootSeen(ONE, B, 9, 0, 1)]
    clock = ProbeClock(seen, [anchored(C, UTC), anchored(A, UTC + 9 * HOUR)])
    placed = clock.place(ONE, B, 0)
    assert (placed.lo_ms, placed.hi_ms) == (UTC + HOUR - 1800, UTC + 9 * HOUR)


def test_a_boot_that_ev_does_not_name_is_not_placed() -> None:
    """Its samples arrived before its events: between whom it lies is not known yet."""
    seen = [BootSeen(ONE, A, 1, 0, HOUR), BootSeen(ONE, B, None, 0, HOUR)]
    clock = ProbeClock(seen, [anchored(A, UTC)])
    assert clock.place(ONE, B, 0) == Interval(None, None)
    assert clock.ranges(UTC, UTC + HOUR) == [
        MonoRange(ONE, A, 0, HOUR),
        MonoRange(ONE, B, 0, HOUR),
    ]


def test_a_boot_in_two_stores_shares_its_anchors() -> None:
    """A store that was begun anew while the probe ran: the same kernel clock."""
    seen = [BootSeen(ONE, A, 1, 0, HOUR), BootSeen(TWO, A, 1, HOUR, 2 * HOUR)]
    clock = ProbeClock(seen, [anchored(A, UTC)])
    assert clock.place(TWO, A, HOUR).lo_ms == UTC + HOUR - 1800


def test_a_gap_that_names_a_boot_of_the_old_store_is_placed_there() -> None:
    """The first record of a new store may begin in the one before."""
    seen = [BootSeen(ONE, A, 1, 0, HOUR), BootSeen(TWO, B, 1, 0, HOUR)]
    clock = ProbeClock(seen, [anchored(A, UTC), anchored(B, UTC + 5 * HOUR)])
    assert clock.place(TWO, A, 0) == Interval(UTC, UTC)


def test_ranges_come_in_order_of_time_and_only_where_something_can_lie() -> None:
    """Stores are sorted by where their boots are placed."""
    seen = [BootSeen(ONE, A, 1, 0, HOUR), BootSeen(TWO, B, 1, 0, HOUR), BootSeen(ONE, C, 9, 0, 9)]
    anchors = [anchored(A, UTC + 9 * HOUR), anchored(B, UTC), anchored(C, UTC + 90 * HOUR)]
    clock = ProbeClock(seen, anchors)
    assert [r.boot for r in clock.ranges(UTC, UTC + 20 * HOUR)] == [B, A]
    assert clock.ranges(UTC + 30 * HOUR, UTC + 40 * HOUR) == []
