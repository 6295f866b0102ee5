"""Leaves a SIM's PIN out of the profiles once it has failed, until the card has another one.

Run as root at first boot, before NetworkManager starts. The running agent leaves a mark
where a SIM stayed locked (modems/pin.py); profiles that were in force then, and are still
what the card says, lose their PINs. Which of several failed nobody can tell, so all do.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from linewatch_agent.durable import write_whole
from linewatch_agent.plan.card import Sim
from linewatch_agent.plan.sim_profile import profiles

MARK = "pin-failed"
FAILED = "pin-failed.sha256"
ADVICE = (
    "cannot use the `pin` in linewatch.toml: a SIM card stayed locked with it, and it is not tried "
    "again, since a third wrong one locks the card for good; write the right one, or take the PIN "
    "off the SIM card in a phone"
)


def usable_sims(
    sims: Sequence[Sim], *, state: Path, config: Path, installed: Path
) -> tuple[Sequence[Sim], str | None]:
    """Return the SIM cards as they may be used, and what a person must mend, if anything.

    Args:
        sims: as the card says.
        state: the agent's state folder, where its mark is.
        config: root's own folder, where it is kept which profiles failed.
        installed: the folder of the profiles that were in force until now.
    Raises:
        OSError: what failed can't be written down; then nothing may be changed.
    """
    wanted = profiles(sims)
    digest = _digest(wanted)
    mark, failed = state / MARK, config / FAILED
    if mark.is_symlink() or mark.exists():
        if wanted and all(_read(installed / name) == text for name, text in wanted.items()):
            config.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_whole(failed, digest.encode())
        mark.unlink()
    if any(sim.pin for sim in sims) and _read(failed) == digest:
        return [replace(sim, pin=None) for sim in sims], ADVICE
    return sims, None


def _digest(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(
        "\0".join(f"{k}\0{v}" for k, v in sorted(texts.items())).encode()
    ).hexdigest()


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None
