"""Clocks: what the agent reads, and the anchors that it makes of it."""

import ctypes
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewatch_agent import clock
from linewatch_core.ids import parse_boot_id
from linewatch_core.records import AnchorSource
from linewatch_core.timex import STA_UNSYNC, TIME_ERROR, KernelClock, Timex


def test_a_boot_has_one_id() -> None:
    """It is a boot id, and the same each time."""
    assert parse_boot_id(clock.boot_id()) == clock.boot_id()


def test_the_monotonic_clock_counts_from_boot() -> None:
    """It does not go backwards, and its two units agree."""
    before_ms = clock.mono_ms()
    middle_s = clock.mono_s()
    after_ms = clock.mono_ms()
    assert 0 < before_ms <= middle_s * 1000 < after_ms + 1
    uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert uptime_s * 1000 >= after_ms


class FakeLibrary:
    """A C library whose adjtimex says what the test wants."""

    def __init__(self, state: int, status: int, maxerror_us: int) -> None:
        self._said = (state, status, maxerror_us)

    def adjtimex(self, pointer: object) -> int:
        """Fill the structure; the caller must ask, not set."""
        timex = ctypes.cast(pointer, ctypes.POINTER(Timex)).contents  # type: ignore[arg-type]
        assert timex.modes == 0
        state, timex.status, timex.maxerror = self._said
        return state


@pytest.mark.parametrize(
    ("state", "status", "maxerror_us", "wanted"),
    [
        (0, 0, 1500, KernelClock(True, 2)),
        (0, 0, 1000, KernelClock(True, 1)),
        (1, 0x2001, 16_000_000, KernelClock(True, 16_000)),
        (TIME_ERROR, 0, 10, KernelClock(False, 1)),
        (0, STA_UNSYNC, 10, KernelClock(False, 1)),
        (-1, 0, 0, KernelClock(False, 0)),
    ],
)
def test_what_the_kernel_says_of_utc(
    monkeypatch: pytest.MonkeyPatch,
    state: int,
    status: int,
    maxerror_us: int,
    wanted: KernelClock,
) -> None:
    """Synchronised only if neither the state nor the flag denies it; the bound is rounded up."""
    library = FakeLibrary(state, status, maxerror_us)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    assert clock.kernel_clock() == wanted
    assert (clock.ntp_anchor() is not None) is wanted.synchronised


def test_the_real_kernel_answers() -> None:
    """The structure is large enough for what this kernel writes, and nothing is set."""
    before = time.time()
    said = clock.kernel_clock()
    assert said.error_ms >= 0
    assert abs(time.time() - before) < 60
    assert ctypes.sizeof(Timex) >= 208


def test_an_ntp_anchor_ties_the_two_clocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound covers the kernel's, the rounding, and the time between the readings."""
    monkeypatch.setattr(clock, "kernel_clock", lambda: KernelClock(True, 40))
    readings = iter([5_000, 5_003])
    monkeypatch.setattr(clock, "mono_ms", lambda: next(readings))
    monkeypatch.setattr(time, "time_ns", lambda: 1_790_000_000_123_999_999)
    anchor = clock.ntp_anchor()
    assert anchor is not None
    assert (anchor.mono_ms, anchor.utc_ms) == (5_000, 1_790_000_000_123)
    assert (anchor.error_ms, anchor.source) == (45, AnchorSource.NTP)


@given(st.integers(0, 10**9), st.integers(0, 10**5), st.integers(0, 10**5), st.integers(0, 1000))
def test_the_true_time_lies_within_a_servers_anchor(
    sent_ms: int, there_ms: int, back_ms: int, server_error_ms: int
) -> None:
    """Whenever within the round trip the server looked at its clock: the bound covers it."""
    utc_at_boot_ms = 1_790_000_000_000
    looked_ms = sent_ms + there_ms
    for wrong_ms in (-server_error_ms, 0, server_error_ms):
        anchor = clock.server_anchor(
            sent_mono_ms=sent_ms,
            received_mono_ms=looked_ms + back_ms,
            server_ms=utc_at_boot_ms + looked_ms + wrong_ms,
            server_error_ms=server_error_ms,
        )
        true_ms = utc_at_boot_ms + anchor.mono_ms
        assert abs(anchor.utc_ms - true_ms) <= anchor.error_ms
        assert anchor.error_ms <= (there_ms + back_ms) // 2 + server_error_ms + 2
        assert anchor.source is AnchorSource.SERVER
