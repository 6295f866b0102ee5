"""What one check costs in bytes on the wire, both ways together, IP headers included.

Pure, and an upper bound where the answer's length is the other side's choice; what a
check really cost is in its outcome. Source: docs/configuration.md, "Data use".
"""

from linewatch_core.records import Check, Role
from linewatch_core.targets import Target

ICMP_BYTES = 168
"""84 each way: our echoes have the length of ping(8)'s."""
DNS_BYTES = 200
TCP_BYTES = 300
HTTP_BYTES = 900
"""A plain request answered by 204 and no body."""
TLS_BYTES = 4_700
"""What a handshake adds, mostly the server's certificates."""
BODY_BYTES = 64 * 1024
"""As much of a page as the http and throughput checks read, unless a target says else."""
ALTERNATION_BODY_BYTES = 4 * 1024
"""As much as one fetch of the sni and host checks reads, unless a target says else."""
TRACE_BYTES = 6_000
"""Two probes each to twenty hops, and the routers' answers."""
NEIGHBOURS = 3
"""The target itself and, where it fails, the addresses before and after it."""
PACKET_OVERHEAD = 1.06
"""Headers of full TCP segments and of their acknowledgements, as a factor on the body.

A server that ignores `Range` sends more than it is asked for; the ledger counts that."""


_SMALL = {
    Check.ICMP: ICMP_BYTES,
    Check.DNS: DNS_BYTES,
    Check.RANDOM_NAME: DNS_BYTES,
    Check.TCP: TCP_BYTES,
    Check.NEIGHBOUR: NEIGHBOURS * TCP_BYTES,
    Check.TRACE: TRACE_BYTES,
    # The line's own resolver and another by UDP, then that one by TLS and by HTTPS.
    Check.CONTRAST: 4 * DNS_BYTES + 2 * TLS_BYTES + TCP_BYTES + HTTP_BYTES,
}
"""Checks whose cost depends on no target."""


def check_bytes(check: Check, target: Target) -> int:
    """Return what one run of `check` on `target` costs at most, in bytes."""
    small = _SMALL.get(check)
    return _fetch_bytes(check, target) if small is None else small


def _fetch_bytes(check: Check, target: Target) -> int:
    fetches = 2 * target.pairs if check in (Check.SNI, Check.HOST) else 1
    plain = target.url is not None and target.url.lower().startswith("http://")
    tls = 0 if plain or check is Check.HOST else TLS_BYTES
    return fetches * (HTTP_BYTES + tls + _body_bytes(check, target))


def _body_bytes(check: Check, target: Target) -> int:
    match check:
        case Check.SNI | Check.HOST:
            return int((target.bytes_max or ALTERNATION_BODY_BYTES) * PACKET_OVERHEAD)
        case Check.THROUGHPUT:
            return int((target.bytes_max or BODY_BYTES) * PACKET_OVERHEAD)
        case _:
            tiny = check is Check.PORTAL or target.role is Role.PORTAL
            return 0 if tiny else BODY_BYTES
