"""Which anchors are worth a record, and how good the clock is between them.

Pure. The kernel's own bound saturates, so between anchors it is grown here.
Source: docs/wire-format.md, "Time".
"""

from linewatch_core.cones import DRIFT_PPM
from linewatch_core.records import Anchor

RENEW_MS = 3600 * 1000
"""At least one anchor an hour while there is one to be had."""
USELESS_ERROR_MS = 600_000
"""An anchor that is wrong by up to ten minutes still brackets a boot; beyond, it only confuses."""


def error_now_ms(anchor: Anchor, *, now_ms: int) -> int:
    """Return the bound of `anchor` grown by drift until `now_ms` of the same boot."""
    return anchor.error_ms + -(-abs(now_ms - anchor.mono_ms) * DRIFT_PPM // 1_000_000)


def contradicts(new: Anchor, last: Anchor) -> bool:
    """Return whether two anchors of one boot cannot both be right."""
    apart_ms = abs(new.utc_ms - last.utc_ms - (new.mono_ms - last.mono_ms))
    return apart_ms > new.error_ms + error_now_ms(last, now_ms=new.mono_ms)


def is_worth_recording(new: Anchor, last: Anchor | None) -> bool:
    """Return whether `new` tells something that `last` does not.

    That is: the last one is old, twice as vague by now, or cannot be right beside it.
    """
    if new.error_ms > USELESS_ERROR_MS:
        return False
    if last is None or new.mono_ms - last.mono_ms >= RENEW_MS or contradicts(new, last):
        return True
    return 2 * new.error_ms <= error_now_ms(last, now_ms=new.mono_ms)
