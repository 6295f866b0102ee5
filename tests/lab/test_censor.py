"""What a middlebox makes of packets: step by step, as values, without a network."""

import ssl
import struct

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lab import forge
from tests.lab.censor import CONNECTIONS_MAX, Censor, Emit
from tests.lab.knobs import Knob, Spoof
from tests.lab.packets import (
    ACK,
    PSH,
    RST,
    SYN,
    TCP,
    UDP,
    checksum,
    http_host,
    parse,
    server_name,
    tcp_packet,
    udp_packet,
)
from tests.lab.rules import Direction, Rule, in_order

UP, DOWN = Direction.UP, Direction.DOWN
PROBE, SITE, PORTAL = (bytes(4 * [n]) for n in (1, 2, 3))
NAME = "news.example"
REQUEST = f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode()


def client_hello(name: str) -> bytes:
    """Return the first flight of a real TLS client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def up(port: int, payload: bytes = b"", *, flags: int = ACK | PSH, seq: int = 100) -> bytes:
    """Return a segment from the probe to the site."""
    return tcp_packet((PROBE, 40000), (SITE, port), seq=seq, ack=7, flags=flags, payload=payload)


def down(port: int, payload: bytes = b"") -> bytes:
    """Return a segment from the site to the probe."""
    return tcp_packet((SITE, port), (PROBE, 40000), seq=7, ack=100, flags=ACK, payload=payload)


def query(name: str) -> bytes:
    """Return a DNS question from the probe to the site."""
    return udp_packet((PROBE, 40000), (SITE, 53), dns.message.make_query(name, "A").to_wire())


def test_without_rules_packets_pass_as_they_are() -> None:
    """What is no IPv4 passes too."""
    censor = Censor()
    for raw in (b"", b"\x60", up(443)):
        assert censor.judge(raw, UP) == [Emit(UP, raw)]


def test_names_are_read_from_real_bytes() -> None:
    """The SNI of a real ClientHello and the Host of a request are found, in lower case."""
    assert server_name(client_hello("News.Example")) == NAME
    assert http_host(REQUEST.replace(b"Host: news", b"hOsT:NEWS")) == NAME
    assert server_name(REQUEST) is None
    assert http_host(b"GET / HTTP/1.1\r\n\r\n") is None


@given(st.integers(0, 600), st.integers(0, 600), st.integers(0, 255))
def test_no_bytes_make_the_readers_fail(cut: int, at: int, value: int) -> None:
    """A ClientHello cut short or with any byte changed gives a name or None."""
    hello = bytearray(client_hello(NAME))
    hello[at % len(hello)] = value
    found = server_name(bytes(hello[:cut]))
    assert found is None or isinstance(found, str)


@given(st.binary(max_size=80))
def test_any_packet_gets_a_fate(noise: bytes) -> None:
    """No bytes make a middlebox with every knob fail, in either direction."""
    rules = [
        Rule(knob, names=("*",), mode=Spoof.BOGON, portal=PORTAL, block_page=PORTAL)
        for knob in Knob
        if knob not in (Knob.CUT, Knob.UDP_ONLY, Knob.ICMP_ONLY, Knob.ALLOW_LIST)
    ]
    for raw in (noise, udp_packet((PROBE, 9), (SITE, 53), noise), up(443, noise), up(80, noise)):
        for rule in rules:
            for direction in Direction:
                assert isinstance(Censor([rule]).judge(raw, direction), list)


def test_forged_packets_are_whole() -> None:
    """IPv4, TCP and UDP checksums of what is forged verify."""
    for raw in (up(443, b"abc"), query(NAME)):
        packet = parse(raw)
        assert packet is not None
        assert checksum(raw[:20]) == 0
        pseudo = raw[12:20] + struct.pack("!BBH", 0, raw[9], len(raw) - 20)
        assert checksum(pseudo + raw[20:]) == 0


def test_sni_reset_ends_both_sides_and_lets_no_more_through() -> None:
    """The handshake passes; a ClientHello with the name resets both; what follows is dropped."""
    censor = Censor([Rule(Knob.SNI_RESET, names=(NAME,))])
    assert censor.judge(up(443, flags=SYN), UP) == [Emit(UP, up(443, flags=SYN))]
    hello = client_hello(f"www.{NAME}")
    back, onward = censor.judge(up(443, hello), UP)
    reset = parse(back.raw)
    assert reset is not None
    assert (back.direction, onward.direction) == (DOWN, UP)
    assert (reset.flags & RST, reset.seq, reset.ack) == (RST, 7, 100 + len(hello))
    assert censor.judge(up(443, b"more"), UP) == []
    assert censor.judge(down(443), DOWN) == []


def test_a_hello_in_two_segments_is_read() -> None:
    """The first half passes, the second completes the name."""
    censor = Censor([Rule(Knob.SNI_DROP, names=(NAME,))])
    hello = client_hello(NAME)
    assert censor.judge(up(443, hello[:60]), UP)
    assert censor.judge(up(443, hello[60:], seq=160), UP) == []


def test_a_new_connection_from_the_same_port_is_judged_anew() -> None:
    """A SYN forgets what the connection before it was."""
    censor = Censor([Rule(Knob.SNI_DROP, names=(NAME,))])
    assert censor.judge(up(443, client_hello(NAME)), UP) == []
    assert censor.judge(up(443, flags=SYN), UP)
    assert censor.judge(up(443, client_hello("other.example")), UP)


def test_memory_is_bounded() -> None:
    """Beyond its limit a middlebox forgets the oldest connections."""
    censor = Censor([Rule(Knob.SNI_DROP, names=(NAME,))])
    for port in range(CONNECTIONS_MAX + 100):
        raw = tcp_packet((PROBE, port), (SITE, 443), seq=1, ack=1, flags=SYN)
        censor.judge(raw, UP)
    assert len(censor._connections) == CONNECTIONS_MAX


def test_a_block_page_comes_with_the_end_of_the_connection() -> None:
    """The request gets a 403 in the server's name; the server gets a reset."""
    censor = Censor([Rule(Knob.HTTP_BLOCK_PAGE, names=(NAME,))])
    page, onward = censor.judge(up(80, REQUEST), UP)
    parsed, ended = parse(page.raw), parse(onward.raw)
    assert parsed is not None
    assert ended is not None
    assert (parsed.source, parsed.source_port) == (SITE, 80)
    assert parsed.payload.startswith(b"HTTP/1.1 403")
    assert ended.flags & RST


