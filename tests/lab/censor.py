"""What a middlebox on a line makes of each packet, by the rules that are set.

Pure: `judge(packet bytes, direction)` gives what to send on, back, or nowhere.
The first rule with an opinion decides. Per connection it remembers what it has
seen, since a ClientHello may come in two segments; it forgets the oldest
connections beyond a limit. It neither reads a clock nor sends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.lab import forge
from tests.lab.knobs import Knob, Spoof
from tests.lab.packets import TCP, UDP, Packet, http_host, parse, readdressed, server_name
from tests.lab.rules import Direction, Rule, is_dropped

CONNECTIONS_MAX = 4096
HELLO_BYTES_MAX = 8192


Flow = tuple[bytes, int, bytes, int]
"""A connection: address and port of the probe's side, then of the far one."""


class Emit(NamedTuple):
    """One packet to send in a direction; `throttle` names the rule whose rate it waits for.

    `flow`: its connection, which has that rate for itself.
    """

    direction: Direction
    raw: bytes
    throttle: int | None = None
    flow: Flow | None = None


@dataclass(slots=True)
class _Connection:
    hello: bytes = b""
    name: str | None = None
    ended: bool = False


@dataclass(slots=True)
class Censor:
    """The rules of one line, and what they remember."""

    rules: Sequence[Rule] = ()
    _connections: dict[Flow, _Connection] = field(default_factory=dict)
    _sent_to: dict[tuple[bytes, int, bytes, int], tuple[bytes, int]] = field(default_factory=dict)

    def judge(self, raw: bytes, direction: Direction) -> list[Emit]:
        """Return what becomes of a packet."""
        if not self.rules:
            return [Emit(direction, raw)]
        packet = parse(raw)
        if packet is None:
            return [Emit(direction, raw)]
        for number, rule in enumerate(self.rules):
            fate = self._fate(number, rule, packet, direction)
            if fate is not None:
                return fate
        return [Emit(direction, raw)]

    def _fate(
        self, number: int, rule: Rule, packet: Packet, direction: Direction
    ) -> list[Emit] | None:
        if rule.knob in _BY_NAME:
            return self._by_name(number, rule, packet, direction)
        if rule.knob is Knob.THROTTLE_ALL:
            return [Emit(direction, packet.raw, number, _flow(packet, direction))]
        if rule.knob in _REDIRECTS:
            return self._redirected(rule, packet, direction)
        if rule.knob in (Knob.DNS_SPOOF, Knob.CDN_ROTATION):
            return _spoofed(rule, packet, direction)
        if rule.knob is Knob.NTP_LYING:
            return _lying(rule, packet, direction)
        return [] if is_dropped(rule, packet, direction) else None

    def _by_name(
        self, number: int, rule: Rule, packet: Packet, direction: Direction
    ) -> list[Emit] | None:
        """Rule on the name that a connection began with (SNI on 443, Host on 80)."""
        port, read_name = _BY_NAME[rule.knob]
        server = packet.target_port if direction is Direction.UP else packet.source_port
        if packet.proto != TCP or server != port:
            return None
        connection = self._connection(packet, direction)
        if direction is Direction.UP and connection.name is None:
            connection.hello = (connection.hello + packet.payload)[:HELLO_BYTES_MAX]
            connection.name = read_name(connection.hello)
        if not rule.covers(connection.name):
            return None
        if rule.knob is Knob.THROTTLE_SNI:
            return [Emit(direction, packet.raw, number, _flow(packet, direction))]
        if connection.ended or rule.knob is Knob.SNI_DROP or direction is Direction.DOWN:
            return []
        connection.ended = True
        back = (
            forge.block_page(packet) if rule.knob is Knob.HTTP_BLOCK_PAGE else forge.reset(packet)
        )
        return [Emit(Direction.DOWN, back), Emit(Direction.UP, forge.reset_onward(packet))]

    def _connection(self, packet: Packet, direction: Direction) -> _Connection:
        key = _flow(packet, direction)
        if direction is Direction.UP and packet.flags & 2:
            self._connections.pop(key, None)  # a new connection from the same port
        if key not in self._connections:
            if len(self._connections) >= CONNECTIONS_MAX:
                del self._connections[next(iter(self._connections))]
            self._connections[key] = _Connection()
        return self._connections[key]

    def _redirected(self, rule: Rule, packet: Packet, direction: Direction) -> list[Emit] | None:
        if direction is Direction.DOWN:
            key = (packet.target, packet.target_port, packet.source, packet.source_port)
            original = self._sent_to.get(key)
            if original is not None:
                return [Emit(direction, readdressed(packet, source=original))]
            return [] if rule.knob is Knob.PORTAL and packet.source not in rule.own else None
        port = _new_port(rule, packet)
        if port is not None:
            key = (packet.source, packet.source_port, rule.portal, port)
            if len(self._sent_to) >= CONNECTIONS_MAX:
                del self._sent_to[next(iter(self._sent_to))]
            self._sent_to[key] = (packet.target, packet.target_port)
            return [Emit(direction, readdressed(packet, target=(rule.portal, port)))]
        if rule.knob is not Knob.PORTAL:
            return None
        if (
            packet.proto == UDP
            and packet.target_port == 53
            and forge.asked_name(packet) is not None
        ):
            return [Emit(Direction.DOWN, forge.dns_answer(packet, rule.portal))]
        return [] if packet.target not in rule.own else None


