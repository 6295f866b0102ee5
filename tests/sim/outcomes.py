"""What the sample of a check looks like, by how the check ended: failure, times and detail.

Pure: a table from (check, fate) to a shape; noise and loss are the network's to add.
A shape that the table lacks is that of a check which ended fine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from linewatch_core.details import (
    AlternationDetail,
    Answer,
    ContrastDetail,
    Detail,
    DnsDetail,
    HttpDetail,
    NeighbourDetail,
    PortalAnswer,
    PortalDetail,
)
from linewatch_core.records import Check
from tests.lab.knobs import Spoof
from tests.sim.effects import Fate

TIMEOUT = "generic_timeout_error"
RESET = "connection_reset"
MISTIMED = "ssl_invalid_certificate"
BOGON = "10.10.34.34"
PAGE_SHA, BLOCK_SHA, CHAIN_SHA, ISSUER_SHA = "11" * 8, "22" * 8, "33" * 8, "44" * 8
SLOW_TIMES = 12
"""How many times as long a throttled name takes."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A check about to be made on a line, and what a knob says of it.

    Attributes:
        address: the true one of its target; None: it asks the line's own resolver.
        rtt_us: there and back.
        pairs: of alternations.
        mode: how answers are forged, if they are.
        forged: the address of the block page or portal, or of another edge.
        login: host of the operator's portal.
        neighbour: an address beside the target's that answers; None: none does.
    """

    check: Check
    address: str | None
    true_address: str
    rtt_us: int
    pairs: int
    resolver: bool = False
    mode: Spoof | None = None
    forged: str = ""
    login: str = ""
    neighbour: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A sample without its place: `rtt_us` 0 means none; `measures` marks goodput."""

    failure: str | None
    rtt_us: int
    address: str | None
    timings_us: tuple[int, ...] = ()
    detail: Detail | None = None
    measures: bool = False


def shape(asked: Asked, fate: Fate) -> Shape:
    """Return how a check looks that ended so."""
    make = _SHAPES.get((asked.check, fate)) or _ANY.get(fate) or _FINE.get(asked.check, _plain)
    return make(asked)


def _plain(asked: Asked) -> Shape:
    return Shape(None, asked.rtt_us, asked.address)


def _silent(asked: Asked) -> Shape:
    return Shape(TIMEOUT, 0, asked.address)


def _dns(asked: Asked) -> Shape:
    return Shape(
        None, asked.rtt_us, asked.address, detail=DnsDetail("NOERROR", (asked.true_address,))
    )


def _names(asked: Asked) -> tuple[str, tuple[str, ...], tuple[str, ...] | None]:
    """Return the code of a forged answer, its addresses, and those of a second one."""
    match asked.mode:
        case Spoof.NXDOMAIN:
            return "NXDOMAIN", (), None
        case Spoof.BLOCK_PAGE:
            return "NOERROR", (asked.forged,), None
        case Spoof.INJECTED:
            return "NOERROR", (BOGON,), (asked.true_address,)
        case _:
            return "NOERROR", (BOGON,), None


def _dns_spoofed(asked: Asked) -> Shape:
    code, first, second = _names(asked)
    failure = None if first else "dns_nxdomain_error"
    return Shape(failure, asked.rtt_us, asked.address, detail=DnsDetail(code, first, second, 4000))


def _dns_forged(asked: Asked) -> Shape:
    return Shape(None, asked.rtt_us, asked.address, detail=DnsDetail("NOERROR", (asked.forged,)))


def _contrast(asked: Asked) -> Shape:
    true = Answer(None, (asked.true_address,), asked.rtt_us)
    return Shape(None, asked.rtt_us, asked.address, detail=ContrastDetail(true, true, true, true))


def _contrast_spoofed(asked: Asked) -> Shape:
    _, first, _ = _names(asked)
    failure = None if first else "dns_nxdomain_error"
    lie = Answer(failure, first, asked.rtt_us)
    true = Answer(None, (asked.true_address,), asked.rtt_us)
    detail = ContrastDetail(lie, lie, true, true)
    return Shape(failure, asked.rtt_us, asked.address, detail=detail)


def _contrast_silent(asked: Asked) -> Shape:
    none = Answer(TIMEOUT)
    return replace(_silent(asked), detail=ContrastDetail(none, none, none, none))


def _contrast_mistimed(asked: Asked) -> Shape:
    true, refused = Answer(None, (asked.true_address,), asked.rtt_us), Answer(MISTIMED)
    detail = ContrastDetail(true, true, refused, refused)
    return Shape(None, asked.rtt_us, asked.address, detail=detail)


def _timings(rtt_us: int, phases: int) -> tuple[int, ...]:
    return (rtt_us, rtt_us, 2 * rtt_us, rtt_us, rtt_us)[:phases]


def _http(asked: Asked) -> Shape:
    detail = HttpDetail(200, 1200, PAGE_SHA, None, CHAIN_SHA, ISSUER_SHA)
    return Shape(None, asked.rtt_us, asked.address, _timings(asked.rtt_us, 5), detail)


def _http_failed(failure: str) -> Callable[[Asked], Shape]:
    return lambda asked: Shape(failure, 0, asked.address, _timings(asked.rtt_us, 2))


def _misled(asked: Asked) -> Shape:
    """Go to the forged address: there nothing answers, or the block page's host does."""
    if asked.mode is Spoof.NXDOMAIN:
        return Shape("dns_nxdomain_error", 0, None)
    if asked.mode is not Spoof.BLOCK_PAGE:
        return Shape(TIMEOUT, 0, BOGON)
    if asked.check is Check.HTTP:
        return replace(_http_failed("ssl_invalid_hostname")(asked), address=asked.forged)
    return Shape(None, asked.rtt_us, asked.forged)


