"""The tcp check on loopback: handshakes, refusals, silence, cancellation."""

import asyncio
import socket

import pytest

from linewatch_agent.line_socket import line_socket, sockaddr
from linewatch_core.records import Check
from tests.agent.checks.lab import TIMEOUT_S, line_checks, loopback, run_once, target
from tests.agent.checks.servers import full_backlog, stream_server, tarpit


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", 4), ("::1", 6)])
async def test_a_handshake_is_timed(host: str, family: int) -> None:
    """A listening port answers over IPv4 and IPv6, with its time and its bytes."""
    async with stream_server(tarpit, host=host) as port:
        outcome = await run_once(Check.TCP, host, family, port=port)
    assert (outcome.failure, outcome.family, outcome.address) == (None, family, host)
    assert outcome.rtt_us is not None
    assert outcome.rtt_us % 10 == 0
    header = 52 if family == 4 else 72
    # SYN, ACK and FIN go out at least; a handshake and a close are no more than 5 segments.
    assert 3 * header <= outcome.bytes_out <= 5 * header + 8
    assert 2 * header <= outcome.bytes_in <= 5 * header + 8


async def test_a_closed_port_is_a_refusal() -> None:
    """An RST is connection_refused, and the SYN and RST are counted."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outcome = await run_once(Check.TCP, "127.0.0.1", port=unused.getsockname()[1])
    assert outcome.failure == "connection_refused"
    assert outcome.rtt_us is None
    assert outcome.bytes_out > 0


async def test_silence_is_a_timeout() -> None:
    """A host that drops SYNs is generic_timeout_error, and its SYN is counted."""
    with full_backlog() as port:
        outcome = await run_once(Check.TCP, "127.0.0.1", port=port, timeout_s=0.2)
    assert outcome.failure == "generic_timeout_error"
    assert (outcome.bytes_out, outcome.bytes_in) == (60, 0)


async def test_a_missing_device_is_a_failure() -> None:
    """A modem that was pulled out is no_device, not an exception."""
    gone = loopback()
    gone = type(gone)(gone.id, gone.kind, "gone0", gone.families)
    outcome = await run_once(Check.TCP, "127.0.0.1", line=gone)
    assert (outcome.failure, outcome.family) == ("no_device", 4)


async def test_a_line_without_an_address_sends_nothing() -> None:
    """The kernel would lend another line's source address, so no packet may leave."""
    async with stream_server(tarpit) as port:
        outcome = await run_once(Check.TCP, "127.0.0.1", line=loopback(families=(6,)), port=port)
    assert (outcome.failure, outcome.family) == ("address_not_available", 0)
    assert outcome.bytes_out == 0


async def test_a_literal_of_the_other_family_is_a_failure() -> None:
    """An IPv6 check of an IPv4 literal says so."""
    outcome = await run_once(Check.TCP, "127.0.0.1", 6)
    assert outcome.failure == "address_family_not_supported"


async def test_the_gateways_address_is_never_in_an_outcome() -> None:
    """@gateway is measured, and where it is stays on the probe."""
    async with stream_server(tarpit) as port:
        line = loopback(gateways={4: "127.0.0.1"})
        outcome = await run_once(Check.TCP, "@gateway", line=line, port=port)
        missing = await run_once(Check.TCP, "@gateway", 6, line=line, port=port)
    assert (outcome.failure, outcome.family, outcome.address) == (None, 4, None)
    assert (missing.failure, missing.family) == ("no_gateway", 0)


async def test_a_cancelled_check_closes_its_socket() -> None:
    """Cancellation passes through and leaves nothing open (warnings are errors)."""
    with full_backlog() as port:
        async with line_checks() as checks:
            running = asyncio.create_task(
                checks.run(
                    Check.TCP,
                    target("127.0.0.1", Check.TCP, port=port),
                    4,
                    timeout_s=TIMEOUT_S,
                )
            )
            await asyncio.sleep(0)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running


def test_a_socket_is_bound_to_its_device() -> None:
    """The kernel confirms the device; a refused binding closes the socket."""
    with line_socket("lo", socket.AF_INET, socket.SOCK_STREAM) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"
    with pytest.raises(OSError, match="No such device"):
        line_socket("gone0", socket.AF_INET, socket.SOCK_STREAM)


def test_a_link_local_address_gets_its_devices_scope() -> None:
    """fe80::1 is another host on every line."""
    index = socket.if_nametoindex("lo")
    assert sockaddr("lo", "fe80::1", 80) == ("fe80::1", 80, 0, index)
    assert sockaddr("lo", "fe80::1%other", 80) == ("fe80::1", 80, 0, index)
    assert sockaddr("lo", "2001:db8::1", 80) == ("2001:db8::1", 80, 0, 0)
    assert sockaddr("lo", "192.0.2.1", 80) == ("192.0.2.1", 80)
