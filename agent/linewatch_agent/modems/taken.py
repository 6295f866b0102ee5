"""The steps of the last day as bytes for the store, so that a restart begins no new day.

Pure. It lies on the card in the clear, so only to the hour, rounded so that a step counts
for longer rather than less. Time that the machine was off counts for nothing.
"""

from collections.abc import Mapping, Sequence

import msgspec

from linewatch_agent.plan.modem_ladder import DAY_S, Taken
from linewatch_core.modem_words import ModemStep

_HOUR_S = 3600.0


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """A step of a line's modem; `age_h` hours of running old when it was written."""

    line: str
    step: ModemStep
    age_h: int


def encoded(taken: Mapping[str, Sequence[Taken]], now_s: float) -> bytes:
    """Return steps by line as bytes."""
    return msgspec.json.encode(
        [
            _Kept(line, each.step, int((now_s - each.at_s) / _HOUR_S))
            for line, steps in taken.items()
            for each in steps
        ]
    )


def decoded(kept: bytes | None, now_s: float) -> dict[str, list[Taken]]:
    """Return what `encoded` was given, without what is older than a day.

    Bytes of a later release, or damaged ones, are no steps: a day's count is all that is lost.
    """
    found: dict[str, list[Taken]] = {}
    try:
        steps = [] if kept is None else msgspec.json.decode(kept, type=list[_Kept])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    for each in steps:
        if each.age_h * _HOUR_S < DAY_S:
            found.setdefault(each.line, []).append(Taken(each.step, now_s - each.age_h * _HOUR_S))
    return found
