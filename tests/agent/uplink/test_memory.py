"""What the uplink keeps: the floor of time, the fleet's spread, where the server was."""

from linewatch_agent.mqtt.fleet_tls import RELEASED_S
from linewatch_agent.uplink.memory import ADDRESSES_MAX, FLOOR_STEP_MS, UplinkMemory
from linewatch_core.sync.messages import Ack

LATER_MS = int(RELEASED_S * 1000) + 400 * FLOOR_STEP_MS


def ack(server_ms: int, *, spread_s: int = 0, error_ms: int = 0) -> Ack:
    """Return a valid ack."""
    return Ack(
        probe="a" * 16,
        epoch="00112233445566aa",
        conn=1,
        birth=True,
        streams={},
        server_ms=server_ms,
        server_error_ms=error_ms,
        spread_s=spread_s,
    )


def test_at_first_only_the_release_is_known_to_be_past() -> None:
    """Whatever the clock says; nothing is worth keeping before a first ack."""
    assert UplinkMemory(None).floor_s(5) == RELEASED_S


def test_the_floor_is_the_servers_time_less_its_error_and_goes_on() -> None:
    """A little slower than our clock, which may be fast."""
    memory = UplinkMemory(None)
    memory.acked(ack(LATER_MS, error_ms=2000), 100.0, host="a", address=None)
    assert memory.floor_s(100.0) == (LATER_MS - 2000) / 1000
    assert memory.floor_s(1100.0) == (LATER_MS - 2000) / 1000 + 999


def test_the_floor_never_goes_back() -> None:
    """A server with a wrong clock later cannot make an expired certificate good again."""
    memory = UplinkMemory(None)
    memory.acked(ack(LATER_MS), 0, host="a", address=None)
    memory.acked(ack(1_000), 1, host="a", address=None)
    assert memory.floor_s(1) >= LATER_MS / 1000


def test_what_is_kept_is_read_again() -> None:
    """Floor, spread and addresses survive a restart, in which the monotonic clock begins anew."""
    memory = UplinkMemory(None)
    memory.acked(ack(LATER_MS, spread_s=300), 500, host="b.example", address="192.0.2.7")
    again = UplinkMemory(memory.to_keep(500))
    assert again.floor_s(0) == LATER_MS / 1000
    assert (again.spread_s, again.addresses) == (300, {"b.example": "192.0.2.7"})


def test_it_is_kept_when_something_changed_or_a_day_has_passed() -> None:
    """A write for every ack would wear the card out."""
    memory = UplinkMemory(None)
    memory.acked(ack(LATER_MS), 0, host="a", address=None)
    first = memory.to_keep(0)
    assert first is not None
    assert memory.to_keep(1) is not None, "not told yet that it is durable"
    memory.was_kept(first)
    assert memory.to_keep(3600) is None
    memory.acked(ack(LATER_MS, spread_s=5), 3600, host="a", address=None)
    assert memory.to_keep(3600) is not None
    assert memory.to_keep(2 * 86_400) is not None


def test_what_cannot_be_read_is_nothing() -> None:
    """Of an older agent, or damaged: time is lost, nothing else."""
    for kept in (b"", b"\xff", b"[]", b'{"spread_s": -1}', b'{"floor_ms": "x"}'):
        memory = UplinkMemory(kept)
        assert (memory.floor_s(0), memory.spread_s, memory.addresses) == (RELEASED_S, 0, {})


def test_addresses_do_not_grow_without_bound() -> None:
    """Sixteen hosts are more than any configuration names; a known one still moves."""
    memory = UplinkMemory(None)
    for number in range(ADDRESSES_MAX + 5):
        memory.acked(ack(0), 0, host=f"h{number}", address="192.0.2.1")
    memory.acked(ack(0), 0, host="h0", address="192.0.2.2")
    assert len(memory.addresses) == ADDRESSES_MAX
    assert memory.addresses["h0"] == "192.0.2.2"
