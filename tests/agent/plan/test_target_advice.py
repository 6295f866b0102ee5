"""What a target set lacks to carry a verdict, in sentences."""

from linewatch_agent.plan.target_advice import set_advice
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
