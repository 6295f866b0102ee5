"""The server's clock, and what it claims of it."""

import time

import pytest

from linewatch_core.timex import KernelClock
from linewatch_server import clock
from linewatch_server.clock import UNSYNCHRONISED_ERROR_MS, ServerClock


def test_it_reads_the_clocks_of_the_machine() -> None:
    """Unix time in ms, and a clock that never steps."""
    before_ns, before_s = time.time_ns(), time.monotonic()
    read = ServerClock()
    utc_ms, mono_s = read.utc_ms(), read.mono_s()
    assert before_ns // 10**6 <= utc_ms <= time.time_ns() // 10**6
    assert before_s <= mono_s <= time.monotonic()


@pytest.mark.parametrize(
    ("kernel", "error_ms"),
    [
        (KernelClock(synchronised=True, error_ms=12), 13),
        (KernelClock(synchronised=True, error_ms=0), 1),
        (KernelClock(synchronised=False, error_ms=5), UNSYNCHRONISED_ERROR_MS),
    ],
)
def test_the_kernel_says_how_good_it_is(
    monkeypatch: pytest.MonkeyPatch, kernel: KernelClock, error_ms: int
) -> None:
    """Its bound and a ms for the rounding; without a time service, a minute."""
    monkeypatch.setattr(clock, "interpret", lambda _state, _timex: kernel)
    assert ServerClock().error_ms() == error_ms


def test_the_operator_may_know_better() -> None:
    """`clock.error_ms` in server.toml wins over the kernel."""
    assert ServerClock(fixed_error_ms=10).error_ms() == 10
    assert ServerClock(fixed_error_ms=0).error_ms() == 0


def test_asking_the_real_kernel_gives_a_bound() -> None:
    """Whatever this machine is: some bound, never below a ms."""
    assert ServerClock().error_ms() >= 1
