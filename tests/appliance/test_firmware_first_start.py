"""A seeded card in a fresh root: it starts, and is a probe, without a keystroke."""

from collections.abc import Iterator

import pytest

from tests.appliance.layers import Layer, layer
from tests.appliance.machine import booted, in_layer
from tests.appliance.release import install_agent
from tests.appliance.test_firmware import apply, put_pi_files
from tests.appliance.test_firmware_cards import CONFIG, seed

FSTAB = "tmpfs /tmp tmpfs defaults 0 0\n"
"""A layer has no partitions, so none is mounted."""


@pytest.fixture
def image() -> Iterator[Layer]:
    """Return Debian with Linewatch and apply.sh done: an image that nobody started yet."""
    with layer() as root:
        install_agent(root)
        put_pi_files(root)
        root.put("/etc/fstab", FSTAB)
        done = apply("--root", root.path)
        assert done.returncode == 0, done.stderr
        units = ("linewatch-agent.service", "linewatch-firstboot.service")
        in_layer(root, "systemctl", "-q", "enable", *units)
        yield root


def test_a_seeded_card_becomes_a_probe(image: Layer, token: bytes) -> None:
    """After the first start it measures as the probe that the token was for."""
    config = image.put("/srv/fleet.toml", CONFIG)
    kept = image.put("/srv/tokens/probe-001.toml", token)
    boot = image.path / "boot/firmware"
    done = seed("write", "--tokens", kept.parent, "--config", config, "--boot", boot)
    assert done.returncode == 0, done.stderr
    with booted(image) as machine:
        machine.wait_until(
            lambda: machine.show("linewatch-agent", "ActiveState")["ActiveState"] == "active",
            "the agent is ready",
        )
        assert machine.show("linewatch-firstboot", "Result") == {"Result": "success"}
        owner = machine.run("stat", "-c", "%U %a", "/var/lib/linewatch/identity").strip()
        assert owner == "linewatch 700"
        status = machine.run("linewatch-agent", "status")
        connections = machine.run("nmcli", "-t", "-f", "NAME", "con").splitlines()
    assert status.strip()
    assert "linewatch-sim-1" in connections
    assert not (boot / "linewatch-token.toml").exists()
    assert not (boot / "linewatch-problem.txt").exists()
    assert "[targets]" in (image.path / "etc/linewatch/linewatch.toml").read_text()


def test_a_card_without_a_token_asks_for_one(image: Layer) -> None:
    """Without a token the boot goes on, and the card says what is missing."""
    with booted(image) as machine:
        machine.wait_until(
            lambda: machine.show("linewatch-firstboot", "Result")["Result"] == "exit-code",
            "the first boot has told",
        )
    told = (image.path / "boot/firmware/linewatch-problem.txt").read_text("utf-8-sig")
    assert "there is no token on this card" in told
