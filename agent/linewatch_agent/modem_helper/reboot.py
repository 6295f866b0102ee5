"""The ladder's last step, behind two locks that the agent can't open.

The configuration that root owns must allow it, and the machine must have run for hours: so
even an agent gone mad reboots it four times a day at most, and by default never. `root` is
`/`, or a folder in tests.
"""

import tomllib
from pathlib import Path

from linewatch_agent.modem_helper.usb import RefusedError, run_program

UPTIME_MIN_S = 6 * 3600.0


def reboot(root: Path = Path("/")) -> None:
    """Start the machine anew.

    Raises:
        RefusedError: it is not allowed, or too soon.
    """
    if not _is_allowed(root / "etc/linewatch/linewatch.toml"):
        raise RefusedError(
            "cannot reboot: modems.reboot is not true in /etc/linewatch/linewatch.toml"
        )
    if _uptime_s(root / "proc/uptime") < UPTIME_MIN_S:
        raise RefusedError(f"cannot reboot: the machine runs for less than {UPTIME_MIN_S:.0f} s")
    run_program(root / "usr/bin/systemctl", "reboot", to="reboot")


def _is_allowed(config: Path) -> bool:
    try:
        modems = tomllib.loads(config.read_text("utf-8")).get("modems")
    except (OSError, ValueError):
        return False
    return isinstance(modems, dict) and modems.get("reboot") is True


def _uptime_s(file: Path) -> float:
    try:
        return float(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
