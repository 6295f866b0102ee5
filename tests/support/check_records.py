"""One sample of each check that holds one thing against another: values for golden vectors."""

from linewatch_core.details import (
    AlternationDetail,
    Answer,
    ContrastDetail,
    Detail,
    DnsDetail,
    Hop,
    HttpDetail,
    NeighbourDetail,
    PortalAnswer,
    PortalDetail,
    ThroughputDetail,
    TraceDetail,
)
from linewatch_core.modem_words import Bearer, ModemDetail, PacketService, Registration, Sim
from linewatch_core.records import Check, Record, Sample

_PAGE = HttpDetail(200, 4096, "6f1ed002ab559585", None, "a3c1f0e2d4b59687")
_BLOCKED = HttpDetail(403, 7, "0123456789abcdef")
_TRUE = Answer(None, ("192.0.2.7",), 41_230)

_SEEN: tuple[tuple[Check, str | None, str | None, Detail | None], ...] = (
    (Check.THROUGHPUT, None, "198.51.100.9", ThroughputDetail(49_152, 812_340, 65_536)),
    (
        Check.THROUGHPUT,
        "generic_timeout_error",
        "198.51.100.9",
        ThroughputDetail(5_000, 4_900_010, 5_000),
    ),
    (
        Check.TRACE,
        None,
        "198.51.100.9",
        TraceDetail(
            (Hop(3, "203.0.113.1", 9_120), Hop(5, "198.51.100.9", 30_050)),
            first_ttl=3,
            last_ttl=5,
            reached=True,
        ),
    ),
    (Check.TRACE, "generic_timeout_error", "198.51.100.9", TraceDetail((), 2, 20, False)),
    (
        Check.SNI,
        "connection_reset",
        "198.51.100.44",
        AlternationDetail("fff", "rrr", 51_200, None, 88_010, None, _PAGE),
    ),
    (
        Check.HOST,
        None,
        "198.51.100.44",
        AlternationDetail("fff", "foo", None, None, 30_000, 31_000, _PAGE, _BLOCKED),
    ),
    (
        Check.NEIGHBOUR,
        "generic_timeout_error",
        "198.51.100.44",
        NeighbourDetail("198.51.100.45", "connection_refused"),
    ),
    (Check.NEIGHBOUR, None, "198.51.100.44", None),
    (
        Check.CONTRAST,
        None,
        None,
        ContrastDetail(
            Answer(None, ("10.10.34.34",), 2_010),
            Answer(None, ("10.10.34.34",), 2_000),
            _TRUE,
            Answer("connection_reset"),
        ),
    ),
    (Check.RANDOM_NAME, None, None, DnsDetail("NXDOMAIN", ())),
    (Check.RANDOM_NAME, "dns_invented_answer", None, DnsDetail("NOERROR", ("@gateway",))),
    (
        Check.PORTAL,
        "http_unexpected_redirect",
        "203.0.113.80",
        PortalDetail(PortalAnswer.REDIRECTED, 302, 0, "e3b0c44298fc1c14", "pay.example.net/top-up"),
    ),
    (
        Check.PORTAL,
        None,
        "203.0.113.80",
        PortalDetail(PortalAnswer.FINE, 204, 0, "e3b0c44298fc1c14"),
    ),
    (
        Check.MODEM,
        None,
        None,
        ModemDetail(True, Sim.READY, Registration.HOME, Bearer.UP, -94, "99970", "lte"),
    ),
    (
        Check.MODEM,
        None,
        None,
        ModemDetail(
            sim=Sim.READY,
            registration=Registration.HOME,
            bearer=Bearer.DOWN,
            packet_service=PacketService.DETACHED,
        ),
    ),
    (Check.MODEM, None, None, ModemDetail(True, Sim.READY, Registration.SEARCHING, Bearer.DOWN)),
    (Check.MODEM, None, None, ModemDetail(present=False)),
    (
        Check.HTTP,
        None,
        "198.51.100.44",
        HttpDetail(200, 9, "6f1ed002ab559585", None, "a3c1f0e2d4b59687", "0f1e2d3c4b5a6978"),
    ),
)


def check_samples(*, first_seq: int = 1) -> list[Record]:
    """Return a sample of each check, some good and some bad, consecutive from `first_seq`."""
    return [
        Record(
            first_seq + place,
            Sample(
                mono_ms=61_003 + 40 * place,
                slot_ms=61_000 + 40 * place,
                round_ms=61_000,
                line="mobile-1",
                target=f"t-{check.value.replace('_', '-')}",
                check=check,
                family=4,
                failure=failure,
                rtt_us=None if failure else 12_340,
                address=address,
                detail=detail,
            ),
        )
        for place, (check, failure, address, detail) in enumerate(_SEEN)
    ]
