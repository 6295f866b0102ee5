"""An LED as the kernel keeps it below /sys/class/leds, for tests: a folder whose files act.

Follows drivers/leds/led-triggers.c and drivers/leds/trigger/ledtrig-pattern.c: choosing a
trigger makes its files, the light included; what a pattern does in time is `light_at`.
"""

from dataclasses import dataclass, field
from pathlib import Path

from linewatch_agent.led.sysfs import Led

_FILES = {
    "pattern": {"pattern": "", "repeat": "-1"},
    "timer": {"delay_on": "500", "delay_off": "500"},
    "heartbeat": {"invert": "0"},
}


@dataclass
class KernelLed:
    """One LED. `refuses`: the files that may not be written now, as before udev came by."""

    folder: Path
    triggers: tuple[str, ...] = ("none", "mmc0", "timer", "heartbeat", "pattern")
    brightest: int = 255
    chosen: str = "mmc0"
    refuses: set[str] = field(default_factory=set)
    writes: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        (self.folder / "brightness").write_text("0\n")
        (self.folder / "max_brightness").write_text(f"{self.brightest}\n")
        self._list()

    def put(self, name: str, value: str) -> None:
        """Take what somebody writes to a file."""
        if not (self.folder / name).exists():
            raise FileNotFoundError(2, "No such file or directory")
        if name in self.refuses:
            raise PermissionError(13, "Permission denied")
        self.writes.append((name, value))
        if name == "trigger":
            self._choose(value)
        else:
            (self.folder / name).write_text(f"{value}\n")

    def read(self, name: str) -> str:
        """Return what a file says."""
        return (self.folder / name).read_text().strip()

    def light_at(self, ms: int) -> int:
        """Return the brightness so long after the pattern was started."""
        numbers = [int(word) for word in self.read("pattern").split()]
        steps = list(zip(numbers[::2], numbers[1::2], strict=True))
        turns = steps * int(self.read("repeat"))
        for brightness, length in turns:
            if ms < length:
                return brightness
            ms -= length
        return turns[-1][0]

    def drive(self, led: Led) -> Led:
        """Return `led` with its writes taken by this kernel."""
        led._put = lambda name, value: self.put(name, str(value))  # type: ignore[method-assign]
        return led

    def _choose(self, trigger: str) -> None:
        if trigger not in self.triggers:
            raise OSError(22, "Invalid argument")
        for name in _FILES.get(self.chosen, {}):
            (self.folder / name).unlink()
        self.chosen = trigger
        (self.folder / "brightness").write_text("0\n")
        for name, text in _FILES.get(trigger, {}).items():
            (self.folder / name).write_text(f"{text}\n")
        self._list()

    def _list(self) -> None:
        words = (f"[{name}]" if name == self.chosen else name for name in self.triggers)
        (self.folder / "trigger").write_text(" ".join(words) + "\n")
