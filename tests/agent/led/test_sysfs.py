"""Driving LEDs as the kernel keeps them, on a tree of our own."""

from pathlib import Path

import pytest

from linewatch_agent.led.meaning import Signal
from linewatch_agent.led.sysfs import Led, find_led
from tests.support.leds import KernelLed

OLD_KERNEL = ("none", "mmc0", "timer", "heartbeat")


@pytest.mark.parametrize(
    ("present", "name", "found"),
    [
        (("ACT", "PWR", "mmc0::"), "auto", "ACT"),
        (("led0", "led1"), "auto", "led0"),
        (("PWR",), "auto", None),
        (("ACT", "PWR"), "PWR", "PWR"),
        (("ACT",), "none", None),
        (("ACT",), "mine", None),
        ((), "auto", None),
    ],
)
def test_which_led_is_found(
    tmp_path: Path, present: tuple[str, ...], name: str, found: str | None
) -> None:
    """A Raspberry Pi's green one, by its present name or its old one; or the one that is named."""
    for each in present:
        KernelLed(tmp_path / each)
    assert find_led(name, tmp_path) == (None if found is None else tmp_path / found)


def test_a_flash_every_two_seconds_that_ends_lit_if_nobody_goes_on(tmp_path: Path) -> None:
    """The kernel alone does it: the agent may die meanwhile."""
    kernel = KernelLed(tmp_path / "ACT")
    kernel.drive(Led(kernel.folder, inverted=False)).show(Signal.MEASURING)
    assert kernel.chosen == "pattern"
    assert [kernel.light_at(ms) for ms in (0, 1899, 1900, 1999, 2000, 3950)] == [
        *(0, 0, 255, 255),
        *(0, 255),
    ]
    assert kernel.light_at(89_000) == 0
    assert [kernel.light_at(s * 1000) for s in (90, 91, 600)] == [255] * 3


def test_a_signal_shown_again_only_starts_it_anew(tmp_path: Path) -> None:
    """One write, and the trigger is never chosen twice: that would take our files away."""
    kernel = KernelLed(tmp_path / "ACT")
    led = kernel.drive(Led(kernel.folder, inverted=False))
    led.show(Signal.MEASURING)
    kernel.writes.clear()
    led.show(Signal.MEASURING)
    assert kernel.writes == [("repeat", "45")]


def test_the_count_is_written_before_the_pattern(tmp_path: Path) -> None:
    """A pattern that has run out has none left, and a new one would not begin."""
    kernel = KernelLed(tmp_path / "ACT")
    led = kernel.drive(Led(kernel.folder, inverted=False))
    led.show(Signal.MEASURING)
    kernel.writes.clear()
    led.show(Signal.LINE_MISSING)
    assert [name for name, _ in kernel.writes] == ["repeat", "pattern"]


def test_a_trigger_that_somebody_changed_is_chosen_again(tmp_path: Path) -> None:
    """With its pattern, which went with it."""
    kernel = KernelLed(tmp_path / "ACT")
    led = kernel.drive(Led(kernel.folder, inverted=False))
    led.show(Signal.MEASURING)
    pattern = kernel.read("pattern")
    kernel.put("trigger", "mmc0")
    led.show(Signal.MEASURING)
    assert (kernel.chosen, kernel.read("pattern")) == ("pattern", pattern)


@pytest.mark.parametrize("inverted", [False, True])
def test_steady_is_none_and_full_brightness(tmp_path: Path, inverted: bool) -> None:
    """Of the LED's own scale; an inverted one is lit by 0."""
    kernel = KernelLed(tmp_path / "ACT", brightest=1)
    kernel.drive(Led(kernel.folder, inverted=inverted)).show(Signal.HELP)
    assert (kernel.chosen, kernel.read("brightness")) == ("none", "0" if inverted else "1")


def test_without_the_pattern_trigger(tmp_path: Path) -> None:
    """A timer, the kernel's heartbeat, and back."""
    kernel = KernelLed(tmp_path / "led0", triggers=OLD_KERNEL)
    led = kernel.drive(Led(kernel.folder, inverted=False))
    led.show(Signal.MEASURING)
    assert (kernel.chosen, kernel.read("delay_on"), kernel.read("delay_off")) == (
        *("timer", "100"),
        "1900",
    )
    led.show(Signal.LINE_MISSING)
    assert kernel.chosen == "heartbeat"
    led.show(Signal.HELP)
    assert (kernel.chosen, kernel.read("brightness")) == ("none", "255")
    led.show(Signal.MEASURING)
    assert kernel.read("delay_off") == "1900"


def test_an_inverted_double_flash(tmp_path: Path) -> None:
    """The heartbeat trigger has a file for it."""
    kernel = KernelLed(tmp_path / "led0", triggers=OLD_KERNEL)
    kernel.drive(Led(kernel.folder, inverted=True)).show(Signal.LINE_MISSING)
    assert (kernel.chosen, kernel.read("invert")) == ("heartbeat", "1")


def test_what_failed_halfway_is_written_whole_the_next_time(tmp_path: Path) -> None:
    """The new files are root's until udev has seen them."""
    kernel = KernelLed(tmp_path / "ACT", refuses={"pattern"})
    led = kernel.drive(Led(kernel.folder, inverted=False))
    with pytest.raises(PermissionError):
        led.show(Signal.MEASURING)
    kernel.refuses.clear()
    led.show(Signal.MEASURING)
    assert kernel.light_at(1950) == 255


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Plain files stand for the kernel's: written in place, whole, and never created."""
    folder = tmp_path / "ACT"
    folder.mkdir()
    (folder / "trigger").write_text("[none] timer\n")
    (folder / "max_brightness").write_text("nonsense")
    (folder / "brightness").write_text("0 and more")
    led = Led(folder, inverted=False)
    led.show(Signal.HELP)
    assert (folder / "brightness").read_text() == "1\n"
    with pytest.raises(FileNotFoundError):
        led.show(Signal.MEASURING)
    assert not (folder / "delay_on").exists()
