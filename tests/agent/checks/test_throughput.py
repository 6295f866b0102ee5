"""The throughput check: what is counted, what it costs, and what a stall leaves."""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from linewatch_agent.checks.clocks import Clock
from linewatch_agent.checks.outcome import Outcome
from linewatch_agent.checks.throughput import FIRST_FLIGHT_BYTES, Meter
from linewatch_core.details import ThroughputDetail
from linewatch_core.records import Check
from tests.agent.checks.lab import line_checks, run_once, target
from tests.agent.checks.servers import Handler, http_reply, reset, stream_server

N = 65_536


@dataclass
class Hands:
    """A clock moved by hand, in ms."""

    now_ms: int = 0
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        """Make the clock."""
        self.clock = Clock(monotonic_ns=lambda: self.now_ms * 1_000_000)


def metered(*parts: tuple[int, int], ended_ms: int | None = None) -> ThroughputDetail | None:
    """Return what a meter says of parts of (at ms, bytes); `ended_ms`: when it was cut off."""
    hands = Hands()
    meter = Meter(hands.clock)
    for hands.now_ms, size in parts:
        meter.take(bytes(size))
    if ended_ms is not None:
        hands.now_ms = ended_ms
    return meter.detail(ended=ended_ms is None)


@pytest.mark.parametrize(
    ("parts", "ended_ms", "counted", "duration_ms"),
    [
        ([(100, 14_600), (200, 29_200), (300, 21_736)], None, 21_736, 100),
        ([(100, 16_384), (200, 16_384), (300, 32_768)], None, 49_152, 200),
        ([(100, 65_536)], None, 0, 0),
        ([(100, 8_000)], None, 0, 0),
        ([(100, 20_000), (200, 10_000)], 5_000, 10_000, 4_900),
        ([(100, 3_000), (900, 2_000)], 5_000, 5_000, 4_900),
    ],
)
def test_what_is_counted(
    parts: list[tuple[int, int]], ended_ms: int | None, counted: int, duration_ms: int
) -> None:
    """The first flight is not; a stall's waiting is; a body too short tells nothing."""
    body_bytes = sum(size for _, size in parts)
    assert metered(*parts, ended_ms=ended_ms) == ThroughputDetail(
        counted, duration_ms * 1000, body_bytes
    )


def test_no_byte_is_no_detail() -> None:
    """A fetch that never got a body has nothing to say of its rate."""
    assert metered(ended_ms=5_000) is None


def test_the_rate_is_of_what_was_counted() -> None:
    """Bytes by seconds, and None where it was too short to tell."""
    assert ThroughputDetail(50_000, 500_000, 66_384).bytes_per_s == 100_000
    assert ThroughputDetail(0, 0, 900).bytes_per_s is None


def dripping(size: int, *, part: int, gap_s: float) -> Handler:
    """Return a handler that sends a body in parts, like a shaped line."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        for begin in range(0, size, part):
            writer.write(bytes(min(part, size - begin)))
            await writer.drain()
            await asyncio.sleep(gap_s)

    return handle


async def fetched(handler: Handler, **changes: Any) -> Outcome:
    """Return the outcome of a throughput check of a handler."""
    async with stream_server(handler) as port:
        url = f"http://127.0.0.1:{port}/file"
        return await run_once(Check.THROUGHPUT, "127.0.0.1", url=url, **changes)


async def test_a_shaped_line_gives_its_rate() -> None:
    """8 KiB each 100 ms is at most 82 kB/s, whatever the first flight did.

    A part that is read late makes the time that is counted shorter, by less than a tenth.
    """
    outcome = await fetched(dripping(N, part=8_192, gap_s=0.1))
    assert isinstance(outcome.detail, ThroughputDetail)
    assert outcome.detail.bytes == N - FIRST_FLIGHT_BYTES
    assert outcome.detail.body_bytes == N
    assert outcome.detail.bytes_per_s is not None
    assert 10_000 < outcome.detail.bytes_per_s <= 8_192 / 0.1 * 1.1
    assert (outcome.failure, outcome.rtt_us, len(outcome.timings_us)) == (None, None, 5)
    assert outcome.bytes_in > N


async def test_a_throttled_line_ends_by_its_timeout_and_keeps_what_came() -> None:
    """What came until the timeout, over that time, is the rate of a strangled line."""
    outcome = await fetched(dripping(N, part=1_024, gap_s=0.05), timeout_s=0.6)
    assert outcome.failure == "generic_timeout_error"
    assert isinstance(outcome.detail, ThroughputDetail)
    assert 0 < outcome.detail.bytes <= 12 * 1_024
    assert outcome.detail.bytes_per_s is not None
    assert outcome.detail.bytes_per_s <= 1_024 / 0.05 * 1.2


async def test_only_the_range_is_asked_for() -> None:
    """A server that honours Range sends no byte too many."""
    asked: list[bytes] = []

    async def ranged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 20000\r\n\r\n"
        writer.write(head + bytes(20_000))
        await writer.drain()

    outcome = await fetched(ranged, bytes_max=20_000)
    assert re.search(rb"(?im)^range: bytes=0-19999\r$", asked[0])
    assert outcome.failure is None
    assert isinstance(outcome.detail, ThroughputDetail)
    assert outcome.detail.body_bytes == 20_000


async def test_the_cost_is_bounded_where_range_is_ignored() -> None:
    """An endless body costs its limit, and what the clamped window let through."""
    outcome = await fetched(http_reply(bytes(5_000_000)), bytes_max=N)
    assert isinstance(outcome.detail, ThroughputDetail)
    assert outcome.detail.body_bytes == N
    assert outcome.bytes_in < 2.5 * N


async def test_a_reset_is_a_failure() -> None:
    """No body, no rate."""
    outcome = await fetched(reset)
    assert (outcome.failure, outcome.detail) == ("connection_reset", None)


async def test_a_cancelled_fetch_leaves_nothing_open() -> None:
    """Cancellation passes through in the middle of the body."""
    async with (
        stream_server(dripping(N, part=1_024, gap_s=0.05)) as port,
        line_checks() as checks,
    ):
        made = target("127.0.0.1", Check.THROUGHPUT, url=f"http://127.0.0.1:{port}/")
        running = asyncio.create_task(checks.run(Check.THROUGHPUT, made, 4, timeout_s=60))
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