def _rotated(asked: Asked) -> Shape:
    return replace(_http(asked) if asked.check is Check.HTTP else _plain(asked),
                   address=asked.forged)  # fmt: skip


def _alternating(letter: str, *, times: int = 1) -> Callable[[Asked], Shape]:
    def make(asked: Asked) -> Shape:
        took = {"f": 2 * asked.rtt_us * times}.get(letter)
        page = HttpDetail(200, 1200, PAGE_SHA) if letter == "f" else None
        detail = AlternationDetail(
            "f" * asked.pairs, letter * asked.pairs, 2 * asked.rtt_us, took,
            3 * asked.rtt_us, took and took * 3 // 2, HttpDetail(200, 1200, PAGE_SHA), page,
        )  # fmt: skip
        return Shape(None, asked.rtt_us, asked.address, detail=detail)

    return make


def _unreached(asked: Asked) -> Shape:
    letters = "u" * asked.pairs
    return replace(_silent(asked), detail=AlternationDetail(letters, letters))


def _intercepted_pairs(asked: Asked) -> Shape:
    letters = "x" * asked.pairs
    return Shape("ssl_unknown_authority", 0, asked.address,
                 detail=AlternationDetail(letters, letters))  # fmt: skip


def _block_page(asked: Asked) -> Shape:
    made = _alternating("o")(asked)
    assert isinstance(made.detail, AlternationDetail)
    page = HttpDetail(403, 300, BLOCK_SHA)
    detail = AlternationDetail(
        made.detail.neutral,
        made.detail.sensitive,
        neutral_page=made.detail.neutral_page,
        sensitive_page=page,
    )
    return replace(made, detail=detail)


def _portal(asked: Asked) -> Shape:
    detail = PortalDetail(PortalAnswer.FINE, 204, 0, "e3b0c44298fc1c14")
    return Shape(None, asked.rtt_us, asked.address, detail=detail)


def _portal_redirected(asked: Asked) -> Shape:
    location = f"{asked.login}/"
    detail = PortalDetail(PortalAnswer.REDIRECTED, 302, 0, "e3b0c44298fc1c14", location)
    return Shape("http_unexpected_redirect", asked.rtt_us, asked.address, detail=detail)


def _neighbour_silent(asked: Asked) -> Shape:
    there = asked.neighbour
    detail = NeighbourDetail(there or asked.true_address, TIMEOUT if there is None else None)
    return replace(_silent(asked), detail=detail)


def _random_name(asked: Asked) -> Shape:
    return Shape(None, asked.rtt_us, None, detail=DnsDetail("NXDOMAIN", ()))


def _random_name_forged(asked: Asked) -> Shape:
    detail = DnsDetail("NOERROR", (asked.forged,))
    return Shape("dns_invented_answer", asked.rtt_us, None, detail=detail)


_FINE: dict[Check, Callable[[Asked], Shape]] = {
    Check.DNS: _dns,
    Check.HTTP: _http,
    Check.SNI: _alternating("f"),
    Check.HOST: _alternating("f"),
    Check.CONTRAST: _contrast,
    Check.PORTAL: _portal,
    Check.RANDOM_NAME: _random_name,
    Check.THROUGHPUT: lambda asked: replace(_plain(asked), measures=True),
}
_ANY: dict[Fate, Callable[[Asked], Shape]] = {
    Fate.SILENT: _silent,
    Fate.HANGING: _silent,
    Fate.MISLED: _misled,
    Fate.ROTATED: _rotated,
}
_SHAPES: dict[tuple[Check, Fate], Callable[[Asked], Shape]] = {
    (Check.DNS, Fate.SPOOFED): _dns_spoofed,
    (Check.DNS, Fate.PORTAL): _dns_forged,
    (Check.DNS, Fate.ROTATED): _dns_forged,
    (Check.CONTRAST, Fate.SPOOFED): _contrast_spoofed,
    (Check.CONTRAST, Fate.SILENT): _contrast_silent,
    (Check.CONTRAST, Fate.MISTIMED): _contrast_mistimed,
    (Check.HTTP, Fate.RESET): _http_failed(RESET),
    (Check.HTTP, Fate.DROPPED): _http_failed(TIMEOUT),
    (Check.HTTP, Fate.HANGING): _http_failed(TIMEOUT),
    (Check.HTTP, Fate.MISTIMED): _http_failed(MISTIMED),
    (Check.HTTP, Fate.INTERCEPTED): _http_failed("ssl_unknown_authority"),
    (Check.SNI, Fate.RESET): _alternating("r"),
    (Check.SNI, Fate.DROPPED): _alternating("d"),
    (Check.SNI, Fate.SLOW): _alternating("f", times=SLOW_TIMES),
    (Check.SNI, Fate.INTERCEPTED): _intercepted_pairs,
    (Check.SNI, Fate.SILENT): _unreached,
    (Check.SNI, Fate.HANGING): _unreached,
    (Check.HOST, Fate.RESET): _alternating("r"),
    (Check.HOST, Fate.BLOCK_PAGE): _block_page,
    (Check.HOST, Fate.SILENT): _unreached,
    (Check.HOST, Fate.HANGING): _unreached,
    (Check.NEIGHBOUR, Fate.SILENT): _neighbour_silent,
    (Check.PORTAL, Fate.PORTAL): _portal_redirected,
    (Check.RANDOM_NAME, Fate.PORTAL): _random_name_forged,
}
