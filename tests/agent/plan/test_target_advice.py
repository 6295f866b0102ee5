"""What a target set lacks to carry a verdict, in sentences."""

from linewatch_agent.plan.target_advice import set_advice, unchecked
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target, TargetSet


def hosts(role: Role, count: int, *checks: Check, every: int = 1) -> tuple[Target, ...]:
    """Return targets of different hosts."""
    return tuple(
        Target(id=f"{role}-{n}", role=role, host=f"{role}{n}.example", checks=checks, every=every)
        for n in range(count)
    )


def advice(*targets: Target) -> list[str]:
    """Return what is said of a set with a source."""
    return list(set_advice(TargetSet(target=targets, source="Looked up.")))


def test_a_set_that_can_carry_a_verdict_is_passed_over() -> None:
    """Five domestic hosts; six international ones by two protocols; two portals."""
    assert not advice(
        *hosts(Role.DOMESTIC, 5, Check.TCP),
        *hosts(Role.INTERNATIONAL, 5, Check.ICMP),
        *hosts(Role.INTERNATIONAL, 6, Check.TCP)[5:],
        *hosts(Role.PORTAL, 2, Check.HTTP),
    )


def test_a_set_of_other_things_lacks_nothing() -> None:
    """Sets add up: sensitive names need no anchors beside them, nor does goodput."""
    assert not advice(*hosts(Role.SENSITIVE, 1, Check.DNS))
    assert not advice(*hosts(Role.INTERNATIONAL, 3, Check.THROUGHPUT, every=30))


def test_too_few_hosts_are_told() -> None:
    """Hosts count, not targets: two checks of one host fall together."""
    twice = hosts(Role.DOMESTIC, 4, Check.TCP) * 2
    assert advice(*twice) == ["4 domestic hosts: a verdict needs 5 in at least 3 networks"]
    assert advice(*hosts(Role.INTERNATIONAL, 5, Check.TCP, Check.ICMP)) == [
        "5 international hosts: a verdict needs 6 in at least 4 networks"
    ]


def test_one_protocol_is_told() -> None:
    """A network that drops ICMP is not cut off."""
    assert advice(*hosts(Role.INTERNATIONAL, 6, Check.ICMP)) == [
        "its international targets use one protocol: add tcp or icmp to some"
    ]


def test_one_portal_and_seldom_anchors_are_told() -> None:
    """One vendor's fault isn't a portal; a tenth of the rounds dates an onset ten times worse."""
    assert advice(*hosts(Role.PORTAL, 1, Check.HTTP)) == [
        "one portal check alone proves nothing: a verdict needs 2 vendors"
    ]
    assert advice(*hosts(Role.DOMESTIC, 5, Check.TCP, every=2)) == [
        "domestic-0 isn't measured in every round: an onset is dated less well"
    ]


def test_a_set_without_a_source_is_told() -> None:
    """Who switches a set on must be able to judge where it is from."""
    (said,) = set_advice(TargetSet(target=hosts(Role.NEUTRAL, 1, Check.DNS), source=" \n"))
    assert said == "it doesn't say where its hosts come from (source)"


def at(role: Role, *addresses: str) -> tuple[Target, ...]:
    """Return targets at addresses, by both protocols."""
    return tuple(
        Target(id=f"{role}-{n}", role=role, host=address, checks=(Check.TCP, Check.ICMP))
        for n, address in enumerate(addresses)
    )


def unsaid(*targets: Target) -> list[str]:
    """Return what can't be checked of a set."""
    return list(unchecked(TargetSet(target=targets, source="Looked up.")))


FOUR = ("192.0.2.1", "192.0.2.2", "198.51.100.1", "203.0.113.1", "203.0.113.2", "100.64.0.1")


def test_too_few_networks_are_told_where_all_hosts_are_addresses() -> None:
    """Of six addresses in three /24s one provider may have two thirds."""
    assert not advice(*at(Role.INTERNATIONAL, *FOUR))
    assert advice(*at(Role.INTERNATIONAL, *FOUR[:5], "203.0.113.3")) == [
        "its international hosts lie in 3 networks: a verdict needs 4"
    ]
    assert advice(*at(Role.DOMESTIC, *(f"192.0.2.{n}" for n in range(5)))) == [
        "its domestic hosts lie in one network: a verdict needs 3"
    ]


def test_ipv6_twins_are_no_further_networks() -> None:
    """One company's IPv4 and IPv6 address fall together."""
    twins = ("2001:db8:1::1", "2001:db8:2::1")
    assert advice(*at(Role.INTERNATIONAL, *FOUR[:5], "203.0.113.3", *twins)) == [
        "its international hosts lie in 3 networks: a verdict needs 4"
    ]


def test_what_names_hide_is_said_to_be_unchecked() -> None:
    """A name's network is known only where it is looked up; enough addresses need no name."""
    names = hosts(Role.DOMESTIC, 5, Check.TCP)
    assert unsaid(*names) == [
        "5 domestic hosts are names: whether the domestic hosts lie in at least 3 networks, "
        "look up from where the probe will be"
    ]
    mixed = (*at(Role.DOMESTIC, *FOUR[:2]), hosts(Role.DOMESTIC, 9, Check.TCP)[8])
    assert unsaid(*mixed)[0].startswith("1 domestic host is a name: ")
    assert not advice(*at(Role.DOMESTIC, *FOUR[:4]), hosts(Role.DOMESTIC, 9, Check.TCP)[8])
    assert not unsaid(*at(Role.DOMESTIC, *FOUR[:4]), hosts(Role.DOMESTIC, 9, Check.TCP)[8])
    assert not unsaid(*at(Role.INTERNATIONAL, *FOUR))
    assert not unsaid(*hosts(Role.SENSITIVE, 3, Check.DNS))
