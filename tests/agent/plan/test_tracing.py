"""Which anchors are traced when a line's verdict changed."""

from linewatch_agent.plan.tracing import HOUR_MS, TRACES_AN_HOUR, Tracing
from linewatch_core.records import Check, Role
from linewatch_core.targets import Target


def target(name: str, role: Role, host: str, families: tuple[int, ...] = (4, 6)) -> Target:
    return Target(id=name, role=role, host=host, checks=(Check.TCP,), families=families)


HOME = target("home", Role.DOMESTIC, "home.example")
FAR = target("far", Role.INTERNATIONAL, "far.example")
FAR4 = target("far4", Role.INTERNATIONAL, "192.0.2.1", (4,))
FAR6 = target("far6", Role.INTERNATIONAL, "2001:db8::1", (6,))
SITE = target("site", Role.NEUTRAL, "site.example")


def ids(chosen: list[Target]) -> list[str]:
    return [one.id for one in chosen]


def test_one_domestic_and_one_international_anchor_are_traced() -> None:
    """An address goes before a name, which a dead line could not look up."""
    tracing = Tracing([SITE, FAR, FAR4, HOME, FAR6])
    assert ids(tracing.after_change("a", (4,), 0)) == ["home", "far4"]
    assert ids(tracing.after_change("a", (6,), 0)) == ["home", "far6"]


def test_a_line_without_a_family_or_without_anchors_traces_nothing() -> None:
    """There is nothing to send it to, or no address to send it from."""
    assert Tracing([SITE]).after_change("a", (4, 6), 0) == []
    assert Tracing([FAR4]).after_change("a", (6,), 0) == []
    assert Tracing([HOME, FAR4]).after_change("a", (), 0) == []


def test_a_line_that_flaps_traces_a_few_times_an_hour() -> None:
    """Each line has its own count, and an hour later it may again."""
    tracing = Tracing([HOME, FAR4])
    traced = [len(tracing.after_change("a", (4,), at_ms * 1000)) for at_ms in range(20)]
    assert sum(traced) == TRACES_AN_HOUR
    assert traced[:3] == [2, 2, 2]
    assert len(tracing.after_change("b", (4,), 20_000)) == 2
    assert tracing.after_change("a", (4,), HOUR_MS - 1) == []
    assert len(tracing.after_change("a", (4,), HOUR_MS)) == 2
