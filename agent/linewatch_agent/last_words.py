"""What the last agent that ended badly left: read once, told in the log and the status.

The file is written by systemd/bin/linewatch-postmortem; the keys are its. Bad
bytes are as good as no file.
"""

from pathlib import Path
from typing import Annotated

import msgspec

FILE = Path("postmortem/last.json")
FILE_BYTES_MAX = 16_384
_RESULTS = {
    "watchdog": "it did its work no longer, and the watchdog ended it",
    "oom-kill": "the system ran out of memory and ended it",
    "timeout": "it took too long to start or to stop",
    "signal": "a signal ended it",
    "core-dump": "it crashed",
    "exit-code": "it ended with an error",
}

Count = Annotated[int, msgspec.Meta(ge=0)]


class LastWords(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent ended.

    Attributes:
        count: bad ends since the card was made, this one included.
        result: as systemd names it (systemd.exec(5), SERVICE_RESULT).
        code, status: how its process ended, e.g. `exited` `1`, `dumped` `ABRT`.
        restarts: how often systemd had started it anew since the boot.
        memory_peak_bytes: None where the kernel does not count it.
        memory_mb: resident, as it last said itself.
        boot: the kernel's id of that boot.
        mono_s: seconds of that boot's clock (CLOCK_BOOTTIME) when it had ended.
        lines: its last errors and tracebacks.
    """

    count: Count
    result: str
    code: str = ""
    status: str = ""
    restarts: Count | None = None
    memory_peak_bytes: Count | None = None
    memory_mb: Count | None = None
    boot: str = ""
    mono_s: Count = 0
    lines: tuple[str, ...] = ()

    def in_words(self) -> str:
        """Return in a sentence how it ended."""
        how = _RESULTS.get(self.result, f"systemd says `{self.result}`")
        exact = " ".join(word for word in (self.code, self.status) if word)
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"{how} ({exact}); so far the agent of this card ended badly {times}"


def read_last_words(state_dir: Path) -> LastWords | None:
    """Return the last words kept in a state folder, or None if there are none."""
    try:
        with (state_dir / FILE).open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=LastWords)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
