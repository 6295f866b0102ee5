"""Two HiLink sticks that are alike to the last bit: subnet, address, gateway, and MAC.

Each is a router of its own behind a USB network device, here a veth pair into an operator's
namespace, with sysfs as such sticks show it. What the agent finds and checks is real, and
how many packets each operator got, its own kernel counts.
"""

import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.agent.lines.stick_scenes import HOST, STICK
from tests.support.fake_usb import FakeUsb
from tests.support.netns import NOBODY, Netns, namespaces, wire

SCENES = "tests.agent.lines.stick_scenes"
OPERATOR = "tests.agent.checks.two_line_scenes:operator"
MAC, GATEWAY_MAC = "0c:5b:8f:27:9a:64", "0c:5b:8f:27:9a:65"
GATEWAY = "192.168.8.1"
ANSWERS = {"a": "192.0.2.101", "b": "192.0.2.102"}
NAMES = {"a": "usb0", "b": "usb1"}
PORTS = {"a": "1-1.2", "b": "1-1.3"}


@pytest.fixture
def world() -> Iterator[tuple[Netns, dict[str, Netns]]]:
    """A probe with both sticks, set up as its sysctl file says, and the two operators."""
    with namespaces("probe", "isp-a", "isp-b") as (probe, isp_a, isp_b):
        probe.allow_ping()
        for which in ("all", "default"):
            probe.sysctl(
                **{
                    f"net__ipv4__conf__{which}__rp_filter": "2",
                    f"net__ipv4__conf__{which}__arp_ignore": "1",
                    f"net__ipv4__conf__{which}__arp_announce": "2",
                }
            )
        operators = {"a": isp_a, "b": isp_b}
        for name, isp in operators.items():
            beyond = (f"{GATEWAY}/24", f"{HOST}/32")
            wire((probe, NAMES[name], ()), (isp, "stick", beyond))
            probe.run("ip", "link", "set", NAMES[name], "address", MAC)
            isp.run("ip", "link", "set", "stick", "address", GATEWAY_MAC)
            probe.run("ip", "address", "add", "192.168.8.100/24", "dev", NAMES[name])
            metric = {"a": "700", "b": "701"}[name]
            route = f"ip route add default via {GATEWAY} dev {NAMES[name]} metric {metric}"
            probe.run(*route.split())
            isp.serve(OPERATOR, name, [HOST], [GATEWAY], {"4": ANSWERS[name]}, 7001)
        yield probe, operators


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the probe's user can read, as it can read sysfs."""
    with tempfile.TemporaryDirectory(prefix="lw-usb-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def machine(folder: Path, names: dict[str, str] = NAMES, ports: dict[str, str] = PORTS) -> str:
    """Write sysfs with both sticks and their network devices' names; return its root."""
    usb = FakeUsb.made(folder)
    usb.plug("1-1", device_class="09", interfaces=("hub",))
    for name, device in names.items():
        usb.plug(ports[name], device=device, **STICK)  # type: ignore[arg-type]
    return str(folder)


def counted(isp: Netns) -> dict[str, int]:
    """Return what this operator's kernel got: pings, TCP connections, datagrams for a server."""
    rows: dict[str, int] = {}
    lines = isp.run("cat", "/proc/net/snmp").splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol = names.split(":")[0]
        for name, value in zip(names.split()[1:], values.split()[1:], strict=True):
            rows[f"{protocol}.{name}"] = int(value)
    wanted = ("Icmp.InEchos", "Tcp.PassiveOpens", "Udp.InDatagrams")
    return {name.partition(".")[2]: rows[name] for name in wanted}


def test_each_check_leaves_over_the_line_it_claims(
    world: tuple[Netns, dict[str, Netns]], folder: Path
) -> None:
    """Each operator gets just the packets of its own line's checks, and answers as itself."""
    probe, operators = world
    before = {name: counted(isp) for name, isp in operators.items()}
    usb = machine(folder / "usb")
    pings = {"usb0": 3, "usb1": 5}
    said = probe.call(f"{SCENES}:measure", usb, GATEWAY, pings, 2, uid=NOBODY)
    assert said.keys() == {"mobile-1", "mobile-2"}
    for name, line in (("a", "mobile-1"), ("b", "mobile-2")):
        failures = {failure for failure, _ in said[line]}
        assert failures == {None}
        page, *names = (detail for _, detail in said[line] if detail is not None)
        assert page[:2] + page[3:4] == ["http", 200, sha256(name.encode()).hexdigest()[:16]]
        assert [one[:3] for one in names] == [["dns", "NOERROR", [ANSWERS[name]]]] * 2
        after = counted(operators[name])
        got = {key: after[key] - before[name][key] for key in after}
        assert got == {
            "InEchos": pings[NAMES[name]],
            "PassiveOpens": 2,
            "InDatagrams": 2,
        }


def test_both_are_found_as_mobile_lines(
    world: tuple[Netns, dict[str, Netns]], folder: Path
) -> None:
    """By what sysfs says of their USB devices, without any ModemManager."""
    probe, _ = world
    lines = probe.call(f"{SCENES}:lines", machine(folder / "usb"), uid=NOBODY)
    told = [(line["id"], line["kind"], line["device"], line["problems"]) for line in lines]
    assert [each[:3] for each in told] == [
        ("mobile-1", "mobile", "usb0"),
        ("mobile-2", "mobile", "usb1"),
    ]
    assert {problem["code"] for line in lines for problem in line["problems"]} <= {"no_resolver"}
    assert {tuple(line["gateways"].items()) for line in lines} == {(("4", GATEWAY),)}


def test_a_stick_that_comes_back_is_the_same_line(
    world: tuple[Netns, dict[str, Netns]], folder: Path
) -> None:
    """Pulled out it is told as gone; in the same port it is itself, whatever its name is now."""
    probe, _ = world
    state = folder / "state"
    state.mkdir()
    usb = machine(folder / "usb")
    steps, devices = probe.call(f"{SCENES}:plug_and_unplug", str(state), usb)
    assert [[line, usable] for line, usable, _ in steps[0]] == [
        ["mobile-1", True],
        ["mobile-2", True],
    ]
    assert steps[1] == [["mobile-1", False, ["device_gone"]]]
    assert [[line, usable] for line, usable, _ in steps[2]] == [["mobile-1", True]]
    assert devices == {"mobile-1": "usb5", "mobile-2": "usb1"}


def test_names_that_swap_at_a_start_swap_no_lines(
    world: tuple[Netns, dict[str, Netns]], folder: Path
) -> None:
    """The kernel counts devices as it finds them; the port is what stays."""
    probe, _ = world
    state = folder / "state"
    state.mkdir()
    found: list[dict[str, Any]] = [
        probe.call(f"{SCENES}:started", str(state), machine(folder / f"usb-{at}", names))
        for at, names in enumerate((NAMES, {"a": "usb1", "b": "usb0"}))
    ]
    assert found == [
        {"mobile-1": "usb0", "mobile-2": "usb1"},
        {"mobile-1": "usb1", "mobile-2": "usb0"},
    ]
