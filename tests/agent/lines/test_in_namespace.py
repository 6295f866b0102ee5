"""Lines found in a real namespace with two veth operators, as an unprivileged user."""

from collections.abc import Iterator

import msgspec
import pytest

from linewatch_agent.lines import LineIds, explain_json, find_lines, machine_problems
from linewatch_agent.plan.config import load_config
from tests.support.netns import NOBODY, Netns, namespaces, wire


async def lines_here(config: str) -> object:
    """Run inside: what `linewatch-agent lines --json` would say."""
    lines = find_lines(load_config(config, name="f.toml"), LineIds())
    return msgspec.json.decode(explain_json(lines, machine_problems(lines)))


def told(probe: Netns, config: str = "") -> tuple[dict[str, dict[str, object]], list[str]]:
    answer = probe.call(f"{__name__}:lines_here", config, uid=NOBODY)
    lines = {
        line["device"]: {**line, "problems": [each["code"] for each in line["problems"]]}
        for line in answer["lines"]
    }
    return lines, [problem["code"] for problem in answer["problems"]]


@pytest.fixture(scope="module")
def probe() -> Iterator[Netns]:
    """A probe with two operators that share subnet, addresses and gateway, and a spare cable."""
    with namespaces("probe", "isp-a", "isp-b") as (probe, isp_a, isp_b):
        for device, isp, ipv6 in (("up-a", isp_a, ("2001:db8:a::",)), ("up-b", isp_b, ())):
            inside = ("192.168.8.100/24", *(f"{net}2/64" for net in ipv6))
            beyond = ("192.168.8.1/24", *(f"{net}1/64" for net in ipv6))
            wire((probe, device, inside), (isp, "probe", beyond))
        wire((probe, "spare", ("203.0.113.9/24",)), (isp_a, "spare", ()))
        for device, metric in (("up-a", "100"), ("up-b", "200")):
            route = f"ip route add default via 192.168.8.1 dev {device} metric {metric}"
            probe.run(*route.split())
        probe.run(
            *[
                "ip",
                "-6",
                "route",
                "add",
                "default",
                "via",
                "2001:db8:a::1",
                "dev",
                "up-a",
                "metric",
                "50",
            ]
        )
        yield probe


def test_two_operators_are_two_lines(probe: Netns) -> None:
    """Gateways and families come from the kernel; a device with no route out is no line."""
    probe.sysctl(net__ipv4__conf__all__rp_filter="0")
    lines, _ = told(probe)
    assert set(lines) == {"up-a", "up-b"}
    assert (lines["up-a"]["id"], lines["up-a"]["families"]) == ("fixed-1", [4, 6])
    assert lines["up-a"]["gateways"] == {"4": "192.168.8.1", "6": "2001:db8:a::1"}
    assert (lines["up-b"]["id"], lines["up-b"]["families"]) == ("fixed-2", [4])
    assert all(line["usable"] for line in lines.values())


def test_a_strict_filter_is_seen(probe: Netns) -> None:
    """The kernel's own value decides, and only the second line suffers."""
    probe.sysctl(net__ipv4__conf__all__rp_filter="1")
    lines, _ = told(probe)
    probe.sysctl(net__ipv4__conf__all__rp_filter="2")
    mended, _ = told(probe)
    assert "rp_filter_strict" in lines["up-b"]["problems"]  # type: ignore[operator]
    assert (lines["up-a"]["usable"], lines["up-b"]["usable"]) == (True, False)
    assert mended["up-b"]["usable"]


def test_closed_and_open_ping_are_seen(probe: Netns) -> None:
    """A new namespace lets nobody ping until it is allowed."""
    probe.sysctl(net__ipv4__ping_group_range="1 0")
    assert "ping_closed" in told(probe)[1]
    probe.allow_ping()
    assert "ping_closed" not in told(probe)[1]


def test_configured_lines_say_what_they_lack(probe: Netns) -> None:
    """No route, no device; in the order of the file."""
    config = (
        "[[line]]\nid='s'\ndevice='spare'\n[[line]]\nid='m'\ndevice='wwan9'\n"
        "[[line]]\nid='a'\ndevice='up-a'\nresolvers=['192.168.8.1']"
    )
    lines, _ = told(probe, config)
    assert [line["id"] for line in lines.values()] == ["s", "m", "a"]
    assert lines["spare"]["problems"] == ["no_route"]
    assert (lines["wwan9"]["kind"], lines["wwan9"]["problems"]) == ("mobile", ["no_device"])
    assert (lines["up-a"]["resolvers"], lines["up-a"]["problems"]) == (["192.168.8.1"], [])


def test_a_line_that_is_set_down_says_so(probe: Netns) -> None:
    """The kernel drops its routes; a configured line is still listed."""
    config = "[[line]]\nid='s'\ndevice='spare'"
    probe.run("ip", "link", "set", "spare", "down")
    down, _ = told(probe, config)
    probe.run("ip", "link", "set", "spare", "up")
    probe.run("ip", "address", "flush", "dev", "spare", "scope", "global")
    bare, _ = told(probe, config)
    assert down["spare"]["problems"] == ["down"]
    assert bare["spare"]["problems"] == ["no_address"]
