"""Every unit by Trixie's own systemd: no mistake in it, and how much a break-in would get."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.layers import Layer, layer
from tests.appliance.machine import in_layer
from tests.appliance.release import install_agent, install_server
from tests.appliance.root import ROOT

UNITS = sorted(
    path.name
    for pattern in ("*.service", "*.path", "*.timer", "*.socket")
    for path in (ROOT / "systemd").glob(pattern)
    if path.name.startswith("linewatch")
)
EXPOSURE_MAX = {
    "linewatch-agent.service": 1.5,
    "linewatch-postmortem.service": 0.5,
    "linewatch-server.service": 1.7,
}
EXPOSURE_MAX_OF_ROOT = 2.0
"""By `systemd-analyze security`, 0 to 10; RIPE Atlas and NetworkManager have 7.8."""
FOLDER = "/usr/lib/systemd/system"


@pytest.fixture(scope="module")
def everything() -> Iterator[Layer]:
    """Probe and server on one machine, so that each unit finds what it names."""
    with layer() as made:
        install_agent(made)
        install_server(made)
        in_layer(made, "systemd-sysusers")
        yield made


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_mistake(everything: Layer, unit: str) -> None:
    """`systemd-analyze verify` knows every setting and finds every program."""
    command = f"systemd-analyze verify --man=no --recursive-errors=no {FOLDER}/{unit} 2>&1"
    assert in_layer(everything, "sh", "-c", command) == ""


def test_verify_would_find_a_mistake(everything: Layer) -> None:
    """The same command fails for a setting with a typo and for a program that is not there."""
    good = (Path(everything.path) / FOLDER.lstrip("/") / "linewatch-agent.service").read_text()
    for name, bad in (
        ("typo", good.replace("WatchdogSec=", "WatchDogSec=")),
        ("gone", good.replace("ExecStart=/opt/", "ExecStart=/nowhere/")),
    ):
        everything.put(f"/tmp/{name}.service", bad)
        command = f"systemd-analyze verify --man=no --recursive-errors=no /tmp/{name}.service 2>&1"
        assert in_layer(everything, "sh", "-c", command, check=False) != ""


@pytest.mark.parametrize("unit", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_exposes_little(everything: Layer, unit: str) -> None:
    """Its exposure by Trixie's systemd is no more than it was when it was thought through."""
    said = in_layer(
        everything, "systemd-analyze", "security", "--no-pager", "--offline=yes", f"{FOLDER}/{unit}"
    )
    overall = next(line for line in said.splitlines() if "Overall exposure level" in line)
    exposure_max = EXPOSURE_MAX.get(unit, EXPOSURE_MAX_OF_ROOT)
    assert float(overall.split(": ")[1].split()[0]) <= exposure_max, said


def test_the_agents_user_and_folders_are_made(everything: Layer) -> None:
    """sysusers and tmpfiles make the user, its private folder and a configuration of defaults."""
    said = in_layer(everything, "stat", "-c", "%U %a", "/var/lib/linewatch")
    assert said.split() == ["linewatch", "700"]
    assert in_layer(everything, "getent", "passwd", "linewatch").strip().endswith("nologin")
    checked = in_layer(
        everything, "linewatch-agent", "check-config", "/etc/linewatch/linewatch.toml"
    )
    assert "is right" in checked


def test_a_system_that_lost_user_and_folders_gets_them_back(everything: Layer) -> None:
    """As one that starts with an empty /var: what systemd does at each start makes them anew."""
    with layer(over=everything) as made:
        lose = "userdel linewatch && rm -r /var/lib/linewatch /etc/linewatch"
        in_layer(made, "sh", "-ec", lose)
        in_layer(made, "sh", "-ec", "systemd-sysusers && systemd-tmpfiles --create")
        said = in_layer(made, "stat", "-c", "%U %a", "/var/lib/linewatch", "/etc/linewatch")
        assert said.split() == ["linewatch", "700", "root", "755"]
        assert in_layer(made, "getent", "passwd", "linewatch").strip().endswith("nologin")
        in_layer(made, "linewatch-agent", "check-config", "/etc/linewatch/linewatch.toml")
