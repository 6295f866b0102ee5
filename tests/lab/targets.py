"""What a probe in the lab measures: the country's sites as the agent's targets.

Pure. Anchors at home and abroad, the sensitive names with all that their rules
need, portal checks of two vendors, and a name that nobody has.
"""

from linewatch_core.records import Check, Role
from linewatch_core.targets import Resolver, Target
from tests.lab.plan import PORTAL_CHECK_PATH, CountryPlan, SitePlan

PACE_BYTES = 40_960
PACE_EVERY = 1
"""Rounds between two checks of goodput: throttling is dated no better than that. They are
plain HTTP, since TLS hands out 16 KiB at a time, and a slow line has little more in a round."""
ALTERNATION_BYTES = 1_024
"""Of each page in an alternation: what a second has room for on a slow line."""
PAIRS, PAIRS_IF_SLOW = 3, 5
_PAGES = frozenset({"bank", "search", "mail", "neighbour"})
"""Hosts of whom a page is fetched over TLS too: a certificate that changes must be seen on
names in several networks, and each costs a narrow line more than all the small checks of a host."""
_ANCHOR = (Check.ICMP, Check.TCP, Check.DNS)
_SENSITIVE = (
    *(Check.TCP, Check.DNS, Check.HTTP),
    *(Check.SNI, Check.HOST, Check.NEIGHBOUR, Check.CONTRAST),
)


def lab_targets(country: CountryPlan, *, pairs: int = PAIRS) -> tuple[Target, ...]:
    """Return the targets, valid for the agent's configuration.

    `pairs`: of each alternation; a slow name takes `PAIRS_IF_SLOW` to tell.
    """
    found: list[Target] = []
    for site in country.site:
        match site.role:
            case Role.SENSITIVE:
                found += [_sensitive(country, name, pairs) for name in site.sensitive]
            case Role.RESOLVER:
                found.append(_resolver(site))
            case Role.PORTAL:
                found.append(_portal(site))
            case None:
                continue
            case role:
                checks = (*_ANCHOR, Check.HTTP) if site.id in _PAGES else _ANCHOR
                found.append(_of(site.id, role, site.names[0], checks))
        if site.role is Role.INTERNATIONAL:
            found.append(_pace(site))
    return (*found, _of("no-such-name", Role.PORTAL, "example", (Check.RANDOM_NAME,)))


def to_toml(targets: tuple[Target, ...]) -> str:
    """Return targets as the `[[target]]` tables of the agent's configuration."""
    return "".join(_table(target) for target in targets)


def _of(name: str, role: Role, host: str, checks: tuple[Check, ...]) -> Target:
    return Target(id=name, role=role, host=host, checks=checks, families=(4,))


def _pace(site: SitePlan) -> Target:
    name = site.names[0]
    return Target(
        id=f"{site.id}-pace", role=Role.INTERNATIONAL, host=name, checks=(Check.THROUGHPUT,),
        url=f"http://{name}/bytes/{PACE_BYTES}", families=(4,), every=PACE_EVERY,
    )  # fmt: skip


def _portal(site: SitePlan) -> Target:
    name = site.names[0]
    url = f"http://{name}{PORTAL_CHECK_PATH}"
    return Target(
        id=site.id, role=Role.PORTAL, host=name, checks=(Check.PORTAL,), url=url, families=(4,)
    )


def _resolver(site: SitePlan) -> Target:
    return Target(
        id=site.id, role=Role.RESOLVER, host=site.address, port=853, query="search.example",
        checks=(Check.ICMP, Check.TCP, Check.DNS), families=(4,),
    )  # fmt: skip


def _sensitive(country: CountryPlan, name: str, pairs: int) -> Target:
    resolver = next(site for site in country.site if site.role is Role.RESOLVER)
    return Target(
        id=name.split(".", maxsplit=1)[0],
        role=Role.SENSITIVE,
        host=name,
        checks=_SENSITIVE,
        families=(4,),
        neutral="neutral.example",
        resolver=Resolver(address=resolver.address, name=resolver.names[0]),
        neighbour=country.address_of("neighbour"),
        pairs=pairs,
        bytes_max=ALTERNATION_BYTES,
    )


def _table(target: Target) -> str:
    lines = ["[[target]]"]
    for key in Target.__struct_fields__:
        value = getattr(target, key)
        if isinstance(value, Resolver):
            lines.append(f'resolver = {{ address = "{value.address}", name = "{value.name}" }}')
        elif isinstance(value, tuple):
            lines.append(f"{key} = [{', '.join(map(_spell, value))}]")
        elif isinstance(value, (str, int)):
            lines.append(f"{key} = {_spell(value)}")
    return "\n".join(lines) + "\n\n"


def _spell(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