def test_a_redirect_is_undone_on_the_way_back() -> None:
    """The portal gets the request; its answer seems to come from the site that was asked."""
    censor = Censor([Rule(Knob.PORTAL, portal=PORTAL)])
    (sent,) = censor.judge(up(80, flags=SYN), UP)
    packet = parse(sent.raw)
    assert packet is not None
    assert (packet.target, packet.target_port) == (PORTAL, 80)
    reply = tcp_packet((PORTAL, 80), (PROBE, 40000), seq=1, ack=1, flags=SYN | ACK)
    (back,) = censor.judge(reply, DOWN)
    assert parse(back.raw) == parse(
        tcp_packet((SITE, 80), (PROBE, 40000), seq=1, ack=1, flags=SYN | ACK)
    )


@pytest.mark.parametrize(
    ("mode", "answers", "passes"),
    [
        (Spoof.BOGON, ["10.10.34.36"], False),
        (Spoof.BLOCK_PAGE, ["3.3.3.3"], False),
        (Spoof.NXDOMAIN, [], False),
        (Spoof.INJECTED, ["10.10.34.36"], True),
    ],
)
def test_dns_forgeries(mode: Spoof, answers: list[str], passes: bool) -> None:
    """Each mode's answer; only the injected one lets the question through as well."""
    censor = Censor([Rule(Knob.DNS_SPOOF, names=(NAME,), mode=mode, block_page=PORTAL)])
    emitted = censor.judge(query(f"www.{NAME}"), UP)
    packet = parse(emitted[0].raw)
    assert packet is not None
    reply = dns.message.from_wire(packet.payload)
    assert [item.to_text() for rrset in reply.answer for item in rrset] == answers
    assert [emit.direction for emit in emitted] == ([DOWN, UP] if passes else [DOWN])
    other = query("other.example")
    assert censor.judge(other, UP) == [Emit(UP, other)]


def test_a_lying_clock_leaves_the_clients_own_time_alone() -> None:
    """The origin timestamp is the client's check that the reply is to its question."""
    payload = bytes(24) + b"ORIGINAL" + bytes(16)
    raw = udp_packet((SITE, 123), (PROBE, 40000), payload)
    packet = parse(raw)
    assert packet is not None
    shifted = parse(forge.shifted_ntp(packet, 1.0))
    assert shifted is not None
    assert shifted.payload[24:32] == b"ORIGINAL"
    assert shifted.payload[40:48] == struct.pack("!Q", 2**32)


def test_order_is_by_what_a_rule_does_not_by_when_it_was_set() -> None:
    """What drops comes before what forges, and throttles last."""
    knobs = [Knob.THROTTLE_ALL, Knob.DNS_SPOOF, Knob.THROTTLE_SNI, Knob.CUT]
    assert [rule.knob for rule in in_order(map(Rule, knobs))] == [
        Knob.CUT,
        Knob.DNS_SPOOF,
        Knob.THROTTLE_SNI,
        Knob.THROTTLE_ALL,
    ]


@pytest.mark.parametrize(
    ("rule", "dropped"),
    [
        (Rule(Knob.CUT), {TCP, UDP}),
        (Rule(Knob.UDP_ONLY), {TCP}),
        (Rule(Knob.ICMP_ONLY), {TCP, UDP}),
        (Rule(Knob.INTL_CUT, abroad="2.0.0.0/8"), {TCP, UDP}),
        (Rule(Knob.INTL_CUT, abroad="9.0.0.0/8"), set()),
        (Rule(Knob.BLACKHOLE, addresses=frozenset({SITE})), {TCP, UDP}),
        (Rule(Knob.BLACKHOLE, addresses=frozenset({PORTAL})), set()),
        (Rule(Knob.ALLOW_LIST, addresses=frozenset({SITE})), set()),
        (Rule(Knob.ALLOW_LIST, addresses=frozenset({PORTAL})), {TCP, UDP}),
        (
            Rule(Knob.BROKER_BLOCKED, addresses=frozenset({SITE}), ports=frozenset({443})),
            {TCP},
        ),
        (Rule(Knob.NTP_BLOCKED), set()),
    ],
)
def test_what_is_dropped_is_dropped_both_ways(rule: Rule, dropped: set[int]) -> None:
    """Plain rules drop by the far end and the protocol, whichever way a packet goes."""
    there = {TCP: up(443), UDP: query(NAME)}
    back = {TCP: down(443), UDP: udp_packet((SITE, 53), (PROBE, 40000), b"")}
    censor = Censor([rule])
    assert {proto for proto, raw in there.items() if not censor.judge(raw, UP)} == dropped
    assert {proto for proto, raw in back.items() if not censor.judge(raw, DOWN)} == dropped
