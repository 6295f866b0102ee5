"""Remembers over a restart that a SIM's PIN did not open it: a PIN is never tried twice.

NetworkManager tries the PIN of its profile once, and once again after each start, and the
third wrong one locks the SIM. So the agent leaves a mark, and at the next start root takes
the PIN out of the profiles (card/failed_pin.py). The mark says nothing of SIM or PIN.
"""

from collections.abc import Mapping
from pathlib import Path

import structlog

from linewatch_agent.durable import write_whole
from linewatch_agent.modems.look import Said
from linewatch_agent.modems.values import ModemValues, sim_of
from linewatch_core.modem_words import Sim

log = structlog.get_logger()

MARK = "pin-failed"
"""The mark's name in the state folder; first boot knows it too."""
OPENED_WITHIN_S = 300.0
"""NetworkManager opens a SIM some seconds after the modem is there."""
_SIM_PIN = 2


class PinWatch:
    """Watches for SIMs that still wait for their PIN long after they came."""

    def __init__(self, state_dir: Path) -> None:
        """Prepare; nothing is written yet."""
        self._mark = state_dir / MARK
        self._since_s: dict[str, float] = {}
        self._marked = False

    def looked(self, said: Mapping[str, Said | None], *, now_s: float) -> None:
        """Take in what each device's modem said."""
        waiting = {
            device
            for device, one in said.items()
            if one is not None and one.values is not None and _waits_for_pin(one.values)
        }
        self._since_s = {device: self._since_s.get(device, now_s) for device in waiting}
        if any(now_s - since_s >= OPENED_WITHIN_S for since_s in self._since_s.values()):
            self._write()

    def _write(self) -> None:
        if self._marked:
            return
        try:
            write_whole(self._mark, b"")
        except OSError as error:
            log.warning("pin_mark_not_written", reason=error.strerror)  # the next look tries again
            return
        self._marked = True
        log.warning("sim_waits_for_its_pin", advice="the PIN on the card is not tried again")


def _waits_for_pin(values: ModemValues) -> bool:
    return sim_of(values) is Sim.LOCKED and values.unlock_required == _SIM_PIN