def _flow(packet: Packet, direction: Direction) -> Flow:
    up = direction is Direction.UP
    near, far = (packet.source, packet.source_port), (packet.target, packet.target_port)
    return (*near, *far) if up else (*far, *near)


PORTAL_PORT, INTERCEPT_PORT, TARPIT_PORT = 80, 8443, 9999
"""Where the operator's host takes redirected connections."""


def _new_port(rule: Rule, packet: Packet) -> int | None:
    if packet.proto != TCP:
        return None
    if rule.knob is Knob.PORTAL:
        return PORTAL_PORT if packet.target_port == 80 else None
    if rule.knob is Knob.TLS_INTERCEPT:
        return INTERCEPT_PORT if packet.target_port == 443 else None
    return TARPIT_PORT if packet.target in rule.addresses else None


def _spoofed(rule: Rule, packet: Packet, direction: Direction) -> list[Emit] | None:
    if direction is Direction.DOWN or packet.proto != UDP or packet.target_port != 53:
        return None
    if not rule.covers(forge.asked_name(packet)):
        return None
    if rule.mode is Spoof.NXDOMAIN:
        return [Emit(Direction.DOWN, forge.dns_answer(packet, None))]
    address = {Spoof.BLOCK_PAGE: rule.block_page, None: next(iter(rule.addresses), b"")}
    false = forge.dns_answer(packet, address.get(rule.mode, forge.BOGON))
    true = [Emit(Direction.UP, packet.raw)] if rule.mode is Spoof.INJECTED else []
    return [Emit(Direction.DOWN, false), *true]


def _lying(rule: Rule, packet: Packet, direction: Direction) -> list[Emit] | None:
    if direction is Direction.UP or packet.proto != UDP or packet.source_port != 123:
        return None
    return [Emit(direction, forge.shifted_ntp(packet, rule.offset_s))]


_BY_NAME: dict[Knob, tuple[int, Callable[[bytes], str | None]]] = {
    Knob.SNI_RESET: (443, server_name),
    Knob.SNI_DROP: (443, server_name),
    Knob.THROTTLE_SNI: (443, server_name),
    Knob.HTTP_BLOCK_PAGE: (80, http_host),
    Knob.HTTP_RESET: (80, http_host),
}
_REDIRECTS = frozenset({Knob.PORTAL, Knob.TLS_INTERCEPT, Knob.TARPIT})
