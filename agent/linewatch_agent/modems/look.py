"""One look at all modems, and what is remembered from look to look.

Invariant: a look ends within its limit whatever the bus does, and a modem that hangs costs
the others nothing. What is remembered is of one run of ModemManager: when that starts
anew, it needs a while to find its modems, and none of them is gone meanwhile.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import partial

from linewatch_agent.modems.bus import Connection, NoModemManagerError, connected
from linewatch_agent.modems.values import ModemValues, power_dbm

LOOK_S = 5.0
"""How long ModemManager may take at most to answer all questions of a look."""
SIGNAL_WAIT_S = 60.0
"""Twice the interval that it was asked for: without a value by then there will be none."""


@dataclass(slots=True)
class _Known:
    """One modem's object: its devices, and where its signal's power comes from.

    Attributes:
        powers: it told a power once, so that SignalQuality must not be mixed in.
        asked_s: when it agreed to measure its signal; None: it was not asked, or won't.
        refused: it won't.
    """

    devices: frozenset[str]
    powers: bool = False
    asked_s: float | None = None
    refused: bool = False

    def may_use_quality(self, now_s: float) -> bool:
        waiting = self.asked_s is not None and now_s - self.asked_s < SIGNAL_WAIT_S
        return not self.powers and (self.refused or not waiting)


@dataclass(frozen=True, slots=True)
class Said:
    """What one modem said; `values` None: it did not answer in time."""

    values: ModemValues | None
    use_quality: bool = False


@dataclass(slots=True)
class Memory:
    """What looks remember.

    Attributes:
        owner: ModemManager's connection, another one after each of its starts.
        seen: devices whose modem was there since then.
    """

    owner: str | None = None
    modems: dict[str, _Known] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


async def look(
    memory: Memory, *, now_s: float, limit_s: float = LOOK_S, set_up_signal: bool = True
) -> dict[str, Said | None]:
    """Return what the modem of each device said; a device seen before and now without: None.

    Args:
        limit_s: what has not answered by then hangs.
        set_up_signal: ask modems to measure their signal, once.
    Raises:
        NoModemManagerError: nothing can be said of any modem.
        TimeoutError: nothing answered in time.
    """
    deadline_s = asyncio.get_running_loop().time() + limit_s
    ask = partial(_ask, deadline_s=deadline_s, now_s=now_s, set_up_signal=set_up_signal)
    async with asyncio.timeout_at(deadline_s) as limit, connected() as bus:
        owner = await bus.owner()
        if owner != memory.owner:
            memory.owner, memory.modems, memory.seen = owner, {}, set()
        if owner is None:
            raise NoModemManagerError("ModemManager does not run")
        paths = await bus.modems()
        # From here each modem has its own limit, and all of them the same end.
        limit.reschedule(None)
        memory.modems = {path: each for path, each in memory.modems.items() if path in paths}
        said: dict[str, Said | None] = {}
        for found in await asyncio.gather(*(ask(bus, path, memory) for path in paths)):
            said |= found
        unread = any(path not in memory.modems for path in paths)
    if memory.owner != owner:
        raise NoModemManagerError("ModemManager was started anew")  # seen by a later look
    memory.seen |= said.keys()
    # An object that has not said which devices it has may be the one that is missed.
    missed = Said(None) if unread else None
    return {device: said.get(device, missed) for device in memory.seen}


async def _ask(
    bus: Connection,
    path: str,
    memory: Memory,
    *,
    deadline_s: float,
    now_s: float,
    set_up_signal: bool,
) -> dict[str, Said]:
    try:
        async with asyncio.timeout_at(deadline_s):
            if path not in memory.modems:
                memory.modems[path] = _Known(await bus.devices(path))
            known = memory.modems[path]
            values, rate_s = await bus.values(path)
    except TimeoutError:
        devices = memory.modems[path].devices if path in memory.modems else ()
        return dict.fromkeys(devices, Said(None))
    known.powers = known.powers or power_dbm(values.signals) is not None
    if set_up_signal and rate_s == 0 and not known.refused:
        await _ask_for_signal(bus, path, known, deadline_s, now_s)
    said = Said(values, use_quality=known.may_use_quality(now_s))
    return dict.fromkeys(known.devices, said)


async def _ask_for_signal(
    bus: Connection, path: str, known: _Known, deadline_s: float, now_s: float
) -> None:
    """Ask a modem that does not measure its signal: at first, and after it was reset."""
    with contextlib.suppress(TimeoutError):  # the next look asks again
        async with asyncio.timeout_at(deadline_s):
            agreed = await bus.ask_for_signal(path)
        known.asked_s, known.refused = (now_s, False) if agreed else (None, True)
