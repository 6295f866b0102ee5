"""Power, heat, memory, watchdog and light, well and not."""

import os

import pytest

from linewatch_agent.doctor import hardware
from linewatch_agent.doctor.findings import Level
from linewatch_agent.plan.settings import LedConfig
from tests.support.doctor_machine import Machine, only
from tests.support.leds import KernelLed

FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"


@pytest.mark.parametrize(
    ("bits", "level", "says"),
    [
        ("0", Level.OK, "right"),
        ("50005", Level.PROBLEM, "voltage is too low"),
        ("50000", Level.PROBLEM, "voltage was, since the boot, too low"),
        ("4", Level.PROBLEM, "slowed down, by heat"),
        ("8", Level.PROBLEM, "slowed down, by heat"),
        ("e0000", Level.NOTE, "was slowed down by heat since"),
    ],
)
def test_what_the_firmware_says_of_power(
    machine: Machine, bits: str, level: Level, says: str
) -> None:
    """By its bits: now, and since the boot."""
    machine.write(FIRMWARE, f"{bits}\n")
    one = only(list(hardware.power(machine.host)))
    assert one.level is level
    assert says in one.text


def test_a_computer_without_that_file_asks_the_firmwares_own_program(machine: Machine) -> None:
    """Which says the same in other words."""
    machine.program("vcgencmd", "throttled=0x50005")
    assert only(list(hardware.power(machine.host))).level is Level.PROBLEM
    machine.program("vcgencmd", "throttled=0x0")
    assert only(list(hardware.power(machine.host))).level is Level.OK


@pytest.mark.parametrize(("alarm", "level"), [("1", Level.PROBLEM), ("0", Level.OK)])
def test_or_the_kernels_alarm(machine: Machine, alarm: str, level: Level) -> None:
    """Of the driver that watches the voltage."""
    machine.program("vcgencmd", "not permitted", code=1)
    machine.write("/sys/class/hwmon/hwmon1/name", "rpi_volt\n")
    machine.write("/sys/class/hwmon/hwmon1/in0_lcrit_alarm", f"{alarm}\n")
    assert only(list(hardware.power(machine.host))).level is level


def test_a_computer_that_does_not_tell_is_not_called_well(machine: Machine) -> None:
    """A note: nobody knows."""
    machine.program("vcgencmd", "nonsense")
    assert only(list(hardware.power(machine.host))).level is Level.NOTE


@pytest.mark.parametrize(
    ("thousandths", "level"),
    [("45000", Level.OK), ("72500", Level.NOTE), ("80000", Level.PROBLEM), ("?", Level.NOTE)],
)
def test_temperatures(machine: Machine, thousandths: str, level: Level) -> None:
    """In thousandths of a degree, as the kernel says them."""
    machine.write("/sys/class/thermal/thermal_zone0/temp", thousandths)
    assert only(list(hardware.temperature(machine.host))).level is level


def test_no_thermometer(machine: Machine) -> None:
    """A note."""
    assert only(list(hardware.temperature(machine.host))).level is Level.NOTE


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("MemTotal: 500000 kB\nMemAvailable: 200000 kB\n", Level.OK),
        ("MemTotal: 500000 kB\nMemAvailable: 20000 kB\n", Level.PROBLEM),
        ("", Level.NOTE),
    ],
)
def test_memory(machine: Machine, text: str, level: Level) -> None:
    """What the kernel calls available."""
    machine.write("/proc/meminfo", text)
    assert only(list(hardware.memory(machine.host))).level is level


@pytest.mark.parametrize(
    ("state", "level"), [("active", Level.OK), ("inactive", Level.PROBLEM), (None, Level.NOTE)]
)
def test_watchdogs(machine: Machine, state: str | None, level: Level) -> None:
    """One that is there and not used is wrong."""
    if state is not None:
        machine.write("/sys/class/watchdog/watchdog0/state", f"{state}\n")
    assert only(list(hardware.watchdog(machine.host))).level is level


def test_an_led_that_may_be_driven_or_not(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the permission of whoever asks (root has all), and by what the agent says."""
    led = KernelLed(machine.folder / "root/sys/class/leds/ACT")
    light = LedConfig()
    assert only(list(hardware.light(machine.host, light))).level is Level.OK
    monkeypatch.setattr(os, "access", lambda path, _, **__: path != led.folder / "trigger")
    one = only(list(hardware.light(machine.host, light)))
    assert (one.level, one.text) == (
        Level.PROBLEM,
        "the LED ACT can't be driven: permission denied",
    )
    monkeypatch.undo()
    told = machine.running(led={"signal": "measuring", "problem": "Permission denied"})
    one = only(list(hardware.light(told.host, light)))
    assert (one.level, one.text) == (
        Level.PROBLEM,
        "the LED ACT can't be driven: Permission denied",
    )


def test_no_led_and_none_wanted(machine: Machine) -> None:
    """The one is worth knowing, the other is as it should be."""
    assert only(list(hardware.light(machine.host, LedConfig()))).level is Level.NOTE
    named = only(list(hardware.light(machine.host, LedConfig(name="mine"))))
    assert "called mine" in named.text
    assert only(list(hardware.light(machine.host, LedConfig(name="none")))).level is Level.OK
