"""What systemd/ has for the light: the rule that opens it to the agent, and the word for help."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.appliance.layers import layer
from tests.appliance.machine import in_layer

ROOT = Path(__file__).parents[2]
RULES = ROOT / "systemd/udev/90-linewatch-led.rules"
HELP = ROOT / "systemd/bin/linewatch-led-help"
FILES = ("trigger", "brightness", "pattern", "repeat")


def make_led(leds: Path, name: str = "ACT", *, brightest: int = 255) -> Path:
    """Make an LED that flashes; plain files stand for the kernel's."""
    folder = leds / name
    folder.mkdir(parents=True)
    texts = {"trigger": "none timer [pattern]", "brightness": "0", "max_brightness": f"{brightest}"}
    for file in (*FILES, *texts):
        (folder / file).write_text(texts.get(file, ""))
        (folder / file).chmod(0o644)
    return folder


def test_the_rule_opens_what_the_agent_writes_and_nothing_else(tmp_path: Path) -> None:
    """Its own command, run on a tree of ours, with a group that every machine has."""
    (command,) = re.findall(r'RUN\+="/bin/sh -c \'(.*)\'"', RULES.read_text())
    led = make_led(tmp_path / "leds")
    command = command.replace("/sys%p", str(led)).replace("chgrp -f linewatch", "chgrp -f 65534")
    subprocess.run(["sh", "-c", command], check=True)
    for name in FILES:
        about = (led / name).stat()
        assert (about.st_gid, about.st_mode & 0o777) == (65534, 0o664), name
    assert (led / "max_brightness").stat().st_mode & 0o777 == 0o644


def test_udev_of_trixie_takes_the_rule() -> None:
    """`udevadm verify` finds nothing to say."""
    with layer() as made:
        made.put("/usr/lib/udev/rules.d/90-linewatch-led.rules", RULES.read_text())
        in_layer(
            made,
            "udevadm",
            "verify",
            "--resolve-names=never",
            f"/usr/lib/udev/rules.d/{RULES.name}",
        )


def call_for_help(leds: Path, config: Path) -> None:
    """Run what the unit's ExecStopPost runs."""
    done = subprocess.run([HELP, leds, config], check=True, capture_output=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize(
    ("config", "name", "lit"),
    [
        ("", "ACT", "255"),
        ("", "led0", "255"),
        ("[led]\n", "ACT", "255"),
        ('[led]\nname = "auto"\n', "ACT", "255"),
        ("[led]\ninverted = true # so it is\n", "ACT", "0"),
        ('[led] # the light\nname = "mine"\n', "mine", "255"),
        ('[other]\nname = "none"\n', "ACT", "255"),
        ('# [led]\n# name = "none"\n', "ACT", "255"),
        ('[led]\nshows = "help"\n', "ACT", "255"),
        ('[led]\nshows = "nothing"\n', "ACT", "0"),
        ('[led]\nshows = "nothing"\ninverted = true\n', "ACT", "255"),
    ],
)
def test_help_is_steady_if_it_may_be_shown(
    tmp_path: Path, config: str, name: str, lit: str
) -> None:
    """By the configuration, as the agent itself would."""
    led = make_led(tmp_path / "leds", name)
    (tmp_path / "linewatch.toml").write_text(config)
    call_for_help(tmp_path / "leds", tmp_path / "linewatch.toml")
    assert (led / "trigger").read_text() == "none\n"
    assert (led / "brightness").read_text().strip() == lit


@pytest.mark.parametrize(
    "config",
    ['[led]\nname = "none"\n', "  [led]\n  name='none' # dark\n", '[led]\nname = "../x"\n'],
)
def test_a_light_that_is_not_wanted_stays_dark(tmp_path: Path, config: str) -> None:
    """Also when the agent has ended; and a name leads nowhere else."""
    led = make_led(tmp_path / "leds")
    (tmp_path / "linewatch.toml").write_text(config)
    call_for_help(tmp_path / "leds", tmp_path / "linewatch.toml")
    assert (led / "brightness").read_text() == "0"


def test_without_an_led_or_a_configuration_nothing_fails(tmp_path: Path) -> None:
    """Most computers have none."""
    call_for_help(tmp_path, tmp_path / "none.toml")
    led = make_led(tmp_path)
    call_for_help(tmp_path, tmp_path / "none.toml")
    assert (led / "brightness").read_text() == "255"
