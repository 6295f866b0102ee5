"""The country as data: operators, lines, sites, and who answers for which name.

Pure: reads country.toml's text, makes nothing. The relay, the sites and the
namespaces are all built from this one value, so that they agree.
"""

from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

import msgspec

from linewatch_agent.plan.toml_errors import decode_toml
from linewatch_core.records import LineKind, Role
from tests.lab.knobs import Knob, Options
from tests.lab.rules import Rule

COUNTRY = Path(__file__).parent / "country.toml"
PORTAL_CHECK_PATH = "/generate_204"
HOME_NETWORK, PROBE_AT_HOME, HOME_ROUTER = "192.168.1.0/24", "192.168.1.2", "192.168.1.1"


class Service(StrEnum):
    """What a site runs."""

    HTTP = "http"
    HTTPS = "https"
    DNS = "dns"
    DOT = "dot"
    DOH = "doh"
    NTP = "ntp"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class LinkPlan(_Table, frozen=True, kw_only=True):
    """A link's ordinary delay (one way), loss and rate."""

    delay_ms: float = 0.0
    loss: float = 0.0
    rate_kbit: float | None = None


class OperatorPlan(_Table, frozen=True, kw_only=True):
    """An operator and its three hosts."""

    name: str
    resolver: str
    portal: str
    block_page: str


class LinePlan(LinkPlan, frozen=True, kw_only=True):
    """One line of the probe."""

    id: str
    kind: LineKind
    operator: str
    device: str


class SitePlan(_Table, frozen=True, kw_only=True):
    """One host; `place` is its namespace. A `secondary` address is not what DNS gives.

    `sensitive` are those of its names that a censor may mind.
    """

    id: str
    place: str
    address: str
    names: tuple[str, ...]
    services: tuple[Service, ...] = ()
    role: Role | None = None
    secondary: bool = False
    sensitive: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        """The /16 that the address is in."""
        return ".".join(self.address.split(".")[:2]) + ".0.0/16"


class CountryPlan(_Table, frozen=True, kw_only=True):
    """All of country.toml."""

    domestic: str
    abroad: str
    international: LinkPlan
    operator: tuple[OperatorPlan, ...]
    line: tuple[LinePlan, ...]
    site: tuple[SitePlan, ...]

    def nearer(self, *, delays: float, rates: float) -> "CountryPlan":
        """Return the same country with every link's delay and rate multiplied."""
        links = (
            msgspec.structs.replace(
                each,
                delay_ms=each.delay_ms * delays,
                rate_kbit=None if each.rate_kbit is None else each.rate_kbit * rates,
            )
            for each in (self.international, *self.line)
        )
        return msgspec.structs.replace(self, international=next(links), line=tuple(links))

    def subnet(self, line: LinePlan) -> str:
        """Return the first three bytes of the addresses on a line's access link.

        The customer has .2, the operator's gateway .1 (RFC 6598 space, as behind a CGNAT).
        """
        return f"100.64.{self.line.index(line) + 1}"

    def operator_of(self, line: LinePlan) -> OperatorPlan:
        """Return the line's operator."""
        return next(each for each in self.operator if each.name == line.operator)

    def zone(self) -> dict[str, str]:
        """Return the address of every name, as honest resolvers give it."""
        sites = {name: s.address for s in self.site if not s.secondary for name in s.names}
        return sites | {f"login.{each.name}.example": each.portal for each in self.operator}

    def address_of(self, site: str) -> str:
        """Return the address of a site's id; an address stands for itself.

        Raises:
            ValueError: there is no such site.
        """
        for each in self.site:
            if each.id == site:
                return each.address
        try:
            return str(ip_address(site))
        except ValueError:
            raise ValueError(f"no site is called {site!r}; see country.toml") from None

    def lines_of(
        self, operator: str | None = None, kind: LineKind | None = None
    ) -> tuple[LinePlan, ...]:
        """Return the lines of an operator and of a kind; None is any."""
        return tuple(
            line
            for line in self.line
            if operator in (None, line.operator) and kind in (None, line.kind)
        )

    def rule(self, knob: Knob, options: Options, line: LinePlan) -> Rule:
        """Return a knob as a middlebox on `line` needs it."""
        operator = self.operator_of(line)
        return Rule(
            knob,
            names=options.names,
            addresses=frozenset(_packed(self.address_of(site)) for site in options.sites),
            ports=frozenset(options.ports),
            mode=options.mode,
            offset_s=options.offset_s or 0.0,
            own=frozenset(
                map(_packed, (operator.resolver, operator.portal, f"{self.subnet(line)}.1"))
            ),
            portal=_packed(operator.portal),
            block_page=_packed(operator.block_page),
            abroad=self.abroad,
            rate_kbit=options.rate_kbit,
            loss=options.loss or 0.0,
        )

    def agent_lines(self) -> str:
        """Return the `[[line]]` tables of the agent's configuration."""
        return "".join(
            f'[[line]]\nid = "{line.id}"\ndevice = "{line.device}"\nkind = "{line.kind}"\n'
            f'resolvers = ["{self.operator_of(line).resolver}"]\n'
            for line in self.line
        )


def load_country(path: Path = COUNTRY) -> CountryPlan:
    """Return the country of a TOML file; ConfigError says what is wrong with it."""
    return decode_toml(path.read_bytes(), CountryPlan, name=path.name)[0]


def _packed(address: str) -> bytes:
    return ip_address(address).packed
